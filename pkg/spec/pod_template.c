/* spec.worker.podTemplate: what a pod gets from it is copied by the operator, so only its bounds are checked here. */
#include <string.h>

#include "spec/spec_int.h"

enum { NAME_MOST = 253, KEY_MOST = 317, VALUE_MOST = 63, SELECTORS = 32, TOLERATIONS = 16, ITEMS = 8, SKEW = 1000 };

struct pod_field {
	const char *name;
	int64_t least, most;      /* of a number, or of the bytes of a text */
	const char *const *words; /* of a text; NULL: any */
	bool number, required;
};

static const char *const operators[] = {"Exists", "Equal", NULL};
static const char *const effects[] = {"NoSchedule", "PreferNoSchedule", "NoExecute", NULL};
static const char *const unsatisfiable[] = {"DoNotSchedule", "ScheduleAnyway", NULL};

static const struct pod_field toleration[] = {
	{.name = "key", .most = KEY_MOST},
	{.name = "operator", .most = NAME_MOST, .words = operators},
	{.name = "value", .most = VALUE_MOST},
	{.name = "effect", .most = NAME_MOST, .words = effects},
	{.name = "tolerationSeconds", .most = INT32_MAX, .number = true},
	{0},
};

static const struct pod_field constraint[] = {
	{.name = "maxSkew", .least = 1, .most = SKEW, .number = true, .required = true},
	{.name = "topologyKey", .least = 1, .most = KEY_MOST, .required = true},
	{.name = "whenUnsatisfiable", .most = NAME_MOST, .words = unsatisfiable, .required = true},
	{0},
};

static const struct pod_field pull_secret[] = {
	{.name = "name", .least = 1, .most = NAME_MOST, .required = true},
	{0},
};

static bool is_good(const json_t *value, const struct pod_field *field)
{
	const char *text = json_string_value(value);
	int64_t amount = field->number ? json_integer_value(value) : (int64_t)json_string_length(value);

	if (!value)
		return !field->required;
	if ((field->number ? !json_is_integer(value) : !text) || amount < field->least || amount > field->most)
		return false;
	for (const char *const *word = field->words; word && *word; word++)
		if (strcmp(text, *word) == 0)
			return true;
	return !field->words;
}

static void check_item(const json_t *item, const struct pod_field *fields, const char *path, struct findings *f)
{
	for (const struct pod_field *field = fields; field->name; field++) {
		_cleanup_free_ char *at = jsonx_path(path, field->name);

		if (is_good(json_object_get(item, field->name), field))
			continue;
		if (field->words)
			findings_add(f, FINDING_ERROR, REASON_INVALID_SPEC, at,
				     "must be one of Kubernetes' words for it");
		else
			findings_add(f, FINDING_ERROR, REASON_INVALID_SPEC, at, "must be a %s %lld to %lld",
				     field->number ? "number from" : "text whose length is", (long long)field->least,
				     (long long)field->most);
	}
}

static void check_list(const json_t *list, const struct pod_field *fields, size_t most, const char *path,
		       struct findings *f)
{
	json_t *item;
	size_t i;

	if (!json_is_array(list) || json_array_size(list) > most) {
		findings_add(f, FINDING_ERROR, REASON_INVALID_SPEC, path, "must be a list of at most %zu items", most);
		return;
	}
	json_array_foreach (list, i, item) {
		_cleanup_free_ char *at = xasprintf("%s[%zu]", path, i);

		if (json_is_object(item))
			check_item(item, fields, at, f);
		else
			findings_add(f, FINDING_ERROR, REASON_INVALID_SPEC, at, "must be an object");
	}
}

static void check_node_selector(const json_t *value, void *out, const char *path, struct findings *f)
{
	bool good = json_is_object(value) && json_object_size(value) <= SELECTORS;
	const char *key;
	json_t *label;

	UNUSED(out);
	json_object_foreach ((json_t *)value, key, label)
		good = good && json_is_string(label) && json_string_length(label) <= VALUE_MOST;
	if (!good)
		findings_add(f, FINDING_ERROR, REASON_INVALID_SPEC, path,
			     "must be an object of at most %d labels, each a text of at most %d bytes", SELECTORS,
			     VALUE_MOST);
}

static void check_tolerations(const json_t *value, void *out, const char *path, struct findings *f)
{
	UNUSED(out);
	check_list(value, toleration, TOLERATIONS, path, f);
}

static void check_priority_class(const json_t *value, void *out, const char *path, struct findings *f)
{
	static const struct pod_field name = {.least = 1, .most = NAME_MOST};

	UNUSED(out);
	if (!is_good(value, &name))
		findings_add(f, FINDING_ERROR, REASON_INVALID_SPEC, path, "must be a text of 1 to %d bytes", NAME_MOST);
}

static void check_constraints(const json_t *value, void *out, const char *path, struct findings *f)
{
	UNUSED(out);
	check_list(value, constraint, ITEMS, path, f);
}

static void check_pull_secrets(const json_t *value, void *out, const char *path, struct findings *f)
{
	UNUSED(out);
	check_list(value, pull_secret, ITEMS, path, f);
}

const struct jsonx_field spec_pod_template_fields[] = {
	{.name = "nodeSelector", .type = JSONX_CUSTOM, .decode = check_node_selector},
	{.name = "tolerations", .type = JSONX_CUSTOM, .decode = check_tolerations},
	{.name = "priorityClassName", .type = JSONX_CUSTOM, .decode = check_priority_class},
	{.name = "topologySpreadConstraints", .type = JSONX_CUSTOM, .decode = check_constraints},
	{.name = "imagePullSecrets", .type = JSONX_CUSTOM, .decode = check_pull_secrets},
	{0},
};
