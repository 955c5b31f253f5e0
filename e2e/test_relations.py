"""Routing, and relations that are not plain tables: partitioned tables, views, materialized views."""

import random
import time

import pytest
from bookstore import secret
from parts.search import eventually


class Sync:
    """A worker over a database whose objects belong to its role, and the contents of its index."""

    def __init__(self, database, opensearch, worker, index):
        self.database, self.opensearch, self.make_worker, self.index = database, opensearch, worker, index
        self.run = None

    def sql(self, *statements):
        """Runs each statement in a separate transaction, as the worker's role."""
        with self.database.server.connect(self.database.name, self.database.role, self.database.role_password) as connection:
            for statement in statements:
                cursor = connection.execute(statement)
            return cursor.fetchall() if cursor.description else []

    def start(self, document, *, wait=30, **source):
        spec = {
            "source": {"host": "127.0.0.1", "port": self.database.server.port, "database": self.database.name,
                       "user": self.database.role, "passwordSecretRef": {"name": "postgres", "key": "password"}, **source},
            "sink": {"urls": [self.opensearch.url]},
            "schema": [{"index": self.index, **document}],
        }
        self.run = self.make_worker([secret("postgres", password=self.database.role_password),
                                     {"apiVersion": "pgsync.io/v1alpha1", "kind": "PgSync", "metadata": {"name": self.index}, "spec": spec}])
        self.run.start()
        self.ready(wait)
        return self

    def ready(self, wait=30):
        eventually(lambda: self.run.condition("Ready").get("status") == "True", wait, lambda: f"Ready ({self.run.status()})")

    def places(self):
        """Every document of the index with its place: [(id, routing, source)]; a document at two places is there twice."""
        self.opensearch.refresh(self.index)
        hits = self.opensearch.request("POST", f"{self.index}/_search", {"size": 10000})["hits"]["hits"]
        return sorted(((h["_id"], h.get("_routing"), h["_source"]) for h in hits), key=str)

    def documents(self):
        places = self.places()
        found = {id: source for id, _, source in places}
        assert len(found) == len(places), f"documents at two places: {places}"
        return found

    def becomes(self, wanted, timeout=5):
        """Waits until the index contains exactly these documents, {id: source}."""
        last = None

        def equal():
            nonlocal last
            last = self.documents() if self.opensearch.aliases(self.index) else None
            return last == wanted

        eventually(equal, timeout, lambda: f"{wanted} (there is {last})", interval=0.1)


@pytest.fixture
def sync(database, opensearch, worker, index):
    database.create_role()
    database.sql(f'GRANT ALL ON SCHEMA public TO "{database.role}"')
    return Sync(database, opensearch, worker, index)


# --- routing

CITIES = ["Oslo", "Rome", "Bern", "Łódź", "a,b", "", None]


def _places_of(sync):
    """Which document must be on which shard, by two plain queries."""
    visits = {}
    for place, by in sync.sql("SELECT place_id, by FROM visits ORDER BY id"):
        visits.setdefault(place, []).append({"by": by})
    return sorted(((str(id), city or None, {"name": name, "city": city, "visits": visits.get(id)})
                   for id, name, city in sync.sql("SELECT id, name, city FROM places")), key=str)


def _settle(sync, wanted, timeout=10):
    eventually(lambda: sync.places() == wanted(), timeout, lambda: f"{wanted()} (there is {sync.places()})", interval=0.1)


def _routed(sync, **document):
    sync.sql("CREATE TABLE places (id int PRIMARY KEY, name text NOT NULL, city text)",
             "CREATE TABLE visits (id int PRIMARY KEY, place_id int REFERENCES places ON DELETE CASCADE, by text NOT NULL)",
             "INSERT INTO places SELECT i, 'place ' || i, (ARRAY['Oslo','Rome','Bern'])[1 + i % 3] FROM generate_series(1, 9) i",
             "INSERT INTO visits SELECT i, 1 + i % 9, 'visitor ' || i FROM generate_series(1, 12) i")
    return sync.start({"setting": {"number_of_shards": 5}, "routing": "city", **document, "nodes": {
        "table": "places", "columns": ["name", "city"], "children": [
            {"table": "visits", "columns": ["by"], "relationship": {"type": "one_to_many", "variant": "object"}}]}})


