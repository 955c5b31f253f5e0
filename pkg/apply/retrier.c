/* Dead letters whose cause may be gone. */
#include "apply/retrier.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "apply/retries.h"
#include "base/clock.h"
#include "base/log.h"
#include "sink/index_fingerprint.h"

enum { KEY_BYTES = 64 * 1024 };

struct retrier_index {
	char *fingerprint; /* the index's fingerprint when the last pass began; NULL: there was no pass */
	bool confirmed;    /* a second pass covered what was being written when the first one began */
	unsigned passes;
	int64_t not_before_ms; /* for the next one */
	bool asked;            /* a pass is asked for, and has not begun */
};

void retrier_init(struct retrier *r, const struct retrier_options *options)
{
	*r = (struct retrier){.in = *options,
			      .indices = xcalloc(options->model->n_plans, sizeof(*r->indices)),
			      .nonce_open = options->nonce != NULL};
}

void retrier_release(struct retrier *r)
{
	for (size_t i = 0; r->indices && i < r->in.model->n_plans; i++)
		free(r->indices[i].fingerprint);
	free(r->indices);
	dead_letter_pages_end(&r->pages);
	requests_release(&r->requests);
	*r = (struct retrier){0};
}

static const struct document_plan *retried_plan(const struct retrier *r)
{
	return r->in.model->plans[r->plan];
}

/* --- a page --- */

/* NULL: an earlier release wrote the dead letter, and the id does not contain the key. Caller frees. */
static char *retried_key(const struct document_plan *plan, const struct dead_letter *letter, size_t *ret_len)
{
	struct strbuf sb;

	strbuf_init(&sb, KEY_BYTES);
	if (!document_split_id(&sb, plan->id_format, letter->id, plan->n_keys) || !strbuf_ok(&sb)) {
		strbuf_release(&sb);
		return NULL;
	}
	*ret_len = sb.len;
	return strbuf_detach(&sb);
}

static void add_retry(struct retrier *r, const struct dead_letter *letter, struct dead_letters_retries *page)
{
	size_t len = 0;
	char *key = letter->key ? xmemdup(letter->key, letter->key_len) : retried_key(retried_plan(r), letter, &len);

	if (!key)
		return;
	page->items[page->n++] = (struct dead_letters_retry){.id = xstrdup(letter->id),
							     .key = key,
							     .key_len = letter->key ? letter->key_len : len,
							     .attempts = letter->attempts};
}

static bool is_asked(const struct retrier *r, const char *id)
{
	return r->asked && (r->nonce_open || requests_have(&r->requests, retried_plan(r)->document->index, id));
}

/* Offers those of the page that are to be tried. 1: there were some. */
static int offer(struct retrier *r)
{
	const struct retrier_index *index = &r->indices[r->plan];
	struct dead_letters_retries page = {.concrete = r->in.model->concrete[r->plan],
					    .items = xcalloc(r->pages.n, sizeof(*page.items))};

	for (size_t i = 0; i < r->pages.n; i++) {
		const struct dead_letter *letter = &r->pages.items[i];

		if (is_asked(r, letter->id) || dead_letter_may_pass(letter, index->fingerprint))
			add_retry(r, letter, &page);
	}
	if (!page.n) {
		dead_letters_retries_release(&page);
		return 0;
	}
	log_info("sync", "trying documents of dead letters again",
		 KV_STR("why", r->asked ? "asked for" : "index changed"),
		 KV_STR("index", retried_plan(r)->document->index), KV_U64("documents", page.n));
	retries_offer_take(r->in.model->retries, r->plan, &page);
	return 1;
}

/* --- passes --- */

static void end_pass(struct retrier *r)
{
	dead_letter_pages_end(&r->pages);
	r->passing = false;
	r->plan = (r->plan + 1) % r->in.model->n_plans;
}

/* Another pass begins from the start. */
static int fail_pass(struct retrier *r)
{
	struct retrier_index *index = &r->indices[r->plan];

	free(TAKE_PTR(index->fingerprint));
	index->confirmed = false;
	index->asked = r->asked;
	end_pass(r);
	return -1;
}

/* The next page with something to try, if there is one. */
static int go_on(struct retrier *r, struct err *err)
{
	while (r->pages.n) {
		int offered = offer(r);

		if (dead_letter_pages_next(&r->pages, err) < 0)
			return fail_pass(r);
		if (offered)
			return 1;
	}
	end_pass(r);
	return 0;
}

