/* The client's loop, timers and requests. */
#include <assert.h>
#include <limits.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/log.h"
#include "kube/config_int.h"
#include "kube/kube_int.h"
#include "json/json.h"

static const char FIELD_MANAGER[] = "pgsync-operator";

enum { DEFAULT_TIMEOUT_MS = 30000 };

static const struct kube_tuning TUNING = {
	.watch_idle_ms = 90 * 1000,
	.watch_idle_more_ms = 30 * 1000,
	.backoff_base_ms = 800,
	.backoff_cap_ms = 30 * 1000,
	.retry_after_max_ms = 60 * 1000,
	.backoff_reset_ms = 2 * 60 * 1000,
	.very_short_ms = 1000,
	.retry_ms = 1000,
	.refresh_ms = 10 * 1000,
	.page_size = 500,
	.pages_max = 10000,
	.idle_watches_max = 5,
	.series_idle_ms = 6 * 60 * 1000,
	.series_refresh_ms = 30 * 60 * 1000,
	.event_retry_ms = 10 * 1000,
};

struct kube_call {
	struct kube_call *next, *prev;
	struct kube *kube;
	struct kube_target *target;
	enum kube_use use;
	char *method, *path, *body;
	enum kube_content content;
	kube_done_fn *done;
	void *user;
	unsigned retries_left;
	bool fresh_connection;
	bool refused_once;
	bool over; /* done has been called, or must not be */
	int64_t deadline_ms;
	int64_t started_us; /* this try */
	struct http_call *http;
	struct kube_timer *timer;
};

/* --- Targets ---------------------------------------------------------------------------------------------------------
 */
void kube_target_put(struct kube_target *target)
{
	if (!target || --target->refs > 0)
		return;
	http_target_free(target->http);
	free(target);
}

static int new_target(const struct kube *kube, enum kube_use use, struct kube_target **ret, struct err *err)
{
	const struct kube_config *config = kube->config;
	_cleanup_free_ char *user_agent =
		xasprintf("%s%s", kube->user_agent, use == KUBE_USE_LEASE ? "/leader-election" : "");
	const char *url = config->server;
	struct http_target_options options = {
		.urls = &url,
		.n_urls = 1,
		.username = config->username,
		.password = config->password ? config->password : "",
		.token = config->token_file ? NULL : config->token,
		.token_file = config->token_file,
		.ca_pem = config->ca_pem,
		.ca_file = config->ca_file,
		.cert_pem = config->cert_pem,
		.key_pem = config->key_pem,
		.tls_server_name = config->tls_server_name,
		.insecure_skip_verify = config->insecure_skip_verify,
		.user_agent = user_agent,
	};
	struct http_target *http;

	if (config->token || config->token_file)
		options.auth = HTTP_AUTH_BEARER;
	else if (config->username)
		options.auth = HTTP_AUTH_BASIC;
	if (http_target_new(&options, &http, err) < 0)
		return -1;
	*ret = xcalloc(1, sizeof(**ret));
	(*ret)->http = http;
	(*ret)->refs = 1;
	return 0;
}

static int build_targets(struct kube *kube, struct err *err)
{
	struct kube_target *fresh[KUBE_USES] = {NULL};

	for (int i = 0; i < KUBE_USES; i++) {
		if (new_target(kube, (enum kube_use)i, &fresh[i], err) < 0) {
			while (i-- > 0)
				kube_target_put(fresh[i]);
			return -1;
		}
	}
	for (int i = 0; i < KUBE_USES; i++) {
		kube_target_put(kube->targets[i]);
		kube->targets[i] = fresh[i];
	}
	return 0;
}

/* Gets new credentials. A failure is not fatal: the old ones may still work, and otherwise the server refuses them. */
static bool renew(struct kube *kube)
{
	int64_t now_ms = clock_now_ms();
	struct err err;

	if (!kube_config_refreshable(kube->config) ||
	    (kube->refreshed_ms && now_ms - kube->refreshed_ms < kube->tuning.refresh_ms))
		return false;
	kube->refreshed_ms = now_ms;
	if (kube_config_refresh(kube->config, CONFIG_EXEC_REFRESH_MS, &err) < 0 || build_targets(kube, &err) < 0) {
		log_warn("kube", "credentials could not be renewed, retrying", KV_ERR(&err));
		return false;
	}
	return true;
}

