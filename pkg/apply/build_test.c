/* Tests of building: from rows to bulk actions, and what happens to a root whose row is gone or has a value that
 * fails. */
#include "apply/servers_test.h"

static void answer_routed(struct servers *s, const struct fake_query *q, struct fake_result *r)
{
	UNUSED(s);
	if (q->n_params && strstr(q->params[0], "\"1\""))
		FAKE_ROW(r, "1", "{}", "north");
}

static void answer_sanitized(struct servers *s, const struct fake_query *q, struct fake_result *r)
{
	UNUSED(s);
	if (!q->n_params)
		return;
	FAKE_ROW(r, "1", "{\"n\":null}", "3");
	FAKE_ROW(r, "2", "{\"n\":1}", NULL);
}

static int build(struct servers *s, struct builder *with, const struct page *page)
{
	_cleanup_(build_end) struct build b = build_begin(with, 0, VERSION);

	return build_roots(&b, page, &s->err);
}

static int build_once(struct servers *s, const struct page *page)
{
	struct builder with;
	int r;

	builder_init(&with, &s->model, &s->snapshot, s->bulk, &s->dead);
	r = build(s, &with, page);
	builder_release(&with);
	return r;
}

#define INDEX(id, more) "{\"index\":{\"_id\":\"" id "\",\"version\":1280,\"version_type\":\"external_gte\"" more "}}\n"
#define DELETE(id, more) \
	"{\"delete\":{\"_id\":\"" id "\",\"version\":1280,\"version_type\":\"external_gte\"" more "}}\n"

#define DONE "RELEASE pgsync_build"
#define FAILED "ROLLBACK TO pgsync_build; RELEASE pgsync_build"
#define TRY(keys) "SAVEPOINT pgsync_build; SELECT documents apart " keys "; "

static void test_build_when_a_root_has_a_row_then_its_document_and_otherwise_a_delete(void **state)
{
	struct servers s;
	struct page page;

	UNUSED(state);
	servers_begin(&s);
	s.answer = servers_answer_books;
	page = PAGE(&s, "1", "9");
	SERVERS_OK(&s, build_once(&s, &page));
	servers_expect_bodies(&s, INDEX("1", "") "{\"title\":\"t\"}\n" DELETE("9", ""));
	servers_end(&s);
}

static void test_build_when_deletes_are_held_then_they_are_sent_when_the_caller_adds_them(void **state)
{
	struct servers s;
	struct builder with;
	struct keyset held;
	struct page page;
	struct build b;

	UNUSED(state);
	servers_begin(&s);
	s.answer = servers_answer_books;
	keyset_init(&held, 1000);
	builder_init(&with, &s.model, &s.snapshot, s.bulk, &s.dead);
	with.held = &held;
	page = PAGE(&s, "1", "9");
	SERVERS_OK(&s, build(&s, &with, &page));
	servers_expect_bodies(&s, INDEX("1", "") "{\"title\":\"t\"}\n");
	assert_int_equal(held.n, 1);
	b = build_begin(&with, 0, VERSION);
	SERVERS_OK(&s, build_deletes(&b, &held, &s.err));
	build_end(&b);
	servers_expect_bodies(&s, INDEX("1", "") "{\"title\":\"t\"}\n" DELETE("9", ""));
	builder_release(&with);
	keyset_release(&held);
	servers_end(&s);
}

static void test_build_when_the_index_has_dead_letters_then_each_written_document_leaves_them(void **state)
{
	struct servers s;
	struct page page;

	UNUSED(state);
	servers_begin(&s);
	s.answer = servers_answer_books;
	report_dead_letters_set(&s.report, "books", 1, report_dead_letters_revision(&s.report, "books"));
	page = PAGE(&s, "1", "9");
	SERVERS_OK(&s, build_once(&s, &page));
	SERVERS_OK(&s, bulk_flush(s.bulk, &s.err));
	(void)pthread_mutex_lock(&s.engine.lock);
	assert_non_null(strstr(s.bodies.data, "\"_index\":\"books-dead-letters-W1\",\"_id\":\"1\""));
	assert_non_null(strstr(s.bodies.data, "\"_index\":\"books-dead-letters-W1\",\"_id\":\"9\""));
	(void)pthread_mutex_unlock(&s.engine.lock);
	servers_end(&s);
}