def test_routed_documents_are_on_the_shard_of_their_field_and_move_with_it(sync):
    _routed(sync)
    _settle(sync, lambda: _places_of(sync))
    sync.sql("UPDATE places SET city = 'Paris' WHERE id = 1", "UPDATE places SET city = NULL WHERE id = 2",
             "DELETE FROM places WHERE id = 3", "UPDATE places SET id = 40 WHERE id = 4 AND id NOT IN (SELECT place_id FROM visits)",
             "INSERT INTO visits VALUES (100, 5, 'late')", "UPDATE places SET city = 'Oslo' WHERE id = 2",
             "BEGIN; UPDATE places SET city = 'x' WHERE id = 6; UPDATE places SET city = 'y' WHERE id = 6; COMMIT")
    _settle(sync, lambda: _places_of(sync))
    found = sync.opensearch.http.get(f"{sync.opensearch.url}/{sync.index}/_doc/1", params={"routing": "Paris"}, timeout=10).json()
    assert found["found"] and found["_source"]["name"] == "place 1"


def test_routed_documents_exist_once_after_many_random_moves(sync):
    """Cities that share a shard and cities that do not; moves there and back, in one batch and over several."""
    _routed(sync)
    rng = random.Random(7)

    def move():
        id, city = rng.randint(1, 9), rng.choice(CITIES)
        literal = "NULL" if city is None else f"'{city}'"
        return rng.choice([
            f"UPDATE places SET city = {literal} WHERE id = {id}",
            f"UPDATE places SET city = {literal} WHERE id = {id}",
            f"DELETE FROM places WHERE id = {id}",
            f"INSERT INTO places VALUES ({id}, 'again', {literal}) ON CONFLICT DO NOTHING",
            f"INSERT INTO visits SELECT coalesce(max(v.id), 0) + 1, p.id, 'x' FROM places p, visits v WHERE p.id = {id} GROUP BY p.id",
            f"DELETE FROM visits WHERE place_id = {id}",
        ])

    for _ in range(15):
        sync.sql(*(move() for _ in range(rng.randint(1, 30))))
        sync.sql("BEGIN; " + "; ".join(move() for _ in range(rng.randint(1, 10))) + "; COMMIT")
    _settle(sync, lambda: _places_of(sync))


def test_routing_by_a_boolean_is_spelled_as_in_the_document(sync):
    sync.sql("CREATE TABLE items (id int PRIMARY KEY, public bool)", "INSERT INTO items VALUES (1, true), (2, false), (3, NULL)")
    sync.start({"setting": {"number_of_shards": 5}, "routing": "public", "nodes": {"table": "items", "columns": ["public"]}})
    _settle(sync, lambda: [("1", "true", {"public": True}), ("2", "false", {"public": False}), ("3", None, {"public": None})])
    sync.sql("UPDATE items SET public = NOT public", "DELETE FROM items WHERE id = 3")
    _settle(sync, lambda: [("1", "false", {"public": False}), ("2", "true", {"public": True})])


def test_a_routed_document_that_is_rejected_leaves_its_old_shard_and_recovers(sync):
    _routed(sync, mapping={"name": {"type": "keyword", "ignore_above": 1000}, "city": {"type": "date", "format": "yyyy"}})
    dead = f"{sync.index}-dead-letters"
    eventually(lambda: sync.opensearch.indices(dead) and sync.opensearch.count(dead) == 9, 10, "a dead letter for each document")
    sync.sql("UPDATE places SET city = '2001' WHERE id = 1")
    eventually(lambda: [p[:2] for p in sync.places()] == [("1", "2001")], 10, lambda: f"one document ({sync.places()})")
    eventually(lambda: sync.opensearch.count(dead) == 8, 10, "one dead letter less", interval=0.1)
    sync.sql("UPDATE places SET city = 'nowhere' WHERE id = 1")
    eventually(lambda: sync.places() == [], 10, lambda: f"no document at the old place ({sync.places()})")
    eventually(lambda: sync.opensearch.count(dead) == 9, 10, "its dead letter", interval=0.1)


def test_routing_that_is_not_in_the_wal_rebuilds_the_index(sync):
    _routed(sync)
    sync.sql("ALTER TABLE places REPLICA IDENTITY DEFAULT; UPDATE places SET city = 'Paris' WHERE id = 1;"
             " DELETE FROM places WHERE id = 2")
    _settle(sync, lambda: _places_of(sync), 40)
    sync.sql("UPDATE places SET city = 'Rome' WHERE id = 1")
    _settle(sync, lambda: _places_of(sync))


