/* Replica identities. */
#include "sync/identity_int.h"

#include <stdlib.h>
#include <string.h>

enum { STATEMENT_BYTES = 4096 };

static void mark_links(const struct model *m, const struct catalog_table *table, bool *marks)
{
	for (size_t p = 0; p < m->n_plans; p++) {
		for (size_t t = 0; m->plans[p] && t < m->plans[p]->n_tables; t++) {
			const struct document_table *used = &m->plans[p]->tables[t];

			for (size_t i = 0; used->table == table && i < used->n_link_columns; i++)
				marks[used->link_columns[i]] = true;
		}
	}
}

size_t identity_link_columns(const struct model *m, const struct catalog_table *table, int **ret)
{
	_cleanup_free_ bool *marks = xcalloc(table->n_columns, sizeof(*marks));
	int *columns = xcalloc(table->n_columns, sizeof(*columns));
	size_t n = 0;

	mark_links(m, table, marks);
	for (size_t i = 0; i < table->n_columns; i++)
		if (marks[i])
			columns[n++] = (int)i;
	*ret = columns;
	return n;
}

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

static void add(struct identity_gaps *gaps, struct identity_gap gap)
{
	gaps->items = xreallocarray(gaps->items, gaps->n + 1, sizeof(*gaps->items));
	gaps->items[gaps->n++] = gap;
}

static void look_at_table(const struct catalog_table *table, const struct catalog_columns *links,
			  struct identity_gaps *gaps)
{
	const struct catalog_index *index = catalog_identity_index(table, links->items, links->n);
	bool covered = catalog_identity_exists(table);

	for (size_t i = 0; i < links->n; i++)
		covered = covered && catalog_identity_covers(table, links->items[i]);
	if (!covered)
		add(gaps,
		    (struct identity_gap){.schema = table->schema,
					  .name = table->name,
					  .identity_index = table->identity_index,
					  .replica_identity = table->replica_identity,
					  .is_owner = table->is_owner,
					  .full = !index,
					  .sql = statement(table->schema, table->name, index ? index->name : NULL)});
}

static int look_at_part(struct pg *pg, const struct catalog_table *table, const struct catalog_part *part,
			const struct catalog_columns *links, struct identity_gaps *gaps, struct err *err)
{
	bool covered = catalog_part_identifies(part);
	_cleanup_free_ char *index = NULL;

	for (size_t i = 0; i < links->n; i++)
		covered = covered && catalog_part_covers(part, links->items[i]);
	if (covered || !catalog_part_is_leaf(part))
		return 0;
	if (catalog_part_index(pg, table, part, links, &index, err) < 0)
		return -1;
	add(gaps, (struct identity_gap){.schema = part->schema,
					.name = part->name,
					.identity_index = part->identity_index,
					.replica_identity = part->replica_identity,
					.is_owner = part->is_owner,
					.full = !index,
					.sql = statement(part->schema, part->name, index)});
	return 0;
}

int identity_find_gaps(const struct model *m, struct pg *pg, const struct catalog_table *table,
		       struct identity_gaps *ret, struct err *err)
{
	_cleanup_(identity_gaps_release) struct identity_gaps gaps = {0};
	_cleanup_free_ int *columns = NULL;
	size_t n = identity_link_columns(m, table, &columns);
	const struct catalog_columns links = {.items = columns, .n = n};

	if (table->kind != 'p')
		look_at_table(table, &links, &gaps);
	for (size_t i = 0; i < table->n_parts; i++)
		if (look_at_part(pg, table, &table->parts[i], &links, &gaps, err) < 0)
			return -1;
	*ret = gaps;
	gaps = (struct identity_gaps){0};
	return 0;
}

void identity_gaps_release(struct identity_gaps *gaps)
{
	for (size_t i = 0; i < gaps->n; i++)
		free(gaps->items[i].sql);
	free(gaps->items);
	*gaps = (struct identity_gaps){0};
}
