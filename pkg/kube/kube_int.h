/* What the files of this package share: the loop's insides, Status objects, and the numbers that tests change. */
#ifndef PGSYNC_KUBE_KUBE_INT_H
#define PGSYNC_KUBE_KUBE_INT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <jansson.h>

#include "http/http.h"
#include "kube/heap_int.h"
#include "kube/kube.h"

enum {
	KUBE_MAX_OBJECT =
		8 * 1024 * 1024, /* the server's own limit is 1.5 MiB in etcd's encoding, 3 MiB in a request */
	KUBE_RETRIES = 10,
	KUBE_RV_BYTES = 64, /* of a resource version; they are numbers of at most 20 digits */
};

/* Periods. Tests make them short. */
struct kube_tuning {
	int64_t watch_idle_ms;      /* a watch that is silent for this long is dead; a bookmark arrives about once a
				     * minute */
	int64_t watch_idle_more_ms; /* plus a random part of this */
	int64_t backoff_base_ms, backoff_cap_ms;
	int64_t retry_after_max_ms; /* the longest pause before a list or a watch that a server may ask for */
	int64_t backoff_reset_ms;   /* without a failure for this long, the next one counts as the first */
	int64_t very_short_ms;      /* a watch that ends sooner, and without an event, has failed */
	int64_t retry_ms;           /* before a GET is repeated whose connection was lost */
	int64_t refresh_ms;         /* credentials are not asked for more often */
	int page_size;
	unsigned pages_max;                        /* of one list */
	unsigned idle_watches_max;                 /* silent watches in a row after which we list */
	int64_t series_idle_ms, series_refresh_ms; /* of events */
	int64_t event_retry_ms;
};

/* A server with one version of our credentials; calls under way keep the version that they began with. */
struct kube_target {
	struct http_target *http;
	unsigned refs;
};

struct kube_timer {
	struct heap_node node; /* first: a node of the heap is a timer */
	struct kube *kube;
	void (*fn)(void *user);
	void *user;
};

/* Something to free after the running callbacks have returned. */
struct kube_deferred_free {
	void *ptr;
	void (*fn)(void *ptr);
};

enum kube_use { KUBE_USE_GENERAL, KUBE_USE_LEASE, KUBE_USES };

struct kube {
	struct http *http;
	struct kube_config *config;
	char *user_agent;
	struct kube_target *targets[KUBE_USES];
	int64_t refreshed_ms; /* when credentials were last asked for; 0: never */
	struct heap timers;
	struct kube_call *calls;
	bool polling;
	struct kube_deferred_free *deferred;
	size_t n_deferred, alloc_deferred;
	void (*on_request)(void *user, const char *method, long status, int64_t duration_us);
	void *on_request_user;
	uint64_t seed;
	const char *const *as_text; /* kube_keep_text; or NULL */
	struct kube_tuning tuning;
};

/* Runs fn(ptr), not before the callbacks under way have returned. */
void kube_free_later(struct kube *kube, void *ptr, void (*fn)(void *ptr));
/* A reference to the current credentials' target, which is renewed first if they have expired or are about to. */
struct kube_target *kube_target_get(struct kube *kube, enum kube_use use) __attribute__((returns_nonnull));
void kube_target_put(struct kube_target *target);
/* After a 401: gets other credentials if possible. False: it is not, or was just tried. */
bool kube_target_refused(struct kube *kube);
/* Reports a finished exchange to the observer. */
void kube_observe(struct kube *kube, const char *method, long status, int64_t started_us);

/* A request with every option. */
struct kube_call_options {
	const char *method, *path;
	enum kube_content content;
	const json_t *body;
	int64_t timeout_ms; /* in total, retries included */
	unsigned retries;
	enum kube_use use;
	bool fresh_connection; /* not one that was used before and may be dead without our knowing */
};
struct kube_call *kube_start(struct kube *kube, const struct kube_call_options *options, kube_done_fn *done,
			     void *user);

/* Sets the error of an answer, as kube_done_fn describes. Returns -1. */
int kube_status_err(const struct http_response *response, const char *method, const char *path, struct err *err);
/* The same for the Status object of a watch's ERROR event. */
int kube_status_object_err(const json_t *status, const char *what, struct err *err);

/* One JSON text of the server; a new reference. as_text: the paths of values that are not parsed, as kube_keep_text
 * says, or NULL; within: the key of the object that they start at, or NULL. FATAL if it is not JSON; the message does
 * not quote it. */
json_t *kube_decode(const char *text, size_t len, const char *within, const char *const *as_text, const char *what,
		    struct err *err) WARN_UNUSED;

#endif
