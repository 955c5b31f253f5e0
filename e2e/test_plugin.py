"""kubectl pgsync: what it shows and changes, with the rights that a user of a namespace has."""

import base64
import json
import os
import select
import shutil
import signal
import socket
import ssl
import subprocess
import tarfile
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import bookstore
import pytest
import yaml
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

    def start(self, command, *arguments, stdout=subprocess.PIPE):
        """The same without waiting for its end. kubectl becomes the plugin, so that a signal reaches it."""
        return subprocess.Popen(["kubectl", "pgsync", command, "--namespace", self.namespace, *arguments], env=self.environment,
                                stdin=subprocess.DEVNULL, stdout=stdout)

    def first(self, *arguments):
        """The exit code and the first line of a status."""
        code, out, err = self("status", *arguments)
        assert not err, err
        return code, out.splitlines()[0]


def binding(resources, kind, role):
    return {"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "RoleBinding", "metadata": {"name": role},
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": kind, "name": role},
            "subjects": [{"kind": "ServiceAccount", "name": "user", "namespace": resources.namespace}]}


@pytest.fixture
def user(kube, resources, state, unique):
    """A user of the namespace, with the roles that the chart gives to the viewers and editors of a namespace."""
    account = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "user"}}
    roles = ("system:aggregate-to-view", "pgsync-operator-view", "pgsync-operator-edit")
    resources.apply(account, *(binding(resources, "ClusterRole", role) for role in roles))
    return Plugin(kube.service_account_kubeconfig(resources.namespace, "user", state / f"{unique}.kubeconfig"), resources.namespace)


def let_read_secrets(resources):
    """What the user above may not do yet."""
    resources.apply({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "Role", "metadata": {"name": "secrets"},
                     "rules": [{"apiGroups": [""], "resources": ["secrets"], "verbs": ["get"]}]},
                    binding(resources, "Role", "secrets"))


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

    # A status that no operator renews is not taken for the truth by those who may look for the operator.
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
    (["logs", "none"], ["none", "not found"]),
    (["report", "none"], ["none", "not found"]),
    (["dead-letters", "none"], ["none", "not found"]),
    (["status", "--namespace", "pgsync-system"], ["forbidden", "pgsync-system"]),
])
def test_what_the_api_server_refuses_exits_with_3(resources, user, arguments, words):
    code, out, err = user(*arguments)
    assert "CustomResourceDefinition" not in err
    assert (code, out) == (3, "") and all(word in err for word in words) and len(err.splitlines()) == 1, err


def test_kubectl_completes_commands_options_and_names(idle, user):
    listed = {line.split("\t")[0] for line in user.run("__complete", "pgsync", "res").stdout.splitlines()}
    assert {"restart", "resume", "resync"} <= listed
    listed = user.run("__complete", "pgsync", "status", "-n", user.namespace, "b").stdout.splitlines()
    assert listed[0] == NAME and listed[-1] == ":4", listed
    assert "--all-namespaces" in user.run("__complete", "pgsync", "status", "--all").stdout


@pytest.fixture
def plugin_of(tmp_path):
    """plugin_of(code, body): the plugin with an API server that answers every request with that."""
    servers = []

    def make(code, body):
        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                self.send_response(code)
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *arguments):
                pass

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        servers.append(server)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        config = {"apiVersion": "v1", "kind": "Config", "current-context": "c", "contexts": [{"name": "c", "context": {"cluster": "c"}}],
                  "clusters": [{"name": "c", "cluster": {"server": f"http://127.0.0.1:{server.server_address[1]}"}}]}
        (tmp_path / "kubeconfig").write_text(json.dumps(config))
        return Plugin(tmp_path / "kubeconfig", "shop")

    yield make
    for server in servers:
        server.shutdown()
        server.server_close()


def test_a_cluster_without_the_crd_is_told_apart_from_a_missing_pgsync(plugin_of):
    plugin = plugin_of(404, b"404 page not found\n")  # as an API server answers for a group that it does not know
    for arguments in (["status"], ["status", NAME], ["suspend", NAME], ["lag"]):
        code, _, err = plugin(*arguments)
        assert code == 3 and "is the CustomResourceDefinition pgsyncs.pgsync.io installed?" in err, err


