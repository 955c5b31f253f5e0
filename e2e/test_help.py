"""What the programs document about themselves: --help of each command, man pages, completions; and what is installed."""

import re
import shutil
import subprocess

import pytest
from parts.operator import BIN, TREE

# Each page of --help: how it is called.
PAGES = {
    "pgsync": ["pgsync", "--help"],
    "pgsync run": ["pgsync", "run", "--help"],
    "pgsync validate": ["pgsync", "validate", "--help"],
    "pgsync plan": ["pgsync", "plan", "--help"],
    "pgsync dead-letters": ["pgsync", "dead-letters", "--help"],
    "pgsync compare": ["pgsync", "compare", "--help"],
    "pgsync init": ["pgsync", "init", "--help"],
    "pgsync import": ["pgsync", "import", "--help"],
    "pgsync worker": ["pgsync", "worker", "--help"],
    "bootstrap": ["bootstrap", "--help"],
    "pgsync-operator": ["pgsync-operator", "--help"],
    "bookstore": ["bookstore", "--help"],
}
PLUGIN = {"kubectl pgsync": ["kubectl-pgsync", "--help"]} | {
    f"kubectl pgsync {command}": ["kubectl-pgsync", command, "--help"] for command in ("status", "suspend", "resume", "restart", "resync", "lag", "top", "logs", "dead-letters", "report", "plan", "compare")}
PROGRAMS = {"pgsync", "pgsync-operator", "bookstore"}  # not commands of pgsync


def call(program, *arguments, **variables):
    done = subprocess.run([str(BIN / program), *arguments], capture_output=True, text=True, timeout=20,
                          env={"PATH": "/usr/bin:/bin", **variables})
    return done.returncode, done.stdout, done.stderr


def help_of(page):
    code, out, err = call(*(PAGES | PLUGIN)[page])
    assert (code, err) == (0, ""), (page, code, err)
    return out


def options_of(page):
    """The long options of a page, and its letters."""
    lines = re.findall(r"^  (?:(-\w), |    )(--[a-z0-9-]+)", help_of(page), re.MULTILINE)
    return {long for _, long in lines}, {letter for letter, _ in lines if letter}


@pytest.mark.parametrize("page", PAGES | PLUGIN)
def test_help_has_usage_options_and_exit_status(page):
    out = help_of(page)
    assert out.startswith(f"Usage: {page} "), out
    missing = {heading for heading in ("Options", "Examples", "Environment", "Exit status") if f"\n{heading}" not in out}
    assert missing == {"pgsync validate": {"Environment"}, "pgsync worker": {"Examples"}}.get(page, set())
    assert "\nExit status:\n  0  " in out
    assert "--help" in options_of(page)[0]
    assert max(map(len, out.splitlines())) <= 80, "a line is wider than a terminal"


def test_help_of_bootstrap_is_the_same_under_both_names():
    assert call("pgsync", "bootstrap", "--help")[1] == help_of("bootstrap")


def test_help_overrides_other_options():
    assert call("pgsync", "run", "-f", "none.yaml", "--help")[0] == 0
    assert call("pgsync", "--config", "none.json", "--help")[1] == help_of("pgsync")


def test_help_of_the_plugin_lists_every_command():
    listed = re.findall(r"^  ([a-z-]+)  ", help_of("kubectl pgsync").split("Commands")[1].split("\n\n")[0], re.MULTILINE)
    assert {f"kubectl pgsync {command}" for command in listed} == PLUGIN.keys() - {"kubectl pgsync"} | {"kubectl pgsync init"}


def test_init_of_the_plugin_is_that_of_pgsync():
    assert call("kubectl-pgsync", "init", "--help") == call("pgsync", "init", "--help")
    assert call("kubectl_complete-pgsync", "init", "--") == (0, ":4\n", "")


