"""What an index must hold, put together here from plain SELECTs of single tables: no join is made by Postgres, and nothing
of pgsync takes part. Slow and simple on purpose; docs/from-pgsync.md says what a document is, and this is that page as code.
"""

import json
import re
from decimal import Decimal

import tables
from tables import quote

SYSTEM_COLUMNS = ("ctid", "xmin", "xmax", "cmin", "cmax", "tableoid")


def assemble(connection, document, *, id_format="Escaped", meta=None, catalog=None):
    """{id: document} for one document of a schema.json. Numbers with a fraction are Decimals, with all their digits."""
    return _Assembly(connection, document, id_format, meta, catalog or tables.read(connection)).documents()


def parse(text):
    return None if text is None else json.loads(text, parse_float=Decimal)


def as_list(value):
    return [value] if isinstance(value, str) else list(value)


# --- one node


class _Row:
    """A row of a node's table: its values by column, computed fields apart."""

    def __init__(self, values, extra, key):
        self.values, self.extra, self.key = values, extra, key


class _Node:
    """A node of schema.json with the rows of its table that its `where` lets through, in its order."""

    def __init__(self, assembly, json_node, parent=None):
        self.json, self.parent = json_node, parent
        self.place = (json_node.get("schema", "public"), json_node["table"])
        self.table = assembly.catalog[self.place]
        self.label = json_node.get("label") or json_node["table"]
        self.relation = json_node.get("relationship") or {}
        self.scalar = self.relation.get("variant") == "scalar"
        self.many = self.relation.get("type") == "one_to_many"
        self.transform = json_node.get("transform") or {}
        self.key = self.table.key or json_node.get("primary_key", [])
        self.rows = self._read(assembly.connection)
        self.hops = assembly.hops(self) if parent else []
        self.children = [] if self.scalar else [_Node(assembly, c, self) for c in json_node.get("children", [])]

    def _read(self, connection):
        columns = [*self.table.columns, *(c for c in SYSTEM_COLUMNS if c in self.json.get("columns", []))]
        expressions = self.json.get("expressions") or {}
        listed = [f"to_json({quote(c)})::text" for c in columns] + [f"to_json({e})::text" for e in expressions.values()]
        listed += [f"format('%s', {quote(c)})" for c in self.key]
        order = as_list(self.json.get("order_by") or []) + [quote(c) for c in self.key]
        where = f" WHERE ({self.json['where']})" if self.json.get("where") else ""
        found = connection.execute(f"SELECT {', '.join(listed)} FROM {self.table.quoted}{where} ORDER BY {', '.join(order)}")
        n, m = len(columns), len(columns) + len(expressions)
        return [_Row(dict(zip(columns, map(parse, r[:n]))), dict(zip(expressions, map(parse, r[n:m]))), r[m:]) for r in found]

    def columns(self):
        """(key in the document, value of a row) of each selected column."""
        labels = {c["label"] if c.get("label") else c["table"] for c in self.json.get("children", [])}
        for column in self.json.get("columns") or list(self.table.columns):
            if column in self.table.columns or column in SYSTEM_COLUMNS:
                if column not in labels or self.scalar:
                    yield column, lambda row, c=column: row.values[c]
            else:
                yield _path_key(column), lambda row, c=column: _path_value(row, c)


# --- JSON paths in columns


def _path_parts(column):
    return re.split(r"(#>>|#>|->>|->)", column)


def _path_key(column):
    return "_".join(_path_parts(column)[::2]).replace("{", "").replace("}", "")


def _step(value, part):
    """One step down. Only digits are an index, and in an array."""
    if isinstance(value, list):
        return value[int(part)] if re.fullmatch(r"\d+", part) and int(part) < len(value) else None
    return value.get(part) if isinstance(value, dict) else None


def _path_value(row, column):
    base, *rest = _path_parts(column)
    value = row.values[base]
    for operator, part in zip(rest[::2], rest[1::2]):
        steps = part.strip("{}").split(",") if operator.startswith("#") else [part]
        for step in steps:
            if operator.startswith("-") and re.fullmatch(r"\d+", step) and isinstance(value, dict):
                value = None  # an integer is no key
            value = _step(value, step)
        if operator.endswith(">>"):
            value = _text(value)
    return value


def _text(value):
    """A JSON value as ->> gives it."""
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (int, Decimal)):
        return str(value)
    raise NotImplementedError("the text of an object or array depends on json or jsonb; choose a leaf")


