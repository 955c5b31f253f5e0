/* Tests of how inputs are verified, with shell scripts as verifiers, and of what a step of the loop costs. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "fakes/cpu.h"
#include "operator/operator_int.h"
#include "operator/script_test.h"

enum { PATIENCE_MS = 10000, RESOURCES = 10, MANY = 30, VERIFIERS = 4, METADATA_BYTES = 1024 * 1024 };

struct fixture {
	struct operator_ op;
	struct resource *resource; /* the first */
	char directory[32], script[64], go[64];
};

static const char object_text[] =
	"{\"metadata\": {\"namespace\": \"shop\", \"name\": \"books\", \"uid\": \"1\", \"generation\": 1},"
	" \"spec\": {\"source\": {\"host\": \"postgres\"}, \"sink\": {\"urls\": [\"http://search:9200\"]}}}";

static void free_resource(void *ptr)
{
	resource_free(ptr);
}

static struct resource *add_resource(struct fixture *f, const char *key)
{
	struct resource *r = resource_new(&f->op, key);

	map_puts(f->op.resources, key, r);
	return r;
}

static int setup(void **state)
{
	static const char *const of_queue[] = {"name", NULL};
	struct fixture *f = xcalloc(1, sizeof(*f));
	const char *argv[] = {f->script, NULL};

	(void)signal(SIGPIPE, SIG_IGN);
	(void)snprintf(f->directory, sizeof(f->directory), "/tmp/verify-XXXXXX");
	if (!mkdtemp(f->directory))
		return -1;
	(void)snprintf(f->script, sizeof(f->script), "%s/worker", f->directory);
	(void)snprintf(f->go, sizeof(f->go), "%s/go", f->directory);
	f->op.published.metrics = metrics_new();
	f->op.metrics.queue_adds = metrics_counter(f->op.published.metrics, "adds", "Test.", of_queue);
	f->op.queue = workqueue_new(5, 1000, UINT_MAX);
	f->op.refs = refs_new(NULL, NULL, NULL, NULL);
	f->op.resources = map_new(free_resource);
	f->op.supervisor = supervisor_new(argv);
	f->resource = add_resource(f, "shop/books");
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	supervisor_free(f->op.supervisor);
	map_free(f->op.resources);
	map_free(f->op.tickets);
	refs_free(f->op.refs);
	workqueue_free(f->op.queue);
	metrics_free(f->op.published.metrics);
	(void)unlink(f->script);
	(void)unlink(f->go);
	(void)rmdir(f->directory);
	free(f);
	return 0;
}

/* What verifiers do: they have read $line, and $go is a file that does not exist yet. */
static void write_script(const struct fixture *f, const char *body)
{
	_cleanup_free_ char *go = xasprintf("go=%s", f->go);

	script_write(f->script, go, body);
}

static void let_go(const struct fixture *f)
{
	assert_int_equal(close(open(f->go, O_WRONLY | O_CREAT | O_CLOEXEC, 0600)), 0);
}

static void see(struct resource *r, int64_t generation)
{
	_cleanup_json_ json_t *object = json_loads(object_text, 0, NULL);

	(void)json_object_set_new(json_object_get(object, "metadata"), "generation", json_integer(generation));
	(void)resource_update(r, object);
}

/* As the loop does it: a stale resource is handled when its key is ready. */
static void turn(struct fixture *f)
{
	_cleanup_free_ struct pollfd *fds = NULL;
	size_t n = 0, alloc = 0;
	char *key;

	operator_verify_waiting(&f->op);
	while ((key = workqueue_get(f->op.queue, clock_now_ms()))) {
		struct resource *r = map_gets(f->op.resources, key);

		if (r->inputs.stale)
			resource_refresh_inputs(r);
		workqueue_done(f->op.queue, key, clock_now_ms());
		free(key);
	}
	supervisor_poll_fds(f->op.supervisor, &fds, &n, &alloc);
	assert_true(poll(fds, n, 20) >= 0 || errno == EINTR);
	supervisor_dispatch(f->op.supervisor, fds, n, clock_now_ms());
}

