/* Allocation that cannot fail, and ownership by cleanup attributes.
 *
 * Small allocations abort when memory runs out; the process then restarts from its checkpoint. Anything sized by input
 * goes through a capped type (strbuf, cursor) instead, where crossing the cap is an error.
 */
#ifndef PGSYNC_BASE_MEM_H
#define PGSYNC_BASE_MEM_H

#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>

#include "base/err.h"

void *xmalloc(size_t size) __attribute__((malloc, returns_nonnull));
void *xcalloc(size_t count, size_t size) __attribute__((malloc, returns_nonnull));
void *xrealloc(void *ptr, size_t size) __attribute__((returns_nonnull));
void *xreallocarray(void *ptr, size_t count, size_t size) __attribute__((returns_nonnull));
void *xmemdup(const void *src, size_t size) __attribute__((returns_nonnull));
char *xstrdup(const char *s) __attribute__((returns_nonnull));
char *xstrndup(const char *s, size_t len) __attribute__((returns_nonnull));
char *xasprintf(const char *fmt, ...) PRINTF_LIKE(1, 2) __attribute__((returns_nonnull));
char *xvasprintf(const char *fmt, va_list ap) PRINTF_LIKE(1, 0) __attribute__((returns_nonnull));
/* NULL in, NULL out. */
char *xstrdup_or_null(const char *s);
/* *to becomes a copy of s, or NULL. */
void xreplace(char **to, const char *s);

#define ARRAY_SIZE(a) (sizeof(a) / sizeof((a)[0]))
#define UNUSED(x) ((void)(x))

/* Runs fn(&variable) when the variable leaves its scope. */
#define _cleanup_(fn) __attribute__((cleanup(fn)))

/* Defines `<fn>p`, the cleanup function of a type whose destructor is fn(T *) and accepts NULL. */
#define CLEANUP(type, fn)                    \
	static inline void fn##p(type **ptr) \
	{                                    \
		if (*ptr)                    \
			fn(*ptr);            \
	}                                    \
	struct cleanup_needs_a_semicolon

/* Moves a pointer: evaluates to its value and sets the variable to NULL. */
#define TAKE_PTR(ptr)                           \
	({                                      \
		__typeof__(ptr) taken_ = (ptr); \
		(ptr) = NULL;                   \
		taken_;                         \
	})

/* The cleanup functions of free (of any pointer), close (of a descriptor that is not negative) and fclose. */
void freep(void *ptr);
void close_fdp(int *fd);
void fclose_filep(FILE **file);

#define _cleanup_free_ _cleanup_(freep)
#define _cleanup_close_ _cleanup_(close_fdp)
#define _cleanup_fclose_ _cleanup_(fclose_filep)

/* Frees n strings and the array that holds them; NULL is fine. */
void free_strings(char **strings, size_t n);

/* Overwrites an allocation that held a secret, all of it, in a way the compiler may not drop, then frees it. NULL is
 * fine. */
void free_secret(void *secret);
CLEANUP(char, free_secret);

/* Makes room for `need` items in an array of `*alloc`, growing by half. */
#define ALLOC_GROW(array, need, alloc)                                               \
	do {                                                                         \
		if ((need) > (alloc)) {                                              \
			size_t want_ = (alloc) + (alloc) / 2 + 8;                    \
			(alloc) = want_ < (need) ? (need) : want_;                   \
			(array) = xreallocarray((array), (alloc), sizeof(*(array))); \
		}                                                                    \
	} while (0)

#endif
