/* Everything that can be known before anything is changed, found at once. */
#include <stdlib.h>
#include <string.h>

#include "base/parse.h"
#include "sync/health_int.h"
#include "sync/identity_int.h"

/* CONDITION_BYTES: the CRD allows 32,768 of a message. */
enum { OLDEST_SERVER = 140000, CONDITION_BYTES = 30000 };

/* --- reachability --- */

static void say_unreachable(struct attempt *at, enum condition_type type, const struct err *err)
{
	report_condition(&at->run->report, type, STATUS_FALSE, err->reason ? err->reason : "Unreachable", "%s",
			 err->msg);
}

/* A login that is refused: where to mend it. */
static void name_secret(struct err *err, const char *secret)
{
	if (secret && err->reason && !strcmp(err->reason, "AuthFailed"))
		err_append(err, "; the credentials are those of Secret \"%s\"", secret);
}

static int reach_source(struct attempt *at, struct err *err)
{
	const struct spec_source *source = &at->run->spec->source;
	struct pg_slot slot;

	if (connector_pg(&at->connector, CONNECTOR_SHORT, "control", &at->pg, err) < 0) {
		name_secret(err, source->password_ref.name ? source->password_ref.name : source->connection_secret);
		if (strstr(err->msg, "does not support SSL"))
			err_append(err, "; switch TLS on there, or set spec.source.tls.mode: Disable");
		say_unreachable(at, CONDITION_SOURCE_REACHABLE, err);
		return err_wrap(err, "source");
	}
	report_condition(&at->run->report, CONDITION_SOURCE_REACHABLE, STATUS_TRUE, "Connected",
			 "PostgreSQL %d.%d at %s:%d", pg_server_version(at->pg) / 10000,
			 pg_server_version(at->pg) % 10000, source->host, (int)source->port);
	/* WAL piles up while the other side is away. */
	if (pg_slot_read(at->pg, source->slot_name, &slot, err) < 0)
		return err_wrap(err, "reading the slot");
	health_set_slot_condition(at->run, &slot);
	return 0;
}

static int reach_sink(struct attempt *at, struct err *err)
{
	struct search_info info = {0};
	int r = connector_sink(&at->connector, &at->sink, err);

	/* One that does not even say who it is, is away; making an index may take its time. */
	if (r == 0) {
		search_set_timeout(at->sink.search, ATTEMPT_SINK_MS);
		r = search_info(at->sink.search, &info, err);
		search_set_timeout(at->sink.search, 0);
	}
	if (r < 0) {
		name_secret(err, at->run->spec->sink.auth_secret.name);
		say_unreachable(at, CONDITION_SINK_REACHABLE, err);
		return err_wrap(err, "sink");
	}
	report_condition(&at->run->report, CONDITION_SINK_REACHABLE, STATUS_TRUE, "Connected", "%s %s",
			 info.flavour == SEARCH_OPENSEARCH ? "OpenSearch" : "Elasticsearch", info.version);
	return 0;
}

/* --- the server's settings and the role's privileges --- */

static const char server_sql[] =
	"SELECT current_setting('wal_level'),"
	" current_setting('max_replication_slots')::int - (SELECT count(*) FROM pg_replication_slots),"
	" current_setting('max_wal_senders')::int - (SELECT count(*) FROM pg_stat_replication),"
	" EXISTS (SELECT FROM pg_replication_slots WHERE slot_name = $1),"
	" EXISTS (SELECT FROM pg_publication WHERE pubname = $2),"
	" r.rolsuper OR r.rolreplication OR (SELECT coalesce(bool_or(pg_has_role(g.oid, 'member')), false)"
	"   FROM pg_roles g WHERE g.rolname IN ('rds_replication', 'cloudsqlreplica')),"
	" r.rolsuper OR has_database_privilege(current_database(), 'CREATE'),"
	" r.rolname,"
	" r.rolsuper OR r.rolbypassrls,"
	" pg_is_in_recovery()"
	" FROM pg_roles r WHERE r.rolname = current_user";

enum server_column {
	WAL_LEVEL,
	FREE_SLOTS,
	FREE_SENDERS,
	HAS_SLOT,
	HAS_PUBLICATION,
	MAY_REPLICATE,
	MAY_CREATE,
	ROLE,
	BYPASS_RLS,
	RECOVERY
};

