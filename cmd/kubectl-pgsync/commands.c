/* The commands, and what --help tells about each. */
#include <stdint.h>

#include "plugin.h"

const struct command plugin_commands[] = {
	{"status", plugin_status, "Ao", 0, 1, "[NAME] [OPTION]...",
	 "whether data flows, how far behind, and what to do",
	 "With a NAME: one screen about this PgSync, with the verdict first: whether data flows, how far the index is "
	 "behind "
	 "the tables, and what to do; then slot, indices, conditions and recent events. Without: one line for each. "
	 "Verdicts are Flowing, Suspended (as asked), Working (on its way), Late, Degraded, Broken, and Unknown (for "
	 "instance, because no operator renews its Lease).",
	 "kubectl pgsync status\n"
	 "kubectl pgsync status books -n shop\n"
	 "kubectl pgsync status -A -o json\n"
	 "until kubectl pgsync status books; do sleep 5; done\n",
	 "0  each is as its spec asks: Flowing or Suspended\n"
	 "1  at least one has another verdict\n"
	 "2  an option or an argument is invalid\n"
	 "3  the API server cannot be reached or refuses, or has no such PgSync\n"},
	{"suspend", plugin_change, "", 1, SIZE_MAX, "NAME... [OPTION]...", "stop the data flow; the slot stays",
	 "Sets spec.suspend: the worker stops, searches see the index as it is, and Postgres retains WAL until the "
	 "PgSync "
	 "is resumed.",
	 "kubectl pgsync suspend books\n", NULL},
	{"resume", plugin_change, "", 1, SIZE_MAX, "NAME... [OPTION]...", "let data flow again",
	 "Sets spec.suspend to false: a worker starts and continues where the last one stopped.",
	 "kubectl pgsync resume books orders -n shop\n", NULL},
	{"restart", plugin_change, "", 1, SIZE_MAX, "NAME... [OPTION]...", "start a new worker; nothing is rebuilt",
	 "Raises spec.restartNonce: the operator replaces the worker, and the new one continues where the old one "
	 "stopped.",
	 "kubectl pgsync restart books\n", NULL},
	{"resync", plugin_change, "", 1, SIZE_MAX, "NAME... [OPTION]...", "build new indices behind the aliases",
	 "Raises spec.resyncNonce: every index is built again behind its alias. Searches see the old one until the new "
	 "one "
	 "is complete.",
	 "kubectl pgsync resync books\n", NULL},
	{0},
};
