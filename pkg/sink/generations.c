/* Generations: the concrete indices behind an alias. */
#include "sink/generations.h"

#include <string.h>

#include "base/parse.h"
#include "base/reserved.h"
#include "sink/write_alias.h"
#include "json/json.h"

char *generation_name(const char *alias, int64_t generation)
{
	return xasprintf("%s" RESERVED_GENERATION "%lld", alias, (long long)generation);
}

int64_t generation_number(const char *alias, const char *concrete)
{
	size_t len = strlen(alias);
	uint64_t number;

	if (strncmp(concrete, alias, len) != 0 ||
	    strncmp(concrete + len, RESERVED_GENERATION, strlen(RESERVED_GENERATION)) != 0)
		return 0;
	return parse_range(concrete + len + strlen(RESERVED_GENERATION), 1, INT32_MAX, &number) ? (int64_t)number : 0;
}

char *generation_alias(const char *concrete)
{
	const char *suffix = NULL;
	uint64_t number;

	for (const char *at = strstr(concrete, RESERVED_GENERATION); at; at = strstr(at + 1, RESERVED_GENERATION))
		suffix = at;
	if (!suffix || !parse_range(suffix + strlen(RESERVED_GENERATION), 1, INT32_MAX, &number))
		return xstrdup(concrete);
	return xstrndup(concrete, (size_t)(suffix - concrete));
}

json_t *generation_owner_meta(const struct sink *sink)
{
	return json_pack("{s:{s:s, s:s*}}", "pgsync", "owner", sink->owner, "uid", sink->uid);
}

/* A resource that was deleted and created again has another uid: it may take over what was released, and nothing else.
 */
enum generation_owner generation_owner(const struct sink *sink, const json_t *meta)
{
	const char *owner = jsonx_string(meta, "pgsync.owner", "");
	const char *uid = jsonx_string(meta, "pgsync.uid", "");
	const char *former = jsonx_string(meta, "pgsync.formerOwner", "");

	if (!*owner)
		return strcmp(former, sink->owner) != 0 ? GENERATION_FREE : GENERATION_LEFT;
	if (strcmp(owner, sink->owner) != 0 || strcmp(uid, sink->uid ? sink->uid : "") != 0)
		return GENERATION_FOREIGN;
	return GENERATION_OURS;
}

static int read_meta(const struct sink *sink, const char *concrete, json_t **ret, struct err *err)
{
	if (search_index_meta(sink->search, concrete, ret, err) < 0)
		return err_wrap(err, "reading who owns index \"%s\"", concrete);
	return 0;
}

int generation_is_ours(const struct sink *sink, const char *concrete, bool *ret, struct err *err)
{
	_cleanup_json_ json_t *meta = NULL;

	*ret = false;
	if (read_meta(sink, concrete, &meta, err) < 0)
		return err->kind == ERR_NOT_FOUND ? 0 : -1;
	*ret = generation_owner(sink, meta) == GENERATION_OURS;
	return 0;
}

int generation_collect(const struct sink *sink, const char *alias, int64_t keep, struct err *err)
{
	_cleanup_free_ char *prefix = xasprintf("%s" RESERVED_GENERATION, alias);
	_cleanup_json_ json_t *found = NULL;
	const char *concrete;
	json_t *ignored;

	if (search_indices_get(sink->search, prefix, "/_settings/index.uuid", &found, err) < 0)
		return err_wrap(err, "listing the generations of \"%s\"", alias);
	json_object_foreach (found, concrete, ignored) {
		int64_t generation = generation_number(alias, concrete);
		bool ours = false;

		if (!generation || generation == keep)
			continue;
		if (generation_is_ours(sink, concrete, &ours, err) < 0 ||
		    (ours && search_index_delete(sink->search, concrete, err) < 0))
			return err_wrap(err, "deleting the old generation \"%s\"", concrete);
	}
	return 0;
}

static int check_alias(const struct sink *sink, const char *alias, const struct search_name *name, int64_t *ret_live,
		       struct err *err)
{
	_cleanup_json_ json_t *meta = NULL;

