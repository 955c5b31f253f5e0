"""The main job from nothing: a cluster, Postgres with a bookstore, OpenSearch and the operator, left running to look at."""

import json
import os
import secrets
import shutil
import signal
import sys
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path

import bookstore
import yaml
from parts import operator, ports
from parts.fetch import main as fetch
from parts.kubernetes import KubeApi, Kubectl
from parts.kubernetes import fetch as kubernetes_programs
from parts.opensearch import OpenSearch
from parts.operator import BIN, Operator
from parts.postgres import Database, Postgres
from parts.process import end, started_at
from parts.redis import Redis
from parts.search import eventually
from parts.shop import Bookstore
from pgsync import condition, describe
from psycopg import sql as S

STATE = Path(os.environ.get("XDG_STATE_HOME") or os.path.expanduser("~/.local/state")) / "pgsync-demo"
CURRENT = "pgsync-demo"  # the namespace that holds everything when the cluster is not the demo's own
STOP_SIGNALS = {"postgres": signal.SIGINT}
# The newest first: the operator ends its streams before their servers stop.
STOP_ORDER = ["bookstore", "operator", "kube-apiserver", "etcd", "opensearch", "redis", "postgres"]


class Memory:
    """What one run of this command leaves for the next: ports, passwords, pids."""

    def __init__(self):
        self.file = STATE / "state.json"
        self.values = json.loads(self.file.read_text()) if self.file.exists() else {}

    def save(self):
        STATE.mkdir(parents=True, exist_ok=True, mode=0o700)
        self.file.touch(mode=0o600)
        self.file.write_text(json.dumps(self.values, indent=2))

    def keep(self, key, make):
        """The value of a key, created once."""
        if key not in self.values:
            self.values[key] = make()
            self.save()
        return self.values[key]

    @property
    def processes(self):
        return self.values.setdefault("processes", {})

    def running(self, name):
        known = self.processes.get(name)
        return bool(known) and started_at(known["pid"]) == known["started"]

    def record(self, name, process, **more):
        self.processes[name] = {"pid": process.pid, "started": started_at(process.pid), **more}
        self.save()

    def stop(self, name):
        if self.running(name):
            end(self.processes[name]["pid"], self.processes[name]["started"], STOP_SIGNALS.get(name, signal.SIGTERM))
        self.processes.pop(name, None)
        self.save()


@contextmanager
def step(what):
    begin = time.monotonic()
    if sys.stdout.isatty():
        print(f"  {what} ...", end="\r", flush=True)
    yield
    print(f"  {what}: {time.monotonic() - begin:.1f} s", flush=True)


# --- starting


def make_postgres(memory):
    # As root its files belong to another user, who could not reach them below a private home directory.
    place = memory.keep("postgres_state", lambda: (tempfile.mkdtemp(prefix="pgsync-demo-") if os.geteuid() == 0
                                                   else str(STATE / "postgres")))
    Path(place).mkdir(parents=True, exist_ok=True)
    os.chmod(place, 0o755)
    return Postgres(place, port=memory.keep("postgres_port", ports.free_port), attached=False,
                    password=memory.keep("postgres_password", lambda: secrets.token_urlsafe(18)))


def make_redis(memory):
    """It keeps the checkpoint: on disk, so that nothing is built again when it was away."""
    return Redis(STATE / "redis", port=memory.keep("redis_port", ports.free_port), attached=False,
                 password=memory.keep("redis_password", lambda: secrets.token_urlsafe(18)), config="appendonly yes\n")


def start_part(memory, name, part, spawned):
    """Starts what is not running; returns whether it was."""
    if memory.running(name):
        return True
    part.spawn()
    for process_name, process in spawned(part).items():
        memory.record(process_name, process)
    return False


def wait_running(part, was_running, answers):
    if was_running:
        eventually(answers, 60, "an answer of a part that was left running")
    else:
        part.wait()


