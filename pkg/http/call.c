/* One request: its easy handle, its response, and how its failure is classified. */
#include "http/http_int.h"
#include "http/sign_int.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include "base/clock.h"
#include "base/egress.h"

enum { DEAD_PEER_MS = 60 * 1000, RETRY_AFTER_MAX_S = 24 * 60 * 60 };

const struct http_url *http_call_url(const struct http_call *call)
{
	return &call->target->urls[(call->first_url + call->attempt) % call->target->n_urls];
}

static size_t on_body(char *data, size_t size, size_t count, void *user)
{
	struct http_call *call = user;
	size_t len = size * count;
	long status = 0;

	call->progress_ms = clock_now_ms();
	if (call->cancelled)
		return CURL_WRITEFUNC_ERROR;
	(void)curl_easy_getinfo(call->easy, CURLINFO_RESPONSE_CODE, &status);
	if (call->request.on_data && status < 400) {
		call->http->events++;
		call->stopped = !call->request.on_data(call->request.user, data, len);
		return call->stopped || call->cancelled ? CURL_WRITEFUNC_ERROR : len;
	}
	strbuf_add(&call->response.body, data, len);
	return strbuf_ok(&call->response.body) ? len : CURL_WRITEFUNC_ERROR;
}

static bool is_compression(const char *word, size_t len)
{
	return !(len == strlen("chunked") && strncasecmp(word, "chunked", len) == 0) &&
	       !(len == strlen("identity") && strncasecmp(word, "identity", len) == 0);
}

/* How many compressions a line of the head names. */
static unsigned count_compressions(const char *line, size_t len)
{
	static const char *const names[] = {"Content-Encoding:", "Transfer-Encoding:"};
	static const char between[] = " \t\r\n,";
	unsigned n = 0;

	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		size_t name_len = strlen(names[i]), word_len;
		_cleanup_free_ char *words = NULL;

		if (len < name_len || strncasecmp(line, names[i], name_len) != 0)
			continue;
		words = xstrndup(line + name_len, len - name_len);
		for (const char *word = words + strspn(words, between); *word; word += strspn(word, between)) {
			word_len = strcspn(word, between);
			n += is_compression(word, word_len);
			word += word_len;
		}
	}
	return n;
}

/* Trailers come here as well: libcurl keeps each, and limits only the headers before the body. What is compressed twice
 * may grow a million times without a byte for on_body, and libcurl looks at no deadline meanwhile. */
static size_t on_header(char *data, size_t size, size_t count, void *user)
{
	struct http_call *call = user;

	call->progress_ms = clock_now_ms();
	call->head_bytes += size * count;
	call->compressions += count_compressions(data, size * count);
	return call->head_bytes <= HTTP_HEAD_BYTES && call->compressions <= 1 ? size * count : 0;
}

/* Sockets do not leak into children, and a vanished peer is noticed even while data waits to be acknowledged. */
static curl_socket_t on_open(void *user, curlsocktype purpose, struct curl_sockaddr *address)
{
	struct http_call *call = user;
	unsigned dead_ms = DEAD_PEER_MS;
	int fd;

	UNUSED(purpose);
	if (egress_is_denied(&address->addr)) {
		call->denied = true;
		return CURL_SOCKET_BAD;
	}
	fd = socket(address->family, address->socktype | SOCK_CLOEXEC, address->protocol);
	if (fd < 0)
		return CURL_SOCKET_BAD;
	if (address->family == AF_INET || address->family == AF_INET6)
		(void)setsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &dead_ms, sizeof(dead_ms));
	return fd;
}

/* Gives libcurl the body. It cannot be rewound, so libcurl cannot send it again. */
static size_t on_send(char *to, size_t size, size_t count, void *user)
{
	struct http_call *call = user;
	size_t left = call->request.body_len - call->body_sent;
	size_t n = size * count < left ? size * count : left;

	memcpy(to, (const char *)call->request.body + call->body_sent, n);
	call->body_sent += n;
	return n;
}

