/* Tests of the stream: what it acknowledges, when it answers, and when it submits. */
#include "sync/stream_int.h"
#include "sync/world_test.h"
#include "waits/waits.h"

enum { COMMIT = 0x3000, END = COMMIT + 0x10, MANY = BATCH_KEYS + 100 };

struct fixture {
	struct world w;
	struct stream *stream;
	int monitor_fd;
};

static void begin(struct fixture *f)
{
	f->stream = NULL;
	world_begin(&f->w);
	f->monitor_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
}

static void start(struct fixture *f, struct stream_options options)
{
	struct world *w = &f->w;
	struct pg *replication = NULL;

	options.model = &w->at.model;
	options.run = &w->run;
	options.connector = &w->at.connector;
	options.monitor_fd = f->monitor_fd;
	options.confirmed = options.confirmed ? options.confirmed : UINT64_MAX;
	OK(w, connector_replication(&w->at.connector, &replication, &w->err));
	OK(w, stream_start_take(&options, replication, &f->stream, &w->err));
}

static void begin_live(struct fixture *f)
{
	begin(f);
	start(f, (struct stream_options){.live = true});
}

static void end(struct fixture *f)
{
	fake_gate_open(&f->w.documents);
	fake_gate_open(&f->w.bulks);
	stream_stop(f->stream);
	world_end(&f->w);
	close_fdp(&f->monitor_fd);
}

/* Some status updates later, nothing from `lsn` on is acknowledged. */
static void assert_unacknowledged(struct fixture *f, uint64_t lsn)
{
	assert_true(fake_wal_updates(f->w.postgres, fake_wal_feedback(f->w.postgres), 2));
	assert_true(fake_wal_feedback(f->w.postgres).flushed < lsn);
}

static int wait_end(struct fixture *f, uint64_t *ret_truncated)
{
	int r;

	do {
		wait_news(f->monitor_fd);
		r = stream_check(f->stream, ret_truncated, &f->w.err);
	} while (r == STREAM_RUNNING);
	return r;
}

/* --- acknowledging --- */

static void test_stream_when_the_engine_has_not_answered_then_nothing_is_acknowledged(void **state)
{
	struct fixture f;

	UNUSED(state);
	begin_live(&f);
	fake_gate_close(&f.w.bulks);
	send_transaction(&f.w, 1, COMMIT);
	assert_true(fake_gate_holds(&f.w.bulks, 1));
	assert_unacknowledged(&f, COMMIT);
	assert_true(stream_progress(f.stream).pending);
	fake_gate_open(&f.w.bulks);
	assert_true(fake_wal_flushed(f.w.postgres, END));
	assert_int_equal(world_version(&f.w, 1), END);
	end(&f);
}

static void test_stream_when_a_later_transaction_is_held_then_only_the_earlier_is_acknowledged(void **state)
{
	struct fixture f;

	UNUSED(state);
	begin_live(&f);
	send_transaction(&f.w, 1, COMMIT);
	assert_true(fake_wal_flushed(f.w.postgres, END));
	fake_gate_close(&f.w.bulks);
	send_transaction(&f.w, 2, COMMIT + 0x100);
	assert_true(fake_gate_holds(&f.w.bulks, 1));
	/* WAL of others that comes behind it does not make it durable. */
	assert_true(fake_wal_keepalive(f.w.postgres, COMMIT + 0x1000, true));
	assert_unacknowledged(&f, COMMIT + 0x100);
	fake_gate_open(&f.w.bulks);
	assert_true(fake_wal_flushed(f.w.postgres, COMMIT + 0x1000));
	end(&f);
}

static void test_stream_when_idle_then_the_wal_of_others_is_acknowledged(void **state)
{
	struct fixture f;

	UNUSED(state);
	begin_live(&f);
	assert_true(fake_wal_keepalive(f.w.postgres, 0x5000, false));
	assert_true(fake_wal_flushed(f.w.postgres, 0x5000));
	assert_true(fake_wal_begin(f.w.postgres, 9, 0x6000));
	assert_true(fake_wal_commit(f.w.postgres, 0x6000, 0x6010));
	assert_true(fake_wal_flushed(f.w.postgres, 0x6010));
	assert_int_equal(world_asked(&f.w, "applier"), 0);
	end(&f);
}

