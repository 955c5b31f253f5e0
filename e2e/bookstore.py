"""The bookstore: its tables, its PgSync, and the expected index, computed without any help from pgsync."""

import copy
from datetime import timezone
from pathlib import Path

import yaml
from parts.search import eventually

SAMPLES = Path(__file__).resolve().parent.parent / "config/samples"
COLUMNS = ["title", "isbn", "price", "status", "published_at"]


def load(database):
    """The tables with the 25 published books."""
    for name in ("bookstore.sql", "bookstore-books.sql"):
        database.sql((SAMPLES / name).read_text())


def generate(database, books, authors, links):
    """The same tables with generated rows, the same ones in every run. `links` is at least `books`, at most 2 x `books`."""
    database.sql((SAMPLES / "bookstore.sql").read_text())
    with database.connect() as connection:
        # The rows are valid by construction: checking each reference would take most of the time.
        connection.execute("SET session_replication_role = replica")
        connection.execute(
            "INSERT INTO authors (name, bio) SELECT 'Author ' || i, CASE WHEN i %% 10 = 0 THEN NULL"
            " ELSE 'Born in the year ' || 1850 + i %% 150 || '; wrote ' || repeat('many books, ', (i %% 5)::int)"
            " || 'and this.' END"
            " FROM generate_series(1, %s::bigint) i", [authors])
        connection.execute(
            "INSERT INTO books (isbn, title, price, status, published_at) SELECT (9780000000000 + i)::text,"
            " 'The ' || (ARRAY['long','short','quiet','last','first','blue','lost'])[1 + i %% 7] || ' history of thing ' || i,"
            " (i %% 10000) / 100.0, CASE WHEN i %% 4 = 0 THEN 'draft' ELSE 'published' END,"
            " timestamptz '1950-01-01 00:00:00+00' + i * interval '1 hour' FROM generate_series(1, %s::bigint) i", [books])
        # Every book has one author, and the first books a second one; 7919 is prime to the numbers of authors in use.
        connection.execute(
            "INSERT INTO book_authors SELECT i, 1 + (i * 7919) %% %s::bigint FROM generate_series(1, %s::bigint) i",
            [authors, books])
        connection.execute(
            "INSERT INTO book_authors SELECT i, 1 + (i * 7919 + 1) %% %s::bigint FROM generate_series(1, %s::bigint) i",
            [authors, links - books])
        connection.execute("ANALYZE")


def sample():
    """The PgSync of config/samples/bookstore.yaml as a Python object."""
    return next(d for d in yaml.safe_load_all((SAMPLES / "bookstore.yaml").read_text()) if d["kind"] == "PgSync")


def resource(name, database, urls, *, index="books", secret="bookstore-postgres", spec=None):
    """The sample's PgSync for a database of a test; `spec`: fields to set, as {"source.tls": {...}, "suspend": True}."""
    made = sample()
    made["metadata"] = {"name": name}
    made["spec"]["source"].update(host="127.0.0.1", port=database.server.port, database=database.name, user=database.role)
    made["spec"]["source"]["passwordSecretRef"]["name"] = secret
    made["spec"]["sink"]["urls"] = urls if isinstance(urls, list) else [urls]
    made["spec"]["schema"][0]["index"] = index
    for path, value in (spec or {}).items():
        set_path(made["spec"], path, value)
    return made


def set_path(target, path, value):
    """set_path(spec, "schema.0.nodes.table", "x"); a value of None removes the field."""
    *way, last = [int(p) if p.isdigit() else p for p in path.split(".")]
    for step in way:
        target = target.setdefault(step, {}) if isinstance(target, dict) else target[step]
    if value is None:
        target.pop(last, None)
    else:
        target[last] = copy.deepcopy(value)


def secret(name, **values):
    return {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}, "stringData": values}


# --- the oracle


def _moment(value):
    """A timestamptz as to_json prints it in UTC: fractional seconds without trailing zeros."""
    if value is None:
        return None
    text = value.astimezone(timezone.utc).isoformat()
    if "." in text:
        head, zone = text[:-6], text[-6:]
        return head.rstrip("0").rstrip(".") + zone
    return text


def expected(database):
    """{id: document} for all books: three plain queries, joined here."""
    with database.connect() as connection, connection.transaction():
        connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        authors = {id: {"name": name, "bio": bio} for id, name, bio in connection.execute("SELECT id, name, bio FROM authors")}
        of_book = {}
        for book, author in connection.execute("SELECT book_id, author_id FROM book_authors ORDER BY book_id, author_id"):
            of_book.setdefault(book, []).append(authors[author])
        return {
            str(id): {"title": title, "isbn": isbn, "price": price, "status": status, "published_at": _moment(published),
                      "authors": of_book.get(id)}
            for id, title, isbn, price, status, published in connection.execute(
                "SELECT id, title, isbn, price, status, published_at FROM books")
        }


def differences(found, wanted, limit=5):
    """Sentences that describe where two sets of documents differ; none if they are equal."""
    said = [f"{id} is missing" for id in wanted.keys() - found.keys()]
    said += [f"{id} should not be there" for id in found.keys() - wanted.keys()]
    said += [f"{id} is {found[id]}, expected {wanted[id]}" for id in wanted.keys() & found.keys() if found[id] != wanted[id]]
    return said[:limit] + ([f"and {len(said) - limit} more"] if len(said) > limit else [])


def wait_equal(engine, index, wanted):
    """Waits until the index has the documents that wanted() returns."""
    eventually(lambda: not differences(engine.documents(index), wanted()), 60,
               lambda: f"equality ({differences(engine.documents(index), wanted())})", interval=0.5)
