/* List and watch as in client-go (tools/cache/reflector.go), with one more rule and one fewer.
 *
 * Lists are always consistent reads (no resourceVersion), in pages: they never go back in time and never wait for a
 * version that the server has lost, and for collections of this size they are cheap. Watches that stay silent several
 * times in a row are not trusted: after the server's storage was restored from a backup, our version would be in its
 * future, and no event would ever arrive. */
#include <assert.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/map.h"
#include "kube/kube_int.h"
#include "kube/listing_int.h"
#include "json/json.h"

/* TOKEN_BYTES: of a continue token; those of etcd have the length of a key. */
enum {
	WATCH_MIN_S = 300,
	WATCH_MORE_S = 300,
	LIST_TIMEOUT_MS = 120 * 1000,
	LIST_IDLE_MS = 30 * 1000,
	TOKEN_BYTES = 8192
};

/* What is known about an object. */
struct known {
	unsigned round; /* the list that it was last seen in */
	char resource_version[];
};

/* What happens after a stream that we ended ourselves. */
enum verdict { VERDICT_NONE, VERDICT_WATCH, VERDICT_LIST };

struct kube_reflector {
	struct kube *kube;
	char *path, *selector; /* selector: "&labelSelector=...", or "" */
	struct kube_reflector_handlers handlers;
	void *user;
	uint64_t seed;

	struct map *known;
	unsigned round;
	char resource_version[KUBE_RV_BYTES]; /* watch from here; "" : list first */
	char *continue_token;                 /* of the list under way, or NULL */
	unsigned pages;                       /* of the list under way */
	bool synced;

	struct http_call *call;
	struct kube_target *target;
	char *url;
	struct kube_frames *frames;   /* of the watch under way */
	struct kube_listing *listing; /* of the list's page under way */
	int64_t started_ms, idle_ms;
	int64_t started_us;
	unsigned events;       /* since the watch began */
	unsigned idle_watches; /* watches in a row without one */
	bool broken;           /* the last exchange ended without an answer */
	bool in_data;          /* libcurl runs our on_data: the call cannot be freed */
	bool dead;
	bool failing; /* nothing has worked since the last failure */
	enum verdict verdict;
	struct err problem; /* with a verdict */

	struct kube_timer *timer;
	struct backoff backoff;
	int64_t failed_ms; /* the last failure */
};

static void begin_list(struct kube_reflector *r);
static void begin_watch(struct kube_reflector *r);

/* --- Objects ---------------------------------------------------------------------------------------------------------
 */
static char *object_key(const json_t *object)
{
	const char *namespace = jsonx_string(object, "metadata.namespace", "");
	const char *name = jsonx_string(object, "metadata.name", "");

	return namespace[0] ? xasprintf("%s/%s", namespace, name) : xstrdup(name);
}

static void remember_object(struct kube_reflector *r, const char *key, const char *version)
{
	size_t len = strlen(version) + 1;
	struct known *known = xmalloc(sizeof(*known) + len);

	known->round = r->round;
	memcpy(known->resource_version, version, len);
	map_puts(r->known, key, known);
}

static void take_object(struct kube_reflector *r, json_t *object)
{
	_cleanup_free_ char *key = object_key(object);
	const char *version = jsonx_string(object, "metadata.resourceVersion", "");
	struct known *known = map_gets(r->known, key);

	if (known && strcmp(known->resource_version, version) == 0) {
		known->round = r->round;
		return;
	}
	remember_object(r, key, version);
	(void)json_object_del(json_object_get(object, "metadata"), "managedFields");
	r->handlers.changed(r->user, key, object);
}

static void lose_object(struct kube_reflector *r, const char *key)
{
	if (map_removes(r->known, key) && !r->dead)
		r->handlers.deleted(r->user, key);
}

static bool lose_unseen(void *user, const char *key, size_t len, void *value)
{
	struct kube_reflector *r = user;
	const struct known *known = value;
	_cleanup_free_ char *copy = NULL;

	if (known->round == r->round)
		return true;
	copy = xstrndup(key, len); /* the entry takes its key with it */
	lose_object(r, copy);
	return !r->dead;
}

