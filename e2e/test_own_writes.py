"""The bookstore's GET /search?after=POSITION: a search that is given the position of a write finds it."""

import os
import threading

import pytest
import requests
from parts.faultproxy import FaultProxy
from parts.search import eventually
from parts.threads import start_threads

ROUNDS = int(os.environ.get("E2E_ROUNDS", 200))
LONG_ROUNDS = int(os.environ.get("E2E_LONG_ROUNDS", 10_000))


@pytest.fixture
def unrefreshed(shop, opensearch):
    """The bookstore, on an index that nothing but waits refreshes: without them, a write is found only by chance."""
    opensearch.request("PUT", f"{shop.index}/_settings", {"index": {"refresh_interval": "-1"}})
    yield shop
    opensearch.request("PUT", f"{shop.index}/_settings", {"index": {"refresh_interval": None}})


class Client:
    """One user: each write is followed by a search that must contain it."""

    def __init__(self, shop, name):
        self.url, self.name = shop.url, name
        self.http = requests.Session()
        self.http.trust_env = False

    def write(self, method, path, body=None):
        """A write; (its answer, the position of its commit)."""
        answer = self.http.request(method, self.url + path, json=body, timeout=30)
        assert answer.ok, answer.text
        return answer.json() if answer.content else None, answer.headers["Commit-Position"]

    def found(self, text, position):
        """The titles that a search for a text finds; asked again while the worker is away."""
        answers = []

        def searched():
            answers.append(self.http.get(self.url + "/search", params={"q": text, "mode": "phrase", "after": position}, timeout=30))
            return answers[-1].status_code not in (503, 504)

        eventually(searched, 120, lambda: f"a search after {position} ({answers[-1].text})", interval=0.05)
        assert answers[-1].status_code == 200, answers[-1].text
        return [hit["source"]["title"] for hit in answers[-1].json()["hits"]]

    def rounds(self, count):
        """A book's life again and again: added, changed, its author renamed, deleted; a search after each write."""
        author, _ = self.write("POST", "/authors", {"name": f"author {self.name}"})
        for n in range(0, count, 4):
            title, isbn = f"round {self.name} {n}", f"{self.name:04}{n:09}"
            book, position = self.write("POST", "/books", {"title": title, "isbn": isbn, "price": "1", "author_ids": [author["id"]]})
            assert self.found(title, position) == [title]
            changed = f"changed {self.name} {n}"
            _, position = self.write("PATCH", f"/books/{book['id']}", {"title": changed})
            assert self.found(changed, position) == [changed] and self.found(title, position) == []
            _, position = self.write("PATCH", f"/authors/{author['id']}", {"name": f"writer {self.name} {n}"})
            assert self.found(f"writer {self.name} {n}", position) == [changed]
            _, position = self.write("DELETE", f"/books/{book['id']}")
            assert self.found(changed, position) == []
        self.write("DELETE", f"/authors/{author['id']}")


def clients(shop, n, count):
    """Threads that make `count` rounds together, and what went wrong in them."""
    return start_threads(n, lambda name: Client(shop, name).rounds(count // n))


def test_each_write_is_found_by_the_search_after_it(unrefreshed):
    running, problems = clients(unrefreshed, 2, ROUNDS)
    for each in running:
        each.join()
    assert not problems, problems[0]


@pytest.mark.long
def test_each_of_very_many_writes_is_found_though_the_worker_is_killed(unrefreshed):
    running, problems = clients(unrefreshed, 3, LONG_ROUNDS)
    while any(each.is_alive() for each in running):
        running[0].join(15)
        unrefreshed.worker.kill9()
        unrefreshed.worker.start().wait_ready()
    assert not problems, problems[0]


def test_every_write_says_its_position_and_nothing_else_does(shop):
    def position(method, path, body=None):
        return shop.http.request(method, shop.url + path, json=body, timeout=30).headers.get("Commit-Position")

    author = shop.ask("POST", "/authors", {"name": "Octavia Butler"})[1]["id"]
    book = shop.ask("POST", "/books", {"title": "Dawn", "isbn": "9780446603775", "price": "9.99", "author_ids": [author]})[1]["id"]
    for method, path, body in (("PATCH", f"/books/{book}", {"price": "8.99"}), ("POST", f"/books/{book}/publish", None),
                               ("PATCH", f"/authors/{author}", {"bio": "American novelist."})):
        assert position(method, path, body), (method, path)
    for method, path, body in (("GET", f"/books/{book}", None), ("GET", "/search?q=dawn", None), ("POST", "/books", {}),
                               ("PATCH", f"/books/{book}", {"price": "7", "version": "1"}), ("PATCH", "/books/999999", {"price": "7"}),
                               ("POST", "/books/999999/publish", None), ("DELETE", "/books/999999", None),
                               ("PATCH", "/authors/999999", {}), ("DELETE", f"/authors/{author}", None)):
        assert position(method, path, body) is None, (method, path)
    assert position("DELETE", f"/books/{book}") and position("DELETE", f"/authors/{author}")


@pytest.mark.parametrize("how, body, status, word", [
    (504, '{"error": "...", "reached": "0/19A2B40"}', 504, "everything before 0/19A2B40"),
    (504, "<html>of a proxy</html>", 504, "how far it is, is not known"),
    (503, '{"error": "the worker is stopping"}', 503, "the worker is stopping"),
    (404, "Not found", 502, "is --wait-url its address?"),
    ("reset", None, 503, "does not answer"),
])
def test_a_wait_that_fails_is_told_and_nothing_is_searched(shop, how, body, status, word):
    with FaultProxy(shop.worker.url) as worker, FaultProxy(shop.engine_url) as engine:
        other = shop.another("waiting", engine_url=engine.url, wait_url=worker.url)
        assert other.ask("GET", "/search?q=dune&after=0/1")[0] == 200
        searches = engine.requests.total()
        worker.fail(how, body=body)
        found, answer = other.ask("GET", "/search?q=dune&after=0/1")
        assert (found, answer["status"]) == (status, status) and word in answer["message"], answer
        assert engine.requests.total() == searches
        assert other.ask("GET", "/search?q=dune")[0] == 200
        worker.heal()
        assert other.ask("GET", "/search?q=dune&after=0/1")[0] == 200
        assert other.stop() == 0


def test_without_the_address_of_a_worker_no_search_waits(shop):
    other = shop.another("without", wait_url=None)
    status, answer = other.ask("GET", "/search?q=dune&after=0/1")
    assert status == 422 and answer["errors"][0]["field"] == "after" and "--wait-url" in answer["errors"][0]["message"]
    assert other.stop() == 0


def test_searches_that_wait_leave_workers_for_the_others(shop):
    """Of the bookstore: eight threads answer requests, and a position of the far future takes its whole time."""
    with FaultProxy(shop.worker.url) as worker:
        other = shop.another("waiting", wait_url=worker.url)
        worker.hold(lambda path, body: path.startswith("/wait"))
        statuses = []
        waiting = [threading.Thread(target=lambda: statuses.append(requests.get(f"{other.url}/search?q=dune&after=0/1", timeout=30).status_code))
                   for _ in range(12)]
        for each in waiting:
            each.start()
        eventually(lambda: len(worker.held) == 4 and len(statuses) == 8, 60, lambda: f"eight refusals ({statuses})")
        assert statuses == [503] * 8
        assert other.ask("GET", "/search?q=dune")[0] == 200 and other.ask("GET", "/books/3")[0] == 200
        worker.release()
        for each in waiting:
            each.join()
        assert sorted(statuses) == [200] * 4 + [503] * 8
        assert other.stop() == 0
