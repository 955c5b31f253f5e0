/* The stored form of a checkpoint. To read one: GET pgsync-checkpoints/_doc/<namespace>%2F<name>%2F<slot>. */
#include "checkpoint/store_int.h"

#include "base/findings.h"
#include "base/parse.h"
#include "json/json.h"

/* Raised when an older program could misread what a newer one wrote. */
enum { FORMAT = 1 };

static const enum reason reason = REASON_CHECKPOINT_CORRUPT;
static const char *const phases[] = {
	[CHECKPOINT_NEW] = "New",
	[CHECKPOINT_PREPARING] = "Preparing",
	[CHECKPOINT_BOOTSTRAP] = "Bootstrap",
	[CHECKPOINT_LIVE] = "Live",
	NULL,
};

/* --- Encoding
 * -------------------------------------------------------------------------------------------------------- Setting
 * NULL fails: so a part that could not be encoded (a string that is not UTF-8) makes the whole NULL.
 */
static json_t *lsn(uint64_t value)
{
	char text[LSN_BYTES];

	return json_string(lsn_format(value, text));
}

static json_t *integer(uint64_t value)
{
	return json_integer((json_int_t)value);
}

/* False if it cannot be encoded; an absent string is left out. */
static bool set_string(json_t *object, const char *key, const char *value)
{
	return !value || json_object_set_new(object, key, json_string(value)) == 0;
}

static bool set_field(json_t *object, const char *key, json_t *value)
{
	return json_object_set_new(object, key, value) == 0;
}

static json_t *encode_range(const struct checkpoint_range *range)
{
	_cleanup_json_ json_t *o = json_object();

	if (!set_field(o, "relation", integer(range->relation)) ||
	    !set_field(o, "filenode", integer(range->filenode)) ||
	    !set_field(o, "nextBlock", integer(range->next_block)) ||
	    !set_field(o, "endBlock", integer(range->end_block)) || !set_field(o, "rows", integer(range->rows)))
		return NULL;
	return TAKE_PTR(o);
}

static json_t *encode_index(const struct checkpoint_index *index)
{
	_cleanup_json_ json_t *o = json_object();
	json_t *ranges;

	if (!set_string(o, "name", index->name) || !set_field(o, "generation", json_integer(index->generation)) ||
	    !set_field(o, "live", json_integer(index->live)) || !set_field(o, "version", lsn(index->version)) ||
	    !set_field(o, "complete", json_boolean(index->complete)) ||
	    !set_field(o, "emptied", json_boolean(index->allow_shrink)) ||
	    (index->recipe && !set_field(o, "recipe", json_incref(index->recipe))) ||
	    !set_string(o, "outdated", index->outdated) ||
	    (index->histories && !set_field(o, "histories", json_incref(index->histories))) ||
	    !set_field(o, "startMicros", json_integer(index->start_us)) ||
	    !set_field(o, "completionMicros", json_integer(index->completion_us)) ||
	    !set_field(o, "rowsTotal", integer(index->rows_total)) || !set_field(o, "ranges", json_array()))
		return NULL;
	ranges = json_object_get(o, "ranges");
	for (size_t i = 0; i < index->n_ranges; i++) {
		if (json_array_append_new(ranges, encode_range(&index->ranges[i])) < 0)
			return NULL;
	}
	return TAKE_PTR(o);
}

static json_t *encode_identity(const struct checkpoint_identity *identity)
{
	_cleanup_json_ json_t *o = json_object();

	if (!set_string(o, "schema", identity->schema) || !set_string(o, "table", identity->table) ||
	    !set_field(o, "replicaIdentity", json_stringn(&identity->replica_identity, 1)) ||
	    !set_string(o, "identityIndex", identity->identity_index))
		return NULL;
	return TAKE_PTR(o);
}

/* There may be thousands, so each is stored as four numbers. */
static json_t *encode_part(const struct checkpoint_part *part)
{
	return json_pack("[I, I, I, I]", (json_int_t)part->table, (json_int_t)part->part, (json_int_t)part->attachment,
			 (json_int_t)part->filenode);
}

static json_t *encode_landmark(const struct checkpoint_landmark *landmark)
{
	_cleanup_json_ json_t *o = json_object();

	if (!set_field(o, "lsn", lsn(landmark->lsn)) || !set_field(o, "xid", integer(landmark->xid)) ||
	    !set_field(o, "commitMicros", json_integer(landmark->commit_us)))
		return NULL;
	return TAKE_PTR(o);
}

