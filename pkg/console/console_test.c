/* Tests of what the console says: the line of a PgSync, what a list has since a cursor, and who may listen. */
#include <netinet/in.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "console/console_int.h"
#include "json/json.h"

static json_t *parse_json(const char *text)
{
	json_t *value = NULL;
	struct err err;

	if (jsonx_parse(text, strlen(text), "the test's text", &value, &err) < 0)
		fail_msg("%s in %s", err.msg, text);
	return value;
}

/* --- the line */

static const char two_indices[] = "{\"phase\": \"Failed\", \"observedGeneration\": 1, \"conditions\": [{\"type\": "
				  "\"Ready\", \"status\": \"False\","
				  " \"reason\": \"AuthFailed\", \"message\": \"the password is wrong\"}],"
				  "\"stream\": {\"lagSeconds\": 3, \"retainedWALBytes\": 16, \"slotName\": \"s\"},"
				  "\"indices\": [{\"name\": \"a\", \"documentCount\": 2, \"deadLetters\": 1}, "
				  "{\"name\": \"b\", \"documentCount\": 40}]}";

static json_t *resource_with(const char *status)
{
	_cleanup_free_ char *text = xasprintf(
		"{\"metadata\": {\"generation\": 1}, \"spec\": {\"secret\": \"hunter2\"}, \"status\": %s}", status);

	return parse_json(text);
}

static json_t *summary_of(const char *text)
{
	_cleanup_json_ json_t *resource = resource_with(text);
	_cleanup_free_ char *line = console_summary(&(struct console_pgsync){
		.namespace = "shop", .name = "books", .created = "2026-01-02T03:04:05Z", .resource = resource});

	return parse_json(line);
}

static void test_summary_adds_up_the_indices_and_has_the_verdict(void **state)
{
	_cleanup_json_ json_t *line = summary_of(two_indices);

	UNUSED(state);
	assert_int_equal(jsonx_integer(line, "documents", -1), 42);
	assert_int_equal(jsonx_integer(line, "deadLetters", -1), 1);
	assert_int_equal(jsonx_integer(line, "lagSeconds", -1), 3);
	assert_int_equal(json_array_size(json_object_get(line, "indices")), 2);
	assert_string_equal(jsonx_string(line, "verdict", ""), "Broken");
	assert_string_equal(jsonx_string(line, "found", ""), "the password is wrong");
	assert_non_null(strstr(jsonx_string(line, "next", ""), "correct the password"));
}

static void test_summary_of_an_empty_status_leaves_out_what_is_not_known(void **state)
{
	_cleanup_json_ json_t *line = summary_of("{}");

	UNUSED(state);
	assert_null(json_object_get(line, "documents"));
	assert_null(json_object_get(line, "lagSeconds"));
	assert_string_equal(jsonx_string(line, "verdict", ""), "Unknown");
}

static void test_summary_cuts_a_long_message_between_characters(void **state)
{
	struct strbuf text;
	_cleanup_json_ json_t *line = NULL;
	const char *message;

	UNUSED(state);
	strbuf_init(&text, 65536);
	strbuf_adds(&text, "{\"observedGeneration\": 1, \"conditions\": [{\"type\": \"Ready\", \"status\": \"False\", "
			   "\"message\": \"x");
	for (int i = 0; i < CONSOLE_MESSAGE_BYTES; i++)
		strbuf_adds(&text, "\xc3\xa9");
	strbuf_adds(&text, "\"}]}");
	line = summary_of(text.data);
	message = jsonx_string(line, "found", "");
	/* An odd byte, then characters of two: the cut falls into one of them. */
	assert_int_equal(strlen(message), CONSOLE_MESSAGE_BYTES - 1);
	strbuf_release(&text);
}

/* --- the store */

static void show(struct console_store *store, const char *name, const char *status_text)
{
	_cleanup_json_ json_t *resource = resource_with(status_text);

	console_store_show(store,
			   &(struct console_pgsync){.namespace = "shop",
						    .name = name,
						    .created = "2026-01-02T03:04:05Z",
						    .schema = "[{\"index\": \"</script>\"}]",
						    .resource = resource},
			   0);
}

static json_t *list(const struct console_store *store, const char *since)
{
	struct strbuf out;
	json_t *value;

	strbuf_init(&out, 1 << 20);
	console_store_list(store, since, &out);
	value = parse_json(out.data);
	strbuf_release(&out);
	return value;
}

static void assert_list(const struct console_store *store, const char *since, bool full, const char *names)
{
	_cleanup_json_ json_t *value = list(store, since);
	struct strbuf found;
	size_t i;
	json_t *item;

	strbuf_init(&found, 1024);
	json_array_foreach (json_object_get(value, "pgsyncs"), i, item)
		strbuf_addf(&found, "%s ", jsonx_string(item, "name", "?"));
	assert_string_equal(found.data, names);
	assert_int_equal(jsonx_boolean(value, "full", !full), full);
	strbuf_release(&found);
}

