/* Tests of proposals, over catalogs that are written as JSON: tables with their columns ("id integer!": NOT NULL),
 * keys, unique indexes, foreign keys and rows. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "propose/propose.h"
#include "json/json.h"

enum { FIRST_OID = 16384 };

static char *word(const char **at)
{
	size_t len = strcspn(*at, " !");
	char *text = xstrndup(*at, len);

	*at += len + ((*at)[len] == ' ');
	return text;
}

static void add_table_column(struct catalog_table *table, const char *text)
{
	struct catalog_column *column = &table->columns[table->n_columns++];

	column->name = word(&text);
	column->base_type = word(&text);
	column->type = xstrdup(column->base_type);
	column->category = 'S';
	column->typmod = -1;
	column->not_null = *text == '!';
}

static int *positions_of(const struct catalog_table *table, const json_t *names, size_t *ret_n)
{
	int *positions = xcalloc(json_array_size(names) + 1, sizeof(*positions));

	for (size_t i = 0; i < json_array_size(names); i++) {
		positions[i] = catalog_column(table, json_string_value(json_array_get(names, i)));
		assert_true(positions[i] >= 0);
	}
	*ret_n = json_array_size(names);
	return positions;
}

static void add_unique(struct catalog_table *table, const json_t *names, bool primary)
{
	struct catalog_index *index = &table->indexes[table->n_indexes++];

	*index = (struct catalog_index){
		.name = xstrdup("key"), .unique = true, .primary = primary, .immediate = true, .valid = true};
	index->columns = positions_of(table, names, &index->n);
}

static void decode_one(const json_t *value, uint32_t oid, struct catalog_table *table)
{
	const json_t *columns = json_object_get(value, "columns"), *unique = json_object_get(value, "unique");

	*table = (struct catalog_table){.oid = oid,
					.schema = xstrdup(jsonx_string(value, "schema", "public")),
					.name = xstrdup(jsonx_string(value, "name", "")),
					.kind = jsonx_string(value, "kind", "r")[0],
					.persistence = jsonx_string(value, "persistence", "p")[0],
					.can_select = !json_object_get(value, "hidden"),
					.row_estimate = (double)jsonx_integer(value, "rows", -1),
					.columns = xcalloc(16, sizeof(*table->columns)),
					.indexes = xcalloc(4, sizeof(*table->indexes)),
					.foreign_keys = xcalloc(8, sizeof(*table->foreign_keys))};
	for (size_t i = 0; i < json_array_size(columns); i++)
		add_table_column(table, json_string_value(json_array_get(columns, i)));
	if (json_object_get(value, "key"))
		add_unique(table, json_object_get(value, "key"), true);
	if (unique)
		add_unique(table, unique, false);
}

/* ["columns", "table", "columns"] */
static void decode_reference(struct catalog *catalog, struct catalog_table *table, const json_t *value)
{
	struct catalog_foreign_key *key = &table->foreign_keys[table->n_foreign_keys++];
	const struct catalog_table *to = propose_find(catalog, json_string_value(json_array_get(value, 1)));
	size_t n_to;

	assert_non_null(to);
	key->name = xasprintf("%s_fkey%zu", table->name, table->n_foreign_keys);
	key->to = to->oid;
	key->columns = positions_of(table, json_array_get(value, 0), &key->n);
	key->to_columns = positions_of(to, json_array_get(value, 2), &n_to);
	assert_int_equal(key->n, n_to);
}

static struct catalog *decode(const char *text)
{
	struct catalog *catalog = xcalloc(1, sizeof(*catalog));
	_cleanup_json_ json_t *tables = NULL;
	struct err err;

	if (jsonx_parse(text, strlen(text), "tables", &tables, &err) < 0)
		fail_msg("%s", err.msg);
	catalog->n = json_array_size(tables);
	catalog->tables = xcalloc(catalog->n, sizeof(*catalog->tables));
	for (size_t i = 0; i < catalog->n; i++)
		decode_one(json_array_get(tables, i), FIRST_OID + (uint32_t)i, &catalog->tables[i]);
	for (size_t i = 0; i < catalog->n; i++) {
		const json_t *references = json_object_get(json_array_get(tables, i), "references");

		for (size_t k = 0; k < json_array_size(references); k++)
			decode_reference(catalog, &catalog->tables[i], json_array_get(references, k));
	}
	return catalog;
}

