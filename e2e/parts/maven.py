"""Java libraries, resolved with their dependencies by Maven from a pom in e2e/tools."""

import subprocess
from pathlib import Path

TOOLS = Path(__file__).resolve().parent.parent / "tools"


def copy_dependencies(tool, directory, **properties):
    """Puts the jars that tools/<tool>/pom.xml asks for, and all they need, into `directory`."""
    command = ["mvn", "-B", "-q", "-ntp", "-f", TOOLS / tool / "pom.xml", "dependency:copy-dependencies",
               f"-DoutputDirectory={directory}"]
    command += [f"-D{key.replace('_', '.')}={value}" for key, value in properties.items()]
    run(f"mvn for {tool}", command)


def compile_main(tool, directory):
    """Compiles tools/<tool>/SingleNode.java against the jars in `directory`, into `directory`/classes."""
    run(f"javac for {tool}", ["javac", "-nowarn", "-d", directory / "classes", "-cp", f"{directory}/*",
                               TOOLS / tool / "SingleNode.java"])


def run(what, command):
    """Runs a step of a build; what it printed is in the error."""
    done = subprocess.run([str(c) for c in command], capture_output=True, text=True)
    if done.returncode != 0:
        raise RuntimeError(f"{what} failed:\n{(done.stdout + done.stderr)[-3000:]}")
