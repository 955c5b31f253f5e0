"""Large values that no document uses are not in the stream: the publication names the columns that it needs."""

import bookstore
import pytest
from parts import postgres as server
from parts.search import eventually
from parts.worker import pgsync, write_manifest

pytestmark = pytest.mark.skipif(float(server.VERSION) < 15, reason="Postgres 14 publishes whole rows")
MANY = {"type": "one_to_many", "variant": "object"}
TREE = {"table": "t", "columns": ["id", "name"], "children": [{"table": "c", "columns": ["id", "v"], "relationship": MANY}]}


def manifest(database, urls, index, nodes=TREE):
    made = bookstore.resource("large", database, urls)
    made["spec"]["schema"] = [{"index": index, "nodes": nodes}]
    return [bookstore.secret("bookstore-postgres", password=database.role_password), made]


def published(database):
    """{table: columns, or None for all} of the only publication."""
    return dict(database.sql("""
        SELECT c.relname, (SELECT array_agg(a.attname::text ORDER BY a.attnum) FROM pg_attribute a
                           WHERE a.attrelid = c.oid AND a.attnum = ANY (r.prattrs::int2[])) FROM pg_publication_rel r JOIN pg_class c ON c.oid = r.prrelid"""))


@pytest.fixture
def tables(database):
    """No document uses `body` of t; the rows of c are found by their link, which an index on NOT NULL columns covers."""
    database.sql("""
        CREATE TABLE t (id int PRIMARY KEY, name text, body bytea);
        CREATE TABLE c (id int PRIMARY KEY, t_id int NOT NULL REFERENCES t, v int, body text, UNIQUE (t_id, id)); CREATE INDEX ON c (t_id);
        INSERT INTO t SELECT i, 'a', '' FROM generate_series(1, 9) i; INSERT INTO c SELECT i, i, 1, '' FROM generate_series(1, 9) i""")
    database.create_role()
    return database


def equal(opensearch, index, database):
    def wanted():
        of_root = {str(id): {"id": id, "name": name, "c": None} for id, name in database.sql("SELECT id, name FROM t")}
        for id, root, v in database.sql("SELECT id, t_id, v FROM c ORDER BY id"):
            of_root[str(root)]["c"] = [*(of_root[str(root)]["c"] or []), {"id": id, "v": v}]
        return of_root

    eventually(lambda: opensearch.documents(index) == wanted(), 60, lambda: f"{wanted()} ({opensearch.documents(index)})", interval=0.2)


def test_half_a_gigabyte_in_a_column_that_no_document_uses(tables, worker, opensearch, index):
    run = worker(manifest(tables, opensearch.url, index)).start()
    run.wait_ready(30)
    assert published(tables) == {"t": ["id"], "c": ["id", "t_id"]}
    tables.sql("UPDATE t SET body = convert_to(repeat('x', 500000000), 'UTF8'), name = 'b' WHERE id = 1")
    tables.sql("UPDATE c SET body = repeat('x', 50000000), v = 2, t_id = 3 WHERE id = 2; INSERT INTO c VALUES (10, 4, 3, repeat('y', 50000000))")
    tables.sql("DELETE FROM c WHERE id = 5; UPDATE t SET name = 'c' WHERE id = 6")
    equal(opensearch, index, tables)
    assert run.metric("process_resident_memory_bytes") < 32 << 20
    assert opensearch.aliases(index) == [f"{index}-g1"]


def test_columns_follow_what_the_documents_and_the_tables_become(tables, worker, opensearch, index):
    """Without another generation, unless the documents themselves are different."""
    run = worker(manifest(tables, opensearch.url, index)).start()
    run.wait_ready(30)
    # A publication as a worker without column lists left it.
    run.stop()
    (name,) = tables.publications()
    tables.sql(f'ALTER PUBLICATION "{name}" SET TABLE t, c')
    run = worker(manifest(tables, opensearch.url, index)).start()
    eventually(lambda: published(tables) == {"t": ["id"], "c": ["id", "t_id"]}, 20, lambda: f"lists ({published(tables)})")
    run.wait_ready(30)
    # The identity becomes the whole row: changes continue, and all columns are published.
    tables.sql("ALTER TABLE t DROP COLUMN body")
    eventually(lambda: published(tables)["t"] is None, 20, lambda: f"all columns ({published(tables)})")
    tables.sql("UPDATE t SET name = 'd'")
    run.wait_ready(30)
    equal(opensearch, index, tables)
    generation = opensearch.aliases(index)
    tables.sql("ALTER TABLE t ADD COLUMN body text; UPDATE t SET name = 'e', body = 'f'")
    eventually(lambda: published(tables)["t"] == ["id"], 20, lambda: f"a list ({published(tables)})")
    run.wait_ready(30)
    equal(opensearch, index, tables)
    assert opensearch.aliases(index) == generation


def test_plan_says_which_tables_keep_large_values_in_the_stream(tables, state, unique, opensearch, index):
    tables.sql("ALTER TABLE t REPLICA IDENTITY FULL")
    code, out, err = pgsync("plan", "-f", write_manifest(state / f"{unique}.yaml", manifest(tables, opensearch.url, index)))
    assert code == 0 and "public.t: has columns that no document uses and whose values may be large" in out + err, out + err
    assert "public.c: has columns" not in out + err


def test_rows_of_an_identity_that_changes_are_refused_for_no_longer_than_the_worker_takes(tables, worker, opensearch, index):
    """Postgres refuses changes of a table whose replica identity is not among the published columns."""
    run = worker(manifest(tables, opensearch.url, index)).start()
    run.wait_ready(30)
    tables.sql("ALTER TABLE t REPLICA IDENTITY FULL")

    def change():
        try:
            tables.sql("UPDATE t SET name = 'z' WHERE id = 7")
        except Exception:  # noqa: BLE001
            return False
        return True

    eventually(change, 20, "a change", interval=0.5)
    equal(opensearch, index, tables)