@pytest.mark.parametrize("arguments", [["plan", NAME, "--local"], ["compare", NAME, "7"]], ids=["plan", "compare"])
@pytest.mark.parametrize("given", ["file", "exec"])
def test_a_pgsync_never_has_the_plugin_read_a_file_or_run_a_program_of_this_machine(plugin_of, tmp_path, arguments, given):
    """Who may create a PgSync is not who runs the plugin. Whatever an API server with another CRD lets through."""
    secret = tmp_path / "secret"
    secret.write_text("a password of this machine")
    ran = tmp_path / "ran"
    resource = bookstore.sample()
    source = resource["spec"]["source"]
    del source["passwordSecretRef"]
    source["passwordFrom"] = {"file": str(secret)} if given == "file" else {"exec": {"command": ["/usr/bin/touch", str(ran)]}}
    listening = socket.create_server(("127.0.0.1", 0))
    listening.settimeout(1)
    source.update(host="127.0.0.1", port=listening.getsockname()[1], allowedAuth=["Cleartext"])
    resource["spec"]["sink"]["urls"] = ["http://127.0.0.1:9"]
    code, out, err = plugin_of(200, json.dumps(resource).encode())(*arguments)
    assert (code, out) == (3, "") and "passwordFrom" in err and "never on this machine" in err, out + err
    assert not ran.exists() and "a password" not in err
    with listening, pytest.raises(TimeoutError):
        listening.accept()


# --- as they change


class Output:
    """What a program has written to a descriptor so far."""

    def __init__(self, fd):
        self.fd, self.text = fd, ""

    def wait_for(self, part):
        def is_there():
            while select.select([self.fd], [], [], 0)[0]:
                try:
                    more = os.read(self.fd, 65536)
                except OSError:  # the other end of a terminal is closed
                    break
                if not more:
                    break
                self.text += more.decode()
            return part in self.text

        eventually(is_there, 30, lambda: f"{part!r} in {self.text!r}", interval=0.05)


def set_status(kube, resources, **fields):
    generation = resources.get(NAME)["metadata"]["generation"]
    condition = {"type": "Ready", "status": "True", "reason": "Streaming", "message": "", "lastTransitionTime": "2026-12-01T00:00:00Z"}
    status = {"observedGeneration": generation, "conditions": [condition], "operator": {"lease": f"{NAMESPACE}/gone"}} | fields
    kube.kubectl("patch", "pgsync", NAME, "-n", resources.namespace, "--subresource=status", "--type=merge", "-p", json.dumps({"status": status}))


def test_lag_prints_a_line_for_each_change(kube, idle, resources, user):
    set_status(kube, resources, stream={"lag": "3s", "lagBytes": 2048, "retainedWAL": "16MiB"})
    code, out, err = user("lag")
    assert (code, err) == (0, "")
    assert [line.split() for line in out.splitlines()] == [["NAME", "LAG", "BEHIND", "RETAINED", "VERDICT"],
                                                           [NAME, "3s", "2.0KiB", "16MiB", "Flowing"]]
    with user.start("lag", "--watch") as watching:
        output = Output(watching.stdout.fileno())
        output.wait_for("   3s ")
        set_status(kube, resources, stream={"lag": "4s", "lagBytes": 2048, "retainedWAL": "16MiB"})
        output.wait_for("   4s ")
        watching.terminate()
    assert [line.split()[1] for line in output.text.splitlines()] == ["LAG", "3s", "4s"]
    # It ends when what it prints is no longer read, as in `kubectl pgsync lag --watch | head`.
    with user.start("lag", "--watch") as watching:
        Output(watching.stdout.fileno()).wait_for("   4s ")
        watching.stdout.close()
        set_status(kube, resources, stream={"lag": "5s"})
        assert watching.wait(timeout=30) == 3
    with open("/dev/full", "w") as full, user.start("lag", stdout=full) as printing:
        assert printing.wait(timeout=30) == 3


