/* Tests of Secrets that appear and disappear, with fake reflectors. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/err.h"
#include "base/strbuf.h"
#include "fakes/cpu.h"
#include "operator/refs_int.h"
#include "json/json.h"

enum { REFLECTORS = 8 };

struct kube_reflector {
	struct kube_reflector_handlers handlers;
	void *user;
	bool stopped;
};

static struct kube_reflector reflectors[REFLECTORS];
static size_t n_reflectors;

static const char *expected_path;

struct kube_reflector *kube_reflect(struct kube *kube, const char *path, const char *label_selector,
				    const struct kube_reflector_handlers *handlers, void *user)
{
	UNUSED(kube);
	assert_string_equal(path, expected_path);
	if (label_selector)
		assert_string_equal(label_selector, "pgsync.io/use=yes");
	assert_true(n_reflectors < REFLECTORS);
	reflectors[n_reflectors] = (struct kube_reflector){.handlers = *handlers, .user = user};
	return &reflectors[n_reflectors++];
}

void kube_reflector_stop(struct kube_reflector *reflector)
{
	if (reflector)
		reflector->stopped = true;
}

/* The requests for single objects. */
struct kube_call {
	char *path;
	kube_done_fn *done;
	void *user;
};

enum { CALLS = 4096 };

static struct kube_call calls[CALLS];
static size_t n_calls, n_under_way, most_under_way;

struct kube_call *kube_request(struct kube *kube, const struct kube_request *request, kube_done_fn *done, void *user)
{
	UNUSED(kube);
	assert_string_equal(request->method, "GET");
	assert_true(n_calls < CALLS);
	calls[n_calls] = (struct kube_call){.path = xstrdup(request->path), .done = done, .user = user};
	if (++n_under_way > most_under_way)
		most_under_way = n_under_way;
	return &calls[n_calls++];
}

void kube_cancel(struct kube_call *call)
{
	if (!call)
		return;
	assert_non_null(call->done);
	call->done = NULL;
	n_under_way--;
}

static void (*timer_fn)(void *user);
static void *timer_user;

struct kube_timer *kube_timer_start(struct kube *kube, int64_t at_ms, void (*fn)(void *user), void *user)
{
	static char timer;

	UNUSED(kube);
	UNUSED(at_ms);
	timer_fn = fn;
	timer_user = user;
	return (struct kube_timer *)(void *)&timer;
}

void kube_timer_cancel(struct kube_timer *timer)
{
	if (timer)
		timer_fn = NULL;
}

static void answer(size_t i, const json_t *object, const struct err *err)
{
	kube_done_fn *done = calls[i].done;

	assert_non_null(done);
	calls[i].done = NULL;
	n_under_way--;
	done(calls[i].user, object, err);
}

static void answer_err(size_t i, enum err_kind kind)
{
	struct err err;

	(void)err_set(&err, kind, "the answer");
	answer(i, NULL, &err);
}

/* --- what a server would send */

static struct kube_reflector *newest(void)
{
	struct kube_reflector *r = &reflectors[n_reflectors - 1];

	assert_false(r->stopped);
	return r;
}

static void changed(const char *data)
{
	_cleanup_free_ char *text = xasprintf("{\"data\": %s}", data);
	_cleanup_json_ json_t *object = json_loads(text, 0, NULL);

	assert_non_null(object);
	newest()->handlers.changed(newest()->user, "shop/source", object);
}

static void deleted(void)
{
	newest()->handlers.deleted(newest()->user, "shop/source");
}

static void synced(void)
{
	newest()->handlers.synced(newest()->user);
}

static void denied(void)
{
	struct err err;

	(void)err_set(&err, ERR_DENIED, "forbidden");
	newest()->handlers.failed(newest()->user, &err);
}

/* --- fixture */

struct fixture {
	struct refs *refs;
	struct ref_set set;
	struct spec spec;
	unsigned changes;
	json_t *secrets;
	json_t *denied;
};

static void on_ref_changed(void *user, const struct ref *ref)
{
	struct fixture *f = user;

	f->changes += refs_contain(&f->set, ref);
}

static int setup(void **state)
{
	static char name[] = "source", key[] = "password";
	struct fixture *f = xcalloc(1, sizeof(*f));

	expected_path = "/api/v1/namespaces/shop/secrets";
	n_reflectors = n_calls = n_under_way = most_under_way = 0;
	f->spec.source.password_ref.name = name;
	f->spec.source.password_ref.key = key;
	f->refs = refs_new(NULL, NULL, on_ref_changed, f);
	refs_hold(f->refs, &f->set, "shop", &f->spec);
	f->secrets = json_object();
	f->denied = json_array();
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	refs_release(f->refs, &f->set);
	refs_free(f->refs);
	assert_int_equal(n_under_way, 0);
	for (size_t i = 0; i < n_calls; i++)
		free(calls[i].path);
	json_decref(f->denied);
	json_decref(f->secrets);
	free(f);
	return 0;
}

