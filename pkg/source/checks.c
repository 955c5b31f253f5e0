/* Checks of the server, of tables and of views. */
#include "source/checks.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/mem.h"
#include "source/views.h"

enum { OLDEST_SERVER = 140000, COLUMN_LISTS_SERVER = 150000, STANDBY_SERVER = 160000, MAINTAIN_SERVER = 170000 };

/* --- the server --- */

static void check_version(const struct check_input *in, struct findings *f)
{
	if (in->server->version < OLDEST_SERVER)
		findings_add(f, FINDING_ERROR, REASON_VERSION_UNSUPPORTED, NULL,
			     "PostgreSQL %d is too old: version 14 or later is needed", in->server->version / 10000);
}

/* Such a database may contain text in any encoding, or invalid text, and does not record which. */
#define HAS_NO_ENCODING                                                                                            \
	"database \"%s\" has the encoding SQL_ASCII, so the server cannot convert its texts to UTF-8, which JSON " \
	"needs: "                                                                                                  \
	"dump it and restore it into a database with ENCODING 'UTF8'"

static void check_encoding(const struct check_input *in, struct findings *f)
{
	if (strcmp(in->server->encoding, "SQL_ASCII") == 0)
		findings_add(f, FINDING_ERROR, REASON_NOT_SUPPORTED, NULL, HAS_NO_ENCODING, in->source->database);
}

int checks_encoding(struct pg *pg, const char *database, struct err *err)
{
	_cleanup_(pg_result_freep) struct pg_result *r = NULL;

	if (pg_query(pg, "SELECT current_setting('server_encoding')", NULL, 0, &r, err) < 0)
		return err_wrap(err, "reading the server's settings");
	if (strcmp(pg_value(r, 0, 0), "SQL_ASCII") == 0)
		return err_reason(err, ERR_INVALID, REASON_NOT_SUPPORTED, HAS_NO_ENCODING, database);
	return 0;
}

static void check_wal_level(const struct check_input *in, struct findings *f)
{
	const char *least = in->server->raises_wal_level ? "replica" : "logical";

	if (strcmp(in->server->wal_level, "logical") != 0 && strcmp(in->server->wal_level, least) != 0)
		findings_add(f, FINDING_ERROR, REASON_WAL_LEVEL_NOT_LOGICAL, NULL,
			     "wal_level must be \"logical\", found \"%s\": ALTER SYSTEM SET wal_level = logical, then "
			     "restart the server",
			     in->server->wal_level);
}

static void check_may_replicate(const struct check_input *in, struct findings *f)
{
	const char *role = in->server->role;
	_cleanup_free_ char *alter = pg_statement("ALTER ROLE %I REPLICATION", role);
	_cleanup_free_ char *grant = pg_statement("GRANT rds_replication TO %I", role);

	if (!in->server->may_replicate)
		findings_add(f, FINDING_ERROR, REASON_PRIVILEGE_MISSING, NULL,
			     "role \"%s\" may not open a replication connection: %s, or what your service has instead "
			     "of this attribute (on Amazon RDS: %s)",
			     role, alter, grant);
}

#define LEAD_TO_PRIMARY "Set spec.source.host to the primary, or to a service that leads to it"

static void check_standby(const struct check_input *in, struct findings *f)
{
	if (!in->server->is_standby)
		return;
	if (in->server->version < STANDBY_SERVER)
		findings_add(
			f, FINDING_ERROR, REASON_SERVER_IS_STANDBY, NULL,
			"the server is a standby, expected the primary: a standby can be followed from PostgreSQL 16 "
			"on. " LEAD_TO_PRIMARY);
	else if (in->source->failover)
		findings_add(f, FINDING_ERROR, REASON_SERVER_IS_STANDBY, NULL,
			     "the server is a standby, expected the primary: failover slots "
			     "(spec.source.replication.failover) are on the primary. " LEAD_TO_PRIMARY);
	else if (!in->server->feeds_back)
		findings_add(
			f, FINDING_WARNING, REASON_SERVER_IS_STANDBY, NULL,
			"the server is a standby whose hot_standby_feedback is off: once the primary has removed "
			"rows that the slot needs, the standby invalidates the slot, and the index is rebuilt; ALTER "
			"SYSTEM SET hot_standby_feedback = on there, and reload");
}

bool checks_may_follow(const struct source *source, const struct checks_server *server)
{
	return !server->is_standby || (server->version >= STANDBY_SERVER && !source->failover);
}

