/* The bulk writer: fills bodies, sends them, and handles their answers.
 *
 * There are concurrency + 1 bodies. One fills (`current`); the others are ready to be sent, under way, or answered.
 * Answers are decoded by the HTTP callback and judged in `advance`, outside of it, so that on_rejected may make
 * separate requests. Actions that have to be sent again stay in their body: finished ones are cut out of it, and it
 * becomes ready again. Back-off applies to the writer, not to a body: an engine that pushes one request back is not
 * helped by the next one. */
#include <assert.h>

#include "base/clock.h"
#include "base/failpoint.h"
#include "base/parse.h"
#include "search/bulk_body_int.h"
#include "search/bulk_int.h"
#include "search/bulk_pace_int.h"
#include "search/search_int.h"
#include "json/json.h"

enum {
	DEFAULT_MAX_BYTES = 2 * 1024 * 1024,
	DEFAULT_MAX_DOCUMENT = 90 * 1024 * 1024,
	DEFAULT_MAX_ACTIONS = 10000,
	DEFAULT_CONCURRENCY = 2,
	DEFAULT_RETRY_MS = 5 * 60 * 1000,
	LINE_BYTES = 64 * 1024, /* of an action without its document: id, routing and index with every byte escaped */
	MAX_RESPONSE_BYTES = 64 * 1024 * 1024,
	REQUEST_TIMEOUT_MS = 60 * 1000,
	PUMP_BYTES = 64 * 1024, /* bytes added before the transfers are checked again */
	WAIT_MS = 1000,
	LOOK_MS = 50,      /* how often the caller is asked */
	WORDS_BYTES = 700, /* of an engine's error that a message quotes */
};

enum slot_state {
	SLOT_FREE = 0,
	SLOT_FILLING,
	SLOT_READY,
	SLOT_SENT,
	SLOT_ANSWERED,
	SLOT_JUDGED, /* its answer is being read */
};

struct slot {
	struct bulk *bulk;
	enum slot_state state;
	struct bulk_body body;
	uint16_t index;    /* the index in the path; lines name other indices */
	uint64_t sequence; /* order of submission */
	int64_t begun_ms;  /* when it was sent first; 0: not yet */
	int64_t started_ms;
	bool waits;    /* until when the engine may accept what it refused */
	size_t n_sent; /* actions of the request: the first ones */
	struct http_call *call;
	/* The answer: a status below 300 and its items, or err. */
	long status; /* 0: none arrived */
	struct bulk_answer answer;
	struct err err;
	bool too_large; /* of a refusal: the request is larger than the engine will ever accept */
	bool settled;   /* of err: nothing of the request will be carried out later */
};

struct index {
	char *name, *via, *path; /* via: the alias that requests name, or the name itself */
};

struct bulk {
	struct search *search;
	struct bulk_options options;
	struct bulk_stats stats;
	struct bulk_pace pace;
	struct slot *slots;
	unsigned n_slots, in_flight;
	struct slot *current;
	uint64_t sequence;
	size_t unpumped;
	struct index *indices;
	size_t n_indices, alloc_indices;
	bool pressed;                    /* as last reported to the caller */
	struct err why;                  /* the latest push-back */
	int64_t deadline_ms;             /* of waits; 0: none */
	bool (*interrupted)(void *user); /* or NULL */
	void *interrupted_user;
	bool failed; /* for good: err */
	struct err err;
};

static void tell_pressure(struct bulk *bulk, bool pressed, const char *why)
{
	if (pressed == bulk->pressed)
		return;
	bulk->pressed = pressed;
	if (bulk->options.on_pressure)
		bulk->options.on_pressure(bulk->options.user, pressed, why);
}

/* --- Creation --------------------------------------------------------------------------------------------------------
 */
struct bulk *bulk_new(struct search *search, const struct bulk_options *options)
{
	struct bulk *bulk = xcalloc(1, sizeof(*bulk));
	struct bulk_options *o = &bulk->options;

