/* Any bytes as a .env file: variables of bounded size, or findings that say where. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "import/import_int.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { VALUE_BYTES = 64 * 1024 };

static void check_variable(void *user, const char *name, const char *value)
{
	const struct import_env *env = user;

	if (!*name || strlen(value) > VALUE_BYTES || import_env_get(env, name) != value)
		abort();
	(void)import_env_bool(env, name, true, NULL);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static char home[] = "HOME=/root", host[] = "PG_HOST=db";
	_cleanup_(import_env_freep) struct import_env *env = import_env_new((char *const[]){home, host, NULL});
	_cleanup_free_ char *text = xstrndup((const char *)data, size);
	struct findings f;

	findings_init(&f);
	import_env_add_file(env, text, strlen(text), ".env", &f);
	/* What was set before takes precedence. */
	if (strcmp(import_env_get(env, "PG_HOST"), "db") != 0)
		abort();
	import_env_each(env, check_variable, env);
	import_env_check(env, false, &f);
	for (size_t i = 0; i < f.n; i++)
		if (!f.items[i].path[0] || !f.items[i].message[0])
			abort();
	findings_release(&f);
	return 0;
}
