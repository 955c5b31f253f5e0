/* SQL expressions: where one ends, without parsing SQL. */
#include "schema/schema.h"

#include <ctype.h>
#include <string.h>

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
