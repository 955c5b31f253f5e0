"""The plans that Postgres makes for a document query of four levels over 200,000 roots: set-based, however many rows."""

import os
import re
import statistics
import time
from pathlib import Path

import bookstore
import pytest
from parts.worker import pgsync, write_manifest
from psycopg.types.json import set_json_loads

GOLDEN = Path(__file__).parent / "testdata/plans.txt"
ROOTS, BATCH = 200_000, 1_000

DDL = f"""
    CREATE TABLE customers (id bigint PRIMARY KEY, name text NOT NULL);
    CREATE TABLE orders (id bigint PRIMARY KEY, customer_id bigint NOT NULL REFERENCES customers, placed_on date);
    CREATE TABLE items (id bigint PRIMARY KEY, order_id bigint NOT NULL REFERENCES orders, product text);
    CREATE TABLE notes (id bigint PRIMARY KEY, item_id bigint NOT NULL REFERENCES items, text text);
    SET session_replication_role = replica;
    INSERT INTO customers SELECT i, 'customer ' || i FROM generate_series(1, {ROOTS}) i;
    INSERT INTO orders SELECT i, 1 + i * 7919::bigint % {ROOTS}, date '2020-01-01' + i % 1000 FROM generate_series(1, {ROOTS} * 3 / 2) i;
    INSERT INTO items SELECT i, 1 + i * 104729::bigint % ({ROOTS} * 3 / 2), 'product ' || i % 500 FROM generate_series(1, {ROOTS} * 2) i;
    INSERT INTO notes SELECT i, 1 + i * 1299709::bigint % ({ROOTS} * 2), 'note ' || i FROM generate_series(1, {ROOTS} * 2) i;
    CREATE INDEX ON orders (customer_id);
    CREATE INDEX ON items (order_id);
    CREATE INDEX ON notes (item_id);
"""


def node(table, columns, *children, root=False):
    made = {"table": table, "columns": columns, "children": list(children)}
    return made if root else {**made, "relationship": {"type": "one_to_many", "variant": "object"}}


def sections(text):
    """{title: lines} of what `pgsync plan` prints."""
    return {m[1]: [line[4:] for line in m[2].splitlines()] for m in re.finditer(r"^(\S.*):\n((?:    .*\n)+)", text, re.M)}


@pytest.fixture(scope="module")
def plans(postgres, opensearch, state):
    """The sections that `pgsync plan` prints for the four levels, and their database."""
    database = postgres.create_database("plans_of_four_levels")
    database.sql(DDL)
    database.sql("ANALYZE")
    database.create_role()
    resource = bookstore.resource("plans", database, opensearch.url, index="plans")
    resource["spec"]["schema"][0]["nodes"] = node(
        "customers", ["name"],
        node("orders", ["placed_on"], node("items", ["product"], node("notes", ["text"]))), root=True)
    secret = bookstore.secret("bookstore-postgres", password=database.role_password)
    code, out, err = pgsync("plan", "-f", write_manifest(state / "plans.yaml", [secret, resource]))
    assert code == 0, out + err
    yield sections(out), database
    database.drop()


def shape(lines):
    """A plan without the parts that depend on the statistics of the run."""
    return [re.sub(r"  \(cost=.*\)$", "", line) for line in lines]


def test_plans_are_set_based(plans):
    """With PGSYNC_GOLDEN=write the expected file is rewritten; review the diff."""
    found = "\n".join("\n".join([f"{title}:", *shape(lines), ""]) for title, lines in plans[0].items() if title.startswith("Plan of"))
    assert found.count("Plan of") == 2
    assert "SubPlan" not in found
    if os.environ.get("PGSYNC_GOLDEN") == "write":
        GOLDEN.write_text(found)
    assert found == GOLDEN.read_text()


def test_the_whole_table_in_one_range_is_hashed_once(plans):
    """A query over everything reads each table once: no loop over rows, and far below what loops would take."""
    texts, database = plans
    sql = "\n".join(texts["Documents by range of blocks"]).replace("$1::tid", "'(0,0)'::tid").replace("$2::tid", "'(1000000,0)'::tid")
    with database.connect() as connection:
        connection.execute("SET jit = off; SET random_page_cost = 1.1; SET max_parallel_workers_per_gather = 0")
        plan = "\n".join(row[0] for row in connection.execute("EXPLAIN (ANALYZE, TIMING OFF) " + sql))
    loops = [int(n) for n in re.findall(r"loops=(\d+)", plan)]
    assert max(loops) == 1, plan


def test_a_batch_reads_only_its_own_rows(plans):
    """1,000 of 200,000 roots: by index, none of the tables from end to end, no node of the plan sees more than a few rows a
    document. The time is printed."""
    texts, database = plans
    sql = "\n".join(texts["Documents by key"])
    ids = "{" + ",".join(str(1 + i * 97) for i in range(BATCH)) + "}"
    with database.connect() as connection:
        connection.execute("SET jit = off; SET random_page_cost = 1.1; SET max_parallel_workers_per_gather = 0;"
                           " SET plan_cache_mode = force_generic_plan")
        set_json_loads(bytes, connection)  # the worker does not read documents either
        connection.execute(f"PREPARE batch AS {sql}")
        taken = []
        for _ in range(7):
            begin = time.monotonic()
            rows = connection.execute(f"EXECUTE batch('{ids}')").fetchall()
            taken.append(time.monotonic() - begin)
        plan = "\n".join(row[0] for row in connection.execute(f"EXPLAIN (ANALYZE, TIMING OFF) EXECUTE batch('{ids}')"))
    print(f"a batch of {BATCH} documents of four levels: {1000 * statistics.median(taken):.1f} ms")
    assert len(rows) == BATCH
    assert "Seq Scan" not in plan, plan
    rows = [int(n) * int(loops) for n, loops in re.findall(r"actual rows=(\d+)(?:\.\d+)? loops=(\d+)", plan)]
    assert rows and max(rows) < 20 * BATCH, plan
