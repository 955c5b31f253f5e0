"""What documents may contain, and which schemas are refused because they cannot be kept in sync."""

import time

import pytest
from parts.postgres import Database
from parts.search import eventually
from parts.worker import pgsync, write_manifest


def root(manifest):
    return manifest[1]["spec"]["schema"][0]["nodes"]


def plan(state, unique, manifest):
    code, out, err = pgsync("plan", "-f", write_manifest(state / f"{unique}.yaml", manifest))
    return code, out + err


def test_volatile_expressions_are_refused_with_the_servers_reason(state, unique, manifest):
    root(manifest).update(where="published_at < now()", expressions={
        "age": "age(published_at)", "first": "(SELECT min(id) FROM books)", "typo": "lower(titel)", "words": "title ||",
        "tidy": "lower(title)", "title": "1 + 1"})
    code, said = plan(state, unique, manifest)
    assert code == 1
    for word in ("spec.schema[0].nodes.where", "published_at < now()", "is not immutable",
                 "nodes.expressions.age", "nodes.expressions.first", "subquery",
                 "nodes.expressions.typo", '"titel" does not exist',
                 "nodes.expressions.words", "syntax error", "two fields are named `title`, this one and columns"):
        assert word in said, f"{word!r} is not in: {said}"
    assert "expressions.tidy" not in said


def test_a_condition_must_be_boolean(state, unique, manifest):
    root(manifest)["where"] = "lower(title)"
    code, said = plan(state, unique, manifest)
    assert code == 1
    assert "has type text; a condition must be boolean" in said


def test_plan_leaves_no_trace_of_checking_expressions(state, unique, manifest, books):
    root(manifest)["expressions"] = {"slug": "lower(title)"}
    code, said = plan(state, unique, manifest)
    assert code == 0, said
    assert "(lower(title))" in said
    assert books.sql("SELECT count(*) FROM pg_class WHERE relname = 'books'") == [(1,)]


def test_expressions_may_contain_any_sql_syntax(worker, manifest, books, opensearch, index):
    root(manifest).update(where="title LIKE '%er%' AND books.price > 1", expressions={
        "odd; -- %s": "'it''s 100% ' || $x$\"$x$ || title", "cents": "(price * 100)::int"})
    run = worker(manifest, "--until-caught-up").start()
    assert run.finish(30) == 0, run.process.tail()
    with books.connect() as connection:
        wanted = {str(id): ("it's 100% \"" + title, int(price * 100)) for id, title, price in connection.execute(
            "SELECT id, title, price FROM books WHERE strpos(title, 'er') > 0 AND price > 1")}
    found = {id: (d["odd; -- %s"], d["cents"]) for id, d in opensearch.documents(index).items()}
    assert found == wanted
    assert 0 < len(found) < 25


def test_values_that_no_engine_accepts_become_null_and_are_counted(worker, manifest, books, opensearch, index):
    books.sql("UPDATE books SET price = 'NaN', published_at = 'infinity' WHERE id = 1")
    run = worker(manifest).start()
    eventually(lambda: run.condition("Ready").get("status") == "True", 20, lambda: f"Ready ({run.status()})")
    document = opensearch.document(index, "1")
    assert (document["price"], document["published_at"]) == (None, None)
    assert document["title"]
    assert run.status()["indices"][0]["nulledValues"] == 2
    books.sql("UPDATE books SET published_at = '-infinity' WHERE id = 2")
    eventually(lambda: opensearch.document(index, "2")["published_at"] is None, 30, "the change in the index")
    eventually(lambda: run.status()["indices"][0]["nulledValues"] == 3, 30, lambda: f"a count of 3 ({run.status()['indices']})")
    assert run.metric("pgsync_values_nulled_total") == 3
    assert run.condition("Ready")["status"] == "True"


