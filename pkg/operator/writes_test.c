/* Tests of writes to the cluster: when they are sent, held back and cancelled, with a fake API client. */
#include <limits.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/failpoint.h"
#include "operator/operator_int.h"
#include "operator/placement_int.h"

/* --- the client */

struct kube_call {
	kube_done_fn *done; /* NULL: none is in progress */
	void *user;
	char *method, *path, *body;
	enum kube_content content;
	unsigned sent, cancelled;
};

static struct kube_call call;
static char event[64]; /* the reason of the last one */
static char note[512];

struct kube_call *kube_request(struct kube *kube, const struct kube_request *request, kube_done_fn *done, void *user)
{
	UNUSED(kube);
	assert_null(call.done);
	free(call.method);
	free(call.path);
	free(call.body);
	call.method = xstrdup(request->method);
	call.path = xstrdup(request->path);
	call.body = request->body ? jsonx_canonical(request->body) : NULL;
	call.content = request->content;
	call.done = done;
	call.user = user;
	call.sent++;
	return &call;
}

struct kube_call *kube_apply(struct kube *kube, const char *path, const json_t *object, kube_done_fn *done, void *user)
{
	const struct kube_request request = {
		.method = "PATCH", .path = path, .content = KUBE_APPLY_PATCH, .body = object};

	return kube_request(kube, &request, done, user);
}

void kube_cancel(struct kube_call *c)
{
	if (!c)
		return;
	assert_ptr_equal(c, &call);
	assert_non_null(c->done);
	c->done = NULL;
	c->cancelled++;
}

struct kube_timer {
	void (*fn)(void *user);
	void *user;
};

static struct kube_timer timer;

struct kube_timer *kube_timer_start(struct kube *kube, int64_t at_ms, void (*fn)(void *user), void *user)
{
	UNUSED(kube);
	UNUSED(at_ms);
	timer = (struct kube_timer){.fn = fn, .user = user};
	return &timer;
}

void kube_timer_cancel(struct kube_timer *t)
{
	if (t)
		t->fn = NULL;
}

static void fire_timer(void)
{
	void (*fn)(void *user) = timer.fn;

	assert_non_null(fn);
	timer.fn = NULL;
	fn(timer.user);
}

void kube_event(struct kube_events *events, const json_t *regarding, bool warning, const char *reason,
		const char *action, const char *note_fmt, ...)
{
	va_list ap;

	UNUSED(events);
	UNUSED(regarding);
	UNUSED(warning);
	UNUSED(action);
	(void)snprintf(event, sizeof(event), "%s", reason);
	va_start(ap, note_fmt);
	(void)vsnprintf(note, sizeof(note), note_fmt, ap);
	va_end(ap);
}

void kube_on_request(struct kube *kube, void (*fn)(void *user, const char *method, long status, int64_t duration_us),
		     void *user)
{
	UNUSED(kube);
	UNUSED(fn);
	UNUSED(user);
}

static struct {
	struct kube_reflector_handlers handlers;
	void *user;
} watch;

struct kube_reflector *kube_reflect(struct kube *kube, const char *path, const char *label_selector,
				    const struct kube_reflector_handlers *handlers, void *user)
{
	UNUSED(kube);
	UNUSED(path);
	UNUSED(label_selector);
	watch.handlers = *handlers;
	watch.user = user;
	return NULL;
}

void kube_reflector_stop(struct kube_reflector *reflector)
{
	UNUSED(reflector);
}

static void answer(const json_t *object, const struct err *err)
{
	kube_done_fn *done = call.done;

	assert_non_null(done);
	call.done = NULL;
	done(call.user, object, err);
}

/* --- fixture */

struct fixture {
	struct operator_ op;
	struct operator_options options;
	struct resource *resource;
};

static json_t *object_of(const char *version, const char *finalizer)
{
	return json_pack("{s:{s:s, s:s, s:s, s:i, s:s, s:[s]}, s:{}}", "metadata", "namespace", "shop", "name", "books",
			 "uid", "1", "generation", 1, "resourceVersion", version, "finalizers", finalizer, "spec");
}

