/* The names of fields, as far as the schema alone determines them: labels, expressions, listed columns, and what
 * `transform` makes of them.
 */
#include "schema/schema_int.h"

#include <stdlib.h>
#include <string.h>

#include "base/map.h"

#define ROOT_PREFIX "$root."

/* The metadata fields of OpenSearch 2 and Elasticsearch 7 to 9, which a document cannot have at its top level. */
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

/* A dot separates objects: "a.b" is the field b of the object a. Engines read "a." as a. */
static bool has_empty_part(const char *name)
{
	return !*name || *name == '.' || strstr(name, "..");
}

char *schema_field_problem(const char *name, bool at_top)
{
	if (at_top && is_metadata_field(name))
		return xasprintf("a document cannot have a field `%s`: search engines reserve that name", name);
	if (has_empty_part(name))
		return xasprintf("search engines reject the field name `%s`: a part between its dots is empty", name);
	return NULL;
}

/* --- the names of a node, hashed: two lists of names are never compared pair by pair */

struct schema_sets {
	struct map *labels;  /* of children */
	struct map *columns; /* -> the first item of `columns` with that text */
	struct map *listed;  /* columns, labels of JSON paths, expressions */
	struct map *moved;   /* fields that `move` takes away */
	struct map *made;    /* fields that `concat` and `move` make or take away */
};

/* True if the set did not have this name yet. */
static bool add_to_set(struct map *set, const char *name)
{
	if (map_gets(set, name))
		return false;
	map_puts(set, name, set);
	return true;
}

static bool is_in_set(const struct schema_node *node, struct map *const *set, const char *name)
{
	return node->sets && map_gets(*set, name);
}

static void collect_columns(struct schema_sets *sets, const struct schema_node *node)
{
	for (size_t i = 0; i < node->columns.n; i++) {
		char **column = &node->columns.items[i];
		_cleanup_(schema_column_path_release) struct schema_column_path path = {0};

		if (map_gets(sets->columns, *column))
			continue;
		map_puts(sets->columns, *column, column);
		(void)add_to_set(sets->listed, *column);
		if (schema_column_is_path(*column))
			free(schema_column_path_parse(*column, &path));
		if (path.label)
			(void)add_to_set(sets->listed, path.label);
	}
}

void schema_collect_sets(struct schema_node *node)
{
	const struct schema_transform *t = &node->transform;
	struct schema_sets *sets = xcalloc(1, sizeof(*sets));

	*sets = (struct schema_sets){map_new(NULL), map_new(NULL), map_new(NULL), map_new(NULL), map_new(NULL)};
	collect_columns(sets, node);
	for (size_t i = 0; i < node->n_expressions; i++)
		(void)add_to_set(sets->listed, node->expressions[i].name);
	for (size_t i = 0; i < node->n_children; i++)
		if (node->children[i]->label)
			(void)add_to_set(sets->labels, node->children[i]->label);
	for (size_t i = 0; i < t->n_concats; i++)
		(void)add_to_set(sets->made, t->concats[i].destination);
	for (size_t i = 0; i < t->n_moves; i++) {
		(void)add_to_set(sets->moved, t->moves[i].column);
		(void)add_to_set(sets->made, t->moves[i].column);
		(void)add_to_set(sets->made, t->moves[i].destination);
	}
	node->sets = sets;
}

void schema_sets_free(struct schema_sets *sets)
{
	if (!sets)
		return;
	map_free(sets->labels);
	map_free(sets->columns);
	map_free(sets->listed);
	map_free(sets->moved);
	map_free(sets->made);
	free(sets);
}

bool schema_node_has_label(const struct schema_node *node, const char *name)
{
	return is_in_set(node, &node->sets->labels, name);
}

bool schema_node_lists(const struct schema_node *node, const char *name)
{
	return is_in_set(node, &node->sets->listed, name);
}

bool schema_column_counts(const struct schema_node *node, size_t i)
{
	char **column = &node->columns.items[i];

	return **column && map_gets(node->sets->columns, *column) == column;
}

static bool is_moved(const struct schema_node *node, const char *name)
{
	return is_in_set(node, &node->sets->moved, name);
}

