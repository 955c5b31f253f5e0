"""An old write never wins: a document that was deleted stays deleted, whatever still arrives, and whatever happens to the
engine's memory of deletions.

A proxy holds bulk requests. The row is deleted, the engine is made to forget deletions, and only then is the request let
through. Each test checks the index after all of that, once the worker reports Ready.
"""

import json
import time

import bookstore
import pytest
from parts.faultproxy import FaultProxy
from parts.opensearch import chosen
from parts.search import eventually

ROWS = 300
LOST = 199  # the row whose document must not come back
# How long a worker that does not wait gets for its delete.
HEAD_START = 3


@pytest.fixture
def rows(database):
    database.sql("CREATE TABLE items (id int PRIMARY KEY, name text)")
    database.sql("INSERT INTO items SELECT i, 'item ' || i FROM generate_series(1, %s) i", ROWS)
    database.create_role()
    return database


def manifest(database, url, index, **settings):
    schema = [{"index": index, "setting": settings, "nodes": {"table": "items", "columns": ["id", "name"]}}]
    return [bookstore.secret("items-postgres", password=database.role_password),
            bookstore.resource("items", database, url, index=index, secret="items-postgres", spec={"schema": schema})]


def writes(id, *, delete=False):
    """Whether a bulk request writes (or deletes) this document."""
    line = b'{"%s":{"_id":"%d",' % (b"delete" if delete else b"index", id)
    return lambda path, body: "/_bulk" in path and line in body


def has_passed(proxy, wanted):
    return any(wanted(path, body) for _, path, _, body in list(proxy.recorded))


def wait_for_delete(proxy):
    """Waits until it has passed, or would have passed if it did not have to wait."""
    end = time.monotonic() + HEAD_START
    while time.monotonic() < end and not has_passed(proxy, writes(LOST, delete=True)):
        time.sleep(0.05)


def reopen(engine, index):
    engine.request("POST", f"{index}/_close")
    engine.request("POST", f"{index}/_open?wait_for_active_shards=1")


def collect_deletes(engine, index):
    """With index.gc_deletes of a second; they are collected when the index is refreshed."""
    for _ in range(3):
        time.sleep(1.1)
        engine.refresh(index)


def equal(engine, index, database, timeout=30):
    def differences():
        wanted = {str(id): {"id": id, "name": name} for id, name in database.sql("SELECT id, name FROM items")}
        return bookstore.differences(engine.documents(index), wanted) if engine.aliases(index) else "there is no alias"

    eventually(lambda: not differences(), timeout, lambda: f"equality ({differences()})", interval=0.2)


FORGETS = {"reopened": reopen, "gc_deletes": collect_deletes}


@pytest.mark.parametrize("forgets", FORGETS)
def test_row_deleted_while_its_chunk_is_under_way_stays_deleted(worker, rows, opensearch, index, fault_proxy, forgets):
    fault_proxy.recorded = []
    fault_proxy.hold(writes(LOST))
    run = worker(manifest(rows, fault_proxy.url, index, gc_deletes="1s")).start()
    eventually(lambda: fault_proxy.held, 30, "a request that holds the row")
    rows.sql("DELETE FROM items WHERE id = %s", LOST)
    wait_for_delete(fault_proxy)
    FORGETS[forgets](opensearch, f"{index}-g1")
    fault_proxy.release()
    run.wait_ready()
    equal(opensearch, index, rows)
    assert has_passed(fault_proxy, writes(LOST, delete=True)), "the test saw no delete"


def test_row_deleted_while_its_chunk_is_refused_stays_deleted(worker, rows, opensearch, index, fault_proxy):
    """What was read before the deletion is sent again and again."""
    fault_proxy.recorded = []
    fault_proxy.fail(429, wanted=writes(LOST))
    run = worker(manifest(rows, fault_proxy.url, index)).start()
    eventually(lambda: fault_proxy.failed, 30, "a refused request")
    rows.sql("DELETE FROM items WHERE id = %s", LOST)
    wait_for_delete(fault_proxy)
    reopen(opensearch, f"{index}-g1")
    fault_proxy.heal()
    run.wait_ready()
    equal(opensearch, index, rows)
    assert has_passed(fault_proxy, writes(LOST, delete=True)), "the test saw no delete"


@pytest.mark.parametrize("how", ["cut", 504, "killed"])
@pytest.mark.parametrize("forgets", FORGETS)
def test_chunk_that_arrives_after_its_worker_gave_it_up_restores_nothing(worker, rows, opensearch, index, fault_proxy, how, forgets):
    fault_proxy.recorded = []
    fault_proxy.hold(writes(LOST), "wait" if how == "killed" else how, most=1)
    run = worker(manifest(rows, fault_proxy.url, index, gc_deletes="1s")).start()
    eventually(lambda: fault_proxy.held, 30, "a request that holds the row")
    if how == "killed":
        run.kill9()
        run.start()
    run.wait_ready()
    assert opensearch.document(index, LOST), "the document is missing although its row exists"
    rows.sql("DELETE FROM items WHERE id = %s", LOST)
    equal(opensearch, index, rows)
    FORGETS[forgets](opensearch, f"{index}-g1")
    fault_proxy.release()
    assert fault_proxy.late and fault_proxy.late[0][0] == 200, "the request did not arrive"
    equal(opensearch, index, rows, timeout=5)
    assert opensearch.indices(f"{index}*") == [f"{index}-g1"], "the late request made an index"


