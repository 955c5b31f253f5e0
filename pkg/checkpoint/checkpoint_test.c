/* Tests of the stored form of checkpoints. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "checkpoint/checkpoint.h"
#include "json/json.h"

static const char stored[] =
	"{\"format\":1,\"phase\":\"Bootstrap\",\"owner\":\"shop/books\",\"ownerUID\":\"u-1\","
	"\"systemIdentifier\":\"7300000000000000001\",\"timeline\":4294967295,"
	"\"timelineBegin\":\"A/5000000\",\"slot\":\"pgsync_books\","
	"\"publication\":\"pgsync_books\",\"publicationMarked\":true,\"schemaHash\":\"sha256:ab\",\"seen\":{\"16390\":"
	"\"sad\"},\"resyncNonce\":"
	"3,\"slotLSN\":\"16/B374D848\","
	"\"confirmedLSN\":\"FFFFFFFF/"
	"FFFFFFFE\",\"confirmedFirst\":true,\"savedMicros\":7,"
	"\"landmark\":{\"lsn\":\"16/B374D848\",\"xid\":4294967295,\"commitMicros\":8},"
	"\"indices\":[{\"name\":\"books\",\"generation\":2,\"live\":1,"
	"\"version\":\"16/B374D848\",\"complete\":true, \"emptied\": "
	"true,\"recipe\":{\"pipelines\":{\"p\":\"sha256:cd\"}},\"outdated\":\"it has "
	"changed\",\"histories\":{\"0\":\"ef\"},\"startMicros\":5,\"completionMicros\":6,\"rowsTotal\":200000,"
	"\"ranges\":[{\"relation\":4294967295,\"filenode\":7,\"nextBlock\":128,\"endBlock\":4294967296,\"rows\":99}]}],"
	"\"identities\":[{\"schema\":\"public\",\"table\":\"books\",\"replicaIdentity\":\"i\","
	"\"identityIndex\":\"books_isbn_key\"}],\"partitions\":[[1,2,3,4],[1,4294967295,6,0]]}";

static json_t *parse(const char *text)
{
	json_t *value = json_loads(text, 0, NULL);

	assert_non_null(value);
	return value;
}

static void test_decode_when_everything_is_there_then_every_field_is_set(void **state)
{
	_cleanup_json_ json_t *document = parse(stored);
	struct checkpoint cp;
	struct err err;

	UNUSED(state);
	assert_int_equal(checkpoint_decode(document, &cp, &err), 0);
	assert_int_equal(cp.phase, CHECKPOINT_BOOTSTRAP);
	assert_string_equal(cp.owner, "shop/books");
	assert_string_equal(cp.owner_uid, "u-1");
	assert_string_equal(cp.system_identifier, "7300000000000000001");
	assert_int_equal(cp.timeline, UINT32_MAX);
	assert_int_equal(cp.timeline_begin, 0xA05000000);
	assert_string_equal(cp.slot, "pgsync_books");
	assert_string_equal(cp.publication, "pgsync_books");
	assert_true(cp.publication_marked);
	assert_string_equal(cp.schema_hash, "sha256:ab");
	assert_string_equal(jsonx_string(cp.catalog_fingerprint, "16390", ""), "sad");
	assert_int_equal(cp.resync_nonce, 3);
	assert_int_equal(cp.slot_lsn, 0x16B374D848);
	assert_true(cp.confirmed_lsn == 0xFFFFFFFFFFFFFFFE);
	assert_true(cp.confirmed_first);
	assert_int_equal(cp.saved_us, 7);
	assert_int_equal(cp.landmark.lsn, 0x16B374D848);
	assert_int_equal(cp.landmark.xid, UINT32_MAX);
	assert_int_equal(cp.landmark.commit_us, 8);
	assert_int_equal(cp.seq_no, -1);
	assert_int_equal(cp.primary_term, -1);
	assert_int_equal(cp.n_indices, 1);
	assert_string_equal(cp.indices[0].name, "books");
	assert_int_equal(cp.indices[0].generation, 2);
	assert_int_equal(cp.indices[0].live, 1);
	assert_int_equal(cp.indices[0].version, 0x16B374D848);
	assert_true(cp.indices[0].complete);
	assert_string_equal(jsonx_string(cp.indices[0].recipe, "pipelines.p", ""), "sha256:cd");
	assert_string_equal(cp.indices[0].outdated, "it has changed");
	assert_string_equal(jsonx_string(cp.indices[0].histories, "0", ""), "ef");
	assert_int_equal(cp.indices[0].start_us, 5);
	assert_int_equal(cp.indices[0].completion_us, 6);
	assert_int_equal(cp.indices[0].rows_total, 200000);
	assert_int_equal(cp.indices[0].n_ranges, 1);
	assert_int_equal(cp.indices[0].ranges[0].relation, UINT32_MAX);
	assert_int_equal(cp.indices[0].ranges[0].filenode, 7);
	assert_int_equal(cp.indices[0].ranges[0].next_block, 128);
	assert_int_equal(cp.indices[0].ranges[0].end_block, 4294967296);
	assert_int_equal(cp.indices[0].ranges[0].rows, 99);
	assert_int_equal(checkpoint_rows(&cp.indices[0]), 99);
	assert_int_equal(cp.n_identities, 1);
	assert_string_equal(cp.identities[0].schema, "public");
	assert_string_equal(cp.identities[0].table, "books");
	assert_int_equal(cp.identities[0].replica_identity, 'i');
	assert_string_equal(cp.identities[0].identity_index, "books_isbn_key");
	assert_int_equal(cp.n_parts, 2);
	assert_int_equal(cp.parts[0].table, 1);
	assert_int_equal(cp.parts[0].part, 2);
	assert_int_equal(cp.parts[0].attachment, 3);
	assert_int_equal(cp.parts[0].filenode, 4);
	assert_int_equal(cp.parts[1].part, UINT32_MAX);
	checkpoint_release(&cp);
}

static void test_encode_when_decoded_then_the_same_document(void **state)
{
	_cleanup_json_ json_t *document = parse(stored);
	_cleanup_json_ json_t *again = NULL;
	struct checkpoint cp;
	struct err err;

	UNUSED(state);
	assert_int_equal(checkpoint_decode(document, &cp, &err), 0);
	cp.seq_no = 7;
	again = checkpoint_encode(&cp);
	assert_true(json_equal(document, again));
	checkpoint_release(&cp);
}

static void test_decode_when_an_earlier_release_wrote_it_then_its_later_fields_are_not_known(void **state)
{
	_cleanup_json_ json_t *document = parse(stored);
	_cleanup_json_ json_t *again = NULL;
	json_t *index = json_array_get(json_object_get(document, "indices"), 0);
	struct checkpoint cp;
	struct err err;

	UNUSED(state);
	assert_int_equal(json_object_del(index, "recipe"), 0);
	assert_int_equal(json_object_del(index, "outdated"), 0);
	assert_int_equal(json_object_del(index, "histories"), 0);
	assert_int_equal(json_object_del(document, "confirmedFirst"), 0);
	assert_int_equal(json_object_del(document, "savedMicros"), 0);
	assert_int_equal(checkpoint_decode(document, &cp, &err), 0);
	assert_null(cp.indices[0].recipe);
	assert_null(cp.indices[0].outdated);
	assert_null(cp.indices[0].histories);
	assert_false(cp.confirmed_first);
	assert_int_equal(cp.saved_us, 0);
	again = checkpoint_encode(&cp);
	assert_true(json_equal(document, again));
	checkpoint_release(&cp);
}

static void test_encode_when_checkpoint_is_new_then_it_can_be_decoded(void **state)
{
	_cleanup_json_ json_t *document = checkpoint_encode(&(struct checkpoint){.seq_no = -1});
	struct checkpoint cp;
	struct err err;

	UNUSED(state);
	assert_int_equal(checkpoint_decode(document, &cp, &err), 0);
	assert_int_equal(cp.phase, CHECKPOINT_NEW);
	assert_null(cp.owner);
	assert_int_equal(cp.n_indices, 0);
	checkpoint_release(&cp);
}

static void test_encode_when_a_string_is_not_utf8_then_null(void **state)
{
	struct checkpoint cp = {.seq_no = -1};

	UNUSED(state);
	checkpoint_ensure(&cp, "books");
	cp.identities = xcalloc(1, sizeof(*cp.identities));
	cp.n_identities = 1;
	cp.identities[0] = (struct checkpoint_identity){
		.schema = xstrdup("public"), .table = xstrdup("b\xFF"), .replica_identity = 'd'};
	assert_null(checkpoint_encode(&cp));
	checkpoint_release(&cp);
}

/* The stored document with one place changed; NULL removes the key. */
static void expect_corrupt(const char *object, const char *key, const char *value, const char *in_message)
{
	_cleanup_json_ json_t *document = parse(stored);
	json_t *at = document;
	struct checkpoint cp;
	struct err err;

	if (!strcmp(object, "index") || !strcmp(object, "range"))
		at = json_array_get(json_object_get(at, "indices"), 0);
	if (!strcmp(object, "range"))
		at = json_array_get(json_object_get(at, "ranges"), 0);
	if (!strcmp(object, "identity"))
		at = json_array_get(json_object_get(at, "identities"), 0);
	if (value)
		assert_int_equal(json_object_set_new(at, key, json_loads(value, JSON_DECODE_ANY, NULL)), 0);
	else
		assert_int_equal(json_object_del(at, key), 0);
	assert_int_equal(checkpoint_decode(document, &cp, &err), -1);
	assert_int_equal(err.kind, ERR_INVALID);
	assert_string_equal(reason_name(err.reason), "CheckpointCorrupt");
	assert_non_null(strstr(err.msg, in_message));
}

