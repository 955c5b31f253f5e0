/* Tests that need no server: quoting, array literals, kinds of errors, waiting, and connections that are never made. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>

#include <openssl/x509_vfy.h>

#include <cmocka.h>

#include "base/clock.h"
#include "postgres/pg_int.h"
#include "postgres/replication.h"

static void assert_contains(const char *text, const char *part)
{
	if (!strstr(text, part))
		fail_msg("\"%s\" lacks \"%s\"", text, part);
}

/* --- Quoting -------------------------------------------------------------------------------------------------------
 */
static void test_quote_when_quotes_inside_then_doubled(void **state)
{
	struct strbuf sb;

	UNUSED(state);
	strbuf_init(&sb, 1000);
	pg_quote_ident(&sb, "a\"b'c");
	assert_string_equal(sb.data, "\"a\"\"b'c\"");
	strbuf_reset(&sb);
	pg_quote_literal(&sb, "O'Hara\\\"");
	assert_string_equal(sb.data, "'O''Hara\\\"'");
	strbuf_reset(&sb);
	pg_quote_table(&sb, "My Schema", "t.x");
	assert_string_equal(sb.data, "\"My Schema\".\"t.x\"");
	strbuf_reset(&sb);
	pg_quote_literal(&sb, "");
	assert_string_equal(sb.data, "''");
	strbuf_release(&sb);
}

static void test_array_then_elements_are_quoted_and_escaped(void **state)
{
	struct strbuf sb;

	UNUSED(state);
	strbuf_init(&sb, 1000);
	pg_array_begin(&sb);
	pg_array_add(&sb, "a", 1);
	pg_array_add(&sb, NULL, 0);
	pg_array_add(&sb, "NULL", 4);
	pg_array_add(&sb, "", 0);
	pg_array_add(&sb, "x\"y\\z,{}", 8);
	pg_array_add(&sb, "{", 1);
	pg_array_add(&sb, "cut here", 3);
	pg_array_end(&sb);
	assert_string_equal(sb.data, "{\"a\",NULL,\"NULL\",\"\",\"x\\\"y\\\\z,{}\",\"{\",\"cut\"}");
	strbuf_reset(&sb);
	pg_array_begin(&sb);
	pg_array_end(&sb);
	assert_string_equal(sb.data, "{}");
	strbuf_release(&sb);
}

static void test_array_when_maximum_is_crossed_then_buffer_says_so(void **state)
{
	struct strbuf sb;

	UNUSED(state);
	strbuf_init(&sb, 8);
	pg_array_begin(&sb);
	pg_array_add(&sb, "abcdefgh", 8);
	pg_array_add(&sb, "i", 1);
	pg_array_end(&sb);
	assert_false(strbuf_ok(&sb));
	strbuf_release(&sb);
}

/* --- History -------------------------------------------------------------------------------------------------------
 */
static void assert_timeline(const char *history, uint32_t server, uint32_t timeline, struct pg_timeline expected)
{
	struct pg_timeline found = pg_history_find(history, server, timeline);

	assert_int_equal(found.begin, expected.begin);
	assert_int_equal(found.end, expected.end);
}

static void test_history_then_where_a_timeline_began_and_ended(void **state)
{
	static const char history[] = "1\t0/3000148\tno recovery target specified\n\n"
				      "2\tA/5000000\tbefore 2026-12-01 10:00:00+00\n"
				      "12\tA/5000001\treason";
	static const struct pg_timeline unknown = {0};

	UNUSED(state);
	assert_timeline(history, 13, 1, (struct pg_timeline){0, 0x3000148});
	assert_timeline(history, 13, 2, (struct pg_timeline){0x3000148, 0xA05000000});
	assert_timeline(history, 13, 12, (struct pg_timeline){0xA05000000, 0xA05000001});
	assert_timeline(history, 13, 13, (struct pg_timeline){0xA05000001, 0});
	assert_timeline(history, 13, 3, unknown);
	assert_timeline(history, 13, 14, unknown);
	assert_timeline("", 1, 1, unknown);
	assert_timeline("", 3, 1, unknown);
	assert_timeline("1", 2, 1, unknown);
	assert_timeline("1\tnonsense\tx", 2, 1, unknown);
	assert_timeline("1\tnonsense\tx", 2, 2, unknown);
}

/* --- Errors --------------------------------------------------------------------------------------------------------
 */
