/* Tests of the bulk writer against an engine that answers as each test tells it to. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/clock.h"
#include "base/map.h"
#include "fakes/engine.h"
#include "http/http.h"
#include "search/search.h"

enum { REJECTIONS = 16 };

/* Of whole bulks. */
struct refusal {
	int status;        /* 0: the connection is closed instead */
	unsigned until;    /* the last request of which it is so; 0: of all */
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
	const char *garbage; /* answered instead of a bulk answer */
	unsigned garbage_until;
	int garbage_status; /* 0: 200 */

	/* What it saw. */
	unsigned requests;
	size_t largest;
	struct map *seen; /* id -> how many times it succeeded */
	char first_line[256];
	char body[512];
	char path[512];

	/* What the writer said. */
	unsigned n_rejections;
	struct {
		char index[32], id[32], type[64], reason[64];
		uint64_t version;
		int status;
		bool is_delete;
	} rejections[REJECTIONS];
	unsigned pressures, reliefs;
	bool stop_on_rejection, cancelled;
};

/* --- The engine ------------------------------------------------------------------------------------------------------
 */
static size_t count_of(struct world *w, const char *id)
{
	return (size_t)(uintptr_t)map_gets(w->seen, id);
}

static void write_item(struct world *w, const char *line, struct strbuf *answer)
{
	bool is_delete = !strncmp(line, "{\"delete\"", 9);
	const char *id = strstr(line, "\"_id\":\"") + 7;
	_cleanup_free_ char *name = xstrndup(id, strcspn(id, "\""));
	int status = w->item ? w->item(w, w->requests, name, is_delete) : 200;

	if (status < 300)
		map_puts(w->seen, name, (void *)(uintptr_t)(count_of(w, name) + 1));
	strbuf_addf(answer, "{\"%s\":{\"status\":%d", is_delete ? "delete" : "index", status);
	if (status == 409)
		strbuf_adds(answer, ",\"error\":{\"type\":\"version_conflict_engine_exception\",\"reason\":\"newer\"}");
	else if (status >= 400 && !(status == 404 && is_delete))
		strbuf_addf(answer, ",\"error\":{\"type\":\"type_%d\",\"reason\":\"reason of %s\"}", status, name);
	strbuf_adds(answer, "}}");
}

static bool is_refused(const struct world *w, size_t bytes)
{
	return w->whole && bytes > w->whole->above && (!w->whole->until || w->requests <= w->whole->until);
}

static int answer_bulk(struct fake_engine *engine, const char *head, const char *body, struct strbuf *answer)
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

		strbuf_addf(answer, "{\"error\":{\"type\":\"type_%d\",\"reason\":\"%s\"},\"status\":%d}", status,
			    w->whole->words ? w->whole->words : "whole", status);
		return status;
	}
	if (w->garbage && w->requests <= w->garbage_until) {
		strbuf_adds(answer, w->garbage);
		return w->garbage_status ? w->garbage_status : 200;
	}
	strbuf_adds(answer, "{\"took\":1,\"errors\":true,\"items\":[");
	for (unsigned i = 0; *body; body = strchr(body, '\n') + 1) {
		if (strncmp(body, "{\"index\":{\"", 11) != 0 && strncmp(body, "{\"delete\":{\"", 12) != 0)
			continue;
		strbuf_adds(answer, i++ ? "," : "");
		write_item(w, body, answer);
	}
	strbuf_adds(answer, "]}");
	return 200;
}

/* --- The writer ------------------------------------------------------------------------------------------------------
 */
static int add_to(struct world *w, const char *index, const char *id, const char *document)
{
	struct bulk_action action = {.index = index,
				     .id = id,
				     .id_len = strlen(id),
				     .version = 7,
				     .document = document,
				     .document_len = document ? strlen(document) : 0};

	return bulk_add(w->bulk, &action, &w->err);
}

static int on_rejected(void *user, const struct bulk_rejection *r, struct err *err)
{
	struct world *w = user;

	if (w->n_rejections < REJECTIONS) {
		__auto_type to = &w->rejections[w->n_rejections];

		(void)snprintf(to->index, sizeof(to->index), "%s", r->index);
		(void)snprintf(to->id, sizeof(to->id), "%.31s", r->id);
		(void)snprintf(to->type, sizeof(to->type), "%s", r->type);
		(void)snprintf(to->reason, sizeof(to->reason), "%.63s", r->reason);
		to->version = r->version;
		to->status = r->status;
		to->is_delete = r->is_delete;
	}
	w->n_rejections++;
	if (w->stop_on_rejection)
		return err_reason(err, ERR_INVALID, REASON_INTERRUPTED, "stop at %s", r->id);
	return 0;
}

