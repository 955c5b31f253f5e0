/* What the name of a host says: that it is this machine, or a Service of Kubernetes. Pure: a name is judged as it is
 * written, and not resolved. */
#ifndef PGSYNC_BASE_HOST_H
#define PGSYNC_BASE_HOST_H

#include <stdbool.h>
#include <stddef.h>

/* True for "localhost", 127.0.0.0/8 and ::1, with or without brackets, and for such an IPv4 address as IPv6 maps it
 * (::ffff:127.0.0.1). Whatever else may lead here is not known to (127.1, localhost.example, a name in DNS). */
bool host_is_loopback(const char *host, size_t len);
/* The same for the host of a URL, which may have a user, a port and a path. */
bool host_of_url_is_loopback(const char *url);

/* A host that can be the name of a Service, without a namespace (postgres), as Pods in that namespace would look it up:
 * postgres.shop.svc. NULL for every other host (db.example, db.shop, localhost, an address). Caller frees. */
char *host_in_namespace(const char *host, const char *namespace);
/* The same for the host of a URL. */
char *host_of_url_in_namespace(const char *url, const char *namespace);

#endif
