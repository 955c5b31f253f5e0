/* Tests of which changes of an object count, and what a forced deletion leaves behind. */
#include <limits.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "operator/operator_int.h"
#include "spec/spec.h"

struct fixture {
	struct operator_ op;
	struct resource *resource;
	json_t *object;
};

static const char object_text[] =
	"{\"apiVersion\": \"pgsync.io/v1alpha1\", \"kind\": \"PgSync\","
	" \"metadata\": {\"namespace\": \"shop\", \"name\": \"books\", \"uid\": \"1\", \"generation\": 1,"
	"  \"resourceVersion\": \"10\", \"labels\": {\"a\": \"b\"}},"
	" \"spec\": {\"source\": {\"host\": \"postgres\", \"database\": \"d\", \"user\": \"u\","
	"   \"replication\": {\"slotName\": \"given\", \"publicationName\": \"odd \\\"name\\\"\"}},"
	"  \"sink\": {\"urls\": [\"http://search:9200\"]},"
	"  \"schema\": [{\"index\": \"books\", \"nodes\": {\"table\": \"books\"}}]}}";

static int setup(void **state)
{
	struct fixture *f = xcalloc(1, sizeof(*f));

	f->object = json_loads(object_text, 0, NULL);
	f->op.refs = refs_new(NULL, NULL, NULL, NULL);
	f->op.queue = workqueue_new(5, 1000, UINT_MAX);
	f->resource = resource_new(&f->op, "shop/books");
	*state = f;
	return f->object ? 0 : -1;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	resource_free(f->resource);
	refs_free(f->op.refs);
	workqueue_free(f->op.queue);
	json_decref(f->object);
	free(f);
	return 0;
}

static void set(struct fixture *f, const char *parent, const char *key, json_t *value_take)
{
	json_t *object = jsonx_get(f->object, parent);

	assert_non_null(object);
	assert_int_equal(json_object_set_new(object, key, value_take), 0);
}

/* The object is seen for the first time, and then verified. */
static void seen(struct fixture *f)
{
	assert_true(resource_update(f->resource, f->object));
	f->resource->inputs.stale = false;
}

static void test_update_when_first_seen_then_it_counts(void **state)
{
	struct fixture *f = *state;

	assert_true(resource_update(f->resource, f->object));
	assert_int_equal(f->resource->cache.presence, PRESENCE_ALIVE);
	assert_true(f->resource->inputs.stale);
	assert_int_equal(f->resource->cache.generation, 1);
	assert_string_equal(f->resource->namespace, "shop");
	assert_string_equal(f->resource->name, "books");
	assert_null(f->resource->writer.status);
}

static void test_update_when_only_the_status_changed_then_it_does_not_count(void **state)
{
	struct fixture *f = *state;

	seen(f);
	assert_int_equal(json_object_set_new(f->object, "status", json_pack("{s:s}", "phase", "Streaming")), 0);
	set(f, "metadata", "resourceVersion", json_string("11"));
	assert_false(resource_update(f->resource, f->object));
	assert_false(f->resource->inputs.stale);
	assert_string_equal(f->resource->cache.resource_version, "11");
}

static void test_update_when_others_labels_or_finalizers_change_then_it_does_not_count_but_is_known(void **state)
{
	struct fixture *f = *state;

	seen(f);
	set(f, "metadata", "labels", json_object());
	set(f, "metadata", "finalizers", json_pack("[s]", "example.com/other"));
	assert_false(resource_update(f->resource, f->object));
	assert_string_equal(f->resource->cache.finalizers, "[\"example.com/other\"]");
	assert_false(f->resource->cache.finalizer);
}

static void test_update_when_the_spec_changed_then_inputs_are_looked_at_again(void **state)
{
	struct fixture *f = *state;

	seen(f);
	set(f, "metadata", "generation", json_integer(2));
	set(f, "spec", "suspend", json_true());
	assert_true(resource_update(f->resource, f->object));
	assert_true(f->resource->inputs.stale);
	assert_true(f->resource->cache.suspend);
}

