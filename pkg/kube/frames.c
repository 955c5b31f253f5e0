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
	char *as_text;         /* a path in the frame, or NULL */
};

struct kube_frames *kube_frames_new(size_t max_frame, const char *as_text)
{
	struct kube_frames *frames = xcalloc(1, sizeof(*frames));

	strbuf_init_secret(&frames->partial, max_frame);
	frames->as_text = as_text ? xasprintf("object.%s", as_text) : NULL;
	return frames;
}

void kube_frames_free(struct kube_frames *frames)
{
	if (!frames)
		return;
	strbuf_release(&frames->partial);
	free(frames->as_text);
	free(frames);
}

/* The JSON text with null for the value at `part`. */
static char *without(const char *text, size_t len, const char *part, size_t part_len, size_t *ret_len)
{
	static const char nothing[] = "null";
	size_t before = (size_t)(part - text), after = len - before - part_len;
	char *rest = xmalloc(before + strlen(nothing) + after);
	char *to = mempcpy(rest, text, before);

	to = mempcpy(to, nothing, strlen(nothing));
	(void)memcpy(to, part + part_len, after);
	*ret_len = before + strlen(nothing) + after;
	return rest;
}

/* Puts the text at the path. False: the path does not exist, or the text is not UTF-8. */
static bool put_text(json_t *value, const char *path, const char *text, size_t len)
{
	const char *dot = strrchr(path, '.');
	_cleanup_free_ char *parent = dot ? xstrndup(path, (size_t)(dot - path)) : NULL;

	if (parent)
		value = jsonx_get(value, parent);
	return json_object_set_new(value, dot ? dot + 1 : path, json_stringn(text, len)) == 0;
}

json_t *kube_decode(const char *text, size_t len, const char *as_text, const char *what, struct err *err)
{
	_cleanup_free_ char *rest = NULL;
	const char *part = NULL;
	size_t part_len = 0, rest_len = 0;
	json_error_t problem;
	json_t *value;

	if (as_text && jsonx_find_text(text, len, as_text, &part, &part_len))
		rest = without(text, len, part, part_len, &rest_len);
	/* A NUL is legal in a JSON string: one such object must not make its whole collection unreadable. */
	value = json_loadb(rest ? rest : text, rest ? rest_len : len, JSON_ALLOW_NUL, &problem);
	/* The parser's message quotes the text, which may be a Secret's. */
	if (!value)
		(void)err_set(err, ERR_FATAL, "%s of %zu bytes is not JSON, at byte %d", what, len, problem.position);
	else if (!rest || put_text(value, as_text, part, part_len))
		return value;
	else
		(void)err_set(err, ERR_FATAL, "%s of %zu bytes is not JSON within %s", what, len, as_text);
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
	frame = kube_decode(text, len, frames->as_text, "a watch frame", err);
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
