"""What pgsync's users have: schema.json, their environment, and the commands as they run them."""

import http.server
import json
import os
import re
import subprocess
import threading
import time
from pathlib import Path

import bookstore
import pytest
import yaml
from parts import peer
from parts.operator import BIN, TREE
from parts.process import Process
from parts.redis import Redis
from parts.search import eventually

QUICKSTART = "until bootstrap --config schema.json; do sleep 3; done; exec pgsync --config schema.json --daemon\n"


def schema_json(*databases, index="books"):
    """The sample's tree, as a schema.json has it."""
    nodes = bookstore.sample()["spec"]["schema"][0]["nodes"]
    return [{"database": d.name, "index": index, "nodes": nodes} for d in databases]


class Home:
    """A directory with a schema.json, and the environment of a user who runs pgsync in it."""

    def __init__(self, directory: Path, database, engine):
        self.directory, self.runs = directory, []
        directory.mkdir(parents=True)
        self.variables = {
            "PG_HOST": "127.0.0.1", "PG_PORT": str(database.server.port), "PG_USER": database.role,
            "PG_PASSWORD": database.role_password, "ELASTICSEARCH_HOST": "127.0.0.1",
            "ELASTICSEARCH_PORT": str(engine.port), "CHECKPOINT_PATH": "/tmp", "REDIS_HOST": "redis",
        }

    def write(self, name, content):
        path = self.directory / name
        path.write_text(content if isinstance(content, str) else json.dumps(content))
        return path

    def environment(self, **more):
        wanted = {"PATH": f"{BIN}:{os.environ['PATH']}", **self.variables, **more}
        return {key: value for key, value in wanted.items() if value is not None}

    def call(self, program, *arguments, timeout=60, input=None, **variables):
        """Runs a command to its end: (code, stdout, stderr). A variable of None is not set."""
        done = subprocess.run([str(BIN / program), *arguments], cwd=self.directory, env=self.environment(**variables),
                              capture_output=True, text=True, timeout=timeout, input=input)
        return done.returncode, done.stdout, done.stderr

    def start(self, *command, **variables):
        run = Process(command[0], command, self.directory / f"run-{len(self.runs)}.log", cwd=self.directory,
                      env=self.environment(**variables))
        self.runs.append(run)
        return run

    def stop(self):
        for run in self.runs:
            if run.alive:
                run.stop()


@pytest.fixture
def shop(database):
    """An empty database with a role that will own its tables."""
    database.create_role()
    return database


def load(database):
    bookstore.load(database)
    database.own_tables()


@pytest.fixture
def home(state, unique, shop, opensearch, index):
    made = Home(state / f"home-{unique}", shop, opensearch)
    made.write("schema.json", schema_json(shop, index=index))
    yield made
    made.stop()


def without_meta(documents):
    return {id: {k: v for k, v in d.items() if k != "_meta"} for id, d in documents.items()}


def holds_all(engine, index, database):
    """Whether the index contains what pgsync would write."""
    found = engine.documents(index) if engine.aliases(index) else {}
    wanted = bookstore.expected(database)
    return not bookstore.differences(without_meta(found), wanted)


def assert_equal(engine, index, database):
    found = engine.documents(index)
    assert not bookstore.differences(without_meta(found), bookstore.expected(database))
    # pgsync 7 finds the documents to change by it; for readers it is part of the document.
    authors = dict(database.sql("SELECT book_id::text, array_agg(author_id ORDER BY author_id) FROM book_authors GROUP BY 1"))
    for id, document in found.items():
        assert document["_meta"]["books"] == {"id": [id]}
        assert document["_meta"].get("authors", {"id": []})["id"] == authors.get(id, [])


# --- the quickstart


def test_quickstart_started_before_the_tables_exist(home, shop, opensearch, index):
    run = home.start("sh", "-c", QUICKSTART, OPENSEARCH="true", ELASTICSEARCH="false")
    eventually(lambda: "public.books" in run.tail(50), 20, lambda: f"bootstrap naming the missing table ({run.tail()})")
    assert run.alive
    assert shop.slots() == []
    load(shop)
    eventually(lambda: holds_all(opensearch, index, shop), 60, lambda: f"the documents ({run.tail(30)})", interval=0.2)
    assert_equal(opensearch, index, shop)
    shop.sql("UPDATE authors SET name = 'W. Gibson' WHERE id = 1; DELETE FROM books WHERE id = 2;"
             " INSERT INTO books (isbn, title, price, status) VALUES ('x', 'New', 1.10, 'draft')")
    eventually(lambda: holds_all(opensearch, index, shop), 30, "the changes in the index", interval=0.1)
    assert_equal(opensearch, index, shop)
    assert run.stop(timeout=10) == 0
    assert shop.role_password not in run.log.read_text()


