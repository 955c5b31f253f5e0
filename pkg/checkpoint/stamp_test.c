/* Tests of checkpoints in Redis: whatever Redis lost, the stamp in the index decides. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <netinet/in.h>
#include <pthread.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "checkpoint/checkpoint.h"
#include "fakes/engine.h"
#include "http/http.h"
#include "redis/redis.h"
#include "search/search.h"
#include "json/json.h"

enum { REQUEST_BYTES = 64 * 1024 };

/* One document of a search engine and one value of a Redis. */
struct both {
	struct fake_engine engine;
	char *document; /* NULL: there is none */
	int seq_no;
	int listen;
	pthread_t thread;
	char *value; /* NULL: there is none */
	struct redis_server server;
	struct http_target *target;
	struct search *search;
	struct checkpoint_store store;
};

static int answer_document(struct fake_engine *engine, const char *head, const char *body, struct strbuf *answer)
{
	struct both *b = engine->user;
	const char *condition = strstr(head, "if_seq_no=");
	char wanted[64];

	if (!strstr(head, "/_doc/")) {
		strbuf_adds(answer, "{\"pgsync-checkpoints\":{}}");
		return 200;
	}
	if (strncmp(head, "GET ", 4) == 0) {
		if (b->document)
			strbuf_addf(answer, "{\"found\":true,\"_seq_no\":%d,\"_primary_term\":1,\"_source\":%s}",
				    b->seq_no, b->document);
		else
			strbuf_adds(answer, "{\"_index\":\"pgsync-checkpoints\",\"_id\":\"k\",\"found\":false}");
		return b->document ? 200 : 404;
	}
	(void)snprintf(wanted, sizeof(wanted), "if_seq_no=%d&", b->seq_no);
	if (condition ? strncmp(condition, wanted, strlen(wanted)) != 0 : b->document != NULL) {
		strbuf_adds(answer, "{\"error\":{\"type\":\"version_conflict_engine_exception\",\"reason\":\"x\"},"
				    "\"status\":409}");
		return 409;
	}
	free(b->document);
	b->document = xstrdup(body);
	strbuf_addf(answer, "{\"result\":\"updated\",\"_seq_no\":%d,\"_primary_term\":1,\"_shards\":{\"failed\":0}}",
		    ++b->seq_no);
	return 200;
}

/* The value of a SET: what follows its last length. */
static char *set_value(const char *request)
{
	const char *last = strrchr(request, '$');
	const char *value = strstr(last, "\r\n") + 2;

	return xstrndup(value, strlen(value) - 2);
}

static void answer_command(struct both *b, int fd, const char *request)
{
	_cleanup_free_ char *text = NULL;

	if (strstr(request, "\r\nGET\r\n")) {
		text = b->value ? xasprintf("$%zu\r\n%s\r\n", strlen(b->value), b->value) : xstrdup("$-1\r\n");
	} else if (strstr(request, "\r\nSET\r\n")) {
		free(b->value);
		b->value = set_value(request);
		text = xstrdup("+QUEUED\r\n");
	} else {
		text = xstrdup(strstr(request, "\r\nEXEC\r\n") ? "*1\r\n+OK\r\n" : "+OK\r\n");
	}
	(void)send(fd, text, strlen(text), MSG_NOSIGNAL);
}

/* One connection after the other, until the listener is shut down. */
static void *be_redis(void *user)
{
	struct both *b = user;
	_cleanup_free_ char *request = xcalloc(1, REQUEST_BYTES);
	int fd;

	while ((fd = accept4(b->listen, NULL, NULL, SOCK_CLOEXEC)) >= 0) {
		ssize_t n;

		while ((n = recv(fd, request, REQUEST_BYTES - 1, 0)) > 0) {
			request[n] = '\0';
			answer_command(b, fd, request);
		}
		(void)close(fd);
	}
	return NULL;
}

static void begin_both(struct both *b)
{
	struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t len = sizeof(address);
	const char *url;
	struct err err;

	*b = (struct both){.listen = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)};
	assert_int_equal(bind(b->listen, (const struct sockaddr *)&address, sizeof(address)), 0);
	assert_int_equal(listen(b->listen, 1), 0);
	assert_int_equal(getsockname(b->listen, (struct sockaddr *)&address, &len), 0);
	assert_int_equal(pthread_create(&b->thread, NULL, be_redis, b), 0);
	fake_engine_start(&b->engine, answer_document, b);
	url = b->engine.url;
	assert_int_equal(http_target_new(&(struct http_target_options){.urls = &url, .n_urls = 1}, &b->target, &err),
			 0);
	assert_int_equal(search_new(b->target, NULL, NULL, &b->search, &err), 0);
	b->server = (struct redis_server){.host = "127.0.0.1", .port = ntohs(address.sin_port)};
	b->store = (struct checkpoint_store){.search = b->search, .redis = &b->server, .in_redis = true};
}

