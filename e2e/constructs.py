"""Tables with a schema.json for each named part of the grammar, pgsync's and what goes beyond it. Rows come from
changes.py, except where some matter."""

from trees import Construct


def node(table, columns=(), children=(), **more):
    made = {"table": table, **more}
    if columns:
        made["columns"] = list(columns)
    if children:
        made["children"] = list(children)
    return made


def child(table, columns=(), children=(), *, many=True, scalar=False, through=None, key=None, **more):
    """A child node; `key`: ([columns of the child], [of the parent])."""
    relation = {"type": "one_to_many" if many else "one_to_one", "variant": "scalar" if scalar else "object"}
    if through:
        relation["through_tables"] = [through]
    if key:
        relation["foreign_key"] = {"child": key[0], "parent": key[1]}
    return node(table, columns, children, relationship=relation, **more)


def construct(name, sql, root, *, document=None, **more):
    return Construct(name, sql, [{**(document or {}), "nodes": root}], **more)


BOOKS = """
    CREATE TABLE publishers (id serial PRIMARY KEY, name text NOT NULL, city text);
    CREATE TABLE books (id bigint PRIMARY KEY, title text, isbn text, price numeric(8,2), pages int, sold boolean,
        published date, publisher_id int REFERENCES publishers ON UPDATE CASCADE ON DELETE SET NULL);
    CREATE TABLE reviews (id int PRIMARY KEY, stars int, text text, by text,
        book_id bigint REFERENCES books ON UPDATE CASCADE ON DELETE CASCADE);
    CREATE INDEX ON reviews (book_id);
    CREATE TABLE authors (id int PRIMARY KEY, name text NOT NULL, born date);
    CREATE TABLE book_authors (book_id bigint REFERENCES books ON UPDATE CASCADE ON DELETE CASCADE,
        author_id int REFERENCES authors ON UPDATE CASCADE ON DELETE CASCADE, PRIMARY KEY (book_id, author_id));
    CREATE INDEX ON book_authors (author_id);
"""

SHAPES = """
    CREATE TABLE "top" (id int PRIMARY KEY, name text);
    CREATE TABLE "down" (id int PRIMARY KEY, name text, note text, top_id int REFERENCES "top" ON UPDATE CASCADE ON DELETE CASCADE);
    CREATE TABLE "far" (id int PRIMARY KEY, name text, note text);
    CREATE TABLE "between" (id int PRIMARY KEY, top_id int REFERENCES "top" ON UPDATE CASCADE ON DELETE CASCADE,
        far_id int REFERENCES "far" ON UPDATE CASCADE ON DELETE SET NULL);
"""

FAMILY = """
    CREATE TABLE people (id int PRIMARY KEY, name text,
        boss_id int REFERENCES people ON UPDATE CASCADE ON DELETE SET NULL);
    CREATE INDEX ON people (boss_id);
    CREATE TABLE friends (person_id int REFERENCES people ON UPDATE CASCADE ON DELETE CASCADE,
        friend_id int REFERENCES people ON UPDATE CASCADE ON DELETE CASCADE, since int, PRIMARY KEY (person_id, friend_id));
"""


def _levels(n):
    """Tables l1 to l<n>, each with a key to the one before; and the tree of them all."""
    sql, tree = "", None
    for i in range(1, n + 1):
        up = f", up int REFERENCES l{i - 1} ON UPDATE CASCADE ON DELETE CASCADE" if i > 1 else ""
        sql += f"CREATE TABLE l{i} (id int PRIMARY KEY, name text{up});\n" + (f"CREATE INDEX ON l{i} (up);\n" if up else "")
    for i in range(n, 1, -1):
        tree = child(f"l{i}", ["name"], [tree] if tree else [])
    return sql, node("l1", ["name"], [tree])


# --- nodes: tables, columns, keys