static int setup(void **state)
{
	struct fixture *f = xcalloc(1, sizeof(*f));
	_cleanup_json_ json_t *object = object_of("10", "example.com/other");

	call = (struct kube_call){0};
	event[0] = note[0] = '\0';
	f->op.options = &f->options;
	f->op.leading = true;
	f->op.queue = workqueue_new(5, 1000, UINT_MAX);
	f->op.resources = map_new(NULL);
	f->op.refs = refs_new(NULL, NULL, NULL, NULL);
	operator_metrics_init(&f->op);
	f->resource = resource_new(&f->op, "shop/books");
	(void)resource_update(f->resource, object);
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	resource_free(f->resource);
	refs_free(f->op.refs);
	map_free(f->op.resources);
	workqueue_free(f->op.queue);
	metrics_free(f->op.published.metrics);
	free(call.method);
	free(call.path);
	free(call.body);
	free(f);
	return 0;
}

/* As the loop does it: a key is processed while its write is under way. */
static void take_key(struct fixture *f)
{
	_cleanup_free_ char *key = NULL;

	resource_enqueue(f->resource);
	key = workqueue_get(f->op.queue, clock_now_ms());
	assert_non_null(key);
}

static void write_status(struct fixture *f, enum reconcile_state state)
{
	take_key(f);
	resource_write_status(f->resource, state);
}

/* --- tests */

static void test_finalizer_when_the_status_was_just_written_then_only_a_version_that_we_saw_vouches_for_it(void **state)
{
	struct fixture *f = *state;
	/* Another controller has added its finalizer meanwhile; the watch has not reported it yet. */
	_cleanup_json_ json_t *newer = object_of("12", "example.com/new");
	_cleanup_json_ json_t *body = NULL;

	write_status(f, STATE_STARTING);
	answer(newer, NULL);
	take_key(f);
	resource_write_finalizer(f->resource, true);
	body = json_loads(call.body, 0, NULL);
	assert_string_equal(jsonx_string(body, "metadata.resourceVersion", ""), "10");
}

/* The watch may report a write before its answer arrives: then the cache already contains what was written. */
static void
test_finalizer_when_the_watch_is_faster_than_the_answer_then_its_failpoint_is_passed_all_the_same(void **state)
{
	static const struct {
		const char *entry, *before, *after;
	} cases[] = {{"finalizer.added=fail", "example.com/other", FINALIZER},
		     {"finalizer.removed=fail", FINALIZER, "example.com/other"}};
	struct fixture *f = *state;

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		_cleanup_json_ json_t *before = object_of("10", cases[i].before);
		_cleanup_json_ json_t *after = object_of("11", cases[i].after);
		int fd = memfd_create("failpoints", MFD_CLOEXEC);
		_cleanup_free_ char *path = xasprintf("/proc/self/fd/%d", fd);
		char passed[64] = "";

		assert_int_equal(setenv("PGSYNC_FAILPOINTS", cases[i].entry, 1), 0);
		assert_int_equal(setenv("PGSYNC_FAILPOINTS_LOG", path, 1), 0);
		failpoint_reset();
		(void)resource_update(f->resource, before);
		take_key(f);
		resource_write_finalizer(f->resource, !strcmp(cases[i].after, FINALIZER));
		(void)resource_update(f->resource, after);
		answer(after, NULL);
		workqueue_done(f->op.queue, "shop/books", clock_now_ms());
		assert_true(pread(fd, passed, sizeof(passed) - 1, 0) > 0);
		assert_memory_equal(passed, cases[i].entry, strlen(cases[i].entry));
		(void)close(fd);
	}
	assert_int_equal(unsetenv("PGSYNC_FAILPOINTS"), 0);
	assert_int_equal(unsetenv("PGSYNC_FAILPOINTS_LOG"), 0);
	failpoint_reset();
}

static void test_status_when_a_write_fails_then_news_do_not_send_it_again_at_once(void **state)
{
	struct fixture *f = *state;
	struct err err;

	write_status(f, STATE_STARTING);
	assert_int_equal(call.sent, 1);
	(void)err_set(&err, ERR_INVALID, "refused");
	answer(NULL, &err);
	/* The state changes, which is written at once otherwise. */
	write_status(f, STATE_SUSPENDED);
	assert_int_equal(call.sent, 1);
	assert_int_equal(f->op.calls, 0);
	assert_true(workqueue_next_ms(f->op.queue) >= 0);
	/* It is due now. */
	f->resource->writer.not_before_ms = clock_now_ms();
	write_status(f, STATE_SUSPENDED);
	assert_int_equal(call.sent, 2);
	answer(NULL, NULL);
	write_status(f, STATE_STARTING);
	assert_int_equal(call.sent, 3);
}

