/* Tests of what has to be read or rebuilt when partitions were added or removed. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "apply/partition_changes.h"

static struct document_path path;

/* Compares a model with one plan over `table`, which may be its root, with what the checkpoint records. */
static void compare(struct catalog_table *table, bool is_root, const struct checkpoint *cp, struct model *m,
		    bool *rebuild)
{
	static struct document_table used;
	static struct document_plan one = {.tables = &used, .n_tables = 1, .paths = &path, .n_paths = 1};
	static struct document_plan *only[] = {&one};
	static struct catalog catalog;

	used = (struct document_table){.table = table, .is_root = is_root};
	catalog = (struct catalog){.tables = table, .n = 1};
	*m = (struct model){.plans = only, .n_plans = 1, .catalog = &catalog};
	source_tables_init(&m->tables, &catalog, only, 1);
	partition_changes_compare(m, cp, rebuild);
	source_tables_release(&m->tables);
}

/* Whether the index has to be rebuilt. */
static bool compare_parts(struct catalog_table *table, bool is_root, struct checkpoint_part *known, size_t n_known,
			  struct model *m)
{
	const struct checkpoint cp = {.parts = known, .n_parts = n_known};
	bool rebuild = false;

	compare(table, is_root, &cp, m, &rebuild);
	return rebuild;
}

static void test_partition_changes_when_one_is_new_then_its_rows_are_read(void **state)
{
	struct catalog_part parts[] = {{.oid = 2, .kind = 'p', .attachment = 5},
				       {.oid = 3, .kind = 'r', .attachment = 6}};
	struct catalog_table table = {.oid = 1, .kind = 'p', .name = (char *)"t", .parts = parts, .n_parts = 2};
	struct checkpoint_part known[] = {{.table = 1, .part = 2, .attachment = 5}};
	struct model m;

	UNUSED(state);
	assert_false(compare_parts(&table, true, known, 1, &m));
	assert_true(m.partition_changes.pending);
	assert_false(m.partition_changes.all[0]);
	assert_int_equal(m.partition_changes.n_scans, 1);
	assert_ptr_equal(m.partition_changes.scans[0].part, &parts[1]);
	partition_changes_release(&m.partition_changes);
}

static void test_partition_changes_when_one_is_gone_then_every_root_is_read_or_the_index_rebuilt(void **state)
{
	struct catalog_part part = {.oid = 3, .kind = 'r', .attachment = 6, .filenode = 9};
	struct catalog_table table = {.oid = 1, .kind = 'p', .name = (char *)"t", .parts = &part, .n_parts = 1};
	struct checkpoint_part gone[] = {{.table = 1, .part = 3, .attachment = 6, .filenode = 9},
					 {.table = 1, .part = 2}};
	struct checkpoint_part attached[] = {{.table = 1, .part = 3, .attachment = 4, .filenode = 9}};
	struct checkpoint_part emptied[] = {{.table = 1, .part = 3, .attachment = 6, .filenode = 8}};
	struct {
		struct checkpoint_part *known;
		size_t n;
	} const cases[] = {{gone, 2}, {attached, 1}, {emptied, 1}};
	struct model m;

	UNUSED(state);
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		assert_false(compare_parts(&table, false, cases[i].known, cases[i].n, &m));
		assert_true(m.partition_changes.pending && m.partition_changes.all[0]);
		assert_int_equal(m.partition_changes.n_scans, 0);
		partition_changes_release(&m.partition_changes);
		assert_true(compare_parts(&table, true, cases[i].known, cases[i].n, &m));
		assert_false(m.partition_changes.pending);
		partition_changes_release(&m.partition_changes);
	}
}

static void test_partition_changes_described_then_what_is_read(void **state)
{
	static struct schema_document document = {.path = (char *)"spec.schema[1]", .index = (char *)"books"};
	struct document_plan one = {.document = &document}, two = {.document = &document};
	struct document_plan *plans[] = {&one, &two};
	struct catalog_part part = {.schema = (char *)"public", .name = (char *)"t_2"};
	struct partition_scan scan = {.part = &part};
	bool all[] = {false, true};
	struct model m = {.plans = plans,
			  .n_plans = 2,
			  .partition_changes = {.pending = true, .all = all, .scans = &scan, .n_scans = 1}};
	struct findings changes;

	UNUSED(state);
	findings_init(&changes);
	partition_changes_describe(&m, &changes);
	assert_int_equal(changes.n, 2);
	assert_string_equal(changes.items[0].message,
			    "a start reads the rows of partition public.t_2, which was added");
	assert_string_equal(changes.items[1].message,
			    "a start builds every document of index books again, because partitions of its tables "
			    "were added, removed or emptied");
	assert_string_equal(changes.items[1].path, "spec.schema[1]");
	findings_release(&changes);
}

static void test_partition_changes_when_as_known_then_nothing(void **state)
{
	struct catalog_part part = {.oid = 3, .kind = 'r', .attachment = 6, .filenode = 9};
	struct catalog_table table = {.oid = 1, .kind = 'p', .name = (char *)"t", .parts = &part, .n_parts = 1};
	/* Another table's partitions do not matter. */
	struct checkpoint_part known[] = {{.table = 7, .part = 8},
					  {.table = 1, .part = 3, .attachment = 6, .filenode = 9}};
	struct model m;

	UNUSED(state);
	assert_false(compare_parts(&table, true, known, 2, &m));
	assert_false(m.partition_changes.pending);
	partition_changes_release(&m.partition_changes);
}

static void test_partition_changes_when_nothing_would_fill_a_new_index_then_every_root_is_read(void **state)
{
	struct catalog_table table = {.oid = 1, .kind = 'p', .name = (char *)"t"};
	struct checkpoint_part gone = {.table = 1, .part = 2};
	const struct checkpoint cp = {.parts = &gone, .n_parts = 1};
	struct model m;

	UNUSED(state);
	compare(&table, true, &cp, &m, NULL);
	assert_true(m.partition_changes.pending && m.partition_changes.all[0]);
	partition_changes_release(&m.partition_changes);
}

static void test_partition_changes_when_the_path_to_the_roots_is_unknown_then_a_new_one_reads_every_root(void **state)
{
	struct catalog_part part = {.oid = 3, .kind = 'r', .attachment = 6};
	struct catalog_table table = {.oid = 1, .kind = 'p', .name = (char *)"t", .parts = &part, .n_parts = 1};
	struct model m;

	UNUSED(state);
	path = (struct document_path){.relation = 1, .opaque = true};
	assert_false(compare_parts(&table, false, NULL, 0, &m));
	assert_true(m.partition_changes.all[0]);
	partition_changes_release(&m.partition_changes);
	path = (struct document_path){.relation = 7, .opaque = true};
	assert_false(compare_parts(&table, false, NULL, 0, &m));
	assert_false(m.partition_changes.all[0]);
	partition_changes_release(&m.partition_changes);
	path = (struct document_path){0};
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_partition_changes_when_one_is_new_then_its_rows_are_read),
		cmocka_unit_test(test_partition_changes_when_one_is_gone_then_every_root_is_read_or_the_index_rebuilt),
		cmocka_unit_test(test_partition_changes_described_then_what_is_read),
		cmocka_unit_test(test_partition_changes_when_as_known_then_nothing),
		cmocka_unit_test(test_partition_changes_when_nothing_would_fill_a_new_index_then_every_root_is_read),
		cmocka_unit_test(
			test_partition_changes_when_the_path_to_the_roots_is_unknown_then_a_new_one_reads_every_root),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
