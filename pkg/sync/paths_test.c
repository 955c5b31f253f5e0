/* The path up, from the change of a row to what it makes dirty: every kind of relation, every kind of change, at every
 * level of a compiled tree.
 *
 *   shops (id)
 *     orders (id, shop_id)            one_to_many, the key on the child
 *       tags (id, kind_id)            one_to_many through order_tags (order_id, tag_id)
 *         kinds (id)                  one_to_one, the key on the parent
 *       lines (order_id, number)      one_to_many scalar, a composite key that holds the link
 *     owners (id, shop_id)            one_to_one, the key on the child
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "changes/collector.h"
#include "json/json.h"

enum { COLUMNS = 2 };

/* --- tables: two integer columns each; the first is the key unless stated otherwise --- */

struct table {
	const char *name, *columns[COLUMNS];
	size_t n, n_key;
	struct {
		const char *column, *to;
	} keys[COLUMNS];
};

static const struct table made[] = {
	{"shops", {"id"}, 1, 1, {{0}}},
	{"orders", {"id", "shop_id"}, 2, 1, {{"shop_id", "shops"}}},
	{"order_tags", {"order_id", "tag_id"}, 2, 2, {{"order_id", "orders"}, {"tag_id", "tags"}}},
	{"tags", {"id", "kind_id"}, 2, 1, {{"kind_id", "kinds"}}},
	{"kinds", {"id"}, 1, 1, {{0}}},
	{"lines", {"order_id", "number"}, 2, 2, {{"order_id", "orders"}}},
	{"owners", {"id", "shop_id"}, 2, 1, {{"shop_id", "shops"}}},
};

static const char schema[] =
	"[{\"index\": \"shops\", \"nodes\": {\"table\": \"shops\", \"children\": ["
	"{\"table\": \"orders\", \"relationship\": {\"type\": \"one_to_many\", \"variant\": \"object\"}, \"children\": "
	"["
	"{\"table\": \"tags\", \"relationship\": {\"type\": \"one_to_many\", \"variant\": \"object\", "
	"\"through_tables\": "
	"[\"order_tags\"]}, \"children\": ["
	"{\"table\": \"kinds\", \"relationship\": {\"type\": \"one_to_one\", \"variant\": \"object\"}}]},"
	"{\"table\": \"lines\", \"columns\": [\"number\"], \"relationship\": {\"type\": \"one_to_many\", \"variant\": "
	"\"scalar\"}}]},"
	"{\"table\": \"owners\", \"relationship\": {\"type\": \"one_to_one\", \"variant\": \"object\"}}]}}]";

static uint32_t oid_of(const char *name)
{
	for (size_t i = 0; i < ARRAY_SIZE(made); i++)
		if (!strcmp(made[i].name, name))
			return 100 + (uint32_t)i;
	fail_msg("no table %s", name);
	return 0;
}

static struct catalog_column column_of(const char *name, int attnum)
{
	return (struct catalog_column){.name = xstrdup(name),
				       .type_oid = 23,
				       .typmod = -1,
				       .type = xstrdup("integer"),
				       .base_type = xstrdup("int4"),
				       .category = 'N',
				       .attnum = attnum};
}

static void add_keys(const struct table *from, struct catalog_table *to)
{
	to->indexes = xcalloc(1, sizeof(*to->indexes));
	to->indexes[to->n_indexes++] = (struct catalog_index){.name = xstrdup("key"),
							      .unique = true,
							      .primary = true,
							      .immediate = true,
							      .valid = true,
							      .columns = xcalloc(COLUMNS, sizeof(int)),
							      .n = from->n_key};
	for (size_t i = 0; i < from->n_key; i++)
		to->indexes[0].columns[i] = (int)i;
	to->foreign_keys = xcalloc(COLUMNS, sizeof(*to->foreign_keys));
	for (size_t i = 0; i < COLUMNS && from->keys[i].column; i++) {
		struct catalog_foreign_key *key = &to->foreign_keys[to->n_foreign_keys++];

		*key = (struct catalog_foreign_key){.name = xstrdup("reference"),
						    .to = oid_of(from->keys[i].to),
						    .columns = xcalloc(1, sizeof(int)),
						    .to_columns = xcalloc(1, sizeof(int)),
						    .n = 1};
		key->columns[0] = catalog_column(to, from->keys[i].column);
	}
}

static struct catalog *make_catalog(void)
{
	struct catalog *catalog = xcalloc(1, sizeof(*catalog));

