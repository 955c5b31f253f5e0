/* From dirty keys to bulk actions. */
#include "sync/writer_int.h"

#include <stdlib.h>
#include <string.h>

#include "sink/purge.h"

enum {
	PAGE_KEYS = 2000,       /* of one query */
	VIEW_PAGE_KEYS = 20000, /* where a query may compute a whole view */
	SCAN_BYTES = 256 * 1024,
	SWEEP_DOCUMENTS = 1000, /* of a truncated root: deleting so many is faster than a new index */
};

/* --- a page of keys --- */

/* Keys of one target that one query takes. */
struct page {
	struct keyset *set;
	const struct key *const *keys;
	size_t n;
	const struct document_path *path; /* up to the roots; NULL: these are the roots' own */
	bool old;                         /* none of them was touched after the generation was begun */
};

static int arrays_add(struct writer *w, const char *key, size_t len, size_t n, struct err *err)
{
	for (size_t i = 0; i < n; i++) {
		const char *value;
		size_t value_len;

		if (!key_decode_value(&key, &len, &value, &value_len))
			return err_set(err, ERR_FATAL, "a dirty key lacks its column %zu", i);
		pg_array_add(&w->arrays[i], value, value_len);
	}
	return 0;
}

/* The keys as parameters: an array for each of their n columns. */
static int set_params(struct writer *w, const struct page *page, size_t n, struct err *err)
{
	for (size_t i = 0; i < n; i++) {
		strbuf_reset(&w->arrays[i]);
		pg_array_begin(&w->arrays[i]);
	}
	for (size_t i = 0; i < page->n; i++)
		if (arrays_add(w, keyset_data(page->set, page->keys[i]), page->keys[i]->len, n, err) < 0)
			return -1;
	for (size_t i = 0; i < n; i++) {
		pg_array_end(&w->arrays[i]);
		if (!strbuf_ok(&w->arrays[i]))
			return err_reason(err, ERR_LIMIT, REASON_KEY_TOO_LARGE,
					  "the keys of one batch are larger than %zu bytes", w->arrays[i].max);
		w->params[i] = w->arrays[i].data;
	}
	return 0;
}

static size_t page_keys(const struct writer *w)
{
	return w->model->plans[w->reading.plan]->computes_views ? VIEW_PAGE_KEYS : PAGE_KEYS;
}

/* --- documents --- */

static int start_by_key(struct writer *w, const struct document_plan *plan, struct err *err)
{
	if (plan->computes_views)
		return pg_rows_start(w->pg, plan->sql.by_key, w->params, (int)plan->n_keys, err);
	return pg_rows_start_prepared(w->pg, plan->document->index, plan->sql.by_key, w->params, (int)plan->n_keys,
				      err);
}

/* Reads the documents of root keys, and writes them; a root that is not there any more is deleted. */
static int read_roots(struct writer *w, const struct page *page, struct err *err)
{
	const struct document_plan *plan = w->model->plans[w->reading.plan];

	if (set_params(w, page, plan->n_keys, err) < 0 || start_by_key(w, plan, err) < 0)
		return -1;
	w->reading.wanted = page->set;
	if (reading_take(&w->reading, err) < 0)
		return -1;
	for (size_t i = 0; i < page->n; i++)
		if (!page->keys[i]->seen &&
		    reading_delete(&w->reading, keyset_data(page->set, page->keys[i]), page->keys[i]->len, err) < 0)
			return -1;
	return 0;
}

/* --- paths up --- */

static int write_page(struct writer *w, const struct page *page, struct err *err);

static int write_up(struct writer *w, struct err *err)
{
	_cleanup_free_ const struct key **keys = xcalloc(w->up.n, sizeof(*keys));
	int r;

	for (size_t i = 0; i < w->up.n; i++)
		keys[i] = &w->up.keys[i];
	r = w->up.n ? write_page(w, &(struct page){.set = &w->up, .keys = keys, .n = w->up.n}, err) : 0;
	keyset_reset(&w->up);
	return r;
}

