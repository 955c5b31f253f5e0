/* A password from a file or a program. */
#include "sessions/password.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/child.h"
#include "base/fd.h"
#include "base/mem.h"
#include "base/strbuf.h"

enum { LINE_BREAKS = 1024 }; /* bytes of them that are read besides a password */

/* A FIFO or a device could block, or never end. */
static int open_file(const char *path, struct err *err)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	struct stat about;

	if (fd < 0)
		return err_errno(err, errno, "opening it");
	if (fstat(fd, &about) == 0 && S_ISREG(about.st_mode))
		return fd;
	(void)close(fd);
	return err_set(err, ERR_INVALID, "it is not a regular file");
}

static int read_file(const char *path, struct strbuf *text, struct err *err)
{
	_cleanup_close_ int fd = open_file(path, err);

	if (fd < 0)
		return -1;
	return fd_read(fd, text) < 0 ? err_errno(err, errno, "reading it") : 0;
}

static int run_program(const struct jsonx_strings *command, int cancel_fd, struct strbuf *text, struct err *err)
{
	_cleanup_free_ char **argv = xcalloc(command->n + 1, sizeof(*argv));

	memcpy(argv, command->items, command->n * sizeof(*argv));
	return child_run(
		&(struct child_options){
			.what = "program", .argv = argv, .timeout_ms = PASSWORD_PROGRAM_MS, .cancel_fd = cancel_fd},
		text, err);
}

static int check_password(struct strbuf *text, struct err *err)
{
	size_t len = text->len;

	while (len && (text->data[len - 1] == '\n' || text->data[len - 1] == '\r'))
		len--;
	strbuf_truncate(text, len);
	if (len > PASSWORD_BYTES || !strbuf_ok(text))
		return err_set(err, ERR_LIMIT, "it is larger than %d bytes", PASSWORD_BYTES);
	if (!len)
		return err_set(err, ERR_INVALID, "it is empty");
	if (memchr(text->data, '\0', len))
		return err_set(err, ERR_INVALID, "it contains a NUL byte");
	return 0;
}

int password_read(const struct spec_source *source, int cancel_fd, char **ret, struct err *err)
{
	const struct jsonx_strings *command = &source->password_command;
	const char *file = source->password_file;
	_cleanup_(strbuf_release) struct strbuf text;
	int r;

	strbuf_init_secret(&text, PASSWORD_BYTES + LINE_BREAKS);
	*ret = NULL;
	if (!file && !command->n)
		return 0;
	r = file ? read_file(file, &text, err) : run_program(command, cancel_fd, &text, err);
	if (r == 0 && check_password(&text, err) == 0) {
		*ret = strbuf_detach(&text);
		return 0;
	}
	if (err->kind != ERR_CANCELLED && err->reason == REASON_NONE) {
		err->kind = ERR_DENIED;
		err->reason = REASON_CREDENTIALS_NOT_FOUND;
	}
	return err_wrap(err, "the password, from %s", file ? file : "a program");
}
