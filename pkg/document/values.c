/* The SQL of a field's value.
 *
 * Postgres makes the JSON, so a value is an expression of its column's type; only values that `transform` changes are
 * converted to text or JSON. Values that are not indexable become NULL, and are counted. */
#include <stdlib.h>
#include <string.h>

#include "document/document_int.h"
#include "postgres/pg.h"

/* NUMBER_CHARACTERS: the most that the engines' JSON parser accepts. */
enum { NAME_BYTES = 63, PIECE_PAIRS = 50, NUMBER_CHARACTERS = 1000 };

enum value_class { VALUE_TEXT, VALUE_NUMBER, VALUE_BOOLEAN, VALUE_JSON, VALUE_OTHER };

static void add_steps(struct strbuf *sb, const struct schema_column_path *path)
{
	for (size_t i = 0; i < path->n; i++) {
		const struct schema_path_step *step = &path->steps[i];
		_cleanup_free_ char *array = xasprintf("{%s}", step->part);

		strbuf_addf(sb, " %s ", step->op);
		if (step->index)
			strbuf_adds(sb, step->part);
		else
			pg_quote_literal(sb, step->op[0] == '#' ? array : step->part);
	}
}

static void add_raw(struct strbuf *sb, const struct plan_node *node, const struct field *field)
{
	switch (field->kind) {
	case FIELD_SYSTEM:
		strbuf_addf(sb, "t%zu.%s", node->number, field->source);
		break;
	case FIELD_EXPRESSION:
		strbuf_addf(sb, "t%zu.", node->number);
		sql_free_name(sb, node, "x", field->number);
		break;
	default:
		strbuf_adds(sb, field->path.n ? "(" : "");
		sql_own(sb, node, field->column);
		add_steps(sb, &field->path);
		strbuf_adds(sb, field->path.n ? ")" : "");
		break;
	}
}

/* Appends the condition that a JSON text does not contain \u0000: this escape, after an even number of backslashes. */
static void add_without_nul(struct strbuf *sb, const char *text)
{
	strbuf_addf(sb, "(strpos(%s, ", text);
	pg_quote_literal(sb, "\\u0000");
	strbuf_addf(sb, ") = 0 OR %s !~ ", text);
	pg_quote_literal(sb, "(^|[^\\\\])(\\\\\\\\)*\\\\u0000");
	strbuf_addc(sb, ')');
}

static void add_is_indexable(struct strbuf *sb, const struct plan_node *node, const struct field *field)
{
	struct strbuf text;

	if (field_indexable(field) == INDEXABLE_WITHOUT_NUL) {
		strbuf_init(&text, SQL_BYTES);
		sql_own(&text, node, field->column);
		strbuf_adds(&text, "::text");
		add_without_nul(sb, text.data);
		strbuf_release(&text);
		return;
	}
	if (field_indexable(field) == INDEXABLE_FINITE_DATE) {
		strbuf_adds(sb, "isfinite(");
		add_raw(sb, node, field);
		strbuf_addc(sb, ')');
		return;
	}
	/* A numeric with a precision cannot be infinite. NaN sorts above infinity. */
	add_raw(sb, node, field);
	if (field->type->typmod > 0) {
		strbuf_adds(sb, " <> 'NaN'");
		return;
	}
	strbuf_adds(sb, " > '-Infinity' AND ");
	add_raw(sb, node, field);
	strbuf_adds(sb, " < 'Infinity'");
	if (strcmp(field->type->base_type, "numeric") != 0)
		return;
	strbuf_adds(sb, " AND length(");
	add_raw(sb, node, field);
	strbuf_addf(sb, "::text) <= %d", NUMBER_CHARACTERS);
}

static void add_sanitized_value(struct strbuf *sb, const struct plan_node *node, const struct field *field)
{
	if (field_indexable(field) == INDEXABLE_ALWAYS) {
		add_raw(sb, node, field);
		return;
	}
	strbuf_adds(sb, "CASE WHEN ");
	add_is_indexable(sb, node, field);
	strbuf_adds(sb, " THEN ");
	add_raw(sb, node, field);
	strbuf_adds(sb, " END");
}

/* --- kinds of values --- */

static enum value_class class_of_type(const struct catalog_column *type)
{
	static const char *const texts[] = {"text", "varchar", "citext", "name"};
	static const char *const documents[] = {"json", "jsonb", "hstore"};

