/* Tests of the reflector against a scripted server: each way in which a list or a watch may end. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "kube/fake_api_int.h"
#include "kube/listing_int.h"
#include "json/json.h"

#define ITEM(name, version)                                                                       \
	"{\"metadata\":{\"namespace\":\"n\",\"name\":\"" name "\",\"resourceVersion\":\"" version \
	"\",\"managedFields\":[{\"manager\":\"x\"}]}}"
#define LIST(version, items) \
	"{\"items\":[" items "],\"kind\":\"PgSyncList\",\"metadata\":{\"resourceVersion\":\"" version "\"}}"
#define PAGE(token, items)                                                                           \
	"{\"kind\":\"ConfigMapList\",\"metadata\":{\"resourceVersion\":\"10\",\"continue\":\"" token \
	"\"},\"items\":[" items "]}"
#define EVENT(type, object) "{\"type\":\"" type "\",\"object\":" object "}\n"
#define BOOKMARK(version) EVENT("BOOKMARK", "{\"metadata\":{\"resourceVersion\":\"" version "\"}}")
#define STATUS(code, reason)                                                                                       \
	"{\"kind\":\"Status\",\"apiVersion\":\"v1\",\"status\":\"Failure\",\"message\":\"m\",\"reason\":\"" reason \
	"\",\"code\":" code "}"
/* The last step of most scripts: a watch that stays open. */
#define OPEN_WATCH                              \
	{                                       \
		.status = 200, .end = FAKE_HANG \
	}

/* What the reflector reported, as text: "+key=version", "-key", "synced", "!kind", "recovered" (if asked for). */
struct watcher {
	struct fake_api api;
	struct kube *kube;
	struct kube_reflector *reflector;
	struct strbuf told;
	bool tell_recovery;
	const char *stop_at; /* stops the reflector when this key is reported */
};

static void on_changed(void *user, const char *key, json_t *object)
{
	struct watcher *w = user;

	strbuf_addf(&w->told, "+%s=%s ", key, jsonx_string(object, "metadata.resourceVersion", ""));
	assert_null(jsonx_get(object, "metadata.managedFields"));
	if (w->stop_at && strcmp(w->stop_at, key) == 0)
		kube_reflector_stop(TAKE_PTR(w->reflector));
}

static void on_deleted(void *user, const char *key)
{
	struct watcher *w = user;

	strbuf_addf(&w->told, "-%s ", key);
}

static void on_synced(void *user)
{
	struct watcher *w = user;

	strbuf_adds(&w->told, "synced ");
}

static void on_failed(void *user, const struct err *err)
{
	struct watcher *w = user;

	strbuf_addf(&w->told, "!%s ", err_kind_name(err->kind));
}

static void on_recovered(void *user)
{
	struct watcher *w = user;

	if (w->tell_recovery)
		strbuf_adds(&w->told, "recovered ");
}

static const struct kube_reflector_handlers HANDLERS = {on_changed, on_deleted, on_synced, on_failed, on_recovered};

static void watch_path_begin(struct watcher *w, const char *path, const struct fake_step *steps, size_t n)
{
	*w = (struct watcher){0};
	strbuf_init(&w->told, 64 * 1024);
	fake_bind(&w->api);
	if (steps)
		fake_run(&w->api, steps, n);
	w->kube = fake_client(&w->api, "");
	w->reflector = kube_reflect(w->kube, path, "app=a", &HANDLERS, w);
}

static void watch_begin(struct watcher *w, const struct fake_step *steps, size_t n)
{
	watch_path_begin(w, "/apis/x", steps, n);
}

static void watch_end(struct watcher *w)
{
	kube_reflector_stop(w->reflector);
	kube_free(w->kube);
	fake_stop(&w->api);
	strbuf_release(&w->told);
}

/* Runs until the script is finished and exactly this has been reported. */
static void assert_told(struct watcher *w, const char *expected)
{
	int64_t until_ms = clock_now_ms() + FAKE_PATIENCE_MS;
	struct err err;

	while (clock_now_ms() < until_ms &&
	       (fake_taken(&w->api) < w->api.n_steps || strcmp(w->told.data, expected) != 0))
		assert_int_equal(kube_poll(w->kube, NULL, 0, 10, &err), 0);
	assert_int_equal(fake_taken(&w->api), w->api.n_steps);
	assert_int_equal(fake_taken(&w->api), w->api.n_steps);
	assert_string_equal(w->told.data, expected);
}