/* The values as text; "null": the Secret is not there. */
static char *values(struct fixture *f, bool last_known)
{
	_cleanup_json_ json_t *config_maps = json_object();

	(void)json_object_clear(f->secrets);
	(void)json_array_clear(f->denied);
	assert_true(
		refs_values(&f->set, &f->spec, last_known, &(struct ref_values){f->secrets, config_maps, f->denied}));
	if (!json_object_get(f->secrets, "source"))
		return xstrdup("null");
	return jsonx_canonical(json_object_get(f->secrets, "source"));
}

#define ASSERT_VALUES(f, last_known, expected)                        \
	do {                                                          \
		_cleanup_free_ char *values_ = values(f, last_known); \
		assert_string_equal(values_, expected);               \
	} while (0)

/* --- tests */

static void test_values_when_the_secret_is_there_then_decoded_without_what_is_no_text(void **state)
{
	struct fixture *f = *state;

	/* "pw"; "a\0b"; "\xff". */
	changed("{\"password\": \"cHc=\", \"nul\": \"YQBi\", \"binary\": \"/w==\"}");
	synced();
	ASSERT_VALUES(f, false, "{\"password\":\"pw\"}");
	assert_int_equal(f->changes, 1);
}

static void test_values_when_the_secret_is_gone_then_only_a_clean_up_still_has_them(void **state)
{
	struct fixture *f = *state;

	changed("{\"password\": \"cHc=\"}");
	synced();
	deleted();
	assert_int_equal(f->changes, 2);
	ASSERT_VALUES(f, false, "null");
	ASSERT_VALUES(f, true, "{\"password\":\"pw\"}");
	/* When a namespace is deleted, so is the permission to read it. */
	denied();
	ASSERT_VALUES(f, true, "{\"password\":\"pw\"}");
	assert_int_equal(json_array_size(f->denied), 0);
	ASSERT_VALUES(f, false, "null");
	assert_int_equal(json_array_size(f->denied), 1);
}

static void test_values_when_the_secret_comes_back_then_the_new_ones_count(void **state)
{
	struct fixture *f = *state;

	changed("{\"password\": \"cHc=\"}");
	synced();
	deleted();
	changed("{\"password\": \"bmV3\"}");
	assert_int_equal(f->changes, 3);
	ASSERT_VALUES(f, false, "{\"password\":\"new\"}");
	ASSERT_VALUES(f, true, "{\"password\":\"new\"}");
}

static void test_values_when_it_was_never_there_then_a_clean_up_has_none_either(void **state)
{
	struct fixture *f = *state;

	synced();
	ASSERT_VALUES(f, true, "null");
}

static void test_denied_when_reading_is_allowed_again_then_it_is_absent_again(void **state)
{
	struct fixture *f = *state;

	synced();
	denied();
	ASSERT_VALUES(f, false, "null");
	assert_int_equal(json_array_size(f->denied), 1);
	/* The first reflector has reported that its list is complete, and does not report it twice. */
	assert_int_equal(n_reflectors, 2);
	assert_true(reflectors[0].stopped);
	denied();
	assert_int_equal(n_reflectors, 2);
	synced();
	ASSERT_VALUES(f, false, "null");
	assert_int_equal(json_array_size(f->denied), 0);
}

/* A second user of the namespace, with another Secret. */
static void hold_other(struct fixture *f, struct ref_set *set, const char *name)
{
	_cleanup_free_ char *copy = xstrdup(name);
	struct spec spec = {.source.password_ref.name = copy};

	refs_hold(f->refs, set, "shop", &spec);
}

static bool is_loaded(const struct ref_set *set)
{
	_cleanup_json_ json_t *secrets = json_object();
	_cleanup_json_ json_t *config_maps = json_object();
	_cleanup_json_ json_t *denied = json_array();

	return refs_values(set, &(struct spec){0}, false, &(struct ref_values){secrets, config_maps, denied});
}

