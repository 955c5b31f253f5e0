/* Decoder of a watch stream: newline-separated JSON frames {"type": ..., "object": {...}}. */
#include "kube/kube.h"

#include <assert.h>
#include <stdlib.h>

#include "base/strbuf.h"
#include "kube/kube_int.h"
#include "json/json.h"

struct kube_frames {
	struct strbuf partial; /* the beginning of a frame whose end has not arrived yet */
};

struct kube_frames *kube_frames_new(size_t max_frame)
{
	struct kube_frames *frames = xcalloc(1, sizeof(*frames));

	strbuf_init(&frames->partial, max_frame);
	return frames;
}

void kube_frames_free(struct kube_frames *frames)
{
	if (!frames)
		return;
	strbuf_release(&frames->partial);
	free(frames);
}

json_t *kube_decode(const char *text, size_t len, const char *what, struct err *err)
{
	json_error_t problem;
	/* A NUL is legal in a JSON string: one such object must not make its whole collection unreadable. */
	json_t *value = json_loadb(text, len, JSON_ALLOW_NUL, &problem);

	/* The parser's message quotes the text, which may be a Secret's. */
	if (!value)
		(void)err_set(err, ERR_FATAL, "%s of %zu bytes is not JSON, at byte %d", what, len, problem.position);
	return value;
}

static int decode_frame(const char *text, size_t len, void (*event)(void *user, const char *type, json_t *object),
			void *user, struct err *err)
{
	_cleanup_json_ json_t *frame = NULL;
	const char *type;
	json_t *object;

	if (len > 0 && text[len - 1] == '\r')
		len--;
	if (len == 0)
		return 0;
	frame = kube_decode(text, len, "a watch frame", err);
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
		return decode_frame(data, len, event, user, err);
	if (append_partial(frames, data, len, err) < 0)
		return -1;
	r = decode_frame(frames->partial.data, frames->partial.len, event, user, err);
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
