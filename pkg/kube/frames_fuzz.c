/* Fuzz target: a watch stream and a list, in pieces of any size, decode to the same events as in one piece. */
#include <stdlib.h>
#include <string.h>

#include "kube/kube.h"
#include "kube/listing_int.h"
#include "json/json.h"

enum { MAX_FRAME = 64 * 1024 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* A running hash of the output. */
static void mix(uint64_t *hash, const char *text)
{
	for (; *text; text++)
		*hash = (*hash ^ (unsigned char)*text) * 0x100000001B3U;
	*hash = (*hash ^ 0xFF) * 0x100000001B3U;
}

static void on_object(void *user, json_t *object)
{
	_cleanup_free_ char *text = jsonx_canonical(object);

	mix(user, text);
}

static void on_event(void *user, const char *type, json_t *object)
{
	mix(user, type);
	on_object(user, object);
}

static bool feed_frames(const char *data, size_t size, size_t piece, const char *const *texts, uint64_t *hash)
{
	_cleanup_(kube_frames_freep) struct kube_frames *frames = kube_frames_new(MAX_FRAME, texts);
	struct err err;

	for (size_t at = 0; at < size; at += piece) {
		size_t n = size - at < piece ? size - at : piece;

		if (kube_frames_feed(frames, data + at, n, on_event, hash, &err) < 0)
			return false;
	}
	return true;
}

static bool feed_listing(const char *data, size_t size, size_t piece, uint64_t *hash)
{
	_cleanup_(kube_listing_freep) struct kube_listing *listing = kube_listing_new(MAX_FRAME, NULL);
	_cleanup_json_ json_t *frame = NULL;
	struct err err;

	for (size_t at = 0; at < size; at += piece) {
		size_t n = size - at < piece ? size - at : piece;

		if (kube_listing_feed(listing, data + at, n, on_object, hash, &err) < 0)
			return false;
	}
	if (kube_listing_finish(listing, &frame, &err) < 0)
		return false;
	on_object(hash, frame);
	return true;
}

/* The frames of the whole text according to the JSON parser; false: the scanner need not understand it. */
static bool parse_listing(const char *data, size_t size, uint64_t *hash)
{
	_cleanup_json_ json_t *whole = json_loadb(data, size, JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL, NULL);
	json_t *items = json_object_get(whole, "items"), *item;
	const char *kind = jsonx_string(whole, "kind", "List");
	size_t at, kind_len = strlen(kind);

	if (!json_is_object(whole) || memchr(data, '\\', size) || size > MAX_FRAME)
		return false;
	if ((!json_is_array(items) && !json_is_null(items)) || kind_len < 4 || strcmp(kind + kind_len - 4, "List") != 0)
		return false;
	json_array_foreach (items, at, item) {
		if (!json_is_object(item))
			return false;
		on_object(hash, item);
	}
	if (json_is_array(items))
		(void)json_array_clear(items);
	on_object(hash, whole);
	return true;
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
	static const char *const kept[] = {"metadata.labels", "data", "spec", NULL};
	const char *data = (const char *)bytes;
	size_t piece = size ? (size_t)bytes[size - 1] % 16 + 1 : 1;
	uint64_t whole = 0, pieces = 0, parsed = 0;
	bool ok;

	for (size_t i = 0; i < 2; i++) {
		const char *const *texts = i ? kept : NULL;

		whole = pieces = 0;
		ok = feed_frames(data, size, size + 1, texts, &whole);
		if (feed_frames(data, size, piece, texts, &pieces) != ok || whole != pieces)
			abort();
	}
	whole = pieces = 0;
	ok = feed_listing(data, size, size + 1, &whole);
	if (feed_listing(data, size, piece, &pieces) != ok || (ok && whole != pieces))
		abort();
	if (parse_listing(data, size, &parsed) && (!ok || parsed != whole))
		abort();
	return 0;
}
