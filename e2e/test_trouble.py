"""Invalid input and failures: a condition explains what to do, nothing is lost, and recovery is automatic."""

import json
import os
import shutil
import signal
import subprocess
import time
from urllib.parse import quote

import bookstore
import pytest
from parts.kubernetes import Kubectl
from parts.ports import free_port
from parts.search import eventually
from pgsync import condition, describe
from psycopg import sql as S

NAME = "books"
OLD_POSTGRES = "13.22"


@pytest.fixture
def apply(operator, resources, books, opensearch, index):
    """apply(spec={...}): the sample's PgSync for this test's database and index."""

    def run(urls=None, database=books, name=NAME, index=index, **options):
        return resources.apply_books(name, database, urls or opensearch.url, index=index, **options)

    return run


def assert_equal(opensearch, index, database, timeout=30):
    wanted = bookstore.expected(database)
    eventually(lambda: not bookstore.differences(opensearch.documents(index), wanted), timeout,
               lambda: f"equality ({bookstore.differences(opensearch.documents(index), wanted)})", interval=0.2)


def ready_and_equal(resources, opensearch, index, database, timeout=30):
    """How every failure ends: Ready again by itself, and no document lost."""
    resources.wait(NAME, timeout=timeout)
    assert_equal(opensearch, index, database)


# --- on request


def test_a_raised_nonce_restarts_the_worker_or_rebuilds_the_index(apply, resources, books, opensearch, index):
    apply()
    resources.wait(NAME)
    (first,) = books.walsenders()
    resources.patch(NAME, {"restartNonce": 1})
    eventually(lambda: books.walsenders() not in ([first], []), 30, "another worker")
    resources.wait(NAME, generation=True)
    assert opensearch.aliases(index) == [f"{index}-g1"], "a restart copies nothing again"
    opensearch.request("DELETE", f"/{index}/_doc/1?refresh=true")  # only a rebuild brings it back
    resources.patch(NAME, {"resyncNonce": 1})
    eventually(lambda: opensearch.aliases(index) == [f"{index}-g2"], 30, "the move of the alias", interval=0.1)
    ready_and_equal(resources, opensearch, index, books)


# --- Secrets


def test_missing_secret_is_named_and_found_once_created(operator, resources, books, opensearch, index):
    resources.apply(bookstore.resource(NAME, books, opensearch.url, index=index, secret="absent"))
    resources.wait(NAME, "Ready", "False", reason="CredentialsNotFound", contains=["absent"])
    resources.apply(bookstore.secret("absent", password=books.role_password))
    ready_and_equal(resources, opensearch, index, books)


def test_missing_key_of_a_secret_is_named_without_the_existing_keys(operator, resources, books, opensearch, index):
    resources.apply(bookstore.secret("keys", passwort=books.role_password))
    resources.apply(bookstore.resource(NAME, books, opensearch.url, index=index, secret="keys"))
    found = resources.wait(NAME, "Ready", "False", reason="CredentialsNotFound", contains=["keys", "password"])
    assert "passwort" not in found["message"] and books.role_password not in found["message"]
    resources.apply(bookstore.secret("keys", password=books.role_password))
    ready_and_equal(resources, opensearch, index, books)


def test_token_of_a_service_account_is_refused(kube, namespace, resources, operator, books, opensearch, index):
    kube.kubectl.apply({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "victim"}}, {
        "apiVersion": "v1", "kind": "Secret", "type": "kubernetes.io/service-account-token", "stringData": {"token": "precious"},
        "metadata": {"name": "victim-token", "annotations": {"kubernetes.io/service-account.name": "victim"}}}, namespace=namespace)
    resources.apply(bookstore.resource(NAME, books, opensearch.url, index=index, secret="victim-token", spec={
        "source.passwordSecretRef.key": "token"}))
    resources.wait(NAME, "Ready", "False", reason="CredentialsNotFound", contains=["victim-token", "service-account-token"])
    assert resources.get(NAME)["metadata"].get("finalizers") is None, "no worker had a reason to start"


def test_wrong_password_is_reported_and_can_be_corrected(apply, resources, books, opensearch, index):
    apply(password="wrong-one")
    found = resources.wait(NAME, "SourceReachable", "False", reason="AuthFailed", contains=[books.role, f'Secret "{NAME}-postgres"'])
    resources.wait(NAME, "Ready", "False", reason="AuthFailed")
    assert "wrong-one" not in found["message"]
    assert condition(resources.get(NAME), "Ready")["status"] == "False"
    resources.apply(bookstore.secret(f"{NAME}-postgres", password=books.role_password))
    ready_and_equal(resources, opensearch, index, books)


def test_resource_that_never_connected_is_deleted_at_once(apply, resources):
    apply(password="wrong-one")
    resources.wait(NAME, "SourceReachable", "False", reason="AuthFailed")
    resources.delete(NAME, timeout=20)


def test_resource_that_cannot_clean_up_says_how_to_delete_it_anyway(apply, resources, books, opensearch, index):
    apply()
    resources.wait(NAME)
    (slot,) = books.slots()
    resources.patch(NAME, {"sink": {"urls": [f"http://127.0.0.1:{free_port()}"]}})
    resources.wait(NAME, "SinkReachable", "False", reason="Refused")
    resources.wait(NAME, "SlotHealthy", reason="Reserved")  # the slot is checked while the other side is unreachable
    resources.kubectl("delete", "pgsync", NAME, "--namespace", resources.namespace, "--wait=false")
    resources.wait(NAME, "Ready", "False", contains=["cannot clean up", "pgsync.io/force-delete=true"])
    assert resources.exists(NAME)
    resources.kubectl("annotate", "pgsync", NAME, "--namespace", resources.namespace, "pgsync.io/force-delete=true")
    eventually(lambda: not resources.exists(NAME), 10, "the end of the resource")
    assert slot not in books.slots(), "what could be reached was cleaned up"
    assert opensearch.aliases(index) == [f"{index}-g1"]


