/* Servers that remember what was done to them, for the tests of recovery, preflight, plan and cleanup: each start finds
 * what earlier starts left. Every change is noted in a journal, in order. */
#ifndef PGSYNC_SYNC_STORE_TEST_H
#define PGSYNC_SYNC_STORE_TEST_H

#include "sync/recover_int.h"
#include "sync/world_test.h"

enum { STORE_INDICES = 8, SLOT_LSN = 0x1000, OTHER_PID = 77 };

struct store_index {
	char name[128];
	char *meta;      /* `_meta`, as JSON */
	char write[160]; /* the alias that it is written under, or "" */
};

struct store {
	struct world w; /* the first member */
	/* Under the lock of postgres. */
	bool has_slot, slot_is_lost, slot_is_physical;
	const char *acknowledged; /* the slot's position */
	int slot_pid;             /* of the walsender that streams from it; 0: none */
	bool has_publication, is_member, raises_wal_level;
	const char *comment; /* on the publication */
	unsigned publication_oid, publication_version;
	const char *wal_level, *may_replicate, *replica_identity, *can_select;
	const char *sql_fails; /* statements that contain this */
	/* Under the lock of engine. */
	char *checkpoint; /* JSON, or NULL */
	int64_t saves;
	struct store_index indices[STORE_INDICES];
	size_t n_indices;
	char alias[128];         /* what the alias "books" points to, or "" */
	const char *http_denies; /* requests that contain this, */
	int denial;              /* with this status */
	bool has_pipeline;
	/* Under its own lock. */
	pthread_mutex_t journal_lock;
	struct strbuf journal;
	/* Set by the caller. */
	char events[1024];
};

static inline struct store *store_of(struct world *w)
{
	return (struct store *)w;
}

static inline void PRINTF_LIKE(2, 3) store_note(struct store *s, const char *fmt, ...)
{
	_cleanup_free_ char *text = NULL;
	va_list ap;

	va_start(ap, fmt);
	text = xvasprintf(fmt, ap);
	va_end(ap);
	(void)pthread_mutex_lock(&s->journal_lock);
	strbuf_addf(&s->journal, "%s%s", s->journal.len ? "; " : "", text);
	(void)pthread_mutex_unlock(&s->journal_lock);
}

/* Compares with the changes since the last call. */
static inline void store_expect_changes(struct store *s, const char *expected)
{
	_cleanup_free_ char *found = NULL;

	(void)pthread_mutex_lock(&s->journal_lock);
	found = xstrdup(s->journal.len ? s->journal.data : "");
	strbuf_reset(&s->journal);
	(void)pthread_mutex_unlock(&s->journal_lock);
	assert_string_equal(found, expected);
}

/* --- Postgres --- */

static inline bool store_answer_slot(struct store *s, const char *sql, struct fake_result *r)
{
	_cleanup_free_ char *pid = s->slot_pid ? xasprintf("%d", s->slot_pid) : NULL;

	if (has(sql, "LEFT JOIN pg_replication_slots")) {
		if (s->has_slot)
			FAKE_ROW(r, s->w.flush_lsn, "t", pid ? "t" : "f", pid, s->slot_is_physical ? "f" : "t",
				 s->slot_is_lost ? "lost" : "reserved", s->acknowledged, "0/1000", "4096", NULL, NULL);
		else
			FAKE_ROW(r, s->w.flush_lsn, "f", NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL);
	} else if (has(sql, "pg_terminate_backend")) {
		if (pid)
			store_note(s, "end walsender %s", pid);
		if (s->has_slot)
			FAKE_ROW(r, pid, pid ? "t" : NULL);
		s->slot_pid = 0;
	} else if (has(sql, "SELECT pg_drop_replication_slot($1)")) {
		store_note(s, "drop slot");
		s->has_slot = s->slot_is_lost = false;
	} else if (has(sql, "CREATE_REPLICATION_SLOT")) {
		store_note(s, "create slot");
		s->has_slot = true;
	} else if (has(sql, "FROM pg_stat_replication WHERE pid")) {
		FAKE_ROW(r, "another consumer");
	} else {
		return false;
	}
	return true;
}