json_t *checkpoint_encode(const struct checkpoint *cp)
{
	_cleanup_json_ json_t *o = json_object();
	json_t *items;

	if (!set_field(o, "format", json_integer(FORMAT)) || !set_field(o, "phase", json_string(phases[cp->phase])) ||
	    !set_string(o, "owner", cp->owner) || !set_string(o, "ownerUID", cp->owner_uid) ||
	    !set_string(o, "systemIdentifier", cp->system_identifier) ||
	    !set_field(o, "timeline", integer(cp->timeline)) ||
	    (cp->timeline_begin && !set_field(o, "timelineBegin", lsn(cp->timeline_begin))) ||
	    !set_string(o, "slot", cp->slot) || !set_string(o, "publication", cp->publication) ||
	    !set_string(o, "publicationMark", cp->publication_fingerprint) ||
	    !set_field(o, "publicationMarked", json_boolean(cp->publication_marked)) ||
	    !set_string(o, "schemaHash", cp->schema_hash) ||
	    (cp->catalog_fingerprint && !set_field(o, "seen", json_incref(cp->catalog_fingerprint))) ||
	    !set_field(o, "resyncNonce", json_integer(cp->resync_nonce)) ||
	    !set_field(o, "slotLSN", lsn(cp->slot_lsn)) || !set_field(o, "confirmedLSN", lsn(cp->confirmed_lsn)) ||
	    (cp->confirmed_first && !set_field(o, "confirmedFirst", json_true())) ||
	    (cp->saved_us && !set_field(o, CHECKPOINT_SAVED_KEY, json_integer(cp->saved_us))) ||
	    (cp->landmark.lsn && !set_field(o, "landmark", encode_landmark(&cp->landmark))) ||
	    !set_field(o, "indices", json_array()) || !set_field(o, "identities", json_array()) ||
	    !set_field(o, "partitions", json_array()))
		return NULL;
	items = json_object_get(o, "indices");
	for (size_t i = 0; i < cp->n_indices; i++) {
		if (json_array_append_new(items, encode_index(&cp->indices[i])) < 0)
			return NULL;
	}
	items = json_object_get(o, "identities");
	for (size_t i = 0; i < cp->n_identities; i++) {
		if (json_array_append_new(items, encode_identity(&cp->identities[i])) < 0)
			return NULL;
	}
	items = json_object_get(o, "partitions");
	for (size_t i = 0; i < cp->n_parts; i++) {
		if (json_array_append_new(items, encode_part(&cp->parts[i])) < 0)
			return NULL;
	}
	return TAKE_PTR(o);
}

/* --- Decoding --------------------------------------------------------------------------------------------------------
 */
static void add_wrong_type(struct findings *f, const char *path, const char *expected, const json_t *value)
{
	findings_add(f, FINDING_ERROR, reason, path, "must be %s, found %s", expected, jsonx_type_name(value));
}

static void take_lsn(const json_t *value, uint64_t *to, const char *path, struct findings *f)
{
	if (!json_is_string(value) || !parse_lsn(json_string_value(value), to))
		add_wrong_type(f, path, "an LSN (\"16/B374D848\")", value);
}

static void take_u32(const json_t *value, uint32_t *to, const char *path, struct findings *f)
{
	if (json_is_integer(value) && json_integer_value(value) >= 0 && json_integer_value(value) <= UINT32_MAX)
		*to = (uint32_t)json_integer_value(value);
	else
		add_wrong_type(f, path, "a number of 32 bits", value);
}

static void decode_format(const json_t *value, void *out, const char *path, struct findings *f)
{
	UNUSED(out);
	if (!json_is_integer(value) || json_integer_value(value) != FORMAT)
		findings_add(f, FINDING_ERROR, reason, path,
			     "must be %d; another version of the program wrote this checkpoint", FORMAT);
}

static void decode_version(const json_t *value, void *out, const char *path, struct findings *f)
{
	take_lsn(value, &((struct checkpoint_index *)out)->version, path, f);
}

static void decode_slot_lsn(const json_t *value, void *out, const char *path, struct findings *f)
{
	take_lsn(value, &((struct checkpoint *)out)->slot_lsn, path, f);
}

static void decode_confirmed_lsn(const json_t *value, void *out, const char *path, struct findings *f)
{
	take_lsn(value, &((struct checkpoint *)out)->confirmed_lsn, path, f);
}

static void decode_timeline(const json_t *value, void *out, const char *path, struct findings *f)
{
	take_u32(value, &((struct checkpoint *)out)->timeline, path, f);
}

static void decode_timeline_begin(const json_t *value, void *out, const char *path, struct findings *f)
{
	take_lsn(value, &((struct checkpoint *)out)->timeline_begin, path, f);
}

