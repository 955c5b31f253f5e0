/* Decodes pgoutput messages. */
#include "postgres/pgoutput.h"

#include <stdlib.h>
#include <string.h>

#include "base/cursor.h"
#include "base/map.h"

enum {
	RELATIONS_MAX = 100000, /* described at the same time */
	COLUMN_KEY = 1,         /* flag of a column in a Relation message */
	TRUNCATE_CASCADE = 1,
};

/* Microseconds from 1970 to 2000, Postgres's epoch. */
#define EPOCH_US (UINT64_C(946684800) * 1000000)

struct pgoutput {
	struct map *relations; /* 4 bytes of the OID -> struct pgoutput_relation, at the same address for its life */
	/* Room for the widest relation known, so that a row allocates nothing. */
	struct pgoutput_value *old_row, *new_row;
	size_t row_alloc;
	const struct pgoutput_relation **truncated;
	size_t truncated_alloc;
};

static void release_relation(struct pgoutput_relation *relation)
{
	for (size_t i = 0; i < relation->n; i++)
		free(relation->columns[i].name);
	free(relation->columns);
	free(relation->schema);
	free(relation->name);
	*relation = (struct pgoutput_relation){.n = 0};
}

static void free_relation(void *value)
{
	release_relation(value);
	free(value);
}

struct pgoutput *pgoutput_new(void)
{
	struct pgoutput *decoder = xcalloc(1, sizeof(*decoder));

	decoder->relations = map_new(free_relation);
	return decoder;
}

void pgoutput_free(struct pgoutput *decoder)
{
	if (!decoder)
		return;
	map_free(decoder->relations);
	free(decoder->old_row);
	free(decoder->new_row);
	free(decoder->truncated);
	free(decoder);
}

const struct pgoutput_relation *pgoutput_find(const struct pgoutput *decoder, uint32_t oid)
{
	return map_get(decoder->relations, &oid, sizeof(oid));
}

/* --- Errors --------------------------------------------------------------------------------------------------------
 */
static int truncated(struct err *err, const struct cursor *r, const char *what)
{
	return err_set(err, ERR_FATAL, "the message ends after %zu bytes, expected %s", r->len, what);
}

static int find_relation(const struct pgoutput *decoder, uint32_t oid, const struct pgoutput_relation **ret,
			 struct err *err)
{
	*ret = pgoutput_find(decoder, oid);
	if (!*ret)
		return err_set(err, ERR_FATAL, "it names relation %u, expected one that was described before", oid);
	return 0;
}

/* --- Relation ------------------------------------------------------------------------------------------------------
 */
static int read_column(struct cursor *r, struct pgoutput_column *ret, struct err *err)
{
	uint8_t flags;
	uint32_t typmod;
	const char *name;

	if (!cursor_u8(r, &flags) || !cursor_cstring(r, &name) || !cursor_u32(r, &ret->type_oid) ||
	    !cursor_u32(r, &typmod))
		return truncated(err, r, "a column's flags, name, type and modifier");
	ret->key = (flags & COLUMN_KEY) != 0;
	ret->typmod = (int32_t)typmod;
	ret->name = xstrdup(name);
	return 0;
}

/* *relation may be half filled when this fails. */
static int read_relation(struct cursor *r, struct pgoutput_relation *relation, struct err *err)
{
	const char *schema, *name;
	uint8_t identity;
	uint16_t n;

	if (!cursor_u32(r, &relation->oid) || !cursor_cstring(r, &schema) || !cursor_cstring(r, &name) ||
	    !cursor_u8(r, &identity) || !cursor_u16(r, &n))
		return truncated(err, r, "a relation's OID, schema, name, replica identity and column count");
	if (!identity || !strchr("dnfi", identity))
		return err_set(err, ERR_FATAL, "replica identity 0x%02x, expected d, n, f or i", identity);
	if (n > PGOUTPUT_COLUMNS)
		return err_set(err, ERR_FATAL, "a relation of %u columns, expected at most %d", n, PGOUTPUT_COLUMNS);
	/* pg_catalog comes as the empty string. */
	relation->schema = xstrdup(schema[0] ? schema : "pg_catalog");
	relation->name = xstrdup(name);
	relation->replica_identity = (char)identity;
	relation->columns = xcalloc((size_t)n + 1, sizeof(*relation->columns));
	for (; relation->n < n; relation->n++)
		if (read_column(r, &relation->columns[relation->n], err) < 0)
			return -1;
	return 0;
}

/* Replaces the relation of this OID at the same address, so that holders of a pointer to it see its new columns. */
static const struct pgoutput_relation *store_relation(struct pgoutput *decoder, struct pgoutput_relation *fresh)
{
	struct pgoutput_relation *relation = map_get(decoder->relations, &fresh->oid, sizeof(fresh->oid));

	if (!relation) {
		relation = xcalloc(1, sizeof(*relation));
		map_put(decoder->relations, &fresh->oid, sizeof(fresh->oid), relation);
	}
	release_relation(relation);
	*relation = *fresh;
	if (relation->n > decoder->row_alloc) {
		decoder->row_alloc = relation->n;
		decoder->old_row = xreallocarray(decoder->old_row, decoder->row_alloc, sizeof(*decoder->old_row));
		decoder->new_row = xreallocarray(decoder->new_row, decoder->row_alloc, sizeof(*decoder->new_row));
	}
	return relation;
}

