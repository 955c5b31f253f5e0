/* The loop: calls on one multi handle, their deadlines, and blocking calls built on them. */
#include "http/http_int.h"

#include <malloc.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"

enum { IDLE_CONNECTIONS = 16, CANCEL_CHECK_MS = 1000, OVERSLEPT_MS = 100, UPLOAD_PIECE_BYTES = 64 * 1024 };

static pthread_once_t once = PTHREAD_ONCE_INIT;

/* As realloc, which may leave a copy behind; this does not. */
static void *move_secret(void *secret, size_t size)
{
	size_t had = secret ? malloc_usable_size(secret) : 0;
	void *moved = malloc(size);

	if (!moved)
		return NULL;
	if (had)
		memcpy(moved, secret, had < size ? had : size);
	free_secret(secret);
	return moved;
}

static void init_library(void)
{
	struct sigaction action;

	/* Logins and Authorization headers are copied for each request: all that libcurl frees is wiped. */
	(void)curl_global_init_mem(CURL_GLOBAL_DEFAULT, malloc, free_secret, move_secret, strdup, calloc);
	/* OpenSSL writes without MSG_NOSIGNAL, and libcurl leaves signals alone (CURLOPT_NOSIGNAL). */
	if (sigaction(SIGPIPE, NULL, &action) == 0 && action.sa_handler == SIG_DFL)
		(void)signal(SIGPIPE, SIG_IGN);
}

void http_init_library(void)
{
	(void)pthread_once(&once, init_library);
}

int http_new(struct http **ret, struct err *err)
{
	struct http *http;

	http_init_library();
	http = xcalloc(1, sizeof(*http));
	http->multi = curl_multi_init();
	if (!http->multi) {
		free(http);
		return err_set(err, ERR_FATAL, "libcurl could not create a multi handle");
	}
	(void)curl_multi_setopt(http->multi, CURLMOPT_MAXCONNECTS, (long)IDLE_CONNECTIONS);
	*ret = http;
	return 0;
}

/* --- Calls -----------------------------------------------------------------------------------------------------------
 */
static void unlink_call(struct http_call *call)
{
	if (call->prev)
		call->prev->next = call->next;
	else
		call->http->calls = call->next;
	if (call->next)
		call->next->prev = call->prev;
	call->next = call->prev = NULL;
}

/* The connection goes back to the pool when the transfer is complete, and is closed otherwise. */
static void release_easy(struct http_call *call)
{
	if (call->easy)
		(void)curl_multi_remove_handle(call->http->multi, call->easy);
	http_call_release_easy(call);
}

static void free_http_call(struct http_call *call)
{
	release_easy(call);
	http_response_release(&call->response);
	free(call);
}

/* First removes the call from the list, since done may start and cancel calls and poll. */
static void deliver_result(struct http_call *call, const struct err *err)
{
	unlink_call(call);
	release_easy(call);
	call->delivered = true;
	call->http->events++;
	call->done(call->user, err ? NULL : &call->response, err);
	free_http_call(call);
}

struct http_call *http_start(struct http *http, struct http_target *target, const struct http_request *request,
			     http_done_fn *done, void *user)
{
	struct http_call *call = xcalloc(1, sizeof(*call));

	call->http = http;
	call->target = target;
	call->request = *request;
	call->done = done;
	call->user = user;
	call->started_ms = clock_now_ms();
	call->first_url = http_target_preferred(target);
	call->next = http->calls;
	if (http->calls)
		http->calls->prev = call;
	http->calls = call;
	return call;
}

void http_cancel(struct http_call *call)
{
	if (!call || call->delivered)
		return;
	if (call->http->in_callback) {
		call->cancelled = true;
		return;
	}
	unlink_call(call);
	free_http_call(call);
}

