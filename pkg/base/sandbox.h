/* Restrictions that a process working for a tenant puts on itself before it receives a secret: a vulnerability in it
 * then gives access only to its memory and its connections.
 *
 * Linux: prctl(2), setrlimit(2), landlock(7), seccomp(2). Parts that the kernel does not support are left out.
 */
#ifndef PGSYNC_BASE_SANDBOX_H
#define PGSYNC_BASE_SANDBOX_H

enum sandbox_part {
	SANDBOX_PRIVILEGES = 1 << 0, /* no program that it starts gains more privileges (no_new_privs) */
	SANDBOX_MEMORY = 1 << 1,     /* no other process of the user can read its memory (not dumpable) */
	SANDBOX_LIMITS = 1 << 2,     /* address space and descriptors; the first to go when memory runs out */
	SANDBOX_FILES = 1 << 3,      /* reads configuration and libraries of the system, and nothing else of its files;
					writes and executes none */
	SANDBOX_CALLS =
		1 << 4, /* starts threads, but no processes and no programs, and reaches none; sends and
			   receives, but does not listen; and uses no part of the kernel that it does not need */
};
enum { SANDBOX_PARTS = 5 };

/* Applies these restrictions permanently, to the calling thread and those that it starts: call it before other threads
 * start. readable: a directory that SANDBOX_FILES lets be read as well, or NULL. Returns those in force. */
unsigned sandbox_enter(unsigned parts, const char *readable);
/* The name of one part: "privileges", "memory", "limits", "files", "calls". */
const char *sandbox_part_name(enum sandbox_part part);

#endif