def test_rotated_password_is_taken_up_without_a_new_bootstrap(apply, resources, books, opensearch, index):
    apply()
    resources.wait(NAME)
    books.sql(S.SQL("ALTER ROLE {} PASSWORD 'rotated-one'").format(S.Identifier(books.role)))
    resources.apply(bookstore.secret(f"{NAME}-postgres", password="rotated-one"))
    books.sql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = %s", books.role)
    books.sql("UPDATE books SET price = 3.21 WHERE id = 1")
    assert_equal(opensearch, index, books, timeout=20)
    resources.wait(NAME)
    assert opensearch.aliases(index) == [f"{index}-g1"]


# --- Postgres


def _bookstore_on(server, unique):
    database = server.create_database(unique)
    bookstore.load(database)
    database.create_role()
    return database


def test_postgres_down_at_start_is_waited_for(apply, own_postgres, resources, opensearch, index, unique):
    server = own_postgres()
    database = _bookstore_on(server, unique)
    server.stop()
    apply(database=database)
    resources.wait(NAME, "SourceReachable", "False", reason="Refused", contains=[str(server.port)])
    resources.wait(NAME, "Ready", "False", reason="SourceUnreachable")
    # No condition reports a state that is over.
    resources.wait(NAME, "Reconciling", reason="SourceUnreachable", contains=["refused"])
    for unknown in ("BootstrapComplete", "SlotHealthy"):
        resources.wait(NAME, unknown, "Unknown", reason="NotChecked", contains=["refused"])
    server.start()
    ready_and_equal(resources, opensearch, index, database)


def test_restart_of_postgres_loses_nothing(apply, own_postgres, resources, opensearch, index, unique):
    server = own_postgres()
    database = _bookstore_on(server, unique)
    apply(database=database)
    resources.wait(NAME)
    server.stop("fast")
    resources.wait(NAME, "SourceReachable", "False", reason={"SourceUnreachable", "Refused"}, contains=[f"127.0.0.1:{server.port}"])
    resources.wait(NAME, "Ready", "False", reason="SourceUnreachable")
    assert resources.get(NAME)["status"]["phase"] == "Pending"
    server.start()
    database.sql("UPDATE books SET title = 'after the restart' WHERE id = 2; DELETE FROM books WHERE id = 3")
    ready_and_equal(resources, opensearch, index, database)
    assert opensearch.aliases(index) == [f"{index}-g1"]


def test_postgres_killed_again_and_again_during_writes_loses_nothing(apply, own_postgres, resources, opensearch, index, unique):
    server = own_postgres()
    database = _bookstore_on(server, unique)
    apply(database=database)
    resources.wait(NAME)
    for round in range(3):
        for i in range(100):
            database.sql("UPDATE books SET price = %s WHERE id = 1 + %s %% 25", round + i / 1000, i)
        database.sql("DELETE FROM books WHERE id = %s", 20 + round)
        server.kill9()
        resources.wait(NAME, "Ready", "False", reason="SourceUnreachable", contains=[f"127.0.0.1:{server.port}"])
        server.start()
    database.sql("UPDATE authors SET name = 'the end' WHERE id = 1")
    ready_and_equal(resources, opensearch, index, database)
    assert opensearch.aliases(index) == [f"{index}-g1"]


def test_frozen_postgres_is_noticed(apply, own_postgres, resources, opensearch, index, unique):
    server = own_postgres()
    database = _bookstore_on(server, unique)
    apply(database=database)
    resources.wait(NAME)
    server.pause()
    try:
        resources.wait(NAME, "Ready", "False", reason="SourceUnreachable", timeout=45)
    finally:
        server.resume()
    database.sql("UPDATE books SET title = 'after the thaw' WHERE id = 2")
    ready_and_equal(resources, opensearch, index, database)


def test_postgres_13_is_refused_and_replaced_by_a_newer_one(apply, own_postgres, resources, opensearch, index, unique):
    old = own_postgres(version=OLD_POSTGRES)
    apply(database=_bookstore_on(old, unique))
    resources.wait(NAME, "SourceReachable", "False", reason="VersionUnsupported", contains=["version 14 or later is needed"])
    resources.wait(NAME, "Stalled", reason="VersionUnsupported")
    new = own_postgres()
    database = _bookstore_on(new, unique)
    apply(database=database)
    ready_and_equal(resources, opensearch, index, database)


def test_wal_level_replica_is_refused_with_the_setting_to_change(apply, own_postgres, resources, opensearch, index, unique):
    server = own_postgres(wal_level="replica")
    database = _bookstore_on(server, unique)
    apply(database=database)
    resources.wait(NAME, "Stalled", "True", reason="WalLevelNotLogical", contains=["wal_level", "replica", "logical"])
    assert condition(resources.get(NAME), "Ready")["status"] == "False"
    server.set(wal_level="logical")
    server.stop()
    server.start()
    ready_and_equal(resources, opensearch, index, database)


def test_missing_replication_privilege_is_refused_with_the_statement_to_run(apply, resources, books, opensearch, index):
    books.sql(S.SQL("ALTER ROLE {} NOREPLICATION").format(S.Identifier(books.role)))
    apply()
    resources.wait(NAME, "Stalled", "True", reason="PrivilegeMissing", contains=["REPLICATION", books.role])
    books.sql(S.SQL("ALTER ROLE {} REPLICATION").format(S.Identifier(books.role)))
    ready_and_equal(resources, opensearch, index, books)


def test_missing_select_privilege_is_refused_with_the_table(apply, resources, books, opensearch, index):
    books.sql(S.SQL("ALTER TABLE authors OWNER TO postgres; REVOKE ALL ON authors FROM {}").format(S.Identifier(books.role)))
    apply()
    resources.wait(NAME, "Stalled", "True", reason="PrivilegeMissing", contains=["authors"])
    books.sql(S.SQL("ALTER TABLE authors OWNER TO {}").format(S.Identifier(books.role)))
    ready_and_equal(resources, opensearch, index, books)


def test_no_free_replication_slot_is_reported(apply, own_postgres, resources, opensearch, index, unique):
    server = own_postgres(conf={"max_replication_slots": 1})
    database = _bookstore_on(server, unique)
    server.sql("SELECT pg_create_physical_replication_slot('taken')")
    apply(database=database)
    resources.wait(NAME, "Ready", "False", reason="NoFreeSlot", contains=["max_replication_slots"])
    server.sql("SELECT pg_drop_replication_slot('taken')")
    ready_and_equal(resources, opensearch, index, database)


# --- tables and schema


