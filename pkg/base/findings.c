/* A list of everything that is wrong. */
#include "base/findings.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/strbuf.h"
#include "base/utf8.h"

/* MORE_BYTES: of "; and N more". */
enum { JOINED_BYTES = 30 * 1024, WORD_BYTES = 63, MORE_BYTES = 32 };

void findings_init(struct findings *f)
{
	*f = (struct findings){0};
}

static void finding_release(struct finding *item)
{
	free(item->path);
	free(item->message);
	free(item->statement);
}

void findings_release(struct findings *f)
{
	for (size_t i = 0; i < f->n; i++)
		finding_release(&f->items[i]);
	free(f->items);
	findings_init(f);
}

static void add_take(struct findings *f, struct finding item)
{
	size_t most = item.severity == FINDING_ERROR ? FINDINGS_MOST : FINDINGS_MOST / 2;

	if (f->n >= most) {
		f->dropped[item.severity]++;
		finding_release(&item);
		return;
	}
	ALLOC_GROW(f->items, f->n + 1, f->alloc);
	f->items[f->n++] = item;
}

void findings_add(struct findings *f, enum finding_severity severity, enum reason reason, const char *path,
		  const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	add_take(f, (struct finding){.severity = severity,
				     .reason = reason,
				     .path = xstrdup(path ? path : ""),
				     .message = xvasprintf(fmt, ap)});
	va_end(ap);
}

void findings_add_unknown(struct findings *f, enum reason reason, const char *path, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	add_take(f, (struct finding){
			    .reason = reason, .path = xstrdup(path), .message = xvasprintf(fmt, ap), .unknown = true});
	va_end(ap);
}

void findings_add_statement(struct findings *f, enum finding_severity severity, enum reason reason, const char *path,
			    const char *statement, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	add_take(f, (struct finding){.severity = severity,
				     .reason = reason,
				     .path = xstrdup(path ? path : ""),
				     .message = xvasprintf(fmt, ap),
				     .statement = xstrdup_or_null(statement)});
	va_end(ap);
}

void findings_add_copy(struct findings *f, const struct finding *item)
{
	findings_add_statement(f, item->severity, item->reason, item->path, item->statement, "%s", item->message);
}

static void add_dropped(struct findings *f, const struct findings *from)
{
	for (size_t i = 0; i < ARRAY_SIZE(f->dropped); i++)
		f->dropped[i] += from->dropped[i];
}

void findings_move(struct findings *f, struct findings *from)
{
	add_dropped(f, from);
	for (size_t i = 0; i < from->n; i++)
		add_take(f, from->items[i]);
	free(from->items);
	findings_init(from);
}

static const struct finding *first_error(const struct findings *f)
{
	for (size_t i = 0; i < f->n; i++)
		if (f->items[i].severity == FINDING_ERROR)
			return &f->items[i];
	return NULL;
}

void findings_copy(struct findings *f, const struct findings *from)
{
	for (size_t i = 0; i < from->n; i++)
		findings_add_copy(f, &from->items[i]);
	add_dropped(f, from);
}

bool findings_failed(const struct findings *f)
{
	return first_error(f) || f->dropped[FINDING_ERROR];
}

char *findings_summary(const struct findings *f, enum finding_severity severity, size_t max)
{
	size_t room = max > MORE_BYTES ? max - MORE_BYTES : 0;
	struct strbuf sb;
	size_t left = 0;

	strbuf_init(&sb, max);
	for (size_t i = 0; i < f->n; i++) {
		const struct finding *item = &f->items[i];
		_cleanup_free_ char *text =
			xasprintf("%s%s%s%s", sb.len ? "; " : "", item->path, *item->path ? ": " : "", item->message);

		if (item->severity != severity)
			continue;
		/* The first finding is cut rather than left out. */
		if (!left && (!sb.len || sb.len + strlen(text) <= room))
			strbuf_add(&sb, text, utf8_prefix(text, strlen(text), room));
		else
			left++;
	}
	left += f->dropped[severity];
	if (left)
		strbuf_addf(&sb, "%sand %zu more", sb.len ? "; " : "", left);
	return strbuf_detach(&sb);
}