static void test_sqlstate_then_kind_decides_policy(void **state)
{
	static const struct {
		const char *sqlstate;
		enum err_kind kind;
	} cases[] = {
		{"08006", ERR_TRANSIENT}, {"57P01", ERR_TRANSIENT}, {"57P03", ERR_TRANSIENT}, {"53300", ERR_TRANSIENT},
		{"40001", ERR_CONFLICT},  {"40P01", ERR_CONFLICT},  {"55006", ERR_CONFLICT},  {"55P03", ERR_CONFLICT},
		{"28P01", ERR_DENIED},    {"28000", ERR_DENIED},    {"42501", ERR_DENIED},    {"42P01", ERR_INVALID},
		{"22P02", ERR_INVALID},   {"23505", ERR_INVALID},   {"3D000", ERR_INVALID},   {"57014", ERR_TRANSIENT},
		{"25P02", ERR_FATAL},     {"25006", ERR_TRANSIENT}, {"54000", ERR_LIMIT},     {"XX001", ERR_FATAL},
		{"XX000", ERR_TRANSIENT}, {"55000", ERR_INVALID},   {"P0001", ERR_INVALID},
	};

	UNUSED(state);
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
		if (pg_sqlstate_kind(cases[i].sqlstate) != cases[i].kind)
			fail_msg("%s is %s", cases[i].sqlstate, err_kind_name(pg_sqlstate_kind(cases[i].sqlstate)));
	assert_string_equal(reason_name(pg_sqlstate_reason("28P01")), "AuthFailed");
	assert_string_equal(reason_name(pg_sqlstate_reason("42501")), "PrivilegeMissing");
	assert_string_equal(reason_name(pg_sqlstate_reason("3D000")), "DatabaseNotFound");
	assert_int_equal(pg_sqlstate_reason("42P01"), REASON_NONE);
}

static void test_error_then_detail_and_hint_are_shown(void **state)
{
	struct err err;

	UNUSED(state);
	assert_int_equal(
		pg_err_fields("42P01", "relation \"t\" does not exist", "Looked in public.", "Check it.", &err), -1);
	assert_false(pg_is_about_a_value(&err));
	assert_int_equal(err.kind, ERR_INVALID);
	assert_string_equal(err.sqlstate, "42P01");
	assert_string_equal(err.msg,
			    "relation \"t\" does not exist: Looked in public. Hint: Check it. (SQLSTATE 42P01)");
}

static void test_error_when_it_is_about_values_then_they_are_left_out(void **state)
{
	struct err err;

	UNUSED(state);
	(void)pg_err_fields("23505", "duplicate key value violates unique constraint \"u\"",
			    "Key (mail)=(ada@x) exists.", NULL, &err);
	assert_contains(err.msg, "constraint \"u\"");
	assert_null(strstr(err.msg, "ada"));
	(void)pg_err_fields("22P02", "invalid input syntax for type integer: \"s\"ec\"ret\" here", "Token \"secret\"",
			    NULL, &err);
	assert_contains(err.msg, "invalid input syntax for type integer: \"...\" here");
	assert_null(strstr(err.msg, "ret"));
	assert_true(pg_is_about_a_value(&err));
	(void)pg_err_fields("22P02", "bad value \"secret", NULL, NULL, &err);
	assert_null(strstr(err.msg, "secret"));
}

static struct err connect_error(const char *message, long verify, bool needs_password)
{
	const struct pg_params params = {.host = "db", .port = 5432, .database = "shop", .user = "sync"};
	struct err err;

	assert_int_equal(pg_err_connect(&(struct pg_connect_failure){.message = message,
								     .params = &params,
								     .verify = verify,
								     .needs_password = needs_password},
					&err),
			 -1);
	assert_contains(err.msg, "cannot connect to Postgres at db:5432, database \"shop\", as \"sync\": ");
	return err;
}

