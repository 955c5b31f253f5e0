/* Tests of the pgoutput decoder on messages written byte by byte after the manual. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/strbuf.h"
#include "postgres/pgoutput.h"

enum { USERS = 0x00012345 };

/* 2000-01-01 00:00:01 UTC, as Postgres and as Unix count it. */
#define TIME_US UINT64_C(1000000)
#define UNIX_US INT64_C(946684801000000)

static void put(struct strbuf *sb, uint64_t value, int bytes)
{
	for (int shift = (bytes - 1) * 8; shift >= 0; shift -= 8)
		strbuf_addc(sb, (char)(value >> shift));
}

static void put_string(struct strbuf *sb, const char *s)
{
	strbuf_add(sb, s, strlen(s) + 1);
}

static void put_text(struct strbuf *sb, const char *s)
{
	strbuf_addc(sb, 't');
	put(sb, strlen(s), 4);
	strbuf_adds(sb, s);
}

static void put_column(struct strbuf *sb, const char *name, bool key, uint32_t type, int32_t typmod)
{
	put(sb, key, 1);
	put_string(sb, name);
	put(sb, type, 4);
	put(sb, (uint32_t)typmod, 4);
}

/* public.users(id int8 key, name varchar(30)) */
static void put_relation(struct strbuf *sb)
{
	strbuf_addc(sb, 'R');
	put(sb, USERS, 4);
	put_string(sb, "public");
	put_string(sb, "users");
	strbuf_addc(sb, 'd');
	put(sb, 2, 2);
	put_column(sb, "id", true, 20, -1);
	put_column(sb, "name", false, 1043, 34);
}

static void put_begin(struct strbuf *sb)
{
	strbuf_addc(sb, 'B');
	put(sb, UINT64_C(0x16B374D848), 8);
	put(sb, TIME_US, 8);
	put(sb, 4000000000U, 4);
}

static void put_commit(struct strbuf *sb)
{
	strbuf_addc(sb, 'C');
	put(sb, 0, 1);
	put(sb, 100, 8);
	put(sb, 132, 8);
	put(sb, TIME_US, 8);
}

static void put_row_head(struct strbuf *sb, char kind, char part)
{
	strbuf_addc(sb, kind);
	put(sb, USERS, 4);
	strbuf_addc(sb, part);
	put(sb, 2, 2);
}

static void put_insert(struct strbuf *sb)
{
	put_row_head(sb, 'I', 'N');
	put_text(sb, "7");
	strbuf_addc(sb, 'n');
}

static void put_update(struct strbuf *sb)
{
	put_row_head(sb, 'U', 'N');
	put_text(sb, "7");
	strbuf_addc(sb, 'u');
}

static void put_update_key(struct strbuf *sb)
{
	put_row_head(sb, 'U', 'K');
	put_text(sb, "7");
	strbuf_addc(sb, 'n');
	strbuf_addc(sb, 'N');
	put(sb, 2, 2);
	put_text(sb, "8");
	put_text(sb, "");
}

static void put_update_full(struct strbuf *sb)
{
	put_row_head(sb, 'U', 'O');
	put_text(sb, "7");
	put_text(sb, "Ada");
	strbuf_addc(sb, 'N');
	put(sb, 2, 2);
	put_text(sb, "7");
	put_text(sb, "Ada L.");
}

static void put_delete_key(struct strbuf *sb)
{
	put_row_head(sb, 'D', 'K');
	put_text(sb, "7");
	strbuf_addc(sb, 'n');
}

static void put_delete_full(struct strbuf *sb)
{
	put_row_head(sb, 'D', 'O');
	put_text(sb, "7");
	put_text(sb, "Ada");
}

static void put_truncate(struct strbuf *sb)
{
	strbuf_addc(sb, 'T');
	put(sb, 1, 4);
	put(sb, 3, 1); /* CASCADE and RESTART IDENTITY */
	put(sb, USERS, 4);
}