static void decode_landmark_lsn(const json_t *value, void *out, const char *path, struct findings *f)
{
	take_lsn(value, &((struct checkpoint_landmark *)out)->lsn, path, f);
}

static void decode_xid(const json_t *value, void *out, const char *path, struct findings *f)
{
	take_u32(value, &((struct checkpoint_landmark *)out)->xid, path, f);
}

static void decode_relation_oid(const json_t *value, void *out, const char *path, struct findings *f)
{
	take_u32(value, &((struct checkpoint_range *)out)->relation, path, f);
}

static void decode_filenode(const json_t *value, void *out, const char *path, struct findings *f)
{
	take_u32(value, &((struct checkpoint_range *)out)->filenode, path, f);
}

static void decode_replica_identity(const json_t *value, void *out, const char *path, struct findings *f)
{
	const char *text = json_string_value(value);

	if (text && strlen(text) == 1 && strchr("dnfi", text[0]))
		((struct checkpoint_identity *)out)->replica_identity = text[0];
	else
		add_wrong_type(f, path, "one of \"d\", \"n\", \"f\", \"i\"", value);
}

/* The items of an array, each decoded by the table; *ret_items belongs to the caller in any case. */
struct items {
	const struct jsonx_field *fields;
	size_t size;
};

static void decode_items(const json_t *value, const struct items *items, void **ret, size_t *ret_n, const char *path,
			 struct findings *f)
{
	size_t i;
	json_t *item;

	if (!json_is_array(value)) {
		add_wrong_type(f, path, "an array", value);
		return;
	}
	*ret = xcalloc(json_array_size(value), items->size);
	*ret_n = json_array_size(value);
	json_array_foreach (value, i, item) {
		_cleanup_free_ char *at = xasprintf("%s[%zu]", path, i);

		jsonx_decode(item, items->fields, (char *)*ret + i * items->size, at, reason, f);
	}
}

/* clang-format off */
#define AT(struct_, member) .offset = offsetof(struct_, member)
#define STRING(struct_, key, member) {.name = key, .type = JSONX_STRING, AT(struct_, member)}
#define NUMBER(struct_, key, member) {.name = key, .type = JSONX_INTEGER, AT(struct_, member), .max = INT64_MAX}
#define NEEDED(key, fn) {.name = key, .type = JSONX_CUSTOM, .flags = JSONX_REQUIRED, .decode = fn}

static const struct jsonx_field landmark_fields[] = {
	NEEDED("lsn", decode_landmark_lsn),
	NEEDED("xid", decode_xid),
	NUMBER(struct checkpoint_landmark, "commitMicros", commit_us),
	{0},
};

static void decode_landmark(const json_t *value, void *out, const char *path, struct findings *f)
{
	jsonx_decode(value, landmark_fields, &((struct checkpoint *)out)->landmark, path, reason, f);
}

static const struct jsonx_field range_fields[] = {
	NEEDED("relation", decode_relation_oid),
	NEEDED("filenode", decode_filenode),
	NUMBER(struct checkpoint_range, "nextBlock", next_block),
	NUMBER(struct checkpoint_range, "endBlock", end_block),
	NUMBER(struct checkpoint_range, "rows", rows),
	{0},
};

static void decode_ranges(const json_t *value, void *out, const char *path, struct findings *f)
{
	static const struct items items = {range_fields, sizeof(struct checkpoint_range)};
	struct checkpoint_index *index = out;
	void *ranges = NULL;

	decode_items(value, &items, &ranges, &index->n_ranges, path, f);
	index->ranges = ranges;
}

static const struct jsonx_field index_fields[] = {
	{.name = "name", .type = JSONX_STRING, AT(struct checkpoint_index, name), .flags = JSONX_REQUIRED},
	NUMBER(struct checkpoint_index, "generation", generation),
	NUMBER(struct checkpoint_index, "live", live),
	NEEDED("version", decode_version),
	{.name = "complete", .type = JSONX_BOOLEAN, AT(struct checkpoint_index, complete)},
	{.name = "emptied", .type = JSONX_BOOLEAN, AT(struct checkpoint_index, allow_shrink)},
	{.name = "recipe", .type = JSONX_VALUE, AT(struct checkpoint_index, recipe)},
	STRING(struct checkpoint_index, "outdated", outdated),
	{.name = "histories", .type = JSONX_VALUE, AT(struct checkpoint_index, histories)},
	NUMBER(struct checkpoint_index, "startMicros", start_us),
	NUMBER(struct checkpoint_index, "completionMicros", completion_us),
	NUMBER(struct checkpoint_index, "rowsTotal", rows_total),
	{.name = "ranges", .type = JSONX_CUSTOM, .decode = decode_ranges},
	{0},
};

