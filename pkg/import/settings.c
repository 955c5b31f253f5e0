/* Every variable that pgsync 7.3 reads: what it becomes here, or why it has no effect. */
#include <string.h>

#include "base/strbuf.h"
#include "import/import_int.h"

#define NO_QUEUE "there is no queue: changes that are not in the index yet wait in the replication slot"
#define NO_REDIS NO_QUEUE ", and the checkpoint is kept next to the index"
#define NO_POLLING "changes are streamed from the WAL as they are committed; nothing is polled"
#define NO_POOL "there is no pool: a worker keeps a few connections open"
#define BY_BYTES "requests are limited by bytes, not by documents: see ELASTICSEARCH_MAX_CHUNK_BYTES"
#define RETRIED \
	"what the search engine cannot accept at the moment is retried until it succeeds, with increasing delays"
#define REDIS_RETRIED "what Redis does not answer in time is retried until it succeeds, with increasing delays"
/* What a variable becomes if Redis keeps the checkpoint. */
#define REDIS(becomes) becomes, NO_REDIS
#define NO_SERVERLESS "OpenSearch Serverless is not supported: it lacks what the sync needs; use a domain"
#define NO_REPLICA \
	"everything is read from the server that streams the changes, so that no read is older than the stream"
#define NO_CLIENT_CERTIFICATE "client certificates for the search engine are not supported: use an API key or a user"
#define ONLY_POSTGRES "only Postgres is supported"
#define NO_LOGGERS "there is one log, on standard error: see CONSOLE_LOGGING_HANDLER_MIN_LEVEL"
#define ONLY_COMMAND_LINE "it is for the commands; a PgSync always follows changes"

