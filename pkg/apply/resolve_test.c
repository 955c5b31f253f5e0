/* Tests of resolving: pages of a cursor become pages of root keys. */
#include "apply/servers_test.h"

struct found {
	size_t pages, keys, most;
	int result;
};

static int count(void *user, const struct page *roots, struct err *err)
{
	struct found *found = user;

	found->pages++;
	found->keys += roots->n;
	found->most = roots->n > found->most ? roots->n : found->most;
	assert_false(roots->old);
	return found->result < 0 ? err_set(err, ERR_LIMIT, "enough") : 0;
}

/* 2,000 rows, then 3, of which two are one key. */
static void answer_pages(struct servers *s, const struct fake_query *q, struct fake_result *r)
{
	if (strncmp(q->sql, "FETCH", 5) != 0)
		return;
	for (int i = 0; i < (s->fetches ? 3 : 2000); i++) {
		_cleanup_free_ char *key = xasprintf("%c%d", s->fetches ? 'b' : 'a', i ? i : 1);

		FAKE_ROW(r, key);
	}
	s->fetches++;
}

static void answer_nothing(struct servers *s, const struct fake_query *q, struct fake_result *r)
{
	UNUSED(s);
	if (strstr(q->sql, "denied") || (q->n_params && strstr(q->params[0], "secret")))
		fake_result_fail(r, "42501", "permission denied");
	if (q->n_params && strstr(q->params[0], "bad"))
		fake_result_fail(r, "22P02", "invalid input syntax");
}

static int all(struct servers *s, struct found *found)
{
	struct resolver with;
	const struct resolve resolve = {&with, 0, count, found};
	int r;

	resolver_init(&with, &s->model, &s->snapshot);
	r = resolve_all(&resolve, &s->err);
	resolver_release(&with);
	return r;
}

static int path(struct servers *s, struct found *found, const struct page *page)
{
	const struct document_path up = {
		.sql = (char[]){"SELECT up"}, .n_columns = 1, .description = (char[]){"books > up"}};
	struct resolver with;
	const struct resolve resolve = {&with, 0, count, found};
	int r;

	resolver_init(&with, &s->model, &s->snapshot);
	r = resolve_path(&resolve, &up, page, &s->err);
	resolver_release(&with);
	return r;
}

static void test_resolve_all_then_pages_until_one_is_short(void **state)
{
	struct found found = {0};
	struct servers s;

	UNUSED(state);
	servers_begin(&s);
	s.answer = answer_pages;
	SERVERS_OK(&s, all(&s, &found));
	servers_expect_statements(&s,
				  "DECLARE pgsync_roots NO SCROLL CURSOR WITH HOLD FOR SELECT keys; FETCH 2000 FROM "
				  "pgsync_roots; FETCH 2000 FROM pgsync_roots; CLOSE pgsync_roots");
	assert_int_equal(found.pages, 2);
	/* a0 and a1 are one root, and so are b0 and b1. */
	assert_int_equal(found.keys, 1999 + 2);
	servers_end(&s);
}

static void test_resolve_all_when_there_are_none_then_nothing_is_handed_over(void **state)
{
	struct found found = {0};
	struct servers s;

	UNUSED(state);
	servers_begin(&s);
	SERVERS_OK(&s, all(&s, &found));
	assert_int_equal(found.pages, 0);
	servers_end(&s);
}

static void test_resolve_all_when_a_page_cannot_be_taken_then_it_ends(void **state)
{
	struct found found = {.result = -1};
	struct servers s;

	UNUSED(state);
	servers_begin(&s);
	s.answer = answer_pages;
	assert_int_equal(all(&s, &found), -1);
	assert_string_equal(s.err.msg, "enough");
	assert_int_equal(found.pages, 1);
	assert_int_equal(s.fetches, 1);
	servers_end(&s);
}

static void test_resolve_all_when_the_query_fails_then_the_error_says_what_it_was_for(void **state)
{
	struct found found = {0};
	struct servers s;

	UNUSED(state);
	servers_begin(&s);
	s.answer = answer_nothing;
	free(s.plan.sql.all_keys);
	s.plan.sql.all_keys = xstrdup("SELECT denied");
	assert_int_equal(all(&s, &found), -1);
	assert_non_null(strstr(s.err.msg, "finding the documents of a change"));
	servers_end(&s);
}

static void test_resolve_path_then_the_keys_are_its_parameters(void **state)
{
	struct found found = {0};
	struct servers s;
	struct page page;

	UNUSED(state);
	servers_begin(&s);
	page = PAGE(&s, "7", "8");
	SERVERS_OK(&s, path(&s, &found, &page));
	servers_expect_statements(
		&s, "SAVEPOINT pgsync_resolve; DECLARE pgsync_roots NO SCROLL CURSOR WITH HOLD FOR SELECT up "
		    "{\"7\",\"8\"}; FETCH 2000 FROM pgsync_roots; CLOSE pgsync_roots; RELEASE "
		    "pgsync_resolve");
	servers_end(&s);
}

static void test_resolve_path_when_a_value_fails_then_every_root_is_needed_unless_the_keys_are_old(void **state)
{
	struct found found = {0};
	struct servers s;
	struct page page;

	UNUSED(state);
	servers_begin(&s);
	s.answer = answer_nothing;
	page = PAGE(&s, "bad", "8");
	assert_int_equal(path(&s, &found, &page), 1);
	page.old = true;
	assert_int_equal(path(&s, &found, &page), 0);
	servers_end(&s);
}

static void test_resolve_path_when_the_error_is_not_about_a_value_then_it_ends(void **state)
{
	struct found found = {0};
	struct servers s;
	struct page page;

	UNUSED(state);
	servers_begin(&s);
	s.answer = answer_nothing;
	page = PAGE(&s, "secret");
	assert_int_equal(path(&s, &found, &page), -1);
	assert_int_equal(s.err.kind, ERR_DENIED);
	servers_end(&s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_resolve_all_then_pages_until_one_is_short),
		cmocka_unit_test(test_resolve_all_when_there_are_none_then_nothing_is_handed_over),
		cmocka_unit_test(test_resolve_all_when_a_page_cannot_be_taken_then_it_ends),
		cmocka_unit_test(test_resolve_all_when_the_query_fails_then_the_error_says_what_it_was_for),
		cmocka_unit_test(test_resolve_path_then_the_keys_are_its_parameters),
		cmocka_unit_test(
			test_resolve_path_when_a_value_fails_then_every_root_is_needed_unless_the_keys_are_old),
		cmocka_unit_test(test_resolve_path_when_the_error_is_not_about_a_value_then_it_ends),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