# --- views

BOOKS = ("CREATE TABLE books (id int PRIMARY KEY, title text NOT NULL)",
         "CREATE TABLE sales (id int PRIMARY KEY, book_id int REFERENCES books, year int NOT NULL, amount int NOT NULL)",
         "INSERT INTO books SELECT i, 'book ' || i FROM generate_series(1, 5) i",
         "INSERT INTO sales SELECT i, 1 + i % 4, 2000 + i % 2, i FROM generate_series(1, 20) i",
         "CREATE TABLE notes (id int PRIMARY KEY, book_id int, text text)", "INSERT INTO notes VALUES (1, 1, 'first')")
YEARS = "{} years AS SELECT book_id, year, sum(amount) AS amount FROM sales GROUP BY book_id, year HAVING sum(amount) > 10"
KINDS = ["VIEW", "MATERIALIZED VIEW"]


def _years(sync):
    """The view's rows, from the base table alone."""
    rows = {}
    for book, year, amount in sync.sql("SELECT book_id, year, amount FROM sales"):
        rows[book, year] = rows.get((book, year), 0) + amount
    return {key: amount for key, amount in rows.items() if amount > 10}


def _of_root(sync):
    titles = dict(sync.sql("SELECT id, title FROM books"))
    notes = {}
    for book, text in sync.sql("SELECT book_id, text FROM notes ORDER BY id"):
        notes.setdefault(book, []).append(text)
    return {f"{year}|{book}": {"amount": amount, "books": {"title": titles[book]}, "notes": notes.get(book)}
            for (book, year), amount in _years(sync).items() if book is not None}


def _of_child(sync):
    years = {}
    for (book, year), amount in sorted(_years(sync).items(), key=str):
        years.setdefault(book, []).append({"year": year, "amount": amount})
    return {str(id): {"title": title, "years": years.get(id)} for id, title in sync.sql("SELECT id, title FROM books")}


FIRST = {"type": "one_to_one", "variant": "object", "foreign_key": {"child": ["id"], "parent": ["book_id"]}}
NOTES = {"type": "one_to_many", "variant": "scalar", "foreign_key": {"child": ["book_id"], "parent": ["book_id"]}}
ROOT = {"table": "years", "primary_key": ["year", "book_id"], "base_tables": ["sales"], "columns": ["amount"], "children": [
    {"table": "books", "columns": ["title"], "relationship": FIRST},
    {"table": "notes", "columns": ["text"], "relationship": NOTES}]}
CHILD = {"table": "books", "columns": ["title"], "children": [
    {"table": "years", "primary_key": ["book_id", "year"], "base_tables": ["public.sales"], "columns": ["year", "amount"],
     "relationship": {"type": "one_to_many", "variant": "object", "foreign_key": {"child": ["book_id"], "parent": ["id"]}}}]}

# Changes of the view: rows that enter, change, leave or move; a row outside it; all rows.
CHANGES = ["INSERT INTO sales VALUES (100, 5, 2001, 50)", "UPDATE sales SET amount = 90 WHERE id = 3",
           "UPDATE sales SET amount = 0 WHERE book_id = 2 AND year = 2001", "DELETE FROM sales WHERE book_id = 3",
           "UPDATE sales SET book_id = 5 WHERE id = 4", "UPDATE sales SET book_id = NULL WHERE id = 1",
           "UPDATE sales SET year = 1999 WHERE book_id = 1", "BEGIN; DELETE FROM sales WHERE id = 100; INSERT INTO sales VALUES (101, 4, 1998, 77); COMMIT",
           "TRUNCATE sales", "INSERT INTO sales SELECT i, 1 + i % 4, 2000 + i % 3, i FROM generate_series(1, 12) i"]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("place", ["root", "child"])
def test_view_is_followed_through_its_base_tables(sync, kind, place):
    wanted = _of_root if place == "root" else _of_child
    sync.sql(*BOOKS, "CREATE " + YEARS.format(kind))
    sync.start({"nodes": ROOT if place == "root" else CHILD})
    sync.becomes(wanted(sync))
    for change in CHANGES:
        sync.sql(change)
        sync.becomes(wanted(sync))
    for change in ["UPDATE books SET title = 'renamed' WHERE id = 1", "INSERT INTO notes VALUES (2, 1, 'second')", "DELETE FROM notes WHERE id = 1"]:
        sync.sql(change)
        sync.becomes(wanted(sync))


