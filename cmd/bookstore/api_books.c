/* Books, and their links to authors. */
#include <string.h>

#include "bookstore.h"
#include "json/json.h"

#define AUTHORS_OF_BOOK                                                                                       \
	"(SELECT coalesce(json_agg(json_build_object('id', a.id, 'name', a.name) ORDER BY a.id), '[]'::json)" \
	" FROM public.book_authors AS l JOIN public.authors AS a ON a.id = l.author_id WHERE l.book_id = b.id)"
/* xmin changes with each write of the row, and writes of links write the row as well. */
#define BOOK                                                                                                          \
	"json_build_object('id', b.id, 'title', b.title, 'isbn', b.isbn, 'price', b.price::text, 'status', b.status," \
	" 'published_at', b.published_at, 'authors', " AUTHORS_OF_BOOK ", 'version', b.xmin::text)"

enum { SQL_BYTES = 4096 };

/* --- reading */

/* 200 with the book, or 404. */
static void answer_book(struct bookstore *store, const struct web_request *request, const char *id,
			struct web_response *response)
{
	_cleanup_(pg_result_freep) struct pg_result *r = NULL;
	struct err err = {0};

	if (db_read(store, request->worker,
		    &(struct db_statement){"SELECT " BOOK " FROM public.books AS b WHERE b.id = $1::bigint",
					   (const char *[]){id}, 1},
		    &r, &err) < 0)
		answer_postgres(response, &err);
	else if (pg_n_rows(r) == 0)
		answer_error(response, 404, "there is no such book");
	else
		answer_text(response, 200, pg_value(r, 0, 0));
}

/* The id in the path; NULL: the response says 404. */
static const char *book_id(const struct web_request *request, struct web_response *response)
{
	if (form_is_id(request->captures[0]))
		return request->captures[0];
	answer_error(response, 404, "there is no such book: ids are positive numbers");
	return NULL;
}

void api_read_book(void *user, const struct web_request *request, struct web_response *response)
{
	const char *id = book_id(request, response);

	if (id)
		answer_book(user, request, id, response);
}

/* What may be sorted by: columns. */
static const char *const book_sorts[] = {"id", "title", "isbn", "price", "status", "published_at", NULL};

/* Columns are named by constants of this file; values are parameters. */
static void list_books_sql(const struct form_list *list, struct strbuf *sql)
{
	strbuf_addf(sql,
		    "WITH found AS (SELECT b.*, b.xmin FROM public.books AS b"
		    " WHERE ($1::text IS NULL OR strpos(lower(b.title), lower($1)) > 0 OR strpos(b.isbn, $1) > 0"
		    "  OR EXISTS (SELECT FROM public.book_authors AS l JOIN public.authors AS a ON a.id = l.author_id"
		    "   WHERE l.book_id = b.id AND strpos(lower(a.name), lower($1)) > 0))"
		    "  AND ($2::text IS NULL OR b.status = $2)),"
		    " page AS (SELECT b.* FROM found AS b ORDER BY b.%s %s NULLS LAST, b.id"
		    "  LIMIT $3::bigint OFFSET $4::bigint)"
		    " SELECT json_build_object('items', (SELECT coalesce(json_agg(" BOOK
		    " ORDER BY b.%s %s NULLS LAST, b.id), '[]'::json) FROM page AS b),"
		    " 'total', (SELECT count(*) FROM found), 'page', %u, 'page_size', %u)",
		    book_sorts[list->sort], list->descending ? "DESC" : "ASC", book_sorts[list->sort],
		    list->descending ? "DESC" : "ASC", list->page, list->page_size);
}

void api_list_books(void *user, const struct web_request *request, struct web_response *response)
{
	_cleanup_json_ json_t *errors = json_array();
	_cleanup_(pg_result_freep) struct pg_result *r = NULL;
	struct form_list list;
	struct strbuf sql;
	struct err err = {0};

	form_read_list(request, book_sorts, true, &list, errors);
	if (json_array_size(errors)) {
		answer_wrong(response, errors);
		return;
	}
	strbuf_init(&sql, SQL_BYTES);
	list_books_sql(&list, &sql);
	if (db_read_page(user, request->worker, sql.data, &list, &r, &err) < 0)
		answer_postgres(response, &err);
	else
		answer_text(response, 200, pg_value(r, 0, 0));
	strbuf_release(&sql);
}

/* --- writing */

/* A link names an author who is not there. */
static bool lacks_author(const struct err *err)
{
	return strcmp(err->sqlstate, "23503") == 0;
}

static void answer_lacking_author(struct web_response *response)
{
	_cleanup_json_ json_t *errors = json_array();

	form_wrong(errors, "author_ids", "names an author who does not exist");
	answer_wrong(response, errors);
}

/* The row of a statement that writes a book and returns its id; "": there was none. */
static int write_book(struct bookstore *store, const struct web_request *request, const struct db_statement *statement,
		      struct web_response *response, char ret_id[24])
{
	_cleanup_(pg_result_freep) struct pg_result *r = NULL;
	struct err err = {0};