static const struct setting {
	const char *name;
	const char *becomes; /* NULL: it has no effect */
	const char *why;     /* why it has no effect, or, if it becomes something, when it has none */
} settings[] = {
	/* pgsync */
	{"BLOCK_SIZE", NULL,
	 "an index is filled in ranges of blocks of a suitable size; NUM_WORKERS says how many are read at once"},
	{"CHECKPOINT_PATH", NULL,
	 "there is no file: the checkpoint is kept next to the index, or in Redis if REDIS_CHECKPOINT is true"},
	{"REDIS_CHECKPOINT", "`spec.checkpoint.store` Redis when true", NULL},
	{"JOIN_QUERIES", NULL, "it does not change what is read"},
	{"LOGICAL_SLOT_CHUNK_SIZE", NULL, "the slot is streamed, not read in pages"},
	{"LOG_INTERVAL", NULL, "a line is logged when something changes; --listen serves the figures"},
	{"NUM_WORKERS", "`spec.bootstrap.parallelism`: how many threads fill a new index", NULL},
	{"POLL_TIMEOUT", NULL, NO_POLLING},
	{"QUERY_LITERAL_BINDS", NULL, "`pgsync plan` prints the SQL"},
	{"QUERY_CHUNK_SIZE", NULL, "documents are streamed from the server, and memory is bounded by bytes"},
	{"FILTER_CHUNK_SIZE", NULL, "keys are passed to a query as one array"},
	{"REPLICATION_SLOT_CLEANUP_INTERVAL", NULL,
	 "the slot is acknowledged within seconds of its changes being in the index"},
	{"SCHEMA", "as --config", NULL},
	{"SCHEMA_URL", "as --schema-url", NULL},
	{"S3_SCHEMA_URL", NULL,
	 "S3 is not supported: fetch the file (aws s3 cp s3://... -) and pass it with --config -"},
	{"USE_ASYNC", NULL, "there is only one mode"},
	{"STREAM_RESULTS", NULL, "results are always streamed"},
	{"POLL_INTERVAL", NULL, NO_POLLING},
	{"FORMAT_WITH_COMMAS", NULL, "the log is structured: numbers are fields"},
	{"POLLING", "follow changes, as --polling", ONLY_COMMAND_LINE},
	{"WAL", "follow changes, as --wal", ONLY_COMMAND_LINE},
	/* SQLAlchemy */
	{"SQLALCHEMY_USE_NULLPOOL", NULL, NO_POOL},
	{"SQLALCHEMY_POOL_SIZE", NULL, NO_POOL},
	{"SQLALCHEMY_MAX_OVERFLOW", NULL, NO_POOL},
	{"SQLALCHEMY_POOL_PRE_PING", NULL, NO_POOL},
	{"SQLALCHEMY_POOL_RECYCLE", NULL, NO_POOL},
	{"SQLALCHEMY_POOL_TIMEOUT", NULL, NO_POOL},
	/* the search engine */
	{"ELASTICSEARCH_URL", "`spec.sink.urls`; a user and password in it go into a Secret", NULL},
	{"ELASTICSEARCH_SCHEME", "`spec.sink.urls`", NULL},
	{"ELASTICSEARCH_HOST", "`spec.sink.urls`", NULL},
	{"ELASTICSEARCH_PORT", "`spec.sink.urls`", NULL},
	{"ELASTICSEARCH_CLOUD_ID", "`spec.sink.urls`, decoded", NULL},
	{"ELASTICSEARCH_USER", "`spec.sink.authentication` Basic, and a Secret", NULL},
	{"ELASTICSEARCH_PASSWORD", "the same Secret", NULL},
	{"ELASTICSEARCH_API_KEY",
	 "`spec.sink.authentication` APIKey, and a Secret; without an id it is the encoded key", NULL},
	{"ELASTICSEARCH_API_KEY_ID", "the first half of that key", NULL},
	{"ELASTICSEARCH_BASIC_AUTH", "`spec.sink.authentication` Basic, and a Secret", NULL},
	{"ELASTICSEARCH_BEARER_AUTH", "`spec.sink.authentication` Bearer, and a Secret", NULL},
	{"ELASTICSEARCH_HTTP_AUTH", "`spec.sink.authentication` Basic, and a Secret", NULL},
	{"ELASTICSEARCH_OPAQUE_ID", NULL, "no X-Opaque-Id header is sent; the User-Agent is pgsync/VERSION"},
	{"ELASTICSEARCH_AWS_HOSTED",
	 "`spec.sink.authentication` AWS when true; AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and AWS_SESSION_TOKEN go "
	 "into a Secret",
	 NULL},
	{"OPENSEARCH_AWS_HOSTED",
	 "`spec.sink.authentication` AWS when true; AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and AWS_SESSION_TOKEN go "
	 "into a Secret",
	 NULL},
	{"ELASTICSEARCH_AWS_REGION", "its `region`", NULL},
	{"OPENSEARCH_AWS_SERVERLESS", NULL, NO_SERVERLESS},
	{"ELASTICSEARCH_USE_SSL", NULL, "pgsync does not use it either: set ELASTICSEARCH_SCHEME=https"},
	{"ELASTICSEARCH_VERIFY_CERTS", "`spec.sink.tls.insecureSkipVerify` when false", NULL},
	{"ELASTICSEARCH_CA_CERTS", "`spec.sink.tls.caSecretRef`; the file's text goes into a Secret", NULL},
	{"ELASTICSEARCH_CLIENT_CERT", NULL, NO_CLIENT_CERTIFICATE},
	{"ELASTICSEARCH_CLIENT_KEY", NULL, NO_CLIENT_CERTIFICATE},
	{"ELASTICSEARCH_SSL_CONTEXT", NULL, "it can only be set from Python"},
	{"ELASTICSEARCH_SSL_VERSION", NULL, "TLS 1.2 or later is negotiated"},
	{"ELASTICSEARCH_SSL_ASSERT_FINGERPRINT", NULL,
	 "certificates are verified against an authority: see ELASTICSEARCH_CA_CERTS"},
	{"ELASTICSEARCH_SSL_ASSERT_HOSTNAME", NULL, "the certificate must match the host"},
	{"ELASTICSEARCH_SSL_SHOW_WARN", NULL, "there are no such warnings"},
	{"ELASTICSEARCH_CHUNK_SIZE", NULL, BY_BYTES},
	{"ELASTICSEARCH_MAX_CHUNK_BYTES", "`spec.sink.bulk.maxBytes`, 64 KiB to 100 MiB; 1 MiB without it", NULL},
	{"ELASTICSEARCH_THREAD_COUNT", "`spec.sink.bulk.concurrency`, 1 to 16; 2 when not set", NULL},
	{"ELASTICSEARCH_RAISE_ON_ERROR", "`spec.onError.policy`: Stall when true, DeadLetter when false or not set",
	 NULL},
	{"ELASTICSEARCH_STREAMING_BULK", NULL, "there is only one way to send bulk requests; it retries what failed"},
	{"ELASTICSEARCH_HTTP_COMPRESS", NULL, "bodies are not compressed"},
	{"ELASTICSEARCH_MAX_RETRIES", NULL, RETRIED},
	{"ELASTICSEARCH_INITIAL_BACKOFF", NULL, RETRIED},
	{"ELASTICSEARCH_MAX_BACKOFF", NULL, RETRIED},
	{"ELASTICSEARCH_RAISE_ON_EXCEPTION", NULL, RETRIED},
	{"ELASTICSEARCH_TIMEOUT", NULL, "each kind of request has its own timeout, and is retried"},
	{"ELASTICSEARCH_QUEUE_SIZE", NULL, "ELASTICSEARCH_THREAD_COUNT limits the requests in flight"},
	{"ELASTICSEARCH_POOL_MAXSIZE", NULL, NO_POOL},
	{"ELASTICSEARCH_IGNORE_STATUS", NULL,
	 "every item of a response is checked; deleting a missing document counts as success"},
	{"ELASTICSEARCH", "not needed: the server reports which of the two it is", NULL},
	{"OPENSEARCH", "not needed: the server reports which of the two it is", NULL},
	/* Postgres */
	{"PG_URL", "a Secret that `spec.source.connectionSecretRef` names; the database is the document's", NULL},
	{"PG_HOST", "`spec.source.host`", NULL},
	{"PG_PORT", "`spec.source.port`", NULL},
	{"PG_USER", "`spec.source.user`; required without PG_URL", NULL},
	{"PG_PASSWORD", "a Secret that `spec.source.passwordSecretRef` names", NULL},
	{"PG_SSLMODE", "`spec.source.tls.mode`; Prefer when not set, as libpq does", NULL},
	{"PG_SSLROOTCERT", "`spec.source.tls.caSecretRef`; the file's text goes into a Secret", NULL},
	{"PG_DRIVER", "refused if it is for MySQL", NULL},
	{"PG_DATABASE", NULL, "each document names its database; there are no connections to others"},
	{"PG_WORK_MEM", NULL, "set it for the role: ALTER ROLE ... SET work_mem = ..."},
	{"PG_URL_RO", NULL, NO_REPLICA},
	{"PG_HOST_RO", NULL, NO_REPLICA},
	{"PG_PORT_RO", NULL, NO_REPLICA},
	{"PG_USER_RO", NULL, NO_REPLICA},
	{"PG_PASSWORD_RO", NULL, NO_REPLICA},
	{"PG_SSLMODE_RO", NULL, NO_REPLICA},
	{"PG_SSLROOTCERT_RO", NULL, NO_REPLICA},
	{"MYSQL_DATABASE", NULL, ONLY_POSTGRES},
	{"USE_UTF8MB4", NULL, ONLY_POSTGRES},
	/* Redis */
	{"REDIS_URL", REDIS("`spec.checkpoint.redis`; user, password, `db` and `ssl_ca_certs` in it count")},
	{"REDIS_SCHEME", REDIS("`spec.checkpoint.redis.url`")},
	{"REDIS_HOST", REDIS("`spec.checkpoint.redis.url`")},
	{"REDIS_PORT", REDIS("`spec.checkpoint.redis.url`")},
	{"REDIS_DB", REDIS("`spec.checkpoint.redis.url`")},
	{"REDIS_USER", REDIS("`spec.checkpoint.redis.username`")},
	{"REDIS_AUTH", REDIS("a Secret that `spec.checkpoint.redis.passwordSecretRef` names")},
	{"REDIS_POLL_INTERVAL", NULL, NO_QUEUE},
	{"REDIS_READ_CHUNK_SIZE", NULL, NO_QUEUE},
	{"REDIS_WRITE_CHUNK_SIZE", NULL, NO_QUEUE},
	{"REDIS_SOCKET_TIMEOUT", NULL, REDIS_RETRIED},
	{"REDIS_RETRY_ON_TIMEOUT", NULL, REDIS_RETRIED},
	/* logging */
	{"CONSOLE_LOGGING_HANDLER_MIN_LEVEL", "the level of the log, as --log-level", "the operator has --log-level"},
	{"GENERAL_LOGGING_LEVEL", NULL, NO_LOGGERS},
	{"LOG_HANDLERS", NULL, NO_LOGGERS},
	{"CUSTOM_LOGGING", NULL, NO_LOGGERS},
};