@pytest.mark.parametrize("kind", KINDS)
def test_root_view_catches_up_with_changes_made_while_no_worker_ran(sync, kind):
    sync.sql(*BOOKS, "CREATE " + YEARS.format(kind), "CREATE TABLE IF NOT EXISTS more (id int)")
    sync.start({"nodes": ROOT})
    sync.becomes(_of_root(sync))
    sync.run.kill9()
    sync.sql("DELETE FROM sales WHERE book_id = 3", "INSERT INTO sales VALUES (100, 5, 2001, 50)")
    sync.run.start()
    sync.ready()
    sync.becomes(_of_root(sync))


def test_routed_root_view_moves_and_deletes_its_documents(sync):
    sync.sql("CREATE TABLE items (id int PRIMARY KEY, city text, hidden bool)",
             "INSERT INTO items SELECT i, (ARRAY['Oslo','Rome','Bern'])[1 + i % 3], false FROM generate_series(1, 9) i",
             "CREATE VIEW shown AS SELECT id, city FROM items WHERE NOT hidden")
    sync.start({"setting": {"number_of_shards": 5}, "routing": "city", "nodes": {
        "table": "shown", "primary_key": ["id"], "base_tables": ["items"], "columns": ["city"]}})

    def wanted():
        return sorted(((str(id), city, {"city": city}) for id, city in sync.sql("SELECT id, city FROM items WHERE NOT hidden")), key=str)

    _settle(sync, wanted)
    for change in ["UPDATE items SET city = 'Paris' WHERE id < 4", "UPDATE items SET hidden = true WHERE id IN (1, 5)",
                   "UPDATE items SET city = NULL WHERE id = 6", "DELETE FROM items WHERE id = 6"]:
        sync.sql(change)
        _settle(sync, wanted)


def test_view_that_is_redefined_is_read_again(sync):
    sync.sql(*BOOKS, "CREATE " + YEARS.format("VIEW"))
    sync.start({"nodes": CHILD})
    sync.becomes(_of_child(sync))
    sync.sql("CREATE OR REPLACE VIEW years AS SELECT book_id, year, amount::bigint FROM sales WHERE id = 1")
    expected = {str(id): {"title": f"book {id}", "years": None} for id in range(1, 6)}
    expected["2"]["years"] = [{"year": 2001, "amount": 1}]
    sync.becomes(expected, timeout=30)


def test_many_changes_of_a_base_table_cost_few_reads_of_the_view(sync):
    sync.sql(*BOOKS, "CREATE " + YEARS.format("VIEW"))
    sync.start({"nodes": ROOT})
    sync.sql(*(f"INSERT INTO sales VALUES ({i}, {1 + i % 5}, {1900 + i % 100}, 100)" for i in range(1000, 1400)))
    sync.becomes(_of_root(sync))
    assert sync.run.metric("pgsync_transactions_total") >= 400
    assert sync.run.metric("pgsync_batch_duration_seconds_count") < 200


def test_base_table_without_a_key_stays_writable(sync):
    """Once published, a table without replica identity refuses UPDATE and DELETE."""
    sync.sql("CREATE TABLE plain (id int, name text)", "INSERT INTO plain VALUES (1, 'a'), (2, 'b')",
             "CREATE VIEW names AS SELECT id, name FROM plain")
    sync.start({"nodes": {"table": "names", "primary_key": ["id"], "base_tables": ["plain"]}})
    sync.becomes({"1": {"id": 1, "name": "a"}, "2": {"id": 2, "name": "b"}})
    sync.sql("UPDATE plain SET name = 'c' WHERE id = 1", "DELETE FROM plain WHERE id = 2")
    sync.becomes({"1": {"id": 1, "name": "c"}})


def test_materialized_view_may_be_slow_to_refresh(sync):
    sync.sql("CREATE TABLE books (id int PRIMARY KEY, title text)", "INSERT INTO books SELECT i, 'book ' || i FROM generate_series(1, 3) i",
             "CREATE MATERIALIZED VIEW slow AS SELECT id, title FROM books, LATERAL (SELECT pg_sleep(4 + 0 * id)) s WITH NO DATA")
    sync.start({"nodes": {"table": "slow", "primary_key": ["id"], "base_tables": ["books"], "columns": ["title"]}}, wait=60)
    sync.becomes({str(i): {"title": f"book {i}"} for i in (1, 2, 3)})


