/* Secrets as they come and go; the reflectors are the test's own. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/err.h"
#include "operator/refs_int.h"
#include "json/json.h"

enum { REFLECTORS = 8 };

struct kube_reflector {
	struct kube_reflector_handlers handlers;
	void *user;
	bool stopped;
};

static struct kube_reflector reflectors[REFLECTORS];
static size_t n_reflectors;

struct kube_reflector *kube_reflect(struct kube *kube, const char *path, const char *field_selector,
				    const struct kube_reflector_handlers *handlers, void *user)
{
	UNUSED(kube);
	assert_string_equal(path, "/api/v1/namespaces/shop/secrets");
	assert_string_equal(field_selector, "metadata.name=source");
	assert_true(n_reflectors < REFLECTORS);
	reflectors[n_reflectors] = (struct kube_reflector){.handlers = *handlers, .user = user};
	return &reflectors[n_reflectors++];
}

void kube_reflector_stop(struct kube_reflector *reflector)
{
	reflector->stopped = true;
}

/* --- what a server would say */

static struct kube_reflector *newest(void)
{
	struct kube_reflector *r = &reflectors[n_reflectors - 1];

	assert_false(r->stopped);
	return r;
}

static void changed(const char *data)
{
	_cleanup_free_ char *text = xasprintf("{\"data\": %s}", data);
	_cleanup_json_ json_t *object = json_loads(text, 0, NULL);

	assert_non_null(object);
	newest()->handlers.changed(newest()->user, "shop/source", object);
}

static void deleted(void)
{
	newest()->handlers.deleted(newest()->user, "shop/source");
}

static void synced(void)
{
	newest()->handlers.synced(newest()->user);
}

static void denied(void)
{
	struct err err;

	(void)err_set(&err, ERR_DENIED, "forbidden");
	newest()->handlers.failed(newest()->user, &err);
}

/* --- fixture */

struct fixture {
	struct refs *refs;
	struct ref_set set;
	struct spec spec;
	unsigned changes;
	json_t *secrets;
	struct findings findings;
};

static void on_ref_changed(void *user, const struct ref *ref)
{
	struct fixture *f = user;

	assert_true(refs_contain(&f->set, ref));
	f->changes++;
}

static int setup(void **state)
{
	static char name[] = "source";
	struct fixture *f = xcalloc(1, sizeof(*f));

	n_reflectors = 0;
	f->spec.source.password_ref.name = name;
	f->refs = refs_new(NULL, on_ref_changed, f);
	refs_hold(f->refs, &f->set, "shop", &f->spec);
	f->secrets = json_object();
	findings_init(&f->findings);
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	refs_release(f->refs, &f->set);
	refs_free(f->refs);
	findings_release(&f->findings);
	json_decref(f->secrets);
	free(f);
	return 0;
}

/* The values as text; "null": the Secret is not there. */
static char *values(struct fixture *f, bool last_known)
{
	_cleanup_json_ json_t *config_maps = json_object();

	(void)json_object_clear(f->secrets);
	findings_release(&f->findings);
	findings_init(&f->findings);
	assert_true(refs_values(&f->set, last_known, f->secrets, config_maps, &f->findings));
	if (!json_object_get(f->secrets, "source"))
		return xstrdup("null");
	return jsonx_canonical(json_object_get(f->secrets, "source"));
}

#define ASSERT_VALUES(f, last_known, expected)                        \
	do {                                                          \
		_cleanup_free_ char *values_ = values(f, last_known); \
		assert_string_equal(values_, expected);               \
	} while (0)

/* --- tests */

static void test_values_when_the_secret_is_there_then_decoded_without_what_is_no_text(void **state)
{
	struct fixture *f = *state;

	/* "pw"; "a\0b"; "\xff". */
	changed("{\"password\": \"cHc=\", \"nul\": \"YQBi\", \"binary\": \"/w==\"}");
	synced();
	ASSERT_VALUES(f, false, "{\"password\":\"pw\"}");
	assert_int_equal(f->changes, 1);
}

static void test_values_when_the_secret_is_gone_then_only_a_clean_up_still_has_them(void **state)
{
	struct fixture *f = *state;

	changed("{\"password\": \"cHc=\"}");
	synced();
	deleted();
	assert_int_equal(f->changes, 2);
	ASSERT_VALUES(f, false, "null");
	ASSERT_VALUES(f, true, "{\"password\":\"pw\"}");
	/* A deleted namespace takes the right to read with it. */
	denied();
	ASSERT_VALUES(f, true, "{\"password\":\"pw\"}");
	assert_false(findings_failed(&f->findings));
	ASSERT_VALUES(f, false, "null");
	assert_true(findings_failed(&f->findings));
}

static void test_values_when_the_secret_comes_back_then_the_new_ones_count(void **state)
{
	struct fixture *f = *state;

	changed("{\"password\": \"cHc=\"}");
	synced();
	deleted();
	changed("{\"password\": \"bmV3\"}");
	assert_int_equal(f->changes, 3);
	ASSERT_VALUES(f, false, "{\"password\":\"new\"}");
	ASSERT_VALUES(f, true, "{\"password\":\"new\"}");
}

static void test_values_when_it_was_never_there_then_a_clean_up_has_none_either(void **state)
{
	struct fixture *f = *state;

	synced();
	ASSERT_VALUES(f, true, "null");
}

static void test_denied_when_reading_is_allowed_again_then_it_is_absent_again(void **state)
{
	struct fixture *f = *state;

	synced();
	denied();
	ASSERT_VALUES(f, false, "null");
	assert_true(findings_failed(&f->findings));
	/* The first reflector has said that its list is complete, and does not say it twice. */
	assert_int_equal(n_reflectors, 2);
	assert_true(reflectors[0].stopped);
	denied();
	assert_int_equal(n_reflectors, 2);
	synced();
	ASSERT_VALUES(f, false, "null");
	assert_false(findings_failed(&f->findings));
}

#define WITH_FIXTURE(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
	static const struct CMUnitTest tests[] = {
		WITH_FIXTURE(test_values_when_the_secret_is_there_then_decoded_without_what_is_no_text),
		WITH_FIXTURE(test_values_when_the_secret_is_gone_then_only_a_clean_up_still_has_them),
		WITH_FIXTURE(test_values_when_the_secret_comes_back_then_the_new_ones_count),
		WITH_FIXTURE(test_values_when_it_was_never_there_then_a_clean_up_has_none_either),
		WITH_FIXTURE(test_denied_when_reading_is_allowed_again_then_it_is_absent_again),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
