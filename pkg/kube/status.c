/* Status objects and HTTP statuses as errors. Their `reason` decides, never the message (Kubernetes API
 * conventions). */
#include "base/strbuf.h"
#include "kube/kube_int.h"
#include "json/json.h"

static const struct {
	enum reason reason;
	enum err_kind kind;
	int code; /* used if the answer has none */
} statuses[] = {
	{REASON_UNAUTHORIZED, ERR_DENIED, 401},
	{REASON_FORBIDDEN, ERR_DENIED, 403},
	{REASON_NOT_FOUND, ERR_NOT_FOUND, 404},
	{REASON_ALREADY_EXISTS, ERR_CONFLICT, 409},
	{REASON_CONFLICT, ERR_CONFLICT, 409},
	{REASON_GONE, ERR_NOT_FOUND, 410},
	{REASON_EXPIRED, ERR_NOT_FOUND, 410},
	{REASON_INVALID, ERR_INVALID, 422},
	{REASON_BAD_REQUEST, ERR_INVALID, 400},
	{REASON_METHOD_NOT_ALLOWED, ERR_INVALID, 405},
	{REASON_NOT_ACCEPTABLE, ERR_INVALID, 406},
	{REASON_UNSUPPORTED_MEDIA_TYPE, ERR_INVALID, 415},
	{REASON_REQUEST_ENTITY_TOO_LARGE, ERR_LIMIT, 413},
	{REASON_TOO_MANY_REQUESTS, ERR_TRANSIENT, 429},
	{REASON_INTERNAL_ERROR, ERR_TRANSIENT, 500},
	{REASON_SERVICE_UNAVAILABLE, ERR_TRANSIENT, 503},
	{REASON_SERVER_TIMEOUT, ERR_TRANSIENT, 504},
	{REASON_TIMEOUT, ERR_TRANSIENT, 504},
	{REASON_STORAGE_READ_ERROR, ERR_TRANSIENT, 500},
};

static bool is_too_large(const json_t *status)
{
	const json_t *cause;
	size_t at;

	json_array_foreach (jsonx_get(status, "details.causes"), at, cause) {
		enum reason reason;

		if (reason_parse(jsonx_string(cause, "reason", ""), &reason) &&
		    reason == REASON_RESOURCE_VERSION_TOO_LARGE)
			return true;
	}
	return false;
}

int kube_status_object_err(const json_t *status, const char *what, struct err *err)
{
	const char *word = jsonx_string(status, "reason", "");
	enum reason reason = REASON_NONE;
	const char *message = jsonx_string(status, "message", "no message");
	int64_t code = jsonx_integer(status, "code", 0);
	int64_t retry_after_s = jsonx_integer(status, "details.retryAfterSeconds", 0);
	struct http_response response = {.status = (long)code};

	(void)reason_parse(word, &reason);
	for (size_t i = 0; i < ARRAY_SIZE(statuses); i++) {
		if (statuses[i].reason != reason)
			continue;
		(void)err_reason(err, statuses[i].kind, reason, "%s: %s (%s)", what, message, word);
		if (code < 400 || statuses[i].code == 410)
			code = statuses[i].code;
		goto out;
	}
	/* An unknown reason, or none: the class of the code decides. */
	if (code < 400)
		response.status = code = 500;
	(void)http_status_err(&response, what, err);
	(void)err_set(err, err->kind, "%s: %s (%s, code %d)", what, message, word[0] ? word : "no reason", (int)code);
out:
	err->code = (int)code;
	if (retry_after_s > 0 && retry_after_s < 24 * 60 * 60)
		err->retry_after_ms = retry_after_s * 1000;
	if (is_too_large(status))
		err->reason = REASON_RESOURCE_VERSION_TOO_LARGE;
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