def test_top_shows_what_changes_and_leaves_the_terminal_as_it_was(kube, idle, resources, user):
    set_status(kube, resources, stream={"lag": "3s"})
    code, out, err = user("top")
    assert (code, err, out.splitlines()[0]) == (0, "", "1 PgSync, 1 healthy") and "\033" not in out
    ours, theirs = os.openpty()
    watching = user.start("top", stdout=theirs)
    os.close(theirs)
    output = Output(ours)
    output.wait_for("3s")
    assert output.text.startswith("\033[?1049h")
    # What a status contains never reaches the terminal as more than text.
    set_status(kube, resources, stream={"lag": "\033[31m4s"})
    output.wait_for("\\u001b[31m4s")
    watching.send_signal(signal.SIGINT)
    output.wait_for("\033[?1049l")
    assert watching.wait(timeout=30) == 0
    os.close(ours)


def checked(type, status, message=""):
    return {"type": type, "status": status, "reason": "Checked", "message": message, "lastTransitionTime": "2026-12-01T00:00:00Z"}


def test_plan_shows_what_the_operator_found(kube, idle, resources, user):
    later = f"SQL, mapping and query plans: kubectl pgsync plan {NAME} --local\n"
    other = f"{NAME} is not in mode Plan, so what a start would change is not listed.\n{later}"
    unchecked = "The operator has not checked the current spec yet.\n"
    assert user("plan", NAME) == (1, unchecked + other, "")
    set_status(kube, resources)  # a worker starts: it has checked nothing
    assert user("plan", NAME) == (1, unchecked + other, "")
    set_status(kube, resources, conditions=[checked("SchemaAccepted", "True")])
    assert user("plan", NAME) == (0, "The operator found no errors.\n" + other, "")
    findings = [{"severity": "Error", "path": "spec.schema[0]", "message": "no table \033[31mbook"},
                {"severity": "Change", "message": "a start creates slot x", "statement": "SELECT 1\n"},
                {"severity": "Warning", "message": "slow"}]
    set_status(kube, resources, conditions=[checked("SchemaAccepted", "True")], findings=findings, moreFindings=2)
    assert user("plan", NAME) == (1, "Error: spec.schema[0]: no table \\u001b[31mbook\nChange: a start creates slot x\n    SELECT 1 ;\n"
                                     f"Warning: slow\nand 2 more\n{other}", "")
    resources.patch(NAME, {"mode": "Plan"})
    set_status(kube, resources, conditions=[checked("Planned", "False", "cannot reach Postgres")], findings=None, moreFindings=None)
    assert user("plan", NAME) == (1, f"The check failed: cannot reach Postgres\n{later}", "")
    set_status(kube, resources, conditions=[checked("Planned", "True")])
    assert user("plan", NAME) == (0, f"The operator found no errors, and nothing that a start would change.\n{later}", "")


def test_plan_runs_here_with_the_rights_of_the_user(resources, books, opensearch, index, user):
    resources.apply_books(NAME, books, opensearch.url, index=index, spec={
        "sink.authentication": {"type": "Basic", "secretRef": {"name": "search-login"}}})
    resources.apply(bookstore.secret("search-login", username="u", password="a login of the engine"))
    code, out, err = user("plan", NAME, "--local")
    assert (code, out) == (3, "") and "forbidden" in err and books.role_password not in err, err
    let_read_secrets(resources)
    code, out, err = user("plan", NAME, "--local")
    assert code == 0, out + err
    assert "row_to_json" in out and '"mappings"' in out, out
    assert books.role_password not in out + err and "a login of the engine" not in out + err and books.slots() == []
    resources.patch(NAME, {"source": {"passwordSecretRef": None, "passwordFrom": {"secretRef": {"name": f"{NAME}-postgres"}}}})
    code, out, err = user("plan", NAME, "--local")
    assert code == 0 and "row_to_json" in out and books.role_password not in out + err, out + err
    books.sql("DROP TABLE book_authors")
    code, out, err = user("plan", NAME, "--local")
    assert code == 1 and "book_authors" in err, out + err


