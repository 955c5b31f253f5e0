"""Credentials in the memory of the programs."""

import os
import subprocess

import bookstore
import pytest
import yaml
from parts import memory, ports
from parts.operator import BIN
from parts.search import eventually

LOGIN = "Login-Of-The-Sink-0123456789"
# A key of the same Secret that no PgSync uses.
UNUSED = "Key-That-Nothing-Uses-0123456789"
# Where a worker keeps the search engine's password: its spec, its target, and libcurl's open connections.
SINK_PLACES = 4


def apply(resources, books, engine, index):
    resources.apply(bookstore.secret("sink", username="ua", password=LOGIN, other=UNUSED))
    resources.apply_books("books", books, engine.url, index=index, spec={
        "sink.authentication": {"type": "Basic", "secretRef": {"name": "sink"}}})
    resources.wait("books")


def connections(database):
    return [pid for (pid,) in database.sql("SELECT pid FROM pg_stat_activity WHERE datname = current_database()"
                                           " AND application_name LIKE 'pgsync %'")]


def wait_for_places(pid, secret, most):
    """Waits until process `pid` has a secret in at most that many places: some are those of a request under way."""
    found = []

    def few():
        found[:] = memory.find(pid, *memory.forms(secret))
        return len(found) <= most

    eventually(few, 15, lambda: f"at most {most} places with a secret instead of\n" + "\n".join(map(str, found)), interval=0.3)
    return len(found)


@pytest.mark.skipif("PGSYNC_BIN" in os.environ, reason="sanitizers keep what is freed")
def test_credentials_are_in_memory_only_where_they_are_needed(operator, resources, books, opensearch, index):
    apply(resources, books, opensearch, index)
    for secret in (books.role_password, LOGIN):
        assert wait_for_places(operator.process.pid, secret, 1) == 1, "the search finds the one that must be there"
    wait_for_places(operator.process.pid, UNUSED, 0)
    (worker,) = operator.workers()

    def check():
        # libpq has two for each connection: one to connect again, and one in its state of SCRAM.
        wait_for_places(worker, books.role_password, 1 + 2 * len(connections(books)))
        wait_for_places(worker, LOGIN, SINK_PLACES)

    check()
    before = connections(books)
    books.sql("SELECT pg_terminate_backend(pid) FROM unnest(%s::int[]) pid", [before])
    eventually(lambda: books.walsenders() and not set(before) & set(connections(books)), 30, "new connections", interval=0.2)
    check()
    resources.delete("books")
    for secret in (books.role_password, LOGIN):
        wait_for_places(operator.process.pid, secret, 0)


def test_programs_do_not_let_others_read_their_memory(tmp_path):
    as_somebody = ["setpriv", "--reuid", "65534", "--clear-groups"] if os.geteuid() == 0 else []
    nowhere = ports.free_port()
    resource = {"apiVersion": "pgsync.io/v1alpha1", "kind": "PgSync", "metadata": {"name": "books"}, "spec": {
        "source": {"host": "127.0.0.1", "port": nowhere, "database": "d", "user": "u"},
        "sink": {"urls": [f"http://127.0.0.1:{nowhere}"]}, "schema": [{"index": "books", "nodes": {"table": "books"}}]}}
    for program in (["pgsync", "run", "-f", "-"], ["bookstore", "--listen", "127.0.0.1:0", "--postgres-port", str(nowhere)]):
        log = tmp_path / f"{program[0]}.log"
        with open(log, "wb") as to:
            process = subprocess.Popen([*as_somebody, BIN / program[0], *program[1:]], stdin=subprocess.PIPE, stdout=to, stderr=to)
        try:
            process.stdin.write(yaml.safe_dump(resource).encode())
            process.stdin.close()
            eventually(lambda: log.read_bytes(), 20, f"the first line of {program[0]}, which tries to connect")
            read = subprocess.run([*as_somebody, "cat", f"/proc/{process.pid}/environ"], capture_output=True, text=True)
            assert read.returncode == 1 and "Permission denied" in read.stderr, program[0]
        finally:
            process.kill()
            process.wait()