def make_database(memory, postgres):
    """Database and roles as the sample wants them: the tables will belong to `bookstore`, and `pgsync` is a member of it."""
    for role in ("bookstore", "pgsync"):
        memory.keep(f"{role}_password", lambda: secrets.token_urlsafe(18))
    database = Database(postgres, "bookstore")
    if not postgres.sql("SELECT 1 FROM pg_database WHERE datname = 'bookstore'"):
        for role, attributes in (("bookstore", ""), ("pgsync", "REPLICATION IN ROLE bookstore")):
            if not postgres.sql("SELECT 1 FROM pg_roles WHERE rolname = %s", role):
                postgres.sql(S.SQL("CREATE ROLE {} LOGIN PASSWORD {} " + attributes).format(
                    S.Identifier(role), S.Literal(memory.values[f"{role}_password"])))
        postgres.sql("CREATE DATABASE bookstore OWNER bookstore")
        postgres.sql("GRANT CREATE ON DATABASE bookstore TO pgsync")
    return database


def preferred(port):
    """The port, unless another program has it."""
    return port if ports.is_free(port) else ports.free_port()


def wait_port(memory):
    """Of the operator: where the bookstore waits until the index has what it wrote."""
    return memory.keep("wait_port", ports.free_port)


def start_bookstore(memory, database, opensearch, namespace):
    """The program creates the tables of an empty database, and adds 25 books."""
    shop = Bookstore(STATE, database, "bookstore", memory.values["bookstore_password"], opensearch.url,
                     wait_url=f"http://127.0.0.1:{wait_port(memory)}/{namespace}/books",
                     port=memory.keep("bookstore_port", lambda: preferred(8001)), attached=False, log_level="info")
    built = (BIN / "bookstore").stat().st_mtime
    if memory.running("bookstore") and memory.processes["bookstore"]["built"] != built:
        memory.stop("bookstore")
    if not memory.running("bookstore"):
        shop.spawn()
        memory.record("bookstore", shop.process, built=built)
    eventually(shop.answers, 30, "an answer of the bookstore")
    return shop


class OwnCluster:
    """An API server of the demo's own."""

    namespace, lease_namespace, flags = "default", operator.NAMESPACE, ()

    def __init__(self, memory):
        self.api = KubeApi(STATE / "kubernetes", port=memory.keep("kube_port", ports.free_port), fsync=True, attached=False)
        for key in ("etcd_port", "peer_port"):
            setattr(self.api, key, memory.keep(key, lambda: getattr(self.api, key)))
        self.kubectl, self.kubeconfig = self.api.kubectl, self.api.kubeconfig

    def start(self, memory):
        if memory.running("kube-apiserver") and memory.running("etcd"):
            self.api.prepare()
            return
        for name in ("kube-apiserver", "etcd"):
            memory.stop(name)
        self.api.spawn()
        memory.record("etcd", self.api.etcd)
        memory.record("kube-apiserver", self.api.process)

    def wait(self):
        eventually(self.api.ready, 90, "an answer of the API server", interval=0.2)

    def operator_kubeconfig(self, account):
        return self.api.service_account_kubeconfig(self.lease_namespace, account, STATE / "operator.kubeconfig", hours=8760)

    def install(self):
        return operator.install(self.kubectl)


