/* What people look into while a worker runs: what a document would be now, and the checkpoint. Nothing is changed. */
#include "sessions/single.h"
#include "sync/attempt_int.h"

struct look {
	size_t document;
	const char *id;
	struct apply_single *ret;
};

static int read_document(struct attempt *at, void *user, struct err *err)
{
	const struct look *look = user;

	return connector_read_single(&at->connector, look->document, look->id, look->ret, err);
}

int sync_read_document(const struct sync_options *options, size_t document, const char *id, struct apply_single *ret,
		       struct err *err)
{
	*ret = (struct apply_single){0};
	return attempt_once(options, read_document, &(struct look){.document = document, .id = id, .ret = ret}, err);
}

static int read_checkpoint(struct attempt *at, void *user, struct err *err)
{
	struct checkpoint_store store;

	if (connector_sink(&at->connector, &at->sink, err) < 0)
		return err_wrap(err, "sink");
	search_set_timeout(at->sink.search, ATTEMPT_SINK_MS);
	store = attempt_store(at);
	return checkpoint_load(&store, at->run->key, user, err);
}

int sync_read_checkpoint(const struct sync_options *options, struct checkpoint *ret, struct err *err)
{
	*ret = (struct checkpoint){.seq_no = -1, .primary_term = -1};
	return attempt_once(options, read_checkpoint, ret, err);
}
