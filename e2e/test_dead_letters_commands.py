"""Dead letters are retried automatically when their cause may be gone, or on request; or they are discarded."""

import json
import threading

import bookstore
import pytest
from parts.search import eventually
from parts.worker import pgsync, write_manifest

ISBN = "080442957X"
LENIENT = {"properties": {"isbn": {"type": "long", "ignore_malformed": True}}}


@pytest.fixture
def dead_letters(opensearch, index):
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
def strict(start, books, dead_letters):
    """A worker whose index refuses book 7."""
    run = start(mapping={"isbn": {"type": "long"}})
    books.sql(f"UPDATE books SET isbn = '{ISBN}' WHERE id = 7")
    eventually(lambda: dead_letters().keys() == {"7"}, 30, lambda: f"a dead letter ({dead_letters()})")
    return run


# --- automatically


def test_dead_letter_is_retried_once_when_the_mapping_changes(strict, books, opensearch, index, dead_letters):
    (letter,) = dead_letters().values()
    assert letter["row"] == "public.books, id 7"
    # A change that does not help: it is tried against the new state, once.
    opensearch.request("PUT", f"{index}-g1/_mapping", {"properties": {"other": {"type": "long"}}})
    eventually(lambda: dead_letters()["7"]["attempts"] == letter["attempts"] + 1, 30, lambda: f"another attempt ({dead_letters()})")
    assert ISBN in dead_letters()["7"]["reason"]
    books.sql("UPDATE books SET title = 'others go on' WHERE id = 8")
    eventually(lambda: opensearch.document(index, "8")["title"] == "others go on", 30, "another document")

    opensearch.request("PUT", f"{index}-g1/_mapping", LENIENT)
    eventually(lambda: opensearch.document(index, "7")["isbn"] == ISBN, 40, lambda: f"document 7 ({dead_letters()})")
    eventually(lambda: not dead_letters(), 10, lambda: f"the end of the dead letter ({dead_letters()})")
    eventually(lambda: strict.condition("Degraded").get("reason") == "AsExpected", 20, lambda: f"not Degraded ({strict.status()})")
    bookstore.wait_equal(opensearch, index, lambda: bookstore.expected(books))


@pytest.mark.long
def test_dead_letter_is_retried_when_a_pipeline_changes(start, pipeline, books, opensearch, index, dead_letters):
    start(pipeline=pipeline({"fail": {"if": "ctx.title == 'bad'", "message": "no such title"}}))
    books.sql("UPDATE books SET title = 'bad' WHERE id IN (3, 4)")
    eventually(lambda: dead_letters().keys() == {"3", "4"}, 30, lambda: f"dead letters ({dead_letters()})")
    pipeline({"set": {"if": "ctx.title == 'bad'", "field": "title", "value": "good"}})
    eventually(lambda: not dead_letters() and opensearch.document(index, "3")["title"] == "good", 30, lambda: f"no dead letters ({dead_letters()})")


@pytest.mark.long
def test_dead_letters_whose_ids_do_not_say_their_keys_are_retried(start, manifest, books, opensearch, index, dead_letters):
    """Of long keys, and in pgsync's format of keys with the separator in them."""
    books.sql("CREATE TABLE things (a text, b text, isbn text, PRIMARY KEY (a, b)); INSERT INTO things VALUES ('x|y', 'z', 'bad'),"
              " (repeat('k', 600), 'b|', 'bad'), ('plain', 'one', 'bad'), ('x', 'y|z2', '1')")
    books.own_tables()
    manifest[1]["spec"]["documents"] = {"idFormat": "Pgsync"}
    run = start(nodes={"table": "things", "columns": ["isbn"]}, mapping={"isbn": {"type": "long"}})
    eventually(lambda: len(dead_letters()) == 3, 30, lambda: f"dead letters ({dead_letters()})")
    opensearch.request("PUT", f"{index}-g1/_mapping", LENIENT)
    eventually(lambda: not dead_letters(), 30, lambda: f"no dead letters ({dead_letters()})")
    assert len(opensearch.documents(index)) == 4, run.status()


# --- without dead letters


