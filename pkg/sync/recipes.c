/* Recipes: notices that the engine does something else with documents than it did when an index was filled. */
#include "sync/attempt_int.h"

#include "base/log.h"
#include "sink/generations.h"
#include "sink/recipe.h"

int attempt_check_recipe(struct attempt *at, size_t plan, bool waits, struct err *err)
{
	struct checkpoint_index *index = attempt_index(at, plan);
	_cleanup_json_ json_t *now = NULL;
	bool empty = false;

	if (index->outdated)
		return 0;
	if ((waits && generation_would_empty(&at->sink, index, &empty, err) < 0) ||
	    recipe_read(&at->sink, at->model.concrete[plan], at->model.plans[plan]->document->pipeline, index->recipe,
			&now, err) < 0)
		return -1;
	/* An earlier release filled the index. */
	if (!index->recipe) {
		index->recipe = TAKE_PTR(now);
		return 1;
	}
	index->outdated = recipe_difference(index->recipe, now, empty);
	if (!index->outdated)
		return recipe_learn(index->recipe, now);
	log_info("sync", "the documents of an index are outdated", KV_STR("index", index->name),
		 KV_STR("why", index->outdated));
	return 1;
}

bool attempt_is_outdated(const struct attempt *at)
{
	for (size_t i = 0; i < at->model.n_plans; i++)
		if (attempt_index(at, i)->outdated)
			return true;
	return false;
}

bool attempt_knows_recipes(const struct attempt *at)
{
	bool all = true;

	for (size_t i = 0; i < at->model.n_plans; i++)
		all = all && recipe_is_known(attempt_index(at, i)->recipe);
	return all;
}
