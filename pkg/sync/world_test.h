/* What the tests of the running parts share: a fake Postgres with the table books (id, title), a fake search engine
 * with the index "books-g1", and an attempt that is connected to both. */
#ifndef PGSYNC_SYNC_WORLD_TEST_H
#define PGSYNC_SYNC_WORLD_TEST_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <poll.h>
#include <sys/eventfd.h>

#include <cmocka.h>

#include "apply/compile.h"
#include "base/clock.h"
#include "base/parse.h"
#include "fakes/engine.h"
#include "fakes/gate.h"
#include "fakes/postgres.h"
#include "sync/attempt_int.h"
#include "json/json.h"

enum {
	BOOKS = 16384, /* OID */
	ROWS = 64,
	LOG_BYTES = 64 * 1024 * 1024,
	FILLED = 0x1000, /* the version that the generation is filled with */
};

struct row {
	int id;
	uint64_t block;
	bool fails; /* the document cannot be built */
	int slow;   /* it takes this part of the time that a statement may take, in percent */
};

struct stored {
	int id;
	uint64_t version;
};

struct world {
	/* Under the lock of postgres. */
	struct fake_postgres *postgres;
	pthread_cond_t asked;       /* for each statement */
	struct fake_gate documents; /* before documents are read */
	struct row rows[ROWS];
	size_t n_rows;
	const char *invisible[4]; /* the next result of the visibility check: the first transaction that is not
				   * visible */
	const char *blocks;       /* the size of the table */
	const char *filenode, *filenode_later; /* as planned; as found while reading */
	const char *versions;                  /* of the catalog's rows */
	const char *altered;                   /* the transaction that last changed the column */
	const char *publication;               /* its fingerprint */
	const char *flush_lsn;
	const char *replayed; /* by a standby */
	bool refuses_documents, refuses_stream, never_visible;
	bool fails_always;        /* no range can be read, whatever its rows */
	const char *held_from;    /* only ranges that begin there wait for the gate; NULL: everything does */
	struct strbuf statements; /* "application: SQL $1 $2\n" */
	/* Under the lock of engine. */
	struct fake_engine engine;
	pthread_cond_t requested;
	struct fake_gate bulks, questions; /* before bulk requests are answered, and before all others */
	struct stored stored[ROWS];
	size_t n_stored;
	unsigned n_deletes, n_dead_letters;
	int rejected; /* the document that the engine refuses; 0: none */
	int dropped;  /* the document that a pipeline drops; 0: none */
	bool index_gone, alias_moved;
	bool checkpoint_conflict; /* another worker saved the checkpoint */
	bool unavailable;         /* every request except bulk is refused */
	const char *history;      /* of the index's only shard; NULL: it has not started */
	int64_t seq_no;
	char bulk_path[256];    /* of the last bulk request */
	struct strbuf requests; /* "METHOD path body\n" of all but bulk requests */
	/* For a test that keeps its own state of the servers (store_test.h): these answer instead. Called under the
	 * locks. */
	void (*on_sql)(struct world *w, const struct fake_query *q, struct fake_result *r);
	int (*on_http)(struct world *w, const char *head, const char *body, struct strbuf *answer);
	/* The worker's. */
	struct spec *spec;
	struct sync_options options;
	struct run run;
	struct carryover past;
	struct attempt at;
	struct err err;
};

/* --- Postgres --- */

static inline bool has(const char *text, const char *part)
{
	return strstr(text, part) != NULL;
}

static inline void answer_catalog(const struct world *w, const char *sql, struct fake_result *r)
{
	if (has(sql, "AS want(schema, name, position)"))
		FAKE_ROW(r, "16384", "public", "books", "r", "p", "d", NULL, "f", "t", "t", "10", "100", NULL, "f",
			 "100");
	if (has(sql, "format_type(col.atttypid")) {
		FAKE_ROW(r, "16384", "id", "1", "23", "-1", "integer", "int4", "N", "t", "f", NULL, "1", "f", NULL);
		FAKE_ROW(r, "16384", "title", "2", "25", "-1", "text", "text", "S", "f", "f", NULL, w->altered, "f",
			 NULL);
	}
	if (has(sql, "SELECT x.indrelid, c.relname"))
		FAKE_ROW(r, "16384", "books_pkey", "t", "t", "t", "f", "f", "t", "0");
}

