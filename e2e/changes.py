"""Random rows and random single changes for any tables: they know the catalog, and nothing of pgsync.

Everything follows from one random.Random and the rows that are there, so a seed makes the same changes again.
"""

import json

import psycopg
import tables
from tables import literal, quote

WORDS = ["sand", "Reed", "cape", "moor", "Öl", "line\nbreak", 'quo"te', "it's", "back\\slash", "per%cent", "tab\there", "𝄞 clef",
         "$root", "{brace}", "a|b", "end ", " ", ""]
KEY_WORDS = ["ash", "Birch", "cedar", "Élm", "it's", "50%", "two words", 'q"q']
KEYS = 60  # integer keys are of 1..KEYS, so that keys of deleted rows come back
TRIES = 30


class NoChange(Exception):
    """The constraints allowed none of the attempts."""


class Values:
    """Literals for columns. `choices`: {"schema.table.column": [literals as SQL writes them]}, chosen from where given."""

    def __init__(self, random, choices=None):
        self.random, self.choices = random, choices or {}

    def chosen(self, table, column):
        given = self.choices.get(f"{table.schema}.{table.name}.{column.name}")
        return self.random.choice(given) if given else None

    def of(self, table, column, key=False):
        chosen = self.chosen(table, column)
        if chosen:
            return chosen
        if column.null and not key and self.random.random() < 0.15:
            return "NULL"
        if column.labels:
            return literal(self.random.choice(column.labels))
        return self.of_type(column.type, key)

    def of_type(self, type, key=False):
        base = type.split("(")[0]
        if base.endswith("[]"):
            return self._array(base[:-2])
        made = getattr(self, "_" + base.split(" ")[0], None)
        if made is None:
            raise NotImplementedError(f"values of type {type}")
        if base in ("text", "character varying", "character"):
            return self._word(type, key)
        return made(key) if base in ("integer", "bigint", "smallint", "uuid") else made()

    def _word(self, type, key):
        word = self.random.choice(KEY_WORDS if key else WORDS)
        if key:
            word += f" {self.random.randint(1, KEYS)}"
        limit = int(type.split("(")[1].rstrip(")")) if "(" in type else None
        return literal(word[:limit])

    _text = _character = _word

    def _integer(self, key):
        return str(self.random.randint(1, KEYS) if key else self.random.randint(-1000, 1000))

    _smallint = _integer

    def _bigint(self, key):
        # Keys above 2^53, where a double would round.
        return str(9007199254740992 + self.random.randint(1, KEYS) if key else self.random.randint(-10**18, 10**18))

    def _uuid(self, key):
        number = self.random.randint(1, KEYS) if key else self.random.getrandbits(32)
        return literal(f"{number:08x}-0000-4000-8000-{number:012x}")

    def _numeric(self):
        return self.random.choice(["0", "1.50", "-0.001", "12.30", "100", "7.7777"])

    def _double(self):
        return self.random.choice(["0", "0.1", "-1.5e-7", "1e21", "123456.789"])

    _real = _double

    def _boolean(self):
        return self.random.choice(["true", "false"])

    def _date(self):
        return literal(f"20{self.random.randint(0, 99):02d}-0{self.random.randint(1, 9)}-1{self.random.randint(0, 9)}")

    def _timestamp(self):
        fraction = self.random.choice(["", ".5", ".123456"])
        return literal(f"20{self.random.randint(0, 99):02d}-03-0{self.random.randint(1, 9)} 12:30:00{fraction}+02")

    def _jsonb(self):
        deep = self.random.choice([None, 1, "x", [1, None, {"z": "𝄞"}], {"b": {"c": [5, 6]}}])
        return literal(json.dumps({"a": deep, "name": self.random.choice(WORDS), "n": self.random.randint(0, 9)}))

    def _json(self):
        return self._jsonb()

    def _bytea(self):
        return literal("\\x" + self.random.randbytes(self.random.randint(0, 4)).hex())

    def _inet(self):
        return literal(f"10.0.{self.random.randint(0, 255)}.1/16")

    def _array(self, type):
        items = ["NULL" if self.random.random() < 0.2 else self.of_type(type) for _ in range(self.random.randint(0, 3))]
        return f"ARRAY[{', '.join(items)}]::{type}[]"


def _links_without_constraint(schema):
    """((schema, table), columns) of both sides of every `foreign_key` of the trees."""

    def walk(node, parent):
        relation = node.get("relationship") or {}
        through = relation.get("through_tables")
        place = (node.get("schema", "public"), node["table"])
        above = parent
        if through:
            name = through[0].split(".")
            above = tuple(name) if len(name) == 2 else (place[0], name[0])
        if relation.get("foreign_key"):
            yield place, as_list(relation["foreign_key"]["child"]), above, as_list(relation["foreign_key"]["parent"])
        for child in node.get("children", []):
            yield from walk(child, place)

    for document in schema:
        yield from walk(document["nodes"], None)


