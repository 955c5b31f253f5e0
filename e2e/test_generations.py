"""What changes a whole index: a truncated root, tables that are added and dropped, an index that another client deletes. Nothing is lost, nothing is left over."""

import time

import bookstore
import pytest
from parts.search import eventually


@pytest.fixture
def run(worker, manifest):
    run = worker(manifest).start()
    eventually(lambda: run.condition("Ready").get("status") == "True", 20, lambda: f"Ready ({run.status()})")
    return run


def equal(opensearch, index, books, timeout=20):
    def differences():
        return bookstore.differences(opensearch.documents(index), bookstore.expected(books)) if opensearch.aliases(index) else "no alias"

    eventually(lambda: not differences(), timeout, lambda: f"equality ({differences()})", interval=0.2)


def add_book(books, isbn, title):
    books.sql("INSERT INTO books (isbn, title, price, status) VALUES (%s, %s, 1.00, 'published')", isbn, title)


def test_truncated_root_empties_the_index_and_later_rows_are_indexed(run, books, opensearch, index):
    books.sql("TRUNCATE books CASCADE; INSERT INTO books (isbn, title, price) VALUES ('0', 'of the same transaction', 1)")
    equal(opensearch, index, books)
    assert len(opensearch.documents(index)) == 1
    add_book(books, "1", "after the truncation")
    equal(opensearch, index, books)
    assert opensearch.indices(f"{index}-g*") == [f"{index}-g1"], "a new index was built for a few documents"


def test_truncated_root_of_many_documents_gets_a_new_index(run, books, opensearch, index):
    books.sql("INSERT INTO books (isbn, title, price) SELECT 'n' || i, 'number ' || i, 1 FROM generate_series(1, 1500) i")
    equal(opensearch, index, books)
    books.sql("TRUNCATE books CASCADE")
    add_book(books, "1", "after the truncation")
    equal(opensearch, index, books)
    assert len(opensearch.documents(index)) == 1
    eventually(lambda: opensearch.indices(f"{index}-g*") == [f"{index}-g2"], 20, lambda: f"one generation ({opensearch.indices(f'{index}-g*')})")


def test_truncated_root_is_emptied_even_if_its_only_row_is_rejected(worker, manifest, books, opensearch, index):
    manifest[1]["spec"]["schema"][0]["mapping"] = {"isbn": {"type": "long"}}
    books.sql("INSERT INTO books (isbn, title, price) SELECT i, 'number ' || i, 1 FROM generate_series(1, 1500) i")
    run = worker(manifest).start()
    eventually(lambda: run.condition("Ready").get("status") == "True", 20, lambda: f"Ready ({run.status()})")
    assert len(opensearch.documents(index)) == 1525
    with books.connect() as connection, connection.transaction():
        connection.execute("TRUNCATE books CASCADE")
        connection.execute("INSERT INTO books (isbn, title, price) VALUES ('not a number', 'rejected', 1)")
    eventually(lambda: opensearch.aliases(index) and not opensearch.documents(index), 20, "an empty index", interval=0.2)
    eventually(lambda: run.condition("Degraded").get("reason") == "DeadLetters", 15, lambda: f"a dead letter ({run.status()})")


def test_dead_letter_of_a_row_that_is_corrected_while_no_worker_runs_is_removed(worker, manifest, books, opensearch, index):
    manifest[1]["spec"]["schema"][0]["mapping"] = {"isbn": {"type": "long"}}
    books.sql("UPDATE books SET isbn = 'not a number' WHERE id = 7")
    run = worker(manifest).start()
    eventually(lambda: run.condition("Degraded").get("reason") == "DeadLetters", 15, lambda: f"a dead letter ({run.status()})")
    assert run.stop() == 0
    books.sql("UPDATE books SET isbn = '9780804429573' WHERE id = 7")
    run.start()
    eventually(lambda: opensearch.document(index, "7"), 10, "the corrected document")
    eventually(lambda: opensearch.documents(f"{index}-dead-letters") == {}, 30, "no dead letter", interval=0.2)