static inline bool store_answer_publication(struct store *s, const char *sql, struct fake_result *r)
{
	if (has(sql, "obj_description(oid, 'pg_publication')")) {
		if (s->has_publication)
			FAKE_ROW(r, s->comment);
	} else if (has(sql, "FROM pg_publication WHERE pubname = $1")) {
		if (s->has_publication)
			FAKE_ROW(r, "f", "t");
	} else if (has(sql, "pg_publication_namespace")) {
		FAKE_ROW(r, "f");
	} else if (has(sql, "r.prrelid, n.nspname")) {
		if (s->is_member)
			FAKE_ROW(r, "16384", "public", "books", "t", "");
	} else if (has(sql, "FROM pg_publication p WHERE p.pubname = $1")) {
		_cleanup_free_ char *fingerprint = xasprintf("%u:%u", s->publication_oid, s->publication_version);

		if (s->has_publication)
			FAKE_ROW(r, fingerprint);
	} else if (has(sql, "r.prrelid = ANY ($2::oid[])")) {
		if (s->is_member)
			FAKE_ROW(r, "16384");
	} else if (has(sql, "CREATE PUBLICATION")) {
		store_note(s, "create publication");
		s->has_publication = true;
		s->comment = has(sql, "; COMMENT ON PUBLICATION") && has(sql, "IS 'pgsync: shop/books'")
				     ? "pgsync: shop/books"
				     : NULL;
		s->publication_oid++;
	} else if (has(sql, "COMMENT ON PUBLICATION")) {
		store_note(s, "mark publication");
		s->comment = "pgsync: shop/books";
	} else if (has(sql, "ALTER PUBLICATION")) {
		store_note(s, "alter publication");
		s->is_member = true;
		s->publication_version++;
	} else if (has(sql, "DROP PUBLICATION")) {
		store_note(s, "drop publication");
		s->has_publication = s->is_member = false;
	} else {
		return false;
	}
	return true;
}

static inline bool store_answer_server(struct store *s, const char *sql, struct fake_result *r)
{
	if (has(sql, "FROM pg_roles r WHERE r.rolname = current_user"))
		FAKE_ROW(r, s->wal_level, "u", "5", "5", s->has_slot ? "t" : "f", s->has_publication ? "t" : "f",
			 s->may_replicate, "t", "t", "f", "UTF8", s->raises_wal_level ? "t" : "f");
	else if (has(sql, "pg_snapshot_xip"))
		FAKE_ROW(r, "{}");
	else if (has(sql, "unnest($1::xid8[])"))
		FAKE_ROW(r, "0", "");
	else if (has(sql, "SELECT pg_current_wal_flush_lsn()") || has(sql, "SELECT pg_current_wal_insert_lsn()"))
		FAKE_ROW(r, s->w.flush_lsn);
	else if (has(sql, "SELECT pg_last_wal_replay_lsn()"))
		FAKE_ROW(r, s->w.replayed);
	else if (has(sql, "pg_postmaster_start_time"))
		FAKE_ROW(r, "2026-01-01");
	else if (has(sql, "EXPLAIN"))
		FAKE_ROW(r, has(sql, "EXECUTE") ? "Index Scan using books_pkey" : "Tid Range Scan on books");
	else
		return false;
	return true;
}

static inline void store_answer_sql(struct world *w, const struct fake_query *q, struct fake_result *r)
{
	struct store *s = store_of(w);
	const char *alter = strstr(q->sql, "ALTER TABLE");

	if (s->sql_fails && has(q->sql, s->sql_fails)) {
		fake_result_fail(r, "42501", "permission denied");
		return;
	}
	if (store_answer_slot(s, q->sql, r) || store_answer_publication(s, q->sql, r) ||
	    store_answer_server(s, q->sql, r))
		return;
	if (has(q->sql, "AS want(schema, name, position)"))
		FAKE_ROW(r, "16384", "public", "books", "r", "p", s->replica_identity, NULL, "f", "t", s->can_select,
			 "10", w->filenode, NULL, "f", w->filenode);
	else if (alter)
		store_note(s, "%.*s", (int)strcspn(alter, ";"), alter);
	else
		answer_catalog(w, q->sql, r);
}

/* --- the search engine --- */

static inline struct store_index *store_find(struct store *s, const char *name)
{
	for (size_t i = 0; i < s->n_indices; i++)
		if (!strcmp(s->indices[i].name, name))
			return &s->indices[i];
	return NULL;
}

static inline void store_remove(struct store *s, const char *name)
{
	struct store_index *index = store_find(s, name);

	if (!strcmp(s->alias, name))
		s->alias[0] = '\0';
	free(index->meta);
	*index = s->indices[--s->n_indices];
}

