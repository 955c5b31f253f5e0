"""Checkpoints in Redis: whatever Redis loses, documents equal the tables; and what happens at worst is another bootstrap."""

import json
from urllib.parse import quote

import bookstore
import pytest
from parts import pki
from parts.redis import Redis, Sentinel
from parts.search import eventually
from parts.worker import pgsync, write_manifest


@pytest.fixture
def redis(state, unique):
    with Redis(state / f"redis-{unique}", config="appendonly yes\nappendfsync always\n") as made:
        yield made


@pytest.fixture
def manifest(manifest, index):
    """With a name of the test's own, since checkpoints are kept by it."""
    manifest[1]["metadata"]["name"] = index
    return manifest


def keep_in_redis(manifest, redis, **more):
    manifest[1]["spec"]["checkpoint"] = {"store": "Redis", "redis": {
        "url": redis.url, "passwordSecretRef": {"name": "redis"}, **more}}
    return [*manifest, bookstore.secret("redis", password=redis.password)]


def key_of(redis):
    keys = redis.command("KEYS", "*")
    assert len(keys) == 1, keys
    return keys[0]


def stored(redis):
    return json.loads(redis.command("GET", key_of(redis)))


def generation(opensearch, index):
    """The index that the alias leads to."""
    return list(opensearch.request("GET", f"_alias/{index}"))


def wait_equal(opensearch, index, books):
    bookstore.wait_equal(opensearch, index, lambda: bookstore.expected(books))


def restart(run, objects=None):
    run.stop()
    if objects:
        write_manifest(run.manifest, objects)
    return run.start().wait_ready()


def test_main_flow_with_the_checkpoint_in_redis(worker, manifest, redis, books, opensearch, index):
    run = worker(keep_in_redis(manifest, redis)).start().wait_ready()
    wait_equal(opensearch, index, books)
    found = stored(redis)["checkpoint"]
    assert found["phase"] == "Live" and found["indices"][0]["name"] == index
    stamp = opensearch.documents("pgsync-checkpoints")[key_of(redis).removeprefix("pgsync:")]
    assert stamp["store"] == "Redis" and "indices" not in stamp, stamp
    first = generation(opensearch, index)
    books.sql("UPDATE books SET title = 'Renamed' WHERE id = 3")
    restart(run)
    wait_equal(opensearch, index, books)
    assert generation(opensearch, index) == first, "a restart has rebuilt the index"


@pytest.mark.parametrize("loss", ["flush", "damage"])
def test_redis_that_loses_the_checkpoint_costs_one_bootstrap(worker, manifest, redis, books, opensearch, index, loss):
    run = worker(keep_in_redis(manifest, redis)).start().wait_ready()
    first = generation(opensearch, index)
    run.stop()
    books.sql("DELETE FROM books WHERE id = 3")
    books.sql("UPDATE books SET title = 'Renamed' WHERE id = 4")
    if loss == "flush":
        redis.command("FLUSHALL")
    else:
        redis.command("SET", key_of(redis), "{not ours")
    run.start().wait_ready()
    wait_equal(opensearch, index, books)
    assert generation(opensearch, index) != first, "the index was kept although nothing says what is in it"
    assert "Redis has lost the checkpoint" in run.process.log.read_text()
    second = generation(opensearch, index)
    restart(run)
    wait_equal(opensearch, index, books)
    assert generation(opensearch, index) == second, "the bootstrap is repeated again and again"


def sales(database, redis, opensearch, index):
    """A PgSync of a table with one partition, and what its index should contain."""
    database.create_role()
    database.sql(f'GRANT ALL ON SCHEMA public TO "{database.role}"')

    def sql(*statements):
        with database.server.connect(database.name, database.role, database.role_password) as connection:
            for statement in statements:
                cursor = connection.execute(statement)
            return cursor.fetchall() if cursor.description else []

    sql("CREATE TABLE sales (id int PRIMARY KEY, amount int) PARTITION BY RANGE (id)",
        "CREATE TABLE sales_1 PARTITION OF sales FOR VALUES FROM (0) TO (10)", "INSERT INTO sales VALUES (1, 100)")
    resource = {"apiVersion": "pgsync.io/v1alpha1", "kind": "PgSync", "metadata": {"name": index}, "spec": {
        "source": {"host": "127.0.0.1", "port": database.server.port, "database": database.name, "user": database.role,
                   "passwordSecretRef": {"name": "postgres", "key": "password"}},
        "sink": {"urls": [opensearch.url]},
        "schema": [{"index": index, "nodes": {"table": "sales", "columns": ["amount"]}}]}}
    return sql, keep_in_redis([bookstore.secret("postgres", password=database.role_password), resource], redis)


