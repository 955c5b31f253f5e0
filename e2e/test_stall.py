"""A search engine that needs seconds for every request except bulks delays neither the stream nor the status.

`make stall` runs it for STALL_SECONDS (600); a server that hears nothing from the worker for wal_sender_timeout ends the
stream, so a timeout shorter than an answer takes shows that the stream's thread does not wait for those answers.
"""

import os
import time

import bookstore
import pytest
from parts.search import eventually

SECONDS = float(os.environ.get("STALL_SECONDS", 60))
ANSWER_SECONDS = 7
STATUS_AGE = 2  # seconds
TIMEOUT = "5s"


def lsn(text):
    high, low = text.split("/")
    return int(high, 16) << 32 | int(low, 16)


class Status:
    """Whether /status is as new as the server's own record of the slot was a while ago."""

    def __init__(self, run, database):
        self.run, self.database = run, database
        self.confirmed = []  # (when, the slot's confirmed_flush_lsn) of the last seconds
        self.oldest = 0.0

    def look(self):
        now = time.monotonic()
        position = self.database.value("SELECT confirmed_flush_lsn::text FROM pg_replication_slots WHERE database = current_database()")
        status = self.run.status()
        assert status, f"/status does not answer\n{self.run.process.tail()}"
        shown = lsn(status["stream"]["confirmedFlushLSN"])
        # Positions that are already shown are new enough; the first one that is not shows how old the status is.
        self.confirmed = [(t, p) for t, p in self.confirmed if p > shown] + ([(now, lsn(position))] if lsn(position) > shown else [])
        if self.confirmed:
            self.oldest = max(self.oldest, now - self.confirmed[0][0])


@pytest.mark.long
def test_slow_answers_neither_end_the_stream_nor_leave_a_stale_status(worker, own_postgres, unique, opensearch, index, fault_proxy):
    database = own_postgres(conf={"wal_sender_timeout": TIMEOUT}).create_database(unique)
    bookstore.load(database)
    database.create_role()
    made = bookstore.resource("books", database, fault_proxy.url, index=index)
    made["spec"]["schema"].append({"index": f"{index}-titles", "nodes": {"table": "books", "columns": ["title"]}})
    run = worker([bookstore.secret("bookstore-postgres", password=database.role_password), made]).start()
    eventually(lambda: run.condition("Ready").get("status") == "True", 60, lambda: f"Ready ({run.status()})")
    streams, status = database.walsenders(), Status(run, database)
    fault_proxy.slow(ANSWER_SECONDS, unless="/_bulk")
    changes, end = 0, time.monotonic() + SECONDS
    while time.monotonic() < end:
        changes += 1
        database.sql("UPDATE books SET price = %s, title = %s WHERE id = 1 + %s %% 25", changes / 100, f"change {changes}", changes)
        status.look()
        assert database.walsenders() == streams, f"the stream ended after {changes} changes\n{run.process.tail(40)}"
        time.sleep(0.3)
    print(f"{changes} changes in {SECONDS:.0f} s; /status was at most {status.oldest:.1f} s old")
    assert status.oldest <= STATUS_AGE
    assert run.condition("Ready").get("status") == "True", run.status()
    fault_proxy.slow(0)
    wanted = bookstore.expected(database)
    eventually(lambda: not bookstore.differences(opensearch.documents(index), wanted), 30,
               lambda: f"equality ({bookstore.differences(opensearch.documents(index), wanted)})", interval=0.2)
    titles = {id: {"title": document["title"]} for id, document in wanted.items()}
    eventually(lambda: opensearch.documents(f"{index}-titles") == titles, 30, "equality of the second index", interval=0.2)
