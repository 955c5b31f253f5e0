/* What an attempt starts from, and its checkpoint. */
#include "sync/attempt_int.h"

/* What a spec says about Redis, as it is needed for connecting. */
static struct redis_server redis_of(struct attempt *at, const struct spec_redis *redis)
{
	return (struct redis_server){
		.host = redis->host,
		.port = (unsigned)redis->port,
		.database = (unsigned)redis->database,
		.tls = redis->tls,
		.ca_pem = redis->ca.value,
		.username = redis->username,
		.password = redis->password.value,
		.sentinels = (const char *const *)redis->sentinels.items,
		.n_sentinels = redis->sentinels.n,
		.cancelled = connector_is_cancelled,
		.user = &at->connector,
	};
}

int attempt_begin(struct attempt *at, struct run *run, struct carryover *past, struct err *err)
{
	const struct connector_options options = {.spec = run->spec,
						  .owner = run->owner,
						  .ca_path = run->ca_fd >= 0 ? run->ca_path : NULL,
						  .stop_fd = run->options->stop_fd};

	*at = (struct attempt){.run = run, .past = past, .cp = {.seq_no = -1, .primary_term = -1}};
	at->redis = redis_of(at, &run->spec->redis);
	return connector_init(&at->connector, &options, err);
}

void attempt_end(struct attempt *at)
{
	model_release(&at->model);
	checkpoint_release(&at->cp);
	at->cp = (struct checkpoint){0};
	pg_close(TAKE_PTR(at->source.pg));
	search_free(TAKE_PTR(at->sink.search));
	connector_release(&at->connector);
}

int attempt_once(const struct sync_options *options, int (*fn)(struct attempt *at, void *user, struct err *err),
		 void *user, struct err *err)
{
	struct carryover past = {0};
	struct attempt at;
	struct run run;
	int r = run_init(&run, options, err);

	if (r == 0) {
		r = attempt_begin(&at, &run, &past, err);
		if (r == 0)
			r = fn(&at, user, err);
		attempt_end(&at);
	}
	run_release(&run);
	return r;
}

struct checkpoint_index *attempt_index(const struct attempt *at, size_t plan)
{
	return checkpoint_find(&at->cp, at->model.plans[plan]->document->index);
}

struct checkpoint_store attempt_store(const struct attempt *at)
{
	return (struct checkpoint_store){
		.search = at->sink.search,
		.redis = at->redis.host ? &at->redis : NULL,
		.in_redis = at->redis.host && at->run->spec->checkpoint_store == SPEC_STORE_REDIS,
	};
}

int attempt_save(struct attempt *at, struct err *err)
{
	const struct checkpoint_store store = attempt_store(at);

	if (checkpoint_save(&store, at->run->key, &at->cp, err) < 0)
		return err_wrap(err, "saving the checkpoint");
	return 0;
}
