"""What is compared: pgsync's examples, constructs of our own, random trees. Each is tables with rows, and a schema.json."""

import copy
import dataclasses
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Callable

import trees
import yaml

HERE = Path(__file__).resolve().parent
AS_PGSYNC = {"meta": "Pgsync", "idFormat": "Pgsync", "mapping": "Dynamic"}


@dataclass
class Case:
    name: str  # of [a-z0-9_]: the index is called after it
    source: str  # the name of the database; cases that share it have the same tables
    load: Callable  # load(connection) makes tables and rows
    document: dict  # one document of a schema.json, without `database` and `index`
    left_out: dict = field(default_factory=dict)  # document keys that only pgsync has: compared separately
    random: bool = False
    refused: bool = False  # both sides must refuse it
    documents: dict = field(default_factory=lambda: dict(AS_PGSYNC))  # spec.documents of our side

    def schema(self, index, database):
        return [{**copy.deepcopy(self.document), "database": database, "index": index}]


ONLY_PGSYNC = ["plugins"]  # whose absence does not affect the comparison


def _read(path):
    return yaml.safe_load(path.read_text())


def from_files(directory):
    """The cases of a directory: YAML files with `schema`, `tables` (SQL), `tables_of` (another file's tables come first),
    `refused` (indices that both sides are to refuse), `documents` (spec.documents of an index, where it is not as pgsync's)."""
    for path in sorted((HERE / directory).glob("*.yaml")):
        told = _read(path)
        sql = _read(path.with_name(told["tables_of"] + ".yaml"))["tables"] if "tables_of" in told else ""
        sql += told.get("tables", "")
        for document in told["schema"]:
            left_out = {key: document.pop(key) for key in ONLY_PGSYNC if key in document}
            document.pop("database", None)
            index = document.pop("index")
            name = f"{path.stem}_{index}" if len(told["schema"]) > 1 else path.stem
            made = Case(name, path.stem, lambda connection, sql=sql: connection.execute(sql), document, left_out)
            made.refused = index in told.get("refused", [])
            made.documents.update(told.get("documents", {}).get(index, {}))
            yield made


def examples():
    return list(from_files("examples"))


def constructs():
    return list(from_files("constructs"))


# Whether a field's first value makes it a date or a number is up to the engine, and not what random trees are about.
UNMAPPED = {"dynamic_templates": [], "dynamic": False}
# Everything that pgsync can do; the other features of trees.py break it, each in a different way.
SOLID = {"unique", "unconstrained", "through", "deep_through", "scalar", "one_of_many"}
BREAKING = ["composite", "self", "again", "chosen", "first", "one_through", "quoted", "schemas"]


def random_trees(n):
    """`n` trees: two of three with what pgsync can do, the others with one more feature in turn."""
    for seed in range(1, n + 1):
        if seed % 3:
            yield tree(f"tree_{seed}", seed, SOLID)
        else:
            feature = BREAKING[seed // 3 % len(BREAKING)]
            yield tree(f"tree_{seed}_{feature}", seed, SOLID | {feature})


def tree(name, seed, features):
    construct = _out_of_public(trees.random_tree(seed, features))
    return Case(name, name, construct.load, {**construct.schema[0], "mapping": UNMAPPED}, random=True)


def _out_of_public(construct):
    """Moves the tables of `public` to another schema if there are two schemas: pgsync cannot have keys into `public` from
    elsewhere, which is a separate case."""
    if "CREATE SCHEMA" not in construct.sql:
        return construct

    def moved(node):
        relation = dict(node.get("relationship", {}))
        if relation.get("through_tables"):
            relation["through_tables"] = [re.sub("^public[.]", "main.", t) for t in relation["through_tables"]]
        schema = node.get("schema", "public")
        made = {**node, "schema": "main" if schema == "public" else schema}
        if relation:
            made["relationship"] = relation
        if "children" in node:
            made["children"] = [moved(child) for child in node["children"]]
        return made

    sql = "CREATE SCHEMA main;\n" + construct.sql.replace('"public".', '"main".')
    choices = {re.sub("^public[.]", "main.", key): value for key, value in construct.choices.items()}
    return dataclasses.replace(construct, sql=sql, choices=choices, schema=[{"nodes": moved(construct.schema[0]["nodes"])}])
