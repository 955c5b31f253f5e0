/* The CPU time of a test: other load on the machine does not count. */
#ifndef PGSYNC_FAKES_CPU_H
#define PGSYNC_FAKES_CPU_H

/* How much a sanitizer slows down this project's code, compared with libraries. */
#if defined(__SANITIZE_THREAD__)
enum { SLOWDOWN = 6 };
#elif defined(__SANITIZE_ADDRESS__)
enum { SLOWDOWN = 2 };
#else
enum { SLOWDOWN = 1 };
#endif

/* Of this thread, in seconds. */
double thread_seconds(void);

#endif
