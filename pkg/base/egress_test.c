/* Tests of the addresses that this process does not connect to. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/un.h>

#include "base/egress.h"
#include "base/mem.h"

static bool is_denied(const char *text, uint16_t port)
{
	struct sockaddr_in in = {.sin_family = AF_INET, .sin_port = htons(port)};
	struct sockaddr_in6 in6 = {.sin6_family = AF_INET6, .sin6_port = htons(port)};

	if (inet_pton(AF_INET, text, &in.sin_addr) == 1)
		return egress_is_denied((const struct sockaddr *)&in);
	assert_int_equal(inet_pton(AF_INET6, text, &in6.sin6_addr), 1);
	return egress_is_denied((const struct sockaddr *)&in6);
}

/* The policy is the process's, so the tests are in one order. */
static void test_denied_when_there_is_no_list_then_nothing(void **state)
{
	const struct sockaddr_un here = {.sun_family = AF_UNIX};

	UNUSED(state);
	assert_false(is_denied("169.254.169.254", 80));
	assert_false(egress_is_denied((const struct sockaddr *)&here));
	assert_false(egress_unix_is_denied());
}

static void test_deny_when_an_entry_cannot_be_read_then_refused(void **state)
{
	static const char *const lists[] = {
		"10.0.0.0/33",
		"10.0.0.0/",
		"10.0.0.0/-1",
		"10.0.0",
		"host",
		"10.0.0.1:0",
		"10.0.0.1:65536",
		"[::1]",
		"[::1:80",
		"fe80::/129",
		",",
		"10.0.0.0/8,,",
		"::ffff:1.2.3.4.5",
		"1111:2222:3333:4444:5555:6666:7777:8888:9999:aaaa:bbbb:cccc:dddd:eeee:ffff",
	};

	UNUSED(state);
	for (size_t i = 0; i < ARRAY_SIZE(lists); i++) {
		struct err err = {0};

		if (egress_deny(lists[i], &err) == 0)
			fail_msg("accepted: %s", lists[i]);
		assert_int_equal(err.kind, ERR_INVALID);
	}
}

static void test_denied_then_the_address_counts_however_it_is_written(void **state)
{
	static const struct {
		const char *address;
		uint16_t port;
		bool denied;
	} rows[] = {
		{"169.254.169.254", 80, true},
		{"::ffff:169.254.169.254", 80, true},
		{"169.253.255.255", 80, false},
		{"169.255.0.0", 80, false},
		{"fe80::1", 5432, true},
		{"febf:ffff::", 5432, true},
		{"fec0::", 5432, false},
		{"127.0.0.1", 6443, true},
		{"0.0.0.0", 6443, true},
		{"::ffff:127.0.0.1", 6443, true},
		{"127.0.0.1", 5432, false},
		{"::1", 6443, false},
		{"fd00::1", 443, true},
		{"fd00::1", 444, false},
		{"10.9.8.7", 1, true},
		{"10.9.8.6", 1, false},
		/* through NAT64 */
		{"64:ff9b::a9fe:a9fe", 80, true},
		{"64:ff9b::a9fd:a9fe", 80, false},
		{"64:ff9b::", 6443, true},
		{"64:ff9b:0:0:0:1:a9fe:a9fe", 80, false},
	};
	const struct sockaddr_un here = {.sun_family = AF_UNIX};
	struct err err = {0};

	UNUSED(state);
	assert_int_equal(egress_deny("169.254.0.0/16,fe80::/10,127.0.0.1:6443", &err), 0);
	assert_int_equal(egress_deny("[fd00::1]:443,10.9.8.7", &err), 0);
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
		if (is_denied(rows[i].address, rows[i].port) != rows[i].denied)
			fail_msg("%s port %u", rows[i].address, rows[i].port);
	assert_false(egress_is_denied((const struct sockaddr *)&here));
	egress_deny_unix();
	assert_true(egress_is_denied((const struct sockaddr *)&here));
	assert_true(egress_unix_is_denied());
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_denied_when_there_is_no_list_then_nothing),
		cmocka_unit_test(test_deny_when_an_entry_cannot_be_read_then_refused),
		cmocka_unit_test(test_denied_then_the_address_counts_however_it_is_written),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