void http_free(struct http *http)
{
	char what[HTTP_WHAT_BYTES];
	struct err err;

	if (!http)
		return;
	while (http->calls) {
		struct http_call *call = http->calls;

		if (call->cancelled) {
			http_cancel(call);
			continue;
		}
		(void)err_set(&err, ERR_CANCELLED, "%s: the loop has ended", http_call_what(call, what));
		deliver_result(call, &err);
	}
	(void)curl_multi_cleanup(http->multi);
	free(http);
}

/* --- The loop --------------------------------------------------------------------------------------------------------
 */
static void begin_call(struct http_call *call)
{
	if (http_call_prepare(call, &call->failure) < 0) {
		call->failed = true;
	} else if (curl_multi_add_handle(call->http->multi, call->easy) != CURLM_OK) {
		(void)err_set(&call->failure, ERR_FATAL, "libcurl rejected a request");
		call->failed = true;
	}
	if (call->failed)
		http_call_release_easy(call);
}

static void begin_new_calls(struct http *http)
{
	for (struct http_call *call = http->calls; call; call = call->next) {
		if (!call->easy && !call->failed && !call->cancelled)
			begin_call(call);
	}
}

/* True when more of the body was sent since the last time. */
static bool note_upload(struct http_call *call)
{
	curl_off_t uploaded = 0;

	if (!call->easy || call->cancelled)
		return false;
	(void)curl_easy_getinfo(call->easy, CURLINFO_SIZE_UPLOAD_T, &uploaded);
	if (uploaded <= call->uploaded)
		return false;
	call->uploaded = uploaded;
	call->progress_ms = clock_now_ms();
	return true;
}

/* The time at which the call has been idle for too long; 0: never. */
static int64_t idle_deadline(struct http_call *call)
{
	if (!call->easy || call->request.idle_timeout_ms <= 0)
		return 0;
	(void)note_upload(call);
	return call->progress_ms + call->request.idle_timeout_ms;
}

/* Ends one call that cannot continue; false if there is none. Callbacks may change the list, so the caller starts
 * again. */
static bool end_one(struct http *http, int64_t now_ms)
{
	for (struct http_call *call = http->calls; call; call = call->next) {
		int64_t deadline_ms;

		if (call->cancelled) {
			http_cancel(call);
			return true;
		}
		if (call->failed) {
			struct err err = call->failure;

			deliver_result(call, &err);
			return true;
		}
		deadline_ms = idle_deadline(call);
		if (deadline_ms && deadline_ms <= now_ms) {
			char what[HTTP_WHAT_BYTES];
			struct err err;

			(void)err_reason(&err, ERR_TRANSIENT, REASON_TIMEOUT, "%s: received nothing for %lld ms",
					 http_call_what(call, what), (long long)call->request.idle_timeout_ms);
			deliver_result(call, &err);
			return true;
		}
	}
	return false;
}

static void complete_call(struct http_call *call, CURLcode code)
{
	struct err err;

	if (call->cancelled)
		return;
	if (code == CURLE_OK && !http_call_finish(call))
		code = CURLE_WEIRD_SERVER_REPLY;
	if (code == CURLE_OK) {
		http_target_prefer(call->target, (call->first_url + call->attempt) % call->target->n_urls);
		if (call->response.status == 401)
			http_target_refused(call->target);
		deliver_result(call, NULL);
		return;
	}
	if (http_call_is_unconnected(call, code) && call->attempt + 1 < call->target->n_urls) {
		release_easy(call);
		call->attempt++;
		begin_call(call);
		return;
	}
	(void)http_call_error(call, code, &err);
	deliver_result(call, &err);
}

/* Records how much of each large body was sent; true if that is more than before. */
static bool is_uploading(struct http *http)
{
	bool progress = false;

	for (struct http_call *call = http->calls; call; call = call->next) {
		if (call->request.body_len > UPLOAD_PIECE_BYTES)
			progress |= note_upload(call);
	}
	return progress;
}

/* libcurl sends one piece of a body per call. For large bodies, repeat until the socket is full, because the caller may
 * be busy for a while before it polls again. */
