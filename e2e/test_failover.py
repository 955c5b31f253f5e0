"""A standby is promoted: with a failover slot the stream continues from it, and without one the index is rebuilt behind its alias.
A server that was restored and written to is not taken for the one that was synced."""

import os
import random
import shutil
import socket
import subprocess
import threading
import time

import bookstore
import pytest
from parts.postgres import Postgres
from parts.ports import free_port
from parts.search import eventually
from parts.worker import pgsync

STANDBY = "standby_1"


class Address:
    """A TCP address that forwards to the server that is the primary, as a service does."""

    def __init__(self):
        self.port, self.target = free_port(), None
        self.listener = socket.create_server(("127.0.0.1", self.port))
        self.sockets = set()
        threading.Thread(target=self._accept, daemon=True).start()

    def lead_to(self, port):
        """None: forwards to no server. Open connections are closed."""
        self.target = port
        for each in list(self.sockets):
            try:
                each.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
        self.sockets.clear()

    def _accept(self):
        while True:
            try:
                client, _ = self.listener.accept()
            except OSError:
                return
            try:
                server = socket.create_connection(("127.0.0.1", self.target), 2) if self.target else None
            except OSError:
                server = None
            if not server:
                client.close()
                continue
            server.settimeout(None)
            self.sockets |= {client, server}
            for a, b in ((client, server), (server, client)):
                threading.Thread(target=self._pump, args=(a, b), daemon=True).start()

    def _pump(self, source, target):
        try:
            while data := source.recv(65536):
                target.sendall(data)
        except OSError:
            pass
        for each in (source, target):
            try:
                each.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass

    def close(self):
        self.lead_to(None)
        self.listener.close()


def make_standby(state, primary, database):
    """A streaming standby of the primary, from a copy of its files."""
    primary.sql(f"SELECT pg_create_physical_replication_slot('{STANDBY}', true) WHERE NOT EXISTS (SELECT FROM pg_replication_slots WHERE slot_name = '{STANDBY}')")
    standby = Postgres(state, version=primary.version, password=primary.password)
    standby.state.mkdir(parents=True)
    shutil.copytree(primary.state / "server", standby.state / "server", symlinks=True, copy_function=os.link)
    with primary.connect() as connection:
        connection.execute("SELECT pg_backup_start('standby', true)")
        shutil.copytree(primary.data, standby.data, ignore=lambda d, names: [
            n for n in names if n in ("postmaster.pid", "postmaster.opts") or d.endswith(("pg_replslot", "pg_stat_tmp"))])
        label, = connection.execute("SELECT labelfile FROM pg_backup_stop(false)").fetchone()
    (standby.data / "backup_label").write_text(label)
    (standby.data / "standby.signal").touch()
    if standby.user:
        shutil.chown(standby.state, standby.user)
        for directory, _, names in os.walk(standby.data):
            for each in (directory, *(os.path.join(directory, n) for n in names)):
                shutil.chown(each, standby.user)
    standby.data.chmod(0o700)
    standby.conf.update({
        "primary_conninfo": f"host=127.0.0.1 port={primary.port} user=postgres password={primary.password} dbname={database}",
        "primary_slot_name": STANDBY, "hot_standby_feedback": "on", "sync_replication_slots": "on"})
    standby._configure()
    return standby.start(60)


@pytest.fixture
def address():
    made = Address()
    yield made
    made.close()


class Cluster:
    """A primary, its standby, and the address of the one that serves."""

    def __init__(self, state, own_postgres, address, name):
        self.state, self.address, self.made = state, address, 0
        self.primary = own_postgres(version="17.10", conf={"synchronized_standby_slots": ""})
        self.database = self.primary.create_database(name)
        bookstore.load(self.database)
        self.database.create_role()
        self.standbys = []
        self.add_standby()
        address.lead_to(self.primary.port)

    def add_standby(self):
        self.made += 1
        self.standby = make_standby(self.state / f"standby-{self.database.name}-{self.made}", self.primary, self.database.name)
        self.standbys.append(self.standby)

    def manifest(self, url, index, **replication):
        made = bookstore.resource("books", self.database, url, index=index, spec={f"source.replication.{k}": v for k, v in replication.items()})
        made["spec"]["source"]["port"] = self.address.port
        return [bookstore.secret("bookstore-postgres", password=self.database.role_password), made]

    def wait_for_slot(self):
        """The slot is on the standby, and may be used there."""
        eventually(lambda: self.standby.sql("SELECT 1 FROM pg_replication_slots WHERE synced AND NOT temporary AND slot_type = 'logical'"), 90,
                   lambda: f"a synchronized slot ({self.standby.sql('SELECT slot_name, temporary, synced FROM pg_replication_slots')})", interval=0.5)

    def wait_for_wal(self):
        lsn = self.primary.sql("SELECT pg_current_wal_insert_lsn()::text")[0][0]
        eventually(lambda: self.standby.sql("SELECT pg_last_wal_replay_lsn() >= %s::pg_lsn", lsn)[0][0], 30, "the standby's WAL")

    def fail_over(self, crash=False):
        self.address.lead_to(None)
        if crash:
            self.primary.kill9()
        else:
            self.primary.stop("fast")
        self.standby.sql("SELECT pg_promote()")
        eventually(lambda: not self.standby.sql("SELECT pg_is_in_recovery()")[0][0], 30, "the promotion")
        self.primary = self.database.server = self.standby
        self.address.lead_to(self.primary.port)

    def stop(self):
        for each in self.standbys:
            each.stop("immediate")