static void test_stream_when_within_a_transaction_then_keepalives_do_not_acknowledge_it(void **state)
{
	struct fixture f;

	UNUSED(state);
	begin_live(&f);
	assert_true(fake_wal_begin(f.w.postgres, 9, COMMIT));
	assert_true(fake_wal_keepalive(f.w.postgres, COMMIT + 0x1000, true));
	assert_unacknowledged(&f, COMMIT);
	assert_true(fake_wal_commit(f.w.postgres, COMMIT, END));
	assert_true(fake_wal_flushed(f.w.postgres, END));
	end(&f);
}

static void test_stream_when_the_checkpoint_does_not_confirm_a_position_then_it_is_not_acknowledged(void **state)
{
	struct fixture f;

	UNUSED(state);
	begin(&f);
	start(&f, (struct stream_options){.live = true, .confirmed = COMMIT - 1});
	stream_notify_at(f.stream, END);
	send_transaction(&f.w, 1, COMMIT);
	do
		wait_news(f.monitor_fd);
	while (stream_progress(f.stream).durable < END);
	assert_false(stream_progress(f.stream).asked);
	assert_true(fake_wal_keepalive(f.w.postgres, END, true));
	do
		wait_news(f.monitor_fd);
	while (!stream_progress(f.stream).asked);
	assert_unacknowledged(&f, COMMIT);
	stream_confirm(f.stream, END);
	assert_true(fake_wal_flushed(f.w.postgres, END));
	end(&f);
}

static void test_stream_when_stopped_then_it_acknowledges_what_is_durable(void **state)
{
	struct fixture f;

	UNUSED(state);
	begin_live(&f);
	stream_notify_at(f.stream, END);
	send_transaction(&f.w, 1, COMMIT);
	do
		wait_news(f.monitor_fd);
	while (stream_progress(f.stream).durable < END);
	stream_stop(TAKE_PTR(f.stream));
	assert_true(fake_wal_flushed(f.w.postgres, END));
	end(&f);
}

static void test_stream_when_stopped_then_it_does_not_acknowledge_what_is_under_way(void **state)
{
	struct fixture f;
	struct fake_feedback last;

	UNUSED(state);
	begin_live(&f);
	fake_gate_close(&f.w.documents);
	send_transaction(&f.w, 1, COMMIT);
	assert_true(fake_gate_holds(&f.w.documents, 1));
	last = fake_wal_feedback(f.w.postgres);
	stream_stop(TAKE_PTR(f.stream));
	assert_true(fake_wal_updates(f.w.postgres, last, 1));
	assert_true(fake_wal_feedback(f.w.postgres).flushed < COMMIT);
	end(&f);
}

/* --- a server that contradicts itself --- */

static bool end_at_the_last_position(struct fake_postgres *server)
{
	return fake_wal_begin(server, 9, END + 0x100) && fake_wal_commit(server, END + 0x100, UINT64_MAX);
}

static bool end_before_the_commit(struct fake_postgres *server)
{
	return fake_wal_begin(server, 9, END + 0x100) && fake_wal_commit(server, END + 0x100, END);
}

static bool begin_at_the_last_position(struct fake_postgres *server)
{
	return fake_wal_begin(server, 9, UINT64_MAX);
}

static bool begin_before_what_was_sent(struct fake_postgres *server)
{
	return fake_wal_begin(server, 9, COMMIT);
}

static bool keep_alive_at_the_last_position(struct fake_postgres *server)
{
	return fake_wal_keepalive(server, UINT64_MAX, true);
}

static void test_stream_when_positions_are_not_possible_then_it_ends_and_acknowledges_none(void **state)
{
	static const struct {
		bool (*send)(struct fake_postgres *server);
		const char *error;
	} cases[] = {
		{end_at_the_last_position, "no server reaches"},        {end_before_the_commit, "before its commit"},
		{begin_at_the_last_position, "no server reaches"},      {begin_before_what_was_sent, "goes back from"},
		{keep_alive_at_the_last_position, "no server reaches"},
	};

	UNUSED(state);
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct fixture f;
		uint64_t ignored;

		begin_live(&f);
		send_transaction(&f.w, 1, COMMIT);
		assert_true(fake_wal_flushed(f.w.postgres, END));
		assert_true(cases[i].send(f.w.postgres));
		assert_int_equal(wait_end(&f, &ignored), -1);
		assert_non_null(strstr(f.w.err.msg, cases[i].error));
		stream_stop(TAKE_PTR(f.stream));
		assert_int_equal(fake_wal_feedback(f.w.postgres).flushed, END);
		end(&f);
	}
}

