/* Paths of the API server. */
#include <stdarg.h>

#include "base/strbuf.h"
#include "http/http.h"
#include "kube/kube.h"

enum { PATH_BYTES = 8192 };

char *kube_path(const char *first, ...)
{
	struct strbuf sb;
	va_list ap;

	strbuf_init(&sb, PATH_BYTES);
	va_start(ap, first);
	for (const char *part = first; part; part = va_arg(ap, const char *)) {
		strbuf_addc(&sb, '/');
		http_escape(&sb, part);
	}
	va_end(ap);
	return strbuf_detach(&sb);
}
