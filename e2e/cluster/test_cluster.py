"""The operator where its users have it: in a pod, installed with helm, in a cluster that enforces Pod Security. The tests
are the steps of one story, in this order: `make e2e-cluster` runs them."""

import os
import signal
import time
from pathlib import Path

import bookstore
import pytest
from parts.cluster import HOST, PODS, Cluster
from parts.helm import HelmRelease
from parts.opensearch import OpenSearch
from parts.operator import NAMESPACE, RELEASE, TREE
from parts.postgres import Postgres
from parts.search import eventually
from pgsync import Resources, condition

IMAGE, TAG = "localhost/pgsync-operator", "e2e"
ARCHIVE = Path(os.environ.get("E2E_IMAGE") or TREE / "build/e2e-image.tar")
SELECTOR = "app.kubernetes.io/name=pgsync-operator"
RESTRICTED = {"pod-security.kubernetes.io/enforce": "restricted", "pod-security.kubernetes.io/warn": "restricted"}
NAME = "books"


@pytest.fixture(scope="module")
def cluster(state):
    made = Cluster(state / "cluster")
    try:
        yield made.start(ARCHIVE)
    finally:
        made.stop()


@pytest.fixture(scope="module")
def release(cluster):
    cluster.kubectl.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE, "labels": RESTRICTED}})
    return HelmRelease(cluster.kubeconfig, **{"image.repository": IMAGE, "image.tag": TAG})


class Shop:
    """A namespace with a PgSync, and the Services through which pods reach a database and a search engine outside."""

    def __init__(self, cluster, state):
        self.cluster, self.kubectl, self.namespace = cluster, cluster.kubectl, "shop"
        self.resources = Resources(self.kubectl, self.namespace)
        self.server = Postgres(state / "shop-postgres", fsync=False, addresses=[HOST], clients=[PODS],
                               conf={"log_replication_commands": "on"}).start()
        self.engine = OpenSearch(state / "shop-opensearch", addresses=[HOST]).start()
        self.database = self.server.create_database("bookstore")
        bookstore.load(self.database)
        self.database.create_role()
        self.server.sql(f"ALTER ROLE {self.database.role} RENAME TO pgsync")
        self.database.role = "pgsync"
        self.kubectl.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": self.namespace}})
        self._service("postgres", 5432, self.server.port)
        self._service("opensearch", 9200, self.engine.port)

    def _service(self, name, port, target):
        """A Service without pods: what it leads to is outside the cluster."""
        service = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": name}, "spec": {"ports": [{"port": port}]}}
        outside = {
            "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "addressType": "IPv4",
            "metadata": {"name": name, "labels": {"kubernetes.io/service-name": name}},
            "ports": [{"port": target}], "endpoints": [{"addresses": [HOST]}],
        }
        self.kubectl.apply(service, outside, namespace=self.namespace)

    def apply_sample(self):
        """The sample as it is, except for the password."""
        text = (bookstore.SAMPLES / "bookstore.yaml").read_text()
        assert "change-me" in text
        self.kubectl.apply(text.replace("change-me", self.database.role_password), namespace=self.namespace)

    def get(self):
        return self.resources.get(NAME)

    def wait(self, *arguments, **options):
        return self.resources.wait(NAME, *arguments, **{"timeout": 60, **options})

    def follows(self):
        """Changes a row, and waits until the documents are equal to the tables again."""
        self.database.sql("UPDATE books SET title = %s WHERE id = 1", f"Changed at {time.monotonic_ns()}")
        bookstore.wait_equal(self.engine, NAME, lambda: bookstore.expected(self.database))

    def copies(self):
        """How often the tables were copied: every copy needs a new slot, whose creation Postgres logs."""
        return self.server.log.read_text().count("received replication command: CREATE_REPLICATION_SLOT")

    def goes_on(self):
        """The stream flows, the status says so, and nothing was copied a second time."""
        self.wait()
        self.follows()
        assert self.engine.aliases(NAME) == [f"{NAME}-g1"]
        assert self.copies() == 1
        status = self.get()["status"]
        assert status["bootstrap"]["progress"] == "100%", status

    def stop(self):
        self.engine.stop()
        self.server.stop("immediate")


@pytest.fixture(scope="module")
def shop(cluster, state):
    made = Shop(cluster, state)
    yield made
    made.stop()


def pods(cluster):
    """The operator's pods that are not being deleted."""
    found = cluster.kubectl.json("get", "pods", "--namespace", NAMESPACE, "--selector", SELECTOR)["items"]
    return [pod for pod in found if "deletionTimestamp" not in pod["metadata"]]


def leader(cluster):
    """The pod that holds the Lease."""
    lease = cluster.kubectl.json("get", "lease", RELEASE, "--namespace", NAMESPACE)
    holder = lease["spec"].get("holderIdentity") or ""
    return next((pod for pod in pods(cluster) if pod["metadata"]["name"] in holder), None)


