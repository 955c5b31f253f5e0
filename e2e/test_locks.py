"""pgsync stays out of the application's way: no migration becomes a deadlock victim, and no statement waits because of pgsync."""

import os
import random
import subprocess
import threading
import time

import bookstore
import psycopg
import pytest
from parts.operator import BIN
from parts.search import eventually

# How long the worker may hold up others: for a read of documents under load, on a busy machine.
LONGEST_WAIT = 2.0


class Background:
    """Calls `step` again and again in a thread with its own connection, and keeps what it raises."""

    def __init__(self, database, step, pause):
        self.database, self.step, self.pause = database, step, pause
        self.ending, self.failure = threading.Event(), None
        self.thread = threading.Thread(target=self._run, daemon=True)

    def _run(self):
        try:
            with self.database.connect() as connection:
                while not self.ending.wait(self.pause):
                    self.step(connection)
        except Exception as e:
            self.failure = e

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *exc):
        self.ending.set()
        self.thread.join(30)
        if self.failure and not exc[0]:
            raise self.failure


class Blocked:
    """The longest time that other sessions waited for ours without a break."""

    def __init__(self):
        self.since, self.longest, self.what = {}, 0, None

    def __call__(self, connection):
        now = time.monotonic()
        waiting = connection.execute(
            "SELECT a.pid, a.query FROM pg_stat_activity a WHERE a.wait_event_type = 'Lock' AND EXISTS (SELECT FROM pg_stat_activity b"
            " WHERE b.pid = ANY (pg_blocking_pids(a.pid)) AND b.application_name LIKE 'pgsync %') AND a.application_name NOT LIKE 'pgsync %'").fetchall()
        self.since = {pid: self.since.get(pid, now) for pid, _ in waiting}
        for pid, query in waiting:
            if now - self.since[pid] > self.longest:
                self.longest, self.what = now - self.since[pid], query


TABLES = ["books", "authors", "book_authors"]


def change(connection):
    """One row of one table, so the application cannot deadlock with a migration."""
    table = random.choice(["books", "authors"])
    column = {"books": "title", "authors": "bio"}[table]
    connection.execute(f"UPDATE {table} SET {column} = md5(random()::text) WHERE id = (SELECT min(id) + floor(random() * count(*))::bigint FROM {table})")


def migration(number):
    """Statements of one transaction, over the tables in random order."""
    statements = []
    for table in random.sample(TABLES, len(TABLES)):
        statements.append(random.choice([
            f"ALTER TABLE {table} ADD COLUMN extra_{number} int",
            f"CREATE INDEX ON {table} ((1 + {number}))",
            f"ALTER TABLE {table} ADD CONSTRAINT check_{number} CHECK (true)",
            f"REINDEX TABLE {table}",
            f"CLUSTER {table} USING {table}_pkey",
            f"LOCK TABLE {table}",
            f"CREATE TABLE copy_{number}_{table} AS TABLE {table}; TRUNCATE {table} CASCADE; INSERT INTO {table} OVERRIDING SYSTEM VALUE TABLE copy_{number}_{table}"
            if table == "book_authors" else f"ALTER TABLE {table} ALTER COLUMN id SET STATISTICS {number % 1000}",
        ]))
    return statements


def migrate(connection, number):
    if random.random() < 0.15:
        connection.execute(f"VACUUM FULL {random.choice(TABLES)}")
        return
    with connection.transaction():
        for statement in migration(number):
            for each in statement.split("; "):
                connection.execute(each)
            # Sometimes longer than deadlock_timeout.
            time.sleep(random.choice([0, 0, 0.1, 0.3, 1.2]))


def run_migrations(database, worker, manifest, opensearch, index, n):
    run = worker(manifest).start()
    blocked = Blocked()
    with Background(database, change, 0.002), Background(database, change, 0.002), Background(database, blocked, 0.02), database.connect() as admin:
        admin.execute("SET application_name = 'migration'")
        for i in range(n):
            try:
                migrate(admin, i)
            except psycopg.errors.DeadlockDetected as e:
                raise AssertionError(f"migration {i} became the victim of a deadlock: {e}") from None
    assert blocked.longest < LONGEST_WAIT, f"{blocked.what} waited {blocked.longest:.1f} s for pgsync"
    eventually(lambda: run.condition("Ready").get("status") == "True", 120, lambda: f"Ready ({run.status()})")
    bookstore.wait_equal(opensearch, index, lambda: bookstore.expected(database))
    run.process.check()


