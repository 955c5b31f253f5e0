/* YAML streams, from libyaml's events to json_t. */
#include "json/json.h"

#include <string.h>

#include <yaml.h>

#include "base/map.h"
#include "json/json_int.h"

enum { NODE_BYTES = 32, SHOWN_BYTES = 64 };

struct yaml {
	yaml_parser_t parser;
	const char *text;
	size_t len;
	const char *what;
	struct map *anchors; /* of the document: name -> json_t, one reference each */
	size_t expanded;     /* bytes that aliases were expanded to */
	unsigned depth;
	struct err *err;
};

static int node(struct yaml *y, yaml_event_t *event, json_t **ret);

static void anchor_free(void *value)
{
	json_decref(value);
}

static int fail_at(struct yaml *y, yaml_mark_t mark, const char *fmt, ...) PRINTF_LIKE(3, 4);
static int fail_at(struct yaml *y, yaml_mark_t mark, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	(void)err_vset(y->err, ERR_INVALID, fmt, ap);
	va_end(ap);
	return err_wrap(y->err, "%s: line %zu, column %zu", y->what, mark.line + 1, mark.column + 1);
}

static int next_event(struct yaml *y, yaml_event_t *event)
{
	const yaml_parser_t *p = &y->parser;
	yaml_mark_t mark;

	if (yaml_parser_parse(&y->parser, event))
		return 0;
	if (p->error == YAML_MEMORY_ERROR)
		abort();
	mark = p->problem_mark;
	if (p->error == YAML_READER_ERROR) {
		struct jsonx_position at = jsonx_position_of(y->text, y->len, p->problem_offset);

		mark = (yaml_mark_t){.line = at.line - 1, .column = at.column - 1};
	}
	return fail_at(y, mark, "not valid YAML: %s%s%s", p->context ? p->context : "", p->context ? ": " : "",
		       p->problem ? p->problem : "unknown problem");
}

static void remember_anchor(struct yaml *y, const yaml_char_t *anchor, json_t *value)
{
	if (anchor)
		map_puts(y->anchors, (const char *)anchor, json_incref(value));
}

/* An alias inside a node of the same anchor refers to that unfinished node, so an older one must not be found. */
static void forget_anchor(struct yaml *y, const yaml_char_t *anchor)
{
	if (anchor)
		(void)map_removes(y->anchors, (const char *)anchor);
}

/* Adds the size of value to *bytes, and stops once that exceeds the cap. Returns the nesting depth of value. */
static unsigned measure(const json_t *value, size_t *bytes)
{
	unsigned deepest = 0;
	const char *key;
	json_t *item;
	size_t i;

	*bytes += NODE_BYTES + (json_is_string(value) ? json_string_length(value) : 0);
	json_array_foreach (value, i, item) {
		unsigned depth = *bytes > JSONX_ALIAS_BYTES ? 0 : measure(item, bytes);

		deepest = depth > deepest ? depth : deepest;
	}
	json_object_foreach ((json_t *)value, key, item) {
		unsigned depth;

		*bytes += strlen(key);
		depth = *bytes > JSONX_ALIAS_BYTES ? 0 : measure(item, bytes);
		deepest = depth > deepest ? depth : deepest;
	}
	return deepest + (json_is_array(value) || json_is_object(value));
}

/* An alias becomes a copy, so that no two places of the result share a value. */
static int alias(struct yaml *y, const yaml_event_t *event, json_t **ret)
{
	const char *name = (const char *)event->data.alias.anchor;
	json_t *value = map_gets(y->anchors, name);
	unsigned depth;

	if (!value)
		return fail_at(y, event->start_mark, "alias `%.*s`: no complete anchor of this name precedes it",
			       SHOWN_BYTES, name);
	depth = measure(value, &y->expanded);
	if (y->expanded > JSONX_ALIAS_BYTES)
		return fail_at(y, event->start_mark, "the aliases expand to more than %d bytes", JSONX_ALIAS_BYTES);
	if (y->depth + depth > JSONX_DEPTH)
		return fail_at(y, event->start_mark, "nested deeper than %d levels", JSONX_DEPTH);
	*ret = jsonx_must(json_deep_copy(value));
	return 0;
}

static int scalar(struct yaml *y, const yaml_event_t *event, json_t **ret)
{
	const char *text = (const char *)event->data.scalar.value;
	json_t *value = NULL;
	const char *problem;

	forget_anchor(y, event->data.scalar.anchor);
	problem = jsonx_yaml_scalar(text, event->data.scalar.length, (const char *)event->data.scalar.tag,
				    event->data.scalar.plain_implicit, &value);
	if (problem)
		return fail_at(y, event->start_mark, "%s", problem);
	remember_anchor(y, event->data.scalar.anchor, value);
	*ret = value;
	return 0;
}

static int check_collection(struct yaml *y, const yaml_event_t *event, const yaml_char_t *tag, const char *own_tag)
{
	if (tag && strcmp((const char *)tag, "!") != 0 && strcmp((const char *)tag, own_tag) != 0)
		return fail_at(y, event->start_mark, "a tag that is not supported");
	if (y->depth >= JSONX_DEPTH)
		return fail_at(y, event->start_mark, "nested deeper than %d levels", JSONX_DEPTH);
	return 0;
}

