"""A PgBouncer in front of a Postgres server."""

import os
from pathlib import Path

import psycopg

from . import ports
from .process import Process


class PgBouncer:
    """127.0.0.1:PORT -> one database, each client with its own server session. `ignored`: startup parameters that it drops."""

    def __init__(self, state: Path, database, ignored=()):
        self.state, self.database, self.port, self.process = Path(state), database, ports.free_port(), None
        self.state.mkdir(parents=True, exist_ok=True)
        self.state.chmod(0o755)
        users = self.state / "users"
        users.write_text(f'"{database.role}" "{database.role_password}"\n')
        self.config = self.state / "pgbouncer.ini"
        self.config.write_text(
            f"[databases]\n{database.name} = host=127.0.0.1 port={database.server.port}\n"
            f"[pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {self.port}\nunix_socket_dir =\nauth_type = scram-sha-256\n"
            f"auth_file = {users}\npool_mode = session\nignore_startup_parameters = {','.join(['extra_float_digits', *ignored])}\n")

    def __enter__(self):
        # It does not run as root.
        user = "nobody" if os.geteuid() == 0 else None
        for path in self.state.iterdir():
            path.chmod(0o644)
        self.process = Process("pgbouncer", ["pgbouncer", self.config], self.state / "pgbouncer.log", user=user)
        self.process.wait_until(self.answers, 20)
        return self

    def answers(self):
        try:
            psycopg.connect(host="127.0.0.1", port=self.port, dbname=self.database.name, user=self.database.role,
                            password=self.database.role_password, connect_timeout=3).close()
        except psycopg.OperationalError:
            return False
        return True

    def __exit__(self, *exc):
        self.process.stop()
