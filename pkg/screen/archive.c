/* A tar archive (POSIX ustar) of small files. */
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "screen/screen.h"

enum { BLOCK = 512 };

struct tar_header {
	char name[100], mode[8], uid[8], gid[8], size[12], mtime[12], checksum[8], type, link[100], magic[6],
		version[2], user[32], group[32], major[8], minor[8], prefix[155], padding[12];
};

_Static_assert(sizeof(struct tar_header) == BLOCK, "a header is one block");

static void put_octal(char *field, size_t size, unsigned long long value)
{
	char text[32];

	(void)snprintf(text, sizeof(text), "%0*llo", (int)size - 1, value);
	memcpy(field, text, size);
}

static void pad(struct strbuf *out, size_t len)
{
	static const char zeros[BLOCK];

	strbuf_add(out, zeros, (BLOCK - len % BLOCK) % BLOCK);
}

void archive_add(struct strbuf *out, const char *name, const char *data, size_t len, int64_t wall_us)
{
	struct tar_header header = {.type = '0', .magic = "ustar", .version = {'0', '0'}};
	unsigned sum = 0;

	(void)snprintf(header.name, sizeof(header.name), "%s", name);
	put_octal(header.mode, sizeof(header.mode), 0600);
	put_octal(header.uid, sizeof(header.uid), 0);
	put_octal(header.gid, sizeof(header.gid), 0);
	put_octal(header.size, sizeof(header.size), len);
	put_octal(header.mtime, sizeof(header.mtime), (unsigned long long)(wall_us / 1000000));
	/* The sum is that of a header with blanks in its place. */
	memset(header.checksum, ' ', sizeof(header.checksum));
	for (size_t i = 0; i < sizeof(header); i++)
		sum += ((const unsigned char *)&header)[i];
	put_octal(header.checksum, sizeof(header.checksum) - 1, sum);
	strbuf_add(out, &header, sizeof(header));
	strbuf_add(out, data, len);
	pad(out, len);
}

void archive_end(struct strbuf *out)
{
	static const char zeros[2 * BLOCK];

	strbuf_add(out, zeros, sizeof(zeros));
}
