/* Reading one's own writes: the position of a commit, and searches that wait until the index contains it. */
#include "base/log.h"
#include "base/strbuf.h"
#include "bookstore.h"
#include "json/json.h"

/* Handlers that wait are threads that do nothing else, so some are left for all other requests. */
enum { WAIT_S = 5, MARGIN_MS = 2000, WAITING = BOOKSTORE_WORKERS / 2, REASON_BYTES = 200, ANSWER_BYTES = 64 * 1024 };

/* --- writes */

void after_write(struct bookstore *store, const struct web_request *request, struct web_response *response)
{
	_cleanup_(pg_result_freep) struct pg_result *r = NULL;
	struct err err = {0};

	if (db_read(store, request->worker, &(struct db_statement){"SELECT pg_current_wal_insert_lsn()", NULL, 0}, &r,
		    &err) < 0)
		log_warn("bookstore", "the position of a commit is not known, answering without it", KV_ERR(&err));
	else
		web_add_header(response, "Commit-Position", pg_value(r, 0, 0));
}

/* --- searches */

static void answer_not_configured(struct web_response *response)
{
	_cleanup_json_ json_t *errors = json_array();

	form_wrong(errors, "after", "cannot be waited for: this bookstore runs without --wait-url");
	answer_wrong(response, errors);
}

static void answer_not_reached(const char *position, const json_t *answer, struct web_response *response)
{
	const char *reached = jsonx_string(answer, "reached", NULL);
	_cleanup_free_ char *message =
		reached ? xasprintf("the index does not contain %s yet, but everything before %.*s; try again",
				    position, REASON_BYTES, reached)
			: xasprintf("the index does not contain %s yet, and how far it is, is not known; try again",
				    position);

	answer_error(response, 504, message);
}

/* What the worker answered; true: the index contains the position. */
static bool judge_wait(const char *position, const struct http_response *found, struct web_response *response)
{
	_cleanup_json_ json_t *answer = NULL;
	_cleanup_free_ char *message = NULL;
	struct err err;

	if (found->status == 200)
		return true;
	if (jsonx_parse(found->body.data, found->body.len, "the worker's answer", &answer, &err) < 0)
		answer = NULL;
	if (found->status == 504) {
		answer_not_reached(position, answer, response);
		return false;
	}
	message = xasprintf("the worker that fills the index answered %ld to /wait, expected 200: %.*s", found->status,
			    REASON_BYTES, jsonx_string(answer, "error", "is --wait-url its address?"));
	if (found->status == 503)
		answer_unavailable(response, message);
	else
		answer_error(response, 502, message);
	return false;
}

static bool ask_worker(struct bookstore *store, unsigned worker, const char *position, struct web_response *response)
{
	_cleanup_free_ char *path = xasprintf("/wait?lsn=%s&timeout=%ds", position, WAIT_S);
	const struct http_request request = {
		.method = "GET", .path = path, .timeout_ms = WAIT_S * 1000 + MARGIN_MS, .max_response = ANSWER_BYTES};
	struct http_response found = {0};
	struct err err = {0};
	struct http *http;
	bool reached;

	if (engine_loop(store, worker, &http, &err) < 0 || http_do(http, store->filler, &request, &found, &err) < 0) {
		log_warn("bookstore", "the worker did not answer, skipping the request", KV_ERR(&err));
		answer_unavailable(response, "the worker that fills the index does not answer; try again");
		return false;
	}
	reached = judge_wait(position, &found, response);
	http_response_release(&found);
	return reached;
}

bool after_wait(struct bookstore *store, const struct web_request *request, const char *position,
		struct web_response *response)
{
	bool reached = false;

	if (!store->filler) {
		answer_not_configured(response);
		return false;
	}
	if (atomic_fetch_add(&store->waiting, 1) < WAITING)
		reached = ask_worker(store, request->worker, position, response);
	else
		answer_unavailable(response, "too many searches wait for the index; try again");
	(void)atomic_fetch_sub(&store->waiting, 1);
	return reached;
}
