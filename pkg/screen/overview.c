/* Several PgSyncs at a glance: their lag, and the live overview. */
#include <stdlib.h>
#include <string.h>

#include "screen/screen.h"
#include "screen/screen_int.h"
#include "json/json.h"

enum { NAMESPACE_WIDTH = 20, NAME_WIDTH = 28 };

/* status.stream.lagBytes; "-" if it is not known. */
static const char *behind(const json_t *resource, char buf[AMOUNT_BYTES])
{
	int64_t bytes = jsonx_integer(resource, "status.stream.lagBytes", -1);

	return bytes < 0 ? "-" : amount_of_bytes((uint64_t)bytes, buf);
}

void screen_lag_header(bool namespaces, struct strbuf *out)
{
	if (namespaces)
		strbuf_addf(out, "%-*s   ", NAMESPACE_WIDTH, "NAMESPACE");
	strbuf_addf(out, "%-*s   %-6s   %-9s   %-9s   %s\n", NAME_WIDTH, "NAME", "LAG", "BEHIND", "RETAINED",
		    "VERDICT");
}

void screen_lag(const struct screen_input *in, bool namespaces, struct strbuf *out)
{
	_cleanup_(verdict_release) struct verdict verdict = {0};
	char bytes[AMOUNT_BYTES];

	verdict_decide(in, &verdict);
	if (namespaces)
		strbuf_addf(out, "%-*s   ", NAMESPACE_WIDTH, jsonx_string(in->resource, "metadata.namespace", ""));
	strbuf_addf(out, "%-*s   %-6s   %-9s   %-9s   %s\n", NAME_WIDTH,
		    jsonx_string(in->resource, "metadata.name", ""),
		    jsonx_string(in->resource, "status.stream.lag", "-"), behind(in->resource, bytes),
		    jsonx_string(in->resource, "status.stream.retainedWAL", "-"), verdict_name(verdict.kind));
}

static long long count_of(const json_t *resource, const char *field)
{
	const json_t *index;
	long long n = 0;
	size_t i;

	json_array_foreach (jsonx_get(resource, "status.indices"), i, index)
		n += (long long)jsonx_integer(index, field, 0);
	return n;
}

static void put_top_row(const struct screen_input *in, const struct verdict *verdict, bool namespaces,
			struct screen_table *table)
{
	if (namespaces)
		screen_cell(table, "%s", jsonx_string(in->resource, "metadata.namespace", ""));
	screen_cell(table, "%s", jsonx_string(in->resource, "metadata.name", ""));
	screen_cell(table, "%s", verdict_name(verdict->kind));
	screen_cell(table, "%s", jsonx_string(in->resource, "status.stream.lag", ""));
	screen_cell(table, "%s", jsonx_string(in->resource, "status.stream.retainedWAL", ""));
	screen_cell(table, "%lld", count_of(in->resource, "documentCount"));
	screen_cell(table, "%lld", count_of(in->resource, "deadLetters"));
	screen_cell(table, "%s", jsonx_string(in->resource, "status.bootstrap.progress", ""));
	screen_cell(table, "%s", verdict->summary);
}

void screen_top(const struct screen_input *items, size_t n, bool namespaces, struct strbuf *out)
{
	_cleanup_(screen_table_release) struct screen_table table = {0};
	_cleanup_free_ struct verdict *verdicts = xcalloc(n + 1, sizeof(*verdicts));
	size_t healthy = 0;

	for (size_t i = 0; i < n; i++) {
		verdict_decide(&items[i], &verdicts[i]);
		healthy += verdict_is_good(verdicts[i].kind);
	}
	strbuf_addf(out, "%zu PgSync%s, %zu healthy\n\n", n, n == 1 ? "" : "s", healthy);
	screen_table_init(&table, namespaces,
			  (const char *const[]){"NAME", "VERDICT", "LAG", "RETAINED", "DOCUMENTS", "DEAD LETTERS",
						"BOOTSTRAP", "SUMMARY", NULL});
	for (int good = 0; good < 2; good++)
		for (size_t i = 0; i < n; i++)
			if (verdict_is_good(verdicts[i].kind) == good)
				put_top_row(&items[i], &verdicts[i], namespaces, &table);
	screen_table_print(&table, 0, out);
	for (size_t i = 0; i < n; i++)
		verdict_release(&verdicts[i]);
}

static void put_dead_letters(const json_t *resource, bool namespaces, struct screen_table *table)
{
	const json_t *index;
	size_t i;

	json_array_foreach (jsonx_get(resource, "status.indices"), i, index) {
		if (namespaces)
			screen_cell(table, "%s", jsonx_string(resource, "metadata.namespace", ""));
		screen_cell(table, "%s", jsonx_string(resource, "metadata.name", ""));
		screen_cell(table, "%s", jsonx_string(index, "name", ""));
		screen_cell(table, "%lld", (long long)jsonx_integer(index, "deadLetters", 0));
	}
}

long long screen_dead_letters(const json_t *resources, bool namespaces, struct strbuf *out)
{
	_cleanup_(screen_table_release) struct screen_table table = {0};
	const json_t *resource;
	long long n = 0;
	size_t i;

	screen_table_init(&table, namespaces, (const char *const[]){"NAME", "INDEX", "DEAD LETTERS", NULL});
	json_array_foreach (resources, i, resource) {
		put_dead_letters(resource, namespaces, &table);
		n += count_of(resource, "deadLetters");
	}
	screen_table_print(&table, 0, out);
	return n;
}
