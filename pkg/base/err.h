/* Errors as values.
 *
 * A fallible function takes `struct err *err` last and returns 0, or a negative number with *err filled in. A positive
 * return value is a condition that the function's header documents; the caller handles it and never forwards it. The
 * value lives on the caller's stack, so there is nothing to free. Library code never logs an error that it returns; the
 * code that decides what to do about it logs it. Policy (retry, give up, which condition) follows from `kind` and
 * `reason`, never from text.
 */
#ifndef PGSYNC_BASE_ERR_H
#define PGSYNC_BASE_ERR_H

#include <stdarg.h>
#include <stdint.h>

#include "base/reason.h"

#define WARN_UNUSED __attribute__((warn_unused_result))
#define PRINTF_LIKE(fmt, args) __attribute__((format(printf, fmt, args)))

enum err_kind {
	ERR_NONE = 0,
	ERR_TRANSIENT, /* may resolve itself: back off and try again */
	ERR_CONFLICT,  /* another client changed it or holds it */
	ERR_NOT_FOUND,
	ERR_INVALID,   /* the input is wrong; retrying cannot help */
	ERR_DENIED,    /* credentials or privileges */
	ERR_LIMIT,     /* a configured size or count is exceeded */
	ERR_CANCELLED, /* we were asked to stop */
	ERR_FATAL,     /* the program or the other side broke a rule */
};

enum { ERR_MSG_BYTES = 1024 };

struct err {
	enum err_kind kind;
	int code;               /* errno or HTTP status, 0 when neither */
	char sqlstate[6];       /* the SQLSTATE that Postgres reported, or "" */
	enum reason reason;     /* of the condition that it becomes, or REASON_NONE */
	int64_t retry_after_ms; /* what the other side asked for, or 0 */
	char msg[ERR_MSG_BYTES];
};

/* Fills *err in and returns -1, so that a failure is one line: return err_set(err, ERR_INVALID, "...", ...); */
int err_set(struct err *err, enum err_kind kind, const char *fmt, ...) PRINTF_LIKE(3, 4);
int err_vset(struct err *err, enum err_kind kind, const char *fmt, va_list ap) PRINTF_LIKE(3, 0);

/* As err_set, with the reason of the condition that it becomes. */
int err_reason(struct err *err, enum err_kind kind, enum reason reason, const char *fmt, ...) PRINTF_LIKE(4, 5);

/* As err_set from an errno value: ": strerror" is appended, kind TRANSIENT. */
int err_errno(struct err *err, int errnum, const char *fmt, ...) PRINTF_LIKE(3, 4);

/* Puts "context: " before the message and returns -1. Kind, code and reason stay. */
int err_wrap(struct err *err, const char *fmt, ...) PRINTF_LIKE(2, 3);

/* Appends to the message: what to do, or where. */
void err_append(struct err *err, const char *fmt, ...) PRINTF_LIKE(2, 3);

/* True if the same call may succeed later. */
int err_is_transient(const struct err *err);

const char *err_kind_name(enum err_kind kind);

#endif
