"""bin/pgsync for people: run, validate and plan, without Kubernetes."""

import os
import pty
import re
import select
import subprocess
import time

import bookstore
from parts.operator import BIN
from parts.search import eventually
from parts.worker import pgsync, write_manifest


def test_version():
    code, out, _ = pgsync("--version")
    assert code == 0
    assert re.search(r"\d+\.\d+\.\d+", out)


def test_unknown_command_says_which_there_are():
    code, _, err = pgsync("frobnicate")
    assert code == 2
    assert "frobnicate" in err
    assert "validate" in err


def test_run_until_caught_up_ends_with_an_equal_index(worker, manifest, books, opensearch, index):
    run = worker(manifest, "--until-caught-up").start()
    assert run.finish(30) == 0, run.process.tail()
    assert not bookstore.differences(opensearch.documents(index), bookstore.expected(books))


def test_run_until_caught_up_again_applies_what_came_between(worker, manifest, books, opensearch, index):
    run = worker(manifest, "--until-caught-up")
    assert run.start().finish(30) == 0, run.process.tail()
    books.sql("UPDATE books SET title = 'Neuromancer, again' WHERE id = 1; DELETE FROM books WHERE id = 2;"
              " UPDATE authors SET bio = 'changed' WHERE id = 3")
    assert run.start().finish(30) == 0, run.process.tail()
    assert not bookstore.differences(opensearch.documents(index), bookstore.expected(books))
    assert opensearch.aliases(index) == [f"{index}-g1"]


def test_run_follows_changes_and_serves_status_and_metrics(worker, manifest, books, opensearch, index):
    run = worker(manifest).start()
    eventually(lambda: run.condition("Ready").get("status") == "True", 15, lambda: f"Ready ({run.status()})")
    books.sql("UPDATE books SET title = 'Newromancer' WHERE id = 1")
    wanted = bookstore.expected(books)
    eventually(lambda: opensearch.document(index, "1") == wanted["1"], 1, "the change in the index")
    assert run.status()["phase"] == "Streaming"
    assert run.status()["indices"][0]["name"] == index
    assert run.metric("pgsync_documents_total") >= 25
    assert run.stop() == 0


def test_run_reports_what_is_wrong_and_goes_on_when_it_is_not(worker, manifest, books, opensearch, index):
    books.sql("ALTER TABLE authors RENAME TO writers")
    run = worker(manifest).start()
    found = eventually(lambda: run.condition("SchemaAccepted").get("status") == "False" and run.condition("SchemaAccepted"), 15,
                       lambda: f"SchemaAccepted=False ({run.status()})")
    assert found["reason"] == "UnknownTable"
    assert "authors" in found["message"]
    assert run.condition("Degraded")["status"] == "Unknown", "nobody could look for dead letters yet"
    books.sql("ALTER TABLE writers RENAME TO authors")
    eventually(lambda: run.condition("Ready").get("status") == "True", 30, lambda: f"Ready ({run.status()})")
    assert run.condition("Degraded")["status"] == "False"
    assert not bookstore.differences(opensearch.documents(index), bookstore.expected(books))


def test_two_runs_on_one_slot_do_not_fight(worker, manifest, books, opensearch, index):
    first = worker(manifest).start()
    eventually(lambda: first.condition("Ready").get("status") == "True", 15, "Ready")
    second = worker(manifest).start()
    eventually(lambda: second.condition("Ready").get("status") == "True", 20, lambda: f"Ready ({second.status()})")
    walsenders = books.walsenders()
    time.sleep(5)
    assert books.walsenders() == walsenders
    books.sql("UPDATE books SET price = 2 WHERE id = 1")
    wanted = bookstore.expected(books)
    eventually(lambda: opensearch.document(index, "1") == wanted["1"], 1, "the change in the index")


def test_validate_accepts_the_sample():
    code, out, err = pgsync("validate", "-f", bookstore.SAMPLES / "bookstore.yaml")
    assert code == 0, out + err


def test_validate_names_every_mistake_with_its_place(state, unique, manifest):
    manifest[1]["spec"]["schema"][0]["nodes"]["colums"] = ["title"]
    manifest[1]["spec"]["schema"][0]["index"] = "Books"
    manifest[1]["spec"]["source"]["port"] = 70000
    code, out, err = pgsync("validate", "-f", write_manifest(state / f"{unique}.yaml", manifest))
    assert code == 1
    for word in ("spec.schema[0].nodes", "colums", "spec.schema[0].index", "Books", "spec.source.port", "70000"):
        assert word in out + err


def test_validate_needs_no_secrets_but_says_what_it_did_not_see(state, unique, manifest):
    del manifest[0]
    code, out, err = pgsync("validate", "-f", write_manifest(state / f"{unique}.yaml", manifest))
    assert code == 0, out + err
    for word in ("spec.source.passwordSecretRef", "bookstore-postgres", "not checked"):
        assert word in out + err
    manifest[0]["spec"]["schema"][0]["nodes"]["colums"] = ["title"]
    code, out, err = pgsync("validate", "-f", write_manifest(state / f"{unique}.yaml", manifest))
    assert code == 1
    assert "colums" in out + err


def test_validate_refuses_what_is_not_built_yet(state, unique, manifest):
    manifest[1]["spec"]["checkpoint"] = {"store": "Redis", "redis": {"url": "redis://127.0.0.1:6379/0"}}
    manifest[1]["spec"]["worker"] = {"placement": "Pod"}
    code, out, err = pgsync("validate", "-f", write_manifest(state / f"{unique}.yaml", manifest))
    assert code == 1
    assert "Redis" in out + err
    assert "Pod" in out + err


