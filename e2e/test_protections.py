"""Protections that nothing else could replace: documents are read only from what every session sees, and a change is
acknowledged only once it is durable. Each test fails if its protection is removed (`make mutants`).
"""

import threading
import time

import bookstore
import pytest
from parts.search import eventually

HELD_SECONDS = 5


class HeldCommit:
    """A transaction whose COMMIT waits for a synchronous standby that does not exist, for as long as a test likes: the server
    has flushed and sent it, and no snapshot contains it yet."""

    def __init__(self, database, statement):
        self.database = database
        self.thread = threading.Thread(target=database.sql, args=(statement,), daemon=True)

    def __enter__(self):
        self._standbys("absent")
        self.thread.start()
        eventually(lambda: self.database.sql("SELECT 1 FROM pg_stat_activity WHERE datname = current_database() AND wait_event = 'SyncRep'"),
                   30, "a commit that waits for the standby")
        return self

    def _standbys(self, names):
        self.database.server.set(synchronous_standby_names=names)
        eventually(lambda: self.database.value("SHOW synchronous_standby_names") == names, 30, "the new setting")
        self.database.sql("CHECKPOINT")  # the checkpointer tells the other processes before this time

    def release(self):
        self._standbys("")
        self.thread.join(30)
        assert not self.thread.is_alive(), "the commit still waits"

    def __exit__(self, *exc):
        if self.thread.is_alive():
            self._standbys("")


@pytest.fixture
def database(own_postgres, unique):
    made = own_postgres().create_database(unique)
    bookstore.load(made)
    made.create_role()
    return made


@pytest.fixture
def manifest(database, opensearch, index):
    return [bookstore.secret("bookstore-postgres", password=database.role_password),
            bookstore.resource("books", database, opensearch.url, index=index)]


def wait_equal(opensearch, index, database):
    wanted = bookstore.expected(database)
    eventually(lambda: not bookstore.differences(opensearch.documents(index), wanted), 60,
               lambda: f"equality ({bookstore.differences(opensearch.documents(index), wanted)})", interval=0.2)
    return wanted


def commit_locally(database, statement):
    """A commit that does not wait for standbys."""
    with database.connect() as connection:
        connection.execute("SET synchronous_commit = local")
        connection.execute(statement)


def observe(database):
    """Creates a slot for the test, which from now on shows where each commit is in the WAL."""
    database.sql("SELECT pg_create_logical_replication_slot('observer', 'pgoutput')")


def first_commit(database):
    """The position of the first commit since then that the worker is sent."""
    (publication,) = database.publications()
    return database.value("SELECT min(lsn)::text FROM pg_logical_slot_peek_binary_changes('observer', NULL, NULL, 'proto_version', '1',"
                          " 'publication_names', %s) WHERE get_byte(data, 0) = ascii('C')", publication)


def not_acknowledged(database, lsn):
    return database.value("SELECT confirmed_flush_lsn <= %s::pg_lsn FROM pg_replication_slots WHERE slot_name <> 'observer'", lsn)


def wait_until_sent(database):
    """Waits until the server has sent all that it has flushed."""
    lsn = database.value("SELECT pg_current_wal_flush_lsn()")
    eventually(lambda: database.value("SELECT bool_and(sent_lsn >= %s::pg_lsn) FROM pg_stat_replication", lsn), 30, "the WAL at the worker")


def test_commit_that_is_not_visible_yet_is_neither_written_nor_acknowledged(worker, manifest, database, opensearch, index):
    run = worker(manifest).start().wait_ready()
    before = opensearch.request("GET", f"{index}/_doc/1")
    observe(database)
    with HeldCommit(database, "UPDATE books SET title = 'held' WHERE id = 1") as held:
        # A later commit that is visible must not advance the acknowledgement past it.
        commit_locally(database, "UPDATE books SET title = 'visible' WHERE id = 2")
        wait_until_sent(database)
        lsn = first_commit(database)
        end = time.monotonic() + HELD_SECONDS
        while time.monotonic() < end:
            assert not_acknowledged(database, lsn), "a commit that is not visible was acknowledged"
            found = opensearch.request("GET", f"{index}/_doc/1")
            assert found["_version"] == before["_version"], "the old content was written with the version of the new one"
            time.sleep(0.1)
        assert database.value("SELECT title FROM books WHERE id = 1") == before["_source"]["title"], "the commit is visible"
        held.release()
    assert wait_equal(opensearch, index, database)["1"]["title"] == "held"
    run.process.check()


