"""docs/install.md, followed to the letter. There is no node here: what one would do is done by hand, each under `instead`."""

import json

import bookstore
import pytest
from guide import Reader, blocks
from parts.kubernetes import KubeApi
from parts.operator import NAMESPACE, RELEASE, TREE, Operator
from pgsync import Resources
from test_chart import run_helm_test

PAGE = "docs/install.md"


class Node:
    """Runs the operator as its Deployment says."""

    def __init__(self, api, state):
        self.api, self.state, self.operator = api, state, None

    def rollout(self, command):
        """In place of `kubectl rollout status`: the pods of before end, and one of the Deployment starts."""
        self.stop()
        deployment = self.api.kubectl.json("get", "deployment", RELEASE, "--namespace", NAMESPACE)
        pod = deployment["spec"]["template"]["spec"]
        self.image = pod["containers"][0]["image"]
        kubeconfig = self.api.service_account_kubeconfig(NAMESPACE, pod["serviceAccountName"], self.state / "operator.kubeconfig")
        flags = [flag for flag in pod["containers"][0]["args"] if not flag.startswith(("--listen", "--health-listen", "--log"))]
        self.operator = Operator("operator-install", self.state, kubeconfig, *flags, lease_namespace=NAMESPACE).start()

    def helm_test(self, command):
        done = run_helm_test(self.operator)
        assert done.returncode == 0, done.stdout + done.stderr

    def end_namespace(self, command):
        """The namespace is deleted, and then what its controller does when it has emptied it. Its pods end with it."""
        self.stop()
        self.api.kubectl(*command.split()[1:], "--wait=false")
        ended = self.api.kubectl.json("get", "namespace", NAMESPACE)
        ended["spec"]["finalizers"] = []
        self.api.kubectl("replace", "--raw", f"/api/v1/namespaces/{NAMESPACE}/finalize", "-f", "-", input=json.dumps(ended))

    def left(self):
        """What there is of an installation outside of namespaces."""
        names = self.api.kubectl("get", "crd,clusterrole,clusterrolebinding,namespace", "-o", "name").split()
        return [name for name in names if "pgsync" in name]

    def stop(self):
        if self.operator:
            self.operator.stop()


@pytest.fixture
def api(state):
    with KubeApi(state / "install") as made:
        yield made


@pytest.fixture
def node(api, state):
    made = Node(api, state)
    yield made
    made.stop()


@pytest.fixture
def database(own_postgres):
    """The bookstore, whose tables belong to a role that cannot log in."""
    made = own_postgres().create_database("bookstore")
    bookstore.load(made)
    made.sql("CREATE ROLE bookstore_owner")
    for table in ("books", "authors", "book_authors"):
        made.sql(f"ALTER TABLE {table} OWNER TO bookstore_owner")
    return made


def test_the_page_leads_from_nothing_to_an_index_through_an_upgrade_and_back_to_nothing(state, api, node, database, opensearch, unique):
    index = unique.replace("_", "-")
    not_here = "a registry"  # there is none: the image is the business of `make e2e-cluster`
    reader = Reader(state / unique, api.kubeconfig, sql=database.sql, adapted={
        "host: postgres": "host: 127.0.0.1", "port: 5432": f"port: {database.server.port}",
        "http://opensearch:9200": opensearch.url, "- index: books": f"- index: {index}",
    }, instead={
        "make image": lambda command: not_here, "buildah push": lambda command: not_here,
        "kubectl --namespace pgsync-system rollout": node.rollout,
        "helm --namespace pgsync-system test": node.helm_test,
        # Its Job would need a node: test_uninstall.py has what the Job does.
        "helm uninstall": lambda command: reader.run(f"{command} --no-hooks"),
        "kubectl delete namespace": node.end_namespace,
        "kubectl delete -k": lambda command: node.end_namespace(command.replace("config/default", str(TREE / "config/default"))),
    })
    resources = Resources(api.kubectl, "shop")

    reader.follow(blocks(PAGE, "The operator", "Postgres"))
    assert node.image.startswith("registry.example/pgsync-operator:")
    printed = reader.follow(blocks(PAGE, "The first PgSync"))
    assert [line.split() for line in printed.splitlines()][-2][:3] == ["NAME", "READY", "PHASE"], printed
    assert printed.splitlines()[-1].split()[:3] == ["books", "True", "Streaming"], printed
    bookstore.wait_equal(opensearch, index, lambda: bookstore.expected(database))

    old = node.operator
    reader.follow(blocks(PAGE, "Upgrade"))
    assert node.operator is not old
    database.sql("UPDATE books SET title = 'After the upgrade' WHERE id = 1")
    bookstore.wait_equal(opensearch, index, lambda: bookstore.expected(database))
    assert opensearch.aliases(index) == [f"{index}-g1"]
    resources.wait("books")

    reader.follow(blocks(PAGE, "Uninstall"))
    assert (database.slots(), database.publications()) == ([], [])
    assert set(database.replica_identities()) == {("authors", "d"), ("book_authors", "d"), ("books", "d")}
    assert opensearch.aliases(index) == [f"{index}-g1"], "the page says that the index stays"
    assert node.left() == []

    reader.follow(blocks(PAGE, "Without helm"))
    assert node.left() == []
    assert not reader.unused, f"{PAGE} has no such text any more: {reader.unused}"


def test_a_role_that_owns_no_tables_can_use_a_publication_that_an_administrator_made(database, worker, opensearch, index):
    for language, text in blocks(PAGE, "With fewer privileges"):
        assert language == "sql"
        database.sql(text)
    database.role, database.role_password = "pgsync_reader", "choose-a-better-one"
    manifest = [bookstore.secret("bookstore-postgres", password=database.role_password),
                bookstore.resource("books", database, opensearch.url, index=index, spec={
                    "source.replication": {"publicationName": "books", "replicaIdentity": "Verify"}})]
    run = worker(manifest).start()
    run.wait_ready()
    database.sql("DELETE FROM book_authors WHERE book_id = 1")
    bookstore.wait_equal(opensearch, index, lambda: bookstore.expected(database))
    run.stop()
    assert database.publications() == ["books"]
