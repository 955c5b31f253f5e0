/* What the tests of the bulk writer share: a fake engine that answers as each test specifies, and a writer. */
#ifndef PGSYNC_SEARCH_BULK_WORLD_TEST_H
#define PGSYNC_SEARCH_BULK_WORLD_TEST_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <poll.h>

#include "base/clock.h"
#include "base/map.h"
#include "fakes/engine.h"
#include "http/http.h"
#include "search/search.h"

enum { REJECTIONS = 16 };

/* Of whole bulks. */
struct refusal {
	int status;        /* 0: the connection is closed instead */
	unsigned until;    /* the last request that this applies to; 0: all */
	size_t above;      /* only of bodies of more bytes */
	const char *words; /* NULL: some */
};

struct world {
	struct fake_engine engine;
	struct http_target *target;
	struct search *search;
	struct bulk *bulk;
	struct err err;

	/* How the engine behaves; NULL: everything succeeds. Requests are counted from 1. */
	const struct refusal *whole;
	int (*item)(const struct world *w, unsigned request, const char *id, bool is_delete);
	const char *refused_id; /* by item_refused, with refused_status */
	int refused_status;
	const char *error_type, *error_reason; /* of items that are refused; NULL: those of the status */
	const char *garbage;                   /* answered instead of a bulk answer */
	unsigned garbage_until;
	int garbage_status; /* 0: 200 */

	/* What the engine received. */
	unsigned requests;
	size_t largest;
	struct map *seen; /* id -> how many times it succeeded */
	char first_line[256];
	char body[512];
	char path[512];

	/* What the writer reported. */
	unsigned n_rejections;
	struct {
		char index[32], id[32], type[64], reason[64], words[64];
		uint64_t version;
		int status;
		bool is_delete;
	} rejections[REJECTIONS];
	unsigned pressures, reliefs, drops;
	char pressure[512];
	bool stop_on_rejection, cancelled;
};

/* --- The engine ------------------------------------------------------------------------------------------------------
 */
static inline size_t count_of(struct world *w, const char *id)
{
	return (size_t)(uintptr_t)map_gets(w->seen, id);
}

/* Of an item that a pipeline drops. */
enum { DROPPED = 0 };

static inline const char *result_of(int status, bool is_delete)
{
	if (status == DROPPED)
		return "noop";
	if (is_delete)
		return status == 404 ? "not_found" : "deleted";
	return status == 201 ? "created" : "updated";
}

/* The engines' error type for the status. */
static inline const char *type_of(int status)
{
	switch (status) {
	case 400:
		return "mapper_parsing_exception";
	case 403:
		return "security_exception";
	case 409:
		return "version_conflict_engine_exception";
	case 429:
		return "es_rejected_execution_exception";
	case 500:
		return "translog_exception";
	default:
		return "unavailable_shards_exception";
	}
}

static inline void write_item(struct world *w, const char *line, struct strbuf *answer)
{
	bool is_delete = !strncmp(line, "{\"delete\"", 9);
	const char *id = strstr(line, "\"_id\":\"") + 7;
	_cleanup_free_ char *name = xstrndup(id, strcspn(id, "\""));
	int status = w->item ? w->item(w, w->requests, name, is_delete) : 200;

	if (status < 300 && status != DROPPED)
		map_puts(w->seen, name, (void *)(uintptr_t)(count_of(w, name) + 1));
	strbuf_addf(answer, "{\"%s\":{\"status\":%d,", is_delete ? "delete" : "index", status ? status : 200);
	if (status < 300 || (status == 404 && is_delete))
		strbuf_addf(answer, "\"result\":\"%s\"", result_of(status, is_delete));
	else
		strbuf_addf(answer, "\"error\":{\"type\":\"%s\",\"reason\":\"%s of %s\"}",
			    w->error_type ? w->error_type : type_of(status),
			    w->error_reason ? w->error_reason : "reason", name);
	strbuf_adds(answer, "}}");
}

static inline bool is_refused(const struct world *w, size_t bytes)
{
	return w->whole && bytes > w->whole->above && (!w->whole->until || w->requests <= w->whole->until);
}

static inline int answer_bulk(struct fake_engine *engine, const char *head, const char *body, struct strbuf *answer)
{
	struct world *w = engine->user;
	size_t bytes = strlen(body);

	w->requests++;
	if (bytes > w->largest)
		w->largest = bytes;
	(void)snprintf(w->first_line, sizeof(w->first_line), "%.*s", (int)strcspn(body, "\n"), body);
	(void)snprintf(w->body, sizeof(w->body), "%.500s", body);
	(void)snprintf(w->path, sizeof(w->path), "%.*s", (int)strcspn(head, "\r"), head);
	if (is_refused(w, bytes)) {
		int status = w->whole->status;

		strbuf_addf(answer, "{\"error\":{\"type\":\"%s\",\"reason\":\"%s\"},\"status\":%d}",
			    status == 404 ? "index_not_found_exception" : type_of(status),
			    w->whole->words ? w->whole->words : "whole", status);
		return status;
	}
	if (w->garbage && w->requests <= w->garbage_until) {
		strbuf_adds(answer, w->garbage);
		return w->garbage_status ? w->garbage_status : 200;
	}
	strbuf_adds(answer, "{\"took\":1,\"items\":[");
	for (unsigned i = 0; *body; body = strchr(body, '\n') + 1) {
		if (strncmp(body, "{\"index\":{\"", 11) != 0 && strncmp(body, "{\"delete\":{\"", 12) != 0)
			continue;
		strbuf_adds(answer, i++ ? "," : "");
		write_item(w, body, answer);
	}
	strbuf_addf(answer, "],\"errors\":%s}", strstr(answer->data, "\"error\":") ? "true" : "false");
	return 200;
}

