/* Times in RFC 3339's form, as API servers and exec plugins write them. */
#ifndef PGSYNC_BASE_RFC3339_H
#define PGSYNC_BASE_RFC3339_H

#include <stdbool.h>
#include <stdint.h>

/* "2006-01-02T15:04:05[.fff]Z" or with a numeric offset, in microseconds since 1970. False: it is not such a time. */
bool rfc3339_parse(const char *text, int64_t *ret_us) __attribute__((warn_unused_result));

#endif
