"""Operators that watch some namespaces: each is watched separately."""

import os
import time
from pathlib import Path

import bookstore
import requests
from parts import operator as operator_parts
from parts.operator import NAMESPACE, Operator
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


def dangling(number):
    """A PgSync with five references that no other PgSync has, to objects that do not exist."""
    names = [f"many-{number}-{letter}" for letter in "abcde"]
    return {"apiVersion": "pgsync.io/v1alpha1", "kind": "PgSync", "metadata": {"name": f"many-{number}"}, "spec": {
        "source": {"host": "127.0.0.1", "database": "d", "user": "u", "passwordSecretRef": {"name": names[0]},
                   "tls": {"caSecretRef": {"name": names[1]}}},
        "sink": {"urls": ["https://127.0.0.1:1"], "authentication": {"type": "Basic", "secretRef": {"name": names[2]}},
                 "tls": {"caSecretRef": {"name": names[3]}}},
        "schemaConfigMapRef": {"name": names[4]}}}


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


def test_with_secret_label_other_secrets_do_not_exist(kube, make_operator, resources, books, opensearch, index, namespace):
    with make_operator("label", "--namespace", namespace, "--leader-elect=false", "--secret-label", "pgsync.io/use=true"):
        resources.apply_books("books", books, opensearch.url, index=index)
        resources.wait("books", "Ready", "False", reason="CredentialsNotFound", contains=["pgsync.io/use=true"])
        kube.kubectl("label", "secret", "books-postgres", "pgsync.io/use=true", "--namespace", namespace)
        resources.wait("books")
        resources.delete("books")
