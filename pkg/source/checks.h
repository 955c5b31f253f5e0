/* Checks of the server, of tables and of views: everything that can be checked before anything is changed.
 *
 * Each check is a pure function of what was read before it, with a line in the table of checks.c. Findings come in the
 * order of that table: the server's first, then each table's, then each view's. */
#ifndef PGSYNC_SOURCE_CHECKS_H
#define PGSYNC_SOURCE_CHECKS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/findings.h"
#include "document/document.h"
#include "source/identity.h"
#include "source/source.h"

/* The server's settings and the role's privileges. */
struct checks_server {
	int version;           /* 170010 */
	char wal_level[16];    /* in effect */
	bool raises_wal_level; /* from replica, for the first logical slot; it also lowers it after the last */
	char role[64];
	char encoding[16]; /* of the database */
	int64_t free_slots, free_senders;
	bool has_slot, has_publication; /* ours */
	bool may_replicate; /* as read: the role has the attribute; the caller may find that it can do without */
	bool may_create, bypasses_row_security;
	bool is_standby, feeds_back; /* hot_standby_feedback is on */
};

/* The tables to check. */
struct checks_subject {
	const struct catalog *catalog;
	const struct source_tables *tables; /* that compiled documents read */
	const bool *named; /* for each table of the catalog: a document that did not compile names it */
};

/* That the server can convert the texts of a session's database to UTF-8. */
int checks_encoding(struct pg *pg, const char *database, struct err *err) WARN_UNUSED;
int checks_read_server(const struct source *source, struct checks_server *ret, struct err *err) WARN_UNUSED;
/* False for a standby that checks_server refuses (pure); the schema cannot be checked there. */
bool checks_may_follow(const struct source *source, const struct checks_server *server);
void checks_server(const struct source *source, const struct checks_server *server, struct findings *f);
/* The link columns of a table, and so the replica identity that it needs, are only known if a compiled document reads
 * it. */
int checks_tables(const struct source *source, const struct checks_server *server, const struct checks_subject *subject,
		  struct findings *f, struct err *err) WARN_UNUSED;
/* A standby must have the publication already. */
int checks_published(const struct source *source, const struct source_tables *tables, struct findings *f,
		     struct err *err) WARN_UNUSED;
void checks_views(const struct source *source, const struct checks_server *server, const struct document_view *views,
		  size_t n, struct findings *f);

/* --- the checks of one subject --- */

enum check_needs {
	CHECK_NEEDS_SERVER,
	CHECK_NEEDS_TABLE,    /* table, name, overlaps */
	CHECK_NEEDS_IDENTITY, /* table, name, gaps, read */
	CHECK_NEEDS_VIEW,     /* view, name */
};

struct check_input {
	const struct source *source;
	const struct checks_server *server;
	const struct catalog_table *table;
	const char *name;                 /* "schema.table" */
	bool overlaps;                    /* the table is a partition of a table that the schema names too */
	const struct identity_gaps *gaps; /* of the table */
	const struct source_table *read;  /* the table as documents read it */
	const struct document_view *view;
};

/* Runs the checks of that need. */
void checks_run(enum check_needs needs, const struct check_input *in, struct findings *f);

#endif