static void test_verify_when_a_verdict_comes_then_it_says_what_can_be_done(void **state)
{
	static const struct {
		const char *script;
		enum inputs verdict;
		const char *problem;
	} rows[] = {
		{"echo '{\"verdict\": {\"usable\": \"run\"}}' >&4", INPUTS_VALID, NULL},
		{"echo '{\"verdict\": {\"usable\": \"check\", \"reason\": \"InvalidSchema\", \"problem\": \"p\"}}' >&4",
		 INPUTS_CHECKABLE, "p"},
		{"echo '{\"verdict\": {\"usable\": \"no\", \"reason\": \"InvalidSchema\", \"problem\": \"q\"}}' >&4; "
		 "exit 1",
		 INPUTS_INVALID, "q"},
		{"echo '{\"verdict\": {\"usable\": \"run\"}}' >&4", INPUTS_VALID, NULL},
	};
	struct fixture *f = *state;
	struct resource *r = f->resource;

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		write_script(f, rows[i].script);
		see(r, (int64_t)i + 1);
		resource_refresh_inputs(r);
		assert_int_equal(r->inputs.verdict, INPUTS_UNVERIFIED);
		RUN_UNTIL(f, !r->inputs.verifier);
		assert_int_equal(r->inputs.verdict, rows[i].verdict);
		assert_string_equal(r->inputs.problem ? r->inputs.problem : "", rows[i].problem ? rows[i].problem : "");
		assert_int_equal(r->inputs.reason, rows[i].problem ? REASON_INVALID_SCHEMA : REASON_NONE);
		assert_int_equal(r->inputs.restarts.failures, 0);
	}
}

static void test_verify_when_there_is_no_verdict_then_again_after_a_while(void **state)
{
	struct fixture *f = *state;
	struct resource *r = f->resource;

	write_script(f, "exit 3");
	see(r, 1);
	resource_refresh_inputs(r);
	RUN_UNTIL(f, r->inputs.restarts.failures == 1);
	assert_int_equal(r->inputs.verdict, INPUTS_UNVERIFIED);
	assert_true(r->inputs.restarts.not_before_ms > clock_now_ms());
	assert_non_null(strstr(r->worker.exit_message, "exit code 3"));
	/* Not before it is due, whatever the reason for processing the key. */
	for (int i = 0; i < 3; i++) {
		resource_enqueue(r);
		turn(f);
		assert_null(r->inputs.verifier);
	}
	write_script(f, "echo '{\"verdict\": {\"usable\": \"run\"}}' >&4");
	RUN_UNTIL(f, r->inputs.verdict == INPUTS_VALID);
	assert_int_equal(r->inputs.restarts.failures, 0);
}

static void test_verify_when_the_spec_changes_meanwhile_then_the_old_answer_does_not_count(void **state)
{
	struct fixture *f = *state;
	struct resource *r = f->resource;

	write_script(
		f, "case $line in *'\"generation\":1,'*) while [ ! -e $go ]; do sleep 0.01; done; usable=run;;"
		   " *) usable=no;; esac\n"
		   "echo \"{\\\"verdict\\\": {\\\"usable\\\": \\\"$usable\\\", \\\"problem\\\": \\\"newer\\\"}}\" >&4");
	see(r, 1);
	resource_refresh_inputs(r);
	assert_non_null(r->inputs.verifier);
	let_go(f);
	see(r, 2);
	resource_enqueue(r);
	RUN_UNTIL(f, r->inputs.verdict > INPUTS_UNVERIFIED);
	assert_int_equal(r->inputs.verdict, INPUTS_INVALID);
	assert_string_equal(r->inputs.problem, "newer");
}

/* More of the first resource's namespace, n with it; verifiers wait until let_go. */
static void enqueue_many(struct fixture *f, struct resource **all, size_t n)
{
	write_script(f, "while [ ! -e $go ]; do sleep 0.01; done; echo '{\"verdict\": {\"usable\": \"run\"}}' >&4");
	for (size_t i = 0; i < n; i++) {
		_cleanup_free_ char *key = xasprintf("shop/books%zu", i);

		all[i] = i ? add_resource(f, key) : f->resource;
		see(all[i], 1);
		resource_enqueue(all[i]);
	}
}

