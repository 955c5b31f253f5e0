/* The worker's engine: keeps the indices of one PgSync equal to its joins, from preflight to bootstrap to stream.
 *
 * It does not know Kubernetes. sync_run makes attempts: connect, check, prepare publication, slot and indices, then
 * run until something fails; what failed becomes conditions, and the next attempt starts from durable state alone (the
 * slot and the checkpoint). So every recovery is the same path as a start.
 *
 * Threads: the caller's reports; the control thread makes the attempts, and watches while one runs; the stream thread
 * reads the replication stream and acknowledges; one applier turns dirty keys into documents; `bootstrap.parallelism`
 * more fill a new generation. The invariant that makes their order irrelevant: a document written with external version
 * V was read in a snapshot that holds every commit up to V.
 */
#ifndef PGSYNC_SYNC_SYNC_H
#define PGSYNC_SYNC_SYNC_H

#include <stdbool.h>
#include <stdint.h>

#include <jansson.h>

#include "base/err.h"
#include "base/findings.h"
#include "base/mem.h"
#include "base/sections.h"
#include "base/strbuf.h"
#include "spec/spec.h"

struct apply_single;
struct checkpoint;
struct metrics;
struct waits;

struct sync_options {
	const struct spec *spec; /* resolved; outlives the call */
	/* What validating the spec found, or NULL. With an error among them, attempts end after the checks: every error
	 * in schema and database is reported at once, and nothing is changed. The source itself must be valid
	 * (findings_any_about). */
	const struct findings *spec_findings;
	bool source_only;     /* checks leave the search engine alone */
	bool slot_name_given; /* the slot's name is the user's choice, not derived from the resource: an unknown slot is
				 not ours */
	bool leave_unreachable; /* a cleanup leaves behind what it cannot reach, and says so in an event */
	bool until_caught_up;   /* end with success once everything committed before the start is in the indices */
	/* A supervisor starts and stops this worker. If another worker has its slot, it ends (CONFLICT/SlotTaken)
	 * instead of waiting for its turn, so that a worker that was replaced never comes back by itself. */
	bool supervised;
	int stop_fd;             /* readable: stop, finish what is under way, return 0 */
	struct metrics *metrics; /* or NULL */
	struct waits *waits;     /* told what is in the index; or NULL */
	/* Called from the thread of sync_run a few times a second, also when nothing changed: {"phase", "conditions",
	 * "bootstrap", "stream", "indices"}, a fragment of a PgSync's status. Borrowed. It must not block. */
	void (*report)(void *user, const json_t *report);
	/* Something worth an event of the resource, from another thread, but never while report is being called. May be
	 * NULL. */
	void (*event)(void *user, bool warning, enum reason reason, const char *action, const char *note);
	void *user;
};

/* With spec.mode Plan it checks, reports what it would do, and repeats that now and then: nothing is changed.
 *
 * Runs until stop_fd is readable (0), until caught up if asked (0), or until an error that no later attempt can
 * recover from (negative). */
int sync_run(const struct sync_options *options, struct err *err) WARN_UNUSED;

/* Connects, checks everything, and creates what sync_run would create before it reads a row: replica identities,
 * publication, slot, and an index to fill. What exists stays as it is. It makes one attempt: a server that is away is
 * an error, and nothing is created if the findings contain an error. If another process streams from the slot,
 * everything is left to that process (a warning with reason SlotActive). */
int sync_prepare(const struct sync_options *options, struct findings *findings, struct err *err) WARN_UNUSED;

/* Cleans up according to the spec's deletionPolicy: slot, publication, index and checkpoint are deleted, replica
 * identities restored. Every step may be repeated. */
int sync_cleanup(const struct sync_options *options, struct err *err) WARN_UNUSED;

/* Connects, checks everything, changes nothing. Adds to findings; what validating the spec found
 * comes from `spec_findings`, as above. */
int sync_check(const struct sync_options *options, struct findings *findings, struct err *err) WARN_UNUSED;

/* Does the same, and if there is no error, appends what an administrator should see: SQL with the server's plans, the
 * mapping, how changes find their roots, and replica identities to set. */
int sync_plan(const struct sync_options *options, struct findings *findings, struct sections *out,
	      struct err *err) WARN_UNUSED;

/* --- looking, while a worker runs or not: by connections that last as long as the call */

/* What the document of an _id would be now; as connector_read_single. */
int sync_read_document(const struct sync_options *options, size_t document, const char *id, struct apply_single *ret,
		       struct err *err) WARN_UNUSED;
/* The caller releases it, after an error as well. */
int sync_read_checkpoint(const struct sync_options *options, struct checkpoint *ret, struct err *err) WARN_UNUSED;

#endif
