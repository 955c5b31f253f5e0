/* Indices, mappings, settings and aliases. */
#include "base/failpoint.h"
#include "search/search_int.h"
#include "json/json.h"

enum { PATH_BYTES = 4096 };

/* --- Names -----------------------------------------------------------------------------------------------------------
 */
/* Answers about indices are objects by their names. Anything else must not pass for an answer about none. */
static int check_by_index(json_t *answer, const char *index, struct err *err)
{
	const char *name;
	json_t *value;
	bool ok = json_is_object(answer);

	json_object_foreach (answer, name, value)
		ok = ok && json_is_object(value);
	return ok ? 0
		  : err_reason(err, ERR_TRANSIENT, REASON_SINK_UNAVAILABLE,
			       "the answer about index %.200s is not one by name; is something else in front of the "
			       "search engine?",
			       index);
}

/* {"<index>": {"aliases": {...}}, ...} of the indices behind the name, or NULL if there are none. */
static int get_aliases(struct search *search, const char *name, json_t **ret, struct err *err)
{
	if (search_index_get(search, name, "/_alias", ret, err) == 0)
		return check_by_index(*ret, name, err);
	if (err->kind != ERR_NOT_FOUND)
		return -1;
	*ret = NULL;
	return 0;
}

int search_resolve(struct search *search, const char *name, struct search_name *ret, struct err *err)
{
	_cleanup_json_ json_t *indices = NULL;
	const char *first;

	if (get_aliases(search, name, &indices, err) < 0)
		return -1;
	*ret = (struct search_name){.kind = SEARCH_NAME_ABSENT};
	first = json_object_iter_key(json_object_iter(indices));
	if (!first)
		return 0;
	if (!strcmp(first, name)) {
		ret->kind = SEARCH_NAME_INDEX;
		return 0;
	}
	ret->kind = SEARCH_NAME_ALIAS;
	ret->target = xstrdup(first);
	ret->n_targets = json_object_size(indices);
	return 0;
}

void search_name_release(struct search_name *name)
{
	if (!name)
		return;
	free(name->target);
	*name = (struct search_name){0};
}

static void add_alias_action(json_t *actions, const char *verb, const char *index, const char *alias)
{
	json_t *body = search_must(json_pack("{s:s,s:s*}", "index", index, "alias", alias));

	if (json_array_append_new(actions, search_must(json_pack("{s:o}", verb, body))) < 0)
		abort();
}

int search_alias_move(struct search *search, const char *alias, const char *index, bool remove_index, struct err *err)
{
	_cleanup_json_ json_t *indices = NULL;
	_cleanup_json_ json_t *body = NULL;
	json_t *actions, *value;
	const char *name;

	if (get_aliases(search, alias, &indices, err) < 0)
		return -1;
	body = search_must(json_pack("{s:[]}", "actions"));
	actions = json_object_get(body, "actions");
	json_object_foreach (indices, name, value) {
		if (!strcmp(name, alias) && !remove_index)
			return err_reason(err, ERR_INVALID, REASON_INDEX_EXISTS,
					  "'%s' is an index, so no alias can have its name; delete or rename the "
					  "index, or allow it to be replaced",
					  alias);
		if (!strcmp(name, alias))
			add_alias_action(actions, "remove_index", name, NULL);
		else if (strcmp(name, index) != 0)
			add_alias_action(actions, "remove", name, alias);
	}
	add_alias_action(actions, "add", index, alias);
	if (search_json(search, "POST", "/_aliases", body, NULL, err) < 0)
		return -1;
	return FAILPOINT(ALIAS_MOVED, err);
}

int search_alias_replace(struct search *search, const char *index, const char *prefix, const char *alias,
			 struct err *err)
{
	_cleanup_json_ json_t *indices = NULL;
	_cleanup_json_ json_t *body = search_must(json_pack("{s:[]}", "actions"));
	json_t *actions = json_object_get(body, "actions");
	bool missing = alias != NULL;
	const char *name;
	json_t *value;

