/* Replica identities. */
#include "source/identity.h"

#include <stdlib.h>
#include <string.h>

#include "base/failpoint.h"
#include "base/log.h"
#include "postgres/locks.h"

enum { STATEMENT_BYTES = 4096 };

/* --- gaps --- */

/* index: or NULL for FULL. */
static char *statement(const char *schema, const char *name, const char *index)
{
	struct strbuf sb;

	strbuf_init(&sb, STATEMENT_BYTES);
	strbuf_adds(&sb, "ALTER TABLE ");
	pg_quote_table(&sb, schema, name);
	strbuf_adds(&sb, " REPLICA IDENTITY ");
	strbuf_adds(&sb, index ? "USING INDEX " : "FULL");
	if (index)
		pg_quote_ident(&sb, index);
	return strbuf_detach(&sb);
}

static void add_gap(struct identity_gaps *gaps, struct identity_gap gap)
{
	gaps->items = xreallocarray(gaps->items, gaps->n + 1, sizeof(*gaps->items));
	gaps->items[gaps->n++] = gap;
}

static void add_table_gap(const struct catalog_table *table, const struct catalog_columns *links,
			  struct identity_gaps *gaps)
{
	const struct catalog_index *index = catalog_identity_index(table, links->items, links->n);

	if (!catalog_identity_covers_all(table, links->items, links->n))
		add_gap(gaps, (struct identity_gap){
				      .oid = table->oid,
				      .schema = table->schema,
				      .name = table->name,
				      .identity_index = table->identity_index,
				      .replica_identity = table->replica_identity,
				      .is_owner = table->is_owner,
				      .full = !index,
				      .sql = statement(table->schema, table->name, index ? index->name : NULL)});
}

static int add_part_gap(const struct source *source, const struct catalog_table *table, const struct catalog_part *part,
			const struct catalog_columns *links, struct identity_gaps *gaps, struct err *err)
{
	bool covered = catalog_part_identifies(part);
	_cleanup_free_ char *index = NULL;

	for (size_t i = 0; i < links->n; i++)
		covered = covered && catalog_part_covers(part, links->items[i]);
	if (covered || !catalog_part_is_leaf(part))
		return 0;
	if (catalog_part_index(source->pg, table, part, links, &index, err) < 0)
		return -1;
	add_gap(gaps, (struct identity_gap){.oid = part->oid,
					    .schema = part->schema,
					    .name = part->name,
					    .identity_index = part->identity_index,
					    .replica_identity = part->replica_identity,
					    .is_owner = part->is_owner,
					    .full = !index,
					    .sql = statement(part->schema, part->name, index)});
	return 0;
}

int identity_add_gaps(const struct source *source, const struct source_table *table, struct identity_gaps *gaps,
		      struct err *err)
{
	const struct catalog_columns links = {.items = table->links, .n = table->n_links};
	const struct catalog_table *of = table->table;

	if (of->kind != 'p')
		add_table_gap(of, &links, gaps);
	for (size_t i = 0; i < of->n_parts; i++)
		if (add_part_gap(source, of, &of->parts[i], &links, gaps, err) < 0)
			return -1;
	return 0;
}

void identity_gaps_release(struct identity_gaps *gaps)
{
	for (size_t i = 0; i < gaps->n; i++)
		free(gaps->items[i].sql);
	free(gaps->items);
	*gaps = (struct identity_gaps){0};
}

/* --- setting and restoring --- */

static bool is_noted(const struct checkpoint *cp, const struct identity_gap *gap)
{
	for (size_t i = 0; i < cp->n_identities; i++)
		if (!strcmp(cp->identities[i].schema, gap->schema) && !strcmp(cp->identities[i].table, gap->name))
			return true;
	return false;
}

bool identity_note(struct checkpoint *cp, const struct identity_gaps *gaps)
{
	bool news = false;

	for (size_t i = 0; i < gaps->n; i++) {
		const struct identity_gap *gap = &gaps->items[i];

		if (is_noted(cp, gap))
			continue;
		cp->identities = xreallocarray(cp->identities, cp->n_identities + 1, sizeof(*cp->identities));
		cp->identities[cp->n_identities++] = (struct checkpoint_identity){
			.schema = xstrdup(gap->schema),
			.table = xstrdup(gap->name),
			.replica_identity = gap->replica_identity,
			.identity_index = xstrdup_or_null(gap->identity_index),
		};
		news = true;
	}
	return news;
}

