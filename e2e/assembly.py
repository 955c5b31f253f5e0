"""What an index must contain, assembled here from plain SELECTs of single tables, without joins in Postgres and without
pgsync. Slow and simple on purpose; docs/from-pgsync.md defines what a document is, and this is that page as code.
"""

import hashlib
import json
import re
from decimal import Decimal

import tables
from tables import quote

ROOT = "$root."
ID_BYTES = 512
SYSTEM_COLUMNS = ("ctid", "xmin", "xmax", "cmin", "cmax", "tableoid")


def assemble(connection, document, *, id_format="Escaped", meta=None, catalog=None):
    """{id: document} for one document of a schema.json. Numbers with a fraction are Decimals, with all their digits."""
    connection.execute("SET TIME ZONE 'UTC'")  # what a timestamptz is printed in
    return _Assembly(connection, document, id_format, meta, catalog or tables.read(connection)).documents()


def parse(text):
    return None if text is None else json.loads(text, parse_float=Decimal)


def as_list(value):
    return [value] if isinstance(value, str) else list(value)


def _finite(type, value):
    """Replaces by null what no engine accepts: NaN, infinite numbers and infinite dates, which to_json writes as texts."""
    names = {"NaN", "Infinity", "-Infinity"} if re.match("numeric|real|double", type) and not type.endswith("[]") else set()
    if re.match("date|timestamp", type) and not type.endswith("[]"):
        names = {"infinity", "-infinity"}
    return None if isinstance(value, str) and value in names else value


def canonical(value):
    """Text that is equal for equal documents: 1, true and "1" differ, and so do 1.5 and 1.50; keys come in any order."""
    return json.dumps(value, sort_keys=True, ensure_ascii=False, default=lambda number: f"number {number}")


def unlike(found, wanted, path="", limit=4):
    """Sentences that describe where two values differ, each with its path."""
    if canonical(found) == canonical(wanted):
        return []
    said = []
    if isinstance(found, dict) and isinstance(wanted, dict):
        said += [f"{path}.{k} is missing, expected {canonical(wanted[k])}" for k in wanted.keys() - found.keys()]
        said += [f"{path}.{k} should not be there" for k in found.keys() - wanted.keys()]
        for k in wanted.keys() & found.keys():
            said += unlike(found[k], wanted[k], f"{path}.{k}")
    elif isinstance(found, list) and isinstance(wanted, list) and len(found) == len(wanted):
        for i, (f, w) in enumerate(zip(found, wanted)):
            said += unlike(f, w, f"{path}[{i}]")
    else:
        said.append(f"{path} is {canonical(found)}, expected {canonical(wanted)}")
    return said[:limit]


def differences(found, wanted, limit=6):
    """Sentences that describe where two sets of documents, {id: document}, differ; none if they are equal."""
    said = [f"{id} is missing" for id in wanted.keys() - found.keys()]
    said += [f"{id} should not be there" for id in found.keys() - wanted.keys()]
    for id in wanted.keys() & found.keys():
        said += [f"{id}: {line}" for line in unlike(found[id], wanted[id])]
    return said[:limit] + ([f"and {len(said) - limit} more"] if len(said) > limit else [])


# --- one node


class _Row:
    """A row of a node's table: its values by column, as they are and as they are compared; computed fields apart."""

    def __init__(self, values, types, extra, key):
        self.values, self.extra, self.key = values, extra, key
        self.keys = {c: _comparable(t, v) for (c, v), t in zip(values.items(), types)}


