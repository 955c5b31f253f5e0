/* What workers do not connect to. */
#include <netdb.h>
#include <stdlib.h>
#include <string.h>

#include "base/egress.h"
#include "base/log.h"
#include "base/strbuf.h"
#include "operator/operator_int.h"

enum { LIST_BYTES = 64 * 1024, ADDRESS_BYTES = 64 };

static void add_entry(struct strbuf *list, const char *address, const char *port)
{
	bool brackets = *port && strchr(address, ':');

	strbuf_addf(list, "%s%s%s%s%s%s", list->len ? "," : "", brackets ? "[" : "", address, brackets ? "]" : "",
		    *port ? ":" : "", port);
}

/* Workers compare addresses, since a resource may name any that leads there. */
static void add_addresses(struct strbuf *list, const char *host, const char *port)
{
	const struct addrinfo hints = {.ai_socktype = SOCK_STREAM};
	struct addrinfo *found = NULL;
	int rc = getaddrinfo(host, NULL, &hints, &found);

	if (rc != 0)
		log_warn("operator",
			 "the name of the API server cannot be resolved; workers may connect to it, skipping it",
			 KV_STR("host", host), KV_STR("error", gai_strerror(rc)));
	for (const struct addrinfo *a = rc == 0 ? found : NULL; a; a = a->ai_next) {
		char address[ADDRESS_BYTES];

		if (getnameinfo(a->ai_addr, a->ai_addrlen, address, sizeof(address), NULL, 0, NI_NUMERICHOST) == 0)
			add_entry(list, address, port);
	}
	if (rc == 0)
		freeaddrinfo(found);
}

char *operator_denied_egress(const char *given, const char *server)
{
	_cleanup_free_ char *host = xstrndup(server, strcspn(server, "/"));
	struct err not_an_address;
	struct strbuf list;
	char *colon;

	strbuf_init(&list, LIST_BYTES);
	strbuf_adds(&list, given);
	if (egress_check(host, &not_an_address) == 0) {
		add_entry(&list, host, "");
		return strbuf_detach(&list);
	}
	colon = strrchr(host, ':');
	if (colon)
		*colon = '\0';
	add_addresses(&list, host, colon ? colon + 1 : "");
	return strbuf_detach(&list);
}
