"""The worker without Kubernetes: bin/pgsync run -f FILE."""

import subprocess
from pathlib import Path

import requests
import yaml

from . import ports
from .operator import BIN
from .process import Process
from .search import eventually


def write_manifest(path: Path, objects) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch(mode=0o600)
    path.write_text(yaml.safe_dump_all(objects, sort_keys=False))
    return path


def pgsync(*arguments, timeout=60):
    """Runs bin/pgsync and returns (code, stdout, stderr)."""
    done = subprocess.run([str(BIN / "pgsync"), *[str(a) for a in arguments]], capture_output=True, text=True, timeout=timeout)
    return done.returncode, done.stdout, done.stderr


class Worker:
    """One `pgsync run`; start() after kill9() or stop() is a new run with the same file."""

    def __init__(self, state: Path, objects, *flags):
        self.state = Path(state)
        self.manifest = write_manifest(self.state / "pgsync.yaml", objects)
        self.port = ports.free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.flags = flags
        self.process = None

    def start(self):
        self.process = Process("pgsync run", [
            BIN / "pgsync", "run", "-f", self.manifest, "--listen", f"127.0.0.1:{self.port}", "--log-format", "json",
            "--log-level", "debug", *self.flags,
        ], self.state / "worker.log")
        return self

    def status(self):
        """The resource's status; {} while nothing answers."""
        try:
            return requests.get(self.url + "/status", timeout=5).json()
        except (requests.RequestException, ValueError):
            return {}

    def condition(self, type):
        return next((c for c in self.status().get("conditions", []) if c["type"] == type), {})

    def wait_ready(self, timeout=60):
        eventually(lambda: self.condition("Ready").get("status") == "True", timeout, lambda: f"Ready ({self.status()})")
        return self

    def metric(self, name):
        for line in requests.get(self.url + "/metrics", timeout=5).text.splitlines():
            if line.split("{")[0].split(" ")[0] == name:
                return float(line.rsplit(" ", 1)[1])
        raise LookupError(f"/metrics has no {name}")

    def kill9(self):
        self.process.kill9()

    def stop(self):
        if self.process and self.process.alive:
            return self.process.stop(timeout=20)

    def finish(self, timeout):
        """Waits for the end of a run with --until-caught-up and returns the exit code."""
        try:
            return self.process.popen.wait(timeout)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"not caught up after {timeout} s: {self.status()}\n{self.process.tail()}") from None