static inline void add_document(struct fake_result *r, const struct row *row)
{
	_cleanup_free_ char *id = xasprintf("%d", row->id);
	_cleanup_free_ char *document = xasprintf("{\"id\":%d,\"title\":\"t\"}", row->id);

	FAKE_ROW(r, id, document);
}

/* keys: an array literal. */
static inline void answer_by_key(struct world *w, const char *keys, struct fake_result *r)
{
	for (size_t i = 0; i < w->n_rows; i++) {
		_cleanup_free_ char *quoted = xasprintf("\"%d\"", w->rows[i].id);

		if (!has(keys, quoted))
			continue;
		if (w->rows[i].fails) {
			fake_result_fail(r, "22012", "division by zero");
			return;
		}
		add_document(r, &w->rows[i]);
	}
	if (w->refuses_documents)
		fake_result_fail(r, "42501", "permission denied");
}

/* Each row is the first item of its block. */
static inline bool is_between(const struct row *row, const struct fake_query *q)
{
	unsigned long long from, to;
	unsigned from_item, to_item;
	struct {
		const char *text;
		unsigned long long *block;
		unsigned *item;
	} const tids[] = {{q->params[0], &from, &from_item}, {q->params[1], &to, &to_item}};

	for (size_t i = 0; i < 2; i++) {
		char *end;

		*tids[i].block = strtoull(tids[i].text + 1, &end, 10);
		*tids[i].item = (unsigned)strtoul(end + 1, NULL, 10);
	}
	return (row->block > from || (row->block == from && from_item <= 1)) &&
	       (row->block < to || (row->block == to && to_item > 1));
}

static inline void answer_by_range(struct world *w, const struct fake_query *q, bool keys_only, struct fake_result *r)
{
	int slow = 0;

	if (w->fails_always) {
		fake_result_fail(r, "22012", "division by zero");
		return;
	}
	for (size_t i = 0; i < w->n_rows; i++) {
		_cleanup_free_ char *id = xasprintf("%d", w->rows[i].id);

		if (q->n_params && !is_between(&w->rows[i], q))
			continue;
		slow += w->rows[i].slow;
		if (slow > 100 && !keys_only) {
			fake_result_fail(r, "57014", "canceling statement due to statement timeout");
			return;
		}
		if (keys_only) {
			FAKE_ROW(r, id);
		} else if (w->rows[i].fails) {
			fake_result_fail(r, "22012", "division by zero");
			return;
		} else {
			add_document(r, &w->rows[i]);
		}
	}
}

static inline void answer_documents(struct world *w, const struct fake_query *q, struct fake_result *r)
{
	const struct document_plan *plan = w->at.model.n_plans ? w->at.model.plans[0] : NULL;
	_cleanup_free_ char *by_range = plan ? document_sql_by_range(plan, "public.books") : NULL;
	_cleanup_free_ char *keys_by_range = plan ? document_keys_by_range(plan, "public.books") : NULL;
	_cleanup_free_ char *apart = plan ? document_apart_by_range(plan, "public.books") : NULL;
	bool is_key = plan && (!strcmp(q->sql, plan->sql.by_key) || !strcmp(q->sql, plan->sql.apart_by_key));
	bool is_range = plan && (!strcmp(q->sql, by_range) || !strcmp(q->sql, apart));

	if ((is_key || is_range) && (!w->held_from || !strcmp(q->params[0], w->held_from)))
		fake_gate_pass(&w->documents);
	if (is_key)
		answer_by_key(w, q->params[0], r);
	else if (is_range)
		answer_by_range(w, q, false, r);
	else if (plan && !strcmp(q->sql, keys_by_range))
		answer_by_range(w, q, true, r);
}

static inline void answer_visible(struct world *w, struct fake_result *r)
{
	FAKE_ROW(r, w->never_visible ? "1" : w->invisible[0]);
	memmove(w->invisible, w->invisible + 1, sizeof(w->invisible) - sizeof(w->invisible[0]));
	w->invisible[ARRAY_SIZE(w->invisible) - 1] = NULL;
}

