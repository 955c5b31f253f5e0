/* Tests of the client's loop, requests and events against a scripted server. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>

#include <cmocka.h>
#include <curl/curl.h>

#include "kube/fake_api_int.h"
#include "json/json.h"

#define STATUS(code, reason)                                                                                       \
	"{\"kind\":\"Status\",\"apiVersion\":\"v1\",\"status\":\"Failure\",\"message\":\"m\",\"reason\":\"" reason \
	"\",\"code\":" code "}"

/* How a request ended. */
struct outcome {
	unsigned calls;
	char name[64];
	struct err err; /* kind NONE: it succeeded */
};

static void on_done(void *user, const json_t *object, const struct err *err)
{
	struct outcome *o = user;

	o->calls++;
	assert_true((object != NULL) == (err == NULL));
	if (err)
		o->err = *err;
	else
		(void)snprintf(o->name, sizeof(o->name), "%s", jsonx_string(object, "metadata.name", ""));
}

/* A server with this script, and a client. */
struct bench {
	struct fake_api api;
	struct kube *kube;
};

static void bench_begin(struct bench *b, const struct fake_step *steps, size_t n, const char *user)
{
	fake_bind(&b->api);
	fake_run(&b->api, steps, n);
	b->kube = fake_client(&b->api, user);
}

static void bench_end(struct bench *b)
{
	kube_free(b->kube);
	fake_stop(&b->api);
}

static struct outcome request(struct bench *b, const char *method, const json_t *body)
{
	struct outcome o = {0};

	(void)kube_request(b->kube, &(struct kube_request){.method = method, .path = "/api/v1/things", .body = body},
			   on_done, &o);
	FAKE_UNTIL(b->kube, o.calls > 0);
	return o;
}

/* --- Requests --------------------------------------------------------------------------------------------------------
 */
static void test_request_when_answered_then_the_object(void **state)
{
	static const struct fake_step STEPS[] = {{.status = 201, .body = "{\"metadata\":{\"name\":\"x\"}}"}};
	_cleanup_json_ json_t *body = json_pack("{s:s}", "a", "b");
	struct bench b;
	struct outcome o;

	UNUSED(state);
	bench_begin(&b, STEPS, ARRAY_SIZE(STEPS), "token: secret");
	o = request(&b, "POST", body);
	assert_int_equal(o.err.kind, ERR_NONE);
	assert_string_equal(o.name, "x");
	assert_string_equal(b.api.log.data, "POST /api/v1/things [Bearer secret] [application/json] {\"a\":\"b\"}\n");
	bench_end(&b);
}

/* --- Streams */

struct heard {
	struct strbuf text;
	unsigned ends;
	struct err err; /* kind NONE: it ended well */
};

static void on_heard(void *user, const char *data, size_t len)
{
	struct heard *heard = user;

	strbuf_add(&heard->text, data, len);
}

static void on_heard_end(void *user, const struct err *err)
{
	struct heard *heard = user;

	heard->ends++;
	if (err)
		heard->err = *err;
}

static void test_stream_then_every_piece_and_how_it_ended(void **state)
{
	static const struct {
		struct fake_step step;
		const char *text;
		enum err_kind kind;
	} CASES[] = {
		{{.status = 200, .stream = {"one\ntw", "o\n"}}, "one\ntwo\n", ERR_NONE},
		{{.status = 200, .stream = {"one\n"}, .end = FAKE_RESET}, "one\n", ERR_TRANSIENT},
		{{.status = 403, .body = STATUS("403", "Forbidden")}, "", ERR_DENIED},
		{{.status = 404, .body = STATUS("404", "NotFound")}, "", ERR_NOT_FOUND},
	};

	UNUSED(state);
	for (size_t i = 0; i < ARRAY_SIZE(CASES); i++) {
		struct heard heard = {0};
		struct bench b;

		strbuf_init(&heard.text, 1024);
		bench_begin(&b, &CASES[i].step, 1, "token: secret");
		(void)kube_stream(b.kube, "/api/v1/log", on_heard, on_heard_end, &heard);
		FAKE_UNTIL(b.kube, heard.ends > 0);
		assert_string_equal(heard.text.data, CASES[i].text);
		assert_int_equal(heard.err.kind, CASES[i].kind);
		assert_int_equal(fake_count(&b.api, "GET /api/v1/log [Bearer secret]"), 1);
		bench_end(&b);
		assert_int_equal(heard.ends, 1);
		strbuf_release(&heard.text);
	}
}

