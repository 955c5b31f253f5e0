/* Output: nothing that a terminal would act on comes from a server, a file or an argument. */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/mem.h"
#include "base/terminal.h"
#include "base/utf8.h"

enum { SEQUENCE_BYTES = 4, BLOCK_BYTES = 4096 };

/* One escaped character, or the character. NULs too: len counts. */
static void print_character(FILE *to, const char *text, size_t len, bool lines)
{
	size_t n = utf8_sequence(text, len);
	unsigned c = n ? utf8_code_point(text, n) : (unsigned char)*text;

	if (!n)
		(void)fprintf(to, "\\x%02x", c);
	else if (utf8_acts_on_terminals(c) && !(lines && (c == '\n' || c == '\t')))
		(void)fprintf(to, "\\u%04x", c);
	else
		(void)fwrite(text, 1, n, to);
}

void terminal_print(FILE *to, const char *text)
{
	for (size_t left = strlen(text), n; left; text += n, left -= n) {
		n = utf8_sequence(text, left);
		n = n ? n : 1;
		print_character(to, text, n, false);
	}
}

/* --- standard output and standard error */

struct guard {
	int fd;
	char rest[SEQUENCE_BYTES]; /* the beginning of a character */
	size_t n_rest;
};

static void add_byte(struct guard *guard, FILE *to, char byte)
{
	guard->rest[guard->n_rest++] = byte;
	while (guard->n_rest && guard->n_rest >= utf8_length(guard->rest[0])) {
		size_t n = utf8_sequence(guard->rest, guard->n_rest);

		n = n ? n : 1;
		print_character(to, guard->rest, n, true);
		guard->n_rest -= n;
		memmove(guard->rest, guard->rest + n, guard->n_rest);
	}
}

static ssize_t write_guarded(void *cookie, const char *data, size_t len)
{
	struct guard *guard = cookie;
	char *safe = NULL;
	size_t safe_len = 0;
	FILE *to = open_memstream(&safe, &safe_len);
	int r;

	if (!to)
		return 0;
	for (size_t i = 0; i < len; i++)
		add_byte(guard, to, data[i]);
	r = fclose(to) == 0 ? fd_write(guard->fd, safe, safe_len) : -1;
	free(safe);
	/* stdio takes 0 for an error. */
	return r < 0 ? 0 : (ssize_t)len;
}

static void guard_stream(FILE **stream, struct guard *guard, int mode)
{
	FILE *guarded = fopencookie(guard, "w", (cookie_io_functions_t){.write = write_guarded});

	if (!guarded)
		abort();
	(void)setvbuf(guarded, NULL, mode, BLOCK_BYTES);
	*stream = guarded;
}

void terminal_guard(void)
{
	static struct guard out = {.fd = STDOUT_FILENO}, err = {.fd = STDERR_FILENO};

	guard_stream(&stdout, &out, isatty(STDOUT_FILENO) ? _IOLBF : _IOFBF);
	guard_stream(&stderr, &err, _IOLBF);
}
