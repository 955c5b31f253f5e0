/* The model of an attempt. */
#include "apply/model.h"

#include <stdlib.h>

#include "apply/compile.h"
#include "apply/partition_changes.h"
#include "apply/retries.h"
#include "apply/unsettled.h"

static void add_lock(struct strbuf *sb, const struct catalog_table *table, bool first)
{
	strbuf_adds(sb, first ? "; LOCK TABLE " : ", ");
	pg_quote_table(sb, table->schema, table->name);
}

/* The statement that opens the snapshot documents are read in. TRUNCATE and rewrites are not MVCC-safe: the locks come
 * before the snapshot, so that a table is never seen emptied by a transaction whose commit the snapshot does not
 * contain. Locking a view locks the tables that it reads. A materialized view cannot be locked, and need not be:
 * refreshing it never makes it older. No lock is waited for while others are held: see snapshot.h. */
static char *snapshot_sql(const struct model *m)
{
	struct strbuf sb;
	bool first = true;

	strbuf_init(&sb, 1024 * 1024);
	strbuf_adds(&sb, "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY");
	for (size_t i = 0; i < m->tables.n; i++, first = false)
		add_lock(&sb, m->tables.items[i].table, first);
	for (size_t p = 0; p < m->n_plans; p++) {
		for (size_t i = 0; i < m->plans[p]->n_views; i++) {
			if (m->plans[p]->views[i].view->kind != 'v')
				continue;
			add_lock(&sb, m->plans[p]->views[i].view, first);
			first = false;
		}
	}
	if (!first)
		strbuf_adds(&sb, " IN ACCESS SHARE MODE NOWAIT");
	return strbuf_detach(&sb);
}

void model_init_take(struct model *m, struct compilation *c)
{
	*m = (struct model){.catalog = TAKE_PTR(c->catalog),
			    .plans = TAKE_PTR(c->plans),
			    .n_plans = c->n_plans,
			    .tables = c->tables,
			    .concrete = xcalloc(c->n_plans, sizeof(char *)),
			    .filled = xcalloc(c->n_plans, sizeof(uint64_t))};
	c->n_plans = 0;
	c->tables = (struct source_tables){0};
	targets_init(&m->targets, m->plans, m->n_plans);
	m->snapshot_sql = snapshot_sql(m);
	m->unsettled = unsettled_new();
	m->retries = retries_new();
}

void model_release(struct model *m)
{
	for (size_t i = 0; i < m->n_plans; i++) {
		document_plan_free(m->plans[i]);
		free(m->concrete[i]);
	}
	free(m->plans);
	free(m->concrete);
	free(m->filled);
	free(m->snapshot_sql);
	source_tables_release(&m->tables);
	partition_changes_release(&m->partition_changes);
	catalog_free(m->catalog);
	unsettled_free(m->unsettled);
	retries_free(m->retries);
	*m = (struct model){0};
}
