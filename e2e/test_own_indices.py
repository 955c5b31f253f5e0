"""The index of dead letters and that of checkpoints are full, closed or gone: nothing is lost, what to do is said, and once they are
repaired everything goes on."""

import bookstore
import pytest
from parts.opensearch import chosen
from parts.search import eventually

ISBN = "080442957X"
CHECKPOINTS = "pgsync-checkpoints"

BLOCK = ("PUT", "_settings", {"index.blocks.write": True})
FULL = ("PUT", "_settings", {"index.blocks.read_only_allow_delete": True})
CLOSE = ("POST", "_close", None)
DELETE = ("DELETE", "", None)
REPAIR = {"blocked": ("PUT", "_settings", {"index.blocks.write": None}),
          "full": ("PUT", "_settings", {"index.blocks.read_only_allow_delete": None}),
          "closed": ("POST", "_open", None), "deleted": None}
TROUBLES = {"blocked": BLOCK, "full": FULL, "closed": CLOSE, "deleted": DELETE}


def do(opensearch, name, action):
    if action:
        method, path, body = action
        opensearch.request(method, f"{name}/{path}".rstrip("/"), body)


@pytest.fixture
def start(worker, manifest):
    def run():
        manifest[1]["spec"]["schema"][0]["mapping"] = {"isbn": {"type": "long"}}
        return worker(manifest).start().wait_ready()

    return run


@pytest.mark.parametrize("trouble", TROUBLES)
def test_the_index_of_dead_letters_is_in_trouble(start, books, opensearch, index, trouble):
    run = start()
    dead = f"{index}-dead-letters"
    books.sql(f"UPDATE books SET isbn = '{ISBN}' WHERE id = 7")
    eventually(lambda: opensearch.indices(dead) and opensearch.count(dead) == 1, 30, "a dead letter")
    do(opensearch, dead, TROUBLES[trouble])
    books.sql(f"UPDATE books SET isbn = '{ISBN}X' WHERE id = 8; UPDATE books SET title = 'other' WHERE id = 9")
    if trouble != "deleted":
        told = eventually(lambda: run.condition("Ready").get("status") == "False" and run.condition("Ready"), 60, lambda: f"not Ready ({run.status()})")
        assert dead in told["message"], told
    do(opensearch, dead, REPAIR[trouble])
    eventually(lambda: opensearch.document(index, "9")["title"] == "other", 90, lambda: f"another document ({run.status()})")
    wanted = {"8"} if trouble == "deleted" else {"7", "8"}
    eventually(lambda: opensearch.indices(dead) and wanted <= set(opensearch.documents(dead)), 60, lambda: f"dead letters {wanted} ({run.status()})")
    books.sql("UPDATE books SET isbn = '1' WHERE id = 7; UPDATE books SET isbn = '2' WHERE id = 8")
    bookstore.wait_equal(opensearch, index, lambda: bookstore.expected(books))
    eventually(lambda: not opensearch.documents(dead), 60, lambda: f"no dead letters ({run.status()})")
    run.wait_ready()
    run.process.check()


@pytest.fixture(scope="module")
def engine(state):
    """A search engine whose checkpoints are these tests' alone."""
    with chosen()(state / "own-indices") as node:
        yield node


@pytest.mark.parametrize("trouble", TROUBLES)
def test_the_index_of_checkpoints_is_in_trouble(engine, worker, manifest, books, index, trouble):
    opensearch, manifest[1]["spec"]["sink"]["urls"] = engine, [engine.url]
    run = worker(manifest).start().wait_ready()
    do(opensearch, CHECKPOINTS, TROUBLES[trouble])
    books.sql("UPDATE books SET title = 'meanwhile' WHERE id = 7")
    if trouble in ("blocked", "full"):
        eventually(lambda: opensearch.document(index, "7")["title"] == "meanwhile", 30, lambda: f"the stream ({run.status()})")
        healthy = eventually(lambda: run.condition("SlotHealthy").get("status") == "False" and run.condition("SlotHealthy"), 60,
                             lambda: f"a slot that does not advance ({run.status()})")
        assert healthy["reason"] == "PositionNotSaved" and CHECKPOINTS in healthy["message"], healthy
    else:
        eventually(lambda: run.condition("Ready").get("status") == "False", 60, lambda: f"not Ready ({run.status()})")
    do(opensearch, CHECKPOINTS, REPAIR[trouble])
    books.sql("UPDATE books SET title = 'after' WHERE id = 8")
    bookstore.wait_equal(opensearch, index, lambda: bookstore.expected(books))
    lsn = books.value("SELECT pg_current_wal_lsn()::text")
    eventually(lambda: books.value("SELECT bool_or(confirmed_flush_lsn >= %s::pg_lsn) FROM pg_replication_slots WHERE database = current_database()", lsn),
               60, lambda: f"the acknowledgement ({run.status()})")
    eventually(lambda: run.condition("SlotHealthy").get("status") == "True", 30, lambda: f"a healthy slot ({run.status()})")
    run.stop()
    run.start().wait_ready()
    bookstore.wait_equal(opensearch, index, lambda: bookstore.expected(books))
