/* Compiling the documents of a schema against the catalog. Some may not compile: what is known of their tables and
 * views is kept for the checks.
 *
 * For the thread that owns the connection. A compilation owns all it contains; model_init_take takes the catalog, the
 * plans and their tables out of it, and the rest is released with it. */
#ifndef PGSYNC_APPLY_COMPILE_H
#define PGSYNC_APPLY_COMPILE_H

#include <stdbool.h>
#include <stddef.h>

#include "base/findings.h"
#include "document/document.h"
#include "schema/schema.h"
#include "source/source.h"

struct compile_input {
	struct schema_document *const *documents;
	size_t n;
	const struct schema_document_format *format;
	/* Where the names in `where` and `expressions` are looked up after pg_catalog; without items, in the schemas of
	 * the documents' tables. */
	const struct jsonx_strings *search_path;
	/* Of an earlier compilation: what the server reported about expressions then is taken over, because asking
	 * means writing. NULL: ask. */
	const struct catalog *known;
};

struct compilation {
	struct catalog *catalog;
	struct document_plan **plans; /* of the documents that compiled, in the order of the schema */
	size_t n_plans;
	bool complete;               /* those are all documents */
	struct source_tables tables; /* that the plans read */
	bool *named;                 /* for each table of the catalog: a document that did not compile names it */
	struct document_view *views; /* that the documents name, each once */
	size_t n_views;
};

/* Reads the catalog and compiles. Errors in the documents go into f. */
int compile_documents(const struct compile_input *in, struct pg *pg, struct compilation *ret, struct findings *f,
		      struct err *err) WARN_UNUSED;
void compilation_release(struct compilation *c);
/* Whether a later compilation of the same documents gave the same plans over the same tables, and nothing that they
 * depend on was touched in between. */
bool compilation_confirms(const struct compilation *c, const struct catalog *catalog,
			  struct document_plan *const *plans);

#endif
