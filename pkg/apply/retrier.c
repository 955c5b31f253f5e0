/* Dead letters whose cause may be gone. */
#include "apply/retrier.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "apply/retries.h"
#include "base/clock.h"
#include "base/log.h"
#include "sink/intake.h"

enum { KEY_BYTES = 64 * 1024 };

struct retrier_index {
	char *intake; /* what the index took when the last pass began; NULL: there was none */
	unsigned passes;
	int64_t not_before_ms; /* for the next one */
};

void retrier_init(struct retrier *r, const struct model *model, const struct sink *sink, struct report *report)
{
	*r = (struct retrier){.model = model,
			      .sink = sink,
			      .report = report,
			      .indices = xcalloc(model->n_plans, sizeof(*r->indices))};
}

void retrier_release(struct retrier *r)
{
	for (size_t i = 0; r->indices && i < r->model->n_plans; i++)
		free(r->indices[i].intake);
	free(r->indices);
	letters_end(&r->letters);
	*r = (struct retrier){0};
}

static const struct document_plan *plan_of(const struct retrier *r)
{
	return r->model->plans[r->plan];
}

/* --- a page --- */

/* NULL: an earlier release wrote the letter, and the id does not say the key. Caller frees. */
static char *key_of(const struct document_plan *plan, const struct letter *letter, size_t *ret_len)
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

static void add_retry(struct retrier *r, const struct letter *letter, struct dead_letters_retries *page)
{
	size_t len = 0;
	char *key = letter->key ? xmemdup(letter->key, letter->key_len) : key_of(plan_of(r), letter, &len);

	if (!key)
		return;
	page->items[page->n++] = (struct dead_letters_retry){.id = xstrdup(letter->id),
							     .key = key,
							     .key_len = letter->key ? letter->key_len : len,
							     .attempts = letter->attempts};
}

/* Those of the page that are to be tried. 1: some. */
static int offer(struct retrier *r)
{
	const struct retrier_index *index = &r->indices[r->plan];
	struct dead_letters_retries page = {.concrete = r->model->concrete[r->plan],
					    .items = xcalloc(r->letters.n, sizeof(*page.items))};

	for (size_t i = 0; i < r->letters.n; i++)
		if (letter_may_pass(&r->letters.items[i], index->intake))
			add_retry(r, &r->letters.items[i], &page);
	if (!page.n) {
		dead_letters_retries_release(&page);
		return 0;
	}
	log_info("sync", "trying documents again whose dead letters' cause may be gone",
		 KV_STR("index", plan_of(r)->document->index), KV_U64("documents", page.n));
	retries_offer_take(r->model->retries, r->plan, &page);
	return 1;
}

/* --- passes --- */

static void end_pass(struct retrier *r)
{
	letters_end(&r->letters);
	r->passing = false;
	r->plan = (r->plan + 1) % r->model->n_plans;
}

/* The next page with something to try, if there is one. */
static int go_on(struct retrier *r, struct err *err)
{
	while (r->letters.n) {
		int r_offered = offer(r);

		if (letters_next(&r->letters, err) < 0) {
			end_pass(r);
			return -1;
		}
		if (r_offered)
			return 1;
	}
	end_pass(r);
	return 0;
}

static int begin_pass(struct retrier *r, const char *intake, struct err *err)
{
	struct retrier_index *index = &r->indices[r->plan];
	int64_t now = clock_now_ms();

	/* It was quiet for longer than any pause. */
	if (now >= index->not_before_ms + letters_pause_ms(UINT_MAX))
		index->passes = 0;
	free(index->intake);
	index->intake = xstrdup(intake);
	index->not_before_ms = now + letters_pause_ms(++index->passes);
	r->passing = true;
	if (letters_begin(&r->letters, r->sink->search, plan_of(r)->document->index, err) == 0)
		return go_on(r, err);
	end_pass(r);
	return -1;
}

/* --- rounds --- */

static bool has_letters(const struct retrier *r)
{
	return report_dead_letters(r->report, plan_of(r)->document->index) > 0;
}

/* Also once before there are any, so that the first ones are not taken for ones of another state. */
static int look(struct retrier *r, bool live, struct err *err)
{
	const struct schema_document *document = plan_of(r)->document;
	const struct retrier_index *index = &r->indices[r->plan];
	_cleanup_free_ char *known = report_intake(r->report, document->index);
	char intake[JSONX_HASH_BYTES];

	if (*known && !has_letters(r))
		return 0;
	if (intake_read(r->sink, r->model->concrete[r->plan], document->pipeline, intake, err) < 0)
		return err_wrap(err, "reading what index \"%s\" takes", document->index);
	report_intake_set(r->report, document->index, intake);
	if (!live || !has_letters(r) || (index->intake && !strcmp(index->intake, intake)) ||
	    clock_now_ms() < index->not_before_ms)
		return 0;
	return begin_pass(r, intake, err);
}

int retrier_round(struct retrier *r, bool live, int64_t *ret_pause, struct err *err)
{
	int offered = 0;

	*ret_pause = RETRIER_ROUND_MS;
	if (!retries_idle(r->model->retries)) {
		*ret_pause = RETRIER_PAGE_MS;
		return 0;
	}
	if (r->passing)
		offered = go_on(r, err);
	for (size_t i = 0; offered == 0 && i < r->model->n_plans; i++) {
		offered = look(r, live, err);
		if (offered == 0)
			r->plan = (r->plan + 1) % r->model->n_plans;
	}
	if (offered > 0)
		*ret_pause = RETRIER_PAGE_MS;
	return offered;
}