def put_template(opensearch, index, unique, pipeline):
    opensearch.request("PUT", f"_index_template/{unique}", {
        "index_patterns": [f"{index}-g*"], "priority": 500, "template": {"settings": {"index.default_pipeline": pipeline}}})


@pytest.fixture
def template(opensearch, index, unique):
    """template(pipeline): the index template that gives new generations their default pipeline."""
    yield lambda pipeline: put_template(opensearch, index, unique, pipeline)
    opensearch.request("DELETE", f"_index_template/{unique}", ok=(200, 404))
    # The engine does not delete a pipeline that an index uses.
    opensearch.request("PUT", f"{index}-g*/_settings", {"index.default_pipeline": None}, ok=(200, 404))


def is_rebuilt(run, opensearch, index, books, generation, why):
    bookstore.wait_equal(opensearch, index, lambda: bookstore.expected(books))
    eventually(lambda: opensearch.aliases(index) == [f"{index}-g{generation}"], 30, lambda: f"generation {generation} ({run.status()})")
    logged = [json.loads(line) for line in (run.state / "worker.log").read_text().splitlines()]
    assert [line["why"] for line in logged if line["message"] == "the documents of an index are outdated"] == [why], logged
    run.wait_ready()


def test_index_whose_pipeline_dropped_everything_is_rebuilt_once_the_pipeline_is_corrected(start, pipeline, books, opensearch, index, unique):
    run = start(pipeline=pipeline({"drop": {}}))
    assert not opensearch.documents(index)
    pipeline({"drop": {"if": "false"}})
    is_rebuilt(run, opensearch, index, books, 2, f'ingest pipeline "{unique}" has changed')


@pytest.mark.long
def test_index_whose_pipeline_changed_while_no_worker_ran_is_rebuilt(start, pipeline, worker, manifest, books, opensearch, index, unique):
    harmless = {"drop": {"if": "false"}}
    start(pipeline=pipeline({"set": {"field": "title", "value": "wrong"}})).stop()
    pipeline(harmless)
    run = worker(manifest).start()
    is_rebuilt(run, opensearch, index, books, 2, f'ingest pipeline "{unique}" has changed')
    # The same pipeline, written again.
    pipeline(harmless)
    books.sql("UPDATE books SET title = 'later' WHERE id = 7")
    eventually(lambda: opensearch.document(index, "7")["title"] == "later", 30, "a later change")
    run.stop()
    worker(manifest).start().wait_ready()
    assert opensearch.aliases(index) == [f"{index}-g2"]


@pytest.mark.long
def test_index_whose_template_named_a_wrong_pipeline_is_rebuilt_once_the_template_is_corrected(
        template, pipeline, start, books, opensearch, index):
    template(pipeline({"set": {"field": "title", "value": "wrong"}}))
    run = start()
    assert {d["title"] for d in opensearch.documents(index).values()} == {"wrong"}
    template("_none")
    is_rebuilt(run, opensearch, index, books, 2, "its index template names another ingest pipeline")


# --- of a generation that has nothing else


@pytest.fixture
def rebuild(start, manifest, worker, books, opensearch, index):
    """rebuild(refuse, **document): a second generation, whose documents are all rejected, waits behind the first one."""

    def run(refuse=lambda: None, first=(), **second):
        start(**dict(first)).stop()
        before = opensearch.documents(index)
        refuse()
        manifest[1]["spec"]["resyncNonce"] = 1
        manifest[1]["spec"]["schema"][0].update(second)
        waiting = worker(manifest).start()
        eventually(lambda: waiting.condition("Stalled").get("reason") == "EveryDocumentRejected", 60,
                   lambda: f"the refusal ({waiting.status()})")
        assert waiting.condition("Ready")["reason"] == "EveryDocumentRejected"
        assert f"{index}-g2" in waiting.condition("Ready")["message"]
        assert opensearch.aliases(index) == [f"{index}-g1"] and opensearch.documents(index) == before
        return waiting

    return run


def goes_live(waiting, opensearch, index, books, dead_letters, generation=2):
    eventually(lambda: opensearch.aliases(index) == [f"{index}-g{generation}"], 60, lambda: f"generation {generation} ({waiting.status()})")
    waiting.wait_ready()
    bookstore.wait_equal(opensearch, index, lambda: bookstore.expected(books))
    eventually(lambda: not dead_letters(), 10, lambda: f"the end of the dead letters ({dead_letters()})")
    eventually(lambda: waiting.condition("Stalled").get("status") != "True", 10, lambda: f"not stalled ({waiting.status()})")


