"""The bookstore program: bin/bookstore."""

from pathlib import Path

import requests

from . import ports
from .operator import BIN
from .process import Process
from .search import eventually


class Bookstore:
    """One bookstore on a database of a Postgres server and an index of a search engine."""

    def __init__(self, state: Path, database, user, password, engine_url, index="books", *, wait_url=None, port=None, attached=True,
                 log_level="debug"):
        self.state, self.attached, self.log_level = Path(state), attached, log_level
        self.database, self.user, self.password = database, user, password
        self.engine_url, self.index, self.wait_url = engine_url, index, wait_url
        self.port = port or ports.free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.http = requests.Session()
        self.http.trust_env = False
        self.process = None

    def spawn(self):
        self.state.mkdir(parents=True, exist_ok=True)
        secret = self.state / "bookstore-password"
        secret.touch(mode=0o600)
        secret.write_text(self.password)
        self.process = Process("bookstore", [
            BIN / "bookstore", "--listen", f"127.0.0.1:{self.port}", "--postgres-port", str(self.database.server.port),
            "--postgres-database", self.database.name, "--postgres-user", self.user, "--postgres-password-file", secret,
            "--search-url", self.engine_url, "--search-index", self.index, "--log-level", self.log_level,
            *(["--wait-url", self.wait_url] if self.wait_url else []),
        ], self.state / "bookstore.log", attached=self.attached)
        return self

    def another(self, name, **options):
        """A second bookstore on the same database."""
        options = {"engine_url": self.engine_url, "index": self.index, **options}
        return Bookstore(self.state / name, self.database, self.user, self.password, **options).start()

    def wait(self, timeout=30):
        self.process.wait_until(self.answers, timeout)
        return self

    def start(self):
        return self.spawn().wait()

    def answers(self):
        try:
            return self.http.get(self.url + "/openapi.json", timeout=3).status_code == 200
        except requests.RequestException:
            return False

    def ask(self, method, path, body=None, **options):
        """(status, JSON) of a request."""
        answer = self.http.request(method, self.url + path, json=body, timeout=30, **options)
        return answer.status_code, answer.json() if answer.content else None

    def states(self, *ids):
        """Whether the index has these books as Postgres has them: {id: "same"}."""
        status, answer = self.ask("GET", f"/documents?ids={','.join(map(str, ids))}")
        assert status == 200, answer
        return {item["id"]: item["state"] for item in answer["items"]}

    def wait_indexed(self, id, state="same"):
        eventually(lambda: self.states(id)[id] == state, 30, lambda: f"{state} for book {id} ({self.states(id)})")

    def stop(self):
        return self.process.stop(timeout=20) if self.process and self.process.alive else None
