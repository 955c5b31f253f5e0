/* Variables: the environment's, then those of a .env file. */
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/map.h"
#include "base/strbuf.h"
#include "import/import_int.h"

enum { VALUE_BYTES = 65536 };

struct import_env {
	struct map *values;
};

static void value_free(void *value)
{
	free_secret(value);
}

struct import_env *import_env_new(char *const *variables)
{
	struct import_env *env = xcalloc(1, sizeof(*env));

	env->values = map_new(value_free);
	for (; variables && *variables; variables++) {
		const char *equals = strchr(*variables, '=');

		if (equals && equals > *variables)
			map_put(env->values, *variables, (size_t)(equals - *variables), xstrdup(equals + 1));
	}
	return env;
}

void import_env_free(struct import_env *env)
{
	if (!env)
		return;
	map_free(env->values);
	free(env);
}

void import_env_override(struct import_env *env, const char *name, const char *value)
{
	map_puts(env->values, name, xstrdup(value));
}

const char *import_env_value(const struct import_env *env, const char *name)
{
	return map_gets(env->values, name);
}

const char *import_env_get(const struct import_env *env, const char *name)
{
	const char *value = import_env_value(env, name);

	return value && *value ? value : NULL;
}

static bool is_one_of(const char *value, const char *const *words)
{
	for (; *words; words++)
		if (!strcasecmp(value, *words))
			return true;
	return false;
}

bool import_env_bool(const struct import_env *env, const char *name, bool otherwise, struct findings *f)
{
	static const char *const yes[] = {"true", "t", "yes", "y", "on", "1", NULL};
	static const char *const no[] = {"false", "f", "no", "n", "off", "0", NULL};
	const char *value = import_env_get(env, name);

	if (!value)
		return otherwise;
	if (is_one_of(value, yes))
		return true;
	if (is_one_of(value, no))
		return false;
	if (f)
		findings_add(f, FINDING_ERROR, IMPORT_INVALID, name, "must be true or false, found \"%.64s\"", value);
	return otherwise;
}

struct each {
	void (*fn)(void *user, const char *name, const char *value);
	void *user;
};

static bool call_one(void *user, const char *key, size_t len, void *value)
{
	const struct each *each = user;

	UNUSED(len);
	if (*(const char *)value)
		each->fn(each->user, key, value);
	return true;
}

void import_env_each(const struct import_env *env, void (*fn)(void *user, const char *name, const char *value),
		     void *user)
{
	struct each each = {.fn = fn, .user = user};

	map_each(env->values, call_one, &each);
}

/* --- .env files --- */

/* A place in the text; all of it is NUL-terminated. */
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

static void skip_blanks(struct dotenv *d)
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

/* One escape of a quoted value, d->at behind the backslash: those that the quote knows mean something, any other
 * backslash stands for itself. */
static void add_escape(struct dotenv *d, char quote, struct strbuf *sb)
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

/* May go over several lines. False when the quote is never closed: then nothing is consumed. */
static bool read_quoted(struct dotenv *d, struct strbuf *sb)
{
	const struct dotenv start = *d;
	char quote = *d->at++;

	while (d->at < d->end && *d->at != quote) {
		char c = *d->at++;

		d->line += c == '\n';
		if (c == '\\')
			add_escape(d, quote, sb);
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

/* Up to the end of the line or a comment, which begins with a blank and '#'. */
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

/* ${NAME} and ${NAME:-default}: of the file as far as it was read, then of the environment. */
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

/* NAME=value; a name alone is none. False when the line is neither. */
static bool read_assignment(struct dotenv *d, struct strbuf *name, struct strbuf *value, bool *ret_has_value)
{
	if (d->at[0] == '\'' && !read_quoted(d, name))
		return false;
	while (d->at < d->end && *d->at != '=' && *d->at != '#' && !is_blank(*d->at) && !is_newline(*d->at))
		strbuf_addc(name, *d->at++);
	skip_blanks(d);
	*ret_has_value = d->at < d->end && *d->at == '=';
	if (*ret_has_value) {
		d->at++;
		skip_blanks(d);
		if (d->at < d->end && (*d->at == '\'' || *d->at == '"')) {
			if (!read_quoted(d, value))
				return false;
		} else {
			read_bare(d, value);
		}
	}
	skip_blanks(d);
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
	strbuf_init(&value, VALUE_BYTES);
	strbuf_init(&expanded, VALUE_BYTES);
	if (!strncmp(d->at, "export", 6) && is_blank(d->at[6])) {
		d->at += 6;
		skip_blanks(d);
	}
	if (!read_assignment(d, &name, &value, &has_value)) {
		findings_add(d->f, FINDING_WARNING, IMPORT_IGNORED, d->path,
			     "line %zu is passed over: it must be NAME=value, with both quotes if there are any", line);
		skip_line(d);
	} else if (has_value) {
		add_expanded(d, value.data, &expanded);
		if (strbuf_ok(&name) && strbuf_ok(&value) && strbuf_ok(&expanded))
			map_put(d->values, name.data, name.len, xstrdup(expanded.data));
		else
			findings_add(d->f, FINDING_ERROR, IMPORT_INVALID, d->path,
				     "line %zu: the value is longer than %d bytes", line, VALUE_BYTES);
	}
	strbuf_release(&name);
	free_secret(strbuf_detach(&value));
	free_secret(strbuf_detach(&expanded));
}

/* What the environment says comes first; when the file says something else, a person should know. */
static bool take_over(void *user, const char *key, size_t len, void *value)
{
	const struct dotenv *d = user;
	const char *there = map_get(d->env->values, key, len);

	if (!there)
		map_put(d->env->values, key, len, xstrdup(value));
	else if (strcmp(there, value) != 0 && import_setting_known(key))
		findings_add(d->f, FINDING_WARNING, IMPORT_IGNORED, key,
			     "the environment's value counts, not the other one of %s", d->path);
	return true;
}

void import_env_add_file(struct import_env *env, const char *text, size_t len, const char *path, struct findings *f)
{
	struct dotenv d = {.at = text, .end = text + len, .line = 1, .env = env, .path = path, .f = f};

	if (memchr(text, '\0', len)) {
		findings_add(f, FINDING_ERROR, IMPORT_INVALID, path, "is no text: it holds a NUL character");
		return;
	}
	d.values = map_new(value_free);
	for (skip_empty_lines(&d); d.at < d.end; skip_empty_lines(&d)) {
		if (*d.at == '#')
			skip_line(&d);
		else
			read_line(&d);
	}
	map_each(d.values, take_over, &d);
	map_free(d.values);
}