static void test_watch_when_many_are_referred_to_then_one_and_few_requests(void **state)
{
	enum { OTHERS = 1500 };
	struct fixture *f = *state;
	struct ref_set *sets = xcalloc(OTHERS, sizeof(*sets));

	for (int i = 0; i < OTHERS; i++) {
		_cleanup_free_ char *name = xasprintf("secret-%d", i);

		hold_other(f, &sets[i], name);
	}
	synced();
	/* The list may have skipped them. */
	for (size_t i = 0; i < n_calls; i++)
		answer_err(i, ERR_NOT_FOUND);
	assert_int_equal(n_calls, OTHERS);
	assert_in_range(most_under_way, 1, 8);
	assert_int_equal(n_reflectors, 1);
	for (int i = 0; i < OTHERS; i++) {
		assert_true(is_loaded(&sets[i]));
		refs_release(f->refs, &sets[i]);
	}
	free(sets);
	assert_false(reflectors[0].stopped);
}

static void test_reference_when_it_is_new_then_fetched_and_the_watch_wins(void **state)
{
	struct fixture *f = *state;
	_cleanup_json_ json_t *object = json_pack("{s:{s:s}}", "data", "password", "cHc=");
	struct ref_set other = {0}, third = {0};

	synced();
	hold_other(f, &other, "other");
	assert_int_equal(n_calls, 1);
	assert_string_equal(calls[0].path, "/api/v1/namespaces/shop/secrets/other");
	assert_false(is_loaded(&other));
	/* After an answer without information, keep waiting. */
	answer_err(0, ERR_TRANSIENT);
	assert_false(is_loaded(&other));
	timer_fn(timer_user);
	assert_int_equal(n_calls, 2);
	answer(1, object, NULL);
	assert_true(is_loaded(&other));
	/* An event of the watch is newer than an answer that is still in flight. */
	hold_other(f, &third, "third");
	newest()->handlers.changed(newest()->user, "shop/third", object);
	assert_true(is_loaded(&third));
	assert_null(calls[2].done);
	refs_release(f->refs, &third);
	/* The answer for a released reference is dropped. */
	hold_other(f, &third, "third");
	refs_release(f->refs, &third);
	assert_null(calls[3].done);
	refs_release(f->refs, &other);
}

/* "cHc=" is "pw", "bmV3" is "new". */
static void test_secret_when_a_key_is_not_used_then_it_is_not_kept(void **state)
{
	static char name[] = "source", key[] = "other";
	struct fixture *f = *state;
	struct spec spec = {.source.password_ref = {.name = name, .key = key}};
	_cleanup_json_ json_t *object = json_pack("{s:{s:s, s:s}}", "data", "password", "cHc=", "other", "bmV3");
	struct fixture second = {.refs = f->refs, .spec = spec};

	changed("{\"password\": \"cHc=\", \"other\": \"cHc=\"}");
	synced();
	changed("{\"password\": \"cHc=\", \"other\": \"bmV3\"}");
	assert_int_equal(f->changes, 1);
	/* Another spec begins to use it. */
	refs_hold(f->refs, &second.set, "shop", &spec);
	assert_int_equal(n_calls, 1);
	assert_string_equal(calls[0].path, "/api/v1/namespaces/shop/secrets/source");
	second.secrets = json_object();
	second.denied = json_array();
	assert_false(refs_values(&second.set, &spec, false,
				 &(struct ref_values){second.secrets, second.secrets, second.denied}));
	ASSERT_VALUES(f, false, "{\"password\":\"pw\"}");
	answer(0, object, NULL);
	assert_int_equal(f->changes, 2);
	ASSERT_VALUES(&second, false, "{\"other\":\"new\"}");
	ASSERT_VALUES(f, false, "{\"password\":\"pw\"}");
	/* The same again is not a new key. */
	refs_hold(f->refs, &second.set, "shop", &spec);
	assert_int_equal(n_calls, 1);
	/* When nothing uses it any more, it is forgotten. */
	refs_release(f->refs, &second.set);
	refs_hold(f->refs, &second.set, "shop", &spec);
	assert_int_equal(n_calls, 2);
	/* There may be no such key. */
	changed("{\"password\": \"cHc=\"}");
	assert_int_equal(f->changes, 3);
	ASSERT_VALUES(&second, false, "{}");
	refs_release(f->refs, &second.set);
	json_decref(second.secrets);
	json_decref(second.denied);
}

static void test_denied_when_reading_is_allowed_again_then_what_is_gone_is_absent(void **state)
{
	struct fixture *f = *state;

	changed("{\"password\": \"cHc=\"}");
	synced();
	denied();
	ASSERT_VALUES(f, false, "{\"password\":\"pw\"}");
	synced();
	ASSERT_VALUES(f, false, "null");
}

