/* A text that the server sends as long as it likes: the log of a container. */
#include <stdlib.h>

#include "base/clock.h"
#include "kube/kube_int.h"

struct kube_stream {
	struct kube *kube;
	struct kube_target *target;
	struct http_call *call;
	char *path;
	void (*data)(void *user, const char *data, size_t len);
	kube_stream_end_fn *end;
	void *user;
	int64_t started_us;
};

static void free_stream(void *ptr)
{
	struct kube_stream *stream = ptr;

	kube_target_put(stream->target);
	free(stream->path);
	free(stream);
}

void kube_stream_stop(struct kube_stream *stream)
{
	if (!stream)
		return;
	http_cancel(TAKE_PTR(stream->call));
	kube_free_later(stream->kube, stream, free_stream);
}

static bool on_stream_data(void *user, const char *data, size_t len)
{
	struct kube_stream *stream = user;

	stream->data(stream->user, data, len);
	return true;
}

static void on_stream_end(void *user, const struct http_response *response, const struct err *err)
{
	struct kube_stream *stream = user;
	kube_stream_end_fn *end = stream->end;
	void *ends_for = stream->user;
	struct err refusal = {0};

	stream->call = NULL;
	kube_observe(stream->kube, "GET", response ? response->status : 0, stream->started_us);
	if (response && response->status >= 300)
		(void)kube_status_err(response, "GET", stream->path, &refusal);
	kube_stream_stop(stream);
	end(ends_for, refusal.kind != ERR_NONE ? &refusal : err);
}

struct kube_stream *kube_stream(struct kube *kube, const char *path,
				void (*data)(void *user, const char *data, size_t len), kube_stream_end_fn *end,
				void *user)
{
	struct kube_stream *stream = xcalloc(1, sizeof(*stream));
	struct http_request request = {.method = "GET", .accept = "*/*", .on_data = on_stream_data, .user = stream};

	stream->kube = kube;
	stream->path = xstrdup(path);
	stream->data = data;
	stream->end = end;
	stream->user = user;
	stream->started_us = clock_now_us();
	stream->target = kube_target_get(kube, KUBE_USE_GENERAL);
	request.path = stream->path;
	stream->call = http_start(kube->http, stream->target->http, &request, on_stream_end, stream);
	return stream;
}
