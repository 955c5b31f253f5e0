/* Dead letters. */
#include "sink/dead_letters.h"

#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/failpoint.h"
#include "base/log.h"
#include "base/strbuf.h"
#include "sink/generations.h"
#include "sink/write_alias.h"
#include "json/json.h"

enum { LETTER_BYTES = 128 * 1024, ROW_BYTES = 4096, NOTE_BYTES = 16 * 1024 };

struct dead_letters_pending {
	char *index; /* the dead-letter index */
	char *id;
	char *document;
	uint64_t version;
};

char *dead_letters_index(const char *alias)
{
	return xasprintf("%s" DEAD_LETTERS_SUFFIX, alias);
}

void dead_letters_init(struct dead_letters *d, const struct sink *sink, struct report *report)
{
	*d = (struct dead_letters){.sink = sink, .report = report};
}

/* Empties d, whose content now belongs to the copy. */
static void take_rejections(struct dead_letters *d, struct dead_letters *ret)
{
	*ret = *d;
	d->items = NULL;
	d->n = d->alloc = 0;
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
	free(TAKE_PTR(d->items));
	d->alloc = 0;
}

char *dead_letters_encode(const struct bulk_rejection *r, const struct dead_letters_failure *f)
{
	char time[CLOCK_RFC3339_BYTES];
	struct strbuf sb;

	strbuf_init(&sb, LETTER_BYTES);
	strbuf_adds(&sb, "{\"index\":");
	strbuf_add_json(&sb, f->alias, strlen(f->alias));
	strbuf_adds(&sb, ",\"id\":");
	strbuf_add_json(&sb, r->id, strnlen(r->id, 512));
	if (r->note && strlen(r->note) <= NOTE_BYTES)
		strbuf_addf(&sb, ",\"key\":%s", r->note);
	strbuf_adds(&sb, ",\"row\":");
	strbuf_add_json(&sb, f->row, strnlen(f->row, ROW_BYTES));
	strbuf_addf(&sb, ",\"attempts\":%lld,\"intake\":", (long long)f->attempts);
	strbuf_add_json(&sb, f->fingerprint, strlen(f->fingerprint));
	strbuf_addf(&sb, ",\"operation\":\"%s\",\"status\":%d,\"time\":\"%s\",\"type\":", f->operation, r->status,
		    clock_rfc3339_micro(f->wall_us, time));
	strbuf_add_json(&sb, r->type, strnlen(r->type, 256));
	strbuf_adds(&sb, ",\"reason\":");
	strbuf_add_json(&sb, r->reason, strnlen(r->reason, 4096));
	strbuf_addc(&sb, '}');
	return strbuf_detach(&sb);
}

/* Caller frees. */
static char *row_of(const struct dead_letters *d, const char *concrete, const char *id)
{
	struct strbuf row;

	strbuf_init(&row, ROW_BYTES);
	if (d->name_row)
		d->name_row(d->user, concrete, id, &row);
	return strbuf_detach(&row);
}

/* The retry of this document; NULL: it is not being retried. */
static struct dead_letters_retry *find_retry(const struct dead_letters *d, const struct bulk_rejection *r)
{
	const struct dead_letters_retries *retries = d->retries;

	if (!retries || strcmp(retries->concrete, r->index) != 0)
		return NULL;
	for (size_t i = 0; i < retries->n; i++)
		if (!strcmp(retries->items[i].id, r->id))
			return &retries->items[i];
	return NULL;
}

/* A document that had a dead letter before keeps it. */
static bool must_stall(const struct dead_letters *d, const struct bulk_rejection *r)
{
	return d->sink->stall_on_error && !find_retry(d, r);
}

