"""A search engine that is restored to an older state while the replication slot has gone on: what was acknowledged in between does
not come again, so the index is rebuilt, by itself, and behind its alias."""

import shutil

import bookstore
import pytest
from parts.opensearch import chosen
from parts.search import eventually
from parts.worker import Worker


class Restorable(chosen()):
    """A node whose state can be kept and put back: its volume, or some of its indices."""

    def __init__(self, state):
        super().__init__(state, snapshots=True)
        self.kept = self.state / "kept"

    def restart(self, between):
        self.stop()
        between(self.state / "node/data", self.kept)
        self.start()

    def keep_volume(self):
        self.restart(lambda data, kept: shutil.copytree(data, kept))

    def restore_volume(self):
        def put_back(data, kept):
            shutil.rmtree(data)
            shutil.move(kept, data)

        self.restart(put_back)

    def keep(self, name, indices):
        self.request("PUT", "_snapshot/kept", {"type": "fs", "settings": {"location": "kept"}})
        self.request("PUT", f"_snapshot/kept/{name}?wait_for_completion=true", {"indices": indices, "include_global_state": False})

    def restore(self, name, indices, how):
        for index in self.indices(indices):
            if how == "deleted":
                self.request("DELETE", index)
            else:
                self.request("POST", f"{index}/_close")
        self.request("POST", f"_snapshot/kept/{name}/_restore?wait_for_completion=true", {"indices": indices, "include_global_state": False})
        self.request("DELETE", f"_snapshot/kept/{name}")


@pytest.fixture(scope="module")
def node(module_state):
    with Restorable(module_state / "restorable") as node:
        yield node


@pytest.fixture
def run(state, unique, node, books, index):
    """A worker whose PgSync has its own name, since checkpoints are kept by it."""
    resource = bookstore.resource("books", books, node.url, index=index)
    resource["metadata"]["name"] = index
    run = Worker(state / f"restored-{unique}", [bookstore.secret("bookstore-postgres", password=books.role_password), resource])
    run.start().wait_ready()
    yield run
    run.stop()


def wait_acknowledged(books):
    lsn = books.value("SELECT pg_current_wal_lsn()")
    eventually(lambda: books.value("SELECT bool_and(confirmed_flush_lsn >= %s::pg_lsn) FROM pg_replication_slots"
                                   " WHERE database = current_database()", lsn), 60, f"the acknowledgement of {lsn}", interval=0.1)


def wait_equal(node, index, books):
    bookstore.wait_equal(node, index, lambda: bookstore.expected(books))


def change_and_wait(node, index, books):
    """Changes that no later change of their rows repeats."""
    books.sql("UPDATE books SET title = 'changed after the copy was made' WHERE id = 3")
    books.sql("DELETE FROM books WHERE id = 4")
    books.sql("INSERT INTO books (isbn, title, price) VALUES ('later', 'inserted after the copy was made', 1)")
    wait_equal(node, index, books)
    wait_acknowledged(books)


def histories(node, index):
    node.refresh("pgsync-checkpoints")
    return [h for d in node.documents("pgsync-checkpoints").values() for i in d.get("indices", []) if i["name"] == index
            for h in i.get("histories", {})]


def wait_rebuilt(run, node, index, books, first, cause):
    eventually(lambda: node.aliases(index) not in ([], first), 60, lambda: f"another generation ({run.status()})")
    run.wait_ready()
    wait_equal(node, index, books)
    assert cause in run.process.log.read_text()
    # Once is enough.
    second = node.aliases(index)
    run.stop()
    run.start().wait_ready()
    wait_equal(node, index, books)
    assert node.aliases(index) == second, "the index is rebuilt again and again"


@pytest.mark.parametrize("worker_state", ["stopped", "running"])
def test_volume_that_is_restored_leads_to_a_rebuild(run, node, index, books, worker_state):
    wait_equal(node, index, books)
    wait_acknowledged(books)
    first = node.aliases(index)
    node.keep_volume()
    run.wait_ready()
    change_and_wait(node, index, books)
    if worker_state == "stopped":
        run.stop()
    node.restore_volume()
    if worker_state == "stopped":
        run.start()
    else:
        # It has no reason to save or to write anything before a change comes.
        books.sql("UPDATE books SET title = 'changed after the restore' WHERE id = 5")
    wait_rebuilt(run, node, index, books, first, "ahead of what the search engine has")


@pytest.mark.parametrize("worker_state", ["stopped", "running"])
@pytest.mark.parametrize("how", ["deleted", "closed"])
@pytest.mark.parametrize("what", ["index", "index and checkpoint"])
def test_snapshot_that_is_restored_leads_to_a_rebuild(run, node, index, books, what, how, worker_state):
    wait_equal(node, index, books)
    wait_acknowledged(books)
    # The histories of the shards are in the checkpoint within ten seconds.
    eventually(lambda: histories(node, index), 30, "the histories in the checkpoint")
    first = node.aliases(index)
    restored = f"{index}-g*" if what == "index" else f"{index}-g*,pgsync-checkpoints"
    node.keep(index, restored)
    change_and_wait(node, index, books)
    if worker_state == "stopped":
        run.stop()
    node.restore(index, restored, how)
    if worker_state == "stopped":
        run.start()
    eventually(lambda: node.aliases(index) not in ([], first), 60, lambda: f"another generation ({run.status()})")
    run.wait_ready()
    wait_equal(node, index, books)