static void check_may_publish(const struct check_input *in, struct findings *f)
{
	const char *role = in->server->role;
	_cleanup_free_ char *grant = pg_statement("GRANT CREATE ON DATABASE %I TO %I", in->source->database, role);

	if (!in->server->has_publication && !in->server->may_create && !in->server->is_standby)
		findings_add(f, FINDING_ERROR, REASON_PRIVILEGE_MISSING, NULL,
			     "role \"%s\" cannot create the publication \"%s\": %s, or create it yourself and set "
			     "spec.source.replication.publicationName",
			     role, in->source->publication, grant);
}

static void check_free_slot(const struct check_input *in, struct findings *f)
{
	if (in->server->free_slots <= 0 && !in->server->has_slot)
		findings_add(f, FINDING_ERROR, REASON_NO_FREE_SLOT, NULL,
			     "all replication slots of the server are in use: raise max_replication_slots or drop one "
			     "(SELECT * FROM pg_replication_slots)");
}

/* If our slot exists, one of the WAL senders in use may be our predecessor's. */
static void check_free_sender(const struct check_input *in, struct findings *f)
{
	if (in->server->free_senders <= 0 && !in->server->has_slot)
		findings_add(f, FINDING_ERROR, REASON_NO_FREE_SENDER, NULL,
			     "all WAL senders of the server are in use: raise max_wal_senders");
}

/* --- tables --- */

static void require_select(const struct check_input *in, const char *schema, const char *table, struct findings *f)
{
	_cleanup_free_ char *name = xasprintf("%s.%s", schema, table);
	_cleanup_free_ char *grant = pg_statement("GRANT SELECT ON %I.%I TO %I", schema, table, in->source->user);

	findings_add(f, FINDING_ERROR, REASON_PRIVILEGE_MISSING, name, "role \"%s\" cannot read it: %s",
		     in->source->user, grant);
}

static void check_may_read(const struct check_input *in, struct findings *f)
{
	if (!in->table->can_select)
		require_select(in, in->table->schema, in->table->name, f);
}

static void check_row_security(const struct check_input *in, struct findings *f)
{
	const struct catalog_table *table = in->table;
	_cleanup_free_ char *role = pg_statement("ALTER ROLE %I BYPASSRLS", in->source->user);
	_cleanup_free_ char *alter =
		pg_statement("ALTER TABLE %I.%I NO FORCE ROW LEVEL SECURITY", table->schema, table->name);

	if (!table->row_security || in->server->bypasses_row_security)
		return;
	if (table->is_owner)
		findings_add(f, FINDING_ERROR, REASON_ROW_SECURITY, in->name,
			     "has row security that is forced on its owner too, which would hide rows: %s, or %s", role,
			     alter);
	else
		findings_add(f, FINDING_ERROR, REASON_ROW_SECURITY, in->name,
			     "has row security, which would hide rows: %s", role);
}

static void check_overlap(const struct check_input *in, struct findings *f)
{
	if (in->overlaps)
		findings_add(f, FINDING_ERROR, REASON_NOT_SUPPORTED, in->name,
			     "is a partition of a table that the schema also reads, and its changes are published "
			     "under that table's name: use only one of the two");
}

static void check_part(const struct check_input *in, const struct catalog_part *part, struct findings *f)
{
	_cleanup_free_ char *name = xasprintf("%s.%s", part->schema, part->name);
	_cleanup_free_ char *alter = pg_statement("ALTER TABLE %I.%I SET LOGGED", part->schema, part->name);

	/* Partitions are read one by one. */
	if (!part->can_select && catalog_part_is_leaf(part))
		require_select(in, part->schema, part->name, f);
	if (part->kind == 'f')
		findings_add(f, FINDING_ERROR, REASON_NOT_SUPPORTED, name,
			     "is a foreign table and a partition of %s: its changes are not in this server's WAL",
			     in->name);
	else if (part->persistence != 'p')
		findings_add(f, FINDING_ERROR, REASON_TABLE_NOT_LOGGED, name,
			     "is an unlogged partition of %s: its changes are not in the WAL; %s", in->name, alter);
}

static void check_parts(const struct check_input *in, struct findings *f)
{
	for (size_t i = 0; i < in->table->n_parts; i++)
		check_part(in, &in->table->parts[i], f);
}

