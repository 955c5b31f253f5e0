/* spec.source.passwordFrom: where a password is read, and who may read there. */
#include <stdlib.h>
#include <string.h>

#include "spec/spec_int.h"

#define PATH "spec.source.passwordFrom"
#define FILE_PATH PATH ".file"
#define PROGRAM_PATH PATH ".exec.command[0]"

/* Whether it is absolute, and leads nowhere but where it seems to. */
static bool is_plain_path(const char *path)
{
	if (*path != '/')
		return false;
	for (const char *part = path; part; part = strchr(part, '/')) {
		part++;
		if (strcspn(part, "/") == strspn(part, "."))
			return false;
	}
	return true;
}

static void check_path(const char *path, const char *where, struct findings *f)
{
	if (path && !is_plain_path(path))
		findings_add(f, FINDING_ERROR, REASON_INVALID_SPEC, where,
			     "must be an absolute path without empty parts, `.` and `..`, found \"%s\"", path);
}

static void check_paths(const struct spec_source *source, struct findings *f)
{
	check_path(source->password_file, FILE_PATH, f);
	if (source->password_command.n)
		check_path(source->password_command.items[0], PROGRAM_PATH, f);
}

void spec_check_password_from(const struct spec_source *source, const json_t *given, struct findings *f)
{
	const json_t *from = json_object_get(given, "passwordFrom");
	static const char *const ways[] = {"secretRef", "file", "exec"};
	size_t given_ways = 0;

	if (!json_is_object(from) || findings_any_about(f, PATH))
		return;
	for (size_t i = 0; i < ARRAY_SIZE(ways); i++)
		given_ways += json_object_get(from, ways[i]) != NULL;
	if (given_ways != 1)
		findings_add(f, FINDING_ERROR, REASON_INVALID_SPEC, PATH,
			     "exactly one of `secretRef`, `file` and `exec` must be set, found %zu", given_ways);
	if (source->password_ref.name)
		findings_add(f, FINDING_ERROR, REASON_INVALID_SPEC, PATH,
			     "must not be set together with `passwordSecretRef`");
	check_paths(source, f);
}

void spec_refuse_password_from(const struct spec_source *source, struct findings *f)
{
	if (source->password_command.n)
		findings_add(f, FINDING_ERROR, REASON_NOT_SUPPORTED, PATH ".exec",
			     "only `pgsync run` runs a program for the password; in the cluster use "
			     "`secretRef`");
	if (source->password_file)
		findings_add(f, FINDING_ERROR, REASON_NOT_SUPPORTED, FILE_PATH,
			     "only `pgsync run` reads the password from a file; in the cluster use "
			     "`secretRef`");
}

void spec_mount_password(struct spec_source *source, const char *directory)
{
	if (source->password_mount.name && !source->password_file)
		source->password_file = xasprintf("%s/" SPEC_PASSWORD_FILE, directory);
}

void spec_replace_password_from(struct spec_source *source, const char *file, const char *program, struct findings *f)
{
	if (!file && !program)
		return;
	free(TAKE_PTR(source->password_file));
	jsonx_strings_release(&source->password_command);
	source->password_command = (struct jsonx_strings){0};
	source->password_file = xstrdup_or_null(file);
	if (program) {
		source->password_command.items = xcalloc(1, sizeof(*source->password_command.items));
		source->password_command.items[source->password_command.n++] = xstrdup(program);
	}
	check_paths(source, f);
}
