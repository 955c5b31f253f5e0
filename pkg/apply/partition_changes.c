/* What has to be read or rebuilt when partitions were added or removed. */
#include "apply/partition_changes.h"

#include <stdlib.h>

#include "base/clock.h"
#include "base/log.h"
#include "source/partitions.h"

/* Reads every root of the plan again, or rebuilds its index. */
static void mark_plan(struct model *m, size_t p, const struct catalog_table *table, bool *rebuild)
{
	const struct document_plan *plan = m->plans[p];

	for (size_t t = 0; t < plan->n_tables; t++) {
		if (plan->tables[t].table != table)
			continue;
		/* Without a bootstrap nothing would fill a new index. */
		if (plan->tables[t].is_root && rebuild)
			rebuild[p] = true;
		else
			m->partition_changes.all[p] = true;
	}
}

static bool is_opaque(const struct document_plan *plan, const struct catalog_table *table)
{
	for (size_t i = 0; i < plan->n_paths; i++)
		if (plan->paths[i].relation == table->oid && plan->paths[i].opaque)
			return true;
	return false;
}

static void add_scan(struct model *m, const struct catalog_table *table, const struct catalog_part *part)
{
	struct partition_changes *r = &m->partition_changes;

	for (size_t p = 0; p < m->n_plans; p++)
		r->all[p] = r->all[p] || is_opaque(m->plans[p], table);
	r->scans = xreallocarray(r->scans, r->n_scans + 1, sizeof(*r->scans));
	r->scans[r->n_scans++] = (struct partition_scan){.table = table, .part = part};
}

static void compare_table(struct model *m, const struct checkpoint *cp, const struct catalog_table *table,
			  bool *rebuild)
{
	size_t more = 0;

	if (partitions_are_gone(cp, table)) {
		log_info("sync", "partitions were removed or emptied, the table has to be read again",
			 KV_STR("table", table->name));
		for (size_t p = 0; p < m->n_plans; p++)
			mark_plan(m, p, table, rebuild);
		return;
	}
	for (size_t i = 0; i < table->n_parts; i++) {
		const struct catalog_part *part = &table->parts[i];

		if (!partitions_is_new(cp, table, part))
			continue;
		add_scan(m, table, part);
		more++;
	}
	if (more)
		log_info("sync", "partitions were added, they have to be read", KV_STR("table", table->name),
			 KV_U64("partitions", more));
}

void partition_changes_compare(struct model *m, const struct checkpoint *cp, bool *rebuild)
{
	struct partition_changes *r = &m->partition_changes;

	r->all = xcalloc(m->n_plans, sizeof(*r->all));
	for (size_t i = 0; i < m->tables.n; i++)
		compare_table(m, cp, m->tables.items[i].table, rebuild);
	r->pending = r->n_scans > 0;
	for (size_t p = 0; p < m->n_plans; p++)
		r->pending = r->pending || r->all[p];
}

void partition_changes_add(const struct model *m, struct batch *batch, uint64_t lsn)
{
	uint32_t txn;

	batch_begin_artificial(batch, lsn, clock_wall_us());
	txn = batch_current(batch);
	for (uint32_t p = 0; p < m->n_plans; p++)
		if (m->partition_changes.all[p])
			(void)keyset_add(&batch->keys, m->targets.first_all + p, "", 0, txn);
	for (uint32_t i = 0; i < m->partition_changes.n_scans; i++)
		(void)keyset_add(&batch->keys, m->targets.first_scan + i, "", 0, txn);
}

void partition_changes_describe(const struct model *m, struct findings *changes)
{
	const struct partition_changes *r = &m->partition_changes;

	for (size_t i = 0; i < r->n_scans; i++)
		findings_add(changes, FINDING_WARNING, REASON_PLANNED, NULL,
			     "a start reads the rows of partition %s.%s, which was added", r->scans[i].part->schema,
			     r->scans[i].part->name);
	for (size_t p = 0; p < m->n_plans; p++)
		if (r->all[p])
			findings_add(
				changes, FINDING_WARNING, REASON_PLANNED, m->plans[p]->document->path,
				"a start builds every document of index %s again, because partitions of its tables "
				"were added, removed or emptied",
				m->plans[p]->document->index);
}

void partition_changes_release(struct partition_changes *changes)
{
	free(changes->all);
	free(changes->scans);
	*changes = (struct partition_changes){0};
}
