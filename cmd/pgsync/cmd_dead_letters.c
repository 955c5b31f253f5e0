/* pgsync dead-letters: list, show, retry, discard. Only the worker writes documents, so retry leaves a request for
 * it. */
#include <stdlib.h>
#include <string.h>

#include "base/terminal.h"
#include "cmd.h"
#include "http/http.h"
#include "search/search.h"
#include "sink/dead_letter_pages.h"
#include "sink/dead_letters.h"
#include "sink/requests.h"
#include "sink/target.h"
#include "json/json.h"

struct context {
	const struct common_flags *flags;
	const struct spec *spec;
	struct search *search;
	char *key;       /* of the checkpoint */
	json_t *printed; /* with -o json: what was found */
	size_t n;        /* how many dead letters were processed */
};

/* What a command does to a dead letter of an index. */
typedef int (*letter_fn)(struct context *c, const char *alias, const struct dead_letter *letter, struct err *err);

/* --- printing --- */

static bool is_json(const struct context *c)
{
	return !strcmp(c->flags->output, "json");
}

/* Works for dead letters of an earlier release too. */
static const char *printable_key(const struct dead_letter *letter, const char *key)
{
	return jsonx_string(letter->source, key, "");
}

static void print_column(const char *text, int width)
{
	char *shown = NULL;
	size_t len = 0;
	FILE *memory = open_memstream(&shown, &len);

	if (!memory)
		return;
	terminal_print(memory, text);
	(void)fclose(memory);
	(void)printf("%-*s", width, shown);
	free(shown);
}

static void print_dead_letter(const char *alias, const struct dead_letter *letter)
{
	print_column(alias, 20);
	(void)printf("  ");
	print_column(letter->id, 20);
	(void)printf("  %8lld  ", (long long)letter->attempts);
	print_column(printable_key(letter, "time"), 27);
	(void)printf("  ");
	print_column(printable_key(letter, "type"), 34);
	(void)printf("  ");
	print_column(printable_key(letter, "row"), 0);
	(void)printf("\n");
}

static void print_field(const char *name, const char *text)
{
	(void)printf("%-10s ", name);
	terminal_print(stdout, text);
	(void)printf("\n");
}

static int list_letter(struct context *c, const char *alias, const struct dead_letter *letter, struct err *err)
{
	UNUSED(err);
	if (is_json(c)) {
		(void)json_array_append(c->printed, (json_t *)letter->source);
		return 0;
	}
	if (!c->n)
		(void)printf("%-20s  %-20s  %8s  %-27s  %-34s  %s\n", "INDEX", "ID", "ATTEMPTS", "TIME", "TYPE", "ROW");
	print_dead_letter(alias, letter);
	return 0;
}

static int show_letter(struct context *c, const char *alias, const struct dead_letter *letter, struct err *err)
{
	static const char *const fields[] = {"row", "operation", "type", "reason", "time"};

	UNUSED(err);
	if (is_json(c)) {
		(void)json_array_append(c->printed, (json_t *)letter->source);
		return 0;
	}
	print_field("index:", alias);
	print_field("id:", letter->id);
	for (size_t i = 0; i < ARRAY_SIZE(fields); i++) {
		_cleanup_free_ char *name = xasprintf("%s:", fields[i]);

		print_field(name, printable_key(letter, fields[i]));
	}
	(void)printf("%-10s %lld\n", "status:", (long long)jsonx_integer(letter->source, "status", 0));
	(void)printf("%-10s %lld\n", "attempts:", (long long)letter->attempts);
	return 0;
}

/* --- changing --- */

static int retry_letter(struct context *c, const char *alias, const struct dead_letter *letter, struct err *err)
{
	return requests_add(c->search, c->key, alias, letter->id, err);
}

static int discard_letter(struct context *c, const char *alias, const struct dead_letter *letter, struct err *err)
{
	if (dead_letter_discard(c->search, alias, letter, err) == 0)
		return 0;
	if (err->kind == ERR_CONFLICT)
		return err_set(err, ERR_CONFLICT,
			       "the worker has retried document \"%.128s\" of index \"%s\" in the meantime: check "
			       "its dead letter again",
			       letter->id, alias);
	return -1;
}

/* --- which dead letters --- */

static bool is_chosen(const struct context *c, const char *alias)
{
	return !c->flags->index || !strcmp(c->flags->index, alias);
}

