/* The store: checkpoints are loaded, saved only if no other process did, deleted. */
#include "checkpoint/store_int.h"

#include "base/clock.h"
#include "base/failpoint.h"
#include "base/log.h"
#include "search/search.h"

enum { KEY_BYTES = 512 };

static int check_key(const char *key, struct err *err)
{
	size_t len = strlen(key);

	if (len == 0 || len > KEY_BYTES)
		return err_set(err, ERR_INVALID, "a checkpoint's key has 1 to %d bytes, not %zu", KEY_BYTES, len);
	return 0;
}

/* --- The index -------------------------------------------------------------------------------------------------------
 */
/* Documents are stored without being indexed: a mapping would only constrain the next format. */
static int create_index(struct search *search, bool hidden, struct err *err)
{
	_cleanup_json_ json_t *body =
		json_pack("{s:{s:{s:i,s:s}},s:{s:b,s:{s:b}}}", "settings", "index", "number_of_shards", 1,
			  "auto_expand_replicas", "0-1", "mappings", "enabled", 0, "_routing", "required", 0);
	json_t *settings = jsonx_get(body, "settings.index");

	if (!settings || (hidden && json_object_set_new(settings, "hidden", json_true()) < 0))
		return err_set(err, ERR_FATAL, "out of memory");
	return search_index_create(search, CHECKPOINT_INDEX, body, err);
}

/* A write to a missing index would create it, with a mapping that the engine guesses. */
static int ensure_checkpoint_index(struct search *search, struct err *err)
{
	bool exists = false;
	int r;

	if (search_index_exists(search, CHECKPOINT_INDEX, &exists, err) < 0)
		return -1;
	if (exists)
		return 0;
	r = create_index(search, true, err);
	/* Elasticsearch before 7.7 does not support hidden indices. */
	if (r < 0 && err->kind == ERR_INVALID)
		r = create_index(search, false, err);
	return r < 0 && err->kind != ERR_CONFLICT ? -1 : 0;
}

/* After a conflict: is the stored document this one, because the response to an earlier attempt was lost? */
static bool is_saved(struct search *search, const char *key, const json_t *document, struct search_version *version)
{
	_cleanup_json_ json_t *stored = NULL;
	struct search_version found;
	struct err err;

	if (search_get(search, CHECKPOINT_INDEX, key, &stored, &found, &err) < 0 || !stored)
		return false;
	(void)json_object_set(stored, CHECKPOINT_SAVED_KEY, json_object_get(document, CHECKPOINT_SAVED_KEY));
	if (!json_equal(stored, document))
		return false;
	*version = found;
	return true;
}

int checkpoint_put_document(struct search *search, const char *key, const json_t *document, struct checkpoint *cp,
			    struct err *err)
{
	struct search_version version = {.seq_no = cp->seq_no, .primary_term = cp->primary_term};

	if (version.seq_no < 0 && ensure_checkpoint_index(search, err) < 0)
		return -1;
	if (search_put(search, CHECKPOINT_INDEX, key, document, &version, err) < 0) {
		if (err->kind != ERR_CONFLICT)
			return -1;
		if (!is_saved(search, key, document, &version)) {
			err->reason = REASON_CHECKPOINT_CONFLICT;
			return -1;
		}
	}
	cp->seq_no = version.seq_no;
	cp->primary_term = version.primary_term;
	return 0;
}

/* --- Loading and saving ----------------------------------------------------------------------------------------------
 */
static int load_document(const struct checkpoint_store *store, const char *key, const json_t *document,
			 struct checkpoint *ret, struct err *err)
{
	if (!document) {
		*ret = (struct checkpoint){.phase = CHECKPOINT_NEW};
		return 0;
	}
	if (checkpoint_is_stamp(document))
		return checkpoint_load_stamped(store, key, document, ret, err);
	return checkpoint_decode(document, ret, err);
}

int checkpoint_load(const struct checkpoint_store *store, const char *key, struct checkpoint *ret, struct err *err)
{
	_cleanup_json_ json_t *document = NULL;
	struct search_version version;

	if (check_key(key, err) < 0)
		return -1;
	if (search_get(store->search, CHECKPOINT_INDEX, key, &document, &version, err) < 0)
		return err_wrap(err, "loading checkpoint '%s'", key);
	if (load_document(store, key, document, ret, err) < 0) {
		(void)err_wrap(err, "checkpoint '%s' in index " CHECKPOINT_INDEX " cannot be used", key);
		if (!err_is_transient(err))
			err_append(err, "; delete this document to rebuild the index");
		return -1;
	}
	ret->seq_no = version.seq_no;
	ret->primary_term = version.primary_term;
	return 0;
}

/* The checkpoint is in the index now. What is left in Redis has no stamp, so nothing would use it. */
static void leave_redis(const struct checkpoint_store *store, const char *key, struct checkpoint *cp)
{
	struct err err;

	cp->in_redis = false;
	free(TAKE_PTR(cp->state));
	if (store->redis && checkpoint_remove_from_redis(store, key, &err) < 0)
		log_warn("checkpoint", "a checkpoint that is no longer used stays in Redis", KV_STR("key", key),
			 KV_ERR(&err));
}

int checkpoint_save(const struct checkpoint_store *store, const char *key, struct checkpoint *cp, struct err *err)
{
	_cleanup_json_ json_t *document = NULL;
	int r;

	if (check_key(key, err) < 0)
		return -1;
	cp->saved_us = clock_wall_us();
	document = checkpoint_encode(cp);
	if (!document)
		return err_set(err, ERR_INVALID, "checkpoint '%s' contains a name that is not UTF-8", key);
	r = store->in_redis ? checkpoint_save_stamped(store, key, document, cp, err)
			    : checkpoint_put_document(store->search, key, document, cp, err);
	if (r < 0)
		return err_wrap(err, "saving checkpoint '%s'", key);
	if (!store->in_redis && cp->in_redis)
		leave_redis(store, key, cp);
	return FAILPOINT(CHECKPOINT_SAVED, err);
}

int checkpoint_delete(const struct checkpoint_store *store, const char *key, struct err *err)
{
	struct checkpoint left = {.in_redis = false};

	if (check_key(key, err) < 0)
		return -1;
	if (search_delete(store->search, CHECKPOINT_INDEX, key, err) < 0)
		return err_wrap(err, "deleting checkpoint '%s'", key);
	leave_redis(store, key, &left);
	return FAILPOINT(CHECKPOINT_DELETED, err);
}

bool checkpoint_is_misplaced(const struct checkpoint_store *store, const struct checkpoint *cp)
{
	return store->in_redis != cp->in_redis;
}
