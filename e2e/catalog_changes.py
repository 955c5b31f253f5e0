"""Random changes of the catalog below one set of documents: each is left as it is, or undone again, with random rows between.

Documents are of every column of their tables, so that what a change does to them is what Postgres' own to_json() says afterwards.
"""

from changes import NoChange
from tables import literal, quote

MADE = [
    "CREATE TYPE mood AS ENUM ('sad', 'ok')", "CREATE TYPE pair AS (a int, b text)",
    "CREATE FUNCTION f(int) RETURNS int LANGUAGE plpgsql IMMUTABLE AS 'BEGIN RETURN $1; END'",
    "CREATE TABLE tops (id int PRIMARY KEY, word text, m mood, p pair, n int, d numeric(8,2))",
    "CREATE TABLE kids (id int PRIMARY KEY, top int CONSTRAINT link REFERENCES tops ON UPDATE CASCADE ON DELETE CASCADE, word text, note text)",
    "CREATE TABLE ones (id int PRIMARY KEY, top int CONSTRAINT one UNIQUE REFERENCES tops ON UPDATE CASCADE ON DELETE CASCADE, word text)",
    "CREATE VIEW seen AS SELECT id, n AS v FROM tops",
    "INSERT INTO tops SELECT i, 'word ' || i, CASE i % 2 WHEN 0 THEN 'ok'::mood ELSE 'sad' END, ROW(i, 'x')::pair, i, i FROM generate_series(1, 8) i",
    "INSERT INTO kids SELECT i, 1 + i % 8, 'kid ' || i, 'note' FROM generate_series(1, 20) i",
    "INSERT INTO ones SELECT i, i, 'one ' || i FROM generate_series(1, 5) i"]

ONE, MANY = ({"type": f"one_to_{number}", "variant": "object"} for number in ("one", "many"))

DOCUMENT = {"nodes": {"table": "tops", "expressions": {"f": "f(id)"}, "children": [
    {"table": "kids", "relationship": MANY}, {"table": "ones", "relationship": ONE},
    {"table": "seen", "columns": ["v"], "primary_key": ["id"], "base_tables": ["tops"],
     "relationship": {**ONE, "foreign_key": {"child": ["id"], "parent": ["id"]}}}]}}

CHOICES = {"public.tops.p": ["ROW(1, 'x')::pair", "ROW(NULL, '')::pair", "NULL"]}

# The same by one plain query.
WANTED = """SELECT t.id::text, to_json(t)::text, f(t.id),
    (SELECT json_agg(k ORDER BY k.id) FROM kids k WHERE k.top = t.id)::text,
    (SELECT to_json(o) FROM ones o WHERE o.top = t.id ORDER BY o.id LIMIT 1)::text,
    (SELECT json_build_object('v', s.v) FROM seen s WHERE s.id = t.id)::text FROM tops t"""

TABLES = ["tops", "kids", "ones"]
VALUES = ["int", "text", "jsonb", "numeric(6,2)", "boolean", "date", "int[]", "mood"]
SWAP = "ALTER TABLE {0} RENAME {1} TO swapped; ALTER TABLE {0} RENAME {2} TO {1}; ALTER TABLE {0} RENAME swapped TO {2}"
REMADE = ("CREATE TABLE remade (LIKE kids INCLUDING ALL); INSERT INTO remade SELECT * FROM kids; DROP TABLE kids; ALTER TABLE remade RENAME TO kids;"
          " ALTER TABLE kids ADD CONSTRAINT link FOREIGN KEY (top) REFERENCES tops ON UPDATE CASCADE ON DELETE CASCADE")


