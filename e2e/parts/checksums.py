"""Downloaded files against a list of checksums in the tree, in the format of sha256sum."""

import hashlib
from pathlib import Path


def read(sums):
    """{name of a file: its SHA-256}."""
    return dict(reversed(line.split("  ", 1)) for line in Path(sums).read_text().splitlines())


def of(directory):
    """The same of the files of a directory."""
    return {file.name: hashlib.sha256(file.read_bytes()).hexdigest() for file in sorted(Path(directory).iterdir())}


def check(directory, sums):
    """Raises RuntimeError unless `directory` has exactly the files that `sums` lists, byte for byte."""
    if not Path(sums).exists():
        raise RuntimeError(f"refused what was downloaded, because there is no {sums}: hack/lock writes it")
    expected, found = read(sums), of(directory)
    problems = [f"{name}: SHA-256 is {found[name]}, expected {expected[name]}"
                for name in sorted(expected.keys() & found.keys()) if found[name] != expected[name]]
    problems += [f"{name}: was not downloaded" for name in sorted(expected.keys() - found.keys())]
    problems += [f"{name}: was downloaded, and is not in the list" for name in sorted(found.keys() - expected.keys())]
    if problems:
        raise RuntimeError(f"refused what was downloaded, because it is not what {sums} lists:\n" + "\n".join(problems))