static void collect_rejection(struct dead_letters *d, const struct bulk_rejection *r, const char *operation)
{
	struct dead_letters_retry *retry = find_retry(d, r);
	_cleanup_free_ char *alias = generation_alias(r->index);
	_cleanup_free_ char *row = row_of(d, r->index, r->id);
	_cleanup_free_ char *fingerprint = report_index_fingerprint(d->report, alias);
	const struct dead_letters_failure failure = {.alias = alias,
						     .operation = operation,
						     .row = row,
						     .fingerprint = fingerprint,
						     .attempts = retry ? retry->attempts + 1 : 1,
						     .wall_us = clock_wall_us()};
	struct dead_letters_pending *item;

	if (retry)
		retry->failed = true;
	ALLOC_GROW(d->items, d->n + 1, d->alloc);
	item = &d->items[d->n++];
	*item = (struct dead_letters_pending){
		.index = dead_letters_index(alias),
		/* An id that is too long for the engine is too long for its dead letter as well. */
		.id = xstrndup(r->id, strnlen(r->id, 512)),
		.document = dead_letters_encode(r, &failure),
		.version = r->version,
	};
}

static int stall(const struct dead_letters *d, const struct bulk_rejection *r, struct err *err)
{
	_cleanup_free_ char *alias = generation_alias(r->index);
	_cleanup_free_ char *row = row_of(d, r->index, r->id);

	return err_reason(
		err, ERR_INVALID, REASON_DOCUMENT_REJECTED,
		"index \"%s\" rejected document \"%.128s\" (%.200s): %.640s; onError.policy is Stall: correct "
		"the row or the mapping",
		alias, r->id, *row ? row : "its row is not known", r->words);
}

static int on_rejected(void *user, const struct bulk_rejection *r, struct err *err)
{
	struct dead_letters *d = user;

	if (must_stall(d, r))
		return stall(d, r, err);
	collect_rejection(d, r, r->is_delete ? "delete" : "index");
	return 0;
}

int dead_letters_add_failed(struct dead_letters *d, const struct dead_letters_document *document, const struct err *why,
			    struct err *err)
{
	const struct bulk_rejection r = {.index = document->concrete,
					 .id = document->id,
					 .version = document->version,
					 .type = why->sqlstate,
					 .reason = why->msg,
					 .note = document->key};
	_cleanup_free_ char *alias = generation_alias(document->concrete);

	if (must_stall(d, &r))
		return err_reason(
			err, ERR_INVALID, REASON_DOCUMENT_FAILED,
			"document \"%.128s\" of index \"%s\" cannot be built: %.640s; onError.policy is Stall: correct "
			"the row",
			r.id, alias, why->msg);
	collect_rejection(d, &r, "read");
	return 0;
}

static void on_dropped(void *user, const char *index)
{
	struct dead_letters *d = user;
	_cleanup_free_ char *alias = generation_alias(index);

	report_dropped_add(d->report, alias);
}

static void on_pressure(void *user, bool under_pressure, const char *why)
{
	struct dead_letters *d = user;

	report_pressure(d->report, under_pressure, why);
}

struct bulk *dead_letters_writer(struct dead_letters *d, struct search *search)
{
	struct bulk_options options = sink_bulk_options(d->sink);

	options.on_rejected = on_rejected;
	options.on_dropped = on_dropped;
	options.on_pressure = on_pressure;
	options.user = d;
	return bulk_new(search, &options);
}

/* An index also counts as ours if an earlier resource of our name created it, or if its owner released it. */
static bool is_foreign(const struct sink *sink, const json_t *meta)
{
	const char *owner = jsonx_string(meta, "pgsync.owner", "");

	return *owner ? strcmp(owner, sink->owner) != 0 : !*jsonx_string(meta, "pgsync.formerOwner", "");
}

/* A login that has no access to the index has never written a dead letter. */
static bool are_none(const struct err *err)
{
	return err->kind == ERR_NOT_FOUND || err->kind == ERR_DENIED;
}

/* *ret_exists: whether the index exists and is not foreign. */
static int check_dead_letter_index(const struct sink *sink, const char *index, bool *ret_exists, struct err *err)
{
	_cleanup_json_ json_t *meta = NULL;
	const char *owner;

	*ret_exists = false;
	if (search_index_meta(sink->search, index, &meta, err) < 0)
		return are_none(err) ? 0 : err_wrap(err, "reading who owns index \"%s\"", index);
	*ret_exists = true;
	if (!is_foreign(sink, meta))
		return 0;
	owner = jsonx_string(meta, "pgsync.owner", "");
	return err_reason(
		err, ERR_INVALID, REASON_INDEX_IN_USE,
		"index \"%s\", where dead letters would go, %s%.300s: choose another index name, or delete that "
		"index",
		index, *owner ? "belongs to PgSync " : "was not created by pgsync", owner);
}

