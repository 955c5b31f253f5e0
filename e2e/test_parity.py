"""The comparison of `make parity`: what counts as equal, and that its rules explain only what they are for."""

from decimal import Decimal
from types import SimpleNamespace

import pytest
from parity import refusals, rules, table
from parity.compare import Comparison
from parity.tree import Node
from tables import Column, ForeignKey, Table


def _table(name, columns, key=("id",), foreign_keys=()):
    made = {c: Column(c, type, True, True) for c, type in columns.items()}
    return Table("public", name, "r", made, list(key), [ForeignKey([c], ("public", to), ["id"]) for c, to in foreign_keys])


CATALOG = {t.place: t for t in [
    _table("books", {"id": "integer", "price": "numeric", "tags": "text[]", "shop_id": "integer"}),
    _table("pages", {"id": "integer", "book_id": "integer"}, foreign_keys=[("book_id", "books")]),
    _table("authors", {"id": "integer", "name": "text"}),
    _table("book_authors", {"book_id": "integer", "author_id": "integer"}, key=("author_id", "book_id"),
           foreign_keys=[("book_id", "books"), ("author_id", "authors")]),
]}


def compare(theirs, ours, *children, used=rules.RULES, **root):
    """(differences, names of the rules that explained others) of one document of books."""
    document = {"nodes": {"table": "books", "children": list(children), **root}}
    world = SimpleNamespace(catalog=CATALOG, document=document, assembled=lambda *_: None)
    world.root = Node(document["nodes"], None, world)
    comparison = Comparison(used, world.root)
    differences = comparison.documents({"1": theirs}, {"1": ours})
    return differences, sorted(comparison.hits)


def child(name, type, variant="object", through=None, **more):
    relation = {"type": type, "variant": variant, **({"through_tables": [through]} if through else {})}
    return {"table": name, "relationship": relation, **more}


PAGES = child("pages", "one_to_many")
AUTHORS = child("authors", "one_to_many", through="book_authors")
FIRST_AUTHOR = child("authors", "one_to_one", through="book_authors")
NAMES = child("authors", "one_to_many", "scalar", "book_authors", columns=["name"], transform={"replace": {"name": {"a": "b"}}})


@pytest.mark.parametrize("theirs, ours, children", [
    ({"price": Decimal("1.50")}, {"price": Decimal("1.5")}, ()),
    ({"price": Decimal("100.0")}, {"price": 100}, ()),
    ({"pages": [{"id": 1}, {"id": 2}]}, {"pages": [{"id": 2}, {"id": 1}]}, (PAGES,)),
    ({"_meta": {"pages": {"id": [2, 1]}}}, {"_meta": {"pages": {"id": [1, 2]}}}, (PAGES,)),
])
def test_equal(theirs, ours, children):
    assert compare(theirs, ours, *children) == ([], [])


@pytest.mark.parametrize("theirs, ours, children", [
    ({"price": 1}, {"price": True}, ()),
    ({"price": 1}, {"price": "1"}, ()),
    ({"price": None}, {}, ()),
    ({"price": Decimal("0.1")}, {"price": Decimal("0.2")}, ()),
    ({"tags": ["a", "b"]}, {"tags": ["b", "a"]}, ()),
    ({"pages": None}, {"pages": []}, (PAGES,)),
    ({"pages": [{"id": 1}, {"id": 1}]}, {"pages": [{"id": 1}]}, (PAGES,)),
    ({"pages": [{"id": 1}, {"id": 1}]}, {"pages": [{"id": 1}, {"id": 2}]}, (PAGES,)),
    ({"_meta": {"pages": {"id": [1]}}}, {"_meta": {"pages": {"id": [1, 2]}}}, (PAGES,)),
    ({"_meta": {"pages": {"id": [1]}}}, {}, (PAGES,)),
])
def test_different(theirs, ours, children):
    differences, explained = compare(theirs, ours, *children)
    assert len(differences) == 1
    assert explained == []