static char *lines(const json_t *list)
{
	char *text = xstrdup("");

	for (size_t i = 0; i < json_array_size(list); i++) {
		char *more = xasprintf("%s%s%s", text, i ? "\n" : "", json_string_value(json_array_get(list, i)));

		free(text);
		text = more;
	}
	return text;
}

static void expect_nodes(const char *tables, const char *root, const char *want, const char *left_out,
			 const char *hints)
{
	_cleanup_(catalog_freep) struct catalog *catalog = decode(tables);
	_cleanup_(propose_release) struct propose_document document = {0};
	_cleanup_free_ char *got = NULL, *notes = NULL, *remarks = NULL;

	propose_document(catalog, propose_find(catalog, root), &document);
	got = json_dumps(document.nodes, JSON_COMPACT);
	for (char *p = got; *p; p++)
		*p = *p == '"' ? '\'' : *p;
	notes = lines(document.left_out);
	remarks = lines(document.hints);
	assert_string_equal(got, want);
	assert_string_equal(notes, left_out);
	if (hints)
		assert_string_equal(remarks, hints);
}

#define BOOKS                                                                                                          \
	"[{\"name\": \"books\", \"rows\": 100, \"columns\": [\"id int4!\", \"title text\", \"price numeric\", "        \
	"\"publisher_id int4\"], \"key\": [\"id\"], \"references\": [[[\"publisher_id\"], \"publishers\", "            \
	"[\"id\"]]]},"                                                                                                 \
	"{\"name\": \"authors\", \"rows\": 20, \"columns\": [\"id int4!\", \"name text\"], \"key\": [\"id\"]},"        \
	"{\"name\": \"book_authors\", \"rows\": 150, \"columns\": [\"book_id int4!\", \"author_id int4!\"], \"key\": " \
	"[\"book_id\", \"author_id\"], \"references\": [[[\"book_id\"], \"books\", [\"id\"]], [[\"author_id\"], "      \
	"\"authors\", [\"id\"]]]},"                                                                                    \
	"{\"name\": \"publishers\", \"rows\": 5, \"columns\": [\"id int4!\", \"name text\"], \"key\": [\"id\"]},"      \
	"{\"name\": \"reviews\", \"rows\": 20000, \"columns\": [\"id int4!\", \"book_id int4\", \"text text\", "       \
	"\"meta jsonb\"], \"key\": [\"id\"], \"references\": [[[\"book_id\"], \"books\", [\"id\"]]]}]"

static void test_objects_lists_and_through_tables_follow_foreign_keys(void **state)
{
	UNUSED(state);
	expect_nodes(
		BOOKS, "books",
		"{'table':'books','columns':['id','title','price'],'children':["
		"{'table':'publishers','columns':['id','name'],'label':'publisher','relationship':{'variant':'object',"
		"'type':'one_to_one'}},"
		"{'table':'authors','columns':['id','name'],'label':'authors','relationship':{'variant':'object','type'"
		":"
		"'one_to_many','through_tables':['book_authors']}},"
		"{'table':'reviews','columns':['id','text','meta'],'label':'reviews','relationship':{'variant':'object'"
		","
		"'type':'one_to_many'}}]}",
		"",
		"authors: `nested: true` lets a search ask for several fields of one item\n"
		"reviews: about 200 items in each list; `order_by` and `limit` keep some of them\n"
		"reviews: `nested: true` lets a search ask for several fields of one item\n"
		"price: numeric without a precision is searched as `double`, with about 15 digits\n"
		"reviews.meta: stored, not searchable; to search it, add a column: COLUMN->>KEY");
}

