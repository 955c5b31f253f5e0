/* Documents that the index rejected, or that could not be made. */
#include "sync/dead_letters_int.h"

#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/failpoint.h"
#include "base/log.h"
#include "sync/generations_int.h"
#include "json/json.h"

enum {
	LETTER_BYTES = 64 * 1024,
	BODY_BYTES = 1024 * 1024, /* of one bulk request: more does not make an engine faster, and is memory */
	/* How long a writer goes on trying to hand something to an engine that refuses: a snapshot may be open
	 * meanwhile, and with it locks that a migration waits for. Then the attempt ends, and the next one reads anew.
	 */
	RETRY_MS = 20000,
};

struct rejected {
	char *index; /* the dead-letter index */
	char *id;
	char *document;
	uint64_t version;
};

void dead_letters_init(struct dead_letters *d, const struct model *model, struct connector *connector)
{
	*d = (struct dead_letters){.model = model, .connector = connector};
}

static void forget(struct dead_letters *d)
{
	for (size_t i = 0; i < d->n; i++) {
		free(d->items[i].index);
		free(d->items[i].id);
		free(d->items[i].document);
	}
	d->n = 0;
}

void dead_letters_release(struct dead_letters *d)
{
	forget(d);
	free(d->items);
	dead_letters_init(d, d->model, d->connector);
}

static char *letter(const struct bulk_rejection *r, const char *operation, const char *alias)
{
	char time[CLOCK_RFC3339_BYTES];
	struct strbuf sb;

	strbuf_init(&sb, LETTER_BYTES);
	strbuf_adds(&sb, "{\"index\":");
	strbuf_add_json(&sb, alias, strlen(alias));
	strbuf_adds(&sb, ",\"id\":");
	strbuf_add_json(&sb, r->id, strnlen(r->id, 512));
	strbuf_addf(&sb, ",\"operation\":\"%s\",\"status\":%d,\"time\":\"%s\",\"type\":", operation, r->status,
		    clock_rfc3339_micro(clock_wall_us(), time));
	strbuf_add_json(&sb, r->type, strnlen(r->type, 256));
	strbuf_adds(&sb, ",\"reason\":");
	strbuf_add_json(&sb, r->reason, strnlen(r->reason, 4096));
	strbuf_addc(&sb, '}');
	return strbuf_detach(&sb);
}

static void add_letter(struct dead_letters *d, const struct bulk_rejection *r, const char *operation)
{
	const char *alias = model_alias(d->model, r->index);
	struct rejected *item;

	ALLOC_GROW(d->items, d->n + 1, d->alloc);
	item = &d->items[d->n++];
	*item = (struct rejected){.index = xasprintf("%s" DEAD_LETTERS_SUFFIX, alias), .version = r->version};
	/* An id that is too long for the engine is too long for its dead letter as well. */
	item->id = xstrndup(r->id, strnlen(r->id, 512));
	item->document = letter(r, operation, alias);
}

static int on_rejected(void *user, const struct bulk_rejection *r, struct err *err)
{
	struct dead_letters *d = user;

	if (d->connector->run->spec->on_error == SPEC_ON_ERROR_STALL)
		return err_reason(err, ERR_INVALID, "DocumentRejected",
				  "index \"%s\" rejected document \"%.128s\": %.256s: %.512s; onError.policy is Stall",
				  model_alias(d->model, r->index), r->id, r->type, r->reason);
	add_letter(d, r, r->is_delete ? "delete" : "index");
	return 0;
}

int dead_letters_add_failed(struct dead_letters *d, const char *concrete, const char *id, uint64_t version,
			    const struct err *why, struct err *err)
{
	const struct bulk_rejection r = {
		.index = concrete, .id = id, .version = version, .type = why->sqlstate, .reason = why->msg};

	if (d->connector->run->spec->on_error == SPEC_ON_ERROR_STALL)
		return err_reason(
			err, ERR_INVALID, "DocumentFailed",
			"document \"%.128s\" of index \"%s\" cannot be made: an expression or a condition of the "
			"schema fails: %.512s; onError.policy is Stall",
			id, model_alias(d->model, concrete), why->msg);
	add_letter(d, &r, "read");
	return 0;
}

static void on_pressure(void *user, bool under_pressure, const char *why)
{
	struct dead_letters *d = user;

	report_pressure(&d->connector->run->report, under_pressure, why);
}

struct bulk *dead_letters_bulk(struct dead_letters *d, struct search *search)
{
	const struct spec_sink *sink = &d->connector->run->spec->sink;
	const struct bulk_options options = {
		.max_bytes = sink->bulk_max_bytes < BODY_BYTES ? (size_t)sink->bulk_max_bytes : BODY_BYTES,
		.concurrency = (unsigned)sink->bulk_concurrency,
		.retry_ms = RETRY_MS,
		.on_rejected = on_rejected,
		.on_pressure = on_pressure,
		.user = d,
	};

	return bulk_new(search, &options);
}

static int ensure_index(struct run *run, struct search *search, const char *index, struct err *err)
{
	_cleanup_json_ json_t *body = json_pack(
		"{s:{s:{s:s}}, s:{s:o, s:b, s:{s:{s:s}, s:{s:s}, s:{s:s}, s:{s:s}, s:{s:s}, s:{s:s}, s:{s:s}}}}",
		"settings", "index", "auto_expand_replicas", "0-1", "mappings", "_meta", generation_owner_meta(run),
		"dynamic", 0, "properties", "index", "type", "keyword", "id", "type", "keyword", "operation", "type",
		"keyword", "status", "type", "short", "time", "type", "date", "type", "type", "keyword", "reason",
		"type", "text");
	bool exists = false;

	if (search_index_exists(search, index, &exists, err) < 0)
		return -1;
	if (exists)
		return 0;
	if (search_index_create(search, index, body, err) < 0 && err->kind != ERR_CONFLICT)
		return err_wrap(err, "creating \"%s\"", index);
	return 0;
}

