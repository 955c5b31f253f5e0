"""spec.mode: Plan: everything is checked, nothing is changed anywhere, what a start would do is listed, and Sync does it."""

import re
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


def listed_changes(resources):
    """What a start would do, as the plan of the current spec says."""
    resources.wait(NAME, "Planned", "True", generation=True)
    return [change["message"] for change in listed(resources, "Change")]


def rebuilds(resources):
    return [note for reason, note in resources.events(NAME) if reason == "ResyncStarted"]


def start(books, opensearch, resources, index):
    resources.patch(NAME, {"mode": "Sync"})
    resources.wait(NAME, generation=True)
    bookstore.wait_equal(opensearch, index, lambda: bookstore.expected(books))


REVIEWS = {"table": "reviews", "columns": ["body"], "label": "reviews", "relationship": {"variant": "object", "type": "one_to_many"}}


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
    said = re.fullmatch(
        r'a start creates publication "(\S+)" \(tables: 3\)\n'
        r'a start creates replication slot "(\S+)"; the server then retains WAL for it\n'
        rf"a start fills index {index} with one document for each row of public.books", "\n".join(listed_changes(resources)))
    assert said, listed_changes(resources)
    time.sleep(3)
    assert traces(books, opensearch, index, resources) == planned

    schema = found["spec"]["schema"]
    schema[0]["nodes"]["children"].append(REVIEWS)
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
    resources.patch(NAME, {"schema": schema})
    start(books, opensearch, resources, index)
    found = resources.get(NAME)
    assert found["metadata"]["finalizers"] and condition(resources, "Planned") is None
    assert not listed(resources, "Change")
    assert books.publications() == [said[1]] and books.slots() == [said[2]]
    assert opensearch.aliases(index) == [f"{index}-g1"] and not rebuilds(resources)


MEANWHILE = "; until then, searches find the index as it is now"


@pytest.fixture
def stopped(make_operator, books, opensearch, resources, index):
    """A PgSync that was synced, and is set to Plan."""
    books.sql("CREATE TABLE reviews (id int PRIMARY KEY, book_id bigint NOT NULL REFERENCES books, body text)")
    books.sql("CREATE INDEX ON reviews (book_id)")
    books.own_tables()
    make_operator("one").start()
    resources.apply_books(NAME, books, opensearch.url, index=index)
    resources.wait(NAME)
    resources.patch(NAME, {"mode": "Plan"})


def test_a_running_pgsync_that_is_set_to_plan_stops_and_continues_later(stopped, books, opensearch, resources, index):
    assert listed_changes(resources) == []
    assert not books.walsenders() and len(books.slots()) == 1
    assert condition(resources, "Streaming")[0] == "False" and condition(resources, "BootstrapComplete")[0] == "True"
    before = traces(books, opensearch, index, resources)
    books.sql("UPDATE books SET price = 2.00 WHERE title = 'Neuromancer'")
    time.sleep(2)
    assert traces(books, opensearch, index, resources) == before
    start(books, opensearch, resources, index)
    assert opensearch.aliases(index) == [f"{index}-g1"] and not rebuilds(resources)


def test_a_plan_of_another_mapping_says_that_the_index_is_rebuilt_and_it_is(stopped, books, opensearch, resources, index):
    listed_changes(resources)
    before = traces(books, opensearch, index, resources)
    schema = resources.get(NAME)["spec"]["schema"]
    schema[0]["mapping"] = {"isbn": {"type": "keyword"}}
    resources.patch(NAME, {"schema": schema})
    assert listed_changes(resources) == [f"a start rebuilds index {index} with one document for each row of public.books: "
                                         f"the schema or one of its tables changed{MEANWHILE}"]
    assert traces(books, opensearch, index, resources) == before
    start(books, opensearch, resources, index)
    assert opensearch.aliases(index) == [f"{index}-g2"]
    assert rebuilds(resources) == ["rebuilding the index: the schema or one of its tables changed"]


def test_a_plan_without_the_slot_says_that_it_is_created_and_the_index_rebuilt_and_both_happen(stopped, books, opensearch, resources, index):
    listed_changes(resources)
    slot, = books.slots()
    books.sql("SELECT pg_drop_replication_slot(%s)", slot)
    resources.patch(NAME, {"lagTargetSeconds": 61})  # for a plan now instead of within a minute
    assert listed_changes(resources) == [
        f'a start creates replication slot "{slot}"; the server then retains WAL for it',
        f"a start rebuilds index {index} with one document for each row of public.books: the replication slot is gone{MEANWHILE}"]
    assert books.slots() == []
    start(books, opensearch, resources, index)
    assert books.slots() == [slot] and opensearch.aliases(index) == [f"{index}-g2"]
    assert rebuilds(resources) == ["rebuilding the index: the replication slot is gone"]