def test_values_that_an_engine_cannot_parse_stay_in_the_document(worker, manifest, books, opensearch, index):
    books.sql("UPDATE books SET published_at = '0044-03-15 12:00:00+00 BC' WHERE id = 1;"
              " UPDATE books SET published_at = '20000-01-01 00:00:00+00' WHERE id = 2")
    run = worker(manifest, "--until-caught-up").start()
    assert run.finish(30) == 0, run.process.tail()
    found = opensearch.documents(index)
    assert found["1"]["published_at"] == "0044-03-15T12:00:00+00:00 BC"
    assert found["2"]["published_at"] == "20000-01-01T00:00:00+00:00"
    assert len(found) == 25


def test_values_changed_by_an_alter_are_read_again(worker, manifest, books, opensearch, index):
    """Neither statement changes a name or a type, so nothing in the WAL shows their effect."""
    run = worker(manifest).start()
    eventually(lambda: run.condition("Ready").get("status") == "True", 20, lambda: f"Ready ({run.status()})")
    books.sql("ALTER TABLE books ALTER COLUMN title TYPE text USING 'UP-' || title")
    eventually(lambda: all(d["title"].startswith("UP-") for d in opensearch.documents(index).values()), 40,
               "the rewritten titles in the index", interval=0.5)
    books.sql("BEGIN; ALTER TABLE books DROP COLUMN price; ALTER TABLE books ADD COLUMN price numeric(10,2); COMMIT")
    eventually(lambda: all(d["price"] is None for d in opensearch.documents(index).values()), 40,
               "the new, empty column in the index", interval=0.5)
    eventually(lambda: run.condition("Ready").get("status") == "True", 20, lambda: f"Ready ({run.status()})")


@pytest.mark.parametrize("partitioned", [False, True], ids=["table", "partitioned"])
def test_an_alter_that_changes_no_value_rebuilds_nothing(worker, manifest, books, opensearch, index, partitioned):
    books.sql("CREATE TABLE words (id int PRIMARY KEY, word text, n int) " + ("PARTITION BY RANGE (id)" if partitioned else ""))
    if partitioned:
        books.sql("CREATE TABLE words_a PARTITION OF words FOR VALUES FROM (0) TO (100); CREATE TABLE words_b PARTITION OF words DEFAULT")
    books.sql("INSERT INTO words VALUES (1, 'one', 1), (101, 'two', 2)")
    books.own_tables()
    manifest[1]["spec"]["schema"][0]["nodes"] = {"table": "words"}
    run = worker(manifest).start()
    ready = lambda: run.condition("Ready").get("status") == "True"
    eventually(ready, 20, lambda: f"Ready ({run.status()})")

    def generation():
        """Between two attempts the status does not contain one."""
        return eventually(lambda: run.status()["indices"][0].get("physicalName"), 20, "an index in the status")

    first = generation()
    # A rewritten partition may have been emptied: the two cannot be told apart.
    rewrite = "ANALYZE words" if partitioned else "VACUUM FULL words"
    if not partitioned:
        books.sql(rewrite)
        time.sleep(7)
    for statement in ("ALTER TABLE words ALTER COLUMN word SET DEFAULT 'none'", "ALTER TABLE words ALTER COLUMN word SET NOT NULL",
                      "ALTER TABLE words ALTER COLUMN word SET STATISTICS 500", "GRANT SELECT (word) ON words TO public"):
        books.sql(statement)
    time.sleep(7)
    run.stop()
    books.sql("ALTER TABLE words ALTER COLUMN word DROP DEFAULT")
    run.start()
    eventually(ready, 20, lambda: f"Ready ({run.status()})")
    time.sleep(1)
    books.sql(rewrite)
    run.stop()
    run.start()
    eventually(ready, 20, lambda: f"Ready ({run.status()})")
    assert generation() == first
    run.stop()
    books.sql("ALTER TABLE words ALTER COLUMN n TYPE int USING n * 10")
    run.start()
    eventually(lambda: [d["n"] for d in opensearch.documents(index).values()] in ([10, 20], [20, 10]), 20, "the altered values")
    eventually(lambda: ready() and generation() != first, 20, lambda: f"another generation ({run.status()})")
    second = generation()
    books.sql("ALTER TABLE words ALTER COLUMN n TYPE int USING n * 10, ALTER COLUMN n SET DEFAULT 5")
    eventually(lambda: [d["n"] for d in opensearch.documents(index).values()] in ([100, 200], [200, 100]), 20, "the altered values")
    eventually(lambda: ready() and generation() != second, 20, lambda: f"another generation ({run.status()})")


