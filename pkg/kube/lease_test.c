/* Tests of the election's pure step: who may take a Lease, and when, by whose clock. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "kube/lease_int.h"
#include "json/json.h"

enum { DURATION_MS = 15000 };

static const int64_t WALL_US = 1700000000123456; /* 2023-11-14T22:13:20.123456Z */

static struct lease_record held_by(const char *holder)
{
	struct lease_record record = {.duration_seconds = 15, .transitions = 3};

	(void)snprintf(record.holder, sizeof(record.holder), "%s", holder);
	(void)snprintf(record.acquire_time, sizeof(record.acquire_time), "2020-01-01T00:00:00.000000Z");
	(void)snprintf(record.renew_time, sizeof(record.renew_time), "2020-01-01T00:00:10.000000Z");
	(void)snprintf(record.resource_version, sizeof(record.resource_version), "77");
	return record;
}

static struct lease_state seen(const char *holder, int64_t at_ms)
{
	struct lease_state state = {0};
	struct lease_record record = held_by(holder);

	lease_observe(&state, &record, at_ms);
	return state;
}

static void test_step_when_no_lease_exists_then_create(void **state)
{
	struct lease_state none = {0};
	struct lease_record next;

	UNUSED(state);
	assert_int_equal(lease_step(&none, "me", DURATION_MS, 5, WALL_US, &next), LEASE_CREATE);
	assert_string_equal(next.holder, "me");
	assert_int_equal(next.duration_seconds, 15);
	assert_int_equal(next.transitions, 0);
	assert_string_equal(next.acquire_time, "2023-11-14T22:13:20.123456Z");
	assert_string_equal(next.renew_time, "2023-11-14T22:13:20.123456Z");
}

static void test_step_when_we_hold_it_then_renewed_with_the_same_term(void **state)
{
	struct lease_state mine = seen("me", 1000);
	struct lease_record next;

	UNUSED(state);
	assert_int_equal(lease_step(&mine, "me", DURATION_MS, 3000, WALL_US, &next), LEASE_UPDATE);
	assert_int_equal(next.transitions, 3);
	assert_string_equal(next.acquire_time, "2020-01-01T00:00:00.000000Z");
	assert_string_equal(next.renew_time, "2023-11-14T22:13:20.123456Z");
	assert_string_equal(next.resource_version, "77");
}

static void test_step_when_another_is_alive_then_wait_until_its_duration_has_passed(void **state)
{
	struct lease_state other = seen("other", 1000);
	struct lease_record next;

	UNUSED(state);
	assert_int_equal(lease_step(&other, "me", DURATION_MS, 1000, WALL_US, &next), LEASE_WAIT);
	assert_int_equal(lease_step(&other, "me", DURATION_MS, 15999, WALL_US, &next), LEASE_WAIT);
	assert_int_equal(lease_expires_ms(&other, "me"), 16000);
	assert_int_equal(lease_expires_ms(&other, "other"), 0);
	assert_int_equal(lease_expires_ms(&(struct lease_state){0}, "me"), 0);
	assert_int_equal(lease_step(&other, "me", DURATION_MS, 16000, WALL_US, &next), LEASE_UPDATE);
	assert_string_equal(next.holder, "me");
	assert_int_equal(next.transitions, 4);
	assert_string_equal(next.acquire_time, "2023-11-14T22:13:20.123456Z");
}

static void test_step_when_a_process_before_us_in_our_pod_holds_it_then_it_is_free(void **state)
{
	struct lease_state before = seen("pod-1_uid-1_aaaa", 1000), other = seen("pod-1_uid-2_aaaa", 1000);
	struct lease_record next;

	UNUSED(state);
	before.predecessor = other.predecessor = "pod-1_uid-1_";
	assert_int_equal(lease_step(&before, "pod-1_uid-1_bbbb", DURATION_MS, 1000, WALL_US, &next), LEASE_UPDATE);
	assert_string_equal(next.holder, "pod-1_uid-1_bbbb");
	assert_int_equal(next.transitions, 4);
	/* Another pod of that name may still be alive. */
	assert_int_equal(lease_step(&other, "pod-1_uid-1_bbbb", DURATION_MS, 1000, WALL_US, &next), LEASE_WAIT);
}

/* The record says how long its holder may be silent; what we would ask for ourselves does not matter. */
static void test_step_when_the_holder_has_another_duration_then_its_own_counts(void **state)
{
	struct lease_record record = held_by("other"), next;
	struct lease_state other = {0};

	UNUSED(state);
	record.duration_seconds = 60;
	lease_observe(&other, &record, 0);
	assert_int_equal(lease_step(&other, "me", DURATION_MS, 59999, WALL_US, &next), LEASE_WAIT);
	assert_int_equal(lease_step(&other, "me", DURATION_MS, 60000, WALL_US, &next), LEASE_UPDATE);
}

/* Its clock may be years off: all that counts is when the record changes, by our clock. */
static void test_step_when_the_holders_clock_is_off_then_only_changes_count(void **state)
{
	struct lease_state other = seen("other", 0);
	struct lease_record record = held_by("other"), next;

	UNUSED(state);
	(void)snprintf(record.renew_time, sizeof(record.renew_time), "1970-01-01T00:00:00.000000Z");
	lease_observe(&other, &record, 14000);
	assert_int_equal(lease_step(&other, "me", DURATION_MS, 20000, WALL_US, &next), LEASE_WAIT);
	(void)snprintf(record.renew_time, sizeof(record.renew_time), "2999-01-01T00:00:00.000000Z");
	lease_observe(&other, &record, 28000);
	assert_int_equal(lease_step(&other, "me", DURATION_MS, 42999, WALL_US, &next), LEASE_WAIT);
	/* The same record, however far in the future, does not prove that the holder is alive. */
	lease_observe(&other, &record, 42000);
	assert_int_equal(lease_step(&other, "me", DURATION_MS, 43000, WALL_US, &next), LEASE_UPDATE);
}

