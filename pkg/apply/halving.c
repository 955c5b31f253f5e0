/* Retry by halving. */
#include "apply/halving.h"

/* If it fails without any item, no item is the cause. */
static int fail_alone(const struct halving *h, uint64_t item, const struct err *why, struct err *err)
{
	int r = h->attempt(h->user, item, item, err);

	if (r)
		return -1;
	return h->failed_alone(h->user, item, why, err);
}

int halving_run(const struct halving *h, uint64_t from, uint64_t to, struct err *err)
{
	struct err why = {0};
	uint64_t middle;
	int r;

	if (from >= to)
		return 0;
	r = h->attempt(h->user, from, to, &why);
	if (r < 0)
		*err = why;
	if (r <= 0)
		return r;
	if (to - from == 1)
		return fail_alone(h, from, &why, err);
	middle = from + (to - from) / 2;
	return halving_run(h, from, middle, err) < 0 ? -1 : halving_run(h, middle, to, err);
}
