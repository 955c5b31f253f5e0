/* The metrics that Prometheus expects of every process, from /proc (man 5 proc). */
#include <dirent.h>
#include <fcntl.h>
#include <string.h>

#include "base/clock.h"
#include "base/parse.h"
#include "metrics/metrics.h"
#include "metrics/metrics_int.h"

enum { STAT_BYTES = 1024, STAT_START_TIME = 22 };

/* The first bytes of a small file of /proc; "" when it cannot be read. */
static void read_proc(const char *path, char buf[STAT_BYTES])
{
	_cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n = fd >= 0 ? read(fd, buf, STAT_BYTES - 1) : 0;

	buf[n > 0 ? n : 0] = '\0';
}

/* The n-th word from 1 as a number, 0 when it is none. */
static double word_number(const char *s, int n)
{
	uint64_t value = 0;

	for (int i = 1; i < n; i++) {
		s += strcspn(s, " ");
		s += strspn(s, " ");
	}
	return parse_u64(s, strcspn(s, " \n"), &value) ? (double)value : 0;
}

/* Seconds since 1970 at which this process began. */
static double start_time(void)
{
	char buf[STAT_BYTES];
	const char *after_name;
	double ticks;

	read_proc("/proc/self/stat", buf);
	/* The second word is the program's name, which may contain blanks and brackets. */
	after_name = strrchr(buf, ')');
	if (!after_name || !after_name[1])
		return 0;
	ticks = word_number(after_name + 2, STAT_START_TIME - 2);
	return (double)(clock_wall_us() - clock_now_us()) / 1e6 + ticks / (double)sysconf(_SC_CLK_TCK);
}

static double resident_bytes(void)
{
	char buf[STAT_BYTES];

	read_proc("/proc/self/statm", buf);
	return word_number(buf, 2) * (double)sysconf(_SC_PAGESIZE);
}

static double cpu_seconds(void)
{
	struct timespec ts = {0};

	(void)clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &ts);
	return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

static double open_fds(void)
{
	DIR *dir = opendir("/proc/self/fd");
	const struct dirent *entry;
	int n = 0;

	if (!dir)
		return 0;
	while ((entry = readdir(dir)))
		if (entry->d_name[0] != '.')
			n++;
	(void)closedir(dir);
	return n - 1; /* not the directory's own */
}

void metrics_enable_process(struct metrics *m)
{
	metrics_lock(m);
	m->start_time = start_time();
	m->with_process = true;
	metrics_unlock(m);
}

void metrics_refresh_process(struct metrics *m)
{
	double began;
	bool enabled;

	metrics_lock(m);
	enabled = m->with_process;
	began = m->start_time;
	metrics_unlock(m);
	if (!enabled)
		return;
	metric_set(metrics_gauge(m, "process_resident_memory_bytes", "Resident memory size in bytes.", NULL), NULL,
		   resident_bytes());
	metric_set(metrics_counter(m, "process_cpu_seconds_total", "User and system CPU time spent in seconds.", NULL),
		   NULL, cpu_seconds());
	metric_set(metrics_gauge(m, "process_open_fds", "Number of open file descriptors.", NULL), NULL, open_fds());
	metric_set(metrics_gauge(m, "process_start_time_seconds",
				 "Start time of the process in seconds since the Unix epoch.", NULL),
		   NULL, began);
}
