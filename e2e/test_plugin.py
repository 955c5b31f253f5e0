"""kubectl pgsync: what it shows and changes, with the rights that a user of a namespace has."""

import json
import os
import subprocess

import bookstore
import pytest
from parts import kubernetes
from parts.operator import BIN, NAMESPACE
from parts.search import eventually

NAME = "books"
MANAGER = "kubectl-pgsync"


class Plugin:
    """kubectl with bin/kubectl-pgsync on its path, and one kubeconfig in the environment."""

    def __init__(self, kubeconfig, namespace):
        self.namespace = namespace
        self.environment = {"PATH": f"{BIN}:{kubernetes.fetch()}:/usr/bin:/bin", "KUBECONFIG": str(kubeconfig)}
        self.environment |= {k: v for k, v in os.environ.items() if k.endswith("SAN_OPTIONS")}

    def run(self, *arguments):
        return subprocess.run(["kubectl", *arguments], env=self.environment, capture_output=True, text=True, timeout=60)

    def __call__(self, command, *arguments):
        """(exit code, standard output, standard error)"""
        done = self.run("pgsync", command, "--namespace", self.namespace, *arguments)
        return done.returncode, done.stdout, done.stderr

    def first(self, *arguments):
        """The exit code and the first line of a status."""
        code, out, err = self("status", *arguments)
        assert not err, err
        return code, out.splitlines()[0]


@pytest.fixture
def user(kube, resources, state, unique):
    """A user of the namespace, with the roles that the chart gives to the viewers and editors of a namespace."""
    account = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "user"}}
    bindings = [{"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "RoleBinding", "metadata": {"name": role},
                 "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": role},
                 "subjects": [{"kind": "ServiceAccount", "name": "user", "namespace": resources.namespace}]}
                for role in ("system:aggregate-to-view", "pgsync-operator-view", "pgsync-operator-edit")]
    resources.apply(account, *bindings)
    return Plugin(kube.service_account_kubeconfig(resources.namespace, "user", state / f"{unique}.kubeconfig"), resources.namespace)


@pytest.fixture
def idle(kube, resources, database, opensearch, index):
    """A PgSync that no operator works on."""
    database.create_role()
    resources.apply_books(NAME, database, opensearch.url, index=index)


def spec_of(resources):
    return resources.get(NAME)["spec"]


def test_a_user_sees_and_changes_a_pgsync(kube, make_operator, books, opensearch, resources, index, user):
    operator = make_operator("one").start()
    resources.apply_books(NAME, books, opensearch.url, index=index)
    resources.wait(NAME)
    code, out, err = user("status", NAME)
    assert (code, err) == (0, "")
    assert out.startswith("Verdict:    Flowing: data flows, "), out
    slot, = books.slots()
    assert f"\nSlot:       {slot} (Active)" in out and f"\n  {index}   {index}-g1   " in out and "BootstrapCompleted" in out, out
    code, out, err = user("status", "-o", "json")
    item, = json.loads(out)["items"]
    assert (code, item["name"], item["verdict"], item["healthy"]) == (0, NAME, "Flowing", True)
    assert item["status"]["stream"]["slotName"] == slot

    assert user("suspend", f"pgsync/{NAME}") == (0, f"pgsync.pgsync.io/{NAME} suspended\n", "")
    resources.wait(NAME, "Suspended")
    assert user.first(NAME) == (0, "Verdict:    Suspended: no data flows: it is suspended")
    assert user("suspend", NAME) == (0, f"pgsync.pgsync.io/{NAME} already suspended\n", "")
    assert user("resume", NAME) == (0, f"pgsync.pgsync.io/{NAME} resumed\n", "")
    resources.wait(NAME, generation=True)
    before = resources.get(NAME)["status"]["worker"]["identity"]
    assert user("restart", NAME) == (0, f"pgsync.pgsync.io/{NAME} restart requested\n", "")
    eventually(lambda: resources.get(NAME)["status"]["worker"]["identity"] != before, 30, "another worker")
    resources.wait(NAME, generation=True)
    assert user("resync", NAME) == (0, f"pgsync.pgsync.io/{NAME} resync requested\n", "")
    eventually(lambda: f"{index}-g2" in user("status", NAME)[1], 30, "another generation of the index")
    bookstore.wait_equal(opensearch, index, lambda: bookstore.expected(books))
    managers = {f["manager"]: json.dumps(f["fieldsV1"]) for f in kube.kubectl.json(
        "get", "pgsync", NAME, "-n", resources.namespace, "--show-managed-fields")["metadata"]["managedFields"]}
    assert all(f'"f:{field}"' in managers[MANAGER] for field in ("suspend", "restartNonce", "resyncNonce")), managers
    assert all(f'"f:{field}"' not in managers["pgsync-operator"] for field in ("suspend", "restartNonce", "resyncNonce")), managers

    # A status that nobody renews is not taken for the truth by those who may look for the operator.
    operator.process.kill9()
    kube.kubectl("delete", "leases", "--all", "--namespace", NAMESPACE)
    code, line = Plugin(kube.kubeconfig, resources.namespace).first(NAME)
    assert (code, line.split(":")[1].strip()) == (1, "Unknown"), line
    operator.start()
    resources.wait(NAME, generation=True)


def test_what_several_change_at_once_is_changed_for_each(idle, resources, user):
    started = [subprocess.Popen(["kubectl", "pgsync", "restart", NAME, "-n", resources.namespace], env=user.environment,
                                stdout=subprocess.PIPE, stderr=subprocess.PIPE) for _ in range(4)]
    assert [each.wait(timeout=60) for each in started] == [0] * 4, [each.stderr.read() for each in started]
    assert spec_of(resources)["restartNonce"] == 4


def test_without_an_operator_the_verdict_says_so(idle, resources, user):
    code, out, err = user("status", NAME)
    assert (code, err) == (1, "")
    assert out.startswith("Verdict:    Unknown: no operator has looked at it yet\nTo do:      install pgsync-operator"), out
    code, out, err = user("status")
    assert code == 1 and out.splitlines()[1].split()[:2] == [NAME, "Unknown"]


@pytest.mark.parametrize("arguments, words", [
    (["status", "none"], ["none", "not found"]),
    (["suspend", "none"], ["none", "not found"]),
    (["status", "--namespace", "pgsync-system"], ["forbidden", "pgsync-system"]),
])
def test_what_the_api_server_refuses_exits_with_3(resources, user, arguments, words):
    code, out, err = user(*arguments)
    assert (code, out) == (3, "") and all(word in err for word in words) and len(err.splitlines()) == 1, err


def test_kubectl_completes_commands_options_and_names(idle, user):
    listed = {line.split("\t")[0] for line in user.run("__complete", "pgsync", "res").stdout.splitlines()}
    assert {"restart", "resume", "resync"} <= listed
    listed = user.run("__complete", "pgsync", "status", "-n", user.namespace, "b").stdout.splitlines()
    assert listed[0] == NAME and listed[-1] == ":4", listed
    assert "--all-namespaces" in user.run("__complete", "pgsync", "status", "--all").stdout