static inline void answer_sql(void *user, const struct fake_query *q, struct fake_result *r)
{
	struct world *w = user;

	strbuf_addf(&w->statements, "%s: %s %s %s\n", q->application, q->sql, q->params[0] ? q->params[0] : "",
		    q->n_params > 1 ? q->params[1] : "");
	(void)pthread_cond_broadcast(&w->asked);
	if (w->on_sql) {
		w->on_sql(w, q, r);
		return;
	}
	answer_catalog(w, q->sql, r);
	answer_documents(w, q, r);
	if (has(q->sql, "pg_visible_in_snapshot"))
		answer_visible(w, r);
	if (has(q->sql, "sum(hashtextextended(row, 0))"))
		FAKE_ROW(r, w->versions);
	if (has(q->sql, "SELECT pg_current_wal_flush_lsn()") || has(q->sql, "SELECT pg_current_wal_insert_lsn()"))
		FAKE_ROW(r, w->flush_lsn);
	if (has(q->sql, "SELECT pg_last_wal_replay_lsn()"))
		FAKE_ROW(r, w->replayed);
	if (has(q->sql, "pg_postmaster_start_time"))
		FAKE_ROW(r, "2026-01-01");
	if (has(q->sql, "c.oid, pg_relation_filenode(c.oid), quote_ident"))
		FAKE_ROW(r, "16384", w->filenode, "public.books", w->blocks, "10");
	if (has(q->sql, "SELECT pg_relation_filenode($1::oid)"))
		FAKE_ROW(r, w->filenode_later ? w->filenode_later : w->filenode);
	if (has(q->sql, "LEFT JOIN pg_replication_slots"))
		FAKE_ROW(r, w->flush_lsn, "t", "t", "77", "t", "reserved", "0/10", "0/10", "0", NULL, NULL);
	if (w->refuses_stream && has(q->sql, "START_REPLICATION"))
		fake_result_fail(r, "55006", "the slot is active");
	if (has(q->sql, "FROM pg_publication p WHERE p.pubname = $1"))
		FAKE_ROW(r, w->publication);
}

/* --- the search engine --- */

static inline void store(struct world *w, int id, uint64_t version, bool is_delete)
{
	size_t i = 0;

	if (is_delete)
		w->n_deletes++;
	while (i < w->n_stored && w->stored[i].id != id)
		i++;
	if (is_delete && i < w->n_stored)
		w->stored[i] = w->stored[--w->n_stored];
	if (is_delete || i == ROWS)
		return;
	w->stored[i] = (struct stored){.id = id, .version = version};
	w->n_stored += i == w->n_stored;
}

/* Answers an action line. */
static inline void answer_action(struct world *w, const char *line, bool is_dead, struct strbuf *answer)
{
	bool is_delete = !strncmp(line, "{\"delete\":{", 11);
	int id = (int)strtoul(strstr(line, "\"_id\":\"") + 7, NULL, 10);
	uint64_t version = strtoull(strstr(line, "\"version\":") + 10, NULL, 10);
	bool rejects = !is_dead && id == w->rejected;
	bool drops = !is_delete && id == w->dropped;

	if (is_dead)
		w->n_dead_letters += !is_delete;
	else if (!rejects && !drops)
		store(w, id, version, is_delete);
	if (rejects)
		strbuf_adds(answer, "{\"index\":{\"status\":400,\"error\":{\"type\":\"mapper_parsing_exception\","
				    "\"reason\":\"no\"}}}");
	else if (drops)
		strbuf_adds(answer, "{\"index\":{\"result\":\"noop\",\"status\":200}}");
	else
		strbuf_adds(answer, is_delete ? "{\"delete\":{\"result\":\"deleted\",\"status\":200}}"
					      : "{\"index\":{\"result\":\"updated\",\"status\":200}}");
}

/* Line by line: the sanitizer's string functions look at the whole of a string. */
static inline int answer_bulk(struct world *w, const char *head, const char *body, struct strbuf *answer)
{
	const char *end = body + strlen(body);
	bool any = false;

	strbuf_adds(answer, "{\"took\":1,\"items\":[");
	while (body < end) {
		const char *next = (const char *)memchr(body, '\n', (size_t)(end - body)) + 1;
		_cleanup_free_ char *line = xstrndup(body, (size_t)(next - body));

		body = next;
		if (strncmp(line, "{\"delete\":{", 11) != 0 && strncmp(line, "{\"index\":{", 10) != 0)
			continue;
		strbuf_adds(answer, any ? "," : "");
		answer_action(w, line, has(line, "dead-letters") || has(head, "dead-letters"), answer);
		any = true;
	}
	strbuf_addf(answer, "],\"errors\":%s}", has(answer->data, "\"error\":") ? "true" : "false");
	return 200;
}

