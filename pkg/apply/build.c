/* From root keys, or a range, to bulk actions. */
#include "apply/build.h"

#include <stdlib.h>
#include <string.h>

#include "apply/limits.h"
#include "apply/locate.h"
#include "base/parse.h"
#include "sink/write_alias.h"

/* MOST_DEAD_LETTERS: not counting those of the requests in flight. */
enum { ID_BYTES = 1024 * 1024, KEYED_BYTES = 96 * 1024 * 1024, MOST_DEAD_LETTERS = 1000, PLACE_BYTES = 512 };

static const struct document_plan *target_plan(const struct build *b)
{
	return b->with->model->plans[b->plan];
}

static const char *target_index(const struct build *b)
{
	return b->with->model->concrete[b->plan];
}

/* --- actions --- */

/* When a document is written or deleted again, its old dead letter is void: either it succeeds, or it gets a new dead
 * letter with the same version. */
static int queue_action(const struct build *b, const struct bulk_action *action, struct err *err)
{
	struct bulk_action dead = {.index = b->dead_index,
				   .via = b->dead_via,
				   .id = action->id,
				   .id_len = action->id_len,
				   .version = action->version};

	if (bulk_add(b->with->bulk, action, err) < 0)
		return -1;
	return b->dead_index ? bulk_add(b->with->bulk, &dead, err) : 0;
}

/* NULL: by _id. */
static const char *routing_text(const struct build *b, const char *value, size_t len)
{
	struct strbuf *sb = &b->with->routing;

	strbuf_reset(sb);
	document_routing(sb, target_plan(b), value, len);
	return sb->len ? sb->data : NULL;
}

/* A document with a hashed id keeps the original key in its first field. */
static void keep_key(const struct build *b, const struct document_key *key, struct bulk_action *action)
{
	struct strbuf *sb = &b->with->keyed;
	struct strbuf id;

	strbuf_init(&id, ID_BYTES);
	document_long_id(&id, target_plan(b)->id_format, key);
	strbuf_reset(sb);
	strbuf_adds(sb, "{\"" DOCUMENT_KEY_FIELD "\":");
	strbuf_add_json(sb, id.data, id.len);
	strbuf_release(&id);
	/* An object without fields is "{}". */
	strbuf_adds(sb, action->document_len > 2 ? "," : "");
	strbuf_add(sb, action->document + 1, action->document_len - 1);
	if (!strbuf_ok(sb))
		return;
	action->document = sb->data;
	action->document_len = sb->len;
}

/* NULL if the id already contains the key. */
static const char *note_of(const struct build *b, const char *id, const struct document_key *key)
{
	struct strbuf *sb = &b->with->note;

	if (document_id_says_key(target_plan(b)->id_format, id, key->n))
		return NULL;
	strbuf_reset(sb);
	dead_letters_note(sb, key->values, key->lens, key->n);
	return strbuf_ok(sb) ? sb->data : NULL;
}

static void count_sanitized(const struct build *b, const struct pg_result *row, int column)
{
	uint64_t n = 0;

	if (pg_is_null(row, 0, column) || !parse_u64(pg_value(row, 0, column), pg_length(row, 0, column), &n))
		return;
	report_nulled_add(b->with->dead->report, target_plan(b)->document->index, (int64_t)n);
	b->with->sanitized += n;
}

static int add_document(const struct build *b, const struct pg_result *row, struct err *err)
{
	const struct document_plan *plan = target_plan(b);
	struct strbuf *id = &b->with->scratch;
	int column = (int)plan->n_keys;
	const char *values[DOCUMENT_MAX_KEYS];
	size_t lens[DOCUMENT_MAX_KEYS];
	const struct document_key key = {values, lens, plan->n_keys};
	struct bulk_action action = {
		.index = target_index(b), .via = b->via, .version = b->version, .pipeline = plan->document->pipeline};

	for (size_t i = 0; i < plan->n_keys; i++) {
		values[i] = pg_value(row, 0, (int)i);
		lens[i] = pg_length(row, 0, (int)i);
	}
	action.document = pg_value(row, 0, column);
	action.document_len = pg_length(row, 0, column++);
	strbuf_reset(id);
	if (document_id(id, plan->id_format, &key))
		keep_key(b, &key, &action);
	action.id = id->data;
	action.id_len = id->len;
	action.note = note_of(b, id->data, &key);
	if (plan->routing.given) {
		action.routing = routing_text(b, pg_value(row, 0, column), pg_length(row, 0, column));
		column++;
	}
	if (plan->counts_sanitized)
		count_sanitized(b, row, column);
	return queue_action(b, &action, err);
}

