/* The model of an attempt. */
#include "sync/model_int.h"

#include <stdlib.h>

#include "sync/partitions_int.h"

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
	partition_resync_release(&m->resync);
	catalog_free(m->catalog);
	*m = (struct model){0};
}

const struct catalog_table **model_tables(const struct model *m, size_t *ret_n)
{
	const struct catalog_table **tables = xcalloc(m->catalog->n, sizeof(*tables));
	size_t n = 0;

	for (size_t c = 0; c < m->catalog->n; c++) {
		bool used = false;

		for (size_t p = 0; p < m->n_plans; p++)
			for (size_t t = 0; m->plans[p] && t < m->plans[p]->n_tables; t++)
				used = used || m->plans[p]->tables[t].table == &m->catalog->tables[c];
		if (used)
			tables[n++] = &m->catalog->tables[c];
	}
	*ret_n = n;
	return tables;
}