	catalog->tables = xcalloc(ARRAY_SIZE(made), sizeof(*catalog->tables));
	for (size_t i = 0; i < ARRAY_SIZE(made); i++) {
		struct catalog_table *table = &catalog->tables[catalog->n++];

		*table = (struct catalog_table){.oid = oid_of(made[i].name),
						.schema = xstrdup("public"),
						.name = xstrdup(made[i].name),
						.kind = 'r',
						.persistence = 'p',
						.replica_identity = 'f'};
		table->columns = xcalloc(COLUMNS, sizeof(*table->columns));
		for (; table->n_columns < made[i].n; table->n_columns++)
			table->columns[table->n_columns] =
				column_of(made[i].columns[table->n_columns], (int)table->n_columns + 1);
		add_keys(&made[i], table);
	}
	return catalog;
}

/* --- a compiled tree, and what its collector reports for changes --- */

struct world {
	struct catalog *catalog;
	struct schema_document **documents;
	size_t n_documents;
	struct document_plan *plans[1];
	struct targets targets;
	struct collector *collector;
};

static void world_start(struct world *w)
{
	_cleanup_json_ json_t *array = json_loads(schema, 0, NULL);
	struct findings f;

	*w = (struct world){.catalog = make_catalog()};
	findings_init(&f);
	schema_decode(array, "schema", &w->documents, &w->n_documents, &f);
	w->plans[0] = document_compile(w->documents[0], &(struct schema_document_format){0}, w->catalog, NULL, &f);
	assert_non_null(w->plans[0]);
	findings_release(&f);
	targets_init(&w->targets, w->plans, 1);
	w->collector = collector_new(&w->targets);
}

static void world_stop(struct world *w)
{
	collector_free(w->collector);
	document_plan_free(w->plans[0]);
	schema_document_free(w->documents[0]);
	free(w->documents);
	catalog_free(w->catalog);
}

/* "1,2": a row; "-" is NULL. NULL: no row. */
static struct pgoutput_value *parse_row(const char *text, struct pgoutput_value row[COLUMNS])
{
	size_t n = 0;

	for (const char *s = text; s && *s; s += *s == ',') {
		size_t len = strcspn(s, ",");

		row[n++] = *s == '-' ? (struct pgoutput_value){.kind = PGOUTPUT_NULL}
				     : (struct pgoutput_value){.kind = PGOUTPUT_TEXT, .data = s, .len = (uint32_t)len};
		s += len;
	}
	return text ? row : NULL;
}

/* "root 1; orders > order_tags 7": every dirty key, by target and value, in the order of collection. */
static char *dirty(const struct world *w, const struct batch *batch)
{
	struct strbuf sb;

	strbuf_init(&sb, 4096);
	for (size_t i = 0; i < batch->keys.n; i++) {
		const struct key *key = &batch->keys.keys[i];
		struct target target = target_at(&w->targets, key->target);
		const char *data = keyset_data(&batch->keys, key), *value;
		size_t left = key->len, len;

		strbuf_addf(&sb, "%s%s", i ? "; " : "", target.kind == TARGET_PATH ? target.path->description : "root");
		while (key_decode_value(&data, &left, &value, &len))
			strbuf_addf(&sb, " %.*s", (int)len, value);
	}
	return strbuf_detach(&sb);
}

static void expect(struct world *w, const char *table, const char *old_row, const char *new_row, const char *want)
{
	const struct catalog_table *found = catalog_find(w->catalog, "public", table);
	struct pgoutput_column columns[COLUMNS] = {0};
	struct pgoutput_relation relation = {
		.oid = found->oid, .replica_identity = 'f', .columns = columns, .n = (int)found->n_columns};
	struct pgoutput_value before[COLUMNS], after[COLUMNS];
	struct pgoutput_message m = {.relation = &relation,
				     .type = !old_row   ? PGOUTPUT_INSERT
					     : !new_row ? PGOUTPUT_DELETE
							: PGOUTPUT_UPDATE,
				     .old_kind = old_row ? PGOUTPUT_OLD_FULL : PGOUTPUT_OLD_NONE,
				     .old_row = parse_row(old_row, before),
				     .new_row = parse_row(new_row, after)};
	_cleanup_free_ char *got = NULL;
	struct batch batch;
	struct err err;

	for (size_t i = 0; i < found->n_columns; i++)
		columns[i].name = found->columns[i].name;
	batch_init(&batch);
	batch_begin(&batch, 1, 1, 0);
	assert_true(collector_relation(w->collector, &relation));
	assert_int_equal(collector_change(w->collector, &m, &batch, &err), 0);
	got = dirty(w, &batch);
	if (strcmp(got, want) != 0)
		fail_msg("%s (%s) -> (%s): \"%s\", expected \"%s\"", table, old_row ? old_row : "",
			 new_row ? new_row : "", got, want);
	batch_release(&batch);
}

