/* Errors of Postgres: the kind follows from the SQLSTATE (manual, appendix "PostgreSQL Error Codes"); the text is the
 * server's, without the values of rows. */
#include <string.h>

#include <openssl/x509_vfy.h>

#include "postgres/pg_int.h"

enum { MESSAGE_BYTES = 4096 };

struct state_kind {
	const char *prefix;
	enum err_kind kind;
	enum reason reason;
};

/* The first matching prefix decides. */
static const struct state_kind state_kinds[] = {
	{"08", ERR_TRANSIENT, REASON_SOURCE_UNREACHABLE},
	{"57014", ERR_TRANSIENT, REASON_NONE}, /* cancelled by someone else, or by a timeout */
	{"57P0", ERR_TRANSIENT, REASON_SOURCE_UNREACHABLE},
	{"57", ERR_TRANSIENT, REASON_NONE},
	{"53", ERR_TRANSIENT, REASON_NONE},
	{"58", ERR_TRANSIENT, REASON_NONE},
	{"40", ERR_CONFLICT, REASON_NONE},
	{"55006", ERR_CONFLICT, REASON_NONE},
	{"55P03", ERR_CONFLICT, REASON_TABLE_LOCKED},
	{"28", ERR_DENIED, REASON_AUTH_FAILED},
	{"42501", ERR_DENIED, REASON_PRIVILEGE_MISSING},
	{"3D000", ERR_INVALID, REASON_DATABASE_NOT_FOUND},
	{"54", ERR_LIMIT, REASON_NONE},
	{"25P02", ERR_FATAL, REASON_NONE},  /* a statement after a failed one: our bug */
	{"25", ERR_TRANSIENT, REASON_NONE}, /* read-only after a failover, idle too long */
	{"26", ERR_TRANSIENT, REASON_NONE}, /* a prepared statement is gone: it will be prepared again */
	{"0A000", ERR_INVALID, REASON_NONE},
	{"XX000", ERR_TRANSIENT, REASON_NONE}, /* such as "tuple concurrently updated" */
	{"XX", ERR_FATAL, REASON_NONE},        /* corrupted data */
};

static const struct state_kind *find_state(const char *sqlstate)
{
	for (size_t i = 0; i < ARRAY_SIZE(state_kinds); i++)
		if (strncmp(sqlstate, state_kinds[i].prefix, strlen(state_kinds[i].prefix)) == 0)
			return &state_kinds[i];
	return NULL;
}

enum err_kind pg_sqlstate_kind(const char *sqlstate)
{
	const struct state_kind *found = find_state(sqlstate);

	return found ? found->kind : ERR_INVALID;
}

enum reason pg_sqlstate_reason(const char *sqlstate)
{
	const struct state_kind *found = find_state(sqlstate);

	return found ? found->reason : REASON_NONE;
}

bool pg_is_sqlstate(const struct err *err, const char *sqlstate)
{
	return strcmp(err->sqlstate, sqlstate) == 0;
}

bool pg_is_about_a_value(const struct err *err)
{
	/* Cardinality, data, constraints, routines, not supported (for this value), limits, PL/pgSQL; and internal
	 * errors: a value that is damaged on disk, or too large for the server. */
	static const char *const classes[] = {"21", "22", "23", "2F", "38", "39", "0A", "54", "P0", "XX"};

	for (size_t i = 0; i < ARRAY_SIZE(classes); i++)
		if (strncmp(err->sqlstate, classes[i], 2) == 0)
			return true;
	return false;
}

bool pg_is_cancelled(const struct err *err)
{
	return pg_is_sqlstate(err, "57014");
}

/* Class 22 quotes the offending value: invalid input syntax for type integer: "secret". */
static void add_without_quoted(struct strbuf *sb, const char *s)
{
	const char *open, *close;

	while ((open = strchr(s, '"'))) {
		close = strrchr(open + 1, '"');
		strbuf_add(sb, s, (size_t)(open - s));
		strbuf_adds(sb, "\"...\"");
		if (!close)
			return;
		s = close + 1;
	}
	strbuf_adds(sb, s);
}

int pg_err_fields(const char *sqlstate, const char *primary, const char *detail, const char *hint, struct err *err)
{
	/* 22 (data) and 23 (constraints) put row values into the detail. */
	bool about_values = strncmp(sqlstate, "22", 2) == 0 || strncmp(sqlstate, "23", 2) == 0;
	struct strbuf sb;

	strbuf_init(&sb, MESSAGE_BYTES);
	if (strncmp(sqlstate, "22", 2) == 0)
		add_without_quoted(&sb, primary ? primary : "no message");
	else
		strbuf_adds(&sb, primary ? primary : "no message");
	if (detail && !about_values)
		strbuf_addf(&sb, ": %s", detail);
	if (hint)
		strbuf_addf(&sb, " Hint: %s", hint);
	strbuf_addf(&sb, " (SQLSTATE %s)", sqlstate);
	(void)err_reason(err, pg_sqlstate_kind(sqlstate), pg_sqlstate_reason(sqlstate), "%s", sb.data);
	(void)snprintf(err->sqlstate, sizeof(err->sqlstate), "%s", sqlstate);
	strbuf_release(&sb);
	return -1;
}