	*ret_id = '\0';
	if (db_write(store, request->worker, statement, &r, &err) < 0) {
		if (lacks_author(&err))
			answer_lacking_author(response);
		else
			answer_postgres(response, &err);
		return -1;
	}
	if (pg_n_rows(r)) {
		(void)snprintf(ret_id, 24, "%s", pg_value(r, 0, 0));
		after_write(store, request, response);
	}
	return 0;
}

/* A book that is published has a date. */
static const char create_sql[] =
	"WITH b AS (INSERT INTO public.books (title, isbn, price, status, published_at)"
	"  VALUES ($1, $2, $3::numeric, coalesce($4, 'draft'),"
	"   coalesce($5::timestamptz, CASE WHEN $4 = 'published' THEN now() END)) RETURNING id),"
	" l AS (INSERT INTO public.book_authors (book_id, author_id)"
	"  SELECT b.id, a FROM b, unnest($6::bigint[]) AS a)"
	" SELECT id FROM b";

static void create_book(struct bookstore *store, const struct web_request *request, const struct form_book *book,
			struct web_response *response)
{
	const char *const params[] = {book->title,  book->isbn,         book->price,
				      book->status, book->published_at, book->author_ids};
	_cleanup_free_ char *location = NULL;
	char id[24];

	if (write_book(store, request, &(struct db_statement){create_sql, params, ARRAY_SIZE(params)}, response, id) <
	    0)
		return;
	answer_book(store, request, id, response);
	if (response->status != 200)
		return;
	response->status = 201;
	location = xasprintf("/books/%s", id);
	web_add_header(response, "Location", location);
}

/* The body of a request about a book; false: the response says what is wrong. */
static bool read_book(const struct web_request *request, bool complete, struct form_book *ret,
		      struct web_response *response)
{
	_cleanup_json_ json_t *errors = json_array();
	_cleanup_json_ json_t *body = answer_body(request, response);

	*ret = (struct form_book){0};
	if (!body)
		return false;
	form_read_book(body, complete, ret, errors);
	if (!json_array_size(errors))
		return true;
	form_book_release(ret);
	answer_wrong(response, errors);
	return false;
}

void api_create_book(void *user, const struct web_request *request, struct web_response *response)
{
	struct form_book book;

	if (!read_book(request, true, &book, response))
		return;
	create_book(user, request, &book, response);
	form_book_release(&book);
}

static const char update_sql[] =
	"WITH b AS (UPDATE public.books SET title = coalesce($2, title), isbn = coalesce($3, isbn),"
	"  price = coalesce($4::numeric, price), status = coalesce($5, status),"
	"  published_at = CASE WHEN $6::boolean THEN $7::timestamptz"
	"   WHEN $5 = 'published' THEN coalesce(published_at, now()) ELSE published_at END"
	"  WHERE id = $1::bigint AND ($9::text IS NULL OR xmin::text = $9) RETURNING id),"
	" d AS (DELETE FROM public.book_authors USING b WHERE book_id = b.id AND author_id <> ALL ($8::bigint[])),"
	" l AS (INSERT INTO public.book_authors (book_id, author_id)"
	"  SELECT b.id, a FROM b, unnest($8::bigint[]) AS a ON CONFLICT DO NOTHING)"
	" SELECT id FROM b";

/* No row was updated: there is none, or it has another version. */
static void answer_unchanged_book(struct bookstore *store, const struct web_request *request, const char *id,
				  struct web_response *response)
{
	answer_book(store, request, id, response);
	if (response->status == 200)
		answer_changed(response);
}

void api_update_book(void *user, const struct web_request *request, struct web_response *response)
{
	const char *id = book_id(request, response);
	struct form_book book;
	char written[24];

	if (!id || !read_book(request, false, &book, response))
		return;
	if (write_book(user, request,
		       &(struct db_statement){update_sql,
					      (const char *[]){id, book.title, book.isbn, book.price, book.status,
							       book.has_published_at ? "t" : "f", book.published_at,
							       book.author_ids, book.version},
					      9},
		       response, written) == 0) {
		if (*written)
			answer_book(user, request, id, response);
		else
			answer_unchanged_book(user, request, id, response);
	}
	form_book_release(&book);
}

void api_publish_book(void *user, const struct web_request *request, struct web_response *response)
{
	const char *id = book_id(request, response);
	char written[24];

	if (id &&
	    write_book(
		    user, request,
		    &(struct db_statement){
			    "UPDATE public.books SET status = 'published', published_at = coalesce(published_at, now())"
			    " WHERE id = $1::bigint RETURNING id",
			    (const char *[]){id}, 1},
		    response, written) == 0)
		answer_book(user, request, id, response);
}

void api_delete_book(void *user, const struct web_request *request, struct web_response *response)
{
	const char *id = book_id(request, response);
	char written[24];

	if (!id || write_book(user, request,
			      &(struct db_statement){"DELETE FROM public.books WHERE id = $1::bigint RETURNING id",
						     (const char *[]){id}, 1},
			      response, written) < 0)
		return;
	if (*written)
		response->status = 204;
	else
		answer_error(response, 404, "there is no such book");
}