	bulk->search = search;
	*o = *options;
	o->max_bytes = o->max_bytes ? o->max_bytes : DEFAULT_MAX_BYTES;
	o->max_document = o->max_document ? o->max_document : DEFAULT_MAX_DOCUMENT;
	o->max_actions = o->max_actions ? o->max_actions : DEFAULT_MAX_ACTIONS;
	o->concurrency = o->concurrency ? o->concurrency : DEFAULT_CONCURRENCY;
	o->retry_ms = o->retry_ms ? o->retry_ms : DEFAULT_RETRY_MS;
	bulk_pace_init(&bulk->pace, o->concurrency, o->max_bytes, random_seed());
	bulk->n_slots = o->concurrency + 1;
	bulk->slots = xcalloc(bulk->n_slots, sizeof(*bulk->slots));
	for (unsigned i = 0; i < bulk->n_slots; i++) {
		bulk->slots[i].bulk = bulk;
		bulk_body_init(&bulk->slots[i].body, o->max_bytes + o->max_document + 2 * LINE_BYTES);
	}
	return bulk;
}

void bulk_free(struct bulk *bulk)
{
	if (!bulk)
		return;
	tell_pressure(bulk, false, "");
	for (unsigned i = 0; i < bulk->n_slots; i++) {
		http_cancel(bulk->slots[i].call);
		bulk_answer_release(&bulk->slots[i].answer);
		bulk_body_release(&bulk->slots[i].body);
	}
	for (size_t i = 0; i < bulk->n_indices; i++) {
		free(bulk->indices[i].name);
		free(bulk->indices[i].via);
		free(bulk->indices[i].path);
	}
	free(bulk->indices);
	free(bulk->slots);
	free(bulk);
}

const struct bulk_stats *bulk_stats(const struct bulk *bulk)
{
	return &bulk->stats;
}

/* The number of the action's index; a schema has a few of them. */
static int find_bulk_index(struct bulk *bulk, const struct bulk_action *action, uint16_t *ret, struct err *err)
{
	const char *via = action->via ? action->via : action->index;
	char *path = NULL;

	for (size_t i = 0; i < bulk->n_indices; i++) {
		if (!strcmp(bulk->indices[i].name, action->index) && !strcmp(bulk->indices[i].via, via)) {
			*ret = (uint16_t)i;
			return 0;
		}
	}
	if (bulk->n_indices > UINT16_MAX)
		return err_set(err, ERR_LIMIT, "more than %u indices in one bulk writer", UINT16_MAX);
	if (search_path(via, "/_bulk", NULL, "?" BULK_FILTER, &path, err) < 0)
		return -1;
	ALLOC_GROW(bulk->indices, bulk->n_indices + 1, bulk->alloc_indices);
	bulk->indices[bulk->n_indices] =
		(struct index){.name = xstrdup(action->index), .via = xstrdup(via), .path = path};
	*ret = (uint16_t)bulk->n_indices++;
	return 0;
}

/* --- Failure and push-back -------------------------------------------------------------------------------------------
 */
/* Ends the writer: every later call returns this error. */
static int give_up(struct bulk *bulk, struct err *err)
{
	if (!bulk->failed) {
		bulk->failed = true;
		bulk->err = *err;
	}
	*err = bulk->err;
	return -1;
}

/* Bodies hold what is not done yet, in the order of adding. */
static void note_done(struct bulk *bulk)
{
	uint64_t below = bulk->stats.added;

	for (unsigned i = 0; i < bulk->n_slots; i++) {
		const struct bulk_body *body = &bulk->slots[i].body;

		if (body->n && body->entries[0].ordinal < below)
			below = body->entries[0].ordinal;
	}
	bulk->stats.done_below = below;
}