def test_redis_that_was_restored_to_an_older_state_never_makes_a_document_wrong(worker, database, redis, opensearch, index):
    """The old checkpoint does not know of a partition whose rows have come into the index since. Now that it is detached, the
    tables are what the old checkpoint says they are: without the stamp, nothing tells that these rows have to go."""
    sql, objects = sales(database, redis, opensearch, index)

    def becomes_equal():
        wanted = {str(id): {"amount": amount} for id, amount in sql("SELECT id, amount FROM sales")}
        eventually(lambda: opensearch.documents(index) == wanted, 30, lambda: f"{wanted} (there is {opensearch.documents(index)})")

    run = worker(objects).start().wait_ready()
    becomes_equal()
    run.stop()
    old = redis.command("GET", key_of(redis))
    sql("CREATE TABLE sales_2 PARTITION OF sales FOR VALUES FROM (10) TO (20)", "INSERT INTO sales VALUES (11, 1100)")
    run.start().wait_ready()
    becomes_equal()
    run.stop()
    assert redis.command("GET", key_of(redis)) != old
    sql("ALTER TABLE sales DETACH PARTITION sales_2")
    redis.command("SET", key_of(redis), old)
    run.start().wait_ready()
    becomes_equal()


def test_search_engine_whose_stamp_goes_back_leads_to_a_rebuild(worker, manifest, redis, books, opensearch, index):
    """As if the engine had been restored: what was acknowledged since is not in the index, and does not come again."""
    run = worker(keep_in_redis(manifest, redis)).start().wait_ready()
    path = f"pgsync-checkpoints/_doc/{quote(key_of(redis).removeprefix('pgsync:'), safe='')}"
    old = opensearch.request("GET", path)["_source"]
    books.sql("UPDATE books SET title = 'Renamed' WHERE id = 3")
    wait_equal(opensearch, index, books)
    eventually(lambda: opensearch.request("GET", path)["_source"]["confirmedLSN"] != old["confirmedLSN"], 30, "a later stamp")
    run.stop()
    opensearch.request("PUT", path, old)
    opensearch.request("PUT", f"{index}/_doc/3", {"title": "as it was"})
    run.start().wait_ready()
    wait_equal(opensearch, index, books)
    assert "the search engine has an older stamp" in run.process.log.read_text()


@pytest.mark.long
def test_kill_flush_and_restore_under_writes(worker, manifest, redis, books, opensearch, index):
    run = worker(keep_in_redis(manifest, redis)).start().wait_ready()
    old = redis.command("GET", key_of(redis))

    def write(number):
        for book in range(1, 26):
            books.sql("UPDATE books SET title = %s WHERE id = %s", f"title {number} of {book}", book)
        books.sql("DELETE FROM books WHERE id = %s", number + 1)
        books.sql("INSERT INTO books (isbn, title, price) VALUES (%s, 'new', 1)", f"new {number}")

    for number, trouble in enumerate((redis.kill9, lambda: redis.command("FLUSHALL"),
                                      lambda: redis.command("SET", "pgsync:" + json.loads(old)["checkpoint"]["owner"] + "/"
                                                            + json.loads(old)["checkpoint"]["slot"], old))):
        write(3 * number)
        trouble()
        write(3 * number + 1)
        run.kill9()
        write(3 * number + 2)
        if not redis.process.alive:
            redis.start()
        run.start().wait_ready()
        wait_equal(opensearch, index, books)


def test_redis_that_is_away_is_waited_for(worker, manifest, redis, books, opensearch, index):
    objects = keep_in_redis(manifest, redis)
    redis.stop()
    run = worker(objects).start()
    eventually(lambda: "redis://127.0.0.1" in run.condition("Ready").get("message", ""), 30, lambda: f"a message ({run.status()})")
    assert run.condition("Ready")["reason"] == "Refused"
    redis.start()
    run.wait_ready()
    wait_equal(opensearch, index, books)


