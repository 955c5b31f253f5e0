/* Writes to the cluster: when they are sent, held back and taken back. The API client is the test's own. */
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

/* --- the client */

struct kube_call {
	kube_done_fn *done; /* NULL: none is under way */
	void *user;
	char *body;
	unsigned sent, cancelled;
};

static struct kube_call call;

struct kube_call *kube_request(struct kube *kube, const struct kube_request *request, kube_done_fn *done, void *user)
{
	UNUSED(kube);
	assert_null(call.done);
	free(call.body);
	call.body = jsonx_canonical(request->body);
	call.done = done;
	call.user = user;
	call.sent++;
	return &call;
}

struct kube_call *kube_apply(struct kube *kube, const char *path, const json_t *object, kube_done_fn *done, void *user)
{
	UNUSED(path);
	return kube_request(kube, &(struct kube_request){.body = object}, done, user);
}

void kube_cancel(struct kube_call *c)
{
	assert_ptr_equal(c, &call);
	assert_non_null(c->done);
	c->done = NULL;
	c->cancelled++;
}

void kube_event(struct kube_events *events, const json_t *regarding, bool warning, const char *reason,
		const char *action, const char *note_fmt, ...)
{
	UNUSED(events);
	UNUSED(regarding);
	UNUSED(warning);
	UNUSED(reason);
	UNUSED(action);
	UNUSED(note_fmt);
}

void kube_on_request(struct kube *kube, void (*fn)(void *user, const char *method, long status, int64_t duration_us),
		     void *user)
{
	UNUSED(kube);
	UNUSED(fn);
	UNUSED(user);
}

struct kube_reflector *kube_reflect(struct kube *kube, const char *path, const char *field_selector,
				    const struct kube_reflector_handlers *handlers, void *user)
{
	UNUSED(kube);
	UNUSED(path);
	UNUSED(field_selector);
	UNUSED(handlers);
	UNUSED(user);
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
	f->op.options = &f->options;
	f->op.leading = true;
	f->op.queue = workqueue_new(5, 1000);
	f->op.resources = map_new(NULL);
	f->op.refs = refs_new(NULL, NULL, NULL);
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
	/* Another controller has put its finalizer between; the watch has not told us yet. */
	_cleanup_json_ json_t *newer = object_of("12", "example.com/new");
	_cleanup_json_ json_t *body = NULL;

	write_status(f, STATE_STARTING);
	answer(newer, NULL);
	take_key(f);
	resource_write_finalizer(f->resource, true);
	body = json_loads(call.body, 0, NULL);
	assert_string_equal(jsonx_string(body, "metadata.resourceVersion", ""), "10");
}

/* The watch may tell of a write before its answer does: then the cache says already what was written. */
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
	/* Its time has come. */
	f->resource->writer.not_before_ms = clock_now_ms();
	write_status(f, STATE_SUSPENDED);
	assert_int_equal(call.sent, 2);
	answer(NULL, NULL);
	write_status(f, STATE_STARTING);
	assert_int_equal(call.sent, 3);
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

#define WITH_FIXTURE(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
	static const struct CMUnitTest tests[] = {
		WITH_FIXTURE(
			test_finalizer_when_the_status_was_just_written_then_only_a_version_that_we_saw_vouches_for_it),
		WITH_FIXTURE(
			test_finalizer_when_the_watch_is_faster_than_the_answer_then_its_failpoint_is_passed_all_the_same),
		WITH_FIXTURE(test_status_when_a_write_fails_then_news_do_not_send_it_again_at_once),
		WITH_FIXTURE(test_cancel_when_a_write_is_under_way_then_it_is_as_if_it_had_not_begun),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
