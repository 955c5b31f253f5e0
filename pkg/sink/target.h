/* The search engine of a spec, with its credentials. */
#ifndef PGSYNC_SINK_TARGET_H
#define PGSYNC_SINK_TARGET_H

#include "base/err.h"
#include "spec/spec.h"

struct http_target;

/* Caller frees. */
int sink_target(const struct spec_sink *sink, struct http_target **ret, struct err *err) WARN_UNUSED;

#endif
