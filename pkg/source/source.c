/* Publication, slot, and the tables that documents read. */
#include "source/source.h"

#include <stdlib.h>
#include <string.h>

#include "base/log.h"

enum {
	STATEMENT_BYTES = 1024,
	LIST_BYTES = 1024 * 1024,
	WAIT_MS = 50, /* pause between checks of transactions */
	REPORT_MS = 1000,
	LISTED = 5, /* transactions, at most */
};

/* --- the tables --- */

/* Columns of one table. */
struct marks {
	bool *links, *used;
};

/* Whether a plan reads the table; marks its columns. */
static bool mark_columns(const struct document_plan *plan, const struct catalog_table *table, const struct marks *marks)
{
	bool read = false;

	for (size_t t = 0; t < plan->n_tables; t++) {
		const struct document_table *used = &plan->tables[t];

		if (used->table != table)
			continue;
		read = true;
		for (size_t i = 0; i < used->n_link_columns; i++)
			marks->links[used->link_columns[i]] = true;
		for (size_t i = 0; i < used->n_used_columns; i++)
			marks->used[used->used_columns[i]] = true;
	}
	return read;
}

static int *list_columns(const bool *marks, size_t n_columns, size_t *ret_n)
{
	int *columns = xcalloc(n_columns, sizeof(*columns));

	*ret_n = 0;
	for (size_t i = 0; i < n_columns; i++)
		if (marks[i])
			columns[(*ret_n)++] = (int)i;
	return columns;
}

/* The index that identifies old rows, now or once identity_set has closed the gap; NULL: none does. */
static const struct catalog_index *identity_of(const struct source_table *read)
{
	return catalog_identity_covers_all(read->table, read->links, read->n_links)
		       ? catalog_identity(read->table)
		       : catalog_identity_index(read->table, read->links, read->n_links);
}

/* True if a column that no document uses may have large values. */
static bool has_large_unused(const struct catalog_table *table, const bool *used)
{
	for (size_t i = 0; i < table->n_columns; i++)
		if (table->columns[i].unlimited && !table->columns[i].generated && !used[i])
			return true;
	return false;
}

static void choose_published(struct source_table *read, const struct marks *marks)
{
	const struct catalog_table *table = read->table;
	const struct catalog_index *index = identity_of(read);
	_cleanup_free_ bool *needed = xmemdup(marks->links, table->n_columns * sizeof(*needed));

	read->large_unused = has_large_unused(table, marks->used);
	if (table->kind != 'r' || !index || !read->large_unused)
		return;
	for (size_t i = 0; i < index->n; i++)
		needed[index->columns[i]] = true;
	for (size_t i = 0; i < table->n_columns; i++)
		if (needed[i] && table->columns[i].generated)
			return;
	read->published = list_columns(needed, table->n_columns, &read->n_published);
}

static void add_table(struct source_tables *tables, const struct catalog_table *table, const struct marks *marks)
{
	struct source_table *to = &tables->items[tables->n++];

	*to = (struct source_table){.table = table};
	to->links = list_columns(marks->links, table->n_columns, &to->n_links);
	choose_published(to, marks);
}

void source_tables_init(struct source_tables *ret, const struct catalog *catalog, struct document_plan *const *plans,
			size_t n_plans)
{
	*ret = (struct source_tables){.items = xcalloc(catalog->n, sizeof(*ret->items))};
	for (size_t c = 0; c < catalog->n; c++) {
		const struct catalog_table *table = &catalog->tables[c];
		_cleanup_free_ bool *links = xcalloc(table->n_columns + 1, sizeof(*links));
		_cleanup_free_ bool *used = xcalloc(table->n_columns + 1, sizeof(*used));
		const struct marks marks = {links, used};
		bool read = false;

		for (size_t p = 0; p < n_plans; p++)
			read = mark_columns(plans[p], table, &marks) || read;
		if (read)
			add_table(ret, table, &marks);
	}
}

void source_tables_release(struct source_tables *tables)
{
	for (size_t i = 0; i < tables->n; i++) {
		free(tables->items[i].links);
		free(tables->items[i].published);
	}
	free(tables->items);
	*tables = (struct source_tables){0};
}

