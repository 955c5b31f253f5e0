/* pgsync compare: one document of an index beside what its row gives now. Nothing is changed. */
#include <string.h>

#include "base/mem.h"
#include "base/terminal.h"
#include "cmd.h"
#include "http/http.h"
#include "look.h"
#include "search/search.h"
#include "sink/target.h"
#include "sync/sync.h"
#include "json/json.h"

enum { EXIT_DIFFERENT = 1, EXIT_NO_ANSWER = 3 };

static int print_comparison(const struct common_flags *flags, const json_t *found, const char *index)
{
	if (!strcmp(flags->output, "json"))
		cmd_print_json(found);
	else
		look_print(found, index, stdout);
	return look_is_equal(found) ? EXIT_OK : EXIT_DIFFERENT;
}

/* The exit code, or -1. */
static int compare_document(const struct common_flags *flags, const struct input *input, size_t document,
			    struct err *err)
{
	_cleanup_close_ int stop_fd = stop_fd_open(-1, err);
	_cleanup_(http_target_freep) struct http_target *target = NULL;
	_cleanup_(search_freep) struct search *search = NULL;
	_cleanup_json_ json_t *found = NULL;
	const struct sync_options options = {
		.spec = input->spec, .slot_name_given = input->slot_name_given, .stop_fd = stop_fd};
	struct err unread = {0};

	if (stop_fd < 0 || sink_target(&input->spec->sink, &target, err) < 0 ||
	    search_new(target, cmd_is_stopped, &stop_fd, &search, err) < 0)
		return -1;
	search_set_timeout(search, LOOK_TIMEOUT_MS);
	if (look_document(&(struct look_subject){&options, search, document, flags->words[0]}, &found, &unread, err) <
	    0)
		return err_wrap(err, "search engine");
	if (json_object_get(found, "error")) {
		*err = unread;
		return -1;
	}
	return print_comparison(flags, found, input->spec->documents[document]->index);
}

/* -1: found. */
static int choose_index(const struct common_flags *flags, const struct spec *spec, size_t *ret)
{
	*ret = 0;
	if (flags->index && !cmd_find_index(spec, flags->index, ret))
		return flags_refuse("compare", "the PgSync has no index \"%s\"", flags->index);
	if (!flags->index && spec->n_documents > 1)
		return flags_refuse("compare", "the PgSync has %zu indices: add --index", spec->n_documents);
	return -1;
}

static int run_compare(const struct common_flags *flags)
{
	struct input input = {0};
	struct findings findings;
	struct err err = {0};
	size_t document;
	int code = EXIT_BAD_INPUT;

	findings_init(&findings);
	if (input_read(flags->file, false, &input, &findings, &err) < 0) {
		(void)fprintf(stderr, "pgsync compare: %s\n", err.msg);
	} else if (findings_failed(&findings)) {
		cmd_print_findings(&findings);
	} else if ((code = choose_index(flags, input.spec, &document)) < 0) {
		code = compare_document(flags, &input, document, &err);
	}
	if (code < 0) {
		(void)fputs("pgsync compare: ", stderr);
		terminal_print(stderr, err.msg);
		(void)fputc('\n', stderr);
		code = err.kind == ERR_INVALID ? EXIT_BAD_INPUT : EXIT_NO_ANSWER;
	}
	findings_release(&findings);
	input_release(&input);
	return code;
}

int cmd_compare(int argc, char **argv)
{
	struct common_flags flags;
	int code = flags_parse(argc, argv, "fIp*", &flags);

	if (code >= 0)
		return code;
	if (flags.n_words != 1 || !*flags.words[0])
		return flags_refuse("compare", "the ID of one document is required");
	code = flags_check_output("compare", &flags);
	if (code < 0)
		code = flags_log(&flags, NULL);
	return code < 0 ? run_compare(&flags) : code;
}
