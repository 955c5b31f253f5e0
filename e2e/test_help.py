"""What the programs print about themselves: --help of each command."""

import re
import subprocess

import pytest
from parts.operator import BIN

# Each page of --help: how it is called.
PAGES = {
    "pgsync": ["pgsync", "--help"],
    "pgsync run": ["pgsync", "run", "--help"],
    "pgsync validate": ["pgsync", "validate", "--help"],
    "pgsync plan": ["pgsync", "plan", "--help"],
    "pgsync import": ["pgsync", "import", "--help"],
    "pgsync worker": ["pgsync", "worker", "--help"],
    "bootstrap": ["bootstrap", "--help"],
    "pgsync-operator": ["pgsync-operator", "--help"],
}


def call(program, *arguments, **variables):
    done = subprocess.run([str(BIN / program), *arguments], capture_output=True, text=True, timeout=20,
                          env={"PATH": "/usr/bin:/bin", **variables})
    return done.returncode, done.stdout, done.stderr


def help_of(page):
    code, out, err = call(*PAGES[page])
    assert (code, err) == (0, ""), (page, code, err)
    return out


def options_of(page):
    """The long options of a page, and its letters."""
    lines = re.findall(r"^  (?:(-\w), |    )(--[a-z0-9-]+)", help_of(page), re.MULTILINE)
    return {long for _, long in lines}, {letter for letter, _ in lines if letter}


@pytest.mark.parametrize("page", PAGES)
def test_help_has_usage_options_and_exit_status(page):
    out = help_of(page)
    assert out.startswith(f"Usage: {page} "), out
    missing = {heading for heading in ("Options", "Examples", "Environment", "Exit status") if f"\n{heading}" not in out}
    assert missing == {"pgsync validate": {"Environment"}, "pgsync worker": {"Examples"}}.get(page, set())
    assert "\nExit status:\n  0  " in out
    assert "--help" in options_of(page)[0]
    assert max(map(len, out.splitlines())) <= 80, "lines fit a terminal"


def test_help_of_bootstrap_is_the_same_by_either_name():
    assert call("pgsync", "bootstrap", "--help")[1] == help_of("bootstrap")


def test_help_wins_over_other_options():
    assert call("pgsync", "run", "-f", "none.yaml", "--help")[0] == 0
    assert call("pgsync", "--config", "none.json", "--help")[1] == help_of("pgsync")


def test_help_of_pgsync_lists_every_command():
    listed = re.findall(r"^  ([a-z]+)  ", help_of("pgsync").split("Commands")[1].split("\n\n")[0], re.MULTILINE)
    assert set(listed) == {page.removeprefix("pgsync ") for page in PAGES} - {"pgsync", "pgsync-operator"}


@pytest.mark.parametrize("arguments, words", [
    (["run"], ["-f FILE", "pgsync run --help"]),
    (["run", "--frobnicate"], ["--frobnicate", "pgsync run --help"]),
    (["validate", "-f", "x", "--until-caught-up"], ["--until-caught-up", "pgsync validate --help"]),
    (["plan", "-f", "x", "y"], ["\"y\"", "pgsync plan --help"]),
    (["validate", "-f", "x", "--log-level", "loud"], ["--log-level", "loud"]),
    ([], ["Usage", "validate", "pgsync --help"]),
])
def test_a_wrong_command_line_ends_with_2_and_names_the_help(arguments, words):
    code, out, err = call("pgsync", *arguments)
    assert (code, out) == (2, "")
    assert all(word in err for word in words), err


def test_operator_says_where_a_wrong_value_came_from():
    code, _, err = call("pgsync-operator", PGSYNC_OPERATOR_LOG_LEVEL="loud")
    assert code == 2 and "LOG_LEVEL" in err and "loud" in err
    code, _, err = call("pgsync-operator", "--console-listen", ":1")
    assert code == 2 and "not supported by this version" in err
