/* Tests of pages: keys as parameters, and a value that makes a query fail. */
#include "apply/limits.h"
#include "apply/servers_test.h"

/* --- parameters --- */

static void test_page_params_then_an_array_for_each_column(void **state)
{
	struct page_params params;
	struct servers s;
	struct page page;

	UNUSED(state);
	servers_begin(&s);
	page_params_init(&params);
	page = servers_page(&s, (const char *const[]){"1", "a \"b\""}, 2, "x");
	SERVERS_OK(&s, page_params_set(&params, &page, 2, &s.err));
	assert_string_equal(params.values[0], "{\"1\",\"a \\\"b\\\"\"}");
	assert_string_equal(params.values[1], "{\"x\",\"x\"}");
	/* The next page replaces them. */
	page.n = 1;
	SERVERS_OK(&s, page_params_set(&params, &page, 1, &s.err));
	assert_string_equal(params.values[0], "{\"1\"}");
	page_params_release(&params);
	servers_end(&s);
}

static void test_page_params_when_a_key_has_too_few_columns_then_fatal(void **state)
{
	struct page_params params;
	struct servers s;
	struct page page;

	UNUSED(state);
	servers_begin(&s);
	page_params_init(&params);
	page = PAGE(&s, "1");
	assert_int_equal(page_params_set(&params, &page, 2, &s.err), -1);
	assert_int_equal(s.err.kind, ERR_FATAL);
	page_params_release(&params);
	servers_end(&s);
}

static void test_page_params_when_the_keys_are_too_large_then_their_limit(void **state)
{
	struct page_params params;
	struct servers s;
	struct page page;

	UNUSED(state);
	servers_begin(&s);
	page_params_init(&params);
	params.arrays[0].max = 16;
	page = PAGE(&s, "a key of more than sixteen bytes");
	assert_int_equal(page_params_set(&params, &page, 1, &s.err), -1);
	assert_string_equal(reason_name(s.err.reason), "KeyTooLarge");
	page_params_release(&params);
	servers_end(&s);
}

/* --- halving --- */

struct run {
	struct servers *s;
	char failed[64]; /* keys that failed alone */
	bool cannot_keep;
};

/* The value "bad" is of the wrong type, "secret" is not permitted; or every query fails. */
static void answer(struct servers *s, const struct fake_query *q, struct fake_result *r)
{
	if (q->n_params && (s->fails || strstr(q->params[0], "bad")))
		fake_result_fail(r, "22P02", "invalid input syntax");
	/* Two keys at once take too long, and so does this one alone. */
	if (q->n_params && (strstr(q->params[0], "slow") || strstr(q->params[0], "1\",\"2")))
		fake_result_fail(r, "57014", "canceling statement due to statement timeout");
	if (q->n_params && strstr(q->params[0], "secret"))
		fake_result_fail(r, "42501", "permission denied");
}

static int query(void *user, const struct page *page, struct err *err)
{
	struct run *run = user;
	struct page_params params;
	int r;

	page_params_init(&params);
	r = page_params_set(&params, page, 1, err);
	if (r == 0)
		r = pg_query(run->s->pg, "Q", params.values, 1, NULL, err);
	page_params_release(&params);
	return r;
}

static int failed_alone(void *user, const struct page *page, const struct err *why, struct err *err)
{
	struct run *run = user;
	const char *key = keyset_data(page->set, page->keys[0]), *value;
	size_t left = page->keys[0]->len, len;

	assert_int_equal(page->n, 1);
	if (!strcmp(why->sqlstate, "57014"))
		return limits_exceeded_by("a book", why, err);
	assert_string_equal(why->sqlstate, "22P02");
	if (run->cannot_keep)
		return err_set(err, ERR_DENIED, "cannot keep it");
	assert_true(key_decode_value(&key, &left, &value, &len));
	(void)snprintf(run->failed + strlen(run->failed), sizeof(run->failed) - strlen(run->failed), "%.*s ", (int)len,
		       value);
	return 0;
}

static int halve(struct run *run, struct servers *s, const struct page *page)
{
	const struct page_task task = {
		.snapshot = &s->snapshot, .savepoint = "sp", .run = query, .failed_alone = failed_alone, .user = run};

	run->s = s;
	s->answer = answer;
	return page_halve(&task, page, &s->err);
}