static void test_verify_when_there_are_many_then_a_few_at_a_time_and_each_gets_its_turn(void **state)
{
	struct fixture *f = *state;
	struct resource *all[RESOURCES];
	size_t done = 0;

	enqueue_many(f, all, RESOURCES);
	for (int i = 0; i < 5; i++)
		turn(f);
	assert_int_equal(supervisor_count(f->op.supervisor), VERIFIERS);
	let_go(f);
	for (int64_t end_ms = clock_now_ms() + PATIENCE_MS; done < RESOURCES && clock_now_ms() < end_ms;) {
		turn(f);
		assert_true(supervisor_count(f->op.supervisor) <= VERIFIERS);
		done = 0;
		for (size_t i = 0; i < RESOURCES; i++)
			done += all[i]->inputs.verdict == INPUTS_VALID;
	}
	assert_int_equal(done, RESOURCES);
	RUN_UNTIL(f, supervisor_count(f->op.supervisor) == 0);
	assert_int_equal(f->op.verifiers, 0);
}

static void test_verify_when_a_namespace_has_many_then_another_does_not_wait_for_all_of_them(void **state)
{
	struct fixture *f = *state;
	struct resource *all[MANY], *other = add_resource(f, "other/books");
	size_t started = 0;

	enqueue_many(f, all, MANY);
	RUN_UNTIL(f, supervisor_count(f->op.supervisor) == VERIFIERS);
	turn(f);
	see(other, 1);
	resource_enqueue(other);
	turn(f);
	let_go(f);
	RUN_UNTIL(f, other->inputs.verifier || other->inputs.verdict == INPUTS_VALID);
	for (size_t i = 0; i < MANY; i++)
		started += all[i]->inputs.verifier || all[i]->inputs.verdict == INPUTS_VALID;
	/* Those that had begun, and those that begin in the same turn. */
	assert_in_range(started, VERIFIERS, 2 * VERIFIERS);
	for (size_t i = 0; i < MANY; i++)
		RUN_UNTIL(f, all[i]->inputs.verdict == INPUTS_VALID);
	turn(f);
	assert_null(f->op.tickets);
}

/* --- what the loop's steps cost */

static char *schema_of(const char *element)
{
	size_t n = (SCHEMA_BYTES - 2) / (strlen(element) + 1);
	struct strbuf sb;

	strbuf_init(&sb, SCHEMA_BYTES);
	strbuf_addc(&sb, '[');
	for (size_t i = 0; i < n; i++)
		strbuf_addf(&sb, "%s%s", i ? "," : "", element);
	strbuf_addc(&sb, ']');
	return strbuf_detach(&sb);
}

static void take_event(void *user, const char *type, json_t *object)
{
	UNUSED(type);
	(void)resource_update(user, object);
}

static double seconds_to_parse(const char *schema)
{
	double start = thread_seconds();

	json_decref(json_loads(schema, 0, NULL));
	return thread_seconds() - start;
}

/* The steps for one object, from the watch to the process that verifies. */
static void expect_quick(struct fixture *f, const char *element, double limit)
{
	_cleanup_(kube_frames_freep) struct kube_frames *frames = kube_frames_new(8 * 1024 * 1024, OPERATOR_TEXTS);
	_cleanup_free_ char *schema = schema_of(element);
	_cleanup_free_ char *frame =
		xasprintf("{\"type\":\"MODIFIED\",\"object\":{\"metadata\":{\"namespace\":\"shop\","
			  "\"name\":\"books\",\"uid\":\"%p\"},\"spec\":{\"schema\":%s}}}\n",
			  (const void *)element, schema);
	double start = thread_seconds(), update, refresh;
	struct err err;

	assert_int_equal(kube_frames_feed(frames, frame, strlen(frame), take_event, f->resource, &err), 0);
	update = thread_seconds() - start;
	assert_string_equal(f->resource->cache.schema, schema);
	start = thread_seconds();
	resource_refresh_inputs(f->resource);
	refresh = thread_seconds() - start;
	assert_non_null(f->resource->inputs.verifier);
	print_message("%s: update %.1f ms, refresh %.1f ms, limit %.1f ms\n", element, update * 1e3, refresh * 1e3,
		      limit * 1e3);
	assert_true(update < limit);
	assert_true(refresh < limit);
	RUN_UNTIL(f, !f->resource->inputs.verifier);
}

