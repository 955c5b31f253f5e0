/* A small Kubernetes API client: credentials, requests, list + watch, Lease election, events, a work queue.
 *
 * Everything is asynchronous on one http loop and belongs to one thread: callbacks run inside kube_poll. Objects are
 * json_t, borrowed during a callback unless the text says otherwise. Semantics follow client-go (tools/cache/reflector,
 * tools/leaderelection, util/workqueue, tools/events) and the Kubernetes API conventions. */
#ifndef PGSYNC_KUBE_KUBE_H
#define PGSYNC_KUBE_KUBE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <jansson.h>

#include "base/err.h"
#include "base/mem.h"

struct curl_waitfd;
struct kube;
struct kube_config;

/* --- Credentials
 * ---------------------------------------------------------------------------------------------------------- */
struct kube_config_options {
	const char *kubeconfig; /* a path; NULL: $KUBECONFIG (a list, merged), then in-cluster, then ~/.kube/config */
	const char *context;    /* NULL: the current one */
	/* A program for people: as kubectl, $KUBECONFIG alone if it is set, otherwise ~/.kube/config; in-cluster only
	 * if there is no such file. A context without a namespace is in "default" even within a pod. */
	bool for_user;
};
/* Finds and reads credentials: certificate, token, token file, basic, exec plugin. Errors: INVALID with file and field.
 */
int kube_config_load(const struct kube_config_options *options, struct kube_config **ret, struct err *err) WARN_UNUSED;
/* Pure part of the above, for one file: text of a kubeconfig; relative paths resolve against dir. */
int kube_config_parse(const char *text, size_t len, const char *dir, const char *context, struct kube_config **ret,
		      struct err *err) WARN_UNUSED;
void kube_config_free(struct kube_config *config);
CLEANUP(struct kube_config, kube_config_free);
const char *kube_config_server(const struct kube_config *config);
/* The context's namespace, or the pod's own; "default" if neither is set. */
const char *kube_config_namespace(const struct kube_config *config);

/* --- Client and loop
 * ------------------------------------------------------------------------------------------------------ */
/* Copies the config. Credentials renew themselves: token and certificate files are read again, an exec plugin is run
 * again when its credentials expire or are refused (that blocks the loop for up to five seconds). */
int kube_new(const struct kube_config *config, const char *user_agent, struct kube **ret, struct err *err) WARN_UNUSED;
/* Drops the remaining calls and timers without calling their functions. Stop reflectors, leases and events first. */
void kube_free(struct kube *kube);
CLEANUP(struct kube, kube_free);
/* Values at these paths of objects ("spec.schema") are not parsed, however large they are: each comes as a string that
 * holds its JSON text. At most KUBE_TEXTS, of which none is within another, with NULL at the end; borrowed. Call it
 * before the first request. */
enum { KUBE_TEXTS = 8 };
void kube_keep_text(struct kube *kube, const char *const *paths);
/* Waits for transfers, timers or the caller's descriptors, at most timeout_ms (-1: until something happens), and runs
 * callbacks. A callback may start, stop and free anything of this package except the kube itself. */
int kube_poll(struct kube *kube, struct curl_waitfd *fds, unsigned n_fds, int timeout_ms, struct err *err) WARN_UNUSED;

struct kube_timer;
/* Calls fn once, not before at_ms (clock_now_ms). */
struct kube_timer *kube_timer_start(struct kube *kube, int64_t at_ms, void (*fn)(void *user), void *user);
/* NULL is fine. Do not call it after the timer has fired. */
void kube_timer_cancel(struct kube_timer *timer);

/* Observes each finished request, for metrics: method, status (0: no answer), duration. */
void kube_on_request(struct kube *kube, void (*fn)(void *user, const char *method, long status, int64_t duration_us),
		     void *user);

/* --- Requests
 * ------------------------------------------------------------------------------------------------------------- */
/* A path of the API server, of parts that end with NULL: "apis", "pgsync.io", "v1alpha1". Each part is escaped, so that
 * it stays one part whatever it contains. Nothing else builds paths; "make check" enforces that. Caller frees. */
char *kube_path(const char *first, ...) __attribute__((sentinel));

enum kube_content { KUBE_JSON, KUBE_JSON_PATCH, KUBE_MERGE_PATCH, KUBE_APPLY_PATCH };
/* object: the answer's object (borrowed), NULL on error. err: NULL, or what went wrong: kind by Status.reason
 * (NotFound, AlreadyExists and Conflict: CONFLICT, Expired and Gone: NOT_FOUND with code 410, Invalid, Forbidden and
 * Unauthorized: DENIED, TooManyRequests), code = HTTP status. */
