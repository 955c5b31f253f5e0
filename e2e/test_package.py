"""The Debian package: it has what `make install` installs, its programs run, and it names the packages that they need."""

import hashlib
import re
import shutil
import subprocess

import pytest
from parts.operator import TREE

# Where Debian has it, or as what.
MOVED = {"share/zsh/site-functions": "share/zsh/vendor-completions"}
DOCUMENTS = {"CHANGELOG.md": "changelog.gz", "LICENSE": "copyright"}


def output(*command, **options):
    done = subprocess.run([str(c) for c in command], cwd=TREE, capture_output=True, text=True, **options)
    assert done.returncode == 0, f"{command}\n{done.stdout}{done.stderr}"
    return done.stdout


@pytest.fixture(scope="module")
def package(tmp_path_factory):
    if not shutil.which("dpkg-shlibdeps"):
        pytest.skip("no dpkg-shlibdeps: Debian package dpkg-dev")
    made = tmp_path_factory.mktemp("deb") / "pgsync-operator.deb"
    built = output("hack/deb").splitlines()[-1]
    return shutil.copy(TREE / built, made)


@pytest.fixture(scope="module")
def installed(package, tmp_path_factory):
    root = tmp_path_factory.mktemp("root")
    output("dpkg-deb", "--extract", package, root)
    return root


def relative_files(root):
    return {str(path.relative_to(root)) for path in root.rglob("*") if path.is_file() or path.is_symlink()}


def as_debian_has_it(name):
    for old, new in MOVED.items():
        name = name.replace(old, new)
    directory, _, last = name.rpartition("/")
    last = DOCUMENTS.get(last, last) if "/doc/" in name else last
    return f"{directory}/{last}.gz" if "/man/" in name else f"{directory}/{last}"


def test_the_package_has_what_make_install_installs(installed, tmp_path):
    output("make", "--no-print-directory", "install", f"DESTDIR={tmp_path}", "PREFIX=/usr")
    own = {"usr/share/doc/pgsync-operator/changelog.Debian.gz", "usr/share/lintian/overrides/pgsync-operator"}
    assert relative_files(installed) == own | {as_debian_has_it(name) for name in relative_files(tmp_path)}


def test_its_programs_run(installed):
    version = (TREE / "VERSION").read_text().strip()
    # kubectl asks kubectl_complete-pgsync for completions; it has no options.
    programs = [each for each in (installed / "usr/bin").iterdir() if each.name != "kubectl_complete-pgsync"]
    assert {"pgsync", "pgsync-operator"} <= {program.name for program in programs}
    for program in programs:
        assert program.resolve().is_relative_to(installed)
        assert version in output(program, "--version"), program


def test_it_depends_on_every_library_that_its_programs_link(package, installed):
    depends = {each.split()[0] for each in output("dpkg-deb", "--field", package, "Depends").split(",")}
    for program in (installed / "usr/bin").iterdir():
        needed = re.findall(r"\(NEEDED\).*\[(.+)\]", output("readelf", "--dynamic", program))
        assert needed
        for library in needed:
            owners = {line.split(":")[0] for line in output("dpkg-query", "--search", library).splitlines() if line.endswith(library)}
            assert owners & depends, f"{program.name} needs {library} of {owners}, and the package depends on {depends}"


def test_its_checksums_are_those_of_its_files(package, installed, tmp_path):
    output("dpkg-deb", "--control", package, tmp_path / "control")
    lines = (tmp_path / "control/md5sums").read_text().splitlines()
    assert len(lines) > 10
    for line in lines:
        checksum, name = line.split("  ")
        assert hashlib.md5((installed / name).read_bytes()).hexdigest() == checksum, name


def test_lintian_finds_nothing(package):
    if not shutil.which("lintian"):
        pytest.skip("no lintian here")
    output("lintian", "--allow-root", "--fail-on", "error,warning", package)
