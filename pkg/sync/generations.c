/* Generations: the concrete indices behind an alias. */
#include "sync/dead_letters_int.h"
#include "sync/generations_int.h"
#include "sync/source_int.h"

#include <string.h>

#include "base/parse.h"
#include "json/json.h"

char *generation_name(const char *alias, int64_t generation)
{
	return xasprintf("%s-g%lld", alias, (long long)generation);
}

int64_t generation_number(const char *alias, const char *concrete)
{
	size_t len = strlen(alias);
	uint64_t number;

	if (strncmp(concrete, alias, len) != 0 || strncmp(concrete + len, "-g", 2) != 0)
		return 0;
	return parse_range(concrete + len + 2, 1, INT32_MAX, &number) ? (int64_t)number : 0;
}

json_t *generation_owner_meta(const struct run *run)
{
	return json_pack("{s:{s:s, s:s*}}", "pgsync", "owner", run->owner, "uid", run->spec->uid);
}

/* LEFT: an earlier life of this resource made it, and disowned it. */
enum ownership { OURS, LEFT, FREE, FOREIGN };

/* Who made the index. A resource that was deleted and made again has another uid: it may take what was disowned,
 * nothing else. */
static int ownership(struct attempt *at, const char *concrete, enum ownership *ret, char **ret_owner, struct err *err)
{
	_cleanup_json_ json_t *meta = NULL;
	const char *owner, *uid;

	if (search_index_meta(at->search, concrete, &meta, err) < 0)
		return err_wrap(err, "reading who owns index \"%s\"", concrete);
	owner = jsonx_string(meta, "pgsync.owner", "");
	uid = jsonx_string(meta, "pgsync.uid", "");
	if (!*owner)
		*ret = strcmp(jsonx_string(meta, "pgsync.formerOwner", ""), at->run->owner) ? FREE : LEFT;
	else
		*ret = !strcmp(owner, at->run->owner) && !strcmp(uid, at->run->spec->uid ? at->run->spec->uid : "")
			       ? OURS
			       : FOREIGN;
	*ret_owner = xstrdup(owner);
	return 0;
}

int generation_is_ours(struct attempt *at, const char *concrete, bool *ret, struct err *err)
{
	_cleanup_free_ char *owner = NULL;
	enum ownership whose;

	*ret = false;
	if (ownership(at, concrete, &whose, &owner, err) < 0)
		return err->kind == ERR_NOT_FOUND ? 0 : -1;
	*ret = whose == OURS;
	return 0;
}

int generation_collect(struct attempt *at, const char *alias, int64_t keep, struct err *err)
{
	_cleanup_free_ char *path = xasprintf("/%s-g*/_settings/index.uuid", alias);
	_cleanup_json_ json_t *found = NULL;
	const char *concrete;
	json_t *ignored;

	if (search_json(at->search, "GET", path, NULL, &found, err) < 0)
		return err_wrap(err, "listing the generations of \"%s\"", alias);
	json_object_foreach (found, concrete, ignored) {
		int64_t generation = generation_number(alias, concrete);
		bool ours = false;

		if (!generation || generation == keep)
			continue;
		if (generation_is_ours(at, concrete, &ours, err) < 0 ||
		    (ours && search_index_delete(at->search, concrete, err) < 0))
			return err_wrap(err, "deleting the old generation \"%s\"", concrete);
	}
	return 0;
}

static int check_alias(struct attempt *at, const char *alias, const struct search_name *name, int64_t *ret_live,
		       struct err *err)
{
	_cleanup_free_ char *owner = NULL;
	enum ownership whose = FREE;

	if (name->n_targets > 1)
		return err_reason(err, ERR_INVALID, "IndexInUse",
				  "alias \"%s\" points to %zu indices; it must point to one of pgsync's, or not exist",
				  alias, name->n_targets);
	*ret_live = generation_number(alias, name->target);
	if (!*ret_live && !at->run->spec->sink.adopt_existing_index)
		return err_reason(
			err, ERR_INVALID, "IndexInUse",
			"alias \"%s\" exists and points to \"%s\", which pgsync did not make: choose another index "
			"name, or set spec.sink.adoptExistingIndex: true to move the alias",
			alias, name->target);
	if (!*ret_live)
		return 0;
	if (ownership(at, name->target, &whose, &owner, err) < 0)
		return -1;
	if (whose == FOREIGN)
		return err_reason(
			err, ERR_INVALID, "IndexInUse",
			"index \"%s\" belongs to PgSync %s: choose another index name, or delete that PgSync; "
			"where it is gone already, without having cleaned up, take the alias off \"%s\" by hand",
			alias, owner, name->target);
	return 0;
}

