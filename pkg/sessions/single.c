/* One document, on a connection for this alone. */
#include "sessions/single.h"

#include "spec/spec.h"

enum { SINGLE_MS = 10000 };

int connector_read_single(const struct connector *c, size_t document, const char *id, struct apply_single *ret,
			  struct err *err)
{
	const struct spec *spec = c->options.spec;
	const struct compile_input in = {.documents = spec->documents + document,
					 .n = 1,
					 .format = &spec->document_format,
					 .search_path = &spec->source.search_path};
	const struct limits limits = connector_limits(c);
	int64_t most_ms = limits_of_rows(&limits, 1);
	struct pg *pg;
	int r;

	*ret = (struct apply_single){0};
	if (connector_pg(c, CONNECTOR_SHORT, "console", &pg, err) < 0)
		return err_wrap(err, "source");
	if (most_ms <= 0 || most_ms > SINGLE_MS)
		most_ms = SINGLE_MS;
	r = apply_read_single(pg, &in, id, most_ms, ret, err);
	pg_close(pg);
	return r;
}
