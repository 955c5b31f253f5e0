"""The bookstore and the console on servers that are started for them, for pictures and measurements."""

import shutil
import tempfile
from contextlib import contextmanager
from pathlib import Path

import bookstore
from parts import ports
from parts.opensearch import OpenSearch
from parts.postgres import Postgres
from parts.process import stop_all
from parts.shop import Bookstore
from parts.worker import Worker


@contextmanager
def servers(log_level="info"):
    """(the bookstore, the address of the console of the worker that fills its index); shop.worker is that worker"""
    state = Path(tempfile.mkdtemp(prefix="pgsync-pages-"))
    state.chmod(0o755)
    try:
        postgres, engine = Postgres(state / "postgres").start(), OpenSearch(state / "opensearch", heap="1g").start()
        database = postgres.create_database("bookstore")
        database.create_role()
        database.own()
        port = ports.free_port()
        objects = [bookstore.secret("bookstore-postgres", password=database.role_password), bookstore.resource("books", database, engine.url)]
        worker = Worker(state / "worker", objects, "--console-listen", f"127.0.0.1:{port}", "--console-actions")
        shop = Bookstore(state / "shop", database, database.role, database.role_password, engine.url, wait_url=worker.url, log_level=log_level).start()
        shop.worker = worker.start().wait_ready()
        engine.refresh("books")
        yield shop, f"http://127.0.0.1:{port}"
    finally:
        stop_all()
        shutil.rmtree(state, ignore_errors=True)
