/* pgsync validate and pgsync plan: what is wrong, and what would be done; neither changes anything. */
#include "base/strbuf.h"
#include "cmd.h"
#include "sync/sync.h"

enum { PLAN_BYTES = 16 * 1024 * 1024 };

static int finish(const char *command, struct input *input, struct findings *findings, const struct err *err)
{
	int code = EXIT_OK;

	print_findings(findings);
	if (err->kind != ERR_NONE) {
		(void)fprintf(stderr, "pgsync %s: %s\n", command, err->msg);
		code = EXIT_FAILED;
	}
	if (findings_failed(findings))
		code = EXIT_FAILED;
	findings_release(findings);
	input_release(input);
	return code;
}

int cmd_validate(int argc, char **argv)
{
	struct input input = {0};
	struct common_flags flags;
	struct findings findings;
	struct err err = {0};
	int code = flags_parse(argc, argv, "f", &flags);

	if (code >= 0)
		return code;
	findings_init(&findings);
	if (input_read(flags.file, &input, &findings, &err) == 0 && !findings_failed(&findings))
		(void)printf("%s: valid\n", flags.file);
	return finish("validate", &input, &findings, &err);
}

static int plan(const struct input *input, struct findings *findings, struct err *err)
{
	struct sync_options options = {.spec = input->spec, .slot_name_given = input->slot_name_given};
	struct strbuf out;
	int r = -1;

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
	struct input input = {0};
	struct common_flags flags;
	struct findings findings;
	struct err err = {0};
	int code = flags_parse(argc, argv, "f", &flags);

	if (code >= 0)
		return code;
	findings_init(&findings);
	if (input_read(flags.file, &input, &findings, &err) == 0 && !findings_failed(&findings))
		(void)plan(&input, &findings, &err);
	return finish("plan", &input, &findings, &err);
}
