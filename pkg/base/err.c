/* Errors as values. */
#include "base/err.h"

#include <stdio.h>
#include <string.h>

int err_vset(struct err *err, enum err_kind kind, const char *fmt, va_list ap)
{
	*err = (struct err){.kind = kind};
	(void)vsnprintf(err->msg, sizeof(err->msg), fmt, ap);
	return -1;
}

int err_set(struct err *err, enum err_kind kind, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	(void)err_vset(err, kind, fmt, ap);
	va_end(ap);
	return -1;
}

int err_reason(struct err *err, enum err_kind kind, enum reason reason, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	(void)err_vset(err, kind, fmt, ap);
	va_end(ap);
	err->reason = reason;
	return -1;
}

int err_errno(struct err *err, int errnum, const char *fmt, ...)
{
	size_t len;
	va_list ap;
	char reason[128];

	va_start(ap, fmt);
	(void)err_vset(err, ERR_TRANSIENT, fmt, ap);
	va_end(ap);
	err->code = errnum;
	len = strlen(err->msg);
	(void)snprintf(err->msg + len, sizeof(err->msg) - len, ": %s", strerror_r(errnum, reason, sizeof(reason)));
	return -1;
}

int err_wrap(struct err *err, const char *fmt, ...)
{
	va_list ap;
	size_t len;
	char inner[ERR_MSG_BYTES];

	memcpy(inner, err->msg, sizeof(inner));
	va_start(ap, fmt);
	(void)vsnprintf(err->msg, sizeof(err->msg), fmt, ap);
	va_end(ap);
	len = strlen(err->msg);
	(void)snprintf(err->msg + len, sizeof(err->msg) - len, ": %s", inner);
	return -1;
}

void err_append(struct err *err, const char *fmt, ...)
{
	size_t len = strlen(err->msg);
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(err->msg + len, sizeof(err->msg) - len, fmt, ap);
	va_end(ap);
}

int err_is_transient(const struct err *err)
{
	return err->kind == ERR_TRANSIENT || err->kind == ERR_CONFLICT;
}

const char *err_kind_name(enum err_kind kind)
{
	static const char *const names[] = {
		[ERR_NONE] = "none",           [ERR_TRANSIENT] = "transient", [ERR_CONFLICT] = "conflict",
		[ERR_NOT_FOUND] = "not found", [ERR_INVALID] = "invalid",     [ERR_DENIED] = "denied",
		[ERR_LIMIT] = "limit",         [ERR_CANCELLED] = "cancelled", [ERR_FATAL] = "fatal",
	};

	return (unsigned)kind < sizeof(names) / sizeof(names[0]) ? names[kind] : "unknown";
}