@pytest.fixture
def big(database):
    """So many books that their bootstrap takes as long as the first migrations."""
    bookstore.generate(database, 5000, 1000, 8000)
    database.create_role()
    return database


@pytest.fixture
def big_manifest(big, opensearch, index):
    return [bookstore.secret("bookstore-postgres", password=big.role_password),
            bookstore.resource("books", big, opensearch.url, index=index)]


def test_migrations_in_any_order_are_not_deadlocked_or_held_up(big, worker, big_manifest, opensearch, index):
    random.seed(1)
    run_migrations(big, worker, big_manifest, opensearch, index, 15)


@pytest.mark.long
def test_five_hundred_migrations(big, worker, big_manifest, opensearch, index):
    random.seed(int(os.environ.get("E2E_SEED", "2")))
    run_migrations(big, worker, big_manifest, opensearch, index, 500)


REVIEWS = "CREATE TABLE reviews (id bigint PRIMARY KEY, book_id bigint REFERENCES books, stars int); INSERT INTO reviews VALUES (1, 1, 5), (2, 1, 3)"


def with_reviews(books, opensearch, index, **spec):
    nodes = {"table": "books", "columns": ["title"], "children": [
        {"table": "reviews", "columns": ["stars"], "relationship": {"type": "one_to_many", "variant": "object"}}]}
    return [bookstore.secret("bookstore-postgres", password=books.role_password),
            bookstore.resource("books", books, opensearch.url, index=index, spec={"schema.0.nodes": nodes, **spec})]


def test_replica_identity_does_not_queue_in_front_of_the_application(books, worker, opensearch, index):
    books.sql(REVIEWS)
    books.own_tables()
    longest = 0

    def read(connection):
        nonlocal longest
        begin = time.monotonic()
        connection.execute("SELECT count(*) FROM reviews")
        longest = max(longest, time.monotonic() - begin)

    with books.connect(application_name="the nightly dump") as dump, Background(books, read, 0.01):
        dump.execute("BEGIN; SELECT FROM reviews")
        run = worker(with_reviews(books, opensearch, index)).start()
        told = eventually(lambda: run.condition("Ready").get("reason") == "TableLocked" and run.condition("Ready"), 60,
                          lambda: f"TableLocked ({run.status()})")
        for part in (f"process {dump.info.backend_pid}", '"the nightly dump"', 'ALTER TABLE "public"."reviews" REPLICA IDENTITY'):
            assert part in told["message"], told
        time.sleep(5)
        assert longest < 0.5, f"a read of the application waited {longest:.1f} s"
        dump.execute("COMMIT")
        eventually(lambda: run.condition("Ready").get("status") == "True", 60, lambda: f"Ready ({run.status()})")


def test_a_table_that_stays_locked_is_named_with_the_session_that_locks_it(books, worker, opensearch, index):
    made = [bookstore.secret("bookstore-postgres", password=books.role_password),
            bookstore.resource("books", books, opensearch.url, index=index, spec={"lagTargetSeconds": 2})]
    run = worker(made).start().wait_ready()
    with books.connect(application_name="a long migration") as admin:
        admin.execute("BEGIN; LOCK TABLE authors")
        books.sql("UPDATE books SET title = 'waits' WHERE id = 1")
        eventually(lambda: "authors" in run.condition("Ready").get("message", ""), 30, lambda: f"the lock ({run.status()})")
        told = run.condition("Ready")
        assert told["reason"] == "LagExceedsTarget"
        for part in ('table "public.authors"', f"process {admin.info.backend_pid}", '"a long migration"', "AccessExclusiveLock"):
            assert part in told["message"], told
        admin.execute("COMMIT")
    eventually(lambda: run.condition("Ready").get("status") == "True", 30, lambda: f"Ready ({run.status()})")
    bookstore.wait_equal(opensearch, index, lambda: bookstore.expected(books))
    assert "locked" not in run.condition("Ready")["message"]


def waits(database):
    """Whether a session of pgsync has waited for the lock of a relation for longer than the server takes to look for deadlocks."""
    return database.value("SELECT EXISTS (SELECT FROM pg_locks l JOIN pg_stat_activity a USING (pid) WHERE NOT l.granted AND l.locktype = 'relation'"
                          " AND a.application_name LIKE 'pgsync %%' AND a.datname = current_database() AND l.waitstart < now() - interval '1.2 seconds')")