	if (name->n_targets > 1)
		return err_reason(err, ERR_INVALID, REASON_INDEX_IN_USE,
				  "alias \"%s\" points to %zu indices; it must point to one of pgsync's, or not exist",
				  alias, name->n_targets);
	*ret_live = generation_number(alias, name->target);
	if (!*ret_live && !sink->adopt_existing)
		return err_reason(err, ERR_INVALID, REASON_INDEX_IN_USE,
				  "alias \"%s\" exists and points to \"%s\", which pgsync did not create: choose "
				  "another index name, or set spec.sink.adoptExistingIndex: true to move the alias",
				  alias, name->target);
	if (!*ret_live)
		return 0;
	if (read_meta(sink, name->target, &meta, err) < 0)
		return -1;
	if (generation_owner(sink, meta) == GENERATION_FOREIGN)
		return err_reason(err, ERR_INVALID, REASON_INDEX_IN_USE,
				  "index \"%s\" belongs to PgSync %s: choose another index name, or delete that "
				  "PgSync; if it was deleted without a cleanup, remove the alias from \"%s\" yourself",
				  alias, jsonx_string(meta, "pgsync.owner", ""), name->target);
	return 0;
}

int generation_check_owner(const struct sink *sink, const char *alias, int64_t *ret_live, struct err *err)
{
	struct search_name name = {0};
	int r = 0;

	*ret_live = 0;
	if (search_resolve(sink->search, alias, &name, err) < 0)
		return err_wrap(err, "looking up index \"%s\"", alias);
	if (name.kind == SEARCH_NAME_ALIAS)
		r = check_alias(sink, alias, &name, ret_live, err);
	else if (name.kind == SEARCH_NAME_INDEX && !sink->adopt_existing)
		r = err_reason(
			err, ERR_INVALID, REASON_INDEX_IN_USE,
			"an index named \"%s\" exists; pgsync needs that name for an alias: choose another, delete the "
			"index, "
			"or set spec.sink.adoptExistingIndex: true to have it replaced once the new one is complete",
			alias);
	search_name_release(&name);
	return r;
}

/* The body with settings that make filling fast: no refresh, no replicas. generation_go_live reverts both. */
static json_t *creation_body(const struct sink *sink, const json_t *final_body)
{
	json_t *body = json_deep_copy(final_body);
	json_t *index = jsonx_get(body, "settings.index");
	json_t *mappings;

	if (!index) {
		index = json_object();
		(void)json_object_set_new(body, "settings", json_pack("{s:o}", "index", index));
	}
	(void)json_object_set_new(index, "refresh_interval", json_string("-1"));
	(void)json_object_set_new(index, "number_of_replicas", json_integer(0));
	if (!jsonx_get(body, "mappings"))
		(void)json_object_set_new(body, "mappings", json_object());
	mappings = jsonx_get(body, "mappings");
	(void)json_object_set_new(mappings, "_meta", generation_owner_meta(sink));
	/* Whether documents have a routing is decided by the schema, so do not let an index template require one. */
	if (!json_object_get(mappings, "_routing"))
		(void)json_object_set_new(mappings, "_routing", json_pack("{s:b}", "required", 0));
	return body;
}

/* 1: the index exists and is not ours, so try the next number. */
static int create_one(const struct sink *sink, const char *concrete, const json_t *body, struct err *err)
{
	_cleanup_json_ json_t *meta = NULL;

	if (search_index_create(sink->search, concrete, body, err) == 0)
		return 0;
	if (err->kind != ERR_CONFLICT)
		return err_wrap(err, "creating index \"%s\"", concrete);
	if (read_meta(sink, concrete, &meta, err) < 0)
		return -1;
	if (generation_owner(sink, meta) != GENERATION_OURS)
		return 1;
	if (search_index_delete(sink->search, concrete, err) < 0 ||
	    search_index_create(sink->search, concrete, body, err) < 0)
		return err_wrap(err, "replacing index \"%s\"", concrete);
	return 0;
}

int generation_create(const struct sink *sink, const char *alias, const json_t *final_body, int64_t after, int64_t *ret,
		      struct err *err)
{
	_cleanup_json_ json_t *body = creation_body(sink, final_body);

	for (int64_t g = after + 1;; g++) {
		_cleanup_free_ char *concrete = generation_name(alias, g);
		int r = create_one(sink, concrete, body, err);

		if (r <= 0) {
			*ret = g;
			return r;
		}
	}
}

static json_t *final_settings(const json_t *body)
{
	json_t *index = json_pack("{s:n, s:n}", "refresh_interval", "number_of_replicas");
	json_t *wanted = jsonx_get(body, "settings.index");
	const char *const names[] = {"refresh_interval", "number_of_replicas"};

	for (size_t i = 0; i < ARRAY_SIZE(names); i++)
		if (json_object_get(wanted, names[i]))
			(void)json_object_set(index, names[i], json_object_get(wanted, names[i]));
	return json_pack("{s:o}", "index", index);
}

