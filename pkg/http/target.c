/* Targets: URLs are parsed once, credentials and certificates kept in memory, and files read again after a while. */
#include "http/http_int.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include <openssl/ssl.h>

#include "base/clock.h"
#include "base/host.h"

/* --- URLs ------------------------------------------------------------------------------------------------------------
 */
/* The text of a part, or NULL when there is none; freed with curl_free. */
static char *url_part(CURLU *u, CURLUPart part, unsigned flags)
{
	char *text = NULL;

	return curl_url_get(u, part, &text, flags) == CURLUE_OK ? text : NULL;
}

static void free_curl(char **text)
{
	curl_free(*text);
}
#define _cleanup_curl_ _cleanup_(free_curl)

/* User and password inside a URL count as Basic credentials when the options name none. */
static void take_credentials(struct http_target *target, CURLU *u)
{
	_cleanup_curl_ char *user = url_part(u, CURLUPART_USER, CURLU_URLDECODE);
	_cleanup_curl_ char *password = url_part(u, CURLUPART_PASSWORD, CURLU_URLDECODE);

	if (user && target->auth == HTTP_AUTH_NONE) {
		target->auth = HTTP_AUTH_BASIC;
		target->username = xstrdup(user);
		target->password = xstrdup(password ? password : "");
	}
	(void)curl_url_set(u, CURLUPART_USER, NULL, 0);
	(void)curl_url_set(u, CURLUPART_PASSWORD, NULL, 0);
}

/* Without the user part, which may contain a password. */
static int url_invalid(const char *text, const char *why, struct err *err)
{
	const char *at = strrchr(text, '@');

	return err_set(err, ERR_INVALID,
		       "%s%.200s is not the URL of a server: %s; expected http[s]://host:port[/prefix]",
		       at ? "...@" : "", at ? at + 1 : text, why);
}

static int parse_url(struct http_target *target, CURLU *u, const char *text, const char *server_name,
		     struct http_url *ret, struct err *err)
{
	CURLUcode code = curl_url_set(u, CURLUPART_URL, text, 0);
	_cleanup_curl_ char *scheme = url_part(u, CURLUPART_SCHEME, 0);
	_cleanup_curl_ char *host = url_part(u, CURLUPART_HOST, 0);
	_cleanup_curl_ char *port = url_part(u, CURLUPART_PORT, CURLU_DEFAULT_PORT);
	_cleanup_curl_ char *path = url_part(u, CURLUPART_PATH, 0);
	_cleanup_curl_ char *query = url_part(u, CURLUPART_QUERY, 0);
	_cleanup_curl_ char *fragment = url_part(u, CURLUPART_FRAGMENT, 0);
	size_t path_len = path ? strlen(path) : 0;

	if (code != CURLUE_OK)
		return url_invalid(text, curl_url_strerror(code), err);
	if (!scheme || (strcmp(scheme, "http") != 0 && strcmp(scheme, "https") != 0))
		return url_invalid(text, "the scheme is neither http nor https", err);
	if (!host || !port)
		return url_invalid(text, "it has no host", err);
	if (query || fragment)
		return url_invalid(text, "it has a query or a fragment", err);
	while (path_len && path[path_len - 1] == '/')
		path_len--;
	take_credentials(target, u);
	ret->loopback = host_is_loopback(host, strlen(host));
	ret->name = xasprintf("%s://%s:%s%.*s", scheme, host, port, (int)path_len, path ? path : "");
	if (server_name && !strcmp(scheme, "https")) {
		ret->base = xasprintf("%s://%s:%s%.*s", scheme, server_name, port, (int)path_len, path ? path : "");
		ret->connect_to = xasprintf("%s:%s:%s:%s", server_name, port, host, port);
		ret->host_header = xasprintf("Host: %s:%s", host, port);
	} else {
		ret->base = xstrdup(ret->name);
	}
	return 0;
}

