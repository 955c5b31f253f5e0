/* Tests of an elector's life against a scripted server, with periods of tenths of a second. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "kube/fake_api_int.h"
#include "json/json.h"

#define STATUS(code, reason) "{\"kind\":\"Status\",\"message\":\"m\",\"reason\":\"" reason "\",\"code\":" code "}"
#define LEASE(holder, renewed)                                                                                      \
	"{\"metadata\":{\"name\":\"l\",\"resourceVersion\":\"" renewed "\"},\"spec\":{\"holderIdentity\":\"" holder \
	"\",\"leaseDurationSeconds\":1,\"leaseTransitions\":2,\"acquireTime\":\"a\",\"renewTime\":\"" renewed "\"}}"
#define NOT_FOUND                                                \
	{                                                        \
		.status = 404, .body = STATUS("404", "NotFound") \
	}
#define CONFLICT                                                 \
	{                                                        \
		.status = 409, .body = STATUS("409", "Conflict") \
	}
#define UNAVAILABLE                                                        \
	{                                                                  \
		.status = 503, .body = STATUS("503", "ServiceUnavailable") \
	}
#define OURS(n)                                       \
	{                                             \
		.status = 200, .body = LEASE("me", n) \
	}
#define THEIRS(n)                                        \
	{                                                \
		.status = 200, .body = LEASE("other", n) \
	}

enum { DURATION_MS = 900, DEADLINE_MS = 500, RETRY_MS = 50 };

/* What the elector reported: "lead", "stop", "=holder", "released". */
struct elector {
	struct fake_api api;
	struct kube *kube;
	struct kube_lease *lease;
	struct strbuf told;
	int64_t stopped_ms;
	bool free_on_stop;
};

static void on_started(void *user)
{
	strbuf_adds(&((struct elector *)user)->told, "lead ");
}

static void on_stopped(void *user)
{
	struct elector *e = user;

	strbuf_adds(&e->told, "stop ");
	e->stopped_ms = clock_now_ms();
	if (e->free_on_stop)
		kube_lease_free(TAKE_PTR(e->lease));
}

static void on_new_leader(void *user, const char *identity)
{
	strbuf_addf(&((struct elector *)user)->told, "=%s ", identity);
}

static void on_released(void *user, const struct err *err)
{
	strbuf_addf(&((struct elector *)user)->told, "released%s ", err ? "-not" : "");
}

static int start(struct elector *e, int64_t duration_ms, int64_t deadline_ms, int64_t retry_ms, struct err *err)
{
	struct kube_lease_options options = {
		.namespace = "ns",
		.name = "l",
		.identity = "me",
		.duration_ms = duration_ms,
		.renew_deadline_ms = deadline_ms,
		.retry_period_ms = retry_ms,
		.started_leading = on_started,
		.stopped_leading = on_stopped,
		.new_leader = on_new_leader,
		.user = e,
	};

	return kube_lease_start(e->kube, &options, &e->lease, err);
}

static void elector_begin(struct elector *e, const struct fake_step *steps, size_t n)
{
	struct err err;

	*e = (struct elector){0};
	strbuf_init(&e->told, 4096);
	fake_bind(&e->api);
	fake_run(&e->api, steps, n);
	e->kube = fake_client(&e->api, "");
	assert_int_equal(start(e, DURATION_MS, DEADLINE_MS, RETRY_MS, &err), 0);
}

static void elector_end(struct elector *e)
{
	kube_lease_free(e->lease);
	kube_free(e->kube);
	fake_stop(&e->api);
	strbuf_release(&e->told);
}

static void assert_told(struct elector *e, const char *expected)
{
	int64_t until_ms = clock_now_ms() + FAKE_PATIENCE_MS;
	struct err err;

	while (clock_now_ms() < until_ms &&
	       (fake_taken(&e->api) < e->api.n_steps || strcmp(e->told.data, expected) != 0))
		assert_int_equal(kube_poll(e->kube, NULL, 0, 10, &err), 0);
	assert_string_equal(e->told.data, expected);
	assert_int_equal(fake_taken(&e->api), e->api.n_steps);
}

static void test_elect_when_no_lease_exists_then_created_and_renewed(void **state)
{
	static const struct fake_step STEPS[] = {
		NOT_FOUND, {.status = 201, .body = LEASE("me", "1")}, OURS("2"), OURS("3")};
	struct elector e;

	UNUSED(state);
	elector_begin(&e, STEPS, ARRAY_SIZE(STEPS));
	assert_told(&e, "=me lead ");
	assert_int_equal(fake_count(&e.api, "POST /apis/coordination.k8s.io/v1/namespaces/ns/leases "), 1);
	/* Renewed without reading it first. */
	assert_int_equal(fake_count(&e.api, "PUT /apis/coordination.k8s.io/v1/namespaces/ns/leases/l "), 2);
	assert_int_equal(fake_count(&e.api, "GET"), 1);
	assert_int_equal(fake_count(&e.api, "\"resourceVersion\":\"2\""), 1);
	elector_end(&e);
}

