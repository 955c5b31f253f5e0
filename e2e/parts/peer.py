"""The original pgsync, 7.3.0 from its package, run as its users run it: bootstrap, then one pass."""

import json
import os
import subprocess
import sys
from pathlib import Path

from . import cache, maven, pip
from .process import Process

VERSION = "7.3.0"


def fetch() -> Path:
    """The virtual environment with pgsync and everything that it needs, at the versions of tools/pgsync/requirements.txt."""

    def build(directory):
        pip.environment(directory, maven.TOOLS / "pgsync/requirements.txt")

    python = f"python{sys.version_info.major}.{sys.version_info.minor}"
    return cache.cached("pgsync", f"{VERSION}-{python}", build, sources=maven.TOOLS / "pgsync")


class Refused(Exception):
    """pgsync ended with an error; the text is the last line that it said."""


class Peer:
    """One pgsync between a Postgres server, a search engine and a Redis, with its checkpoints in a directory."""

    def __init__(self, state: Path, postgres, engine, redis):
        self.state = Path(state)
        self.state.mkdir(parents=True, exist_ok=True)
        self.python = fetch() / "bin/python"
        self.environment = {
            "PATH": os.environ["PATH"], "HOME": str(self.state), "CHECKPOINT_PATH": str(self.state),
            "PG_HOST": "127.0.0.1", "PG_PORT": str(postgres.port), "PG_USER": "postgres", "PG_PASSWORD": postgres.password,
            "OPENSEARCH": "true", "ELASTICSEARCH": "false", "ELASTICSEARCH_URL": engine.url, "ELASTICSEARCH_TIMEOUT": "300",
            "REDIS_HOST": "127.0.0.1", "REDIS_PORT": str(redis.port), "REDIS_AUTH": redis.password,
        }

    def bootstrap(self, documents, timeout=600):
        """Makes triggers, slots and indices for the documents of a schema.json. Raises Refused at the first that fails."""
        self._run("bootstrap", documents, timeout)

    def sync(self, documents, timeout=600):
        """Brings the indices up to date in one pass. Raises Refused at the first that fails."""
        self._run("pgsync", documents, timeout)

    def _run(self, program, documents, timeout):
        config = self.state / "schema.json"
        config.write_text(json.dumps(documents))
        # The scripts name the directory that they were installed in, which has been renamed since.
        command = [self.python, self.python.parent / program, "--config", config]
        log = self.state / f"{program}.log"
        log.unlink(missing_ok=True)
        process = Process(f"pgsync {VERSION}", command, log, env=self.environment, cwd=self.state)
        try:
            code = process.popen.wait(timeout)
        finally:
            process.kill9()
        if code != 0:
            raise Refused(_last_error(log.read_text(errors="replace")) or f"{program} ended with code {code}")


def _last_error(text):
    """The line of a traceback that names the exception: the last one that starts in the first column."""
    lines = [line for line in text.splitlines() if line and not line[0].isspace() and not line.startswith("Traceback")]
    named = [line for line in lines if line.split(":")[0].split(".")[-1].endswith(("Error", "Exception", "DoesNotExist"))]
    return (named or lines or [""])[-1]
