/* The limits of bulk writers. */
#include "sink/sink.h"

struct bulk_options sink_bulk_options(const struct sink *sink)
{
	return (struct bulk_options){
		.max_bytes = sink->bulk_max_bytes,
		.concurrency = sink->bulk_concurrency,
		.retry_ms = SINK_RETRY_MS,
		.hold_ms = SINK_HOLD_MS,
	};
}
