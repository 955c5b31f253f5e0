"""How rows are joined: links compare as Postgres' own foreign keys do, and `plan` refuses columns that cannot be compared."""

import bookstore
import pytest
from parts import postgres as server
from parts.search import eventually
from parts.worker import pgsync, write_manifest

MANY = {"type": "one_to_many", "variant": "object"}
ONE = {"type": "one_to_one", "variant": "object"}


def manifest(database, urls, documents):
    """documents: {index: nodes}."""
    made = bookstore.resource("keys", database, urls)
    made["spec"]["schema"] = [{"index": index, "nodes": nodes} for index, nodes in documents.items()]
    return [bookstore.secret("bookstore-postgres", password=database.role_password), made]


def plan(state, unique, database, nodes, url="http://127.0.0.1:9"):
    code, out, err = pgsync("plan", "-f", write_manifest(state / f"{unique}.yaml", manifest(database, url, {"keys": nodes})))
    return code, out + err


# From Postgres 18 on, a nondeterministic collation has to be that of both columns of a foreign key.
COLLATIONS = [("C", "POSIX"), ("POSIX", "default"), ("default", "C"), ("loose", "loose"),
              *([("loose", "default"), ("default", "loose"), ("loose", "C")] if float(server.VERSION) < 18 else [])]


@pytest.mark.parametrize("parent,child", COLLATIONS)
def test_links_of_columns_with_different_collations(database, worker, opensearch, index, parent, child):
    """From the parent to its children, from the child to its parent, and through a third table; `loose` takes upper and lower case for equal."""
    database.sql(f"""
        CREATE COLLATION loose (provider = icu, locale = 'und-u-ks-level2', deterministic = false);
        CREATE TABLE t (id int UNIQUE NOT NULL, k text COLLATE "{parent}" PRIMARY KEY, name text);
        CREATE TABLE c (id int PRIMARY KEY, k text COLLATE "{child}" REFERENCES t, v int); CREATE INDEX ON c (k);
        CREATE TABLE links (k text COLLATE "{child}" REFERENCES t, c_id int REFERENCES c, PRIMARY KEY (k, c_id)); CREATE INDEX ON links (c_id);
        INSERT INTO t SELECT i, 'Key' || i, 'name' || i FROM generate_series(1, 5) i""")
    loose = parent == "loose"
    database.sql(f"INSERT INTO c SELECT i, {'lower' if loose else ''}('Key' || (1 + i / 2)), i FROM generate_series(1, 8) i")
    database.sql("INSERT INTO links SELECT k, id FROM c WHERE id % 2 = 0")
    if loose:
        database.sql("INSERT INTO c VALUES (50, 'KEY2', 50)")  # beside 'key2': both are children of 'Key2'
    database.create_role()
    below = {"table": "t", "primary_key": ["id"], "columns": ["k"], "children": [
        {"table": "c", "columns": ["id", "v"], "relationship": MANY},
        {"table": "c", "label": "linked", "columns": ["id"], "relationship": {**MANY, "through_tables": ["links"]}}]}
    above = {"table": "c", "columns": ["id"], "children": [{"table": "t", "columns": ["name"], "relationship": ONE}]}
    run = worker(manifest(database, opensearch.url, {f"{index}-below": below, f"{index}-above": above})).start()
    run.wait_ready(30)

    def wanted():
        of_parent = {k: {"k": k, "c": None, "linked": None} for (k,) in database.sql("SELECT k FROM t")}
        for k, id, v in database.sql(f'SELECT t.k, c.id, c.v FROM t JOIN c ON t.k = c.k COLLATE "{parent}" ORDER BY c.id'):
            of_parent[k]["c"] = [*(of_parent[k]["c"] or []), {"id": id, "v": v}]
        for k, id in database.sql(f'SELECT t.k, l.c_id FROM t JOIN links l ON t.k = l.k COLLATE "{parent}" ORDER BY l.c_id'):
            of_parent[k]["linked"] = [*(of_parent[k]["linked"] or []), {"id": id}]
        of_child = {str(id): {"id": id, "t": name and {"name": name}} for id, name in
                    database.sql(f'SELECT c.id, t.name FROM c LEFT JOIN t ON t.k = c.k COLLATE "{parent}"')}
        return of_parent, of_child

    def found():
        return opensearch.documents(f"{index}-below"), opensearch.documents(f"{index}-above")

    assert found() == wanted()
    database.sql("UPDATE c SET v = v + 1; UPDATE t SET name = name || '!'; UPDATE c SET k = 'Key1' WHERE id = 8; DELETE FROM links WHERE c_id = 2; INSERT INTO links SELECT k, 3 FROM c WHERE id = 3")
    eventually(lambda: found() == wanted(), 10, lambda: f"{wanted()} ({found()})")
    if loose:
        database.sql("UPDATE c SET v = 0 WHERE id = 50; UPDATE t SET k = 'KEY3' WHERE k = 'Key3'")
        eventually(lambda: found() == wanted(), 10, lambda: f"{wanted()} ({found()})")


