/* The names that an attempt writes under, so that no write of an earlier one can still arrive.
 *
 * A request may be in flight for any time: a proxy holds it back, or the worker is frozen in the middle of it. When it
 * arrives, versions make it lose against a document, but not against a deletion: the engine forgets the version of a
 * deleted document when a shard is reopened or moved, or after index.gc_deletes. So each attempt writes under its own
 * names, "<index>-W<token>", and removes the names of all other attempts before it reads anything. The engine then
 * refuses requests that still use them. A capital letter is allowed in an alias but not in an index, so a late write
 * cannot make the engine create an index of that name either.
 *
 * This relies on one assumption: once a node of the engine has accepted a request and resolved its names, it carries it
 * out or refuses it without delay, at the latest after the request's own time-out (a minute, if a shard is
 * unavailable). */
#ifndef PGSYNC_SINK_WRITE_ALIAS_H
#define PGSYNC_SINK_WRITE_ALIAS_H

#include "base/err.h"
#include "sink/sink.h"

enum { WRITE_ALIAS_TOKEN_BYTES = 17 };

/* A token that no other attempt has. */
void write_alias_token(char token[WRITE_ALIAS_TOKEN_BYTES]);
/* "<index>-W<token>"; caller frees. */
char *write_alias_name(const char *index, const char *token);
/* Makes the index writable under this sink's name, and under no other such name. NOT_FOUND: the index does not
 * exist. */
int write_alias_take(const struct sink *sink, const char *index, struct err *err) WARN_UNUSED;
/* Removes every such name. An index that is absent, or that the login may not access, counts as having none. */
int write_alias_drop(const struct sink *sink, const char *index, struct err *err) WARN_UNUSED;

#endif