static void test_update_when_marks_of_ours_change_then_each_counts(void **state)
{
	struct fixture *f = *state;
	struct resource *r = f->resource;

	seen(f);
	set(f, "metadata", "finalizers", json_pack("[s, s]", "example.com/other", FINALIZER));
	assert_true(resource_update(r, f->object));
	assert_true(r->cache.finalizer);
	set(f, "metadata", "annotations", json_pack("{s:s}", RECONCILE, "disabled"));
	assert_true(resource_update(r, f->object));
	assert_true(r->cache.frozen);
	set(f, "metadata", "annotations", json_pack("{s:s}", FORCE_DELETE, "true"));
	assert_true(resource_update(r, f->object));
	assert_true(r->cache.force_delete);
	assert_false(r->cache.frozen);
	/* None of these is an input of a worker. */
	assert_false(r->inputs.stale);
	set(f, "metadata", "annotations", json_pack("{s:s}", SPEC_RETRY_DEAD_LETTERS, "now"));
	assert_true(resource_update(r, f->object));
	assert_true(r->inputs.stale);
	assert_non_null(strstr(r->cache.text, "\"annotations\":{\"" SPEC_RETRY_DEAD_LETTERS "\":\"now\"}"));
	r->inputs.stale = false;
	assert_false(resource_update(r, f->object));
	assert_false(r->inputs.stale);
	set(f, "metadata", "deletionTimestamp", json_string("2026-01-02T03:04:05Z"));
	assert_true(resource_update(r, f->object));
	assert_int_equal(r->cache.presence, PRESENCE_DELETING);
	/* But a cleanup may use Secrets that are gone. */
	assert_true(r->inputs.stale);
}

static void test_update_when_another_object_has_the_name_then_nothing_of_the_old_one_holds(void **state)
{
	struct fixture *f = *state;
	struct resource *r = f->resource;

	seen(f);
	free(r->writer.status);
	r->writer.status = xstrdup("{\"phase\":\"Streaming\"}");
	r->worker.outcome = OUTCOME_REFUSED;
	restarts_failed(&r->worker.restarts, 0, 1000);
	set(f, "metadata", "uid", json_string("2"));
	assert_true(resource_update(r, f->object));
	assert_true(r->inputs.stale);
	assert_null(r->writer.status);
	assert_int_equal(r->worker.outcome, OUTCOME_NONE);
	assert_int_equal(r->worker.restarts.not_before_ms, 0);
	assert_string_equal(r->cache.uid, "2");
}

static void test_update_when_seen_with_a_status_then_it_is_what_was_written_last(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(json_object_set_new(f->object, "status",
					     json_pack("{s:s, s:i}", "phase", "Streaming", "observedGeneration", 1)),
			 0);
	assert_true(resource_update(f->resource, f->object));
	assert_string_equal(f->resource->writer.status, "{\"observedGeneration\":1,\"phase\":\"Streaming\"}");
}

static void test_update_when_following_then_the_leaders_status_is_known(void **state)
{
	struct fixture *f = *state;
	struct resource *r = f->resource;

	seen(f);
	r->worker.status = json_pack("{s:s, s:i}", "identity", "we", "restartCount", 1);
	assert_int_equal(
		json_object_set_new(f->object, "status",
				    json_pack("{s:{s:s, s:i}}", "worker", "identity", "they", "restartCount", 7)),
		0);
	assert_false(resource_update(r, f->object));
	assert_string_equal(r->writer.status, "{\"worker\":{\"identity\":\"they\",\"restartCount\":7}}");
	assert_null(r->worker.status);
}

static void test_update_when_leading_then_the_status_is_what_we_wrote(void **state)
{
	struct fixture *f = *state;
	struct resource *r = f->resource;

	f->op.leading = true;
	seen(f);
	r->writer.status = xstrdup("{\"phase\":\"Streaming\"}");
	assert_int_equal(json_object_set_new(f->object, "status", json_pack("{s:s}", "phase", "Pending")), 0);
	assert_false(resource_update(r, f->object));
	assert_string_equal(r->writer.status, "{\"phase\":\"Streaming\"}");
}

