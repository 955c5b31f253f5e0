/* GET /wait: answers once everything before a position of the WAL can be found by searching, so that an application
 * that writes to Postgres can read its own writes from the index. */
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "base/parse.h"
#include "cmd.h"
#include "http/http.h"
#include "search/search.h"
#include "sink/target.h"
#include "json/json.h"

enum { DEFAULT_MS = 10 * 1000, MOST_MS = 60 * 1000 };

/* Of the WAL: pages of 8 KiB begin with a header, and segments with a longer one. */
enum { PAGE_BYTES = 8192, PAGE_HEADER_BYTES = 24, SEGMENT_BYTES = 16 * 1024 * 1024, SEGMENT_HEADER_BYTES = 40 };

struct cmd_wait {
	const struct spec *spec;
	struct waits *waits;
	/* Refreshes, one at a time: those who wait for the lock are often served by the refresh that is under way. */
	pthread_mutex_t lock;
	struct http_target *target;
	struct search *search;
	uint64_t stream;     /* that told it */
	uint64_t searchable; /* what was in the index when the last refresh began */
};

struct cmd_wait *cmd_wait_new(const struct spec *spec)
{
	struct cmd_wait *w = xcalloc(1, sizeof(*w));

	w->spec = spec;
	w->waits = waits_new();
	(void)pthread_mutex_init(&w->lock, NULL);
	return w;
}

void cmd_wait_free(struct cmd_wait *w)
{
	if (!w)
		return;
	search_free(w->search);
	http_target_free(w->target);
	(void)pthread_mutex_destroy(&w->lock);
	waits_free(w->waits);
	free(w);
}

struct waits *cmd_wait_waits(struct cmd_wait *w)
{
	return w->waits;
}

/* --- the request */

/* pg_current_wal_insert_lsn() skips the header of a page that nothing has been written to. No record ends there, so
 * the stream would not come to this position before the next one. */
static uint64_t before_header(uint64_t lsn)
{
	if (lsn % SEGMENT_BYTES == SEGMENT_HEADER_BYTES)
		return lsn - SEGMENT_HEADER_BYTES;
	return lsn % PAGE_BYTES == PAGE_HEADER_BYTES ? lsn - PAGE_HEADER_BYTES : lsn;
}

static int read_wait(const struct web_request *request, uint64_t *ret_lsn, int64_t *ret_ms, struct err *err)
{
	const char *lsn = web_argument(request, "lsn"), *timeout = web_argument(request, "timeout");

	*ret_ms = DEFAULT_MS;
	if (!lsn || !parse_lsn(lsn, ret_lsn))
		return err_set(
			err, ERR_INVALID,
			"lsn must be a position of the WAL, such as 16/B374D848: what pg_current_wal_insert_lsn() "
			"returns after the commit");
	if (timeout && (!parse_duration_ms(timeout, ret_ms) || *ret_ms > MOST_MS))
		return err_set(err, ERR_INVALID, "timeout must be a time of at most %ds, such as 5s or 500ms",
			       MOST_MS / 1000);
	*ret_lsn = before_header(*ret_lsn);
	return 0;
}

/* --- refreshing */

static bool is_stopping(void *user)
{
	const struct cmd_wait *w = user;

	return waits_closed(w->waits);
}

/* Each request has what is left of the time. */
static int refresh_all(struct cmd_wait *w, int64_t end_ms, struct err *err)
{
	if (!w->target && sink_target(&w->spec->sink, &w->target, err) < 0)
		return -1;
	if (!w->search && search_new(w->target, is_stopping, w, &w->search, err) < 0)
		return -1;
	for (size_t i = 0; i < w->spec->n_documents; i++) {
		int64_t left_ms = end_ms - clock_now_ms();

		search_set_timeout(w->search, left_ms < 1 ? 1 : left_ms);
		if (search_refresh(w->search, w->spec->documents[i]->index, err) < 0)
			return err_wrap(err, "refreshing index \"%s\"", w->spec->documents[i]->index);
	}
	return 0;
}

/* A refresh contains what was reached before it began. */
static int refresh_past(struct cmd_wait *w, uint64_t lsn, int64_t end_ms, struct err *err)
{
	uint64_t stream = waits_stream(w->waits), reached;

	if (waits_wait(w->waits, lsn, 0, &reached) != WAITS_REACHED || waits_stream(w->waits) != stream)
		return err_set(err, ERR_TRANSIENT, "the stream has ended; the next one begins soon");
	if (stream == w->stream && w->searchable >= lsn)
		return 0;
	if (refresh_all(w, end_ms, err) < 0)
		return -1;
	w->stream = stream;
	w->searchable = reached;
	return 0;
}

/* What is in the index becomes searchable. */
static int make_searchable(struct cmd_wait *w, uint64_t lsn, int64_t end_ms, struct err *err)
{
	const struct timespec until = {.tv_sec = end_ms / 1000, .tv_nsec = end_ms % 1000 * 1000000};
	int r;

	if (pthread_mutex_clocklock(&w->lock, CLOCK_MONOTONIC, &until) != 0)
		return err_set(err, ERR_TRANSIENT, "the search engine refreshes the index slowly");
	r = refresh_past(w, lsn, end_ms, err);
	(void)pthread_mutex_unlock(&w->lock);
	return r;
}

/* --- the answer */

static void answer(struct web_response *response, unsigned status, uint64_t reached, const char *error)
{
	char lsn[LSN_BYTES];
	_cleanup_json_ json_t *body = json_pack("{s:o*, s:s*}", "error", error ? jsonx_text(error) : NULL, "reached",
						reached ? lsn_format(reached, lsn) : NULL);
	char *text = json_dumps(body, JSON_COMPACT);

	response->status = status;
	response->content_type = "application/json";
	strbuf_adds(&response->body, text ? text : "{}");
	strbuf_addc(&response->body, '\n');
	free(text);
}

void cmd_wait_serve(void *user, const struct web_request *request, struct web_response *response)
{
	struct cmd_wait *w = user;
	int64_t timeout_ms, end_ms;
	uint64_t lsn, reached;
	struct err err = {0};

	if (read_wait(request, &lsn, &timeout_ms, &err) < 0) {
		answer(response, 400, 0, err.msg);
		return;
	}
	end_ms = clock_now_ms() + timeout_ms;
	switch (waits_wait(w->waits, lsn, timeout_ms, &reached)) {
	case WAITS_REACHED:
		if (make_searchable(w, lsn, end_ms, &err) < 0)
			answer(response, 503, reached, err.msg);
		else
			answer(response, 200, reached, NULL);
		break;
	case WAITS_TIMEOUT:
		answer(response, 504, reached,
		       reached ? "the index does not contain this position yet"
			       : "the index is being built, or a server is away: see /status");
		break;
	case WAITS_CLOSED:
		answer(response, 503, reached, "the worker is stopping");
		break;
	}
}