static void test_list_since_a_cursor_has_only_what_changed(void **state)
{
	struct console_store store;
	_cleanup_free_ char *first = NULL;
	_cleanup_free_ char *second = NULL;

	UNUSED(state);
	console_store_init(&store, &(struct console_options){0});
	show(&store, "a", "{}");
	show(&store, "b", "{}");
	first = console_store_cursor(&store);
	assert_list(&store, NULL, true, "a b ");
	assert_list(&store, first, false, "");
	show(&store, "a", "{}");
	assert_list(&store, first, false, "");
	show(&store, "a", two_indices);
	assert_list(&store, first, false, "a ");
	second = console_store_cursor(&store);
	assert_list(&store, second, false, "");
	console_store_release(&store);
}

static void test_list_after_a_removal_is_complete_again(void **state)
{
	struct console_store store;
	_cleanup_free_ char *before = NULL;
	_cleanup_free_ char *after = NULL;

	UNUSED(state);
	console_store_init(&store, &(struct console_options){0});
	show(&store, "a", "{}");
	show(&store, "b", "{}");
	before = console_store_cursor(&store);
	console_store_forget(&store, "shop", "a");
	assert_list(&store, before, true, "b ");
	after = console_store_cursor(&store);
	assert_list(&store, after, false, "");
	console_store_forget(&store, "shop", "never");
	assert_list(&store, after, false, "");
	console_store_forget_all(&store);
	assert_list(&store, after, true, "");
	console_store_release(&store);
}

static void test_list_ignores_cursors_of_another_process_and_nonsense(void **state)
{
	static const char *const wrong[] = {"", "-", "0123456789abcdef-1", "%s", "1", "\"><script>"};
	struct console_store store;
	_cleanup_free_ char *future = NULL;

	UNUSED(state);
	console_store_init(&store, &(struct console_options){0});
	show(&store, "a", "{}");
	for (size_t i = 0; i < ARRAY_SIZE(wrong); i++)
		assert_list(&store, wrong[i], true, "a ");
	future = xasprintf("%016llx-999", (unsigned long long)store.instance);
	assert_list(&store, future, true, "a ");
	console_store_release(&store);
}

static void test_entry_has_status_schema_as_a_string_and_the_last_events_newest_first(void **state)
{
	struct console_store store;
	struct strbuf out;
	_cleanup_json_ json_t *value = NULL;
	const json_t *events;

	UNUSED(state);
	console_store_init(&store, &(struct console_options){0});
	for (int i = 0; i < CONSOLE_EVENTS + 3; i++) {
		_cleanup_free_ char *note = xasprintf("note %d \xff \"quoted\"", i);

		console_store_event(
			&store, "shop", "a",
			&(struct console_event){
				.reason = REASON_STARTED, .action = "Start", .note = note, .warning = i % 2},
			INT64_C(1767323045000000));
	}
	assert_null(console_store_find(&store, "shop", "a"));
	assert_list(&store, NULL, true, "");
	show(&store, "a", two_indices);
	strbuf_init(&out, 1 << 20);
	console_entry_json(&store, console_store_find(&store, "shop", "a"), &out);
	value = parse_json(out.data);
	assert_string_equal(jsonx_string(value, "schema", ""), "[{\"index\": \"</script>\"}]");
	assert_string_equal(jsonx_string(value, "status.stream.slotName", ""), "s");
	assert_non_null(strstr(jsonx_string(value, "remedies.AuthFailed", ""), "correct the password"));
	assert_null(strstr(out.data, "hunter2"));
	events = json_object_get(value, "events");
	assert_int_equal(json_array_size(events), CONSOLE_EVENTS);
	assert_string_equal(jsonx_string(json_array_get(events, 0), "note", ""), "note 42 \xef\xbf\xbd \"quoted\"");
	assert_string_equal(jsonx_string(json_array_get(events, CONSOLE_EVENTS - 1), "note", ""),
			    "note 3 \xef\xbf\xbd \"quoted\"");
	strbuf_release(&out);
	console_store_release(&store);
}

/* --- two threads */

enum { REQUESTS = 50, ANSWER_BYTES = 1 << 20 };

/* One answer of the server, which closes the connection behind it. */
static void request_list(int port, struct strbuf *answer)
{
	static const char request[] = "GET /api/pgsyncs HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
	struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	char piece[4096];
	ssize_t n;

	address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	assert_int_equal(connect(fd, (const struct sockaddr *)&address, sizeof(address)), 0);
	assert_int_equal(send(fd, request, strlen(request), MSG_NOSIGNAL), strlen(request));
	strbuf_reset(answer);
	while ((n = recv(fd, piece, sizeof(piece), 0)) > 0)
		strbuf_add(answer, piece, (size_t)n);
	(void)close(fd);
}