static int take_roots(struct writer *w, const struct pg_result *rows, size_t n_keys, struct err *err)
{
	struct strbuf *key = &w->key;
	uint32_t plan = (uint32_t)w->reading.plan;

	keyset_reset(&w->up);
	for (int row = 0; row < pg_n_rows(rows); row++) {
		strbuf_reset(key);
		for (int column = 0; column < (int)n_keys; column++)
			key_encode_value(key, pg_value(rows, row, column), pg_length(rows, row, column));
		if (keyset_add(&w->up, plan, key->data, key->len, 0))
			continue;
		if (write_up(w, err) < 0)
			return -1;
		if (!keyset_add(&w->up, plan, key->data, key->len, 0))
			return err_reason(err, ERR_LIMIT, REASON_KEY_TOO_LARGE, "a root key is larger than %zu bytes",
					  w->up.bytes.max);
	}
	return write_up(w, err);
}

/* Roots may be many (a row that a million documents share): a cursor pages through them, and no list of them is ever in
 * memory. */
static int write_paths(struct writer *w, const char *sql, size_t n_params, struct err *err)
{
	size_t n_keys = w->model->plans[w->reading.plan]->n_keys;
	_cleanup_free_ char *declare = xasprintf("DECLARE pgsync_roots NO SCROLL CURSOR FOR %s", sql);
	int most = (int)page_keys(w);
	_cleanup_free_ char *fetch = xasprintf("FETCH %d FROM pgsync_roots", most);
	int n = most;

	if (pg_query(w->pg, declare, w->params, (int)n_params, NULL, err) < 0)
		return err_wrap(err, "finding the documents of a change");
	while (n == most) {
		_cleanup_(pg_result_freep) struct pg_result *rows = NULL;

		if (pg_query(w->pg, fetch, NULL, 0, &rows, err) < 0)
			return err_wrap(err, "finding the documents of a change");
		n = pg_n_rows(rows);
		if (n && take_roots(w, rows, n_keys, err) < 0)
			return -1;
	}
	return pg_exec(w->pg, "CLOSE pgsync_roots", err);
}

static int read_path(struct writer *w, const struct page *page, struct err *err)
{
	if (set_params(w, page, page->path->n_columns, err) < 0)
		return -1;
	return write_paths(w, page->path->sql, page->path->n_columns, err);
}

/* --- values for which reading fails --- */

static int read_page(struct writer *w, const struct page *page, struct err *err)
{
	return page->path ? read_path(w, page, err) : read_roots(w, page, err);
}

/* A path has said itself what failed. */
static int page_failed(const struct writer *w, const struct page *page, struct err *err)
{
	return page->path ? -1 : reading_failed(&w->reading, err);
}

/* Keeps what a failed read leaves of the transaction. True: it failed because of a value, which is in why. */
static int try_read(struct writer *w, int failed, struct err *why, struct err *err)
{
	if (failed == 0)
		return pg_exec(w->pg, "RELEASE pgsync_page", err);
	if (!pg_is_about_a_value(why)) {
		*err = *why;
		return -1;
	}
	if (pg_exec(w->pg, "ROLLBACK TO pgsync_page", err) < 0 || pg_exec(w->pg, "RELEASE pgsync_page", err) < 0)
		return -1;
	return 1;
}

static int write_halves(struct writer *w, const struct page *page, struct err *err)
{
	struct page half = *page;

	half.n = page->n / 2;
	if (write_page(w, &half, err) < 0)
		return -1;
	half.keys += half.n;
	half.n = page->n - half.n;
	return write_page(w, &half, err);
}

/* Where an expression fails for a row, the page is halved until the document of that row is alone. The same where keys
 * are old: values from before the generation was begun may be of a type that the column has no more. Then there is no
 * such row, and what it became is read by the bootstrap. */
static int write_page(struct writer *w, const struct page *page, struct err *err)
{
	bool alone = !page->path && w->model->plans[w->reading.plan]->fails_alone;
	struct err why = {0};
	int r;

	if (!alone && !page->old)
		return read_page(w, page, err) < 0 ? page_failed(w, page, err) : 0;
	if (pg_exec(w->pg, "SAVEPOINT pgsync_page", err) < 0)
		return -1;
	r = try_read(w, read_page(w, page, &why), &why, err);
	if (r <= 0)
		return r < 0 ? page_failed(w, page, err) : 0;
	if (page->n > 1)
		return write_halves(w, page, err);
	if (page->old)
		return 0;
	return reading_add_failed(&w->reading, keyset_data(page->set, page->keys[0]), page->keys[0]->len, &why, err);
}

/* --- keys of a batch --- */

