"""A cache of built and fetched parts: one directory for each part and version, complete or absent."""

import contextlib
import fcntl
import hashlib
import os
import shutil
import sys
import tempfile
import time
from pathlib import Path


def root() -> Path:
    base = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    return Path(base) / "pgsync-e2e"


@contextlib.contextmanager
def locked(name):
    """Takes the lock `name` of the cache: the only place where parallel runs wait for each other."""
    root().mkdir(parents=True, exist_ok=True)
    with open(root() / f".{name}.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _digest(directory: Path):
    """Eight hex digits that change with any file of a directory."""
    total = hashlib.sha256()
    for file in sorted(directory.iterdir()):
        total.update(file.name.encode() + b"\0" + file.read_bytes())
    return total.hexdigest()[:8]


def cached(part, version, build, *, sources=None, note="") -> Path:
    """The directory of a part. `build(directory)` fills it, once for each version: the first caller builds.

    `sources`: a directory of the tree that the part is built from; other contents make another part."""
    if sources:
        version = f"{version}-{_digest(sources)}"
    final = root() / f"{part}-{version}"
    if final.is_dir():
        return final
    with locked(f"{part}-{version}"):
        if final.is_dir():
            return final
        print(f"{part} {version}: getting it{', ' + note if note else ''}", file=sys.stderr, flush=True)
        begin = time.monotonic()
        incomplete = Path(tempfile.mkdtemp(dir=root(), prefix=f".{part}-"))
        try:
            build(incomplete)
            incomplete.chmod(0o755)
            incomplete.rename(final)
        except BaseException:
            shutil.rmtree(incomplete, ignore_errors=True)
            raise
        print(f"{part} {version}: ready after {time.monotonic() - begin:.0f} s", file=sys.stderr, flush=True)
    return final
