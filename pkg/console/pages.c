/* Pages and what they load: files that are part of the program. */
#include "console/console_int.h"

#define HTML "text/html; charset=utf-8"
#define CSS "text/css; charset=utf-8"
#define JS "text/javascript; charset=utf-8"

/* name, path of the URL, file, type */
#define FILES(X)                                                                \
	X(overview_html, "/", "pkg/console/pages/overview.html", HTML)          \
	X(overview_js, "/overview.js", "pkg/console/pages/overview.js", JS)     \
	X(pgsync_html, "/pgsync", "pkg/console/pages/pgsync.html", HTML)        \
	X(pgsync_js, "/pgsync.js", "pkg/console/pages/pgsync.js", JS)           \
	X(live_js, "/live.js", "pkg/console/pages/live.js", JS)                 \
	X(console_css, "/console.css", "pkg/console/pages/console.css", CSS)    \
	X(icon_svg, "/icon.svg", "pkg/console/pages/icon.svg", "image/svg+xml") \
	X(page_js, "/page.js", "pkg/web/files/page.js", JS)                     \
	X(page_css, "/page.css", "pkg/web/files/page.css", CSS)                 \
	X(pico_css, "/pico.css", "pkg/web/files/pico.min.css", CSS)

#define EMBED(name, url, path, type) WEB_EMBED(name, path);
FILES(EMBED)
WEB_EMBED(console_conditions_md, "docs/conditions.md");

#define PAGE(name, url, path, type) {url, name, name##_end, type},
static const struct web_file pages[CONSOLE_FILES] = {FILES(PAGE)};
_Static_assert(sizeof((struct web_file[]){FILES(PAGE)}) == sizeof(pages), "CONSOLE_FILES is the number of files");

void console_file_routes(struct web_route *routes)
{
	web_file_routes(pages, CONSOLE_FILES, routes);
}

const char *console_reasons(void)
{
	return console_conditions_md;
}
