/* Tests of a server that answers more than anybody can hold in memory. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/parse.h"
#include "fakes/postgres.h"
#include "postgres/pg.h"

enum { VALUE_BYTES = 1024 * 1024, TOO_MANY = 80, STREAMED = 100 };

struct server {
	struct fake_postgres *fake;
	struct pg *pg;
	char *value;
};

/* "SELECT n": n rows of a mebibyte. */
static void answer(void *user, const struct fake_query *query, struct fake_result *result)
{
	const struct server *s = user;
	uint64_t n;

	if (strncmp(query->sql, "SELECT ", 7) != 0 || !parse_u64(query->sql + 7, strlen(query->sql + 7), &n)) {
		FAKE_ROW(result, "pg_catalog");
		return;
	}
	for (; n > 0; n--)
		FAKE_ROW(result, s->value);
}

static void begin(struct server *s)
{
	struct pg_params params = {.host = "127.0.0.1", .database = "d", .user = "u", .cancel_fd = -1};
	struct err err = {0};

	s->value = xcalloc(VALUE_BYTES + 1, 1);
	memset(s->value, 'x', VALUE_BYTES);
	s->fake = fake_postgres_start(answer, s);
	params.port = fake_postgres_port(s->fake);
	if (pg_connect(&params, false, &s->pg, &err) < 0)
		fail_msg("%s", err.msg);
}

static void end(struct server *s)
{
	pg_close(s->pg);
	fake_postgres_stop(s->fake);
	free(s->value);
}

static void test_query_when_the_answer_has_no_end_then_limit(void **state)
{
	_cleanup_(pg_result_freep) struct pg_result *result = NULL;
	_cleanup_free_ char *sql = xasprintf("SELECT %d", TOO_MANY);
	struct server s;
	struct err err = {0};

	UNUSED(state);
	begin(&s);
	assert_int_equal(pg_query(s.pg, "SELECT 3", NULL, 0, &result, &err), 0);
	assert_int_equal(pg_n_rows(result), 3);
	pg_result_free(TAKE_PTR(result));
	assert_int_equal(pg_query(s.pg, sql, NULL, 0, &result, &err), -1);
	assert_int_equal(err.kind, ERR_LIMIT);
	assert_null(result);
	/* What is left of the answer would be taken for the next one. */
	assert_int_equal(pg_query(s.pg, "SELECT 1", NULL, 0, &result, &err), -1);
	assert_int_equal(err.kind, ERR_TRANSIENT);
	end(&s);
}

static void test_exec_when_the_answer_has_no_end_then_limit(void **state)
{
	_cleanup_free_ char *sql = xasprintf("SELECT %d", TOO_MANY);
	struct server s;
	struct err err = {0};

	UNUSED(state);
	begin(&s);
	assert_int_equal(pg_exec(s.pg, sql, &err), -1);
	assert_int_equal(err.kind, ERR_LIMIT);
	end(&s);
}

/* However many there are: only one is in memory. */
static void test_rows_when_there_are_many_then_all_are_streamed(void **state)
{
	_cleanup_free_ char *sql = xasprintf("SELECT %d", STREAMED);
	struct pg_result *row = NULL;
	struct server s;
	struct err err = {0};
	int n = 0;

	UNUSED(state);
	begin(&s);
	assert_int_equal(pg_rows_start(s.pg, sql, NULL, 0, &err), 0);
	for (; pg_rows_next(s.pg, &row, &err) == 1; n++)
		pg_result_free(TAKE_PTR(row));
	assert_int_equal(n, STREAMED);
	end(&s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_query_when_the_answer_has_no_end_then_limit),
		cmocka_unit_test(test_exec_when_the_answer_has_no_end_then_limit),
		cmocka_unit_test(test_rows_when_there_are_many_then_all_are_streamed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