def test_missing_tables_are_waited_for(operator, resources, database, opensearch, index):
    database.create_role()
    resources.apply_books(NAME, database, opensearch.url, index=index)
    resources.wait(NAME, "SchemaAccepted", "False", reason="UnknownTable", contains=["books", "authors", "book_authors"])
    bookstore.load(database)
    database.own_tables()
    ready_and_equal(resources, opensearch, index, database)


def test_missing_column_is_named_with_the_nearest_one(apply, resources, books, opensearch, index):
    books.sql("ALTER TABLE books RENAME COLUMN price TO prize")
    apply()
    resources.wait(NAME, "SchemaAccepted", "False", reason="UnknownColumn", contains=["price", "prize", "books"])
    books.sql("ALTER TABLE books RENAME COLUMN prize TO price")
    ready_and_equal(resources, opensearch, index, books)


def test_column_dropped_while_streaming_is_reported_and_recovers(apply, resources, books, opensearch, index):
    apply()
    resources.wait(NAME)
    books.sql("ALTER TABLE books RENAME COLUMN status TO state")
    books.sql("UPDATE books SET state = 'withdrawn' WHERE id = 4")
    resources.wait(NAME, "SchemaAccepted", "False", reason="UnknownColumn", contains=["status"])
    books.sql("ALTER TABLE books RENAME COLUMN state TO status")
    books.sql("UPDATE books SET status = 'withdrawn' WHERE id = 5")
    ready_and_equal(resources, opensearch, index, books)


def test_table_without_primary_key_is_refused(apply, resources, books, opensearch, index):
    books.sql("ALTER TABLE book_authors DROP CONSTRAINT book_authors_book_id_fkey; ALTER TABLE books DROP CONSTRAINT books_pkey;"
              "ALTER TABLE book_authors ADD CONSTRAINT x CHECK (book_id > 0)")
    apply()
    resources.wait(NAME, "SchemaAccepted", "False", reason={"NoPrimaryKey", "NoForeignKey"}, contains=["books"])
    books.sql("ALTER TABLE books ADD PRIMARY KEY (id); ALTER TABLE book_authors ADD FOREIGN KEY (book_id) REFERENCES books"
              " ON DELETE CASCADE")
    ready_and_equal(resources, opensearch, index, books)


def test_missing_foreign_key_is_refused_with_both_tables(apply, resources, books, opensearch, index):
    books.sql("ALTER TABLE book_authors DROP CONSTRAINT book_authors_author_id_fkey")
    apply()
    resources.wait(NAME, "SchemaAccepted", "False", reason="NoForeignKey", contains=["book_authors", "authors"])
    books.sql("ALTER TABLE book_authors ADD FOREIGN KEY (author_id) REFERENCES authors ON DELETE CASCADE")
    ready_and_equal(resources, opensearch, index, books)


def test_unknown_key_in_schema_is_named_with_its_path(apply, resources, books, opensearch, index):
    made = apply(spec={"schema.0.nodes.children.0.colums": ["name"]})
    resources.wait(NAME, "SchemaAccepted", "False", reason="InvalidSchema", contains=["colums", "schema[0].nodes.children[0]"])
    resources.wait(NAME, "Stalled", "True", reason="InvalidSchema")
    assert books.slots() == []
    del made["spec"]["schema"][0]["nodes"]["children"][0]["colums"]
    resources.apply(made)
    ready_and_equal(resources, opensearch, index, books)


def test_schema_errors_and_database_errors_are_in_one_condition(apply, resources, books, opensearch, index):
    """...and by a worker that changes nothing: no finalizer, no slot."""
    good = bookstore.resource(NAME, books, opensearch.url, index=index)["spec"]["schema"]
    made = apply(spec={"schema.0.nodes.children.0.colums": ["name"], "schema.0.nodes.columns": ["titel", "doc->"], "schema.0.nodes.where": "prize > 0",
                       "schema.0.nodes.children.0.relationship.through_tables": ["book_autors"], "onError": {"policy": "DeadLetter"}})
    told = ["spec.schema[0].nodes.children[0].colums: unknown field; did you mean `columns`?",
            "spec.schema[0].nodes.columns[1]: a JSON path needs a key after",
            "spec.schema[0].nodes.columns[0]: column `titel` does not exist in public.books; did you mean `title`?",
            "spec.schema[0].nodes.where: `prize > 0`",
            "spec.schema[0].nodes.children[0].relationship.through_tables[0]: table public.book_autors does not exist; "
            "did you mean public.book_authors?"]
    resources.wait(NAME, "SchemaAccepted", "False", reason="InvalidSchema", contains=told)
    resources.wait(NAME, "Stalled", "True", reason="InvalidSchema")
    resources.wait(NAME, "Ready", "False", reason="InvalidSchema")
    resources.wait(NAME, "SourceReachable", "True")
    found = resources.get(NAME)
    assert found["status"]["phase"] == "Failed"
    assert not found["metadata"].get("finalizers")
    assert books.slots() == [] and books.publications() == []
    # A problem that is fixed in the database leaves the condition without an edit of the resource.
    books.sql("ALTER TABLE books ADD COLUMN titel text")
    eventually(lambda: "titel" not in condition(resources.get(NAME), "SchemaAccepted")["message"], 30, "the condition no longer names the fixed column")
    assert "through_tables" in condition(resources.get(NAME), "SchemaAccepted")["message"]
    made["spec"]["schema"] = good
    resources.apply(made)
    ready_and_equal(resources, opensearch, index, books)
    resources.patch(NAME, {"schema": [{"index": index, "nodes": {"table": "books", "colums": []}}]})
    resources.wait(NAME, "SchemaAccepted", "False", reason="InvalidSchema", contains=["colums"])
    books.sql("UPDATE books SET title = 'continued' WHERE id = 1")
    eventually(lambda: opensearch.document(index, "1")["title"] == "continued", 30, "a bad edit does not stop the stream")
    resources.delete(NAME)
    assert books.slots() == [] and books.publications() == [], "a bad edit does not keep it from being cleaned up"


