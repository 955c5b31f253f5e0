/* Status objects and HTTP statuses as errors. Their `reason` decides, never the text (Kubernetes API conventions). */
#include "base/strbuf.h"
#include "kube/kube_int.h"
#include "json/json.h"

const char KUBE_RV_TOO_LARGE[] = "ResourceVersionTooLarge";

static const struct {
	const char *reason;
	enum err_kind kind;
	int code; /* used if the answer has none */
} REASONS[] = {
	{"Unauthorized", ERR_DENIED, 401},         {"Forbidden", ERR_DENIED, 403},
	{"NotFound", ERR_NOT_FOUND, 404},          {"AlreadyExists", ERR_CONFLICT, 409},
	{"Conflict", ERR_CONFLICT, 409},           {"Gone", ERR_NOT_FOUND, 410},
	{"Expired", ERR_NOT_FOUND, 410},           {"Invalid", ERR_INVALID, 422},
	{"BadRequest", ERR_INVALID, 400},          {"MethodNotAllowed", ERR_INVALID, 405},
	{"NotAcceptable", ERR_INVALID, 406},       {"UnsupportedMediaType", ERR_INVALID, 415},
	{"RequestEntityTooLarge", ERR_LIMIT, 413}, {"TooManyRequests", ERR_TRANSIENT, 429},
	{"InternalError", ERR_TRANSIENT, 500},     {"ServiceUnavailable", ERR_TRANSIENT, 503},
	{"ServerTimeout", ERR_TRANSIENT, 504},     {"Timeout", ERR_TRANSIENT, 504},
	{"StorageReadError", ERR_TRANSIENT, 500},
};

static bool is_too_large(const json_t *status)
{
	const json_t *cause;
	size_t at;

	json_array_foreach (jsonx_get(status, "details.causes"), at, cause) {
		if (strcmp(jsonx_string(cause, "reason", ""), KUBE_RV_TOO_LARGE) == 0)
			return true;
	}
	return false;
}

int kube_status_object_err(const json_t *status, const char *what, struct err *err)
{
	const char *reason = jsonx_string(status, "reason", "");
	const char *message = jsonx_string(status, "message", "no message");
	int64_t code = jsonx_integer(status, "code", 0);
	int64_t retry_after_s = jsonx_integer(status, "details.retryAfterSeconds", 0);
	struct http_response response = {.status = (long)code};

	for (size_t i = 0; i < ARRAY_SIZE(REASONS); i++) {
		if (strcmp(REASONS[i].reason, reason) != 0)
			continue;
		(void)err_reason(err, REASONS[i].kind, REASONS[i].reason, "%s: %s (%s)", what, message, reason);
		if (code < 400 || REASONS[i].code == 410)
			code = REASONS[i].code;
		goto out;
	}
	/* A reason that we do not know, or none: the code's class decides. */
	if (code < 400)
		response.status = code = 500;
	(void)http_status_err(&response, what, err);
	(void)err_set(err, err->kind, "%s: %s (%s, code %d)", what, message, reason[0] ? reason : "no reason",
		      (int)code);
out:
	err->code = (int)code;
	if (retry_after_s > 0 && retry_after_s < 24 * 60 * 60)
		err->retry_after_ms = retry_after_s * 1000;
	if (is_too_large(status))
		err->reason = KUBE_RV_TOO_LARGE;
	return -1;
}

int kube_status_err(const struct http_response *response, const char *method, const char *path, struct err *err)
{
	_cleanup_free_ char *what = xasprintf("%s %.*s", method, (int)strcspn(path, "?"), path);
	_cleanup_json_ json_t *status = NULL;

	if (response->body.len > 0)
		status = json_loadb(response->body.data, response->body.len, JSON_ALLOW_NUL, NULL);
	if (!status || strcmp(jsonx_string(status, "kind", ""), "Status") != 0)
		return http_status_err(response, what, err);
	if (jsonx_integer(status, "code", 0) < 400)
		(void)json_object_set_new(status, "code", json_integer(response->status));
	(void)kube_status_object_err(status, what, err);
	if (response->retry_after_ms > 0)
		err->retry_after_ms = response->retry_after_ms;
	return -1;
}