def test_bootstrap_lists_everything_that_is_missing_and_changes_nothing(home, shop, opensearch, index):
    code, out, err = home.call("bootstrap", "--config", "schema.json")
    assert code == 1
    for table in ("books", "authors", "book_authors"):
        assert f"public.{table}" in err
    assert "schema.json[0].nodes" in err
    assert shop.slots() == shop.publications() == []
    assert opensearch.indices(f"{index}*") == []


def test_bootstrap_creates_what_pgsync_needs_only_once(home, shop, opensearch, index):
    load(shop)
    code, out, err = home.call("bootstrap", "--config", "schema.json")
    assert code == 0, err
    assert "ready" in out
    slots, publications, indices = shop.slots(), shop.publications(), opensearch.indices(f"{index}*")
    assert len(slots) == len(publications) == len(indices) == 1
    assert home.call("bootstrap", "--config", "schema.json")[0] == 0
    assert home.call("bootstrap", "-c", "schema.json", "-nc")[0] == 0
    assert home.call("pgsync", "bootstrap", "-c", "schema.json")[0] == 0
    assert (shop.slots(), shop.publications(), opensearch.indices(f"{index}*")) == (slots, publications, indices)
    # The run uses what bootstrap created: nothing is built twice.
    assert home.call("pgsync", "--config", "schema.json")[0] == 0
    assert opensearch.aliases(index) == indices
    assert_equal(opensearch, index, shop)


def test_bootstrap_beside_a_running_pgsync_leaves_it_alone(home, shop, opensearch, index):
    load(shop)
    run = home.start("pgsync", "--config", "schema.json", "-d")
    eventually(lambda: holds_all(opensearch, index, shop), 20, lambda: f"the documents ({run.tail()})", interval=0.1)
    walsenders = shop.walsenders()
    code, out, err = home.call("bootstrap", "--config", "schema.json")
    assert code == 0, err
    assert "streams from replication slot" in err
    assert shop.walsenders() == walsenders


def test_bootstrap_as_owner_lets_pgsync_run_as_a_read_only_role(home, shop, opensearch, index):
    """There are two commands so that each can have its own role."""
    bookstore.load(shop)
    shop.sql(f'GRANT SELECT ON ALL TABLES IN SCHEMA public TO "{shop.role}"')
    code, _, err = home.call("bootstrap", "--config", "schema.json")
    assert code == 1
    assert "cannot create the publication" in err or "owner" in err
    owner = {"PG_USER": "postgres", "PG_PASSWORD": shop.server.password}
    assert home.call("bootstrap", "--config", "schema.json", **owner)[0] == 0
    code, _, err = home.call("pgsync", "--config", "schema.json")
    assert code == 0, err
    assert_equal(opensearch, index, shop)


def test_teardown_removes_slot_and_publication_and_keeps_the_index(home, shop, opensearch, index):
    load(shop)
    assert home.call("pgsync", "--config", "schema.json")[0] == 0
    assert len(shop.slots()) == 1
    identities = shop.replica_identities()
    code, out, err = home.call("bootstrap", "--config", "schema.json", "--teardown")
    assert code == 0, err
    assert shop.slots() == shop.publications() == []
    assert shop.replica_identities() == identities
    assert_equal(opensearch, index, shop)
    # A second call changes nothing. The next start rebuilds the index behind the alias and deletes the old one.
    assert home.call("bootstrap", "-c", "schema.json", "-t")[0] == 0
    assert home.call("pgsync", "--config", "schema.json")[0] == 0
    assert opensearch.aliases(index) == [f"{index}-g2"]
    assert opensearch.indices(f"{index}-g*") == [f"{index}-g2"]