static void test_connect_error_when_server_refuses_then_its_sqlstate_decides(void **state)
{
	struct err err;

	UNUSED(state);
	err = connect_error(
		"connection to server at \"10.0.0.1\", port 5432 failed: FATAL:  28P01: password authentication "
		"failed for user \"sync\"\nLOCATION:  auth_failed, auth.c:335\n",
		0, true);
	assert_int_equal(err.kind, ERR_DENIED);
	assert_string_equal(reason_name(err.reason), "AuthFailed");
	assert_string_equal(err.sqlstate, "28P01");
	assert_contains(err.msg, "as \"sync\": password authentication failed for user \"sync\"");
	assert_null(strstr(err.msg, "LOCATION"));
	err = connect_error("connection to server failed: FATAL:  3D000: database \"shop\" does not exist\n", 0, false);
	assert_int_equal(err.kind, ERR_INVALID);
	assert_string_equal(reason_name(err.reason), "DatabaseNotFound");
	err = connect_error("connection to server failed: FATAL:  57P03: the database system is starting up\n", 0,
			    false);
	assert_int_equal(err.kind, ERR_TRANSIENT);
	assert_string_equal(reason_name(err.reason), "SourceUnreachable");
	err = connect_error("connection to server failed: FATAL:  42704: unrecognized configuration parameter "
			    "\"idle_session_timeout\"\n",
			    0, false);
	assert_string_equal(reason_name(err.reason), "VersionUnsupported");
	err = connect_error("connection to server failed: FATAL:  08P01: unsupported startup parameter: options\n", 0,
			    false);
	assert_int_equal(err.kind, ERR_INVALID);
	assert_string_equal(reason_name(err.reason), "NotSupported");
	assert_contains(err.msg, "a connection pooler such as PgBouncer seems to answer");
	/* A message in another language has the same state. */
	err = connect_error("connection to server failed: FATAL:  28000: kein Eintrag in pg_hba.conf\n", 0, false);
	assert_string_equal(reason_name(err.reason), "AuthFailed");
}

static void test_connect_error_when_certificate_is_bad_then_the_error_says_how(void **state)
{
	static const char verify_failed[] =
		"connection to server at \"db\" failed: SSL error: certificate verify failed\n";
	struct err err;

	UNUSED(state);
	err = connect_error(verify_failed, X509_V_ERR_CERT_HAS_EXPIRED, false);
	assert_int_equal(err.kind, ERR_DENIED);
	assert_string_equal(reason_name(err.reason), "TLS");
	assert_contains(err.msg, "has expired");
	err = connect_error(verify_failed, X509_V_ERR_SELF_SIGNED_CERT_IN_CHAIN, false);
	assert_string_equal(reason_name(err.reason), "TLS");
	assert_contains(err.msg, "unknown issuer");
	err = connect_error(
		"connection to server failed: server certificate for \"x\" does not match host name \"db\"\n", 0,
		false);
	assert_string_equal(reason_name(err.reason), "TLS");
	assert_contains(err.msg, "does not match host name \"db\"");
	err = connect_error("connection to server failed: server does not support SSL, but SSL was required\n", 0,
			    false);
	assert_string_equal(reason_name(err.reason), "TLS");
	assert_contains(err.msg, "; enable TLS on the server, or set spec.source.tls.mode: Disable");
}

static void test_connect_error_when_only_text_then_it_decides(void **state)
{
	struct err err;

	UNUSED(state);
	err = connect_error("connection to server failed: Connection refused\n\tIs the server running?\n", 0, false);
	assert_string_equal(reason_name(err.reason), "Refused");
	assert_int_equal(err.kind, ERR_TRANSIENT);
	assert_contains(err.msg, "Connection refused; Is the server running?");
	err = connect_error("connection to server failed: fe_sendauth: no password supplied\n", 0, true);
	assert_string_equal(reason_name(err.reason), "AuthFailed");
	err = connect_error("connection to server failed: SSL SYSCALL error: Connection reset by peer\n", 0, false);
	assert_string_equal(reason_name(err.reason), "SourceUnreachable");
	err = connect_error("", 0, false);
	assert_string_equal(reason_name(err.reason), "SourceUnreachable");
}

/* --- Connecting without a server -----------------------------------------------------------------------------------
 */
/* A port that never answers: listening, but not accepting. */
static int mute_server(int *ret_port)
{
	struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t len = sizeof(address);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	assert_true(fd >= 0);
	assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof(address)), 0);
	assert_int_equal(listen(fd, 4), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&address, &len), 0);
	*ret_port = ntohs(address.sin_port);
	return fd;
}

static void test_connect_when_server_is_mute_then_timeout_within_the_deadline(void **state)
{
	struct pg_params params = {.host = "127.0.0.1", .database = "d", .user = "u", .cancel_fd = -1};
	_cleanup_close_ int server = mute_server(&params.port);
	int64_t start_ms = clock_now_ms();
	struct pg *pg = NULL;
	struct err err;

	UNUSED(state);
	assert_true(server >= 0);
	params.connect_timeout_ms = 100;
	assert_int_equal(pg_connect(&params, false, &pg, &err), -1);
	assert_null(pg);
	assert_int_equal(err.kind, ERR_TRANSIENT);
	assert_string_equal(reason_name(err.reason), "Timeout");
	assert_true(clock_now_ms() - start_ms >= 100);
	assert_true(clock_now_ms() - start_ms < 5000);
}