static int perform(struct http *http, struct err *err)
{
	int running;
	CURLMcode code;

	do {
		http->in_callback = true;
		code = curl_multi_perform(http->multi, &running);
		http->in_callback = false;
	} while (code == CURLM_OK && is_uploading(http));
	return code == CURLM_OK ? 0 : err_set(err, ERR_FATAL, "libcurl: %s", curl_multi_strerror(code));
}

static int run_transfers(struct http *http, struct err *err)
{
	int left;
	CURLMsg *msg;

	begin_new_calls(http);
	if (perform(http, err) < 0)
		return -1;
	while ((msg = curl_multi_info_read(http->multi, &left))) {
		struct http_call *call = NULL;

		if (msg->msg != CURLMSG_DONE)
			continue;
		(void)curl_easy_getinfo(msg->easy_handle, CURLINFO_PRIVATE, (char **)&call);
		complete_call(call, msg->data.result);
	}
	while (end_one(http, clock_now_ms()))
		;
	return 0;
}

static int transfer_wait_ms(struct http *http, int timeout_ms)
{
	int64_t now_ms = clock_now_ms();

	for (struct http_call *call = http->calls; call; call = call->next) {
		int64_t deadline_ms = idle_deadline(call);

		if (!call->easy)
			return 0;
		if (deadline_ms && deadline_ms - now_ms < timeout_ms)
			timeout_ms = deadline_ms > now_ms ? (int)(deadline_ms - now_ms) : 0;
	}
	return timeout_ms;
}

int http_poll(struct http *http, struct curl_waitfd *fds, unsigned n_fds, int timeout_ms, struct err *err)
{
	CURLMcode code;
	int64_t late_ms;

	http->events = 0;
	if (run_transfers(http, err) < 0)
		return -1;
	if (http->events)
		timeout_ms = 0;
	if (timeout_ms == 0 && n_fds == 0)
		return 0;
	timeout_ms = transfer_wait_ms(http, timeout_ms);
	late_ms = clock_now_ms() + timeout_ms + OVERSLEPT_MS;
	code = curl_multi_poll(http->multi, fds, n_fds, timeout_ms, NULL);
	if (code != CURLM_OK)
		return err_set(err, ERR_FATAL, "libcurl: waiting: %s", curl_multi_strerror(code));
	if (clock_now_ms() >= late_ms)
		return 0;
	return run_transfers(http, err);
}

/* --- Blocking --------------------------------------------------------------------------------------------------------
 */
struct waiter {
	bool done;
	bool failed;
	struct http_response response;
	struct err err;
};

static void on_waited(void *user, const struct http_response *response, const struct err *err)
{
	struct waiter *waiter = user;
	struct http_response *own = (struct http_response *)response;

	waiter->done = true;
	if (err) {
		waiter->failed = true;
		waiter->err = *err;
		return;
	}
	waiter->response = *response;
	strbuf_init(&own->body, own->body.max); /* the body has moved */
}

void http_set_cancelled(struct http *http, bool (*cancelled)(void *user), void *user)
{
	http->cancelled = cancelled;
	http->cancelled_user = user;
}

int http_do(struct http *http, struct http_target *target, const struct http_request *request,
	    struct http_response *ret, struct err *err)
{
	char what[HTTP_WHAT_BYTES];
	struct waiter waiter = {0};
	struct http_call *call = http_start(http, target, request, on_waited, &waiter);

	while (!waiter.done) {
		if (http->cancelled && http->cancelled(http->cancelled_user)) {
			(void)err_set(err, ERR_CANCELLED, "%s: stopped while waiting for the answer",
				      http_call_what(call, what));
			http_cancel(call);
			return -1;
		}
		if (http_poll(http, NULL, 0, CANCEL_CHECK_MS, err) < 0) {
			if (!waiter.done)
				http_cancel(call);
			else
				http_response_release(&waiter.response);
			return -1;
		}
	}
	if (waiter.failed) {
		*err = waiter.err;
		return -1;
	}
	*ret = waiter.response;
	return 0;
}
