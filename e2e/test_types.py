"""Every built-in type of Postgres with its extremes: a document is to_json of its row, with all digits of its numbers."""

import json
import re

import bookstore
import pytest
from parts import postgres as server
from parts.postgres import Database
from parts.search import eventually

# A refused value would cost its whole row, so those are in the last test.
CONTROL = "".join(map(chr, range(1, 32))) + "\x7f" + "".join(map(chr, range(0x80, 0xA0)))
ODD = CONTROL + "\u2028\u2029\ufeff\ufffe\uffff\U0001f600\U0001d11e\U0010ffff\ufdd0 quote\" back\\ slash/ <b>&amp;"
DEEP = '{"a":' * 200 + "[[[]]]" + "}" * 200
MONEY = 92233720368547758


def _text(value):
    return "'" + value.replace("'", "''") + "'"


def _each(*values):
    return [_text(v) for v in values]


def _array(*values):
    return "ARRAY[" + ", ".join(values) + "]"


# {type: values as SQL}; a column of each type, and for each value a row that has it alone.
TYPES = {
    "smallint": ["-32768", "32767", "0"],
    "integer": ["-2147483648", "2147483647", "0"],
    "bigint": ["-9223372036854775808", "9223372036854775807", "9007199254740993"],
    "numeric": ["0", "-0.00", "1e-16383", "123456789012345678901234567890.123456789012345678901234567890", "1e400", "-1e400", "1e2000",
                *_each("NaN", "Infinity", "-Infinity")],
    "numeric(38,18)": ["99999999999999999999.999999999999999999", "-99999999999999999999.999999999999999999", "0.000000000000000001", "'NaN'"],
    "numeric(5,2)": ["999.99", "-999.99", "1.10", "0.00", "'NaN'"],
    "numeric(3,-4)": ["9990000", "-10000"],
    "numeric(3,5)": ["0.00999", "-0.00001"],
    "numeric(18,18)": ["0.999999999999999999"],
    "numeric(18,0)": ["999999999999999999"],
    "real": ["3.4028235e38", "-3.4028235e38", "1e-45", "0.1", "-0.0", *_each("NaN", "Infinity", "-Infinity")],
    "double precision": ["1.7976931348623157e308", "5e-324", "0.1", "-0.0", "1e21", "123456789.12345678", *_each("NaN", "Infinity", "-Infinity")],
    "money": [f"'{MONEY}.07'::numeric::money", "'-0.01'::numeric::money"],
    "boolean": ["true", "false"],
    '"char"': _each("x", "", "\\377"),
    "name": _each("a name", "n" * 63),
    "text": [_text(ODD), "''", f"repeat({_text('ö𝄞')}, 50000)", "repeat('a', 40000)"],
    "varchar": [_text(ODD)],
    "varchar(3)": _each("äöü", "   "),
    "char(5)": _each("ab", "", "𝄞𝄞𝄞𝄞𝄞"),
    "char(40000)": [_text("c"), "repeat('𝄞', 40000)"],
    "bytea": ["'\\x'", "'\\x00ff10'", "decode(repeat('00ff', 50000), 'hex')"],
    "bit": ["B'1'"],
    "bit(70)": ["B'1'::bit(70)"],
    "bit varying": ["B''", "B'0101'"],
    "date": _each("2024-02-29", "0001-01-01", "9999-12-31", "10000-01-01", "5874897-12-31", "0001-12-31 BC", "4714-11-24 BC", "infinity", "-infinity"),
    "timestamp": _each("2024-02-29 23:59:59.999999", "1969-12-31 23:59:59.000001", "294276-12-31 23:59:59.999999", "4714-11-24 00:00:00 BC",
                       "infinity", "-infinity"),
    "timestamp(0)": _each("2024-02-29 12:00:00.6"),
    "timestamptz": _each("2024-02-29 23:59:59.999999+14", "1900-01-01 00:00:00-15:59:59", "2024-06-01 12:00 Europe/Berlin", "1883-11-18 12:00 America/New_York",
                         "294276-12-31 23:59:59.999999+00", "4714-11-24 00:00:00+00 BC", "infinity", "-infinity"),
    "time": _each("00:00:00", "24:00:00", "23:59:59.999999"),
    "timetz": _each("24:00:00-15:59", "12:00:00.5+05:30"),
    "interval": _each("178000000 years", "-178000000 years", "1 mon -1 day 00:00:00.000001", "0", "infinity", "-infinity"),
    "interval year to month": _each("3 years 2 months"),
    "uuid": _each("ffffffff-ffff-ffff-ffff-ffffffffffff", "00000000-0000-0000-0000-000000000000"),
    "json": [_text(DEEP), _text('{ "a" :\t1.50,\r\n "A": [ 1e5, -0.0 ],\n\n"b":"\\u0000\\ud834\\udd1e"}'), "'[]'", "'1'", "'null'", _text('"text\\nline"')],
    "jsonb": [_text(DEEP), _text('{"b": 1.50, "aa": [null, 1e5, {"x": "\\ud834\\udd1e"}], "": ""}'), "'[1, [2]]'", "'1.10'", "'null'", "'\"t\"'",
              _text(json.dumps({"text": ODD})), "('{\"n\": ' || repeat('9', 400) || '}')::jsonb"],
    "jsonpath": _each('$.a[*] ? (@.b > 1)'),
    "xml": [_text('<a b="c">d &amp; e</a>'), _text("<line>\n</line>")],
    "inet": _each("192.168.0.1", "10.1.2.3/8", "::1", "::ffff:1.2.3.4/120", "255.255.255.255/32"),
    "cidr": _each("10.0.0.0/8", "2001:db8::/32", "0.0.0.0/0"),
    "macaddr": _each("08:00:2b:01:02:03"),
    "macaddr8": _each("08:00:2b:01:02:03:04:05"),
    "point": _each("(1.5,-2e10)", "(Infinity,NaN)"),
    "line": _each("{1,-1,0}"), "lseg": _each("[(0,0),(1,1)]"), "box": _each("(1,1),(0,0)"), "path": _each("((0,0),(1,1))", "[(0,0)]"),
    "polygon": _each("((0,0),(1,0),(1,1))"), "circle": _each("<(0,0),2>"),
    "tsvector": ["to_tsvector('simple', 'a fat ''cat'' sat:3')", "(SELECT string_agg('word' || i, ' ')::tsvector FROM generate_series(1, 5000) i)"],
    "tsquery": _each("fat & (rat:* | !cat)"),
    "oid": ["0", "4294967295"], "xid": ["'4294967295'"], "xid8": ["'18446744073709551615'"], "cid": ["'7'"], "tid": ["'(4294967295,65535)'"],
    "pg_lsn": ["'FFFFFFFF/FFFFFFFF'"], "pg_snapshot": ["'10:20:10,14,15'"], "txid_snapshot": ["'10:20:10,14,15'"],
    "refcursor": ["'a cursor'"], "int2vector": ["'1 2 3'"], "oidvector": ["'1 2 3'"],
    "int4range": _each("empty", "[1,10)", "(,)", "[2147483646,2147483647)"), "int8range": _each("[-9223372036854775808,9223372036854775807)"),
    "numrange": _each("[1.50,1e40]", "(-Infinity,NaN)"), "daterange": _each("[2024-01-01,infinity)", "[4714-11-24 BC,5874897-12-31)"),
    "tsrange": _each('["2024-01-01 00:00:00.5","2024-01-02"]', "(,infinity)"), "tstzrange": _each('["2024-01-01 00:00:00+05",)'),
    "int4multirange": _each("{}", "{[1,3),[5,7)}"), "int8multirange": _each("{(,)}"), "nummultirange": _each("{[1.1,1.2],(3,)}"),
    "datemultirange": _each("{[2024-01-01,2024-02-01)}"), "tsmultirange": _each('{["2024-01-01","2024-01-02"]}'),
    "tstzmultirange": _each('{["2024-01-01 00:00+00","2024-01-02 00:00+14"]}'),
    "integer[]": ["'{}'", "ARRAY[1, NULL, 3]", "ARRAY[[1, 2], [3, NULL]]", "'[5:6]={7,8}'", "'[0:0][2:3]={{1,2}}'"],
    "text[]": [_array(_text(ODD), "NULL", "''", "'NULL'", "'a,b'", "'{}'")],
    "boolean[]": ["ARRAY[true, NULL, false]"], "bytea[]": ["ARRAY['\\x00'::bytea, NULL]"], "uuid[]": ["ARRAY[gen_random_uuid(), NULL]"],
    "double precision[]": ["ARRAY[1.5, NULL, 'NaN', 'Infinity', -0.0]::float8[]"], "numeric[]": ["ARRAY[1.10, NULL, 'NaN', 1e400]::numeric[]"],
    "numeric(5,2)[]": ["ARRAY[1.10, 'NaN']::numeric(5,2)[]"], "real[]": ["ARRAY[0.1, 'Infinity']::real[]"],
    "date[]": ["ARRAY['2024-01-01', 'infinity', '0044-03-15 BC', NULL]::date[]"],
    "timestamptz[]": ["ARRAY['2024-01-01 00:00+05', '-infinity']::timestamptz[]"], "interval[]": ["ARRAY['1 day', NULL]::interval[]"],
    "json[]": ["ARRAY['{\"a\": [1,\n2]}', '1', NULL]::json[]"], "jsonb[]": ["ARRAY['{\"a\": [1]}', '\"t\"', NULL]::jsonb[]"],
    "inet[]": ["ARRAY['10.0.0.1', '::1/64']::inet[]"], "numrange[]": ["ARRAY['[1,2)', 'empty']::numrange[]"],
    "colour": _each("red", "dark blue", 'quo"te'), "colour[]": ["ARRAY['red', NULL]::colour[]"],
    "pair": ["ROW(1.50, 'x', 'NaN', 'infinity')::pair", "ROW(NULL, NULL, NULL, NULL)::pair", f"ROW(-0, {_text(ODD)}, 5e-324, '0044-03-15 BC')::pair"],
    "pair[]": ["ARRAY[ROW(1.50, 'x', 1, '2024-01-01')::pair, NULL]"],
    "nested": ["ROW(ROW(1, 'y', 2, '2024-01-01')::pair, ARRAY[1, NULL])::nested"],
    "positive": ["1.50", "'NaN'"], "more": ["2.50"], "moment": _each("2024-01-01", "infinity"), "words": ["ARRAY['a', NULL]"], "couple": ["ROW(1, 'z', 1, NULL)::pair"],
    "hstore": [_text('a=>1, b=>NULL, "c d"=>"e\\"f"'), "''"], "citext": _each("MiXed"), "ltree": _each("a.b.c"), "cube": _each("(1,2),(3,4)"),
    "isbn13": _each("978-0-393-04002-9"),
}
if float(server.VERSION) < 15:
    for later in ("numeric(3,-4)", "numeric(3,5)"):
        del TYPES[later]
