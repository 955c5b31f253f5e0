/* Structured logging to standard error. */
#include "base/log.h"

#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/mem.h"
#include "base/strbuf.h"

enum { LINE_BYTES = 8192 };

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

static void add_value(struct strbuf *sb, const struct log_field *f)
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
		add_value(sb, fields);
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
		add_value(sb, fields);
	}
	strbuf_addc(sb, '\n');
}

void log_write(enum log_level level, const char *component, const char *msg, const struct log_field *fields)
{
	struct strbuf line;

	strbuf_init(&line, LINE_BYTES);
	if (config.format == LOG_FORMAT_JSON)
		format_json(&line, level, component, msg, fields);
	else
		format_text(&line, level, component, msg, fields);
	/* One write per line: lines of several threads and processes do not mix. */
	if (line.len && write(STDERR_FILENO, line.data, line.len) < 0)
		UNUSED(line);
	strbuf_release(&line);
}
