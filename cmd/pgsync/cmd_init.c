/* pgsync init: a PgSync that is proposed from the foreign keys of a database. */
#include <stdlib.h>
#include <string.h>

#include "apply/compile.h"
#include "base/log.h"
#include "base/parse.h"
#include "base/strbuf.h"
#include "base/terminal.h"
#include "compat.h"
#include "propose/propose.h"
#include "sessions/connector.h"
#include "source/checks.h"
#include "json/json.h"

enum { HEADER_BYTES = 4 * 1024 * 1024, SHOWN_ROOTS = 20, SHOWN_TABLES_BYTES = 60 };

/* What is open while it reads. */
struct session {
	struct connector connector;
	char ca_path[32];
	int ca_fd, stop_fd;
	struct pg *pg;
	struct catalog *catalog;
};

static void session_release(struct session *s)
{
	catalog_free(s->catalog);
	pg_close(s->pg);
	connector_release(&s->connector);
	close_fdp(&s->ca_fd);
	close_fdp(&s->stop_fd);
}

static int session_open(const struct spec *spec, struct session *ret, struct err *err)
{
	struct connector_options options = {.spec = spec, .owner = "init"};

	if (spec->source.ca.value && (ret->ca_fd = pg_ca_file(spec->source.ca.value, ret->ca_path, err)) < 0)
		return -1;
	options.ca_path = ret->ca_fd >= 0 ? ret->ca_path : NULL;
	options.stop_fd = ret->stop_fd = stop_fd_open(-1, err);
	if (ret->stop_fd < 0 || connector_init(&ret->connector, &options, err) < 0 ||
	    connector_pg(&ret->connector, CONNECTOR_UNLIMITED, "init", &ret->pg, err) < 0 ||
	    checks_encoding(ret->pg, spec->source.database, err) < 0)
		return -1;
	return catalog_load_all(ret->pg, &ret->catalog, err);
}

/* --- how to reach the database */

/* That of the option, or of PG_URL; NULL if there is neither. Caller frees. */
static char *database_name(const struct compat_flags *flags, const struct import_env *env)
{
	const char *url = import_env_get(env, "PG_URL");
	const char *start = url ? strstr(url, "://") : NULL;
	size_t ignored;

	if (flags->database)
		return xstrdup(flags->database);
	start = start ? strchr(start + 3, '/') : NULL;
	return start && start[1] && start[1] != '?' ? percent_decode(start + 1, start + strcspn(start, "?#"), &ignored)
						    : NULL;
}

/* A PgSync of one document. nodes_take: NULL before it is known. */
static void make_pgsync(const struct compat_flags *flags, const char *index, json_t *nodes_take, struct compat *c,
			struct findings *f)
{
	_cleanup_free_ char *database = database_name(flags, c->env);
	_cleanup_json_ json_t *schema =
		json_pack("[{s:o, s:o, s:o}]", "database", jsonx_text(database ? database : "postgres"), "index",
			  jsonx_text(index), "nodes", nodes_take ? nodes_take : json_pack("{s:s}", "table", "x"));

	if (!database)
		findings_add(f, FINDING_ERROR, REASON_USAGE, "--database", "is required: the database to read");
	c->what = xstrdup("spec.schema");
	compat_import(flags, schema, c, f);
	compat_gather(c, f);
}

/* An index has a name in lower case. Caller frees. */
static char *index_name(const struct compat_flags *flags, const struct catalog_table *root)
{
	char *name = xstrdup(flags->index ? flags->index : root->name);

	for (char *p = name; *p && !flags->index; p++) {
		if (*p >= 'A' && *p <= 'Z')
			*p = (char)(*p - 'A' + 'a');
		else if ((unsigned char)*p <= ' ' || strchr("\\/*?\"<>|,#:", *p))
			*p = '-';
	}
	return name;
}

/* --- which tables can be the root */

static void print_row_count(const struct catalog_table *table)
{
	if (table->row_estimate < 0)
		(void)printf("%12s  ", "?");
	else
		(void)printf("%12.0f  ", table->row_estimate);
}

static void print_tables(const json_t *tables)
{
	size_t i, printed = 0;
	json_t *name;

	json_array_foreach (tables, i, name) {
		if (printed > SHOWN_TABLES_BYTES) {
			(void)printf(", and %zu more", json_array_size(tables) - i);
			break;
		}
		(void)fputs(i ? ", " : "", stdout);
		terminal_print(stdout, json_string_value(name));
		printed += json_string_length(name) + 2;
	}
	(void)putchar('\n');
}

static int print_roots(const struct catalog *catalog)
{
	struct propose_root *roots;
	size_t n = propose_roots(catalog, &roots);

	if (!n)
		(void)puts("The database has no table that can be the root of a document.");
	else
		(void)printf("Choose the table whose rows become documents: pgsync init --root TABLE\n\n"
			     "%12s  DOCUMENT: the table, and those whose rows would be in it\n",
			     "ROWS, ABOUT");
	for (size_t i = 0; i < n && i < SHOWN_ROOTS; i++) {
		print_row_count(roots[i].table);
		print_tables(roots[i].tables);
	}
	if (n > SHOWN_ROOTS)
		(void)printf("\n%zu more tables have smaller documents.\n", n - SHOWN_ROOTS);
	propose_roots_free(roots, n);
	return EXIT_OK;
}

static int refuse_root(const char *root, const char *why)
{
	(void)fprintf(stderr, "pgsync init: table ");
	terminal_print(stderr, root);
	(void)fprintf(stderr, " %s\n", why);
	return EXIT_BAD_INPUT;
}

/* --- the proposal */

