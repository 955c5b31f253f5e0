"""A Kubernetes API server (etcd and kube-apiserver, no nodes) with RBAC on, and kubectl for it."""

import base64
import json
import signal
import ssl
import subprocess
from pathlib import Path

import requests
import urllib3
import yaml

from . import cache, golang, pki, ports
from .process import Process

VERSION = "1.34.4"
HELM_VERSION = "3.21.4"
COREDNS_VERSION = "1.13.1"


def _fetch(part, tool, *programs) -> Path:
    _, minor, _ = VERSION.split(".")
    flags = "k8s.io/component-base/version"
    ldflags = f"-s -w -X {flags}.gitVersion=v{VERSION} -X {flags}.gitMajor=1 -X {flags}.gitMinor={minor}"

    def build(directory):
        golang.install(tool, [f"k8s.io/kubernetes/cmd/{program}" for program in programs], directory, ldflags)

    return cache.cached(part, VERSION, build, sources=golang.TOOLS / tool, note="some minutes the first time")


def fetch() -> Path:
    """The directory that contains kube-apiserver and kubectl."""
    return _fetch("kubernetes", "kubernetes", "kube-apiserver", "kubectl")


def fetch_node() -> Path:
    """The directory that contains what a cluster with a node needs beside them (parts/cluster.py)."""
    return _fetch("kubernetes-node", "node", "kubelet", "kube-proxy", "kube-controller-manager", "kube-scheduler")


def coredns() -> Path:
    """The coredns program."""

    def build(directory):
        golang.install("coredns", ["."], directory)

    return cache.cached("coredns", COREDNS_VERSION, build, sources=golang.TOOLS / "coredns", note="some minutes the first time") / "coredns"


def helm() -> Path:
    """The helm program."""

    def build(directory):
        ldflags = f"-s -w -X helm.sh/helm/v3/internal/version.version=v{HELM_VERSION}"
        golang.install("helm", ["helm.sh/helm/v3/cmd/helm"], directory, ldflags)

    return cache.cached("helm", HELM_VERSION, build, sources=golang.TOOLS / "helm", note="some minutes the first time") / "helm"


class Kubectl:
    """kubectl with one kubeconfig, and optionally one context of it."""

    def __init__(self, kubeconfig: Path, context=None):
        self.kubeconfig, self.context = Path(kubeconfig), context
        self._client = None

    def __call__(self, *arguments, input=None, check=True, timeout=60):
        """Runs `kubectl ARGUMENTS` and returns what it printed; check=False: (code, stdout, stderr)."""
        command = [str(fetch() / "kubectl"), "--kubeconfig", str(self.kubeconfig)]
        if self.context:
            command += ["--context", self.context]
        done = subprocess.run(command + [str(a) for a in arguments], input=input, capture_output=True, text=True, timeout=timeout)
        if not check:
            return done.returncode, done.stdout, done.stderr
        if done.returncode != 0:
            raise RuntimeError(f"kubectl {' '.join(str(a) for a in arguments)}: {done.stderr.strip()}")
        return done.stdout

    def json(self, *arguments):
        return json.loads(self(*arguments, "-o", "json"))

    def read(self, path):
        """What the API has at a path; None if it has nothing there. Without a process, for what is asked again and again."""
        self._client = self._client or Client(self.kubeconfig, self.context)
        return self._client.read(path)

    def apply(self, *objects, namespace=None):
        """Server-side apply of Python objects or of YAML text."""
        text = "\n---\n".join(o if isinstance(o, str) else yaml.safe_dump(o) for o in objects)
        where = ["--namespace", namespace] if namespace else []
        return self("apply", "--server-side", "--force-conflicts", *where, "-f", "-", input=text)


class Client:
    """Reads from an API server, with the login of a kubeconfig."""

    def __init__(self, kubeconfig: Path, context=None):
        config = yaml.safe_load(kubeconfig.read_text())

        def named(kind, name):
            return next(one[kind] for one in config[f"{kind}s"] if one["name"] == name)

        context = named("context", context or config["current-context"])
        cluster, user = named("cluster", context["cluster"]), named("user", context["user"])
        trusted = ssl.create_default_context(cadata=base64.b64decode(cluster["certificate-authority-data"]).decode())
        if "client-certificate" in user:
            trusted.load_cert_chain(user["client-certificate"], user["client-key"])
        self.headers = {"Authorization": f"Bearer {user['token']}"} if "token" in user else {}
        self.url, self.pool = cluster["server"], urllib3.PoolManager(ssl_context=trusted, retries=1)

    def read(self, path):
        try:
            answer = self.pool.request("GET", f"{self.url}/{path}", headers=self.headers, timeout=60)
        except urllib3.exceptions.HTTPError as error:
            raise RuntimeError(f"GET {path}: {error}") from None
        if answer.status == 404:
            return None
        if answer.status != 200:
            raise RuntimeError(f"GET {path}: {answer.status} {answer.data[:500]}")
        return json.loads(answer.data)


