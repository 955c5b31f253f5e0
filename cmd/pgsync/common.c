/* Flags, findings and signals: what the sub-commands share. */
#include <errno.h>
#include <getopt.h>
#include <signal.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/signalfd.h>

#include "base/log.h"
#include "cmd.h"

static const struct option long_options[] = {
	{"file", required_argument, NULL, 'f'},       {"until-caught-up", no_argument, NULL, 'u'},
	{"listen", required_argument, NULL, 'l'},     {"log-level", required_argument, NULL, 'v'},
	{"log-format", required_argument, NULL, 'o'}, {0},
};

int flags_parse(int argc, char **argv, const char *allowed, struct common_flags *ret)
{
	int c;

	*ret = (struct common_flags){.log_level = "info", .log_format = "text"};
	while ((c = getopt_long(argc, argv, "f:", long_options, NULL)) != -1) {
		if (c != 'v' && c != 'o' && !strchr(allowed, c)) {
			(void)fprintf(stderr, "pgsync %s: this command has no such option\n", argv[0]);
			return EXIT_BAD_INPUT;
		}
		if (c == 'f')
			ret->file = optarg;
		else if (c == 'u')
			ret->until_caught_up = true;
		else if (c == 'l')
			ret->listen = optarg;
		else if (c == 'v')
			ret->log_level = optarg;
		else
			ret->log_format = optarg;
	}
	if (optind < argc) {
		(void)fprintf(stderr, "pgsync %s: unexpected argument \"%s\"\n", argv[0], argv[optind]);
		return EXIT_BAD_INPUT;
	}
	if (strchr(allowed, 'f') && !ret->file) {
		(void)fprintf(stderr, "pgsync %s: -f FILE is needed: a YAML file that holds a PgSync\n", argv[0]);
		return EXIT_BAD_INPUT;
	}
	return -1;
}

int flags_log(const struct common_flags *flags, const char *context)
{
	enum log_level level;
	enum log_format format;

	if (!log_level_parse(flags->log_level, &level)) {
		(void)fprintf(stderr, "pgsync: --log-level is \"%s\" and must be error, warn, info, debug or trace\n",
			      flags->log_level);
		return EXIT_BAD_INPUT;
	}
	if (!log_format_parse(flags->log_format, &format)) {
		(void)fprintf(stderr, "pgsync: --log-format is \"%s\" and must be text or json\n", flags->log_format);
		return EXIT_BAD_INPUT;
	}
	log_setup(level, format, context);
	return -1;
}

void print_findings(const struct findings *f)
{
	for (size_t i = 0; i < f->n; i++) {
		const struct finding *item = &f->items[i];

		(void)fprintf(stderr, "%s: %s%s%s (%s)\n", item->severity == FINDING_ERROR ? "error" : "warning",
			      item->path, *item->path ? ": " : "", item->message, item->reason);
	}
}

static int watch(int epoll_fd, int fd)
{
	struct epoll_event event = {.events = EPOLLIN, .data.fd = fd};

	return epoll_ctl(epoll_fd, EPOLL_CTL_ADD, fd, &event);
}

int stop_fd_open(int also, struct err *err)
{
	sigset_t set;
	int epoll_fd, signal_fd;

	(void)sigemptyset(&set);
	(void)sigaddset(&set, SIGTERM);
	(void)sigaddset(&set, SIGINT);
	(void)sigprocmask(SIG_BLOCK, &set, NULL);
	(void)signal(SIGPIPE, SIG_IGN);
	signal_fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	if (signal_fd < 0 || epoll_fd < 0 || watch(epoll_fd, signal_fd) < 0 || (also >= 0 && watch(epoll_fd, also) < 0))
		return err_errno(err, errno, "watching for signals");
	return epoll_fd;
}
