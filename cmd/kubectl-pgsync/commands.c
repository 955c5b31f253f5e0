/* The commands, and what --help tells about each. */
#include <stdint.h>

#include "plugin.h"

const struct command plugin_commands[] = {
	{"status", plugin_status, "Ao", 0, 1, "[NAME] [OPTION]...",
	 "whether data flows, how far behind, and what to do",
	 "With a NAME: one screen about this PgSync, with the verdict first: whether data flows, how far the index is "
	 "behind the tables, and what to do; then slot, indices, conditions and recent events. Without: one line for "
	 "each. Verdicts are Flowing, Suspended (as asked), Working (on its way), Late, Degraded, Broken, and Unknown "
	 "(for instance, because no operator renews its Lease).",
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
	 "PgSync is resumed.",
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
	 "one is complete.",
	 "kubectl pgsync resync books\n", NULL},
	{"lag", plugin_lag, "Aw", 0, 0, "[OPTION]...", "how far behind each index is",
	 "One line for each PgSync: the age of the oldest change that is not in the index yet, the WAL that was "
	 "written and not confirmed, what the server retains for the slot, and the verdict.",
	 "kubectl pgsync lag -A\n"
	 "kubectl pgsync lag --watch\n",
	 NULL},
	{"top", plugin_top, "A", 0, 0, "[OPTION]...", "a live overview of all of them",
	 "PgSyncs with verdict, lag, retained WAL, documents, dead letters and bootstrap, as they change; those that "
	 "need attention come first. Control-C ends it. Without a terminal it is printed once.",
	 "kubectl pgsync top -A\n", NULL},
	{"logs", plugin_logs, "f", 1, 1, "NAME [OPTION]...", "the log lines about one PgSync",
	 "Reads the logs of the operator's pods and prints the lines that are about this PgSync: those of the operator "
	 "and those of its worker. It needs the right to read logs in the operator's namespace.",
	 "kubectl pgsync logs books\n"
	 "kubectl pgsync logs -f books -n shop\n",
	 NULL},
	{"dead-letters", plugin_dead_letters, "Ar", 0, SIZE_MAX, "[NAME]... [OPTION]...",
	 "documents that failed, and another attempt",
	 "How many documents of each index the search engine refused, or could not be built. With --retry, the worker "
	 "tries all of them again. `pgsync dead-letters` shows them one by one, if you can reach the search engine.",
	 "kubectl pgsync dead-letters\n"
	 "kubectl pgsync dead-letters books --retry\n",
	 "0  there are none; with --retry: requested\n"
	 "1  there are some\n"
	 "2  an option or an argument is invalid; nothing was done\n"
	 "3  the API server cannot be reached or refuses, or has no such PgSync\n"},
	{"report", plugin_report, "F", 1, 1, "NAME [OPTION]...", "one archive for a bug report, without secrets",
	 "Writes a tar archive with what others need to understand a problem: the PgSync with its status and events, "
	 "the operator's Lease and pods, the log lines about this PgSync, and versions. Secrets are never read; what "
	 "looks like a password or a token is removed. What may not be read is listed in not-read.txt.",
	 "kubectl pgsync report books\n"
	 "kubectl pgsync report books -n shop --file books.tar\n",
	 NULL},
	{"plan", plugin_plan, "l", 1, 1, "NAME [OPTION]...", "what the operator found, and what a start would change",
	 "Prints the findings of the operator with the SQL that each one advises: errors, what a start would change, "
	 "and "
	 "warnings. They are complete in mode Plan (spec.mode). With --local, it reads the PgSync and its Secrets with "
	 "your rights and runs `pgsync plan` on this machine, which must reach Postgres and the search engine: that "
	 "adds "
	 "the SQL of the documents, their query plans, the mapping and what a start would do. Nothing is changed.",
	 "kubectl pgsync plan books\n"
	 "kubectl pgsync plan books --local -n shop\n",
	 "0    no error was found\n"
	 "1    an error was found, the check failed, or this spec was not checked yet\n"
	 "2    an option or an argument is invalid\n"
	 "3    the API server cannot be reached or refuses, or has no such PgSync\n"
	 "127  --local: pgsync is not beside this program\n"
	 "Once pgsync runs, with --local, the status is that of `pgsync plan`.\n"},
	{"compare", plugin_compare, "#io", 1, 1, "NAME ID [OPTION]...", "compare a document with what Postgres has now",
	 "Compares a document of the index with what its row gives now, and prints what differs. ID is the _id of the "
	 "document. It reads the PgSync and its Secrets with your rights and runs `pgsync compare` on this machine, "
	 "which must reach Postgres and the search engine. Nothing is changed.",
	 "kubectl pgsync compare books 7\n"
	 "kubectl pgsync compare books 7 --index books -n shop -o json\n",
	 "0    they are equal; or there is no such document and no such row\n"
	 "1    they differ\n"
	 "2    an option or an argument is invalid\n"
	 "3    a server cannot be reached or refuses, or there is no such PgSync\n"
	 "127  pgsync is not beside this program\n"},
	{.name = "init", .help = "propose a PgSync from foreign keys (pgsync init)"},
	{0},
};
