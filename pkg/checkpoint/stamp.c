/* Checkpoints in Redis, each with a stamp in the index, and what the two say together. */
#include "checkpoint/store_int.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/parse.h"
#include "redis/redis.h"

enum { TRY_MS = 10000, TRY_BASE_MS = 100, TRY_CAP_MS = 2000, SLICE_MS = 100, STATES_MAX = 2 };

#define SAVE_MOST (INT64_C(1) << 53)

static const char store_word[] = "Redis";

/* --- The state of a checkpoint ---------------------------------------------------------------------------------------
 */
/* Everything but the time and the progress of bootstrap and stream: an older progress means that something is done
 * again, an older state would mean that it is not done. */
static char *stamp_state(const json_t *document)
{
	static const char *const progress[] = {"confirmedLSN", "landmark", CHECKPOINT_SAVED_KEY};
	_cleanup_json_ json_t *state = json_deep_copy(document);
	char hash[JSONX_HASH_BYTES];
	json_t *index;
	size_t i;

	for (i = 0; i < ARRAY_SIZE(progress); i++)
		(void)json_object_del(state, progress[i]);
	json_array_foreach (json_object_get(state, "indices"), i, index) {
		(void)json_object_del(index, "ranges");
		(void)json_object_del(index, "rowsTotal");
	}
	return xstrdup(jsonx_hash(state, hash));
}

static json_t *make_stamp(const struct checkpoint *cp, const char *state, const char *other)
{
	char lsn[LSN_BYTES];
	json_t *states = other ? json_pack("[s,s]", other, state) : json_pack("[s]", state);

	return json_pack("{s:i, s:s, s:s*, s:s*, s:I, s:s, s:o, s:s}", "format", 1, "store", store_word, "owner",
			 cp->owner, "ownerUID", cp->owner_uid, "save", (json_int_t)cp->save, "writer", cp->writer,
			 "states", states, "confirmedLSN", lsn_format(cp->confirmed_lsn, lsn));
}

bool checkpoint_is_stamp(const json_t *document)
{
	return json_is_object(document) && json_object_get(document, "store");
}

static int check_stamp(const json_t *stamp, struct err *err)
{
	const json_t *states = json_object_get(stamp, "states");
	uint64_t lsn;

	if (jsonx_integer(stamp, "format", 0) == 1 && !strcmp(jsonx_string(stamp, "store", ""), store_word) &&
	    json_is_array(states) && json_array_size(states) <= STATES_MAX && jsonx_integer(stamp, "save", -1) >= 0 &&
	    jsonx_integer(stamp, "save", -1) <= SAVE_MOST && parse_lsn(jsonx_string(stamp, "confirmedLSN", ""), &lsn))
		return 0;
	return err_reason(err, ERR_INVALID, REASON_CHECKPOINT_CORRUPT,
			  "the note that it is in Redis is damaged, or another version of the program wrote it");
}

/* --- Redis -----------------------------------------------------------------------------------------------------------
 */
/* A value of Redis: what is to be saved, or what was found. */
struct value {
	char *key;
	char *text; /* NULL: none is stored */
	size_t len;
	int64_t save;
	bool first; /* what Redis has is of no interest */
};

static char *redis_key(const char *key)
{
	return xasprintf("pgsync:%s", key);
}

/* Of a text that Redis holds; -1: it is not one of ours. */
static int64_t save_of(const char *text, size_t len)
{
	_cleanup_json_ json_t *value = NULL;
	struct err ignored;
	int64_t save;

	if (!text || jsonx_parse(text, len, "checkpoint", &value, &ignored) < 0)
		return -1;
	save = jsonx_integer(value, "save", -1);
	return save <= SAVE_MOST ? save : -1;
}

static int find_value(struct redis *redis, struct value *v, struct err *err)
{
	return redis_get(redis, v->key, &v->text, &v->len, err);
}

/* An older value, or none, is what Redis has after it lost what was saved; the stamp says that no other process saved
 * meanwhile. */