def test_index_that_is_deleted_under_the_policy_never_is_not_replaced_by_an_empty_one(worker, manifest, books, opensearch, index):
    run = worker(manifest).start()
    eventually(lambda: run.condition("Ready").get("status") == "True", 20, lambda: f"Ready ({run.status()})")
    run.stop()
    manifest[1]["spec"]["bootstrap"] = {"policy": "Never"}
    opensearch.request("DELETE", f"{index}-g1")
    run = worker(manifest).start()
    eventually(lambda: run.condition("Stalled").get("reason") == "BootstrapNeeded", 15, lambda: f"Stalled ({run.status()})")
    assert not opensearch.aliases(index)


def test_alias_that_another_client_removes_is_put_back(run, opensearch, index):
    opensearch.request("DELETE", f"{index}-g1/_alias/{index}")
    eventually(lambda: opensearch.aliases(index) == [f"{index}-g1"], 20, "the alias", interval=0.2)
    run.process.check()


def test_change_that_is_very_large_is_followed_without_a_rebuild(worker, manifest, books, opensearch, index):
    """All columns are in the stream here: before Postgres 15, and with the identity FULL."""
    books.sql("ALTER TABLE books ADD COLUMN unread text; ALTER TABLE books REPLICA IDENTITY FULL")
    run = worker(manifest).start()
    eventually(lambda: run.condition("Ready").get("status") == "True", 20, lambda: f"Ready ({run.status()})")
    books.sql("UPDATE books SET unread = repeat('x', 70000000) WHERE id = 1")
    books.sql("UPDATE books SET unread = NULL, title = 'after it' WHERE id = 1")
    equal(opensearch, index, books)
    assert opensearch.aliases(index) == [f"{index}-g1"]
    assert run.condition("Ready")["status"] == "True"


def test_search_that_is_under_way_when_the_alias_moves_ends_on_the_old_index(worker, manifest, books, opensearch, index):
    run = worker(manifest).start()
    eventually(lambda: run.condition("Ready").get("status") == "True", 20, lambda: f"Ready ({run.status()})")
    page = opensearch.request("POST", f"{index}/_search?scroll=1m", {"size": 10})
    run.stop()
    manifest[1]["spec"]["schema"][0]["nodes"]["columns"] = ["title"]
    run = worker(manifest).start()
    eventually(lambda: opensearch.aliases(index) == [f"{index}-g2"], 20, "the next generation")
    rest = opensearch.request("POST", "_search/scroll", {"scroll": "1m", "scroll_id": page["_scroll_id"]})
    assert len(rest["hits"]["hits"]) == 10 and all("isbn" in hit["_source"] for hit in rest["hits"]["hits"])
    eventually(lambda: opensearch.indices(f"{index}-g*") == [f"{index}-g2"], 20, lambda: f"one generation ({opensearch.indices(f'{index}-g*')})")
    # Even if the run that moved the alias had no time for it.
    manifest[1]["spec"]["schema"][0]["nodes"]["columns"] = ["title", "isbn"]
    run.stop()
    run = worker(manifest).start()
    eventually(lambda: opensearch.aliases(index) == [f"{index}-g3"], 20, "the next generation")
    run.kill9()
    assert opensearch.indices(f"{index}-g*") == [f"{index}-g2", f"{index}-g3"]
    run.start()
    eventually(lambda: opensearch.indices(f"{index}-g*") == [f"{index}-g3"], 25, lambda: f"one generation ({opensearch.indices(f'{index}-g*')})")


def test_truncation_while_the_search_engine_refuses_requests_is_not_lost(worker, manifest, books, opensearch, index, fault_proxy):
    manifest[1]["spec"]["sink"]["urls"] = [fault_proxy.url]
    run = worker(manifest).start()
    eventually(lambda: run.condition("Ready").get("status") == "True", 20, lambda: f"Ready ({run.status()})")
    fault_proxy.fail(503)
    books.sql("TRUNCATE books CASCADE")
    add_book(books, "1", "written while the engine refused")
    time.sleep(3)
    run.kill9()
    fault_proxy.heal()
    run.start()
    equal(opensearch, index, books, timeout=40)
    assert len(opensearch.documents(index)) == 1


