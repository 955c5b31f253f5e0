/* Which kinds of relations a tree may read, and the base tables of its views. */
#include <stdlib.h>
#include <string.h>

#include "document/document_int.h"

enum { LIST_BYTES = 16 * 1024 };

/* NULL, or why the relation cannot be used like this. */
static const char *objection(const struct catalog_table *table, enum relation_use use)
{
	if (catalog_is_view(table) && use == RELATION_THROUGH)
		return "is a view: a through table must be a table, because the changes of views are not in the WAL";
	if (catalog_is_view(table) && use == RELATION_BASE)
		return "is a view itself: name the tables that it reads";
	if (table->kind == 'f')
		return "is a foreign table: its changes are not in this server's WAL";
	if (table->kind != 'r' && table->kind != 'p' && !catalog_is_view(table))
		return "is not a table";
	if (table->persistence == 'u')
		return "is an unlogged table: its changes are not in the WAL; ALTER TABLE ... SET LOGGED";
	if (table->persistence == 't')
		return "is a temporary table: its changes are not in the WAL";
	if (table->is_inherited)
		return "has tables that inherit from it: queries read their rows too, but their changes arrive under "
		       "their "
		       "own names; use a partitioned table, or name these tables instead";
	return NULL;
}

void relation_check(const struct catalog_table *table, enum relation_use use, const char *path, struct diagnostics *d)
{
	const char *what = objection(table, use);

	if (what)
		diagnostics_fail(d, table->persistence == 'u' ? REASON_TABLE_NOT_LOGGED : REASON_NOT_SUPPORTED, path,
				 "%s.%s %s", table->schema, table->name, what);
}

static bool is_base(const struct plan_node *node, uint32_t oid)
{
	for (size_t i = 0; i < node->n_base; i++)
		if (node->base[i]->oid == oid)
			return true;
	return false;
}

/* "public.a, public.b": the tables that the view reads, or (missing) those of them that are not base tables. NULL if
 * there are none. Caller frees. */
static char *list_reads(const struct plan_node *node, bool missing)
{
	struct strbuf sb;

	strbuf_init(&sb, LIST_BYTES);
	for (size_t i = 0; i < node->table->n_reads; i++)
		if (!missing || !is_base(node, node->table->reads[i].oid))
			strbuf_addf(&sb, "%s%s", sb.len ? ", " : "", node->table->reads[i].name);
	if (!sb.len) {
		strbuf_release(&sb);
		return NULL;
	}
	return strbuf_detach(&sb);
}

static void warn_unfollowed(const struct plan_node *node, struct diagnostics *d)
{
	const struct catalog_table *view = node->table;
	_cleanup_free_ char *reads = list_reads(node, false);

	diagnostics_warn(d, REASON_VIEW_NOT_FOLLOWED, node->decl->path,
			 "%s.%s is a %sview without `base_tables`: it is read when the index is built and when another "
			 "part of a document changes, but its own changes go unnoticed%s; name the tables that it "
			 "reads%s%s%s",
			 view->schema, view->name, view->kind == 'm' ? "materialized " : "",
			 view->kind == 'm' ? ", and nothing refreshes it" : "", reads ? " (" : "", reads ? reads : "",
			 reads ? ")" : "");
}

void relation_check_bases(const struct plan_node *node, struct diagnostics *d)
{
	const struct catalog_table *table = node->table;
	_cleanup_free_ char *path = xasprintf("%s.base_tables", node->decl->path);
	_cleanup_free_ char *missing = NULL;

	if (!catalog_is_view(table)) {
		if (node->decl->n_base_tables)
			diagnostics_warn(d, REASON_INVALID_SCHEMA, path, "%s.%s is a table: `base_tables` is for views",
					 table->schema, table->name);
		return;
	}
	if (!node->decl->n_base_tables) {
		warn_unfollowed(node, d);
		return;
	}
	missing = list_reads(node, true);
	if (missing)
		diagnostics_warn(d, REASON_VIEW_NOT_FOLLOWED, path,
				 "%s.%s also reads %s: changes there go unnoticed until a base table changes",
				 table->schema, table->name, missing);
}