bool schema_name_counts(const struct jsonx_strings *names, size_t i)
{
	for (size_t j = 0; j < i; j++)
		if (strcmp(names->items[i], names->items[j]) == 0)
			return false;
	return *names->items[i] != '\0';
}

/* Checks the final name of a field, unless `move` takes it away. */
static void check_final_name(const struct schema_node *node, const char *name, const char *path, struct findings *f)
{
	_cleanup_free_ char *problem = is_moved(node, name) ? NULL : schema_field_problem(name, !node->parent);

	if (problem)
		findings_add(f, FINDING_ERROR, REASON_INVALID_SCHEMA, path, "%s; give it another name", problem);
}

/* Checks the name of a field, unless `rename` changes it. */
static void check_given_name(const struct schema_node *node, const char *name, const char *path, struct findings *f)
{
	if (!json_object_get(node->transform.rename, name))
		check_final_name(node, name, path, f);
}

/* --- one name, one field --- */

/* A field that the schema names. The document compiler checks those that come from the table alone. */
struct named {
	char *source, *path; /* path: within the node, "expressions.age" */
	const char *final;   /* after rename */
	const char *made_by; /* NULL: the value is a column's, unchanged */
};

struct names {
	struct named *items;
	size_t n, alloc;
};

static void add_name_take(struct names *names, const struct schema_node *node, char *source, char *path,
			  const char *made_by)
{
	const char *to = json_string_value(json_object_get(node->transform.rename, source));

	ALLOC_GROW(names->items, names->n + 1, names->alloc);
	names->items[names->n++] =
		(struct named){.source = source, .path = path, .final = to ? to : source, .made_by = made_by};
}

/* A child replaces a column or expression of its name. */
static void add_column_names(struct names *names, const struct schema_node *node)
{
	for (size_t i = 0; i < node->columns.n; i++) {
		const char *column = node->columns.items[i];
		_cleanup_(schema_column_path_release) struct schema_column_path path = {0};

		if (!schema_column_counts(node, i))
			continue;
		if (schema_column_is_path(column))
			free(schema_column_path_parse(column, &path));
		if (path.label)
			column = path.label;
		if (!schema_node_has_label(node, column))
			add_name_take(names, node, xstrdup(column), xasprintf("columns[%zu]", i),
				      path.label ? "a JSON path" : NULL);
	}
}

static void collect_names(struct names *names, const struct schema_node *node)
{
	add_column_names(names, node);
	for (size_t i = 0; i < node->n_expressions; i++)
		if (!schema_node_has_label(node, node->expressions[i].name))
			add_name_take(names, node, xstrdup(node->expressions[i].name),
				      jsonx_path("expressions", node->expressions[i].name), "`expressions`");
	for (size_t i = 0; i < node->n_children; i++)
		if (node->children[i]->label)
			add_name_take(names, node, xstrdup(node->children[i]->label),
				      xasprintf("children[%zu].label", i), "`children`");
}

static void names_release(struct names *names)
{
	for (size_t i = 0; i < names->n; i++) {
		free(names->items[i].source);
		free(names->items[i].path);
	}
	free(names->items);
}

/* The first field of each name, by its name in the schema and by its final one. */
struct firsts {
	struct map *by_source, *by_final; /* -> struct named */
};

/* The first field before this one that has the same name, or gets it by a rename. */
static const struct named *find_same(const struct firsts *firsts, const struct named *name)
{
	const struct named *source = map_gets(firsts->by_source, name->source);
	const struct named *final = map_gets(firsts->by_final, name->final);

	return !final || (source && source < final) ? source : final;
}

static void note_first(struct firsts *firsts, struct named *name)
{
	if (!map_gets(firsts->by_source, name->source))
		map_puts(firsts->by_source, name->source, name);
	if (!map_gets(firsts->by_final, name->final))
		map_puts(firsts->by_final, name->final, name);
}

static void check_unique(const struct schema_node *node, const struct named *name, const struct firsts *firsts,
			 struct findings *f)
{
	const struct named *other = find_same(firsts, name);
	bool same = other && strcmp(name->source, other->source) == 0;
	_cleanup_free_ char *renamed = NULL;
	_cleanup_free_ char *path = NULL;

