/* pgsync validate and pgsync plan: report what is wrong, and what would be done; neither changes anything. */
#include <string.h>

#include "base/sections.h"
#include "cmd.h"
#include "sync/sync.h"

enum { PLAN_BYTES = 16 * 1024 * 1024 };

struct check {
	bool connects; /* so it needs the Secrets, and finds more errors in a schema */
	int (*then)(const char *file, const struct input *input, struct findings *findings, struct err *err);
};

/* Even if the file has errors, check the database, which may show more. */
static bool may_go_on(const struct check *check, const struct input *input, const struct findings *findings)
{
	return !findings_failed(findings) || (check->connects && spec_can_be_checked(input->spec, findings));
}

/* Reads the file, does what the command does, and prints all findings. */
static int run_check(const struct check *check, int argc, char **argv)
{
	struct input input = {0};
	struct common_flags flags;
	struct findings findings;
	struct err err = {0};
	int code = flags_parse(argc, argv, "f", &flags);

	if (code >= 0)
		return code;
	code = flags_log(&flags, NULL);
	if (code >= 0)
		return code;
	findings_init(&findings);
	code = EXIT_OK;
	if (input_read(flags.file, !check->connects, &input, &findings, &err) < 0 ||
	    (may_go_on(check, &input, &findings) && check->then(flags.file, &input, &findings, &err) < 0)) {
		(void)fprintf(stderr, "pgsync %s: %s\n", argv[0], err.msg);
		code = EXIT_FAILED;
	}
	cmd_print_findings(&findings);
	if (findings_failed(&findings))
		code = EXIT_FAILED;
	findings_release(&findings);
	input_release(&input);
	return code;
}

static int print_valid(const char *file, const struct input *input, struct findings *findings, struct err *err)
{
	UNUSED(input);
	UNUSED(findings);
	UNUSED(err);
	(void)printf("%s: valid\n", file);
	return 0;
}

int cmd_validate(int argc, char **argv)
{
	return run_check(&(struct check){.then = print_valid}, argc, argv);
}

static int plan(const char *file, const struct input *input, struct findings *findings, struct err *err)
{
	struct sync_options options = {.spec = input->spec, .slot_name_given = input->slot_name_given};
	struct sections out;
	int r = -1;

	UNUSED(file);
	sections_init(&out, PLAN_BYTES);
	options.stop_fd = stop_fd_open(-1, err);
	if (options.stop_fd >= 0)
		r = sync_plan(&options, findings, &out, err);
	if (r == 0)
		(void)fwrite(out.text.data, 1, out.text.len, stdout);
	close_fdp(&options.stop_fd);
	sections_release(&out);
	return r;
}

int cmd_plan(int argc, char **argv)
{
	return run_check(&(struct check){.connects = true, .then = plan}, argc, argv);
}
