"""The main job: apply a PgSync, and its index follows the tables until it is deleted. The same on every search engine."""

import os
import re
from pathlib import Path

import bookstore
import pytest
from parts.operator import TREE
from parts.postgres import Database
from parts.search import eventually
from pgsync import Resources, condition, describe

NAME = "books"
PATIENCE = 30  # seconds: these tests check what happens; `make bench` measures how fast


class Books:
    """A bookstore of 25 books under an operator's care."""

    def __init__(self, engine, database: Database, resources, index):
        self.engine, self.database, self.resources, self.index = engine, database, resources, index

    def apply(self):
        self.resources.apply_books(NAME, self.database, self.engine.url, index=self.index)
        self.resources.wait(NAME, timeout=60)

    def book(self, title):
        return str(self.database.value("SELECT id FROM books WHERE title = %s", title))

    def author(self, name):
        return self.database.value("SELECT id FROM authors WHERE name = %s", name)

    def assert_equal(self, timeout=PATIENCE):
        wanted = bookstore.expected(self.database)
        eventually(lambda: not bookstore.differences(self.engine.documents(self.index), wanted), timeout,
                   lambda: f"equality ({bookstore.differences(self.engine.documents(self.index), wanted)})", interval=0.2)


@pytest.fixture(scope="module")
def books(engine, kube, operator, postgres):
    kind = engine.tool
    database = postgres.create_database(f"main_flow_{kind}")
    bookstore.load(database)
    database.create_role()
    resources = Resources(kube.kubectl, kube.namespace(f"main-flow-{kind}"))
    made = Books(engine, database, resources, f"main-flow-{kind}")
    made.apply()
    yield made
    resources.delete_all()
    # The PgSync leaves its index; a worker that comes back to this module begins with the first generation again.
    engine.delete_indices(f"{made.index}-*")
    database.drop()


def test_ready_means_that_every_row_was_copied(books):
    assert books.resources.get(NAME)["status"]["bootstrap"]["rowsDone"] == 25
    assert len(books.engine.documents(books.index)) == 25


def test_every_document_equals_the_tables(books):
    books.assert_equal()


def test_fields_are_in_the_order_of_the_schema(books):
    document = books.engine.document(books.index, books.book("Good Omens"))
    assert list(document) == [*bookstore.COLUMNS, "authors"]
    assert [a["name"] for a in document["authors"]] == ["Terry Pratchett", "Neil Gaiman"]
    assert list(document["authors"][0]) == ["name", "bio"]


def test_prices_keep_their_digits(books):
    raw = books.engine.http.get(f"{books.engine.url}/{books.index}/_doc/{books.book('Snow Crash')}").text
    assert '"price":18.00' in raw.replace('" : ', '":').replace('": ', '":')


def test_index_is_an_alias_of_its_first_generation(books):
    assert books.engine.aliases(books.index) == [f"{books.index}-g1"]


def _new_book(b):
    b.database.sql("INSERT INTO books (isbn, title, price, status, published_at) VALUES"
                   " ('9780441007462', 'Count Zero', 8.50, 'published', '1986-03-01 12:30:00.25+02')")
    return "Count Zero"


def _changed_price(b):
    b.database.sql("UPDATE books SET price = 12.30 WHERE title = 'Dune'")
    return "Dune"


def _nulled_column(b):
    b.database.sql("UPDATE books SET published_at = NULL, status = 'draft' WHERE title = 'Hyperion'")
    return "Hyperion"


def _renamed_author(b):
    b.database.sql("UPDATE authors SET name = 'Sir Terry Pratchett' WHERE name = 'Terry Pratchett'")
    return "Good Omens"


def _new_author_with_link(b):
    with b.database.connect() as connection, connection.transaction():
        (author,) = connection.execute("INSERT INTO authors (name) VALUES ('Alex Haley') RETURNING id").fetchone()
        connection.execute("INSERT INTO book_authors VALUES (%s, %s)", [b.book("Kindred"), author])
    return "Kindred"


def _deleted_author(b):
    b.database.sql("DELETE FROM authors WHERE name = 'Peter Straub'")
    return "The Talisman"


def _new_link(b):
    b.database.sql("INSERT INTO book_authors VALUES (%s, %s)", b.book("Snow Crash"), b.author("Vernor Vinge"))
    return "Snow Crash"


def _deleted_link(b):
    b.database.sql("DELETE FROM book_authors WHERE book_id = %s", b.book("Frankenstein"))
    return "Frankenstein"


def _moved_link(b):
    b.database.sql("UPDATE book_authors SET book_id = %s WHERE book_id = %s", b.book("Foundation"), b.book("The Hobbit"))
    return "The Hobbit", "Foundation"


def _deleted_and_inserted_in_one_transaction(b):
    b.database.sql("""BEGIN;
        DELETE FROM book_authors WHERE book_id = (SELECT id FROM books WHERE title LIKE 'Moby%');
        INSERT INTO book_authors SELECT b.id, a.id FROM books b, authors a WHERE b.title LIKE 'Moby%' AND a.name LIKE 'Jane%';
        UPDATE books SET title = 'The Whale' WHERE title LIKE 'Moby%';
        COMMIT""")
    return "The Whale"


