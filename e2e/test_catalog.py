"""What documents depend on besides rows: types, views, functions, indexes. Whatever changes, documents match the database."""

import time

import pytest
from parts.search import eventually
from test_relations import Sync

THINGS = {"nodes": {"table": "things"}}


@pytest.fixture
def sync(database, opensearch, worker, index):
    database.create_role()
    database.sql(f'GRANT ALL ON SCHEMA public TO "{database.role}"')
    return Sync(database, opensearch, worker, index)


def generation(sync):
    return sync.run.status()["indices"][0]["physicalName"]


def settles(sync, wanted, timeout=25):
    sync.becomes(wanted, timeout=timeout)
    sync.ready()


# --- unique indexes

UNIQUE = ["ALTER TABLE p DROP CONSTRAINT u", "BEGIN; ALTER TABLE p DROP CONSTRAINT u; INSERT INTO p VALUES (3, 1); COMMIT"]
CHILD = {"nodes": {"table": "t", "columns": ["id"], "children": [
    {"table": "p", "columns": ["id"], "relationship": {"type": "one_to_one", "variant": "object"}}]}}


def _parents(sync):
    sync.sql("CREATE TABLE t (id int PRIMARY KEY)", "CREATE TABLE p (id int PRIMARY KEY, t_id int REFERENCES t, CONSTRAINT u UNIQUE (t_id))",
             "INSERT INTO t VALUES (1), (2)", "INSERT INTO p VALUES (5, 1), (50, 2)")
    sync.start(CHILD)
    sync.becomes({"1": {"id": 1, "p": {"id": 5}}, "2": {"id": 2, "p": {"id": 50}}})


def _first(sync):
    return {str(t): {"id": t, "p": {"id": p} if p else None} for t, p in
            sync.sql("SELECT t.id, min(p.id) FROM t LEFT JOIN p ON p.t_id = t.id GROUP BY t.id")}


@pytest.mark.parametrize("statement", UNIQUE)
@pytest.mark.parametrize("wait", [0, 7])
def test_unique_index_that_goes_away_makes_another_plan(sync, statement, wait):
    """A one_to_one takes the first row by key, which a join of unique rows need not look for."""
    _parents(sync)
    first = generation(sync)
    sync.sql(statement)
    time.sleep(wait)
    sync.sql("INSERT INTO p VALUES (4, 1), (6, 1), (60, 2), (40, 2)")
    settles(sync, _first(sync))
    sync.sql("INSERT INTO p VALUES (2, 1)", "UPDATE t SET id = id")
    settles(sync, _first(sync))
    assert generation(sync) == first, "every document was right"


def test_unique_index_that_comes_makes_another_plan_and_no_rebuild(sync):
    _parents(sync)
    first = generation(sync)
    sync.sql("ALTER TABLE p DROP CONSTRAINT u")
    sync.sql("INSERT INTO p VALUES (4, 1)")
    settles(sync, _first(sync))
    sync.sql("DELETE FROM p WHERE id = 5", "ALTER TABLE p ADD CONSTRAINT u UNIQUE (t_id)", "UPDATE p SET id = 7 WHERE id = 4")
    settles(sync, _first(sync))
    assert generation(sync) == first


# --- types at any depth

NESTED = ("CREATE TYPE inn AS (a int, b text)", "CREATE TYPE mid AS (i inn[], n int)", "CREATE DOMAIN held AS mid", "CREATE TYPE outt AS (m held)",
          "CREATE TABLE things (id int PRIMARY KEY, o outt)", "INSERT INTO things VALUES (1, ROW(ROW(ARRAY[ROW(1, 'x')]::inn[], 2)))")


@pytest.mark.parametrize(("statement", "inner"), [
    ("ALTER TYPE inn RENAME ATTRIBUTE a TO z", {"z": 1, "b": "x"}),
    ("ALTER TYPE inn ADD ATTRIBUTE c text", {"a": 1, "b": "x", "c": None}),
    ("ALTER TYPE inn DROP ATTRIBUTE b", {"a": 1})])
def test_attribute_of_a_type_within_others(sync, statement, inner):
    sync.sql(*NESTED)
    sync.start(THINGS)
    sync.becomes({"1": {"id": 1, "o": {"m": {"i": [{"a": 1, "b": "x"}], "n": 2}}}})
    sync.sql(statement)
    settles(sync, {"1": {"id": 1, "o": {"m": {"i": [inner], "n": 2}}}})


