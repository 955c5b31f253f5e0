"""The operator where its users have it: in a pod, installed with helm, in a cluster that enforces Pod Security. The tests
are the steps of one story, in this order: `make e2e-cluster` runs them. Two PgSyncs take part, `books` with a process of the
operator and `shelf` with a pod; a witness compares what their statuses say with what is in the index."""

import os
import signal
import time

import bookstore
import pytest
from parts.helm import HelmRelease
from parts.operator import NAMESPACE, RELEASE
from parts.search import eventually
from pgsync import Resources, condition
from shop import IMAGE, TAG, Shop, namespace

NEXT = "e2e-next"
SELECTOR = "app.kubernetes.io/name=pgsync-operator"
# How long Ready may be True although data does not flow: when it is the operator that is gone, another has to notice first.
TRUTH, OPERATOR_LOST = 15, 25


@pytest.fixture(scope="module")
def release(cluster, call_image):
    cluster.kubectl.apply(namespace(NAMESPACE))
    call_image(f"{IMAGE}:{NEXT}")
    return HelmRelease(cluster.kubeconfig, **{"image.repository": IMAGE, "image.tag": TAG, "worker.pods.enabled": "true"})


@pytest.fixture
def witness(shop, request):
    """Fails a test in which a status was not true for too long."""
    shop.witness.reset()
    yield shop.witness
    longest, limit = max(shop.witness.untrue.values()), getattr(shop.witness, "limit", TRUTH)
    shop.witness.limit = TRUTH
    print(f"\n{request.node.name}: Ready was True without data for {longest:.1f} s at most; not True {shop.witness.unready}")
    assert longest <= limit, shop.witness.untrue


def pods(cluster):
    """The operator's pods that are not being deleted."""
    found = cluster.kubectl.json("get", "pods", "--namespace", NAMESPACE, "--selector", SELECTOR)["items"]
    return [pod for pod in found if "deletionTimestamp" not in pod["metadata"]]


def leader(cluster):
    """The pod that holds the Lease."""
    lease = cluster.kubectl.json("get", "lease", RELEASE, "--namespace", NAMESPACE)
    holder = lease["spec"].get("holderIdentity") or ""
    return next((pod for pod in pods(cluster) if pod["metadata"]["name"] in holder), None)


def leader_of_two(cluster):
    return eventually(lambda: len(pods(cluster)) == 2 and leader(cluster), 60, "a leader of two", interval=0.2)


def other_leader(cluster, than):
    """Waits until another pod than this one holds the Lease, and returns it."""

    def found():
        now = leader(cluster)
        return now and now["metadata"]["uid"] != than["metadata"]["uid"] and now

    return eventually(found, 60, "a new leader", interval=0.2)


def restarts(pod):
    return sum(each["restartCount"] for each in pod["status"]["containerStatuses"])


# --- installation, upgrades


def test_helm_installs_under_the_restricted_standard(cluster, release):
    notes = release.install()
    assert f"installed in namespace {NAMESPACE}" in notes
    (pod,) = pods(cluster)
    assert all(each["ready"] for each in pod["status"]["containerStatuses"])
    assert "Phase:          Succeeded" in release.test()


def test_the_sample_finds_its_services_by_short_names(cluster, shop, release):
    shop.apply()
    shop.goes_on()
    shop.witness.start()


def test_a_deleted_pod_is_replaced_and_the_stream_goes_on(cluster, shop, witness):
    (old,), before = pods(cluster), shop.shelf.worker()
    cluster.kubectl("delete", "pod", old["metadata"]["name"], "--namespace", NAMESPACE)
    other_leader(cluster, old)
    shop.goes_on()
    assert shop.shelf.worker() == before and witness.unready["shelf"] == 0, "the operator's end touched a worker in a pod"


def test_helm_upgrade_and_rollback_repeat_no_copy(cluster, shop, release, witness):
    before = shop.shelf.worker()
    release.upgrade(**{"image.tag": NEXT})
    assert [pod["spec"]["containers"][0]["image"] for pod in pods(cluster)] == [f"{IMAGE}:{NEXT}"]
    shop.goes_on()
    release.rollback()
    shop.goes_on()
    assert shop.shelf.worker() == before and witness.unready["shelf"] == 0, "an upgrade touched a worker in a pod"


def test_a_worker_in_a_pod_outlives_the_operator(cluster, shop, witness):
    cluster.kubectl("scale", "deployment", RELEASE, "--namespace", NAMESPACE, "--replicas=0")
    eventually(lambda: not pods(cluster), 60, "no operator", interval=0.5)
    shop.shelf.goes_on()
    assert shop.books.ready() == ("Unknown", "OperatorStopped")
    cluster.kubectl("delete", "pods", "--all", "--namespace", shop.namespace, timeout=90)
    shop.shelf.goes_on()
    cluster.kubectl("scale", "deployment", RELEASE, "--namespace", NAMESPACE, "--replicas=1")
    shop.goes_on()


