/* Drives a fuzz target over the files of a corpus directory, so that every input ever found stays a test. */
#include <dirent.h>
#include <errno.h>
#include <stdint.h>

#include "base/mem.h"
#include "base/strbuf.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { INPUT_BYTES = 8 * 1024 * 1024 };

static int replay(const char *path)
{
	_cleanup_fclose_ FILE *file = fopen(path, "re");
	struct strbuf sb;
	char chunk[4096];
	size_t n;

	if (!file)
		return -1;
	strbuf_init(&sb, INPUT_BYTES);
	while ((n = fread(chunk, 1, sizeof(chunk), file)) > 0)
		strbuf_add(&sb, chunk, n);
	(void)LLVMFuzzerTestOneInput((const uint8_t *)sb.data, sb.len);
	strbuf_release(&sb);
	return 0;
}

int main(int argc, char **argv)
{
	DIR *dir = argc == 2 ? opendir(argv[1]) : NULL;
	struct dirent *entry;
	int files = 0;

	if (!dir) {
		(void)fprintf(stderr, "usage: %s CORPUS-DIRECTORY (%s)\n", argv[0], strerror(errno));
		return 2;
	}
	while ((entry = readdir(dir))) {
		_cleanup_free_ char *path = xasprintf("%s/%s", argv[1], entry->d_name);

		if (entry->d_name[0] != '.' && replay(path) == 0)
			files++;
	}
	(void)closedir(dir);
	(void)printf("%d inputs\n", files);
	return files ? 0 : 1;
}
