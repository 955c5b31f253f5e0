/* The body of the request that creates the index: settings, and a strict mapping derived from Postgres types,
 * overridden by the document's own. */
#include <stdlib.h>
#include <string.h>

#include "document/document_int.h"

enum {
	SCALED_DIGITS = 18,
	/* The engines' default limits. */
	TOTAL_FIELDS = 1000,
	NESTED_FIELDS = 50,
	DEPTH = 20,
};

struct type_mapping {
	const char *type; /* Postgres' */
	const char *json;
};

/* A value that an engine cannot parse (a year before 1 or above 9999, a number beyond a double) stays in the document,
 * but is not searchable. */
#define LENIENT "\"ignore_malformed\": true"
static const char date[] = "{\"type\": \"date\", \"format\": \"strict_date_optional_time||epoch_millis\", " LENIENT "}";
static const char text[] = "{\"type\": \"text\", \"fields\": {\"keyword\": {\"type\": \"keyword\", \"ignore_above\": "
			   "256}}}";
static const char opaque[] = "{\"type\": \"object\", \"enabled\": false}";
static const char keyword[] = "{\"type\": \"keyword\"}";
/* In UTF-8 at most 32,764 bytes: Lucene refuses terms above 32,766. */
static const char long_keyword[] = "{\"type\": \"keyword\", \"ignore_above\": 8191}";

static const struct type_mapping type_mappings[] = {
	{"int2", "{\"type\": \"short\"}"},
	{"int4", "{\"type\": \"integer\"}"},
	{"int8", "{\"type\": \"long\"}"},
	{"oid", "{\"type\": \"long\"}"},
	{"float4", "{\"type\": \"float\", " LENIENT "}"},
	{"float8", "{\"type\": \"double\", " LENIENT "}"},
	{"bool", "{\"type\": \"boolean\"}"},
	{"text", text},
	{"varchar", text},
	{"citext", text},
	{"name", text},
	{"uuid", keyword},
	{"date", date},
	{"timestamp", date},
	{"timestamptz", date},
	{"json", opaque},
	{"jsonb", opaque},
	{"hstore", opaque},
	{"geometry", opaque},
	{"geography", opaque},
	{"bytea", "{\"type\": \"keyword\", \"index\": false, \"doc_values\": false}"},
};

/* Postgres keeps precision and scale in the type modifier: (precision << 16 | scale of 11 bits, signed) + 4. */
static json_t *numeric_mapping(int32_t typmod)
{
	int32_t precision = (typmod - 4) >> 16 & 0xffff;
	int32_t scale = (((typmod - 4) & 0x7ff) ^ 1024) - 1024;
	json_int_t factor = 1;

	if (typmod < 4 || precision > SCALED_DIGITS || scale > SCALED_DIGITS)
		return json_pack("{s:s, s:b}", "type", "double", "ignore_malformed", 1);
	for (int32_t i = 0; i < scale; i++)
		factor *= 10;
	return json_pack("{s:s, s:I, s:b}", "type", "scaled_float", "scaling_factor", factor, "ignore_malformed", 1);
}

static json_t *column_mapping(const struct catalog_column *column)
{
	/* An array field is mapped as its elements are. */
	const char *type = column->base_type + (column->category == 'A' && column->base_type[0] == '_' ? 1 : 0);

	if (strcmp(type, "numeric") == 0)
		return numeric_mapping(column->typmod);
	for (size_t i = 0; i < ARRAY_SIZE(type_mappings); i++)
		if (strcmp(type, type_mappings[i].type) == 0)
			return json_loads(type_mappings[i].json, 0, NULL);
	if (column->category == 'C' || column->element_category == 'C')
		return json_loads(opaque, 0, NULL);
	return json_loads(column->category == 'E' ? keyword : long_keyword, 0, NULL);
}

static json_t *fields_properties(const struct field *fields, size_t n);
static json_t *node_mapping(const struct plan_node *node);
static json_t *moved_field_mapping(const struct moved_field *moved_field);