def test_two_documents_of_one_truncated_root_are_both_emptied(worker, manifest, books, opensearch, index):
    schema = manifest[1]["spec"]["schema"]
    schema.append({"index": f"{index}-titles", "nodes": {"table": "books", "columns": ["title"]}})
    run = worker(manifest).start()
    eventually(lambda: run.condition("Ready").get("status") == "True", 20, lambda: f"Ready ({run.status()})")
    assert len(opensearch.documents(f"{index}-titles")) == 25
    books.sql("TRUNCATE books CASCADE")
    for name in (index, f"{index}-titles"):
        eventually(lambda name=name: opensearch.aliases(name) and opensearch.documents(name) == {}, 30, f"an empty {name}", interval=0.2)


def test_rows_of_a_transaction_that_is_open_when_a_table_is_added_are_not_lost(worker, manifest, books, opensearch, index):
    schema = manifest[1]["spec"]["schema"]
    with_authors = schema[0]["nodes"]["children"]
    schema[0]["nodes"]["children"] = []
    run = worker(manifest).start()
    eventually(lambda: run.condition("Ready").get("status") == "True", 20, lambda: f"Ready ({run.status()})")
    assert run.stop() == 0
    with books.connect() as connection:
        connection.autocommit = False
        connection.execute("INSERT INTO authors (id, name) OVERRIDING SYSTEM VALUE VALUES (900, 'of an open transaction')")
        connection.execute("INSERT INTO book_authors VALUES (1, 900)")
        schema[0]["nodes"]["children"] = with_authors
        run = worker(manifest).start()
        time.sleep(4)
        connection.commit()
    eventually(lambda: run.condition("Ready").get("status") == "True", 30, lambda: f"Ready ({run.status()})")
    equal(opensearch, index, books)
    assert "of an open transaction" in str(opensearch.document(index, "1"))


def test_rows_of_a_prepared_transaction_when_a_table_is_added_are_not_lost(worker, own_postgres, unique, opensearch, index):
    """It may end at any time; the worker waits for it and names it in a condition."""
    database = own_postgres(conf={"max_prepared_transactions": 5}).create_database(unique)
    bookstore.load(database)
    database.create_role()
    database.sql("ALTER TABLE authors REPLICA IDENTITY FULL; ALTER TABLE book_authors REPLICA IDENTITY FULL")
    manifest = [bookstore.secret("bookstore-postgres", password=database.role_password),
                bookstore.resource("books", database, opensearch.url, index=index)]
    nodes = manifest[1]["spec"]["schema"][0]["nodes"]
    children, nodes["children"] = nodes["children"], []
    run = worker(manifest).start()
    eventually(lambda: run.condition("Ready").get("status") == "True", 20, lambda: f"Ready ({run.status()})")
    assert run.stop() == 0
    database.sql("BEGIN; INSERT INTO authors (id, name) OVERRIDING SYSTEM VALUE VALUES (900, 'prepared'); INSERT INTO book_authors VALUES (1, 900);"
                 " PREPARE TRANSACTION 'of_ours'")
    nodes["children"] = children
    run = worker(manifest).start()
    eventually(lambda: "prepared transaction 'of_ours'" in run.condition("BootstrapComplete").get("message", ""), 20, lambda: f"its name ({run.status()})")
    database.sql("COMMIT PREPARED 'of_ours'")
    eventually(lambda: run.condition("Ready").get("status") == "True", 30, lambda: f"Ready ({run.status()})")
    equal(opensearch, index, database)
    assert "prepared" in str(opensearch.document(index, "1"))


def test_table_that_is_recreated_is_published_again_and_followed(run, books, opensearch, index):
    books.sql("DROP TABLE book_authors; CREATE TABLE book_authors (book_id bigint NOT NULL REFERENCES books ON DELETE CASCADE,"
              " author_id bigint NOT NULL REFERENCES authors ON DELETE CASCADE, PRIMARY KEY (book_id, author_id))")
    books.own_tables()
    books.sql("INSERT INTO book_authors VALUES (1, 1), (2, 1)")
    equal(opensearch, index, books, timeout=40)
    books.sql("DELETE FROM book_authors WHERE book_id = 2; INSERT INTO book_authors VALUES (3, 2)")
    equal(opensearch, index, books)


def test_index_that_another_client_deletes_is_rebuilt(run, books, opensearch, index):
    opensearch.request("DELETE", f"{index}-g1")
    books.sql("UPDATE books SET price = 7 WHERE id = 1")
    equal(opensearch, index, books, timeout=60)
    assert len(opensearch.documents(index)) == 25