class CatalogChanges:
    """Each method is a change: the statements there, and those back. `lasting` ones may also be left as they are."""

    def __init__(self, connection, random):
        self.connection, self.random, self.count = connection, random, 0

    def lasting(self):
        return [self.column_added, self.column_dropped, self.type, self.unique_index, self.label, self.value, self.function, self.view, self.not_null,
                self.swap, self.table, self.attribute, self.default]

    def undone(self):
        return [*self.lasting(), self.foreign_key, self.table_renamed, self.column_renamed, self.function_renamed]

    def _one(self, sql, *values):
        return self.connection.execute(sql, values).fetchall()

    def _name(self):
        self.count += 1
        return f"new {self.count}"

    def column_added(self):
        table, type, name = self.random.choice(TABLES), self.random.choice(VALUES), quote(self._name())
        default = self.random.choice(["", " DEFAULT '7'" if type in ("int", "text", "numeric(6,2)") else ""])
        return f"ALTER TABLE {table} ADD COLUMN {name} {type}{default}", f"ALTER TABLE {table} DROP COLUMN {name}"

    def column_dropped(self):
        """Of those that were added. Back: a column of this name, of any type, and empty."""
        added = self._one("SELECT attrelid::regclass::text, attname FROM pg_attribute WHERE attname ~ '^new ' AND NOT attisdropped AND attrelid = ANY (%s::regclass[])",
                          [f"public.{t}" for t in TABLES])
        if not added:
            raise NoChange("no column was added")
        table, name = self.random.choice(added)
        return (f"ALTER TABLE {table} DROP COLUMN {quote(name)}", f"ALTER TABLE {table} ADD COLUMN {quote(name)} {self.random.choice(VALUES)}")

    def type(self):
        ((now,),) = self._one("SELECT format_type(atttypid, atttypmod) FROM pg_attribute WHERE attrelid = 'tops'::regclass AND attname = 'd'")
        other = self.random.choice([t for t in ("numeric(8,2)", "numeric(9,3)", "double precision", "text") if t != now])
        alter = r"ALTER TABLE tops ALTER d TYPE {0} USING CASE WHEN d::text ~ '^-?\d{{1,5}}(\.\d+)?$' THEN d::text::{0} END"
        return alter.format(other), alter.format(now)

    def unique_index(self):
        there = self._one("SELECT FROM pg_constraint WHERE conrelid = 'ones'::regclass AND conname = 'one'")
        steps = ("ALTER TABLE ones DROP CONSTRAINT one",
                 "DELETE FROM ones a USING ones b WHERE a.top = b.top AND a.id > b.id; ALTER TABLE ones ADD CONSTRAINT one UNIQUE (top)")
        return steps if there else steps[::-1]

    def label(self):
        ((label,),) = self._one("SELECT enumlabel FROM pg_enum WHERE enumtypid = 'mood'::regtype ORDER BY enumsortorder LIMIT 1")
        other = literal(self._name())
        return f"ALTER TYPE mood RENAME VALUE {literal(label)} TO {other}", f"ALTER TYPE mood RENAME VALUE {other} TO {literal(label)}"

    def value(self):
        return f"ALTER TYPE mood ADD VALUE {literal(self._name())}", "SELECT"

    def function(self):
        ((body,),) = self._one("SELECT prosrc FROM pg_proc WHERE oid = 'f'::regproc")
        made = "CREATE OR REPLACE FUNCTION f(int) RETURNS int LANGUAGE plpgsql IMMUTABLE AS {}"
        return made.format(literal(f"BEGIN RETURN $1 + {self.random.randint(2, 1000)}; END")), made.format(literal(body))

    def view(self):
        ((body,),) = self._one("SELECT pg_get_viewdef('seen'::regclass)")
        return f"CREATE OR REPLACE VIEW seen AS SELECT id, n * {self.random.randint(2, 1000)} AS v FROM tops", f"CREATE OR REPLACE VIEW seen AS {body}"

    def not_null(self):
        ((set,),) = self._one("SELECT attnotnull FROM pg_attribute WHERE attrelid = 'kids'::regclass AND attname = 'word'")
        steps = ("UPDATE kids SET word = '' WHERE word IS NULL; ALTER TABLE kids ALTER word SET NOT NULL", "ALTER TABLE kids ALTER word DROP NOT NULL")
        return steps[::-1] if set else steps

    def default(self):
        return f"ALTER TABLE tops ALTER word SET DEFAULT {literal(self._name())}", "ALTER TABLE tops ALTER word DROP DEFAULT"

    def swap(self):
        both = SWAP.format("kids", "word", "note")
        return both, both

    def attribute(self):
        ((name,),) = self._one("SELECT attname FROM pg_attribute WHERE attrelid = (SELECT typrelid FROM pg_type WHERE oid = 'pair'::regtype) AND attnum = 1")
        other = quote(self._name())
        return f"ALTER TYPE pair RENAME ATTRIBUTE {quote(name)} TO {other}", f"ALTER TYPE pair RENAME ATTRIBUTE {other} TO {quote(name)}"

    def table(self):
        """Another table of the same name, with the same rows."""
        return REMADE, REMADE

    # What documents need: they cannot be built without it.

    def foreign_key(self):
        return ("ALTER TABLE kids DROP CONSTRAINT link", "DELETE FROM kids WHERE top NOT IN (SELECT id FROM tops);"
                " ALTER TABLE kids ADD CONSTRAINT link FOREIGN KEY (top) REFERENCES tops ON UPDATE CASCADE ON DELETE CASCADE")

    def table_renamed(self):
        return "ALTER TABLE kids RENAME TO renamed", "ALTER TABLE renamed RENAME TO kids"

    def column_renamed(self):
        table, name = self.random.choice([("kids", "top"), ("tops", "id")])
        return f"ALTER TABLE {table} RENAME {name} TO renamed", f"ALTER TABLE {table} RENAME renamed TO {name}"

    def function_renamed(self):
        return "ALTER FUNCTION f RENAME TO renamed", "ALTER FUNCTION renamed RENAME TO f"
