"""docs/install.md, followed to the letter: e2e/test_install.py without what it does by hand instead of a node."""

import bookstore
import pytest
from guide import Reader, blocks
from parts.cluster import HOST, PODS
from parts.operator import NAMESPACE, TREE
from parts.postgres import Postgres
from pgsync import Resources
from shop import service
from test_plugin import Plugin

PAGE = "docs/install.md"
VERSION = (TREE / "VERSION").read_text().strip()
# For the section without helm: the names of images that the node does not have under those of the page.
HERE = f"""resources: [../config/default]
images: [{{name: pgsync-operator, newName: registry.example/pgsync-operator, newTag: {VERSION}}}]
"""


@pytest.fixture
def database(state):
    """The bookstore, whose tables belong to a role that cannot log in."""
    with Postgres(state / "page-postgres", fsync=False, addresses=[HOST], clients=[PODS]) as server:
        made = server.create_database("bookstore")
        bookstore.load(made)
        made.sql("CREATE ROLE bookstore_owner")
        for table in ("books", "authors", "book_authors"):
            made.sql(f"ALTER TABLE {table} OWNER TO bookstore_owner")
        yield made


def left(cluster):
    """What there is of an installation outside of namespaces."""
    names = cluster.kubectl("get", "crd,clusterrole,clusterrolebinding,namespace", "-o", "name").split()
    return [name for name in names if "pgsync" in name]


def test_the_page_leads_from_nothing_to_an_index_through_an_upgrade_and_back_to_nothing(
        state, cluster, call_image, shop, database):
    assert left(cluster) == []
    shop.engine.delete_indices("books*,pgsync*")

    def make_namespace(command):
        reader.run(command)
        service(cluster.kubectl, "shop", "postgres", 5432, database.server.port)
        service(cluster.kubectl, "shop", "opensearch", 9200, shop.engine.port)

    # `make e2e-cluster` has made the image. There is no registry: the node has it under the name that it would have there.
    reader = Reader(state / "page", cluster.kubeconfig, sql=database.sql, adapted={"-k config/default": "-k here"}, instead={
        "make image": lambda command: None,
        "buildah push": lambda command: call_image(f"registry.example/pgsync-operator:{VERSION}"),
        "kubectl create namespace shop": make_namespace,
    })

    printed = reader.follow(blocks(PAGE, "The operator", "Postgres"))
    assert "Phase:          Succeeded" in printed, printed
    printed = reader.follow(blocks(PAGE, "The first PgSync"))
    assert printed.splitlines()[-1].split()[:3] == ["books", "True", "Streaming"], printed
    bookstore.wait_equal(shop.engine, "books", lambda: bookstore.expected(database))

    plugin = Plugin(cluster.kubeconfig, "shop")
    code, out, err = plugin("status", "books")
    assert (code, err) == (0, "") and out.startswith("Verdict:    Flowing: data flows, "), out
    code, out, err = plugin("logs", "books")
    assert (code, err) == (0, "") and "worker started" in out, out + err

    reader.follow(blocks(PAGE, "Upgrade"))
    database.sql("UPDATE books SET title = 'After the upgrade' WHERE id = 1")
    bookstore.wait_equal(shop.engine, "books", lambda: bookstore.expected(database))
    assert shop.engine.aliases("books") == ["books-g1"]
    Resources(cluster.kubectl, "shop").wait("books")

    reader.follow(blocks(PAGE, "Uninstall"))
    assert (database.slots(), database.publications()) == ([], [])
    assert set(database.replica_identities()) == {("authors", "d"), ("book_authors", "d"), ("books", "d")}
    assert shop.engine.aliases("books") == ["books-g1"], "the page says that the index stays"
    assert left(cluster) == []

    # The page says how to change the image.
    (reader.home / "here").mkdir()
    (reader.home / "here/kustomization.yaml").write_text(HERE)
    reader.follow(blocks(PAGE, "Without helm"))
    assert left(cluster) == []
    assert not reader.unused, f"{PAGE} has no such text any more: {reader.unused}"
