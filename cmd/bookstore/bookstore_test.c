/* Tests of the pure parts: what bodies and arguments say, and the query of each mode. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "bookstore.h"
#include "json/json.h"

/* The wrong fields, joined. */
static void assert_wrong(const json_t *errors, const char *fields, const char *input)
{
	char found[500] = "";
	const json_t *one;
	size_t i;

	json_array_foreach (errors, i, one) {
		assert_true(strlen(jsonx_string(one, "message", "")) > 0);
		(void)snprintf(found + strlen(found), sizeof(found) - strlen(found), "%s%s", i ? " " : "",
			       jsonx_string(one, "field", "?"));
	}
	if (strcmp(found, fields) != 0)
		fail_msg("%s: found \"%s\", expected \"%s\"", input, found, fields);
}

/* Single quotes stand for double ones. */
static json_t *parsed(const char *text)
{
	_cleanup_free_ char *json = xstrdup(text);
	json_t *value;

	for (char *c = json; *c; c++)
		*c = *c == '\'' ? '"' : *c;
	value = json_loads(json, 0, NULL);
	if (!value)
		fail_msg("not JSON: %s", json);
	return value;
}

static void test_book_then_one_error_for_each_wrong_field(void **state)
{
	static const struct {
		const char *body;
		bool complete;
		const char *wrong;
	} rows[] = {
		{"{'title':'Dune','isbn':'9780441172719','price':'15.99'}", true, ""},
		{"{}", true, "title isbn price"},
		{"{}", false, ""},
		{"{'title':'','isbn':'','price':''}", true, "title isbn price"},
		{"{'title':1,'isbn':[],'price':15.99}", true, "title isbn price"},
		{"{'title':null}", false, "title"},
		{"{'title':' \\t\\n'}", false, "title"},
		{"{'isbn':'978-0-441-17271-9'}", false, ""},
		{"{'isbn':'080442957X'}", false, ""},
		{"{'isbn':'0X04429570'}", false, "isbn"},
		{"{'isbn':'978044117271X'}", false, "isbn"},
		{"{'isbn':'97804411727199'}", false, "isbn"},
		{"{'isbn':'978044117271'}", false, "isbn"},
		{"{'price':'0'}", false, ""},
		{"{'price':'99999999.99'}", false, ""},
		{"{'price':'100000000'}", false, "price"},
		{"{'price':'1.999'}", false, "price"},
		{"{'price':'1.'}", false, "price"},
		{"{'price':'.5'}", false, "price"},
		{"{'price':'-1'}", false, "price"},
		{"{'price':'1e3'}", false, "price"},
		{"{'price':'NaN'}", false, "price"},
		{"{'status':'draft'}", false, ""},
		{"{'status':'sold'}", false, "status"},
		{"{'status':null}", false, "status"},
		{"{'published_at':null}", false, ""},
		{"{'published_at':'2026-12-01'}", false, ""},
		{"{'published_at':5}", false, "published_at"},
		{"{'author_ids':[]}", false, ""},
		{"{'author_ids':[3,9223372036854775807]}", false, ""},
		{"{'author_ids':[3,3]}", false, "author_ids"},
		{"{'author_ids':[0]}", false, "author_ids"},
		{"{'author_ids':['3']}", false, "author_ids"},
		{"{'author_ids':[1.5]}", false, "author_ids"},
		{"{'author_ids':3}", false, "author_ids"},
		{"{'author_ids':null}", false, "author_ids"},
		{"{'author_ids':[1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20,21]}", false, "author_ids"},
		{"{'version':'7'}", false, ""},
		{"{'title':'a','isbn':'9780441172719','price':'1','version':'7'}", true, "version"},
		{"{'id':3,'Title':'x'}", false, "id Title"},
	};

	UNUSED(state);
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		_cleanup_json_ json_t *body = parsed(rows[i].body);
		_cleanup_json_ json_t *errors = json_array();
		struct form_book book;

		form_read_book(body, rows[i].complete, &book, errors);
		assert_wrong(errors, rows[i].wrong, rows[i].body);
		form_book_release(&book);
	}
}

