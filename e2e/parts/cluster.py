"""A Kubernetes cluster with one node, on which pods run: for tests of what only a real cluster shows. Needs root.

The node (e2e/cluster/node) has its own network, mounts and process numbers, so that it leaves nothing behind on this machine,
however it ends. A cable connects it with the machine, where the API server, databases and search engines are: pods reach
them at HOST."""

import contextlib
import hashlib
import json
import os
import platform
import subprocess
import tarfile
from pathlib import Path

import yaml

from . import cache, kubernetes, pki, ports
from .process import Process, children
from .search import eventually

SOURCES = Path(__file__).resolve().parent.parent / "cluster"
CABLE, HOST, NODE = "pgsync-e2e", "10.243.0.1", "10.243.0.2"
PODS, GATEWAY, SERVICES = "10.244.0.0/24", "10.244.0.1", "10.96.0.0/16"
API_SERVICE = "10.96.0.1"
PAUSE = "localhost/pause:1"
ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}


class ClusterApi(kubernetes.KubeApi):
    """The API server of a cluster: nodes and controllers are its clients."""

    address = HOST

    def prepare(self):
        super().prepare()
        self.kubelet_client = self.ca.issue(
            "kubelet-client", "/O=system:masters/CN=kube-apiserver", usage="clientAuth", sans=None)

    def flags(self):
        return [
            f"--advertise-address={HOST}", "--authorization-mode=Node,RBAC", "--enable-admission-plugins=NodeRestriction",
            f"--kubelet-client-certificate={self.kubelet_client.cert}", f"--kubelet-client-key={self.kubelet_client.key}",
            f"--kubelet-certificate-authority={self.ca.cert}", "--kubelet-preferred-address-types=InternalIP",
        ]

    def component_kubeconfig(self, directory: Path, name, subject):
        """The kubeconfig of a part of Kubernetes."""
        certificate = self.ca.issue(name, subject, usage="clientAuth", sans=None)
        user = {"client-certificate": str(certificate.cert), "client-key": str(certificate.key)}
        return self.write_kubeconfig(directory / f"{name}.kubeconfig", name, user)


