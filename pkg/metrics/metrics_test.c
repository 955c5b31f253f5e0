/* Tests of the registry and its text. */
#include <fcntl.h>
#include <math.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/clock.h"
#include "metrics/metrics.h"

enum { TEXT_BYTES = 64 * 1024 };

#define LABELS(...) ((const char *const[]){__VA_ARGS__, NULL})

static char *rendered(struct metrics *m)
{
	struct strbuf out;

	strbuf_init(&out, TEXT_BYTES);
	metrics_render(m, &out);
	assert_true(strbuf_ok(&out));
	return strbuf_detach(&out);
}

static void assert_rendered(struct metrics *m, const char *expected)
{
	_cleanup_free_ char *text = rendered(m);

	assert_string_equal(text, expected);
}

static void test_render_when_families_of_all_types_then_text_of_the_format(void **state)
{
	static const double bounds[] = {0.1, 1, 2.5};
	_cleanup_(metrics_freep) struct metrics *m = metrics_new();
	struct metric *documents =
		metrics_counter(m, "pgsync_documents_total", "Documents written.", LABELS("pgsync", "result"));
	struct metric *unused = metrics_counter(m, "pgsync_unused_total", "Never used.", NULL);
	struct metric *lag = metrics_gauge(m, "pgsync_lag_bytes", "Bytes behind.", NULL);
	struct metric *batch = metrics_histogram(m, "pgsync_batch_seconds", "Time of a batch.", LABELS("pgsync"),
						 bounds, ARRAY_SIZE(bounds));

	UNUSED(state);
	metric_add(documents, LABELS("ns/books", "ok"), 2);
	metric_add(documents, LABELS("ns/books", "failed"), 0);
	metric_add(documents, LABELS("ns/books", "ok"), 1);
	metric_set(lag, NULL, -0.25);
	/* 1 is on a bound and therefore within it. */
	metric_observe(batch, LABELS("ns/books"), 0.05);
	metric_observe(batch, LABELS("ns/books"), 1);
	metric_observe(batch, LABELS("ns/books"), 0.5);
	metric_observe(batch, LABELS("ns/books"), 7);
	assert_rendered(m, "# HELP pgsync_documents_total Documents written.\n"
			   "# TYPE pgsync_documents_total counter\n"
			   "pgsync_documents_total{pgsync=\"ns/books\",result=\"ok\"} 3\n"
			   "pgsync_documents_total{pgsync=\"ns/books\",result=\"failed\"} 0\n"
			   "# HELP pgsync_lag_bytes Bytes behind.\n"
			   "# TYPE pgsync_lag_bytes gauge\n"
			   "pgsync_lag_bytes -0.25\n"
			   "# HELP pgsync_batch_seconds Time of a batch.\n"
			   "# TYPE pgsync_batch_seconds histogram\n"
			   "pgsync_batch_seconds_bucket{pgsync=\"ns/books\",le=\"0.1\"} 1\n"
			   "pgsync_batch_seconds_bucket{pgsync=\"ns/books\",le=\"1\"} 3\n"
			   "pgsync_batch_seconds_bucket{pgsync=\"ns/books\",le=\"2.5\"} 3\n"
			   "pgsync_batch_seconds_bucket{pgsync=\"ns/books\",le=\"+Inf\"} 4\n"
			   "pgsync_batch_seconds_sum{pgsync=\"ns/books\"} 8.55\n"
			   "pgsync_batch_seconds_count{pgsync=\"ns/books\"} 4\n");
	assert_true(metric_get(documents, LABELS("ns/books", "ok")) == 3);
	assert_true(metric_get(documents, LABELS("ns/other", "ok")) == 0);
	assert_true(metric_get(batch, LABELS("ns/books")) == 4);
	assert_true(metric_get(unused, NULL) == 0);
}

static void test_render_when_histogram_has_no_labels_then_only_le(void **state)
{
	static const double bounds[] = {1};
	_cleanup_(metrics_freep) struct metrics *m = metrics_new();

	UNUSED(state);
	metric_observe(metrics_histogram(m, "h", "H.", NULL, bounds, 1), NULL, 2);
	assert_rendered(m, "# HELP h H.\n# TYPE h histogram\n"
			   "h_bucket{le=\"1\"} 0\nh_bucket{le=\"+Inf\"} 1\nh_sum 2\nh_count 1\n");
}

static void test_render_when_text_is_special_then_escaped(void **state)
{
	_cleanup_(metrics_freep) struct metrics *m = metrics_new();
	struct metric *g = metrics_gauge(m, "g", "a \"quote\", a \\ and a\nbreak", LABELS("l"));

	UNUSED(state);
	metric_set(g, LABELS("a\"b\\c\nd\xC3\xA9\xFF"), 1);
	metric_set(g, LABELS(""), 2);
	assert_rendered(m, "# HELP g a \"quote\", a \\\\ and a\\nbreak\n# TYPE g gauge\n"
			   "g{l=\"a\\\"b\\\\c\\nd\xC3\xA9\xEF\xBF\xBD\"} 1\n"
			   "g{l=\"\"} 2\n");
}