def test_materialized_view_of_another_owner_is_refused_with_the_statement_to_run(sync):
    sync.sql(*BOOKS)
    sync.database.sql("CREATE " + YEARS.format("MATERIALIZED VIEW"), )
    sync.database.sql(f'GRANT SELECT ON years TO "{sync.database.role}"')
    with pytest.raises(AssertionError):
        sync.start({"nodes": CHILD}, wait=8)
    message = sync.run.condition("Stalled").get("message", "")
    # The privilege exists since Postgres 17; before, only the owner refreshes.
    has_privilege = int(sync.database.value("SHOW server_version_num")) >= 170000
    remedy = 'GRANT MAINTAIN ON "public"."years" TO' if has_privilege else 'ALTER MATERIALIZED VIEW "public"."years" OWNER TO'
    assert remedy in message, sync.run.status()
    sync.database.sql(f'{remedy} "{sync.database.role}"')
    sync.ready()
    sync.becomes(_of_child(sync))


# --- partitions

PARTITIONED = {
    # The rows' link to their parent is not in the primary key, so old rows need more than their key in the WAL.
    "child": (["CREATE TABLE books (id int PRIMARY KEY, title text NOT NULL)",
               "INSERT INTO books SELECT i, 'book ' || i FROM generate_series(1, 6) i",
               "CREATE TABLE sales (id int, day int NOT NULL, book_id int, amount int NOT NULL, PRIMARY KEY (id, day)) PARTITION BY RANGE (day)"],
              {"nodes": {"table": "books", "columns": ["title"], "children": [
                  {"table": "sales", "columns": ["id", "amount"], "relationship": {
                      "type": "one_to_many", "variant": "object", "foreign_key": {"child": ["book_id"], "parent": ["id"]}}}]}}),
    # No primary key at all.
    "keyless": (["CREATE TABLE books (id int PRIMARY KEY, title text NOT NULL)",
                 "INSERT INTO books SELECT i, 'book ' || i FROM generate_series(1, 6) i",
                 "CREATE TABLE sales (id int, day int NOT NULL, book_id int, amount int NOT NULL) PARTITION BY RANGE (day)"],
                {"nodes": {"table": "books", "columns": ["title"], "children": [
                    {"table": "sales", "primary_key": ["id"], "columns": ["id", "amount"], "relationship": {
                        "type": "one_to_many", "variant": "object", "foreign_key": {"child": ["book_id"], "parent": ["id"]}}}]}}),
    "root": (["CREATE TABLE books (id int PRIMARY KEY, title text NOT NULL)",
              "INSERT INTO books SELECT i, 'book ' || i FROM generate_series(1, 6) i",
              "CREATE TABLE sales (id int, day int NOT NULL, book_id int, amount int NOT NULL, PRIMARY KEY (id, day)) PARTITION BY RANGE (day)"],
             {"nodes": {"table": "sales", "columns": ["amount"], "children": [
                 {"table": "books", "columns": ["title"], "relationship": {
                     "type": "one_to_one", "variant": "scalar", "foreign_key": {"child": ["id"], "parent": ["book_id"]}}}]}}),
}
# With its columns in another order than the partitioned table's.
ATTACHED = "(amount int NOT NULL, book_id int, id int NOT NULL, day int NOT NULL)"


def _parts(sync, place):
    ddl, document = PARTITIONED[place]
    sync.sql(*ddl, "CREATE TABLE sales_1 PARTITION OF sales FOR VALUES FROM (0) TO (10)",
             "CREATE TABLE sales_2 PARTITION OF sales FOR VALUES FROM (10) TO (20) PARTITION BY RANGE (day)",
             "CREATE TABLE sales_21 PARTITION OF sales_2 FOR VALUES FROM (10) TO (15)",
             "CREATE TABLE sales_22 PARTITION OF sales_2 FOR VALUES FROM (15) TO (20)",
             "INSERT INTO sales SELECT i, i, 1 + i % 5, 100 + i FROM generate_series(1, 19) i")
    sync.start(document)
    return lambda: _of_sales(sync, place)


def _of_sales(sync, place):
    # Siblings are ordered by their key, whose columns are ordered by name.
    rows = sync.sql("SELECT id, day, book_id, amount FROM sales ORDER BY " + ("id" if place == "keyless" else "day, id"))
    titles = dict(sync.sql("SELECT id, title FROM books"))
    if place == "root":
        return {f"{day}|{id}": {"amount": amount, "books": titles.get(book)} for id, day, book, amount in rows}
    return {str(book): {"title": title, "sales": [{"id": r[0], "amount": r[3]} for r in rows if r[2] == book] or None}
            for book, title in titles.items()}


