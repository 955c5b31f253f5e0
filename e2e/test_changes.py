"""After each of many single changes, on every construct of the grammar and on random trees, the index equals an
assembly of the documents in Python.

E2E_TREES is how many random trees (seeds from 0 on; "17-19,40" names them), E2E_CHANGES how many changes of each construct,
E2E_SECONDS how long each may take: more than the documented second, because these tests share their machine. `make changes` enforces
that second on a dedicated machine, with many changes of each construct.

E2E_CATALOG is how often a row of changes of the catalog is made (again, seeds); E2E_CATALOG_CHANGES how many each has.
"""

import json
import os
import random
import time

import assembly
import bookstore
import catalog_changes
import changes
import constructs
import pytest
import tables
import trees
from parts.postgres import Database
from parts.search import eventually
from pgsync import condition
from test_catalog import sync  # noqa: F401, a fixture

CHANGES = int(os.environ.get("E2E_CHANGES", 15))
SECONDS = float(os.environ.get("E2E_SECONDS", 5))  # from commit to equality; 1 on a machine that does nothing else
PATIENCE = max(10, SECONDS)  # how long to find out whether it is late or wrong


def _seeds(name, default):
    wanted = os.environ.get(name, default)
    if wanted.isdigit():
        return range(int(wanted))
    ranges = [r.partition("-") for r in wanted.split(",")]
    return [seed for first, _, last in ranges for seed in range(int(first), int(last or first) + 1)]


