/* JSON texts: parsing with limits, canonical form and hash, walking by path. */
#include "json/json.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>

#include "base/utf8.h"
#include <unistd.h>

#include <openssl/evp.h>

#include "base/fd.h"
#include "base/strbuf.h"
#include "json/json_int.h"

enum { SHA256_BYTES = 32 };

/* A value may be a credential, and jansson copies it while it parses. */
__attribute__((constructor)) static void wipe_freed_values(void)
{
	json_set_alloc_funcs(malloc, free_secret);
}

void jsonx_decref(json_t *value)
{
	json_decref(value);
}

json_t *jsonx_must(json_t *value)
{
	if (!value)
		abort();
	return value;
}

struct jsonx_position jsonx_position_of(const char *text, size_t len, size_t offset)
{
	struct jsonx_position p = {.line = 1, .column = 1};

	if (offset > len)
		offset = len;
	for (size_t i = 0; i < offset; i++) {
		if (text[i] == '\n') {
			p.line++;
			p.column = 1;
		} else if (((unsigned char)text[i] & 0xC0) != 0x80) {
			p.column++;
		}
	}
	return p;
}

/* The offset of the bracket that opens one level too many, or len. Brackets inside strings do not count. jansson has a
 * limit too, but a far higher one, and it recurses. */
static size_t too_deep_at(const char *text, size_t len)
{
	size_t depth = 0;
	bool in_string = false;

	for (size_t i = 0; i < len; i++) {
		char c = text[i];

		if (in_string && c == '\\')
			i++;
		else if (c == '"')
			in_string = !in_string;
		else if (!in_string && (c == '[' || c == '{') && ++depth > JSONX_DEPTH)
			return i;
		else if (!in_string && (c == ']' || c == '}') && depth)
			depth--;
	}
	return len;
}

static int parse_failed(const char *what, json_error_t *error, struct err *err)
{
	/* The text near the error may be a secret; position and problem are enough to find it. */
	char *near = strstr(error->text, " near '");

	if (near && json_error_code(error) != json_error_duplicate_key)
		*near = '\0';
	return err_set(err, ERR_INVALID, "%s: line %d, column %d: not valid JSON: %s", what,
		       error->line > 0 ? error->line : 1, error->column > 0 ? error->column : 1, error->text);
}

int jsonx_parse(const char *text, size_t len, const char *what, json_t **ret, struct err *err)
{
	json_error_t error;
	json_t *value;
	size_t deep;

	/* The byte order mark that some editors put before UTF-8. */
	if (len >= 3 && memcmp(text, "\xEF\xBB\xBF", 3) == 0) {
		text += 3;
		len -= 3;
	}
	if (len > JSONX_TEXT_BYTES)
		return err_set(err, ERR_LIMIT, "%s: %zu bytes of JSON, at most %d are read", what, len,
			       JSONX_TEXT_BYTES);
	deep = too_deep_at(text, len);
	if (deep < len) {
		struct jsonx_position p = jsonx_position_of(text, len, deep);

		return err_set(err, ERR_INVALID, "%s: line %zu, column %zu: nested deeper than %d levels", what, p.line,
			       p.column, JSONX_DEPTH);
	}
	value = json_loadb(text, len, JSON_REJECT_DUPLICATES | JSON_DECODE_ANY, &error);
	if (!value)
		return parse_failed(what, &error, err);
	*ret = value;
	return 0;
}

static int open_failed(const char *path, int errnum, struct err *err)
{
	(void)err_errno(err, errnum, "reading %s", path);
	if (errnum == ENOENT || errnum == ENOTDIR)
		err->kind = ERR_NOT_FOUND;
	else if (errnum == EACCES || errnum == EPERM)
		err->kind = ERR_DENIED;
	else if (errnum == EISDIR || errnum == ELOOP || errnum == ENAMETOOLONG)
		err->kind = ERR_INVALID;
	return -1;
}

