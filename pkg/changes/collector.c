/* From pgoutput messages to dirty keys. */
#include "changes/collector.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/map.h"

enum { KEY_BYTES = 1024 * 1024 };

void targets_init(struct targets *targets, struct document_plan *const *plans, size_t n_plans)
{
	*targets = (struct targets){.plans = plans, .n_plans = n_plans, .first_path = (uint32_t)n_plans};
	targets->first_all = targets->first_path;
	for (size_t i = 0; i < n_plans; i++)
		targets->first_all += (uint32_t)plans[i]->n_paths;
	targets->first_rebuild = targets->first_all + (uint32_t)n_plans;
	targets->first_retry = targets->first_rebuild + (uint32_t)n_plans;
	targets->first_scan = targets->n = targets->first_retry + (uint32_t)n_plans;
}

void targets_add_scans(struct targets *targets, size_t n_scans)
{
	targets->n += (uint32_t)n_scans;
}

struct target target_at(const struct targets *targets, uint32_t number)
{
	uint32_t at = targets->first_path;

	assert(number < targets->n);
	if (number < targets->first_path)
		return (struct target){.kind = TARGET_ROOT, .plan = number};
	if (number >= targets->first_scan)
		return (struct target){.kind = TARGET_SCAN, .scan = number - targets->first_scan};
	if (number >= targets->first_retry)
		return (struct target){.kind = TARGET_RETRY, .plan = number - targets->first_retry};
	if (number >= targets->first_rebuild)
		return (struct target){.kind = TARGET_REBUILD, .plan = number - targets->first_rebuild};
	if (number >= targets->first_all)
		return (struct target){.kind = TARGET_ALL, .plan = number - targets->first_all};
	for (size_t i = 0; i < targets->n_plans; at += (uint32_t)targets->plans[i]->n_paths, i++)
		if (number < at + targets->plans[i]->n_paths)
			return (struct target){
				.kind = TARGET_PATH, .plan = i, .path = &targets->plans[i]->paths[number - at]};
	abort();
}

/* A path of a relation, with the positions of its columns in the relation's rows. */
struct use {
	const struct document_path *path;
	uint32_t target;  /* of the key */
	uint32_t rebuild; /* of "rebuild the index" */
	uint32_t all;     /* of "every root", if no key is available */
	int *columns;     /* -1: the relation, as the WAL describes it, has no such column */
	int routing;      /* its position; -1: none is needed, or there is no such column */
	bool covered;     /* the old row contains everything needed */
};

struct relation_uses {
	struct use *uses;
	size_t n;
};

/* What the WAL contains of a partition's old rows. */
struct leaf {
	uint32_t table;
	size_t n;
	bool *covers; /* for each use of the table */
};

struct collector {
	const struct targets *targets;
	struct map *relations; /* OID -> struct relation_uses; absent: not ours */
	struct map *leaves;    /* OID -> struct leaf */
	uint32_t partitioned;  /* the partitioned table that was described just now, or 0 */
	struct strbuf key;
};

static void uses_free(void *value)
{
	struct relation_uses *uses = value;

	for (size_t i = 0; i < uses->n; i++)
		free(uses->uses[i].columns);
	free(uses->uses);
	free(uses);
}

static void leaf_free(void *value)
{
	struct leaf *leaf = value;

	free(leaf->covers);
	free(leaf);
}

struct collector *collector_new(const struct targets *targets)
{
	struct collector *collector = xcalloc(1, sizeof(*collector));

	collector->targets = targets;
	collector->relations = map_new(uses_free);
	collector->leaves = map_new(leaf_free);
	strbuf_init(&collector->key, KEY_BYTES);
	return collector;
}

void collector_free(struct collector *collector)
{
	if (!collector)
		return;
	map_free(collector->relations);
	map_free(collector->leaves);
	strbuf_release(&collector->key);
	free(collector);
}

static int relation_column(const struct pgoutput_relation *relation, const char *name)
{
	for (int i = 0; i < relation->n; i++)
		if (!strcmp(relation->columns[i].name, name))
			return i;
	return -1;
}

static bool identity_holds(const struct pgoutput_relation *relation, const char *name)
{
	int column = relation_column(relation, name);

	return column >= 0 && (relation->replica_identity == 'f' || relation->columns[column].key);
}

static bool path_covered(const struct document_path *path, const struct pgoutput_relation *relation)
{
	bool covered = !path->routing || identity_holds(relation, path->routing);

	for (size_t i = 0; i < path->n_columns; i++)
		covered = covered && identity_holds(relation, path->columns[i]);
	return covered;
}

