/* Compiles the cases of testdata with their schemas edited at random: every schema must give a plan, or a finding that
 * explains why not. The input is a case's number and edits of four bytes each. */
#include <dirent.h>
#include <stdint.h>

#include "document/cases_int.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { CASES = 128, PLACES = 512, EDITS = 32, EDIT_BYTES = 4, FIELD_BYTES = 1 + EDIT_BYTES };

static struct {
	json_t *schema, *fixture;
	struct catalog *catalog;
} loaded[CASES];
static size_t n_loaded;

static int by_name(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

static void load_cases(void)
{
	DIR *dir = opendir(cases);
	char *names[CASES];
	size_t n = 0;

	for (struct dirent *entry; dir && n < CASES && (entry = readdir(dir));)
		if (entry->d_name[0] != '.' && !strstr(entry->d_name, "_corpus"))
			names[n++] = xstrdup(entry->d_name);
	(void)closedir(dir);
	qsort(names, n, sizeof(*names), by_name);
	for (; n_loaded < n; n_loaded++) {
		loaded[n_loaded].schema = parse_file(names[n_loaded], "schema.json");
		loaded[n_loaded].fixture = parse_file(names[n_loaded], "catalog.json");
		loaded[n_loaded].catalog = decode_catalog(loaded[n_loaded].fixture);
		free(names[n_loaded]);
	}
}

/* --- edits --- */

/* A value within the schema: a member of an object, or an item of an array. */
struct place {
	json_t *in;
	const char *key;
	size_t number;
};

static size_t find_places(json_t *value, struct place *places, size_t n)
{
	const char *key;
	json_t *item;
	size_t i;

	json_object_foreach (value, key, item) {
		if (n < PLACES)
			places[n++] = (struct place){.in = value, .key = key};
		n = find_places(item, places, n);
	}
	json_array_foreach (value, i, item) {
		if (n < PLACES)
			places[n++] = (struct place){.in = value, .number = i};
		n = find_places(item, places, n);
	}
	return n;
}

static json_t *value_at(const struct place *place)
{
	return place->key ? json_object_get(place->in, place->key) : json_array_get(place->in, place->number);
}

static void set(const struct place *place, json_t *value_take)
{
	if (place->key)
		(void)json_object_set_new(place->in, place->key, value_take);
	else
		(void)json_array_set_new(place->in, place->number, value_take);
}

static json_t *odd_value(uint8_t which)
{
	static const char *const words[] = {"",       "id",          "a.b",   "doc->a", "_id",        "1; 2",
					    "lower(", "$root.a.b.c", "x y",   "ctid",   "public.id",  "one_to_one",
					    "scalar", "one_to_many", "title", "books",  "\xc3\xa9\"", "a..b"};

	switch (which % 8) {
	case 0:
		return json_null();
	case 1:
		return json_integer((which >> 3) - 4);
	case 2:
		return json_boolean(which & 8);
	case 3:
		return json_object();
	case 4:
		return json_array();
	default:
		return json_string(words[(which >> 3) % ARRAY_SIZE(words)]);
	}
}

static void rename_key(const struct place *place, uint8_t which)
{
	static const char *const keys[] = {
		"table",     "schema",   "label",       "columns",     "primary_key", "relationship",   "children",
		"transform", "where",    "order_by",    "limit",       "base_tables", "expressions",    "nested",
		"type",      "variant",  "foreign_key", "child",       "parent",      "through_tables", "rename",
		"replace",   "concat",   "move",        "destination", "delimiter",   "mapping",        "routing",
		"setting",   "pipeline", "nodes",       "index",       "colums",      "odd key"};
	json_t *value = json_incref(value_at(place));

	if (place->key) {
		json_t *in = place->in;

		(void)json_object_del(in, place->key);
		(void)json_object_set_new(in, keys[which % ARRAY_SIZE(keys)], value);
	} else {
		json_decref(value);
	}
}

static void edit(json_t *schema, const uint8_t bytes[EDIT_BYTES])
{
	static struct place places[PLACES];
	size_t n = find_places(schema, places, 0);
	const struct place *place, *other;

	if (!n || n == PLACES)
		return;
	place = &places[(bytes[0] | (size_t)bytes[1] << 8) % n];
	other = &places[(bytes[3] * (size_t)7) % n];
	switch (bytes[2] % 5) {
	case 0:
		if (place->key)
			(void)json_object_del(place->in, place->key);
		else
			(void)json_array_remove(place->in, place->number);
		return;
	case 1:
		set(place, odd_value(bytes[3]));
		return;
	case 2:
		rename_key(place, bytes[3]);
		return;
	case 3:
		set(place, json_deep_copy(value_at(other)));
		return;
	default:
		if (json_is_array(value_at(place)))
			(void)json_array_append_new(value_at(place), json_deep_copy(value_at(other)));
		else
			set(place, json_pack("[o]", json_deep_copy(value_at(place))));
	}
}

/* --- the plan, or why there is none --- */

static void compile(const json_t *schema, const json_t *fixture, const struct catalog *catalog)
{
	const struct schema_document_format as = decode_documents(fixture);
	char **names = table_names(catalog);
	const struct document_names known = {(const char *const *)names, catalog->n};
	struct schema_document **documents = NULL;
	_cleanup_(findings_release) struct findings f;
	size_t n = 0;

	findings_init(&f);
	schema_decode(schema, "spec.schema", &documents, &n, &f);
	for (size_t i = 0; i < n; i++) {
		_cleanup_(findings_release) struct findings own = {0};
		_cleanup_(document_plan_freep) struct document_plan *plan =
			document_compile(documents[i], &as, catalog, &known, &own);
		_cleanup_(sections_release) struct sections text;

		if ((plan == NULL) != (documents[i]->invalid || findings_failed(&own)))
			fixture_fail("no plan and no reason, or a plan in spite of one", documents[i]->path);
		sections_init(&text, FILE_BYTES);
		if (plan)
			document_describe(plan, &text);
		if (plan && !text.text.len)
			fixture_fail("a plan of nothing", documents[i]->path);
		if (documents[i]->invalid && !findings_failed(&f))
			fixture_fail("invalid without a finding", documents[i]->path);
		schema_document_free(documents[i]);
	}
	free(documents);
	free_strings(names, catalog->n);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	_cleanup_json_ json_t *schema = NULL;
	size_t which;

	if (!n_loaded)
		load_cases();
	if (size < FIELD_BYTES || !n_loaded)
		return 0;
	which = data[0] % n_loaded;
	schema = json_deep_copy(loaded[which].schema);
	for (size_t i = 0; i < EDITS && 1 + (i + 1) * EDIT_BYTES <= size; i++)
		edit(schema, data + 1 + i * EDIT_BYTES);
	compile(schema, loaded[which].fixture, loaded[which].catalog);
	return 0;
}