class CurrentCluster:
    """The cluster of the current kubeconfig context. Everything except the CRD is in one namespace there."""

    namespace, lease_namespace, flags = CURRENT, CURRENT, ("--namespace", CURRENT)

    def __init__(self, memory):
        given = os.environ.get("KUBECONFIG") or os.path.expanduser("~/.kube/config")
        self.kubeconfig = Path(given.split(os.pathsep)[0])
        if not self.kubeconfig.exists():
            sys.exit(f"CLUSTER=current, but there is no kubeconfig {self.kubeconfig}")
        self.config = yaml.safe_load(Kubectl(self.kubeconfig)("config", "view", "--minify", "--flatten", "--raw", "-o", "yaml"))
        self.context = memory.keep("context", lambda: self.config["current-context"])
        self.kubectl = Kubectl(self.kubeconfig, self.context)

    def start(self, memory):
        print(f"  using the cluster of context {self.context!r}, namespace {self.namespace}")

    def wait(self):
        self.kubectl("get", "--raw", "/readyz")

    def install(self):
        return operator.install(self.kubectl, CURRENT, CURRENT, **{"watchNamespaces[0]": CURRENT})

    def operator_kubeconfig(self, account):
        token = self.kubectl("create", "token", account, "--namespace", CURRENT, "--duration", "24h").strip()
        config = {**self.config, "users": [{"name": "operator", "user": {"token": token}}]}
        config["contexts"][0]["context"]["user"] = "operator"
        path = STATE / "operator.kubeconfig"
        path.touch(mode=0o600)
        path.write_text(yaml.safe_dump(config))
        return path


def start_operator(memory, cluster):
    built = max((BIN / name).stat().st_mtime for name in ("pgsync-operator", "pgsync"))
    if memory.running("operator") and memory.processes["operator"]["built"] == built:
        return
    memory.stop("operator")
    kubeconfig = cluster.operator_kubeconfig(cluster.install())
    console = memory.keep("console_port", lambda: preferred(8082))
    running = Operator("operator", STATE, kubeconfig, *cluster.flags, "--console-listen", f"127.0.0.1:{console}",
                       "--wait-listen", f"127.0.0.1:{wait_port(memory)}", lease_namespace=cluster.lease_namespace,
                       log_level="info", attached=False)
    running.port = memory.keep("operator_port", ports.free_port)
    running.url = f"http://127.0.0.1:{running.port}"
    running.spawn()
    memory.record("operator", running.process, built=built)
    running.process.wait_until(lambda: running.get("/readyz") == 200, 30)


# --- showing


def apply_sample(memory, cluster, postgres, opensearch, redis):
    """The sample with this machine's addresses instead of its host names, and Redis for the checkpoint, as it suggests."""
    documents = list(yaml.safe_load_all((bookstore.SAMPLES / "bookstore.yaml").read_text()))
    for document in documents:
        if document["kind"] == "Secret":
            document["stringData"] = {"password": memory.values["pgsync_password"]}
        else:
            document["spec"]["source"].update(host="127.0.0.1", port=postgres.port)
            document["spec"]["sink"]["urls"] = [opensearch.url]
            document["spec"]["checkpoint"] = {"store": "Redis", "redis": {
                "url": redis.url, "passwordSecretRef": {"name": "bookstore-redis", "key": "password"}}}
            manifest = STATE / "bookstore.yaml"
            manifest.write_text(yaml.safe_dump(document, sort_keys=False))
    documents.insert(0, bookstore.secret("bookstore-redis", password=redis.password))
    cluster.kubectl.apply(*documents, namespace=cluster.namespace)
    return manifest


def wait_ready(cluster):
    last = {}

    def ready():
        last.update(cluster.kubectl.json("get", "pgsync", "books", "--namespace", cluster.namespace))
        found = condition(last, "Ready")
        return found.get("status") == "True" and found.get("observedGeneration") == last["metadata"]["generation"]

    eventually(ready, 60, lambda: f"Ready; it is:\n{describe(last)}\nand that", interval=0.1)


def fuzzy(opensearch, text):
    """What a search for a text finds, as a user might type it, mistakes included."""
    query = {"multi_match": {"query": text, "fields": ["title^2", "authors.name", "isbn"], "fuzziness": "AUTO"}}
    return [hit["_source"] for hit in opensearch.search("books", query)]


def show_hit(book):
    authors = ", ".join(a["name"] for a in book["authors"] or [])
    print(f"    {book['title']} by {authors or 'nobody'}, ISBN {book['isbn']}, {book['price']}")


