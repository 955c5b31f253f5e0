"""Operators that watch some namespaces: each is watched separately."""

import os
import time
from pathlib import Path

import requests
from parts import operator as operator_parts
from parts.operator import NAMESPACE, Operator
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
