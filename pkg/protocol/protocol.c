/* Messages to lines and back; bytes to lines. */
#include "protocol/protocol.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/sandbox.h"
#include "json/json.h"

enum { BLOCK_BYTES = 64 * 1024, LINE_BYTES = 1024 * 1024 * 1024 };

static const char *const task_names[] = {
	[PROTOCOL_TASK_RUN] = "run",
	[PROTOCOL_TASK_CHECK] = "check",
	[PROTOCOL_TASK_CLEANUP] = "cleanup",
	[PROTOCOL_TASK_VERIFY] = "verify",
};

static const char *const usable_words[] = {
	[PROTOCOL_USABLE_NO] = "no",
	[PROTOCOL_USABLE_CHECK] = "check",
	[PROTOCOL_USABLE_RUN] = "run",
};

const char *protocol_task_name(enum protocol_task task)
{
	return task_names[task];
}

/* A line may contain credentials. What it is made of has limits; it needs none. */
static void init_line(struct strbuf *line)
{
	strbuf_init_secret(line, LINE_BYTES);
}

static int add_to_line(const char *data, size_t len, void *user)
{
	strbuf_add(user, data, len);
	return 0;
}

static void add_object(struct strbuf *line, json_t *object_take)
{
	_cleanup_json_ json_t *object = object_take;

	if (json_dump_callback(object, add_to_line, line, JSON_COMPACT) != 0)
		abort();
}

static char *end_line(struct strbuf *line)
{
	strbuf_addc(line, '\n');
	assert(strbuf_ok(line));
	return strbuf_detach(line);
}

static char *encode_line(json_t *object_take)
{
	struct strbuf line;

	init_line(&line);
	add_object(&line, object_take);
	return end_line(&line);
}

/* --- to the worker */

void protocol_assignment_release(struct protocol_assignment *assignment)
{
	jsonx_decref(assignment->resource);
	jsonx_decref(assignment->secrets);
	jsonx_decref(assignment->config_maps);
	jsonx_decref(assignment->denied);
	free(assignment->schema);
	free(assignment->secret_label);
	*assignment = (struct protocol_assignment){0};
}

/* Adds a string in UTF-8. jansson takes ten times as long, which matters for a schema. */
static void add_json_string(struct strbuf *line, const char *text)
{
	const char *run = text;

	strbuf_addc(line, '"');
	for (; *text; text++) {
		if ((unsigned char)*text >= ' ' && *text != '"' && *text != '\\')
			continue;
		strbuf_add(line, run, (size_t)(text - run));
		if ((unsigned char)*text >= ' ')
			strbuf_add(line, (const char[]){'\\', *text}, 2);
		else
			strbuf_addf(line, "\\u%04x", *text);
		run = text + 1;
	}
	strbuf_add(line, run, (size_t)(text - run));
	strbuf_addc(line, '"');
}

char *protocol_encode_assignment(const struct protocol_assignment *assignment)
{
	static const char schema[] = ",\"schema\":";
	struct strbuf line;

	init_line(&line);
	add_object(&line, json_pack("{s:s, s:O, s:O, s:O, s:s*, s:O*, s:b, s:b, s:b}", "task",
				    protocol_task_name(assignment->task), "resource", assignment->resource, "secrets",
				    assignment->secrets, "configMaps", assignment->config_maps, "secretLabel",
				    assignment->secret_label, "denied", assignment->denied, "leaveUnreachable",
				    assignment->leave_unreachable, "serviceNames", assignment->service_names, "clients",
				    assignment->clients));
	if (assignment->schema) {
		strbuf_truncate(&line, line.len - 1); /* the bracket */
		strbuf_adds(&line, schema);
		add_json_string(&line, assignment->schema);
		strbuf_addc(&line, '}');
	}
	return end_line(&line);
}

static int decode_task(const json_t *object, enum protocol_task *ret, struct err *err)
{
	const char *name = jsonx_string(object, "task", "");

	for (size_t i = 0; i < ARRAY_SIZE(task_names); i++) {
		if (strcmp(name, task_names[i]) == 0) {
			*ret = (enum protocol_task)i;
			return 0;
		}
	}
	return err_set(err, ERR_INVALID, "the assignment's task is not run, check, cleanup or verify");
}

