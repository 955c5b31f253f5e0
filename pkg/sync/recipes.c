/* Recipes: notices that the engine does something else with documents than it did when an index was filled. */
#include "sync/attempt_int.h"

#include "base/log.h"
#include "sink/recipe.h"

int attempt_check_recipe(struct attempt *at, size_t plan, bool waits, struct err *err)
{
	struct checkpoint_index *index = attempt_index(at, plan);
	const char *pipeline = at->model.plans[plan]->document->pipeline;
	int r = recipe_check(&at->sink, index, at->model.concrete[plan], pipeline, waits, err);

	if (r > 0 && index->outdated)
		log_info("sync", "the documents of an index are outdated", KV_STR("index", index->name),
			 KV_STR("why", index->outdated));
	return r;
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
