/* Compiling the documents of a schema against the catalog. For those that do not compile, what is known of their tables
 * and views is kept for the checks.
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
	/* The schemas in which names in `where` and `expressions` are looked up, after pg_catalog; if empty, the
	 * schemas of the documents' tables. */
	const struct jsonx_strings *search_path;
	/* The catalog of an earlier compilation, from which to reuse what the server reported about expressions,
	 * because asking involves writing. NULL: ask. */
	const struct catalog *known;
};

struct compilation {
	struct catalog *catalog;
	struct document_plan **plans; /* of the documents that compiled, in the order of the schema */
	size_t n_plans;
	bool complete;               /* every document compiled */
	struct source_tables tables; /* that the plans read */
	bool *named;                 /* for each table of the catalog: a document that did not compile names it */
	struct document_view *views; /* views that the documents name, each once */
	size_t n_views;
};

/* Reads the catalog and compiles. Errors in the documents go into f. */
int compile_documents(const struct compile_input *in, struct pg *pg, struct compilation *ret, struct findings *f,
		      struct err *err) WARN_UNUSED;
void compilation_release(struct compilation *c);
/* True if a later compilation of the same documents gave the same plans over the same tables, and nothing that they
 * depend on changed in between. */
bool compilation_confirms(const struct compilation *c, const struct catalog *catalog,
			  struct document_plan *const *plans);

#endif
