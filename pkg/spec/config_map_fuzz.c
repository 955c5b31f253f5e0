/* Any text as the schema in a ConfigMap, large ones too: a document or findings, within a time that grows with the size
 * of the text. The input is fragments, each after how often it is repeated (two bytes) and how long it is (one); a '#'
 * in one becomes the number of the repetition, so that names differ. One text in eight, by the last byte, may be large:
 * the others find errors more quickly. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/cursor.h"
#include "base/strbuf.h"
#include "spec/spec.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* RATIO, ROOM_S: to the time that the same text takes to parse, and what may come on top. */
enum { TEXT_BYTES = 2 * 1024, LARGE_TEXT_BYTES = 32 * 1024, RATIO = 80 };
static const double room_s = 0.2;

static void add_fragment(struct strbuf *text, const char *fragment, size_t len, unsigned times)
{
	for (unsigned i = 0; i < times && strbuf_ok(text); i++) {
		const char *from = fragment, *end = fragment + len, *hole;

		for (; (hole = memchr(from, '#', (size_t)(end - from))); from = hole + 1) {
			strbuf_add(text, from, (size_t)(hole - from));
			strbuf_addu(text, i);
		}
		strbuf_add(text, from, (size_t)(end - from));
	}
}

static void expand(const uint8_t *data, size_t size, struct strbuf *text)
{
	struct cursor c;
	uint16_t times;
	uint8_t len;
	const char *fragment;

	cursor_init(&c, data, size);
	while (cursor_u16(&c, &times) && cursor_u8(&c, &len) && cursor_bytes(&c, len, &fragment))
		add_fragment(text, fragment, len, times);
}

/* CPU time of this thread: what else runs on the machine does not count. */
static double thread_seconds(void)
{
	struct timespec now;

	(void)clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
	return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static double parse(const struct strbuf *text)
{
	double start = thread_seconds();

	json_decref(json_loadb(text->data, text->len, 0, NULL));
	return thread_seconds() - start;
}

static double decode(const struct strbuf *text)
{
	_cleanup_json_ json_t *resource =
		json_pack("{s:{s:s}, s:{s:{s:s, s:s, s:s}, s:{s:[s]}, s:{s:s, s:s}}}", "metadata", "name", "books",
			  "spec", "source", "host", "h", "database", "d", "user", "u", "sink", "urls", "https://h",
			  "schemaConfigMapRef", "name", "m", "key", "k");
	_cleanup_json_ json_t *config_maps = json_pack("{s:{s:o}}", "m", "k", jsonx_text(text->data));
	_cleanup_(spec_freep) struct spec *spec = NULL;
	struct findings f;
	double start;

	if (!resource || !config_maps)
		abort();
	findings_init(&f);
	spec = spec_decode(resource, &f);
	start = thread_seconds();
	spec_resolve(spec, &(struct spec_objects){.config_maps = config_maps}, &f);
	start = thread_seconds() - start;
	if (!spec->n_documents && !findings_failed(&f))
		abort();
	findings_release(&f);
	return start;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	bool large = size > 0 && data[size - 1] % 8 == 7;
	struct strbuf text;

	strbuf_init(&text, large ? LARGE_TEXT_BYTES : TEXT_BYTES);
	expand(data, size, &text);
	if (decode(&text) > RATIO * parse(&text) + room_s)
		abort();
	strbuf_release(&text);
	return 0;
}