static void end_both(struct both *b)
{
	search_free(b->search);
	http_target_free(b->target);
	fake_engine_stop(&b->engine);
	(void)shutdown(b->listen, SHUT_RDWR);
	assert_int_equal(pthread_join(b->thread, NULL), 0);
	(void)close(b->listen);
	free(b->document);
	free(b->value);
}

static void load(struct both *b, struct checkpoint *cp)
{
	struct err err;

	if (checkpoint_load(&b->store, "k", cp, &err) < 0)
		fail_msg("%s", err.msg);
}

static void save(struct both *b, struct checkpoint *cp)
{
	struct err err;

	if (checkpoint_save(&b->store, "k", cp, &err) < 0)
		fail_msg("%s", err.msg);
}

/* Saves a checkpoint of this phase; the first one, or one that follows what is stored. */
static void save_phase(struct both *b, enum checkpoint_phase phase, uint64_t lsn)
{
	struct checkpoint cp;

	load(b, &cp);
	cp.phase = phase;
	cp.confirmed_lsn = lsn;
	if (!cp.owner)
		cp.owner = xstrdup("shop/books");
	save(b, &cp);
	checkpoint_release(&cp);
}

static void expect_lost(struct both *b)
{
	struct checkpoint cp;

	load(b, &cp);
	assert_true(cp.lost);
	assert_int_equal(cp.phase, CHECKPOINT_PREPARING);
	assert_string_equal(cp.owner, "shop/books");
	checkpoint_release(&cp);
}

static void test_save_when_in_redis_then_the_index_has_only_a_stamp(void **state)
{
	struct checkpoint cp;
	struct both b;

	UNUSED(state);
	begin_both(&b);
	save_phase(&b, CHECKPOINT_LIVE, 5);
	assert_non_null(strstr(b.document, "\"states\""));
	assert_null(strstr(b.document, "\"indices\""));
	load(&b, &cp);
	assert_int_equal(cp.phase, CHECKPOINT_LIVE);
	assert_int_equal(cp.confirmed_lsn, 5);
	assert_true(cp.in_redis && !cp.lost);
	checkpoint_release(&cp);
	end_both(&b);
}

static void test_load_when_redis_lost_or_damaged_it_then_lost(void **state)
{
	struct both b;

	UNUSED(state);
	begin_both(&b);
	save_phase(&b, CHECKPOINT_LIVE, 5);
	free(b.value);
	b.value = NULL;
	expect_lost(&b);
	b.value = xstrdup("{not ours");
	expect_lost(&b);
	/* It can be saved again, although Redis knows nothing of it. */
	save_phase(&b, CHECKPOINT_BOOTSTRAP, 6);
	assert_non_null(strstr(b.value, "Bootstrap"));
	end_both(&b);
}

static void test_load_when_redis_has_an_older_state_then_lost_and_an_older_progress_then_not(void **state)
{
	_cleanup_free_ char *bootstrap = NULL, *live = NULL;
	struct checkpoint cp;
	struct both b;

	UNUSED(state);
	begin_both(&b);
	save_phase(&b, CHECKPOINT_BOOTSTRAP, 5);
	bootstrap = xstrdup(b.value);
	save_phase(&b, CHECKPOINT_LIVE, 6);
	live = xstrdup(b.value);
	save_phase(&b, CHECKPOINT_LIVE, 7);
	free(b.value);
	b.value = xstrdup(live);
	load(&b, &cp);
	assert_false(cp.lost);
	/* The stamp knows how far it was. */
	assert_int_equal(cp.confirmed_lsn, 7);
	checkpoint_release(&cp);
	free(b.value);
	b.value = xstrdup(bootstrap);
	expect_lost(&b);
	end_both(&b);
}

static void test_load_when_redis_lags_behind_in_all_progress_then_it_is_used(void **state)
{
	_cleanup_free_ char *older = NULL;
	struct checkpoint cp;
	struct both b;

	UNUSED(state);
	begin_both(&b);
	save_phase(&b, CHECKPOINT_LIVE, 6);
	load(&b, &cp);
	older = xstrdup(b.value);
	cp.confirmed_lsn = 7;
	cp.landmark = (struct checkpoint_landmark){.lsn = 7, .xid = 1, .commit_us = 1};
	save(&b, &cp);
	checkpoint_release(&cp);
	free(b.value);
	b.value = xstrdup(older);
	load(&b, &cp);
	assert_false(cp.lost);
	assert_int_equal(cp.confirmed_lsn, 7);
	checkpoint_release(&cp);
	end_both(&b);
}