int pg_err_conn(const PGconn *conn, struct err *err)
{
	struct strbuf sb;

	strbuf_init(&sb, MESSAGE_BYTES);
	pg_flatten(&sb, PQerrorMessage(conn));
	(void)err_reason(err, ERR_TRANSIENT, REASON_SOURCE_UNREACHABLE, "the connection to Postgres failed: %s",
			 sb.len ? sb.data : "no reason given");
	strbuf_release(&sb);
	return -1;
}

bool pg_is_unknown_name(const struct err *err)
{
	static const char *const states[] = {"42883", "42704", "42P01", "3F000"};

	for (size_t i = 0; i < ARRAY_SIZE(states); i++)
		if (pg_is_sqlstate(err, states[i]))
			return true;
	return false;
}

/* Our own statements use qualified names, so if there is a context, the name is in the body of a function. */
static void advise_on_names(const struct pg_result *result, struct err *err)
{
	const char *context = PQresultErrorField(result, PG_DIAG_CONTEXT);

	if (!context || !pg_is_unknown_name(err))
		return;
	err_append(
		err,
		"; within %.*s: its names are looked up in pg_catalog alone: qualify them, or ALTER FUNCTION ... SET "
		"search_path",
		(int)strcspn(context, "\n"), context);
}

int pg_err_result(const struct pg_result *result, struct err *err)
{
	const char *sqlstate = PQresultErrorField(result, PG_DIAG_SQLSTATE);
	struct strbuf sb;

	if (sqlstate && strlen(sqlstate) == 5) {
		(void)pg_err_fields(sqlstate, PQresultErrorField(result, PG_DIAG_MESSAGE_PRIMARY),
				    PQresultErrorField(result, PG_DIAG_MESSAGE_DETAIL),
				    PQresultErrorField(result, PG_DIAG_MESSAGE_HINT), err);
		advise_on_names(result, err);
		return -1;
	}
	strbuf_init(&sb, MESSAGE_BYTES);
	pg_flatten(&sb, PQresultErrorMessage(result));
	(void)err_reason(err, ERR_TRANSIENT, REASON_SOURCE_UNREACHABLE, "the connection to Postgres failed: %s",
			 sb.len ? sb.data : "no reason given");
	strbuf_release(&sb);
	return -1;
}

/* --- Connections ---------------------------------------------------------------------------------------------------
 */
void pg_flatten(struct strbuf *sb, const char *message)
{
	while (*message) {
		size_t len = strcspn(message, "\n");
		size_t skip = strspn(message, " \t");
		bool keep = len > skip && strncmp(message, "LOCATION:", 9) != 0;

		if (keep && sb->len > 0)
			strbuf_adds(sb, "; ");
		if (keep)
			strbuf_add(sb, message + skip, len - skip);
		message += len + (message[len] == '\n');
	}
}

/* libpq keeps no SQLSTATE of a refused connection; PQERRORS_VERBOSE puts it into the text: "FATAL:  28P01: ...".
 * Returns what follows it, or NULL. */
static const char *find_sqlstate(const char *message, char sqlstate[6])
{
	for (const char *p = message; (p = strstr(p, ":  ")); p++) {
		const char *code = p + 3;

		if (strspn(code, "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ") != 5 || strncmp(code + 5, ": ", 2) != 0)
			continue;
		memcpy(sqlstate, code, 5);
		sqlstate[5] = '\0';
		return code + 7;
	}
	return NULL;
}

static const char *verify_words(long verify)
{
	switch (verify) {
	case X509_V_ERR_CERT_HAS_EXPIRED:
		return "the server's certificate, or the one that signed it, has expired";
	case X509_V_ERR_CERT_NOT_YET_VALID:
		return "the server's certificate is not valid yet: compare the clocks";
	case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT:
	case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY:
	case X509_V_ERR_UNABLE_TO_VERIFY_LEAF_SIGNATURE:
	case X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT:
	case X509_V_ERR_SELF_SIGNED_CERT_IN_CHAIN:
	case X509_V_ERR_CERT_SIGNATURE_FAILURE:
		return "unknown issuer: the server's certificate was not signed by the given CA";
	default:
		return NULL;
	}
}