typedef void kube_done_fn(void *user, const json_t *object, const struct err *err);
struct kube_call;
/* A request; used only until kube_request returns. */
struct kube_request {
	const char *method, *path; /* path from "/api..." */
	enum kube_content content;
	const json_t *body; /* NULL: none */
	int64_t timeout_ms; /* for all tries together; 0: 30 s */
};
/* Within the timeout a GET is repeated when its connection was lost, and any request when the answer has a Retry-After,
 * up to ten times; a 401 is repeated once, with credentials that were read again. The call is over when done is called.
 */
struct kube_call *kube_request(struct kube *kube, const struct kube_request *request, kube_done_fn *done, void *user);
/* Ends a call without calling done. NULL is fine. */
void kube_cancel(struct kube_call *call);
/* Server-side apply with our field manager and force: "path?fieldManager=pgsync-operator&force=true". */
struct kube_call *kube_apply(struct kube *kube, const char *path, const json_t *object, kube_done_fn *done, void *user);

/* --- Streams of text
 * ----------------------------------------------------------------------------------------------------------- */
/* Reads what path answers, piece by piece, for as long as the server sends: the log of a container (pods/log). end is
 * called once, with NULL or the error, and the stream is gone then; data and end may not stop it. */
typedef void kube_stream_end_fn(void *user, const struct err *err);
struct kube_stream;
struct kube_stream *kube_stream(struct kube *kube, const char *path,
				void (*data)(void *user, const char *data, size_t len), kube_stream_end_fn *end,
				void *user);
/* Neither function is called after this. NULL is fine. */
void kube_stream_stop(struct kube_stream *stream);

/* --- Reflector: list + watch
 * ---------------------------------------------------------------------------------------------- */
/* Reports every change of a collection. After a relist without a known object, `deleted` is called for it. Objects come
 * without managedFields. Handles bookmarks, 410, too-large resource versions, clean ends, half-open connections (idle
 * deadline), 429, and servers that are unreachable for any length of time. */
struct kube_reflector;
struct kube_reflector_handlers {
	void (*changed)(void *user, const char *key,
			json_t *object); /* key "namespace/name" (or "name"); take a reference to keep the object */
	void (*deleted)(void *user, const char *key);
	void (*synced)(void *user);                        /* after the first complete list */
	void (*failed)(void *user, const struct err *err); /* each failure that makes it back off. May be NULL */
	void (*recovered)(void *user);                     /* it works again after `failed`. May be NULL */
};
/* path: the collection, e.g. "/apis/pgsync.io/v1alpha1/namespaces/x/pgsyncs"; label_selector may be NULL. */
struct kube_reflector *kube_reflect(struct kube *kube, const char *path, const char *label_selector,
				    const struct kube_reflector_handlers *handlers, void *user);
/* The same for one object of the collection: a Role that names the object suffices. */
struct kube_reflector *kube_reflect_one(struct kube *kube, const char *path, const char *name,
					const struct kube_reflector_handlers *handlers, void *user);
/* No handler is called after this. NULL is fine. */
void kube_reflector_stop(struct kube_reflector *reflector);

/* Decoder of a watch stream: newline-separated frames, fed in pieces; pure, for the reflector and its fuzz target.
 * as_text: as for kube_keep_text; or NULL. */
struct kube_frames;
struct kube_frames *kube_frames_new(size_t max_frame, const char *const *as_text);
void kube_frames_free(struct kube_frames *frames);
CLEANUP(struct kube_frames, kube_frames_free);
/* Calls event for each whole frame; type is "ADDED", "MODIFIED", "DELETED", "BOOKMARK", "ERROR". Errors: FATAL (not
 * JSON, no type), LIMIT. */
int kube_frames_feed(struct kube_frames *frames, const char *data, size_t len,
		     void (*event)(void *user, const char *type, json_t *object), void *user,
		     struct err *err) WARN_UNUSED;

/* --- Lease election
 * -------------------------------------------------------------------------------------------------------- */