static int begin_pass(struct retrier *r, const char *fingerprint, struct err *err)
{
	struct retrier_index *index = &r->indices[r->plan];
	int64_t now = clock_now_ms();

	/* There was no reason for a pass for longer than the longest pause. */
	if (now >= index->not_before_ms + dead_letters_pause_ms(UINT_MAX))
		index->passes = 0;
	index->confirmed = index->fingerprint && !strcmp(index->fingerprint, fingerprint);
	index->passes += !index->asked && !index->confirmed;
	index->not_before_ms = now + dead_letters_pause_ms(index->passes);
	index->asked = false;
	free(index->fingerprint);
	index->fingerprint = xstrdup(fingerprint);
	r->passing = true;
	if (dead_letter_pages_begin(&r->pages, r->in.sink->search, retried_plan(r)->document->index, err) < 0)
		return fail_pass(r);
	return go_on(r, err);
}

/* --- checks --- */

static bool has_dead_letters(const struct retrier *r, size_t plan)
{
	return report_dead_letters(r->in.report, r->in.model->plans[plan]->document->index) > 0;
}

static bool must_pass(const struct retrier_index *index, const char *fingerprint)
{
	if (index->asked)
		return true;
	return (!index->confirmed || strcmp(index->fingerprint, fingerprint) != 0) &&
	       clock_now_ms() >= index->not_before_ms;
}

/* Looks at an index whose turn it is, and once even if it has no dead letters: so that the first ones are not mistaken
 * for ones from before a change. */
static int look(struct retrier *r, bool live, struct err *err)
{
	const struct schema_document *document = retried_plan(r)->document;
	struct retrier_index *index = &r->indices[r->plan];
	_cleanup_free_ char *known = report_index_fingerprint(r->in.report, document->index);
	char fingerprint[JSONX_HASH_BYTES];
	bool any = has_dead_letters(r, r->plan);

	index->asked = index->asked && any;
	if (*known && !any)
		return 0;
	if (index_fingerprint_read(r->in.sink, r->in.model->concrete[r->plan], document->pipeline, fingerprint, err) <
	    0)
		return err_wrap(err, "reading the mapping, settings and pipelines of index \"%s\"", document->index);
	report_index_fingerprint_set(r->in.report, document->index, fingerprint);
	return live && any && must_pass(index, fingerprint) ? begin_pass(r, fingerprint, err) : 0;
}

/* --- requests --- */

static void take_requests(struct retrier *r)
{
	if (r->nonce_open && !strcmp(requests_handled(&r->requests), r->in.nonce)) {
		r->nonce_open = false;
		report_retried(r->in.report, r->in.nonce);
	}
	r->asked = r->nonce_open;
	for (size_t i = 0; i < r->in.model->n_plans; i++) {
		struct retrier_index *index = &r->indices[i];

		index->asked = r->nonce_open || requests_name(&r->requests, r->in.model->plans[i]->document->index);
		r->asked = r->asked || index->asked;
	}
}

static bool some_wait(const struct retrier *r)
{
	for (size_t i = 0; i < r->in.model->n_plans; i++)
		if (r->indices[i].asked)
			return true;
	return r->passing;
}

static int settle_requests(struct retrier *r, struct err *err)
{
	const char *nonce = r->nonce_open ? r->in.nonce : NULL;

	if (requests_settle(r->in.sink->search, r->in.key, &r->requests, nonce, err) < 0)
		return -1;
	if (nonce)
		report_retried(r->in.report, nonce);
	r->asked = r->nonce_open = false;
	return 0;
}

static bool any_dead_letters(struct retrier *r)
{
	_cleanup_free_ char *ignored = NULL;

	return report_any_dead_letters(r->in.report, &ignored) > 0;
}

/* Accepts requests, and records that they were carried out. */
static int handle_requests(struct retrier *r, struct err *err)
{
	if (r->asked)
		return some_wait(r) ? 0 : settle_requests(r, err);
	if (!r->nonce_open && !any_dead_letters(r))
		return 0;
	requests_release(&r->requests);
	if (requests_load(r->in.sink->search, r->in.key, &r->requests, err) < 0)
		return -1;
	take_requests(r);
	return 0;
}

/* --- rounds --- */

int retrier_round(struct retrier *r, bool live, int64_t *ret_pause, struct err *err)
{
	int offered = 0;

	*ret_pause = RETRIER_ROUND_MS;
	if (!retries_idle(r->in.model->retries)) {
		*ret_pause = RETRIER_PAGE_MS;
		return 0;
	}
	if (r->passing)
		offered = go_on(r, err);
	if (offered == 0 && handle_requests(r, err) < 0)
		return -1;
	for (size_t i = 0; offered == 0 && i < r->in.model->n_plans; i++) {
		offered = look(r, live, err);
		if (offered == 0)
			r->plan = (r->plan + 1) % r->in.model->n_plans;
	}
	if (offered > 0 || r->asked)
		*ret_pause = RETRIER_PAGE_MS;
	return offered;
}

bool retrier_is_settled(const struct retrier *r)
{
	bool settled = !r->passing && retries_idle(r->in.model->retries);

	for (size_t i = 0; i < r->in.model->n_plans; i++)
		settled = settled && (r->indices[i].fingerprint || !has_dead_letters(r, i));
	return settled;
}
