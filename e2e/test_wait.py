"""GET /wait: a client that writes to Postgres and waits for the position finds its write by searching."""

import os
import signal
import threading

import pytest
import requests
from parts.ports import free_port
from parts.search import eventually
from parts.threads import start_threads

ROUNDS = int(os.environ.get("E2E_ROUNDS", 100))
LONG_ROUNDS = int(os.environ.get("E2E_LONG_ROUNDS", 100_000))


@pytest.fixture
def run(worker, manifest):
    return worker(manifest).start().wait_ready()


class Supervised:
    """The worker of an operator, as its clients see it."""

    def __init__(self, operator, port, resources):
        self.operator, self.resources = operator, resources
        self.url = f"http://127.0.0.1:{port}/{resources.namespace}/books"

    def status(self):
        return self.resources.get("books").get("status")

    def kill9(self):
        (pid,) = self.operator.workers()
        os.kill(pid, signal.SIGKILL)


@pytest.fixture
def supervised(make_operator, resources, books, opensearch, index):
    port = free_port()
    operator = make_operator("waits", "--namespace", resources.namespace, "--leader-elect=false", "--wait-listen", f"127.0.0.1:{port}").start()
    resources.apply_books("books", books, opensearch.url, index=index)
    resources.wait("books")
    return Supervised(operator, port, resources)


def wait(run, lsn, timeout="20s"):
    return requests.get(f"{run.url}/wait", params={"lsn": lsn, "timeout": timeout}, timeout=70)


def position(connection):
    return connection.execute("SELECT pg_current_wal_insert_lsn()").fetchone()[0]


def titles(opensearch, index, title):
    """By a search, not by id, which would need no refresh."""
    answer = opensearch.request("POST", f"{index}/_search", {"query": {"match_phrase": {"title": title}}, "size": 100})
    return [hit["_source"]["title"] for hit in answer["hits"]["hits"]]


def rounds(run, connection, opensearch, index, who, count):
    """Writes, waits, searches; the position is none when the worker was killed meanwhile, so the wait is repeated."""
    for n in range(count):
        title = f"round {who} {n}"
        connection.execute("UPDATE books SET title = %s WHERE id = %s", (title, who))
        lsn = position(connection)

        def reached():
            try:
                return wait(run, lsn).status_code == 200
            except requests.RequestException:
                return False  # killed

        eventually(reached, 120, lambda: f"{lsn} in the index ({run.status()})", interval=0.05)
        assert title in titles(opensearch, index, title), f"{lsn} is said to be in the index, but {title} is not found"


def connect(books):
    connection = books.server.connect(books.name)
    connection.autocommit = True
    return connection


def test_write_is_found_after_the_wait(run, books, opensearch, index):
    # Found without the wait only by chance: nothing else refreshes the index.
    opensearch.request("PUT", f"{index}-g1/_settings", {"index": {"refresh_interval": "-1"}})
    with connect(books) as connection:
        rounds(run, connection, opensearch, index, 1, ROUNDS)


def clients(run, books, opensearch, index, n, count):
    """Threads that make `count` rounds each, and what went wrong in them."""

    def client(who):
        with connect(books) as connection:
            rounds(run, connection, opensearch, index, who, count)

    return start_threads(n, client)


def outlive_kills(writing, problems, kill):
    """Kills the worker twice, while clients write; each must find what it wrote."""
    for _ in range(2):
        writing[0].join(1)
        kill()
    for each in writing:
        each.join()
    assert not problems, problems[0]


def test_writes_of_several_clients_are_found_though_the_worker_is_killed(run, books, opensearch, index):
    opensearch.request("PUT", f"{index}-g1/_settings", {"index": {"refresh_interval": "-1"}})

    def kill():
        run.kill9()
        run.start().wait_ready()

    outlive_kills(*clients(run, books, opensearch, index, 3, ROUNDS // 2), kill)


def test_writes_of_several_clients_are_found_through_the_operator_though_its_worker_is_killed(supervised, books, opensearch, index):
    opensearch.request("PUT", f"{index}-g1/_settings", {"index": {"refresh_interval": "-1"}})

    def kill():
        supervised.kill9()
        supervised.resources.wait("books", status="False")
        supervised.resources.wait("books")

    outlive_kills(*clients(supervised, books, opensearch, index, 3, ROUNDS // 2), kill)


def test_operator_says_what_is_wrong(supervised):
    answer = wait(supervised, "soon")
    assert answer.status_code == 400 and "lsn must be" in answer.json()["error"]
    answer = wait(supervised, "FFFFFFFF/0", timeout="100ms")
    assert answer.status_code == 504 and "/" in answer.json()["reached"]
    answer = requests.get(f"{supervised.url}s/wait?lsn=0/1", timeout=10)
    assert answer.status_code == 503 and "no worker of this PgSync" in answer.json()["error"]
    supervised.resources.patch("books", {"suspend": True})
    supervised.resources.wait("books", "Suspended")
    answer = wait(supervised, "0/1")
    assert answer.status_code == 503 and "suspended" in answer.json()["error"]


def test_waits_end_when_the_operator_stops(supervised):
    answers = []
    waiting = threading.Thread(target=lambda: answers.append(wait(supervised, "FFFFFFFF/0", timeout="60s")))
    waiting.start()
    waiting.join(1)
    assert supervised.operator.stop() == 0
    waiting.join(10)
    assert [answer.status_code for answer in answers] == [503]
    supervised.operator.start()  # it has to delete the PgSync


@pytest.mark.long
def test_no_write_of_very_many_is_missed(run, books, opensearch, index):
    opensearch.request("PUT", f"{index}-g1/_settings", {"index": {"refresh_interval": "-1"}})
    writing, problems = clients(run, books, opensearch, index, 3, LONG_ROUNDS // 3)
    while any(each.is_alive() for each in writing) and not problems:
        writing[0].join(30)
        run.kill9()
        run.start().wait_ready()
    for each in writing:
        each.join()
    assert not problems, problems[0]


def test_position_without_any_change_of_the_tables_is_reached(run, books):
    with connect(books) as connection:
        for _ in range(20):
            connection.execute("SELECT pg_logical_emit_message(false, 'test', repeat('x', 5000))")
            assert wait(run, position(connection)).status_code == 200


def test_wait_says_what_is_wrong(run):
    for query, word in {"": "lsn", "lsn=": "lsn", "lsn=12": "lsn", "lsn=0/zz": "lsn", "lsn=0/1&timeout=2h": "timeout",
                        "lsn=0/1&timeout=soon": "timeout"}.items():
        answer = requests.get(f"{run.url}/wait?{query}", timeout=10)
        assert answer.status_code == 400 and word in answer.json()["error"], (query, answer.text)
    answer = wait(run, "FFFFFFFF/0", timeout="100ms")
    assert answer.status_code == 504 and "does not contain" in answer.json()["error"] and "/" in answer.json()["reached"]


def test_waits_end_when_the_worker_stops_and_do_not_hold_up_the_status(run):
    answers = []

    def client():
        try:
            answers.append(wait(run, "FFFFFFFF/0", timeout="60s").status_code)
        except requests.RequestException:
            answers.append(None)  # it had not begun to wait

    waiting = [threading.Thread(target=client) for _ in range(40)]
    for each in waiting:
        each.start()
    for _ in range(10):
        assert run.condition("Ready").get("status") == "True"
    assert run.stop() == 0
    for each in waiting:
        each.join()
    assert 503 in answers and set(answers) <= {503, None}