def test_a_stream_moves_to_a_pod_and_back(cluster, shop, witness):
    for placement in ("Pod", "Process"):
        shop.resources.patch("books", {"worker": {"placement": placement}})
        shop.books.placement = placement
        eventually(lambda: shop.books.placed() == placement, 120, f"the status of the {placement}", interval=0.5)
        shop.goes_on()


# --- what happens to workers


def test_a_worker_out_of_memory_says_so_and_goes_on_with_more(cluster, shop, release, witness):
    release.upgrade(**{"resources.limits.memory": "64Mi"})
    shop.resources.patch("shelf", {"worker": {"resources": {"limits": {"memory": "64Mi"}}}})
    eventually(lambda: shop.shelf.memory() == "64Mi", 60, "the pod with less memory", interval=0.5)
    shop.goes_on()
    (bio,) = shop.database.sql("SELECT bio FROM authors WHERE id = 1")[0]
    shop.database.sql("UPDATE authors SET bio = repeat('all about it ', 4000000) WHERE id = 1")
    shop.books.wait("Ready", "False", contains=["signal 9", "resources.limits.memory of the chart"])
    shop.shelf.wait("Ready", "False", contains=["signal 9", "spec.worker.resources.limits.memory"])
    shop.database.sql("UPDATE authors SET bio = %s WHERE id = 1", bio)
    shop.resources.patch("shelf", {"worker": {"resources": {"limits": {"memory": "512Mi"}}}})
    release.upgrade(**{"resources.limits.memory": "512Mi"})
    shop.goes_on()


def test_a_drained_node_takes_the_streams_again(cluster, shop, witness):
    cluster.kubectl("drain", "node", "--ignore-daemonsets", "--force", "--timeout=100s", timeout=120)
    for stream in shop.streams.values():
        assert stream.ready()[0] == "Unknown", stream.get()["status"]
    shop.database.sql("UPDATE books SET title = 'While the node was drained' WHERE id = 2")
    cluster.kubectl("uncordon", "node")
    shop.goes_on()


def test_another_password_reaches_the_workers(cluster, shop, witness):
    before = {name: stream.get()["status"]["worker"]["identity"] for name, stream in shop.streams.items()}
    pod = shop.shelf.pod()
    shop.change_password("another")
    for name, stream in shop.streams.items():
        eventually(lambda: stream.get()["status"]["worker"]["identity"] != before[name], 120, f"another worker of {name}", interval=0.5)
        eventually(lambda: "CredentialsRotated" in dict(shop.resources.events(name)), 20, "the event", interval=0.5)
    shop.goes_on()
    assert shop.shelf.pod()["metadata"]["uid"] == pod["metadata"]["uid"], "the password needed another pod"


def test_a_password_that_expires_reaches_a_pod_without_a_restart(cluster, shop, witness):
    source = shop.shelf.get()["spec"]["source"]
    replaced = {"passwordSecretRef": None, "passwordFrom": {"secretRef": source["passwordSecretRef"]}}
    old = shop.shelf.pod()["metadata"]["uid"]
    shop.resources.patch("shelf", {"source": replaced})
    eventually(lambda: (shop.shelf.pod() or shop.shelf.get())["metadata"]["uid"] not in (old, shop.shelf.get()["metadata"]["uid"]),
               120, "a pod with the Secret", interval=0.5)
    shop.goes_on()
    pod, worker, told = shop.shelf.pod()["metadata"]["uid"], shop.shelf.worker(), shop.resources.events("shelf")
    slot = shop.shelf.slot()

    def walsender():
        return shop.database.value("SELECT active_pid FROM pg_replication_slots WHERE slot_name = %s", slot)

    before = walsender()
    shop.change_password("a token")
    shop.database.sql("SELECT pg_terminate_backend(%s)", before)
    # Until the kubelet has the new one, within about a minute, the server refuses the password that has expired.
    eventually(lambda: walsender() not in (None, before), 180, "another login", interval=0.5)
    shop.goes_on()
    assert (shop.shelf.pod()["metadata"]["uid"], shop.shelf.worker()) == (pod, worker), "the password needed a restart"
    rotated = [reason for reason, _ in shop.resources.events("shelf")].count("CredentialsRotated")
    assert rotated == [reason for reason, _ in told].count("CredentialsRotated")


def test_tokens_that_are_refused_are_replaced(cluster, shop, witness):
    operators, worker = pods(cluster), shop.shelf.pod()
    cluster.change_signing_key()
    # A status that is written proves that the new token is used.
    before = {name: stream.get()["status"] for name, stream in shop.streams.items()}
    for name in shop.streams:
        shop.resources.patch(name, {"restartNonce": 1})
    for name, stream in shop.streams.items():
        eventually(lambda: stream.get()["status"]["worker"]["identity"] != before[name]["worker"]["identity"], 180,
                   f"another worker of {name}", interval=0.5)
    shop.goes_on()
    assert [restarts(pod) for pod in pods(cluster)] == [restarts(pod) for pod in operators]