static int reject(struct bulk *bulk, const struct bulk_rejection *rejection, struct err *err)
{
	bulk->stats.rejected++;
	if (!bulk->options.on_rejected) {
		(void)err_reason(err, ERR_INVALID, REASON_DOCUMENT_REJECTED, "index %s rejects document '%.100s': %s",
				 rejection->index, rejection->id, rejection->words);
		return give_up(bulk, err);
	}
	if (bulk->options.on_rejected(bulk->options.user, rejection, err) < 0)
		return give_up(bulk, err);
	return 0;
}

/* Too late to send these bytes again: the caller builds the documents again, once it has no transaction open. */
static int end_retries(const struct slot *slot, int64_t waited_ms, const struct err *why, struct err *err)
{
	const char *name = http_target_name(slot->bulk->search->target);

	if (waited_ms < slot->bulk->options.retry_ms)
		(void)err_reason(err, ERR_TRANSIENT, REASON_SINK_UNAVAILABLE, "%s asks for a pause of %lld s: %s", name,
				 (long long)(why->retry_after_ms / 1000), why->msg);
	else
		(void)err_reason(err, ERR_TRANSIENT, REASON_SINK_UNAVAILABLE, "%s has accepted nothing for %lld s: %s",
				 name, (long long)(waited_ms / 1000), why->msg);
	err->retry_after_ms = why->retry_after_ms;
	return give_up(slot->bulk, err);
}

/* The slot's actions are sent again after a pause, unless that would be too late. */
static int send_again(struct slot *slot, const struct err *why, bool unreachable, struct err *err)
{
	struct bulk *bulk = slot->bulk;
	int64_t now_ms = clock_now_ms();
	int64_t end_ms = slot->begun_ms + bulk->options.retry_ms;

	if (now_ms >= end_ms || now_ms + why->retry_after_ms > end_ms)
		return end_retries(slot, now_ms - slot->begun_ms, why, err);
	bulk_pace_pushed_back(&bulk->pace, now_ms, why->retry_after_ms, unreachable);
	if (bulk->pace.pause_until_ms > end_ms)
		bulk->pace.pause_until_ms = end_ms;
	slot->waits = true;
	bulk->why = *why;
	tell_pressure(bulk, true, why->msg);
	slot->state = SLOT_READY;
	/* Queues it behind the others: an unavailable shard must not hold up writes to the rest. Versions make the
	 * order irrelevant. */
	slot->sequence = ++bulk->sequence;
	return 0;
}

/* No further request could find out what the lost one will still do: the caller has to deal with that. */
static int lose(const struct slot *slot, struct err *err)
{
	(void)err_reason(err, ERR_TRANSIENT, REASON_SINK_UNAVAILABLE,
			 "the outcome of a bulk request is unknown, so its documents are read again: "
			 "%s",
			 slot->err.msg);
	err->retry_after_ms = slot->err.retry_after_ms;
	return give_up(slot->bulk, err);
}

static bool any_waits(const struct bulk *bulk)
{
	for (unsigned i = 0; i < bulk->n_slots; i++)
		if (bulk->slots[i].waits)
			return true;
	return false;
}

static void accepted(struct slot *slot)
{
	struct bulk *bulk = slot->bulk;

	slot->waits = false;
	bulk_pace_accepted(&bulk->pace, slot->started_ms);
	if (!bulk->pace.pressed && !any_waits(bulk))
		tell_pressure(bulk, false, "");
	slot->begun_ms = 0;
	if (slot->body.n) {
		slot->state = SLOT_READY;
		return;
	}
	bulk_body_reset(&slot->body, 2 * bulk->options.max_bytes);
	slot->state = SLOT_FREE;
}

/* --- Answers ---------------------------------------------------------------------------------------------------------
 */
