/* Tests of what people are told about a PgSync. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/mem.h"
#include "base/reason.h"
#include "screen/screen.h"
#include "json/json.h"

/* 2026-12-02T12:00:00Z */
#define NOW_US (1796212800LL * 1000000)
#define FRESH                                                                                                  \
	"\"spec\":{\"holderIdentity\":\"us\",\"leaseDurationSeconds\":15,\"renewTime\":\"2026-12-02T11:59:58." \
	"000000Z\"}"

static char *page;

static json_t *parse_text(const char *text)
{
	json_t *value;
	struct err err;

	if (jsonx_parse(text, strlen(text), "the test", &value, &err) < 0)
		fail_msg("%s: %s", err.msg, text);
	return value;
}

/* A PgSync of generation 3 with these fields of the spec and the status, and these conditions. */
static json_t *pgsync(const char *metadata, const char *spec, const char *status, const char *conditions)
{
	_cleanup_free_ char *text = xasprintf("{\"metadata\":{\"namespace\":\"shop\",\"name\":\"books\",\"generation\":"
					      "3%s},\"spec\":{\"lagTargetSeconds\":60%s},"
					      "\"status\":{\"observedGeneration\":3,\"operator\":{\"lease\":\"pgsync-"
					      "system/op\"}%s,\"conditions\":[%s]}}",
					      metadata, spec, status, conditions);

	return parse_text(text);
}

#define CONDITION(type, status, reason, words)                                                            \
	"{\"type\":\"" type "\",\"status\":\"" status "\",\"reason\":\"" reason "\",\"message\":\"" words \
	"\",\"lastTransitionTime\":\"2026-12-02T11:57:00Z\"}"
#define READY CONDITION("Ready", "True", "Streaming", "")
#define LOST CONDITION("Ready", "False", "SlotLost", "slot s is gone")

struct verdict_row {
	const char *metadata, *spec, *status, *conditions, *lease;
	enum lease_found found;
	enum verdict_kind kind;
	const char *summary, *found_text, *next;
};

static void expect_verdicts(const struct verdict_row *rows, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		_cleanup_free_ char *lease_text = xasprintf("{%s}", rows[i].lease);
		_cleanup_json_ json_t *lease = parse_text(lease_text);
		_cleanup_json_ json_t *base = NULL;
		_cleanup_(verdict_release) struct verdict verdict = {0};
		struct screen_input in = {.found = rows[i].found, .lease = lease, .reasons = page, .wall_us = NOW_US};

		/* The later of two keys counts. */
		base = pgsync("", rows[i].spec, "", rows[i].conditions);
		if (*rows[i].status || *rows[i].metadata) {
			_cleanup_free_ char *more = xasprintf("{\"metadata\":{\"x\":0%s},\"status\":{\"x\":0%s}}",
							      rows[i].metadata, rows[i].status);
			_cleanup_json_ json_t *fields = parse_text(more);

			(void)json_object_update_recursive(base, fields);
		}
		in.resource = base;
		verdict_decide(&in, &verdict);
		if (verdict.kind != rows[i].kind || !strstr(verdict.summary, rows[i].summary))
			fail_msg("row %zu: %s: %s", i, verdict_name(verdict.kind), verdict.summary);
		if (!verdict.found != !rows[i].found_text ||
		    (verdict.found && !strstr(verdict.found, rows[i].found_text)))
			fail_msg("row %zu: found: %s", i, verdict.found);
		if (!verdict.next != !rows[i].next || (verdict.next && !strstr(verdict.next, rows[i].next)))
			fail_msg("row %zu: next: %s", i, verdict.next);
	}
}

