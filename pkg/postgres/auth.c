/* What a server asks for before it admits us. */
#include "postgres/pg_int.h"

#include <string.h>

#include "base/parse.h"

enum { HEAD = 5, REQUEST_HEAD = 9 }; /* a type and a length; an 'R' has a code as well */

/* Codes of AuthenticationRequest. */
enum {
	REQUEST_OK = 0,
	REQUEST_CLEARTEXT = 3,
	REQUEST_MD5 = 5,
	REQUEST_SASL = 10,
	REQUEST_SASL_CONTINUE = 11,
	REQUEST_SASL_FINAL = 12
};

enum { ROUNDS_MOST = 1000 * 1000 }; /* a second of computing; Postgres' default is 4096 */

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

/* "r=NONCE,s=SALT,i=ROUNDS": the server chooses how often libpq hashes the password, which nothing can interrupt. */
static int check_challenge(struct pg_auth_watch *w, struct err *err)
{
	char *rounds = strchr(w->challenge, ',');
	uint64_t n;

	rounds = rounds ? strchr(rounds + 1, ',') : NULL;
	if (!rounds || strncmp(rounds, ",i=", 3) != 0)
		return err_reason(err, ERR_DENIED, REASON_AUTH_FAILED,
				  "the server's SCRAM challenge has no number of rounds");
	rounds += 3;
	rounds[strcspn(rounds, ",")] = '\0';
	if (parse_range(rounds, 1, ROUNDS_MOST, &n))
		return 0;
	return err_reason(err, ERR_DENIED, REASON_AUTH_FAILED,
			  "the server asks for the password to be hashed more often than %d times, which is refused; "
			  "set the role's password again with a lower scram_iterations",
			  ROUNDS_MOST);
}

static int begin_challenge(struct pg_auth_watch *w, struct err *err)
{
	if (w->skip == 0 || w->skip >= sizeof(w->challenge))
		return err_reason(err, ERR_DENIED, REASON_AUTH_FAILED,
				  "the server's SCRAM challenge has %zu bytes, expected 1 to %zu", w->skip,
				  sizeof(w->challenge) - 1);
	w->n_challenge = 0;
	w->challenged = true;
	return 0;
}

/* The next bytes of the message whose head was taken. */
static int take_rest(struct pg_auth_watch *w, const char *data, size_t n, struct err *err)
{
	w->skip -= n;
	if (!w->challenged)
		return 0;
	memcpy(w->challenge + w->n_challenge, data, n);
	w->n_challenge += n;
	w->challenge[w->n_challenge] = '\0';
	if (w->skip)
		return 0;
	w->challenged = false;
	return check_challenge(w, err);
}

static int take_head(struct pg_auth_watch *w, struct err *err)
{
	uint32_t len = read_u32(w->head + 1), code;

	if (len < w->n_head - 1)
		return err_reason(err, ERR_TRANSIENT, REASON_SOURCE_UNREACHABLE,
				  "the server sent a message that is too short");
	w->skip = len - (w->n_head - 1);
	w->n_head = 0;
	if (w->head[0] != 'R')
		return 0;
	code = read_u32(w->head + HEAD);
	if (check_request(w, code, err) < 0)
		return -1;
	return code == REQUEST_SASL_CONTINUE ? begin_challenge(w, err) : 0;
}

int pg_auth_feed(struct pg_auth_watch *w, const char *data, size_t len, struct err *err)
{
	for (size_t i = 0; i < len && !w->admitted;) {
		if (w->skip) {
			size_t n = w->skip < len - i ? w->skip : len - i;

			if (take_rest(w, data + i, n, err) < 0)
				return -1;
			i += n;
			continue;
		}
		w->head[w->n_head++] = (unsigned char)data[i++];
		if (w->n_head == (w->head[0] == 'R' ? REQUEST_HEAD : HEAD) && take_head(w, err) < 0)
			return -1;
	}
	return 0;
}