@pytest.mark.parametrize("place", PARTITIONED)
def test_partitioned_table_is_followed_in_all_its_partitions(sync, place):
    wanted = _parts(sync, place)
    sync.becomes(wanted())
    for change in ["INSERT INTO sales VALUES (100, 12, 6, 7), (101, 3, 6, 8)", "UPDATE sales SET amount = 0 WHERE id IN (3, 16)",
                   "UPDATE sales SET book_id = 6 WHERE id IN (2, 18)", "UPDATE sales SET day = 17 WHERE id = 4",
                   "UPDATE sales SET book_id = NULL WHERE id = 5", "UPDATE sales SET book_id = 1, day = 1 WHERE id = 19",
                   "DELETE FROM sales WHERE id IN (1, 12, 17)", "UPDATE books SET title = 'renamed' WHERE id = 6", "TRUNCATE sales",
                   "INSERT INTO sales SELECT i, i, 1 + i % 5, i FROM generate_series(1, 19) i"]:
        sync.sql(change)
        sync.becomes(wanted(), timeout=15)


@pytest.mark.parametrize("place", PARTITIONED)
def test_partition_that_is_created_or_attached_while_streaming_is_followed(sync, place):
    wanted = _parts(sync, place)
    sync.becomes(wanted())
    # Immediately, before the next check: this partition has another replica identity than the others.
    key = "" if place == "keyless" else ", PRIMARY KEY (id, day)"
    full = "ALTER TABLE sales_3 REPLICA IDENTITY FULL" if place == "keyless" else "SELECT 1"
    sync.sql("CREATE TABLE sales_3 PARTITION OF sales FOR VALUES FROM (20) TO (30)", full,
             "INSERT INTO sales VALUES (200, 20, 1, 1), (201, 21, 2, 2), (202, 22, 3, 3)", "UPDATE sales SET book_id = 4 WHERE id = 200",
             "DELETE FROM sales WHERE id = 201")
    sync.becomes(wanted(), timeout=30)
    sync.sql(f"CREATE TABLE old_sales {ATTACHED[:-1]}{key})", "INSERT INTO old_sales SELECT i, 1 + i % 6, 5000 + i, 30 + i % 10 FROM generate_series(1, 5000) i",
             "ALTER TABLE sales ATTACH PARTITION old_sales FOR VALUES FROM (30) TO (40)")
    sync.becomes(wanted(), timeout=40)
    sync.sql("DELETE FROM sales WHERE id = 7", "UPDATE sales SET book_id = 2 WHERE id = 8", "UPDATE sales SET book_id = 3 WHERE id = 202")
    sync.becomes(wanted(), timeout=15)
    identities = dict(sync.database.replica_identities())
    if place != "root":
        assert {identities[t] for t in ("sales_1", "sales_21", "sales_22", "sales_3", "old_sales")} == {"f"}


@pytest.mark.parametrize("place", PARTITIONED)
@pytest.mark.parametrize("gone", ["DROP TABLE sales_1", "ALTER TABLE sales DETACH PARTITION sales_2", "TRUNCATE sales_22",
                                  "ALTER TABLE sales DETACH PARTITION sales_1; UPDATE sales_1 SET amount = -1; ALTER TABLE sales ATTACH PARTITION sales_1"
                                  " FOR VALUES FROM (0) TO (10)"])
def test_rows_of_a_removed_partition_leave_the_index(sync, place, gone):
    wanted = _parts(sync, place)
    sync.becomes(wanted())
    sync.sql(f"BEGIN; {gone}; COMMIT")
    sync.becomes(wanted(), timeout=40)
    sync.sql("INSERT INTO sales VALUES (300, 12, 6, 7)" if "sales_2" not in gone else "INSERT INTO sales VALUES (300, 2, 6, 7)")
    sync.becomes(wanted(), timeout=15)


