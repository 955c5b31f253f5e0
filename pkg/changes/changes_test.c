/* Tests of the dirty set, of batches, and of what a change makes dirty. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "changes/batch.h"
#include "changes/collector.h"

/* --- keys --- */

static void test_keyset_when_key_repeats_then_once_with_its_last_transaction(void **state)
{
	struct keyset set;

	UNUSED(state);
	keyset_init(&set, 1024);
	assert_true(keyset_add(&set, 1, "a", 1, 0));
	assert_true(keyset_add(&set, 2, "a", 1, 0));
	assert_true(keyset_add(&set, 1, "a", 1, 5));
	assert_int_equal(set.n, 2);
	assert_int_equal(keyset_find(&set, 1, "a", 1)->first_txn, 0);
	assert_int_equal(keyset_find(&set, 1, "a", 1)->last_txn, 5);
	assert_null(keyset_find(&set, 3, "a", 1));
	assert_null(keyset_find(&set, 1, "b", 1));
	keyset_release(&set);
}

static void test_keyset_when_full_then_refuses_and_keeps_what_it_has(void **state)
{
	struct keyset set;

	UNUSED(state);
	keyset_init(&set, 4);
	assert_true(keyset_add(&set, 0, "abc", 3, 0));
	assert_false(keyset_add(&set, 0, "de", 2, 0));
	assert_int_equal(set.n, 1);
	assert_true(keyset_add(&set, 0, "f", 1, 0));
	assert_non_null(keyset_find(&set, 0, "abc", 3));
	keyset_release(&set);
}

static void test_keyset_when_many_then_all_are_found(void **state)
{
	struct keyset set;

	UNUSED(state);
	keyset_init(&set, (size_t)1 << 20);
	for (uint32_t i = 0; i < 20000; i++)
		assert_true(keyset_add(&set, i % 3, (const char *)&i, sizeof(i), i));
	for (uint32_t i = 0; i < 20000; i++)
		assert_int_equal(keyset_find(&set, i % 3, (const char *)&i, sizeof(i))->first_txn, i);
	keyset_reset(&set);
	assert_int_equal(set.n, 0);
	assert_true(keyset_add(&set, 0, "x", 1, 0));
	keyset_release(&set);
}

static void test_keyset_cut_then_later_keys_stay_and_count_from_zero(void **state)
{
	struct keyset set;

	UNUSED(state);
	keyset_init(&set, 1024);
	(void)keyset_add(&set, 0, "early", 5, 0);
	(void)keyset_add(&set, 0, "both", 4, 1);
	(void)keyset_add(&set, 0, "both", 4, 3);
	(void)keyset_add(&set, 0, "late", 4, 2);
	keyset_cut(&set, 2);
	assert_int_equal(set.n, 2);
	assert_null(keyset_find(&set, 0, "early", 5));
	assert_int_equal(keyset_find(&set, 0, "both", 4)->first_txn, 0);
	assert_int_equal(keyset_find(&set, 0, "both", 4)->last_txn, 1);
	assert_int_equal(keyset_find(&set, 0, "late", 4)->first_txn, 0);
	keyset_release(&set);
}

static void test_key_values_when_encoded_then_decode_to_the_same(void **state)
{
	struct strbuf sb;
	const char *data, *value;
	size_t left, len;

	UNUSED(state);
	strbuf_init(&sb, 100);
	key_encode_value(&sb, "a|b", 3);
	key_encode_value(&sb, "", 0);
	data = sb.data;
	left = sb.len;
	assert_true(key_decode_value(&data, &left, &value, &len));
	assert_int_equal(len, 3);
	assert_memory_equal(value, "a|b", 3);
	assert_true(key_decode_value(&data, &left, &value, &len));
	assert_int_equal(len, 0);
	assert_false(key_decode_value(&data, &left, &value, &len));
	strbuf_release(&sb);
}

/* --- batches */

