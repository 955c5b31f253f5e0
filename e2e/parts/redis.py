"""A Redis server."""

import secrets
import socket
from pathlib import Path

from . import ports
from .process import Process


class Redis:
    """A server on 127.0.0.1 that asks for a password."""

    def __init__(self, state: Path):
        self.state = Path(state)
        self.port, self.password = ports.free_port(), secrets.token_urlsafe(16)
        self.url = f"redis://127.0.0.1:{self.port}/0"
        self.process = None

    def start(self):
        self.state.mkdir(parents=True, exist_ok=True)
        config = self.state / "redis.conf"
        config.touch(mode=0o600)
        config.write_text(f"bind 127.0.0.1\nport {self.port}\nrequirepass {self.password}\nsave \"\"\ndir {self.state}\n")
        self.process = Process("redis", ["redis-server", config], self.state / "redis.log")
        self.process.wait_until(self._answers, 10)
        return self

    def _answers(self):
        with socket.create_connection(("127.0.0.1", self.port), timeout=2) as s:
            s.sendall(b"PING\r\n")
            return s.recv(64).startswith((b"+PONG", b"-NOAUTH"))

    def stop(self):
        if self.process:
            self.process.stop(timeout=5)

    def __enter__(self):
        return self.start()

    def __exit__(self, *exc):
        self.stop()