def test_errors_in_schema_and_source_are_both_reported(apply, resources, books):
    apply(spec={"schema.0.nodes.colums": ["name"], "source.port": 1})
    resources.wait(NAME, "SourceReachable", "False")
    resources.wait(NAME, "SchemaAccepted", "False", reason="InvalidSchema", contains=["colums"])
    resources.wait(NAME, "Ready", "False", reason="InvalidSchema", contains=["colums"])
    resources.delete(NAME)
    assert not resources.exists(NAME)


def test_missing_secret_and_invalid_schema_are_both_reported(operator, resources, books, opensearch, index):
    made = bookstore.resource(NAME, books, opensearch.url, index=index)
    made["spec"]["schema"][0]["nodes"]["colums"] = ["title"]
    made["spec"]["source"]["passwordSecretRef"] = {"name": "gone"}
    resources.apply(made)
    resources.wait(NAME, "SchemaAccepted", "False", contains=["colums", 'Secret "gone" not found'])


def test_forty_wrong_columns_are_all_in_the_condition(apply, resources, books, opensearch, index):
    made = apply(spec={"schema.0.nodes.columns": ["title"] + [f"isbn{n}" for n in range(40)]})
    resources.wait(NAME, "SchemaAccepted", "False", reason="UnknownColumn",
                   contains=[f"spec.schema[0].nodes.columns[{n + 1}]: column `isbn{n}` does not exist in public.books" for n in range(40)]
                   + ["did you mean `isbn`?"])
    resources.wait(NAME, "Ready", "False", reason="UnknownColumn", contains=["column `isbn0` does not exist", "more"])
    made["spec"]["schema"][0]["nodes"]["columns"] = ["title", "isbn", "price", "status", "published_at"]
    resources.apply(made)
    ready_and_equal(resources, opensearch, index, books)


def _schema_in_config_map(resources, made, text):
    resources.apply({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "schema"}, "data": {"schema.json": text}})
    del made["spec"]["schema"]
    made["spec"]["schemaConfigMapRef"] = {"name": "schema", "key": "schema.json"}
    return made


def test_unknown_key_in_a_config_map_is_named_with_its_path(operator, resources, books, opensearch, index):
    resources.apply(bookstore.secret("bookstore-postgres", password=books.role_password))
    made = bookstore.resource(NAME, books, opensearch.url, index=index)
    schema = made["spec"]["schema"]
    wrong = json.loads(json.dumps(schema))
    wrong[0]["nodes"]["colums"] = wrong[0]["nodes"].pop("columns")
    resources.apply(_schema_in_config_map(resources, made, json.dumps(wrong)))
    resources.wait(NAME, "SchemaAccepted", "False", reason="InvalidSchema", contains=["colums", "nodes"])
    resources.wait(NAME, "Stalled", "True", reason="InvalidSchema")
    _schema_in_config_map(resources, {"spec": {"schema": None}}, json.dumps(schema))
    ready_and_equal(resources, opensearch, index, books)


def test_index_name_with_capitals_is_refused_by_the_api_server(operator, resources, books, opensearch):
    made = bookstore.resource(NAME, books, opensearch.url, index="Books")
    with pytest.raises(RuntimeError, match="index"):
        resources.apply(made)


def test_index_name_with_capitals_in_a_config_map_is_reported(operator, resources, books, opensearch, index):
    resources.apply(bookstore.secret("bookstore-postgres", password=books.role_password))
    made = bookstore.resource(NAME, books, opensearch.url, index="Books")
    resources.apply(_schema_in_config_map(resources, made, json.dumps(made["spec"]["schema"])))
    resources.wait(NAME, "SchemaAccepted", "False", reason="InvalidSchema", contains=["Books", "index"])
    assert books.slots() == []


def test_unimplemented_feature_is_refused_until_it_is_removed(apply, resources, books, opensearch, index):
    apply(spec={"worker": {"placement": "Pod"}})
    resources.wait(NAME, "Stalled", "True", reason="NotSupported", contains=["Pod"])
    assert books.slots() == []
    resources.patch(NAME, {"worker": None})
    ready_and_equal(resources, opensearch, index, books)


# --- the search engine


def test_existing_index_of_the_alias_name_is_refused_unless_adopted(apply, resources, books, opensearch, index):
    opensearch.request("PUT", f"{index}/_doc/precious", {"title": "not ours"})
    apply()
    resources.wait(NAME, "Ready", "False", reason="IndexInUse", contains=[index, "adoptExistingIndex"])
    assert opensearch.document(index, "precious") == {"title": "not ours"}
    resources.patch(NAME, {"sink": {"adoptExistingIndex": True}})
    resources.wait(NAME)
    assert_equal(opensearch, index, books)


def test_index_name_with_special_characters_is_filled_and_can_be_deleted(apply, resources, books, opensearch, index):
    name = f"{index}-50%é+&="
    apply(index=name, spec={"deletionPolicy": {"index": "Delete"}})
    resources.wait(NAME)
    count = opensearch.request("GET", f"{quote(name)}/_count")["count"]
    assert count == len(bookstore.expected(books))
    resources.patch(NAME, {"resyncNonce": 1})
    eventually(lambda: opensearch.indices(f"{quote(name)}-g*") == [f"{name}-g2"], 30, "the next generation, alone")
    resources.delete(NAME)
    assert opensearch.indices(f"{quote(name)}*") == []


def test_search_engine_down_at_start_is_waited_for(apply, resources, books, opensearch, index, fault_proxy):
    fault_proxy.fail("reset")
    apply(urls=fault_proxy.url)
    resources.wait(NAME, "SinkReachable", "False", contains=[str(fault_proxy.port)])
    resources.wait(NAME, "Ready", "False", reason="SinkUnreachable")
    fault_proxy.heal()
    ready_and_equal(resources, opensearch, index, books)


def test_search_engine_address_without_a_listener_is_reported(apply, resources, books, opensearch, index):
    port = free_port()
    apply(urls=f"http://127.0.0.1:{port}")
    resources.wait(NAME, "SinkReachable", "False", reason="Refused", contains=[str(port)])
    resources.patch(NAME, {"sink": {"urls": [opensearch.url]}})
    ready_and_equal(resources, opensearch, index, books)


