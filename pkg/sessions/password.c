/* A password from a file or a program. */
#include "sessions/password.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/child.h"
#include "base/mem.h"
#include "base/strbuf.h"

enum { READ_BYTES = 1024 };

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

static int read_all(int fd, struct strbuf *text, struct err *err)
{
	for (;;) {
		char *to = strbuf_reserve(text, READ_BYTES);
		ssize_t n = to ? read(fd, to, READ_BYTES) : 0;

		if (n < 0)
			return err_errno(err, errno, "reading it");
		/* What is too much for the buffer is too much for a password. */
		if (n == 0)
			return 0;
		text->len += (size_t)n;
		text->data[text->len] = '\0';
	}
}

static int read_file(const char *path, struct strbuf *text, struct err *err)
{
	_cleanup_close_ int fd = open_file(path, err);

	return fd < 0 ? -1 : read_all(fd, text, err);
}

static int run_program(const struct jsonx_strings *command, int cancel_fd, struct strbuf *text, struct err *err)
{
	char **argv = xcalloc(command->n + 1, sizeof(*argv));
	int r;

	for (size_t i = 0; i < command->n; i++)
		argv[i] = xstrdup(command->items[i]);
	r = child_run(
		&(struct child_options){
			.what = "program", .argv = argv, .timeout_ms = PASSWORD_PROGRAM_MS, .cancel_fd = cancel_fd},
		text, err);
	free_strings(argv, command->n);
	return r;
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
	_cleanup_(strbuf_release) struct strbuf text;
	const struct jsonx_strings *command = &source->password_command;
	int r = 0;

	strbuf_init_secret(&text, PASSWORD_BYTES + READ_BYTES);
	if (source->password_file)
		r = read_file(source->password_file, &text, err);
	else if (command->n)
		r = run_program(command, cancel_fd, &text, err);
	else
		*ret = NULL;
	if (r == 0 && (source->password_file || command->n))
		r = check_password(&text, err);
	if (r == 0) {
		*ret = text.len ? strbuf_detach(&text) : NULL;
		return 0;
	}
	if (err->kind != ERR_CANCELLED && err->reason == REASON_NONE) {
		err->kind = ERR_DENIED;
		err->reason = REASON_CREDENTIALS_NOT_FOUND;
	}
	return err_wrap(err, "the password, from %s", source->password_file ? source->password_file : "a program");
}
