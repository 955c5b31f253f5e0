/* From rows to bulk actions. */
#include "sync/reader_int.h"

#include <stdlib.h>
#include <string.h>

#include "base/parse.h"

/* MOST_DEAD_LETTERS: besides those of the requests in flight. */
enum { ID_BYTES = 1024 * 1024, KEYED_BYTES = 96 * 1024 * 1024, MOST_DEAD_LETTERS = 1000 };

void reading_init(struct reading *r, const struct model *model, struct connector *connector, struct pg *pg)
{
	*r = (struct reading){.model = model, .connector = connector, .pg = pg};
	strbuf_init(&r->scratch, ID_BYTES);
	strbuf_init(&r->routing, ID_BYTES);
	strbuf_init(&r->keyed, KEYED_BYTES);
}

void reading_release(struct reading *r)
{
	strbuf_release(&r->scratch);
	strbuf_release(&r->routing);
	strbuf_release(&r->keyed);
	free(r->dead_index);
	r->dead_index = NULL;
}

void reading_begin_plan(struct reading *r, size_t plan)
{
	const char *index = r->model->plans[plan]->document->index;

	r->plan = plan;
	free(r->dead_index);
	r->dead_index = report_dead_letters(&r->connector->run->report, index) > 0 ? dead_letters_index(index) : NULL;
}

/* A document that is written (or deleted) again is no longer rejected, or gets a new dead letter with the same version.
 */
static int add_action(struct reading *r, const struct bulk_action *action, struct err *err)
{
	struct bulk_action dead = {
		.index = r->dead_index, .id = action->id, .id_len = action->id_len, .version = action->version};

	if (bulk_add(r->bulk, action, err) < 0)
		return -1;
	return r->dead_index ? bulk_add(r->bulk, &dead, err) : 0;
}

/* Of several keys of one root, that with its present routing. */
static void mark_seen(struct reading *r, const struct pg_result *row, const struct document_plan *plan)
{
	int routing = (int)plan->n_keys + 1;
	struct key *key;

	strbuf_reset(&r->scratch);
	for (size_t i = 0; i < plan->n_keys; i++)
		key_encode_value(&r->scratch, pg_value(row, 0, (int)i), pg_length(row, 0, (int)i));
	if (plan->routing.given)
		key_encode_value(&r->scratch, pg_value(row, 0, routing), pg_length(row, 0, routing));
	key = keyset_find(r->wanted, (uint32_t)r->plan, r->scratch.data, r->scratch.len);
	if (key)
		key->seen = true;
}

/* NULL: by _id. */
static const char *routing_text(struct reading *r, const char *value, size_t len)
{
	strbuf_reset(&r->routing);
	document_routing(&r->routing, r->model->plans[r->plan], value, len);
	return r->routing.len ? r->routing.data : NULL;
}

