/* Tests of the limits: for how many rows which one holds, and what may be done in parts. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "apply/limits.h"
#include "base/mem.h"

static void test_limits_of_rows_then_the_smaller_one_unless_the_row_is_alone(void **state)
{
	static const struct {
		struct limits limits;
		uint64_t rows;
		int64_t ms;
	} cases[] = {
		{{.statement_ms = 700, .snapshot_ms = 500}, 2, 500},
		{{.statement_ms = 700, .snapshot_ms = 500}, 1, 700},
		{{.statement_ms = 700, .snapshot_ms = 500}, 0, 700},
		{{.statement_ms = 700, .snapshot_ms = 900}, 1 << 20, 700},
	};

	UNUSED(state);
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
		assert_int_equal(limits_of_rows(&cases[i].limits, cases[i].rows), cases[i].ms);
}

static void test_limits_may_split_then_for_values_and_for_what_takes_too_long(void **state)
{
	static const struct {
		const char *sqlstate;
		enum err_kind kind;
		enum reason reason;
		bool may;
	} cases[] = {
		{"22012", ERR_INVALID, REASON_NONE, true},           /* division by zero */
		{"57014", ERR_TRANSIENT, REASON_NONE, true},         /* statement timeout */
		{"", ERR_CONFLICT, REASON_LIMIT_EXCEEDED, true},     /* the engine took nothing in time */
		{"", ERR_TRANSIENT, REASON_LIMIT_EXCEEDED, false},   /* a single row */
		{"55P03", ERR_CONFLICT, REASON_TABLE_LOCKED, false}, /* a lock */
		{"42501", ERR_DENIED, REASON_NONE, false},           /* permission denied */
		{"57P01", ERR_TRANSIENT, REASON_NONE, false},        /* the session was ended */
	};

	UNUSED(state);
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct err err;

		(void)err_reason(&err, cases[i].kind, cases[i].reason, "failed");
		memcpy(err.sqlstate, cases[i].sqlstate, strlen(cases[i].sqlstate) + 1);
		assert_int_equal(limits_may_split(&err), cases[i].may);
	}
}

static void test_limits_exceeded_by_one_then_it_may_not_be_split_again(void **state)
{
	struct err err;

	UNUSED(state);
	(void)err_set(&err, ERR_TRANSIENT, "canceling statement");
	memcpy(err.sqlstate, "57014", 6);
	assert_int_equal(limits_exceeded_by("one row", &err, &err), -1);
	assert_false(limits_may_split(&err));
	assert_non_null(strstr(err.msg, "canceling statement"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_limits_of_rows_then_the_smaller_one_unless_the_row_is_alone),
		cmocka_unit_test(test_limits_may_split_then_for_values_and_for_what_takes_too_long),
		cmocka_unit_test(test_limits_exceeded_by_one_then_it_may_not_be_split_again),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