def test_abandoned_index_can_only_be_reclaimed_by_its_creator_which_moves_the_alias(home, shop, opensearch, index):
    load(shop)
    for name in "first", "second", "first":
        assert home.call("pgsync", "--config", "schema.json", "--name", name)[0] == 0
        assert home.call("bootstrap", "--config", "schema.json", "--teardown", "--name", name)[0] == 0
    # The last PgSync created the first index, but the alias did not point to it; the second, to which it did, is another's.
    assert opensearch.indices(f"{index}-g*") == [f"{index}-g1", f"{index}-g2", f"{index}-g3"]
    assert opensearch.aliases(index) == [f"{index}-g3"]


# --- pgsync


def test_pgsync_without_a_mode_exits_once_it_has_caught_up(home, shop, opensearch, index):
    load(shop)
    assert home.call("pgsync", "--config", "schema.json")[0] == 0
    assert_equal(opensearch, index, shop)
    shop.sql("UPDATE books SET price = 2 WHERE id = 1; DELETE FROM book_authors WHERE book_id = 3")
    assert home.call("pgsync", "--config", "schema.json")[0] == 0
    assert_equal(opensearch, index, shop)
    assert opensearch.aliases(index) == [f"{index}-g1"]


def test_pgsync_with_missing_tables_fails_and_names_them(home):
    code, _, err = home.call("pgsync", "--config", "schema.json", "--bootstrap")
    assert code == 1
    assert "schema.json[0].nodes" in err
    assert "public.books" in err


@pytest.mark.parametrize("how", ["-d", "--wal", "--polling", "WAL", "POLLING"])
def test_pgsync_follows_changes_in_each_of_its_modes(home, shop, opensearch, index, how):
    load(shop)
    flags, variables = ([how], {}) if how.startswith("-") else ([], {how: "True"})
    run = home.start("pgsync", "-c", "schema.json", *flags, **variables)
    eventually(lambda: holds_all(opensearch, index, shop), 20, lambda: f"the documents ({run.tail()})", interval=0.1)
    shop.sql("UPDATE books SET title = 'Newromancer' WHERE id = 1")
    eventually(lambda: holds_all(opensearch, index, shop), 30, "the change in the index", interval=0.05)
    assert run.stop(timeout=10) == 0


def test_options_override_variables(home, shop, opensearch, index):
    load(shop)
    wrong = {"PG_HOST": "nowhere.invalid", "PG_PORT": "1", "PG_USER": "nobody", "PG_SSLMODE": "verify-full"}
    code, _, err = home.call("pgsync", "--config", "schema.json", "-h", "127.0.0.1", "-p", home.variables["PG_PORT"], "-u",
                             shop.role, "--sslmode", "disable", "-n", "1", "-v", **wrong)
    assert code == 0, err
    assert_equal(opensearch, index, shop)


def test_password_is_prompted_for(home, shop, opensearch, index):
    """Without a terminal it is read from standard input."""
    load(shop)
    done = subprocess.run(["setsid", str(BIN / "pgsync"), "--config", "schema.json", "--password"], cwd=home.directory,
                          env=home.environment(PG_PASSWORD=None), input=shop.role_password + "\n", capture_output=True, text=True,
                          timeout=60)
    assert done.returncode == 0, done.stderr
    assert_equal(opensearch, index, shop)


def test_env_file_url_and_variables_in_the_schema(home, shop, opensearch, index):
    """All of it at once: the .env of a directory above, a URL, and $VAR in schema.json."""
    load(shop)
    home.write("schema.json", schema_json(shop, index="${INDEX}"))
    below = home.directory / "below"
    below.mkdir()
    home.write(".env", f"# pgsync\nexport PG_URL='postgresql://{shop.role}:{shop.role_password}@127.0.0.1:{shop.server.port}/x'\n"
                       f'ELASTICSEARCH_URL="{opensearch.url}"  # the node\nPREFIX={index}\nINDEX=${{PREFIX}}\n')
    done = subprocess.run([str(BIN / "pgsync"), "--config", "../schema.json"], cwd=below, env={"PATH": os.environ["PATH"]},
                          capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert_equal(opensearch, index, shop)
    assert shop.role_password not in done.stderr + done.stdout


def test_schema_by_url(home, shop, opensearch, index):
    load(shop)
    content = (home.directory / "schema.json").read_bytes()

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200 if self.path == "/a/schema.json?version=2" else 404)
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *ignored):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{server.server_port}/a/schema.json"
        code, _, err = home.call("pgsync", "--schema_url", url + "?version=2")
        assert code == 0, err
        code, _, err = home.call("bootstrap", SCHEMA_URL=url + "?secret=1")
        assert code == 2
        assert "SCHEMA_URL" in err and "404" in err and "secret" not in err
        server.shutdown()
    assert_equal(opensearch, index, shop)