const struct source_table *source_tables_find(const struct source_tables *tables, uint32_t oid)
{
	for (size_t i = 0; i < tables->n; i++)
		if (tables->items[i].table->oid == oid)
			return &tables->items[i];
	return NULL;
}

/* --- the publication --- */

static char *mark_of(const char *owner)
{
	return xasprintf(SOURCE_MARK "%s", owner);
}

enum source_claim source_judge(const char *owner, const char *comment, const char *fingerprint,
			       const struct checkpoint *cp)
{
	_cleanup_free_ char *mark = mark_of(owner);

	if (!fingerprint)
		return SOURCE_ABSENT;
	if (comment && strcmp(comment, mark) == 0)
		return SOURCE_OURS;
	if (comment && strncmp(comment, SOURCE_MARK, strlen(SOURCE_MARK)) == 0)
		return SOURCE_OF_ANOTHER;
	/* The checkpoint is evidence of ownership only if an earlier version wrote it. */
	if (!cp->publication_marked && cp->publication_fingerprint &&
	    pg_publication_same(fingerprint, cp->publication_fingerprint))
		return SOURCE_OURS_BY_CP;
	return SOURCE_UNMARKED;
}

/* *ret_comment: the caller frees it. */
static int find_claim(const struct source *source, const struct checkpoint *cp, enum source_claim *ret,
		      char **ret_comment, struct err *err)
{
	_cleanup_free_ char *fingerprint = NULL;
	bool exists;

	if (pg_publication_fingerprint(source->pg, source->publication, &fingerprint, err) < 0 ||
	    pg_publication_comment(source->pg, source->publication, &exists, ret_comment, err) < 0)
		return -1;
	*ret = source_judge(source->owner, *ret_comment, exists ? fingerprint : NULL, cp);
	return 0;
}

static struct pg_published *list_published(const struct source_tables *tables)
{
	struct pg_published *list = xcalloc(tables->n, sizeof(*list));

	for (size_t i = 0; i < tables->n; i++)
		list[i] = (struct pg_published){.table = tables->items[i].table,
						.columns = tables->items[i].published,
						.n_columns = tables->items[i].n_published};
	return list;
}

/* A publication that an earlier version created is owned by the role; otherwise the role could not change it anyway. */
static int set_mark(const struct source *source, struct err *err)
{
	_cleanup_free_ char *mark = mark_of(source->owner);

	if (pg_publication_set_comment(source->pg, source->publication, mark, err) < 0 && err->kind != ERR_DENIED)
		return -1;
	return 0;
}

static int check_fits(const struct source *source, const struct source_tables *tables, struct err *err)
{
	_cleanup_free_ struct pg_published *list = list_published(tables);
	_cleanup_free_ char *sql = NULL;
	const char *name = source->publication;
	const struct pg_publication needed = {.name = name, .tables = list, .n_tables = tables->n};

	if (pg_publication_fits(source->pg, &needed, &sql, err) < 0)
		return -1;
	if (!sql)
		return 0;
	if (pg_is_standby(source->pg))
		return err_reason(
			err, ERR_INVALID, REASON_SERVER_IS_STANDBY,
			"the server is a standby, where publications cannot be changed, and publication "
			"\"%s\" does not publish what is needed: run this on the primary, and wait until the "
			"standby has it: %.600s; or set spec.source.host to the primary, or to a service that "
			"leads to it",
			name, sql);
	return err_reason(
		err, ERR_INVALID, REASON_PUBLICATION_CONFLICT,
		"publication \"%s\" was not created by pgsync, and does not publish exactly what is needed: "
		"choose another spec.source.replication.publicationName; or, to let pgsync alter and drop it, "
		"run COMMENT ON PUBLICATION \"%s\" IS '" SOURCE_MARK "%s'",
		name, name, source->owner);
}

int source_check_publication(const struct source *source, const struct checkpoint *cp,
			     const struct source_tables *tables, enum source_claim *ret, struct err *err)
{
	_cleanup_free_ char *comment = NULL;

	if (find_claim(source, cp, ret, &comment, err) < 0)
		return -1;
	if (*ret == SOURCE_OF_ANOTHER)
		return err_reason(err, ERR_INVALID, REASON_PUBLICATION_CONFLICT,
				  "publication \"%s\" belongs to another PgSync (its comment is \"%.300s\", expected "
				  "\"" SOURCE_MARK "%s\"): choose another spec.source.replication.publicationName",
				  source->publication, comment, source->owner);
	/* On a standby, ours is used as it is, too. */
	if (pg_is_standby(source->pg))
		*ret = SOURCE_UNMARKED;
	return *ret == SOURCE_UNMARKED ? check_fits(source, tables, err) : 0;
}