class KubeApi:
    """etcd and kube-apiserver, with their own PKI."""

    address = "127.0.0.1"

    def __init__(self, state: Path, *, port=None, fsync=False, attached=True):
        self.state, self.attached, self.fsync = Path(state), attached, fsync
        self.port, self.etcd_port, self.peer_port = port or ports.free_port(), ports.free_port(), ports.free_port()
        self.url = f"https://{self.address}:{self.port}"
        self.kubeconfig = self.state / "admin.kubeconfig"
        self.kubectl = Kubectl(self.kubeconfig)
        self.etcd = self.process = self.session = None

    def prepare(self):
        """Certificates and the administrator's kubeconfig, made once."""
        self.ca = pki.Authority(self.state / "pki", "kubernetes")
        self.serving = self.ca.issue("apiserver", "/CN=kube-apiserver", sans=(
            "DNS:localhost,DNS:kubernetes,DNS:kubernetes.default,DNS:kubernetes.default.svc,"
            f"IP:127.0.0.1,IP:10.96.0.1,IP:{self.address}"))
        self.admin = self.ca.issue("admin", "/O=system:masters/CN=admin", usage="clientAuth", sans=None)
        if not (self.state / "pki/sa.key").exists():
            pki.signing_key(self.state / "pki/sa.key")
        user = {"client-certificate": str(self.admin.cert), "client-key": str(self.admin.key)}
        self.write_kubeconfig(self.kubeconfig, "admin", user)
        self.session = requests.Session()
        self.session.trust_env = False
        self.session.verify, self.session.cert = str(self.ca.cert), (str(self.admin.cert), str(self.admin.key))

    def write_kubeconfig(self, path: Path, name, user, server=None):
        """A kubeconfig for this server; `server`: another address for it, such as a proxy's."""
        authority = base64.b64encode(self.ca.cert.read_bytes()).decode()
        config = {
            "apiVersion": "v1", "kind": "Config", "current-context": name,
            "clusters": [{"name": "e2e", "cluster": {"server": server or self.url, "certificate-authority-data": authority}}],
            "users": [{"name": name, "user": user}],
            "contexts": [{"name": name, "context": {"cluster": "e2e", "user": name}}],
        }
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch(mode=0o600)
        path.write_text(yaml.safe_dump(config))
        return path

    def flags(self):
        """Those of kube-apiserver that differ where there is a node."""
        # No controller creates the default ServiceAccount of a namespace here, and this plugin would wait for it.
        return ["--authorization-mode=RBAC", "--disable-admission-plugins=ServiceAccount", "--endpoint-reconciler-type=none"]

    def spawn(self):
        self.prepare()
        client = f"http://127.0.0.1:{self.etcd_port}"
        peer = f"http://127.0.0.1:{self.peer_port}"
        if not (self.etcd and self.etcd.alive):
            self.etcd = Process("etcd", [
                "etcd", "--data-dir", self.state / "etcd", "--listen-client-urls", client, "--advertise-client-urls", client,
                "--listen-peer-urls", peer, "--initial-advertise-peer-urls", peer, "--initial-cluster", f"default={peer}",
                *([] if self.fsync else ["--unsafe-no-fsync"]),
            ], self.state / "etcd.log", attached=self.attached)
        self.process = Process("kube-apiserver", [
            fetch() / "kube-apiserver", f"--etcd-servers={client}", f"--bind-address={self.address}", f"--secure-port={self.port}",
            f"--tls-cert-file={self.serving.cert}", f"--tls-private-key-file={self.serving.key}",
            f"--client-ca-file={self.ca.cert}", "--service-account-issuer=https://kubernetes.default.svc",
            f"--service-account-key-file={self.state}/pki/sa.key.pub",
            f"--service-account-signing-key-file={self.state}/pki/sa.key", "--service-cluster-ip-range=10.96.0.0/16",
            "--allow-privileged=true", f"--cert-dir={self.state}/pki", *self.flags(),
        ], self.state / "kube-apiserver.log", attached=self.attached)
        return self

    def wait(self, timeout=90):
        self.process.wait_until(self.ready, timeout)
        return self

    def start(self):
        return self.spawn().wait()

    def ready(self):
        try:
            return self.session.get(f"{self.url}/readyz", timeout=5).status_code == 200
        except requests.RequestException:
            return False

    def stop(self, keep_etcd=False):
        if self.process:
            # A graceful shutdown waits for open watches, which no test needs.
            self.process.stop(signal.SIGTERM, timeout=1)
        if self.etcd and not keep_etcd:
            self.etcd.stop(timeout=2)

    def kill9(self):
        self.process.kill9()

    def pause(self):
        """Freezes the API server: connections stay open and nothing answers."""
        self.process.pause()

    def resume(self):
        self.process.resume()

    def restart(self):
        """Starts the API server again after kill9() or stop(keep_etcd=True)."""
        return self.start()

    def namespace(self, name):
        self.kubectl.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})
        return name

    def service_account_kubeconfig(self, namespace, name, path: Path, server=None, hours=24) -> Path:
        """A kubeconfig with a token of a ServiceAccount (TokenRequest), so that RBAC decides what it may do."""
        token = self.kubectl("create", "token", name, "--namespace", namespace, "--duration", f"{hours}h").strip()
        return self.write_kubeconfig(path, f"{namespace}-{name}", {"token": token}, server)

    def metrics(self, name):
        """The lines of one metric of the API server."""
        text = self.session.get(f"{self.url}/metrics", timeout=30).text
        return [line for line in text.splitlines() if line.startswith(name)]

    def __enter__(self):
        return self.start()

    def __exit__(self, *exc):
        self.stop()
