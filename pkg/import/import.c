/* From a schema to resources: one PgSync for each database. */
#include "import/import.h"

#include <stdlib.h>
#include <string.h>

#include "base/host.h"
#include "base/parse.h"
#include "base/strbuf.h"
#include "import/import_int.h"
#include "json/json.h"

enum { NAME_BYTES = 52, HASH_BYTES = 8, MAX_PARALLELISM = 16 };

/* --- one PgSync --- */

/* A name for a PgSync from those of a database and an index. One that is too long ends in a hash instead. Caller
 * frees. */
static char *object_name(const char *database, const char *index)
{
	_cleanup_json_ json_t *key = json_pack("[s, s]", database, index);
	char hash[JSONX_HASH_BYTES];
	struct strbuf sb;

	strbuf_init(&sb, 4 * NAME_BYTES);
	strbuf_addf(&sb, "%.*s-%.*s", NAME_BYTES, database, NAME_BYTES, index);
	for (char *p = sb.data; *p; p++) {
		*p = *p >= 'A' && *p <= 'Z' ? (char)(*p - 'A' + 'a') : *p;
		if (!(*p >= 'a' && *p <= 'z') && !(*p >= '0' && *p <= '9'))
			*p = '-';
	}
	if (sb.len > NAME_BYTES) {
		strbuf_truncate(&sb, NAME_BYTES - HASH_BYTES - 1);
		strbuf_addf(&sb, "-%.*s", HASH_BYTES, strchr(jsonx_hash(key, hash), ':') + 1);
	}
	/* The first and the last character are letters or digits. */
	if (sb.data[0] == '-')
		sb.data[0] = 'x';
	if (sb.data[sb.len - 1] == '-')
		sb.data[sb.len - 1] = 'x';
	return strbuf_detach(&sb);
}

/* In a cluster, "localhost" is another machine. */
static void warn_localhost(struct import_build *b, const json_t *spec)
{
	const char *host = jsonx_string(spec, "source.host", "");
	const char *url = json_string_value(json_array_get(jsonx_get(spec, "sink.urls"), 0));
	const char *redis = jsonx_string(spec, "checkpoint.redis.url", "");
	static const char text[] = "means this machine, but in a cluster it means the operator's own pod; use the "
				   "server's name within the cluster";

	if (host_is_loopback(host, strlen(host)))
		findings_add(b->f, FINDING_WARNING, REASON_LOCALHOST, "spec.source.host", "%s %s", host, text);
	if (host_of_url_is_loopback(url))
		findings_add(b->f, FINDING_WARNING, REASON_LOCALHOST, "spec.sink.urls[0]", "%s %s", url, text);
	if (host_of_url_is_loopback(redis))
		findings_add(b->f, FINDING_WARNING, REASON_LOCALHOST, "spec.checkpoint.redis.url", "%s %s", redis,
			     text);
}

static json_t *build_spec(struct import_build *b, const char *database, json_t *schema_take)
{
	const struct import_env *env = b->options->env;
	json_t *source = import_build_source(b, database);
	json_t *sink = import_build_sink(b);
	json_t *checkpoint = import_build_checkpoint(b);
	json_t *documents = b->options->plain_documents ? NULL
							: json_pack("{s:s, s:s, s:s}", "meta", "Pgsync", "idFormat",
								    "Pgsync", "mapping", "Dynamic");
	json_t *spec = json_pack("{s:o*, s:o, s:o*, s:o, s:o*}", "source", source, "sink", sink, "checkpoint",
				 checkpoint, "schema", schema_take, "documents", documents);

	if (b->options->for_cluster)
		warn_localhost(b, spec);
	if (import_get(b, "NUM_WORKERS"))
		(void)json_object_set_new(
			spec, "bootstrap",
			json_pack("{s:I}", "parallelism",
				  (json_int_t)import_number(b, "NUM_WORKERS", 1, MAX_PARALLELISM, 2)));
	if (import_get(b, "ELASTICSEARCH_RAISE_ON_ERROR"))
		(void)json_object_set_new(spec, "onError",
					  json_pack("{s:s}", "policy",
						    import_env_bool(env, "ELASTICSEARCH_RAISE_ON_ERROR", true, b->f)
							    ? "Stall"
							    : "DeadLetter"));
	return spec;
}

static void build_one(const json_t *documents, const struct import_options *options, struct import_result *ret,
		      struct findings *f)
{
	const json_t *first = json_array_get(documents, ret->positions[0]);
	const char *database = jsonx_string(first, "database", "");
	_cleanup_free_ char *derived = object_name(database, jsonx_string(first, "index", database));
	struct import_build b = {.options = options, .name = options->name ? options->name : derived, .f = f};
	json_t *schema = json_array();

