/* JSON and YAML for control data: parsing with limits, table-driven decoding into structs, canonical dump and hash.
 *
 * Built on jansson and libyaml; its purpose is to provide json_t, which therefore appears in its interface. Documents
 * that are synced never pass through here: their bytes go from Postgres into the bulk body unparsed. Names start with
 * jsonx_, because json_ is jansson's own prefix. Everything here is pure and thread-safe. */
#ifndef PGSYNC_JSON_JSON_H
#define PGSYNC_JSON_JSON_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <jansson.h>

#include "base/err.h"
#include "base/findings.h"
#include "base/mem.h"

struct strbuf;

void jsonx_decref(json_t *value);
CLEANUP(json_t, jsonx_decref);
#define _cleanup_json_ _cleanup_(jsonx_decrefp)

/* Parses one JSON text (RFC 8259; any value at the top). Duplicate keys, trailing bytes, invalid UTF-8, NUL characters,
 * integers beyond 64 bits and nesting beyond 96 levels are errors (kind INVALID, with line and column, never with the
 * text itself, which may be a secret); so is a text of more than 64 MiB (kind LIMIT). what names the text in messages
 * ("schema.json"). */
int jsonx_parse(const char *text, size_t len, const char *what, json_t **ret, struct err *err) WARN_UNUSED;

/* Parses a YAML stream of at most 4 MiB into a JSON array with one entry for each document; an empty document is null.
 * Supports what Kubernetes manifests use: block and flow style, anchors and aliases (expansion is capped), YAML 1.1
 * booleans and nulls as Kubernetes reads them, numbers; quoted scalars stay strings. Duplicate keys, merge keys, tags
 * of an application and nesting beyond 96 levels are errors. Errors name line and column. */
int jsonx_parse_yaml(const char *text, size_t len, const char *what, json_t **ret, struct err *err) WARN_UNUSED;

/* Writes values as a YAML stream, one document for each element of the array, in block style and in the order of their
 * keys: jsonx_parse_yaml, and every reader of Kubernetes, gets the same values back. A string that could be read as
 * another type is quoted. Appends to sb; if that overflows, the text did not fit. */
void jsonx_add_yaml(struct strbuf *sb, const json_t *documents);

/* Reads a whole file of at most max bytes into a string; caller frees. "-" is standard input.
 * Errors: NOT_FOUND, DENIED, LIMIT (larger than max), INVALID (a directory), TRANSIENT. */
int jsonx_read_file(const char *path, size_t max, char **ret, size_t *ret_len, struct err *err) WARN_UNUSED;

/* Compact with sorted keys: equal values give equal bytes. Caller frees. */
char *jsonx_canonical(const json_t *value);
/* "sha256:<hex>" of the canonical form. */
enum { JSONX_HASH_BYTES = 72 };
char *jsonx_hash(const json_t *value, char buf[JSONX_HASH_BYTES]);
/* The same for raw bytes. */
char *jsonx_hash_bytes(const void *data, size_t len, char buf[JSONX_HASH_BYTES]);

/* A JSON string of any bytes: bytes that are not UTF-8 (a message cut in the middle of a character, another encoding)
 * become U+FFFD. */
json_t *jsonx_text(const char *text);

/* Whether an array has this string as an element; false for what is not an array. */
bool jsonx_contains(const json_t *array, const char *text);
/* Walks object keys; NULL when one is missing or not an object. path is "a.b.c". Borrowed. */
json_t *jsonx_get(const json_t *value, const char *path);
/* Where the text of the value at a path ("a.b.c") lies within a JSON text, found in one pass that parses nothing; *ret
 * points into text. False: it is absent. If the text is not JSON, the only guarantee is that *ret lies within it. */
bool jsonx_find_text(const char *text, size_t len, const char *path, const char **ret, size_t *ret_len);
/* The value of a key of an object, or of an object's JSON text (a string). Of a text, no other value is parsed, and
 * only keys that are written without escapes are found. A new reference, or NULL. */
json_t *jsonx_member(const json_t *object, const char *key);
/* Calls fn for each key of an object, or of an object's JSON text, as it is written there, until fn returns false. */
void jsonx_each_key(const json_t *object, bool (*fn)(void *user, const char *key, size_t len), void *user);
/* Whether a string of a JSON text contains a NUL (\\u0000). */
bool jsonx_holds_nul(const char *text);
/* As jsonx_get, for a string, a number, a boolean; the default when absent or of another type. */
const char *jsonx_string(const json_t *value, const char *path, const char *otherwise);
int64_t jsonx_integer(const json_t *value, const char *path, int64_t otherwise);
bool jsonx_boolean(const json_t *value, const char *path, bool otherwise);

/* Table-driven decoding.
 *
 * One decoder checks types, unknown keys, missing keys and ranges; a table describes the fields of a struct.
 * Every violation is added to the findings with its path ("spec.source.port"), what was found and what was expected;
 * an unknown key names the closest known key that is absent, and that key is not reported as missing.
 */
enum jsonx_type {
	JSONX_STRING,  /* char *, owned by the struct */
	JSONX_ENUM,    /* int: the index in `words` */
	JSONX_INTEGER, /* int64_t within [min, max] */
	JSONX_BOOLEAN, /* bool */
	JSONX_OBJECT,  /* struct at offset, decoded by `fields` */
	JSONX_STRINGS, /* struct jsonx_strings */
	JSONX_VALUE,   /* json_t *, one reference owned by the struct */
	JSONX_CUSTOM,  /* decode() */
};

struct jsonx_strings {
	char **items;
	size_t n;
};

enum {
	JSONX_REQUIRED = 1 << 0,
	JSONX_FILLED = 1 << 1, /* STRINGS: at least one */
};

struct jsonx_field {
	const char *name; /* NULL ends a table */
	enum jsonx_type type;
	size_t offset;
	unsigned flags;
	/* INTEGER: bounds, none when both are 0; STRING: length bounds in bytes when max > 0; STRINGS: min > 0: none
	 * of them is empty; max > 0: at most so many; item_max > 0: each at most so many bytes long */
	int64_t min, max, item_max;
	const char *const *words;         /* ENUM: NULL-terminated */
	int careful;                      /* ENUM: the value for an unknown word */
	const struct jsonx_field *fields; /* OBJECT */
	/* CUSTOM: decodes value into the whole struct `out`; adds findings under path. */
	void (*decode)(const json_t *value, void *out, const char *path, struct findings *f);
};

/* Decodes object into out by the table. Fields that are absent, null or invalid keep their value in out, so set
 * defaults first; for an unknown word of an enum, the careful value is set. Findings about unknown fields and words are
 * marked as such. In an array of strings only the invalid items are replaced, each by an empty string. The previous
 * value of a decoded field is released. reason is the reason of the findings added. */
void jsonx_decode(const json_t *object, const struct jsonx_field *fields, void *out, const char *path,
		  enum reason reason, struct findings *f);

/* How many unknown keys of an object are compared with the fields, and reported one by one; the others are counted. */
enum { JSONX_MEANT = 10 };
/* The absent fields that are closest to unknown keys of the object; returns how many. */
size_t jsonx_meant(const json_t *object, const struct jsonx_field *fields, const char *ret[JSONX_MEANT]);
/* True if `name` is among them. */
bool jsonx_is_meant(const json_t *object, const struct jsonx_field *fields, const char *name);

/* "path.key", or path["a key"] when the key is not a plain word. Caller frees. */
char *jsonx_path(const char *path, const char *key);

void jsonx_strings_release(struct jsonx_strings *s);

/* "a string", "an array", "null": for messages. */
const char *jsonx_type_name(const json_t *value);

#endif
