"""`pgsync compare`, and `kubectl pgsync compare`: one document of an index beside what its row gives now."""

import json

import pytest
from parts.worker import pgsync, write_manifest
from test_plugin import NAME, let_read_secrets, user  # noqa: F401, a fixture


@pytest.fixture
def filled(manifest, tmp_path):
    """filled(): the index has the rows of now, and no worker runs; the file of the PgSync."""

    def fill():
        file = write_manifest(tmp_path / "pgsync.yaml", manifest)
        code, _, err = pgsync("run", "-f", file, "--until-caught-up")
        assert code == 0, err
        return file

    return fill


def write(opensearch, index, id, document):
    """As another program would."""
    found, = opensearch.request("POST", f"{index}/_search", {"query": {"ids": {"values": [id]}}, "version": True})["hits"]["hits"]
    opensearch.request("PUT", f"{found['_index']}/_doc/{id}?version={found['_version'] + 1}&version_type=external",
                       json.loads(json.dumps(document, default=float)))


def test_a_document_is_equal_or_differs_or_is_missing(filled, books, opensearch, index):
    file = filled()
    code, out, err = pgsync("compare", "7", "-f", file)
    assert (code, err) == (0, "") and out.startswith("Equal: the index has what Postgres has now.\n"), out + err
    assert ["index:", index] in [line.split() for line in out.splitlines()]
    code, out, err = pgsync("compare", "7", "-f", file, "--index", index, "-o", "json")
    found = json.loads(out)
    assert (code, found["comparison"]["equal"], found["generation"]) == (0, True, f"{index}-g1")
    assert found["index"]["title"] == found["postgres"]["title"] == books.value("SELECT title FROM books WHERE id = 7")

    document = opensearch.document(index, "7")
    write(opensearch, index, "7", document | {"title": "by \033[31mhand"})
    code, out, err = pgsync("compare", "7", "-f", file)
    assert (code, err) == (1, "") and out.startswith("Different: ") and "\ntitle\n" in out and "\033" not in out, out
    assert books.value("SELECT title FROM books WHERE id = 7") in out and "by " in out
    code, out, _ = pgsync("compare", "7", "-f", file, "-o", "json")
    difference, = json.loads(out)["comparison"]["differences"]
    assert (code, difference["path"]) == (1, "title")

    books.sql("INSERT INTO books OVERRIDING SYSTEM VALUE (SELECT (jsonb_populate_record(b, '{\"id\": 4711, \"isbn\": \"9\"}')).* FROM books b WHERE id = 7)")
    code, out, _ = pgsync("compare", "4711", "-f", file)
    assert code == 1 and "the index has no such document" in out, out
    books.sql("DELETE FROM book_authors WHERE book_id = 8; DELETE FROM books WHERE id = 8")
    code, out, _ = pgsync("compare", "8", "-f", file)
    assert code == 1 and "Postgres has no such row any more" in out, out
    code, out, _ = pgsync("compare", "999999", "-f", file)
    assert code == 0 and "no such document, and no such row" in out, out


def test_what_cannot_be_compared_is_said(filled, manifest, books, fault_proxy, tmp_path):
    file = filled()
    code, out, err = pgsync("compare", "7", "-f", file, "--index", "other")
    assert (code, out) == (2, "") and 'no index "other"' in err
    code, out, err = pgsync("compare", "--log-level", "error", "-f", file, "--", "-x'; DROP TABLE books; --")
    assert (code, out) == (2, "") and "DROP" not in err, err
    manifest[1]["spec"]["sink"]["urls"] = [fault_proxy.url]
    fault_proxy.fail("reset")
    code, out, err = pgsync("compare", "7", "-f", write_manifest(tmp_path / "away.yaml", manifest))
    assert (code, out) == (3, "") and "search engine" in err, err
    fault_proxy.heal()
    books.sql(f"ALTER ROLE {books.role} NOLOGIN")
    code, out, err = pgsync("compare", "7", "-f", file)
    assert (code, out) == (3, "") and books.role_password not in err, err


def test_a_key_of_several_columns_and_several_indices(filled, manifest, books, index):
    books.sql("CREATE TABLE things (a text, b int, note text, PRIMARY KEY (a, b)); INSERT INTO things VALUES ('x|y', 1, 'one'), ('x', 2, repeat('n', 300))")
    books.own_tables()
    manifest[1]["spec"]["schema"].append({"database": books.name, "index": f"{index}-things", "nodes": {"table": "things", "columns": ["note"]}})
    file = filled()
    code, out, err = pgsync("compare", "7", "-f", file)
    assert (code, out) == (2, "") and "2 indices: add --index" in err
    for id in (r"x\|y|1", "x|2"):
        code, out, err = pgsync("compare", id, "-f", file, "--index", f"{index}-things", "-o", "json")
        assert code == 0 and json.loads(out)["index"]["note"] == json.loads(out)["postgres"]["note"], out + err
    books.sql("UPDATE things SET note = 'two' WHERE b = 2")
    code, out, _ = pgsync("compare", "x|2", "-f", file, "--index", f"{index}-things")
    assert code == 1 and "\nnote\n" in out and '"two"' in out, out
    assert pgsync("compare", "7", "-f", file, "--index", index)[0] == 0


def test_the_plugin_compares_with_the_rights_of_its_user(resources, filled, books, opensearch, index, user):  # noqa: F811
    filled()
    resources.apply_books(NAME, books, opensearch.url, index=index)
    code, out, err = user("compare", NAME, "7")
    assert (code, out) == (3, "") and "forbidden" in err and books.role_password not in err, err
    let_read_secrets(resources)
    code, out, err = user("compare", NAME, "7")
    assert (code, err) == (0, "") and out.startswith("Equal: "), out + err
    books.sql("UPDATE books SET title = 'changed' WHERE id = 7")
    code, out, err = user("compare", f"pgsync/{NAME}", "7", "--index", index, "-o", "json")
    assert code == 1 and json.loads(out)["comparison"]["differences"][0]["path"] == "title", out + err
    assert user("compare", NAME, "7", "--index", "other")[0] == 2
    assert user("compare", NAME, "--", "-7")[0] == 0
    code, _, err = user("compare", "none", "7")
    assert code == 3 and "not found" in err
    assert user.run("__complete", "pgsync", "compare", "-n", user.namespace, "b").stdout.splitlines()[0] == NAME
    assert user.run("__complete", "pgsync", "compare", "-n", user.namespace, NAME, "").stdout.splitlines()[0] == ":4"
