/* Event recorder (client-go, tools/events): the first of a kind is created, its repetitions become a series that is
 * written when it begins, rarely while it goes on, and when it is over. Nothing here can fail the caller.
 *
 * client-go drops an event that the server refuses. Here one that may be accepted later is kept and sent again: a
 * server that has just started forbids everything until it has read its rules, and permissions are corrected. */
#include <stdlib.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/map.h"
#include "base/strbuf.h"
#include "base/utf8.h"
#include "kube/kube_int.h"
#include "json/json.h"

enum {
	SERIES_MAX = 1000,         /* distinct events remembered; of more, the oldest is forgotten */
	IN_FLIGHT_MAX = 4,         /* requests at a time */
	TRIES = 15,                /* in about an hour, which is also how long a server keeps events */
	TRIES_SILENT = 4,          /* in about a minute: a restart is over by then */
	PAUSES_MAX = 32,           /* the longest pause, in first pauses */
	BURST = 25,                /* events of one object at once */
	REFILL_MS = 5 * 60 * 1000, /* and one more for each such time */
	NOTE_BYTES = 1024,
	WORD_BYTES = 128,
	NAME_BYTES = 253,
	SUFFIX_BYTES = 32,
	OBJECTS_MAX = 10 * SERIES_MAX, /* whose bursts are remembered */
};

/* The content of an event. */
struct event_spec {
	bool warning;
	const char *reason, *action, *note;
};

/* How many more events an object may have. */
struct bucket {
	int64_t tokens;
	int64_t filled_ms;
};

/* An event and its repetitions. */
struct series {
	struct kube_events *events;
	struct series *next; /* in the queue of what waits to be sent */
	char *key;
	char *namespace, *name;
	json_t *object; /* the event */
	bool created;
	int64_t count, written_count;
	int64_t last_ms, written_ms;
	int64_t last_wall_us;
	unsigned tries;
	bool waiting; /* in the queue */
	struct kube_call *call;
	struct kube_timer *retry;
};

struct kube_events {
	struct kube *kube;
	char *controller, *instance;
	struct map *series, *buckets;
	struct series *head, *tail; /* the queue */
	unsigned in_flight;
	struct kube_timer *expiry; /* runs only while there are series */
	uint64_t seed, names;
	bool complained;    /* since an event was last recorded */
	uint64_t lost;      /* events since the last line of the log about them */
	struct err lost_to; /* the last one */
};

static void free_series(void *ptr)
{
	struct series *series = ptr;

	kube_cancel(series->call);
	kube_timer_cancel(series->retry);
	json_decref(series->object);
	free(series->key);
	free(series->namespace);
	free(series->name);
	free(series);
}

struct kube_events *kube_events_new(struct kube *kube, const char *controller, const char *instance)
{
	struct kube_events *events = xcalloc(1, sizeof(*events));

	events->kube = kube;
	events->controller = xstrdup(controller);
	events->instance = xstrndup(instance, strnlen(instance, WORD_BYTES));
	events->series = map_new(free_series);
	events->buckets = map_new(free);
	events->seed = random_seed();
	return events;
}

void kube_events_free(struct kube_events *events)
{
	if (!events)
		return;
	kube_timer_cancel(events->expiry);
	map_free(events->series);
	map_free(events->buckets);
	free(events->controller);
	free(events->instance);
	free(events);
}

/* --- Sending ---------------------------------------------------------------------------------------------------------
 */
static void send_next(struct kube_events *events);

static void enqueue(struct series *series)
{
	struct kube_events *events = series->events;

	if (series->waiting || series->call || series->retry)
		return;
	series->waiting = true;
	series->next = NULL;
	if (events->tail)
		events->tail->next = series;
	else
		events->head = series;
	events->tail = series;
	send_next(events);
}

/* Whether there is something to write. A series is written when it begins and when it is over. */
static bool has_news(const struct series *series, int64_t now_ms)
{
	const struct kube_tuning *tuning = &series->events->kube->tuning;

	if (!series->created)
		return true;
	if (series->count == series->written_count)
		return false;
	return series->written_count < 2 || now_ms - series->written_ms >= tuning->series_refresh_ms ||
	       now_ms - series->last_ms >= tuning->series_idle_ms;
}

static void on_event_retry(void *user)
{
	struct series *series = user;

	series->retry = NULL;
	enqueue(series);
}