def _comparable(type, value):
    """A key that is equal for values that Postgres considers equal."""
    if isinstance(value, str):
        return value.lower() if type == "citext" else value.rstrip(" ") if type.startswith("character(") else value
    return value


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
        self.moves = [] if self.scalar else _as_rules(self.transform.get("move"))
        self.key = self.table.key or json_node.get("primary_key", [])
        self.rows = self._read(assembly.connection)
        self.hops = assembly.hops(self) if parent else []
        self.children = [] if self.scalar else [_Node(assembly, c, self) for c in json_node.get("children", [])]

    def _read(self, connection):
        columns = [*self.table.columns, *(c for c in SYSTEM_COLUMNS if c in self.json.get("columns", []))]
        expressions = self.json.get("expressions") or {}
        listed = [f"to_json({quote(c)})::text" for c in columns] + [f"to_json({e})::text" for e in expressions.values()]
        listed += [f"format('%s', {quote(c)})" for c in self.key]
        order = [_ordering(o, expressions) for o in self.json.get("order_by") or []] + [quote(c) for c in self.key]
        where = f" WHERE ({self.json['where']})" if self.json.get("where") else ""
        found = connection.execute(f"SELECT {', '.join(listed)} FROM {self.table.quoted}{where} ORDER BY {', '.join(order)}")
        n, m = len(columns), len(columns) + len(expressions)
        types = [c.type for c in self.table.columns.values()]
        types += ["system"] * (n - len(types))
        return [_Row({c: _finite(t, parse(v)) for c, t, v in zip(columns, types, r[:n])}, types,
                     dict(zip(expressions, map(parse, r[n:m]))), r[m:]) for r in found]

    def columns(self):
        """(key in the document, value of a row) of each selected column."""
        labels = {c["label"] if c.get("label") else c["table"] for c in self.json.get("children", [])}
        for column in self.json.get("columns") or list(self.table.columns):
            if column in self.table.columns or column in SYSTEM_COLUMNS:
                if column not in labels or self.scalar:
                    yield column, lambda row, c=column: row.values[c]
            else:
                yield _path_key(column), lambda row, c=column: _path_value(row, c)


def _ordering(text, expressions):
    """ "column desc nulls last" with its column in quotes, or the expression of that name; names may contain blanks."""
    name, direction, nulls = re.fullmatch(r"(.+?)( asc| desc)?( nulls first| nulls last)?", text, re.IGNORECASE).groups("")
    return (f"({expressions[name]})" if name in expressions else quote(name)) + direction + nulls


# --- JSON paths in columns


def _path_parts(column):
    return re.split(r"(#>>|#>|->>|->)", column)


def _path_key(column):
    return "_".join(_path_parts(column)[::2]).replace("{", "").replace("}", "")


def _step(value, part):
    """One step down. An index consists of digits, and applies to an array only."""
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
                value = None  # an integer has no keys
            value = _step(value, step)
        if operator.endswith(">>"):
            value = _text(value)
    return value


def _text(value):
    """A JSON value as ->> returns it."""
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
    """Applies replace, then rename, then concat to the object of one row."""
    for column, pairs in (transform.get("replace") or {}).items():
        if column in document:
            document[column] = _replace(document[column], pairs)
    renames = transform.get("rename") or {}
    document = {renames.get(k, k): v for k, v in document.items()}
    for rule in _as_rules(transform.get("concat")):
        _concat(document, rule)
    return document


def _as_rules(value):
    return [value] if isinstance(value, dict) else value or []


def _put(document, path, value):
    *way, last = path.split(".")
    for step in way:
        document = document.setdefault(step, {})
    document[last] = value


def _walk(node, way):
    """(node, the nodes from the root to it) for every node below."""
    yield node, [*way, node]
    for child in node.children:
        yield from _walk(child, [*way, node])


def _ordered(values):
    """Texts before numbers, as jsonb sorts them."""
    return sorted(values, key=lambda v: (not isinstance(v, str), v.encode() if isinstance(v, str) else v))


# --- the tree