static void test_save_when_another_process_saved_then_conflict_and_redis_keeps_its_value(void **state)
{
	_cleanup_free_ char *value = NULL;
	struct checkpoint cp;
	struct err err = {0};
	struct both b;

	UNUSED(state);
	begin_both(&b);
	save_phase(&b, CHECKPOINT_BOOTSTRAP, 5);
	load(&b, &cp);
	save_phase(&b, CHECKPOINT_LIVE, 6);
	value = xstrdup(b.value);
	cp.confirmed_lsn = 9;
	assert_int_equal(checkpoint_save(&b.store, "k", &cp, &err), -1);
	assert_int_equal(err.kind, ERR_CONFLICT);
	assert_int_equal(err.reason, REASON_CHECKPOINT_CONFLICT);
	assert_string_equal(b.value, value);
	checkpoint_release(&cp);
	end_both(&b);
}

static void test_load_when_no_redis_is_known_then_says_what_to_set(void **state)
{
	struct checkpoint cp;
	struct err err = {0};
	struct both b;

	UNUSED(state);
	begin_both(&b);
	save_phase(&b, CHECKPOINT_LIVE, 5);
	b.store = (struct checkpoint_store){.search = b.search};
	assert_int_equal(checkpoint_load(&b.store, "k", &cp, &err), -1);
	assert_int_equal(err.reason, REASON_INVALID_SPEC);
	assert_non_null(strstr(err.msg, "spec.checkpoint.redis"));
	end_both(&b);
}

static void test_save_when_moved_to_the_index_then_the_checkpoint_itself_is_there(void **state)
{
	struct checkpoint cp;
	struct both b;

	UNUSED(state);
	begin_both(&b);
	save_phase(&b, CHECKPOINT_LIVE, 5);
	b.store.in_redis = false;
	load(&b, &cp);
	assert_true(checkpoint_is_misplaced(&b.store, &cp));
	save(&b, &cp);
	assert_false(checkpoint_is_misplaced(&b.store, &cp));
	checkpoint_release(&cp);
	assert_null(strstr(b.document, "\"states\""));
	load(&b, &cp);
	assert_int_equal(cp.phase, CHECKPOINT_LIVE);
	assert_int_equal(cp.confirmed_lsn, 5);
	checkpoint_release(&cp);
	end_both(&b);
}

static void test_save_when_the_answer_was_lost_then_a_later_save_of_the_same_is_no_conflict(void **state)
{
	struct checkpoint cp;
	struct both b;
	int64_t seq_no, saved_us;

	UNUSED(state);
	begin_both(&b);
	b.store.in_redis = false;
	save_phase(&b, CHECKPOINT_LIVE, 5);
	load(&b, &cp);
	seq_no = cp.seq_no;
	cp.confirmed_lsn = 6;
	save(&b, &cp);
	saved_us = cp.saved_us;
	assert_true(saved_us > 1);
	cp.saved_us = 1;
	cp.seq_no = seq_no; /* as if there had been no answer */
	save(&b, &cp);
	assert_int_not_equal(cp.saved_us, 1);
	assert_int_equal(cp.seq_no, seq_no + 1);
	checkpoint_release(&cp);
	load(&b, &cp);
	assert_int_equal(cp.saved_us, saved_us);
	checkpoint_release(&cp);
	end_both(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_save_when_in_redis_then_the_index_has_only_a_stamp),
		cmocka_unit_test(test_load_when_redis_lost_or_damaged_it_then_lost),
		cmocka_unit_test(test_load_when_redis_has_an_older_state_then_lost_and_an_older_progress_then_not),
		cmocka_unit_test(test_load_when_redis_lags_behind_in_all_progress_then_it_is_used),
		cmocka_unit_test(test_save_when_another_process_saved_then_conflict_and_redis_keeps_its_value),
		cmocka_unit_test(test_load_when_no_redis_is_known_then_says_what_to_set),
		cmocka_unit_test(test_save_when_moved_to_the_index_then_the_checkpoint_itself_is_there),
		cmocka_unit_test(test_save_when_the_answer_was_lost_then_a_later_save_of_the_same_is_no_conflict),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
