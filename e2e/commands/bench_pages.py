"""What bin/bookstore adds to the answers of the search engine and of Postgres, how fast the console of a worker answers, and
whether the memory of both stays flat: bench_pages [--only bookstore|console] [--seconds N] [--rounds N] [--minutes N].
Needs wrk."""

import argparse
import re
import statistics
import subprocess
import tempfile
import time
from functools import partial
from pathlib import Path

from parts import process
from parts.search import eventually

from commands.pages import servers

BOOK = 3
SEARCH = "/search?q=nueromancer"
CONSOLE = ["/", "/api/pgsyncs", "/api/pgsyncs/default/books", "/api/pgsyncs/default/books/history"]
UNITS = {"us": 0.001, "ms": 1, "s": 1000}


def say(text):
    print(f"  {text}", flush=True)


def wrk(url, seconds, connections, script=None):
    """The median latency in ms, and requests a second."""
    out = subprocess.run(["wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "--latency", *(["-s", script] if script else []), url],
                         capture_output=True, text=True, check=True).stdout
    if "Non-2xx" in out or "Socket errors" in out:
        raise RuntimeError(out)
    value, unit = re.search(r"50%\s+([0-9.]+)(us|ms|s)", out).groups()
    return float(value) * UNITS[unit], float(re.search(r"Requests/sec:\s+([0-9.]+)", out).group(1))


def pgbench(shop, sql, seconds, connections, directory):
    """The same of a prepared query."""
    script, logs = directory / "book.sql", directory / "pgbench"
    script.write_text(sql + "\n")
    server = shop.database.server
    subprocess.run(["pgbench", "-n", "-M", "prepared", "-f", script, "-c", str(connections), "-T", str(seconds), "-l", "--log-prefix", logs,
                    "-h", "127.0.0.1", "-p", str(server.port), "-U", shop.user, shop.database.name],
                   capture_output=True, text=True, check=True, env={"PATH": "/usr/bin:/bin", "PGPASSWORD": shop.password})
    taken = [int(line.split()[2]) / 1000 for log in directory.glob("pgbench.*") for line in log.read_text().splitlines()]
    for log in directory.glob("pgbench.*"):
        log.unlink()
    return statistics.median(taken), len(taken) / seconds


def query_of_a_book(shop):
    """The SQL that the bookstore sends for a book, as the server logs it."""
    server = shop.database.server
    server.sql("ALTER SYSTEM SET log_statement = 'all'")
    server.sql("SELECT pg_reload_conf()")
    found = []

    def logged():
        shop.ask("GET", f"/books/{BOOK}")
        found[:] = re.findall(r"execute [^:]*: (SELECT .* WHERE b\.id = \$1::bigint)", server.log.read_text())
        return found

    eventually(logged, 10, "the query of a book in the server's log", interval=0.2)
    server.sql("ALTER SYSTEM RESET log_statement")
    server.sql("SELECT pg_reload_conf()")
    return found[-1].replace("$1", str(BOOK))


def latencies(shop, options, directory):
    sent = shop.ask("GET", SEARCH)[1]["request"]
    script = directory / "search.lua"
    script.write_text(f'wrk.method = "POST"\nwrk.headers["Content-Type"] = "application/json"\nwrk.body = [==[{sent["body"]}]==]\n')
    sql = query_of_a_book(shop)
    measured = {
        "the engine's own answer to the search": lambda c: wrk(shop.engine_url + "/books/_search", options.seconds, c, script),
        f"GET {SEARCH}": lambda c: wrk(shop.url + SEARCH, options.seconds, c),
        "Postgres' own answer about the book": lambda c: pgbench(shop, sql, options.seconds, c, directory),
        f"GET /books/{BOOK}": lambda c: wrk(f"{shop.url}/books/{BOOK}", options.seconds, c),
    }
    compare(measured, options)


def compare(measured, options):
    """Prints what each function of a number of connections measures, by turns."""
    for what in measured.values():
        what(4)  # the first answers of servers that have just started are slow
    for connections in (1, 4):
        rounds = {name: [] for name in measured}
        for _ in range(options.rounds):
            for name, measure in measured.items():
                rounds[name].append(measure(connections))
        for name, found in rounds.items():
            p50s = [p50 for p50, _ in found]
            say(f"{connections} connections: {name}: p50 {statistics.median(p50s):.2f} ms ({', '.join(f'{one:.2f}' for one in p50s)}), {statistics.median(rate for _, rate in found):,.0f}/s")


def memory(pid, urls, minutes):
    """The resident set at the end of each half minute of requests to the URLs by turns."""
    seen, end = [process.memory_kib(pid)], time.monotonic() + minutes * 60
    while time.monotonic() < end:
        for url in urls:
            wrk(url, 30 // len(urls), 4)
        seen.append(process.memory_kib(pid))
    say(f"memory before and under load, each half minute: {', '.join(f'{kib / 1024:.1f}' for kib in seen)} MiB")


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", choices=["bookstore", "console"])
    parser.add_argument("--seconds", type=int, default=5)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--minutes", type=float, default=10)
    options = parser.parse_args()
    process.interrupt_on_term()
    with servers("error") as (shop, console), tempfile.TemporaryDirectory() as directory:
        if options.only != "console":
            latencies(shop, options, Path(directory))
            memory(shop.process.pid, [shop.url + SEARCH, f"{shop.url}/books/{BOOK}"], options.minutes)
        if options.only != "bookstore":
            urls = [console + path for path in CONSOLE]
            compare({f"GET {path}": partial(wrk, url, options.seconds) for path, url in zip(CONSOLE, urls, strict=True)}, options)
            memory(shop.worker.process.pid, urls, options.minutes)


if __name__ == "__main__":
    main()
