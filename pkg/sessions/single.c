/* One document, on a connection for this alone. */
#include "sessions/single.h"

#include "apply/precedence.h"
#include "sessions/watcher.h"
#include "spec/spec.h"

enum { SINGLE_MS = 10000 };

/* Its only transaction gives way as those of the stream do, but the question is not asked again: people do that. */
static int read_watched(const struct connector *c, struct pg *pg, const struct compile_input *in, const char *id,
			struct apply_single *ret, struct err *err)
{
	_cleanup_(watcher_stopp) struct watcher *watcher = NULL;
	const struct limits limits = connector_limits(c);
	int64_t most_ms = limits_of_rows(&limits, 1);
	struct precedence precedence = {0};
	int r;

	if (most_ms <= 0 || most_ms > SINGLE_MS)
		most_ms = SINGLE_MS;
	if (watcher_start(c, &watcher, err) < 0)
		return -1;
	precedence_init(&precedence, c->precedences, pg_backend_pid(pg));
	precedence_begin(&precedence);
	r = apply_read_single(pg, in, id, most_ms, ret, err);
	if (r < 0 && pg_is_cancelled(err) && precedence_asked(&precedence))
		(void)err_reason(
			err, ERR_CONFLICT, REASON_TABLE_LOCKED,
			"another session waits for the tables that are read, so the document was not read to its "
			"end; try again when that session is done");
	precedence_end(&precedence);
	precedence_release(&precedence);
	return r;
}

int connector_read_single(const struct connector *c, size_t document, const char *id, struct apply_single *ret,
			  struct err *err)
{
	const struct spec *spec = c->options.spec;
	const struct compile_input in = {.documents = spec->documents + document,
					 .n = 1,
					 .format = &spec->document_format,
					 .search_path = &spec->source.search_path};
	struct pg *pg;
	int r;

	*ret = (struct apply_single){0};
	if (connector_pg(c, CONNECTOR_SHORT, "console", &pg, err) < 0)
		return err_wrap(err, "source");
	r = read_watched(c, pg, &in, id, ret, err);
	pg_close(pg);
	return r;
}