static int alter(const struct source *source, uint32_t oid, const char *sql, struct err *err)
{
	const struct pg_locking statement = {.sql = sql, .oid = oid, .use = PG_LOCK_TO_ALTER};

	return pg_exec_locking(source->pg, &statement, err);
}

int identity_set(const struct source *source, const struct identity_gaps *gaps, struct err *err)
{
	for (size_t i = 0; i < gaps->n; i++) {
		const struct identity_gap *gap = &gaps->items[i];

		log_info("source", "setting a replica identity", KV_STR("statement", gap->sql));
		if (alter(source, gap->oid, gap->sql, err) < 0)
			return err_wrap(err, "setting the replica identity of %s.%s", gap->schema, gap->name);
		if (FAILPOINT(IDENTITY_SET, err) < 0)
			return -1;
	}
	return 0;
}

static char *restore_sql(const struct checkpoint_identity *identity)
{
	struct strbuf sb;

	strbuf_init(&sb, 1024);
	strbuf_adds(&sb, "ALTER TABLE ");
	pg_quote_table(&sb, identity->schema, identity->table);
	strbuf_adds(&sb, " REPLICA IDENTITY ");
	switch (identity->replica_identity) {
	case 'f':
		strbuf_adds(&sb, "FULL");
		break;
	case 'n':
		strbuf_adds(&sb, "NOTHING");
		break;
	case 'i':
		strbuf_adds(&sb, "USING INDEX ");
		pg_quote_ident(&sb, identity->identity_index);
		break;
	default:
		strbuf_adds(&sb, "DEFAULT");
	}
	return strbuf_detach(&sb);
}

/* The subscriber of another publication may need the old values that the current identity puts into the WAL. */
static int is_published_elsewhere(const struct source *source, const struct checkpoint_identity *identity, bool *ret,
				  struct err *err)
{
	static const char sql[] =
		"SELECT FROM pg_publication_tables WHERE pubname <> $2 AND (schemaname, tablename) IN (SELECT "
		"n.nspname, "
		"c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.oid IN"
		" (to_regclass($1), pg_partition_root(to_regclass($1)))) LIMIT 1";
	_cleanup_(pg_result_freep) struct pg_result *found = NULL;
	_cleanup_(strbuf_release) struct strbuf table;

	strbuf_init(&table, 1024);
	pg_quote_table(&table, identity->schema, identity->table);
	if (pg_query(source->pg, sql, (const char *const[]){table.data, source->publication}, 2, &found, err) < 0)
		return -1;
	*ret = pg_n_rows(found) > 0;
	return 0;
}

int identity_restore(const struct source *source, const struct checkpoint_identity *identity, struct err *err)
{
	static const char *const gone[] = {"42P01", "3F000", "42704"};
	_cleanup_free_ char *sql = restore_sql(identity);
	bool elsewhere;

	if (is_published_elsewhere(source, identity, &elsewhere, err) < 0)
		return err_wrap(err, "looking for other publications of %s.%s", identity->schema, identity->table);
	if (elsewhere) {
		log_info("source", "another publication has the table, leaving its replica identity",
			 KV_STR("table", identity->table), KV_STR("restore", sql));
		return 0;
	}
	if (alter(source, 0, sql, err) == 0)
		return 0;
	for (size_t g = 0; g < ARRAY_SIZE(gone); g++)
		if (!strcmp(err->sqlstate, gone[g]))
			return 0;
	return err_wrap(err, "restoring the replica identity (%s)", sql);
}

int identity_restore_all(const struct source *source, const struct checkpoint *cp, struct err *err)
{
	for (size_t i = 0; i < cp->n_identities; i++)
		if (identity_restore(source, &cp->identities[i], err) < 0)
			return -1;
	return 0;
}