/* Replaced or extracted text is text; the value of a JSON path may be anything. */
static json_t *field_mapping(const struct field *field)
{
	bool text_path = field->path.n && strlen(field->path.steps[field->path.n - 1].op) == 3;

	switch (field->kind) {
	case FIELD_COLUMN:
	case FIELD_EXPRESSION:
		if (field->path.n)
			return json_loads(text_path ? text : opaque, 0, NULL);
		if (field->replace && (field->type->category == 'D' || field->type->category == 'U'))
			return json_loads(text, 0, NULL);
		return column_mapping(field->type);
	case FIELD_SYSTEM:
		return json_loads(keyword, 0, NULL);
	case FIELD_CHILD:
		return node_mapping(field->child);
	case FIELD_CONCAT:
		return json_loads(text, 0, NULL);
	case FIELD_OBJECT:
		return json_pack("{s:o}", "properties", fields_properties(field->fields, field->n_fields));
	case FIELD_MOVED:
		return moved_field_mapping(field->moved_field);
	case FIELD_META:
		break;
	}
	return json_loads(opaque, 0, NULL);
}

static json_t *fields_properties(const struct field *fields, size_t n)
{
	json_t *properties = json_object();

	for (size_t i = 0; i < n; i++)
		if (!fields[i].hidden)
			(void)json_object_set_new(properties, fields[i].name, field_mapping(&fields[i]));
	return properties;
}

static void merge_properties(json_t *generated, const json_t *own);

/* transform.mapping names fields as they are before `move`; names from before a rename are accepted too. NULL: not a
 * field of the node, but possibly one within a JSON column. */
static const struct field *field_meant(const struct plan_node *node, const char *name)
{
	const struct field *meant = field_find_moved(node, name);

	if (!meant)
		meant = field_find(node, name);
	return meant ? meant : field_find_source(node, name);
}

static json_t *own_properties(const struct plan_node *node)
{
	json_t *own = json_object();
	const char *name;
	json_t *mapping;

	json_object_foreach (node->decl->transform.mapping, name, mapping) {
		const struct field *field = field_meant(node, name);

		if (!field || !field->hidden)
			(void)json_object_set_new(own, field ? field->name : name, json_deep_copy(mapping));
	}
	return own;
}

/* The mapping in transform.mapping for a field of the node, or NULL. */
static json_t *override_of(const struct plan_node *node, const struct field *field)
{
	const char *name;
	json_t *mapping;

	json_object_foreach (node->decl->transform.mapping, name, mapping)
		if (field_meant(node, name) == field)
			return mapping;
	return NULL;
}

static json_t *node_properties(const struct plan_node *node)
{
	json_t *properties = fields_properties(node->fields, node->n_fields);
	_cleanup_json_ json_t *own = own_properties(node);

	merge_properties(properties, own);
	return properties;
}

static json_t *node_mapping(const struct plan_node *node)
{
	json_t *own = NULL;
	json_t *mapping;

	if (node->scalar) {
		own = override_of(node, &node->fields[0]);
		return own ? json_deep_copy(own) : field_mapping(&node->fields[0]);
	}
	mapping = json_pack("{s:o}", "properties", node_properties(node));
	if (node->decl->nested)
		(void)json_object_set_new(mapping, "type", json_string("nested"));
	return mapping;
}

/* Overrides the generated properties with the document's own. An own property with a type replaces the generated one
 * and all its parameters, except that an object or nested field keeps its inner fields. */
static void merge_properties(json_t *generated, const json_t *own)
{
	const char *key;
	json_t *value;

	json_object_foreach ((json_t *)own, key, value) {
		json_t *field = json_object_get(generated, key);
		json_t *inner = json_object_get(field, "properties");
		json_t *own_inner = json_object_get(value, "properties");
		_cleanup_json_ json_t *merged = NULL;

		if (!json_is_object(field) || !json_is_object(value) || (!inner && json_object_get(value, "type"))) {
			(void)json_object_set(generated, key, value);
			continue;
		}
		merged = json_incref(inner);
		(void)json_object_update(field, value);
		if (!merged)
			continue;
		if (json_is_object(own_inner))
			merge_properties(merged, own_inner);
		(void)json_object_set(field, "properties", merged);
	}
}

/* Takes the mapping of a moved field (or NULL), and overrides it with transform.mapping of the node that the field
 * comes from. */
