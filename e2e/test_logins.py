"""What a hostile server learns of a password if it asks for it in ways that are not allowed."""

import hashlib
import socket
import ssl
import struct
import threading

import bookstore
import pytest
from parts.worker import pgsync, write_manifest

PASSWORD = "correct-horse-battery-staple"
SSL_REQUEST = 80877103


def request(code, rest=b""):
    return b"R" + struct.pack("!ii", 8 + len(rest), code) + rest


CLEARTEXT, MD5, SASL = request(3), request(5, b"salt"), request(10, b"SCRAM-SHA-256\0\0")


class HostileServer:
    """Sends `asks` to each client, with TLS if it has a certificate, and keeps what it gets to read after it."""

    def __init__(self, asks, certificate=None, early=False):
        self.asks, self.early, self.heard = asks, early, b""
        self.context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH) if certificate else None
        if certificate:
            self.context.load_cert_chain(certificate.cert, certificate.key)
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self):
        while True:
            try:
                connection = self.listener.accept()[0]
            except OSError:
                return
            try:
                with connection:
                    self._talk(connection)
            except OSError:
                pass

    def _read(self, connection):
        """What follows the length of a startup packet."""
        head = connection.recv(4)
        if len(head) < 4:
            raise ConnectionError("the client went away")
        return connection.recv(struct.unpack("!i", head)[0] - 4)

    def _talk(self, connection):
        connection.settimeout(5)
        startup = self._read(connection)
        if struct.unpack("!i", startup[:4]) == (SSL_REQUEST,):
            if not self.context:
                # Bytes that come with the refusal of TLS are in the client's buffer before it has sent its name.
                connection.sendall(b"N" + (self.asks if self.early else b""))
                startup = self._read(connection)
            else:
                connection.sendall(b"S")
                connection = self.context.wrap_socket(connection, server_side=True)
                startup = self._read(connection)
        connection.sendall(self.asks)
        connection.settimeout(0.5)
        while data := connection.recv(4096):
            self.heard += data

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.listener.close()


@pytest.fixture
def plan(tmp_path):
    """plan(server): what `pgsync plan` says of it."""

    def run(server, **source):
        secret = bookstore.secret("bookstore-postgres", password=PASSWORD)
        resource = {"apiVersion": "pgsync.io/v1alpha1", "kind": "PgSync", "metadata": {"name": "books", "namespace": "default"}, "spec": {
            "source": {"host": "127.0.0.1", "port": server.port, "database": "shop", "user": "sync",
                       "passwordSecretRef": {"name": "bookstore-postgres"}, **source},
            "sink": {"urls": ["http://127.0.0.1:9"]}, "schema": [{"index": "books", "nodes": {"table": "books", "columns": ["id"]}}]}}
        code, out, err = pgsync("plan", "-f", write_manifest(tmp_path / "pgsync.yaml", [secret, resource]))
        assert code != 0
        return out + err

    return run


@pytest.mark.parametrize("asks", [CLEARTEXT, SASL + CLEARTEXT, b"N\0\0\0\x05\0" + CLEARTEXT], ids=["at once", "after SCRAM", "after a notice"])
@pytest.mark.parametrize("how", ["Disable", "Prefer", "early", "Require"])
def test_a_server_that_asks_for_the_password_in_clear_text_does_not_get_it(plan, authority, asks, how):
    certificate = authority.issue("hostile", "/CN=localhost") if how == "Require" else None
    with HostileServer(asks, certificate, early=how == "early") as server:
        said = plan(server, tls={"mode": "Prefer" if how == "early" else how})
        assert PASSWORD.encode() not in server.heard
        assert "in clear text" in said and "allowedAuth" in said, said


def test_a_server_gets_an_md5_digest_only_if_that_is_allowed(plan):
    with HostileServer(MD5) as server:
        assert "allowedAuth" in plan(server) and b"md5" not in server.heard
    with HostileServer(MD5) as server:
        plan(server, allowedAuth=["SCRAM", "MD5"])
        inner = hashlib.md5((PASSWORD + "sync").encode()).hexdigest()
        assert hashlib.md5(inner.encode() + b"salt").hexdigest().encode() in server.heard


def test_a_server_gets_the_password_only_if_that_is_allowed(plan):
    with HostileServer(CLEARTEXT) as server:
        plan(server, allowedAuth=["Cleartext"])
        assert PASSWORD.encode() in server.heard
