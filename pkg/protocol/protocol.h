/* The protocol between the operator and its workers: both sides encode and decode with this package.
 *
 * A worker is a child process of the operator (`pgsync worker`). It gets its work as one line on descriptor 3 and
 * answers with lines on descriptor 4. A line is one JSON object, in UTF-8 and without NUL characters, and ends with
 * '\n'. Operator and worker are of the same release, so there is no version; unknown keys are ignored.
 *
 * To the worker, one line, the assignment (at most PROTOCOL_ASSIGNMENT_BYTES):
 *
 *   {"task": "run" | "check" | "cleanup" | "verify", "resource": {"metadata": ..., "spec": ...}, "schema": TEXT,
 *    "secrets": {NAME: {KEY: VALUE}}, "configMaps": {NAME: {KEY: VALUE}}, "secretLabel": TEXT, "denied": [TEXT],
 *    "leaveUnreachable": BOOL, "serviceNames": BOOL, "clients": BOOL}
 *
 * The spec comes without its schema, which is beside it as the text that the API server sent: the operator never parses
 * a schema, which may be large. "secretLabel" is the label that Secrets must have, and "denied" says which objects
 * could not be read, and why; both are for messages, and optional like the schema. With "serviceNames", a host without
 * a dot names a Service in the resource's namespace. With "clients", descriptor 5 is a channel over which the operator
 * hands over connections of clients (web/web.h); on each, the worker of a run serves GET /wait.
 *
 * The operator writes nothing after it, and keeps the descriptor open. The worker stops when the descriptor ends, which
 * means that the operator is gone, and on SIGTERM, with which the operator stops it; SIGKILL follows after a grace
 * period. The line contains credentials: it is never logged, and is wiped from buffers after use.
 *
 * From the worker, any number of lines (each at most PROTOCOL_MESSAGE_BYTES; longer ones are dropped), each with
 * exactly one of these keys:
 *
 *   {"report": {"phase", "conditions", "bootstrap", "stream", "indices", "findings", "moreFindings"}}   a fragment of
 * the resource's status; each report replaces the one before. A condition is {"type", "status", "reason", "message"}; a
 * finding is {"severity", "reason", "path", "message", "statement"}
 *   {"event": {"warning": BOOL, "reason", "action", "note"}}   becomes an event of the resource
 *   {"done": {"ok": BOOL, "reason", "message"}}                the result of a cleanup, sent once, before the exit
 *   {"verdict": {"usable": "no" | "check" | "run", "reason", "problem", "remark"}}   the result of a verification, sent
 *            once, before the exit: what can be done with the resource, everything that is wrong with it, and what is
 *            ignored
 *   {"sandbox": {"parts": [NAME]}}   what it has given up (base/sandbox.h); sent once, first
 *   {"heartbeat": {}}   the worker is alive; sent when nothing else was for PROTOCOL_HEARTBEAT_MS. An operator that
 *            misses two of them tells the user, and then kills the worker and starts another
 *
 * A line with none of them is of kind PROTOCOL_UNKNOWN, which the operator ignores. A line that is not such JSON, that
 * has two of them, or whose values have wrong types, is an error (kind INVALID), which the operator logs and skips.
 *
 * Everything here is pure and thread-safe, except protocol_read_assignment, which reads a descriptor. */
#ifndef PGSYNC_PROTOCOL_PROTOCOL_H
#define PGSYNC_PROTOCOL_PROTOCOL_H

#include <stdbool.h>
#include <stddef.h>

#include <jansson.h>

#include "base/err.h"
#include "base/mem.h"
#include "base/strbuf.h"

enum {
	PROTOCOL_INPUT_FD = 3,
	PROTOCOL_OUTPUT_FD = 4,
	PROTOCOL_CLIENTS_FD = 5,
	PROTOCOL_ASSIGNMENT_BYTES = 16 * 1024 * 1024,
	PROTOCOL_MESSAGE_BYTES = 1024 * 1024,
	PROTOCOL_HEARTBEAT_MS = 3000,
	PROTOCOL_SILENT_MS = 7500, /* two heartbeats are missing */
};

/* Exit codes of a worker. */
enum protocol_exit {
	PROTOCOL_EXIT_OK = 0,        /* stopped as asked, or the task is done */
	PROTOCOL_EXIT_FAILED = 1,    /* the operator starts it again, with a back-off */
	PROTOCOL_EXIT_BAD_INPUT = 2, /* the operator does not start it again until its input changes */
};

enum protocol_task {
	PROTOCOL_TASK_RUN,     /* with spec.mode Plan, it only checks and reports, as long as it runs */
	PROTOCOL_TASK_CHECK,   /* a run that ends before it changes anything, because the resource is not valid */
	PROTOCOL_TASK_CLEANUP, /* deletes what the resource's deletion policy names */
	PROTOCOL_TASK_VERIFY,  /* finds errors in the resource itself, and ends; it makes no connections */
};
/* "run", "check", "cleanup", "verify". */
const char *protocol_task_name(enum protocol_task task);

