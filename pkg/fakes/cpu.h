/* The CPU time of a test: other load on the machine does not count. */
#ifndef PGSYNC_FAKES_CPU_H
#define PGSYNC_FAKES_CPU_H

/* Of this thread, in seconds. */
double thread_seconds(void);

#endif
