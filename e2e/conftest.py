"""Fixtures: the shared parts (once per run) and what each test has for itself (database, index, namespace)."""

import itertools
import os
import re
import shutil
import sys
import tempfile
import threading
from pathlib import Path

import bookstore
import pytest
from parts import operator as operator_parts
from parts import pki, process
from parts.faultproxy import FaultProxy
from parts.kubernetes import KubeApi
from parts.nginx import Nginx
from parts.opensearch import ENGINES, chosen
from parts.operator import Operator
from parts.postgres import Postgres
from parts.shop import Bookstore
from parts.worker import Worker
from pgsync import Resources

_numbers = itertools.count(1)


def pytest_configure(config):
    process.interrupt_on_term()


def pytest_collection_modifyitems(items):
    """Files with slow tests come first. Of several workers, an idle one takes tests from the end of another's list: none waits
    at last for a slow one that has just begun."""
    slow = {item.path for item in items if item.get_closest_marker("slow")}
    items.sort(key=lambda item: item.path not in slow)


@pytest.fixture(scope="session")
def state(request):
    """The run's directory: data and logs of every part. Kept when a test failed, or with E2E_KEEP=1."""
    directory = Path(tempfile.mkdtemp(prefix="pgsync-e2e-"))
    directory.chmod(0o755)
    yield directory
    process.stop_all()
    if request.session.testsfailed or os.environ.get("E2E_KEEP"):
        shutil.rmtree(directory / "opensearch/node", ignore_errors=True)
        print(f"\nstate and logs of this run: {directory}", file=sys.stderr)
    else:
        shutil.rmtree(directory, ignore_errors=True)


@pytest.fixture(scope="module")
def module_state(state):
    """A directory for the parts of one module: another one each time, as a worker may come to a module twice."""
    directory = Path(tempfile.mkdtemp(prefix="module-", dir=state))
    directory.chmod(0o755)
    return directory


class _Parts:
    """The shared parts, started together by the first fixture that wants one, and waited for one by one."""

    def __init__(self, state):
        self.state = state
        self.postgres = Postgres(state / "postgres", fsync=False, conf={"synchronous_commit": "on"})
        # E2E_ENGINE=opensearch3, elasticsearch, elasticsearch8 or elasticsearch9: every test that asks for OpenSearch gets that one instead.
        self.opensearch = chosen()(state / "opensearch", heap="1g")
        self.kube = KubeApi(state / "kubernetes")
        self._started = set()

    def get(self, name):
        part = getattr(self, name)
        if name not in self._started:
            # The slow ones start while we wait for the requested one; this costs little if a run needs only one.
            part.spawn()
            self._started.add(name)
        return part.wait()


@pytest.fixture(scope="session")
def parts(state, request):
    """Starts everything that the collected tests will need at once."""
    made = _Parts(state)
    wanted = set().union(*(item.fixturenames for item in request.session.items))
    if "engine" in wanted:
        wanted.add("opensearch")
    threads = [threading.Thread(target=made.get, args=(name,)) for name, fixture in
               (("opensearch", "opensearch"), ("kube", "kube"), ("postgres", "postgres")) if fixture in wanted]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    yield made
    for name in ("kube", "opensearch", "postgres"):
        if name in made._started:
            getattr(made, name).stop()


@pytest.fixture(scope="session")
def postgres(parts):
    """The shared Postgres; not for tests that stop or freeze it."""
    return parts.get("postgres")


@pytest.fixture(scope="session")
def opensearch(parts):
    return parts.get("opensearch")


@pytest.fixture(scope="session")
def nodes(state):
    """nodes(name): one node of that engine for the whole run."""
    started = {}

    def get(name):
        if name not in started:
            started[name] = ENGINES[name](state / name).start()
        return started[name]

    yield get
    for node in started.values():
        node.stop()


@pytest.fixture(scope="module",
                params=[pytest.param(name, marks=[pytest.mark.long] if node.nightly else []) for name, node in ENGINES.items()])
def engine(request, nodes):
    """Each search engine in turn."""
    return request.getfixturevalue("opensearch") if request.param == chosen().tool else nodes(request.param)


@pytest.fixture(scope="session")
def kube(parts):
    """The shared API server, with CRD and RBAC installed from the chart."""
    api = parts.get("kube")
    api.service_account = operator_parts.install(api.kubectl)
    return api


@pytest.fixture(scope="session")
def authority(state):
    return pki.Authority(state / "authority")


@pytest.fixture
def unique(request):
    """A name that no other test has: of [a-z0-9_], at most 30 characters."""
    base = re.sub(r"[^a-z0-9]+", "_", request.node.name.removeprefix("test_").lower()).strip("_")
    return f"{base[:24].strip('_')}_{next(_numbers)}"


@pytest.fixture
def pipeline(opensearch, unique):
    """pipeline({...}): creates or replaces the test's ingest pipeline with one processor, and returns its name."""

    def make(processor):
        if not opensearch.processors:
            pytest.skip(f"{opensearch.tool} is started without ingest processors")
        opensearch.request("PUT", f"_ingest/pipeline/{unique}", {"processors": [processor]})
        return unique

    yield make
    opensearch.request("DELETE", f"_ingest/pipeline/{unique}", ok=(200, 404))