static void test_build_when_a_row_fails_then_it_is_a_dead_letter_and_the_others_are_written(void **state)
{
	struct servers s;
	struct page page;

	UNUSED(state);
	servers_begin(&s);
	s.answer = servers_answer_books;
	page = PAGE(&s, "1", "bad", "2");
	SERVERS_OK(&s, build_once(&s, &page));
	assert_int_equal(s.dead.n, 1);
	/* First all at once; then in halves, until the failing key is alone, and everything else works without it. */
	servers_expect_statements(&s, "SAVEPOINT pgsync_build; SELECT documents {\"1\",\"bad\",\"2\"}; " FAILED
				      "; " TRY("{\"1\",\"bad\",\"2\"}") FAILED "; " TRY("{\"1\"}") DONE
				  "; " TRY("{\"bad\",\"2\"}") FAILED "; " TRY("{\"bad\"}") FAILED "; " TRY("{}") DONE
				  "; " TRY("{\"2\"}") DONE);
	SERVERS_OK(&s, bulk_flush(s.bulk, &s.err));
	(void)pthread_mutex_lock(&s.engine.lock);
	assert_non_null(strstr(s.bodies.data, INDEX("1", "")));
	assert_non_null(strstr(s.bodies.data, INDEX("2", "")));
	/* The row exists: its document stays as it was. */
	assert_null(strstr(s.bodies.data, "\"_id\":\"bad\""));
	(void)pthread_mutex_unlock(&s.engine.lock);
	servers_end(&s);
}

static void test_build_when_the_keys_are_old_then_a_failing_one_is_left_out(void **state)
{
	struct servers s;
	struct page page;

	UNUSED(state);
	servers_begin(&s);
	s.answer = servers_answer_books;
	page = PAGE(&s, "bad", "9");
	page.old = true;
	SERVERS_OK(&s, build_once(&s, &page));
	assert_int_equal(s.dead.n, 0);
	servers_expect_bodies(&s, DELETE("9", ""));
	servers_end(&s);
}

static void test_build_when_stalling_then_a_failing_row_is_an_error(void **state)
{
	struct servers s;
	struct page page;

	UNUSED(state);
	servers_begin(&s);
	s.answer = servers_answer_books;
	s.sink.stall_on_error = true;
	page = PAGE(&s, "bad");
	assert_int_equal(build_once(&s, &page), -1);
	assert_string_equal(reason_name(s.err.reason), "DocumentFailed");
	servers_end(&s);
}

static void test_build_when_routed_then_the_delete_of_an_old_place_is_older_than_what_is_written(void **state)
{
	struct servers s;
	struct page page;

	UNUSED(state);
	servers_begin(&s);
	s.answer = answer_routed;
	s.plan.routing.given = true;
	page = servers_page(&s, (const char *const[]){"1"}, 1, "south");
	SERVERS_OK(&s, build_once(&s, &page));
	servers_expect_bodies(&s, "{\"index\":{\"_id\":\"1\",\"version\":1280,\"version_type\":"
				  "\"external_gte\",\"routing\":\"north\"}}\n{}\n"
				  "{\"delete\":{\"_id\":\"1\",\"version\":1279,\"version_type\":"
				  "\"external_gte\",\"routing\":\"south\"}}\n");
	servers_end(&s);
}

static void test_build_when_a_key_lacks_the_routing_then_it_deletes_nothing(void **state)
{
	struct servers s;
	struct page page;

	UNUSED(state);
	servers_begin(&s);
	s.answer = answer_routed;
	s.plan.routing.given = true;
	page = PAGE(&s, "9");
	SERVERS_OK(&s, build_once(&s, &page));
	servers_expect_bodies(&s, "");
	servers_end(&s);
}

static void test_build_when_values_were_sanitized_then_they_are_counted_once(void **state)
{
	struct builder with;
	struct servers s;
	struct page page;

	UNUSED(state);
	servers_begin(&s);
	s.answer = answer_sanitized;
	s.plan.counts_sanitized = true;
	page = PAGE(&s, "1", "2");
	builder_init(&with, &s.model, &s.snapshot, s.bulk, &s.dead);
	SERVERS_OK(&s, build(&s, &with, &page));
	assert_int_equal(builder_take_sanitized(&with), 3);
	assert_int_equal(builder_take_sanitized(&with), 0);
	builder_release(&with);
	servers_end(&s);
}

/* --- an engine that is late --- */

enum { BOOKS = 3 };

/* The engine answers only once no transaction is open. A query returns the books that it asks for. */
static void answer_late(struct servers *s, const struct fake_query *q, struct fake_result *r)
{
	if (strstr(q->sql, "COMMIT"))
		fake_gate_open(&s->bulks);
	if (!strstr(q->sql, "documents"))
		return;
	for (int i = 1; i <= BOOKS; i++) {
		_cleanup_free_ char *id = xasprintf("%d", i);
		_cleanup_free_ char *quoted = xasprintf("\"%d\"", i);

		if (strstr(q->params[0], quoted))
			FAKE_ROW(r, id, "{}", "north");
	}
}