/* --- waits --- */

static void begin_waits(struct fixture *f, struct waits **ret, bool live)
{
	*ret = waits_new();
	begin(f);
	f->w.options.waits = *ret;
	start(f, (struct stream_options){.live = live});
}

static void end_waits(struct fixture *f, struct waits *waits)
{
	end(f);
	waits_free(waits);
}

static void test_stream_when_a_commit_is_waited_for_then_the_wait_ends_once_it_is_in_the_index(void **state)
{
	struct waits *waits;
	struct fixture f;
	uint64_t reached;

	UNUSED(state);
	begin_waits(&f, &waits, true);
	fake_gate_close(&f.w.bulks);
	send_transaction(&f.w, 1, COMMIT);
	assert_true(fake_gate_holds(&f.w.bulks, 1));
	assert_int_equal(waits_wait(waits, END, 1, &reached), WAITS_TIMEOUT);
	fake_gate_open(&f.w.bulks);
	assert_int_equal(waits_wait(waits, END, FAKE_PATIENCE_MS, &reached), WAITS_REACHED);
	assert_int_equal(world_version(&f.w, 1), END);
	end_waits(&f, waits);
}

static void test_stream_when_a_generation_is_being_filled_then_a_wait_does_not_end(void **state)
{
	struct waits *waits;
	struct fixture f;
	uint64_t reached;

	UNUSED(state);
	begin_waits(&f, &waits, false);
	send_transaction(&f.w, 1, COMMIT);
	assert_true(fake_wal_flushed(f.w.postgres, END));
	assert_int_equal(waits_wait(waits, END, 1, &reached), WAITS_TIMEOUT);
	stream_set_live(f.stream);
	assert_int_equal(waits_wait(waits, END, FAKE_PATIENCE_MS, &reached), WAITS_REACHED);
	end_waits(&f, waits);
}

static void *wait_for_others(void *user)
{
	uint64_t reached;

	return waits_wait(user, 0x7000, FAKE_PATIENCE_MS, &reached) == WAITS_REACHED ? user : NULL;
}

static void test_stream_when_the_wal_of_others_is_waited_for_then_the_server_is_asked_for_its_position(void **state)
{
	struct waits *waits;
	struct fixture f;
	pthread_t thread;
	void *reached;

	UNUSED(state);
	begin_waits(&f, &waits, true);
	assert_false(fake_wal_feedback(f.w.postgres).asks);
	assert_int_equal(pthread_create(&thread, NULL, wait_for_others, waits), 0);
	for (struct fake_feedback last = {0}; !last.asks; last = fake_wal_feedback(f.w.postgres))
		assert_true(fake_wal_updates(f.w.postgres, last, 1));
	assert_true(fake_wal_keepalive(f.w.postgres, 0x7000, false));
	assert_int_equal(pthread_join(thread, &reached), 0);
	assert_ptr_equal(reached, waits);
	end_waits(&f, waits);
}

/* --- answering --- */

static void test_stream_when_the_applier_is_blocked_then_requests_for_a_reply_are_answered(void **state)
{
	struct fixture f;

	UNUSED(state);
	begin_live(&f);
	fake_gate_close(&f.w.documents);
	send_transaction(&f.w, 1, COMMIT);
	assert_true(fake_gate_holds(&f.w.documents, 1));
	for (uint64_t i = 1; i <= 5; i++) {
		struct fake_feedback last = fake_wal_feedback(f.w.postgres);

		assert_true(fake_wal_keepalive(f.w.postgres, END + i, true));
		while (last.received < END + i) {
			assert_true(fake_wal_updates(f.w.postgres, last, 1));
			last = fake_wal_feedback(f.w.postgres);
		}
		assert_true(last.flushed < COMMIT);
	}
	end(&f);
}

