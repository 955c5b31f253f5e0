/* Everything that can be checked before anything is changed, reported at once. */
#include <stdlib.h>
#include <string.h>

#include "apply/compile.h"
#include "source/checks.h"
#include "sync/attempt_int.h"
#include "sync/health_int.h"

/* --- reachability --- */

static void set_unreachable(struct attempt *at, enum condition_type type, const struct err *err)
{
	report_condition(&at->run->report, type, STATUS_FALSE, err->reason ? err->reason : REASON_UNREACHABLE, "%s",
			 err->msg);
}

/* A login was refused: names the Secret to correct. */
static void name_secret(struct err *err, const char *secret)
{
	if (secret && err->reason == REASON_AUTH_FAILED)
		err_append(err, "; the credentials come from Secret \"%s\"", secret);
}

static int reach_source(struct attempt *at, struct err *err)
{
	const struct spec_source *source = &at->run->spec->source;
	struct pg_slot slot;

	if (connector_source(&at->connector, CONNECTOR_SHORT, "control", &at->source, err) < 0) {
		name_secret(err, source->password_ref.name ? source->password_ref.name : source->connection_secret);
		set_unreachable(at, CONDITION_SOURCE_REACHABLE, err);
		return err_wrap(err, "source");
	}
	report_condition(&at->run->report, CONDITION_SOURCE_REACHABLE, STATUS_TRUE, REASON_CONNECTED,
			 "PostgreSQL %d.%d at %s:%d", pg_server_version(at->source.pg) / 10000,
			 pg_server_version(at->source.pg) % 10000, source->host, (int)source->port);
	/* The slot is checked even if the search engine is unreachable, because WAL accumulates meanwhile. */
	if (pg_slot_read(at->source.pg, source->slot_name, &slot, err) < 0)
		return err_wrap(err, "reading the slot");
	health_set_slot_condition(at->run, &slot);
	return health_limit_wal(at, &slot, err);
}

static int reach_sink(struct attempt *at, struct err *err)
{
	struct search_info info = {0};
	int r = connector_sink(&at->connector, &at->sink, err);

	/* An engine that cannot report its version quickly counts as down; other requests, such as creating an index,
	 * may take longer. */
	if (r == 0) {
		search_set_timeout(at->sink.search, ATTEMPT_SINK_MS);
		r = search_info(at->sink.search, &info, err);
		search_set_timeout(at->sink.search, 0);
	}
	if (r < 0) {
		name_secret(err, at->run->spec->sink.auth_secret.name);
		set_unreachable(at, CONDITION_SINK_REACHABLE, err);
		return err_wrap(err, "sink");
	}
	report_condition(&at->run->report, CONDITION_SINK_REACHABLE, STATUS_TRUE, REASON_CONNECTED, "%s %s",
			 info.flavour == SEARCH_OPENSEARCH ? "OpenSearch" : "Elasticsearch", info.version);
	return 0;
}

/* A login that Redis refuses is noticed before anything is changed. */
static int reach_redis(struct attempt *at, struct err *err)
{
	const struct checkpoint_store store = attempt_store(at);
	_cleanup_(redis_closep) struct redis *redis = NULL;

	if (!store.in_redis || redis_open(store.redis, &redis, err) == 0)
		return 0;
	name_secret(err, at->run->spec->redis.password.name);
	return err_wrap(err, "checkpoint");
}

/* The engine rejects every document if the pipeline does not exist. */
static int check_pipelines(struct attempt *at, struct findings *f, struct err *err)
{
	for (size_t i = 0; i < at->run->spec->n_documents; i++) {
		const struct schema_document *document = at->run->spec->documents[i];
		bool exists = false;

		if (!document->pipeline)
			continue;
		/* A login that may use the pipeline need not have permission to read it. */
		if (search_pipeline_exists(at->sink.search, document->pipeline, &exists, err) < 0) {
			if (err->kind != ERR_DENIED)
				return err_wrap(err, "looking for pipeline \"%s\"", document->pipeline);
		} else if (!exists) {
			findings_add(f, FINDING_ERROR, REASON_PIPELINE_MISSING, document->path,
				     "the search engine has no ingest pipeline \"%s\": create it", document->pipeline);
		}
	}
	return 0;
}

/* Tries both sides, so that the user sees both problems at once. If both fail, the source's error is returned. */
static int append_sink_err(struct err *err, int sink, const struct err *sink_err)
{
	char source_msg[ERR_MSG_BYTES];

	if (sink < 0) {
		memcpy(source_msg, err->msg, sizeof(source_msg));
		(void)snprintf(err->msg, sizeof(err->msg), "%.480s; %.480s", source_msg, sink_err->msg);
	}
	return -1;
}

