/* The documents of a schema.json. */
#include "schema/schema_int.h"

#include <stdlib.h>
#include <string.h>

#include "base/map.h"
#include "base/reserved.h"

enum { DOCUMENT_COUNT = 16, TEXT_BYTES = 253, INDEX_BYTES = 200 };

static bool is_empty_value(const json_t *value)
{
	if (json_is_object(value))
		return json_object_size(value) == 0;
	if (json_is_array(value))
		return json_array_size(value) == 0;
	if (json_is_string(value))
		return json_string_length(value) == 0;
	return json_is_false(value) || json_is_null(value);
}

static void refuse_plugins(const json_t *value, void *out, const char *path, struct findings *f)
{
	UNUSED(out);
	if (!is_empty_value(value))
		findings_add(f, FINDING_ERROR, REASON_NOT_SUPPORTED, path,
			     "`plugins` are Python code, which this program does not run; use `transform`, "
			     "`expressions` or an ingest `pipeline` of the search engine instead");
}

static void refuse_mappings(const json_t *value, void *out, const char *path, struct findings *f)
{
	UNUSED(out);
	if (!is_empty_value(value))
		findings_add(f, FINDING_WARNING, REASON_INVALID_SCHEMA, path,
			     "is ignored, as it has no effect in pgsync either; use `mapping`");
}

/* The nodes of a tree that is not decoded yet. */
static size_t count_given(const json_t *node)
{
	size_t n = 1, i;
	json_t *child;

	json_array_foreach (json_object_get(node, "children"), i, child)
		n += count_given(child);
	return n;
}

static void decode_nodes(const json_t *value, void *out, const char *path, struct findings *f)
{
	struct schema_document *document = out;
	_cleanup_free_ char *first = xasprintf("%s[0]", path);
	const json_t *root = json_is_array(value) ? json_array_get(value, 0) : value;
	size_t n = count_given(root);

	if (json_is_array(value))
		findings_add(f, FINDING_ERROR, REASON_INVALID_SCHEMA, path,
			     "must be an object, the root node, found an array (the format of pgsync 1); write its "
			     "one element without the brackets");
	if (json_is_array(value) && json_array_size(value) != 1)
		return;
	if (n > SCHEMA_NODES)
		findings_add(f, FINDING_ERROR, REASON_INVALID_SCHEMA, path, "must have at most %d nodes, found %zu",
			     SCHEMA_NODES, n);
	else
		document->root = schema_node_decode(root, root == value ? path : first, NULL, f);
}

static void decode_object(const json_t *value, json_t **ret, const char *path, struct findings *f)
{
	if (!json_is_object(value)) {
		findings_add(f, FINDING_ERROR, REASON_INVALID_SCHEMA, path, "must be an object, found %s",
			     jsonx_type_name(value));
		return;
	}
	*ret = json_deep_copy(value);
}

static void decode_setting(const json_t *value, void *out, const char *path, struct findings *f)
{
	decode_object(value, &((struct schema_document *)out)->setting, path, f);
}

static void decode_document_mapping(const json_t *value, void *out, const char *path, struct findings *f)
{
	decode_object(value, &((struct schema_document *)out)->mapping, path, f);
}

static const struct jsonx_field document_fields[] = {
	{.name = "database",
	 .type = JSONX_STRING,
	 .offset = offsetof(struct schema_document, database),
	 .min = 1,
	 .max = SCHEMA_NAME_BYTES},
	{.name = "index", .type = JSONX_STRING, .offset = offsetof(struct schema_document, index)},
	{.name = "nodes", .type = JSONX_CUSTOM, .flags = JSONX_REQUIRED, .decode = decode_nodes},
	{.name = "setting", .type = JSONX_CUSTOM, .decode = decode_setting},
	{.name = "mapping", .type = JSONX_CUSTOM, .decode = decode_document_mapping},
	{.name = "pipeline",
	 .type = JSONX_STRING,
	 .offset = offsetof(struct schema_document, pipeline),
	 .min = 1,
	 .max = TEXT_BYTES},
	{.name = "routing",
	 .type = JSONX_STRING,
	 .offset = offsetof(struct schema_document, routing),
	 .min = 1,
	 .max = TEXT_BYTES},
	{.name = "plugins", .type = JSONX_CUSTOM, .decode = refuse_plugins},
	{.name = "mappings", .type = JSONX_CUSTOM, .decode = refuse_mappings},
	{0},
};

static bool ends_with(const char *s, const char *end)
{
	size_t len = strlen(s), n = strlen(end);

	return len >= n && strcmp(s + len - n, end) == 0;
}

/* "books-g12": a generation of another index. */
static bool is_generation(const char *index)
{
	size_t digits = strlen(index);

	while (digits > 0 && index[digits - 1] >= '0' && index[digits - 1] <= '9')
		digits--;
	return index[digits] && digits >= 2 && strncmp(index + digits - 2, RESERVED_GENERATION, 2) == 0;
}

/* Names that users may neither fill nor adopt: the engine's own indices, and those that every PgSync keeps. */
static void check_reserved(const char *index, const char *path, struct findings *f)
{
	const char *whose = NULL;

	if (*index == '.')
		whose = "a name that begins with '.' belongs to the search engine";
	else if (strcmp(index, RESERVED_CHECKPOINTS) == 0)
		whose = "that index holds the checkpoints of every PgSync";
	else if (ends_with(index, RESERVED_DEAD_LETTERS))
		whose = "\"" RESERVED_DEAD_LETTERS "\" ends the name of an index of dead letters";
	else if (is_generation(index))
		whose = "\"-g\" and a number end the name of a generation of another index";
	if (whose)
		findings_add(f, FINDING_ERROR, REASON_INVALID_SCHEMA, path,
			     "index name \"%s\" is reserved: %s; choose another name", index, whose);
}