/* Versions are growing numbers, but may be compared only if both consist of digits (KEP-5504). */
static bool is_older_version(const char *a, const char *b)
{
	size_t a_len = strlen(a), b_len = strlen(b);

	if (strspn(a, "0123456789") != a_len || strspn(b, "0123456789") != b_len)
		return false;
	return a_len != b_len ? a_len < b_len : strcmp(a, b) < 0;
}

/* --- Failing and continuing
 * -------------------------------------------------------------------------------------------- */
static void on_timer(void *user)
{
	struct kube_reflector *r = user;

	r->timer = NULL;
	if (r->resource_version[0])
		begin_watch(r);
	else
		begin_list(r);
}

static void relist(struct kube_reflector *r)
{
	r->resource_version[0] = '\0';
	free(TAKE_PTR(r->continue_token));
}

static void resume_after(struct kube_reflector *r, int64_t delay_ms)
{
	assert(!r->timer && !r->call);
	r->timer = kube_timer_start(r->kube, clock_now_ms() + delay_ms, on_timer, r);
}

static void back_off(struct kube_reflector *r, const struct err *err)
{
	int64_t now_ms = clock_now_ms(), most_ms = r->kube->tuning.retry_after_max_ms, delay_ms;
	int64_t asked_ms = err->retry_after_ms < most_ms ? err->retry_after_ms : most_ms;

	if (now_ms - r->failed_ms > r->kube->tuning.backoff_reset_ms)
		backoff_reset(&r->backoff);
	r->failed_ms = now_ms;
	delay_ms = backoff_next_ms(&r->backoff);
	resume_after(r, delay_ms > asked_ms ? delay_ms : asked_ms);
	r->failing = true;
	if (r->handlers.failed)
		r->handlers.failed(r->user, err);
}

static void recover_from_error(struct kube_reflector *r)
{
	if (!r->failing)
		return;
	r->failing = false;
	if (r->handlers.recovered && !r->dead)
		r->handlers.recovered(r->user);
}

/* A version that is too old is normal after a long interruption. The first time, list at once. */
static void expire(struct kube_reflector *r, const struct err *err)
{
	bool again = clock_now_ms() - r->failed_ms < r->kube->tuning.very_short_ms;

	relist(r);
	if (again) {
		back_off(r, err);
		return;
	}
	r->failed_ms = clock_now_ms();
	resume_after(r, 0);
}

/* --- One exchange ----------------------------------------------------------------------------------------------------
 */
static void clear_exchange(struct kube_reflector *r)
{
	kube_frames_free(TAKE_PTR(r->frames));
	kube_listing_free(TAKE_PTR(r->listing));
	kube_target_put(TAKE_PTR(r->target));
	free(TAKE_PTR(r->url));
}

static void free_reflector(void *ptr)
{
	struct kube_reflector *r = ptr;

	clear_exchange(r);
	map_free(r->known);
	free(r->path);
	free(r->selector);
	free(r->continue_token);
	free(r);
}

/* Ends a stream from within its data. */
static bool end_stream(struct kube_reflector *r, enum verdict verdict)
{
	r->verdict = verdict;
	return false;
}

static void begin_request(struct kube_reflector *r, int64_t timeout_ms, int64_t idle_ms,
			  bool (*on_data)(void *user, const char *data, size_t len), http_done_fn *done)
{
	struct http_request request = {
		.method = "GET",
		.path = r->url,
		.timeout_ms = timeout_ms,
		.idle_timeout_ms = idle_ms,
		.fresh_connection = r->broken,
		.on_data = on_data,
		.user = r,
	};

	r->verdict = VERDICT_NONE;
	r->started_ms = clock_now_ms();
	r->started_us = clock_now_us();
	r->idle_ms = idle_ms;
	r->target = kube_target_get(r->kube, KUBE_USE_GENERAL);
	r->call = http_start(r->kube->http, r->target->http, &request, done, r);
}

/* At the end of an exchange. False: the reflector has been stopped. */
static bool end_exchange(struct kube_reflector *r, const struct http_response *response)
{
	r->call = NULL;
	r->broken = !response;
	if (r->dead) {
		kube_free_later(r->kube, r, free_reflector);
		return false;
	}
	/* A stream that we ended ourselves counts as answered. */
	kube_observe(r->kube, "GET", response ? response->status : r->verdict != VERDICT_NONE ? 200 : 0, r->started_us);
	return true;
}

/* --- List ------------------------------------------------------------------------------------------------------------
 */