static void put_type(struct strbuf *sb)
{
	strbuf_addc(sb, 'Y');
	put(sb, 16400, 4);
	put_string(sb, "public");
	put_string(sb, "mood");
}

static void put_origin(struct strbuf *sb)
{
	strbuf_addc(sb, 'O');
	put(sb, 77, 8);
	put_string(sb, "elsewhere");
}

static void put_message(struct strbuf *sb)
{
	strbuf_addc(sb, 'M');
	put(sb, 1, 1);
	put(sb, 99, 8);
	put_string(sb, "pgsync");
	put(sb, 3, 4);
	strbuf_add(sb, "a\0b", 3);
}

struct fixture {
	struct pgoutput *decoder;
	struct strbuf sb;
	struct pgoutput_message m;
	struct err err;
};

static int setup(void **state)
{
	struct fixture *f = xcalloc(1, sizeof(*f));

	f->decoder = pgoutput_new();
	strbuf_init(&f->sb, 1 << 20);
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	pgoutput_free(f->decoder);
	strbuf_release(&f->sb);
	free(f);
	return 0;
}

/* The bytes live in memory of exactly their length, so that the sanitizer sees each read beyond them. */
static int decode_bytes(struct fixture *f, const char *data, size_t len)
{
	static char *exact;

	free(exact);
	exact = len ? xmemdup(data, len) : NULL;
	f->err = (struct err){0};
	return pgoutput_decode(f->decoder, exact, len, &f->m, &f->err);
}

static int decode(struct fixture *f, void (*fill)(struct strbuf *))
{
	strbuf_reset(&f->sb);
	fill(&f->sb);
	return decode_bytes(f, f->sb.data, f->sb.len);
}

static void assert_text(const struct pgoutput_value *value, const char *expected)
{
	assert_int_equal(value->kind, PGOUTPUT_TEXT);
	assert_int_equal(value->len, strlen(expected));
	assert_memory_equal(value->data, expected, value->len);
}

static void assert_fails(struct fixture *f, const char *fragment)
{
	assert_int_equal(f->err.kind, ERR_FATAL);
	if (!strstr(f->err.msg, fragment))
		fail_msg("\"%s\" lacks \"%s\"", f->err.msg, fragment);
}

static void test_begin_then_lsn_time_and_xid(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(decode(f, put_begin), 0);
	assert_int_equal(f->m.type, PGOUTPUT_BEGIN);
	assert_true(f->m.lsn == UINT64_C(0x16B374D848));
	assert_true(f->m.time_us == UNIX_US);
	assert_true(f->m.xid == 4000000000U);
}

static void test_commit_then_both_lsns(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(decode(f, put_commit), 0);
	assert_int_equal(f->m.type, PGOUTPUT_COMMIT);
	assert_int_equal(f->m.lsn, 100);
	assert_int_equal(f->m.end_lsn, 132);
	assert_true(f->m.time_us == UNIX_US);
}

static void test_relation_then_shape_is_known_by_oid(void **state)
{
	struct fixture *f = *state;
	const struct pgoutput_relation *r;

	assert_null(pgoutput_find(f->decoder, USERS));
	assert_int_equal(decode(f, put_relation), 0);
	assert_int_equal(f->m.type, PGOUTPUT_RELATION);
	r = pgoutput_find(f->decoder, USERS);
	assert_ptr_equal(r, f->m.relation);
	assert_int_equal(r->oid, USERS);
	assert_string_equal(r->schema, "public");
	assert_string_equal(r->name, "users");
	assert_int_equal(r->replica_identity, 'd');
	assert_int_equal(r->n, 2);
	assert_string_equal(r->columns[0].name, "id");
	assert_true(r->columns[0].key);
	assert_int_equal(r->columns[0].type_oid, 20);
	assert_int_equal(r->columns[0].typmod, -1);
	assert_string_equal(r->columns[1].name, "name");
	assert_false(r->columns[1].key);
	assert_int_equal(r->columns[1].typmod, 34);
}

