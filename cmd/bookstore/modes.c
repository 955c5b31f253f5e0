/* Turns what is typed into the body of a search, in one of twelve ways. */
#include <string.h>

#include "base/parse.h"
#include "bookstore.h"

enum { Q = 200 /* characters */, SIZES = 50, SIZE = 10 };

/* Where words are looked for; a title counts twice. */
static json_t *all_fields(void)
{
	return json_pack("[s, s, s]", "title^2", "authors.name", "isbn");
}

/* --- one function a mode: what is typed to "query" */

static json_t *multi_match(const char *q, const char *key, const char *value)
{
	json_t *match = json_pack("{s:s, s:o}", "query", q, "fields", all_fields());

	if (key)
		(void)json_object_set_new(match, key, json_string(value));
	return json_pack("{s:o}", "multi_match", match);
}

static json_t *fuzzy(const struct modes_input *in)
{
	return multi_match(in->q, "fuzziness", "AUTO");
}

static json_t *match(const struct modes_input *in)
{
	return multi_match(in->q, NULL, NULL);
}

static json_t *phrase(const struct modes_input *in)
{
	return multi_match(in->q, "type", "phrase");
}

static json_t *phrase_prefix(const struct modes_input *in)
{
	return multi_match(in->q, "type", "phrase_prefix");
}

static json_t *as_you_type(const struct modes_input *in)
{
	return multi_match(in->q, "type", "bool_prefix");
}

/* The same query of single terms in several fields, one of which must match. */
static json_t *in_each_field(const char *kind, const char *q, bool exact)
{
	static const char *const words[] = {"title", "authors.name", "isbn"};
	static const char *const whole[] = {"title.keyword", "authors.name.keyword", "isbn.keyword"};
	json_t *should = json_array();

	for (size_t i = 0; i < ARRAY_SIZE(words); i++) {
		json_t *term = json_pack("{s:s}", "value", q);

		if (!exact)
			(void)json_object_set_new(term, "case_insensitive", json_true());
		(void)json_array_append_new(should, json_pack("{s:{s:o}}", kind, exact ? whole[i] : words[i], term));
	}
	return json_pack("{s:{s:o}}", "bool", "should", should);
}

static json_t *prefix(const struct modes_input *in)
{
	return in_each_field("prefix", in->q, false);
}

static json_t *wildcard(const struct modes_input *in)
{
	return in_each_field("wildcard", in->q, false);
}

static json_t *regexp(const struct modes_input *in)
{
	return in_each_field("regexp", in->q, false);
}

static json_t *exact_term(const struct modes_input *in)
{
	return in_each_field("term", in->q, true);
}

static json_t *query_string(const struct modes_input *in)
{
	return json_pack("{s:{s:s, s:o}}", "query_string", "query", in->q, "fields", all_fields());
}

/* "+word" must be there, "-word" must not, any other may be. */
static json_t *boolean(const struct modes_input *in)
{
	json_t *must = json_array(), *should = json_array(), *must_not = json_array();

	for (const char *at = in->q; *at;) {
		size_t blanks = strspn(at, " "), len = strcspn(at + blanks, " ");
		const char *word = at + blanks;
		json_t *list = *word == '+' ? must : *word == '-' ? must_not : should;
		size_t sign = list == should ? 0 : 1;

		if (len > sign) {
			_cleanup_free_ char *plain = xstrndup(word + sign, len - sign);

			(void)json_array_append_new(list, multi_match(plain, NULL, NULL));
		}
		at = word + len;
	}
	return json_pack("{s:{s:o, s:o, s:o}}", "bool", "must", must, "should", should, "must_not", must_not);
}

/* A number as it was typed, but for leading zeros, which JSON does not have. */
static json_t *number(const char *text)
{
	while (text[0] == '0' && text[1] >= '0' && text[1] <= '9')
		text++;
	return json_loads(text, JSON_DECODE_ANY, NULL);
}

static void add_bounds(json_t *filter, const char *field, json_t *from, json_t *to)
{
	json_t *bounds = json_object();

	if (from)
		(void)json_object_set_new(bounds, "gte", from);
	if (to)
		(void)json_object_set_new(bounds, "lte", to);
	if (json_object_size(bounds))
		(void)json_array_append_new(filter, json_pack("{s:{s:o}}", "range", field, bounds));
	else
		json_decref(bounds);
}