static inline void store_add(struct store *s, const char *name, const char *meta)
{
	struct store_index *index = &s->indices[s->n_indices++];

	(void)snprintf(index->name, sizeof(index->name), "%s", name);
	index->meta = xstrdup(meta);
}

static inline int store_missing(struct strbuf *answer)
{
	strbuf_adds(answer, "{\"error\":{\"type\":\"index_not_found_exception\",\"reason\":\"no such index\"},"
			    "\"status\":404}");
	return 404;
}

/* A part of a body, as JSON; caller frees. */
static inline char *store_part(const char *body, const char *path)
{
	_cleanup_json_ json_t *root = json_loads(body, 0, NULL);

	return json_dumps(jsonx_get(root, path), JSON_COMPACT | JSON_ENCODE_ANY);
}

static inline int store_answer_checkpoint(struct store *s, const char *method, const char *body, struct strbuf *answer)
{
	if (!strcmp(method, "PUT")) {
		free(s->checkpoint);
		s->checkpoint = xstrdup(body);
		s->saves++;
		store_note(s, "save");
	} else if (!strcmp(method, "DELETE")) {
		free(s->checkpoint);
		s->checkpoint = NULL;
		store_note(s, "delete checkpoint");
	}
	if (!strcmp(method, "GET") && !s->checkpoint) {
		strbuf_adds(answer, "{\"found\":false}");
		return 404;
	}
	strbuf_addf(answer,
		    "{\"found\":true,\"result\":\"updated\",\"_seq_no\":%lld,\"_primary_term\":1,\"_source\":%s}",
		    (long long)s->saves, s->checkpoint ? s->checkpoint : "{}");
	return 200;
}

/* There are none. */
static inline int store_answer_requests(struct store *s, const char *method, struct strbuf *answer)
{
	if (!strcmp(method, "DELETE"))
		store_note(s, "delete requests");
	strbuf_adds(answer, "{\"found\":false}");
	return 404;
}

/* What the index `name` itself is asked. */
static inline int store_answer_index(struct store *s, const char *method, const char *name, const char *body,
				     struct strbuf *answer)
{
	struct store_index *index = store_find(s, name);

	if (!strcmp(method, "PUT")) {
		_cleanup_free_ char *meta = store_part(body, "mappings._meta");

		if (index) {
			strbuf_adds(answer, "{\"error\":{\"type\":\"resource_already_exists_exception\",\"reason\":"
					    "\"exists\"},\"status\":400}");
			return 400;
		}
		store_add(s, name, meta);
		store_note(s, "create %s", name);
	} else if (!index) {
		return store_missing(answer);
	} else if (!strcmp(method, "DELETE")) {
		store_remove(s, name);
		store_note(s, "delete %s", name);
	}
	strbuf_adds(answer, strcmp(method, "GET") ? FAKE_CONFIRMED : "{}");
	return 200;
}

static inline int store_answer_mapping(struct store *s, const char *method, const char *name, const char *body,
				       struct strbuf *answer)
{
	struct store_index *index = store_find(s, name);

	if (!index)
		return store_missing(answer);
	if (!strcmp(method, "PUT")) {
		free(index->meta);
		index->meta = store_part(body, "_meta");
		store_note(s, "mark %s %s", name, index->meta);
		strbuf_adds(answer, FAKE_CONFIRMED);
		return 200;
	}
	strbuf_addf(answer, "{\"%s\":{\"mappings\":{\"_meta\":%s}}}", name, index->meta);
	return 200;
}

static inline int store_answer_alias(struct store *s, const char *name, struct strbuf *answer)
{
	const struct store_index *index = store_find(s, name);

	if (index && index->write[0])
		strbuf_addf(answer, "{\"%s\":{\"aliases\":{\"%s\":{}}}}", name, index->write);
	else if (index)
		strbuf_addf(answer, "{\"%s\":{\"aliases\":{}}}", name);
	else if (!s->alias[0])
		return store_missing(answer);
	else
		strbuf_addf(answer, "{\"%s\":{}}", s->alias);
	return 200;
}

/* Every start takes one, so they are not in the journal. True: the action is about one. */
static inline bool store_change_write_alias(struct store *s, const json_t *action)
{
	bool removes = json_object_get(action, "remove") != NULL;
	const json_t *body = json_object_get(action, removes ? "remove" : "add");
	struct store_index *index = store_find(s, jsonx_string(body, "index", ""));
	const char *alias = jsonx_string(body, "alias", "");

	if (!index || !has(alias, "-W"))
		return false;
	if (removes)
		assert_string_equal(index->write, alias);
	(void)snprintf(index->write, sizeof(index->write), "%s", removes ? "" : alias);
	return true;
}

