/* Pages and what they load: files of this directory and of config/samples that are part of the program. */
#include <string.h>

#include "bookstore.h"
#include "json/json.h"

#define HTML "text/html; charset=utf-8"
#define CSS "text/css; charset=utf-8"
#define JS "text/javascript; charset=utf-8"

/* name, path of the URL, file, type */
#define FILES(X)                                                 \
	X(playground_html, "/", "playground.html", HTML)         \
	X(playground_js, "/playground.js", "playground.js", JS)  \
	X(admin_html, "/admin", "admin.html", HTML)              \
	X(admin_js, "/admin.js", "admin.js", JS)                 \
	X(docs_html, "/docs", "docs.html", HTML)                 \
	X(docs_js, "/docs.js", "docs.js", JS)                    \
	X(common_js, "/common.js", "common.js", JS)              \
	X(bookstore_css, "/bookstore.css", "bookstore.css", CSS) \
	X(pico_css, "/pico.css", "pico.min.css", CSS)            \
	X(icon_svg, "/icon.svg", "icon.svg", "image/svg+xml")    \
	X(openapi_json, "/openapi.json", "openapi.json", "application/json")

/* The linker puts the file between name and name_end, with a NUL behind it. Paths are those of the tree. */
#define EMBED(name, path)                                                                                          \
	__asm__(".pushsection .rodata\n" #name ":\n.incbin \"" path "\"\n" #name "_end:\n.byte 0\n.popsection\n"); \
	extern const char name[], name##_end[]
#define EMBED_PAGE(name, url, file, type) EMBED(name, "cmd/bookstore/pages/" file);
FILES(EMBED_PAGE)

struct page {
	const char *url, *data, *end, *type;
};

#define PAGE(name, url, file, type) {url, name, name##_end, type},
static const struct page pages[PAGES] = {FILES(PAGE)};
_Static_assert(sizeof((struct page[]){FILES(PAGE)}) == sizeof(pages), "PAGES is the number of files");

static void serve_page(void *user, const struct web_request *request, struct web_response *response)
{
	const struct page *page = user;
	const char *known = web_header(request, "If-None-Match");
	size_t len = (size_t)(page->end - page->data);
	char hash[JSONX_HASH_BYTES];
	_cleanup_free_ char *etag = xasprintf("\"%.32s\"", strchr(jsonx_hash_bytes(page->data, len, hash), ':') + 1);

	web_add_header(response, "ETag", etag);
	response->cache_control = "no-cache";
	response->content_type = page->type;
	if (known && strstr(known, etag))
		response->status = 304;
	else
		strbuf_add(&response->body, page->data, len);
}

void pages_routes(struct web_route *routes)
{
	for (size_t i = 0; i < ARRAY_SIZE(pages); i++)
		routes[i] = (struct web_route){.path = pages[i].url, .handler = serve_page, .user = (void *)&pages[i]};
}