static void test_verdict_then_the_first_rule_that_applies(void **state)
{
	static const struct verdict_row ROWS[] = {
		{"", "", ",\"stream\":{\"lag\":\"2s\"}", READY, FRESH, LEASE_READ, VERDICT_FLOWING,
		 "data flows, 2s behind", NULL, NULL},
		{"", "", ",\"stream\":{\"lag\":\"2s\"}", READY, "", LEASE_NOT_READ, VERDICT_FLOWING, "target: 60s",
		 NULL, NULL},
		/* A status does not outlive its operator. */
		{"", "", "", READY, "", LEASE_MISSING, VERDICT_UNKNOWN, "no operator is running", "pgsync-system/op",
		 "kubectl get pods --namespace pgsync-system"},
		{"", "", "", READY, "\"spec\":{\"holderIdentity\":\"\",\"renewTime\":\"2026-12-02T11:59:58Z\"}",
		 LEASE_READ, VERDICT_UNKNOWN, "no operator is running", "no operator holds", "kubectl get pods"},
		{"", "", "", READY,
		 "\"spec\":{\"holderIdentity\":\"us\",\"leaseDurationSeconds\":15,\"renewTime\":\"2026-12-02T11:55:"
		 "00Z\"}",
		 LEASE_READ, VERDICT_UNKNOWN, "no operator is running", "renewed 5m ago", "kubectl get pods"},
		/* Clocks differ; a longer Lease is waited for. */
		{"", "", "", READY,
		 "\"spec\":{\"holderIdentity\":\"us\",\"leaseDurationSeconds\":15,\"renewTime\":\"2026-12-02T12:03:"
		 "00Z\"}",
		 LEASE_READ, VERDICT_FLOWING, "data flows", NULL, NULL},
		{"", "", "", READY,
		 "\"spec\":{\"holderIdentity\":\"us\",\"leaseDurationSeconds\":600,\"renewTime\":\"2026-12-02T11:55:"
		 "00Z\"}",
		 LEASE_READ, VERDICT_FLOWING, "data flows", NULL, NULL},
		{"", "", ",\"observedGeneration\":-1", "", "", LEASE_NOT_READ, VERDICT_UNKNOWN,
		 "no operator has looked", NULL, "namespace shop"},
		{",\"generation\":4", "", "", READY, FRESH, LEASE_READ, VERDICT_WORKING, "newest spec", NULL, NULL},
		{"", ",\"suspend\":true", ",\"stream\":{\"retainedWAL\":\"16MiB\"}",
		 CONDITION("Suspended", "True", "Suspended", ""), FRESH, LEASE_READ, VERDICT_SUSPENDED, "suspended",
		 "16MiB", "kubectl pgsync resume books --namespace shop"},
		{"", ",\"suspend\":true", "", CONDITION("Suspended", "False", "Stopping", ""), FRESH, LEASE_READ,
		 VERDICT_WORKING, "being suspended", NULL, NULL},
		{"", "", "", READY "," CONDITION("Degraded", "True", "DeadLetters", "2 documents"), FRESH, LEASE_READ,
		 VERDICT_DEGRADED, "DeadLetters", "2 documents", "pgsync dead-letters lists"},
		{"", "", ",\"stream\":{\"lag\":\"3m\"}", CONDITION("Ready", "False", "LagExceedsTarget", "late"), FRESH,
		 LEASE_READ, VERDICT_LATE, "3m behind", "late", "spec.lagTargetSeconds"},
		{"", "", ",\"bootstrap\":{\"progress\":\"42%\"}",
		 CONDITION("Ready", "False", "Bootstrapping", "copying") "," CONDITION("BootstrapComplete", "False",
										       "InProgress", ""),
		 FRESH, LEASE_READ, VERDICT_WORKING, "42% of the rows", "copying", "rows are being copied"},
		{"", "", "", CONDITION("Ready", "Unknown", "Starting", ""), FRESH, LEASE_READ, VERDICT_WORKING,
		 "it is starting", NULL, NULL},
		/* What is stalled is not on its way, whatever the reason. */
		{"", "", "",
		 CONDITION("Ready", "False", "Bootstrapping", "stuck") "," CONDITION("Stalled", "True", "Bootstrapping",
										     ""),
		 FRESH, LEASE_READ, VERDICT_BROKEN, "data does not flow (Bootstrapping)", "stuck",
		 "rows are being copied"},
		{"", "", "", LOST, FRESH, LEASE_READ, VERDICT_BROKEN, "data does not flow (SlotLost)", "slot s is gone",
		 "max_slot_wal_keep_size"},
		{"", "", "", CONDITION("Ready", "Unknown", "WorkerSilent", "quiet"), FRESH, LEASE_READ, VERDICT_UNKNOWN,
		 "not known whether data flows", "quiet", "after 15 seconds"},
		/* A newer operator's reason. */
		{"", "", "", CONDITION("Ready", "False", "Whatever", "x"), FRESH, LEASE_READ, VERDICT_BROKEN,
		 "(Whatever)", "x", NULL},
		{"", "", "", "", FRESH, LEASE_READ, VERDICT_UNKNOWN, "not known whether data flows", NULL, NULL},
		{",\"deletionTimestamp\":\"2026-12-02T11:00:00Z\"", "", "",
		 CONDITION("Ready", "False", "Deleting", "cannot clean up") "," CONDITION("Stalled", "True", "Deleting",
											  ""),
		 FRESH, LEASE_READ, VERDICT_BROKEN, "deletion is stuck", "cannot clean up", "by force"},
		{",\"deletionTimestamp\":\"2026-12-02T11:00:00Z\"", "", "", CONDITION("Ready", "False", "Deleting", ""),
		 FRESH, LEASE_READ, VERDICT_WORKING, "being deleted", NULL, "slot and publication"},
	};

	UNUSED(state);
	expect_verdicts(ROWS, ARRAY_SIZE(ROWS));
}

