/* Small languages inside schema.json: JSON paths as columns, and SQL expressions. */
#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "base/strbuf.h"
#include "schema/schema_int.h"

enum { LABEL_BYTES = 8192, STEPS = 64 };

/* --- JSON paths --- */

/* The operator that stands at s, or NULL. The longer ones first. */
static const char *operator_at(const char *s)
{
	static const char *const operators[] = {"->>", "#>>", "->", "#>"};

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

static char *add_step(struct schema_column_path *path, const char *op, const char *part, size_t len)
{
	bool text_array = op[0] == '#';
	bool braces = len >= 2 && part[0] == '{' && part[len - 1] == '}';
	struct schema_path_step step = {.op = op};

	if (len == 0)
		return xasprintf("a JSON path needs a key after `%s`", op);
	if (text_array && !braces)
		return xasprintf("a JSON path needs braces after `%s`, as in `doc%s{a,0}`", op, op);
	if (text_array && strcspn(part + 1, "{}\"\\") != len - 2)
		return xasprintf("keys between braces are plain words, without braces, quotes and backslashes");
	if (path->n == STEPS)
		return xasprintf("a JSON path may have at most %d steps", STEPS);
	if (path->n && strlen(path->steps[path->n - 1].op) == 3)
		return xasprintf("`%s` gives text: it must be the last step of a JSON path",
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
		problem = add_step(ret, op, s, len);
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

/* --- SQL expressions --- */

/* The end of a quoted text that begins at s with `quote`; NULL when it does not end. backslashes: as in E'...'. */
static const char *skip_quoted(const char *s, char quote, bool backslashes)
{
	for (s++; *s; s++) {
		if ((backslashes && *s == '\\' && s[1]) || (*s == quote && s[1] == quote))
			s++;
		else if (*s == quote)
			return s + 1;
	}
	return NULL;
}

/* E'...', which may go on in quotes on a line below. */
static const char *skip_escaped(const char *s)
{
	const char *end = skip_quoted(s, '\'', true);
	size_t blanks = end ? strspn(end, " \t\n\r\f\v") : 0;

	while (blanks && end[blanks] == '\'') {
		end = skip_quoted(end + blanks, '\'', true);
		blanks = end ? strspn(end, " \t\n\r\f\v") : 0;
	}
	return end;
}

static bool is_word(char c)
{
	return isalnum((unsigned char)c) || c == '_' || c == '$' || (unsigned char)c >= 0x80;
}

/* $tag$...$tag$. Returns s when no such text begins there, NULL when it does not end. */
static const char *skip_dollar(const char *s)
{
	const char *end = s + 1;
	const char *close;
	_cleanup_free_ char *tag = NULL;

	while (is_word(*end) && *end != '$')
		end++;
	if (*end != '$' || isdigit((unsigned char)s[1]))
		return s;
	tag = xstrndup(s, (size_t)(end - s) + 1);
	close = strstr(end + 1, tag);
	return close ? close + strlen(tag) : NULL;
}

/* Over a quoted text; s itself when none begins there, NULL when it does not end. before: the character before s. */
static const char *skip_text(const char *s, const char *begin)
{
	char before = s > begin ? s[-1] : ' ';
	bool escapes = (before == 'E' || before == 'e') && (s - begin < 2 || !is_word(s[-2]));

	if (*s == '\'' && escapes)
		return skip_escaped(s);
	if (*s == '\'' || *s == '"')
		return skip_quoted(s, *s, false);
	if (*s == '$' && !is_word(before))
		return skip_dollar(s);
	return s;
}

const char *schema_sql_problem(const char *sql)
{
	size_t depth = 0;
	bool empty = true;

	for (const char *s = sql; *s;) {
		const char *next = skip_text(s, sql);

		if (!next)
			return "a quoted text does not end";
		empty = empty && isspace((unsigned char)*s);
		if (next != s) {
			s = next;
			continue;
		}
		if (*s == ';')
			return "it holds a semicolon";
		if (*s == '$' && isdigit((unsigned char)s[1]) && (s == sql || !is_word(s[-1])))
			return "it holds a parameter";
		if (strncmp(s, "--", 2) == 0 || strncmp(s, "/*", 2) == 0)
			return "it holds a comment";
		if (*s == ')' && depth-- == 0)
			return "a closing parenthesis has no opening one";
		depth += *s == '(';
		s++;
	}
	if (empty)
		return "it is empty";
	return depth ? "an opening parenthesis is not closed" : NULL;
}