def test_row_type_of_a_table_is_followed_as_other_types_are(sync):
    sync.sql("CREATE TABLE shape (a int)", "CREATE TABLE things (id int PRIMARY KEY, s shape[])", "INSERT INTO things VALUES (1, ARRAY[ROW(1)::shape])")
    sync.start(THINGS)
    sync.becomes({"1": {"id": 1, "s": [{"a": 1}]}})
    sync.sql("ALTER TABLE shape RENAME a TO b")
    settles(sync, {"1": {"id": 1, "s": [{"b": 1}]}})


def test_type_of_an_expression(sync):
    sync.sql("CREATE TYPE comp AS (a int, b text)", "CREATE TABLE things (id int PRIMARY KEY, a int, s text)", "INSERT INTO things VALUES (1, 2, 'x')")
    sync.start({"nodes": {"table": "things", "columns": ["id"], "expressions": {"c": "row(a, s)::comp"}}})
    sync.becomes({"1": {"id": 1, "c": {"a": 2, "b": "x"}}})
    sync.sql("ALTER TYPE comp RENAME ATTRIBUTE a TO z")
    settles(sync, {"1": {"id": 1, "c": {"z": 2, "b": "x"}}})


def test_type_that_no_document_uses_rebuilds_nothing(sync):
    sync.sql("CREATE TYPE comp AS (a int)", "CREATE TYPE mood AS ENUM ('sad')", "CREATE TABLE things (id int PRIMARY KEY, c comp, m mood)",
             "INSERT INTO things VALUES (1, ROW(1), 'sad')")
    sync.start({"nodes": {"table": "things", "columns": ["id"]}})
    first = generation(sync)
    sync.sql("ALTER TYPE comp RENAME ATTRIBUTE a TO z", "ALTER TYPE mood RENAME VALUE 'sad' TO 'blue'")
    time.sleep(7)
    sync.sql("INSERT INTO things VALUES (2)")
    settles(sync, {"1": {"id": 1}, "2": {"id": 2}})
    assert generation(sync) == first


# --- there and back

MOODS = ("CREATE TYPE st AS ENUM ('new', 'old')", "CREATE TABLE things (id int PRIMARY KEY, s st)", "INSERT INTO things VALUES (1, 'old')")
BACK = {
    "value of an enum": (
        MOODS, THINGS, "ALTER TYPE st RENAME VALUE 'old' TO 'ancient'", "INSERT INTO things VALUES (2, 'ancient')",
        "ALTER TYPE st RENAME VALUE 'ancient' TO 'old'", "SELECT id, to_json(t) FROM things t"),
    "value that a condition names": (
        MOODS, {"nodes": {"table": "things", "where": "s = 'old'"}}, "ALTER TYPE st RENAME VALUE 'old' TO 'ancient'", "INSERT INTO things VALUES (2, 'ancient')",
        "ALTER TYPE st RENAME VALUE 'ancient' TO 'old'", "SELECT id, to_json(t) FROM things t"),
    "attribute": (
        ("CREATE TYPE pair AS (a int, b int)", "CREATE TABLE things (id int PRIMARY KEY, p pair)", "INSERT INTO things VALUES (1, ROW(1, 2))"), THINGS,
        "ALTER TYPE pair RENAME ATTRIBUTE a TO z", "INSERT INTO things VALUES (2, ROW(3, 4))", "ALTER TYPE pair RENAME ATTRIBUTE z TO a",
        "SELECT id, to_json(t) FROM things t"),
    "names of two columns": (
        ("CREATE TABLE things (id int PRIMARY KEY, a text, b text)", "INSERT INTO things VALUES (1, 'a', 'b')"), THINGS,
        "BEGIN; ALTER TABLE things RENAME a TO c; ALTER TABLE things RENAME b TO a; ALTER TABLE things RENAME c TO b; COMMIT",
        "INSERT INTO things (id, a, b) VALUES (2, 'was b', 'was a')",
        "BEGIN; ALTER TABLE things RENAME a TO c; ALTER TABLE things RENAME b TO a; ALTER TABLE things RENAME c TO b; COMMIT",
        "SELECT id, to_json(t) FROM things t"),
    "view": (
        ("CREATE TABLE base (id int PRIMARY KEY, n int)", "INSERT INTO base VALUES (1, 1)", "CREATE VIEW things AS SELECT id, n FROM base"),
        {"nodes": {"table": "things", "primary_key": ["id"], "base_tables": ["base"]}}, "CREATE OR REPLACE VIEW things AS SELECT id, n * 10 AS n FROM base",
        "INSERT INTO base VALUES (2, 2)", "CREATE OR REPLACE VIEW things AS SELECT id, n FROM base", "SELECT id, to_json(t) FROM things t"),
    "function": (
        ("CREATE FUNCTION f(int) RETURNS int LANGUAGE plpgsql IMMUTABLE AS 'BEGIN RETURN $1; END'", "CREATE TABLE things (id int PRIMARY KEY)",
         "INSERT INTO things VALUES (1)"), {"nodes": {"table": "things", "expressions": {"f": "f(id)"}}},
        "CREATE OR REPLACE FUNCTION f(int) RETURNS int LANGUAGE plpgsql IMMUTABLE AS 'BEGIN RETURN -$1; END'", "INSERT INTO things VALUES (2)",
        "CREATE OR REPLACE FUNCTION f(int) RETURNS int LANGUAGE plpgsql IMMUTABLE AS 'BEGIN RETURN $1; END'",
        "SELECT id, json_build_object('id', id, 'f', f(id)) FROM things"),
    "names of two tables": (
        ("CREATE TABLE things (id int PRIMARY KEY, o int)", "CREATE TABLE one (id int PRIMARY KEY, w text)", "CREATE TABLE two (id int PRIMARY KEY, w text)",
         "INSERT INTO things VALUES (1, 1)", "INSERT INTO one VALUES (1, 'one')", "INSERT INTO two VALUES (1, 'two')"),
        {"nodes": {"table": "things", "columns": ["id"], "children": [{"table": "one", "columns": ["w"], "relationship": {
            "type": "one_to_one", "variant": "scalar", "foreign_key": {"child": ["id"], "parent": ["o"]}}}]}},
        "BEGIN; ALTER TABLE one RENAME TO x; ALTER TABLE two RENAME TO one; ALTER TABLE x RENAME TO two; COMMIT", "INSERT INTO things VALUES (2, 1)",
        "BEGIN; ALTER TABLE one RENAME TO x; ALTER TABLE two RENAME TO one; ALTER TABLE x RENAME TO two; COMMIT",
        "SELECT t.id, json_build_object('id', t.id, 'one', o.w) FROM things t LEFT JOIN one o ON o.id = t.o"),
}