static void test_verdict_when_planning_then_planned_or_what_prevents_a_start(void **state)
{
	static const struct verdict_row ROWS[] = {
		{"", ",\"mode\":\"Plan\"", "",
		 CONDITION("Planned", "True", "Planned", "changes: 3") "," CONDITION("Ready", "False", "Planned", ""),
		 FRESH, LEASE_READ, VERDICT_PLANNED, "spec.mode is Plan", "changes: 3", "kubectl pgsync status books"},
		{"", ",\"mode\":\"Plan\"", "",
		 CONDITION("Planned", "False", "UnknownTable", "") "," CONDITION("Ready", "False", "UnknownTable",
										 "no such"),
		 FRESH, LEASE_READ, VERDICT_BROKEN, "UnknownTable", "no such", "create the table"},
	};

	UNUSED(state);
	expect_verdicts(ROWS, ARRAY_SIZE(ROWS));
}

static void test_remedy_then_the_text_of_the_row_without_markup(void **state)
{
	static const struct {
		const char *word, *text;
	} ROWS[] = {{"WalLevelNotLogical", "ALTER SYSTEM SET wal_level = logical, and restart the server"},
		    {"NoFreeSender", "raise max_replication_slots or max_wal_senders, or drop unused slots"},
		    {"Suspended", "spec.suspend is true"},
		    /* Conditions are not reasons. */
		    {"Ready", NULL},
		    {"SlotHealthy", NULL},
		    /* A part of a word. */
		    {"Free", NULL},
		    {"", NULL}};
	_cleanup_free_ char *standby = remedy_find(page, "ServerIsStandby");

	UNUSED(state);
	for (size_t i = 0; i < ARRAY_SIZE(ROWS); i++) {
		_cleanup_free_ char *text = remedy_find(page, ROWS[i].word);

		if (!text != !ROWS[i].text || (text && strcmp(text, ROWS[i].text) != 0))
			fail_msg("%s: %s", ROWS[i].word, text);
	}
	assert_non_null(strstr(standby, ". See Following a standby"));
}

static void assert_has(const struct strbuf *text, const char *part)
{
	if (!strstr(text->data, part))
		fail_msg("no \"%s\" in:\n%s", part, text->data);
}

