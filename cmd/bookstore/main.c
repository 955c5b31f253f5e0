/* bookstore: reads options and environment, prepares the tables, serves until a signal. */
#include <ctype.h>
#include <errno.h>
#include <getopt.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/signalfd.h>

#include "base/log.h"
#include "base/parse.h"
#include "base/sandbox.h"
#include "base/usage.h"
#include "bookstore.h"
#include "json/json.h"

enum { EXIT_USAGE = 2, PASSWORD_BYTES = 4096, HOSTS = 16, PREPARE_MS = 500 };

struct settings {
	struct pg_params postgres;
	const char *listen, *hosts, *password_file, *search_url, *search_index, *wait_url;
	enum log_level level;
	enum log_format format;
};

/* --- options */

enum option_id {
	OPT_LISTEN,
	OPT_HOST,
	OPT_PG_HOST,
	OPT_PG_PORT,
	OPT_PG_DATABASE,
	OPT_PG_USER,
	OPT_PG_PASSWORD_FILE,
	OPT_SEARCH_URL,
	OPT_SEARCH_INDEX,
	OPT_WAIT_URL,
	OPT_LOG_LEVEL,
	OPT_LOG_FORMAT,
	OPTIONS,
	OPT_HELP,
	OPT_VERSION,
};

static const struct {
	const char *name, *argument, *help;
} options_table[OPTIONS] = {
	[OPT_LISTEN] = {"listen", "ADDR:PORT", "where to serve (default 127.0.0.1:8001)"},
	[OPT_HOST] =
		{"host", "NAME,...",
		 "names by which browsers reach it, besides those of this machine; requests for others are refused"},
	[OPT_PG_HOST] = {"postgres-host", "HOST", "default 127.0.0.1"},
	[OPT_PG_PORT] = {"postgres-port", "PORT", "default 5432"},
	[OPT_PG_DATABASE] = {"postgres-database", "NAME", "default bookstore"},
	[OPT_PG_USER] = {"postgres-user", "NAME", "default bookstore; it creates the tables, so it owns them"},
	[OPT_PG_PASSWORD_FILE] = {"postgres-password-file", "FILE",
				  "the file that holds the password; default: $BOOKSTORE_POSTGRES_PASSWORD"},
	[OPT_SEARCH_URL] = {"search-url", "URL",
			    "Elasticsearch or OpenSearch (default http://127.0.0.1:9200); put one with a password "
			    "into $BOOKSTORE_SEARCH_URL"},
	[OPT_SEARCH_INDEX] = {"search-index", "NAME", "the index, or its alias (default books)"},
	[OPT_WAIT_URL] = {"wait-url", "URL",
			  "the address of `pgsync run --listen`, for searches that contain a write (/search?after=)"},
	[OPT_LOG_LEVEL] = {"log-level", "LEVEL", "error, warn, info, debug or trace (default info)"},
	[OPT_LOG_FORMAT] = {"log-format", "FORMAT", "text or json (default text)"},
};

static int set_port(const char *value, int *ret, struct err *err)
{
	uint64_t port;

	if (!parse_range(value, 1, 65535, &port))
		return err_set(err, ERR_INVALID, "must be a port from 1 to 65535, found \"%s\"", value);
	*ret = (int)port;
	return 0;
}

static size_t count_names(const char *list)
{
	size_t n = 1;

	for (; *list; list++)
		n += *list == ',';
	return n;
}