/* A step may take 50 ms. Machines differ, so the unit is the time that this one needs to parse such a schema: 143 ms
 * where the limit was set. */
static void test_steps_when_the_schema_is_the_worst_then_none_takes_long(void **state)
{
	static const char *const elements[] = {"[]",          "{}",
					       "1",           "\"\\\"\\\"\\\"\\\"\\\"\\\"\\\"\\\"\"",
					       "{\"key\":1}", "\"a longer text without anything special\""};
	_cleanup_free_ char *worst = schema_of("[]");
	double limit = SLOWDOWN * seconds_to_parse(worst) * 50 / 143;
	struct fixture *f = *state;

	write_script(f, "echo '{\"verdict\": {\"usable\": \"run\"}}' >&4");
	for (size_t i = 0; i < ARRAY_SIZE(elements); i++)
		expect_quick(f, elements[i], limit);
}

static void expect_quick_update(struct fixture *f, const char *field, const char *value, double limit)
{
	_cleanup_(kube_frames_freep) struct kube_frames *frames = kube_frames_new(8 * 1024 * 1024, OPERATOR_TEXTS);
	_cleanup_free_ char *frame =
		xasprintf("{\"type\":\"MODIFIED\",\"object\":{\"metadata\":{\"%s\":%s,\"namespace\":\"shop\","
			  "\"name\":\"books\",\"uid\":\"%s\"},\"spec\":{}}}\n",
			  field, value, field);
	double start = thread_seconds(), update;
	struct err err;

	assert_int_equal(kube_frames_feed(frames, frame, strlen(frame), take_event, f->resource, &err), 0);
	update = thread_seconds() - start;
	assert_string_equal(f->resource->cache.uid, field);
	print_message("%s: update %.1f ms, limit %.1f ms\n", field, update * 1e3, limit * 1e3);
	assert_true(update < limit);
}

/* The fastest of several: the CPU may be busy with others. */
static void expect_quick_status(struct fixture *f, const char *status, double limit)
{
	enum { TRIES = 3 };
	_cleanup_free_ char *frame =
		xasprintf("{\"type\":\"MODIFIED\",\"object\":{\"metadata\":{\"namespace\":\"shop\",\"name\":\"books\","
			  "\"uid\":\"status\"},\"spec\":{},\"status\":%s}}\n",
			  status);
	double best = limit;
	struct err err;

	for (int i = 0; i < TRIES; i++) {
		_cleanup_(kube_frames_freep) struct kube_frames *frames =
			kube_frames_new(8 * 1024 * 1024, OPERATOR_TEXTS);
		double start = thread_seconds(), update;

		assert_int_equal(kube_frames_feed(frames, frame, strlen(frame), take_event, f->resource, &err), 0);
		update = thread_seconds() - start;
		best = update < best ? update : best;
	}
	print_message("status of %zu bytes: update %.1f ms, limit %.1f ms\n", strlen(status), best * 1e3, limit * 1e3);
	assert_true(best < limit);
}

/* {"0":"", "1":"", ...} or [{},{},...], of 1 MiB: more than the API server takes. */
static char *metadata_of(bool map)
{
	struct strbuf sb;

	strbuf_init(&sb, SCHEMA_BYTES);
	strbuf_adds(&sb, map ? "{\"x\":\"\"" : "[{}");
	for (int i = 0; sb.len < METADATA_BYTES; i++)
		if (map)
			strbuf_addf(&sb, ",\"%d\":\"\"", i);
		else
			strbuf_adds(&sb, ",{}");
	strbuf_addc(&sb, map ? '}' : ']');
	return strbuf_detach(&sb);
}