#define assert_script(steps, expected)                        \
	do {                                                  \
		struct watcher w_;                            \
                                                              \
		watch_begin(&w_, (steps), ARRAY_SIZE(steps)); \
		assert_told(&w_, (expected));                 \
		watch_end(&w_);                               \
	} while (0)

static void test_recovered_when_failures_are_over_then_reported_once_by_list_and_by_watch(void **state)
{
	static const struct fake_step STEPS[] = {
		{.status = 403, .body = STATUS("403", "Forbidden")},
		{.status = 403, .body = STATUS("403", "Forbidden")},
		{.status = 200, .body = LIST("10", "")},
		{.status = 503, .body = STATUS("503", "ServiceUnavailable")},
		{.status = 200, .stream = {BOOKMARK("11"), BOOKMARK("12")}, .end = FAKE_HANG},
	};
	struct watcher w;

	UNUSED(state);
	watch_begin(&w, STEPS, ARRAY_SIZE(STEPS));
	w.tell_recovery = true;
	assert_told(&w, "!denied !denied synced recovered !transient recovered ");
	watch_end(&w);
}

static void test_reflect_one_when_named_then_asks_for_nothing_else(void **state)
{
	static const struct fake_step STEPS[] = {
		{.status = 200, .body = LIST("10", ITEM("a", "5"))},
		OPEN_WATCH,
	};
	struct watcher w;

	UNUSED(state);
	watch_begin(&w, STEPS, ARRAY_SIZE(STEPS));
	kube_reflector_stop(w.reflector);
	w.reflector = kube_reflect_one(w.kube, "/apis/x", "a", &HANDLERS, &w);
	assert_told(&w, "+n/a=5 synced ");
	assert_int_equal(fake_count(&w.api, "GET /apis/x?limit=500&fieldSelector=metadata.name%3Da"), 1);
	assert_int_equal(fake_count(&w.api, "&fieldSelector=metadata.name%3Da"), 2);
	watch_end(&w);
}

static void test_list_when_in_pages_then_all_reported_and_watched_from_its_version(void **state)
{
	static const struct fake_step STEPS[] = {
		{.status = 200, .body = PAGE("a/b+c", ITEM("a", "5") ", " ITEM("b", "6"))},
		{.status = 200, .body = LIST("10", ITEM("c", "7"))},
		OPEN_WATCH,
	};
	struct watcher w;

	UNUSED(state);
	watch_begin(&w, STEPS, ARRAY_SIZE(STEPS));
	assert_told(&w, "+n/a=5 +n/b=6 +n/c=7 synced ");
	assert_int_equal(fake_count(&w.api, "GET /apis/x?limit=500&labelSelector=app%3Da"), 2);
	assert_int_equal(fake_count(&w.api, "&continue=a%2Fb%2Bc"), 1);
	assert_int_equal(fake_count(&w.api, "watch=1&allowWatchBookmarks=true&resourceVersion=10&timeoutSeconds="), 1);
	watch_end(&w);
}

static void test_watch_when_frames_are_split_anywhere_then_each_event_is_reported(void **state)
{
	static const struct fake_step STEPS[] = {
		{.status = 200, .body = LIST("10", ITEM("a", "5"))},
		{.status = 200,
		 .end = FAKE_HANG,
		 .stream = {"{\"type\":\"ADD",
			    "ED\",\"object\":"
			    "{\"metadata\":{\"namespace\":\"n\",\"name\":\"caf\xC3",
			    "\xA9\",\"resourceVersion\":\"11\"}}", "}", "\n",
			    EVENT("MODIFIED", ITEM("a", "12")) "{\"type\":\"DELETED\",\"ob",
			    "ject\":" ITEM("a", "13") "}\n"}},
	};

	UNUSED(state);
	assert_script(STEPS, "+n/a=5 synced +n/caf\xC3\xA9=11 +n/a=12 -n/a ");
}

/* The server closes each watch in time; nothing is lost or listed again. */
static void test_watch_when_it_ends_cleanly_then_continued_from_the_bookmark(void **state)
{
	static const struct fake_step STEPS[] = {
		{.status = 200, .body = LIST("10", "")},
		{.status = 200, .stream = {EVENT("ADDED", ITEM("a", "11")), BOOKMARK("40")}},
		{.status = 200, .stream = {EVENT("MODIFIED", ITEM("a", "41"))}},
		OPEN_WATCH,
	};
	struct watcher w;

	UNUSED(state);
	watch_begin(&w, STEPS, ARRAY_SIZE(STEPS));
	assert_told(&w, "synced +n/a=11 +n/a=41 ");
	assert_int_equal(fake_count(&w.api, "limit="), 1);
	assert_int_equal(fake_count(&w.api, "resourceVersion=40&"), 1);
	assert_int_equal(fake_count(&w.api, "resourceVersion=41&"), 1);
	watch_end(&w);
}

