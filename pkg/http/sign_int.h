/* Signatures of AWS, version 4 ("Create a signed AWS API request" in the reference of AWS IAM). libcurl's own
 * (CURLOPT_AWS_SIGV4) neither sorts the query nor encodes the path twice, as all services but S3 expect. Pure. */
#ifndef PGSYNC_HTTP_SIGN_INT_H
#define PGSYNC_HTTP_SIGN_INT_H

#include <stddef.h>
#include <time.h>

#include "http/http.h"

/* Borrowed. */
struct http_signed {
	const char *method;
	const char *host;  /* as the Host header has it */
	const char *path;  /* as it is sent, without the query */
	const char *query; /* of http_sign_query */
	const void *body;
	size_t body_len;
};

/* The values of headers that go with a request: X-Amz-Date, X-Amz-Content-Sha256 and Authorization; and, if the login
 * has one, its session token as X-Amz-Security-Token. */
struct http_signature {
	char *date, *content_sha256, *authorization;
};

/* A query as it is signed, and so has to be sent: sorted and encoded. Caller frees. */
char *http_sign_query(const char *query);
/* Caller releases. The time may be five minutes off. */
void http_sign(const struct http_aws *login, const struct http_signed *request, time_t now, struct http_signature *ret);
void http_signature_release(struct http_signature *signature);

#endif
