/* What people look into while a worker runs: what a document would be now, and the checkpoint. Nothing is changed. */
#include "apply/single.h"
#include "sync/attempt_int.h"

enum { LOOK_MS = 10000 };

struct look {
	size_t document;
	const char *id;
	struct sync_document *ret;
};

static int read_document(struct attempt *at, void *user, struct err *err)
{
	const struct look *look = user;
	const struct spec *spec = at->run->spec;
	const struct compile_input in = {.documents = spec->documents + look->document,
					 .n = 1,
					 .format = &spec->document_format,
					 .search_path = &spec->source.search_path};
	const struct limits limits = connector_limits(&at->connector);
	int64_t most_ms = limits_of_rows(&limits, 1);
	struct apply_single single;

	if (connector_source(&at->connector, CONNECTOR_SHORT, "console", &at->source, err) < 0)
		return err_wrap(err, "source");
	if (most_ms <= 0 || most_ms > LOOK_MS)
		most_ms = LOOK_MS;
	if (apply_read_single(at->source.pg, &in, look->id, most_ms, &single, err) < 0)
		return -1;
	*look->ret = (struct sync_document){.text = single.text, .lsn = single.lsn};
	return 0;
}

int sync_read_document(const struct sync_options *options, size_t document, const char *id, struct sync_document *ret,
		       struct err *err)
{
	*ret = (struct sync_document){0};
	return attempt_once(options, read_document, &(struct look){.document = document, .id = id, .ret = ret}, err);
}

static int read_checkpoint(struct attempt *at, void *user, struct err *err)
{
	struct sync_checkpoint *ret = user;
	struct checkpoint_store store;

	if (connector_sink(&at->connector, &at->sink, err) < 0)
		return err_wrap(err, "sink");
	search_set_timeout(at->sink.search, ATTEMPT_SINK_MS);
	store = attempt_store(at);
	if (checkpoint_load(&store, at->run->key, &at->cp, err) < 0)
		return err_wrap(err, "loading the checkpoint");
	ret->in_redis = at->cp.in_redis;
	ret->lost = at->cp.lost;
	ret->content = checkpoint_encode(&at->cp);
	return 0;
}

int sync_read_checkpoint(const struct sync_options *options, struct sync_checkpoint *ret, struct err *err)
{
	*ret = (struct sync_checkpoint){0};
	return attempt_once(options, read_checkpoint, ret, err);
}
