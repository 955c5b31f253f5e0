/* Warnings about how credentials and rows travel. */
#include "spec/spec_int.h"

#include <string.h>

#include "base/host.h"

/* True if the connection stays on this machine: a Unix-domain socket, or a loopback address. */
static bool is_local(const char *host)
{
	return host[0] == '/' || host[0] == '@' || host_is_loopback(host, strlen(host));
}

static const char *weakness(enum spec_tls_mode mode)
{
	switch (mode) {
	case SPEC_TLS_DISABLE:
		return "rows travel without TLS";
	case SPEC_TLS_PREFER:
		return "rows travel without TLS if the server, or one that answers in its place, does not offer it";
	case SPEC_TLS_REQUIRE:
		return "any certificate is accepted, so another server could answer in its place";
	case SPEC_TLS_VERIFY_CA:
		return "the certificate's host name is not checked";
	case SPEC_TLS_VERIFY_FULL:
		break;
	}
	return NULL;
}

void spec_warn_about_transport(const struct spec *spec, struct findings *f)
{
	const struct spec_source *source = &spec->source;
	const char *why = weakness(source->tls);

	if (source->host && !is_local(source->host) && why)
		findings_add(f, FINDING_WARNING, REASON_TLS, "spec.source.tls.mode",
			     "%s: %s; VerifyFull with a `caSecretRef` protects them", spec_tls_words[source->tls], why);
	for (size_t i = 0; i < spec->sink.urls.n; i++) {
		const char *url = spec->sink.urls.items[i];
		_cleanup_free_ char *path = xasprintf("spec.sink.urls[%zu]", i);

		if (spec->sink.auth != SPEC_AUTH_NONE && strncmp(url, "http://", 7) == 0 &&
		    !host_of_url_is_loopback(url))
			findings_add(f, FINDING_WARNING, REASON_TLS, path,
				     "the credentials of `sink.authentication` travel without TLS: use https://");
	}
}