static void test_connect_when_cancelled_then_returns_at_once(void **state)
{
	struct pg_params params = {.host = "127.0.0.1", .database = "d", .user = "u"};
	_cleanup_close_ int server = mute_server(&params.port);
	_cleanup_close_ int cancel = eventfd(1, EFD_CLOEXEC);
	struct pg *pg = NULL;
	struct err err;

	UNUSED(state);
	assert_true(server >= 0);
	params.cancel_fd = cancel;
	params.connect_timeout_ms = 60000;
	assert_int_equal(pg_connect(&params, false, &pg, &err), -1);
	assert_int_equal(err.kind, ERR_CANCELLED);
}

static void test_connect_when_port_is_closed_then_refused(void **state)
{
	struct pg_params params = {
		.host = "localhost", .database = "d", .user = "u", .password = "hush", .cancel_fd = -1};
	struct pg *pg = NULL;
	struct err err;

	UNUSED(state);
	(void)close(mute_server(&params.port));
	assert_int_equal(pg_connect(&params, false, &pg, &err), -1);
	assert_string_equal(reason_name(err.reason), "Refused");
	assert_null(strstr(err.msg, "hush"));
}

static void test_connect_when_verifying_without_ca_then_denied(void **state)
{
	struct pg_params params = {.host = "127.0.0.1", .port = 1, .tls = PG_TLS_VERIFY_FULL, .cancel_fd = -1};
	struct pg *pg = NULL;
	struct err err;

	UNUSED(state);
	assert_int_equal(pg_connect(&params, false, &pg, &err), -1);
	assert_int_equal(err.kind, ERR_DENIED);
	assert_string_equal(reason_name(err.reason), "TLS");
}

static void test_ca_file_then_the_file_has_the_text(void **state)
{
	static const char pem[] = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
	char path[32], text[sizeof(pem)] = "";
	_cleanup_close_ int fd = -1, reader = -1;
	struct err err;

	UNUSED(state);
	fd = pg_ca_file(pem, path, &err);
	assert_true(fd >= 0);
	reader = open(path, O_RDONLY | O_CLOEXEC);
	assert_int_equal(read(reader, text, sizeof(text)), sizeof(pem) - 1);
	assert_string_equal(text, pem);
	assert_int_equal(pg_ca_file("no certificate", path, &err), -1);
	assert_string_equal(reason_name(err.reason), "TLS");
}

static void test_resolve_when_numeric_then_itself(void **state)
{
	_cleanup_free_ char *addresses = NULL;
	struct err err;

	UNUSED(state);
	assert_int_equal(pg_resolve("192.0.2.7", -1, -1, &addresses, &err), 0);
	assert_string_equal(addresses, "192.0.2.7");
}

static void test_pause_when_cancelled_then_ends_early(void **state)
{
	_cleanup_close_ int cancel = eventfd(0, EFD_CLOEXEC);
	struct pg pg = {.cancel_fd = cancel};
	struct err err;

	UNUSED(state);
	assert_int_equal(pg_pause(&pg, 1, &err), 0);
	assert_int_equal(eventfd_write(cancel, 1), 0);
	assert_int_equal(pg_pause(&pg, 60000, &err), -1);
	assert_int_equal(err.kind, ERR_CANCELLED);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_quote_when_quotes_inside_then_doubled),
		cmocka_unit_test(test_array_then_elements_are_quoted_and_escaped),
		cmocka_unit_test(test_array_when_maximum_is_crossed_then_buffer_says_so),
		cmocka_unit_test(test_history_then_where_a_timeline_began_and_ended),
		cmocka_unit_test(test_sqlstate_then_kind_decides_policy),
		cmocka_unit_test(test_error_then_detail_and_hint_are_shown),
		cmocka_unit_test(test_error_when_it_is_about_values_then_they_are_left_out),
		cmocka_unit_test(test_connect_error_when_server_refuses_then_its_sqlstate_decides),
		cmocka_unit_test(test_connect_error_when_certificate_is_bad_then_the_error_says_how),
		cmocka_unit_test(test_connect_error_when_only_text_then_it_decides),
		cmocka_unit_test(test_connect_when_server_is_mute_then_timeout_within_the_deadline),
		cmocka_unit_test(test_connect_when_cancelled_then_returns_at_once),
		cmocka_unit_test(test_connect_when_port_is_closed_then_refused),
		cmocka_unit_test(test_connect_when_verifying_without_ca_then_denied),
		cmocka_unit_test(test_ca_file_then_the_file_has_the_text),
		cmocka_unit_test(test_resolve_when_numeric_then_itself),
		cmocka_unit_test(test_pause_when_cancelled_then_ends_early),
	};

	return cmocka_run_group_tests_name("pg", tests, NULL, NULL);
}