class _Assembly:
    def __init__(self, connection, document, id_format, meta, catalog):
        self.connection, self.catalog, self.id_format, self.meta = connection, catalog, id_format, meta
        self.root = _Node(self, document["nodes"])
        self.junctions = {}

    def documents(self):
        made = {}
        for row in self.root.rows:
            id, document = self.id(row.key), self.document(row)
            if not id or len(id.encode()) > ID_BYTES or id.startswith("sha256:"):
                document = {"_key": id, **document}
                id = "sha256:" + hashlib.sha256(id.encode()).hexdigest()
            made[id] = document
        return made

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
        if not relation.get("through_tables"):
            return [given or self.only_key(node.parent.place, node.place, node.many)]
        place = self.through(node).place
        last = given or self.only_key(place, node.place, node.many)
        return [self.only_key(node.parent.place, place, node.many, without=last if node.parent.place == node.place else None), last]

    def only_key(self, upper, lower, many, without=None):
        """The one foreign key between two tables, in whichever of them; within one table, the relation's type decides the direction."""
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
        place = self.through(node).place
        if place not in self.junctions:
            self.junctions[place] = _Node(self, {"schema": place[0], "table": place[1]}).rows
        return self.junctions[place]

    def through(self, node):
        schema, _, name = node.relation["through_tables"][0].rpartition(".")
        return self.catalog[schema or node.place[0], name]

    @staticmethod
    def matching(rows, columns, wanted):
        """Rows whose columns equal the wanted values; NULL equals nothing."""
        return [] if None in wanted else [r for r in rows if [r.keys[c] for c in columns] == wanted]

    def below(self, node, row):
        """[(row of the through table or None, the node's row)] under a row of its parent, in the node's order; one for each
        row of a through table."""
        (upper, lower), *last = node.hops
        wanted = [row.keys[c] for c in upper]
        if not last:
            return [(None, r) for r in self.matching(node.rows, lower, wanted)]
        found = []
        for between in self.matching(self.junction(node), lower, wanted):
            found += [(between, r) for r in self.matching(node.rows, last[0][1], [between.keys[c] for c in last[0][0]])]
        position = {id(r): i for i, r in enumerate(node.rows)}
        return sorted(found, key=lambda pair: position[id(pair[1])])

    def listed(self, node, row):
        """Those of the rows that are in the document."""
        found = self.below(node, row)
        return found[:node.json.get("limit")] if node.many else found[:1]

    # --- values

    def fields(self, node, row):
        """The object of a row, before `move` is applied."""
        document = {name: read(row) for name, read in node.columns()}
        document.update(row.extra)
        for child in node.children:
            document[child.label] = self.child(child, row)
        return _transformed(document, node.transform)

    def value(self, node, row):
        if node.scalar:
            return self.scalar(node, row)
        document = self.fields(node, row)
        moved = [(move, document.pop(move["column"], None)) for move in node.moves]
        for move, value in moved:
            if not move["destination"].startswith(ROOT):
                _put(document, move["destination"], value)
        return document

    def scalar(self, node, row):
        """The first column, or the first expression of a node that names no columns."""
        if row.extra and not node.json.get("columns"):
            return next(iter(row.extra.values()))
        name, read = next(node.columns())
        return _replace(read(row), (node.transform.get("replace") or {}).get(name, {}))

    def child(self, node, row):
        values = [self.value(node, r) for _, r in self.listed(node, row)]
        return (values or None) if node.many else (values[0] if values else None)

    def document(self, row):
        document = self.value(self.root, row)
        for node, way in _walk(self.root, []):
            for move in node.moves:
                if move["destination"].startswith(ROOT):
                    _put(document, move["destination"].removeprefix(ROOT), self.moved(way, row, move["column"]))
        if self.meta == "Pgsync":
            document["_meta"] = self.meta_of(row)
        return document

    def moved(self, way, row, column):
        """A field of a node below, as the root receives it: a list of all values if the node is within a list."""
        rows = [row]
        for node in way[1:]:
            rows = [r for above in rows for _, r in self.listed(node, above)]
        values = [self.fields(way[-1], r).get(column) for r in rows]
        if any(node.many for node in way[1:]):
            return values or None
        return values[0] if values else None

    # --- _meta

    def meta_of(self, root_row):
        """The keys of all rows in the document: {table: {column: [values]}}. What is under the name of the root's table is
        the root's key alone: of its columns the first, as text."""
        found = {}

        def note(table, row):
            for column in table.key:
                value = row.values[column]
                found.setdefault(table.name, {}).setdefault(column, {})[canonical(value)] = value

        def visit(node, row):
            for child in node.children:
                for between, below in self.listed(child, row):
                    if between:
                        note(self.through(child), between)
                    note(child.table, below)
                    visit(child, below)

        visit(self.root, root_row)
        found[self.root.table.name] = {self.root.key[0]: {"": root_row.key[0]}}
        return {t: {c: _ordered(list(v.values())) for c, v in columns.items()} for t, columns in found.items()}