if float(server.VERSION) < 17:
    TYPES["interval"] = [value for value in TYPES["interval"] if "infinity" not in value]

DECLARATIONS = """
    CREATE EXTENSION hstore; CREATE EXTENSION citext; CREATE EXTENSION ltree; CREATE EXTENSION cube; CREATE EXTENSION isn;
    CREATE TYPE colour AS ENUM ('red', 'dark blue', 'quo"te');
    CREATE TYPE pair AS (n numeric, t text, f float8, d date);
    CREATE TYPE nested AS (p pair, list int[]);
    CREATE DOMAIN positive AS numeric(8,2) CHECK (VALUE > 0); CREATE DOMAIN more AS positive CHECK (VALUE > 1);
    CREATE DOMAIN moment AS date; CREATE DOMAIN words AS text[]; CREATE DOMAIN couple AS pair;
"""

# Values that no engine accepts are null in a document. In lists, composites and ranges they stay as to_json has them.
FINITE = re.compile(r"^(numeric|real|double|date|timestamp|positive|more|moment)(?!.*\[\])")
NOT_FINITE = {'"NaN"', '"Infinity"', '"-Infinity"', '"infinity"', '"-infinity"'}
NUMBER_CHARACTERS = 1000


def _nulled(type, text):
    return bool(FINITE.match(type)) and (text in NOT_FINITE or len(text) > NUMBER_CHARACTERS)


