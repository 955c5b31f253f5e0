/* A growing byte buffer that cannot be created without its maximum. */
#include "base/strbuf.h"

#include <assert.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/utf8.h"

static char empty[1];

void strbuf_init(struct strbuf *sb, size_t max)
{
	assert(max < SIZE_MAX / 4);
	*sb = (struct strbuf){.data = empty, .max = max};
}

void strbuf_init_secret(struct strbuf *sb, size_t max)
{
	strbuf_init(sb, max);
	sb->secret = true;
}

static void forget_data(struct strbuf *sb)
{
	*sb = (struct strbuf){.data = empty, .max = sb->max, .secret = sb->secret};
}

static void free_data(struct strbuf *sb)
{
	if (!sb->alloc)
		return;
	if (sb->secret)
		free_secret(sb->data);
	else
		free(sb->data);
}

void strbuf_release(struct strbuf *sb)
{
	free_data(sb);
	forget_data(sb);
}

void strbuf_reset(struct strbuf *sb)
{
	strbuf_truncate(sb, 0);
	sb->overflow = false;
}

bool strbuf_ok(const struct strbuf *sb)
{
	return !sb->overflow;
}

static void grow(struct strbuf *sb, size_t alloc)
{
	if (sb->secret) {
		char *moved = memcpy(xmalloc(alloc), sb->data, sb->len);

		free_data(sb);
		sb->data = moved;
	} else {
		sb->data = xrealloc(sb->alloc ? sb->data : NULL, alloc);
	}
	sb->alloc = alloc;
	sb->data[sb->len] = '\0';
}

char *strbuf_reserve(struct strbuf *sb, size_t extra)
{
	size_t need;

	if (sb->overflow || extra > sb->max - sb->len) {
		sb->overflow = true;
		return NULL;
	}
	need = sb->len + extra + 1;
	if (need > sb->alloc) {
		size_t want = sb->alloc + sb->alloc / 2 + 64;

		if (want > sb->max + 1)
			want = sb->max + 1;
		if (want < need)
			want = need;
		grow(sb, want);
	}
	return sb->data + sb->len;
}

void strbuf_add(struct strbuf *sb, const void *data, size_t len)
{
	char *to = strbuf_reserve(sb, len);

	if (!to || !len)
		return;
	memcpy(to, data, len);
	sb->len += len;
	sb->data[sb->len] = '\0';
}

void strbuf_adds(struct strbuf *sb, const char *s)
{
	strbuf_add(sb, s, strlen(s));
}

void strbuf_addc(struct strbuf *sb, char c)
{
	strbuf_add(sb, &c, 1);
}

void strbuf_vaddf(struct strbuf *sb, const char *fmt, va_list ap)
{
	va_list again;
	int len;
	char *to;

	va_copy(again, ap);
	len = vsnprintf(NULL, 0, fmt, again);
	va_end(again);
	assert(len >= 0);
	to = strbuf_reserve(sb, (size_t)len);
	if (!to)
		return;
	(void)vsnprintf(to, (size_t)len + 1, fmt, ap);
	sb->len += (size_t)len;
}

void strbuf_addf(struct strbuf *sb, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	strbuf_vaddf(sb, fmt, ap);
	va_end(ap);
}

void strbuf_addu(struct strbuf *sb, unsigned long long value)
{
	char digits[24];
	size_t at = sizeof(digits);

	do {
		digits[--at] = (char)('0' + value % 10);
		value /= 10;
	} while (value);
	strbuf_add(sb, digits + at, sizeof(digits) - at);
}

static void add_control_escape(struct strbuf *sb, unsigned c)
{
	static const char shorts[] = {['\b'] = 'b', ['\t'] = 't', ['\n'] = 'n', ['\f'] = 'f', ['\r'] = 'r'};

	if (c == '"' || c == '\\')
		strbuf_addf(sb, "\\%c", (int)c);
	else if (c < sizeof(shorts) && shorts[c])
		strbuf_addf(sb, "\\%c", shorts[c]);
	else
		strbuf_addf(sb, "\\u%04x", c);
}

void strbuf_add_json(struct strbuf *sb, const char *s, size_t len)
{
	size_t from = 0;

	strbuf_addc(sb, '"');
	for (size_t i = 0; i < len;) {
		unsigned char c = (unsigned char)s[i];
		size_t n = utf8_sequence(s + i, len - i);

		if (n && c != '"' && c != '\\' && !utf8_acts_on_terminals(utf8_code_point(s + i, n))) {
			i += n;
			continue;
		}
		strbuf_add(sb, s + from, i - from);
		if (n)
			add_control_escape(sb, utf8_code_point(s + i, n));
		else
			strbuf_adds(sb, "\xEF\xBF\xBD");
		i += n ? n : 1;
		from = i;
	}
	strbuf_add(sb, s + from, len - from);
	strbuf_addc(sb, '"');
}

void strbuf_truncate(struct strbuf *sb, size_t len)
{
	assert(len <= sb->len);
	if (sb->secret && sb->alloc)
		explicit_bzero(sb->data + len, sb->len - len);
	sb->len = len;
	if (sb->alloc)
		sb->data[len] = '\0';
}

char *strbuf_detach(struct strbuf *sb)
{
	char *data = sb->alloc ? sb->data : xstrdup("");

	forget_data(sb);
	return data;
}
