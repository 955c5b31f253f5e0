/* What a start would change in the database. */
#include "source/plan.h"

#include "postgres/pg.h"
#include "source/identity.h"

static int find_gaps(const struct source *source, const struct source_tables *tables, struct identity_gaps *gaps,
		     struct err *err)
{
	for (size_t i = 0; i < tables->n; i++)
		if (identity_add_gaps(source, &tables->items[i], gaps, err) < 0)
			return -1;
	return 0;
}

int source_plan_identities(const struct source *source, const struct source_tables *tables, struct strbuf *out,
			   struct err *err)
{
	_cleanup_(identity_gaps_release) struct identity_gaps gaps = {0};

	if (find_gaps(source, tables, &gaps, err) < 0)
		return -1;
	if (gaps.n)
		strbuf_adds(out, "\nReplica identities to set (they are restored on deletion):\n");
	for (size_t i = 0; i < gaps.n; i++)
		strbuf_addf(out, "  %s\n", gaps.items[i].sql);
	return 0;
}

static void add_index(const struct document_plan *plan, struct findings *changes)
{
	findings_add(changes, FINDING_WARNING, REASON_PLANNED, plan->document->path,
		     "a start fills index %s with one document for each row of %s.%s", plan->document->index,
		     plan->root->schema, plan->root->name);
}

int source_plan_changes(const struct source *source, const struct source_tables *tables,
			struct document_plan *const *plans, size_t n_plans, struct findings *changes, struct err *err)
{
	_cleanup_(identity_gaps_release) struct identity_gaps gaps = {0};
	_cleanup_free_ char *comment = NULL;
	struct pg_slot slot;
	bool exists = false;

	if (find_gaps(source, tables, &gaps, err) < 0)
		return -1;
	for (size_t i = 0; i < gaps.n; i++)
		findings_add_statement(changes, FINDING_WARNING, REASON_REPLICA_IDENTITY, NULL, gaps.items[i].sql,
				       "a start sets the replica identity of %s.%s; a deletion restores it",
				       gaps.items[i].schema, gaps.items[i].name);
	if (pg_publication_comment(source->pg, source->publication, &exists, &comment, err) < 0 ||
	    pg_slot_read(source->pg, source->slot, &slot, err) < 0)
		return err_wrap(err, "planning");
	if (!exists)
		findings_add(changes, FINDING_WARNING, REASON_PLANNED, NULL,
			     "a start creates publication \"%s\" (tables: %zu)", source->publication, tables->n);
	if (slot.state != PG_SLOT_ABSENT)
		return 0;
	findings_add(changes, FINDING_WARNING, REASON_PLANNED, NULL,
		     "a start creates replication slot \"%s\"; the server then retains WAL for it", source->slot);
	for (size_t i = 0; i < n_plans; i++)
		add_index(plans[i], changes);
	return 0;
}