static void on_pressure(void *user, bool under_pressure, const char *why)
{
	struct world *w = user;

	assert_non_null(why);
	if (under_pressure)
		w->pressures++;
	else
		w->reliefs++;
}

static bool is_cancelled(void *user)
{
	struct world *w = user;

	return w->cancelled;
}

static void world_start(struct world *w, const struct bulk_options *options)
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
	o.on_pressure = on_pressure;
	o.user = w;
	w->bulk = bulk_new(w->search, &o);
}

static void world_stop(struct world *w)
{
	bulk_free(w->bulk);
	search_free(w->search);
	fake_engine_stop(&w->engine);
	http_target_free(w->target);
	map_free(w->seen);
}

static void add_numbers(struct world *w, unsigned n)
{
	for (unsigned i = 0; i < n; i++) {
		char id[16];

		(void)snprintf(id, sizeof(id), "%u", i);
		assert_int_equal(add_to(w, "books", id, "{\"title\":\"a book\"}"), 0);
	}
}

static void expect_written_once(struct world *w, unsigned n)
{
	for (unsigned i = 0; i < n; i++) {
		char id[16];

		(void)snprintf(id, sizeof(id), "%u", i);
		assert_int_equal(count_of(w, id), 1);
	}
	assert_int_equal(map_size(w->seen), n);
}

/* --- Success ---------------------------------------------------------------------------------------------------------
 */
static void test_bulk_when_all_succeed_then_each_is_written_once_in_bodies_of_the_size(void **state)
{
	struct world w;
	const struct bulk_stats *stats;

	UNUSED(state);
	world_start(&w, &(struct bulk_options){.max_bytes = 10000, .concurrency = 2});
	add_numbers(&w, 2000);
	assert_int_equal(bulk_flush(w.bulk, &w.err), 0);
	expect_written_once(&w, 2000);
	stats = bulk_stats(w.bulk);
	assert_int_equal(stats->indexed, 2000);
	assert_int_equal(stats->added, 2000);
	assert_int_equal(stats->added_bytes, 2000 * strlen("{\"title\":\"a book\"}"));
	assert_int_equal(stats->done_below, 2000);
	assert_int_equal(stats->requests, w.requests);
	assert_in_range(w.largest, 9000, 10000);
	assert_in_range(w.engine.n_connections, 1, 2);
	assert_non_null(strstr(w.path, "POST /books/_bulk?filter_path=took,errors,items.*.status,"));
	world_stop(&w);
}

static void test_bulk_when_max_actions_then_no_body_has_more(void **state)
{
	struct world w;

	UNUSED(state);
	world_start(&w, &(struct bulk_options){.max_actions = 10, .concurrency = 3});
	add_numbers(&w, 95);
	assert_int_equal(bulk_flush(w.bulk, &w.err), 0);
	expect_written_once(&w, 95);
	assert_int_equal(w.requests, 10);
	assert_int_equal(bulk_flush(w.bulk, &w.err), 0);
	assert_int_equal(w.requests, 10);
	world_stop(&w);
}

static int item_mixed(const struct world *w, unsigned request, const char *id, bool is_delete)
{
	UNUSED(w);
	UNUSED(request);
	UNUSED(id);
	return is_delete ? 404 : 409;
}

static void test_bulk_when_stale_or_gone_already_then_done(void **state)
{
	struct world w;

	UNUSED(state);
	world_start(&w, &(struct bulk_options){.concurrency = 1});
	w.item = item_mixed;
	assert_int_equal(add_to(&w, "books", "1", "{}"), 0);
	assert_int_equal(add_to(&w, "books", "2", NULL), 0);
	assert_int_equal(bulk_flush(w.bulk, &w.err), 0);
	assert_int_equal(bulk_stats(w.bulk)->conflicts, 1);
	assert_int_equal(bulk_stats(w.bulk)->deleted, 1);
	assert_int_equal(bulk_stats(w.bulk)->indexed, 0);
	assert_int_equal(w.n_rejections, 0);
	assert_int_equal(w.pressures, 0);
	world_stop(&w);
}

