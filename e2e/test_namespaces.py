"""Operators that watch some namespaces: each is watched separately."""

import os
import resource
import signal
import socket
import time
from pathlib import Path

import bookstore
import pytest
import requests
from parts import operator as operator_parts
from parts.faultproxy import FaultProxy
from parts.operator import NAMESPACE, Operator, Release
from parts.process import memory_kib
from parts.search import eventually


def account(kube, name):
    """A ServiceAccount that may use the Lease, and nothing else yet."""
    kube.kubectl.apply({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": name}}, namespace=NAMESPACE)
    roles = [o for o in operator_parts.render_chart() if o["kind"] == "RoleBinding"]
    for binding in roles:
        bind(kube, NAMESPACE, name, binding["roleRef"], suffix="-" + binding["metadata"]["name"])
    return name


def bind(kube, namespace, name, role, suffix=""):
    kube.kubectl.apply({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "RoleBinding",
                        "metadata": {"name": name + suffix}, "roleRef": role,
                        "subjects": [{"kind": "ServiceAccount", "name": name, "namespace": NAMESPACE}]}, namespace=namespace)


def cluster_role():
    (role,) = [o for o in operator_parts.render_chart() if o["kind"] == "ClusterRoleBinding"]
    return role["roleRef"]


def cpu_seconds(operator):
    """What the process has used so far."""
    fields = Path(f"/proc/{operator.process.pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def watched(operator):
    lines = requests.get(operator.url + "/metrics", timeout=5).text.splitlines()
    return {line.split('"')[1]: line.split()[-1] for line in lines if line.startswith("pgsync_namespace_watched{")}


def test_a_forbidden_namespace_does_not_stop_the_others(kube, state, resources, books, opensearch, index, namespace, unique):
    name, other = account(kube, namespace), kube.namespace(f"{namespace}-other")
    bind(kube, namespace, name, cluster_role())
    kubeconfig = kube.service_account_kubeconfig(NAMESPACE, name, state / f"{unique}.kubeconfig")
    with Operator(f"operator-{unique}", state, kubeconfig, "--namespace", other, "--namespace", namespace,
                  "--leader-elect=false") as operator:
        resources.apply_books("books", books, opensearch.url, index=index)
        resources.wait("books")
        ready = requests.get(operator.url + "/readyz", timeout=5)
        assert ready.status_code == 200
        assert f'namespace "{other}" is not watched' in ready.text and "cannot list" in ready.text
        assert watched(operator) == {other: "0", namespace: "1"}
        before = cpu_seconds(operator)
        time.sleep(5)
        assert cpu_seconds(operator) - before < 0.5, "it uses CPU time without a reason"
        # The permission is granted: no restart is needed.
        bind(kube, other, name, cluster_role())
        eventually(lambda: watched(operator) == {other: "1", namespace: "1"}, 60, "both namespaces watched")
        assert requests.get(operator.url + "/readyz", timeout=5).text == "ok\n"
        resources.delete("books")


def first_free(pid):
    taken = {int(name) for name in os.listdir(f"/proc/{pid}/fd")}
    return next(number for number in range(len(taken) + 1) if number not in taken)


def test_without_descriptors_the_operator_waits_and_recovers(make_operator, resources, books, opensearch, index, namespace):
    with make_operator("few", "--namespace", namespace, "--leader-elect=false") as operator:
        resources.apply_books("books", books, opensearch.url, index=index)
        resources.wait("books")
        (worker,) = operator.workers()
        before = resource.prlimit(operator.process.pid, resource.RLIMIT_NOFILE)
        # Every number below is taken. The worker's three become free with its end, and the next one needs five.
        resource.prlimit(operator.process.pid, resource.RLIMIT_NOFILE, (first_free(operator.process.pid), before[1]))
        os.kill(worker, signal.SIGKILL)
        log = operator.process.log
        eventually(lambda: "Too many open files" in log.read_text(), 30, "an attempt to start the next worker")
        used = cpu_seconds(operator)
        for _ in range(3):
            # Both connect at the same time, and there is one descriptor for them.
            with socket.create_connection(("127.0.0.1", operator.port)):
                assert operator.get("/livez") == 200
            time.sleep(1)
        assert cpu_seconds(operator) - used < 0.5, "it tries again and again"
        assert operator.process.alive, operator.process.tail()
        assert operator.workers() == []
        resource.prlimit(operator.process.pid, resource.RLIMIT_NOFILE, before)
        eventually(lambda: len(operator.workers()) == 1, 60, "the worker")
        resources.wait("books")
        assert operator.get("/livez") == 200
        resources.delete("books")


def dangling(number):
    """A PgSync with five references that no other PgSync has, to objects that do not exist."""
    names = [f"many-{number}-{letter}" for letter in "abcde"]
    return {"apiVersion": "pgsync.io/v1alpha1", "kind": "PgSync", "metadata": {"name": f"many-{number}"}, "spec": {
        "source": {"host": "127.0.0.1", "database": "d", "user": "u", "passwordSecretRef": {"name": names[0]},
                   "tls": {"caSecretRef": {"name": names[1]}}},
        "sink": {"urls": ["https://127.0.0.1:1"], "authentication": {"type": "Basic", "secretRef": {"name": names[2]}},
                 "tls": {"caSecretRef": {"name": names[3]}}},
        "schemaConfigMapRef": {"name": names[4]}}}


@pytest.mark.slow
def test_many_references_need_few_descriptors_and_little_memory(kube, make_operator, namespace):
    many = [dangling(number) for number in range(120)]
    kube.kubectl.apply(*many, namespace=namespace)
    descriptors = []

    def settled(operator):
        descriptors.append(len(os.listdir(f"/proc/{operator.process.pid}/fd")))
        found = kube.kubectl.json("get", "pgsyncs", "--namespace", namespace)["items"]
        # The last of a PgSync's references that is known to be missing.
        return all("many" in str(o.get("status", {}).get("conditions")) for o in found) and len(found) == len(many)

    with make_operator("many", "--namespace", namespace, "--leader-elect=false") as operator:
        eventually(lambda: settled(operator), 60, "the missing Secrets of every PgSync in its status", interval=0.2)
        settled(operator)
        assert max(descriptors) <= 60, "a connection for each reference"
        assert memory_kib(operator.process.pid) <= 40 * 1024
        # They are still watched: one that is created is seen.
        kube.kubectl.apply(bookstore.secret("many-7-a", password="x"), namespace=namespace)
        eventually(lambda: '"many-7-a"' not in str(kube.kubectl.json("get", "pgsync", "many-7", "--namespace", namespace)["status"]),
                   15, "the Secret that was created")
    kube.kubectl("delete", "pgsyncs", "--all", "--namespace", namespace)


def suspended(name):
    made = dangling(name)
    made["metadata"]["name"] = name
    made["spec"]["suspend"] = True
    return made


def writes(operator):
    lines = requests.get(operator.url + "/metrics", timeout=5).text.splitlines()
    return sum(float(line.split()[-1]) for line in lines
               if line.startswith("rest_client_requests_total{") and 'method="GET"' not in line)


def referring(number):
    """A PgSync that is suspended, and the five objects that it refers to."""
    made = dangling(number)
    made["spec"]["suspend"] = True
    names = [f"many-{number}-{letter}" for letter in "abcde"]
    keys = [{"password": "p"}, {"ca.crt": "c"}, {"username": "u", "password": "p"}, {"ca.crt": "c"}]
    return [bookstore.secret(name, **values) for name, values in zip(names, keys)] + [
        {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": names[4]},
         "data": {"schema.json": '[{"index": "many-%d", "nodes": {"table": "books"}}]' % number}}, made]


@pytest.mark.long
def test_a_thousand_pgsyncs_need_few_descriptors_little_memory_and_no_writes(kube, make_operator, namespace):
    for first in range(0, 1000, 100):
        kube.kubectl.apply(*[o for number in range(first, first + 100) for o in referring(number)], namespace=namespace)
    descriptors = []

    def settled(operator):
        descriptors.append(len(os.listdir(f"/proc/{operator.process.pid}/fd")) - 3 * len(operator.workers()))
        found = kube.kubectl.json("get", "pgsyncs", "--namespace", namespace)["items"]
        return len(found) == 1000 and all(o.get("status", {}).get("phase") == "Suspended" for o in found)

    with make_operator("thousand", "--namespace", namespace, "--leader-elect=false", log_level="info") as operator:
        eventually(lambda: settled(operator), 300, "1,000 suspended PgSyncs", interval=1)

        def rests():
            before = writes(operator)
            time.sleep(5)
            return writes(operator) == before and not operator.workers()

        eventually(rests, 300, "an end of the writes")
        settled(operator)
        memory, before = memory_kib(operator.process.pid), writes(operator)
        time.sleep(20)
        after = writes(operator)
        print(f"{max(descriptors)} descriptors, {memory} KiB, {before:.0f} writes, {after - before:.0f} of them at rest")
        assert max(descriptors) <= 60
        assert memory <= 40 * 1024
        assert after == before
    # All at once: one after the other takes kubectl minutes.
    kube.session.delete(f"{kube.url}/apis/pgsync.io/v1alpha1/namespaces/{namespace}/pgsyncs", timeout=60).raise_for_status()


def test_writes_that_hang_do_not_hold_up_other_namespaces(kube, make_operator, state, resources, namespace, unique):
    stuck = [kube.namespace(f"{namespace}-{letter}") for letter in "ab"]
    with FaultProxy(kube.url, kube.ca.cert) as proxy:
        proxy.fail("hang", wanted=lambda path, body: any(f"/{name}/pgsyncs/" in path for name in stuck))

        def hanging():
            return [n for (method, path), n in proxy.requests.items()
                    if method == "PATCH" and any(f"/{name}/pgsyncs/" in path for name in stuck)]

        operator = make_operator("proxied", *[word for name in [namespace, *stuck] for word in ("--namespace", name)],
                                 "--leader-elect=false")
        operator.kubeconfig = kube.service_account_kubeconfig(operator_parts.NAMESPACE, kube.service_account,
                                                              state / f"{unique}.kubeconfig", server=proxy.url)
        with operator:
            for name in stuck:
                kube.kubectl.apply(*[suspended(f"stuck-{number}") for number in range(5)], namespace=name)
            # More than there may be at once, unless those that hang do not count.
            eventually(lambda: len(hanging()) > 4, 20, "writes for both namespaces", interval=0.1)
            resources.apply(suspended("free"))
            resources.wait("free", "Suspended", "True", timeout=20)
            assert set(hanging()) == {1}, "it was written after a write that hung had ended, and was tried again"
            assert operator.get("/livez") == 200
    for name in stuck:
        kube.kubectl("delete", "pgsyncs", "--all", "--namespace", name)


def test_with_secret_label_other_secrets_do_not_exist(kube, make_operator, resources, books, opensearch, index, namespace):
    with make_operator("label", "--namespace", namespace, "--leader-elect=false", "--secret-label", "pgsync.io/use=true"):
        resources.apply_books("books", books, opensearch.url, index=index)
        resources.wait("books", "Ready", "False", reason="CredentialsNotFound", contains=["pgsync.io/use=true"])
        kube.kubectl("label", "secret", "books-postgres", "pgsync.io/use=true", "--namespace", namespace)
        resources.wait("books")
        resources.delete("books")


def test_short_host_names_are_services_of_the_namespace(make_operator, resources, books, opensearch, index, namespace):
    """Without a cluster there are no such Services: the names that the worker looks for are what counts."""
    with make_operator("services", "--namespace", namespace, "--leader-elect=false", "--service-names"):
        resources.apply_books("books", books, opensearch.url, index=index,
                              spec={"source.host": "postgres", "sink.urls": ["http://search:9200"]})
        resources.wait("books", "SourceReachable", "False", contains=[f"postgres.{namespace}.svc"])
        resources.wait("books", "SinkReachable", "False", contains=[f"search.{namespace}.svc"])
        resources.kubectl("annotate", "pgsync", "books", "--namespace", namespace, "pgsync.io/force-delete=true")
        resources.delete("books")


def test_a_deletion_ends_though_the_role_of_the_namespace_is_deleted_first(kube, state, resources, books, opensearch, index, namespace):
    """As in `kubectl delete namespace`, which deletes everything in the namespace in some order."""
    with Release(kube, state, namespace, **{"watchNamespaces[0]": namespace}) as release, release.operator:
        resources.apply_books("books", books, opensearch.url, index=index)
        resources.wait("books")
        release.delete("RoleBinding", "Role")
        kube.kubectl("delete", "secrets", "--all", "--namespace", namespace)
        resources.delete("books")
        assert books.slots() == [] and books.publications() == []


def test_the_cluster_role_for_namespaces_reads_no_secrets():
    def resources_of(**values):
        objects = operator_parts.render_chart(**{"watchNamespaces[0]": "shop"}, **values)
        return {name for o in objects if o["kind"] == "ClusterRole" for rule in o["rules"] for name in rule["resources"]}

    assert resources_of() == {"pgsyncs", "pgsyncs/status", "pgsyncs/finalizers", "leases", "namespaces"}
    assert resources_of(**{"rbac.clusterRole": "false"}) == set()


def test_a_namespace_that_is_deleted_with_its_database_does_not_wait_for_it(kube, make_operator, own_postgres, resources, opensearch,
                                                                            index, namespace, unique):
    server = own_postgres()
    database = server.create_database(unique)
    bookstore.load(database)
    database.create_role()
    with make_operator("preview"):
        resources.apply_books("books", database, opensearch.url, index=index, spec={"deletionPolicy": {"index": "Delete"}})
        resources.wait("books")
        kube.kubectl("delete", "namespace", namespace, "--wait=false")
        server.stop()
        kube.kubectl("delete", "secrets", "--all", "--namespace", namespace)
        resources.delete("books", timeout=60)
        # What could be reached is clean, and what could not is told where an event can still be created.
        assert opensearch.indices(f"{index}-g*") == []
        found = kube.kubectl.json("get", "events.events.k8s.io", "--namespace", "default")["items"]
        assert [e for e in found if e["regarding"].get("name") == namespace and e["reason"] == "SlotOrphaned"]
