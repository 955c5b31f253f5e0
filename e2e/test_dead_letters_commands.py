"""Dead letters are retried: by themselves when their cause may be gone, and when people ask for it; or they are discarded."""

import json
import threading

import bookstore
import pytest
from parts.search import eventually
from parts.worker import pgsync

ISBN = "080442957X"
LENIENT = {"properties": {"isbn": {"type": "long", "ignore_malformed": True}}}


@pytest.fixture
def letters(opensearch, index):
    """The dead letters, by id."""

    def read():
        opensearch.request("POST", f"{index}-dead-letters/_refresh", ok=(200, 404))
        return opensearch.documents(f"{index}-dead-letters") if opensearch.indices(f"{index}-dead-letters") else {}

    return read


@pytest.fixture
def start(worker, manifest):
    """start(mapping=..., pipeline=...): a worker that is Ready."""

    def run(**document):
        manifest[1]["spec"]["schema"][0].update(document)
        return worker(manifest).start().wait_ready()

    return run


@pytest.fixture
def strict(start, books, letters):
    """A worker whose index refuses book 7."""
    run = start(mapping={"isbn": {"type": "long"}})
    books.sql(f"UPDATE books SET isbn = '{ISBN}' WHERE id = 7")
    eventually(lambda: letters().keys() == {"7"}, 30, lambda: f"a dead letter ({letters()})")
    return run


@pytest.fixture
def pipeline(opensearch, unique):
    """pipeline({...}): creates or replaces the test's ingest pipeline, and returns its name."""

    def make(processor):
        opensearch.request("PUT", f"_ingest/pipeline/{unique}", {"processors": [processor]})
        return unique

    yield make
    opensearch.request("DELETE", f"_ingest/pipeline/{unique}", ok=(200, 404))


# --- by themselves


def test_letter_is_retried_once_when_the_mapping_changes(strict, books, opensearch, index, letters):
    (letter,) = letters().values()
    assert letter["row"] == "public.books, id 7"
    # A change that does not help: it is tried against the new state, once.
    opensearch.request("PUT", f"{index}-g1/_mapping", {"properties": {"other": {"type": "long"}}})
    eventually(lambda: letters()["7"]["attempts"] == letter["attempts"] + 1, 30, lambda: f"another attempt ({letters()})")
    assert ISBN in letters()["7"]["reason"]
    books.sql("UPDATE books SET title = 'others go on' WHERE id = 8")
    eventually(lambda: opensearch.document(index, "8")["title"] == "others go on", 30, "another document")

    opensearch.request("PUT", f"{index}-g1/_mapping", LENIENT)
    eventually(lambda: opensearch.document(index, "7")["isbn"] == ISBN, 40, lambda: f"document 7 ({letters()})")
    eventually(lambda: not letters(), 10, lambda: f"the end of the dead letter ({letters()})")
    eventually(lambda: strict.condition("Degraded").get("reason") == "AsExpected", 20, lambda: f"not Degraded ({strict.status()})")
    bookstore.wait_equal(opensearch, index, lambda: bookstore.expected(books))


def test_letter_is_retried_when_a_pipeline_changes(start, pipeline, books, opensearch, index, letters):
    start(pipeline=pipeline({"fail": {"if": "ctx.title == 'bad'", "message": "no such title"}}))
    books.sql("UPDATE books SET title = 'bad' WHERE id IN (3, 4)")
    eventually(lambda: letters().keys() == {"3", "4"}, 30, lambda: f"dead letters ({letters()})")
    pipeline({"set": {"if": "ctx.title == 'bad'", "field": "title", "value": "good"}})
    eventually(lambda: not letters() and opensearch.document(index, "3")["title"] == "good", 30, lambda: f"no dead letters ({letters()})")


def test_letters_whose_ids_do_not_say_their_keys_are_retried(start, manifest, books, opensearch, index, letters):
    """Of long keys, and in pgsync's format of keys with the separator in them."""
    books.sql("CREATE TABLE things (a text, b text, isbn text, PRIMARY KEY (a, b)); INSERT INTO things VALUES ('x|y', 'z', 'bad'),"
              " (repeat('k', 600), 'b|', 'bad'), ('plain', 'one', 'bad'), ('x', 'y|z2', '1')")
    books.own_tables()
    manifest[1]["spec"]["documents"] = {"idFormat": "Pgsync"}
    run = start(nodes={"table": "things", "columns": ["isbn"]}, mapping={"isbn": {"type": "long"}})
    eventually(lambda: len(letters()) == 3, 30, lambda: f"dead letters ({letters()})")
    opensearch.request("PUT", f"{index}-g1/_mapping", LENIENT)
    eventually(lambda: not letters(), 30, lambda: f"no dead letters ({letters()})")
    assert len(opensearch.documents(index)) == 4, run.status()