/* An index of that name that is not ours contains something else. */
static int check_dead_letter_owners(struct context *c, struct err *err)
{
	_cleanup_free_ char *owner = xasprintf("%s/%s", c->spec->namespace, c->spec->name);
	const struct sink sink = {.search = c->search, .owner = owner, .uid = c->spec->uid};

	for (size_t i = 0; i < c->spec->n_documents; i++)
		if (is_chosen(c, c->spec->documents[i]->index) &&
		    dead_letters_check_owner(&sink, c->spec->documents[i]->index, err) < 0)
			return -1;
	return 0;
}

static int each_of_index(struct context *c, const char *alias, letter_fn fn, struct err *err)
{
	_cleanup_(dead_letter_pages_end) struct dead_letter_pages pages = {0};
	int r = dead_letter_pages_begin(&pages, c->search, alias, err);

	while (r == 0 && pages.n) {
		for (size_t i = 0; r == 0 && i < pages.n; i++) {
			r = fn(c, alias, &pages.items[i], err);
			c->n += r == 0;
		}
		if (r == 0)
			r = dead_letter_pages_next(&pages, err);
	}
	return r;
}

static int for_each_dead_letter(struct context *c, letter_fn fn, struct err *err)
{
	for (size_t i = 0; i < c->spec->n_documents; i++)
		if (is_chosen(c, c->spec->documents[i]->index) &&
		    each_of_index(c, c->spec->documents[i]->index, fn, err) < 0)
			return -1;
	return 0;
}

/* The dead letters of one id: an error if there is none, or more than one. */
static int one(struct context *c, const char *id, letter_fn fn, struct err *err)
{
	_cleanup_(dead_letter_pages_end) struct dead_letter_pages found = {0};
	const char *alias = NULL;

	for (size_t i = 0; i < c->spec->n_documents; i++) {
		const char *index = c->spec->documents[i]->index;
		_cleanup_(dead_letter_pages_end) struct dead_letter_pages pages = {0};

		if (!is_chosen(c, index))
			continue;
		if (dead_letter_pages_get(&pages, c->search, index, id, err) < 0)
			return -1;
		if (!pages.n)
			continue;
		if (alias)
			return err_set(
				err, ERR_INVALID,
				"document \"%.128s\" has a dead letter in index \"%s\" and in \"%s\": add --index", id,
				alias, index);
		alias = index;
		found = pages;
		pages = (struct dead_letter_pages){0};
	}
	if (!alias)
		return err_set(err, ERR_NOT_FOUND, "document \"%.128s\" has no dead letter", id);
	if (fn(c, alias, &found.items[0], err) < 0)
		return -1;
	c->n++;
	return 0;
}

static int each_word(struct context *c, letter_fn fn, struct err *err)
{
	for (size_t i = 1; i < c->flags->n_words; i++)
		if (one(c, c->flags->words[i], fn, err) < 0)
			return -1;
	return 0;
}

/* --- the actions --- */

static int list(struct context *c, struct err *err)
{
	return for_each_dead_letter(c, list_letter, err);
}

static int show(struct context *c, struct err *err)
{
	return each_word(c, show_letter, err);
}

/* One request for an index, however many dead letters it has. */
static int retry(struct context *c, struct err *err)
{
	if (!c->flags->all)
		return each_word(c, retry_letter, err);
	for (size_t i = 0; i < c->spec->n_documents; i++) {
		const char *index = c->spec->documents[i]->index;
		_cleanup_(dead_letter_pages_end) struct dead_letter_pages pages = {0};

		if (!is_chosen(c, index))
			continue;
		if (dead_letter_pages_begin(&pages, c->search, index, err) < 0)
			return -1;
		if (pages.n && requests_add(c->search, c->key, index, NULL, err) < 0)
			return -1;
		while (pages.n) {
			c->n += pages.n;
			if (dead_letter_pages_next(&pages, err) < 0)
				return -1;
		}
	}
	return 0;
}

static int discard(struct context *c, struct err *err)
{
	return c->flags->all ? for_each_dead_letter(c, discard_letter, err) : each_word(c, discard_letter, err);
}

static const struct action {
	const char *name;
	int (*run)(struct context *c, struct err *err);
	bool takes_one, takes_some; /* ids */
	const char *done;           /* printed at the end, after the number of dead letters; or NULL */
} actions[] = {
	{"list", list, false, false, NULL},
	{"show", show, true, false, NULL},
	{"retry", retry, false, true, "to be tried again by the worker"},
	{"discard", discard, false, true, "discarded"},
};