static void test_steps_when_the_metadata_is_the_worst_then_none_takes_long(void **state)
{
	static const struct {
		const char *field;
		bool map;
	} rows[] = {{"annotations", true},
		    {"labels", true},
		    {"managedFields", false},
		    {"ownerReferences", false},
		    {"finalizers", false}};
	_cleanup_free_ char *worst = schema_of("[]");
	double limit = SLOWDOWN * seconds_to_parse(worst) * 50 / 143;
	struct fixture *f = *state;

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		_cleanup_free_ char *value = metadata_of(rows[i].map);

		expect_quick_update(f, rows[i].field, value, limit);
	}
}

/* What a tenant who may write the status can fill it with: 32 conditions with long messages, and 16 indices. Everything
 * else is pruned by the API server. */
static char *worst_status(const char *character)
{
	enum { CONDITIONS = 32, MESSAGE_CHARACTERS = 32768 };
	struct strbuf sb;

	strbuf_init(&sb, SCHEMA_BYTES);
	strbuf_adds(&sb, "{\"observedGeneration\":1,\"conditions\":[");
	for (int i = 0; i < CONDITIONS; i++) {
		strbuf_addf(&sb, "%s{\"type\":\"%d\",\"status\":\"True\",\"message\":\"", i ? "," : "", i);
		for (int c = 0; c < MESSAGE_CHARACTERS && sb.len < METADATA_BYTES; c++)
			strbuf_adds(&sb, character);
		strbuf_adds(&sb, "\"}");
	}
	strbuf_adds(&sb, "]}");
	return strbuf_detach(&sb);
}

/* About a tenth of a second is accepted: few may write a status, and it is parsed whole. */
static void test_steps_when_the_status_is_the_worst_then_none_takes_long(void **state)
{
	static const char *const characters[] = {"x", "\\\"", "\\u0001", "\xf0\x9f\x92\xa9"};
	_cleanup_free_ char *worst = schema_of("[]");
	double limit = SLOWDOWN * seconds_to_parse(worst) * 120 / 143;
	struct fixture *f = *state;

	for (int leading = 0; leading <= 1; leading++)
		for (size_t i = 0; i < ARRAY_SIZE(characters); i++) {
			_cleanup_free_ char *status = worst_status(characters[i]);

			f->op.leading = leading;
			expect_quick_status(f, status, limit);
		}
}

static void test_annotations_when_they_come_as_text_then_they_are_known(void **state)
{
	struct fixture *f = *state;

	expect_quick_update(f, "annotations", "{\"x\":{\"a\":[\"}\"]}, \"" RECONCILE "\" : \"disabled\"}", 60);
	assert_true(f->resource->cache.frozen);
}

#define WITH_FIXTURE(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
	static const struct CMUnitTest tests[] = {
		WITH_FIXTURE(test_verify_when_a_verdict_comes_then_it_says_what_can_be_done),
		WITH_FIXTURE(test_verify_when_there_is_no_verdict_then_again_after_a_while),
		WITH_FIXTURE(test_verify_when_the_spec_changes_meanwhile_then_the_old_answer_does_not_count),
		WITH_FIXTURE(test_verify_when_there_are_many_then_a_few_at_a_time_and_each_gets_its_turn),
		WITH_FIXTURE(test_verify_when_a_namespace_has_many_then_another_does_not_wait_for_all_of_them),
		WITH_FIXTURE(test_steps_when_the_schema_is_the_worst_then_none_takes_long),
		WITH_FIXTURE(test_steps_when_the_metadata_is_the_worst_then_none_takes_long),
		WITH_FIXTURE(test_steps_when_the_status_is_the_worst_then_none_takes_long),
		WITH_FIXTURE(test_annotations_when_they_come_as_text_then_they_are_known),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
