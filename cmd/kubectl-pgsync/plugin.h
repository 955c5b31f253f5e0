/* kubectl-pgsync: what its commands share. Everything is for the one thread that there is. */
#ifndef PGSYNC_KUBECTL_PGSYNC_PLUGIN_H
#define PGSYNC_KUBECTL_PGSYNC_PLUGIN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

#include <jansson.h>

#include "base/err.h"
#include "base/map.h"
#include "kube/kube.h"
#include "screen/screen.h"

enum {
	EXIT_OK = 0,
	EXIT_UNHEALTHY = 1, /* status: not as the spec asks */
	EXIT_BAD_USAGE = 2,
	EXIT_NO_ANSWER = 3,    /* the API server cannot be reached, refuses, or does not have it; or output is lost */
	EXIT_NO_PROGRAM = 127, /* as of a shell: pgsync is not beside this program */
};

/* --- the command line */

struct options {
	const char *namespace, *kubeconfig, *context, *output, *file, *index;
	bool all_namespaces, watch, follow, retry, local;
	char **names; /* of PgSyncs; "pgsync/books" is "books" */
	size_t n_names;
	const char *id; /* of a document */
};

struct command {
	const char *name;
	int (*run)(const struct command *command, const struct options *options);
	const char *letters;   /* of the options it has, besides those that each one has; with "#", the ID of a document
				* comes after the names; NULL: pgsync has the command */
	size_t least, most;    /* names */
	const char *arguments; /* for the usage */
	const char *help;      /* in the list of commands */
	const char *intro, *examples, *exit_status;
};

/* Without a name: NULL ends the table. */
extern const struct command plugin_commands[];

/* Returns -1 to continue, with the command; or the exit code after printing help, a version or an error. */
int options_parse(int argc, char **argv, const struct command **ret_command, struct options *ret);
/* For "kubectl pgsync <TAB>": prints what the last of the words may be, and kubectl's directive. */
int options_complete(int argc, char **argv);

/* --- the API server */

struct client {
	struct kube_config *config;
	struct kube *kube;
	const char *namespace; /* of the options, the context or the pod */
	json_t *leases;        /* by "namespace/name", once each: see plugin_input */
};

int client_open(const struct options *options, struct client *ret, struct err *err) WARN_UNUSED;
void client_close(struct client *client);
/* Sends a request and waits for the answer; a new reference. ret may be NULL. Errors: as kube_done_fn has them. */
int client_request(struct client *client, const struct kube_request *request, json_t **ret,
		   struct err *err) WARN_UNUSED;
int client_get(struct client *client, const char *path, json_t **ret, struct err *err) WARN_UNUSED;
/* A PgSync by its name. */
char *client_path(const struct client *client, const char *name);
/* The path of the PgSyncs of the namespace, or of all. */
char *client_collection(const struct client *client, bool all_namespaces);
/* The PgSyncs of the namespace, or of all: an array, sorted by namespace and name. A new reference. */
int client_list(struct client *client, bool all_namespaces, json_t **ret, struct err *err) WARN_UNUSED;

/* A map that objects can be put into by their key; each is a reference that the map owns. */
struct map *client_objects(void);
/* An array of them, sorted by namespace and name. A new reference. */
json_t *client_sorted(struct map *objects);
/* "namespace/name"; caller frees. */
char *client_key(const json_t *resource);

/* --- what is shown */

/* Everything that a verdict needs about a PgSync: reads its operator's Lease, unless it was read already. The resource
 * is borrowed. */
int plugin_input(struct client *client, const json_t *resource, struct screen_input *ret, struct err *err) WARN_UNUSED;
void plugin_forget_leases(struct client *client);
/* Its events, an array; NULL if they may not be read. */
int plugin_events(struct client *client, const json_t *resource, json_t **ret, struct err *err) WARN_UNUSED;
/* The pods of its operator, an array. NOT_FOUND: there are none. */
int plugin_pods(struct client *client, const json_t *resource, json_t **ret, struct err *err) WARN_UNUSED;
/* Appends what their logs have about it. */
int plugin_read_logs(struct client *client, const json_t *resource, const json_t *pods, struct strbuf *out,
		     struct err *err) WARN_UNUSED;

/* --- the commands */

int plugin_status(const struct command *command, const struct options *options);
int plugin_lag(const struct command *command, const struct options *options);
int plugin_top(const struct command *command, const struct options *options);
int plugin_logs(const struct command *command, const struct options *options);
int plugin_report(const struct command *command, const struct options *options);
int plugin_dead_letters(const struct command *command, const struct options *options);
/* Shows what the operator found, or runs `pgsync plan` here. */
int plugin_plan(const struct command *command, const struct options *options);
/* Becomes `pgsync compare`. */
int plugin_compare(const struct command *command, const struct options *options);
/* Becomes `pgsync` with these arguments, the first of which is the command. There is room for one more before them. */
int plugin_pass(const struct command *command, char **arguments);
int plugin_change(const struct command *command, const struct options *options);

/* Prints the error of a command, and returns its exit code. */
int plugin_failed(const struct command *command, const struct err *err);

#endif
