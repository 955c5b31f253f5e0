"""spec.source.limits: how many sessions a worker has, how long its statements take, and how long it holds back vacuum."""

import bookstore
import pytest
from parts.search import eventually

SLOW = ("CREATE FUNCTION slow(price numeric) RETURNS numeric LANGUAGE plpgsql IMMUTABLE AS"
        " 'BEGIN PERFORM pg_sleep(greatest(price - 1000, 0)); RETURN price; END'")


def sessions(database):
    """What the worker's sessions are for, each with whether it has a snapshot."""
    return database.sql("SELECT substring(application_name FROM '[a-z]+$'), backend_xmin IS NOT NULL FROM pg_stat_activity"
                        " WHERE application_name LIKE 'pgsync %%' AND datname = current_database()")


@pytest.fixture
def slow(books, worker, opensearch, index):
    """A worker with a second for each statement. The price of a book, less 1000, is how many seconds its document takes."""
    books.sql(SLOW)
    nodes = {"table": "books", "columns": ["title"], "expressions": {"price": "slow(price)"}}
    return worker([bookstore.secret("bookstore-postgres", password=books.role_password),
                   bookstore.resource("books", books, opensearch.url, index=index,
                                      spec={"schema.0.nodes": nodes, "source.limits": {"statementTimeoutSeconds": 1}})]).start().wait_ready()


def test_changes_that_take_longer_than_a_statement_may_are_read_in_parts(slow, books, opensearch, index):
    books.sql("UPDATE books SET title = 'slow', price = 1000.05 WHERE id <= 12")
    eventually(lambda: [d["title"] for d in opensearch.documents(index).values()].count("slow") == 12, 60, lambda: f"twelve titles ({slow.status()})")
    assert slow.condition("Ready")["status"] == "True", slow.status()
    assert "canceling statement due to statement timeout" in books.server.log.read_text()


def test_a_row_that_takes_longer_than_a_statement_may_is_reported_and_not_skipped(slow, books, opensearch, index):
    books.sql("UPDATE books SET title = 'too slow', price = 1002 WHERE id = 1; UPDATE books SET title = 'fast' WHERE id = 2")
    told = eventually(lambda: slow.condition("Ready").get("reason") == "LimitExceeded" and slow.condition("Ready"), 60,
                      lambda: f"LimitExceeded ({slow.status()})")
    for part in (f'"{index}"', "the document of one row (public.books, id 1)", "spec.source.limits.statementTimeoutSeconds", "missing index"):
        assert part in told["message"], told
    assert slow.condition("Degraded")["status"] == "False", slow.status()
    books.sql("UPDATE books SET price = 5 WHERE id = 1")
    eventually(lambda: {opensearch.documents(index)[i]["title"] for i in "12"} == {"too slow", "fast"}, 60, lambda: f"both titles ({slow.status()})")
    eventually(lambda: slow.condition("Ready").get("status") == "True", 60, lambda: f"Ready ({slow.status()})")


def test_a_bootstrap_keeps_to_its_sessions_and_gives_up_its_snapshot_while_the_engine_takes_nothing(database, worker, fault_proxy, opensearch, index):
    bookstore.generate(database, 5000, 1000, 8000)
    database.create_role()
    fault_proxy.hold(lambda path, body: "_bulk" in path)
    run = worker([bookstore.secret("bookstore-postgres", password=database.role_password),
                  bookstore.resource("books", database, fault_proxy.url, index=index, spec={
                      "source.limits": {"connections": 5, "snapshotAgeSeconds": 1}, "bootstrap.parallelism": 8,
                      "sink.bulk": {"maxBytes": 65536, "concurrency": 1}})]).start()
    # The first chunk is larger than the requests that may be under way, so it cannot be read to its end.
    eventually(lambda: ("bootstrap", True) in sessions(database), 60, lambda: f"a snapshot of the bootstrap ({run.status()})", interval=0.02)
    eventually(lambda: fault_proxy.held, 60, "a bulk request")
    seen = eventually(lambda: (now := sessions(database)) and ("bootstrap", False) in now and now, 30,
                      lambda: f"the end of the snapshot ({sessions(database)})")
    assert fault_proxy.held, "the engine has answered"
    assert sum(purpose == "bootstrap" for purpose, _ in seen) == 1, seen
    assert len(seen) <= 5, seen
    fault_proxy.release()
    run.wait_ready()
    bookstore.wait_equal(opensearch, index, lambda: bookstore.expected(database))