/* Of one that was answered with 403, the reason may be that the server has just started. */
static bool may_be_accepted_later(const struct err *err)
{
	return err_is_transient(err) || err->kind == ERR_DENIED;
}

static void retry_later(struct series *series, const struct err *err)
{
	struct kube_events *events = series->events;
	int64_t pause_ms = events->kube->tuning.event_retry_ms;
	int64_t jitter_ms = (int64_t)(random_next(&events->seed) % (uint64_t)(pause_ms / 2 + 1));

	pause_ms = pause_ms * 3 / 4 + jitter_ms;
	for (unsigned i = 1, pauses = 1; i < series->tries && pauses < PAUSES_MAX; i++, pauses *= 2)
		pause_ms *= 2;
	series->retry = kube_timer_start(events->kube, clock_now_ms() + pause_ms, on_event_retry, series);
	if (series->tries != TRIES_SILENT || events->complained)
		return;
	events->complained = true;
	log_warn("kube", "events cannot be recorded, retrying", KV_STR("event", series->name), KV_ERR(err));
}

static void send_failed(struct series *series, const struct err *err)
{
	struct kube_events *events = series->events;

	if (may_be_accepted_later(err) && series->tries < TRIES) {
		retry_later(series, err);
		return;
	}
	events->lost++;
	events->lost_to = *err;
	/* Treated as written, so that it is not retried forever. */
	series->created = true;
	series->written_count = series->count;
	series->written_ms = clock_now_ms();
	series->tries = 0;
}

static void on_sent(void *user, const json_t *object, const struct err *err)
{
	struct series *series = user;
	struct kube_events *events = series->events;

	UNUSED(object);
	series->call = NULL;
	events->in_flight--;
	if (err) {
		send_failed(series, err);
	} else {
		series->tries = 0;
		events->complained = false;
		if (has_news(series, clock_now_ms()))
			enqueue(series);
	}
	send_next(events);
}

static void on_created(void *user, const json_t *object, const struct err *err)
{
	struct series *series = user;

	if (!err || (err->kind == ERR_CONFLICT && err->code == 409)) {
		series->created = true;
		err = NULL;
	}
	on_sent(user, object, err);
}

static void on_patched(void *user, const json_t *object, const struct err *err)
{
	struct series *series = user;

	/* The server forgets events after an hour: the series starts again and keeps its count. */
	if (err && err->kind == ERR_NOT_FOUND) {
		series->created = false;
		err = NULL;
	}
	on_sent(user, object, err);
}

static json_t *series_json(const struct series *series)
{
	char time[CLOCK_RFC3339_BYTES];

	return json_pack("{s:I, s:s}", "count", (json_int_t)series->count, "lastObservedTime",
			 clock_rfc3339_micro(series->last_wall_us, time));
}

static void send_series(struct series *series)
{
	struct kube_events *events = series->events;
	_cleanup_free_ char *path =
		kube_path("apis", "events.k8s.io", "v1", "namespaces", series->namespace, "events", NULL);
	_cleanup_free_ char *item =
		kube_path("apis", "events.k8s.io", "v1", "namespaces", series->namespace, "events", series->name, NULL);
	_cleanup_json_ json_t *patch = NULL;
	struct kube_call_options options = {.content = KUBE_JSON};

	if (series->created) {
		patch = json_pack("{s:o}", "series", series_json(series));
		options.method = "PATCH";
		options.path = item;
		options.content = KUBE_MERGE_PATCH;
		options.body = patch;
	} else {
		if (series->count > 1)
			(void)json_object_set_new(series->object, "series", series_json(series));
		options.method = "POST";
		options.path = path;
		options.body = series->object;
	}
	series->tries++;
	series->written_count = series->count;
	series->written_ms = clock_now_ms();
	events->in_flight++;
	series->call = kube_start(events->kube, &options, series->created ? on_patched : on_created, series);
}

static void send_next(struct kube_events *events)
{
	while (events->head && events->in_flight < IN_FLIGHT_MAX) {
		struct series *series = events->head;

		events->head = series->next;
		if (!events->head)
			events->tail = NULL;
		series->waiting = false;
		send_series(series);
	}
}

/* --- Forgetting ------------------------------------------------------------------------------------------------------
 */
