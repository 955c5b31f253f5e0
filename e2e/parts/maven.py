"""Java libraries, resolved with their dependencies by Maven from a pom in e2e/tools."""

import subprocess
from pathlib import Path

TOOLS = Path(__file__).resolve().parent.parent / "tools"


def copy_dependencies(tool, directory, **properties):
    """Puts the jars that tools/<tool>/pom.xml asks for, and all they need, into `directory`."""
    command = ["mvn", "-B", "-q", "-ntp", "-f", TOOLS / tool / "pom.xml", "dependency:copy-dependencies",
               f"-DoutputDirectory={directory}"]
    command += [f"-D{key.replace('_', '.')}={value}" for key, value in properties.items()]
    result = subprocess.run([str(c) for c in command], capture_output=True, text=True)
    if result.returncode != 0:
        raise RuntimeError(f"mvn for {tool} failed:\n{(result.stdout + result.stderr)[-3000:]}")