static void test_bulk_when_indices_differ_then_the_path_names_the_first_and_lines_the_others(void **state)
{
	struct world w;

	UNUSED(state);
	world_start(&w, &(struct bulk_options){.concurrency = 1});
	assert_int_equal(add_to(&w, "books", "1", "{}"), 0);
	assert_int_equal(bulk_flush(w.bulk, &w.err), 0);
	assert_null(strstr(w.first_line, "_index"));
	assert_int_equal(add_to(&w, "authors", "2", "{}"), 0);
	assert_int_equal(add_to(&w, "books", "3", "{}"), 0);
	assert_int_equal(bulk_flush(w.bulk, &w.err), 0);
	assert_non_null(strstr(w.path, "POST /authors/_bulk?"));
	assert_null(strstr(w.first_line, "_index"));
	assert_int_equal(bulk_stats(w.bulk)->indexed, 3);
	assert_int_equal(add_to(&w, "book*", "3", "{}"), -1);
	assert_int_equal(w.err.kind, ERR_INVALID);
	world_stop(&w);
}

static void add_via(struct world *w, const char *via, const char *id)
{
	struct bulk_action action = {.index = "books-g1",
				     .via = via,
				     .id = id,
				     .id_len = strlen(id),
				     .version = 7,
				     .document = "{}",
				     .document_len = 2};

	assert_int_equal(bulk_add(w->bulk, &action, &w->err), 0);
}

static int item_rejected(const struct world *w, unsigned request, const char *id, bool is_delete)
{
	UNUSED(w);
	UNUSED(request);
	UNUSED(id);
	UNUSED(is_delete);
	return 400;
}

static void test_bulk_when_an_alias_is_given_then_requests_name_it_and_messages_the_index(void **state)
{
	struct world w;

	UNUSED(state);
	world_start(&w, &(struct bulk_options){.concurrency = 1});
	w.item = item_rejected;
	add_via(&w, "books-g1-W1", "1");
	assert_int_equal(bulk_flush(w.bulk, &w.err), 0);
	assert_non_null(strstr(w.path, "POST /books-g1-W1/_bulk?"));
	assert_string_equal(w.rejections[0].index, "books-g1");
	/* The alias of another request; and one that is not the path's. */
	add_via(&w, "books-g1-W2", "2");
	add_via(&w, "books-g1-W1", "3");
	assert_int_equal(bulk_flush(w.bulk, &w.err), 0);
	assert_non_null(strstr(w.path, "POST /books-g1-W2/_bulk?"));
	assert_non_null(strstr(w.body, "{\"index\":{\"_index\":\"books-g1-W1\",\"_id\":\"3\""));
	assert_string_equal(w.rejections[2].index, "books-g1");
	world_stop(&w);
}

/* --- Push-back -------------------------------------------------------------------------------------------------------
 */
static int item_busy_once(const struct world *w, unsigned request, const char *id, bool is_delete)
{
	UNUSED(w);
	UNUSED(is_delete);
	return request == 1 && (id[0] == '3' || id[0] == '4') ? 429 : 201;
}

static void test_bulk_when_some_items_are_pushed_back_then_only_they_go_again(void **state)
{
	struct world w;

	UNUSED(state);
	world_start(&w, &(struct bulk_options){.concurrency = 1});
	w.item = item_busy_once;
	add_numbers(&w, 10);
	assert_int_equal(bulk_flush(w.bulk, &w.err), 0);
	expect_written_once(&w, 10);
	assert_int_equal(w.requests, 2);
	assert_int_equal(bulk_stats(w.bulk)->retries, 2);
	assert_int_equal(bulk_stats(w.bulk)->indexed, 10);
	assert_int_equal(w.pressures, 1);
	assert_int_equal(w.reliefs, 1);
	world_stop(&w);
}

static void test_bulk_when_the_engine_is_away_for_a_while_then_all_is_written_later(void **state)
{
	struct world w;

	UNUSED(state);
	world_start(&w, &(struct bulk_options){.concurrency = 2, .max_actions = 5});
	w.whole = &(struct refusal){.status = 503, .until = 2};
	add_numbers(&w, 20);
	assert_int_equal(bulk_flush(w.bulk, &w.err), 0);
	expect_written_once(&w, 20);
	assert_int_equal(w.pressures, 1);
	assert_int_equal(w.reliefs, 1);
	world_stop(&w);
}

