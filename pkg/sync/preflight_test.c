/* Tests of preflight: what it finds on both sides, which conditions follow, and that it changes nothing. */
#include "sync/store_test.h"

/* The next attempt's preflight, with what was found before in f. */
static int check(struct store *s, struct findings *f)
{
	store_next_attempt(s);
	s->w.err = (struct err){0};
	return preflight(&s->w.at, f, &s->w.err);
}

static void expect_condition(struct store *s, enum condition_type type, enum condition_status status, const char *words)
{
	_cleanup_free_ char *message = report_message(&s->w.run.report, type);

	assert_int_equal(report_status(&s->w.run.report, type), status);
	if (!message || !has(message, words))
		fail_msg("\"%s\" is not in: %s", words, message ? message : "(none)");
}

static void expect_finding(const struct findings *f, size_t i, enum reason reason, const char *path, const char *words)
{
	assert_true(i < f->n);
	assert_string_equal(reason_name(f->items[i].reason), reason_name(reason));
	assert_string_equal(f->items[i].path ? f->items[i].path : "", path);
	if (!has(f->items[i].message, words))
		fail_msg("\"%s\" is not in: %s", words, f->items[i].message);
}

/* --- findings --- */

static void test_preflight_when_all_is_well_then_every_side_is_connected_and_nothing_changes(void **state)
{
	struct findings f;
	struct store s;

	UNUSED(state);
	store_begin(&s);
	findings_init(&f);
	OK(&s.w, check(&s, &f));
	assert_int_equal(f.n, 0);
	expect_condition(&s, CONDITION_SOURCE_REACHABLE, STATUS_TRUE, "PostgreSQL 17.2 at 127.0.0.1");
	expect_condition(&s, CONDITION_SINK_REACHABLE, STATUS_TRUE, "OpenSearch 2.19.0");
	expect_condition(&s, CONDITION_SCHEMA_ACCEPTED, STATUS_TRUE, "every table and column was found");
	assert_int_equal(s.w.at.model.n_plans, 1);
	store_expect_changes(&s, "");
	findings_release(&f);
	store_end(&s);
}

static void test_preflight_when_the_server_lacks_several_things_then_all_are_found_at_once(void **state)
{
	struct findings f;
	struct store s;

	UNUSED(state);
	store_begin(&s);
	s.wal_level = "replica";
	s.may_replicate = "f";
	s.sql_fails = "IDENTIFY_SYSTEM";
	s.can_select = "f";
	findings_init(&f);
	OK(&s.w, check(&s, &f));
	assert_int_equal(f.n, 3);
	expect_finding(&f, 0, REASON_PRIVILEGE_MISSING, "public.books",
		       "GRANT SELECT ON \"public\".\"books\" TO \"u\"");
	expect_finding(&f, 1, REASON_WAL_LEVEL_NOT_LOGICAL, "", "must be \"logical\", found \"replica\"");
	expect_finding(&f, 2, REASON_PRIVILEGE_MISSING, "", "ALTER ROLE \"u\" REPLICATION");
	/* Findings about the server are not about the schema. */
	expect_condition(&s, CONDITION_SCHEMA_ACCEPTED, STATUS_FALSE, "GRANT SELECT");
	store_expect_changes(&s, "");
	findings_release(&f);
	store_end(&s);
}

static void test_preflight_when_a_standby_lacks_the_publication_then_the_statements_to_run_on_the_primary(void **state)
{
	struct findings f;
	struct store s;

	UNUSED(state);
	store_begin(&s);
	fake_postgres_be_standby(s.w.postgres);
	s.w.replayed = s.w.flush_lsn;
	findings_init(&f);
	OK(&s.w, check(&s, &f));
	assert_int_equal(f.n, 1);
	expect_finding(&f, 0, REASON_SERVER_IS_STANDBY, "", "ADD TABLE \"public\".\"books\"; or set");
	store_expect_changes(&s, "");
	findings_release(&f);
	store_end(&s);
}

static void test_preflight_when_the_server_lets_a_role_replicate_that_lacks_the_attribute_then_well(void **state)
{
	struct findings f;
	struct store s;

	UNUSED(state);
	store_begin(&s);
	s.may_replicate = "f";
	findings_init(&f);
	OK(&s.w, check(&s, &f));
	assert_int_equal(f.n, 0);
	store_expect_changes(&s, "");
	findings_release(&f);
	store_end(&s);
}

static void test_preflight_when_the_server_raises_its_wal_level_then_replica_is_enough(void **state)
{
	struct findings f;
	struct store s;

	UNUSED(state);
	store_begin(&s);
	s.wal_level = "replica";
	s.raises_wal_level = true;
	findings_init(&f);
	OK(&s.w, check(&s, &f));
	assert_int_equal(f.n, 0);
	findings_release(&f);
	store_end(&s);
}

