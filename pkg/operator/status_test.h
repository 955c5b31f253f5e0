/* What the tests of statuses share. */
#ifndef PGSYNC_OPERATOR_STATUS_TEST_H
#define PGSYNC_OPERATOR_STATUS_TEST_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "json/json.h"

static inline json_t *parse(const char *text)
{
	json_t *value = NULL;
	struct err err;

	if (jsonx_parse(text, strlen(text), "the test's text", &value, &err) < 0)
		fail_msg("%s", err.msg);
	return value;
}

/* A worker that streams. */
static inline json_t *streaming_report(void)
{
	return parse(
		"{\"phase\": \"Streaming\", \"conditions\": ["
		"{\"type\": \"Ready\", \"status\": \"True\", \"reason\": \"Streaming\", \"message\": \"data flows\"},"
		"{\"type\": \"Degraded\", \"status\": \"False\", \"reason\": \"AsExpected\", \"message\": \"\"},"
		"{\"type\": \"SourceReachable\", \"status\": \"True\", \"reason\": \"Connected\", \"message\": \"\"},"
		"{\"type\": \"SinkReachable\", \"status\": \"True\", \"reason\": \"Connected\", \"message\": \"\"},"
		"{\"type\": \"SchemaAccepted\", \"status\": \"True\", \"reason\": \"Accepted\", \"message\": \"\"},"
		"{\"type\": \"BootstrapComplete\", \"status\": \"True\", \"reason\": \"Complete\", \"message\": \"\"},"
		"{\"type\": \"Streaming\", \"status\": \"True\", \"reason\": \"Attached\", \"message\": \"\"},"
		"{\"type\": \"SlotHealthy\", \"status\": \"True\", \"reason\": \"Reserved\", \"message\": \"\"}],"
		"\"bootstrap\": {\"progress\": \"100%\", \"rowsDone\": 25},"
		"\"stream\": {\"slotName\": \"books\", \"slotState\": \"Active\", \"lag\": \"0s\", \"lagSeconds\": 0,"
		" \"lagBytes\": 8, \"confirmedFlushLSN\": \"0/10\", \"retainedWALBytes\": 16777216},"
		"\"indices\": [{\"name\": \"books\", \"physicalName\": \"books-g1\", \"documentCount\": 25}]}");
}

#endif