static inline int answer_question(struct world *w, const char *head, struct strbuf *answer)
{
	if (has(head, "GET /books-dead-letters/_mapping")) {
		strbuf_adds(answer, "{\"error\":{\"type\":\"index_not_found_exception\"},\"status\":404}");
		return 404;
	}
	if (has(head, "/_mapping")) {
		strbuf_addf(answer, "{\"books-g1\":{\"mappings\":{\"_meta\":{\"pgsync\":{\"owner\":\"%s\"}}}}}",
			    w->index_gone ? "other/one" : "shop/books");
	} else if (has(head, "GET /books/_alias")) {
		strbuf_adds(answer, w->alias_moved ? "{\"books-g1\":{}}"
						   : "{\"error\":\"alias [books] missing\",\"status\":404}");
		return w->alias_moved ? 200 : 404;
	} else if (has(head, "POST /_aliases")) {
		w->alias_moved = true;
		strbuf_adds(answer, FAKE_CONFIRMED);
	} else if (has(head, "/_count")) {
		strbuf_addf(answer, "{\"count\":%zu}", has(head, "dead-letters") ? 0 : w->n_stored);
	} else if (has(head, "/_stats/docs") && w->history) {
		strbuf_addf(answer,
			    "{\"indices\":{\"books-g1\":{\"shards\":{\"0\":[{\"routing\":{\"primary\":true},"
			    "\"commit\":{\"user_data\":{\"history_uuid\":\"%s\"}}}]}}}}",
			    w->history);
	} else if (has(head, "/_cat/")) {
		strbuf_adds(answer, "[{\"health\":\"green\"}]");
	} else if (has(head, "PUT /pgsync-checkpoints/_doc") && w->checkpoint_conflict) {
		strbuf_adds(answer,
			    "{\"error\":{\"type\":\"version_conflict_engine_exception\",\"reason\":\"conflict\"},"
			    "\"status\":409}");
		return 409;
	} else if (has(head, "PUT /pgsync-checkpoints/_doc")) {
		strbuf_addf(answer, "{\"result\":\"updated\",\"_seq_no\":%lld,\"_primary_term\":1}",
			    (long long)++w->seq_no);
	} else {
		strbuf_adds(answer, strncmp(head, "GET ", 4) ? FAKE_CONFIRMED : "{}");
	}
	return 200;
}

static inline int answer_http(struct fake_engine *engine, const char *head, const char *body, struct strbuf *answer)
{
	struct world *w = engine->user;
	int status;

	if (has(head, "_bulk")) {
		(void)snprintf(w->bulk_path, sizeof(w->bulk_path), "%.*s", (int)strcspn(head, "?\r"), head);
		fake_gate_pass(&w->bulks);
		status = answer_bulk(w, head, body, answer);
	} else {
		fake_gate_pass(&w->questions);
		strbuf_addf(&w->requests, "%.*s %s\n", (int)strcspn(head, "\r"), head, body);
		if (w->on_http)
			status = w->on_http(w, head, body, answer);
		else
			status = w->unavailable ? 503 : answer_question(w, head, answer);
	}
	(void)pthread_cond_broadcast(&w->requested);
	return status;
}

/* --- the attempt --- */

static inline struct spec *make_spec(const struct world *w, const char *document)
{
	_cleanup_free_ char *text = xasprintf(
		"{\"metadata\": {\"name\": \"books\", \"namespace\": \"shop\"}, \"spec\": {\"source\": {\"host\": "
		"\"127.0.0.1\", \"port\": %d, \"database\": \"db\", \"user\": \"u\"}, \"sink\": {\"urls\": [\"%s\"]}, "
		"\"schema\": [%s]}}",
		fake_postgres_port(w->postgres), w->engine.url, document);
	_cleanup_json_ json_t *resource = NULL;
	struct findings f;
	struct spec *spec;
	struct err err;

	assert_int_equal(jsonx_parse(text, strlen(text), "spec", &resource, &err), 0);
	findings_init(&f);
	spec = spec_decode(resource, &f);
	assert_false(findings_failed(&f));
	findings_release(&f);
	return spec;
}

