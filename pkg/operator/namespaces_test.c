/* Tests of which namespaces are watched, and what /metrics and /readyz report about them, with fake reflectors. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "operator/operator_int.h"

enum { NAMESPACES = 2 };

struct kube_reflector {
	const struct kube_reflector_handlers *handlers;
	void *user;
	char *path;
};

static struct kube_reflector reflectors[NAMESPACES];
static size_t n_reflectors;

struct kube_reflector *kube_reflect(struct kube *kube, const char *path, const char *label_selector,
				    const struct kube_reflector_handlers *handlers, void *user)
{
	struct kube_reflector *r = &reflectors[n_reflectors++];

	UNUSED(kube);
	assert_null(label_selector);
	assert_true(n_reflectors <= NAMESPACES);
	*r = (struct kube_reflector){.handlers = handlers, .user = user, .path = xstrdup(path)};
	return r;
}

struct kube_reflector *kube_reflect_one(struct kube *kube, const char *path, const char *name,
					const struct kube_reflector_handlers *handlers, void *user)
{
	assert_string_equal(name, "books");
	return kube_reflect(kube, path, NULL, handlers, user);
}

void kube_reflector_stop(struct kube_reflector *r)
{
	free(TAKE_PTR(r->path));
}

void operator_resource_changed(struct operator_ *op, const char *key, const json_t *object)
{
	UNUSED(op);
	UNUSED(key);
	UNUSED(object);
}

void operator_resource_deleted(struct operator_ *op, const char *key)
{
	UNUSED(op);
	UNUSED(key);
}

/* --- fixture */

static const char *const names[NAMESPACES] = {"shop", "other"};

struct fixture {
	struct operator_ op;
	struct operator_options options;
};

static int setup(void **state)
{
	struct fixture *f = xcalloc(1, sizeof(*f));

	n_reflectors = 0;
	f->options = (struct operator_options){.namespaces = names, .n_namespaces = NAMESPACES};
	f->op.options = &f->options;
	f->op.resources = map_new(NULL);
	f->op.published.metrics = metrics_new();
	f->op.metrics.watched = metrics_gauge(f->op.published.metrics, "pgsync_namespace_watched", "Watched.",
					      (const char *const[]){"namespace", NULL});
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	namespaces_release(&f->op);
	map_free(f->op.resources);
	metrics_free(f->op.published.metrics);
	free(f);
	return 0;
}

static void listed(size_t i)
{
	reflectors[i].handlers->synced(reflectors[i].user);
}

static void failed(size_t i)
{
	struct err err;

	(void)err_set(&err, ERR_DENIED, "it is forbidden");
	reflectors[i].handlers->failed(reflectors[i].user, &err);
}

static void recovered(size_t i)
{
	reflectors[i].handlers->recovered(reflectors[i].user);
}

static double metric_of(const struct fixture *f, const char *namespace)
{
	return metric_get(f->op.metrics.watched, (const char *const[]){namespace, NULL});
}

/* --- tests */

static void test_listed_when_another_namespace_is_forbidden_then_ready_with_a_remark(void **state)
{
	struct fixture *f = *state;

	namespaces_watch(&f->op);
	assert_string_equal(reflectors[0].path, "/apis/pgsync.io/v1alpha1/namespaces/shop/pgsyncs");
	assert_string_equal(reflectors[1].path, "/apis/pgsync.io/v1alpha1/namespaces/other/pgsyncs");
	failed(1);
	assert_false(f->op.published.listed);
	listed(0);
	assert_true(f->op.published.listed);
	assert_string_equal(f->op.published.unwatched, "namespace \"other\" is not watched: it is forbidden\n");
	assert_true(metric_of(f, "shop") == 1);
	assert_true(metric_of(f, "other") == 0);
}

static void test_recovered_when_a_namespace_was_forbidden_then_no_remark_is_left(void **state)
{
	struct fixture *f = *state;

	namespaces_watch(&f->op);
	listed(0);
	listed(1);
	failed(1);
	assert_true(metric_of(f, "other") == 0);
	recovered(1);
	assert_string_equal(f->op.published.unwatched, "");
	assert_true(metric_of(f, "other") == 1);
}

static void test_watch_when_no_namespace_is_given_then_one_reflector_for_all(void **state)
{
	struct fixture *f = *state;

	f->options.n_namespaces = 0;
	namespaces_watch(&f->op);
	assert_int_equal(n_reflectors, 1);
	assert_string_equal(reflectors[0].path, "/apis/pgsync.io/v1alpha1/pgsyncs");
	failed(0);
	assert_string_equal(f->op.published.unwatched, "the namespaces are not watched: it is forbidden\n");
	assert_true(metric_of(f, "*") == 0);
}

#define WITH_FIXTURE(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
	static const struct CMUnitTest tests[] = {
		WITH_FIXTURE(test_listed_when_another_namespace_is_forbidden_then_ready_with_a_remark),
		WITH_FIXTURE(test_recovered_when_a_namespace_was_forbidden_then_no_remark_is_left),
		WITH_FIXTURE(test_watch_when_no_namespace_is_given_then_one_reflector_for_all),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