	if (search_index_get(search, index, "/_alias", &indices, err) < 0)
		return -1;
	json_object_foreach (json_object_get(json_object_get(indices, index), "aliases"), name, value) {
		if (strncmp(name, prefix, strlen(prefix)) != 0)
			continue;
		if (alias && !strcmp(name, alias))
			missing = false;
		else
			add_alias_action(actions, "remove", index, name);
	}
	if (missing)
		add_alias_action(actions, "add", index, alias);
	return json_array_size(actions) ? search_send_once(search, "POST", "/_aliases", body, err) : 0;
}

/* --- Indices ---------------------------------------------------------------------------------------------------------
 */
int search_index_create(struct search *search, const char *index, const json_t *body, struct err *err)
{
	_cleanup_(search_answer_release) struct search_answer answer = {0};
	_cleanup_free_ char *path = NULL;
	const char *type;

	if (search_path(index, "", NULL, "", &path, err) < 0 ||
	    search_request(search, "PUT", path, body, &answer, err) < 0)
		return -1;
	if (answer.response.status < 300 && search_confirms(answer.root))
		return FAILPOINT(INDEX_CREATED, err);
	if (answer.response.status < 300)
		return search_explain_unconfirmed(search, "PUT", path, err);
	(void)search_answer_err(search, "PUT", path, &answer.response, answer.root, err);
	type = search_error_type(answer.root);
	if (type && !strcmp(type, "resource_already_exists_exception"))
		err->kind = ERR_CONFLICT;
	else if (err->kind == ERR_INVALID)
		err->reason = REASON_INDEX_REJECTED;
	return -1;
}

int search_index_delete(struct search *search, const char *index, struct err *err)
{
	if (search_index_send(search, "DELETE", index, "", NULL, err) < 0 && err->kind != ERR_NOT_FOUND)
		return -1;
	return FAILPOINT(INDEX_DELETED, err);
}

/* Not HEAD, whose answer has no body to tell the engine's 404 from that of a proxy. */
int search_index_exists(struct search *search, const char *index, bool *ret, struct err *err)
{
	_cleanup_json_ json_t *found = NULL;

	*ret = search_index_get(search, index, "", &found, err) == 0;
	return *ret || err->kind == ERR_NOT_FOUND ? 0 : -1;
}

/* The answer about a name at the end of a path; an empty object with status 404 means that there is none. */
static int ask_path(struct search *search, const char *method, const char *path, json_t **ret, struct err *err)
{
	_cleanup_(search_answer_release) struct search_answer answer;

	if (search_request(search, method, path, NULL, &answer, err) < 0)
		return -1;
	if (answer.response.status == 404 && json_is_object(answer.root) && !json_object_size(answer.root))
		return 0;
	if (answer.response.status >= 300)
		return search_answer_err(search, method, path, &answer.response, answer.root, err);
	*ret = answer.root ? json_incref(answer.root) : json_null();
	return 0;
}

static int ask_about(struct search *search, const char *method, const char *where, const char *name, json_t **ret,
		     struct err *err)
{
	struct strbuf path;
	int r;

	*ret = NULL;
	strbuf_init(&path, PATH_BYTES);
	strbuf_adds(&path, where);
	http_escape(&path, name);
	if (strbuf_ok(&path))
		r = ask_path(search, method, path.data, ret, err);
	else
		r = err_set(err, ERR_LIMIT, "the name %.100s is longer than %d bytes", name, PATH_BYTES);
	strbuf_release(&path);
	return r;
}

int search_pipeline_get(struct search *search, const char *name, json_t **ret, struct err *err)
{
	return ask_about(search, "GET", "/_ingest/pipeline/", name, ret, err);
}

int search_index_template(struct search *search, const char *index, json_t **ret, struct err *err)
{
	_cleanup_json_ json_t *answer = NULL;
	json_t *found;

	*ret = NULL;
	if (ask_about(search, "POST", "/_index_template/_simulate_index/", index, &answer, err) < 0)
		return -1;
	found = json_object_get(answer, "template");
	*ret = found ? json_incref(found) : NULL;
	return 0;
}

int search_pipeline_exists(struct search *search, const char *name, bool *ret, struct err *err)
{
	_cleanup_json_ json_t *found = NULL;
	int r = search_pipeline_get(search, name, &found, err);

	*ret = found != NULL;
	return r;
}