/* Adds some, and expects that the first request is the last one: it may still be carried out. */
static void expect_lost(struct world *w, const char *words)
{
	add_numbers(w, 3);
	assert_int_equal(bulk_flush(w->bulk, &w->err), -1);
	assert_int_equal(w->err.kind, ERR_TRANSIENT);
	assert_string_equal(reason_name(w->err.reason), "SinkUnavailable");
	assert_non_null(strstr(w->err.msg, words));
	assert_int_equal(bulk_flush(w->bulk, &w->err), -1);
	assert_int_equal(w->requests, 1);
	assert_int_equal(map_size(w->seen), 0);
}

static void test_bulk_when_the_outcome_is_not_known_then_nothing_goes_again(void **state)
{
	static const struct refusal refusals[] = {
		{.status = 0}, {.status = 408}, {.status = 500}, {.status = 502}, {.status = 504}};
	static const char *const garbage[] = {
		"<html>maintenance</html>",
		"{\"took\":1,\"errors\":true,\"items\":[{\"index\":{\"status\":200}},{\"index\":{\"sta"};

	UNUSED(state);
	for (size_t i = 0; i < ARRAY_SIZE(refusals); i++) {
		struct world w;

		world_start(&w, &(struct bulk_options){.concurrency = 1, .retry_ms = 300});
		w.whole = &refusals[i];
		expect_lost(&w, "no answer that tells");
		world_stop(&w);
	}
	for (size_t i = 0; i < ARRAY_SIZE(garbage); i++) {
		struct world w;

		world_start(&w, &(struct bulk_options){.concurrency = 1, .retry_ms = 300});
		w.garbage = garbage[i];
		w.garbage_until = 1;
		expect_lost(&w, "no answer that tells");
		world_stop(&w);
	}
}

static void test_bulk_when_a_proxy_says_503_then_the_outcome_is_not_known(void **state)
{
	struct world w;

	UNUSED(state);
	world_start(&w, &(struct bulk_options){.concurrency = 1, .retry_ms = 300});
	w.garbage = "<html>no server available</html>";
	w.garbage_until = 1;
	w.garbage_status = 503;
	expect_lost(&w, "503");
	world_stop(&w);
}

/* A kept-alive connection that breaks: libcurl would send the request again by itself. */
static void test_bulk_when_a_connection_in_use_breaks_then_nothing_goes_again(void **state)
{
	struct world w;

	UNUSED(state);
	world_start(&w, &(struct bulk_options){.concurrency = 1, .retry_ms = 300});
	assert_int_equal(add_to(&w, "books", "first", "{}"), 0);
	assert_int_equal(bulk_flush(w.bulk, &w.err), 0);
	w.whole = &(struct refusal){.status = 0, .until = 2};
	add_numbers(&w, 3);
	assert_int_equal(bulk_flush(w.bulk, &w.err), -1);
	assert_int_equal(w.err.kind, ERR_TRANSIENT);
	assert_int_equal(w.requests, 2);
	world_stop(&w);
}

static void test_bulk_when_no_server_listens_then_it_is_sent_again(void **state)
{
	static const char *const url = "http://127.0.0.1:1";
	struct http_target *target;
	struct search *search;
	struct bulk *bulk;
	struct bulk_action action = {
		.index = "books", .id = "1", .id_len = 1, .version = 7, .document = "{}", .document_len = 2};
	struct err err;

	UNUSED(state);
	assert_int_equal(http_target_new(&(struct http_target_options){.urls = &url, .n_urls = 1}, &target, &err), 0);
	assert_int_equal(search_new(target, NULL, NULL, &search, &err), 0);
	bulk = bulk_new(search, &(struct bulk_options){.retry_ms = 300});
	assert_int_equal(bulk_add(bulk, &action, &err), 0);
	assert_int_equal(bulk_flush(bulk, &err), -1);
	assert_non_null(strstr(err.msg, "has accepted nothing for"));
	assert_true(bulk_stats(bulk)->requests > 1);
	bulk_free(bulk);
	search_free(search);
	http_target_free(target);
}

