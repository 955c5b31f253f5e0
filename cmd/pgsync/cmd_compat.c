/* pgsync's own commands, `pgsync --config schema.json` and `bootstrap --config schema.json`, on this engine. */
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/log.h"
#include "compat.h"
#include "sync/sync.h"
#include "json/json.h"

/* One PgSync of the schema, in one of the ways below. */
typedef int compat_fn(const struct compat_flags *flags, const struct compat *c, size_t i);

static const char *database_of(const struct compat *c, size_t i)
{
	return c->inputs[i].spec->source.database;
}

static int print_failed(const struct compat_flags *flags, const struct compat *c, size_t i, const struct err *err)
{
	_cleanup_free_ char *message = import_place(&c->list[i], c->what, err->msg);

	(void)fprintf(stderr, "%s: database %s: %s\n", compat_name(flags->command), database_of(c, i), message);
	if (err->reason == REASON_INDEX_IN_USE && !flags->adopt)
		(void)fprintf(stderr,
			      "%s: use --adopt-existing-index instead: the existing index keeps serving searches until "
			      "the new one is complete, and is then replaced\n",
			      compat_name(flags->command));
	return EXIT_FAILED;
}

static struct sync_options options_of(const struct compat *c, size_t i)
{
	return (struct sync_options){.spec = c->inputs[i].spec, .slot_name_given = c->inputs[i].slot_name_given};
}

/* --- bootstrap --- */

/* The only wait that may be long and that a user would not expect. */
static void on_compat_report(void *user, const json_t *report)
{
	json_t *condition;
	size_t i;

	UNUSED(user);
	json_array_foreach (json_object_get(report, "conditions"), i, condition) {
		enum reason reason;

		if (reason_parse(jsonx_string(condition, "reason", ""), &reason) && reason == REASON_CREATING_SLOT)
			(void)fprintf(stderr, "bootstrap: %s\n", jsonx_string(condition, "message", ""));
	}
}

static int bootstrap_one(const struct compat_flags *flags, const struct compat *c, size_t i)
{
	struct sync_options options = options_of(c, i);
	const struct spec_source *source = &options.spec->source;
	struct findings found, shown;
	struct err err = {0};
	int code = EXIT_FAILED;

	findings_init(&found);
	findings_init(&shown);
	options.report = on_compat_report;
	options.stop_fd = stop_fd_open(-1, &err);
	if (options.stop_fd < 0 || sync_prepare(&options, &found, &err) < 0)
		(void)print_failed(flags, c, i, &err);
	else if (findings_failed(&found))
		(void)fprintf(stderr, "bootstrap: database %s is not ready, and nothing was changed:\n",
			      database_of(c, i));
	else
		code = EXIT_OK;
	compat_move(c, i, &shown, &found);
	cmd_print_findings(&shown);
	if (code == EXIT_OK)
		(void)printf("bootstrap: database %s is ready: publication %s, replication slot %s\n",
			     database_of(c, i), source->publication_name, source->slot_name);
	close_fdp(&options.stop_fd);
	findings_release(&found);
	findings_release(&shown);
	return code;
}

static int teardown_one(const struct compat_flags *flags, const struct compat *c, size_t i)
{
	struct sync_options options = options_of(c, i);
	struct err err = {0};
	int r = -1;

	options.stop_fd = stop_fd_open(-1, &err);
	if (options.stop_fd >= 0)
		r = sync_cleanup(&options, &err);
	close_fdp(&options.stop_fd);
	if (r < 0)
		return print_failed(flags, c, i, &err);
	(void)printf("bootstrap: database %s: dropped the publication, the replication slot and the checkpoint; kept "
		     "the index\n",
		     database_of(c, i));
	return EXIT_OK;
}

/* --- analyze --- */

static size_t print_missing(const struct findings *f)
{
	size_t n = 0;

	for (size_t i = 0; i < f->n; i++) {
		const struct finding *item = &f->items[i];

		if (item->reason != REASON_MISSING_INDEX || !item->statement)
			continue;
		(void)printf("-- %s: %.*s\n%s;\n", item->path, (int)strcspn(item->message, ";"), item->message,
			     item->statement);
		n++;
	}
	return n;
}

static int analyze_one(const struct compat_flags *flags, const struct compat *c, size_t i)
{
	struct sync_options options = options_of(c, i);
	struct findings found, shown;
	struct err err = {0};
	int code = EXIT_OK;

	findings_init(&found);
	findings_init(&shown);
	options.stop_fd = stop_fd_open(-1, &err);
	if (options.stop_fd < 0 || sync_check(&options, &found, &err) < 0)
		code = print_failed(flags, c, i, &err);
	compat_move(c, i, &shown, &found);
	if (findings_failed(&shown)) {
		cmd_print_findings(&shown);
		code = EXIT_FAILED;
	} else if (code == EXIT_OK && !print_missing(&shown)) {
		(void)printf("-- database %s: every link between tables has an index\n", database_of(c, i));
	}
	close_fdp(&options.stop_fd);
	findings_release(&found);
	findings_release(&shown);
	return code;
}