def test_a_migration_is_not_deadlocked_by_the_publication(books, worker, manifest, opensearch, index):
    run = worker(manifest)
    with books.connect() as admin:
        # The mode in which VACUUM, ANALYZE, CREATE INDEX CONCURRENTLY and VALIDATE CONSTRAINT lock a table.
        admin.execute("BEGIN; LOCK TABLE book_authors IN SHARE UPDATE EXCLUSIVE MODE")
        run.start()
        eventually(lambda: waits(books) or run.condition("Ready").get("reason") == "TableLocked", 60, lambda: f"a lock that is in the way ({run.status()})")
        for table in ("authors", "books"):
            admin.execute(f"CREATE INDEX ON {table} ((1))")
        told = eventually(lambda: run.condition("Ready").get("reason") == "TableLocked" and run.condition("Ready"), 60, lambda: f"TableLocked ({run.status()})")
        for part in ('table "public.book_authors"', f"process {admin.info.backend_pid}", "ALTER PUBLICATION"):
            assert part in told["message"], told
        admin.execute("COMMIT")
    run.wait_ready()
    bookstore.wait_equal(opensearch, index, lambda: bookstore.expected(books))


def test_a_migration_is_not_deadlocked_by_the_reading_of_views(books, worker, opensearch, index):
    books.sql("CREATE VIEW names AS SELECT l.book_id, l.author_id, b.title, a.name FROM authors a JOIN book_authors l ON l.author_id = a.id"
              " JOIN books b ON b.id = l.book_id")
    books.sql(f"ALTER VIEW names OWNER TO {books.role}")
    nodes = {"table": "names", "primary_key": ["book_id", "author_id"], "base_tables": ["authors", "book_authors", "books"], "columns": ["title", "name"]}
    run = worker([bookstore.secret("bookstore-postgres", password=books.role_password),
                  bookstore.resource("books", books, opensearch.url, index=index, spec={"schema.0.nodes": nodes})]).start().wait_ready()
    with books.connect() as admin:
        admin.execute("BEGIN; LOCK TABLE books")
        seen = run.process.log.read_text().count("locked")
        eventually(lambda: waits(books) or run.process.log.read_text().count("locked") > seen, 30, lambda: f"a lock that is in the way ({run.status()})")
        admin.execute("LOCK TABLE book_authors; LOCK TABLE authors")
        admin.execute("UPDATE books SET title = 'by the migration' WHERE id = 1; COMMIT")
    eventually(lambda: "by the migration" in [d["title"] for d in opensearch.documents(index).values()], 30, lambda: f"the change ({run.status()})")
    assert run.condition("Ready")["status"] == "True", run.status()


def test_a_table_that_stays_locked_leaves_few_errors_in_the_log_of_the_server(books, worker, manifest):
    run = worker(manifest).start().wait_ready()
    log = books.server.log
    with books.connect() as admin:
        admin.execute("BEGIN; LOCK TABLE authors")
        before = log.stat().st_size
        books.sql("UPDATE books SET title = 'waits' WHERE id = 1")
        time.sleep(3)
        with log.open() as lines:
            lines.seek(before)
            errors = [line for line in lines if "could not obtain lock" in line or "lock timeout" in line]
        admin.execute("COMMIT")
    assert len(errors) < 6, errors
    eventually(lambda: run.condition("Ready").get("status") == "True", 30, lambda: f"Ready ({run.status()})")


def test_an_autovacuum_gives_way_to_the_publication(own_postgres, worker, opensearch, index):
    database = own_postgres(conf={"autovacuum_naptime": "1s"}).create_database("shop")
    bookstore.generate(database, 3000, 10, 3000)
    database.create_role()
    # It takes minutes: it pauses after each page.
    database.sql("ALTER TABLE books SET (autovacuum_vacuum_threshold = 0, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_cost_delay = 100,"
                 " autovacuum_vacuum_cost_limit = 1)")
    database.sql("UPDATE books SET title = title || '!'")
    eventually(lambda: database.value("SELECT EXISTS (SELECT FROM pg_locks WHERE relation = 'books'::regclass AND mode = 'ShareUpdateExclusiveLock')"),
               60, "an autovacuum")
    run = worker([bookstore.secret("bookstore-postgres", password=database.role_password),
                  bookstore.resource("books", database, opensearch.url, index=index)]).start().wait_ready()
    assert "canceling autovacuum task" in database.server.log.read_text()
    run.stop()


