/* Table-driven decoding: reports everything that is wrong with an object. */
#include "json/json.h"

#include <assert.h>
#include <inttypes.h>
#include <string.h>

#include "base/strbuf.h"
#include "base/utf8.h"

enum {
	FOUND_BYTES = 60,        /* of a value in a message */
	KEY_BYTES = 64,          /* of a key in a path */
	PATH_BYTES = 1024,       /* of a path */
	MESSAGE_BYTES = 8 * 1024 /* of a list of names */
};

struct decode {
	enum reason reason;
	struct findings *f;
};

/* The first bytes of s, at most max, without cutting a character in two. */
static size_t shown_bytes(const char *s, size_t len, size_t max)
{
	size_t shown = 0;

	if (len <= max)
		return len;
	while (shown < max) {
		size_t n = utf8_sequence(s + shown, len - shown);

		if (!n || shown + n > max)
			break;
		shown += n;
	}
	return shown;
}

/* A value as a message shows it: short, and never more than one line. Caller frees. */
static char *found_text(const json_t *value)
{
	struct strbuf sb;

	if (json_is_object(value) || json_is_array(value))
		return xstrdup(jsonx_type_name(value));
	if (!json_is_string(value))
		return jsonx_canonical(value);
	strbuf_init(&sb, MESSAGE_BYTES);
	strbuf_add_json(&sb, json_string_value(value),
			shown_bytes(json_string_value(value), json_string_length(value), FOUND_BYTES));
	if (json_string_length(value) > FOUND_BYTES)
		strbuf_adds(&sb, "...");
	return strbuf_detach(&sb);
}

static bool is_plain_name(const char *key, size_t len)
{
	for (size_t i = 0; i < len; i++)
		if (!strchr("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-$", key[i]))
			return false;
	return len > 0 && len <= KEY_BYTES;
}

char *jsonx_path(const char *path, const char *key)
{
	size_t len = strlen(key);
	struct strbuf sb;

	if (is_plain_name(key, len))
		return xasprintf("%.*s%s%s", PATH_BYTES, path, *path ? "." : "", key);
	strbuf_init(&sb, MESSAGE_BYTES);
	strbuf_addf(&sb, "%.*s[", PATH_BYTES, path);
	strbuf_add_json(&sb, key, shown_bytes(key, len, KEY_BYTES));
	strbuf_addc(&sb, ']');
	return strbuf_detach(&sb);
}

static void add_wrong_value(const struct decode *d, const char *path, const char *expected, const json_t *value)
{
	_cleanup_free_ char *found = found_text(value);

	findings_add(d->f, FINDING_ERROR, d->reason, path, "must be %s, found %s", expected, found);
}

static void add_quoted_names(struct strbuf *sb, const char *const *names, size_t n)
{
	for (size_t i = 0; i < n; i++)
		strbuf_addf(sb, "%s`%s`", i ? ", " : "", names[i]);
}

static void decode_string(const struct decode *d, const struct jsonx_field *field, const json_t *value, void *to,
			  const char *path)
{
	char **out = to;
	size_t len = json_string_length(value);

	if (!json_is_string(value)) {
		add_wrong_value(d, path, "a string", value);
	} else if (field->max > 0 && len == 0 && field->min > 0) {
		findings_add(d->f, FINDING_ERROR, d->reason, path, "must not be empty");
	} else if (field->max > 0 && ((int64_t)len < field->min || (int64_t)len > field->max)) {
		findings_add(d->f, FINDING_ERROR, d->reason, path,
			     "must be %" PRId64 " to %" PRId64 " bytes long, found %zu", field->min, field->max, len);
	} else {
		free(*out);
		*out = xstrdup(json_string_value(value));
	}
}

static void add_unknown_word(const struct decode *d, const struct jsonx_field *field, size_t n, const json_t *value,
			     const char *path)
{
	const char *near = nearest_name(json_string_value(value), field->words, n);
	_cleanup_free_ char *found = found_text(value);
	struct strbuf sb;

	strbuf_init(&sb, MESSAGE_BYTES);
	add_quoted_names(&sb, field->words, n);
	findings_add_unknown(d->f, d->reason, path, "must be %s%s, found %s%s%s%s", n > 1 ? "one of " : "", sb.data,
			     found, near ? "; did you mean `" : "", near ? near : "", near ? "`?" : "");
	strbuf_release(&sb);
}

