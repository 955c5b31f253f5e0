/* Failpoints. A release build compiles this file to nothing. */
#include "base/failpoint.h"

#ifdef PGSYNC_FAILPOINTS

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>

#include "base/mem.h"
#include "base/parse.h"

enum { LINE_BYTES = 128, LOG_BYTES = 64 * 1024 };

enum action { ACTION_NONE = 0, ACTION_FAIL, ACTION_WAIT, ACTION_KILL };

struct setting {
	enum action action;
	uint64_t wait_ms, at; /* at: the pass that acts; 0: every pass */
	char text[LINE_BYTES];
};

static const char *const names[] = {
#define FAILPOINT_NAME(id, name) name,
	FAILPOINTS(FAILPOINT_NAME)
#undef FAILPOINT_NAME
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct setting settings[FAILPOINT_COUNT];
static uint64_t passes[FAILPOINT_COUNT];
static bool is_read;
static int log_fd = -1;

const char *failpoint_name(enum failpoint point)
{
	return names[point];
}

/* --- Reading the environment -----------------------------------------------------------------------------------------
 */
static void __attribute__((noreturn)) refuse_entry(const char *what, const char *text, size_t len)
{
	(void)fprintf(stderr, "PGSYNC_FAILPOINTS: %s: %.*s\n", what, (int)len, text);
	abort();
}

/* Of "fail", "kill", "wait:MS". */
static bool parse_action(const char *text, size_t len, struct setting *setting)
{
	static const char wait[] = "wait:";
	const size_t prefix = sizeof(wait) - 1;

	if (len == 4 && !memcmp(text, "fail", 4)) {
		setting->action = ACTION_FAIL;
		return true;
	}
	if (len == 4 && !memcmp(text, "kill", 4)) {
		setting->action = ACTION_KILL;
		return true;
	}
	setting->action = ACTION_WAIT;
	return len > prefix && !memcmp(text, wait, prefix) && parse_u64(text + prefix, len - prefix, &setting->wait_ms);
}

static void parse_entry(const char *text, size_t len)
{
	const char *equals = memchr(text, '=', len);
	const char *at = memchr(text, '@', len);
	size_t name_len = equals ? (size_t)(equals - text) : len;
	size_t end = at ? (size_t)(at - text) : len;
	struct setting setting = {.action = ACTION_NONE};

	if (!equals || end <= name_len || len >= LINE_BYTES ||
	    !parse_action(equals + 1, end - name_len - 1, &setting) ||
	    (at && (!parse_u64(at + 1, len - end - 1, &setting.at) || setting.at == 0)))
		refuse_entry("expected name=fail, name=kill or name=wait:MS, optionally followed by @N", text, len);
	memcpy(setting.text, text, len);
	for (size_t i = 0; i < FAILPOINT_COUNT; i++) {
		if (strlen(names[i]) == name_len && !memcmp(names[i], text, name_len)) {
			settings[i] = setting;
			return;
		}
	}
	refuse_entry("unknown failpoint", text, name_len);
}

static void read_settings(void)
{
	const char *text = getenv("PGSYNC_FAILPOINTS");
	const char *path = getenv("PGSYNC_FAILPOINTS_LOG");

	while (text && *text) {
		size_t len = strcspn(text, ";");

		if (len)
			parse_entry(text, len);
		text += len + (text[len] == ';');
	}
	if (path && *path) {
		log_fd = open(path, O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
		if (log_fd < 0)
			refuse_entry(strerror(errno), path, strlen(path));
	}
}

/* --- Acting ----------------------------------------------------------------------------------------------------------
 */
static bool is_logged(const char *text)
{
	_cleanup_free_ char *log = xcalloc(1, LOG_BYTES);
	ssize_t n = pread(log_fd, log, LOG_BYTES - 1, 0);
	size_t len = strlen(text);

	for (const char *line = log; n > 0 && *line; line += strcspn(line, "\n"), line += *line == '\n')
		if (strcspn(line, "\n") == len && !memcmp(line, text, len))
			return true;
	return false;
}

/* True when the pass acts: with a log, the entry's first in any process. */
static bool take_pass(const struct setting *setting, uint64_t pass)
{
	char line[LINE_BYTES + 1];
	int len;

	if (setting->at && setting->at != pass)
		return false;
	if (log_fd < 0)
		return true;
	if (is_logged(setting->text))
		return false;
	len = snprintf(line, sizeof(line), "%s\n", setting->text);
	if (write(log_fd, line, (size_t)len) != len)
		refuse_entry("cannot write the log", setting->text, strlen(setting->text));
	return true;
}

/* Copies the entry that acts at this pass. */
static struct setting next_action(enum failpoint point)
{
	struct setting setting = {.action = ACTION_NONE};

	(void)pthread_mutex_lock(&lock);
	if (!is_read)
		read_settings();
	is_read = true;
	if (settings[point].action != ACTION_NONE && take_pass(&settings[point], ++passes[point]))
		setting = settings[point];
	(void)pthread_mutex_unlock(&lock);
	return setting;
}

int failpoint_pass(enum failpoint point, struct err *err)
{
	const struct setting setting = next_action(point);

	switch (setting.action) {
	case ACTION_FAIL:
		return err_set(err, ERR_TRANSIENT, "failpoint %s", setting.text);
	case ACTION_WAIT:
		(void)nanosleep(&(struct timespec){.tv_sec = (time_t)(setting.wait_ms / 1000),
						   .tv_nsec = (long)(setting.wait_ms % 1000) * 1000000},
				NULL);
		return 0;
	case ACTION_KILL:
		(void)raise(SIGKILL);
		return 0;
	case ACTION_NONE:
		break;
	}
	return 0;
}

void failpoint_reset(void)
{
	(void)pthread_mutex_lock(&lock);
	memset(settings, 0, sizeof(settings));
	memset(passes, 0, sizeof(passes));
	close_fdp(&log_fd);
	log_fd = -1;
	is_read = false;
	(void)pthread_mutex_unlock(&lock);
}

#endif
