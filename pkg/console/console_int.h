/* What the files of this package share: what is known of the PgSyncs, and how it becomes JSON.
 *
 * Only the holder of the console's lock uses a store. */
#ifndef PGSYNC_CONSOLE_CONSOLE_INT_H
#define PGSYNC_CONSOLE_CONSOLE_INT_H

#include <stddef.h>
#include <stdint.h>

#include "base/clock.h"
#include "base/map.h"
#include "base/strbuf.h"
#include "console/console.h"
#include "web/web.h"

enum {
	CONSOLE_EVENTS = 40,               /* of a PgSync */
	CONSOLE_SCHEMA_BYTES = 128 * 1024, /* a larger one is not shown */
	CONSOLE_MESSAGE_BYTES = 300,       /* of a message in the list; the page of the PgSync has all of it */
	CONSOLE_STEP_MS = 5000,            /* of a history */
	CONSOLE_STEPS = 180,               /* 15 minutes */
	CONSOLE_HISTORIES = 4000,          /* PgSyncs that have one: about 17 MiB */
	CONSOLE_FILES = 11,
	CONSOLE_LOOK_FILES = 2,
};

/* --- summary.c: pure */

/* One line of the list, as JSON; caller frees. */
char *console_summary(const struct console_pgsync *pgsync);

/* --- history.c: pure */

enum console_counts { CONSOLE_COUNTS_NOTHING, CONSOLE_COUNTS_WAL, CONSOLE_COUNTS_ROWS };

/* What a PgSync was like at one time; -1 is unknown. */
struct console_sample {
	uint64_t counter; /* a position of the WAL, or rows that a bootstrap has copied */
	int64_t wal_bytes;
	int32_t lag_s;
	uint8_t counts; /* enum console_counts */
};

/* All zeros is empty. 24 bytes a sample; with 1,000 PgSyncs, malloc gives 4,344 bytes to each of these, and
 * 1.2 KB to the rest of an entry whose status is short. */
struct console_history {
	int64_t newest; /* its step, counted from the start of the clock */
	size_t n;       /* samples: consecutive steps up to the newest */
	struct console_sample samples[CONSOLE_STEPS];
};

struct console_sample console_history_sample(const json_t *resource);
/* The sample is valid from now on, until the next one; the last one of a step counts. */
void console_history_add(struct console_history *history, int64_t now_ms, const struct console_sample *sample);
/* Lag, WAL or rows a second, and retained WAL for each step up to now, oldest first. history: NULL if there is none. */
void console_history_json(const struct console_history *history, int64_t now_ms, struct strbuf *ret);

/* --- store.c */

struct console_entry {
	char *namespace, *name;
	char *summary; /* NULL: nothing is known yet but events */
	char *status, *schema;
	char created[CLOCK_RFC3339_BYTES];
	char *events[CONSOLE_EVENTS];    /* JSON; a ring */
	size_t n_events;                 /* of all time */
	struct console_history *history; /* NULL: there were CONSOLE_HISTORIES already */
	uint64_t revision;               /* when the summary changed last */
	uint64_t detail;                 /* when anything did */
};

/* A revision is a number of changes. Who has seen one needs only what is newer, unless a PgSync has gone since. */
struct console_store {
	struct map *entries; /* "namespace/name" -> struct console_entry */
	uint64_t revision;   /* of everything */
	uint64_t removed;    /* when the last PgSync went */
	uint64_t instance;   /* a number of this process: another one counts from 0 */
	size_t n_histories;
	bool leading;
	bool of_worker; /* console_options.of_worker */
	bool looks;     /* there are console_options.routes */
};

void console_store_init(struct console_store *store, const struct console_options *options);
void console_store_release(struct console_store *store);
void console_store_lead(struct console_store *store, bool leading);
void console_store_show(struct console_store *store, const struct console_pgsync *pgsync, int64_t now_ms);
void console_store_event(struct console_store *store, const char *namespace, const char *name,
			 const struct console_event *event, int64_t wall_us);
void console_store_forget(struct console_store *store, const char *namespace, const char *name);
void console_store_forget_all(struct console_store *store);

/* The cursor that names the present revision: caller frees. */
char *console_store_cursor(const struct console_store *store);
/* The list as JSON. With a cursor that was returned before, only what has changed since, if that can be told. */
void console_store_list(const struct console_store *store, const char *since, struct strbuf *ret);
/* NULL: there is none. Borrowed. */
const struct console_entry *console_store_find(const struct console_store *store, const char *namespace,
					       const char *name);
/* Its status, schema and events, and what to do about each reason of a condition. */
void console_entry_json(const struct console_store *store, const struct console_entry *entry, struct strbuf *ret);

/* --- pages.c */
/* The routes of the files are written to routes, which has room for CONSOLE_FILES. */
void console_file_routes(struct web_route *routes);
/* The same for the page that asks for console_options.routes: CONSOLE_LOOK_FILES. */
void console_look_routes(struct web_route *routes);

#endif
