/* Reads any bytes as a .env file, then as a schema that uses those variables: both are accepted, or give findings. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/strbuf.h"
#include "import/import.h"
#include "json/json.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int read_file(const char *path, char **ret, struct err *err)
{
	UNUSED(ret);
	return err_set(err, ERR_NOT_FOUND, "%s: there are no files", path);
}

static void make(const struct import_env *env, const char *text, size_t len, struct findings *f)
{
	const struct import_options options = {
		.env = env, .what = "input", .for_cluster = true, .read_file = read_file};
	_cleanup_json_ json_t *schema = NULL;
	struct import_result *list = NULL;
	struct err err;
	size_t n;

	if (jsonx_parse(text, len, "input", &schema, &err) < 0)
		return;
	n = import_schema(schema, &options, &list, f);
	for (size_t i = 0; i < n; i++) {
		_cleanup_json_ json_t *manifest = import_manifest(&list[i]);
		struct strbuf sb;

		strbuf_init(&sb, 1 << 24);
		jsonx_add_yaml(&sb, manifest);
		strbuf_release(&sb);
		free(import_place(&list[i], "input", "spec.schema[0] spec.schema[ spec.schema[99]"));
	}
	import_results_free(list, n);
}

/* The variables end at the first line that begins with '['. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	_cleanup_free_ char *text = xstrndup((const char *)data, size);
	size_t len = strlen(text);
	_cleanup_(import_env_freep) struct import_env *env = import_env_new(NULL);
	char *schema = strstr(text, "\n[");
	struct findings f;

	findings_init(&f);
	if (schema)
		*schema++ = '\0';
	import_env_add_file(env, text, strlen(text), ".env", &f);
	import_env_check(env, true, &f);
	if (schema)
		make(env, schema, len - (size_t)(schema - text), &f);
	findings_release(&f);
	return 0;
}