class Subject:
    """A construct in a separate database, and its indices."""

    def __init__(self, construct, database: Database, engine, prefix):
        self.construct, self.database, self.engine = construct, database, engine
        database.create_role()
        database.sql(f'GRANT ALL ON SCHEMA public TO "{database.role}"')
        # As the role that publishes the tables, so that it owns them.
        self.connection, self.second = (database.server.connect(database.name, database.role, database.role_password) for _ in range(2))
        construct.load(self.connection)
        self.name, self.schema = prefix, construct.documents(prefix)
        self.catalog = tables.read(self.connection)
        self.seen = {document["index"]: {} for document in self.schema}  # ids that were ever wanted
        self.history = []

    def objects(self):
        """The manifest of a PgSync for the construct."""
        secret = f"{self.name}-postgres"
        made = bookstore.resource(self.name, self.database, self.engine.url, secret=secret)
        made["spec"]["schema"] = self.schema
        for path, value in self.construct.spec.items():
            bookstore.set_path(made["spec"], path, value)
        objects = [bookstore.secret(secret, password=self.database.role_password), made]
        if self.construct.options.get("config_map"):
            del made["spec"]["schema"]
            made["spec"]["schemaConfigMapRef"] = {"name": self.name, "key": "schema.json"}
            objects.insert(0, {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": self.name},
                            "data": {"schema.json": json.dumps(self.schema)}})
        return objects

    def prepare(self):
        pipelines = self.construct.options.get("pipelines", {})
        if pipelines and not self.engine.processors:
            pytest.skip(f"{self.engine.tool} is started without ingest processors")
        for name, body in pipelines.items():
            self.engine.request("PUT", f"_ingest/pipeline/{name}", body)

    def _assembled(self, node):
        """The tree with some relations replaced: a materialized view by a plain one."""
        places = self.construct.options.get("assembled_from", {})
        return {**node, "label": node.get("label") or node["table"], "table": places.get(node["table"], node["table"]),
                "children": [self._assembled(c) for c in node.get("children", [])]}

    def wanted(self):
        options = self.construct.spec.get("documents", {})
        made = {}
        for document in self.schema:
            found = assembly.assemble(self.connection, {**document, "nodes": self._assembled(document["nodes"])}, catalog=self.catalog, id_format=options.get("idFormat", "Escaped"),
                                      meta=options.get("meta"))
            made[document["index"]] = {id: self.construct.finished(d) for id, d in found.items()}
            self.seen[document["index"]].update(dict.fromkeys(found))
        return made

    # --- what the index contains

    def by_id(self, index):
        """The current documents of all ids that were ever wanted."""
        ids = list(self.seen[index])
        if not ids:
            return {}
        answer = self.engine.request("POST", f"{index}/_mget", {"ids": ids}, ok=(200, 404))
        return {d["_id"]: d["_source"] for d in answer.get("docs", []) if d.get("found")}

    def by_search(self, index):
        """All documents; {} while there is no index. A document on two shards is listed twice."""
        self.engine.request("POST", f"{index}/_refresh", ok=(200, 404))
        answer = self.engine.request("POST", f"{index}/_search", {"size": 5000}, ok=(200, 404))
        found = {}
        for hit in answer.get("hits", {}).get("hits", []):
            found[hit["_id"] + " again" * (hit["_id"] in found)] = hit["_source"]
        return found

    def settle(self, read, patience=PATIENCE):
        """Waits until the indices equal the tables; returns how long it took, and what differs at the end."""
        begin, wanted, pause = time.monotonic(), self.wanted(), 0.004
        while True:
            different = {i: d for i in wanted if (d := assembly.differences(read(i), wanted[i]))}
            waited = time.monotonic() - begin
            if not different or waited > patience:
                return waited, different
            time.sleep(pause)
            pause = min(pause * 1.3, 0.05)

    def compare(self, read=None, within=SECONDS):
        read = read or (self.by_search if self.construct.options.get("routed") else self.by_id)
        waited, different = self.settle(read)
        lines = "\n".join(f"  {i}: {line}" for i, found in different.items() for line in found)
        assert not different, f"not equal after {self._last()}:\n{lines}"
        if os.environ.get("E2E_TIMES"):
            print(f"{waited:.3f} {self._last().splitlines()[-1][:100]}")
        assert waited <= within, f"equal only {waited:.2f} s after {self._last()}"

    def _last(self):
        return "\n".join(f"change {n}: {sql}" for n, sql in enumerate(self.history[-3:], max(1, len(self.history) - 2))) or "the bootstrap"

    # --- changes

    def _rebuilds(self, change):
        """Whether it is followed by a new index, which takes longer than a document. A TRUNCATE of a partitioned root is."""
        statement = self.construct.options.get("rebuilt_by")
        return bool(statement) and statement in change

    def run_changes(self, count, seed=0):
        """Makes single changes, each followed by a comparison, until `count` are done."""
        source = changes.Changes(self.connection, random.Random(f"{self.construct.name} {seed}"), self.construct.schema,
                                 self.construct.choices, other=self.second)
        made = 0
        while made < count:
            before = made
            for step in source.deck():
                try:
                    self.history.append(step())
                except changes.NoChange:
                    continue
                self.compare(within=PATIENCE if self._rebuilds(self.history[-1]) else SECONDS)
                made += 1
                if made == count:
                    break
            assert made > before, "no change is possible"
        # Anything else in the index.
        self.compare(self.by_search, within=PATIENCE)

    def no_dead_letters(self):
        for index in self.seen:
            dead = f"{index}-dead-letters"
            assert not self.engine.indices(dead) or self.engine.count(dead) == 0, self.engine.documents(dead)

    def close(self):
        self.connection.close()
        self.second.close()
        for index in self.seen:
            self.engine.delete_indices(f"{index}-*")


@pytest.fixture
def subject(database, opensearch, unique):
    made = []

    def make(construct):
        made.append(Subject(construct, database, opensearch, unique.replace("_", "-")))
        return made[-1]

    yield make
    for each in made:
        each.close()


def _check_accepted(resource):
    """Skips what this version reports as not supported; fails if a schema is refused for any other reason."""
    for found in condition(resource, "SchemaAccepted"), condition(resource, "Stalled"):
        if found.get("reason") == "NotSupported":
            pytest.skip(found["message"])
    accepted = condition(resource, "SchemaAccepted")
    assert accepted.get("status") != "False", f"{accepted['reason']}: {accepted['message']}"


def _follow(subject, ready, count):
    """Waits for the first documents, then makes changes."""
    eventually(ready, 60, "Ready")
    subject.compare(within=PATIENCE)
    subject.run_changes(count)
    subject.no_dead_letters()
    eventually(ready, 10, "Ready after the changes")


