"""A Postgres server of any version, in its own directory."""

import contextlib
import os
import secrets
import shutil
import signal
import subprocess
import tarfile
import time
import zipfile
from pathlib import Path

import psycopg
from psycopg import sql as S

from . import cache, maven, ports
from .process import Process, children, unprivileged_user

# Those whose checksums are in tools/postgres.
VERSIONS = ["13.22", "14.18", "15.13", "16.9", "17.10", "18.1"]
VERSION = os.environ.get("E2E_POSTGRES", "17.10")
STOP_MODES = {"smart": signal.SIGTERM, "fast": signal.SIGINT, "immediate": signal.SIGQUIT}


def fetch(version=VERSION) -> Path:
    """The directory that contains bin/postgres and bin/initdb of a version."""

    def build(directory):
        maven.copy_dependencies("postgres", directory / "jars", f"SHA256SUMS-{version}", postgres_version=f"{version}.0")
        (jar,) = (directory / "jars").glob("*.jar")
        with zipfile.ZipFile(jar) as outer:
            (name,) = [n for n in outer.namelist() if n.endswith(".txz")]
            with outer.open(name) as packed, tarfile.open(fileobj=packed, mode="r:xz") as archive:
                archive.extractall(directory)
        shutil.rmtree(directory / "jars")

    return cache.cached("postgres", version, build, sources=maven.TOOLS / "postgres")


def _reachable_copy(source: Path, target: Path):
    """The server's files where another user can read them: the cache may lie below a private home directory."""
    if target.exists():
        return

    def link_or_copy(src, dst):
        try:
            os.link(src, dst)
        except OSError:
            shutil.copy2(src, dst)

    shutil.copytree(source, target, symlinks=True, copy_function=link_or_copy)


class Postgres:
    """A server on 127.0.0.1, and on other addresses, with SCRAM passwords. Durable as in production unless fsync=False."""

    def __init__(self, state: Path, version=VERSION, *, wal_level="logical", ssl=None, fsync=True, conf=None, port=None,
                 password=None, attached=True, addresses=(), clients=()):
        """`ssl`: a pki.Certificate that the server shows; it then refuses connections without TLS. `addresses`: where it
        listens, too; `clients`: networks that it accepts connections from, too."""
        self.clients = ("127.0.0.1/32", *clients)
        self.version, self.ssl, self.attached = version, ssl, attached
        self.state = Path(state)
        self.data = self.state / "data"
        self.log = self.state / "postgres.log"
        self.port = port or ports.free_port()
        self.password = password or secrets.token_urlsafe(18)
        self.process = None
        self.user = unprivileged_user()
        self.conf = {
            "listen_addresses": ",".join(("127.0.0.1", *addresses)), "port": self.port, "unix_socket_directories": "", "wal_level": wal_level,
            "max_wal_senders": 40, "max_prepared_transactions": 10, "max_replication_slots": 40, "max_connections": 200, "shared_buffers": "128MB",
            "password_encryption": "scram-sha-256", "fsync": "on" if fsync else "off", "timezone": "Europe/Berlin",
            "log_min_messages": "warning", "wal_sender_timeout": "10s", "max_wal_size": "4GB",
            "restart_after_crash": "on", **(conf or {}),
        }

    def create(self):
        """Runs initdb unless the data directory exists."""
        if (self.data / "PG_VERSION").exists():
            return self
        self.state.mkdir(parents=True, exist_ok=True)
        _reachable_copy(fetch(self.version), self.state / "server")
        # initdb reads the password from a file, so that it is on no command line.
        secret = self.state / "password"
        secret.touch(mode=0o600)
        secret.write_text(self.password)
        if self.user:
            shutil.chown(self.state, self.user)
            shutil.chown(secret, self.user)
        command = [self.state / "server/bin/initdb", "-D", self.data, "-U", "postgres", "--pwfile", secret,
                   "--auth=scram-sha-256", "--no-sync", "--encoding=UTF8", "--locale=C.UTF-8"]
        if self.user:
            command = ["setpriv", f"--reuid={self.user}", "--regid=nogroup", "--clear-groups", "--", *command]
        done = subprocess.run([str(c) for c in command], capture_output=True, text=True, cwd="/")
        if done.returncode != 0:
            raise RuntimeError(f"initdb failed:\n{done.stdout}{done.stderr}")
        self._configure()
        return self

    def _configure(self):
        conf = dict(self.conf)
        kind = "hostssl" if self.ssl else "host"
        (self.data / "pg_hba.conf").write_text("".join(f"{kind} all,replication all {c} scram-sha-256\n" for c in self.clients))
        if self.ssl:
            conf.update(ssl="on", ssl_cert_file="server.crt", ssl_key_file="server.key")
            self.use_certificate(self.ssl)
        lines = [f"{key} = '{value}'\n" for key, value in conf.items()]
        (self.data / "postgresql.auto.conf").write_text("".join(lines))
        self._own()

    def use_certificate(self, certificate):
        """Shows another certificate from the next reload or start on."""
        shutil.copy(certificate.cert, self.data / "server.crt")
        shutil.copy(certificate.key, self.data / "server.key")
        (self.data / "server.key").chmod(0o600)
        self._own()

    def _own(self):
        if self.user:
            for name in ["postgresql.auto.conf", "pg_hba.conf", "server.crt", "server.key"]:
                if (self.data / name).exists():
                    shutil.chown(self.data / name, self.user)

    def spawn(self):
        """Starts the server without waiting for it."""
        self.create()
        # SIGQUIT, not SIGKILL, when the harness dies: the server then ends its children itself.
        self.process = Process(
            f"postgres {self.version}", [self.state / "server/bin/postgres", "-D", self.data], self.log,
            cwd="/", user=self.user, death_signal="QUIT", attached=self.attached,
        )
        return self

    def wait(self, timeout=30):
        self.process.wait_until(self.answers, timeout)
        return self

    def start(self, timeout=30):
        return self.spawn().wait(timeout)

    def answers(self):
        try:
            self.connect(connect_timeout=3).close()
        except psycopg.OperationalError:
            return False
        return True

    def stop(self, mode="fast"):
        if self.process:
            self.process.stop(STOP_MODES[mode])

    def kill9(self):
        """Kills the postmaster and every backend at once, as a power cut does."""
        pids = [self.process.pid]
        pids += children(self.process.pid)
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self.process.kill9()

    def pause(self):
        """Freezes the whole server: connections stay open and nothing answers."""
        self._signal_all(signal.SIGSTOP)

    def resume(self):
        self._signal_all(signal.SIGCONT)

    def _signal_all(self, number):
        for pid in [self.process.pid, *children(self.process.pid)]:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)

    def set(self, **conf):
        """Changes settings; those that need it take effect at the next start."""
        self.conf.update(conf)
        self._configure()
        if self.process and self.process.alive:
            self.process.send(signal.SIGHUP)

    # --- clients

    def connect(self, database="postgres", user="postgres", password=None, **options):
        """An autocommit connection."""
        tls = {"sslmode": "require"} if self.ssl else {}
        return psycopg.connect(host="127.0.0.1", port=self.port, dbname=database, user=user,
                               password=password or self.password, autocommit=True, **{**tls, **options})

    def sql(self, text, *parameters, database="postgres"):
        """Runs one statement, or several without parameters, as superuser; returns the rows of the last."""
        with self.connect(database) as connection:
            cursor = connection.execute(text, parameters or None)
            return cursor.fetchall() if cursor.description else []

    def create_database(self, name):
        self.sql(S.SQL("CREATE DATABASE {}").format(S.Identifier(name)))
        return Database(self, name)

    def __enter__(self):
        return self.start()

    def __exit__(self, *exc):
        self.stop("immediate")