static void test_stream_when_stopped_then_nothing_is_called_any_more(void **state)
{
	static const struct fake_step STEPS[] = {{.status = 200, .stream = {"one\n"}, .end = FAKE_HANG}};
	struct heard heard = {0};
	struct kube_stream *stream;
	struct bench b;

	UNUSED(state);
	strbuf_init(&heard.text, 1024);
	bench_begin(&b, STEPS, ARRAY_SIZE(STEPS), "token: secret");
	stream = kube_stream(b.kube, "/api/v1/log", on_heard, on_heard_end, &heard);
	FAKE_UNTIL(b.kube, heard.text.len == 4);
	kube_stream_stop(stream);
	bench_end(&b);
	assert_int_equal(heard.ends, 0);
	strbuf_release(&heard.text);
}

static void test_request_when_refused_then_kind_and_code_by_the_reason(void **state)
{
	static const struct {
		struct fake_step step;
		enum err_kind kind;
		int code;
	} CASES[] = {
		{{.status = 401, .body = STATUS("401", "Unauthorized")}, ERR_DENIED, 401},
		{{.status = 403, .body = STATUS("403", "Forbidden")}, ERR_DENIED, 403},
		{{.status = 404, .body = STATUS("404", "NotFound")}, ERR_NOT_FOUND, 404},
		{{.status = 409, .body = STATUS("409", "AlreadyExists")}, ERR_CONFLICT, 409},
		{{.status = 409, .body = STATUS("409", "Conflict")}, ERR_CONFLICT, 409},
		{{.status = 410, .body = STATUS("410", "Expired")}, ERR_NOT_FOUND, 410},
		{{.status = 422, .body = STATUS("422", "Invalid")}, ERR_INVALID, 422},
		{{.status = 429, .body = STATUS("429", "TooManyRequests")}, ERR_TRANSIENT, 429},
		{{.status = 500, .body = STATUS("500", "InternalError")}, ERR_TRANSIENT, 500},
		{{.status = 418, .body = STATUS("418", "Novelty")}, ERR_INVALID, 418},
		{{.status = 502, .body = "bad gateway"}, ERR_TRANSIENT, 502},
		{{.status = 404, .body = "404 page not found"}, ERR_NOT_FOUND, 404},
		{{.status = 200, .body = "<html>"}, ERR_FATAL, 0},
	};

	UNUSED(state);
	for (size_t i = 0; i < ARRAY_SIZE(CASES); i++) {
		struct bench b;
		struct outcome o;

		bench_begin(&b, &CASES[i].step, 1, "");
		o = request(&b, "GET", NULL);
		assert_int_equal(o.err.kind, CASES[i].kind);
		assert_int_equal(o.err.code, CASES[i].code);
		assert_non_null(strstr(o.err.msg, "GET /api/v1/things"));
		bench_end(&b);
	}
}

static void test_request_when_asked_to_retry_then_repeated_whatever_the_method(void **state)
{
	static const struct fake_step STEPS[] = {
		{.status = 503, .body = STATUS("503", "ServiceUnavailable"), .headers = "Retry-After: 1\r\n"},
		{.status = 200, .body = "{\"metadata\":{\"name\":\"x\"}}"}};
	struct bench b;
	int64_t start_ms = clock_now_ms();
	struct outcome o;

	UNUSED(state);
	bench_begin(&b, STEPS, ARRAY_SIZE(STEPS), "");
	o = request(&b, "PATCH", NULL);
	assert_string_equal(o.name, "x");
	assert_true(clock_now_ms() - start_ms >= 1000);
	bench_end(&b);
}

static void test_request_when_the_wait_is_longer_than_its_time_then_the_error_says_how_long(void **state)
{
	static const struct fake_step STEPS[] = {
		{.status = 429, .body = STATUS("429", "TooManyRequests"), .headers = "Retry-After: 120\r\n"}};
	struct bench b;
	struct outcome o;

	UNUSED(state);
	bench_begin(&b, STEPS, ARRAY_SIZE(STEPS), "");
	o = request(&b, "GET", NULL);
	assert_int_equal(o.err.kind, ERR_TRANSIENT);
	assert_int_equal(o.err.retry_after_ms, 120000);
	bench_end(&b);
}

static void test_request_when_the_connection_is_lost_then_only_a_get_is_repeated(void **state)
{
	static const struct fake_step STEPS[] = {
		{.end = FAKE_RESET}, {.end = FAKE_RESET}, {.status = 200, .body = "{\"metadata\":{\"name\":\"x\"}}"}};
	struct fake_step lost[32];
	struct bench b;
	struct outcome o;

	UNUSED(state);
	for (size_t i = 0; i < ARRAY_SIZE(lost); i++)
		lost[i] = (struct fake_step){.end = FAKE_RESET};
	bench_begin(&b, STEPS, ARRAY_SIZE(STEPS), "");
	o = request(&b, "GET", NULL);
	assert_string_equal(o.name, "x");
	bench_end(&b);
	bench_begin(&b, lost, ARRAY_SIZE(lost), "");
	o = request(&b, "POST", NULL);
	assert_int_equal(o.err.kind, ERR_TRANSIENT);
	assert_int_equal(fake_count(&b.api, "POST"), 1);
	o = request(&b, "GET", NULL);
	assert_int_equal(o.err.kind, ERR_TRANSIENT);
	assert_int_equal(fake_count(&b.api, "GET"), 1 + KUBE_RETRIES);
	bench_end(&b);
}

