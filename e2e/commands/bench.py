"""Measures pgsync beside its floors, in one run on one machine: bench [--rounds N] [--write]."""

import argparse
import datetime
import http.client
import os
import platform
import re
import resource
import select
import shutil
import statistics
import subprocess
import tempfile
import threading
import time
from dataclasses import dataclass
from pathlib import Path

import bookstore
from parts import fetch
from parts.faultproxy import FaultProxy
from parts.opensearch import OpenSearch
from parts.operator import TREE
from parts.postgres import Postgres
from parts.process import cpu_seconds, interrupt_on_term, memory_peak_kib, stop_all
from parts.search import eventually
from parts.worker import Worker

BOOKS, AUTHORS, LINKS = 200_000, 50_000, 300_000
BACKLOG = 100_000
WRITERS, WRITTEN = 4, 10_000
LATENCIES = 400
APPLICATION, PACE = 8, 200  # seconds of pgbench; its transactions per second where latencies are of interest
INDEX = "bench"

# The document query, handwritten, as a lower bound: what one would write by hand for the same documents.
QUERY = """SELECT b.id, json_build_object('title', b.title, 'isbn', b.isbn, 'price', b.price, 'status', b.status,
    'published_at', b.published_at, 'authors', a.list) AS document
FROM books b LEFT JOIN LATERAL (
    SELECT json_agg(json_build_object('name', a.name, 'bio', a.bio) ORDER BY a.id) AS list
    FROM book_authors l JOIN authors a ON a.id = l.author_id WHERE l.book_id = b.id) a ON true"""


def say(text):
    print(f"  {text}", flush=True)


def quantile(values, q):
    return sorted(values)[min(len(values) - 1, int(q * len(values)))]


@dataclass
class Run:
    """One filling of the index: wall time until the engine has answered everything, and until all of it can be found (a
    bootstrap ends with the latter); processor time of each side. On a busy machine only the latter is of use."""

    seconds: float
    searchable: float
    engine: float
    postgres: float
    worker: float = 0
    peak_kib: int = 0

    def __str__(self):
        return (f"{self.seconds:.2f} s, searchable after {self.searchable:.2f} s; CPU: engine {self.engine:.2f} s, "
                f"Postgres {self.postgres:.2f} s, worker {self.worker:.2f} s")