@pytest.mark.parametrize("rule, theirs, ours, children", [
    ("null-elements", {"authors": [None, {"id": 1}]}, {"authors": [{"id": 1}]}, (AUTHORS,)),
    ("null-elements", {"authors": [None]}, {"authors": None}, (AUTHORS,)),
    ("one-to-one-through", {"authors": [{"id": 1}]}, {"authors": {"id": 1, "name": "x"}}, (FIRST_AUTHOR,)),
    ("one-to-one-through", {"authors": [{"id": 2}, {"id": 1}]}, {"authors": {"id": 1, "name": "x"}}, (FIRST_AUTHOR,)),
    ("doubles", {"price": Decimal("1.2345678901234567")}, {"price": Decimal("1.23456789012345678901")}, ()),
    ("transformed-lists", {"authors": []}, {"authors": ["b", "c"]}, (NAMES,)),
    ("not-for-engines", {"price": "NaN"}, {"price": None}, ()),
])
def test_explained(rule, theirs, ours, children):
    assert compare(theirs, ours, *children) == ([], [rule])
    assert len(compare(theirs, ours, *children, used=[r for r in rules.RULES if r.name != rule])[0]) == 1


@pytest.mark.parametrize("theirs, ours, children", [
    ({"pages": [None, {"id": 1}]}, {"pages": [{"id": 1}]}, (PAGES,)),  # no through table
    ({"authors": [None, {"id": 1}]}, {"authors": [{"id": 2}]}, (AUTHORS,)),
    ({"authors": [None, {"id": 1}]}, {"authors": [{"id": 1}, {"id": 2}]}, (AUTHORS,)),
    ({"authors": [{"id": 2}]}, {"authors": {"id": 1, "name": "x"}}, (FIRST_AUTHOR,)),
    ({"authors": [{"id": 2, "name": "y"}]}, {"authors": {"id": 2, "name": "x"}}, (FIRST_AUTHOR,)),
    ({"price": Decimal("1.2345678901234568")}, {"price": Decimal("1.23456789012345678901")}, ()),  # not the nearest double
    ({"authors": ["b"]}, {"authors": ["b", "c"]}, (NAMES,)),
    ({"price": "NaN"}, {"price": 0}, ()),
])
def test_not_explained(theirs, ours, children):
    assert len(compare(theirs, ours, *children)[0]) == 1


def test_keys_of_rows_that_are_explained_in_the_document_are_explained_in_meta():
    theirs = {"authors": [{"id": 2}, {"id": 1}], "_meta": {"authors": {"id": [1, 2]}, "books": {"id": ["1"]}}}
    ours = {"authors": {"id": 1, "name": "x"}, "_meta": {"authors": {"id": [1]}, "books": {"id": ["1"]}}}
    assert compare(theirs, ours, FIRST_AUTHOR) == ([], ["one-to-one-through"])
    ours["_meta"]["books"]["id"] = ["2"]
    assert len(compare(theirs, ours, FIRST_AUTHOR)[0]) == 1


def test_concat_is_recomputed_from_the_object():
    root = {"transform": {"concat": {"columns": ["price", "id"], "destination": "both", "delimiter": "-"}}}
    theirs, ours = {"id": 1, "price": Decimal("2.5"), "both": "2.5-1"}, {"id": 1, "price": Decimal("2.50"), "both": "2.50-1"}
    assert compare(theirs, ours, **root) == ([], ["concat-spelling"])
    assert len(compare({**theirs, "both": "2.5-2"}, ours, **root)[0]) == 1


def test_the_table_is_written_and_read_back(tmp_path):
    path = tmp_path / "docs/from-pgsync.md"
    case = SimpleNamespace(name="quiz", random=False)
    made = table.markdown({rules.RULES[0].name: [case], refusals.REFUSALS[0].name: [SimpleNamespace(name="tree_1", random=True)]})
    assert table.section(path) is None
    table.write(path, made)
    assert table.section(path) == made
    path.write_text("# Title\n\nbefore\n" + path.read_text() + "after\n")
    table.write(path, made + "\nmore")
    assert table.section(path) == made + "\nmore"
    assert path.read_text().startswith("# Title\n\nbefore\n") and path.read_text().endswith("after\n")
    assert "quiz" in made and "random trees" in made