struct kube_lease_options {
	const char *namespace, *name, *identity; /* identity: unique for each start of a process */
	/* Prefix of the identities of earlier processes in the same place, which are certainly dead: a Lease that one
	 * of them holds is free. NULL: not known; "": it is free even if a living one holds it. */
	const char *predecessor;
	int64_t duration_ms, renew_deadline_ms, retry_period_ms;
	void (*started_leading)(void *user);
	/* The Lease was not renewed within the deadline, or another holder was seen. The election continues. At the
	 * deadline there may be no other leader yet; new_leader reports one, after this. Not called for a release.
	 */
	void (*stopped_leading)(void *user);
	/* The record names another holder than before ("" if released), including us, before started_leading. */
	void (*new_leader)(void *user, const char *identity);
	void *user;
};

/* The pure step: what to do, given the state. */
struct lease_record {
	char holder[256];
	int64_t duration_seconds;
	int64_t transitions;
	char acquire_time[40], renew_time[40], resource_version[40];
};
struct lease_state {
	bool exists;                /* the record was seen */
	struct lease_record record; /* as last seen */
	int64_t observed_ms;        /* local time at which the record last changed */
	const char *predecessor;    /* as in the options */
};
enum lease_action { LEASE_CREATE, LEASE_UPDATE, LEASE_WAIT };
/* Remote times are never compared with the local clock: a holder counts as alive until its record has been unchanged
 * for its duration. On CREATE and UPDATE, *ret_next is the record to write. now_wall_us is only written into it. */
enum lease_action lease_step(const struct lease_state *state, const char *identity, int64_t duration_ms, int64_t now_ms,
			     int64_t now_wall_us, struct lease_record *ret_next);
/* Takes note of a Lease as it is seen at now_ms, of any election. The state is zero at first. */
void lease_see(struct lease_state *state, const json_t *object, int64_t now_ms);
/* When another holder's Lease expires, unless it is renewed; 0: no other holds the Lease. */
int64_t lease_expires_ms(const struct lease_state *state, const char *identity);

struct kube_lease;
/* INVALID unless duration > renew deadline > 1.2 * retry period > 0. */
int kube_lease_start(struct kube *kube, const struct kube_lease_options *options, struct kube_lease **ret,
		     struct err *err) WARN_UNUSED;
/* Releases the Lease if we hold it, then calls done (with NULL or the error, at the latest after the renew deadline).
 * Call it once, after the guarded work has stopped. It ends the election. */
void kube_lease_release(struct kube_lease *lease, void (*done)(void *user, const struct err *err), void *user);
void kube_lease_free(struct kube_lease *lease);
CLEANUP(struct kube_lease, kube_lease_free);

/* --- Events
 * ---------------------------------------------------------------------------------------------------------------- */
/* Records events.k8s.io/v1 events: equal ones (type, reason, action, object) become a series; a rate cap for each
 * object; never blocks and never fails the caller. One that the server does not accept now, but may accept later, is
 * kept for up to an hour. */
struct kube_events;
struct kube_events *kube_events_new(struct kube *kube, const char *controller, const char *instance);
void kube_events_free(struct kube_events *events);
CLEANUP(struct kube_events, kube_events_free);
void kube_event(struct kube_events *events, const json_t *regarding, bool warning, const char *reason,
		const char *action, const char *note_fmt, ...) PRINTF_LIKE(6, 7);

/* --- Work queue
 * -------------------------------------------------------------------------------------------------------------- */
/* Keys, coalesced and never lost, each processed by one caller at a time; delayed and rate-limited additions. Keys of
 * different namespaces take turns, and of each namespace at most group_limit are processed at once: one whose writes
 * hang does not hold up the others. Pure: the clock is an argument. */
struct workqueue;
struct workqueue *workqueue_new(int64_t base_ms, int64_t cap_ms, unsigned group_limit);
void workqueue_free(struct workqueue *queue);
CLEANUP(struct workqueue, workqueue_free);
void workqueue_add(struct workqueue *queue, const char *key, int64_t now_ms);
void workqueue_add_after(struct workqueue *queue, const char *key, int64_t now_ms,
			 int64_t delay_ms); /* the earlier time wins */
void workqueue_add_rate_limited(struct workqueue *queue, const char *key, int64_t now_ms);
void workqueue_forget(struct workqueue *queue, const char *key); /* resets the key's back-off */
/* The next ready key whose namespace is below its limit (caller frees), or NULL. It is being processed until
 * workqueue_done. */
char *workqueue_get(struct workqueue *queue, int64_t now_ms);
void workqueue_done(struct workqueue *queue, const char *key, int64_t now_ms);
/* When workqueue_get will have a key, unless something changes before; -1: never. */
int64_t workqueue_next_ms(const struct workqueue *queue);
size_t workqueue_depth(const struct workqueue *queue);

#endif
