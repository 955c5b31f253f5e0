/* Tests of connection URIs. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "spec/spec_int.h"

static void expect_part(const char *got, const char *want)
{
	if (want)
		assert_string_equal(got, want);
	else
		assert_null(got);
}

static void test_uri_when_of_the_form_then_its_parts(void **state)
{
	static const struct {
		const char *uri, *user, *password, *host, *port, *database, *sslmode;
	} rows[] = {
		{"postgres://h", NULL, NULL, "h", NULL, NULL, NULL},
		{"postgresql://h/", NULL, NULL, "h", NULL, NULL, NULL},
		{"postgres://h:1/d", NULL, NULL, "h", "1", "d", NULL},
		{"postgres://u@h", "u", NULL, "h", NULL, NULL, NULL},
		{"postgres://u:@h", "u", NULL, "h", NULL, NULL, NULL},
		{"postgres://u:p@h:5432/d", "u", "p", "h", "5432", "d", NULL},
		{"postgres://u%40:p%3A%2f@h/d%20b", "u@", "p:/", "h", NULL, "d b", NULL},
		{"postgres://u:p%@h", "u", "p%", "h", NULL, NULL, NULL},
		{"postgres://u:a%00b@h", "u", NULL, "h", NULL, NULL, NULL},
		{"postgres://u:a:b@h", "u", "a:b", "h", NULL, NULL, NULL},
		{"postgres://u:a/b?c#d@h/d", "u", "a/b?c#d", "h", NULL, "d", NULL},
		{"postgres://u:p@[::1]:6543/d", "u", "p", "::1", "6543", "d", NULL},
		{"postgres://[::1]/d", NULL, NULL, "::1", NULL, "d", NULL},
		{"postgres://h/d?sslmode=require", NULL, NULL, "h", NULL, "d", "require"},
		{"postgres://h?a=b&sslmode=verify%2Dfull&sslmode=disable", NULL, NULL, "h", NULL, NULL, "verify-full"},
		{"postgres://h?sslmodes=require&sslmode", NULL, NULL, "h", NULL, NULL, NULL},
	};

	UNUSED(state);
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		_cleanup_(spec_connection_release) struct spec_connection c = {0};

		assert_true(spec_connection_parse(rows[i].uri, &c));
		expect_part(c.user, rows[i].user);
		expect_part(c.password, rows[i].password);
		expect_part(c.host, rows[i].host);
		expect_part(c.port, rows[i].port);
		expect_part(c.database, rows[i].database);
		expect_part(c.sslmode, rows[i].sslmode);
	}
}

static void test_uri_when_of_another_form_then_refused(void **state)
{
	static const char *const rows[] = {
		"",
		"h",
		"postgres:",
		"postgres://",
		"mysql://h",
		"postgres:/h",
		"postgres:///d",
		"postgres://h1,h2/d",
		"postgres://u:p@/d",
		"Postgres://h",
		" postgres://h",
		"postgres://:1/d",
		"postgres://?sslmode=require",
	};

	UNUSED(state);
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		_cleanup_(spec_connection_release) struct spec_connection c = {0};

		assert_false(spec_connection_parse(rows[i], &c));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_uri_when_of_the_form_then_its_parts),
		cmocka_unit_test(test_uri_when_of_another_form_then_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