/* A writer that takes two actions before it waits. */
static void begin_late(struct servers *s)
{
	servers_begin(s);
	s->answer = answer_late;
	s->sink.bulk_max_bytes = 1;
	bulk_free(s->bulk);
	s->bulk = s->snapshot.bulk = dead_letters_writer(&s->dead, s->search);
	fake_gate_close(&s->bulks);
	(void)bulk_set_deadline(s->bulk, 1);
}

#define NEXT "COMMIT; BEGIN; SET LOCAL statement_timeout = 0; "

static void test_build_when_the_engine_is_late_then_the_rest_is_read_in_another_snapshot(void **state)
{
	struct servers s;
	struct page page;

	UNUSED(state);
	begin_late(&s);
	page = PAGE(&s, "1", "2", "3");
	SERVERS_OK(&s, build_once(&s, &page));
	servers_expect_statements(&s, "SAVEPOINT pgsync_build; SELECT documents {\"1\",\"2\",\"3\"}; " FAILED "; " NEXT
				      "SAVEPOINT pgsync_build; SELECT documents {\"3\"}; " DONE);
	/* One request for each, so the last version of the page was written once. */
	servers_expect_bodies(&s, INDEX("1", "") "{}\n" INDEX("2", "") "{}\n" INDEX("3", "") "{}\n");
	servers_end(&s);
}

static void test_build_when_the_engine_is_late_with_what_came_before_then_the_snapshot_ends_at_once(void **state)
{
	struct builder with;
	struct servers s;
	struct page page;

	UNUSED(state);
	begin_late(&s);
	builder_init(&with, &s.model, &s.snapshot, s.bulk, &s.dead);
	page = PAGE(&s, "1", "2");
	SERVERS_OK(&s, build(&s, &with, &page));
	keyset_reset(&s.keys);
	page = PAGE(&s, "3");
	SERVERS_OK(&s, build(&s, &with, &page));
	servers_expect_statements(&s, "SAVEPOINT pgsync_build; SELECT documents {\"1\",\"2\"}; " DONE "; " NEXT
				      "SAVEPOINT pgsync_build; SELECT documents {\"3\"}; " DONE);
	builder_release(&with);
	servers_end(&s);
}

/* A root that has moved to another shard is never found under its old routing value. */
static void test_build_when_the_engine_is_late_and_no_key_is_done_then_in_halves(void **state)
{
	struct servers s;
	struct page page;

	UNUSED(state);
	begin_late(&s);
	s.plan.routing.given = true;
	page = servers_page(&s, (const char *const[]){"1", "2", "3"}, 3, "south");
	SERVERS_OK(&s, build_once(&s, &page));
	SERVERS_OK(&s, bulk_flush(s.bulk, &s.err));
	(void)pthread_mutex_lock(&s.engine.lock);
	for (int i = 1; i <= BOOKS; i++) {
		_cleanup_free_ char *written = xasprintf("{\"index\":{\"_id\":\"%d\"", i);
		_cleanup_free_ char *deleted = xasprintf("{\"delete\":{\"_id\":\"%d\"", i);

		assert_non_null(strstr(s.bodies.data, written));
		assert_non_null(strstr(s.bodies.data, deleted));
	}
	(void)pthread_mutex_unlock(&s.engine.lock);
	servers_end(&s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_build_when_a_root_has_a_row_then_its_document_and_otherwise_a_delete),
		cmocka_unit_test(test_build_when_deletes_are_held_then_they_are_sent_when_the_caller_adds_them),
		cmocka_unit_test(test_build_when_the_index_has_dead_letters_then_each_written_document_leaves_them),
		cmocka_unit_test(test_build_when_a_row_fails_then_it_is_a_dead_letter_and_the_others_are_written),
		cmocka_unit_test(test_build_when_the_keys_are_old_then_a_failing_one_is_left_out),
		cmocka_unit_test(test_build_when_stalling_then_a_failing_row_is_an_error),
		cmocka_unit_test(test_build_when_routed_then_the_delete_of_an_old_place_is_older_than_what_is_written),
		cmocka_unit_test(test_build_when_a_key_lacks_the_routing_then_it_deletes_nothing),
		cmocka_unit_test(test_build_when_values_were_sanitized_then_they_are_counted_once),
		cmocka_unit_test(test_build_when_the_engine_is_late_then_the_rest_is_read_in_another_snapshot),
		cmocka_unit_test(
			test_build_when_the_engine_is_late_with_what_came_before_then_the_snapshot_ends_at_once),
		cmocka_unit_test(test_build_when_the_engine_is_late_and_no_key_is_done_then_in_halves),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
