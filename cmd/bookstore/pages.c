/* Pages and what they load: files that are part of the program. */
#include "bookstore.h"

#define HTML "text/html; charset=utf-8"
#define CSS "text/css; charset=utf-8"
#define JS "text/javascript; charset=utf-8"

/* name, path of the URL, file, type */
#define FILES(X)                                                                     \
	X(playground_html, "/", "cmd/bookstore/pages/playground.html", HTML)         \
	X(playground_js, "/playground.js", "cmd/bookstore/pages/playground.js", JS)  \
	X(admin_html, "/admin", "cmd/bookstore/pages/admin.html", HTML)              \
	X(admin_js, "/admin.js", "cmd/bookstore/pages/admin.js", JS)                 \
	X(docs_html, "/docs", "cmd/bookstore/pages/docs.html", HTML)                 \
	X(docs_js, "/docs.js", "cmd/bookstore/pages/docs.js", JS)                    \
	X(common_js, "/common.js", "cmd/bookstore/pages/common.js", JS)              \
	X(bookstore_css, "/bookstore.css", "cmd/bookstore/pages/bookstore.css", CSS) \
	X(page_js, "/page.js", "pkg/web/files/page.js", JS)                          \
	X(page_css, "/page.css", "pkg/web/files/page.css", CSS)                      \
	X(pico_css, "/pico.css", "pkg/web/files/pico.min.css", CSS)                  \
	X(icon_svg, "/icon.svg", "cmd/bookstore/pages/icon.svg", "image/svg+xml")    \
	X(openapi_json, "/openapi.json", "cmd/bookstore/pages/openapi.json", "application/json")

#define EMBED(name, url, path, type) WEB_EMBED(name, path);
FILES(EMBED)

#define PAGE(name, url, path, type) {url, name, name##_end, type},
static const struct web_file pages[PAGES] = {FILES(PAGE)};
_Static_assert(sizeof((struct web_file[]){FILES(PAGE)}) == sizeof(pages), "PAGES is the number of files");

void pages_routes(struct web_route *routes)
{
	web_file_routes(pages, PAGES, routes);
}
