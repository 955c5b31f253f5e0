"""A schema.json's tree beside the tables: what the comparison and its rules ask about a place of a document."""

from dataclasses import dataclass, field

import assembly
import psycopg
import tables


class World:
    """The tables and rows that a case is about."""

    def __init__(self, connection, document):
        self.connection, self.document = connection, document
        self.catalog = tables.read(connection)
        self.root = Node(document["nodes"], None, self)

    def same(self, type, one, other):
        """Whether Postgres reads the same value of a type from two texts."""
        try:
            row = self.connection.execute(f"SELECT %s::{type} IS NOT DISTINCT FROM %s::{type}", [one, other])
        except psycopg.DataError:
            return False
        return row.fetchone()[0]

    def assembled(self, document=None, id_format="Pgsync"):
        """The documents as they should be, assembled without pgsync; for this or another schema of the same tables. None
        where the assembly cannot do what the schema asks for."""
        if any("move" in node.transform for node in self.root.below()):
            return None
        try:
            return assembly.assemble(self.connection, document or self.document, id_format=id_format, catalog=self.catalog)
        except (AssertionError, NotImplementedError, KeyError):
            return None


@dataclass(eq=False)
class Node:
    json: dict
    parent: "Node"
    world: World
    children: list = field(default_factory=list)

    def __post_init__(self):
        self.place = (self.json.get("schema", "public"), self.json["table"])
        self.table = self.json["table"]
        self.label = self.json.get("label") or self.table
        self.relation = self.json.get("relationship") or {}
        self.many = self.relation.get("type") == "one_to_many"
        self.scalar = self.relation.get("variant") == "scalar"
        self.transform = self.json.get("transform") or {}
        self.columns = self.json.get("columns") or list(self.catalog[self.place].columns)
        if not self.scalar:
            self.children = [Node(child, self, self.world) for child in self.json.get("children", [])]

    def __str__(self):
        return f"{self.parent} > {self.label}" if self.parent else self.label

    @property
    def catalog(self):
        return self.world.catalog

    @property
    def through(self):
        """(schema, table) between this node's table and its parent's; None where they are joined directly."""
        for name in self.relation.get("through_tables") or []:
            schema, _, table = name.rpartition(".")
            return (schema or self.place[0], table)
        return None

    @property
    def key(self):
        return self.catalog[self.place].key or self.json.get("primary_key", [])

    @property
    def renames(self):
        return self.transform.get("rename") or {}

    def child_of_key(self, key):
        """The child whose value is under a key of this node's object."""
        return next((c for c in self.children if key in (c.label, self.renames.get(c.label))), None)

    def type_of_key(self, key):
        """The SQL type of the column whose value is under a key of this node's object; None for a path and the like."""
        column = next((old for old, new in self.renames.items() if new == key), key)
        found = self.catalog[self.place].columns.get(column)
        return found and found.type

    def below(self):
        """This node and all under it."""
        yield self
        for child in self.children:
            yield from child.below()

    def tables(self):
        """The names of the tables that this node and all under it read, those between included."""
        return {n.table for n in self.below()} | {n.through[1] for n in self.below() if n.through}

    def keys_between(self, a, b):
        """The foreign keys of the catalog that join two tables, as (table, columns, other table, its columns)."""
        pairs = [(a, b), (b, a)] if a != b else [(a, b)]
        return [(x, f.columns, y, f.to_columns) for x, y in pairs for f in self.catalog[x].foreign_keys if f.to == y]

    def hops(self):
        """The pairs of tables that are joined on the way from the parent to this node."""
        if not self.parent:
            return []
        return [(self.parent.place, self.through), (self.through, self.place)] if self.through else [(self.parent.place, self.place)]
