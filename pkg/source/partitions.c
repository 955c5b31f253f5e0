/* Partitions that were added or removed. */
#include "source/partitions.h"

#include <stdlib.h>

static bool same(const struct checkpoint_part *was, const struct catalog_table *table, const struct catalog_part *now)
{
	return was->table == table->oid && was->part == now->oid && was->attachment == now->attachment &&
	       was->filenode == now->filenode;
}

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

bool partitions_are_gone(const struct checkpoint *cp, const struct catalog_table *table)
{
	for (size_t i = 0; i < cp->n_parts; i++)
		if (cp->parts[i].table == table->oid && !is_there(table, &cp->parts[i]))
			return true;
	return false;
}

bool partitions_is_new(const struct checkpoint *cp, const struct catalog_table *table, const struct catalog_part *part)
{
	return catalog_part_is_leaf(part) && !is_known(cp, table, part);
}

void partitions_adopt(const struct source_tables *tables, struct checkpoint *cp)
{
	size_t total = 0;

	for (size_t i = 0; i < tables->n; i++)
		total += tables->items[i].table->n_parts;
	free(cp->parts);
	cp->parts = xcalloc(total, sizeof(*cp->parts));
	cp->n_parts = 0;
	for (size_t i = 0; i < tables->n; i++) {
		const struct catalog_table *table = tables->items[i].table;

		for (size_t p = 0; p < table->n_parts; p++)
			cp->parts[cp->n_parts++] = (struct checkpoint_part){.table = table->oid,
									    .part = table->parts[p].oid,
									    .attachment = table->parts[p].attachment,
									    .filenode = table->parts[p].filenode};
	}
}
