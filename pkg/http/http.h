/* HTTP over libcurl: many requests on one multi handle, TLS and credentials from memory, deadlines and size caps.
 *
 * A struct http is a loop of one thread; nothing here is thread-safe. A struct http_target is a server
 * (or several equivalent ones) with its TLS settings and credentials. Blocking callers use http_do; event-driven ones
 * start calls and run http_poll. Connections are kept alive and reused. Credentials never appear in an error text.
 *
 * HTTP/1.1 without redirects. A proxy from the environment (HTTPS_PROXY, NO_PROXY) is used, but never for a loopback
 * address. The first http_new of a process makes it ignore SIGPIPE, unless that signal has a handler.
 */
#ifndef PGSYNC_HTTP_HTTP_H
#define PGSYNC_HTTP_HTTP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/mem.h"
#include "base/strbuf.h"

struct http;
struct http_target;
struct http_call;
struct curl_waitfd;

/* --- Targets ---------------------------------------------------------------------------------------------------------
 */
enum http_auth { HTTP_AUTH_NONE, HTTP_AUTH_BASIC, HTTP_AUTH_BEARER, HTTP_AUTH_API_KEY, HTTP_AUTH_AWS };

/* Requests are signed (Signature Version 4). */
struct http_aws {
	const char *region, *service; /* "eu-central-1", "es" */
	const char *access_key_id, *secret_access_key;
	const char *session_token; /* of temporary credentials; or NULL */
};

struct http_target_options {
	/* "https://host:port[/prefix]", at least one; all are the same service. A user and password in a URL are taken
	 * as BASIC credentials when auth is NONE. */
	const char *const *urls;
	size_t n_urls;
	enum http_auth auth;
	const char *username, *password; /* BASIC */
	const char *token;      /* BEARER; API_KEY: the encoded form, sent as "Authorization: ApiKey <token>" */
	struct http_aws aws;    /* AWS */
	const char *token_file; /* BEARER: re-read once a minute, and at once after a 401 (in-cluster credentials) */
	const char *ca_pem;     /* NULL: the system's */
	const char *ca_file;    /* used when ca_pem is NULL; re-read every five minutes */
	const char *cert_pem, *key_pem; /* client certificate, or NULL */
	const char *tls_server_name;    /* verify and send this name rather than the URL's host; or NULL */
	bool insecure_skip_verify;
	const char *user_agent;
};

/* Copies everything. Errors: INVALID (a malformed URL, incomplete credentials). A target outlives the calls that use
 * it; several threads, each with its own loop, may share it. */
int http_target_new(const struct http_target_options *options, struct http_target **ret, struct err *err) WARN_UNUSED;
void http_target_free(struct http_target *target);
CLEANUP(struct http_target, http_target_free);
/* The first URL without credentials, for messages. Borrowed. */
const char *http_target_name(const struct http_target *target);

/* --- Requests and responses ------------------------------------------------------------------------------------------
 */
struct http_request {
	const char *method;       /* "GET", ... */
	const char *path;         /* from "/", with query; appended to the target's URL */
	const char *content_type; /* of the body; NULL: application/json */
	const char *accept;       /* NULL: application/json */
	const void *body;         /* borrowed until the call is done */
	size_t body_len;
	int64_t timeout_ms;      /* whole request; 0: none (streams) */
	int64_t idle_timeout_ms; /* a pause of this length ends the request as TRANSIENT; 0: none */
	size_t max_response;     /* bytes; 0: 16 MiB. More is an error of kind LIMIT */
	bool fresh_connection;   /* do not reuse a kept-alive connection, which may be dead */
	/* The body is sent at most once. Without it, libcurl sends a request again when a kept-alive connection breaks
	 * before anything is answered, and the first one may still be carried out, later. */
	bool once;
	/* Streaming: called for each piece as it arrives, and the response's body stays empty (except for status >=
	 * 400, whose body is collected). Return false to end the request (ERR_CANCELLED). */
	bool (*on_data)(void *user, const char *data, size_t len);
	void *user;
};

struct http_response {
	long status;
	struct strbuf body;
	int64_t retry_after_ms; /* of the Retry-After header, else 0 */
	char content_type[64];
	char product[32];   /* X-Elastic-Product, or "" */
	char warning[256];  /* the Warning header, or "" */
	char location[256]; /* of a redirect, which is not followed, or "" */
};