def test_wrong_password_is_reported_with_its_secret(state, unique, manifest, redis):
    objects = keep_in_redis(manifest, redis)
    objects[2]["stringData"]["password"] = "geheim"
    code, out, err = pgsync("plan", "-f", write_manifest(state / f"{unique}.yaml", objects))
    assert code != 0
    assert "wrong user or password" in out + err and 'Secret "redis"' in out + err, out + err
    assert "geheim" not in out + err


def test_moving_between_the_stores_keeps_the_progress(worker, manifest, redis, books, opensearch, index):
    run = worker(manifest).start().wait_ready()
    first = generation(opensearch, index)
    in_redis = keep_in_redis(manifest, redis)
    for objects, there in ((in_redis, True), (json.loads(json.dumps(in_redis)), False), (in_redis, True)):
        if not there:
            objects[1]["spec"]["checkpoint"]["store"] = "Sink"
        books.sql("UPDATE books SET price = price + 1")
        restart(run, objects)
        wait_equal(opensearch, index, books)
        assert generation(opensearch, index) == first, "moving the checkpoint has rebuilt the index"
        assert bool(redis.command("KEYS", "*")) == there
    objects[1]["spec"]["checkpoint"] = {"store": "Sink"}
    run.stop()
    write_manifest(run.manifest, objects)
    run.start()
    eventually(lambda: "spec.checkpoint.redis" in run.condition("Ready").get("message", ""), 30, lambda: f"a message ({run.status()})")


def test_two_workers_never_both_save(worker, manifest, redis, books, opensearch, index):
    objects = keep_in_redis(manifest, redis)
    first, second = worker(objects).start().wait_ready(), worker(objects).start()
    eventually(lambda: second.condition("Ready").get("status") == "True", 60, lambda: f"the second ({second.status()})")
    books.sql("UPDATE books SET price = price + 1")
    wait_equal(opensearch, index, books)
    eventually(lambda: [w.condition("Streaming").get("status") for w in (first, second)].count("True") == 1, 30,
               lambda: f"one of the two that streams ({first.status()}, {second.status()})")
    assert generation(opensearch, index) == [f"{index}-g1"]


def test_tls_user_database_and_sentinel(worker, manifest, state, unique, authority, books, opensearch, index):
    certificate = authority.issue("redis", "/CN=redis")
    with Redis(state / f"redis-{unique}", certificate=certificate) as redis:
        redis.command("ACL", "SETUSER", "pgsync", "on", ">p w", "~pgsync:*", "+get", "+set", "+del", "+watch", "+multi", "+exec",
                      "+select")
        objects = keep_in_redis(manifest, redis, username="pgsync", tls={"caSecretRef": {"name": "redis"}})
        objects[1]["spec"]["checkpoint"]["redis"]["url"] = redis.url.replace("/0", "/3")
        objects[2]["stringData"] = {"password": "p w", "ca.crt": authority.cert.read_text()}
        run = worker(objects).start().wait_ready()
        wait_equal(opensearch, index, books)
        assert "db3" in redis.command("INFO", "keyspace")
        run.stop()
        objects[2]["stringData"]["ca.crt"] = pki.Authority(state / f"other-{unique}").cert.read_text()
        code, out, err = pgsync("plan", "-f", write_manifest(state / f"{unique}.yaml", objects))
        assert code != 0 and "issuer" in out + err, out + err


def test_sentinel_names_the_server(worker, manifest, state, unique, redis, books, opensearch, index):
    with Sentinel(state / f"sentinel-{unique}", redis) as sentinel:
        objects = keep_in_redis(manifest, redis, sentinels=["127.0.0.1:1", f"127.0.0.1:{sentinel.port}"])
        objects[1]["spec"]["checkpoint"]["redis"]["url"] = "redis://mymaster/0"
        worker(objects).start().wait_ready()
        wait_equal(opensearch, index, books)
        assert stored(redis)["checkpoint"]["phase"] == "Live"