def test_plan_of_a_view_shows_its_plan_too(state, unique, manifest, books):
    books.sql(f'CREATE VIEW titles AS SELECT id, title FROM books; GRANT SELECT ON titles TO "{books.role}"')
    manifest[1]["spec"]["schema"][0]["nodes"] = {
        "table": "titles", "columns": ["title"], "primary_key": ["id"], "base_tables": ["books"]}
    code, said = plan(state, unique, manifest)
    assert code == 0, said
    assert "Plan of all documents:" in said


@pytest.mark.parametrize("mapping", ["Generated", "Dynamic"])
def test_a_table_may_have_more_columns_than_an_index_has_fields(worker, manifest, books, opensearch, index, mapping):
    """Engines allow 1,000 fields by default; a text column makes two."""
    books.sql(f"""CREATE TABLE wide (id int PRIMARY KEY, {", ".join(f"c{i} text" for i in range(700))});
        INSERT INTO wide (id, {", ".join(f"c{i}" for i in range(700))}) VALUES (1, {", ".join(f"'{i}'" for i in range(700))})""")
    books.own_tables()
    manifest[1]["spec"]["schema"][0]["nodes"] = {"table": "wide"}
    manifest[1]["spec"]["documents"] = {"mapping": mapping}
    run = worker(manifest, "--until-caught-up").start()
    assert run.finish(30) == 0, run.process.tail()
    assert opensearch.document(index, "1") == {"id": 1, **{f"c{i}": str(i) for i in range(700)}}


def test_field_names_that_no_engine_accepts_are_reported_before_connecting(state, unique, manifest):
    root(manifest)["transform"] = {"rename": {"title": "_id", "isbn": ".isbn", "status": "price.status"}}
    code, said = plan(state, unique, manifest)
    assert code == 1
    for words in ("spec.schema[0].nodes.transform.rename.title: a document cannot have a field `_id`", "the field name `.isbn`"):
        assert words in said, f"{words!r} is not in: {said}"
    root(manifest)["transform"] = {"rename": {"status": "price.status"}}
    code, said = plan(state, unique, manifest)
    assert code == 1 and "`price` and `price.status` cannot both be fields" in said, said


def test_database_without_an_encoding_is_refused(postgres, state, unique, manifest):
    """Its texts cannot become JSON, since their encoding is not known."""
    postgres.sql(f"CREATE DATABASE {unique}_raw ENCODING 'SQL_ASCII' LC_COLLATE 'C' LC_CTYPE 'C' TEMPLATE template0")
    raw = Database(postgres, f"{unique}_raw")
    try:
        raw.sql(r"CREATE TABLE t (id int PRIMARY KEY, word text); INSERT INTO t VALUES (1, E'caf\xe9')")
        manifest[1]["spec"]["source"].update(database=raw.name, user="postgres")
        manifest[0]["stringData"]["password"] = postgres.password
        manifest[1]["spec"]["schema"][0]["nodes"] = {"table": "t"}
        code, said = plan(state, unique, manifest)
        assert code == 1 and "has the encoding SQL_ASCII" in said and "ENCODING 'UTF8'" in said, said
    finally:
        raw.drop()


def test_row_security_that_is_forced_is_refused_with_what_to_do(state, unique, manifest, books):
    books.sql("ALTER TABLE books ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY")
    code, said = plan(state, unique, manifest)
    assert code == 1 and f'ALTER ROLE "{books.role}" BYPASSRLS, or ALTER TABLE "public"."books" NO FORCE ROW LEVEL SECURITY' in said, said