int generation_check_owner(struct attempt *at, const char *alias, int64_t *ret_live, struct err *err)
{
	struct search_name name = {0};
	int r = 0;

	*ret_live = 0;
	if (search_resolve(at->search, alias, &name, err) < 0)
		return err_wrap(err, "looking up index \"%s\"", alias);
	if (name.kind == SEARCH_NAME_ALIAS)
		r = check_alias(at, alias, &name, ret_live, err);
	else if (name.kind == SEARCH_NAME_INDEX && !at->run->spec->sink.adopt_existing_index)
		r = err_reason(
			err, ERR_INVALID, "IndexInUse",
			"an index named \"%s\" exists; pgsync needs that name for an alias: choose another, delete the "
			"index, "
			"or set spec.sink.adoptExistingIndex: true to have it replaced once the new one is complete",
			alias);
	search_name_release(&name);
	return r;
}

/* The plan's body, with what makes filling fast: no refresh, no replicas. generation_go_live takes both back. */
static json_t *creation_body(const struct attempt *at, const struct document_plan *plan)
{
	json_t *body = json_deep_copy(plan->index_body);
	json_t *index = jsonx_get(body, "settings.index");

	if (!index) {
		index = json_object();
		(void)json_object_set_new(body, "settings", json_pack("{s:o}", "index", index));
	}
	(void)json_object_set_new(index, "refresh_interval", json_string("-1"));
	(void)json_object_set_new(index, "number_of_replicas", json_integer(0));
	if (!jsonx_get(body, "mappings"))
		(void)json_object_set_new(body, "mappings", json_object());
	(void)json_object_set_new(jsonx_get(body, "mappings"), "_meta", generation_owner_meta(at->run));
	return body;
}

/* 1: somebody else's, try the next number. */
static int create_one(struct attempt *at, const char *concrete, const json_t *body, struct err *err)
{
	_cleanup_free_ char *owner = NULL;
	enum ownership whose;

	if (search_index_create(at->search, concrete, body, err) == 0)
		return 0;
	if (err->kind != ERR_CONFLICT)
		return err_wrap(err, "creating index \"%s\"", concrete);
	if (ownership(at, concrete, &whose, &owner, err) < 0)
		return -1;
	if (whose != OURS)
		return 1;
	if (search_index_delete(at->search, concrete, err) < 0 ||
	    search_index_create(at->search, concrete, body, err) < 0)
		return err_wrap(err, "replacing index \"%s\"", concrete);
	return 0;
}

int generation_create(struct attempt *at, const struct document_plan *plan, int64_t after, int64_t *ret,
		      struct err *err)
{
	_cleanup_json_ json_t *body = creation_body(at, plan);

	for (int64_t g = after + 1;; g++) {
		_cleanup_free_ char *concrete = generation_name(plan->document->index, g);
		int r = create_one(at, concrete, body, err);

		if (r <= 0) {
			*ret = g;
			return r;
		}
	}
}

static json_t *life_settings(const struct document_plan *plan)
{
	json_t *index = json_pack("{s:n, s:n}", "refresh_interval", "number_of_replicas");
	json_t *wanted = jsonx_get(plan->index_body, "settings.index");
	const char *const names[] = {"refresh_interval", "number_of_replicas"};

	for (size_t i = 0; i < ARRAY_SIZE(names); i++)
		if (json_object_get(wanted, names[i]))
			(void)json_object_set(index, names[i], json_object_get(wanted, names[i]));
	return json_pack("{s:o}", "index", index);
}

int generation_is_live(struct attempt *at, const char *alias, const char *concrete, bool *ret, struct err *err)
{
	struct search_name name = {0};

	if (search_resolve(at->search, alias, &name, err) < 0)
		return err_wrap(err, "looking up index \"%s\"", alias);
	*ret = name.kind == SEARCH_NAME_ALIAS && name.n_targets == 1 && strcmp(name.target, concrete) == 0;
	search_name_release(&name);
	return 0;
}

