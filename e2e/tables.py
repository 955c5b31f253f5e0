"""The tables of a test's database, read from Postgres' catalog: for code that changes rows, and for code that joins them."""

from dataclasses import dataclass, field

from psycopg import sql as S


@dataclass
class Column:
    name: str
    type: str  # as format_type() spells it
    null: bool
    written: bool  # a value may be given: neither generated nor GENERATED ALWAYS AS IDENTITY
    labels: list = None  # of an enum


@dataclass
class ForeignKey:
    columns: list
    to: tuple  # (schema, table)
    to_columns: list


@dataclass
class Table:
    schema: str
    name: str
    kind: str  # pg_class.relkind
    columns: dict = field(default_factory=dict)  # by name, in the order of the catalog
    key: list = field(default_factory=list)  # the primary key, in pgsync's order: by name
    foreign_keys: list = field(default_factory=list)

    @property
    def place(self):
        return self.schema, self.name

    @property
    def quoted(self):
        return quote(self.schema) + "." + quote(self.name)


def quote(name):
    return S.Identifier(name).as_string(None)


def literal(text):
    """A text (or NULL) as SQL writes it; its type follows from its context."""
    return "NULL" if text is None else S.Literal(text).as_string(None)


OURS = "n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'"

COLUMNS = f"""
    SELECT n.nspname, c.relname, c.relkind::text, a.attname, format_type(a.atttypid, a.atttypmod), NOT a.attnotnull,
        a.attgenerated = '' AND a.attidentity <> 'a',
        (SELECT array_agg(e.enumlabel::text ORDER BY e.enumsortorder) FROM pg_enum e WHERE e.enumtypid = a.atttypid)
    FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace JOIN pg_attribute a ON a.attrelid = c.oid
    WHERE {OURS} AND c.relkind IN ('r', 'p', 'v', 'm') AND NOT c.relispartition AND a.attnum > 0 AND NOT a.attisdropped
    ORDER BY 1, 2, a.attnum"""

KEYS = f"""
    SELECT n.nspname, c.relname, a.attname
    FROM pg_constraint k JOIN pg_class c ON c.oid = k.conrelid JOIN pg_namespace n ON n.oid = c.relnamespace
        JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum = ANY (k.conkey)
    WHERE {OURS} AND k.contype = 'p' AND NOT c.relispartition ORDER BY 1, 2, a.attname COLLATE "C" """

FOREIGN_KEYS = f"""
    SELECT n.nspname, c.relname, tn.nspname, t.relname,
        (SELECT array_agg(a.attname::text ORDER BY i) FROM unnest(k.conkey) WITH ORDINALITY u(num, i)
         JOIN pg_attribute a ON a.attrelid = k.conrelid AND a.attnum = u.num),
        (SELECT array_agg(a.attname::text ORDER BY i) FROM unnest(k.confkey) WITH ORDINALITY u(num, i)
         JOIN pg_attribute a ON a.attrelid = k.confrelid AND a.attnum = u.num)
    FROM pg_constraint k JOIN pg_class c ON c.oid = k.conrelid JOIN pg_namespace n ON n.oid = c.relnamespace
        JOIN pg_class t ON t.oid = k.confrelid JOIN pg_namespace tn ON tn.oid = t.relnamespace
    WHERE {OURS} AND k.contype = 'f' AND k.conparentid = 0 ORDER BY 1, 2, k.conname"""


def read(connection):
    """{(schema, name): Table} of every relation that is not Postgres' own; partitions count as part of their table."""
    found = {}
    for schema, name, kind, *column in connection.execute(COLUMNS):
        table = found.setdefault((schema, name), Table(schema, name, kind))
        table.columns[column[0]] = Column(*column)
    for schema, name, column in connection.execute(KEYS):
        found[schema, name].key.append(column)
    for schema, name, to_schema, to_name, columns, to_columns in connection.execute(FOREIGN_KEYS):
        found[schema, name].foreign_keys.append(ForeignKey(columns, (to_schema, to_name), to_columns))
    return found