TABLES = [
    construct("all columns", BOOKS, node("books", children=[child("reviews"), child("publishers", many=False),
                                                            child("authors", through="book_authors")])),
    construct("order of columns", BOOKS, node("books", ["title", "id", "price"], [child("reviews", ["text", "stars"], label="said")])),
    construct("system columns", BOOKS, node("books", ["title", "ctid", "xmin", "tableoid"], [child("reviews", ["ctid", "id"])])),
    construct("label of a column", BOOKS, node("books", children=[child("reviews", ["text"], label="title")])),
    construct("given primary key", """
        CREATE TABLE places (code text NOT NULL UNIQUE, name text);
        CREATE TABLE visits (at int NOT NULL, place text REFERENCES places (code) ON UPDATE CASCADE ON DELETE CASCADE, by text,
            UNIQUE (place, at));""",
              node("places", children=[child("visits", ["at", "by"], primary_key=["at", "place"])], primary_key=["code"]),
              choices={"public.places.code": [f"'{w}'" for w in ("a", "b b", "c|c", "d", "e\\", "f", "g")]}),
    construct("two schemas", """
        CREATE SCHEMA shop; CREATE SCHEMA store;
        CREATE TABLE shop.item (id int PRIMARY KEY, name text);
        CREATE TABLE store.item (id int PRIMARY KEY, name text, item_id int REFERENCES shop.item ON UPDATE CASCADE ON DELETE CASCADE);
        CREATE TABLE public.item (id int PRIMARY KEY, name text, item_id int REFERENCES store.item ON UPDATE CASCADE ON DELETE SET NULL);
        CREATE TABLE store.link (a int REFERENCES shop.item ON UPDATE CASCADE ON DELETE CASCADE, b int REFERENCES public.item
            ON UPDATE CASCADE ON DELETE CASCADE, PRIMARY KEY (a, b));""",
              node("item", schema="shop", children=[
                  child("item", schema="store", label="stored", children=[child("item", ["id", "name"])]),
                  child("item", ["name"], through="store.link", label="linked")])),
    construct("quoted names", '''
        CREATE TABLE "Main ""Table" ("Id" int PRIMARY KEY, "select" text, "100%" int, "it''s" text, "back\\slash" text);
        CREATE TABLE "ünter%s" ("key.1" int PRIMARY KEY, "Main Id" int REFERENCES "Main ""Table" ON UPDATE CASCADE ON DELETE CASCADE,
            "A b" text);''',
              node('Main "Table', ["Id", "select", "100%", "it''s", "back\\slash"], [child("ünter%s", ["A b", "Main Id"], label="50% 'off'")])),
    construct("long names", f"""
        CREATE TABLE {'t' * 63} (id int PRIMARY KEY, {'c' * 63} text);
        CREATE TABLE u (id int PRIMARY KEY, name text, {'k' * 63} int REFERENCES {'t' * 63} ON UPDATE CASCADE ON DELETE CASCADE);""",
              node("t" * 63, children=[child("u", ["name"], label="a label which is longer than the sixty-three bytes of a column's name")])),
    construct("sixty columns", f"""
        CREATE TABLE wide (id int PRIMARY KEY, {', '.join(f'c{i} int' for i in range(130))});
        CREATE TABLE part (id int PRIMARY KEY, wide_id int REFERENCES wide ON UPDATE CASCADE ON DELETE CASCADE, name text);""",
              node("wide", children=[child("part")])),
    construct("generated and identity columns", """
        CREATE TABLE boxes (id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY, w int, h int, area int GENERATED ALWAYS AS (w * h) STORED);
        CREATE TABLE things (id int GENERATED BY DEFAULT AS IDENTITY PRIMARY KEY, box_id int REFERENCES boxes ON DELETE CASCADE,
            w int, twice int GENERATED ALWAYS AS (w * 2) STORED);""",
              node("boxes", children=[child("things", ["twice"])])),
    construct("six levels", *_levels(6)),
    construct("nine levels", *_levels(9), options={"config_map": True}),
]


def _keys(type, words=None):
    """A table whose key is of this type, with children that refer to it."""
    sql = f"""CREATE TABLE roots (key {type} PRIMARY KEY, name text);
        CREATE TABLE leaves (id int PRIMARY KEY, name text, root {type} REFERENCES roots ON UPDATE CASCADE ON DELETE CASCADE);"""
    return construct(f"key of type {type.split('(')[0]}", sql, node("roots", children=[child("leaves", ["name"])]),
                     choices={"public.roots.key": words} if words else {})


