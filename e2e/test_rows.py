"""One row never stops the others: if a row's values make a document fail, in the root or below it, a dead letter names the row."""

import bookstore
import pytest
from parts import postgres as server
from parts.postgres import Database
from parts.search import eventually

MANY = {"type": "one_to_many", "variant": "object"}
ONE = {"type": "one_to_one", "variant": "object"}
THROUGH = {**MANY, "through_tables": ["links"]}


def manifest(database, urls, documents, **spec):
    """documents: {index: nodes, or a whole document}."""
    made = bookstore.resource("rows", database, urls, spec=spec)
    made["spec"]["schema"] = [{"index": index, **(nodes if "nodes" in nodes else {"nodes": nodes})} for index, nodes in documents.items()]
    return [bookstore.secret("bookstore-postgres", password=database.role_password), made]


def dead_letters(opensearch, index):
    """{id: reason}"""
    opensearch.request("POST", f"{index}-dead-letters/_refresh", ok=(200, 404))
    if not opensearch.indices(f"{index}-dead-letters"):
        return {}
    return {id: letter["reason"] for id, letter in opensearch.documents(f"{index}-dead-letters").items()}


TABLES = """
    CREATE TABLE roots (id int PRIMARY KEY, n int, j json, word text);
    CREATE TABLE kids (id int PRIMARY KEY, root_id int REFERENCES roots, n int, j json, word text);
    CREATE INDEX ON kids (root_id);
    CREATE TABLE singles (root_id int PRIMARY KEY REFERENCES roots, n int, j json, word text);
    CREATE TABLE grandkids (id int PRIMARY KEY, kid_id int REFERENCES kids, n int, j json, word text);
    CREATE INDEX ON grandkids (kid_id);
    CREATE TABLE far (id int PRIMARY KEY, n int, j json, word text);
    CREATE TABLE links (root_id int REFERENCES roots, far_id int REFERENCES far, PRIMARY KEY (root_id, far_id));
    CREATE INDEX ON links (far_id);
"""
# Roots 1 to 40; each has a row of each table below it, of the same number.
ROWS = """
    INSERT INTO roots SELECT i, 1, '"fine"', '1' FROM generate_series({from}, {to}) i;
    INSERT INTO kids SELECT i, i, 1, '"fine"', '1' FROM generate_series({from}, {to}) i;
    INSERT INTO singles SELECT i, 1, '"fine"', '1' FROM generate_series({from}, {to}) i;
    INSERT INTO grandkids SELECT i, i, 1, '"fine"', '1' FROM generate_series({from}, {to}) i;
    INSERT INTO far SELECT i, 1, '"fine"', '1' FROM generate_series({from}, {to}) i;
    INSERT INTO links SELECT i, i FROM generate_series({from}, {to}) i;
"""

# How a row of one of these tables may fail: {name: (part of the node, text of the message)}
WAYS = {
    "path": ({"columns": ["id", "j->k"]}, "column `j`"),
    "text": ({"columns": ["id", "j->>k"]}, "column `j`"),
    "replace": ({"columns": ["id", "j"], "transform": {"replace": {"j": {"a": "b"}}}}, "column `j`"),
    "concat": ({"columns": ["id", "j", "word"], "transform": {"concat": {"columns": ["word", "j"], "destination": "all"}}}, "field `all`"),
    "expression": ({"columns": ["id"], "expressions": {"share": "100 / n"}}, "expression `share`"),
    "cast": ({"columns": ["id"], "expressions": {"number": "word::int"}}, "expression `number`"),
    "where": ({"columns": ["id"], "where": "word::int > 0"}, "its `where`"),
}
# Half a surrogate pair: Postgres stores it as json but cannot extract it. `replace` changes strings, so it has to extract it.
SPOIL = r"""UPDATE {table} SET n = 0, word = 'none', j = '"\ud83d"' WHERE {key} = {id}"""
CORRECT = """UPDATE {table} SET n = 1, word = '1', j = '"fine"' WHERE {key} = {id}"""
PLACES = {
    "roots": lambda part: {"table": "roots", **part},
    "kids": lambda part: {"table": "roots", "columns": ["id"], "children": [{"table": "kids", "relationship": MANY, **part}]},
    "singles": lambda part: {"table": "roots", "columns": ["id"], "children": [{"table": "singles", "relationship": ONE, **part}]},
    "grandkids": lambda part: {"table": "roots", "columns": ["id"], "children": [{"table": "kids", "columns": ["id"], "relationship": MANY, "children": [
        {"table": "grandkids", "relationship": MANY, **part}]}]},
    "far": lambda part: {"table": "roots", "columns": ["id"], "children": [{"table": "far", "relationship": THROUGH, **part}]},
}


