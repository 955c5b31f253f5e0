"""Two operators, one leader: whatever happens to it, the other takes over, and two workers never stream for one resource."""

import os
import signal
import threading
import time
from contextlib import contextmanager

import bookstore
import pytest
from parts.operator import NAMESPACE
from parts.search import eventually

NAME = "books"
PATIENCE = 60


@contextmanager
def watched_streams(database):
    """Counts the walsenders that stream from a database all the time; ends with how many there were at most at once.

    A walsender that has connected but not begun belongs to a successor that is about to end its predecessor."""
    most, stop = [0], threading.Event()

    def watch():
        with database.connect() as connection:
            while not stop.wait(0.02):
                (count,) = connection.execute(
                    "SELECT count(*) FROM pg_stat_replication WHERE state IN ('streaming', 'catchup')"
                    " AND pid IN (SELECT pid FROM pg_stat_activity WHERE datname = current_database())").fetchone()
                most[0] = max(most[0], count)

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    try:
        yield most
    finally:
        stop.set()
        thread.join()


def holder(kube):
    leases = kube.kubectl.json("get", "leases", "--namespace", NAMESPACE)["items"]
    return leases[0]["spec"].get("holderIdentity") if leases else None


def touch(database, price):
    """A change whose arrival in the index proves that a stream works."""
    database.sql("UPDATE books SET price = %s WHERE title = 'Neuromancer'", price)
    return bookstore.expected(database)


def wait_for(opensearch, index, wanted):
    eventually(lambda: opensearch.document(index, "1") == wanted["1"], PATIENCE, "the change in the index")


@pytest.fixture
def pair(make_operator, resources, books, opensearch, unique, kube):
    """Two operators; the first leads, and its bookstore is Ready."""
    leader = make_operator("first").start()
    index = unique.replace("_", "-")
    resources.apply_books(NAME, books, opensearch.url, index=index)
    resources.wait(NAME)
    other = make_operator("second").start()
    time.sleep(3)  # the second has tried for the Lease at least once
    assert leader.workers() and not other.workers()
    yield leader, other, index
    for operator in (leader, other):
        if operator.process.alive:
            operator.process.resume()


def test_another_replica_takes_over_when_the_leader_is_killed(pair, books, opensearch, resources, kube):
    leader, other, index = pair
    workers, before, old = leader.workers(), holder(kube), resources.get(NAME)["status"]["worker"]
    with watched_streams(books) as most:
        leader.process.kill9()
        wanted = touch(books, 1.11)
        wait_for(opensearch, index, wanted)
    assert most[0] <= 1
    assert holder(kube) != before
    for pid in workers:
        assert not os.path.exists(f"/proc/{pid}"), "a worker outlived its operator"
    assert len(other.workers()) == 1
    resources.wait(NAME, reason="Streaming")
    assert resources.get(NAME)["status"]["worker"]["identity"] != old["identity"]


def test_sigterm_releases_the_lease(pair, books, opensearch, resources, kube):
    leader, other, index = pair
    before = holder(kube)
    with watched_streams(books) as most:
        leader.process.send(signal.SIGTERM)
        wanted = touch(books, 2.22)
        assert leader.process.popen.wait(PATIENCE) == 0
        # Not because it had expired, which takes 15 s after the last renewal.
        assert holder(kube) != before, "it ended without giving the Lease up"
        wait_for(opensearch, index, wanted)
    assert most[0] <= 1
    assert len(other.workers()) == 1
    resources.wait(NAME)


def test_frozen_leader_that_resumes_does_no_harm(pair, books, opensearch, resources):
    leader, other, index = pair
    with watched_streams(books) as most:
        leader.process.pause()
        frozen = time.monotonic()
        eventually(lambda: other.workers(), PATIENCE, "a worker of the other operator")
        wait_for(opensearch, index, touch(books, 3.33))
        time.sleep(max(0, 30 - (time.monotonic() - frozen)))
        leader.process.resume()
        eventually(lambda: not leader.workers(), PATIENCE, "the end of the old leader's worker")
        (worker,) = other.workers()
        (slot, walsender), = books.walsenders()
        for i in range(10):
            touch(books, 4 + i / 100)
            time.sleep(0.3)
        wait_for(opensearch, index, touch(books, 5.55))
        assert other.workers() == [worker]
        assert books.walsenders() == [(slot, walsender)], "the streams fought for the slot"
    assert most[0] <= 1
    resources.wait(NAME)


def test_frozen_leader_with_a_frozen_worker_writes_no_stale_documents(pair, books, opensearch, resources):
    leader, other, index = pair
    (old_worker,) = leader.workers()
    leader.process.pause()
    os.kill(old_worker, signal.SIGSTOP)
    eventually(lambda: other.workers(), PATIENCE, "a worker of the other operator")
    wait_for(opensearch, index, touch(books, 6.66))
    os.kill(old_worker, signal.SIGCONT)
    leader.process.resume()
    eventually(lambda: not leader.workers(), PATIENCE, "the end of the old leader's worker")
    wanted = touch(books, 7.77)
    wait_for(opensearch, index, wanted)
    resources.never(lambda: opensearch.document(index, "1") != wanted["1"], 2, "an old document came back")
    assert not bookstore.differences(opensearch.documents(index), wanted)
    assert not leader.series("pgsync_ready"), "an operator that no longer leads still says what it knew when it did"
    assert len(other.series("pgsync_ready")) == 1


def test_standby_operator_is_live_and_does_nothing(pair, resources, books):
    leader, other, _ = pair
    assert other.get("/livez") == 200
    assert other.metric("leader_election_master_status") == 0
    assert leader.metric("leader_election_master_status") == 1
    assert not other.workers()


def test_single_operator_resumes_after_a_kill(make_operator, resources, books, opensearch, unique):
    index = unique.replace("_", "-")
    operator = make_operator("one").start()
    resources.apply_books(NAME, books, opensearch.url, index=index)
    before = resources.wait(NAME)
    operator.process.kill9()
    wanted = touch(books, 8.88)
    books.sql("DELETE FROM books WHERE title = 'Dune'")
    operator.start()
    wait_for(opensearch, index, wanted)
    eventually(lambda: not bookstore.differences(opensearch.documents(index), bookstore.expected(books)), PATIENCE, "equality")
    # Not what the killed operator had written.
    after = resources.wait(NAME, reason="Streaming")
    assert after["lastTransitionTime"] > before["lastTransitionTime"]
    assert opensearch.aliases(index) == [f"{index}-g1"], "a restart built a new generation"