bool kube_target_refused(struct kube *kube)
{
	/* A token file is read again by the target itself. */
	return kube->config->token_file || renew(kube);
}

struct kube_target *kube_target_get(struct kube *kube, enum kube_use use)
{
	if (kube_config_expired(kube->config, clock_wall_us()))
		(void)renew(kube);
	kube->targets[use]->refs++;
	return kube->targets[use];
}

/* --- The client ------------------------------------------------------------------------------------------------------
 */
int kube_new(const struct kube_config *config, const char *user_agent, struct kube **ret, struct err *err)
{
	_cleanup_(kube_freep) struct kube *kube = xcalloc(1, sizeof(*kube));

	kube->config = kube_config_copy(config);
	kube->user_agent = xstrdup(user_agent);
	kube->seed = random_seed();
	kube->tuning = TUNING;
	/* The files of a config that was only parsed have not been read yet. */
	if ((config->cert_file && !config->cert_pem) || (config->key_file && !config->key_pem) ||
	    (config->exec && !config->token && !config->cert_pem)) {
		if (kube_config_refresh(kube->config, CONFIG_EXEC_LOAD_MS, err) < 0)
			return -1;
	}
	if (build_targets(kube, err) < 0 || http_new(&kube->http, err) < 0)
		return -1;
	*ret = TAKE_PTR(kube);
	return 0;
}

void kube_free_later(struct kube *kube, void *ptr, void (*fn)(void *ptr))
{
	if (!kube->polling) {
		fn(ptr);
		return;
	}
	ALLOC_GROW(kube->deferred, kube->n_deferred + 1, kube->alloc_deferred);
	kube->deferred[kube->n_deferred++] = (struct kube_deferred_free){.ptr = ptr, .fn = fn};
}

static void free_deferred(struct kube *kube)
{
	for (size_t i = 0; i < kube->n_deferred; i++)
		kube->deferred[i].fn(kube->deferred[i].ptr);
	kube->n_deferred = 0;
}

void kube_free(struct kube *kube)
{
	struct heap_node *node;

	if (!kube)
		return;
	assert(!kube->polling);
	while (kube->calls)
		kube_cancel(kube->calls);
	http_free(kube->http);
	free_deferred(kube);
	while ((node = heap_top(&kube->timers)))
		kube_timer_cancel((struct kube_timer *)node);
	heap_release(&kube->timers);
	for (int i = 0; i < KUBE_USES; i++)
		kube_target_put(kube->targets[i]);
	kube_config_free(kube->config);
	free(kube->deferred);
	free(kube->user_agent);
	free(kube);
}

void kube_keep_text(struct kube *kube, const char *const *paths)
{
	kube->as_text = paths;
}

void kube_on_request(struct kube *kube, void (*fn)(void *user, const char *method, long status, int64_t duration_us),
		     void *user)
{
	kube->on_request = fn;
	kube->on_request_user = user;
}

void kube_observe(struct kube *kube, const char *method, long status, int64_t started_us)
{
	if (kube->on_request)
		kube->on_request(kube->on_request_user, method, status, clock_now_us() - started_us);
}

/* --- Timers and the loop ---------------------------------------------------------------------------------------------
 */
struct kube_timer *kube_timer_start(struct kube *kube, int64_t at_ms, void (*fn)(void *user), void *user)
{
	struct kube_timer *timer = xcalloc(1, sizeof(*timer));

	timer->kube = kube;
	timer->fn = fn;
	timer->user = user;
	heap_push(&kube->timers, &timer->node, at_ms);
	return timer;
}

void kube_timer_cancel(struct kube_timer *timer)
{
	/* While its function runs, the timer is out of the heap, and will be freed anyway. */
	if (!timer || !heap_contains(&timer->node))
		return;
	heap_remove(&timer->kube->timers, &timer->node);
	free(timer);
}

