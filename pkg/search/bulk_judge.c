/* What an item of a bulk answer means.
 *
 * An engine uses the same statuses for a bad document and for its own problems: 400 is a field that does not parse, a
 * closed index and a pipeline that was deleted; 500 is a broken translog and a pipeline's `fail` processor. So the
 * error's type decides. Types that are about a document are listed here; for all others, the item is sent again. The
 * lists are those of Elasticsearch 7 to 9 (server/src/main/java/org/elasticsearch/ElasticsearchException.java and the
 * exceptions that ingest and mappers throw) and of OpenSearch 1 to 3 (OpenSearchServerException.java). */
#include "search/bulk_int.h"

#include <string.h>

#include "base/mem.h"

/* The first rule that matches decides. */
struct rule {
	const char *type;
	const char *words; /* text that the reason has to contain; NULL: any */
	struct bulk_judgement judgement;
};

#define DOCUMENT                       \
	{                              \
		.verdict = BULK_REJECT \
	}
#define WAIT(text)                                      \
	{                                               \
		.verdict = BULK_RETRY, .remedy = (text) \
	}

#define CREATE_PIPELINE "create the ingest pipeline again"
#define NEEDS_ROUTING                                                                                           \
	"the index requires a routing: give the schema's document one, or take `_routing.required` out of the " \
	"index template and delete the index"

static const struct rule rules[] = {
	{BULK_VERSION_CONFLICT, NULL, {.verdict = BULK_STALE}},
	{BULK_CHANGED, NULL, DOCUMENT},

	/* --- Problems that require a new attempt --- */
	{"index_not_found_exception", NULL, {.verdict = BULK_NO_INDEX}},
	/* The engine's error for an alias with capitals (sink/write_alias.h) that does not exist. */
	{"invalid_index_name_exception", NULL, {.verdict = BULK_NO_INDEX}},
	{"security_exception", NULL, {.verdict = BULK_FORBIDDEN}},
	/* IngestService.executePipelines (both engines) */
	{"illegal_argument_exception", "pipeline with id [", {BULK_NO_PIPELINE, CREATE_PIPELINE}},
	/* PipelineProcessor: a pipeline that another one calls */
	{"illegal_state_exception", "non-existent pipeline", {BULK_NO_PIPELINE, CREATE_PIPELINE}},

	/* --- Problems that a user can fix --- */
	{"index_closed_exception", NULL, WAIT("open the index: POST /<index>/_open")},
	{"cluster_block_exception", NULL,
	 WAIT("free disk space, or remove the block that the message names from the settings of index or cluster")},
	{"index_create_block_exception", NULL, WAIT("free disk space")},
	{"routing_missing_exception", NULL, WAIT(NEEDS_ROUTING)},
	/* InternalEngine.tryAcquireInFlightDocs; Lucene's own limit */
	{"illegal_argument_exception", "umber of documents in ",
	 WAIT("a shard is full: rebuild the index with more shards (an index template sets them)")},
	/* TransportBulkAction, IndexNameExpressionResolver: the name now belongs to an alias or a data stream */
	{"illegal_argument_exception", "no write index is defined for alias", WAIT("correct the alias")},
	{"illegal_argument_exception", "only write ops with an op_type of create", WAIT("delete the data stream")},
	{"illegal_argument_exception", "more than 1 type", WAIT("rebuild the index: raise spec.resyncNonce")},
	/* ScriptService: if a stored script no longer compiles, the documents are not the cause. */
	{"script_exception", "compile error", WAIT("correct the pipeline's script")},

	/* --- The document --- */
	{"mapper_parsing_exception", NULL, DOCUMENT},         /* up to Elasticsearch 8.8; OpenSearch */
	{"document_parsing_exception", NULL, DOCUMENT},       /* since Elasticsearch 8.9 */
	{"strict_dynamic_mapping_exception", NULL, DOCUMENT}, /* a field that the mapping does not have */
	/* Limits of the mapping, of keywords and of vectors; a field that would change its type; processors of
	 * pipelines. */
	{"illegal_argument_exception", NULL, DOCUMENT},
	{"max_bytes_length_exceeded_exception", NULL, DOCUMENT},
	{"action_request_validation_exception", NULL, DOCUMENT}, /* an _id above 512 bytes */
	{"timestamp_parsing_exception", NULL, DOCUMENT},
	{"invalid_shape_exception", NULL, DOCUMENT},
	/* Its JSON: parsers of engine and Jackson. */
	{"parsing_exception", NULL, DOCUMENT},
	{"parse_exception", NULL, DOCUMENT},
	{"x_content_parse_exception", NULL, DOCUMENT},
	{"x_content_e_o_f_exception", NULL, DOCUMENT},
	{"named_object_not_found_exception", NULL, DOCUMENT},
	{"not_x_content_exception", NULL, DOCUMENT},
	{"json_parse_exception", NULL, DOCUMENT},
	{"json_e_o_f_exception", NULL, DOCUMENT},
	{"stream_constraints_exception", NULL, DOCUMENT},
	{"stream_read_exception", NULL, DOCUMENT},
	{"input_coercion_exception", NULL, DOCUMENT},
	/* A value that a processor of a pipeline cannot convert, and the processor `fail`. */
	{"number_format_exception", NULL, DOCUMENT},
	{"date_time_parse_exception", NULL, DOCUMENT},
	{"date_time_exception", NULL, DOCUMENT},
	{"find_match", NULL, DOCUMENT}, /* DissectException.FindMatch */
	{"script_exception", NULL, DOCUMENT},
	{"fail_processor_exception", NULL, DOCUMENT},
};