class Bench:
    """The parts, the data, and one method for each measurement."""

    def __init__(self, state: Path):
        self.state = state
        self.postgres = Postgres(state / "postgres", conf={"max_wal_size": "16GB", "shared_buffers": "512MB"})
        self.opensearch = None
        self.settings = self.mappings = self.bulks = self.manifest = None

    def start(self):
        self.postgres.start()
        self.database = self.postgres.create_database("bench")
        begin = time.monotonic()
        bookstore.generate(self.database, BOOKS, AUTHORS, LINKS)
        self.database.create_role()
        self.postgres.sql("CHECKPOINT")
        say(f"{BOOKS:,} books, {AUTHORS:,} authors, {LINKS:,} links: {time.monotonic() - begin:.1f} s")
        self.start_engine()
        secret = bookstore.secret("bookstore-postgres", password=self.database.role_password)
        resource = bookstore.resource("books", self.database, self.opensearch.url, index=INDEX)
        self.manifest = [secret, resource]

    def start_engine(self):
        """A new node, without data and without compiled code."""
        if self.opensearch:
            self.opensearch.stop()
            shutil.rmtree(self.opensearch.state)
        self.opensearch = OpenSearch(self.state / "opensearch", heap="2g", optimized=True).start()
        if self.manifest:
            self.sink(self.opensearch.url)

    def sink(self, url):
        self.manifest[1]["spec"]["sink"]["urls"] = [url]

    def processor_time(self):
        """Seconds so far: the engine, Postgres with all its backends, and the workers that have ended."""
        ended = resource.getrusage(resource.RUSAGE_CHILDREN)
        return (cpu_seconds(self.opensearch.process.pid), cpu_seconds(self.postgres.process.pid),
                ended.ru_utime + ended.ru_stime)

    def worker(self, *flags):
        return Worker(self.state / "worker", self.manifest, *flags)

    # --- the floors

    def copy_to_nowhere(self):
        """The seconds that Postgres needs to build all documents, on one connection."""
        begin = time.monotonic()
        self.database.sql(f"COPY ({QUERY}) TO '/dev/null'")
        return time.monotonic() - begin

    def record(self):
        """A bootstrap that is not counted: it warms up the search engine, and its bulk requests are kept for the replay."""
        with FaultProxy(self.opensearch.url) as proxy:
            proxy.recorded = []
            self.sink(proxy.url)
            self.until_caught_up()
            self.sink(self.opensearch.url)
            target = f"{INDEX}-g1".encode()
            # Sent under the index's name, since the worker's own alias no longer exists.
            self.bulks = [(re.sub(r"-W[0-9a-f]+/", "/", path), headers, body) for method, path, headers, body in proxy.recorded
                          if "_bulk" in path and (target in path.encode() or target in body[:500])]
        size = statistics.median(len(body) for *_, body in self.bulks) / (1 << 20)
        say(f"{len(self.bulks)} bulk requests of {size:.1f} MiB in the median")

    def replay(self):
        """Two connections, and nothing else, repeat the worker's bulk requests into a fresh index, which is then refreshed."""
        self.forget()
        self.opensearch.request("PUT", f"{INDEX}-g1", {"settings": {"index": self.settings}, "mappings": self.mappings})
        queue, problems = list(self.bulks), []

        def send():
            connection = http.client.HTTPConnection("127.0.0.1", self.opensearch.port, timeout=300)
            while True:
                try:
                    path, headers, body = queue.pop(0)
                except IndexError:
                    return
                connection.request("POST", path, body, headers)
                answer = connection.getresponse()
                text = answer.read()
                if answer.status != 200 or b'"status":4' in text:
                    problems.append(text[:300])

        threads = [threading.Thread(target=send) for _ in range(2)]
        before, begin = self.processor_time(), time.monotonic()
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        seconds = time.monotonic() - begin
        engine, postgres, _ = (b - a for a, b in zip(before, self.processor_time()))
        if problems:
            raise RuntimeError(f"the replay was refused: {problems[0]}")
        self.opensearch.refresh(f"{INDEX}-g1")
        searchable = time.monotonic() - begin
        if self.opensearch.count(f"{INDEX}-g1") != BOOKS:
            raise RuntimeError("the replay did not index every document")
        return Run(seconds, searchable, engine, postgres)

    def one_document_bulk(self):
        """Seconds of bulk requests with one document each."""
        connection = http.client.HTTPConnection("127.0.0.1", self.opensearch.port, timeout=60)
        connection.connect()
        taken = []
        for i in range(LATENCIES):
            body = b'{"index":{"_id":"%d"}}\n{"title":"The long history","isbn":"%d","price":%d.5}\n' % (i + 1, i, i)
            begin = time.monotonic()
            connection.request("POST", "/one-document/_bulk", body, {"Content-Type": "application/x-ndjson"})
            connection.getresponse().read()
            taken.append(time.monotonic() - begin)
            time.sleep(0.02)
        return taken

    # --- pgsync

    def forget(self):
        """Removes what a bootstrap left, so that the next one starts from scratch."""
        for slot in self.database.slots():
            self.postgres.sql("SELECT pg_drop_replication_slot(%s)", slot)
        for publication in self.database.publications():
            self.database.sql(f'DROP PUBLICATION "{publication}"')
        for index in self.opensearch.indices():
            if not index.startswith(".opensearch"):
                self.opensearch.request("DELETE", index, ok=(200, 404))
        self.postgres.sql("CHECKPOINT")

    def until_caught_up(self):
        """`pgsync run --until-caught-up` from process start to its end."""
        worker = self.worker("--until-caught-up")
        before, begin = self.processor_time(), time.monotonic()
        worker.start()
        process, peak = worker.process, 0
        ended = os.pidfd_open(process.pid)
        while not select.select([ended], [], [], 0.05)[0]:
            try:
                peak = max(peak, memory_peak_kib(process.pid))
            except (FileNotFoundError, ProcessLookupError, LookupError):
                pass
            if self.settings is None:
                self.look_at_index()
        seconds = time.monotonic() - begin
        os.close(ended)
        if process.popen.wait() != 0:
            raise RuntimeError(f"pgsync run failed:\n{process.tail()}")
        return Run(seconds, seconds, *(b - a for a, b in zip(before, self.processor_time())), peak)

    def bootstrap(self):
        self.forget()
        return self.until_caught_up()

    def look_at_index(self):
        """How the worker sets up the index while it fills it: the floors use the same settings and mappings."""
        answer = self.opensearch.http.get(f"{self.opensearch.url}/{INDEX}-g1", timeout=10)
        if answer.status_code == 200:
            made = answer.json()[f"{INDEX}-g1"]
            self.mappings = made["mappings"]
            self.settings = {k: v for k, v in made["settings"]["index"].items()
                             if k not in ("uuid", "version", "creation_date", "provided_name", "replication")}

    def check_equal(self):
        problems = bookstore.differences(self.opensearch.documents(INDEX), bookstore.expected(self.database))
        if problems:
            raise RuntimeError(f"the index is not equal to the tables: {problems}")

    def time_to_ready(self):
        """Seconds from the start of a worker for the bookstore of 25 books until it is Ready: everything but the rows."""
        taken = []
        for number in range(5):
            database = self.postgres.create_database(f"small_{number}")
            bookstore.load(database)
            database.create_role()
            index = f"small-{number}"
            worker = Worker(self.state / index, [bookstore.secret("bookstore-postgres", password=database.role_password),
                                                 bookstore.resource(index, database, self.opensearch.url, index=index)])
            begin = time.monotonic()
            worker.start()
            eventually(lambda: worker.condition("Ready").get("status") == "True", 60, lambda: f"Ready ({worker.status()})",
                       interval=0.01)
            taken.append(time.monotonic() - begin)
            worker.stop()
            database.drop()
        return taken

    def latency(self, worker):
        """Seconds from a commit to the moment when the document can be read by id, on an idle system."""
        reader = http.client.HTTPConnection("127.0.0.1", self.opensearch.port, timeout=60)
        taken = []
        with self.database.connect() as connection:
            for i in range(LATENCIES):
                id, title = 1 + i * 37 % BOOKS, f"latency {i}"
                connection.execute("UPDATE books SET title = %s WHERE id = %s", [title, id])
                committed = time.monotonic()
                wanted = f'"title":"{title}"'.encode()
                while True:
                    reader.request("GET", f"/{INDEX}/_doc/{id}?_source_includes=title")
                    if wanted in reader.getresponse().read().replace(b'" : "', b'":"'):
                        break
                    if time.monotonic() - committed > 30:
                        raise RuntimeError(f"a change was not readable after 30 s: {worker.status()}")
                taken.append(time.monotonic() - committed)
                time.sleep(0.02)
        return taken

    def write_backlog(self):
        """As many transactions as BACKLOG says, each on a different row, without a worker."""
        begin = time.monotonic()
        with self.database.connect() as connection:
            connection.execute("SET synchronous_commit = off")
            connection.execute(f"DO $$ BEGIN FOR i IN 1..{BACKLOG} LOOP"
                               f" UPDATE books SET price = price + 1 WHERE id = 1 + i * 7919::bigint % {BOOKS}; COMMIT;"
                               " END LOOP; END $$")
        self.postgres.sql("CHECKPOINT")
        say(f"a backlog of {BACKLOG:,} transactions written at {BACKLOG / (time.monotonic() - begin):,.0f}/s")

    def four_writers(self):
        """(transactions per second written, seconds from the last commit until every change is in the index)."""
        each = WRITTEN // WRITERS

        def write(number):
            with self.database.connect() as connection:
                connection.execute(f"DO $$ BEGIN FOR i IN 1..{each} LOOP UPDATE books SET title = 'writer {number} row ' || i"
                                   f" WHERE id = {number} * 10000 + i; COMMIT; END LOOP; END $$")

        threads = [threading.Thread(target=write, args=(n,)) for n in range(WRITERS)]
        begin = time.monotonic()
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        written = time.monotonic()
        last = {str(n * 10000 + i): f"writer {n} row {i}" for n in range(WRITERS) for i in range(each - 49, each + 1)}

        def arrived():
            found = self.opensearch.request("POST", f"{INDEX}/_mget?_source_includes=title", {"ids": list(last)})["docs"]
            return all(d["_source"]["title"] == last[d["_id"]] for d in found)

        eventually(arrived, 120, "the arrival of the writers' last rows", interval=0.01)
        return WRITTEN / (written - begin), time.monotonic() - written

    # --- the application: pgbench

    def application(self, *flags):
        """pgbench for some seconds: (transactions per second, the seconds that each took since it was due)."""
        with tempfile.TemporaryDirectory(dir=self.state) as directory:
            script = Path(directory) / "update.sql"
            script.write_text(f"\\set id random(1, {BOOKS})\nUPDATE books SET price = price + 0.01 WHERE id = :id;\n")
            begin = time.monotonic()
            done = subprocess.run(["pgbench", "-n", "-c", "4", "-T", str(APPLICATION), "-M", "prepared", "-f", script, "--log", *flags,
                                   "-h", "127.0.0.1", "-p", str(self.postgres.port), "-U", "postgres", self.database.name],
                                  cwd=directory, capture_output=True, text=True, env={**os.environ, "PGPASSWORD": self.postgres.password})
            seconds = time.monotonic() - begin
            if done.returncode != 0:
                raise RuntimeError(f"pgbench: {done.stderr[-500:]}")
            taken = [int(line.split()[2]) / 1e6 for log in Path(directory).glob("pgbench_log*") for line in log.read_text().splitlines()]
        return len(taken) / seconds, taken

    def application_beside(self, state, running):
        """The application at full speed, and at an even pace; `running` is called before each, and returns what to call after it."""
        stop = running()
        rate, _ = self.application()
        stop()
        stop = running()
        _, taken = self.application("-R", str(PACE))
        stop()
        say(f"pgbench {state}: {rate:,.0f}/s at full speed; {milliseconds(taken)} at {PACE}/s")
        return rate, taken

    def bootstrapping(self):
        """A bootstrap that lasts as long as the application does: it begins again whenever it ends."""
        ended, problems = threading.Event(), []

        def run():
            try:
                while not ended.is_set():
                    self.bootstrap()
            except Exception as error:  # of this thread: raised by stop()
                problems.append(error)

        thread = threading.Thread(target=run)
        thread.start()

        def stop():
            ended.set()
            thread.join()
            if problems:
                raise problems[0]

        return stop

    def streaming(self):
        worker = self.worker().start()
        eventually(lambda: worker.condition("Ready").get("status") == "True", 120, lambda: f"Ready ({worker.status()})")
        return worker.stop