def test_several_databases_are_followed_together(home, shop, postgres, opensearch, index):
    load(shop)
    other = postgres.create_database(f"{shop.name}_b")
    try:
        bookstore.load(other)
        documents = schema_json(shop, index=index) + schema_json(other, index=f"{index}-b")
        home.write("schema.json", documents)
        superuser = {"PG_USER": "postgres", "PG_PASSWORD": postgres.password}
        assert home.call("bootstrap", "--config", "schema.json", **superuser)[0] == 0
        run = home.start("pgsync", "--config", "schema.json", "--daemon", **superuser)
        for database, name in ((shop, index), (other, f"{index}-b")):
            eventually(lambda d=database, n=name: holds_all(opensearch, n, d), 20, lambda: f"the documents ({run.tail()})",
                       interval=0.1)
        other.sql("DELETE FROM books WHERE id < 5")
        eventually(lambda: holds_all(opensearch, f"{index}-b", other), 30, "the deletion in the index", interval=0.05)
        assert run.stop(timeout=10) == 0
        assert shop.walsenders() == other.walsenders() == []
        assert home.call("bootstrap", "-c", "schema.json", "-t", **superuser)[0] == 0
        assert shop.slots() == other.slots() == []
    finally:
        home.stop()
        other.drop()


def test_analyze_prints_statements_that_psql_accepts(home, shop):
    load(shop)
    shop.sql("DROP INDEX book_authors_author_id")
    code, out, err = home.call("pgsync", "--config", "schema.json", "--analyze")
    assert code == 0, err
    statements = re.findall(r"^CREATE INDEX CONCURRENTLY .*ON .*book_authors.*;$", out, re.MULTILINE)
    assert len(statements) == 1, out
    assert "schema.json[0].nodes.children[0]" in out
    assert shop.slots() == shop.publications() == []
    for statement in statements:
        shop.sql(statement)
    code, out, _ = home.call("pgsync", "--config", "schema.json", "-a")
    assert code == 0
    assert "CREATE INDEX" not in out


def test_an_index_that_pgsync_7_created_is_replaced_only_on_request(home, shop, opensearch, index):
    load(shop)
    opensearch.request("PUT", f"{index}/_doc/old?refresh=true", {"title": "of Python"})
    code, _, err = home.call("bootstrap", "--config", "schema.json")
    assert code == 1
    assert "--adopt-existing-index" in err
    assert list(opensearch.documents(index)) == ["old"]
    code, _, err = home.call("bootstrap", "--config", "schema.json", "--adopt-existing-index")
    assert code == 0, err
    assert list(opensearch.documents(index)) == ["old"], "the old index was replaced before the new one was complete"
    code, _, err = home.call("pgsync", "--config", "schema.json", "--adopt-existing-index")
    assert code == 0, err
    assert_equal(opensearch, index, shop)
    assert opensearch.aliases(index) == [f"{index}-g1"]


def test_version_and_help(home):
    code, out, _ = home.call("pgsync", "--version")
    assert code == 0 and re.fullmatch(r"pgsync \d+\.\d+\.\d+\n", out)
    for program, word in (("pgsync", "--daemon"), ("bootstrap", "--teardown")):
        code, out, _ = home.call(program, "--help")
        assert code == 0 and word in out


# --- invalid input


