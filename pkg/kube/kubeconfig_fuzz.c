/* Fuzz target: any bytes as a kubeconfig. */
#include <stdlib.h>

#include "kube/config_int.h"
#include "kube/kube.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	_cleanup_(kube_config_freep) struct kube_config *config = NULL;
	struct err err;

	if (kube_config_parse((const char *)data, size, "/etc/kube", NULL, &config, &err) == 0) {
		_cleanup_(kube_config_freep) struct kube_config *copy = kube_config_copy(config);

		/* Everything that is accepted must be complete. */
		if (!kube_config_server(copy) || !kube_config_namespace(copy))
			abort();
	} else if (err.kind == ERR_NONE || !err.msg[0]) {
		abort();
	}
	return 0;
}