def _columns():
    return {f"c{i}": type for i, type in enumerate(TYPES, 1)}


def _create(database):
    columns = ", ".join(f"{name} {type}" for name, type in _columns().items())
    database.sql(DECLARATIONS + f"CREATE TABLE types (id int PRIMARY KEY, parent int, {columns});")
    id = 1
    with database.connect() as connection:
        connection.execute("INSERT INTO types (id, parent) VALUES (1, 1)")
        for (name, type), values in zip(_columns().items(), TYPES.values()):
            for value in values:
                id += 1
                connection.execute(f"INSERT INTO types (id, parent, {name}) VALUES ({id}, 1, {value})")
        first = ", ".join(v[0] for v in TYPES.values())
        connection.execute(f"INSERT INTO types (id, parent, {', '.join(_columns())}) VALUES ({id + 1}, 1, {first})")
    return id + 1


def _tokens(text):
    """JSON with every number as its digits, and keys that repeat."""
    return json.loads(text, parse_int=lambda n: ("number", n), parse_float=lambda n: ("number", n), parse_constant=lambda n: ("constant", n),
                      object_pairs_hook=lambda pairs: ("object", pairs))


def _wanted(database):
    """{id: [(key, JSON text)]} by one to_json for each column of each row, and how many values are null instead."""
    columns = _columns()
    nulled, documents = 0, {}
    with database.connect() as connection:
        # What a client of Postgres gets by default, in UTC.
        connection.execute("SET client_encoding = 'UTF8'; SET TIME ZONE 'UTC'; SET datestyle = 'ISO, MDY'; SET intervalstyle = 'postgres'; SET bytea_output = 'hex';"
                           " SET extra_float_digits = 1; SET lc_monetary = 'C'; SET xmloption = 'content'; SET search_path = public")
        listed = ", ".join(f"to_json({c})::text" for c in columns)
        for id, *values in connection.execute(f"SELECT id, {listed} FROM types ORDER BY id"):
            texts = []
            for (name, type), value in zip(columns.items(), values):
                value = "null" if value is None else value
                nulled += _nulled(type, value)
                texts.append((name, "null" if _nulled(type, value) else value))
            documents[str(id)] = texts
    return documents, nulled