/* Whether an object may be in the collection of this path. */
static bool belongs_to(const char *path, const json_t *object)
{
	static const char within[] = "/namespaces/";
	const char *namespace = jsonx_string(object, "metadata.namespace", "");
	const char *expected = strstr(path, within);
	size_t len = strlen(namespace);

	if (!*jsonx_string(object, "metadata.name", ""))
		return false;
	if (!expected)
		return true;
	expected += strlen(within);
	return strcspn(expected, "/") == len && strncmp(expected, namespace, len) == 0;
}

/* The answer was to another request. True: so the exchange ends. */
static bool is_misplaced(struct kube_reflector *r, const json_t *object)
{
	if (belongs_to(r->path, object))
		return false;
	(void)err_set(&r->problem, ERR_FATAL,
		      "GET %s: the answer has an object without a name, or of another namespace", r->path);
	(void)end_stream(r, VERDICT_LIST);
	return true;
}

static void on_item(void *user, json_t *object)
{
	struct kube_reflector *r = user;

	if (!r->dead && r->verdict == VERDICT_NONE && !is_misplaced(r, object))
		take_object(r, object);
}

static bool on_list_data(void *user, const char *data, size_t len)
{
	struct kube_reflector *r = user;
	int result;

	r->in_data = true;
	result = kube_listing_feed(r->listing, data, len, on_item, r, &r->problem);
	r->in_data = false;
	if (r->dead || r->verdict != VERDICT_NONE)
		return false;
	return result == 0 || end_stream(r, VERDICT_LIST);
}

static void complete_list(struct kube_reflector *r, const char *version)
{
	bool first = !r->synced;

	(void)snprintf(r->resource_version, sizeof(r->resource_version), "%s", version);
	map_each(r->known, lose_unseen, r);
	if (r->dead)
		return;
	r->synced = true;
	resume_after(r, 0);
	if (first && r->handlers.synced)
		r->handlers.synced(r->user);
	recover_from_error(r);
}

/* A list must end: until it does, nothing is known to be deleted, and nothing is watched. */
static int check_next_page(const struct kube_reflector *r, const char *token, struct err *err)
{
	if (r->continue_token && strcmp(r->continue_token, token) == 0)
		return err_set(err, ERR_FATAL, "GET %s: the list continues where it did before", r->path);
	if (r->pages >= r->kube->tuning.pages_max || strlen(token) > TOKEN_BYTES)
		return err_set(err, ERR_LIMIT,
			       "GET %s: the list has more than %u pages, or a token of more than %d bytes", r->path,
			       r->kube->tuning.pages_max, TOKEN_BYTES);
	return 0;
}

static void end_page(struct kube_reflector *r)
{
	_cleanup_json_ json_t *frame = NULL;
	const char *version, *more;
	struct err err;

	if (kube_listing_finish(r->listing, &frame, &err) < 0) {
		relist(r);
		back_off(r, &err);
		return;
	}
	version = jsonx_string(frame, "metadata.resourceVersion", "");
	more = jsonx_string(frame, "metadata.continue", "");
	if (more[0] && check_next_page(r, more, &err) < 0) {
		relist(r);
		back_off(r, &err);
		return;
	}
	free(TAKE_PTR(r->continue_token));
	if (more[0]) {
		r->continue_token = xstrdup(more);
		resume_after(r, 0);
	} else if (!version[0] || strlen(version) >= KUBE_RV_BYTES) {
		(void)err_set(&err, ERR_FATAL, "GET %s: the list has no resourceVersion", r->path);
		back_off(r, &err);
	} else {
		complete_list(r, version);
	}
}

static void list_failed(struct kube_reflector *r, const struct err *err)
{
	bool expired = err->kind == ERR_NOT_FOUND && err->code == 410;

	/* Starts the list again: the remaining pages may no longer be available. */
	if (expired)
		expire(r, err);
	else {
		relist(r);
		back_off(r, err);
	}
}

static void on_list_done(void *user, const struct http_response *response, const struct err *err)
{
	struct kube_reflector *r = user;
	struct err problem;

	if (!end_exchange(r, response))
		return;
	if (!response) {
		list_failed(r, r->verdict != VERDICT_NONE ? &r->problem : err);
	} else if (response->status == 200) {
		end_page(r);
	} else {
		(void)kube_status_err(response, "GET", r->path, &problem);
		if (response->status == 401)
			(void)kube_target_refused(r->kube);
		list_failed(r, &problem);
	}
}