static bool is_true(const struct pg_result *r, int column)
{
	return pg_value(r, 0, column)[0] == 't';
}

static bool none_left(const struct pg_result *r, int column)
{
	const char *left = pg_value(r, 0, column);

	return left[0] == '-' || !strcmp(left, "0");
}

static void check_capacity(const struct pg_result *r, struct findings *f)
{
	if (none_left(r, FREE_SLOTS) && !is_true(r, HAS_SLOT))
		findings_add(f, FINDING_ERROR, "NoFreeSlot", NULL,
			     "all replication slots of the server are in use: raise max_replication_slots or drop one "
			     "(SELECT * FROM pg_replication_slots)");
	/* With our slot there, one of them may be our predecessor's. */
	if (none_left(r, FREE_SENDERS) && !is_true(r, HAS_SLOT))
		findings_add(f, FINDING_ERROR, "NoFreeSender", NULL,
			     "all WAL senders of the server are in use: raise max_wal_senders");
}

static int check_server(struct attempt *at, struct findings *f, bool *ret_bypass_rls, struct err *err)
{
	const struct spec_source *source = &at->run->spec->source;
	_cleanup_(pg_result_freep) struct pg_result *r = NULL;

	if (pg_server_version(at->pg) < OLDEST_SERVER)
		findings_add(f, FINDING_ERROR, "VersionUnsupported", NULL,
			     "PostgreSQL %d is too old: version 14 or later is needed",
			     pg_server_version(at->pg) / 10000);
	if (pg_query(at->pg, server_sql, (const char *const[]){source->slot_name, source->publication_name}, 2, &r,
		     err) < 0)
		return err_wrap(err, "reading the server's settings");
	if (strcmp(pg_value(r, 0, WAL_LEVEL), "logical") != 0)
		findings_add(f, FINDING_ERROR, "WalLevelNotLogical", NULL,
			     "wal_level is \"%s\" and must be \"logical\": ALTER SYSTEM SET wal_level = logical, then "
			     "restart the server",
			     pg_value(r, 0, WAL_LEVEL));
	if (!is_true(r, MAY_REPLICATE))
		findings_add(f, FINDING_ERROR, "PrivilegeMissing", NULL,
			     "role \"%s\" may not replicate: ALTER ROLE \"%s\" REPLICATION", pg_value(r, 0, ROLE),
			     pg_value(r, 0, ROLE));
	if (is_true(r, RECOVERY))
		findings_add(f, FINDING_ERROR, "ServerIsStandby", NULL,
			     "the server is a standby: name the primary as the source");
	if (!is_true(r, HAS_PUBLICATION) && !is_true(r, MAY_CREATE))
		findings_add(f, FINDING_ERROR, "PrivilegeMissing", NULL,
			     "role \"%s\" may not create the publication \"%s\": GRANT CREATE ON DATABASE \"%s\" TO "
			     "\"%s\", or "
			     "create it and name it in spec.source.replication.publicationName",
			     pg_value(r, 0, ROLE), source->publication_name, source->database, pg_value(r, 0, ROLE));
	check_capacity(r, f);
	*ret_bypass_rls = is_true(r, BYPASS_RLS);
	return 0;
}

/* --- catalog and documents --- */

/* Every relation that some document names. */
static struct catalog_name *all_relations(const struct spec *spec, size_t *ret_n)
{
	struct catalog_name *all = NULL;
	size_t n = 0;

	for (size_t i = 0; i < spec->n_documents; i++) {
		size_t some_n;
		_cleanup_free_ struct catalog_name *some = document_relations(spec->documents[i], &some_n);

		all = xreallocarray(all, n + some_n + 1, sizeof(*all));
		if (some_n)
			memcpy(all + n, some, some_n * sizeof(*all));
		n += some_n;
	}
	*ret_n = n;
	return all;
}

static int load_expressions(struct attempt *at, struct err *err)
{
	for (size_t i = 0; i < at->run->spec->n_documents; i++) {
		size_t n;
		_cleanup_free_ struct catalog_expression_name *names =
			document_expressions(at->run->spec->documents[i], &n);

		if (catalog_load_expressions(at->pg, at->model.catalog, names, n, err) < 0)
			return -1;
	}
	return 0;
}

