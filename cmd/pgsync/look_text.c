/* A document beside what its row gives now, as text. */
#include "base/terminal.h"
#include "look.h"
#include "json/json.h"

bool look_is_equal(const json_t *found)
{
	return jsonx_boolean(found, "comparison.equal", false);
}

static void print_part(FILE *to, const char *name, const char *text)
{
	(void)fprintf(to, "%-10s ", name);
	terminal_print(to, text);
	(void)fputc('\n', to);
}

static const char *verdict_text(const json_t *found)
{
	bool written = json_object_get(found, "index") != NULL, exists = json_object_get(found, "postgres") != NULL;

	if (!written && !exists)
		return "Equal: there is no such document, and no such row.";
	if (look_is_equal(found))
		return "Equal: the index has what Postgres has now.";
	if (!written)
		return "Different: the index has no such document, but Postgres has its row. A change is on its way, "
		       "or "
		       "the document is a dead letter.";
	if (!exists)
		return "Different: Postgres has no such row any more. The deletion is on its way, or the document was "
		       "written by another program.";
	return jsonx_boolean(found, "pipeline", false)
		       ? "Different: an ingest pipeline changes documents, a change is on its way, or the document is "
			 "a dead letter."
		       : "Different: a change is on its way, the document is a dead letter, or another program has "
			 "written it.";
}

static void print_differences(const json_t *comparison, FILE *to)
{
	long long more = jsonx_integer(comparison, "more", 0);
	json_t *one;
	size_t i;

	json_array_foreach (json_object_get(comparison, "differences"), i, one) {
		const char *path = jsonx_string(one, "path", "");

		if (!*path) /* a side is absent, which the verdict says */
			continue;
		(void)fputc('\n', to);
		terminal_print(to, path);
		(void)fputc('\n', to);
		(void)fputs("  ", to);
		print_part(to, "index:", jsonx_string(one, "index", "(absent)"));
		(void)fputs("  ", to);
		print_part(to, "Postgres:", jsonx_string(one, "postgres", "(absent)"));
	}
	if (more)
		(void)fprintf(to, "\n... and %lld more\n", more);
}

void look_print(const json_t *found, const char *index, FILE *to)
{
	(void)fprintf(to, "%s\n", verdict_text(found));
	print_part(to, "index:", index);
	print_part(to, "id:", jsonx_string(found, "id", ""));
	print_part(to, "version:", jsonx_string(found, "version", "(absent)"));
	print_part(to, "Postgres:", jsonx_string(found, "position", ""));
	print_differences(json_object_get(found, "comparison"), to);
}
