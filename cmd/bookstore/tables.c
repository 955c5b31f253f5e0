/* The tables and the first books, as config/samples has them. */
#include "base/embed.h"
#include "bookstore.h"

EMBED_FILE(tables_sql, "config/samples/bookstore.sql");
EMBED_FILE(tables_books_sql, "config/samples/bookstore-books.sql");

/* Two bookstores that start at once: the second waits, and finds what the first one made. */
#define LOCK "SELECT pg_advisory_lock(8001)"
#define IS_EMPTY "SELECT NOT EXISTS (SELECT FROM public.books) AND NOT EXISTS (SELECT FROM public.authors)"

int tables_prepare(const struct bookstore *store, struct err *err)
{
	_cleanup_(pg_closep) struct pg *pg = NULL;
	_cleanup_(pg_result_freep) struct pg_result *empty = NULL;

	/* Its own connection, whose end releases the lock: names in the files are unqualified. */
	if (pg_connect(&store->postgres, false, &pg, err) < 0)
		return -1;
	if (pg_exec(pg, LOCK, err) < 0 || pg_exec(pg, "SET search_path = public", err) < 0 ||
	    pg_exec(pg, tables_sql, err) < 0)
		return err_wrap(err, "creating the tables of the bookstore");
	if (pg_query(pg, IS_EMPTY, NULL, 0, &empty, err) < 0)
		return err_wrap(err, "looking for books");
	if (pg_bool(empty, 0, 0) && pg_exec(pg, tables_books_sql, err) < 0)
		return err_wrap(err, "adding the first books");
	return 0;
}
