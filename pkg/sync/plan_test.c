/* Tests of what is done in one attempt: the checks alone, the printed plan, and preparing. Only preparing changes
 * anything. */
#include "sync/store_test.h"
#include "sync/sync.h"

struct fixture {
	struct store s;
	struct findings f;
	struct sections out;
};

static void begin(struct fixture *x)
{
	store_begin(&x->s);
	findings_init(&x->f);
	sections_init(&x->out, LOG_BYTES);
}

static void end(struct fixture *x)
{
	findings_release(&x->f);
	sections_release(&x->out);
	store_end(&x->s);
}

static int plan(struct fixture *x)
{
	return sync_plan(&x->s.w.options, &x->f, &x->out, &x->s.w.err);
}

static int prepare(struct fixture *x)
{
	return sync_prepare(&x->s.w.options, &x->f, &x->s.w.err);
}

static void expect_out(const struct fixture *x, const char *words)
{
	if (!x->out.text.len || !has(x->out.text.data, words))
		fail_msg("\"%s\" is not in: %s", words, x->out.text.len ? x->out.text.data : "");
}

/* Titles, kinds, and the printed text without its headings, which the sections have. */
static void expect_sections(const struct sections *out)
{
	static const char *const expected[][2] = {{"Index books", "text"},
						  {"Tree", "text"},
						  {"Old values needed in the WAL", "text"},
						  {"How a change finds its documents", "text"},
						  {"Documents by key", "sql"},
						  {"Documents by range of blocks", "sql"},
						  {"Index body", "json"},
						  {"Plan of a batch", "text"},
						  {"Plan of the bootstrap's chunks of 1,024 blocks", "text"},
						  {"What a start does", "text"}};
	size_t len, at = 0;

	assert_int_equal(out->n, ARRAY_SIZE(expected));
	for (size_t i = 0; i < out->n; i++) {
		const char *body = sections_body(out, i, &len);
		size_t heading = i ? strlen(expected[i][0]) + strlen("\n:\n") : 0;

		assert_string_equal(out->items[i].title, expected[i][0]);
		assert_string_equal(sections_kind_name(out->items[i].kind), expected[i][1]);
		assert_ptr_equal(body, out->text.data + at + heading);
		at += heading + len;
	}
	assert_int_equal(at, out->text.len);
}

/* --- the checks alone --- */

static void test_check_then_no_query_is_planned_and_nothing_changes(void **state)
{
	struct fixture x;

	UNUSED(state);
	begin(&x);
	OK(&x.s.w, sync_check(&x.s.w.options, &x.f, &x.s.w.err));
	assert_int_equal(x.f.n, 0);
	assert_int_equal(world_asked(&x.s.w, "EXPLAIN"), 0);
	store_expect_changes(&x.s, "");
	end(&x);
}

/* --- the plan --- */

static void test_plan_then_documents_and_the_servers_plans_and_nothing_changes(void **state)
{
	struct fixture x;

	UNUSED(state);
	begin(&x);
	OK(&x.s.w, plan(&x));
	expect_out(&x, "Index books, one document for each row of public.books, _id of (id)");
	expect_out(&x, "Plan of a batch:\n    Index Scan using books_pkey\n");
	expect_out(&x, "Plan of the bootstrap's chunks of 1,024 blocks:\n    Tid Range Scan on books\n");
	expect_out(&x, "What a start does:\n"
		       "  a start creates publication \"pgsync_shop_books_");
	expect_out(&x, "  a start fills index books with one document for each row of public.books\n");
	assert_false(has(x.out.text.data, "REPLICA IDENTITY"));
	expect_sections(&x.out);
	store_expect_changes(&x.s, "");
	end(&x);
}

static void test_plan_when_a_replica_identity_is_missing_then_its_statement_is_shown_and_not_run(void **state)
{
	struct fixture x;

	UNUSED(state);
	begin(&x);
	x.s.replica_identity = "n";
	OK(&x.s.w, plan(&x));
	expect_out(&x, "  a start sets the replica identity of public.books; a deletion restores it\n"
		       "    ALTER TABLE \"public\".\"books\" REPLICA IDENTITY USING INDEX \"books_pkey\"\n");
	store_expect_changes(&x.s, "");
	end(&x);
}

static void test_plan_when_there_are_errors_then_no_plan(void **state)
{
	struct fixture x;

	UNUSED(state);
	begin(&x);
	x.s.can_select = "f";
	OK(&x.s.w, plan(&x));
	assert_true(findings_failed(&x.f));
	assert_int_equal(x.out.text.len, 0);
	assert_int_equal(world_asked(&x.s.w, "EXPLAIN"), 0);
	end(&x);
}

static void test_plan_when_the_server_cannot_plan_a_query_then_the_index_is_named(void **state)
{
	struct fixture x;

	UNUSED(state);
	begin(&x);
	x.s.sql_fails = "EXPLAIN EXECUTE";
	assert_int_equal(plan(&x), -1);
	assert_true(has(x.s.w.err.msg, "planning the documents of \"books\""));
	end(&x);
}

/* What recover_plan lists, and what it changes: nothing. */
static void expect_changes(struct fixture *x, size_t n, const char *const *words)
{
	struct findings changes;

	findings_init(&changes);
	store_next_attempt(&x->s);
	OK(&x->s.w, preflight(&x->s.w.at, &x->f, &x->s.w.err));
	OK(&x->s.w, recover_plan(&x->s.w.at, &x->f, &changes, &x->s.w.err));
	assert_int_equal(changes.n, n);
	for (size_t i = 0; i < n; i++)
		if (!has(changes.items[i].message, words[i]))
			fail_msg("\"%s\" is not in: %s", words[i], changes.items[i].message);
	store_expect_changes(&x->s, "");
	findings_release(&changes);
}