/* What the plan's generation was filled with holds every commit up to this version. */
static uint64_t filled_version(const struct writer *w, size_t plan)
{
	return w->model->filled[plan];
}

static bool is_contained(const struct writer *w, size_t plan, uint64_t lsn)
{
	return filled_version(w, plan) >= lsn;
}

/* The keys of a target that one of the first n transactions touched: first the old ones, which none of them touched
 * after the generation was begun. Caller frees. */
static const struct key **select_keys(const struct writer *w, const struct batch *batch, uint32_t target, size_t n_txns,
				      size_t *ret_old, size_t *ret_n)
{
	const struct key **selected = xcalloc(batch->keys.n, sizeof(*selected));
	uint64_t filled = filled_version(w, w->reading.plan);
	size_t old = 0, n = 0;

	for (size_t i = 0; i < batch->keys.n; i++) {
		const struct key *key = &batch->keys.keys[i];
		size_t last = key->last_txn < n_txns ? key->last_txn : n_txns - 1;

		if (key->target != target || key->first_txn >= n_txns)
			continue;
		selected[n++] = key;
		if (filled < batch->txns[last].lsn)
			continue;
		selected[n - 1] = selected[old];
		selected[old++] = key;
	}
	*ret_old = old;
	*ret_n = n;
	return selected;
}

static int write_keys(struct writer *w, struct batch *batch, uint32_t target, size_t n_txns, struct err *err)
{
	size_t old, n;
	_cleanup_free_ const struct key **keys = select_keys(w, batch, target, n_txns, &old, &n);
	struct page page = {.set = &batch->keys, .path = target_at(&w->model->targets, target).path};
	size_t most = page_keys(w);

	for (size_t i = 0; i < n; i += page.n) {
		size_t left;

		page.old = i < old;
		left = (page.old ? old : n) - i;
		page.keys = keys + i;
		page.n = left < most ? left : most;
		if (write_page(w, &page, err) < 0)
			return -1;
	}
	return 0;
}

/* --- a batch --- */

/* The LSN of the newest of the first n transactions that touched a target without values. */
static uint64_t touched_lsn(const struct batch *batch, uint32_t target, size_t n_txns)
{
	const struct key *key = keyset_find(&batch->keys, target, "", 0);
	size_t last = key->last_txn < n_txns ? key->last_txn : n_txns - 1;

	return batch->txns[last].lsn;
}

bool *writer_touched(const struct writer *w, const struct batch *batch, size_t n_txns)
{
	bool *touched = xcalloc(w->model->targets.n, sizeof(*touched));

	for (size_t i = 0; i < batch->keys.n; i++)
		if (batch->keys.keys[i].first_txn < n_txns)
			touched[batch->keys.keys[i].target] = true;
	return touched;
}

/* Every root. Those of a view cost one reading of it, whatever its definition; and none of them has an event when it is
 * gone. */
static int write_all(struct writer *w, size_t number, struct err *err)
{
	const struct document_plan *plan = w->model->plans[number];
	_cleanup_free_ char *sql = NULL;

	if (!plan->root_is_view)
		return write_paths(w, plan->sql.all_keys, 0, err);
	w->to_sweep[number] = true;
	w->reading.wanted = NULL;
	sql = document_sql_by_range(plan, NULL);
	if (pg_rows_start(w->pg, sql, NULL, 0, err) < 0 || reading_take(&w->reading, err) < 0)
		return reading_failed(&w->reading, err);
	return 0;
}

static int write_target(struct writer *w, struct batch *batch, uint32_t number, size_t n_txns, struct err *err);

/* --- rows of a partition that was attached */

/* Columns of the table as a description of its rows in the stream. */
static struct pgoutput_relation describe_columns(const struct catalog_table *table, const int *columns, size_t n)
{
	struct pgoutput_relation relation = {.oid = table->oid,
					     .schema = table->schema,
					     .name = table->name,
					     .replica_identity = 'f',
					     .columns = xcalloc(n, sizeof(*relation.columns)),
					     .n = (uint16_t)n};

	for (size_t i = 0; i < n; i++) {
		relation.columns[i].name = table->columns[columns[i]].name;
		relation.columns[i].type_oid = table->columns[columns[i]].type_oid;
	}
	return relation;
}