/* A managed service may give this right by membership in another role instead of the attribute: so the server is
 * asked by trying. */
static int try_replication(struct attempt *at, struct checks_server *server, struct err *err)
{
	_cleanup_(pg_closep) struct pg *replication = NULL;
	struct pg_system ignored;

	/* Without a free sender, which is a separate finding, the server does not get to look at the role. */
	if (server->may_replicate || server->free_senders <= 0) {
		server->may_replicate = true;
		return 0;
	}
	server->may_replicate = connector_replication(&at->connector, &replication, err) == 0 &&
				pg_identify_system(replication, &ignored, err) == 0;
	if (server->may_replicate || err->reason == REASON_PRIVILEGE_MISSING)
		return 0;
	return err_wrap(err, "replication connection");
}

/* schema, server: where findings go. Sets the model only if every document compiled. 1: the server is a standby that
 * cannot be followed, and the schema was not checked. */
static int examine_source(struct attempt *at, struct findings *schema, struct findings *server, struct err *err)
{
	const struct spec *spec = at->run->spec;
	const struct compile_input documents = {.documents = spec->documents,
						.n = spec->n_documents,
						.format = &spec->document_format,
						.search_path = &spec->source.search_path};
	_cleanup_(compilation_release) struct compilation c = {0};
	struct checks_server facts;
	struct checks_subject subject;

	if (checks_read_server(&at->source, &facts, err) < 0 || try_replication(at, &facts, err) < 0)
		return -1;
	checks_server(&at->source, &facts, server);
	if (!checks_may_follow(&at->source, &facts))
		return 1;
	if (compile_documents(&documents, at->source.pg, &c, schema, err) < 0)
		return -1;
	subject = (struct checks_subject){.catalog = c.catalog, .tables = &c.tables, .named = c.named};
	if (checks_tables(&at->source, &facts, &subject, schema, err) < 0 ||
	    (c.complete && checks_published(&at->source, &c.tables, server, err) < 0))
		return -1;
	checks_views(&at->source, &facts, c.views, c.n_views, schema);
	if (c.complete)
		model_init_take(&at->model, &c);
	return 0;
}

static int check_both(struct attempt *at, bool has_sink, struct findings *schema, struct findings *server,
		      struct err *err)
{
	int r;

	spec_warn_about_transport(at->run->spec, schema);
	r = examine_source(at, schema, server, err);
	if (r < 0 || (has_sink && check_pipelines(at, schema, err) < 0))
		return -1;
	if (r == 0)
		report_schema(&at->run->report, schema);
	return 0;
}

/* Moves the earlier findings about the schema out of `findings`. */
static void split_findings(struct findings *schema, struct findings *findings)
{
	struct findings all = *findings;

	findings_init(findings);
	for (size_t i = 0; i < all.n; i++) {
		const struct finding *item = &all.items[i];
		bool side = finding_path_is_within(item->path, "spec.sink") ||
			    finding_path_is_within(item->path, "spec.source");

		findings_add_copy(side ? findings : schema, item);
	}
	findings_release(&all);
}

/* Connects to the sink, unless its part of the spec is invalid. */
static int connect_sink(struct attempt *at, const struct findings *findings, bool *ret_there, struct err *err)
{
	_cleanup_free_ char *why = findings_summary(findings, FINDING_ERROR, REPORT_MESSAGE_BYTES / 2);
	bool known = !findings_any_about(findings, "spec.sink") && !at->run->options->source_only;
	int r = known ? reach_sink(at, err) : 0;

	if (!known)
		report_condition(&at->run->report, CONDITION_SINK_REACHABLE, STATUS_UNKNOWN, REASON_NOT_CHECKED, "%s",
				 why);
	*ret_there = known && r == 0;
	return *ret_there ? reach_redis(at, err) : r;
}

int preflight(struct attempt *at, struct findings *findings, struct err *err)
{
	struct findings schema;
	struct err sink_err = {0};
	bool has_sink;
	int source, sink, r;

	findings_init(&schema);
	split_findings(&schema, findings);
	/* The source may take a while to answer, or never answer: until then, what an earlier attempt found there
	 * stays. */
	if (findings_failed(&schema) && report_status(&at->run->report, CONDITION_SCHEMA_ACCEPTED) == STATUS_UNKNOWN)
		report_schema(&at->run->report, &schema);
	source = reach_source(at, err);
	sink = connect_sink(at, findings, &has_sink, &sink_err);
	r = source < 0 ? append_sink_err(err, sink, &sink_err) : check_both(at, has_sink, &schema, findings, err);
	if (r == 0 && sink < 0) {
		*err = sink_err;
		r = -1;
	}
	findings_move(&schema, findings);
	findings_move(findings, &schema);
	return r;
}
