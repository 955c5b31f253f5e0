/* Names to write under. */
#include "sink/write_alias.h"

#include <inttypes.h>
#include <stdio.h>

#include "base/clock.h"

#define MARK "-W"

void write_alias_token(char token[WRITE_ALIAS_TOKEN_BYTES])
{
	uint64_t state = random_seed();

	(void)snprintf(token, WRITE_ALIAS_TOKEN_BYTES, "%016" PRIx64, random_next(&state));
}

char *write_alias_name(const char *index, const char *token)
{
	return xasprintf("%s" MARK "%s", index, token);
}

int write_alias_take(const struct sink *sink, const char *index, struct err *err)
{
	_cleanup_free_ char *prefix = write_alias_name(index, "");
	_cleanup_free_ char *alias = write_alias_name(index, sink->token);

	if (search_alias_replace(sink->search, index, prefix, alias, err) < 0)
		return err_wrap(err, "taking over writing to index \"%s\"", index);
	return 0;
}

int write_alias_drop(const struct sink *sink, const char *index, struct err *err)
{
	_cleanup_free_ char *prefix = write_alias_name(index, "");

	if (search_alias_replace(sink->search, index, prefix, NULL, err) < 0 && err->kind != ERR_NOT_FOUND &&
	    err->kind != ERR_DENIED)
		return err_wrap(err, "ending writing to index \"%s\"", index);
	return 0;
}