	/* The labels of children are compared elsewhere. */
	if (!other || (same && schema_node_has_label(node, name->source)))
		return;
	renamed = jsonx_path("transform.rename", name->source);
	path = xasprintf("%s.%s", node->path, same || name->final == name->source ? name->path : renamed);
	findings_add(f, FINDING_ERROR, REASON_INVALID_SCHEMA, path,
		     "two fields are named `%s`, this one and %s; give one of them another name",
		     same ? name->source : name->final, other->path);
}

/* A rename can only be checked if the schema names its field: if not, it may have no effect. */
static void check_renamed(const struct schema_node *node, const struct named *name, struct findings *f)
{
	_cleanup_free_ char *renamed = jsonx_path("transform.rename", name->source);
	_cleanup_free_ char *path = xasprintf("%s.%s", node->path, renamed);

	if (name->final != name->source)
		check_final_name(node, name->final, path, f);
}

static void check_unique_names(const struct schema_node *node, struct findings *f)
{
	_cleanup_(names_release) struct names names = {0};
	struct firsts firsts = {.by_source = map_new(NULL), .by_final = map_new(NULL)};

	collect_names(&names, node);
	for (size_t i = 0; i < names.n; i++) {
		check_renamed(node, &names.items[i], f);
		check_unique(node, &names.items[i], &firsts, f);
		note_first(&firsts, &names.items[i]);
	}
	map_free(firsts.by_source);
	map_free(firsts.by_final);
}

static bool key_is_invalid(const struct schema_node *node, const char *key)
{
	for (size_t i = 0; i < node->invalid_keys.n; i++)
		if (!*node->invalid_keys.items[i] || strcmp(node->invalid_keys.items[i], key) == 0)
			return true;
	return false;
}

static bool is_invalid_column(const char *column)
{
	_cleanup_(schema_column_path_release) struct schema_column_path path = {0};
	_cleanup_free_ char *problem = schema_column_is_path(column) ? schema_column_path_parse(column, &path) : NULL;

	return !*column || problem;
}

/* Whether an entry of the object at `key` is invalid and not among those that were decoded. */
static bool has_invalid_entry(const struct schema_node *node, const char *key,
			      bool (*has)(const struct schema_node *node, const char *name))
{
	size_t len = strlen(key);

	for (size_t i = 0; i < node->invalid_keys.n; i++) {
		const char *invalid = node->invalid_keys.items[i];

		if (strncmp(invalid, key, len) == 0 && (invalid[len] == '.' || invalid[len] == '[') &&
		    !(invalid[len] == '.' && has(node, invalid + len + 1)))
			return true;
	}
	return false;
}

static bool has_rename(const struct schema_node *node, const char *name)
{
	return json_object_get(node->transform.rename, name);
}

bool schema_node_names_are_known(const struct schema_node *node)
{
	static const char *const keys[] = {"columns", "expressions", "children", "transform", "transform.rename"};

	for (size_t i = 0; i < ARRAY_SIZE(keys); i++)
		if (key_is_invalid(node, keys[i]))
			return false;
	for (size_t i = 0; i < node->columns.n; i++)
		if (is_invalid_column(node->columns.items[i]))
			return false;
	for (size_t i = 0; i < node->n_children; i++)
		if (!node->children[i]->label)
			return false;
	return !has_invalid_entry(node, "expressions", schema_node_lists) &&
	       !has_invalid_entry(node, "transform.rename", has_rename) &&
	       !schema_key_is_invalid(node, "transform.concat") && !schema_key_is_invalid(node, "transform.move");
}

