"""A Redis server, and a Sentinel that watches it."""

import secrets
import shutil
import socket
import ssl
from pathlib import Path

from . import ports
from .process import Process


class Redis:
    """A server on 127.0.0.1 that asks for a password. With a certificate (parts/pki.py), it only speaks TLS."""

    def __init__(self, state: Path, *, certificate=None, config="", port=None, password=None, attached=True):
        self.state, self.attached = Path(state), attached
        self.port, self.password = port or ports.free_port(), password or secrets.token_urlsafe(16)
        self.certificate, self.config = certificate, config
        self.url = f"{'rediss' if certificate else 'redis'}://127.0.0.1:{self.port}/0"
        self.process = None

    def start(self):
        self.spawn()
        self.wait()
        return self

    def spawn(self):
        self.state.mkdir(parents=True, exist_ok=True)
        config = self.state / "redis.conf"
        config.touch(mode=0o600)
        listen = f"port {self.port}\n" if not self.certificate else (
            f"port 0\ntls-port {self.port}\ntls-auth-clients no\ntls-ca-cert-file {self.certificate.cert}\n"
            f"tls-cert-file {self.certificate.cert}\ntls-key-file {self.certificate.key}\n")
        config.write_text(f"bind 127.0.0.1\n{listen}requirepass {self.password}\nsave \"\"\ndir {self.state}\n{self.config}")
        self.process = Process("redis", ["redis-server", config], self.state / "redis.log", attached=self.attached)

    def wait(self):
        self.process.wait_until(self.answers, 10)

    def _connect(self):
        connection = socket.create_connection(("127.0.0.1", self.port), timeout=5)
        if not self.certificate:
            return connection
        return ssl._create_unverified_context().wrap_socket(connection)

    def answers(self):
        with self._connect() as s:
            s.sendall(b"PING\r\n")
            return s.recv(64).startswith((b"+PONG", b"-NOAUTH"))

    def command(self, *words):
        """The reply to one command: text, a number, None, or a list of these."""
        with self._connect() as s, s.makefile("rwb") as stream:
            for each in (["AUTH", self.password], words):
                stream.write(b"*%d\r\n" % len(each))
                for word in each:
                    data = str(word).encode()
                    stream.write(b"$%d\r\n%s\r\n" % (len(data), data))
                stream.flush()
                reply = _read(stream)
            return reply

    def kill9(self):
        self.process.kill9()

    def stop(self):
        if self.process:
            self.process.stop(timeout=5)

    def __enter__(self):
        return self.start()

    def __exit__(self, *exc):
        self.stop()


def _read(stream):
    kind, rest = (line := stream.readline())[:1], line[1:-2].decode()
    if kind == b"-":
        raise RuntimeError(f"Redis: {rest}")
    if kind == b"$":
        return None if rest == "-1" else stream.read(int(rest) + 2)[:-2].decode()
    if kind == b"*":
        return None if rest == "-1" else [_read(stream) for _ in range(int(rest))]
    return int(rest) if kind == b":" else rest


class Sentinel:
    """A Sentinel that knows one master by the name `mymaster`."""

    def __init__(self, state: Path, master: Redis):
        self.state, self.master, self.port = Path(state), master, ports.free_port()

    def __enter__(self):
        self.state.mkdir(parents=True, exist_ok=True)
        config = self.state / "sentinel.conf"
        config.touch(mode=0o600)
        config.write_text(f"bind 127.0.0.1\nport {self.port}\ndir {self.state}\n"
                          f"sentinel monitor mymaster 127.0.0.1 {self.master.port} 1\n"
                          f"sentinel auth-pass mymaster {self.master.password}\n")
        self.process = Process("sentinel", [shutil.which("redis-server"), config, "--sentinel"], self.state / "sentinel.log")
        self.process.wait_until(lambda: socket.create_connection(("127.0.0.1", self.port), timeout=2).close() is None, 10)
        return self

    def __exit__(self, *exc):
        self.process.stop(timeout=5)