static void test_relation_when_schema_is_empty_then_pg_catalog(void **state)
{
	struct fixture *f = *state;

	strbuf_addc(&f->sb, 'R');
	put(&f->sb, 9, 4);
	put_string(&f->sb, "");
	put_string(&f->sb, "t");
	strbuf_addc(&f->sb, 'n');
	put(&f->sb, 0, 2);
	assert_int_equal(decode_bytes(f, f->sb.data, f->sb.len), 0);
	assert_string_equal(f->m.relation->schema, "pg_catalog");
	assert_int_equal(f->m.relation->n, 0);
}

static void test_relation_when_described_again_then_rows_have_the_new_shape(void **state)
{
	struct fixture *f = *state;
	const struct pgoutput_relation *before;

	assert_int_equal(decode(f, put_relation), 0);
	before = f->m.relation;
	strbuf_reset(&f->sb);
	strbuf_addc(&f->sb, 'R');
	put(&f->sb, USERS, 4);
	put_string(&f->sb, "public");
	put_string(&f->sb, "people");
	strbuf_addc(&f->sb, 'f');
	put(&f->sb, 3, 2);
	put_column(&f->sb, "id", true, 20, -1);
	put_column(&f->sb, "name", true, 25, -1);
	put_column(&f->sb, "born", true, 1082, -1);
	assert_int_equal(decode_bytes(f, f->sb.data, f->sb.len), 0);
	assert_ptr_equal(f->m.relation, before);
	assert_string_equal(before->name, "people");
	assert_int_equal(before->replica_identity, 'f');
	assert_int_equal(decode(f, put_insert), -1);
	assert_fails(f, "a row of 2 columns for public.people, expected 3");
	strbuf_reset(&f->sb);
	strbuf_addc(&f->sb, 'I');
	put(&f->sb, USERS, 4);
	strbuf_addc(&f->sb, 'N');
	put(&f->sb, 3, 2);
	put_text(&f->sb, "7");
	put_text(&f->sb, "Ada");
	put_text(&f->sb, "1815-12-10");
	assert_int_equal(decode_bytes(f, f->sb.data, f->sb.len), 0);
	assert_text(&f->m.new_row[2], "1815-12-10");
}

static void test_relation_when_new_description_is_cut_then_old_one_stays(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(decode(f, put_relation), 0);
	assert_int_equal(decode_bytes(f, f->sb.data, f->sb.len - 1), -1);
	assert_int_equal(pgoutput_find(f->decoder, USERS)->n, 2);
	assert_int_equal(decode(f, put_insert), 0);
}

static void test_relation_when_too_many_columns_then_refused(void **state)
{
	struct fixture *f = *state;

	strbuf_addc(&f->sb, 'R');
	put(&f->sb, 9, 4);
	put_string(&f->sb, "s");
	put_string(&f->sb, "t");
	strbuf_addc(&f->sb, 'd');
	put(&f->sb, PGOUTPUT_COLUMNS + 1, 2);
	for (int i = 0; i <= PGOUTPUT_COLUMNS; i++)
		put_column(&f->sb, "c", false, 25, -1);
	assert_int_equal(decode_bytes(f, f->sb.data, f->sb.len), -1);
	assert_fails(f, "1601 columns");
}

static void test_insert_then_new_row_with_null(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(decode(f, put_relation), 0);
	assert_int_equal(decode(f, put_insert), 0);
	assert_int_equal(f->m.type, PGOUTPUT_INSERT);
	assert_ptr_equal(f->m.relation, pgoutput_find(f->decoder, USERS));
	assert_int_equal(f->m.old_kind, PGOUTPUT_OLD_NONE);
	assert_text(&f->m.new_row[0], "7");
	assert_int_equal(f->m.new_row[1].kind, PGOUTPUT_NULL);
}