static void check_new_parts(const struct check_input *in, struct findings *f)
{
	if (in->table->kind == 'p' && !catalog_primary_key(in->table))
		findings_add(f, FINDING_WARNING, REASON_REPLICA_IDENTITY, in->name,
			     "is partitioned and has no primary key: Postgres refuses UPDATE and DELETE in a new "
			     "partition until its replica identity is set. pgsync does that within seconds; to avoid "
			     "the gap, set it when you create the partition: ALTER TABLE ... REPLICA IDENTITY FULL");
}

/* From Postgres 18 on there are virtual columns, which are never in the WAL: so it refuses UPDATE and DELETE of a
 * published table that has one where the identity is the whole row. */
static void check_virtual_columns(const struct check_input *in, struct findings *f)
{
	const struct catalog_table *table = in->table;
	_cleanup_free_ char *alter =
		pg_statement("ALTER TABLE %I.%I REPLICA IDENTITY USING INDEX ...", table->schema, table->name);
	bool full = table->replica_identity == 'f';

	for (size_t i = 0; i < in->gaps->n; i++)
		full = full || in->gaps->items[i].full;
	for (size_t i = 0; full && i < table->n_columns; i++)
		if (table->columns[i].is_virtual)
			findings_add(
				f, FINDING_ERROR, REASON_REPLICA_IDENTITY, in->name,
				"its generated column `%s` is virtual: Postgres refuses changes to a published table "
				"with such a column and replica identity FULL, which the links to its parents need; "
				"make the column STORED, or create a unique index on NOT NULL columns that include the "
				"link columns, and run %s",
				table->columns[i].name, alter);
}

static void check_identity(const struct check_input *in, struct findings *f)
{
	for (size_t i = 0; i < in->gaps->n; i++) {
		const struct identity_gap *gap = &in->gaps->items[i];
		_cleanup_free_ char *name = xasprintf("%s.%s", gap->schema, gap->name);

		if (in->source->verify_identities)
			findings_add(f, FINDING_ERROR, REASON_REPLICA_IDENTITY, name,
				     "its replica identity lacks the columns that link it to its parents: run \"%s\"",
				     gap->sql);
		else if (!gap->is_owner)
			findings_add(f, FINDING_ERROR, REASON_REPLICA_IDENTITY, name,
				     "its replica identity lacks the columns that link it to its parents, and role "
				     "\"%s\" does not own it: run \"%s\"",
				     in->source->user, gap->sql);
	}
}

/* Columns are left out of the stream where Postgres allows it: see source.h. */
static void check_large_columns(const struct check_input *in, struct findings *f)
{
	bool full = in->table->replica_identity == 'f' && in->gaps->n == 0;

	for (size_t i = 0; i < in->gaps->n; i++)
		full = full || in->gaps->items[i].full;
	if (full && in->read->large_unused && in->server->version >= COLUMN_LISTS_SERVER)
		findings_add(
			f, FINDING_WARNING, REASON_REPLICA_IDENTITY, in->name,
			"has columns that no document uses and whose values may be large; they are in the stream "
			"because its replica identity is FULL: to keep them out, create a unique index on NOT NULL "
			"columns that has its links among them");
}

/* --- views --- */

static void check_may_read_view(const struct check_input *in, struct findings *f)
{
	const struct catalog_table *view = in->view->view;

	if (!view->can_select)
		require_select(in, view->schema, view->name, f);
}

static bool is_refreshed(const struct check_input *in)
{
	return in->view->view->kind == 'm' && in->view->followed;
}

static void check_may_refresh(const struct check_input *in, struct findings *f)
{
	bool grants = in->server->version >= MAINTAIN_SERVER;
	const struct catalog_table *view = in->view->view;
	const char *user = in->source->user;
	_cleanup_free_ char *statement =
		pg_statement(grants ? "GRANT MAINTAIN ON %I.%I TO %I" : "ALTER MATERIALIZED VIEW %I.%I OWNER TO %I",
			     view->schema, view->name, user);

	if (is_refreshed(in) && in->server->is_standby)
		findings_add(
			f, FINDING_ERROR, REASON_NOT_SUPPORTED, in->name,
			"cannot be refreshed on a standby: remove its `base_tables`, or set spec.source.host to the "
			"primary");
	else if (is_refreshed(in) && !view->can_refresh)
		findings_add(f, FINDING_ERROR, REASON_PRIVILEGE_MISSING, in->name, "role \"%s\" cannot refresh it: %s",
			     user, statement);
}

