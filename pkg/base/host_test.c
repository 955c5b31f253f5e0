/* Which hosts count as this machine, and which as Services. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/host.h"
#include "base/mem.h"

static void test_loopback_when_nothing_else_can_be_meant_then_true(void **state)
{
	static const char *const hosts[] = {
		"localhost", "LocalHost",       "127.0.0.1", "127.255.0.9",        "::1",
		"[::1]",     "0:0:0:0:0:0:0:1", "[0::1]",    "[::ffff:127.0.0.1]", "::ffff:127.1.2.3"};

	UNUSED(state);
	for (size_t i = 0; i < ARRAY_SIZE(hosts); i++)
		if (!host_is_loopback(hosts[i], strlen(hosts[i])))
			fail_msg("%s", hosts[i]);
}

static void test_loopback_when_it_may_be_another_machine_then_false(void **state)
{
	static const char *const hosts[] = {"",
					    "127.evil.example",
					    "127.0.0.1.evil.example",
					    "localhost.evil.example",
					    "localhost.",
					    "local",
					    "127.1",
					    "127.0.0.1 ",
					    "128.0.0.1",
					    "10.127.0.0",
					    "::2",
					    "[::1",
					    "::1]",
					    "[]",
					    "[localhost]",
					    "::ffff:10.0.0.1",
					    "fe80::1%lo",
					    "0.0.0.0",
					    "db"};

	UNUSED(state);
	for (size_t i = 0; i < ARRAY_SIZE(hosts); i++)
		if (host_is_loopback(hosts[i], strlen(hosts[i])))
			fail_msg("%s", hosts[i]);
}

static void test_loopback_of_a_url_then_its_host_is_judged(void **state)
{
	static const struct {
		const char *url;
		bool loopback;
	} cases[] = {
		{"http://localhost:9200/prefix", true},
		{"http://127.0.0.1", true},
		{"https://[::1]:9200/a", true},
		{"http://user:p@ss@127.0.0.1:9200", true},
		{"http://localhost?x", true},
		{"http://127.evil.example:9200", false},
		{"http://127.0.0.1:9200@evil.example/", false},
		{"http://evil.example/@localhost", false},
		{"http://evil.example#@localhost", false},
		{"http://evil.example\\@localhost", false},
		{"http://[::1].evil.example:9200", false},
		{"http://", false},
		{"localhost:9200", false},
		{"", false},
	};

	UNUSED(state);
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
		if (host_of_url_is_loopback(cases[i].url) != cases[i].loopback)
			fail_msg("%s", cases[i].url);
}

static void expect_in_namespace(char *found_take, const char *host, const char *expected)
{
	_cleanup_free_ char *found = found_take;

	if (!found != !expected || (found && strcmp(found, expected) != 0))
		fail_msg("%s: %s, expected %s", host, found ? found : "(none)", expected ? expected : "(none)");
}

static void test_in_namespace_then_what_can_be_a_service_becomes_its_full_name(void **state)
{
	static const struct {
		const char *host, *expected;
	} cases[] = {
		{"postgres", "postgres.shop.svc"},
		{"books-rw", "books-rw.shop.svc"},
		{"Db1", "Db1.shop.svc"},
		{"a23456789012345678901234567890123456789012345678901234567890123",
		 "a23456789012345678901234567890123456789012345678901234567890123.shop.svc"},
		{"a234567890123456789012345678901234567890123456789012345678901234", NULL},
		{"postgres.shop", NULL},
		{"postgres.", NULL},
		{"db.example", NULL},
		{"localhost", NULL},
		{"LOCALHOST", NULL},
		{"127.0.0.1", NULL},
		{"2130706433", NULL},
		{"0x7f000001", NULL},
		{"::1", NULL},
		{"[::1]", NULL},
		{"fe80::1%eth0", NULL},
		{"my_db", NULL},
		{"db-", NULL},
		{"-db", NULL},
		{"/tmp", NULL},
		{"a b", NULL},
		{"", NULL},
	};

	UNUSED(state);
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
		expect_in_namespace(host_in_namespace(cases[i].host, "shop"), cases[i].host, cases[i].expected);
}

static void test_in_namespace_of_a_url_then_only_its_host_changes(void **state)
{
	static const struct {
		const char *url, *expected;
	} cases[] = {
		{"http://opensearch:9200", "http://opensearch.shop.svc:9200"},
		{"https://es-http", "https://es-http.shop.svc"},
		{"https://es-http/prefix/es-http", "https://es-http.shop.svc/prefix/es-http"},
		{"http://opensearch:9200/a:b@c", "http://opensearch.shop.svc:9200/a:b@c"},
		{"http://u:p@opensearch:9200", "http://u:p@opensearch.shop.svc:9200"},
		{"http://localhost:9200", NULL},
		{"http://127.0.0.1:9200", NULL},
		{"http://[::1]:9200", NULL},
		{"https://search.example", NULL},
		{"http://search.example:9200", NULL},
		{"http://:9200", NULL},
		{"http://", NULL},
		{"opensearch:9200", NULL},
		{"", NULL},
	};

	UNUSED(state);
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
		expect_in_namespace(host_of_url_in_namespace(cases[i].url, "shop"), cases[i].url, cases[i].expected);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_loopback_when_nothing_else_can_be_meant_then_true),
		cmocka_unit_test(test_loopback_when_it_may_be_another_machine_then_false),
		cmocka_unit_test(test_loopback_of_a_url_then_its_host_is_judged),
		cmocka_unit_test(test_in_namespace_then_what_can_be_a_service_becomes_its_full_name),
		cmocka_unit_test(test_in_namespace_of_a_url_then_only_its_host_changes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
