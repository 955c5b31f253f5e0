/* From YAML documents to a resolved spec. */
#include <stdlib.h>
#include <string.h>

#include "base/base64.h"
#include "cmd.h"
#include "json/json.h"

enum { FILE_BYTES = 16 * 1024 * 1024 };

void input_release(struct input *input)
{
	json_decref(input->resource);
	jsonx_decref(input->secrets);
	json_decref(input->config_maps);
	spec_free(input->spec);
	*input = (struct input){0};
}

/* The spec gets copies of what it needs. */
static void resolve_input(struct input *input, const char *secret_label, bool secrets_elsewhere, struct findings *f)
{
	const struct spec_objects objects = {.secrets = input->secrets,
					     .config_maps = input->config_maps,
					     .secret_label = secret_label,
					     .secrets_elsewhere = secrets_elsewhere};

	input->slot_name_given = jsonx_get(input->resource, "spec.source.replication.slotName") != NULL;
	spec_resolve(input->spec, &objects, f);
	jsonx_decref(TAKE_PTR(input->secrets));
}

/* Moves the schema into the spec. */
static void take_schema(json_t *resource, const char *text, struct findings *f)
{
	json_t *spec = json_object_get(resource, "spec"), *schema;
	struct err err;

	if (!text || !json_is_object(spec))
		return;
	if (jsonx_parse(text, strlen(text), "spec.schema", &schema, &err) == 0)
		(void)json_object_set_new(spec, "schema", schema);
	else
		findings_add(f, FINDING_ERROR, REASON_INVALID_SCHEMA, NULL, "%s", err.msg);
}

void input_decode_take(struct protocol_assignment *assignment, const char *credentials, struct input *ret,
		       struct findings *f)
{
	json_t *why;
	size_t i;

	*ret = (struct input){.resource = TAKE_PTR(assignment->resource),
			      .secrets = TAKE_PTR(assignment->secrets),
			      .config_maps = TAKE_PTR(assignment->config_maps)};
	json_array_foreach (assignment->denied, i, why)
		findings_add(f, FINDING_ERROR, REASON_CREDENTIALS_NOT_FOUND, NULL, "%s", json_string_value(why));
	take_schema(ret->resource, assignment->schema, f);
	ret->spec = spec_decode_admitted(ret->resource, f);
	spec_refuse_password_from(&ret->spec->source, f);
	if (credentials)
		spec_mount_password(&ret->spec->source, credentials);
	resolve_input(ret, assignment->secret_label, false, f);
	if (assignment->service_names)
		spec_name_services(ret->spec);
}

/* data (base64) and stringData (as it is) of a Secret. */
static json_t *secret_values(const json_t *document, const char *name, struct findings *f)
{
	json_t *values = json_object();
	const char *key;
	json_t *value;

	json_object_foreach (json_object_get(document, "data"), key, value) {
		size_t len;
		char *decoded = json_is_string(value) ? base64_decode(json_string_value(value), &len) : NULL;

		if (decoded)
			(void)json_object_set_new(values, key, json_stringn(decoded, len));
		else
			findings_add(f, FINDING_ERROR, REASON_INVALID_SPEC, NULL,
				     "Secret %s: data.%s is not base64; use stringData for plain text", name, key);
		free_secret(decoded);
	}
	json_object_foreach (json_object_get(document, "stringData"), key, value)
		(void)json_object_set(values, key, value);
	return values;
}

static void take_document(json_t *document, struct input *in, struct findings *f)
{
	const char *kind = jsonx_string(document, "kind", "");
	const char *name = jsonx_string(document, "metadata.name", "");

	if (!strcmp(kind, "Secret")) {
		(void)json_object_set_new(in->secrets, name, secret_values(document, name, f));
	} else if (!strcmp(kind, "ConfigMap")) {
		json_t *data = json_object_get(document, "data");

		(void)json_object_set(in->config_maps, name, data ? data : json_object());
	} else if (!strcmp(kind, "PgSync") && !in->resource) {
		in->resource = json_incref(document);
	} else if (!strcmp(kind, "PgSync")) {
		findings_add(f, FINDING_ERROR, REASON_INVALID_SPEC, NULL,
			     "the file contains more than one PgSync (%s, %s): run one process for each",
			     jsonx_string(in->resource, "metadata.name", ""), name);
	} else if (!json_is_null(document)) {
		findings_add(f, FINDING_WARNING, REASON_IGNORED, NULL, "skipping a document of kind \"%s\"", kind);
	}
}

int input_read(const char *path, bool secrets_elsewhere, struct input *ret, struct findings *f, struct err *err)
{
	_cleanup_(free_secretp) char *text = NULL;
	_cleanup_json_ json_t *documents = NULL;
	struct input in = {0};
	json_t *document;
	size_t i, len;

	if (jsonx_read_file(path, FILE_BYTES, &text, &len, err) < 0 ||
	    jsonx_parse_yaml(text, len, path, &documents, err) < 0)
		return -1;
	in.secrets = json_object();
	in.config_maps = json_object();
	json_array_foreach (documents, i, document)
		take_document(document, &in, f);
	if (!in.resource) {
		input_release(&in);
		return err_set(err, ERR_INVALID, "%s contains no document of kind PgSync", path);
	}
	*ret = in;
	ret->spec = spec_decode(ret->resource, f);
	resolve_input(ret, NULL, secrets_elsewhere, f);
	return 0;
}
