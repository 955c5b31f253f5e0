"""Crashes and size: kill -9 at any moment, and a large table, leave every document equal to an independent query."""

import json
import random
import threading
import time

import bookstore
import pytest
from parts.process import memory_peak_kib
from parts.search import eventually

BOOKS, AUTHORS, LINKS = 200_000, 50_000, 300_000
MEMORY_KIB = 32 * 1024


@pytest.fixture
def large(own_postgres, unique, request):
    """200,000 books, or the part of them that the test asks for (a half, a quarter), on a durable server of the test's own."""
    database = own_postgres(conf={"max_wal_size": "8GB"}).create_database(unique)
    part = getattr(request, "param", 1)
    bookstore.generate(database, BOOKS // part, AUTHORS // part, LINKS // part)
    database.create_role()
    return database


@pytest.fixture
def index(unique, opensearch):
    name = unique.replace("_", "-")
    yield name
    opensearch.delete_indices(f"{name}-*")


@pytest.fixture
def manifest(large, opensearch, index):
    return [bookstore.secret("bookstore-postgres", password=large.role_password),
            bookstore.resource("books", large, opensearch.url, index=index)]


class Writer(threading.Thread):
    """Changes rows of all three tables at random, without a pause, until told to stop."""

    def __init__(self, database, seed):
        super().__init__(daemon=True)
        self.database, self.random = database, random.Random(seed)
        self.books, self.authors = (database.value(f"SELECT count(*) FROM {table}") for table in ("books", "authors"))
        self.stopping, self.transactions, self.error = threading.Event(), 0, None

    def run(self):
        try:
            with self.database.connect() as connection:
                while not self.stopping.is_set():
                    self.change(connection)
                    self.transactions += 1
        except Exception as error:
            self.error = error

    def change(self, connection):
        book, author = self.random.randint(1, self.books), self.random.randint(1, self.authors)
        kind = self.random.random()
        if kind < 0.6:
            connection.execute("UPDATE books SET price = price + 0.01, title = title || '.' WHERE id = %s", [book])
        elif kind < 0.7:
            connection.execute("UPDATE authors SET bio = 'changed ' || %s WHERE id = %s", [self.transactions, author])
        elif kind < 0.8:
            connection.execute("INSERT INTO book_authors SELECT %s, %s WHERE EXISTS (SELECT FROM books WHERE id = %s)"
                               " ON CONFLICT DO NOTHING", [book, author, book])
        elif kind < 0.9:
            connection.execute("DELETE FROM book_authors WHERE book_id = %s", [book])
        elif kind < 0.95:
            connection.execute("DELETE FROM books WHERE id = %s", [book])
        else:
            connection.execute("INSERT INTO books (isbn, title, price) VALUES ('new ' || %s, 'A new book', 1.50)",
                               [self.transactions])

    def finish(self):
        self.stopping.set()
        self.join()
        if self.error:
            raise self.error
        return self.transactions


def wait_done(run, database, timeout):
    """Waits until the worker has nothing left to do."""
    lsn = database.value("SELECT pg_current_wal_lsn()")

    def acknowledged():
        run.process.check()
        return database.value("SELECT coalesce(bool_and(confirmed_flush_lsn >= %s::pg_lsn), false) FROM pg_replication_slots"
                              " WHERE database = current_database()", lsn)

    eventually(acknowledged, timeout, lambda: f"the acknowledgement of {lsn} ({run.status()})", interval=0.2)
    eventually(lambda: run.condition("Ready").get("status") == "True", timeout, lambda: f"Ready ({run.status()})", interval=0.2)


def wait_equal(run, opensearch, index, database, timeout):
    """Waits until the worker has nothing left to do, then compares every document."""
    wait_done(run, database, timeout)
    assert not bookstore.differences(opensearch.documents(index), bookstore.expected(database))


def durable_block(opensearch, index):
    """The block of books below which everything is durable, according to the checkpoint; 0 as long as it has no ranges."""
    opensearch.request("POST", "pgsync-checkpoints/_refresh")
    # Requests of `pgsync dead-letters` are in that index, too.
    indices = [i for d in opensearch.documents("pgsync-checkpoints").values() for i in d.get("indices", []) if i["name"] == index]
    return max((r["nextBlock"] for i in indices for r in i["ranges"]), default=0)


def chunks_read(log):
    """The first blocks of the chunks that were read, a list for each start of the worker."""
    runs = []
    for line in log.read_text().splitlines():
        if '"message":"listening"' in line:
            runs.append([])
        elif '"message":"chunk read"' in line and "public.books" in line:
            runs[-1].append(json.loads(line)["from"])
    return runs


@pytest.mark.slow
@pytest.mark.parametrize("large, kills", [(2, 6), pytest.param(1, 20, marks=pytest.mark.long)], indirect=["large"])
def test_kills_during_bootstrap_and_writes(worker, manifest, large, opensearch, index, kills):
    pick = random.Random(20)
    writer = Writer(large, seed=1)
    writer.start()
    run = worker(manifest)
    durable = 0
    for number in range(kills):
        run.start()
        if number in (kills // 2 - 1, kills - 1):
            before = durable
            durable = eventually(lambda: max(durable_block(opensearch, index), before) - before, 60,
                                 lambda: f"a checkpoint beyond block {before} ({run.status()})", interval=0.2) + before
        else:
            time.sleep(pick.uniform(0.3, 2.0))
        assert run.process.alive, f"the worker ended on its own:\n{run.process.tail()}"
        run.kill9()
    run.start()
    time.sleep(2)
    assert writer.finish() > 1000
    wait_equal(run, opensearch, index, large, 180)
    assert opensearch.aliases(index) == [f"{index}-g1"], "a kill made the worker start from the beginning"
    begins = [min(blocks, default=None) for blocks in chunks_read(run.process.log)]
    assert begins[-1] >= durable, f"the bootstrap did not resume where it was, at block {durable} or later: {begins}"
    assert run.stop() == 0


@pytest.mark.slow
@pytest.mark.parametrize("large", [4], indirect=True)
def test_memory_stays_within_its_budget_at_any_size(worker, manifest, large, opensearch, index):
    run = worker(manifest).start()
    pid = run.process.pid
    wait_done(run, large, 180)
    after_bootstrap = memory_peak_kib(pid)
    # One transaction that touches every document, then one author that all of them share.
    large.sql("UPDATE books SET price = price + 1")
    wait_done(run, large, 180)
    after_transaction = memory_peak_kib(pid)
    large.sql("INSERT INTO book_authors SELECT id, 1 FROM books WHERE id %% 2 = 0 ON CONFLICT DO NOTHING".replace("%%", "%"))
    large.sql("UPDATE authors SET name = 'shared by many' WHERE id = 1")
    wait_equal(run, opensearch, index, large, 180)
    peaks = {"bootstrap": after_bootstrap, "transaction": after_transaction, "shared row": memory_peak_kib(pid)}
    assert max(peaks.values()) <= MEMORY_KIB, peaks
    assert run.stop() == 0
