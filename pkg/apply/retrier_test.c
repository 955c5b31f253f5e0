/* Tests of retrying dead letters: when a pass begins, what it submits, and when requests count as done. */
#include "apply/retrier.h"
#include "apply/retries.h"
#include "apply/servers_test.h"

/* A search engine with the index books-g1, one dead letter, and requests. */
struct fixture {
	struct fake_engine engine;
	struct http_target *target;
	struct sink sink;
	struct report report;
	struct schema_document document;
	struct document_plan plan;
	struct document_plan *plans[1];
	char *concrete[1];
	struct model model;
	struct batch batch;
	struct retrier retrier;
	struct err err;
	/* Under the engine's lock. */
	const char *mapping;
	char letter[256]; /* the source of the only one */
	char stored[256]; /* the requests; "": none */
	unsigned searches;
};

static int answer(struct fake_engine *engine, const char *head, const char *body, struct strbuf *answer)
{
	struct fixture *f = engine->user;

	if (strstr(head, "/_mapping")) {
		strbuf_addf(answer, "{\"books-g1\":{\"mappings\":%s}}", f->mapping);
	} else if (strstr(head, "POST /books-dead-letters/_search")) {
		f->searches++;
		strbuf_addf(answer, "{\"_scroll_id\":\"s\",\"hits\":{\"hits\":[{\"_id\":\"7\",\"_source\":%s}]}}",
			    f->letter);
	} else if (strstr(head, "POST /_search/scroll")) {
		strbuf_adds(answer, "{\"_scroll_id\":\"s\",\"hits\":{\"hits\":[]}}");
	} else if (strstr(head, "PUT /pgsync-checkpoints")) {
		(void)snprintf(f->stored, sizeof(f->stored), "%s", body);
		strbuf_adds(answer, FAKE_CONFIRMED);
	} else if (strstr(head, "GET /pgsync-checkpoints")) {
		if (!*f->stored) {
			strbuf_adds(answer, "{\"found\":false}");
			return 404;
		}
		strbuf_addf(answer, "{\"_seq_no\":0,\"_primary_term\":1,\"_source\":%s}", f->stored);
	} else {
		strbuf_adds(answer, strncmp(head, "GET ", 4) ? FAKE_CONFIRMED : "{}");
	}
	return 200;
}

static void begin(struct fixture *f, const char *nonce)
{
	const char *url;

	*f = (struct fixture){.sink = {.owner = "shop/books", .token = "1"}, .mapping = "{\"a\":1}"};
	(void)snprintf(f->letter, sizeof(f->letter), "{\"intake\":\"old\"}");
	fake_engine_start(&f->engine, answer, f);
	url = f->engine.url;
	assert_int_equal(http_target_new(&(struct http_target_options){.urls = &url, .n_urls = 1}, &f->target, &f->err),
			 0);
	assert_int_equal(search_new(f->target, NULL, NULL, &f->sink.search, &f->err), 0);
	report_init(&f->report);
	report_dead_letters_set(&f->report, "books", 1, report_dead_letters_revision(&f->report, "books"));
	f->document.index = xstrdup("books");
	f->plan = (struct document_plan){.document = &f->document, .n_keys = 1};
	f->plans[0] = &f->plan;
	f->concrete[0] = xstrdup("books-g1");
	f->model = (struct model){.plans = f->plans, .n_plans = 1, .concrete = f->concrete, .retries = retries_new()};
	targets_init(&f->model.targets, f->plans, 1);
	batch_init(&f->batch);
	retrier_init(&f->retrier, &(struct retrier_options){&f->model, &f->sink, &f->report, "shop/books/s", nonce});
}

static void end(struct fixture *f)
{
	retrier_release(&f->retrier);
	batch_release(&f->batch);
	retries_free(f->model.retries);
	free(f->document.index);
	free(f->concrete[0]);
	report_release(&f->report);
	search_free(f->sink.search);
	fake_engine_stop(&f->engine);
	http_target_free(f->target);
}

/* How many documents were submitted. */
static size_t look(struct fixture *f, bool live)
{
	int64_t pause = 0;
	int r = retrier_round(&f->retrier, live, &pause, &f->err);

	if (r < 0)
		fail_msg("%s", f->err.msg);
	assert_true(pause > 0);
	return r ? retries_page(f->model.retries)->n : 0;
}

/* Does what stream and applier do. Until they have, nothing else is submitted. */
static void carry_out(struct fixture *f, const char *fingerprint)
{
	assert_int_equal(look(f, true), 0);
	retries_add(&f->model, &f->batch, 1);
	assert_int_equal(f->batch.n_txns, 1);
	batch_reset(&f->batch);
	(void)pthread_mutex_lock(&f->engine.lock);
	(void)snprintf(f->letter, sizeof(f->letter), "{\"intake\":\"%s\",\"attempts\":2}", fingerprint);
	(void)pthread_mutex_unlock(&f->engine.lock);
	retries_done(f->model.retries);
}