def test_partitions_that_changed_while_no_worker_ran_are_noticed(sync):
    wanted = _parts(sync, "child")
    sync.becomes(wanted())
    sync.run.kill9()
    sync.sql("DROP TABLE sales_1", "CREATE TABLE sales_3 PARTITION OF sales FOR VALUES FROM (20) TO (30)",
             "INSERT INTO sales VALUES (200, 20, 1, 1), (201, 21, 2, 2)", "UPDATE sales SET book_id = 4 WHERE id = 200",
             "DELETE FROM sales WHERE id = 201", "DROP TABLE sales_3", "ALTER TABLE sales DETACH PARTITION sales_2")
    sync.run.start()
    sync.ready()
    sync.becomes(wanted(), timeout=30)


def test_replica_identities_of_partitions_are_restored(sync):
    wanted = _parts(sync, "child")
    sync.becomes(wanted())
    assert set(dict(sync.database.replica_identities()).values()) == {"d", "f"}
    sync.opensearch.refresh("pgsync-checkpoints")
    stored = sync.opensearch.request("GET", "pgsync-checkpoints/_search?size=1000")["hits"]["hits"]
    # Other tests keep stamps there, of checkpoints in Redis.
    mine = next(h["_source"] for h in stored if any(i["name"] == sync.index for i in h["_source"].get("indices", [])))
    assert {i["table"] for i in mine["identities"]} == {"sales_1", "sales_21", "sales_22"}
    assert {i["replicaIdentity"] for i in mine["identities"]} == {"d"}


def test_generated_columns_of_postgres_18_do_not_stop_the_tables_writers(own_postgres, opensearch, worker, index, unique):
    """Postgres refuses changes if the replica identity has generated columns that are not published."""
    database = own_postgres(version="18.1").create_database(unique)
    database.create_role()
    database.sql(f'GRANT ALL ON SCHEMA public TO "{database.role}"')
    sync = Sync(database, opensearch, worker, index)
    sync.sql("CREATE TABLE boxes (id int PRIMARY KEY, w int, area int GENERATED ALWAYS AS (w * w) STORED, half int GENERATED ALWAYS AS (w / 2))",
             "CREATE TABLE things (id int PRIMARY KEY, box_id int REFERENCES boxes, n int, twice int GENERATED ALWAYS AS (n * 2) STORED)",
             "CREATE INDEX ON things (box_id)", "INSERT INTO boxes (id, w) VALUES (1, 4), (2, 6)", "INSERT INTO things VALUES (1, 1, 5)")
    relationship = {"variant": "object", "type": "one_to_many"}
    sync.start({"nodes": {"table": "boxes", "children": [{"table": "things", "columns": ["twice"], "relationship": relationship}]}})
    sync.sql("UPDATE things SET box_id = 2, n = 7", "UPDATE boxes SET w = 8 WHERE id = 1")
    sync.becomes({"1": {"id": 1, "w": 8, "area": 64, "half": 4, "things": None}, "2": {"id": 2, "w": 6, "area": 36, "half": 3, "things": [{"twice": 14}]}})
    # The WAL never contains a virtual column.
    sync.sql("ALTER TABLE things ADD COLUMN thrice int GENERATED ALWAYS AS (n * 3)")
    eventually(lambda: sync.run.condition("Stalled").get("reason") == "ReplicaIdentity", 20, lambda: f"Stalled ({sync.run.status()})")
    said = sync.run.condition("Stalled")["message"]
    assert "public.things" in said and "`thrice`" in said and "STORED" in said
    sync.sql("ALTER TABLE things ALTER COLUMN box_id SET NOT NULL", "CREATE UNIQUE INDEX things_identity ON things (id, box_id)",
             "ALTER TABLE things REPLICA IDENTITY USING INDEX things_identity", "UPDATE things SET box_id = 1")
    sync.ready()
    sync.becomes({"1": {"id": 1, "w": 8, "area": 64, "half": 4, "things": [{"twice": 14}]}, "2": {"id": 2, "w": 6, "area": 36, "half": 3, "things": None}})