def dead_letters(opensearch, index):
    opensearch.request("POST", f"{index}-dead-letters/_refresh", ok=(200, 404))
    if not opensearch.indices(f"{index}-dead-letters"):
        return {}
    return opensearch.documents(f"{index}-dead-letters")


@pytest.mark.parametrize("partitioned", [False, True])
def test_a_row_whose_expression_fails_is_skipped_and_reported(worker, manifest, books, opensearch, index, partitioned):
    """In the bootstrap and in the stream; once corrected, the row is indexed."""
    books.sql(f"""
        CREATE TABLE things (id int PRIMARY KEY, n int) {"PARTITION BY RANGE (id)" if partitioned else ""};
        {"CREATE TABLE few PARTITION OF things FOR VALUES FROM (0) TO (500); CREATE TABLE more PARTITION OF things FOR VALUES FROM (500) TO (9999)"
         if partitioned else ""};
        CREATE TABLE parts (id int PRIMARY KEY, thing_id int REFERENCES things);
        CREATE INDEX ON parts (thing_id);
        INSERT INTO things SELECT i, i % 1000 FROM generate_series(1, 3000) i;
        INSERT INTO parts SELECT i, i FROM generate_series(1, 3000) i""")
    books.own_tables()
    manifest[1]["spec"]["schema"][0]["nodes"] = {"table": "things", "columns": ["id"], "expressions": {"share": "1000 / n"}, "children": [
        {"table": "parts", "columns": ["id"], "relationship": {"type": "one_to_many", "variant": "scalar"}}]}
    run = worker(manifest).start()
    eventually(lambda: run.condition("Ready").get("status") == "True", 30, lambda: f"Ready ({run.status()})")

    def right(*failing):
        return {str(i): {"id": i, "share": 1000 // (i % 1000), "parts": [i]} for i in range(1, 3001) if i not in failing}

    assert opensearch.documents(index) == right(1000, 2000, 3000)
    said = dead_letters(opensearch, index)
    assert said.keys() == {"1000", "2000", "3000"}
    assert said["1000"]["operation"] == "read" and "division by zero" in said["1000"]["reason"], said["1000"]
    assert run.condition("Degraded")["status"] == "True"
    assert f"{index}-dead-letters" in run.condition("Degraded")["message"]

    books.sql("UPDATE things SET n = 5 WHERE id = 1000; UPDATE things SET n = 0 WHERE id = 4; UPDATE things SET n = 1 WHERE id = 5")
    wanted = {**right(2000, 3000, 1000), "1000": {"id": 1000, "share": 200, "parts": [1000]}, "5": {"id": 5, "share": 1000, "parts": [5]}}
    eventually(lambda: opensearch.documents(index) == wanted, 10, lambda: "equal documents, that of 4 as it was")
    eventually(lambda: dead_letters(opensearch, index).keys() == {"4", "2000", "3000"}, 10, lambda: f"dead letters: {dead_letters(opensearch, index)}")


def test_a_condition_that_fails_for_a_row_outside_every_document_harms_none(worker, manifest, books, opensearch, index):
    """A plan may evaluate a child's condition for any row of its table."""
    books.sql("CREATE TABLE tags (id int PRIMARY KEY, word text); INSERT INTO tags SELECT i, i::text FROM generate_series(1, 50) i;"
              " INSERT INTO tags VALUES (99, 'no number'); CREATE TABLE book_tags (book_id bigint REFERENCES books, tag_id int REFERENCES tags,"
              " PRIMARY KEY (book_id, tag_id)); INSERT INTO book_tags SELECT id, 1 + id % 50 FROM books; ANALYZE")
    books.own_tables()
    root(manifest)["children"] = [{"table": "tags", "columns": ["word"], "where": "word::int > 0",
                                   "relationship": {"type": "one_to_many", "variant": "scalar", "through_tables": ["book_tags"]}}]
    run = worker(manifest).start()
    eventually(lambda: run.condition("Ready").get("status") == "True", 30, lambda: f"Ready ({run.status()})")
    assert len(opensearch.documents(index)) == 25 and not dead_letters(opensearch, index)
    books.sql("INSERT INTO book_tags VALUES (3, 99)")
    eventually(lambda: dead_letters(opensearch, index).keys() == {"3"}, 10, lambda: f"dead letters: {dead_letters(opensearch, index)}")
    assert "public.tags, id 99, its `where`" in dead_letters(opensearch, index)["3"]["reason"]
    books.sql("UPDATE tags SET word = '99' WHERE id = 99")
    eventually(lambda: "99" in opensearch.document(index, "3")["tags"] and not dead_letters(opensearch, index), 10, "document 3")


def test_root_view_may_have_a_condition_and_expressions(worker, manifest, books, opensearch, index):
    books.sql(f'CREATE VIEW titles AS SELECT id, title FROM books; GRANT SELECT ON titles TO "{books.role}"')
    manifest[1]["spec"]["schema"][0]["nodes"] = {
        "table": "titles", "primary_key": ["id"], "base_tables": ["books"], "where": "id > 20", "expressions": {"loud": "upper(title)"}}
    run = worker(manifest, "--until-caught-up").start()
    assert run.finish(30) == 0, run.process.tail()
    assert opensearch.documents(index) == {str(i): {"id": i, "title": t, "loud": t.upper()} for i, t in
                                           books.sql("SELECT id, title FROM books WHERE id > 20")}


def test_with_stall_a_failing_expression_stops_the_stream_and_names_the_document(worker, manifest, books, opensearch, index):
    root(manifest)["expressions"] = {"share": "100 / price"}
    manifest[1]["spec"]["onError"] = {"policy": "Stall"}
    books.sql("UPDATE books SET price = 0 WHERE id = 7")
    run = worker(manifest).start()
    eventually(lambda: 'document "7"' in run.condition("Ready").get("message", ""), 20, lambda: f"a message ({run.status()})")
    said = run.condition("Ready")["message"]
    assert "public.books, id 7, expression `share`" in said and "division by zero" in said, said
    books.sql("UPDATE books SET price = 50 WHERE id = 7")
    eventually(lambda: run.condition("Ready").get("status") == "True", 30, lambda: f"Ready ({run.status()})")
    assert float(opensearch.document(index, "7")["share"]) == 2


def test_tens_of_thousands_of_rejections_are_handled_like_one(worker, manifest, books, opensearch, index):
    """In the bootstrap, and in one transaction; once corrected, all rows are indexed."""
    books.sql("CREATE TABLE words (id int PRIMARY KEY, word text); INSERT INTO words SELECT i, 'no number' FROM generate_series(1, 12000) i")
    books.own_tables()
    manifest[1]["spec"]["schema"][0] |= {"nodes": {"table": "words"}, "mapping": {"word": {"type": "integer"}}}
    run = worker(manifest).start()
    eventually(lambda: run.condition("Ready").get("status") == "True", 60, lambda: f"Ready ({run.status()})")

    def counts():
        opensearch.request("POST", f"{index}*/_refresh")
        return opensearch.count(index), opensearch.count(f"{index}-dead-letters")

    assert counts() == (0, 12000)
    books.sql("UPDATE words SET word = id::text")
    eventually(lambda: counts() == (12000, 0), 60, lambda: f"all documents ({counts()})", interval=0.5)
    books.sql("UPDATE words SET word = 'again'")
    eventually(lambda: counts() == (12000, 12000), 60, lambda: f"all dead letters ({counts()})", interval=0.5)
    eventually(lambda: run.status()["indices"][0]["deadLetters"] == 12000, 20, lambda: f"their number ({run.status()})")
    assert run.metric("process_resident_memory_bytes") < 48 << 20


def test_deep_and_nested_trees_have_the_limits_that_they_need(state, unique, worker, manifest, books, opensearch, index):
    """Engines allow 20 levels and 50 nested fields by default."""
    books.sql("""CREATE TABLE chain (id int PRIMARY KEY, above int REFERENCES chain); CREATE INDEX ON chain (above);
        INSERT INTO chain SELECT i, nullif(i - 1, 0) FROM generate_series(1, 32) i""")
    books.own_tables()

    def link(label, children):
        return {"table": "chain", "label": label, "columns": ["id"], "nested": True, "children": children, "relationship": {
            "type": "one_to_many", "variant": "object", "foreign_key": {"child": ["above"], "parent": ["id"]}}}

    tree = []
    for level in range(31, 0, -1):
        tree = [link(f"l{level}", tree)]
    manifest[1]["spec"]["schema"][0]["nodes"] = {
        "table": "chain", "columns": ["id"], "where": "id = 1", "children": tree + [link(f"wide{i}", []) for i in range(32)]}
    run = worker(manifest, "--until-caught-up").start()
    assert run.finish(60) == 0, run.process.tail()
    (document,) = opensearch.documents(index).values()
    depth = 0
    while document and document.get(f"l{depth + 1}"):
        depth += 1
        (document,) = document[f"l{depth}"]
    assert (depth, document["id"]) == (31, 32)
    manifest[1]["spec"]["schema"][0]["nodes"]["children"] = [link("one_more", tree)]
    code, said = plan(state, unique, manifest)
    assert code == 1 and "the tree is deeper than 32 levels" in said


def test_a_document_of_very_many_tables_is_planned_and_followed(state, unique, worker, manifest, books, opensearch, index):
    """As many as a node may have; Postgres plans one query with so many joins for long. 44 tables that the root refers to,
    and 20 that refer to the root."""
    above, below = [f"a{i}" for i in range(44)], [f"b{i}" for i in range(20)]
    books.sql("".join(f"CREATE TABLE {t} (id int PRIMARY KEY, name text); INSERT INTO {t} VALUES (1, '{t} 1'), (2, '{t} 2');" for t in above)
              + f"CREATE TABLE hub (id int PRIMARY KEY, {', '.join(f'{t}_id int REFERENCES {t}' for t in above)});"
              + "".join(f"CREATE INDEX ON hub ({t}_id);" for t in above)
              + f"INSERT INTO hub SELECT i, {', '.join('nullif(i % 3, 0)' for _ in above)} FROM generate_series(1, 100) i;"
              + "".join(f"CREATE TABLE {t} (id int PRIMARY KEY, hub_id int UNIQUE REFERENCES hub, name text);"
                        f"INSERT INTO {t} SELECT i, i, '{t} ' || i FROM generate_series(1, 50) i;" for t in below)
              + "".join(f'ALTER TABLE {t} OWNER TO "{books.role}";' for t in ["hub", *above, *below]) + "ANALYZE")
    one = {"type": "one_to_one", "variant": "object"}
    manifest[1]["spec"]["schema"][0]["nodes"] = {"table": "hub", "columns": ["id"], "children": [
        {"table": t, "columns": ["name"], "relationship": one} for t in sorted(above + below, key=lambda t: t[1:])]}
    code, said = plan(state, unique, manifest)
    assert code == 0 and "Plan of a batch:" in said, said
    run = worker(manifest).start()
    eventually(lambda: run.condition("Ready").get("status") == "True", 20, lambda: f"Ready ({run.status()})")
    assert opensearch.documents(index) == {str(i): {
        "id": i, **{t: {"name": f"{t} {i % 3}"} if i % 3 else None for t in above},
        **{t: {"name": f"{t} {i}"} if i <= 50 else None for t in below}} for i in range(1, 101)}
    for table, id, document in (("a43", 1, "100"), ("b19", 50, "50"), ("a0", 2, "98")):
        books.sql(f"UPDATE {table} SET name = 'new' WHERE id = {id}")
        eventually(lambda: opensearch.document(index, document)[table] == {"name": "new"}, 30, f"the change of {table}")


def test_json_that_postgres_cannot_parse_does_not_stop_the_sync(worker, manifest, books, opensearch, index):
    """Postgres cannot parse a json value with an escaped NUL: a path into it gives null, and is counted."""
    books.sql(r"""CREATE TABLE raw (id int PRIMARY KEY, doc json, more json);
        INSERT INTO raw VALUES (1, '{"a": "x", "b": [1]}', '"x"'), (2, '{"a": "x", "c": "\u0000"}', '["x", "\u0000"]'),
            (3, '{"a": "x\\u0000"}', '"x\\u0000"')""")
    books.own_tables()
    manifest[1]["spec"]["schema"][0]["nodes"] = {"table": "raw", "columns": ["id", "doc->>a", "doc->b", "more"], "transform": {
        "rename": {"more": "said"}, "replace": {"more": {"x": "z"}}, "concat": {"columns": ["said", "id"], "destination": "all"}}}
    run = worker(manifest).start()
    eventually(lambda: run.condition("Ready").get("status") == "True", 20, lambda: f"Ready ({run.status()})")
    wanted = {"1": {"id": 1, "doc_a": "x", "doc_b": [1], "said": "z", "all": "z1"},
              "2": {"id": 2, "doc_a": None, "doc_b": None, "said": ["x", "\0"], "all": "2"},
              "3": {"id": 3, "doc_a": r"x\u0000", "doc_b": None, "said": r"z\u0000", "all": r"z\u00003"}}
    assert opensearch.documents(index) == wanted
    assert run.status()["indices"][0]["nulledValues"] == 2
    books.sql("""UPDATE raw SET doc = '{"a": "y"}' WHERE id = 2""")
    wanted["2"]["doc_a"] = "y"
    eventually(lambda: opensearch.documents(index) == wanted, 10, lambda: f"the change ({opensearch.documents(index)})")


def test_a_dead_letter_may_quote_a_long_rejected_value(worker, manifest, books, opensearch, index):
    """The engine's reason quotes the value; in JSON, each of these characters becomes six."""
    manifest[1]["spec"]["schema"][0]["mapping"] = {"title": {"type": "integer"}}
    books.sql("UPDATE books SET title = id; UPDATE books SET title = repeat(chr(1), 5000) WHERE id = 2")
    run = worker(manifest, "--until-caught-up").start()
    assert run.finish(30) == 0, run.process.tail()
    assert dead_letters(opensearch, index).keys() == {"2"}


def test_nullable_keys_and_duplicate_names_are_refused(state, unique, manifest, books):
    books.sql("CREATE TABLE coded (code text UNIQUE, _meta text)")
    books.own_tables()
    manifest[1]["spec"]["schema"][0]["nodes"] = {"table": "coded", "primary_key": ["code"]}
    manifest[1]["spec"]["documents"] = {"meta": "Pgsync"}
    code, said = plan(state, unique, manifest)
    assert code == 1
    for words in ("primary_key[0]: column `code` may be null", "SET NOT NULL", "two fields are named `_meta`"):
        assert words in said, f"{words!r} is not in: {said}"


def test_a_table_that_others_inherit_from_is_refused(state, unique, manifest, books):
    books.sql("CREATE TABLE more_books () INHERITS (books)")
    code, said = plan(state, unique, manifest)
    assert code == 1
    assert "public.books has tables that inherit from it" in said and "more_books" not in said
    books.sql("DROP TABLE more_books")
    code, said = plan(state, unique, manifest)
    assert code == 0, said


def test_a_missing_pipeline_is_waited_for(worker, manifest, books, opensearch, index):
    manifest[1]["spec"]["schema"][0]["pipeline"] = f"{index} of mine"
    run = worker(manifest).start()
    eventually(lambda: run.condition("Ready").get("reason") == "PipelineMissing", 20, lambda: f"a reason ({run.status()})")
    assert f'no ingest pipeline "{index} of mine"' in run.condition("Ready")["message"]
    assert not opensearch.indices(f"{index}*")
    opensearch.request("PUT", f"_ingest/pipeline/{index}%20of%20mine", {"processors": [{"uppercase": {"field": "title"}}]})
    eventually(lambda: run.condition("Ready").get("status") == "True", 60, lambda: f"Ready ({run.status()})")
    assert opensearch.document(index, "1")["title"].isupper()