int source_claim_publication(const struct source *source, struct checkpoint *cp, const struct source_tables *tables,
			     enum source_claim *ret, struct err *err)
{
	if (source_check_publication(source, cp, tables, ret, err) < 0 ||
	    (*ret == SOURCE_OURS_BY_CP && set_mark(source, err) < 0))
		return -1;
	cp->publication_marked = true;
	return 0;
}

int source_drop_publication(const struct source *source, const struct checkpoint *cp, struct err *err)
{
	_cleanup_free_ char *comment = NULL;
	enum source_claim claim;

	if (find_claim(source, cp, &claim, &comment, err) < 0)
		return -1;
	if (pg_is_standby(source->pg))
		log_warn("source", "the server is a standby, so the publication stays",
			 KV_STR("publication", source->publication));
	else if (claim == SOURCE_OURS || claim == SOURCE_OURS_BY_CP)
		return pg_publication_drop(source->pg, source->publication, err);
	else if (claim != SOURCE_ABSENT)
		log_info("source", "the publication does not carry pgsync's mark, so it stays",
			 KV_STR("publication", source->publication));
	return 0;
}

int source_widen(const struct source *source, enum source_claim claim, struct err *err)
{
	return claim == SOURCE_UNMARKED ? 0 : pg_publication_widen(source->pg, source->publication, err);
}

int source_publish(const struct source *source, enum source_claim claim, const struct source_tables *tables,
		   struct source_published *ret, struct err *err)
{
	_cleanup_free_ struct pg_published *list = list_published(tables);
	_cleanup_free_ char *mark = mark_of(source->owner);
	const struct pg_publication needed = {
		.name = source->publication, .comment = mark, .tables = list, .n_tables = tables->n};

	ret->only_columns = true;
	if (claim != SOURCE_UNMARKED && pg_publication_ensure(source->pg, &needed, &ret->only_columns, err) < 0)
		return -1;
	return pg_publication_fingerprint(source->pg, source->publication, &ret->fingerprint, err);
}

int source_find_lacking(const struct source *source, const struct source_tables *tables, bool *lacking, size_t *ret,
			struct err *err)
{
	static const char sql[] =
		"SELECT r.prrelid FROM pg_publication p JOIN pg_publication_rel r ON r.prpubid = p.oid"
		" WHERE p.pubname = $1 AND r.prrelid = ANY ($2::oid[])";
	_cleanup_(pg_result_freep) struct pg_result *r = NULL;
	_cleanup_(strbuf_release) struct strbuf oids;

	strbuf_init(&oids, LIST_BYTES);
	pg_array_begin(&oids);
	for (size_t i = 0; i < tables->n; i++)
		pg_array_add_number(&oids, tables->items[i].table->oid);
	pg_array_end(&oids);
	if (pg_query(source->pg, sql, (const char *const[]){source->publication, oids.data}, 2, &r, err) < 0)
		return err_wrap(err, "reading the publication");
	*ret = 0;
	for (size_t i = 0; i < tables->n; i++) {
		lacking[i] = true;
		for (int row = 0; row < pg_n_rows(r) && lacking[i]; row++)
			lacking[i] = pg_u64(r, row, 0) != tables->items[i].table->oid;
		*ret += lacking[i];
	}
	return 0;
}

int source_still_published(const struct source *source, const char *fingerprint, bool *ret, struct err *err)
{
	_cleanup_free_ char *now = NULL;

	if (pg_publication_fingerprint(source->pg, source->publication, &now, err) < 0)
		return -1;
	*ret = now && strcmp(now, fingerprint) == 0;
	return 0;
}

/* --- transactions --- */

/* Notes the transactions that are running now. Caller frees *ret. A snapshot does not list transactions that began
 * after the newest one that has ended, so that has to be one of ours: it writes nothing, and waits for no standby. */