static void test_secret_when_it_holds_a_token_of_an_account_then_refused(void **state)
{
	struct fixture *f = *state;
	_cleanup_json_ json_t *object =
		json_pack("{s:s, s:{s:s}}", "type", "kubernetes.io/service-account-token", "data", "token", "cHc=");

	newest()->handlers.changed(newest()->user, "shop/source", object);
	synced();
	ASSERT_VALUES(f, false, "null");
	ASSERT_VALUES(f, true, "null");
	assert_int_equal(json_array_size(f->denied), 1);
	assert_string_equal(json_string_value(json_array_get(f->denied, 0)),
			    "Secret \"source\" cannot be read: it holds the token of a ServiceAccount (type "
			    "kubernetes.io/service-account-token), which no PgSync gets");
}

static void test_label_when_it_is_compared_then_key_and_value_count(void **state)
{
	static const struct {
		const char *label;
		bool matches;
	} rows[] = {
		{"pgsync.io/use", true},   {"pgsync.io/use=yes", true},
		{"pgsync.io/use=", false}, {"pgsync.io/use=no", false},
		{"pgsync.io/us", false},   {"empty", true},
		{"empty=", true},          {"pgsync.io/use=ye", false},
	};
	_cleanup_json_ json_t *object =
		json_pack("{s:{s:{s:s, s:s}}}", "metadata", "labels", "pgsync.io/use", "yes", "empty", "");

	UNUSED(state);
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
		if (refs_label_matches(object, rows[i].label) != rows[i].matches)
			fail_msg("%s", rows[i].label);
}

static void test_secret_when_it_lacks_the_label_then_absent(void **state)
{
	struct fixture *f = *state;
	struct refs *refs = refs_new(NULL, "pgsync.io/use=yes", on_ref_changed, f);
	_cleanup_json_ json_t *without = json_pack("{s:{s:s}}", "data", "password", "cHc=");
	_cleanup_json_ json_t *with = json_pack("{s:{s:{s:s}}, s:{s:s}}", "metadata", "labels", "pgsync.io/use", "yes",
						"data", "password", "cHc=");
	struct ref_set set = {0};

	refs_release(f->refs, &f->set);
	refs_hold(refs, &f->set, "shop", &f->spec);
	newest()->handlers.changed(newest()->user, "shop/source", without);
	synced();
	ASSERT_VALUES(f, false, "null");
	newest()->handlers.changed(newest()->user, "shop/source", with);
	ASSERT_VALUES(f, false, "{\"password\":\"pw\"}");
	refs_release(refs, &f->set);
	refs_release(refs, &set);
	refs_free(refs);
}

/* --- what a large one costs */

static void take_secret_event(void *user, const char *type, json_t *object)
{
	UNUSED(user);
	UNUSED(type);
	newest()->handlers.changed(newest()->user, "shop/source", object);
}

static double seconds_to_parse(const char *text)
{
	double start = thread_seconds();

	json_decref(json_loads(text, 0, NULL));
	return thread_seconds() - start;
}

/* The API server takes 1 MiB of data. Parsing all of it is what must not happen. */
static void test_secret_when_it_has_very_many_keys_then_only_the_needed_one_is_read(void **state)
{
	enum { KEYS = 100000, FRAME_BYTES = 4 * 1024 * 1024 };
	struct fixture *f = *state;
	_cleanup_(kube_frames_freep) struct kube_frames *frames = kube_frames_new(FRAME_BYTES, OPERATOR_TEXTS);
	_cleanup_(strbuf_release) struct strbuf frame;
	_cleanup_free_ char *read = NULL;
	double whole, taken;
	struct err err;

	strbuf_init(&frame, FRAME_BYTES);
	strbuf_adds(&frame, "{\"type\":\"MODIFIED\",\"object\":{\"metadata\":{\"name\":\"source\"},\"data\":{");
	for (int i = 0; i < KEYS; i++)
		strbuf_addf(&frame, "\"%d\":\"\",", i);
	strbuf_adds(&frame, "\"password\":\"aHVudGVyMg==\"},\"type\":\"Opaque\"}}");
	whole = seconds_to_parse(frame.data);
	strbuf_addc(&frame, '\n');
	taken = thread_seconds();
	assert_int_equal(kube_frames_feed(frames, frame.data, frame.len, take_secret_event, NULL, &err), 0);
	read = values(f, false);
	taken = thread_seconds() - taken;
	assert_string_equal(read, "{\"password\":\"hunter2\"}");
	print_message("%.1f ms, parsing all of it %.1f ms\n", taken * 1e3, whole * 1e3);
	assert_true(taken < SLOWDOWN * whole / 2);
}