def test_validate_of_broken_yaml_says_where(state, unique):
    path = state / f"{unique}.yaml"
    path.write_text("apiVersion: pgsync.io/v1alpha1\nkind: PgSync\nspec: {source: [\n")
    code, out, err = pgsync("validate", "-f", path)
    assert code == 1
    assert "line" in out + err


def test_plan_prints_sql_and_mapping_and_changes_nothing(state, unique, manifest, books, opensearch, index):
    identities = books.replica_identities()
    indices = opensearch.indices()
    code, out, err = pgsync("plan", "-f", write_manifest(state / f"{unique}.yaml", manifest))
    assert code == 0, out + err
    for word in ("SELECT", "books", "book_authors", "mappings", "title"):
        assert word in out
    assert books.slots() == []
    assert books.publications() == []
    assert books.replica_identities() == identities
    assert opensearch.indices() == indices


def test_plan_lists_all_findings_at_once(state, unique, manifest, books):
    books.sql("ALTER TABLE books DROP COLUMN price; DROP TABLE authors CASCADE")
    books.server.sql(f'ALTER ROLE "{books.role}" NOREPLICATION')
    code, out, err = pgsync("plan", "-f", write_manifest(state / f"{unique}.yaml", manifest))
    assert code == 1
    for word in ("price", "authors", "REPLICATION"):
        assert word in out + err


def test_plan_finds_what_the_database_shows_in_a_schema_that_is_wrong_elsewhere_too(state, unique, manifest):
    root = manifest[1]["spec"]["schema"][0]["nodes"]
    root["columns"] = ["titel", "isbn"]
    root["colour"] = "red"
    authors = root["children"][0]
    authors["columns"] = ["nane"]
    authors["children"] = [{"table": "no_such_table", "relationship": {"variant": "object", "type": "one_to_mony"}}]
    code, out, err = pgsync("plan", "-f", write_manifest(state / f"{unique}.yaml", manifest))
    assert code == 1
    for path, words in {"nodes": ["colour"], "nodes.columns[0]": ["`titel`", "did you mean `title`"],
                        "nodes.children[0].columns[0]": ["`nane`", "did you mean `name`"],
                        "nodes.children[0].children[0].table": ["no_such_table"],
                        "nodes.children[0].children[0].relationship.type": ["one_to_mony", "one_to_many"]}.items():
        lines = [line for line in (out + err).splitlines() if f"spec.schema[0].{path}: " in line or f"spec.schema[0].{path}.colour" in line]
        assert lines and all(word in "\n".join(lines) for word in words), (path, out + err)
    assert "SELECT" not in out, "a plan of a document that cannot be made"


def test_plan_finds_the_rest_of_a_node_that_is_wrong_itself(state, unique, manifest):
    spec = manifest[1]["spec"]
    root = spec["schema"][0]["nodes"]
    root.update(columns=["titel", 5], where="prize > 0", expressions={"age": "now() - published_at", "bad": "1; 2"}, limit="ten")
    spec["schema"][0]["routing"] = "authors"
    child = root["children"][0]
    child.update(order_by=["nane", 7], colour="red", primary_key=["idd"])
    child["relationship"]["through_tables"] = ["book_autors"]
    spec["sink"]["urls"] = ["ftp://nowhere"]
    spec["onError"] = {"policy": "Never"}
    code, out, err = pgsync("plan", "-f", write_manifest(state / f"{unique}.yaml", manifest))
    assert code == 1
    at = "spec.schema[0].nodes"
    for told in (f"{at}.columns[0]: column `titel` does not exist in public.books; did you mean `title`?",
                 f"{at}.columns[1]: must be a string, found 5", f"{at}.where: `prize > 0`", f"{at}.expressions.age: ",
                 f"{at}.expressions.bad: must be one SQL expression", f"{at}.limit: must be an integer",
                 f"{at}.children[0].order_by[0]: column `nane` does not exist in public.authors; did you mean `name`?",
                 f"{at}.children[0].order_by[1]: must be like", f"{at}.children[0].colour: unknown field",
                 f"{at}.children[0].primary_key[0]: column `idd` does not exist in public.authors; did you mean `id`?",
                 f"{at}.children[0].relationship.through_tables[0]: table public.book_autors does not exist; did you mean public.book_authors?",
                 "spec.sink.urls[0]: must be http://", "spec.onError.policy: must be one of"):
        assert told in out + err, (told, out + err)


def test_run_shows_a_progress_bar_on_a_terminal_and_lines_elsewhere(state, unique, manifest):
    path = write_manifest(state / f"{unique}.yaml", manifest)
    master, slave = pty.openpty()
    process = subprocess.Popen([str(BIN / "pgsync"), "run", "-f", str(path), "--until-caught-up"], stdin=slave, stdout=slave,
                               stderr=slave, start_new_session=True)
    os.close(slave)
    text = b""
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        if select.select([master], [], [], 0.1)[0]:
            try:
                text += os.read(master, 65536)
            except OSError:
                break
    os.close(master)
    assert process.wait(5) == 0, text.decode(errors="replace")
    assert b"\r" in text.replace(b"\r\n", b"\n")
    assert b"100%" in text

    code, out, err = pgsync("run", "-f", path, "--until-caught-up")
    assert code == 0
    assert "\r" not in out + err
    assert "\x1b" not in out + err