@pytest.mark.parametrize("pause", [0, 1.5, 12], ids=["at once", "unnoticed", "noticed"])
@pytest.mark.parametrize("what", BACK)
def test_change_that_is_undone_leaves_nothing_behind(sync, what, pause):
    """Also when it stopped everything, and whatever was written in between."""
    made, document, there, row, back, wanted = BACK[what]
    sync.sql(*made)
    sync.start(document)
    sync.sql(there, row)
    time.sleep(pause)
    sync.sql(back)
    settles(sync, {str(id): json for id, json in sync.sql(wanted)}, timeout=60)
    # Anything still in flight would arrive now.
    time.sleep(1)
    settles(sync, {str(id): json for id, json in sync.sql(wanted)})


def test_change_that_is_undone_while_no_worker_runs_rebuilds_nothing(sync):
    sync.sql(*MOODS)
    sync.start(THINGS)
    first = generation(sync)
    sync.run.stop()
    sync.sql("ALTER TYPE st RENAME VALUE 'old' TO 'ancient'", "INSERT INTO things VALUES (2, 'ancient')", "ALTER TYPE st RENAME VALUE 'ancient' TO 'old'")
    sync.run.start()
    settles(sync, {"1": {"id": 1, "s": "old"}, "2": {"id": 2, "s": "old"}})
    assert generation(sync) == first


def test_change_that_is_undone_while_the_table_is_copied(sync, fault_proxy):
    sync.sql(*MOODS, "INSERT INTO things SELECT i, 'old' FROM generate_series(2, 3000) i")
    sync.start(THINGS)
    sync.run.stop()
    sync.sql("ALTER TABLE things ADD COLUMN n int")
    sync.run.start()
    sync.sql("ALTER TYPE st RENAME VALUE 'old' TO 'ancient'")
    time.sleep(0.4)
    sync.sql("ALTER TYPE st RENAME VALUE 'ancient' TO 'old'")
    settles(sync, {str(i): {"id": i, "s": "old", "n": None} for i in range(1, 3001)}, timeout=60)


# --- what views and expressions call

