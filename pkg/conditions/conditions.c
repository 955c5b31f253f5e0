/* Names in a status. */
#include "conditions/conditions.h"

#include "base/mem.h"

const char *condition_type_name(enum condition_type type)
{
	static const char *const names[CONDITION_N] = {
		[CONDITION_READY] = "Ready",
		[CONDITION_STALLED] = "Stalled",
		[CONDITION_DEGRADED] = "Degraded",
		[CONDITION_SOURCE_REACHABLE] = "SourceReachable",
		[CONDITION_SINK_REACHABLE] = "SinkReachable",
		[CONDITION_SCHEMA_ACCEPTED] = "SchemaAccepted",
		[CONDITION_BOOTSTRAP_COMPLETE] = "BootstrapComplete",
		[CONDITION_STREAMING] = "Streaming",
		[CONDITION_SLOT_HEALTHY] = "SlotHealthy",
		[CONDITION_PLANNED] = "Planned",
		[CONDITION_RECONCILING] = "Reconciling",
		[CONDITION_SUSPENDED] = "Suspended",
	};

	return names[type];
}

const char *condition_status_name(enum condition_status status)
{
	static const char *const names[] = {
		[STATUS_UNKNOWN] = "Unknown", [STATUS_FALSE] = "False", [STATUS_TRUE] = "True"};

	return names[status];
}

const char *phase_name(enum phase phase)
{
	static const char *const names[PHASE_N] = {
		[PHASE_PENDING] = "Pending",        [PHASE_BOOTSTRAPPING] = "Bootstrapping",
		[PHASE_CATCHING_UP] = "CatchingUp", [PHASE_STREAMING] = "Streaming",
		[PHASE_FAILED] = "Failed",          [PHASE_SUSPENDED] = "Suspended",
		[PHASE_DELETING] = "Deleting",      [PHASE_PLANNED] = "Planned",
	};

	return names[phase];
}