static void test_step_when_released_then_taken_at_once(void **state)
{
	struct lease_record record = held_by("other"), released, next;
	struct lease_state free_one = {0};

	UNUSED(state);
	lease_released(&record, WALL_US, &released);
	assert_string_equal(released.holder, "");
	assert_int_equal(released.duration_seconds, 1);
	assert_int_equal(released.transitions, 3);
	assert_string_equal(released.renew_time, "2023-11-14T22:13:20.123456Z");
	assert_string_equal(released.acquire_time, "2023-11-14T22:13:20.123456Z");
	lease_observe(&free_one, &released, 1000);
	assert_int_equal(lease_step(&free_one, "me", DURATION_MS, 1000, WALL_US, &next), LEASE_UPDATE);
	assert_int_equal(next.transitions, 4);
}

static void test_step_when_a_human_edited_the_duration_then_no_overflow(void **state)
{
	struct lease_record record = held_by("other"), next;
	struct lease_state other = {0};

	UNUSED(state);
	record.duration_seconds = INT64_MAX;
	lease_observe(&other, &record, 0);
	assert_int_equal(lease_step(&other, "me", DURATION_MS, 1000, WALL_US, &next), LEASE_WAIT);
	record.duration_seconds = -5;
	lease_observe(&other, &record, 0);
	assert_int_equal(lease_step(&other, "me", DURATION_MS, 0, WALL_US, &next), LEASE_UPDATE);
}

static void test_step_when_the_duration_is_not_a_whole_second_then_rounded_up(void **state)
{
	struct lease_state none = {0};
	struct lease_record next;

	UNUSED(state);
	(void)lease_step(&none, "me", 1500, 0, WALL_US, &next);
	assert_int_equal(next.duration_seconds, 2);
}

static void test_observe_when_only_the_version_changed_then_the_time_stays(void **state)
{
	struct lease_state other = seen("other", 1000);
	struct lease_record record = held_by("other");

	UNUSED(state);
	/* A label was edited: that shows nothing about the holder. */
	(void)snprintf(record.resource_version, sizeof(record.resource_version), "78");
	lease_observe(&other, &record, 9000);
	assert_int_equal(other.observed_ms, 1000);
	assert_string_equal(other.record.resource_version, "78");
}

static void test_encode_when_an_object_is_replaced_then_what_others_put_there_stays(void **state)
{
	_cleanup_json_ json_t *base =
		json_pack("{s:{s:s, s:{s:s}, s:[]}, s:{s:s, s:s}}", "metadata", "uid", "u", "labels", "team", "x",
			  "managedFields", "spec", "holderIdentity", "other", "strategy", "Oldest");
	struct lease_record record = held_by("me"), again;
	_cleanup_json_ json_t *object = lease_record_encode(&record, base, "ns", "name");

	UNUSED(state);
	assert_string_equal(jsonx_string(object, "apiVersion", ""), "coordination.k8s.io/v1");
	assert_string_equal(jsonx_string(object, "kind", ""), "Lease");
	assert_string_equal(jsonx_string(object, "metadata.namespace", ""), "ns");
	assert_string_equal(jsonx_string(object, "metadata.labels.team", ""), "x");
	assert_string_equal(jsonx_string(object, "metadata.resourceVersion", ""), "77");
	assert_string_equal(jsonx_string(object, "spec.strategy", ""), "Oldest");
	assert_null(jsonx_get(object, "metadata.managedFields"));
	assert_string_equal(jsonx_string(base, "spec.holderIdentity", ""), "other");
	lease_record_decode(object, &again);
	assert_false(lease_record_differs(&record, &again));
}

static void test_decode_when_the_object_has_nothing_then_an_empty_record(void **state)
{
	_cleanup_json_ json_t *object = json_pack("{s:{s:i, s:n}}", "spec", "holderIdentity", 7, "renewTime");
	struct lease_record record;

	UNUSED(state);
	lease_record_decode(object, &record);
	assert_string_equal(record.holder, "");
	assert_string_equal(record.renew_time, "");
	assert_int_equal(record.duration_seconds, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_step_when_no_lease_exists_then_create),
		cmocka_unit_test(test_step_when_we_hold_it_then_renewed_with_the_same_term),
		cmocka_unit_test(test_step_when_a_process_before_us_in_our_pod_holds_it_then_it_is_free),
		cmocka_unit_test(test_step_when_another_is_alive_then_wait_until_its_duration_has_passed),
		cmocka_unit_test(test_step_when_the_holder_has_another_duration_then_its_own_counts),
		cmocka_unit_test(test_step_when_the_holders_clock_is_off_then_only_changes_count),
		cmocka_unit_test(test_step_when_released_then_taken_at_once),
		cmocka_unit_test(test_step_when_a_human_edited_the_duration_then_no_overflow),
		cmocka_unit_test(test_step_when_the_duration_is_not_a_whole_second_then_rounded_up),
		cmocka_unit_test(test_observe_when_only_the_version_changed_then_the_time_stays),
		cmocka_unit_test(test_encode_when_an_object_is_replaced_then_what_others_put_there_stays),
		cmocka_unit_test(test_decode_when_the_object_has_nothing_then_an_empty_record),
	};

	return cmocka_run_group_tests_name("lease", tests, NULL, NULL);
}