def show_search(opensearch):
    print("\n$ a search for `nueromancer` in title^2, authors.name and isbn, fuzziness AUTO")
    hits = fuzzy(opensearch, "nueromancer")
    if not any(book["title"] == "Neuromancer" for book in hits):
        sys.exit("the search did not find Neuromancer")
    for book in hits:
        show_hit(book)


def show_curl(method, url, body=None):
    more = f" -H 'Content-Type: application/json' -d '{json.dumps(body)}'" if body else ""
    return f"curl {'' if method == 'GET' else f'-X {method} '}'{url}'{more}"


def show_insert(shop, opensearch):
    """A book through the API, which writes to Postgres alone; returns it."""
    isbn = "9780441007462"
    for old in shop.ask("GET", f"/books?q={isbn}")[1]["items"]:
        shop.ask("DELETE", f"/books/{old['id']}")
    author = shop.ask("GET", "/authors?q=William Gibson")[1]["items"][0]["id"]
    body = {"title": "Count Zero", "isbn": isbn, "price": "15.99", "status": "published", "author_ids": [author]}
    print(f"\n$ {show_curl('POST', shop.url + '/books', body)}")
    status, book = shop.ask("POST", "/books", body)
    committed = time.monotonic()
    if status != 201:
        sys.exit(f"the bookstore answered {status}: {book}")
    eventually(lambda: (opensearch.document("books", book["id"]) or {}).get("authors"), 10, "the arrival of the new book", interval=0.002)
    print(f"  in the index {1000 * (time.monotonic() - committed):.0f} ms after the answer; found by `cuont zero`:")
    hits = [hit for hit in fuzzy(opensearch, "cuont zero") if hit["isbn"] == isbn]
    if not hits:
        sys.exit("the search did not find the new book")
    show_hit(hits[0])
    return book


def show_commands(shop, book, console):
    """Commands to try, with the ids of this database."""
    author = book["authors"][0]["id"]
    commands = [
        show_curl("GET", f"{shop.url}/search?q=nueromancer"),
        show_curl("POST", f"{shop.url}/authors", {"name": "Pat Cadigan", "bio": "American novelist."}),
        show_curl("POST", f"{shop.url}/books", {"title": "Mona Lisa Overdrive", "isbn": "9780553281743", "price": "15.99",
                                                "status": "draft", "author_ids": [author]}),
        show_curl("POST", f"{shop.url}/books/{book['id']}/publish"),
        show_curl("PATCH", f"{shop.url}/authors/{author}", {"name": "William Ford Gibson"}),
        show_curl("GET", f"{shop.url}/search?q=ford"),
    ]
    print(f"""
Search, and see the query:     {shop.url}/
Books, authors, live counts:   {shop.url}/admin
The API, to try:               {shop.url}/docs
The console, every PgSync:     {console}

Write to Postgres, and find it a moment later:""")
    for command in commands:
        print(f"  {command}")


def show_ways(memory, cluster, postgres, opensearch, redis):
    pgpass = STATE / "pgpass"
    pgpass.touch(mode=0o600)
    pgpass.write_text(f"127.0.0.1:{postgres.port}:bookstore:bookstore:{memory.values['bookstore_password']}\n")
    password = STATE / "redis-password"
    password.touch(mode=0o600)
    password.write_text(redis.password)
    context = "" if isinstance(cluster, OwnCluster) else f" --context {cluster.context} --namespace {cluster.namespace}"
    print(f"""
Everything is left running. Look around:
  export PATH={kubernetes_programs()}:$PATH KUBECONFIG={cluster.kubeconfig} PGPASSFILE={pgpass}
  kubectl{context} get pgsyncs -o wide --watch
  kubectl{context} describe pgsync books
  psql -h 127.0.0.1 -p {postgres.port} -U bookstore bookstore
  REDISCLI_AUTH=$(cat {password}) redis-cli -p {redis.port} --scan --pattern 'pgsync:*'   # the checkpoint; then: get KEY
  curl '{opensearch.url}/books/_search?q=gibson&pretty'
  curl http://127.0.0.1:{memory.values["operator_port"]}/metrics
  logs: {STATE}/*.log
Stop it: make demo-stop""")