static int compile(struct attempt *at, struct findings *f, struct err *err)
{
	size_t n, n_known = 0;
	_cleanup_free_ struct catalog_name *names = all_relations(at->run->spec, &n);
	struct document_names known;
	char **tables = NULL;

	if (catalog_load(at->pg, names, n, &at->model.catalog, err) < 0 || load_expressions(at, err) < 0 ||
	    catalog_list(at->pg, names, n, &tables, &n_known, err) < 0)
		return err_wrap(err, "reading the catalog");
	known = (struct document_names){(const char *const *)tables, n_known};
	at->model.plans = xcalloc(at->run->spec->n_documents, sizeof(struct document_plan *));
	at->model.concrete = xcalloc(at->run->spec->n_documents, sizeof(char *));
	at->model.filled = xcalloc(at->run->spec->n_documents, sizeof(uint64_t));
	for (size_t i = 0; i < at->run->spec->n_documents; i++)
		at->model.plans[i] = document_compile(at->run->spec->documents[i], &at->run->spec->document_format,
						      at->model.catalog, &known, f);
	at->model.n_plans = at->run->spec->n_documents;
	free_strings(tables, n_known);
	return 0;
}

/* A schema that was found wrong before has no plan, without another word. */
static bool all_compiled(const struct attempt *at)
{
	for (size_t i = 0; i < at->model.n_plans; i++)
		if (!at->model.plans[i])
			return false;
	return true;
}

static void check_select(const struct attempt *at, bool can_select, const char *name, struct findings *f)
{
	if (!can_select)
		findings_add(f, FINDING_ERROR, "PrivilegeMissing", name,
			     "role \"%s\" may not read it: GRANT SELECT ON %s TO \"%s\"", at->run->spec->source.user,
			     name, at->run->spec->source.user);
}

/* From Postgres 18 on there are virtual columns, which are never in the WAL: so it refuses UPDATE and DELETE of a
 * published table that has one where the identity is the whole row. */
static void check_virtual(const struct catalog_table *table, const struct identity_gaps *gaps, const char *name,
			  struct findings *f)
{
	bool full = table->replica_identity == 'f';

	for (size_t i = 0; i < gaps->n; i++)
		full = full || gaps->items[i].full;
	for (size_t i = 0; full && i < table->n_columns; i++)
		if (table->columns[i].is_virtual)
			findings_add(
				f, FINDING_ERROR, "ReplicaIdentity", name,
				"its column `%s` is generated and virtual: Postgres refuses changes of a published "
				"table that has one and the replica identity FULL, which its links to its parents "
				"need; make the column STORED, or create a unique index on NOT NULL columns that "
				"has the links among them, and name it in ALTER TABLE %s REPLICA IDENTITY USING INDEX",
				table->columns[i].name, name);
}

static int check_identity(struct attempt *at, const struct catalog_table *table, struct findings *f, struct err *err)
{
	_cleanup_(identity_gaps_release) struct identity_gaps gaps = {0};
	_cleanup_free_ char *table_name = xasprintf("%s.%s", table->schema, table->name);

	if (identity_find_gaps(&at->model, at->pg, table, &gaps, err) < 0)
		return -1;
	check_virtual(table, &gaps, table_name, f);
	for (size_t i = 0; i < gaps.n; i++) {
		const struct identity_gap *gap = &gaps.items[i];
		_cleanup_free_ char *name = xasprintf("%s.%s", gap->schema, gap->name);

		if (at->run->spec->source.replica_identity == SPEC_IDENTITY_VERIFY)
			findings_add(f, FINDING_ERROR, "ReplicaIdentity", name,
				     "its replica identity does not hold the columns that link it to its parents: run "
				     "\"%s\"",
				     gap->sql);
		else if (!gap->is_owner)
			findings_add(
				f, FINDING_ERROR, "ReplicaIdentity", name,
				"its replica identity does not hold the columns that link it to its parents, and role "
				"\"%s\" does not own it: run \"%s\"",
				at->run->spec->source.user, gap->sql);
	}
	return 0;
}