def test_another_program_named_pgsync_is_not_run(tmp_path):
    for name in ("plugin", "path"):
        (tmp_path / name).mkdir()
    shutil.copy(f"{BIN}/kubectl-pgsync", tmp_path / "plugin")
    (tmp_path / "path" / "pgsync").write_text("#!/bin/sh\necho another\n")
    (tmp_path / "path" / "pgsync").chmod(0o755)
    done = subprocess.run([tmp_path / "plugin" / "kubectl-pgsync", "init"], env={"PATH": f"{tmp_path}/path:/usr/bin:/bin"},
                          capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout) == (127, "") and f"{tmp_path}/plugin/pgsync" in done.stderr, done


def test_dead_letters_are_counted_and_tried_again(kube, idle, resources, user):
    set_status(kube, resources, indices=[{"name": "books", "deadLetters": 2}])
    code, out, err = user("dead-letters")
    assert (code, err) == (1, "") and out.splitlines()[1].split() == [NAME, "books", "2"]
    assert user("dead-letters", NAME, "--retry") == (0, f"pgsync.pgsync.io/{NAME} retry of dead letters requested\n", "")
    first = resources.get(NAME)["metadata"]["annotations"]["pgsync.io/retry-dead-letters"]
    assert user("dead-letters", NAME, "--retry")[0] == 0
    assert resources.get(NAME)["metadata"]["annotations"]["pgsync.io/retry-dead-letters"] != first
    set_status(kube, resources, indices=[{"name": "books", "deadLetters": 0}])
    assert user("dead-letters")[0] == 0


# --- logs: the API server asks the node of a pod; this one answers

LINES = [
    'operator: event resource="NS/books" reason="Started"',
    "sync: of another one pgsync=NS/books-2",
    "sync: streaming pgsync=NS/books",
]


class Kubelet:
    """Serves the log of any container, over TLS: LINES, and with follow=true one more line for each release()."""

    def __init__(self, kube, state, namespace):
        self.more = threading.Semaphore(0)
        kubelet = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                self.send_response(200)
                self.end_headers()
                for line in LINES:
                    self.wfile.write((line.replace("NS", namespace) + "\n").encode())
                if "follow=true" in self.path:
                    kubelet.more.acquire()
                    self.wfile.write(f"sync: later pgsync={namespace}/books\n".encode())
                    self.wfile.flush()
                    kubelet.more.acquire()

            def log_message(self, *arguments):
                pass

        certificate = kube.ca.issue("kubelet", "/CN=kubelet")
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate.cert, certificate.key)
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.socket = context.wrap_socket(self.server.socket, server_side=True)
        self.port = self.server.server_address[1]
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def stop(self):
        self.more.release(10)
        self.server.shutdown()
        self.server.server_close()


@pytest.fixture
def pod(kube, resources, state, user):
    """A pod of the operator whose log can be read, by the user too."""
    kubelet = Kubelet(kube, state, resources.namespace)
    kube.kubectl.apply({"apiVersion": "v1", "kind": "Node", "metadata": {"name": "plugin-node"}})
    kube.kubectl("patch", "node", "plugin-node", "--subresource=status", "--type=merge", "-p", json.dumps({"status": {
        "addresses": [{"type": "InternalIP", "address": "127.0.0.1"}], "daemonEndpoints": {"kubeletEndpoint": {"Port": kubelet.port}}}}))
    rules = [{"apiGroups": [""], "resources": ["pods", "pods/log"], "verbs": ["get", "list"]}]
    kube.kubectl.apply(
        {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "plugin-pod", "labels": {"app.kubernetes.io/part-of": "pgsync"}},
         "spec": {"nodeName": "plugin-node", "containers": [{"name": "operator", "image": "none", "env": [{"name": "SOMETHING", "value": "plnt-env-9c4"}]}]}},
        {"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "Role", "metadata": {"name": "plugin-logs"}, "rules": rules},
        {"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "RoleBinding", "metadata": {"name": "plugin-logs"},
         "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "plugin-logs"},
         "subjects": [{"kind": "ServiceAccount", "name": "user", "namespace": resources.namespace}]}, namespace=NAMESPACE)
    yield kubelet
    kubelet.stop()
    kube.kubectl("delete", "pod", "plugin-pod", "-n", NAMESPACE, "--force", "--grace-period=0")
    kube.kubectl("delete", "node", "plugin-node")


