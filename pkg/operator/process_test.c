/* Tests of what a resource's worker gets, and what follows from its messages and its end, with shell scripts as
 * workers. */
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

#include "base/utf8.h"
#include "operator/operator_int.h"
#include "operator/script_test.h"

enum { PATIENCE_MS = 10000 };

/* A cluster with two Secrets, which have more keys than a spec names. */
struct kube_reflector {
	char unused;
};

static const struct kube_reflector_handlers *watcher;
static void *watcher_user;

struct kube_reflector *kube_reflect(struct kube *kube, const char *path, const char *label_selector,
				    const struct kube_reflector_handlers *handlers, void *user)
{
	static struct kube_reflector reflector;

	UNUSED(kube);
	UNUSED(path);
	UNUSED(label_selector);
	watcher = handlers;
	watcher_user = user;
	return &reflector;
}

static void deliver_secrets(void)
{
	_cleanup_json_ json_t *object =
		json_pack("{s:{s:s, s:s, s:s}}", "data", "password", "cHc=", "username", "dQ==", "other", "eA==");

	watcher->changed(watcher_user, "shop/source", object);
	watcher->changed(watcher_user, "shop/sink", object);
}

void kube_reflector_stop(struct kube_reflector *reflector)
{
	UNUSED(reflector);
}

static const char object_text[] =
	"{\"metadata\": {\"namespace\": \"shop\", \"name\": \"books\", \"uid\": \"1\", \"generation\": 1},"
	" \"spec\": {\"source\": {\"host\": \"postgres\", \"database\": \"d\", \"user\": \"u\","
	"   \"passwordSecretRef\": {\"name\": \"source\"}},"
	"  \"sink\": {\"urls\": [\"http://search:9200\"],"
	"   \"authentication\": {\"type\": \"Basic\", \"secretRef\": {\"name\": \"sink\"}}},"
	"  \"schema\": [{\"index\": \"books\", \"nodes\": {\"table\": \"books\"}}]}}";

struct fixture {
	struct operator_ op;
	struct resource *resource;
	json_t *object;
	char directory[32];
	char script[64];
};

static void on_ref_changed(void *user, const struct ref *ref)
{
	UNUSED(user);
	UNUSED(ref);
}

static int setup(void **state)
{
	static const char *const of_queue[] = {"name", NULL};
	static const char *const of_restart[] = {"namespace", "name", "reason", NULL};
	struct fixture *f = xcalloc(1, sizeof(*f));
	struct metrics *m = metrics_new();
	const char *argv[] = {f->script, NULL};

	(void)signal(SIGPIPE, SIG_IGN);
	(void)snprintf(f->directory, sizeof(f->directory), "/tmp/process-XXXXXX");
	if (!mkdtemp(f->directory))
		return -1;
	(void)snprintf(f->script, sizeof(f->script), "%s/worker", f->directory);
	f->op.published.metrics = m;
	f->op.metrics.queue_adds = metrics_counter(m, "adds", "Test.", of_queue);
	f->op.metrics.restarts = metrics_counter(m, "restarts", "Test.", of_restart);
	f->op.short_identity = xstrdup("us/1");
	f->op.queue = workqueue_new(5, 1000, UINT_MAX);
	f->op.refs = refs_new(NULL, NULL, on_ref_changed, NULL);
	f->op.supervisor = supervisor_new(argv);
	f->resource = resource_new(&f->op, "shop/books");
	f->object = json_loads(object_text, 0, NULL);
	*state = f;
	return f->object ? 0 : -1;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	supervisor_free(f->op.supervisor);
	resource_free(f->resource);
	refs_free(f->op.refs);
	workqueue_free(f->op.queue);
	metrics_free(f->op.published.metrics);
	free(f->op.short_identity);
	json_decref(f->object);
	(void)unlink(f->script);
	(void)rmdir(f->directory);
	free(f);
	return 0;
}

static void turn(struct fixture *f)
{
	_cleanup_free_ struct pollfd *fds = NULL;
	size_t n = 0, alloc = 0;

	supervisor_poll_fds(f->op.supervisor, &fds, &n, &alloc);
	assert_true(poll(fds, n, 50) >= 0 || errno == EINTR);
	supervisor_dispatch(f->op.supervisor, fds, n, clock_now_ms());
}

static void start(struct fixture *f, const char *body)
{
	static const char verify[] = "case $line in *'\"task\":\"verify\"'*)\n"
				     "echo '{\"verdict\": {\"usable\": \"run\"}}' >&4; exit 0;; esac";

	script_write(f->script, verify, body);
	(void)resource_update(f->resource, f->object);
	resource_refresh_inputs(f->resource);
	if (f->resource->inputs.verdict == INPUTS_LOADING) {
		deliver_secrets();
		resource_refresh_inputs(f->resource);
	}
	RUN_UNTIL(f, f->resource->inputs.verdict == INPUTS_VALID && !f->resource->inputs.verifier);
	resource_start(f->resource, PROTOCOL_TASK_RUN);
	assert_non_null(f->resource->worker.process);
}

