"""How documents may differ, and why: each rule recognises one difference and nothing else.

A rule is asked where two values differ. It yields pairs (pgsync's value, ours) as they would be without what the rule is
about; where a pair is equal, or made equal by other rules, the rule has explained the difference.
"""

import re
from dataclasses import dataclass
from decimal import Decimal
from typing import Callable

from assembly import as_list
from parity.compare import MISSING, Choice, Several, Some
from parity.tree import World


@dataclass(frozen=True)
class Rule:
    name: str
    theirs: str  # what pgsync does
    ours: str  # what ours does
    reason: str
    at: tuple  # kinds of places
    explain: Callable
    rows: bool = False  # whether it is about rows that one side has and the other has not: `_meta` names these


# --- which rows


def _null_elements(theirs, ours, place):
    if place.node.through and isinstance(theirs, list):
        more = theirs.count(None) - (ours.count(None) if isinstance(ours, list) else 0)
        if more > 0:
            left = list(theirs)
            for _ in range(more):
                left.remove(None)
            yield left or None, ours


def _one_through(theirs, ours, place):
    node = place.node
    if not node.through or node.many or not isinstance(theirs, list):
        return
    for one in theirs:
        if not node.scalar and not node.children and isinstance(one, dict) and len(one) == 1 and isinstance(ours, dict):
            yield one, {key: value for key, value in ours.items() if key in one}
        yield one, ours


def _self_reference(theirs, ours, place):
    parent = place.node.parent
    if any(child.place == parent.place for child in parent.children):
        yield ours, ours


def _same_column_between(theirs, ours, place):
    node = place.node
    if not node.through or not isinstance(theirs, list) or not isinstance(ours, list):
        return
    ends = [c for x, columns, _, _ in node.keys_between(node.place, node.through) if x == node.place for c in columns]
    if ends and set(ends) <= set(node.catalog[node.through].columns):
        yield [one for one in theirs if one is not None] or None, Some(ours)
        if not any(theirs):
            yield None, None


def _several_for_one(theirs, ours, place):
    """With every one_to_one as the choice that it was: pgsync sends a document for each, and the last one stays."""
    world = place.node.world
    if isinstance(theirs, dict) and isinstance(ours, dict) and any(_is_choice(n) for n in world.root.below()):
        every = world.assembled({**world.document, "nodes": _all_many(world.root)})
        if every and place.id in every:
            yield theirs, {**_choices(every[place.id], world.root), "_meta": theirs.get("_meta")}


def _is_choice(node):
    return node.parent and not node.many and not node.through and node.place != node.parent.place


def _all_many(node):
    made = {**node.json, "children": [_all_many(child) for child in node.children]}
    if _is_choice(node):
        made["relationship"] = {**node.relation, "type": "one_to_many"}
    return made


def _choices(value, node):
    """An assembled object with the arrays of `_all_many` as choices, and those around them open to repetitions."""
    made = dict(value)
    for child in node.children:
        key = node.renames.get(child.label, child.label)
        below = value.get(key)
        if isinstance(below, list):
            items = below if child.scalar else [_choices(item, child) for item in below]
            made[key] = Choice(items) if _is_choice(child) else Several(items)
        elif isinstance(below, dict) and not child.scalar:
            made[key] = _choices(below, child)
    return made


# --- ids


PYTHON_KEYS = re.compile("boolean|timestamp|interval|bytea|double precision|real|time ")


def _python_texts(world):
    """{id as Postgres spells the key: as Python does} for a key of one column."""
    root = world.root
    if len(root.key) != 1 or not PYTHON_KEYS.match(world.catalog[root.place].columns[root.key[0]].type):
        return {}
    column = '"' + root.key[0].replace('"', '""') + '"'
    rows = world.connection.execute(f"SELECT format('%s', {column}), {column} FROM {world.catalog[root.place].quoted}").fetchall()
    server = world.connection.execute("SELECT reset_val FROM pg_settings WHERE name = 'TimeZone'").fetchone()[0]
    with world.connection.transaction(force_rollback=True):
        world.connection.execute("SELECT set_config('timezone', %s, true)", [server])
        there = world.connection.execute(f"SELECT {column} FROM {world.catalog[root.place].quoted}").fetchall()
    return {text: str(value) for (text, _), (value,) in zip(rows, there)}


def _python_ids(theirs, ours, place):
    if place.kind == "documents":
        texts = _python_texts(place.node.world)
        if any(id in texts and texts[id] in theirs and texts[id] != id for id in ours):
            yield theirs, {texts.get(id, id): document for id, document in ours.items()}
    elif place.path == ("_meta", place.node.table, place.node.key[0]):
        if theirs == [place.id] and place.id in _python_texts(place.node.world).values():
            yield None, None


