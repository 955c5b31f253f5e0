/* What a server asks for before it admits us. */
#include "postgres/pg_int.h"

enum { HEAD = 5, REQUEST_HEAD = 9 }; /* a type and a length; an 'R' has a code as well */

/* Codes of AuthenticationRequest. */
enum { REQUEST_OK = 0, REQUEST_CLEARTEXT = 3, REQUEST_MD5 = 5, REQUEST_SASL = 10, REQUEST_SASL_FINAL = 12 };

static uint32_t read_u32(const unsigned char *p)
{
	return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

static int refuse_method(const char *how, const char *word, struct err *err)
{
	return err_reason(
		err, ERR_DENIED, REASON_AUTH_FAILED,
		"the server asks for the password %s, expected SCRAM; it was not sent. Use scram-sha-256 in "
		"pg_hba.conf, with password_encryption = 'scram-sha-256' when the role's password is set; or add "
		"%s to spec.source.allowedAuth",
		how, word);
}

static int check_request(struct pg_auth_watch *w, uint32_t code, struct err *err)
{
	if (code == REQUEST_OK) {
		w->admitted = true;
		return 0;
	}
	if (code == REQUEST_CLEARTEXT)
		return w->allowed & PG_AUTH_CLEARTEXT ? 0 : refuse_method("in clear text", "Cleartext", err);
	if (code == REQUEST_MD5)
		return w->allowed & PG_AUTH_MD5 ? 0 : refuse_method("as an MD5 digest", "MD5", err);
	if (code >= REQUEST_SASL && code <= REQUEST_SASL_FINAL && w->allowed & PG_AUTH_SCRAM)
		return 0;
	return err_reason(err, ERR_DENIED, REASON_AUTH_FAILED,
			  "the server asks for authentication of type %u, which is not among spec.source.allowedAuth",
			  code);
}

/* True if a message header is complete. */
static int take_head(struct pg_auth_watch *w, struct err *err)
{
	uint32_t len = read_u32(w->head + 1);

	if (len < w->n_head - 1)
		return err_reason(err, ERR_TRANSIENT, REASON_SOURCE_UNREACHABLE,
				  "the server sent a message that is too short");
	w->skip = len - (w->n_head - 1);
	w->n_head = 0;
	return w->head[0] == 'R' ? check_request(w, read_u32(w->head + HEAD), err) : 0;
}

int pg_auth_feed(struct pg_auth_watch *w, const char *data, size_t len, struct err *err)
{
	for (size_t i = 0; i < len && !w->admitted;) {
		if (w->skip) {
			size_t n = w->skip < len - i ? w->skip : len - i;

			w->skip -= n;
			i += n;
			continue;
		}
		w->head[w->n_head++] = (unsigned char)data[i++];
		if (w->n_head == (w->head[0] == 'R' ? REQUEST_HEAD : HEAD) && take_head(w, err) < 0)
			return -1;
	}
	return 0;
}