def test_generation_that_a_pipeline_refused_is_replaced_once_the_pipeline_is_corrected(rebuild, pipeline, books, opensearch, index, dead_letters):
    harmless = {"set": {"if": "false", "field": "isbn", "value": "none"}}
    waiting = rebuild(lambda: pipeline({"fail": {"message": "not now"}}), first={"pipeline": pipeline(harmless)})
    assert len(dead_letters()) == 25
    pipeline(harmless)
    # Whether or not its dead letters were tried first.
    goes_live(waiting, opensearch, index, books, dead_letters, generation=3)


@pytest.mark.long
def test_generation_that_a_pipeline_dropped_is_replaced_once_the_pipeline_is_corrected(rebuild, pipeline, books, opensearch, index, dead_letters):
    harmless = {"drop": {"if": "false"}}
    waiting = rebuild(lambda: pipeline({"drop": {}}), first={"pipeline": pipeline(harmless)})
    assert not dead_letters()
    pipeline(harmless)
    goes_live(waiting, opensearch, index, books, dead_letters, generation=3)


@pytest.mark.long
def test_generation_that_the_pipeline_of_a_template_refused_is_replaced_once_the_template_is_corrected(
        template, pipeline, rebuild, books, opensearch, index, dead_letters):
    waiting = rebuild(lambda: template(pipeline({"fail": {"message": "not now"}})))
    template("_none")
    goes_live(waiting, opensearch, index, books, dead_letters, generation=3)


@pytest.mark.long
def test_generation_that_its_mapping_refused_goes_live_once_the_mapping_is_corrected(rebuild, books, opensearch, index, dead_letters):
    waiting = rebuild(mapping={"title": {"type": "long"}})
    # The stream continues meanwhile.
    books.sql("DELETE FROM books WHERE id = 25")
    eventually(lambda: "25" not in dead_letters(), 20, "the end of a dead letter whose row is gone")
    opensearch.request("PUT", f"{index}-g2/_mapping", {"properties": {"title": {"type": "long", "ignore_malformed": True}}})
    goes_live(waiting, opensearch, index, books, dead_letters)


# --- on request


@pytest.fixture
def command(state, unique, manifest):
    """command("list", ...): what `pgsync dead-letters list -f FILE ...` prints; as JSON with "-o", "json"."""

    def run(*arguments, code=0):
        file = write_manifest(state / f"commands-{unique}" / "pgsync.yaml", manifest)
        found, out, err = pgsync("dead-letters", *arguments, "-f", file)
        assert found == code, (arguments, out, err)
        return json.loads(out) if "json" in arguments and not code else out + err

    return run


def test_commands_list_show_and_retry_while_rows_change(strict, command, books, opensearch, index, dead_letters):
    shown = command("list")
    assert "public.books, id 7" in shown and ISBN not in shown
    (listed,) = command("list", "-o", "json")
    assert listed == command("show", "7", "-o", "json") == dead_letters()["7"]
    assert "isbn" in command("show", "7")

    # It fails again, as asked, although nothing has changed.
    assert command("retry", "7", "-o", "json") == {"deadLetters": 1}
    eventually(lambda: dead_letters()["7"]["attempts"] == listed["attempts"] + 1, 30, lambda: f"another attempt ({dead_letters()})")

    # The retry runs while rows change, including its own, and never replaces a newer version.
    ended = threading.Event()

    def write():
        number = 0
        while not ended.is_set():
            number += 1
            books.sql(f"UPDATE books SET title = 'title {number}' WHERE id IN (7, 8)")

    writer = threading.Thread(target=write)
    opensearch.request("PUT", f"{index}-g1/_mapping", LENIENT)
    writer.start()
    try:
        command("retry", "--all")
        eventually(lambda: not dead_letters(), 30, lambda: f"no dead letters ({dead_letters()})")
    finally:
        ended.set()
        writer.join()
    bookstore.wait_equal(opensearch, index, lambda: bookstore.expected(books))
    assert not dead_letters() and command("list") == "no dead letters\n"


