/* From results and errors to responses: JSON, always. */
#include <string.h>
#include <strings.h>

#include "base/log.h"
#include "bookstore.h"
#include "json/json.h"

static const char application_json[] = "application/json";

void answer_json_take(struct web_response *response, unsigned status, json_t *value)
{
	/* A price of 9.99 does not become 9.9900000000000002. */
	_cleanup_free_ char *text = json_dumps(value, JSON_COMPACT | JSON_ENCODE_ANY | JSON_REAL_PRECISION(15));

	json_decref(value);
	answer_text(response, text ? status : 500, text ? text : "{\"status\":500,\"message\":\"not JSON\"}");
}

void answer_text(struct web_response *response, unsigned status, const char *text)
{
	response->status = status;
	response->content_type = application_json;
	strbuf_adds(&response->body, text);
	strbuf_addc(&response->body, '\n');
}

void answer_error(struct web_response *response, unsigned status, const char *message)
{
	answer_json_take(response, status,
			 json_pack("{s:i, s:o}", "status", (int)status, "message", jsonx_text(message)));
}

void answer_wrong(struct web_response *response, const json_t *errors)
{
	size_t n = json_array_size(errors);
	_cleanup_free_ char *message = xasprintf(n == 1 ? "%zu field is wrong" : "%zu fields are wrong", n);

	answer_json_take(response, 422,
			 json_pack("{s:i, s:s, s:O}", "status", 422, "message", message, "errors", errors));
}

void answer_unavailable(struct web_response *response, const char *message)
{
	_cleanup_free_ char *seconds = xasprintf("%d", BOOKSTORE_RETRY_S);

	web_add_header(response, "Retry-After", seconds);
	answer_error(response, 503, message);
}

void answer_postgres(struct web_response *response, const struct err *err)
{
	log_warn("bookstore", "a statement failed, skipping the request", KV_ERR(err));
	if (strcmp(err->sqlstate, "23505") == 0) {
		answer_error(response, 409, "another book has this ISBN");
	} else if (err->kind == ERR_TRANSIENT || err->kind == ERR_CANCELLED || err->kind == ERR_CONFLICT) {
		answer_unavailable(response, "Postgres does not answer; try again");
	} else {
		answer_error(response, 500, "Postgres refused a statement; the log of the bookstore says why");
	}
}

void answer_changed(struct web_response *response)
{
	_cleanup_free_ char *current = strbuf_detach(&response->body);
	_cleanup_free_ char *text = xasprintf(
		"{\"status\": 409, \"message\": \"it was changed after this version; current is what it is now\", "
		"\"current\": %s}",
		current);

	answer_text(response, 409, text);
}

void answer_refusal(const char *text, struct web_response *response)
{
	answer_error(response, response->status, text);
}

static bool is_json_type(const char *type)
{
	size_t len = strlen(application_json);

	return type && strncasecmp(type, application_json, len) == 0 && (!type[len] || strchr("; ", type[len]));
}

json_t *answer_body(const struct web_request *request, struct web_response *response)
{
	json_t *body = NULL;
	struct err err;

	if (!is_json_type(web_header(request, "Content-Type"))) {
		answer_error(response, 415, "expected a body of type application/json");
		return NULL;
	}
	if (jsonx_parse(request->body, request->body_len, "the body", &body, &err) < 0) {
		answer_error(response, 400, err.msg);
		return NULL;
	}
	if (!json_is_object(body)) {
		_cleanup_json_ json_t *errors = json_array();

		form_wrong(errors, "", "expected an object, found %s", jsonx_type_name(body));
		answer_wrong(response, errors);
		json_decref(body);
		return NULL;
	}
	return body;
}
