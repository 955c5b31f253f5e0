/* Names that a document's fields get, as far as the schema alone says them: labels, expressions, columns that are
 * listed, and what `transform` makes of them.
 */
#include <stdlib.h>
#include <string.h>

#include "base/strbuf.h"
#include "schema/schema_int.h"

#define ROOT_PREFIX "$root."

/* The engines' metadata fields, of OpenSearch 2 and Elasticsearch 7 to 9: a document cannot have them at its top. */
static bool is_metadata_field(const char *name)
{
	static const char *const names[] = {"_id",          "_index",
					    "_type",        "_routing",
					    "_source",      "_field_names",
					    "_ignored",     "_version",
					    "_seq_no",      "_primary_term",
					    "_nested_path", "_doc_count",
					    "_feature",     "_data_stream_timestamp",
					    "_tier"};

	for (size_t i = 0; i < ARRAY_SIZE(names); i++)
		if (strcmp(name, names[i]) == 0)
			return true;
	return false;
}

/* A dot separates objects: "a.b" is the field b of the object a. Engines take "a." for a. */
static bool has_empty_word(const char *name)
{
	return !*name || *name == '.' || strstr(name, "..");
}

char *schema_field_problem(const char *name, bool at_top)
{
	if (at_top && is_metadata_field(name))
		return xasprintf("no document can have a field `%s`: search engines have one of their own", name);
	if (has_empty_word(name))
		return xasprintf("search engines take no field `%s`: a word between its dots is empty", name);
	return NULL;
}

static bool is_moved(const struct transform *t, const char *name)
{
	for (size_t i = 0; i < t->n_moves; i++)
		if (strcmp(t->moves[i].column, name) == 0)
			return true;
	return false;
}

/* A name that a field has in the end; one that is moved has another. */
static void check_final(const struct node *node, const char *name, const char *path, struct findings *f)
{
	_cleanup_free_ char *problem =
		is_moved(&node->transform, name) ? NULL : schema_field_problem(name, !node->parent);

	if (problem)
		findings_add(f, FINDING_ERROR, INVALID_SCHEMA, path, "%s; give it another name", problem);
}

/* A name that `rename` may change. */
static void check_source(const struct node *node, const char *name, const char *path, struct findings *f)
{
	if (!json_object_get(node->transform.rename, name))
		check_final(node, name, path, f);
}

/* The schema names it: a field that only the table knows of may be there or not, and then nothing happens to it. */
static bool is_named(const struct node *node, const char *name)
{
	for (size_t i = 0; i < node->columns.n; i++)
		if (strcmp(node->columns.items[i], name) == 0)
			return true;
	for (size_t i = 0; i < node->n_expressions; i++)
		if (strcmp(node->expressions[i].name, name) == 0)
			return true;
	for (size_t i = 0; i < node->n_children; i++)
		if (node->children[i]->label && strcmp(node->children[i]->label, name) == 0)
			return true;
	return false;
}

static void check_renames(const struct node *node, struct findings *f)
{
	_cleanup_free_ char *path = xasprintf("%s.transform.rename", node->path);
	_cleanup_json_ json_t *seen = json_object();
	const char *field;
	json_t *name;

	json_object_foreach (node->transform.rename, field, name) {
		const char *to = json_string_value(name);
		const char *other = json_string_value(json_object_get(seen, to));
		_cleanup_free_ char *at = jsonx_path(path, field);

		if (!is_named(node, field))
			continue;
		check_final(node, to, at, f);
		if (other)
			findings_add(f, FINDING_ERROR, INVALID_SCHEMA, path, "`%s` and `%s` would both be named `%s`",
				     other, field, to);
		(void)json_object_set_new(seen, to, json_string(field));
	}
}

static void check_concats(const struct node *node, struct findings *f)
{
	for (size_t i = 0; i < node->transform.n_concats; i++) {
		const struct concat *concat = &node->transform.concats[i];
		_cleanup_free_ char *path = xasprintf("%s.destination", concat->path);

		check_final(node, concat->destination, path, f);
	}
}

const char *move_path(const struct move *move, bool *ret_to_root)
{
	*ret_to_root = strncmp(move->destination, ROOT_PREFIX, strlen(ROOT_PREFIX)) == 0;
	return move->destination + (*ret_to_root ? strlen(ROOT_PREFIX) : 0);
}

static void check_moves(const struct node *node, struct findings *f)
{
	for (size_t i = 0; i < node->transform.n_moves; i++) {
		const struct move *move = &node->transform.moves[i];
		_cleanup_free_ char *path = xasprintf("%s.destination", move->path);
		_cleanup_free_ char *problem = NULL;
		_cleanup_free_ char *first = NULL;
		const char *to;
		bool to_root;

		to = move_path(move, &to_root);
		first = xstrndup(to, strcspn(to, "."));
		problem = has_empty_word(to) || to[strlen(to) - 1] == '.'
				  ? xasprintf("\"%s\" is no path to a field: it must be \"a.b\" or "
					      "\"$root.a.b\"",
					      move->destination)
				  : schema_field_problem(first, to_root || !node->parent);
		if (problem)
			findings_add(f, FINDING_ERROR, INVALID_SCHEMA, path, "%s", problem);
	}
}

void names_check(const struct node *node, struct findings *f)
{
	if (node->parent &&
	    (node->relationship.variant == VARIANT_SCALAR || node_is_unsure(node, "relationship.variant", f)))
		return;
	for (size_t i = 0; i < node->columns.n; i++) {
		_cleanup_free_ char *path = xasprintf("%s.columns[%zu]", node->path, i);

		if (*node->columns.items[i] && !column_is_path(node->columns.items[i]))
			check_source(node, node->columns.items[i], path, f);
	}
	for (size_t i = 0; i < node->n_expressions; i++) {
		_cleanup_free_ char *all = xasprintf("%s.expressions", node->path);
		_cleanup_free_ char *path = jsonx_path(all, node->expressions[i].name);

		check_source(node, node->expressions[i].name, path, f);
	}
	for (size_t i = 0; i < node->n_children; i++) {
		_cleanup_free_ char *path = xasprintf("%s.children[%zu].label", node->path, i);

		if (node->children[i]->label)
			check_source(node, node->children[i]->label, path, f);
	}
	check_renames(node, f);
	check_concats(node, f);
	check_moves(node, f);
}
