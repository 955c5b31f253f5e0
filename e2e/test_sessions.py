"""The worker's sessions: settings and objects of a role, a database or another user do not affect them."""

import decimal
import json
import re
from pathlib import Path

import bookstore
import pytest
from parts.search import eventually
from parts.worker import pgsync, write_manifest
from psycopg import sql as S

SOURCES = Path(__file__).resolve().parent.parent / "pkg"
VERSIONS = ["14.18", "15.13", "16.9", "17.10", "18.1"]


def our_settings():
    """{name: value} of the tables in session.c."""
    return dict(re.findall(r'^\t\{"(\w+)", "(.*?)"\},$', (SOURCES / "postgres/session.c").read_text(), re.M))


def harmless_settings():
    lines = (SOURCES / "postgres/testdata/harmless_settings.txt").read_text().splitlines()
    return dict(line.split("\t") for line in lines if not line.startswith("#"))


@pytest.mark.parametrize("version", VERSIONS)
def test_each_setting_that_a_role_may_carry_is_set_or_known_to_be_harmless(own_postgres, version):
    server = own_postgres(version=version, fsync=False)
    settable = {name for (name,) in server.sql(
        "SELECT name FROM pg_settings WHERE context IN ('user', 'superuser', 'backend', 'superuser-backend')")}
    ours, harmless = our_settings(), harmless_settings()
    assert len(ours) > 40, "the tables of session.c were not found"
    assert not ours.keys() & harmless.keys(), "set, and listed as harmless"
    assert not settable - ours.keys() - harmless.keys(), "neither set by pkg/postgres/session.c nor listed as harmless"


# A value for each of our settings that a session must not inherit. Settings that are left out have no other value.
HOSTILE = {
    "search_path": "nowhere", "DateStyle": "German, DMY", "IntervalStyle": "sql_standard", "TimeZone": "Asia/Kathmandu",
    "extra_float_digits": "-5", "bytea_output": "escape", "xmlbinary": "hex", "xmloption": "document", "quote_all_identifiers": "on",
    "standard_conforming_strings": "off", "array_nulls": "off", "transform_null_equals": "on", "statement_timeout": "30ms",
    "lock_timeout": "1ms", "idle_session_timeout": "500ms", "idle_in_transaction_session_timeout": "1ms", "exit_on_error": "on",
    "default_transaction_isolation": "serializable", "default_transaction_read_only": "on", "default_transaction_deferrable": "on",
    "gin_fuzzy_search_limit": "1", "enable_tidscan": "off", "enable_indexscan": "off", "enable_nestloop": "off",
    "from_collapse_limit": "1", "join_collapse_limit": "1", "geqo_threshold": "2", "plan_cache_mode": "force_generic_plan",
    "row_security": "on", "transaction_timeout": "50ms", "restrict_nonsystem_relation_kind": "view, foreign-table",
    "debug_logical_replication_streaming": "immediate", "debug_parallel_query": "regress",
}
VALUES = """
    CREATE TABLE odd_values (id int PRIMARY KEY, day date, moment timestamptz, span interval, number float8, bytes bytea, list text[],
        money numeric, bits varbit);
    INSERT INTO odd_values SELECT i, date '2024-02-03' + i, timestamptz '2024-02-03 04:05:06.5+00' + i * interval '1 hour',
        i * interval '1 day 2 hours', i / 3.0, decode('00ff5c', 'hex'), ARRAY['a', NULL, 'c\\d'], i / 7.0, B'101'
        FROM generate_series(1, 20000) i;
    CREATE VIEW seen AS SELECT id, day FROM odd_values WHERE id <= 100;
"""
ODD_COLUMNS = "day, moment, span, number, bytes, list, money, bits"


def odd_documents(database):
    """The rows as to_json prints them with the server's default settings and UTC."""
    with database.connect() as connection:
        connection.execute("SET TimeZone = 'UTC'")
        return {str(id): json.loads(document, parse_float=decimal.Decimal) for id, document in connection.execute(
            f"SELECT id, (SELECT row_to_json(r) FROM (SELECT {ODD_COLUMNS}) r)::text FROM odd_values")}


