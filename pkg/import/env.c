/* Variables, and the meaning of their values. */
#include "import/import_int.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

static void value_free(void *value)
{
	free_secret(value);
}

struct map *import_values_new(void)
{
	return map_new(value_free);
}

struct import_env *import_env_new(char *const *variables)
{
	struct import_env *env = xcalloc(1, sizeof(*env));

	env->values = import_values_new();
	for (; variables && *variables; variables++) {
		const char *equals = strchr(*variables, '=');

		if (equals && equals > *variables)
			map_put(env->values, *variables, (size_t)(equals - *variables), xstrdup(equals + 1));
	}
	return env;
}

void import_env_free(struct import_env *env)
{
	if (!env)
		return;
	map_free(env->values);
	free(env);
}

void import_env_override(struct import_env *env, const char *name, const char *value)
{
	map_puts(env->values, name, xstrdup(value));
}

const char *import_env_value(const struct import_env *env, const char *name)
{
	return map_gets(env->values, name);
}

const char *import_env_get(const struct import_env *env, const char *name)
{
	const char *value = import_env_value(env, name);

	return value && *value ? value : NULL;
}

static bool is_one_of(const char *value, const char *const *words)
{
	for (; *words; words++)
		if (!strcasecmp(value, *words))
			return true;
	return false;
}

bool import_env_bool(const struct import_env *env, const char *name, bool otherwise, struct findings *f)
{
	static const char *const yes[] = {"true", "t", "yes", "y", "on", "1", NULL};
	static const char *const no[] = {"false", "f", "no", "n", "off", "0", NULL};
	const char *value = import_env_get(env, name);

	if (!value)
		return otherwise;
	if (is_one_of(value, yes))
		return true;
	if (is_one_of(value, no))
		return false;
	if (f)
		findings_add(f, FINDING_ERROR, REASON_INVALID_SETTING, name, "must be true or false, found \"%.64s\"",
			     value);
	return otherwise;
}

struct each {
	void (*fn)(void *user, const char *name, const char *value);
	void *user;
};

static bool call_if_set(void *user, const char *key, size_t len, void *value)
{
	const struct each *each = user;

	UNUSED(len);
	if (*(const char *)value)
		each->fn(each->user, key, value);
	return true;
}

void import_env_each(const struct import_env *env, void (*fn)(void *user, const char *name, const char *value),
		     void *user)
{
	struct each each = {.fn = fn, .user = user};

	map_each(env->values, call_if_set, &each);
}
