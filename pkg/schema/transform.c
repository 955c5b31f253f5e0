/* `transform` of a node. */
#include "schema/schema_int.h"

#include <stdlib.h>
#include <string.h>

enum { ENTRIES = 256, FIELD_BYTES = 255, TEXT_BYTES = 8192 };

/* --- objects by field --- */

static bool check_object(const json_t *value, const char *path, struct findings *f)
{
	if (json_is_object(value) && json_object_size(value) <= ENTRIES)
		return true;
	findings_add(f, FINDING_ERROR, REASON_INVALID_SCHEMA, path, "must be an object of at most %d fields, found %s",
		     ENTRIES, jsonx_type_name(value));
	return false;
}

static bool is_text(const json_t *value, size_t min, size_t max)
{
	return json_is_string(value) && json_string_length(value) >= min && json_string_length(value) <= max;
}

static void decode_rename(const json_t *value, void *out, const char *path, struct findings *f)
{
	struct schema_transform *t = out;
	const char *field;
	json_t *name;

	if (!check_object(value, path, f))
		return;
	t->rename = json_object();
	json_object_foreach ((json_t *)value, field, name) {
		_cleanup_free_ char *at = jsonx_path(path, field);

		if (is_text(name, 1, FIELD_BYTES))
			(void)json_object_set(t->rename, field, name);
		else if (json_is_object(name))
			findings_add(f, FINDING_ERROR, REASON_NOT_SUPPORTED, at,
				     "keys within the JSON column `%s` cannot be renamed; select them as JSON paths "
				     "(\"%s->key\") and rename these",
				     field, field);
		else
			findings_add(f, FINDING_ERROR, REASON_INVALID_SCHEMA, at,
				     "must be a new name of 1 to %d bytes, found %s", FIELD_BYTES,
				     jsonx_type_name(name));
	}
}

static void decode_replacements(const json_t *value, const char *field, const char *path, struct findings *f)
{
	const char *search;
	json_t *with;

	json_object_foreach ((json_t *)value, search, with) {
		_cleanup_free_ char *at = jsonx_path(path, search);

		if (json_is_object(with))
			findings_add(f, FINDING_ERROR, REASON_NOT_SUPPORTED, at,
				     "texts within the JSON column `%s` cannot be replaced; select them as JSON paths "
				     "(\"%s->>%s\") and replace in these",
				     field, field, search);
		else if (!*search || !is_text(with, 0, TEXT_BYTES))
			findings_add(f, FINDING_ERROR, REASON_INVALID_SCHEMA, at,
				     "must map a text to search for to a text of at most %d bytes", TEXT_BYTES);
	}
}

static void decode_replace(const json_t *value, void *out, const char *path, struct findings *f)
{
	struct schema_transform *t = out;
	const char *field;
	json_t *map;

	if (!check_object(value, path, f))
		return;
	json_object_foreach ((json_t *)value, field, map) {
		_cleanup_free_ char *at = jsonx_path(path, field);

		if (json_is_object(map) && json_object_size(map) <= ENTRIES)
			decode_replacements(map, field, at, f);
		else
			findings_add(f, FINDING_ERROR, REASON_INVALID_SCHEMA, at,
				     "must be an object of {\"search\": \"replacement\"}, found %s",
				     jsonx_type_name(map));
	}
	t->replace = json_deep_copy(value);
}

static void decode_field_mappings(const json_t *value, void *out, const char *path, struct findings *f)
{
	struct schema_transform *t = out;
	const char *field;
	json_t *mapping;

	if (!check_object(value, path, f))
		return;
	json_object_foreach ((json_t *)value, field, mapping) {
		_cleanup_free_ char *at = jsonx_path(path, field);

		if (!json_is_object(mapping))
			findings_add(f, FINDING_ERROR, REASON_INVALID_SCHEMA, at,
				     "must be a mapping like {\"type\": \"keyword\"}, found %s",
				     jsonx_type_name(mapping));
	}
	t->mapping = json_deep_copy(value);
}

/* --- concat and move: one, or a list --- */

static const struct jsonx_field concat_fields[] = {
	{.name = "columns",
	 .type = JSONX_STRINGS,
	 .offset = offsetof(struct schema_concat, columns),
	 .flags = JSONX_REQUIRED,
	 .max = ENTRIES},
	{.name = "destination",
	 .type = JSONX_STRING,
	 .offset = offsetof(struct schema_concat, destination),
	 .flags = JSONX_REQUIRED,
	 .min = 1,
	 .max = FIELD_BYTES},
	{.name = "delimiter", .type = JSONX_STRING, .offset = offsetof(struct schema_concat, delimiter)},
	{0},
};