static void test_decode_when_a_field_is_corrupt_then_the_error_names_it(void **state)
{
	UNUSED(state);
	expect_corrupt("", "format", "2", "another version");
	expect_corrupt("", "format", NULL, "format");
	expect_corrupt("", "phase", "\"Running\"", "phase");
	expect_corrupt("", "phase", NULL, "phase");
	expect_corrupt("", "timeline", "-1", "timeline");
	expect_corrupt("", "timeline", "4294967296", "timeline");
	expect_corrupt("", "slotLSN", "\"16\"", "slotLSN");
	expect_corrupt("", "confirmedLSN", "12", "confirmedLSN");
	expect_corrupt("", "slot", "{}", "slot");
	expect_corrupt("", "indices", "{}", "indices");
	expect_corrupt("", "surprise", "1", "surprise");
	expect_corrupt("index", "name", NULL, "indices[0].name");
	expect_corrupt("index", "version", NULL, "indices[0].version");
	expect_corrupt("index", "generation", "-1", "indices[0].generation");
	expect_corrupt("index", "ranges", "[1]", "indices[0].ranges[0]");
	expect_corrupt("range", "relation", "\"x\"", "indices[0].ranges[0].relation");
	expect_corrupt("range", "nextBlock", "1.5", "indices[0].ranges[0].nextBlock");
	expect_corrupt("identity", "replicaIdentity", "\"x\"", "identities[0].replicaIdentity");
	expect_corrupt("identity", "table", NULL, "identities[0].table");
}

