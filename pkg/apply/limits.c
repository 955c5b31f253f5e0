/* The limits of what reads documents. */
#include "apply/limits.h"

#include "postgres/pg.h"

int64_t limits_of_rows(const struct limits *limits, uint64_t n)
{
	return n > 1 && limits->snapshot_ms < limits->statement_ms ? limits->snapshot_ms : limits->statement_ms;
}

bool limits_engine_is_late(const struct err *err)
{
	return err->kind == ERR_CONFLICT && err->reason == REASON_LIMIT_EXCEEDED;
}

bool limits_may_split(const struct err *err)
{
	return pg_is_about_a_value(err) || pg_is_cancelled(err) || limits_engine_is_late(err);
}

int limits_exceeded_by(const char *what, const struct err *why, struct err *err)
{
	const struct err cause = *why;

	return err_reason(
		err, ERR_TRANSIENT, REASON_LIMIT_EXCEEDED,
		"reading %s takes longer than spec.source.limits.statementTimeoutSeconds allows, or was "
		"cancelled: look for a missing index or a slow function in the query (pgsync plan prints it), "
		"or raise the limit: %.300s",
		what, cause.msg);
}