/* How many requests have arrived; a connection without an answer may still be open. */
static inline unsigned requests_so_far(struct world *w)
{
	unsigned n;

	(void)pthread_mutex_lock(&w->engine.lock);
	n = w->requests;
	(void)pthread_mutex_unlock(&w->engine.lock);
	return n;
}

/* --- The writer ------------------------------------------------------------------------------------------------------
 */
static inline int add_to(struct world *w, const char *index, const char *id, const char *document)
{
	struct bulk_action action = {.index = index,
				     .id = id,
				     .id_len = strlen(id),
				     .version = 7,
				     .document = document,
				     .document_len = document ? strlen(document) : 0};

	return bulk_add(w->bulk, &action, &w->err);
}

static inline int on_rejected(void *user, const struct bulk_rejection *r, struct err *err)
{
	struct world *w = user;

	if (w->n_rejections < REJECTIONS) {
		__auto_type to = &w->rejections[w->n_rejections];

		(void)snprintf(to->index, sizeof(to->index), "%s", r->index);
		(void)snprintf(to->id, sizeof(to->id), "%.31s", r->id);
		(void)snprintf(to->type, sizeof(to->type), "%s", r->type);
		(void)snprintf(to->reason, sizeof(to->reason), "%.63s", r->reason);
		(void)snprintf(to->words, sizeof(to->words), "%.63s", r->words);
		to->version = r->version;
		to->status = r->status;
		to->is_delete = r->is_delete;
	}
	w->n_rejections++;
	if (w->stop_on_rejection)
		return err_reason(err, ERR_INVALID, REASON_INTERRUPTED, "stop at %s", r->id);
	return 0;
}

static inline void on_pressure(void *user, bool under_pressure, const char *why)
{
	struct world *w = user;

	assert_non_null(why);
	if (!under_pressure) {
		w->reliefs++;
		return;
	}
	w->pressures++;
	(void)snprintf(w->pressure, sizeof(w->pressure), "%s", why);
}

static inline void on_dropped(void *user, const char *index)
{
	struct world *w = user;

	assert_string_equal(index, "books");
	w->drops++;
}

static inline bool is_cancelled(void *user)
{
	struct world *w = user;

	return w->cancelled;
}

static inline void world_start(struct world *w, const struct bulk_options *options)
{
	struct bulk_options o = *options;
	const char *url;

	*w = (struct world){.seen = map_new(NULL)};
	fake_engine_start(&w->engine, answer_bulk, w);
	url = w->engine.url;
	assert_int_equal(http_target_new(&(struct http_target_options){.urls = &url, .n_urls = 1}, &w->target, &w->err),
			 0);
	assert_int_equal(search_new(w->target, is_cancelled, w, &w->search, &w->err), 0);
	o.on_rejected = on_rejected;
	o.on_dropped = on_dropped;
	o.on_pressure = on_pressure;
	o.user = w;
	w->bulk = bulk_new(w->search, &o);
}

static inline void world_stop(struct world *w)
{
	bulk_free(w->bulk);
	search_free(w->search);
	fake_engine_stop(&w->engine);
	http_target_free(w->target);
	map_free(w->seen);
}

static inline void add_numbers(struct world *w, unsigned n)
{
	for (unsigned i = 0; i < n; i++) {
		char id[16];

		(void)snprintf(id, sizeof(id), "%u", i);
		assert_int_equal(add_to(w, "books", id, "{\"title\":\"a book\"}"), 0);
	}
}

static inline void expect_written_once(struct world *w, unsigned n)
{
	for (unsigned i = 0; i < n; i++) {
		char id[16];

		(void)snprintf(id, sizeof(id), "%u", i);
		assert_int_equal(count_of(w, id), 1);
	}
	assert_int_equal(map_size(w->seen), n);
}

static inline int item_refused(const struct world *w, unsigned request, const char *id, bool is_delete)
{
	UNUSED(request);
	UNUSED(is_delete);
	return strcmp(id, w->refused_id) ? 200 : w->refused_status;
}

static inline void refuse_item(struct world *w, const char *id, int status)
{
	w->item = item_refused;
	w->refused_id = id;
	w->refused_status = status;
}

#endif
