/* What a process that works for a tenant gives up before it learns a secret: a fault in it then gives access to its
 * memory and its connections, and to nothing else.
 *
 * Linux: prctl(2), setrlimit(2), landlock(7), seccomp(2). What the kernel does not have is left out.
 */
#ifndef PGSYNC_BASE_SANDBOX_H
#define PGSYNC_BASE_SANDBOX_H

enum sandbox_part {
	SANDBOX_PRIVILEGES = 1 << 0, /* no program that it starts has more of them (no_new_privs) */
	SANDBOX_MEMORY = 1 << 1,     /* no other process of the user reads its memory (not dumpable) */
	SANDBOX_LIMITS = 1 << 2,     /* address space and descriptors; the first to go when memory runs out */
	SANDBOX_FILES = 1 << 3,      /* reads configuration and libraries of the system, and nothing else of its files;
					writes and executes none */
	SANDBOX_CALLS =
		1 << 4, /* starts threads, but no processes and no programs, and reaches none; sends and
			   receives, but does not listen; and uses no part of the kernel that it does not need */
};
enum { SANDBOX_PARTS = 5 };

/* Gives up these parts, for good, for the calling thread and what it starts: call it before there are others. Returns
 * those that are in force. */
unsigned sandbox_enter(unsigned parts);
/* "privileges", "memory", "limits", "files", "calls", for one part. */
const char *sandbox_part_name(enum sandbox_part part);

#endif
