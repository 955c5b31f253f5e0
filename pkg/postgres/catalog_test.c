/* Tests of what is derived from a catalog, on tables made by hand. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "postgres/catalog.h"
#include "postgres/catalog_int.h"

/* links(id PK, parent NOT NULL, other NULL, total GENERATED NOT NULL) */
enum { ID, PARENT, OTHER, TOTAL, N_COLUMNS };

struct fixture {
	struct catalog_column columns[N_COLUMNS];
	struct catalog_index indexes[4];
	struct catalog_table table;
};

static int primary_columns[] = {ID}, pair_columns[] = {ID, PARENT};

static void fill(struct fixture *f)
{
	*f = (struct fixture){
		.columns = {{.name = (char *)"id", .not_null = true},
			    {.name = (char *)"parent", .not_null = true},
			    {.name = (char *)"other"},
			    {.name = (char *)"total", .not_null = true, .generated = true}},
		.indexes = {{.name = (char *)"links_pkey",
			     .unique = true,
			     .primary = true,
			     .immediate = true,
			     .valid = true,
			     .columns = primary_columns,
			     .n = 1},
			    {.name = (char *)"pair",
			     .unique = true,
			     .immediate = true,
			     .valid = true,
			     .columns = pair_columns,
			     .n = 2}},
		.table = {.oid = 42, .schema = (char *)"public", .name = (char *)"links", .replica_identity = 'd'},
	};
	f->table.columns = f->columns;
	f->table.n_columns = N_COLUMNS;
	f->table.indexes = f->indexes;
	f->table.n_indexes = 2;
}

static void test_find_when_schema_differs_then_absent(void **state)
{
	struct fixture f;
	struct catalog catalog = {.tables = &f.table, .n = 1};

	UNUSED(state);
	fill(&f);
	assert_ptr_equal(catalog_find(&catalog, "public", "links"), &f.table);
	assert_null(catalog_find(&catalog, "other", "links"));
	assert_null(catalog_find(&catalog, "public", "Links"));
	assert_ptr_equal(catalog_find_oid(&catalog, 42), &f.table);
	assert_null(catalog_find_oid(&catalog, 43));
	assert_int_equal(catalog_column(&f.table, "other"), OTHER);
	assert_int_equal(catalog_column(&f.table, "none"), -1);
	assert_ptr_equal(catalog_primary_key(&f.table), &f.indexes[0]);
}

static void test_identity_when_default_then_primary_key_is_covered(void **state)
{
	struct fixture f;

	UNUSED(state);
	fill(&f);
	assert_true(catalog_identity_covers(&f.table, ID));
	assert_false(catalog_identity_covers(&f.table, PARENT));
	assert_false(catalog_identity_covers(&f.table, -1));
	assert_false(catalog_identity_covers(&f.table, N_COLUMNS));
	f.indexes[0].primary = false;
	assert_false(catalog_identity_covers(&f.table, ID));
}

static void test_identity_when_primary_key_is_deferrable_then_nothing_is_covered(void **state)
{
	struct fixture f;

	UNUSED(state);
	fill(&f);
	f.indexes[0].immediate = false;
	assert_false(catalog_identity_covers(&f.table, ID));
}

static void test_identity_when_index_then_its_columns_are_covered(void **state)
{
	struct fixture f;

	UNUSED(state);
	fill(&f);
	f.table.replica_identity = 'i';
	f.table.identity_index = (char *)"pair";
	assert_true(catalog_identity_covers(&f.table, PARENT));
	assert_false(catalog_identity_covers(&f.table, OTHER));
	/* The index was dropped without a replacement. */
	f.table.identity_index = NULL;
	assert_false(catalog_identity_covers(&f.table, ID));
}

static void test_identity_when_full_then_all_but_generated_columns_are_covered(void **state)
{
	struct fixture f;

	UNUSED(state);
	fill(&f);
	f.table.replica_identity = 'f';
	assert_true(catalog_identity_covers(&f.table, OTHER));
	assert_false(catalog_identity_covers(&f.table, TOTAL));
	f.table.replica_identity = 'n';
	assert_false(catalog_identity_covers(&f.table, ID));
}

static void test_identity_index_when_several_cover_then_the_narrowest(void **state)
{
	struct fixture f;

	UNUSED(state);
	fill(&f);
	assert_ptr_equal(catalog_identity_index(&f.table, (const int[]){ID}, 1), &f.indexes[0]);
	assert_ptr_equal(catalog_identity_index(&f.table, (const int[]){PARENT, ID}, 2), &f.indexes[1]);
	assert_null(catalog_identity_index(&f.table, (const int[]){ID, OTHER}, 2));
}

static void test_identity_index_when_index_may_not_identify_then_passed_over(void **state)
{
	struct fixture f;
	struct catalog_index *pair = &f.indexes[1];
	const int want[] = {ID, PARENT};

	UNUSED(state);
	fill(&f);
	assert_ptr_equal(catalog_identity_index(&f.table, want, 2), pair);
	pair->unique = false;
	assert_null(catalog_identity_index(&f.table, want, 2));
	fill(&f);
	pair->immediate = false;
	assert_null(catalog_identity_index(&f.table, want, 2));
	fill(&f);
	pair->partial = true;
	assert_null(catalog_identity_index(&f.table, want, 2));
	fill(&f);
	pair->expression = true;
	assert_null(catalog_identity_index(&f.table, want, 2));
	fill(&f);
	pair->valid = false;
	assert_null(catalog_identity_index(&f.table, want, 2));
	fill(&f);
	f.columns[PARENT].not_null = false;
	assert_null(catalog_identity_index(&f.table, want, 2));
	fill(&f);
	f.columns[PARENT].generated = true;
	assert_null(catalog_identity_index(&f.table, want, 2));
}

static void test_positions_then_numbers_in_order(void **state)
{
	_cleanup_free_ int *positions = NULL;
	size_t n = 9;

	UNUSED(state);
	assert_true(catalog_positions("12 0 3", &positions, &n));
	assert_int_equal(n, 3);
	assert_int_equal(positions[0], 12);
	assert_int_equal(positions[1], 0);
	assert_int_equal(positions[2], 3);
}

static void test_positions_when_empty_or_malformed_then_none(void **state)
{
	int *positions = NULL;
	size_t n = 9;

	UNUSED(state);
	assert_true(catalog_positions(NULL, &positions, &n));
	assert_int_equal(n, 0);
	assert_null(positions);
	assert_false(catalog_positions("1 -2", &positions, &n));
	assert_false(catalog_positions("1,2", &positions, &n));
	assert_false(catalog_positions("70000", &positions, &n));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_find_when_schema_differs_then_absent),
		cmocka_unit_test(test_identity_when_default_then_primary_key_is_covered),
		cmocka_unit_test(test_identity_when_primary_key_is_deferrable_then_nothing_is_covered),
		cmocka_unit_test(test_identity_when_index_then_its_columns_are_covered),
		cmocka_unit_test(test_identity_when_full_then_all_but_generated_columns_are_covered),
		cmocka_unit_test(test_identity_index_when_several_cover_then_the_narrowest),
		cmocka_unit_test(test_identity_index_when_index_may_not_identify_then_passed_over),
		cmocka_unit_test(test_positions_then_numbers_in_order),
		cmocka_unit_test(test_positions_when_empty_or_malformed_then_none),
	};

	return cmocka_run_group_tests_name("catalog", tests, NULL, NULL);
}
