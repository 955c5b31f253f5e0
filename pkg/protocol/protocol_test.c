/* Tests of messages through encode and decode, lines from hostile peers, and blocks of bytes to lines. */
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/sandbox.h"
#include "protocol/protocol.h"
#include "json/json.h"

static json_t *parse(const char *text)
{
	json_t *value = NULL;
	struct err err;

	if (jsonx_parse(text, strlen(text), "the test's text", &value, &err) < 0)
		fail_msg("%s", err.msg);
	return value;
}

/* An encoded line without its end, as a reader gives it. */
static size_t without_end(const char *line)
{
	size_t len = strlen(line);

	assert_true(len > 0);
	assert_int_equal(line[len - 1], '\n');
	assert_null(memchr(line, '\n', len - 1));
	return len - 1;
}

/* --- to the worker */

static void test_assignment_when_encoded_and_decoded_then_the_same(void **state)
{
	UNUSED(state);
	for (int task = PROTOCOL_TASK_RUN; task <= PROTOCOL_TASK_VERIFY; task++) {
		_cleanup_(protocol_assignment_release) struct protocol_assignment in = {
			.task = (enum protocol_task)task,
			.resource = parse("{\"metadata\": {\"name\": \"books\"}, \"spec\": {\"a\": \"\xc3\xa9\\n\"}}"),
			.secrets = parse("{\"source\": {\"password\": \"p\\\"w\\u007f\"}}"),
			.config_maps = parse("{}"),
			.schema = xstrdup("[\"\xc3\xa9\\u0000\\\\\t\x01\x1f\"]"),
			.secret_label = xstrdup("pgsync.io/use=\"yes\""),
			.denied = parse("[\"Secret \\\"a\\\" cannot be read\"]"),
			.leave_unreachable = task == PROTOCOL_TASK_CLEANUP,
			.service_names = task == PROTOCOL_TASK_RUN,
			.clients = task == PROTOCOL_TASK_RUN};
		_cleanup_(protocol_assignment_release) struct protocol_assignment out = {0};
		_cleanup_free_ char *line = protocol_encode_assignment(&in);
		struct err err;

		assert_int_equal(protocol_decode_assignment(line, without_end(line), &out, &err), 0);
		assert_int_equal(out.task, task);
		assert_int_equal(out.leave_unreachable, in.leave_unreachable);
		assert_int_equal(out.service_names, in.service_names);
		assert_int_equal(out.clients, in.clients);
		assert_true(json_equal(out.resource, in.resource));
		assert_true(json_equal(out.secrets, in.secrets));
		assert_true(json_equal(out.config_maps, in.config_maps));
		assert_string_equal(out.schema, in.schema);
		assert_string_equal(out.secret_label, in.secret_label);
		assert_true(json_equal(out.denied, in.denied));
	}
}

static void test_assignment_when_keys_are_unknown_or_optional_ones_absent_then_accepted(void **state)
{
	static const char line[] = "{\"task\":\"check\",\"resource\":{\"spec\":{}},\"later\":[1]}";
	_cleanup_(protocol_assignment_release) struct protocol_assignment a = {0};
	struct err err;

	UNUSED(state);
	assert_int_equal(protocol_decode_assignment(line, strlen(line), &a, &err), 0);
	assert_int_equal(a.task, PROTOCOL_TASK_CHECK);
	assert_int_equal(json_object_size(a.secrets), 0);
	assert_int_equal(json_object_size(a.config_maps), 0);
	assert_null(a.schema);
	assert_null(a.secret_label);
	assert_null(a.denied);
}

static void test_assignment_when_it_is_not_one_then_invalid(void **state)
{
	static const char *const lines[] = {
		"",
		"{",
		"[]",
		"null",
		"\"run\"",
		"{}",
		"{\"task\":\"run\"}",
		"{\"task\":\"run\",\"resource\":[]}",
		"{\"task\":\"run\",\"resource\":\"x\"}",
		"{\"task\":\"run\",\"resource\":null}",
		"{\"resource\":{}}",
		"{\"task\":0,\"resource\":{}}",
		"{\"task\":\"\",\"resource\":{}}",
		"{\"task\":\"Run\",\"resource\":{}}",
		"{\"task\":\"stop\",\"resource\":{}}",
		"{\"task\":\"run\",\"resource\":{},\"secrets\":[]}",
		"{\"task\":\"run\",\"resource\":{},\"secrets\":{},\"configMaps\":true}",
		"{\"task\":\"run\",\"resource\":{},\"schema\":[]}",
		"{\"task\":\"run\",\"resource\":{},\"secretLabel\":1}",
		"{\"task\":\"run\",\"resource\":{},\"denied\":{}}",
		"{\"task\":\"run\",\"resource\":{},\"denied\":[1]}",
		"{\"task\":\"run\",\"task\":\"run\",\"resource\":{}}",
		"{\"task\":\"run\",\"resource\":{\"a\":\"\\u0000\"}}",
		"{\"task\":\"run\",\"resource\":{\"a\":\"\xff\"}}",
		"{\"task\":\"run\",\"resource\":{}} {}",
	};

	UNUSED(state);
	for (size_t i = 0; i < ARRAY_SIZE(lines); i++) {
		struct protocol_assignment a = {0};
		struct err err = {0};

		if (protocol_decode_assignment(lines[i], strlen(lines[i]), &a, &err) != -1 || err.kind != ERR_INVALID)
			fail_msg("%s is accepted, or of another kind", lines[i]);
		assert_null(a.resource);
	}
}

