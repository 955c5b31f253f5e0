"""Migrations, transactions and interventions that resemble what other tests show: whatever happened, documents are what one plain query says."""

import pytest
from parts.search import eventually
from test_catalog import settles, sync  # noqa: F401, a fixture

THINGS = {"nodes": {"table": "things"}}
ROOTS = ["CREATE TABLE things (id int PRIMARY KEY, a text, b text)", "INSERT INTO things SELECT i, 'a' || i, 'b' || i FROM generate_series(1, 5) i"]
ALL = "SELECT id, to_json(t) FROM things t"

BELOW = {"nodes": {"table": "tops", "columns": ["id"], "children": [
    {"table": "kids", "columns": ["id", "w"], "relationship": {"type": "one_to_many", "variant": "object"}}]}}
KIDS = ["CREATE TABLE tops (id int PRIMARY KEY)", "CREATE TABLE kids (id int PRIMARY KEY, top int REFERENCES tops, w text)",
        "INSERT INTO tops SELECT generate_series(1, 5)", "INSERT INTO kids SELECT i, 1 + i % 5, 'w' || i FROM generate_series(1, 20) i"]
BELOW_ALL = """SELECT id, json_build_object('id', id, 'kids', (SELECT json_agg(json_build_object('id', k.id, 'w', k.w) ORDER BY k.id)
    FROM kids k WHERE k.top = t.id)) FROM tops t"""


def follows(sync, query, probe):  # noqa: F811
    """Documents become what the query says, and follow another change."""

    def wanted():
        return {str(id): json for id, json in sync.sql(query)}

    settles(sync, wanted(), timeout=60)
    sync.sql(probe)
    settles(sync, wanted())


# {what: (tables, document, statements, query, another change)}
MIGRATIONS = {
    "the root becomes a partition of its successor": (
        ROOTS, THINGS,
        "BEGIN; ALTER TABLE things RENAME TO things_1; CREATE TABLE things (id int PRIMARY KEY, a text, b text) PARTITION BY RANGE (id);"
        " ALTER TABLE things ATTACH PARTITION things_1 FOR VALUES FROM (0) TO (100); CREATE TABLE things_2 PARTITION OF things FOR VALUES FROM (100) TO (200);"
        " INSERT INTO things VALUES (150, 'x', 'y'); COMMIT", ALL, "UPDATE things SET a = 'z' WHERE id IN (1, 150)"),
    "a child becomes a partition of its successor": (
        KIDS, BELOW,
        "BEGIN; ALTER TABLE kids RENAME TO kids_1; ALTER TABLE kids_1 DROP CONSTRAINT kids_top_fkey;"
        " CREATE TABLE kids (id int PRIMARY KEY, top int REFERENCES tops, w text) PARTITION BY RANGE (id);"
        " ALTER TABLE kids ATTACH PARTITION kids_1 FOR VALUES FROM (0) TO (100); CREATE TABLE kids_2 PARTITION OF kids FOR VALUES FROM (100) TO (200);"
        " INSERT INTO kids VALUES (150, 1, 'y'); COMMIT", BELOW_ALL, "UPDATE kids SET top = 2 WHERE id IN (1, 150)"),
    "a column takes the name of another": (
        ROOTS, {"nodes": {"table": "things", "columns": ["id", "a"]}},
        "BEGIN; ALTER TABLE things RENAME a TO c; ALTER TABLE things ADD a text DEFAULT 'new'; COMMIT",
        "SELECT id, json_build_object('id', id, 'a', a) FROM things", "UPDATE things SET a = 'z' WHERE id = 1"),
    "the values of a link are replaced": (
        KIDS, BELOW, "ALTER TABLE kids ALTER top TYPE int USING 6 - top", BELOW_ALL, "UPDATE kids SET top = 3 WHERE id = 1"),
    "another column becomes the key": (
        ["CREATE TABLE things (id int PRIMARY KEY, code text NOT NULL)", "INSERT INTO things VALUES (1, 'a'), (2, 'b')"], THINGS,
        "BEGIN; ALTER TABLE things DROP CONSTRAINT things_pkey; ALTER TABLE things ADD PRIMARY KEY (code); COMMIT",
        "SELECT code, to_json(t) FROM things t", "UPDATE things SET id = 9 WHERE code = 'a'"),
    "the schema is swapped for another": (
        ["CREATE SCHEMA s", "CREATE SCHEMA other", "CREATE TABLE s.things (id int PRIMARY KEY)", "CREATE TABLE other.things (id int PRIMARY KEY)",
         "INSERT INTO s.things VALUES (1)", "INSERT INTO other.things VALUES (2), (3)"], {"nodes": {"table": "things", "schema": "s"}},
        "BEGIN; ALTER SCHEMA s RENAME TO old; ALTER SCHEMA other RENAME TO s; COMMIT", "SELECT id, to_json(t) FROM s.things t",
        "INSERT INTO s.things VALUES (4); INSERT INTO old.things VALUES (5)"),
}