def test_outage_of_the_search_engine_loses_nothing(apply, resources, books, opensearch, index, fault_proxy, operator):
    apply(urls=fault_proxy.url)
    resources.wait(NAME)
    fault_proxy.fail("reset")
    books.sql("UPDATE books SET title = 'written while the search engine was away' WHERE id = 1; DELETE FROM books WHERE id = 2")
    resources.wait(NAME, "SinkReachable", "False", contains=[str(fault_proxy.port)])
    resources.wait(NAME, "Ready", "False", reason="SinkUnreachable")
    fault_proxy.heal()
    ready_and_equal(resources, opensearch, index, books)
    assert opensearch.aliases(index) == [f"{index}-g1"]


@pytest.mark.parametrize("status", [429, 503])
def test_refusals_of_bulk_requests_are_waited_out(apply, resources, books, opensearch, index, fault_proxy, status):
    apply(urls=fault_proxy.url)
    resources.wait(NAME)
    worker = resources.get(NAME)["status"]["worker"]["identity"]
    fault_proxy.fail(status, path="/_bulk")
    for i in range(1, 11):
        books.sql("UPDATE books SET price = %s WHERE id = %s", i, i)
    resources.wait(NAME, "SinkReachable", "False", reason="SinkUnavailable", contains=[str(status)])
    resources.wait(NAME, "Ready", "False", reason="SinkUnreachable", contains=[str(status)])
    time.sleep(3)
    assert fault_proxy.failed <= 40, "no back-off: the worker hammers an engine that refuses"
    fault_proxy.heal()
    ready_and_equal(resources, opensearch, index, books)
    assert resources.get(NAME)["status"]["worker"]["identity"] == worker, "the worker was restarted for a passing refusal"


def test_refusing_every_third_bulk_request_affects_only_speed(apply, resources, books, opensearch, index, fault_proxy):
    fault_proxy.fail(429, every=3, path="/_bulk")
    apply(urls=fault_proxy.url)
    resources.wait(NAME)
    for i in range(300):
        books.sql("UPDATE books SET price = %s WHERE id = 1 + %s %% 25", i / 10, i)
    assert_equal(opensearch, index, books, timeout=30)
    assert fault_proxy.failed > 0


def test_refusing_every_fifth_request_of_any_kind_affects_only_speed(apply, resources, books, opensearch, index, fault_proxy):
    fault_proxy.fail(503, every=5)
    apply(urls=fault_proxy.url)
    resources.wait(NAME, timeout=60)
    for i in range(100):
        books.sql("UPDATE books SET price = %s WHERE id = 1 + %s %% 25", i / 10, i)
    assert_equal(opensearch, index, books, timeout=30)
    assert fault_proxy.failed > 0
    # A deletion begins again after each failure, with growing pauses: the fixture does not wait for that.
    fault_proxy.heal()


@pytest.mark.slow
def test_hanging_search_engine_is_noticed(apply, resources, books, opensearch, index, fault_proxy):
    apply(urls=fault_proxy.url)
    resources.wait(NAME)
    fault_proxy.fail("hang")
    books.sql("UPDATE books SET price = 1 WHERE id = 1")
    resources.wait(NAME, "Ready", "False", reason="SinkUnreachable", contains=["timed out"], timeout=90)
    fault_proxy.heal()
    ready_and_equal(resources, opensearch, index, books)


def test_rejected_document_becomes_a_dead_letter_and_the_rest_is_indexed(apply, resources, books, opensearch, index):
    books.sql("UPDATE books SET isbn = '080442957X' WHERE id = 7")
    apply(spec={"schema.0.mapping": {"isbn": {"type": "long"}}})
    resources.wait(NAME, "Degraded", "True", reason="DeadLetters", contains=[f"{index}-dead-letters"])
    resources.wait(NAME)
    wanted = bookstore.expected(books)
    del wanted["7"]
    assert not bookstore.differences(opensearch.documents(index), wanted)
    eventually(lambda: resources.get(NAME)["status"]["indices"][0]["deadLetters"] == 1, 15, "deadLetters: 1", interval=0.2)
    (letter,) = opensearch.documents(f"{index}-dead-letters").values()
    assert "7" in str(letter) and "isbn" in str(letter)
    assert 'For input string: "080442957X"' in str(letter), "the cause within the engine's error"

    books.sql("UPDATE books SET isbn = '9780804429573' WHERE id = 7")
    wanted = bookstore.expected(books)
    eventually(lambda: opensearch.document(index, "7") == wanted["7"], 30, "the corrected document in the index")
    assert_equal(opensearch, index, books)


def test_dead_letter_of_a_row_that_leaves_the_index_is_removed(apply, resources, books, opensearch, index):
    books.sql("UPDATE books SET isbn = 'not a number ' || id WHERE id IN (7, 8)")
    mapping = {"schema.0.mapping": {"isbn": {"type": "long"}}}
    apply(spec=mapping)
    resources.wait(NAME, "Degraded", "True", reason="DeadLetters")
    eventually(lambda: set(opensearch.documents(f"{index}-dead-letters")) == {"7", "8"}, 10, "two dead letters")
    apply(spec={**mapping, "schema.0.nodes.where": "id <> 7"})
    eventually(lambda: opensearch.aliases(index) == [f"{index}-g2"], 20, "the next generation")
    assert set(opensearch.documents(f"{index}-dead-letters")) == {"8"}
    apply(spec={**mapping, "schema.0.nodes.where": "id NOT IN (7, 8)"})
    resources.wait(NAME, "Degraded", "False", reason="AsExpected")
    eventually(lambda: resources.get(NAME)["status"]["indices"][0]["deadLetters"] == 0, 15, "deadLetters: 0", interval=0.2)


def test_generation_that_rejects_every_document_does_not_take_over(apply, resources, books, opensearch, index):
    apply()
    resources.wait(NAME)
    before = opensearch.documents(index)
    apply(spec={"schema.0.mapping": {"title": {"type": "date"}}})
    resources.wait(NAME, "Ready", "False", reason="EveryDocumentRejected", contains=[f"{index}-g2", f"{index}-dead-letters"])
    resources.wait(NAME, "Stalled", reason="EveryDocumentRejected")
    opensearch.request("DELETE", f"{index}-dead-letters")  # what users delete does not affect it
    time.sleep(5)  # attempts continue
    assert opensearch.aliases(index) == [f"{index}-g1"]
    assert opensearch.documents(index) == before
    # One accepted document is enough: then the other rows are the cause.
    books.sql("UPDATE books SET title = '1984-06-08' WHERE id = 1")
    resources.wait(NAME)
    assert opensearch.aliases(index) == [f"{index}-g2"] and set(opensearch.documents(index)) == {"1"}