def migrate_while_the_engine_is_silent(database, proxy, statements):
    """Runs each statement, which has to end before the engine answers. What it waits for is given up after a minute at the latest."""
    for statement in statements:
        with database.connect(application_name="migration") as admin:
            admin.execute("SET statement_timeout = '20s'")
            seen = set()

            def look(connection, pid=admin.info.backend_pid, seen=seen):
                seen.update(connection.execute("SELECT application_name, query FROM pg_stat_activity WHERE pid = ANY (pg_blocking_pids(%s))", [pid]).fetchall())

            with Background(database, look, 0.05):
                try:
                    admin.execute(statement)
                except psycopg.errors.QueryCanceled:
                    raise AssertionError(f"{statement} waited for {seen}") from None
    assert proxy.held, "the engine has answered"


def small_requests(database, proxy, index):
    return [bookstore.secret("bookstore-postgres", password=database.role_password),
            bookstore.resource("books", database, proxy.url, index=index, spec={"sink.bulk": {"maxBytes": 65536, "concurrency": 1}})]


def test_a_migration_does_not_wait_until_the_engine_has_taken_a_change(big, worker, fault_proxy, opensearch, index):
    run = worker(small_requests(big, fault_proxy, index)).start().wait_ready()
    fault_proxy.hold(lambda path, body: "_bulk" in path)
    # Each is part of several books: more documents than the requests hold that may be under way, and more keys than a page.
    big.sql("UPDATE authors SET name = repeat(md5(name), 10)")
    eventually(lambda: fault_proxy.held, 60, lambda: f"a bulk request ({run.status()})")
    migrate_while_the_engine_is_silent(big, fault_proxy, ["ALTER TABLE authors ADD COLUMN extra int", "BEGIN; LOCK TABLE books; COMMIT", "TRUNCATE book_authors"])
    fault_proxy.release()
    bookstore.wait_equal(opensearch, index, lambda: bookstore.expected(big))
    assert run.condition("Ready")["status"] == "True", run.status()


def reads(database, purpose):
    """Whether a transaction of the worker has been open for so long that it does not end by itself soon."""
    return database.value("SELECT EXISTS (SELECT FROM pg_stat_activity a JOIN pg_locks l USING (pid) WHERE l.relation = 'books'::regclass AND l.granted"
                          " AND a.application_name LIKE %s AND a.datname = current_database() AND a.xact_start < now() - interval '0.3 seconds')",
                          f"pgsync % {purpose}")


def migrate_at_once(database, statement="ALTER TABLE books ADD COLUMN extra int"):
    with database.connect(application_name="migration") as admin:
        admin.execute("SET lock_timeout = '20s'")
        begin = time.monotonic()
        try:
            admin.execute(statement)
        except psycopg.errors.LockNotAvailable:
            raise AssertionError(f"{statement} waited for 20 s") from None
        waited = time.monotonic() - begin
    assert waited < LONGEST_WAIT, f"{statement} waited for {waited:.1f} s"


def test_a_migration_does_not_wait_for_a_bootstrap_until_the_engine_has_taken_its_documents(big, worker, fault_proxy, opensearch, index):
    fault_proxy.hold(lambda path, body: "_bulk" in path)
    run = worker(small_requests(big, fault_proxy, index)).start()
    eventually(lambda: fault_proxy.held and reads(big, "bootstrap"), 60, lambda: f"a bootstrap that waits for the engine ({run.status()})")
    migrate_at_once(big)
    assert fault_proxy.held, "the engine has answered"
    fault_proxy.release()
    run.wait_ready()
    bookstore.wait_equal(opensearch, index, lambda: bookstore.expected(big))


# The price of a book, less 1000, is how many seconds each use of it takes; its document has several.
SLOW = ("CREATE FUNCTION slow(price numeric) RETURNS numeric LANGUAGE plpgsql IMMUTABLE AS"
        " 'BEGIN PERFORM pg_sleep(greatest(price - 1000, 0)); RETURN price; END'")


def slow_books(books, opensearch, index):
    books.sql(SLOW)
    nodes = {"table": "books", "columns": ["title"], "expressions": {"price": "slow(price)"}}
    return [bookstore.secret("bookstore-postgres", password=books.role_password),
            bookstore.resource("books", books, opensearch.url, index=index, spec={"schema.0.nodes": nodes})]


