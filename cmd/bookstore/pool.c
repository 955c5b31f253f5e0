/* Connections to Postgres: one for each worker, made when it is needed, and again after it was lost. */
#include "bookstore.h"

static void drop_connection(struct desk *desk)
{
	pg_close(desk->pg);
	desk->pg = NULL;
}

/* After such an error the connection may be used no more, or is gone. */
static bool is_lost(const struct err *err)
{
	return err->kind != ERR_INVALID && err->kind != ERR_CONFLICT && err->kind != ERR_DENIED &&
	       err->kind != ERR_NOT_FOUND;
}

static int run_on_desk(struct shop *shop, struct desk *desk, const struct pool_statement *statement,
		       struct pg_result **ret, struct err *err)
{
	if (!desk->pg && pg_connect(&shop->postgres, false, &desk->pg, err) < 0)
		return -1;
	if (pg_query(desk->pg, statement->sql, statement->params, statement->n, ret, err) == 0)
		return 0;
	if (is_lost(err))
		drop_connection(desk);
	return -1;
}

/* A server that was restarted has ended its connections: better to find that before a write than by it. */
int pool_write(struct shop *shop, unsigned number, const struct pool_statement *statement, struct pg_result **ret,
	       struct err *err)
{
	struct desk *desk = &shop->desks[number];
	struct err ignored;

	if (desk->pg && pg_query(desk->pg, "SELECT 1", NULL, 0, NULL, &ignored) < 0)
		drop_connection(desk);
	return run_on_desk(shop, desk, statement, ret, err);
}

int pool_read(struct shop *shop, unsigned number, const struct pool_statement *statement, struct pg_result **ret,
	      struct err *err)
{
	struct desk *desk = &shop->desks[number];
	bool had = desk->pg;

	if (run_on_desk(shop, desk, statement, ret, err) == 0)
		return 0;
	if (!had || desk->pg || err->kind != ERR_TRANSIENT)
		return -1;
	return run_on_desk(shop, desk, statement, ret, err);
}

int pool_read_page(struct shop *shop, unsigned desk, const char *sql, const struct form_list *list,
		   struct pg_result **ret, struct err *err)
{
	char limit[16], offset[24];
	const char *const params[] = {list->q, list->status, limit, offset};

	(void)snprintf(limit, sizeof(limit), "%u", list->page_size);
	(void)snprintf(offset, sizeof(offset), "%llu", ((unsigned long long)list->page - 1) * list->page_size);
	return pool_read(shop, desk, &(struct pool_statement){sql, params, ARRAY_SIZE(params)}, ret, err);
}

void pool_close(struct shop *shop)
{
	for (size_t i = 0; i < SHOP_DESKS; i++)
		drop_connection(&shop->desks[i]);
}
