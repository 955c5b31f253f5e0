/* The documents of a root that is a view. */
#include "apply/view.h"

#include "apply/resolve.h"

struct reading {
	const struct build *build;
	uint64_t *rows;
};

static int read_view_at_once(void *user, const struct page *page, struct err *err)
{
	const struct reading *reading = user;
	uint64_t rows = 0;

	UNUSED(page);
	if (build_range(reading->build, NULL, NULL, &rows, err) < 0)
		return -1;
	*reading->rows += rows;
	return 0;
}

static int read_page(void *user, const struct page *roots, struct err *err)
{
	const struct reading *reading = user;

	*reading->rows += roots->n;
	return build_roots(reading->build, roots, err);
}

static int read_by_key(struct reading *reading, struct err *err)
{
	const struct builder *with = reading->build->with;
	struct resolver resolver;
	const struct resolve all = {&resolver, reading->build->plan, read_page, reading};
	int r;

	resolver_init(&resolver, with->model, with->snapshot);
	r = resolve_all(&all, err);
	resolver_release(&resolver);
	return r;
}

static int read_view(const struct build *b, uint64_t *rows, struct err *err)
{
	struct reading reading = {b, rows};
	const struct page_task task = {
		.snapshot = b->with->snapshot, .savepoint = "pgsync_view", .run = read_view_at_once, .user = &reading};
	const struct page nothing = {0};
	int r = page_try(&task, &nothing, err);

	if (r < 0)
		return build_failed(b, err);
	return r > 0 ? read_by_key(&reading, err) : 0;
}

int view_build(const struct build *b, uint64_t *rows, struct err *err)
{
	struct snapshot *s = b->with->snapshot;
	int64_t limit_ms = s->statement_ms;

	if (snapshot_limit(s, 0, err) < 0 || read_view(b, rows, err) < 0)
		return -1;
	return snapshot_limit(s, limit_ms, err);
}