static struct bulk_rejection rejection_of(const struct slot *slot, size_t i, const struct bulk_item *item,
					  const char *words)
{
	const struct bulk_entry *entry = &slot->body.entries[i];

	return (struct bulk_rejection){
		.index = slot->bulk->indices[entry->index].name,
		.id = bulk_body_id(&slot->body, i),
		.version = entry->version,
		.is_delete = entry->is_delete,
		.status = item->status,
		.type = item->type && *item->type ? item->type : "unknown",
		.reason = item->reason && *item->reason ? item->reason : "the engine gave no reason",
		.words = words,
		.note = bulk_body_note(&slot->body, i),
	};
}

static int reject_item(struct slot *slot, size_t i, const struct bulk_item *item, struct err *err)
{
	struct bulk_rejection rejection;
	struct strbuf words;
	int r;

	strbuf_init(&words, WORDS_BYTES);
	bulk_item_words(item, &words);
	rejection = rejection_of(slot, i, item, words.data);
	r = reject(slot->bulk, &rejection, err);
	strbuf_release(&words);
	return r;
}

/* An item whose error is about the engine rather than about its document. */
static void item_err(const struct slot *slot, size_t i, const struct bulk_item *item,
		     const struct bulk_judgement *judgement, struct err *err)
{
	static const struct {
		enum err_kind kind;
		enum reason reason;
		const char *what;
	} kinds[] = {
		[BULK_RETRY] = {ERR_TRANSIENT, REASON_SINK_UNAVAILABLE, "refuses a write"},
		[BULK_NO_INDEX] = {ERR_NOT_FOUND, REASON_INDEX_MISSING,
				   "does not exist, or another worker writes to it now"},
		[BULK_NO_PIPELINE] = {ERR_TRANSIENT, REASON_PIPELINE_MISSING, "refuses a write"},
		[BULK_FORBIDDEN] = {ERR_DENIED, REASON_AUTH_FAILED, "cannot be written"},
	};
	__auto_type kind = &kinds[judgement->verdict];
	struct strbuf words;

	strbuf_init(&words, WORDS_BYTES);
	bulk_item_words(item, &words);
	(void)err_reason(err, kind->kind, kind->reason, "index %s %s (status %d): %s%s%s",
			 slot->bulk->indices[slot->body.entries[i].index].name, kind->what, item->status, words.data,
			 judgement->remedy ? "; " : "", judgement->remedy ? judgement->remedy : "");
	err->code = item->status;
	strbuf_release(&words);
}

static void count_done(struct bulk_stats *stats, const struct bulk_entry *entry)
{
	if (entry->is_delete)
		stats->deleted++;
	else
		stats->indexed++;
}

/* A document that a pipeline drops has to be deleted from the index, too. */
static void count_dropped(struct slot *slot, size_t i)
{
	struct bulk *bulk = slot->bulk;

	bulk->stats.dropped++;
	if (bulk->options.on_dropped)
		bulk->options.on_dropped(bulk->options.user, bulk->indices[slot->body.entries[i].index].name);
	bulk_body_make_delete(&slot->body, i);
	slot->body.entries[i].again = true;
}

/* why: the first problem in the answer. */
static int judge_item(struct slot *slot, size_t i, struct err *why, struct err *err)
{
	struct bulk *bulk = slot->bulk;
	struct bulk_entry *entry = &slot->body.entries[i];
	struct bulk_item item = bulk_answer_item(&slot->answer, i);
	struct bulk_judgement judgement;

	bulk_item_compare(&item, bulk->indices[entry->index].name, bulk_body_id(&slot->body, i), entry->version);
	judgement = bulk_judge(entry->is_delete, &item);
	entry->again = false;
	switch (judgement.verdict) {
	case BULK_DONE:
		count_done(&bulk->stats, entry);
		return 0;
	case BULK_STALE:
		bulk->stats.conflicts++;
		return 0;
	case BULK_DROPPED:
		count_dropped(slot, i);
		return 0;
	case BULK_REJECT:
		return reject_item(slot, i, &item, err);
	case BULK_RETRY:
		bulk->stats.retries++;
		entry->again = true;
		if (why->kind == ERR_NONE)
			item_err(slot, i, &item, &judgement, why);
		return 0;
	default:
		item_err(slot, i, &item, &judgement, err);
		return give_up(bulk, err);
	}
}