static int collect_row(struct writer *w, const struct pgoutput_relation *relation, const struct pg_result *rows,
		       int row, struct err *err)
{
	_cleanup_free_ struct pgoutput_value *values = xcalloc(relation->n, sizeof(*values));
	const struct pgoutput_message m = {.type = PGOUTPUT_INSERT, .relation = relation, .new_row = values};

	for (int i = 0; i < relation->n; i++) {
		if (pg_is_null(rows, row, i))
			continue;
		values[i] = (struct pgoutput_value){.kind = PGOUTPUT_TEXT,
						    .data = pg_value(rows, row, i),
						    .len = (uint32_t)pg_length(rows, row, i)};
	}
	return collector_change(w->scanner, &m, &w->page, err);
}

/* As if the rows were inserted just now. */
static int write_rows(struct writer *w, const struct pgoutput_relation *relation, const struct pg_result *rows,
		      struct err *err)
{
	_cleanup_free_ bool *touched = NULL;

	batch_reset(&w->page);
	batch_begin(&w->page, 0, INT64_MAX, 0);
	for (int row = 0; row < pg_n_rows(rows); row++)
		if (collect_row(w, relation, rows, row, err) < 0)
			return -1;
	touched = writer_touched(w, &w->page, 1);
	/* Where every root may depend on a row, all of them are read again anyway. */
	for (uint32_t i = 0; i < w->model->targets.first_all; i++)
		if (touched[i] && write_target(w, &w->page, i, 1, err) < 0)
			return -1;
	return 0;
}

static char *scan_sql(const struct partition_scan *scan, const struct pgoutput_relation *relation)
{
	struct strbuf sb;

	strbuf_init(&sb, SCAN_BYTES);
	strbuf_adds(&sb, "DECLARE pgsync_scan NO SCROLL CURSOR FOR SELECT ");
	for (int i = 0; i < relation->n; i++) {
		strbuf_adds(&sb, i ? ", " : "");
		pg_quote_ident(&sb, relation->columns[i].name);
	}
	strbuf_adds(&sb, " FROM ");
	pg_quote_table(&sb, scan->part->schema, scan->part->name);
	return strbuf_detach(&sb);
}

static int scan_pages(struct writer *w, const struct partition_scan *scan, const struct pgoutput_relation *relation,
		      struct err *err)
{
	_cleanup_free_ char *declare = scan_sql(scan, relation);
	_cleanup_free_ char *fetch = xasprintf("FETCH %d FROM pgsync_scan", PAGE_KEYS);
	int n = PAGE_KEYS;

	if (pg_exec(w->pg, declare, err) < 0)
		return -1;
	while (n == PAGE_KEYS) {
		_cleanup_(pg_result_freep) struct pg_result *rows = NULL;

		if (pg_query(w->pg, fetch, NULL, 0, &rows, err) < 0)
			return -1;
		n = pg_n_rows(rows);
		if (write_rows(w, relation, rows, err) < 0)
			return -1;
	}
	return pg_exec(w->pg, "CLOSE pgsync_scan", err);
}

static int scan(struct writer *w, const struct partition_scan *scan, struct err *err)
{
	const struct source_table *table = source_tables_find(&w->model->tables, scan->table->oid);
	struct pgoutput_relation relation = describe_columns(scan->table, table->links, table->n_links);
	int r = 0;

	if (table->n_links) {
		(void)collector_relation(w->scanner, &relation);
		r = scan_pages(w, scan, &relation, err);
	}
	free(relation.columns);
	return r < 0 ? err_wrap(err, "reading partition %s.%s", scan->part->schema, scan->part->name) : 0;
}

/* --- a batch */

/* What is read now is newer than what a bootstrap read, also where the batch is older than its generation. */
static void begin_plan(struct writer *w, size_t plan)
{
	uint64_t filled = filled_version(w, plan);

	reading_begin_plan(&w->reading, plan);
	w->reading.version = w->version > filled ? w->version : filled + 1;
}

/* Neither the index nor the table is large. */
static int is_small(struct writer *w, size_t plan, bool *ret, struct err *err)
{
	struct search_stats stats;
	int rows;

	if (search_stats(w->reading.dead->sink->search, w->model->concrete[plan], &stats, err) < 0)
		return err_wrap(err, "counting the documents of a truncated table");
	if (source_count_rows(w->pg, w->model->plans[plan]->root, SWEEP_DOCUMENTS + 1, &rows, err) < 0)
		return -1;
	*ret = stats.documents <= SWEEP_DOCUMENTS && rows <= SWEEP_DOCUMENTS;
	return 0;
}