int generation_is_live(const struct sink *sink, const char *alias, const char *concrete, bool *ret, struct err *err)
{
	struct search_name name = {0};

	if (search_resolve(sink->search, alias, &name, err) < 0)
		return err_wrap(err, "looking up index \"%s\"", alias);
	*ret = name.kind == SEARCH_NAME_ALIAS && name.n_targets == 1 && strcmp(name.target, concrete) == 0;
	search_name_release(&name);
	return 0;
}

int generation_would_empty(const struct sink *sink, const struct checkpoint_index *index, bool *ret, struct err *err)
{
	_cleanup_free_ char *concrete = generation_name(index->name, index->generation);
	struct search_stats stats = {0};
	struct search_name name = {0};

	*ret = false;
	if (!checkpoint_rows(index) || index->allow_shrink)
		return 0;
	if (search_refresh(sink->search, concrete, err) < 0 || search_stats(sink->search, concrete, &stats, err) < 0)
		return err_wrap(err, "counting the documents of \"%s\"", concrete);
	if (stats.documents)
		return 0;
	if (search_resolve(sink->search, index->name, &name, err) < 0)
		return err_wrap(err, "looking up index \"%s\"", index->name);
	*ret = name.kind == SEARCH_NAME_INDEX || (name.kind == SEARCH_NAME_ALIAS && strcmp(name.target, concrete) != 0);
	search_name_release(&name);
	return 0;
}

int generation_go_live(const struct sink *sink, const char *alias, const json_t *body, int64_t generation,
		       struct err *err)
{
	_cleanup_free_ char *concrete = generation_name(alias, generation);
	_cleanup_json_ json_t *settings = final_settings(body);
	struct search_name name = {0};
	bool is_index;

	if (search_put_settings(sink->search, concrete, settings, err) < 0 ||
	    search_refresh(sink->search, concrete, err) < 0 || search_resolve(sink->search, alias, &name, err) < 0)
		return err_wrap(err, "completing index \"%s\"", concrete);
	is_index = name.kind == SEARCH_NAME_INDEX;
	search_name_release(&name);
	if (search_alias_move(sink->search, alias, concrete, is_index, err) < 0)
		return err_wrap(err, "moving alias \"%s\" to \"%s\"", alias, concrete);
	return 0;
}

/* Replaces `_meta`. */
static int put_meta(const struct sink *sink, const char *concrete, json_t *meta, struct err *err)
{
	_cleanup_json_ json_t *mapping = json_pack("{s:o}", "_meta", meta);

	return search_put_mapping(sink->search, concrete, mapping, err);
}

int generation_take_back(const struct sink *sink, const char *alias, int64_t generation, struct err *err)
{
	_cleanup_free_ char *concrete = generation_name(alias, generation);
	_cleanup_json_ json_t *meta = NULL;

	if (!generation)
		return 0;
	if (read_meta(sink, concrete, &meta, err) < 0)
		return -1;
	if (generation_owner(sink, meta) == GENERATION_LEFT &&
	    put_meta(sink, concrete, generation_owner_meta(sink), err) < 0)
		return err_wrap(err, "reclaiming index \"%s\"", concrete);
	return 0;
}

int generation_disown(const struct sink *sink, const char *concrete, struct err *err)
{
	_cleanup_json_ json_t *meta = NULL;

	if (read_meta(sink, concrete, &meta, err) < 0)
		return err->kind == ERR_NOT_FOUND ? 0 : -1;
	/* Belongs to another resource: the alias had not been moved away from it yet. */
	if (strcmp(jsonx_string(meta, "pgsync.owner", ""), sink->owner) != 0)
		return 0;
	if (write_alias_drop(sink, concrete, err) < 0)
		return -1;
	if (put_meta(sink, concrete, json_pack("{s:{s:s}}", "pgsync", "formerOwner", sink->owner), err) < 0 &&
	    err->kind != ERR_NOT_FOUND)
		return err_wrap(err, "releasing index \"%s\"", concrete);
	return 0;
}

/* Histories change when a shard is restored, and when it goes on from an older copy. */
bool generation_is_restored(const struct sink *sink, struct checkpoint_index *index, bool *ret_learned)
{
	_cleanup_free_ char *concrete = generation_name(index->name, index->generation);
	_cleanup_json_ json_t *now = NULL;
	const char *shard;
	json_t *history;
	struct err ignored;

	*ret_learned = false;
	if (search_histories(sink->search, concrete, &now, &ignored) < 0)
		return false;
	json_object_foreach (now, shard, history) {
		const json_t *known = json_object_get(index->histories, shard);

		if (known && !json_equal(known, history))
			return true;
		if (known)
			continue;
		if (!index->histories)
			index->histories = json_object();
		(void)json_object_set(index->histories, shard, history);
		*ret_learned = true;
	}
	return false;
}
