/* Whether a text is one SQL expression, by its quotes and parentheses; it is not parsed. */
#include "schema/schema.h"

#include <ctype.h>
#include <string.h>

/* The end of the quoted string that begins at s with `quote`; NULL if it is not closed. backslashes: as in E'...'. */
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

/* The end of E'...', which can continue in quotes on a line below. */
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

static bool is_word_character(char c)
{
	return isalnum((unsigned char)c) || c == '_' || c == '$' || (unsigned char)c >= 0x80;
}

/* The end of $tag$...$tag$; s if none begins there, NULL if it is not closed. */
static const char *skip_dollar(const char *s)
{
	const char *end = s + 1;
	const char *close;
	_cleanup_free_ char *tag = NULL;

	while (is_word_character(*end) && *end != '$')
		end++;
	if (*end != '$' || isdigit((unsigned char)s[1]))
		return s;
	tag = xstrndup(s, (size_t)(end - s) + 1);
	close = strstr(end + 1, tag);
	return close ? close + strlen(tag) : NULL;
}

/* The end of a quoted string of any kind; s if none begins there, NULL if it is not closed. begin: of the whole text.
 */
static const char *skip_string(const char *s, const char *begin)
{
	char before = s > begin ? s[-1] : ' ';
	bool escapes = (before == 'E' || before == 'e') && (s - begin < 2 || !is_word_character(s[-2]));

	if (*s == '\'' && escapes)
		return skip_escaped(s);
	if (*s == '\'' || *s == '"')
		return skip_quoted(s, *s, false);
	if (*s == '$' && !is_word_character(before))
		return skip_dollar(s);
	return s;
}

const char *schema_sql_problem(const char *sql)
{
	size_t depth = 0;
	bool empty = true;

	for (const char *s = sql; *s;) {
		const char *next = skip_string(s, sql);

		if (!next)
			return "a quoted string is not closed";
		empty = empty && isspace((unsigned char)*s);
		if (next != s) {
			s = next;
			continue;
		}
		if (*s == ';')
			return "it contains a semicolon";
		if (*s == '$' && isdigit((unsigned char)s[1]) && (s == sql || !is_word_character(s[-1])))
			return "it contains a parameter";
		if (strncmp(s, "--", 2) == 0 || strncmp(s, "/*", 2) == 0)
			return "it contains a comment";
		if (*s == ')' && depth-- == 0)
			return "a closing parenthesis has no opening one";
		depth += *s == '(';
		s++;
	}
	if (empty)
		return "it is empty";
	return depth ? "an opening parenthesis is not closed" : NULL;
}