@pytest.fixture
def cluster(state, own_postgres, address, unique):
    made = Cluster(state, own_postgres, address, unique)
    yield made
    made.stop()


def generation(run):
    return run.status()["indices"][0]["physicalName"]


@pytest.mark.parametrize("crash", [False, True])
def test_stream_goes_on_from_a_synchronized_slot(cluster, worker, opensearch, index, crash):
    run = worker(cluster.manifest(opensearch.url, index, failover=True)).start().wait_ready()
    cluster.database.sql("UPDATE books SET title = 'before' WHERE id = 1")
    bookstore.wait_equal(opensearch, index, lambda: bookstore.expected(cluster.database))
    before = generation(run)
    cluster.wait_for_slot()
    cluster.wait_for_wal()
    cluster.fail_over(crash)
    cluster.database.sql("UPDATE books SET title = 'after' WHERE id = 2; DELETE FROM book_authors WHERE book_id = 3")
    bookstore.wait_equal(opensearch, index, lambda: bookstore.expected(cluster.database))
    eventually(lambda: run.condition("Ready").get("status") == "True", 60, lambda: f"Ready ({run.status()})")
    assert generation(run) == before, "the index was rebuilt"
    run.process.check()


def test_without_a_failover_slot_the_index_is_rebuilt(cluster, worker, opensearch, index):
    run = worker(cluster.manifest(opensearch.url, index)).start().wait_ready()
    bookstore.wait_equal(opensearch, index, lambda: bookstore.expected(cluster.database))
    before = generation(run)
    cluster.wait_for_wal()
    cluster.fail_over()
    cluster.database.sql("UPDATE books SET title = 'after' WHERE id = 2")
    eventually(lambda: generation(run) != before, 60, lambda: f"another generation ({run.status()})")
    bookstore.wait_equal(opensearch, index, lambda: bookstore.expected(cluster.database))


def test_a_standby_is_refused_and_nothing_is_left_until_it_is_promoted(cluster, worker, opensearch, index):
    cluster.wait_for_wal()
    cluster.address.lead_to(cluster.standby.port)
    manifest = cluster.manifest(opensearch.url, index)
    # These are checked on the server, which must not need anything that a standby cannot do.
    manifest[1]["spec"]["schema"][0]["nodes"].update(expressions={"half": "price / 2"}, where="price > 0")
    run = worker(manifest)
    told = ["the server is a standby", "expected the primary", "spec.source.host"]
    code, out, err = pgsync("plan", "-f", run.manifest)
    assert code == 1, (code, out, err)
    for part in told:
        assert part in out + err, out + err
    run.start()
    condition = eventually(lambda: run.condition("Ready").get("reason") == "ServerIsStandby" and run.condition("Ready"), 60,
                           lambda: f"ServerIsStandby ({run.status()})")
    for part in told:
        assert part in condition["message"], condition
    assert cluster.primary.sql("SELECT count(*) FROM pg_publication") == [(0,)]
    assert index not in " ".join(opensearch.indices())
    cluster.fail_over()
    run.wait_ready()
    assert len(opensearch.documents(index)) == 25


def promote(server):
    """Starts a server that is not running; it recovers, and begins another timeline."""
    server.set(restore_command="false")
    (server.data / "recovery.signal").touch()
    shutil.chown(server.data / "recovery.signal", server.user or "root")
    server.start()
    eventually(lambda: not server.sql("SELECT pg_is_in_recovery()")[0][0], 30, "the end of the recovery", interval=0.2)


@pytest.mark.parametrize("how", ["another timeline", "another timeline of the same number", "another timeline that began at the same position",
                                 "a copy that is started as it is", "a copy that is started while no worker runs"])