# --- the two commands


def up():
    for name in ("pgsync-operator", "pgsync", "bookstore"):
        if not (BIN / name).exists():
            sys.exit(f"bin/{name} is not built; `make demo` builds it")
    begin = time.monotonic()
    own = os.environ.get("CLUSTER") != "current"
    memory = Memory()
    if memory.values.setdefault("own", own) != own:
        sys.exit("a demo is running in another cluster; `make demo-stop` first")
    memory.save()
    print("pgsync demo")
    fetch(["postgres", "opensearch", "kubernetes"])
    cluster = OwnCluster(memory) if own else CurrentCluster(memory)
    postgres = make_postgres(memory)
    opensearch = OpenSearch(STATE / "opensearch", port=memory.keep("opensearch_port", ports.free_port), attached=False)
    redis = make_redis(memory)
    with step("Postgres 17, OpenSearch 2, Redis and a Kubernetes API server" if own else "Postgres 17, OpenSearch 2 and Redis"):
        there = start_part(memory, "opensearch", opensearch, lambda part: {"opensearch": part.process})
        cluster.start(memory)
        with_postgres = start_part(memory, "postgres", postgres, lambda part: {"postgres": part.process})
        with_redis = start_part(memory, "redis", redis, lambda part: {"redis": part.process})
        wait_running(postgres, with_postgres, postgres.answers)
        wait_running(redis, with_redis, redis.answers)
        cluster.wait()
        wait_running(opensearch, there, opensearch.answers)
    with step("the bookstore, with 25 books and their authors"):
        shop = start_bookstore(memory, make_database(memory, postgres), opensearch, cluster.namespace)
    with step("the operator"):
        start_operator(memory, cluster)
    with step("kubectl apply -f config/samples/bookstore.yaml, to Ready"):
        apply_sample(memory, cluster, postgres, opensearch, redis)
        wait_ready(cluster)
    print("\n$ kubectl get pgsyncs\n" + cluster.kubectl("get", "pgsyncs", "--namespace", cluster.namespace), end="")
    show_search(opensearch)
    book = show_insert(shop, opensearch)
    print(f"\nThat took {time.monotonic() - begin:.0f} s.")
    show_commands(shop, book, f"http://127.0.0.1:{memory.values['console_port']}/")
    show_ways(memory, cluster, postgres, opensearch, redis)


def leave_current_cluster(memory):
    """Removes what the demo added to an existing cluster, the PgSync first so that its finalizer can run."""
    cluster = CurrentCluster(memory)
    for kind in ("pgsyncs", "secrets"):
        cluster.kubectl("delete", kind, "--all", "--namespace", CURRENT, "--timeout=30s", check=False)
    memory.stop("operator")
    cluster.kubectl("delete", "clusterroles,clusterrolebindings", "--selector", f"app.kubernetes.io/instance={CURRENT}",
                    check=False)
    cluster.kubectl("delete", "namespace", CURRENT, "--wait=false", check=False)
    print(f"the namespace {CURRENT} of context {cluster.context!r} is removed; the CRD pgsyncs.pgsync.io stays")


def down():
    if not STATE.exists():
        print("no demo is running")
        return
    memory = Memory()
    if memory.values.get("own") is False:
        leave_current_cluster(memory)
    for name in STOP_ORDER:
        memory.stop(name)
    if place := memory.values.get("postgres_state"):
        shutil.rmtree(place, ignore_errors=True)
    shutil.rmtree(STATE, ignore_errors=True)
    print("the demo is stopped and its data are removed")


if __name__ == "__main__":
    commands = {"up": up, "down": down}
    if len(sys.argv) != 2 or sys.argv[1] not in commands:
        sys.exit("usage: e2e/demo up|down")
    commands[sys.argv[1]]()
