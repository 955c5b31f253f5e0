/* Writes that cannot be done, or that the API server accepts only in part, and how that is reported. */
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/map.h"
#include "operator/operator_int.h"
#include "operator/status_int.h"

enum { MISSING_BYTES = 500 };

/* --- fields that the CRD does not have */

struct missing {
	struct map *seen; /* each element of an array lacks the same fields */
	struct strbuf text;
};

static void add_missing_path(struct missing *m, const char *path)
{
	if (map_gets(m->seen, path))
		return;
	map_puts(m->seen, path, m);
	strbuf_addf(&m->text, "%s%s", m->text.len ? ", " : "", path);
}

static void add_missing(struct missing *m, const json_t *sent, const json_t *stored, const char *path)
{
	const char *key;
	json_t *value;
	size_t i;

	json_object_foreach ((json_t *)sent, key, value) {
		_cleanup_free_ char *at = xasprintf("%s.%s", path, key);
		const json_t *there = json_object_get(stored, key);

		if (there)
			add_missing(m, value, there, at);
		else
			add_missing_path(m, at);
	}
	json_array_foreach (sent, i, value)
		if (json_array_get(stored, i))
			add_missing(m, value, json_array_get(stored, i), path);
}

char *status_missing(const json_t *sent, const json_t *stored)
{
	struct missing m = {.seen = map_new(NULL)};

	strbuf_init(&m.text, MISSING_BYTES);
	add_missing(&m, sent, stored, "status");
	map_free(m.seen);
	if (m.text.len)
		return strbuf_detach(&m.text);
	strbuf_release(&m.text);
	return NULL;
}

/* --- reporting */

static const char *const refusals[] = {
	[WRITE_FINALIZERS] = "cannot write the finalizers",
	[WRITE_STATUS] = "cannot write the status",
	[WRITE_ANNOTATIONS] = "cannot write the annotations",
	[WRITE_POD] = "cannot make the pod",
	[WRITE_POD_END] = "cannot delete the pod",
};

static void note_refusal(struct resource *r, bool refused)
{
	if (refused != (r->writer.refused != NULL))
		r->op->published.refused += refused ? 1 : UINT_MAX;
	metric_set(r->op->metrics.writes_refused, (const char *const[]){r->namespace, r->name, NULL}, refused);
}

void resource_forget_refusal(struct resource *r)
{
	note_refusal(r, false);
	resource_replace_text(&r->writer.refused, NULL);
}

/* Whether a write that failed like this fails again until an administrator acts. */
static bool refuses_until_granted(const struct err *err)
{
	return err->kind == ERR_DENIED || err->kind == ERR_INVALID || err->kind == ERR_LIMIT;
}

void resource_write_refused(struct resource *r, enum write write, const struct err *err)
{
	struct resource_writer *w = &r->writer;
	_cleanup_free_ char *why = xstrdup(err->msg);

	/* A status of a newer operator may have fields that an older CRD does not know, and then server-side apply
	 * refuses it whole (with code 500). A patch that replaces the status loses only these fields. */
	if (!w->replace && write == WRITE_STATUS && (err->code == 500 || err->code == 422 || err->code == 400)) {
		w->replace = true;
		return;
	}
	/* The same failure again does not need another event. */
	if (!refuses_until_granted(err) || (w->refused && strcmp(w->refused, why) == 0))
		return;
	w->refusal_shown = false;
	note_refusal(r, true);
	resource_event(r, true, REASON_WRITE_REFUSED, "Write", "%s: %s", refusals[write], why);
	resource_replace_text(&w->refused, TAKE_PTR(why));
	w->refused_write = write;
}

void resource_written(struct resource *r, enum write write)
{
	/* That a status can be written does not mean that finalizers can. */
	if (!r->writer.refused || r->writer.refused_write != write)
		return;
	resource_forget_refusal(r);
	log_info("operator", "what could not be written is written now", KV_STR("resource", r->key));
}

void resource_nothing_to_write(struct resource *r)
{
	enum write write = r->writer.refused_write;

	r->pod.waits_since_ms = 0;
	if (r->writer.refused && (write == WRITE_FINALIZERS || write == WRITE_POD || write == WRITE_POD_END))
		resource_forget_refusal(r);
}

/* "": not known. */
static void hash_status(const json_t *status, char hash[JSONX_HASH_BYTES])
{
	if (status)
		(void)jsonx_hash(status, hash);
	else
		(void)snprintf(hash, JSONX_HASH_BYTES, "none");
}

void resource_status_stored(struct resource *r, const json_t *sent, const json_t *stored)
{
	struct resource_writer *w = &r->writer;
	char *missing = stored ? status_missing(sent, stored) : NULL;

	w->stored_hash[0] = '\0';
	if (stored)
		hash_status(stored, w->stored_hash);
	if (missing && (!w->missing || strcmp(w->missing, missing) != 0))
		resource_event(r, true, REASON_CRD_OUTDATED, "Write",
			       "the CRD pgsyncs.pgsync.io is older than this operator and has no %s; apply the CRD of "
			       "this release",
			       missing);
	/* Once the CRD knows every field, server-side apply works again. */
	w->replace = missing != NULL;
	resource_replace_text(&w->missing, missing);
}

/* --- statuses that another client has changed */

enum { RESTORE_MS = 10 * 1000 };

void resource_status_taken(struct resource *r, const json_t *status)
{
	hash_status(status, r->writer.seen_hash);
	memcpy(r->writer.stored_hash, r->writer.seen_hash, sizeof(r->writer.stored_hash));
}

void resource_status_seen(struct resource *r, const json_t *status)
{
	hash_status(status, r->writer.seen_hash);
	/* What the watch reports may be older than what was written last. If nothing newer follows for a while, it is
	 * current. */
	if (strcmp(r->writer.seen_hash, r->writer.stored_hash) != 0)
		workqueue_add_after(r->op->queue, r->key, clock_now_ms(), RESTORE_MS);
}

int64_t resource_status_restore_ms(const struct resource *r)
{
	const struct resource_writer *w = &r->writer;

	return w->stored_hash[0] && strcmp(w->seen_hash, w->stored_hash) != 0 ? w->last_ms + RESTORE_MS : 0;
}