def test_server_that_was_restored_and_went_further_than_what_was_synced_means_a_rebuild(how, own_postgres, address, worker, opensearch, index, unique):
    """Positions do not show it: the server is beyond what was synced, and its slot exists."""
    server = own_postgres()
    database = server.create_database(unique)
    bookstore.load(database)
    database.sql("CREATE TABLE filler (text text)")
    database.create_role()
    manifest = bookstore.resource("books", database, opensearch.url, index=index)
    manifest["spec"]["source"]["port"] = address.port
    address.lead_to(server.port)
    run = worker([bookstore.secret("bookstore-postgres", password=database.role_password), manifest]).start().wait_ready()

    address.lead_to(None)
    server.stop("fast")
    copy = server.state / "copy"
    subprocess.run(["cp", "-a", server.data, copy], check=True)
    if how == "another timeline that began at the same position":
        promote(server)
    else:
        server.start()
    if how == "another timeline of the same number":
        database.sql("INSERT INTO filler VALUES ('before the timeline')")
        server.stop("fast")
        promote(server)
    address.lead_to(server.port)
    database.sql("UPDATE books SET title = 'lost again'")
    bookstore.wait_equal(opensearch, index, lambda: bookstore.expected(database))
    before, reached = generation(run), database.value("SELECT pg_current_wal_lsn()::text")
    if "no worker runs" in how:
        eventually(lambda: database.value("SELECT confirmed_flush_lsn >= %s::pg_lsn FROM pg_replication_slots", reached), 30, "the acknowledgement")
        run.stop()

    address.lead_to(None)
    server.stop("fast")
    shutil.rmtree(server.data)
    copy.rename(server.data)
    if "timeline" in how:
        promote(server)
    else:
        server.start()
    database.sql("INSERT INTO filler SELECT repeat('x', 1000) FROM generate_series(1, 3000)")
    assert database.value("SELECT pg_current_wal_lsn() > %s::pg_lsn", reached)
    assert database.slots()
    database.sql("UPDATE books SET title = 'after the restore' WHERE id = 3")
    address.lead_to(server.port)
    if "no worker runs" in how:
        run.start()
    bookstore.wait_equal(opensearch, index, lambda: bookstore.expected(database))
    eventually(lambda: run.condition("Ready").get("status") == "True", 60, lambda: f"Ready ({run.status()})")
    assert generation(run) != before
    run.process.check()


@pytest.mark.parametrize("restarted", [False, True])
def test_slot_that_a_crash_of_the_server_has_set_back_does_not_mean_a_rebuild(restarted, own_postgres, worker, opensearch, index, unique):
    """Postgres writes positions of slots at its checkpoints; what the stream repeats then is the same."""
    server = own_postgres()
    database = server.create_database(unique)
    bookstore.load(database)
    database.create_role()
    run = worker([bookstore.secret("bookstore-postgres", password=database.role_password),
                  bookstore.resource("books", database, opensearch.url, index=index)]).start().wait_ready()
    before, went_back = generation(run), 0
    for i in range(3):
        for j in range(2):
            database.sql(f"UPDATE books SET title = 'round {i}.{j}'")
            reached = database.value("SELECT pg_current_wal_lsn()::text")
            eventually(lambda: database.value("SELECT confirmed_flush_lsn >= %s::pg_lsn FROM pg_replication_slots", reached), 30, "the acknowledgement")
        server.kill9()
        if restarted:
            run.stop()
        server.start()
        if restarted:
            went_back += database.value("SELECT confirmed_flush_lsn < %s::pg_lsn FROM pg_replication_slots", reached)
            run.start()
        database.sql(f"UPDATE books SET title = 'after crash {i}' WHERE id = {1 + i}")
        bookstore.wait_equal(opensearch, index, lambda: bookstore.expected(database))
        eventually(lambda: run.condition("Ready").get("status") == "True", 60, lambda: f"Ready ({run.status()})")
    assert generation(run) == before, "the index was rebuilt"
    assert went_back or not restarted, "no crash has set the slot back"


@pytest.mark.long
def test_twenty_switchovers_and_crashes(cluster, worker, opensearch, index):
    random.seed(int(os.environ.get("E2E_SEED", "3")))
    run = worker(cluster.manifest(opensearch.url, index, failover=True)).start().wait_ready()
    for i in range(20):
        if i:
            cluster.add_standby()
        cluster.database.sql(f"UPDATE books SET title = 'round {i}' WHERE id = {1 + i % 25}")
        cluster.wait_for_slot()
        before = generation(run)
        lagging = random.random() < 0.3
        if not lagging:
            bookstore.wait_equal(opensearch, index, lambda: bookstore.expected(cluster.database))
            cluster.wait_for_wal()
        cluster.fail_over(crash=random.random() < 0.5)
        cluster.database.sql(f"UPDATE books SET title = 'round {i}, after' WHERE id = {2 + i % 20}; INSERT INTO authors (name) VALUES ('{i}')")
        bookstore.wait_equal(opensearch, index, lambda: bookstore.expected(cluster.database))
        eventually(lambda: run.condition("Ready").get("status") == "True", 60, lambda: f"Ready ({run.status()})")
        assert lagging or generation(run) == before, f"round {i}: the index was rebuilt although nothing was lost"
        time.sleep(1)