/* The document of a hashed id says what was hashed: its first field. */
static void keep_key(struct reading *r, const struct document_key *key, struct bulk_action *action)
{
	struct strbuf *sb = &r->keyed;
	struct strbuf id;

	strbuf_init(&id, ID_BYTES);
	document_long_id(&id, r->model->plans[r->plan]->id_format, key);
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

static void count_notes(struct reading *r, const struct pg_result *row, int column)
{
	uint64_t notes = 0;

	if (pg_is_null(row, 0, column) || !parse_u64(pg_value(row, 0, column), pg_length(row, 0, column), &notes))
		return;
	report_nulled_add(&r->connector->run->report, r->model->plans[r->plan]->document->index, (int64_t)notes);
	sync_metrics_nulled(r->connector->run->metrics, notes);
}

static int add_document(struct reading *r, const struct pg_result *row, struct err *err)
{
	const struct document_plan *plan = r->model->plans[r->plan];
	int column = (int)plan->n_keys;
	const char *values[DOCUMENT_MAX_KEYS];
	size_t lens[DOCUMENT_MAX_KEYS];
	const struct document_key key = {values, lens, plan->n_keys};
	struct bulk_action action = {
		.index = r->model->concrete[r->plan], .version = r->version, .pipeline = plan->document->pipeline};

	for (size_t i = 0; i < plan->n_keys; i++) {
		values[i] = pg_value(row, 0, (int)i);
		lens[i] = pg_length(row, 0, (int)i);
	}
	action.document = pg_value(row, 0, column);
	action.document_len = pg_length(row, 0, column++);
	strbuf_reset(&r->scratch);
	if (document_id(&r->scratch, plan->id_format, &key))
		keep_key(r, &key, &action);
	action.id = r->scratch.data;
	action.id_len = r->scratch.len;
	if (plan->routing.given) {
		action.routing = routing_text(r, pg_value(row, 0, column), pg_length(row, 0, column));
		column++;
	}
	if (plan->counts_sanitized)
		count_notes(r, row, column);
	return add_action(r, &action, err);
}

/* Rejections may be as many as the rows: they must not pile up. */
static int keep_dead_letters(struct reading *r, struct err *err)
{
	if (r->dead->n < MOST_DEAD_LETTERS)
		return 0;
	return bulk_flush(r->bulk, err) < 0 || dead_letters_flush(r->dead, r->bulk, err) < 0 ? -1 : 0;
}

int reading_take(struct reading *r, struct err *err)
{
	const struct document_plan *plan = r->model->plans[r->plan];
	int got;

	for (;;) {
		_cleanup_(pg_result_freep) struct pg_result *row = NULL;

		got = pg_rows_next(r->pg, &row, err);
		if (got <= 0)
			return got;
		if (r->wanted)
			mark_seen(r, row, plan);
		if (add_document(r, row, err) < 0 || keep_dead_letters(r, err) < 0)
			return -1;
		r->rows++;
	}
}

int reading_failed(const struct reading *r, struct err *err)
{
	const struct document_plan *plan = r->model->plans[r->plan];
	size_t n;
	_cleanup_free_ struct catalog_expression_name *names = document_expressions(plan->document, &n);
	struct strbuf sb;

	if (n && pg_is_about_a_value(err)) {
		strbuf_init(&sb, KEYED_BYTES);
		for (size_t i = 0; i < n; i++)
			strbuf_addf(&sb, "%s`%.100s`", i ? " or " : "", names[i].sql);
		(void)err_wrap(err, "some row makes %.400s fail", sb.data);
		strbuf_release(&sb);
	}
	return err_wrap(err, "reading documents of \"%s\"", plan->document->index);
}

/* Takes the n columns at the beginning of an encoded root key. */
static int take_key(const char **key, size_t *len, const char **values, size_t *lens, size_t n, struct err *err)
{
	for (size_t i = 0; i < n; i++)
		if (!key_decode_value(key, len, &values[i], &lens[i]))
			return err_set(err, ERR_FATAL, "a root key lacks its column %zu", i);
	return 0;
}

int reading_add_failed(struct reading *r, const char *key, size_t len, const struct err *why, struct err *err)
{
	const struct document_plan *plan = r->model->plans[r->plan];
	const char *values[DOCUMENT_MAX_KEYS];
	size_t lens[DOCUMENT_MAX_KEYS];
	const struct document_key ids = {values, lens, plan->n_keys};

	if (take_key(&key, &len, values, lens, plan->n_keys, err) < 0)
		return -1;
	strbuf_reset(&r->scratch);
	(void)document_id(&r->scratch, plan->id_format, &ids);
	if (dead_letters_add_failed(r->dead, r->model->concrete[r->plan], r->scratch.data, r->version, why, err) < 0)
		return -1;
	return keep_dead_letters(r, err);
}

int reading_delete(struct reading *r, const char *key, size_t len, struct err *err)
{
	const struct document_plan *plan = r->model->plans[r->plan];
	size_t n = plan->n_keys;
	const char *values[DOCUMENT_MAX_KEYS + 1];
	size_t lens[DOCUMENT_MAX_KEYS + 1];
	const struct document_key ids = {values, lens, n};
	struct bulk_action action = {.index = r->model->concrete[r->plan], .version = r->version};

	if (take_key(&key, &len, values, lens, n, err) < 0)
		return -1;
	if (plan->routing.given) {
		if (!key_decode_value(&key, &len, &values[n], &lens[n]))
			return 0;
		action.routing = routing_text(r, values[n], lens[n]);
		action.version--;
	}
	strbuf_reset(&r->scratch);
	(void)document_id(&r->scratch, plan->id_format, &ids);
	action.id = r->scratch.data;
	action.id_len = r->scratch.len;
	return add_action(r, &action, err);
}
