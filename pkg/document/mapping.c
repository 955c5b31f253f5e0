/* The body of the index's creation: settings, and a strict mapping from Postgres types with the document's own on top.
 */
#include <stdlib.h>
#include <string.h>

#include "document/document_int.h"

enum { SCALED_DIGITS = 18 };

struct type_mapping {
	const char *type; /* Postgres' */
	const char *json;
};

static const char date[] = "{\"type\": \"date\", \"format\": \"strict_date_optional_time||epoch_millis\"}";
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
	{"float4", "{\"type\": \"float\"}"},
	{"float8", "{\"type\": \"double\"}"},
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
		return json_pack("{s:s}", "type", "double");
	for (int32_t i = 0; i < scale; i++)
		factor *= 10;
	return json_pack("{s:s, s:I}", "type", "scaled_float", "scaling_factor", factor);
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
	if (column->category == 'C')
		return json_loads(opaque, 0, NULL);
	return json_loads(column->category == 'E' ? keyword : long_keyword, 0, NULL);
}

static json_t *place_properties(const struct place *place);

static json_t *place_mapping(const struct place *place)
{
	if (place->scalar)
		return column_mapping(&place->table->columns[place->columns[0]]);
	return json_pack("{s:o}", "properties", place_properties(place));
}

static json_t *place_properties(const struct place *place)
{
	json_t *properties = json_object();

	for (size_t i = 0; i < place->n_columns; i++) {
		const struct catalog_column *column = &place->table->columns[place->columns[i]];

		(void)json_object_set_new(properties, column->name, column_mapping(column));
	}
	for (size_t i = 0; i < place->n_children; i++)
		(void)json_object_set_new(properties, place->children[i]->node->label,
					  place_mapping(place->children[i]));
	return properties;
}

/* Puts the document's own properties over the generated ones. One that names a type replaces the generated field with
 * all its parameters, except that an object or nested field keeps the fields within. */
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

json_t *mapping_body(const struct tree *tree)
{
	const struct schema_document *document = tree->document;
	json_t *index = document->setting ? json_deep_copy(document->setting) : json_object();
	json_t *mappings;

	/* How long the engine remembers a deletion's version, so that a late write does not bring the document back. */
	if (!json_object_get(index, "gc_deletes"))
		(void)json_object_set_new(index, "gc_deletes", json_string("1h"));
	/* As in pgsync, a mapping with dynamic templates is the whole mapping. */
	if (json_object_get(document->mapping, "dynamic_templates")) {
		mappings = json_deep_copy(document->mapping);
	} else {
		mappings =
			json_pack("{s:s, s:o}", "dynamic", "strict", "properties", place_properties(tree->places[0]));
		if (document->mapping) {
			_cleanup_json_ json_t *own = json_deep_copy(document->mapping);

			merge_properties(json_object_get(mappings, "properties"), own);
		}
	}
	return json_pack("{s:{s:o}, s:o}", "settings", "index", index, "mappings", mappings);
}
