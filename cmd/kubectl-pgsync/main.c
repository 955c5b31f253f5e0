/* kubectl-pgsync: `kubectl pgsync`, for people who use PgSyncs. */
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include "base/log.h"
#include "base/terminal.h"
#include "plugin.h"

int plugin_failed(const struct command *command, const struct err *err)
{
	(void)fflush(stdout);
	(void)fprintf(stderr, "kubectl pgsync %s: ", command->name);
	terminal_print(stderr, err->msg);
	/* The API server has no such path, rather than no such object. */
	if (err->code == 404 && err->reason != REASON_NOT_FOUND)
		(void)fputs(": is the CustomResourceDefinition pgsyncs.pgsync.io installed?", stderr);
	(void)fputc('\n', stderr);
	return EXIT_NO_ANSWER;
}

int main(int argc, char **argv)
{
	const char *slash = argc > 0 ? strrchr(argv[0], '/') : NULL;
	const char *name = slash ? slash + 1 : argc > 0 ? argv[0] : "";
	const struct command *command;
	struct options options;
	int code;

	terminal_guard();
	/* Credentials are in this memory. */
	(void)setrlimit(RLIMIT_CORE, &(struct rlimit){0, 0});
	log_setup(LOG_LEVEL_WARN, LOG_FORMAT_TEXT, NULL);
	/* kubectl completes the command lines of its plugins with a program of this name. */
	if (strcmp(name, "kubectl_complete-pgsync") == 0)
		return options_complete(argc, argv);
	code = options_parse(argc, argv, &command, &options);
	if (code < 0)
		code = command->run(command, &options);
	if (fflush(stdout) == 0 && !ferror(stdout))
		return code;
	(void)fputs("kubectl pgsync: standard output cannot be written\n", stderr);
	return EXIT_NO_ANSWER;
}
