/* Pages and what they load: files that are part of the program. */
#include "console/console_int.h"

#define FILES(X)                                                                 \
	X(overview_html, "/", "pkg/console/pages/overview.html", WEB_HTML)       \
	X(overview_js, "/overview.js", "pkg/console/pages/overview.js", WEB_JS)  \
	X(pgsync_html, "/pgsync", "pkg/console/pages/pgsync.html", WEB_HTML)     \
	X(pgsync_js, "/pgsync.js", "pkg/console/pages/pgsync.js", WEB_JS)        \
	X(live_js, "/live.js", "pkg/console/pages/live.js", WEB_JS)              \
	X(console_css, "/console.css", "pkg/console/pages/console.css", WEB_CSS) \
	X(icon_svg, "/icon.svg", "pkg/console/pages/icon.svg", WEB_SVG)          \
	WEB_SHARED_FILES(X)

FILES(WEB_EMBED)

static const struct web_file pages[CONSOLE_FILES] = {FILES(WEB_FILE)};
_Static_assert(sizeof((struct web_file[]){FILES(WEB_FILE)}) == sizeof(pages), "CONSOLE_FILES is the number of files");

void console_file_routes(struct web_route *routes)
{
	web_file_routes(pages, CONSOLE_FILES, routes);
}