/* --- reading it from a descriptor */

/* A descriptor that provides these bytes, and then ends. */
static int descriptor_of(const char *data, size_t len)
{
	char path[] = "/tmp/protocol-XXXXXX";
	int fd = mkstemp(path);

	assert_true(fd >= 0);
	assert_int_equal(unlink(path), 0);
	while (len > 0) {
		ssize_t n = write(fd, data, len);

		assert_true(n > 0);
		data += n;
		len -= (size_t)n;
	}
	assert_int_equal(lseek(fd, 0, SEEK_SET), 0);
	return fd;
}

static int read_from(const char *data, size_t len, struct protocol_assignment *ret, struct err *err)
{
	int fd = descriptor_of(data, len);
	int r = protocol_read_assignment(fd, ret, err);

	assert_int_equal(close(fd), 0);
	return r;
}

static void test_read_when_the_line_is_larger_than_a_block_then_all_of_it(void **state)
{
	enum { VALUE_BYTES = 1000 * 1000 };
	_cleanup_free_ char *value = xmalloc(VALUE_BYTES);
	_cleanup_free_ char *line = NULL;
	_cleanup_(protocol_assignment_release) struct protocol_assignment in = {0}, out = {0};
	struct err err;

	UNUSED(state);
	memset(value, 'x', VALUE_BYTES);
	in.resource = json_pack("{s:s%}", "text", value, (size_t)VALUE_BYTES);
	in.secrets = json_object();
	in.config_maps = json_object();
	line = protocol_encode_assignment(&in);
	assert_int_equal(read_from(line, strlen(line), &out, &err), 0);
	assert_true(json_equal(out.resource, in.resource));
}

static void test_read_when_it_comes_in_pieces_then_it_is_waited_for(void **state)
{
	static const char *const pieces[] = {"{\"task\":", "\"cleanup\",", "\"resource\":{}}", "\n"};
	_cleanup_(protocol_assignment_release) struct protocol_assignment a = {0};
	struct err err;
	int pipes[2];
	pid_t child;

	UNUSED(state);
	assert_int_equal(pipe(pipes), 0);
	child = fork();
	assert_true(child >= 0);
	if (child == 0) {
		for (size_t i = 0; i < ARRAY_SIZE(pieces); i++) {
			(void)poll(NULL, 0, 20);
			if (write(pipes[1], pieces[i], strlen(pieces[i])) < 0)
				_exit(1);
		}
		/* The descriptor stays open: a worker does not wait for its end. */
		for (;;)
			(void)pause();
	}
	assert_int_equal(protocol_read_assignment(pipes[0], &a, &err), 0);
	assert_int_equal(a.task, PROTOCOL_TASK_CLEANUP);
	assert_int_equal(kill(child, SIGKILL), 0);
	assert_int_equal(waitpid(child, NULL, 0), child);
	(void)close(pipes[0]);
	(void)close(pipes[1]);
}

static void test_read_when_there_is_no_whole_line_then_invalid_and_says_how_workers_start(void **state)
{
	static const char *const texts[] = {"", "{\"task\":\"run\",\"resource\":{}}"};

	UNUSED(state);
	for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
		struct protocol_assignment a;
		struct err err;

		assert_int_equal(read_from(texts[i], strlen(texts[i]), &a, &err), -1);
		assert_int_equal(err.kind, ERR_INVALID);
		assert_non_null(strstr(err.msg, "pgsync run"));
	}
}

static void test_read_when_more_than_a_line_comes_then_invalid(void **state)
{
	static const char text[] = "{\"task\":\"run\",\"resource\":{}}\n{\"command\":\"stop\"}\n";
	struct protocol_assignment a;
	struct err err;

	UNUSED(state);
	assert_int_equal(read_from(text, strlen(text), &a, &err), -1);
	assert_int_equal(err.kind, ERR_INVALID);
}