@pytest.mark.parametrize("arguments, words", [
    (["--config", "none.json"], ["--config", "none.json", "No such file"]),
    (["--config", "broken.json"], ["broken.json", "line 2", "not valid JSON"]),
    (["--config", "object.json"], ["object.json", "must be an array", "found an object"]),
    (["--config", "bare.json"], ["bare.json[0]", "`database` is required"]),
    (["--config", "wrong.json"], ["wrong.json[0].nodes.colums", "did you mean `columns`", "wrong.json[1].nodes.table",
                                  "wrong.json[1].plugins"]),
    (["--config", "schema.json", "--schema-url", "http://127.0.0.1/"], ["--config", "--schema-url", "use one"]),
    (["--config", "schema.json", "--daemon", "--wal"], ["--daemon", "--wal", "mutually exclusive"]),
    (["--config", "schema.json", "--daemon", "--analyze"], ["--analyze"]),
    (["--config", "schema.json", "--producer"], ["--producer", "one process"]),
    (["--config", "schema.json", "--consumer", "--deamon"], ["--consumer", "--deamon", "did you mean --daemon"]),
    (["--s3_schema_url", "s3://bucket/schema.json"], ["s3", "--config -"]),
    (["--config"], ["--config", "needs a value"]),
    (["--daemon"], ["no schema given", "--config", "SCHEMA"]),
    (["--config", "schema.json", "extra"], ["extra"]),
    (["--config", "schema.json", "--port", "many", "--sslmode", "maybe"], ["PG_PORT", "PG_SSLMODE", "maybe", "prefer"]),
    (["--config", "schema.json", "--env-file", "none.env"], ["--env-file", "none.env"]),
])
def test_invalid_input_is_refused_with_advice(home, shop, arguments, words):
    home.write("broken.json", '[{"database": "x",\n "index": }]')
    home.write("object.json", {"database": "x"})
    home.write("bare.json", [{"index": "x", "nodes": {"table": "x"}}])
    home.write("wrong.json", [{"database": "x", "index": "x", "nodes": {"table": "x", "colums": []}},
                              {"database": "y", "index": "y", "nodes": {}, "plugins": ["Hero"]}])
    code, out, err = home.call("pgsync", *arguments)
    assert code == 2, err
    for word in words:
        assert word in err
    assert out == ""
    assert shop.slots() == []


def test_all_invalid_variables_are_reported_at_once(home):
    code, _, err = home.call("bootstrap", "--config", "schema.json", PG_USER=None, PG_PORT="tcp://10.0.0.1:5432", WAL="1",
                             POLLING="1", ELASTICSEARCH_VERIFY_CERTS="perhaps", PG_PASSWROD="geheim")
    assert code == 2
    assert "S3_SCHEMA_URL" in home.call("pgsync", "-d", S3_SCHEMA_URL="s3://bucket/schema.json")[2]
    for word in ("PG_USER", "PG_PORT", "enableServiceLinks", "POLLING", "ELASTICSEARCH_VERIFY_CERTS"):
        assert word in err
    assert "geheim" not in err


def test_errors_in_variables_and_schema_are_reported_at_once(home, shop):
    home.write("wrong.json", [{"database": "x", "index": "X", "nodes": {"table": "x", "colums": []}},
                              {"index": "y", "nodes": {"table": 5}}, "z", {"database": 6, "index": "v", "nodes": {"tabel": "y"}}])
    for command in ("bootstrap", "pgsync", "import"):
        arguments = ["pgsync", "import"] if command == "import" else [command]
        code, out, err = home.call(*arguments, "--config", "wrong.json", PG_USER=None, PG_PORT="many")
        assert code == 2 and out == ""
        for words in ("PG_PORT: must be a number", "PG_USER: is required", 'wrong.json[0].index: index name "X" must be lower case',
                      "wrong.json[0].nodes.colums: unknown field; did you mean `columns`?", "wrong.json[1]: `database` is required",
                      "wrong.json[1].nodes.table: must be a string, found 5", "wrong.json[2]: must be an object",
                      "wrong.json[3].nodes.tabel: unknown field; did you mean `table`?"):
            assert words in err, (command, words, err)
        assert "error: spec." not in err, "a finding that only follows from another mistake"
    assert shop.slots() == []


@pytest.mark.parametrize("arguments", [["bootstrap", "--config"], ["pgsync", "--config"], ["pgsync", "--analyze", "--config"]])
def test_schema_errors_and_database_errors_are_reported_at_once(home, shop, index, arguments):
    load(shop)
    schema = schema_json(shop, index=index)
    schema[0]["nodes"].update(colums=[], columns=["titel"])
    schema[0]["nodes"]["children"].append({"table": "autors", "relationship": {"variant": "object", "type": "one_to_mony"}})
    home.write("wrong.json", schema)
    code, _, err = home.call(*arguments, "wrong.json")
    assert code == 2
    for words in ("wrong.json[0].nodes.colums: unknown field", "one_to_mony",
                  "wrong.json[0].nodes.columns[0]: column `titel` does not exist in public.books; did you mean `title`?",
                  "table public.autors does not exist; did you mean public.authors?"):
        assert words in err, (words, err)
    assert shop.slots() == [] and shop.publications() == []


