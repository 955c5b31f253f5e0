/* json_t to YAML, in the style of a handwritten manifest. */
#include "json/json.h"

#include <stdlib.h>
#include <string.h>

#include <yaml.h>

#include "base/strbuf.h"

static int append(void *user, unsigned char *bytes, size_t len)
{
	strbuf_add(user, bytes, len);
	return 1;
}

/* libyaml's constructors fail only if memory is exhausted, and the emitter only if events are out of order. */
static void emit_event(yaml_emitter_t *w, yaml_event_t *event, int made)
{
	if (!made || !yaml_emitter_emit(w, event))
		abort();
}

/* Words that some YAML parsers read as a boolean, a null or a number. */
static bool is_taken(const char *text)
{
	static const char *const words[] = {"y", "n", "yes", "no", "on", "off", "true", "false", "null", "nan", "inf"};

	for (size_t i = 0; i < ARRAY_SIZE(words); i++)
		if (!strcasecmp(text, words[i]))
			return true;
	return false;
}

/* True if it can only be a word: it begins with a letter, and contains nothing with a meaning in YAML. */
static bool is_plain_scalar(const char *text, size_t len)
{
	static const char letters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
	static const char rest[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_./-";

	return len > 0 && strchr(letters, text[0]) && strspn(text, rest) == len && !is_taken(text);
}

/* Several lines of plain ASCII, such as a certificate, are easier to read as they are. */
static bool is_block(const char *text, size_t len)
{
	const char *newline = memchr(text, '\n', len);

	if (!newline || text[0] == ' ' || text[0] == '\n' || text[len - 1] != '\n' || text[len - 2] == '\n')
		return false;
	for (size_t i = 0; i < len; i++)
		if ((text[i] < ' ' && text[i] != '\n') || text[i] > '~' ||
		    (text[i] == ' ' && i + 1 < len && text[i + 1] == '\n'))
			return false;
	return true;
}

static void write_scalar(yaml_emitter_t *w, const char *text, size_t len, yaml_scalar_style_t style)
{
	yaml_event_t event;
	bool plain = style == YAML_PLAIN_SCALAR_STYLE;
	int made = yaml_scalar_event_initialize(&event, NULL, NULL, (const yaml_char_t *)text, (int)len, plain, !plain,
						style);

	emit_event(w, &event, made);
}

static void write_string(yaml_emitter_t *w, const char *text, size_t len)
{
	if (is_plain_scalar(text, len))
		write_scalar(w, text, len, YAML_PLAIN_SCALAR_STYLE);
	else
		write_scalar(w, text, len,
			     is_block(text, len) ? YAML_LITERAL_SCALAR_STYLE : YAML_DOUBLE_QUOTED_SCALAR_STYLE);
}

static void write_value(yaml_emitter_t *w, const json_t *value);

static void write_array(yaml_emitter_t *w, const json_t *array)
{
	yaml_sequence_style_t style = json_array_size(array) ? YAML_BLOCK_SEQUENCE_STYLE : YAML_FLOW_SEQUENCE_STYLE;
	yaml_event_t event;
	json_t *item;
	size_t i;

	emit_event(w, &event, yaml_sequence_start_event_initialize(&event, NULL, NULL, 1, style));
	json_array_foreach (array, i, item)
		write_value(w, item);
	emit_event(w, &event, yaml_sequence_end_event_initialize(&event));
}

static void write_object(yaml_emitter_t *w, const json_t *object)
{
	yaml_mapping_style_t style = json_object_size(object) ? YAML_BLOCK_MAPPING_STYLE : YAML_FLOW_MAPPING_STYLE;
	yaml_event_t event;
	const char *key;
	json_t *item;

	emit_event(w, &event, yaml_mapping_start_event_initialize(&event, NULL, NULL, 1, style));
	json_object_foreach ((json_t *)object, key, item) {
		write_scalar(w, key, strlen(key),
			     is_plain_scalar(key, strlen(key)) ? YAML_PLAIN_SCALAR_STYLE
							       : YAML_DOUBLE_QUOTED_SCALAR_STYLE);
		write_value(w, item);
	}
	emit_event(w, &event, yaml_mapping_end_event_initialize(&event));
}

static void write_value(yaml_emitter_t *w, const json_t *value)
{
	if (json_is_object(value)) {
		write_object(w, value);
	} else if (json_is_array(value)) {
		write_array(w, value);
	} else if (json_is_string(value)) {
		write_string(w, json_string_value(value), json_string_length(value));
	} else {
		char *text = json_dumps(value, JSON_ENCODE_ANY);

		write_scalar(w, text, strlen(text), YAML_PLAIN_SCALAR_STYLE);
		free(text);
	}
}

void jsonx_add_yaml(struct strbuf *sb, const json_t *documents)
{
	yaml_emitter_t w;
	yaml_event_t event;
	json_t *document;
	size_t i;

	if (!yaml_emitter_initialize(&w))
		abort();
	yaml_emitter_set_output(&w, append, sb);
	yaml_emitter_set_unicode(&w, 1);
	yaml_emitter_set_width(&w, -1);
	emit_event(&w, &event, yaml_stream_start_event_initialize(&event, YAML_UTF8_ENCODING));
	json_array_foreach (documents, i, document) {
		emit_event(&w, &event, yaml_document_start_event_initialize(&event, NULL, NULL, NULL, i == 0));
		write_value(&w, document);
		emit_event(&w, &event, yaml_document_end_event_initialize(&event, 1));
	}
	emit_event(&w, &event, yaml_stream_end_event_initialize(&event));
	yaml_emitter_delete(&w);
}
