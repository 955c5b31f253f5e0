/* Authors. */
#include <string.h>

#include "bookstore.h"
#include "json/json.h"

#define AUTHOR                                                        \
	"json_build_object('id', a.id, 'name', a.name, 'bio', a.bio," \
	" 'books', (SELECT count(*) FROM public.book_authors AS l WHERE l.author_id = a.id), 'version', a.xmin::text)"

enum { SQL_BYTES = 4096 };

static const char no_author[] = "there is no such author";

/* 200 with the author, or 404. */
static void answer_author(struct bookstore *store, const struct web_request *request, const char *id,
			  struct web_response *response)
{
	_cleanup_(pg_result_freep) struct pg_result *r = NULL;
	struct err err = {0};

	if (db_read(store, request->worker,
		    &(struct db_statement){"SELECT " AUTHOR " FROM public.authors AS a WHERE a.id = $1::bigint",
					   (const char *[]){id}, 1},
		    &r, &err) < 0)
		answer_postgres(response, &err);
	else if (pg_n_rows(r) == 0)
		answer_error(response, 404, no_author);
	else
		answer_text(response, 200, pg_value(r, 0, 0));
}

static const char *author_id(const struct web_request *request, struct web_response *response)
{
	if (form_is_id(request->captures[0]))
		return request->captures[0];
	answer_error(response, 404, "there is no such author: ids are positive numbers");
	return NULL;
}

void api_read_author(void *user, const struct web_request *request, struct web_response *response)
{
	const char *id = author_id(request, response);

	if (id)
		answer_author(user, request, id, response);
}

static const char *const author_sorts[] = {"id", "name", NULL};

/* Columns are named by constants of this file; values are parameters. There is no status. */
static void list_authors_sql(const struct form_list *list, struct strbuf *sql)
{
	strbuf_addf(sql,
		    "WITH found AS (SELECT a.*, a.xmin FROM public.authors AS a"
		    " WHERE ($1::text IS NULL OR strpos(lower(a.name), lower($1)) > 0) AND $2::text IS NULL),"
		    " page AS (SELECT a.* FROM found AS a ORDER BY a.%s %s, a.id LIMIT $3::bigint OFFSET $4::bigint)"
		    " SELECT json_build_object('items', (SELECT coalesce(json_agg(" AUTHOR
		    " ORDER BY a.%s %s, a.id), '[]'::json) FROM page AS a),"
		    " 'total', (SELECT count(*) FROM found), 'page', %u, 'page_size', %u)",
		    author_sorts[list->sort], list->descending ? "DESC" : "ASC", author_sorts[list->sort],
		    list->descending ? "DESC" : "ASC", list->page, list->page_size);
}

void api_list_authors(void *user, const struct web_request *request, struct web_response *response)
{
	_cleanup_json_ json_t *errors = json_array();
	_cleanup_(pg_result_freep) struct pg_result *r = NULL;
	struct form_list list;
	struct strbuf sql;
	struct err err = {0};

	form_read_list(request, author_sorts, false, &list, errors);
	if (json_array_size(errors)) {
		answer_wrong(response, errors);
		return;
	}
	strbuf_init(&sql, SQL_BYTES);
	list_authors_sql(&list, &sql);
	if (db_read_page(user, request->worker, sql.data, &list, &r, &err) < 0)
		answer_postgres(response, &err);
	else
		answer_text(response, 200, pg_value(r, 0, 0));
	strbuf_release(&sql);
}

/* The body of a request about an author; false: the response says what is wrong. */
static bool read_author(const struct web_request *request, bool complete, struct form_author *ret,
			struct web_response *response)
{
	_cleanup_json_ json_t *errors = json_array();
	_cleanup_json_ json_t *body = answer_body(request, response);

	*ret = (struct form_author){0};
	if (!body)
		return false;
	form_read_author(body, complete, ret, errors);
	if (!json_array_size(errors))
		return true;
	form_author_release(ret);
	answer_wrong(response, errors);
	return false;
}

void api_create_author(void *user, const struct web_request *request, struct web_response *response)
{
	_cleanup_(pg_result_freep) struct pg_result *r = NULL;
	_cleanup_free_ char *location = NULL;
	struct form_author author;
	struct err err = {0};

	if (!read_author(request, true, &author, response))
		return;
	if (db_write(user, request->worker,
		     &(struct db_statement){"INSERT INTO public.authors (name, bio) VALUES ($1, $2) RETURNING id",
					    (const char *[]){author.name, author.bio}, 2},
		     &r, &err) < 0) {
		answer_postgres(response, &err);
	} else {
		after_write(user, request, response);
		answer_author(user, request, pg_value(r, 0, 0), response);
		if (response->status == 200) {
			response->status = 201;
			location = xasprintf("/authors/%s", pg_value(r, 0, 0));
			web_add_header(response, "Location", location);
		}
	}
	form_author_release(&author);
}

void api_update_author(void *user, const struct web_request *request, struct web_response *response)
{
	const char *id = author_id(request, response);
	_cleanup_(pg_result_freep) struct pg_result *r = NULL;
	struct form_author author;
	struct err err = {0};

	if (!id || !read_author(request, false, &author, response))
		return;
	if (db_write(user, request->worker,
		     &(struct db_statement){
			     "UPDATE public.authors SET name = coalesce($2, name), bio = CASE WHEN $3::boolean THEN $4 "
			     "ELSE bio"
			     " END WHERE id = $1::bigint AND ($5::text IS NULL OR xmin::text = $5) RETURNING id",
			     (const char *[]){id, author.name, author.has_bio ? "t" : "f", author.bio, author.version},
			     5},
		     &r, &err) < 0) {
		answer_postgres(response, &err);
	} else {
		if (pg_n_rows(r))
			after_write(user, request, response);
		answer_author(user, request, id, response);
		if (pg_n_rows(r) == 0 && response->status == 200)
			answer_changed(response);
	}
	form_author_release(&author);
}

static void answer_deleted(struct bookstore *store, const struct web_request *request, struct web_response *response)
{
	after_write(store, request, response);
	response->status = 204;
}

/* An author who has books stays, so that no book loses one by accident. */
void api_delete_author(void *user, const struct web_request *request, struct web_response *response)
{
	const char *id = author_id(request, response);
	_cleanup_(pg_result_freep) struct pg_result *r = NULL;
	struct err err = {0};

	if (!id)
		return;
	if (db_write(
		    user, request->worker,
		    &(struct db_statement){
			    "WITH d AS (DELETE FROM public.authors AS a WHERE a.id = $1::bigint"
			    "  AND NOT EXISTS (SELECT FROM public.book_authors AS l WHERE l.author_id = a.id) "
			    "RETURNING a.id)"
			    " SELECT EXISTS (SELECT FROM d), EXISTS (SELECT FROM public.authors WHERE id = $1::bigint)",
			    (const char *[]){id}, 1},
		    &r, &err) < 0)
		answer_postgres(response, &err);
	else if (pg_bool(r, 0, 0))
		answer_deleted(user, request, response);
	else if (pg_bool(r, 0, 1))
		answer_error(response, 409, "the author has books: first remove the author from them, or delete them");
	else
		answer_error(response, 404, no_author);
}
