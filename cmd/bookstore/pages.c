/* Pages and what they load: files that are part of the program. */
#include "bookstore.h"

#define FILES(X)                                                                                 \
	X(playground_html, "/", "cmd/bookstore/pages/playground.html", WEB_HTML)                 \
	X(playground_js, "/playground.js", "cmd/bookstore/pages/playground.js", WEB_JS)          \
	X(admin_html, "/admin", "cmd/bookstore/pages/admin.html", WEB_HTML)                      \
	X(admin_js, "/admin.js", "cmd/bookstore/pages/admin.js", WEB_JS)                         \
	X(docs_html, "/docs", "cmd/bookstore/pages/docs.html", WEB_HTML)                         \
	X(docs_js, "/docs.js", "cmd/bookstore/pages/docs.js", WEB_JS)                            \
	X(common_js, "/common.js", "cmd/bookstore/pages/common.js", WEB_JS)                      \
	X(bookstore_css, "/bookstore.css", "cmd/bookstore/pages/bookstore.css", WEB_CSS)         \
	X(icon_svg, "/icon.svg", "cmd/bookstore/pages/icon.svg", WEB_SVG)                        \
	X(openapi_json, "/openapi.json", "cmd/bookstore/pages/openapi.json", "application/json") \
	WEB_SHARED_FILES(X)

FILES(WEB_EMBED)

static const struct web_file pages[PAGES] = {FILES(WEB_FILE)};
_Static_assert(sizeof((struct web_file[]){FILES(WEB_FILE)}) == sizeof(pages), "PAGES is the number of files");

void pages_routes(struct web_route *routes)
{
	web_file_routes(pages, PAGES, routes);
}