static void test_stream_when_the_batch_is_full_then_it_stops_reading_and_keeps_answering(void **state)
{
	struct fixture f;
	uint64_t later = COMMIT + 0x1000;

	UNUSED(state);
	begin_live(&f);
	fake_gate_close(&f.w.documents);
	send_transaction(&f.w, 1, COMMIT);
	assert_true(fake_gate_holds(&f.w.documents, 1));
	assert_true(fake_wal_begin(f.w.postgres, 9, later));
	for (int i = 0; i < MANY; i++)
		send_insert(&f.w, 1000 + i);
	assert_true(fake_wal_commit(f.w.postgres, later, later + 0x10));
	assert_unacknowledged(&f, COMMIT);
	assert_true(fake_wal_feedback(f.w.postgres).received < later);
	fake_gate_open(&f.w.documents);
	assert_true(fake_wal_flushed(f.w.postgres, later + 0x10));
	end(&f);
}

static void
test_stream_when_a_transaction_is_larger_than_a_batch_then_its_parts_are_written_before_its_end(void **state)
{
	struct fixture f;

	UNUSED(state);
	begin_live(&f);
	world_add_row(&f.w, (struct row){.id = 1000});
	assert_true(fake_wal_begin(f.w.postgres, 9, COMMIT));
	assert_true(fake_wal_relation(f.w.postgres, &relation));
	for (int i = 0; i < MANY; i++)
		send_insert(&f.w, 1000 + i);
	world_wait_asked(&f.w, "pg_visible_in_snapshot", 1);
	assert_unacknowledged(&f, COMMIT);
	assert_true(fake_wal_commit(f.w.postgres, COMMIT, END));
	assert_true(fake_wal_flushed(f.w.postgres, END));
	/* Above what was read before the transaction, and below its end. */
	assert_true(world_version(&f.w, 1000) > COMMIT && world_version(&f.w, 1000) < END);
	end(&f);
}

/* --- submitting --- */

static void test_stream_when_held_then_nothing_is_submitted_until_it_is_released(void **state)
{
	struct fixture f;

	UNUSED(state);
	begin(&f);
	start(&f, (struct stream_options){.hold = true});
	send_transaction(&f.w, 1, COMMIT);
	assert_unacknowledged(&f, COMMIT);
	assert_int_equal(world_asked(&f.w, "applier"), 0);
	assert_int_equal(world_documents(&f.w), 0);
	stream_end_hold(f.stream);
	assert_true(fake_wal_flushed(f.w.postgres, END));
	assert_int_equal(world_version(&f.w, 1), END);
	end(&f);
}

static void test_stream_when_a_relation_is_doubted_then_nothing_is_submitted_until_the_catalog_is_trusted(void **state)
{
	struct fake_relation other = relation;
	struct fixture f;

	UNUSED(state);
	other.columns[1].type_oid = 1043;
	begin_live(&f);
	world_add_row(&f.w, (struct row){.id = 1});
	assert_true(fake_wal_begin(f.w.postgres, 9, COMMIT));
	assert_true(fake_wal_relation(f.w.postgres, &other));
	send_insert(&f.w, 1);
	assert_true(fake_wal_commit(f.w.postgres, COMMIT, END));
	do
		wait_news(f.monitor_fd);
	while (!stream_progress(f.stream).doubts);
	assert_unacknowledged(&f, COMMIT);
	assert_int_equal(world_asked(&f.w, "applier"), 0);
	/* A comparison that was made before this doubt does not settle it. */
	stream_trust_catalog(f.stream, 0);
	assert_unacknowledged(&f, COMMIT);
	stream_trust_catalog(f.stream, 1);
	assert_true(fake_wal_flushed(f.w.postgres, END));
	assert_int_equal(world_version(&f.w, 1), END);
	end(&f);
}

static void test_stream_when_the_relation_is_as_known_then_there_is_no_doubt(void **state)
{
	struct fixture f;

	UNUSED(state);
	begin_live(&f);
	send_transaction(&f.w, 1, COMMIT);
	send_transaction(&f.w, 2, COMMIT + 0x100);
	assert_true(fake_wal_flushed(f.w.postgres, COMMIT + 0x110));
	assert_int_equal(stream_progress(f.stream).doubts, 0);
	assert_false(stream_progress(f.stream).has_gaps);
	end(&f);
}