static void test_plan_changes_when_nothing_was_synced_then_what_a_start_would_create(void **state)
{
	static const char *const words[] = {"replica identity of public.books", "creates publication",
					    "creates replication slot",
					    "fills index books with one document for each row of public.books"};
	struct fixture x;

	UNUSED(state);
	begin(&x);
	x.s.replica_identity = "n";
	expect_changes(&x, 4, words);
	assert_false(findings_failed(&x.f));
	end(&x);
}

static void test_plan_changes_when_all_is_as_it_was_then_none(void **state)
{
	struct fixture x;

	UNUSED(state);
	begin(&x);
	store_go_live(&x.s);
	x.s.slot_pid = OTHER_PID;
	expect_changes(&x, 0, NULL);
	end(&x);
}

static void test_plan_changes_when_the_slot_is_gone_then_a_rebuild_with_its_reason(void **state)
{
	static const char *const words[] = {
		"creates replication slot",
		"rebuilds index books with one document for each row of public.books: the "
		"replication slot is gone; until then, searches find the index as it is now"};
	struct fixture x;

	UNUSED(state);
	begin(&x);
	store_go_live(&x.s);
	x.s.has_slot = false;
	expect_changes(&x, 2, words);
	end(&x);
}

static void test_plan_changes_when_the_publication_lacks_a_table_then_that_and_the_rebuild(void **state)
{
	static const char *const words[] = {"adds table public.books to publication",
					    "rebuilds index books with one document for each row of public.books: a "
					    "table was added to the publication"};
	struct fixture x;

	UNUSED(state);
	begin(&x);
	store_go_live(&x.s);
	x.s.is_member = false;
	expect_changes(&x, 2, words);
	end(&x);
}

static void test_plan_changes_when_a_start_would_be_refused_then_an_error_says_why(void **state)
{
	struct fixture x;

	UNUSED(state);
	begin(&x);
	store_go_live(&x.s);
	x.s.has_slot = false;
	x.s.w.spec->source.slot_lost = SPEC_SLOT_LOST_STALL;
	expect_changes(&x, 0, NULL);
	assert_true(findings_failed(&x.f));
	assert_string_equal(reason_name(x.f.items[0].reason), "SlotLost");
	assert_int_equal(plan(&x), 0);
	assert_int_equal(x.out.text.len, 0);
	end(&x);
}

static void test_prepare_when_mode_is_plan_then_nothing_changes(void **state)
{
	struct fixture x;

	UNUSED(state);
	begin(&x);
	x.s.w.spec->mode = SPEC_MODE_PLAN;
	OK(&x.s.w, prepare(&x));
	assert_int_equal(x.f.n, 1);
	store_expect_changes(&x.s, "");
	end(&x);
}

/* --- preparing --- */

static void test_prepare_then_everything_that_a_run_needs_exists_and_only_once(void **state)
{
	struct fixture x;

	UNUSED(state);
	begin(&x);
	OK(&x.s.w, prepare(&x));
	store_expect_changes(&x.s,
			     "save; create publication; alter publication; create slot; save; create books-g1; save");
	OK(&x.s.w, prepare(&x));
	store_expect_changes(&x.s, "");
	OK(&x.s.w, store_start(&x.s));
	store_expect_changes(&x.s, "");
	end(&x);
}

static void test_prepare_when_there_are_errors_then_nothing_is_created(void **state)
{
	struct fixture x;

	UNUSED(state);
	begin(&x);
	x.s.wal_level = "replica";
	(void)prepare(&x);
	assert_true(findings_failed(&x.f));
	store_expect_changes(&x.s, "");
	end(&x);
}

static void test_prepare_when_a_worker_streams_then_it_is_left_alone_with_a_warning(void **state)
{
	struct fixture x;

	UNUSED(state);
	begin(&x);
	store_go_live(&x.s);
	x.s.slot_pid = OTHER_PID;
	OK(&x.s.w, prepare(&x));
	assert_int_equal(x.f.n, 1);
	assert_string_equal(reason_name(x.f.items[0].reason), "SlotActive");
	assert_false(findings_failed(&x.f));
	store_expect_changes(&x.s, "");
	end(&x);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_check_then_no_query_is_planned_and_nothing_changes),
		cmocka_unit_test(test_plan_then_documents_and_the_servers_plans_and_nothing_changes),
		cmocka_unit_test(test_plan_when_a_replica_identity_is_missing_then_its_statement_is_shown_and_not_run),
		cmocka_unit_test(test_plan_when_there_are_errors_then_no_plan),
		cmocka_unit_test(test_plan_when_the_server_cannot_plan_a_query_then_the_index_is_named),
		cmocka_unit_test(test_plan_changes_when_nothing_was_synced_then_what_a_start_would_create),
		cmocka_unit_test(test_plan_changes_when_all_is_as_it_was_then_none),
		cmocka_unit_test(test_plan_changes_when_the_slot_is_gone_then_a_rebuild_with_its_reason),
		cmocka_unit_test(test_plan_changes_when_the_publication_lacks_a_table_then_that_and_the_rebuild),
		cmocka_unit_test(test_plan_changes_when_a_start_would_be_refused_then_an_error_says_why),
		cmocka_unit_test(test_prepare_when_mode_is_plan_then_nothing_changes),
		cmocka_unit_test(test_prepare_then_everything_that_a_run_needs_exists_and_only_once),
		cmocka_unit_test(test_prepare_when_there_are_errors_then_nothing_is_created),
		cmocka_unit_test(test_prepare_when_a_worker_streams_then_it_is_left_alone_with_a_warning),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