static int set_option_value(struct settings *s, enum option_id id, const char *value, struct err *err)
{
	const char **texts[OPTIONS] = {
		[OPT_LISTEN] = &s->listen,         [OPT_HOST] = &s->hosts,
		[OPT_PG_HOST] = &s->postgres.host, [OPT_PG_DATABASE] = &s->postgres.database,
		[OPT_PG_USER] = &s->postgres.user, [OPT_PG_PASSWORD_FILE] = &s->password_file,
		[OPT_SEARCH_URL] = &s->search_url, [OPT_SEARCH_INDEX] = &s->search_index,
		[OPT_WAIT_URL] = &s->wait_url,
	};

	if (!*value)
		return err_set(err, ERR_INVALID, "must not be empty");
	if (id == OPT_PG_PORT)
		return set_port(value, &s->postgres.port, err);
	if (id == OPT_LOG_LEVEL)
		return log_level_parse(value, &s->level) ? 0 : err_set(err, ERR_INVALID, "unknown level \"%s\"", value);
	if (id == OPT_LOG_FORMAT)
		return log_format_parse(value, &s->format) ? 0
							   : err_set(err, ERR_INVALID, "unknown format \"%s\"", value);
	if (id == OPT_HOST && count_names(value) > HOSTS)
		return err_set(err, ERR_INVALID, "must be at most %d names, found %zu", HOSTS, count_names(value));
	*texts[id] = value;
	return 0;
}

static void print_usage(void)
{
	(void)fputs("Usage: bookstore [OPTION]...\n\n", stdout);
	usage_paragraph(
		stdout,
		"An example application: an API that writes only to Postgres, and pages that search the index that "
		"pgsync keeps in sync. Creates its tables, and adds 25 books if they are empty. SIGTERM or SIGINT "
		"ends it.");
	(void)fputs("\nOptions:\n", stdout);
	for (int i = 0; i < OPTIONS; i++)
		usage_option(stdout, 0, options_table[i].name, options_table[i].argument, options_table[i].help);
	usage_option(stdout, 0, "version", NULL, "print the version");
	usage_option(stdout, 0, "help", NULL, "print this help");
	usage_section(stdout, "Examples",
		      "bookstore --postgres-password-file password\n"
		      "bookstore --listen :8001 --host store.example --search-url http://search:9200\n");
	usage_section(stdout, "Environment",
		      "BOOKSTORE_*   each option, in capitals with underscores: --search-url is\n"
		      "              BOOKSTORE_SEARCH_URL; an option takes precedence\n"
		      "BOOKSTORE_POSTGRES_PASSWORD\n"
		      "              the password, unless a file holds it\n"
		      "http_proxy, HTTPS_PROXY, NO_PROXY\n"
		      "              how to reach the search engine; ignored for loopback addresses\n");
	usage_section(stdout, "Exit status",
		      "0  stopped by a signal\n"
		      "1  failed; see the log\n"
		      "2  an option or a variable is invalid; nothing was done\n");
}

static int apply_variables(struct settings *s, struct err *err)
{
	for (int i = 0; i < OPTIONS; i++) {
		_cleanup_free_ char *name = xasprintf("BOOKSTORE_%s", options_table[i].name);
		const char *value;

		for (char *c = name; *c; c++)
			*c = *c == '-' ? '_' : (char)toupper((unsigned char)*c);
		value = getenv(name);
		if (value && *value && set_option_value(s, (enum option_id)i, value, err) < 0)
			return err_wrap(err, "%s", name);
	}
	return 0;
}

/* 1: help or version was printed. */
static int read_options(struct settings *s, int argc, char **argv, struct err *err)
{
	struct option options[OPTIONS + 3] = {
		[OPTIONS] = {"help", no_argument, NULL, OPT_HELP},
		[OPTIONS + 1] = {"version", no_argument, NULL, OPT_VERSION},
	};
	int id;

	for (int i = 0; i < OPTIONS; i++)
		options[i] = (struct option){options_table[i].name, required_argument, NULL, i};
	while ((id = getopt_long(argc, argv, "", options, NULL)) != -1) {
		if (id == OPT_HELP)
			print_usage();
		if (id == OPT_VERSION)
			(void)puts("bookstore " PGSYNC_VERSION);
		if (id == OPT_HELP || id == OPT_VERSION)
			return 1;
		if (id < 0 || id >= OPTIONS)
			return err_set(err, ERR_INVALID, "see --help");
		if (set_option_value(s, (enum option_id)id, optarg, err) < 0)
			return err_wrap(err, "--%s", options_table[id].name);
	}
	if (optind < argc)
		return err_set(err, ERR_INVALID, "unexpected argument \"%s\", see --help", argv[optind]);
	return 0;
}

