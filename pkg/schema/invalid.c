/* Which keys of a node are invalid, so that their consequences are not reported as well. */
#include "schema/schema_int.h"

#include <string.h>

static void add_invalid_key(struct schema_node *node, const char *key)
{
	node->invalid_keys.items = xreallocarray(node->invalid_keys.items, node->invalid_keys.n + 1, sizeof(char *));
	node->invalid_keys.items[node->invalid_keys.n++] = xstrdup(key);
}

void schema_note_meant(struct schema_node *node, const json_t *object, const struct jsonx_field *fields,
		       const char *prefix)
{
	const char *meant[JSONX_MEANT];
	size_t n = jsonx_meant(object, fields, meant);

	for (size_t i = 0; i < n; i++) {
		_cleanup_free_ char *invalid = xasprintf("%s%s", prefix, meant[i]);

		add_invalid_key(node, invalid);
	}
}

bool schema_key_is_unsure(const struct schema_node *node, const char *key, const struct findings *f)
{
	_cleanup_free_ char *path = xasprintf("%s.%s", node->path, key);

	return schema_key_is_invalid(node, key) || findings_any_about(f, path);
}

/* "children[2].label": belongs to a child, which records its own keys. */
static bool is_of_child(const char *rest)
{
	const char *close = strncmp(rest, "children[", strlen("children[")) == 0 ? strchr(rest, ']') : NULL;

	return close && close[1];
}

void schema_note_invalid_keys(struct schema_node *node, const struct findings *f)
{
	size_t len = strlen(node->path);

	for (size_t i = 0; i < f->n; i++) {
		const struct finding *item = &f->items[i];

		if (item->severity != FINDING_ERROR || strncmp(item->path, node->path, len) != 0)
			continue;
		if (!item->path[len])
			add_invalid_key(node, "");
		else if (item->path[len] == '.' && !is_of_child(item->path + len + 1))
			add_invalid_key(node, item->path + len + 1);
	}
	for (size_t i = 0; i < node->n_children; i++)
		schema_note_invalid_keys(node->children[i], f);
}

bool schema_key_is_invalid(const struct schema_node *node, const char *key)
{
	for (size_t i = 0; i < node->invalid_keys.n; i++)
		if (finding_path_is_within(key, node->invalid_keys.items[i]) ||
		    finding_path_is_within(node->invalid_keys.items[i], key))
			return true;
	return false;
}
