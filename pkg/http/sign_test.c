/* Tests of signatures. The expected values are botocore's (SigV4Auth), for the same requests. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/mem.h"
#include "http/sign_int.h"

enum { NOW = 1440938160 }; /* 2015-08-30 12:36:00 UTC */

static void expect_signature(const struct http_signed *request, const char *token, const char *names,
			     const char *signature)
{
	const struct http_aws aws = {.region = "us-east-1",
				     .service = "es",
				     .access_key_id = "AKIDEXAMPLE",
				     .secret_access_key = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY",
				     .session_token = token};
	_cleanup_free_ char *expected =
		xasprintf("AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/es/aws4_request, "
			  "SignedHeaders=%s, Signature=%s",
			  names, signature);
	struct http_signature found;

	http_sign(&aws, request, NOW, &found);
	assert_string_equal(found.date, "20150830T123600Z");
	assert_string_equal(found.authorization, expected);
	http_signature_release(&found);
}

#define NAMES "host;x-amz-content-sha256;x-amz-date"

static void test_requests_then_signed_as_botocore_signs_them(void **state)
{
	static const struct {
		const char *method, *path, *query, *body, *signature;
	} rows[] = {
		{"GET", "/", "", "", "65461eb61b24383c750bb541db497ab5c8327ea0e4baa23d0d25d454e7a76a1a"},
		{"POST", "/books-g1/_bulk", "refresh=false", "{\"a\":1}\n",
		 "7f1217e9025a2552393d282e8cc9df17aa0f3591b4497d8933ecadf6aa1ba653"},
		{"GET", "/books/_search", "filter_path=hits.hits._id%2Chits.total&size=1", "",
		 "91e2ab71aeddb5023597782d88f9a117d171b47d370b97bde269799ec0720252"},
		{"HEAD", "/books", "local=", "", "65d5ee9c00197de52fdae0bbf5a4642b4b7b2fa9b438c51351f8187685af2eac"},
		{"GET", "/books/_doc/a%2Fb%20c", "", "",
		 "b6b5b6abef568fd7d7ad84f4dfb8fe78c1a3e9e7d76612fcaea2b703acbcabab"},
		{"GET", "/books,other/_alias/*", "", "",
		 "0c73d45058f5e92d4106dd8aba3cfb1070613cb930a51983d8e8fc9bfa834dd4"},
		{"DELETE", "/prefix/books-g1", "ignore_unavailable=true", "",
		 "7f635b90fecd255b0a3eb3ab52dd57c492373f2f979b1783697ab3ff00527791"},
		{"GET", "/b%C3%BC", "q=%C3%BC~-_.", "",
		 "d609d8bcee9c753088b8975e29ec1484d1650cea9f56356dc65ea546fcbf23a7"},
	};

	UNUSED(state);
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
		expect_signature(&(struct http_signed){.method = rows[i].method,
						       .host = "search.example.test",
						       .path = rows[i].path,
						       .query = rows[i].query,
						       .body = rows[i].body,
						       .body_len = strlen(rows[i].body)},
				 NULL, NAMES, rows[i].signature);
}

static void test_session_token_then_it_is_signed_too(void **state)
{
	UNUSED(state);
	expect_signature(
		&(struct http_signed){
			.method = "GET", .host = "search.example.test", .path = "/", .query = "", .body = ""},
		"tok/en+=", NAMES ";x-amz-security-token",
		"5dfc5c1a71913c48ad7c71add1778fa7ce4168fa4acb7db660ba2c1004880ce8");
}

static void test_query_then_sorted_and_encoded_once(void **state)
{
	static const char *const rows[][2] = {
		{"", ""},
		{"b=2&a=1", "a=1&b=2"},
		{"local", "local="},
		{"a=1&&", "a=1"},
		{"filter_path=hits.hits._id,hits.total", "filter_path=hits.hits._id%2Chits.total"},
		{"routing=x%2Fy&op_type=create", "op_type=create&routing=x%2Fy"},
		{"expand_wildcards=*", "expand_wildcards=%2A"},
		{"q=\xC3\xBC +", "q=%C3%BC%20%2B"},
		{"a=2&a=1", "a=1&a=2"},
	};

	UNUSED(state);
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		_cleanup_free_ char *found = http_sign_query(rows[i][0]);

		assert_string_equal(found, rows[i][1]);
	}
}

static void test_target_when_a_login_is_incomplete_or_breaks_headers_then_invalid(void **state)
{
	static const struct http_aws rows[] = {
		{NULL, "es", "AKIA", "s", NULL},
		{"eu-central-1", "es", NULL, "s", NULL},
		{"eu-central-1", "es", "A/B", "s", NULL},
		{"eu-central-1", "es", "A\r\nx: y", "s", NULL},
		{"eu-central-1", "es", "AKIA", NULL, NULL},
		{"eu-central-1", "es", "AKIA", "", NULL},
		{"eu-central-1", "es", "AKIA", "s", ""},
		{"eu-central-1", "es", "AKIA", "s", "t\r\nx: y"},
	};

	UNUSED(state);
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		const struct http_target_options options = {
			.urls = (const char *const[]){"https://h"}, .n_urls = 1, .auth = HTTP_AUTH_AWS, .aws = rows[i]};
		struct http_target *target = NULL;
		struct err err = {0};

		assert_int_equal(http_target_new(&options, &target, &err), -1);
		assert_int_equal(err.kind, ERR_INVALID);
		assert_null(strstr(err.msg, "x: y"));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_requests_then_signed_as_botocore_signs_them),
		cmocka_unit_test(test_session_token_then_it_is_signed_too),
		cmocka_unit_test(test_query_then_sorted_and_encoded_once),
		cmocka_unit_test(test_target_when_a_login_is_incomplete_or_breaks_headers_then_invalid),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
