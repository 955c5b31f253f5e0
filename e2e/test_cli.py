"""bin/pgsync on the command line: run, validate and plan, without Kubernetes."""

import copy
import itertools
import json
import os
import pty
import re
import select
import subprocess
import time

import bookstore
import pytest
import yaml
from parts.operator import BIN
from parts.search import eventually
from parts.worker import pgsync, write_manifest


def test_version():
    code, out, _ = pgsync("--version")
    assert code == 0
    assert re.search(r"\d+\.\d+\.\d+", out)


def test_unknown_command_lists_the_commands():
    code, _, err = pgsync("frobnicate")
    assert code == 2
    assert "frobnicate" in err
    assert "validate" in err


def test_run_until_caught_up_ends_with_an_equal_index(worker, manifest, books, opensearch, index):
    run = worker(manifest, "--until-caught-up").start()
    assert run.finish(30) == 0, run.process.tail()
    assert not bookstore.differences(opensearch.documents(index), bookstore.expected(books))


def test_run_until_caught_up_again_applies_the_changes_in_between(worker, manifest, books, opensearch, index):
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
    eventually(lambda: opensearch.document(index, "1") == wanted["1"], 30, "the change in the index")
    assert run.status()["phase"] == "Streaming"
    assert run.status()["indices"][0]["name"] == index
    assert run.metric("pgsync_documents_total") >= 25
    assert run.stop() == 0


def test_run_reports_a_problem_and_continues_once_it_is_fixed(worker, manifest, books, opensearch, index):
    books.sql("ALTER TABLE authors RENAME TO writers")
    run = worker(manifest).start()
    found = eventually(lambda: run.condition("SchemaAccepted").get("status") == "False" and run.condition("SchemaAccepted"), 15,
                       lambda: f"SchemaAccepted=False ({run.status()})")
    assert found["reason"] == "UnknownTable"
    assert "authors" in found["message"]
    assert run.condition("Degraded")["status"] == "Unknown", "dead letters have not been counted yet"
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
    eventually(lambda: opensearch.document(index, "1") == wanted["1"], 30, "the change in the index")


def test_validate_accepts_the_sample():
    code, out, err = pgsync("validate", "-f", bookstore.SAMPLES / "bookstore.yaml")
    assert code == 0, out + err


def test_validate_reports_every_error_with_its_path(state, unique, manifest):
    manifest[1]["spec"]["schema"][0]["nodes"]["colums"] = ["title"]
    manifest[1]["spec"]["schema"][0]["index"] = "Books"
    manifest[1]["spec"]["source"]["port"] = 70000
    code, out, err = pgsync("validate", "-f", write_manifest(state / f"{unique}.yaml", manifest))
    assert code == 1
    for word in ("spec.schema[0].nodes", "colums", "spec.schema[0].index", "Books", "spec.source.port", "70000"):
        assert word in out + err


def test_validate_works_without_secrets_and_lists_the_missing_ones(state, unique, manifest):
    del manifest[0]
    code, out, err = pgsync("validate", "-f", write_manifest(state / f"{unique}.yaml", manifest))
    assert code == 0, out + err
    for word in ("spec.source.passwordSecretRef", "bookstore-postgres", "not checked"):
        assert word in out + err
    manifest[0]["spec"]["schema"][0]["nodes"]["colums"] = ["title"]
    code, out, err = pgsync("validate", "-f", write_manifest(state / f"{unique}.yaml", manifest))
    assert code == 1
    assert "colums" in out + err


def test_validate_refuses_features_that_are_not_implemented(state, unique, manifest):
    manifest[1]["spec"]["schema"][0]["plugins"] = ["Hero"]
    code, out, err = pgsync("validate", "-f", write_manifest(state / f"{unique}.yaml", manifest))
    assert code == 1
    assert "plugins" in out + err


def test_validate_leaves_it_to_the_operator_whether_there_are_pods(state, unique, manifest):
    manifest[1]["spec"]["worker"] = {"placement": "Pod"}
    code, out, err = pgsync("validate", "-f", write_manifest(state / f"{unique}.yaml", manifest))
    assert code == 0, out + err