static void check_parts(const struct attempt *at, const struct catalog_table *table, const char *name,
			struct findings *f)
{
	for (size_t i = 0; i < table->n_parts; i++) {
		const struct catalog_part *part = &table->parts[i];
		_cleanup_free_ char *path = xasprintf("%s.%s", part->schema, part->name);

		/* They are read one by one. */
		check_select(at, part->can_select || !catalog_part_is_leaf(part), path, f);
		if (part->kind == 'f')
			findings_add(
				f, FINDING_ERROR, "NotSupported", path,
				"is a foreign table and a partition of %s: its changes are not in this server's WAL",
				name);
		else if (part->persistence != 'p')
			findings_add(f, FINDING_ERROR, "TableNotLogged", path,
				     "is an unlogged partition of %s: its changes are not in the WAL; ALTER TABLE %s "
				     "SET LOGGED",
				     name, path);
	}
	if (table->kind == 'p' && !catalog_primary_key(table))
		findings_add(
			f, FINDING_WARNING, "ReplicaIdentity", name,
			"is partitioned and has no primary key: in a partition that is made later, Postgres refuses "
			"UPDATE and DELETE until its replica identity is set (by pgsync within seconds, or by whoever "
			"makes it: ALTER TABLE ... REPLICA IDENTITY FULL)");
}

static bool is_read(const struct attempt *at, uint32_t oid)
{
	for (size_t p = 0; p < at->model.n_plans; p++)
		for (size_t t = 0; at->model.plans[p] && t < at->model.plans[p]->n_tables; t++)
			if (at->model.plans[p]->tables[t].table->oid == oid)
				return true;
	return false;
}

/* Names of documents that have no plan, as something else is wrong with them. */
static bool is_named(const struct attempt *at, const struct catalog_table *table)
{
	bool found = false;

	for (size_t d = 0; d < at->model.n_plans && !found; d++) {
		size_t n = 0;
		_cleanup_free_ struct catalog_name *names =
			at->model.plans[d] ? NULL : document_relations(at->run->spec->documents[d], &n);

		for (size_t i = 0; i < n && !found; i++)
			found = strcmp(names[i].schema, table->schema) == 0 && strcmp(names[i].table, table->name) == 0;
	}
	return found;
}

static void check_reading(const struct attempt *at, const struct catalog_table *table, bool bypass_rls,
			  struct findings *f)
{
	const struct catalog_table *root;
	_cleanup_free_ char *name = xasprintf("%s.%s", table->schema, table->name);

	check_select(at, table->can_select, name, f);
	if (table->row_security && !bypass_rls && !table->is_owner)
		findings_add(f, FINDING_ERROR, "RowSecurity", name,
			     "has row security, which would hide rows: ALTER ROLE \"%s\" BYPASSRLS",
			     at->run->spec->source.user);
	root = table->partition_of ? catalog_find_oid(at->model.catalog, table->partition_of) : NULL;
	if (root && (is_read(at, root->oid) || is_named(at, root)))
		findings_add(
			f, FINDING_ERROR, "NotSupported", name,
			"is a partition of a table that the schema reads too, and its changes are published as that "
			"table's: read only one of them");
	check_parts(at, table, name, f);
}

/* Which columns link a table is only known of a plan. */
static int check_tables(struct attempt *at, bool bypass_rls, struct findings *f, struct err *err)
{
	for (size_t i = 0; i < at->model.catalog->n; i++) {
		const struct catalog_table *table = &at->model.catalog->tables[i];

		if (catalog_is_view(table) || !(is_read(at, table->oid) || is_named(at, table)))
			continue;
		check_reading(at, table, bypass_rls, f);
		if (is_read(at, table->oid) && check_identity(at, table, f, err) < 0)
			return err_wrap(err, "checking %s.%s", table->schema, table->name);
	}
	return 0;
}

static bool has_plain_unique_index(const struct catalog_table *view)
{
	for (size_t i = 0; i < view->n_indexes; i++)
		if (view->indexes[i].unique && !view->indexes[i].partial && !view->indexes[i].expression)
			return true;
	return false;
}

static void check_refresh(const struct attempt *at, const struct catalog_table *view, const char *name,
			  struct findings *f)
{
	const char *user = at->run->spec->source.user;