#define OK(w, call)                                              \
	do {                                                     \
		if ((call) < 0)                                  \
			fail_msg("%s: %s", #call, (w)->err.msg); \
	} while (0)

static inline void make_model(struct world *w)
{
	const struct compile_input documents = {.documents = w->spec->documents,
						.n = w->spec->n_documents,
						.format = &w->spec->document_format,
						.search_path = &w->spec->source.search_path};
	struct compilation c;
	struct findings f;

	findings_init(&f);
	OK(w, compile_documents(&documents, w->at.source.pg, &c, &f, &w->err));
	assert_false(findings_failed(&f));
	findings_release(&f);
	(void)pthread_mutex_lock(fake_postgres_lock(w->postgres));
	model_init_take(&w->at.model, &c);
	(void)pthread_mutex_unlock(fake_postgres_lock(w->postgres));
	compilation_release(&c);
	w->at.model.concrete[0] = xstrdup("books-g1");
	w->at.model.filled[0] = FILLED;
}

static inline void make_checkpoint(struct world *w)
{
	struct checkpoint_index *index = checkpoint_ensure(&w->at.cp, "books");

	w->at.cp.phase = CHECKPOINT_LIVE;
	w->at.cp.publication_fingerprint = xstrdup(w->publication);
	index->generation = 1;
	index->version = FILLED;
	index->complete = true;
}

static inline void world_begin(struct world *w)
{
	*w = (struct world){.blocks = "0",
			    .filenode = "100",
			    .altered = "1",
			    .versions = "1",
			    .publication = "1:1",
			    .flush_lsn = "0/2000"};
	strbuf_init(&w->statements, LOG_BYTES);
	strbuf_init(&w->requests, LOG_BYTES);
	(void)pthread_cond_init(&w->asked, NULL);
	(void)pthread_cond_init(&w->requested, NULL);
	w->postgres = fake_postgres_start(answer_sql, w);
	fake_engine_start(&w->engine, answer_http, w);
	fake_gate_init(&w->documents, fake_postgres_lock(w->postgres));
	fake_gate_init(&w->bulks, &w->engine.lock);
	fake_gate_init(&w->questions, &w->engine.lock);
	w->spec = make_spec(w, "{\"index\": \"books\", \"nodes\": {\"table\": \"books\"}}");
	w->options = (struct sync_options){.spec = w->spec, .stop_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)};
	OK(w, run_init(&w->run, &w->options, &w->err));
	OK(w, attempt_begin(&w->at, &w->run, &w->past, &w->err));
	OK(w, connector_source(&w->at.connector, CONNECTOR_SHORT, "control", &w->at.source, &w->err));
	OK(w, connector_sink(&w->at.connector, &w->at.sink, &w->err));
	make_model(w);
	make_checkpoint(w);
}

static inline void world_end(struct world *w)
{
	fake_gate_open(&w->documents);
	fake_gate_open(&w->bulks);
	fake_gate_open(&w->questions);
	/* Statements that are still under way look at the model. */
	(void)pthread_mutex_lock(fake_postgres_lock(w->postgres));
	attempt_end(&w->at);
	(void)pthread_mutex_unlock(fake_postgres_lock(w->postgres));
	fake_postgres_stop(w->postgres);
	fake_engine_stop(&w->engine);
	run_release(&w->run);
	close_fdp(&w->options.stop_fd);
	spec_free(w->spec);
	strbuf_release(&w->statements);
	strbuf_release(&w->requests);
	fake_gate_release(&w->documents);
	fake_gate_release(&w->bulks);
	fake_gate_release(&w->questions);
	(void)pthread_cond_destroy(&w->asked);
	(void)pthread_cond_destroy(&w->requested);
}

/* --- looking --- */

static inline unsigned count_parts(const char *text, const char *part)
{
	unsigned n = 0;

	for (; (text = strstr(text, part)); text++)
		n++;
	return n;
}

/* How many statements contain this, in their text or parameters. */
static inline unsigned world_asked(struct world *w, const char *part)
{
	unsigned n;

	(void)pthread_mutex_lock(fake_postgres_lock(w->postgres));
	n = w->statements.len ? count_parts(w->statements.data, part) : 0;
	(void)pthread_mutex_unlock(fake_postgres_lock(w->postgres));
	return n;
}