/* --- to the worker */

struct protocol_assignment {
	enum protocol_task task;
	json_t *resource, *secrets, *config_maps; /* objects; one reference each */
	char *schema;                             /* the JSON text of spec.schema; NULL: there is none. Owned */
	char *secret_label;                       /* NULL: none. Owned */
	json_t *denied;                           /* an array of strings, or NULL; one reference */
	bool leave_unreachable;                   /* a cleanup leaves behind what cannot be reached */
	bool service_names;                       /* a host without a dot names a Service in the resource's namespace */
	bool clients;                             /* there is a PROTOCOL_CLIENTS_FD */
};
void protocol_assignment_release(struct protocol_assignment *assignment);

/* The whole line, with its end. Caller frees it (free_secret). */
char *protocol_encode_assignment(const struct protocol_assignment *assignment);
/* line: without its end. Secrets and ConfigMaps may be absent. Errors: INVALID. */
int protocol_decode_assignment(const char *line, size_t len, struct protocol_assignment *ret,
			       struct err *err) WARN_UNUSED;
/* Reads the assignment from a descriptor, waiting for it, and wipes the buffers. Bytes that arrive together
 * with the line, but after it, are an error. Errors: INVALID (also for an end before the line is complete), LIMIT. */
int protocol_read_assignment(int fd, struct protocol_assignment *ret, struct err *err) WARN_UNUSED;

/* --- from the worker */

enum protocol_kind {
	PROTOCOL_UNKNOWN,
	PROTOCOL_REPORT,
	PROTOCOL_EVENT,
	PROTOCOL_DONE,
	PROTOCOL_VERDICT,
	PROTOCOL_SANDBOX,
	PROTOCOL_HEARTBEAT,
};

struct protocol_event {
	bool warning;
	enum reason reason;
	const char *action, *note;
};

struct protocol_result {
	bool ok;
	enum reason reason;
	const char *message;
};

/* What a worker can do with a resource. */
enum protocol_usable {
	PROTOCOL_USABLE_NO,
	PROTOCOL_USABLE_CHECK, /* it is invalid, but can be checked against the database, and cleaned up */
	PROTOCOL_USABLE_RUN,
};

struct protocol_verdict {
	enum protocol_usable usable;
	enum reason reason;           /* of the first problem */
	const char *problem, *remark; /* "": none */
};

/* A decoded line; the member that `kind` names is set, and points into `json`. */
struct protocol_message {
	enum protocol_kind kind;
	json_t *json; /* the whole line; one reference */
	const json_t *report;
	struct protocol_event event;
	struct protocol_result done;
	struct protocol_verdict verdict;
	unsigned sandbox; /* enum sandbox_part; names that this program does not know are left out */
};
void protocol_message_release(struct protocol_message *message);

/* Whole lines, with their ends; the caller frees them. Texts may be any bytes: what is not UTF-8 is replaced. */
char *protocol_encode_report(const json_t *report);
char *protocol_encode_event(const struct protocol_event *event);
char *protocol_encode_done(const struct protocol_result *done);
char *protocol_encode_verdict(const struct protocol_verdict *verdict);
char *protocol_encode_sandbox(unsigned parts);
/* The names of the parts, as in that line; a new reference. */
json_t *protocol_sandbox_names(unsigned parts);
char *protocol_encode_heartbeat(void);
/* line: without its end. Errors: INVALID. */
int protocol_decode_message(const char *line, size_t len, struct protocol_message *ret, struct err *err) WARN_UNUSED;
/* The "reason" of an object that a worker sent, `otherwise` when it has none. A newer worker may send a reason that
 * this program does not know: that is REASON_UNKNOWN, and the reason is put before the text under text_key ("NewWord:
 * text"), so that it is still shown. Events and results are decoded with it. */
enum reason protocol_take_reason(json_t *object, const char *text_key, enum reason otherwise);

/* --- bytes to lines */

/* Collects bytes, which come in blocks of any size, into lines of at most a given size. */
struct protocol_reader {
	struct strbuf line;
	bool complete;
};

enum protocol_read {
	PROTOCOL_READ_MORE,     /* all bytes were consumed, and the line is not complete yet */
	PROTOCOL_READ_LINE,     /* reader.line is a line, without its end, until the next call */
	PROTOCOL_READ_TOO_LONG, /* a line was longer than the limit, and is dropped */
};

void protocol_reader_init(struct protocol_reader *reader, size_t max_bytes);
/* Wipes its content. */
void protocol_reader_release(struct protocol_reader *reader);
/* Takes bytes from the block up to the end of a line, and moves *data and *len past them. */
enum protocol_read protocol_reader_next(struct protocol_reader *reader, const char **data, size_t *len);

#endif