static inline int store_move_alias(struct store *s, const char *body, struct strbuf *answer)
{
	_cleanup_json_ json_t *root = json_loads(body, 0, NULL);
	json_t *action, *actions = json_object_get(root, "actions");
	const char *to = NULL;
	size_t i;

	json_array_foreach (actions, i, action)
		if (!store_change_write_alias(s, action))
			to = jsonx_string(action, "add.index", to);
	if (to) {
		(void)snprintf(s->alias, sizeof(s->alias), "%s", to);
		store_note(s, "move alias to %s", s->alias);
	}
	strbuf_adds(answer, FAKE_CONFIRMED);
	return 200;
}

static inline int store_list(struct store *s, struct strbuf *answer)
{
	strbuf_adds(answer, "{");
	for (size_t i = 0; i < s->n_indices; i++)
		strbuf_addf(answer, "%s\"%s\":{}", i ? "," : "", s->indices[i].name);
	strbuf_adds(answer, "}");
	return 200;
}

static inline int store_answer_http(struct world *w, const char *head, const char *body, struct strbuf *answer)
{
	struct store *s = store_of(w);
	char method[8], path[256], name[128];
	const char *rest;

	if (s->http_denies && has(head, s->http_denies)) {
		strbuf_adds(answer, "{\"error\":{\"type\":\"security_exception\",\"reason\":\"no permissions\"},"
				    "\"status\":403}");
		return s->denial;
	}
	(void)snprintf(method, sizeof(method), "%.*s", (int)strcspn(head, " "), head);
	rest = head + strlen(method) + 1;
	(void)snprintf(path, sizeof(path), "%.*s", (int)strcspn(rest, " "), rest);
	if (!strcmp(path, "/")) {
		strbuf_adds(answer, "{\"version\":{\"number\":\"2.19.0\",\"distribution\":\"opensearch\"}}");
		return 200;
	}
	if (!strcmp(path, "/_aliases"))
		return store_move_alias(s, body, answer);
	if (has(path, "/_ingest/pipeline/")) {
		strbuf_adds(answer, "{}");
		return s->has_pipeline ? 200 : 404;
	}
	if (has(path, "/pgsync-checkpoints/_doc/"))
		return has(path, "dead-letters") ? store_answer_requests(s, method, answer)
						 : store_answer_checkpoint(s, method, body, answer);
	if (has(path, "/_settings/index.uuid"))
		return store_list(s, answer);
	(void)snprintf(name, sizeof(name), "%.*s", (int)strcspn(path + 1, "/?"), path + 1);
	rest = path + 1 + strlen(name);
	if (!*rest && strcmp(name, "pgsync-checkpoints") != 0)
		return store_answer_index(s, method, name, body, answer);
	if (has(rest, "/_mapping"))
		return store_answer_mapping(s, method, name, body, answer);
	if (has(rest, "/_alias"))
		return store_answer_alias(s, name, answer);
	if (has(rest, "/_stats/docs") && s->w.history) {
		strbuf_addf(answer,
			    "{\"indices\":{\"%s\":{\"shards\":{\"0\":[{\"routing\":{\"primary\":true},"
			    "\"commit\":{\"user_data\":{\"history_uuid\":\"%s\"}}}]}}}}",
			    name, s->w.history);
		return 200;
	}
	if (has(rest, "/_count") && !store_find(s, name))
		return store_missing(answer);
	strbuf_adds(answer, has(rest, "/_count")         ? "{\"count\":0}"
			    : has(path, "/_cat/")        ? "[]"
			    : strcmp(method, "GET") != 0 ? FAKE_CONFIRMED
							 : "{}");
	return 200;
}

/* --- a start --- */

static inline void store_event(void *user, bool warning, enum reason reason, const char *action, const char *note)
{
	struct store *s = user;
	size_t len = strlen(s->events);

	UNUSED(action);
	(void)snprintf(s->events + len, sizeof(s->events) - len, "%s%s: %s\n", warning ? "warning " : "",
		       reason_name(reason), note);
}

