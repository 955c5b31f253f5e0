"""Tables with a schema.json over them, for the tests of documents. Random ones here, handwritten ones in constructs.py.

    construct = trees.random_tree(7)           # always the same for a seed
    construct.load(connection)                 # tables and rows, into an empty database
    construct.documents("prefix", "database")  # its schema.json; the indices are prefix-1, prefix-2, ...

`features` of random_tree leaves out what another program cannot do.
"""

import copy
import random
from dataclasses import dataclass, field

import changes
from tables import quote

FEATURES = {
    "quoted": "names that need quotes: mixed case, spaces, key words, other alphabets",
    "schemas": "tables of a second schema, some with the name of one in the first",
    "composite": "keys of several columns",
    "unique": "foreign keys to unique columns that are not the primary key",
    "unconstrained": "tables joined by `foreign_key` where no constraint is",
    "self": "tables that refer to themselves, in either direction",
    "again": "a table at several places of the tree, the root's among them",
    "chosen": "several foreign keys between two tables, of which `foreign_key` chooses one",
    "through": "junctions, and tables between that are no junctions",
    "deep_through": "through_tables below the first level",
    "scalar": "children that are one value each",
    "first": "one_to_one where several rows match",
    "one_of_many": "one_to_many where at most one row matches",
    "one_through": "one_to_one through a table",
}


@dataclass
class Construct:
    name: str
    sql: str  # makes the tables, and rows if some matter
    schema: list  # schema.json; without `index` and `database`
    spec: dict = field(default_factory=dict)  # fields of the PgSync, in the form of bookstore.resource
    choices: dict = field(default_factory=dict)  # {"schema.table.column": literals that its values are chosen from}
    rows: int = 6  # to have in each table at the beginning
    seed: int = 1
    options: dict = field(default_factory=dict)  # other facts that its test needs

    def load(self, connection):
        """Creates tables and rows, the same ones every time."""
        connection.execute(self.sql)
        changes.Changes(connection, random.Random(self.seed), self.schema, self.choices).fill(self.rows)

    def finished(self, document):
        """Turns an assembled document into what the index receives, as `options["finish"]` defines it."""
        return self.options["finish"](document) if "finish" in self.options else document

    def documents(self, prefix, database=None):
        made = copy.deepcopy(self.schema)
        for number, document in enumerate(made, 1):
            document["index"] = f"{prefix}-{number}"
            if database:
                document["database"] = database
        return made


def random_tree(seed, features=frozenset(FEATURES), nodes=8, depth=4):
    """A construct with tables and a tree of up to `nodes` nodes and `depth` levels."""
    return _Maker(seed, set(features), nodes, depth).make()


# --- tables in the making


@dataclass
class _ForeignKey:
    table: "_Table"
    columns: list
    to: "_Table"
    to_columns: list
    constraint: bool = True


@dataclass(eq=False)
class _Table:
    schema: str
    name: str
    columns: dict = field(default_factory=dict)  # {name: SQL type with its constraints}
    key: list = field(default_factory=list)
    uniques: list = field(default_factory=list)
    foreign_keys: list = field(default_factory=list)
    between: bool = False  # a through table: more foreign keys would make its own ambiguous

    @property
    def quoted(self):
        return quote(self.schema) + "." + quote(self.name)

    def create(self):
        lines = [f"{quote(c)} {t}" for c, t in self.columns.items()]
        for kind, names in [("PRIMARY KEY", self.key), *(("UNIQUE", u) for u in self.uniques)]:
            lines.append(f"{kind} ({_list(names)})")
        return f"CREATE TABLE {self.quoted} ({', '.join(lines)});\n"


def _list(names):
    return ", ".join(map(quote, names))


@dataclass
class _Node:
    table: _Table
    parent: "_Node"
    level: int
    first: _ForeignKey = None  # the join with the parent, or with the through table
    through: _Table = None
    last: _ForeignKey = None  # of the through table with this one
    many: bool = True
    scalar: bool = False
    direction: str = "down"  # which way a table refers to itself here
    label: str = None
    columns: list = field(default_factory=list)
    children: list = field(default_factory=list)