/* Waits until that many do. */
static inline void world_wait_asked(struct world *w, const char *part, unsigned n)
{
	pthread_mutex_t *lock = fake_postgres_lock(w->postgres);
	int64_t start_ms = clock_now_ms();
	bool came = true;

	(void)pthread_mutex_lock(lock);
	while (came && (!w->statements.len || count_parts(w->statements.data, part) < n))
		came = fake_wait(&w->asked, lock, start_ms);
	(void)pthread_mutex_unlock(lock);
	if (!came)
		fail_msg("fewer than %u statements hold \"%s\"", n, part);
}

/* The version of a document; 0: it is not in the index. */
static inline uint64_t world_version(struct world *w, int id)
{
	uint64_t version = 0;

	(void)pthread_mutex_lock(&w->engine.lock);
	for (size_t i = 0; i < w->n_stored; i++)
		if (w->stored[i].id == id)
			version = w->stored[i].version;
	(void)pthread_mutex_unlock(&w->engine.lock);
	return version;
}

static inline void world_wait_version(struct world *w, int id, uint64_t version)
{
	int64_t start_ms = clock_now_ms();

	while (world_version(w, id) < version && clock_now_ms() < start_ms + FAKE_PATIENCE_MS)
		(void)poll(NULL, 0, 5);
	assert_int_equal(world_version(w, id), version);
}

static inline unsigned world_deletes(struct world *w)
{
	unsigned n;

	(void)pthread_mutex_lock(&w->engine.lock);
	n = w->n_deletes;
	(void)pthread_mutex_unlock(&w->engine.lock);
	return n;
}

static inline size_t world_documents(struct world *w)
{
	size_t n;

	(void)pthread_mutex_lock(&w->engine.lock);
	n = w->n_stored;
	(void)pthread_mutex_unlock(&w->engine.lock);
	return n;
}

/* How many requests contain this, in their path or body. */
static inline unsigned world_requested(struct world *w, const char *part)
{
	unsigned n;

	(void)pthread_mutex_lock(&w->engine.lock);
	n = w->requests.len ? count_parts(w->requests.data, part) : 0;
	(void)pthread_mutex_unlock(&w->engine.lock);
	return n;
}

/* Waits until that many do. */
static inline void world_wait_requested(struct world *w, const char *part, unsigned n)
{
	int64_t start_ms = clock_now_ms();
	bool came = true;

	(void)pthread_mutex_lock(&w->engine.lock);
	while (came && (!w->requests.len || count_parts(w->requests.data, part) < n))
		came = fake_wait(&w->requested, &w->engine.lock, start_ms);
	(void)pthread_mutex_unlock(&w->engine.lock);
	if (!came)
		fail_msg("fewer than %u requests hold \"%s\"", n, part);
}

static inline void world_add_row(struct world *w, struct row row)
{
	(void)pthread_mutex_lock(fake_postgres_lock(w->postgres));
	w->rows[w->n_rows++] = row;
	(void)pthread_mutex_unlock(fake_postgres_lock(w->postgres));
}

/* Waits for an eventfd, and takes what is in it. */
static inline void wait_news(int fd)
{
	struct pollfd news = {.fd = fd, .events = POLLIN};
	uint64_t count;

	assert_int_equal(poll(&news, 1, FAKE_PATIENCE_MS), 1);
	assert_int_equal(read(fd, &count, sizeof(count)), sizeof(count));
}

/* --- the table's WAL --- */

static const struct fake_relation relation = {BOOKS, "public", "books", 'd', {{"id", 23, true}, {"title", 25, false}},
					      2};

static inline void send_insert(struct world *w, int id)
{
	_cleanup_free_ char *text = xasprintf("%d", id);

	assert_true(fake_wal_insert(w->postgres, BOOKS, (const char *const[]){text, "t"}, 2));
}

/* A transaction that inserts one row. It ends 0x10 after its commit record. */
static inline void send_transaction(struct world *w, int id, uint64_t commit_lsn)
{
	world_add_row(w, (struct row){.id = id});
	assert_true(fake_wal_begin(w->postgres, 700 + (uint32_t)id, commit_lsn));
	assert_true(fake_wal_relation(w->postgres, &relation));
	send_insert(w, id);
	assert_true(fake_wal_commit(w->postgres, commit_lsn, commit_lsn + 0x10));
}

#endif