def other_leader(cluster, than):
    """Waits until another pod than this one holds the Lease, and returns it."""

    def found():
        now = leader(cluster)
        return now and now["metadata"]["uid"] != than["metadata"]["uid"] and now

    return eventually(found, 60, "a new leader", interval=0.2)


def test_helm_installs_under_the_restricted_standard(cluster, release):
    notes = release.install()
    assert f"installed in namespace {NAMESPACE}" in notes
    (pod,) = pods(cluster)
    assert all(each["ready"] for each in pod["status"]["containerStatuses"])


def test_the_sample_finds_its_services_by_short_names(cluster, shop, release):
    shop.apply_sample()
    shop.wait()
    bookstore.wait_equal(shop.engine, NAME, lambda: bookstore.expected(shop.database))
    shop.goes_on()


def test_a_deleted_pod_is_replaced_and_the_stream_goes_on(cluster, shop):
    (old,) = pods(cluster)
    cluster.kubectl("delete", "pod", old["metadata"]["name"], "--namespace", NAMESPACE)
    other_leader(cluster, old)
    shop.goes_on()


def test_helm_upgrade_and_rollback_repeat_no_copy(cluster, shop, release):
    release.upgrade(logLevel="debug")
    shop.goes_on()
    release.rollback()
    shop.goes_on()


def test_a_worker_in_a_pod_outlives_the_operator(cluster, shop, release):
    def placement():
        return shop.get()["status"].get("worker", {}).get("placement")

    cluster.kubectl.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": shop.namespace, "labels": RESTRICTED}})
    release.upgrade(**{"worker.pods.enabled": "true"})
    shop.resources.patch(NAME, {"worker": {"placement": "Pod"}})
    eventually(lambda: placement() == "Pod", 120, "the status of the pod", interval=0.5)
    shop.goes_on()
    cluster.kubectl("scale", "deployment", RELEASE, "--namespace", NAMESPACE, "--replicas=0")
    eventually(lambda: not pods(cluster), 60, "no operator", interval=0.5)
    shop.follows()
    cluster.kubectl("delete", "pods", "--all", "--namespace", shop.namespace, timeout=90)
    shop.goes_on()
    cluster.kubectl("scale", "deployment", RELEASE, "--namespace", NAMESPACE, "--replicas=1")
    shop.resources.patch(NAME, {"worker": {"placement": "Process"}})
    eventually(lambda: placement() == "Process", 120, "the status of the process", interval=0.5)
    shop.goes_on()
    release.rollback()
    shop.goes_on()


def test_a_frozen_worker_is_noticed_and_replaced(cluster, shop):
    (pod,) = pods(cluster)
    (worker,) = cluster.pids(pod, "pgsync")
    os.kill(worker, signal.SIGSTOP)
    shop.wait("Ready", "Unknown", reason="WorkerSilent")
    shop.goes_on()
    assert cluster.pids(pod, "pgsync") != [worker]


def test_a_killed_leader_of_two_ends_no_stream(cluster, shop, release):
    release.upgrade(replicaCount=2)
    killed = eventually(lambda: leader(cluster), 60, "a leader", interval=0.2)
    (process,) = cluster.pids(killed, "pgsync-operator")
    os.kill(process, signal.SIGKILL)
    shop.goes_on()


def test_the_standby_takes_over_from_a_leader_without_the_api_server(cluster, shop):
    eventually(lambda: len(pods(cluster)) == 2 and leader(cluster), 60, "a leader of two", interval=0.2)
    old, begin = leader(cluster), time.monotonic()
    with cluster.cut_off_from_the_api(old):
        other_leader(cluster, old)
        shop.goes_on()
        time.sleep(max(0, begin + 60 - time.monotonic()))
        shop.goes_on()
    shop.goes_on()


def test_a_release_that_is_uninstalled_says_so_and_another_continues(cluster, shop, release):
    release.uninstall()
    stopped = condition(shop.get(), "Ready")
    assert (stopped["status"], stopped["reason"]) == ("Unknown", "OperatorStopped"), stopped
    eventually(lambda: not cluster.kubectl.json("get", "pods,jobs", "--namespace", NAMESPACE)["items"], 60,
               "the end of every pod and Job of the release", interval=0.2)
    assert shop.database.walsenders() == []
    shop.database.sql("UPDATE books SET title = 'While nobody watched' WHERE id = 2")
    release.install()
    shop.goes_on()


def test_nothing_is_left_of_a_deleted_pgsync_and_its_namespace(cluster, shop):
    # In this order: the Services and the Secret, through which the operator cleans up, go with the namespace.
    shop.resources.delete(NAME, timeout=60)
    assert shop.database.slots() == []
    assert shop.database.publications() == []
    cluster.kubectl("delete", "namespace", shop.namespace, "--timeout=50s")