static void log_lost(struct kube_events *events)
{
	if (events->lost > 0)
		log_warn("kube", "events were not recorded", KV_U64("events", events->lost), KV_ERR(&events->lost_to));
	events->lost = 0;
}

static bool find_oldest(void *user, const char *key, size_t len, void *value)
{
	struct series **oldest = user, *series = value;

	UNUSED(key);
	UNUSED(len);
	if (!series->waiting && !series->call && (!*oldest || series->last_ms < (*oldest)->last_ms))
		*oldest = series;
	return true;
}

/* False: every one is on its way. */
static bool forget_oldest(struct kube_events *events)
{
	struct series *oldest = NULL;

	map_each(events->series, find_oldest, &oldest);
	if (!oldest)
		return false;
	if (!oldest->created) {
		events->lost++;
		(void)err_set(&events->lost_to, ERR_LIMIT, "%d newer ones are remembered", SERIES_MAX);
	}
	(void)map_removes(events->series, oldest->key);
	return true;
}

static bool expire_series(void *user, const char *key, size_t len, void *value)
{
	struct kube_events *events = user;
	struct series *series = value;
	int64_t now_ms = clock_now_ms();

	if (series->waiting || series->call || series->retry)
		return true;
	if (has_news(series, now_ms))
		enqueue(series);
	else if (now_ms - series->last_ms >= events->kube->tuning.series_idle_ms)
		(void)map_remove(events->series, key, len);
	return true;
}

static bool expire_bucket(void *user, const char *key, size_t len, void *value)
{
	struct kube_events *events = user;
	const struct bucket *bucket = value;

	if (clock_now_ms() - bucket->filled_ms >= (int64_t)BURST * REFILL_MS)
		(void)map_remove(events->buckets, key, len);
	return true;
}

static void on_expiry(void *user);

static void schedule_expiry(struct kube_events *events)
{
	if (!events->expiry && (map_size(events->series) > 0 || map_size(events->buckets) > 0))
		events->expiry = kube_timer_start(
			events->kube, clock_now_ms() + events->kube->tuning.series_idle_ms / 6 + 1, on_expiry, events);
}

static void on_expiry(void *user)
{
	struct kube_events *events = user;

	events->expiry = NULL;
	map_each(events->series, expire_series, events);
	map_each(events->buckets, expire_bucket, events);
	log_lost(events);
	schedule_expiry(events);
}

/* --- Recording -------------------------------------------------------------------------------------------------------
 */
/* Takes one of the object's tokens. */
static bool may_have_another(struct kube_events *events, const char *object_key, int64_t now_ms)
{
	struct bucket *bucket = map_gets(events->buckets, object_key);
	int64_t gained;

	if (!bucket) {
		if (map_size(events->buckets) >= OBJECTS_MAX)
			return false;
		bucket = xcalloc(1, sizeof(*bucket));
		bucket->tokens = BURST;
		bucket->filled_ms = now_ms;
		map_puts(events->buckets, object_key, bucket);
	}
	gained = (now_ms - bucket->filled_ms) / REFILL_MS;
	bucket->filled_ms += gained * REFILL_MS;
	bucket->tokens = bucket->tokens + gained > BURST ? BURST : bucket->tokens + gained;
	if (bucket->tokens == 0)
		return false;
	bucket->tokens--;
	return true;
}

/* At most max bytes, cut between characters. */
static char *cut(const char *s, size_t max)
{
	size_t len = 0;

	while (s[len]) {
		size_t n = utf8_sequence(s + len, strlen(s + len));

		if (n == 0)
			n = 1;
		if (len + n > max)
			break;
		len += n;
	}
	return xstrndup(s, len);
}

/* The reference to the object, from the object itself or from something that is a reference already. */
static json_t *reference(const json_t *regarding)
{
	static const struct {
		const char *key, *path;
	} FIELDS[] = {{"namespace", "metadata.namespace"},
		      {"name", "metadata.name"},
		      {"uid", "metadata.uid"},
		      {"resourceVersion", "metadata.resourceVersion"},
		      {"apiVersion", "apiVersion"},
		      {"kind", "kind"}};
	json_t *ref = json_object();

	for (size_t i = 0; i < ARRAY_SIZE(FIELDS); i++) {
		const char *value = jsonx_string(regarding, FIELDS[i].path, "");

		if (!value[0])
			value = jsonx_string(regarding, FIELDS[i].key, "");
		if (value[0])
			(void)json_object_set_new(ref, FIELDS[i].key, json_string(value));
	}
	return ref;
}