/* Classifies a refused connection. */
struct verdict {
	enum err_kind kind;
	enum reason reason;
	const char *advice; /* goes after the message; or NULL */
};

#define NO_POOLER                                                                                                  \
	"a connection pooler such as PgBouncer seems to answer, and a pooler carries neither replication nor the " \
	"settings of a session: name the Postgres server itself in spec.source.host and spec.source.port"
static const struct verdict pooler = {ERR_INVALID, REASON_NOT_SUPPORTED, NO_POOLER};

static const struct verdict no_password = {ERR_DENIED, REASON_AUTH_FAILED, NULL};

/* For failures of which libpq reports only text. The first match decides, so specific fragments come first. */
static const struct {
	const char *fragment;
	struct verdict verdict;
} texts[] = {
	{"SSL SYSCALL error", {ERR_TRANSIENT, REASON_SOURCE_UNREACHABLE, NULL}},
	{"does not support SSL",
	 {ERR_DENIED, REASON_TLS, "enable TLS on the server, or set spec.source.tls.mode: Disable"}},
	{"SSL", {ERR_DENIED, REASON_TLS, NULL}},
	{"certificate", {ERR_DENIED, REASON_TLS, NULL}},
	{"Connection refused", {ERR_TRANSIENT, REASON_REFUSED, NULL}},
	{"could not translate host name", {ERR_TRANSIENT, REASON_DNS, NULL}},
	{"timeout expired", {ERR_TRANSIENT, REASON_TIMEOUT, NULL}},
	{"Connection timed out", {ERR_TRANSIENT, REASON_TIMEOUT, NULL}},
	{"no password supplied", {ERR_DENIED, REASON_AUTH_FAILED, NULL}},
	{"SCRAM", {ERR_DENIED, REASON_AUTH_FAILED, NULL}},
	{"authentication", {ERR_DENIED, REASON_AUTH_FAILED, NULL}},
	{"channel binding", {ERR_DENIED, REASON_AUTH_FAILED, NULL}},
};

static const struct verdict unreachable = {ERR_TRANSIENT, REASON_SOURCE_UNREACHABLE, NULL};

static struct verdict classify_text(const char *message)
{
	for (size_t i = 0; i < ARRAY_SIZE(texts); i++)
		if (strstr(message, texts[i].fragment))
			return texts[i].verdict;
	return unreachable;
}

static struct verdict classify_state(const char *sqlstate)
{
	enum err_kind found = pg_sqlstate_kind(sqlstate);

	/* Protocol violation, or an unsupported feature: no Postgres server answers a new connection like that. */
	if (strcmp(sqlstate, "08P01") == 0 || strcmp(sqlstate, "0A000") == 0)
		return pooler;
	if (found == ERR_DENIED || strcmp(sqlstate, "3D000") == 0)
		return (struct verdict){found, pg_sqlstate_reason(sqlstate), NULL};
	/* A session option that the server does not know. */
	if (strcmp(sqlstate, "42704") == 0)
		return (struct verdict){ERR_INVALID, REASON_VERSION_UNSUPPORTED, "version 14 or later is needed"};
	return unreachable;
}

int pg_err_pooler(const char *found, struct err *err)
{
	return err_reason(err, pooler.kind, pooler.reason, "%s; %s", found, pooler.advice);
}

int pg_err_connect(const struct pg_connect_failure *failure, struct err *err)
{
	struct verdict verdict;
	const char *words = verify_words(failure->verify);
	char sqlstate[6] = "";
	const char *text = failure->message, *after = strstr(text, "failed: ");
	struct strbuf sb;

	strbuf_init(&sb, MESSAGE_BYTES);
	if (after)
		text = after + strlen("failed: ");
	after = find_sqlstate(text, sqlstate);
	verdict = after ? classify_state(sqlstate) : failure->needs_password ? no_password : classify_text(text);
	if (!after && words && verdict.reason == REASON_TLS)
		strbuf_adds(&sb, words);
	else
		pg_flatten(&sb, after ? after : text);
	(void)err_reason(err, verdict.kind, verdict.reason,
			 "cannot connect to Postgres at %s:%d, database \"%s\", as \"%s\": %s%s", failure->params->host,
			 failure->params->port, failure->params->database, failure->params->user,
			 verdict.reason == REASON_TLS ? "TLS: " : "", sb.len ? sb.data : "no reason given");
	(void)snprintf(err->sqlstate, sizeof(err->sqlstate), "%s", sqlstate);
	if (verdict.advice)
		err_append(err, "; %s", verdict.advice);
	strbuf_release(&sb);
	return -1;
}
