/* Structured logging to standard error: one line an event, as text or JSON.
 *
 * Any thread may log, and so may several processes that share standard error: lines of any length (up to 16 MiB) are
 * written whole, and are never mixed. Fields, not prose: log_info("sync", "bulk indexed", KV_U64("documents", n),
 * KV_STR("index", name)). Never log a password, a token or a row's value. Levels: error, an administrator must act;
 * warn, work continues and the text ends with ", retrying" or ", skipping"; info, changes of state; debug, per batch;
 * trace, per row. */
#ifndef PGSYNC_BASE_LOG_H
#define PGSYNC_BASE_LOG_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"

enum log_level { LOG_LEVEL_ERROR, LOG_LEVEL_WARN, LOG_LEVEL_INFO, LOG_LEVEL_DEBUG, LOG_LEVEL_TRACE };
enum log_format { LOG_FORMAT_TEXT, LOG_FORMAT_JSON };

struct log_field {
	const char *key;
	enum { LOG_FIELD_END = 0, LOG_FIELD_STR, LOG_FIELD_I64, LOG_FIELD_U64, LOG_FIELD_LSN } type;
	union {
		const char *str;
		int64_t i64;
		uint64_t u64;
	};
};

#define KV_STR(k, v) ((struct log_field){.key = (k), .type = LOG_FIELD_STR, .str = (v)})
#define KV_I64(k, v) ((struct log_field){.key = (k), .type = LOG_FIELD_I64, .i64 = (v)})
#define KV_U64(k, v) ((struct log_field){.key = (k), .type = LOG_FIELD_U64, .u64 = (v)})
#define KV_LSN(k, v) ((struct log_field){.key = (k), .type = LOG_FIELD_LSN, .u64 = (v)})
#define KV_ERR(e) KV_STR("error", (e)->msg)

/* Call before threads start. context is put into each line as "pgsync" (a resource's namespace/name); it may be NULL.
 */
void log_setup(enum log_level level, enum log_format format, const char *context);
/* "error", "warn", "info", "debug", "trace"; "text", "json". False when the word is unknown. */
bool log_level_parse(const char *word, enum log_level *ret) WARN_UNUSED;
bool log_format_parse(const char *word, enum log_format *ret) WARN_UNUSED;
bool log_enabled(enum log_level level);

/* fields ends with a LOG_FIELD_END entry. Use the macros below. */
void log_write(enum log_level level, const char *component, const char *msg, const struct log_field *fields);

#define log_at(level, component, msg, ...)                                                           \
	do {                                                                                         \
		if (log_enabled(level))                                                              \
			log_write(level, component, msg,                                             \
				  (const struct log_field[]){__VA_ARGS__ __VA_OPT__(, ){.key = 0}}); \
	} while (0)
#define log_error(component, msg, ...) log_at(LOG_LEVEL_ERROR, component, msg __VA_OPT__(, ) __VA_ARGS__)
#define log_warn(component, msg, ...) log_at(LOG_LEVEL_WARN, component, msg __VA_OPT__(, ) __VA_ARGS__)
#define log_info(component, msg, ...) log_at(LOG_LEVEL_INFO, component, msg __VA_OPT__(, ) __VA_ARGS__)
#define log_debug(component, msg, ...) log_at(LOG_LEVEL_DEBUG, component, msg __VA_OPT__(, ) __VA_ARGS__)
#define log_trace(component, msg, ...) log_at(LOG_LEVEL_TRACE, component, msg __VA_OPT__(, ) __VA_ARGS__)

#endif