static void test_write_when_it_takes_long_then_another_may_begin(void **state)
{
	struct fixture *f = *state;
	struct err err;

	f->options.max_concurrent_reconciles = 1;
	assert_true(operator_may_write(&f->op));
	write_status(f, STATE_STARTING);
	assert_false(operator_may_write(&f->op));
	fire_timer();
	assert_true(operator_may_write(&f->op));
	/* There is a limit: beyond it, the API server as a whole is slow. */
	f->op.calls += 63;
	f->op.slow_calls += 63;
	assert_false(operator_may_write(&f->op));
	f->op.calls -= 63;
	f->op.slow_calls -= 63;
	(void)err_set(&err, ERR_TRANSIENT, "timed out");
	answer(NULL, &err);
	assert_int_equal(f->op.calls, 0);
	assert_int_equal(f->op.slow_calls, 0);
	/* The next one counts again, and is not slow when it is answered at once. */
	f->resource->writer.not_before_ms = 0;
	write_status(f, STATE_SUSPENDED);
	assert_false(operator_may_write(&f->op));
	answer(NULL, NULL);
	assert_null(timer.fn);
	assert_int_equal(f->op.slow_calls, 0);
}

static void test_cancel_when_a_write_is_under_way_then_it_is_as_if_it_had_not_begun(void **state)
{
	struct fixture *f = *state;
	_cleanup_free_ char *key = NULL;

	resource_cancel_write(f->resource);
	assert_int_equal(call.cancelled, 0);
	write_status(f, STATE_STARTING);
	assert_int_equal(f->op.calls, 1);
	resource_cancel_write(f->resource);
	assert_int_equal(call.cancelled, 1);
	assert_int_equal(f->op.calls, 0);
	assert_null(f->resource->writer.status);
	/* The key is free for the next leadership. */
	resource_enqueue(f->resource);
	key = workqueue_get(f->op.queue, clock_now_ms());
	assert_non_null(key);
	resource_write_status(f->resource, STATE_STARTING);
	assert_int_equal(call.sent, 2);
	answer(NULL, NULL);
	assert_non_null(f->resource->writer.status);
}

/* --- two operators */

#define THEIRS "far/pgsync-operator"

static json_t *lease_of(const char *holder, int seconds)
{
	return json_pack("{s:{s:s, s:i}}", "spec", "holderIdentity", holder, "leaseDurationSeconds", seconds);
}

/* The status names the Lease of another operator. */
static void claim_for_others(struct fixture *f)
{
	static char ours[] = "near/pgsync-operator";
	_cleanup_json_ json_t *object = object_of("11", FINALIZER);

	(void)json_object_set_new(object, "status", json_pack("{s:{s:s}}", "operator", "lease", THEIRS));
	f->op.lease_name = ours;
	f->op.peers = peers_new();
	map_puts(f->op.resources, "shop/books", f->resource);
	assert_true(resource_update(f->resource, object));
}

static void test_peer_when_its_lease_is_held_then_it_is_alive_and_asked_again_while_it_is_named(void **state)
{
	struct fixture *f = *state;
	_cleanup_json_ json_t *held = lease_of("pod", 15);
	_cleanup_json_ json_t *released = lease_of("", 1);

	claim_for_others(f);
	assert_int_equal(operator_peer(&f->op, ""), PEER_NONE);
	assert_int_equal(operator_peer(&f->op, "near/pgsync-operator"), PEER_NONE);
	assert_int_equal(call.sent, 0);
	assert_int_equal(operator_peer(&f->op, THEIRS), PEER_UNCLEAR);
	assert_int_equal(operator_peer(&f->op, THEIRS), PEER_UNCLEAR);
	assert_int_equal(call.sent, 1);
	answer(held, NULL);
	assert_int_equal(operator_peer(&f->op, THEIRS), PEER_ALIVE);
	assert_int_equal(operator_peer(&f->op, THEIRS " 2026-01-02T03:04:05Z"), PEER_ALIVE);
	assert_true(workqueue_depth(f->op.queue) > 0);
	fire_timer();
	assert_int_equal(call.sent, 2);
	assert_int_equal(operator_peer(&f->op, THEIRS), PEER_ALIVE);
	answer(released, NULL);
	assert_int_equal(operator_peer(&f->op, THEIRS), PEER_GONE);
	/* Not asked for a while, and no resource asks. */
	assert_int_equal(call.sent, 2);
	assert_null(timer.fn);
	map_free(TAKE_PTR(f->op.peers));
}