static void test_book_then_what_it_says(void **state)
{
	_cleanup_json_ json_t *body = parsed("{'title':'Dune','isbn':'978-0 441-17271-9','price':'15.9','status':"
					     "'published','published_at':'1965-08-01','author_ids':[5,7]}");
	_cleanup_json_ json_t *errors = json_array();
	struct form_book book;

	UNUSED(state);
	form_read_book(body, true, &book, errors);
	assert_wrong(errors, "", "a book");
	assert_string_equal(book.title, "Dune");
	assert_string_equal(book.isbn, "9780441172719");
	assert_string_equal(book.price, "15.9");
	assert_string_equal(book.status, "published");
	assert_string_equal(book.published_at, "1965-08-01");
	assert_string_equal(book.author_ids, "{5,7}");
	form_book_release(&book);
}

static void test_texts_then_as_long_as_their_characters(void **state)
{
	struct strbuf title;

	UNUSED(state);
	strbuf_init(&title, 1000);
	for (int i = 0; i < 301; i++) {
		_cleanup_json_ json_t *body = NULL;
		_cleanup_json_ json_t *errors = json_array();
		struct form_book book;

		strbuf_adds(&title, "\xc3\xa9");
		body = json_pack("{s:s}", "title", title.data);
		form_read_book(body, false, &book, errors);
		assert_wrong(errors, i < 300 ? "" : "title", title.data);
		form_book_release(&book);
	}
	strbuf_release(&title);
}

static void test_author_then_one_error_for_each_wrong_field(void **state)
{
	static const struct {
		const char *body;
		bool complete;
		const char *wrong;
	} rows[] = {
		{"{'name':'A'}", true, ""},
		{"{'name':'A','bio':null}", true, ""},
		{"{}", true, "name"},
		{"{'bio':'x'}", false, ""},
		{"{'bio':''}", false, "bio"},
		{"{'bio':7,'name':''}", true, "name bio"},
		{"{'books':1}", false, "books"},
	};

	UNUSED(state);
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		_cleanup_json_ json_t *body = parsed(rows[i].body);
		_cleanup_json_ json_t *errors = json_array();
		struct form_author author;

		form_read_author(body, rows[i].complete, &author, errors);
		assert_wrong(errors, rows[i].wrong, rows[i].body);
		form_author_release(&author);
	}
}

static void test_dates(void **state)
{
	static const char *const right[] = {"2026-12-01",
					    "2024-02-29",
					    "2000-02-29",
					    "0001-01-01",
					    "9999-12-31",
					    "2026-12-01T10:00:00Z",
					    "2026-12-01t23:59:59.123+05:30",
					    "2026-12-01T00:00:00-15:59"};
	static const char *const wrong[] = {"",
					    "2026",
					    "2026-1-1",
					    "2023-02-29",
					    "1900-02-29",
					    "2026-13-01",
					    "2026-00-01",
					    "2026-01-00",
					    "0000-01-01",
					    "2026-12-01 10:00:00",
					    "2026-12-01T",
					    "2026-12-01T24:00:00Z",
					    "2026-12-01T10:60:00Z",
					    "2026-12-01T10:00:00",
					    "2026-12-01T10:00:00.Z",
					    "2026-12-01T10:00:00+5",
					    "2026-12-01T10:00:00+16:00",
					    "2026-12-01T10:00:00Zx",
					    "infinity",
					    "now"};

	UNUSED(state);
	for (size_t i = 0; i < ARRAY_SIZE(right); i++)
		if (!form_is_date(right[i]))
			fail_msg("%s", right[i]);
	for (size_t i = 0; i < ARRAY_SIZE(wrong); i++)
		if (form_is_date(wrong[i]))
			fail_msg("%s", wrong[i]);
}

/* --- arguments */

enum { ARGUMENTS = 8 };

struct query {
	struct web_argument arguments[ARGUMENTS];
	struct web_request request;
	char *text;
};

/* "a=1&b" without percent signs. */
static void query_init(struct query *query, const char *text)
{
	size_t n = 0;
	char *rest;

	*query = (struct query){.text = xstrdup(text)};
	rest = *text ? query->text : NULL;
	for (char *one; (one = strsep(&rest, "&"));) {
		char *value = strchr(one, '=');

		if (value)
			*value++ = '\0';
		query->arguments[n++] = (struct web_argument){one, value};
	}
	query->request = (struct web_request){.arguments = query->arguments, .n_arguments = n};
}