def test_a_plan_that_stalls_without_the_slot_says_so_and_a_start_does(stopped, books, opensearch, resources, index):
    listed_changes(resources)
    books.sql("SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE database = current_database()")
    resources.patch(NAME, {"source": {"replication": {"slotLostPolicy": "Stall"}}})
    planned = resources.wait(NAME, "Planned", "False", reason="SlotLost", generation=True)
    error, = listed(resources, "Error")
    assert "slotLostPolicy is Stall" in error["message"] and not listed(resources, "Change")
    assert error["message"] in planned["message"]
    resources.patch(NAME, {"mode": "Sync"})
    resources.wait(NAME, "Stalled", "True", reason="SlotLost", contains=[error["message"]], generation=True)
    assert opensearch.aliases(index) == [f"{index}-g1"] and books.slots() == []


def test_a_plan_with_another_table_says_what_is_added_and_all_of_it_happens(stopped, books, opensearch, resources, index):
    listed_changes(resources)
    before = traces(books, opensearch, index, resources)
    schema = resources.get(NAME)["spec"]["schema"]
    schema[0]["nodes"]["children"].append(REVIEWS)
    resources.patch(NAME, {"schema": schema})
    publication, = books.publications()
    assert listed_changes(resources) == [
        "a start sets the replica identity of public.reviews; a deletion restores it",
        f'a start adds table public.reviews to publication "{publication}"',
        f"a start rebuilds index {index} with one document for each row of public.books: "
        f"the schema or one of its tables changed{MEANWHILE}"]
    assert "reviews" in listed(resources, "Change")[0]["statement"]
    assert traces(books, opensearch, index, resources) == before

    books.sql("INSERT INTO reviews SELECT 1, id, 'Read it twice.' FROM books WHERE title = 'Neuromancer'")
    resources.patch(NAME, {"mode": "Sync"})
    resources.wait(NAME, generation=True)
    found = {d["title"]: d["reviews"] for d in opensearch.documents(index).values()}
    assert found["Neuromancer"] == [{"body": "Read it twice."}] and len(found) == 25
    assert opensearch.aliases(index) == [f"{index}-g2"]
    assert ("reviews", "d") not in books.replica_identities()
    assert books.value("SELECT count(*) FROM pg_publication_tables WHERE tablename = 'reviews'") == 1
    assert rebuilds(resources) == ["rebuilding the index: the schema or one of its tables changed"]


def test_a_plan_after_a_partition_was_added_says_that_it_is_read_and_it_is(make_operator, books, opensearch, resources, index):
    books.sql("CREATE TABLE reviews (id int PRIMARY KEY, book_id bigint NOT NULL REFERENCES books, body text) PARTITION BY RANGE (id)")
    books.sql("CREATE TABLE reviews_1 PARTITION OF reviews FOR VALUES FROM (0) TO (10); CREATE INDEX ON reviews (book_id)")
    books.own_tables()
    make_operator("one").start()
    children = bookstore.sample()["spec"]["schema"][0]["nodes"]["children"]
    resources.apply_books(NAME, books, opensearch.url, index=index, spec={"schema.0.nodes.children": [*children, REVIEWS]})
    resources.wait(NAME)
    resources.patch(NAME, {"mode": "Plan"})
    assert listed_changes(resources) == []
    books.sql("CREATE TABLE reviews_2 PARTITION OF reviews FOR VALUES FROM (10) TO (20)")
    books.own_tables()
    books.sql("INSERT INTO reviews SELECT 11, id, 'Read it later.' FROM books WHERE title = 'Neuromancer'")
    resources.patch(NAME, {"lagTargetSeconds": 61})
    assert listed_changes(resources) == ["a start sets the replica identity of public.reviews_2; a deletion restores it",
                                         "a start reads the rows of partition public.reviews_2, which was added"]
    resources.patch(NAME, {"mode": "Sync"})
    resources.wait(NAME, generation=True)
    eventually(lambda: {"body": "Read it later."} in [review for d in opensearch.documents(index).values() for review in d["reviews"] or []],
               20, "the row of the partition")
    assert opensearch.aliases(index) == [f"{index}-g1"] and not rebuilds(resources)
    assert ("reviews_2", "d") not in books.replica_identities()


def test_a_plan_is_deleted_at_once(planned, resources, books, opensearch, index):
    resources.delete(NAME)
    assert traces(books, opensearch, index, resources) == planned