static void test_read_when_the_line_is_too_long_then_limit(void **state)
{
	size_t len = PROTOCOL_ASSIGNMENT_BYTES + 1;
	_cleanup_free_ char *text = xmalloc(len);
	struct protocol_assignment a;
	struct err err;

	UNUSED(state);
	memset(text, ' ', len);
	assert_int_equal(read_from(text, len, &a, &err), -1);
	assert_int_equal(err.kind, ERR_LIMIT);
}

/* --- from the worker */

static void test_report_when_encoded_and_decoded_then_the_same(void **state)
{
	_cleanup_json_ json_t *report = parse("{\"phase\": \"Streaming\", \"conditions\": [{\"type\": \"Ready\"}]}");
	_cleanup_free_ char *line = protocol_encode_report(report);
	_cleanup_(protocol_message_release) struct protocol_message m = {0};
	struct err err;

	UNUSED(state);
	assert_int_equal(protocol_decode_message(line, without_end(line), &m, &err), 0);
	assert_int_equal(m.kind, PROTOCOL_REPORT);
	assert_true(json_equal(m.report, report));
}

static void test_event_when_encoded_and_decoded_then_the_same(void **state)
{
	static const struct protocol_event event = {.warning = true,
						    .reason = REASON_RESYNC_STARTED,
						    .action = "Bootstrap",
						    .note = "line 1\nline 2 \"quoted\""};
	_cleanup_free_ char *line = protocol_encode_event(&event);
	_cleanup_(protocol_message_release) struct protocol_message m = {0};
	struct err err;

	UNUSED(state);
	assert_int_equal(protocol_decode_message(line, without_end(line), &m, &err), 0);
	assert_int_equal(m.kind, PROTOCOL_EVENT);
	assert_true(m.event.warning);
	assert_int_equal(m.event.reason, event.reason);
	assert_string_equal(m.event.action, event.action);
	assert_string_equal(m.event.note, event.note);
}

static void test_done_when_encoded_and_decoded_then_the_same_and_bytes_become_text(void **state)
{
	static const struct protocol_result done = {.reason = REASON_SOURCE_UNREACHABLE, .message = "no \xff route"};
	_cleanup_free_ char *line = protocol_encode_done(&done);
	_cleanup_(protocol_message_release) struct protocol_message m = {0};
	struct err err;

	UNUSED(state);
	assert_int_equal(protocol_decode_message(line, without_end(line), &m, &err), 0);
	assert_int_equal(m.kind, PROTOCOL_DONE);
	assert_false(m.done.ok);
	assert_int_equal(m.done.reason, done.reason);
	assert_string_equal(m.done.message, "no \xef\xbf\xbd route");
}

static void test_verdict_when_encoded_and_decoded_then_the_same(void **state)
{
	UNUSED(state);
	for (int usable = PROTOCOL_USABLE_NO; usable <= PROTOCOL_USABLE_RUN; usable++) {
		const struct protocol_verdict verdict = {.usable = (enum protocol_usable)usable,
							 .reason = REASON_INVALID_SCHEMA,
							 .problem = "spec.schema: \"x\"",
							 .remark = "spec.later: unknown"};
		_cleanup_free_ char *line = protocol_encode_verdict(&verdict);
		_cleanup_(protocol_message_release) struct protocol_message m = {0};
		struct err err;

		assert_int_equal(protocol_decode_message(line, without_end(line), &m, &err), 0);
		assert_int_equal(m.kind, PROTOCOL_VERDICT);
		assert_int_equal(m.verdict.usable, usable);
		assert_int_equal(m.verdict.reason, verdict.reason);
		assert_string_equal(m.verdict.problem, verdict.problem);
		assert_string_equal(m.verdict.remark, verdict.remark);
	}
}

static void test_verdict_when_it_does_not_say_what_is_usable_then_invalid(void **state)
{
	static const char *const lines[] = {"{\"verdict\":{}}", "{\"verdict\":{\"usable\":\"perhaps\"}}",
					    "{\"verdict\":{\"usable\":true}}"};

	UNUSED(state);
	for (size_t i = 0; i < ARRAY_SIZE(lines); i++) {
		_cleanup_(protocol_message_release) struct protocol_message m = {0};
		struct err err = {0};

		assert_int_equal(protocol_decode_message(lines[i], strlen(lines[i]), &m, &err), -1);
		assert_int_equal(err.kind, ERR_INVALID);
	}
}

