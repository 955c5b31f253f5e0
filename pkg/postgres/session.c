/* The settings of our sessions.
 *
 * A role, a database or the server's configuration may have a default for each setting, and the wrong one changes what
 * a value looks like, which function a name means, or how long a session lives. So every session sets everything that
 * could do harm. A test compares this table with pg_settings of each supported version: settings that are not here are
 * in testdata/harmless_settings.txt, with the reason. */
#include "postgres/pg_int.h"

#include <string.h>

struct setting {
	const char *name, *value;
};

/* Settings of all supported versions: they are in force from the first statement on. Only settings that every role may
 * change. */
static const struct setting at_start[] = {
	/* Names mean the server's own objects: others cannot put theirs in front (CVE-2018-1058). */
	{"search_path", "pg_catalog"},
	{"row_security", "off"},
	{"local_preload_libraries", ""},
	/* How values look as text. */
	{"DateStyle", "ISO, MDY"},
	{"IntervalStyle", "postgres"},
	{"TimeZone", "UTC"},
	{"extra_float_digits", "1"},
	{"bytea_output", "hex"},
	{"xmlbinary", "base64"},
	{"xmloption", "content"},
	{"quote_all_identifiers", "off"},
	/* How statements are read. */
	{"standard_conforming_strings", "on"},
	{"array_nulls", "on"},
	{"transform_null_equals", "off"},
	/* How long they live. */
	{"statement_timeout", "0"},
	{"idle_session_timeout", "0"},
	{"idle_in_transaction_session_timeout", "0"},
	{"exit_on_error", "off"},
	/* What transactions are. */
	{"default_transaction_isolation", "read committed"},
	{"default_transaction_read_only", "off"},
	{"default_transaction_deferrable", "off"},
	/* Where to create the temporary table that expressions are checked with. */
	{"default_table_access_method", "heap"},
	{"temp_tablespaces", ""},
	/* An index scan that leaves out rows. */
	{"gin_fuzzy_search_limit", "0"},
	/* What the planner may use: without one of these a chunk of a bootstrap may read the whole table. jit does not
	   pay for short queries, and doubles the time of the first long one. */
	{"ignore_system_indexes", "off"},
	{"jit", "off"},
	{"enable_bitmapscan", "on"},
	{"enable_hashagg", "on"},
	{"enable_hashjoin", "on"},
	{"enable_indexonlyscan", "on"},
	{"enable_indexscan", "on"},
	{"enable_material", "on"},
	{"enable_memoize", "on"},
	{"enable_mergejoin", "on"},
	{"enable_nestloop", "on"},
	{"enable_partition_pruning", "on"},
	{"enable_seqscan", "on"},
	{"enable_sort", "on"},
	{"enable_tidscan", "on"},
	{"constraint_exclusion", "partition"},
	{"from_collapse_limit", "8"},
	{"join_collapse_limit", "8"},
	{"geqo", "on"},
	{"geqo_threshold", "12"},
	{"plan_cache_mode", "auto"},
};

/* Of other sessions (PG_LOCK_WAIT_MS), and of walsenders: to create a slot is to wait for transactions, as for locks.
 */
static const struct setting lock_timeouts[] = {
	{"lock_timeout", "100ms"},
	{"lock_timeout", "0"},
};

/* Settings that not every supported version has, set by the first statement where they exist. */
static const struct setting where_known[] = {
	{"transaction_timeout", "0"},
	{"restrict_nonsystem_relation_kind", ""},
	{"debug_logical_replication_streaming", "buffered"},
	{"debug_parallel_query", "off"},
	{"force_parallel_mode", "off"},
};

/* The server splits the options at blanks, unless a backslash is before them. */
static void add_server_option(struct strbuf *sb, const struct setting *setting)
{
	strbuf_addf(sb, "%s-c %s=", sb->len ? " " : "", setting->name);
	for (const char *c = setting->value; *c; c++) {
		if (*c == ' ')
			strbuf_addc(sb, '\\');
		strbuf_addc(sb, *c);
	}
}

char *pg_session_options(bool replication)
{
	struct strbuf sb;

	strbuf_init(&sb, PG_SQL_BYTES);
	for (size_t i = 0; i < ARRAY_SIZE(at_start); i++)
		add_server_option(&sb, &at_start[i]);
	add_server_option(&sb, &lock_timeouts[replication]);
	return strbuf_detach(&sb);
}

char *pg_session_statement(void)
{
	struct strbuf sb;

	strbuf_init(&sb, PG_SQL_BYTES);
	strbuf_adds(&sb, "SELECT set_config(s.name, s.value, false) FROM (VALUES ");
	for (size_t i = 0; i < ARRAY_SIZE(where_known); i++) {
		strbuf_adds(&sb, i ? ", (" : "(");
		pg_quote_literal(&sb, where_known[i].name);
		strbuf_adds(&sb, ", ");
		pg_quote_literal(&sb, where_known[i].value);
		strbuf_addc(&sb, ')');
	}
	/* Always returns a row: that of the setting which shows whether the initial settings arrived. */
	strbuf_adds(&sb, ") AS s(name, value) WHERE current_setting(s.name, true) IS NOT NULL"
			 " UNION ALL SELECT current_setting('search_path')");
	return strbuf_detach(&sb);
}