static void test_request_when_nothing_comes_then_timeout(void **state)
{
	static const struct fake_step STEPS[] = {{.end = FAKE_HANG}};
	struct outcome o = {0};
	struct bench b;

	UNUSED(state);
	bench_begin(&b, STEPS, ARRAY_SIZE(STEPS), "");
	(void)kube_request(b.kube, &(struct kube_request){.method = "GET", .path = "/x", .timeout_ms = 100}, on_done,
			   &o);
	FAKE_UNTIL(b.kube, o.calls > 0);
	assert_int_equal(o.err.kind, ERR_TRANSIENT);
	assert_string_equal(reason_name(o.err.reason), "Timeout");
	bench_end(&b);
}

static void test_cancel_when_under_way_then_done_is_never_called(void **state)
{
	static const struct fake_step STEPS[] = {{.end = FAKE_HANG}};
	struct outcome o = {0};
	struct kube_call *call;
	struct bench b;

	UNUSED(state);
	bench_begin(&b, STEPS, ARRAY_SIZE(STEPS), "");
	call = kube_request(b.kube, &(struct kube_request){.method = "GET", .path = "/x"}, on_done, &o);
	FAKE_UNTIL(b.kube, fake_count(&b.api, "GET /x") == 1);
	kube_cancel(call);
	kube_cancel(NULL);
	FAKE_FOR(b.kube, 30);
	(void)kube_request(b.kube, &(struct kube_request){.method = "GET", .path = "/left"}, on_done, &o);
	bench_end(&b);
	assert_int_equal(o.calls, 0);
}

static void cancel_it(void *user)
{
	struct kube_call **call = user;

	kube_cancel(TAKE_PTR(*call));
}

/* As a leader that was stopped (SIGSTOP) beyond its renew deadline, with a write that waits to be repeated. */
static void test_cancel_when_a_retry_is_due_too_then_nothing_is_sent(void **state)
{
	static const struct fake_step STEPS[] = {
		{.status = 429, .body = STATUS("429", "TooManyRequests"), .headers = "Retry-After: 1\r\n"},
		{.status = 200, .body = "{}"}};
	struct outcome o = {0};
	struct kube_call *call;
	struct bench b;

	UNUSED(state);
	bench_begin(&b, STEPS, ARRAY_SIZE(STEPS), "");
	call = kube_request(b.kube, &(struct kube_request){.method = "PATCH", .path = "/x"}, on_done, &o);
	FAKE_UNTIL(b.kube, b.kube->timers.n == 1);
	/* Due after the repetition, and both before the loop goes on. */
	(void)kube_timer_start(b.kube, clock_now_ms() + 1100, cancel_it, &call);
	(void)poll(NULL, 0, 1200);
	FAKE_FOR(b.kube, 100);
	assert_null(call);
	assert_int_equal(o.calls, 0);
	assert_int_equal(fake_count(&b.api, "PATCH"), 1);
	bench_end(&b);
}

static void test_apply_when_called_then_forced_and_under_our_name(void **state)
{
	static const struct fake_step STEPS[] = {{.status = 200, .body = "{}"}, {.status = 200, .body = "{}"}};
	_cleanup_json_ json_t *object = json_pack("{s:s}", "kind", "PgSync");
	struct outcome o = {0};
	struct bench b;

	UNUSED(state);
	bench_begin(&b, STEPS, ARRAY_SIZE(STEPS), "");
	(void)kube_apply(b.kube, "/x/status", object, on_done, &o);
	FAKE_UNTIL(b.kube, o.calls == 1);
	(void)kube_apply(b.kube, "/x?dryRun=All", object, on_done, &o);
	FAKE_UNTIL(b.kube, o.calls == 2);
	assert_string_equal(
		b.api.log.data,
		"PATCH /x/status?fieldManager=pgsync-operator&force=true [application/apply-patch+yaml] "
		"{\"kind\":\"PgSync\"}\n"
		"PATCH /x?dryRun=All&fieldManager=pgsync-operator&force=true [application/apply-patch+yaml] "
		"{\"kind\":\"PgSync\"}\n");
	bench_end(&b);
}

static void write_text(const char *path, const char *text)
{
	_cleanup_fclose_ FILE *file = fopen(path, "we");

	assert_non_null(file);
	(void)fputs(text, file);
	assert_int_equal(fchmod(fileno(file), 0700), 0);
}