static void test_a_list_that_would_be_very_long_is_left_out(void **state)
{
	UNUSED(state);
	expect_nodes(
		BOOKS, "publishers",
		"{'table':'publishers','columns':['id','name'],'children':[{'table':'books','columns':['id','title',"
		"'price'],'label':'books','relationship':{'variant':'object','type':'one_to_many'},'children':["
		"{'table':'authors','columns':['id','name'],'label':'authors','relationship':{'variant':'object',"
		"'type':'one_to_many','through_tables':['book_authors']}},"
		"{'table':'reviews','columns':['id','text','meta'],'label':'reviews','relationship':{'variant':"
		"'object','type':'one_to_many'}}]}]}",
		"", NULL);
	expect_nodes(
		"[{\"name\": \"a\", \"rows\": 2, \"columns\": [\"id int4!\"], \"key\": [\"id\"]},"
		"{\"name\": \"events\", \"rows\": 9000, \"columns\": [\"id int4!\", \"a int4\"], \"key\": [\"id\"],"
		"\"references\": [[[\"a\"], \"a\", [\"id\"]]]}]",
		"a", "{'table':'a','columns':['id']}", "events: about 4500 rows for each row of a", "");
}

static void test_several_keys_between_two_tables_are_named(void **state)
{
	static const char tables[] =
		"[{\"name\": \"addresses\", \"columns\": [\"id int4!\", \"city text\"], \"key\": [\"id\"]},"
		"{\"name\": \"orders\", \"columns\": [\"id int4!\", \"billing_id int4\", \"shipping_id int4\"], "
		"\"key\": "
		"[\"id\"], \"references\": [[[\"billing_id\"], \"addresses\", [\"id\"]], [[\"shipping_id\"], "
		"\"addresses\", "
		"[\"id\"]]]}]";

	UNUSED(state);
	expect_nodes(
		tables, "orders",
		"{'table':'orders','columns':['id'],'children':["
		"{'table':'addresses','columns':['id','city'],'label':'billing','relationship':{'variant':'object',"
		"'type':'one_to_one','foreign_key':{'child':['id'],'parent':['billing_id']}}},"
		"{'table':'addresses','columns':['id','city'],'label':'shipping','relationship':{'variant':'object',"
		"'type':'one_to_one','foreign_key':{'child':['id'],'parent':['shipping_id']}}}]}",
		"", NULL);
	expect_nodes(tables, "addresses",
		     "{'table':'addresses','columns':['id','city'],'children':["
		     "{'table':'orders','columns':['id','shipping_id'],'label':'orders_by_billing','relationship':{'"
		     "variant':'object',"
		     "'type':'one_to_many','foreign_key':{'child':['billing_id'],'parent':['id']}}},"
		     "{'table':'orders','columns':['id','billing_id'],'label':'orders_by_shipping','relationship':{'"
		     "variant':'object',"
		     "'type':'one_to_many','foreign_key':{'child':['shipping_id'],'parent':['id']}}}]}",
		     "", NULL);
}

static void test_a_table_that_refers_to_itself_is_followed_once(void **state)
{
	UNUSED(state);
	expect_nodes(
		"[{\"name\": \"categories\", \"columns\": [\"id int4!\", \"parent_id int4\", \"name text\"], \"key\": "
		"[\"id\"], \"references\": [[[\"parent_id\"], \"categories\", [\"id\"]]]}]",
		"categories",
		"{'table':'categories','columns':['id','name'],'children':[{'table':'categories','columns':['id',"
		"'parent_id','name'],'label':'parent','relationship':{'variant':'object','type':'one_to_one'}}]}",
		"", "");
}