	for (size_t i = 0; i < ARRAY_SIZE(texts); i++)
		if (strcmp(type->base_type, texts[i]) == 0)
			return VALUE_TEXT;
	for (size_t i = 0; i < ARRAY_SIZE(documents); i++)
		if (strcmp(type->base_type, documents[i]) == 0)
			return VALUE_JSON;
	if (strcmp(type->base_type, "bool") == 0)
		return VALUE_BOOLEAN;
	if (type->category == 'N' && strcmp(type->base_type, "money") != 0)
		return VALUE_NUMBER;
	return type->category == 'A' || type->category == 'C' ? VALUE_JSON : VALUE_OTHER;
}

static enum value_class class_of(const struct field *field)
{
	switch (field->kind) {
	case FIELD_COLUMN:
		if (field->path.n)
			return strlen(field->path.steps[field->path.n - 1].op) == 3 ? VALUE_TEXT : VALUE_JSON;
		return class_of_type(field->type);
	case FIELD_EXPRESSION:
		return class_of_type(field->type);
	case FIELD_SYSTEM:
		return VALUE_OTHER;
	case FIELD_CONCAT:
		return VALUE_TEXT;
	default:
		return VALUE_JSON;
	}
}

/* --- replace --- */

static void add_replaced(struct strbuf *sb, const json_t *replace, const char *text)
{
	const char *search;
	json_t *with;

	for (size_t i = 0; i < json_object_size(replace); i++)
		strbuf_adds(sb, "replace(");
	strbuf_adds(sb, text);
	json_object_foreach ((json_t *)replace, search, with) {
		strbuf_adds(sb, ", ");
		pg_quote_literal(sb, search);
		strbuf_adds(sb, ", ");
		pg_quote_literal(sb, json_string_value(with));
		strbuf_addc(sb, ')');
	}
}

/* The JSON of the value may contain \u0000. */
static bool may_hold_nul(const struct field *field)
{
	if (field->kind == FIELD_CHILD && field->child->scalar)
		return may_hold_nul(&field->child->fields[0]);
	if (!field->type)
		return field->kind != FIELD_COLUMN && field->kind != FIELD_SYSTEM && field->kind != FIELD_CONCAT;
	return strcmp(field->type->base_type, "json") == 0 || strcmp(field->type->base_type, "_json") == 0 ||
	       field->type->category == 'C' || field->type->element_category == 'C';
}

/* Replaces in a JSON string, or in the strings of a JSON array; everything else stays. */
static void add_replaced_json(struct strbuf *sb, const struct field *field, const char *json)
{
	const json_t *replace = field->replace;
	_cleanup_free_ char *text = xasprintf("(%s #>> '{}')", json);

	if (may_hold_nul(field)) {
		_cleanup_free_ char *whole = xasprintf("(%s)::text", json);

		strbuf_adds(sb, "CASE WHEN NOT ");
		add_without_nul(sb, whole);
		strbuf_addf(sb, " THEN %s ELSE ", json);
	}
	strbuf_addf(sb, "CASE json_typeof(%s) WHEN 'string' THEN to_json(", json);
	add_replaced(sb, replace, text);
	strbuf_adds(sb,
		    ") WHEN 'array' THEN coalesce((SELECT json_agg(CASE json_typeof(e) WHEN 'string' THEN to_json(");
	add_replaced(sb, replace, "(e #>> '{}')");
	strbuf_addf(sb, ") ELSE e END ORDER BY o) FROM json_array_elements(%s) WITH ORDINALITY AS a(e, o)), '[]')",
		    json);
	strbuf_addf(sb, " ELSE %s END%s", json, may_hold_nul(field) ? " END" : "");
}

static void add_untouched(struct strbuf *sb, const struct plan_node *node, const struct field *field);

/* If a part was cut off at its limit, the whole value counts as cut off. */
static char *take_part(struct strbuf *whole, struct strbuf *part)
{
	whole->overflow = whole->overflow || part->overflow;
	return strbuf_detach(part);
}

static void add_field_value(struct strbuf *sb, const struct plan_node *node, const struct field *field)
{
	enum value_class class = class_of(field);
	_cleanup_free_ char *value = NULL;
	_cleanup_free_ char *as = NULL;
	struct strbuf part;

	if (!field->replace || class == VALUE_NUMBER || class == VALUE_BOOLEAN) {
		add_untouched(sb, node, field);
		return;
	}
	strbuf_init(&part, SQL_BYTES);
	add_untouched(&part, node, field);
	value = take_part(sb, &part);
	as = xasprintf(class == VALUE_TEXT    ? "(%s)::text"
		       : class == VALUE_OTHER ? "(to_json(%s) #>> '{}')"
					      : "to_json(%s)",
		       value);
	if (class == VALUE_JSON)
		add_replaced_json(sb, field, as);
	else
		add_replaced(sb, field->replace, as);
}