static struct bulk_judgement judge_error(const struct bulk_item *item)
{
	const char *type = item->type ? item->type : "";
	const char *text = item->reason ? item->reason : "";

	for (size_t i = 0; i < ARRAY_SIZE(rules); i++)
		if (!strcmp(type, rules[i].type) && (!rules[i].words || strstr(text, rules[i].words)))
			return rules[i].judgement;
	return (struct bulk_judgement){.verdict = item->status == 401 ? BULK_FORBIDDEN : BULK_RETRY};
}

static struct bulk_judgement judge_refusal(bool is_delete, const struct bulk_item *item)
{
	struct bulk_judgement found = judge_error(item);

	/* A delete has no document that could be the cause. */
	if (is_delete && found.verdict == BULK_REJECT)
		found.verdict = BULK_RETRY;
	if (found.verdict == BULK_STALE && item->status != 409)
		found.verdict = BULK_RETRY;
	return found;
}

/* Status and result must both say so. */
static enum bulk_verdict judge_success(bool is_delete, const struct bulk_item *item)
{
	bool success = item->status >= 200 && item->status < 300;

	if (is_delete) {
		/* The engine remembers a delete's version even if there was nothing to delete. */
		if (success && item->result == BULK_RESULT_DELETED)
			return BULK_DONE;
		return (success || item->status == 404) && item->result == BULK_RESULT_NOT_FOUND ? BULK_DONE
												 : BULK_RETRY;
	}
	if (success && (item->result == BULK_RESULT_CREATED || item->result == BULK_RESULT_UPDATED))
		return BULK_DONE;
	return success && item->result == BULK_RESULT_NOOP ? BULK_DROPPED : BULK_RETRY;
}

/* An ingest pipeline may have changed what the request said; deletions bypass it. Engines do not report a changed
 * routing. What was dropped went nowhere: the answer has the name of the request, which may be an alias. */
void bulk_item_compare(struct bulk_item *item, const char *index, const char *id, uint64_t version)
{
	bool conflict = item->type && !strcmp(item->type, BULK_VERSION_CONFLICT);

	if (item->is_delete || (item->type && !conflict) || item->result == BULK_RESULT_NOOP)
		return;
	if (item->index && strcmp(item->index, index) != 0)
		item->reason =
			"field [_index] was changed by an ingest pipeline: it must not change where a document goes";
	else if (item->id && strcmp(item->id, id) != 0)
		item->reason =
			"field [_id] was changed by an ingest pipeline: it must not change what a document is called";
	else if (item->version && item->version != version)
		item->reason = "field [_version] was changed by an ingest pipeline: versions order the writes";
	else
		return;
	item->type = BULK_CHANGED;
}

struct bulk_judgement bulk_judge(bool is_delete, const struct bulk_item *item)
{
	if (item->type && (item->status >= 300 || !strcmp(item->type, BULK_CHANGED)))
		return judge_refusal(is_delete, item);
	if (item->status == 401)
		return (struct bulk_judgement){.verdict = BULK_FORBIDDEN};
	return (struct bulk_judgement){.verdict = item->type ? BULK_RETRY : judge_success(is_delete, item)};
}

/* --- What may be shown ----------------------------------------------------------------------------------------------
 */
/* "failed to parse field [price] of type [integer] in document with id '3'. Preview of field's value: 'x'": the names
 * of the field and its type are the mapping's, the rest is the document's. */
static void add_field_names(struct strbuf *to, const char *text)
{
	static const char *const begins[] = {"field [", "field=\"", "introduction of ["};

	for (size_t i = 0; i < ARRAY_SIZE(begins); i++) {
		const char *at = strstr(text, begins[i]);
		const char *name = at ? at + strlen(begins[i]) : NULL;
		size_t len = name ? strcspn(name, "]\"'") : 0;

		if (len) {
			strbuf_addf(to, ": field \"%.*s\"", (int)(len < 200 ? len : 200), name);
			return;
		}
	}
}

/* The text without its quoted parts. */
static void add_unquoted(struct strbuf *to, const char *reason)
{
	while (*reason) {
		size_t plain = strcspn(reason, "\"'`");
		const char *end;

		strbuf_add(to, reason, plain);
		reason += plain;
		if (!*reason)
			return;
		end = strchr(reason + 1, *reason);
		/* An apostrophe is not a quote. */
		if (*reason == '\'' && plain && strchr("abcdefghijklmnopqrstuvwxyz", reason[-1])) {
			strbuf_addc(to, *reason++);
			continue;
		}
		strbuf_adds(to, "...");
		if (!end)
			return;
		reason = end + 1;
	}
}

void bulk_item_words(const struct bulk_item *item, struct strbuf *to)
{
	const char *type = item->type && *item->type ? item->type : NULL;
	const char *reason = item->reason ? item->reason : "";

	strbuf_adds(to, type                 ? type
			: item->status < 300 ? "an answer without a known result"
					     : "an error without a type");
	if (judge_error(item).verdict == BULK_REJECT) {
		add_field_names(to, reason);
	} else if (*reason) {
		strbuf_adds(to, ": ");
		add_unquoted(to, reason);
	}
}
