/* What requests say, checked: bodies of books and authors, and arguments of lists. One error for each wrong field. */
#include <string.h>

#include "base/parse.h"
#include "base/strbuf.h"
#include "bookstore.h"
#include "json/json.h"

enum {
	/* in characters */
	TITLE = 300,
	NAME = 200,
	BIO = 5000,
	Q = 200,
	AUTHORS = 20,
	PAGE_SIZE = 20,
	PAGE_NUMBERS = 10000,
	PAGE_SIZES = 100,
	MESSAGE_BYTES = 300,
};

static const char *const statuses[] = {"draft", "published", "withdrawn", NULL};
static const char one_of_statuses[] = "must be draft, published or withdrawn";

void form_wrong(json_t *errors, const char *field, const char *fmt, ...)
{
	char message[MESSAGE_BYTES];
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(message, sizeof(message), fmt, ap);
	va_end(ap);
	(void)json_array_append_new(
		errors, json_pack("{s:o, s:o}", "field", jsonx_text(field), "message", jsonx_text(message)));
}

/* --- texts */

size_t form_length(const char *text)
{
	size_t n = 0;

	for (; *text; text++)
		n += ((unsigned char)*text & 0xc0) != 0x80;
	return n;
}

const char *form_word(const char *text, const char *const *words)
{
	for (; *words; words++)
		if (strcmp(*words, text) == 0)
			return *words;
	return NULL;
}

static bool is_digits(const char *s, size_t n)
{
	return strspn(s, "0123456789") >= n;
}

bool form_is_price(const char *s)
{
	size_t whole = strspn(s, "0123456789"), part;

	if (whole < 1 || whole > 8)
		return false;
	if (!s[whole])
		return true;
	part = s[whole] == '.' ? strspn(s + whole + 1, "0123456789") : 0;
	return part >= 1 && part <= 2 && !s[whole + 1 + part];
}

/* The digits of an ISBN, without hyphens and blanks; NULL if there are not 10 or 13. Caller frees. */
static char *isbn_digits(const char *s)
{
	char digits[14];
	size_t n = 0;

	for (; *s; s++) {
		if (*s == '-' || *s == ' ')
			continue;
		if (n == 13 || !(is_digits(s, 1) || (n == 9 && *s == 'X')))
			return NULL;
		digits[n++] = *s;
	}
	digits[n] = '\0';
	return (n == 10 || n == 13) && is_digits(digits, n - (n == 10)) ? xstrdup(digits) : NULL;
}

static int two_digits(const char *s)
{
	return (s[0] - '0') * 10 + s[1] - '0';
}

/* Whether s matches a pattern in which 9 is any digit and everything else is itself. */
static bool looks_like(const char *s, const char *pattern, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (pattern[i] == '9' ? !is_digits(s + i, 1) : s[i] != pattern[i])
			return false;
	return true;
}

static bool is_day(const char *s)
{
	static const int days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
	int century, year, month, day;
	bool leap;

	if (!looks_like(s, "9999-99-99", 10))
		return false;
	century = two_digits(s);
	year = two_digits(s + 2);
	month = two_digits(s + 5);
	day = two_digits(s + 8);
	leap = year % 4 == 0 && (year != 0 || century % 4 == 0);
	return (century || year) && month >= 1 && month <= 12 && day >= 1 &&
	       day <= days[month - 1] + (leap && month == 2);
}

/* What follows the "T". */
static bool is_time(const char *s)
{
	size_t fraction;

	if (!looks_like(s, "99:99:99", 8) || two_digits(s) > 23 || two_digits(s + 3) > 59 || two_digits(s + 6) > 59)
		return false;
	s += 8;
	if (*s == '.') {
		fraction = strspn(s + 1, "0123456789");
		if (fraction < 1 || fraction > 9)
			return false;
		s += 1 + fraction;
	}
	if (strcmp(s, "Z") == 0 || strcmp(s, "z") == 0)
		return true;
	return (*s == '+' || *s == '-') && looks_like(s + 1, "99:99", 5) && !s[6] && two_digits(s + 1) <= 15 &&
	       two_digits(s + 4) <= 59;
}