static void test_watch_when_410_then_listed_at_once_and_absent_objects_are_deleted(void **state)
{
	static const struct fake_step STEPS[] = {
		{.status = 200, .body = LIST("10", ITEM("a", "5") "," ITEM("b", "6") "," ITEM("c", "7"))},
		{.status = 410, .body = STATUS("410", "Expired")},
		{.status = 200, .body = LIST("90", ITEM("b", "6") "," ITEM("c", "80") "," ITEM("d", "81"))},
		OPEN_WATCH,
	};

	UNUSED(state);
	/* b is unchanged, so it is not reported. */
	assert_script(STEPS, "+n/a=5 +n/b=6 +n/c=7 synced +n/c=80 +n/d=81 -n/a ");
}

static void test_watch_when_an_error_event_says_410_then_listed_at_once(void **state)
{
	static const struct fake_step STEPS[] = {
		{.status = 200, .body = LIST("10", "")},
		{.status = 200,
		 .stream = {EVENT("ADDED", ITEM("a", "11")) EVENT("ERROR", STATUS("410", "Gone"))
				    EVENT("ADDED", ITEM("never", "12"))},
		 .end = FAKE_HANG},
		{.status = 200, .body = LIST("90", "")},
		OPEN_WATCH,
	};

	UNUSED(state);
	assert_script(STEPS, "synced +n/a=11 -n/a ");
}

static void test_watch_when_410_again_and_again_then_it_backs_off(void **state)
{
	static const struct fake_step STEPS[] = {
		{.status = 200, .body = LIST("10", "")}, {.status = 410, .body = STATUS("410", "Expired")},
		{.status = 200, .body = LIST("10", "")}, {.status = 410, .body = STATUS("410", "Expired")},
		{.status = 200, .body = LIST("10", "")}, OPEN_WATCH,
	};
	struct watcher w;

	UNUSED(state);
	watch_begin(&w, STEPS, ARRAY_SIZE(STEPS));
	w.kube->tuning.very_short_ms = 5000;
	assert_told(&w, "synced !not found ");
	watch_end(&w);
}

static void test_list_when_the_continue_token_expired_then_started_again(void **state)
{
	static const struct fake_step STEPS[] = {
		{.status = 200, .body = PAGE("t", ITEM("a", "5"))},
		{.status = 410, .body = STATUS("410", "Expired")},
		{.status = 200, .body = LIST("10", ITEM("b", "6"))},
		OPEN_WATCH,
	};

	UNUSED(state);
	assert_script(STEPS, "+n/a=5 +n/b=6 -n/a synced ");
}

/* A version is the server's text: in a URL it must stay one value. */
static void test_watch_when_the_version_has_odd_characters_then_they_are_escaped(void **state)
{
	static const struct fake_step STEPS[] = {
		{.status = 200, .body = LIST("1&watch=0#x y\\n", "")},
		{.status = 200, .stream = {EVENT("ADDED", ITEM("a", "2&b"))}},
		OPEN_WATCH,
	};
	struct watcher w;

	UNUSED(state);
	watch_begin(&w, STEPS, ARRAY_SIZE(STEPS));
	assert_told(&w, "synced +n/a=2&b ");
	assert_int_equal(fake_count(&w.api, "resourceVersion=1%26watch%3D0%23x%20y%0A&"), 1);
	assert_int_equal(fake_count(&w.api, "resourceVersion=2%26b&"), 1);
	watch_end(&w);
}

static void test_list_when_a_continue_token_comes_back_then_started_again_after_a_pause(void **state)
{
	static const struct fake_step STEPS[] = {
		{.status = 200, .body = PAGE("t", ITEM("a", "5"))},
		{.status = 200, .body = PAGE("t", ITEM("b", "6"))},
		{.status = 200, .body = LIST("10", ITEM("a", "5"))},
		OPEN_WATCH,
	};

	UNUSED(state);
	assert_script(STEPS, "+n/a=5 +n/b=6 !fatal -n/b synced ");
}