def _ambiguous_ids(theirs, ours, place):
    plain = {}
    for id, document in ours.items():
        plain.setdefault(re.sub(r"\\(.)", r"\1", id), []).append(document)
    if any(len(documents) > 1 for documents in plain.values()):
        yield theirs, {id: documents[0] if len(documents) == 1 else Choice(documents) for id, documents in plain.items()}


# --- values


def _type(place):
    """The SQL type of the column that a value is of, or None."""
    if place.kind == "meta":
        _, table, column = (*place.path, None, None)[:3]
        found = [n.catalog[p] for n in place.node.world.root.below() for p in (n.place, n.through) if p and p[1] == table]
        return next((t.columns[column].type for t in found if column in t.columns), None)
    key = place.node.columns[0] if place.node.scalar else place.path[-1]
    return place.node.type_of_key(key)


def _float(value):
    """A number as a double prints it."""
    if isinstance(value, Decimal):
        return Decimal(repr(float(value)))
    if isinstance(value, list):
        return [_float(v) for v in value]
    if isinstance(value, dict):
        return {k: _float(v) for k, v in value.items()}
    return value


def _doubles(theirs, ours, place):
    if _float(ours) != ours:
        yield theirs, _float(ours)


def _time_zone(theirs, ours, place):
    type = _type(place) or ""
    if "with time zone" not in type and "tstz" not in type:
        return
    if isinstance(theirs, str) and isinstance(ours, str) and place.node.world.same(type, theirs, ours):
        yield ours, ours
    if isinstance(theirs, list) and isinstance(ours, list) and len(theirs) == len(ours):
        item = type.removesuffix("[]")
        if all(a == b or isinstance(a, str) and place.node.world.same(item, a, b) for a, b in zip(theirs, ours)):
            yield ours, ours


UNKNOWN_TO_ENGINES = {"NaN", "Infinity", "-Infinity", "infinity", "-infinity"}


def _not_for_engines(theirs, ours, place):
    if ours is None and isinstance(theirs, str) and theirs in UNKNOWN_TO_ENGINES:
        yield None, None


# --- transforms


def _transformed_lists(theirs, ours, place):
    node = place.node
    if not node.scalar or not node.many or not isinstance(ours, list):
        return
    if node.transform.get("replace"):
        if theirs == []:
            yield ours, ours
    elif node.transform.get("rename") or node.transform.get("concat"):
        if theirs == [{}] * len(ours):
            yield ours, ours


def _replaced_value(theirs, ours, place):
    node = place.node
    pairs = (node.transform.get("replace") or {}).get(node.columns[0])
    if node.scalar and not node.many and pairs and isinstance(theirs, str):
        for search, replacement in pairs.items():
            theirs = theirs.replace(search, replacement)
        yield theirs, ours


def _joined(document, rule, text):
    values = [document.get(column, column) for column in rule["columns"]]
    return rule.get("delimiter", "").join(text(v) for v in values if v)


def _json_text(value):
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value)


def _python_text(value):
    return str(_float(value)) if isinstance(value, Decimal) else str(value)


def _concat_spelling(theirs, ours, place):
    """The destinations contain the values of the fields of the same object, spelled by Python there and by JSON here."""
    if not isinstance(theirs, dict) or not isinstance(ours, dict):
        return
    rules = place.node.transform.get("concat") or []
    spelled = {}
    for rule in [rules] if isinstance(rules, dict) else rules:
        to = rule["destination"]
        if theirs.get(to) == _joined(theirs, rule, _python_text) and ours.get(to) == _joined(ours, rule, _json_text):
            spelled[to] = ours[to]
    if any(theirs[to] != text for to, text in spelled.items()):
        yield {**theirs, **spelled}, ours


def _lost_rename(theirs, ours, place):
    if not isinstance(theirs, dict):
        return
    lost = {c.label: place.node.renames[c.label] for c in place.node.children
            if c.label in place.node.renames and c.transform.get("rename") and c.label in theirs}
    if lost:
        yield {lost.get(key, key): value for key, value in theirs.items()}, ours


def _move(theirs, ours, place):
    """The column is in its place there, and at its destination here."""
    moves = place.node.transform.get("move") or []
    moves = [moves] if isinstance(moves, dict) else moves
    if not moves or not isinstance(theirs, dict) or not isinstance(ours, dict):
        return
    theirs = dict(theirs)
    for move in moves:
        to = move["destination"].split(".")
        if to[0] == "$root" or move["column"] not in theirs:
            return
        at, value = theirs, theirs.pop(move["column"])
        for step in to[:-1]:
            at[step] = dict(at.get(step) or {})
            at = at[step]
        at[to[-1]] = value
    yield theirs, ours


