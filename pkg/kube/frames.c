/* Decoder of a watch stream: newline-separated JSON frames {"type": ..., "object": {...}}. */
#include "kube/kube.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/strbuf.h"
#include "kube/kube_int.h"
#include "json/json.h"

struct kube_frames {
	struct strbuf partial; /* the beginning of a frame whose end has not arrived yet */
	const char *const *as_text;
};

struct kube_frames *kube_frames_new(size_t max_frame, const char *const *as_text)
{
	struct kube_frames *frames = xcalloc(1, sizeof(*frames));

	strbuf_init_secret(&frames->partial, max_frame);
	frames->as_text = as_text;
	return frames;
}

void kube_frames_free(struct kube_frames *frames)
{
	if (!frames)
		return;
	strbuf_release(&frames->partial);
	free(frames);
}

/* A value that is not parsed. */
struct part {
	const char *path, *text;
	size_t len;
};

/* Finds the values at the paths within a text, in the order of the text. */
static size_t find_parts(const char *text, size_t len, const char *const *paths, struct part parts[KUBE_TEXTS])
{
	size_t n = 0;

	for (; paths && *paths; paths++) {
		struct part part = {.path = *paths};
		size_t at = n;

		if (!jsonx_find_text(text, len, *paths, &part.text, &part.len))
			continue;
		assert(n < KUBE_TEXTS);
		for (; at > 0 && parts[at - 1].text > part.text; at--)
			parts[at] = parts[at - 1];
		parts[at] = part;
		n++;
	}
	return n;
}

/* The JSON text with null for the parts. */
static char *without(const char *text, size_t len, const struct part *parts, size_t n, size_t *ret_len)
{
	static const char nothing[] = "null";
	const char *from = text, *end = text + len;
	char *rest = xmalloc(len + n * strlen(nothing)), *to = rest;

	for (size_t i = 0; i < n; i++) {
		to = mempcpy(to, from, (size_t)(parts[i].text - from));
		to = mempcpy(to, nothing, strlen(nothing));
		from = parts[i].text + parts[i].len;
	}
	to = mempcpy(to, from, (size_t)(end - from));
	*ret_len = (size_t)(to - rest);
	return rest;
}

/* False: the path does not exist, or the text is not UTF-8. */
static bool put_part(json_t *value, const struct part *part)
{
	const char *dot = strrchr(part->path, '.');
	_cleanup_free_ char *parent = dot ? xstrndup(part->path, (size_t)(dot - part->path)) : NULL;

	if (parent)
		value = jsonx_get(value, parent);
	return json_object_set_new(value, dot ? dot + 1 : part->path, json_stringn(part->text, part->len)) == 0;
}

static bool put_parts(json_t *value, const struct part *parts, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (!put_part(value, &parts[i]))
			return false;
	return true;
}

json_t *kube_decode(const char *text, size_t len, const char *within, const char *const *as_text, const char *what,
		    struct err *err)
{
	struct part parts[KUBE_TEXTS];
	const char *object = text;
	size_t n = 0, object_len = len, rest_len;
	_cleanup_free_ char *rest = NULL;
	json_error_t problem;
	json_t *value;

	if (!within || jsonx_find_text(text, len, within, &object, &object_len))
		n = find_parts(object, object_len, as_text, parts);
	rest = without(text, len, parts, n, &rest_len);
	/* A NUL is legal in a JSON string: one such object must not make its whole collection unreadable. */
	value = json_loadb(rest, rest_len, JSON_ALLOW_NUL, &problem);
	/* The parser's message quotes the text, which may be a Secret's. */
	if (!value)
		(void)err_set(err, ERR_FATAL, "%s of %zu bytes is not JSON, at byte %d", what, len, problem.position);
	else if (put_parts(within ? json_object_get(value, within) : value, parts, n))
		return value;
	else
		(void)err_set(err, ERR_FATAL, "%s of %zu bytes is not JSON within a value", what, len);
	json_decref(value);
	return NULL;
}

static int decode_frame(const struct kube_frames *frames, const char *text, size_t len,
			void (*event)(void *user, const char *type, json_t *object), void *user, struct err *err)
{
	_cleanup_json_ json_t *frame = NULL;
	const char *type;
	json_t *object;

	if (len > 0 && text[len - 1] == '\r')
		len--;
	if (len == 0)
		return 0;
	frame = kube_decode(text, len, "object", frames->as_text, "a watch frame", err);
	if (!frame)
		return -1;
	type = json_string_value(json_object_get(frame, "type"));
	object = json_object_get(frame, "object");
	if (!type || !json_is_object(object))
		return err_set(err, ERR_FATAL, "a watch frame has no %s", type ? "object" : "type");
	event(user, type, object);
	return 0;
}

/* Appends to the unfinished frame. */
static int append_partial(struct kube_frames *frames, const char *data, size_t len, struct err *err)
{
	strbuf_add(&frames->partial, data, len);
	if (strbuf_ok(&frames->partial))
		return 0;
	strbuf_reset(&frames->partial);
	return err_set(err, ERR_LIMIT, "a watch frame is larger than %zu bytes", frames->partial.max);
}

static int finish_frame(struct kube_frames *frames, const char *data, size_t len,
			void (*event)(void *user, const char *type, json_t *object), void *user, struct err *err)
{
	int r;

	if (frames->partial.len == 0 && len <= frames->partial.max)
		return decode_frame(frames, data, len, event, user, err);
	if (append_partial(frames, data, len, err) < 0)
		return -1;
	r = decode_frame(frames, frames->partial.data, frames->partial.len, event, user, err);
	strbuf_reset(&frames->partial);
	return r;
}

int kube_frames_feed(struct kube_frames *frames, const char *data, size_t len,
		     void (*event)(void *user, const char *type, json_t *object), void *user, struct err *err)
{
	while (len > 0) {
		const char *end = memchr(data, '\n', len);
		size_t n = end ? (size_t)(end - data) : len;

		if (!end)
			return append_partial(frames, data, n, err);
		if (finish_frame(frames, data, n, event, user, err) < 0)
			return -1;
		data += n + 1;
		len -= n + 1;
	}
	return 0;
}
