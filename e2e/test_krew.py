"""The manifest for krew: it has the fields that krew requires, and describes the archive that is built with it."""

import hashlib
import re
import subprocess
import tarfile
from pathlib import Path

import pytest
import yaml
from parts.operator import TREE

URL = "https://downloads.example.com/v"


@pytest.fixture(scope="module")
def manifest(tmp_path_factory):
    done = subprocess.run([TREE / "hack/krew", tmp_path_factory.mktemp("krew")], cwd=TREE, capture_output=True, text=True, timeout=120,
                          env={"PATH": "/usr/bin:/bin", "KREW_URL": URL, "KREW_HOMEPAGE": "https://pgsync.example.com"})
    assert done.returncode == 0, done.stdout + done.stderr
    return Path(done.stdout.splitlines()[-1])


def test_the_manifest_has_what_krew_requires(manifest):
    plugin = yaml.safe_load(manifest.read_text())
    assert (plugin["apiVersion"], plugin["kind"]) == ("krew.googlecontainertools.github.com/v1alpha2", "Plugin")
    assert plugin["metadata"]["name"] == manifest.stem == "pgsync"
    spec = plugin["spec"]
    assert spec["version"] == f"v{(TREE / 'VERSION').read_text().strip()}"
    assert re.fullmatch(r"v\d+\.\d+\.\d+(-[0-9A-Za-z.-]+)?", spec["version"])
    assert 0 < len(spec["shortDescription"]) <= 50 and not spec["shortDescription"].endswith(".") and "\n" not in spec["shortDescription"]
    assert spec["homepage"] == "https://pgsync.example.com" and spec["description"].strip()
    for platform in spec["platforms"]:
        assert platform["selector"]["matchLabels"].keys() == {"os", "arch"} and platform["uri"].startswith(f"{URL}/")
        assert re.fullmatch(r"[0-9a-f]{64}", platform["sha256"])


def test_the_archive_is_the_one_that_is_described_and_its_plugin_runs(manifest, tmp_path):
    platform, = yaml.safe_load(manifest.read_text())["spec"]["platforms"]
    archive = manifest.parent / platform["uri"].rsplit("/", 1)[1]
    assert hashlib.sha256(archive.read_bytes()).hexdigest() == platform["sha256"]
    with tarfile.open(archive) as packed:
        packed.extractall(tmp_path, filter="data")
    assert {path.name for path in tmp_path.iterdir()} == {"kubectl-pgsync", "pgsync", "LICENSE", "NOTICE"}
    # krew links the plugin from another directory.
    link = tmp_path / "bin" / "kubectl-pgsync"
    link.parent.mkdir()
    link.symlink_to(tmp_path / platform["bin"])
    for arguments, words in ((["--version"], "kubectl-pgsync "), (["init", "--help"], "Usage: pgsync init ")):
        done = subprocess.run([link, *arguments], capture_output=True, text=True, timeout=20, env={"PATH": "/usr/bin:/bin"})
        assert done.returncode == 0 and done.stdout.startswith(words), done.stdout + done.stderr