/* --- keys --- */

/* Takes the n columns at the beginning of an encoded root key. */
static int take_root_key(const char **key, size_t *len, const char **values, size_t *lens, size_t n, struct err *err)
{
	for (size_t i = 0; i < n; i++)
		if (!key_decode_value(key, len, &values[i], &lens[i]))
			return err_set(err, ERR_FATAL, "a root key lacks its column %zu", i);
	return 0;
}

/* Adds a delete for a root key for which no document was read. */
static int add_delete(const struct build *b, const char *key, size_t len, struct err *err)
{
	const struct document_plan *plan = target_plan(b);
	struct strbuf *id = &b->with->scratch;
	size_t n = plan->n_keys;
	const char *values[DOCUMENT_MAX_KEYS + 1];
	size_t lens[DOCUMENT_MAX_KEYS + 1];
	const struct document_key ids = {values, lens, n};
	struct bulk_action action = {.index = target_index(b), .via = b->via, .version = b->version};

	if (take_root_key(&key, &len, values, lens, n, err) < 0)
		return -1;
	if (plan->routing.given) {
		if (!key_decode_value(&key, &len, &values[n], &lens[n]))
			return 0;
		action.routing = routing_text(b, values[n], lens[n]);
		action.version--;
	}
	strbuf_reset(id);
	(void)document_id(id, plan->id_format, &ids);
	action.id = id->data;
	action.id_len = id->len;
	return queue_action(b, &action, err);
}

/* There is no document for this root key. */
static int take_delete(const struct build *b, const char *key, size_t len, struct err *err)
{
	struct keyset *held = b->with->held;

	if (!held)
		return add_delete(b, key, len, err);
	if (!keyset_add(held, (uint32_t)b->plan, key, len, 0))
		return err_reason(err, ERR_LIMIT, REASON_KEY_TOO_LARGE, "the keys of one batch are too large");
	return 0;
}

int build_deletes(const struct build *b, const struct keyset *held, struct err *err)
{
	for (size_t i = 0; i < held->n; i++) {
		const struct key *key = &held->keys[i];

		if (key->target == b->plan && add_delete(b, keyset_data(held, key), key->len, err) < 0)
			return -1;
	}
	return 0;
}

bool build_has_many_dead_letters(const struct builder *with)
{
	return with->dead->n >= MOST_DEAD_LETTERS;
}

/* Every row may be rejected: what is read then waits until dead letters were flushed, since they use memory. */
static int limit_dead_letters(const struct build *b, struct err *err)
{
	if (!build_has_many_dead_letters(b->with))
		return 0;
	return err_reason(err, ERR_CONFLICT, REASON_LIMIT_EXCEEDED, "the engine rejected more than %d documents",
			  MOST_DEAD_LETTERS);
}

/* Waits for the engine without a transaction. */
static int leave_snapshot(struct builder *with, bool flush, struct err *err)
{
	if (snapshot_end(with->snapshot, err) < 0)
		return -1;
	if (flush ? bulk_flush(with->bulk, err) < 0 || dead_letters_flush(with->dead, with->bulk, err) < 0
		  : bulk_make_room(with->bulk, err) < 0)
		return -1;
	return snapshot_again(with->snapshot, err);
}

static int have_room(struct builder *with, struct err *err)
{
	bool many = build_has_many_dead_letters(with);
	bool leave = many || !bulk_has_room(with->bulk) || precedence_asked(&with->snapshot->precedence);

	return leave ? leave_snapshot(with, many, err) : 0;
}