def test_adopted_index_is_not_replaced_by_one_that_rejects_every_document(apply, resources, books, opensearch, index):
    opensearch.request("PUT", f"{index}/_doc/theirs?refresh=true", {"title": "of another client"})
    apply(spec={"sink.adoptExistingIndex": True, "schema.0.mapping": {"title": {"type": "date"}}})
    resources.wait(NAME, "Stalled", reason="EveryDocumentRejected")
    assert set(opensearch.documents(index)) == {"theirs"}
    apply(spec={"sink.adoptExistingIndex": True})
    ready_and_equal(resources, opensearch, index, books)


def test_document_rejected_in_the_stream_does_not_hold_up_the_others(apply, resources, books, opensearch, index):
    apply(spec={"schema.0.mapping": {"isbn": {"type": "long"}}})
    resources.wait(NAME)
    books.sql("UPDATE books SET isbn = 'not a number' WHERE id = 7; UPDATE books SET title = 'next one' WHERE id = 8")
    wanted = bookstore.expected(books)
    eventually(lambda: opensearch.document(index, "8") == wanted["8"], 30, "the document after the rejected one")
    eventually(lambda: resources.get(NAME)["status"]["indices"][0]["deadLetters"] == 1, 15, "deadLetters: 1", interval=0.2)
    resources.wait(NAME, "Degraded", "True", reason="DeadLetters", contains=['"7"', f"{index}-dead-letters"])
    attempts = opensearch.document(f"{index}-dead-letters", "7")["attempts"]
    resources.kubectl("annotate", "pgsync", NAME, "--namespace", resources.namespace, "pgsync.io/retry-dead-letters=now")
    eventually(lambda: resources.get(NAME)["status"].get("retriedDeadLetters") == "now", 30, "the annotation in the status", interval=0.2)
    assert opensearch.document(f"{index}-dead-letters", "7")["attempts"] == attempts + 1


def test_stall_policy_stops_at_the_rejected_document_and_continues_once_it_is_corrected(apply, resources, books, opensearch, index):
    apply(spec={"schema.0.mapping": {"isbn": {"type": "long"}}, "onError": {"policy": "Stall"}})
    resources.wait(NAME)
    books.sql("UPDATE books SET isbn = 'not a number' WHERE id = 7")
    resources.wait(NAME, "Ready", "False", reason="DocumentRejected", contains=["(public.books, id 7)", "isbn", "onError.policy is Stall"])
    books.sql("UPDATE books SET isbn = '9780804429573' WHERE id = 7")
    ready_and_equal(resources, opensearch, index, books)


# --- slots, clusters, conflicts


def _drop_slot(database):
    (slot,) = database.slots()
    for _ in range(100):
        try:
            database.sql("SELECT pg_terminate_backend(active_pid) FROM pg_replication_slots"
                         " WHERE slot_name = %s AND active", slot)
            database.sql("SELECT pg_drop_replication_slot(%s)", slot)
            return slot
        except Exception as error:
            if "is active" not in str(error):
                raise
    raise AssertionError(f"slot {slot} could not be dropped")


def test_lost_slot_means_a_new_generation(apply, resources, books, opensearch, index):
    apply()
    resources.wait(NAME)
    _drop_slot(books)
    books.sql("UPDATE books SET title = 'no slot saw this' WHERE id = 1; DELETE FROM books WHERE id = 2")
    eventually(lambda: opensearch.aliases(index) == [f"{index}-g2"], 30, "a new generation", interval=0.2)
    ready_and_equal(resources, opensearch, index, books)


def test_lost_slot_with_stall_policy_waits_for_the_user(apply, resources, books, opensearch, index):
    apply(spec={"source.replication": {"slotLostPolicy": "Stall"}})
    resources.wait(NAME)
    slot = _drop_slot(books)
    resources.wait(NAME, "SlotHealthy", "False", reason="Lost", contains=[slot])
    resources.wait(NAME, "Stalled", "True", reason="SlotLost", contains=["slotLostPolicy is Stall"])
    assert opensearch.aliases(index) == [f"{index}-g1"]
    resources.patch(NAME, {"source": {"replication": {"slotLostPolicy": "Resync"}}})
    eventually(lambda: opensearch.aliases(index) == [f"{index}-g2"], 30, "a new generation", interval=0.2)
    ready_and_equal(resources, opensearch, index, books)


def test_another_cluster_at_the_same_address_means_a_new_generation(apply, own_postgres, resources, opensearch, index, unique):
    first = own_postgres()
    database = _bookstore_on(first, unique)
    apply(database=database)
    resources.wait(NAME)
    (slot,) = database.slots()
    first.stop("immediate")

    second = own_postgres(port=first.port, password=first.password)
    other = second.create_database(unique)
    bookstore.load(other)
    other.create_role()
    other.sql(S.SQL("ALTER ROLE {} PASSWORD {}").format(S.Identifier(other.role), S.Literal(database.role_password)))
    other.sql("UPDATE books SET title = 'of the other cluster'")
    # A slot of the same name exists, as after a restore: only the cluster's identity shows the difference.
    with other.connect() as connection:
        connection.execute("SELECT pg_create_logical_replication_slot(%s, 'pgoutput')", [slot])
    eventually(lambda: opensearch.aliases(index) == [f"{index}-g2"], 40, "a new generation", interval=0.2)
    ready_and_equal(resources, opensearch, index, other)


def test_another_timeline_that_lost_nothing_is_followed_without_a_rebuild(apply, own_postgres, resources, opensearch, index, unique):
    """A recovery up to the end of the WAL, as after a failover: the timeline's history shows that nothing is missing."""
    server = own_postgres()
    database = _bookstore_on(server, unique)
    apply(database=database)
    resources.wait(NAME)
    server.stop("fast")
    server.set(restore_command="false")
    (server.data / "recovery.signal").touch()
    shutil.chown(server.data / "recovery.signal", server.user or "root")
    server.start()
    eventually(lambda: server.sql("SELECT timeline_id FROM pg_control_checkpoint()") != [(1,)], 20, "another timeline", interval=0.2)
    server.sql("UPDATE books SET title = 'after the recovery' WHERE id = 3", database=unique)
    ready_and_equal(resources, opensearch, index, database)
    assert opensearch.document(index, "3")["title"] == "after the recovery"
    assert opensearch.aliases(index) == [f"{index}-g1"]


