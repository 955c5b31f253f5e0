"""A standby is promoted: with a failover slot the stream continues from it, and without one the index is rebuilt behind its alias.
A server that was restored and written to is not taken for the one that was synced."""

import os
import random
import shutil
import subprocess
import time

import bookstore
import pytest
from parts.search import eventually
from standby import address, cluster  # noqa: F401, fixtures


def generation(run):
    return run.status()["indices"][0]["physicalName"]


@pytest.mark.parametrize("crash", [False, True])
def test_stream_goes_on_from_a_synchronized_slot(cluster, worker, opensearch, index, crash):  # noqa: F811
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


def test_without_a_failover_slot_the_index_is_rebuilt(cluster, worker, opensearch, index):  # noqa: F811
    run = worker(cluster.manifest(opensearch.url, index)).start().wait_ready()
    bookstore.wait_equal(opensearch, index, lambda: bookstore.expected(cluster.database))
    before = generation(run)
    cluster.wait_for_wal()
    cluster.fail_over()
    cluster.database.sql("UPDATE books SET title = 'after' WHERE id = 2")
    eventually(lambda: generation(run) != before, 60, lambda: f"another generation ({run.status()})")
    bookstore.wait_equal(opensearch, index, lambda: bookstore.expected(cluster.database))


def test_an_address_that_leads_to_the_standby_for_a_while_changes_nothing(cluster, worker, opensearch, index):  # noqa: F811
    run = worker(cluster.manifest(opensearch.url, index)).start().wait_ready()
    bookstore.wait_equal(opensearch, index, lambda: bookstore.expected(cluster.database))
    before = generation(run)
    cluster.wait_for_wal()
    cluster.address.lead_to(cluster.standby.port)
    condition = eventually(lambda: run.condition("Ready").get("reason") == "ServerIsStandby" and run.condition("Ready"), 60,
                           lambda: f"ServerIsStandby ({run.status()})")
    for part in ("the server is a standby", "is not on it", "spec.source.host"):
        assert part in condition["message"], condition
    assert cluster.standby.sql("SELECT count(*) FROM pg_replication_slots") == [(0,)]
    cluster.database.sql("UPDATE books SET title = 'while the address led elsewhere' WHERE id = 1")
    cluster.address.lead_to(cluster.primary.port)
    bookstore.wait_equal(opensearch, index, lambda: bookstore.expected(cluster.database))
    eventually(lambda: run.condition("Ready").get("status") == "True", 60, lambda: f"Ready ({run.status()})")
    assert generation(run) == before, "the index was rebuilt"


def promote(server):
    """Starts a server that is not running; it recovers, and begins another timeline."""
    server.set(restore_command="false")
    (server.data / "recovery.signal").touch()
    shutil.chown(server.data / "recovery.signal", server.user or "root")
    server.start()
    eventually(lambda: not server.sql("SELECT pg_is_in_recovery()")[0][0], 30, "the end of the recovery", interval=0.2)


@pytest.mark.parametrize("how", ["another timeline", "another timeline of the same number", "another timeline that began at the same position",
                                 "a copy that is started as it is", "a copy that is started while no worker runs"])
def test_server_that_was_restored_and_went_further_than_what_was_synced_means_a_rebuild(how, own_postgres, address, worker, opensearch, index, unique):  # noqa: F811
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
def test_twenty_switchovers_and_crashes(cluster, worker, opensearch, index):  # noqa: F811
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
