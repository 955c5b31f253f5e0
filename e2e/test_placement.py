"""spec.worker.placement: Pod. The API server is a real one, with the permissions that the operator gives; there is no node, so
the test runs what the Deployment says."""

import json

import bookstore
import pytest
from parts.operator import Release
from parts.pods import Pod
from parts.search import eventually
from pgsync import Resources, condition
from psycopg import sql as S

NAME = "books"
PODS = {"worker.pods.enabled": "true", "worker.pods.image": "registry.test/pgsync-operator:1",
        "leaderElection.leaseDurationSeconds": 4, "leaderElection.renewDeadlineSeconds": 3,
        "leaderElection.retryPeriodSeconds": 1}


@pytest.fixture
def release(kube, state, namespace):
    with Release(kube, state, namespace, **PODS, **{"watchNamespaces[0]": namespace}) as made:
        made.operator.start()
        yield made


@pytest.fixture
def resources(release, resources):
    return resources


@pytest.fixture
def pod(kube, state, namespace, resources):
    made = Pod(kube, state, namespace, NAME)
    yield made
    made.stop()


def in_pod(**more):
    return {"worker": {"placement": "Pod", **more}}


def apply(resources, books, opensearch, index, **more):
    made = bookstore.resource(NAME, books, opensearch.url, secret=f"{NAME}-postgres", index=index)
    made["spec"].update(in_pod(**more))
    resources.apply(bookstore.secret(f"{NAME}-postgres", password=books.role_password), made)


def titles(opensearch, index):
    return sorted(d["title"] for d in opensearch.documents(index).values())


def change(books, opensearch, index, title):
    books.sql("UPDATE books SET title = %s WHERE id = 1", title)
    eventually(lambda: title in titles(opensearch, index), 15, f"{title} in the index")


def streaming(operator):
    """Pids of the operator's workers that stream: without those that verify a spec, which end after a moment."""
    lines = [json.loads(line) for line in operator.process.log.read_text().splitlines() if '"worker started"' in line]
    return [pid for pid in operator.workers() if pid in {line["pid"] for line in lines if line["task"] == "run"}]


def test_a_stream_in_a_pod_outlives_its_operator_and_keeps_its_slot_when_it_moves(
        release, pod, books, resources, opensearch, index):
    apply(resources, books, opensearch, index)
    resources.wait(NAME, "Ready", "Unknown", reason="Starting", contains=["pod"])
    assert streaming(release.operator) == [], "the operator has a worker, too"
    pod.start()
    resources.wait(NAME)
    worker = resources.get(NAME)["status"]["worker"]
    assert worker["placement"] == "Pod"
    assert len(pod.workers()) == 1 and streaming(release.operator) == []
    change(books, opensearch, index, "with an operator")
    (before,) = pod.workers()

    # The operator's loss does not matter, nor does another that finds everything as it is.
    release.operator.process.kill9()
    change(books, opensearch, index, "without an operator")
    resources.never(lambda: condition(resources.get(NAME), "Ready")["status"] != "True", 5, "Ready without an operator")
    generation = pod.deployment()["metadata"]["generation"]
    release.operator.start()
    eventually(lambda: [line for line in release.operator.series("pgsync_ready") if line.endswith(" 1")], 20, "the metrics")
    assert pod.deployment()["metadata"]["generation"] == generation
    assert pod.workers() == [before]

    # To a process and back: the same slot, and no other bootstrap.
    resources.patch(NAME, {"worker": {"placement": "Process"}})
    pod.wait_for_no_deployment()
    eventually(lambda: pod.workers() == [], 10, "the end of the pod's worker")
    assert streaming(release.operator) == [], "the agent is still alive"
    pod.stop()
    eventually(lambda: len(streaming(release.operator)) == 1, 20, "the operator's worker")
    eventually(lambda: resources.get(NAME)["status"]["worker"]["placement"] == "Process", 15, "the status of the process")
    resources.wait(NAME)
    change(books, opensearch, index, "in a process")
    resources.patch(NAME, {"worker": {"placement": "Pod"}})
    pod.wait_for_deployment()
    assert streaming(release.operator) == []
    pod.start()
    eventually(lambda: resources.get(NAME)["status"]["worker"]["placement"] == "Pod", 20, "the status of the pod")
    resources.wait(NAME)
    change(books, opensearch, index, "in a pod again")
    assert opensearch.aliases(index) == [f"{index}-g1"], "it was bootstrapped again"

    # Suspended, it has no pod; deleted, it leaves nothing.
    resources.patch(NAME, {"suspend": True})
    pod.wait_for_no_deployment()
    pod.stop()
    resources.wait(NAME, "Suspended", timeout=20)
    resources.patch(NAME, {"suspend": False})
    pod.start()
    resources.wait(NAME)
    resources.kubectl("delete", "pgsync", NAME, "--namespace", resources.namespace, "--wait=false")
    pod.wait_for_no_deployment()
    pod.stop()
    eventually(lambda: not resources.exists(NAME), 30, "the end of the PgSync")
    assert books.slots() == []


