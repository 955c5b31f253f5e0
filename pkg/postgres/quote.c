/* Identifiers, literals and array literals as Postgres reads them. */
#include <inttypes.h>
#include <string.h>

#include "postgres/pg_int.h"

static void add_doubled(struct strbuf *sb, const char *s, char quote)
{
	const char *hit;

	strbuf_addc(sb, quote);
	while ((hit = strchr(s, quote))) {
		strbuf_add(sb, s, (size_t)(hit - s) + 1);
		strbuf_addc(sb, quote);
		s = hit + 1;
	}
	strbuf_adds(sb, s);
	strbuf_addc(sb, quote);
}

void pg_quote_ident(struct strbuf *sb, const char *name)
{
	add_doubled(sb, name, '"');
}

void pg_quote_literal(struct strbuf *sb, const char *value)
{
	add_doubled(sb, value, '\'');
}

void pg_quote_table(struct strbuf *sb, const char *schema, const char *table)
{
	pg_quote_ident(sb, schema);
	strbuf_addc(sb, '.');
	pg_quote_ident(sb, table);
}

char *pg_statement(const char *format, ...)
{
	static const char hole[] = "%I";
	struct strbuf sb;
	const char *at;
	va_list ap;

	strbuf_init(&sb, PG_SQL_BYTES);
	va_start(ap, format);
	for (; (at = strstr(format, hole)); format = at + strlen(hole)) {
		strbuf_add(&sb, format, (size_t)(at - format));
		pg_quote_ident(&sb, va_arg(ap, const char *));
	}
	va_end(ap);
	strbuf_adds(&sb, format);
	return strbuf_detach(&sb);
}

void pg_array_begin(struct strbuf *sb)
{
	strbuf_addc(sb, '{');
}

/* Elements end with a quote, NULL's L or a digit, so an open brace at the end means that the next element is the
 * first. */
static void separate(struct strbuf *sb)
{
	if (sb->len > 0 && sb->data[sb->len - 1] != '{')
		strbuf_addc(sb, ',');
}

void pg_array_add(struct strbuf *sb, const char *value, size_t len)
{
	size_t start = 0;

	separate(sb);
	if (!value) {
		strbuf_adds(sb, "NULL");
		return;
	}
	strbuf_addc(sb, '"');
	for (size_t i = 0; i < len; i++) {
		if (value[i] != '"' && value[i] != '\\')
			continue;
		strbuf_add(sb, value + start, i - start);
		strbuf_addc(sb, '\\');
		start = i;
	}
	strbuf_add(sb, value + start, len - start);
	strbuf_addc(sb, '"');
}

void pg_array_add_number(struct strbuf *sb, int64_t value)
{
	separate(sb);
	strbuf_addf(sb, "%" PRId64, value);
}

void pg_array_end(struct strbuf *sb)
{
	strbuf_addc(sb, '}');
}