	if (!view->can_refresh && pg_server_version(at->pg) >= 170000)
		findings_add(f, FINDING_ERROR, "PrivilegeMissing", name,
			     "role \"%s\" may not refresh it: GRANT MAINTAIN ON %s TO \"%s\"", user, name, user);
	else if (!view->can_refresh)
		findings_add(f, FINDING_ERROR, "PrivilegeMissing", name,
			     "role \"%s\" may not refresh it: ALTER MATERIALIZED VIEW %s OWNER TO \"%s\"", user, name,
			     user);
	if (!has_plain_unique_index(view))
		findings_add(
			f, FINDING_WARNING, "RefreshBlocks", name,
			"has no unique index: others cannot read it while it is refreshed; create one (CREATE UNIQUE "
			"INDEX CONCURRENTLY ON %s (...)), and it is refreshed CONCURRENTLY",
			name);
}

static void check_view(const struct attempt *at, const struct document_view *named, struct findings *f)
{
	const struct catalog_table *view = named->view;
	_cleanup_free_ char *name = xasprintf("%s.%s", view->schema, view->name);

	check_select(at, view->can_select, name, f);
	if (view->kind == 'm' && named->followed)
		check_refresh(at, view, name, f);
	else if (view->kind == 'm' && !view->populated)
		findings_add(f, FINDING_ERROR, "ViewNotPopulated", name,
			     "was never refreshed: REFRESH MATERIALIZED VIEW %s, or name its `base_tables`", name);
}

static bool has_view(const struct attempt *at, size_t n, const struct catalog_table *view)
{
	bool found = false;

	for (size_t d = 0; d < n && !found; d++) {
		size_t n_views;
		_cleanup_free_ struct document_view *views =
			document_views(at->run->spec->documents[d], at->model.catalog, &n_views);

		for (size_t i = 0; i < n_views; i++)
			found = found || views[i].view == view;
	}
	return found;
}

static void check_views(const struct attempt *at, struct findings *f)
{
	for (size_t d = 0; d < at->run->spec->n_documents; d++) {
		size_t n;
		_cleanup_free_ struct document_view *views =
			document_views(at->run->spec->documents[d], at->model.catalog, &n);

		for (size_t i = 0; i < n; i++)
			if (!has_view(at, d, views[i].view))
				check_view(at, &views[i], f);
	}
}

static void add_lock(struct strbuf *sb, const struct catalog_table *table, bool first)
{
	strbuf_adds(sb, first ? "; LOCK TABLE " : ", ");
	pg_quote_table(sb, table->schema, table->name);
}

/* The statement that opens the snapshot documents are read in. TRUNCATE and rewrites are not MVCC-safe: the locks come
 * before the snapshot, so that a table is never seen emptied by somebody whose commit the snapshot does not hold. A
 * view's lock is one of the tables that it reads. A materialized view takes none, and needs none: refreshing it never
 * makes it older. */
static char *begin_sql(const struct attempt *at)
{
	size_t n;
	_cleanup_free_ const struct catalog_table **tables = model_tables(&at->model, &n);
	struct strbuf sb;
	bool first = true;

	strbuf_init(&sb, 1024 * 1024);
	strbuf_adds(&sb, "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY");
	for (size_t i = 0; i < n; i++, first = false)
		add_lock(&sb, tables[i], first);
	for (size_t p = 0; p < at->model.n_plans; p++) {
		for (size_t i = 0; i < at->model.plans[p]->n_views; i++) {
			if (at->model.plans[p]->views[i].view->kind != 'v')
				continue;
			add_lock(&sb, at->model.plans[p]->views[i].view, first);
			first = false;
		}
	}
	if (!first)
		strbuf_adds(&sb, " IN ACCESS SHARE MODE");
	return strbuf_detach(&sb);
}

/* What the condition says is what `plan` says of schema, tables and pipelines: mistakes first, then remarks. */
static void say_schema(struct attempt *at, const struct findings *f)
{
	_cleanup_free_ char *errors = findings_summary(f, FINDING_ERROR, CONDITION_BYTES * 2 / 3);
	_cleanup_free_ char *remarks = findings_summary(f, FINDING_WARNING, CONDITION_BYTES / 3 - 64);
	const char *between = *remarks ? "; " : "";
	struct err err = {0};

	if (findings_err(f, &err) < 0)
		report_condition(&at->run->report, CONDITION_SCHEMA_ACCEPTED, STATUS_FALSE, err.reason, "%s%s%s",
				 errors, between, remarks);
	else
		report_condition(&at->run->report, CONDITION_SCHEMA_ACCEPTED, STATUS_TRUE, "Accepted",
				 "every table and column was found%s%s", between, remarks);
}