static void test_batch_ack_when_last_transaction_is_open_then_end_of_the_one_before(void **state)
{
	struct batch b;

	UNUSED(state);
	batch_init(&b);
	batch_begin(&b, 10, 100, 0);
	assert_int_equal(batch_ack_lsn(&b, 1), 0);
	batch_commit(&b, 110);
	batch_begin(&b, 11, 120, 0);
	assert_int_equal(batch_ack_lsn(&b, 2), 110);
	/* Its own documents are newer than those that were read before it. */
	assert_in_range(b.txns[1].lsn, 122, 129);
	batch_commit(&b, 130);
	assert_int_equal(batch_ack_lsn(&b, 2), 130);
	assert_int_equal(batch_ack_lsn(&b, 1), 110);
	batch_cut(&b, 1);
	assert_int_equal(b.n_txns, 1);
	assert_int_equal(b.txns[0].xid, 11);
	assert_int_equal(batch_ack_lsn(&b, 1), 130);
	batch_release(&b);
}

static void test_batch_full_when_keys_reach_the_cap(void **state)
{
	struct batch b;

	UNUSED(state);
	batch_init(&b);
	batch_begin(&b, 1, 1, 0);
	for (uint32_t i = 0; i < BATCH_KEYS; i++) {
		assert_false(batch_full(&b));
		assert_true(keyset_add(&b.keys, 0, (const char *)&i, sizeof(i), batch_current(&b)));
	}
	assert_true(batch_full(&b));
	batch_release(&b);
}

/* --- what a change makes dirty */

enum { BOOKS = 1, LINKS = 2, AUTHORS = 3 };

/* books (id) <- book_authors (book_id, author_id) -> authors (id), as the document compiler would describe it. */
static char id_name[] = "id", book_name[] = "book_id", some_sql[] = "SELECT";
static char *id_column[] = {id_name};
static char *book_column[] = {book_name};
static struct catalog_table catalog_tables[] = {{.oid = BOOKS}, {.oid = LINKS}, {.oid = AUTHORS}};
static struct document_table tables[] = {
	{.table = &catalog_tables[0], .is_root = true}, {.table = &catalog_tables[1]}, {.table = &catalog_tables[2]}};
static struct document_path paths[] = {
	{.relation = BOOKS, .columns = id_column, .n_columns = 1, .direct = true, .is_root = true},
	{.relation = LINKS, .columns = book_column, .n_columns = 1, .direct = true},
	{.relation = AUTHORS, .columns = id_column, .n_columns = 1, .sql = some_sql},
};
static struct document_plan plan = {.n_keys = 1, .tables = tables, .n_tables = 3, .paths = paths, .n_paths = 3};
static struct document_plan *plans[] = {&plan};

struct fixture {
	struct targets targets;
	struct collector *collector;
	struct batch batch;
	struct pgoutput_column columns[2];
	struct pgoutput_relation relation;
};

static struct fixture *make(uint32_t oid, const char *first, bool first_key, const char *second, bool second_key)
{
	struct fixture *f = xcalloc(1, sizeof(*f));

	targets_init(&f->targets, plans, 1);
	f->collector = collector_new(&f->targets);
	batch_init(&f->batch);
	batch_begin(&f->batch, 1, 1, 0);
	f->columns[0] = (struct pgoutput_column){.name = xstrdup(first), .key = first_key};
	f->columns[1] = (struct pgoutput_column){.name = xstrdup(second), .key = second_key};
	f->relation = (struct pgoutput_relation){.oid = oid, .replica_identity = 'd', .columns = f->columns, .n = 2};
	return f;
}

static void drop(struct fixture *f)
{
	collector_free(f->collector);
	batch_release(&f->batch);
	free(f->columns[0].name);
	free(f->columns[1].name);
	free(f);
}

static struct pgoutput_value text(const char *s)
{
	return (struct pgoutput_value){.kind = PGOUTPUT_TEXT, .data = s, .len = (uint32_t)strlen(s)};
}

static bool is_dirty(struct fixture *f, uint32_t target, const char *value)
{
	struct strbuf sb;
	bool found;

	strbuf_init(&sb, 100);
	if (value)
		key_encode_value(&sb, value, strlen(value));
	found = keyset_find(&f->batch.keys, target, sb.data, sb.len) != NULL;
	strbuf_release(&sb);
	return found;
}

static void change(struct fixture *f, struct pgoutput_message m)
{
	struct err err;

	m.relation = &f->relation;
	assert_int_equal(collector_change(f->collector, &m, &f->batch, &err), 0);
}