/* The root was emptied. A few documents are deleted one by one; for many, a new generation takes the place of the old
 * one. That is also so while a generation is being filled, since a chunk that was read before may still be on its way
 * into the index; and for a partitioned root, which is about to be built anew because of its partitions. */
static int write_truncated(struct writer *w, size_t plan, struct err *err)
{
	bool sweep = w->live && w->connector->run->spec->bootstrap == SPEC_BOOTSTRAP_NEVER;

	if (w->live && !sweep && w->model->plans[plan]->root->kind != 'p' && is_small(w, plan, &sweep, err) < 0)
		return -1;
	if (sweep) {
		w->to_sweep[plan] = true;
		return write_all(w, plan, err);
	}
	/* It comes again after the new generation was begun: nothing is acknowledged. */
	w->rebuild |= UINT64_C(1) << plan;
	return 0;
}

static int write_target(struct writer *w, struct batch *batch, uint32_t number, size_t n_txns, struct err *err)
{
	struct target target = target_at(&w->model->targets, number);

	begin_plan(w, target.plan);
	switch (target.kind) {
	case TARGET_ROOT:
	case TARGET_PATH:
		return write_keys(w, batch, number, n_txns, err);
	case TARGET_ALL:
		if (is_contained(w, target.plan, touched_lsn(batch, number, n_txns)))
			return 0;
		return write_all(w, target.plan, err);
	case TARGET_REBUILD:
		if (is_contained(w, target.plan, touched_lsn(batch, number, n_txns)))
			return 0;
		return write_truncated(w, target.plan, err);
	case TARGET_SCAN:
		return scan(w, &w->model->resync.scans[target.scan], err);
	}
	return 0;
}

int writer_write(struct writer *w, struct batch *batch, size_t n_txns, struct err *err)
{
	_cleanup_free_ bool *touched = writer_touched(w, batch, n_txns);

	for (uint32_t i = 0; i < w->model->targets.n; i++)
		if (touched[i] && write_target(w, batch, i, n_txns, err) < 0)
			return -1;
	return 0;
}

/* The documents of a plan and its dead letters. */
static int purge_plan(struct reading *r, struct err *err)
{
	const struct sink *sink = r->dead->sink;

	if (purge_older(sink, r->model->concrete[r->plan], r->version, r->bulk, err) < 0)
		return -1;
	return r->dead_index ? purge_older(sink, r->dead_index, r->version, r->bulk, err) : 0;
}

int writer_sweep(struct writer *w, struct err *err)
{
	int any = 0;

	for (size_t i = 0; i < w->model->n_plans; i++) {
		if (!w->to_sweep[i])
			continue;
		w->to_sweep[i] = false;
		begin_plan(w, i);
		if (purge_plan(&w->reading, err) < 0)
			return -1;
		any = 1;
	}
	return any;
}

/* --- life --- */

void writer_init(struct writer *w, const struct model *model, struct connector *connector)
{
	*w = (struct writer){.model = model, .connector = connector, .scanner = collector_new(&model->targets)};
	w->to_sweep = xcalloc(model->n_plans, sizeof(*w->to_sweep));
	batch_init(&w->page);
	keyset_init(&w->up, (size_t)16 * BATCH_BYTES);
	strbuf_init(&w->key, (size_t)16 * BATCH_BYTES);
	for (size_t i = 0; i < DOCUMENT_MAX_KEYS; i++)
		strbuf_init(&w->arrays[i], (size_t)32 * BATCH_BYTES);
}

void writer_connect(struct writer *w, struct pg *pg, struct bulk *bulk, struct dead_letters *dead)
{
	w->pg = pg;
	reading_init(&w->reading, w->model, w->connector, pg);
	w->reading.bulk = bulk;
	w->reading.dead = dead;
}

void writer_release(struct writer *w)
{
	if (w->pg)
		reading_release(&w->reading);
	collector_free(w->scanner);
	batch_release(&w->page);
	free(w->to_sweep);
	keyset_release(&w->up);
	strbuf_release(&w->key);
	for (size_t i = 0; i < DOCUMENT_MAX_KEYS; i++)
		strbuf_release(&w->arrays[i]);
}