static int replace_value(struct redis *redis, struct value *v, struct err *err)
{
	_cleanup_free_ char *stored = NULL;
	size_t len;

	if (redis_watch(redis, v->key, err) < 0 || redis_get(redis, v->key, &stored, &len, err) < 0)
		return -1;
	/* The answer to an earlier attempt was lost. */
	if (stored && len == v->len && memcmp(stored, v->text, len) == 0)
		return 0;
	if (!v->first && save_of(stored, len) >= v->save)
		return err_set(err, ERR_CONFLICT, "another process has saved the checkpoint in Redis");
	return redis_set(redis, v->key, v->text, v->len, err);
}

static int remove_value(struct redis *redis, struct value *v, struct err *err)
{
	return redis_delete(redis, v->key, err);
}

static int use_once(const struct redis_server *server,
		    int (*use)(struct redis *redis, struct value *v, struct err *err), struct value *v, struct err *err)
{
	_cleanup_(redis_closep) struct redis *redis = NULL;

	return redis_open(server, &redis, err) < 0 ? -1 : use(redis, v, err);
}

/* False when the waiting is cancelled. */
static bool pause_between(const struct redis_server *server, int64_t ms)
{
	for (; ms > 0; ms -= SLICE_MS) {
		if (server->cancelled && server->cancelled(server->user))
			return false;
		(void)nanosleep(&(struct timespec){.tv_nsec = (ms < SLICE_MS ? ms : SLICE_MS) * 1000000L}, NULL);
	}
	return true;
}

/* A server that restarts is back in a moment: worth more than ending the attempt. */
static int use_redis(const struct redis_server *server,
		     int (*use)(struct redis *redis, struct value *v, struct err *err), struct value *v,
		     struct err *err)
{
	int64_t deadline_ms = clock_now_ms() + TRY_MS;
	struct backoff backoff;
	int r;

	backoff_init(&backoff, TRY_BASE_MS, TRY_CAP_MS, random_seed());
	while ((r = use_once(server, use, v, err)) < 0 && err_is_transient(err)) {
		int64_t ms = backoff_next_ms(&backoff);

		if (clock_now_ms() + ms >= deadline_ms || !pause_between(server, ms))
			break;
	}
	return r;
}

int checkpoint_remove_from_redis(const struct checkpoint_store *store, const char *key, struct err *err)
{
	_cleanup_free_ char *name = redis_key(key);
	struct value v = {.key = name};

	return use_redis(store->redis, remove_value, &v, err);
}

/* --- Loading ---------------------------------------------------------------------------------------------------------
 */
static char *new_writer(void)
{
	uint64_t seed = random_seed();

	return xasprintf("%016llx", (unsigned long long)random_next(&seed));
}

static void set_lost(const json_t *stamp, const char *why, const char *key, struct checkpoint *ret)
{
	log_warn("checkpoint", "the checkpoint in Redis cannot be used: the index is rebuilt", KV_STR("key", key),
		 KV_STR("why", why));
	*ret = (struct checkpoint){
		.phase = CHECKPOINT_PREPARING,
		.lost = true,
		.owner = xstrdup_or_null(jsonx_string(stamp, "owner", NULL)),
		.owner_uid = xstrdup_or_null(jsonx_string(stamp, "ownerUID", NULL)),
	};
}

/* Why a value is not the one that the stamp is of; NULL: it is, and *ret is its checkpoint. */
static const char *match_value(const json_t *stamp, const struct value *v, json_t **ret)
{
	_cleanup_json_ json_t *value = NULL;
	_cleanup_free_ char *state = NULL;
	json_t *document;
	struct err ignored;

	if (!v->text)
		return "Redis has lost it";
	if (jsonx_parse(v->text, v->len, "checkpoint", &value, &ignored) < 0)
		return "it is damaged";
	document = json_object_get(value, "checkpoint");
	state = document ? stamp_state(document) : NULL;
	if (!state || !jsonx_contains(json_object_get(stamp, "states"), state))
		return "Redis has an older one";
	*ret = json_incref(document);
	return NULL;
}

