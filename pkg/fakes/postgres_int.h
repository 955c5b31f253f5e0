/* What the files of the fake Postgres share. */
#ifndef PGSYNC_FAKES_POSTGRES_INT_H
#define PGSYNC_FAKES_POSTGRES_INT_H

#include "base/mem.h"
#include "base/strbuf.h"
#include "fakes/gate.h"
#include "fakes/postgres.h"
#include <stdatomic.h>

enum { FAKE_SESSIONS = 64, FAKE_MESSAGE_BYTES = 128 * 1024 * 1024 };

struct fake_result {
	struct strbuf rows; /* DataRow messages */
	size_t n_columns;
	const char *sqlstate, *message; /* it fails after the rows; or NULL */
};

struct fake_session {
	struct fake_postgres *server;
	pthread_t thread;
	int fd;
	uint32_t pid;
	char application[64];
	bool replication, streams;
	char status;     /* of the transaction: 'I', 'T', 'E' */
	bool skips;      /* after an error, until Sync */
	char **prepared; /* pairs of name and SQL */
	size_t n_prepared;
	char *sql; /* bound */
	char *params[FAKE_PARAMS];
	size_t n_params;
	struct strbuf in, out;
};

struct fake_postgres {
	int fd, port;
	fake_query_fn *answer;
	atomic_bool standby;
	void *user;
	pthread_t thread;
	struct fake_session sessions[FAKE_SESSIONS];

	pthread_mutex_t lock; /* for all below, and while answer runs */
	pthread_cond_t changed;
	unsigned n_sessions;
	unsigned cancels;
	struct fake_session *walsender; /* streams, or NULL */
	struct fake_feedback feedback;
};

/* Big-endian numbers. */
void fake_put16(struct strbuf *sb, uint16_t value);
void fake_put32(struct strbuf *sb, uint32_t value);
void fake_put64(struct strbuf *sb, uint64_t value);
void fake_put_text(struct strbuf *sb, const char *text); /* with its NUL */
/* A message: its type, its length, its body. */
void fake_put_message(struct strbuf *sb, char type, const struct strbuf *body);
void fake_put_error(struct strbuf *sb, const char *sqlstate, const char *message);
void fake_send(int fd, const struct strbuf *sb);

/* --- walsender.c --- */
/* A CopyData message of the client. The lock is held. */
void fake_walsender_receive(struct fake_session *s, const char *data, size_t len);

#endif