class Cluster:
    """One at a time on a machine: the next one waits."""

    def __init__(self, state: Path):
        self.state = Path(state) / "node"
        self.api = ClusterApi(Path(state) / "control-plane")
        self.kubectl, self.kubeconfig = self.api.kubectl, self.api.kubeconfig
        self.node, self.controllers = None, []
        self._held = contextlib.ExitStack()

    def start(self, *images):
        """`images`: docker-archives whose images pods may use; nothing is pulled."""
        self._held.enter_context(cache.locked("cluster"))
        self.state.mkdir(parents=True)
        self.api.prepare()
        self._configure()
        self._start_node()
        self.api.start()
        self._start_controllers()
        for image in (self._pause_image(), *images):
            self._import(image)
        eventually(self._is_ready, 120, "readiness of the node", interval=0.2)
        return self

    def stop(self):
        for each in self.controllers:
            each.stop(timeout=2)
        if self.node:
            self.node.kill9()
            eventually(_remove_cgroups, 20, "the end of the node's processes", interval=0.2)
        self.api.stop()
        self._held.close()

    def __exit__(self, *exc):
        self.stop()

    # --- the node

    def _configure(self):
        for name, subject in (("kubelet", "/O=system:nodes/CN=system:node:node"), ("proxy", "/CN=system:kube-proxy")):
            self.api.component_kubeconfig(self.state, name, subject)
        serving = self.api.ca.issue("kubelet-serving", "/O=system:nodes/CN=system:node:node", sans=f"DNS:node,IP:{NODE}")
        (self.state / "containerd.toml").write_text(_containerd(self.state))
        (self.state / "kubelet.yaml").write_text(yaml.safe_dump(_kubelet(self.state, self.api.ca.cert, serving)))
        (self.state / "proxy.yaml").write_text(yaml.safe_dump(_proxy(self.state)))
        (self.state / "Corefile").write_text(_corefile(self.kubeconfig))
        (self.state / "resolv.conf").write_text(f"nameserver {NODE}\n")
        (self.state / "cni").mkdir()
        (self.state / "cni/pods.conflist").write_text(json.dumps(_pod_network(self.state)))

    def _start_node(self):
        self.node = Process("node", [
            "unshare", "--mount", "--net", "--pid", "--fork", "--kill-child", "--mount-proc", "--",
            SOURCES / "node", self.state, f"{NODE}/30", kubernetes.fetch_node(), kubernetes.coredns(),
        ], self.state / "node.log")
        self.node.wait_until(lambda: children(self.node.pid), 10)
        (self.node_pid,) = children(self.node.pid)
        _run("ip", "link", "add", CABLE, "type", "veth", "peer", "name", "eth0", "netns", self.node_pid)
        _run("ip", "address", "add", f"{HOST}/30", "dev", CABLE)
        _run("ip", "link", "set", CABLE, "up")
        _run("ip", "route", "add", PODS, "via", NODE)

    def on_node(self, *command):
        """Runs a command on the node; returns what it printed."""
        return _run("nsenter", "--target", self.node_pid, "--mount", "--net", "--pid", "--", *command)

    def _import(self, archive):
        eventually(lambda: self._containerd_answers(), 60, "an answer of containerd", interval=0.2)
        self.on_node("ctr", "--namespace", "k8s.io", "images", "import", archive)

    def _containerd_answers(self):
        self.node.check()
        try:
            return self.on_node("ctr", "version")
        except RuntimeError:
            return None

    def _pause_image(self):
        """An image of one static program, as a docker-archive."""
        directory = self.state / "pause"
        directory.mkdir()
        _run("gcc", "-Os", "-static", "-s", "-o", directory / "pause", SOURCES / "pause.c")
        with tarfile.open(directory / "layer.tar", "w") as layer:
            layer.add(directory / "pause", "pause")
        digest = hashlib.sha256((directory / "layer.tar").read_bytes()).hexdigest()
        (directory / "config.json").write_text(json.dumps({
            "os": "linux", "architecture": ARCHITECTURES[platform.machine()], "config": {"Entrypoint": ["/pause"]},
            "rootfs": {"type": "layers", "diff_ids": [f"sha256:{digest}"]},
        }))
        (directory / "manifest.json").write_text(json.dumps(
            [{"Config": "config.json", "RepoTags": [PAUSE], "Layers": ["layer.tar"]}]))
        with tarfile.open(directory / "pause.tar", "w") as archive:
            for name in ("manifest.json", "config.json", "layer.tar"):
                archive.add(directory / name, name)
        return directory / "pause.tar"

    # --- the control plane

    def _start_controllers(self):
        programs, log = kubernetes.fetch_node(), self.api.state

        def start(name, *flags):
            kubeconfig = self.api.component_kubeconfig(self.api.state, name, f"/CN=system:{name}")
            self.controllers.append(Process(name, [
                programs / name, f"--kubeconfig={kubeconfig}", f"--authentication-kubeconfig={kubeconfig}",
                f"--authorization-kubeconfig={kubeconfig}", "--bind-address=127.0.0.1", f"--secure-port={ports.free_port()}",
                "--leader-elect=false", *flags,
            ], log / f"{name}.log"))

        start("kube-scheduler")
        start("kube-controller-manager", f"--root-ca-file={self.api.ca.cert}", "--use-service-account-credentials=true",
              f"--service-account-private-key-file={self.api.state}/pki/sa.key", f"--service-cluster-ip-range={SERVICES}")

    def _is_ready(self):
        """The node takes pods, and the controllers have made what pods of the default namespace need."""
        self.node.check()
        code, out, _ = self.kubectl("get", "node", "node", "-o", "jsonpath={.status.conditions[?(@.type=='Ready')].status}",
                                    check=False)
        return code == 0 and out == "True" and self.kubectl("get", "serviceaccount", "default", check=False)[0] == 0

    def change_signing_key(self):
        """The API server refuses all tokens of before. As their kubelet starts again, pods get others in their files."""
        key = self.api.state / "pki/sa.key"
        key.unlink()
        pki.signing_key(key)
        self.api.process.stop(timeout=5)
        self.api.restart()
        # Its controllers have tokens, too.
        for each in self.controllers:
            each.stop(timeout=2)
        self.controllers = []
        self._start_controllers()
        self.on_node("pkill", "--exact", "kubelet")

    # --- pods

    def pids(self, pod, program):
        """The pids, as this machine counts them, of the processes of a pod that run a program."""
        uid = pod["metadata"]["uid"]
        found = []
        for each in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):
                if uid in (each / "cgroup").read_text().replace("_", "-") and (each / "comm").read_text().strip() == program[:15]:
                    found.append(int(each.name))
        return found

    @contextlib.contextmanager
    def cut_off_from_the_api(self, pod):
        """No packet of a pod reaches the API server: all are dropped without an answer."""
        (pid,) = self.pids(pod, "pause")
        within = ["nsenter", "--target", pid, "--net", "nft"]
        _run(*within, f"table ip cut {{ chain out {{ type filter hook output priority 0; ip daddr {API_SERVICE} drop; }}; }}")
        try:
            yield
        finally:
            _run(*within, "delete table ip cut")


