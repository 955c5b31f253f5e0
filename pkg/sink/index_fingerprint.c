/* Fingerprints of what decides whether an index accepts a document. */
#include "sink/index_fingerprint.h"

#include <string.h>

#include "base/mem.h"

enum { MOST_PIPELINES = 64, MOST_DEPTH = 32 };

void index_fingerprint_add_name(json_t *names, const char *name)
{
	if (*name && strcmp(name, "_none") != 0 && !jsonx_contains(names, name) &&
	    json_array_size(names) < MOST_PIPELINES)
		(void)json_array_append_new(names, json_string(name));
}

/* A processor "pipeline" may be anywhere: in on_failure, in foreach. */
static void add_called(const json_t *value, json_t *names, int depth)
{
	const char *key;
	json_t *item;
	size_t i;

	if (depth == MOST_DEPTH)
		return;
	json_array_foreach (value, i, item)
		add_called(item, names, depth + 1);
	json_object_foreach ((json_t *)value, key, item) {
		if (!strcmp(key, "pipeline"))
			index_fingerprint_add_name(names, jsonx_string(item, "name", ""));
		add_called(item, names, depth + 1);
	}
}

void index_fingerprint_add_called(const json_t *pipeline, json_t *names)
{
	add_called(pipeline, names, 0);
}

char *index_fingerprint_hash(const json_t *mapping, const json_t *settings, const json_t *pipelines,
			     char ret[JSONX_HASH_BYTES])
{
	static const char *const indifferent[] = {"refresh_interval",
						  "number_of_replicas",
						  "auto_expand_replicas",
						  "priority",
						  "routing",
						  "search",
						  "translog",
						  "merge",
						  "verified_before_close"};
	_cleanup_json_ json_t *fields = mapping ? json_copy((json_t *)mapping) : json_object();
	_cleanup_json_ json_t *rest = settings ? json_copy((json_t *)settings) : json_object();
	_cleanup_json_ json_t *all = NULL;

	(void)json_object_del(fields, "_meta");
	for (size_t i = 0; i < ARRAY_SIZE(indifferent); i++)
		(void)json_object_del(rest, indifferent[i]);
	all = json_pack("[O, O, O]", fields, rest, pipelines);
	return jsonx_hash(all, ret);
}

/* The part of the answer about its only index; a new reference, or NULL if the login may not read it. */
static int fetch_part(const struct sink *sink, const char *concrete, const char *suffix, const char *part, json_t **ret,
		      struct err *err)
{
	_cleanup_json_ json_t *answer = NULL;

	*ret = NULL;
	if (search_index_get(sink->search, concrete, suffix, &answer, err) < 0)
		return err->kind == ERR_DENIED ? 0 : -1;
	*ret = json_incref(jsonx_get(json_object_iter_value(json_object_iter(answer)), part));
	return 0;
}

/* Adds the pipeline, and the names of those that it calls. A pipeline that does not exist is null. */
static int add_pipeline(const struct sink *sink, json_t *names, size_t i, json_t *pipelines, struct err *err)
{
	const char *name = json_string_value(json_array_get(names, i));
	_cleanup_json_ json_t *found = NULL;

	if (search_pipeline_get(sink->search, name, &found, err) < 0 && err->kind != ERR_DENIED)
		return -1;
	(void)json_object_set(pipelines, name, found ? found : json_null());
	index_fingerprint_add_called(found, names);
	return 0;
}

int index_fingerprint_read(const struct sink *sink, const char *concrete, const char *pipeline,
			   char ret[JSONX_HASH_BYTES], struct err *err)
{
	_cleanup_json_ json_t *mapping = NULL;
	_cleanup_json_ json_t *settings = NULL;
	_cleanup_json_ json_t *pipelines = json_object();
	_cleanup_json_ json_t *names = json_array();

	if (fetch_part(sink, concrete, "/_mapping", "mappings", &mapping, err) < 0 ||
	    fetch_part(sink, concrete, "/_settings", "settings.index", &settings, err) < 0)
		return -1;
	index_fingerprint_add_name(names, pipeline ? pipeline : "");
	index_fingerprint_add_name(names, jsonx_string(settings, "default_pipeline", ""));
	index_fingerprint_add_name(names, jsonx_string(settings, "final_pipeline", ""));
	for (size_t i = 0; i < json_array_size(names); i++)
		if (add_pipeline(sink, names, i, pipelines, err) < 0)
			return -1;
	(void)index_fingerprint_hash(mapping, settings, pipelines, ret);
	return 0;
}