static json_t *with_override(json_t *mapping, const struct moved_field *moved_field)
{
	const struct field *field = &moved_field->node->fields[moved_field->field];
	json_t *override = override_of(moved_field->node, field);
	_cleanup_json_ json_t *properties = json_object();
	_cleanup_json_ json_t *own = json_object();

	if (mapping)
		(void)json_object_set_new(properties, field->name, mapping);
	if (override)
		(void)json_object_set_new(own, field->name, json_deep_copy(override));
	merge_properties(properties, own);
	return json_incref(json_object_get(properties, field->name));
}

static json_t *moved_field_mapping(const struct moved_field *moved_field)
{
	return with_override(field_mapping(&moved_field->node->fields[moved_field->field]), moved_field);
}

static json_t *dynamic_mapping(const struct field *field);

static void add_dynamic(json_t *properties, const struct field *fields, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		json_t *mapping = fields[i].hidden ? NULL : dynamic_mapping(&fields[i]);

		if (mapping)
			(void)json_object_set_new(properties, fields[i].name, mapping);
	}
}

static json_t *dynamic_properties(const struct plan_node *node)
{
	json_t *properties = json_object();
	_cleanup_json_ json_t *own = own_properties(node);

	add_dynamic(properties, node->fields, node->n_fields);
	merge_properties(properties, own);
	return properties;
}

/* Takes the properties; NULL when there is nothing to map in the object. */
static json_t *dynamic_object(json_t *properties, bool nested)
{
	_cleanup_json_ json_t *object = json_pack("{s:o}", "properties", properties);

	if (nested)
		(void)json_object_set_new(object, "type", json_string("nested"));
	return nested || json_object_size(properties) ? json_incref(object) : NULL;
}

/* Only what the schema specifies for the field, or NULL; the engine adds the rest. */
static json_t *dynamic_mapping(const struct field *field)
{
	const struct plan_node *child = field->child;
	json_t *properties;

	switch (field->kind) {
	case FIELD_CHILD:
		if (child->scalar)
			return json_deep_copy(override_of(child, &child->fields[0]));
		return dynamic_object(dynamic_properties(child), child->decl->nested);
	case FIELD_OBJECT:
		properties = json_object();
		add_dynamic(properties, field->fields, field->n_fields);
		return dynamic_object(properties, false);
	case FIELD_MOVED:
		return with_override(dynamic_mapping(&field->moved_field->node->fields[field->moved_field->field]),
				     field->moved_field);
	default:
		return NULL;
	}
}

/* The text of a key may be longer than an id can be. */
static bool key_may_be_long(const struct plan_node *root)
{
	static const char *const short_types[] = {"int2",   "int4",   "int8",      "oid",         "uuid",
						  "bool",   "date",   "timestamp", "timestamptz", "time",
						  "timetz", "float4", "float8",    "inet"};

	for (size_t i = 0; i < root->n_key; i++) {
		bool is_short = false;

		for (size_t j = 0; j < ARRAY_SIZE(short_types); j++)
			is_short =
				is_short || strcmp(root->table->columns[root->key[i]].base_type, short_types[j]) == 0;
		if (!is_short)
			return true;
	}
	return false;
}

static json_t *generated_properties(const struct plan_node *root)
{
	json_t *properties = node_properties(root);

	if (key_may_be_long(root) && !json_object_get(properties, DOCUMENT_KEY_FIELD))
		(void)json_object_set_new(properties, DOCUMENT_KEY_FIELD,
					  json_pack("{s:s, s:b, s:b}", "type", "keyword", "index", 0, "doc_values", 0));
	return properties;
}