static int use_value(const json_t *stamp, const struct value *v, const char *key, struct checkpoint *ret,
		     struct err *err)
{
	_cleanup_json_ json_t *document = NULL;
	const char *trouble = match_value(stamp, v, &document);
	uint64_t confirmed = 0;

	if (trouble) {
		set_lost(stamp, trouble, key, ret);
		return 0;
	}
	if (checkpoint_decode(document, ret, err) < 0)
		return -1;
	(void)!parse_lsn(jsonx_string(stamp, "confirmedLSN", ""), &confirmed);
	/* The stamp is written first, so it is never the older one, unless the search engine was restored. */
	if (ret->confirmed_lsn > confirmed) {
		checkpoint_release(ret);
		set_lost(stamp, "the search engine has an older stamp", key, ret);
		return 0;
	}
	ret->state = stamp_state(document);
	ret->confirmed_lsn = confirmed;
	return 0;
}

int checkpoint_load_stamped(const struct checkpoint_store *store, const char *key, const json_t *stamp,
			    struct checkpoint *ret, struct err *err)
{
	_cleanup_free_ char *name = redis_key(key);
	struct value v = {.key = name};
	int r;

	if (check_stamp(stamp, err) < 0)
		return -1;
	if (!store->redis)
		return err_reason(
			err, ERR_INVALID, REASON_INVALID_SPEC,
			"the checkpoint is in Redis, and spec.checkpoint.redis does not say where that is: set "
			"it until the checkpoint has been moved");
	if (use_redis(store->redis, find_value, &v, err) < 0)
		return -1;
	r = use_value(stamp, &v, key, ret, err);
	ret->in_redis = true;
	ret->save = jsonx_integer(stamp, "save", 0);
	if (ret->save < save_of(v.text, v.len))
		ret->save = save_of(v.text, v.len);
	free(v.text);
	return r;
}

/* --- Saving ----------------------------------------------------------------------------------------------------------
 */
static int put_stamp(const struct checkpoint_store *store, const char *key, struct checkpoint *cp, const char *state,
		     const char *other, struct err *err)
{
	_cleanup_json_ json_t *stamp = make_stamp(cp, state, other);

	if (!stamp)
		return err_set(err, ERR_FATAL, "out of memory");
	return checkpoint_put_document(store->search, key, stamp, cp, err);
}

static int put_value(const struct checkpoint_store *store, const char *key, json_t *document,
		     const struct checkpoint *cp, struct err *err)
{
	_cleanup_json_ json_t *value = json_pack("{s:I, s:O}", "save", (json_int_t)cp->save, "checkpoint", document);
	_cleanup_free_ char *name = redis_key(key), *text = jsonx_canonical(value);
	struct value v = {.key = name, .text = text, .len = strlen(text), .save = cp->save, .first = !cp->state};

	if (use_redis(store->redis, replace_value, &v, err) == 0)
		return 0;
	if (err->kind == ERR_CONFLICT)
		err->reason = REASON_CHECKPOINT_CONFLICT;
	return -1;
}

/* The stamp goes first, because of its version: who cannot write it does not touch Redis. While a new state is on its
 * way, the stamp is of both: whatever Redis has if this is interrupted, nothing was done yet that the old one does not
 * know of. A checkpoint that is not in Redis yet goes there first, since the stamp replaces it. */
int checkpoint_save_stamped(const struct checkpoint_store *store, const char *key, json_t *document,
			    struct checkpoint *cp, struct err *err)
{
	_cleanup_free_ char *state = stamp_state(document);
	const char *old = cp->state && strcmp(cp->state, state) != 0 ? cp->state : NULL;

	if (!cp->writer)
		cp->writer = new_writer();
	cp->save++;
	if (cp->state && put_stamp(store, key, cp, state, old, err) < 0)
		return -1;
	if (put_value(store, key, document, cp, err) < 0)
		return -1;
	if ((!cp->state || old) && put_stamp(store, key, cp, state, NULL, err) < 0)
		return -1;
	xreplace(&cp->state, state);
	cp->in_redis = true;
	return 0;
}