def test_server_that_is_behind_what_was_synced_means_a_new_generation(apply, own_postgres, resources, opensearch, index, unique):
    """An old copy of the server's files is restored: the index contains rows that the server does not have."""
    server = own_postgres()
    database = _bookstore_on(server, unique)
    server.sql("CREATE TABLE filler (text text)", database=unique)
    apply(database=database)
    resources.wait(NAME)
    server.stop("fast")
    copy = server.state / "copy"
    subprocess.run(["cp", "-a", server.data, copy], check=True)
    server.start()
    resources.wait(NAME, generation=True)
    database.sql("UPDATE books SET title = 'lost again'; INSERT INTO filler SELECT repeat('x', 1000) FROM generate_series(1, 3000)")
    reached = database.value("SELECT pg_current_wal_lsn() - '0/0'")
    assert_equal(opensearch, index, database, timeout=20)

    def noted():
        """The position is saved from time to time, once it has moved far enough."""
        opensearch.request("POST", "pgsync-checkpoints/_refresh")
        found = [d for d in opensearch.documents("pgsync-checkpoints").values() if d.get("owner") == f"{resources.namespace}/{NAME}"]
        high, low = found[0]["confirmedLSN"].split("/")
        return int(high, 16) << 32 | int(low, 16)

    eventually(lambda: noted() >= reached, 60, "the position in the checkpoint", interval=0.5)
    server.stop("fast")
    shutil.rmtree(server.data)
    copy.rename(server.data)
    server.start()
    eventually(lambda: opensearch.aliases(index) == [f"{index}-g2"], 40, "a new generation", interval=0.2)
    ready_and_equal(resources, opensearch, index, database)
    assert "lost again" not in str(opensearch.documents(index))


def test_no_free_wal_sender_is_reported(apply, own_postgres, resources, opensearch, index, unique):
    server = own_postgres(conf={"max_wal_senders": 0})
    database = _bookstore_on(server, unique)
    apply(database=database)
    resources.wait(NAME, "Ready", "False", reason="NoFreeSender", contains=["max_wal_senders"])
    server.stop("fast")
    server.set(max_wal_senders=5)
    server.start()
    ready_and_equal(resources, opensearch, index, database)


def test_second_resource_that_wants_the_same_slot_is_refused(apply, resources, books, opensearch, index):
    given = {"source.replication": {"slotName": f"{books.name}_given"}}
    apply(spec=given)
    resources.wait(NAME)
    apply(name="second", index=f"{index}-second", spec=given)
    resources.wait("second", "Ready", "False", reason="SlotInUse", contains=[f"{books.name}_given", NAME])
    books.sql("UPDATE books SET title = 'still mine' WHERE id = 1")
    assert_equal(opensearch, index, books)
    assert condition(resources.get(NAME), "Ready")["status"] == "True", describe(resources.get(NAME))
    resources.delete(NAME)
    resources.wait("second")
    assert_equal(opensearch, f"{index}-second", books)


def test_second_resource_that_wants_the_same_index_is_refused(apply, resources, books, opensearch, index):
    apply()
    resources.wait(NAME)
    apply(name="second")
    resources.wait("second", "Ready", "False", reason="IndexInUse", contains=[index, NAME])
    books.sql("UPDATE books SET title = 'still mine' WHERE id = 1")
    assert_equal(opensearch, index, books)
    assert condition(resources.get(NAME), "Ready")["status"] == "True"
    assert len(books.slots()) == 1, "a refused resource created a slot"


def test_resource_that_is_recreated_takes_over_its_old_index(apply, resources, books, opensearch, index):
    apply()
    resources.wait(NAME)
    resources.delete(NAME)
    assert opensearch.aliases(index) == [f"{index}-g1"]
    apply()
    ready_and_equal(resources, opensearch, index, books)
    assert opensearch.aliases(index) == [f"{index}-g2"]
    eventually(lambda: opensearch.indices(f"{index}-g*") == [f"{index}-g2"], 15, "the end of the old generation", interval=0.2)
    # The new resource owns it entirely: no other one takes it over, and it stays when the old one is deleted.
    apply(name="second")
    resources.wait("second", "Ready", "False", reason="IndexInUse", contains=[index, NAME])
    resources.delete("second")
    resources.delete(NAME)
    assert opensearch.aliases(index) == [f"{index}-g2"]


def test_replica_identity_stays_while_another_resource_needs_it(apply, resources, books, opensearch, index):
    """The first found the table with its own identity, the second as the first had left it."""
    books.sql("CREATE TABLE reviews (id int PRIMARY KEY, book_id bigint REFERENCES books, stars int); CREATE INDEX ON reviews (book_id);"
              " INSERT INTO reviews VALUES (1, 1, 5), (2, 2, 4)")
    books.own_tables()
    spec = {"schema.0.nodes": {"table": "books", "columns": ["title"], "children": [
        {"table": "reviews", "columns": ["stars"], "relationship": {"type": "one_to_many", "variant": "scalar"}}]}}
    apply(spec=spec)
    resources.wait(NAME)
    assert dict(books.replica_identities())["reviews"] == "f"
    apply(name="second", index=f"{index}-second", spec=spec)
    resources.wait("second")
    resources.delete(NAME)
    assert dict(books.replica_identities())["reviews"] == "f"
    books.sql("UPDATE reviews SET book_id = 3 WHERE id = 1")
    eventually(lambda: [opensearch.document(f"{index}-second", id)["reviews"] for id in "123"] == [None, [4], [5]], 30,
               lambda: f"the moved review ({opensearch.documents(f'{index}-second')})")


# --- processes and the API server


def test_nothing_is_written_when_idle(apply, resources, operator):
    apply()
    resources.wait(NAME)
    time.sleep(12)  # the bootstrap's last reports are written by then
    before = resources.get(NAME)["metadata"]["resourceVersion"]
    time.sleep(11)  # numbers may be written every 10 s
    assert resources.get(NAME)["metadata"]["resourceVersion"] == before


