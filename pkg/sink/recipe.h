/* Recipes: what the search engine does with documents before it stores them, by ingest pipelines.
 *
 * A checkpoint keeps the recipe that a generation began with. When it differs from the present one, the documents of
 * the index are not what it would be filled with now, although no row has changed. It is a JSON object:
 *
 * "given": the pipelines that documents are sent through: the document's own, or the index's default one, and its final
 * one. What is put into the settings of an existing index later does not count: a new index would not have it.
 *
 * "pipelines": the hash of each of these, and of those that they call; "": there is none; null: not known, because the
 * login may not read it, or because it is missing, which ends the writing.
 *
 * "template": what the index templates (not those of the old kind, _template) give to an index of this name: its
 * pipelines ("given"), and a hash of everything ("hash"); null: not known.
 *
 * What is not known counts as unchanged. */
#ifndef PGSYNC_SINK_RECIPE_H
#define PGSYNC_SINK_RECIPE_H

#include <stdbool.h>

#include <jansson.h>

#include "base/err.h"
#include "checkpoint/checkpoint.h"
#include "sink/sink.h"

/* Reads the present one. pipeline: the one that writes name, or NULL. made: the one that the generation began with;
 * NULL: it begins now, or that is not known. Fails only while the engine cannot be asked. */
int recipe_read(const struct sink *sink, const char *concrete, const char *pipeline, const json_t *made, json_t **ret,
		struct err *err) WARN_UNUSED;

/* What is different now, as the end of a sentence; NULL: nothing. empty: the index has no document, so that everything
 * counts that another index would be made from. Caller frees. Pure. */
char *recipe_difference(const json_t *made, const json_t *now, bool empty);
/* Whether everything of it is known. Pure. */
bool recipe_is_known(const json_t *recipe);
/* Adds to `made` what was not known before. True: there was something. Pure. */
bool recipe_learn(json_t *made, const json_t *now);

/* Compares the present one with the one that the generation began with, and notes a difference in index->outdated, or
 * what was not known before in index->recipe. waits: no alias moves, because an index is empty. 1: something was noted,
 * and has to be saved. */
int recipe_check(const struct sink *sink, struct checkpoint_index *index, const char *concrete, const char *pipeline,
		 bool waits, struct err *err) WARN_UNUSED;

#endif