static json_t *mappings(const struct tree *tree)
{
	const struct schema_document *document = tree->document;
	bool dynamic = tree->format->mapping == SCHEMA_MAPPING_DYNAMIC;
	json_t *properties;

	/* As in pgsync, a mapping with dynamic templates replaces the whole mapping. */
	if (json_object_get(document->mapping, "dynamic_templates"))
		return json_deep_copy(document->mapping);
	properties = dynamic ? dynamic_properties(tree->nodes[0]) : generated_properties(tree->nodes[0]);
	/* It is not meant for searching, and tables of the same name in two schemas share an entry, possibly with keys
	 * of different types. */
	if (dynamic && tree->format->meta == SCHEMA_META_PGSYNC)
		(void)json_object_set_new(properties, "_meta", json_loads(opaque, 0, NULL));
	if (document->mapping) {
		_cleanup_json_ json_t *own = json_deep_copy(document->mapping);

		merge_properties(properties, own);
	}
	return dynamic ? json_pack("{s:o}", "properties", properties)
		       : json_pack("{s:s, s:o}", "dynamic", "strict", "properties", properties);
}

/* "a.b" is a field of an object a. */
static size_t count_words(const char *name)
{
	size_t n = 1;

	for (; (name = strchr(name, '.')); name++)
		n++;
	return n;
}

/* Counted as the engines do: fields, the objects that contain them, and the fields of multi-fields. */
static size_t count_mapped_fields(const json_t *properties)
{
	size_t n = 0;
	const char *name;
	json_t *field;

	json_object_foreach ((json_t *)properties, name, field)
		n += count_words(name) + count_mapped_fields(json_object_get(field, "properties")) +
		     count_mapped_fields(json_object_get(field, "fields"));
	return n;
}

static bool is_of_type(const json_t *field, const char *type)
{
	const char *found = json_string_value(json_object_get(field, "type"));

	return found && strcmp(found, type) == 0;
}

static size_t count_nested(const json_t *properties)
{
	size_t n = 0;
	const char *name;
	json_t *field;

	json_object_foreach ((json_t *)properties, name, field)
		n += is_of_type(field, "nested") + count_nested(json_object_get(field, "properties"));
	return n;
}

/* 1 if no field is an object. */
static size_t count_levels(const json_t *properties)
{
	size_t most = 0;
	const char *name;
	json_t *field;

	json_object_foreach ((json_t *)properties, name, field) {
		size_t below = count_levels(json_object_get(field, "properties"));
		size_t n = count_words(name) - 1 + (!below && is_of_type(field, "object") ? 1 : below);

		most = n > most ? n : most;
	}
	return json_is_object(properties) ? most + 1 : 0;
}

/* limit: "total_fields". */
static bool is_limited(const json_t *setting, const char *limit)
{
	const json_t *mapping = json_object_get(setting, "mapping");
	_cleanup_free_ char *of_mapping = xasprintf("%s.limit", limit);
	_cleanup_free_ char *flat = xasprintf("mapping.%s", of_mapping);
	_cleanup_free_ char *part = xasprintf("mapping.%s", limit);

	return json_object_get(json_object_get(mapping, limit), "limit") || json_object_get(mapping, of_mapping) ||
	       json_object_get(json_object_get(setting, part), "limit") || json_object_get(setting, flat);
}

static void raise_limit(json_t *setting, const char *limit, size_t needed, size_t by_default)
{
	_cleanup_free_ char *flat = xasprintf("mapping.%s.limit", limit);

	if (needed > by_default && !is_limited(setting, limit))
		(void)json_object_set_new(setting, flat, json_integer((json_int_t)needed + (json_int_t)by_default));
}

/* Room for the fields from the tables, and the engine's default for those within JSON columns. */
static void make_room(const struct tree *tree, json_t *setting)
{
	_cleanup_json_ json_t *properties = generated_properties(tree->nodes[0]);

	raise_limit(setting, "total_fields", count_mapped_fields(properties), TOTAL_FIELDS);
	raise_limit(setting, "nested_fields", count_nested(properties), NESTED_FIELDS);
	raise_limit(setting, "depth", count_levels(properties), DEPTH);
}

json_t *mapping_body(const struct tree *tree)
{
	const struct schema_document *document = tree->document;
	json_t *index = document->setting ? json_deep_copy(document->setting) : json_object();

	make_room(tree, index);
	/* How long the engine remembers a deletion's version, so that a late write does not restore the document. */
	if (!json_object_get(index, "gc_deletes"))
		(void)json_object_set_new(index, "gc_deletes", json_string("1h"));
	return json_pack("{s:{s:o}, s:o}", "settings", "index", index, "mappings", mappings(tree));
}