def odd_manifest(database, opensearch, index, schema=None):
    resource = bookstore.resource("odd", database, opensearch.url, index=index)
    resource["spec"]["schema"] = [schema or {"index": index, "nodes": {"table": "odd_values", "columns": ODD_COLUMNS.split(", ")}}]
    return [bookstore.secret("bookstore-postgres", password=database.role_password), resource]


@pytest.mark.parametrize("version", ["14.18", "17.10"])
@pytest.mark.parametrize("whose", ["role", "database"])
def test_hostile_defaults_change_no_document_and_end_no_session(own_postgres, worker, opensearch, index, unique, version, whose):
    database = own_postgres(version=version, fsync=False).create_database(unique)
    database.sql(VALUES)
    role = database.create_role()
    known = {name for (name,) in database.sql("SELECT name FROM pg_settings")}
    target = S.SQL("ROLE {}").format(S.Identifier(role)) if whose == "role" else S.SQL("DATABASE {}").format(S.Identifier(database.name))
    assert HOSTILE.keys() <= our_settings().keys()
    manifest = odd_manifest(database, opensearch, index)
    wanted = odd_documents(database)
    with database.connect() as admin:
        for name, value in HOSTILE.items():
            if name in known:
                admin.execute(S.SQL("ALTER {} SET {} = {}").format(target, S.Identifier(name), S.SQL(value if name == "search_path" else "{}").format(S.Literal(value))))
        run = worker(manifest).start().wait_ready()
        bookstore.wait_equal(opensearch, index, lambda: wanted)
        # A transaction that takes longer to decode than the timeouts, and a new document of each kind of value.
        admin.execute("UPDATE odd_values SET span = span * 2, number = number * 3, day = day + 1")
        if whose == "database":
            admin.execute(S.SQL("ALTER {} RESET ALL").format(target))
        wanted = odd_documents(database)
        bookstore.wait_equal(opensearch, index, lambda: wanted)
    run.process.check()
    # A search engine on a busy machine may be slow; the message then names its address.
    failed = [line for line in (run.state / "worker.log").read_text().splitlines() if "retrying" in line and opensearch.url not in line]
    assert not failed, failed


# --- names


def attack(database):
    """Puts a function of `public` before each of the server's that our sources call, for argument types that fit better, and
    the same for operators. Each reports in the server's log that it ran."""
    called = set()
    for source in SOURCES.glob("*/*.c"):
        called |= set(re.findall(r"\b([a-z_0-9]+)\(", source.read_text()))
    with database.connect() as connection:
        connection.execute("SET search_path = pg_catalog")
        functions = connection.execute(
            "SELECT DISTINCT ON (proname, pronargs) proname, pronargs, prorettype::regtype::text, (SELECT array_agg(t::regtype::text) FROM unnest(proargtypes) t)"
            " FROM pg_proc WHERE pronamespace = 'pg_catalog'::regnamespace AND prokind = 'f' AND NOT proretset AND pronargs BETWEEN 1 AND 3"
            " AND proname = ANY (%s) AND prorettype <> ALL ('{internal,trigger,cstring,anyelement}'::regtype[])", [sorted(called)]).fetchall()
        made = 0
        for name, n, returns, _ in functions:
            for kind in ("text", "name", "oid", "integer", "bigint", "varchar", '"char"', "regclass"):
                made += make(connection, name, [kind] * n, returns)
            if n == 2:
                made += make(connection, name, ["name", "text"], returns) + make(connection, name, ["oid", "text"], returns)
        for operator in ("=", "<>", "||", "<=", ">=", "<", "~"):
            for pair in (("name", "text"), ("name", "varchar"), ("varchar", "varchar"), ("oid", "integer"), ("varchar", "text"),
                         ("bigint", "oid"), ('"char"', "text"), ("xid", "text"), ("int2", "oid")):
                name = f"op_{made}"
                made += make(connection, name, pair, "text" if operator == "||" else "boolean")
                connection.execute(f"CREATE OPERATOR public.{operator} (LEFTARG = {pair[0]}, RIGHTARG = {pair[1]}, FUNCTION = public.{name})")
        connection.execute("GRANT ALL ON SCHEMA public TO PUBLIC")
    return made