static void test_status_when_broken_then_the_verdict_is_first_and_the_rest_follows(void **state)
{
	_cleanup_json_ json_t *resource = pgsync(
		"", "",
		",\"phase\":\"Failed\",\"worker\":{\"identity\":\"pod-1/ab-3\",\"startTime\":\"2026-12-02T09:00:00Z\","
		"\"restartCount\":2},\"stream\":{\"slotName\":\"s1\",\"slotState\":\"Lost\"},\"indices\":[{\"name\":"
		"\"books\","
		"\"physicalName\":\"books-g2\",\"documentCount\":25,\"health\":\"green\",\"deadLetters\":3}]",
		LOST "," CONDITION("SinkReachable", "True", "Connected", "never shown"));
	_cleanup_json_ json_t *lease = parse_text("{" FRESH "}");
	_cleanup_json_ json_t *events = parse_text("[{\"eventTime\":\"2026-12-02T11:59:00.000000Z\",\"type\":"
						   "\"Warning\",\"reason\":\"SlotGivenUp\",\"message\":\"new\\nline\"},"
						   "{\"eventTime\":\"2026-12-02T11:00:00Z\",\"series\":{\"count\":4,"
						   "\"lastObservedTime\":\"2026-12-02T11:30:00Z\"},"
						   "\"type\":\"Normal\",\"reason\":\"Started\",\"message\":\"old\"}]");
	struct screen_input in = {.resource = resource,
				  .found = LEASE_READ,
				  .lease = lease,
				  .events = events,
				  .reasons = page,
				  .wall_us = NOW_US};
	struct strbuf text;

	UNUSED(state);
	strbuf_init(&text, 65536);
	screen_status(&in, &text);
	assert_int_equal(strncmp(text.data,
				 "Verdict:    Broken: data does not flow (SlotLost)\nFound:      slot s is gone\n", 76),
			 0);
	assert_has(&text, "\nTo do:      the slot was dropped");
	assert_has(&text, "\nName:       shop/books\n");
	assert_has(&text, "\nOperator:   Lease pgsync-system/op, renewed 2s ago\n");
	assert_has(&text, "\nWorker:     pod-1/ab-3, started 3h ago, restarted 2 times\n");
	assert_has(&text, "\nSlot:       s1 (Lost)");
	assert_has(&text, "  INDEX   GENERATION   DOCUMENTS   HEALTH   DEAD LETTERS   DROPPED\n"
			  "  books   books-g2     25          green    3              0\n");
	assert_has(&text, "  Ready           False    SlotLost    3m\n");
	assert_has(&text, "\n  Ready: slot s is gone\n    to do: the slot was dropped");
	assert_null(strstr(text.data, "never shown"));
	/* The newest event is last, and each is one line. */
	assert_has(&text, "  30m (x4)   Normal    Started       old\n  60s        Warning   SlotGivenUp   new line\n");
	strbuf_release(&text);
}

static void test_status_when_planned_then_the_findings_with_their_statements(void **state)
{
	_cleanup_json_ json_t *resource =
		pgsync("", "",
		       ",\"findings\":[{\"severity\":\"Error\",\"path\":\"spec.schema[0]\",\"message\":\"no table\"},"
		       "{\"severity\":\"Change\",\"message\":\"an\\nidentity\",\"statement\":\"ALTER TABLE t\"}],"
		       "\"moreFindings\":2",
		       READY);
	struct screen_input in = {.resource = resource, .reasons = page, .wall_us = NOW_US};
	struct strbuf text;

	UNUSED(state);
	strbuf_init(&text, 65536);
	screen_status(&in, &text);
	assert_has(&text, "\nFindings:\n  Error: spec.schema[0]: no table\n"
			  "  Change: an identity\n    ALTER TABLE t;\n  and 2 more\n");
	strbuf_release(&text);
}