/* A new reference to an object. */
static int decode_member(const json_t *object, const char *key, bool required, json_t **ret, struct err *err)
{
	json_t *value = json_object_get(object, key);

	if ((value || required) && !json_is_object(value))
		return err_set(err, ERR_INVALID, "the assignment's \"%s\" is %s, expected an object", key,
			       value ? jsonx_type_name(value) : "missing");
	*ret = value ? json_incref(value) : json_object();
	return 0;
}

/* A copy, or NULL. */
static int decode_optional_text(const json_t *object, const char *key, char **ret, struct err *err)
{
	const json_t *value = json_object_get(object, key);

	if (value && !json_is_string(value))
		return err_set(err, ERR_INVALID, "the assignment's \"%s\" is %s, expected a string", key,
			       jsonx_type_name(value));
	*ret = xstrdup_or_null(json_string_value(value));
	return 0;
}

static int decode_denied(const json_t *object, json_t **ret, struct err *err)
{
	json_t *denied = json_object_get(object, "denied"), *why;
	size_t i;

	if (denied && !json_is_array(denied))
		return err_set(err, ERR_INVALID, "the assignment's \"denied\" is %s, expected an array",
			       jsonx_type_name(denied));
	json_array_foreach (denied, i, why)
		if (!json_is_string(why))
			return err_set(err, ERR_INVALID, "the assignment's \"denied\" has %s, expected strings",
				       jsonx_type_name(why));
	*ret = json_incref(denied);
	return 0;
}

int protocol_decode_assignment(const char *line, size_t len, struct protocol_assignment *ret, struct err *err)
{
	_cleanup_json_ json_t *object = NULL;
	struct protocol_assignment assignment = {0};

	if (jsonx_parse(line, len, "the assignment", &object, err) < 0)
		return -1;
	assignment.leave_unreachable = jsonx_boolean(object, "leaveUnreachable", false);
	assignment.service_names = jsonx_boolean(object, "serviceNames", false);
	assignment.clients = jsonx_boolean(object, "clients", false);
	if (decode_task(object, &assignment.task, err) < 0 ||
	    decode_member(object, "resource", true, &assignment.resource, err) < 0 ||
	    decode_member(object, "secrets", false, &assignment.secrets, err) < 0 ||
	    decode_member(object, "configMaps", false, &assignment.config_maps, err) < 0 ||
	    decode_optional_text(object, "schema", &assignment.schema, err) < 0 ||
	    decode_optional_text(object, "secretLabel", &assignment.secret_label, err) < 0 ||
	    decode_denied(object, &assignment.denied, err) < 0) {
		protocol_assignment_release(&assignment);
		return -1;
	}
	*ret = assignment;
	return 0;
}

/* Fills the reader with exactly one line. */
static int read_assignment_line(int fd, struct protocol_reader *reader, char *block, struct err *err)
{
	for (;;) {
		ssize_t n = read(fd, block, BLOCK_BYTES);
		const char *data = block;
		size_t len = n > 0 ? (size_t)n : 0;
		enum protocol_read taken;

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return err_set(err, ERR_INVALID,
				       "descriptor %d was closed before an assignment arrived: only the operator "
				       "starts `pgsync worker`; use `pgsync run`",
				       fd);
		taken = protocol_reader_next(reader, &data, &len);
		if (!strbuf_ok(&reader->line))
			return err_set(err, ERR_LIMIT, "the assignment is larger than %zu bytes", reader->line.max);
		if (taken == PROTOCOL_READ_LINE && len > 0)
			return err_set(err, ERR_INVALID, "descriptor %d has more than one line", fd);
		if (taken == PROTOCOL_READ_LINE)
			return 0;
	}
}

int protocol_read_assignment(int fd, struct protocol_assignment *ret, struct err *err)
{
	struct protocol_reader reader;
	char block[BLOCK_BYTES];
	int r;

	protocol_reader_init(&reader, PROTOCOL_ASSIGNMENT_BYTES);
	r = read_assignment_line(fd, &reader, block, err);
	if (r == 0)
		r = protocol_decode_assignment(reader.line.data, reader.line.len, ret, err);
	explicit_bzero(block, sizeof(block));
	protocol_reader_release(&reader);
	return r;
}

/* --- from the worker */

void protocol_message_release(struct protocol_message *message)
{
	jsonx_decref(message->json);
	*message = (struct protocol_message){0};
}

char *protocol_encode_report(const json_t *report)
{
	return encode_line(json_pack("{s:O}", "report", report));
}