void sql_field_value(struct strbuf *sb, const struct plan_node *node, const struct field *field)
{
	add_field_value(sb, node, field);
}

/* --- concat --- */

static void add_json_part(struct strbuf *sb, const struct field *field, const char *value)
{
	_cleanup_free_ char *json = xasprintf("to_json(%s)", value);
	_cleanup_free_ char *text = xasprintf("%s::text", json);

	strbuf_addf(sb, "CASE WHEN %s NOT IN ('0', 'false', '\"\"', '[]', '{}')", text);
	if (may_hold_nul(field)) {
		strbuf_adds(sb, " AND ");
		add_without_nul(sb, text);
	}
	strbuf_addf(sb, " THEN %s #>> '{}' END", json);
}

/* A part as text; NULL for what is false in Python: null, an empty text, zero, false, and empty lists and objects. */
static void add_concat_part(struct strbuf *sb, const struct plan_node *node, const struct field *field)
{
	enum value_class class = class_of(field);
	_cleanup_free_ char *value = NULL;
	struct strbuf part;

	strbuf_init(&part, SQL_BYTES);
	add_field_value(&part, node, field);
	value = take_part(sb, &part);
	if (class == VALUE_OTHER && field->replace)
		class = VALUE_TEXT;
	if (class == VALUE_TEXT)
		strbuf_addf(sb, "nullif((%s)::text, '')", value);
	else if (class == VALUE_NUMBER)
		strbuf_addf(sb, "CASE WHEN (%s) <> 0 THEN (%s)::text END", value, value);
	else if (class == VALUE_BOOLEAN)
		strbuf_addf(sb, "CASE WHEN (%s) THEN 'true' END", value);
	else
		add_json_part(sb, field, value);
}

static void add_concat_value(struct strbuf *sb, const struct plan_node *node, const struct field *field)
{
	strbuf_adds(sb, "array_to_string(ARRAY[");
	for (size_t i = 0; i < field->n_parts; i++) {
		const struct part *part = &field->parts[i];

		strbuf_adds(sb, i ? ", " : "");
		if (part->literal)
			pg_quote_literal(sb, part->literal);
		else
			add_concat_part(sb, node, &node->fields[part->field]);
	}
	strbuf_adds(sb, "]::text[], ");
	pg_quote_literal(sb, field->delimiter);
	strbuf_addc(sb, ')');
}

/* --- objects --- */

/* A column that the child's group added to the parent's rows. */
static void add_grouped(struct strbuf *sb, const struct plan_node *child, const char *prefix, size_t number)
{
	strbuf_addf(sb, "t%zu.", child->parent->number);
	sql_free_name(sb, child->parent, prefix, number);
}

/* In the query that joins the child. */
static void add_joined_value(struct strbuf *sb, const struct plan_node *child)
{
	if (!child->inlined) {
		strbuf_addf(sb, "n%zu.doc", child->number);
	} else if (child->scalar) {
		sql_node_value(sb, child);
	} else {
		strbuf_adds(sb, "CASE WHEN ");
		sql_own(sb, child, child->joins[0].lower_columns[0]);
		strbuf_adds(sb, " IS NOT NULL THEN ");
		sql_node_value(sb, child);
		strbuf_adds(sb, " END");
	}
}

static void add_child_value(struct strbuf *sb, const struct plan_node *child)
{
	if (child->group)
		add_grouped(sb, child, "doc", child->number);
	else
		add_joined_value(sb, child);
}

/* The next field that is not hidden, from i on. */
static size_t next_shown(const struct field *fields, size_t n, size_t i)
{
	while (i < n && fields[i].hidden)
		i++;
	return i;
}

static size_t count_shown(const struct field *fields, size_t n)
{
	size_t shown = 0;

	for (size_t i = next_shown(fields, n, 0); i < n; i = next_shown(fields, n, i + 1))
		shown++;
	return shown;
}

/* json_build_object takes at most 100 arguments; larger objects are joined as text from pieces without their inner
 * braces. */