static void test_plan_then_findings_and_whether_all_was_checked(void **state)
{
#define LISTED ",\"findings\":[{\"severity\":\"Change\",\"message\":\"a slot\"}]"
#define FAILING ",\"findings\":[{\"severity\":\"Error\",\"path\":\"spec\",\"message\":\"no table\"}],\"moreFindings\":2"
#define STALE ",\"observedGeneration\":2"
	static const struct {
		const char *mode, *status, *conditions;
		bool good;
		const char *out;
	} ROWS[] = {
		{"Plan", "", CONDITION("Planned", "True", "Planned", "changes: 0"), true,
		 "The operator found no errors, and nothing that a start would change.\n"},
		{"Plan", LISTED, CONDITION("Planned", "True", "Planned", "changes: 1"), true, "Change: a slot\n"},
		{"Plan", "", CONDITION("Planned", "False", "Failed", "no\\nroute"), false,
		 "The check failed: no route\n"},
		{"Plan", FAILING, CONDITION("Planned", "False", "UnknownTable", "no table"), false,
		 "Error: spec: no table\nand 2 more\nThe check failed: no table\n"},
		/* SchemaAccepted is not all of a plan. */
		{"Plan", "", CONDITION("SchemaAccepted", "True", "Accepted", ""), false,
		 "The operator has not checked the current spec yet.\n"},
		{"Plan", STALE LISTED, CONDITION("Planned", "True", "Planned", ""), false,
		 "Change: a slot\nThe operator has not checked the current spec yet.\n"},
		{"Sync", "", CONDITION("SchemaAccepted", "True", "Accepted", ""), true,
		 "The operator found no errors.\nbooks is not in mode Plan, so what a start would change is not "
		 "listed.\n"},
		{"Sync", FAILING, CONDITION("SchemaAccepted", "True", "Accepted", ""), false,
		 "Error: spec: no table\nand 2 more\nbooks is not in mode Plan, so what a start would change is not "
		 "listed.\n"},
		{"Sync", "", CONDITION("SchemaAccepted", "False", "UnknownTable", "no table"), false,
		 "The check failed: no table\nbooks is not in mode Plan, so what a start would change is not "
		 "listed.\n"},
		{"Sync", "", CONDITION("SchemaAccepted", "Unknown", "NotChecked", "not yet"), false,
		 "The operator has not checked the current spec yet.\nbooks is not in mode Plan, so what a start would "
		 "change is not listed.\n"},
		{"Sync", "", READY, false,
		 "The operator has not checked the current spec yet.\nbooks is not in mode Plan, so what a start would "
		 "change is not listed.\n"},
	};
#undef LISTED
#undef FAILING
#undef STALE

	UNUSED(state);
	for (size_t i = 0; i < ARRAY_SIZE(ROWS); i++) {
		_cleanup_free_ char *mode = xasprintf(",\"mode\":\"%s\"", ROWS[i].mode);
		_cleanup_json_ json_t *resource = pgsync("", mode, "", ROWS[i].conditions);
		_cleanup_free_ char *more = xasprintf("{\"status\":{\"x\":0%s}}", ROWS[i].status);
		_cleanup_json_ json_t *fields = parse_text(more);
		struct strbuf text;

		(void)json_object_update_recursive(resource, fields);
		strbuf_init(&text, 65536);
		if (screen_plan(resource, &text) != ROWS[i].good || strcmp(text.data, ROWS[i].out) != 0)
			fail_msg("row %zu: %s", i, text.data);
		strbuf_release(&text);
	}
}

static void test_status_when_nothing_is_known_then_still_a_screen(void **state)
{
	_cleanup_json_ json_t *resource = parse_text("{\"metadata\":{\"name\":\"books\",\"namespace\":\"shop\"}}");
	struct screen_input in = {.resource = resource, .reasons = page, .wall_us = NOW_US};
	struct strbuf text;

	UNUSED(state);
	strbuf_init(&text, 65536);
	screen_status(&in, &text);
	assert_has(&text, "Verdict:    Unknown: no operator has looked at it yet\n");
	assert_has(&text, "\nEvents: not readable for you\n");
	strbuf_release(&text);
}