static inline void store_begin(struct store *s)
{
	*s = (struct store){0};
	(void)pthread_mutex_init(&s->journal_lock, NULL);
	strbuf_init(&s->journal, LOG_BYTES);
	world_begin(&s->w);
	s->denial = 403;
	s->acknowledged = "0/1000";
	s->wal_level = "logical";
	s->may_replicate = s->can_select = "t";
	s->replica_identity = "d";
	s->publication_oid = s->publication_version = 1;
	s->w.options.event = store_event;
	s->w.options.user = s;
	(void)pthread_mutex_lock(fake_postgres_lock(s->w.postgres));
	s->w.on_sql = store_answer_sql;
	(void)pthread_mutex_unlock(fake_postgres_lock(s->w.postgres));
	(void)pthread_mutex_lock(&s->w.engine.lock);
	s->w.on_http = store_answer_http;
	(void)pthread_mutex_unlock(&s->w.engine.lock);
}

static inline void store_end(struct store *s)
{
	world_end(&s->w);
	for (size_t i = 0; i < s->n_indices; i++)
		free(s->indices[i].meta);
	free(s->checkpoint);
	strbuf_release(&s->journal);
	(void)pthread_mutex_destroy(&s->journal_lock);
}

/* Ends the attempt, and begins the next one of the same run: not connected yet. */
static inline void store_next_attempt(struct store *s)
{
	attempt_end(&s->w.at);
	s->events[0] = '\0';
	OK(&s->w, attempt_begin(&s->w.at, &s->w.run, &s->w.past, &s->w.err));
}

/* The next attempt has another document in its spec. */
static inline void store_use_document(struct store *s, const char *document)
{
	struct world *w = &s->w;

	attempt_end(&w->at);
	spec_free(w->spec);
	w->options.spec = w->run.spec = w->spec = make_spec(w, document);
}

/* From the next attempt on, nothing listens where the search engine should be. */
static inline void store_move_sink(struct store *s)
{
	char **url = &s->w.spec->sink.urls.items[0];

	free(*url);
	*url = xstrdup("http://127.0.0.1:1");
}

/* The next attempt up to where its threads would start: preflight, which has to find nothing, and recovery. */
static inline int store_start(struct store *s)
{
	struct world *w = &s->w;
	_cleanup_(pg_closep) struct pg *replication = NULL;
	struct findings f;

	store_next_attempt(s);
	findings_init(&f);
	OK(w, preflight(&w->at, &f, &w->err));
	assert_false(findings_failed(&f));
	findings_release(&f);
	w->err = (struct err){0};
	return recover_run(&w->at, &replication, &w->err);
}

/* A first start, whose bootstrap is complete: "books-g1" is live. */
static inline void store_go_live(struct store *s)
{
	OK(&s->w, store_start(s));
	attempt_index(&s->w.at, 0)->complete = true;
	OK(&s->w, attempt_go_live(&s->w.at, &s->w.err));
	assert_string_equal(s->alias, "books-g1");
	(void)pthread_mutex_lock(&s->journal_lock);
	strbuf_reset(&s->journal);
	(void)pthread_mutex_unlock(&s->journal_lock);
}

/* The checkpoint's only index, as if a worker had saved it so. value: JSON. */
static inline void store_edit_index(struct store *s, const char *key, const char *value)
{
	_cleanup_json_ json_t *document = json_loads(s->checkpoint, 0, NULL);
	json_t *index = json_array_get(json_object_get(document, "indices"), 0);

	assert_int_equal(json_object_set_new(index, key, json_loads(value, JSON_DECODE_ANY, NULL)), 0);
	free(s->checkpoint);
	s->checkpoint = json_dumps(document, JSON_COMPACT);
}

/* As if an earlier version, which acknowledged positions before it saved them, had created the checkpoint. */
static inline void store_forget_confirmed_first(struct store *s)
{
	_cleanup_json_ json_t *document = json_loads(s->checkpoint, 0, NULL);

	assert_int_equal(json_object_del(document, "confirmedFirst"), 0);
	free(s->checkpoint);
	s->checkpoint = json_dumps(document, JSON_COMPACT);
}

/* As if an earlier version, which set no marks, had created the publication and the checkpoint. */
static inline void store_forget_mark(struct store *s)
{
	_cleanup_json_ json_t *document = json_loads(s->checkpoint, 0, NULL);

	(void)json_object_del(document, "publicationMarked");
	free(s->checkpoint);
	s->checkpoint = json_dumps(document, JSON_COMPACT);
	s->comment = NULL;
}

#endif
