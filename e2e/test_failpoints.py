"""The main flow with a failure, a kill or a pause at each durable step: the index equals SQL every time.

The programs are those of bin-failpoint/ (`make failpoint-bin`). Most of these tests are marked `long`: `make failpoints`
runs all of them, the default run those of USUAL.
"""

import re
import threading

import bookstore
import pytest
from parts.operator import TREE
from parts.search import eventually

PROGRAMS = TREE / "bin-failpoint"
NAMES = re.findall(r'\bX\([A-Z_]+, "([a-z.]+)"\)', (TREE / "pkg/base/failpoint.h").read_text())
# Steps that the flow passes several times, later passes; and a pause in which the Lease expires.
FURTHER = ["bulk.sent=kill@2", "bulk.answered=kill@3", "acknowledged=kill@5", "checkpoint.saved=fail@2",
           "checkpoint.saved=kill@2", "checkpoint.saved=kill@3", "index.created=kill@2", "lease.renewed=wait:5000"]
ALL = [f"{name}={action}" for name in NAMES for action in ("fail", "kill", "wait:1500")] + FURTHER
USUAL = {"checkpoint.saved=kill", "alias.moved=kill", "bulk.answered=fail", "index.created=fail", "status.applied=kill"}
NAME = "orders"
# Long enough for a busy machine; the Lease of an operator that was killed expires soon.
PATIENCE = 90
LEASE = ("--leader-elect-lease-duration=4s", "--leader-elect-renew-deadline=3s", "--leader-elect-retry-period=500ms")

TABLES = """
CREATE TABLE orders (id int PRIMARY KEY, customer text, code text);
CREATE TABLE lines (id int PRIMARY KEY, order_id int REFERENCES orders ON DELETE CASCADE, article text);
CREATE INDEX ON lines (order_id);
INSERT INTO orders SELECT i, 'customer ' || i, i FROM generate_series(1, 50) i;
INSERT INTO lines SELECT i, 1 + i % 50, 'article ' || i FROM generate_series(1, 100) i;
UPDATE orders SET code = 'not a number' WHERE id = 7;
"""


def schema(index, columns):
    lines = {"table": "lines", "columns": ["article"], "relationship": {"type": "one_to_many", "variant": "object"}}
    return [{"index": index, "mapping": {"code": {"type": "long"}},
             "nodes": {"table": "orders", "columns": columns, "children": [lines]}}]


class Flow:
    """Orders with their lines, some of whose documents the index rejects, under an operator that is restarted whenever it has ended."""

    def __init__(self, operator, resources, database, engine, index):
        self.operator, self.resources, self.database, self.engine, self.index = operator, resources, database, engine, index
        self.columns = ["customer", "code"]
        self.stopping = threading.Event()
        self.keeper = threading.Thread(target=self._keep, daemon=True)

    def __enter__(self):
        self.operator.spawn()
        self.keeper.start()
        return self

    def __exit__(self, *exc):
        self.stopping.set()
        self.keeper.join()

    def _keep(self):
        while not self.stopping.wait(0.2):
            if not self.operator.process.alive:
                self.operator.spawn()

    def wanted(self):
        """The documents that the index accepts: the code of the others is not a number."""
        rows = self.database.sql("SELECT o.id, o.customer, o.code, (SELECT json_agg(json_build_object('article', l.article)"
                                 " ORDER BY l.id) FROM lines l WHERE l.order_id = o.id) FROM orders o"
                                 " WHERE o.code ~ '^[0-9]+$'")
        made = {str(id): {"customer": customer, "code": code, "lines": lines} for id, customer, code, lines in rows}
        return {id: {k: document[k] for k in [*self.columns, "lines"]} for id, document in made.items()}

    def differences(self):
        if not self.engine.aliases(self.index):
            return "there is no alias"
        return bookstore.differences(self.engine.documents(self.index), self.wanted())

    def equal(self):
        eventually(lambda: not self.differences(), PATIENCE, lambda: f"equality ({self.differences()})", interval=0.2)

    def apply(self):
        self.resources.apply(bookstore.secret("orders-postgres", password=self.database.role_password))
        made = bookstore.resource(NAME, self.database, self.engine.url, index=self.index, secret="orders-postgres",
                                  spec={"schema": schema(self.index, self.columns)})
        self.resources.apply(made)

    def ready(self):
        self.resources.wait(NAME, timeout=PATIENCE, generation=True)
        self.resources.wait(NAME, "Degraded", "True", reason="DeadLetters", timeout=PATIENCE)

    def last_generation(self):
        """A restarted bootstrap may have created more than one; in the end, only the live one is left."""
        eventually(lambda: self.engine.aliases(self.index) == self.engine.indices(f"{self.index}-g*"), PATIENCE,
                   lambda: f"one generation ({self.engine.indices(f'{self.index}-g*')})", interval=0.2)


def run_flow(flow):
    database = flow.database
    flow.apply()
    flow.ready()
    flow.equal()
    database.sql("UPDATE lines SET order_id = 2, article = 'moved' WHERE id = 3; DELETE FROM lines WHERE order_id = 4")
    database.sql("INSERT INTO orders VALUES (51, 'new', 51); INSERT INTO lines VALUES (101, 51, 'new'); DELETE FROM orders WHERE id = 5")
    database.sql("INSERT INTO orders VALUES (52, 'rejected', 'not one either'); UPDATE orders SET code = '7' WHERE id = 7")
    flow.equal()
    flow.columns = ["code"]
    flow.apply()
    flow.ready()
    flow.equal()
    database.sql("UPDATE lines SET article = 'after the rebuild' WHERE id = 6; DELETE FROM orders WHERE id = 9")
    flow.equal()
    flow.last_generation()
    flow.resources.delete(NAME, timeout=PATIENCE)
    assert database.slots() == [] and database.publications() == [], "the deletion left a slot or a publication behind"
    assert dict(database.replica_identities()) == {"lines": "d", "orders": "d"}, "replica identities were not restored"
    flow.equal()


@pytest.mark.parametrize("entry", [pytest.param(e, marks=() if e in USUAL else pytest.mark.long) for e in ALL])
def test_index_equals_the_tables_whatever_happens_at(entry, make_operator, resources, database, opensearch, unique, state):
    assert (PROGRAMS / "pgsync-operator").exists(), "the programs with failpoints are missing; run `make failpoint-bin`"
    log = state / f"failpoints-{unique}"
    environment = {"PGSYNC_FAILPOINTS": entry, "PGSYNC_FAILPOINTS_LOG": str(log)}
    operator = make_operator("failpoints", *LEASE, programs=PROGRAMS, environment=environment)
    database.sql(TABLES)
    database.create_role()
    with Flow(operator, resources, database, opensearch, unique.replace("_", "-")) as flow:
        run_flow(flow)
    assert log.read_text() == f"{entry}\n", "the flow did not pass the failpoint"