int dead_letters_check_owner(const struct sink *sink, const char *alias, struct err *err)
{
	_cleanup_free_ char *index = dead_letters_index(alias);
	bool ignored;

	return check_dead_letter_index(sink, index, &ignored, err);
}

/* No index template may cause dead letters to be refused: so require no routing, and use no pipeline. */
static int ensure_dead_letter_index(struct dead_letters *d, const char *index, struct err *err)
{
	_cleanup_json_ json_t *body = json_pack(
		"{s:{s:{s:s, s:s}}, s:{s:o, s:{s:b}, s:b, s:{s:{s:s}, s:{s:s}, s:{s:s}, s:{s:s}, s:{s:s}, s:{s:s}, "
		"s:{s:s}, s:{s:s}, s:{s:s}, s:{s:s}}}}",
		"settings", "index", "auto_expand_replicas", "0-1", "default_pipeline", "_none", "mappings", "_meta",
		generation_owner_meta(d->sink), "_routing", "required", 0, "dynamic", 0, "properties", "index", "type",
		"keyword", "id", "type", "keyword", "row", "type", "text", "attempts", "type", "integer", "intake",
		"type", "keyword", "operation", "type", "keyword", "status", "type", "short", "time", "type", "date",
		"type", "type", "keyword", "reason", "type", "text");
	bool exists = false;

	if (check_dead_letter_index(d->sink, index, &exists, err) < 0)
		return -1;
	if (!exists && search_index_create(d->sink->search, index, body, err) < 0 && err->kind != ERR_CONFLICT)
		return err_wrap(err, "creating \"%s\"", index);
	return write_alias_take(d->sink, index, err);
}

/* Calls fn for each distinct index: rejections of one index follow one another. */
static int each_index(struct dead_letters *d, int (*fn)(struct dead_letters *d, const char *index, struct err *err),
		      struct err *err)
{
	for (size_t i = 0; i < d->n; i++)
		if (!i || strcmp(d->items[i].index, d->items[i - 1].index) != 0)
			if (fn(d, d->items[i].index, err) < 0)
				return -1;
	return 0;
}

static char *alias_of(const char *index)
{
	return xstrndup(index, strlen(index) - strlen(DEAD_LETTERS_SUFFIX));
}

/* Dead letters are rare, and users look at them at once: count them now instead of with the next statistics. */
static int count_now(struct dead_letters *d, const char *index, struct err *err)
{
	_cleanup_free_ char *alias = alias_of(index);

	return search_refresh(d->sink->search, index, err) < 0 ? -1
							       : dead_letters_count(d->sink, d->report, alias, err);
}

int dead_letters_count(const struct sink *sink, struct report *report, const char *alias, struct err *err)
{
	_cleanup_free_ char *index = dead_letters_index(alias);
	uint32_t revision = report_dead_letters_revision(report, alias);
	struct search_stats stats = {0};
	struct err why = {0};

	if (search_stats(sink->search, index, &stats, &why) < 0 && !are_none(&why)) {
		*err = why;
		return err_wrap(err, "counting the dead letters of \"%s\"", alias);
	}
	report_dead_letters_set(report, alias, stats.documents, revision);
	return 0;
}

int dead_letters_begin(const struct sink *sink, const char *alias, struct err *err)
{
	_cleanup_free_ char *index = dead_letters_index(alias);
	bool exists;

	if (check_dead_letter_index(sink, index, &exists, err) < 0)
		return -1;
	if (exists && search_index_delete(sink->search, index, err) < 0)
		return err_wrap(err, "deleting the dead letters of an older generation");
	return 0;
}

int dead_letters_delete(const struct sink *sink, const char *alias, struct err *err)
{
	_cleanup_free_ char *index = dead_letters_index(alias);
	_cleanup_json_ json_t *meta = NULL;

	if (search_index_meta(sink->search, index, &meta, err) < 0)
		return are_none(err) ? 0 : err_wrap(err, "reading who owns index \"%s\"", index);
	if (strcmp(jsonx_string(meta, "pgsync.owner", ""), sink->owner) != 0)
		return 0;
	return search_index_delete(sink->search, index, err);
}