def make(connection, name, kinds, returns):
    arguments = ", ".join(kinds)
    returns = "text" if returns in ("void", "record") or returns.startswith("any") else returns
    (there,) = connection.execute("SELECT to_regprocedure(%s) IS NOT NULL", [f'pg_catalog."{name}"({arguments})']).fetchone()
    if there:
        return 0
    connection.execute(f"CREATE OR REPLACE FUNCTION public.\"{name}\"({arguments}) RETURNS {returns} IMMUTABLE LANGUAGE plpgsql AS"
                       f" $$ BEGIN RAISE WARNING 'ATTACKED by {name}'; RETURN NULL; END $$")
    return 1


def attacks(server):
    return [line for line in server.log.read_text().splitlines() if "ATTACKED" in line]


def test_functions_and_operators_of_others_never_run(own_postgres, worker, opensearch, index, unique, state):
    server = own_postgres(fsync=False)
    database = server.create_database(unique)
    bookstore.load(database)
    database.create_role()
    manifest = [bookstore.secret("bookstore-postgres", password=database.role_password),
                bookstore.resource("books", database, opensearch.url, index=index, spec={"schema.0.nodes.where": "price >= 0"})]
    assert attack(database) > 300
    # The attack works on every session that has public on the path.
    assert database.value("SELECT has_database_privilege(current_database(), 'CONNECT')") is None
    assert len(attacks(server)) == 1
    code, out, err = pgsync("plan", "-f", write_manifest(state / f"{unique}.yaml", manifest))
    assert code == 0, out + err
    run = worker(manifest).start().wait_ready()
    database.sql("UPDATE books SET title = 'attacked?' WHERE id = 1; UPDATE authors SET name = 'x' WHERE id = 2; DELETE FROM book_authors WHERE book_id = 3")
    bookstore.wait_equal(opensearch, index, lambda: bookstore.expected(database))
    assert len(attacks(server)) == 1, attacks(server)[1:]
    run.stop()


CITEXT = """
    CREATE TABLE accounts (name public.folded, region int, PRIMARY KEY (name, region));
    CREATE TABLE logins (id int PRIMARY KEY, name public.folded, region int, at int, FOREIGN KEY (name, region) REFERENCES accounts);
"""


@pytest.fixture
def folded(database):
    """A text type in `public` that ignores case, like that of an extension: these servers do not have citext."""
    database.sql("""
        CREATE TYPE public.folded;
        CREATE FUNCTION public.folded_in(cstring) RETURNS public.folded IMMUTABLE STRICT LANGUAGE internal AS 'textin';
        CREATE FUNCTION public.folded_out(public.folded) RETURNS cstring IMMUTABLE STRICT LANGUAGE internal AS 'textout';
        CREATE TYPE public.folded (INPUT = public.folded_in, OUTPUT = public.folded_out, LIKE = text, CATEGORY = 'S', COLLATABLE = true);
        CREATE CAST (public.folded AS text) WITHOUT FUNCTION AS IMPLICIT;
        CREATE CAST (text AS public.folded) WITHOUT FUNCTION AS ASSIGNMENT;
    """)
    for word, operator in (("lt", "<"), ("le", "<="), ("eq", "="), ("ge", ">="), ("gt", ">")):
        database.sql(f"""
            CREATE FUNCTION public.folded_{word}(public.folded, public.folded) RETURNS boolean IMMUTABLE STRICT LANGUAGE sql
                AS 'SELECT pg_catalog.lower($1::text) OPERATOR(pg_catalog.{operator}) pg_catalog.lower($2::text)';
            CREATE OPERATOR public.{operator} (LEFTARG = public.folded, RIGHTARG = public.folded, FUNCTION = public.folded_{word}
                {", MERGES" if operator == "=" else ""});
        """)
    database.sql("""
        CREATE FUNCTION public.folded_cmp(public.folded, public.folded) RETURNS int IMMUTABLE STRICT LANGUAGE sql
            AS 'SELECT pg_catalog.bttextcmp(pg_catalog.lower($1::text), pg_catalog.lower($2::text))';
        CREATE OPERATOR CLASS public.folded_ops DEFAULT FOR TYPE public.folded USING btree AS
            OPERATOR 1 public.<, OPERATOR 2 public.<=, OPERATOR 3 public.=, OPERATOR 4 public.>=, OPERATOR 5 public.>,
            FUNCTION 1 public.folded_cmp(public.folded, public.folded);
    """)
    return database


