/* Fuzzes the decoder of bulk answers. The first byte says how many actions the request had. */
#include <assert.h>

#include "search/bulk_int.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct bulk_answer answer;
	struct err err;
	size_t n;

	if (!size)
		return 0;
	n = data[0] % 16;
	if (bulk_decode((const char *)data + 1, size - 1, n, &answer, &err) < 0) {
		assert(err.kind == ERR_INVALID && err.msg[0]);
		return 0;
	}
	for (size_t i = 0; i < n; i++) {
		struct bulk_item item = bulk_answer_item(&answer, i);

		assert(item.status >= 100 && item.status <= 599);
		if (item.type)
			assert(strlen(item.type) <= size && strlen(item.reason) <= size);
		bulk_item_compare(&item, "books-g1", "1", 1);
		(void)bulk_judge(i & 1, &item);
	}
	bulk_answer_release(&answer);
	return 0;
}
