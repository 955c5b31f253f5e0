/* Tests of documents that are tried again: when their dead letters are deleted, and when they stay. */
#include "apply/apply.h"
#include "apply/retries.h"
#include "apply/servers_test.h"

enum { POSITION = 0x700 };

struct fixture {
	struct servers s;
	uint64_t filled[1];
	struct apply apply;
	struct batch batch;
};

static void begin(struct fixture *f)
{
	*f = (struct fixture){0};
	servers_begin(&f->s);
	f->s.answer = servers_answer_books;
	f->s.model.filled = f->filled;
	f->s.model.retries = retries_new();
	targets_init(&f->s.model.targets, f->s.plans, 1);
	report_dead_letters_set(&f->s.report, "books", 3, report_dead_letters_revision(&f->s.report, "books"));
	apply_init(&f->apply, &f->s.model, &f->s.snapshot, f->s.bulk, &f->s.dead);
	f->apply.live = true;
	batch_init(&f->batch);
}

static void end(struct fixture *f)
{
	batch_release(&f->batch);
	apply_release(&f->apply);
	retries_free(f->s.model.retries);
	servers_end(&f->s);
}

static void offer(struct fixture *f, const char *const *ids, size_t n)
{
	struct dead_letters_retries page = {
		.concrete = f->s.concrete[0], .items = xcalloc(n, sizeof(*page.items)), .n = n};

	for (size_t i = 0; i < n; i++)
		page.items[i] = (struct dead_letters_retry){
			.id = xstrdup(ids[i]), .key = xstrdup(ids[i]), .key_len = strlen(ids[i]) + 1, .attempts = 1};
	retries_offer_take(f->s.model.retries, 0, &page);
}

static bool sent(struct fixture *f, const char *part)
{
	bool found;

	(void)pthread_mutex_lock(&f->s.engine.lock);
	found = f->s.bodies.len && strstr(f->s.bodies.data, part);
	(void)pthread_mutex_unlock(&f->s.engine.lock);
	return found;
}

#define DELETES(id) "{\"delete\":{\"_id\":\"" id "\""

static void test_retry_when_it_passes_then_its_letter_goes_after_it_and_otherwise_it_stays(void **state)
{
	struct fixture f;

	UNUSED(state);
	begin(&f);
	offer(&f, (const char *const[]){"1", "9", "bad"}, 3);
	assert_false(retries_idle(f.s.model.retries));
	retries_add(&f.s.model, &f.batch, POSITION);
	assert_int_equal(f.batch.n_txns, 1);
	SERVERS_OK(&f.s, apply_batch(&f.apply, &f.batch, 1, &f.s.err));
	SERVERS_OK(&f.s, bulk_flush(f.s.bulk, &f.s.err));
	/* Written, and deleted because its row is gone, as of the position. No dead letter is touched yet. */
	assert_true(sent(&f, "{\"index\":{\"_id\":\"1\",\"version\":1792,"));
	assert_true(sent(&f, "{\"delete\":{\"_id\":\"9\",\"version\":1792,"));
	assert_false(sent(&f, "dead-letters"));
	assert_int_equal(f.s.dead.n, 1);
	assert_false(retries_idle(f.s.model.retries));
	assert_int_equal(apply_finish(&f.apply, &f.s.err), 1);
	SERVERS_OK(&f.s, bulk_flush(f.s.bulk, &f.s.err));
	assert_true(sent(&f, DELETES("1")));
	assert_false(sent(&f, DELETES("bad")));
	assert_true(retries_idle(f.s.model.retries));
	assert_int_equal(apply_finish(&f.apply, &f.s.err), 0);
	end(&f);
}

static void test_retry_when_the_batch_is_written_again_then_what_failed_before_may_pass(void **state)
{
	struct fixture f;

	UNUSED(state);
	begin(&f);
	offer(&f, (const char *const[]){"bad"}, 1);
	retries_add(&f.s.model, &f.batch, POSITION);
	SERVERS_OK(&f.s, apply_batch(&f.apply, &f.batch, 1, &f.s.err));
	assert_true(retries_page(f.s.model.retries)->items[0].failed);
	f.s.answer = NULL;
	SERVERS_OK(&f.s, apply_batch(&f.apply, &f.batch, 1, &f.s.err));
	assert_false(retries_page(f.s.model.retries)->items[0].failed);
	end(&f);
}

static void test_retry_when_nothing_is_offered_then_the_batch_stays_empty(void **state)
{
	struct fixture f;

	UNUSED(state);
	begin(&f);
	retries_add(&f.s.model, &f.batch, POSITION);
	assert_true(batch_empty(&f.batch));
	offer(&f, (const char *const[]){"1"}, 1);
	retries_add(&f.s.model, &f.batch, POSITION);
	retries_add(&f.s.model, &f.batch, POSITION);
	assert_int_equal(f.batch.n_txns, 1);
	end(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_retry_when_it_passes_then_its_letter_goes_after_it_and_otherwise_it_stays),
		cmocka_unit_test(test_retry_when_the_batch_is_written_again_then_what_failed_before_may_pass),
		cmocka_unit_test(test_retry_when_nothing_is_offered_then_the_batch_stays_empty),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