@pytest.mark.parametrize("what", MIGRATIONS)
def test_migration_is_followed(what, sync):  # noqa: F811
    tables, document, statements, query, probe = MIGRATIONS[what]
    sync.sql(*tables)
    sync.start(document)
    sync.sql(statements)
    follows(sync, query, probe)


TRANSACTIONS = {
    "keys swapped, by a key that is checked later": (
        ["CREATE TABLE things (id int PRIMARY KEY DEFERRABLE INITIALLY DEFERRED, a text)", "INSERT INTO things VALUES (1, 'a'), (2, 'b'), (3, 'c')"], THINGS,
        ["BEGIN; UPDATE things SET id = 3 - id WHERE id < 3; DELETE FROM things WHERE id = 3; COMMIT"], ALL, "UPDATE things SET id = 3 - id"),
    "a key that leaves and comes back": (
        ROOTS, THINGS,
        ["BEGIN; UPDATE things SET id = 100 WHERE id = 1; UPDATE things SET id = 1, a = 'back' WHERE id = 100; UPDATE things SET id = -1 WHERE id = 2;"
         " UPDATE things SET id = 2 WHERE id = 3; UPDATE things SET id = 3 WHERE id = -1; COMMIT"], ALL, "DELETE FROM things WHERE id = 2"),
    "a key of another text that is equal": (
        ["CREATE TABLE tops (id float8 PRIMARY KEY)", "CREATE TABLE kids (id int PRIMARY KEY, top float8 REFERENCES tops ON UPDATE CASCADE, w text)",
         "INSERT INTO tops VALUES (0)", "INSERT INTO kids VALUES (1, 0, 'k')"], BELOW,
        ["UPDATE tops SET id = '-0'", "INSERT INTO kids VALUES (2, 0, 'l')"], BELOW_ALL.replace("SELECT id,", "SELECT id::text,", 1), "UPDATE tops SET id = 0"),
    "prepared transactions": (
        ROOTS, THINGS,
        ["BEGIN; INSERT INTO things VALUES (10, 'p', 'p'); UPDATE things SET a = 'p' WHERE id = 1; PREPARE TRANSACTION '{} 1'",
         "BEGIN; DELETE FROM things WHERE id = 3; PREPARE TRANSACTION '{} 2'", "UPDATE things SET a = 'another' WHERE id = 2",
         "COMMIT PREPARED '{} 1'", "ROLLBACK PREPARED '{} 2'"], ALL, "UPDATE things SET a = 'z'"),
}


@pytest.mark.parametrize("what", TRANSACTIONS)
def test_transaction_is_followed(what, sync):  # noqa: F811
    tables, document, statements, query, probe = TRANSACTIONS[what]
    sync.sql(*tables)
    sync.start(document)
    sync.sql(*[statement.format(sync.index) for statement in statements])
    follows(sync, query, probe)


SLOT = "(SELECT slot_name FROM pg_replication_slots WHERE database = current_database())"
INTERVENTIONS = {
    "advanced": f"SELECT pg_replication_slot_advance({SLOT}, pg_current_wal_lsn())",
    "made again": f"WITH s AS MATERIALIZED {SLOT} SELECT pg_drop_replication_slot(slot_name), pg_create_logical_replication_slot(slot_name, 'pgoutput') FROM s",
    "read": f"SELECT FROM pg_logical_slot_get_binary_changes({SLOT}, NULL, NULL, 'proto_version', '1',"
            " 'publication_names', (SELECT quote_ident(pubname) FROM pg_publication))",
}


@pytest.mark.parametrize("what", INTERVENTIONS)
def test_slot_that_another_client_has_moved_leads_to_a_rebuild(what, sync):  # noqa: F811
    """The changes that it passed over do not come again."""
    sync.sql(*KIDS)
    sync.start(BELOW)
    sync.run.stop()
    sync.sql("UPDATE kids SET w = 'passed over' WHERE id = 2")
    sync.database.sql(INTERVENTIONS[what])
    sync.run.start()
    follows(sync, BELOW_ALL, "UPDATE kids SET top = 2 WHERE id = 3")
    eventually(lambda: len(sync.database.slots()) == 1, 10, "one slot")