CHANGES = [_new_book, _changed_price, _nulled_column, _renamed_author, _new_author_with_link, _deleted_author, _new_link,
           _deleted_link, _moved_link, _deleted_and_inserted_in_one_transaction]


@pytest.mark.parametrize("change", CHANGES, ids=lambda f: f.__name__.strip("_"))
def test_change_can_be_searched(books, change):
    titles = change(books)
    wanted = bookstore.expected(books.database)
    for title in [titles] if isinstance(titles, str) else titles:
        id = books.book(title)
        eventually(lambda: books.engine.document(books.index, id) == wanted[id], PATIENCE,
                   lambda: f"{wanted[id]} in the index, where {books.engine.document(books.index, id)} is, for {title!r}; that")


def test_deleted_book_is_gone(books):
    id = books.book("Brave New World")
    books.database.sql("DELETE FROM books WHERE id = %s", int(id))
    eventually(lambda: books.engine.document(books.index, id) is None, PATIENCE, "the deletion of the document")


def test_rolled_back_transaction_changes_nothing(books):
    id = books.book("Dune")
    before = books.engine.request("GET", f"{books.index}/_doc/{id}")
    with books.database.connect() as connection:
        connection.execute("BEGIN")
        connection.execute("UPDATE books SET title = 'Not Dune' WHERE id = %s", [int(id)])
        connection.execute("ROLLBACK")
    # A later change in the index shows that the stream has passed the one that was rolled back.
    books.database.sql("UPDATE books SET price = price + 1 WHERE title = 'Neuromancer'")
    wanted = bookstore.expected(books.database)
    neuromancer = books.book("Neuromancer")
    eventually(lambda: books.engine.document(books.index, neuromancer) == wanted[neuromancer], PATIENCE, "the later change")
    after = books.engine.request("GET", f"{books.index}/_doc/{id}")
    assert (after["_source"], after["_version"]) == (before["_source"], before["_version"])


def test_thousand_transactions_leave_the_index_equal(books):
    with books.database.connect() as connection:
        for i in range(1000):
            connection.execute("UPDATE books SET price = %s WHERE id = 1 + %s %% 25", [i / 100, i])
    books.assert_equal()


def test_truncated_junction_empties_every_document(books):
    books.database.sql("TRUNCATE book_authors")
    books.assert_equal()
    assert books.engine.document(books.index, books.book("Neuromancer"))["authors"] is None


def test_kubectl_get_prints_the_state_in_columns(books):
    header, line = books.resources.kubectl("get", "pgsyncs", "--namespace", books.resources.namespace).splitlines()
    assert header.split() == ["NAME", "READY", "PHASE", "INDEX", "LAG", "BOOTSTRAP", "AGE"]
    assert line.split()[:4] == [NAME, "True", "Streaming", books.index]
    assert re.fullmatch(r"\d+s", line.split()[4]) and line.split()[5] == "100%"


def test_kubectl_get_wide_adds_the_details(books):
    header = books.resources.kubectl("get", "pgsyncs", "-o", "wide", "--namespace", books.resources.namespace).splitlines()[0]
    assert header.split()[6:] == ["AGE", "DOCUMENTS", "SLOT", "RETAINED", "WORKER", "OPERATOR", "REASON", "MESSAGE"]


def test_short_name_and_category_list_it(books):
    for word in ("pgs", "pgsync"):
        assert NAME in books.resources.kubectl("get", word, "--namespace", books.resources.namespace)


def test_kubectl_explain_describes_every_field_of_the_source(kube, operator):
    text = kube.kubectl("explain", "pgsync.spec.source")
    for field in ("host", "port", "database", "user", "passwordSecretRef", "tls", "replication"):
        assert f"\n  {field}\t" in text
    assert "<no description>" not in text


def test_status_describes_slot_index_and_conditions(books):
    def settled():
        found = books.resources.get(NAME)
        count = found["status"]["indices"][0]["documentCount"]
        return found if count == books.database.value("SELECT count(*) FROM books") else None

    resource = eventually(settled, 70, "the right documentCount", interval=0.5)
    status = resource["status"]
    assert status["observedGeneration"] == resource["metadata"]["generation"]
    assert status["phase"] == "Streaming"
    assert status["indices"][0]["name"] == books.index
    assert status["indices"][0]["physicalName"] == f"{books.index}-g1"
    assert [status["stream"]["slotName"]] == books.database.slots()
    assert [status["stream"]["publicationName"]] == books.database.publications()
    assert status["worker"]["placement"] == "Process"
    for type in ("Ready", "SourceReachable", "SinkReachable", "SchemaAccepted", "BootstrapComplete", "Streaming", "SlotHealthy"):
        assert condition(resource, type)["status"] == "True", describe(resource)
    for each in status["conditions"]:
        assert each["observedGeneration"] == resource["metadata"]["generation"]
        assert each["lastTransitionTime"]


