/* References to Secrets and ConfigMaps. */
#include "spec/spec_int.h"

#include <string.h>

bool spec_is_object_name(const char *name)
{
	size_t len = strlen(name);

	return len && strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789-.") == len && !strchr("-.", name[0]) &&
	       !strchr("-.", name[len - 1]);
}

bool spec_is_data_key(const char *key)
{
	size_t len = strlen(key);

	return len && strspn(key, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._") == len;
}

void spec_references(const struct spec *spec, void (*secret)(void *user, const char *name),
		     void (*config_map)(void *user, const char *name), void *user)
{
	const char *names[] = {
		spec->source.connection_secret,
		spec->source.password_ref.name,
		spec->source.password_file ? NULL : spec->source.password_mount.name,
		spec->source.ca.name,
		spec->sink.auth_secret.name,
		spec->sink.ca.name,
		spec->redis.password.name,
		spec->redis.ca.name,
	};

	for (size_t i = 0; secret && i < ARRAY_SIZE(names); i++) {
		bool seen = !names[i] || !spec_is_object_name(names[i]);

		for (size_t j = 0; j < i && !seen; j++)
			seen = names[j] && strcmp(names[i], names[j]) == 0;
		if (!seen)
			secret(user, names[i]);
	}
	if (config_map && spec->schema_config_map && spec_is_object_name(spec->schema_config_map))
		config_map(user, spec->schema_config_map);
}

void spec_secret_keys(const struct spec *spec, const char *name, void (*key)(void *user, const char *key), void *user)
{
	static const char *const of_connection[] = {"host", "port", "dbname", "username", "user", "password", "uri"};
	static const char *const of_login[] = {"username",    "password",        "apiKey",      "token",
					       "accessKeyId", "secretAccessKey", "sessionToken"};
	static const struct spec_secret_ref none;
	const struct spec_secret_ref *refs[] = {
		&spec->source.password_ref, spec->source.password_file ? &none : &spec->source.password_mount,
		&spec->source.ca,           &spec->sink.ca,
		&spec->redis.password,      &spec->redis.ca,
	};
	const char *connection = spec->source.connection_secret, *login = spec->sink.auth_secret.name;

	for (size_t i = 0; connection && strcmp(connection, name) == 0 && i < ARRAY_SIZE(of_connection); i++)
		key(user, of_connection[i]);
	for (size_t i = 0; login && strcmp(login, name) == 0 && i < ARRAY_SIZE(of_login); i++)
		key(user, of_login[i]);
	for (size_t i = 0; i < ARRAY_SIZE(refs); i++)
		if (refs[i]->name && refs[i]->key && strcmp(refs[i]->name, name) == 0)
			key(user, refs[i]->key);
}