static int sequence(struct yaml *y, const yaml_event_t *start, json_t **ret)
{
	const yaml_char_t *anchor = start->data.sequence_start.anchor;
	_cleanup_json_ json_t *array = NULL;

	if (check_collection(y, start, start->data.sequence_start.tag, YAML_SEQ_TAG) < 0)
		return -1;
	array = jsonx_must(json_array());
	forget_anchor(y, anchor);
	for (;;) {
		_cleanup_(yaml_event_delete) yaml_event_t event = {0};
		json_t *item = NULL;

		if (next_event(y, &event) < 0)
			return -1;
		if (event.type == YAML_SEQUENCE_END_EVENT)
			break;
		y->depth++;
		if (node(y, &event, &item) < 0)
			return -1;
		y->depth--;
		if (json_array_append_new(array, item) < 0)
			abort();
	}
	remember_anchor(y, anchor, array);
	*ret = TAKE_PTR(array);
	return 0;
}

/* Reads a key that begins with event, as the string that Kubernetes makes of it. */
static int mapping_key(struct yaml *y, yaml_event_t *event, char **ret)
{
	_cleanup_json_ json_t *key = NULL;

	if (event->type == YAML_SCALAR_EVENT && event->data.scalar.plain_implicit &&
	    strcmp((const char *)event->data.scalar.value, "<<") == 0)
		return fail_at(y, event->start_mark, "merge keys (<<) are not supported: write the fields out");
	if (event->type != YAML_SCALAR_EVENT && event->type != YAML_ALIAS_EVENT)
		return fail_at(y, event->start_mark, "a key must be a string");
	if (node(y, event, &key) < 0)
		return -1;
	if (json_is_string(key))
		*ret = xstrdup(json_string_value(key));
	else if (json_is_integer(key))
		*ret = xasprintf("%" JSON_INTEGER_FORMAT, json_integer_value(key));
	else if (json_is_boolean(key))
		*ret = xstrdup(json_is_true(key) ? "true" : "false");
	else
		return fail_at(y, event->start_mark, "a key must be a string, found %s; quote it",
			       jsonx_type_name(key));
	return 0;
}

static int mapping_entry(struct yaml *y, yaml_event_t *first, json_t *object)
{
	_cleanup_(yaml_event_delete) yaml_event_t event = {0};
	_cleanup_free_ char *key = NULL;
	json_t *value = NULL;

	if (mapping_key(y, first, &key) < 0)
		return -1;
	if (json_object_get(object, key))
		return fail_at(y, first->start_mark, "the key `%.*s` appears twice", SHOWN_BYTES, key);
	if (next_event(y, &event) < 0 || node(y, &event, &value) < 0)
		return -1;
	if (json_object_set_new(object, key, value) < 0)
		return fail_at(y, first->start_mark, "a key that is not UTF-8");
	return 0;
}

static int mapping(struct yaml *y, const yaml_event_t *start, json_t **ret)
{
	const yaml_char_t *anchor = start->data.mapping_start.anchor;
	_cleanup_json_ json_t *object = NULL;

	if (check_collection(y, start, start->data.mapping_start.tag, YAML_MAP_TAG) < 0)
		return -1;
	object = jsonx_must(json_object());
	forget_anchor(y, anchor);
	for (;;) {
		_cleanup_(yaml_event_delete) yaml_event_t event = {0};

		if (next_event(y, &event) < 0)
			return -1;
		if (event.type == YAML_MAPPING_END_EVENT)
			break;
		y->depth++;
		if (mapping_entry(y, &event, object) < 0)
			return -1;
		y->depth--;
	}
	remember_anchor(y, anchor, object);
	*ret = TAKE_PTR(object);
	return 0;
}

/* The node that begins with event. Recursion is bounded by check_collection. */
static int node(struct yaml *y, yaml_event_t *event, json_t **ret)
{
	switch (event->type) {
	case YAML_SCALAR_EVENT:
		return scalar(y, event, ret);
	case YAML_ALIAS_EVENT:
		return alias(y, event, ret);
	case YAML_SEQUENCE_START_EVENT:
		return sequence(y, event, ret);
	case YAML_MAPPING_START_EVENT:
		return mapping(y, event, ret);
	default:
		return fail_at(y, event->start_mark, "not valid YAML: a value is missing");
	}
}

static int document(struct yaml *y, json_t *documents)
{
	_cleanup_(yaml_event_delete) yaml_event_t first = {0};
	_cleanup_(yaml_event_delete) yaml_event_t end = {0};
	json_t *value = NULL;

	map_free(y->anchors);
	y->anchors = map_new(anchor_free);
	if (next_event(y, &first) < 0 || node(y, &first, &value) < 0)
		return -1;
	if (json_array_append_new(documents, value) < 0)
		abort();
	return next_event(y, &end);
}

static int stream(struct yaml *y, json_t *documents)
{
	for (;;) {
		_cleanup_(yaml_event_delete) yaml_event_t event = {0};

		if (next_event(y, &event) < 0)
			return -1;
		if (event.type == YAML_STREAM_END_EVENT)
			return 0;
		if (event.type == YAML_DOCUMENT_START_EVENT && document(y, documents) < 0)
			return -1;
	}
}

int jsonx_parse_yaml(const char *text, size_t len, const char *what, json_t **ret, struct err *err)
{
	struct yaml y = {.text = text, .len = len, .what = what, .err = err};
	_cleanup_json_ json_t *documents = NULL;
	int rc;

	if (len > JSONX_YAML_BYTES)
		return err_set(err, ERR_LIMIT, "%s: %zu bytes of YAML, at most %d are read", what, len,
			       JSONX_YAML_BYTES);
	if (!yaml_parser_initialize(&y.parser))
		abort();
	yaml_parser_set_encoding(&y.parser, YAML_UTF8_ENCODING);
	yaml_parser_set_input_string(&y.parser, (const unsigned char *)text, len);
	documents = jsonx_must(json_array());
	rc = stream(&y, documents);
	map_free(y.anchors);
	yaml_parser_delete(&y.parser);
	if (rc == 0)
		*ret = TAKE_PTR(documents);
	return rc;
}