@pytest.fixture
def follow(subject, worker):
    """`pgsync run` over a construct, with changes."""

    def run(construct, count=CHANGES):
        made = subject(construct)
        made.prepare()
        run = worker(made.objects()).start()

        def ready():
            run.process.check()
            _check_accepted(run.status())
            return run.condition("Ready").get("status") == "True"

        _follow(made, ready, count)
        assert run.stop() == 0

    return run


@pytest.mark.parametrize("seed", _seeds("E2E_TREES", "4"))
def test_random_tree_follows_every_change(seed, follow):
    follow(trees.random_tree(seed))


@pytest.mark.parametrize("construct", constructs.CONSTRUCTS, ids=lambda c: c.name.replace(" ", "_"))
def test_construct_follows_every_change(construct, follow):
    follow(construct)


OPERATED = ["two schemas", "composite keys", "through at every level", "self-reference", "move", "several documents with several roots", "routing",
            "where, order by and limit together", "expressions", "nine levels", "meta as in pgsync"]


@pytest.mark.parametrize("construct", [c for c in constructs.CONSTRUCTS if c.name in OPERATED] + [trees.random_tree(s) for s in (1001, 1002)],
                         ids=lambda c: c.name.replace(" ", "_"))
def test_operator_follows_every_change(construct, subject, operator, resources):
    made = subject(construct)
    made.prepare()
    resources.apply(*made.objects())

    def ready():
        found = resources.get(made.name)
        _check_accepted(found)
        return condition(found, "Ready").get("status") == "True"

    _follow(made, ready, CHANGES)


# --- the catalog


class Catalog:
    """Random changes of the catalog under documents that follow it."""

    def __init__(self, sync, connection, random):
        self.sync, self.connection, self.random, self.history = sync, connection, random, []
        self.changes = catalog_changes.CatalogChanges(connection, random)

    def _run(self, statements):
        with self.connection.transaction():
            self.connection.execute(statements)
        self.history.append(statements)

    def _rows(self):
        """Some changes of rows, of the tables as they are now."""
        source = changes.Changes(self.connection, self.random, choices=catalog_changes.CHOICES)
        deck = [(make, table) for make in (source.insert, source.update, source.delete, source.reparent) for table in source.tables.values()]
        for make, table in self.random.sample(deck, 3):
            try:
                self.history.append(source.apply(make, table))
            except changes.NoChange:
                continue

    def change(self):
        """One change; undone at once, after other rows, after the catalog was looked at, or not at all."""
        stays = self.random.random() < 0.5
        try:
            there, back = self.random.choice(self.changes.lasting() if stays else self.changes.undone())()
        except changes.NoChange:
            return
        self._run(there)
        self._rows()
        if not stays:
            time.sleep(self.random.choice([0, 0, 0.3, 1.5]))
            self._run(back)
            self._rows()

    def wanted(self):
        found = {}
        for id, row, f, kids, one, seen in self.connection.execute(catalog_changes.WANTED):
            kids, one, seen = map(assembly.parse, (kids, one, seen))
            found[id] = {**assembly.parse(row), "f": f, "kids": kids, "ones": one, "seen": seen}
        return found

    def compare(self):
        """Waits until the documents are what SQL says, and nothing is left that would change them."""
        def different():
            return assembly.differences(self.sync.documents(), self.wanted()) if self.sync.opensearch.aliases(self.sync.index) else ["no index"]

        steps = "\n".join(self.history)
        eventually(lambda: not different(), 60, lambda: f"{different()} not to differ ({self.sync.run.status()}) after\n{steps}", interval=0.2)
        self.sync.ready(60)
        assert not (found := different()), f"{found} after\n{steps}"
        self.history.clear()


@pytest.mark.parametrize("seed", _seeds("E2E_CATALOG", "1"))
def test_documents_follow_random_changes_of_the_catalog(seed, sync):  # noqa: F811
    sync.sql(*catalog_changes.MADE)
    sync.start(catalog_changes.DOCUMENT)
    with sync.database.server.connect(sync.database.name, sync.database.role, sync.database.role_password) as connection:
        catalog = Catalog(sync, connection, random.Random(f"catalog {seed}"))
        catalog.compare()
        for number in range(1, 1 + int(os.environ.get("E2E_CATALOG_CHANGES", 8))):
            catalog.change()
            if number % 4 == 0:
                catalog.compare()
        catalog.compare()
