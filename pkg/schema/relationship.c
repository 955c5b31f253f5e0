/* `relationship` of a node, and names of tables. */
#include "schema/schema_int.h"

#include <stdlib.h>
#include <string.h>

bool schema_table_name_decode(const json_t *value, struct schema_table_name *ret, const char *path, struct findings *f)
{
	const char *name = json_string_value(value);
	const char *dot = name ? strchr(name, '.') : NULL;

	if (!name || !*name || strlen(name) > SCHEMA_TABLE_NAME_BYTES || (dot && (dot == name || !dot[1]))) {
		findings_add(f, FINDING_ERROR, REASON_INVALID_SCHEMA, path,
			     "must be a table name or \"schema.table\" of at most %d bytes", SCHEMA_TABLE_NAME_BYTES);
		*ret = (struct schema_table_name){.table = xstrdup("")};
		return false;
	}
	ret->schema = dot ? xstrndup(name, (size_t)(dot - name)) : NULL;
	ret->table = xstrdup(dot ? dot + 1 : name);
	return true;
}

void schema_table_name_release(struct schema_table_name *name)
{
	free(name->schema);
	free(name->table);
}

static void decode_through(const json_t *value, void *out, const char *path, struct findings *f)
{
	struct schema_relationship *r = out;
	_cleanup_free_ char *item = xasprintf("%s[0]", path);
	struct schema_table_name name;

	if (!json_is_array(value)) {
		findings_add(f, FINDING_ERROR, REASON_INVALID_SCHEMA, path,
			     "must be an array with at most one table name, found %s", jsonx_type_name(value));
		return;
	}
	if (json_array_size(value) == 0)
		return;
	if (json_array_size(value) > 1) {
		findings_add(f, FINDING_ERROR, REASON_INVALID_SCHEMA, path,
			     "must name at most one table, found %zu; nest another node for each further table",
			     json_array_size(value));
		return;
	}
	if (schema_table_name_decode(json_array_get(value, 0), &name, item, f))
		r->through = xmemdup(&name, sizeof(name));
	else
		schema_table_name_release(&name);
}

/* One side of foreign_key: the name of a column, or a list of names. */
static void decode_key_columns(const json_t *value, struct jsonx_strings *ret, const char *path, struct findings *f)
{
	size_t given = json_is_array(value) ? json_array_size(value) : 1;
	size_t n = given <= SCHEMA_KEY_COLUMNS ? given : 0;
	bool good = n > 0;

	*ret = (struct jsonx_strings){.items = xcalloc(n, sizeof(*ret->items)), .n = n};
	for (size_t i = 0; i < n; i++) {
		const char *name = json_string_value(json_is_array(value) ? json_array_get(value, i) : value);

		good = good && name && *name && strlen(name) <= SCHEMA_NAME_BYTES;
		ret->items[i] = xstrdup(name ? name : "");
	}
	if (!good)
		findings_add(f, FINDING_ERROR, REASON_INVALID_SCHEMA, path,
			     "must be a list of 1 to %d column names, each at most %d bytes long", SCHEMA_KEY_COLUMNS,
			     SCHEMA_NAME_BYTES);
}

static void decode_key_child(const json_t *value, void *out, const char *path, struct findings *f)
{
	decode_key_columns(value, &((struct schema_relationship *)out)->fk_child, path, f);
}

static void decode_key_parent(const json_t *value, void *out, const char *path, struct findings *f)
{
	decode_key_columns(value, &((struct schema_relationship *)out)->fk_parent, path, f);
}

static const char *const type_words[] = {"one_to_one", "one_to_many", NULL};
static const char *const variant_words[] = {"object", "scalar", NULL};

static const struct jsonx_field foreign_key_fields[] = {
	{.name = "child", .type = JSONX_CUSTOM, .flags = JSONX_REQUIRED, .decode = decode_key_child},
	{.name = "parent", .type = JSONX_CUSTOM, .flags = JSONX_REQUIRED, .decode = decode_key_parent},
	{0},
};

const struct jsonx_field schema_relationship_fields[] = {
	{.name = "type",
	 .type = JSONX_ENUM,
	 .offset = offsetof(struct schema_relationship, type),
	 .flags = JSONX_REQUIRED,
	 .words = type_words},
	{.name = "variant",
	 .type = JSONX_ENUM,
	 .offset = offsetof(struct schema_relationship, variant),
	 .flags = JSONX_REQUIRED,
	 .words = variant_words},
	{.name = "through_tables", .type = JSONX_CUSTOM, .decode = decode_through},
	{.name = "foreign_key", .type = JSONX_OBJECT, .offset = 0, .fields = foreign_key_fields},
	{0},
};

void schema_relationship_release(struct schema_relationship *r)
{
	if (r->through) {
		schema_table_name_release(r->through);
		free(r->through);
	}
	jsonx_strings_release(&r->fk_child);
	jsonx_strings_release(&r->fk_parent);
}
