"""A page of the documentation as something to follow: its blocks of code, in the order of the page."""

import os
import re
import subprocess
from pathlib import Path

from parts import kubernetes
from parts.operator import TREE

BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$|^(#{2,3} [^\n]*)$", re.MULTILINE | re.DOTALL)


def blocks(page, *sections):
    """(language, text) of the blocks in these sections, in the order of the page. What is below another heading is not theirs."""
    found, missing, here = [], set(sections), None
    for match in BLOCK.finditer((TREE / page).read_text()):
        language, text, heading = match.groups()
        if heading:
            here = heading.lstrip("# ")
            missing.discard(here)
        elif here in sections:
            found.append((language, text))
    assert not missing, f"{page} has no section {missing}"
    return found


def commands(text):
    """The commands of a block, one a line; a backslash at the end of a line continues it."""
    return [line for line in text.replace("\\\n", " ").splitlines() if line.strip()]


class Reader:
    """One who follows a page: saves its files, and types its commands, in the root of a source tree.

    `adapted`: {text: replacement} for what is different here, such as addresses. `instead`: {beginning of a command: function}
    for what cannot be done here. Each must occur, so that neither outlives the page's text."""

    def __init__(self, home: Path, kubeconfig: Path, adapted, instead, sql):
        self.home, self.adapted, self.instead, self.sql = Path(home), adapted, instead, sql
        self.unused = {*adapted, *instead}
        programs = f"{kubernetes.fetch()}:{kubernetes.helm().parent}:{os.environ['PATH']}"
        self.environment = {**os.environ, "PATH": programs, "KUBECONFIG": str(kubeconfig), "HELM_CACHE_HOME": str(self.home / "helm")}
        self.home.mkdir(parents=True, exist_ok=True)
        for name in ("deploy", "config", "VERSION"):
            (self.home / name).symlink_to(TREE / name)

    def follow(self, blocks):
        """Returns what the commands printed."""
        printed = ""
        for language, text in blocks:
            for old, new in self.adapted.items():
                if old in text:
                    self.unused.discard(old)
                    text = text.replace(old, new)
            if language == "yaml":
                name = re.match(r"# (\S+)\n", text).group(1)
                (self.home / name).write_text(text)
            elif language == "sql":
                self.sql(text)
            elif language == "sh":
                printed += "".join(self.type(command) for command in commands(text))
        return printed

    def type(self, command):
        for beginning, do in self.instead.items():
            if command.startswith(beginning):
                self.unused.discard(beginning)
                return do(command) or ""
        return self.run(command)

    def run(self, command):
        done = subprocess.run(["bash", "-c", command], cwd=self.home, env=self.environment, capture_output=True, text=True, timeout=120)
        assert done.returncode == 0, f"{command}\n{done.stdout}{done.stderr}"
        return done.stdout
