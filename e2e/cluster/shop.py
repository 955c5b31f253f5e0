"""What the tests of a cluster look at: a namespace with a PgSync of each placement, and a witness of their statuses."""

import contextlib
import threading
import time

import bookstore
from parts.cluster import HOST, PODS
from parts.opensearch import OpenSearch
from parts.postgres import Postgres
from parts.search import SearchEngine, eventually
from pgsync import Resources, condition

IMAGE, TAG = "localhost/pgsync-operator", "e2e"
RESTRICTED = {"pod-security.kubernetes.io/enforce": "restricted", "pod-security.kubernetes.io/warn": "restricted"}
BEATING = 25  # the book whose title changes every second


def namespace(name, **labels):
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": {**RESTRICTED, **labels}}}


def service(kubectl, namespace, name, port, target):
    """A Service without pods: what it leads to is outside the cluster."""
    made = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": name}, "spec": {"ports": [{"port": port}]}}
    outside = {
        "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "addressType": "IPv4",
        "metadata": {"name": name, "labels": {"kubernetes.io/service-name": name}},
        "ports": [{"port": target}], "endpoints": [{"addresses": [HOST]}],
    }
    kubectl.apply(made, outside, namespace=namespace)


class Stream:
    """One PgSync, whose index has its name."""

    def __init__(self, shop, name, placement):
        self.shop, self.name, self.placement = shop, name, placement

    def get(self):
        return self.shop.resources.get(self.name)

    def wait(self, *arguments, **options):
        return self.shop.resources.wait(self.name, *arguments, **{"timeout": 60, **options})

    def ready(self):
        found = condition(self.get(), "Ready")
        return found["status"], found["reason"]

    def slot(self):
        return self.get()["status"]["stream"]["slotName"]

    def copies(self):
        """How often the tables were copied: every copy needs a new slot, whose creation Postgres logs."""
        return self.shop.server.log.read_text().count(f'received replication command: CREATE_REPLICATION_SLOT "{self.slot()}"')

    def placed(self):
        return self.get()["status"].get("worker", {}).get("placement")

    def pod(self):
        """The pod of the worker, with placement Pod."""
        found = self.shop.kubectl.json("get", "pods", "--namespace", self.shop.namespace, "--selector",
                                       f"app.kubernetes.io/instance=pgsync-{self.name}")["items"]
        return next((pod for pod in found if "deletionTimestamp" not in pod["metadata"]), None)

    def memory(self):
        """The limit of the pod; None while there is no pod."""
        pod = self.pod()
        return pod and pod["spec"]["containers"][0]["resources"]["limits"]["memory"]

    def worker(self):
        """The process, with placement Pod."""
        return self.shop.cluster.pids(self.pod(), "pgsync")

    def follows(self):
        """Changes a row, and waits until the documents are equal to the tables again."""
        with self.shop.witness.pause():
            self.shop.database.sql("UPDATE books SET title = %s WHERE id = 1", f"Changed at {time.monotonic_ns()}")
            bookstore.wait_equal(self.shop.engine, self.name, lambda: bookstore.expected(self.shop.database))

    def goes_on(self):
        """The stream flows, the status says so 15 s later at most, and nothing was copied a second time."""
        self.wait()
        self.follows()
        self.wait(timeout=15)
        assert self.placed() == self.placement
        assert self.shop.engine.aliases(self.name) == [f"{self.name}-g1"]
        assert self.copies() == 1
        status = self.get()["status"]
        assert status["bootstrap"]["progress"] == "100%", status