def test_help_of_pgsync_lists_every_command():
    listed = re.findall(r"^  ([a-z-]+)  ", help_of("pgsync").split("Commands")[1].split("\n\n")[0], re.MULTILINE)
    assert set(listed) == {page.removeprefix("pgsync ") for page in PAGES} - PROGRAMS


@pytest.mark.parametrize("arguments, words", [
    (["run"], ["-f FILE", "pgsync run --help"]),
    (["run", "--frobnicate"], ["--frobnicate", "pgsync run --help"]),
    (["validate", "-f", "x", "--until-caught-up"], ["--until-caught-up", "pgsync validate --help"]),
    (["dead-letters", "list"], ["-f FILE", "pgsync dead-letters --help"]),
    (["compare", "-f", "x"], ["ID", "pgsync compare --help"]),
    (["compare", "7", "8", "-f", "x"], ["ID", "pgsync compare --help"]),
    (["compare", "7", "-f", "x", "-o", "yaml"], ["yaml", "pgsync compare --help"]),
    (["plan", "-f", "x", "y"], ["\"y\"", "pgsync plan --help"]),
    (["validate", "-f", "x", "--log-level", "loud"], ["--log-level", "loud"]),
    ([], ["Usage", "validate", "pgsync --help"]),
])
def test_an_invalid_command_line_exits_with_2_and_refers_to_the_help(arguments, words):
    code, out, err = call("pgsync", *arguments)
    assert (code, out) == (2, "")
    assert all(word in err for word in words), err


@pytest.mark.parametrize("arguments, words", [
    ([], ["Usage", "status", "kubectl pgsync --help"]),
    (["stat"], ["\"stat\"", "status", "kubectl pgsync --help"]),
    (["status", "--watch-it"], ["--watch-it", "kubectl pgsync status --help"]),
    (["status", "-o", "yaml"], ["--output", "kubectl pgsync status --help"]),
    (["status", "a", "b"], ["too many", "kubectl pgsync status --help"]),
    (["status", "a", "-A"], ["--all-namespaces", "kubectl pgsync status --help"]),
    (["suspend"], ["required", "kubectl pgsync suspend --help"]),
    (["suspend", "-A", "a"], ["A", "kubectl pgsync suspend --help"]),
    (["restart", "pgsync/"], ["pgsync/NAME", "kubectl pgsync restart --help"]),
    (["restart", "pod/a"], ["pgsync/NAME", "kubectl pgsync restart --help"]),
    (["lag", "a"], ["too many", "kubectl pgsync lag --help"]),
    (["logs"], ["required", "kubectl pgsync logs --help"]),
    (["compare", "books"], ["ID", "kubectl pgsync compare --help"]),
    (["compare", "books", "7", "8"], ["too many", "kubectl pgsync compare --help"]),
    (["compare", "pod/books", "7"], ["pgsync/NAME", "kubectl pgsync compare --help"]),
    (["dead-letters", "--retry"], ["--retry", "kubectl pgsync dead-letters --help"]),
    (["status", "-n", ""], ["--namespace", "kubectl pgsync status --help"]),
])
def test_an_invalid_command_line_of_the_plugin_exits_with_2_and_refers_to_the_help(arguments, words):
    code, out, err = call("kubectl-pgsync", *arguments)
    assert (code, out) == (2, "")
    assert all(word in err for word in words), err


def test_the_plugin_without_credentials_says_where_it_looked():
    code, out, err = call("kubectl-pgsync", "status", HOME="/nowhere")
    assert (code, out) == (3, "") and "/nowhere/.kube/config" in err and "--kubeconfig" in err


def test_operator_reports_where_an_invalid_value_came_from():
    code, _, err = call("pgsync-operator", PGSYNC_OPERATOR_LOG_LEVEL="loud")
    assert code == 2 and "LOG_LEVEL" in err and "loud" in err
    code, _, err = call("pgsync-operator", "--console-listen", ":1")
    assert code == 2 and "--console-token-file" in err and "127.0.0.1" in err
    code, _, err = call("pgsync-operator", "--console-listen", ":1", "--console-token-file", "/nonexistent/token")
    assert code == 2 and "/nonexistent/token" in err


