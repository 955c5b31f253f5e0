"""What the checks share: the tree's files, the compiler's flags, C text without comments and strings."""

import os
import pathlib
import re
import shlex
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]


def files(*suffixes, under=("",)):
    """The paths (as text, relative to the root) of files that are or would be committed; without git, of all except output."""
    try:
        out = subprocess.run(
            ["git", "ls-files", "-z", "-co", "--exclude-standard"], cwd=ROOT, check=True, capture_output=True
        ).stdout
        names = out.decode().split("\0")
    except (OSError, subprocess.CalledProcessError):
        names = [
            os.path.relpath(os.path.join(top, name), ROOT)
            for top, _, found in os.walk(ROOT)
            if not os.path.relpath(top, ROOT).startswith(("build", "bin", ".git"))
            for name in found
        ]
    return sorted(
        name
        for name in set(names)
        if name
        and name.endswith(suffixes or "")
        and name.startswith(tuple(f"{u}/" if u else "" for u in under))
        and (ROOT / name).is_file()
    )


def c_files(*suffixes):
    return files(*(suffixes or (".c", ".h")), under=("pkg", "cmd", "hack"))


def read(name):
    return (ROOT / name).read_text(encoding="utf-8", errors="replace")


def make_variable(expression):
    """What the Makefile says, so that flags are written down once."""
    # --eval is read before the Makefile, so the expression waits in a recipe until everything is defined.
    try:
        out = subprocess.run(
            ["make", "--no-print-directory", "--eval", f"print-it: ; @:$(info {expression})", "print-it"],
            cwd=ROOT,
            check=True,
            capture_output=True,
            text=True,
            timeout=120,
            env={k: v for k, v in os.environ.items() if k not in ("MAKEFLAGS", "MFLAGS")},
        ).stdout
    except (subprocess.CalledProcessError, subprocess.TimeoutExpired) as error:
        sys.exit(f"make does not read the Makefile ({error}); a circle in pkg/DEPS does that")
    return shlex.split(out)


def flags():
    return make_variable("$(CPPFLAGS) $(BASE_CFLAGS)")


TOKEN = re.compile(
    r"""(?P<block>/\*.*?\*/)|(?P<line>//[^\n]*)|(?P<string>"(?:\\.|[^"\\\n])*")|(?P<char>'(?:\\.|[^'\\\n])*')""",
    re.DOTALL,
)


def bare(text):
    """C text with comments and the insides of literals blanked; every line stays where it was."""

    def blank(match):
        return re.sub(r"[^\n]", " ", match.group()) if match.lastgroup in ("block", "line") else '""'

    return TOKEN.sub(blank, text)


# What ends the lines before a definition's head.
HEAD_END = re.compile(r"[;}]\s*$|^\s*$|^\s*#")


def functions(text):
    """Yields (name, first line, lines, head) of each function definition; head is all before its body, on one line.

    Relies on the layout that clang-format gives: a function's braces are alone in the first column.
    """
    lines = bare(text).split("\n")
    for start, line in enumerate(lines):
        if line != "{":
            continue
        first = start
        while first > 0 and not HEAD_END.search(lines[first - 1]):
            first -= 1
        head = " ".join(lines[first:start])
        match = re.search(r"(\w+)\s*\(", re.sub(r"__attribute__\s*\(\(.*?\)\)", "", head))
        if not match:
            continue
        last = next((n for n in range(start, len(lines)) if lines[n].startswith("}")), len(lines) - 1)
        yield match.group(1), first + 1, last - first + 1, head


def line_comments(text):
    """Line numbers of // comments."""
    return [text.count("\n", 0, m.start()) + 1 for m in TOKEN.finditer(text) if m.lastgroup == "line"]


def finish(problems, checked):
    """Prints the problems and exits; checked says how much was looked at."""
    for problem in problems:
        print(problem)
    if not problems:
        print(checked)
    sys.exit(1 if problems else 0)
