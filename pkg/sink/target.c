/* From a spec to a target of requests. */
#include "sink/target.h"

#include "http/http.h"

int sink_target(const struct spec_sink *sink, struct http_target **ret, struct err *err)
{
	static const enum http_auth auths[] = {[SPEC_AUTH_NONE] = HTTP_AUTH_NONE,
					       [SPEC_AUTH_BASIC] = HTTP_AUTH_BASIC,
					       [SPEC_AUTH_API_KEY] = HTTP_AUTH_API_KEY,
					       [SPEC_AUTH_BEARER] = HTTP_AUTH_BEARER,
					       [SPEC_AUTH_AWS] = HTTP_AUTH_AWS};
	struct http_target_options options = {
		.urls = (const char *const *)sink->urls.items,
		.n_urls = sink->urls.n,
		.auth = auths[sink->auth],
		.username = sink->username,
		.password = sink->password,
		.token = sink->auth == SPEC_AUTH_API_KEY ? sink->api_key : sink->token,
		.aws = {.region = sink->aws_region,
			.service = "es",
			.access_key_id = sink->username,
			.secret_access_key = sink->password,
			.session_token = sink->token},
		.ca_pem = sink->ca.value,
		.insecure_skip_verify = sink->insecure_skip_verify,
		.user_agent = "pgsync/" PGSYNC_VERSION,
	};

	return http_target_new(&options, ret, err);
}
