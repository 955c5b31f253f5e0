/* What an operator found, and whether it is all that there is to find. */
#include <string.h>

#include "screen/screen.h"
#include "screen/screen_int.h"
#include "json/json.h"

enum { STATEMENT_INDENT = 4 };

static void put_finding(const json_t *finding, size_t indent, struct strbuf *out)
{
	const char *path = jsonx_string(finding, "path", ""), *statement = jsonx_string(finding, "statement", "");

	strbuf_addf(out, "%*s%s: ", (int)indent, "", jsonx_string(finding, "severity", ""));
	if (*path) {
		screen_add_line(out, path);
		strbuf_adds(out, ": ");
	}
	screen_add_line(out, jsonx_string(finding, "message", ""));
	strbuf_addc(out, '\n');
	if (!*statement)
		return;
	strbuf_addf(out, "%*s", STATEMENT_INDENT, "");
	screen_add_line(out, statement);
	strbuf_adds(out, ";\n");
}

bool screen_findings(const json_t *resource, size_t indent, struct strbuf *out)
{
	const json_t *finding;
	long long more = (long long)jsonx_integer(resource, "status.moreFindings", 0);
	bool failed = false;
	size_t i;

	json_array_foreach (jsonx_get(resource, "status.findings"), i, finding) {
		put_finding(finding, indent, out);
		failed = failed || strcmp(jsonx_string(finding, "severity", ""), "Error") == 0;
	}
	if (more > 0)
		strbuf_addf(out, "%*sand %lld more\n", (int)indent, "", more);
	return !failed;
}

/* A status is about the current spec, in any state of a worker: whether it was checked, only a condition tells. */
static bool put_outcome(const json_t *resource, bool plans, struct strbuf *out)
{
	enum condition_type type = plans ? CONDITION_PLANNED : CONDITION_SCHEMA_ACCEPTED;
	bool current = jsonx_integer(resource, "status.observedGeneration", -1) ==
		       jsonx_integer(resource, "metadata.generation", 0);

	if (current && screen_condition_is(resource, type, STATUS_FALSE)) {
		strbuf_adds(out, "The check failed: ");
		screen_add_line(out, jsonx_string(screen_condition(resource, type), "message", ""));
		strbuf_addc(out, '\n');
		return false;
	}
	if (!current || !screen_condition_is(resource, type, STATUS_TRUE)) {
		strbuf_adds(out, "The operator has not checked the current spec yet.\n");
		return false;
	}
	if (!json_array_size(jsonx_get(resource, "status.findings")))
		strbuf_addf(out, "The operator found no errors%s.\n",
			    plans ? ", and nothing that a start would change" : "");
	return true;
}

bool screen_plan(const json_t *resource, struct strbuf *out)
{
	bool plans = strcmp(jsonx_string(resource, "spec.mode", "Sync"), "Plan") == 0;
	bool good = screen_findings(resource, 0, out);

	good = put_outcome(resource, plans, out) && good;
	if (!plans)
		strbuf_addf(out, "%s is not in mode Plan, so what a start would change is not listed.\n",
			    jsonx_string(resource, "metadata.name", ""));
	return good;
}
