/* A run: options, report, and the caller's callbacks. */
#include "sync/run_int.h"

#include <stdarg.h>
#include <stdlib.h>
#include <unistd.h>

#include "postgres/pg.h"

int run_init(struct run *run, const struct sync_options *options, struct err *err)
{
	const struct spec *spec = options->spec;

	*run = (struct run){.options = options, .spec = spec, .ca_fd = -1};
	(void)pthread_mutex_init(&run->callbacks, NULL);
	report_init(&run->report);
	run->metrics = meters_new(options->metrics);
	run->owner = xasprintf("%s/%s", spec->namespace, spec->name);
	run->key = spec_checkpoint_key(spec);
	if (!spec->source.ca.value)
		return 0;
	run->ca_fd = pg_ca_file(spec->source.ca.value, run->ca_path, err);
	return run->ca_fd < 0 ? -1 : 0;
}

void run_release(struct run *run)
{
	close_fdp(&run->ca_fd);
	free(run->owner);
	free(run->key);
	meters_free(run->metrics);
	report_release(&run->report);
	(void)pthread_mutex_destroy(&run->callbacks);
}

void run_publish(struct run *run)
{
	json_t *json = report_json(&run->report);

	(void)pthread_mutex_lock(&run->callbacks);
	if (run->options->report)
		run->options->report(run->options->user, json);
	(void)pthread_mutex_unlock(&run->callbacks);
	json_decref(json);
}

void run_event(struct run *run, bool warning, enum reason reason, const char *action, const char *fmt, ...)
{
	_cleanup_free_ char *note = NULL;
	va_list ap;

	if (!run->options->event)
		return;
	va_start(ap, fmt);
	note = xvasprintf(fmt, ap);
	va_end(ap);
	(void)pthread_mutex_lock(&run->callbacks);
	run->options->event(run->options->user, warning, reason, action, note);
	(void)pthread_mutex_unlock(&run->callbacks);
}