/* A connecting table with its own columns is a list whose items have an object. */
static void test_composite_keys_and_connecting_tables_with_columns(void **state)
{
	UNUSED(state);
	expect_nodes(
		"[{\"name\": \"orders\", \"columns\": [\"shop text!\", \"no int4!\"], \"key\": [\"shop\", \"no\"]},"
		"{\"name\": \"products\", \"columns\": [\"id int4!\"], \"key\": [\"id\"]},"
		"{\"name\": \"items\", \"columns\": [\"shop text!\", \"no int4!\", \"product_id int4!\", \"amount "
		"int4\"],"
		"\"key\": [\"shop\", \"no\", \"product_id\"], \"references\": [[[\"shop\", \"no\"], \"orders\", "
		"[\"shop\","
		"\"no\"]], [[\"product_id\"], \"products\", [\"id\"]]]}]",
		"orders",
		"{'table':'orders','columns':['shop','no'],'children':[{'table':'items','columns':['amount'],'label':"
		"'items','relationship':{'variant':'object','type':'one_to_many'},'children':[{'table':'products',"
		"'columns':['id'],'label':'product','relationship':{'variant':'object','type':'one_to_one'}}]}]}",
		"", NULL);
}

static void test_what_cannot_be_followed_is_left_out(void **state)
{
	UNUSED(state);
	expect_nodes(
		"[{\"name\": \"users\", \"schema\": \"app\", \"columns\": [\"id int4!\", \"password_hash text\", "
		"\"photo bytea\","
		"\"kind regclass\", \"note text\"], \"key\": [\"id\"]},"
		"{\"name\": \"logs\", \"columns\": [\"user_id int4\"], \"references\": [[[\"user_id\"], \"app.users\", "
		"[\"id\"]]]},"
		"{\"name\": \"drafts\", \"persistence\": \"u\", \"columns\": [\"id int4!\", \"user_id int4\"], "
		"\"key\": [\"id\"],"
		"\"references\": [[[\"user_id\"], \"app.users\", [\"id\"]]]},"
		"{\"name\": \"salaries\", \"hidden\": 1, \"columns\": [\"id int4!\", \"user_id int4\"], \"key\": "
		"[\"id\"], "
		"\"references\": [[[\"user_id\"], \"app.users\", [\"id\"]]]},"
		"{\"name\": \"profiles\", \"columns\": [\"user_id int4!\", \"note text\"], \"unique\": [\"user_id\"], "
		"\"references\": [[[\"user_id\"], \"app.users\", [\"id\"]]]}]",
		"app.users",
		"{'table':'users','schema':'app','columns':['id','note'],'children':[{'table':'profiles','primary_key':"
		"['user_id'],'columns':['note'],'label':'profiles','relationship':{'variant':'object','type':'one_to_"
		"one'}}]"
		"}",
		"logs: it has neither a primary key nor a unique index on columns that are NOT NULL\n"
		"drafts: it is unlogged or temporary, so its changes are not in the write-ahead log\n"
		"salaries: the role may not read it\n"
		"password_hash: looks like a secret\n"
		"photo: bytes, which cannot be searched\n"
		"kind: its text is a name that changes without any row",
		"");
}

/* A label gives way to a column of that name. */
static void test_labels_are_unique(void **state)
{
	UNUSED(state);
	expect_nodes(
		"[{\"name\": \"posts\", \"columns\": [\"id int4!\", \"author text\", \"author_id int4\"], \"key\": "
		"[\"id\"], \"references\": [[[\"author_id\"], \"users\", [\"id\"]]]},"
		"{\"name\": \"users\", \"columns\": [\"id int4!\"], \"key\": [\"id\"]}]",
		"posts",
		"{'table':'posts','columns':['id','author'],'children':[{'table':'users','columns':['id'],'label':"
		"'users','relationship':{'variant':'object','type':'one_to_one'}}]}",
		"", "");
}

