/* The tree of one document: level by level from the root, so that what is near comes first. */
#include <stdlib.h>
#include <string.h>

#include "base/ints.h"
#include "propose/propose_int.h"
#include "json/json.h"

/* A node of the tree that is being made. */
struct level {
	const struct level *up; /* NULL: the root */
	const struct catalog_table *table;
	const struct propose_edge *via;      /* that joins it to the one above, or to the through table */
	const struct catalog_table *through; /* or NULL */
	bool has_list;                       /* it is the root or a list, so lists of lists are few */
	size_t depth;
	char *path; /* "items.product", "" for the root */
	json_t *node;
	bool *linked; /* for each column: it only links rows that the document has */
};

struct builder {
	const struct propose_graph *graph;
	struct level levels[PROPOSE_NODES];
	size_t n;
	struct propose_document *out;
};

/* A child that may be added below a level. */
struct proposed {
	const struct propose_edge *edge;    /* between the level and the child, or the through table */
	const struct propose_edge *through; /* from the through table to the child, or NULL */
	bool to_one, refers;                /* refers: the level's table has the foreign key */
};

/* --- what is said about it */

static void add_note(json_t *to, const char *fmt, ...) PRINTF_LIKE(2, 3);
static void add_note(json_t *to, const char *fmt, ...)
{
	_cleanup_free_ char *text = NULL;
	va_list ap;

	va_start(ap, fmt);
	text = xvasprintf(fmt, ap);
	va_end(ap);
	(void)json_array_append_new(to, jsonx_text(text));
}

static char *below(const struct level *level, const char *name)
{
	return *level->path ? xasprintf("%s.%s", level->path, name) : xstrdup(name);
}

static void count_table(struct builder *b, const struct catalog_table *table)
{
	_cleanup_free_ char *name = propose_name(table);

	if (json_object_get(b->out->rows, name))
		return;
	(void)json_array_append_new(b->out->tables, jsonx_text(name));
	(void)json_object_set_new(b->out->rows, name,
				  table->row_estimate < 0 ? json_null()
							  : json_integer((json_int_t)table->row_estimate));
}

/* --- which children there are */

static bool is_above(const struct level *level, const struct catalog_table *table)
{
	for (; level; level = level->up)
		if (level->table == table || level->through == table)
			return true;
	return false;
}

static const struct catalog_table *child_table(const struct proposed *p)
{
	return p->through ? p->through->to : p->refers ? p->edge->to : p->edge->from;
}

/* The rows of the list for each row above, on average; -1: not known. */
static double items_of(const struct proposed *p)
{
	if (p->to_one || p->edge->from->row_estimate < 0 || p->edge->to->row_estimate < 1)
		return -1;
	return p->edge->from->row_estimate / p->edge->to->row_estimate;
}

/* False, with a note, if it should not be added. */
static bool may_add(struct builder *b, const struct level *level, const struct proposed *p)
{
	_cleanup_free_ char *name = propose_name(child_table(p));
	_cleanup_free_ char *obstacle = propose_obstacle(child_table(p));
	_cleanup_free_ char *connector = p->through ? propose_obstacle(p->through->from) : NULL;
	_cleanup_free_ char *path = below(level, name);
	double items = items_of(p);

	if (obstacle || connector)
		add_note(b->out->left_out, "%s: %s%s", path, connector ? "of the table between them: " : "",
			 connector ? connector : obstacle);
	else if (items > PROPOSE_MOST_ITEMS)
		add_note(b->out->left_out, "%s: about %.0f rows for each row of %s", path, items, level->table->name);
	else if (b->n == PROPOSE_NODES)
		add_note(b->out->left_out, "%s: the document has %d nodes already", path, PROPOSE_NODES);
	else
		return true;
	return false;
}

/* --- labels */

/* "author" of author_id; NULL if the name of the column says nothing else. Caller frees. */
static char *column_stem(const struct propose_edge *edge)
{
	static const char *const endings[] = {"_id", "_uuid", "_key", "_fk", "_code", "_no"};
	const char *name = edge->from->columns[edge->key->columns[0]].name;

	for (size_t i = 0; edge->key->n == 1 && i < ARRAY_SIZE(endings); i++) {
		size_t len = strlen(name), ending = strlen(endings[i]);

		if (len > ending && strcmp(name + len - ending, endings[i]) == 0)
			return xstrndup(name, len - ending);
	}
	return NULL;
}