static void test_list_then_a_line_for_each_in_columns(void **state)
{
	_cleanup_json_ json_t *one = pgsync("", "", ",\"stream\":{\"lag\":\"2s\"}", READY);
	_cleanup_json_ json_t *other = pgsync("", "", "", LOST);
	struct screen_input items[] = {{.resource = one, .reasons = page, .wall_us = NOW_US},
				       {.resource = other, .reasons = page, .wall_us = NOW_US}};
	struct strbuf text;

	UNUSED(state);
	(void)json_object_set_new(json_object_get(other, "metadata"), "name", json_string("another-one"));
	strbuf_init(&text, 65536);
	screen_list(items, 2, true, &text);
	assert_string_equal(text.data,
			    "NAMESPACE   NAME          VERDICT   LAG   SUMMARY\n"
			    "shop        books         Flowing   2s    data flows, 2s behind the tables (target: 60s)\n"
			    "shop        another-one   Broken    -     data does not flow (SlotLost)\n");
	strbuf_release(&text);
}

static void test_lines_then_those_whose_fields_name_the_pgsync(void **state)
{
	/* As worker and operator write them, in both formats; and others that have the name elsewhere. */
	static const char *const SHOWN[] = {
		"2026-12-02T12:00:00.000000Z info  sync: streaming pgsync=shop/books lsn=\"0/1\"\n",
		"2026-12-02T12:00:00.000000Z info  sync: it is the last field pgsync=shop/books\n",
		"2026-12-02T12:00:00.000000Z info  operator: event resource=\"shop/books\" reason=\"Started\"\n",
		"{\"time\":\"t\",\"component\":\"sync\",\"pgsync\":\"shop/books\",\"message\":\"m\"}\n",
		"{\"component\":\"operator\",\"message\":\"event\",\"resource\":\"shop/books\"}\n"};
	static const char *const OTHERS[] = {
		"2026-12-02T12:00:00.000000Z info  sync: streaming pgsync=shop/books2\n",
		"2026-12-02T12:00:00.000000Z info  sync: streaming pgsync=workshop/books\n",
		"2026-12-02T12:00:00.000000Z info  operator: event resource=\"shop/books-2\"\n",
		"{\"pgsync\":\"shop/books2\",\"message\":\"shop/books\"}\n",
		"shop/books\n",
		"\n"};
	struct strbuf log, wanted;

	UNUSED(state);
	strbuf_init(&log, 65536);
	strbuf_init(&wanted, 65536);
	for (size_t i = 0; i < ARRAY_SIZE(OTHERS); i++) {
		strbuf_adds(&log, OTHERS[i]);
		strbuf_adds(&log, i < ARRAY_SIZE(SHOWN) ? SHOWN[i] : "");
		strbuf_adds(&wanted, i < ARRAY_SIZE(SHOWN) ? SHOWN[i] : "");
	}
	for (size_t piece = 1; piece <= log.len; piece++) {
		struct screen_lines lines;
		struct strbuf out;

		strbuf_init(&out, 65536);
		screen_lines_init(&lines, "shop/books");
		for (size_t at = 0; at < log.len; at += piece)
			screen_lines_feed(&lines, log.data + at, piece < log.len - at ? piece : log.len - at, &out);
		assert_string_equal(out.data, wanted.data);
		screen_lines_release(&lines);
		strbuf_release(&out);
	}
	strbuf_release(&log);
	strbuf_release(&wanted);
}

static void test_lag_then_columns_that_do_not_move(void **state)
{
	_cleanup_json_ json_t *one =
		pgsync("", "", ",\"stream\":{\"lag\":\"2s\",\"lagBytes\":3145728,\"retainedWAL\":\"16MiB\"}", READY);
	_cleanup_json_ json_t *other = pgsync("", "", "", LOST);
	struct screen_input in = {.resource = one, .reasons = page, .wall_us = NOW_US};
	struct strbuf text;

	UNUSED(state);
	strbuf_init(&text, 65536);
	screen_lag_header(false, &text);
	screen_lag(&in, false, &text);
	in.resource = other;
	screen_lag(&in, false, &text);
	assert_string_equal(text.data, "NAME                           LAG      BEHIND      RETAINED    VERDICT\n"
				       "books                          2s       3.0MiB      16MiB       Flowing\n"
				       "books                          -        -           -           Broken\n");
	strbuf_release(&text);
}

