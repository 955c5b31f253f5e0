"""spec.mode: Plan: everything is checked, nothing is changed anywhere, and Sync starts."""

import time

import bookstore
import pytest
from parts.search import eventually

NAME = "books"


def condition(resources, name):
    found = [c for c in resources.get(NAME).get("status", {}).get("conditions", []) if c["type"] == name]
    return (found[0]["status"], found[0]["reason"]) if found else None


def traces(database, engine, index, resources):
    """Everything that a sync would leave: on both sides."""
    schema = database.sql("SELECT relname, relkind, relreplident, xmin::text FROM pg_class WHERE relnamespace = 'public'::regnamespace ORDER BY 1")
    settings = database.sql("SELECT name, setting FROM pg_settings WHERE source = 'database' OR name = 'wal_level'")
    return database.slots(), database.publications(), schema, settings, sorted(engine.indices(f"*{index}*")), pgsync_records(engine, resources.namespace)


def pgsync_records(engine, namespace):
    """The records of every PgSync; and of those of this namespace, what each write changes. Others may be running."""
    engine.request("POST", "pgsync-*/_refresh")
    found = engine.request("POST", "pgsync-*/_search", {"size": 10000, "seq_no_primary_term": True})["hits"]["hits"]
    return sorted((hit["_index"], hit["_id"], hit["_seq_no"] if hit["_id"].startswith(f"{namespace}/") else None) for hit in found)


def listed(resources, severity):
    return [f for f in resources.get(NAME)["status"].get("findings", []) if f["severity"] == severity]


@pytest.fixture
def planned(make_operator, books, opensearch, resources, index):
    books.sql("CREATE TABLE reviews (id int PRIMARY KEY, book_id bigint NOT NULL REFERENCES books, body text)")
    books.own_tables()
    before = traces(books, opensearch, index, resources)
    make_operator("one").start()
    resources.apply_books(NAME, books, opensearch.url, index=index, spec={"mode": "Plan"})
    resources.wait(NAME, "Planned", "True")
    return before


def test_a_plan_changes_nothing_and_a_sync_follows(planned, books, opensearch, resources, index):
    assert condition(resources, "Ready") == ("False", "Planned")
    assert condition(resources, "Stalled") is None and condition(resources, "Reconciling") is None
    found = resources.get(NAME)
    assert found["status"]["phase"] == "Planned" and "finalizers" not in found["metadata"]
    changes = [change["message"] for change in listed(resources, "Change")]
    assert any("publication" in text for text in changes) and any("replication slot" in text for text in changes), changes
    assert any(index in text for text in changes), changes
    time.sleep(3)
    assert traces(books, opensearch, index, resources) == planned

    schema = found["spec"]["schema"]
    schema[0]["nodes"]["children"].append({"table": "reviews", "columns": ["body"], "label": "reviews",
                                           "relationship": {"variant": "object", "type": "one_to_many"}})
    resources.patch(NAME, {"schema": schema})
    eventually(lambda: any("CREATE INDEX" in f.get("statement", "") for f in listed(resources, "Warning")), 30,
               lambda: f"advice about an index ({resources.get(NAME)['status']})")
    assert any("REPLICA IDENTITY" in f.get("statement", "") for f in listed(resources, "Change"))
    schema[0]["nodes"]["columns"] = ["titel"]
    resources.patch(NAME, {"schema": schema})
    eventually(lambda: condition(resources, "Planned") == ("False", "UnknownColumn"), 30,
               lambda: f"an error ({resources.get(NAME)['status']})")
    error, = listed(resources, "Error")
    assert error["path"] == "spec.schema[0].nodes.columns[0]" and "title" in error["message"], error
    assert condition(resources, "Ready") == ("False", "UnknownColumn")
    assert traces(books, opensearch, index, resources) == planned

    schema[0]["nodes"]["columns"] = bookstore.COLUMNS
    schema[0]["nodes"]["children"].pop()
    resources.patch(NAME, {"schema": schema, "mode": "Sync"})
    resources.wait(NAME, generation=True)
    bookstore.wait_equal(opensearch, index, lambda: bookstore.expected(books))
    found = resources.get(NAME)
    assert found["metadata"]["finalizers"] and condition(resources, "Planned") is None
    assert not listed(resources, "Change")


def test_a_running_pgsync_that_is_set_to_plan_stops_and_continues_later(make_operator, books, opensearch, resources, index):
    make_operator("one").start()
    resources.apply_books(NAME, books, opensearch.url, index=index)
    resources.wait(NAME)
    resources.patch(NAME, {"mode": "Plan"})
    resources.wait(NAME, "Planned", "True")
    assert not books.walsenders() and len(books.slots()) == 1
    assert condition(resources, "Streaming")[0] == "False" and condition(resources, "BootstrapComplete")[0] == "True"
    before = traces(books, opensearch, index, resources)
    books.sql("UPDATE books SET price = 2.00 WHERE title = 'Neuromancer'")
    time.sleep(2)
    assert traces(books, opensearch, index, resources) == before
    resources.patch(NAME, {"mode": "Sync"})
    resources.wait(NAME, generation=True)
    bookstore.wait_equal(opensearch, index, lambda: bookstore.expected(books))
    assert opensearch.aliases(index) == [f"{index}-g1"]


def test_a_plan_is_deleted_at_once(planned, resources, books, opensearch, index):
    resources.delete(NAME)
    assert traces(books, opensearch, index, resources) == planned
