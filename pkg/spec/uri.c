/* Connection URIs, in the form that applications use. */
#include "spec/spec_int.h"

#include <stdlib.h>
#include <string.h>

#include "base/parse.h"

void spec_connection_release(struct spec_connection *c)
{
	free(c->host);
	free(c->port);
	free(c->database);
	free(c->user);
	free_secret(c->password);
	free(c->sslmode);
}

/* NULL if the part is empty, or contains a NUL. */
static char *uri_part(const char *s, const char *end)
{
	_cleanup_(free_secretp) char *decoded = NULL;
	size_t len;

	if (s >= end)
		return NULL;
	decoded = percent_decode(s, end, &len);
	return strlen(decoded) == len ? TAKE_PTR(decoded) : NULL;
}

static const char *find_char(const char *s, const char *end, char c)
{
	const char *found = memchr(s, c, (size_t)(end - s));

	return found ? found : end;
}

static void parse_uri_query(const char *s, const char *end, struct spec_connection *c)
{
	while (s < end) {
		const char *next = find_char(s, end, '&');
		const char *equals = find_char(s, next, '=');

		if (equals < next && equals - s == 7 && memcmp(s, "sslmode", 7) == 0 && !c->sslmode)
			c->sslmode = uri_part(equals + 1, next);
		s = next < end ? next + 1 : end;
	}
}

/* The @ after user and password, or NULL. A password may contain /, ? and # although they should be escaped: then what
 * follows the first colon is not a port. */
static const char *find_userinfo_end(const char *s, const char *end)
{
	const char *authority = s + strcspn(s, "/?");
	const char *at = find_char(s, authority, '@');
	const char *colon = find_char(s, authority, ':');

	if (at < authority)
		return at;
	if (*s == '[' || colon == authority || colon + 1 + strspn(colon + 1, "0123456789") == authority)
		return NULL;
	at = find_char(colon, end, '@');
	return at < end ? at : NULL;
}

bool spec_connection_parse(const char *uri, struct spec_connection *c)
{
	const char *end = uri + strlen(uri);
	const char *s, *query, *slash, *at, *colon;

	if (strncmp(uri, "postgres://", 11) == 0)
		s = uri + 11;
	else if (strncmp(uri, "postgresql://", 13) == 0)
		s = uri + 13;
	else
		return false;
	at = find_userinfo_end(s, end);
	if (at) {
		colon = find_char(s, at, ':');
		c->user = uri_part(s, colon);
		c->password = uri_part(colon < at ? colon + 1 : at, at);
		s = at + 1;
	}
	query = find_char(s, end, '?');
	parse_uri_query(query < end ? query + 1 : end, end, c);
	slash = find_char(s, query, '/');
	c->database = uri_part(slash < query ? slash + 1 : query, query);
	if (s < slash && *s == '[') {
		const char *bracket = find_char(s, slash, ']');

		c->host = uri_part(s + 1, bracket);
		colon = bracket < slash ? bracket + 1 : slash;
	} else {
		colon = find_char(s, slash, ':');
		c->host = uri_part(s, colon);
	}
	c->port = uri_part(colon < slash ? colon + 1 : slash, slash);
	return c->host && !strchr(c->host, ',');
}