def _text_paths(theirs, ours, place):
    if not isinstance(theirs, dict) or not isinstance(ours, dict):
        return
    broken = {c: c.replace("->>", "_>", 1) for c in place.node.columns if re.fullmatch("[^-#>]+->>[^-#>]+", c)}
    if broken and all(theirs.get(key, MISSING) is None for key in broken.values()):
        right = {c.replace("->>", "_") for c in broken}
        yield {k: v for k, v in theirs.items() if k not in broken.values()}, {k: v for k, v in ours.items() if k not in right}


RULES = [
    Rule("null-elements", "`[null]`, or a null among the elements, for a row of a through table without a matching row",
         "such a row gives no element; if no element is left, null, as for any child", "the left join behind `through_tables`"
         " reaches into the array", ("child",), _null_elements),
    Rule("one-to-one-through", "`one_to_one` with `through_tables` is an array; if the node has no children, its objects have only"
         " the first column", "the object (or value) of the first row, or null",
         "the type is ignored if there is a through table", ("child",), _one_through, rows=True),
    Rule("self-reference", "for a table that refers to itself, directly or through another, and for its sibling nodes: rows as their own children,"
         " unrelated rows, or none",
         "the row it refers to (`one_to_one`), or the rows that refer to it (`one_to_many`)",
         "both ends of the join have the same alias, and its conditions are combined with OR (#89, #404)", ("child",), _self_reference, rows=True),
    Rule("same-column-between", "children are missing if the through table has a column named like the child's foreign key", "all children", "that column is mistaken for the key that the child refers to", ("child",),
         _same_column_between, rows=True),
    Rule("several-for-one", "if several rows match a `one_to_one`: a document (or an element) for each of them; of documents with"
         " the same `_id`, the one written last stays", "the first row by primary key",
         "each matching row multiplies its parent", ("document",), _several_for_one, rows=True),
    Rule("python-ids", "the `_id` of a boolean, timestamp, interval, floating-point or bytea key is what Python prints",
         "what Postgres prints, timestamptz in UTC", "Python's spelling (`True`, `1 day, 2:03:04`) depends on the driver and the"
         " session's time zone", ("documents", "meta"), _python_ids),
    Rule("ambiguous-ids", "composite keys `('x|y', 'z')` and `('x', 'y|z')` share the `_id` `x|y|z`, and one document is lost",
         "`idFormat: Escaped`, the default, escapes `|` within a value", "ids are joined without escaping", ("documents",),
         _ambiguous_ids),
    Rule("doubles", "numeric values are rounded to double precision", "all digits", "documents pass through Python's floats",
         ("field", "meta"), _doubles),
    Rule("time-zone", "timestamptz in the time zone of the session", "timestamptz in UTC", "otherwise the same row would give another"
         " document after a change of Postgres' `timezone`", ("field", "meta"), _time_zone),
    Rule("not-for-engines", "`NaN`, `Infinity` and `infinity` as strings", "null, counted", "no search engine accepts them"
         " in a number or date field, and pgsync exits at the first document that is refused", ("field",), _not_for_engines),
    Rule("transformed-lists", "a scalar `one_to_many` is `[]` with `replace`, and `[{}, ...]` with `rename` or `concat`",
         "`replace` applies to each value; `rename` and `concat` have no effect", "transforms expect objects in every array",
         ("child",), _transformed_lists),
    Rule("replaced-value", "`replace` of a scalar `one_to_one` does nothing", "it replaces", "only objects and arrays are searched",
         ("child",), _replaced_value),
    Rule("concat-spelling", "`concat` spells booleans and numbers as Python does: `True`, `11.5` for 11.50", "as JSON does: `true`, `11.50`",
         "numbers keep their digits, and nothing depends on Python", ("document", "object"), _concat_spelling),
    Rule("lost-rename", "a parent's `rename` of a child's label does nothing if the child has its own `rename`", "it renames",
         "both are stored under the label, and the child's wins", ("document", "object"), _lost_rename),
    Rule("move", "`move` does nothing", "it moves", "documented but never implemented", ("document", "object"), _move),
    Rule("text-paths", "`doc->>key` is the field `doc_>key`, always null", "the field `doc_key` with the text", "`->` is split off"
         " before `->>` is recognized", ("document", "object"), _text_paths),
]
