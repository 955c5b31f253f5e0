#include "base/usage.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/mem.h"

static char *text;
static size_t len;

static FILE *begin(void)
{
	FILE *to = open_memstream(&text, &len);

	assert_non_null(to);
	return to;
}

static void expect(FILE *to, const char *expected)
{
	assert_int_equal(fclose(to), 0);
	assert_string_equal(text, expected);
	free(text);
}

static void test_option_has_its_text_in_a_column(void **state)
{
	FILE *to = begin();

	UNUSED(state);
	usage_option(to, 'f', "file", "FILE", "what to read");
	usage_option(to, 0, "leader-elect", "[=BOOL]", "elect a leader");
	usage_option(to, 0, "help", NULL, "print this");
	expect(to, "  -f, --file FILE             what to read\n"
		   "      --leader-elect[=BOOL]   elect a leader\n"
		   "      --help                  print this\n");
}

static void test_option_wraps_when_name_or_text_is_long(void **state)
{
	FILE *to = begin();

	UNUSED(state);
	usage_option(to, 0, "leader-elect-lease-duration", "TIME",
		     "how long a leader that does not renew its Lease keeps it before another takes over");
	expect(to, "      --leader-elect-lease-duration TIME\n"
		   "                              how long a leader that does not renew its Lease\n"
		   "                              keeps it before another takes over\n");
}

static void test_paragraph_wraps_at_80_columns(void **state)
{
	FILE *to = begin();

	UNUSED(state);
	usage_paragraph(to, "0123456789 0123456789 0123456789 0123456789 0123456789 0123456789 0123456789 01 345");
	expect(to, "0123456789 0123456789 0123456789 0123456789 0123456789 0123456789 0123456789 01\n345\n");
}

static void test_section_indents_each_line_but_empty_ones(void **state)
{
	FILE *to = begin();

	UNUSED(state);
	usage_section(to, "Examples", "one\n\ntwo\n");
	expect(to, "\nExamples:\n  one\n\n  two\n");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_option_has_its_text_in_a_column),
		cmocka_unit_test(test_option_wraps_when_name_or_text_is_long),
		cmocka_unit_test(test_paragraph_wraps_at_80_columns),
		cmocka_unit_test(test_section_indents_each_line_but_empty_ones),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
