"""Compares two sets of documents field by field and lets rules explain what differs."""

from collections import Counter
from dataclasses import dataclass, replace
from fractions import Fraction

from parity.tree import Node

MISSING = type("Missing", (), {"__repr__": lambda self: "nothing"})()


class Choice(list):
    """In place of a value of ours: any of these would do."""


class Several(list):
    """In place of an array of ours: each of these once or more often."""


class Some(list):
    """In place of an array of ours: a part of these, each at most once."""


@dataclass(frozen=True)
class Place:
    """Where a value is. `kind`: "documents" ({id: document}), "document" (the root's object), "child" (what stands under
    a child's label), "object" (of one row of a child), "field" (of a column), "meta" (`_meta` and below)."""

    kind: str
    node: Node
    path: tuple = ()
    id: str = ""

    def to(self, kind, node, step=None):
        return replace(self, kind=kind, node=node, path=self.path + ((step,) if step else ()))


@dataclass(frozen=True)
class Difference:
    place: Place
    theirs: object
    ours: object

    def __str__(self):
        return f"{self.place.id}: {'.'.join(self.place.path) or 'document'}: pgsync {show(self.theirs)}, ours {show(self.ours)}"


def show(value):
    text = repr(value)
    return text if len(text) < 400 else text[:400] + " ..."


def canonical(value, place):
    """A text that two values share if they are equal: numbers by value, the elements of a one_to_many in any order."""
    if isinstance(value, dict):
        parts = sorted((k, canonical(v, step(place, k))) for k, v in value.items())
        return "{" + ", ".join(f"{k!r}: {v}" for k, v in parts) + "}"
    if isinstance(value, (Choice, Several, Some)):
        return f"{type(value).__name__} {id(value)}"
    if isinstance(value, list):
        parts = [canonical(v, element(place)) for v in value]
        return "[" + ", ".join(parts if place.kind == "field" else sorted(parts)) + "]"
    if isinstance(value, bool) or value is None or isinstance(value, str) or value is MISSING:
        return repr(value)
    return str(Fraction(value))


def step(place, key):
    """The place under a key of an object."""
    if place.kind == "child":
        place = element(place)
    if place.kind == "document" and key == "_meta":
        return place.to("meta", place.node, key)
    if place.kind in ("document", "object"):
        child = place.node.child_of_key(key)
        return place.to("child", child, key) if child else place.to("field", place.node, key)
    return place.to(place.kind, place.node, key)


def element(place):
    """The place of an element of an array, or of the one object of a one_to_one."""
    if place.kind == "child":
        return place.to("field" if place.node.scalar else "object", place.node)
    return place


class Comparison:
    """Of the documents of one case."""

    def __init__(self, rules, root):
        self.rules, self.root = rules, root
        self.hits = Counter()

    def documents(self, theirs, ours):
        """The differences that no rule explains."""
        found = []
        everything = Place("documents", self.root)
        for rule in self.rules:
            if "documents" in rule.at:
                for theirs, ours in rule.explain(theirs, ours, everything):
                    self.hits[rule.name] += 1
        for id in sorted(theirs.keys() | ours.keys()):
            place = Place("document", self.root, (), id)
            differences, hits = self.walk(theirs.get(id, MISSING), ours.get(id, MISSING), place)
            found += differences
            self.hits.update(rule.name for rule, _ in hits)
        return found

    def walk(self, theirs, ours, place, used=frozenset()):
        """(differences that are left, [(rule, node)] that explained others)."""
        if canonical(theirs, place) == canonical(ours, place):
            return [], []
        if isinstance(ours, Choice):
            return self.choice(theirs, ours, place)
        result = self.parts(theirs, ours, place)
        if not result[0]:
            return result
        for rule in self.rules:
            if rule in used or place.kind not in rule.at:
                continue
            for pair in rule.explain(theirs, ours, place):
                differences, hits = self.walk(*pair, place, used | {rule})
                if not differences:
                    return [], [(rule, place.node), *hits]
        return result

    def choice(self, theirs, options, place):
        for option in options:
            differences, hits = self.walk(theirs, option, place)
            if not differences:
                return [], hits
        return [Difference(place, theirs, list(options))], []

    def parts(self, theirs, ours, place):
        if place.kind == "child" and not isinstance(theirs, list) and not isinstance(ours, list):
            return self.walk(theirs, ours, element(place))
        if isinstance(theirs, dict) and isinstance(ours, dict):
            return self.objects(theirs, ours, place)
        if isinstance(theirs, list) and isinstance(ours, Several):
            return self.several(theirs, ours, place)
        if isinstance(theirs, list) and isinstance(ours, list) and (place.kind == "child" or "_meta" in place.path):
            return self.lists(theirs, ours, place)
        return [Difference(place, theirs, ours)], []

    def objects(self, theirs, ours, place):
        differences, hits = [], []
        for key in sorted(theirs.keys() | ours.keys(), key=lambda k: (k == "_meta", k)):
            at = step(place, key)
            d, h = self.walk(theirs.get(key, MISSING), ours.get(key, MISSING), at)
            if d and place.kind == "document" and key == "_meta":
                d, h = self.meta(theirs.get(key), ours.get(key), at, hits)
            differences, hits = differences + d, hits + h
        return differences, hits

    def meta(self, theirs, ours, place, hits):
        """`_meta` again, without the keys of rows that an explained difference of the document took with it."""
        if not isinstance(theirs, dict) or not isinstance(ours, dict):
            return [Difference(place, theirs, ours)], []
        touched = set().union(*(node.tables() for rule, node in hits if rule.rows))
        left = [{t: keys for t, keys in side.items() if t not in touched} for side in (theirs, ours)]
        return self.walk(*left, place)

    def lists(self, theirs, ours, place):
        """Pairs the elements: equal ones first, then those whose differences rules explain."""
        at = element(place)
        left = type(ours)(ours)
        unpaired = []
        for one in theirs:
            twin = next((i for i, o in enumerate(left) if canonical(o, at) == canonical(one, at)), None)
            if twin is None:
                unpaired.append(one)
            else:
                del left[twin]
        hits = self.pair(unpaired, left, at)
        return ([], hits) if hits is not None else ([Difference(place, theirs, ours)], [])

    def pair(self, theirs, ours, at):
        """The hits of a way to pair all elements of both; None where there is none."""
        if len(theirs) > len(ours) or len(theirs) < len(ours) and not isinstance(ours, Some):
            return None
        if not theirs:
            return []
        for i, one in enumerate(ours):
            differences, hits = self.walk(theirs[0], one, at)
            if not differences:
                rest = self.pair(theirs[1:], type(ours)(ours[:i] + ours[i + 1:]), at)
                if rest is not None:
                    return hits + rest
        return None

    def several(self, theirs, ours, place):
        """Every element of theirs is one of ours, and none of ours is left out."""
        at = element(place)
        hits, missed = [], set(range(len(ours)))
        for one in theirs:
            fitting = []
            for i, o in enumerate(ours):
                differences, h = self.walk(one, o, at)
                if not differences:
                    fitting.append(i)
                    hits += h
            if not fitting:
                return [Difference(place, theirs, list(ours))], []
            missed -= set(fitting)
        return ([Difference(place, theirs, list(ours))], []) if missed else ([], hits)