static void set_method(struct http_call *call)
{
	const struct http_request *request = &call->request;
	bool post = !strcmp(request->method, "POST");

	if (request->once) {
		call->body_sent = 0;
		(void)curl_easy_setopt(call->easy, CURLOPT_POST, 1L);
		(void)curl_easy_setopt(call->easy, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)request->body_len);
		(void)curl_easy_setopt(call->easy, CURLOPT_READFUNCTION, on_send);
		(void)curl_easy_setopt(call->easy, CURLOPT_READDATA, call);
	} else if (request->body || post || !strcmp(request->method, "PUT") || !strcmp(request->method, "PATCH")) {
		(void)curl_easy_setopt(call->easy, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)request->body_len);
		(void)curl_easy_setopt(call->easy, CURLOPT_POSTFIELDS, request->body ? request->body : "");
	}
	if (!strcmp(request->method, "HEAD"))
		(void)curl_easy_setopt(call->easy, CURLOPT_NOBODY, 1L);
	else if (!post)
		(void)curl_easy_setopt(call->easy, CURLOPT_CUSTOMREQUEST, request->method);
}

static void add_header(struct http_call *call, const char *name, const char *value)
{
	_cleanup_(free_secretp) char *header = xasprintf("%s: %s", name, value);

	call->headers = curl_slist_append(call->headers, header);
}

static void set_headers(struct http_call *call)
{
	const struct http_request *request = &call->request;

	add_header(call, "Accept", request->accept ? request->accept : "application/json");
	if (request->body)
		add_header(call, "Content-Type", request->content_type ? request->content_type : "application/json");
	else /* libcurl would label an empty body as a form. */
		call->headers = curl_slist_append(call->headers, "Content-Type:");
	/* Large bodies are sent at once: no server here refuses a request by its headers, and waiting costs a round
	 * trip. */
	call->headers = curl_slist_append(call->headers, "Expect:");
	/* Do not request compression: it costs more than it saves here. */
	call->headers = curl_slist_append(call->headers, "Accept-Encoding:");
}

/* The Host header of a URL: libcurl leaves the default port out. Caller frees. */
static char *host_of(const struct http_url *url)
{
	bool https = !strncmp(url->name, "https:", strlen("https:"));
	const char *host = strstr(url->name, "://") + strlen("://"), *port = https ? ":443" : ":80";
	size_t len = strcspn(host, "/"), port_len = strlen(port);

	if (len > port_len && !strncmp(host + len - port_len, port, port_len))
		len -= port_len;
	return xstrndup(host, len);
}

/* Where the request goes to. What is signed has its query in the server's order. Caller frees. */
static char *full_url(const struct http_call *call, const struct http_url *url)
{
	const char *path = call->request.path;
	size_t len = strcspn(path, "?");
	_cleanup_free_ char *query = NULL;

	if (call->target->auth != HTTP_AUTH_AWS || !path[len])
		return xasprintf("%s%s", url->base, path);
	query = http_sign_query(path + len + 1);
	return xasprintf("%s%.*s?%s", url->base, (int)len, path, query);
}

static void sign_call(struct http_call *call, const struct http_url *url, const char *full)
{
	const struct http_aws *aws = &call->target->aws;
	_cleanup_free_ char *host = host_of(url);
	const char *path = strchr(strstr(full, "://") + strlen("://"), '/');
	size_t len = strcspn(path, "?");
	_cleanup_free_ char *alone = xstrndup(path, len);
	const struct http_signed request = {.method = call->request.method,
					    .host = host,
					    .path = alone,
					    .query = path[len] ? path + len + 1 : "",
					    .body = call->request.body ?: "",
					    .body_len = call->request.body_len};
	struct http_signature signature;

	http_sign(aws, &request, (time_t)(clock_wall_us() / 1000000), &signature);
	add_header(call, "Host", host);
	add_header(call, "X-Amz-Date", signature.date);
	add_header(call, "X-Amz-Content-Sha256", signature.content_sha256);
	if (aws->session_token)
		add_header(call, "X-Amz-Security-Token", aws->session_token);
	add_header(call, "Authorization", signature.authorization);
	http_signature_release(&signature);
}

