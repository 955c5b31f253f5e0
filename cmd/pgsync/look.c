/* What the console of pgsync run looks into: the indices, beside Postgres; dead letters; the checkpoint; the plan.
 *
 * Each request has its own connections, which end with it, and ten seconds for each answer of a server. What asks
 * Postgres is done one at a time, so the source has one session more than the worker needs, or two while it plans. */
#include "look.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/log.h"
#include "base/parse.h"
#include "base/sections.h"
#include "checkpoint/checkpoint.h"
#include "cmd.h"
#include "http/http.h"
#include "search/search.h"
#include "sink/dead_letter_pages.h"
#include "sink/dead_letters.h"
#include "sink/requests.h"
#include "sink/target.h"
#include "sync/sync.h"
#include "json/json.h"

enum {
	RESULTS = 20,
	MOST_RESULTS = 10000, /* what engines let a search skip */
	DEAD_LETTERS = 100,
	QUERY_BYTES = 1000,
	PLAN_BYTES = 8 * 1024 * 1024,
};

struct cmd_look {
	const struct spec *spec; /* borrowed */
	struct sync_options options;
	bool actions;
	int end_fd; /* an eventfd: readable when the console ends */
	pthread_mutex_t one_at_a_time;
	struct look_route *routes;
};

/* A request that is being answered. */
struct look_call {
	const struct cmd_look *look;
	const struct web_request *request;
	struct search *search; /* NULL unless it is needed */
	size_t document;       /* the number of the index's document in the spec */
	const char *index, *id;
};

/* --- the indices */

static int look_list(const struct look_call *c, json_t **ret, struct err *err)
{
	json_t *names = json_array();

	UNUSED(err);
	for (size_t i = 0; i < c->look->spec->n_documents; i++)
		(void)json_array_append_new(names, json_string(c->look->spec->documents[i]->index));
	*ret = json_pack("{s:o, s:b}", "indices", names, "actions", c->look->actions);
	return 0;
}

static int look_search(const struct look_call *c, json_t **ret, struct err *err)
{
	const char *typed = web_argument(c->request, "q"), *from_text = web_argument(c->request, "from");
	_cleanup_json_ json_t *query = NULL, *answer = NULL;
	json_t *hits = json_array(), *hit;
	uint64_t from = 0;
	size_t i;

	*ret = json_pack("{s:o}", "hits", hits);
	if (typed && strlen(typed) > QUERY_BYTES)
		return err_set(err, ERR_INVALID, "a search has at most %d bytes", QUERY_BYTES);
	if (from_text && !parse_range(from_text, 0, MOST_RESULTS - RESULTS, &from))
		return err_set(err, ERR_INVALID, "only the first %d results can be seen: search for more words",
			       MOST_RESULTS);
	query = look_query(typed ? typed : "", from, RESULTS);
	if (search_index_post(c->search, c->index, "/_search", query, &answer, err) < 0)
		return -1;
	json_array_foreach (jsonx_get(answer, "hits.hits"), i, hit)
		(void)json_array_append_new(hits, look_hit(hit));
	(void)json_object_set_new(*ret, "total", json_integer(jsonx_integer(answer, "hits.total.value", 0)));
	(void)json_object_set_new(*ret, "from", json_integer((json_int_t)from));
	(void)json_object_set(*ret, "ms", json_object_get(answer, "took"));
	return 0;
}

static int look_index(const struct look_call *c, json_t **ret, struct err *err)
{
	return search_index_get(c->search, c->index, "", ret, err);
}

static int look_one(const struct look_call *c, json_t **ret, struct err *err)
{
	const struct look_subject subject = {&c->look->options, c->search, c->document, c->id};
	struct err unread = {0};

	return look_document(&subject, ret, &unread, err);
}

/* --- dead letters */

static int check_owner(const struct look_call *c, struct err *err)
{
	const struct spec *spec = c->look->spec;
	_cleanup_free_ char *owner = xasprintf("%s/%s", spec->namespace, spec->name);
	const struct sink sink = {.search = c->search, .owner = owner, .uid = spec->uid};

	return dead_letters_check_owner(&sink, c->index, err);
}

static int look_dead_letters(const struct look_call *c, json_t **ret, struct err *err)
{
	static const char *const fields[] = {"row", "operation", "type", "reason", "time", "status"};
	_cleanup_(dead_letter_pages_end) struct dead_letter_pages pages = {0};
	json_t *list = json_array();

	*ret = json_pack("{s:o}", "deadLetters", list);
	if (check_owner(c, err) < 0 || dead_letter_pages_begin(&pages, c->search, c->index, err) < 0)
		return -1;
	for (size_t i = 0; i < pages.n && i < DEAD_LETTERS; i++) {
		json_t *item = json_pack("{s:s, s:I}", "id", pages.items[i].id, "attempts",
					 (json_int_t)pages.items[i].attempts);

		for (size_t k = 0; k < ARRAY_SIZE(fields); k++)
			(void)json_object_set(item, fields[k], json_object_get(pages.items[i].source, fields[k]));
		(void)json_array_append_new(list, item);
	}
	(void)json_object_set_new(*ret, "more", json_boolean(pages.n > DEAD_LETTERS));
	return 0;
}