def test_a_pod_that_is_gone_or_hangs_is_not_ready(release, pod, books, resources, opensearch, index):
    apply(resources, books, opensearch, index)
    pod.start()
    resources.wait(NAME)
    pod.process.pause()
    resources.wait(NAME, "Ready", "Unknown", reason="WorkerLost", timeout=20)
    assert "lag" not in resources.get(NAME)["status"]["stream"]
    pod.process.resume()
    resources.wait(NAME, timeout=30)
    pod.process.kill9()
    resources.wait(NAME, "Ready", "Unknown", reason="WorkerLost", timeout=20)
    pod.start()
    resources.wait(NAME)
    # A Deployment that is deleted by hand comes back.
    resources.kubectl("delete", "deployment", pod.object_name, "--namespace", resources.namespace)
    pod.wait_for_deployment()


def test_a_plan_needs_no_pod(release, pod, books, resources, opensearch, index):
    apply(resources, books, opensearch, index)
    pod.start()
    resources.wait(NAME)
    resources.patch(NAME, {"mode": "Plan"})
    pod.wait_for_no_deployment()
    pod.stop()
    resources.wait(NAME, "Planned", timeout=30)
    assert not books.walsenders() and len(books.slots()) == 1
    resources.patch(NAME, {"mode": "Sync"})
    pod.start()
    resources.wait(NAME)
    assert opensearch.aliases(index) == [f"{index}-g1"], "it was bootstrapped again"


def test_secrets_are_read_from_files_and_rotation_needs_no_other_pod(release, pod, books, resources, opensearch, index):
    apply(resources, books, opensearch, index)
    resources.kubectl("delete", "secret", f"{NAME}-postgres", "--namespace", resources.namespace)
    resources.apply(bookstore.secret(f"{NAME}-postgres", password=books.role_password))
    pod.start()
    resources.wait(NAME)
    generation = pod.deployment()["metadata"]["generation"]
    books.sql(S.SQL("ALTER ROLE {} PASSWORD 'another'").format(S.Identifier(books.role)))
    resources.apply(bookstore.secret(f"{NAME}-postgres", password="another"))
    pod.sync()
    eventually(lambda: "CredentialsRotated" in dict(resources.events(NAME)), 20, "the event")
    resources.wait(NAME)
    assert pod.deployment()["metadata"]["generation"] == generation


def test_a_password_of_a_pod_that_is_replaced_is_read_for_the_next_connection(release, pod, books, resources, opensearch, index):
    secret = f"{NAME}-token"

    def rotate(password):
        books.sql(S.SQL("ALTER ROLE {} PASSWORD {}").format(S.Identifier(books.role), S.Literal(password)))
        resources.apply(bookstore.secret(secret, now=password))

    def end_sessions():
        books.sql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = %s", books.role)

    made = bookstore.resource(NAME, books, opensearch.url, index=index, spec={
        "source.passwordSecretRef": None, "source.passwordFrom": {"secretRef": {"name": secret, "key": "now"}}, **in_pod()})
    rotate("first")
    resources.apply(made)
    pod.start()
    resources.wait(NAME)
    worker, generation = pod.workers(), pod.deployment()["metadata"]["generation"]
    assert "files" in resources.get(NAME)["status"]["worker"]["sandbox"], "the worker may read any file"
    rotate("second")
    pod.sync()
    end_sessions()
    change(books, opensearch, index, "with the second password")
    resources.wait(NAME)
    assert pod.workers() == worker and pod.deployment()["metadata"]["generation"] == generation
    assert "CredentialsRotated" not in dict(resources.events(NAME)) and opensearch.aliases(index) == [f"{index}-g1"]

    resources.kubectl("delete", "secret", secret, "--namespace", resources.namespace)
    pod.sync()
    end_sessions()
    resources.wait(NAME, "SourceReachable", "False", reason="CredentialsNotFound", contains=["password"])
    rotate("third")
    pod.sync()
    resources.wait(NAME)
    # The operator makes the checks of a plan itself: it has the Secret's value.
    resources.patch(NAME, {"mode": "Plan"})
    pod.wait_for_no_deployment()
    pod.stop()
    resources.wait(NAME, "Planned", timeout=30)
    log = pod.process.log.read_text() + release.operator.process.log.read_text()
    assert not [word for word in ("first", "second", "third") if f'"{word}"' in log]


