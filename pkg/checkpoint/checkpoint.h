/* The progress of a sync: one JSON document per PgSync, in an index of the search engine or in Redis.
 *
 * The replication slot is the stream's offset; the checkpoint contains what the slot cannot know: its owner, the
 * history (system, timeline, slot) that versions belong to, the generation that is live or being built, the progress
 * of a bootstrap, and what to restore on deletion. Every save is conditional on the document being the one that was
 * loaded, so two workers cannot overwrite each other: the loser gets CONFLICT. Saves are durable when they return.
 *
 * A Redis may lose what was saved, or go back to something older. So the index keeps a stamp of each checkpoint in
 * Redis: which states of it are current, and the newest position. With another state, or none, the checkpoint is
 * `lost`, and the index is rebuilt; an older progress of the same state only repeats some work. If the stamp is older,
 * the search engine went back, and the checkpoint is `lost` as well. The stamp is also what is conditional: a worker
 * that cannot write it does not get to Redis.
 *
 * A struct checkpoint belongs to one thread: the one that owns the attempt.
 */
#ifndef PGSYNC_CHECKPOINT_CHECKPOINT_H
#define PGSYNC_CHECKPOINT_CHECKPOINT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <jansson.h>

#include "base/err.h"
#include "base/mem.h"
#include "base/reserved.h"

struct redis_server;
struct search;

/* The index that holds checkpoints; created at the first save. */
#define CHECKPOINT_INDEX RESERVED_CHECKPOINTS

enum checkpoint_phase {
	CHECKPOINT_NEW = 0,   /* nothing done yet */
	CHECKPOINT_PREPARING, /* publication, slot and indices are being created */
	CHECKPOINT_BOOTSTRAP, /* the generation is being filled, the stream flows into it */
	CHECKPOINT_LIVE,      /* the alias points to the generation */
};

/* A part of a bootstrap: one leaf relation, whose blocks below next_block are durable in the index. */
struct checkpoint_range {
	uint32_t relation; /* OID */
	uint32_t filenode;
	uint64_t next_block, end_block;
	uint64_t rows;
};

struct checkpoint_index {
	char *name;         /* the alias */
	int64_t generation; /* the one being written: <name>-g<generation> */
	int64_t live;       /* the one the alias points to; 0: none */
	uint64_t version;   /* the external version of bootstrap writes: an LSN */
	bool complete;      /* the bootstrap of `generation` is done */
	bool allow_shrink;  /* it replaces one whose rows were removed, so it may have fewer documents than the live one
			     */
	json_t *recipe; /* what the engine did with documents when the generation began (sink/recipe.h); NULL: not known
			 */
	char *outdated; /* why its documents may differ from those that it would be filled with now; NULL: they do not
			 */
	json_t *histories; /* of its shards (search_histories): with another one, writes may be missing; NULL: not known
			    */
	int64_t start_us, completion_us;
	uint64_t rows_total;
	struct checkpoint_range *ranges;
	size_t n_ranges;
};

/* What was changed in the user's database, to be restored on deletion. */
struct checkpoint_identity {
	char *schema, *table;
	char replica_identity; /* before: 'd', 'n', 'f', 'i' */
	char *identity_index;  /* when 'i' */
};

/* A partition whose rows are in the index. The stream does not report that one is attached or detached. */
struct checkpoint_part {
	uint32_t table, part; /* OIDs; of the partitioned table, and of what is below it */
	uint32_t attachment, filenode;
};

/* A transaction that the stream contained. Its commit is durable on the server, so every later state of the same
 * history contains it, at the same position. */
struct checkpoint_landmark {
	uint64_t lsn; /* of its commit; 0: none is known, as in checkpoints of earlier versions */
	uint32_t xid;
	int64_t commit_us;
};