def test_bookstore_reports_where_an_invalid_value_came_from():
    code, _, err = call("bookstore", BOOKSTORE_POSTGRES_PORT="many")
    assert code == 2 and "POSTGRES_PORT" in err and "many" in err
    for arguments in (["--listen"], ["--frobnicate"], ["--postgres-port", "0"], ["--search-index", ""], ["more"]):
        assert call("bookstore", *arguments)[:2] == (2, "")


# --- man pages

MAN = {"pgsync.1": {"pgsync", "pgsync run", "pgsync validate", "pgsync plan", "pgsync dead-letters", "pgsync compare", "pgsync init", "pgsync import", "pgsync worker"}, "bootstrap.1": {"bootstrap"},
       "pgsync-operator.8": {"pgsync-operator"}, "bookstore.1": {"bookstore"}, "kubectl-pgsync.1": set(PLUGIN)}


def man_options(text):
    """Options that a paragraph of the page describes: those on the line after .TP."""
    tags = "\n".join(re.findall(r"^\.TP\n(.*)$", text, re.MULTILINE)).replace("\\-", "-").replace("\\fR", " ").replace("\\fI", " ")
    return set(re.findall(r"(?<![\w-])--[a-z0-9][a-z0-9-]*", tags)), set(re.findall(r"(?<![\w-])-[a-zA-Z](?![a-z])", tags))


@pytest.mark.parametrize("page", MAN)
def test_man_page_and_help_have_the_same_options(page):
    longs, letters = set(), set()
    for name in MAN[page]:
        longs |= options_of(name)[0]
        letters |= options_of(name)[1]
    assert man_options((TREE / "man" / page).read_text()) == (longs, letters)


@pytest.mark.parametrize("page", MAN)
def test_man_page_has_the_usual_sections_and_no_errors(page):
    text = (TREE / "man" / page).read_text()
    for section in ("NAME", "SYNOPSIS", "DESCRIPTION", "ENVIRONMENT", '"?EXIT STATUS"?', "EXAMPLES", '"?SEE ALSO"?'):
        assert re.search(rf"^\.SH {section}$", text, re.MULTILINE), section
    for command in (["groff", "-man", "-ww", "-Tutf8", "-z"], ["mandoc", "-Tlint", "-Wwarning"]):
        if shutil.which(command[0]):
            done = subprocess.run([*command, str(TREE / "man" / page)], capture_output=True, text=True, timeout=60)
            assert (done.returncode, done.stdout + done.stderr) == (0, "")


# --- completions


def completed(*words):
    own = words[0] if words[0] in ("pgsync-operator", "bookstore") else "pgsync"
    script, function = f"completions/{own}.bash", "_" + own.replace("-", "_")
    done = subprocess.run(["bash", "-c", f'. "$1"; shift; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); {function}; printf "%s\\n" "${{COMPREPLY[@]}}"',
                           "-", str(TREE / script), *words], capture_output=True, text=True, timeout=20)
    assert (done.returncode, done.stderr) == (0, "")
    return set(done.stdout.split())


@pytest.mark.parametrize("page", PAGES)
def test_bash_completes_the_options_of_help(page):
    assert completed(*page.split(), "--") == options_of(page)[0]


def test_bash_completes_commands_and_values_and_nothing_else():
    assert completed("pgsync", "") == {page.removeprefix("pgsync ") for page in PAGES} - PROGRAMS
    assert completed("pgsync", "v") == {"validate"}
    assert completed("pgsync", "run", "--log-format", "j") == {"json"}
    assert completed("pgsync", "dead-letters", "re") == {"retry"}
    assert completed("pgsync", "run", "--listen", "") == set()
    assert completed("pgsync-operator", "--log-level", "t") == {"trace"}
    assert completed("pgsync-operator", "--context", "") == set()
    assert completed("bookstore", "--log-level", "t") == {"trace"}
    assert completed("bookstore", "--search-url", "") == set()


