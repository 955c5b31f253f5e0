/* Base64 (RFC 4648, with padding), as Secrets and kubeconfigs hold it; line breaks are passed over. */
#ifndef PGSYNC_BASE_BASE64_H
#define PGSYNC_BASE_BASE64_H

#include <stddef.h>

/* A string with a NUL after it, or NULL when the text is not base64. Caller frees (free_secret, if it is one). */
char *base64_decode(const char *text, size_t *ret_len);
/* Caller frees. */
char *base64_encode(const char *data, size_t len);

#endif
