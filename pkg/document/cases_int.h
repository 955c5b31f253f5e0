/* For tests: the cases of testdata, with handmade catalogs. An invalid case ends the program. */
#ifndef PGSYNC_DOCUMENT_CASES_INT_H
#define PGSYNC_DOCUMENT_CASES_INT_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/parse.h"
#include "document/document.h"

enum { FILE_BYTES = 1024 * 1024, PATH_BYTES = 512 };

static const char cases[] = "pkg/document/testdata";

static inline _Noreturn void fixture_fail(const char *what, const char *which)
{
	(void)fprintf(stderr, "%s: %s\n", what, which);
	abort();
}

struct known_type {
	const char *type, *base;
	char category;
};

static const struct known_type known_types[] = {
	{"smallint", "int2", 'N'},
	{"integer", "int4", 'N'},
	{"bigint", "int8", 'N'},
	{"numeric", "numeric", 'N'},
	{"real", "float4", 'N'},
	{"double precision", "float8", 'N'},
	{"oid", "oid", 'N'},
	{"money", "money", 'N'},
	{"text", "text", 'S'},
	{"character varying", "varchar", 'S'},
	{"character", "bpchar", 'S'},
	{"citext", "citext", 'S'},
	{"boolean", "bool", 'B'},
	{"uuid", "uuid", 'U'},
	{"json", "json", 'U'},
	{"jsonb", "jsonb", 'U'},
	{"bytea", "bytea", 'U'},
	{"hstore", "hstore", 'U'},
	{"xml", "xml", 'U'},
	{"date", "date", 'D'},
	{"time without time zone", "time", 'D'},
	{"timestamp without time zone", "timestamp", 'D'},
	{"timestamp with time zone", "timestamptz", 'D'},
	{"interval", "interval", 'T'},
	{"inet", "inet", 'I'},
	{"int4range", "int4range", 'R'},
	{"bit", "bit", 'V'},
	{"mood", "mood", 'E'},
	{"address", "address", 'C'},
	{"isbn", "text", 'S'}, /* a domain */
	{"regclass", "regclass", 'N'},
	{"regtype", "regtype", 'N'},
	{"regrole[]", "_regrole", 'A'},
	{"text[]", "_text", 'A'},
	{"integer[]", "_int4", 'A'},
	{"numeric[]", "_numeric", 'A'},
	{"jsonb[]", "_jsonb", 'A'},
	{"address[]", "_address", 'A'},
};

/* "numeric(10,2) not null". */
static inline struct catalog_column decode_column(const char *name, const char *text, int attnum)
{
	const char *not_null = strstr(text, " not null");
	size_t len = not_null ? (size_t)(not_null - text) : strlen(text);
	_cleanup_free_ char *type = xstrndup(text, len);
	const char *open = strchr(type, '(');
	const char *close = open ? strchr(open, ')') : NULL;
	_cleanup_free_ char *plain = open ? xasprintf("%.*s%s", (int)(open - type), type, close + 1) : xstrdup(type);
	struct catalog_column column = {
		.name = xstrdup(name), .type = xstrdup(type), .typmod = -1, .not_null = not_null, .attnum = attnum};
	uint64_t precision = 0, scale = 0;

	for (size_t i = 0; i < ARRAY_SIZE(known_types); i++) {
		if (strcmp(plain, known_types[i].type) != 0)
			continue;
		column.base_type = xstrdup(known_types[i].base);
		column.category = known_types[i].category;
		if (strcmp(column.base_type, "_address") == 0)
			column.element_category = 'C';
	}
	if (!column.base_type)
		fixture_fail("unknown type in a catalog.json", plain);
	if (open && strncmp(type, "numeric", 7) == 0) {
		const char *comma = strchr(open, ',');
		_cleanup_free_ char *first = xstrndup(open + 1, (size_t)((comma ? comma : close) - open - 1));
		_cleanup_free_ char *second = comma ? xstrndup(comma + 1, (size_t)(close - comma - 1)) : xstrdup("0");

		if (!parse_u64(first, strlen(first), &precision) || !parse_u64(second, strlen(second), &scale))
			fixture_fail("no numeric", type);
		column.typmod = (int32_t)(precision << 16 | scale) + 4;
	}
	return column;
}

static inline int *decode_positions(const struct catalog_table *table, const json_t *names, size_t *ret_n)
{
	int *columns = xcalloc(json_array_size(names), sizeof(*columns));

	*ret_n = json_array_size(names);
	for (size_t i = 0; i < *ret_n; i++) {
		columns[i] = catalog_column(table, json_string_value(json_array_get(names, i)));
		if (columns[i] < 0)
			fixture_fail("no such column", json_string_value(json_array_get(names, i)));
	}
	return columns;
}

static inline void add_index(struct catalog_table *table, const json_t *columns, bool unique, bool primary)
{
	struct catalog_index *index;

	if (!columns)
		return;
	table->indexes = xreallocarray(table->indexes, table->n_indexes + 1, sizeof(*table->indexes));
	index = &table->indexes[table->n_indexes++];
	*index = (struct catalog_index){
		.name = xasprintf("%s_%zu", table->name, table->n_indexes),
		.unique = unique,
		.primary = primary,
		.immediate = true,
		.valid = true,
	};
	index->columns = decode_positions(table, columns, &index->n);
}

/* {"name", "schema", "kind", "persistence", "columns": {name: type}, "primary_key": [], "unique": [[]], "reads": [],
 * "indexes":
 * [[]], "foreign_keys": [{"columns": [], "to": "table", "to_schema", "to_columns": []}]} */