static void add_use(struct relation_uses *uses, const struct pgoutput_relation *relation, struct use use)
{
	size_t n = use.path->n_columns;

	use.columns = xcalloc(n, sizeof(*use.columns));
	for (size_t i = 0; i < n; i++)
		use.columns[i] = relation_column(relation, use.path->columns[i]);
	use.routing = use.path->routing ? relation_column(relation, use.path->routing) : -1;
	use.covered = path_covered(use.path, relation);
	uses->uses = xreallocarray(uses->uses, uses->n + 1, sizeof(*uses->uses));
	uses->uses[uses->n++] = use;
}

static struct relation_uses *find_uses(const struct targets *t, const struct pgoutput_relation *relation)
{
	struct relation_uses *uses = xcalloc(1, sizeof(*uses));
	uint32_t path_target = t->first_path;

	for (size_t p = 0; p < t->n_plans; p++) {
		const struct document_plan *plan = t->plans[p];

		for (size_t w = 0; w < plan->n_paths; w++, path_target++) {
			const struct document_path *path = &plan->paths[w];

			if (path->relation == relation->oid)
				add_use(uses, relation,
					(struct use){.path = path,
						     .target = path->direct ? (uint32_t)p : path_target,
						     .rebuild = t->first_rebuild + (uint32_t)p,
						     .all = t->first_all + (uint32_t)p});
		}
	}
	return uses;
}

/* --- partitions */

static bool is_partitioned(const struct targets *t, uint32_t oid)
{
	for (size_t p = 0; p < t->n_plans; p++)
		for (size_t i = 0; i < t->plans[p]->n_tables; i++)
			if (t->plans[p]->tables[i].table->oid == oid)
				return t->plans[p]->tables[i].table->kind == 'p';
	return false;
}

struct table_uses {
	uint32_t oid;
	struct relation_uses *uses;
};

static bool apply_leaf(void *user, const char *key, size_t len, void *value)
{
	const struct table_uses *table = user;
	const struct leaf *leaf = value;

	UNUSED(key);
	UNUSED(len);
	for (size_t i = 0; leaf->table == table->oid && i < leaf->n; i++)
		table->uses->uses[i].covered = table->uses->uses[i].covered && leaf->covers[i];
	return true;
}

/* A change does not name its partition, so an old row counts as complete only if those of all partitions that may have
 * changed are complete. The partitioned table's own identity has no effect. */
static void apply_leaves(struct collector *c, uint32_t oid, struct relation_uses *uses)
{
	for (size_t i = 0; i < uses->n; i++)
		uses->uses[i].covered = true;
	map_each(c->leaves, apply_leaf, &(struct table_uses){.oid = oid, .uses = uses});
}

static void describe_leaf(struct collector *c, uint32_t table, const struct pgoutput_relation *relation)
{
	struct relation_uses *uses = map_get(c->relations, &table, sizeof(table));
	struct leaf *leaf = xcalloc(1, sizeof(*leaf));

	*leaf = (struct leaf){.table = table, .n = uses->n, .covers = xcalloc(uses->n, sizeof(*leaf->covers))};
	for (size_t i = 0; i < uses->n; i++)
		leaf->covers[i] = path_covered(uses->uses[i].path, relation);
	map_put(c->leaves, &relation->oid, sizeof(relation->oid), leaf);
	apply_leaves(c, table, uses);
}

static bool all_covered(const struct relation_uses *uses)
{
	for (size_t i = 0; i < uses->n; i++)
		if (!uses->uses[i].covered)
			return false;
	return true;
}

bool collector_relation(struct collector *collector, const struct pgoutput_relation *relation)
{
	struct relation_uses *uses = find_uses(collector->targets, relation);
	uint32_t above = collector->partitioned;

	collector->partitioned = 0;
	if (!uses->n && above) {
		uses_free(uses);
		describe_leaf(collector, above, relation);
		return all_covered(map_get(collector->relations, &above, sizeof(above)));
	}
	if (is_partitioned(collector->targets, relation->oid)) {
		collector->partitioned = relation->oid;
		apply_leaves(collector, relation->oid, uses);
	}
	map_put(collector->relations, &relation->oid, sizeof(relation->oid), uses);
	return all_covered(uses);
}

static bool is_complete(void *user, const char *key, size_t len, void *value)
{
	bool *gaps = user;

	UNUSED(key);
	UNUSED(len);
	*gaps = *gaps || !all_covered(value);
	return !*gaps;
}

bool collector_has_gaps(const struct collector *collector)
{
	bool gaps = false;

	map_each(collector->relations, is_complete, &gaps);
	return gaps;
}

enum key_result { KEY_BUILT, KEY_NULL, KEY_MISSING };