/* Another column or child of the level has this name in the document. */
static bool label_is_taken(const struct level *level, const struct proposed *p, const char *label)
{
	int column = catalog_column(level->table, label);
	json_t *child;
	size_t i;

	if (column >= 0 && !(p->refers && ints_contain(p->edge->key->columns, p->edge->key->n, column)))
		return true;
	json_array_foreach (json_object_get(level->node, "children"), i, child)
		if (strcmp(json_string_value(json_object_get(child, "label")), label) == 0)
			return true;
	return false;
}

static char *choose_label(const struct builder *b, const struct level *level, const struct proposed *p)
{
	const char *name = child_table(p)->name;
	_cleanup_free_ char *stem = column_stem(p->edge);
	bool several = !p->through && propose_edges_between(b->graph, level->table, child_table(p)) > 1;
	_cleanup_free_ char *by = p->through ? xasprintf("%s_through_%s", name, p->edge->from->name)
					     : xasprintf("%s_by_%s", name, stem ? stem : p->edge->key->name);
	const char *choices[] = {p->refers ? stem : several ? by : NULL, name, by};

	for (size_t i = 0; i < ARRAY_SIZE(choices); i++)
		if (choices[i] && !label_is_taken(level, p, choices[i]))
			return xstrdup(choices[i]);
	for (int i = 2;; i++) {
		char *numbered = xasprintf("%s_%d", name, i);

		if (!label_is_taken(level, p, numbered))
			return numbered;
		free(numbered);
	}
}

/* --- nodes */

static json_t *column_names(const struct catalog_table *table, const int *columns, size_t n)
{
	json_t *names = json_array();

	for (size_t i = 0; i < n; i++)
		(void)json_array_append_new(names, jsonx_text(table->columns[columns[i]].name));
	return names;
}

static json_t *start_node(const struct catalog_table *table)
{
	const struct catalog_index *key = propose_key(table);
	json_t *node = json_pack("{s:o, s:[]}", "table", jsonx_text(table->name), "columns");

	if (strcmp(table->schema, "public") != 0)
		(void)json_object_set_new(node, "schema", jsonx_text(table->schema));
	if (!key->primary)
		(void)json_object_set_new(node, "primary_key", column_names(table, key->columns, key->n));
	return node;
}

static json_t *relationship_of(const struct builder *b, const struct level *level, const struct proposed *p)
{
	const struct propose_edge *e = p->edge;
	json_t *relationship =
		json_pack("{s:s, s:s}", "variant", "object", "type", p->to_one ? "one_to_one" : "one_to_many");

	if (p->through) {
		_cleanup_free_ char *name = strcmp(e->from->schema, child_table(p)->schema) == 0
						    ? xstrdup(e->from->name)
						    : xasprintf("%s.%s", e->from->schema, e->from->name);

		(void)json_object_set_new(relationship, "through_tables", json_pack("[o]", jsonx_text(name)));
	} else if (propose_edges_between(b->graph, level->table, child_table(p)) != 1) {
		json_t *referring = column_names(e->from, e->key->columns, e->key->n);
		json_t *referred = column_names(e->to, e->key->to_columns, e->key->n);

		(void)json_object_set_new(relationship, "foreign_key",
					  json_pack("{s:o, s:o}", "child", p->refers ? referred : referring, "parent",
						    p->refers ? referring : referred));
	}
	return relationship;
}

static void mark_linked(struct level *level, const struct propose_edge *edge)
{
	for (size_t i = 0; i < edge->key->n; i++)
		level->linked[edge->key->columns[i]] = true;
}

static struct level *add_level(struct builder *b, const struct catalog_table *table)
{
	struct level *level = &b->levels[b->n++];

	*level = (struct level){.table = table,
				.node = start_node(table),
				.linked = xcalloc(table->n_columns + 1, sizeof(*level->linked))};
	count_table(b, table);
	return level;
}

static void add_child(struct builder *b, struct level *level, const struct proposed *p)
{
	_cleanup_free_ char *label = NULL;
	double items = items_of(p);
	struct level *child;
	json_t *children;

	if (!may_add(b, level, p))
		return;
	label = choose_label(b, level, p);
	child = add_level(b, child_table(p));
	child->up = level;
	child->depth = level->depth + 1;
	child->via = p->through ? p->through : p->edge;
	child->through = p->through ? p->edge->from : NULL;
	child->has_list = !p->to_one;
	child->path = below(level, label);
	if (p->through)
		count_table(b, p->edge->from);
	if (p->refers)
		mark_linked(level, p->edge);
	else if (!p->through)
		mark_linked(child, p->edge);
	(void)json_object_set_new(child->node, "label", jsonx_text(label));
	(void)json_object_set_new(child->node, "relationship", relationship_of(b, level, p));
	children = json_object_get(level->node, "children");
	if (!children) {
		children = json_array();
		(void)json_object_set_new(level->node, "children", children);
	}
	(void)json_array_append(children, child->node);
	if (items > PROPOSE_MANY_ITEMS)
		add_note(b->out->hints, "%s: about %.0f items in each list; `order_by` and `limit` keep some of them",
			 child->path, items);
	if (!p->to_one)
		add_note(b->out->hints, "%s: `nested: true` lets a search ask for several fields of one item",
			 child->path);
}