static void test_request_when_401_then_the_token_file_is_read_again(void **state)
{
	static const struct fake_step STEPS[] = {{.status = 200, .body = "{}"},
						 {.status = 401, .body = STATUS("401", "Unauthorized")},
						 {.status = 200, .body = "{}"},
						 {.status = 401, .body = STATUS("401", "Unauthorized")},
						 {.status = 401, .body = STATUS("401", "Unauthorized")}};
	char dir[] = "/tmp/kube_test.XXXXXX";
	_cleanup_free_ char *path = NULL, *user = NULL;
	struct bench b;

	UNUSED(state);
	assert_non_null(mkdtemp(dir));
	path = xasprintf("%s/token", dir);
	user = xasprintf("tokenFile: %s", path);
	write_text(path, "one\n");
	bench_begin(&b, STEPS, ARRAY_SIZE(STEPS), user);
	assert_int_equal(request(&b, "GET", NULL).err.kind, ERR_NONE);
	write_text(path, "two\n");
	assert_int_equal(request(&b, "GET", NULL).err.kind, ERR_NONE);
	assert_int_equal(fake_count(&b.api, "[Bearer one]"), 2);
	assert_int_equal(fake_count(&b.api, "[Bearer two]"), 1);
	/* If that does not help, it is an error. */
	assert_int_equal(request(&b, "GET", NULL).err.kind, ERR_DENIED);
	assert_int_equal(fake_taken(&b.api), ARRAY_SIZE(STEPS));
	bench_end(&b);
	(void)unlink(path);
	(void)rmdir(dir);
}

static void test_request_when_401_then_the_credential_plugin_is_asked_again(void **state)
{
	static const struct fake_step STEPS[] = {{.status = 401, .body = STATUS("401", "Unauthorized")},
						 {.status = 200, .body = "{}"}};
	char dir[] = "/tmp/kube_test.XXXXXX";
	_cleanup_free_ char *path = NULL, *count = NULL, *script = NULL, *user = NULL;
	struct bench b;

	UNUSED(state);
	assert_non_null(mkdtemp(dir));
	path = xasprintf("%s/plugin", dir);
	count = xasprintf("%s/count", dir);
	script = xasprintf("#!/bin/sh\necho x >>%s\nn=$(wc -l <%s)\n"
			   "echo '{\"apiVersion\":\"client.authentication.k8s.io/v1\",\"kind\":\"ExecCredential\","
			   "\"status\":{\"token\":\"'t$n'\"}}'\n",
			   count, count);
	user = xasprintf("exec: {apiVersion: client.authentication.k8s.io/v1, command: %s, interactiveMode: Never}",
			 path);
	write_text(path, script);
	bench_begin(&b, STEPS, ARRAY_SIZE(STEPS), user);
	assert_int_equal(request(&b, "GET", NULL).err.kind, ERR_NONE);
	assert_int_equal(fake_count(&b.api, "[Bearer t1]"), 1);
	assert_int_equal(fake_count(&b.api, "[Bearer t2]"), 1);
	bench_end(&b);
	(void)unlink(path);
	(void)unlink(count);
	(void)rmdir(dir);
}

struct observed {
	unsigned n;
	long statuses[4];
};

static void on_request(void *user, const char *method, long status, int64_t duration_us)
{
	struct observed *o = user;

	assert_string_equal(method, "GET");
	assert_true(duration_us >= 0);
	o->statuses[o->n++] = status;
}

static void test_observer_when_requests_finish_then_notified_of_each_try(void **state)
{
	static const struct fake_step STEPS[] = {{.end = FAKE_RESET}, {.status = 200, .body = "{}"}};
	struct observed observed = {0};
	struct bench b;

	UNUSED(state);
	bench_begin(&b, STEPS, ARRAY_SIZE(STEPS), "");
	kube_on_request(b.kube, on_request, &observed);
	(void)request(&b, "GET", NULL);
	assert_int_equal(observed.n, 2);
	assert_int_equal(observed.statuses[0], 0);
	assert_int_equal(observed.statuses[1], 200);
	bench_end(&b);
}

/* --- The loop --------------------------------------------------------------------------------------------------------
 */
struct ticking {
	struct kube *kube;
	struct strbuf said;
	struct kube_timer *victim;
};

static void say_a(void *user)
{
	strbuf_addc(&((struct ticking *)user)->said, 'a');
}

static void say_b_and_cancel(void *user)
{
	struct ticking *t = user;

	strbuf_addc(&t->said, 'b');
	kube_timer_cancel(t->victim);
	(void)kube_timer_start(t->kube, 0, say_a, t);
}

