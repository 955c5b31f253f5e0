/* Finding a value in a JSON text without parsing the text. */
#include "json/json.h"

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

/* From the bracket of an object to the value of one of its keys, which is written without escapes. */
static bool enter(struct finder *f, const char *key, size_t len)
{
	if (!skip_char(f, '{'))
		return false;
	do {
		const char *start;
		bool found;

		skip_space(f);
		start = f->at + 1;
		if (f->at == f->end || *f->at != '"' || !skip_json_string(f))
			return false;
		found = (size_t)(f->at - start) == len + 1 && memcmp(start, key, len) == 0;
		skip_space(f);
		if (!skip_char(f, ':'))
			return false;
		skip_space(f);
		if (found)
			return true;
		if (!skip_json_value(f))
			return false;
		skip_space(f);
	} while (skip_char(f, ','));
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