static void test_sandbox_when_encoded_and_decoded_then_the_same_and_unknown_parts_are_left_out(void **state)
{
	static const char newer[] = "{\"sandbox\":{\"parts\":[\"limits\",\"more\",7]}}";
	static const char wrong[] = "{\"sandbox\":{\"parts\":\"limits\"}}";
	struct protocol_message m;
	struct err err;

	UNUSED(state);
	for (unsigned parts = 0; parts < 1U << SANDBOX_PARTS; parts++) {
		_cleanup_free_ char *line = protocol_encode_sandbox(parts);

		assert_int_equal(protocol_decode_message(line, without_end(line), &m, &err), 0);
		assert_int_equal(m.kind, PROTOCOL_SANDBOX);
		assert_int_equal(m.sandbox, parts);
		protocol_message_release(&m);
	}
	assert_int_equal(protocol_decode_message(newer, strlen(newer), &m, &err), 0);
	assert_int_equal(m.sandbox, SANDBOX_LIMITS);
	protocol_message_release(&m);
	assert_int_equal(protocol_decode_message(wrong, strlen(wrong), &m, &err), -1);
	assert_int_equal(err.kind, ERR_INVALID);
}

static void test_message_when_values_are_absent_then_defaults(void **state)
{
	static const char event[] = "{\"event\":{\"reason\":\"AliasMoved\"}}", done[] = "{\"done\":{}}";
	_cleanup_(protocol_message_release) struct protocol_message e = {0}, d = {0};
	struct err err;

	UNUSED(state);
	assert_int_equal(protocol_decode_message(event, strlen(event), &e, &err), 0);
	assert_false(e.event.warning);
	assert_string_equal(e.event.action, "Sync");
	assert_string_equal(e.event.note, "");
	assert_int_equal(protocol_decode_message(done, strlen(done), &d, &err), 0);
	assert_false(d.done.ok);
	assert_int_equal(d.done.reason, REASON_CLEANUP_FAILED);
}

static void test_message_when_the_reason_is_unknown_then_the_text_keeps_the_word(void **state)
{
	static const char event[] = "{\"event\":{\"reason\":\"Novelty\",\"note\":\"what it is\"}}";
	static const char done[] = "{\"done\":{\"reason\":\"Novelty\"}}";
	_cleanup_(protocol_message_release) struct protocol_message e = {0}, d = {0};
	struct err err;

	UNUSED(state);
	assert_int_equal(protocol_decode_message(event, strlen(event), &e, &err), 0);
	assert_int_equal(e.event.reason, REASON_UNKNOWN);
	assert_string_equal(e.event.note, "Novelty: what it is");
	assert_int_equal(protocol_decode_message(done, strlen(done), &d, &err), 0);
	assert_int_equal(d.done.reason, REASON_UNKNOWN);
	assert_string_equal(d.done.message, "Novelty");
}

static void test_heartbeat_when_encoded_then_decoded_as_one(void **state)
{
	_cleanup_free_ char *line = protocol_encode_heartbeat();
	_cleanup_(protocol_message_release) struct protocol_message m = {0};
	struct err err;

	UNUSED(state);
	assert_int_equal(line[strlen(line) - 1], '\n');
	assert_int_equal(protocol_decode_message(line, strlen(line) - 1, &m, &err), 0);
	assert_int_equal(m.kind, PROTOCOL_HEARTBEAT);
	assert_null(m.report);
}

static void test_message_when_keys_are_unknown_then_ignored(void **state)
{
	static const char none[] = "{\"later\": 1}", more[] = "{\"report\":{\"later\":1},\"later\":{}}";
	_cleanup_(protocol_message_release) struct protocol_message n = {0}, m = {0};
	struct err err;

	UNUSED(state);
	assert_int_equal(protocol_decode_message(none, strlen(none), &n, &err), 0);
	assert_int_equal(n.kind, PROTOCOL_UNKNOWN);
	assert_int_equal(protocol_decode_message(more, strlen(more), &m, &err), 0);
	assert_int_equal(m.kind, PROTOCOL_REPORT);
}