void http_response_release(struct http_response *response);

/* --- The loop --------------------------------------------------------------------------------------------------------
 */
int http_new(struct http **ret, struct err *err) WARN_UNUSED;
/* Cancels the calls in progress; their callbacks are called with ERR_CANCELLED. */
void http_free(struct http *http);
CLEANUP(struct http, http_free);

/* Blocking calls ask this at least once a second; true ends them with ERR_CANCELLED. */
void http_set_cancelled(struct http *http, bool (*cancelled)(void *user), void *user);

/* Sends a request and waits. 0: a response arrived, whatever its status; the caller checks that. Negative: none
 * arrived; TRANSIENT with reason DNS, Refused, Timeout, Reset; DENIED/TLS for a certificate that does not verify (the
 * message says why: unknown issuer, expired, wrong name) and for a handshake that the server refuses; INVALID/TLS for a
 * configured CA or client certificate that cannot be read; LIMIT, CANCELLED. With several URLs, the next is tried if a
 * connection fails; the one that answered is tried first from then on. */
int http_do(struct http *http, struct http_target *target, const struct http_request *request,
	    struct http_response *ret, struct err *err) WARN_UNUSED;

/* Starts a request; it is sent by the next http_poll. done is called exactly once, from http_poll or http_free; err is
 * NULL when an answer arrived. response is valid only during the call. The request struct is copied, but not what it
 * points to. The call is freed when done has returned. done may use the loop freely; on_data may only start and cancel
 * calls. */
typedef void http_done_fn(void *user, const struct http_response *response, const struct err *err);
struct http_call *http_start(struct http *http, struct http_target *target, const struct http_request *request,
			     http_done_fn *done, void *user);
/* Ends a call without calling done. Allowed from any callback; NULL is fine. */
void http_cancel(struct http_call *call);

/* Waits up to timeout_ms for any transfer or one of the caller's descriptors (their revents are set), and runs
 * callbacks. If the wait took longer (the process or the machine was suspended), nothing is sent or received before the
 * next call, so that the caller can check its own deadlines first and cancel. */
int http_poll(struct http *http, struct curl_waitfd *fds, unsigned n_fds, int timeout_ms, struct err *err) WARN_UNUSED;

/* --- Connections for other protocols ---------------------------------------------------------------------------------
 */
struct http_pipe;

struct http_pipe_options {
	const char *name; /* of the server, for messages: "redis://host:port"; copied */
	const char *host; /* a name or an address, in brackets if it is one of IPv6 */
	unsigned port;
	bool tls;
	const char *ca_pem;            /* NULL: the system's */
	int64_t deadline_ms;           /* for everything on this connection, by clock_now_ms */
	bool (*cancelled)(void *user); /* may be NULL; true ends every wait with ERR_CANCELLED */
	void *user;
};

/* Connects, with TLS if asked; never through a proxy. Copies only the name. Errors as of http_do. */
int http_pipe_open(const struct http_pipe_options *options, struct http_pipe **ret, struct err *err) WARN_UNUSED;
void http_pipe_close(struct http_pipe *pipe);
CLEANUP(struct http_pipe, http_pipe_close);
/* Sends all of it. */
int http_pipe_send(struct http_pipe *pipe, const void *data, size_t len, struct err *err) WARN_UNUSED;
/* Waits for some bytes; *ret_len is never 0. The end of the connection is TRANSIENT/Reset. */
int http_pipe_recv(struct http_pipe *pipe, void *buf, size_t size, size_t *ret_len, struct err *err) WARN_UNUSED;

/* Percent-encodes one path segment or query value into sb. */
void http_escape(struct strbuf *sb, const char *s);

/* An error for a response that the caller did not expect: kind by status (401, 403 DENIED; 404, 410 NOT_FOUND; 409, 412
 * CONFLICT; 413 LIMIT; 408, 429 and 5xx TRANSIENT; any other of 300 and more INVALID), code = status, retry_after_ms,
 * and the start of the body, or where it redirects to. Returns -1. */
int http_status_err(const struct http_response *response, const char *what, struct err *err);

#endif
