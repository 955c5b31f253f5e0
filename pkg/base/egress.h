/* Addresses that this process does not connect to, whatever a resource names.
 *
 * Set before there are threads, and never changed; nothing is denied before. What counts is the address that a name was
 * resolved to, at the moment of connecting: names may change what they mean.
 */
#ifndef PGSYNC_BASE_EGRESS_H
#define PGSYNC_BASE_EGRESS_H

#include <stdbool.h>

#include "base/err.h"

struct sockaddr;

/* What a list denies in addition: "169.254.0.0/16,fe80::/10,10.0.0.1:443,[fd00::1]:6443". An address with a port denies
 * that port alone. INVALID if the list cannot be read. */
int egress_deny(const char *list, struct err *err) WARN_UNUSED;
/* Whether a list can be read. */
int egress_check(const char *list, struct err *err) WARN_UNUSED;
/* Sockets of this machine's file system as well. */
void egress_deny_unix(void);

/* An IPv4-mapped IPv6 address counts as the IPv4 address. */
bool egress_is_denied(const struct sockaddr *address);
bool egress_unix_is_denied(void);

#endif