static void test_list_when_its_pages_have_no_end_then_started_again_after_a_pause(void **state)
{
	static const struct fake_step STEPS[] = {
		{.status = 200, .body = PAGE("t", "")},
		{.status = 200, .body = PAGE("u", "")},
		{.status = 200, .body = PAGE("t", "")},
		{.status = 200, .body = LIST("10", ITEM("a", "5"))},
		OPEN_WATCH,
	};
	struct watcher w;

	UNUSED(state);
	watch_begin(&w, STEPS, ARRAY_SIZE(STEPS));
	w.kube->tuning.pages_max = 2;
	assert_told(&w, "!limit +n/a=5 synced ");
	watch_end(&w);
}

static void test_watch_when_429_then_tried_again_without_a_list(void **state)
{
	static const struct fake_step STEPS[] = {
		{.status = 200, .body = LIST("10", "")},
		{.status = 429, .body = STATUS("429", "TooManyRequests")},
		{.status = 200, .stream = {EVENT("ERROR", STATUS("429", "TooManyRequests"))}, .end = FAKE_HANG},
		{.status = 200, .stream = {EVENT("ADDED", ITEM("a", "11"))}, .end = FAKE_HANG},
	};
	struct watcher w;

	UNUSED(state);
	watch_begin(&w, STEPS, ARRAY_SIZE(STEPS));
	assert_told(&w, "synced !transient !transient +n/a=11 ");
	assert_int_equal(fake_count(&w.api, "limit="), 1);
	assert_int_equal(fake_count(&w.api, "resourceVersion=10&"), 3);
	watch_end(&w);
}

static void test_watch_when_retry_after_is_long_then_waited_for(void **state)
{
	static const struct fake_step STEPS[] = {
		{.status = 200, .body = LIST("10", "")},
		{.status = 429, .body = STATUS("429", "TooManyRequests"), .headers = "Retry-After: 1\r\n"},
		OPEN_WATCH,
	};
	struct watcher w;

	UNUSED(state);
	watch_begin(&w, STEPS, ARRAY_SIZE(STEPS));
	FAKE_UNTIL(w.kube, strstr(w.told.data, "!transient"));
	FAKE_FOR(w.kube, 700);
	assert_int_equal(fake_count(&w.api, "watch=1"), 1);
	FAKE_UNTIL(w.kube, fake_count(&w.api, "watch=1") == 2);
	watch_end(&w);
}

static void test_watch_when_an_internal_error_or_garbage_comes_then_listed_after_a_pause(void **state)
{
	static const struct fake_step STEPS[] = {
		{.status = 200, .body = LIST("10", ITEM("a", "5"))},
		{.status = 200, .stream = {EVENT("ERROR", STATUS("500", "InternalError"))}, .end = FAKE_HANG},
		{.status = 200, .body = LIST("11", ITEM("a", "5"))},
		{.status = 200, .stream = {"{\"type\":\"ADDED\",\"object\":oops}\n"}, .end = FAKE_HANG},
		{.status = 200, .body = LIST("12", ITEM("a", "5"))},
		{.status = 500, .body = STATUS("500", "InternalError")},
		{.status = 200, .body = LIST("13", ITEM("a", "13"))},
		OPEN_WATCH,
	};

	UNUSED(state);
	assert_script(STEPS, "+n/a=5 synced !transient !fatal !transient +n/a=13 ");
}

/* The server has not reached our version yet, and after a restored backup it may never do so. */
static void test_watch_when_the_version_is_too_large_then_listed(void **state)
{
	static const struct fake_step STEPS[] = {
		{.status = 200, .body = LIST("10", "")},
		{.status = 504,
		 .body = "{\"kind\":\"Status\",\"reason\":\"Timeout\",\"code\":504,\"message\":\"Too large resource "
			 "version: 10, current: 4\",\"details\":{\"causes\":[{\"reason\":\"ResourceVersionTooLarge\"}],"
			 "\"retryAfterSeconds\":0}}"},
		{.status = 200, .body = LIST("4", "")},
		OPEN_WATCH,
	};

	UNUSED(state);
	assert_script(STEPS, "synced !transient ");
}

static void test_watch_when_a_bookmark_is_older_than_we_are_then_listed(void **state)
{
	static const struct fake_step STEPS[] = {
		{.status = 200, .body = LIST("1000", ITEM("a", "5"))},
		{.status = 200, .stream = {BOOKMARK("999")}, .end = FAKE_HANG},
		{.status = 200, .body = LIST("999", "")},
		OPEN_WATCH,
	};

	UNUSED(state);
	assert_script(STEPS, "+n/a=5 synced -n/a ");
}

