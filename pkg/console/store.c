/* What the console knows: a line and the details of each PgSync, as JSON that only has to be put together. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/parse.h"
#include "console/console_int.h"
#include "screen/screen.h"
#include "json/json.h"

static void free_entry(void *ptr)
{
	struct console_entry *e = ptr;

	for (size_t i = 0; i < CONSOLE_EVENTS; i++)
		free(e->events[i]);
	free(e->namespace);
	free(e->name);
	free(e->summary);
	free(e->status);
	free(e->schema);
	free(e->history);
	free(e);
}

void console_store_init(struct console_store *store, const struct console_options *options)
{
	*store = (struct console_store){.entries = map_new(free_entry),
					.instance = random_seed(),
					.leading = options->of_worker,
					.of_worker = options->of_worker,
					.looks = options->n_routes > 0};
}

void console_store_release(struct console_store *store)
{
	map_free(store->entries);
}

static char *key_of(const char *namespace, const char *name)
{
	return xasprintf("%s/%s", namespace, name);
}

static struct console_entry *entry_of(struct console_store *store, const char *namespace, const char *name)
{
	_cleanup_free_ char *key = key_of(namespace, name);
	struct console_entry *e = map_gets(store->entries, key);

	if (e)
		return e;
	e = xcalloc(1, sizeof(*e));
	e->namespace = xstrdup(namespace);
	e->name = xstrdup(name);
	map_puts(store->entries, key, e);
	return e;
}

/* Replaces a text; false if it is the same. */
static bool replace(char **field, char *take)
{
	if ((!*field && !take) || (*field && take && strcmp(*field, take) == 0)) {
		free(take);
		return false;
	}
	free(*field);
	*field = take;
	return true;
}

static char *schema_to_show(const char *schema)
{
	return schema && strlen(schema) <= CONSOLE_SCHEMA_BYTES ? xstrdup(schema) : NULL;
}

static char *status_text(const json_t *resource)
{
	const json_t *status = json_object_get(resource, "status");

	return status ? jsonx_canonical(status) : xstrdup("{}");
}

void console_store_lead(struct console_store *store, bool leading)
{
	if (store->leading == leading)
		return;
	store->leading = leading;
	store->revision++;
}

static void keep_sample(struct console_store *store, struct console_entry *e, const json_t *resource, int64_t now_ms)
{
	struct console_sample sample = console_history_sample(resource);

	if (!e->history && store->n_histories < CONSOLE_HISTORIES) {
		e->history = xcalloc(1, sizeof(*e->history));
		store->n_histories++;
	}
	if (e->history)
		console_history_add(e->history, now_ms, &sample);
}

void console_store_show(struct console_store *store, const struct console_pgsync *pgsync, int64_t now_ms)
{
	struct console_entry *e = entry_of(store, pgsync->namespace, pgsync->name);
	bool summary = replace(&e->summary, console_summary(pgsync));
	bool status = replace(&e->status, status_text(pgsync->resource));
	bool schema = replace(&e->schema, schema_to_show(pgsync->schema));

	keep_sample(store, e, pgsync->resource, now_ms);
	(void)snprintf(e->created, sizeof(e->created), "%s", pgsync->created);
	if (!summary && !status && !schema)
		return;
	e->detail = ++store->revision;
	if (summary)
		e->revision = store->revision;
}

void console_store_event(struct console_store *store, const char *namespace, const char *name,
			 const struct console_event *event, int64_t wall_us)
{
	struct console_entry *e = entry_of(store, namespace, name);
	char time[CLOCK_RFC3339_BYTES];
	_cleanup_json_ json_t *value = json_pack(
		"{s:s, s:b, s:s, s:s, s:o}", "time", clock_rfc3339_micro(wall_us, time), "warning", event->warning,
		"reason", reason_name(event->reason), "action", event->action, "note", jsonx_text(event->note));
	char **place = &e->events[e->n_events++ % CONSOLE_EVENTS];

	free(*place);
	*place = jsonx_canonical(value);
	e->detail = ++store->revision;
}

