"""Java libraries, resolved with their dependencies by Maven from a pom in e2e/tools, and checked before anything uses them."""

import subprocess
import tempfile
from pathlib import Path

from . import checksums

TOOLS = Path(__file__).resolve().parent.parent / "tools"
# Plugins as Debian packages: what Maven downloads itself, it runs unchecked.
PLUGINS = Path("/usr/share/maven-repo")
PLUGIN = "org/apache/maven/plugins/maven-dependency-plugin"


def copy_dependencies(tool, directory, sums="SHA256SUMS", **properties):
    """Puts the jars that tools/<tool>/pom.xml asks for, and all they need, into `directory`. They are exactly those that
    the file `sums` beside the pom lists."""
    download(tool, directory, **properties)
    checksums.check(directory, TOOLS / tool / sums)


def download(tool, directory, **properties):
    """The same, unchecked: for hack/lock, which writes the lists."""
    with tempfile.TemporaryDirectory(dir=Path(directory).parent, prefix=".maven-") as repository:
        _add_plugins(Path(repository))
        command = ["mvn", "-B", "-q", "-ntp", "-f", TOOLS / tool / "pom.xml", f"-Dmaven.repo.local={repository}",
                   f"{PLUGIN.replace('/', '.').replace('.maven-', ':maven-')}:{_plugin_version()}:copy-dependencies",
                   f"-DoutputDirectory={directory}"]
        command += [f"-D{key.replace('_', '.')}={value}" for key, value in properties.items()]
        run(f"mvn for {tool}", command)


def _plugin_version():
    found = sorted((PLUGINS / PLUGIN).glob("*/*.jar"))
    if not found:
        raise RuntimeError(f"{PLUGINS / PLUGIN} has no plugin: install Debian's libmaven-dependency-plugin-java")
    return found[-1].parent.name


def _add_plugins(repository):
    """Links what Debian's plugin needs. Most jars are there twice, with the version `debian` or `3.x` and with the one of
    their authors: those Maven would take for the libraries that it is to download."""
    for version in {file.parent for file in PLUGINS.rglob("*.pom")}:
        is_ours = version.name == "debian" or version.name.endswith(".x") or version.parent == PLUGINS / PLUGIN
        files = list(version.iterdir())
        if is_ours or all(file.suffix != ".jar" for file in files):
            target = repository / version.relative_to(PLUGINS)
            target.mkdir(parents=True)
            for file in files:
                (target / file.name).symlink_to(file)


def compile_main(tool, directory):
    """Compiles tools/<tool>/SingleNode.java against the jars in `directory`, into `directory`/classes."""
    run(f"javac for {tool}", ["javac", "-nowarn", "-d", directory / "classes", "-cp", f"{directory}/*",
                               TOOLS / tool / "SingleNode.java"])


def run(what, command):
    """Runs a step of a build; what it printed is in the error."""
    done = subprocess.run([str(c) for c in command], capture_output=True, text=True)
    if done.returncode != 0:
        raise RuntimeError(f"{what} failed:\n{(done.stdout + done.stderr)[-3000:]}")
