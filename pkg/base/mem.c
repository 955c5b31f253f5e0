/* Allocation that cannot fail, and ownership by cleanup attributes. */
#include "base/mem.h"

#include <malloc.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static void out_of_memory(size_t size)
{
	char msg[64];
	int len = snprintf(msg, sizeof(msg), "out of memory allocating %zu bytes\n", size);

	if (write(STDERR_FILENO, msg, (size_t)len) < 0)
		abort();
	abort();
}

void *xmalloc(size_t size)
{
	void *ptr = malloc(size ? size : 1);

	if (!ptr)
		out_of_memory(size);
	return ptr;
}

void *xcalloc(size_t count, size_t size)
{
	void *ptr = calloc(count ? count : 1, size ? size : 1);

	if (!ptr)
		out_of_memory(size);
	return ptr;
}

void *xrealloc(void *ptr, size_t size)
{
	void *moved = realloc(ptr, size ? size : 1);

	if (!moved)
		out_of_memory(size);
	return moved;
}

void *xreallocarray(void *ptr, size_t count, size_t size)
{
	if (size && count > SIZE_MAX / size)
		out_of_memory(SIZE_MAX);
	return xrealloc(ptr, count * size);
}

void *xmemdup(const void *src, size_t size)
{
	void *copy = xmalloc(size);

	return size ? memcpy(copy, src, size) : copy;
}

char *xstrdup(const char *s)
{
	return xstrndup(s, strlen(s));
}

char *xstrndup(const char *s, size_t len)
{
	char *copy = xmalloc(len + 1);

	memcpy(copy, s, len);
	copy[len] = '\0';
	return copy;
}

char *xstrdup_or_null(const char *s)
{
	return s ? xstrdup(s) : NULL;
}

void xreplace(char **to, const char *s)
{
	char *copy = xstrdup_or_null(s);

	free(*to);
	*to = copy;
}

char *xvasprintf(const char *fmt, va_list ap)
{
	char *s = NULL;

	if (vasprintf(&s, fmt, ap) < 0)
		out_of_memory(0);
	return s;
}

char *xasprintf(const char *fmt, ...)
{
	va_list ap;
	char *s;

	va_start(ap, fmt);
	s = xvasprintf(fmt, ap);
	va_end(ap);
	return s;
}

void freep(void *ptr)
{
	free(*(void **)ptr);
}

void close_fdp(int *fd)
{
	if (*fd >= 0)
		(void)close(*fd);
}

void fclose_filep(FILE **file)
{
	if (*file)
		(void)fclose(*file);
}

void free_strings(char **strings, size_t n)
{
	if (!strings)
		return;
	for (size_t i = 0; i < n; i++)
		free(strings[i]);
	free(strings);
}

void free_secret(void *secret)
{
	if (!secret)
		return;
	explicit_bzero(secret, malloc_usable_size(secret));
	free(secret);
}