/* Caller frees with free_secret; NULL: none. */
static int read_password(const struct settings *s, char **ret, struct err *err)
{
	const char *variable = getenv("BOOKSTORE_POSTGRES_PASSWORD");
	size_t len;

	*ret = variable && *variable ? xstrdup(variable) : NULL;
	if (!s->password_file)
		return 0;
	free_secret(TAKE_PTR(*ret));
	if (jsonx_read_file(s->password_file, PASSWORD_BYTES, ret, &len, err) < 0)
		return err_wrap(err, "reading the password");
	(*ret)[strcspn(*ret, "\r\n")] = '\0';
	return 0;
}

/* --- the server */

/* openapi.json describes each of them: e2e/test_bookstore.py compares. */
static const struct web_route api_routes[] = {
	{.path = "/books", .handler = api_list_books},
	{.path = "/books", .handler = api_create_book, .method = "POST"},
	{.path = "/books/{}", .handler = api_read_book},
	{.path = "/books/{}", .handler = api_update_book, .method = "PATCH"},
	{.path = "/books/{}", .handler = api_delete_book, .method = "DELETE"},
	{.path = "/books/{}/publish", .handler = api_publish_book, .method = "POST"},
	{.path = "/authors", .handler = api_list_authors},
	{.path = "/authors", .handler = api_create_author, .method = "POST"},
	{.path = "/authors/{}", .handler = api_read_author},
	{.path = "/authors/{}", .handler = api_update_author, .method = "PATCH"},
	{.path = "/authors/{}", .handler = api_delete_author, .method = "DELETE"},
	{.path = "/search", .handler = engine_search},
	{.path = "/search", .handler = engine_search_as_sent, .method = "POST"},
	{.path = "/stats", .handler = engine_stats},
	{.path = "/documents", .handler = engine_documents},
};

/* "a,b" to an array; the text is cut up. */
static void split_hosts(char *text, const char *ret[HOSTS + 1])
{
	size_t n = 0;

	while (text && n < HOSTS)
		ret[n++] = strsep(&text, ",");
	ret[n] = NULL;
}

static int start_server(struct bookstore *store, const struct settings *s, const char *const *hosts, struct web **ret,
			struct err *err)
{
	struct web_route routes[ARRAY_SIZE(api_routes) + PAGES];

	for (size_t i = 0; i < ARRAY_SIZE(api_routes); i++) {
		routes[i] = api_routes[i];
		routes[i].user = store;
	}
	pages_routes(routes + ARRAY_SIZE(api_routes));
	return web_serve(&(struct web_options){.listen = s->listen,
					       .routes = routes,
					       .n_routes = ARRAY_SIZE(routes),
					       .workers = BOOKSTORE_WORKERS,
					       .max_body = BOOKSTORE_BODY_BYTES,
					       .refusal = answer_refusal,
					       .headers = web_page_headers,
					       .for_browsers = true,
					       .hosts = hosts},
			 ret, err);
}

/* A descriptor that is readable, and stays so, once SIGTERM or SIGINT has come. */
static int open_signals(struct err *err)
{
	sigset_t set;
	int fd;

	(void)sigemptyset(&set);
	(void)sigaddset(&set, SIGTERM);
	(void)sigaddset(&set, SIGINT);
	(void)sigprocmask(SIG_BLOCK, &set, NULL);
	(void)signal(SIGPIPE, SIG_IGN);
	fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	return fd < 0 ? err_errno(err, errno, "watching for signals") : fd;
}

/* False: time has passed. */
static bool is_stopped(int fd, int ms)
{
	struct pollfd stop = {.fd = fd, .events = POLLIN};
	int n;

	do
		n = poll(&stop, 1, ms);
	while (n < 0 && errno == EINTR);
	return n > 0;
}

