#!/usr/bin/env python3
"""Writes docs/reference.md: every field of a PgSync, from the definition in hack/crd.py. With --check nothing is written,
and the exit code says whether the page is what this script would write."""

import json
import re
import sys

from crd import ROOT, definition

PAGE = ROOT / "docs/reference.md"
HEAD = """# PgSync: every field

<!-- Written by hack/reference.py from hack/crd.py: change the description there. -->

For `apiVersion: pgsync.io/v1alpha1`, `kind: PgSync`. `kubectl explain pgsync.spec.source` prints the same for one
field. [Install](install.md#the-first-pgsync) has an example, [schema.md](schema.md) explains the schema language with
the documents that it produces, and [conditions.md](conditions.md) lists conditions and reasons.

A field in **bold** is required. If one of the others is left out, its default applies. Each section ends with the rules
that the API server checks beyond types and bounds. Names of Secrets and ConfigMaps, and keys in them, must be such as
Kubernetes allows.
"""
# Objects that are so short that they are shown in the table of what has them.
REFERENCE = {"name", "key"}
# Below this depth a tree repeats itself.
REPEATED = re.compile(r"^spec\.schema\[\]\.nodes\.children\[\]\.children\[\]")


def escaped(text):
    """A description in a cell: code stays as it is, and nothing else is taken for markup."""
    parts = re.split(r"(`[^`]*`)", text)
    return "".join(part.replace("|", "\\|") if part.startswith("`") else re.sub(r"([\\|*<\[]|(?<!\w)_)", r"\\\1", part) for part in parts)


def type_of(schema):
    if schema.get("x-kubernetes-int-or-string"):
        return "integer or string"
    kind = schema.get("type", "list or string")
    if kind == "array":
        items = schema["items"]
        if items["type"] == "object":
            return "list of objects"
        return f"list of {type_of(items)}s"
    if "additionalProperties" in schema:
        return f"map to {type_of(schema['additionalProperties'])}"
    return "time" if schema.get("format") == "date-time" else kind


def words(schema):
    return " ".join(f"`{word}`" for word in schema.get("enum", []))


def from_to(low, high, unit=""):
    """Such as "1 to 63 characters"."""
    if high is None:
        return "" if low is None or low < 0 else f"at least {low:,}{unit}"
    if not low:
        return f"at most {high:,}{unit}"
    return f"{low:,} to {high:,}{unit}" if low != high else f"{low:,}{unit}"


def bounds(schema):
    kind, each = schema.get("type"), schema.get("items") or schema.get("additionalProperties")
    found = [words(schema)]
    if kind == "integer":
        found.append(from_to(schema.get("minimum"), schema.get("maximum")))
    if kind == "string" and "enum" not in schema and "format" not in schema:
        found.append(from_to(schema.get("minLength"), schema.get("maxLength"), " characters"))
    if "maxItems" in schema:
        found.append(from_to(schema.get("minItems"), schema["maxItems"], " entries"))
    if "maxProperties" in schema:
        found.append(from_to(None, schema["maxProperties"], " entries"))
    if each and each.get("type") != "object" and bounds(each):
        found.append(f"each {bounds(each)}")
    return "; ".join(part for part in found if part)


def default_of(schema):
    default = schema.get("default")
    return "" if default is None or isinstance(default, dict) else f"`{json.dumps(default) if not isinstance(default, str) else default}`"


def inside(schema):
    """The object whose fields a section lists: this one, or each element of this list."""
    return schema["items"] if schema.get("type") == "array" and "properties" in schema["items"] else schema


def anchor(path):
    return re.sub(r"[^\w-]", "", path.lower())


def rules(schema, below=""):
    """(field, message) of the rules of an object and of what its own table shows."""
    for each in schema.get("x-kubernetes-validations", []):
        yield (below or each.get("fieldPath", ""))[1:], each["message"]
    for name, field in schema.get("properties", {}).items():
        if "properties" not in inside(field):
            yield from rules(field, f"{below}.{name}")
            yield from rules(field.get("items", {}), f"{below}.{name}")


def is_reference(schema):
    return schema.get("type") == "object" and "properties" in schema and set(schema["properties"]) <= REFERENCE


def row(name, schema, required, section=None):
    """The cells of a field; `section`: the path of what has its fields."""
    meaning = escaped(schema["description"])
    if section:
        meaning += f" See [`{section}`](#{anchor(section)})."
    return [f"**`{name}`**" if required else f"`{name}`", type_of(schema), default_of(schema), bounds(schema), meaning]


def table(rows, status):
    """Only the operator sets the fields of a status, so their bounds do not matter to readers."""
    kept = [0, 1, 4] if status else range(5)
    for cells in (["field", "type", "default", "bounds", "meaning"], ["---"] * 5, *rows):
        yield "| " + " | ".join(cells[i] for i in kept) + " |"


def fields(path, schema):
    """The rows of an object's table, and what needs its own section."""
    rows, below = [], []
    for name, field in schema["properties"].items():
        each = f"{path}.{name}" + ("[]" if field.get("type") == "array" else "")
        required = name in schema.get("required", [])
        if is_reference(field):
            rows.append(row(name, field, required))
            rows += [row(f"{name}.{key}", value, key in field["required"]) for key, value in field["properties"].items()]
        elif "properties" in inside(field):
            each = path if REPEATED.match(each) else each
            below += [(each, field)] if each != path else []
            rows.append(row(name, field, required, each))
        else:
            rows.append(row(name, field, required))
    return rows, below


def section(path, schema):
    """The lines of one object's section, and then those of the objects in it."""
    own = inside(schema)
    rows, below = fields(path, own)
    yield f"\n## {path}\n\n{escaped(own['description'])}\n"
    yield from table(rows, path.startswith("status"))
    said = list(dict.fromkeys(rules(own)))
    if said:
        yield "\nRules:\n"
        yield from (f"* {f'`{field}`: ' if field and field not in message else ''}{escaped(message)}" for field, message in said)
    for each in below:
        yield from section(*each)


def columns(version):
    yield "\n## Columns\n\nWhat `kubectl get pgsyncs` shows, and with `-o wide` all of it.\n"
    yield "| column | `-o wide` only | from |\n|---|---|---|"
    for each in version["additionalPrinterColumns"]:
        yield f"| {each['name']} | {'yes' if each.get('priority') else ''} | `{each['jsonPath'][1:]}` |"


def page():
    (version,) = definition()["versions"]
    root = version["schema"]["openAPIV3Schema"]
    lines = [HEAD.rstrip(), "\nOf the object itself: " + "; ".join(each["message"] for each in root["x-kubernetes-validations"]) + "."]
    for name in ("spec", "status"):
        lines += section(name, root["properties"][name])
    return "\n".join([*lines, *columns(version)]) + "\n"


def main():
    if sys.argv[1:] == ["--check"]:
        if not PAGE.exists() or PAGE.read_text() != page():
            sys.exit("docs/reference.md is not what hack/reference.py writes: run it")
    elif sys.argv[1:]:
        sys.exit("usage: hack/reference.py [--check]")
    else:
        PAGE.write_text(page())


if __name__ == "__main__":
    main()
