/* Base64 (RFC 4648, with padding), as in Secrets and kubeconfigs; line breaks are ignored. */
#ifndef PGSYNC_BASE_BASE64_H
#define PGSYNC_BASE_BASE64_H

#include <stddef.h>

/* The decoded bytes with a NUL after them, or NULL if the text is not base64. Caller frees (free_secret, if it is one).
 */
char *base64_decode(const char *text, size_t *ret_len);
/* Caller frees. */
char *base64_encode(const char *data, size_t len);

#endif