/* Postgres may start later. 1: stopped before that. */
static int prepare_tables(const struct bookstore *store, struct err *err)
{
	while (tables_prepare(store, err) < 0) {
		if (err->kind != ERR_TRANSIENT)
			return err->kind == ERR_CANCELLED ? 1 : -1;
		log_warn("bookstore", "Postgres cannot be used yet, retrying", KV_ERR(err));
		if (is_stopped(store->stop_fd, PREPARE_MS))
			return 1;
	}
	return 0;
}

static int serve_bookstore(struct bookstore *store, const struct settings *s, const char *const *hosts, struct err *err)
{
	_cleanup_(web_stopp) struct web *web = NULL;
	int r = prepare_tables(store, err);

	if (r)
		return r < 0 ? -1 : 0;
	if (start_server(store, s, hosts, &web, err) < 0)
		return -1;
	log_info("bookstore", "serving", KV_I64("port", web_port(web)), KV_STR("database", s->postgres.database),
		 KV_STR("search", http_target_name(store->engine)), KV_STR("index", store->index));
	(void)is_stopped(store->stop_fd, -1);
	log_info("bookstore", "stopped by a signal");
	return 0;
}

static int target_of(const char *url, struct http_target **ret, struct err *err)
{
	return http_target_new(
		&(struct http_target_options){.urls = &url, .n_urls = 1, .user_agent = "bookstore/" PGSYNC_VERSION},
		ret, err);
}

static int run_bookstore(const struct settings *s, struct err *err)
{
	_cleanup_free_ char *host_list = xstrdup_or_null(s->hosts);
	_cleanup_(free_secretp) char *password = NULL;
	_cleanup_(http_target_freep) struct http_target *engine = NULL;
	_cleanup_(http_target_freep) struct http_target *filler = NULL;
	_cleanup_close_ int stop_fd = open_signals(err);
	struct bookstore store = {.postgres = s->postgres, .index = s->search_index, .stop_fd = stop_fd};
	const char *hosts[HOSTS + 1];
	int r;

	split_hosts(host_list, hosts);
	if (stop_fd < 0 || read_password(s, &password, err) < 0 || target_of(s->search_url, &engine, err) < 0 ||
	    (s->wait_url && target_of(s->wait_url, &filler, err) < 0))
		return -1;
	store.engine = engine;
	store.filler = filler;
	store.postgres.password = password;
	store.postgres.cancel_fd = stop_fd;
	r = serve_bookstore(&store, s, hosts, err);
	db_close(&store);
	for (size_t i = 0; i < BOOKSTORE_WORKERS; i++)
		http_free(store.connections[i].http);
	return r;
}

int main(int argc, char **argv)
{
	struct settings s = {
		.postgres = {.host = "127.0.0.1",
			     .port = 5432,
			     .database = "bookstore",
			     .user = "bookstore",
			     .tls = PG_TLS_PREFER,
			     .application_name = "bookstore",
			     .connect_timeout_ms = BOOKSTORE_CONNECT_MS,
			     .query_timeout_ms = BOOKSTORE_QUERY_MS},
		.listen = "127.0.0.1:8001",
		.search_url = "http://127.0.0.1:9200",
		.search_index = "books",
		.level = LOG_LEVEL_INFO,
		.format = LOG_FORMAT_TEXT,
	};
	struct err err = {0};
	int r;

	/* Memory contains a password, so there must be no core files. */
	(void)setrlimit(RLIMIT_CORE, &(struct rlimit){0});
	(void)sandbox_enter(SANDBOX_PRIVILEGES | SANDBOX_MEMORY, NULL);
	/* Options win. */
	r = apply_variables(&s, &err);
	if (r == 0)
		r = read_options(&s, argc, argv, &err);
	if (r > 0)
		return EXIT_SUCCESS;
	if (r < 0) {
		(void)fprintf(stderr, "bookstore: %s\n", err.msg);
		return EXIT_USAGE;
	}
	log_setup(s.level, s.format, NULL);
	if (run_bookstore(&s, &err) < 0) {
		log_error("bookstore", "failed", KV_ERR(&err));
		return EXIT_FAILURE;
	}
	return EXIT_SUCCESS;
}