int jsonx_read_file(const char *path, size_t max, char **ret, size_t *ret_len, struct err *err)
{
	bool is_stdin = strcmp(path, "-") == 0;
	const char *name = is_stdin ? "standard input" : path;
	_cleanup_close_ int opened = -1;
	_cleanup_(strbuf_release) struct strbuf sb;

	strbuf_init_secret(&sb, max);
	if (!is_stdin) {
		opened = open(path, O_RDONLY | O_CLOEXEC);
		if (opened < 0)
			return open_failed(name, errno, err);
	}
	if (fd_read(is_stdin ? STDIN_FILENO : opened, &sb) < 0)
		return open_failed(name, errno, err);
	if (!strbuf_ok(&sb))
		return err_set(err, ERR_LIMIT, "reading %s: larger than the limit of %zu bytes", name, max);
	*ret_len = sb.len;
	*ret = strbuf_detach(&sb);
	return 0;
}

char *jsonx_canonical(const json_t *value)
{
	/* 17 digits preserve every double. */
	char *text = json_dumps(value, JSON_COMPACT | JSON_SORT_KEYS | JSON_ENCODE_ANY | JSON_REAL_PRECISION(17));

	if (!text)
		abort();
	return text;
}

char *jsonx_hash_bytes(const void *data, size_t size, char buf[JSONX_HASH_BYTES])
{
	static const char hex[] = "0123456789abcdef";
	unsigned char digest[SHA256_BYTES];
	unsigned len = 0;
	char *to = stpcpy(buf, "sha256:");

	if (EVP_Digest(data, size, digest, &len, EVP_sha256(), NULL) != 1 || len != SHA256_BYTES)
		abort();
	for (unsigned i = 0; i < len; i++) {
		*to++ = hex[digest[i] >> 4];
		*to++ = hex[digest[i] & 15];
	}
	*to = '\0';
	return buf;
}

char *jsonx_hash(const json_t *value, char buf[JSONX_HASH_BYTES])
{
	_cleanup_free_ char *text = jsonx_canonical(value);

	return jsonx_hash_bytes(text, strlen(text), buf);
}

json_t *jsonx_get(const json_t *value, const char *path)
{
	const char *name = path;

	for (;;) {
		size_t len = strcspn(name, ".");

		value = json_object_getn(value, name, len);
		if (!value || !name[len])
			return (json_t *)value;
		name += len + 1;
	}
}

bool jsonx_contains(const json_t *array, const char *text)
{
	json_t *item;
	size_t i;

	json_array_foreach (array, i, item)
		if (json_is_string(item) && strcmp(json_string_value(item), text) == 0)
			return true;
	return false;
}

const char *jsonx_string(const json_t *value, const char *path, const char *otherwise)
{
	const json_t *found = jsonx_get(value, path);

	return json_is_string(found) ? json_string_value(found) : otherwise;
}

int64_t jsonx_integer(const json_t *value, const char *path, int64_t otherwise)
{
	const json_t *found = jsonx_get(value, path);

	return json_is_integer(found) ? json_integer_value(found) : otherwise;
}

bool jsonx_boolean(const json_t *value, const char *path, bool otherwise)
{
	const json_t *found = jsonx_get(value, path);

	return json_is_boolean(found) ? json_is_true(found) : otherwise;
}

const char *jsonx_type_name(const json_t *value)
{
	if (!value)
		return "nothing";
	switch (json_typeof(value)) {
	case JSON_OBJECT:
		return "an object";
	case JSON_ARRAY:
		return "an array";
	case JSON_STRING:
		return "a string";
	case JSON_INTEGER:
		return "an integer";
	case JSON_REAL:
		return "a number";
	case JSON_TRUE:
	case JSON_FALSE:
		return "a boolean";
	case JSON_NULL:
		return "null";
	}
	return "nothing";
}

json_t *jsonx_text(const char *text)
{
	size_t len = strlen(text);
	struct strbuf sb;
	json_t *value;

	strbuf_init(&sb, 3 * len + 1);
	for (size_t i = 0; i < len;) {
		size_t n = utf8_sequence(text + i, len - i);

		if (n)
			strbuf_add(&sb, text + i, n);
		else
			strbuf_adds(&sb, "\xEF\xBF\xBD");
		i += n ? n : 1;
	}
	value = json_stringn_nocheck(sb.data, sb.len);
	strbuf_release(&sb);
	return value;
}
