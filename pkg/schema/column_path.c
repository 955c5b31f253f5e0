/* JSON paths as columns: "doc->a->0->>b". */
#include "schema/schema.h"

#include <stdlib.h>
#include <string.h>

#include "base/strbuf.h"

enum { LABEL_BYTES = 8192, STEPS = 64 };

/* The operator at s, or NULL. */
static const char *operator_at(const char *s)
{
	static const char *const operators[] = {"->>", "#>>", "->", "#>"}; /* the longer ones first */

	for (size_t i = 0; i < ARRAY_SIZE(operators); i++)
		if (strncmp(s, operators[i], strlen(operators[i])) == 0)
			return operators[i];
	return NULL;
}

static size_t until_operator(const char *s)
{
	size_t n = 0;

	while (s[n] && !operator_at(s + n))
		n++;
	return n;
}

bool schema_column_is_path(const char *column)
{
	return column[until_operator(column)] != '\0';
}

static bool all_digits(const char *s)
{
	return *s && strlen(s) <= 9 && s[strspn(s, "0123456789")] == '\0';
}

static char *add_path_step(struct schema_column_path *path, const char *op, const char *part, size_t len)
{
	bool text_array = op[0] == '#';
	bool braces = len >= 2 && part[0] == '{' && part[len - 1] == '}';
	struct schema_path_step step = {.op = op};

	if (len == 0)
		return xasprintf("a JSON path needs a key after `%s`", op);
	if (text_array && !braces)
		return xasprintf("a JSON path needs braces after `%s`, as in `doc%s{a,0}`", op, op);
	if (text_array && strcspn(part + 1, "{}\"\\") != len - 2)
		return xasprintf("keys between braces must be plain words, without braces, quotes or backslashes");
	if (path->n == STEPS)
		return xasprintf("a JSON path can have at most %d steps", STEPS);
	if (path->n && strlen(path->steps[path->n - 1].op) == 3)
		return xasprintf("`%s` returns text: it must be the last step of a JSON path",
				 path->steps[path->n - 1].op);
	step.part = text_array ? xstrndup(part + 1, len - 2) : xstrndup(part, len);
	step.index = !text_array && all_digits(step.part);
	path->steps = xreallocarray(path->steps, path->n + 1, sizeof(*path->steps));
	path->steps[path->n++] = step;
	return NULL;
}

char *schema_column_path_parse(const char *column, struct schema_column_path *ret)
{
	size_t len = until_operator(column);
	const char *s = column + len;
	struct strbuf label;

	*ret = (struct schema_column_path){.base = xstrndup(column, len)};
	if (len == 0)
		return xasprintf("a JSON path starts with a column's name, found \"%s\"", column);
	while (*s) {
		const char *op = operator_at(s);
		char *problem;

		s += strlen(op);
		len = until_operator(s);
		problem = add_path_step(ret, op, s, len);
		if (problem)
			return problem;
		s += len;
	}
	strbuf_init(&label, LABEL_BYTES);
	strbuf_adds(&label, ret->base);
	for (size_t i = 0; i < ret->n; i++)
		strbuf_addf(&label, "_%s", ret->steps[i].part);
	ret->label = strbuf_detach(&label);
	return NULL;
}

void schema_column_path_release(struct schema_column_path *path)
{
	for (size_t i = 0; i < path->n; i++)
		free(path->steps[i].part);
	free(path->steps);
	free(path->base);
	free(path->label);
	*path = (struct schema_column_path){0};
}