def test_secrets_are_in_no_command_line_environment_or_log(books, operator):
    password = books.database.role_password
    workers = operator.workers()
    assert workers
    for pid in workers:
        for file in ("cmdline", "environ"):
            with open(f"/proc/{pid}/{file}", "rb") as f:
                assert password.encode() not in f.read()
    assert password not in operator.process.log.read_text()
    assert password not in books.resources.kubectl("get", "pgsyncs,events", "-A", "-o", "yaml")


def test_workers_have_given_up_what_they_do_not_need(books, operator):
    parts = ["privileges", "memory", "limits"]
    whole = "PGSYNC_BIN" not in os.environ  # test builds write files, and sanitizers trace their own process
    if whole:
        parts += ["files", "calls"]
    assert books.resources.get(NAME)["status"]["worker"]["sandbox"] == parts
    assert operator.metric("pgsync_worker_sandbox") >= len(parts)
    for pid in operator.workers():
        status = Path(f"/proc/{pid}/status").read_text()
        assert "NoNewPrivs:\t1\n" in status
        assert not whole or "Seccomp:\t2\n" in status, "no filter of system calls"
        assert Path(f"/proc/{pid}/oom_score_adj").read_text() == "500\n"
        assert os.stat(f"/proc/{pid}/environ").st_uid == 0, "other processes of its user can read its memory"
        names = {variable.split(b"=")[0] for variable in Path(f"/proc/{pid}/environ").read_bytes().split(b"\0") if variable}
        assert not {name for name in names if name in os.environb and name.startswith((b"PG", b"HOME", b"PATH", b"KUBE"))}
    assert "the sandbox is incomplete" not in operator.process.log.read_text()


def test_operator_answers_its_probes_and_metrics(books, operator):
    assert operator.get("/livez") == 200
    assert operator.get("/readyz") == 200
    assert operator.metric("leader_election_master_status") == 1


def test_operator_serves_the_metrics_that_the_documentation_lists(books, operator):
    page = (TREE / "docs/monitoring.md").read_text()
    run = page.index("\n## Metrics of `pgsync run`"), page.index("\n## Metrics of both")
    listed = dict(re.findall(r"^\| `(\w+)` \| (\w+) \|", page[: run[0]] + page[run[1]:], re.MULTILINE))
    text = operator.metrics()
    served = dict(re.findall(r"^# TYPE (\w+) (\w+)$", text, re.MULTILINE))
    assert {name: listed.get(name) for name in served} == served
    # The others have no series yet: nothing was rejected, rotated or restarted.
    unused = {"pgsync_worker_restarts_total", "pgsync_secret_rotations_total"}
    assert listed.keys() - unused <= served.keys()
    assert f'pgsync_ready{{namespace="{books.resources.namespace}",name="{NAME}"}} 1' in text


def test_suspension_stops_the_stream_and_loses_nothing(books):
    books.resources.patch(NAME, {"suspend": True})
    books.resources.wait(NAME, "Suspended", "True")
    assert condition(books.resources.get(NAME), "Ready")["reason"] == "Suspended"
    eventually(lambda: not books.database.walsenders(), PATIENCE, "the end of the stream")
    assert len(books.database.slots()) == 1
    books.database.sql("UPDATE books SET price = 1.00 WHERE title = 'Neuromancer'")
    before = books.engine.document(books.index, books.book("Neuromancer"))
    books.resources.never(lambda: books.engine.document(books.index, books.book("Neuromancer")) != before, 2,
                          "a suspended PgSync wrote to its index")
    books.resources.patch(NAME, {"suspend": False})
    books.resources.wait(NAME, generation=True)
    books.assert_equal()


def test_changed_schema_builds_a_new_generation_behind_the_alias(books):
    schema = bookstore.resource(NAME, books.database, books.engine.url, index=books.index)["spec"]["schema"]
    schema[0]["nodes"]["columns"] = ["title", "isbn"]
    books.resources.patch(NAME, {"schema": schema})
    eventually(lambda: books.engine.aliases(books.index) == [f"{books.index}-g2"], 15, "the move of the alias", interval=0.1)
    books.resources.wait(NAME, generation=True)
    document = books.engine.document(books.index, books.book("Neuromancer"))
    assert list(document) == ["title", "isbn", "authors"]


def test_deletion_removes_slot_and_publication_and_keeps_the_index(books):
    books.resources.delete(NAME, timeout=15)
    assert books.database.slots() == []
    assert books.database.publications() == []
    assert {letter for _, letter in books.database.replica_identities()} == {"d"}
    assert books.engine.count(books.index) == books.database.value("SELECT count(*) FROM books")


@pytest.mark.parametrize("version", ["14.18", "18.1"])
def test_oldest_and_newest_postgres_behave_alike(operator, resources, own_postgres, opensearch, unique, version):
    database = own_postgres(version=version).create_database(unique)
    bookstore.load(database)
    database.create_role()
    made = Books(opensearch, database, resources, unique.replace("_", "-"))
    made.apply()
    resources.wait(NAME, "SourceReachable", contains=[f"PostgreSQL {version}"])
    for change in CHANGES:
        change(made)
        made.assert_equal()
    database.sql("TRUNCATE book_authors")
    made.assert_equal()
    resources.delete(NAME)
    assert database.slots() == [] and database.publications() == []
    opensearch.delete_indices(f"{made.index}-*")