static void test_stream_when_partitions_came_then_roots_are_read_once_the_start_is_passed(void **state)
{
	bool all = true;
	struct fixture f;

	UNUSED(state);
	begin(&f);
	f.w.at.model.partition_changes = (struct partition_changes){.pending = true, .all = &all};
	start(&f, (struct stream_options){.live = true, .start_lsn = COMMIT});
	assert_true(fake_wal_keepalive(f.w.postgres, COMMIT - 1, false));
	assert_true(fake_wal_flushed(f.w.postgres, COMMIT - 1));
	assert_int_equal(stream_progress(f.stream).partitions, STREAM_PARTITIONS_WAITING);
	assert_int_equal(world_asked(&f.w, f.w.at.model.plans[0]->sql.all_keys), 0);
	assert_true(fake_wal_keepalive(f.w.postgres, COMMIT, false));
	do
		wait_news(f.monitor_fd);
	while (stream_progress(f.stream).partitions != STREAM_PARTITIONS_DONE);
	assert_int_equal(world_asked(&f.w, f.w.at.model.plans[0]->sql.all_keys), 1);
	assert_true(fake_wal_flushed(f.w.postgres, COMMIT));
	stream_stop(TAKE_PTR(f.stream));
	f.w.at.model.partition_changes = (struct partition_changes){0};
	end(&f);
}

/* --- its end --- */

static void test_stream_when_the_server_ends_it_then_the_error_says_why(void **state)
{
	static const struct {
		const char *sqlstate;
		enum err_kind kind;
		enum reason reason;
	} cases[] = {
		{"57P01", ERR_CONFLICT, REASON_SLOT_TAKEN},    {"42704", ERR_INVALID, REASON_PUBLICATION_MISSING},
		{"55000", ERR_INVALID, REASON_SLOT_LOST},      {"58P01", ERR_INVALID, REASON_SLOT_LOST},
		{"57P03", ERR_TRANSIENT, REASON_STREAM_ENDED},
	};

	UNUSED(state);
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct fixture f;
		uint64_t truncated = 0;

		begin_live(&f);
		assert_true(fake_wal_fail(f.w.postgres, cases[i].sqlstate, "it is over"));
		assert_int_equal(wait_end(&f, &truncated), -1);
		assert_int_equal(f.w.err.kind, cases[i].kind);
		assert_int_equal(f.w.err.reason, cases[i].reason);
		end(&f);
	}
}

static void assert_refused(bool begun, uint64_t end_lsn, const char *message)
{
	struct fixture f;
	uint64_t truncated;

	begin_live(&f);
	if (begun)
		assert_true(fake_wal_begin(f.w.postgres, 7, COMMIT));
	assert_true(fake_wal_commit(f.w.postgres, COMMIT, end_lsn));
	assert_int_equal(wait_end(&f, &truncated), -1);
	assert_non_null(strstr(f.w.err.msg, message));
	end(&f);
}

static void test_stream_when_the_server_ends_a_transaction_that_cannot_be_then_it_is_an_error(void **state)
{
	UNUSED(state);
	assert_refused(false, END, "did not begin");
	assert_refused(true, COMMIT + 1, "before its commit");
}

static void test_stream_when_a_document_cannot_be_read_then_it_fails_and_acknowledges_nothing(void **state)
{
	struct fixture f;
	uint64_t truncated = 0;

	UNUSED(state);
	begin_live(&f);
	f.w.refuses_documents = true;
	send_transaction(&f.w, 1, COMMIT);
	assert_int_equal(wait_end(&f, &truncated), -1);
	assert_int_equal(f.w.err.kind, ERR_DENIED);
	stream_stop(TAKE_PTR(f.stream));
	assert_true(fake_wal_feedback(f.w.postgres).flushed < COMMIT);
	end(&f);
}

static void test_stream_when_the_root_is_truncated_while_copying_then_again_and_nothing_is_acknowledged(void **state)
{
	struct fixture f;
	uint64_t truncated = 0;

	UNUSED(state);
	begin(&f);
	start(&f, (struct stream_options){.live = false});
	assert_true(fake_wal_begin(f.w.postgres, 9, COMMIT));
	assert_true(fake_wal_relation(f.w.postgres, &relation));
	assert_true(fake_wal_truncate(f.w.postgres, BOOKS));
	assert_true(fake_wal_commit(f.w.postgres, COMMIT, END));
	assert_int_equal(wait_end(&f, &truncated), STREAM_AGAIN);
	assert_int_equal(truncated, 1);
	stream_stop(TAKE_PTR(f.stream));
	assert_true(fake_wal_feedback(f.w.postgres).flushed < COMMIT);
	end(&f);
}