char *protocol_encode_event(const struct protocol_event *event)
{
	return encode_line(json_pack("{s:{s:b, s:o, s:o, s:o}}", "event", "warning", event->warning, "reason",
				     jsonx_text(reason_name(event->reason)), "action", jsonx_text(event->action),
				     "note", jsonx_text(event->note)));
}

char *protocol_encode_done(const struct protocol_result *done)
{
	return encode_line(json_pack("{s:{s:b, s:o, s:o}}", "done", "ok", done->ok, "reason",
				     jsonx_text(reason_name(done->reason)), "message", jsonx_text(done->message)));
}

char *protocol_encode_verdict(const struct protocol_verdict *verdict)
{
	return encode_line(json_pack("{s:{s:s, s:o, s:o, s:o}}", "verdict", "usable", usable_words[verdict->usable],
				     "reason", jsonx_text(reason_name(verdict->reason)), "problem",
				     jsonx_text(verdict->problem), "remark", jsonx_text(verdict->remark)));
}

json_t *protocol_sandbox_names(unsigned parts)
{
	json_t *names = json_array();

	for (int i = 0; i < SANDBOX_PARTS; i++)
		if (parts & (1U << i))
			(void)json_array_append_new(names,
						    json_string(sandbox_part_name((enum sandbox_part)(1U << i))));
	return names;
}

char *protocol_encode_sandbox(unsigned parts)
{
	return encode_line(json_pack("{s:{s:o}}", "sandbox", "parts", protocol_sandbox_names(parts)));
}

char *protocol_encode_heartbeat(void)
{
	return encode_line(json_pack("{s:{}}", "heartbeat"));
}

/* The default when the key is absent. */
static int decode_text(const json_t *object, const char *key, const char *otherwise, const char **ret, struct err *err)
{
	const json_t *value = json_object_get(object, key);

	if (value && !json_is_string(value))
		return err_set(err, ERR_INVALID, "\"%s\" is %s, expected a string", key, jsonx_type_name(value));
	*ret = value ? json_string_value(value) : otherwise;
	return 0;
}

static int decode_flag(const json_t *object, const char *key, bool *ret, struct err *err)
{
	const json_t *value = json_object_get(object, key);

	if (value && !json_is_boolean(value))
		return err_set(err, ERR_INVALID, "\"%s\" is %s, expected a boolean", key, jsonx_type_name(value));
	*ret = json_is_true(value);
	return 0;
}

enum reason protocol_take_reason(json_t *object, const char *text_key, enum reason otherwise)
{
	const char *word = jsonx_string(object, "reason", "");
	const json_t *text = json_object_get(object, text_key);
	enum reason reason;

	if (!*word)
		return otherwise;
	if (reason_parse(word, &reason))
		return reason ? reason : otherwise;
	if (!text)
		(void)json_object_set_new(object, text_key, json_string(word));
	else if (json_is_string(text))
		(void)json_object_set_new(object, text_key, json_sprintf("%s: %s", word, json_string_value(text)));
	return REASON_UNKNOWN;
}

static int decode_reason(json_t *object, const char *text_key, enum reason otherwise, enum reason *ret, struct err *err)
{
	const char *word;

	if (decode_text(object, "reason", "", &word, err) < 0)
		return -1;
	*ret = protocol_take_reason(object, text_key, otherwise);
	return 0;
}

static int decode_event_line(json_t *object, struct protocol_event *ret, struct err *err)
{
	if (decode_flag(object, "warning", &ret->warning, err) < 0 ||
	    decode_reason(object, "note", REASON_NONE, &ret->reason, err) < 0 ||
	    decode_text(object, "action", "Sync", &ret->action, err) < 0 ||
	    decode_text(object, "note", "", &ret->note, err) < 0)
		return -1;
	return ret->reason ? 0 : err_set(err, ERR_INVALID, "an event has no reason");
}

static int decode_done(json_t *object, struct protocol_result *ret, struct err *err)
{
	if (decode_flag(object, "ok", &ret->ok, err) < 0 ||
	    decode_reason(object, "message", REASON_CLEANUP_FAILED, &ret->reason, err) < 0)
		return -1;
	return decode_text(object, "message", "the cleanup failed", &ret->message, err);
}