KEYS = [
    _keys("bigint"), _keys("uuid"),
    _keys("text", [f"'{w}'" for w in ("a|b", "a", "b\\c", "%20", "a b", "Ü", "𝄞", "/", "x''y", '"', "?", "_", "a" * 60)]),
    _keys("varchar(8)", [f"'{w}'" for w in ("one", "two", "three", "four ", " five", "six/7")]),
    _keys("char(5)", [f"'{w}'" for w in ("a", "b", "cc", "ddd", "eeeee", "f|g")]),
    _keys("numeric(12,2)", ["1", "1.5", "10.25", "-3", "1000000.01", "0"]),
    _keys("timestamptz", [f"'2020-0{i}-01 10:00:00.{i}+0{i}'" for i in range(1, 8)]),
    _keys("date", [f"'2020-0{i}-01'" for i in range(1, 8)]),
    _keys("boolean", ["true", "false"]),
    _keys("bytea", ["'\\x00'", "'\\x01ff'", "'\\x7c'", "'\\xdeadbeef'"]),
    _keys("inet", ["'10.0.0.1'", "'10.0.0.0/8'", "'::1'", "'10.0.0.2/32'"]),
    _keys("interval", ["'1 day'", "'24 hours'", "'1 month'", "'90 minutes'"]),
    construct("equal keys with other texts", """
        CREATE EXTENSION citext;
        CREATE TABLE roots (name citext PRIMARY KEY, number numeric UNIQUE, code char(6) UNIQUE, note text);
        CREATE TABLE a (id int PRIMARY KEY, note text, name citext REFERENCES roots ON UPDATE CASCADE ON DELETE CASCADE);
        CREATE TABLE b (id int PRIMARY KEY, note text, number numeric REFERENCES roots (number) ON UPDATE CASCADE ON DELETE CASCADE);
        CREATE TABLE c (id int PRIMARY KEY, note text, code char(8) REFERENCES roots (code) ON UPDATE CASCADE ON DELETE CASCADE);""",
              node("roots", children=[child("a", ["note"]), child("b", ["note"]), child("c", ["note"])]), choices={
                  **{f"public.{t}.name": ["'Ab'", "'aB'", "'cd'", "'E'", "'f'"] for t in ("roots", "a")},
                  **{f"public.{t}.number": ["1", "1.0", "2.50", "2.5", "3", "4"] for t in ("roots", "b")},
                  **{f"public.{t}.code": ["'x'", "'yy'", "'zzz'", "'wwww'"] for t in ("roots", "c")}}),
    construct("key of an enum", """
        CREATE TYPE colour AS ENUM ('red', 'green', 'dark blue', 'a|b');
        CREATE TABLE roots (key colour PRIMARY KEY, name text);
        CREATE TABLE leaves (id int PRIMARY KEY, name text, root colour REFERENCES roots ON UPDATE CASCADE ON DELETE CASCADE);""",
              node("roots", children=[child("leaves", ["name"])])),
    construct("composite keys", """
        CREATE TABLE roots (z text, a int, m uuid, name text, PRIMARY KEY (z, m, a));
        CREATE TABLE leaves (id int, root_a int, root_z text, root_m uuid, name text, PRIMARY KEY (root_z, root_a, root_m, id),
            FOREIGN KEY (root_z, root_a, root_m) REFERENCES roots (z, a, m) ON UPDATE CASCADE ON DELETE CASCADE);
        CREATE TABLE notes (id int PRIMARY KEY, a int, m uuid, z text, i int, name text,
            FOREIGN KEY (z, a, m, i) REFERENCES leaves (root_z, root_a, root_m, id) ON UPDATE CASCADE ON DELETE SET NULL);
        ALTER TABLE roots ADD UNIQUE (z, a, m);""",
              node("roots", ["name"], [child("leaves", ["id", "name"], [child("notes", ["name"])])]),
              choices={"public.roots.z": [f"'{w}'" for w in ("a", "a|b", "a\\", "b", "|", "\\|", "c d")]}),
    construct("composite keys as in pgsync", """
        CREATE TABLE roots (z text, a int, name text, PRIMARY KEY (z, a));""", node("roots"), spec={"documents": {"idFormat": "Pgsync"}}),
    construct("long keys", """
        CREATE TABLE roots (key text PRIMARY KEY, name text);
        CREATE TABLE leaves (id int PRIMARY KEY, name text, root text REFERENCES roots ON UPDATE CASCADE ON DELETE CASCADE);""",
              node("roots", ["name"], [child("leaves", ["name"])]),
              choices={"public.roots.key": [f"repeat('{w}', {n})" for w in ("a", "ü", "𝄞|") for n in (1, 100, 171, 200)] + ["repeat('b', 512)", "repeat('b', 513)", "''"]}),
]

# --- relationships