static void check_refresh_blocks(const struct check_input *in, struct findings *f)
{
	const struct catalog_table *view = in->view->view;
	_cleanup_free_ char *create =
		pg_statement("CREATE UNIQUE INDEX CONCURRENTLY ON %I.%I (...)", view->schema, view->name);

	if (is_refreshed(in) && !views_have_unique_index(view))
		findings_add(f, FINDING_WARNING, REASON_REFRESH_BLOCKS, in->name,
			     "has no unique index, so nothing can read it while it is refreshed; create one to have it "
			     "refreshed CONCURRENTLY: %s",
			     create);
}

static void check_is_populated(const struct check_input *in, struct findings *f)
{
	const struct catalog_table *view = in->view->view;
	_cleanup_free_ char *refresh = pg_statement("REFRESH MATERIALIZED VIEW %I.%I", view->schema, view->name);

	if (view->kind == 'm' && !in->view->followed && !view->populated)
		findings_add(f, FINDING_ERROR, REASON_VIEW_NOT_POPULATED, in->name,
			     "was never refreshed: %s, or name its `base_tables`", refresh);
}

/* --- all of them --- */

static const struct check {
	const char *name;
	enum check_needs needs;
	void (*fn)(const struct check_input *in, struct findings *f);
} checks[] = {
	{"server version", CHECK_NEEDS_SERVER, check_version},
	{"encoding", CHECK_NEEDS_SERVER, check_encoding},
	{"wal_level", CHECK_NEEDS_SERVER, check_wal_level},
	{"role may replicate", CHECK_NEEDS_SERVER, check_may_replicate},
	{"standby", CHECK_NEEDS_SERVER, check_standby},
	{"role may publish", CHECK_NEEDS_SERVER, check_may_publish},
	{"a slot is free", CHECK_NEEDS_SERVER, check_free_slot},
	{"a sender is free", CHECK_NEEDS_SERVER, check_free_sender},
	{"role may read", CHECK_NEEDS_TABLE, check_may_read},
	{"row security", CHECK_NEEDS_TABLE, check_row_security},
	{"read twice", CHECK_NEEDS_TABLE, check_overlap},
	{"partitions", CHECK_NEEDS_TABLE, check_parts},
	{"later partitions", CHECK_NEEDS_TABLE, check_new_parts},
	{"virtual columns", CHECK_NEEDS_IDENTITY, check_virtual_columns},
	{"replica identity", CHECK_NEEDS_IDENTITY, check_identity},
	{"large columns", CHECK_NEEDS_IDENTITY, check_large_columns},
	{"role may read view", CHECK_NEEDS_VIEW, check_may_read_view},
	{"role may refresh", CHECK_NEEDS_VIEW, check_may_refresh},
	{"refresh blocks readers", CHECK_NEEDS_VIEW, check_refresh_blocks},
	{"view is populated", CHECK_NEEDS_VIEW, check_is_populated},
};

void checks_run(enum check_needs needs, const struct check_input *in, struct findings *f)
{
	for (size_t i = 0; i < ARRAY_SIZE(checks); i++) {
		size_t before = f->n;

		if (checks[i].needs != needs)
			continue;
		checks[i].fn(in, f);
		if (f->n > before)
			log_debug("source", "check has findings", KV_STR("check", checks[i].name),
				  KV_U64("findings", f->n - before));
	}
}

/* --- reading, and running --- */