int search_index_meta(struct search *search, const char *index, json_t **ret, struct err *err)
{
	_cleanup_json_ json_t *answer = NULL;
	json_t *meta;

	if (search_index_get(search, index, "/_mapping?filter_path=*.mappings._meta", &answer, err) < 0)
		return -1;
	if (check_by_index(answer, index, err) < 0)
		return -1;
	/* The answer about an alias contains the names of other indices. */
	meta = jsonx_get(json_object_get(answer, index), "mappings._meta");
	*ret = meta ? json_incref(meta) : search_must(json_object());
	return 0;
}

static int put_to_index(struct search *search, const char *index, const char *suffix, const json_t *body,
			struct err *err)
{
	if (search_index_send(search, "PUT", index, suffix, body, err) == 0)
		return 0;
	if (err->kind == ERR_INVALID)
		err->reason = REASON_INDEX_REJECTED;
	return -1;
}

int search_put_mapping(struct search *search, const char *index, const json_t *mapping, struct err *err)
{
	return put_to_index(search, index, "/_mapping", mapping, err);
}

int search_put_settings(struct search *search, const char *index, const json_t *settings, struct err *err)
{
	return put_to_index(search, index, "/_settings", settings, err);
}

int search_refresh(struct search *search, const char *index, struct err *err)
{
	if (search_index_send(search, "POST", index, "/_refresh", NULL, err) < 0)
		return -1;
	return FAILPOINT(INDEX_REFRESHED, err);
}

/* The worst health of the indices behind a name; "" if the engine does not report it (a missing privilege). */
static int read_health(struct search *search, const char *index, char health[static 8], struct err *err)
{
	static const char *const words[] = {"green", "yellow", "red"};
	_cleanup_json_ json_t *rows = NULL;
	_cleanup_free_ char *path = NULL;
	size_t i, worst = 0;
	json_t *row;

	health[0] = '\0';
	if (search_path_below("/_cat/indices", index, "?format=json&h=health", &path, err) < 0)
		return -1;
	if (search_json(search, "GET", path, NULL, &rows, err) < 0)
		return err->kind == ERR_DENIED ? 0 : -1;
	json_array_foreach (rows, i, row) {
		const char *word = jsonx_string(row, "health", "");

		for (size_t k = worst; k < ARRAY_SIZE(words); k++) {
			if (!strcmp(word, words[k])) {
				(void)snprintf(health, 8, "%s", words[k]);
				worst = k;
			}
		}
	}
	return 0;
}

int search_stats(struct search *search, const char *index, struct search_stats *ret, struct err *err)
{
	_cleanup_json_ json_t *count = NULL;
	struct search_stats stats = {0};

	/* Not the count of _cat, which counts nested objects as well. */
	if (search_index_get(search, index, "/_count", &count, err) < 0 ||
	    read_health(search, index, stats.health, err) < 0)
		return -1;
	stats.documents = jsonx_integer(count, "count", -1);
	if (stats.documents < 0 || jsonx_integer(count, "_shards.failed", 0) != 0)
		return err_reason(err, ERR_TRANSIENT, REASON_SINK_UNAVAILABLE,
				  "the documents of index %.200s were not counted: not every shard answered", index);
	*ret = stats;
	return 0;
}

int search_histories(struct search *search, const char *index, json_t **ret, struct err *err)
{
	_cleanup_json_ json_t *answer = NULL;
	_cleanup_json_ json_t *histories = search_must(json_object());
	json_t *copies, *copy;
	const char *shard;
	size_t i;

	/* Documents are counted because something has to be asked for. */
	if (search_index_get(search, index, "/_stats/docs?level=shards", &answer, err) < 0 ||
	    check_by_index(json_object_get(answer, "indices"), index, err) < 0)
		return -1;
	json_object_foreach (json_object_get(json_object_get(json_object_get(answer, "indices"), index), "shards"),
			     shard, copies) {
		json_array_foreach (copies, i, copy) {
			json_t *history = jsonx_get(copy, "commit.user_data.history_uuid");

			if (json_is_string(history) && json_is_true(jsonx_get(copy, "routing.primary")))
				(void)json_object_set(histories, shard, history);
		}
	}
	*ret = TAKE_PTR(histories);
	return 0;
}