static void test_watch_when_the_connection_breaks_then_continued_after_a_pause(void **state)
{
	static const struct fake_step STEPS[] = {
		{.status = 200, .body = LIST("10", "")},
		{.status = 200, .stream = {EVENT("ADDED", ITEM("a", "11")), "{\"type\":\"MODI"}, .end = FAKE_RESET},
		{.status = 0, .end = FAKE_RESET},
		{.status = 200, .stream = {EVENT("MODIFIED", ITEM("a", "12"))}, .end = FAKE_HANG},
	};
	struct watcher w;

	UNUSED(state);
	watch_begin(&w, STEPS, ARRAY_SIZE(STEPS));
	assert_told(&w, "synced +n/a=11 !transient !transient +n/a=12 ");
	assert_int_equal(fake_count(&w.api, "limit="), 1);
	assert_int_equal(fake_count(&w.api, "resourceVersion=11&"), 2);
	watch_end(&w);
}

static void test_watch_when_it_ends_at_once_then_counted_as_a_failure(void **state)
{
	static const struct fake_step STEPS[] = {
		{.status = 200, .body = LIST("10", "")},
		{.status = 200, .body = ""},
		OPEN_WATCH,
	};
	struct watcher w;

	UNUSED(state);
	watch_begin(&w, STEPS, ARRAY_SIZE(STEPS));
	w.kube->tuning.very_short_ms = 1000;
	assert_told(&w, "synced !transient ");
	watch_end(&w);
}

/* A half-open connection: the first time, the watch is restarted; if it happens repeatedly, our version itself is in
 * doubt. */
static void test_watch_when_it_is_silent_then_begun_again_and_then_listed(void **state)
{
	static const struct fake_step STEPS[] = {
		{.status = 200, .body = LIST("10", "")},
		OPEN_WATCH,
		OPEN_WATCH,
		{.status = 200, .body = LIST("20", ITEM("a", "15"))},
		OPEN_WATCH,
	};
	struct watcher w;

	UNUSED(state);
	watch_begin(&w, STEPS, ARRAY_SIZE(STEPS));
	w.kube->tuning.watch_idle_ms = 80;
	w.kube->tuning.idle_watches_max = 2;
	w.kube->tuning.watch_idle_more_ms = 10;
	FAKE_UNTIL(w.kube, strstr(w.told.data, "+n/a=15"));
	assert_string_equal(w.told.data, "synced +n/a=15 ");
	assert_int_equal(fake_count(&w.api, "resourceVersion=10&"), 2);
	assert_int_equal(fake_count(&w.api, "limit="), 2);
	watch_end(&w);
}

static void test_watch_when_bookmarks_come_then_it_is_not_silent(void **state)
{
	static const struct fake_step STEPS[] = {
		{.status = 200, .body = LIST("10", "")},
		{.status = 200, .stream = {BOOKMARK("11")}, .end = FAKE_HANG},
		{.status = 200, .stream = {BOOKMARK("12")}, .end = FAKE_HANG},
		OPEN_WATCH,
	};
	struct watcher w;

	UNUSED(state);
	watch_begin(&w, STEPS, ARRAY_SIZE(STEPS));
	w.kube->tuning.watch_idle_ms = 300;
	w.kube->tuning.watch_idle_more_ms = 0;
	FAKE_UNTIL(w.kube, fake_count(&w.api, "resourceVersion=12&") == 1);
	assert_int_equal(fake_count(&w.api, "limit="), 1);
	watch_end(&w);
}

static void test_list_when_the_server_is_away_then_tried_until_it_is_back(void **state)
{
	static const struct fake_step STEPS[] = {{.status = 200, .body = LIST("10", ITEM("a", "5"))}, OPEN_WATCH};
	struct watcher w;

	UNUSED(state);
	watch_begin(&w, NULL, 0);
	FAKE_UNTIL(w.kube, strstr(w.told.data, "!transient !transient !transient"));
	fake_run(&w.api, STEPS, ARRAY_SIZE(STEPS));
	FAKE_UNTIL(w.kube, strstr(w.told.data, "+n/a=5 synced "));
	watch_end(&w);
}