static void test_collect_when_root_key_changes_then_both_roots_are_dirty(void **state)
{
	struct fixture *f = make(BOOKS, "id", true, "title", false);
	struct pgoutput_value old_row[] = {text("1"), {0}}, new_row[] = {text("2"), text("x")};

	UNUSED(state);
	assert_true(collector_relation(f->collector, &f->relation));
	change(f,
	       (struct pgoutput_message){
		       .type = PGOUTPUT_UPDATE, .old_kind = PGOUTPUT_OLD_KEY, .old_row = old_row, .new_row = new_row});
	assert_true(is_dirty(f, 0, "1"));
	assert_true(is_dirty(f, 0, "2"));
	assert_int_equal(f->batch.keys.n, 2);
	drop(f);
}

static void test_collect_when_link_moves_then_old_and_new_parent_are_dirty(void **state)
{
	struct fixture *f = make(LINKS, "book_id", true, "author_id", true);
	struct pgoutput_value old_row[] = {text("1"), text("7")}, new_row[] = {text("3"), text("7")};

	UNUSED(state);
	assert_true(collector_relation(f->collector, &f->relation));
	change(f,
	       (struct pgoutput_message){
		       .type = PGOUTPUT_UPDATE, .old_kind = PGOUTPUT_OLD_KEY, .old_row = old_row, .new_row = new_row});
	change(f, (struct pgoutput_message){.type = PGOUTPUT_DELETE, .old_kind = PGOUTPUT_OLD_KEY, .old_row = new_row});
	assert_true(is_dirty(f, 0, "1"));
	assert_true(is_dirty(f, 0, "3"));
	assert_int_equal(f->batch.keys.n, 2);
	drop(f);
}

static void test_collect_when_way_needs_sql_then_its_columns_are_the_key(void **state)
{
	struct fixture *f = make(AUTHORS, "id", true, "name", false);
	struct pgoutput_value row[] = {text("7"), text("x")};
	uint32_t path = f->targets.first_path + 2;

	UNUSED(state);
	assert_true(collector_relation(f->collector, &f->relation));
	change(f, (struct pgoutput_message){.type = PGOUTPUT_UPDATE, .new_row = row});
	assert_true(is_dirty(f, path, "7"));
	assert_int_equal(f->batch.keys.n, 1);
	assert_int_equal(target_at(&f->targets, path).kind, TARGET_PATH);
	assert_ptr_equal(target_at(&f->targets, path).path, &paths[2]);
	drop(f);
}

static void test_collect_when_link_is_null_then_nothing_is_dirty(void **state)
{
	struct fixture *f = make(LINKS, "book_id", true, "author_id", true);
	struct pgoutput_value row[] = {{.kind = PGOUTPUT_NULL}, text("7")};

	UNUSED(state);
	(void)collector_relation(f->collector, &f->relation);
	change(f, (struct pgoutput_message){.type = PGOUTPUT_INSERT, .new_row = row});
	assert_int_equal(f->batch.keys.n, 0);
	drop(f);
}

static void test_collect_when_identity_lacks_the_link_then_every_root_is_dirty(void **state)
{
	struct fixture *f = make(LINKS, "book_id", false, "id", true);
	struct pgoutput_value old_row[] = {{0}, text("9")};
	uint32_t all = f->targets.first_all;

	UNUSED(state);
	assert_false(collector_relation(f->collector, &f->relation));
	change(f, (struct pgoutput_message){.type = PGOUTPUT_DELETE, .old_kind = PGOUTPUT_OLD_KEY, .old_row = old_row});
	assert_true(is_dirty(f, all, NULL));
	assert_int_equal(target_at(&f->targets, all).kind, TARGET_ALL);
	assert_int_equal(target_at(&f->targets, all).plan, 0);
	drop(f);
}

static void test_collect_when_toasted_key_was_not_sent_then_taken_from_the_old_row(void **state)
{
	struct fixture *f = make(BOOKS, "id", true, "title", false);
	struct pgoutput_value old_row[] = {text("k"), {0}}, new_row[] = {{.kind = PGOUTPUT_UNCHANGED}, text("x")};

	UNUSED(state);
	(void)collector_relation(f->collector, &f->relation);
	change(f,
	       (struct pgoutput_message){
		       .type = PGOUTPUT_UPDATE, .old_kind = PGOUTPUT_OLD_KEY, .old_row = old_row, .new_row = new_row});
	assert_true(is_dirty(f, 0, "k"));
	assert_int_equal(f->batch.keys.n, 1);
	drop(f);
}