def folded_documents(database):
    rows = database.sql("SELECT a.name::text, a.region, (SELECT json_agg(json_build_object('at', at) ORDER BY l.id) FROM logins l"
                        " WHERE l.name = a.name AND l.region = a.region) FROM accounts a")
    return {f"{name}|{region}": {"region": region, "logins": logins} for name, region, logins in rows}


@pytest.mark.parametrize("where", [None, "name = 'ANN' OR region > 0"])
def test_links_over_a_type_of_an_extension_compare_as_its_foreign_key_does(folded, worker, opensearch, index, where):
    folded.sql(CITEXT)
    folded.sql("INSERT INTO accounts VALUES ('Ann', 1), ('Bob', 2); INSERT INTO logins VALUES (1, 'ANN', 1, 10), (2, 'ann', 1, 20), (3, 'BOB', 2, 30)")
    folded.create_role()
    nodes = {"table": "accounts", "columns": ["region"], "children": [
        {"table": "logins", "columns": ["at"], "relationship": {"type": "one_to_many", "variant": "object"}}]}
    if where:
        nodes["where"] = where
    run = worker(odd_manifest(folded, opensearch, index, {"index": index, "nodes": nodes})).start().wait_ready()
    bookstore.wait_equal(opensearch, index, lambda: folded_documents(folded))
    folded.sql("INSERT INTO logins VALUES (4, 'aNN', 1, 40); UPDATE logins SET name = 'ann', region = 1 WHERE id = 3; INSERT INTO accounts VALUES ('Cy', 3)")
    bookstore.wait_equal(opensearch, index, lambda: folded_documents(folded))
    run.process.check()


def test_names_in_expressions_are_looked_up_on_the_search_path(books, worker, opensearch, index, state, unique):
    books.sql("CREATE SCHEMA tools; CREATE FUNCTION tools.shout(text) RETURNS text IMMUTABLE LANGUAGE sql AS 'SELECT upper($1) || ''!''';"
              f"GRANT USAGE ON SCHEMA tools TO {books.role}")
    made = [bookstore.secret("bookstore-postgres", password=books.role_password),
            bookstore.resource("books", books, opensearch.url, index=index, spec={
                "schema.0.nodes.expressions": {"loud": "shout(title)"}, "schema.0.nodes.children": None})]
    code, out, err = pgsync("plan", "-f", write_manifest(state / f"{unique}.yaml", made))
    assert code != 0
    assert 'searchPath, which is pg_catalog, "public"' in out + err
    made[1]["spec"]["source"]["searchPath"] = ["public", "tools"]
    worker(made).start().wait_ready()
    wanted = {str(id): loud for id, loud in books.sql("SELECT id, upper(title) || '!' FROM books")}
    eventually(lambda: {id: d["loud"] for id, d in opensearch.documents(index).items()} == wanted, 30, "the documents")


def test_expression_whose_meaning_hangs_on_the_path_is_refused(folded, opensearch, index, state, unique):
    folded.sql(CITEXT)
    folded.create_role()
    for where in ("CASE name WHEN 'ANN' THEN true ELSE false END", "name IS DISTINCT FROM 'ANN'", "NULLIF(name, 'ANN') IS NULL"):
        made = odd_manifest(folded, opensearch, index, {"index": index, "nodes": {"table": "accounts", "columns": ["region"], "where": where}})
        code, out, err = pgsync("plan", "-f", write_manifest(state / f"{unique}.yaml", made))
        assert code != 0, where
        assert "of a type that is not built in" in out + err, (where, out + err)


