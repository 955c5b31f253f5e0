"""Fetches every part that the tests need into the cache, before the first test needs it: python -m parts.fetch."""

import concurrent.futures
import sys

from . import kubernetes, peer, postgres, prometheus
from .opensearch import ENGINES


def _one_after_the_other():
    # Go's compiler uses all cores on its own.
    kubernetes.fetch()
    kubernetes.helm()


def _cluster():
    _one_after_the_other()
    kubernetes.fetch_node()
    kubernetes.coredns()


def main(names):
    """`names`: of postgres, the engines, kubernetes, promtool, cluster, pgsync; without any, all that the default run needs."""
    tests = {"postgres": postgres.fetch, "kubernetes": _one_after_the_other,
             "promtool": prometheus.promtool, **{name: node.fetch for name, node in ENGINES.items() if not node.nightly}}
    every = {**tests, **{name: node.fetch for name, node in ENGINES.items()}, "pgsync": peer.fetch,
             "cluster": _cluster}
    with concurrent.futures.ThreadPoolExecutor() as pool:
        for future in [pool.submit(every[name]) for name in names or tests]:
            future.result()


if __name__ == "__main__":
    main(sys.argv[1:])