static void add_section(struct strbuf *sb, const char *title, const json_t *lines)
{
	json_t *line;
	size_t i;

	if (json_array_size(lines))
		strbuf_addf(sb, "#\n# %s\n", title);
	json_array_foreach (lines, i, line) {
		strbuf_adds(sb, "#   ");
		compat_add_comment(sb, json_string_value(line));
		strbuf_addc(sb, '\n');
	}
}

static json_t *rows_as_lines(const json_t *rows)
{
	json_t *lines = json_array(), *count;
	const char *name;

	json_object_foreach ((json_t *)rows, name, count) {
		_cleanup_free_ char *line = json_is_null(count)
						    ? xasprintf("%s: not known; ANALYZE counts them", name)
						    : xasprintf("%s: %lld", name, (long long)json_integer_value(count));

		(void)json_array_append_new(lines, json_string(line));
	}
	return lines;
}

/* What compiling found: statements that create indexes, and the rest. */
static void add_found(struct strbuf *sb, const struct findings *found)
{
	_cleanup_json_ json_t *statements = json_array(), *others = json_array();

	for (size_t i = 0; i < found->n; i++) {
		const struct finding *item = &found->items[i];
		_cleanup_free_ char *line = item->statement ? xasprintf("%s;", item->statement)
							    : xasprintf("%s: %s", item->path, item->message);

		(void)json_array_append_new(item->statement ? statements : others, json_string(line));
	}
	add_section(sb, "Indexes to create first, without which changes are slow to follow:", statements);
	add_section(sb, "What pgsync plan would report:", others);
}

static void add_init_header(struct strbuf *sb, const struct propose_document *document, const struct findings *found)
{
	_cleanup_json_ json_t *rows = rows_as_lines(document->rows);

	strbuf_adds(sb, "# Proposed by `pgsync init` " PGSYNC_VERSION
			": edit it, check it with `pgsync plan -f FILE`, then apply it.\n# It may contain secrets.\n");
	add_section(sb, "Rows, about:", rows);
	add_section(sb, "Left out:", document->left_out);
	add_section(sb, "To consider:", document->hints);
	add_found(sb, found);
}

static int compile_proposal(const struct compat *c, struct pg *pg, struct findings *found, struct err *err)
{
	const struct spec *spec = c->inputs[0].spec;
	const struct compile_input documents = {.documents = spec->documents,
						.n = spec->n_documents,
						.format = &spec->document_format,
						.search_path = &spec->source.search_path};
	_cleanup_(compilation_release) struct compilation compiled = {0};

	return compile_documents(&documents, pg, &compiled, found, err);
}

static int propose(const struct compat_flags *flags, struct compat *c, struct session *session, struct err *err)
{
	const struct catalog_table *root = propose_find(session->catalog, flags->root);
	_cleanup_free_ char *obstacle = root ? propose_obstacle(root) : NULL;
	_cleanup_(propose_release) struct propose_document document = {0};
	_cleanup_free_ char *index = root ? index_name(flags, root) : NULL;
	struct findings f, found;
	struct strbuf header;
	int code = EXIT_BAD_INPUT;

	if (!root)
		return refuse_root(flags->root, "does not exist; without --root, pgsync init lists the tables");
	if (obstacle) {
		_cleanup_free_ char *why = xasprintf("cannot be the root: %s", obstacle);

		return refuse_root(flags->root, why);
	}
	propose_document(session->catalog, root, &document);
	findings_init(&f);
	findings_init(&found);
	make_pgsync(flags, index, json_incref(document.nodes), c, &f);
	if (!findings_failed(&f))
		code = compile_proposal(c, session->pg, &found, err) < 0 ? -1 : EXIT_OK;
	compat_print_rest(&f);
	if (code == EXIT_OK) {
		strbuf_init(&header, HEADER_BYTES);
		add_init_header(&header, &document, &found);
		code = compat_print_manifest("init", c, &header);
		strbuf_release(&header);
	}
	if (code == EXIT_OK && findings_failed(&found)) {
		cmd_print_findings(&found);
		code = EXIT_FAILED;
	}
	findings_release(&f);
	findings_release(&found);
	return code;
}

static int init_with(const struct compat_flags *flags, struct compat *c)
{
	struct session session = {.ca_fd = -1, .stop_fd = -1, .connector = {.end_fd = -1, .cancel_fd = -1}};
	struct compat probe = {.env = c->env};
	struct err err = {0};
	struct findings f;
	int code = EXIT_BAD_INPUT;

	findings_init(&f);
	make_pgsync(flags, "init", NULL, &probe, &f);
	if (findings_failed(&f))
		cmd_print_findings(&f);
	else if (session_open(probe.inputs[0].spec, &session, &err) < 0)
		code = -1;
	else
		code = flags->root ? propose(flags, c, &session, &err) : print_roots(session.catalog);
	if (code < 0)
		(void)fprintf(stderr, "pgsync init: %s\n", err.msg);
	findings_release(&f);
	session_release(&session);
	compat_release_schema(&probe);
	return code < 0 ? EXIT_FAILED : code;
}

int cmd_init(int argc, char **argv)
{
	struct compat_flags flags;
	struct compat c = {0};
	struct findings f;
	int code = EXIT_BAD_INPUT;

	findings_init(&f);
	compat_parse(COMPAT_INIT, argc, argv, &flags, &f);
	log_setup(LOG_LEVEL_WARN, LOG_FORMAT_TEXT, NULL);
	if (!findings_failed(&f) && flags.help) {
		compat_usage(COMPAT_INIT, stdout);
		return EXIT_OK;
	}
	if (!findings_failed(&f))
		compat_read_environment(&flags, &c, &f);
	if (findings_failed(&f))
		cmd_print_findings(&f);
	else
		code = init_with(&flags, &c);
	findings_release(&f);
	compat_release(&c);
	return code;
}