static void test_json_when_the_spec_contains_nul_then_the_finalizers_are_still_known(void **state)
{
	struct fixture *f = *state;

	set(f, "metadata", "finalizers", json_pack("[s]", "example.com/other"));
	set(f, "spec.source", "user", json_stringn("a\0b", 3));
	seen(f);
	assert_string_equal(f->resource->cache.finalizers, "[\"example.com/other\"]");
	resource_refresh_inputs(f->resource);
	assert_int_equal(f->resource->inputs.verdict, INPUTS_INVALID);
	assert_string_equal(reason_name(f->resource->inputs.reason), "InvalidSpec");
	assert_non_null(strstr(f->resource->inputs.problem, "NUL"));
}

static void test_orphan_sql_when_both_are_to_be_dropped_then_names_are_quoted(void **state)
{
	struct fixture *f = *state;
	_cleanup_free_ char *sql = NULL;

	seen(f);
	sql = resource_orphan_sql(f->resource);
	assert_string_equal(sql, "SELECT pg_drop_replication_slot('given');"
				 " DROP PUBLICATION IF EXISTS \"odd \"\"name\"\"\";");
}

static void test_orphan_sql_when_the_worker_reported_an_odd_slot_then_it_is_quoted(void **state)
{
	struct fixture *f = *state;
	_cleanup_free_ char *sql = NULL;

	seen(f);
	resource_replace_text(&f->resource->writer.status,
			      xstrdup("{\"stream\":{\"slotName\":\"x'); DROP TABLE y; --\"}}"));
	sql = resource_orphan_sql(f->resource);
	assert_non_null(strstr(sql, "pg_drop_replication_slot('x''); DROP TABLE y; --');"));
}

static void test_orphan_sql_when_policies_retain_then_nothing_is_left_to_drop(void **state)
{
	struct fixture *f = *state;
	_cleanup_free_ char *sql = NULL;

	set(f, "spec", "deletionPolicy", json_pack("{s:s, s:s}", "replicationSlot", "Retain", "publication", "Retain"));
	seen(f);
	sql = resource_orphan_sql(f->resource);
	assert_string_equal(sql, "");
}

static void test_update_when_the_status_is_the_api_servers_default_then_there_is_none(void **state)
{
	struct fixture *f = *state;

	(void)json_object_set_new(f->object, "status", json_pack("{s:i}", "observedGeneration", -1));
	assert_true(resource_update(f->resource, f->object));
	assert_null(f->resource->writer.status);
}

#define WITH_FIXTURE(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
	static const struct CMUnitTest tests[] = {
		WITH_FIXTURE(test_update_when_first_seen_then_it_counts),
		WITH_FIXTURE(test_update_when_only_the_status_changed_then_it_does_not_count),
		WITH_FIXTURE(test_update_when_the_status_is_the_api_servers_default_then_there_is_none),
		WITH_FIXTURE(test_update_when_others_labels_or_finalizers_change_then_it_does_not_count_but_is_known),
		WITH_FIXTURE(test_update_when_the_spec_changed_then_inputs_are_looked_at_again),
		WITH_FIXTURE(test_update_when_marks_of_ours_change_then_each_counts),
		WITH_FIXTURE(test_update_when_another_object_has_the_name_then_nothing_of_the_old_one_holds),
		WITH_FIXTURE(test_update_when_seen_with_a_status_then_it_is_what_was_written_last),
		WITH_FIXTURE(test_update_when_following_then_the_leaders_status_is_known),
		WITH_FIXTURE(test_update_when_leading_then_the_status_is_what_we_wrote),
		WITH_FIXTURE(test_json_when_the_spec_contains_nul_then_the_finalizers_are_still_known),
		WITH_FIXTURE(test_orphan_sql_when_both_are_to_be_dropped_then_names_are_quoted),
		WITH_FIXTURE(test_orphan_sql_when_the_worker_reported_an_odd_slot_then_it_is_quoted),
		WITH_FIXTURE(test_orphan_sql_when_policies_retain_then_nothing_is_left_to_drop),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