static void test_timers_when_due_then_in_order_and_not_when_cancelled(void **state)
{
	struct ticking t = {0};
	struct bench b;
	int64_t now_ms = clock_now_ms();

	UNUSED(state);
	bench_begin(&b, NULL, 0, "");
	strbuf_init(&t.said, 100);
	t.kube = b.kube;
	(void)kube_timer_start(b.kube, now_ms + 200, say_a, &t);
	(void)kube_timer_start(b.kube, now_ms + 100, say_b_and_cancel, &t);
	t.victim = kube_timer_start(b.kube, now_ms + 150, say_a, &t);
	FAKE_FOR(b.kube, 5);
	assert_string_equal(t.said.data, "");
	FAKE_FOR(b.kube, 300);
	assert_string_equal(t.said.data, "baa");
	(void)kube_timer_start(b.kube, now_ms + 100000, say_a, &t);
	bench_end(&b);
	strbuf_release(&t.said);
}

static void test_poll_when_the_callers_descriptor_is_ready_then_it_returns(void **state)
{
	struct bench b;
	struct curl_waitfd fd = {.events = CURL_WAIT_POLLIN};
	int64_t start_ms = clock_now_ms();
	struct err err;
	int pipe_fds[2];

	UNUSED(state);
	bench_begin(&b, NULL, 0, "");
	assert_int_equal(pipe(pipe_fds), 0);
	fd.fd = pipe_fds[0];
	assert_int_equal(write(pipe_fds[1], "x", 1), 1);
	assert_int_equal(kube_poll(b.kube, &fd, 1, -1, &err), 0);
	assert_true(fd.revents & CURL_WAIT_POLLIN);
	assert_true(clock_now_ms() - start_ms < 2000);
	(void)close(pipe_fds[0]);
	(void)close(pipe_fds[1]);
	bench_end(&b);
}

/* --- Events ----------------------------------------------------------------------------------------------------------
 */
static json_t *pgsync(const char *name)
{
	return json_pack("{s:s, s:s, s:{s:s, s:s, s:s, s:s}, s:{}}", "apiVersion", "pgsync.io/v1alpha1", "kind",
			 "PgSync", "metadata", "name", name, "namespace", "shop", "uid", "u-1", "resourceVersion", "7",
			 "spec");
}

/* The body of the n-th request, from 0; a new reference. */
static json_t *nth_body(struct fake_api *api, unsigned n)
{
	const char *line = api->log.data, *body;

	while (n--)
		line = strchr(line, '\n') + 1;
	body = strstr(line, "] {");
	return json_loadb(body + 2, strcspn(body + 2, "\n"), 0, NULL);
}

static void test_event_when_recorded_then_complete(void **state)
{
	static const struct fake_step STEPS[] = {{.status = 201, .body = "{}"}};
	_cleanup_json_ json_t *regarding = pgsync("books"), *body = NULL;
	_cleanup_(kube_events_freep) struct kube_events *events = NULL;
	struct bench b;

	UNUSED(state);
	bench_begin(&b, STEPS, ARRAY_SIZE(STEPS), "");
	events = kube_events_new(b.kube, "pgsync.io/operator", "operator-1");
	kube_event(events, regarding, true, "SlotLost", "Resync", "slot %s is gone", "books");
	FAKE_UNTIL(b.kube, fake_taken(&b.api) == 1);
	FAKE_FOR(b.kube, 20);
	assert_int_equal(fake_count(&b.api, "POST /apis/events.k8s.io/v1/namespaces/shop/events "), 1);
	body = nth_body(&b.api, 0);
	assert_string_equal(jsonx_string(body, "type", ""), "Warning");
	assert_string_equal(jsonx_string(body, "reason", ""), "SlotLost");
	assert_string_equal(jsonx_string(body, "action", ""), "Resync");
	assert_string_equal(jsonx_string(body, "note", ""), "slot books is gone");
	assert_string_equal(jsonx_string(body, "reportingController", ""), "pgsync.io/operator");
	assert_string_equal(jsonx_string(body, "reportingInstance", ""), "operator-1");
	assert_string_equal(jsonx_string(body, "regarding.kind", ""), "PgSync");
	assert_string_equal(jsonx_string(body, "regarding.uid", ""), "u-1");
	assert_string_equal(jsonx_string(body, "metadata.namespace", ""), "shop");
	assert_ptr_equal(strstr(jsonx_string(body, "metadata.name", ""), "books."),
			 jsonx_string(body, "metadata.name", ""));
	assert_int_equal(strlen(jsonx_string(body, "eventTime", "")), strlen("2006-01-02T15:04:05.000000Z"));
	kube_events_free(TAKE_PTR(events));
	bench_end(&b);
}