def _run(*command):
    done = subprocess.run([str(c) for c in command], capture_output=True, text=True)
    if done.returncode != 0:
        raise RuntimeError(f"{' '.join(str(c) for c in command)}: {done.stderr.strip()}")
    return done.stdout


def _remove_cgroups():
    """Removes the directories of the pods' control groups; whether none is left. The kernel keeps those with processes."""
    tops = [*Path("/sys/fs/cgroup").glob("*/kubepods"), *Path("/sys/fs/cgroup").glob("kubepods")]
    for top in tops:
        for directory, _, _ in os.walk(top, topdown=False):
            with contextlib.suppress(OSError):
                os.rmdir(directory)
    return not any(top.exists() for top in tops)


# --- configuration


def _containerd(state):
    # Without the right to raise priorities (CAP_SYS_RESOURCE) runc fails, unless it is told not to try.
    return f"""version = 2
root = "{state}/containerd"
oom_score = 0
[plugins."io.containerd.internal.v1.opt"]
  path = "{state}/containerd-opt"
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "{PAUSE}"
  restrict_oom_score_adj = true
  disable_apparmor = true
  tolerate_missing_hugetlb_controller = true
  stream_server_address = "127.0.0.1"
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "/usr/lib/cni"
    conf_dir = "{state}/cni"
"""


def _pod_network(state):
    return {
        "cniVersion": "0.4.0", "name": "pods",
        "plugins": [{
            "type": "bridge", "bridge": "pods", "isGateway": True, "ipMasq": False, "hairpinMode": True,
            "ipam": {"type": "host-local", "dataDir": f"{state}/cni-addresses",
                     "ranges": [[{"subnet": PODS, "rangeStart": "10.244.0.10", "gateway": GATEWAY}]],
                     "routes": [{"dst": "0.0.0.0/0"}]},
        }],
    }


def _kubelet(state, authority, serving):
    return {
        "apiVersion": "kubelet.config.k8s.io/v1beta1", "kind": "KubeletConfiguration",
        "address": NODE, "healthzBindAddress": "127.0.0.1",
        "authentication": {"anonymous": {"enabled": False}, "webhook": {"enabled": True},
                           "x509": {"clientCAFile": str(authority)}},
        "authorization": {"mode": "Webhook"}, "tlsCertFile": str(serving.cert), "tlsPrivateKeyFile": str(serving.key),
        "containerRuntimeEndpoint": "unix:///run/containerd/containerd.sock",
        # Also for machines whose control groups are of version 1.
        "cgroupDriver": "cgroupfs", "failCgroupV1": False,
        "failSwapOn": False, "oomScoreAdj": 0, "makeIPTablesUtilChains": False,
        "resolvConf": f"{state}/resolv.conf", "clusterDNS": [NODE], "clusterDomain": "cluster.local",
        # A collected image could not be pulled again, and a full disk of this machine is none of the node's business.
        "imageGCHighThresholdPercent": 100, "imageGCLowThresholdPercent": 99,
        "evictionHard": {"memory.available": "100Mi", "nodefs.available": "1%", "nodefs.inodesFree": "1%",
                         "imagefs.available": "1%"},
        "podLogsDir": f"{state}/pod-logs", "volumePluginDir": f"{state}/volume-plugins",
        "syncFrequency": "10s", "nodeStatusUpdateFrequency": "5s",
    }


def _proxy(state):
    unlimited = {"maxPerCore": 0, "min": 0, "tcpEstablishedTimeout": "0s", "tcpCloseWaitTimeout": "0s"}
    return {
        "apiVersion": "kubeproxy.config.k8s.io/v1alpha1", "kind": "KubeProxyConfiguration", "mode": "nftables",
        "bindAddress": NODE, "hostnameOverride": "node", "oomScoreAdj": 0, "clusterCIDR": PODS,
        "clientConnection": {"kubeconfig": f"{state}/proxy.kubeconfig"}, "conntrack": unlimited,
    }


def _corefile(kubeconfig):
    return f""".:53 {{
  bind {NODE}
  errors
  kubernetes cluster.local in-addr.arpa {{
    kubeconfig {kubeconfig}
    ttl 5
  }}
  cache 5
}}
"""