static void set_transport(struct http_call *call)
{
	CURL *easy = call->easy;

	(void)curl_easy_setopt(easy, CURLOPT_PRIVATE, call);
	(void)curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, call->errbuf);
	(void)curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
	(void)curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "http,https");
	(void)curl_easy_setopt(easy, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
	/* Decodes what a proxy compresses anyway; set_headers() keeps libcurl from requesting compression. */
	(void)curl_easy_setopt(easy, CURLOPT_ACCEPT_ENCODING, "");
	(void)curl_easy_setopt(easy, CURLOPT_TCP_KEEPALIVE, 1L);
	(void)curl_easy_setopt(easy, CURLOPT_TCP_KEEPIDLE, 30L);
	(void)curl_easy_setopt(easy, CURLOPT_TCP_KEEPINTVL, 15L);
	(void)curl_easy_setopt(easy, CURLOPT_OPENSOCKETFUNCTION, on_open);
	(void)curl_easy_setopt(easy, CURLOPT_OPENSOCKETDATA, call);
	(void)curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, on_body);
	(void)curl_easy_setopt(easy, CURLOPT_WRITEDATA, call);
	(void)curl_easy_setopt(easy, CURLOPT_HEADERFUNCTION, on_header);
	(void)curl_easy_setopt(easy, CURLOPT_HEADERDATA, call);
	(void)curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT_MS, (long)HTTP_CONNECT_TIMEOUT_MS);
	(void)curl_easy_setopt(easy, CURLOPT_FRESH_CONNECT, call->request.fresh_connection ? 1L : 0L);
}

static int set_deadline(struct http_call *call, struct err *err)
{
	char what[HTTP_WHAT_BYTES];
	int64_t left_ms = call->request.timeout_ms - (clock_now_ms() - call->started_ms);

	if (call->request.timeout_ms <= 0)
		return 0;
	if (left_ms <= 0)
		return err_reason(err, ERR_TRANSIENT, REASON_TIMEOUT,
				  "%s: could not connect to any server within %lld ms", http_call_what(call, what),
				  (long long)call->request.timeout_ms);
	(void)curl_easy_setopt(call->easy, CURLOPT_TIMEOUT_MS, (long)left_ms);
	return 0;
}

int http_call_prepare(struct http_call *call, struct err *err)
{
	const struct http_url *url = http_call_url(call);
	size_t max = call->request.max_response ? call->request.max_response : HTTP_DEFAULT_MAX_RESPONSE;
	_cleanup_free_ char *full = full_url(call, url);

	http_response_release(&call->response);
	strbuf_init(&call->response.body, max);
	call->easy = curl_easy_init();
	if (!call->easy)
		return err_set(err, ERR_FATAL, "libcurl could not create a handle");
	call->errbuf[0] = '\0';
	call->denied = false;
	call->head_bytes = 0;
	call->compressions = 0;
	call->progress_ms = clock_now_ms();
	call->uploaded = 0;
	set_transport(call);
	(void)curl_easy_setopt(call->easy, CURLOPT_URL, full);
	/* A document's id may be "..": libcurl would resolve it away. */
	(void)curl_easy_setopt(call->easy, CURLOPT_PATH_AS_IS, 1L);
	set_method(call);
	set_headers(call);
	if (call->target->auth == HTTP_AUTH_AWS)
		sign_call(call, url, full);
	if (url->connect_to) {
		call->connect_to = curl_slist_append(NULL, url->connect_to);
		(void)curl_easy_setopt(call->easy, CURLOPT_CONNECT_TO, call->connect_to);
	}
	if (http_target_apply(call->target, url, call->easy, &call->headers, err) < 0)
		return -1;
	(void)curl_easy_setopt(call->easy, CURLOPT_HTTPHEADER, call->headers);
	return set_deadline(call, err);
}

void http_call_release_easy(struct http_call *call)
{
	curl_easy_cleanup(call->easy);
	call->easy = NULL;
	for (struct curl_slist *item = call->headers; item; item = item->next)
		explicit_bzero(item->data, strlen(item->data));
	curl_slist_free_all(call->headers);
	curl_slist_free_all(call->connect_to);
	call->headers = NULL;
	call->connect_to = NULL;
}