/* The same books, routed by their shelf. */
static char shelf_name[] = "shelf";
static struct document_path routed_paths[] = {
	{.relation = BOOKS,
	 .columns = id_column,
	 .n_columns = 1,
	 .direct = true,
	 .is_root = true,
	 .routing = shelf_name},
	{.relation = LINKS, .columns = book_column, .n_columns = 1, .direct = true}};
static struct document_plan routed_plan = {
	.n_keys = 1, .routing = {.given = true}, .tables = tables, .n_tables = 2, .paths = routed_paths, .n_paths = 2};
static struct document_plan *routed_plans[] = {&routed_plan};

static struct fixture *make_routed(uint32_t oid, const char *first, bool first_key, const char *second, bool second_key)
{
	struct fixture *f = make(oid, first, first_key, second, second_key);

	collector_free(f->collector);
	targets_init(&f->targets, routed_plans, 1);
	f->collector = collector_new(&f->targets);
	return f;
}

static bool is_routed_dirty(struct fixture *f, const char *id, const char *routing)
{
	struct strbuf sb;
	bool found;

	strbuf_init(&sb, 100);
	key_encode_value(&sb, id, strlen(id));
	key_encode_value(&sb, routing, strlen(routing));
	found = keyset_find(&f->batch.keys, 0, sb.data, sb.len) != NULL;
	strbuf_release(&sb);
	return found;
}

static void test_collect_when_routing_changes_then_both_places_are_dirty(void **state)
{
	struct fixture *f = make_routed(BOOKS, "id", true, "shelf", true);
	struct pgoutput_value old_row[] = {text("1"), text("a")}, new_row[] = {text("1"), {.kind = PGOUTPUT_NULL}};

	UNUSED(state);
	assert_true(collector_relation(f->collector, &f->relation));
	change(f,
	       (struct pgoutput_message){
		       .type = PGOUTPUT_UPDATE, .old_kind = PGOUTPUT_OLD_KEY, .old_row = old_row, .new_row = new_row});
	assert_true(is_routed_dirty(f, "1", "a"));
	assert_true(is_routed_dirty(f, "1", ""));
	assert_int_equal(f->batch.keys.n, 2);
	drop(f);
}

static void test_collect_when_identity_lacks_the_routing_then_the_index_is_rebuilt(void **state)
{
	struct fixture *f = make_routed(BOOKS, "id", true, "shelf", false);
	struct pgoutput_value old_row[] = {text("1"), {0}}, new_row[] = {text("2"), text("b")};

	UNUSED(state);
	assert_false(collector_relation(f->collector, &f->relation));
	change(f, (struct pgoutput_message){.type = PGOUTPUT_INSERT, .new_row = new_row});
	assert_true(is_routed_dirty(f, "2", "b"));
	assert_int_equal(f->batch.keys.n, 1);
	change(f, (struct pgoutput_message){.type = PGOUTPUT_DELETE, .old_kind = PGOUTPUT_OLD_KEY, .old_row = old_row});
	assert_true(is_dirty(f, f->targets.first_rebuild, NULL));
	assert_int_equal(f->batch.keys.n, 2);
	drop(f);
}

static void test_collect_when_a_child_changes_then_its_root_is_dirty_without_a_routing(void **state)
{
	struct fixture *f = make_routed(LINKS, "book_id", true, "author_id", true);
	struct pgoutput_value row[] = {text("1"), text("7")};

	UNUSED(state);
	assert_true(collector_relation(f->collector, &f->relation));
	change(f, (struct pgoutput_message){.type = PGOUTPUT_INSERT, .new_row = row});
	assert_true(is_dirty(f, 0, "1"));
	assert_int_equal(f->batch.keys.n, 1);
	drop(f);
}