def test_a_frozen_worker_is_noticed_and_replaced(cluster, shop, witness):
    (pod,) = pods(cluster)
    workers = {"books": cluster.pids(pod, "pgsync"), "shelf": shop.shelf.worker()}
    for (worker,) in workers.values():
        os.kill(worker, signal.SIGSTOP)
    for stream in shop.streams.values():
        stream.wait("Ready", "Unknown", reason="WorkerSilent")
    shop.goes_on()
    assert cluster.pids(pod, "pgsync") != workers["books"] and shop.shelf.worker() != workers["shelf"]


# --- what happens to operators and agents


def test_a_killed_leader_of_two_ends_no_stream(cluster, shop, release, witness):
    witness.limit = OPERATOR_LOST
    release.upgrade(replicaCount=2)
    for pod in (leader_of_two(cluster), shop.shelf.pod()):
        (process,) = cluster.pids(pod, "pgsync-operator")
        os.kill(process, signal.SIGKILL)
    shop.goes_on()


def test_frozen_containers_are_noticed_and_replaced(cluster, shop, witness):
    witness.limit = OPERATOR_LOST
    old, worker = leader_of_two(cluster), shop.shelf.pod()
    frozen = [pid for pod in (old, worker) for program in ("pgsync-operator", "pgsync") for pid in cluster.pids(pod, program)]
    assert len(frozen) == 4
    for process in frozen:
        os.kill(process, signal.SIGSTOP)
    shop.shelf.wait("Ready", "Unknown", reason="WorkerLost")
    other_leader(cluster, old)
    shop.goes_on()


def test_the_standby_takes_over_from_a_leader_without_the_api_server(cluster, shop, witness):
    witness.limit = OPERATOR_LOST
    old, begin = leader_of_two(cluster), time.monotonic()
    before = shop.shelf.worker()
    with cluster.cut_off_from_the_api(old), cluster.cut_off_from_the_api(shop.shelf.pod()):
        other_leader(cluster, old)
        shop.books.goes_on()
        shop.shelf.wait("Ready", "Unknown", reason="WorkerLost")
        shop.shelf.follows()
        time.sleep(max(0, begin + 60 - time.monotonic()))
        shop.books.goes_on()
        shop.shelf.follows()
    shop.goes_on()
    assert shop.shelf.worker() == before, "a stream that flowed was ended"


# --- the end


def test_a_release_that_is_uninstalled_says_so_and_another_continues(cluster, shop, release, witness):
    before = shop.shelf.worker()
    release.uninstall()
    stopped = condition(shop.books.get(), "Ready")
    assert (stopped["status"], stopped["reason"]) == ("Unknown", "OperatorStopped"), stopped
    eventually(lambda: not cluster.kubectl.json("get", "pods,jobs", "--namespace", NAMESPACE)["items"], 60,
               "the end of every pod and Job of the release", interval=0.2)
    assert [slot for slot, _ in shop.database.walsenders()] == [shop.shelf.slot()]
    shop.database.sql("UPDATE books SET title = 'While nobody watched' WHERE id = 2")
    shop.shelf.goes_on()
    release.install()
    shop.goes_on()
    assert shop.shelf.worker() == before and witness.unready["shelf"] == 0, "a worker in a pod noticed it"


def test_nothing_is_left_of_deleted_pgsyncs_and_their_namespace(cluster, shop):
    shop.witness.stop()
    # In this order: the Services and the Secret, through which the operator cleans up, go with the namespace.
    shop.delete()
    cluster.kubectl("delete", "namespace", shop.namespace, "--timeout=50s")


def test_nothing_is_left_of_a_deleted_namespace_with_pgsyncs(cluster, shop, release):
    """What they lead to is in another namespace, which stays."""
    cluster.kubectl.apply(namespace("data"), namespace("preview"))
    shop.services("data")
    resources = Resources(cluster.kubectl, "preview")
    resources.apply(bookstore.secret("bookstore-postgres", password=shop.database.role_password))
    for name in ("preview-books", "preview-shelf"):
        made = Shop.in_pod(name, host="postgres.data.svc")
        made["spec"]["sink"]["urls"] = ["http://opensearch.data.svc:9200"]
        if name == "preview-books":
            del made["spec"]["worker"]
        resources.apply(made)
    for name in ("preview-books", "preview-shelf"):
        resources.wait(name, timeout=60)
    assert len(shop.database.slots()) == 2
    cluster.kubectl("delete", "namespace", "preview", "--timeout=100s", timeout=120)
    assert (shop.database.slots(), shop.database.publications()) == ([], [])
    assert {letter for _, letter in shop.database.replica_identities()} == {"d"}
    assert shop.engine.aliases("preview-shelf") == ["preview-shelf-g1"], "the policy keeps the index"


def test_nothing_is_left_of_an_uninstalled_release(cluster, shop, release):
    release.uninstall()
    cluster.kubectl("delete", "crd", "pgsyncs.pgsync.io", "--timeout=50s")
    cluster.kubectl("delete", "namespace", NAMESPACE, "data", "--timeout=50s")
    kinds = "crd,clusterroles,clusterrolebindings,namespaces,persistentvolumes"
    assert [name for name in cluster.kubectl("get", kinds, "-o", "name").split() if "pgsync" in name] == []
