/* Reasons by name. */
#include "base/reason.h"

#include <stddef.h>
#include <string.h>

static const char *const words[REASON_N] = {[REASON_NONE] = "Unspecified",
#define X(name, word) [REASON_##name] = word,
					    REASONS(X)
#undef X
};

const char *reason_name(enum reason reason)
{
	return (unsigned)reason < REASON_N ? words[reason] : words[REASON_NONE];
}

bool reason_is_unreachable(enum reason reason)
{
	switch (reason) {
	case REASON_DNS:
	case REASON_REFUSED:
	case REASON_RESET:
	case REASON_TIMEOUT:
	case REASON_SOURCE_UNREACHABLE:
		return true;
	default:
		return false;
	}
}

bool reason_parse(const char *word, enum reason *ret)
{
	for (size_t i = 0; i < REASON_N; i++)
		if (strcmp(word, words[i]) == 0) {
			*ret = (enum reason)i;
			return true;
		}
	return false;
}