/* --- pgsync --- */

static bool follows(const struct compat_flags *flags, const struct compat *c)
{
	return flags->daemon || flags->wal || flags->polling || import_env_bool(c->env, "WAL", false, NULL) ||
	       import_env_bool(c->env, "POLLING", false, NULL);
}

/* pgsync's names of log levels; ours are accepted too. */
static const char *log_level(const struct compat_flags *flags, const struct compat *c)
{
	static const char *const words[][2] = {
		{"CRITICAL", "error"}, {"ERROR", "error"}, {"WARNING", "warn"},
		{"WARN", "warn"},      {"INFO", "info"},   {"DEBUG", "debug"},
	};
	const char *word = import_env_get(c->env, "CONSOLE_LOGGING_HANDLER_MIN_LEVEL");

	if (flags->log_level)
		return flags->log_level;
	if (flags->verbose)
		return "debug";
	for (size_t i = 0; word && i < ARRAY_SIZE(words); i++)
		if (!strcmp(word, words[i][0]))
			return words[i][1];
	return "info";
}

/* Lines of the log are about PgSync i from here on. */
static int set_log(const struct compat_flags *flags, const struct compat *c, size_t i)
{
	const struct common_flags common = {
		.log_level = log_level(flags, c),
		.log_format = flags->log_format ? flags->log_format : "text",
	};

	return flags_log(&common, i < c->n ? c->contexts[i] : NULL);
}

static int run_one(const struct compat_flags *flags, const struct compat *c, size_t i)
{
	const struct common_flags common = {.listen = flags->listen, .until_caught_up = !follows(flags, c)};
	struct err err = {0};

	return cmd_run_input(&common, &c->inputs[i], &err) < 0 ? print_failed(flags, c, i, &err) : EXIT_OK;
}

/* --- several databases at once --- */

static pid_t start_one(const struct compat_flags *flags, const struct compat *c, size_t i)
{
	pid_t pid = fork();

	if (pid == 0) {
		(void)prctl(PR_SET_PDEATHSIG, SIGTERM);
		(void)set_log(flags, c, i);
		_exit(run_one(flags, c, i));
	}
	if (pid < 0)
		(void)fprintf(stderr, "pgsync: starting a process: %s\n", strerror(errno));
	return pid;
}

static void end_all(const pid_t *pids, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (pids[i] > 0)
			(void)kill(pids[i], SIGTERM);
}

/* Reaps the processes that have ended; keeps their worst exit code, and how many are left. */
static int reap_workers(pid_t *pids, size_t n, size_t *left)
{
	int worst = EXIT_OK, status;
	pid_t pid;

	while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
		for (size_t i = 0; i < n; i++)
			if (pids[i] == pid) {
				pids[i] = 0;
				--*left;
			}
		if (!WIFEXITED(status) || WEXITSTATUS(status) != EXIT_OK)
			worst = EXIT_FAILED;
	}
	return worst;
}

/* One process for each database. When the first one ends, the others are ended too, so that a supervisor restarts all
 * of them. */
static int run_many(const struct compat_flags *flags, const struct compat *c)
{
	_cleanup_free_ pid_t *pids = xcalloc(c->n, sizeof(*pids));
	size_t left = 0;
	int code = EXIT_OK;
	sigset_t set;

	(void)sigemptyset(&set);
	(void)sigaddset(&set, SIGTERM);
	(void)sigaddset(&set, SIGINT);
	(void)sigaddset(&set, SIGCHLD);
	(void)sigprocmask(SIG_BLOCK, &set, NULL);
	for (size_t i = 0; i < c->n && code == EXIT_OK; i++) {
		pids[i] = start_one(flags, c, i);
		left += pids[i] > 0;
		code = pids[i] > 0 ? EXIT_OK : EXIT_FAILED;
	}
	if (code != EXIT_OK)
		end_all(pids, c->n);
	while (left) {
		int number = sigwaitinfo(&set, NULL);

		if (number == SIGCHLD && reap_workers(pids, c->n, &left) != EXIT_OK)
			code = EXIT_FAILED;
		if (number > 0)
			end_all(pids, c->n);
	}
	return code;
}

/* --- the commands --- */

static int for_each_pgsync(const struct compat_flags *flags, const struct compat *c, compat_fn *fn)
{
	int code = EXIT_OK;

	for (size_t i = 0; i < c->n; i++) {
		int one;

		(void)set_log(flags, c, i);
		one = fn(flags, c, i);
		code = one > code ? one : code;
	}
	return code;
}