static void copy_header(CURL *easy, const char *name, char *to, size_t size)
{
	struct curl_header *header;

	to[0] = '\0';
	if (curl_easy_header(easy, name, 0, CURLH_HEADER, -1, &header) == CURLHE_OK)
		(void)snprintf(to, size, "%s", header->value);
}

bool http_call_finish(struct http_call *call)
{
	struct http_response *response = &call->response;
	curl_off_t retry_after_s = 0;

	(void)curl_easy_getinfo(call->easy, CURLINFO_RESPONSE_CODE, &response->status);
	(void)curl_easy_getinfo(call->easy, CURLINFO_RETRY_AFTER, &retry_after_s);
	if (retry_after_s > RETRY_AFTER_MAX_S)
		retry_after_s = RETRY_AFTER_MAX_S;
	if (retry_after_s < 0) /* a date that has passed */
		retry_after_s = 0;
	response->retry_after_ms = (int64_t)retry_after_s * 1000;
	copy_header(call->easy, "Content-Type", response->content_type, sizeof(response->content_type));
	copy_header(call->easy, "X-Elastic-Product", response->product, sizeof(response->product));
	copy_header(call->easy, "Location", response->location, sizeof(response->location));
	copy_header(call->easy, "Warning", response->warning, sizeof(response->warning));
	return response->status >= 100 && response->status <= 999;
}

bool http_call_is_unconnected(const struct http_call *call, CURLcode code)
{
	curl_off_t pretransfer_us = 0;

	switch (code) {
	case CURLE_COULDNT_CONNECT:
	case CURLE_COULDNT_RESOLVE_HOST:
	case CURLE_COULDNT_RESOLVE_PROXY:
		return true;
	case CURLE_OPERATION_TIMEDOUT:
	case CURLE_SSL_CONNECT_ERROR:
		(void)curl_easy_getinfo(call->easy, CURLINFO_PRETRANSFER_TIME_T, &pretransfer_us);
		return pretransfer_us == 0;
	default:
		return false;
	}
}

/* --- Errors ----------------------------------------------------------------------------------------------------------
 */
/* A handshake may fail because the connection broke, which is transient, or because the two sides do not agree, which
 * is not. Only the text tells them apart: OpenSSL's own errors begin with "error:". */
static bool is_handshake_refusal(const char *text)
{
	return strstr(text, "error:") && !strstr(text, "unexpected eof");
}

static void classify(const struct http_call *call, CURLcode code, enum err_kind *kind, enum reason *reason)
{
	*kind = ERR_TRANSIENT;
	switch (code) {
	case CURLE_COULDNT_RESOLVE_HOST:
	case CURLE_COULDNT_RESOLVE_PROXY:
		*reason = REASON_DNS;
		break;
	case CURLE_COULDNT_CONNECT:
		*reason = REASON_REFUSED;
		break;
	case CURLE_OPERATION_TIMEDOUT:
		*reason = REASON_TIMEOUT;
		break;
	case CURLE_PEER_FAILED_VERIFICATION:
	case CURLE_SSL_ISSUER_ERROR:
		*kind = ERR_DENIED;
		*reason = REASON_TLS;
		break;
	case CURLE_SSL_CONNECT_ERROR:
		*kind = is_handshake_refusal(call->errbuf) ? ERR_DENIED : ERR_TRANSIENT;
		*reason = *kind == ERR_DENIED ? REASON_TLS : REASON_RESET;
		break;
	case CURLE_SSL_CERTPROBLEM:
	case CURLE_SSL_CACERT_BADFILE:
	case CURLE_SSL_CIPHER:
		*kind = ERR_INVALID;
		*reason = REASON_TLS;
		break;
	case CURLE_URL_MALFORMAT:
	case CURLE_UNSUPPORTED_PROTOCOL:
		*kind = ERR_INVALID;
		*reason = REASON_NONE;
		break;
	case CURLE_OUT_OF_MEMORY:
	case CURLE_FAILED_INIT:
		*kind = ERR_FATAL;
		*reason = REASON_NONE;
		break;
	default:
		*reason = REASON_RESET;
	}
}