static void test_peer_when_its_lease_expired_is_gone_or_is_not_for_us_then_it_is_gone(void **state)
{
	static const struct {
		bool there;
		enum err_kind kind;
		enum peer_state expected;
	} rows[] = {{true, ERR_NONE, PEER_GONE},
		    {false, ERR_NOT_FOUND, PEER_GONE},
		    {false, ERR_DENIED, PEER_GONE},
		    {false, ERR_TRANSIENT, PEER_UNCLEAR}};
	struct fixture *f = *state;
	_cleanup_json_ json_t *expired = lease_of("pod", 0);
	struct err err;

	claim_for_others(f);
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		map_free(f->op.peers);
		f->op.peers = peers_new();
		assert_int_equal(operator_peer(&f->op, THEIRS), PEER_UNCLEAR);
		(void)err_set(&err, rows[i].kind, "no");
		answer(rows[i].there ? expired : NULL, rows[i].there ? NULL : &err);
		assert_int_equal(operator_peer(&f->op, THEIRS), rows[i].expected);
	}
	map_free(TAKE_PTR(f->op.peers));
}

static void test_peer_when_nothing_names_it_any_more_then_it_is_forgotten(void **state)
{
	struct fixture *f = *state;
	_cleanup_json_ json_t *held = lease_of("pod", 15);
	_cleanup_json_ json_t *object = object_of("12", FINALIZER);

	claim_for_others(f);
	(void)operator_peer(&f->op, THEIRS);
	answer(held, NULL);
	(void)resource_update(f->resource, object);
	fire_timer();
	assert_int_equal(call.sent, 1);
	assert_int_equal(map_size(f->op.peers), 0);
	map_free(TAKE_PTR(f->op.peers));
}

static void test_peer_when_it_was_gone_and_is_named_again_then_it_is_asked_at_once(void **state)
{
	struct fixture *f = *state;
	_cleanup_json_ json_t *held = lease_of("pod", 15);
	_cleanup_json_ json_t *released = lease_of("", 1);
	_cleanup_json_ json_t *object = object_of("12", FINALIZER);

	claim_for_others(f);
	(void)operator_peer(&f->op, THEIRS);
	answer(released, NULL);
	assert_int_equal(operator_peer(&f->op, THEIRS), PEER_GONE);
	/* We have taken over, and it says that it is back. */
	(void)json_object_set_new(object, "status",
				  json_pack("{s:{s:s}}", "operator", "lease", "near/pgsync-operator"));
	(void)json_object_set_new(json_object_get(object, "metadata"), "annotations",
				  json_pack("{s:s}", CONTENDER, THEIRS " 2026-01-02T03:04:05Z"));
	assert_true(resource_update(f->resource, object));
	assert_int_equal(call.sent, 2);
	answer(held, NULL);
	assert_int_equal(operator_peer(&f->op, f->resource->cache.contender), PEER_ALIVE);
	/* The same again is no news. */
	assert_false(resource_update(f->resource, object));
	assert_int_equal(call.sent, 2);
	map_free(TAKE_PTR(f->op.peers));
}

static void test_contend_then_an_event_and_an_annotation_once(void **state)
{
	struct fixture *f = *state;
	_cleanup_json_ json_t *body = NULL;
	const char *value;

	claim_for_others(f);
	take_key(f);
	resource_contend(f->resource);
	assert_string_equal(event, "OtherOperator");
	assert_non_null(strstr(note, THEIRS));
	body = json_loads(call.body, 0, NULL);
	value = json_string_value(json_object_get(jsonx_get(body, "metadata.annotations"), CONTENDER));
	assert_non_null(value);
	assert_memory_equal(value, "near/pgsync-operator ", strlen("near/pgsync-operator "));
	answer(NULL, NULL);
	take_key(f);
	resource_contend(f->resource);
	assert_int_equal(call.sent, 1);
	map_free(TAKE_PTR(f->op.peers));
}

/* Forgets what is waiting in the queue. */
static void drain(struct fixture *f)
{
	int64_t later_ms = clock_now_ms() + 60000;

	for (char *key; (key = workqueue_get(f->op.queue, later_ms)); free(key))
		workqueue_done(f->op.queue, key, later_ms);
}

static void refuse(enum err_kind kind, int code, const char *message)
{
	struct err err;

	(void)err_set(&err, kind, "%s", message);
	err.code = code;
	answer(NULL, &err);
}

