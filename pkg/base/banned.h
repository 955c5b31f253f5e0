/* Functions that this project does not use, as compile errors. Force-included into every file of the project.
 * Unbounded or locale-dependent parsing and copying: use struct cursor, strbuf, parse_u64 (base/parse.h) instead. */
#ifndef PGSYNC_BASE_BANNED_H
#define PGSYNC_BASE_BANNED_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#pragma GCC poison strcpy strcat strncpy strncat sprintf vsprintf strtok sscanf atoi atol atoll strtol strtoll
#pragma GCC poison localtime gmtime ctime asctime usleep system popen gets tmpnam mktemp

#endif