static void test_list_when_it_fails_then_reported_and_retried(void **state)
{
	static const struct fake_step STEPS[] = {
		{.status = 403, .body = STATUS("403", "Forbidden")},
		{.status = 404, .body = "404 page not found\n"},
		{.status = 200, .body = "<html>"},
		{.status = 200, .stream = {"{\"kind\":\"List\",\"items\":[" ITEM("a", "5") ","}, .end = FAKE_CLEAN},
		{.status = 200, .stream = {"{\"kind\":\"List\",\"items\":[" ITEM("a", "5") ","}, .end = FAKE_RESET},
		{.status = 200, .body = "{\"items\":[],\"metadata\":{}}"},
		{.status = 200, .body = LIST("10", ITEM("b", "6"))},
		OPEN_WATCH,
	};

	UNUSED(state);
	assert_script(STEPS, "!denied !not found !fatal +n/a=5 !fatal !transient !fatal +n/b=6 -n/a synced ");
}

#define OTHER(namespace, name) \
	"{\"metadata\":{\"namespace\":\"" namespace "\",\"name\":\"" name "\",\"resourceVersion\":\"20\"}}"

/* None of these is a list without objects, which would say that all are deleted. */
static void test_list_when_the_answer_is_something_else_then_nothing_is_deleted(void **state)
{
	static const struct fake_step STEPS[] = {
		{.status = 200, .body = LIST("10", ITEM("a", "5"))},
		{.status = 200, .stream = {EVENT("ERROR", STATUS("410", "Expired"))}, .end = FAKE_HANG},
		{.status = 200, .body = OTHER("n", "a")},
		{.status = 200, .body = "{\"metadata\":{\"resourceVersion\":\"20\"}}"},
		{.status = 200,
		 .body = "{\"kind\":\"PgSyncList\",\"metadata\":{\"resourceVersion\":\"20\"},\"items\":{}}"},
		{.status = 200, .body = "{\"kind\":\"PgSync\",\"metadata\":{\"resourceVersion\":\"20\"},\"items\":[]}"},
		{.status = 200, .body = "[]"},
		{.status = 200, .body = LIST("30", ITEM("a", "5"))},
		OPEN_WATCH,
	};

	UNUSED(state);
	assert_script(STEPS, "+n/a=5 synced !fatal !fatal !fatal !fatal !fatal ");
}

static void test_objects_when_of_another_namespace_or_without_a_name_then_listed_again(void **state)
{
	static const struct fake_step STEPS[] = {
		{.status = 200, .body = LIST("10", ITEM("a", "5") "," OTHER("other", "a") "," ITEM("b", "6"))},
		{.status = 200, .body = LIST("10", ITEM("a", "5") "," OTHER("n", ""))},
		{.status = 200, .body = LIST("10", ITEM("a", "5"))},
		{.status = 200,
		 .stream = {EVENT("ADDED", OTHER("n2", "b")) EVENT("ADDED", ITEM("c", "12"))},
		 .end = FAKE_HANG},
		{.status = 200, .body = LIST("11", ITEM("a", "5"))},
		{.status = 200, .stream = {EVENT("DELETED", OTHER("", "a"))}, .end = FAKE_HANG},
		{.status = 200, .body = LIST("12", ITEM("a", "5"))},
		{.status = 200, .stream = {EVENT("MODIFIED", "{\"kind\":\"Status\"}")}, .end = FAKE_HANG},
		{.status = 200, .body = LIST("13", ITEM("a", "5"))},
		{.status = 200, .stream = {BOOKMARK("14")}, .end = FAKE_HANG},
	};
	struct watcher w;

	UNUSED(state);
	watch_path_begin(&w, "/apis/x/namespaces/n/pgsyncs", STEPS, ARRAY_SIZE(STEPS));
	assert_told(&w, "+n/a=5 !fatal !fatal synced !fatal !fatal !fatal ");
	watch_end(&w);
}

static void test_list_when_a_server_asks_for_a_pause_of_a_day_then_it_is_asked_again_sooner(void **state)
{
	static const struct fake_step STEPS[] = {
		{.status = 503, .body = "<html>maintenance</html>", .headers = "Retry-After: 86400\r\n"},
		{.status = 200, .body = LIST("10", ITEM("a", "5"))},
		OPEN_WATCH,
	};
	struct watcher w;

	UNUSED(state);
	watch_begin(&w, STEPS, ARRAY_SIZE(STEPS));
	w.kube->tuning.retry_after_max_ms = 50;
	assert_told(&w, "!transient +n/a=5 synced ");
	watch_end(&w);
}