def test_foreign_key_that_is_replaced_is_followed(sync):
    sync.sql("CREATE TABLE parents (id int PRIMARY KEY, other int UNIQUE)", "CREATE TABLE things (id int PRIMARY KEY, parent int)",
             "ALTER TABLE things ADD CONSTRAINT f FOREIGN KEY (parent) REFERENCES parents", "CREATE INDEX ON things (parent)",
             "INSERT INTO parents VALUES (1, 2), (2, 1)", "INSERT INTO things VALUES (10, 1)")
    relationship = {"variant": "scalar", "type": "one_to_many"}
    sync.start({"nodes": {"table": "parents", "columns": ["id"], "children": [{"table": "things", "columns": ["id"], "relationship": relationship}]}})
    sync.becomes({"1": {"id": 1, "things": [10]}, "2": {"id": 2, "things": None}})
    sync.sql("ALTER TABLE things DROP CONSTRAINT f, ADD CONSTRAINT f FOREIGN KEY (parent) REFERENCES parents (other)")
    sync.becomes({"1": {"id": 1, "things": None}, "2": {"id": 2, "things": [10]}}, timeout=20)
    sync.sql("ALTER TABLE things DROP CONSTRAINT f")
    eventually(lambda: sync.run.condition("Stalled").get("reason") == "NoForeignKey", 20, lambda: f"Stalled ({sync.run.status()})")


def test_changed_attribute_of_a_composite_type_rebuilds_the_index(sync):
    sync.sql("CREATE TYPE pair AS (a int, b int)", "CREATE TABLE things (id int PRIMARY KEY, p pair, many pair[])",
             "INSERT INTO things VALUES (1, ROW(1, 2), ARRAY[ROW(3, 4)::pair])")
    sync.start({"nodes": {"table": "things"}})
    sync.becomes({"1": {"id": 1, "p": {"a": 1, "b": 2}, "many": [{"a": 3, "b": 4}]}})
    sync.sql("ALTER TYPE pair RENAME ATTRIBUTE b TO c")
    sync.becomes({"1": {"id": 1, "p": {"a": 1, "c": 2}, "many": [{"a": 3, "c": 4}]}}, timeout=20)


def test_renamed_enum_value_rebuilds_the_index(sync):
    sync.sql("CREATE TYPE mood AS ENUM ('sad', 'ok')", "CREATE TYPE part AS (m mood)", "CREATE TYPE span AS RANGE (subtype = mood)",
             "CREATE DOMAIN feeling AS mood", "CREATE TABLE things (id int PRIMARY KEY, m mood, many feeling[], p part, r span)",
             "INSERT INTO things VALUES (1, 'sad', '{sad,ok}', ROW('sad'), '[sad,ok]')")
    sync.start({"nodes": {"table": "things"}})
    sync.becomes({"1": {"id": 1, "m": "sad", "many": ["sad", "ok"], "p": {"m": "sad"}, "r": "[sad,ok]"}})
    first = sync.run.status()["indices"][0]["physicalName"]
    sync.sql("ALTER TYPE mood ADD VALUE 'happy'", "INSERT INTO things (id, m) VALUES (2, 'happy')")
    happy = {"id": 2, "m": "happy", "many": None, "p": None, "r": None}
    sync.becomes({"1": {"id": 1, "m": "sad", "many": ["sad", "ok"], "p": {"m": "sad"}, "r": "[sad,ok]"}, "2": happy})
    time.sleep(7)
    assert sync.run.status()["indices"][0]["physicalName"] == first, "an added enum value caused a rebuild"
    sync.sql("ALTER TYPE mood RENAME VALUE 'sad' TO 'blue'")
    sync.becomes({"1": {"id": 1, "m": "blue", "many": ["blue", "ok"], "p": {"m": "blue"}, "r": "[blue,ok]"}, "2": happy}, timeout=20)
    sync.run.stop()
    sync.sql("ALTER TYPE mood RENAME VALUE 'happy' TO 'glad'")
    sync.run.start()
    sync.becomes({"1": {"id": 1, "m": "blue", "many": ["blue", "ok"], "p": {"m": "blue"}, "r": "[blue,ok]"}, "2": {**happy, "m": "glad"}},
                 timeout=20)


@pytest.mark.parametrize("where", ["at <= 'now'", "at < 'today'::timestamp", "at > date ' Tomorrow '"])
def test_condition_that_depends_on_the_current_time_is_refused(sync, where):
    sync.sql("CREATE TABLE things (id int PRIMARY KEY, at timestamp, word text)", "INSERT INTO things VALUES (1, '2020-01-01', 'now')")
    with pytest.raises(AssertionError):
        sync.start({"nodes": {"table": "things", "where": where}}, wait=3)
    said = sync.run.condition("SchemaAccepted")
    assert said["reason"] == "InvalidExpression" and "a different time whenever" in said["message"]
    sync.run.stop()
    sync.start({"nodes": {"table": "things", "columns": ["id"], "where": "word = 'now'"}})
    sync.becomes({"1": {"id": 1}})
