/* Given to clang-tidy with every file but err.c: what its analyzer, which looks at one file at a time, cannot know.
 * Without it, `return err_set(...)` might be a success, after which out-parameters are read that were never written. */
#ifndef PGSYNC_HACK_CHECKS_ANALYZER_H
#define PGSYNC_HACK_CHECKS_ANALYZER_H

#include "base/err.h"

#define err_set(...) ((void)(err_set)(__VA_ARGS__), -1)
#define err_vset(...) ((void)(err_vset)(__VA_ARGS__), -1)
#define err_reason(...) ((void)(err_reason)(__VA_ARGS__), -1)
#define err_errno(...) ((void)(err_errno)(__VA_ARGS__), -1)
#define err_wrap(...) ((void)(err_wrap)(__VA_ARGS__), -1)

#endif