static int note_transactions(const struct source *source, char **ret, struct err *err)
{
	static const char sql[] = "SELECT coalesce(array_agg(x), '{}') FROM pg_snapshot_xip(pg_current_snapshot()) x";
	_cleanup_(pg_result_freep) struct pg_result *noted = NULL;

	if (pg_exec(source->pg, "SELECT pg_current_xact_id()", err) < 0 ||
	    pg_query(source->pg, sql, NULL, 0, &noted, err) < 0)
		return err_wrap(err, "reading the running transactions");
	*ret = xstrdup(pg_value(noted, 0, 0));
	return 0;
}

/* A commit may be in the WAL while nobody sees it yet: for a moment, or for as long as it waits for a standby. A role
 * without pg_read_all_stats sees no state of another role's session, which may then be committing. */
#define MAY_BE_COMMITTING(session)                                       \
	"(" session ".state IS NULL OR " session ".state = 'active' AND" \
	" (" session ".wait_event = 'SyncRep' OR " session ".query_start > now() - interval '1 second'))"

/* *ret: a text that lists the noted transactions that have not ended yet, oldest first; NULL: none. Caller frees. A
 * session that ends a prepared transaction has no transaction id itself. */
static int find_unfinished(const struct source *source, const char *noted, bool every, char **ret, struct err *err)
{
	static const char sql[] =
		"SELECT count(*), string_agg(what, ', ' ORDER BY position) FILTER (WHERE position <= $3::int) FROM "
		"(SELECT"
		"  row_number() OVER (ORDER BY x) AS position, CASE WHEN a.pid IS NOT NULL THEN 'process ' || a.pid"
		"   || ' (\"' || coalesce(a.application_name, '') || '\"' || coalesce(', ' || a.state, '')"
		"   || ', database \"' || coalesce(a.datname, '') || '\")'"
		"  WHEN p.gid IS NOT NULL THEN format('prepared transaction %L (database \"%s\")', p.gid, p.database)"
		"  ELSE 'transaction ' || x END AS what"
		" FROM unnest($1::xid8[]) x LEFT JOIN pg_stat_activity a ON a.backend_xid = x::xid"
		" LEFT JOIN pg_prepared_xacts p ON p.transaction = x::xid"
		" WHERE pg_snapshot_xmin(pg_current_snapshot()) <= x AND NOT pg_visible_in_snapshot(x, "
		"pg_current_snapshot())"
		" AND pg_xact_status(x) = 'in progress'"
		" AND ($2::bool OR CASE WHEN p.gid IS NULL THEN " MAY_BE_COMMITTING(
			"a") " ELSE EXISTS (SELECT FROM pg_stat_activity b WHERE b.datname = p.database AND "
			     "b.backend_xid IS NULL"
			     "  AND b.pid <> pg_backend_pid() AND " MAY_BE_COMMITTING("b") ") END)) running";
	_cleanup_free_ char *listed = xasprintf("%d", LISTED);
	const char *const params[] = {noted, every ? "t" : "f", listed};
	_cleanup_(pg_result_freep) struct pg_result *left = NULL;
	uint64_t n;

	*ret = NULL;
	if (pg_query(source->pg, sql, params, ARRAY_SIZE(params), &left, err) < 0)
		return err_wrap(err, "waiting for running transactions");
	n = pg_u64(left, 0, 0);
	if (n > LISTED)
		*ret = xasprintf("%s and %llu more", pg_value(left, 0, 1), (unsigned long long)(n - LISTED));
	else if (n)
		*ret = xstrdup(pg_value(left, 0, 1));
	return 0;
}

int source_wait_for_transactions(const struct source *source, bool every, const struct source_waiting *waiting,
				 struct err *err)
{
	_cleanup_free_ char *noted = NULL;

	/* What a standby has replayed is visible. It does not say which transactions are running. */
	if (pg_is_standby(source->pg))
		return every ? err_reason(err, ERR_TRANSIENT, REASON_PUBLICATION_CONFLICT,
					  "the publication was altered while pgsync was starting")
			     : 0;
	if (note_transactions(source, &noted, err) < 0)
		return -1;
	for (int64_t waited = 0;; waited += WAIT_MS) {
		_cleanup_free_ char *left = NULL;

		if (find_unfinished(source, noted, every, &left, err) < 0)
			return -1;
		if (!left)
			return 0;
		if (waited >= REPORT_MS * 2 && waited % REPORT_MS == 0)
			waiting->fn(waiting->user, left);
		if (pg_pause(source->pg, WAIT_MS, err) < 0)
			return -1;
	}
}