static void test_collect_when_a_base_table_of_a_view_changes_then_every_root_is_dirty(void **state)
{
	static struct document_path base = {.relation = 50, .opaque = true};
	static struct document_table table = {.table = &catalog_tables[0], .is_root = true};
	static struct document_plan followed = {
		.n_keys = 1, .tables = &table, .n_tables = 1, .paths = &base, .n_paths = 1};
	static struct document_plan *both[] = {&plan, &followed};
	struct fixture *f = make(50, "a", false, "b", false);
	struct pgoutput_value row[] = {{.kind = PGOUTPUT_UNCHANGED}, {.kind = PGOUTPUT_NULL}};

	UNUSED(state);
	collector_free(f->collector);
	targets_init(&f->targets, both, 2);
	f->collector = collector_new(&f->targets);
	assert_true(collector_relation(f->collector, &f->relation));
	change(f, (struct pgoutput_message){.type = PGOUTPUT_UPDATE, .new_row = row});
	change(f, (struct pgoutput_message){.type = PGOUTPUT_DELETE, .old_kind = PGOUTPUT_OLD_KEY, .old_row = row});
	assert_int_equal(f->batch.keys.n, 1);
	assert_true(is_dirty(f, f->targets.first_all + 1, NULL));
	assert_int_equal(target_at(&f->targets, f->targets.first_all + 1).kind, TARGET_ALL);
	assert_int_equal(target_at(&f->targets, f->targets.first_all + 1).plan, 1);
	drop(f);
}

static void test_collect_truncate_then_root_rebuilds_and_child_dirties_all(void **state)
{
	struct fixture *f = make(BOOKS, "id", true, "title", false);
	struct pgoutput_relation links = {.oid = LINKS};
	const struct pgoutput_relation *truncated[] = {&f->relation, &links};

	UNUSED(state);
	change(f, (struct pgoutput_message){.type = PGOUTPUT_TRUNCATE, .truncated = truncated, .n_truncated = 2});
	assert_true(is_dirty(f, f->targets.first_rebuild, NULL));
	assert_true(is_dirty(f, f->targets.first_all, NULL));
	assert_int_equal(f->batch.keys.n, 2);
	assert_int_equal(target_at(&f->targets, f->targets.first_rebuild).kind, TARGET_REBUILD);
	assert_int_equal(target_at(&f->targets, f->targets.first_retry).kind, TARGET_RETRY);
	drop(f);
}

static void test_collect_when_relation_is_not_ours_then_nothing(void **state)
{
	struct fixture *f = make(99, "id", true, "x", false);
	struct pgoutput_value row[] = {text("7"), text("x")};

	UNUSED(state);
	assert_true(collector_relation(f->collector, &f->relation));
	change(f, (struct pgoutput_message){.type = PGOUTPUT_INSERT, .new_row = row});
	assert_int_equal(f->batch.keys.n, 0);
	drop(f);
}

/* --- partitions */

enum { SALES = 60, LEAF = 61, OTHER_LEAF = 62 };

static struct catalog_table sales = {.oid = SALES, .kind = 'p', .name = (char *)"sales"};
static struct document_table sales_table = {.table = &sales};
static struct document_path sales_path = {.relation = SALES, .columns = book_column, .n_columns = 1, .direct = true};
static struct document_plan sales_plan = {
	.n_keys = 1, .tables = &sales_table, .n_tables = 1, .paths = &sales_path, .n_paths = 1};
static struct document_plan *sales_plans[] = {&sales_plan};

static struct fixture *make_sales(void)
{
	struct fixture *f = make(SALES, "id", true, "book_id", false);

	collector_free(f->collector);
	targets_init(&f->targets, sales_plans, 1);
	f->collector = collector_new(&f->targets);
	return f;
}

/* In the server's order: first the partitioned table, whose own identity is the key, then the partition. */
static bool describe(struct fixture *f, uint32_t leaf, char identity)
{
	struct pgoutput_column columns[] = {{.name = book_name, .key = identity == 'f'},
					    {.name = id_name, .key = true}};
	struct pgoutput_relation relation = {.oid = leaf, .replica_identity = identity, .columns = columns, .n = 2};

	(void)collector_relation(f->collector, &f->relation);
	return collector_relation(f->collector, &relation);
}

static void delete_sale(struct fixture *f, const struct pgoutput_value *old_row)
{
	change(f, (struct pgoutput_message){.type = PGOUTPUT_DELETE, .old_kind = PGOUTPUT_OLD_KEY, .old_row = old_row});
}

