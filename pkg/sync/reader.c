/* From rows to bulk actions. */
#include "sync/reader_int.h"

#include <stdlib.h>
#include <string.h>

#include "sync/deadletter_int.h"

/* INDEX_MAX_KEYS: what Postgres allows in a primary key. */
enum { ID_BYTES = 1024 * 1024, INDEX_MAX_KEYS = 32 };

void reading_init(struct reading *r, struct engine *e, struct pg *pg, struct bulk *bulk)
{
	*r = (struct reading){.engine = e, .pg = pg, .bulk = bulk};
	strbuf_init(&r->scratch, ID_BYTES);
}

void reading_release(struct reading *r)
{
	strbuf_release(&r->scratch);
	free(r->letters);
	r->letters = NULL;
}

void reading_begin_plan(struct reading *r, size_t plan)
{
	const char *index = r->engine->plans[plan]->document->index;

	r->plan = plan;
	free(r->letters);
	r->letters =
		report_dead_letters(&r->engine->report, index) > 0 ? xasprintf("%s" DEADLETTERS_SUFFIX, index) : NULL;
}

/* A document that is written (or deleted) again is rejected no more, or gets a new letter with the same version. */
static int add_action(struct reading *r, const struct bulk_action *action, struct err *err)
{
	struct bulk_action letter = {
		.index = r->letters, .id = action->id, .id_len = action->id_len, .version = action->version};

	if (bulk_add(r->bulk, action, err) < 0)
		return -1;
	return r->letters ? bulk_add(r->bulk, &letter, err) : 0;
}

/* Of several keys of one root, that with its present routing. */
static void mark_seen(struct reading *r, const PGresult *row, const struct document_plan *plan)
{
	int routing = (int)plan->n_keys + 1;
	struct key *key;

	strbuf_reset(&r->scratch);
	for (size_t i = 0; i < plan->n_keys; i++)
		key_encode_value(&r->scratch, PQgetvalue(row, 0, (int)i), (size_t)PQgetlength(row, 0, (int)i));
	if (plan->has_routing)
		key_encode_value(&r->scratch, PQgetvalue(row, 0, routing), (size_t)PQgetlength(row, 0, routing));
	key = keyset_find(r->wanted, (uint32_t)r->plan, r->scratch.data, r->scratch.len);
	if (key)
		key->seen = true;
}

/* The field's text by the output of its column; NULL: by id. */
static const char *routing_text(const struct document_plan *plan, const char *value)
{
	if (!*value)
		return NULL;
	return !plan->routing_is_bool ? value : *value == 't' ? "true" : "false";
}

static int add_document(struct reading *r, const PGresult *row, struct err *err)
{
	const struct document_plan *plan = r->engine->plans[r->plan];
	size_t n = plan->n_keys;
	const char *values[INDEX_MAX_KEYS];
	size_t lens[INDEX_MAX_KEYS];
	struct bulk_action action = {.index = r->engine->physical[r->plan], .version = r->version};

	for (size_t i = 0; i < n; i++) {
		values[i] = PQgetvalue(row, 0, (int)i);
		lens[i] = (size_t)PQgetlength(row, 0, (int)i);
	}
	strbuf_reset(&r->scratch);
	document_id(&r->scratch, values, lens, n);
	action.id = r->scratch.data;
	action.id_len = r->scratch.len;
	action.document = PQgetvalue(row, 0, (int)n);
	action.document_len = (size_t)PQgetlength(row, 0, (int)n);
	if (plan->has_routing)
		action.routing = routing_text(plan, PQgetvalue(row, 0, (int)n + 1));
	return add_action(r, &action, err);
}

int reading_take(struct reading *r, struct err *err)
{
	const struct document_plan *plan = r->engine->plans[r->plan];
	int got;

	for (;;) {
		_cleanup_result_ PGresult *row = NULL;

		got = pg_rows_next(r->pg, &row, err);
		if (got <= 0)
			return got;
		if (r->wanted)
			mark_seen(r, row, plan);
		if (add_document(r, row, err) < 0)
			return -1;
		r->rows++;
	}
}

int reading_delete(struct reading *r, const char *key, size_t len, struct err *err)
{
	const struct document_plan *plan = r->engine->plans[r->plan];
	size_t n = plan->n_keys;
	const char *values[INDEX_MAX_KEYS + 1];
	size_t lens[INDEX_MAX_KEYS + 1];
	struct bulk_action action = {.index = r->engine->physical[r->plan], .version = r->version};
	_cleanup_free_ char *routing = NULL;

	for (size_t i = 0; i < n; i++)
		if (!key_decode_value(&key, &len, &values[i], &lens[i]))
			return err_set(err, ERR_FATAL, "a root key lacks its column %zu", i);
	if (plan->has_routing) {
		if (!key_decode_value(&key, &len, &values[n], &lens[n]))
			return 0;
		routing = xstrndup(values[n], lens[n]);
		action.routing = routing_text(plan, routing);
		action.version--;
	}
	strbuf_reset(&r->scratch);
	document_id(&r->scratch, values, lens, n);
	action.id = r->scratch.data;
	action.id_len = r->scratch.len;
	return add_action(r, &action, err);
}