PLAIN_NAMES = ["book", "author", "shelf", "city", "tag", "page", "loan", "note", "house", "event", "item", "user"]
QUOTED_NAMES = ["Book", "order", "two words", "Übung", 'a"quote', "50%", "back\\slash", "UPPER", "select", "it's"]
COLUMN_NAMES = ["name", "amount", "since", "flag", "info", "list", "size"]
QUOTED_COLUMNS = ["Name", "from", "a space", "größe", 'q"c', "100%", "c'c", "key 1"]
COLUMN_TYPES = ["text", "text", "integer", "bigint", "numeric(10,2)", "boolean", "timestamptz", "jsonb", "text[]", "date", "uuid"]
KEY_TYPES = ["integer", "integer", "integer", "bigint", "text", "uuid"]
ON_DELETE = ["CASCADE", "SET NULL", "NO ACTION"]


class _Maker:
    def __init__(self, seed, features, nodes, depth):
        self.seed, self.features, self.nodes, self.depth = seed, features, nodes, depth
        self.random = random.Random(f"tree {seed}")
        self.tables, self.count = [], 1

    def chance(self, probability, feature=None):
        # Always drawn, so that leaving a feature out changes as little as possible.
        return self.random.random() < probability and (feature is None or feature in self.features)

    # --- tables

    def new_table(self):
        schema = "other" if self.chance(0.25, "schemas") else "public"
        taken = {t.name for t in self.tables if t.schema == schema}
        elsewhere = [t.name for t in self.tables if t.schema != schema and t.name not in taken]
        names = QUOTED_NAMES if self.chance(0.3, "quoted") else PLAIN_NAMES
        free = [n for n in names if n not in taken]
        name = self.random.choice(free) if free else f"table{len(self.tables)}"
        if elsewhere and self.chance(0.4):
            name = self.random.choice(elsewhere)
        table = _Table(schema, name)
        n = self.random.choice([2, 2, 3]) if self.chance(0.3, "composite") else 1
        table.key = [self.add_column(table, c, self.random.choice(KEY_TYPES) + " NOT NULL") for c in self.key_names(n)]
        for _ in range(self.random.randint(1, 3)):
            name = self.random.choice(QUOTED_COLUMNS if self.chance(0.3, "quoted") else COLUMN_NAMES)
            self.add_column(table, name, self.random.choice(COLUMN_TYPES))
        self.tables.append(table)
        return table

    def key_names(self, n):
        if n == 1:
            return ["Id" if self.chance(0.2, "quoted") else "id"]
        return self.random.sample(["z", "a", "m", "Part" if "quoted" in self.features else "part"], n)

    def add_column(self, table, name, type):
        number, wanted = 2, name
        while name in table.columns:
            name, number = f"{wanted}{number}", number + 1
        table.columns[name] = type
        return name

    def target(self, table):
        """The columns that a foreign key to this table refers to."""
        if self.chance(0.2, "unique"):
            if not table.uniques:
                type = self.random.choice(["integer", "text", "bigint"]) + self.random.choice(["", " NOT NULL"])
                table.uniques.append([self.add_column(table, "code", type)])
            return table.uniques[0]
        return table.key

    def refer(self, table, to, null=None):
        """A foreign key from `table` to `to`, with its own columns."""
        to_columns = self.target(to)
        null = self.chance(0.6) if null is None else null
        columns = []
        for name in to_columns:
            type = to.columns[name].removesuffix(" NOT NULL") + ("" if null else " NOT NULL")
            columns.append(self.add_column(table, f"{to.name}_{name}".replace(" ", "_")[:40], type))
        made = _ForeignKey(table, columns, to, list(to_columns))
        table.foreign_keys.append(made)
        return made

    def join_without_constraint(self, table, to):
        """Columns of both tables that are sometimes equal, and unique in neither."""
        type = self.random.choice(["text", "integer"])
        made = _ForeignKey(table, [self.add_column(table, "kind", type)], to, [self.add_column(to, "sort", type)], constraint=False)
        table.foreign_keys.append(made)
        return made

    # --- the tree

    def make(self):
        root = _Node(self.new_table(), None, 1)
        level = [root]
        while level and self.count < self.nodes:
            level = [child for node in level for child in self.grow(node)]
        self.finish(root)
        schema = [{"nodes": self.node_json(root)}]
        return Construct(f"tree {self.seed}", self.sql(), schema, seed=self.seed, choices=self.choices())

    def grow(self, node):
        if node.level >= self.depth or node.scalar:
            return []
        for _ in range(self.random.choice([0, 1, 1, 2, 2, 3]) if node.parent else self.random.randint(1, 3)):
            if self.count < self.nodes:
                self.count += 1
                node.children.append(self.child(node))
        return node.children

    def child(self, parent):
        node = _Node(None, parent, parent.level + 1)
        kinds = ["down", "down", "down", "up", "up"]
        kinds += ["through", "through", "between"] * ("through" in self.features and (node.level == 2 or "deep_through" in self.features))
        kinds += ["related"] * ("through" in kinds and "self" in self.features)
        kinds += ["self"] * ("self" in self.features) + ["unconstrained"] * ("unconstrained" in self.features)
        kind = self.random.choice(kinds)
        itself = kind in ("self", "related")
        node.table = parent.table if itself else self.new_table()
        if not itself and self.chance(0.25, "again"):
            self.tables.remove(node.table)
            node.table = self.random.choice([t for t in self.tables if t is not parent.table and not t.between] or [self.new_table()])
        getattr(self, "_" + kind)(node, parent)
        node.scalar = self.chance(0.2, "scalar")
        return node

    def _down(self, node, parent):
        # A table that is used elsewhere already has rows, and a cycle of NOT NULL keys accepts none.
        node.first = self.refer(node.table, parent.table, null=True if self.cyclic(node.table, parent.table) else None)
        node.many = not self.chance(0.2, "first")
        self.maybe_another(node.table, parent.table)

    def _up(self, node, parent):
        node.first = self.refer(parent.table, node.table, null=True if self.cyclic(parent.table, node.table) else None)
        node.many = self.chance(0.2, "one_of_many")
        self.maybe_another(parent.table, node.table)

    def maybe_another(self, table, to):
        if self.chance(0.15, "chosen"):
            self.refer(table, to, null=True)

    def cyclic(self, table, to):
        """Whether `to` refers to `table`, directly or not."""
        seen, queue = set(), [to]
        while queue:
            at = queue.pop()
            if at is table:
                return True
            if at not in seen:
                seen.add(at)
                queue += [f.to for f in at.foreign_keys]
        return False

    def _self(self, node, parent):
        node.first = self.refer(parent.table, parent.table, null=True)
        node.direction = self.random.choice(["down", "up"])
        node.many = node.direction == "down"

    def _unconstrained(self, node, parent):
        node.first = self.join_without_constraint(node.table, parent.table)
        node.many = not self.chance(0.2, "first")

    def _through(self, node, parent):
        """A through table with keys to both; its primary key consists of these, or is separate, so that rows may repeat."""
        junction = node.through = self.new_table()
        junction.between = True
        apart = self.chance(0.4)
        if not apart:
            for name in junction.key:
                del junction.columns[name]
        node.first, node.last = self.refer(junction, parent.table, null=False), self.refer(junction, node.table, null=False)
        if not apart:
            junction.key = node.first.columns + node.last.columns
        node.many = not self.chance(0.2, "one_through")

    _related = _through

    def _between(self, node, parent):
        """A table with its own rows between the two: the child refers to it, and it refers to the parent."""
        middle = node.through = self.new_table()
        middle.between = True
        node.first = self.refer(middle, parent.table)
        node.last = self.refer(node.table, middle, null=True if self.cyclic(node.table, middle) else None)

    # --- what is done once all tables are known

    def finish(self, node):
        columns = list(node.table.columns)
        if node.scalar:
            columns = [c for c in columns if "json" not in node.table.columns[c]]
            node.columns = [self.random.choice(columns)]
        elif self.chance(0.7):
            node.columns = self.random.sample(columns, self.random.randint(1, len(columns)))
        taken = set(node.columns or columns)
        for child in node.children:
            label = child.table.name
            if label in taken or self.chance(0.4):
                label = self.random.choice(["Label" if "quoted" in self.features else "label", "things", "x"])
            number, wanted = 2, label
            while label in taken:
                label, number = f"{wanted}{number}", number + 1
            taken.add(label)
            child.label = label
            self.finish(child)

    def between(self, a, b, without=None):
        """The foreign keys of the catalog that join two tables."""
        found = [f for f in a.foreign_keys if f.to is b] + [f for f in b.foreign_keys if f.to is a and a is not b]
        return [f for f in found if f.constraint and f is not without]

    def node_json(self, node):
        made = {"table": node.table.name}
        if node.table.schema != "public" or self.chance(0.1):
            made["schema"] = node.table.schema
        if node.label and node.label != node.table.name:
            made["label"] = node.label
        if node.columns:
            made["columns"] = node.columns
        if node.parent:
            made["relationship"] = self.relationship_json(node)
        if node.children:
            made["children"] = [self.node_json(c) for c in node.children]
        return made

    def relationship_json(self, node):
        made = {"variant": "scalar" if node.scalar else "object", "type": "one_to_many" if node.many else "one_to_one"}
        upper = node.parent.table
        if node.through:
            name = node.through.name
            made["through_tables"] = [name if node.through.schema == node.table.schema else f"{node.through.schema}.{name}"]
            if len(self.between(node.through, node.table)) > 1:
                made["foreign_key"] = self.columns_json(node.last, node.table, node.through, "down")
            return made
        if len(self.between(upper, node.table)) != 1 or self.chance(0.1):
            made["foreign_key"] = self.columns_json(node.first, node.table, upper, node.direction)
        return made

    def columns_json(self, key, child, parent, direction):
        child_has_it = key.table is child and (child is not parent or direction == "down")
        child_columns, parent_columns = (key.columns, key.to_columns) if child_has_it else (key.to_columns, key.columns)
        return {"child": list(child_columns), "parent": list(parent_columns)}

    def sql(self):
        made = "CREATE SCHEMA other;\n" if any(t.schema == "other" for t in self.tables) else ""
        made += "".join(t.create() for t in self.tables)
        for table in self.tables:
            for key in table.foreign_keys:
                if key.constraint:
                    made += (f"ALTER TABLE {table.quoted} ADD FOREIGN KEY ({_list(key.columns)}) REFERENCES {key.to.quoted}"
                             f" ({_list(key.to_columns)}) ON UPDATE CASCADE ON DELETE {self.on_delete(table, key)};\n")
                if self.chance(0.6):
                    made += f"CREATE INDEX ON {table.quoted} ({_list(key.columns)});\n"
        return made

    def on_delete(self, table, key):
        rule = self.random.choice(ON_DELETE)
        return "CASCADE" if rule == "SET NULL" and any("NOT NULL" in table.columns[c] for c in key.columns) else rule

    def choices(self):
        made = {}
        for key in (f for t in self.tables for f in t.foreign_keys if not f.constraint):
            few = ["1", "2", "3"] if "integer" in key.table.columns[key.columns[0]] else ["'a'", "'b'", "'c'"]
            for table, (column,) in ((key.table, key.columns), (key.to, key.to_columns)):
                made[f"{table.schema}.{table.name}.{column}"] = few + ["NULL"]
        return made
