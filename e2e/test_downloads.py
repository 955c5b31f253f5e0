"""One byte of a download is changed: it is refused before anything uses it, and the message names file and checksums."""

import hashlib
import subprocess
import zipfile

import pytest
from parts import checksums, golang, maven, pip


def _sha256(file):
    return hashlib.sha256(file.read_bytes()).hexdigest()


def _change_one_byte(file):
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)


def _archive(file, members):
    file.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(file, "w") as archive:
        for name, text in members.items():
            archive.writestr(name, text)
    return file


POM = """<project><modelVersion>4.0.0</modelVersion><groupId>test.greeting</groupId><artifactId>{}</artifactId>
<version>1</version><packaging>{}</packaging>{}</project>"""
NEEDS_IT = "<dependencies><dependency><groupId>test.greeting</groupId><artifactId>greeting</artifactId><version>1</version></dependency></dependencies>"


def test_changed_byte_of_a_java_library_is_refused(tmp_path, monkeypatch):
    registry, tool = tmp_path / "registry/test/greeting/greeting/1", tmp_path / "tools/hello"
    jar = _archive(registry / "greeting-1.jar", {"greeting.txt": "hello"})
    (registry / "greeting-1.pom").write_text(POM.format("greeting", "jar", ""))
    tool.mkdir(parents=True)
    (tool / "pom.xml").write_text(POM.format("hello", "pom", NEEDS_IT))
    # Instead of the registry that this machine is set up for.
    (tmp_path / "settings.xml").write_text(
        f"<settings><mirrors><mirror><id>here</id><mirrorOf>*</mirrorOf><url>file://{tmp_path}/registry</url></mirror></mirrors></settings>")
    (tool / ".mvn").mkdir()
    (tool / ".mvn/maven.config").write_text(f"--settings\n{tmp_path}/settings.xml\n--global-settings\n{tmp_path}/settings.xml\n")
    sums = tool / "SHA256SUMS"
    expected = _sha256(jar)
    sums.write_text(f"{expected}  greeting-1.jar\n")
    monkeypatch.setattr(maven, "TOOLS", tmp_path / "tools")

    maven.copy_dependencies("hello", tmp_path / "intact")
    assert checksums.of(tmp_path / "intact") == {"greeting-1.jar": expected}

    _change_one_byte(jar)
    with pytest.raises(RuntimeError) as refused:
        maven.copy_dependencies("hello", tmp_path / "changed")
    assert str(refused.value) == (f"refused what was downloaded, because it is not what {sums} lists:\n"
                                  f"greeting-1.jar: SHA-256 is {_sha256(jar)}, expected {expected}")


def test_library_that_is_missing_or_not_listed_is_refused(tmp_path):
    (tmp_path / "jars").mkdir()
    _archive(tmp_path / "jars/more-1.jar", {"more.txt": "more"})
    (tmp_path / "SHA256SUMS").write_text("0" * 64 + "  greeting-1.jar\n")
    with pytest.raises(RuntimeError, match="greeting-1.jar: was not downloaded\nmore-1.jar: was downloaded, and is not in the list"):
        checksums.check(tmp_path / "jars", tmp_path / "SHA256SUMS")
    with pytest.raises(RuntimeError, match="there is no .*SHA256SUMS-2: hack/lock writes it"):
        checksums.check(tmp_path / "jars", tmp_path / "SHA256SUMS-2")


def test_changed_byte_of_a_python_package_is_refused(tmp_path, monkeypatch):
    about = "greeting-1.dist-info"
    wheel = _archive(tmp_path / "registry/greeting-1-py3-none-any.whl", {
        "greeting.py": "HELLO = 1\n", f"{about}/METADATA": "Metadata-Version: 2.1\nName: greeting\nVersion: 1\n",
        f"{about}/WHEEL": "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        f"{about}/RECORD": f"greeting.py,,\n{about}/METADATA,,\n{about}/WHEEL,,\n{about}/RECORD,,\n"})
    requirements, expected = tmp_path / "requirements.txt", _sha256(wheel)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path / "registry"))

    requirements.write_text("greeting==1\n")
    with pytest.raises(RuntimeError, match="Hashes are required"):
        pip.environment(tmp_path / "unlisted", requirements)

    requirements.write_text(f"greeting==1 --hash=sha256:{expected}\n")
    pip.environment(tmp_path / "intact", requirements)
    subprocess.run([tmp_path / "intact/bin/python", "-c", "import greeting"], check=True)

    _change_one_byte(wheel)
    for refuse in (lambda: pip.unpack(requirements, tmp_path / "changed"), lambda: pip.environment(tmp_path / "changed", requirements)):
        with pytest.raises(RuntimeError) as refused:
            refuse()
        for part in (str(requirements), wheel.name, expected, _sha256(wheel)):
            assert part in str(refused.value)
    assert not list((tmp_path / "changed").rglob("greeting*"))


def test_changed_byte_of_a_go_module_is_refused(tmp_path, monkeypatch):
    versions, tool = tmp_path / "registry/greeting.test/greeting/@v", tmp_path / "tools/hello"
    module, package = "module greeting.test/greeting\n\ngo 1.20\n", "package greeting\n\nconst Hello = 1\n"
    archive = versions / "v1.0.0.zip"

    def publish(package):
        _archive(archive, {f"greeting.test/greeting@v1.0.0/{name}": text for name, text in {"go.mod": module, "greeting.go": package}.items()})

    publish(package)
    (versions / "v1.0.0.mod").write_text(module)
    (versions / "v1.0.0.info").write_text('{"Version": "v1.0.0"}')
    tool.mkdir(parents=True)
    (tool / "go.mod").write_text("module hello.test/hello\n\ngo 1.20\n\nrequire greeting.test/greeting v1.0.0\n")
    (tool / "main.go").write_text('package main\n\nimport "greeting.test/greeting"\n\nfunc main() { println(greeting.Hello) }\n')
    for name, value in {"GOPROXY": f"file://{tmp_path}/registry", "GOSUMDB": "off", "GOTOOLCHAIN": "local", "GOFLAGS": "-modcacherw"}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(golang, "TOOLS", tmp_path / "tools")
    monkeypatch.setenv("GOMODCACHE", str(tmp_path / "intact"))
    subprocess.run([golang.toolchain(), "mod", "tidy"], cwd=tool, check=True, capture_output=True)
    golang.install("hello", ["."], tmp_path / "intact-bin")
    assert (tmp_path / "intact-bin/hello").exists()

    publish(package.replace("1", "2"))
    monkeypatch.setenv("GOMODCACHE", str(tmp_path / "changed"))
    with pytest.raises(RuntimeError, match=r"greeting.test/greeting@v1.0.0: checksum mismatch\n\s*downloaded: h1:\S+\n\s*go.sum: +h1:\S+"):
        golang.install("hello", ["."], tmp_path / "changed-bin")
    assert not (tmp_path / "changed-bin/hello").exists()