static void test_stop_when_called_in_a_callback_then_there_are_no_more(void **state)
{
	static const struct fake_step LISTED[] = {
		{.status = 200, .body = LIST("10", ITEM("a", "5") "," ITEM("b", "6"))}};
	static const struct fake_step WATCHED[] = {
		{.status = 200, .body = LIST("10", "")},
		{.status = 200,
		 .stream = {EVENT("ADDED", ITEM("a", "11")) EVENT("ADDED", ITEM("b", "12"))},
		 .end = FAKE_HANG}};
	struct watcher w;

	UNUSED(state);
	watch_begin(&w, LISTED, ARRAY_SIZE(LISTED));
	w.stop_at = "n/a";
	FAKE_UNTIL(w.kube, !w.reflector);
	FAKE_FOR(w.kube, 50);
	assert_string_equal(w.told.data, "+n/a=5 ");
	watch_end(&w);
	watch_begin(&w, WATCHED, ARRAY_SIZE(WATCHED));
	w.stop_at = "n/a";
	FAKE_UNTIL(w.kube, !w.reflector);
	FAKE_FOR(w.kube, 50);
	assert_string_equal(w.told.data, "synced +n/a=11 ");
	watch_end(&w);
}

/* --- The decoder alone -----------------------------------------------------------------------------------------------
 */
static void count_event(void *user, const char *type, json_t *object)
{
	UNUSED(type);
	UNUSED(object);
	(*(int *)user)++;
}

static void test_frames_when_a_frame_is_too_large_then_limit(void **state)
{
	_cleanup_(kube_frames_freep) struct kube_frames *frames = kube_frames_new(40, NULL);
	int events = 0;
	struct err err;

	UNUSED(state);
	assert_int_equal(kube_frames_feed(frames, BOOKMARK("1"), sizeof(BOOKMARK("1")) - 1, count_event, &events, &err),
			 -1);
	assert_int_equal(err.kind, ERR_LIMIT);
	assert_int_equal(
		kube_frames_feed(frames, "{\"type\":\"ADDED\",\"object\":{}}\n", 29, count_event, &events, &err), 0);
	assert_int_equal(events, 1);
}

static void test_frames_when_a_frame_is_malformed_then_fatal_and_nothing_is_quoted(void **state)
{
	static const char *const BAD[] = {"{\"type\":\"ADDED\"}\n", "{\"object\":{}}\n", "[]\n", "hunter2\n",
					  "{\"type\":\"ADDED\",\"object\":\"hunter2\n"};
	int events = 0;
	struct err err;

	UNUSED(state);
	for (size_t i = 0; i < ARRAY_SIZE(BAD); i++) {
		_cleanup_(kube_frames_freep) struct kube_frames *frames = kube_frames_new(1000, NULL);

		assert_int_equal(kube_frames_feed(frames, BAD[i], strlen(BAD[i]), count_event, &events, &err), -1);
		assert_int_equal(err.kind, ERR_FATAL);
		assert_null(strstr(err.msg, "hunter2"));
	}
	assert_int_equal(events, 0);
}

static void expect_schema(void *user, const char *type, json_t *object)
{
	UNUSED(type);
	assert_string_equal(jsonx_string(object, "spec.schema", ""), "[{\"index\": \"\\u00e9\"}]");
	assert_string_equal(jsonx_string(object, "spec.source.schema", ""), "s");
	assert_string_equal(jsonx_string(object, "metadata.name", ""), "n");
	(*(int *)user)++;
}

static void expect_listed(void *user, json_t *object)
{
	expect_schema(user, "", object);
}

/* Not in the order of the text, and one that is absent. */
static const char *const texts[] = {"metadata.labels", "spec.schema", "metadata.annotations", NULL};

#define WITH_SCHEMA                                                         \
	"{\"spec\":{\"source\":{\"schema\":\"s\"},\"schema\":[{\"index\": " \
	"\"\\u00e9\"}],\"x\":1},\"metadata\":{\"name\":\"n\",\"labels\":{\"a.b\":\"c\"}}}"

