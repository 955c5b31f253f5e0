/* Addresses that this process does not connect to, whatever a resource names.
 *
 * Set before threads start, and never changed; until then nothing is denied. The address at the moment of connecting
 * counts, since a name may resolve to another one at any time. */
#ifndef PGSYNC_BASE_EGRESS_H
#define PGSYNC_BASE_EGRESS_H

#include <stdbool.h>

#include "base/err.h"

struct sockaddr;

/* Adds addresses to deny: "169.254.0.0/16,fe80::/10,10.0.0.1:443,[fd00::1]:6443". An address with a port denies that
 * port alone. INVALID if the list cannot be read. */
int egress_deny(const char *list, struct err *err) WARN_UNUSED;
/* Whether a list can be read. */
int egress_check(const char *list, struct err *err) WARN_UNUSED;
/* Also denies Unix-domain sockets. */
void egress_deny_unix(void);

/* An IPv4-mapped IPv6 address counts as the IPv4 address. */
bool egress_is_denied(const struct sockaddr *address);
bool egress_unix_is_denied(void);

#endif
