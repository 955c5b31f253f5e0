/* Answers to bulk requests, scanned without building a tree, which would be many times the size of the request. */
#include "base/parse.h"
#include "search/bulk_int.h"
#include "json/json.h"

enum { MOST_CAUSES = 4 };

struct scanner {
	const char *at, *end;
};

static void skip_blanks(struct scanner *c)
{
	while (c->at < c->end && (*c->at == ' ' || *c->at == '\t' || *c->at == '\n' || *c->at == '\r'))
		c->at++;
}

static bool take_word(struct scanner *c, const char *word)
{
	size_t len = strlen(word);

	skip_blanks(c);
	if ((size_t)(c->end - c->at) < len || memcmp(c->at, word, len) != 0)
		return false;
	c->at += len;
	return true;
}

static bool take_number(struct scanner *c, int64_t *ret)
{
	const char *from;
	uint64_t value;

	skip_blanks(c);
	from = c->at;
	while (c->at < c->end && *c->at >= '0' && *c->at <= '9')
		c->at++;
	if (!parse_u64(from, (size_t)(c->at - from), &value) || value > INT64_MAX)
		return false;
	*ret = (int64_t)value;
	return true;
}

struct slice {
	const char *at;
	size_t len;
};

/* A string with its quotes; escapes stay as they are. */
static bool take_string(struct scanner *c, struct slice *ret)
{
	skip_blanks(c);
	if (c->at == c->end || *c->at != '"')
		return false;
	ret->at = c->at++;
	while (c->at < c->end && *c->at != '"')
		c->at += *c->at == '\\' && c->at + 1 < c->end ? 2 : 1;
	if (c->at == c->end)
		return false;
	c->at++;
	ret->len = (size_t)(c->at - ret->at);
	return true;
}

static bool slice_equals(const struct slice *s, const char *quoted)
{
	return s->len == strlen(quoted) && !memcmp(s->at, quoted, s->len);
}

static bool is_delimiter(char c)
{
	return !c || strchr(" \t\r\n,:{}[]\"", c);
}

/* Any value. The content of brackets is skipped by counting them. */
static bool skip_value(struct scanner *c)
{
	struct slice ignored;
	size_t depth = 0;

	do {
		skip_blanks(c);
		if (c->at == c->end)
			return false;
		if (*c->at == '"') {
			if (!take_string(c, &ignored))
				return false;
		} else if (*c->at == '{' || *c->at == '[') {
			depth++;
			c->at++;
		} else if (depth && is_delimiter(*c->at)) {
			depth -= *c->at == '}' || *c->at == ']';
			c->at++;
		} else if (is_delimiter(*c->at)) {
			return false;
		} else { /* a number or a word */
			while (c->at < c->end && !is_delimiter(*c->at))
				c->at++;
		}
	} while (depth);
	return true;
}

/* The next key of an object that was entered with "{"; *more is false at its end. */
static bool take_key(struct scanner *c, bool *first, bool *more, struct slice *ret)
{
	*more = !take_word(c, "}");
	if (!*more)
		return true;
	if (!*first && !take_word(c, ","))
		return false;
	*first = false;
	return take_string(c, ret) && take_word(c, ":");
}

/* Appends the text of a JSON string; nothing if the value is not a string. */
static bool copy_string(struct scanner *c, struct strbuf *to)
{
	_cleanup_json_ json_t *value = NULL;
	struct slice text;

	skip_blanks(c);
	if (c->at == c->end || *c->at != '"')
		return skip_value(c);
	if (!take_string(c, &text))
		return false;
	value = json_loadb(text.at, text.len, JSON_DECODE_ANY, NULL);
	if (value)
		strbuf_adds(to, json_string_value(value));
	else /* such as an escaped NUL of the document that the reason quotes: keep the text with its escapes */
		strbuf_add(to, text.at + 1, text.len - 2);
	return strbuf_ok(to);
}