static void test_update_when_no_old_row_then_unchanged_toast_is_marked(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(decode(f, put_relation), 0);
	assert_int_equal(decode(f, put_update), 0);
	assert_int_equal(f->m.type, PGOUTPUT_UPDATE);
	assert_int_equal(f->m.old_kind, PGOUTPUT_OLD_NONE);
	assert_null(f->m.old_row);
	assert_text(&f->m.new_row[0], "7");
	assert_int_equal(f->m.new_row[1].kind, PGOUTPUT_UNCHANGED);
}

static void test_update_when_key_changes_then_old_key_and_new_row(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(decode(f, put_relation), 0);
	assert_int_equal(decode(f, put_update_key), 0);
	assert_int_equal(f->m.old_kind, PGOUTPUT_OLD_KEY);
	assert_text(&f->m.old_row[0], "7");
	assert_int_equal(f->m.old_row[1].kind, PGOUTPUT_NULL);
	assert_text(&f->m.new_row[0], "8");
	assert_text(&f->m.new_row[1], "");
}

static void test_update_when_identity_is_full_then_both_rows(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(decode(f, put_relation), 0);
	assert_int_equal(decode(f, put_update_full), 0);
	assert_int_equal(f->m.old_kind, PGOUTPUT_OLD_FULL);
	assert_text(&f->m.old_row[1], "Ada");
	assert_text(&f->m.new_row[1], "Ada L.");
}

static void test_delete_then_old_row_of_its_kind(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(decode(f, put_relation), 0);
	assert_int_equal(decode(f, put_delete_key), 0);
	assert_int_equal(f->m.type, PGOUTPUT_DELETE);
	assert_int_equal(f->m.old_kind, PGOUTPUT_OLD_KEY);
	assert_text(&f->m.old_row[0], "7");
	assert_null(f->m.new_row);
	assert_int_equal(decode(f, put_delete_full), 0);
	assert_int_equal(f->m.old_kind, PGOUTPUT_OLD_FULL);
	assert_text(&f->m.old_row[1], "Ada");
}

static void test_truncate_then_relations_and_cascade(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(decode(f, put_relation), 0);
	assert_int_equal(decode(f, put_truncate), 0);
	assert_int_equal(f->m.type, PGOUTPUT_TRUNCATE);
	assert_int_equal(f->m.n_truncated, 1);
	assert_ptr_equal(f->m.truncated[0], pgoutput_find(f->decoder, USERS));
	assert_true(f->m.truncate_cascade);
	f->sb.data[5] = 2; /* RESTART IDENTITY alone */
	assert_int_equal(decode_bytes(f, f->sb.data, f->sb.len), 0);
	assert_false(f->m.truncate_cascade);
}

static void test_truncate_when_count_exceeds_the_message_then_refused_without_allocation(void **state)
{
	struct fixture *f = *state;

	strbuf_addc(&f->sb, 'T');
	put(&f->sb, UINT32_MAX, 4);
	put(&f->sb, 0, 1);
	put(&f->sb, USERS, 4);
	assert_int_equal(decode_bytes(f, f->sb.data, f->sb.len), -1);
	assert_fails(f, "Truncate");
}

static void test_type_origin_and_message_then_decoded(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(decode(f, put_type), 0);
	assert_int_equal(f->m.type, PGOUTPUT_TYPE);
	assert_int_equal(decode(f, put_origin), 0);
	assert_int_equal(f->m.type, PGOUTPUT_ORIGIN);
	assert_int_equal(decode(f, put_message), 0);
	assert_int_equal(f->m.type, PGOUTPUT_MESSAGE);
	assert_int_equal(f->m.lsn, 99);
	assert_string_equal(f->m.prefix, "pgsync");
	assert_int_equal(f->m.content_len, 3);
	assert_memory_equal(f->m.content, "a\0b", 3);
}

