/* The text of --help: what each command is for, examples, environment, exit status. Options are printed from the tables
 * that parse them. */
#include <string.h>

#include "base/usage.h"
#include "cmd.h"

#define PROXIES                                                                         \
	"http_proxy, HTTPS_PROXY, NO_PROXY   how to reach the search engine; ignored\n" \
	"                                    for loopback addresses\n"
#define NO_LIBPQ "libpq's PG* variables are ignored: the PgSync defines the connection.\n"
#define PGSYNC_VARIABLES                                                                \
	"PG_HOST, PG_PORT, PG_USER, PG_PASSWORD, ELASTICSEARCH_URL, NUM_WORKERS, ...\n" \
	"The variables of pgsync 7, from the environment, then from the .env file.\n"   \
	"`pgsync import --variables` lists all of them, and what each one becomes.\n"

static const struct command_help {
	const char *name, *usage, *intro, *examples, *environment, *exit_status;
} helps[] = {
	{"pgsync",
	 "Usage: pgsync COMMAND [OPTION]...\n"
	 "       pgsync --config SCHEMA.JSON [OPTION]...\n",
	 "Keeps Elasticsearch or OpenSearch indices in sync with joins of Postgres tables.",
	 "pgsync plan -f pgsync.yaml              show SQL, mapping and any errors\n"
	 "pgsync run -f pgsync.yaml               fill the index, follow the tables\n"
	 "pgsync --config schema.json --daemon    the same, from pgsync 7's files\n"
	 "pgsync import -c schema.json | kubectl apply -f -\n",
	 PGSYNC_VARIABLES "They apply to the options above and to import and bootstrap, not to the other\n"
			  "commands.\n" PROXIES,
	 "0  done, caught up (without --daemon), or stopped by a signal\n"
	 "1  something failed; running it again may help\n"
	 "2  an option, a variable or schema.json is invalid; nothing was done\n"},
	{"run", "Usage: pgsync run -f FILE [OPTION]...\n",
	 "Keeps the indices of a PgSync in sync with its database, without Kubernetes: fills them if needed, then "
	 "follows the write-ahead log until SIGTERM or SIGINT. The replication slot remains, and the next run resumes "
	 "from it. Drop it if you do not intend to run again: an unused slot makes Postgres retain WAL.",
	 "pgsync run -f pgsync.yaml --listen 127.0.0.1:8080\n"
	 "pgsync run -f pgsync.yaml --console-listen 127.0.0.1:8082\n"
	 "pgsync run -f pgsync.yaml --until-caught-up --log-format json\n",
	 "PGSYNC_PASSWORD_FILE, PGSYNC_PASSWORD_COMMAND\n"
	 "                                    as --password-file, --password-command\n" PROXIES NO_LIBPQ,
	 "0  stopped by a signal, or caught up (--until-caught-up)\n"
	 "1  failed in a way that retrying within this run cannot repair\n"
	 "2  an option or the file is invalid; nothing was done\n"},
	{"validate", "Usage: pgsync validate -f FILE\n",
	 "Checks a PgSync without connecting to anything, and lists every error in it. Secrets that are not in the "
	 "file are reported as warnings.",
	 "pgsync validate -f pgsync.yaml\n"
	 "helm template books | pgsync validate -f -\n",
	 NULL,
	 "0  valid; there may be warnings\n"
	 "1  invalid, or the file cannot be read\n"
	 "2  an option is invalid\n"},
	{"plan", "Usage: pgsync plan -f FILE\n",
	 "Connects to Postgres and to the search engine, and prints any errors, the SQL of the documents with its "
	 "query plans, the mapping, and what a start would do. Changes nothing.",
	 "pgsync plan -f pgsync.yaml\n", PROXIES NO_LIBPQ,
	 "0  the PgSync can run; there may be warnings\n"
	 "1  it cannot: see the errors; or a server cannot be reached\n"
	 "2  an option is invalid\n"},
	{"dead-letters",
	 "Usage: pgsync dead-letters list -f FILE [OPTION]...\n"
	 "       pgsync dead-letters show ID -f FILE [OPTION]...\n"
	 "       pgsync dead-letters retry ID... | --all -f FILE [OPTION]...\n"
	 "       pgsync dead-letters discard ID... | --all -f FILE [OPTION]...\n",
	 "Documents that the search engine rejected, or that could not be built. ID is the _id of the document. retry "
	 "asks "
	 "the worker for another attempt, which it makes within seconds, or when it is started; discard deletes the "
	 "dead "
	 "letter alone, and its document stays missing or stale until one of its rows changes. All of them work while "
	 "a worker "
	 "runs. The reason that show prints may quote values of the row.",
	 "pgsync dead-letters list -f pgsync.yaml\n"
	 "pgsync dead-letters show 7 -f pgsync.yaml -o json\n"
	 "pgsync dead-letters retry --all -f pgsync.yaml\n"
	 "pgsync dead-letters discard 7 8 -f pgsync.yaml --index books\n",
	 PROXIES,
	 "0  done; list: there may be none\n"
	 "1  a document has no dead letter, or the search engine cannot be reached\n"
	 "2  an option or the file is invalid; nothing was done\n"},
	{"compare", "Usage: pgsync compare ID -f FILE [OPTION]...\n",
	 "Compares a document of an index with what its row gives now: runs the query that makes documents for this "
	 "one "
	 "row, and prints whether they are equal, or what differs. ID is the _id of the document; that of a key of "
	 "several columns has its values joined by \"|\". It works while a worker runs, needs one session of Postgres, "
	 "refreshes the index, and changes nothing. What it prints quotes values of the row.",
	 "pgsync compare 7 -f pgsync.yaml\n"
	 "pgsync compare '7|2' -f pgsync.yaml --index order-lines -o json\n"
	 "pgsync compare -f pgsync.yaml -- -7\n",
	 PROXIES NO_LIBPQ,
	 "0  they are equal; or there is no such document and no such row\n"
	 "1  they differ\n"
	 "2  an option, the file or the ID is invalid\n"
	 "3  a server cannot be reached or refuses\n"},
	{"init", "Usage: pgsync init [--root TABLE] [OPTION]...\n",
	 "Proposes a PgSync for the rows of a table: reads foreign keys, unique indexes, types and statistics of a "
	 "database, and prints columns, objects and lists of related rows, with its Secrets, for kubectl apply or "
	 "pgsync run. Comments say what was left out and why, what to know about mapping and sizes, and which indexes "
	 "are missing. Without --root, it lists the tables that can be the root. Edit what it prints. It changes "
	 "nothing, and reads no rows.",
	 "pgsync init --host db.example.com --user app --password --database shop\n"
	 "pgsync init --database shop --root orders > orders.yaml\n"
	 "PG_URL=postgresql://app@db.example.com/shop pgsync init --root orders\n",
	 "PG_URL, or PG_HOST, PG_PORT, PG_USER, PG_PASSWORD, PG_SSLMODE, ...\n"
	 "ELASTICSEARCH_URL, ...: the sink of the PgSync\n"
	 "These variables are read from the environment, then from the .env file.\n"
	 "`pgsync import --variables` lists all of them, and what each one becomes.\n",
	 "0  printed\n"
	 "1  Postgres cannot be reached or read, or the proposal needs an edit first\n"
	 "2  an option or a variable is invalid, or the table cannot be the root\n"},
	{"import", "Usage: pgsync import --config SCHEMA.JSON [OPTION]...\n",
	 "Converts a schema.json of pgsync 7 and its environment variables: prints a PgSync for each database, with "
	 "its "
	 "Secrets, for kubectl apply. Connects neither to Postgres nor to the search engine.",
	 "pgsync import --config schema.json --env-file .env > books.yaml\n"
	 "pgsync import --config schema.json --namespace shop | kubectl apply -f -\n"
	 "pgsync import --variables\n",
	 PGSYNC_VARIABLES,
	 "0  printed; ignored variables are listed in comments\n"
	 "1  the result cannot be written\n"
	 "2  an option, a variable or schema.json is invalid\n"},
	{"bootstrap",
	 "Usage: bootstrap --config SCHEMA.JSON [OPTION]...\n"
	 "       pgsync bootstrap --config SCHEMA.JSON [OPTION]...\n",
	 "Checks a schema.json of pgsync 7 against the database and the search engine, and creates the publication, "
	 "the "
	 "replication slot and an empty index where they are missing. It is safe to run before every start.",
	 "bootstrap --config schema.json && pgsync --config schema.json --daemon\n"
	 "until bootstrap -c schema.json; do sleep 3; done\n"
	 "bootstrap --config schema.json --teardown\n",
	 PGSYNC_VARIABLES PROXIES,
	 "0  pgsync can start; with --teardown: everything was removed\n"
	 "1  something is missing or failed: see the errors; running it again may help\n"
	 "2  an option, a variable or schema.json is invalid; nothing was done\n"},
	{"worker", "Usage: pgsync worker [OPTION]...\n",
	 "The worker that pgsync-operator starts for each PgSync. Not for interactive use; see pgsync run instead. "
	 "Reads its task, one JSON line, from descriptor 3 and writes reports, events and results as JSON lines to "
	 "descriptor 4. Stops when descriptor 3 is closed.",
	 NULL, PROXIES,
	 "0  done, or stopped as asked\n"
	 "1  failed: the operator starts it again, with a back-off\n"
	 "2  the input is invalid: the operator does not start it again until it changes\n"},
};

static const struct command_help *find(const char *name)
{
	for (size_t i = 0; i < ARRAY_SIZE(helps); i++)
		if (!strcmp(helps[i].name, name))
			return &helps[i];
	return NULL;
}

void help_begin(const char *name, FILE *to)
{
	const struct command_help *help = find(name);

	if (help) {
		(void)fprintf(to, "%s\n", help->usage);
		usage_paragraph(to, help->intro);
	}
}

void help_end(const char *name, FILE *to)
{
	const struct command_help *help = find(name);

	if (!help)
		return;
	if (help->examples)
		usage_section(to, "Examples", help->examples);
	if (help->environment)
		usage_section(to, "Environment", help->environment);
	usage_section(to, "Exit status", help->exit_status);
}