def test_errors_in_one_database_do_not_hide_those_in_another(home, shop, index):
    load(shop)
    schema = schema_json(shop, index=index)
    schema[0]["nodes"]["columns"] = ["titel"]
    schema.append({"database": "postgres", "index": f"{index}-2", "nodes": {"table": "nowhere", "colums": []}})
    home.write("wrong.json", schema)
    code, _, err = home.call("bootstrap", "--config", "wrong.json", WAL="maybe")
    assert code == 2
    for words in ("wrong.json[0].nodes.columns[0]: column `titel` does not exist", "wrong.json[1].nodes.colums: unknown field",
                  "wrong.json[1].nodes.table: table public.nowhere does not exist", "WAL: must be true or false"):
        assert words in err, (words, err)
    assert shop.slots() == []


def test_teardown_works_with_an_invalid_schema(home, shop, index):
    load(shop)
    assert home.call("bootstrap", "--config", "schema.json")[0] == 0
    assert len(shop.slots()) == 1
    schema = schema_json(shop, index=index)
    schema[0]["nodes"]["colums"] = []
    home.write("wrong.json", schema)
    code, _, err = home.call("bootstrap", "--config", "wrong.json", "--teardown")
    assert code == 0, err
    assert shop.slots() == [] and shop.publications() == []


# --- import


def documents_of(text):
    return [d for d in yaml.safe_load_all(text) if d]


def test_import_prints_what_kubectl_accepts(home, shop, resources, operator, opensearch, index):
    load(shop)
    code, out, err = home.call("pgsync", "import", "--config", "schema.json")
    assert code == 0, err
    assert shop.role_password not in err
    secret, pgsync = documents_of(out)
    assert secret["stringData"] == {"password": shop.role_password}
    assert shop.role_password not in yaml.safe_dump(pgsync)
    assert pgsync["apiVersion"] == "pgsync.io/v1alpha1"
    assert pgsync["spec"]["documents"] == {"meta": "Pgsync", "idFormat": "Pgsync", "mapping": "Dynamic"}
    assert pgsync["spec"]["schema"] == schema_json(shop, index=index)
    for ignored in ("CHECKPOINT_PATH", "REDIS_HOST"):
        assert re.search(f"^#.*{ignored}: ignored: ", out, re.MULTILINE)
    resources.kubectl("apply", "--namespace", resources.namespace, "-f", "-", input=out)
    resources.wait(pgsync["metadata"]["name"])
    assert_equal(opensearch, index, shop)
    # Applying it again after an edit updates the resource; it does not recreate it.
    resources.kubectl("apply", "--namespace", resources.namespace, "-f", "-", input=out)


def test_import_takes_over_the_index_of_pgsync_7_without_a_gap(home, shop, resources, operator, opensearch, index):
    load(shop)
    opensearch.request("PUT", f"{index}/_doc/old?refresh=true", {"title": "of Python"})
    answers = []
    stop = threading.Event()

    def ask():
        while not stop.is_set():
            answer = opensearch.http.get(f"{opensearch.url}/{index}/_count", timeout=30)
            # A search in flight while its index is deleted finds no shard. Client libraries retry; so do we, once.
            if answer.status_code == 503:
                time.sleep(0.1)
                answer = opensearch.http.get(f"{opensearch.url}/{index}/_count", timeout=30)
            answers.append(answer.status_code)
            time.sleep(0.01)

    searching = threading.Thread(target=ask)
    searching.start()
    try:
        code, out, err = home.call("pgsync", "import", "--config", "schema.json", "--adopt-existing-index", "--name", "taken")
        assert code == 0, err
        resources.kubectl("apply", "--namespace", resources.namespace, "-f", "-", input=out)
        resources.wait("taken")
    finally:
        stop.set()
        searching.join()
    assert_equal(opensearch, index, shop)
    assert opensearch.aliases(index) == [f"{index}-g1"]
    assert set(answers) == {200}


