/* What the tests of this package share: a fake Postgres that records statements, a fake search engine that keeps bulk
 * bodies, and a handmade model with one plan: documents of "books" with one text key. */
#ifndef PGSYNC_APPLY_SERVERS_TEST_H
#define PGSYNC_APPLY_SERVERS_TEST_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "apply/build.h"
#include "apply/resolve.h"
#include "fakes/engine.h"
#include "fakes/gate.h"
#include "fakes/postgres.h"
#include "http/http.h"
#include "json/json.h"

enum { SERVERS_BYTES = 16 * 1024 * 1024, VERSION = 0x500 };

struct servers {
	struct fake_postgres *postgres;
	struct pg *pg;
	struct fake_engine engine;
	struct http_target *target;
	struct search *search;
	struct sink sink;
	struct report report;
	struct dead_letters dead;
	struct bulk *bulk;
	struct snapshot snapshot; /* as if it was open */
	struct err err;
	/* Under the lock of postgres. */
	struct strbuf statements;
	void (*answer)(struct servers *s, const struct fake_query *q, struct fake_result *r);
	unsigned fetches;
	bool fails; /* every query with parameters */
	/* Under the engine's lock. */
	struct strbuf bodies;
	struct fake_gate bulks; /* before requests are answered */
	/* The model. */
	struct schema_document document;
	struct document_plan plan;
	struct document_plan *plans[1];
	char *concrete[1];
	struct model model;
	char begin[8];
	/* A page. */
	struct keyset keys;
	const struct key *list[8];
};

static inline void servers_on_sql(void *user, const struct fake_query *q, struct fake_result *r)
{
	struct servers *s = user;

	strbuf_addf(&s->statements, "%s%s%s%s", s->statements.len ? "; " : "", q->sql, q->n_params ? " " : "",
		    q->n_params ? q->params[0] : "");
	if (s->answer)
		s->answer(s, q, r);
}

/* Rows of books: 1 and 2; "bad" makes the query fail. */
static inline void servers_answer_books(struct servers *s, const struct fake_query *q, struct fake_result *r)
{
	UNUSED(s);
	if (!q->n_params || strstr(q->sql, "documents") == NULL)
		return;
	for (int i = 1; i <= 2; i++) {
		_cleanup_free_ char *id = xasprintf("%d", i);
		_cleanup_free_ char *quoted = xasprintf("\"%d\"", i);

		if (strstr(q->params[0], quoted))
			FAKE_ROW(r, id, "{\"title\":\"t\"}");
	}
	if (strstr(q->params[0], "bad"))
		fake_result_fail(r, "22012", "division by zero");
}

/* Every action succeeds. */
static inline int servers_on_http(struct fake_engine *engine, const char *head, const char *body, struct strbuf *answer)
{
	struct servers *s = engine->user;
	const char *at = body, *separator = "";

	UNUSED(head);
	fake_gate_pass(&s->bulks);
	strbuf_adds(&s->bodies, body);
	strbuf_adds(answer, "{\"took\":1,\"errors\":false,\"items\":[");
	for (; *at; at = strchr(at, '\n') + 1) {
		bool is_delete = !strncmp(at, "{\"delete\":{", 11);

		if (!is_delete && strncmp(at, "{\"index\":{", 10) != 0)
			continue;
		strbuf_addf(answer, "%s{\"%s\":{\"result\":\"%s\",\"status\":200}}", separator,
			    is_delete ? "delete" : "index", is_delete ? "deleted" : "updated");
		separator = ",";
	}
	strbuf_adds(answer, "]}");
	return 200;
}