static void test_elect_when_another_leads_then_waits_until_it_is_silent(void **state)
{
	/* The record changes until the third read, then stays: one second must pass before we take over. */
	static const struct fake_step STEPS[] = {
		THEIRS("1"), THEIRS("2"), THEIRS("3"), THEIRS("3"), THEIRS("3"), THEIRS("3"), THEIRS("3"), THEIRS("3"),
		THEIRS("3"), THEIRS("3"), THEIRS("3"), THEIRS("3"), THEIRS("3"), THEIRS("3"), THEIRS("3"), THEIRS("3"),
		THEIRS("3"), THEIRS("3"), THEIRS("3"), THEIRS("3"), THEIRS("3"), THEIRS("3"), THEIRS("3"), THEIRS("3"),
		THEIRS("3"), THEIRS("3"), THEIRS("3"), THEIRS("3"), THEIRS("3"), THEIRS("3"), THEIRS("3"), THEIRS("3")};
	struct elector e;
	int64_t seen_ms;

	UNUSED(state);
	elector_begin(&e, STEPS, ARRAY_SIZE(STEPS));
	FAKE_UNTIL(e.kube, fake_taken(&e.api) == 3);
	seen_ms = clock_now_ms();
	assert_string_equal(e.told.data, "=other ");
	FAKE_UNTIL(e.kube, fake_count(&e.api, "PUT") == 1);
	assert_true(clock_now_ms() - seen_ms >= 950);
	assert_int_equal(fake_count(&e.api, "\"leaseTransitions\":3"), 1);
	assert_int_equal(fake_count(&e.api, "\"holderIdentity\":\"me\""), 1);
	elector_end(&e);
}

static void test_lead_when_another_has_taken_the_lease_then_stopped_and_the_new_leader_is_reported(void **state)
{
	static const struct fake_step STEPS[] = {OURS("1"), OURS("2"), CONFLICT, THEIRS("3")};
	struct elector e;

	UNUSED(state);
	elector_begin(&e, STEPS, ARRAY_SIZE(STEPS));
	assert_told(&e, "=me lead stop =other ");
	elector_end(&e);
}

static void begin_leading(struct elector *e, const struct fake_step *steps, size_t n, int64_t retry_ms)
{
	struct err err;

	*e = (struct elector){0};
	strbuf_init(&e->told, 4096);
	fake_bind(&e->api);
	fake_run(&e->api, steps, n);
	e->kube = fake_client(&e->api, "");
	assert_int_equal(start(e, 15000, 10000, retry_ms, &err), 0);
}

static void test_lead_when_told_to_retry_later_then_the_same_request_is_repeated(void **state)
{
	static const char later[] = "{\"kind\": \"Status\", \"reason\": \"TooManyRequests\", \"code\": 429}";
	static const struct fake_step STEPS[] = {
		OURS("1"),
		OURS("2"),
		{.status = 429, .headers = "Retry-After: 1\r\n", .body = later},
		{.status = 429, .headers = "Retry-After: 1\r\n", .body = later},
		OURS("3"),
	};
	struct elector e;

	UNUSED(state);
	begin_leading(&e, STEPS, ARRAY_SIZE(STEPS), 200);
	assert_told(&e, "=me lead ");
	/* Reading the Lease first would need two answers in a row that are not refusals. */
	assert_int_equal(fake_count(&e.api, "GET"), 1);
	elector_end(&e);
}

/* Eight pieces, each of which the server sends 20 ms after the one before. */
#define SLOWLY(version)                                                                                               \
	{                                                                                                             \
		.status = 200, .stream = {" ", " ", " ", " ", " ", " ", " ", LEASE("me", version)}, .end = FAKE_CLEAN \
	}

static void test_lead_when_answers_are_slow_then_renewals_come_as_often(void **state)
{
	enum { PERIOD_MS = 400, RENEWALS = 8 };
	static const struct fake_step STEPS[] = {OURS("1"),   SLOWLY("2"), SLOWLY("3"), SLOWLY("4"), SLOWLY("5"),
						 SLOWLY("6"), SLOWLY("7"), SLOWLY("8"), SLOWLY("9"), SLOWLY("10")};
	struct elector e;
	int64_t begin_ms;

	UNUSED(state);
	begin_leading(&e, STEPS, ARRAY_SIZE(STEPS), PERIOD_MS);
	FAKE_UNTIL(e.kube, fake_count(&e.api, "PUT") == 1);
	begin_ms = clock_now_ms();
	FAKE_UNTIL(e.kube, fake_count(&e.api, "PUT") == 1 + RENEWALS);
	/* With pauses after the answers, it would be 160 ms more for each. */
	assert_in_range(clock_now_ms() - begin_ms, RENEWALS * PERIOD_MS - 300, RENEWALS * PERIOD_MS + 1000);
	elector_end(&e);
}