static const struct jsonx_field move_fields[] = {
	{.name = "column",
	 .type = JSONX_STRING,
	 .offset = offsetof(struct schema_move, column),
	 .flags = JSONX_REQUIRED,
	 .min = 1,
	 .max = FIELD_BYTES},
	{.name = "destination",
	 .type = JSONX_STRING,
	 .offset = offsetof(struct schema_move, destination),
	 .flags = JSONX_REQUIRED,
	 .min = 1,
	 .max = TEXT_BYTES},
	{0},
};

/* Calls `decode` for the object, or for each object of the array. */
static void each_object(const json_t *value, struct schema_transform *t, const char *path,
			void (*decode)(const json_t *value, struct schema_transform *t, const char *path,
				       struct findings *f),
			struct findings *f)
{
	if (json_is_object(value)) {
		decode(value, t, path, f);
		return;
	}
	if (!json_is_array(value) || json_array_size(value) > ENTRIES) {
		findings_add(f, FINDING_ERROR, REASON_INVALID_SCHEMA, path,
			     "must be an object, or an array of at most %d objects, found %s", ENTRIES,
			     jsonx_type_name(value));
		return;
	}
	for (size_t i = 0; i < json_array_size(value); i++) {
		_cleanup_free_ char *item = xasprintf("%s[%zu]", path, i);

		if (json_is_object(json_array_get(value, i)))
			decode(json_array_get(value, i), t, item, f);
		else
			findings_add(f, FINDING_ERROR, REASON_INVALID_SCHEMA, item, "must be an object, found %s",
				     jsonx_type_name(json_array_get(value, i)));
	}
}

static void concat_release(struct schema_concat *c)
{
	jsonx_strings_release(&c->columns);
	free(c->path);
	free(c->destination);
	free(c->delimiter);
}

static void read_concat(const json_t *value, struct schema_transform *t, const char *path, struct findings *f)
{
	struct schema_concat c = {.path = xstrdup(path)};

	jsonx_decode(value, concat_fields, &c, path, REASON_INVALID_SCHEMA, f);
	if (!c.destination) {
		concat_release(&c);
		return;
	}
	t->concats = xreallocarray(t->concats, t->n_concats + 1, sizeof(*t->concats));
	t->concats[t->n_concats++] = c;
}

static void move_release(struct schema_move *m)
{
	free(m->path);
	free(m->column);
	free(m->destination);
}

static void add_move(const json_t *value, struct schema_transform *t, const char *path, struct findings *f)
{
	struct schema_move m = {.path = xstrdup(path)};

	jsonx_decode(value, move_fields, &m, path, REASON_INVALID_SCHEMA, f);
	if (!m.column || !m.destination) {
		move_release(&m);
		return;
	}
	t->moves = xreallocarray(t->moves, t->n_moves + 1, sizeof(*t->moves));
	t->moves[t->n_moves++] = m;
}

static void decode_concat(const json_t *value, void *out, const char *path, struct findings *f)
{
	each_object(value, out, path, read_concat, f);
}

static void decode_move(const json_t *value, void *out, const char *path, struct findings *f)
{
	each_object(value, out, path, add_move, f);
}

const struct jsonx_field schema_transform_fields[] = {
	{.name = "rename", .type = JSONX_CUSTOM, .decode = decode_rename},
	{.name = "replace", .type = JSONX_CUSTOM, .decode = decode_replace},
	{.name = "concat", .type = JSONX_CUSTOM, .decode = decode_concat},
	{.name = "move", .type = JSONX_CUSTOM, .decode = decode_move},
	{.name = "mapping", .type = JSONX_CUSTOM, .decode = decode_field_mappings},
	{0},
};

void schema_transform_release(struct schema_transform *t)
{
	json_decref(t->rename);
	json_decref(t->replace);
	json_decref(t->mapping);
	for (size_t i = 0; i < t->n_concats; i++)
		concat_release(&t->concats[i]);
	free(t->concats);
	for (size_t i = 0; i < t->n_moves; i++)
		move_release(&t->moves[i]);
	free(t->moves);
}