def test_logs_are_the_lines_about_one_pgsync(kube, idle, resources, user, pod):
    assert user("logs", NAME)[0] == 3  # no operator has looked at it
    set_status(kube, resources)
    wanted = "".join(line.replace("NS", resources.namespace) + "\n" for line in LINES if "books-2" not in line)
    assert user("logs", NAME) == (0, wanted, "")
    with user.start("logs", NAME, "--follow") as following:
        output = Output(following.stdout.fileno())
        output.wait_for(wanted)
        pod.more.release()
        output.wait_for(f"sync: later pgsync={resources.namespace}/books\n")
        following.terminate()
    with user.start("logs", NAME, "--follow") as following:
        Output(following.stdout.fileno()).wait_for(wanted)
        following.stdout.close()
        pod.more.release(2)  # one for the reader that has gone
        assert following.wait(timeout=30) == 3


def test_a_report_has_everything_but_secrets(kube, idle, resources, user, pod, database, tmp_path):
    planted = ["plnt-url-9c1", "plnt-setting-9c2", "plnt-bearer-9c3", "plnt-env-9c4", "plnt-annotation-9c5", "plnt-log-9c6"]
    message = f"cannot connect to postgres://me:{planted[0]}@db/shop with password={planted[1]}, sent Authorization: Bearer {planted[2]}"
    condition = {"type": "Ready", "status": "False", "reason": "AuthFailed", "message": message, "lastTransitionTime": "2026-12-01T00:00:00Z"}
    set_status(kube, resources, conditions=[condition])
    kube.kubectl("annotate", "pgsync", NAME, "-n", resources.namespace,
                 f"kubectl.kubernetes.io/last-applied-configuration={planted[4]}")
    LINES.append(f"sync: refused pgsync=NS/books uri=\"http://u:{planted[5]}@search\"")
    try:
        code, out, err = user("report", NAME, "--file", str(tmp_path / "report.tar"))
    finally:
        LINES.pop()
    assert (code, out, err) == (0, f"{tmp_path}/report.tar\n", "")
    with tarfile.open(tmp_path / "report.tar") as archive:
        files = {member.name: archive.extractfile(member).read().decode() for member in archive}
    assert files.keys() == {"versions.json", "pgsync.json", "status.txt", "events.json", "pods.json", "log.txt"} | {"lease.json", "not-read.txt"} & files.keys()
    resource = json.loads(files["pgsync.json"])
    assert resource["spec"] == spec_of(resources) and resource["status"]["conditions"][0]["reason"] == "AuthFailed"
    assert "Broken" in files["status.txt"] and "streaming pgsync=" in files["log.txt"] and "books-2" not in files["log.txt"]
    assert json.loads(files["pods.json"])[0]["containers"][0]["name"] == "operator"
    secrets = kube.kubectl.json("get", "secrets", "-n", resources.namespace)["items"]
    values = [base64.b64decode(value).decode() for secret in secrets for value in secret["data"].values()]
    assert database.role_password in values
    values += [*planted, yaml.safe_load(open(user.environment["KUBECONFIG"]))["users"][0]["user"]["token"]]
    everything = (tmp_path / "report.tar").read_bytes()
    assert [value for value in values if value.encode() in everything] == []
    assert oct((tmp_path / "report.tar").stat().st_mode & 0o777) == "0o600"
    code, out, err = user("report", NAME, "--file", str(tmp_path / "report.tar"))
    assert (code, out) == (3, "") and "report.tar" in err  # what exists is not overwritten


def test_a_report_says_what_could_not_be_read(kube, idle, resources, user, tmp_path):
    set_status(kube, resources)
    code, out, err = user("report", NAME, "--file", "-")
    assert (code, err) == (0, "")
    assert "not-read.txt" in out and "pods.json: " in out and "forbidden" in out


def test_logs_that_may_not_be_read_are_an_error(kube, idle, resources, user):
    set_status(kube, resources)
    code, out, err = user("logs", NAME)
    assert (code, out) == (3, "") and "forbidden" in err and NAMESPACE in err, err