def node_of(table, way):
    part = dict(WAYS[way][0])
    if table == "singles":
        part["columns"] = ["root_id" if column == "id" else column for column in part["columns"]]
    return PLACES[table](part)


@pytest.mark.parametrize("table", PLACES)
def test_a_row_that_fails_takes_along_only_the_documents_that_it_is_in(database, worker, opensearch, index, table):
    """Row 7 in the bootstrap, row 23 in the stream; row 900 is not in any document. Once corrected, all are indexed."""
    key = "root_id" if table == "singles" else "id"

    def change(what, id):
        database.sql(what.replace("{table}", table).replace("{key}", key).replace("{id}", str(id)))

    database.sql(TABLES + ROWS.replace("{from}", "1").replace("{to}", "40"))
    if table in ("kids", "grandkids", "far"):
        database.sql(f"INSERT INTO {table} (id) VALUES (900)")
        change(SPOIL, 900)
    change(SPOIL, 7)
    database.sql("ANALYZE")
    database.create_role()
    run = worker(manifest(database, opensearch.url, {f"{index}-{way}": node_of(table, way) for way in WAYS})).start()
    run.wait_ready(30)

    def failing(*ids):
        for way in WAYS:
            found = dead_letters(opensearch, f"{index}-{way}")
            if set(found) != {str(id) for id in ids}:
                return f"{way}: dead letters {found}"
        return None

    assert not failing(7), failing(7)
    for way in WAYS:
        reason = dead_letters(opensearch, f"{index}-{way}")["7"]
        assert f"public.{table}, {key} 7, {WAYS[way][1]}: " in reason, f"{way}: {reason}"
        assert opensearch.count(f"{index}-{way}") == 39, way
    change(SPOIL, 23)
    database.sql(ROWS.replace("{from}", "41").replace("{to}", "60"))
    eventually(lambda: not failing(7, 23), 20, lambda: failing(7, 23))
    for way in WAYS:
        eventually(lambda: opensearch.count(f"{index}-{way}") == 59, 10, f"the documents of the rows after it ({way})")
    change(CORRECT, 7)
    change(CORRECT, 23)
    eventually(lambda: not failing(), 20, failing)
    for way in WAYS:
        eventually(lambda: opensearch.count(f"{index}-{way}") == 60, 10, f"all documents ({way})")
    assert run.condition("Ready")["status"] == "True"


def test_a_character_that_the_database_cannot_hold_is_a_dead_letter(postgres, worker, opensearch, index, unique):
    """In a database of LATIN1, json may name the euro sign, which LATIN1 does not have."""
    postgres.sql(f"CREATE DATABASE {unique} ENCODING 'LATIN1' LC_COLLATE 'C' LC_CTYPE 'C' TEMPLATE template0")
    database = Database(postgres, unique)
    try:
        database.sql(r"""CREATE TABLE t (id int PRIMARY KEY, j json); INSERT INTO t VALUES (1, '{"k":"a"}'), (2, '{"k":"\u20ac"}'), (3, '{"k":"b"}')""")
        database.create_role()
        run = worker(manifest(database, opensearch.url, {index: {"table": "t", "columns": ["id", "j->k"]}})).start()
        run.wait_ready(30)
        assert opensearch.documents(index).keys() == {"1", "3"}
        assert "public.t, id 2, column `j`" in dead_letters(opensearch, index)["2"]
        database.sql(r"""INSERT INTO t VALUES (4, '{"k":"\u20ac"}'), (5, '{"k":"c"}')""")
        eventually(lambda: opensearch.documents(index).keys() == {"1", "3", "5"}, 10, "the document after it")
        run.stop()
    finally:
        database.drop()


def test_with_stall_the_row_below_the_root_is_named(database, worker, opensearch, index):
    database.sql(TABLES + ROWS.replace("{from}", "1").replace("{to}", "10"))
    database.create_role()
    nodes = node_of("grandkids", "expression")
    run = worker(manifest(database, opensearch.url, {index: nodes}, **{"onError.policy": "Stall"})).start()
    run.wait_ready(30)
    database.sql("UPDATE grandkids SET n = 0 WHERE id = 4")
    eventually(lambda: "public.grandkids, id 4, expression `share`" in run.condition("Ready").get("message", ""), 20,
               lambda: f"a message ({run.status()})")
    assert run.condition("Ready")["status"] == "False"
    database.sql("UPDATE grandkids SET n = 4 WHERE id = 4")
    run.wait_ready(30)
    assert opensearch.document(index, "4")["kids"][0]["grandkids"][0]["share"] == 25