static int run_all(const struct compat_flags *flags, const struct compat *c)
{
	int code = EXIT_OK;

	if (flags->command == COMPAT_BOOTSTRAP)
		return for_each_pgsync(flags, c, flags->teardown ? teardown_one : bootstrap_one);
	if (flags->analyze)
		return for_each_pgsync(flags, c, analyze_one);
	if (flags->bootstrap)
		code = for_each_pgsync(flags, c, bootstrap_one);
	if (code != EXIT_OK)
		return code;
	return c->n > 1 && follows(flags, c) ? run_many(flags, c) : for_each_pgsync(flags, c, run_one);
}

/* Findings that depend on the environment. */
static void check_environment(const struct compat_flags *flags, const struct compat *c, struct findings *f)
{
	bool wal = import_env_bool(c->env, "WAL", false, f);
	bool polling = import_env_bool(c->env, "POLLING", false, f);

	if (wal && polling)
		findings_add(f, FINDING_ERROR, REASON_USAGE, "POLLING",
			     "and WAL are mutually exclusive: set one (both follow the WAL)");
	if (flags->listen && c->n > 1)
		findings_add(f, FINDING_ERROR, REASON_USAGE, "--listen",
			     "serves one database, but %s has %zu: run one process for each", c->what, c->n);
}

/* True if there is an error about a variable, or the option that replaces it, that determines how to reach Postgres. */
static bool source_is_unknown(const struct findings *f)
{
	for (size_t i = 0; i < f->n; i++)
		if (f->items[i].severity == FINDING_ERROR && strncmp(f->items[i].path, "PG_", 3) == 0)
			return true;
	return false;
}

static bool all_is_well(const struct compat *c, const struct findings *f)
{
	bool failed = findings_failed(f);

	for (size_t i = 0; i < c->n; i++)
		failed = failed || findings_failed(&c->found[i]);
	return !failed;
}

/* If something is wrong, the database may show more problems, even in well-formed parts. */
static void find_rest(struct compat *c, const struct findings *f)
{
	for (size_t i = 0; !source_is_unknown(f) && i < c->n; i++) {
		struct sync_options options = options_of(c, i);
		struct err err = {0};

		if (!spec_can_be_checked(options.spec, &c->found[i]))
			continue;
		options.source_only = true;
		options.stop_fd = stop_fd_open(-1, &err);
		if (options.stop_fd < 0 || sync_check(&options, &c->found[i], &err) < 0)
			findings_add(&c->found[i], FINDING_ERROR, REASON_NOT_CHECKED, NULL,
				     "could not check the database: %s", err.msg);
		close_fdp(&options.stop_fd);
	}
}

/* What was created can be removed, whatever the schema is now. */
static bool can_tear_down(const struct compat_flags *flags, const struct compat *c, const struct findings *f)
{
	bool can = flags->teardown && !findings_failed(f) && c->n;

	for (size_t i = 0; i < c->n; i++)
		can = can && spec_can_be_cleaned_up(&c->found[i]);
	return can;
}

/* In a loop of `until bootstrap`, the warnings about ignored settings would be repeated again and again. */
static void print_notices(const struct compat_flags *flags, const struct compat *c, struct findings *f)
{
	if (flags->command == COMPAT_PGSYNC || flags->verbose) {
		import_env_check(c->env, true, f);
		cmd_print_findings(f);
	}
}

static int compat(enum compat_command command, int argc, char **argv)
{
	struct compat_flags flags;
	struct compat c = {0};
	struct findings f;
	int code = EXIT_BAD_INPUT;

	findings_init(&f);
	compat_parse(command, argc, argv, &flags, &f);
	if (flags.help || flags.version) {
		if (flags.version)
			(void)printf("pgsync %s\n", PGSYNC_VERSION);
		else
			compat_usage(command, stdout);
		findings_release(&f);
		return EXIT_OK;
	}
	if (!findings_failed(&f)) {
		compat_load(&flags, &c, &f);
		check_environment(&flags, &c, &f);
		if (!all_is_well(&c, &f) && !flags.teardown)
			find_rest(&c, &f);
		if (!can_tear_down(&flags, &c, &f))
			compat_gather(&c, &f);
	}
	if (findings_failed(&f)) {
		cmd_print_findings(&f);
	} else if (set_log(&flags, &c, 0) < 0) {
		print_notices(&flags, &c, &f);
		code = run_all(&flags, &c);
	}
	findings_release(&f);
	compat_release(&c);
	return code;
}

int cmd_bootstrap(int argc, char **argv)
{
	return compat(COMPAT_BOOTSTRAP, argc, argv);
}

int cmd_compat(int argc, char **argv)
{
	return compat(COMPAT_PGSYNC, argc, argv);
}