/* The second event begins a series; later ones are written when the series is over. */
static void test_event_when_the_name_of_its_object_is_cut_then_the_server_takes_its_own(void **state)
{
	static const struct fake_step STEPS[] = {{.status = 201, .body = "{}"}};
	char name[254];
	_cleanup_(kube_events_freep) struct kube_events *events = NULL;
	_cleanup_json_ json_t *regarding = NULL, *body = NULL;
	const char *given, *dot;
	struct bench b;

	UNUSED(state);
	memset(name, 'a', sizeof(name) - 1);
	memset(name + 100, '-', 100);
	name[200] = '.';
	memset(name + 201, '-', 50);
	name[253] = '\0';
	regarding = pgsync(name);
	bench_begin(&b, STEPS, ARRAY_SIZE(STEPS), "");
	events = kube_events_new(b.kube, "pgsync.io/operator", "operator-1");
	kube_event(events, regarding, true, "InvalidSpec", "Check", "the name is too long");
	FAKE_UNTIL(b.kube, fake_taken(&b.api) == 1);
	FAKE_FOR(b.kube, 20);
	body = nth_body(&b.api, 0);
	given = jsonx_string(body, "metadata.name", "");
	dot = strrchr(given, '.');
	assert_non_null(dot);
	assert_int_equal(dot - given, 100);
	assert_memory_equal(given, name, 100);
	kube_events_free(TAKE_PTR(events));
	bench_end(&b);
}

static void test_event_when_it_repeats_then_a_series(void **state)
{
	static const struct fake_step STEPS[] = {
		{.status = 201, .body = "{}"}, {.status = 200, .body = "{}"}, {.status = 200, .body = "{}"}};
	_cleanup_json_ json_t *regarding = pgsync("books"), *second = NULL, *third = NULL;
	_cleanup_(kube_events_freep) struct kube_events *events = NULL;
	struct bench b;

	UNUSED(state);
	bench_begin(&b, STEPS, ARRAY_SIZE(STEPS), "");
	b.kube->tuning.series_idle_ms = 1000;
	events = kube_events_new(b.kube, "c", "i");
	kube_event(events, regarding, false, "Started", "Start", "for the first time");
	FAKE_UNTIL(b.kube, fake_taken(&b.api) == 1);
	FAKE_FOR(b.kube, 20);
	kube_event(events, regarding, false, "Started", "Start", "for the second time");
	FAKE_UNTIL(b.kube, fake_taken(&b.api) == 2);
	FAKE_FOR(b.kube, 20);
	for (int i = 0; i < 5; i++)
		kube_event(events, regarding, false, "Started", "Start", "again");
	FAKE_FOR(b.kube, 50);
	assert_int_equal(fake_taken(&b.api), 2);
	FAKE_UNTIL(b.kube, fake_taken(&b.api) == 3);
	assert_int_equal(fake_count(&b.api, "PATCH /apis/events.k8s.io/v1/namespaces/shop/events/books."), 2);
	assert_int_equal(fake_count(&b.api, "[application/merge-patch+json]"), 2);
	second = nth_body(&b.api, 1);
	third = nth_body(&b.api, 2);
	assert_int_equal(jsonx_integer(second, "series.count", 0), 2);
	assert_int_equal(jsonx_integer(third, "series.count", 0), 7);
	assert_int_equal(json_object_size(third), 1);
	/* Then it is forgotten: the next is a separate event. */
	FAKE_FOR(b.kube, 500);
	kube_event(events, regarding, false, "Started", "Start", "again");
	FAKE_UNTIL(b.kube, fake_count(&b.api, "POST") == 2);
	kube_events_free(TAKE_PTR(events));
	bench_end(&b);
}

static void test_event_when_the_server_forgot_it_then_created_again_with_its_count(void **state)
{
	static const struct fake_step STEPS[] = {{.status = 201, .body = "{}"},
						 {.status = 404, .body = STATUS("404", "NotFound")},
						 {.status = 201, .body = "{}"}};
	_cleanup_json_ json_t *regarding = pgsync("books"), *body = NULL;
	_cleanup_(kube_events_freep) struct kube_events *events = NULL;
	struct bench b;

	UNUSED(state);
	bench_begin(&b, STEPS, ARRAY_SIZE(STEPS), "");
	events = kube_events_new(b.kube, "c", "i");
	kube_event(events, regarding, false, "Started", "Start", "x");
	kube_event(events, regarding, false, "Started", "Start", "x");
	FAKE_UNTIL(b.kube, fake_taken(&b.api) == 3);
	body = nth_body(&b.api, 2);
	assert_int_equal(fake_count(&b.api, "POST"), 2);
	assert_int_equal(jsonx_integer(body, "series.count", 0), 2);
	kube_events_free(TAKE_PTR(events));
	bench_end(&b);
}

