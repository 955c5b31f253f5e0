"""A primary, its standbys, and an address that leads to the one that serves."""

import contextlib
import os
import shutil
import socket
import threading

import bookstore
import pytest
from parts.ports import free_port
from parts.postgres import Postgres
from parts.search import eventually

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
        self.name = name.replace("_", "-")
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
        made = bookstore.resource(self.name, self.database, url, index=index, spec={f"source.replication.{k}": v for k, v in replication.items()})
        made["spec"]["source"]["port"] = self.address.port
        return [bookstore.secret("bookstore-postgres", password=self.database.role_password), made]

    def wait_for_slot(self):
        """The slot is on the standby, and may be used there."""
        eventually(lambda: self.standby.sql("SELECT 1 FROM pg_replication_slots WHERE synced AND NOT temporary AND slot_type = 'logical'"), 90,
                   lambda: f"a synchronized slot ({self.standby.sql('SELECT slot_name, temporary, synced FROM pg_replication_slots')})", interval=0.5)

    def wait_for_wal(self):
        """The standby has replayed what the primary has written."""
        lsn = self.primary.sql("SELECT pg_current_wal_insert_lsn()::text")[0][0]
        eventually(lambda: self.standby.sql("SELECT pg_last_wal_replay_lsn() >= %s::pg_lsn", lsn)[0][0], 30, "the standby's WAL")

    @contextlib.contextmanager
    def logging_snapshots(self):
        """Meanwhile the primary logs what is running, which a new slot on the standby waits for."""
        end = threading.Event()

        def log():
            while not end.wait(0.2):
                self.primary.sql("SELECT pg_log_standby_snapshot()")

        thread = threading.Thread(target=log)
        thread.start()
        try:
            yield
        finally:
            end.set()
            thread.join()

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