def _documents(engine, index):
    """{id: tokens of the document}, of the bytes that were sent."""
    engine.refresh(index)
    answer = _tokens(engine.http.get(f"{engine.url}/{index}/_search?size=1000", timeout=30).content.decode())
    hits = dict(dict(answer[1])["hits"][1])["hits"]
    return {dict(hit[1])["_id"]: dict(hit[1])["_source"] for hit in hits}


def _unlike(found, wanted):
    """The columns of an object that differ from what they must be."""
    pairs = dict(found[1])
    said = [f"{k} is there" for k in pairs.keys() - dict(wanted).keys() - {"id"}]
    for name, text in wanted:
        if name not in pairs or pairs[name] != _tokens(text):
            said.append(f"{name} ({_columns()[name]}) is {str(pairs.get(name, 'missing'))[:200]}, expected {text[:200]}")
    return said


def _resource(database, engine, index, nodes=None):
    made = bookstore.resource(index, database, engine.url, index=index)
    made["spec"]["schema"][0]["nodes"] = nodes or {"table": "types", "columns": ["id", *_columns()]}
    return [bookstore.secret("bookstore-postgres", password=database.role_password), made]


@pytest.fixture
def types(database, engine, index):
    _create(database)
    database.create_role()
    yield database
    engine.delete_indices(f"{index}-*")


def _differences(database, engine, index):
    wanted, _ = _wanted(database)
    found = _documents(engine, index)
    said = [f"{id}: there is no document" for id in wanted.keys() - found.keys()]
    said += [f"{id}: should not be there" for id in found.keys() - wanted.keys()]
    return said + [f"{id}: {line}" for id in wanted.keys() & found.keys() for line in _unlike(found[id], wanted[id])]


def _ready(run):
    eventually(lambda: run.condition("Ready").get("status") == "True", 60, lambda: f"Ready ({run.status()})")