static void write_now(struct fixture *f, enum reconcile_state state)
{
	f->resource->writer.not_before_ms = 0;
	write_status(f, state);
}

/* The status as the API server would store it, without a field that its CRD does not have. */
static json_t *stored(const char *lacks)
{
	_cleanup_json_ json_t *body = json_loads(call.body, 0, NULL);
	json_t *status = json_is_array(body) ? json_object_get(json_array_get(body, 1), "value")
					     : json_object_get(body, "status");
	json_t *object = json_pack("{s:O}", "status", status);

	if (lacks)
		(void)json_object_del(json_object_get(object, "status"), lacks);
	return object;
}

static double refusals(const struct fixture *f)
{
	return metric_get(f->op.metrics.writes_refused, (const char *const[]){"shop", "books", NULL});
}

static void test_status_when_apply_refuses_it_then_it_is_replaced_and_the_event_names_the_field(void **state)
{
	struct fixture *f = *state;
	_cleanup_json_ json_t *without = NULL;
	_cleanup_json_ json_t *whole = NULL;

	write_status(f, STATE_STARTING);
	assert_int_equal(call.content, KUBE_APPLY_PATCH);
	refuse(ERR_TRANSIENT, 500, "field not declared in schema");
	write_now(f, STATE_STARTING);
	assert_int_equal(call.content, KUBE_JSON_PATCH);
	without = stored("phase");
	answer(without, NULL);
	assert_string_equal(event, "CRDOutdated");
	assert_non_null(strstr(note, " status.phase;"));
	assert_true(refusals(f) == 0);
	/* As long as the CRD lacks it; then apply is used again. */
	write_now(f, STATE_SUSPENDED);
	assert_int_equal(call.content, KUBE_JSON_PATCH);
	whole = stored(NULL);
	answer(whole, NULL);
	write_now(f, STATE_STARTING);
	assert_int_equal(call.content, KUBE_APPLY_PATCH);
	answer(NULL, NULL);
}

static void test_write_when_it_is_refused_for_good_then_event_and_metric_until_one_succeeds(void **state)
{
	struct fixture *f = *state;

	take_key(f);
	resource_write_finalizer(f->resource, true);
	refuse(ERR_DENIED, 403, "a policy says no");
	assert_string_equal(event, "WriteRefused");
	assert_non_null(strstr(note, "finalizers: a policy says no"));
	assert_true(refusals(f) == 1);
	event[0] = '\0';
	take_key(f);
	resource_write_finalizer(f->resource, true);
	refuse(ERR_DENIED, 403, "a policy says no");
	assert_string_equal(event, "");
	/* What the status reports meanwhile; that it can be written does not end the refusal. */
	write_status(f, STATE_WRITE_REFUSED);
	assert_non_null(strstr(call.body, "a policy says no"));
	answer(NULL, NULL);
	assert_true(refusals(f) == 1);
	take_key(f);
	resource_write_finalizer(f->resource, true);
	answer(NULL, NULL);
	assert_true(refusals(f) == 0);
}

static void test_status_when_another_client_wipes_it_then_it_is_written_again(void **state)
{
	struct fixture *f = *state;
	_cleanup_json_ json_t *ours = NULL;
	_cleanup_json_ json_t *wiped = object_of("12", "example.com/other");

	write_status(f, STATE_STARTING);
	ours = stored(NULL);
	answer(ours, NULL);
	(void)json_object_set(wiped, "status", json_object_get(ours, "status"));
	(void)resource_update(f->resource, wiped);
	assert_int_equal(workqueue_next_ms(f->op.queue), -1);
	(void)json_object_del(wiped, "status");
	(void)resource_update(f->resource, wiped);
	assert_in_range(workqueue_next_ms(f->op.queue), clock_now_ms() + 5000, clock_now_ms() + 30000);
	/* An older status may still be in flight; a check that came too early is repeated. */
	drain(f);
	write_status(f, STATE_STARTING);
	assert_int_equal(call.sent, 1);
	assert_in_range(workqueue_next_ms(f->op.queue), clock_now_ms() + 5000, clock_now_ms() + 30000);
	f->resource->writer.last_ms -= 30000;
	write_status(f, STATE_STARTING);
	assert_int_equal(call.sent, 2);
	answer(ours, NULL);
}

static void report_lag(struct fixture *f, int bytes)
{
	jsonx_decref(f->resource->worker.report);
	f->resource->worker.report =
		json_pack("{s:s, s:{s:s, s:i}}", "phase", "Streaming", "stream", "slotName", "s", "lagBytes", bytes);
}

