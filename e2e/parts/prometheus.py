"""promtool: what Prometheus says of rules and expressions. That of this machine, or the one of Debian's package."""

import os
import shutil
import subprocess
from pathlib import Path

from . import cache

PACKAGE = "prometheus"


def _run(*command, directory):
    done = subprocess.run(command, cwd=directory, capture_output=True, text=True, timeout=300)
    if done.returncode != 0:
        raise RuntimeError(f"{' '.join(command)}: {done.stderr.strip()}")


def _download(directory: Path):
    """The package as a file: to install it would start a server."""
    try:
        _run("apt-get", "download", "-q", PACKAGE, directory=directory)
    except RuntimeError:
        # The lists of packages may be absent, or too old.
        if os.geteuid() != 0:
            raise
        _run("apt-get", "update", "-q", directory=directory)
        _run("apt-get", "download", "-q", PACKAGE, directory=directory)


def _unpack(directory: Path):
    if not shutil.which("apt-get"):
        raise RuntimeError("there is no promtool, and no apt-get to get it with: install Prometheus's promtool")
    _download(directory)
    (archive,) = directory.glob(f"{PACKAGE}_*.deb")
    content = directory / "content"
    _run("dpkg-deb", "-x", archive.name, content.name, directory=directory)
    (content / "usr/bin/promtool").rename(directory / "promtool")
    archive.unlink()
    shutil.rmtree(content)


def promtool() -> Path:
    own = shutil.which("promtool")
    return Path(own) if own else cache.cached("promtool", "debian", _unpack) / "promtool"


def check(kind, file: Path):
    """Runs `promtool KIND rules FILE` and returns its exit code and output; `kind`: check or test."""
    done = subprocess.run([promtool(), kind, "rules", file.name], cwd=file.parent, capture_output=True, text=True, timeout=120)
    return done.returncode, done.stdout + done.stderr
