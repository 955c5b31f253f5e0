/* Tests of what a server may ask for before it admits us. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "postgres/pg_int.h"

#define OK_REQUEST "R\0\0\0\x08\0\0\0\0"
#define CLEARTEXT "R\0\0\0\x08\0\0\0\x03"
#define MD5 "R\0\0\0\x0c\0\0\0\x05salt"
#define SASL "R\0\0\0\x17\0\0\0\x0aSCRAM-SHA-256\0\0"
#define SASL_FINAL "R\0\0\0\x0c\0\0\0\x0cv=ab"
#define CHALLENGE               \
	"R\0\0\0\x1a\0\0\0\x0b" \
	"r=ab,s=YWI=,i=4096"
#define CHALLENGE_MOST          \
	"R\0\0\0\x1d\0\0\0\x0b" \
	"r=ab,s=YWI=,i=1000000"
#define CHALLENGE_MORE          \
	"R\0\0\0\x1d\0\0\0\x0b" \
	"r=ab,s=YWI=,i=1000001"
#define CHALLENGE_BLANK         \
	"R\0\0\0\x21\0\0\0\x0b" \
	"r=ab,s=YWI=,i= 2147483647"
#define CHALLENGE_EXTENDED      \
	"R\0\0\0\x27\0\0\0\x0b" \
	"r=ab,s=YWI=,i=2147483647,i=4096"
#define CHALLENGE_IN_SALT       \
	"R\0\0\0\x20\0\0\0\x0b" \
	"r=ab,i=4096,i=2147483647"
#define CHALLENGE_ENDLESS             \
	"R\x7f\xff\xff\xff\0\0\0\x0b" \
	"r=ab,"
#define CHALLENGE_EMPTY "R\0\0\0\x08\0\0\0\x0b"
#define GSS "R\0\0\0\x08\0\0\0\x07"
#define NOTICE_WITH_AN_R "N\0\0\0\x0dR\0\0\0\x08\0\0\0\x03"
#define TEXT(s) s, sizeof(s) - 1

static const struct {
	const char *what;
	const char *data;
	size_t len;
	unsigned allowed;
	const char *refused; /* words of the error; NULL: it passes */
} cases[] = {
	{"none", TEXT(OK_REQUEST), PG_AUTH_SCRAM, NULL},
	{"SCRAM", TEXT(SASL SASL_FINAL OK_REQUEST), PG_AUTH_SCRAM, NULL},
	{"SCRAM with its challenge", TEXT(SASL CHALLENGE SASL_FINAL OK_REQUEST), PG_AUTH_SCRAM, NULL},
	{"the most rounds", TEXT(SASL CHALLENGE_MOST SASL_FINAL OK_REQUEST), PG_AUTH_SCRAM, NULL},
	{"one more", TEXT(SASL CHALLENGE_MORE), PG_AUTH_SCRAM, "more often than 1000000"},
	{"rounds that only libpq reads", TEXT(SASL CHALLENGE_BLANK), PG_AUTH_SCRAM, "more often"},
	{"rounds before an extension", TEXT(SASL CHALLENGE_EXTENDED), PG_AUTH_SCRAM, "more often"},
	{"rounds where the salt belongs", TEXT(SASL CHALLENGE_IN_SALT), PG_AUTH_SCRAM, "more often"},
	{"a challenge without end", TEXT(SASL CHALLENGE_ENDLESS), PG_AUTH_SCRAM, "2147483639 bytes"},
	{"an empty challenge", TEXT(SASL CHALLENGE_EMPTY), PG_AUTH_SCRAM, "0 bytes"},
	{"clear text after the challenge", TEXT(SASL CHALLENGE CLEARTEXT), PG_AUTH_SCRAM, "in clear text"},
	{"clear text", TEXT(CLEARTEXT), PG_AUTH_SCRAM, "in clear text"},
	{"clear text, though MD5 is allowed", TEXT(CLEARTEXT), PG_AUTH_SCRAM | PG_AUTH_MD5, "add Cleartext"},
	{"clear text, allowed", TEXT(CLEARTEXT OK_REQUEST), PG_AUTH_CLEARTEXT, NULL},
	{"MD5", TEXT(MD5), PG_AUTH_SCRAM, "add MD5"},
	{"MD5, allowed", TEXT(MD5 OK_REQUEST), PG_AUTH_MD5, NULL},
	{"SCRAM, which is not allowed", TEXT(SASL), PG_AUTH_MD5, "type 10"},
	{"GSS", TEXT(GSS), PG_AUTH_SCRAM | PG_AUTH_MD5 | PG_AUTH_CLEARTEXT, "type 7"},
	{"clear text in the same breath as SCRAM", TEXT(SASL CLEARTEXT), PG_AUTH_SCRAM, "in clear text"},
	{"clear text after a notice", TEXT(NOTICE_WITH_AN_R CLEARTEXT), PG_AUTH_SCRAM, "in clear text"},
	{"a notice that looks like it", TEXT(NOTICE_WITH_AN_R OK_REQUEST), PG_AUTH_SCRAM, NULL},
	{"what comes after it admitted us", TEXT(OK_REQUEST CLEARTEXT), PG_AUTH_SCRAM, NULL},
	{"a length of zero", TEXT("R\0\0\0\0\0\0\0\x03"), PG_AUTH_SCRAM, "too short"},
	{"a length without a code", TEXT("R\0\0\0\x04\0\0\0\x03"), PG_AUTH_SCRAM, "too short"},
};

/* The result does not depend on how the bytes are split. */
static void test_feed_then_only_allowed_requests_pass(void **state)
{
	UNUSED(state);
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		for (size_t step = 1; step <= cases[i].len; step++) {
			struct pg_auth_watch watch = {.allowed = cases[i].allowed};
			struct err err = {0};
			int r = 0;

			for (size_t at = 0; r == 0 && at < cases[i].len; at += step)
				r = pg_auth_feed(&watch, cases[i].data + at,
						 step < cases[i].len - at ? step : cases[i].len - at, &err);
			if ((r < 0) != (cases[i].refused != NULL) || (r < 0 && !strstr(err.msg, cases[i].refused)))
				fail_msg("%s, in steps of %zu: %d, \"%s\"", cases[i].what, step, r, err.msg);
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_feed_then_only_allowed_requests_pass),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
