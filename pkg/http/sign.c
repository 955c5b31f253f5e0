/* Signatures of AWS, version 4. What is signed is put together as the server does it from what it receives: a query in
 * another order, or a path that is encoded once less, is another request. */
#include "http/sign_int.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <openssl/hmac.h>
#include <openssl/sha.h>

#include "base/mem.h"

enum { SIGNED_BYTES = 1 << 20, TIME_BYTES = sizeof("20261203T140000Z"), DATE_LEN = sizeof("20261203") - 1 };

struct digest {
	unsigned char bytes[SHA256_DIGEST_LENGTH];
};

static void add_hex(struct strbuf *sb, const struct digest *d)
{
	for (size_t i = 0; i < sizeof(d->bytes); i++)
		strbuf_addf(sb, "%02x", d->bytes[i]);
}

static struct digest hash(const void *data, size_t len)
{
	struct digest d;

	(void)SHA256(data, len, d.bytes);
	return d;
}

static struct digest hmac(const void *key, size_t key_len, const char *text)
{
	struct digest d;

	(void)HMAC(EVP_sha256(), key, (int)key_len, (const unsigned char *)text, strlen(text), d.bytes, NULL);
	return d;
}

/* keep: characters that stay as they are, beside the unreserved ones of RFC 3986. */
static void add_encoded(struct strbuf *sb, const char *text, size_t len, const char *keep)
{
	static const char unreserved[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~";

	for (size_t i = 0; i < len; i++)
		if (text[i] && (strchr(unreserved, text[i]) || strchr(keep, text[i])))
			strbuf_addc(sb, text[i]);
		else
			strbuf_addf(sb, "%%%02X", (unsigned char)text[i]);
}

static int compare_arguments(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

/* "name=value", encoded; what is encoded already stays. */
static char *new_argument(const char *text, size_t len)
{
	const char *equals = memchr(text, '=', len);
	struct strbuf sb;

	strbuf_init(&sb, SIGNED_BYTES);
	add_encoded(&sb, text, len, "%=");
	if (!equals)
		strbuf_addc(&sb, '=');
	return strbuf_detach(&sb);
}

char *http_sign_query(const char *query)
{
	char **arguments = NULL;
	struct strbuf sb;
	size_t n = 0;

	strbuf_init(&sb, SIGNED_BYTES);
	for (const char *at = query; *at;) {
		size_t len = strcspn(at, "&");

		if (len) {
			arguments = xreallocarray(arguments, n + 1, sizeof(*arguments));
			arguments[n++] = new_argument(at, len);
		}
		at += len + (at[len] == '&');
	}
	if (n)
		qsort(arguments, n, sizeof(*arguments), compare_arguments);
	for (size_t i = 0; i < n; i++) {
		strbuf_addf(&sb, "%s%s", i ? "&" : "", arguments[i]);
		free(arguments[i]);
	}
	free(arguments);
	return strbuf_detach(&sb);
}

/* The key is worth as much as the secret for a day, in this region. */
static struct digest sign(const struct http_aws *login, const char *date, const char *text)
{
	_cleanup_(free_secretp) char *secret = xasprintf("AWS4%s", login->secret_access_key);
	struct digest key = hmac(secret, strlen(secret), date), signature;

	key = hmac(key.bytes, sizeof(key.bytes), login->region);
	key = hmac(key.bytes, sizeof(key.bytes), login->service);
	key = hmac(key.bytes, sizeof(key.bytes), "aws4_request");
	signature = hmac(key.bytes, sizeof(key.bytes), text);
	explicit_bzero(&key, sizeof(key));
	return signature;
}

/* The canonical request. */
static struct digest hash_request(const struct http_signed *r, const struct http_signature *h, const char *signed_names,
				  const char *token)
{
	struct digest digest;
	struct strbuf sb;

	strbuf_init_secret(&sb, SIGNED_BYTES);
	strbuf_addf(&sb, "%s\n", r->method);
	add_encoded(&sb, r->path, strlen(r->path), "/");
	strbuf_addf(&sb, "\n%s\nhost:%s\nx-amz-content-sha256:%s\nx-amz-date:%s\n", r->query, r->host,
		    h->content_sha256, h->date);
	if (token)
		strbuf_addf(&sb, "x-amz-security-token:%s\n", token);
	strbuf_addf(&sb, "\n%s\n%s", signed_names, h->content_sha256);
	digest = hash(sb.data, sb.len);
	strbuf_release(&sb);
	return digest;
}

void http_sign(const struct http_aws *login, const struct http_signed *r, time_t now, struct http_signature *ret)
{
	const char *names = login->session_token ? "host;x-amz-content-sha256;x-amz-date;x-amz-security-token"
						 : "host;x-amz-content-sha256;x-amz-date";
	_cleanup_free_ char *scope = NULL;
	char time[TIME_BYTES] = "", date[DATE_LEN + 1] = "";
	struct digest body = hash(r->body, r->body_len), request, signature;
	struct strbuf sb;
	struct tm tm;

	if (gmtime_r(&now, &tm))
		(void)strftime(time, sizeof(time), "%Y%m%dT%H%M%SZ", &tm);
	memcpy(date, time, DATE_LEN);
	scope = xasprintf("%s/%s/%s/aws4_request", date, login->region, login->service);
	strbuf_init(&sb, SIGNED_BYTES);
	add_hex(&sb, &body);
	*ret = (struct http_signature){.date = xstrdup(time), .content_sha256 = strbuf_detach(&sb)};
	request = hash_request(r, ret, names, login->session_token);

	strbuf_init(&sb, SIGNED_BYTES);
	strbuf_addf(&sb, "AWS4-HMAC-SHA256\n%s\n%s\n", time, scope);
	add_hex(&sb, &request);
	signature = sign(login, date, sb.data);
	strbuf_release(&sb);

	strbuf_init(&sb, SIGNED_BYTES);
	strbuf_addf(&sb, "AWS4-HMAC-SHA256 Credential=%s/%s, SignedHeaders=%s, Signature=", login->access_key_id, scope,
		    names);
	add_hex(&sb, &signature);
	ret->authorization = strbuf_detach(&sb);
}

void http_signature_release(struct http_signature *h)
{
	free(h->date);
	free(h->content_sha256);
	free(h->authorization);
	*h = (struct http_signature){0};
}
