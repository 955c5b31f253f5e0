/* Single documents, read in real time and written only if no other client wrote them. */
#include "search/search_int.h"
#include "json/json.h"

static const struct search_version none = {.seq_no = -1, .primary_term = -1};

int search_get(struct search *search, const char *index, const char *id, json_t **ret,
	       struct search_version *ret_version, struct err *err)
{
	_cleanup_(search_answer_release) struct search_answer answer = {0};
	_cleanup_free_ char *path = NULL;
	json_t *source;

	if (search_path(index, "/_doc/", id, "", &path, err) < 0 ||
	    search_request(search, "GET", path, NULL, &answer, err) < 0)
		return -1;
	if (answer.response.status == 404 && search_says_absent(answer.root)) {
		*ret = NULL;
		*ret_version = none;
		return 0;
	}
	if (answer.response.status >= 300)
		return search_answer_err(search, "GET", path, &answer.response, answer.root, err);
	source = json_object_get(answer.root, "_source");
	if (!source)
		return err_reason(err, ERR_TRANSIENT, REASON_SINK_UNAVAILABLE,
				  "GET %s%s: the answer contains no document", http_target_name(search->target), path);
	*ret = json_incref(source);
	ret_version->seq_no = jsonx_integer(answer.root, "_seq_no", -1);
	ret_version->primary_term = jsonx_integer(answer.root, "_primary_term", -1);
	return 0;
}

/* Caller frees. */
static char *if_version(const struct search_version *version)
{
	return xasprintf("?if_seq_no=%lld&if_primary_term=%lld", (long long)version->seq_no,
			 (long long)version->primary_term);
}

int search_put(struct search *search, const char *index, const char *id, const json_t *document,
	       struct search_version *version, struct err *err)
{
	_cleanup_free_ char *condition = NULL;
	_cleanup_free_ char *path = NULL;
	_cleanup_json_ json_t *answer = NULL;

	condition = version->seq_no < 0 ? xstrdup("?op_type=create") : if_version(version);
	if (search_path(index, "/_doc/", id, condition, &path, err) < 0 ||
	    search_json(search, "PUT", path, document, &answer, err) < 0)
		return -1;
	if (!search_confirms(answer))
		return err_reason(
			err, ERR_TRANSIENT, REASON_SINK_UNAVAILABLE,
			"PUT %s%.*s: the document was not written: an ingest pipeline dropped it, or something "
			"else is in front of the search engine",
			http_target_name(search->target), (int)strcspn(path, "?"), path);
	version->seq_no = jsonx_integer(answer, "_seq_no", -1);
	version->primary_term = jsonx_integer(answer, "_primary_term", -1);
	return 0;
}

static int delete_if(struct search *search, const char *index, const char *id, const char *condition, struct err *err)
{
	_cleanup_free_ char *path = NULL;

	if (search_path(index, "/_doc/", id, condition, &path, err) < 0)
		return -1;
	if (search_json(search, "DELETE", path, NULL, NULL, err) == 0 || err->kind == ERR_NOT_FOUND)
		return 0;
	return -1;
}

int search_delete(struct search *search, const char *index, const char *id, struct err *err)
{
	return delete_if(search, index, id, "", err);
}

int search_delete_version(struct search *search, const char *index, const char *id,
			  const struct search_version *version, struct err *err)
{
	_cleanup_free_ char *condition = if_version(version);

	return delete_if(search, index, id, condition, err);
}
