/* The API server among what workers do not connect to, however the configuration names it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/egress.h"
#include "operator/operator_int.h"

static void test_denied_when_the_server_is_an_address_then_it_is_added(void **state)
{
	static const struct {
		const char *given, *server, *list;
	} rows[] = {
		{"169.254.0.0/16", "10.0.0.1:443", "169.254.0.0/16,10.0.0.1:443"},
		{"", "10.0.0.1:443/prefix", "10.0.0.1:443"},
		{"fe80::/10", "[fd00::1]:6443", "fe80::/10,[fd00::1]:6443"},
		{"", "10.0.0.1", "10.0.0.1"},
	};

	UNUSED(state);
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		_cleanup_free_ char *list = operator_denied_egress(rows[i].given, rows[i].server);

		assert_string_equal(list, rows[i].list);
	}
}

static void test_denied_when_the_server_is_a_name_then_its_addresses_are_added(void **state)
{
	_cleanup_free_ char *with_port = operator_denied_egress("fe80::/10", "localhost:6443/prefix");
	_cleanup_free_ char *without = operator_denied_egress("", "localhost");
	struct err err;

	UNUSED(state);
	assert_non_null(strstr(with_port, "fe80::/10,"));
	assert_non_null(strstr(with_port, "127.0.0.1:6443"));
	assert_int_equal(egress_check(with_port, &err), 0);
	assert_non_null(strstr(without, "127.0.0.1"));
	assert_int_equal(egress_check(without, &err), 0);
}

static void test_denied_when_the_name_cannot_be_resolved_then_the_rest_remains(void **state)
{
	_cleanup_free_ char *list = operator_denied_egress("fe80::/10", "server.invalid:6443");

	UNUSED(state);
	assert_string_equal(list, "fe80::/10");
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_denied_when_the_server_is_an_address_then_it_is_added),
		cmocka_unit_test(test_denied_when_the_server_is_a_name_then_its_addresses_are_added),
		cmocka_unit_test(test_denied_when_the_name_cannot_be_resolved_then_the_rest_remains),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