/* --- the slot --- */

/* The creation of a slot waits twice: for the transactions that ran when it began, and then for those that run after
 * that. */
struct creation {
	const struct source *source;
	const struct source_waiting *waiting;
	char *noted; /* NULL: the server is a standby, which does not know */
};

static void report_creation(void *user)
{
	struct creation *c = user;
	_cleanup_free_ char *left = NULL;
	struct err err;

	if (!c->noted) {
		c->waiting->fn(
			c->waiting->user,
			"those of the primary, which then logs that they have ended, when it next writes; to have "
			"it logged at once, run SELECT pg_log_standby_snapshot() on the primary");
		return;
	}
	if (find_unfinished(c->source, c->noted, true, &left, &err) < 0)
		return;
	if (left) {
		c->waiting->fn(c->waiting->user, left);
		return;
	}
	free(TAKE_PTR(c->noted));
	if (note_transactions(c->source, &c->noted, &err) < 0)
		c->noted = xstrdup("{}");
}

int source_create_slot(const struct source *source, struct pg *replication, const struct source_waiting *waiting,
		       uint64_t *ret_lsn, struct err *err)
{
	struct creation creation = {.source = source, .waiting = waiting};
	const struct pg_new_slot slot = {
		.name = source->slot, .failover = source->failover, .waiting = {REPORT_MS, report_creation, &creation}};
	int r = pg_is_standby(source->pg) ? 0 : note_transactions(source, &creation.noted, err);

	if (r == 0)
		r = pg_slot_create(replication, &slot, ret_lsn, err);
	free(creation.noted);
	if (r < 0)
		return err_wrap(err, "creating replication slot \"%s\"", source->slot);
	log_info("source", "replication slot created", KV_STR("slot", source->slot), KV_LSN("lsn", *ret_lsn));
	return 0;
}

int source_explain_end(const struct source *source, struct err *err)
{
	struct pg_slot slot;
	struct err failed;

	if (err->reason != REASON_SLOT_TAKEN || pg_slot_read(source->pg, source->slot, &slot, &failed) < 0)
		return -1;
	if (slot.state == PG_SLOT_ABSENT)
		return err_reason(err, ERR_TRANSIENT, REASON_SLOT_LOST, "replication slot \"%s\" was dropped",
				  source->slot);
	if (slot.state == PG_SLOT_LOST)
		return err_reason(err, ERR_TRANSIENT, REASON_SLOT_LOST,
				  "the server has invalidated replication slot \"%s\" (wal_status lost%s%s)",
				  source->slot, slot.invalidation[0] ? ", invalidation_reason " : "",
				  slot.invalidation);
	return -1;
}

char *source_slot_user(const struct source *source, const struct pg_slot *slot)
{
	_cleanup_free_ char *pid = xasprintf("%d", slot->active_pid);
	_cleanup_(pg_result_freep) struct pg_result *r = NULL;
	struct err ignored;

	if (slot->state != PG_SLOT_ACTIVE ||
	    pg_query(source->pg, "SELECT application_name FROM pg_stat_replication WHERE pid = $1::int",
		     (const char *const[]){pid}, 1, &r, &ignored) < 0 ||
	    pg_n_rows(r) != 1)
		return xstrdup("none");
	return xasprintf("\"%s\"", pg_value(r, 0, 0));
}

/* --- rows --- */

int source_count_rows(struct pg *pg, const struct catalog_table *table, int most, int *ret, struct err *err)
{
	_cleanup_(strbuf_release) struct strbuf sql;
	_cleanup_(pg_result_freep) struct pg_result *rows = NULL;

	strbuf_init(&sql, STATEMENT_BYTES);
	strbuf_adds(&sql, "SELECT FROM ");
	pg_quote_table(&sql, table->schema, table->name);
	strbuf_addf(&sql, " LIMIT %d", most);
	if (pg_query(pg, sql.data, NULL, 0, &rows, err) < 0)
		return err_wrap(err, "counting the rows of %s.%s", table->schema, table->name);
	*ret = pg_n_rows(rows);
	return 0;
}