def test_from_the_commands_to_the_operator(home, shop, resources, operator, opensearch, index):
    load(shop)
    assert home.call("pgsync", "--config", "schema.json")[0] == 0
    assert home.call("bootstrap", "--config", "schema.json", "--teardown")[0] == 0
    _, out, _ = home.call("pgsync", "import", "--config", "schema.json", "--name", "books")
    resources.kubectl("apply", "--namespace", resources.namespace, "-f", "-", input=out)
    resources.wait("books")
    assert_equal(opensearch, index, shop)
    assert opensearch.aliases(index) == [f"{index}-g2"]


def test_import_of_several_databases_creates_one_pgsync_for_each(home, shop, index):
    home.write("schema.json", [{"database": "a", "index": f"{index}-a", "nodes": {"table": "x"}},
                               {"database": "b", "index": f"{index}-b", "nodes": {"table": "x"}},
                               {"database": "a", "index": f"{index}-c", "nodes": {"table": "y"}}])
    code, out, _ = home.call("pgsync", "import", "--config", "schema.json", "--namespace", "web")
    assert code == 0
    made = [d for d in documents_of(out) if d["kind"] == "PgSync"]
    assert [[d["index"] for d in p["spec"]["schema"]] for p in made] == [[f"{index}-a", f"{index}-c"], [f"{index}-b"]]
    assert [p["spec"]["source"]["database"] for p in made] == ["a", "b"]
    assert {d["metadata"]["namespace"] for d in documents_of(out)} == {"web"}
    code, out, err = home.call("pgsync", "import", "--config", "schema.json", "--name", "x")
    assert (code, out) == (2, "")
    assert "--name" in err


def test_redis_keeps_the_checkpoint_only_if_asked_to(home, shop, state, unique, resources, operator, opensearch, index):
    load(shop)
    with Redis(state / f"redis-{unique}") as redis:
        server = {"REDIS_HOST": "127.0.0.1", "REDIS_PORT": str(redis.port), "REDIS_DB": "0", "REDIS_AUTH": redis.password}
        code, _, err = home.call("pgsync", "--config", "schema.json", **server)
        assert code == 0 and "REDIS_AUTH: ignored" in err, err
        assert redis.command("KEYS", "*") == []
        url = f"redis://:{redis.password}@127.0.0.1:{redis.port}"
        for variables in ({**server, "REDIS_CHECKPOINT": "true"}, {"REDIS_URL": url, "REDIS_CHECKPOINT": "1", "REDIS_HOST": None}):
            shop.sql("UPDATE books SET price = price + 1")
            code, _, err = home.call("pgsync", "--config", "schema.json", **variables)
            assert code == 0 and not re.search("REDIS_\\w+: ", err), err
            assert len(redis.command("KEYS", "pgsync:*")) == 1
            assert_equal(opensearch, index, shop)
            assert opensearch.aliases(index) == [f"{index}-g1"], "moving the checkpoint has rebuilt the index"
        code, out, err = home.call("pgsync", "import", "--config", "schema.json", "--name", "books", **variables)
        assert code == 0, err
        assert home.call("bootstrap", "--config", "schema.json", "--teardown", **variables)[0] == 0
        assert redis.command("KEYS", "*") == []
        resources.kubectl("apply", "--namespace", resources.namespace, "-f", "-", input=out)
        resources.wait("books")
        assert len(redis.command("KEYS", "pgsync:*")) == 1
        assert redis.password not in json.dumps(resources.get("books"))
        resources.delete("books")
        assert redis.command("KEYS", "*") == []