RELATIONS = [
    construct("every shape of a relation", SHAPES, node("top", children=[
        child("down", ["name", "id"], label="many"), child("down", ["name", "id"], label="one", many=False),
        child("down", ["name"], label="values", scalar=True), child("down", ["name"], label="value", scalar=True, many=False),
        child("far", ["name", "id"], label="far many", through="between"),
        child("far", ["name"], label="far values", scalar=True, through="between")])),
    construct("one through a table", SHAPES, node("top", children=[
        child("far", ["name", "id"], many=False, label="far one", through="between"),
        child("far", ["note"], many=False, scalar=True, label="far value", through="between")])),
    construct("keys on the parent's side", SHAPES, node("between", ["id"], [
        child("top", ["name"], [child("down", ["id", "name"])], many=False), child("far", ["id"], label="fars"),
        child("far", ["note"], label="notes", scalar=True), child("far", ["note"], label="note", scalar=True, many=False)])),
    construct("rows of a junction that repeat", SHAPES.replace("id int PRIMARY KEY, top_id", "id int PRIMARY KEY, extra text, top_id"),
              node("top", ["name"], [child("far", ["id", "name"], through="between")]),
              choices={"public.between.far_id": ["1", "2"], "public.far.id": ["1", "2", "3"]}),
    construct("junction without its far rows", """
        CREATE TABLE a (id int PRIMARY KEY, name text); CREATE TABLE b (id int PRIMARY KEY, name text);
        CREATE TABLE ab (id int PRIMARY KEY, a_id int REFERENCES a ON UPDATE CASCADE ON DELETE CASCADE, b_id int);""",
              node("a", children=[child("b", through="ab", key=(["id"], ["b_id"]))]),
              choices={f"public.{c}": ["1", "2", "3", "4", "5"] for c in ("b.id", "ab.b_id")}),
    construct("through at every level", BOOKS + """
        CREATE TABLE tags (id int PRIMARY KEY, name text);
        CREATE TABLE author_tags (author_id int REFERENCES authors ON UPDATE CASCADE ON DELETE CASCADE,
            tag_id int REFERENCES tags ON UPDATE CASCADE ON DELETE CASCADE, PRIMARY KEY (author_id, tag_id));""",
              node("publishers", ["name"], [child("books", ["title"], [child("authors", ["name"], [
                  child("tags", ["name"], scalar=True, through="author_tags"),
                  child("books", ["title"], through="book_authors", label="others")], through="book_authors")])])),
    construct("table between that is no junction", """
        CREATE TABLE parents (id int PRIMARY KEY, name text);
        CREATE TABLE surrogates (id int PRIMARY KEY, name text, parent_id int REFERENCES parents ON UPDATE CASCADE ON DELETE CASCADE);
        CREATE TABLE children (id int PRIMARY KEY, name text, surrogate_id int REFERENCES surrogates ON UPDATE CASCADE ON DELETE SET NULL);
        CREATE TABLE grand (id int PRIMARY KEY, name text, child_id int REFERENCES children ON UPDATE CASCADE ON DELETE CASCADE);""",
              node("parents", ["name"], [child("children", ["name"], [child("grand", ["name"])], through="surrogates")])),
    construct("table between that both ends have a key to", """
        CREATE TABLE hubs (id int PRIMARY KEY, name text);
        CREATE TABLE a (id int PRIMARY KEY, name text, hub_id int REFERENCES hubs ON UPDATE CASCADE ON DELETE SET NULL);
        CREATE TABLE b (id int PRIMARY KEY, name text, hub_id int REFERENCES hubs ON UPDATE CASCADE ON DELETE CASCADE);""",
              node("a", ["name"], [child("b", ["name"], through="hubs")])),
    construct("junction that is a child too", BOOKS, node("books", ["title"], [
        child("book_authors", ["author_id"], [child("authors", ["name"], many=False)]), child("authors", ["name"], through="book_authors")])),
    construct("foreign key without constraint", """
        CREATE TABLE units (id int PRIMARY KEY, name text, race text);
        CREATE TABLE races (id int PRIMARY KEY, title text, planet int); CREATE TABLE planets (id int PRIMARY KEY, code int, name text);""",
              node("units", ["name"], [child("races", ["title"], [child("planets", ["name"], key=(["code"], ["planet"]))],
                                             key=(["title"], ["race"]))]),
              choices={**{f"public.{c}": ["'z'", "'t'", "'p'", "NULL"] for c in ("units.race", "races.title")},
                       **{f"public.{c}": ["1", "2", "NULL"] for c in ("races.planet", "planets.code")}}),
    construct("foreign key between types that differ", """
        CREATE TABLE a (id int PRIMARY KEY, code varchar(10), num bigint);
        CREATE TABLE b (id int PRIMARY KEY, name text, code text); CREATE TABLE c (id int PRIMARY KEY, name text, num smallint);""",
              node("a", children=[child("b", ["name"], key=(["code"], ["code"])), child("c", ["name"], key=(["num"], ["num"]))]),
              choices={**{f"public.{c}": ["'u'", "'v'", "'w'", "NULL"] for c in ("a.code", "b.code")},
                       **{f"public.{c}": ["1", "2", "3", "NULL"] for c in ("a.num", "c.num")}}),
    construct("foreign key of several columns without constraint", """
        CREATE TABLE a (id int PRIMARY KEY, u int, v text); CREATE TABLE b (id int PRIMARY KEY, name text, u int, v text);""",
              node("a", ["id"], [child("b", ["name"], key=(["u", "v"], ["u", "v"])), child("b", ["name"], label="crossed", key=(["v", "u"], ["v", "u"]), many=False)]),
              choices={**{f"public.{c}.u": ["1", "2", "NULL"] for c in "ab"}, **{f"public.{c}.v": ["'p'", "'q'", "NULL"] for c in "ab"}}),
    construct("foreign key to unique columns", """
        CREATE TABLE countries (id int PRIMARY KEY, code text UNIQUE, name text, a int, b int, UNIQUE (a, b));
        CREATE TABLE cities (id int PRIMARY KEY, name text, country text REFERENCES countries (code) ON UPDATE CASCADE ON DELETE SET NULL);
        CREATE TABLE rivers (id int PRIMARY KEY, name text, a int, b int,
            FOREIGN KEY (a, b) REFERENCES countries (a, b) ON UPDATE CASCADE ON DELETE SET NULL);""",
              node("countries", ["name"], [child("cities", ["name"]), child("rivers", ["name", "a"])]),
              choices={f"public.countries.{c}": ["1", "2", "3", "NULL"] for c in "ab"}),
    construct("up to unique columns", """
        CREATE TABLE countries (id int PRIMARY KEY, code text UNIQUE, name text);
        CREATE TABLE cities (id int PRIMARY KEY, name text, country text REFERENCES countries (code) ON UPDATE CASCADE ON DELETE SET NULL);
        CREATE TABLE rivers (id int PRIMARY KEY, name text, country_id int REFERENCES countries ON UPDATE CASCADE ON DELETE CASCADE);""",
              node("cities", ["name"], [child("countries", ["name"], [child("rivers", ["name"])], many=False)])),
    construct("several foreign keys of which one is chosen", """
        CREATE TABLE people (id int PRIMARY KEY, name text);
        CREATE TABLE letters (id int PRIMARY KEY, text text, sender int REFERENCES people ON UPDATE CASCADE ON DELETE CASCADE,
            receiver int REFERENCES people ON UPDATE CASCADE ON DELETE SET NULL);""",
              node("people", ["name"], [
                  child("letters", ["text"], [child("people", ["name"], label="to", many=False, key=(["id"], ["receiver"]))], label="sent", key=(["sender"], ["id"])),
                  child("letters", ["text"], label="received", key=(["receiver"], ["id"]))])),
    construct("foreign key in both directions", """
        CREATE TABLE teams (id int PRIMARY KEY, name text, captain_id int);
        CREATE TABLE players (id int PRIMARY KEY, name text, team_id int REFERENCES teams ON UPDATE CASCADE ON DELETE SET NULL);
        ALTER TABLE teams ADD FOREIGN KEY (captain_id) REFERENCES players ON UPDATE CASCADE ON DELETE SET NULL;""",
              node("teams", ["name"], [child("players", ["name"], key=(["team_id"], ["id"])),
                                       child("players", ["name"], label="captain", many=False, key=(["id"], ["captain_id"]))])),
    construct("foreign key together with through", BOOKS + """
        ALTER TABLE book_authors ADD COLUMN editor_id int REFERENCES authors ON UPDATE CASCADE ON DELETE SET NULL;""",
              node("books", ["title"], [child("authors", ["name"], through="book_authors", key=(["id"], ["author_id"])),
                                        child("authors", ["name"], label="editors", through="book_authors", key=(["id"], ["editor_id"]))])),
    construct("self-reference", FAMILY, node("people", ["name"], [
        child("people", ["name"], [child("people", ["name"], label="boss", many=False)], label="boss", many=False),
        child("people", ["name"], [child("people", ["name"], label="reports")], label="reports")])),
    construct("self-reference through a table", FAMILY, node("people", ["name"], [
        child("people", ["id", "name"], label="friends", through="friends", key=(["id"], ["friend_id"])),
        child("people", ["name"], [child("people", ["name"], label="of", through="friends", scalar=True, key=(["id"], ["friend_id"]))],
              label="friend of", through="friends", key=(["id"], ["person_id"]))])),
    construct("the root's table below", BOOKS, node("books", ["title"], [
        child("publishers", ["name"], [child("books", ["title"], [child("reviews", ["text"])])], many=False),
        child("authors", ["name"], [child("books", ["isbn"], label="wrote", through="book_authors")], through="book_authors")])),
    construct("one table at several places", BOOKS, node("publishers", children=[
        child("books", ["title"], [child("reviews", ["stars"])]),
        child("books", ["id"], [child("reviews", ["text"], label="said"), child("publishers", ["city"], many=False)], label="again"),
        child("books", ["title"], label="titles", scalar=True)])),
    construct("keys that set defaults and wait for the end", """
        CREATE TABLE a (id int PRIMARY KEY, name text); INSERT INTO a VALUES (1, 'the default');
        CREATE TABLE b (id int PRIMARY KEY, name text, a_id int DEFAULT 1 REFERENCES a ON UPDATE CASCADE ON DELETE SET DEFAULT
            DEFERRABLE INITIALLY DEFERRED);""", node("a", children=[child("b")])),
]