/* Explains what libcurl's text does not. */
static const char *hint(const char *text)
{
	if (strstr(text, "wrong version number"))
		return " (the server seems not to use TLS on this port)";
	if (strstr(text, "unable to get local issuer") || strstr(text, "self-signed") || strstr(text, "self signed"))
		return " (unknown issuer: it is not signed by the given certificate authority)";
	if (strstr(text, "has expired"))
		return " (the server's certificate or one above it is expired)";
	return "";
}

const char *http_call_what(const struct http_call *call, char buf[HTTP_WHAT_BYTES])
{
	const char *path = call->request.path;

	(void)snprintf(buf, HTTP_WHAT_BYTES, "%s %s%.*s", call->request.method, http_call_url(call)->name,
		       (int)strcspn(path, "?"), path);
	return buf;
}

/* What happened, in libcurl's words, unless these are about its own functions. */
static const char *failure_text(const struct http_call *call, CURLcode code)
{
	if (code == CURLE_BAD_FUNCTION_ARGUMENT)
		return "the server sent a malformed header";
	return call->errbuf[0] ? call->errbuf : curl_easy_strerror(code);
}

/* libcurl limits each line of a head to 100 KB, and of a trailer to 4 KB. Of a longer one it says that memory is
 * exhausted (of a head until 8.6); what it needs memory for otherwise comes before the answer. */
static bool has_long_line(const struct http_call *call, CURLcode code)
{
	curl_off_t first_byte_us = 0;

#if LIBCURL_VERSION_NUM >= 0x080600
	if (code == CURLE_TOO_LARGE)
		return true;
#endif
	if (code == CURLE_RECV_ERROR && strstr(call->errbuf, "Out of memory in chunked-encoding"))
		return true;
	(void)curl_easy_getinfo(call->easy, CURLINFO_STARTTRANSFER_TIME_T, &first_byte_us);
	return code == CURLE_OUT_OF_MEMORY && first_byte_us > 0;
}

int http_call_error(struct http_call *call, CURLcode code, struct err *err)
{
	const char *text = failure_text(call, code);
	char what[HTTP_WHAT_BYTES];
	enum reason reason = REASON_NONE;
	enum err_kind kind;
	long os_errno = 0;
	char os_text[128] = "";

	if (call->stopped)
		return err_set(err, ERR_CANCELLED, "%s: stopped by the receiver", http_call_what(call, what));
	if (!strbuf_ok(&call->response.body))
		return err_set(err, ERR_LIMIT, "%s: the answer is larger than %zu bytes", http_call_what(call, what),
			       call->response.body.max);
	if (call->head_bytes > HTTP_HEAD_BYTES)
		return err_set(err, ERR_LIMIT, "%s: the answer has more than %d bytes of headers",
			       http_call_what(call, what), HTTP_HEAD_BYTES);
	if (call->compressions > 1)
		return err_set(err, ERR_LIMIT, "%s: the answer is compressed more than once",
			       http_call_what(call, what));
	if (has_long_line(call, code))
		return err_set(err, ERR_LIMIT,
			       "%s: a line of the answer's headers is too long: at most 100 KB, or "
			       "4 KB behind the body",
			       http_call_what(call, what));
	/* A name may have other addresses, which were tried. */
	if (call->denied && code == CURLE_COULDNT_CONNECT)
		return err_reason(err, ERR_DENIED, REASON_EGRESS_DENIED,
				  "%s: the address of this host is one that workers may not connect to",
				  http_call_what(call, what));
	classify(call, code, &kind, &reason);
	(void)curl_easy_getinfo(call->easy, CURLINFO_OS_ERRNO, &os_errno);
	if (code == CURLE_COULDNT_CONNECT && os_errno)
		(void)snprintf(os_text, sizeof(os_text), ": %s", strerror_r((int)os_errno, (char[96]){0}, (size_t)96));
	(void)err_reason(err, kind, reason, "%s: %s%s%s%s", http_call_what(call, what), text, os_text, hint(text),
			 call->target->n_urls > 1 && http_call_is_unconnected(call, code)
				 ? "; could not connect to the other servers either"
				 : "");
	err->code = (int)os_errno;
	return -1;
}
