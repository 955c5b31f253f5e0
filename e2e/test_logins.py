"""Where a password comes from, and what a hostile server learns of it if it asks for it in ways that are not allowed."""

import hashlib
import json
import socket
import ssl
import struct
import subprocess
import threading
from pathlib import Path

import bookstore
import pytest
from parts.operator import BIN
from parts.search import eventually
from parts.worker import pgsync, write_manifest
from psycopg import sql as S

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


def test_a_password_that_is_replaced_is_read_for_the_next_connection(worker, manifest, books, opensearch, index, tmp_path):
    """From a file, then from a program; what is read is in no log, argument or variable."""
    first, second, third = (f"{name}-{books.role_password}" for name in ("first", "second", "third"))
    file, program = tmp_path / "token", tmp_path / "login"
    resource = manifest[1]
    del resource["spec"]["source"]["passwordSecretRef"]
    resource["spec"]["source"]["passwordFrom"] = {"file": str(file)}

    def rotate(password):
        books.sql(S.SQL("ALTER ROLE {} PASSWORD {}").format(S.Identifier(books.role), S.Literal(password)))

    def end_sessions(title):
        books.sql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = %s", books.role)
        books.sql("UPDATE books SET title = %s WHERE id = 1", title)
        eventually(lambda: title in [d["title"] for d in opensearch.documents(index).values()], 30, lambda: f"{title} ({run.status()})")

    rotate(first)
    file.write_text(first + "\n")
    run = worker([resource]).start().wait_ready()
    rotate(second)
    file.write_text(second)
    end_sessions("with the second password")
    known = b"".join(Path(f"/proc/{run.process.popen.pid}/{name}").read_bytes() for name in ("cmdline", "environ"))
    run.stop()
    assert all(text not in run.process.log.read_text() and text.encode() not in known for text in (first, second))

    program.write_text(f"#!/bin/sh\ncat {file}\n")
    program.chmod(0o700)
    run = worker([resource], "--password-command", str(program)).start().wait_ready()
    rotate(third)
    file.write_text(third)
    end_sessions("with the third password")
    program.write_text("#!/bin/sh\necho the token service is away >&2\nexit 1\n")
    books.sql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = %s", books.role)
    eventually(lambda: run.condition("SourceReachable").get("reason") == "CredentialsNotFound", 20, lambda: f"a reason ({run.status()})")
    assert "the token service is away" in run.condition("SourceReachable")["message"]
    run.stop()
    assert third not in run.process.log.read_text()
    assert opensearch.aliases(index) == [f"{index}-g1"]


def test_a_password_file_given_by_a_variable(tmp_path, manifest):
    """The command line wins over the environment; both at once are refused."""
    at = write_manifest(tmp_path / "pgsync.yaml", manifest)

    def refused(*options, **variables):
        done = subprocess.run([str(BIN / "pgsync"), "run", "-f", str(at), *options], capture_output=True, text=True, timeout=20,
                              env={"PATH": "/usr/bin:/bin", **variables})
        assert done.returncode == 2, done
        return done.stderr

    assert "absolute path" in refused(PGSYNC_PASSWORD_FILE="token")
    assert "not from both" in refused(PGSYNC_PASSWORD_FILE="/a", PGSYNC_PASSWORD_COMMAND="/b")
    assert "not from both" in refused("--password-file", "/a", "--password-command", "/b")
    assert "found \"token\"" in refused("--password-command", "token", PGSYNC_PASSWORD_FILE="/a", PGSYNC_PASSWORD_COMMAND="/b")


@pytest.mark.parametrize("options", [[], ["--credentials", "DIRECTORY"]], ids=["operator", "pod"])
@pytest.mark.parametrize("given", [{"file": "/etc/passwd"}, {"file": "DIRECTORY/password"}, {"exec": {"command": ["/bin/echo", "x"]}}],
                         ids=["file", "mounted", "program"])
def test_a_worker_of_an_operator_reads_no_password_from_its_container(given, options, tmp_path):
    """Whatever an API server with an older CRD has let through. In a pod, only what secretRef names is read."""
    (tmp_path / "password").write_text("x")
    options = [text.replace("DIRECTORY", str(tmp_path)) for text in options]
    given = json.loads(json.dumps(given).replace("DIRECTORY", str(tmp_path)))
    resource = {"apiVersion": "pgsync.io/v1alpha1", "kind": "PgSync", "metadata": {"name": "books", "namespace": "default"}, "spec": {
        "source": {"host": "127.0.0.1", "port": 9, "database": "shop", "user": "sync", "passwordFrom": given},
        "sink": {"urls": ["http://127.0.0.1:9"]}, "schema": [{"index": "books", "nodes": {"table": "books", "columns": ["id"]}}]}}
    (tmp_path / "assignment").write_text(json.dumps({"task": "run", "resource": resource, "secrets": {}, "configMaps": {}}) + "\n")
    done = subprocess.run(["sh", "-c", 'in="$1"; shift; exec "$0" worker "$@" 3< "$in/assignment" 4> "$in/reports"',
                           str(BIN / "pgsync"), str(tmp_path), *options], capture_output=True, text=True, timeout=20)
    assert done.returncode == 2 and "only `pgsync run`" in done.stderr, done