def measure_application(bench, rounds):
    """Rows on the application that writes to the tables: alone, and beside pgsync. Ratios are those of a round."""
    if not shutil.which("pgbench"):
        say("pgbench is missing (Debian has it in postgresql-15): what pgsync costs it is not measured")
        return []
    states = {"alone": lambda: lambda: None, "during a bootstrap": bench.bootstrapping, "while changes are streamed": bench.streaming}
    measured = []
    for _ in range(rounds):
        bench.forget()
        measured.append({state: bench.application_beside(state, running) for state, running in states.items()})

    def row(state):
        rate, taken = statistics.median(m[state][0] for m in measured), [t for m in measured for t in m[state][1]]
        found = f"{rate:,.0f}/s at full speed; {milliseconds(taken)} at {PACE}/s"
        if state == "alone":
            return (f"floor: pgbench {state}, 4 clients that update single rows", found, "")
        slower = statistics.median(m[state][0] / m["alone"][0] for m in measured)
        later = statistics.median(quantile(m[state][1], .99) / quantile(m["alone"][1], .99) for m in measured)
        return (f"pgbench {state}", f"{found}; {slower:.2f} x the rate and {later:.2f} x the p99 of pgbench alone",
                "where cores are free: at most 1.02 x the p99")

    return [row(state) for state in states]