static int add_url(struct http_target *target, const char *text, const char *server_name, struct err *err)
{
	CURLU *u = curl_url();
	int r;

	assert(u);
	if (!text || !*text) {
		r = err_set(err, ERR_INVALID, "the URL of a server is empty; expected http[s]://host:port[/prefix]");
	} else {
		r = parse_url(target, u, text, server_name, &target->urls[target->n_urls], err);
		target->n_urls += r == 0;
	}
	curl_url_cleanup(u);
	return r;
}

/* --- Creation --------------------------------------------------------------------------------------------------------
 */
/* A header's value with a control character in it would let a secret's content add headers. */
static bool is_header_value(const char *text)
{
	for (; *text; text++) {
		if ((unsigned char)*text < 0x20 || *text == 0x7F)
			return false;
	}
	return true;
}

/* Its parts are put into headers, and, but for the secret, between slashes and commas. */
static int check_aws(const struct http_aws *aws, struct err *err)
{
	const char *const parts[] = {aws->region, aws->service, aws->access_key_id};

	for (size_t i = 0; i < ARRAY_SIZE(parts); i++)
		if (!parts[i] || !*parts[i] || !is_header_value(parts[i]) || strpbrk(parts[i], "/, ="))
			return err_set(err, ERR_INVALID,
				       "AWS authentication needs a region, a service and an access key ID, without "
				       "slashes, commas, spaces and control characters");
	if (!aws->secret_access_key || !*aws->secret_access_key)
		return err_set(err, ERR_INVALID, "AWS authentication needs a secret access key");
	if (aws->session_token && (!*aws->session_token || !is_header_value(aws->session_token)))
		return err_set(err, ERR_INVALID, "the session token is empty or contains a control character");
	return 0;
}

static struct http_aws copy_aws(const struct http_aws *aws)
{
	return (struct http_aws){.region = xstrdup_or_null(aws->region),
				 .service = xstrdup_or_null(aws->service),
				 .access_key_id = xstrdup_or_null(aws->access_key_id),
				 .secret_access_key = xstrdup_or_null(aws->secret_access_key),
				 .session_token = xstrdup_or_null(aws->session_token)};
}

static int check_credentials(const struct http_target_options *o, struct err *err)
{
	if (o->auth == HTTP_AUTH_BASIC && (!o->username || !o->password))
		return err_set(err, ERR_INVALID, "basic authentication needs a user name and a password");
	if ((o->auth == HTTP_AUTH_BEARER && !o->token && !o->token_file) || (o->auth == HTTP_AUTH_API_KEY && !o->token))
		return err_set(err, ERR_INVALID, "%s authentication needs a %s",
			       o->auth == HTTP_AUTH_BEARER ? "bearer" : "API key",
			       o->auth == HTTP_AUTH_BEARER ? "token" : "key");
	if (o->auth == HTTP_AUTH_AWS && check_aws(&o->aws, err) < 0)
		return -1;
	if (o->token && (!*o->token || !is_header_value(o->token)))
		return err_set(err, ERR_INVALID, "the token is empty or contains a control character");
	if (!o->cert_pem != !o->key_pem)
		return err_set(err, ERR_INVALID, "a client certificate needs a key, and a key a certificate");
	return 0;
}

int http_target_new(const struct http_target_options *o, struct http_target **ret, struct err *err)
{
	_cleanup_(http_target_freep) struct http_target *target = xcalloc(1, sizeof(*target));

	(void)pthread_mutex_init(&target->lock, NULL);
	if (check_credentials(o, err) < 0)
		return -1;
	target->auth = o->auth;
	target->username = xstrdup_or_null(o->username);
	target->password = xstrdup_or_null(o->password);
	target->token = xstrdup_or_null(o->token);
	target->aws = copy_aws(&o->aws);
	target->token_file.path = xstrdup_or_null(o->token ? NULL : o->token_file);
	target->ca_pem = xstrdup_or_null(o->ca_pem);
	target->ca_file.path = xstrdup_or_null(o->ca_pem ? NULL : o->ca_file);
	target->cert_pem = xstrdup_or_null(o->cert_pem);
	target->key_pem = xstrdup_or_null(o->key_pem);
	target->insecure_skip_verify = o->insecure_skip_verify;
	target->user_agent = xstrdup(o->user_agent ? o->user_agent : "pgsync/" PGSYNC_VERSION);
	if (o->n_urls == 0)
		return err_set(err, ERR_INVALID, "no server URL given");
	target->urls = xcalloc(o->n_urls, sizeof(*target->urls));
	for (size_t i = 0; i < o->n_urls; i++) {
		if (add_url(target, o->urls[i], o->tls_server_name, err) < 0)
			return -1;
	}
	*ret = TAKE_PTR(target);
	return 0;
}