static void test_render_when_numbers_are_special_then_read_back_unchanged(void **state)
{
	_cleanup_(metrics_freep) struct metrics *m = metrics_new();
	struct metric *g = metrics_gauge(m, "g", "G.", LABELS("l"));

	UNUSED(state);
	metric_set(g, LABELS("inf"), INFINITY);
	metric_set(g, LABELS("-inf"), -INFINITY);
	metric_set(g, LABELS("nan"), NAN);
	metric_set(g, LABELS("tenth"), 0.1);
	metric_set(g, LABELS("bytes"), 1234567890123);
	metric_set(g, LABELS("third"), 1.0 / 3);
	assert_rendered(m, "# HELP g G.\n# TYPE g gauge\n"
			   "g{l=\"inf\"} +Inf\ng{l=\"-inf\"} -Inf\ng{l=\"nan\"} NaN\ng{l=\"tenth\"} 0.1\n"
			   "g{l=\"bytes\"} 1234567890123\ng{l=\"third\"} 0.3333333333333333\n");
}

static void test_family_when_asked_for_again_then_the_same(void **state)
{
	_cleanup_(metrics_freep) struct metrics *m = metrics_new();
	struct metric *c = metrics_counter(m, "c_total", "C.", LABELS("l"));

	UNUSED(state);
	assert_ptr_equal(metrics_counter(m, "c_total", "C.", LABELS("l")), c);
	assert_ptr_not_equal(metrics_counter(m, "d_total", "D.", LABELS("l")), c);
}

static void test_series_when_values_only_join_alike_then_distinct(void **state)
{
	_cleanup_(metrics_freep) struct metrics *m = metrics_new();
	struct metric *c = metrics_counter(m, "c_total", "C.", LABELS("a", "b"));

	UNUSED(state);
	metric_add(c, LABELS("xy", "z"), 1);
	metric_add(c, LABELS("x", "yz"), 2);
	assert_true(metric_get(c, LABELS("xy", "z")) == 1);
	assert_true(metric_get(c, LABELS("x", "yz")) == 2);
}

static void test_remove_when_a_resource_is_gone_then_its_series_in_all_families(void **state)
{
	_cleanup_(metrics_freep) struct metrics *m = metrics_new();
	struct metric *c = metrics_counter(m, "c_total", "C.", LABELS("kind", "pgsync"));
	struct metric *g = metrics_gauge(m, "g", "G.", LABELS("pgsync"));
	struct metric *other = metrics_gauge(m, "o", "O.", LABELS("host"));

	UNUSED(state);
	metric_add(c, LABELS("a", "gone"), 1);
	metric_add(c, LABELS("b", "gone"), 1);
	metric_add(c, LABELS("gone", "stays"), 4);
	metric_set(g, LABELS("gone"), 1);
	metric_set(other, LABELS("gone"), 5);
	metrics_remove(m, LABELS("pgsync"), LABELS("gone"));
	assert_rendered(m, "# HELP c_total C.\n# TYPE c_total counter\nc_total{kind=\"gone\",pgsync=\"stays\"} 4\n"
			   "# HELP o O.\n# TYPE o gauge\no{host=\"gone\"} 5\n");
	metric_add(c, LABELS("a", "gone"), 1);
	assert_true(metric_get(c, LABELS("a", "gone")) == 1);
}

static void test_remove_when_two_labels_are_given_then_a_namesake_elsewhere_stays(void **state)
{
	_cleanup_(metrics_freep) struct metrics *m = metrics_new();
	struct metric *c = metrics_counter(m, "c_total", "C.", LABELS("namespace", "name", "reason"));
	struct metric *g = metrics_gauge(m, "g", "G.", LABELS("name"));

	UNUSED(state);
	metric_add(c, LABELS("a", "books", "x"), 1);
	metric_add(c, LABELS("a", "books", "y"), 2);
	metric_add(c, LABELS("a", "other", "x"), 3);
	metric_add(c, LABELS("b", "books", "x"), 4);
	metric_set(g, LABELS("books"), 5);
	metrics_remove(m, LABELS("namespace", "name"), LABELS("a", "books"));
	assert_rendered(m, "# HELP c_total C.\n# TYPE c_total counter\n"
			   "c_total{namespace=\"a\",name=\"other\",reason=\"x\"} 3\n"
			   "c_total{namespace=\"b\",name=\"books\",reason=\"x\"} 4\n"
			   "# HELP g G.\n# TYPE g gauge\ng{name=\"books\"} 5\n");
}

