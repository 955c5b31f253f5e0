/* Helpers that build the parts of a PgSync: variables, numbers, Secrets, and findings about variables. */
#include "import/import_int.h"

#include <stdarg.h>
#include <string.h>

#include "base/parse.h"
#include "base/utf8.h"
#include "json/json.h"

const char *import_get(const struct import_build *b, const char *variable)
{
	return import_env_get(b->options->env, variable);
}

void import_invalid(struct import_build *b, const char *variable, const char *fmt, ...)
{
	_cleanup_free_ char *text = NULL;
	va_list ap;

	va_start(ap, fmt);
	text = xvasprintf(fmt, ap);
	va_end(ap);
	findings_add(b->f, FINDING_ERROR, REASON_INVALID_SETTING, variable, "%s", text);
}

void import_ignored(struct import_build *b, const char *variable, const char *fmt, ...)
{
	_cleanup_free_ char *text = NULL;
	va_list ap;

	va_start(ap, fmt);
	text = xvasprintf(fmt, ap);
	va_end(ap);
	findings_add(b->f, FINDING_WARNING, REASON_IGNORED, variable, "ignored: %s", text);
}

int64_t import_number(struct import_build *b, const char *variable, int64_t min, int64_t max, int64_t otherwise)
{
	const char *text = import_get(b, variable);
	uint64_t value;
	int64_t used;

	if (!text)
		return otherwise;
	if (!parse_u64(text, strlen(text), &value)) {
		/* Kubernetes sets NAME_PORT for each Service of that NAME. */
		import_invalid(b, variable, "must be a number from %lld to %lld%s", (long long)min, (long long)max,
			       strncmp(text, "tcp://", 6) == 0
				       ? "; Kubernetes sets this value for a Service of this name: set "
					 "enableServiceLinks: false in the pod, or rename the Service"
				       : "");
		return otherwise;
	}
	used = value < (uint64_t)min ? min : value > (uint64_t)max ? max : (int64_t)value;
	if ((uint64_t)used != value)
		findings_add(b->f, FINDING_WARNING, REASON_IGNORED, variable,
			     "is %llu; %lld is used, since it must be between %lld and %lld", (unsigned long long)value,
			     (long long)used, (long long)min, (long long)max);
	return used;
}

const char *import_add_secret(struct import_build *b, const char *part, const char *key, const char *value)
{
	_cleanup_free_ char *name = xasprintf("%s-%s", b->name, part);
	json_t *secret = json_object_get(b->secrets, name);

	if (!secret) {
		secret = json_object();
		(void)json_object_set_new(b->secrets, name, secret);
	}
	(void)json_object_set_new(secret, key, jsonx_text(value));
	return json_object_iter_key(json_object_iter_at(b->secrets, name));
}

json_t *import_add_file(struct import_build *b, const char *variable, const char *path, const char *part)
{
	static const char key[] = "ca.crt";
	_cleanup_free_ char *text = NULL;
	struct err err;

	if (b->options->read_file(path, &text, &err) < 0) {
		import_invalid(b, variable, "%s", err.msg);
		return NULL;
	}
	return json_pack("{s:s, s:s}", "name", import_add_secret(b, part, key, text), "key", key);
}

bool import_is_text(const char *s)
{
	size_t len = strlen(s), n;

	for (; len; s += n, len -= n) {
		n = utf8_sequence(s, len);
		if (!n)
			return false;
	}
	return true;
}

char *import_split_login(const char *url, char **ret_user, char **ret_password)
{
	const char *start = strstr(url, "://");
	const char *host = start ? start + 3 : url;
	const char *end = host + strcspn(host, "/?#");
	const char *at = NULL, *colon;
	size_t tail, ignored;

	for (const char *p = host; p < end; p++)
		if (*p == '@')
			at = p;
	if (at) {
		colon = memchr(host, ':', (size_t)(at - host));
		*ret_user = percent_decode(host, colon ? colon : at, &ignored);
		*ret_password = percent_decode(colon ? colon + 1 : at, at, &ignored);
	}
	tail = strlen(end);
	while (tail && end[tail - 1] == '/')
		tail--;
	return xasprintf("%.*s%.*s%.*s", (int)(host - url), url, (int)(end - (at ? at + 1 : host)), at ? at + 1 : host,
			 (int)tail, end);
}

char *import_url_parameter(const char *url, const char *name)
{
	const char *s = strchr(url, '?');
	size_t len = strlen(name), ignored;

	for (; s; s = strchr(s + 1, '&'))
		if (!strncmp(s + 1, name, len) && s[1 + len] == '=')
			return percent_decode(s + len + 2, s + len + 2 + strcspn(s + len + 2, "&#"), &ignored);
	return NULL;
}