# --- columns with JSON paths, transform

PATH_ROWS = ["""'{"a": {"b": ["x", {"c": 1.50}, null]}, "n": 7, "t": true, "0": "zero"}'""", """'{"a": {"b": []}, "n": "7", "0": 0}'""",
             "'[10, [20, 30]]'", "NULL", "'{}'", "'null'", """'{"a": "no object", "t": null, "n": 1e3}'"""]

PATHS = [
    construct("JSON paths", "CREATE TABLE docs (id int PRIMARY KEY, j jsonb, k json);"
              " CREATE TABLE parts (id int PRIMARY KEY, doc_id int REFERENCES docs ON UPDATE CASCADE ON DELETE CASCADE, j jsonb);",
              node("docs", ["id", "j->a", "j->a->b->1->c", "j->0", "j->1->0", "j->>n", "j->a->b->>0", "j#>{a,b}", "j#>>{a,b,0}",
                            "j->>t", "k->n", "k->a->b", "k#>>{t}", "j#>{a,b}->1"], [child("parts", ["j->n", "id"])]),
              choices={"public.docs.j": PATH_ROWS, "public.docs.k": PATH_ROWS, "public.parts.j": PATH_ROWS}),
    construct("scalar of a JSON path", "CREATE TABLE docs (id int PRIMARY KEY, name text);"
              " CREATE TABLE parts (id int PRIMARY KEY, doc_id int REFERENCES docs ON UPDATE CASCADE ON DELETE CASCADE, j jsonb);",
              node("docs", children=[child("parts", ["j->>n"], scalar=True), child("parts", ["j->a"], scalar=True, many=False, label="one")]),
              choices={"public.parts.j": PATH_ROWS}),
]