static void test_status_when_it_is_wiped_while_counters_move_then_it_does_not_wait_for_their_time(void **state)
{
	struct fixture *f = *state;
	_cleanup_json_ json_t *ours = NULL;
	_cleanup_json_ json_t *wiped = object_of("12", "example.com/other");

	report_lag(f, 1);
	write_status(f, STATE_RUNNING);
	ours = stored(NULL);
	answer(ours, NULL);
	report_lag(f, 2);
	(void)resource_update(f->resource, wiped);
	drain(f);
	write_status(f, STATE_RUNNING);
	assert_int_equal(call.sent, 1);
	assert_in_range(workqueue_next_ms(f->op.queue), clock_now_ms() + 5000, clock_now_ms() + 30000);
	jsonx_decref(TAKE_PTR(f->resource->worker.report));
}

static size_t index_series(struct fixture *f)
{
	_cleanup_(strbuf_release) struct strbuf text;
	size_t n = 0;

	strbuf_init(&text, 1024 * 1024);
	metrics_render(f->op.published.metrics, &text);
	assert_true(strbuf_ok(&text));
	for (const char *at = text.data; (at = strstr(at, "\npgsync_index_documents{")); at++)
		n++;
	return n;
}

static void test_metrics_when_a_worker_reports_ever_new_indices_then_the_series_are_bounded(void **state)
{
	struct fixture *f = *state;
	_cleanup_free_ char *long_name = xcalloc(1, 1000);

	(void)memset(long_name, 'x', 999);
	for (int report = 0; report < 50; report++) {
		_cleanup_json_ json_t *indices = json_array();
		_cleanup_json_ json_t *status = json_pack("{s:O}", "indices", indices);

		for (int i = 0; i < 40; i++)
			(void)json_array_append_new(
				indices,
				json_pack("{s:o, s:i}", "name", json_sprintf("i%d-%d", report, i), "documentCount", i));
		operator_metrics_resource(f->resource, status);
		assert_int_equal(index_series(f), 16);
		(void)json_array_clear(indices);
		(void)json_array_append_new(indices, json_pack("{s:s}", "name", long_name));
		(void)json_array_append_new(indices, json_pack("{s:s}", "name", "books"));
		operator_metrics_resource(f->resource, status);
		assert_int_equal(index_series(f), 1);
	}
}

/* --- pods */

enum { POD_OBJECTS = 5 };

/* An object of the name of a pod's. owner: the uid of the PgSync that controls it, or "". */
static json_t *pod_object(const char *annotation, const char *owner)
{
	json_t *object =
		json_pack("{s:{s:s, s:s, s:s, s:i, s:{s:s}, s:{s:s}}}", "metadata", "namespace", "shop", "name",
			  "pgsync-books", "uid", "u-7", "generation", 1, "labels", "app.kubernetes.io/managed-by",
			  "pgsync-operator", "annotations", annotation, "books");

	if (*owner)
		(void)json_object_set_new(json_object_get(object, "metadata"), "ownerReferences",
					  json_pack("[{s:s, s:s, s:s, s:b}]", "kind", "PgSync", "name", "books", "uid",
						    owner, "controller", 1));
	return object;
}

static void begin_pods(struct fixture *f)
{
	_cleanup_json_ json_t *object = object_of("11", FINALIZER);

	(void)json_object_set_new(json_object_get(object, "spec"), "worker", json_pack("{s:s}", "placement", "Pod"));
	f->options = (struct operator_options){.worker_image = "image:1",
					       .deny_egress = "",
					       .log_level = "info",
					       .log_format = "text",
					       .worker_sandbox = "on"};
	f->op.peers = peers_new();
	pods_watch(&f->op);
	watch.handlers.synced(watch.user);
	(void)resource_update(f->resource, object);
}

static void end_pods(struct fixture *f)
{
	pods_release(&f->op);
	map_free(TAKE_PTR(f->op.peers));
}

static void test_pod_when_an_object_of_its_name_is_not_its_own_then_nothing_is_changed(void **state)
{
	struct fixture *f = *state;
	_cleanup_json_ json_t *others = pod_object("example.com/name", "");

	begin_pods(f);
	take_key(f);
	resource_place(f->resource);
	assert_string_equal(call.method, "GET");
	assert_string_equal(call.path, "/api/v1/namespaces/shop/serviceaccounts/pgsync-books");
	answer(others, NULL);
	assert_null(call.done);
	assert_int_equal(call.sent, 1);
	assert_string_equal(event, "WriteRefused");
	assert_non_null(strstr(note, "cannot make the pod: ServiceAccount \"pgsync-books\""));
	assert_non_null(strstr(note, "delete or rename it"));
	end_pods(f);
}