void http_target_free(struct http_target *target)
{
	if (!target)
		return;
	for (size_t i = 0; i < target->n_urls; i++) {
		free(target->urls[i].name);
		free(target->urls[i].base);
		free(target->urls[i].connect_to);
		free(target->urls[i].host_header);
	}
	free(target->urls);
	free(target->username);
	free_secret(target->password);
	free_secret(target->token);
	free((char *)target->aws.region);
	free((char *)target->aws.service);
	free((char *)target->aws.access_key_id);
	free_secret((char *)target->aws.secret_access_key);
	free_secret((char *)target->aws.session_token);
	free(target->ca_pem);
	free(target->cert_pem);
	free_secret(target->key_pem);
	free(target->user_agent);
	free(target->token_file.path);
	free_secret(target->token_file.text);
	free(target->ca_file.path);
	free(target->ca_file.text);
	(void)pthread_mutex_destroy(&target->lock);
	free(target);
}

const char *http_target_name(const struct http_target *target)
{
	return target->urls[0].name;
}

size_t http_target_preferred(struct http_target *target)
{
	size_t index;

	(void)pthread_mutex_lock(&target->lock);
	index = target->preferred;
	(void)pthread_mutex_unlock(&target->lock);
	return index;
}

void http_target_prefer(struct http_target *target, size_t index)
{
	(void)pthread_mutex_lock(&target->lock);
	target->preferred = index;
	(void)pthread_mutex_unlock(&target->lock);
}

void http_target_refused(struct http_target *target)
{
	(void)pthread_mutex_lock(&target->lock);
	target->token_file.read_ms = 0;
	(void)pthread_mutex_unlock(&target->lock);
}

/* --- Files and credentials -------------------------------------------------------------------------------------------
 */
static int read_small_file(const char *path, size_t max, char **ret, struct err *err)
{
	_cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC);
	struct strbuf sb;
	char chunk[4096];
	ssize_t n;
	int r = 0;

	if (fd < 0)
		return err_errno(err, errno, "cannot open %s", path);
	strbuf_init_secret(&sb, max);
	while ((n = TEMP_FAILURE_RETRY(read(fd, chunk, sizeof(chunk)))) > 0)
		strbuf_add(&sb, chunk, (size_t)n);
	if (n < 0)
		r = err_errno(err, errno, "cannot read %s", path);
	else if (!strbuf_ok(&sb))
		r = err_set(err, ERR_LIMIT, "%s is larger than %zu bytes", path, max);
	while (sb.len && (sb.data[sb.len - 1] == '\n' || sb.data[sb.len - 1] == '\r' || sb.data[sb.len - 1] == ' '))
		strbuf_truncate(&sb, sb.len - 1);
	if (r == 0 && sb.len == 0)
		r = err_set(err, ERR_TRANSIENT, "%s is empty", path);
	if (r == 0)
		*ret = strbuf_detach(&sb);
	explicit_bzero(chunk, sizeof(chunk));
	strbuf_release(&sb);
	return r;
}

static int refresh_file(struct http_file *file, size_t max, int64_t age_ms, struct err *err)
{
	int64_t now_ms = clock_now_ms();
	char *text;

	if (!file->path || (file->text && file->read_ms && now_ms - file->read_ms < age_ms))
		return 0;
	if (read_small_file(file->path, max, &text, err) < 0)
		return file->text ? 0 : -1;
	free_secret(file->text);
	file->text = text;
	file->read_ms = now_ms;
	return 0;
}

