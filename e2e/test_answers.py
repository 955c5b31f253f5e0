"""Every answer of the search engine is checked: writes without effect, problems that are not a document's, and a 404 of a proxy."""

import json
import time

import bookstore
import pytest
from parts.search import eventually

TROUBLE_SECONDS = 5


def ready(run, status="True"):
    return run.condition("Ready").get("status") == status


@pytest.fixture
def begin(worker, manifest, fault_proxy):
    """begin(pipeline=...): a worker behind the proxy."""

    def run(**document):
        manifest[1]["spec"]["sink"]["urls"] = [fault_proxy.url]
        manifest[1]["spec"]["schema"][0].update(document)
        return worker(manifest).start()

    return run


@pytest.fixture
def start(begin):
    """The same, once it is Ready."""

    def run(**document):
        started = begin(**document)
        eventually(lambda: ready(started), 60, lambda: f"Ready ({started.status()})")
        return started

    return run


def change(books, title):
    books.sql("UPDATE books SET title = %s || id", title)


def equal(opensearch, index, books, timeout=60):
    wanted = bookstore.expected(books)
    eventually(lambda: not bookstore.differences(opensearch.documents(index), wanted), timeout,
               lambda: f"equality ({bookstore.differences(opensearch.documents(index), wanted)})", interval=0.2)


def waits(run, opensearch, index, words):
    """A condition reports the problem with these words, and no document was given up."""
    def told():
        return all(word in run.condition("Ready").get("message", "") for word in words)

    eventually(lambda: told() and ready(run, "False"), 30, lambda: f"{words} in {run.condition('Ready')}")
    assert not opensearch.indices(f"{index}-dead-letters"), "dead letters were written although no document was at fault"


def recovers(run, opensearch, index, books):
    equal(opensearch, index, books)
    eventually(lambda: ready(run), 60, lambda: f"Ready ({run.status()})")
    assert opensearch.aliases(index) == [f"{index}-g1"], "the index was rebuilt"
    assert not opensearch.indices(f"{index}-dead-letters")


# --- What pipelines drop


def test_document_that_a_pipeline_drops_leaves_the_index(start, pipeline, books, opensearch, index):
    run = start(pipeline=pipeline({"drop": {"if": "ctx.title != null && ctx.title.startsWith('draft')"}}))
    books.sql("UPDATE books SET title = 'draft' WHERE id IN (1, 2)")
    books.sql("INSERT INTO books (id, isbn, title, price) OVERRIDING SYSTEM VALUE VALUES (900, 'x', 'draft, too', 1)")
    books.sql("UPDATE books SET title = 'kept' WHERE id = 3")
    eventually(lambda: opensearch.document(index, 3)["title"] == "kept", 30, "the change after them")
    assert not {"1", "2", "900"} & opensearch.documents(index).keys()
    eventually(lambda: run.status()["indices"][0].get("droppedDocuments") == 3, 30, lambda: f"three dropped documents ({run.status()})")
    assert run.metric("pgsync_documents_dropped_total") == 3
    books.sql("UPDATE books SET title = 'published' WHERE id = 1")
    eventually(lambda: (opensearch.document(index, 1) or {}).get("title") == "published", 30, "the document that is no draft any more")
    assert ready(run)


def test_rows_that_a_pipeline_of_the_index_drops_are_left_out_by_the_bootstrap(start, pipeline, books, opensearch, index, unique):
    books.sql("UPDATE books SET title = 'draft' WHERE id <= 5")
    name = pipeline({"drop": {"if": "ctx.title == 'draft'"}})
    opensearch.request("PUT", f"_index_template/{unique}", {"index_patterns": [f"{index}-g*"], "priority": 500,
                                                            "template": {"settings": {"index.default_pipeline": name}}})
    try:
        run = start()
        assert opensearch.documents(index).keys() == {str(i) for i in range(6, 26)}
        assert run.status()["indices"][0]["droppedDocuments"] == 5
        # The engine does not delete a pipeline that an index uses.
        opensearch.request("PUT", f"{index}-g1/_settings", {"index.default_pipeline": None})
    finally:
        opensearch.request("DELETE", f"_index_template/{unique}")


CHANGED = {"_index": "{}-elsewhere", "_id": "another", "_version": 1}


