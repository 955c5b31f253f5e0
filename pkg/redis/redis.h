/* Redis, over hiredis: one short-lived connection for each use, which gets, sets and deletes values.
 *
 * hiredis formats commands and parses replies; the connection itself is libcurl's (http_pipe), for its name resolution,
 * its TLS, and the addresses that this process does not connect to. Everything on a connection, from connecting to the
 * last reply, has REDIS_TIMEOUT_MS. A value may be 16 MiB long, any other reply 64 KiB, and an array may have 16
 * items; a larger one is an error. What the server writes in an error is never part of ours.
 *
 * Errors: those of http_do when there is no answer; DENIED/AuthFailed for a wrong user or password;
 * DENIED/PrivilegeMissing when the user may not run a command; TRANSIENT for what passes (loading, a replica, full).
 */
#ifndef PGSYNC_REDIS_REDIS_H
#define PGSYNC_REDIS_REDIS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/mem.h"

enum { REDIS_TIMEOUT_MS = 5000 };

/* Where a server is. Everything is borrowed. */
struct redis_server {
	const char *host; /* with Sentinel: the name that it knows the master by */
	unsigned port;
	unsigned database;
	bool tls;
	const char *ca_pem;              /* NULL: the system's */
	const char *username, *password; /* or NULL */
	const char *const *sentinels;    /* "host:port" each; they are asked for the master's address */
	size_t n_sentinels;
	bool (*cancelled)(void *user); /* may be NULL; true ends every wait with ERR_CANCELLED */
	void *user;
};

struct redis;

/* Connects, logs in, and selects the database. */
int redis_open(const struct redis_server *server, struct redis **ret, struct err *err) WARN_UNUSED;
void redis_close(struct redis *redis);
CLEANUP(struct redis, redis_close);

/* *ret: the value, which the caller frees; NULL: there is none. */
int redis_get(struct redis *redis, const char *key, char **ret, size_t *ret_len, struct err *err) WARN_UNUSED;
/* From here on, a change of the key by anybody makes the next redis_set of this connection fail. */
int redis_watch(struct redis *redis, const char *key, struct err *err) WARN_UNUSED;
/* CONFLICT if a key was changed since it was watched. */
int redis_set(struct redis *redis, const char *key, const char *value, size_t len, struct err *err) WARN_UNUSED;
/* Success if it does not exist. */
int redis_delete(struct redis *redis, const char *key, struct err *err) WARN_UNUSED;

#endif