/* Timers that the functions start are for the next round, so that a round ends. */
static void run_timers(struct kube *kube)
{
	int64_t now_ms = clock_now_ms();
	uint64_t limit = kube->timers.next_order;
	struct heap_node *node;

	while ((node = heap_top(&kube->timers)) && node->at_ms <= now_ms && node->order < limit) {
		struct kube_timer *timer = (struct kube_timer *)node;

		heap_remove(&kube->timers, node);
		kube_free_later(kube, timer, free);
		timer->fn(timer->user);
	}
}

static int until_timer(const struct kube *kube, int timeout_ms)
{
	const struct heap_node *node = heap_top(&kube->timers);
	int64_t left_ms;

	if (timeout_ms < 0)
		timeout_ms = INT_MAX;
	if (!node)
		return timeout_ms;
	left_ms = node->at_ms - clock_now_ms();
	if (left_ms < 0)
		left_ms = 0;
	return left_ms < timeout_ms ? (int)left_ms : timeout_ms;
}

int kube_poll(struct kube *kube, struct curl_waitfd *fds, unsigned n_fds, int timeout_ms, struct err *err)
{
	int r;

	assert(!kube->polling);
	kube->polling = true;
	r = http_poll(kube->http, fds, n_fds, until_timer(kube, timeout_ms), err);
	run_timers(kube);
	kube->polling = false;
	/* After a failure, libcurl may still use what is waiting to be freed. */
	if (r == 0)
		free_deferred(kube);
	return r;
}

/* --- Requests --------------------------------------------------------------------------------------------------------
 */
static void free_kube_call(void *ptr)
{
	struct kube_call *call = ptr;

	kube_target_put(call->target);
	free(call->method);
	free(call->path);
	/* A Secret may have been written. */
	free_secret(call->body);
	free(call);
}

/* Ends a call, after which nothing happens for it any more. Its memory is freed once libcurl cannot be using it. */
static void retire(struct kube_call *call)
{
	struct kube *kube = call->kube;

	call->over = true;
	if (call->prev)
		call->prev->next = call->next;
	else
		kube->calls = call->next;
	if (call->next)
		call->next->prev = call->prev;
	http_cancel(TAKE_PTR(call->http));
	kube_timer_cancel(TAKE_PTR(call->timer));
	kube_free_later(kube, call, free_kube_call);
}

void kube_cancel(struct kube_call *call)
{
	if (call && !call->over)
		retire(call);
}

static void finish_call(struct kube_call *call, const json_t *object, const struct err *err)
{
	kube_done_fn *done = call->done;
	void *user = call->user;

	retire(call);
	done(user, object, err);
}

static void try_call(struct kube_call *call);

static void on_call_retry(void *user)
{
	struct kube_call *call = user;

	call->timer = NULL;
	try_call(call);
}

/* Tries again after delay_ms; false if no tries or no time is left. */
static bool retry_after(struct kube_call *call, int64_t delay_ms)
{
	int64_t at_ms = clock_now_ms() + delay_ms;

	if (call->retries_left == 0 || at_ms >= call->deadline_ms)
		return false;
	call->retries_left--;
	call->timer = kube_timer_start(call->kube, at_ms, on_call_retry, call);
	return true;
}

static bool is_lost_connection(const struct kube_call *call, const struct err *err)
{
	return strcmp(call->method, "GET") == 0 && err->kind == ERR_TRANSIENT && err->reason == REASON_RESET;
}

/* Credentials may have changed: after a refusal, try once more with new ones. */
static bool again_after_refusal(struct kube_call *call)
{
	if (call->refused_once || !kube_target_refused(call->kube))
		return false;
	call->refused_once = true;
	call->retries_left++;
	return retry_after(call, 0);
}

