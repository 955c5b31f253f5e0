"""pgsync owns only what has its mark: publications, slots and dead letters of others are neither changed nor removed."""

import pytest
from parts.search import eventually

LETTER = {"precious": "not pgsync's"}


def refused(run, reason, *words):
    eventually(lambda: run.condition("Ready").get("reason") == reason, 20, lambda: f"{reason} ({run.status()})")
    message = run.condition("Ready")["message"]
    assert all(word in message for word in words), message


def members(books, publication):
    return {name for (name,) in books.sql("SELECT tablename FROM pg_publication_tables WHERE pubname = %s", publication)}


@pytest.fixture
def foreign(worker, manifest, books):
    """run(tables): a worker that is given the name of a publication that others made for these tables."""

    def run(tables):
        books.sql(f"CREATE PUBLICATION finance FOR TABLE {tables} WITH (publish_via_partition_root)")
        books.sql(f"ALTER PUBLICATION finance OWNER TO {books.role}")
        manifest[1]["spec"]["source"]["replication"] = {"publicationName": "finance"}
        return worker(manifest).start()

    return run


def test_a_publication_of_others_is_not_altered_unless_it_is_given_to_pgsync(foreign, books):
    run = foreign("authors")
    refused(run, "PublicationConflict", "finance", "COMMENT ON PUBLICATION", "publicationName")
    assert members(books, "finance") == {"authors"}
    mark = run.condition("Ready")["message"].split(" IS '")[1].split("'")[0]
    books.sql(f"COMMENT ON PUBLICATION finance IS '{mark}'")
    run.wait_ready()
    assert members(books, "finance") == {"books", "authors", "book_authors"}


def test_a_publication_of_another_pgsync_is_refused(foreign, books):
    run = foreign("books, authors, book_authors").wait_ready()
    assert run.stop() == 0
    books.sql("COMMENT ON PUBLICATION finance IS 'pgsync: shop/others'")
    run.start()
    refused(run, "PublicationConflict", "shop/others")
    assert members(books, "finance") == {"books", "authors", "book_authors"}


def test_our_own_publication_is_marked(worker, manifest, books):
    worker(manifest).start().wait_ready()
    (mark,) = books.sql("SELECT obj_description(oid, 'pg_publication') FROM pg_publication")[0]
    assert mark.startswith("pgsync: ") and mark.endswith("/books")


def test_dead_letters_of_others_are_neither_deleted_nor_written_to(worker, manifest, books, opensearch, index):
    dead = f"{index}-dead-letters"
    opensearch.request("PUT", f"{dead}/_doc/7?refresh=true", LETTER)
    run = worker(manifest).start()
    refused(run, "IndexInUse", dead)
    assert opensearch.document(dead, "7") == LETTER
    opensearch.request("DELETE", dead)
    run.wait_ready()


def test_a_deletion_removes_nothing_of_others(operator, resources, books, opensearch, index):
    """A publication that has what is needed is used as it is."""
    books.sql("CREATE PUBLICATION finance FOR TABLE books, authors, book_authors WITH (publish_via_partition_root)")
    books.sql(f"ALTER PUBLICATION finance OWNER TO {books.role}")
    resources.apply_books("books", books, opensearch.url, index=index, spec={
        "source.replication": {"publicationName": "finance"}, "deletionPolicy": {"index": "Delete"}})
    resources.wait("books")
    dead = f"{index}-dead-letters"
    opensearch.request("PUT", f"{dead}/_doc/7?refresh=true", LETTER)
    resources.delete("books")
    assert books.slots() == [] and books.publications() == ["finance"]
    assert opensearch.document(dead, "7") == LETTER and opensearch.indices(f"{index}-g*") == []
