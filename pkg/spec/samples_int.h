/* For tests: PgSyncs as text. */
#ifndef PGSYNC_SPEC_SAMPLES_INT_H
#define PGSYNC_SPEC_SAMPLES_INT_H

#include <string.h>

#include "spec/spec.h"

#define MINIMAL_SOURCE "\"source\": {\"host\": \"postgres\", \"database\": \"bookstore\", \"user\": \"pgsync\"}"
#define MINIMAL_SINK "\"sink\": {\"urls\": [\"http://opensearch:9200\"]}"
#define MINIMAL_SCHEMA "\"schema\": [{\"index\": \"books\", \"nodes\": {\"table\": \"books\"}}]"
#define RESOURCE(spec) "{\"metadata\": {\"name\": \"books\", \"namespace\": \"shop\"}, \"spec\": {" spec "}}"
/* NULL if it is not JSON. */
static inline json_t *parse(const char *text)
{
	json_t *value = NULL;
	struct err err;

	return jsonx_parse(text, strlen(text), "test", &value, &err) < 0 ? NULL : value;
}

static inline struct spec *decode(const char *text, struct findings *f)
{
	_cleanup_json_ json_t *resource = parse(text);

	return spec_decode(resource, f);
}

static const char everything[] =
	"{\"apiVersion\": \"pgsync.io/v1alpha1\", \"kind\": \"PgSync\", \"metadata\": {\"name\": \"books\", "
	"\"namespace\": "
	"\"shop\", \"uid\": \"0A1b2c3d-4e5f\", \"labels\": {\"any\": \"thing\"}}, \"status\": {}, \"spec\": "
	"{\"source\": {"
	"\"searchPath\": [\"app\", \"extensions\"], \"host\": \"h\", \"port\": 6432, \"database\": \"d\", \"user\": "
	"\"u\", \"passwordSecretRef\": {\"name\": "
	"\"p\"}, "
	"\"tls\": {\"caSecretRef\": {\"name\": \"ca\"}}, \"replication\": {\"slotName\": \"slot_1\", "
	"\"publicationName\": "
	"\"Pub\", \"replicaIdentity\": \"Verify\", \"slotLostPolicy\": \"Stall\", \"failover\": true, "
	"\"maxRetainedWAL\": 8589934592}, \"limits\": {\"connections\": 6, \"statementTimeoutSeconds\": 30, "
	"\"snapshotAgeSeconds\": 20}}, \"sink\": "
	"{\"urls\": "
	"[\"https://a:9200\", \"http://b\"], \"authentication\": {\"type\": \"APIKey\", \"secretRef\": {\"name\": "
	"\"k\"}}, "
	"\"tls\": {\"caSecretRef\": {\"name\": \"ca\", \"key\": \"root.pem\"}, \"insecureSkipVerify\": true}, "
	"\"adoptExistingIndex\": true, \"bulk\": {\"maxBytes\": 65536, \"concurrency\": 3, \"flushMilliseconds\": 0}}, "
	"\"schema\": [{\"database\": \"d\", \"index\": \"i\", \"setting\": {\"number_of_shards\": 2}, \"mapping\": {}, "
	"\"pipeline\": \"p\", \"routing\": \"a\", \"plugins\": [], \"nodes\": {\"table\": \"t\", \"schema\": \"s\", "
	"\"columns\": [\"a\", \"b\", \"a\"], \"transform\": {}, \"children\": [{\"table\": \"c\", \"label\": \"l\", "
	"\"relationship\": {\"type\": \"one_to_one\", \"variant\": \"scalar\", \"through_tables\": [\"x.y\"], "
	"\"foreign_key\": {\"child\": [\"q\"], \"parent\": \"w\"}}}]}}], \"checkpoint\": {\"store\": \"Sink\"}, "
	"\"bootstrap\": {\"policy\": \"Never\", \"parallelism\": 4}, \"onError\": {\"policy\": \"Stall\"}, "
	"\"lagTargetSeconds\": 5, \"suspend\": true, \"resyncNonce\": 7, \"restartNonce\": 8, \"deletionPolicy\": "
	"{\"replicationSlot\": \"Retain\", \"publication\": \"Retain\", \"index\": \"Delete\", \"checkpoint\": "
	"\"Retain\"}, "
	"\"worker\": {\"placement\": \"Process\", \"resources\": {\"limits\": {}}}}}";

#endif
