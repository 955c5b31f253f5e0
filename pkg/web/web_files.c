/* Files that are part of a program, and what every page of ours tells browsers. */
#include <inttypes.h>
#include <string.h>

#include "web/web_int.h"

/* FNV-1a: an ETag only has to change with the file. */
static uint64_t hash_file(const struct web_file *file)
{
	uint64_t hash = UINT64_C(0xcbf29ce484222325);

	for (const char *c = file->data; c < file->end; c++)
		hash = (hash ^ (unsigned char)*c) * UINT64_C(0x100000001b3);
	return hash;
}

static void serve_file(void *user, const struct web_request *request, struct web_response *response)
{
	const struct web_file *file = user;
	const char *known = web_header(request, MHD_HTTP_HEADER_IF_NONE_MATCH);
	_cleanup_free_ char *etag = xasprintf("\"%016" PRIx64 "\"", hash_file(file));

	web_add_header(response, MHD_HTTP_HEADER_ETAG, etag);
	response->cache_control = "no-cache";
	response->content_type = file->type;
	if (known && strstr(known, etag))
		response->status = MHD_HTTP_NOT_MODIFIED;
	else
		strbuf_add(&response->body, file->data, (size_t)(file->end - file->data));
}

void web_file_routes(const struct web_file *files, size_t n, struct web_route *ret_routes)
{
	for (size_t i = 0; i < n; i++)
		ret_routes[i] =
			(struct web_route){.path = files[i].url, .handler = serve_file, .user = (void *)&files[i]};
}

static const char policy[] =
	"default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
	"base-uri 'none'; frame-ancestors 'none'; form-action 'self'";

const char *const web_page_headers[] = {
	"Content-Security-Policy",
	policy,
	"X-Content-Type-Options",
	"nosniff",
	"Referrer-Policy",
	"no-referrer",
	"Cross-Origin-Opener-Policy",
	"same-origin",
	NULL,
};