def test_discard_deletes_the_letter_alone(strict, command, books, opensearch, index, dead_letters):
    before = opensearch.document(index, "7")
    books.sql("UPDATE books SET isbn = 'no number either' WHERE id = 8")
    eventually(lambda: dead_letters().keys() == {"7", "8"}, 30, lambda: f"dead letters ({dead_letters()})")
    assert command("discard", "7") == "1 dead letter discarded\n"
    assert dead_letters().keys() == {"8"} and opensearch.document(index, "7") == before
    assert 'document "7" has no dead letter' in command("discard", "7", code=1)
    assert command("discard", "--all", "--index", index) == "1 dead letter discarded\n"
    eventually(lambda: strict.condition("Degraded").get("reason") == "AsExpected", 30, lambda: f"not Degraded ({strict.status()})")
    # The stream still follows a discarded row: its next change is indexed as usual.
    books.sql("UPDATE books SET isbn = '1' WHERE id = 7")
    eventually(lambda: opensearch.document(index, "7")["isbn"] == "1", 30, "document 7")


def test_what_terminals_act_on_is_escaped(strict, command, books, dead_letters):
    books.sql("UPDATE books SET isbn = E'\\u001b]0;x\\u0007 \\u009b2J \\u202e' WHERE id = 7")
    # A change of the row removes the dead letter before it writes the next one.
    eventually(lambda: "]0;x" in dead_letters().get("7", {}).get("reason", ""), 30, lambda: f"the new reason ({dead_letters()})")
    for out in command("show", "7"), json.dumps(command("show", "7", "-o", "json"), ensure_ascii=True):
        assert not {c for c in out if (ord(c) < 32 and c != "\n") or 0x7f <= ord(c) < 0xa0 or ord(c) == 0x202e}, repr(out)
        assert "\\u001b]0;x\\u0007" in out


def test_an_index_of_something_else_is_left_alone(manifest, command, opensearch, index):
    assert command("list") == "no dead letters\n"
    opensearch.request("PUT", f"{index}-dead-letters/_doc/7?refresh=true", {"id": "theirs"})
    try:
        for arguments in ["list"], ["discard", "--all"], ["discard", "7"]:
            assert "was not created by pgsync" in command(*arguments, code=1)
        assert opensearch.document(f"{index}-dead-letters", "7") == {"id": "theirs"}
    finally:
        opensearch.request("DELETE", f"{index}-dead-letters")


@pytest.mark.parametrize("arguments, words", [
    ([], "list, show, retry or discard is required"),
    (["burn"], 'unknown action "burn"'),
    (["retry"], "either IDs of documents or --all"),
    (["discard", "7", "--all"], "either IDs of documents or --all"),
    (["show", "7", "8"], "the ID of one document, found 2"),
    (["list", "7"], 'unexpected argument "7"'),
    (["list", "-o", "yaml"], "--output must be text or json"),
    (["list", "--index", "other"], 'no index "other"'),
])
def test_invalid_command_lines_do_nothing(command, arguments, words):
    assert words in command(*arguments, code=2)


@pytest.mark.long
def test_annotation_asks_for_all_once(worker, manifest, books, opensearch, index, dead_letters):
    """Of the resource; the status says which value was carried out."""
    manifest[1]["spec"]["schema"][0]["mapping"] = {"isbn": {"type": "long"}}
    books.sql(f"UPDATE books SET isbn = '{ISBN}' WHERE id = 7")
    run = worker(manifest).start().wait_ready()
    eventually(lambda: dead_letters().keys() == {"7"}, 30, lambda: f"a dead letter ({dead_letters()})")
    run.stop()
    attempts = dead_letters()["7"]["attempts"]
    manifest[1]["metadata"]["annotations"] = {"pgsync.io/retry-dead-letters": "first"}
    for _ in range(2):
        run = worker(manifest).start()
        eventually(lambda: run.status().get("retriedDeadLetters") == "first", 30, lambda: f"the value in the status ({run.status()})")
        run.stop()
    assert dead_letters()["7"]["attempts"] == attempts + 1
