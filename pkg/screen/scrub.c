/* Taking out of a text what may be a secret, before others read it. */
#include <ctype.h>
#include <string.h>

#include "base/mem.h"
#include "screen/screen.h"
#include "json/json.h"

#define REMOVED "(removed)"
/* Its value is more than one word. */
#define HEADER "authorization"

enum { LEAST_TOKEN = 8, LEAST_JWT = 20 };

/* Names of settings whose values are secret. */
static const char *const secret_names[] = {"password", "passwd",  "passphrase", "pwd",     "token",
					   "secret",   "api_key", "apikey",     "api-key", HEADER};
/* Schemes of the header Authorization. */
static const char *const schemes[] = {"Bearer ", "Basic ", "ApiKey "};

struct scrubber {
	const char *at, *end;
	struct strbuf *out;
};

static bool begins_with(const struct scrubber *s, const char *word)
{
	size_t n = strlen(word);

	return (size_t)(s->end - s->at) >= n && strncasecmp(s->at, word, n) == 0;
}

static size_t span_until(const char *at, const char *end, const char *stops)
{
	size_t n = 0;

	while (at + n < end && !strchr(stops, at[n]))
		n++;
	return n;
}

/* Copies n bytes, and leaves out the next `removed`. */
static void take_out(struct scrubber *s, size_t n, size_t removed)
{
	strbuf_add(s->out, s->at, n);
	strbuf_adds(s->out, REMOVED);
	s->at += n + removed;
}

/* scheme://user:password@host */
static bool scrub_userinfo(struct scrubber *s)
{
	size_t authority;
	const char *host;

	if (!begins_with(s, "://"))
		return false;
	authority = span_until(s->at + 3, s->end, "/?# \t\n\"'<>");
	host = memrchr(s->at + 3, '@', authority);
	if (!host)
		return false;
	take_out(s, 3, (size_t)(host - s->at) - 3);
	return true;
}

/* password=x, "token": "x", --secret x */
static bool scrub_setting(struct scrubber *s)
{
	for (size_t i = 0; i < ARRAY_SIZE(secret_names); i++) {
		size_t n = strlen(secret_names[i]), value;

		if (!begins_with(s, secret_names[i]))
			continue;
		if (s->at + n < s->end && strchr("\"'", s->at[n]))
			n++;
		if (s->at + n >= s->end || !strchr("=:", s->at[n]))
			continue;
		n++;
		while (s->at + n < s->end && s->at[n] == ' ')
			n++;
		if (s->at + n < s->end && strchr("\"'", s->at[n])) {
			char quote[] = {s->at[n++], '\n', '\0'};

			value = span_until(s->at + n, s->end, quote);
		} else {
			value = span_until(s->at + n, s->end,
					   strcmp(secret_names[i], HEADER) == 0 ? "\n\"'" : " \t\n,;&}\"'");
		}
		if (!value)
			continue;
		take_out(s, n, value);
		return true;
	}
	return false;
}

static bool scrub_credentials(struct scrubber *s)
{
	for (size_t i = 0; i < ARRAY_SIZE(schemes); i++) {
		size_t n = strlen(schemes[i]), value;

		if (!begins_with(s, schemes[i]))
			continue;
		value = span_until(s->at + n, s->end, " \t\n,;\"'");
		if (value < LEAST_TOKEN)
			continue;
		take_out(s, n, value);
		return true;
	}
	return false;
}

/* What ServiceAccounts and identity providers give out. */
static bool scrub_jwt(struct scrubber *s)
{
	size_t n = 0;

	if (!begins_with(s, "eyJ"))
		return false;
	while (s->at + n < s->end && (isalnum((unsigned char)s->at[n]) || strchr("-_.", s->at[n])))
		n++;
	if (n < LEAST_JWT)
		return false;
	take_out(s, 0, n);
	return true;
}

void scrub_text(const char *text, size_t len, struct strbuf *out)
{
	struct scrubber s = {.at = text, .end = text + len, .out = out};

	while (s.at < s.end) {
		if (scrub_userinfo(&s) || scrub_credentials(&s) || scrub_jwt(&s) || scrub_setting(&s))
			continue;
		strbuf_addc(out, *s.at++);
	}
}

static bool is_secret_name(const char *key)
{
	for (size_t i = 0; i < ARRAY_SIZE(secret_names); i++)
		if (strcasestr(key, secret_names[i]))
			return true;
	return false;
}

static json_t *scrubbed_string(const json_t *value)
{
	size_t len = json_string_length(value);
	struct strbuf out;
	json_t *scrubbed;

	/* What is left out is replaced by nine bytes, and takes at least one. */
	strbuf_init(&out, len * sizeof(REMOVED) + 1);
	scrub_text(json_string_value(value), len, &out);
	scrubbed = json_stringn(out.data, out.len);
	strbuf_release(&out);
	return scrubbed;
}

json_t *scrub_json(const json_t *value)
{
	json_t *scrubbed;
	const char *key;
	json_t *item;
	size_t i;

	if (json_is_string(value))
		return scrubbed_string(value);
	if (json_is_array(value)) {
		scrubbed = json_array();
		json_array_foreach (value, i, item)
			(void)json_array_append_new(scrubbed, scrub_json(item));
		return scrubbed;
	}
	if (!json_is_object(value))
		return json_deep_copy(value);
	scrubbed = json_object();
	json_object_foreach ((json_t *)value, key, item) {
		bool secret = is_secret_name(key) && json_is_string(item);

		(void)json_object_set_new(scrubbed, key, secret ? json_string(REMOVED) : scrub_json(item));
	}
	return scrubbed;
}
