/* Restrictions of a worker process. */
#include "base/sandbox.h"

#include <fcntl.h>
#include <linux/landlock.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/sandbox_int.h"

enum {
	DESCRIPTORS = 512,
	/* Enough for the largest bulk requests, and the stacks and arenas of threads: if a server sends more, that is
	 * an error in this process, and does not end its neighbours. */
	ADDRESS_SPACE_MIB = 1536,
};

/* The sanitizers reserve terabytes of addresses. */
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
enum { LIMIT_ADDRESS_SPACE = 0 };
#else
enum { LIMIT_ADDRESS_SPACE = 1 };
#endif

#define READ (LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_READ_DIR)
/* Of the first version of Landlock. */
#define WRITE                                                                                             \
	(LANDLOCK_ACCESS_FS_WRITE_FILE | LANDLOCK_ACCESS_FS_REMOVE_DIR | LANDLOCK_ACCESS_FS_REMOVE_FILE | \
	 LANDLOCK_ACCESS_FS_MAKE_CHAR | LANDLOCK_ACCESS_FS_MAKE_DIR | LANDLOCK_ACCESS_FS_MAKE_REG |       \
	 LANDLOCK_ACCESS_FS_MAKE_SOCK | LANDLOCK_ACCESS_FS_MAKE_FIFO | LANDLOCK_ACCESS_FS_MAKE_BLOCK |    \
	 LANDLOCK_ACCESS_FS_MAKE_SYM)

/* The resolver's files, CAs, time zones, libraries that the resolver loads, and the files about this process. A link
 * counts as its target. */
static const char *const of_system[] = {
	"/etc",       "/usr",      "/lib",      "/lib64",      "/etc/resolv.conf", "/etc/hosts",
	"/proc/self", "/dev/null", "/dev/zero", "/dev/random", "/dev/urandom",     "/sys/devices/system/cpu"};
/* Variables that name CAs to OpenSSL. */
static const char *const naming[] = {"SSL_CERT_FILE", "SSL_CERT_DIR"};

/* It does not matter whether a path exists and could be added: otherwise it cannot be read. */
static void allow(int ruleset, const char *path)
{
	_cleanup_close_ int fd = path ? open(path, O_PATH | O_CLOEXEC) : -1;
	struct landlock_path_beneath_attr rule = {.allowed_access = READ, .parent_fd = fd};

	if (fd < 0 || syscall(SYS_landlock_add_rule, ruleset, LANDLOCK_RULE_PATH_BENEATH, &rule, 0) == 0)
		return;
	/* Only a directory can be given the right to read directories. */
	rule.allowed_access = LANDLOCK_ACCESS_FS_READ_FILE;
	(void)syscall(SYS_landlock_add_rule, ruleset, LANDLOCK_RULE_PATH_BENEATH, &rule, 0);
}

static bool restrict_files(const char *readable)
{
	const struct landlock_ruleset_attr attr = {.handled_access_fs = READ | WRITE | LANDLOCK_ACCESS_FS_EXECUTE};
	_cleanup_close_ int ruleset = (int)syscall(SYS_landlock_create_ruleset, &attr, sizeof(attr), 0);

	if (ruleset < 0)
		return false;
	for (size_t i = 0; i < ARRAY_SIZE(of_system); i++)
		allow(ruleset, of_system[i]);
	for (size_t i = 0; i < ARRAY_SIZE(naming); i++)
		allow(ruleset, getenv(naming[i]));
	allow(ruleset, readable);
	return syscall(SYS_landlock_restrict_self, ruleset, 0) == 0;
}

static bool limit(int resource, rlim_t most)
{
	struct rlimit now;

	if (getrlimit(resource, &now) < 0)
		return false;
	now.rlim_max = now.rlim_max < most ? now.rlim_max : most;
	now.rlim_cur = now.rlim_max;
	return setrlimit(resource, &now) == 0;
}

/* Everyone may raise the score of their own process. */
static void offer_to_oom_killer(void)
{
	static const char score[] = "500";
	_cleanup_close_ int fd = open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC);

	if (fd >= 0 && write(fd, score, sizeof(score) - 1) < 0)
		return; /* a container may forbid it; the memory is still limited */
}

static bool set_limits(void)
{
	offer_to_oom_killer();
	return limit(RLIMIT_NOFILE, DESCRIPTORS) &&
	       (!LIMIT_ADDRESS_SPACE || limit(RLIMIT_AS, (rlim_t)ADDRESS_SPACE_MIB << 20));
}

unsigned sandbox_enter(unsigned parts, const char *readable)
{
	unsigned done = 0;

	if ((parts & SANDBOX_LIMITS) && set_limits())
		done |= SANDBOX_LIMITS;
	if ((parts & (SANDBOX_PRIVILEGES | SANDBOX_FILES | SANDBOX_CALLS)) &&
	    prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0)
		done |= SANDBOX_PRIVILEGES;
	/* Landlock and seccomp require no_new_privs. */
	if ((parts & SANDBOX_FILES) && (done & SANDBOX_PRIVILEGES) && restrict_files(readable))
		done |= SANDBOX_FILES;
	if ((parts & SANDBOX_CALLS) && (done & SANDBOX_PRIVILEGES) && sandbox_restrict_calls())
		done |= SANDBOX_CALLS;
	/* Last, because from then on the files in /proc/self belong to root. */
	if ((parts & SANDBOX_MEMORY) && prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) == 0)
		done |= SANDBOX_MEMORY;
	return done;
}

const char *sandbox_part_name(enum sandbox_part part)
{
	switch (part) {
	case SANDBOX_PRIVILEGES:
		return "privileges";
	case SANDBOX_MEMORY:
		return "memory";
	case SANDBOX_LIMITS:
		return "limits";
	case SANDBOX_FILES:
		return "files";
	case SANDBOX_CALLS:
		return "calls";
	}
	return "";
}