/* "error": {"type": ..., "reason": ..., "caused_by": {the same}}. The reasons follow one another, outermost first, as
 * the engine writes them. type: NULL for a cause. */
static bool take_error(struct scanner *c, struct strbuf *type, struct strbuf *reason, unsigned depth)
{
	bool first = true, more;
	struct slice key;

	if (depth > MOST_CAUSES || !take_word(c, "{"))
		return skip_value(c);
	while (take_key(c, &first, &more, &key)) {
		if (!more)
			return true;
		if (type && slice_equals(&key, "\"type\"")) {
			strbuf_reset(type);
			if (!copy_string(c, type))
				return false;
		} else if (slice_equals(&key, "\"reason\"")) {
			if (reason->len)
				strbuf_adds(reason, ": ");
			if (!copy_string(c, reason))
				return false;
		} else if (slice_equals(&key, "\"caused_by\"")) {
			if (!take_error(c, NULL, reason, depth + 1))
				return false;
		} else if (!skip_value(c)) {
			return false;
		}
	}
	return false;
}

/* An unknown value counts as none. */
static bool take_result(struct scanner *c, uint8_t *ret)
{
	static const char *const words[BULK_RESULT_N] = {
		[BULK_RESULT_CREATED] = "\"created\"", [BULK_RESULT_UPDATED] = "\"updated\"",
		[BULK_RESULT_DELETED] = "\"deleted\"", [BULK_RESULT_NOT_FOUND] = "\"not_found\"",
		[BULK_RESULT_NOOP] = "\"noop\"",
	};

	for (unsigned i = BULK_RESULT_NONE + 1; i < BULK_RESULT_N; i++) {
		if (take_word(c, words[i])) {
			*ret = (uint8_t)i;
			return true;
		}
	}
	return skip_value(c);
}

struct decoder {
	struct scanner c;
	struct strbuf type, reason, word; /* of the item being read */
	struct bulk_answer answer;
	size_t n_actions, n_items;
	bool has_items, errors;
	uint32_t conflict_at; /* the text that all version conflicts share: a repeated bulk consists of them */
};

/* What was read of an item. A key that comes twice makes the answer invalid: which of the two is true? */
struct fields {
	int64_t status, version;
	bool status_seen, result_seen, error_seen, index_seen, id_seen, version_seen;
};

static bool take_once(bool *seen)
{
	bool first = !*seen;

	*seen = true;
	return first;
}

/* The same index as in the item before it needs no other place. */
static bool take_text(struct decoder *d, uint32_t *at, uint32_t before)
{
	strbuf_reset(&d->word);
	if (!copy_string(&d->c, &d->word))
		return false;
	if (before && !strcmp(d->answer.texts.data + before, d->word.data)) {
		*at = before;
		return true;
	}
	*at = (uint32_t)d->answer.texts.len;
	strbuf_add(&d->answer.texts, d->word.data, d->word.len);
	strbuf_addc(&d->answer.texts, '\0');
	return true;
}

/* That of a document which was dropped is negative, and counts as none. */
static bool take_version(struct scanner *c, int64_t *ret)
{
	skip_blanks(c);
	return c->at < c->end && *c->at == '-' ? skip_value(c) : take_number(c, ret);
}

static bool take_target(struct decoder *d, const struct slice *key, struct fields *f, bool *ret_other)
{
	uint32_t *indices = d->answer.indices_at;

	*ret_other = false;
	if (slice_equals(key, "\"_index\""))
		return take_once(&f->index_seen) &&
		       take_text(d, &indices[d->n_items], d->n_items ? indices[d->n_items - 1] : 0);
	if (slice_equals(key, "\"_id\""))
		return take_once(&f->id_seen) && take_text(d, &d->answer.ids_at[d->n_items], 0);
	if (slice_equals(key, "\"_version\""))
		return take_once(&f->version_seen) && take_version(&d->c, &f->version);
	*ret_other = true;
	return true;
}