/* That of a PgSync that had the name is deleted with it; that takes a moment. */
static void test_pod_when_an_object_is_that_of_a_pgsync_before_then_tried_again_without_an_event(void **state)
{
	struct fixture *f = *state;
	_cleanup_json_ json_t *before = pod_object(PLACEMENT_NAME, "0");

	begin_pods(f);
	take_key(f);
	resource_place(f->resource);
	answer(before, NULL);
	assert_null(call.done);
	assert_int_equal(call.sent, 1);
	assert_string_equal(event, "");
	end_pods(f);
}

static void place(struct fixture *f, const json_t *found)
{
	take_key(f);
	resource_place(f->resource);
	answer(found, NULL);
}

static void test_pod_when_an_object_of_a_pgsync_before_stays_then_reported_until_no_pod_is_wanted(void **state)
{
	struct fixture *f = *state;
	_cleanup_json_ json_t *before = pod_object(PLACEMENT_NAME, "0");

	begin_pods(f);
	place(f, before);
	assert_true(f->resource->pod.waits_since_ms > 0);
	f->resource->pod.waits_since_ms -= 29 * 1000;
	place(f, before);
	assert_string_equal(event, "");
	assert_true(refusals(f) == 0);
	f->resource->pod.waits_since_ms -= 2 * 1000;
	place(f, before);
	assert_string_equal(event, "WriteRefused");
	assert_non_null(strstr(note, "cannot make the pod: ServiceAccount \"pgsync-books\""));
	assert_non_null(strstr(note, "earlier PgSync"));
	assert_true(refusals(f) == 1);
	resource_nothing_to_write(f->resource);
	assert_true(refusals(f) == 0);
	assert_true(f->resource->pod.waits_since_ms == 0);
	end_pods(f);
}

/* What is not there is created, which fails if it is there by then. The last is the Deployment. */
static void test_pod_when_objects_are_its_own_or_new_then_these_are_applied_and_created(void **state)
{
	struct fixture *f = *state;
	_cleanup_json_ json_t *own = pod_object(PLACEMENT_NAME, "1");
	struct err gone;

	(void)err_set(&gone, ERR_NOT_FOUND, "no");
	begin_pods(f);
	take_key(f);
	resource_place(f->resource);
	for (size_t i = 0; i < POD_OBJECTS; i++) {
		bool is_new = i % 2, creates = is_new && i != POD_OBJECTS - 1;
		_cleanup_json_ json_t *body = NULL;

		assert_string_equal(call.method, "GET");
		answer(is_new ? NULL : own, is_new ? &gone : NULL);
		assert_string_equal(call.method, creates ? "POST" : "PATCH");
		if (creates)
			assert_null(strstr(call.path, "/pgsync-books"));
		else
			assert_non_null(strstr(call.path, "/pgsync-books"));
		body = json_loads(call.body, 0, NULL);
		assert_string_equal(jsonx_string(body, "metadata.uid", ""), is_new ? "" : "u-7");
		answer(own, NULL);
	}
	assert_null(call.done);
	assert_int_equal(call.sent, 2 * POD_OBJECTS);
	end_pods(f);
}

static void test_pod_when_something_else_holds_its_lease_then_it_is_not_alive(void **state)
{
	static const struct {
		const char *owner;
		enum pod_state expected;
	} rows[] = {{"", POD_SILENT}, {"1", POD_ALIVE}, {"0", POD_ALIVE}};
	struct fixture *f = *state;
	_cleanup_json_ json_t *deployment = pod_object(PLACEMENT_NAME, "1");

	begin_pods(f);
	watch.handlers.changed(watch.user, "shop/pgsync-books", deployment);
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		_cleanup_json_ json_t *lease = lease_of("pod", 15);
		_cleanup_json_ json_t *marks = pod_object(PLACEMENT_NAME, rows[i].owner);
		struct observed seen = {0};

		map_free(f->op.peers);
		f->op.peers = peers_new();
		(void)json_object_set(lease, "metadata", json_object_get(marks, "metadata"));
		resource_pod_observe(f->resource, &seen);
		assert_string_equal(call.path, "/apis/coordination.k8s.io/v1/namespaces/shop/leases/pgsync-books");
		answer(lease, NULL);
		resource_pod_observe(f->resource, &seen);
		assert_int_equal(seen.pod, rows[i].expected);
	}
	end_pods(f);
}