/* Adds to *why which row, and which of its values, makes the document fail, if that can be found out. */
static int blame(const struct build *b, const struct document_key *root, struct err *why, struct err *err)
{
	_cleanup_(strbuf_release) struct strbuf place;
	int r;

	strbuf_init(&place, PLACE_BYTES);
	r = locate_row(b->with->pg, target_plan(b), root, &place, err);
	if (r > 0)
		(void)err_wrap(why, "%s", place.data);
	return r < 0 ? -1 : 0;
}

int build_add_failed(const struct build *b, const char *key, size_t len, const struct err *why, struct err *err)
{
	const struct document_plan *plan = target_plan(b);
	struct strbuf *id = &b->with->scratch;
	const char *values[DOCUMENT_MAX_KEYS];
	size_t lens[DOCUMENT_MAX_KEYS];
	const struct document_key ids = {values, lens, plan->n_keys};
	struct dead_letters_document document;
	struct err blamed = *why;

	if (take_root_key(&key, &len, values, lens, plan->n_keys, err) < 0 || blame(b, &ids, &blamed, err) < 0)
		return -1;
	strbuf_reset(id);
	(void)document_id(id, plan->id_format, &ids);
	document = (struct dead_letters_document){
		.concrete = target_index(b), .id = id->data, .key = note_of(b, id->data, &ids), .version = b->version};
	return dead_letters_add_failed(b->with->dead, &document, &blamed, err);
}

/* --- rows --- */

/* If a root has several keys, marks the one with its current routing. */
static void mark_seen(const struct build *b, const struct keyset *wanted, const struct pg_result *row)
{
	const struct document_plan *plan = target_plan(b);
	struct strbuf *sb = &b->with->scratch;
	int routing = (int)plan->n_keys + 1;
	struct key *key;

	strbuf_reset(sb);
	for (size_t i = 0; i < plan->n_keys; i++)
		key_encode_value(sb, pg_value(row, 0, (int)i), pg_length(row, 0, (int)i));
	if (plan->routing.given)
		key_encode_value(sb, pg_value(row, 0, routing), pg_length(row, 0, routing));
	key = keyset_find(wanted, (uint32_t)b->plan, sb->data, sb->len);
	if (key)
		key->seen = true;
}

/* The engine did not take a row in time, so no more are read. The connection stays usable. */
static int stop_rows(const struct build *b, struct err *err)
{
	struct err failed = {0};

	if (err->kind == ERR_CONFLICT && err->reason == REASON_LIMIT_EXCEEDED && pg_rows_stop(b->with->pg, &failed) < 0)
		*err = failed;
	return -1;
}

/* Reads the rows of a document query that was started, to the end. wanted: keys of this plan to mark as seen, or NULL.
 * Adds their number to *rows. */
static int take_rows(const struct build *b, const struct keyset *wanted, uint64_t *rows, struct err *err)
{
	int got;

	for (;;) {
		_cleanup_(pg_result_freep) struct pg_result *row = NULL;

		got = pg_rows_next(b->with->pg, &row, err);
		if (got <= 0)
			return got;
		if (add_document(b, row, err) < 0)
			return stop_rows(b, err);
		if (wanted)
			mark_seen(b, wanted, row);
		(*rows)++;
		if (limit_dead_letters(b, err) < 0)
			return stop_rows(b, err);
	}
}

/* Returns the deadline to restore. */
static int64_t hold_for_views(const struct build *b)
{
	const struct document_plan *plan = target_plan(b);
	int64_t deadline_ms = bulk_set_deadline(b->with->bulk, 0);

	if (b->with->view_hold_ms && (plan->computes_views || plan->root_is_view))
		(void)bulk_set_deadline(b->with->bulk, clock_now_ms() + b->with->view_hold_ms);
	else
		(void)bulk_set_deadline(b->with->bulk, deadline_ms);
	return deadline_ms;
}