static void test_preflight_when_a_column_is_unknown_then_found_and_there_is_no_model(void **state)
{
	struct findings f;
	struct store s;

	UNUSED(state);
	store_begin(&s);
	store_use_document(
		&s, "{\"index\": \"books\", \"nodes\": {\"table\": \"books\", \"columns\": [\"id\", \"titel\"]}}");
	findings_init(&f);
	OK(&s.w, check(&s, &f));
	assert_int_equal(f.n, 1);
	expect_finding(&f, 0, REASON_UNKNOWN_COLUMN, "spec.schema[0].nodes.columns[1]", "did you mean `title`?");
	expect_condition(&s, CONDITION_SCHEMA_ACCEPTED, STATUS_FALSE, "titel");
	assert_int_equal(s.w.at.model.n_plans, 0);
	findings_release(&f);
	store_end(&s);
}

static void test_preflight_when_the_pipeline_is_missing_then_found_unless_it_may_not_be_read(void **state)
{
	struct findings f;
	struct store s;

	UNUSED(state);
	store_begin(&s);
	store_use_document(&s, "{\"index\": \"books\", \"pipeline\": \"clean\", \"nodes\": {\"table\": \"books\"}}");
	findings_init(&f);
	OK(&s.w, check(&s, &f));
	assert_int_equal(f.n, 1);
	expect_finding(&f, 0, REASON_PIPELINE_MISSING, "spec.schema[0]", "no ingest pipeline \"clean\"");
	findings_release(&f);

	findings_init(&f);
	s.has_pipeline = true;
	OK(&s.w, check(&s, &f));
	assert_int_equal(f.n, 0);

	s.has_pipeline = false;
	s.http_denies = "/_ingest/pipeline/";
	OK(&s.w, check(&s, &f));
	assert_int_equal(f.n, 0);
	findings_release(&f);
	store_end(&s);
}

/* --- a side that is unreachable --- */

static void test_preflight_when_the_source_is_away_then_the_sink_is_still_reported(void **state)
{
	struct findings f;
	struct store s;

	UNUSED(state);
	store_begin(&s);
	s.w.spec->source.port = 1;
	findings_init(&f);
	assert_int_equal(check(&s, &f), -1);
	assert_string_equal(reason_name(s.w.err.reason), "Refused");
	expect_condition(&s, CONDITION_SOURCE_REACHABLE, STATUS_FALSE, "127.0.0.1:1");
	expect_condition(&s, CONDITION_SINK_REACHABLE, STATUS_TRUE, "OpenSearch 2.19.0");
	findings_release(&f);
	store_end(&s);
}

static void test_preflight_when_the_sink_is_away_then_the_source_is_still_checked(void **state)
{
	struct findings f;
	struct store s;

	UNUSED(state);
	store_begin(&s);
	s.can_select = "f";
	store_move_sink(&s);
	findings_init(&f);
	assert_int_equal(check(&s, &f), -1);
	assert_true(has(s.w.err.msg, "sink: "));
	expect_condition(&s, CONDITION_SINK_REACHABLE, STATUS_FALSE, "127.0.0.1:1");
	expect_condition(&s, CONDITION_SCHEMA_ACCEPTED, STATUS_FALSE, "GRANT SELECT");
	assert_int_equal(f.n, 1);
	findings_release(&f);
	store_end(&s);
}

static void test_preflight_when_both_are_away_then_the_error_has_both_and_the_sources_reason(void **state)
{
	struct findings f;
	struct store s;

	UNUSED(state);
	store_begin(&s);
	s.w.spec->source.port = 1;
	store_move_sink(&s);
	findings_init(&f);
	assert_int_equal(check(&s, &f), -1);
	assert_true(has(s.w.err.msg, "source: "));
	assert_true(has(s.w.err.msg, "; sink: "));
	assert_string_equal(reason_name(s.w.err.reason), "Refused");
	findings_release(&f);
	store_end(&s);
}

static void test_preflight_when_the_engine_refuses_the_login_then_its_secret_is_named(void **state)
{
	struct findings f;
	struct store s;

	UNUSED(state);
	store_begin(&s);
	s.w.spec->sink.auth_secret.name = xstrdup("books-search");
	s.http_denies = "GET / ";
	s.denial = 401;
	findings_init(&f);
	assert_int_equal(check(&s, &f), -1);
	assert_string_equal(reason_name(s.w.err.reason), "AuthFailed");
	expect_condition(&s, CONDITION_SINK_REACHABLE, STATUS_FALSE,
			 "the credentials come from Secret \"books-search\"");
	findings_release(&f);
	store_end(&s);
}

static void test_preflight_when_the_slot_is_lost_then_its_condition_says_so_even_without_a_sink(void **state)
{
	struct findings f;
	struct store s;

	UNUSED(state);
	store_begin(&s);
	s.has_slot = s.slot_is_lost = true;
	store_move_sink(&s);
	findings_init(&f);
	assert_int_equal(check(&s, &f), -1);
	expect_condition(&s, CONDITION_SLOT_HEALTHY, STATUS_FALSE, "dropped WAL");
	findings_release(&f);
	store_end(&s);
}

/* --- what was found before --- */

