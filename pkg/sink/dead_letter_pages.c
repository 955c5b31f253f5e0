/* Reading dead letters. */
#include "sink/dead_letter_pages.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/strbuf.h"
#include "sink/dead_letters.h"
#include "json/json.h"

enum { PAGE_LETTERS = 500, KEY_BYTES = 64 * 1024, PAUSE_MS = 5 * 1000, PAUSE_CAP_MS = 10 * 60 * 1000 };

/* "key": ["a", "b"]. NULL without one. Caller frees. */
static char *source_key(const json_t *source, size_t *ret_len)
{
	const json_t *values = json_object_get(source, "key");
	struct strbuf key;
	json_t *value;
	size_t i;

	if (!json_array_size(values))
		return NULL;
	strbuf_init(&key, KEY_BYTES);
	json_array_foreach (values, i, value)
		strbuf_add(&key, json_is_string(value) ? json_string_value(value) : "", json_string_length(value) + 1);
	*ret_len = key.len;
	return strbuf_detach(&key);
}

static void forget_page(struct dead_letter_pages *l)
{
	for (size_t i = 0; i < l->n; i++)
		free(l->items[i].key);
	free(TAKE_PTR(l->items));
	l->n = 0;
}

static struct dead_letter letter_of(const char *id, const json_t *source)
{
	struct dead_letter letter = {.id = id,
				     .fingerprint = jsonx_string(source, "intake", ""),
				     .attempts = jsonx_integer(source, "attempts", 1),
				     .source = source};

	letter.key = source_key(source, &letter.key_len);
	return letter;
}

static void take_dead_letter_page(struct dead_letter_pages *l)
{
	const json_t *hits = scroll_hits(&l->scroll);
	json_t *hit;
	size_t i;

	forget_page(l);
	l->items = xcalloc(json_array_size(hits), sizeof(*l->items));
	l->n = json_array_size(hits);
	json_array_foreach (hits, i, hit) {
		l->items[i] = letter_of(jsonx_string(hit, "_id", ""), json_object_get(hit, "_source"));
		l->items[i].version.seq_no = jsonx_integer(hit, "_seq_no", -1);
		l->items[i].version.primary_term = jsonx_integer(hit, "_primary_term", -1);
	}
}

int dead_letter_pages_get(struct dead_letter_pages *l, struct search *search, const char *alias, const char *id,
			  struct err *err)
{
	_cleanup_free_ char *index = dead_letters_index(alias);
	struct search_version version;

	*l = (struct dead_letter_pages){0};
	if (search_get(search, index, id, &l->single, &version, err) < 0)
		return err_wrap(err, "reading a dead letter of \"%s\"", alias);
	if (!l->single)
		return 0;
	l->items = xcalloc(1, sizeof(*l->items));
	l->items[l->n++] = letter_of(jsonx_string(l->single, "id", ""), l->single);
	l->items[0].version = version;
	return 0;
}

int dead_letter_discard(struct search *search, const char *alias, const struct dead_letter *letter, struct err *err)
{
	_cleanup_free_ char *index = dead_letters_index(alias);

	if (search_delete_version(search, index, letter->id, &letter->version, err) < 0)
		return err_wrap(err, "deleting a dead letter of \"%s\"", alias);
	return 0;
}

int dead_letter_pages_begin(struct dead_letter_pages *l, struct search *search, const char *alias, struct err *err)
{
	_cleanup_free_ char *index = dead_letters_index(alias);
	_cleanup_json_ json_t *body =
		json_pack("{s:i, s:b, s:[s]}", "size", PAGE_LETTERS, "seq_no_primary_term", 1, "sort", "_doc");

	*l = (struct dead_letter_pages){0};
	if (scroll_begin(&l->scroll, search, index, body, err) == 0)
		take_dead_letter_page(l);
	else if (err->kind != ERR_NOT_FOUND)
		return err_wrap(err, "reading the dead letters of \"%s\"", alias);
	return 0;
}

int dead_letter_pages_next(struct dead_letter_pages *l, struct err *err)
{
	forget_page(l);
	if (!l->scroll.page)
		return 0;
	if (scroll_next(&l->scroll, err) < 0)
		return err_wrap(err, "reading dead letters");
	take_dead_letter_page(l);
	return 0;
}

void dead_letter_pages_end(struct dead_letter_pages *l)
{
	forget_page(l);
	scroll_end(&l->scroll);
	json_decref(TAKE_PTR(l->single));
}

/* --- decisions --- */

bool dead_letter_may_pass(const struct dead_letter *letter, const char *fingerprint)
{
	return strcmp(letter->fingerprint, fingerprint) != 0;
}

int64_t dead_letters_pause_ms(unsigned passes)
{
	int64_t pause = PAUSE_MS;

	if (!passes)
		return 0;
	while (--passes && pause < PAUSE_CAP_MS)
		pause *= 2;
	return pause < PAUSE_CAP_MS ? pause : PAUSE_CAP_MS;
}