@pytest.mark.parametrize("how", ["cut", 504, "killed"])
def test_change_that_arrives_after_its_worker_gave_it_up_restores_nothing(worker, rows, opensearch, index, fault_proxy, how):
    fault_proxy.recorded = []
    run = worker(manifest(rows, fault_proxy.url, index)).start()
    run.wait_ready()
    fault_proxy.hold(writes(LOST), "wait" if how == "killed" else how, most=1)
    rows.sql("UPDATE items SET name = 'changed' WHERE id = %s", LOST)
    eventually(lambda: fault_proxy.held, 30, "a request that holds the row")
    if how == "killed":
        run.kill9()
        run.start()
    equal(opensearch, index, rows)
    rows.sql("DELETE FROM items WHERE id = %s", LOST)
    equal(opensearch, index, rows)
    reopen(opensearch, f"{index}-g1")
    fault_proxy.release()
    assert fault_proxy.late and fault_proxy.late[0][0] == 200, "the request did not arrive"
    run.wait_ready()
    equal(opensearch, index, rows, timeout=5)
    assert opensearch.indices(f"{index}*") == [f"{index}-g1"], "the late request made an index"


def test_delete_that_arrives_late_makes_no_index(worker, rows, opensearch, index, fault_proxy):
    fault_proxy.recorded = []
    run = worker(manifest(rows, fault_proxy.url, index)).start()
    run.wait_ready()
    fault_proxy.hold(writes(LOST, delete=True), "cut", most=1)
    rows.sql("DELETE FROM items WHERE id = %s", LOST)
    equal(opensearch, index, rows)
    rows.sql("INSERT INTO items VALUES (%s, 'again')", LOST)
    equal(opensearch, index, rows)
    fault_proxy.release()
    (status, text), = fault_proxy.late
    assert status == 200 and json.loads(text)["items"][0]["delete"]["status"] == 400, text
    run.wait_ready()
    equal(opensearch, index, rows, timeout=5)
    assert opensearch.indices(f"{index}*") == [f"{index}-g1"]


@pytest.mark.slow
def test_node_that_starts_again_restores_nothing(worker, rows, state, unique, index):
    """Its shards remember no deletion. The request is let through when it is back."""
    with chosen()(state / f"engine-{unique}") as engine, FaultProxy(engine.url) as proxy:
        proxy.recorded = []
        proxy.hold(writes(LOST), "cut", most=1)
        run = worker(manifest(rows, proxy.url, index)).start()
        eventually(lambda: proxy.held, 30, "a request that holds the row")
        run.wait_ready()
        rows.sql("DELETE FROM items WHERE id = %s", LOST)
        equal(engine, index, rows)
        engine.stop(timeout=30)
        engine.start()
        proxy.release()
        run.wait_ready()
        equal(engine, index, rows)
        run.stop()


# --- a thousand old writes

ROUNDS, DOOMED = 20, 50
HOWS = ["wait", "cut", 504, "killed"]


def restart(engine, index):
    engine.stop(timeout=30)
    engine.start()


class Rebuild:
    """One rebuild of the index, some of whose requests are held while the rows in them are deleted."""

    def __init__(self, worker, database, engine, proxy, index, number):
        self.database, self.engine, self.proxy, self.index = database, engine, proxy, index
        self.doomed = range(10_000 * number, 10_000 * number + DOOMED)
        objects = manifest(database, proxy.url, index, gc_deletes="1s")
        objects[1]["spec"]["resyncNonce"] = number
        self.run = worker(objects)

    def holds_doomed(self, path, body):
        return "/_bulk" in path and any(b'{"index":{"_id":"%d",' % id in body for id in self.doomed)

    def newest(self):
        return max(self.engine.indices(f"{self.index}-g*"), key=lambda name: int(name.rsplit("-g", 1)[1]))

    def go(self, how, forgets):
        self.database.sql("INSERT INTO items SELECT i, repeat('to be deleted ', 100) FROM generate_series(%s::int, %s::int) i",
                          self.doomed[0], self.doomed[-1])
        self.proxy.hold(self.holds_doomed, "wait" if how == "killed" else how, most=2)
        self.run.start()
        eventually(lambda: self.proxy.held, 60, "a request that holds a doomed row")
        if how == "killed":
            self.run.kill9()
            self.run.start()
        for id in self.doomed:
            self.database.sql("DELETE FROM items WHERE id = %s", id)
        if how != "wait":
            self.run.wait_ready(120)
        else:
            time.sleep(0.5)
        forgets(self.engine, self.newest())
        self.proxy.release()
        self.run.wait_ready(120)
        equal(self.engine, self.index, self.database)
        self.run.stop()


@pytest.mark.long
@pytest.mark.parametrize("forgets", [*FORGETS, "restart"])
def test_a_thousand_rows_deleted_during_bootstraps_stay_deleted(worker, rows, state, unique, index, forgets):
    with chosen()(state / f"engine-{unique}") as engine, FaultProxy(engine.url) as proxy:
        for number in range(1, ROUNDS + 1):
            rebuild = Rebuild(worker, rows, engine, proxy, index, number)
            rebuild.go(HOWS[number % len(HOWS)], {**FORGETS, "restart": restart}[forgets])
        assert ROUNDS * DOOMED >= 1000 and proxy.late, "the test deleted too little"