@pytest.mark.parametrize("upper,lower,words", [
    ("json", "json", "has type json, whose values cannot be compared; name columns of another type, such as jsonb"),
    ("point", "point", "has type point, whose values cannot be compared"),
    ("point[]", "point[]", "has type point[], whose values cannot be compared"),
    ("xml", "xml", "has type xml, whose values cannot be compared"),
    ("xid", "xid", "has type xid, whose values cannot be compared"),
    ("money", "integer", "cannot be compared with column"),
    ("oid", "numeric", "cannot be compared with column"),
])
def test_links_that_cannot_be_compared_are_refused_with_their_path(state, unique, database, upper, lower, words):
    database.sql(f"CREATE TABLE t (id int PRIMARY KEY, a {upper}); CREATE TABLE c (id int PRIMARY KEY, b {lower})")
    database.create_role()
    code, said = plan(state, unique, database, {"table": "t", "columns": ["id"], "children": [
        {"table": "c", "columns": ["id"], "relationship": {**MANY, "foreign_key": {"parent": ["a"], "child": ["b"]}}}]})
    assert code == 1 and words in said, said
    assert "spec.schema[0].nodes.children[0].relationship.foreign_key" in said


def test_links_of_every_type_that_compares_are_taken(state, unique, database, opensearch):
    types = ["money", "uuid", "bytea", "int4range", "numeric(8,2)", "inet", "interval", "point_of_view"]
    database.sql("CREATE TYPE point_of_view AS (a int, b text);" + "".join(
        f"CREATE DOMAIN d{i} AS {type}; CREATE TABLE t{i} (id int PRIMARY KEY, a {type}); CREATE TABLE c{i} (id int PRIMARY KEY, b d{i});"
        for i, type in enumerate(types)))
    database.create_role()
    for i, type in enumerate(types):
        code, said = plan(state, unique, database, {"table": f"t{i}", "columns": ["id"], "children": [
            {"table": f"c{i}", "columns": ["id"], "relationship": {**MANY, "foreign_key": {"parent": ["a"], "child": ["b"]}}}]}, opensearch.url)
        assert code == 0, f"{type}: {said}"


def test_key_of_a_view_that_cannot_be_sorted_is_refused_with_its_path(state, unique, database):
    database.sql("CREATE TABLE t (id int PRIMARY KEY, a point); CREATE VIEW v AS SELECT * FROM t")
    database.create_role()
    database.sql(f'GRANT SELECT ON v TO "{database.role}"')
    code, said = plan(state, unique, database, {"table": "v", "primary_key": ["a"], "base_tables": ["t"]})
    assert code == 1 and "spec.schema[0].nodes.primary_key[0]: column `a` has type point, whose values cannot be sorted" in said, said


def test_generated_key_of_the_root_is_refused_with_what_to_do(state, unique, database):
    database.sql("CREATE TABLE t (a int NOT NULL, id int PRIMARY KEY GENERATED ALWAYS AS (a * 2) STORED)")
    database.create_role()
    code, said = plan(state, unique, database, {"table": "t", "columns": ["a"]})
    assert code == 1 and "column `id` of the root's key is generated" in said and "use a table whose primary key" in said, said


def test_temporal_foreign_key_is_not_taken_for_a_link(own_postgres, state, unique, opensearch):
    """It says which rows overlap; joined as if its columns were equal, documents would lack most of their children."""
    database = own_postgres(version="18.1", fsync=False).create_database(unique)
    database.sql("CREATE EXTENSION btree_gist; CREATE TABLE t (id int, valid daterange, PRIMARY KEY (id, valid WITHOUT OVERLAPS));"
                 "CREATE TABLE c (id int PRIMARY KEY, t_id int NOT NULL, valid daterange, FOREIGN KEY (t_id, PERIOD valid) REFERENCES t (id, PERIOD valid))")
    database.create_role()
    nodes = {"table": "t", "columns": ["id"], "children": [{"table": "c", "columns": ["id"], "relationship": dict(MANY)}]}
    code, said = plan(state, unique, database, nodes, opensearch.url)
    assert code == 1 and "spec.schema[0].nodes.children[0].relationship" in said and "there is no foreign key between public.t and public.c" in said, said
    nodes["children"][0]["relationship"]["foreign_key"] = {"child": ["t_id"], "parent": ["id"]}
    code, said = plan(state, unique, database, nodes, opensearch.url)
    assert code == 0, said