bool form_is_date(const char *text)
{
	return is_day(text) && (!text[10] || ((text[10] == 'T' || text[10] == 't') && is_time(text + 11)));
}

bool form_is_id(const char *text)
{
	uint64_t id;

	return text[0] != '0' && parse_range(text, 1, INT64_MAX, &id);
}

/* --- fields of a body */

struct text_field {
	const char *name;
	size_t max;
};

/* A copy of a text that is not blank; NULL: it is absent, or wrong. */
static char *read_text(const json_t *body, const struct text_field *field, bool required, json_t *errors)
{
	const json_t *value = json_object_get(body, field->name);
	const char *text = json_string_value(value);

	if (!value && !required)
		return NULL;
	if (!value)
		form_wrong(errors, field->name, "is required");
	else if (!text)
		form_wrong(errors, field->name, "must be a string, found %s", jsonx_type_name(value));
	else if (!text[strspn(text, " \t\r\n")])
		form_wrong(errors, field->name, "must not be blank");
	else if (form_length(text) > field->max)
		form_wrong(errors, field->name, "must be at most %zu characters long, found %zu", field->max,
			   form_length(text));
	else
		return xstrdup(text);
	return NULL;
}

static void check_fields(json_t *body, const char *const *words, json_t *errors)
{
	const char *key;
	json_t *value;

	json_object_foreach (body, key, value)
		if (!form_word(key, words))
			form_wrong(errors, key, "is not a field");
}

static void read_isbn(const json_t *body, bool required, struct form_book *book, json_t *errors)
{
	_cleanup_free_ char *text = read_text(body, &(struct text_field){"isbn", 40}, required, errors);

	book->isbn = text ? isbn_digits(text) : NULL;
	if (text && !book->isbn)
		form_wrong(errors, "isbn", "must be an ISBN of 10 or 13 digits");
}

static void read_price(const json_t *body, bool required, struct form_book *book, json_t *errors)
{
	book->price = read_text(body, &(struct text_field){"price", 20}, required, errors);
	if (book->price && !form_is_price(book->price))
		form_wrong(errors, "price", "must be an amount such as \"15.99\", at most 99999999.99");
}

static void read_status(const json_t *body, struct form_book *book, json_t *errors)
{
	_cleanup_free_ char *text = read_text(body, &(struct text_field){"status", 20}, false, errors);

	book->status = text ? form_word(text, statuses) : NULL;
	if (text && !book->status)
		form_wrong(errors, "status", "%s", one_of_statuses);
}

static void read_published_at(const json_t *body, struct form_book *book, json_t *errors)
{
	const json_t *value = json_object_get(body, "published_at");

	book->has_published_at = value;
	if (!value || json_is_null(value))
		return;
	book->published_at = read_text(body, &(struct text_field){"published_at", 40}, false, errors);
	if (book->published_at && !form_is_date(book->published_at))
		form_wrong(errors, "published_at",
			   "must be null, or a date such as 2026-12-01 or 2026-12-01T10:00:00Z");
}

static bool is_id_list(const json_t *value)
{
	const json_t *id;
	size_t i;

	if (!json_is_array(value) || json_array_size(value) > AUTHORS)
		return false;
	json_array_foreach (value, i, id) {
		if (json_integer_value(id) < 1)
			return false;
		for (size_t j = 0; j < i; j++)
			if (json_integer_value(json_array_get(value, j)) == json_integer_value(id))
				return false;
	}
	return true;
}

static void read_author_ids(const json_t *body, struct form_book *book, json_t *errors)
{
	const json_t *value = json_object_get(body, "author_ids"), *id;
	struct strbuf literal;
	size_t i;

	if (!value)
		return;
	if (!is_id_list(value)) {
		form_wrong(errors, "author_ids", "must be at most %d different ids of authors", AUTHORS);
		return;
	}
	strbuf_init(&literal, 1000);
	pg_array_begin(&literal);
	json_array_foreach (value, i, id)
		pg_array_add_number(&literal, json_integer_value(id));
	pg_array_end(&literal);
	book->author_ids = strbuf_detach(&literal);
}

static char *read_version(const json_t *body, json_t *errors)
{
	return read_text(body, &(struct text_field){"version", 20}, false, errors);
}

/* --- bodies */

