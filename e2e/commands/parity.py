"""Compares the documents of the real pgsync with ours, case by case: parity [--write] [--trees N] [--only WORD ...]

Exit code 0: every difference is explained, every explanation was needed, and docs/from-pgsync.md has them."""

import argparse
import re
import shutil
import sys
import tempfile
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from parity import cases
from parity.compare import Comparison
from parity.refusals import REFUSALS
from parity.rules import RULES
from parity.sides import Ours, Theirs
from parity.table import markdown, section
from parity.table import write as write_table
from parity.tree import World
from parts import fetch
from parts.opensearch import OpenSearch
from parts.postgres import Postgres
from parts.process import interrupt_on_term, stop_all
from parts.redis import Redis

TREE = Path(__file__).resolve().parent.parent.parent
BATCH = 24


class Suite:
    def __init__(self, state):
        self.state = state
        self.postgres = Postgres(state / "postgres", fsync=False, conf={"max_replication_slots": 200, "max_connections": 400})
        self.engine = OpenSearch(state / "opensearch", heap="1g")
        self.redis = Redis(state / "redis")
        self.seen, self.count = {}, Counter()

    def start(self):
        self.engine.spawn()
        self.postgres.start()
        self.redis.start()
        self.engine.wait()
        self.theirs = Theirs(self.state / "theirs", self.postgres, self.engine, self.redis)
        self.ours = Ours(self.state / "ours", self.postgres, self.engine)

    def run(self, batch):
        databases = {}
        for case in batch:
            if case.source not in databases:
                databases[case.source] = self.postgres.create_database(f"parity_{case.source}")
                with databases[case.source].connect() as connection:
                    case.load(connection)
        documents = [d for c in batch for d in c.schema(f"theirs_{c.name}", databases[c.source].name)]
        pool = ThreadPoolExecutor(3)
        try:
            theirs = pool.submit(self.theirs.fill, documents)
            ours = [pool.submit(self.ours.fill, c.name, c.schema(f"ours_{c.name}", databases[c.source].name), c.documents) for c in batch]
            for case, filled in zip(batch, ours):
                self.compare(case, databases[case.source], theirs.result().get(f"theirs_{case.name}"), filled.result())
        finally:
            pool.shutdown(wait=False, cancel_futures=True)
        for database in databases.values():
            database.drop()
        self.engine.request("DELETE", ",".join(self.engine.indices("theirs_*,ours_*")))

    def compare(self, case, database, theirs_refused, ours_refused):
        with database.connect() as connection:
            connection.execute("SET timezone = 'UTC'")
            world = World(connection, case.document)
            if theirs_refused or ours_refused:
                return self.refused(case, world, theirs_refused, ours_refused)
            theirs, ours = (self.engine.documents(f"{side}_{case.name}") for side in ("theirs", "ours"))
            comparison = Comparison(RULES, world.root)
            differences = comparison.documents(theirs, ours)
            wrong = self.wrong(case, world, ours)
            left_out = self.left_out(case, world)
        if differences or wrong:
            return self.say(case, "DIFFERS", *map(str, differences[:4]), f"{len(differences)} differences in {len(theirs)} documents", *wrong)
        self.explained(case, sorted(comparison.hits) + left_out, f"{len(theirs)} documents")

    def left_out(self, case, world):
        """The refusals of the parts that were removed from a schema before both sides got it."""
        found = []
        for key, value in case.left_out.items():
            says = self.ours.refusal(case.name, [{**case.schema(case.name, world.connection.info.dbname)[0], key: value}], case.documents)
            found += [r.name for r in REFUSALS if says and r.side == "ours" and re.search(r.says, says)]
        return found

    def refused(self, case, world, theirs, ours):
        if theirs and ours and case.refused:
            return self.say(case, "equal", "both refuse it")
        found = [r.name for r in REFUSALS for side, says in (("pgsync", theirs), ("ours", ours))
                 if says and r.side == side and (match := re.search(r.says, says)) and r.holds(world, match)]
        wrong = [] if ours else self.wrong(case, world, self.engine.documents(f"ours_{case.name}"))
        if theirs and ours or not found or wrong:
            return self.say(case, "DIFFERS", f"pgsync: {theirs or 'accepts it'}", f"ours: {ours or 'accepts it'}", *wrong)
        self.explained(case, found[:1], "")

    def wrong(self, case, world, ours):
        """How our documents differ from those that are assembled here: they must be right, whatever pgsync does."""
        right = world.assembled(id_format=case.documents["idFormat"])
        if right is None:
            return []
        self.count["checked"] += 1
        bare = {id: {k: v for k, v in document.items() if k != "_meta"} for id, document in ours.items()}
        differences = Comparison([r for r in RULES if r.name == "not-for-engines"], world.root).documents(right, bare)
        return [str(d).replace(": pgsync ", ": assembled ") for d in differences[:3]]

    def explained(self, case, names, otherwise):
        for name in names:
            self.seen.setdefault(name, []).append(case)
        if names:
            self.say(case, "differs as documented", *names)
        else:
            self.say(case, "equal", otherwise)

    def say(self, case, outcome, *details):
        self.count[outcome] += 1
        if outcome == "DIFFERS":
            print(f"{case.name}: DIFFERS")
            for detail in details:
                print("    " + detail.replace("\n", "\n    "))
        else:
            print(f"{case.name}: {outcome}: {', '.join(details)}")


def finish(suite, seconds, path, write):
    """Prints the result, and compares it with the table in the documentation; returns whether they agree."""
    table = markdown(suite.seen)
    if write:
        write_table(path, table)
    current = section(path) == table
    if not current:
        print(f"{path.relative_to(TREE)} does not have the table that this run found; `make parity WRITE=1` puts it there")
    unneeded = [r.name for r in RULES + REFUSALS if r.name not in suite.seen]
    if unneeded:
        print(f"no case needed: {', '.join(unneeded)}")
    print(f"{suite.count['equal']} equal, {suite.count['differs as documented']} differ as documented, {suite.count['DIFFERS']} DIFFER;"
          f" ours checked against a separate assembly in {suite.count['checked']}; {seconds:.0f} s")
    return not suite.count["DIFFERS"] and not unneeded and current


def main():
    parser = argparse.ArgumentParser(prog="make parity", description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trees", type=int, default=300, help="how many random trees (300)")
    parser.add_argument("--only", nargs="+", metavar="WORD", help="cases with one of these words in their name; no look at the table")
    parser.add_argument("--write", action="store_true", help="put the table into docs/from-pgsync.md")
    parser.add_argument("--keep", action="store_true", help="keep the state directory with all logs")
    options = parser.parse_args()
    interrupt_on_term()
    fetch.main(["postgres", "opensearch", "pgsync"])
    every = cases.examples() + cases.constructs() + list(cases.random_trees(options.trees))
    chosen = [c for c in every if not options.only or any(w in c.name for w in options.only)]
    state = Path(tempfile.mkdtemp(prefix="pgsync-parity-"))
    state.chmod(0o755)
    begin = time.monotonic()
    try:
        suite = Suite(state)
        suite.start()
        for first in range(0, len(chosen), BATCH):
            suite.run(chosen[first:first + BATCH])
    finally:
        stop_all()
        if options.keep:
            print(f"state and logs: {state}", file=sys.stderr)
        else:
            shutil.rmtree(state, ignore_errors=True)
    if options.only:
        sys.exit(1 if suite.count["DIFFERS"] else 0)
    sys.exit(0 if finish(suite, time.monotonic() - begin, TREE / "docs/from-pgsync.md", options.write) else 1)


if __name__ == "__main__":
    main()