static bool take_field(struct decoder *d, const struct slice *key, struct fields *f)
{
	bool other, ok = take_target(d, key, f, &other);

	if (!other)
		return ok;
	if (slice_equals(key, "\"status\""))
		return take_once(&f->status_seen) && take_number(&d->c, &f->status);
	if (slice_equals(key, "\"result\""))
		return take_once(&f->result_seen) && take_result(&d->c, &d->answer.results[d->n_items]);
	if (slice_equals(key, "\"error\""))
		return take_once(&f->error_seen) && take_error(&d->c, &d->type, &d->reason, 0);
	return skip_value(&d->c);
}

/* "[7]: version conflict, current version [9] is higher than the one provided [8]": what was refused. */
static uint64_t refused_version(const char *text)
{
	static const char before[] = "the one provided [";
	const char *at = strstr(text, before);
	uint64_t version;

	if (!at)
		return 0;
	at += strlen(before);
	return parse_u64(at, strspn(at, "0123456789"), &version) ? version : 0;
}

/* An error without type and reason is one, too. */
static void keep_error(struct decoder *d)
{
	bool conflict = !strcmp(d->type.data, BULK_VERSION_CONFLICT);
	uint32_t at = conflict && d->conflict_at ? d->conflict_at : (uint32_t)d->answer.texts.len;

	d->answer.errors_at[d->n_items] = at;
	if (at < d->answer.texts.len)
		return;
	if (conflict)
		d->conflict_at = at;
	strbuf_add(&d->answer.texts, d->type.data, d->type.len);
	strbuf_addc(&d->answer.texts, '\0');
	strbuf_add(&d->answer.texts, d->reason.data, d->reason.len);
	strbuf_addc(&d->answer.texts, '\0');
}

/* The name of the item's action, and the beginning of what follows. */
static bool take_action(struct decoder *d)
{
	bool is_delete;

	if (d->n_items >= d->n_actions || !take_word(&d->c, "{"))
		return false;
	is_delete = take_word(&d->c, "\"delete\"");
	d->answer.deletes[d->n_items] = is_delete;
	return (is_delete || take_word(&d->c, "\"index\"")) && take_word(&d->c, ":") && take_word(&d->c, "{");
}

/* {"index": {"result": "created", "status": 201}}, or with an error inside */
static bool take_item(struct decoder *d)
{
	struct fields fields = {0};
	bool first = true, more;
	struct slice key;

	strbuf_reset(&d->type);
	strbuf_reset(&d->reason);
	if (!take_action(d))
		return false;
	do {
		if (!take_key(&d->c, &first, &more, &key))
			return false;
		if (!more)
			break;
		if (!take_field(d, &key, &fields))
			return false;
	} while (more);
	if (!take_word(&d->c, "}") || fields.status < 100 || fields.status > 599)
		return false;
	d->answer.statuses[d->n_items] = (uint16_t)fields.status;
	d->answer.versions[d->n_items] = fields.error_seen ? refused_version(d->reason.data) : (uint64_t)fields.version;
	if (fields.error_seen)
		keep_error(d);
	d->n_items++;
	return strbuf_ok(&d->answer.texts);
}

static bool take_items(struct decoder *d)
{
	if (!take_word(&d->c, "["))
		return false;
	if (take_word(&d->c, "]"))
		return true;
	do {
		if (!take_item(d))
			return false;
	} while (take_word(&d->c, ","));
	return take_word(&d->c, "]");
}

/* Anything but true and false is not known. */
static bool take_errors(struct decoder *d)
{
	d->errors = take_word(&d->c, "true");
	return d->errors || take_word(&d->c, "false");
}