static void *change_all_the_time(void *user)
{
	struct console *console = user;
	_cleanup_json_ json_t *resource = resource_with(two_indices);
	struct console_pgsync pgsync = {
		.namespace = "shop", .name = "a", .created = "", .schema = "[]", .resource = resource};
	struct console_event event = {.reason = REASON_STARTED, .action = "Start", .note = "started"};

	for (int i = 0; i < REQUESTS * 10; i++) {
		console_set_leading(console, i % 2);
		console_show(console, &pgsync);
		console_event(console, "shop", "b", &event);
		console_forget(console, "shop", i % 3 ? "a" : "b");
	}
	console_forget_all(console);
	return NULL;
}

static void test_list_while_another_thread_changes_it_is_whole(void **state)
{
	struct console_options options = {.listen = "127.0.0.1:0"};
	_cleanup_(console_stopp) struct console *console = NULL;
	struct strbuf answer;
	pthread_t thread;
	struct err err;

	UNUSED(state);
	strbuf_init(&answer, ANSWER_BYTES);
	if (console_start(&options, &console, &err) < 0)
		fail_msg("%s", err.msg);
	assert_int_equal(pthread_create(&thread, NULL, change_all_the_time, console), 0);
	for (int i = 0; i < REQUESTS; i++) {
		_cleanup_json_ json_t *value = NULL;
		const char *body;

		request_list(console_port(console), &answer);
		body = strstr(answer.data, "\r\n\r\n");
		assert_non_null(body);
		value = parse_json(body);
		assert_true(json_array_size(json_object_get(value, "pgsyncs")) <= 1);
	}
	(void)pthread_join(thread, NULL);
	strbuf_release(&answer);
}

/* --- who may listen */

static void assert_check(const char *listen, const char *token_file, const char *problem)
{
	struct console_options options = {.listen = listen, .token_file = token_file};
	struct err err = {0};
	int r = console_check(&options, &err);

	if (!problem && r < 0)
		fail_msg("%s: %s", listen, err.msg);
	if (problem && (r == 0 || !strstr(err.msg, problem)))
		fail_msg("%s: \"%s\", expected \"%s\"", listen, r ? err.msg : "accepted", problem);
}

static void test_check_without_a_token_then_only_loopback_is_accepted(void **state)
{
	static const char *const local[] = {"127.0.0.1:8082", "127.8.8.8:1", "[::1]:8082", "[::ffff:127.0.0.1]:1"};
	static const char *const reached[] = {":8082",  "0.0.0.0:8082", "[::]:8082",           "10.0.0.1:8082",
					      "0:8082", "127.1:8082",   "[::ffff:10.0.0.1]:1", "",
					      "8082",   "127.0.0.1"};

	UNUSED(state);
	for (size_t i = 0; i < ARRAY_SIZE(local); i++)
		assert_check(local[i], NULL, NULL);
	for (size_t i = 0; i < ARRAY_SIZE(reached); i++)
		assert_check(reached[i], NULL, "--console-token-file");
}

static void check_token(const char *text, const char *problem)
{
	char path[] = "/tmp/console-token-XXXXXX";
	int fd = mkstemp(path);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, text, strlen(text)), strlen(text));
	(void)close(fd);
	assert_check(":8082", path, problem);
	(void)unlink(path);
}

static void test_check_refuses_a_token_that_is_short_or_no_word(void **state)
{
	UNUSED(state);
	check_token("0123456789abcdef\n", NULL);
	check_token("0123456789abcde\n", "16 characters");
	check_token("", "16 characters");
	check_token("\n0123456789abcdef", "16 characters");
	check_token("0123456789 abcdef", "without blanks");
	check_token("0123456789abcd\xc3\xa9\xc3\xa9", "ASCII");
	assert_check(":8082", "/nonexistent/token", "reading the console's token");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_summary_adds_up_the_indices_and_has_the_verdict),
		cmocka_unit_test(test_summary_of_an_empty_status_leaves_out_what_is_not_known),
		cmocka_unit_test(test_summary_cuts_a_long_message_between_characters),
		cmocka_unit_test(test_list_since_a_cursor_has_only_what_changed),
		cmocka_unit_test(test_list_after_a_removal_is_complete_again),
		cmocka_unit_test(test_list_ignores_cursors_of_another_process_and_nonsense),
		cmocka_unit_test(test_entry_has_status_schema_as_a_string_and_the_last_events_newest_first),
		cmocka_unit_test(test_list_while_another_thread_changes_it_is_whole),
		cmocka_unit_test(test_check_without_a_token_then_only_loopback_is_accepted),
		cmocka_unit_test(test_check_refuses_a_token_that_is_short_or_no_word),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