def milliseconds(values):
    return f"p50 {1000 * quantile(values, .5):.1f} ms, p99 {1000 * quantile(values, .99):.1f} ms"


def pairs(bench, state, rounds, prepare):
    """Replay and bootstrap in turn, the same for both: [(replay, bootstrap)]."""
    taken = []
    for number in range(rounds):
        prepare()
        replay = bench.replay()
        prepare()
        taken.append((replay, bench.bootstrap()))
        say(f"{state}, round {number + 1}: replay: {taken[-1][0]}")
        say(f"{state}, round {number + 1}: bootstrap: {taken[-1][1]}, peak {taken[-1][1].peak_kib / 1024:.1f} MiB")
    return taken


def in_rows(state, taken):
    """The rows on a state of the engine. Ratios are those of pairs: the machine's speed drifts."""
    bootstrap, replay = statistics.median(b.seconds for _, b in taken), statistics.median(r.seconds for r, _ in taken)
    ratio = statistics.median(b.seconds / r.seconds for r, b in taken)
    searchable = statistics.median(b.seconds / r.searchable for r, b in taken)
    return [
        (f"bootstrap of 200,000 documents, engine {state}", f"{bootstrap:.2f} s ({BOOKS / bootstrap:,.0f}/s), "
         f"{ratio:.2f} x the replay, {searchable:.2f} x the replay and a refresh", "at most 1.05 x the replay"),
        ("floor: replay of the same bulk bodies on two connections; and a refresh, after which they can be found",
         f"{replay:.2f} s; {statistics.median(r.searchable for r, _ in taken):.2f} s", ""),
        ("CPU time of replay (without refresh); of bootstrap: engine, Postgres, worker",
         f"{statistics.median(r.engine for r, _ in taken):.1f} s; {statistics.median(b.engine for _, b in taken):.1f} s, "
         f"{statistics.median(b.postgres for _, b in taken):.1f} s, {statistics.median(b.worker for _, b in taken):.1f} s", ""),
    ]