REPLACED = ["'abc'", "'a.b.c'", "'bb'", "''", "NULL", "'line\nb'"]
TRANSFORMS = [
    construct("rename", BOOKS, node("books", ["id", "title", "isbn"], [
        child("reviews", ["stars", "text"], transform={"rename": {"text": "stars", "stars": "text"}}),
        child("publishers", ["name"], many=False, label="publisher", transform={"rename": {"name": "Name"}})],
        transform={"rename": {"title": "Title", "isbn": "the isbn", "reviews": "said"}})),
    construct("replace", BOOKS.replace("isbn text", "isbn text[]"), node("books", ["id", "title", "isbn", "price"], [
        child("reviews", ["by"], scalar=True, transform={"replace": {"by": {"b": "B", "B.": "<>"}}}),
        child("reviews", ["by"], label="first", many=False, scalar=True, transform={"replace": {"by": {"a": ""}}}),
        child("reviews", ["by", "text"], label="all", transform={"replace": {"by": {"b": "'"}, "text": {"\\": "/"}}})],
        transform={"replace": {"title": {"a": "bb", "b": "c"}, "isbn": {"a": "A"}, "price": {"1": "2"}}}),
        choices={"public.books.title": REPLACED, "public.reviews.by": REPLACED}),
    construct("concat", BOOKS, node("books", ["title", "isbn", "pages", "price"], [
        child("reviews", ["stars", "text"], transform={"concat": {"columns": ["stars", " of 5: ", "text"], "destination": "line"}})],
        transform={"rename": {"isbn": "ISBN"}, "concat": [
            {"columns": ["title", "ISBN", "pages"], "destination": "all", "delimiter": " / "},
            {"columns": ["all", "!", "price"], "destination": "loud"},
            {"columns": ["title", "title"], "destination": "title", "delimiter": "+"}]})),
    construct("replace, rename and concat together", BOOKS, node("books", ["title", "isbn"], transform={
        "replace": {"title": {"a": "-"}}, "rename": {"title": "isbn", "isbn": "title"},
        "concat": {"columns": ["title", "isbn", "of"], "destination": "both", "delimiter": "|"}}),
        choices={"public.books.title": REPLACED, "public.books.isbn": REPLACED}),
    construct("transform of computed fields and paths", BOOKS.replace("isbn text", "isbn jsonb"), node("books", ["id", "isbn->name", "isbn->>n"], [
        child("reviews", ["by"], scalar=True), child("reviews", ["text"], label="lines", scalar=True, expressions={"line": "lower(text)"})],
        expressions={"upper": "upper(title)", "half": "pages / 2.0"}, transform={
            "replace": {"reviews": {"a": "A", "x": "z"}, "upper": {"A": "4"}, "isbn_name": {"e": "3"}},
            "rename": {"isbn_name": "name", "half": "Half", "reviews": "said"},
            "concat": {"columns": ["upper", "Half", "name", "isbn_n"], "destination": "all", "delimiter": ","}}),
        choices={"public.reviews.by": REPLACED}),
    construct("mapping in transform", BOOKS, node("books", ["title", "price"], [
        child("reviews", ["text", "by"], transform={"mapping": {"by": {"type": "keyword"}}})],
        transform={"rename": {"title": "name"}, "mapping": {"name": {"type": "keyword", "ignore_above": 100}, "price": {"type": "double"}}})),
    construct("move", BOOKS, node("books", ["title", "isbn", "price"], [
        child("publishers", ["name", "city"], many=False, transform={"move": {"column": "city", "destination": "$root.ids.city"}}),
        child("reviews", ["stars", "text"], transform={"move": [{"column": "stars", "destination": "$root.stars"},
                                                                {"column": "text", "destination": "body.text"}]}),
        child("authors", ["name", "id"], through="book_authors", transform={"move": {"column": "id", "destination": "$root.author.author_id"}})],
        transform={"move": [{"column": "isbn", "destination": "ids.isbn"}, {"column": "price", "destination": "$root.ids.price"}]})),
    construct("move from two levels down", BOOKS, node("publishers", ["name"], [
        child("books", ["title"], [child("reviews", ["stars", "text"], transform={"move": {"column": "stars", "destination": "$root.stars"}})],
              transform={"move": {"column": "title", "destination": "$root.titles"}})])),
]

# --- documents