def test_validate_of_broken_yaml_reports_the_position(state, unique):
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


def test_plan_checks_the_database_even_if_the_schema_has_errors(state, unique, manifest):
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
    assert "SELECT" not in out, "the plan of a document that cannot be built"


def test_plan_checks_the_rest_of_a_node_that_has_an_error(state, unique, manifest):
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


def said(state, unique, manifest, command="plan"):
    """The lines of the errors, without the reason at their ends."""
    code, out, err = pgsync(command, "-f", write_manifest(state / f"{unique}.yaml", manifest))
    assert code == 1, out + err
    return sorted(line.removeprefix("error: ").rsplit(" (", 1)[0] for line in (out + err).splitlines() if line.startswith("error: "))


MISTAKES = {  # edits of the sample's spec, and the paths of the findings
    "a near key besides": (lambda s, r, c: r.update(title="x", tables="y"), ["nodes.title", "nodes.tables"]),
    "a column": (lambda s, r, c: r.update(columns=["titel", *r["columns"]]), ["nodes.columns[0]"]),
    "a condition": (lambda s, r, c: r.update(where="prize > 0"), ["nodes.where"]),
    "an expression": (lambda s, r, c: r.update(expressions={"x": "prize + 1"}), ["nodes.expressions.x"]),
    "a limit far below": (lambda s, r, c: c.update(children=[{"table": "books", "limit": 0, "relationship": {
        "type": "one_to_many", "variant": "object", "through_tables": ["book_authors"]}}]), ["children[0].children[0].limit"]),
    "routing": (lambda s, r, c: s["schema"][0].update(routing="titel"), ["schema[0].routing"]),
    "a pipeline": (lambda s, r, c: s["schema"][0].update(pipeline="none"), ["schema[0]: the search engine has no ingest pipeline"]),
    "a foreign key": (lambda s, r, c: c["relationship"].update(foreign_key={"child": ["idd"], "parent": ["author_idd"]}),
                      ["foreign_key.child", "foreign_key.parent"]),
    "an order": (lambda s, r, c: c.update(order_by=["nane"]), ["children[0].order_by[0]"]),
    "a slot's name": (lambda s, r, c: s["source"].update(replication={"slotName": "My-Slot"}), ["spec.source.replication.slotName"]),
    "another policy": (lambda s, r, c: s.update(onError={"policy": "Never"}), ["spec.onError.policy"]),
    "no privilege": (lambda s, r, c: r["children"].append({"table": "hidden", "relationship": {
        "type": "one_to_many", "variant": "object"}}), ["public.hidden: role"]),
}


def test_no_error_hides_another(state, unique, manifest, books):
    """Each error is reported in the same way alone, with each other error, and with all of them."""
    books.sql("CREATE TABLE hidden (id int PRIMARY KEY, book_id bigint REFERENCES books)")
    books.own_tables()
    books.sql(f'REVOKE SELECT ON hidden FROM "{books.role}"')
    alone = {}

    def made(names):
        spec = copy.deepcopy(manifest)
        root = spec[1]["spec"]["schema"][0]["nodes"]
        for name in names:
            MISTAKES[name][0](spec[1]["spec"], root, root["children"][0])
        return said(state, unique, spec)

    for name, (_, paths) in MISTAKES.items():
        alone[name] = made([name])
        assert all(any(path in line for line in alone[name]) for path in paths), (name, alone[name])
        assert len(alone[name]) == len(paths), (name, alone[name])
    for first, second in itertools.combinations(MISTAKES, 2):
        assert made([first, second]) == sorted(alone[first] + alone[second]), (first, second)
    assert made(MISTAKES) == sorted(line for lines in alone.values() for line in lines)


