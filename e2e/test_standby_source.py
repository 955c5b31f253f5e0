"""A standby as the source: spec.source.host names one, and the primary is never asked. Documents equal the tables, whatever
happens while they are read, and what only the primary can do is said with the statement to run there."""

import threading

import bookstore
import pytest
from parts.search import eventually
from parts.worker import pgsync
from standby import address, cluster  # noqa: F401, fixtures


def generation(run):
    return run.status()["indices"][0]["physicalName"]


def wait_equal(cluster, opensearch, index):  # noqa: F811
    bookstore.wait_equal(opensearch, index, lambda: bookstore.expected(cluster.database))


@pytest.fixture
def follow(cluster, worker, opensearch, index):  # noqa: F811
    """A worker whose source is the standby. What a standby lacks is made on the primary as `pgsync plan` says."""

    def start(**spec):
        cluster.address.lead_to(cluster.standby.port)
        manifest = cluster.manifest(opensearch.url, index)
        manifest[1]["spec"]["source"].setdefault("replication", {})["publicationName"] = "by_hand"
        for key, value in spec.items():
            manifest[1]["spec"][key] = value
        run = worker(manifest)
        prepare(cluster, run)
        return run

    return start


def prepare(cluster, run):  # noqa: F811
    """Runs on the primary what the findings ask for, until there are none."""
    for _ in range(10):
        cluster.wait_for_wal()
        code, out, err = pgsync("plan", "-f", run.manifest)
        if code == 0 or "run" not in out + err:
            return
        told = out + err
        statements = [line.split("run \"", 1)[1].split("\"", 1)[0] for line in told.splitlines() if "run \"ALTER TABLE" in line]
        if "run this on the primary" in told:
            statements.append(told.split("standby has it: ", 1)[1].split("; or set", 1)[0])
        assert statements, told
        for statement in statements:
            cluster.primary.sql(statement, database=cluster.database.name)


def start(follow, cluster):  # noqa: F811
    run = follow().start()
    with cluster.logging_snapshots():
        return run.wait_ready()


def test_a_standby_is_followed(follow, cluster, opensearch, index):  # noqa: F811
    run = start(follow, cluster)
    wait_equal(cluster, opensearch, index)
    before = generation(run)
    assert cluster.primary.sql("SELECT count(*) FROM pg_replication_slots WHERE slot_type = 'logical'") == [(0,)]
    assert cluster.standby.sql("SELECT count(*) FROM pg_replication_slots WHERE slot_type = 'logical'") == [(1,)]
    cluster.database.sql("UPDATE books SET title = 'streamed' WHERE id = 1; DELETE FROM book_authors WHERE book_id = 2;"
                         "INSERT INTO books (isbn, title, price) VALUES ('1', 'new', 1)")
    wait_equal(cluster, opensearch, index)
    run.stop()
    cluster.database.sql("UPDATE books SET title = 'while no worker ran' WHERE id = 3")
    run.start().wait_ready()
    wait_equal(cluster, opensearch, index)
    assert generation(run) == before, "the index was rebuilt"


def test_no_commit_is_lost_while_the_standby_replays_it(follow, cluster, opensearch, index):  # noqa: F811
    """Many sessions of the primary change the parts of the same documents, so that every read races with a commit."""
    run = start(follow, cluster)

    def write(number):
        with cluster.database.connect() as connection:
            for i in range(400):
                connection.execute("UPDATE authors SET name = %s WHERE id = %s", (f"{number}/{i}", 1 + (i + number) % 5))
                connection.execute("UPDATE books SET title = %s WHERE id = %s", (f"{number}/{i}", 1 + (i * 7 + number) % 20))

    writers = [threading.Thread(target=write, args=(n,)) for n in range(4)]
    for each in writers:
        each.start()
    for each in writers:
        each.join()
    wait_equal(cluster, opensearch, index)


def test_what_only_the_primary_can_do_is_said(cluster, worker, opensearch, index):  # noqa: F811
    cluster.address.lead_to(cluster.standby.port)
    run = worker(cluster.manifest(opensearch.url, index)).start()
    condition = eventually(lambda: run.condition("Ready").get("reason") == "ServerIsStandby" and run.condition("Ready"), 60,
                           lambda: f"ServerIsStandby ({run.status()})")
    for part in ("the server is a standby", "CREATE PUBLICATION", "run this on the primary", "spec.source.host"):
        assert part in condition["message"], condition
    assert cluster.standby.sql("SELECT count(*) FROM pg_replication_slots") == [(0,)]
    assert index not in " ".join(opensearch.indices())


def test_a_failover_slot_is_refused_on_a_standby(cluster, worker, opensearch, index):  # noqa: F811
    cluster.address.lead_to(cluster.standby.port)
    code, out, err = pgsync("plan", "-f", worker(cluster.manifest(opensearch.url, index, failover=True)).manifest)
    assert code == 1, (code, out, err)
    for part in ("the server is a standby", "expected the primary", "failover"):
        assert part in out + err, out + err


def test_expressions_are_refused_on_a_standby(cluster, worker, opensearch, index):  # noqa: F811
    cluster.address.lead_to(cluster.standby.port)
    manifest = cluster.manifest(opensearch.url, index)
    manifest[1]["spec"]["schema"][0]["nodes"].update(expressions={"half": "price / 2"})
    code, out, err = pgsync("plan", "-f", worker(manifest).manifest)
    assert code == 1, (code, out, err)
    assert "cannot be checked on a standby" in out + err, out + err


def test_the_standby_is_promoted_and_the_stream_goes_on(follow, cluster, opensearch, index):  # noqa: F811
    run = start(follow, cluster)
    cluster.database.sql("UPDATE books SET title = 'before' WHERE id = 1")
    wait_equal(cluster, opensearch, index)
    before = generation(run)
    cluster.wait_for_wal()
    cluster.fail_over()
    cluster.database.sql("UPDATE books SET title = 'after' WHERE id = 2; DELETE FROM book_authors WHERE book_id = 3")
    wait_equal(cluster, opensearch, index)
    eventually(lambda: run.condition("Ready").get("status") == "True", 60, lambda: f"Ready ({run.status()})")
    assert generation(run) == before, "the index was rebuilt"


def test_a_publication_that_was_altered_means_a_new_slot_and_a_rebuild(follow, cluster, opensearch, index):  # noqa: F811
    """The stream lacks what a transaction wrote while its table was not published."""
    run = start(follow, cluster)
    wait_equal(cluster, opensearch, index)
    before = generation(run)
    with cluster.database.connect() as connection, connection.transaction():
        cluster.database.sql("ALTER PUBLICATION by_hand DROP TABLE authors")
        connection.execute("UPDATE authors SET name = 'in no stream'")
        cluster.database.sql("ALTER PUBLICATION by_hand ADD TABLE authors")
    eventually(lambda: generation(run) != before, 90, lambda: f"another generation ({run.status()})")
    wait_equal(cluster, opensearch, index)
