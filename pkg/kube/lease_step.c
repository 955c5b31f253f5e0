/* The pure part of an election: records, and what to do about them (client-go, tools/leaderelection). */
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "kube/lease_int.h"
#include "json/json.h"

static void copy_text(char *to, size_t size, const char *from)
{
	(void)snprintf(to, size, "%s", from);
}
#define COPY(to, from) copy_text((to), sizeof(to), (from))

void lease_record_decode(const json_t *object, struct lease_record *ret)
{
	*ret = (struct lease_record){
		.duration_seconds = jsonx_integer(object, "spec.leaseDurationSeconds", 0),
		.transitions = jsonx_integer(object, "spec.leaseTransitions", 0),
	};
	COPY(ret->holder, jsonx_string(object, "spec.holderIdentity", ""));
	COPY(ret->acquire_time, jsonx_string(object, "spec.acquireTime", ""));
	COPY(ret->renew_time, jsonx_string(object, "spec.renewTime", ""));
	COPY(ret->resource_version, jsonx_string(object, "metadata.resourceVersion", ""));
}

static void set_lease_time(json_t *spec, const char *key, const char *time)
{
	if (time[0])
		(void)json_object_set_new(spec, key, json_string(time));
	else
		(void)json_object_del(spec, key);
}

json_t *lease_record_encode(const struct lease_record *record, const json_t *base, const char *namespace,
			    const char *name)
{
	json_t *object = base ? json_deep_copy(base) : json_object();
	json_t *metadata = json_object_get(object, "metadata"), *spec = json_object_get(object, "spec");

	if (!json_is_object(metadata)) {
		metadata = json_object();
		(void)json_object_set_new(object, "metadata", metadata);
	}
	if (!json_is_object(spec)) {
		spec = json_object();
		(void)json_object_set_new(object, "spec", spec);
	}
	(void)json_object_set_new(object, "apiVersion", json_string("coordination.k8s.io/v1"));
	(void)json_object_set_new(object, "kind", json_string("Lease"));
	(void)json_object_set_new(metadata, "namespace", json_string(namespace));
	(void)json_object_set_new(metadata, "name", json_string(name));
	(void)json_object_del(metadata, "managedFields");
	if (record->resource_version[0])
		(void)json_object_set_new(metadata, "resourceVersion", json_string(record->resource_version));
	(void)json_object_set_new(spec, "holderIdentity", json_string(record->holder));
	(void)json_object_set_new(spec, "leaseDurationSeconds", json_integer(record->duration_seconds));
	(void)json_object_set_new(spec, "leaseTransitions", json_integer(record->transitions));
	set_lease_time(spec, "acquireTime", record->acquire_time);
	set_lease_time(spec, "renewTime", record->renew_time);
	return object;
}

bool lease_record_differs(const struct lease_record *a, const struct lease_record *b)
{
	return strcmp(a->holder, b->holder) != 0 || a->duration_seconds != b->duration_seconds ||
	       a->transitions != b->transitions || strcmp(a->acquire_time, b->acquire_time) != 0 ||
	       strcmp(a->renew_time, b->renew_time) != 0;
}

void lease_observe(struct lease_state *state, const struct lease_record *record, int64_t now_ms)
{
	if (!state->exists || lease_record_differs(&state->record, record))
		state->observed_ms = now_ms;
	state->exists = true;
	state->record = *record;
}

void lease_see(struct lease_state *state, const json_t *object, int64_t now_ms)
{
	struct lease_record record;

	lease_record_decode(object, &record);
	lease_observe(state, &record, now_ms);
}

int64_t lease_expires_ms(const struct lease_state *state, const char *identity)
{
	const struct lease_record *record = &state->record;

	/* An edited record may contain anything; a day is longer than any sensible duration. */
	int64_t seconds = record->duration_seconds < 0 ? 0 : record->duration_seconds;

	if (seconds > 24 * 60 * 60)
		seconds = 24 * 60 * 60;
	if (!state->exists || !record->holder[0] || strcmp(record->holder, identity) == 0)
		return 0;
	if (state->predecessor && strncmp(record->holder, state->predecessor, strlen(state->predecessor)) == 0)
		return 0;
	return state->observed_ms + seconds * 1000;
}

enum lease_action lease_step(const struct lease_state *state, const char *identity, int64_t duration_ms, int64_t now_ms,
			     int64_t now_wall_us, struct lease_record *ret_next)
{
	struct lease_record next = {0};
	char now[CLOCK_RFC3339_BYTES];

	if (lease_expires_ms(state, identity) > now_ms)
		return LEASE_WAIT;
	(void)clock_rfc3339_micro(now_wall_us, now);
	if (state->exists)
		next = state->record;
	if (!state->exists) {
		COPY(next.acquire_time, now);
	} else if (strcmp(next.holder, identity) != 0) {
		COPY(next.acquire_time, now);
		next.transitions++;
	}
	COPY(next.holder, identity);
	COPY(next.renew_time, now);
	next.duration_seconds = (duration_ms + 999) / 1000;
	*ret_next = next;
	return state->exists ? LEASE_UPDATE : LEASE_CREATE;
}

void lease_released(const struct lease_record *record, int64_t now_wall_us, struct lease_record *ret)
{
	char now[CLOCK_RFC3339_BYTES];

	(void)clock_rfc3339_micro(now_wall_us, now);
	*ret = *record;
	ret->holder[0] = '\0';
	ret->duration_seconds = 1; /* the API refuses 0 */
	COPY(ret->acquire_time, now);
	COPY(ret->renew_time, now);
}