def test_a_row_of_a_view_fails_alone(database, worker, opensearch, index):
    database.sql("CREATE TABLE t (id int PRIMARY KEY, n int); INSERT INTO t SELECT i, i FROM generate_series(1, 50) i; UPDATE t SET n = 0 WHERE id = 9;"
                 " CREATE VIEW shares AS SELECT id, 100 / n AS share FROM t")
    database.create_role()
    database.sql(f'GRANT SELECT ON shares TO "{database.role}"')
    nodes = {"table": "shares", "primary_key": ["id"], "base_tables": ["t"]}
    run = worker(manifest(database, opensearch.url, {index: nodes})).start()
    run.wait_ready(30)
    assert dead_letters(opensearch, index).keys() == {"9"} and "public.shares, id 9, column `share`" in dead_letters(opensearch, index)["9"]
    assert opensearch.count(index) == 49
    database.sql("UPDATE t SET n = 0 WHERE id = 10; INSERT INTO t VALUES (51, 50)")
    eventually(lambda: dead_letters(opensearch, index).keys() == {"9", "10"}, 10, lambda: f"dead letters: {dead_letters(opensearch, index)}")
    eventually(lambda: opensearch.document(index, "51")["share"] == 2, 10, "the row after it")
    database.sql("UPDATE t SET n = 50")
    eventually(lambda: opensearch.count(index) == 51 and not dead_letters(opensearch, index), 10, "all documents")


def test_a_document_that_is_routed_and_fails_leaves_its_shard(database, worker, opensearch, index):
    """The change shows which shard it was on; after it is corrected, it is on one shard only."""
    database.sql("CREATE TABLE t (id int PRIMARY KEY, n int, place text NOT NULL); INSERT INTO t SELECT i, 1, 'a' FROM generate_series(1, 9) i")
    database.create_role()
    nodes = {"table": "t", "columns": ["id", "place"], "expressions": {"share": "100 / n"}}
    document = {"nodes": nodes, "routing": "place", "setting": {"number_of_shards": 5}}
    run = worker(manifest(database, opensearch.url, {index: document})).start()
    run.wait_ready(30)
    database.sql("UPDATE t SET n = 0, place = 'c' WHERE id = 3")
    eventually(lambda: dead_letters(opensearch, index).keys() == {"3"}, 10, "a dead letter")
    database.sql("UPDATE t SET n = 2, place = 'e' WHERE id = 3")
    eventually(lambda: not dead_letters(opensearch, index), 10, "no dead letter")

    def found():
        opensearch.refresh(index)
        return [hit["_source"] for hit in opensearch.search(index, {"term": {"id": 3}})]

    eventually(lambda: found() == [{"id": 3, "place": "e", "share": 50}], 10, lambda: f"one document ({found()})")


if float(server.VERSION) >= 15:

    def test_a_value_that_a_later_constraint_forbids_does_not_stop_the_stream(database, worker, opensearch, index):
        """A link of a domain type whose new constraint refuses its value: the change is still followed."""
        database.sql("CREATE DOMAIN code AS text; CREATE TABLE groups (id int PRIMARY KEY, c code NOT NULL UNIQUE, name text);"
                     " CREATE TABLE t (id int PRIMARY KEY, c code REFERENCES groups (c), grp int); CREATE INDEX ON t (c);"
                     " INSERT INTO groups VALUES (1, 'old', 'x'), (2, 'new!', 'x'); INSERT INTO t VALUES (1, 'old'), (2, 'new!')")
        database.create_role()
        nodes = {"table": "t", "columns": ["id"], "children": [{"table": "groups", "columns": ["name"], "relationship": ONE}]}
        run = worker(manifest(database, opensearch.url, {index: nodes})).start()
        run.wait_ready(30)
        database.sql("ALTER DOMAIN code ADD CHECK (value LIKE '%!') NOT VALID")
        database.sql("UPDATE groups SET name = 'y'")
        eventually(lambda: all(d["groups"] == {"name": "y"} for d in opensearch.documents(index).values()), 20,
                   lambda: f"both documents ({opensearch.documents(index)}, {run.status()})")
        run.wait_ready(30)