/* other: the row's other version, for a TOASTed value that was not sent. NULL: the WAL does not contain the value. */
static const struct pgoutput_value *find_column_value(int column, const struct pgoutput_value *row,
						      const struct pgoutput_value *other)
{
	const struct pgoutput_value *value;

	if (column < 0)
		return NULL;
	value = &row[column];
	if (value->kind == PGOUTPUT_UNCHANGED && other)
		value = &other[column];
	return value->kind == PGOUTPUT_UNCHANGED ? NULL : value;
}

/* Builds the key of one version of the row. */
static enum key_result build_key(struct strbuf *key, const struct use *use, const struct pgoutput_value *row,
				 const struct pgoutput_value *other)
{
	const struct pgoutput_value *value;

	strbuf_reset(key);
	for (size_t i = 0; i < use->path->n_columns; i++) {
		value = find_column_value(use->columns[i], row, other);
		if (!value)
			return KEY_MISSING;
		if (value->kind == PGOUTPUT_NULL)
			return KEY_NULL;
		key_encode_value(key, value->data, value->len);
	}
	if (!use->path->routing)
		return KEY_BUILT;
	value = find_column_value(use->routing, row, other);
	if (!value)
		return KEY_MISSING;
	key_encode_value(key, value->data, value->kind == PGOUTPUT_NULL ? 0 : value->len);
	return KEY_BUILT;
}

static int add_dirty_key(struct collector *c, struct batch *batch, uint32_t target, struct err *err)
{
	uint32_t txn = batch_current(batch);

	if (strbuf_ok(&c->key) && keyset_add(&batch->keys, target, c->key.data, c->key.len, txn))
		return 0;
	return err_reason(err, ERR_LIMIT, REASON_KEY_TOO_LARGE,
			  "a changed row's key is larger than %d bytes: link columns must be short values", KEY_BYTES);
}

static int add_all(struct collector *c, struct batch *batch, uint32_t target, struct err *err)
{
	strbuf_reset(&c->key);
	return add_dirty_key(c, batch, target, err);
}

/* A row whose values are not in the WAL cannot be resolved, so every root that may depend on the table is read again.
 * But reading the roots does not find a document that has to be deleted, because its row is gone or has a different key
 * or routing: it is what remains once all roots were written. */
static int add_unknown(struct collector *c, const struct use *use, struct batch *batch, struct err *err)
{
	return add_all(c, batch, use->path->is_root ? use->rebuild : use->all, err);
}

static int add_version(struct collector *c, const struct use *use, const struct pgoutput_value *row,
		       const struct pgoutput_value *other, struct batch *batch, struct err *err)
{
	switch (build_key(&c->key, use, row, other)) {
	case KEY_NULL:
		return 0;
	case KEY_MISSING:
		return add_unknown(c, use, batch, err);
	case KEY_BUILT:
		break;
	}
	return add_dirty_key(c, batch, use->target, err);
}

static int add_row(struct collector *c, const struct use *use, const struct pgoutput_message *m, struct batch *batch,
		   struct err *err)
{
	if (use->path->opaque)
		return add_all(c, batch, use->all, err);
	if (m->new_row && add_version(c, use, m->new_row, m->old_row, batch, err) < 0)
		return -1;
	if (m->type == PGOUTPUT_INSERT)
		return 0;
	if (!use->covered)
		return add_unknown(c, use, batch, err);
	/* If an update has no old row, no column of the identity changed. */
	if (m->old_kind == PGOUTPUT_OLD_NONE)
		return 0;
	return add_version(c, use, m->old_row, NULL, batch, err);
}

static int add_truncate(struct collector *c, uint32_t relation, struct batch *batch, struct err *err)
{
	const struct targets *t = c->targets;

	for (size_t p = 0; p < t->n_plans; p++) {
		for (size_t i = 0; i < t->plans[p]->n_tables; i++) {
			const struct document_table *table = &t->plans[p]->tables[i];
			uint32_t target;

			if (table->table->oid != relation)
				continue;
			target = (table->is_root ? t->first_rebuild : t->first_all) + (uint32_t)p;
			if (add_all(c, batch, target, err) < 0)
				return -1;
		}
	}
	return 0;
}

int collector_change(struct collector *c, const struct pgoutput_message *m, struct batch *batch, struct err *err)
{
	const struct relation_uses *uses;

	c->partitioned = 0;
	if (m->type == PGOUTPUT_TRUNCATE) {
		for (size_t i = 0; i < m->n_truncated; i++)
			if (add_truncate(c, m->truncated[i]->oid, batch, err) < 0)
				return -1;
		return 0;
	}
	uses = map_get(c->relations, &m->relation->oid, sizeof(m->relation->oid));
	for (size_t i = 0; uses && i < uses->n; i++)
		if (add_row(c, &uses->uses[i], m, batch, err) < 0)
			return -1;
	return 0;
}
