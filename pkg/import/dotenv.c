/* Variables of a .env file. */
#include "import/import_int.h"

#include <string.h>

#include "base/strbuf.h"

enum { VALUE_BYTES = 65536 };

/* A position in the text, which is NUL-terminated. */
struct dotenv {
	const char *at, *end;
	size_t line;
	const struct import_env *env;
	struct map *values; /* of the file */
	const char *path;
	struct findings *f;
};

static bool is_blank(char c)
{
	return c == ' ' || c == '\t' || c == '\f' || c == '\v';
}

static bool is_newline(char c)
{
	return c == '\n' || c == '\r';
}

static void skip_line_blanks(struct dotenv *d)
{
	while (d->at < d->end && is_blank(*d->at))
		d->at++;
}

static void skip_line(struct dotenv *d)
{
	while (d->at < d->end && !is_newline(*d->at))
		d->at++;
}

static void skip_empty_lines(struct dotenv *d)
{
	for (; d->at < d->end && (is_blank(*d->at) || is_newline(*d->at)); d->at++)
		d->line += *d->at == '\n' || (*d->at == '\r' && d->at[1] != '\n');
}

/* One escape of a quoted value, with d->at after the backslash. Which escapes exist depends on the quote; any other
 * backslash is literal. */
static void read_escape(struct dotenv *d, char quote, struct strbuf *sb)
{
	static const char names[] = "abfnrtv", codes[] = "\a\b\f\n\r\t\v";
	const char *found = *d->at ? strchr(names, *d->at) : NULL;

	if (*d->at == '\\' || *d->at == '\'' || (quote == '"' && *d->at == '"')) {
		strbuf_addc(sb, *d->at++);
	} else if (quote == '"' && found) {
		strbuf_addc(sb, codes[found - names]);
		d->at++;
	} else {
		strbuf_addc(sb, '\\');
	}
}

/* Reads a quoted value, which may have several lines. If the quote is not closed, returns false and consumes nothing.
 */
static bool read_quoted(struct dotenv *d, struct strbuf *sb)
{
	const struct dotenv start = *d;
	char quote = *d->at++;

	while (d->at < d->end && *d->at != quote) {
		char c = *d->at++;

		d->line += c == '\n';
		if (c == '\\')
			read_escape(d, quote, sb);
		else
			strbuf_addc(sb, c);
	}
	if (d->at < d->end) {
		d->at++;
		return true;
	}
	*d = start;
	return false;
}

/* Reads a value up to the end of the line, or up to a comment, which begins with a blank and '#'. */
static void read_bare(struct dotenv *d, struct strbuf *sb)
{
	const char *from = d->at, *to;

	while (d->at < d->end && !is_newline(*d->at) && !(*d->at == '#' && d->at > from && is_blank(d->at[-1])))
		d->at++;
	for (to = d->at; to > from && is_blank(to[-1]);)
		to--;
	strbuf_add(sb, from, (size_t)(to - from));
	skip_line(d);
}

/* Replaces ${NAME} and ${NAME:-default} by variables of the file so far, else of the environment. */
static void add_expanded(const struct dotenv *d, const char *text, struct strbuf *sb)
{
	while (*text) {
		const char *close = !strncmp(text, "${", 2) ? strchr(text, '}') : NULL;
		size_t name = close ? strcspn(text + 2, ":}") : 0;
		const char *value;

		if (!close || (text[2 + name] == ':' && text[3 + name] != '-')) {
			strbuf_addc(sb, *text++);
			continue;
		}
		value = map_get(d->values, text + 2, name);
		if (!value)
			value = map_get(d->env->values, text + 2, name);
		if (value)
			strbuf_adds(sb, value);
		else if (text[2 + name] == ':')
			strbuf_add(sb, text + name + 4, (size_t)(close - (text + name + 4)));
		text = close + 1;
	}
}

/* Reads NAME=value, or a name alone, which sets nothing. False if the line is neither. */
static bool read_assignment(struct dotenv *d, struct strbuf *name, struct strbuf *value, bool *ret_has_value)
{
	if (d->at[0] == '\'' && !read_quoted(d, name))
		return false;
	while (d->at < d->end && *d->at != '=' && *d->at != '#' && !is_blank(*d->at) && !is_newline(*d->at))
		strbuf_addc(name, *d->at++);
	skip_line_blanks(d);
	*ret_has_value = d->at < d->end && *d->at == '=';
	if (*ret_has_value) {
		d->at++;
		skip_line_blanks(d);
		if (d->at < d->end && (*d->at == '\'' || *d->at == '"')) {
			if (!read_quoted(d, value))
				return false;
		} else {
			read_bare(d, value);
		}
	}
	skip_line_blanks(d);
	if (d->at < d->end && *d->at == '#')
		skip_line(d);
	return name->len && (d->at >= d->end || is_newline(*d->at));
}

static void read_line(struct dotenv *d)
{
	struct strbuf name, value, expanded;
	size_t line = d->line;
	bool has_value = false;

	strbuf_init(&name, VALUE_BYTES);
	strbuf_init_secret(&value, VALUE_BYTES);
	strbuf_init_secret(&expanded, VALUE_BYTES);
	if (!strncmp(d->at, "export", 6) && is_blank(d->at[6])) {
		d->at += 6;
		skip_line_blanks(d);
	}
	if (!read_assignment(d, &name, &value, &has_value)) {
		findings_add(d->f, FINDING_WARNING, REASON_IGNORED, d->path,
			     "line %zu is skipped: it must be NAME=value, and a quote must be closed", line);
		skip_line(d);
	} else if (has_value) {
		add_expanded(d, value.data, &expanded);
		if (strbuf_ok(&name) && strbuf_ok(&value) && strbuf_ok(&expanded))
			map_put(d->values, name.data, name.len, xstrdup(expanded.data));
		else
			findings_add(d->f, FINDING_ERROR, REASON_INVALID_SETTING, d->path,
				     "line %zu: the value is longer than %d bytes", line, VALUE_BYTES);
	}
	strbuf_release(&name);
	free_secret(strbuf_detach(&value));
	free_secret(strbuf_detach(&expanded));
}

/* The environment takes precedence; the user should know if the file differs. */
static bool add_unless_set(void *user, const char *key, size_t len, void *value)
{
	const struct dotenv *d = user;
	const char *there = map_get(d->env->values, key, len);

	if (!there)
		map_put(d->env->values, key, len, xstrdup(value));
	else if (strcmp(there, value) != 0 && import_setting_known(key))
		findings_add(d->f, FINDING_WARNING, REASON_IGNORED, key,
			     "the environment's value is used, not that of %s", d->path);
	return true;
}

void import_env_add_file(struct import_env *env, const char *text, size_t len, const char *path, struct findings *f)
{
	struct dotenv d = {.at = text, .end = text + len, .line = 1, .env = env, .path = path, .f = f};

	if (memchr(text, '\0', len)) {
		findings_add(f, FINDING_ERROR, REASON_INVALID_SETTING, path,
			     "is not text: it contains a NUL character");
		return;
	}
	d.values = import_values_new();
	for (skip_empty_lines(&d); d.at < d.end; skip_empty_lines(&d)) {
		if (*d.at == '#')
			skip_line(&d);
		else
			read_line(&d);
	}
	map_each(d.values, add_unless_set, &d);
	map_free(d.values);
}