int checks_read_server(const struct source *source, struct checks_server *ret, struct err *err)
{
	static const char sql[] =
		"SELECT coalesce(current_setting('effective_wal_level', true), current_setting('wal_level')), "
		"r.rolname,"
		" greatest(current_setting('max_replication_slots')::int - (SELECT count(*) FROM "
		"pg_replication_slots), 0),"
		" greatest(current_setting('max_wal_senders')::int - (SELECT count(*) FROM pg_stat_replication), 0),"
		" EXISTS (SELECT FROM pg_replication_slots WHERE slot_name = $1),"
		" EXISTS (SELECT FROM pg_publication WHERE pubname = $2),"
		" r.rolsuper OR r.rolreplication,"
		" r.rolsuper OR has_database_privilege(current_database(), 'CREATE'),"
		" r.rolsuper OR r.rolbypassrls,"
		" pg_is_in_recovery(), current_setting('server_encoding'),"
		/* A server that has this setting has wal_level as its least. */
		" current_setting('effective_wal_level', true) IS NOT NULL,"
		" current_setting('hot_standby_feedback')"
		" FROM pg_roles r WHERE r.rolname = current_user";
	const char *const params[] = {source->slot, source->publication};
	_cleanup_(pg_result_freep) struct pg_result *r = NULL;

	if (pg_query(source->pg, sql, params, 2, &r, err) < 0)
		return err_wrap(err, "reading the server's settings");
	*ret = (struct checks_server){
		.version = pg_server_version(source->pg),
		.free_slots = (int64_t)pg_u64(r, 0, 2),
		.free_senders = (int64_t)pg_u64(r, 0, 3),
		.has_slot = pg_bool(r, 0, 4),
		.has_publication = pg_bool(r, 0, 5),
		.may_replicate = pg_bool(r, 0, 6),
		.may_create = pg_bool(r, 0, 7),
		.bypasses_row_security = pg_bool(r, 0, 8),
		.is_standby = pg_bool(r, 0, 9),
		.raises_wal_level = pg_bool(r, 0, 11),
		.feeds_back = strcmp(pg_value(r, 0, 12), "on") == 0,
	};
	(void)snprintf(ret->wal_level, sizeof(ret->wal_level), "%s", pg_value(r, 0, 0));
	(void)snprintf(ret->role, sizeof(ret->role), "%s", pg_value(r, 0, 1));
	(void)snprintf(ret->encoding, sizeof(ret->encoding), "%s", pg_value(r, 0, 10));
	return 0;
}

void checks_server(const struct source *source, const struct checks_server *server, struct findings *f)
{
	checks_run(CHECK_NEEDS_SERVER, &(struct check_input){.source = source, .server = server}, f);
}

/* Whether some document names the table. */
static bool is_used(const struct checks_subject *s, const struct catalog_table *table)
{
	return s->named[table - s->catalog->tables] || source_tables_find(s->tables, table->oid);
}

static bool overlaps(const struct checks_subject *s, const struct catalog_table *table)
{
	const struct catalog_table *root =
		table->partition_of ? catalog_find_oid(s->catalog, table->partition_of) : NULL;

	return root && is_used(s, root);
}

static int check_table(const struct check_input *in, const struct source_table *read, struct findings *f,
		       struct err *err)
{
	_cleanup_(identity_gaps_release) struct identity_gaps gaps = {0};
	struct check_input with_gaps = *in;

	checks_run(CHECK_NEEDS_TABLE, in, f);
	if (!read)
		return 0;
	if (identity_add_gaps(in->source, read, &gaps, err) < 0)
		return err_wrap(err, "checking %s", in->name);
	with_gaps.gaps = &gaps;
	with_gaps.read = read;
	checks_run(CHECK_NEEDS_IDENTITY, &with_gaps, f);
	return 0;
}

int checks_tables(const struct source *source, const struct checks_server *server, const struct checks_subject *subject,
		  struct findings *f, struct err *err)
{
	for (size_t i = 0; i < subject->catalog->n; i++) {
		const struct catalog_table *table = &subject->catalog->tables[i];
		_cleanup_free_ char *name = xasprintf("%s.%s", table->schema, table->name);
		struct check_input in = {.source = source,
					 .server = server,
					 .table = table,
					 .name = name,
					 .overlaps = overlaps(subject, table)};

		if (!catalog_is_view(table) && is_used(subject, table) &&
		    check_table(&in, source_tables_find(subject->tables, table->oid), f, err) < 0)
			return -1;
	}
	return 0;
}

void checks_views(const struct source *source, const struct checks_server *server, const struct document_view *views,
		  size_t n, struct findings *f)
{
	for (size_t i = 0; i < n; i++) {
		_cleanup_free_ char *name = xasprintf("%s.%s", views[i].view->schema, views[i].view->name);
		const struct check_input in = {.source = source, .server = server, .name = name, .view = &views[i]};

		checks_run(CHECK_NEEDS_VIEW, &in, f);
	}
}

int checks_published(const struct source *source, const struct source_tables *tables, struct findings *f,
		     struct err *err)
{
	const struct checkpoint none = {0};
	enum source_claim ignored;

	if (!pg_is_standby(source->pg) || source_check_publication(source, &none, tables, &ignored, err) == 0)
		return 0;
	if (err->kind != ERR_INVALID)
		return -1;
	findings_add(f, FINDING_ERROR, err->reason, NULL, "%s", err->msg);
	return 0;
}
