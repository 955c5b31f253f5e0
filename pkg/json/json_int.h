/* Shared between the files of this package only: limits, positions in a text, and scalars of YAML. */
#ifndef PGSYNC_JSON_JSON_INT_H
#define PGSYNC_JSON_JSON_INT_H

#include <stdbool.h>
#include <stddef.h>

#include <jansson.h>

#include "base/err.h"

enum {
	JSONX_DEPTH = 96,                    /* nested arrays and objects: a schema of 32 levels in a PgSync has 75 */
	JSONX_TEXT_BYTES = 64 * 1024 * 1024, /* one JSON text */
	JSONX_YAML_BYTES = 4 * 1024 * 1024,  /* one YAML stream */
	JSONX_ALIAS_BYTES = 4 * 1024 * 1024, /* what the aliases of one YAML stream may expand to */
};

/* Line and column, both from 1, the column in characters, of a byte offset in text. */
struct jsonx_position {
	size_t line;
	size_t column;
};
struct jsonx_position jsonx_position_of(const char *text, size_t len, size_t offset);

/* jansson's constructors fail only if memory is exhausted. Does not take ownership; returns value. */
json_t *jsonx_must(json_t *value) __attribute__((returns_nonnull));

/* A scalar of YAML as Kubernetes reads it. tag may be NULL; plain: not quoted, so that it may be more than a string.
 * Returns NULL and sets *ret (a new reference), or returns what is wrong (a static string). */
const char *jsonx_yaml_scalar(const char *text, size_t len, const char *tag, bool plain, json_t **ret) WARN_UNUSED;

#endif