def test_killed_worker_is_restarted_and_continues(apply, resources, books, opensearch, index, operator):
    apply()
    resources.wait(NAME)
    (worker,) = operator.workers()
    os.kill(worker, signal.SIGKILL)
    resources.wait(NAME, "Ready", "False", reason="WorkerExited", contains=["signal 9", "Killed"])
    books.sql("UPDATE books SET title = 'written without a worker' WHERE id = 1")
    wanted = bookstore.expected(books)
    eventually(lambda: opensearch.document(index, "1") == wanted["1"], 10, "the change in the index")
    eventually(lambda: resources.get(NAME)["status"]["worker"]["restartCount"] == 1, 10, "restartCount: 1", interval=0.2)
    assert resources.get(NAME)["status"]["worker"]["lastExit"]["signal"] == signal.SIGKILL
    assert any(reason == "WorkerExited" and "signal 9" in note for reason, note in resources.events(NAME)), resources.events(NAME)
    resources.wait(NAME)
    assert opensearch.aliases(index) == [f"{index}-g1"]


def test_a_worker_that_starts_again_is_not_ready_before_it_has_written_what_it_missed(
        resources, books, fault_proxy, opensearch, index, operator):
    resources.apply_books(NAME, books, fault_proxy.url, index=index)
    resources.wait(NAME)
    fault_proxy.hold(lambda path, body: "/_bulk" in path)
    books.sql("UPDATE books SET title = 'missed' WHERE id = 1")
    eventually(lambda: fault_proxy.held, 10, "a request that is held")
    (worker,) = operator.workers()
    os.kill(worker, signal.SIGKILL)
    resources.wait(NAME, "Ready", "False", reason="WorkerExited")
    resources.wait(NAME, "Streaming", timeout=15)
    resources.never(lambda: condition(resources.get(NAME), "Ready")["status"] == "True", 4, "Ready without the change")
    fault_proxy.release()
    resources.wait(NAME)
    assert opensearch.document(index, "1")["title"] == "missed"


def test_frozen_worker_is_noticed_and_replaced(apply, resources, books, opensearch, index, operator):
    apply()
    resources.wait(NAME)
    (worker,) = operator.workers()
    os.kill(worker, signal.SIGSTOP)
    resources.wait(NAME, "Ready", "Unknown", reason="WorkerSilent", timeout=15)
    books.sql("UPDATE books SET title = 'written while the worker is frozen' WHERE id = 1")
    wanted = bookstore.expected(books)
    eventually(lambda: opensearch.document(index, "1") == wanted["1"], 30, "the change in the index")
    assert worker not in operator.workers()
    resources.wait(NAME)
    assert "did not respond" in resources.get(NAME)["status"]["worker"]["lastExit"]["message"]
    assert opensearch.aliases(index) == [f"{index}-g1"]


@pytest.mark.slow
def test_streams_continue_while_the_api_server_is_away(apply, resources, books, opensearch, index, operator, kube):
    apply()
    before = resources.wait(NAME)
    (worker,) = operator.workers()
    kube.kill9()
    try:
        # Past the renew deadline (10 s) and the lease's duration (15 s).
        for second in range(30):
            books.sql("UPDATE books SET price = %s WHERE id = 1", second + 1)
            wanted = bookstore.expected(books)
            eventually(lambda: opensearch.document(index, "1") == wanted["1"], 30, f"the change in second {second}")
            time.sleep(1)
        assert operator.workers() == [worker]
        assert operator.get("/livez") == 200
    finally:
        kube.restart()
    books.sql("INSERT INTO books (isbn, title, price) VALUES ('9780441007462', 'Count Zero', 8.50)")
    assert_equal(opensearch, index, books)
    eventually(lambda: resources.get(NAME)["status"]["indices"][0]["documentCount"] == 26, 60, "a written status", interval=0.5)
    assert operator.workers() == [worker]
    # Always Ready, and no report of an outage that did not affect the data.
    after = resources.wait(NAME, reason="Streaming", contains=["follows the tables"])
    assert after["lastTransitionTime"] == before["lastTransitionTime"]
    resources.delete(NAME)


def test_frozen_api_server_does_not_freeze_the_operator(apply, resources, books, opensearch, index, operator, kube):
    apply()
    resources.wait(NAME)
    (worker,) = operator.workers()
    kube.pause()
    try:
        time.sleep(20)
        books.sql("UPDATE books SET price = 55 WHERE id = 1")
        wanted = bookstore.expected(books)
        eventually(lambda: opensearch.document(index, "1") == wanted["1"], 30, "the change in the index")
        assert operator.get("/livez") == 200
    finally:
        kube.resume()
    resources.patch(NAME, {"suspend": True})
    resources.wait(NAME, "Suspended", "True", timeout=60)
    assert operator.workers() in ([], [worker])


def test_deletion_while_postgres_is_away_finishes_once_it_is_back(apply, own_postgres, resources, opensearch, index, unique):
    server = own_postgres()
    database = _bookstore_on(server, unique)
    apply(database=database)
    resources.wait(NAME)
    server.stop()
    resources.kubectl("delete", "pgsync", NAME, "--namespace", resources.namespace, "--wait=false")
    time.sleep(3)
    found = resources.get(NAME)
    assert found["metadata"]["finalizers"], "the finalizer went before the slot"
    server.start()
    eventually(lambda: not resources.exists(NAME), 45, "the deletion", interval=0.2)
    assert database.slots() == []
    assert database.publications() == []


def test_operator_has_no_more_permissions_than_the_chart_grants(operator, kube, resources):
    own = Kubectl(operator.kubeconfig)
    for verb, what in [("create", "pods"), ("delete", "secrets"), ("update", "secrets"), ("create", "clusterroles"),
                       ("delete", "pgsyncs")]:
        code, out, _ = own("auth", "can-i", verb, what, "--all-namespaces", check=False)
        assert (code, out.strip()) == (1, "no"), f"{verb} {what}"
    # An API server that has just started, in an earlier test, forbids everything until it has read its rules.
    forbidden = [line for line in operator.process.log.read_text().splitlines()
                 if "is forbidden" in line and '"watching failed, retrying"' not in line]
    assert not forbidden, forbidden