static const struct setting *find_setting(const char *name)
{
	for (size_t i = 0; i < ARRAY_SIZE(settings); i++)
		if (!strcmp(settings[i].name, name))
			return &settings[i];
	return NULL;
}

bool import_setting_known(const char *name)
{
	return find_setting(name) != NULL;
}

struct env_check {
	const struct import_env *env;
	bool command_line;
	struct findings *f;
};

/* A variable with one of these prefixes may belong to another program (Kubernetes sets REDIS_PORT_6379_TCP and the like
 * for its Services), so warn only about one that is close to a variable of pgsync. */
static void suggest_setting(const char *name, struct findings *f)
{
	static const char *const prefixes[] = {"PG_", "ELASTICSEARCH_", "OPENSEARCH_", "REDIS_", "SQLALCHEMY_"};
	const char *names[ARRAY_SIZE(settings)];
	const char *nearest;
	bool has_prefix = false;

	for (size_t i = 0; i < ARRAY_SIZE(prefixes); i++)
		has_prefix = has_prefix || !strncmp(name, prefixes[i], strlen(prefixes[i]));
	if (!has_prefix)
		return;
	for (size_t i = 0; i < ARRAY_SIZE(settings); i++)
		names[i] = settings[i].name;
	nearest = nearest_name(name, names, ARRAY_SIZE(settings));
	if (nearest)
		findings_add(f, FINDING_WARNING, REASON_IGNORED, name, "is not a variable of pgsync; did you mean %s?",
			     nearest);
}