static void add_build_object(struct strbuf *sb, const struct plan_node *node, const struct field *fields, size_t n)
{
	size_t pieces = (count_shown(fields, n) + PIECE_PAIRS - 1) / PIECE_PAIRS;
	size_t i = next_shown(fields, n, 0);

	pieces = pieces ? pieces : 1;
	strbuf_adds(sb, pieces > 1 ? "(" : "");
	for (size_t piece = 0; piece < pieces; piece++) {
		if (piece)
			strbuf_adds(sb, " || ',' || ");
		strbuf_adds(sb, pieces == 1          ? ""
				: piece == 0         ? "left("
				: piece + 1 < pieces ? "substr(left("
						     : "substr(");
		strbuf_adds(sb, "json_build_object(");
		for (size_t pair = 0; i < n && pair < PIECE_PAIRS; pair++, i = next_shown(fields, n, i + 1)) {
			strbuf_adds(sb, pair ? ", " : "");
			pg_quote_literal(sb, fields[i].name);
			strbuf_adds(sb, ", ");
			add_field_value(sb, node, &fields[i]);
		}
		strbuf_addc(sb, ')');
		if (pieces > 1)
			strbuf_adds(sb, piece == 0           ? "::text, -1)"
					: piece + 1 < pieces ? "::text, -1), 2)"
							     : "::text, 2)");
	}
	strbuf_adds(sb, pieces > 1 ? ")::json" : "");
}

static void add_untouched(struct strbuf *sb, const struct plan_node *node, const struct field *field)
{
	switch (field->kind) {
	case FIELD_COLUMN:
	case FIELD_SYSTEM:
	case FIELD_EXPRESSION:
		add_sanitized_value(sb, node, field);
		break;
	case FIELD_CHILD:
		add_child_value(sb, field->child);
		break;
	case FIELD_CONCAT:
		add_concat_value(sb, node, field);
		break;
	case FIELD_OBJECT:
		add_build_object(sb, node, field->fields, field->n_fields);
		break;
	case FIELD_MOVED:
		sql_moved_field(sb, field->moved_field, node);
		break;
	case FIELD_META:
		strbuf_adds(sb, "m.doc");
		break;
	}
}

/* row_to_json takes its keys from column names. */
static bool is_row(const struct plan_node *node)
{
	if (node->scalar)
		return false;
	for (size_t i = 0; i < node->n_fields; i++)
		if (!node->fields[i].hidden && strlen(node->fields[i].name) > NAME_BYTES)
			return false;
	return true;
}

void sql_node_value(struct strbuf *sb, const struct plan_node *node)
{
	if (node->scalar)
		add_field_value(sb, node, &node->fields[0]);
	else if (is_row(node))
		strbuf_addf(sb, "row_to_json(x%zu.*)", node->number);
	else
		add_build_object(sb, node, node->fields, node->n_fields);
}

void sql_object_rows(struct strbuf *sb, const struct plan_node *node)
{
	const char *comma = "";

	for (size_t i = 0; i < node->n_children; i++)
		if (node->children[i]->inlined && !node->children[i]->group)
			sql_object_rows(sb, node->children[i]);
	if (!is_row(node))
		return;
	strbuf_adds(sb, "\n  CROSS JOIN LATERAL (SELECT ");
	for (size_t i = next_shown(node->fields, node->n_fields, 0); i < node->n_fields;
	     i = next_shown(node->fields, node->n_fields, i + 1)) {
		const struct field *field = &node->fields[i];
		bool plain = field->kind == FIELD_COLUMN && !field->path.n && !field->replace &&
			     field_indexable(field) == INDEXABLE_ALWAYS && strcmp(field->name, field->source) == 0;

		strbuf_adds(sb, comma);
		add_field_value(sb, node, field);
		if (!plain) {
			strbuf_adds(sb, " AS ");
			pg_quote_ident(sb, field->name);
		}
		comma = ", ";
	}
	strbuf_addf(sb, ") x%zu", node->number);
}

/* --- sanitized values, moved fields --- */

static void add_sanitized_count(struct strbuf *sb, const struct plan_node *node, const char **plus);

/* In the query that joins the child. */
static void add_joined_sanitized_count(struct strbuf *sb, const struct plan_node *child, const char **plus)
{
	if (child->inlined) {
		add_sanitized_count(sb, child, plus);
		return;
	}
	strbuf_addf(sb, "%scoalesce(n%zu.sanitized, 0)", *plus, child->number);
	*plus = " + ";
}

