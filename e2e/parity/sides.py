"""Both sides: each fills an index from the same database."""

import re
from dataclasses import dataclass

from parts.peer import Peer, Refused
from parts.worker import Worker, pgsync, write_manifest

class Theirs:
    """pgsync, for many cases in one process: starting it takes longer than filling a small index."""

    def __init__(self, state, postgres, engine, redis):
        self.state, self.postgres, self.engine = state, postgres, engine
        self.peer = Peer(state, postgres, engine, redis)

    def fill(self, documents):
        """Fills the index of each document of a schema.json; returns {index: why pgsync refused}."""
        refused = {}
        self._each(documents, self.peer.bootstrap, self._has_slot, refused)
        self._each([d for d in documents if d["index"] not in refused], self.peer.sync, self._has_checkpoint, refused)
        return refused

    def _each(self, documents, run, is_done, refused):
        """Runs all documents; after one that fails, those that come behind it."""
        while documents:
            try:
                return run(documents)
            except Refused as error:
                failed = next((d for d in documents if not is_done(d)), None)
                if failed is None:
                    raise
                refused[failed["index"]] = str(error)
                documents = documents[documents.index(failed) + 1:]

    def _slot(self, document):
        return re.sub(r"\W", "", f"{document['database'].lower()}_{document['index']}")

    def _has_slot(self, document):
        return bool(self.postgres.sql("SELECT 1 FROM pg_replication_slots WHERE slot_name = %s", self._slot(document)))

    def _has_checkpoint(self, document):
        return (self.state / f".{self._slot(document)}").exists()


@dataclass
class Ours:
    """bin/pgsync, from a database into an index."""

    state: object
    postgres: object
    engine: object

    def manifest(self, name, schema, documents):
        secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "parity"},
                  "stringData": {"password": self.postgres.password}}
        source = {"host": "127.0.0.1", "port": self.postgres.port, "database": schema[0]["database"], "user": "postgres",
                  "passwordSecretRef": {"name": "parity", "key": "password"}}
        spec = {"source": source, "sink": {"urls": [self.engine.url]}, "schema": schema,
                "documents": documents}
        made = {"apiVersion": "pgsync.io/v1alpha1", "kind": "PgSync", "metadata": {"name": name.replace("_", "-")}, "spec": spec}
        return [secret, made]

    def refusal(self, name, schema, documents):
        """The errors of `pgsync plan` about a schema.json; None if it accepts it."""
        code, out, err = pgsync(
            "plan", "-f", write_manifest(self.state / name / "plan.yaml", self.manifest(name, schema, documents)))
        errors = [line for line in (out + err).splitlines() if line.startswith("error")]
        return None if code == 0 else "\n".join(errors) or (out + err).strip()

    def fill(self, name, schema, documents):
        """Fills the index; returns why not, or None."""
        refusal = self.refusal(name, schema, documents)
        if refusal:
            return refusal
        run = Worker(self.state / name, self.manifest(name, schema, documents), "--until-caught-up").start()
        try:
            return None if run.finish(60) == 0 else run.process.tail(5)
        except AssertionError:
            conditions = [c for c in run.status().get("conditions", []) if c["status"] != "True" and c.get("message")]
            return "; ".join(f"{c['reason']}: {c['message']}" for c in conditions) or run.process.tail(5)
        finally:
            run.stop()