class Database:
    """One database of a server, with its own login role for pgsync."""

    def __init__(self, server: Postgres, name: str):
        self.server, self.name = server, name
        self.role, self.role_password = None, None

    def connect(self, **options):
        return self.server.connect(self.name, **options)

    def sql(self, text, *parameters):
        return self.server.sql(text, *parameters, database=self.name)

    def value(self, text, *parameters):
        return self.sql(text, *parameters)[0][0]

    def create_role(self, attributes="REPLICATION", owner=True):
        """A login role; with owner=True the database and its tables are its own, so it may publish them."""
        self.role, self.role_password = f"{self.name}_sync", secrets.token_urlsafe(18)
        role = S.Identifier(self.role)
        self.sql(S.SQL("CREATE ROLE {} LOGIN PASSWORD {} " + attributes).format(role, S.Literal(self.role_password)))
        self.sql(S.SQL("GRANT CREATE, CONNECT ON DATABASE {} TO {}").format(S.Identifier(self.name), role))
        if owner:
            self.own_tables()
        return self.role

    def own(self):
        """Makes the role the owner of the database, so that it may create tables."""
        self.server.sql(S.SQL("ALTER DATABASE {} OWNER TO {}").format(S.Identifier(self.name), S.Identifier(self.role)))

    def own_tables(self):
        """Makes the role the owner of all tables in the database."""
        for (table,) in self.sql("SELECT format('%I.%I', schemaname, tablename) FROM pg_tables WHERE schemaname = 'public'"):
            self.sql(S.SQL("ALTER TABLE " + table + " OWNER TO {}").format(S.Identifier(self.role)))

    def slots(self):
        return [r[0] for r in self.sql("SELECT slot_name FROM pg_replication_slots WHERE database = current_database()")]

    def publications(self):
        return [r[0] for r in self.sql("SELECT pubname FROM pg_publication")]

    def replica_identities(self):
        """(table, letter of pg_class.relreplident) of all tables."""
        return self.sql("SELECT relname, relreplident FROM pg_class WHERE relkind = 'r'"
                        " AND relnamespace = 'public'::regnamespace ORDER BY 1")

    def walsenders(self):
        """(slot, pid of the walsender) of each slot of this database that is being streamed."""
        return self.sql("SELECT slot_name, active_pid FROM pg_replication_slots WHERE database = current_database() AND active")

    def drop(self):
        for slot in self.slots():
            self.server.sql("SELECT pg_terminate_backend(active_pid) FROM pg_replication_slots "
                            "WHERE slot_name = %s AND active_pid IS NOT NULL", slot)
            for _ in range(50):
                try:
                    self.server.sql("SELECT pg_drop_replication_slot(%s)", slot)
                    break
                except psycopg.errors.ObjectInUse:
                    time.sleep(0.1)
        self.server.sql(S.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(S.Identifier(self.name)))
        if self.role:
            self.server.sql(S.SQL("DROP ROLE IF EXISTS {}").format(S.Identifier(self.role)))