static bool take_answer(struct decoder *d)
{
	bool first = true, more;
	struct slice key;

	if (!take_word(&d->c, "{"))
		return false;
	while (take_key(&d->c, &first, &more, &key)) {
		bool ok;

		if (!more)
			return true;
		if (slice_equals(&key, "\"took\"")) {
			ok = take_number(&d->c, &d->answer.took_ms);
		} else if (slice_equals(&key, "\"errors\"")) {
			ok = take_errors(d);
		} else if (slice_equals(&key, "\"items\"")) {
			ok = take_once(&d->has_items) && take_items(d);
		} else {
			ok = skip_value(&d->c);
		}
		if (!ok)
			return false;
	}
	return false;
}

static bool at_end(struct decoder *d)
{
	skip_blanks(&d->c);
	return d->c.at == d->c.end;
}

static int decode_answer(struct decoder *d, const char *data, struct err *err)
{
	if (!take_answer(d) || !at_end(d))
		return err_set(err, ERR_INVALID, "the response is not that of a bulk request (at byte %zu, item %zu)",
			       (size_t)(d->c.at - data), d->n_items);
	if (d->n_items != d->n_actions)
		return err_set(err, ERR_INVALID, "the answer has %zu items for %zu actions", d->n_items, d->n_actions);
	/* It starts with an empty text. */
	if (d->errors && d->answer.texts.len == 1)
		return err_set(err, ERR_INVALID, "the answer reports errors, but no item has one");
	return 0;
}

int bulk_decode(const char *data, size_t len, size_t n_actions, struct bulk_answer *ret, struct err *err)
{
	struct decoder d = {.c = {data, data + len}, .n_actions = n_actions};
	int r;

	strbuf_init(&d.type, len);
	strbuf_init(&d.reason, len);
	strbuf_init(&d.word, len);
	strbuf_init(&d.answer.texts, 2 * len + 1);
	strbuf_addc(&d.answer.texts, '\0'); /* so that no error has position 0 */
	d.answer.statuses = xcalloc(n_actions, sizeof(*d.answer.statuses));
	d.answer.results = xcalloc(n_actions, sizeof(*d.answer.results));
	d.answer.deletes = xcalloc(n_actions, sizeof(*d.answer.deletes));
	d.answer.versions = xcalloc(n_actions, sizeof(*d.answer.versions));
	d.answer.indices_at = xcalloc(n_actions, sizeof(*d.answer.indices_at));
	d.answer.ids_at = xcalloc(n_actions, sizeof(*d.answer.ids_at));
	d.answer.errors_at = xcalloc(n_actions, sizeof(*d.answer.errors_at));
	r = decode_answer(&d, data, err);
	strbuf_release(&d.type);
	strbuf_release(&d.reason);
	strbuf_release(&d.word);
	if (r < 0)
		bulk_answer_release(&d.answer);
	else
		*ret = d.answer;
	return r;
}

void bulk_answer_release(struct bulk_answer *answer)
{
	free(TAKE_PTR(answer->statuses));
	free(TAKE_PTR(answer->results));
	free(TAKE_PTR(answer->deletes));
	free(TAKE_PTR(answer->versions));
	free(TAKE_PTR(answer->indices_at));
	free(TAKE_PTR(answer->ids_at));
	free(TAKE_PTR(answer->errors_at));
	strbuf_release(&answer->texts);
}

static const char *text_at(const struct bulk_answer *answer, uint32_t at)
{
	return at ? answer->texts.data + at : NULL;
}

struct bulk_item bulk_answer_item(const struct bulk_answer *answer, size_t i)
{
	struct bulk_item item = {
		.status = answer->statuses[i],
		.result = answer->results[i],
		.is_delete = answer->deletes[i],
		.index = text_at(answer, answer->indices_at[i]),
		.id = text_at(answer, answer->ids_at[i]),
		.version = answer->versions[i],
	};

	if (answer->errors_at[i]) {
		item.type = text_at(answer, answer->errors_at[i]);
		item.reason = item.type + strlen(item.type) + 1;
	}
	return item;
}