static void query_release(struct query *query)
{
	free(query->text);
}

static const char *const sorts[] = {"id", "title", NULL};

static void test_lists_then_one_error_for_each_wrong_argument(void **state)
{
	static const struct {
		const char *query, *wrong;
	} rows[] = {
		{"", ""},
		{"page=1&page_size=100&sort=-title&q=x&status=draft", ""},
		{"page=0", "page"},
		{"page=10001", "page"},
		{"page=x", "page"},
		{"page=", "page"},
		{"page", "page"},
		{"page=-1", "page"},
		{"page_size=0", "page_size"},
		{"page_size=101", "page_size"},
		{"sort=price", "sort"},
		{"sort=--id", "sort"},
		{"sort=", "sort"},
		{"status=sold", "status"},
		{"page=1&page=2", "page"},
		{"colour=red", "colour"},
	};

	UNUSED(state);
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		_cleanup_json_ json_t *errors = json_array();
		_cleanup_(query_release) struct query query;
		struct form_list list;

		query_init(&query, rows[i].query);
		form_read_list(&query.request, sorts, true, &list, errors);
		assert_wrong(errors, rows[i].wrong, rows[i].query);
	}
}

static void test_list_then_what_it_says(void **state)
{
	_cleanup_json_ json_t *errors = json_array();
	_cleanup_(query_release) struct query query;
	struct form_list list;

	UNUSED(state);
	query_init(&query, "sort=-title&page=3&q=le guin");
	form_read_list(&query.request, sorts, false, &list, errors);
	assert_wrong(errors, "", "a list");
	assert_int_equal(list.page, 3);
	assert_int_equal(list.page_size, 20);
	assert_int_equal(list.sort, 1);
	assert_true(list.descending);
	assert_string_equal(list.q, "le guin");
	assert_null(list.status);
	/* A list without a status has no such argument. */
	query_release(&query);
	query_init(&query, "status=draft");
	form_read_list(&query.request, sorts, false, &list, errors);
	assert_wrong(errors, "status", "status=draft");
}

/* --- modes */

#define FIELDS "'fields':['title^2','authors.name','isbn']"
#define EACH(kind, words)                                                                                     \
	"{'bool':{'should':[{'" kind "':{'title':" words "}},{'" kind "':{'authors.name':" words "}},{'" kind \
	"':{'isbn':" words "}}]}}"