@pytest.mark.parametrize("prepared", [False, True])
def test_bootstrap_waits_for_the_newest_transaction_that_the_slot_comes_after(worker, manifest, database, opensearch, index, prepared):
    """A transaction that commits while the server waits for others to create the slot is not in the stream, so no row may be
    read before everyone sees it. No later transaction has ended: the server's snapshots do not list such a one as running."""

    def open_transaction(connection):
        connection.execute("BEGIN")
        return connection.execute("SELECT pg_current_xact_id()::xid::text").fetchone()[0]

    def slot_awaits(xid):
        eventually(lambda: database.sql("SELECT 1 FROM pg_locks WHERE locktype = 'transactionid' AND NOT granted AND transactionid = %s::xid", xid),
                   30, f"the creation of the slot to wait for transaction {xid}")

    with database.connect() as first, database.connect() as second:
        before = open_transaction(first)
        run = worker(manifest).start()
        slot_awaits(before)
        meanwhile = open_transaction(second)
        first.execute("ROLLBACK")
        slot_awaits(meanwhile)
        statement = "UPDATE books SET title = 'held' WHERE id = 1"
        if prepared:
            database.sql(f"BEGIN; {statement}; PREPARE TRANSACTION 'held'")
            statement = "COMMIT PREPARED 'held'"
        with HeldCommit(database, statement) as held:
            second.execute("ROLLBACK")
            time.sleep(HELD_SECONDS)
            held.release()
    run.wait_ready()
    wait_equal(opensearch, index, database)


def test_change_that_the_engine_has_not_accepted_is_not_acknowledged(worker, manifest, database, opensearch, index, fault_proxy):
    manifest[1]["spec"]["sink"]["urls"] = [fault_proxy.url]
    run = worker(manifest).start().wait_ready()
    fault_proxy.fail(503, path="/_bulk")
    observe(database)
    database.sql("UPDATE books SET title = 'not taken yet' WHERE id = 1")
    wait_until_sent(database)
    lsn = first_commit(database)
    end = time.monotonic() + HELD_SECONDS
    while time.monotonic() < end:
        assert not_acknowledged(database, lsn), "a change that the engine has not taken was acknowledged"
        # Nor must a later change advance the acknowledgement past it.
        database.sql("UPDATE books SET price = price + 1 WHERE id = 2")
        time.sleep(0.1)
    assert fault_proxy.failed, "the worker sent nothing"
    run.kill9()
    fault_proxy.heal()
    run.start()
    assert wait_equal(opensearch, index, database)["1"]["title"] == "not taken yet"


def test_table_that_a_later_commit_empties_is_not_read_as_empty(worker, manifest, database, opensearch, index, fault_proxy):
    """TRUNCATE is not MVCC-safe: a snapshot from before its commit sees the table empty, so tables are locked first. Each change
    arrives while a transaction that has emptied the table is still open, and is read shortly before or after its commit."""
    manifest[1]["spec"]["sink"]["urls"] = [fault_proxy.url]
    worker(manifest).start().wait_ready()
    fault_proxy.recorded = []
    with database.connect() as emptying, database.connect() as changing:
        for i in range(100):
            with emptying.transaction():
                emptying.execute("CREATE TEMPORARY TABLE kept ON COMMIT DROP AS SELECT * FROM book_authors")
                emptying.execute("TRUNCATE book_authors")
                emptying.execute("INSERT INTO book_authors SELECT * FROM kept")
                changing.execute("UPDATE books SET title = %s WHERE id = 1", [f"read meanwhile {i}"])
                time.sleep(i % 20 / 1000)
    wait_equal(opensearch, index, database)
    bodies = [body.decode() for _, path, _, body in fault_proxy.recorded if "/_bulk" in path]
    assert any("read meanwhile" in body for body in bodies)
    assert not any('"authors":null' in body for body in bodies), "a table that a later commit emptied was read as empty"