	for (size_t i = 0; i < ret->n_positions; i++)
		(void)json_array_append(schema, json_array_get(documents, ret->positions[i]));
	ret->secrets = b.secrets = json_object();
	ret->resource = json_pack("{s:s, s:s, s:{s:o, s:o*}, s:o}", "apiVersion", "pgsync.io/v1alpha1", "kind",
				  "PgSync", "metadata", "name", jsonx_text(b.name), "namespace",
				  options->namespace ? jsonx_text(options->namespace) : NULL, "spec",
				  build_spec(&b, database, schema));
}

/* --- the schema --- */

static void check_text(void *user, const char *name, const char *value)
{
	if (import_setting_known(name) && !import_is_text(value))
		findings_add(user, FINDING_ERROR, REASON_INVALID_SETTING, name, "is not UTF-8 text");
}

static json_t *expand_document(const json_t *document, const char *path, const struct import_env *env,
			       struct findings *f)
{
	json_t *expanded = json_copy((json_t *)document);
	const char *key;
	json_t *value;

	json_object_foreach ((json_t *)document, key, value) {
		_cleanup_free_ char *text = NULL;
		_cleanup_free_ char *item = xasprintf("%s.%s", path, key);

		if (!json_is_string(value))
			continue;
		text = import_substitute(json_string_value(value), env, item, f);
		if (text)
			(void)json_object_set_new(expanded, key, jsonx_text(text));
		else
			findings_add(f, FINDING_ERROR, REASON_INVALID_SCHEMA, path,
				     "`%.64s` is longer than %d bytes with its variables replaced", key,
				     IMPORT_TEXT_BYTES);
	}
	return expanded;
}

/* The documents with their variables replaced; null for items that are not documents. */
static json_t *read_documents(const json_t *schema, const struct import_options *options, struct findings *f)
{
	json_t *documents = json_array();
	json_t *document;
	size_t i;

	if (!json_is_array(schema) || !json_array_size(schema))
		findings_add(f, FINDING_ERROR, REASON_INVALID_SCHEMA, options->what,
			     "must be an array of documents, [{\"database\": ..., \"index\": ..., \"nodes\": {...}}], "
			     "found %s",
			     json_is_array(schema) ? "an empty one" : jsonx_type_name(schema));
	json_array_foreach (schema, i, document) {
		_cleanup_free_ char *path = xasprintf("%s[%zu]", options->what, i);
		json_t *expanded =
			json_is_object(document) ? expand_document(document, path, options->env, f) : json_null();
		const json_t *database = json_object_get(expanded, "database");
		bool lacks = !database || json_is_null(database) ||
			     (json_is_string(database) && !json_string_length(database));

		if (!json_is_object(document))
			findings_add(f, FINDING_ERROR, REASON_INVALID_SCHEMA, path, "must be an object, found %s",
				     jsonx_type_name(document));
		else if (lacks)
			findings_add(f, FINDING_ERROR, REASON_INVALID_SCHEMA, path,
				     "`database` is required: the database to read, as a string");
		(void)json_array_append_new(documents, expanded);
	}
	return documents;
}

static const char *document_index(const json_t *document)
{
	return jsonx_string(document, "index", jsonx_string(document, "database", ""));
}

/* Whether two documents of one database conflict is checked with the PgSync. */
static void check_index_names(const json_t *documents, const struct import_options *options, struct findings *f)
{
	for (size_t i = 0; i < json_array_size(documents); i++) {
		const json_t *document = json_array_get(documents, i);
		_cleanup_free_ char *path = xasprintf("%s[%zu].index", options->what, i);

		for (size_t j = 0; j < i; j++) {
			const json_t *other = json_array_get(documents, j);

			if (strcmp(document_index(document), document_index(other)) != 0 ||
			    strcmp(jsonx_string(document, "database", ""), jsonx_string(other, "database", "")) == 0)
				continue;
			findings_add(f, FINDING_ERROR, REASON_INVALID_SCHEMA, path,
				     "index \"%s\" is also the index of %s[%zu], a document of another database; every "
				     "document needs its own",
				     document_index(document), options->what, j);
			break;
		}
	}
}

/* The rules of metadata.name. */
static void check_name_option(const char *name, struct findings *f)
{
	size_t len = strlen(name);

	if (!len || len > NAME_BYTES || strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789-.") != len ||
	    strchr("-.", name[0]) || strchr("-.", name[len - 1]))
		findings_add(f, FINDING_ERROR, REASON_INVALID_SETTING, "--name",
			     "must be a name of a-z, 0-9, '-' and '.', of at most %d characters, found \"%s\"",
			     NAME_BYTES, name);
}

