/* Tests of partitions, index names and the report. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "sync/generations_int.h"
#include "sync/partitions_int.h"
#include "sync/report_int.h"

/* A model with one plan over `table`, whose root it is or not, and what the checkpoint knows. Returns whether the
 * index has to be rebuilt. */
static bool compare_parts(struct catalog_table *table, bool is_root, struct checkpoint_part *known, size_t n_known,
			  struct model *m)
{
	static struct document_table used;
	static struct document_plan one = {.tables = &used, .n_tables = 1};
	static struct document_plan *only[] = {&one};
	static struct catalog catalog;
	struct checkpoint cp = {.parts = known, .n_parts = n_known};
	bool rebuild = false;

	used = (struct document_table){.table = table, .is_root = is_root};
	catalog = (struct catalog){.tables = table, .n = 1};
	*m = (struct model){.plans = only, .n_plans = 1, .catalog = &catalog};
	partitions_compare(m, &cp, &rebuild);
	return rebuild;
}

static void test_partitions_when_one_is_new_then_its_rows_are_read(void **state)
{
	struct catalog_part parts[] = {{.oid = 2, .kind = 'p', .attachment = 5},
				       {.oid = 3, .kind = 'r', .attachment = 6}};
	struct catalog_table table = {.oid = 1, .kind = 'p', .name = (char *)"t", .parts = parts, .n_parts = 2};
	struct checkpoint_part known[] = {{.table = 1, .part = 2, .attachment = 5}};
	struct model m;

	UNUSED(state);
	assert_false(compare_parts(&table, true, known, 1, &m));
	assert_true(m.resync.pending);
	assert_false(m.resync.all[0]);
	assert_int_equal(m.resync.n_scans, 1);
	assert_ptr_equal(m.resync.scans[0].part, &parts[1]);
	partition_resync_release(&m.resync);
}

static void test_partitions_when_one_is_gone_then_every_root_or_the_index_anew(void **state)
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
		assert_true(m.resync.pending && m.resync.all[0]);
		assert_int_equal(m.resync.n_scans, 0);
		partition_resync_release(&m.resync);
		assert_true(compare_parts(&table, true, cases[i].known, cases[i].n, &m));
		assert_false(m.resync.pending);
		partition_resync_release(&m.resync);
	}
}

static void test_partitions_when_as_known_then_nothing(void **state)
{
	struct catalog_part part = {.oid = 3, .kind = 'r', .attachment = 6, .filenode = 9};
	struct catalog_table table = {.oid = 1, .kind = 'p', .name = (char *)"t", .parts = &part, .n_parts = 1};
	/* What another table's partitions are is no matter of this one's. */
	struct checkpoint_part known[] = {{.table = 7, .part = 8},
					  {.table = 1, .part = 3, .attachment = 6, .filenode = 9}};
	struct model m;

	UNUSED(state);
	assert_false(compare_parts(&table, true, known, 2, &m));
	assert_false(m.resync.pending);
	partition_resync_release(&m.resync);
}

/* --- names and reports */

static void test_generation_number_when_name_is_not_ours_then_zero(void **state)
{
	_cleanup_free_ char *name = generation_name("books", 12);

	UNUSED(state);
	assert_string_equal(name, "books-g12");
	assert_int_equal(generation_number("books", name), 12);
	assert_int_equal(generation_number("book", name), 0);
	assert_int_equal(generation_number("books", "books-g"), 0);
	assert_int_equal(generation_number("books", "books-g0"), 0);
	assert_int_equal(generation_number("books", "books-gx"), 0);
	assert_int_equal(generation_number("books", "other"), 0);
}

static json_t *find_condition(json_t *report, const char *type)
{
	json_t *condition;
	size_t i;

	json_array_foreach (json_object_get(report, "conditions"), i, condition) {
		if (!strcmp(json_string_value(json_object_get(condition, "type")), type))
			return condition;
	}
	return NULL;
}

static void test_report_when_condition_keeps_its_status_then_time_stays(void **state)
{
	struct report r;
	int64_t first;

	UNUSED(state);
	report_init(&r);
	report_condition(&r, CONDITION_READY, STATUS_TRUE, "Streaming", "a");
	r.conditions[CONDITION_READY].transition_us = first = 1000000;
	report_condition(&r, CONDITION_READY, STATUS_TRUE, "Streaming", "b");
	assert_int_equal(r.conditions[CONDITION_READY].transition_us, first);
	report_condition(&r, CONDITION_READY, STATUS_FALSE, "LagExceedsTarget", "c");
	assert_true(r.conditions[CONDITION_READY].transition_us > first);
	report_release(&r);
}

static void test_report_json_then_stalled_is_there_only_when_true(void **state)
{
	char slot[] = "s";
	struct report r;
	json_t *json;

	UNUSED(state);
	report_init(&r);
	report_stream_set(&r, &(struct report_stream){.slot = slot,
						      .slot_state = "Active",
						      .lag_seconds = 130,
						      .confirmed_lsn = 0x100000010,
						      .retained_bytes = 16777216});
	json = report_json(&r);
	assert_null(find_condition(json, "Stalled"));
	assert_non_null(find_condition(json, "Ready"));
	assert_string_equal(json_string_value(json_object_get(json_object_get(json, "stream"), "lag")), "2m");
	assert_string_equal(json_string_value(json_object_get(json_object_get(json, "stream"), "confirmedFlushLSN")),
			    "1/10");
	assert_string_equal(json_string_value(json_object_get(json_object_get(json, "stream"), "retainedWAL")),
			    "16MiB");
	json_decref(json);
	report_condition(&r, CONDITION_STALLED, STATUS_TRUE, "SlotLost", "x");
	json = report_json(&r);
	assert_non_null(find_condition(json, "Stalled"));
	json_decref(json);
	report_release(&r);
}

static void test_report_letters_when_some_came_while_they_were_counted_then_these_stay(void **state)
{
	struct report r;
	uint32_t before;

	UNUSED(state);
	report_init(&r);
	before = report_letters_noted(&r, "books");
	report_letters(&r, "books", 3, report_letters_noted(&r, "books"));
	/* The count that was begun before saw none of them. */
	report_letters(&r, "books", 0, before);
	assert_int_equal(report_dead_letters(&r, "books"), 3);
	report_letters(&r, "books", 0, report_letters_noted(&r, "books"));
	assert_int_equal(report_dead_letters(&r, "books"), 0);
	report_release(&r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_partitions_when_one_is_new_then_its_rows_are_read),
		cmocka_unit_test(test_partitions_when_one_is_gone_then_every_root_or_the_index_anew),
		cmocka_unit_test(test_partitions_when_as_known_then_nothing),
		cmocka_unit_test(test_generation_number_when_name_is_not_ours_then_zero),
		cmocka_unit_test(test_report_when_condition_keeps_its_status_then_time_stays),
		cmocka_unit_test(test_report_json_then_stalled_is_there_only_when_true),
		cmocka_unit_test(test_report_letters_when_some_came_while_they_were_counted_then_these_stay),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
