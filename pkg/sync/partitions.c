/* Partitions that come and go. */
#include "sync/partitions_int.h"

#include <stdlib.h>
#include <string.h>

#include "base/log.h"

static bool same(const struct checkpoint_part *was, const struct catalog_table *table, const struct catalog_part *now)
{
	return was->table == table->oid && was->part == now->oid && was->attachment == now->attachment &&
	       was->filenode == now->filenode;
}

/* Both lists are in order of OIDs, but a checkpoint's may be of other tables as well; there are few enough to look. */
static bool is_known(const struct checkpoint *cp, const struct catalog_table *table, const struct catalog_part *part)
{
	for (size_t i = 0; i < cp->n_parts; i++)
		if (same(&cp->parts[i], table, part))
			return true;
	return false;
}

static bool is_there(const struct catalog_table *table, const struct checkpoint_part *part)
{
	for (size_t i = 0; i < table->n_parts; i++)
		if (same(part, table, &table->parts[i]))
			return true;
	return false;
}

static bool some_are_gone(const struct checkpoint *cp, const struct catalog_table *table)
{
	for (size_t i = 0; i < cp->n_parts; i++)
		if (cp->parts[i].table == table->oid && !is_there(table, &cp->parts[i]))
			return true;
	return false;
}

/* Every root of the plan is to be read again, or its index to be built anew. */
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
			m->resync.all[p] = true;
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
	struct partition_resync *r = &m->resync;

	for (size_t p = 0; p < m->n_plans; p++)
		r->all[p] = r->all[p] || is_opaque(m->plans[p], table);
	r->scans = xreallocarray(r->scans, r->n_scans + 1, sizeof(*r->scans));
	r->scans[r->n_scans++] = (struct partition_scan){.table = table, .part = part};
}

static void compare_table(struct model *m, const struct checkpoint *cp, const struct catalog_table *table,
			  bool *rebuild)
{
	size_t more = 0;

	if (some_are_gone(cp, table)) {
		log_info("sync", "partitions are gone or were emptied, reading anew", KV_STR("table", table->name));
		for (size_t p = 0; p < m->n_plans; p++)
			mark_plan(m, p, table, rebuild);
		return;
	}
	for (size_t i = 0; i < table->n_parts; i++) {
		const struct catalog_part *part = &table->parts[i];

		if (!catalog_part_is_leaf(part) || is_known(cp, table, part))
			continue;
		add_scan(m, table, part);
		more++;
	}
	if (more)
		log_info("sync", "partitions were added, reading them", KV_STR("table", table->name),
			 KV_U64("partitions", more));
}

void partitions_compare(struct model *m, const struct checkpoint *cp, bool *rebuild)
{
	size_t n;
	_cleanup_free_ const struct catalog_table **tables = model_tables(m, &n);
	struct partition_resync *r = &m->resync;

	r->all = xcalloc(m->n_plans, sizeof(*r->all));
	for (size_t i = 0; i < n; i++)
		compare_table(m, cp, tables[i], rebuild);
	r->pending = r->n_scans > 0;
	for (size_t p = 0; p < m->n_plans; p++)
		r->pending = r->pending || r->all[p];
}

void partitions_adopt(const struct model *m, struct checkpoint *cp)
{
	size_t n, total = 0;
	_cleanup_free_ const struct catalog_table **tables = model_tables(m, &n);

	for (size_t i = 0; i < n; i++)
		total += tables[i]->n_parts;
	free(cp->parts);
	cp->parts = xcalloc(total, sizeof(*cp->parts));
	cp->n_parts = 0;
	for (size_t i = 0; i < n; i++) {
		for (size_t p = 0; p < tables[i]->n_parts; p++) {
			const struct catalog_part *part = &tables[i]->parts[p];

			cp->parts[cp->n_parts++] = (struct checkpoint_part){.table = tables[i]->oid,
									    .part = part->oid,
									    .attachment = part->attachment,
									    .filenode = part->filenode};
		}
	}
}

void partition_resync_release(struct partition_resync *reread)
{
	free(reread->all);
	free(reread->scans);
	*reread = (struct partition_resync){0};
}