/* The engine refuses every document for a pipeline that it does not have. */
static int check_pipelines(struct attempt *at, struct findings *f, struct err *err)
{
	for (size_t i = 0; i < at->run->spec->n_documents; i++) {
		const struct schema_document *document = at->run->spec->documents[i];
		bool exists = false;

		if (!document->pipeline)
			continue;
		/* A login that may use it need not be allowed to look at it. */
		if (search_pipeline_exists(at->sink.search, document->pipeline, &exists, err) < 0) {
			if (err->kind != ERR_DENIED)
				return err_wrap(err, "looking for pipeline \"%s\"", document->pipeline);
		} else if (!exists) {
			findings_add(f, FINDING_ERROR, "PipelineMissing", document->path,
				     "the search engine has no ingest pipeline \"%s\": create it", document->pipeline);
		}
	}
	return 0;
}

/* Both sides are tried, so that a person sees both troubles at once; the source's is the one that counts. */
static int say_both(struct err *err, int sink, const struct err *sink_err)
{
	char source_msg[ERR_MSG_BYTES];

	if (sink < 0) {
		memcpy(source_msg, err->msg, sizeof(source_msg));
		(void)snprintf(err->msg, sizeof(err->msg), "%.480s; %.480s", source_msg, sink_err->msg);
	}
	return -1;
}

static int check_source(struct attempt *at, bool has_sink, struct findings *schema, struct findings *server,
			struct err *err)
{
	bool bypass_rls = false;

	if (check_server(at, server, &bypass_rls, err) < 0 || compile(at, schema, err) < 0 ||
	    check_tables(at, bypass_rls, schema, err) < 0)
		return -1;
	check_views(at, schema);
	if (has_sink && check_pipelines(at, schema, err) < 0)
		return -1;
	say_schema(at, schema);
	return 0;
}

/* Of what was wrong with the spec before, that which concerns the schema. */
static void take_flaws(struct findings *schema, struct findings *findings)
{
	struct findings all = *findings;

	findings_init(findings);
	for (size_t i = 0; i < all.n; i++) {
		const struct finding *item = &all.items[i];
		bool side = finding_path_is_within(item->path, "spec.sink") ||
			    finding_path_is_within(item->path, "spec.source");

		findings_add(side ? findings : schema, item->severity, item->reason, item->path, "%s", item->message);
	}
	findings_release(&all);
}

/* A sink that the spec does not name well is not looked for. */
static int look_at_sink(struct attempt *at, const struct findings *findings, bool *ret_there, struct err *err)
{
	_cleanup_free_ char *why = findings_summary(findings, FINDING_ERROR, CONDITION_BYTES / 2);
	bool known = !findings_any_about(findings, "spec.sink") && !at->run->options->source_only;
	int r = known ? reach_sink(at, err) : 0;

	if (!known)
		report_condition(&at->run->report, CONDITION_SINK_REACHABLE, STATUS_UNKNOWN, "NotChecked", "%s", why);
	*ret_there = known && r == 0;
	return r;
}

int preflight(struct attempt *at, struct findings *findings, struct err *err)
{
	struct findings schema;
	struct err sink_err = {0};
	bool has_sink;
	int source, sink, r;

	findings_init(&schema);
	take_flaws(&schema, findings);
	/* The source may take a while to answer, or never do. */
	if (findings_failed(&schema))
		say_schema(at, &schema);
	source = reach_source(at, err);
	sink = look_at_sink(at, findings, &has_sink, &sink_err);
	r = source < 0 ? say_both(err, sink, &sink_err) : check_source(at, has_sink, &schema, findings, err);
	if (r == 0 && sink < 0) {
		*err = sink_err;
		r = -1;
	}
	if (r == 0 && all_compiled(at)) {
		targets_init(&at->model.targets, at->model.plans, at->model.n_plans);
		at->model.snapshot_sql = begin_sql(at);
	}
	findings_move(&schema, findings);
	findings_move(findings, &schema);
	return r;
}
