"""What only one side refuses, and why."""

import re
from dataclasses import dataclass
from typing import Callable


@dataclass(frozen=True)
class Refusal:
    name: str
    theirs: str
    ours: str
    reason: str
    side: str  # "pgsync" or "ours": who refuses
    says: str  # a regular expression for the message
    holds: Callable  # holds(world, match): whether the schema has what this is about


def _paths(world):
    for node in world.root.below():
        for column in node.columns:
            if re.search("->|#>", column):
                yield node, column


def _key_into_public(world, match):
    return any(t.schema != "public" and f.to[0] == "public" for t in world.catalog.values() for f in t.foreign_keys)


def _through_elsewhere(world, match):
    """The through table is looked for in the schema of the child."""
    return any(n.through and n.through[0] != n.place[0] and match[1] == f"{n.place[0]}.{n.through[1]}" for n in world.root.below())


def _composite(world, match):
    """A column of a foreign key with several columns, some of which get lost."""
    keys = [k for n in world.root.below() for hop in n.hops() for k in world.root.keys_between(*hop)]
    return any(len(columns) > 1 and (not match[1] or match[1] in [*columns, *to]) for _, columns, _, to in keys)


def _self_through(world, match):
    return any(n.through and n.place == n.parent.place for n in world.root.below())


def _names(world):
    """{table name: places} of everything that `_meta` names."""
    found = {}
    for node in world.root.below():
        for place in filter(None, (node.place, node.through)):
            found.setdefault(place[1], set()).add(place)
    return found


def _same_names(world, match):
    return any(len(places) > 1 for places in _names(world).values())


def _quote_in_name(world, match):
    return any('"' in part for places in _names(world).values() for place in places for part in place)


def _concat_at_root_and_below(world, match):
    return isinstance(world.root.transform.get("concat"), list) and any(
        n.transform.get("concat") for n in world.root.below() if n.parent)


def _view_at_root(world, match):
    return world.catalog[world.root.place].kind == "v"


def _several_keys(world, match):
    return any(len(world.root.keys_between(*hop)) > 1 for n in world.root.below() for hop in n.hops())


REFUSALS = [
    Refusal("key-into-public", "ends with NoReferencedTableError if a table outside `public` has a foreign key into it",
            "follows it", "`public` is in the search path, so the catalog names the table without its schema, and pgsync"
            " looks for it in the other schema", "pgsync", "NoReferenced(Table|Column)Error", _key_into_public),
    Refusal("through-elsewhere", "ends with KeyError if a through table below the first level is in another schema than the child",
            "follows it", "the table is looked for in the child's schema", "pgsync", r"^KeyError: '(.*)'$", _through_elsewhere),
    Refusal("composite-keys", "ends with KeyError or IndexError for some joins on keys of several columns", "joins on all columns",
            "columns are removed from the list of a key's columns during iteration", "pgsync",
            "^(?:KeyError: '(.*)'|IndexError: list index out of range())$", _composite),
    Refusal("self-through", "ends with IndexError for some tables that refer to themselves through another", "follows both of its keys",
            "as for self-reference", "pgsync", "^IndexError: list index out of range", _self_through),
    Refusal("same-names", "ends with TypeError if two tables with one name have keys of different types",
            "`_meta` has both", "`_meta` identifies tables by name alone, and numbers do not sort among strings", "pgsync",
            "^TypeError: '<' not supported", _same_names),
    Refusal("quote-in-name", 'ends with a syntax error for a table with `"` in its name', "quotes it",
            "the names of triggers are not quoted", "pgsync", "SyntaxError", _quote_in_name),
    Refusal("text-path-of-keys", "ends with an error for `doc#>>{a,b}`", "the text at that path", "`#>` is split off before `#>>` is"
            " recognized", "pgsync", "malformed array literal", lambda world, _: any("#>>" in c for _, c in _paths(world))),
    Refusal("path-of-scalar", "ends with KeyError for a JSON path in a scalar child", "the value at that path",
            "the name of the field is looked up among the columns", "pgsync", "^KeyError: ",
            lambda world, _: any(n.scalar for n, _ in _paths(world))),
    Refusal("concats", "ends with TypeError if the root and a child both have a list of `concat`", "applies all of them",
            "the child's list is inserted as if it were an object", "pgsync", "^TypeError: list indices", _concat_at_root_and_below),
    Refusal("view-at-root", "ends with `column xmin does not exist` for a view as root", "follows its base tables",
            "rows are found by xmin, which views do not have (#275, #313)", "pgsync", "xmin does not exist", _view_at_root),
    Refusal("several-keys", "joins on all foreign keys between two tables at once, which gives wrong rows",
            "refuses it, and lists the keys to choose from for `foreign_key`", "there is no way to know which one is meant", "ours",
            "AmbiguousForeignKey", _several_keys),
    Refusal("inside-json", "`rename` and `replace` reach into JSON columns through nested objects",
            "refuses it: select the keys as JSON paths (`info->colour`) and rename these", "an undocumented side effect of how pgsync"
            " traverses a document", "ours", r"transform[.](rename|replace)[.](\w+)",
            lambda world, match: "json" in (world.root.type_of_key(match[2]) or "")),
    Refusal("plugins", "`plugins` names Python modules that change documents", "refuses it, and suggests `transform`, `expressions`"
            " or `pipeline`", "there is no Python interpreter", "ours", r"[.]plugins", lambda world, _: True),
]
