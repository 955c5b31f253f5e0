/* Refreshes views before a bootstrap. */
#include "sessions/refresh.h"

#include "apply/snapshot.h"
#include "sessions/watcher.h"

static int refresh(struct snapshot *s, struct err *err)
{
	int64_t pause_ms;

	while (snapshot_refresh(s, NULL, err) < 0)
		if (snapshot_retry(s, &pause_ms, err) < 0 || pg_pause(s->pg, pause_ms, err) < 0)
			return -1;
	snapshot_done(s);
	return 0;
}

int connector_refresh(struct connector *c, const struct model *model, struct report *report, struct err *err)
{
	_cleanup_(pg_closep) struct pg *pg = NULL;
	_cleanup_(watcher_stopp) struct watcher *watcher = NULL;
	struct snapshot s;
	int r;

	if (connector_pg(c, CONNECTOR_UNLIMITED, "refresh", &pg, err) < 0 ||
	    snapshot_init(&s, model, pg, report, err) < 0 || watcher_start(c, &watcher, err) < 0)
		return -1;
	snapshot_watch(&s, NULL, c->precedences);
	r = refresh(&s, err);
	snapshot_release(&s);
	return r;
}