static void test_top_then_those_that_need_attention_come_first(void **state)
{
	_cleanup_json_ json_t *one =
		pgsync("", "",
		       ",\"stream\":{\"lag\":\"2s\",\"retainedWAL\":\"16MiB\"},\"bootstrap\":{\"progress\":\"100%\"},"
		       "\"indices\":"
		       "[{\"name\":\"a\",\"documentCount\":20},{\"name\":\"b\",\"documentCount\":5,\"deadLetters\":1}]",
		       READY);
	_cleanup_json_ json_t *other = pgsync("", "", "", LOST);
	struct screen_input items[] = {{.resource = one, .reasons = page, .wall_us = NOW_US},
				       {.resource = other, .reasons = page, .wall_us = NOW_US}};
	_cleanup_json_ json_t *both = json_pack("[O, O]", one, other);
	struct strbuf text;

	UNUSED(state);
	strbuf_init(&text, 65536);
	screen_top(items, 2, false, &text);
	assert_int_equal(strncmp(text.data, "2 PgSyncs, 1 healthy\n\n", 22), 0);
	assert_has(&text, "\nbooks   Broken    -     -          0           0              -           data does");
	assert_has(&text, "\nbooks   Flowing   2s    16MiB      25          1              100%        data flows");
	assert_true(strstr(text.data, "Broken") < strstr(text.data, "Flowing"));
	strbuf_reset(&text);
	assert_int_equal(screen_dead_letters(both, true, &text), 1);
	assert_string_equal(text.data, "NAMESPACE   NAME    INDEX   DEAD LETTERS\n"
				       "shop        books   a       0\n"
				       "shop        books   b       1\n");
	strbuf_release(&text);
}

static void test_scrub_then_secrets_are_gone_and_the_rest_stays(void **state)
{
	static const struct {
		const char *text, *scrubbed;
	} ROWS[] = {
		{"postgres://me:s3cret@db:5432/shop?x=1", "postgres://(removed)@db:5432/shop?x=1"},
		{"https://a@b:c@host/", "https://(removed)@host/"},
		{"https://host/path@x", "https://host/path@x"},
		{"host=db password=s3cret user=me", "host=db password=(removed) user=me"},
		{"password='s3 cret' x", "password='(removed)' x"},
		{"{\"token\":\"s3cret\",\"a\":1}", "{\"token\":\"(removed)\",\"a\":1}"},
		{"--token=s3cret --other", "--token=(removed) --other"},
		{"PGPASSWORD=s3cret", "PGPASSWORD=(removed)"},
		{"Authorization: Basic dXNlcjpzM2NyZXQ= end", "Authorization: (removed)"},
		{"sent Bearer abcdefgh12345 to it", "sent Bearer (removed) to it"},
		{"a eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJ4In0.abc b", "a (removed) b"},
		{"passwordSecretRef: {name: x, key: password}", "passwordSecretRef: {name: x, key: password}"},
		{"password authentication failed for user \"me\"", "password authentication failed for user \"me\""},
		{"a bearer of news", "a bearer of news"},
		{"password=", "password="},
		{"", ""},
	};

	UNUSED(state);
	for (size_t i = 0; i < ARRAY_SIZE(ROWS); i++) {
		struct strbuf out;

		strbuf_init(&out, 65536);
		scrub_text(ROWS[i].text, strlen(ROWS[i].text), &out);
		assert_string_equal(out.data, ROWS[i].scrubbed);
		strbuf_release(&out);
	}
}