KEYWORD = {"type": "keyword"}
DOCUMENTS = [
    Construct("several documents with several roots", BOOKS, [
        {"nodes": node("books", ["title"], [child("authors", ["name"], through="book_authors"), child("reviews", ["stars"])])},
        {"nodes": node("authors", ["name"], [child("books", ["title"], [child("publishers", ["name"], many=False)], through="book_authors")])},
        {"nodes": node("reviews", ["text"])}]),
    Construct("one table in several indices", BOOKS, [
        {"nodes": node("books", ["title"], [child("reviews", ["text"])], where="isbn = 'draft'")},
        {"nodes": node("books", ["title"], where="isbn = 'sold'")}, {"nodes": node("books", ["id", "isbn"])}],
        choices={"public.books.isbn": ["'draft'", "'published'", "'sold'", "NULL"]}),
    construct("setting and mapping", BOOKS, node("books", ["title", "isbn"], [child("reviews", ["text"])]), document={
        "setting": {"number_of_shards": 2, "analysis": {"analyzer": {"mine": {"type": "custom", "tokenizer": "standard", "filter": ["lowercase"]}}}},
        "mapping": {"title": {"type": "text", "analyzer": "mine"}, "reviews": {"type": "nested", "properties": {"text": KEYWORD}}}}),
    construct("mapping with dynamic templates", BOOKS, node("books", ["title", "price"], [child("reviews", ["text"])]), document={
        "mapping": {"dynamic_templates": [{"texts": {"match_mapping_type": "string", "mapping": KEYWORD}}]}}),
    construct("dynamic mapping", BOOKS, node("books", ["title", "pages"], [child("reviews", ["text"])]), spec={"documents": {"mapping": "Dynamic"}}),
    construct("pipeline", BOOKS, node("books", ["title"]), document={"pipeline": "add-a-field", "mapping": {"added": KEYWORD}}, options={
        "pipelines": {"add-a-field": {"processors": [{"set": {"field": "added", "value": "here"}}]}},
        "finish": lambda document: {**document, "added": "here"}}),
    construct("routing", BOOKS, node("books", ["title", "isbn"], [child("reviews", ["text"])]), document={
        "routing": "isbn", "setting": {"number_of_shards": 5}}, options={"routed": True},
        choices={"public.books.isbn": [f"'{w}'" for w in "abcdefg"]}),
    construct("routing by a renamed column", BOOKS, node("books", ["title", "isbn"], transform={"rename": {"isbn": "place"}}), document={
        "routing": "place", "setting": {"number_of_shards": 5}}, options={"routed": True},
        choices={"public.books.isbn": [*(f"'{w}'" for w in "abcdefg"), "NULL", "''"]}),
    construct("routing by the key", BOOKS, node("books", ["id", "title"], [child("reviews", ["text"])]), document={
        "routing": "id", "setting": {"number_of_shards": 5}}, options={"routed": True}),
    construct("meta as in pgsync", BOOKS, node("books", ["title"], [
        child("publishers", ["name"], many=False), child("reviews", ["stars"]), child("authors", ["name"], through="book_authors")]),
        spec={"documents": {"meta": "Pgsync", "idFormat": "Pgsync", "mapping": "Dynamic"}}),
    construct("meta of rows that are in the document", BOOKS, node("books", ["title"], [
        child("publishers", ["name"], [child("books", ["title"], limit=2)], many=False, where="city <> 'Oslo'"),
        child("reviews", ["stars"], many=False), child("reviews", ["text"], label="two", limit=2, order_by=["stars desc"]),
        child("authors", ["name"], many=False, scalar=True, through="book_authors")]),
        spec={"documents": {"meta": "Pgsync"}}, choices={"public.publishers.city": ["'Oslo'", "'Rome'", "NULL"]}),
]

# --- beyond pgsync

STATES = ["'draft'", "'published'", "'sold'", "NULL"]
BEYOND = [
    construct("where on the root", BOOKS, node("books", ["title", "isbn"], [child("reviews", ["text"])], where="isbn = 'published' AND price < 100"),
              choices={"public.books.isbn": STATES}),
    construct("where on a child", BOOKS, node("publishers", ["name"], [
        child("books", ["title", "isbn"], [child("reviews", ["stars"], where="stars > 0 OR stars IS NULL")], where="isbn <> 'draft'")]),
        choices={"public.books.isbn": STATES}),
    construct("where on the parent's side and through", BOOKS, node("books", ["title"], [
        child("publishers", ["name"], many=False, where="city <> 'Oslo'"), child("authors", ["name"], through="book_authors", where="born < '2050-01-01'")]),
        choices={"public.publishers.city": ["'Oslo'", "'Rome'", "NULL"]}),
    construct("order by", BOOKS, node("books", ["title"], [
        child("reviews", ["stars", "id"], order_by=["stars desc nulls last", "by"]),
        child("reviews", ["stars", "id"], label="up", order_by=["stars asc nulls first"]),
        child("reviews", ["stars"], label="first", many=False, order_by=["stars"]),
        child("reviews", ["text"], label="texts", scalar=True, order_by=["text"])]),
        choices={"public.reviews.stars": ["1", "2", "3", "NULL"]}),
    construct("order by an expression", BOOKS, node("books", ["title"], [
        child("reviews", ["id"], expressions={"length": "length(text)"}, order_by=["length desc", "stars nulls first"]),
        child("authors", ["name"], through="book_authors", expressions={"year": "extract(year FROM born)"}, order_by=["year"])])),
    construct("limit", BOOKS, node("books", ["title"], [
        child("reviews", ["stars", "id"], limit=2), child("reviews", ["id"], label="best", limit=1, order_by=["stars desc nulls last"]),
        child("authors", ["name"], through="book_authors", limit=2, order_by=["name"])]), rows=10,
        choices={"public.reviews.stars": ["1", "2", "3", "NULL"], "public.reviews.book_id": ["1", "2"], "public.books.id": ["1", "2", "3"]}),
    construct("where, order by and limit together", BOOKS, node("publishers", ["name"], [
        child("books", ["title"], [child("reviews", ["stars", "by"], where="stars > 1", order_by=["stars desc", "by"], limit=1)], where="sold",
              order_by=["title desc"], limit=2)]), rows=10, choices={"public.reviews.stars": ["1", "2", "3", "NULL"]}),
    construct("expressions", BOOKS, node("books", ["title", "pages"], [
        child("reviews", ["stars"], expressions={"shout": "upper(text)", "good": "stars > 3"}),
        child("reviews", label="lengths", scalar=True, expressions={"length": "length(text)"})],
        expressions={"gross": "price * 1.2", "code": "coalesce(isbn, 'none') || '/' || id", "year": "extract(year FROM published)",
                     "list": "ARRAY[pages, 1]"})),
    construct("nested", BOOKS, node("books", ["title"], [child("reviews", ["stars", "text"], nested=True),
                                                         child("publishers", ["name"], many=False, nested=True)])),
    construct("where on the root's table below", BOOKS, node("books", ["title"], [
        child("publishers", ["name"], [child("books", ["title"], where="NOT sold")], many=False)], where="sold")),
]