static json_t *range(const struct modes_input *in)
{
	json_t *filter = json_array();
	json_t *must = *in->q ? multi_match(in->q, NULL, NULL) : json_pack("{s:{}}", "match_all");

	add_bounds(filter, "price", in->min_price ? number(in->min_price) : NULL,
		   in->max_price ? number(in->max_price) : NULL);
	add_bounds(filter, "published_at", in->from ? json_string(in->from) : NULL,
		   in->to ? json_string(in->to) : NULL);
	return json_pack("{s:{s:o, s:o}}", "bool", "must", must, "filter", filter);
}

/* --- the table */

const char *const modes_words[] = {"fuzzy",    "match",       "phrase", "phrase_prefix", "prefix",
				   "wildcard", "regexp",      "range",  "boolean",       "query_string",
				   "term",     "as_you_type", NULL};

static json_t *(*const builders[])(const struct modes_input *in) = {fuzzy,   match,        phrase,     phrase_prefix,
								    prefix,  wildcard,     regexp,     range,
								    boolean, query_string, exact_term, as_you_type};

json_t *modes_query(const struct modes_input *input)
{
	for (size_t i = 0; i < ARRAY_SIZE(builders); i++)
		if (strcmp(modes_words[i], input->mode) == 0)
			return json_pack("{s:o, s:{s:[s], s:[s], s:{s:{}, s:{}, s:{}}}, s:i}", "query",
					 builders[i](input), "highlight", "pre_tags", "<mark>", "post_tags", "</mark>",
					 "fields", "title", "authors.name", "isbn", "size", input->size);
	return NULL;
}

/* --- reading */

/* "", which an empty field of a form sends, is as if absent. */
static const char *optional(const struct web_request *request, const char *name, bool (*is_right)(const char *),
			    json_t *errors)
{
	const char *value = web_argument(request, name);

	if (!value || !*value)
		return NULL;
	if (!is_right(value))
		form_wrong(errors, name,
			   "is neither empty nor valid: expected 15.99 for a price, 2026-12-01 for a date");
	return value;
}

static void read_q(const struct web_request *request, struct modes_input *ret, json_t *errors)
{
	const char *q = web_argument(request, "q");

	ret->q = q ? q : "";
	if (form_length(ret->q) > Q)
		form_wrong(errors, "q", "must be at most %d characters long", Q);
	else if (!ret->q[strspn(ret->q, " ")] && strcmp(ret->mode, "range") != 0)
		form_wrong(errors, "q", "is required: what to search for");
}

static const char *read_after(const struct web_request *request, json_t *errors)
{
	const char *after = web_argument(request, "after");
	uint64_t lsn;

	if (after && !parse_lsn(after, &lsn))
		form_wrong(
			errors, "after",
			"must be a position such as 16/B374D848: what Commit-Position says in the answer to a write");
	return after;
}

void modes_read(const struct web_request *request, struct modes_input *ret, json_t *errors)
{
	static const char *const words[] = {"q", "mode", "size", "min_price", "max_price", "from", "to", "after", NULL};
	const char *mode = web_argument(request, "mode"), *size = web_argument(request, "size");
	const char *known = mode ? form_word(mode, modes_words) : NULL;
	uint64_t n = SIZE;

	*ret = (struct modes_input){.mode = known ? known : "fuzzy"};
	form_check_arguments(request, words, errors);
	if (mode && !known)
		form_wrong(errors, "mode", "is not a mode: expected fuzzy, match, phrase, ...");
	if (size && !parse_range(size, 1, SIZES, &n))
		form_wrong(errors, "size", "must be a number from 1 to %d", SIZES);
	ret->size = (int)n;
	read_q(request, ret, errors);
	ret->min_price = optional(request, "min_price", form_is_price, errors);
	ret->max_price = optional(request, "max_price", form_is_price, errors);
	ret->from = optional(request, "from", form_is_date, errors);
	ret->to = optional(request, "to", form_is_date, errors);
	ret->after = read_after(request, errors);
}
