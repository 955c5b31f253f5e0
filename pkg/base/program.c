/* Programs that are installed together. */
#include "base/program.h"

#include <limits.h>
#include <string.h>
#include <unistd.h>

#include "base/mem.h"

char *program_beside(const char *name)
{
	char self[PATH_MAX];
	ssize_t len = readlink("/proc/self/exe", self, sizeof(self) - 1);

	if (len < 0)
		return NULL;
	self[len] = '\0';
	return xasprintf("%.*s/%s", (int)(strrchr(self, '/') - self), self, name);
}
