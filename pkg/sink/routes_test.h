/* What the tests of requests share: a fake search engine that answers from a table of routes and records what it was
 * asked. */
#ifndef PGSYNC_SINK_ROUTES_TEST_H
#define PGSYNC_SINK_ROUTES_TEST_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "fakes/engine.h"
#include "http/http.h"
#include "search/search.h"
#include "sink/sink.h"
#include "json/json.h"

enum { ROUTES_LOG_BYTES = 1024 * 1024 };

/* The first route that fits answers. */
struct route {
	const char *request; /* the request begins with this */
	int status;
	const char *body;
	unsigned times; /* how many times it answers; 0: always */
};

#define MISSING "{\"error\":{\"type\":\"index_not_found_exception\",\"reason\":\"no such index\"},\"status\":404}"
#define EXISTS "{\"error\":{\"type\":\"resource_already_exists_exception\",\"reason\":\"exists\"},\"status\":400}"
#define DENIED "{\"error\":{\"type\":\"security_exception\",\"reason\":\"no permissions\"},\"status\":403}"
#define OWNED_BY(index, owner) "{\"" index "\":{\"mappings\":{\"_meta\":{\"pgsync\":{\"owner\":\"" owner "\"}}}}}"
#define LEFT_BY(index, owner) "{\"" index "\":{\"mappings\":{\"_meta\":{\"pgsync\":{\"formerOwner\":\"" owner "\"}}}}}"

struct routes {
	struct fake_engine engine;
	struct http_target *target;
	struct sink sink;
	struct err err;
	/* Under the engine's lock. */
	const struct route *list;
	unsigned used[16];
	struct strbuf changes, bodies; /* "METHOD path" of all but reads, without queries; and the bodies of these */
};

static inline bool routes_is_read(const char *head)
{
	return !strncmp(head, "GET", 3) || !strncmp(head, "HEAD", 4);
}

static inline int routes_answer(struct fake_engine *engine, const char *head, const char *body, struct strbuf *answer)
{
	struct routes *r = engine->user;
	const char *path = strchr(head, ' ') + 1;

	if (!routes_is_read(head)) {
		strbuf_addf(&r->changes, "%s%.*s", r->changes.len ? "; " : "",
			    (int)((size_t)(path - head) + strcspn(path, " ?")), head);
		strbuf_addf(&r->bodies, "%s\n", body);
	}
	for (size_t i = 0; r->list[i].request; i++) {
		const struct route *route = &r->list[i];

		if (strncmp(head, route->request, strlen(route->request)) != 0 ||
		    (route->times && r->used[i] == route->times))
			continue;
		r->used[i]++;
		strbuf_adds(answer, route->body);
		return route->status;
	}
	strbuf_adds(answer, routes_is_read(head) ? "{}" : FAKE_CONFIRMED);
	return 200;
}

static inline void routes_begin(struct routes *r, const struct route *list)
{
	const char *url;

	*r = (struct routes){.list = list, .sink = {.owner = "shop/books", .token = "1", .bulk_max_bytes = 65536}};
	strbuf_init(&r->changes, ROUTES_LOG_BYTES);
	strbuf_init(&r->bodies, ROUTES_LOG_BYTES);
	fake_engine_start(&r->engine, routes_answer, r);
	url = r->engine.url;
	assert_int_equal(http_target_new(&(struct http_target_options){.urls = &url, .n_urls = 1}, &r->target, &r->err),
			 0);
	assert_int_equal(search_new(r->target, NULL, NULL, &r->sink.search, &r->err), 0);
}

static inline void routes_end(struct routes *r)
{
	search_free(r->sink.search);
	fake_engine_stop(&r->engine);
	http_target_free(r->target);
	strbuf_release(&r->changes);
	strbuf_release(&r->bodies);
}

/* The requests so far that were not reads. */
static inline void routes_expect_changes(struct routes *r, const char *expected)
{
	_cleanup_free_ char *found = NULL;

	(void)pthread_mutex_lock(&r->engine.lock);
	found = xstrdup(r->changes.len ? r->changes.data : "");
	(void)pthread_mutex_unlock(&r->engine.lock);
	assert_string_equal(found, expected);
}

static inline bool routes_sent(struct routes *r, const char *part)
{
	bool sent;

	(void)pthread_mutex_lock(&r->engine.lock);
	sent = r->bodies.len && strstr(r->bodies.data, part);
	(void)pthread_mutex_unlock(&r->engine.lock);
	return sent;
}

#define ROUTES_OK(r, call)                                       \
	do {                                                     \
		if ((call) < 0)                                  \
			fail_msg("%s: %s", #call, (r)->err.msg); \
	} while (0)

#endif