def fill(bench, rounds):
    """The rows on filling an index, and the worker's peak memory."""
    bench.record()
    bench.check_equal()
    cold = pairs(bench, "just started", rounds, bench.start_engine)
    for _ in range(2):
        say(f"not counted, until the search engine's compiler has settled: replay: {bench.replay()}")
    warm = pairs(bench, "warmed up", rounds, lambda: None)
    peak = max(b.peak_kib for _, b in cold + warm) / 1024
    return in_rows("just started", cold) + in_rows("warmed up", warm), peak


def measure(bench, rounds):
    """Runs everything; returns the rows of the table: what, measured, budget."""
    rows, peak = fill(bench, rounds)
    copies = [bench.copy_to_nowhere() for _ in range(3)]
    say(f"COPY of the document query to nowhere: {statistics.median(copies):.2f} s")

    worker = bench.worker().start()
    eventually(lambda: worker.condition("Ready").get("status") == "True", 60, lambda: f"Ready ({worker.status()})")
    ready = bench.time_to_ready()
    say(f"start to Ready with 25 books: {statistics.median(ready):.2f} s")
    bulks, latencies = bench.one_document_bulk(), bench.latency(worker)
    say(f"commit to readable: {milliseconds(latencies)}")
    rate, behind = bench.four_writers()
    say(f"{WRITERS} writers: {rate:,.0f}/s written, in the index {behind:.2f} s after the last commit")
    streaming_peak = memory_peak_kib(worker.process.pid)
    worker.stop()
    bench.write_backlog()
    drain = bench.until_caught_up()
    say(f"backlog drained in {drain.seconds:.2f} s")
    bench.check_equal()

    return rows + [
        ("floor: COPY of the document query to nowhere", f"{statistics.median(copies):.2f} s", ""),
        ("worker's peak memory: bootstrap", f"{peak:.1f} MiB", "at most 32 MiB"),
        ("worker's peak memory: stream, backlog", f"{streaming_peak / 1024:.1f} MiB, {drain.peak_kib / 1024:.1f} MiB",
         "at most 32 MiB"),
        ("start to Ready with 25 books", f"{statistics.median(ready):.2f} s", "5 s"),
        ("commit to readable by id, idle", milliseconds(latencies), "p50 6 ms, p99 25 ms"),
        ("floor: a bulk request with one document", milliseconds(bulks), ""),
        (f"backlog of {BACKLOG:,} single-row transactions, from process start", f"{drain.seconds:.2f} s ({BACKLOG / drain.seconds:,.0f}/s)",
         "10,000/s"),
        (f"{WRITERS} writers at full speed, {WRITTEN:,} transactions",
         f"written at {rate:,.0f}/s, in the index {behind:.2f} s after the last commit", "1 s"),
        *measure_application(bench, rounds),
    ]


