"""The chart as helm installs it in a cluster."""

import subprocess

from . import kubernetes
from .operator import NAMESPACE, RELEASE, TREE

CHART = TREE / "deploy/helm/pgsync-operator"


class HelmRelease:
    """A release of the chart; `values`: what every installation and upgrade sets."""

    def __init__(self, kubeconfig, namespace=NAMESPACE, name=RELEASE, **values):
        self.kubeconfig, self.namespace, self.name, self.values = kubeconfig, namespace, name, values

    def _run(self, *arguments):
        command = [kubernetes.helm(), "--kubeconfig", self.kubeconfig, "--namespace", self.namespace, *arguments]
        done = subprocess.run([str(c) for c in command], capture_output=True, text=True, timeout=300)
        if done.returncode != 0:
            raise RuntimeError(f"helm {arguments[0]}: {done.stderr.strip()}")
        return done.stdout

    def _set(self, changed):
        return [f"--set={key}={value}" for key, value in {**self.values, **changed}.items()]

    def install(self, **changed):
        """Returns what helm tells the user, when every pod is ready."""
        return self._run("install", self.name, CHART, "--wait", "--timeout=3m", *self._set(changed))

    def upgrade(self, **changed):
        return self._run("upgrade", self.name, CHART, "--wait", "--timeout=3m", *self._set(changed))

    def rollback(self):
        """To the revision before this one."""
        return self._run("rollback", self.name, "--wait", "--timeout=3m")

    def uninstall(self):
        return self._run("uninstall", self.name, "--wait", "--timeout=3m")

    def test(self):
        """`helm test`; returns what it printed."""
        return self._run("test", self.name, "--logs", "--timeout=2m")