static void test_message_when_it_is_not_one_then_invalid(void **state)
{
	static const char *const lines[] = {
		"",
		"x",
		"{\"report\":",
		"[]",
		"1",
		"{\"report\":[]}",
		"{\"report\":\"x\"}",
		"{\"report\":null}",
		"{\"event\":true}",
		"{\"event\":{}}",
		"{\"event\":{\"reason\":\"\"}}",
		"{\"event\":{\"reason\":1}}",
		"{\"event\":{\"reason\":\"A\",\"warning\":\"no\"}}",
		"{\"event\":{\"reason\":\"A\",\"note\":[]}}",
		"{\"done\":1}",
		"{\"done\":{\"ok\":\"true\"}}",
		"{\"done\":{\"ok\":1}}",
		"{\"done\":{\"ok\":false,\"message\":{}}}",
		"{\"report\":{},\"done\":{\"ok\":true}}",
		"{\"report\":{},\"report\":{}}",
		"{\"report\":{}}{\"report\":{}}",
		"{\"report\":{\"a\":\"\\u0000\"}}",
	};

	UNUSED(state);
	for (size_t i = 0; i < ARRAY_SIZE(lines); i++) {
		struct protocol_message m = {0};
		struct err err = {0};

		if (protocol_decode_message(lines[i], strlen(lines[i]), &m, &err) != -1 || err.kind != ERR_INVALID)
			fail_msg("%s is accepted, or of another kind", lines[i]);
		assert_null(m.json);
	}
}

/* --- bytes to lines */

/* Feeds the text in blocks of n bytes; the lines come back joined by "|", a dropped one as "!". */
static char *lines_of(const char *text, size_t n, size_t max_bytes)
{
	struct protocol_reader reader;
	struct strbuf out;

	protocol_reader_init(&reader, max_bytes);
	strbuf_init(&out, 4096);
	for (size_t at = 0; at < strlen(text); at += n) {
		const char *data = text + at;
		size_t len = strlen(text) - at < n ? strlen(text) - at : n;

		while (len > 0) {
			enum protocol_read taken = protocol_reader_next(&reader, &data, &len);

			if (taken == PROTOCOL_READ_LINE)
				strbuf_addf(&out, "%s|", reader.line.data);
			else if (taken == PROTOCOL_READ_TOO_LONG)
				strbuf_adds(&out, "!");
		}
	}
	protocol_reader_release(&reader);
	return strbuf_detach(&out);
}

static void test_reader_when_blocks_are_of_any_size_then_the_same_lines(void **state)
{
	UNUSED(state);
	for (size_t n = 1; n < 40; n++) {
		_cleanup_free_ char *lines = lines_of("one\n\ntwo\n0123456789\n01234567890\nthree\nrest", n, 10);

		assert_string_equal(lines, "one||two|0123456789|!three|");
	}
}

static void test_reader_when_released_before_use_then_nothing_happens(void **state)
{
	struct protocol_reader reader;
	const char *data = "";
	size_t len = 0;

	UNUSED(state);
	protocol_reader_init(&reader, 10);
	assert_int_equal(protocol_reader_next(&reader, &data, &len), PROTOCOL_READ_MORE);
	protocol_reader_release(&reader);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_assignment_when_encoded_and_decoded_then_the_same),
		cmocka_unit_test(test_assignment_when_keys_are_unknown_or_optional_ones_absent_then_accepted),
		cmocka_unit_test(test_assignment_when_it_is_not_one_then_invalid),
		cmocka_unit_test(test_read_when_the_line_is_larger_than_a_block_then_all_of_it),
		cmocka_unit_test(test_read_when_it_comes_in_pieces_then_it_is_waited_for),
		cmocka_unit_test(test_read_when_there_is_no_whole_line_then_invalid_and_says_how_workers_start),
		cmocka_unit_test(test_read_when_more_than_a_line_comes_then_invalid),
		cmocka_unit_test(test_read_when_the_line_is_too_long_then_limit),
		cmocka_unit_test(test_report_when_encoded_and_decoded_then_the_same),
		cmocka_unit_test(test_event_when_encoded_and_decoded_then_the_same),
		cmocka_unit_test(test_done_when_encoded_and_decoded_then_the_same_and_bytes_become_text),
		cmocka_unit_test(test_verdict_when_encoded_and_decoded_then_the_same),
		cmocka_unit_test(test_verdict_when_it_does_not_say_what_is_usable_then_invalid),
		cmocka_unit_test(test_sandbox_when_encoded_and_decoded_then_the_same_and_unknown_parts_are_left_out),
		cmocka_unit_test(test_message_when_values_are_absent_then_defaults),
		cmocka_unit_test(test_message_when_the_reason_is_unknown_then_the_text_keeps_the_word),
		cmocka_unit_test(test_heartbeat_when_encoded_then_decoded_as_one),
		cmocka_unit_test(test_message_when_keys_are_unknown_then_ignored),
		cmocka_unit_test(test_message_when_it_is_not_one_then_invalid),
		cmocka_unit_test(test_reader_when_blocks_are_of_any_size_then_the_same_lines),
		cmocka_unit_test(test_reader_when_released_before_use_then_nothing_happens),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