class Witness(threading.Thread):
    """Changes a row every second, and compares Ready with whether the change is in the index.

    `untrue`: for each PgSync, for how long Ready was True at most although a change was missing. `unready`: how often Ready
    was not True. Times at which the API server does not answer do not count."""

    def __init__(self, shop):
        super().__init__(daemon=True)
        self.shop, self.engine = shop, SearchEngine(shop.engine.url)
        self.written, self.unclear, self.failure = [], time.monotonic(), None
        self.held, self.ended = threading.Lock(), threading.Event()
        self.reset()

    def reset(self):
        self.untrue = {name: 0 for name in self.shop.streams}
        self.unready = {name: 0 for name in self.shop.streams}

    @contextlib.contextmanager
    def pause(self):
        """No change meanwhile."""
        with self.held:
            yield

    def run(self):
        while not self.ended.wait(1):
            with self.held:
                self.shop.database.sql("UPDATE books SET title = %s WHERE id = %s", str(len(self.written)), BEATING)
                self.written.append(time.monotonic())
            try:
                for name in self.shop.streams:
                    self._look(name)
            except (RuntimeError, OSError) as error:
                self.unclear, self.failure = time.monotonic(), error

    def _look(self, name):
        document = self.engine.document(name, BEATING)
        if not document or not document["title"].isdigit():
            return
        asked, ready = time.monotonic(), condition(self.shop.resources.get(name), "Ready")
        # Since when something is missing, as far as anything could be known.
        missing = self.written[int(document["title"]) + 1:]
        since = max(missing[0], self.unclear) if missing else asked
        if ready.get("status") != "True":
            self.unready[name] += 1
        else:
            self.untrue[name] = max(self.untrue[name], asked - since)

    def stop(self):
        self.ended.set()
        self.join()


class Shop:
    """A namespace that enforces the restricted standard, with a PgSync in each placement, and the Services through which pods
    reach a database and a search engine outside."""

    def __init__(self, cluster, state):
        self.cluster, self.kubectl, self.namespace = cluster, cluster.kubectl, "shop"
        self.resources = Resources(self.kubectl, self.namespace)
        self.server = Postgres(state / "shop-postgres", fsync=False, addresses=[HOST], clients=[PODS],
                               conf={"log_replication_commands": "on"}).start()
        self.engine = OpenSearch(state / "shop-opensearch", addresses=[HOST]).start()
        self.database = self.server.create_database("bookstore")
        bookstore.load(self.database)
        self.database.create_role()
        self.server.sql(f"ALTER ROLE {self.database.role} RENAME TO pgsync")
        self.database.role = "pgsync"
        self.kubectl.apply(namespace(self.namespace))
        self.services(self.namespace)
        self.books, self.shelf = Stream(self, "books", "Process"), Stream(self, "shelf", "Pod")
        self.streams = {"books": self.books, "shelf": self.shelf}
        self.witness = Witness(self)

    def services(self, namespace):
        service(self.kubectl, namespace, "postgres", 5432, self.server.port)
        service(self.kubectl, namespace, "opensearch", 9200, self.engine.port)

    def apply(self):
        """The sample as it is, except for the password; and the same in a pod."""
        text = (bookstore.SAMPLES / "bookstore.yaml").read_text()
        assert "change-me" in text
        self.kubectl.apply(text.replace("change-me", self.database.role_password), namespace=self.namespace)
        self.kubectl.apply(self.in_pod("shelf"), namespace=self.namespace)

    @staticmethod
    def in_pod(name, **source):
        made = bookstore.sample()
        made["metadata"]["name"] = made["spec"]["schema"][0]["index"] = name
        made["spec"]["worker"] = {"placement": "Pod", "resources": {"requests": {"cpu": "10m", "memory": "32Mi"},
                                                                    "limits": {"memory": "256Mi"}}}
        made["spec"]["source"].update(source)
        return made

    def goes_on(self):
        for stream in self.streams.values():
            stream.goes_on()

    def change_password(self, password):
        """In Postgres and in the Secret."""
        self.server.sql(f"ALTER ROLE pgsync PASSWORD '{password}'")
        self.database.role_password = password
        self.resources.apply(bookstore.secret("bookstore-postgres", password=password))

    def left(self):
        """What there is in the namespace of what the operator makes for pods."""
        kinds = "deployments,pods,serviceaccounts,roles,rolebindings,leases"
        return [name for name in self.kubectl("get", kinds, "--namespace", self.namespace, "-o", "name").split() if "pgsync" in name]

    def delete(self):
        """The PgSyncs; nothing of them is left but their indices."""
        for stream in self.streams.values():
            self.resources.delete(stream.name, timeout=60)
        assert self.database.slots() == []
        assert self.database.publications() == []
        assert {letter for _, letter in self.database.replica_identities()} == {"d"}
        eventually(lambda: not self.left(), 60, lambda: f"the end of {self.left()}", interval=0.2)

    def stop(self):
        if self.witness.is_alive():
            self.witness.stop()
        self.engine.stop()
        self.server.stop("immediate")
