/* Checkpoints in memory. */
#include "checkpoint/checkpoint.h"

#include "json/json.h"

void checkpoint_release(struct checkpoint *cp)
{
	if (!cp)
		return;
	for (size_t i = 0; i < cp->n_indices; i++) {
		free(cp->indices[i].name);
		free(cp->indices[i].ranges);
		json_decref(cp->indices[i].recipe);
		json_decref(cp->indices[i].histories);
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
	free(cp->state);
	free(cp->writer);
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