static void test_deployment_when_it_is_not_ours_then_it_is_neither_seen_nor_deleted(void **state)
{
	struct fixture *f = *state;
	_cleanup_json_ json_t *others = pod_object("example.com/name", "");
	_cleanup_json_ json_t *before = pod_object(PLACEMENT_NAME, "0");
	_cleanup_json_ json_t *copied = pod_object(PLACEMENT_NAME, "");
	json_t *const not_ours[] = {others, before, copied};
	_cleanup_json_ json_t *own = pod_object(PLACEMENT_NAME, "1");
	_cleanup_json_ json_t *body = NULL;

	begin_pods(f);
	for (size_t i = 0; i < ARRAY_SIZE(not_ours); i++) {
		struct observed seen = {0};

		watch.handlers.changed(watch.user, "shop/pgsync-books", not_ours[i]);
		resource_pod_observe(f->resource, &seen);
		assert_false(seen.pod_exists);
	}
	watch.handlers.changed(watch.user, "shop/pgsync-books", own);
	resource_pod_observe(f->resource, &(struct observed){0});
	answer(NULL, &(struct err){.kind = ERR_NOT_FOUND});
	take_key(f);
	resource_unplace(f->resource);
	assert_string_equal(call.method, "DELETE");
	body = json_loads(call.body, 0, NULL);
	assert_string_equal(jsonx_string(body, "preconditions.uid", ""), "u-7");
	answer(NULL, NULL);
	end_pods(f);
}

#define WITH_FIXTURE(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
	static const struct CMUnitTest tests[] = {
		WITH_FIXTURE(test_metrics_when_a_worker_reports_ever_new_indices_then_the_series_are_bounded),
		WITH_FIXTURE(
			test_finalizer_when_the_status_was_just_written_then_only_a_version_that_we_saw_vouches_for_it),
		WITH_FIXTURE(
			test_finalizer_when_the_watch_is_faster_than_the_answer_then_its_failpoint_is_passed_all_the_same),
		WITH_FIXTURE(test_status_when_a_write_fails_then_news_do_not_send_it_again_at_once),
		WITH_FIXTURE(test_status_when_apply_refuses_it_then_it_is_replaced_and_the_event_names_the_field),
		WITH_FIXTURE(test_write_when_it_is_refused_for_good_then_event_and_metric_until_one_succeeds),
		WITH_FIXTURE(test_status_when_another_client_wipes_it_then_it_is_written_again),
		WITH_FIXTURE(test_status_when_it_is_wiped_while_counters_move_then_it_does_not_wait_for_their_time),
		WITH_FIXTURE(test_write_when_it_takes_long_then_another_may_begin),
		WITH_FIXTURE(test_peer_when_its_lease_is_held_then_it_is_alive_and_asked_again_while_it_is_named),
		WITH_FIXTURE(test_peer_when_its_lease_expired_is_gone_or_is_not_for_us_then_it_is_gone),
		WITH_FIXTURE(test_peer_when_nothing_names_it_any_more_then_it_is_forgotten),
		WITH_FIXTURE(test_peer_when_it_was_gone_and_is_named_again_then_it_is_asked_at_once),
		WITH_FIXTURE(test_contend_then_an_event_and_an_annotation_once),
		WITH_FIXTURE(test_pod_when_an_object_of_its_name_is_not_its_own_then_nothing_is_changed),
		WITH_FIXTURE(test_pod_when_an_object_is_that_of_a_pgsync_before_then_tried_again_without_an_event),
		WITH_FIXTURE(test_pod_when_an_object_of_a_pgsync_before_stays_then_reported_until_no_pod_is_wanted),
		WITH_FIXTURE(test_pod_when_objects_are_its_own_or_new_then_these_are_applied_and_created),
		WITH_FIXTURE(test_pod_when_something_else_holds_its_lease_then_it_is_not_alive),
		WITH_FIXTURE(test_deployment_when_it_is_not_ours_then_it_is_neither_seen_nor_deleted),
		WITH_FIXTURE(test_cancel_when_a_write_is_under_way_then_it_is_as_if_it_had_not_begun),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