struct checkpoint {
	enum checkpoint_phase phase;
	char *owner; /* the resource: "namespace/name" */
	char *owner_uid;
	char *system_identifier;
	uint32_t timeline;
	uint64_t timeline_begin; /* 0: it is the first one, or not known, as in checkpoints of earlier versions */
	char *slot, *publication;
	char *publication_fingerprint; /* of the publication that decodes everything the slot has not sent yet */
	bool publication_marked;       /* set since publications carry our mark: one without it is not ours. False in
					* checkpoints of earlier versions, which set no marks. */
	char *schema_hash;             /* of everything that the generations are built from: schema, columns, views; "":
					* rebuild */
	json_t *catalog_fingerprint; /* the catalog's state (not a digest) when the indices last matched it; or NULL */
	int64_t resync_nonce;
	uint64_t slot_lsn;      /* the slot's consistent point */
	uint64_t confirmed_lsn; /* up to here everything was durable at the last save, though possibly not acknowledged
				 * yet; a server that is behind it has another history */
	bool confirmed_first;   /* nothing above confirmed_lsn was ever acknowledged: if the slot is ahead of it, this
				 * is an older state of the checkpoint. False in checkpoints of earlier versions, which
				 * acknowledged first and saved later. */
	int64_t saved_us; /* wall time of the last save, for people; 0: not known, as in checkpoints of earlier versions
			   */
	struct checkpoint_landmark landmark; /* the newest at the last save */
	struct checkpoint_index *indices;
	size_t n_indices;
	struct checkpoint_identity *identities;
	size_t n_identities;
	struct checkpoint_part *parts;
	size_t n_parts;
	/* About what is stored; not a part of it. */
	int64_t seq_no, primary_term; /* of the document in the index; -1: there is none */
	bool lost;                    /* there was one in Redis, which has lost it, or it and its stamp do not match */
	bool in_redis;
	char *state;  /* in Redis: what the stamp says is current; or NULL */
	int64_t save; /* in Redis: how often it was saved */
	char *writer; /* in Redis: random, so that no two processes write the same stamp */
};

/* Where checkpoints are. Everything is borrowed. */
struct checkpoint_store {
	struct search *search;
	const struct redis_server *redis; /* or NULL: none is known */
	bool in_redis;                    /* this is where they are saved; they are loaded from wherever they are */
};

void checkpoint_release(struct checkpoint *cp);

/* key: "namespace/name/slot", at most 512 bytes. An absent document gives phase NEW, a lost one PREPARING.
 * INVALID/CheckpointCorrupt when it cannot be read, or when a newer version of the program wrote it;
 * INVALID/InvalidSpec when it is in Redis, and none is known. */
int checkpoint_load(const struct checkpoint_store *store, const char *key, struct checkpoint *ret,
		    struct err *err) WARN_UNUSED;
/* Updates when cp was saved and what it says about the stored one. CONFLICT/CheckpointConflict if another process saved
 * something else meanwhile. A save whose response was lost may be repeated; what is already stored counts as saved. */
int checkpoint_save(const struct checkpoint_store *store, const char *key, struct checkpoint *cp,
		    struct err *err) WARN_UNUSED;
/* Success if it does not exist. A Redis that cannot be reached keeps it: without its stamp it has no effect. */
int checkpoint_delete(const struct checkpoint_store *store, const char *key, struct err *err) WARN_UNUSED;
/* Whether it was loaded from another place than the one it is saved in: a save moves it. */
bool checkpoint_is_misplaced(const struct checkpoint_store *store, const struct checkpoint *cp);

/* The two directions of the stored form; pure. LSNs are stored as Postgres writes them. What is known about the stored
 * one is not part of it: encode leaves it out, decode sets seq_no and primary_term to -1. encode returns NULL when a
 * string is not UTF-8. */
json_t *checkpoint_encode(const struct checkpoint *cp);
int checkpoint_decode(const json_t *document, struct checkpoint *ret, struct err *err) WARN_UNUSED;

/* The entry of an index, or NULL; and the same, created if there is none. Valid until the next
 * checkpoint_ensure. */
struct checkpoint_index *checkpoint_find(const struct checkpoint *cp, const char *index);
struct checkpoint_index *checkpoint_ensure(struct checkpoint *cp, const char *index);
/* How many rows the bootstrap of `generation` has copied. */
uint64_t checkpoint_rows(const struct checkpoint_index *index);

#endif
