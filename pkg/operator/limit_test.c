/* Tests of --max-pgsyncs: which PgSyncs are within the limit. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "operator/operator_int.h"

static void expect_over(struct resource *resources, size_t n, unsigned most, const char *want)
{
	struct operator_options options = {.max_pgsyncs = most};
	struct operator_ op = {.options = &options, .resources = map_new(NULL)};
	char got[8] = {0};

	for (size_t i = 0; i < n; i++) {
		resources[i].op = &op;
		map_puts(op.resources, resources[i].key, &resources[i]);
	}
	for (size_t i = 0; i < n; i++)
		got[i] = resource_is_over_limit(&resources[i]) ? 'x' : '.';
	map_free(op.resources);
	assert_string_equal(got, want);
}

static struct resource made(char *key, char *uid, const char *created, enum presence presence)
{
	struct resource r = {.key = key, .cache = {.uid = uid, .presence = presence}};

	(void)snprintf(r.cache.created, sizeof(r.cache.created), "%s", created);
	return r;
}

static void test_limit_then_the_oldest_have_a_place_whatever_their_names(void **state)
{
	struct resource resources[] = {
		made((char[]){"a/new"}, (char[]){"4"}, "2026-03-01T00:00:00Z", PRESENCE_ALIVE),
		made((char[]){"b/old"}, (char[]){"3"}, "2026-01-01T00:00:00Z", PRESENCE_ALIVE),
		made((char[]){"c/same"}, (char[]){"1"}, "2026-02-01T00:00:00Z", PRESENCE_ALIVE),
		made((char[]){"d/same"}, (char[]){"2"}, "2026-02-01T00:00:00Z", PRESENCE_ALIVE),
	};

	UNUSED(state);
	expect_over(resources, 4, 0, "....");
	expect_over(resources, 4, 4, "....");
	expect_over(resources, 4, 3, "x...");
	expect_over(resources, 4, 2, "x..x");
	expect_over(resources, 4, 1, "x.xx");
	/* A PgSync that is being deleted still has its worker; one that is gone does not. */
	resources[1].cache.presence = PRESENCE_DELETING;
	expect_over(resources, 4, 2, "x..x");
	resources[1].cache.presence = PRESENCE_GONE;
	expect_over(resources, 4, 2, "x...");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_limit_then_the_oldest_have_a_place_whatever_their_names),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