def test_documents_equal_to_json_of_their_rows(types: Database, worker, engine, index):
    run = worker(_resource(types, engine, index)).start()
    _ready(run)
    assert not _differences(types, engine, index), engine.documents(f"{index}-dead-letters") if engine.indices(f"{index}-dead-letters") else ""
    assert not engine.indices(f"{index}-dead-letters")
    _, nulled = _wanted(types)
    assert nulled > 0
    assert run.status()["indices"][0]["nulledValues"] == nulled
    assert run.metric("pgsync_values_nulled_total") == nulled


ODD_SETTINGS = ("timezone = 'Asia/Kathmandu'", "datestyle = 'German, YMD'", "intervalstyle = 'sql_standard'", "bytea_output = 'escape'",
                "extra_float_digits = -10", "lc_monetary = 'C'", "search_path = 'pg_catalog'", "standard_conforming_strings = off",
                "xmloption = 'document'", "client_encoding = 'LATIN1'", "quote_all_identifiers = on", "default_transaction_isolation = 'serializable'")


def test_no_setting_of_a_database_changes_a_document(types: Database, worker, engine, index):
    for setting in ODD_SETTINGS:
        types.sql(f"ALTER DATABASE \"{types.name}\" SET {setting}")
    run = worker(_resource(types, engine, index)).start()
    _ready(run)
    assert not _differences(types, engine, index)
    types.sql("UPDATE public.types SET parent = NULL")
    types.sql("DELETE FROM public.types WHERE id = 2")
    eventually(lambda: not _differences(types, engine, index), 10, "the deletion", interval=0.3)


def test_documents_of_changed_rows_equal_to_json(types: Database, worker, engine, index):
    run = worker(_resource(types, engine, index)).start()
    _ready(run)
    with types.connect() as connection:
        # Each value moves to another row, in a later transaction than the one that created it.
        for (name, type), values in zip(_columns().items(), TYPES.values()):
            connection.execute(f"UPDATE types SET {name} = {values[-1]} WHERE id = 1")
        connection.execute("UPDATE types SET id = -id WHERE id > 1 AND id % 2 = 0")
    eventually(lambda: not _differences(types, engine, index), 10, lambda: f"equality ({_differences(types, engine, index)[:5]})", interval=0.3)
    assert run.stop() == 0


def _below(columns, *, scalar=False, label):
    relation = {"type": "one_to_many", "variant": "scalar" if scalar else "object", "foreign_key": {"child": ["parent"], "parent": ["id"]}}
    return {"table": "types", "columns": columns, "label": label, "relationship": relation}


def test_nested_rows_equal_to_json_too(types: Database, worker, engine, index):
    """As objects of a list, and one column each as lists of values."""
    types.sql("CREATE TABLE tops (id int PRIMARY KEY); INSERT INTO tops VALUES (1)")
    types.own_tables()
    scalars = {type: name for name, type in _columns().items() if type in ("double precision", "date", "numeric", "bytea", "tstzrange")}
    root = {"table": "tops", "children": [_below(["id", *_columns()], label="rows"),
                                          *(_below([name], scalar=True, label=name) for name in scalars.values())]}
    run = worker(_resource(types, engine, index, root)).start()
    _ready(run)
    wanted, nulled = _wanted(types)
    document = dict(_documents(engine, index)["1"][1])
    assert len(document["rows"]) == len(wanted)
    for element, (id, texts) in zip(document["rows"], wanted.items()):
        assert dict(element[1])["id"] == ("number", id)
        assert not _unlike(element, texts)
    for name in scalars.values():
        assert document[name] == [_tokens(dict(texts)[name]) for texts in wanted.values()]
    raw = types.sql(f"SELECT {', '.join(f'to_json({c})::text' for c in scalars.values())} FROM types")
    again = sum(_nulled(type, value) for row in raw for type, value in zip(scalars, row) if value)
    assert again > 0
    assert run.status()["indices"][0]["nulledValues"] == nulled + again


