"""The operator under test, run as the ServiceAccount that the chart creates, with exactly the chart's permissions."""

import os
import subprocess
from pathlib import Path

import requests
import yaml

from . import kubernetes, ports
from .process import Process, children
from .search import eventually

TREE = Path(__file__).resolve().parent.parent.parent
BIN = Path(os.environ.get("PGSYNC_BIN") or TREE / "bin")  # another build's programs, such as sanitized ones
NAMESPACE = "pgsync-system"
RELEASE = "pgsync-operator"
# The chart's objects, without those that need nodes.
INSTALLED = {"CustomResourceDefinition", "ServiceAccount", "Role", "RoleBinding", "ClusterRole", "ClusterRoleBinding"}


def render_chart(namespace=NAMESPACE, release=RELEASE, **values):
    """The objects of deploy/helm/pgsync-operator."""
    command = [kubernetes.helm(), "template", release, TREE / "deploy/helm/pgsync-operator", "--namespace", namespace]
    for key, value in values.items():
        command += ["--set", f"{key}={value}"]
    done = subprocess.run([str(c) for c in command], capture_output=True, text=True)
    if done.returncode != 0:
        raise RuntimeError(f"helm template: {done.stderr}")
    return [o for o in yaml.safe_load_all(done.stdout) if o]


def install(kubectl, namespace=NAMESPACE, release=RELEASE, **values):
    """CRD and RBAC as the chart has them; returns the name of the operator's ServiceAccount."""
    objects = [o for o in render_chart(namespace, release, **values) if o["kind"] in INSTALLED]
    kubectl.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}})
    kubectl.apply(*objects, namespace=namespace)
    # Until the API server has judged a new CRD, its conditions are null, which `kubectl wait` takes for an error.
    eventually(lambda: kubectl("wait", "--for=condition=Established", "crd/pgsyncs.pgsync.io", "--timeout=30s", check=False)[0] == 0, 60,
               "an established CRD", interval=0.2)
    # The API server publishes the schema a moment after that.
    eventually(lambda: kubectl("explain", "pgsyncs.pgsync.io", check=False)[0] == 0, 30, "`kubectl explain pgsyncs`", interval=0.2)
    (account,) = [o["metadata"]["name"] for o in objects if o["kind"] == "ServiceAccount"]
    return account


class Running:
    """A process of bin/pgsync-operator, once there is one: `process`, which serves `url`."""

    url = process = None

    def get(self, path):
        """The status code of a health endpoint; 0 if nothing answers."""
        try:
            return requests.get(self.url + path, timeout=3).status_code
        except requests.RequestException:
            return 0

    def workers(self):
        """Pids of the workers."""
        return children(self.process.pid) if self.process and self.process.alive else []

    def stop(self):
        if self.process:
            return self.process.stop(timeout=15)


class Operator(Running):
    """One bin/pgsync-operator."""

    def __init__(self, name, state: Path, kubeconfig: Path, *flags, lease_namespace=NAMESPACE, log_level="debug", attached=True,
                 programs=BIN, environment=None):
        """`programs`: the directory of another build; `environment`: variables beside those of this process."""
        self.programs, self.environment = Path(programs), {**os.environ, **(environment or {})}
        self.name, self.state, self.kubeconfig = name, Path(state), Path(kubeconfig)
        self.lease_namespace, self.log_level = lease_namespace, log_level
        self.port = ports.free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.flags, self.attached = flags, attached
        self.process = None

    def spawn(self):
        self.process = Process(self.name, [
            self.programs / "pgsync-operator", "--kubeconfig", self.kubeconfig, "--listen", f"127.0.0.1:{self.port}",
            "--leader-elect-namespace", self.lease_namespace, "--log-format", "json", "--log-level", self.log_level, *self.flags,
        ], self.state / f"{self.name}.log", attached=self.attached, env=self.environment)
        return self

    def start(self, timeout=10):
        self.spawn()
        self.process.wait_until(lambda: self.get("/livez") == 200, timeout)
        return self

    def metrics(self):
        """The text of /metrics."""
        return requests.get(self.url + "/metrics", timeout=5).text

    def series(self, name):
        """The lines of a metric."""
        return [line for line in self.metrics().splitlines() if line.split("{")[0].split(" ")[0] == name]

    def metric(self, name):
        """The value of a metric without labels, or the sum over its labels."""
        values = [float(line.rsplit(" ", 1)[1]) for line in self.series(name)]
        if not values:
            raise LookupError(f"/metrics has no {name}")
        return sum(values)

    def __enter__(self):
        return self.start()

    def __exit__(self, *exc):
        self.stop()


class Release:
    """An installation of the chart in the test's namespace."""

    def __init__(self, kube, state, namespace, **values):
        self.kube, self.namespace, self.values = kube, namespace, values
        self.name = f"release-{namespace}"  # its cluster-wide objects are named after it
        self.objects = render_chart(namespace, self.name, **values)
        account = self.install()
        self.kubeconfig = kube.service_account_kubeconfig(namespace, account, state / f"{namespace}.kubeconfig")
        self.operator = Operator(f"operator-{namespace}", state, self.kubeconfig,
                                 *[a for a in self.arguments("Deployment") if "listen" not in a], lease_namespace=namespace)

    def install(self):
        return install(self.kube.kubectl, self.namespace, self.name, **self.values)

    def of_kind(self, *kinds):
        return [o for o in self.objects if o["kind"] in kinds]

    def arguments(self, kind):
        """How the chart runs pgsync-operator."""
        (found,) = self.of_kind(kind)
        (container,) = found["spec"]["template"]["spec"]["containers"]
        assert container["command"] == ["pgsync-operator"]
        return container["args"]

    def run_hook(self):
        done = subprocess.run([str(BIN / "pgsync-operator"), "--kubeconfig", str(self.kubeconfig), *self.arguments("Job")],
                              capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, done.stderr

    def delete(self, *kinds):
        """Deletes what the chart has of these kinds."""
        for each in self.of_kind(*kinds):
            where = ["--namespace", each["metadata"].get("namespace", self.namespace)]
            self.kube.kubectl("delete", each["kind"], each["metadata"]["name"], *where, "--ignore-not-found")

    def delete_permissions(self):
        self.delete("RoleBinding", "Role", "ClusterRoleBinding", "ClusterRole")

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.operator.stop()
        self.delete_permissions()
