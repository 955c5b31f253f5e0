/* Scalars of YAML as Kubernetes reads them.
 *
 * Kubernetes turns YAML into JSON before anything else reads it, by the rules of YAML 1.1 as its library implements
 * them (sigs.k8s.io/yaml over go-yaml v2): yes, no, on, off, y and n are booleans; 0777 and 0o777 are octal; 1_000 is
 * 1000; a timestamp stays a string; base 60 does not exist. A number without a fraction becomes a JSON integer, however
 * it is written (1e3, 5432.0).
 */
#include <math.h>
#include <stdint.h>
#include <string.h>

#include "base/mem.h"
#include "json/json.h"
#include "json/json_int.h"

enum { NUMBER_BYTES = 400 }; /* a longer plain scalar is not a number */

enum scalar { SCALAR_STRING, SCALAR_NULL, SCALAR_TRUE, SCALAR_FALSE, SCALAR_INFINITE, SCALAR_NUMBER };

static const struct word {
	const char *text;
	enum scalar scalar;
} words[] = {
	{"", SCALAR_NULL},          {"~", SCALAR_NULL},         {"null", SCALAR_NULL},      {"Null", SCALAR_NULL},
	{"NULL", SCALAR_NULL},      {"true", SCALAR_TRUE},      {"True", SCALAR_TRUE},      {"TRUE", SCALAR_TRUE},
	{"y", SCALAR_TRUE},         {"Y", SCALAR_TRUE},         {"yes", SCALAR_TRUE},       {"Yes", SCALAR_TRUE},
	{"YES", SCALAR_TRUE},       {"on", SCALAR_TRUE},        {"On", SCALAR_TRUE},        {"ON", SCALAR_TRUE},
	{"false", SCALAR_FALSE},    {"False", SCALAR_FALSE},    {"FALSE", SCALAR_FALSE},    {"n", SCALAR_FALSE},
	{"N", SCALAR_FALSE},        {"no", SCALAR_FALSE},       {"No", SCALAR_FALSE},       {"NO", SCALAR_FALSE},
	{"off", SCALAR_FALSE},      {"Off", SCALAR_FALSE},      {"OFF", SCALAR_FALSE},      {".nan", SCALAR_INFINITE},
	{".NaN", SCALAR_INFINITE},  {".NAN", SCALAR_INFINITE},  {".inf", SCALAR_INFINITE},  {".Inf", SCALAR_INFINITE},
	{".INF", SCALAR_INFINITE},  {"+.inf", SCALAR_INFINITE}, {"+.Inf", SCALAR_INFINITE}, {"+.INF", SCALAR_INFINITE},
	{"-.inf", SCALAR_INFINITE}, {"-.Inf", SCALAR_INFINITE}, {"-.INF", SCALAR_INFINITE},
};

static bool digits_in(const char *s, unsigned base, bool *ret_overflow, uint64_t *ret)
{
	uint64_t value = 0;

	if (!*s)
		return false;
	for (; *s; s++) {
		unsigned digit = *s >= '0' && *s <= '9'   ? (unsigned)(*s - '0')
				 : *s >= 'a' && *s <= 'f' ? (unsigned)(*s - 'a' + 10)
				 : *s >= 'A' && *s <= 'F' ? (unsigned)(*s - 'A' + 10)
							  : UINT32_MAX;

		if (digit >= base)
			return false;
		if (value > (UINT64_MAX - digit) / base)
			*ret_overflow = true;
		value = value * base + digit;
	}
	*ret = value;
	return true;
}

/* An integer in the notations of Go: an optional sign, then decimal, 0x, 0o, 0b, or octal after a 0. */
static bool is_integer(const char *s, bool *ret_overflow, int64_t *ret)
{
	bool negative = *s == '-';
	unsigned base = 10;
	uint64_t value;

	if (*s == '-' || *s == '+')
		s++;
	if (s[0] == '0' && s[1]) {
		char c = (char)(s[1] | 0x20);

		base = c == 'x' ? 16 : c == 'b' ? 2 : 8;
		s += c == 'x' || c == 'b' || c == 'o' ? 2 : 1;
	}
	if (!digits_in(s, base, ret_overflow, &value))
		return false;
	if (value > (uint64_t)INT64_MAX + negative)
		*ret_overflow = true;
	if (!*ret_overflow)
		*ret = negative ? (int64_t)(0 - value) : (int64_t)value;
	return true;
}

static const char *skip_digits(const char *s)
{
	return s + strspn(s, "0123456789");
}