static void test_remove_when_a_value_is_null_then_series_with_any_value_of_the_label_go(void **state)
{
	_cleanup_(metrics_freep) struct metrics *m = metrics_new();
	struct metric *c = metrics_counter(m, "c_total", "C.", LABELS("namespace", "name"));
	struct metric *g = metrics_gauge(m, "g", "G.", LABELS("namespace"));

	UNUSED(state);
	metric_add(c, LABELS("a", "books"), 1);
	metric_add(c, LABELS("b", "other"), 2);
	metric_set(g, LABELS("a"), 3);
	metrics_remove(m, LABELS("namespace", "name"), LABELS(NULL, NULL));
	assert_rendered(m, "# HELP g G.\n# TYPE g gauge\ng{namespace=\"a\"} 3\n");
}

static void test_series_when_a_value_is_long_then_it_is_cut(void **state)
{
	_cleanup_(metrics_freep) struct metrics *m = metrics_new();
	struct metric *c = metrics_counter(m, "c_total", "C.", LABELS("l"));
	_cleanup_free_ char *value = xasprintf("%0600d", 1);
	_cleanup_free_ char *cut = xasprintf("# HELP c_total C.\n# TYPE c_total counter\nc_total{l=\"%0512d\"} 2\n", 0);

	UNUSED(state);
	metric_add(c, LABELS(value), 2);
	assert_rendered(m, cut);
	metrics_remove(m, LABELS("l"), LABELS(value));
	assert_rendered(m, "");
}

static double sample(const char *text, const char *name)
{
	const char *at = strstr(text, name);

	assert_non_null(at);
	return strtod(at + strlen(name), NULL);
}

static void test_process_metrics_when_enabled_then_true_of_this_process(void **state)
{
	_cleanup_(metrics_freep) struct metrics *m = metrics_new();
	_cleanup_free_ char *before = NULL;
	_cleanup_free_ char *after = NULL;
	double now = (double)clock_wall_us() / 1e6;
	int fd;

	UNUSED(state);
	assert_rendered(m, "");
	metrics_enable_process(m);
	before = rendered(m);
	fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
	after = rendered(m);
	assert_int_equal(close(fd), 0);
	assert_true(sample(after, "\nprocess_open_fds ") == sample(before, "\nprocess_open_fds ") + 1);
	assert_true(sample(after, "\nprocess_resident_memory_bytes ") > 500000);
	assert_true(sample(after, "\nprocess_cpu_seconds_total ") >= sample(before, "\nprocess_cpu_seconds_total "));
	/* The clock ticks of /proc are hundredths. */
	assert_true(sample(after, "\nprocess_start_time_seconds ") < now + 0.1);
	assert_true(sample(after, "\nprocess_start_time_seconds ") > now - 600);
}

static void *count(void *user)
{
	struct metrics *m = user;
	struct metric *c = metrics_counter(m, "c_total", "C.", LABELS("l"));

	for (int i = 0; i < 10000; i++)
		metric_add(c, LABELS(i % 2 ? "odd" : "even"), 1);
	return NULL;
}

static void test_counter_when_many_threads_add_then_nothing_is_lost(void **state)
{
	_cleanup_(metrics_freep) struct metrics *m = metrics_new();
	pthread_t threads[4];

	UNUSED(state);
	for (size_t i = 0; i < ARRAY_SIZE(threads); i++)
		assert_int_equal(pthread_create(&threads[i], NULL, count, m), 0);
	for (int i = 0; i < 20; i++) {
		_cleanup_free_ char *text = rendered(m);

		assert_non_null(text);
	}
	for (size_t i = 0; i < ARRAY_SIZE(threads); i++)
		assert_int_equal(pthread_join(threads[i], NULL), 0);
	assert_true(metric_get(metrics_counter(m, "c_total", "C.", LABELS("l")), LABELS("odd")) == 20000);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_render_when_families_of_all_types_then_text_of_the_format),
		cmocka_unit_test(test_render_when_histogram_has_no_labels_then_only_le),
		cmocka_unit_test(test_render_when_text_is_special_then_escaped),
		cmocka_unit_test(test_render_when_numbers_are_special_then_read_back_unchanged),
		cmocka_unit_test(test_family_when_asked_for_again_then_the_same),
		cmocka_unit_test(test_series_when_values_only_join_alike_then_distinct),
		cmocka_unit_test(test_remove_when_a_resource_is_gone_then_its_series_in_all_families),
		cmocka_unit_test(test_remove_when_two_labels_are_given_then_a_namesake_elsewhere_stays),
		cmocka_unit_test(test_remove_when_a_value_is_null_then_series_with_any_value_of_the_label_go),
		cmocka_unit_test(test_series_when_a_value_is_long_then_it_is_cut),
		cmocka_unit_test(test_process_metrics_when_enabled_then_true_of_this_process),
		cmocka_unit_test(test_counter_when_many_threads_add_then_nothing_is_lost),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