# --- relations that are not plain tables

PARTS = """
    CREATE TABLE roots (id int PRIMARY KEY, name text);
    CREATE TABLE parts (id int, name text, root_id int REFERENCES roots ON UPDATE CASCADE ON DELETE CASCADE, PRIMARY KEY ({})) PARTITION BY HASH (id);
    CREATE TABLE parts_0 PARTITION OF parts FOR VALUES WITH (MODULUS 2, REMAINDER 0);
    CREATE TABLE parts_1 PARTITION OF parts FOR VALUES WITH (MODULUS 2, REMAINDER 1);
"""

RELKINDS = [
    construct("partitioned root", """
        CREATE TABLE logs (id int, day int, text text, PRIMARY KEY (id, day)) PARTITION BY RANGE (day);
        CREATE TABLE logs_a PARTITION OF logs FOR VALUES FROM (0) TO (10); CREATE TABLE logs_b PARTITION OF logs FOR VALUES FROM (10) TO (1000);
        CREATE TABLE logs_rest PARTITION OF logs DEFAULT;
        CREATE TABLE marks (id int PRIMARY KEY, name text, log_id int, log_day int,
            FOREIGN KEY (log_id, log_day) REFERENCES logs ON UPDATE CASCADE ON DELETE CASCADE);""",
              node("logs", children=[child("marks", ["name"])]), options={"rebuilt_by": 'TRUNCATE "public"."logs"'}),
    construct("partitioned child", PARTS.format("id"), node("roots", ["name"], [child("parts", ["id", "name"])])),
    construct("partitioned child with the link in its key", PARTS.format("id, root_id"), node("roots", ["name"], [child("parts", ["id", "name"])])),
    construct("partitioned junction", """
        CREATE TABLE roots (id int PRIMARY KEY, name text);
        CREATE TABLE tags (id int PRIMARY KEY, name text);
        CREATE TABLE links (root_id int REFERENCES roots ON UPDATE CASCADE ON DELETE CASCADE, tag_id int REFERENCES tags ON UPDATE CASCADE
            ON DELETE CASCADE, PRIMARY KEY (root_id, tag_id)) PARTITION BY LIST (root_id);
        CREATE TABLE links_1 PARTITION OF links FOR VALUES IN (1, 2, 3, 4, 5); CREATE TABLE links_rest PARTITION OF links DEFAULT;""",
              node("roots", ["name"], [child("tags", ["name"], through="links")])),
    construct("view", BOOKS + """
        CREATE VIEW printed AS SELECT b.id, b.title, p.name AS publisher FROM books b LEFT JOIN publishers p ON p.id = b.publisher_id;""",
              node("printed", ["title", "publisher"], [child("reviews", ["text"], key=(["book_id"], ["id"]))],
                   primary_key=["id"], base_tables=["books", "publishers"])),
    construct("view below", BOOKS + "CREATE VIEW said AS SELECT id, book_id, stars, upper(text) AS text FROM reviews WHERE stars > 0;",
              node("books", ["title"], [child("said", ["stars", "text"], key=(["book_id"], ["id"]), primary_key=["id"], base_tables=["reviews"])])),
]

SUMS = """ SELECT p.id, p.name, count(b.id) AS books, sum(b.price) AS worth FROM publishers p LEFT JOIN books b ON b.publisher_id = p.id
    GROUP BY p.id, p.name HAVING count(b.id) < 4;"""
RELKINDS += [
    construct("view that sums up", BOOKS + "CREATE VIEW sums AS" + SUMS,
              node("sums", children=[child("books", ["title"], key=(["publisher_id"], ["id"]))], primary_key=["id"], base_tables=["publishers", "books"])),
    construct("materialized view", BOOKS + "CREATE MATERIALIZED VIEW sums AS" + SUMS + "CREATE VIEW sums_now AS" + SUMS,
              node("sums", children=[child("books", ["title"], key=(["publisher_id"], ["id"]))], primary_key=["id"], base_tables=["publishers", "books"]),
              options={"assembled_from": {"sums": "sums_now"}}),
    construct("materialized view below", BOOKS + "CREATE MATERIALIZED VIEW sums AS" + SUMS + "CREATE UNIQUE INDEX ON sums (id); CREATE VIEW sums_now AS" + SUMS,
              node("books", ["title"], [child("sums", many=False, primary_key=["id"], base_tables=["public.publishers", "books"], key=(["id"], ["publisher_id"]))]),
              options={"assembled_from": {"sums": "sums_now"}}),
]

CONSTRUCTS = TABLES + KEYS + RELATIONS + PATHS + TRANSFORMS + DOCUMENTS + BEYOND + RELKINDS