static void decode_enum(const struct decode *d, const struct jsonx_field *field, const json_t *value, void *to,
			const char *path)
{
	int *out = to;
	size_t n = 0;
	struct strbuf sb;

	for (; field->words[n]; n++)
		if (json_is_string(value) && strcmp(field->words[n], json_string_value(value)) == 0) {
			*out = (int)n;
			return;
		}
	if (json_is_string(value)) {
		add_unknown_word(d, field, n, value, path);
		*out = field->careful;
		return;
	}
	strbuf_init(&sb, MESSAGE_BYTES);
	strbuf_adds(&sb, n > 1 ? "one of " : "");
	add_quoted_names(&sb, field->words, n);
	add_wrong_value(d, path, sb.data, value);
	strbuf_release(&sb);
}

static void decode_integer(const struct decode *d, const struct jsonx_field *field, const json_t *value, void *to,
			   const char *path)
{
	bool bounded = field->min || field->max;
	int64_t *out = to;
	char expected[96];

	if (json_is_integer(value) &&
	    (!bounded || (json_integer_value(value) >= field->min && json_integer_value(value) <= field->max))) {
		*out = json_integer_value(value);
		return;
	}
	if (!bounded)
		(void)snprintf(expected, sizeof(expected), "an integer");
	else if (field->max == INT64_MAX)
		(void)snprintf(expected, sizeof(expected), "an integer of at least %" PRId64, field->min);
	else
		(void)snprintf(expected, sizeof(expected), "an integer between %" PRId64 " and %" PRId64, field->min,
			       field->max);
	add_wrong_value(d, path, expected, value);
}

static void decode_boolean(const struct decode *d, const json_t *value, void *to, const char *path)
{
	bool *out = to;

	if (json_is_boolean(value))
		*out = json_is_true(value);
	else
		add_wrong_value(d, path, "true or false", value);
}

static void decode_strings(const struct decode *d, const struct jsonx_field *field, const json_t *value, void *to,
			   const char *path)
{
	struct jsonx_strings *out = to;
	struct jsonx_strings got = {0};
	size_t i;
	json_t *item;

	if (!json_is_array(value)) {
		add_wrong_value(d, path, "an array of strings", value);
		return;
	}
	if (field->max > 0 && json_array_size(value) > (size_t)field->max) {
		findings_add(d->f, FINDING_ERROR, d->reason, path,
			     "must be an array of at most %" PRId64 " strings, found %zu", field->max,
			     json_array_size(value));
		return;
	}
	if ((field->flags & JSONX_FILLED) && json_array_size(value) == 0)
		findings_add(d->f, FINDING_ERROR, d->reason, path, "must not be empty");
	got.items = xcalloc(json_array_size(value), sizeof(*got.items));
	json_array_foreach (value, i, item) {
		_cleanup_free_ char *at = xasprintf("%.*s[%zu]", PATH_BYTES, path, i);

		if (!json_is_string(item))
			add_wrong_value(d, at, "a string", item);
		else if (field->item_max > 0 && (int64_t)json_string_length(item) > field->item_max)
			findings_add(d->f, FINDING_ERROR, d->reason, at,
				     "must be at most %" PRId64 " bytes long, found %zu", field->item_max,
				     json_string_length(item));
		else if (field->min > 0 && json_string_length(item) == 0)
			findings_add(d->f, FINDING_ERROR, d->reason, at, "must not be empty");
		got.items[got.n++] = xstrdup(json_is_string(item) ? json_string_value(item) : "");
	}
	jsonx_strings_release(out);
	*out = got;
}

static void decode_value(const json_t *value, void *to)
{
	json_t **out = to;
	json_t *old = *out;

	*out = json_incref((json_t *)value);
	json_decref(old);
}

static void decode_field(const struct decode *d, const struct jsonx_field *field, const json_t *value, void *out,
			 const char *path)
{
	void *to = (char *)out + field->offset;

	switch (field->type) {
	case JSONX_STRING:
		decode_string(d, field, value, to, path);
		return;
	case JSONX_ENUM:
		decode_enum(d, field, value, to, path);
		return;
	case JSONX_INTEGER:
		decode_integer(d, field, value, to, path);
		return;
	case JSONX_BOOLEAN:
		decode_boolean(d, value, to, path);
		return;
	case JSONX_OBJECT:
		jsonx_decode(value, field->fields, to, path, d->reason, d->f);
		return;
	case JSONX_STRINGS:
		decode_strings(d, field, value, to, path);
		return;
	case JSONX_VALUE:
		decode_value(value, to);
		return;
	case JSONX_CUSTOM:
		field->decode(value, out, path, d->f);
		return;
	}
	assert(false);
}

