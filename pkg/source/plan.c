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

static void add_identities(const struct identity_gaps *gaps, struct findings *changes)
{
	for (size_t i = 0; i < gaps->n; i++)
		findings_add_statement(changes, FINDING_WARNING, REASON_REPLICA_IDENTITY, NULL, gaps->items[i].sql,
				       "a start sets the replica identity of %s.%s; a deletion restores it",
				       gaps->items[i].schema, gaps->items[i].name);
}

int source_plan_changes(const struct source *source, const struct checkpoint *cp, const struct source_tables *tables,
			struct findings *changes, struct err *err)
{
	_cleanup_(identity_gaps_release) struct identity_gaps gaps = {0};
	_cleanup_free_ bool *lacking = xcalloc(tables->n, sizeof(*lacking));
	enum source_claim claim;
	size_t n;

	if (find_gaps(source, tables, &gaps, err) < 0 ||
	    source_check_publication(source, cp, tables, &claim, err) < 0 ||
	    source_find_lacking(source, tables, lacking, &n, err) < 0)
		return err_wrap(err, "planning");
	add_identities(&gaps, changes);
	if (claim == SOURCE_ABSENT)
		findings_add(changes, FINDING_WARNING, REASON_PLANNED, NULL,
			     "a start creates publication \"%s\" (tables: %zu)", source->publication, tables->n);
	for (size_t i = 0; i < tables->n && claim != SOURCE_ABSENT; i++)
		if (lacking[i])
			findings_add(changes, FINDING_WARNING, REASON_PLANNED, NULL,
				     "a start adds table %s.%s to publication \"%s\"", tables->items[i].table->schema,
				     tables->items[i].table->name, source->publication);
	return 0;
}