char *findings_join(const struct findings *f, enum finding_severity severity, const char *sep)
{
	struct strbuf sb;
	const char *between = "";

	strbuf_init(&sb, JOINED_BYTES);
	for (size_t i = 0; i < f->n; i++) {
		const struct finding *item = &f->items[i];

		if (item->severity != severity)
			continue;
		strbuf_addf(&sb, "%s%s%s%s", between, item->path, *item->path ? ": " : "", item->message);
		between = sep;
	}
	if (f->dropped[severity])
		strbuf_addf(&sb, "%sand %zu more", between, f->dropped[severity]);
	return strbuf_detach(&sb);
}

int findings_err(const struct findings *f, struct err *err)
{
	const struct finding *first = first_error(f);
	_cleanup_free_ char *all = NULL;

	if (!findings_failed(f))
		return 0;
	all = findings_summary(f, FINDING_ERROR, ERR_MSG_BYTES - 1);
	return err_reason(err, ERR_INVALID, first ? first->reason : REASON_INVALID_SPEC, "%s", all);
}

static size_t min3(size_t a, size_t b, size_t c)
{
	size_t least = a < b ? a : b;

	return least < c ? least : c;
}

static bool differ(char a, char b)
{
	return tolower((unsigned char)a) != tolower((unsigned char)b);
}

/* How many characters to insert, leave out, replace, or swap with the next one (optimal string alignment), in two words
 * of at most WORD_BYTES; upper and lower case are the same. More than `most` if it is more. */
static size_t edit_distance(const char *a, size_t alen, const char *b, size_t blen, size_t most)
{
	size_t rows[3][WORD_BYTES + 1];
	size_t least = 0, least_above;

	for (size_t j = 0; j <= blen; j++)
		rows[0][j] = j;
	for (size_t i = 1; i <= alen; i++) {
		size_t *row = rows[i % 3], *above = rows[(i + 2) % 3], *before = rows[(i + 1) % 3];

		row[0] = i;
		least_above = least;
		least = i;
		for (size_t j = 1; j <= blen; j++) {
			row[j] = min3(above[j] + 1, row[j - 1] + 1, above[j - 1] + differ(a[i - 1], b[j - 1]));
			if (i > 1 && j > 1 && !differ(a[i - 1], b[j - 2]) && !differ(a[i - 2], b[j - 1]) &&
			    before[j - 2] + 1 < row[j])
				row[j] = before[j - 2] + 1;
			least = row[j] < least ? row[j] : least;
		}
		/* Every way to the end leads through one of two rows. */
		if (least > most && least_above > most)
			return most + 1;
	}
	return rows[alen % 3][blen];
}

bool finding_path_is_within(const char *path, const char *of)
{
	size_t len = strlen(of);

	return len == 0 || (strncmp(path, of, len) == 0 && (!path[len] || path[len] == '.' || path[len] == '['));
}

bool finding_is_about(const struct finding *finding, const char *path)
{
	return finding->severity == FINDING_ERROR &&
	       (finding_path_is_within(finding->path, path) || finding_path_is_within(path, finding->path));
}

bool findings_any_about(const struct findings *f, const char *path)
{
	for (size_t i = 0; i < f->n; i++)
		if (finding_is_about(&f->items[i], path))
			return true;
	return false;
}

const char *nearest_name(const char *word, const char *const *names, size_t n)
{
	size_t len = strlen(word);
	size_t best = len / 3 + 2;
	const char *found = NULL;

	if (len > WORD_BYTES)
		return NULL;
	for (size_t i = 0; i < n; i++) {
		size_t nlen = strlen(names[i]);
		size_t distance;

		/* It is at least the difference of the lengths. */
		if (nlen > WORD_BYTES || nlen > len + best || len > nlen + best)
			continue;
		distance = edit_distance(word, len, names[i], nlen, best);
		/* The first letter of a typo is usually right. */
		if (distance < best || (found && distance == best && *names[i] == *word && *found != *word)) {
			best = distance;
			found = names[i];
		}
	}
	return found;
}