static void test_bulk_when_push_back_does_not_end_then_transient_after_the_time(void **state)
{
	struct world w;
	int64_t started_ms = clock_now_ms();

	UNUSED(state);
	world_start(&w, &(struct bulk_options){.concurrency = 1, .retry_ms = 300});
	w.whole = &(struct refusal){.status = 429};
	add_numbers(&w, 3);
	assert_int_equal(bulk_flush(w.bulk, &w.err), -1);
	assert_int_equal(w.err.kind, ERR_TRANSIENT);
	assert_string_equal(reason_name(w.err.reason), "SinkUnavailable");
	assert_non_null(strstr(w.err.msg, "type_429"));
	assert_in_range(clock_now_ms() - started_ms, 300, 5000);
	/* For good: nothing of it may be written late. */
	w.whole = NULL;
	assert_int_equal(bulk_flush(w.bulk, &w.err), -1);
	assert_int_equal(add_to(&w, "books", "1", "{}"), -1);
	assert_string_equal(reason_name(w.err.reason), "SinkUnavailable");
	assert_int_equal(map_size(w.seen), 0);
	world_stop(&w);
}

static void test_bulk_when_cancelled_while_waiting_then_cancelled(void **state)
{
	struct world w;

	UNUSED(state);
	world_start(&w, &(struct bulk_options){.concurrency = 1});
	w.whole = &(struct refusal){.status = 429};
	w.cancelled = true;
	add_numbers(&w, 3);
	assert_int_equal(bulk_flush(w.bulk, &w.err), -1);
	assert_int_equal(w.err.kind, ERR_CANCELLED);
	world_stop(&w);
}

static void test_send_when_the_engine_has_nothing_to_do_then_it_gets_what_is_there(void **state)
{
	struct world w;
	int64_t end_ms = clock_now_ms() + 10000;

	UNUSED(state);
	world_start(&w, &(struct bulk_options){.concurrency = 1});
	add_numbers(&w, 3);
	assert_int_equal(bulk_stats(w.bulk)->requests, 0);
	assert_int_equal(bulk_send(w.bulk, &w.err), 0);
	assert_int_equal(bulk_stats(w.bulk)->requests, 1);
	add_numbers(&w, 2);
	while (bulk_stats(w.bulk)->done_below < 3 && clock_now_ms() < end_ms) {
		assert_int_equal(bulk_stats(w.bulk)->requests, 1);
		assert_int_equal(bulk_send(w.bulk, &w.err), 0);
	}
	assert_int_equal(bulk_flush(w.bulk, &w.err), 0);
	assert_int_equal(bulk_stats(w.bulk)->requests, 2);
	assert_int_equal(bulk_stats(w.bulk)->done_below, 5);
	world_stop(&w);
}

static int item_first_waits(const struct world *w, unsigned request, const char *id, bool is_delete)
{
	UNUSED(request);
	UNUSED(is_delete);
	return id[0] == '0' && map_size(w->seen) < 2 ? 503 : 200;
}

static void test_stats_when_an_early_action_waits_then_done_below_waits_too(void **state)
{
	struct world w;
	int64_t end_ms = clock_now_ms() + 10000;

	UNUSED(state);
	world_start(&w, &(struct bulk_options){.concurrency = 2, .max_actions = 1});
	w.item = item_first_waits;
	add_numbers(&w, 3);
	while (bulk_stats(w.bulk)->indexed < 2 && clock_now_ms() < end_ms) {
		assert_int_equal(bulk_send(w.bulk, &w.err), 0);
		if (bulk_stats(w.bulk)->indexed < 3)
			assert_int_equal(bulk_stats(w.bulk)->done_below, 0);
	}
	assert_int_equal(bulk_flush(w.bulk, &w.err), 0);
	assert_int_equal(bulk_stats(w.bulk)->done_below, 3);
	world_stop(&w);
}

/* --- Too large -------------------------------------------------------------------------------------------------------
 */
static void test_bulk_when_too_large_then_halved_until_it_fits_and_remembered(void **state)
{
	struct world w;
	unsigned refused;

	UNUSED(state);
	world_start(&w, &(struct bulk_options){.max_bytes = 64000, .concurrency = 1});
	w.whole = &(struct refusal){.status = 413, .above = 10000};
	add_numbers(&w, 1500);
	assert_int_equal(bulk_flush(w.bulk, &w.err), 0);
	expect_written_once(&w, 1500);
	refused = w.requests;
	w.largest = 0;
	add_numbers(&w, 1500);
	assert_int_equal(bulk_flush(w.bulk, &w.err), 0);
	assert_true(w.largest <= 10000);
	assert_true(w.requests > refused);
	assert_int_equal(w.n_rejections, 0);
	assert_int_equal(bulk_stats(w.bulk)->done_below, 3000);
	world_stop(&w);
}