static void test_start_when_secrets_hold_more_than_is_named_then_only_that_is_handed_over(void **state)
{
	struct fixture *f = *state;
	_cleanup_free_ char *secrets = NULL;

	start(f, "printf '{\"report\": %s}\\n' \"$line\" >&4; sleep 5");
	RUN_UNTIL(f, f->resource->worker.report);
	/* The kind of login decides which keys of the sink's Secret are used, so all of them are passed on. */
	secrets = jsonx_canonical(json_object_get(f->resource->worker.report, "secrets"));
	assert_string_equal(secrets,
			    "{\"sink\":{\"password\":\"pw\",\"username\":\"u\"},\"source\":{\"password\":\"pw\"}}");
}

static void test_exit_when_its_last_words_are_long_then_the_status_keeps_what_the_api_takes(void **state)
{
	struct fixture *f = *state;
	const char *message;
	size_t len;

	/* "x" and 600 times two bytes: 1000 is within a character. */
	start(f,
	      "e=$(printf '\\303\\251%.0s' $(seq 600)); printf '{\"report\": {\"conditions\": [{\"type\": \"Ready\", "
	      "\"status\": \"False\", \"reason\": \"SlotLost\", \"message\": \"x%s\"}]}}\\n' \"$e\" >&4; exit 1");
	RUN_UNTIL(f, !f->resource->worker.process);
	message = jsonx_string(f->resource->worker.status, "lastExit.message", "");
	len = strlen(message);
	assert_int_equal(len, 999);
	assert_int_equal(utf8_sequence(message + len - 2, 2), 2);
	assert_string_equal(jsonx_string(f->resource->worker.status, "lastExit.reason", ""), "SlotLost");
	assert_int_equal(jsonx_integer(f->resource->worker.status, "lastExit.exitCode", 0), 1);
	/* The condition has room for all of it. */
	assert_true(strlen(f->resource->worker.exit_message) > 1200);
}

static void test_exit_when_memory_runs_out_then_the_limit_of_the_placement_is_named(void **state)
{
	static const struct operator_options of_agent = {.agent = "shop/books"};
	struct fixture *f = *state;

	start(f, "kill -9 $$");
	RUN_UNTIL(f, !f->resource->worker.process);
	assert_non_null(strstr(f->resource->worker.exit_message, ": raise resources.limits.memory of the chart"));
	f->op.options = &of_agent;
	resource_start(f->resource, PROTOCOL_TASK_RUN);
	RUN_UNTIL(f, !f->resource->worker.process);
	assert_non_null(strstr(f->resource->worker.exit_message, ": raise spec.worker.resources.limits.memory"));
}

static void test_update_when_another_object_has_the_name_then_the_old_ones_worker_ends_unheard(void **state)
{
	struct fixture *f = *state;
	struct resource *r = f->resource;

	start(f, "trap 'echo \"{\\\"report\\\": {\\\"phase\\\": \\\"Late\\\"}}\" >&4; exit 0' TERM\n"
		 "echo '{\"report\": {\"phase\": \"Streaming\"}}' >&4; while :; do sleep 0.05; done");
	RUN_UNTIL(f, r->worker.report);
	(void)json_object_set_new(json_object_get(f->object, "metadata"), "uid", json_string("2"));
	assert_true(resource_update(r, f->object));
	assert_null(r->worker.report);
	assert_true(supervisor_is_stopping(r->worker.process));
	assert_int_equal(r->worker.generation, -1);
	while (r->worker.process) {
		turn(f);
		assert_null(r->worker.report);
	}
	/* Messages of the new resource's worker count. */
	start(f, "echo '{\"report\": {\"phase\": \"Streaming\"}}' >&4; sleep 5");
	RUN_UNTIL(f, r->worker.report);
}

#define WITH_FIXTURE(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
	static const struct CMUnitTest tests[] = {
		WITH_FIXTURE(test_start_when_secrets_hold_more_than_is_named_then_only_that_is_handed_over),
		WITH_FIXTURE(test_exit_when_its_last_words_are_long_then_the_status_keeps_what_the_api_takes),
		WITH_FIXTURE(test_exit_when_memory_runs_out_then_the_limit_of_the_placement_is_named),
		WITH_FIXTURE(test_update_when_another_object_has_the_name_then_the_old_ones_worker_ends_unheard),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
