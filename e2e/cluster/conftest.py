"""The cluster, once for all files, and the search engine beside it."""

import os
from pathlib import Path

import pytest
from parts.cluster import Cluster
from parts.operator import TREE
from shop import IMAGE, TAG, Shop

ARCHIVE = Path(os.environ.get("E2E_IMAGE") or TREE / "build/e2e-image.tar")


@pytest.fixture(scope="session")
def cluster(state):
    made = Cluster(state / "cluster")
    try:
        yield made.start(ARCHIVE)
    finally:
        made.stop()


@pytest.fixture(scope="session")
def call_image(cluster):
    """call_image("registry.example/x:1"): gives the image another name, as if it were pulled under that one."""

    def call(name):
        cluster.on_node("ctr", "--namespace", "k8s.io", "images", "tag", "--force", f"{IMAGE}:{TAG}", name)

    return call


@pytest.fixture(scope="session")
def shop(cluster, state):
    made = Shop(cluster, state)
    yield made
    made.stop()