static void test_round_when_what_the_index_takes_differs_then_one_retry_for_each_change(void **state)
{
	_cleanup_free_ char *fingerprint = NULL;
	struct fixture f;

	UNUSED(state);
	begin(&f, NULL);
	assert_int_equal(look(&f, false), 0);
	fingerprint = report_index_fingerprint(&f.report, "books");
	assert_string_not_equal(fingerprint, "");
	assert_int_equal(look(&f, true), 1);
	assert_string_equal(retries_page(f.model.retries)->items[0].key, "7");
	carry_out(&f, fingerprint);
	/* It failed again. */
	for (int i = 0; i < 3; i++)
		assert_int_equal(look(&f, true), 0);
	/* After the next change, no pass follows at once: it waits. */
	(void)pthread_mutex_lock(&f.engine.lock);
	f.mapping = "{\"a\":2}";
	(void)pthread_mutex_unlock(&f.engine.lock);
	assert_int_equal(look(&f, true), 0);
	assert_int_equal(f.searches, 1);
	end(&f);
}

static void test_settled_when_every_letter_whose_cause_may_be_gone_was_tried(void **state)
{
	_cleanup_free_ char *fingerprint = NULL;
	struct fixture f;

	UNUSED(state);
	begin(&f, NULL);
	assert_false(retrier_is_settled(&f.retrier));
	/* A look that may not try anything. */
	assert_int_equal(look(&f, false), 0);
	assert_false(retrier_is_settled(&f.retrier));
	fingerprint = report_index_fingerprint(&f.report, "books");
	assert_int_equal(look(&f, true), 1);
	assert_false(retrier_is_settled(&f.retrier));
	carry_out(&f, fingerprint);
	assert_int_equal(look(&f, true), 0);
	assert_true(retrier_is_settled(&f.retrier));
	end(&f);
}

static void test_settled_when_there_are_no_letters(void **state)
{
	struct fixture f;

	UNUSED(state);
	begin(&f, NULL);
	report_dead_letters_set(&f.report, "books", 0, report_dead_letters_revision(&f.report, "books"));
	assert_int_equal(look(&f, true), 0);
	assert_true(retrier_is_settled(&f.retrier));
	end(&f);
}

static void test_round_when_there_are_no_letters_then_nothing_is_asked(void **state)
{
	struct fixture f;
	unsigned before;

	UNUSED(state);
	begin(&f, NULL);
	report_dead_letters_set(&f.report, "books", 0, report_dead_letters_revision(&f.report, "books"));
	assert_int_equal(look(&f, true), 0);
	before = f.engine.n_requests;
	assert_int_equal(look(&f, true), 0);
	assert_int_equal(f.engine.n_requests, before);
	end(&f);
}

static void test_round_when_asked_then_at_once_and_the_request_is_done_after_it(void **state)
{
	_cleanup_free_ char *fingerprint = NULL;
	struct fixture f;

	UNUSED(state);
	begin(&f, NULL);
	assert_int_equal(look(&f, true), 1);
	fingerprint = report_index_fingerprint(&f.report, "books");
	carry_out(&f, fingerprint);
	assert_int_equal(look(&f, true), 0);
	(void)snprintf(f.stored, sizeof(f.stored), "{\"retry\":{\"books\":[\"8\",\"7\"]}}");
	assert_int_equal(look(&f, true), 1);
	assert_non_null(strstr(f.stored, "retry"));
	carry_out(&f, fingerprint);
	assert_int_equal(look(&f, true), 0);
	assert_string_equal(f.stored, "{}");
	assert_int_equal(look(&f, true), 0);
	end(&f);
}

static void test_round_when_the_annotation_was_carried_out_before_then_it_is_reported_and_not_repeated(void **state)
{
	static const struct {
		const char *stored;
		size_t offered;
	} cases[] = {{"", 1}, {"{\"handled\":\"first\"}", 1}, {"{\"handled\":\"second\"}", 0}};

	UNUSED(state);
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		_cleanup_free_ char *fingerprint = NULL;
		_cleanup_json_ json_t *report = NULL;
		struct fixture f;

		begin(&f, "second");
		(void)snprintf(f.stored, sizeof(f.stored), "%s", cases[i].stored);
		assert_int_equal(look(&f, false), 0);
		fingerprint = report_index_fingerprint(&f.report, "books");
		(void)snprintf(f.letter, sizeof(f.letter), "{\"intake\":\"%s\"}", fingerprint);
		assert_int_equal(look(&f, true), cases[i].offered);
		if (cases[i].offered)
			carry_out(&f, fingerprint);
		assert_int_equal(look(&f, true), 0);
		report = report_json(&f.report);
		assert_string_equal(jsonx_string(report, "retriedDeadLetters", ""), "second");
		assert_non_null(strstr(f.stored, "\"handled\":\"second\""));
		end(&f);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_round_when_what_the_index_takes_differs_then_one_retry_for_each_change),
		cmocka_unit_test(test_settled_when_every_letter_whose_cause_may_be_gone_was_tried),
		cmocka_unit_test(test_settled_when_there_are_no_letters),
		cmocka_unit_test(test_round_when_there_are_no_letters_then_nothing_is_asked),
		cmocka_unit_test(test_round_when_asked_then_at_once_and_the_request_is_done_after_it),
		cmocka_unit_test(
			test_round_when_the_annotation_was_carried_out_before_then_it_is_reported_and_not_repeated),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
