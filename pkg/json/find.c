/* Finding a value in a JSON text without parsing the text. */
#include "json/json.h"

#include <stddef.h>
#include <string.h>

struct finder {
	const char *at, *end;
};

static void skip_space(struct finder *f)
{
	while (f->at < f->end && (*f->at == ' ' || *f->at == '\t' || *f->at == '\n' || *f->at == '\r'))
		f->at++;
}

static bool skip_char(struct finder *f, char c)
{
	if (f->at == f->end || *f->at != c)
		return false;
	f->at++;
	return true;
}

/* From its first quote to after its last. */
static bool skip_json_string(struct finder *f)
{
	for (f->at++; f->at < f->end; f->at++) {
		if (*f->at == '"') {
			f->at++;
			return true;
		}
		if (*f->at == '\\' && ++f->at == f->end)
			return false;
	}
	return false;
}

static bool ends_scalar(char c)
{
	return c == ',' || c == '}' || c == ']' || c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

static bool skip_json_value(struct finder *f)
{
	size_t depth = 0;

	do {
		if (f->at == f->end)
			return false;
		if (*f->at == '"') {
			if (!skip_json_string(f))
				return false;
			continue;
		}
		if (depth == 0 && *f->at != '{' && *f->at != '[') {
			while (f->at < f->end && !ends_scalar(*f->at))
				f->at++;
			return true;
		}
		if (*f->at == '{' || *f->at == '[')
			depth++;
		else if (*f->at == '}' || *f->at == ']')
			depth--;
		f->at++;
	} while (depth > 0);
	return true;
}

/* Reads a key, as it is written, and goes to its value. */
static bool read_key(struct finder *f, const char **key, size_t *len)
{
	skip_space(f);
	*key = f->at + 1;
	if (f->at == f->end || *f->at != '"' || !skip_json_string(f))
		return false;
	*len = (size_t)(f->at - *key) - 1;
	skip_space(f);
	if (!skip_char(f, ':'))
		return false;
	skip_space(f);
	return true;
}

/* From a value to what follows it; true if that is another key. */
static bool skip_to_key(struct finder *f)
{
	if (!skip_json_value(f))
		return false;
	skip_space(f);
	return skip_char(f, ',');
}

/* From the bracket of an object to the value of one of its keys, which is written without escapes. */
static bool enter(struct finder *f, const char *key, size_t len)
{
	if (!skip_char(f, '{'))
		return false;
	do {
		const char *found;
		size_t found_len;

		if (!read_key(f, &found, &found_len))
			return false;
		if (found_len == len && memcmp(found, key, len) == 0)
			return true;
	} while (skip_to_key(f));
	return false;
}

static struct finder finder_of(const json_t *text)
{
	const char *start = json_string_value(text);
	struct finder f = {start, start + json_string_length(text)};

	skip_space(&f);
	return f;
}

json_t *jsonx_member(const json_t *object, const char *key)
{
	struct finder f;
	const char *start;

	if (!json_is_string(object))
		return json_incref(json_object_get(object, key));
	f = finder_of(object);
	if (!enter(&f, key, strlen(key)))
		return NULL;
	start = f.at;
	return skip_json_value(&f) ? json_loadb(start, (size_t)(f.at - start), JSON_DECODE_ANY | JSON_ALLOW_NUL, NULL)
				   : NULL;
}

void jsonx_each_key(const json_t *object, bool (*fn)(void *user, const char *key, size_t len), void *user)
{
	struct finder f;
	const char *key;
	json_t *value;
	size_t len;

	json_object_foreach ((json_t *)object, key, value)
		if (!fn(user, key, strlen(key)))
			return;
	if (!json_is_string(object))
		return;
	f = finder_of(object);
	if (!skip_char(&f, '{'))
		return;
	do {
		if (!read_key(&f, &key, &len) || !fn(user, key, len))
			return;
	} while (skip_to_key(&f));
}

bool jsonx_holds_nul(const char *text)
{
	static const char nul[] = "\\u0000";

	for (const char *at = text; (at = strstr(at, nul)); at += strlen(nul)) {
		size_t before = 0;

		while (at - before > text && at[-(ptrdiff_t)before - 1] == '\\')
			before++;
		if (before % 2 == 0)
			return true;
	}
	return false;
}

bool jsonx_find_text(const char *text, size_t len, const char *path, const char **ret, size_t *ret_len)
{
	struct finder f = {text, text + len};
	const char *start;

	skip_space(&f);
	while (*path) {
		size_t key = strcspn(path, ".");

		if (!enter(&f, path, key))
			return false;
		path += key + (path[key] == '.');
	}
	start = f.at;
	if (!skip_json_value(&f) || f.at == start)
		return false;
	*ret = start;
	*ret_len = (size_t)(f.at - start);
	return true;
}
