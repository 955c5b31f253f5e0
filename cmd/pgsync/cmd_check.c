/* pgsync validate and pgsync plan: what is wrong, and what would be done; neither changes anything. */
#include "base/strbuf.h"
#include "cmd.h"
#include "sync/sync.h"

enum { PLAN_BYTES = 16 * 1024 * 1024 };

/* Reads the file, goes on with `then` if nothing is wrong with it, and prints everything that was found. */
static int check(int argc, char **argv,
		 int (*then)(const char *file, const struct input *input, struct findings *findings, struct err *err))
{
	struct input input = {0};
	struct common_flags flags;
	struct findings findings;
	struct err err = {0};
	int code = flags_parse(argc, argv, "f", &flags);

	if (code >= 0)
		return code;
	findings_init(&findings);
	code = EXIT_OK;
	if (input_read(flags.file, &input, &findings, &err) < 0 ||
	    (!findings_failed(&findings) && then(flags.file, &input, &findings, &err) < 0)) {
		(void)fprintf(stderr, "pgsync %s: %s\n", argv[0], err.msg);
		code = EXIT_FAILED;
	}
	print_findings(&findings);
	if (findings_failed(&findings))
		code = EXIT_FAILED;
	findings_release(&findings);
	input_release(&input);
	return code;
}

static int say_valid(const char *file, const struct input *input, struct findings *findings, struct err *err)
{
	UNUSED(input);
	UNUSED(findings);
	UNUSED(err);
	(void)printf("%s: valid\n", file);
	return 0;
}

int cmd_validate(int argc, char **argv)
{
	return check(argc, argv, say_valid);
}

static int plan(const char *file, const struct input *input, struct findings *findings, struct err *err)
{
	struct sync_options options = {.spec = input->spec, .slot_name_given = input->slot_name_given};
	struct strbuf out;
	int r = -1;

	UNUSED(file);
	strbuf_init(&out, PLAN_BYTES);
	options.stop_fd = stop_fd_open(-1, err);
	if (options.stop_fd >= 0)
		r = sync_plan(&options, findings, &out, err);
	if (r == 0)
		(void)fwrite(out.data, 1, out.len, stdout);
	close_fdp(&options.stop_fd);
	strbuf_release(&out);
	return r;
}

int cmd_plan(int argc, char **argv)
{
	return check(argc, argv, plan);
}