static void test_event_when_it_may_be_recorded_later_then_repeated_but_not_when_invalid(void **state)
{
	static const struct fake_step STEPS[] = {{.end = FAKE_RESET},
						 {.status = 500, .body = STATUS("500", "InternalError")},
						 {.status = 429, .body = STATUS("429", "TooManyRequests")},
						 {.status = 403, .body = STATUS("403", "Forbidden")},
						 {.status = 201, .body = "{}"},
						 {.status = 422, .body = STATUS("422", "Invalid")}};
	_cleanup_json_ json_t *regarding = pgsync("books");
	_cleanup_(kube_events_freep) struct kube_events *events = NULL;
	struct bench b;

	UNUSED(state);
	bench_begin(&b, STEPS, ARRAY_SIZE(STEPS), "");
	events = kube_events_new(b.kube, "c", "i");
	kube_event(events, regarding, false, "Started", "Start", "x");
	FAKE_UNTIL(b.kube, fake_taken(&b.api) == 5);
	kube_event(events, regarding, false, "Stopped", "Stop", "x");
	FAKE_UNTIL(b.kube, fake_taken(&b.api) == 6);
	FAKE_FOR(b.kube, 100);
	assert_int_equal(fake_count(&b.api, "\"reason\":\"Started\""), 5);
	assert_int_equal(fake_count(&b.api, "\"reason\":\"Stopped\""), 1);
	kube_events_free(TAKE_PTR(events));
	bench_end(&b);
}

/* Every event is forbidden until there are more than are remembered. The oldest is lost, not the newest. */
static void test_event_when_too_many_wait_to_be_recorded_then_the_oldest_is_forgotten(void **state)
{
	enum { REMEMBERED = 1000 };
	_cleanup_free_ struct fake_step *steps = xcalloc(2 * REMEMBERED, sizeof(*steps));
	_cleanup_(kube_events_freep) struct kube_events *events = NULL;
	struct bench b;

	UNUSED(state);
	for (size_t i = 0; i < 2 * REMEMBERED; i++)
		steps[i] = i < REMEMBERED ? (struct fake_step){.status = 403, .body = STATUS("403", "Forbidden")}
					  : (struct fake_step){.status = 201, .body = "{}"};
	bench_begin(&b, steps, 2 * REMEMBERED, "");
	b.kube->tuning.event_retry_ms = 60 * 1000;
	events = kube_events_new(b.kube, "c", "i");
	for (int i = 0; i < REMEMBERED; i++) {
		_cleanup_free_ char *name = xasprintf("books-%d", i);
		_cleanup_json_ json_t *regarding = pgsync(name);

		kube_event(events, regarding, false, "Started", "Start", "x");
		if (i == 0)
			FAKE_FOR(b.kube, 10);
	}
	FAKE_UNTIL(b.kube, fake_taken(&b.api) == REMEMBERED);
	FAKE_FOR(b.kube, 50);
	for (int i = 0; i < 2; i++) {
		_cleanup_json_ json_t *regarding = pgsync(i == 0 ? "newest" : "books-0");

		kube_event(events, regarding, false, "Started", "Start", "x");
	}
	FAKE_UNTIL(b.kube, fake_taken(&b.api) == REMEMBERED + 2);
	assert_int_equal(fake_count(&b.api, "\"name\":\"newest\""), 1);
	/* It is forgotten: this is not a repetition of the one that waits. */
	assert_int_equal(fake_count(&b.api, "\"name\":\"books-0\""), 2);
	kube_events_free(TAKE_PTR(events));
	bench_end(&b);
}

static void test_event_when_an_object_has_too_many_then_the_rest_is_dropped(void **state)
{
	enum { BURST = 25, MANY = 40 };
	struct fake_step steps[MANY * 2];
	_cleanup_json_ json_t *loud = pgsync("loud"), *quiet = pgsync("quiet");
	_cleanup_(kube_events_freep) struct kube_events *events = NULL;
	struct bench b;

	UNUSED(state);
	for (size_t i = 0; i < ARRAY_SIZE(steps); i++)
		steps[i] = (struct fake_step){.status = 201, .body = "{}"};
	bench_begin(&b, steps, ARRAY_SIZE(steps), "");
	events = kube_events_new(b.kube, "c", "i");
	for (int i = 0; i < MANY; i++) {
		_cleanup_free_ char *reason = xasprintf("Reason%d", i);

		kube_event(events, loud, false, reason, "Act", "x");
	}
	kube_event(events, quiet, false, "Reason", "Act", "x");
	FAKE_UNTIL(b.kube, fake_count(&b.api, "\"name\":\"quiet\"") == 1);
	FAKE_FOR(b.kube, 50);
	assert_int_equal(fake_count(&b.api, "POST"), BURST + 1);
	kube_events_free(TAKE_PTR(events));
	bench_end(&b);
}