/* The API server is unreachable: at the deadline we stop, and no other leader is reported. */
static void test_lead_when_it_cannot_renew_then_stopped_at_the_deadline_and_leads_again(void **state)
{
	static const struct fake_step STEPS[] = {OURS("1"), OURS("2"), {.end = FAKE_HANG}, OURS("2"), OURS("4")};
	struct elector e;
	int64_t led_ms;

	UNUSED(state);
	elector_begin(&e, STEPS, ARRAY_SIZE(STEPS));
	FAKE_UNTIL(e.kube, strstr(e.told.data, "lead "));
	led_ms = clock_now_ms();
	FAKE_UNTIL(e.kube, strstr(e.told.data, "stop "));
	assert_true(e.stopped_ms - led_ms <= DEADLINE_MS + 250);
	assert_true(e.stopped_ms - led_ms >= DEADLINE_MS / 2);
	assert_told(&e, "=me lead stop lead ");
	elector_end(&e);
}

/* A frozen process finds its timers late. */
static void test_lead_when_the_loop_was_frozen_then_stopped_before_the_new_leader_is_reported(void **state)
{
	static const struct fake_step STEPS[] = {OURS("1"), OURS("2"), THEIRS("3"), THEIRS("3")};
	struct timespec frozen = {.tv_nsec = (DEADLINE_MS + 100) * 1000 * 1000};
	struct elector e;

	UNUSED(state);
	elector_begin(&e, STEPS, ARRAY_SIZE(STEPS));
	FAKE_UNTIL(e.kube, strstr(e.told.data, "lead "));
	(void)nanosleep(&frozen, NULL);
	FAKE_UNTIL(e.kube, strstr(e.told.data, "=other"));
	assert_string_equal(e.told.data, "=me lead stop =other ");
	elector_end(&e);
}

static void test_lead_when_a_renewal_fails_once_then_the_long_way_and_no_interruption(void **state)
{
	static const struct fake_step STEPS[] = {OURS("1"), OURS("2"), {.end = FAKE_RESET}, OURS("2"),   OURS("3"),
						 CONFLICT,  OURS("4"), OURS("5"),           UNAVAILABLE, OURS("6"),
						 OURS("7")};
	struct elector e;

	UNUSED(state);
	elector_begin(&e, STEPS, ARRAY_SIZE(STEPS));
	assert_told(&e, "=me lead ");
	elector_end(&e);
}

static void test_lead_when_the_lease_is_deleted_then_created_again(void **state)
{
	static const struct fake_step STEPS[] = {
		OURS("1"), OURS("2"), NOT_FOUND, NOT_FOUND, {.status = 201, .body = LEASE("me", "3")}, OURS("4")};
	struct elector e;

	UNUSED(state);
	elector_begin(&e, STEPS, ARRAY_SIZE(STEPS));
	assert_told(&e, "=me lead ");
	assert_int_equal(fake_count(&e.api, "POST"), 1);
	elector_end(&e);
}

static void test_elect_when_two_create_then_the_loser_waits(void **state)
{
	static const struct fake_step STEPS[] = {
		NOT_FOUND, {.status = 409, .body = STATUS("409", "AlreadyExists")}, THEIRS("1"), THEIRS("2")};
	struct elector e;

	UNUSED(state);
	elector_begin(&e, STEPS, ARRAY_SIZE(STEPS));
	assert_told(&e, "=other ");
	elector_end(&e);
}

static void test_elect_when_the_holder_gives_it_up_then_taken_at_once(void **state)
{
	static const struct fake_step STEPS[] = {THEIRS("1"), {.status = 200, .body = LEASE("", "2")}, OURS("3")};
	struct elector e;

	UNUSED(state);
	elector_begin(&e, STEPS, ARRAY_SIZE(STEPS));
	assert_told(&e, "=other = =me lead ");
	elector_end(&e);
}

static void test_release_when_we_hold_it_then_written_also_after_a_conflict(void **state)
{
	static const struct fake_step STEPS[] = {OURS("1"), OURS("2"), OURS("2"),
						 CONFLICT,  OURS("3"), {.status = 200, .body = LEASE("", "4")}};
	struct elector e;

	UNUSED(state);
	elector_begin(&e, STEPS, ARRAY_SIZE(STEPS));
	FAKE_UNTIL(e.kube, strstr(e.told.data, "lead "));
	kube_lease_release(e.lease, on_released, &e);
	assert_told(&e, "=me lead released ");
	assert_int_equal(fake_count(&e.api, "\"holderIdentity\":\"\",\"leaseDurationSeconds\":1"), 2);
	FAKE_FOR(e.kube, 200);
	assert_string_equal(e.told.data, "=me lead released ");
	elector_end(&e);
}