/* Of three documents the large one in the middle is rejected with that status, and the others are written. */
static void expect_only_the_large_one_rejected(struct world *w, int status)
{
	_cleanup_free_ char *large = xmalloc(5001);

	memset(large, ' ', 5000);
	large[0] = '{';
	large[4999] = '}';
	large[5000] = '\0';
	assert_int_equal(add_to(w, "books", "1", "{}"), 0);
	assert_int_equal(add_to(w, "books", "large", large), 0);
	assert_int_equal(add_to(w, "books", "2", "{}"), 0);
	assert_int_equal(bulk_flush(w->bulk, &w->err), 0);
	assert_int_equal(w->n_rejections, 1);
	assert_string_equal(w->rejections[0].id, "large");
	assert_int_equal(w->rejections[0].status, status);
	assert_int_equal(count_of(w, "1"), 1);
	assert_int_equal(count_of(w, "2"), 1);
	assert_int_equal(count_of(w, "large"), 0);
}

static void test_bulk_when_one_document_alone_is_too_large_then_rejected_and_the_rest_written(void **state)
{
	struct world w;

	UNUSED(state);
	world_start(&w, &(struct bulk_options){.concurrency = 1, .max_document = 20000});
	w.whole = &(struct refusal){.status = 413, .above = 2000};
	expect_only_the_large_one_rejected(&w, 413);
	world_stop(&w);
}

static void test_bulk_when_a_document_is_beyond_all_room_then_rejected_and_not_tried_for_ever(void **state)
{
	struct world w;

	UNUSED(state);
	world_start(&w, &(struct bulk_options){.concurrency = 1, .retry_ms = 10000});
	w.whole = &(struct refusal){
		.status = 429,
		.above = 3000,
		.words = "rejected execution of coordinating operation [coordinating_and_primary_bytes=0, "
			 "replica_bytes=0, all_bytes=0, coordinating_operation_bytes=5001, "
			 "max_coordinating_and_primary_bytes=3000]"};
	expect_only_the_large_one_rejected(&w, 429);
	world_stop(&w);
}

/* --- Rejection -------------------------------------------------------------------------------------------------------
 */
static int item_refused(const struct world *w, unsigned request, const char *id, bool is_delete)
{
	UNUSED(request);
	UNUSED(is_delete);
	return strcmp(id, w->refused_id) ? 200 : w->refused_status;
}

static void refuse_item(struct world *w, const char *id, int status)
{
	w->item = item_refused;
	w->refused_id = id;
	w->refused_status = status;
}

static void test_bulk_when_one_is_rejected_then_it_is_reported_and_the_rest_written(void **state)
{
	struct world w;

	UNUSED(state);
	world_start(&w, &(struct bulk_options){.concurrency = 1});
	refuse_item(&w, "5", 400);
	add_numbers(&w, 10);
	assert_int_equal(bulk_flush(w.bulk, &w.err), 0);
	assert_int_equal(w.n_rejections, 1);
	assert_string_equal(w.rejections[0].index, "books");
	assert_string_equal(w.rejections[0].id, "5");
	assert_string_equal(w.rejections[0].type, "type_400");
	assert_string_equal(w.rejections[0].reason, "reason of 5");
	assert_int_equal(w.rejections[0].version, 7);
	assert_int_equal(w.rejections[0].status, 400);
	assert_false(w.rejections[0].is_delete);
	assert_int_equal(bulk_stats(w.bulk)->indexed, 9);
	assert_int_equal(bulk_stats(w.bulk)->rejected, 1);
	assert_int_equal(bulk_stats(w.bulk)->done_below, 10);
	world_stop(&w);
}

static void test_bulk_when_the_receiver_refuses_a_rejection_then_the_writer_stops(void **state)
{
	struct world w;

	UNUSED(state);
	world_start(&w, &(struct bulk_options){.concurrency = 1});
	refuse_item(&w, "5", 400);
	w.stop_on_rejection = true;
	add_numbers(&w, 10);
	assert_int_equal(bulk_flush(w.bulk, &w.err), -1);
	assert_string_equal(reason_name(w.err.reason), "Interrupted");
	assert_int_equal(bulk_send(w.bulk, &w.err), -1);
	assert_string_equal(reason_name(w.err.reason), "Interrupted");
	assert_true(bulk_stats(w.bulk)->done_below < 10);
	world_stop(&w);
}