static void deliver_response(struct kube_call *call, const struct http_response *response)
{
	_cleanup_json_ json_t *object = NULL;
	const char *const *texts;
	struct err err;

	if (response->status >= 300) {
		(void)kube_status_err(response, call->method, call->path, &err);
		finish_call(call, NULL, &err);
		return;
	}
	/* A Lease is written back, with its labels. */
	texts = call->use == KUBE_USE_GENERAL ? call->kube->as_text : NULL;
	object = response->body.len
			 ? kube_decode(response->body.data, response->body.len, NULL, texts, "the answer", &err)
			 : json_object();
	if (!object)
		(void)err_wrap(&err, "%s %s", call->method, call->path);
	finish_call(call, object, object ? NULL : &err);
}

static void on_done(void *user, const struct http_response *response, const struct err *err)
{
	struct kube_call *call = user;

	call->http = NULL;
	kube_observe(call->kube, call->method, response ? response->status : 0, call->started_us);
	if (!response) {
		call->fresh_connection = true;
		if (!is_lost_connection(call, err) || !retry_after(call, call->kube->tuning.retry_ms))
			finish_call(call, NULL, err);
		return;
	}
	if (response->status == 401 && again_after_refusal(call))
		return;
	if (response->retry_after_ms > 0 && (response->status == 429 || response->status >= 500) &&
	    retry_after(call, response->retry_after_ms))
		return;
	deliver_response(call, response);
}

static const char *content_type(enum kube_content content)
{
	switch (content) {
	case KUBE_JSON_PATCH:
		return "application/json-patch+json";
	case KUBE_MERGE_PATCH:
		return "application/merge-patch+json";
	case KUBE_APPLY_PATCH:
		return "application/apply-patch+yaml";
	case KUBE_JSON:
		break;
	}
	return "application/json";
}

static void try_call(struct kube_call *call)
{
	int64_t left_ms = call->deadline_ms - clock_now_ms();
	struct http_request request = {
		.method = call->method,
		.path = call->path,
		.content_type = content_type(call->content),
		.body = call->body,
		.body_len = call->body ? strlen(call->body) : 0,
		.timeout_ms = left_ms > 1 ? left_ms : 1,
		.max_response = KUBE_MAX_OBJECT,
		.fresh_connection = call->fresh_connection,
	};

	kube_target_put(call->target);
	call->target = kube_target_get(call->kube, call->use);
	call->started_us = clock_now_us();
	call->http = http_start(call->kube->http, call->target->http, &request, on_done, call);
}

struct kube_call *kube_start(struct kube *kube, const struct kube_call_options *options, kube_done_fn *done, void *user)
{
	struct kube_call *call = xcalloc(1, sizeof(*call));
	int64_t timeout_ms = options->timeout_ms > 0 ? options->timeout_ms : DEFAULT_TIMEOUT_MS;

	call->kube = kube;
	call->use = options->use;
	call->method = xstrdup(options->method);
	call->path = xstrdup(options->path);
	call->body = options->body ? json_dumps(options->body, JSON_COMPACT) : NULL;
	call->content = options->content;
	call->done = done;
	call->user = user;
	call->retries_left = options->retries;
	call->fresh_connection = options->fresh_connection;
	call->deadline_ms = clock_now_ms() + timeout_ms;
	call->next = kube->calls;
	if (kube->calls)
		kube->calls->prev = call;
	kube->calls = call;
	try_call(call);
	return call;
}

struct kube_call *kube_request(struct kube *kube, const struct kube_request *request, kube_done_fn *done, void *user)
{
	struct kube_call_options options = {
		.method = request->method,
		.path = request->path,
		.content = request->content,
		.body = request->body,
		.timeout_ms = request->timeout_ms,
		.retries = KUBE_RETRIES,
	};

	return kube_start(kube, &options, done, user);
}

struct kube_call *kube_apply(struct kube *kube, const char *path, const json_t *object, kube_done_fn *done, void *user)
{
	_cleanup_free_ char *full =
		xasprintf("%s%cfieldManager=%s&force=true", path, strchr(path, '?') ? '&' : '?', FIELD_MANAGER);
	struct kube_request request = {.method = "PATCH", .path = full, .content = KUBE_APPLY_PATCH, .body = object};

	return kube_request(kube, &request, done, user);
}
