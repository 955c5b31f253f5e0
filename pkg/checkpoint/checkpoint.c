/* Checkpoints in the search engine: loaded, saved only if no other process did, deleted. */
#include "checkpoint/checkpoint.h"

#include "base/failpoint.h"
#include "search/search.h"
#include "json/json.h"

enum { KEY_BYTES = 512 };

void checkpoint_release(struct checkpoint *cp)
{
	if (!cp)
		return;
	for (size_t i = 0; i < cp->n_indices; i++) {
		free(cp->indices[i].name);
		free(cp->indices[i].ranges);
		json_decref(cp->indices[i].recipe);
		free(cp->indices[i].outdated);
	}
	for (size_t i = 0; i < cp->n_identities; i++) {
		free(cp->identities[i].schema);
		free(cp->identities[i].table);
		free(cp->identities[i].identity_index);
	}
	free(cp->indices);
	free(cp->identities);
	free(cp->parts);
	free(cp->owner);
	free(cp->owner_uid);
	free(cp->system_identifier);
	free(cp->slot);
	free(cp->publication);
	free(cp->publication_fingerprint);
	free(cp->schema_hash);
	json_decref(cp->catalog_fingerprint);
	*cp = (struct checkpoint){.seq_no = -1, .primary_term = -1};
}

struct checkpoint_index *checkpoint_find(const struct checkpoint *cp, const char *index)
{
	for (size_t i = 0; i < cp->n_indices; i++) {
		if (!strcmp(cp->indices[i].name, index))
			return &cp->indices[i];
	}
	return NULL;
}

struct checkpoint_index *checkpoint_ensure(struct checkpoint *cp, const char *index)
{
	struct checkpoint_index *found = checkpoint_find(cp, index);

	if (found)
		return found;
	cp->indices = xreallocarray(cp->indices, cp->n_indices + 1, sizeof(*cp->indices));
	found = &cp->indices[cp->n_indices++];
	*found = (struct checkpoint_index){.name = xstrdup(index)};
	return found;
}

uint64_t checkpoint_rows(const struct checkpoint_index *index)
{
	uint64_t rows = 0;

	for (size_t i = 0; i < index->n_ranges; i++)
		rows += index->ranges[i].rows;
	return rows;
}

/* --- The store -------------------------------------------------------------------------------------------------------
 */
static int check_key(const char *key, struct err *err)
{
	size_t len = strlen(key);

	if (len == 0 || len > KEY_BYTES)
		return err_set(err, ERR_INVALID, "a checkpoint's key has 1 to %d bytes, not %zu", KEY_BYTES, len);
	return 0;
}

int checkpoint_load(struct search *search, const char *key, struct checkpoint *ret, struct err *err)
{
	_cleanup_json_ json_t *document = NULL;
	struct search_version version;

	if (check_key(key, err) < 0)
		return -1;
	if (search_get(search, CHECKPOINT_INDEX, key, &document, &version, err) < 0)
		return err_wrap(err, "loading checkpoint '%s'", key);
	if (!document) {
		*ret = (struct checkpoint){.phase = CHECKPOINT_NEW, .seq_no = -1, .primary_term = -1};
		return 0;
	}
	if (checkpoint_decode(document, ret, err) < 0) {
		(void)err_wrap(err, "checkpoint '%s' in index " CHECKPOINT_INDEX " cannot be used", key);
		err_append(err, "; delete this document to rebuild the index");
		return -1;
	}
	ret->seq_no = version.seq_no;
	ret->primary_term = version.primary_term;
	return 0;
}

/* Documents are stored without being indexed: a mapping would only constrain the next format. */
static int create_index(struct search *search, bool hidden, struct err *err)
{
	_cleanup_json_ json_t *body =
		json_pack("{s:{s:{s:i,s:s}},s:{s:b,s:{s:b}}}", "settings", "index", "number_of_shards", 1,
			  "auto_expand_replicas", "0-1", "mappings", "enabled", 0, "_routing", "required", 0);
	json_t *settings = jsonx_get(body, "settings.index");

	if (!settings || (hidden && json_object_set_new(settings, "hidden", json_true()) < 0))
		return err_set(err, ERR_FATAL, "out of memory");
	return search_index_create(search, CHECKPOINT_INDEX, body, err);
}

/* A write to a missing index would create it, with a mapping that the engine guesses. */
static int ensure_checkpoint_index(struct search *search, struct err *err)
{
	bool exists = false;
	int r;

	if (search_index_exists(search, CHECKPOINT_INDEX, &exists, err) < 0)
		return -1;
	if (exists)
		return 0;
	r = create_index(search, true, err);
	/* Elasticsearch before 7.7 does not support hidden indices. */
	if (r < 0 && err->kind == ERR_INVALID)
		r = create_index(search, false, err);
	return r < 0 && err->kind != ERR_CONFLICT ? -1 : 0;
}

/* After a conflict: is the stored document this one, because the response to an earlier attempt was lost? */
static bool is_saved(struct search *search, const char *key, const json_t *document, struct search_version *version)
{
	_cleanup_json_ json_t *stored = NULL;
	struct search_version found;
	struct err err;

	if (search_get(search, CHECKPOINT_INDEX, key, &stored, &found, &err) < 0 || !stored ||
	    !json_equal(stored, document))
		return false;
	*version = found;
	return true;
}

static int put_document(struct search *search, const char *key, const json_t *document, struct search_version *version,
			struct err *err)
{
	if (version->seq_no < 0 && ensure_checkpoint_index(search, err) < 0)
		return -1;
	if (search_put(search, CHECKPOINT_INDEX, key, document, version, err) == 0)
		return 0;
	if (err->kind != ERR_CONFLICT)
		return -1;
	if (is_saved(search, key, document, version))
		return 0;
	err->reason = REASON_CHECKPOINT_CONFLICT;
	return -1;
}

int checkpoint_save(struct search *search, const char *key, struct checkpoint *cp, struct err *err)
{
	_cleanup_json_ json_t *document = checkpoint_encode(cp);
	struct search_version version = {.seq_no = cp->seq_no, .primary_term = cp->primary_term};

	if (check_key(key, err) < 0)
		return -1;
	if (!document)
		return err_set(err, ERR_INVALID, "checkpoint '%s' contains a name that is not UTF-8", key);
	if (put_document(search, key, document, &version, err) < 0)
		return err_wrap(err, "saving checkpoint '%s'", key);
	if (FAILPOINT(CHECKPOINT_SAVED, err) < 0)
		return -1;
	cp->seq_no = version.seq_no;
	cp->primary_term = version.primary_term;
	return 0;
}

int checkpoint_delete(struct search *search, const char *key, struct err *err)
{
	if (check_key(key, err) < 0)
		return -1;
	if (search_delete(search, CHECKPOINT_INDEX, key, err) < 0)
		return err_wrap(err, "deleting checkpoint '%s'", key);
	return FAILPOINT(CHECKPOINT_DELETED, err);
}
