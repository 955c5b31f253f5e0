/* Shared between the files of this package only: targets, loops and calls. A loop and its calls belong to one thread.
 */
#ifndef PGSYNC_HTTP_HTTP_INT_H
#define PGSYNC_HTTP_HTTP_INT_H

#include <pthread.h>

#include <curl/curl.h>

#include "http/http.h"

enum {
	HTTP_CONNECT_TIMEOUT_MS = 10 * 1000,
	HTTP_DEFAULT_MAX_RESPONSE = 16 * 1024 * 1024,
	HTTP_TOKEN_AGE_MS = 60 * 1000,
	HTTP_CA_AGE_MS = 5 * 60 * 1000,
	HTTP_TOKEN_BYTES = 64 * 1024,
	HTTP_CA_BYTES = 4 * 1024 * 1024,
	HTTP_WHAT_BYTES = 384,
	HTTP_HEAD_BYTES = 256 * 1024, /* of an answer: its headers and trailers */
};

/* One server of a target. */
struct http_url {
	char *name;        /* scheme://host:port[/prefix]: for messages, and for the Host header's part */
	char *base;        /* what requests are sent to: name, or with the TLS server name in place of the host */
	char *connect_to;  /* with a TLS server name: "<that name>:port:host:port"; or NULL */
	char *host_header; /* with a TLS server name: "Host: host:port"; or NULL */
	bool loopback;
};

/* A file that is read again after a while. The last content stays in use while the file cannot be read. */
struct http_file {
	char *path;
	char *text;
	int64_t read_ms; /* 0: read it before the next use */
};

/* Immutable after creation, except the fields below `lock`; several threads, each with its own loop, may share a
 * target. */
struct http_target {
	struct http_url *urls;
	size_t n_urls;
	enum http_auth auth;
	char *username, *password, *token;
	struct http_aws aws; /* owned */
	char *ca_pem, *cert_pem, *key_pem;
	bool insecure_skip_verify;
	char *user_agent;

	pthread_mutex_t lock;
	size_t preferred; /* the last URL that could be connected to */
	struct http_file token_file, ca_file;
};

/* Puts the target's TLS settings and credentials into an easy handle; headers gets what has to be sent. */
int http_target_apply(struct http_target *target, const struct http_url *url, CURL *easy, struct curl_slist **headers,
		      struct err *err) WARN_UNUSED;
size_t http_target_preferred(struct http_target *target);
void http_target_prefer(struct http_target *target, size_t index);
/* After a 401: the token is read again before the next request. */
void http_target_refused(struct http_target *target);

struct http_call {
	struct http_call *next, *prev;
	struct http *http;
	struct http_target *target;
	struct http_request request;
	http_done_fn *done;
	void *user;

	CURL *easy; /* NULL: not given to libcurl */
	struct curl_slist *headers, *connect_to;
	bool failed;    /* could not be started; `failure` is delivered by the next poll */
	bool cancelled; /* ended while libcurl was running a callback of ours; reaped afterwards */
	bool delivered;
	bool stopped; /* on_data returned false */
	bool denied;  /* the server has an address that this process may not connect to */
	size_t first_url, attempt;
	int64_t started_ms, progress_ms;
	curl_off_t uploaded;
	size_t head_bytes;     /* received */
	unsigned compressions; /* of the answer, by its headers */
	size_t body_sent;      /* for a request that is sent once: how many bytes libcurl has read */
	struct http_response response;
	struct err failure;
	char errbuf[CURL_ERROR_SIZE];
};

struct http {
	CURLM *multi;
	struct http_call *calls;
	bool in_callback; /* libcurl is running: calls may not be added or removed */
	unsigned events;  /* callbacks run since the poll began */
	bool (*cancelled)(void *user);
	void *cancelled_user;
};

/* Before the first use of libcurl. */
void http_init_library(void);

/* Prepares the easy handle of the call's next attempt. */
int http_call_prepare(struct http_call *call, struct err *err) WARN_UNUSED;
void http_call_release_easy(struct http_call *call);
const struct http_url *http_call_url(const struct http_call *call);
/* "GET https://host:port/path" for messages, without the query. Returns buf. */
const char *http_call_what(const struct http_call *call, char buf[HTTP_WHAT_BYTES]);
/* True if the server was never reached, so that another one may be tried. */
bool http_call_is_unconnected(const struct http_call *call, CURLcode code);
/* Fills in the parts of the response that libcurl knows at the end. False if its status does not have three digits,
 * which libcurl lets pass in an answer in HTTP/2. */
bool http_call_finish(struct http_call *call) WARN_UNUSED;
/* Returns -1. */
int http_call_error(struct http_call *call, CURLcode code, struct err *err);

#endif