static int judge_items(struct slot *slot, struct err *err)
{
	struct bulk *bulk = slot->bulk;
	struct err why = {0};

	bulk->stats.last_took_ms = slot->answer.took_ms;
	for (size_t i = 0; i < slot->n_sent; i++) {
		if (judge_item(slot, i, &why, err) < 0)
			return -1;
	}
	bulk_answer_release(&slot->answer);
	(void)bulk_body_cut(&slot->body, slot->n_sent);
	note_done(bulk);
	if (why.kind != ERR_NONE)
		return send_again(slot, &why, false, err);
	accepted(slot);
	return 0;
}

static int judge_too_large(struct slot *slot, struct err *err)
{
	struct bulk_item item = {
		.status = (int)slot->status,
		.type = "content_too_large",
		.reason = "the document alone is larger than the engine accepts in a request (http.max_content_length, "
			  "a limit of a proxy, or indexing_pressure.memory.limit)"};

	if (slot->n_sent > 1) {
		bulk_pace_too_large(&slot->bulk->pace, bulk_body_bytes(&slot->body, slot->n_sent));
		slot->state = SLOT_READY;
		return 0;
	}
	if (reject_item(slot, 0, &item, err) < 0)
		return -1;
	(void)bulk_body_cut(&slot->body, 1);
	note_done(slot->bulk);
	accepted(slot);
	return 0;
}

/* The number after a name in the engine's message. */
static bool find_figure(const char *words, const char *name, uint64_t *ret)
{
	const char *found = strstr(words, name);
	const char *digits = found ? found + strlen(name) : "";

	return parse_u64(digits, strspn(digits, "0123456789"), ret);
}

/* 429 means that there is no room now. A request that is larger than the total room gets the same status
 * (IndexingPressure of both engines), but the message contains figures that show this. */
static bool is_beyond_all_room(const char *words)
{
	uint64_t bytes, room;

	return words && find_figure(words, "coordinating_operation_bytes=", &bytes) &&
	       find_figure(words, "max_coordinating_and_primary_bytes=", &room) && bytes > room;
}

static int judge_slot(struct slot *slot, struct err *err)
{
	struct bulk *bulk = slot->bulk;

	slot->state = SLOT_JUDGED;
	if (slot->err.kind == ERR_NONE)
		return judge_items(slot, err);
	if (slot->too_large)
		return judge_too_large(slot, err);
	if (slot->err.kind == ERR_TRANSIENT && !slot->settled)
		return lose(slot, err);
	if (slot->err.kind == ERR_TRANSIENT) {
		bulk->stats.retries += slot->n_sent;
		return send_again(slot, &slot->err, slot->status == 0, err);
	}
	*err = slot->err;
	if (err->kind == ERR_NOT_FOUND)
		err->reason = REASON_INDEX_MISSING;
	return give_up(bulk, err);
}

/* Whether an answer without items guarantees that nothing will be done. The engine's own refusal does; a 5xx of a
 * proxy, which may have passed the request on, does not. */
static bool is_backpressure(long status, const json_t *root)
{
	if (status == 503)
		return search_error_type(root) != NULL;
	return status >= 300 && status < 500 && status != 408;
}

/* --- Requests --------------------------------------------------------------------------------------------------------
 */
/* Items are known by their position alone, so the least that must fit is each one's action. */
static int take_items_of(struct slot *slot, const struct http_response *response, struct err *err)
{
	if (bulk_decode(response->body.data, response->body.len, slot->n_sent, &slot->answer, err) < 0)
		return -1;
	for (size_t i = 0; i < slot->n_sent; i++)
		if (bulk_answer_item(&slot->answer, i).is_delete != slot->body.entries[i].is_delete) {
			bulk_answer_release(&slot->answer);
			return err_set(err, ERR_INVALID, "item %zu of the answer is about another action", i);
		}
	return 0;
}

