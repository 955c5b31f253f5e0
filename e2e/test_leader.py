"""Two operators, one leader: whatever happens to it the other takes over, and never do two workers stream for one resource."""

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


@contextmanager
def watched_streams(database):
    """Counts the walsenders that stream from a database all the time; ends with how many there were at most at once.

    One that has connected but not begun is a successor that is about to end its predecessor."""
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


def wait_for(opensearch, index, wanted, timeout):
    begin = time.monotonic()
    eventually(lambda: opensearch.document(index, "1") == wanted["1"], timeout, "the change in the index")
    return time.monotonic() - begin


@pytest.fixture
def pair(make_operator, resources, books, opensearch, unique, kube):
    """Two operators; the first leads, and has made a bookstore Ready."""
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


def test_kill_9_of_the_leader_the_other_works_within_20_seconds(pair, books, opensearch, resources, kube):
    leader, other, index = pair
    workers, before, old = leader.workers(), holder(kube), resources.get(NAME)["status"]["worker"]
    with watched_streams(books) as most:
        leader.process.kill9()
        wanted = touch(books, 1.11)
        assert wait_for(opensearch, index, wanted, 25) <= 20
    assert most[0] <= 1
    assert holder(kube) != before
    for pid in workers:
        assert not os.path.exists(f"/proc/{pid}"), "a worker outlived its operator"
    assert len(other.workers()) == 1
    resources.wait(NAME, reason="Streaming")
    assert resources.get(NAME)["status"]["worker"]["identity"] != old["identity"]


def test_term_hands_over_within_5_seconds(pair, books, opensearch, resources):
    leader, other, index = pair
    with watched_streams(books) as most:
        begin = time.monotonic()
        leader.process.send(signal.SIGTERM)
        wanted = touch(books, 2.22)
        wait_for(opensearch, index, wanted, 15)
        assert time.monotonic() - begin <= 5
    assert most[0] <= 1
    assert leader.process.popen.wait(5) == 0
    assert len(other.workers()) == 1
    resources.wait(NAME)


def test_frozen_leader_comes_back_and_does_not_disturb(pair, books, opensearch, resources):
    leader, other, index = pair
    with watched_streams(books) as most:
        leader.process.pause()
        frozen = time.monotonic()
        eventually(lambda: other.workers(), 25, "a worker of the other operator")
        assert wait_for(opensearch, index, touch(books, 3.33), 5) <= 5
        time.sleep(max(0, 30 - (time.monotonic() - frozen)))
        leader.process.resume()
        eventually(lambda: not leader.workers(), 10, "the end of the old leader's worker")
        (worker,) = other.workers()
        (slot, walsender), = books.walsenders()
        for i in range(10):
            touch(books, 4 + i / 100)
            time.sleep(0.3)
        assert wait_for(opensearch, index, touch(books, 5.55), 1) <= 1
        assert other.workers() == [worker]
        assert books.walsenders() == [(slot, walsender)], "the streams fought for the slot"
    assert most[0] <= 1
    resources.wait(NAME)


def test_frozen_leader_with_frozen_worker_does_not_write_old_documents(pair, books, opensearch, resources):
    leader, other, index = pair
    (old_worker,) = leader.workers()
    leader.process.pause()
    os.kill(old_worker, signal.SIGSTOP)
    eventually(lambda: other.workers(), 25, "a worker of the other operator")
    wait_for(opensearch, index, touch(books, 6.66), 15)
    os.kill(old_worker, signal.SIGCONT)
    leader.process.resume()
    eventually(lambda: not leader.workers(), 10, "the end of the old leader's worker")
    wanted = touch(books, 7.77)
    wait_for(opensearch, index, wanted, 1)
    resources.never(lambda: opensearch.document(index, "1") != wanted["1"], 2, "an old document came back")
    assert not bookstore.differences(opensearch.documents(index), wanted)


def test_operator_that_does_not_lead_is_alive_and_does_nothing(pair, resources, books):
    leader, other, _ = pair
    assert other.get("/livez") == 200
    assert other.metric("leader_election_master_status") == 0
    assert leader.metric("leader_election_master_status") == 1
    assert not other.workers()


def test_only_operator_is_killed_and_started_again(make_operator, resources, books, opensearch, unique):
    index = unique.replace("_", "-")
    operator = make_operator("one").start()
    resources.apply_books(NAME, books, opensearch.url, index=index)
    before = resources.wait(NAME)
    operator.process.kill9()
    wanted = touch(books, 8.88)
    books.sql("DELETE FROM books WHERE title = 'Dune'")
    operator.start()
    wait_for(opensearch, index, wanted, 25)
    eventually(lambda: not bookstore.differences(opensearch.documents(index), bookstore.expected(books)), 5, "equality")
    # Not what the killed one had written.
    after = resources.wait(NAME, reason="Streaming")
    assert after["lastTransitionTime"] > before["lastTransitionTime"]
    assert opensearch.aliases(index) == [f"{index}-g1"], "a restart built a new generation"