static void test_release_when_another_holds_it_then_left_alone(void **state)
{
	static const struct fake_step STEPS[] = {THEIRS("1")};
	struct elector e;

	UNUSED(state);
	elector_begin(&e, STEPS, ARRAY_SIZE(STEPS));
	FAKE_UNTIL(e.kube, strstr(e.told.data, "=other"));
	kube_lease_release(e.lease, on_released, &e);
	assert_told(&e, "=other released ");
	assert_int_equal(fake_count(&e.api, "PUT"), 0);
	elector_end(&e);
}

static void test_release_when_the_server_is_away_then_given_up_at_the_deadline(void **state)
{
	static const struct fake_step STEPS[] = {OURS("1"), OURS("2")};
	struct elector e;
	int64_t asked_ms;

	UNUSED(state);
	elector_begin(&e, STEPS, ARRAY_SIZE(STEPS));
	FAKE_UNTIL(e.kube, strstr(e.told.data, "lead "));
	asked_ms = clock_now_ms();
	kube_lease_release(e.lease, on_released, &e);
	FAKE_UNTIL(e.kube, strstr(e.told.data, "released-not"));
	assert_true(clock_now_ms() - asked_ms <= DEADLINE_MS + 1000);
	elector_end(&e);
}

static void test_free_when_called_in_a_callback_then_there_are_no_more(void **state)
{
	static const struct fake_step STEPS[] = {OURS("1"), OURS("2"), CONFLICT, THEIRS("3")};
	struct elector e;

	UNUSED(state);
	elector_begin(&e, STEPS, ARRAY_SIZE(STEPS));
	e.free_on_stop = true;
	FAKE_UNTIL(e.kube, !e.lease);
	FAKE_FOR(e.kube, 100);
	assert_string_equal(e.told.data, "=me lead stop ");
	elector_end(&e);
}

static void test_start_when_periods_do_not_fit_then_invalid(void **state)
{
	static const int64_t BAD[][3] = {{10, 10, 2}, {15, 10, 9}, {15, 12, 10}, {15, 10, 0}, {5, 10, 2}};
	struct elector e = {0};
	struct err err;

	UNUSED(state);
	fake_bind(&e.api);
	e.kube = fake_client(&e.api, "");
	for (size_t i = 0; i < ARRAY_SIZE(BAD); i++) {
		assert_int_equal(start(&e, BAD[i][0] * 1000, BAD[i][1] * 1000, BAD[i][2] * 1000, &err), -1);
		assert_int_equal(err.kind, ERR_INVALID);
		assert_null(e.lease);
	}
	kube_free(e.kube);
	fake_stop(&e.api);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_elect_when_no_lease_exists_then_created_and_renewed),
		cmocka_unit_test(test_elect_when_another_leads_then_waits_until_it_is_silent),
		cmocka_unit_test(test_lead_when_told_to_retry_later_then_the_same_request_is_repeated),
		cmocka_unit_test(test_lead_when_answers_are_slow_then_renewals_come_as_often),
		cmocka_unit_test(
			test_lead_when_another_has_taken_the_lease_then_stopped_and_the_new_leader_is_reported),
		cmocka_unit_test(test_lead_when_it_cannot_renew_then_stopped_at_the_deadline_and_leads_again),
		cmocka_unit_test(test_lead_when_the_loop_was_frozen_then_stopped_before_the_new_leader_is_reported),
		cmocka_unit_test(test_lead_when_a_renewal_fails_once_then_the_long_way_and_no_interruption),
		cmocka_unit_test(test_lead_when_the_lease_is_deleted_then_created_again),
		cmocka_unit_test(test_elect_when_two_create_then_the_loser_waits),
		cmocka_unit_test(test_elect_when_the_holder_gives_it_up_then_taken_at_once),
		cmocka_unit_test(test_release_when_we_hold_it_then_written_also_after_a_conflict),
		cmocka_unit_test(test_release_when_another_holds_it_then_left_alone),
		cmocka_unit_test(test_release_when_the_server_is_away_then_given_up_at_the_deadline),
		cmocka_unit_test(test_free_when_called_in_a_callback_then_there_are_no_more),
		cmocka_unit_test(test_start_when_periods_do_not_fit_then_invalid),
	};

	return cmocka_run_group_tests_name("election", tests, NULL, NULL);
}