static int apply_token(struct http_target *target, struct curl_slist **headers, struct err *err)
{
	_cleanup_(free_secretp) char *header = NULL;
	const char *token = target->token;

	if (!token) {
		if (refresh_file(&target->token_file, HTTP_TOKEN_BYTES, HTTP_TOKEN_AGE_MS, err) < 0)
			return err_wrap(err, "reading the token");
		token = target->token_file.text;
		if (!is_header_value(token))
			return err_set(err, ERR_INVALID, "the token in %s contains a control character",
				       target->token_file.path);
	}
	header = xasprintf("Authorization: %s %s", target->auth == HTTP_AUTH_API_KEY ? "ApiKey" : "Bearer", token);
	*headers = curl_slist_append(*headers, header);
	return 0;
}

static void set_blob(CURL *easy, CURLoption option, const char *pem)
{
	struct curl_blob blob = {.data = (void *)pem, .len = strlen(pem), .flags = CURL_BLOB_COPY};

	(void)curl_easy_setopt(easy, option, &blob);
}

/* What was received, such as a Secret, does not stay in OpenSSL's buffer until the next record overwrites it. */
static CURLcode wipe_records(CURL *easy, void *context, void *user)
{
	UNUSED(easy);
	UNUSED(user);
	(void)SSL_CTX_set_options(context, SSL_OP_CLEANSE_PLAINTEXT);
	return CURLE_OK;
}

static int apply_tls(struct http_target *target, CURL *easy, struct err *err)
{
	const char *ca = target->ca_pem;

	(void)curl_easy_setopt(easy, CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2);
	(void)curl_easy_setopt(easy, CURLOPT_SSL_CTX_FUNCTION, wipe_records);
	if (target->insecure_skip_verify) {
		(void)curl_easy_setopt(easy, CURLOPT_SSL_VERIFYPEER, 0L);
		(void)curl_easy_setopt(easy, CURLOPT_SSL_VERIFYHOST, 0L);
	}
	if (!ca && target->ca_file.path) {
		if (refresh_file(&target->ca_file, HTTP_CA_BYTES, HTTP_CA_AGE_MS, err) < 0)
			return err_wrap(err, "reading the certificate authority");
		ca = target->ca_file.text;
	}
	if (ca) {
		set_blob(easy, CURLOPT_CAINFO_BLOB, ca);
		/* Otherwise the system's directory of authorities would also be trusted. */
		(void)curl_easy_setopt(easy, CURLOPT_CAPATH, NULL);
	}
	if (target->cert_pem) {
		(void)curl_easy_setopt(easy, CURLOPT_SSLCERTTYPE, "PEM");
		(void)curl_easy_setopt(easy, CURLOPT_SSLKEYTYPE, "PEM");
		set_blob(easy, CURLOPT_SSLCERT_BLOB, target->cert_pem);
		set_blob(easy, CURLOPT_SSLKEY_BLOB, target->key_pem);
	}
	return 0;
}

int http_target_apply(struct http_target *target, const struct http_url *url, CURL *easy, struct curl_slist **headers,
		      struct err *err)
{
	int r;

	(void)curl_easy_setopt(easy, CURLOPT_USERAGENT, target->user_agent);
	/* The environment's proxy is not used for loopback addresses, as in Go's clients. */
	if (url->loopback)
		(void)curl_easy_setopt(easy, CURLOPT_PROXY, "");
	if (url->host_header)
		*headers = curl_slist_append(*headers, url->host_header);
	(void)pthread_mutex_lock(&target->lock);
	r = apply_tls(target, easy, err);
	if (r == 0 && (target->auth == HTTP_AUTH_BEARER || target->auth == HTTP_AUTH_API_KEY))
		r = apply_token(target, headers, err);
	(void)pthread_mutex_unlock(&target->lock);
	if (target->auth == HTTP_AUTH_BASIC) {
		(void)curl_easy_setopt(easy, CURLOPT_HTTPAUTH, (long)CURLAUTH_BASIC);
		(void)curl_easy_setopt(easy, CURLOPT_USERNAME, target->username);
		(void)curl_easy_setopt(easy, CURLOPT_PASSWORD, target->password);
	}
	return r;
}