/* [-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)? */
static bool is_real(const char *s)
{
	const char *from;

	if (*s == '-' || *s == '+')
		s++;
	from = s;
	s = skip_digits(s);
	if (*s == '.') {
		const char *fraction = ++s;

		s = skip_digits(s);
		if (s == fraction && fraction == from + 1)
			return false;
	} else if (s == from) {
		return false;
	}
	if (*s == 'e' || *s == 'E') {
		s++;
		if (*s == '-' || *s == '+')
			s++;
		from = s;
		s = skip_digits(s);
		if (s == from)
			return false;
	}
	return *s == '\0';
}

/* The text without underscores, when it begins as a number does. */
static bool number_text(const char *text, size_t len, char buf[NUMBER_BYTES])
{
	size_t n = 0;
	bool dot = text[0] == '.';

	if (len >= NUMBER_BYTES || !memchr("+-.0123456789", text[0], 13))
		return false;
	for (size_t i = 0; i < len; i++)
		if (text[i] != '_' || dot)
			buf[n++] = text[i];
	buf[n] = '\0';
	return true;
}

static const char *real(double value, json_t **ret)
{
	if (value == floor(value) && value >= -0x1p63 && value < 0x1p63)
		*ret = jsonx_must(json_integer((json_int_t)value));
	else
		*ret = jsonx_must(json_real(value));
	return NULL;
}

/* Sets *ret if the text is a number. Returns a problem if the number does not fit. */
static const char *decode_number(const char *text, size_t len, json_t **ret)
{
	char buf[NUMBER_BYTES];
	bool overflow = false;
	int64_t integer;
	double value;

	if (!len || !number_text(text, len, buf))
		return NULL;
	if (is_integer(buf, &overflow, &integer)) {
		if (overflow)
			return "an integer beyond 64 bits; quote it if it is meant as a string";
		*ret = jsonx_must(json_integer(integer));
		return NULL;
	}
	if (!is_real(buf))
		return NULL;
	value = strtod(buf, NULL);
	/* Go keeps a number that overflows a double as a string. */
	return isinf(value) ? NULL : real(value, ret);
}

static const char *resolve(const char *text, size_t len, json_t **ret)
{
	for (size_t i = 0; i < ARRAY_SIZE(words); i++) {
		if (strlen(words[i].text) != len || memcmp(words[i].text, text, len) != 0)
			continue;
		if (words[i].scalar == SCALAR_INFINITE)
			return "JSON has neither infinity nor NaN; quote it if it is meant as a string";
		*ret = words[i].scalar == SCALAR_NULL ? json_null() : json_boolean(words[i].scalar == SCALAR_TRUE);
		return NULL;
	}
	return decode_number(text, len, ret);
}

static const char *string(const char *text, size_t len, json_t **ret)
{
	if (memchr(text, '\0', len))
		return "a NUL character in a string";
	*ret = json_stringn(text, len);
	return *ret ? NULL : "a string that is not UTF-8";
}

static const char *tagged(const char *text, size_t len, const char *kind, json_t **ret)
{
	_cleanup_json_ json_t *value = NULL;
	const char *problem;

	if (strcmp(kind, "str") == 0 || strcmp(kind, "timestamp") == 0)
		return string(text, len, ret);
	problem = resolve(text, len, &value);
	if (problem)
		return problem;
	if ((strcmp(kind, "null") == 0 && json_is_null(value)) ||
	    (strcmp(kind, "bool") == 0 && json_is_boolean(value)) ||
	    (strcmp(kind, "int") == 0 && json_is_integer(value)) ||
	    (strcmp(kind, "float") == 0 && json_is_number(value))) {
		*ret = TAKE_PTR(value);
		return NULL;
	}
	return "a value that does not fit its tag, or a tag that is not supported";
}

const char *jsonx_yaml_scalar(const char *text, size_t len, const char *tag, bool plain, json_t **ret)
{
	static const char prefix[] = "tag:yaml.org,2002:";
	const char *problem;

	if (tag && strncmp(tag, prefix, sizeof(prefix) - 1) == 0)
		return tagged(text, len, tag + sizeof(prefix) - 1, ret);
	if (tag && strcmp(tag, "!") != 0)
		return "a tag that is not supported";
	if (tag || !plain)
		return string(text, len, ret);
	*ret = NULL;
	problem = resolve(text, len, ret);
	if (problem || *ret)
		return problem;
	return string(text, len, ret);
}
