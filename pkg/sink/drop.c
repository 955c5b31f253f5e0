/* What is left in the search engine when a resource is deleted. */
#include "sink/drop.h"

#include "sink/dead_letters.h"
#include "sink/generations.h"

static int delete_generation(const struct sink *sink, const char *alias, int64_t generation, struct err *err)
{
	_cleanup_free_ char *concrete = generation_name(alias, generation);
	bool ours = false;

	if (generation && (generation_is_ours(sink, concrete, &ours, err) < 0 ||
			   (ours && search_index_delete(sink->search, concrete, err) < 0)))
		return err_wrap(err, "deleting index \"%s\"", concrete);
	return 0;
}

static int disown(const struct sink *sink, const char *alias, const char *live, struct err *err)
{
	return generation_disown(sink, live, err) < 0 || dead_letters_disown(sink, alias, err) < 0 ? -1 : 0;
}

static int drop_index(const struct sink *sink, const struct checkpoint_index *index, bool retain, struct err *err)
{
	_cleanup_free_ char *live = generation_name(index->name, index->live);

	/* Generations without the alias are deleted in any case. */
	if (generation_collect(sink, index->name, index->live, err) < 0)
		return -1;
	if (retain)
		return index->live ? disown(sink, index->name, live, err) : 0;
	if (delete_generation(sink, index->name, index->live, err) < 0 ||
	    dead_letters_delete(sink, index->name, err) < 0)
		return err_wrap(err, "deleting index \"%s\"", index->name);
	return 0;
}

int sink_drop_indices(const struct sink *sink, const struct checkpoint *cp, bool retain, struct err *err)
{
	for (size_t i = 0; i < cp->n_indices; i++)
		if (drop_index(sink, &cp->indices[i], retain, err) < 0)
			return -1;
	return 0;
}