static void test_collect_when_all_partitions_hold_the_link_then_old_rows_are_followed(void **state)
{
	struct fixture *f = make_sales();
	struct pgoutput_value old_row[] = {text("1"), text("7")};

	UNUSED(state);
	assert_true(describe(f, LEAF, 'f'));
	assert_true(describe(f, OTHER_LEAF, 'f'));
	delete_sale(f, old_row);
	assert_true(is_dirty(f, 0, "7"));
	assert_int_equal(f->batch.keys.n, 1);
	assert_false(collector_has_gaps(f->collector));
	drop(f);
}

static void test_collect_when_a_partition_lacks_the_link_then_no_old_row_is_trusted_until_it_holds_it(void **state)
{
	struct fixture *f = make_sales();
	struct pgoutput_value without[] = {text("1"), {.kind = PGOUTPUT_NULL}}, with[] = {text("1"), text("7")};

	UNUSED(state);
	assert_true(describe(f, LEAF, 'f'));
	assert_false(describe(f, OTHER_LEAF, 'd'));
	assert_true(collector_has_gaps(f->collector));
	delete_sale(f, without);
	assert_true(is_dirty(f, f->targets.first_all, NULL));
	assert_int_equal(f->batch.keys.n, 1);
	/* The description of another partition does not change that. */
	assert_false(describe(f, LEAF, 'f'));
	assert_true(describe(f, OTHER_LEAF, 'f'));
	delete_sale(f, with);
	assert_true(is_dirty(f, 0, "7"));
	drop(f);
}

static void test_collect_when_a_partition_is_described_by_itself_then_it_belongs_to_no_table(void **state)
{
	struct fixture *f = make_sales();
	struct pgoutput_relation stranger = {.oid = LEAF, .replica_identity = 'n'};
	struct pgoutput_value row[] = {text("1"), text("7")};

	UNUSED(state);
	assert_true(describe(f, OTHER_LEAF, 'f'));
	change(f, (struct pgoutput_message){.type = PGOUTPUT_INSERT, .new_row = row});
	assert_true(collector_relation(f->collector, &stranger));
	assert_false(collector_has_gaps(f->collector));
	drop(f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_keyset_when_key_repeats_then_once_with_its_last_transaction),
		cmocka_unit_test(test_keyset_when_full_then_refuses_and_keeps_what_it_has),
		cmocka_unit_test(test_keyset_when_many_then_all_are_found),
		cmocka_unit_test(test_keyset_cut_then_later_keys_stay_and_count_from_zero),
		cmocka_unit_test(test_key_values_when_encoded_then_decode_to_the_same),
		cmocka_unit_test(test_batch_ack_when_last_transaction_is_open_then_end_of_the_one_before),
		cmocka_unit_test(test_batch_full_when_keys_reach_the_cap),
		cmocka_unit_test(test_collect_when_root_key_changes_then_both_roots_are_dirty),
		cmocka_unit_test(test_collect_when_link_moves_then_old_and_new_parent_are_dirty),
		cmocka_unit_test(test_collect_when_way_needs_sql_then_its_columns_are_the_key),
		cmocka_unit_test(test_collect_when_link_is_null_then_nothing_is_dirty),
		cmocka_unit_test(test_collect_when_identity_lacks_the_link_then_every_root_is_dirty),
		cmocka_unit_test(test_collect_when_toasted_key_was_not_sent_then_taken_from_the_old_row),
		cmocka_unit_test(test_collect_when_routing_changes_then_both_places_are_dirty),
		cmocka_unit_test(test_collect_when_identity_lacks_the_routing_then_the_index_is_rebuilt),
		cmocka_unit_test(test_collect_when_a_child_changes_then_its_root_is_dirty_without_a_routing),
		cmocka_unit_test(test_collect_when_a_base_table_of_a_view_changes_then_every_root_is_dirty),
		cmocka_unit_test(test_collect_when_all_partitions_hold_the_link_then_old_rows_are_followed),
		cmocka_unit_test(
			test_collect_when_a_partition_lacks_the_link_then_no_old_row_is_trusted_until_it_holds_it),
		cmocka_unit_test(test_collect_when_a_partition_is_described_by_itself_then_it_belongs_to_no_table),
		cmocka_unit_test(test_collect_truncate_then_root_rebuilds_and_child_dirties_all),
		cmocka_unit_test(test_collect_when_relation_is_not_ours_then_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