def as_list(value):
    return [value] if isinstance(value, str) else list(value)


class Changes:
    """Makes statements for the tables of one database."""

    def __init__(self, connection, random, schema=(), choices=None, other=None):
        """`other`: a second connection, for transactions that overlap."""
        self.connection, self.random = connection, random
        self.other = Changes(other, random, schema, choices) if other else None
        self.values = Values(random, choices)
        self.tables = {place: t for place, t in tables.read(connection).items() if t.kind in "rp"}
        # (columns, (schema, table), its columns): whose values are taken from there.
        self.references = {place: [(f.columns, f.to, f.to_columns) for f in t.foreign_keys] for place, t in self.tables.items()}
        for child, columns, parent, parent_columns in _links_without_constraint(schema):
            self._add_link(child, columns, parent, parent_columns)

    def _add_link(self, child, columns, parent, parent_columns):
        if child not in self.tables or parent not in self.tables:
            return
        for a, b in ((child, parent), (parent, child)):
            if any(to == b for _, to, _ in self.references[a]):
                return
        if set(columns) == set(self.tables[child].key):
            child, columns, parent, parent_columns = parent, parent_columns, child, columns
        self.references[child].append((columns, parent, parent_columns))

    # --- rows

    def rows(self, place, columns):
        """The texts of columns of all rows, in a fixed order."""
        listed = ", ".join(f"{quote(c)}::text" for c in columns)
        order = ", ".join(str(i + 1) for i in range(len(columns)))
        return self.connection.execute(f"SELECT {listed} FROM {self.tables[place].quoted} ORDER BY {order}").fetchall()

    def a_row(self, table):
        """The condition that finds one row."""
        key = table.key or list(table.columns)
        rows = self.rows(table.place, key)
        if not rows:
            raise NoChange(f"{table.quoted} is empty")
        row = self.random.choice(rows)
        return " AND ".join(f"{quote(c)} IS NULL" if v is None else f"{quote(c)} = {literal(v)}" for c, v in zip(key, row))

    def link(self, table, reference):
        """{column: literal} that makes a row refer to an existing one, or to none."""
        columns, to, to_columns = reference
        chosen = {c: self.values.chosen(table, table.columns[c]) for c in columns}
        if any(chosen.values()):
            return {c: v for c, v in chosen.items() if v}
        rows = [r for r in self.rows(to, to_columns) if None not in r] if to in self.tables else []
        nullable = [c for c in columns if table.columns[c].null and c not in table.key]
        if nullable and (not rows or self.random.random() < 0.15):
            return {c: "NULL" for c in nullable}
        if not rows:
            raise NoChange(f"{table.quoted} has nothing to refer to")
        return dict(zip(columns, map(literal, self.random.choice(rows))))

    # --- statements

    def insert(self, table, values=None):
        """`values`: the literals of columns that must have a certain value."""
        linked = {}
        for reference in self.references[table.place]:
            linked.update(self.link(table, reference))
        linked.update(values or {})
        given = {c.name: linked.get(c.name) or self.values.of(table, c, key=c.name in table.key)
                 for c in table.columns.values() if c.written}
        if not given:
            return f"INSERT INTO {table.quoted} DEFAULT VALUES"
        return f"INSERT INTO {table.quoted} ({', '.join(map(quote, given))}) VALUES ({', '.join(given.values())})"

    def _set(self, table, values):
        if not values:
            raise NoChange(f"{table.quoted} has nothing to set")
        return (f"UPDATE {table.quoted} SET " + ", ".join(f"{quote(c)} = {v}" for c, v in values.items())
                + f" WHERE {self.a_row(table)}")

    def update(self, table):
        linked = {c for columns, _, _ in self.references[table.place] for c in columns}
        plain = [c for c in table.columns.values() if c.written and c.name not in linked and c.name not in table.key]
        chosen = self.random.sample(plain, min(len(plain), self.random.randint(1, 2)))
        return self._set(table, {c.name: self.values.of(table, c) for c in chosen})

    def reparent(self, table):
        if not self.references[table.place]:
            raise NoChange(f"{table.quoted} refers to nothing")
        return self._set(table, self.link(table, self.random.choice(self.references[table.place])))

    def change_key(self, table):
        written = [table.columns[c] for c in table.key if table.columns[c].written]
        linked = {c for columns, _, _ in self.references[table.place] for c in columns}
        own = [c for c in written if c.name not in linked]
        if not own:
            return self.reparent(table)
        column = self.random.choice(own)
        return self._set(table, {column.name: self.values.of(table, column, key=True)})

    def delete(self, table):
        return f"DELETE FROM {table.quoted} WHERE {self.a_row(table)}"

    def update_all(self, table):
        return self.update(table).partition(" WHERE ")[0]

    def truncate(self, table):
        return f"TRUNCATE {table.quoted} CASCADE"

    # --- changes

    def tried(self, make, *arguments):
        for _ in range(TRIES):
            try:
                return make(*arguments)
            except (NoChange, psycopg.IntegrityError):
                continue
        raise NoChange(make.__name__)

    def apply(self, make, table):
        """Runs a statement of this kind on this table; returns its SQL."""
        for _ in range(TRIES):
            try:
                statement = make(table)
                with self.connection.transaction():
                    self.connection.execute(statement)
                return statement
            except NoChange:
                continue
            except (psycopg.IntegrityError, psycopg.errors.LockNotAvailable):
                continue
        raise NoChange(f"{make.__name__} of {table.quoted}")

    def several(self, steps):
        """Some statements in one transaction, each after a savepoint; sometimes the last ones are rolled back."""
        done = []
        try:
            with self.connection.transaction():
                self._steps(steps, done)
                if done and self.random.random() < 0.3:
                    taken_back = []
                    with self.connection.transaction(force_rollback=True):
                        self._steps(steps[:1], taken_back)
                    done += [f"SAVEPOINT s; {statement}; ROLLBACK TO s" for statement in taken_back]
        except psycopg.IntegrityError as error:  # of a constraint that is checked at the end
            raise NoChange("a whole transaction") from error
        if not done:
            raise NoChange("none of a transaction's steps")
        return "BEGIN; " + "; ".join(done) + "; COMMIT"

    def _steps(self, steps, done):
        for make, table in steps:
            try:
                done.append(self.apply(make, table))
            except NoChange:
                continue

    def reborn(self, table):
        """Deletes a row and inserts one with the same key, in one transaction."""
        if not table.key:
            raise NoChange(f"{table.quoted} has no key")
        condition = self.a_row(table)
        with self.connection.transaction():
            (row,) = self.connection.execute(f"SELECT {', '.join(f'{quote(c)}::text' for c in table.key)} FROM {table.quoted}"
                                             f" WHERE {condition}").fetchall()
            delete = f"DELETE FROM {table.quoted} WHERE {condition}"
            self.connection.execute(delete)
            insert = self.insert(table, dict(zip(table.key, map(literal, row))))
            self.connection.execute(insert)
        return f"BEGIN; {delete}; {insert}; COMMIT"

    def overlapping(self, first, second):
        """Two transactions; the one that begins later ends first."""
        with self.connection.transaction():
            begun = self.apply(*first)
            make, table = second
            self.other.connection.execute("SET lock_timeout = '100ms'")
            try:
                within = self.other.apply(getattr(self.other, make.__name__), table)
            except NoChange:
                within = "nothing"
        return f"BEGIN; {begun}; (another: {within}); COMMIT"

    def fill(self, rows):
        """Fills every table with about this many rows; returns the statements."""
        done = []
        for table in self.in_order():
            for _ in range(rows - len(self.rows(table.place, table.key or list(table.columns)))):
                try:
                    done.append(self.apply(self.insert, table))
                except NoChange:
                    break
        return done

    def in_order(self):
        """Orders tables after those that they refer to, as far as possible."""
        left, ordered = dict(self.tables), []
        while left:
            free = [p for p in left if not any(to in left and to != p for _, to, _ in self.references[p])]
            for place in free or [next(iter(left))]:
                ordered.append(left.pop(place))
        return ordered

    def refill(self, rows):
        with self.connection.transaction():
            done = self.fill(rows)
        return "BEGIN; " + "; ".join(done) + "; COMMIT"

    def deck(self):
        """Every kind of change on every table once, in random order, with transactions of several between; a truncation
        is followed by new rows. Each is a function that makes the change and returns its SQL."""
        kinds = [self.insert, self.update, self.reparent, self.change_key, self.delete, self.insert, self.update]
        single = [(make, table) for make in kinds for table in self.tables.values()]
        cards = [[lambda c=c: self.apply(*c)] for c in single]
        cards += [[lambda c=table: self.apply(self.update_all, c)] for table in self.tables.values()]
        cards += [[lambda s=self.random.sample(single, min(len(single), 4)): self.several(s)] for _ in range(len(self.tables) * 2)]
        cards += [[lambda c=table: self.tried(self.reborn, c)] for table in self.tables.values()]
        if self.other:
            cards += [[lambda s=self.random.sample(single, 2): self.tried(self.overlapping, *s)] for _ in self.tables]
        cards += [[lambda t=table: self.apply(self.truncate, t), lambda: self.refill(5)] for table in self.tables.values()]
        self.random.shuffle(cards)
        return [step for card in cards for step in card]