void console_store_forget(struct console_store *store, const char *namespace, const char *name)
{
	_cleanup_free_ char *key = key_of(namespace, name);
	const struct console_entry *e = map_gets(store->entries, key);

	store->n_histories -= e && e->history;
	if (map_removes(store->entries, key))
		store->removed = ++store->revision;
}

void console_store_forget_all(struct console_store *store)
{
	map_free(store->entries);
	store->entries = map_new(free_entry);
	store->n_histories = 0;
	store->removed = ++store->revision;
}

/* --- JSON */

char *console_store_cursor(const struct console_store *store)
{
	return xasprintf("%016" PRIx64 "-%" PRIu64, store->instance, store->revision);
}

/* The revision that a cursor names; 0 if it is not ours, or if what has gone since could not be told. */
static uint64_t revision_of(const struct console_store *store, const char *cursor)
{
	_cleanup_free_ char *prefix = xasprintf("%016" PRIx64 "-", store->instance);
	uint64_t revision;

	if (!cursor || strncmp(cursor, prefix, strlen(prefix)) != 0 ||
	    !parse_range(cursor + strlen(prefix), 0, store->revision, &revision))
		return 0;
	return revision >= store->removed ? revision : 0;
}

struct listing {
	struct strbuf *out;
	uint64_t since;
	bool some;
};

static bool list_entry(void *user, const char *key, size_t len, void *value)
{
	struct listing *l = user;
	const struct console_entry *e = value;

	UNUSED(key);
	UNUSED(len);
	if (!e->summary || e->revision <= l->since)
		return true;
	strbuf_adds(l->out, l->some ? "," : "");
	strbuf_adds(l->out, e->summary);
	l->some = true;
	return true;
}

void console_store_list(const struct console_store *store, const char *since, struct strbuf *ret)
{
	_cleanup_free_ char *cursor = console_store_cursor(store);
	struct listing l = {.out = ret, .since = revision_of(store, since)};

	strbuf_addf(ret, "{\"cursor\":\"%s\",\"full\":%s,\"leading\":%s,\"pgsyncs\":[", cursor,
		    l.since ? "false" : "true", store->leading ? "true" : "false");
	map_each(store->entries, list_entry, &l);
	strbuf_adds(ret, "]}");
}

const struct console_entry *console_store_find(const struct console_store *store, const char *namespace,
					       const char *name)
{
	_cleanup_free_ char *key = key_of(namespace, name);
	const struct console_entry *e = map_gets(store->entries, key);

	return e && e->summary ? e : NULL;
}

static void add_remedies(const char *kept, struct strbuf *ret)
{
	_cleanup_json_ json_t *status = json_loads(kept, 0, NULL);
	_cleanup_json_ json_t *remedies = json_object();
	_cleanup_free_ char *text = NULL;
	size_t i;
	json_t *condition;

	json_array_foreach (json_object_get(status, "conditions"), i, condition) {
		const char *word = jsonx_string(condition, "reason", "");
		_cleanup_free_ char *remedy = remedy_find(screen_reasons(), word);

		if (remedy)
			(void)json_object_set_new(remedies, word, json_string(remedy));
	}
	text = jsonx_canonical(remedies);
	strbuf_adds(ret, text);
}

void console_entry_json(const struct console_store *store, const struct console_entry *e, struct strbuf *ret)
{
	size_t kept = e->n_events < CONSOLE_EVENTS ? e->n_events : CONSOLE_EVENTS;

	strbuf_addf(ret, "{\"ofWorker\":%s,\"looks\":%s,\"summary\":%s,\"status\":%s,\"schema\":",
		    store->of_worker ? "true" : "false", store->looks ? "true" : "false", e->summary, e->status);
	if (e->schema)
		strbuf_add_json(ret, e->schema, strlen(e->schema));
	else
		strbuf_adds(ret, "null");
	strbuf_adds(ret, ",\"remedies\":");
	add_remedies(e->status, ret);
	strbuf_adds(ret, ",\"events\":[");
	for (size_t i = 0; i < kept; i++) {
		strbuf_adds(ret, i ? "," : "");
		strbuf_adds(ret, e->events[(e->n_events - 1 - i) % CONSOLE_EVENTS]);
	}
	strbuf_adds(ret, "]}");
}