/* --- */

static void test_root_when_changed_then_its_document(void **state)
{
	struct world w;

	UNUSED(state);
	world_start(&w);
	expect(&w, "shops", NULL, "1", "root 1");
	expect(&w, "shops", "1", "1", "root 1");
	expect(&w, "shops", "1", "2", "root 2; root 1");
	expect(&w, "shops", "2", NULL, "root 2");
	world_stop(&w);
}

static void test_child_when_changed_then_old_and_new_parent(void **state)
{
	struct world w;

	UNUSED(state);
	world_start(&w);
	expect(&w, "orders", NULL, "10,1", "root 1");
	expect(&w, "orders", "10,1", "10,1", "root 1");
	expect(&w, "orders", "10,1", "10,2", "root 2; root 1");
	expect(&w, "orders", "10,1", "11,1", "root 1");
	expect(&w, "orders", "10,1", "10,-", "root 1");
	expect(&w, "orders", "10,-", "10,1", "root 1");
	expect(&w, "orders", "10,1", NULL, "root 1");
	expect(&w, "orders", NULL, "10,-", "");
	expect(&w, "owners", NULL, "5,1", "root 1");
	expect(&w, "owners", "5,1", "5,2", "root 2; root 1");
	expect(&w, "owners", "5,2", NULL, "root 2");
	world_stop(&w);
}

static void test_grandchild_when_changed_then_up_by_its_parents_key(void **state)
{
	static const char path[] = "shops > orders > lines 10";
	struct world w;

	UNUSED(state);
	world_start(&w);
	expect(&w, "lines", NULL, "10,1", path);
	expect(&w, "lines", "10,1", "10,2", path);
	expect(&w, "lines", "10,1", "11,1", "shops > orders > lines 11; shops > orders > lines 10");
	expect(&w, "lines", "10,1", NULL, path);
	world_stop(&w);
}

static void test_through_row_when_changed_then_up_by_the_end_above(void **state)
{
	static const char path[] = "shops > orders > order_tags 10";
	struct world w;

	UNUSED(state);
	world_start(&w);
	expect(&w, "order_tags", NULL, "10,7", path);
	expect(&w, "order_tags", "10,7", "10,8", path);
	expect(&w, "order_tags", "10,7", "11,7", "shops > orders > order_tags 11; shops > orders > order_tags 10");
	expect(&w, "order_tags", "10,7", NULL, path);
	world_stop(&w);
}

static void test_row_behind_a_through_table_when_changed_then_up_by_its_key(void **state)
{
	static const char path[] = "shops > orders > order_tags > tags 7";
	struct world w;

	UNUSED(state);
	world_start(&w);
	expect(&w, "tags", NULL, "7,3", path);
	expect(&w, "tags", "7,3", "7,4", path);
	expect(&w, "tags", "7,3", "8,3", "shops > orders > order_tags > tags 8; shops > orders > order_tags > tags 7");
	expect(&w, "tags", "7,3", NULL, path);
	world_stop(&w);
}

static void test_row_that_its_parent_refers_to_when_changed_then_up_by_its_key(void **state)
{
	static const char path[] = "shops > orders > order_tags > tags > kinds 3";
	struct world w;

	UNUSED(state);
	world_start(&w);
	expect(&w, "kinds", NULL, "3", path);
	expect(&w, "kinds", "3", "3", path);
	expect(&w, "kinds", "3", "4",
	       "shops > orders > order_tags > tags > kinds 4; shops > orders > order_tags > tags > kinds 3");
	expect(&w, "kinds", "3", NULL, path);
	world_stop(&w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_root_when_changed_then_its_document),
		cmocka_unit_test(test_child_when_changed_then_old_and_new_parent),
		cmocka_unit_test(test_grandchild_when_changed_then_up_by_its_parents_key),
		cmocka_unit_test(test_through_row_when_changed_then_up_by_the_end_above),
		cmocka_unit_test(test_row_behind_a_through_table_when_changed_then_up_by_its_key),
		cmocka_unit_test(test_row_that_its_parent_refers_to_when_changed_then_up_by_its_key),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
