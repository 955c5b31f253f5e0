/* Amounts as people read them, rounded down to one unit. */
#ifndef PGSYNC_BASE_AMOUNT_H
#define PGSYNC_BASE_AMOUNT_H

#include <stdint.h>

enum { AMOUNT_BYTES = 24 };
/* "512B", "1.5KiB", "16MiB"; written into buf, which is returned. */
const char *amount_of_bytes(uint64_t bytes, char buf[AMOUNT_BYTES]);
/* "5s", "12m", "3h", "4d"; a unit begins at two of it, as in kubectl's AGE. Negative: "0s". */
const char *amount_of_time(int64_t seconds, char buf[AMOUNT_BYTES]);

#endif
