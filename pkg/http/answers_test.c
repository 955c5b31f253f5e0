/* Tests of unrequested answers: redirects and compression. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "fakes/engine.h"
#include "http/http.h"

struct client {
	struct fake_engine engine;
	struct http *http;
	struct http_target *target;
	struct http_response response;
	struct err err;
	int status;
	const char *body;
	size_t body_len;
	bool asked_to_compress;
};

static int answer(struct fake_engine *engine, const char *head, const char *body, struct strbuf *to)
{
	struct client *c = engine->user;

	UNUSED(body);
	c->asked_to_compress = strcasestr(head, "accept-encoding") != NULL;
	strbuf_add(to, c->body, c->body_len);
	return c->status;
}

static void ask(struct client *c, const char *headers)
{
	const struct http_request request = {.method = "GET", .path = "/"};
	const char *url;

	fake_engine_start(&c->engine, answer, c);
	c->engine.headers = headers;
	url = c->engine.url;
	assert_int_equal(http_target_new(&(struct http_target_options){.urls = &url, .n_urls = 1}, &c->target, &c->err),
			 0);
	assert_int_equal(http_new(&c->http, &c->err), 0);
	assert_int_equal(http_do(c->http, c->target, &request, &c->response, &c->err), 0);
}

static void stop(struct client *c)
{
	http_response_release(&c->response);
	http_free(c->http);
	http_target_free(c->target);
	fake_engine_stop(&c->engine);
}

static void test_do_when_a_proxy_compresses_unasked_then_the_body_is_read(void **state)
{
	/* gzip of {"ok":1} */
	static const char zipped[] = "\x1f\x8b\x08\x00\x00\x00\x00\x00\x02\x03\xab\x56\xca\xcf\x56\xb2\x32\xac\x05\x00"
				     "\x09\x8c\x54\x10\x08\x00\x00\x00";
	struct client c = {.status = 200, .body = zipped, .body_len = sizeof(zipped) - 1};

	UNUSED(state);
	ask(&c, "Content-Encoding: gzip\r\n");
	assert_string_equal(c.response.body.data, "{\"ok\":1}");
	assert_false(c.asked_to_compress);
	stop(&c);
}

static void test_status_err_when_redirected_then_it_says_where_to_without_the_query(void **state)
{
	struct client c = {.status = 302, .body = "", .body_len = 0};

	UNUSED(state);
	ask(&c, "Location: https://login.example/sign-in?token=secret\r\n");
	assert_int_equal(http_status_err(&c.response, "GET x", &c.err), -1);
	assert_int_equal(c.err.kind, ERR_INVALID);
	assert_int_equal(c.err.code, 302);
	assert_non_null(strstr(c.err.msg, "HTTP status 302 redirects to https://login.example/sign-in, "));
	assert_null(strstr(c.err.msg, "secret"));
	stop(&c);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_do_when_a_proxy_compresses_unasked_then_the_body_is_read),
		cmocka_unit_test(test_status_err_when_redirected_then_it_says_where_to_without_the_query),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
