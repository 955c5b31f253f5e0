/* Structured logging to standard error. */
#include "base/log.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fd.h"
#include "base/mem.h"
#include "base/strbuf.h"

enum {
	LINE_BYTES = 16 * 1024 * 1024,
	LOCK_TRIES = 1000,
	DISTRUST_MS = 60 * 1000,
};

static struct {
	enum log_level level;
	enum log_format format;
	const char *context;
} config = {.level = LOG_LEVEL_INFO};

static const char *const level_names[] = {"error", "warn", "info", "debug", "trace"};
static const char *const format_names[] = {"text", "json"};

void log_setup(enum log_level level, enum log_format format, const char *context)
{
	config.level = level;
	config.format = format;
	config.context = context;
}

static bool find_word(const char *word, const char *const *words, size_t n, size_t *ret)
{
	for (size_t i = 0; i < n; i++) {
		if (!strcmp(word, words[i])) {
			*ret = i;
			return true;
		}
	}
	return false;
}

bool log_level_parse(const char *word, enum log_level *ret)
{
	size_t i;

	if (!find_word(word, level_names, ARRAY_SIZE(level_names), &i))
		return false;
	*ret = (enum log_level)i;
	return true;
}

bool log_format_parse(const char *word, enum log_format *ret)
{
	size_t i;

	if (!find_word(word, format_names, ARRAY_SIZE(format_names), &i))
		return false;
	*ret = (enum log_format)i;
	return true;
}

bool log_enabled(enum log_level level)
{
	return level <= config.level;
}

static void add_log_value(struct strbuf *sb, const struct log_field *f)
{
	switch (f->type) {
	case LOG_FIELD_STR:
		strbuf_add_json(sb, f->str ? f->str : "", f->str ? strlen(f->str) : 0);
		break;
	case LOG_FIELD_I64:
		strbuf_addf(sb, "%lld", (long long)f->i64);
		break;
	case LOG_FIELD_U64:
		strbuf_addu(sb, f->u64);
		break;
	case LOG_FIELD_LSN:
		strbuf_addf(sb, "\"%X/%X\"", (unsigned)(f->u64 >> 32), (unsigned)f->u64);
		break;
	case LOG_FIELD_END:
		break;
	}
}

static void format_json(struct strbuf *sb, enum log_level level, const char *component, const char *msg,
			const struct log_field *fields)
{
	char time[CLOCK_RFC3339_BYTES];

	strbuf_addf(sb, "{\"time\":\"%s\",\"level\":\"%s\",\"component\":\"%s\"",
		    clock_rfc3339_micro(clock_wall_us(), time), level_names[level], component);
	if (config.context) {
		strbuf_adds(sb, ",\"pgsync\":");
		strbuf_add_json(sb, config.context, strlen(config.context));
	}
	strbuf_adds(sb, ",\"message\":");
	strbuf_add_json(sb, msg, strlen(msg));
	for (; fields->key; fields++) {
		strbuf_addf(sb, ",\"%s\":", fields->key);
		add_log_value(sb, fields);
	}
	strbuf_adds(sb, "}\n");
}

static void format_text(struct strbuf *sb, enum log_level level, const char *component, const char *msg,
			const struct log_field *fields)
{
	char time[CLOCK_RFC3339_BYTES];

	strbuf_addf(sb, "%s %-5s %s: ", clock_rfc3339_micro(clock_wall_us(), time), level_names[level], component);
	strbuf_adds(sb, msg);
	if (config.context)
		strbuf_addf(sb, " pgsync=%s", config.context);
	for (; fields->key; fields++) {
		strbuf_addf(sb, " %s=", fields->key);
		add_log_value(sb, fields);
	}
	strbuf_addc(sb, '\n');
}

static void format_line(struct strbuf *sb, enum log_level level, const char *component, const char *msg,
			const struct log_field *fields)
{
	if (config.format == LOG_FORMAT_JSON)
		format_json(sb, level, component, msg, fields);
	else
		format_text(sb, level, component, msg, fields);
}

/* --- writing
 *
 * A pipe takes up to PIPE_BUF bytes at once; the rest of a longer line follows once the reader has made room, and other
 * writers may write in between. So threads of this process exclude each other with a mutex, and processes that share
 * standard error (an operator and its workers) with a record lock, which belongs to a process and not to the inherited
 * descriptor. */

static pthread_mutex_t writing = PTHREAD_MUTEX_INITIALIZER;

static bool try_lock(short type)
{
	struct flock lock = {.l_type = type, .l_whence = SEEK_SET};

	/* A descriptor that cannot be locked has no other writers to exclude. */
	return fcntl(STDERR_FILENO, F_SETLK, &lock) == 0 || (errno != EAGAIN && errno != EACCES);
}

/* Waits as long as the owner of the lock waits for the reader. An owner that does nothing although it could write is
 * stopped or hostile. It must not keep the others from logging, nor make them wait again for each line. */
static void lock_output(void)
{
	static int64_t distrust_until_ms; /* protected by `writing` */
	struct pollfd out = {.fd = STDERR_FILENO, .events = POLLOUT};
	int tries = clock_now_ms() < distrust_until_ms ? 0 : LOCK_TRIES;

	while (!try_lock(F_WRLCK)) {
		if (!tries)
			return;
		if (poll(&out, 1, -1) > 0)
			(void)poll(NULL, 0, 1);
		if (--tries == 0)
			distrust_until_ms = clock_now_ms() + DISTRUST_MS;
	}
}

void log_write(enum log_level level, const char *component, const char *msg, const struct log_field *fields)
{
	struct strbuf line;

	strbuf_init(&line, LINE_BYTES);
	format_line(&line, level, component, msg, fields);
	if (!strbuf_ok(&line)) {
		strbuf_reset(&line);
		format_line(
			&line, level, component, msg,
			(const struct log_field[]){KV_STR("fields", "left out, larger than 16 MiB"), {.key = NULL}});
	}
	(void)pthread_mutex_lock(&writing);
	lock_output();
	(void)!fd_write(STDERR_FILENO, line.data, line.len);
	(void)try_lock(F_UNLCK);
	(void)pthread_mutex_unlock(&writing);
	strbuf_release(&line);
}
