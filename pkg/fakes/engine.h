/* For tests: a scripted search engine on its own threads. */
#ifndef PGSYNC_FAKES_ENGINE_H
#define PGSYNC_FAKES_ENGINE_H

#include <pthread.h>

#include "base/strbuf.h"

enum { FAKE_CONNECTIONS = 64 };

/* Confirms a request that changes something, whichever it is. */
#define FAKE_CONFIRMED                                                                                             \
	"{\"acknowledged\":true,\"result\":\"updated\",\"_seq_no\":1,\"_primary_term\":1,\"_shards\":{\"failed\":" \
	"0}}"

struct fake_engine;
struct fake_connection {
	struct fake_engine *engine;
	pthread_t thread;
	int fd;
};

/* Writes the answer's body and returns its status; 0 closes the connection without an answer. Called one at a time,
 * with the lock held: it may wait at a gate of this lock. */
typedef int fake_answer_fn(struct fake_engine *engine, const char *head, const char *body, struct strbuf *answer);

struct fake_engine {
	int fd;
	char url[64];
	fake_answer_fn *answer;
	void *user;
	const char *headers; /* more of them, each with its line end; or "" */
	pthread_t thread;
	pthread_mutex_t lock;
	struct fake_connection connections[FAKE_CONNECTIONS];
	unsigned n_connections, n_requests;
};

void fake_engine_start(struct fake_engine *engine, fake_answer_fn *answer, void *user);
void fake_engine_stop(struct fake_engine *engine);

#endif
