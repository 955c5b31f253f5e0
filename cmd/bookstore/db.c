/* Connections to Postgres: one for each worker, made when it is needed, and again after it was lost. */
#include "bookstore.h"

static void drop_connection(struct connections *own)
{
	pg_close(own->pg);
	own->pg = NULL;
}

/* After such an error the connection may be used no more, or is gone. */
static bool is_lost(const struct err *err)
{
	return err->kind != ERR_INVALID && err->kind != ERR_CONFLICT && err->kind != ERR_DENIED &&
	       err->kind != ERR_NOT_FOUND;
}

static int run_on_own(struct bookstore *store, struct connections *own, const struct db_statement *statement,
		      struct pg_result **ret, struct err *err)
{
	if (!own->pg && pg_connect(&store->postgres, false, &own->pg, err) < 0)
		return -1;
	if (pg_query(own->pg, statement->sql, statement->params, statement->n, ret, err) == 0)
		return 0;
	if (is_lost(err))
		drop_connection(own);
	return -1;
}

/* A server that was restarted has ended its connections: better to find that before a write than by it. */
int db_write(struct bookstore *store, unsigned worker, const struct db_statement *statement, struct pg_result **ret,
	     struct err *err)
{
	struct connections *own = &store->connections[worker];
	struct err ignored;

	if (own->pg && pg_query(own->pg, "SELECT 1", NULL, 0, NULL, &ignored) < 0)
		drop_connection(own);
	return run_on_own(store, own, statement, ret, err);
}

int db_read(struct bookstore *store, unsigned worker, const struct db_statement *statement, struct pg_result **ret,
	    struct err *err)
{
	struct connections *own = &store->connections[worker];
	bool had = own->pg;

	if (run_on_own(store, own, statement, ret, err) == 0)
		return 0;
	if (!had || own->pg || err->kind != ERR_TRANSIENT)
		return -1;
	return run_on_own(store, own, statement, ret, err);
}

int db_read_page(struct bookstore *store, unsigned worker, const char *sql, const struct form_list *list,
		 struct pg_result **ret, struct err *err)
{
	char limit[16], offset[24];
	const char *const params[] = {list->q, list->status, limit, offset};

	(void)snprintf(limit, sizeof(limit), "%u", list->page_size);
	(void)snprintf(offset, sizeof(offset), "%llu", ((unsigned long long)list->page - 1) * list->page_size);
	return db_read(store, worker, &(struct db_statement){sql, params, ARRAY_SIZE(params)}, ret, err);
}

void db_close(struct bookstore *store)
{
	for (size_t i = 0; i < BOOKSTORE_WORKERS; i++)
		drop_connection(&store->connections[i]);
}