static void test_stream_when_the_caller_wants_to_stop_then_it_stops(void **state)
{
	struct fixture f;
	uint64_t truncated = 0;

	UNUSED(state);
	begin_live(&f);
	connector_wake(f.w.options.stop_fd);
	assert_int_equal(wait_end(&f, &truncated), STREAM_STOPPED);
	end(&f);
}

static void test_stream_when_the_server_refuses_it_then_the_error_says_why(void **state)
{
	struct fixture f;
	struct stream_options options;
	struct pg *replication = NULL;
	struct stream *stream = NULL;

	UNUSED(state);
	begin(&f);
	f.w.refuses_stream = true;
	options = (struct stream_options){
		.model = &f.w.at.model, .run = &f.w.run, .connector = &f.w.at.connector, .monitor_fd = f.monitor_fd};
	OK(&f.w, connector_replication(&f.w.at.connector, &replication, &f.w.err));
	assert_int_equal(stream_start_take(&options, replication, &stream, &f.w.err), -1);
	assert_int_equal(f.w.err.kind, ERR_CONFLICT);
	assert_int_equal(f.w.err.reason, REASON_SLOT_ACTIVE);
	assert_null(stream);
	end(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_stream_when_the_engine_has_not_answered_then_nothing_is_acknowledged),
		cmocka_unit_test(test_stream_when_a_later_transaction_is_held_then_only_the_earlier_is_acknowledged),
		cmocka_unit_test(test_stream_when_idle_then_the_wal_of_others_is_acknowledged),
		cmocka_unit_test(test_stream_when_within_a_transaction_then_keepalives_do_not_acknowledge_it),
		cmocka_unit_test(
			test_stream_when_the_checkpoint_does_not_confirm_a_position_then_it_is_not_acknowledged),
		cmocka_unit_test(test_stream_when_stopped_then_it_acknowledges_what_is_durable),
		cmocka_unit_test(test_stream_when_positions_are_not_possible_then_it_ends_and_acknowledges_none),
		cmocka_unit_test(test_stream_when_stopped_then_it_does_not_acknowledge_what_is_under_way),
		cmocka_unit_test(test_stream_when_a_commit_is_waited_for_then_the_wait_ends_once_it_is_in_the_index),
		cmocka_unit_test(test_stream_when_a_generation_is_being_filled_then_a_wait_does_not_end),
		cmocka_unit_test(
			test_stream_when_the_wal_of_others_is_waited_for_then_the_server_is_asked_for_its_position),
		cmocka_unit_test(test_stream_when_the_applier_is_blocked_then_requests_for_a_reply_are_answered),
		cmocka_unit_test(test_stream_when_the_batch_is_full_then_it_stops_reading_and_keeps_answering),
		cmocka_unit_test(
			test_stream_when_a_transaction_is_larger_than_a_batch_then_its_parts_are_written_before_its_end),
		cmocka_unit_test(test_stream_when_held_then_nothing_is_submitted_until_it_is_released),
		cmocka_unit_test(
			test_stream_when_a_relation_is_doubted_then_nothing_is_submitted_until_the_catalog_is_trusted),
		cmocka_unit_test(test_stream_when_the_relation_is_as_known_then_there_is_no_doubt),
		cmocka_unit_test(test_stream_when_partitions_came_then_roots_are_read_once_the_start_is_passed),
		cmocka_unit_test(test_stream_when_the_server_ends_it_then_the_error_says_why),
		cmocka_unit_test(test_stream_when_the_server_ends_a_transaction_that_cannot_be_then_it_is_an_error),
		cmocka_unit_test(test_stream_when_a_document_cannot_be_read_then_it_fails_and_acknowledges_nothing),
		cmocka_unit_test(
			test_stream_when_the_root_is_truncated_while_copying_then_again_and_nothing_is_acknowledged),
		cmocka_unit_test(test_stream_when_the_caller_wants_to_stop_then_it_stops),
		cmocka_unit_test(test_stream_when_the_server_refuses_it_then_the_error_says_why),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
