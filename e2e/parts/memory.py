"""What the memory of a running process contains."""

import base64
import re
from pathlib import Path


def find(pid, *needles):
    """[(mapping, the bytes around)] for each place in the memory of process `pid` with one of the byte strings."""
    found = []
    with open(f"/proc/{pid}/mem", "rb", buffering=0) as memory:
        for line in Path(f"/proc/{pid}/maps").read_text().splitlines():
            fields = line.split(maxsplit=5)
            first, last = (int(part, 16) for part in fields[0].split("-"))
            # What cannot be written holds no secrets, and [vvar] cannot be read.
            if not fields[1].startswith("rw"):
                continue
            memory.seek(first)
            content = memory.read(last - first)
            found += [(fields[5] if len(fields) > 5 else "anonymous", content[max(0, m.start() - 48):m.end() + 16])
                      for needle in needles for m in re.finditer(re.escape(needle), content)]
    return found


def forms(secret):
    """A secret as it is, and as in a Secret's data; also as in a Basic header after a user name of 3n - 1 bytes."""
    return secret.encode(), base64.b64encode(secret.encode()).rstrip(b"=")
