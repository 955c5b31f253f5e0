/* Any bytes: a string written as JSON is the same when read back, and a number that is accepted has the value of its
 * text. */
#include <assert.h>
#include <inttypes.h>
#include <string.h>

#include "base/mem.h"
#include "base/parse.h"
#include "base/strbuf.h"
#include "base/utf8.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static bool is_utf8(const char *s, size_t len)
{
	while (len) {
		size_t n = utf8_sequence(s, len);

		if (!n)
			return false;
		s += n;
		len -= n;
	}
	return true;
}

static unsigned hex(char c)
{
	assert((c >= '0' && c <= '9') || (c >= 'a' && c <= 'f'));
	return (unsigned)(c <= '9' ? c - '0' : c - 'a' + 10);
}

/* The four hexadecimal digits at s. */
static unsigned code_unit(const char *s)
{
	return hex(s[0]) << 12 | hex(s[1]) << 8 | hex(s[2]) << 4 | hex(s[3]);
}

static void add_utf8(struct strbuf *out, unsigned c)
{
	assert(c < 0xD800 || c > 0xDFFF);
	if (c < 0x80) {
		strbuf_addc(out, (char)c);
		return;
	}
	if (c < 0x800) {
		strbuf_addc(out, (char)(0xC0 | c >> 6));
	} else {
		strbuf_addc(out, (char)(0xE0 | c >> 12));
		strbuf_addc(out, (char)(0x80 | (c >> 6 & 0x3F)));
	}
	strbuf_addc(out, (char)(0x80 | (c & 0x3F)));
}

/* Undoes the escapes of a JSON string without its quotes; only what terminals act on is ever written as \u. */
static void unescape(const char *s, size_t len, struct strbuf *out)
{
	static const char from[] = "\"\\btnfr";
	static const char to[] = "\"\\\b\t\n\f\r";

	for (size_t i = 0; i < len; i++) {
		assert((unsigned char)s[i] >= 0x20 && s[i] != '"');
		if (s[i] != '\\') {
			strbuf_addc(out, s[i]);
		} else if (s[i + 1] == 'u') {
			assert(i + 5 < len && utf8_acts_on_terminals(code_unit(s + i + 2)));
			add_utf8(out, code_unit(s + i + 2));
			i += 5;
		} else {
			const char *at = strchr(from, s[++i]);

			assert(i < len && at && *at);
			strbuf_addc(out, to[at - from]);
		}
	}
}

static void check_json(const char *s, size_t len)
{
	struct strbuf json, back;

	strbuf_init(&json, 6 * len + 2);
	strbuf_init(&back, 6 * len + 2);
	strbuf_add_json(&json, s, len);
	assert(strbuf_ok(&json) && json.len >= 2 && json.data[0] == '"' && json.data[json.len - 1] == '"');
	assert(is_utf8(json.data, json.len));
	unescape(json.data + 1, json.len - 2, &back);
	if (is_utf8(s, len))
		assert(back.len == len && memcmp(back.data, s, len) == 0);
	strbuf_release(&json);
	strbuf_release(&back);
}

static void check_numbers(const char *s)
{
	char lsn[LSN_BYTES];
	uint64_t value, again;
	int64_t ms;

	if (parse_u64(s, strlen(s), &value)) {
		_cleanup_free_ char *text = xasprintf("%" PRIu64, value);
		size_t zeros = strspn(s, "0");

		assert(strcmp(text, s[zeros] ? s + zeros : "0") == 0);
	}
	if (parse_lsn(s, &value))
		assert(parse_lsn(lsn_format(value, lsn), &again) && again == value);
	if (parse_duration_ms(s, &ms))
		assert(ms >= 0);
	if (parse_range(s, 5, 70000, &value))
		assert(value >= 5 && value <= 70000);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	_cleanup_free_ char *text = xstrndup((const char *)data, size);

	check_json(text, size);
	check_numbers(text);
	return 0;
}
