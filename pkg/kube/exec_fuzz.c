/* Fuzz target: any bytes as the answer of a credential plugin: credentials that are complete, or an error. */
#include <stdlib.h>

#include "kube/config_int.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(const struct kube_config *config)
{
	if (!config->token && !config->cert_pem)
		abort();
	if (!config->cert_pem != !config->key_pem)
		abort();
	if ((config->token && !*config->token) || (config->cert_pem && (!*config->cert_pem || !*config->key_pem)))
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct kube_config config = {0};
	struct err err = {0};

	if (kube_exec_answer(&config, "client.authentication.k8s.io/v1", (const char *)data, size, &err) == 0)
		check(&config);
	else if (err.kind == ERR_NONE || !err.msg[0] || config.token || config.cert_pem || config.key_pem)
		abort();
	free_secret(config.token);
	free_secret(config.cert_pem);
	free_secret(config.key_pem);
	return 0;
}
