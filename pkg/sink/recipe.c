/* Recipes: what the search engine does with documents. */
#include "sink/recipe.h"

#include "base/mem.h"
#include "sink/generations.h"
#include "sink/index_fingerprint.h"
#include "json/json.h"

/* --- reading --- */

/* A refusal, also one by a proxy, says that it cannot be known; anything else passes. */
static bool is_refused(const struct err *err)
{
	bool answered = err->code >= 400 && err->code < 500 && err->code != 429;

	return answered || (err->kind != ERR_TRANSIENT && err->kind != ERR_CANCELLED);
}

/* settings: "index" of an index's or a template's; or NULL. A document's own pipeline replaces the default one. */
static json_t *given_pipelines(const json_t *settings, const char *pipeline)
{
	json_t *names = json_array();

	index_fingerprint_add_name(names, pipeline ? pipeline : jsonx_string(settings, "default_pipeline", ""));
	index_fingerprint_add_name(names, jsonx_string(settings, "final_pipeline", ""));
	return names;
}

static int read_given(const struct sink *sink, const char *concrete, const char *pipeline, json_t **ret,
		      struct err *err)
{
	_cleanup_json_ json_t *answer = NULL;

	if (search_index_get(sink->search, concrete, "/_settings", &answer, err) < 0 && !is_refused(err))
		return -1;
	*ret = given_pipelines(jsonx_get(json_object_iter_value(json_object_iter(answer)), "settings.index"), pipeline);
	return 0;
}

static int read_template(const struct sink *sink, const char *concrete, const char *pipeline, json_t **ret,
			 struct err *err)
{
	_cleanup_json_ json_t *template = NULL;
	_cleanup_json_ json_t *none = json_object();
	const json_t *settings;
	char hash[JSONX_HASH_BYTES];

	*ret = NULL;
	if (search_index_template(sink->search, concrete, &template, err) < 0)
		return is_refused(err) ? 0 : -1;
	settings = jsonx_get(template, "settings.index");
	*ret = json_pack("{s:o, s:s}", "given", given_pipelines(settings, pipeline), "hash",
			 index_fingerprint_hash(json_object_get(template, "mappings"), settings, none, hash));
	return 0;
}

/* Of what affects documents. */
static char *hash_pipeline(const json_t *definition, char ret[JSONX_HASH_BYTES])
{
	static const char *const indifferent[] = {"version",       "_meta",
						  "description",   "deprecated",
						  "created_date",  "created_date_millis",
						  "modified_date", "modified_date_millis"};
	_cleanup_json_ json_t *rest = json_copy((json_t *)definition);

	for (size_t i = 0; i < ARRAY_SIZE(indifferent); i++)
		(void)json_object_del(rest, indifferent[i]);
	return jsonx_hash(rest, ret);
}

/* Adds the pipeline's hash, and the names of those that it calls. given: documents cannot be written without it. */
static int add_pipeline_hash(const struct sink *sink, json_t *names, size_t i, bool given, json_t *ret, struct err *err)
{
	const char *name = json_string_value(json_array_get(names, i));
	_cleanup_json_ json_t *answer = NULL;
	const json_t *definition;
	char hash[JSONX_HASH_BYTES] = "";
	bool known = !given;

	if (search_pipeline_get(sink->search, name, &answer, err) < 0) {
		if (!is_refused(err))
			return -1;
		known = false;
	}
	definition = json_object_get(answer, name);
	if (definition) {
		(void)hash_pipeline(definition, hash);
		index_fingerprint_add_called(definition, names);
		known = true;
	}
	(void)json_object_set_new(ret, name, known ? json_string(hash) : json_null());
	return 0;
}

static int read_hashes(const struct sink *sink, const json_t *given, json_t *ret, struct err *err)
{
	_cleanup_json_ json_t *names = json_copy((json_t *)given);

	for (size_t i = 0; i < json_array_size(names); i++)
		if (add_pipeline_hash(sink, names, i, i < json_array_size(given), ret, err) < 0)
			return -1;
	return 0;
}

int recipe_read(const struct sink *sink, const char *concrete, const char *pipeline, const json_t *made, json_t **ret,
		struct err *err)
{
	_cleanup_json_ json_t *given = json_incref(json_object_get(made, "given"));
	_cleanup_json_ json_t *template = NULL;
	_cleanup_json_ json_t *pipelines = json_object();

	if ((!given && read_given(sink, concrete, pipeline, &given, err) < 0) ||
	    read_template(sink, concrete, pipeline, &template, err) < 0 || read_hashes(sink, given, pipelines, err) < 0)
		return -1;
	*ret = json_pack("{s:O, s:O, s:O?}", "given", given, "pipelines", pipelines, "template", template);
	return 0;
}

/* --- comparing --- */

static bool part_is_known(const json_t *value)
{
	return value && !json_is_null(value);
}

static bool part_differs(const json_t *was, const json_t *is)
{
	return part_is_known(was) && part_is_known(is) && !json_equal(was, is);
}

char *recipe_difference(const json_t *made, const json_t *now, bool empty)
{
	json_t *was, *present = json_object_get(now, "pipelines");
	const char *name;

	json_object_foreach (json_object_get(made, "pipelines"), name, was)
		if (part_differs(was, json_object_get(present, name)))
			return xasprintf("ingest pipeline \"%s\" has changed", name);
	if (part_differs(jsonx_get(made, "template.given"), jsonx_get(now, "template.given")))
		return xstrdup("its index template names another ingest pipeline");
	if (empty && part_differs(jsonx_get(made, "template.hash"), jsonx_get(now, "template.hash")))
		return xstrdup("it has no document, and its index template has changed");
	return NULL;
}

bool recipe_is_known(const json_t *recipe)
{
	json_t *hash, *pipelines = json_object_get(recipe, "pipelines");
	const char *name;
	bool all = part_is_known(json_object_get(recipe, "template"));

	json_object_foreach (pipelines, name, hash)
		all = all && part_is_known(hash);
	return all;
}

bool recipe_learn(json_t *made, const json_t *now)
{
	json_t *is, *known = json_object_get(made, "pipelines"), *template = json_object_get(now, "template");
	const char *name;
	bool learned = false;

	json_object_foreach (json_object_get(now, "pipelines"), name, is) {
		if (part_is_known(json_object_get(known, name)) || !part_is_known(is))
			continue;
		(void)json_object_set(known, name, is);
		learned = true;
	}
	if (part_is_known(template) && !part_is_known(json_object_get(made, "template"))) {
		(void)json_object_set(made, "template", template);
		learned = true;
	}
	return learned;
}

int recipe_check(const struct sink *sink, struct checkpoint_index *index, const char *concrete, const char *pipeline,
		 bool waits, struct err *err)
{
	_cleanup_json_ json_t *now = NULL;
	bool empty = false;

	if (index->outdated)
		return 0;
	if ((waits && generation_would_empty(sink, index, &empty, err) < 0) ||
	    recipe_read(sink, concrete, pipeline, index->recipe, &now, err) < 0)
		return -1;
	/* An earlier release filled the index. */
	if (!index->recipe) {
		index->recipe = TAKE_PTR(now);
		return 1;
	}
	index->outdated = recipe_difference(index->recipe, now, empty);
	return index->outdated ? 1 : recipe_learn(index->recipe, now);
}
