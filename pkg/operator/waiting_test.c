/* Tests of waits that are passed on, with the web server of a worker at the other end of the channel. */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "http/http.h"
#include "operator/operator_int.h"

enum { CLIENTS = 16, /* as many as may wait for a PgSync */ POLL_MS = 100 };

struct fixture {
	struct waiting *waiting;
	struct web *worker; /* NULL: none */
	pthread_mutex_t lock;
	pthread_cond_t changed;
	unsigned held;
	bool open;
	struct http *http;
	struct http_target *target;
	unsigned answered; /* requests */
	long status;       /* of the last one */
	char body[200];
};

/* Answers as the position says. */
static void answer_wait(void *user, const struct web_request *request, struct web_response *response)
{
	struct fixture *f = user;
	const char *lsn = web_argument(request, "lsn"), *timeout = web_argument(request, "timeout");

	(void)pthread_mutex_lock(&f->lock);
	f->held++;
	(void)pthread_cond_broadcast(&f->changed);
	while (lsn && !strcmp(lsn, "hold") && !f->open)
		(void)pthread_cond_wait(&f->changed, &f->lock);
	f->held--;
	(void)pthread_mutex_unlock(&f->lock);
	if (lsn && !strcmp(lsn, "text"))
		strbuf_adds(&response->body, "reached");
	else if (lsn && !strcmp(lsn, "large"))
		strbuf_addf(&response->body, "{\"reached\":\"%05000d\"}", 1);
	else
		strbuf_addf(&response->body, "{\"lsn\":\"%s\",\"timeout\":\"%s\"}", lsn ? lsn : "-",
			    timeout ? timeout : "-");
	if (lsn && !strcmp(lsn, "late"))
		response->status = 504;
	if (lsn && !strcmp(lsn, "moved"))
		response->status = 302;
}

static void start_worker(struct fixture *f, const char *key)
{
	const struct web_route route = {.path = "/wait", .handler = answer_wait, .user = f};
	struct web_options options = {.routes = &route, .n_routes = 1, .workers = CLIENTS};
	struct err err = {0};

	assert_int_equal(waiting_open(f->waiting, key, &options.channel_fd, &err), 0);
	assert_int_equal(web_serve(&options, &f->worker, &err), 0);
	assert_int_equal(close(options.channel_fd), 0);
}

static void stop_worker(struct fixture *f)
{
	(void)pthread_mutex_lock(&f->lock);
	f->open = true;
	(void)pthread_cond_broadcast(&f->changed);
	(void)pthread_mutex_unlock(&f->lock);
	web_stop(TAKE_PTR(f->worker));
}

static int setup(void **state)
{
	struct fixture *f = xcalloc(1, sizeof(*f));
	_cleanup_free_ char *url = NULL;
	struct err err = {0};

	(void)pthread_mutex_init(&f->lock, NULL);
	(void)pthread_cond_init(&f->changed, NULL);
	*state = f;
	if (waiting_start("127.0.0.1:0", &f->waiting, &err) < 0 || http_new(&f->http, &err) < 0)
		return -1;
	url = xasprintf("http://127.0.0.1:%d", waiting_port(f->waiting));
	return http_target_new(&(struct http_target_options){.urls = (const char *const *)&url, .n_urls = 1},
			       &f->target, &err);
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	http_free(f->http);
	http_target_free(f->target);
	waiting_stop(f->waiting);
	stop_worker(f);
	(void)pthread_cond_destroy(&f->changed);
	(void)pthread_mutex_destroy(&f->lock);
	free(f);
	return 0;
}

static void on_wait_answer(void *user, const struct http_response *response, const struct err *err)
{
	struct fixture *f = user;

	if (err)
		fail_msg("%s", err->msg);
	f->answered++;
	f->status = response->status;
	(void)snprintf(f->body, sizeof(f->body), "%s", response->body.len ? response->body.data : "");
}

static void ask_waiting(struct fixture *f, const char *path)
{
	const struct http_request request = {.method = "GET", .path = path, .timeout_ms = 20000};

	(void)http_start(f->http, f->target, &request, on_wait_answer, f);
}

/* Until so many requests are answered. */
static void hear_answers(struct fixture *f, unsigned n)
{
	struct err err;

	while (f->answered < n)
		assert_int_equal(http_poll(f->http, NULL, 0, POLL_MS, &err), 0);
}

static void assert_wait(struct fixture *f, const char *path, long status, const char *word)
{
	ask_waiting(f, path);
	hear_answers(f, f->answered + 1);
	assert_int_equal(f->status, status);
	if (!strstr(f->body, word))
		fail_msg("no \"%s\" in \"%s\"", word, f->body);
}

