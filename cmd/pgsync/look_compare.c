/* Two documents side by side, and results of a search. */
#include <stdlib.h>
#include <string.h>

#include "base/utf8.h"
#include "look.h"
#include "json/json.h"

static const unsigned statuses[] = {
	[ERR_TRANSIENT] = 503, [ERR_CONFLICT] = 409, [ERR_NOT_FOUND] = 404, [ERR_INVALID] = 422,
	[ERR_DENIED] = 502,    [ERR_LIMIT] = 422,    [ERR_CANCELLED] = 503,
};

unsigned look_status(const struct err *err)
{
	unsigned status = (size_t)err->kind < ARRAY_SIZE(statuses) ? statuses[err->kind] : 0;

	return status ? status : 500;
}

/* --- differences */

struct comparison {
	json_t *differences;
	json_int_t more;
};

static json_t *cut_text(const char *text)
{
	size_t len = strlen(text), kept = utf8_prefix(text, len, LOOK_FIELD_BYTES);
	_cleanup_free_ char *shown = xasprintf("%.*s%s", (int)kept, text, kept < len ? "…" : "");

	return json_string(shown);
}

/* As JSON, cut. NULL if there is none. */
static json_t *shown_value(const json_t *value)
{
	_cleanup_free_ char *text = value ? json_dumps(value, JSON_COMPACT | JSON_ENCODE_ANY | JSON_SORT_KEYS) : NULL;

	return text ? cut_text(text) : NULL;
}

static void note_difference(struct comparison *c, const char *path, const json_t *index, const json_t *postgres)
{
	if (json_array_size(c->differences) >= LOOK_DIFFERENCES) {
		c->more++;
		return;
	}
	(void)json_array_append_new(c->differences, json_pack("{s:s, s:o*, s:o*}", "path", path, "index",
							      shown_value(index), "postgres", shown_value(postgres)));
}

static void compare_values(struct comparison *c, const char *path, const json_t *index, const json_t *postgres);

static void differ_members(struct comparison *c, const char *path, json_t *index, json_t *postgres)
{
	const char *key;
	json_t *value;

	json_object_foreach (index, key, value) {
		_cleanup_free_ char *below = jsonx_path(path, key);

		compare_values(c, below, value, json_object_get(postgres, key));
	}
	json_object_foreach (postgres, key, value) {
		_cleanup_free_ char *below = jsonx_path(path, key);

		if (!json_object_get(index, key))
			compare_values(c, below, NULL, value);
	}
}

static void differ_items(struct comparison *c, const char *path, const json_t *index, const json_t *postgres)
{
	size_t a = json_array_size(index), b = json_array_size(postgres);

	for (size_t i = 0; i < a || i < b; i++) {
		_cleanup_free_ char *below = xasprintf("%s[%zu]", path, i);

		compare_values(c, below, json_array_get(index, i), json_array_get(postgres, i));
	}
}

static void compare_values(struct comparison *c, const char *path, const json_t *index, const json_t *postgres)
{
	if (index && postgres && json_equal(index, postgres))
		return;
	if (json_is_object(index) && json_is_object(postgres))
		differ_members(c, path, (json_t *)index, (json_t *)postgres);
	else if (json_is_array(index) && json_is_array(postgres))
		differ_items(c, path, index, postgres);
	else
		note_difference(c, path, index, postgres);
}

json_t *look_compare(const json_t *index, const json_t *postgres)
{
	struct comparison c = {.differences = json_array()};
	bool equal;

	if (index || postgres)
		compare_values(&c, "", index, postgres);
	equal = json_array_size(c.differences) == 0;
	return json_pack("{s:b, s:o, s:I}", "equal", equal, "differences", c.differences, "more", c.more);
}

/* --- searching */

json_t *look_query(const char *typed, size_t from, size_t size)
{
	json_t *query = *typed ? json_pack("{s:{s:o, s:s, s:b}}", "simple_query_string", "query", jsonx_text(typed),
					   "default_operator", "and", "lenient", true)
			       : json_pack("{s:{}}", "match_all");

	/* Objects and lists of them are left out, since they may be large. */
	return json_pack("{s:o, s:I, s:I, s:b, s:s, s:{s:[s]}}", "query", query, "from", (json_int_t)from, "size",
			 (json_int_t)size, "version", true, "timeout", "5s", "_source", "excludes", "*.*");
}

json_t *look_hit(const json_t *hit)
{
	json_t *fields = json_object(), *value;
	const char *key;

	json_object_foreach (json_object_get(hit, "_source"), key, value) {
		if (json_object_size(fields) == LOOK_FIELDS)
			break;
		if (json_is_string(value))
			(void)json_object_set_new(fields, key, cut_text(json_string_value(value)));
		else if (!json_is_object(value) && !json_is_array(value))
			(void)json_object_set(fields, key, value);
	}
	return json_pack("{s:s, s:O*, s:o}", "id", jsonx_string(hit, "_id", ""), "score",
			 json_object_get(hit, "_score"), "fields", fields);
}
