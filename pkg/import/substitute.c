/* $NAME in the strings of a document. */
#include "import/import_int.h"

#include "base/strbuf.h"

static bool is_name_char(char c, bool first)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' || (!first && c >= '0' && c <= '9');
}

static size_t name_length(const char *s)
{
	size_t n = 0;

	while (is_name_char(s[n], n == 0))
		n++;
	return n;
}

char *import_substitute(const char *text, const struct import_env *env, const char *path, struct findings *f)
{
	struct strbuf sb;

	strbuf_init_secret(&sb, IMPORT_TEXT_BYTES);
	while (*text) {
		size_t braces = text[0] == '$' && text[1] == '{';
		size_t n = text[0] == '$' ? name_length(text + 1 + braces) : 0;
		_cleanup_free_ char *name = NULL;
		const char *value;

		if (text[0] == '$' && text[1] == '$') {
			strbuf_addc(&sb, '$');
			text += 2;
			continue;
		}
		if (!n || (braces && text[2 + n] != '}')) {
			strbuf_addc(&sb, *text++);
			continue;
		}
		name = xstrndup(text + 1 + braces, n);
		value = import_env_value(env, name);
		n += 1 + 2 * braces;
		if (!value)
			findings_add(f, FINDING_WARNING, REASON_INVALID_SETTING, path,
				     "the variable %s is not set; its name stays in the text", name);
		strbuf_add(&sb, value ? value : text, value ? strlen(value) : n);
		text += n;
	}
	if (strbuf_ok(&sb))
		return strbuf_detach(&sb);
	strbuf_release(&sb);
	return NULL;
}