DOUBLE = "CREATE OR REPLACE FUNCTION f(int) RETURNS int LANGUAGE {} IMMUTABLE AS {}"
BODIES = [("sql", "'SELECT $1'", "'SELECT $1 * 2'"), ("plpgsql", "'BEGIN RETURN $1; END'", "'BEGIN RETURN $1 * 2; END'")]
VIEWS = {
    "of a view": ["CREATE VIEW things AS SELECT id, f(n) AS n FROM base"],
    "of a view of a view": ["CREATE VIEW middle AS SELECT id, f(n) AS n FROM base", "CREATE VIEW things AS SELECT id, n FROM middle"],
    "of a materialized view": ["CREATE MATERIALIZED VIEW things AS SELECT id, f(n) AS n FROM base"],
    "behind an operator of a view": ["CREATE OPERATOR ## (FUNCTION = f, RIGHTARG = int)", "CREATE VIEW things AS SELECT id, ## n AS n FROM base"],
    "of a function of a view": ["CREATE FUNCTION g(int) RETURNS int LANGUAGE sql IMMUTABLE BEGIN ATOMIC SELECT f($1); END",
                                "CREATE VIEW things AS SELECT id, g(n) AS n FROM base"],
    "of an aggregate of a view": ["CREATE FUNCTION add(int, int) RETURNS int LANGUAGE sql IMMUTABLE RETURN coalesce($1, 0) + f($2)",
                                  "CREATE AGGREGATE total(int) (SFUNC = add, STYPE = int)",
                                  "CREATE VIEW things AS SELECT id, total(n) AS n FROM base GROUP BY id"],
}


@pytest.mark.parametrize(("language", "before", "after"), BODIES, ids=[b[0] for b in BODIES])
@pytest.mark.parametrize("place", VIEWS)
def test_function_that_is_replaced(sync, place, language, before, after):
    sync.sql(DOUBLE.format(language, before), "CREATE TABLE base (id int PRIMARY KEY, n int)", "INSERT INTO base VALUES (1, 5)", *VIEWS[place])
    sync.start({"nodes": {"table": "things", "primary_key": ["id"], "base_tables": ["base"]}})
    sync.becomes({"1": {"id": 1, "n": 5}})
    before_it = generation(sync)
    sync.sql(DOUBLE.format(language, after))
    settles(sync, {"1": {"id": 1, "n": 10}})
    # The status follows the alias.
    eventually(lambda: generation(sync) != before_it, 20, "a new generation in the status")
    first = generation(sync)
    sync.sql("ALTER FUNCTION f COST 7", "GRANT EXECUTE ON FUNCTION f TO public")
    time.sleep(7)
    sync.ready()
    assert generation(sync) == first, "the function says the same"


@pytest.mark.parametrize("stopped", [False, True])
@pytest.mark.parametrize("document", [{"expressions": {"out": "f(m)"}, "columns": ["id"]}, {"expressions": {"out": "## m"}, "columns": ["id"]},
                                      {"where": "f(m) = 10", "columns": ["id"]},
                                      {"expressions": {"out": "g(m)"}, "columns": ["id"]}])
def test_function_of_an_expression_that_is_replaced(sync, document, stopped):
    sync.sql(DOUBLE.format(*BODIES[1][:2]), "CREATE FUNCTION g(int) RETURNS int LANGUAGE sql IMMUTABLE RETURN f($1)",
             "CREATE OPERATOR ## (FUNCTION = f, RIGHTARG = int)", "CREATE TABLE things (id int PRIMARY KEY, m int)", "INSERT INTO things VALUES (1, 5), (2, 10)")
    sync.start({"nodes": {"table": "things", **document}})
    before = {"1": {"id": 1, "out": 5}, "2": {"id": 2, "out": 10}} if "expressions" in document else {"2": {"id": 2}}
    sync.becomes(before)
    if stopped:
        sync.run.stop()
    sync.sql(DOUBLE.format(BODIES[1][0], BODIES[1][2]))
    if stopped:
        sync.run.start()
    settles(sync, {"1": {"id": 1, "out": 10}, "2": {"id": 2, "out": 20}} if "expressions" in document else {"1": {"id": 1}})


def test_function_of_an_expression_that_is_not_immutable_any_more_is_refused_until_it_is(sync):
    sync.sql(DOUBLE.format(*BODIES[1][:2]), "CREATE TABLE things (id int PRIMARY KEY)", "INSERT INTO things VALUES (1)")
    sync.start({"nodes": {"table": "things", "expressions": {"out": "f(id)"}}})
    sync.sql("ALTER FUNCTION f STABLE")
    eventually(lambda: "not immutable" in sync.run.condition("Stalled").get("message", ""), 25, lambda: f"Stalled ({sync.run.status()})")
    sync.sql("ALTER FUNCTION f IMMUTABLE", "INSERT INTO things VALUES (2)")
    sync.ready(60)
    sync.becomes({"1": {"id": 1, "out": 1}, "2": {"id": 2, "out": 2}})


