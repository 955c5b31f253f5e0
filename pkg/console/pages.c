/* Pages and what they load: files that are part of the program. */
#include "console/console_int.h"

#define FILES(X)                                                                 \
	X(overview_html, "/", "pkg/console/pages/overview.html", WEB_HTML)       \
	X(overview_js, "/overview.js", "pkg/console/pages/overview.js", WEB_JS)  \
	X(pgsync_html, "/pgsync", "pkg/console/pages/pgsync.html", WEB_HTML)     \
	X(pgsync_js, "/pgsync.js", "pkg/console/pages/pgsync.js", WEB_JS)        \
	X(live_js, "/live.js", "pkg/console/pages/live.js", WEB_JS)              \
	X(graph_js, "/graph.js", "pkg/console/pages/graph.js", WEB_JS)           \
	X(console_css, "/console.css", "pkg/console/pages/console.css", WEB_CSS) \
	X(icon_svg, "/icon.svg", "pkg/console/pages/icon.svg", WEB_SVG)          \
	WEB_SHARED_FILES(X)

#define LOOK_FILES(X)                                                  \
	X(look_html, "/look", "pkg/console/pages/look.html", WEB_HTML) \
	X(look_js, "/look.js", "pkg/console/pages/look.js", WEB_JS)

FILES(WEB_EMBED)
LOOK_FILES(WEB_EMBED)

static const struct web_file pages[CONSOLE_FILES] = {FILES(WEB_FILE)};
_Static_assert(sizeof((struct web_file[]){FILES(WEB_FILE)}) == sizeof(pages), "CONSOLE_FILES is the number of files");

static const struct web_file look_pages[CONSOLE_LOOK_FILES] = {LOOK_FILES(WEB_FILE)};

void console_file_routes(struct web_route *routes)
{
	web_file_routes(pages, CONSOLE_FILES, routes);
}

void console_look_routes(struct web_route *routes)
{
	web_file_routes(look_pages, CONSOLE_LOOK_FILES, routes);
}
