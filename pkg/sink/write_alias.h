/* The names that an attempt writes under, so that no write of an earlier one can still arrive.
 *
 * A request may be under way for as long as it likes: a proxy holds it, or a worker is frozen in the middle of it. When
 * it arrives, versions make it lose against a document, but not against a deletion: the engine forgets the version of
 * what was deleted when a shard is opened again, moved, or after index.gc_deletes. So each attempt writes under its own
 * names, "<index>-W<token>", and takes the names of all others away before it reads anything. What still names
 * them is refused by the engine. A capital letter is allowed in an alias, but not in an index: so a late write cannot
 * make the engine create an index of that name either.
 *
 * What this relies on: a request that a node of the engine has taken in, with its names resolved, is carried out or
 * refused without being held, at the latest after its own time-out (a minute, if a shard is away).
 */
#ifndef PGSYNC_SINK_WRITE_ALIAS_H
#define PGSYNC_SINK_WRITE_ALIAS_H

#include "base/err.h"
#include "sink/sink.h"

enum { WRITE_ALIAS_TOKEN_BYTES = 17 };

/* A token that no other attempt has. */
void write_alias_token(char token[WRITE_ALIAS_TOKEN_BYTES]);
/* "<index>-W<token>"; caller frees. */
char *write_alias_name(const char *index, const char *token);
/* The index can be written under this sink's name, and under no other of the kind. NOT_FOUND: it is not there. */
int write_alias_take(const struct sink *sink, const char *index, struct err *err) WARN_UNUSED;
/* Takes every name of the kind away. An index that is absent, or that the login may not touch, has none. */
int write_alias_drop(const struct sink *sink, const char *index, struct err *err) WARN_UNUSED;

#endif