static void test_event_when_its_text_is_long_or_broken_then_still_recorded(void **state)
{
	static const struct fake_step STEPS[] = {{.status = 201, .body = "{}"}, {.status = 201, .body = "{}"}};
	_cleanup_json_ json_t *regarding = pgsync("books"), *first = NULL, *second = NULL;
	_cleanup_(kube_events_freep) struct kube_events *events = NULL;
	char note[3001], reason[300];
	struct bench b;

	UNUSED(state);
	/* Three bytes each, so that 1024 bytes end within one. */
	for (size_t i = 0; i < sizeof(note) - 1; i++)
		note[i] = "\xE2\x82\xAC"[i % 3];
	note[sizeof(note) - 1] = '\0';
	memset(reason, 'R', sizeof(reason) - 1);
	reason[sizeof(reason) - 1] = '\0';
	bench_begin(&b, STEPS, ARRAY_SIZE(STEPS), "");
	events = kube_events_new(b.kube, "c", "i");
	kube_event(events, regarding, false, reason, "Act", "%s", note);
	FAKE_UNTIL(b.kube, fake_taken(&b.api) == 1);
	kube_event(events, regarding, false, "Broken", "Act", "%s", "caf\xC3");
	FAKE_UNTIL(b.kube, fake_taken(&b.api) == 2);
	first = nth_body(&b.api, 0);
	second = nth_body(&b.api, 1);
	assert_int_equal(strlen(jsonx_string(first, "note", "")), 1023);
	assert_int_equal(strlen(jsonx_string(first, "reason", "")), 128);
	assert_non_null(second);
	kube_events_free(TAKE_PTR(events));
	bench_end(&b);
}

static void test_path_when_a_part_has_special_characters_then_it_stays_one_part(void **state)
{
	static const struct {
		const char *part, *want;
	} rows[] = {
		{"books", "/api/books/x"},           {"a/b", "/api/a%2Fb/x"},  {"100%", "/api/100%25/x"},
		{"a?b=c&d", "/api/a%3Fb%3Dc%26d/x"}, {"a#b", "/api/a%23b/x"},  {"a b", "/api/a%20b/x"},
		{"\xc3\xa9", "/api/%C3%A9/x"},       {"a\nb", "/api/a%0Ab/x"},
	};

	UNUSED(state);
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		_cleanup_free_ char *path = kube_path("api", rows[i].part, "x", NULL);

		assert_string_equal(path, rows[i].want);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_path_when_a_part_has_special_characters_then_it_stays_one_part),
		cmocka_unit_test(test_request_when_answered_then_the_object),
		cmocka_unit_test(test_stream_then_every_piece_and_how_it_ended),
		cmocka_unit_test(test_stream_when_stopped_then_nothing_is_called_any_more),
		cmocka_unit_test(test_request_when_refused_then_kind_and_code_by_the_reason),
		cmocka_unit_test(test_request_when_asked_to_retry_then_repeated_whatever_the_method),
		cmocka_unit_test(test_request_when_the_wait_is_longer_than_its_time_then_the_error_says_how_long),
		cmocka_unit_test(test_request_when_the_connection_is_lost_then_only_a_get_is_repeated),
		cmocka_unit_test(test_request_when_nothing_comes_then_timeout),
		cmocka_unit_test(test_cancel_when_under_way_then_done_is_never_called),
		cmocka_unit_test(test_cancel_when_a_retry_is_due_too_then_nothing_is_sent),
		cmocka_unit_test(test_apply_when_called_then_forced_and_under_our_name),
		cmocka_unit_test(test_request_when_401_then_the_token_file_is_read_again),
		cmocka_unit_test(test_request_when_401_then_the_credential_plugin_is_asked_again),
		cmocka_unit_test(test_observer_when_requests_finish_then_notified_of_each_try),
		cmocka_unit_test(test_timers_when_due_then_in_order_and_not_when_cancelled),
		cmocka_unit_test(test_poll_when_the_callers_descriptor_is_ready_then_it_returns),
		cmocka_unit_test(test_event_when_recorded_then_complete),
		cmocka_unit_test(test_event_when_the_name_of_its_object_is_cut_then_the_server_takes_its_own),
		cmocka_unit_test(test_event_when_it_repeats_then_a_series),
		cmocka_unit_test(test_event_when_the_server_forgot_it_then_created_again_with_its_count),
		cmocka_unit_test(test_event_when_it_may_be_recorded_later_then_repeated_but_not_when_invalid),
		cmocka_unit_test(test_event_when_too_many_wait_to_be_recorded_then_the_oldest_is_forgotten),
		cmocka_unit_test(test_event_when_an_object_has_too_many_then_the_rest_is_dropped),
		cmocka_unit_test(test_event_when_its_text_is_long_or_broken_then_still_recorded),
	};

	return cmocka_run_group_tests_name("kube", tests, NULL, NULL);
}
