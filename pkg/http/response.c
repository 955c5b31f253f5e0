/* Releasing responses, turning them into errors, and encoding for URLs. */
#include <ctype.h>

#include "base/utf8.h"
#include "http/http.h"

enum { QUOTE_BYTES = 400 };

void http_response_release(struct http_response *response)
{
	if (!response)
		return;
	strbuf_release(&response->body);
	*response = (struct http_response){.body = response->body};
}

void http_escape(struct strbuf *sb, const char *s)
{
	static const char hex[] = "0123456789ABCDEF";

	for (; *s; s++) {
		unsigned char c = (unsigned char)*s;

		if ((c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || c == '-' ||
		    c == '.' || c == '_' || c == '~') {
			strbuf_addc(sb, (char)c);
		} else {
			char code[3] = {'%', hex[c >> 4], hex[c & 15]};

			strbuf_add(sb, code, sizeof(code));
		}
	}
}

static enum err_kind kind_of(long status)
{
	switch (status) {
	case 401:
	case 403:
		return ERR_DENIED;
	case 404:
	case 410:
		return ERR_NOT_FOUND;
	case 409:
	case 412:
		return ERR_CONFLICT;
	case 413:
		return ERR_LIMIT;
	case 408:
	case 429:
		return ERR_TRANSIENT;
	default:
		if (status >= 500)
			return ERR_TRANSIENT;
		return status >= 300 ? ERR_INVALID : ERR_FATAL;
	}
}

/* The beginning of what a server sent as one line of text, cut between characters. */
static void quote_body(const char *from, size_t len, char *to, size_t size)
{
	size_t at = 0;

	for (size_t i = 0; i < len;) {
		size_t n = utf8_sequence(from + i, len - i);

		if (at + (n ? n : 1) >= size)
			break;
		if (n <= 1) {
			to[at++] = n && isprint((unsigned char)from[i]) ? from[i] : ' ';
			i++;
			continue;
		}
		memcpy(to + at, from + i, n);
		at += n;
		i += n;
	}
	to[at] = '\0';
}

int http_status_err(const struct http_response *response, const char *what, struct err *err)
{
	bool redirects = response->status >= 300 && response->status < 400 && response->location[0];
	char text[QUOTE_BYTES];

	if (redirects) /* a query may contain a secret */
		quote_body(response->location, strcspn(response->location, "?#"), text, sizeof(text));
	else
		quote_body(response->body.data, response->body.len, text, sizeof(text));
	if (redirects)
		(void)err_set(
			err, kind_of(response->status),
			"%s: HTTP status %ld redirects to %s, and redirects are not followed: correct the URL, or "
			"what redirects it",
			what, response->status, text);
	else
		(void)err_set(err, kind_of(response->status), "%s: HTTP status %ld%s%s", what, response->status,
			      text[0] ? ": " : " without a message", text);
	err->code = (int)response->status;
	err->retry_after_ms = response->retry_after_ms;
	return -1;
}