int build_range(const struct build *b, const char *leaf, const char *const tids[2], uint64_t *rows, struct err *err)
{
	const struct document_plan *plan = target_plan(b);
	_cleanup_free_ char *sql = b->apart ? document_apart_by_range(plan, leaf) : document_sql_by_range(plan, leaf);
	int64_t deadline_ms;
	int r;

	if (pg_rows_start(b->with->pg, sql, tids, plan->root_is_view ? 0 : 2, err) < 0)
		return -1;
	deadline_ms = hold_for_views(b);
	r = take_rows(b, NULL, rows, err);
	(void)bulk_set_deadline(b->with->bulk, deadline_ms);
	return r;
}

int build_failed(const struct build *b, struct err *err)
{
	const struct document_plan *plan = target_plan(b);
	size_t n;
	_cleanup_free_ struct catalog_expression_name *names = document_expressions(plan->document, &n);
	struct strbuf sb;

	if (n && pg_is_about_a_value(err)) {
		strbuf_init(&sb, KEYED_BYTES);
		for (size_t i = 0; i < n; i++)
			strbuf_addf(&sb, "%s`%.100s`", i ? " or " : "", names[i].sql);
		(void)err_wrap(err, "%.400s fails for at least one row", sb.data);
		strbuf_release(&sb);
	}
	return err_wrap(err, "reading documents of \"%s\"", plan->document->index);
}

/* --- root keys --- */

static int start_by_key(const struct build *b, const struct page *roots, struct err *err)
{
	const struct document_plan *plan = target_plan(b);
	struct page_params *params = &b->with->params;
	int n = (int)plan->n_keys;

	if (page_params_set(params, roots, plan->n_keys, err) < 0)
		return -1;
	if (b->apart)
		return pg_rows_start(b->with->pg, plan->sql.apart_by_key, params->values, n, err);
	if (plan->computes_views)
		return pg_rows_start(b->with->pg, plan->sql.by_key, params->values, n, err);
	return pg_rows_start_prepared(b->with->pg, plan->document->index, plan->sql.by_key, params->values, n, err);
}

/* A root without a row no longer exists: its document is deleted. */
static int read_roots(const struct build *b, const struct page *roots, struct err *err)
{
	uint64_t rows = 0;

	if (start_by_key(b, roots, err) < 0 || take_rows(b, roots->set, &rows, err) < 0)
		return -1;
	for (size_t i = 0; i < roots->n; i++)
		if (!roots->keys[i]->seen &&
		    take_delete(b, keyset_data(roots->set, roots->keys[i]), roots->keys[i]->len, err) < 0)
			return -1;
	return 0;
}

static int try_roots(void *user, const struct page *roots, struct err *err)
{
	const struct build *b = user;
	int64_t deadline_ms = hold_for_views(b);
	int r = read_roots(b, roots, err);

	(void)bulk_set_deadline(b->with->bulk, deadline_ms);
	return r;
}

/* Leaves the roots whose documents were taken out of the page. An empty writer takes at least one root. */
static int leave_unwritten(void *user, struct page *roots, struct err *err)
{
	const struct build *b = user;
	struct builder *with = b->with;
	size_t n = 0;
	bool some;

	ALLOC_GROW(with->left, roots->n, with->alloc_left);
	for (size_t i = 0; i < roots->n; i++)
		if (!roots->keys[i]->seen)
			with->left[n++] = roots->keys[i];
	some = n < roots->n;
	roots->keys = with->left;
	roots->n = n;
	if (leave_snapshot(with, !some || build_has_many_dead_letters(with), err) < 0)
		return -1;
	if (some)
		precedence_got_on(&with->snapshot->precedence);
	return some || n == 1;
}

/* The root of the tree is the first node. */
static void name_row(const void *user, const char *concrete, const char *id, struct strbuf *to)
{
	const struct model *m = user;

	for (size_t i = 0; i < m->n_plans; i++)
		if (m->plans[i]->n_probes && !strcmp(m->concrete[i], concrete))
			strbuf_addf(to, "%s, %s %.128s", m->plans[i]->probes[0].table,
				    m->plans[i]->probes[0].key_columns, id);
}