static bool has_field(const struct jsonx_field *fields, const char *key)
{
	for (; fields->name; fields++)
		if (strcmp(fields->name, key) == 0)
			return true;
	return false;
}

static size_t count_fields(const struct jsonx_field *fields)
{
	size_t n = 0;

	while (fields[n].name)
		n++;
	return n;
}

/* Considers the fields that are absent from the object (which may be NULL). */
static const char *nearest_field(const json_t *object, const struct jsonx_field *fields, const char *key)
{
	_cleanup_free_ const char **names = xcalloc(count_fields(fields), sizeof(*names));
	size_t n = 0;

	for (; fields->name; fields++)
		if (!json_object_get(object, fields->name))
			names[n++] = fields->name;
	return nearest_name(key, names, n);
}

size_t jsonx_meant(const json_t *object, const struct jsonx_field *fields, const char *ret[JSONX_MEANT])
{
	size_t unknown = 0, n = 0;
	const char *key;
	json_t *value;

	json_object_foreach ((json_t *)object, key, value) {
		const char *meant;

		if (has_field(fields, key))
			continue;
		if (++unknown > JSONX_MEANT)
			break;
		meant = nearest_field(object, fields, key);
		if (meant)
			ret[n++] = meant;
	}
	return n;
}

bool jsonx_is_meant(const json_t *object, const struct jsonx_field *fields, const char *name)
{
	const char *meant[JSONX_MEANT];
	size_t n = jsonx_meant(object, fields, meant);

	for (size_t i = 0; i < n; i++)
		if (strcmp(meant[i], name) == 0)
			return true;
	return false;
}

static void unknown_field(const struct decode *d, const json_t *object, const struct jsonx_field *fields,
			  const char *path, const char *key)
{
	_cleanup_free_ char *at = jsonx_path(path, key);
	const char *near = nearest_field(object, fields, key);
	struct strbuf sb;

	if (!near)
		near = nearest_field(NULL, fields, key);
	if (near) {
		findings_add_unknown(d->f, d->reason, at, "unknown field; did you mean `%s`?", near);
		return;
	}
	strbuf_init(&sb, MESSAGE_BYTES);
	for (size_t i = 0; fields[i].name; i++)
		strbuf_addf(&sb, "%s`%s`", i ? ", " : "", fields[i].name);
	findings_add_unknown(d->f, d->reason, at, "unknown field; the fields here are %s", sb.len ? sb.data : "none");
	strbuf_release(&sb);
}

static void unknown_fields(const struct decode *d, const json_t *object, const struct jsonx_field *fields,
			   const char *path)
{
	size_t unknown = 0;
	const char *key;
	json_t *value;

	json_object_foreach ((json_t *)object, key, value) {
		if (!has_field(fields, key) && ++unknown <= JSONX_MEANT)
			unknown_field(d, object, fields, path, key);
	}
	if (unknown > JSONX_MEANT)
		findings_add_unknown(d->f, d->reason, path, "%zu more unknown fields", unknown - JSONX_MEANT);
}

void jsonx_decode(const json_t *object, const struct jsonx_field *fields, void *out, const char *path,
		  enum reason reason, struct findings *f)
{
	const struct decode d = {.reason = reason, .f = f};

	if (!json_is_object(object)) {
		_cleanup_free_ char *found = object ? found_text(object) : xstrdup(jsonx_type_name(object));

		findings_add(f, FINDING_ERROR, reason, path, "must be an object, found %s", found);
		return;
	}
	for (const struct jsonx_field *field = fields; field->name; field++) {
		const json_t *value = json_object_get(object, field->name);
		_cleanup_free_ char *at = jsonx_path(path, field->name);

		if (value && !json_is_null(value))
			decode_field(&d, field, value, out, at);
		else if ((field->flags & JSONX_REQUIRED) && !jsonx_is_meant(object, fields, field->name))
			findings_add(f, FINDING_ERROR, reason, at, "is required");
	}
	unknown_fields(&d, object, fields, path);
}

void jsonx_strings_release(struct jsonx_strings *s)
{
	free_strings(s->items, s->n);
	*s = (struct jsonx_strings){0};
}