static void begin_list(struct kube_reflector *r)
{
	struct strbuf url;

	clear_exchange(r);
	if (!r->continue_token) {
		r->round++;
		r->pages = 0;
	}
	r->pages++;
	strbuf_init(&url, KUBE_MAX_OBJECT);
	strbuf_addf(&url, "%s?limit=%d%s", r->path, r->kube->tuning.page_size, r->selector);
	if (r->continue_token) {
		strbuf_adds(&url, "&continue=");
		http_escape(&url, r->continue_token);
	}
	r->url = strbuf_detach(&url);
	r->listing = kube_listing_new(KUBE_MAX_OBJECT, r->kube->as_text);
	begin_request(r, LIST_TIMEOUT_MS, LIST_IDLE_MS, on_list_data, on_list_done);
}

/* --- Watch -----------------------------------------------------------------------------------------------------------
 */
static void on_error_event(struct kube_reflector *r, const json_t *status)
{
	(void)kube_status_object_err(status, "watch", &r->problem);
	/* Our version remains good only if we were told to slow down. */
	(void)end_stream(r, r->problem.code == 429 ? VERDICT_WATCH : VERDICT_LIST);
}

static void advance_version(struct kube_reflector *r, const char *version, bool bookmark)
{
	if (!version[0] || strlen(version) >= KUBE_RV_BYTES)
		return;
	if (bookmark && is_older_version(version, r->resource_version)) {
		(void)err_set(&r->problem, ERR_NOT_FOUND, "GET %s: the server went back from version %s to %s", r->path,
			      r->resource_version, version);
		r->problem.code = 410;
		(void)end_stream(r, VERDICT_LIST);
		return;
	}
	(void)snprintf(r->resource_version, sizeof(r->resource_version), "%s", version);
}

static void on_event(void *user, const char *type, json_t *object)
{
	struct kube_reflector *r = user;
	_cleanup_free_ char *version = NULL;

	if (r->dead || r->verdict != VERDICT_NONE)
		return;
	r->events++;
	r->idle_watches = 0;
	if (strcmp(type, "ERROR") == 0) {
		on_error_event(r, object);
		return;
	}
	if (strcmp(type, "BOOKMARK") != 0 && is_misplaced(r, object))
		return;
	version = xstrdup(jsonx_string(object, "metadata.resourceVersion", ""));
	if (strcmp(type, "ADDED") == 0 || strcmp(type, "MODIFIED") == 0) {
		take_object(r, object);
	} else if (strcmp(type, "DELETED") == 0) {
		_cleanup_free_ char *key = object_key(object);

		lose_object(r, key);
	}
	advance_version(r, version, strcmp(type, "BOOKMARK") == 0);
	if (r->verdict == VERDICT_NONE)
		recover_from_error(r);
}

static bool on_watch_data(void *user, const char *data, size_t len)
{
	struct kube_reflector *r = user;
	struct err err;
	int result;

	r->in_data = true;
	result = kube_frames_feed(r->frames, data, len, on_event, r, &err);
	r->in_data = false;
	if (r->dead || r->verdict != VERDICT_NONE)
		return false;
	if (result == 0)
		return true;
	/* An event could not be understood; only a new list is sure to contain it. */
	r->problem = err;
	return end_stream(r, VERDICT_LIST);
}

static void judged(struct kube_reflector *r)
{
	if (r->problem.code == 410) {
		expire(r, &r->problem);
		return;
	}
	if (r->verdict == VERDICT_LIST)
		relist(r);
	back_off(r, &r->problem);
}

static void watch_refused(struct kube_reflector *r, const struct http_response *response)
{
	struct err err;

	(void)kube_status_err(response, "GET", r->path, &err);
	if (err.code == 410) {
		expire(r, &err);
		return;
	}
	if (response->status == 401)
		(void)kube_target_refused(r->kube);
	else if (response->status == 500 || !err_is_transient(&err) || err.reason == REASON_RESOURCE_VERSION_TOO_LARGE)
		relist(r);
	back_off(r, &err);
}