static void test_config_map_without_its_key_then_a_few_others_are_named(void **state)
{
	_cleanup_json_ json_t *object = json_pack("{s:{s:s, s:s}}", "data", "a", "1", "b", "2");
	_cleanup_json_ json_t *secrets = json_object();
	_cleanup_json_ json_t *config_maps = json_object();
	_cleanup_json_ json_t *wanted = json_pack("{s:{s:s, s:s}}", "maps", "a", "", "b", "");
	struct fixture *f = *state;
	char name[] = "maps", key[] = "schema.json";
	struct spec spec = {.schema_config_map = name, .schema_config_map_key = key};
	struct ref_set set = {0};

	expected_path = "/api/v1/namespaces/shop/configmaps";
	refs_hold(f->refs, &set, "shop", &spec);
	newest()->handlers.changed(newest()->user, "shop/maps", object);
	assert_true(refs_values(&set, &spec, false, &(struct ref_values){secrets, config_maps, NULL}));
	assert_true(json_equal(config_maps, wanted));
	refs_release(f->refs, &set);
}

#define WITH_FIXTURE(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

static void write_text(const char *directory, const char *name, const char *text)
{
	_cleanup_free_ char *path = xasprintf("%s/%s", directory, name);
	_cleanup_fclose_ FILE *file = fopen(path, "we");

	assert_non_null(file);
	assert_true(fputs(text, file) >= 0);
}

static void test_values_when_mounted_then_from_files_and_read_again(void **state)
{
	struct fixture *f = *state;
	char directory[] = "/tmp/refs-test-XXXXXX";
	_cleanup_free_ char *secrets = NULL;
	_cleanup_free_ char *secret = NULL;
	_cleanup_free_ char *file = NULL;
	_cleanup_free_ char *before = NULL;
	_cleanup_free_ char *first = NULL;
	_cleanup_free_ char *second = NULL;
	struct refs *refs;
	unsigned changes;

	assert_non_null(mkdtemp(directory));
	secrets = xasprintf("%s/secrets", directory);
	secret = xasprintf("%s/source", secrets);
	file = xasprintf("%s/password", secret);
	assert_int_equal(mkdir(secrets, 0700), 0);
	assert_int_equal(mkdir(secret, 0700), 0);
	refs_release(f->refs, &f->set);
	refs = refs_new(NULL, NULL, on_ref_changed, f);
	refs_mount(refs, directory);
	n_reflectors = 0;
	refs_hold(refs, &f->set, "shop", &f->spec);
	assert_int_equal(n_reflectors, 0);
	before = values(f, false);
	assert_string_equal(before, "null");
	write_text(secret, "password", "hunter2");
	timer_fn(timer_user);
	first = values(f, false);
	assert_string_equal(first, "{\"password\":\"hunter2\"}");
	write_text(secret, "password", "hunter3");
	changes = f->changes;
	timer_fn(timer_user);
	timer_fn(timer_user);
	assert_int_equal(f->changes, changes + 1);
	second = values(f, false);
	assert_string_equal(second, "{\"password\":\"hunter3\"}");
	(void)unlink(file);
	(void)rmdir(secret);
	(void)rmdir(secrets);
	(void)rmdir(directory);
	refs_release(refs, &f->set);
	refs_free(refs);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		WITH_FIXTURE(test_values_when_mounted_then_from_files_and_read_again),
		WITH_FIXTURE(test_secret_when_it_has_very_many_keys_then_only_the_needed_one_is_read),
		WITH_FIXTURE(test_config_map_without_its_key_then_a_few_others_are_named),
		WITH_FIXTURE(test_values_when_the_secret_is_there_then_decoded_without_what_is_no_text),
		WITH_FIXTURE(test_values_when_the_secret_is_gone_then_only_a_clean_up_still_has_them),
		WITH_FIXTURE(test_values_when_the_secret_comes_back_then_the_new_ones_count),
		WITH_FIXTURE(test_values_when_it_was_never_there_then_a_clean_up_has_none_either),
		WITH_FIXTURE(test_watch_when_many_are_referred_to_then_one_and_few_requests),
		WITH_FIXTURE(test_reference_when_it_is_new_then_fetched_and_the_watch_wins),
		WITH_FIXTURE(test_secret_when_a_key_is_not_used_then_it_is_not_kept),
		WITH_FIXTURE(test_denied_when_reading_is_allowed_again_then_what_is_gone_is_absent),
		WITH_FIXTURE(test_secret_when_it_holds_a_token_of_an_account_then_refused),
		WITH_FIXTURE(test_label_when_it_is_compared_then_key_and_value_count),
		WITH_FIXTURE(test_secret_when_it_lacks_the_label_then_absent),
		WITH_FIXTURE(test_denied_when_reading_is_allowed_again_then_it_is_absent_again),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