def test_new_column_is_added_to_documents_that_include_every_column(worker, manifest, books, opensearch, index):
    manifest[1]["spec"]["schema"][0]["nodes"] = {"table": "authors"}
    run = worker(manifest).start()
    eventually(lambda: run.condition("Ready").get("status") == "True", 20, lambda: f"Ready ({run.status()})")
    books.sql("ALTER TABLE authors ADD COLUMN born int DEFAULT 1900")
    books.sql("UPDATE authors SET born = 1948 WHERE name = 'William Gibson'")

    def born():
        return {document["name"]: document.get("born") for document in opensearch.documents(index).values()} if opensearch.aliases(index) else {}

    eventually(lambda: born() and set(born().values()) == {1900, 1948}, 40, lambda: f"the new column everywhere ({born()})", interval=0.2)
    assert born()["William Gibson"] == 1948


ALTERED = ["DROP PUBLICATION {0}", "DROP PUBLICATION {0}; CREATE PUBLICATION {0} FOR TABLE books, authors, book_authors WITH (publish_via_partition_root)",
           "ALTER PUBLICATION {0} SET (publish = 'insert')", "ALTER PUBLICATION {0} SET TABLE books WHERE (id > 5), authors, book_authors",
           "ALTER PUBLICATION {0} DROP TABLE authors"]


@pytest.mark.parametrize(("statements", "stopped"), [(a, False) for a in ALTERED] + [(ALTERED[0], True), (ALTERED[2], True)])
def test_no_change_is_lost_when_the_publication_is_altered(run, books, opensearch, index, statements, stopped):
    """WAL written meanwhile is decoded without what the publication lacked at that time."""
    (name,) = books.publications()
    if stopped:
        run.stop()
    books.sql(statements.format(name))
    books.sql("UPDATE books SET title = 'changed meanwhile' WHERE id = 3; UPDATE authors SET name = 'changed too' WHERE id = 1")
    if stopped:
        run.start()
    equal(opensearch, index, books, timeout=40)
    books.sql("UPDATE books SET title = 'and followed' WHERE id = 4")
    equal(opensearch, index, books)
    assert len(opensearch.documents(index)) == 25
    if stopped:
        # Corrected before the next check.
        run.stop()
        books.sql("ALTER PUBLICATION {0} SET (publish = 'insert')".format(name))
        books.sql("UPDATE books SET title = 'not published' WHERE id = 5")
        books.sql("ALTER PUBLICATION {0} SET (publish = 'insert, update, delete, truncate')".format(name))
        run.start()
        equal(opensearch, index, books, timeout=40)
    assert books.publications() == [name] and len(books.slots()) == 1


@pytest.mark.parametrize("stopped", [False, True])
def test_publication_that_had_another_name_for_a_while_is_followed_again(run, books, opensearch, index, stopped):
    """What was written meanwhile cannot be decoded, not even once the publication has its name again."""
    (name,) = books.publications()
    if stopped:
        run.stop()
    books.sql(f"ALTER PUBLICATION {name} RENAME TO another")
    books.sql("UPDATE books SET title = 'changed meanwhile' WHERE id = 3")
    books.sql(f"ALTER PUBLICATION another RENAME TO {name}")
    if stopped:
        run.start()
    equal(opensearch, index, books, timeout=60)
    books.sql("UPDATE books SET title = 'and followed' WHERE id = 4")
    equal(opensearch, index, books)
    eventually(lambda: run.condition("Ready").get("status") == "True", 20, lambda: f"Ready ({run.status()})")
    assert books.publications() == [name] and len(books.slots()) == 1


