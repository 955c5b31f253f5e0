/* Reads the rows of a partition as if they had just been inserted. */
#include "apply/scan.h"

#include <stdlib.h>

enum { SCAN_ROWS = 2000, SCAN_BYTES = 256 * 1024 };

/* Describes the table's columns as the stream describes a relation. */
static struct pgoutput_relation describe_columns(const struct catalog_table *table, const int *columns, size_t n)
{
	struct pgoutput_relation relation = {.oid = table->oid,
					     .schema = table->schema,
					     .name = table->name,
					     .replica_identity = 'f',
					     .columns = xcalloc(n, sizeof(*relation.columns)),
					     .n = (uint16_t)n};

	for (size_t i = 0; i < n; i++) {
		relation.columns[i].name = table->columns[columns[i]].name;
		relation.columns[i].type_oid = table->columns[columns[i]].type_oid;
	}
	return relation;
}

static int collect_row(struct scanner *s, const struct pgoutput_relation *relation, const struct pg_result *rows,
		       int row, struct err *err)
{
	_cleanup_free_ struct pgoutput_value *values = xcalloc(relation->n, sizeof(*values));
	const struct pgoutput_message m = {.type = PGOUTPUT_INSERT, .relation = relation, .new_row = values};

	for (int i = 0; i < relation->n; i++) {
		if (pg_is_null(rows, row, i))
			continue;
		values[i] = (struct pgoutput_value){.kind = PGOUTPUT_TEXT,
						    .data = pg_value(rows, row, i),
						    .len = (uint32_t)pg_length(rows, row, i)};
	}
	return collector_change(s->collector, &m, &s->rows, err);
}

static int collect_rows(struct scanner *s, const struct pgoutput_relation *relation, const struct pg_result *rows,
			struct err *err)
{
	batch_reset(&s->rows);
	batch_begin(&s->rows, 0, INT64_MAX, 0);
	for (int row = 0; row < pg_n_rows(rows); row++)
		if (collect_row(s, relation, rows, row, err) < 0)
			return -1;
	return 0;
}

static char *scan_sql(const struct partition_scan *scan, const struct pgoutput_relation *relation)
{
	struct strbuf sb;

	strbuf_init(&sb, SCAN_BYTES);
	strbuf_adds(&sb, "DECLARE pgsync_scan NO SCROLL CURSOR WITH HOLD FOR SELECT ");
	for (int i = 0; i < relation->n; i++) {
		strbuf_adds(&sb, i ? ", " : "");
		pg_quote_ident(&sb, relation->columns[i].name);
	}
	strbuf_adds(&sb, " FROM ");
	pg_quote_table(&sb, scan->part->schema, scan->part->name);
	return strbuf_detach(&sb);
}

/* Pages through the rows of the cursor that `declare` opens. */
static int scan_rows(struct scanner *s, const char *declare, const struct pgoutput_relation *relation, scan_fn *found,
		     void *user, struct err *err)
{
	_cleanup_free_ char *fetch = xasprintf("FETCH %d FROM pgsync_scan", SCAN_ROWS);
	int n = SCAN_ROWS;

	if (pg_exec(s->pg, declare, err) < 0)
		return -1;
	while (n == SCAN_ROWS) {
		_cleanup_(pg_result_freep) struct pg_result *rows = NULL;

		if (pg_query(s->pg, fetch, NULL, 0, &rows, err) < 0)
			return -1;
		n = pg_n_rows(rows);
		if (collect_rows(s, relation, rows, err) < 0 || found(user, &s->rows, err) < 0)
			return -1;
	}
	return pg_exec(s->pg, "CLOSE pgsync_scan", err);
}

int scan_partition(struct scanner *s, const struct partition_scan *scan, scan_fn *found, void *user, struct err *err)
{
	const struct source_table *table = source_tables_find(&s->model->tables, scan->table->oid);
	struct pgoutput_relation relation = describe_columns(scan->table, table->links, table->n_links);
	int r = 0;

	if (table->n_links) {
		_cleanup_free_ char *declare = scan_sql(scan, &relation);

		(void)collector_relation(s->collector, &relation);
		r = scan_rows(s, declare, &relation, found, user, err);
	}
	free(relation.columns);
	return r < 0 ? err_wrap(err, "reading partition %s.%s", scan->part->schema, scan->part->name) : 0;
}

/* --- life --- */

void scanner_init(struct scanner *s, const struct model *model, struct pg *pg)
{
	*s = (struct scanner){.model = model, .pg = pg, .collector = collector_new(&model->targets)};
	batch_init(&s->rows);
}

void scanner_release(struct scanner *s)
{
	collector_free(s->collector);
	batch_release(&s->rows);
}
