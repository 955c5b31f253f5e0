/* Going live: the aliases move to the generations that are complete, and old generations are deleted. */
#include "sync/attempt_int.h"

#include <stdlib.h>

#include "sink/dead_letters.h"
#include "sink/generations.h"

static int refuse_empty(const struct checkpoint_index *index, struct err *err)
{
	_cleanup_free_ char *concrete = generation_name(index->name, index->generation);

	return err_reason(err, ERR_INVALID, REASON_EVERY_DOCUMENT_REJECTED,
			  "index \"%s\" is empty, because the documents of all %llu rows were rejected, or an ingest "
			  "pipeline dropped them, so alias \"%s\" does not move to it: see \"%s" DEAD_LETTERS_SUFFIX
			  "\" for the reasons, and correct the index's mapping or settings, the index template, the "
			  "pipeline, or the rows; pgsync notices, and tries them again",
			  concrete, (unsigned long long)checkpoint_rows(index), index->name, index->name);
}

/* A generation that received none of the rows that were read must not replace another one. */
static int check_filled(struct attempt *at, struct err *err)
{
	for (size_t i = 0; i < at->model.n_plans; i++) {
		const struct checkpoint_index *index = attempt_index(at, i);
		bool would_empty;
		int rows = 0;

		if (generation_would_empty(&at->sink, index, &would_empty, err) < 0)
			return -1;
		if (would_empty && source_count_rows(at->source.pg, at->model.plans[i]->root, 1, &rows, err) < 0)
			return -1;
		if (rows)
			return refuse_empty(index, err);
	}
	return 0;
}

int attempt_go_live(struct attempt *at, struct err *err)
{
	if (check_filled(at, err) < 0)
		return -1;
	for (size_t i = 0; i < at->model.n_plans; i++) {
		struct checkpoint_index *index = attempt_index(at, i);

		if (generation_go_live(&at->sink, index->name, at->model.plans[i]->index_body, index->generation, err) <
		    0)
			return -1;
		index->live = index->generation;
	}
	at->cp.phase = CHECKPOINT_LIVE;
	return attempt_save(at, err);
}

int attempt_collect_generations(struct attempt *at, struct err *err)
{
	for (size_t i = 0; i < at->cp.n_indices; i++)
		if (generation_collect(&at->sink, at->cp.indices[i].name, at->cp.indices[i].live, err) < 0)
			return -1;
	return 0;
}
