/* The CPU time of a test. */
#include "fakes/cpu.h"

#include <time.h>

double thread_seconds(void)
{
	struct timespec now;

	(void)clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
	return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}
