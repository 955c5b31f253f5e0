"""Conditions report what was found, and what to do about it."""

import bookstore
import pytest
from parts.pgbouncer import PgBouncer
from parts.search import eventually


def wait_told(run, type, reason, *parts, timeout=60):
    """Waits until a condition has that reason and all the words; returns it."""

    def told():
        found = run.condition(type)
        return found.get("reason") == reason and all(part in found["message"] for part in parts) and found

    return eventually(told, timeout, lambda: f"{type} {reason} with {parts} ({run.status()})")


def test_transactions_that_the_slot_waits_for_are_named(books, worker, manifest, opensearch, index):
    run = worker(manifest)
    with books.connect(application_name="month's end") as idle, books.connect() as preparing:
        idle.execute("BEGIN; UPDATE books SET title = 'in the transaction' WHERE id = 1")
        preparing.execute("BEGIN; UPDATE books SET title = 'prepared' WHERE id = 2; PREPARE TRANSACTION 'half of it'")
        run.start()
        try:
            told = wait_told(run, "BootstrapComplete", "CreatingSlot", f"process {idle.info.backend_pid}", '"month\'s end"', f'database "{books.name}"',
                             "prepared transaction 'half of it'")
            assert "in the transaction" not in told["message"], told
        finally:
            # Everything else that creates a slot on this server waits for it.
            preparing.execute("COMMIT PREPARED 'half of it'")
        idle.execute("COMMIT")
    run.wait_ready()
    bookstore.wait_equal(opensearch, index, lambda: bookstore.expected(books))


@pytest.mark.parametrize("ignored", [(), ("options",), ("options", "replication")], ids=["as it is", "without settings", "without replication"])
def test_a_pooler_is_told_from_the_server(books, worker, manifest, state, unique, ignored):
    with PgBouncer(state / f"pgbouncer-{unique}", books, ignored) as pooler:
        manifest[1]["spec"]["source"]["port"] = pooler.port
        run = worker(manifest).start()
        told = wait_told(run, "Ready", "NotSupported", "PgBouncer", "spec.source.host")
        assert run.condition("SourceReachable")["reason"] == "NotSupported", run.status()
        assert run.condition("Stalled")["status"] == "True", told


def test_an_invalidated_slot_is_not_taken_for_another_worker(own_postgres, worker, opensearch, index):
    server = own_postgres(conf={"max_slot_wal_keep_size": "1MB", "checkpoint_timeout": "1h"})
    database = server.create_database("shop")
    bookstore.load(database)
    database.create_role()
    run = worker([bookstore.secret("bookstore-postgres", password=database.role_password),
                  bookstore.resource("books", database, opensearch.url, index=index)]).start().wait_ready()
    opensearch.request("PUT", f"{index}-g1/_settings", {"index.blocks.write": True})
    server.sql("UPDATE books SET title = 'held up' WHERE id = 1", database="shop")
    for _ in range(6):
        server.sql("SELECT pg_switch_wal() FROM (SELECT pg_logical_emit_message(true, 'x', repeat('x', 1000000))) x")
    server.sql("CHECKPOINT")
    eventually(lambda: "invalidated replication slot" in run.process.log.read_text(), 60, lambda: f"a lost slot ({run.status()})")
    text = run.process.log.read_text()
    assert "wal_status lost" in text
    # Postgres gives the reason since version 17.
    assert "invalidation_reason wal_removed" in text or int(database.value("SHOW server_version_num")) < 170000
    assert "SlotTaken" not in text, "the slot was taken for another worker's"
    opensearch.request("PUT", f"{index}-g1/_settings", {"index.blocks.write": False})
    run.wait_ready()
    bookstore.wait_equal(opensearch, index, lambda: bookstore.expected(database))
    run.stop()


def test_a_refused_index_leaves_the_slot_alone(books, worker, manifest, opensearch, index):
    manifest[1]["spec"]["schema"][0]["setting"] = {"number_of_shards": 5000}
    run = worker(manifest).start()
    wait_told(run, "Ready", "IndexRejected", "5000")
    slots = "SELECT slot_name, confirmed_flush_lsn, restart_lsn FROM pg_replication_slots WHERE database = current_database()"
    before = books.sql(slots)
    refused = run.process.log.read_text().count("IndexRejected")
    eventually(lambda: run.process.log.read_text().count("IndexRejected") > refused, 60, "another attempt")
    assert len(before) == 1 and books.sql(slots) == before


def test_forced_row_security_is_refused_with_both_remedies(books, worker, manifest):
    books.sql("ALTER TABLE authors ENABLE ROW LEVEL SECURITY; ALTER TABLE authors FORCE ROW LEVEL SECURITY")
    run = worker(manifest).start()
    wait_told(run, "SchemaAccepted", "RowSecurity", "public.authors", f'ALTER ROLE "{books.role}" BYPASSRLS', 'ALTER TABLE "public"."authors" NO FORCE ROW LEVEL SECURITY')
    books.sql("ALTER TABLE authors NO FORCE ROW LEVEL SECURITY")
    run.wait_ready()


def test_a_generated_key_is_refused_with_what_to_use_instead(books, worker, opensearch, index):
    books.sql("CREATE TABLE codes (number int, id int GENERATED ALWAYS AS (number + 1) STORED PRIMARY KEY)")
    books.own_tables()
    run = worker([bookstore.secret("bookstore-postgres", password=books.role_password),
                  bookstore.resource("books", books, opensearch.url, index=index, spec={"schema.0.nodes": {"table": "codes", "columns": ["number"]}})]).start()
    wait_told(run, "SchemaAccepted", "NotSupported", "column `id`", "generated", "fill the column in a trigger")


def test_a_slot_that_retains_too_much_is_given_up_and_the_index_rebuilt(books, worker, manifest, fault_proxy, opensearch, index):
    manifest[1]["spec"]["sink"]["urls"] = [fault_proxy.url]
    manifest[1]["spec"]["source"]["replication"] = {"maxRetainedWAL": 40 << 20}
    run = worker(manifest).start().wait_ready()
    fault_proxy.fail("reset")
    books.sql("UPDATE books SET title = 'while the engine was away' WHERE id < 5")
    # What is retained counts from the oldest transaction that the slot may still need.
    for _ in range(7):
        books.sql("SELECT pg_switch_wal() FROM (SELECT pg_logical_emit_message(true, 'x', 'x')) x")
    told = wait_told(run, "SlotHealthy", "SlotGivenUp", "bytes of WAL", "spec.source.replication.maxRetainedWAL")
    assert told["status"] == "False"
    wait_told(run, "Ready", "SinkUnreachable")
    assert run.condition("SlotHealthy")["reason"] == "SlotGivenUp", run.status()
    assert books.slots() == []
    books.sql("DELETE FROM books WHERE id = 6")
    fault_proxy.heal()
    run.wait_ready()
    bookstore.wait_equal(opensearch, index, lambda: bookstore.expected(books))
    assert opensearch.request("GET", f"_alias/{index}").keys() == {f"{index}-g2"}
    assert run.condition("SlotHealthy")["status"] == "True", run.status()