/* Objects: what the rows of the level refer to. */
static void add_referred(struct builder *b, struct level *level)
{
	const struct propose_edges *out = propose_out(b->graph, level->table);

	for (size_t i = 0; i < out->n && level->depth < PROPOSE_DEPTH; i++) {
		const struct propose_edge *e = out->items[i];
		bool itself = e->to == level->table && !(level->up && level->up->table == level->table);

		if (e != level->via && (itself || !is_above(level, e->to)))
			add_child(b, level, &(struct proposed){.edge = e, .to_one = true, .refers = true});
	}
}

/* Lists, and objects with a unique link: what refers to the rows of the level. */
static void add_referring(struct builder *b, struct level *level)
{
	const struct propose_edges *in = propose_in(b->graph, level->table);

	for (size_t i = 0; i < in->n && level->has_list && level->depth < PROPOSE_DEPTH - 1; i++) {
		const struct propose_edge *e = in->items[i];
		const struct propose_edge *through = propose_through(b->graph, e);

		if (is_above(level, through ? through->to : e->from) || is_above(level, e->from))
			continue;
		add_child(b, level,
			  &(struct proposed){.edge = e,
					     .through = through,
					     .to_one = !through &&
						       catalog_is_unique(e->from, e->key->columns, e->key->n)});
	}
}

/* --- columns */

static bool is_kept(const struct level *level, int column)
{
	const struct catalog_index *key = propose_key(level->table);

	return !level->linked[column] || (!level->up && ints_contain(key->columns, key->n, column));
}

static void add_columns(struct builder *b, const struct level *level)
{
	json_t *columns = json_object_get(level->node, "columns");

	for (size_t i = 0; i < level->table->n_columns; i++) {
		const struct catalog_column *column = &level->table->columns[i];
		const char *obstacle = propose_column_obstacle(column), *hint = propose_column_hint(column);
		_cleanup_free_ char *path = below(level, column->name);

		if (!is_kept(level, (int)i))
			continue;
		if (obstacle) {
			add_note(b->out->left_out, "%s: %s", path, obstacle);
			continue;
		}
		(void)json_array_append_new(columns, jsonx_text(column->name));
		if (hint)
			add_note(b->out->hints, "%s: %s", path, hint);
	}
	if (!json_array_size(columns)) {
		const struct catalog_index *key = propose_key(level->table);
		_cleanup_(json_decrefp) json_t *names = column_names(level->table, key->columns, key->n);

		(void)json_array_extend(columns, names);
	}
}

/* In the order in which people read a node. */
static json_t *sorted_node(const json_t *node)
{
	static const char *const order[] = {"table", "schema", "primary_key", "columns", "label", "relationship"};
	json_t *sorted = json_object(), *children = json_array(), *child;
	size_t i;

	for (i = 0; i < ARRAY_SIZE(order); i++)
		if (json_object_get(node, order[i]))
			(void)json_object_set(sorted, order[i], json_object_get(node, order[i]));
	json_array_foreach (json_object_get(node, "children"), i, child)
		(void)json_array_append_new(children, sorted_node(child));
	if (json_array_size(children))
		(void)json_object_set(sorted, "children", children);
	json_decref(children);
	return sorted;
}

void propose_tree(const struct propose_graph *graph, const struct catalog_table *root, struct propose_document *ret)
{
	struct builder *b = xcalloc(1, sizeof(*b));

	*ret = (struct propose_document){
		.tables = json_array(), .rows = json_object(), .left_out = json_array(), .hints = json_array()};
	b->graph = graph;
	b->out = ret;
	add_level(b, root)->has_list = true;
	b->levels[0].path = xstrdup("");
	for (size_t i = 0; i < b->n; i++) {
		add_referred(b, &b->levels[i]);
		add_referring(b, &b->levels[i]);
	}
	for (size_t i = 0; i < b->n; i++)
		add_columns(b, &b->levels[i]);
	ret->nodes = sorted_node(b->levels[0].node);
	for (size_t i = 0; i < b->n; i++) {
		json_decref(b->levels[i].node);
		free(b->levels[i].path);
		free(b->levels[i].linked);
	}
	free(b);
}