def test_expression_that_is_costly_to_read_is_refused(books, opensearch, index, state, unique):
    """The server computes what is constant in an expression when it reads it."""
    costly = " + ".join(f"factorial({n})" for n in range(32100, 32140))
    made = [bookstore.secret("bookstore-postgres", password=books.role_password),
            bookstore.resource("books", books, opensearch.url, index=index, spec={
                "schema.0.nodes.expressions": {"costly": f"id + {costly}"}, "schema.0.nodes.children": None})]
    code, out, err = pgsync("plan", "-f", write_manifest(state / f"{unique}.yaml", made))
    assert code != 0
    assert "takes longer than 3 s to read" in out + err


@pytest.mark.parametrize("expression", ["public.innocent(id)", "public.innocent(5)"])
def test_function_that_writes_cannot_when_a_document_calls_it(books, worker, opensearch, index, state, unique, expression):
    """Checks are rolled back, and documents are read in transactions that are read-only."""
    books.sql(f"CREATE TABLE written (id bigint); GRANT ALL ON written TO {books.role};"
              "CREATE FUNCTION write(bigint) RETURNS bigint LANGUAGE plpgsql AS 'BEGIN INSERT INTO public.written VALUES ($1); RETURN $1; END';"
              "CREATE FUNCTION innocent(bigint) RETURNS bigint IMMUTABLE LANGUAGE plpgsql AS 'BEGIN RETURN public.write($1); END'")

    def manifest(expression):
        return [bookstore.secret("bookstore-postgres", password=books.role_password),
                bookstore.resource("books", books, opensearch.url, index=index, spec={
                    "schema.0.nodes.expressions": {"note": expression}, "schema.0.nodes.children": None})]

    code, out, err = pgsync("plan", "-f", write_manifest(state / f"{unique}.yaml", manifest("public.write(id)")))
    assert code != 0
    assert "immutable" in (out + err).lower(), out + err
    pgsync("plan", "-f", write_manifest(state / f"{unique}.yaml", manifest(expression)))
    assert books.sql("SELECT count(*) FROM written") == [(0,)], "by a plan"
    run = worker(manifest(expression)).start()
    eventually(lambda: "read-only transaction" in json.dumps(run.status()), 30, lambda: f"the refusal ({run.status()})")
    assert books.sql("SELECT count(*) FROM written") == [(0,)]


def test_settings_that_a_function_leaves_behind_do_not_let_it_write(books, worker, opensearch, index):
    """What a function that documents call does to its session, outlives the transaction; what follows does not fall for it."""
    books.sql(f"""
        CREATE TABLE written (id bigint); GRANT ALL ON written TO {books.role};
        CREATE FUNCTION write() RETURNS boolean LANGUAGE plpgsql AS 'BEGIN INSERT INTO public.written VALUES (1); RETURN true; END';
        CREATE SCHEMA evil; GRANT USAGE ON SCHEMA evil TO PUBLIC;
        CREATE VIEW evil.pg_locks AS SELECT * FROM pg_catalog.pg_locks WHERE public.write();
        GRANT SELECT ON evil.pg_locks TO PUBLIC;
        CREATE FUNCTION sly(bigint) RETURNS bigint IMMUTABLE LANGUAGE plpgsql
            AS $$ BEGIN PERFORM pg_catalog.set_config('search_path', 'evil, pg_catalog', false); RETURN $1; END $$""")
    run = worker([bookstore.secret("bookstore-postgres", password=books.role_password),
                  bookstore.resource("books", books, opensearch.url, index=index, spec={
                      "lagTargetSeconds": 2, "schema.0.nodes.expressions": {"note": "public.sly(id)"}})]).start().wait_ready()

    def title_is(title):
        eventually(lambda: opensearch.document(index, "1")["title"] == title, 30, "the title")

    books.sql("UPDATE books SET title = 'before' WHERE id = 1")
    title_is("before")
    # The worker reads when a lock that is in its way has been released, so it asks who holds it.
    with books.connect() as migration:
        migration.execute("BEGIN; LOCK TABLE authors")
        books.sql("UPDATE books SET title = 'after' WHERE id = 1")
        eventually(lambda: "authors" in run.condition("Ready").get("message", ""), 30, lambda: f"the lock ({run.status()})")
    title_is("after")
    assert books.sql("SELECT count(*) FROM written") == [(0,)]