static int find_dead_letter(const struct look_call *c, struct dead_letter_pages *pages, struct err *err)
{
	if (check_owner(c, err) < 0 || dead_letter_pages_get(pages, c->search, c->index, c->id, err) < 0)
		return -1;
	return pages->n ? 0 : err_set(err, ERR_NOT_FOUND, "the document has no dead letter any more");
}

static int look_retry(const struct look_call *c, json_t **ret, struct err *err)
{
	_cleanup_(dead_letter_pages_end) struct dead_letter_pages pages = {0};
	_cleanup_free_ char *key = spec_checkpoint_key(c->look->spec);

	if (find_dead_letter(c, &pages, err) < 0 || requests_add(c->search, key, c->index, c->id, err) < 0)
		return -1;
	log_info("run", "the console asks for another try of a dead letter", KV_STR("index", c->index));
	*ret = json_pack("{s:s}", "message", "the worker tries it again within seconds");
	return 0;
}

static int look_discard(const struct look_call *c, json_t **ret, struct err *err)
{
	_cleanup_(dead_letter_pages_end) struct dead_letter_pages pages = {0};

	if (find_dead_letter(c, &pages, err) < 0 || dead_letter_discard(c->search, c->index, &pages.items[0], err) < 0)
		return -1;
	log_info("run", "the console discards a dead letter", KV_STR("index", c->index));
	*ret = json_pack("{s:s}", "message", "the dead letter is discarded");
	return 0;
}

/* --- checkpoint and plan */

static int look_checkpoint(const struct look_call *c, json_t **ret, struct err *err)
{
	_cleanup_(checkpoint_release) struct checkpoint cp;

	if (sync_read_checkpoint(&c->look->options, &cp, err) < 0)
		return err_wrap(err, "loading the checkpoint");
	*ret = json_pack("{s:s, s:b, s:o*}", "store", cp.in_redis ? "Redis" : "the search engine", "lost", cp.lost,
			 "checkpoint", checkpoint_encode(&cp));
	return 0;
}

static void add_plan_section(const struct sections *plan, size_t i, json_t *list)
{
	size_t len;
	const char *body = sections_body(plan, i, &len);
	_cleanup_free_ char *text = xstrndup(body, len);

	(void)json_array_append_new(list,
				    json_pack("{s:s, s:o, s:o}", "kind", sections_kind_name(plan->items[i].kind),
					      "title", jsonx_text(plan->items[i].title), "text", jsonx_text(text)));
}

static int look_plan(const struct look_call *c, json_t **ret, struct err *err)
{
	_cleanup_(findings_release) struct findings findings;
	_cleanup_(sections_release) struct sections plan;
	json_t *list = json_array(), *sections = json_array();

	*ret = json_pack("{s:o, s:o}", "findings", list, "sections", sections);
	findings_init(&findings);
	sections_init(&plan, PLAN_BYTES);
	if (sync_plan(&c->look->options, &findings, &plan, err) < 0)
		return -1;
	if (!strbuf_ok(&plan.text))
		return err_set(err, ERR_LIMIT, "the plan is too large to be shown: pgsync plan prints it");
	for (size_t i = 0; i < findings.n; i++)
		(void)json_array_append_new(list, json_pack("{s:b, s:o, s:o, s:s*}", "error",
							    findings.items[i].severity == FINDING_ERROR, "path",
							    jsonx_text(findings.items[i].path), "message",
							    jsonx_text(findings.items[i].message), "statement",
							    findings.items[i].statement));
	for (size_t i = 0; i < plan.n; i++)
		add_plan_section(&plan, i, sections);
	return 0;
}

/* --- requests */

enum {
	NEEDS_INDEX = 1, /* with a connection to the engine */
	NEEDS_ID = 2,
	ASKS_POSTGRES = 4,
	CHANGES = 8,
};

static const struct look_view {
	const char *path;
	int (*fn)(const struct look_call *c, json_t **ret, struct err *err);
	unsigned flags;
} views[] = {
	{"/api/look", look_list, 0},
	{"/api/look/search", look_search, NEEDS_INDEX},
	{"/api/look/document", look_one, NEEDS_INDEX | NEEDS_ID | ASKS_POSTGRES},
	{"/api/look/index", look_index, NEEDS_INDEX},
	{"/api/look/dead-letters", look_dead_letters, NEEDS_INDEX},
	{"/api/look/dead-letters/retry", look_retry, NEEDS_INDEX | NEEDS_ID | CHANGES},
	{"/api/look/dead-letters/discard", look_discard, NEEDS_INDEX | NEEDS_ID | CHANGES},
	{"/api/look/checkpoint", look_checkpoint, 0},
	{"/api/look/plan", look_plan, ASKS_POSTGRES},
};
_Static_assert(ARRAY_SIZE(views) <= CONSOLE_ROUTES, "the console takes all of them");