static void test_preflight_when_the_sinks_part_is_invalid_then_it_is_not_contacted_and_the_finding_stays(void **state)
{
	struct findings f;
	struct store s;

	UNUSED(state);
	store_begin(&s);
	findings_init(&f);
	findings_add(&f, FINDING_ERROR, REASON_INVALID_SPEC, "spec.sink.urls[0]", "must be http://HOST[:PORT]");
	OK(&s.w, check(&s, &f));
	assert_int_equal(f.n, 1);
	expect_finding(&f, 0, REASON_INVALID_SPEC, "spec.sink.urls[0]", "must be http://");
	assert_int_equal(world_requested(&s.w, "GET / "), 0);
	expect_condition(&s, CONDITION_SINK_REACHABLE, STATUS_UNKNOWN, "spec.sink.urls[0]");
	expect_condition(&s, CONDITION_SCHEMA_ACCEPTED, STATUS_TRUE, "every table and column was found");
	findings_release(&f);
	store_end(&s);
}

static void test_preflight_when_the_schema_has_errors_then_reported_even_if_the_source_is_away(void **state)
{
	struct findings f;
	struct store s;

	UNUSED(state);
	store_begin(&s);
	s.w.spec->source.port = 1;
	findings_init(&f);
	findings_add(&f, FINDING_ERROR, REASON_INVALID_SCHEMA, "spec.schema[0].nodes.colums", "unknown field");
	assert_int_equal(check(&s, &f), -1);
	expect_condition(&s, CONDITION_SCHEMA_ACCEPTED, STATUS_FALSE, "spec.schema[0].nodes.colums: unknown field");
	assert_int_equal(f.n, 1);
	findings_release(&f);
	store_end(&s);
}

static void test_preflight_when_the_source_is_away_later_then_what_it_found_before_is_still_reported(void **state)
{
	struct findings first, second;
	struct store s;

	UNUSED(state);
	store_begin(&s);
	store_use_document(
		&s, "{\"index\": \"books\", \"nodes\": {\"table\": \"books\", \"columns\": [\"id\", \"titel\"]}}");
	findings_init(&first);
	findings_add(&first, FINDING_ERROR, REASON_INVALID_SCHEMA, "spec.schema[0].nodes.colums", "unknown field");
	OK(&s.w, check(&s, &first));
	expect_condition(&s, CONDITION_SCHEMA_ACCEPTED, STATUS_FALSE, "titel");

	s.w.spec->source.port = 1;
	findings_init(&second);
	findings_add(&second, FINDING_ERROR, REASON_INVALID_SCHEMA, "spec.schema[0].nodes.colums", "unknown field");
	assert_int_equal(check(&s, &second), -1);
	expect_condition(&s, CONDITION_SCHEMA_ACCEPTED, STATUS_FALSE, "titel");
	expect_condition(&s, CONDITION_SCHEMA_ACCEPTED, STATUS_FALSE, "spec.schema[0].nodes.colums: unknown field");
	findings_release(&second);
	findings_release(&first);
	store_end(&s);
}

static void test_preflight_when_only_the_source_is_asked_for_then_the_sink_is_left_alone(void **state)
{
	struct findings f;
	struct store s;

	UNUSED(state);
	store_begin(&s);
	s.w.options.source_only = true;
	findings_init(&f);
	OK(&s.w, check(&s, &f));
	assert_int_equal(world_requested(&s.w, "GET "), 0);
	assert_int_equal(s.w.at.model.n_plans, 1);
	findings_release(&f);
	store_end(&s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_preflight_when_all_is_well_then_every_side_is_connected_and_nothing_changes),
		cmocka_unit_test(test_preflight_when_the_server_lacks_several_things_then_all_are_found_at_once),
		cmocka_unit_test(
			test_preflight_when_a_standby_lacks_the_publication_then_the_statements_to_run_on_the_primary),
		cmocka_unit_test(
			test_preflight_when_the_server_lets_a_role_replicate_that_lacks_the_attribute_then_well),
		cmocka_unit_test(test_preflight_when_the_server_raises_its_wal_level_then_replica_is_enough),
		cmocka_unit_test(test_preflight_when_a_column_is_unknown_then_found_and_there_is_no_model),
		cmocka_unit_test(test_preflight_when_the_pipeline_is_missing_then_found_unless_it_may_not_be_read),
		cmocka_unit_test(test_preflight_when_the_source_is_away_then_the_sink_is_still_reported),
		cmocka_unit_test(test_preflight_when_the_sink_is_away_then_the_source_is_still_checked),
		cmocka_unit_test(test_preflight_when_both_are_away_then_the_error_has_both_and_the_sources_reason),
		cmocka_unit_test(test_preflight_when_the_engine_refuses_the_login_then_its_secret_is_named),
		cmocka_unit_test(test_preflight_when_the_slot_is_lost_then_its_condition_says_so_even_without_a_sink),
		cmocka_unit_test(
			test_preflight_when_the_sinks_part_is_invalid_then_it_is_not_contacted_and_the_finding_stays),
		cmocka_unit_test(test_preflight_when_the_schema_has_errors_then_reported_even_if_the_source_is_away),
		cmocka_unit_test(
			test_preflight_when_the_source_is_away_later_then_what_it_found_before_is_still_reported),
		cmocka_unit_test(test_preflight_when_only_the_source_is_asked_for_then_the_sink_is_left_alone),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