@pytest.fixture
def namespace(kube, unique):
    return kube.namespace(unique.replace("_", "-"))


@pytest.fixture
def database(postgres, unique):
    """An empty database."""
    made = postgres.create_database(unique)
    yield made
    made.drop()


def _operator_kubeconfig(kube, state, name):
    return kube.service_account_kubeconfig(operator_parts.NAMESPACE, kube.service_account, state / f"{name}.kubeconfig")


@pytest.fixture(scope="module")
def operator(kube, state, request):
    """One operator that the tests of a module share; not for tests that stop it."""
    name = f"operator-{request.module.__name__}"
    running = Operator(name, state, _operator_kubeconfig(kube, state, name)).start()
    yield running
    running.stop()


@pytest.fixture
def make_operator(kube, state, unique):
    """make_operator("a", "--flag", option=...): operators of a test's own. They compete for the chart's one Lease."""
    made = []

    def make(name, *flags, **options):
        full = f"operator-{unique}-{name}"
        made.append(Operator(full, state, _operator_kubeconfig(kube, state, full), *flags, **options))
        return made[-1]

    yield make
    for each in made:
        each.stop()
    # A killed operator's Lease stays held for its duration; the next test should not have to wait for that.
    kube.kubectl("delete", "leases", "--all", "--namespace", operator_parts.NAMESPACE)


@pytest.fixture
def resources(kube, namespace, request):
    """Applies and reads PgSyncs in the test's namespace, and deletes them at the end."""
    # What a deletion needs must be created first, so that it is removed afterwards.
    for name in ("books", "database", "own_postgres", "fault_proxy", "nginx", "make_operator", "operator"):
        if name in request.fixturenames:
            request.getfixturevalue(name)
    made = Resources(kube.kubectl, namespace)
    yield made
    made.delete_all()


@pytest.fixture
def fault_proxy(opensearch):
    with FaultProxy(opensearch.url) as proxy:
        yield proxy


@pytest.fixture
def nginx(state, unique, opensearch, authority):
    certificate = authority.issue("search", "/CN=localhost")
    with Nginx(state / f"nginx-{unique}", opensearch.url, certificate, authority) as proxy:
        yield proxy


@pytest.fixture
def own_postgres(state, unique):
    """own_postgres(wal_level="replica", ssl=...): a server for the test alone, durable, that it may end or freeze."""
    made = []

    def make(**options):
        server = Postgres(state / f"postgres-{unique}-{len(made)}", **options)
        made.append(server)
        return server.start()

    yield make
    for server in made:
        server.stop("immediate")


@pytest.fixture
def worker(state, unique):
    """worker(resource, secrets, *flags): `bin/pgsync run -f FILE` without Kubernetes."""
    made = []

    def make(objects, *flags):
        made.append(Worker(state / f"worker-{unique}-{len(made)}", objects, *flags))
        return made[-1]

    yield make
    for each in made:
        each.stop()


@pytest.fixture
def books(database):
    """The bookstore of 25 books, owned by a role that may replicate it."""
    bookstore.load(database)
    database.create_role()
    return database


@pytest.fixture(scope="session")
def shop(state, postgres, opensearch):
    """A bookstore that made its tables itself, and a worker that follows them into an index."""
    database = postgres.create_database("shop")
    database.create_role()
    database.own()
    worker = Worker(state / "shop-worker", [bookstore.secret("bookstore-postgres", password=database.role_password),
                                            bookstore.resource("shop", database, opensearch.url, index="shop-books")])
    made = Bookstore(state / "shop", database, database.role, database.role_password, opensearch.url, "shop-books", wait_url=worker.url).start()
    made.worker = worker.start().wait_ready()
    opensearch.refresh("shop-books")
    yield made
    made.stop()
    worker.stop()
    database.drop()


@pytest.fixture(scope="module")
def browser():
    """Chromium. Most runs need none, and it takes a while to load."""
    from playwright.sync_api import expect, sync_playwright

    with sync_playwright() as playwright:
        expect.set_options(timeout=30000)  # other programs keep the machine busy, too
        flags = ["--no-sandbox"] if os.geteuid() == 0 else []
        made = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=flags)
        yield made
        made.close()


@pytest.fixture
def open_page(browser):
    """open_page(url, width=..., scheme=...): a page that must not write errors to its console."""
    contexts, said = [], []

    def listen(message):
        # The browser itself writes there that a request failed, whatever the page does with it.
        if message.type == "error" and not message.text.startswith("Failed to load resource"):
            said.append(message.text)

    def make(url, *, width=1280, scheme="light"):
        context = browser.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme, reduced_motion="reduce")
        context.set_default_timeout(20000)
        contexts.append(context)
        page = context.new_page()
        page.on("console", listen)
        page.on("pageerror", lambda error: said.append(str(error)))
        page.goto(url)
        return page

    yield make
    for context in contexts:
        context.close()
    assert said == []


@pytest.fixture
def index(unique):
    return unique.replace("_", "-")


@pytest.fixture
def manifest(books, opensearch, index):
    """Secret and PgSync in one list, in the form of a file for `pgsync run -f`."""
    return [bookstore.secret("bookstore-postgres", password=books.role_password),
            bookstore.resource("books", books, opensearch.url, index=index)]
