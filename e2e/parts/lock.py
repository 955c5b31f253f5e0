"""Writes the lists of checksums of Java libraries that are not there: python -m parts.lock, which hack/lock starts."""

import tempfile
from pathlib import Path

from . import checksums, java, maven
from .opensearch import ENGINES, Elasticsearch8
from .postgres import VERSIONS

# (tool, list, properties) of every call of maven.copy_dependencies.
LISTS = [("ecj", "SHA256SUMS", {"ecj_version": java.COMPILER})]
LISTS += [("postgres", f"SHA256SUMS-{version}", {"postgres_version": f"{version}.0"}) for version in VERSIONS]
for _node in ENGINES.values():
    if issubclass(_node, Elasticsearch8):
        LISTS.append((_node.source, f"SHA256SUMS-{_node.version}", {"elasticsearch_version": _node.version}))
    else:
        LISTS.append((_node.tool, "SHA256SUMS", {}))


def main():
    for tool, name, properties in LISTS:
        sums = maven.TOOLS / tool / name
        if not sums.exists():
            print(f"{sums.relative_to(maven.TOOLS)}: downloading", flush=True)
            with tempfile.TemporaryDirectory() as directory:
                jars = Path(directory) / "jars"
                maven.download(tool, jars, **properties)
                sums.write_text("".join(f"{sum}  {name}\n" for name, sum in checksums.of(jars).items()))


if __name__ == "__main__":
    main()