static void test_scrub_json_then_names_and_strings(void **state)
{
	_cleanup_json_ json_t *value = parse_text("{\"spec\":{\"passwordSecretRef\":{\"name\":\"n\",\"key\":"
						  "\"password\"},\"list\":[{\"apiKey\":\"s3cret\"},"
						  "\"http://u:s3cret@h\",7,true,null]},\"adminPassword\":\"s3cret\"}");
	_cleanup_json_ json_t *wanted =
		parse_text("{\"spec\":{\"passwordSecretRef\":{\"name\":\"n\",\"key\":\"password\"},\"list\":[{"
			   "\"apiKey\":\"(removed)\"},"
			   "\"http://(removed)@h\",7,true,null]},\"adminPassword\":\"(removed)\"}");
	_cleanup_json_ json_t *scrubbed = scrub_json(value);

	UNUSED(state);
	assert_true(json_equal(scrubbed, wanted));
}

static void test_json_then_verdict_and_status(void **state)
{
	_cleanup_json_ json_t *resource = pgsync("", "", "", LOST);
	struct screen_input in = {.resource = resource, .reasons = page, .wall_us = NOW_US};
	_cleanup_json_ json_t *value = screen_json(&in);

	UNUSED(state);
	assert_string_equal(jsonx_string(value, "verdict", ""), "Broken");
	assert_false(jsonx_boolean(value, "healthy", true));
	assert_string_equal(jsonx_string(value, "found", ""), "slot s is gone");
	assert_int_equal(jsonx_integer(value, "status.observedGeneration", 0), 3);
}

/* Every reason for which a PgSync may be broken has advice. */
static void test_reasons_then_each_that_docs_list_in_a_table_is_found(void **state)
{
	static const enum reason REASONS_OF_FAILURE[] = {
		REASON_INVALID_SPEC,  REASON_UNKNOWN_TABLE,    REASON_CREDENTIALS_NOT_FOUND, REASON_AUTH_FAILED,
		REASON_TLS,           REASON_SLOT_LOST,        REASON_SINK_UNREACHABLE,      REASON_INDEX_IN_USE,
		REASON_WORKER_EXITED, REASON_OPERATOR_STOPPED, REASON_TOO_MANY_PGSYNCS,      REASON_WORKER_REFUSED};

	UNUSED(state);
	for (size_t i = 0; i < ARRAY_SIZE(REASONS_OF_FAILURE); i++) {
		_cleanup_free_ char *text = remedy_find(page, reason_name(REASONS_OF_FAILURE[i]));

		if (!text || strlen(text) < 10)
			fail_msg("%s: %s", reason_name(REASONS_OF_FAILURE[i]), text);
	}
}

static int read_page(void **state)
{
	struct err err;
	size_t len;

	UNUSED(state);
	return jsonx_read_file("docs/conditions.md", 1 << 20, &page, &len, &err);
}

static int free_page(void **state)
{
	UNUSED(state);
	free(page);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_verdict_then_the_first_rule_that_applies),
		cmocka_unit_test(test_verdict_when_planning_then_planned_or_what_prevents_a_start),
		cmocka_unit_test(test_remedy_then_the_text_of_the_row_without_markup),
		cmocka_unit_test(test_status_when_broken_then_the_verdict_is_first_and_the_rest_follows),
		cmocka_unit_test(test_status_when_planned_then_the_findings_with_their_statements),
		cmocka_unit_test(test_plan_then_findings_and_whether_all_was_checked),
		cmocka_unit_test(test_status_when_nothing_is_known_then_still_a_screen),
		cmocka_unit_test(test_list_then_a_line_for_each_in_columns),
		cmocka_unit_test(test_lines_then_those_whose_fields_name_the_pgsync),
		cmocka_unit_test(test_lag_then_columns_that_do_not_move),
		cmocka_unit_test(test_top_then_those_that_need_attention_come_first),
		cmocka_unit_test(test_scrub_then_secrets_are_gone_and_the_rest_stays),
		cmocka_unit_test(test_scrub_json_then_names_and_strings),
		cmocka_unit_test(test_json_then_verdict_and_status),
		cmocka_unit_test(test_reasons_then_each_that_docs_list_in_a_table_is_found),
	};

	return cmocka_run_group_tests_name("screen", tests, read_page, free_page);
}