static const struct jsonx_field identity_fields[] = {
	{.name = "schema", .type = JSONX_STRING, AT(struct checkpoint_identity, schema), .flags = JSONX_REQUIRED},
	{.name = "table", .type = JSONX_STRING, AT(struct checkpoint_identity, table), .flags = JSONX_REQUIRED},
	NEEDED("replicaIdentity", decode_replica_identity),
	STRING(struct checkpoint_identity, "identityIndex", identity_index),
	{0},
};

static void decode_indices(const json_t *value, void *out, const char *path, struct findings *f)
{
	static const struct items items = {index_fields, sizeof(struct checkpoint_index)};
	struct checkpoint *cp = out;
	void *indices = NULL;

	decode_items(value, &items, &indices, &cp->n_indices, path, f);
	cp->indices = indices;
}

static void decode_identities(const json_t *value, void *out, const char *path, struct findings *f)
{
	static const struct items items = {identity_fields, sizeof(struct checkpoint_identity)};
	struct checkpoint *cp = out;
	void *identities = NULL;

	decode_items(value, &items, &identities, &cp->n_identities, path, f);
	cp->identities = identities;
}

static void decode_parts(const json_t *value, void *out, const char *path, struct findings *f)
{
	struct checkpoint *cp = out;
	size_t i;
	json_t *item;

	if (!json_is_array(value)) {
		add_wrong_type(f, path, "an array", value);
		return;
	}
	cp->parts = xcalloc(json_array_size(value), sizeof(*cp->parts));
	cp->n_parts = json_array_size(value);
	json_array_foreach (value, i, item) {
		struct checkpoint_part *part = &cp->parts[i];
		_cleanup_free_ char *at = xasprintf("%s[%zu]", path, i);

		take_u32(json_array_get(item, 0), &part->table, at, f);
		take_u32(json_array_get(item, 1), &part->part, at, f);
		take_u32(json_array_get(item, 2), &part->attachment, at, f);
		take_u32(json_array_get(item, 3), &part->filenode, at, f);
	}
}

static const struct jsonx_field fields[] = {
	NEEDED("format", decode_format),
	{.name = "phase", .type = JSONX_ENUM, AT(struct checkpoint, phase), .flags = JSONX_REQUIRED, .words = phases},
	STRING(struct checkpoint, "owner", owner),
	STRING(struct checkpoint, "ownerUID", owner_uid),
	STRING(struct checkpoint, "systemIdentifier", system_identifier),
	NEEDED("timeline", decode_timeline),
	{.name = "timelineBegin", .type = JSONX_CUSTOM, .decode = decode_timeline_begin},
	STRING(struct checkpoint, "slot", slot),
	STRING(struct checkpoint, "publication", publication),
	STRING(struct checkpoint, "publicationMark", publication_fingerprint),
	{.name = "publicationMarked", .type = JSONX_BOOLEAN, AT(struct checkpoint, publication_marked)},
	STRING(struct checkpoint, "schemaHash", schema_hash),
	{.name = "seen", .type = JSONX_VALUE, AT(struct checkpoint, catalog_fingerprint)},
	{.name = "resyncNonce", .type = JSONX_INTEGER, AT(struct checkpoint, resync_nonce)},
	NEEDED("slotLSN", decode_slot_lsn),
	NEEDED("confirmedLSN", decode_confirmed_lsn),
	{.name = "confirmedFirst", .type = JSONX_BOOLEAN, AT(struct checkpoint, confirmed_first)},
	NUMBER(struct checkpoint, CHECKPOINT_SAVED_KEY, saved_us),
	{.name = "landmark", .type = JSONX_CUSTOM, .decode = decode_landmark},
	{.name = "indices", .type = JSONX_CUSTOM, .decode = decode_indices},
	{.name = "identities", .type = JSONX_CUSTOM, .decode = decode_identities},
	{.name = "partitions", .type = JSONX_CUSTOM, .decode = decode_parts},
	{0},
};
/* clang-format on */

int checkpoint_decode(const json_t *document, struct checkpoint *ret, struct err *err)
{
	struct checkpoint cp = {.seq_no = -1, .primary_term = -1};
	struct findings f;
	int r = 0;

	findings_init(&f);
	jsonx_decode(document, fields, &cp, "", reason, &f);
	if (findings_failed(&f)) {
		checkpoint_release(&cp);
		r = findings_err(&f, err);
	} else {
		*ret = cp;
	}
	findings_release(&f);
	return r;
}
