/* Tests of sets of columns: which indexes make them unique, and which find rows by them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "document/document_int.h"

enum { A, B, C };

static struct catalog_table table_with(struct catalog_index *index)
{
	return (struct catalog_table){.indexes = index, .n_indexes = 1};
}

static void test_columns_when_a_set_is_compared_then_the_order_does_not_matter(void **state)
{
	UNUSED(state);
	assert_true(columns_are_equal((const int[]){A, B}, 2, (const int[]){B, A}, 2));
	assert_false(columns_are_equal((const int[]){A, B}, 2, (const int[]){A, C}, 2));
	assert_false(columns_are_equal((const int[]){A, B}, 2, (const int[]){A}, 1));
	assert_false(columns_are_equal((const int[]){A}, 1, (const int[]){A, B}, 2));
}

static void test_columns_when_an_index_is_looked_at_then_only_a_usable_one_counts(void **state)
{
	int on_a[] = {A}, on_ab[] = {A, B}, on_ba[] = {B, A};
	const struct {
		const char *what;
		struct catalog_index index;
		int columns[2];
		size_t n;
		bool unique, indexed;
	} rows[] = {
		{"unique, the same column",
		 {.unique = true, .valid = true, .columns = on_a, .n = 1},
		 {A},
		 1,
		 true,
		 true},
		{"unique, another column",
		 {.unique = true, .valid = true, .columns = on_a, .n = 1},
		 {B},
		 1,
		 false,
		 false},
		{"unique, one column more",
		 {.unique = true, .valid = true, .columns = on_a, .n = 1},
		 {A, B},
		 2,
		 true,
		 true},
		{"unique over more", {.unique = true, .valid = true, .columns = on_ab, .n = 2}, {A}, 1, false, true},
		{"not unique", {.valid = true, .columns = on_a, .n = 1}, {A}, 1, false, true},
		{"a prefix", {.valid = true, .columns = on_ab, .n = 2}, {A}, 1, false, true},
		{"not a prefix", {.valid = true, .columns = on_ba, .n = 2}, {A}, 1, false, false},
		{"another order", {.valid = true, .columns = on_ba, .n = 2}, {A, B}, 2, false, true},
		{"one column fewer", {.valid = true, .columns = on_a, .n = 1}, {A, B}, 2, false, false},
		{"not valid", {.unique = true, .columns = on_a, .n = 1}, {A}, 1, false, false},
		{"partial",
		 {.unique = true, .valid = true, .partial = true, .columns = on_a, .n = 1},
		 {A},
		 1,
		 false,
		 false},
		{"with an expression",
		 {.unique = true, .valid = true, .expression = true, .columns = on_a, .n = 1},
		 {A},
		 1,
		 false,
		 false},
		{"of an expression alone",
		 {.unique = true, .valid = true, .columns = on_a, .n = 0},
		 {A},
		 1,
		 false,
		 false},
	};

	UNUSED(state);
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct catalog_index index = rows[i].index;
		const struct catalog_table table = table_with(&index);

		if (catalog_is_unique(&table, rows[i].columns, rows[i].n) != rows[i].unique)
			fail_msg("%s: unique", rows[i].what);
		if (columns_are_indexed(&table, rows[i].columns, rows[i].n) != rows[i].indexed)
			fail_msg("%s: indexed", rows[i].what);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_columns_when_a_set_is_compared_then_the_order_does_not_matter),
		cmocka_unit_test(test_columns_when_an_index_is_looked_at_then_only_a_usable_one_counts),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