static void test_message_when_cut_anywhere_or_longer_then_refused(void **state)
{
	static void (*const all[])(struct strbuf *) = {
		put_begin,       put_commit,   put_insert, put_update, put_update_key, put_update_full, put_delete_key,
		put_delete_full, put_truncate, put_type,   put_origin, put_message,    put_relation,
	};
	struct fixture *f = *state;

	assert_int_equal(decode(f, put_relation), 0);
	for (size_t i = 0; i < ARRAY_SIZE(all); i++) {
		assert_int_equal(decode(f, all[i]), 0);
		for (size_t len = 0; len < f->sb.len; len++) {
			assert_int_equal(decode_bytes(f, f->sb.data, len), -1);
			assert_int_equal(f->err.kind, ERR_FATAL);
		}
		strbuf_addc(&f->sb, 'x');
		assert_int_equal(decode_bytes(f, f->sb.data, f->sb.len), -1);
		assert_fails(f, "1 bytes left over");
	}
}

static void test_row_when_relation_is_unknown_then_refused(void **state)
{
	static void (*const rows[])(struct strbuf *) = {put_insert, put_update, put_delete_key, put_truncate};
	struct fixture *f = *state;

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		assert_int_equal(decode(f, rows[i]), -1);
		assert_fails(f, "relation 74565");
	}
}

static void test_row_when_value_is_binary_then_refused(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(decode(f, put_relation), 0);
	strbuf_reset(&f->sb);
	put_row_head(&f->sb, 'I', 'N');
	strbuf_addc(&f->sb, 'b');
	put(&f->sb, 1, 4);
	strbuf_adds(&f->sb, "7n");
	assert_int_equal(decode_bytes(f, f->sb.data, f->sb.len), -1);
	assert_fails(f, "kind 0x62, expected n, u or t");
}

static void test_row_when_part_is_not_allowed_then_refused(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(decode(f, put_relation), 0);
	strbuf_reset(&f->sb);
	put_row_head(&f->sb, 'I', 'K');
	assert_int_equal(decode_bytes(f, f->sb.data, f->sb.len), -1);
	assert_fails(f, "expected N");
	strbuf_reset(&f->sb);
	put_row_head(&f->sb, 'D', 'N');
	assert_int_equal(decode_bytes(f, f->sb.data, f->sb.len), -1);
	assert_fails(f, "expected K, O or N");
}

static void test_message_when_kind_is_of_another_protocol_version_then_refused(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(decode_bytes(f, "S\0\0\0\1\1", 6), -1); /* Stream Start, version 2 */
	assert_fails(f, "message type 0x53");
	assert_int_equal(decode_bytes(f, "", 0), -1);
	assert_fails(f, "empty");
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(test_begin_then_lsn_time_and_xid),
		TEST(test_commit_then_both_lsns),
		TEST(test_relation_then_shape_is_known_by_oid),
		TEST(test_relation_when_schema_is_empty_then_pg_catalog),
		TEST(test_relation_when_described_again_then_rows_have_the_new_shape),
		TEST(test_relation_when_new_description_is_cut_then_old_one_stays),
		TEST(test_relation_when_too_many_columns_then_refused),
		TEST(test_insert_then_new_row_with_null),
		TEST(test_update_when_no_old_row_then_unchanged_toast_is_marked),
		TEST(test_update_when_key_changes_then_old_key_and_new_row),
		TEST(test_update_when_identity_is_full_then_both_rows),
		TEST(test_delete_then_old_row_of_its_kind),
		TEST(test_truncate_then_relations_and_cascade),
		TEST(test_truncate_when_count_exceeds_the_message_then_refused_without_allocation),
		TEST(test_type_origin_and_message_then_decoded),
		TEST(test_message_when_cut_anywhere_or_longer_then_refused),
		TEST(test_row_when_relation_is_unknown_then_refused),
		TEST(test_row_when_value_is_binary_then_refused),
		TEST(test_row_when_part_is_not_allowed_then_refused),
		TEST(test_message_when_kind_is_of_another_protocol_version_then_refused),
	};

	return cmocka_run_group_tests_name("pgoutput", tests, NULL, NULL);
}