struct look_route {
	struct cmd_look *look;
	const struct look_view *view;
};

/* Only the PgSync's own indices can be looked into. */
static int look_find_index(struct look_call *c, struct err *err)
{
	const char *name = web_argument(c->request, "index");

	if (name && cmd_find_index(c->look->spec, name, &c->document)) {
		c->index = c->look->spec->documents[c->document]->index;
		return 0;
	}
	return err_set(err, ERR_NOT_FOUND, "the PgSync has no such index");
}

static int call_view(const struct look_view *view, struct look_call *c, json_t **ret, struct err *err)
{
	_cleanup_(http_target_freep) struct http_target *target = NULL;
	_cleanup_(search_freep) struct search *search = NULL;

	if (!(view->flags & NEEDS_INDEX))
		return view->fn(c, ret, err);
	if (look_find_index(c, err) < 0)
		return -1;
	if ((view->flags & NEEDS_ID) && (!c->id || !*c->id))
		return err_set(err, ERR_INVALID, "the id of a document is required");
	if (sink_target(&c->look->spec->sink, &target, err) < 0 ||
	    search_new(target, cmd_is_stopped, (void *)&c->look->options.stop_fd, &search, err) < 0)
		return -1;
	search_set_timeout(search, LOOK_TIMEOUT_MS);
	c->search = search;
	return view->fn(c, ret, err);
}

static int call_in_turn(struct cmd_look *look, const struct look_view *view, struct look_call *c, json_t **ret,
			struct err *err)
{
	int r;

	if (!(view->flags & ASKS_POSTGRES))
		return call_view(view, c, ret, err);
	if (pthread_mutex_trylock(&look->one_at_a_time) != 0)
		return err_set(err, ERR_TRANSIENT, "Postgres is being asked already: try again in a moment");
	r = call_view(view, c, ret, err);
	(void)pthread_mutex_unlock(&look->one_at_a_time);
	return r;
}

static void serve_look(void *user, const struct web_request *request, struct web_response *response)
{
	const struct look_route *route = user;
	struct look_call c = {.look = route->look, .request = request, .id = web_argument(request, "id")};
	_cleanup_json_ json_t *value = NULL;
	_cleanup_free_ char *text = NULL;
	struct err err = {0};

	response->content_type = "application/json";
	if (call_in_turn(route->look, route->view, &c, &value, &err) < 0) {
		json_decref(value);
		value = json_pack("{s:o}", "message", jsonx_text(err.msg));
		response->status = look_status(&err);
	}
	text = json_dumps(value, JSON_COMPACT);
	strbuf_adds(&response->body, text ? text : "{}");
	strbuf_addc(&response->body, '\n');
}

/* --- life */

int cmd_look_new(const struct sync_options *run, bool actions, struct cmd_look **ret, struct err *err)
{
	_cleanup_(cmd_look_freep) struct cmd_look *look = xcalloc(1, sizeof(*look));

	look->spec = run->spec;
	look->options = (struct sync_options){.spec = run->spec, .slot_name_given = run->slot_name_given};
	look->actions = actions;
	look->end_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	look->routes = xcalloc(ARRAY_SIZE(views), sizeof(*look->routes));
	(void)pthread_mutex_init(&look->one_at_a_time, NULL);
	look->options.stop_fd = stop_fd_open(look->end_fd, err);
	if (look->options.stop_fd < 0)
		return -1;
	*ret = TAKE_PTR(look);
	return 0;
}

void cmd_look_end(const struct cmd_look *look)
{
	uint64_t one = 1;

	if (write(look->end_fd, &one, sizeof(one)) < 0)
		UNUSED(one); /* the counter is full: it is readable already */
}

void cmd_look_free(struct cmd_look *look)
{
	if (!look)
		return;
	close_fdp(&look->options.stop_fd);
	close_fdp(&look->end_fd);
	(void)pthread_mutex_destroy(&look->one_at_a_time);
	free(look->routes);
	free(look);
}

size_t cmd_look_routes(struct cmd_look *look, struct web_route ret[CONSOLE_ROUTES])
{
	size_t n = 0;

	for (size_t i = 0; i < ARRAY_SIZE(views); i++) {
		bool changes = (views[i].flags & CHANGES) != 0;

		if (changes && !look->actions)
			continue;
		look->routes[i] = (struct look_route){look, &views[i]};
		ret[n++] = (struct web_route){.path = views[i].path,
					      .handler = serve_look,
					      .user = &look->routes[i],
					      .method = changes ? "POST" : NULL};
	}
	return n;
}