/* --- the command line --- */

static const struct action *find_action(const struct common_flags *flags)
{
	for (size_t i = 0; flags->n_words && i < ARRAY_SIZE(actions); i++)
		if (!strcmp(flags->words[0], actions[i].name))
			return &actions[i];
	return NULL;
}

/* -1: no error. */
static int check_words(const struct action *action, const struct common_flags *flags)
{
	size_t ids = flags->n_words ? flags->n_words - 1 : 0;

	if (!flags->n_words)
		return flags_refuse("dead-letters", "list, show, retry or discard is required");
	if (!action)
		return flags_refuse("dead-letters", "unknown action \"%s\": expected list, show, retry or discard",
				    flags->words[0]);
	if (flags_check_output("dead-letters", flags) >= 0)
		return EXIT_BAD_INPUT;
	if (action->takes_one && ids != 1)
		return flags_refuse("dead-letters", "%s takes the ID of one document, found %zu", action->name, ids);
	if (action->takes_some && !ids == !flags->all)
		return flags_refuse("dead-letters", "%s takes either IDs of documents or --all", action->name);
	if (!action->takes_some && flags->all)
		return flags_refuse("dead-letters", "--all is for retry and discard");
	if (!action->takes_one && !action->takes_some && ids)
		return flags_refuse("dead-letters", "unexpected argument \"%s\"", flags->words[1]);
	return -1;
}

static void print_result(const struct action *action, const struct context *c)
{
	if (action->done && is_json(c)) {
		_cleanup_json_ json_t *result = json_pack("{s:I}", "deadLetters", (json_int_t)c->n);

		cmd_print_json(result);
	} else if (action->done) {
		(void)printf("%zu dead letter%s %s\n", c->n, c->n == 1 ? "" : "s", action->done);
	} else if (is_json(c)) {
		cmd_print_json(action->takes_one ? json_array_get(c->printed, 0) : c->printed);
	} else if (!c->n) {
		(void)printf("no dead letters\n");
	}
}

static int connect_and_run(const struct action *action, const struct common_flags *flags, const struct spec *spec,
			   struct err *err)
{
	_cleanup_json_ json_t *printed = json_array();
	_cleanup_free_ char *key = spec_checkpoint_key(spec);
	struct context c = {.flags = flags, .spec = spec, .key = key, .printed = printed};
	struct http_target *target = NULL;
	int stop_fd = stop_fd_open(-1, err);
	int r = -1;

	if (stop_fd >= 0 && sink_target(&spec->sink, &target, err) == 0 &&
	    search_new(target, cmd_is_stopped, &stop_fd, &c.search, err) == 0 && check_dead_letter_owners(&c, err) == 0)
		r = action->run(&c, err);
	if (r == 0)
		print_result(action, &c);
	search_free(c.search);
	http_target_free(target);
	close_fdp(&stop_fd);
	return r;
}

static int run_action(const struct action *action, const struct common_flags *flags)
{
	struct input input = {0};
	struct findings findings;
	struct err err = {0};
	int code = EXIT_BAD_INPUT;
	size_t found;

	findings_init(&findings);
	if (input_read(flags->file, false, &input, &findings, &err) < 0) {
		(void)fprintf(stderr, "pgsync dead-letters: %s\n", err.msg);
	} else if (findings_failed(&findings)) {
		cmd_print_findings(&findings);
	} else if (flags->index && !cmd_find_index(input.spec, flags->index, &found)) {
		(void)flags_refuse("dead-letters", "the PgSync has no index \"%s\"", flags->index);
	} else if (connect_and_run(action, flags, input.spec, &err) < 0) {
		(void)fprintf(stderr, "pgsync dead-letters: ");
		terminal_print(stderr, err.msg);
		(void)fputc('\n', stderr);
		code = EXIT_FAILED;
	} else {
		code = EXIT_OK;
	}
	findings_release(&findings);
	input_release(&input);
	return code;
}

int cmd_dead_letters(int argc, char **argv)
{
	struct common_flags flags;
	const struct action *action;
	int code = flags_parse(argc, argv, "fiap*", &flags);

	if (code >= 0)
		return code;
	action = find_action(&flags);
	code = check_words(action, &flags);
	if (code < 0)
		code = flags_log(&flags, NULL);
	return code < 0 ? run_action(action, &flags) : code;
}
