/* Sets of columns of one table. */
#include <stdlib.h>

#include "base/ints.h"
#include "document/document_int.h"

enum { LIST_BYTES = 4096 };

bool columns_are_equal(const int *a, size_t n, const int *b, size_t m)
{
	if (n != m)
		return false;
	for (size_t i = 0; i < n; i++)
		if (!ints_contain(b, m, a[i]))
			return false;
	return true;
}

bool columns_are_indexed(const struct catalog_table *table, const int *columns, size_t n)
{
	if (catalog_is_unique(table, columns, n))
		return true;
	for (size_t i = 0; i < table->n_indexes; i++) {
		const struct catalog_index *index = &table->indexes[i];

		if (catalog_index_is_plain(index) && index->n >= n && columns_are_equal(index->columns, n, columns, n))
			return true;
	}
	return false;
}

char *columns_list(const struct catalog_table *table, const int *columns, size_t n)
{
	struct strbuf sb;

	strbuf_init(&sb, LIST_BYTES);
	for (size_t i = 0; i < n; i++)
		strbuf_addf(&sb, "%s%s", i ? ", " : "", table->columns[columns[i]].name);
	return strbuf_detach(&sb);
}
