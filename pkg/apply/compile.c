/* Compiling documents. */
#include "apply/compile.h"

#include <stdlib.h>
#include <string.h>

#include "postgres/locks.h"

enum { PATH_BYTES = 1024 * 1024 };

/* Every relation that any document names. Caller frees. */
static struct catalog_name *all_relations(const struct compile_input *in, size_t *ret_n)
{
	struct catalog_name *all = NULL;
	size_t n = 0;

	for (size_t i = 0; i < in->n; i++) {
		size_t some_n;
		_cleanup_free_ struct catalog_name *some = document_relations(in->documents[i], &some_n);

		all = xreallocarray(all, n + some_n + 1, sizeof(*all));
		if (some_n)
			memcpy(all + n, some, some_n * sizeof(*all));
		n += some_n;
	}
	*ret_n = n;
	return all;
}

static void add_schema(struct strbuf *path, const char *schema)
{
	strbuf_adds(path, ", ");
	pg_quote_ident(path, schema);
}

/* The path on which the expressions' names are looked up, as SET takes it. Built-in names come first. Caller frees. */
static char *compiled_search_path(const struct compile_input *in, const struct catalog_name *names, size_t n)
{
	struct strbuf path;

	strbuf_init(&path, PATH_BYTES);
	strbuf_adds(&path, "pg_catalog");
	for (size_t i = 0; i < in->search_path->n; i++)
		if (strcmp(in->search_path->items[i], "pg_catalog") != 0)
			add_schema(&path, in->search_path->items[i]);
	for (size_t i = 0; in->search_path->n == 0 && i < n; i++) {
		size_t first = 0;

		while (strcmp(names[first].schema, names[i].schema) != 0)
			first++;
		if (first == i)
			add_schema(&path, names[i].schema);
	}
	return strbuf_detach(&path);
}

static int load_expressions(const struct compile_input *in, struct pg *pg, const char *path, struct catalog *catalog,
			    struct err *err)
{
	if (in->known) {
		catalog_copy_expressions(catalog, in->known);
		return 0;
	}
	for (size_t i = 0; i < in->n; i++) {
		struct catalog_expression_list list = {.search_path = path};
		_cleanup_free_ struct catalog_expression_name *names = document_expressions(in->documents[i], &list.n);

		list.items = names;
		if (catalog_load_expressions(pg, catalog, &list, err) < 0)
			return -1;
	}
	return 0;
}

/* Marks the tables of a document that did not compile. */
static void mark_named(struct compilation *c, const struct schema_document *document)
{
	size_t n;
	_cleanup_free_ struct catalog_name *names = document_relations(document, &n);

	for (size_t i = 0; i < n; i++) {
		const struct catalog_table *table = catalog_find(c->catalog, names[i].schema, names[i].table);

		if (table)
			c->named[table - c->catalog->tables] = true;
	}
}

static void add_views(struct compilation *c, const struct schema_document *document)
{
	size_t n, known = c->n_views;
	_cleanup_free_ struct document_view *views = document_views(document, c->catalog, &n);

	c->views = xreallocarray(c->views, known + n + 1, sizeof(*c->views));
	for (size_t i = 0; i < n; i++) {
		bool found = false;

		for (size_t k = 0; k < known; k++)
			found = found || c->views[k].view == views[i].view;
		if (!found)
			c->views[c->n_views++] = views[i];
	}
}

static void compile_all(struct compilation *c, const struct compile_input *in, const struct document_names *known,
			struct findings *f)
{
	for (size_t i = 0; i < in->n; i++) {
		struct document_plan *plan = document_compile(in->documents[i], in->format, c->catalog, known, f);

		if (plan)
			c->plans[c->n_plans++] = plan;
		else
			mark_named(c, in->documents[i]);
		add_views(c, in->documents[i]);
	}
	c->complete = c->n_plans == in->n;
	source_tables_init(&c->tables, c->catalog, c->plans, c->n_plans);
}

static int load_catalog(const struct compile_input *in, struct pg *pg, const struct catalog_name *names, size_t n,
			struct catalog **ret, struct err *err)
{
	_cleanup_(catalog_freep) struct catalog *catalog = NULL;
	_cleanup_free_ char *path = compiled_search_path(in, names, n);

	if (catalog_load(pg, names, n, &catalog, err) < 0 || load_expressions(in, pg, path, catalog, err) < 0 ||
	    catalog_load_dependencies(pg, catalog, err) < 0)
		return -1;
	*ret = TAKE_PTR(catalog);
	return 0;
}

int compile_documents(const struct compile_input *in, struct pg *pg, struct compilation *ret, struct findings *f,
		      struct err *err)
{
	_cleanup_(compilation_release) struct compilation c = {0};
	size_t n, n_known = 0;
	_cleanup_free_ struct catalog_name *names = all_relations(in, &n);
	struct document_names known;
	char **tables = NULL;

	if (load_catalog(in, pg, names, n, &c.catalog, err) < 0 ||
	    (!in->known && catalog_list(pg, names, n, &tables, &n_known, err) < 0)) {
		(void)pg_explain_lock(pg, &(struct pg_lock_query){.use = PG_LOCK_TO_READ}, err);
		return err_wrap(err, "reading the catalog");
	}
	known = (struct document_names){(const char *const *)tables, n_known};
	c.plans = xcalloc(in->n, sizeof(struct document_plan *));
	c.named = xcalloc(c.catalog->n, sizeof(*c.named));
	compile_all(&c, in, &known, f);
	free_strings(tables, n_known);
	*ret = c;
	c = (struct compilation){0};
	return 0;
}

bool compilation_confirms(const struct compilation *c, const struct catalog *catalog,
			  struct document_plan *const *plans)
{
	if (!c->complete || !catalog_equal(c->catalog, catalog))
		return false;
	for (size_t i = 0; i < c->n_plans; i++)
		if (!document_plans_equal(c->plans[i], plans[i]))
			return false;
	return true;
}

void compilation_release(struct compilation *c)
{
	for (size_t i = 0; i < c->n_plans; i++)
		document_plan_free(c->plans[i]);
	free(c->plans);
	free(c->named);
	free(c->views);
	source_tables_release(&c->tables);
	catalog_free(c->catalog);
	*c = (struct compilation){0};
}
