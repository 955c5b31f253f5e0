"""What the kubelet does with the Deployment of a PgSync, without a node: Secrets and ConfigMaps become files as the Deployment
says, and its container's command line becomes a process, with the token of its ServiceAccount."""

import base64
import json
import os
import shutil
import time
from pathlib import Path

import requests
import yaml

from . import ports
from .operator import BIN, Running
from .process import Process
from .search import eventually


# Where volumes are mounted: what the worker reads by itself is beside the others.
DIRECTORIES = {"references": "mounts", "credentials": "mounts-credentials"}


class Pod(Running):
    """The pod of one PgSync. With `kubelet.sync()` its files become what the API server has now."""

    def __init__(self, kube, state: Path, namespace, name, server=None):
        self.kube, self.namespace, self.object_name = kube, namespace, f"pgsync-{name}"
        self.directory = Path(state) / f"pod-{namespace}-{name}"
        self.server, self.starts = server, 0

    def read(self, path):
        return self.kube.kubectl.read(path)

    def deployment(self):
        return self.read(f"apis/apps/v1/namespaces/{self.namespace}/deployments/{self.object_name}")

    def wait_for_deployment(self, timeout=15):
        return eventually(self.deployment, timeout, f"Deployment {self.object_name}", interval=0.1)

    def wait_for_no_deployment(self, timeout=15):
        eventually(lambda: self.deployment() is None, timeout, f"the end of Deployment {self.object_name}", interval=0.1)

    def sync(self):
        pod = self.deployment()["spec"]["template"]["spec"]
        for volume in pod["volumes"]:
            files = {}
            for source in volume["projected"].get("sources") or []:
                ((kind, wanted),) = source.items()
                found = self.read(f"api/v1/namespaces/{self.namespace}/{kind.lower()}s/{wanted['name']}") or {}
                assert wanted["optional"]
                for item in wanted["items"]:
                    value = found.get("data", {}).get(item["key"])
                    if value is not None:
                        files[item["path"]] = base64.b64decode(value) if kind == "secret" else value.encode()
            self.fill(self.directory / DIRECTORIES[volume["name"]], files)

    @staticmethod
    def fill(root, files):
        """Replaces all files of a volume at once, as the kubelet does: each is reached by a link to ..data, a link to where
        they are now. The directory itself stays."""
        root.mkdir(parents=True, exist_ok=True)
        data = root / "..data"
        old = data.resolve() if data.exists() else None
        fresh = root / f"..{time.monotonic_ns()}"
        fresh.mkdir()
        for path, content in files.items():
            (fresh / path).parent.mkdir(parents=True, exist_ok=True)
            (fresh / path).write_bytes(content)
        (root / "..data_tmp").symlink_to(fresh.name)
        os.replace(root / "..data_tmp", data)
        visible = {path.split("/")[0] for path in files}
        for link in root.iterdir():
            if not link.name.startswith("..") and link.name not in visible:
                link.unlink()
        for name in visible:
            if not (root / name).is_symlink():
                (root / name).symlink_to(f"..data/{name}")
        if old:
            shutil.rmtree(old)

    def start(self):
        deployment = self.wait_for_deployment()
        pod = deployment["spec"]["template"]["spec"]
        (container,) = pod["containers"]
        (mount,) = [m for m in container["volumeMounts"] if m["name"] == "references"]
        for other in container["volumeMounts"]:
            assert other["readOnly"] and other["mountPath"] == mount["mountPath"] + DIRECTORIES[other["name"]].removeprefix("mounts")
        assert container["command"] == ["pgsync-operator"]
        self.directory.mkdir(parents=True, exist_ok=True)
        self.sync()
        kubeconfig = self.kube.service_account_kubeconfig(self.namespace, pod["serviceAccountName"],
                                                          self.directory / "kubeconfig", self.server)
        port = ports.free_port()
        self.url = f"http://127.0.0.1:{port}"
        replaced = {mount["mountPath"]: str(self.directory / "mounts"), "--listen=:8080": f"--listen=127.0.0.1:{port}"}
        arguments = [replaced.get(a, a) for a in container["args"]]
        self.starts += 1
        self.process = Process(self.object_name, [BIN / "pgsync-operator", "--kubeconfig", kubeconfig, *arguments],
                               self.directory / f"log-{self.starts}", env={**os.environ, "POD_UID": f"uid-{self.object_name}"})
        self.process.wait_until(lambda: self.get("/livez") == 200, 10)
        return self

    def may(self, verb, path):
        """What the API server answers to the pod's ServiceAccount: a status code."""
        token = yaml.safe_load((self.directory / "kubeconfig").read_text())["users"][0]["user"]["token"]
        body = {"json": {"metadata": {"labels": {"a": "b"}}}} if verb in ("PATCH", "POST", "PUT") else {}
        headers = {"Authorization": f"Bearer {token}"}
        if verb == "PATCH":
            headers["Content-Type"] = "application/merge-patch+json"
            body = {"data": json.dumps({"metadata": {"labels": {"a": "b"}}})}
        return requests.request(verb, f"{self.kube.url}/{path}", headers=headers, verify=str(self.kube.ca.cert), timeout=10,
                                **body).status_code
