/* Decoder of a list answer.
 *
 * A scanner that knows only strings and brackets cuts the elements of the top level's "items" out of the text and hands
 * each to the JSON parser; the rest, with an empty "items", is parsed at the end. So the memory needed is that of one
 * object, not of a page of five hundred. metadata may come before or after the items: servers differ by kind.
 */
#include "kube/listing_int.h"

#include <stdbool.h>
#include <stdlib.h>

#include "base/strbuf.h"
#include "kube/kube_int.h"
#include "json/json.h"

/* Depths, counted in open brackets, at which something happens. */
enum { TOP = 1, ITEMS = 2, DEPTH_MAX = 2048 };

static const char ITEMS_KEY[] = "items";

struct kube_listing {
	struct strbuf frame; /* the text around the items */
	struct strbuf item;  /* the unfinished item */
	const char *const *as_text;
	unsigned depth;
	bool in_items; /* between the brackets of items */
	bool in_string, escaped;
	size_t matched;    /* how many characters of a top-level string match ITEMS_KEY */
	bool matches;      /* so far; when the string has ended: all of it */
	bool key_is_items; /* what comes next is the value of "items" */
};

struct kube_listing *kube_listing_new(size_t max_item, const char *const *as_text)
{
	struct kube_listing *listing = xcalloc(1, sizeof(*listing));

	listing->as_text = as_text;
	strbuf_init(&listing->frame, max_item);
	strbuf_init_secret(&listing->item, max_item);
	return listing;
}

void kube_listing_free(struct kube_listing *listing)
{
	if (!listing)
		return;
	strbuf_release(&listing->frame);
	strbuf_release(&listing->item);
	free(listing);
}

static void string_step(struct kube_listing *listing, char c)
{
	if (!listing->escaped && c == '"') {
		listing->in_string = false;
		listing->matches = listing->matches && listing->matched == sizeof(ITEMS_KEY) - 1;
		return;
	}
	if (listing->matched < sizeof(ITEMS_KEY) - 1 && ITEMS_KEY[listing->matched] == c)
		listing->matched++;
	else
		listing->matches = false;
	listing->escaped = !listing->escaped && c == '\\';
}

static void plain_step(struct kube_listing *listing, char c)
{
	bool top = listing->depth == TOP;

	switch (c) {
	case '"':
		listing->in_string = true;
		listing->matches = true;
		listing->matched = 0;
		break;
	case ':':
		if (top)
			listing->key_is_items = listing->matches;
		break;
	case ',':
		if (top)
			listing->key_is_items = false;
		break;
	case '{':
	case '[':
		listing->in_items = listing->in_items || (top && c == '[' && listing->key_is_items);
		listing->depth++;
		break;
	case '}':
	case ']':
		if (listing->depth > 0)
			listing->depth--;
		listing->in_items = listing->in_items && listing->depth >= ITEMS;
		break;
	default:
		break;
	}
}

/* Where a byte belongs. */
enum place { FRAME, SEPARATOR, ITEM, ITEM_END, STRAY };

static bool is_separator(char c)
{
	return c == ',' || c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

static enum place advance_char(struct kube_listing *listing, char c)
{
	bool was_in_items = listing->in_items;
	unsigned was_depth = listing->depth;

	if (listing->in_string)
		string_step(listing, c);
	else
		plain_step(listing, c);
	if (!was_in_items || !listing->in_items)
		return FRAME; /* with both brackets of items */
	if (was_depth > ITEMS)
		return listing->depth == ITEMS ? ITEM_END : ITEM;
	if (c == '{')
		return ITEM;
	return is_separator(c) ? SEPARATOR : STRAY;
}

static int append_capped(struct strbuf *sb, const char *data, size_t len, const char *what, struct err *err)
{
	strbuf_add(sb, data, len);
	if (!strbuf_ok(sb))
		return err_set(err, ERR_LIMIT, "%s of a list is larger than %zu bytes", what, sb->max);
	return 0;
}

static int emit_item(struct kube_listing *listing, void (*item)(void *user, json_t *object), void *user,
		     struct err *err)
{
	_cleanup_json_ json_t *object =
		kube_decode(listing->item.data, listing->item.len, NULL, listing->as_text, "an item of a list", err);

	strbuf_reset(&listing->item);
	if (!object)
		return -1;
	item(user, object);
	return 0;
}

int kube_listing_feed(struct kube_listing *listing, const char *data, size_t len,
		      void (*item)(void *user, json_t *object), void *user, struct err *err)
{
	size_t start = 0; /* of the run of bytes that belong to one place */
	enum place run = SEPARATOR;

	for (size_t i = 0; i <= len; i++) {
		enum place place = i < len ? advance_char(listing, data[i]) : SEPARATOR;
		bool ends = i == len || place != run;

		if (ends && run == FRAME &&
		    append_capped(&listing->frame, data + start, i - start, "the frame", err) < 0)
			return -1;
		if (ends && run == ITEM && append_capped(&listing->item, data + start, i - start, "an item", err) < 0)
			return -1;
		if (ends)
			start = i;
		run = place;
		if (place == STRAY)
			return err_set(err, ERR_FATAL, "a list has an item that is not an object");
		if (listing->depth > DEPTH_MAX)
			return err_set(err, ERR_FATAL, "a list is nested deeper than %d", DEPTH_MAX);
		if (place == ITEM_END && (append_capped(&listing->item, data + i, 1, "an item", err) < 0 ||
					  emit_item(listing, item, user, err) < 0))
			return -1;
	}
	return 0;
}

static bool is_list_kind(const json_t *frame)
{
	static const char suffix[] = "List";
	const char *kind = jsonx_string(frame, "kind", suffix);
	size_t len = strlen(kind);

	return len >= strlen(suffix) && !strcmp(kind + len - strlen(suffix), suffix);
}

int kube_listing_finish(struct kube_listing *listing, json_t **ret, struct err *err)
{
	_cleanup_json_ json_t *frame = NULL;
	const json_t *items;

	if (listing->item.len > 0)
		return err_set(err, ERR_FATAL, "a list ends within an item");
	frame = kube_decode(listing->frame.data, listing->frame.len, NULL, NULL, "a list", err);
	if (!frame)
		return -1;
	/* Whatever is not listed counts as deleted, so nothing else may pass for an empty list. */
	items = json_object_get(frame, "items");
	if ((!json_is_array(items) && !json_is_null(items)) || json_array_size(items) > 0 || !is_list_kind(frame))
		return err_set(err, ERR_FATAL, "the answer is not a list");
	*ret = TAKE_PTR(frame);
	return 0;
}