static void add_sanitized_count(struct strbuf *sb, const struct plan_node *node, const char **plus)
{
	for (size_t i = 0; i < node->n_fields; i++) {
		if (field_indexable(&node->fields[i]) == INDEXABLE_ALWAYS)
			continue;
		strbuf_addf(sb, "%sCASE WHEN NOT (", *plus);
		add_is_indexable(sb, node, &node->fields[i]);
		strbuf_adds(sb, ") THEN 1 ELSE 0 END");
		*plus = " + ";
	}
	for (size_t i = 0; i < node->n_children; i++) {
		const struct plan_node *child = node->children[i];

		if (!child->may_sanitize)
			continue;
		if (!child->group) {
			add_joined_sanitized_count(sb, child, plus);
			continue;
		}
		strbuf_adds(sb, *plus);
		add_grouped(sb, child, "sanitized", child->number);
		*plus = " + ";
	}
}

void sql_sanitized_count(struct strbuf *sb, const struct plan_node *node)
{
	const char *plus = "";

	add_sanitized_count(sb, node, &plus);
}

/* The child of `at` towards the moved field's node; NULL if that node is `at` itself, or not below it. */
static const struct plan_node *step_towards(const struct moved_field *moved_field, const struct plan_node *at)
{
	const struct plan_node *node = moved_field->node;

	while (node && node->parent != at)
		node = node->parent;
	return node;
}

bool sql_moved_field_passes(const struct moved_field *moved_field, const struct plan_node *node)
{
	return node->parent && moved_field->target != moved_field->node &&
	       (moved_field->node == node || step_towards(moved_field, node));
}

/* The value is already a list in the query of `at`. */
static bool is_list_already(const struct moved_field *moved_field, const struct plan_node *at)
{
	for (const struct plan_node *node = moved_field->node; node != at; node = node->parent)
		if (node->many)
			return true;
	return false;
}

/* In the query that joins the child. */
static void add_joined_moved_field(struct strbuf *sb, const struct moved_field *moved_field,
				   const struct plan_node *child)
{
	if (child->inlined)
		sql_moved_field(sb, moved_field, child);
	else
		strbuf_addf(sb, "n%zu.\"m.%zu\"", child->number, moved_field->number);
}

void sql_moved_field(struct strbuf *sb, const struct moved_field *moved_field, const struct plan_node *at)
{
	const struct plan_node *child = step_towards(moved_field, at);

	if (moved_field->node == at)
		add_field_value(sb, at, &at->fields[moved_field->field]);
	else if (child->group)
		add_grouped(sb, child, "m", moved_field->number);
	else
		add_joined_moved_field(sb, moved_field, child);
}

void sql_moved_field_set(struct strbuf *sb, const struct moved_field *moved_field, const struct plan_node *node)
{
	struct strbuf list;

	if (!node->many) {
		sql_moved_field(sb, moved_field, node);
		return;
	}
	if (!is_list_already(moved_field, node)) {
		strbuf_adds(sb, "json_agg(");
		sql_moved_field(sb, moved_field, node);
		strbuf_adds(sb, " ORDER BY ");
		sql_order(sb, node);
		strbuf_addc(sb, ')');
		return;
	}
	/* The lists of several rows become one list. */
	strbuf_init(&list, SQL_BYTES);
	sql_moved_field(&list, moved_field, node);
	strbuf_addf(sb, "('[' || string_agg(nullif(substr((%s)::text, 2, length((%s)::text) - 2), ''), ', ' ORDER BY ",
		    list.data, list.data);
	sql_order(sb, node);
	strbuf_adds(sb, ") || ']')::json");
	strbuf_release(&list);
}

/* --- groups --- */

static void add_group_name(struct strbuf *sb, const struct plan_node *child, const char *prefix, size_t number)
{
	strbuf_adds(sb, " AS ");
	sql_free_name(sb, child->parent, prefix, number);
}

void sql_group_columns(struct strbuf *sb, const struct tree *tree, const struct plan_node *child)
{
	const char *plus = "";

	strbuf_adds(sb, ", ");
	add_joined_value(sb, child);
	add_group_name(sb, child, "doc", child->number);
	if (child->may_sanitize) {
		strbuf_adds(sb, ", ");
		add_joined_sanitized_count(sb, child, &plus);
		add_group_name(sb, child, "sanitized", child->number);
	}
	for (size_t i = 0; i < tree->n_moved_fields; i++) {
		if (!sql_moved_field_passes(tree->moved_fields[i], child))
			continue;
		strbuf_adds(sb, ", ");
		add_joined_moved_field(sb, tree->moved_fields[i], child);
		add_group_name(sb, child, "m", tree->moved_fields[i]->number);
	}
}
