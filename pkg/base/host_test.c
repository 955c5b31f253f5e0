/* Which hosts count as this machine. */
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

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_loopback_when_nothing_else_can_be_meant_then_true),
		cmocka_unit_test(test_loopback_when_it_may_be_another_machine_then_false),
		cmocka_unit_test(test_loopback_of_a_url_then_its_host_is_judged),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
