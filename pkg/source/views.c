/* Materialized views in the tree. */
#include "source/views.h"

#include <stdlib.h>
#include <string.h>

#include "postgres/locks.h"

enum { SQL_BYTES = 1024 };

static bool to_refresh(const struct document_view *view)
{
	return view->followed && view->view->kind == 'm';
}

bool views_to_refresh(const struct document_plan *plan)
{
	for (size_t i = 0; i < plan->n_views; i++)
		if (to_refresh(&plan->views[i]))
			return true;
	return false;
}

/* The view with the smallest OID above `after` that has to be refreshed: a view always has a larger OID than the views
 * it reads. */
static const struct catalog_table *next_view(struct document_plan *const *plans, size_t n, const bool *marked,
					     uint32_t after)
{
	const struct catalog_table *next = NULL;

	for (size_t p = 0; p < n; p++) {
		for (size_t i = 0; (!marked || marked[p]) && i < plans[p]->n_views; i++) {
			const struct document_view *view = &plans[p]->views[i];

			if (to_refresh(view) && view->view->oid > after && (!next || view->view->oid < next->oid))
				next = view->view;
		}
	}
	return next;
}

bool views_must_fill(struct document_plan *const *plans, size_t n, bool live)
{
	bool follow = false, empty = false;

	for (size_t p = 0; p < n; p++) {
		follow = follow || views_to_refresh(plans[p]);
		for (size_t i = 0; i < plans[p]->n_views; i++)
			empty = empty || (plans[p]->views[i].view->kind == 'm' && !plans[p]->views[i].view->populated);
	}
	return follow && (!live || empty);
}

bool views_have_unique_index(const struct catalog_table *view)
{
	for (size_t i = 0; i < view->n_indexes; i++) {
		const struct catalog_index *index = &view->indexes[i];

		if (index->unique && index->immediate && catalog_index_is_plain(index))
			return true;
	}
	return false;
}

/* CONCURRENTLY lets others read meanwhile. It compares the rows with those that the view contains. */
static bool may_refresh_concurrently(const struct catalog_table *view)
{
	return view->populated && views_have_unique_index(view);
}

static int refresh_view(struct pg *pg, const struct catalog_table *view, struct err *err)
{
	const struct pg_lock_query query = {&view->oid, 1, PG_LOCK_TO_ALTER};
	struct strbuf sql;
	int r;

	strbuf_init(&sql, SQL_BYTES);
	strbuf_addf(&sql, "REFRESH MATERIALIZED VIEW %s", may_refresh_concurrently(view) ? "CONCURRENTLY " : "");
	pg_quote_table(&sql, view->schema, view->name);
	r = pg_exec(pg, sql.data, err);
	if (r < 0) {
		(void)pg_explain_lock(pg, &query, err);
		(void)err_wrap(err, "%s", sql.data);
	}
	strbuf_release(&sql);
	return r;
}

int views_refresh(struct pg *pg, struct document_plan *const *plans, size_t n, const bool *marked, struct err *err)
{
	uint32_t after = 0;
	const struct catalog_table *view = next_view(plans, n, marked, after);

	/* Functions that documents call may have changed it, and before version 17 those of the views would use it. */
	if (view && pg_exec(pg, "SET search_path = pg_catalog", err) < 0)
		return -1;
	for (; view; view = next_view(plans, n, marked, after)) {
		after = view->oid;
		if (refresh_view(pg, view, err) < 0)
			return -1;
	}
	return 0;
}