def test_import_reads_an_env_file(home, index):
    home.write("prod.env", "PG_HOST=db.example.com\nPG_USER='sync'\nPG_PASSWORD=\"p#1\"\nELASTICSEARCH_URL=https://u:p%40@es.example.com\n"
                           "REDIS_AUTH=geheim\nPG_PASSWROD=geheim\nnonsense line\n")
    done = subprocess.run([str(BIN / "pgsync"), "import", "--config", "schema.json", "--env-file", "prod.env"], cwd=home.directory,
                          env={}, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    found = documents_of(done.stdout)
    secrets = {s["metadata"]["name"]: s["stringData"] for s in found if s["kind"] == "Secret"}
    (pgsync,) = [d for d in found if d["kind"] == "PgSync"]
    spec = pgsync["spec"]
    assert spec["source"]["host"] == "db.example.com"
    assert secrets[spec["source"]["passwordSecretRef"]["name"]] == {"password": "p#1"}
    assert spec["sink"]["urls"] == ["https://es.example.com"]
    assert secrets[spec["sink"]["authentication"]["secretRef"]["name"]] == {"username": "u", "password": "p@"}
    assert "did you mean PG_PASSWORD" in done.stdout
    assert "line 7" in done.stdout
    assert "geheim" not in done.stdout + done.stderr


# --- next to the real pgsync


@pytest.fixture
def pgsync_of_python(home, shop, opensearch, unique, state):
    """pgsync 7.3.0, bootstrapped and following changes with its triggers; what it needs beyond the home's variables."""
    load(shop)
    with Redis(state / f"redis-{unique}") as redis:
        theirs = {"PG_USER": "postgres", "PG_PASSWORD": shop.server.password, "OPENSEARCH": "true", "ELASTICSEARCH": "false",
                  "ELASTICSEARCH_TIMEOUT": "60", "REDIS_HOST": "127.0.0.1", "REDIS_PORT": str(redis.port),
                  "REDIS_AUTH": redis.password, "CHECKPOINT_PATH": str(home.directory)}
        programs = peer.fetch() / "bin"
        subprocess.run([programs / "python", programs / "bootstrap", "--config", "schema.json"], cwd=home.directory,
                       env=home.environment(**theirs), check=True, capture_output=True, timeout=120)
        run = home.start(programs / "python", programs / "pgsync", "--config", "schema.json", "--daemon", **theirs)
        eventually(lambda: opensearch.indices(index_of(home)) and opensearch.count(index_of(home)) == 25, 60,
                   lambda: f"pgsync's documents ({run.tail()})", interval=0.2)
        yield run
        if run.alive:
            run.kill9()


def index_of(home):
    return json.loads((home.directory / "schema.json").read_text())[0]["index"]


def test_switching_a_live_index_over_as_documented(home, shop, pgsync_of_python, resources, operator, opensearch, index):
    page = (TREE / "docs/from-pgsync.md").read_text()
    code, _, err = home.call("pgsync", "--config", "schema.json", "--analyze")
    assert code == 0, err
    code, out, err = home.call("pgsync", "import", "--config", "schema.json", "--adopt-existing-index", "--name", "books")
    assert code == 0, err
    resources.kubectl("apply", "--namespace", resources.namespace, "-f", "-", input=out)
    resources.wait("books")
    pgsync_of_python.stop()
    # It was stopped too late to be certain, so the index is rebuilt next to the old one.
    resources.patch("books", {"resyncNonce": 1})
    eventually(lambda: opensearch.aliases(index) == [f"{index}-g2"], 30, "the second build")
    statements = re.findall(r"^ +((?:SELECT pg_drop|DROP ).*;)", page, re.MULTILINE)
    assert len(statements) == 3
    for statement in statements:
        # How it names a slot: the letters, digits and _ of DATABASE_INDEX.
        shop.sql(statement.replace("bookstore_books", re.sub(r"\W", "", f"{shop.name}_{index}")))
    assert len(shop.slots()) == 1
    assert shop.sql("SELECT tgname FROM pg_trigger WHERE NOT tgisinternal") == []
    assert shop.sql("SELECT relname FROM pg_class WHERE relname = '_view' UNION SELECT proname FROM pg_proc"
                    " WHERE pronamespace = 'public'::regnamespace") == []
    shop.sql("UPDATE books SET title = 'Newromancer' WHERE id = 1")
    eventually(lambda: holds_all(opensearch, index, shop), 30, "the change in the index", interval=0.1)
    assert_equal(opensearch, index, shop)


# --- the documentation


def test_every_variable_of_pgsync_7_is_known(home):
    (settings,) = peer.fetch().glob("lib/python*/site-packages/pgsync/settings.py")
    theirs = set(re.findall(r'env\.\w+\(\s*"(\w+)"', settings.read_text()))
    _, table, _ = home.call("pgsync", "import", "--variables")
    assert len(theirs) > 100
    assert set(re.findall(r"`([A-Z][A-Z0-9_]+)`", table)) == theirs


def test_documentation_has_the_table_of_variables(home):
    page = (TREE / "docs/from-pgsync.md").read_text()
    code, table, _ = home.call("pgsync", "import", "--variables")
    assert code == 0
    assert table in page, "docs/from-pgsync.md is out of date: put what `pgsync import --variables` prints between the marks"