@pytest.mark.parametrize("page", PLUGIN)
def test_kubectl_gets_the_options_of_help(page):
    code, out, err = call("kubectl_complete-pgsync", *page.split()[2:], "--")
    *listed, directive = out.splitlines()
    assert (code, err, directive) == (0, "", ":4")
    assert {line.split("\t")[0] for line in listed} == options_of(page)[0] - {"--version"}


@pytest.mark.parametrize("page", PAGES)
def test_zsh_completes_the_options_of_help(page):
    options = re.compile(r"(?:'|,|\*)(--[a-z0-9-]+?)(?:=-)?(?:\[|\})")
    if page in ("pgsync-operator", "bookstore"):
        assert set(options.findall((TREE / f"completions/_{page}").read_text())) == options_of(page)[0]
        return
    text = (TREE / "completions/_pgsync").read_text()
    shared = {f"${name}": body for name, body in re.findall(r"^\t(log|source)=\((.*?)^\t\)$", text, re.MULTILINE | re.DOTALL)}
    name = page.removeprefix("pgsync ")
    body = re.search(rf"^\t(?:[a-z|]+\|)?{name}(?:\|[a-z|]+)?\)\n\t\tpage=\((.*?)^\t\t\)$", text, re.MULTILINE | re.DOTALL).group(1)
    for word, more in shared.items():
        body = body.replace(word, more)
    assert set(options.findall(body)) == options_of(page)[0]


@pytest.mark.skipif(not shutil.which("zsh"), reason="no zsh here")
@pytest.mark.parametrize("name", ["_pgsync", "_pgsync-operator", "_bookstore"])
def test_zsh_parses_the_completion(name):
    subprocess.run(["zsh", "-n", str(TREE / "completions" / name)], check=True, timeout=20)


# --- make install


def make(target, destination):
    done = subprocess.run(["make", "--no-print-directory", target, f"DESTDIR={destination}", "PREFIX=/usr"], cwd=TREE, capture_output=True,
                          text=True, timeout=600)
    assert done.returncode == 0, done.stdout + done.stderr


def test_install_and_uninstall(tmp_path):
    make("install", tmp_path)
    installed = {str(path.relative_to(tmp_path / "usr")) for path in tmp_path.rglob("*") if not path.is_dir()}
    assert installed == {
        "bin/bootstrap", "bin/pgsync", "bin/pgsync-operator", "share/man/man1/bootstrap.1", "share/man/man1/pgsync.1",
        "share/man/man8/pgsync-operator.8", "share/bash-completion/completions/bootstrap", "share/bash-completion/completions/pgsync",
        "share/bash-completion/completions/pgsync-operator", "share/zsh/site-functions/_pgsync", "share/zsh/site-functions/_pgsync-operator",
        "share/doc/pgsync-operator/CHANGELOG.md", "share/doc/pgsync-operator/LICENSE", "share/doc/pgsync-operator/NOTICE",
        "bin/kubectl-pgsync", "bin/kubectl_complete-pgsync", "share/man/man1/kubectl-pgsync.1",
        "bin/bookstore", "share/man/man1/bookstore.1", "share/bash-completion/completions/bookstore", "share/zsh/site-functions/_bookstore",
    }
    version = (TREE / "VERSION").read_text().strip()
    out = subprocess.run([tmp_path / "usr/bin/bootstrap", "--version"], capture_output=True, text=True, check=True, timeout=20).stdout
    assert out == f"pgsync {version}\n"
    assert f'"pgsync-operator {version}"' in (tmp_path / "usr/share/man/man1/pgsync.1").read_text()
    make("uninstall", tmp_path)
    assert [path for path in tmp_path.rglob("*") if not path.is_dir()] == []