/* Calls fn for each distinct index: rejections of one index follow one another. */
static int each_index(struct dead_letters *d, struct search *search,
		      int (*fn)(struct run *run, struct search *search, const char *index, struct err *err),
		      struct err *err)
{
	for (size_t i = 0; i < d->n; i++)
		if (!i || strcmp(d->items[i].index, d->items[i - 1].index) != 0)
			if (fn(d->connector->run, search, d->items[i].index, err) < 0)
				return -1;
	return 0;
}

static char *alias_of_letters(const char *index)
{
	return xstrndup(index, strlen(index) - strlen(DEAD_LETTERS_SUFFIX));
}

/* A login that may not touch the index has never written one. */
static bool no_letters(const struct err *err)
{
	return err->kind == ERR_NOT_FOUND || err->kind == ERR_DENIED;
}

/* Rejections are rare, and somebody will look at once: count them now rather than with the next statistics. */
static int count_letters(struct run *run, struct search *search, const char *index, struct err *err)
{
	_cleanup_free_ char *alias = alias_of_letters(index);

	return search_refresh(search, index, err) < 0 ? -1 : dead_letters_count(run, search, alias, err);
}

int dead_letters_count(struct run *run, struct search *search, const char *alias, struct err *err)
{
	_cleanup_free_ char *letters = xasprintf("%s" DEAD_LETTERS_SUFFIX, alias);
	uint32_t revision = report_dead_letters_revision(&run->report, alias);
	struct search_stats stats = {0};
	struct err why = {0};

	if (search_stats(search, letters, &stats, &why) < 0 && !no_letters(&why)) {
		*err = why;
		return err_wrap(err, "counting the dead letters of \"%s\"", alias);
	}
	report_dead_letters_set(&run->report, alias, stats.documents, revision);
	return 0;
}

/* Of another PgSync that has a document of this name; an older life of this one's, or one that the engine made by
 * itself, is not. */
static bool is_foreign(const struct run *run, const json_t *meta)
{
	return strcmp(jsonx_string(meta, "pgsync.owner", run->owner), run->owner) != 0;
}

int dead_letters_begin(struct run *run, struct search *search, const char *alias, struct err *err)
{
	_cleanup_free_ char *letters = xasprintf("%s" DEAD_LETTERS_SUFFIX, alias);
	_cleanup_json_ json_t *meta = NULL;

	if (search_index_meta(search, letters, &meta, err) < 0)
		return no_letters(err) ? 0 : err_wrap(err, "reading who owns index \"%s\"", letters);
	if (!is_foreign(run, meta) && search_index_delete(search, letters, err) < 0)
		return err_wrap(err, "deleting the dead letters of an older generation");
	return 0;
}

void dead_letters_say(struct run *run, const struct model *model)
{
	for (size_t i = 0; i < model->n_plans; i++) {
		const char *alias = model->plans[i]->document->index;
		int64_t n = report_dead_letters(&run->report, alias);

		if (n <= 0)
			continue;
		report_condition(&run->report, CONDITION_DEGRADED, STATUS_TRUE, "DeadLetters",
				 "%lld documents were rejected or could not be made; see index \"%s" DEAD_LETTERS_SUFFIX
				 "\"",
				 (long long)n, alias);
		return;
	}
	report_condition(&run->report, CONDITION_DEGRADED, STATUS_FALSE, "AsExpected", "there are no dead letters");
}

static void say_last(struct run *run, const struct rejected *last)
{
	_cleanup_free_ char *alias = alias_of_letters(last->index);

	report_condition(&run->report, CONDITION_DEGRADED, STATUS_TRUE, "DeadLetters",
			 "%lld documents were rejected or could not be made, the last one \"%.128s\"; see index \"%s\"",
			 (long long)report_dead_letters(&run->report, alias), last->id, last->index);
}

int dead_letters_flush(struct dead_letters *d, struct bulk *bulk, struct err *err)
{
	_cleanup_(dead_letters_release) struct dead_letters taken = *d;
	_cleanup_(search_freep) struct search *search = NULL;

	dead_letters_init(d, d->model, d->connector);
	if (!taken.n)
		return 0;
	if (connector_search(d->connector, &search, err) < 0 || each_index(&taken, search, ensure_index, err) < 0)
		return -1;
	for (size_t i = 0; i < taken.n; i++) {
		struct bulk_action action = {.index = taken.items[i].index,
					     .id = taken.items[i].id,
					     .id_len = strlen(taken.items[i].id),
					     .version = taken.items[i].version,
					     .document = taken.items[i].document,
					     .document_len = strlen(taken.items[i].document)};

		if (bulk_add(bulk, &action, err) < 0)
			return -1;
	}
	if (bulk_flush(bulk, err) < 0)
		return err_wrap(err, "writing dead letters");
	if (FAILPOINT(DEADLETTER_WRITTEN, err) < 0)
		return -1;
	if (d->n)
		return err_reason(err, ERR_INVALID, "DeadLetterRejected",
				  "index \"%s\" rejects dead letters: delete it, it is made anew",
				  taken.items[0].index);
	if (each_index(&taken, search, count_letters, err) < 0)
		return err_wrap(err, "counting dead letters");
	log_warn("sync", "documents failed, going on without them", KV_U64("documents", taken.n),
		 KV_STR("first", taken.items[0].document));
	say_last(d->connector->run, &taken.items[taken.n - 1]);
	return 0;
}