@pytest.mark.parametrize("field", CHANGED)
def test_document_that_a_pipeline_puts_elsewhere_is_a_dead_letter(field, start, pipeline, books, opensearch, index):
    """The engine answers that a document was created; but not in this index, not under this id, or not at all."""
    value = CHANGED[field].format(index) if field == "_index" else CHANGED[field]
    run = start(pipeline=pipeline({"script": {"lang": "painless", "source": f"if (ctx.title == 'moved') {{ ctx.{field} = params.value }}",
                                              "params": {"value": value}}}))
    books.sql("UPDATE books SET title = 'moved' WHERE id IN (1, 2); UPDATE books SET title = 'kept' WHERE id = 3")
    eventually(lambda: opensearch.document(index, 3)["title"] == "kept", 30, "the change after them")
    eventually(lambda: run.condition("Degraded").get("reason") == "DeadLetters", 30, lambda: f"dead letters ({run.status()})")
    letters = opensearch.documents(f"{index}-dead-letters")
    assert {(id, letter["type"]) for id, letter in letters.items()} == {("1", "changed_by_pipeline"), ("2", "changed_by_pipeline")}
    assert all(f"[{field}] was changed by an ingest pipeline" in letter["reason"] for letter in letters.values())
    books.sql("UPDATE books SET title = 'stays' WHERE id = 1; DELETE FROM books WHERE id = 2")
    eventually(lambda: opensearch.document(index, 1)["title"] == "stays" and not opensearch.document(index, 2), 30, "the corrected documents")
    eventually(lambda: opensearch.documents(f"{index}-dead-letters") == {}, 30, "the end of the dead letters")
    opensearch.delete_indices(f"{index}-elsewhere")


# --- Problems that are not a document's


def refuse_items(status, type, reason):
    """Returns a function that answers a bulk request by refusing each of its items."""
    def answer(body):
        actions = [json.loads(line) for line in body.split(b"\n") if line.startswith((b'{"index":{"_', b'{"delete":{"_'))]
        items = [{next(iter(a)): {"status": status, "error": {"type": type, "reason": reason}}} for a in actions]
        return json.dumps({"took": 1, "errors": True, "items": items})

    return answer


def test_items_that_fail_inside_the_engine_are_waited_for(start, books, opensearch, index, fault_proxy):
    run = start()
    fault_proxy.fail(200, path="/_bulk", body=refuse_items(500, "translog_exception", "Failed to write operation"))
    change(books, "during ")
    waits(run, opensearch, index, ["translog_exception: Failed to write operation"])
    time.sleep(TROUBLE_SECONDS)
    change(books, "later ")
    fault_proxy.heal()
    recovers(run, opensearch, index, books)


def test_closed_index_is_waited_for(start, books, opensearch, index):
    run = start()
    opensearch.request("POST", f"{index}-g1/_close")
    change(books, "during ")
    waits(run, opensearch, index, ["index_closed_exception", "_open"])
    time.sleep(TROUBLE_SECONDS)
    opensearch.request("POST", f"{index}-g1/_open")
    recovers(run, opensearch, index, books)


def test_pipeline_that_was_deleted_is_waited_for(start, pipeline, books, opensearch, index, unique):
    add = {"set": {"field": "isbn", "value": "by the pipeline"}}
    run = start(pipeline=pipeline(add))
    opensearch.request("DELETE", f"_ingest/pipeline/{unique}")
    change(books, "during ")
    waits(run, opensearch, index, [unique])
    assert run.condition("Ready")["reason"] == "PipelineMissing"
    time.sleep(TROUBLE_SECONDS)
    pipeline(add)
    eventually(lambda: all(d["title"].startswith("during ") for d in opensearch.documents(index).values()), 60, "all changes", interval=0.2)
    eventually(lambda: ready(run), 60, lambda: f"Ready ({run.status()})")
    assert not opensearch.indices(f"{index}-dead-letters")


@pytest.fixture
def requires_routing(opensearch, index, unique):
    """An index template that requires a routing of every document. requires_routing(): deletes it."""
    opensearch.request("PUT", f"_index_template/{unique}", {"index_patterns": [f"{index}*"], "priority": 500,
                                                            "template": {"mappings": {"_routing": {"required": True}}}})

    def delete():
        opensearch.request("DELETE", f"_index_template/{unique}", ok=(200, 404))

    yield delete
    delete()