static void on_answer(void *user, const struct http_response *response, const struct err *err)
{
	struct slot *slot = user;
	struct bulk *bulk = slot->bulk;
	const char *path = bulk->indices[slot->index].path;
	_cleanup_json_ json_t *root = NULL;
	struct err reason;

	slot->call = NULL;
	slot->state = SLOT_ANSWERED;
	bulk->in_flight--;
	slot->err = (struct err){0};
	slot->status = 0;
	slot->too_large = slot->settled = false;
	if (err) {
		slot->err = *err;
		slot->settled = err->reason == REASON_DNS || err->reason == REASON_REFUSED;
		return;
	}
	assert(response);
	if (FAILPOINT(BULK_ANSWERED, &slot->err) < 0)
		return;
	slot->status = response->status;
	if (response->status >= 300) {
		if (jsonx_parse(response->body.data, response->body.len, "the answer", &root, &reason) < 0)
			root = NULL;
		slot->too_large = response->status == 413 ||
				  (response->status == 429 && is_beyond_all_room(search_error_reason(root)));
		slot->settled = is_backpressure(response->status, root);
		(void)search_answer_err(bulk->search, "POST", path, response, root, &slot->err);
	} else if (take_items_of(slot, response, &reason) < 0) {
		/* Not from the engine: a proxy answered, or cut the answer off. */
		(void)err_reason(&slot->err, ERR_TRANSIENT, REASON_SINK_UNAVAILABLE, "POST %s: %s", path, reason.msg);
	}
}

static void send_slot(struct slot *slot)
{
	struct bulk *bulk = slot->bulk;
	struct err err;
	struct http_request request = {
		.method = "POST",
		.path = bulk->indices[slot->index].path,
		.content_type = "application/x-ndjson",
		.body = slot->body.data.data,
		.timeout_ms = REQUEST_TIMEOUT_MS,
		.max_response = MAX_RESPONSE_BYTES,
		.once = true,
	};

	slot->n_sent = bulk_body_prefix(&slot->body, bulk->pace.target_bytes);
	request.body_len = bulk_body_bytes(&slot->body, slot->n_sent);
	slot->state = SLOT_SENT;
	slot->started_ms = clock_now_ms();
	if (!slot->begun_ms)
		slot->begun_ms = slot->started_ms;
	bulk->in_flight++;
	bulk->stats.requests++;
	bulk->stats.bytes += request.body_len;
	slot->call = http_start(bulk->search->http, bulk->search->target, &request, on_answer, slot);
	if (FAILPOINT(BULK_SENT, &err) < 0) {
		http_cancel(slot->call);
		on_answer(slot, NULL, &err);
	}
}

/* The one that was submitted first. */
static struct slot *oldest_slot(const struct bulk *bulk, enum slot_state state)
{
	struct slot *first = NULL;

	for (unsigned i = 0; i < bulk->n_slots; i++) {
		struct slot *slot = &bulk->slots[i];

		if (slot->state == state && (!first || slot->sequence < first->sequence))
			first = slot;
	}
	return first;
}

static bool start_ready(struct bulk *bulk)
{
	bool started = false;
	struct slot *slot;

	while (bulk->in_flight < bulk->pace.window && (slot = oldest_slot(bulk, SLOT_READY)) &&
	       clock_now_ms() >= bulk->pace.pause_until_ms) {
		send_slot(slot);
		started = true;
	}
	return started;
}

static int judge_all(struct bulk *bulk, struct err *err)
{
	struct slot *slot;

	while ((slot = oldest_slot(bulk, SLOT_ANSWERED))) {
		if (judge_slot(slot, err) < 0)
			return -1;
	}
	return 0;
}