static json_t *new_event(const struct kube_events *events, const struct series *series, const json_t *ref,
			 const struct event_spec *spec)
{
	_cleanup_free_ char *short_note = cut(spec->note, NOTE_BYTES);
	char time[CLOCK_RFC3339_BYTES];
	json_t *event = json_pack("{s:s, s:s, s:{s:s, s:s}, s:s, s:s, s:s, s:s, s:s, s:s, s:O}", "apiVersion",
				  "events.k8s.io/v1", "kind", "Event", "metadata", "namespace", series->namespace,
				  "name", series->name, "eventTime", clock_rfc3339_micro(series->last_wall_us, time),
				  "type", spec->warning ? "Warning" : "Normal", "reason", spec->reason, "action",
				  spec->action, "reportingController", events->controller, "reportingInstance",
				  events->instance, "regarding", ref);

	/* A note that is not UTF-8 cannot be put into JSON; the event matters more than its text. */
	if (event && json_object_set_new(event, "note", json_string(short_note)) < 0)
		(void)json_object_set_new(event, "note", json_string("(the text is not valid UTF-8)"));
	return event;
}

/* "<object's name>.<unique hex>": event names are unique in their namespace for as long as the server keeps them. A
 * long name is cut, and the server refuses one with a part that ends with "-", or that is empty. */
static char *new_name(struct kube_events *events, const char *object_name)
{
	uint64_t unique = (uint64_t)clock_wall_us() * 1000 + events->names++ % 1000;
	size_t keep = strnlen(object_name, NAME_BYTES - SUFFIX_BYTES);

	while (keep && (object_name[keep - 1] == '-' || object_name[keep - 1] == '.'))
		keep--;
	return xasprintf("%.*s.%llx", keep ? (int)keep : NAME_BYTES, keep ? object_name : "event",
			 (unsigned long long)unique);
}

static void add_event_series(struct kube_events *events, char *key_take, json_t *ref, const struct event_spec *spec)
{
	struct series *series = xcalloc(1, sizeof(*series));
	const char *namespace = jsonx_string(ref, "namespace", "default");

	series->events = events;
	series->key = key_take;
	series->namespace = xstrdup(namespace);
	series->name = new_name(events, jsonx_string(ref, "name", ""));
	series->count = 1;
	series->last_ms = clock_now_ms();
	series->last_wall_us = clock_wall_us();
	series->object = new_event(events, series, ref, spec);
	if (!series->object) {
		free_series(series);
		return;
	}
	map_puts(events->series, series->key, series);
	enqueue(series);
	schedule_expiry(events);
}

void kube_event(struct kube_events *events, const json_t *regarding, bool warning, const char *reason,
		const char *action, const char *note_fmt, ...)
{
	_cleanup_json_ json_t *ref = reference(regarding);
	_cleanup_free_ char *short_reason = cut(reason, WORD_BYTES), *short_action = cut(action, WORD_BYTES);
	_cleanup_free_ char *note = NULL, *object_key = NULL;
	int64_t now_ms = clock_now_ms();
	struct series *series;
	char *key;
	va_list ap;

	va_start(ap, note_fmt);
	note = xvasprintf(note_fmt, ap);
	va_end(ap);
	object_key = xasprintf("%s/%s/%s/%s", jsonx_string(ref, "kind", ""), jsonx_string(ref, "namespace", ""),
			       jsonx_string(ref, "name", ""), jsonx_string(ref, "uid", ""));
	key = xasprintf("%c/%s/%s/%s", warning ? 'W' : 'N', short_reason, short_action, object_key);
	series = map_gets(events->series, key);
	if (series) {
		free(key);
		series->count++;
		series->last_ms = now_ms;
		series->last_wall_us = clock_wall_us();
		if (has_news(series, now_ms))
			enqueue(series);
		return;
	}
	if (!may_have_another(events, object_key, now_ms) ||
	    (map_size(events->series) >= SERIES_MAX && !forget_oldest(events))) {
		log_debug("kube", "too many events, skipping", KV_STR("event", key));
		free(key);
		return;
	}
	add_event_series(
		events, key, ref,
		&(struct event_spec){.warning = warning, .reason = short_reason, .action = short_action, .note = note});
}