void form_read_book(const json_t *body, bool complete, struct form_book *ret, json_t *errors)
{
	static const char *const words[] = {"title",        "isbn",       "price",   "status",
					    "published_at", "author_ids", "version", NULL};

	*ret = (struct form_book){0};
	check_fields(
		(json_t *)body,
		complete ? (const char *const[]){"title", "isbn", "price", "status", "published_at", "author_ids", NULL}
			 : words,
		errors);
	ret->title = read_text(body, &(struct text_field){"title", TITLE}, complete, errors);
	read_isbn(body, complete, ret, errors);
	read_price(body, complete, ret, errors);
	read_status(body, ret, errors);
	read_published_at(body, ret, errors);
	read_author_ids(body, ret, errors);
	ret->version = complete ? NULL : read_version(body, errors);
}

void form_book_release(struct form_book *book)
{
	free(book->title);
	free(book->isbn);
	free(book->price);
	free(book->published_at);
	free(book->author_ids);
	free(book->version);
}

void form_read_author(const json_t *body, bool complete, struct form_author *ret, json_t *errors)
{
	static const char *const words[] = {"name", "bio", "version", NULL};
	const json_t *bio = json_object_get(body, "bio");

	*ret = (struct form_author){0};
	check_fields((json_t *)body, complete ? (const char *const[]){"name", "bio", NULL} : words, errors);
	ret->name = read_text(body, &(struct text_field){"name", NAME}, complete, errors);
	ret->has_bio = bio;
	if (bio && !json_is_null(bio))
		ret->bio = read_text(body, &(struct text_field){"bio", BIO}, false, errors);
	ret->version = complete ? NULL : read_version(body, errors);
}

void form_author_release(struct form_author *author)
{
	free(author->name);
	free(author->bio);
	free(author->version);
}

/* --- arguments */

void form_check_arguments(const struct web_request *request, const char *const *words, json_t *errors)
{
	for (size_t i = 0; i < request->n_arguments; i++) {
		const char *name = request->arguments[i].name;

		if (!form_word(name, words))
			form_wrong(errors, name, "is not a parameter");
		for (size_t j = 0; j < i; j++)
			if (strcmp(request->arguments[j].name, name) == 0) {
				form_wrong(errors, name, "must be given only once");
				break;
			}
	}
}

static unsigned read_number(const struct web_request *request, const char *name, unsigned most, unsigned otherwise,
			    json_t *errors)
{
	const char *text = web_argument(request, name);
	uint64_t n = otherwise;

	if (text && !parse_range(text, 1, most, &n))
		form_wrong(errors, name, "must be a number from 1 to %u", most);
	return (unsigned)n;
}

static void read_sort(const char *text, const char *const *sorts, struct form_list *ret, json_t *errors)
{
	ret->descending = *text == '-';
	text += ret->descending;
	for (size_t i = 0; sorts[i]; i++)
		if (strcmp(sorts[i], text) == 0) {
			ret->sort = i;
			return;
		}
	form_wrong(errors, "sort", "must be the name of a field, with a \"-\" before it for descending order");
}

void form_read_list(const struct web_request *request, const char *const *sorts, bool has_status, struct form_list *ret,
		    json_t *errors)
{
	static const char *const words[] = {"page", "page_size", "q", "sort", "status", NULL};
	static const char *const without_status[] = {"page", "page_size", "q", "sort", NULL};
	const char *status = has_status ? web_argument(request, "status") : NULL;
	const char *sort = web_argument(request, "sort");

	*ret = (struct form_list){0};
	form_check_arguments(request, has_status ? words : without_status, errors);
	ret->page = read_number(request, "page", PAGE_NUMBERS, 1, errors);
	ret->page_size = read_number(request, "page_size", PAGE_SIZES, PAGE_SIZE, errors);
	ret->q = web_argument(request, "q");
	if (ret->q && form_length(ret->q) > Q)
		form_wrong(errors, "q", "must be at most %d characters long", Q);
	if (status) {
		ret->status = form_word(status, statuses);
		if (!ret->status)
			form_wrong(errors, "status", "%s", one_of_statuses);
	}
	if (sort)
		read_sort(sort, sorts, ret, errors);
}