def test_template_that_requires_routing_does_not_apply_to_documents_and_dead_letters(requires_routing, start, books, opensearch, index):
    if opensearch.refuses_contradictions:
        pytest.skip(f"{opensearch.tool} refuses an index that contradicts its template")
    run = start(mapping={"isbn": {"type": "long"}})
    books.sql("UPDATE books SET isbn = 'no number' WHERE id = 7")
    eventually(lambda: run.condition("Degraded").get("reason") == "DeadLetters", 30, lambda: f"dead letters ({run.status()})")
    books.sql("UPDATE books SET isbn = '7' WHERE id = 7")
    equal(opensearch, index, books)
    eventually(lambda: opensearch.documents(f"{index}-dead-letters") == {}, 30, "the end of the dead letters")
    assert ready(run)


def test_index_that_contradicts_its_template_is_waited_for(requires_routing, begin, books, opensearch, index):
    if not opensearch.refuses_contradictions:
        pytest.skip(f"{opensearch.tool} gives the index precedence over its template")
    run = begin()
    eventually(lambda: "contradicting `_routing.required` settings" in run.condition("Ready").get("message", ""), 30,
               lambda: f"the engine's words in {run.condition('Ready')}")
    assert run.condition("Ready")["reason"] == "IndexRejected"
    requires_routing()
    eventually(lambda: ready(run), 60, lambda: f"Ready ({run.status()})")
    equal(opensearch, index, books)


# --- Answers of something else


GATEWAY_404 = '{"message":"no Route matched with those values"}'


def test_404_of_a_gateway_is_not_a_missing_checkpoint(start, books, opensearch, index, fault_proxy):
    run = start()
    (slot,) = books.slots()
    run.stop()
    change(books, "while stopped ")
    for path in ("/pgsync-checkpoints", "/_alias", f"/{index}-g1", "/"):
        fault_proxy.fail(404, path=path, body=GATEWAY_404)
        run.start()
        eventually(lambda: "not an answer of the search engine" in run.condition("Ready").get("message", ""), 30,
                   lambda: f"{path}: {run.condition('Ready')}")
        assert books.slots() == [slot]
        assert opensearch.indices(f"{index}-g*") == [f"{index}-g1"], path
        run.stop()
    fault_proxy.heal()
    run.start()
    recovers(run, opensearch, index, books)
    assert books.slots() == [slot]


# --- Push-back and locks


@pytest.mark.slow
def test_long_pause_that_the_engine_asks_for_does_not_hold_up_a_migration(start, books, opensearch, index, fault_proxy):
    run = start()
    fault_proxy.fail(429, path="/_bulk", headers={"Retry-After": "600"})
    # More than the bodies of a writer hold, so that it waits in the middle of reading.
    books.sql("INSERT INTO books (id, isbn, title, price) OVERRIDING SYSTEM VALUE"
              " SELECT i, i::text, repeat('x', 20000), 1 FROM generate_series(1000, 1600) i")
    eventually(lambda: "Retry-After" in run.condition("Ready").get("message", "") or "pause of 600 s" in run.condition("Ready").get("message", ""),
               30, lambda: f"the pause in {run.condition('Ready')}")
    with books.connect() as connection:
        connection.execute("SET lock_timeout = '3s'")
        connection.execute("ALTER TABLE books ADD COLUMN migrated int")
    fault_proxy.heal()
    eventually(lambda: opensearch.document(index, 1600), 90, "the last row", interval=0.5)
    eventually(lambda: ready(run), 60, lambda: f"Ready ({run.status()})")


# --- What is reported


def test_values_of_rows_are_neither_in_logs_nor_in_conditions(start, books, opensearch, index):
    run = start(mapping={"isbn": {"type": "long"}})
    books.sql("UPDATE books SET isbn = 'a-value-of-a-row' WHERE id = 7")
    eventually(lambda: "a-value-of-a-row" in str(opensearch.document(f"{index}-dead-letters", 7)), 30, "the dead letter", interval=0.2)
    eventually(lambda: "7" in run.condition("Degraded").get("message", ""), 30, "the condition")
    assert "a-value-of-a-row" not in json.dumps(run.status())
    assert "a-value-of-a-row" not in (run.state / "worker.log").read_text()