static int report_slow_root(const struct build *b, const char *key, size_t len, const struct err *why, struct err *err)
{
	const struct document_plan *plan = target_plan(b);
	struct strbuf *id = &b->with->scratch, *what = &b->with->note;
	const char *values[DOCUMENT_MAX_KEYS];
	size_t lens[DOCUMENT_MAX_KEYS];
	const struct document_key ids = {values, lens, plan->n_keys};

	if (take_root_key(&key, &len, values, lens, plan->n_keys, err) < 0)
		return -1;
	strbuf_reset(id);
	(void)document_id(id, plan->id_format, &ids);
	strbuf_reset(what);
	strbuf_adds(what, "the document of one row (");
	name_row(b->with->model, target_index(b), id->data, what);
	strbuf_addc(what, ')');
	return limits_exceeded_by(what->data, why, err);
}

/* With routing, a key names a shard of the document, and the document may have left that shard. */
static int root_failed(void *user, const struct page *roots, const struct err *why, struct err *err)
{
	const struct build *b = user;
	const char *key = keyset_data(roots->set, roots->keys[0]);
	size_t len = roots->keys[0]->len;

	if (!pg_is_about_a_value(why))
		return report_slow_root(b, key, len, why, err);
	if (target_plan(b)->routing.given && add_delete(b, key, len, err) < 0)
		return -1;
	return build_add_failed(b, key, len, why, err);
}

int build_roots(const struct build *b, const struct page *roots, struct err *err)
{
	struct build own = *b;
	const struct page_task task = {.snapshot = b->with->snapshot,
				       .savepoint = "pgsync_build",
				       .run = try_roots,
				       .failed_alone = root_failed,
				       .interrupted = leave_unwritten,
				       .user = &own};
	int r;

	for (size_t i = 0; i < roots->n; i++)
		keyset_unsee(roots->set, roots->keys[i]);
	r = have_room(b->with, err) < 0 ? -1 : page_try(&task, roots, err);

	own.apart = true;
	if (r > 0)
		r = page_halve(&task, roots, err);
	if (r < 0)
		return build_failed(b, err);
	precedence_got_on(&b->with->snapshot->precedence);
	return 0;
}

/* --- life --- */

struct build build_begin(struct builder *with, size_t plan, uint64_t version)
{
	const char *index = with->model->plans[plan]->document->index;
	const char *token = with->dead->sink->token;
	struct build b = {.with = with, .plan = plan, .version = version};

	b.via = write_alias_name(with->model->concrete[plan], token);
	if (report_dead_letters(with->dead->report, index) > 0) {
		b.dead_index = dead_letters_index(index);
		b.dead_via = write_alias_name(b.dead_index, token);
	}
	return b;
}

void build_keep_dead_letters(struct build *b)
{
	free(TAKE_PTR(b->dead_index));
}

void build_end(struct build *b)
{
	free(TAKE_PTR(b->via));
	free(TAKE_PTR(b->dead_index));
	free(TAKE_PTR(b->dead_via));
}

void builder_init(struct builder *with, const struct model *model, struct snapshot *snapshot, struct bulk *bulk,
		  struct dead_letters *dead)
{
	*with = (struct builder){.model = model, .snapshot = snapshot, .pg = snapshot->pg, .bulk = bulk, .dead = dead};
	dead->name_row = name_row;
	dead->user = model;
	page_params_init(&with->params);
	strbuf_init(&with->scratch, ID_BYTES);
	strbuf_init(&with->routing, ID_BYTES);
	strbuf_init(&with->keyed, KEYED_BYTES);
	strbuf_init(&with->note, ID_BYTES);
}

void builder_release(struct builder *with)
{
	page_params_release(&with->params);
	free(with->left);
	strbuf_release(&with->scratch);
	strbuf_release(&with->routing);
	strbuf_release(&with->keyed);
	strbuf_release(&with->note);
}

uint64_t builder_take_sanitized(struct builder *with)
{
	uint64_t n = with->sanitized;

	with->sanitized = 0;
	return n;
}