int dead_letters_disown(const struct sink *sink, const char *alias, struct err *err)
{
	_cleanup_free_ char *index = dead_letters_index(alias);

	return generation_disown(sink, index, err) < 0 && !are_none(err) ? -1 : 0;
}

void dead_letters_set_condition(struct report *report)
{
	_cleanup_free_ char *alias = NULL;
	int64_t n = report_any_dead_letters(report, &alias);

	if (n > 0)
		report_condition(
			report, CONDITION_DEGRADED, STATUS_TRUE, REASON_DEAD_LETTERS,
			"%lld documents were rejected or could not be built; see index \"%s" DEAD_LETTERS_SUFFIX "\"",
			(long long)n, alias);
	else
		report_condition(report, CONDITION_DEGRADED, STATUS_FALSE, REASON_AS_EXPECTED,
				 "there are no dead letters");
}

/* The condition names the last one. */
static void set_condition_at_once(struct report *report, const struct dead_letters_pending *last)
{
	_cleanup_free_ char *alias = alias_of(last->index);

	report_condition(
		report, CONDITION_DEGRADED, STATUS_TRUE, REASON_DEAD_LETTERS,
		"%lld documents were rejected or could not be built, the last one \"%.128s\"; see index \"%s\"",
		(long long)report_dead_letters(report, alias), last->id, last->index);
}

int dead_letters_add_settled(struct dead_letters *d, struct bulk *bulk, uint64_t version, struct err *err)
{
	_cleanup_free_ char *alias = generation_alias(d->retries->concrete);
	_cleanup_free_ char *index = dead_letters_index(alias);
	_cleanup_free_ char *via = write_alias_name(index, d->sink->token);

	for (size_t i = 0; i < d->retries->n; i++) {
		const struct dead_letters_retry *retry = &d->retries->items[i];
		const struct bulk_action action = {
			.index = index, .via = via, .id = retry->id, .id_len = strlen(retry->id), .version = version};

		if (!retry->failed && bulk_add(bulk, &action, err) < 0)
			return -1;
	}
	return 0;
}

void dead_letters_retries_release(struct dead_letters_retries *retries)
{
	for (size_t i = 0; i < retries->n; i++) {
		free(retries->items[i].id);
		free(retries->items[i].key);
	}
	free(retries->items);
	*retries = (struct dead_letters_retries){0};
}

void dead_letters_note(struct strbuf *sb, const char *const *values, const size_t *lens, size_t n)
{
	strbuf_addc(sb, '[');
	for (size_t i = 0; i < n; i++) {
		strbuf_adds(sb, i ? "," : "");
		strbuf_add_json(sb, values[i], lens[i]);
	}
	strbuf_addc(sb, ']');
}

int dead_letters_flush(struct dead_letters *d, struct bulk *bulk, struct err *err)
{
	_cleanup_(dead_letters_release) struct dead_letters taken;

	take_rejections(d, &taken);
	if (!taken.n)
		return 0;
	if (each_index(&taken, ensure_dead_letter_index, err) < 0)
		return -1;
	for (size_t i = 0; i < taken.n; i++) {
		_cleanup_free_ char *via = write_alias_name(taken.items[i].index, d->sink->token);
		struct bulk_action action = {.index = taken.items[i].index,
					     .via = via,
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
		return err_reason(err, ERR_INVALID, REASON_DEAD_LETTER_REJECTED,
				  "index \"%s\" rejects dead letters: delete it, and pgsync creates it again",
				  taken.items[0].index);
	if (each_index(&taken, count_now, err) < 0)
		return err_wrap(err, "counting dead letters");
	log_warn("sync", "documents failed, continuing without them", KV_U64("documents", taken.n),
		 KV_STR("index", taken.items[0].index), KV_STR("first", taken.items[0].id));
	set_condition_at_once(d->report, &taken.items[taken.n - 1]);
	return 0;
}
