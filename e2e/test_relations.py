"""Routing, and relations that are not plain tables: partitioned tables, views, materialized views."""

import random

import pytest
from bookstore import secret
from parts.search import eventually


class Sync:
    """A worker over a database whose objects belong to its role, and what its index holds."""

    def __init__(self, database, opensearch, worker, index):
        self.database, self.opensearch, self.make_worker, self.index = database, opensearch, worker, index
        self.run = None

    def sql(self, *statements):
        """Each statement a transaction of its own, as the worker's role."""
        with self.database.server.connect(self.database.name, self.database.role, self.database.role_password) as connection:
            for statement in statements:
                cursor = connection.execute(statement)
            return cursor.fetchall() if cursor.description else []

    def start(self, document, **source):
        spec = {
            "source": {"host": "127.0.0.1", "port": self.database.server.port, "database": self.database.name,
                       "user": self.database.role, "passwordSecretRef": {"name": "postgres", "key": "password"}, **source},
            "sink": {"urls": [self.opensearch.url]},
            "schema": [{"index": self.index, **document}],
        }
        self.run = self.make_worker([secret("postgres", password=self.database.role_password),
                                     {"apiVersion": "pgsync.io/v1alpha1", "kind": "PgSync", "metadata": {"name": "books"}, "spec": spec}])
        self.run.start()
        self.ready()
        return self

    def ready(self):
        eventually(lambda: self.run.condition("Ready").get("status") == "True", 30, lambda: f"Ready ({self.run.status()})")

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
        """Waits until the index holds just these documents, {id: source}."""
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
    """What must be where, by two plain queries."""
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


def test_routed_documents_are_where_their_field_says_and_move_with_it(sync):
    _routed(sync)
    _settle(sync, lambda: _places_of(sync))
    sync.sql("UPDATE places SET city = 'Paris' WHERE id = 1", "UPDATE places SET city = NULL WHERE id = 2",
             "DELETE FROM places WHERE id = 3", "UPDATE places SET id = 40 WHERE id = 4 AND id NOT IN (SELECT place_id FROM visits)",
             "INSERT INTO visits VALUES (100, 5, 'late')", "UPDATE places SET city = 'Oslo' WHERE id = 2",
             "BEGIN; UPDATE places SET city = 'x' WHERE id = 6; UPDATE places SET city = 'y' WHERE id = 6; COMMIT")
    _settle(sync, lambda: _places_of(sync))
    found = sync.opensearch.http.get(f"{sync.opensearch.url}/{sync.index}/_doc/1", params={"routing": "Paris"}, timeout=10).json()
    assert found["found"] and found["_source"]["name"] == "place 1"


def test_routed_documents_after_many_random_moves_are_at_one_place_each(sync):
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


def test_a_routed_document_that_is_rejected_leaves_its_old_place_and_heals(sync):
    _routed(sync, mapping={"name": {"type": "keyword", "ignore_above": 1000}, "city": {"type": "date", "format": "yyyy"}})
    letters = f"{sync.index}-dead-letters"
    eventually(lambda: sync.opensearch.indices(letters) and sync.opensearch.count(letters) == 9, 10, "a letter for each document")
    sync.sql("UPDATE places SET city = '2001' WHERE id = 1")
    eventually(lambda: [p[:2] for p in sync.places()] == [("1", "2001")], 10, lambda: f"one document ({sync.places()})")
    eventually(lambda: sync.opensearch.count(letters) == 8, 10, "one letter less", interval=0.1)
    sync.sql("UPDATE places SET city = 'nowhere' WHERE id = 1")
    eventually(lambda: sync.places() == [], 10, lambda: f"no document at the old place ({sync.places()})")
    eventually(lambda: sync.opensearch.count(letters) == 9, 10, "its letter", interval=0.1)


def test_routing_that_the_wal_does_not_hold_builds_the_index_anew(sync):
    _routed(sync)
    sync.sql("ALTER TABLE places REPLICA IDENTITY DEFAULT; UPDATE places SET city = 'Paris' WHERE id = 1;"
             " DELETE FROM places WHERE id = 2")
    _settle(sync, lambda: _places_of(sync), 40)
    sync.sql("UPDATE places SET city = 'Rome' WHERE id = 1")
    _settle(sync, lambda: _places_of(sync))