static void test_wait_then_the_worker_of_the_pgsync_answers(void **state)
{
	static const struct {
		const char *path;
		long status;
		const char *word;
	} rows[] = {
		{"/shop/books/wait?lsn=16/B3&timeout=5s", 200, "{\"lsn\":\"16/B3\",\"timeout\":\"5s\"}"},
		{"/shop/books/wait?lsn=a%26b%20c", 200, "{\"lsn\":\"a&b c\",\"timeout\":\"-\"}"},
		{"/shop/books/wait", 200, "{\"lsn\":\"-\",\"timeout\":\"-\"}"},
		{"/shop/books/wait?lsn=late", 504, "late"},
		{"/shop/books/wait?lsn=moved", 503, "makes no sense"},
		{"/shop/books/wait?lsn=text", 503, "makes no sense"},
		{"/shop/books/wait?lsn=large", 503, "has ended"},
		{"/shop/others/wait?lsn=0/1", 503, "no worker of this PgSync runs here"},
		{"/shop%2Fbooks/x/wait", 404, "not found"},
		{"/shop/books", 404, "not found"},
		{"/wait?lsn=0/1", 404, "not found"},
	};
	struct fixture *f = *state;

	start_worker(f, "shop/books");
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
		assert_wait(f, rows[i].path, rows[i].status, rows[i].word);
}

/* Until so many requests are held by the worker. */
static void wait_held(struct fixture *f, unsigned n)
{
	struct err err;
	unsigned held = 0;

	while (held < n) {
		assert_int_equal(http_poll(f->http, NULL, 0, POLL_MS, &err), 0);
		(void)pthread_mutex_lock(&f->lock);
		held = f->held;
		(void)pthread_mutex_unlock(&f->lock);
	}
}

static void test_wait_when_many_wait_for_one_pgsync_then_others_have_room(void **state)
{
	struct fixture *f = *state;

	start_worker(f, "shop/books");
	for (int i = 0; i < CLIENTS; i++)
		ask_waiting(f, "/shop/books/wait?lsn=hold");
	wait_held(f, CLIENTS);
	assert_wait(f, "/shop/books/wait?lsn=0/1", 503, "16 clients wait");
	assert_wait(f, "/shop/others/wait?lsn=0/1", 503, "no worker");
	stop_worker(f);
	hear_answers(f, CLIENTS + 2);
	assert_int_equal(f->status, 200);
}

static void test_wait_when_the_worker_has_ended_then_the_next_one_answers(void **state)
{
	struct fixture *f = *state;

	start_worker(f, "shop/books");
	waiting_close(f->waiting, "shop/books");
	stop_worker(f);
	assert_wait(f, "/shop/books/wait?lsn=0/1", 503, "no worker");
	start_worker(f, "shop/books");
	assert_wait(f, "/shop/books/wait?lsn=0/1", 200, "0/1");
	waiting_close(f->waiting, "shop/books");
}

static void *stop_waiting(void *user)
{
	waiting_stop(user);
	return NULL;
}

static void test_stop_while_a_client_waits_then_it_is_told(void **state)
{
	struct fixture *f = *state;
	pthread_t stopping;

	start_worker(f, "shop/books");
	ask_waiting(f, "/shop/books/wait?lsn=hold");
	wait_held(f, 1);
	assert_int_equal(pthread_create(&stopping, NULL, stop_waiting, TAKE_PTR(f->waiting)), 0);
	hear_answers(f, 1);
	assert_int_equal(pthread_join(stopping, NULL), 0);
	assert_int_equal(f->status, 503);
	assert_non_null(strstr(f->body, "the operator is stopping"));
}

static void test_nobody_waits_then_workers_get_no_channel(void **state)
{
	struct err err = {0};
	int fd = -1;

	UNUSED(state);
	assert_int_equal(waiting_open(NULL, "shop/books", &fd, &err), 0);
	assert_int_equal(fd, 0);
	waiting_close(NULL, "shop/books");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_wait_then_the_worker_of_the_pgsync_answers, setup, teardown),
		cmocka_unit_test_setup_teardown(test_wait_when_many_wait_for_one_pgsync_then_others_have_room, setup,
						teardown),
		cmocka_unit_test_setup_teardown(test_wait_when_the_worker_has_ended_then_the_next_one_answers, setup,
						teardown),
		cmocka_unit_test_setup_teardown(test_stop_while_a_client_waits_then_it_is_told, setup, teardown),
		cmocka_unit_test(test_nobody_waits_then_workers_get_no_channel),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