static void test_a_document_has_a_limit(void **state)
{
	_cleanup_(catalog_freep) struct catalog *catalog = NULL;
	_cleanup_(propose_release) struct propose_document document = {0};
	char *text = xstrdup("[{\"name\": \"root\", \"columns\": [\"id int4!\"], \"key\": [\"id\"]}");

	UNUSED(state);
	for (int i = 0; i < 2 * PROPOSE_NODES; i++) {
		char *more =
			xasprintf("%s, {\"name\": \"t%d\", \"columns\": [\"id int4!\", \"root_id int4\"], \"key\": "
				  "[\"id\"], \"references\": [[[\"root_id\"], \"root\", [\"id\"]]]}",
				  text, i);

		free(text);
		text = more;
	}
	text = xrealloc(text, strlen(text) + 2);
	memcpy(text + strlen(text), "]", 2);
	catalog = decode(text);
	free(text);
	propose_document(catalog, &catalog->tables[0], &document);
	assert_int_equal(json_array_size(json_object_get(document.nodes, "children")), PROPOSE_NODES - 1);
	assert_int_equal(json_array_size(document.left_out), PROPOSE_NODES + 1);
}

static void test_roots_are_sorted_and_connecting_tables_are_none(void **state)
{
	_cleanup_(catalog_freep) struct catalog *catalog = decode(BOOKS);
	struct propose_root *roots;
	size_t n = propose_roots(catalog, &roots);
	_cleanup_free_ char *tables = lines(roots[0].tables);

	UNUSED(state);
	assert_int_equal(n, 4);
	assert_string_equal(roots[0].table->name, "books");
	assert_string_equal(tables, "books\npublishers\nauthors\nbook_authors\nreviews");
	propose_roots_free(roots, n);
}

static void test_roots_of_the_same_name_are_sorted_by_schema(void **state)
{
	_cleanup_(catalog_freep) struct catalog *catalog =
		decode("[{\"name\": \"t\", \"schema\": \"b\", \"columns\": [\"id int4!\"], \"key\": [\"id\"]},"
		       "{\"name\": \"t\", \"schema\": \"c\", \"columns\": [\"id int4!\"], \"key\": [\"id\"]},"
		       "{\"name\": \"t\", \"schema\": \"a\", \"columns\": [\"id int4!\"], \"key\": [\"id\"]}]");
	struct propose_root *roots;
	size_t n = propose_roots(catalog, &roots);

	UNUSED(state);
	assert_int_equal(n, 3);
	for (size_t i = 0; i < n; i++)
		assert_int_equal(roots[i].table->schema[0], "abc"[i]);
	propose_roots_free(roots, n);
}

static void replace_name(char **name, const char *by)
{
	free(*name);
	*name = xstrdup(by);
}

/* As in a database with the encoding SQL_ASCII. */
static void test_names_that_are_not_utf8_are_shown_with_replacement_characters(void **state)
{
	_cleanup_(catalog_freep) struct catalog *catalog = decode(BOOKS);
	_cleanup_(propose_release) struct propose_document document = {0};

	UNUSED(state);
	replace_name(&catalog->tables[0].name, "b\xE4ume");
	replace_name(&catalog->tables[0].schema, "sch\xE4tze");
	replace_name(&catalog->tables[0].columns[1].name, "h\xF6he");
	replace_name(&catalog->tables[0].columns[3].name, "\xFC_id");
	for (size_t i = 0; i < catalog->n; i++) {
		propose_document(catalog, &catalog->tables[i], &document);
		propose_release(&document);
	}
	propose_document(catalog, &catalog->tables[0], &document);
	assert_string_equal(jsonx_string(document.nodes, "table", ""), "b\xEF\xBF\xBDume");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_objects_lists_and_through_tables_follow_foreign_keys),
		cmocka_unit_test(test_a_list_that_would_be_very_long_is_left_out),
		cmocka_unit_test(test_several_keys_between_two_tables_are_named),
		cmocka_unit_test(test_a_table_that_refers_to_itself_is_followed_once),
		cmocka_unit_test(test_composite_keys_and_connecting_tables_with_columns),
		cmocka_unit_test(test_what_cannot_be_followed_is_left_out),
		cmocka_unit_test(test_labels_are_unique),
		cmocka_unit_test(test_a_document_has_a_limit),
		cmocka_unit_test(test_roots_are_sorted_and_connecting_tables_are_none),
		cmocka_unit_test(test_roots_of_the_same_name_are_sorted_by_schema),
		cmocka_unit_test(test_names_that_are_not_utf8_are_shown_with_replacement_characters),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