/* The rules of Elasticsearch and OpenSearch for index names, but shorter, so that "-g<N>" and "-dead-letters" fit. */
static void check_index_name(const char *index, const char *path, struct findings *f)
{
	static const char forbidden[] = "\\/*?\"<>| ,#:";
	size_t first = strcspn(index, forbidden);

	if (!*index || strlen(index) > INDEX_BYTES)
		findings_add(f, FINDING_ERROR, REASON_INVALID_SCHEMA, path, "must be 1 to %d bytes long, found %zu",
			     INDEX_BYTES, strlen(index));
	for (const char *p = index; *p; p++) {
		if (*p >= 'A' && *p <= 'Z') {
			findings_add(f, FINDING_ERROR, REASON_INVALID_SCHEMA, path,
				     "index name \"%s\" must be lower case", index);
			break;
		}
	}
	if (index[first])
		findings_add(f, FINDING_ERROR, REASON_INVALID_SCHEMA, path, "index name \"%s\" must not contain '%c'",
			     index, index[first]);
	for (const char *p = index; *p; p++) {
		if ((unsigned char)*p < ' ' || *p == '\x7f') {
			findings_add(f, FINDING_ERROR, REASON_INVALID_SCHEMA, path,
				     "an index name must not contain control characters");
			break;
		}
	}
	if (*index && strchr("-_+", *index))
		findings_add(f, FINDING_ERROR, REASON_INVALID_SCHEMA, path,
			     "index name \"%s\" must not start with '%c'", index, *index);
	check_reserved(index, path, f);
}

static struct schema_document *decode_document(const json_t *value, const char *path, struct findings *f)
{
	struct schema_document *document = xcalloc(1, sizeof(*document));
	_cleanup_free_ char *index_path = xasprintf("%s.index", path);
	const json_t *given = json_object_get(value, "index");

	document->path = xstrdup(path);
	if (!json_is_object(value)) {
		findings_add(f, FINDING_ERROR, REASON_INVALID_SCHEMA, path, "must be an object, found %s",
			     jsonx_type_name(value));
		document->invalid = true;
		return document;
	}
	jsonx_decode(value, document_fields, document, path, REASON_INVALID_SCHEMA, f);
	if (!document->index)
		document->index = xstrdup_or_null(document->database);
	if (document->index)
		check_index_name(document->index, index_path, f);
	else if ((!given || json_is_null(given)) && !jsonx_is_meant(value, document_fields, "index"))
		findings_add(f, FINDING_ERROR, REASON_INVALID_SCHEMA, index_path,
			     "is required: the name of the index to fill");
	if (document->root)
		schema_note_invalid_keys(document->root, f);
	document->routing_invalid = !schema_check_routing(document, f);
	/* A finding that was not kept may be about it. */
	document->invalid = !document->root || f->dropped[FINDING_ERROR];
	for (size_t i = 0; i < f->n; i++)
		document->invalid = document->invalid || (f->items[i].severity == FINDING_ERROR &&
							  finding_path_is_within(f->items[i].path, path));
	return document;
}

static void check_unique_indices(struct schema_document **documents, size_t n, struct findings *f)
{
	_cleanup_(map_freep) struct map *indices = map_new(NULL);

	for (size_t i = 0; i < n; i++) {
		const char *index = documents[i]->index;
		const struct schema_document *other = index ? map_gets(indices, index) : NULL;
		_cleanup_free_ char *path = other ? xasprintf("%s.index", documents[i]->path) : NULL;

		if (other)
			findings_add(f, FINDING_ERROR, REASON_INVALID_SCHEMA, path,
				     "index \"%s\" is also the index of %s; every document needs its own", index,
				     other->path);
		else if (index)
			map_puts(indices, index, documents[i]);
	}
}

static bool check_size(const json_t *array, const char *path, struct findings *f)
{
	size_t bytes = json_dumpb(array, NULL, 0, JSON_COMPACT);

	if (bytes > SCHEMA_BYTES)
		findings_add(f, FINDING_ERROR, REASON_INVALID_SCHEMA, path,
			     "must be at most %d bytes long without blanks, found %zu", SCHEMA_BYTES, bytes);
	return bytes <= SCHEMA_BYTES;
}

void schema_decode(const json_t *array, const char *path, struct schema_document ***ret, size_t *ret_n,
		   struct findings *f)
{
	size_t n = json_array_size(array);
	struct schema_document **documents;

	if (!json_is_array(array)) {
		findings_add(f, FINDING_ERROR, REASON_INVALID_SCHEMA, path, "must be an array of documents, found %s",
			     jsonx_type_name(array));
		return;
	}
	if (n < 1 || n > DOCUMENT_COUNT)
		findings_add(f, FINDING_ERROR, REASON_INVALID_SCHEMA, path, "must contain 1 to %d documents, found %zu",
			     DOCUMENT_COUNT, n);
	if (n == 0 || !check_size(array, path, f))
		return;
	if (n > DOCUMENT_COUNT)
		n = DOCUMENT_COUNT;
	documents = xcalloc(n, sizeof(struct schema_document *));
	for (size_t i = 0; i < n; i++) {
		_cleanup_free_ char *item = xasprintf("%s[%zu]", path, i);

		documents[i] = decode_document(json_array_get(array, i), item, f);
	}
	check_unique_indices(documents, n, f);
	*ret = documents;
	*ret_n = n;
}

void schema_document_free(struct schema_document *document)
{
	if (!document)
		return;
	schema_node_free(document->root);
	json_decref(document->setting);
	json_decref(document->mapping);
	free(document->path);
	free(document->index);
	free(document->database);
	free(document->pipeline);
	free(document->routing);
	free(document);
}