bool schema_check_routing(const struct schema_document *document, struct findings *f)
{
	const struct schema_node *root = document->root;
	_cleanup_free_ char *path = xasprintf("%s.routing", document->path);
	_cleanup_(names_release) struct names names = {0};
	_cleanup_free_ const char **finals = NULL;
	const char *near;

	if (!document->routing || !root || !root->columns.n || is_in_set(root, &root->sets->made, document->routing))
		return true;
	collect_names(&names, root);
	finals = xcalloc(names.n, sizeof(*finals));
	for (size_t i = 0; i < names.n; i++)
		finals[i] = names.items[i].final;
	for (size_t i = 0; i < names.n; i++) {
		if (strcmp(finals[i], document->routing) != 0)
			continue;
		if (names.items[i].made_by)
			findings_add(f, FINDING_ERROR, REASON_NOT_SUPPORTED, path,
				     "field \"%s\" is the result of %s; route by an unchanged column value (renaming "
				     "is fine), so that a changed row shows where its old document is",
				     document->routing, names.items[i].made_by);
		return !names.items[i].made_by;
	}
	if (!schema_node_names_are_known(root))
		return true;
	near = nearest_name(document->routing, finals, names.n);
	findings_add(f, FINDING_ERROR, REASON_INVALID_SCHEMA, path,
		     "\"%s\" is not one of the root's columns in the document%s%s%s", document->routing,
		     near ? "; did you mean `" : "", near ? near : "", near ? "`?" : "");
	return false;
}

static void check_concats(const struct schema_node *node, struct findings *f)
{
	for (size_t i = 0; i < node->transform.n_concats; i++) {
		const struct schema_concat *concat = &node->transform.concats[i];
		_cleanup_free_ char *path = xasprintf("%s.destination", concat->path);

		check_final_name(node, concat->destination, path, f);
	}
}

const char *schema_move_path(const struct schema_move *move, bool *ret_to_root)
{
	*ret_to_root = strncmp(move->destination, ROOT_PREFIX, strlen(ROOT_PREFIX)) == 0;
	return move->destination + (*ret_to_root ? strlen(ROOT_PREFIX) : 0);
}

static void check_moves(const struct schema_node *node, struct findings *f)
{
	_cleanup_(names_release) struct names names = {0};
	_cleanup_(map_freep) struct map *finals = map_new(NULL);

	if (node->transform.n_moves)
		collect_names(&names, node);
	for (size_t i = 0; i < names.n; i++)
		(void)add_to_set(finals, names.items[i].final);
	for (size_t i = 0; i < node->transform.n_moves; i++) {
		const struct schema_move *move = &node->transform.moves[i];
		_cleanup_free_ char *path = xasprintf("%s.destination", move->path);
		_cleanup_free_ char *problem = NULL;
		_cleanup_free_ char *first = NULL;
		const char *to;
		bool to_root;

		to = schema_move_path(move, &to_root);
		first = xstrndup(to, strcspn(to, "."));
		problem = has_empty_part(to) || to[strlen(to) - 1] == '.'
				  ? xasprintf("\"%s\" is not a path to a field: it must be \"a.b\" or "
					      "\"$root.a.b\"",
					      move->destination)
				  : schema_field_problem(first, to_root || !node->parent);
		if (problem)
			findings_add(f, FINDING_ERROR, REASON_INVALID_SCHEMA, path, "%s", problem);
		else if ((!to_root || !node->parent) && map_gets(finals, first) && !is_moved(node, first))
			findings_add(f, FINDING_ERROR, REASON_INVALID_SCHEMA, path,
				     "\"%s\" cannot be the path of a new field: another field has that path, or is in "
				     "its way",
				     move->destination);
	}
}

void schema_check_names(const struct schema_node *node, struct findings *f)
{
	if (node->parent && (node->relationship.variant == SCHEMA_VARIANT_SCALAR ||
			     schema_key_is_unsure(node, "relationship.variant", f)))
		return;
	for (size_t i = 0; i < node->columns.n; i++) {
		_cleanup_free_ char *path = xasprintf("%s.columns[%zu]", node->path, i);

		if (*node->columns.items[i] && !schema_column_is_path(node->columns.items[i]))
			check_given_name(node, node->columns.items[i], path, f);
	}
	for (size_t i = 0; i < node->n_expressions; i++) {
		_cleanup_free_ char *all = xasprintf("%s.expressions", node->path);
		_cleanup_free_ char *path = jsonx_path(all, node->expressions[i].name);

		check_given_name(node, node->expressions[i].name, path, f);
	}
	for (size_t i = 0; i < node->n_children; i++) {
		_cleanup_free_ char *path = xasprintf("%s.children[%zu].label", node->path, i);

		if (node->children[i]->label)
			check_given_name(node, node->children[i]->label, path, f);
	}
	check_unique_names(node, f);
	check_concats(node, f);
	check_moves(node, f);
}