int generation_check_filled(struct attempt *at, const struct document_plan *plan, const struct checkpoint_index *index,
			    struct err *err)
{
	_cleanup_free_ char *concrete = generation_name(index->name, index->generation);
	struct search_stats stats = {0};
	struct search_name name = {0};
	uint64_t copied = checkpoint_rows(index);
	bool takes_over;
	int rows;

	if (!copied || index->emptied)
		return 0;
	if (search_refresh(at->search, concrete, err) < 0 || search_stats(at->search, concrete, &stats, err) < 0)
		return err_wrap(err, "counting the documents of \"%s\"", concrete);
	if (stats.documents)
		return 0;
	if (search_resolve(at->search, index->name, &name, err) < 0)
		return err_wrap(err, "looking up index \"%s\"", index->name);
	takes_over = name.kind == SEARCH_NAME_INDEX ||
		     (name.kind == SEARCH_NAME_ALIAS && strcmp(name.target, concrete) != 0);
	search_name_release(&name);
	if (!takes_over)
		return 0;
	if (source_count_rows(at->pg, plan->root, 1, &rows, err) < 0)
		return -1;
	if (!rows)
		return 0;
	return err_reason(
		err, ERR_INVALID, "EveryDocumentRejected",
		"index \"%s\" has no document, as those of all %llu rows were rejected, so alias \"%s\" is not moved "
		"to it: \"%s" DEAD_LETTERS_SUFFIX "\" says why; correct the mapping, the schema or the rows",
		concrete, (unsigned long long)copied, index->name, index->name);
}

int generation_go_live(struct attempt *at, const struct document_plan *plan, int64_t generation, struct err *err)
{
	const char *alias = plan->document->index;
	_cleanup_free_ char *concrete = generation_name(alias, generation);
	_cleanup_json_ json_t *settings = life_settings(plan);
	struct search_name name = {0};
	bool is_index;

	if (search_put_settings(at->search, concrete, settings, err) < 0 ||
	    search_refresh(at->search, concrete, err) < 0 || search_resolve(at->search, alias, &name, err) < 0)
		return err_wrap(err, "completing index \"%s\"", concrete);
	is_index = name.kind == SEARCH_NAME_INDEX;
	search_name_release(&name);
	if (search_alias_move(at->search, alias, concrete, is_index, err) < 0)
		return err_wrap(err, "moving alias \"%s\" to \"%s\"", alias, concrete);
	return 0;
}

/* Replaces what `_meta` says. */
static int put_meta(struct attempt *at, const char *concrete, json_t *meta, struct err *err)
{
	_cleanup_json_ json_t *mapping = json_pack("{s:o}", "_meta", meta);

	return search_put_mapping(at->search, concrete, mapping, err);
}

int generation_take_back(struct attempt *at, const char *alias, int64_t generation, struct err *err)
{
	_cleanup_free_ char *concrete = generation_name(alias, generation);
	_cleanup_free_ char *owner = NULL;
	enum ownership whose = FREE;

	if (generation && ownership(at, concrete, &whose, &owner, err) < 0)
		return -1;
	if (whose == LEFT && put_meta(at, concrete, generation_owner_meta(at->run), err) < 0)
		return err_wrap(err, "taking index \"%s\" back", concrete);
	return 0;
}

int generation_disown(struct attempt *at, const char *concrete, struct err *err)
{
	_cleanup_free_ char *owner = NULL;
	enum ownership whose;

	if (ownership(at, concrete, &whose, &owner, err) < 0)
		return err->kind == ERR_NOT_FOUND ? 0 : -1;
	/* Ours did not get as far as to take the alias off somebody else's. */
	if (strcmp(owner, at->run->owner) != 0)
		return 0;
	if (put_meta(at, concrete, json_pack("{s:{s:s}}", "pgsync", "formerOwner", at->run->owner), err) < 0 &&
	    err->kind != ERR_NOT_FOUND)
		return err_wrap(err, "giving up index \"%s\"", concrete);
	return 0;
}