@pytest.mark.parametrize("change, expected", [
    (lambda c: (c["relationship"].update(type="one-to-many"), c.update(limit=3)), ["children[0].relationship.type"]),
    (lambda c: (c["relationship"].update(variant="scalar"), c.update(columns=["nam"])), ["children[0].columns[0]"]),
    (lambda c: c.update(lable="x"), ["children[0].lable"]),
    (lambda c: c.update(relationship="x"), ["children[0].relationship"]),
    (lambda c: c.update(columns=["nam"], transform={"rename": {"nam": "called"}}), ["children[0].columns[0]"]),
    (lambda c: c.update(expressions={"a..b": "1"}), ["children[0].expressions"]),
    (lambda c: c.update(table="unlogged"), ["children[0].table: public.unlogged is an unlogged table"]),
], ids=["limit", "scalar", "label", "relationship", "rename", "name", "unlogged"])
def test_consequences_of_an_error_are_not_reported(state, unique, manifest, books, change, expected):
    books.sql("CREATE UNLOGGED TABLE unlogged (LIKE authors INCLUDING ALL)")
    books.own_tables()
    child = manifest[1]["spec"]["schema"][0]["nodes"]["children"][0]
    manifest[1]["spec"]["schema"][0]["nodes"]["children"].append({**copy.deepcopy(child), "label": "others"})
    change(child)
    lines = [line for line in said(state, unique, manifest) if "no foreign key between" not in line]
    assert len(lines) == len(expected) and all(path in line for path, line in zip(expected, lines)), lines


def test_an_index_that_is_null_counts_as_missing(state, unique, manifest):
    manifest[1]["spec"]["schema"][0]["index"] = None
    assert "spec.schema[0].index: is required: the name of the index to fill" in said(state, unique, manifest, "validate")


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


# What a server, a file or an argument may contain: a title is set, a screen is cleared, a text runs backwards.
NASTY = "evil\x1b]0;owned\x07\x9b2J\u202etxet\x7f"


def expect_shown_escaped(code, output, expected=0, shown="evil\\u001b]0;owned\\u0007\\u009b2J\\u202etxet\\u007f"):
    assert code == expected, output
    acting = {c for c in output if c != "\n" and (ord(c) < 32 or 0x7f <= ord(c) < 0xa0 or ord(c) == 0x202e)}
    assert not acting, repr(output)
    assert shown in output


def test_what_terminals_act_on_is_shown_escaped(state, unique, manifest, books):
    books.sql(f'CREATE TABLE "{NASTY}" (id int PRIMARY KEY)')
    books.own_tables()
    try:
        manifest[1]["spec"]["schema"] = [{"index": manifest[1]["spec"]["schema"][0]["index"], "nodes": {"table": NASTY}}]
        path = write_manifest(state / f"{unique}.yaml", manifest)
        code, out, err = pgsync("plan", "-f", path)
        expect_shown_escaped(code, out + err)
        # Words of the server, in an error of the database.
        manifest[1]["spec"]["schema"][0]["nodes"]["where"] = f"'{NASTY}'::int > 0"
        code, out, err = pgsync("plan", "-f", write_manifest(path, manifest))
        expect_shown_escaped(code, out + err, 1)
        manifest[1]["spec"]["schema"][0]["nodes"] = {"table": "books", NASTY: 1}
        code, out, err = pgsync("validate", "-f", write_manifest(path, manifest))
        expect_shown_escaped(code, out + err, 1)
    finally:
        books.sql(f'DROP TABLE "{NASTY}"')
    schema = state / f"{unique}.json"
    schema.write_text(json.dumps([{"database": "d", "index": "i", "nodes": {"table": NASTY}}]))
    environment = state / f"{unique}.env"
    environment.write_text("PG_USER=u\nPG_HOST=db\nELASTICSEARCH_HOST=search\n")
    code, out, err = pgsync("import", "--config", schema, "--env-file", environment)
    expect_shown_escaped(code, out + err, shown="evil\\e]0;owned\\a\\x9B2J\\u202etxet\\x7F")  # as YAML writes it
    (resource,) = [o for o in yaml.safe_load_all(out) if o["kind"] == "PgSync"]
    assert resource["spec"]["schema"][0]["nodes"]["table"] == NASTY, "what is read back is not what was written"
    code, out, err = pgsync(NASTY)
    expect_shown_escaped(code, out + err, 2)