static void test_decode_when_a_value_is_kept_as_text_then_a_string_in_watches_and_lists(void **state)
{
	static const char frame[] = "{\"type\":\"ADDED\",\"object\":" WITH_SCHEMA "}\n";
	static const char list[] = "{\"items\":[" WITH_SCHEMA "," WITH_SCHEMA "],\"metadata\":{}}";
	_cleanup_(kube_frames_freep) struct kube_frames *frames = kube_frames_new(1000, texts);
	_cleanup_(kube_listing_freep) struct kube_listing *listing = kube_listing_new(1000, texts);
	int seen = 0;
	struct err err;

	UNUSED(state);
	assert_int_equal(kube_frames_feed(frames, frame, strlen(frame), expect_schema, &seen, &err), 0);
	assert_int_equal(kube_listing_feed(listing, list, strlen(list), expect_listed, &seen, &err), 0);
	assert_int_equal(seen, 3);
}

static void test_decode_when_the_text_to_keep_is_not_utf8_then_fatal_and_not_quoted(void **state)
{
	static const char frame[] = "{\"type\":\"ADDED\",\"object\":{\"spec\":{\"schema\":\"\xffhunter2\"}}}\n";
	_cleanup_(kube_frames_freep) struct kube_frames *frames = kube_frames_new(1000, texts);
	int seen = 0;
	struct err err;

	UNUSED(state);
	assert_int_equal(kube_frames_feed(frames, frame, strlen(frame), expect_schema, &seen, &err), -1);
	assert_int_equal(err.kind, ERR_FATAL);
	assert_null(strstr(err.msg, "hunter2"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_decode_when_a_value_is_kept_as_text_then_a_string_in_watches_and_lists),
		cmocka_unit_test(test_decode_when_the_text_to_keep_is_not_utf8_then_fatal_and_not_quoted),
		cmocka_unit_test(test_recovered_when_failures_are_over_then_reported_once_by_list_and_by_watch),
		cmocka_unit_test(test_list_when_in_pages_then_all_reported_and_watched_from_its_version),
		cmocka_unit_test(test_reflect_one_when_named_then_asks_for_nothing_else),
		cmocka_unit_test(test_watch_when_frames_are_split_anywhere_then_each_event_is_reported),
		cmocka_unit_test(test_watch_when_it_ends_cleanly_then_continued_from_the_bookmark),
		cmocka_unit_test(test_watch_when_410_then_listed_at_once_and_absent_objects_are_deleted),
		cmocka_unit_test(test_watch_when_an_error_event_says_410_then_listed_at_once),
		cmocka_unit_test(test_watch_when_410_again_and_again_then_it_backs_off),
		cmocka_unit_test(test_list_when_the_continue_token_expired_then_started_again),
		cmocka_unit_test(test_watch_when_the_version_has_odd_characters_then_they_are_escaped),
		cmocka_unit_test(test_list_when_a_continue_token_comes_back_then_started_again_after_a_pause),
		cmocka_unit_test(test_list_when_its_pages_have_no_end_then_started_again_after_a_pause),
		cmocka_unit_test(test_watch_when_429_then_tried_again_without_a_list),
		cmocka_unit_test(test_watch_when_retry_after_is_long_then_waited_for),
		cmocka_unit_test(test_watch_when_an_internal_error_or_garbage_comes_then_listed_after_a_pause),
		cmocka_unit_test(test_watch_when_the_version_is_too_large_then_listed),
		cmocka_unit_test(test_watch_when_a_bookmark_is_older_than_we_are_then_listed),
		cmocka_unit_test(test_watch_when_the_connection_breaks_then_continued_after_a_pause),
		cmocka_unit_test(test_watch_when_it_ends_at_once_then_counted_as_a_failure),
		cmocka_unit_test(test_watch_when_it_is_silent_then_begun_again_and_then_listed),
		cmocka_unit_test(test_watch_when_bookmarks_come_then_it_is_not_silent),
		cmocka_unit_test(test_list_when_the_server_is_away_then_tried_until_it_is_back),
		cmocka_unit_test(test_list_when_it_fails_then_reported_and_retried),
		cmocka_unit_test(test_list_when_the_answer_is_something_else_then_nothing_is_deleted),
		cmocka_unit_test(test_objects_when_of_another_namespace_or_without_a_name_then_listed_again),
		cmocka_unit_test(test_list_when_a_server_asks_for_a_pause_of_a_day_then_it_is_asked_again_sooner),
		cmocka_unit_test(test_stop_when_called_in_a_callback_then_there_are_no_more),
		cmocka_unit_test(test_frames_when_a_frame_is_too_large_then_limit),
		cmocka_unit_test(test_frames_when_a_frame_is_malformed_then_fatal_and_nothing_is_quoted),
	};

	return cmocka_run_group_tests_name("reflector", tests, NULL, NULL);
}
