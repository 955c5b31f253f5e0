/* Requests about dead letters. */
#include "sink/requests.h"

#include <string.h>

#include "base/mem.h"
#include "checkpoint/checkpoint.h"
#include "json/json.h"

enum { TRIES = 20 };

/* Slots have no slash in their names: no checkpoint has this key. */
static char *request_document_id(const char *key)
{
	return xasprintf("%s/dead-letters", key);
}

int requests_load(struct search *search, const char *key, struct requests *ret, struct err *err)
{
	_cleanup_free_ char *id = request_document_id(key);

	*ret = (struct requests){.version = {.seq_no = -1, .primary_term = -1}};
	if (search_get(search, CHECKPOINT_INDEX, id, &ret->document, &ret->version, err) < 0)
		return err_wrap(err, "loading requests about dead letters");
	return 0;
}

void requests_release(struct requests *requests)
{
	json_decref(requests->document);
	*requests = (struct requests){0};
}

/* Names may contain dots, so jsonx_get does not find them. */
static json_t *ids_of(const json_t *document, const char *alias)
{
	return json_object_get(json_object_get(document, "retry"), alias);
}

bool requests_name(const struct requests *requests, const char *alias)
{
	return jsonx_contains(json_object_get(requests->document, "all"), alias) ||
	       json_array_size(ids_of(requests->document, alias)) > 0;
}

bool requests_have(const struct requests *requests, const char *alias, const char *id)
{
	return jsonx_contains(json_object_get(requests->document, "all"), alias) ||
	       jsonx_contains(ids_of(requests->document, alias), id);
}

const char *requests_handled(const struct requests *requests)
{
	return jsonx_string(requests->document, "handled", "");
}

static void add_word(json_t *object, const char *key, const char *word)
{
	json_t *list = json_object_get(object, key);

	if (!json_is_array(list)) {
		list = json_array();
		(void)json_object_set_new(object, key, list);
	}
	if (!jsonx_contains(list, word))
		(void)json_array_append_new(list, jsonx_text(word));
}

static void add_request(json_t *document, const char *alias, const char *id)
{
	if (!id) {
		add_word(document, "all", alias);
		return;
	}
	if (!json_is_object(json_object_get(document, "retry")))
		(void)json_object_set_new(document, "retry", json_object());
	add_word(json_object_get(document, "retry"), alias, id);
}

int requests_add(struct search *search, const char *key, const char *alias, const char *id, struct err *err)
{
	_cleanup_free_ char *name = request_document_id(key);

	for (int tries = 0; tries < TRIES; tries++) {
		_cleanup_(requests_release) struct requests now = {0};

		if (requests_load(search, key, &now, err) < 0)
			return -1;
		if (!now.document)
			now.document = json_object();
		add_request(now.document, alias, id);
		if (search_put(search, CHECKPOINT_INDEX, name, now.document, &now.version, err) == 0)
			return 0;
		if (err->kind != ERR_CONFLICT)
			break;
	}
	return err_wrap(err, "asking for another attempt");
}

static void add_rest(json_t *rest, const json_t *now, const json_t *done)
{
	const char *alias;
	json_t *ids, *id;
	size_t i;

	json_array_foreach (json_object_get(now, "all"), i, id)
		if (!jsonx_contains(json_object_get(done, "all"), json_string_value(id)))
			add_request(rest, json_string_value(id), NULL);
	json_object_foreach (json_object_get(now, "retry"), alias, ids)
		json_array_foreach (ids, i, id)
			if (!jsonx_contains(ids_of(done, alias), json_string_value(id)))
				add_request(rest, alias, json_string_value(id));
}

json_t *requests_rest(const json_t *now, const json_t *done)
{
	json_t *rest = json_object();

	add_rest(rest, now, done);
	if (json_object_get(now, "handled"))
		(void)json_object_set(rest, "handled", json_object_get(now, "handled"));
	return rest;
}

/* 1: another request came meanwhile. */
static int try_settle(struct search *search, const char *id, const struct requests *now, const json_t *done,
		      const char *nonce, struct err *err)
{
	_cleanup_json_ json_t *rest = requests_rest(now->document, done);
	struct search_version version = now->version;

	if (nonce)
		(void)json_object_set_new(rest, "handled", jsonx_text(nonce));
	if (now->document && json_equal(rest, now->document))
		return 0;
	if (search_put(search, CHECKPOINT_INDEX, id, rest, &version, err) == 0)
		return 0;
	return err->kind == ERR_CONFLICT ? 1 : -1;
}

int requests_settle(struct search *search, const char *key, struct requests *requests, const char *nonce,
		    struct err *err)
{
	_cleanup_free_ char *id = request_document_id(key);
	_cleanup_(requests_release) struct requests now = {.document = json_incref(requests->document),
							   .version = requests->version};
	int r = 1;

	for (int tries = 0; r > 0 && tries < TRIES; tries++) {
		r = try_settle(search, id, &now, requests->document, nonce, err);
		if (r <= 0)
			break;
		requests_release(&now);
		if (requests_load(search, key, &now, err) < 0)
			return -1;
	}
	return r ? err_wrap(err, "noting that dead letters were tried again") : 0;
}

int requests_delete(struct search *search, const char *key, struct err *err)
{
	_cleanup_free_ char *id = request_document_id(key);

	return search_delete(search, CHECKPOINT_INDEX, id, err) < 0
		       ? err_wrap(err, "deleting requests about dead letters")
		       : 0;
}