def test_a_migration_does_not_wait_for_a_look_at_a_document(books, worker, opensearch, index):
    run = worker(slow_books(books, opensearch, index)).start().wait_ready()
    run.stop()
    books.sql("UPDATE books SET price = 1005 WHERE id = 1")
    look = subprocess.Popen([BIN / "pgsync", "compare", "1", "-f", run.manifest], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    eventually(lambda: reads(books, "console"), 60, "a look at a document")
    migrate_at_once(books)
    said, _ = look.communicate(timeout=60)
    assert look.returncode == 3 and "another session waits for the tables that are read" in said, said


def titles(opensearch, index):
    return {document["title"] for document in opensearch.documents(index).values()}


def test_a_migration_does_not_wait_for_a_long_query(books, worker, opensearch, index):
    run = worker(slow_books(books, opensearch, index)).start().wait_ready()
    books.sql("UPDATE books SET title = 'slow', price = 1000.6 WHERE id = 1; UPDATE books SET title = 'fast' WHERE id = 2")
    eventually(lambda: reads(books, "applier"), 60, lambda: f"a long query ({run.status()})")
    migrate_at_once(books)
    assert "slow" not in titles(opensearch, index)
    eventually(lambda: {"slow", "fast"} <= titles(opensearch, index), 60, lambda: f"both titles ({run.status()})")
    eventually(lambda: run.condition("Ready").get("status") == "True", 60, lambda: f"Ready ({run.status()})")
    assert run.condition("Degraded")["status"] == "False", run.status()


def follow_slow_view(books, worker, opensearch, index, view, price, filling, following):
    """Migrates while the view NAMES, of this kind, is read or refreshed: first to fill the index, then to follow a change.
    filling, following: which session does that, and what for a message."""
    books.sql(SLOW)
    books.sql(view)
    books.sql(f"UPDATE books SET title = 'slow', price = {price} WHERE id = 1")
    nodes = {"table": "names", "primary_key": ["id"], "base_tables": ["books"], "columns": ["title", "price"]}
    run = worker([bookstore.secret("bookstore-postgres", password=books.role_password),
                  bookstore.resource("books", books, opensearch.url, index=index, spec={"schema.0.nodes": nodes})]).start()
    eventually(lambda: reads(books, filling[0]), 60, lambda: f"{filling[1]} ({run.status()})")
    migrate_at_once(books)
    run.wait_ready()
    assert len(opensearch.documents(index)) == books.value("SELECT count(*) FROM books")
    books.sql("UPDATE books SET title = 'slower' WHERE id = 1")
    eventually(lambda: reads(books, following[0]), 60, lambda: f"{following[1]} ({run.status()})")
    migrate_at_once(books, "ALTER TABLE books ADD COLUMN another int")
    eventually(lambda: "slower" in titles(opensearch, index), 60, lambda: f"the change ({run.status()})")


def test_a_migration_does_not_wait_for_a_view(books, worker, opensearch, index):
    follow_slow_view(books, worker, opensearch, index,
                     "CREATE VIEW names AS SELECT id, title, slow(price) AS price FROM books;"
                     f"ALTER VIEW names OWNER TO {books.role}", 1000.6,
                     ("bootstrap", "a view that is read"), ("applier", "a view that is read"))


def test_a_migration_does_not_wait_until_a_materialized_view_is_refreshed(books, worker, opensearch, index):
    follow_slow_view(books, worker, opensearch, index,
                     "CREATE MATERIALIZED VIEW names AS SELECT id, title, slow(price) AS price FROM books WITH NO DATA;"
                     f"CREATE UNIQUE INDEX ON names (id); ALTER MATERIALIZED VIEW names OWNER TO {books.role}", 1005,
                     ("refresh", "a view that is filled"), ("applier", "a view that is refreshed"))
    assert opensearch.aliases(index) == [f"{index}-g1"], "the index was rebuilt"


def test_migrations_in_a_row_do_not_keep_a_document_from_being_read(books, worker, opensearch, index):
    run = worker(slow_books(books, opensearch, index)).start().wait_ready()

    def lock(connection):
        with connection.transaction():
            connection.execute("LOCK TABLE books")

    with Background(books, lock, 0.3):
        books.sql("UPDATE books SET title = 'slow', price = 1000.3 WHERE id = 1")
        eventually(lambda: "slow" in titles(opensearch, index), 120, lambda: f"the change ({run.status()})")
    eventually(lambda: run.condition("Ready").get("status") == "True", 60, lambda: f"Ready ({run.status()})")