static void test_modes_then_their_queries(void **state)
{
	static const struct {
		const char *query, *wanted;
	} rows[] = {
		{"q=dune", "{'multi_match':{'query':'dune'," FIELDS ",'fuzziness':'AUTO'}}"},
		{"q=dune&mode=fuzzy", "{'multi_match':{'query':'dune'," FIELDS ",'fuzziness':'AUTO'}}"},
		{"q=dune&mode=match", "{'multi_match':{'query':'dune'," FIELDS "}}"},
		{"q=a b&mode=phrase", "{'multi_match':{'query':'a b'," FIELDS ",'type':'phrase'}}"},
		{"q=a b&mode=phrase_prefix", "{'multi_match':{'query':'a b'," FIELDS ",'type':'phrase_prefix'}}"},
		{"q=a b&mode=as_you_type", "{'multi_match':{'query':'a b'," FIELDS ",'type':'bool_prefix'}}"},
		{"q=ne&mode=prefix", EACH("prefix", "{'value':'ne','case_insensitive':true}")},
		{"q=n*&mode=wildcard", EACH("wildcard", "{'value':'n*','case_insensitive':true}")},
		{"q=n.&mode=regexp", EACH("regexp", "{'value':'n.','case_insensitive':true}")},
		{"q=Dune&mode=term",
		 "{'bool':{'should':[{'term':{'title.keyword':{'value':'Dune'}}},{'term':{'authors.name.keyword':"
		 "{'value':'Dune'}}},{'term':{'isbn.keyword':{'value':'Dune'}}}]}}"},
		{"q=a AND b&mode=query_string", "{'query_string':{'query':'a AND b'," FIELDS "}}"},
		{"q= +a  -b c - &mode=boolean", "{'bool':{'must':[{'multi_match':{'query':'a'," FIELDS
						"}}],'should':[{'multi_match':{'query':'c'," FIELDS
						"}}],'must_not':[{'multi_match':{'query':'b'," FIELDS "}}]}}"},
		{"mode=range", "{'bool':{'must':{'match_all':{}},'filter':[]}}"},
		{"mode=range&min_price=010",
		 "{'bool':{'must':{'match_all':{}},'filter':[{'range':{'price':{'gte':10}}}]}}"},
		{"mode=range&q=a&min_price=5&max_price=12.50&from=1965-01-01&to=",
		 "{'bool':{'must':{'multi_match':{'query':'a'," FIELDS "}},'filter':[{'range':{'price':{'gte':5,"
		 "'lte':12.5}}},{'range':{'published_at':{'gte':'1965-01-01'}}}]}}"},
		{"q=a\"b\\&mode=match", "{'multi_match':{'query':'a\\u0022b\\\\'," FIELDS "}}"},
	};

	UNUSED(state);
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		_cleanup_json_ json_t *errors = json_array();
		_cleanup_json_ json_t *wanted = parsed(rows[i].wanted);
		_cleanup_json_ json_t *body = NULL;
		_cleanup_(query_release) struct query query;
		struct modes_input input;

		query_init(&query, rows[i].query);
		modes_read(&query.request, &input, errors);
		assert_wrong(errors, "", rows[i].query);
		body = modes_query(&input);
		assert_int_equal(jsonx_integer(body, "size", 0), 10);
		assert_non_null(jsonx_get(body, "highlight.fields"));
		if (!json_equal(json_object_get(body, "query"), wanted)) {
			_cleanup_free_ char *found = json_dumps(json_object_get(body, "query"), 0);

			fail_msg("%s: %s", rows[i].query, found);
		}
	}
}

static void test_every_mode_has_a_query(void **state)
{
	size_t n = 0;

	UNUSED(state);
	for (; modes_words[n]; n++) {
		_cleanup_json_ json_t *body =
			modes_query(&(struct modes_input){.mode = modes_words[n], .q = "a", .size = 1});

		assert_non_null(json_object_get(body, "query"));
	}
	assert_int_equal(n, 12);
	assert_null(modes_query(&(struct modes_input){.mode = "guess", .q = "a"}));
}

static void test_searches_then_one_error_for_each_wrong_argument(void **state)
{
	static const struct {
		const char *query, *wrong;
	} rows[] = {
		{"", "q"},
		{"q=", "q"},
		{"q=  ", "q"},
		{"q=a&mode=guess", "mode"},
		{"q=a&size=0", "size"},
		{"q=a&size=51", "size"},
		{"q=a&min_price=cheap&max_price=1.999&from=yesterday&to=2026", "min_price max_price from to"},
		{"q=a&q=b", "q"},
		{"q=a&sort=id", "sort"},
		{"q=a&after=0/0", ""},
		{"q=a&after=16/B374D848", ""},
		{"q=a&after", "after"},
		{"q=a&after=", "after"},
		{"q=a&after=now", "after"},
		{"q=a&after=16/B374D8480", "after"},
		{"q=a&after=16/B374D848 ", "after"},
		{"q=a&after=16/B3&after=16/B3", "after"},
	};

	UNUSED(state);
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		_cleanup_json_ json_t *errors = json_array();
		_cleanup_(query_release) struct query query;
		struct modes_input input;

		query_init(&query, rows[i].query);
		modes_read(&query.request, &input, errors);
		assert_wrong(errors, rows[i].wrong, rows[i].query);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_book_then_one_error_for_each_wrong_field),
		cmocka_unit_test(test_book_then_what_it_says),
		cmocka_unit_test(test_texts_then_as_long_as_their_characters),
		cmocka_unit_test(test_author_then_one_error_for_each_wrong_field),
		cmocka_unit_test(test_dates),
		cmocka_unit_test(test_lists_then_one_error_for_each_wrong_argument),
		cmocka_unit_test(test_list_then_what_it_says),
		cmocka_unit_test(test_modes_then_their_queries),
		cmocka_unit_test(test_every_mode_has_a_query),
		cmocka_unit_test(test_searches_then_one_error_for_each_wrong_argument),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