static void test_page_halve_when_nothing_fails_then_one_query_in_a_savepoint(void **state)
{
	struct run run = {0};
	struct servers s;
	struct page page;

	UNUSED(state);
	servers_begin(&s);
	page = PAGE(&s, "1", "3");
	SERVERS_OK(&s, halve(&run, &s, &page));
	servers_expect_statements(&s, "SAVEPOINT sp; Q {\"1\",\"3\"}; RELEASE sp");
	assert_string_equal(run.failed, "");
	servers_end(&s);
}

static void test_page_halve_when_a_value_fails_then_its_key_alone_and_the_others_are_done(void **state)
{
	struct run run = {0};
	struct servers s;
	struct page page;

	UNUSED(state);
	servers_begin(&s);
	page = PAGE(&s, "1", "bad");
	SERVERS_OK(&s, halve(&run, &s, &page));
	servers_expect_statements(&s, "SAVEPOINT sp; Q {\"1\",\"bad\"}; ROLLBACK TO sp; RELEASE sp; "
				      "SAVEPOINT sp; Q {\"1\"}; RELEASE sp; "
				      "SAVEPOINT sp; Q {\"bad\"}; ROLLBACK TO sp; RELEASE sp; "
				      /* Without any key it works, so the key is the cause. */
				      "SAVEPOINT sp; Q {}; RELEASE sp");
	assert_string_equal(run.failed, "bad ");
	servers_end(&s);
}

static void test_page_halve_when_the_keys_are_old_then_a_failing_one_is_left_out(void **state)
{
	struct run run = {0};
	struct servers s;
	struct page page;

	UNUSED(state);
	servers_begin(&s);
	page = PAGE(&s, "bad", "2");
	page.old = true;
	SERVERS_OK(&s, halve(&run, &s, &page));
	assert_string_equal(run.failed, "");
	servers_end(&s);
}

static void test_page_halve_when_the_error_is_not_about_a_value_then_it_ends_at_once(void **state)
{
	struct run run = {0};
	struct servers s;
	struct page page;

	UNUSED(state);
	servers_begin(&s);
	page = PAGE(&s, "1", "secret");
	assert_int_equal(halve(&run, &s, &page), -1);
	assert_int_equal(s.err.kind, ERR_DENIED);
	servers_expect_statements(&s, "SAVEPOINT sp; Q {\"1\",\"secret\"}");
	servers_end(&s);
}

static void test_page_halve_when_it_fails_without_any_key_then_no_key_is_to_blame(void **state)
{
	struct run run = {0};
	struct servers s;
	struct page page;

	UNUSED(state);
	servers_begin(&s);
	s.fails = true;
	page = PAGE(&s, "1", "2");
	assert_int_equal(halve(&run, &s, &page), -1);
	assert_string_equal(s.err.sqlstate, "22P02");
	assert_string_equal(run.failed, "");
	servers_end(&s);
}

static void test_page_halve_when_a_failed_key_cannot_be_kept_then_that_is_the_error(void **state)
{
	struct run run = {.cannot_keep = true};
	struct servers s;
	struct page page;

	UNUSED(state);
	servers_begin(&s);
	page = PAGE(&s, "bad");
	assert_int_equal(halve(&run, &s, &page), -1);
	assert_string_equal(s.err.msg, "cannot keep it");
	servers_end(&s);
}

static void test_page_halve_when_it_takes_too_long_then_in_halves(void **state)
{
	struct run run = {0};
	struct servers s;
	struct page page;

	UNUSED(state);
	servers_begin(&s);
	page = PAGE(&s, "1", "2");
	SERVERS_OK(&s, halve(&run, &s, &page));
	servers_expect_statements(&s, "SAVEPOINT sp; Q {\"1\",\"2\"}; ROLLBACK TO sp; RELEASE sp; "
				      "SAVEPOINT sp; Q {\"1\"}; RELEASE sp; SAVEPOINT sp; Q {\"2\"}; RELEASE sp");
	assert_string_equal(run.failed, "");
	servers_end(&s);
}

/* It is not given up like a row with a value that fails: the server may only be busy. Nor is it skipped if it is old.
 */
static void test_page_halve_when_one_key_takes_too_long_then_an_error_that_says_so(void **state)
{
	for (int old = 0; old <= 1; old++) {
		struct run run = {0};
		struct servers s;
		struct page page;

		UNUSED(state);
		servers_begin(&s);
		page = PAGE(&s, "1", "slow", "3");
		page.old = old;
		assert_int_equal(halve(&run, &s, &page), -1);
		assert_int_equal(s.err.kind, ERR_TRANSIENT);
		assert_int_equal(s.err.reason, REASON_LIMIT_EXCEEDED);
		assert_non_null(strstr(s.err.msg, "reading a book takes longer than "
						  "spec.source.limits.statementTimeoutSeconds allows"));
		assert_non_null(strstr(s.err.msg, "canceling statement due to statement timeout"));
		/* What contains this task does not try it in halves again. */
		assert_false(limits_may_split(&s.err));
		assert_string_equal(run.failed, "");
		servers_end(&s);
	}
}