def test_the_role_of_a_pod_reaches_its_own_pgsync_alone(release, pod, books, resources, opensearch, index, namespace):
    apply(resources, books, opensearch, index)
    resources.apply({"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": {"name": "other"}})
    pod.start()
    resources.wait(NAME)
    ours, core = f"apis/pgsync.io/v1alpha1/namespaces/{namespace}/pgsyncs", f"api/v1/namespaces/{namespace}"
    leases = f"apis/coordination.k8s.io/v1/namespaces/{namespace}/leases"
    assert pod.may("GET", f"{ours}/{NAME}") == 200
    assert pod.may("GET", f"{leases}/{pod.object_name}") == 200
    for verb, path in (("GET", ours), ("GET", f"{ours}/other"), ("PATCH", f"{ours}/{NAME}"), ("DELETE", f"{ours}/{NAME}"),
                       ("PATCH", f"{ours}/other/status"), ("GET", f"{core}/secrets"), ("GET", f"{core}/secrets/{NAME}-postgres"),
                       ("GET", f"{core}/configmaps"), ("GET", f"{core}/pods"), ("GET", f"{leases}/other"), ("POST", leases),
                       ("GET", f"apis/apps/v1/namespaces/{namespace}/deployments"), ("GET", "api/v1/namespaces")):
        assert pod.may(verb, path) == 403, (verb, path)


def test_the_deployment_follows_the_spec_and_not_the_operators_image(kube, release, pod, books, resources, opensearch, index):
    apply(resources, books, opensearch, index)
    deployment = pod.wait_for_deployment()
    owner = deployment["metadata"]["ownerReferences"][0]
    assert owner["uid"] == resources.get(NAME)["metadata"]["uid"]
    assert deployment["spec"]["strategy"] == {"type": "Recreate"}
    dry = json.dumps({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "x"},
                      "spec": deployment["spec"]["template"]["spec"] | {"restartPolicy": "Always"}})
    resources.kubectl("label", "namespace", resources.namespace, "pod-security.kubernetes.io/enforce=restricted", "--overwrite")
    resources.kubectl("create", "--dry-run=server", "--namespace", resources.namespace, "-f", "-", input=dry)

    resources.patch(NAME, in_pod(
        resources={"limits": {"memory": "64Mi"}},
        podTemplate={"nodeSelector": {"disk": "ssd"}, "priorityClassName": "high", "imagePullSecrets": [{"name": "pull"}],
                     "tolerations": [{"key": "db", "operator": "Exists"}],
                     "topologySpreadConstraints": [{"maxSkew": 1, "topologyKey": "zone", "whenUnsatisfiable": "ScheduleAnyway"}]}))
    eventually(lambda: pod.deployment()["spec"]["template"]["spec"].get("priorityClassName") == "high", 15, "the template")
    spec = pod.deployment()["spec"]["template"]["spec"]
    assert spec["nodeSelector"] == {"disk": "ssd"} and spec["tolerations"] == [{"key": "db", "operator": "Exists"}]
    assert spec["containers"][0]["resources"] == {"limits": {"memory": "64Mi"}}
    assert spec["topologySpreadConstraints"][0]["labelSelector"]["matchLabels"]

    def image():
        return pod.deployment()["spec"]["template"]["spec"]["containers"][0]["image"]

    # The next release of the operator has another image, which a pod gets when it is made again for another reason.
    release.operator.stop()
    release.operator.flags = [f.replace("operator:1", "operator:2") for f in release.operator.flags]
    release.operator.start()
    eventually(lambda: release.operator.metric("leader_election_master_status") == 1, 15, "the leader")
    resources.never(lambda: image() != "registry.test/pgsync-operator:1", 3, "the image")
    resources.patch(NAME, {"restartNonce": 1})
    eventually(lambda: image() == "registry.test/pgsync-operator:2", 15, "the image of the next release")


def test_without_permission_to_make_pods_a_pgsync_is_refused(kube, state, make_operator, namespace, books, resources_without, opensearch, index):
    apply(resources_without, books, opensearch, index)
    with make_operator("plain", "--namespace", namespace, "--leader-elect=false"):
        resources_without.wait(NAME, "Stalled", reason="NotSupported", contains=["worker-image"])


@pytest.fixture
def resources_without(kube, namespace):
    made = Resources(kube.kubectl, namespace)
    yield made
    made.delete_all()