# --- transform


def _replace(value, pairs):
    if isinstance(value, list):
        return [_replace(v, pairs) for v in value]
    if isinstance(value, str):
        for search, replacement in pairs.items():
            value = value.replace(search, replacement)
    return value


def _concat(document, rule):
    parts = [document[c] if c in document else c for c in rule["columns"]]
    document[rule["destination"]] = rule.get("delimiter", "").join(_text(p) for p in parts if p)


def _transformed(document, transform):
    """replace, then rename, then concat; of the object of one row."""
    for column, pairs in (transform.get("replace") or {}).items():
        if column in document:
            document[column] = _replace(document[column], pairs)
    renames = transform.get("rename") or {}
    document = {renames.get(k, k): v for k, v in document.items()}
    rules = transform.get("concat") or []
    for rule in [rules] if isinstance(rules, dict) else rules:
        _concat(document, rule)
    return document


# --- the tree


class _Assembly:
    def __init__(self, connection, document, id_format, meta, catalog):
        self.connection, self.catalog, self.id_format, self.meta = connection, catalog, id_format, meta
        self.root = _Node(self, document["nodes"])
        self.junctions = {}

    def documents(self):
        return {self.id(row.key): self.value(self.root, row) for row in self.root.rows}

    def id(self, key):
        if len(key) == 1 or self.id_format == "Pgsync":
            return "|".join(key)
        return "|".join(k.replace("\\", "\\\\").replace("|", "\\|") for k in key)

    # --- joins

    def hops(self, node):
        """[(upper columns, lower columns)] from the parent's table to the node's: one, or two with a through table."""
        relation = node.relation
        given = relation.get("foreign_key")
        given = given and (as_list(given["parent"]), as_list(given["child"]))
        through = relation.get("through_tables")
        if not through:
            return [given or self.only_key(node.parent.place, node.place, node.many)]
        schema, _, name = through[0].rpartition(".")
        place = (schema or node.place[0], name)
        last = given or self.only_key(place, node.place, node.many)
        return [self.only_key(node.parent.place, place, node.many, without=last if node.parent.place == node.place else None), last]

    def only_key(self, upper, lower, many, without=None):
        """The one foreign key between two tables, in whichever of them; within one table the relation's type says which way."""
        found = []
        if upper != lower or many:
            found += [(k.to_columns, k.columns) for k in self.catalog[lower].foreign_keys if k.to == upper]
        if upper != lower or not many:
            found += [(k.columns, k.to_columns) for k in self.catalog[upper].foreign_keys if k.to == lower]
        found = [f for f in found if not without or set(f[1]) != set(without[0])]
        assert len(found) == 1, f"{len(found)} foreign keys between {upper} and {lower}"
        return found[0]

    def junction(self, node):
        """All rows of the node's through table."""
        schema, _, name = node.relation["through_tables"][0].rpartition(".")
        place = (schema or node.place[0], name)
        if place not in self.junctions:
            self.junctions[place] = _Node(self, {"schema": place[0], "table": place[1]}).rows
        return self.junctions[place]

    @staticmethod
    def matching(rows, columns, wanted):
        """Rows whose columns equal the wanted values; NULL equals nothing."""
        return [] if None in wanted else [r for r in rows if [r.values[c] for c in columns] == wanted]

    def below(self, node, row):
        """The node's rows under a row of its parent, in the node's order; one for each row of a through table."""
        (upper, lower), *last = node.hops
        wanted = [row.values[c] for c in upper]
        if not last:
            return self.matching(node.rows, lower, wanted)
        found = []
        for between in self.matching(self.junction(node), lower, wanted):
            found += self.matching(node.rows, last[0][1], [between.values[c] for c in last[0][0]])
        position = {id(r): i for i, r in enumerate(node.rows)}
        return sorted(found, key=lambda r: position[id(r)])

    # --- values

    def value(self, node, row):
        if node.scalar:
            name, read = next(node.columns())
            return _replace(read(row), (node.transform.get("replace") or {}).get(name, {}))
        document = {name: read(row) for name, read in node.columns()}
        document.update(row.extra)
        for child in node.children:
            document[child.label] = self.child(child, row)
        return _transformed(document, node.transform)

    def child(self, node, row):
        values = [self.value(node, r) for r in self.below(node, row)]
        if not node.many:
            return values[0] if values else None
        return values[:node.json.get("limit")] or None