def as_table(rows):
    lines = ["| what | measured | budget |", "|---|---|---|"]
    return "\n".join(lines + [f"| {' | '.join(row)} |" for row in rows])


def machine():
    """One paragraph on where this was measured."""
    models = re.findall(r"model name\s*: (.*)", Path("/proc/cpuinfo").read_text()) or [platform.machine()]
    memory = int(re.search(r"MemTotal:\s+(\d+)", Path("/proc/meminfo").read_text())[1]) / (1 << 20)
    name = next((line.split("=")[1].strip('"') for line in Path("/etc/os-release").read_text().splitlines()
                 if line.startswith("PRETTY_NAME")), platform.system())
    java = "Java " + (os.popen("java -version 2>&1").read().split('"')[1:2] or ["?"])[0]
    return (f"{models[0]}, {os.cpu_count()} cores, {memory:.0f} GiB of memory; {name}, Linux {platform.release()}; "
            f"PostgreSQL 17.10 (512 MB shared buffers, fsync on), OpenSearch 2.19.1 (2 GB heap, {java}), "
            "all on this one machine.")


def write(table, rounds):
    """Replaces the section between the two marks in BENCHMARKS.md; creates the file if it does not exist."""
    path = TREE / "BENCHMARKS.md"
    begin, end = "<!-- measured: begin -->", "<!-- measured: end -->"
    date = datetime.date.today().isoformat()
    section = f"{begin}\nMeasured on {date}, {rounds} rounds, medians.\n\n{table}\n\n{machine()}\n{end}"
    if not path.exists():
        path.write_text("# Benchmarks\n\n`make bench` measures pgsync and its floors side by side in one run and prints this\n"
                        f"table; `e2e/bench --write` also puts it here.\n\n{section}\n")
        return
    text = path.read_text()
    path.write_text(text[:text.index(begin)] + section + text[text.index(end) + len(end):])


def main():
    parser = argparse.ArgumentParser(prog="e2e/bench", description=__doc__)
    parser.add_argument("--rounds", type=int, default=2, help="how often bootstrap and replay take turns, in each state of the engine")
    parser.add_argument("--write", action="store_true", help="put the table into BENCHMARKS.md")
    options = parser.parse_args()
    interrupt_on_term()
    fetch.main(["postgres", "opensearch"])
    state = Path(tempfile.mkdtemp(prefix="pgsync-bench-"))
    state.chmod(0o755)
    try:
        bench = Bench(state)
        bench.start()
        table = as_table(measure(bench, options.rounds))
    finally:
        stop_all()
        shutil.rmtree(state, ignore_errors=True)
    print("\n" + table + "\n\n" + machine())
    if options.write:
        write(table, options.rounds)


if __name__ == "__main__":
    main()