/* Different databases and indices can result in the same name, which allows only some characters. */
static void check_result_names(const struct import_result *list, size_t n, const struct import_options *options,
			       struct findings *f)
{
	for (size_t i = 0; i < n; i++) {
		const char *name = jsonx_string(list[i].resource, "metadata.name", "");

		for (size_t j = 0; j < i; j++)
			if (!strcmp(name, jsonx_string(list[j].resource, "metadata.name", "")))
				findings_add(f, FINDING_ERROR, REASON_INVALID_SETTING, options->what,
					     "two databases would become PgSyncs named %s: put each into its own file, "
					     "and use --name",
					     name);
	}
}

/* Groups documents by database. Caller frees with import_results_free. */
static size_t group_documents(const json_t *documents, struct import_result **ret)
{
	size_t all = json_array_size(documents), n = 0;
	struct import_result *list = xcalloc(all, sizeof(*list));

	for (size_t i = 0; i < all; i++) {
		const json_t *document = json_array_get(documents, i);
		const char *database = jsonx_string(document, "database", "");
		size_t at = 0;

		if (!json_is_object(document))
			continue;
		while (at < n && strcmp(database, jsonx_string(json_array_get(documents, list[at].positions[0]),
							       "database", "")) != 0)
			at++;
		if (at == n)
			list[n++].positions = xcalloc(all, sizeof(size_t));
		list[at].positions[list[at].n_positions++] = i;
	}
	*ret = list;
	return n;
}

/* Builds each PgSync of the list. All share the same variables, so problems with these are reported once. */
static void import_all(const json_t *documents, const struct import_options *options, struct import_result *list,
		       size_t n, struct findings *f)
{
	for (size_t i = 0; i < n; i++) {
		struct findings again;

		findings_init(&again);
		build_one(documents, options, &list[i], i ? &again : f);
		findings_release(&again);
	}
	if (options->name)
		check_name_option(options->name, f);
	if (options->name && n > 1)
		findings_add(f, FINDING_ERROR, REASON_INVALID_SETTING, "--name",
			     "names one PgSync, but %s has %zu databases, each of which becomes one", options->what, n);
	else if (!findings_failed(f))
		check_result_names(list, n, options, f);
}

size_t import_schema(const json_t *schema, const struct import_options *options, struct import_result **ret,
		     struct findings *f)
{
	_cleanup_json_ json_t *documents = NULL;
	struct findings found;
	size_t n = 0;

	*ret = NULL;
	findings_init(&found);
	import_env_each(options->env, check_text, &found);
	if (!findings_failed(&found)) {
		documents = read_documents(schema, options, &found);
		check_index_names(documents, options, &found);
		n = group_documents(documents, ret);
		import_all(documents, options, *ret, n, &found);
	}
	findings_move(f, &found);
	findings_release(&found);
	return n;
}

void import_results_free(struct import_result *list, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		json_decref(list[i].resource);
		json_decref(list[i].secrets);
		free(list[i].positions);
	}
	free(list);
}

json_t *import_manifest(const struct import_result *result)
{
	const char *namespace = jsonx_string(result->resource, "metadata.namespace", NULL);
	json_t *all = json_array();
	const char *name;
	json_t *values;

	json_object_foreach (result->secrets, name, values)
		(void)json_array_append_new(all, json_pack("{s:s, s:s, s:{s:s, s:s*}, s:O}", "apiVersion", "v1", "kind",
							   "Secret", "metadata", "name", name, "namespace", namespace,
							   "stringData", values));
	(void)json_array_append(all, result->resource);
	return all;
}

char *import_place(const struct import_result *result, const char *what, const char *text)
{
	static const char prefix[] = "spec.schema[";
	struct strbuf sb;

	strbuf_init_secret(&sb, IMPORT_TEXT_BYTES);
	while (*text) {
		const char *close = strncmp(text, prefix, sizeof(prefix) - 1) ? NULL : strchr(text, ']');
		const char *digits = text + sizeof(prefix) - 1;
		uint64_t i;

		if (close && parse_u64(digits, (size_t)(close - digits), &i) && i < result->n_positions) {
			strbuf_addf(&sb, "%s[%zu]", what, result->positions[i]);
			text = close + 1;
		} else {
			strbuf_addc(&sb, *text++);
		}
	}
	return strbuf_detach(&sb);
}
