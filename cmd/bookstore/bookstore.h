/* The bookstore: an API that writes only to Postgres, and pages that search the index that pgsync keeps in sync.
 *
 * What main.c reads from options is in `struct bookstore`, and does not change once the server runs. Requests are
 * handled by the web server's workers. Each has its own connections to Postgres and to the search engine, so the number
 * of both is bounded, and no lock is needed.
 */
#ifndef BOOKSTORE_H
#define BOOKSTORE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <jansson.h>

#include "base/err.h"
#include "base/mem.h"
#include "http/http.h"
#include "postgres/pg.h"
#include "web/web.h"

enum {
	BOOKSTORE_WORKERS = 8,
	BOOKSTORE_BODY_BYTES = 64 * 1024,         /* of a request */
	BOOKSTORE_ANSWER_BYTES = 4 * 1024 * 1024, /* of the search engine */
	BOOKSTORE_QUERY_MS = 10 * 1000,
	BOOKSTORE_CONNECT_MS = 3 * 1000,
	BOOKSTORE_RETRY_S = 1, /* Retry-After while a server does not answer */
};

/* Those of one worker. */
struct connections {
	struct pg *pg; /* NULL: not connected */
	struct http *http;
};

struct bookstore {
	struct pg_params postgres;
	struct http_target *engine;
	struct http_target *filler; /* the pgsync worker that fills the index; NULL: its address is not known */
	const char *index;
	int stop_fd; /* readable once the program has to end */
	struct connections connections[BOOKSTORE_WORKERS];
	atomic_uint waiting; /* searches that wait until the index contains a write */
};

/* --- db.c: connections to Postgres, opened when they are needed, and again after one was lost */
struct db_statement {
	const char *sql;
	const char *const *params;
	int n;
};
/* Runs a statement that only reads: it is sent again if the connection was lost. Errors: as pg_query. */
int db_read(struct bookstore *store, unsigned worker, const struct db_statement *statement, struct pg_result **ret,
	    struct err *err) WARN_UNUSED;
/* Runs a statement that writes, at most once. */
int db_write(struct bookstore *store, unsigned worker, const struct db_statement *statement, struct pg_result **ret,
	     struct err *err) WARN_UNUSED;
struct form_list;
/* Runs the statement of a list, whose parameters are: text, status, limit, offset. */
int db_read_page(struct bookstore *store, unsigned worker, const char *sql, const struct form_list *list,
		 struct pg_result **ret, struct err *err) WARN_UNUSED;
void db_close(struct bookstore *store);

/* --- tables.c */
/* Creates the tables that are missing, and 25 books with their authors if there is neither a book nor an author. */
int tables_prepare(const struct bookstore *store, struct err *err) WARN_UNUSED;

/* --- form.c: what requests say, checked; pure */
/* One object {"field", "message"} for each field that is wrong. */
void form_wrong(json_t *errors, const char *field, const char *fmt, ...) PRINTF_LIKE(3, 4);

struct form_book {
	char *title, *isbn, *price; /* NULL: not given. The ISBN without hyphens */
	const char *status;
	bool has_published_at;
	char *published_at; /* NULL: null */
	char *author_ids;   /* an array literal; NULL: not given */
	char *version;
};
void form_book_release(struct form_book *book);
/* complete: title, ISBN and price must be there. */
void form_read_book(const json_t *body, bool complete, struct form_book *ret, json_t *errors);

struct form_author {
	char *name;
	bool has_bio;
	char *bio; /* NULL: null */
	char *version;
};
void form_author_release(struct form_author *author);
void form_read_author(const json_t *body, bool complete, struct form_author *ret, json_t *errors);

struct form_list {
	unsigned page, page_size;
	const char *q;      /* NULL: all */
	const char *status; /* NULL: any */
	size_t sort;        /* which of the words */
	bool descending;
};
/* sorts: the words that may be sorted by, NULL-terminated; "-word" is descending. */
void form_read_list(const struct web_request *request, const char *const *sorts, bool has_status, struct form_list *ret,
		    json_t *errors);
/* One of the words, which are NULL-terminated; NULL: it is none of them. */
const char *form_word(const char *text, const char *const *words);
/* Every argument of the query must be one of these words. */
void form_check_arguments(const struct web_request *request, const char *const *words, json_t *errors);
/* In characters. */
size_t form_length(const char *text);
/* A positive 64-bit number. */
bool form_is_id(const char *text);
/* "8", "15.9" or "15.99", as numeric(10,2) holds it. */
bool form_is_price(const char *text);
/* RFC 3339: "2026-12-01", or with a time, "2026-12-01T10:00:00Z". */
bool form_is_date(const char *text);

/* --- modes.c: from what is typed to the body of a search; pure */
struct modes_input {
	const char *mode; /* a word */
	const char *q;
	const char *min_price, *max_price, *from, *to; /* of the mode range; or NULL */
	const char *after;                             /* a position of the WAL; or NULL */
	int size;
};
/* Reads the arguments of GET /search. */
void modes_read(const struct web_request *request, struct modes_input *ret, json_t *errors);
/* NULL if there is no such mode. */
json_t *modes_query(const struct modes_input *input);
/* The words, NULL-terminated. */
extern const char *const modes_words[];

/* --- answers.c: from results and errors to responses */
void answer_json_take(struct web_response *response, unsigned status, json_t *value);
/* A JSON text as Postgres made it. */
void answer_text(struct web_response *response, unsigned status, const char *text);
/* {"status", "message"} */
void answer_error(struct web_response *response, unsigned status, const char *message);
/* 503, and when to try again. */
void answer_unavailable(struct web_response *response, const char *message);
/* 422 with what is wrong; errors is not empty. */
void answer_wrong(struct web_response *response, const json_t *errors);
/* 503 while Postgres does not answer, 409, or 500. */
void answer_postgres(struct web_response *response, const struct err *err);
/* A 200 with the present state becomes a 409 that says that it has another version: {"status", "message",
 * "current"}. */
void answer_changed(struct web_response *response);
/* web_options.refusal */
void answer_refusal(const char *text, struct web_response *response);
/* The body as a JSON object; NULL: the response says what is wrong. */
json_t *answer_body(const struct web_request *request, struct web_response *response);

/* --- engine.c */
/* The worker's loop of requests, to any target; made when it is needed. */
int engine_loop(struct bookstore *store, unsigned worker, struct http **ret, struct err *err) WARN_UNUSED;

/* --- after.c: reading one's own writes */
/* After a commit: adds its position to the answer, for searches that have to contain it. */
void after_write(struct bookstore *store, const struct web_request *request, struct web_response *response);
/* Waits until searches find everything that was committed before the position; false: the response says why they do
 * not. */
bool after_wait(struct bookstore *store, const struct web_request *request, const char *position,
		struct web_response *response) WARN_UNUSED;

/* --- handlers; user is a struct bookstore */
web_handler api_list_books, api_create_book, api_read_book, api_update_book, api_delete_book, api_publish_book;
web_handler api_list_authors, api_create_author, api_read_author, api_update_author, api_delete_author;
web_handler engine_search, engine_search_as_sent, engine_stats, engine_documents;

/* --- pages.c: files that are part of the program */
/* The routes of all files are written to routes, which has room for PAGES. */
enum { PAGES = 13 };
void pages_routes(struct web_route *routes);

#endif