/* A variable that must be true for this one to have an effect; NULL: none. */
static const char *needed_for(const struct setting *setting)
{
	static const char prefix[] = "REDIS_";
	bool conditional = setting->becomes && setting->why;

	return conditional && strncmp(setting->name, prefix, strlen(prefix)) == 0 ? "REDIS_CHECKPOINT" : NULL;
}

static bool has_effect(const struct setting *setting, const struct env_check *check)
{
	const char *needed = needed_for(setting);

	if (!setting->why || !setting->becomes)
		return !setting->why;
	return needed ? import_env_bool(check->env, needed, false, NULL) : check->command_line;
}

static void check_variable(void *user, const char *name, const char *value)
{
	const struct env_check *check = user;
	const struct setting *setting = find_setting(name);

	UNUSED(value);
	if (!setting)
		suggest_setting(name, check->f);
	else if (!has_effect(setting, check))
		findings_add(check->f, FINDING_WARNING, REASON_IGNORED, name, "ignored: %s", setting->why);
}

void import_env_check(const struct import_env *env, bool command_line, struct findings *f)
{
	struct env_check check = {.env = env, .command_line = command_line, .f = f};

	import_env_each(env, check_variable, &check);
}

static bool alike(const struct setting *a, const struct setting *b)
{
	return !strcmp(a->becomes ? a->becomes : "", b->becomes ? b->becomes : "") &&
	       !strcmp(a->why ? a->why : "", b->why ? b->why : "");
}

void import_describe(struct strbuf *out)
{
	strbuf_adds(out, "| variable | here |\n|---|---|\n| ");
	for (size_t i = 0; i < ARRAY_SIZE(settings); i++) {
		const struct setting *s = &settings[i];

		strbuf_addf(out, "`%s`", s->name);
		if (i + 1 < ARRAY_SIZE(settings) && alike(s, s + 1)) {
			strbuf_adds(out, ", ");
			continue;
		}
		strbuf_adds(out, " | ");
		if (needed_for(s))
			strbuf_addf(out, "if %s is true: ", needed_for(s));
		strbuf_addf(out, "%s%s", s->becomes ? "" : "ignored: ", s->becomes ? s->becomes : s->why);
		if (needed_for(s))
			strbuf_adds(out, "; ignored otherwise");
		else if (s->becomes && s->why)
			strbuf_adds(out, "; `import` ignores it");
		strbuf_addf(out, " |\n%s", i + 1 < ARRAY_SIZE(settings) ? "| " : "");
	}
}