#define SERVERS_OK(s, call)                                      \
	do {                                                     \
		if ((call) < 0)                                  \
			fail_msg("%s: %s", #call, (s)->err.msg); \
	} while (0)

static inline void servers_connect(struct servers *s)
{
	const struct pg_params params = {.host = "127.0.0.1",
					 .port = fake_postgres_port(s->postgres),
					 .database = "db",
					 .user = "u",
					 .application_name = "test",
					 .cancel_fd = -1};
	const char *url = s->engine.url;

	SERVERS_OK(s, pg_connect(&params, false, &s->pg, &s->err));
	SERVERS_OK(s, http_target_new(&(struct http_target_options){.urls = &url, .n_urls = 1}, &s->target, &s->err));
	SERVERS_OK(s, search_new(s->target, NULL, NULL, &s->sink.search, &s->err));
	SERVERS_OK(s, search_new(s->target, NULL, NULL, &s->search, &s->err));
}

static inline void servers_begin(struct servers *s)
{
	*s = (struct servers){
		.begin = "BEGIN",
		.sink = {.owner = "shop/books", .token = "1", .bulk_max_bytes = 65536, .bulk_concurrency = 1}};
	strbuf_init(&s->statements, SERVERS_BYTES);
	strbuf_init(&s->bodies, SERVERS_BYTES);
	s->postgres = fake_postgres_start(servers_on_sql, s);
	fake_engine_start(&s->engine, servers_on_http, s);
	fake_gate_init(&s->bulks, &s->engine.lock);
	servers_connect(s);
	strbuf_reset(&s->statements);
	report_init(&s->report);
	dead_letters_init(&s->dead, &s->sink, &s->report);
	s->bulk = dead_letters_writer(&s->dead, s->search);
	s->document.index = xstrdup("books");
	s->plan = (struct document_plan){.document = &s->document, .n_keys = 1};
	s->plan.sql.by_key = xstrdup("SELECT documents");
	s->plan.sql.apart_by_key = xstrdup("SELECT documents apart");
	s->plan.sql.all_keys = xstrdup("SELECT keys");
	s->plans[0] = &s->plan;
	s->concrete[0] = xstrdup("books-g1");
	s->model = (struct model){.plans = s->plans, .n_plans = 1, .concrete = s->concrete, .snapshot_sql = s->begin};
	s->snapshot = (struct snapshot){
		.pg = s->pg, .model = &s->model, .report = &s->report, .bulk = s->bulk, .n = 1, .open = true};
	keyset_init(&s->keys, SERVERS_BYTES);
}

static inline void servers_end(struct servers *s)
{
	bulk_free(s->bulk);
	dead_letters_release(&s->dead);
	report_release(&s->report);
	search_free(s->search);
	search_free(s->sink.search);
	http_target_free(s->target);
	pg_close(s->pg);
	fake_postgres_stop(s->postgres);
	fake_engine_stop(&s->engine);
	fake_gate_release(&s->bulks);
	strbuf_release(&s->statements);
	strbuf_release(&s->bodies);
	keyset_release(&s->keys);
	free(s->document.index);
	free(s->plan.sql.by_key);
	free(s->plan.sql.apart_by_key);
	free(s->plan.sql.all_keys);
	free(s->concrete[0]);
}

static inline void servers_expect_statements(struct servers *s, const char *expected)
{
	_cleanup_free_ char *found = NULL;

	(void)pthread_mutex_lock(fake_postgres_lock(s->postgres));
	found = xstrdup(s->statements.len ? s->statements.data : "");
	(void)pthread_mutex_unlock(fake_postgres_lock(s->postgres));
	assert_string_equal(found, expected);
}

/* Compares what was sent with whole lines. */
static inline void servers_expect_bodies(struct servers *s, const char *expected)
{
	_cleanup_free_ char *found = NULL;

	SERVERS_OK(s, bulk_flush(s->bulk, &s->err));
	(void)pthread_mutex_lock(&s->engine.lock);
	found = xstrdup(s->bodies.len ? s->bodies.data : "");
	(void)pthread_mutex_unlock(&s->engine.lock);
	assert_string_equal(found, expected);
}

/* A page of keys of target 0, each with one value, and with `routing` as a second one unless that is NULL. */
static inline struct page servers_page(struct servers *s, const char *const *values, size_t n, const char *routing)
{
	_cleanup_(strbuf_release) struct strbuf key;

	strbuf_init(&key, SERVERS_BYTES);
	for (size_t i = 0; i < n; i++) {
		strbuf_reset(&key);
		key_encode_value(&key, values[i], strlen(values[i]));
		if (routing)
			key_encode_value(&key, routing, strlen(routing));
		assert_true(keyset_add(&s->keys, 0, key.data, key.len, 0));
	}
	for (size_t i = 0; i < n; i++)
		s->list[i] = &s->keys.keys[i];
	return (struct page){.set = &s->keys, .keys = s->list, .n = n};
}

#define PAGE(s, ...)                                          \
	servers_page((s), (const char *const[]){__VA_ARGS__}, \
		     sizeof((const char *const[]){__VA_ARGS__}) / sizeof(char *), NULL)

#endif