def test_whole_rows_in_a_view_follow_their_columns(sync):
    sync.sql("CREATE TABLE base (id int PRIMARY KEY, n int)", "INSERT INTO base VALUES (1, 5)", "CREATE VIEW things AS SELECT id, row_to_json(base) AS r FROM base")
    sync.start({"nodes": {"table": "things", "primary_key": ["id"], "base_tables": ["base"]}})
    sync.becomes({"1": {"id": 1, "r": {"id": 1, "n": 5}}})
    sync.sql("ALTER TABLE base RENAME n TO m")
    settles(sync, {"1": {"id": 1, "r": {"id": 1, "m": 5}}})
    sync.sql("ALTER TABLE base ADD COLUMN k int")
    settles(sync, {"1": {"id": 1, "r": {"id": 1, "m": 5, "k": None}}})


def test_cast_to_json_of_a_type_decides_how_its_values_look(sync):
    sync.sql("CREATE TYPE pair AS (a int, b int)", "CREATE TABLE things (id int PRIMARY KEY, p pair)", "INSERT INTO things VALUES (1, ROW(1, 2))",
             "CREATE FUNCTION sum_of(pair) RETURNS json LANGUAGE sql IMMUTABLE AS 'SELECT to_json($1.a + $1.b)'")
    sync.start(THINGS)
    sync.becomes({"1": {"id": 1, "p": {"a": 1, "b": 2}}})
    sync.database.sql("CREATE CAST (public.pair AS json) WITH FUNCTION public.sum_of(public.pair)")
    wanted = {str(id): json for id, json in sync.sql("SELECT id, to_json(t) FROM things t")}
    settles(sync, wanted)


def test_order_of_a_list_follows_the_collation_of_its_column(sync):
    sync.sql("CREATE TABLE tops (id int PRIMARY KEY)", "CREATE TABLE words (id int PRIMARY KEY, top int REFERENCES tops, w text COLLATE \"C\")",
             "INSERT INTO tops VALUES (1)", "INSERT INTO words VALUES (1, 1, 'b'), (2, 1, 'A'), (3, 1, 'C'), (4, 1, 'a')")
    sync.start({"nodes": {"table": "tops", "children": [{"table": "words", "columns": ["w"], "order_by": ["w"], "relationship": {
        "type": "one_to_many", "variant": "scalar"}}]}})
    sync.becomes({"1": {"id": 1, "words": ["A", "C", "a", "b"]}})
    sync.sql("ALTER TABLE words ALTER w TYPE text COLLATE \"en-x-icu\"")
    settles(sync, {"1": {"id": 1, "words": ["a", "A", "b", "C"]}})


def test_columns_of_a_document_of_all_columns_may_swap_their_names(sync):
    sync.sql("CREATE TABLE things (id int PRIMARY KEY, a text, b text)", "INSERT INTO things VALUES (1, 'x', 'y')")
    sync.start(THINGS)
    sync.becomes({"1": {"id": 1, "a": "x", "b": "y"}})
    sync.sql("BEGIN; ALTER TABLE things RENAME a TO c; ALTER TABLE things RENAME b TO a; ALTER TABLE things RENAME c TO b; COMMIT")
    settles(sync, {"1": {"id": 1, "a": "y", "b": "x"}})


def test_columns_that_only_an_expression_reads_may_swap_their_names(sync):
    sync.sql("CREATE TABLE things (id int PRIMARY KEY, a text, b text)", "INSERT INTO things VALUES (1, 'x', 'y')")
    sync.start({"nodes": {"table": "things", "columns": ["id"], "expressions": {"both": "a || b"}}})
    sync.becomes({"1": {"id": 1, "both": "xy"}})
    sync.sql("BEGIN; ALTER TABLE things RENAME a TO c; ALTER TABLE things RENAME b TO a; ALTER TABLE things RENAME c TO b; COMMIT")
    settles(sync, {"1": {"id": 1, "both": "yx"}})


def test_expression_of_a_virtual_column_that_changes(own_postgres, opensearch, worker, index, unique):
    database = own_postgres(version="18.1").create_database(unique)
    database.create_role()
    database.sql(f'GRANT ALL ON SCHEMA public TO "{database.role}"')
    sync = Sync(database, opensearch, worker, index)
    # Postgres allows it only where the table is not published.
    sync.sql("CREATE TABLE base (id int PRIMARY KEY, n int GENERATED ALWAYS AS (id * 2))", "INSERT INTO base VALUES (1)", "CREATE VIEW things AS SELECT id, n FROM base")
    sync.start({"nodes": {"table": "things", "primary_key": ["id"]}})
    sync.becomes({"1": {"id": 1, "n": 2}})
    sync.sql("ALTER TABLE base ALTER n SET EXPRESSION AS (id * 3)")
    settles(sync, {"1": {"id": 1, "n": 3}})