static int decode_relation(struct pgoutput *decoder, struct cursor *r, struct pgoutput_message *m, struct err *err)
{
	struct pgoutput_relation fresh = {.n = 0};

	if (read_relation(r, &fresh, err) < 0) {
		release_relation(&fresh);
		return -1;
	}
	if (cursor_left(r) > 0 || map_size(decoder->relations) >= RELATIONS_MAX) {
		release_relation(&fresh);
		if (cursor_left(r) == 0)
			return err_set(err, ERR_FATAL, "more than %d relations", RELATIONS_MAX);
		return 0; /* the caller refuses trailing bytes */
	}
	m->relation = store_relation(decoder, &fresh);
	return 0;
}

/* --- Rows ----------------------------------------------------------------------------------------------------------
 */
static int read_value(struct cursor *r, struct pgoutput_value *ret, struct err *err)
{
	uint8_t kind;

	*ret = (struct pgoutput_value){.kind = PGOUTPUT_NULL};
	if (!cursor_u8(r, &kind))
		return truncated(err, r, "a value");
	switch (kind) {
	case 'n':
		return 0;
	case 'u':
		ret->kind = PGOUTPUT_UNCHANGED;
		return 0;
	case 't':
		ret->kind = PGOUTPUT_TEXT;
		if (!cursor_u32(r, &ret->len) || !cursor_bytes(r, ret->len, &ret->data))
			return truncated(err, r, "a value's length and bytes");
		return 0;
	default:
		return err_set(err, ERR_FATAL, "a value of kind 0x%02x, expected n, u or t", kind);
	}
}

static int read_row(struct cursor *r, const struct pgoutput_relation *relation, struct pgoutput_value *row,
		    struct err *err)
{
	uint16_t n;

	if (!cursor_u16(r, &n))
		return truncated(err, r, "a row's column count");
	if (n != relation->n)
		return err_set(err, ERR_FATAL, "a row of %u columns for %s.%s, expected %u", n, relation->schema,
			       relation->name, relation->n);
	for (size_t i = 0; i < n; i++)
		if (read_value(r, &row[i], err) < 0)
			return -1;
	return 0;
}

/* The old row, marked K or O, if the next part is one. */
static int read_old_row(struct pgoutput *decoder, struct cursor *r, uint8_t part, struct pgoutput_message *m,
			struct err *err)
{
	if (part != 'K' && part != 'O')
		return err_set(err, ERR_FATAL, "a part of kind 0x%02x, expected K, O or N", part);
	m->old_kind = part == 'K' ? PGOUTPUT_OLD_KEY : PGOUTPUT_OLD_FULL;
	m->old_row = decoder->old_row;
	return read_row(r, m->relation, decoder->old_row, err);
}

static int read_new_row(struct pgoutput *decoder, struct cursor *r, uint8_t part, struct pgoutput_message *m,
			struct err *err)
{
	if (part != 'N')
		return err_set(err, ERR_FATAL, "a part of kind 0x%02x, expected N", part);
	m->new_row = decoder->new_row;
	return read_row(r, m->relation, decoder->new_row, err);
}

static int decode_row(struct pgoutput *decoder, struct cursor *r, struct pgoutput_message *m, struct err *err)
{
	uint32_t oid;
	uint8_t part;

	if (!cursor_u32(r, &oid) || !cursor_u8(r, &part))
		return truncated(err, r, "a relation's OID and a row");
	if (find_relation(decoder, oid, &m->relation, err) < 0)
		return -1;
	if (m->type == PGOUTPUT_INSERT)
		return read_new_row(decoder, r, part, m, err);
	if (m->type == PGOUTPUT_DELETE)
		return read_old_row(decoder, r, part, m, err);
	if (part != 'N') {
		if (read_old_row(decoder, r, part, m, err) < 0)
			return -1;
		if (!cursor_u8(r, &part))
			return truncated(err, r, "the new row");
	}
	return read_new_row(decoder, r, part, m, err);
}

/* --- The other messages --------------------------------------------------------------------------------------------
 */
static int64_t unix_time(uint64_t time_us)
{
	return (int64_t)(time_us + EPOCH_US);
}

static int decode_begin(struct pgoutput *decoder, struct cursor *r, struct pgoutput_message *m, struct err *err)
{
	uint64_t time_us;

	UNUSED(decoder);
	if (!cursor_u64(r, &m->lsn) || !cursor_u64(r, &time_us) || !cursor_u32(r, &m->xid))
		return truncated(err, r, "an LSN, a time and a transaction id");
	m->time_us = unix_time(time_us);
	return 0;
}

