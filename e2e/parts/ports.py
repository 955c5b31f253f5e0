"""Free ports of this machine."""

import random
import socket

# Below the kernel's range of ephemeral ports, so that no outgoing connection takes the port between its choice and its use.
FIRST, LAST = 20000, 32000
_given = set()


def is_free(port):
    with socket.socket() as s:
        s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            s.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def free_port() -> int:
    """A port of 127.0.0.1 that is free and was not handed out before in this process."""
    for _ in range(1000):
        port = random.randint(FIRST, LAST)
        if port not in _given and is_free(port):
            _given.add(port)
            return port
    raise RuntimeError(f"no free port between {FIRST} and {LAST}")
