/* pgsync import: pgsync's schema.json and environment as a PgSync and its Secrets. */
#include <string.h>

#include "base/strbuf.h"
#include "compat.h"
#include "json/json.h"

enum { MANIFEST_BYTES = 64 * 1024 * 1024 };

/* A comment ends with its line, whatever a name in a .env file holds. */
static void add_comment(struct strbuf *sb, const char *text)
{
	for (; *text; text++)
		strbuf_addc(sb, *text >= 0 && *text < ' ' ? '?' : *text);
}

static void add_head(struct strbuf *sb, const struct findings *notices)
{
	size_t n = 0;

	strbuf_adds(sb, "# Made by `pgsync import` " PGSYNC_VERSION
			". Secrets are in here: apply it, and do not keep it.\n");
	for (size_t i = 0; i < notices->n; i++) {
		const struct finding *item = &notices->items[i];

		if (item->reason != REASON_IGNORED)
			continue;
		if (!n++)
			strbuf_adds(sb, "#\n# Not taken over:\n");
		strbuf_adds(sb, "#   ");
		add_comment(sb, item->path);
		strbuf_adds(sb, ": ");
		add_comment(sb, item->message);
		strbuf_addc(sb, '\n');
	}
}

/* What is no comment in the result. */
static void print_rest(const struct findings *notices)
{
	struct findings rest;

	findings_init(&rest);
	for (size_t i = 0; i < notices->n; i++)
		if (notices->items[i].reason != REASON_IGNORED)
			findings_add_copy(&rest, &notices->items[i]);
	cmd_print_findings(&rest);
	findings_release(&rest);
}

static int print_manifest(const struct compat *c, const struct findings *notices)
{
	_cleanup_json_ json_t *all = json_array();
	struct strbuf sb;
	int code = EXIT_OK;

	for (size_t i = 0; i < c->n; i++) {
		_cleanup_json_ json_t *some = import_manifest(&c->list[i]);

		(void)json_array_extend(all, some);
	}
	strbuf_init(&sb, MANIFEST_BYTES);
	add_head(&sb, notices);
	strbuf_adds(&sb, "---\n");
	jsonx_add_yaml(&sb, all);
	if (!strbuf_ok(&sb) || fwrite(sb.data, 1, sb.len, stdout) != sb.len || fflush(stdout) != 0) {
		(void)fprintf(stderr, "pgsync import: cannot write the result\n");
		code = EXIT_FAILED;
	}
	free_secret(strbuf_detach(&sb));
	return code;
}

static int print_variables(void)
{
	struct strbuf sb;

	strbuf_init(&sb, MANIFEST_BYTES);
	import_describe(&sb);
	(void)fputs(sb.data, stdout);
	strbuf_release(&sb);
	return EXIT_OK;
}

int cmd_import(int argc, char **argv)
{
	struct compat_flags flags;
	struct compat c = {0};
	struct findings f;
	int code;

	findings_init(&f);
	compat_parse(COMPAT_IMPORT, argc, argv, &flags, &f);
	if (!findings_failed(&f) && (flags.help || flags.variables)) {
		if (flags.help)
			compat_usage(COMPAT_IMPORT, stdout);
		return flags.help ? EXIT_OK : print_variables();
	}
	if (!findings_failed(&f)) {
		compat_load(&flags, &c, &f);
		compat_gather(&c, &f);
	}
	if (findings_failed(&f)) {
		cmd_print_findings(&f);
		code = EXIT_BAD_INPUT;
	} else {
		import_env_check(c.env, false, &f);
		print_rest(&f);
		code = print_manifest(&c, &f);
	}
	findings_release(&f);
	compat_release(&c);
	return code;
}