/* The connection ended in some way, without an answer from the server. */
static void watch_broke(struct kube_reflector *r, const struct err *err)
{
	bool idle = err->reason == REASON_TIMEOUT && clock_now_ms() - r->started_ms >= r->idle_ms;

	if (!idle) {
		back_off(r, err);
		return;
	}
	if (++r->idle_watches >= r->kube->tuning.idle_watches_max) {
		r->idle_watches = 0;
		relist(r);
	}
	resume_after(r, 0);
}

static void watch_closed(struct kube_reflector *r)
{
	struct err err;

	if (r->events > 0 || clock_now_ms() - r->started_ms >= r->kube->tuning.very_short_ms) {
		resume_after(r, 0);
		recover_from_error(r);
		return;
	}
	(void)err_set(&err, ERR_TRANSIENT, "GET %s: the watch ended immediately, without an event", r->path);
	back_off(r, &err);
}

static void on_watch_done(void *user, const struct http_response *response, const struct err *err)
{
	struct kube_reflector *r = user;

	if (!end_exchange(r, response))
		return;
	if (r->verdict != VERDICT_NONE)
		judged(r);
	else if (!response)
		watch_broke(r, err);
	else if (response->status != 200)
		watch_refused(r, response);
	else
		watch_closed(r);
}

static void begin_watch(struct kube_reflector *r)
{
	const struct kube_tuning *tuning = &r->kube->tuning;
	int64_t idle_ms =
		tuning->watch_idle_ms + (int64_t)(random_next(&r->seed) % (uint64_t)(tuning->watch_idle_more_ms + 1));
	int seconds = WATCH_MIN_S + (int)(random_next(&r->seed) % (WATCH_MORE_S + 1));
	struct strbuf url;

	clear_exchange(r);
	r->events = 0;
	strbuf_init(&url, KUBE_MAX_OBJECT);
	strbuf_addf(&url, "%s?watch=1&allowWatchBookmarks=true&resourceVersion=", r->path);
	http_escape(&url, r->resource_version);
	strbuf_addf(&url, "&timeoutSeconds=%d%s", seconds, r->selector);
	r->url = strbuf_detach(&url);
	r->frames = kube_frames_new(KUBE_MAX_OBJECT, r->kube->as_text);
	begin_request(r, 0, idle_ms, on_watch_data, on_watch_done);
}

/* --- Life ------------------------------------------------------------------------------------------------------------
 */
static char *selector_of(const char *parameter, const char *selector)
{
	struct strbuf sb;

	strbuf_init(&sb, 4096);
	if (selector && selector[0]) {
		strbuf_addf(&sb, "&%s=", parameter);
		http_escape(&sb, selector);
	}
	return strbuf_detach(&sb);
}

static struct kube_reflector *reflect(struct kube *kube, const char *path, char *selector_take,
				      const struct kube_reflector_handlers *handlers, void *user)
{
	struct kube_reflector *r = xcalloc(1, sizeof(*r));

	r->kube = kube;
	r->path = xstrdup(path);
	r->selector = selector_take;
	r->handlers = *handlers;
	r->user = user;
	r->seed = random_seed();
	r->known = map_new(free);
	r->failed_ms = INT64_MIN / 2;
	backoff_init(&r->backoff, kube->tuning.backoff_base_ms, kube->tuning.backoff_cap_ms, random_seed());
	resume_after(r, 0);
	return r;
}

struct kube_reflector *kube_reflect(struct kube *kube, const char *path, const char *label_selector,
				    const struct kube_reflector_handlers *handlers, void *user)
{
	return reflect(kube, path, selector_of("labelSelector", label_selector), handlers, user);
}

struct kube_reflector *kube_reflect_one(struct kube *kube, const char *path, const char *name,
					const struct kube_reflector_handlers *handlers, void *user)
{
	_cleanup_free_ char *selector = xasprintf("metadata.name=%s", name);

	return reflect(kube, path, selector_of("fieldSelector", selector), handlers, user);
}

void kube_reflector_stop(struct kube_reflector *r)
{
	if (!r || r->dead)
		return;
	r->dead = true;
	kube_timer_cancel(TAKE_PTR(r->timer));
	/* Within on_data, the call is ended by the return value of on_data, and freed after that. */
	if (r->in_data)
		return;
	http_cancel(TAKE_PTR(r->call));
	kube_free_later(r->kube, r, free_reflector);
}