static void test_bulk_when_rejections_have_no_receiver_then_the_writer_stops(void **state)
{
	struct world w;

	UNUSED(state);
	world_start(&w, &(struct bulk_options){0});
	bulk_free(w.bulk);
	w.bulk = bulk_new(w.search, &(struct bulk_options){0});
	refuse_item(&w, "5", 400);
	add_numbers(&w, 10);
	assert_int_equal(bulk_flush(w.bulk, &w.err), -1);
	assert_string_equal(reason_name(w.err.reason), "DocumentRejected");
	world_stop(&w);
}

static int item_rejects_books(const struct world *w, unsigned request, const char *id, bool is_delete)
{
	UNUSED(w);
	UNUSED(request);
	UNUSED(is_delete);
	return strncmp(id, "letter", 6) ? 400 : 200;
}

static void test_bulk_when_every_document_is_rejected_then_the_writer_still_works(void **state)
{
	struct world w;

	UNUSED(state);
	world_start(&w, &(struct bulk_options){.concurrency = 1, .max_actions = 4});
	w.item = item_rejects_books;
	add_numbers(&w, 50);
	assert_int_equal(bulk_flush(w.bulk, &w.err), 0);
	assert_int_equal(w.n_rejections, 50);
	assert_int_equal(bulk_stats(w.bulk)->done_below, 50);
	assert_int_equal(add_to(&w, "dead", "letter", "{}"), 0);
	assert_int_equal(bulk_flush(w.bulk, &w.err), 0);
	assert_int_equal(count_of(&w, "letter"), 1);
	world_stop(&w);
}

static void test_bulk_when_an_item_fails_inside_the_engine_then_rejected_after_some_tries(void **state)
{
	struct world w;

	UNUSED(state);
	world_start(&w, &(struct bulk_options){.concurrency = 1});
	refuse_item(&w, "1", 500);
	add_numbers(&w, 3);
	assert_int_equal(bulk_flush(w.bulk, &w.err), 0);
	assert_int_equal(w.requests, 5);
	assert_int_equal(w.n_rejections, 1);
	assert_int_equal(w.rejections[0].status, 500);
	assert_int_equal(count_of(&w, "0"), 1);
	assert_int_equal(count_of(&w, "2"), 1);
	world_stop(&w);
}

static void test_add_when_the_engine_would_refuse_it_anyway_then_rejected_as_an_item(void **state)
{
	char long_id[514];
	struct world w;

	UNUSED(state);
	memset(long_id, 'x', sizeof(long_id));
	long_id[513] = '\0';
	world_start(&w, &(struct bulk_options){.concurrency = 1, .max_document = 1000});
	assert_int_equal(add_to(&w, "books", long_id, "{}"), 0);
	assert_int_equal(add_to(&w, "books", "", "{}"), 0);
	assert_int_equal(add_to(&w, "books", long_id + 1, "{}"), 0);
	assert_int_equal(bulk_add(w.bulk,
				  &(struct bulk_action){.index = "books",
							.id = "1",
							.id_len = 1,
							.version = 9,
							.document = long_id,
							.document_len = 1001},
				  &w.err),
			 0);
	assert_int_equal(bulk_flush(w.bulk, &w.err), 0);
	assert_int_equal(w.n_rejections, 3);
	assert_string_equal(w.rejections[0].type, "invalid_id");
	assert_int_equal(w.rejections[2].status, 413);
	assert_int_equal(count_of(&w, long_id + 1), 1);
	assert_int_equal(bulk_stats(w.bulk)->added, 4);
	assert_int_equal(bulk_stats(w.bulk)->done_below, 4);
	world_stop(&w);
}

/* --- Errors of the whole ---------------------------------------------------------------------------------------------
 */
static void expect_error(int status, enum err_kind kind, const char *reason)
{
	struct world w;

	world_start(&w, &(struct bulk_options){.concurrency = 1});
	w.whole = &(struct refusal){.status = status};
	add_numbers(&w, 3);
	assert_int_equal(bulk_flush(w.bulk, &w.err), -1);
	assert_int_equal(w.err.kind, kind);
	assert_int_equal(w.err.code, status);
	if (reason)
		assert_string_equal(reason_name(w.err.reason), reason);
	assert_int_equal(w.requests, 1);
	world_stop(&w);
}