static void test_decode_when_document_is_not_an_object_then_corrupt(void **state)
{
	_cleanup_json_ json_t *document = parse("[]");
	struct checkpoint cp;
	struct err err;

	UNUSED(state);
	assert_int_equal(checkpoint_decode(document, &cp, &err), -1);
	assert_string_equal(reason_name(err.reason), "CheckpointCorrupt");
}

static void test_ensure_when_index_is_new_then_one_entry_is_made(void **state)
{
	struct checkpoint cp = {.seq_no = -1};

	UNUSED(state);
	assert_null(checkpoint_find(&cp, "books"));
	checkpoint_ensure(&cp, "books")->generation = 4;
	checkpoint_ensure(&cp, "authors")->generation = 1;
	assert_int_equal(checkpoint_ensure(&cp, "books")->generation, 4);
	assert_int_equal(cp.n_indices, 2);
	assert_int_equal(checkpoint_find(&cp, "authors")->generation, 1);
	checkpoint_release(&cp);
	assert_int_equal(cp.seq_no, -1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_decode_when_everything_is_there_then_every_field_is_set),
		cmocka_unit_test(test_encode_when_decoded_then_the_same_document),
		cmocka_unit_test(test_decode_when_an_earlier_release_wrote_it_then_its_later_fields_are_not_known),
		cmocka_unit_test(test_encode_when_checkpoint_is_new_then_it_can_be_decoded),
		cmocka_unit_test(test_encode_when_a_string_is_not_utf8_then_null),
		cmocka_unit_test(test_decode_when_a_field_is_corrupt_then_the_error_names_it),
		cmocka_unit_test(test_decode_when_document_is_not_an_object_then_corrupt),
		cmocka_unit_test(test_ensure_when_index_is_new_then_one_entry_is_made),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