static int decode_commit(struct pgoutput *decoder, struct cursor *r, struct pgoutput_message *m, struct err *err)
{
	uint64_t time_us;
	uint8_t flags;

	UNUSED(decoder);
	if (!cursor_u8(r, &flags) || !cursor_u64(r, &m->lsn) || !cursor_u64(r, &m->end_lsn) || !cursor_u64(r, &time_us))
		return truncated(err, r, "flags, two LSNs and a time");
	m->time_us = unix_time(time_us);
	return 0;
}

static int decode_type(struct pgoutput *decoder, struct cursor *r, struct pgoutput_message *m, struct err *err)
{
	const char *schema, *name;
	uint32_t oid;

	UNUSED(decoder);
	UNUSED(m);
	if (!cursor_u32(r, &oid) || !cursor_cstring(r, &schema) || !cursor_cstring(r, &name))
		return truncated(err, r, "a type's OID, schema and name");
	return 0;
}

static int decode_origin(struct pgoutput *decoder, struct cursor *r, struct pgoutput_message *m, struct err *err)
{
	const char *name;

	UNUSED(decoder);
	if (!cursor_u64(r, &m->lsn) || !cursor_cstring(r, &name))
		return truncated(err, r, "an LSN and an origin's name");
	return 0;
}

static int decode_truncate(struct pgoutput *decoder, struct cursor *r, struct pgoutput_message *m, struct err *err)
{
	uint32_t n;
	uint8_t options;

	if (!cursor_u32(r, &n) || !cursor_u8(r, &options))
		return truncated(err, r, "a relation count and options");
	if (n > cursor_left(r) / sizeof(uint32_t))
		return truncated(err, r, "as many relations as it counts");
	ALLOC_GROW(decoder->truncated, (size_t)n, decoder->truncated_alloc);
	for (size_t i = 0; i < n; i++) {
		uint32_t oid;

		if (!cursor_u32(r, &oid))
			return truncated(err, r, "a relation's OID");
		if (find_relation(decoder, oid, &decoder->truncated[i], err) < 0)
			return -1;
	}
	m->truncated = decoder->truncated;
	m->n_truncated = n;
	m->truncate_cascade = (options & TRUNCATE_CASCADE) != 0;
	return 0;
}

static int decode_message(struct pgoutput *decoder, struct cursor *r, struct pgoutput_message *m, struct err *err)
{
	uint8_t flags;

	UNUSED(decoder);
	if (!cursor_u8(r, &flags) || !cursor_u64(r, &m->lsn) || !cursor_cstring(r, &m->prefix) ||
	    !cursor_u32(r, &m->content_len) || !cursor_bytes(r, m->content_len, &m->content))
		return truncated(err, r, "flags, an LSN, a prefix, a length and the content");
	return 0;
}

typedef int (*decode_fn)(struct pgoutput *, struct cursor *, struct pgoutput_message *, struct err *);

static const struct {
	uint8_t letter;
	enum pgoutput_type type;
	decode_fn decode;
	const char *name;
} kinds[] = {
	{'I', PGOUTPUT_INSERT, decode_row, "Insert"},
	{'U', PGOUTPUT_UPDATE, decode_row, "Update"},
	{'D', PGOUTPUT_DELETE, decode_row, "Delete"},
	{'B', PGOUTPUT_BEGIN, decode_begin, "Begin"},
	{'C', PGOUTPUT_COMMIT, decode_commit, "Commit"},
	{'R', PGOUTPUT_RELATION, decode_relation, "Relation"},
	{'Y', PGOUTPUT_TYPE, decode_type, "Type"},
	{'O', PGOUTPUT_ORIGIN, decode_origin, "Origin"},
	{'T', PGOUTPUT_TRUNCATE, decode_truncate, "Truncate"},
	{'M', PGOUTPUT_MESSAGE, decode_message, "Message"},
};

int pgoutput_decode(struct pgoutput *decoder, const char *data, size_t len, struct pgoutput_message *ret,
		    struct err *err)
{
	struct pgoutput_message m = {.relation = NULL};
	struct cursor r;
	uint8_t letter;

	cursor_init(&r, data, len);
	if (!cursor_u8(&r, &letter))
		return err_set(err, ERR_FATAL, "pgoutput: an empty message");
	for (size_t i = 0; i < ARRAY_SIZE(kinds); i++) {
		if (kinds[i].letter != letter)
			continue;
		m.type = kinds[i].type;
		if (kinds[i].decode(decoder, &r, &m, err) < 0)
			return err_wrap(err, "pgoutput: %s", kinds[i].name);
		if (cursor_left(&r) > 0)
			return err_set(err, ERR_FATAL, "pgoutput: %s: %zu bytes left over, expected none",
				       kinds[i].name, cursor_left(&r));
		*ret = m;
		return 0;
	}
	return err_set(err, ERR_FATAL, "pgoutput: message type 0x%02x, expected one of protocol version 1", letter);
}