static void test_bulk_when_the_whole_is_refused_then_an_error_of_its_kind(void **state)
{
	UNUSED(state);
	expect_error(401, ERR_DENIED, "AuthFailed");
	expect_error(403, ERR_DENIED, "AuthFailed");
	expect_error(404, ERR_NOT_FOUND, "IndexMissing");
	expect_error(400, ERR_INVALID, NULL);
}

static void test_bulk_when_an_item_is_forbidden_then_an_error_and_no_rejection(void **state)
{
	struct world w;

	UNUSED(state);
	world_start(&w, &(struct bulk_options){.concurrency = 1});
	refuse_item(&w, "1", 403);
	add_numbers(&w, 3);
	assert_int_equal(bulk_flush(w.bulk, &w.err), -1);
	assert_int_equal(w.err.kind, ERR_DENIED);
	assert_string_equal(reason_name(w.err.reason), "AuthFailed");
	assert_int_equal(w.n_rejections, 0);
	world_stop(&w);
}

static void test_free_when_requests_are_under_way_then_nothing_leaks(void **state)
{
	struct world w;

	UNUSED(state);
	world_start(&w, &(struct bulk_options){.concurrency = 2, .max_actions = 10});
	add_numbers(&w, 45);
	world_stop(&w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_bulk_when_all_succeed_then_each_is_written_once_in_bodies_of_the_size),
		cmocka_unit_test(test_bulk_when_max_actions_then_no_body_has_more),
		cmocka_unit_test(test_bulk_when_stale_or_gone_already_then_done),
		cmocka_unit_test(test_bulk_when_indices_differ_then_the_path_names_the_first_and_lines_the_others),
		cmocka_unit_test(test_bulk_when_an_alias_is_given_then_requests_name_it_and_messages_the_index),
		cmocka_unit_test(test_bulk_when_some_items_are_pushed_back_then_only_they_go_again),
		cmocka_unit_test(test_bulk_when_the_engine_is_away_for_a_while_then_all_is_written_later),
		cmocka_unit_test(test_bulk_when_the_outcome_is_not_known_then_nothing_goes_again),
		cmocka_unit_test(test_bulk_when_a_proxy_says_503_then_the_outcome_is_not_known),
		cmocka_unit_test(test_bulk_when_a_connection_in_use_breaks_then_nothing_goes_again),
		cmocka_unit_test(test_bulk_when_no_server_listens_then_it_is_sent_again),
		cmocka_unit_test(test_bulk_when_push_back_does_not_end_then_transient_after_the_time),
		cmocka_unit_test(test_bulk_when_cancelled_while_waiting_then_cancelled),
		cmocka_unit_test(test_send_when_the_engine_has_nothing_to_do_then_it_gets_what_is_there),
		cmocka_unit_test(test_stats_when_an_early_action_waits_then_done_below_waits_too),
		cmocka_unit_test(test_bulk_when_too_large_then_halved_until_it_fits_and_remembered),
		cmocka_unit_test(test_bulk_when_one_document_alone_is_too_large_then_rejected_and_the_rest_written),
		cmocka_unit_test(test_bulk_when_a_document_is_beyond_all_room_then_rejected_and_not_tried_for_ever),
		cmocka_unit_test(test_bulk_when_one_is_rejected_then_it_is_reported_and_the_rest_written),
		cmocka_unit_test(test_bulk_when_the_receiver_refuses_a_rejection_then_the_writer_stops),
		cmocka_unit_test(test_bulk_when_rejections_have_no_receiver_then_the_writer_stops),
		cmocka_unit_test(test_bulk_when_every_document_is_rejected_then_the_writer_still_works),
		cmocka_unit_test(test_bulk_when_an_item_fails_inside_the_engine_then_rejected_after_some_tries),
		cmocka_unit_test(test_add_when_the_engine_would_refuse_it_anyway_then_rejected_as_an_item),
		cmocka_unit_test(test_bulk_when_the_whole_is_refused_then_an_error_of_its_kind),
		cmocka_unit_test(test_bulk_when_an_item_is_forbidden_then_an_error_and_no_rejection),
		cmocka_unit_test(test_free_when_requests_are_under_way_then_nothing_leaks),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