/* Sends what may be sent, waits up to timeout_ms for an answer, and reads the answers. */
static int exchange(struct bulk *bulk, int timeout_ms, struct err *err)
{
	bulk->unpumped = 0;
	if (oldest_slot(bulk, SLOT_ANSWERED))
		timeout_ms = 0;
	(void)start_ready(bulk);
	do {
		if (http_poll(bulk->search->http, NULL, 0, timeout_ms, err) < 0)
			return give_up(bulk, err);
		if (judge_all(bulk, err) < 0)
			return -1;
		timeout_ms = 0;
	} while (start_ready(bulk));
	return 0;
}

static int wait_for_progress(struct bulk *bulk, struct err *err)
{
	int64_t now_ms = clock_now_ms();
	int64_t pause_ms = bulk->pace.pause_until_ms - now_ms, left_ms = bulk->deadline_ms - now_ms;
	int timeout_ms = bulk->interrupted ? LOOK_MS : WAIT_MS;

	if ((bulk->deadline_ms && left_ms <= 0) || (bulk->interrupted && bulk->interrupted(bulk->interrupted_user)))
		return err_reason(err, ERR_CONFLICT, REASON_LIMIT_EXCEEDED, "%s did not take the documents in time",
				  http_target_name(bulk->search->target));
	if (bulk->search->cancelled && bulk->search->cancelled(bulk->search->user))
		return err_set(err, ERR_CANCELLED, "stopped while writing to %s",
			       http_target_name(bulk->search->target));
	if (pause_ms > 0 && pause_ms < timeout_ms)
		timeout_ms = (int)pause_ms;
	if (bulk->deadline_ms && left_ms < timeout_ms)
		timeout_ms = (int)left_ms;
	return exchange(bulk, timeout_ms, err);
}

static bool is_busy(const struct bulk *bulk)
{
	return oldest_slot(bulk, SLOT_READY) || oldest_slot(bulk, SLOT_SENT) || oldest_slot(bulk, SLOT_ANSWERED);
}

/* --- Adding ----------------------------------------------------------------------------------------------------------
 */
int64_t bulk_set_deadline(struct bulk *bulk, int64_t deadline_ms)
{
	int64_t was_ms = bulk->deadline_ms;

	bulk->deadline_ms = deadline_ms;
	return was_ms;
}

void bulk_set_interrupt(struct bulk *bulk, bool (*interrupted)(void *user), void *user)
{
	bulk->interrupted = interrupted;
	bulk->interrupted_user = user;
}

static void submit_bulk(struct bulk *bulk)
{
	bulk->current->state = SLOT_READY;
	bulk->current->sequence = ++bulk->sequence;
	bulk->current = NULL;
	(void)start_ready(bulk);
}

/* True if waiting for a slot since then has taken too long, or will, because of push-back; a slow engine does not
 * count. */
static bool holds_too_long(const struct bulk *bulk, int64_t since_ms)
{
	int64_t now_ms = clock_now_ms();
	int64_t until_ms = bulk->pace.pause_until_ms > now_ms ? bulk->pace.pause_until_ms : now_ms;

	return bulk->options.hold_ms && any_waits(bulk) && until_ms - since_ms > bulk->options.hold_ms;
}

/* Makes `current` a slot that actions can be added to; waits for one. */
static int have_current(struct bulk *bulk, struct err *err)
{
	int64_t since_ms = clock_now_ms();

	while (!bulk->current) {
		struct slot *slot = oldest_slot(bulk, SLOT_FREE);

		if (slot) {
			slot->state = SLOT_FILLING;
			bulk->current = slot;
			break;
		}
		assert(is_busy(bulk)); /* not so when on_rejected uses the writer */
		if (holds_too_long(bulk, since_ms)) {
			*err = bulk->why;
			return give_up(bulk, err);
		}
		if (wait_for_progress(bulk, err) < 0)
			return -1;
	}
	return 0;
}