def test_changes_from_before_a_key_changed_its_type_are_applied(worker, manifest, books, opensearch, index):
    """They are still in the WAL, with values that the new type does not accept; the rebuilt index contains their effect."""
    books.sql("""CREATE TABLE codes (code text PRIMARY KEY, n int); CREATE TABLE uses (id int PRIMARY KEY, code text REFERENCES codes);
        CREATE INDEX ON uses (code); INSERT INTO codes VALUES ('1', 1), ('2', 2); INSERT INTO uses VALUES (1, '1')""")
    books.own_tables()
    manifest[1]["spec"]["schema"][0]["nodes"] = {"table": "codes", "children": [
        {"table": "uses", "columns": ["id"], "relationship": {"type": "one_to_many", "variant": "scalar"}}]}
    run = worker(manifest).start()
    eventually(lambda: run.condition("Ready").get("status") == "True", 20, lambda: f"Ready ({run.status()})")
    assert run.stop() == 0
    books.sql("INSERT INTO codes VALUES ('no number', 3); INSERT INTO uses VALUES (2, 'no number'), (3, '2')")
    books.sql("""UPDATE codes SET n = 4 WHERE code = '1'; DELETE FROM uses WHERE id = 2; DELETE FROM codes WHERE code = 'no number';
        ALTER TABLE uses DROP CONSTRAINT uses_code_fkey; ALTER TABLE codes ALTER code TYPE int USING code::int;
        ALTER TABLE uses ALTER code TYPE int USING code::int, ADD FOREIGN KEY (code) REFERENCES codes""")
    run = worker(manifest).start()
    wanted = {"1": {"code": 1, "n": 4, "uses": [1]}, "2": {"code": 2, "n": 2, "uses": [3]}}
    eventually(lambda: run.condition("Ready").get("status") == "True", 30, lambda: f"Ready ({run.status()})")
    assert opensearch.documents(index) == wanted
    books.sql("UPDATE uses SET code = 2 WHERE id = 1")
    wanted["1"]["uses"], wanted["2"]["uses"] = None, [1, 3]
    eventually(lambda: opensearch.documents(index) == wanted, 10, lambda: f"the change ({opensearch.documents(index)})")

    # The same while it streams.
    books.sql("""ALTER TABLE uses DROP CONSTRAINT uses_code_fkey; ALTER TABLE codes ALTER code TYPE text; ALTER TABLE uses ALTER code TYPE text,
        ADD FOREIGN KEY (code) REFERENCES codes""")
    books.sql("INSERT INTO codes VALUES ('three', 3); INSERT INTO uses VALUES (4, 'three')")
    wanted = {id: {**document, "code": id} for id, document in wanted.items()} | {"three": {"code": "three", "n": 3, "uses": [4]}}
    eventually(lambda: opensearch.aliases(index) and opensearch.documents(index) == wanted, 30, lambda: f"the change ({opensearch.documents(index)})")
    eventually(lambda: run.condition("Ready")["status"] == "True" and run.condition("Stalled").get("status") != "True", 20,
               lambda: f"Ready ({run.status()})")


def test_without_bootstrap_a_full_index_is_never_replaced_by_an_empty_one(worker, manifest, books, opensearch, index):
    spec = manifest[1]["spec"]
    run = worker(manifest).start()
    eventually(lambda: run.condition("Ready").get("status") == "True", 20, lambda: f"Ready ({run.status()})")
    assert run.stop() == 0
    spec["bootstrap"] = {"policy": "Never"}
    spec["schema"][0]["nodes"]["columns"] = ["title"]
    run = worker(manifest).start()
    eventually(lambda: run.condition("Ready").get("reason") == "BootstrapNeeded", 20, lambda: f"a reason ({run.status()})")
    assert "IfNeeded" in run.condition("Ready")["message"]
    assert not bookstore.differences(opensearch.documents(index), bookstore.expected(books))
    run.stop()
    spec["bootstrap"] = {"policy": "IfNeeded"}
    run = worker(manifest).start()
    eventually(lambda: run.condition("Ready").get("status") == "True", 20, lambda: f"Ready ({run.status()})")
    assert opensearch.document(index, "1").keys() == {"title", "authors"}


def test_without_bootstrap_only_the_stream_is_followed(worker, manifest, books, opensearch, index):
    manifest[1]["spec"]["bootstrap"] = {"policy": "Never"}
    run = worker(manifest).start()
    eventually(lambda: run.condition("Ready").get("status") == "True", 20, lambda: f"Ready ({run.status()})")
    assert run.status()["bootstrap"]["progress"] == "100%", "there is nothing to copy"
    books.sql("UPDATE books SET title = 'changed' WHERE id = 3")
    eventually(lambda: opensearch.documents(index).keys() == {"3"}, 30, lambda: f"one document ({opensearch.documents(index)})")