@pytest.mark.parametrize("value", ['{"a": 1, "a": 2}', '{"n": ' + "1" * 1001 + "}"], ids=["a key that repeats", "a number of 1,001 digits"])
def test_json_that_the_engine_rejects_becomes_a_dead_letter(database, worker, opensearch, index, value):
    """The other rows continue; in jsonb, a repeated key is one key."""
    database.sql("CREATE TABLE docs (id int PRIMARY KEY, doc json)")
    database.sql("INSERT INTO docs VALUES (1, %s), (2, '{}')", value)
    database.create_role()
    run = worker(_resource(database, opensearch, index, {"table": "docs"})).start()
    _ready(run)
    assert opensearch.documents(index) == {"2": {"id": 2, "doc": {}}}
    assert [letter["id"] for letter in opensearch.documents(f"{index}-dead-letters").values()] == ["1"]
    database.sql("UPDATE docs SET doc = doc::jsonb WHERE doc::text LIKE '%a%'")
    database.sql("UPDATE docs SET doc = '[]' WHERE doc::text LIKE '%n%'")
    eventually(lambda: opensearch.document(index, "1") in ({"id": 1, "doc": {"a": 2}}, {"id": 1, "doc": []}), 30, "the corrected document")


NAMING = ["regclass", "regtype", "regproc", "regprocedure", "regoper", "regoperator", "regnamespace", "regrole", "regconfig", "regdictionary", "regcollation", "aclitem"]


def test_types_whose_text_is_a_name_in_the_catalog_are_refused(database, worker, opensearch, index):
    """Renaming a table would change them without changing a row."""
    listed = {f"c{i}": type for i, type in enumerate([*NAMING, *(f"{n}[]" for n in NAMING), "public.named", "public.named[]", "public.nested", "public.name_of"])}
    database.sql("CREATE DOMAIN name_of AS regclass; CREATE TYPE named AS (n int, of regtype[]); CREATE TYPE nested AS (within named[])")
    database.sql(f"CREATE TABLE things (id int PRIMARY KEY, a int, {', '.join(f'{name} {type}' for name, type in listed.items())})")
    database.create_role()
    nodes = {"table": "things", "columns": ["id", *listed], "expressions": {"table": "a::oid::regclass", "fine": "c0::oid"}}
    run = worker(_resource(database, opensearch, index, nodes)).start()
    eventually(lambda: run.condition("SchemaAccepted").get("reason") == "NotSupported", 20, lambda: f"a refusal ({run.status()})")
    said = run.condition("SchemaAccepted")["message"]
    for i, (name, type) in enumerate(listed.items(), 1):
        assert f"nodes.columns[{i}]: column `{name}` of public.things has type {type}" in said
    assert "nodes.expressions.table: its value has type regclass" in said and "expressions.fine" not in said
    assert "leave it out" in said


def test_domains_are_mapped_as_their_base_types(database, worker, opensearch, index):
    types = {"plain": "numeric(8,2)", "domain": "price", "second": "better", "list": "price[]", "domain_of_list": "prices", "list_of_second": "better[]",
             "list_of_lists": "prices[]", "whole": "counted", "day": "moment[]"}
    database.sql("CREATE DOMAIN price AS numeric(8,2); CREATE DOMAIN better AS price CHECK (VALUE > 0); CREATE DOMAIN prices AS numeric(8,2)[];"
                 " CREATE DOMAIN counted AS bigint; CREATE DOMAIN moment AS date")
    database.sql(f"CREATE TABLE things (id int PRIMARY KEY, {', '.join(f'{name} {type}' for name, type in types.items())});"
                 " INSERT INTO things (id, plain, domain, list, list_of_lists) VALUES (1, 1.25, 1.25, '{1.25}', ARRAY[ARRAY[1.25]::prices])")
    database.create_role()
    nodes = {"table": "things", "expressions": {"made": "plain::better", "made_list": "ARRAY[plain]::price[]"}}
    run = worker(_resource(database, opensearch, index, nodes)).start()
    _ready(run)
    properties = opensearch.request("GET", f"{index}-g1/_mapping")[f"{index}-g1"]["mappings"]["properties"]
    for name in ["plain", "domain", "second", "list", "domain_of_list", "list_of_second", "list_of_lists", "made", "made_list"]:
        assert properties[name] == {"type": "scaled_float", "scaling_factor": 100.0, "ignore_malformed": True}, name
    assert properties["whole"] == {"type": "long"} and properties["day"]["type"] == "date"
    assert opensearch.document(index, "1")["list_of_lists"] == [[1.25]]