static void count_added(struct bulk *bulk, const struct bulk_action *action)
{
	bulk->stats.added++;
	bulk->stats.added_bytes += action->document_len;
	note_done(bulk);
}

/* Rejects actions that the engine would refuse anyway, or accept only by accident. False: rejected, and *r is what to
 * return. */
static bool is_acceptable(struct bulk *bulk, const struct bulk_action *action, int *r, struct err *err)
{
	_cleanup_free_ char *id = NULL;
	struct bulk_rejection rejection = {
		.index = action->index,
		.version = action->version,
		.is_delete = !action->document,
		.status = 400,
		.note = action->note,
	};

	if (action->id_len == 0 || action->id_len > BULK_ID_BYTES || memchr(action->id, '\0', action->id_len)) {
		rejection.type = "invalid_id";
		rejection.reason = "a document's id has 1 to 512 bytes, none of them NUL";
	} else if (action->document_len > bulk->options.max_document ||
		   bulk_encoded_max(action, action->via ? action->via : action->index) >
			   bulk->options.max_document + LINE_BYTES) {
		rejection.status = 413;
		rejection.type = "document_too_large";
		rejection.reason = "the document is larger than the configured limit";
	} else {
		return true;
	}
	rejection.words = rejection.reason;
	id = xstrndup(action->id, action->id_len);
	rejection.id = id;
	*r = reject(bulk, &rejection, err);
	if (*r == 0)
		count_added(bulk, action);
	return false;
}

static bool is_full(const struct bulk *bulk, size_t more)
{
	const struct bulk_body *body = &bulk->current->body;

	return body->n >= bulk->options.max_actions || body->data.len + more > bulk->pace.target_bytes;
}

int bulk_add(struct bulk *bulk, const struct bulk_action *action, struct err *err)
{
	/* Nearly the size of its lines. */
	size_t need = action->document_len + action->id_len + 80;
	uint16_t index = 0;
	bool other;
	int r;

	assert(action->version > 0);
	if (bulk->failed)
		return give_up(bulk, err);
	if (!is_acceptable(bulk, action, &r, err))
		return r;
	if (find_bulk_index(bulk, action, &index, err) < 0)
		return -1;
	if (bulk->current && bulk->current->body.n && is_full(bulk, need))
		submit_bulk(bulk);
	if (have_current(bulk, err) < 0)
		return -1;
	if (bulk->current->body.n == 0)
		bulk->current->index = index;
	other = index != bulk->current->index;
	if (!bulk_body_add(&bulk->current->body, action, index, other ? bulk->indices[index].via : NULL,
			   bulk->stats.added))
		return err_set(err, ERR_FATAL, "a bulk body grew beyond its limit");
	count_added(bulk, action);
	bulk->unpumped += need;
	if (is_full(bulk, 0))
		submit_bulk(bulk);
	else if (bulk->unpumped < PUMP_BYTES)
		return 0;
	return exchange(bulk, 0, err);
}

bool bulk_has_room(const struct bulk *bulk)
{
	return oldest_slot(bulk, SLOT_FREE) != NULL;
}

int bulk_make_room(struct bulk *bulk, struct err *err)
{
	if (bulk->failed)
		return give_up(bulk, err);
	while (!bulk_has_room(bulk))
		if (wait_for_progress(bulk, err) < 0)
			return -1;
	return 0;
}

int bulk_send(struct bulk *bulk, struct err *err)
{
	if (bulk->failed)
		return give_up(bulk, err);
	if (bulk->current && bulk->current->body.n && !is_busy(bulk))
		submit_bulk(bulk);
	return exchange(bulk, 0, err);
}

int bulk_flush(struct bulk *bulk, struct err *err)
{
	if (bulk->failed)
		return give_up(bulk, err);
	for (;;) {
		if (bulk->current && bulk->current->body.n)
			submit_bulk(bulk);
		if (!is_busy(bulk))
			return 0;
		if (wait_for_progress(bulk, err) < 0)
			return -1;
	}
}