static inline void decode_table(const json_t *value, uint32_t oid, struct catalog_table *table)
{
	const char *name;
	json_t *item;
	size_t i;

	*table = (struct catalog_table){
		.oid = oid,
		.schema = xstrdup(jsonx_string(value, "schema", "public")),
		.name = xstrdup(jsonx_string(value, "name", "")),
		.kind = *jsonx_string(value, "kind", "r"),
		.persistence = *jsonx_string(value, "persistence", "p"),
		.replica_identity = 'd',
		.is_owner = true,
		.can_select = true,
		.row_estimate = -1,
	};
	table->columns = xcalloc(json_object_size(jsonx_get(value, "columns")), sizeof(*table->columns));
	json_object_foreach (jsonx_get(value, "columns"), name, item) {
		table->columns[table->n_columns] =
			decode_column(name, json_string_value(item), (int)table->n_columns + 1);
		table->n_columns++;
	}
	add_index(table, jsonx_get(value, "primary_key"), true, true);
	json_array_foreach (json_object_get(value, "unique"), i, item)
		add_index(table, item, true, false);
	json_array_foreach (json_object_get(value, "indexes"), i, item)
		add_index(table, item, false, false);
}

static inline void decode_keys(struct catalog *catalog, struct catalog_table *table, const json_t *list)
{
	json_t *item;
	size_t i;

	table->foreign_keys = xcalloc(json_array_size(list), sizeof(*table->foreign_keys));
	json_array_foreach (list, i, item) {
		struct catalog_foreign_key *key = &table->foreign_keys[table->n_foreign_keys++];
		const struct catalog_table *to =
			catalog_find(catalog, jsonx_string(item, "to_schema", "public"), jsonx_string(item, "to", ""));

		if (!to)
			fixture_fail("no such table", jsonx_string(item, "to", ""));
		key->name = xasprintf("%s_fk_%zu", table->name, i + 1);
		key->to = to->oid;
		key->columns = decode_positions(table, json_object_get(item, "columns"), &key->n);
		key->to_columns = decode_positions(to, json_object_get(item, "to_columns"), &key->n);
	}
}

/* "expressions" of a table: {sql: type, or {"problem": text}}. */
static inline void decode_expressions(struct catalog *catalog, const struct catalog_table *table, const json_t *map)
{
	const char *sql;
	json_t *said;

	json_object_foreach ((json_t *)map, sql, said) {
		struct catalog_expression *e;

		catalog->expressions =
			xreallocarray(catalog->expressions, catalog->n_expressions + 1, sizeof(*catalog->expressions));
		e = &catalog->expressions[catalog->n_expressions++];
		*e = (struct catalog_expression){.relation = table->oid, .sql = xstrdup(sql)};
		if (json_is_string(said)) {
			e->type = decode_column("", json_string_value(said), 0);
			e->qualified = xstrdup(sql);
		} else {
			e->problem = xstrdup(jsonx_string(said, "problem", ""));
		}
	}
}

static inline void decode_reads(const struct catalog *catalog, struct catalog_table *table, const json_t *list)
{
	json_t *item;
	size_t i;

	table->reads = xcalloc(json_array_size(list), sizeof(*table->reads));
	json_array_foreach (list, i, item) {
		const struct catalog_table *read = catalog_find(catalog, "public", json_string_value(item));

		if (!read)
			fixture_fail("no such table", json_string_value(item));
		table->reads[table->n_reads++] =
			(struct catalog_reads){.oid = read->oid, .name = xasprintf("public.%s", read->name)};
	}
}

static inline struct catalog *decode_catalog(const json_t *value)
{
	const json_t *list = json_object_get(value, "tables");
	struct catalog *catalog = xcalloc(1, sizeof(*catalog));

	catalog->tables = xcalloc(json_array_size(list), sizeof(*catalog->tables));
	for (; catalog->n < json_array_size(list); catalog->n++)
		decode_table(json_array_get(list, catalog->n), 16384 + (uint32_t)catalog->n,
			     &catalog->tables[catalog->n]);
	for (size_t i = 0; i < catalog->n; i++) {
		decode_keys(catalog, &catalog->tables[i], json_object_get(json_array_get(list, i), "foreign_keys"));
		decode_reads(catalog, &catalog->tables[i], json_object_get(json_array_get(list, i), "reads"));
	}
	for (size_t i = 0; i < catalog->n; i++)
		decode_expressions(catalog, &catalog->tables[i],
				   json_object_get(json_array_get(list, i), "expressions"));
	return catalog;
}

static inline json_t *parse_file(const char *name, const char *file)
{
	_cleanup_free_ char *path = xasprintf("%s/%s/%s", cases, name, file);
	_cleanup_free_ char *text = NULL;
	json_t *value = NULL;
	struct err err;
	size_t len;

	if (jsonx_read_file(path, FILE_BYTES, &text, &len, &err) < 0 || jsonx_parse(text, len, path, &value, &err) < 0)
		fixture_fail("cannot read", err.msg);
	return value;
}

static inline char **table_names(const struct catalog *catalog)
{
	char **names = xcalloc(catalog->n, sizeof(char *));

	for (size_t i = 0; i < catalog->n; i++)
		names[i] = xasprintf("%s.%s", catalog->tables[i].schema, catalog->tables[i].name);
	return names;
}

static inline struct schema_document_format decode_documents(const json_t *fixture)
{
	return (struct schema_document_format){
		.meta = *jsonx_string(fixture, "documents.meta", "N") == 'P' ? SCHEMA_META_PGSYNC : SCHEMA_META_NONE,
		.id_format =
			*jsonx_string(fixture, "documents.idFormat", "E") == 'P' ? SCHEMA_ID_PGSYNC : SCHEMA_ID_ESCAPED,
		.mapping = *jsonx_string(fixture, "documents.mapping", "G") == 'D' ? SCHEMA_MAPPING_DYNAMIC
										   : SCHEMA_MAPPING_GENERATED,
	};
}

#endif