static int decode_verdict(json_t *object, struct protocol_verdict *ret, struct err *err)
{
	const char *usable;

	if (decode_text(object, "usable", "", &usable, err) < 0 ||
	    decode_reason(object, "problem", REASON_NONE, &ret->reason, err) < 0 ||
	    decode_text(object, "problem", "", &ret->problem, err) < 0 ||
	    decode_text(object, "remark", "", &ret->remark, err) < 0)
		return -1;
	for (size_t i = 0; i < ARRAY_SIZE(usable_words); i++) {
		if (strcmp(usable, usable_words[i]) == 0) {
			ret->usable = (enum protocol_usable)i;
			return 0;
		}
	}
	return err_set(err, ERR_INVALID, "a verdict's \"usable\" is not no, check or run");
}

static int decode_sandbox(const json_t *object, unsigned *ret, struct err *err)
{
	const json_t *names = json_object_get(object, "parts");

	if (!json_is_array(names))
		return err_set(err, ERR_INVALID, "\"parts\" is %s, expected an array",
			       names ? jsonx_type_name(names) : "missing");
	for (int i = 0; i < SANDBOX_PARTS; i++)
		if (jsonx_contains(names, sandbox_part_name((enum sandbox_part)(1U << i))))
			*ret |= 1U << i;
	return 0;
}

static const char *const kind_keys[] = {
	[PROTOCOL_REPORT] = "report",   [PROTOCOL_EVENT] = "event",     [PROTOCOL_DONE] = "done",
	[PROTOCOL_VERDICT] = "verdict", [PROTOCOL_SANDBOX] = "sandbox", [PROTOCOL_HEARTBEAT] = "heartbeat"};

static int decode_kind(struct protocol_message *message, struct err *err)
{
	if (!json_is_object(message->json))
		return err_set(err, ERR_INVALID, "the line is %s, expected an object", jsonx_type_name(message->json));
	for (size_t i = PROTOCOL_REPORT; i < ARRAY_SIZE(kind_keys); i++) {
		const json_t *value = json_object_get(message->json, kind_keys[i]);

		if (value && message->kind != PROTOCOL_UNKNOWN)
			return err_set(err, ERR_INVALID, "the line has both \"%s\" and \"%s\"",
				       kind_keys[message->kind], kind_keys[i]);
		if (value && !json_is_object(value))
			return err_set(err, ERR_INVALID, "\"%s\" is %s, expected an object", kind_keys[i],
				       jsonx_type_name(value));
		if (value)
			message->kind = (enum protocol_kind)i;
	}
	return 0;
}

static int decode_content(struct protocol_message *message, struct err *err)
{
	json_t *content;

	if (decode_kind(message, err) < 0)
		return -1;
	if (message->kind == PROTOCOL_UNKNOWN)
		return 0;
	content = json_object_get(message->json, kind_keys[message->kind]);
	if (message->kind == PROTOCOL_EVENT)
		return decode_event_line(content, &message->event, err);
	if (message->kind == PROTOCOL_DONE)
		return decode_done(content, &message->done, err);
	if (message->kind == PROTOCOL_VERDICT)
		return decode_verdict(content, &message->verdict, err);
	if (message->kind == PROTOCOL_SANDBOX)
		return decode_sandbox(content, &message->sandbox, err);
	if (message->kind == PROTOCOL_REPORT)
		message->report = content;
	return 0;
}

int protocol_decode_message(const char *line, size_t len, struct protocol_message *ret, struct err *err)
{
	struct protocol_message message = {0};

	if (jsonx_parse(line, len, "the worker's line", &message.json, err) < 0)
		return -1;
	if (decode_content(&message, err) < 0) {
		protocol_message_release(&message);
		return -1;
	}
	*ret = message;
	return 0;
}

/* --- bytes to lines */

void protocol_reader_init(struct protocol_reader *reader, size_t max_bytes)
{
	strbuf_init_secret(&reader->line, max_bytes);
	reader->complete = false;
}

void protocol_reader_release(struct protocol_reader *reader)
{
	strbuf_release(&reader->line);
}

enum protocol_read protocol_reader_next(struct protocol_reader *reader, const char **data, size_t *len)
{
	const char *end = *len ? memchr(*data, '\n', *len) : NULL;
	size_t n = end ? (size_t)(end - *data) : *len;

	if (reader->complete)
		strbuf_reset(&reader->line);
	strbuf_add(&reader->line, *data, n);
	reader->complete = end != NULL;
	n += reader->complete;
	*data += n;
	*len -= n;
	if (!reader->complete)
		return PROTOCOL_READ_MORE;
	return strbuf_ok(&reader->line) ? PROTOCOL_READ_LINE : PROTOCOL_READ_TOO_LONG;
}