/* --- a task that goes on in another transaction --- */

static int move_on(void *user, const struct page *page, struct err *err)
{
	struct run *run = user;

	if (snapshot_end(&run->s->snapshot, err) < 0 || snapshot_again(&run->s->snapshot, err) < 0)
		return -1;
	return query(user, page, err);
}

#define NEXT "BEGIN; SET LOCAL statement_timeout = 0"

static void test_page_halve_when_the_task_ends_its_transaction_then_its_savepoint_is_gone(void **state)
{
	struct run run = {0};
	struct servers s;
	struct page page;
	const struct page_task task = {
		.snapshot = &s.snapshot, .savepoint = "sp", .run = move_on, .failed_alone = failed_alone, .user = &run};

	UNUSED(state);
	servers_begin(&s);
	run.s = &s;
	s.answer = answer;
	page = PAGE(&s, "1", "bad");
	SERVERS_OK(&s, page_halve(&task, &page, &s.err));
	servers_expect_statements(&s, "SAVEPOINT sp; COMMIT; " NEXT "; Q {\"1\",\"bad\"}; ROLLBACK; " NEXT
				      "; SAVEPOINT sp; COMMIT; " NEXT "; Q {\"1\"}; SAVEPOINT sp; COMMIT; " NEXT
				      "; Q {\"bad\"}; ROLLBACK; " NEXT "; SAVEPOINT sp; COMMIT; " NEXT "; Q {}");
	assert_string_equal(run.failed, "bad ");
	servers_end(&s);
}

/* The first snapshot meets a lock. What asks for its holder begins a transaction as well. */
static void answer_locked(struct servers *s, const struct fake_query *q, struct fake_result *r)
{
	if (!strncmp(q->sql, "BEGIN", 5) && !strstr(q->sql, "search_path") && s->fetches++ == 0)
		fake_result_fail(r, "55P03", "could not obtain lock");
}

/* A cursor may be one that the server has kept beyond the first transaction. */
static void test_snapshot_again_when_a_lock_is_in_the_way_then_it_waits_and_cursors_stay_open(void **state)
{
	struct servers s;

	UNUSED(state);
	servers_begin(&s);
	s.answer = answer_locked;
	SERVERS_OK(&s, snapshot_end(&s.snapshot, &s.err));
	SERVERS_OK(&s, snapshot_again(&s.snapshot, &s.err));
	(void)pthread_mutex_lock(fake_postgres_lock(s.postgres));
	assert_int_equal(s.fetches, 2);
	assert_null(strstr(s.statements.data, "CLOSE"));
	(void)pthread_mutex_unlock(fake_postgres_lock(s.postgres));
	assert_true(s.snapshot.open);
	assert_int_equal(s.snapshot.n, 2);
	servers_end(&s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_page_params_then_an_array_for_each_column),
		cmocka_unit_test(test_page_params_when_a_key_has_too_few_columns_then_fatal),
		cmocka_unit_test(test_page_params_when_the_keys_are_too_large_then_their_limit),
		cmocka_unit_test(test_page_halve_when_nothing_fails_then_one_query_in_a_savepoint),
		cmocka_unit_test(test_page_halve_when_a_value_fails_then_its_key_alone_and_the_others_are_done),
		cmocka_unit_test(test_page_halve_when_the_keys_are_old_then_a_failing_one_is_left_out),
		cmocka_unit_test(test_page_halve_when_the_error_is_not_about_a_value_then_it_ends_at_once),
		cmocka_unit_test(test_page_halve_when_it_fails_without_any_key_then_no_key_is_to_blame),
		cmocka_unit_test(test_page_halve_when_it_takes_too_long_then_in_halves),
		cmocka_unit_test(test_page_halve_when_one_key_takes_too_long_then_an_error_that_says_so),
		cmocka_unit_test(test_page_halve_when_a_failed_key_cannot_be_kept_then_that_is_the_error),
		cmocka_unit_test(test_page_halve_when_the_task_ends_its_transaction_then_its_savepoint_is_gone),
		cmocka_unit_test(test_snapshot_again_when_a_lock_is_in_the_way_then_it_waits_and_cursors_stay_open),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
