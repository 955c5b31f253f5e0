"""`pgsync init`: what it proposes for a database is accepted by the API server, passes `pgsync plan`, and fills an index."""

import os
import subprocess
from decimal import Decimal

import bookstore
import pytest
import yaml
from parts.operator import BIN
from parts.postgres import Database
from parts.worker import pgsync

# Composite keys, a table that refers to itself, a connecting table with a column more, two foreign keys to one
# table, another schema, a partitioned table, columns that do not belong into a document.
SHOP = """
    CREATE SCHEMA crm;
    CREATE TABLE crm.customers (id bigint PRIMARY KEY, name text NOT NULL, password_hash text, photo bytea);
    CREATE TABLE addresses (id bigint PRIMARY KEY, customer_id bigint REFERENCES crm.customers, city text NOT NULL);
    CREATE TABLE categories (id bigint PRIMARY KEY, parent_id bigint REFERENCES categories, name text NOT NULL);
    CREATE TABLE products (id bigint PRIMARY KEY, category_id bigint REFERENCES categories, name text, price numeric, specs jsonb);
    CREATE TABLE tags (id bigint PRIMARY KEY, name text);
    CREATE TABLE product_tags (product_id bigint REFERENCES products, tag_id bigint REFERENCES tags, PRIMARY KEY (product_id, tag_id));
    CREATE TABLE orders (shop text, number int, customer_id bigint REFERENCES crm.customers, billing_address_id bigint REFERENCES addresses,
        shipping_address_id bigint REFERENCES addresses, placed_on date, PRIMARY KEY (shop, number));
    CREATE TABLE items (shop text, number int, product_id bigint REFERENCES products, amount int NOT NULL,
        PRIMARY KEY (shop, number, product_id), FOREIGN KEY (shop, number) REFERENCES orders);
    CREATE TABLE shipments (id bigint, shop text, number int, sent_on date NOT NULL, FOREIGN KEY (shop, number) REFERENCES orders,
        PRIMARY KEY (id, sent_on)) PARTITION BY RANGE (sent_on);
    CREATE TABLE shipments_2026 PARTITION OF shipments FOR VALUES FROM ('2026-01-01') TO ('2027-01-01');
    CREATE UNLOGGED TABLE visits (id bigint PRIMARY KEY, product_id bigint REFERENCES products);
    INSERT INTO crm.customers VALUES (1, 'Ada', 'plnt-hash', 'x');
    INSERT INTO addresses VALUES (1, 1, 'London'), (2, 1, 'Turin');
    INSERT INTO categories VALUES (1, NULL, 'machines'), (2, 1, 'engines');
    INSERT INTO products VALUES (7, 2, 'engine', 12.50, '{"wheels": 9}');
    INSERT INTO tags VALUES (1, 'brass'), (2, 'steam');
    INSERT INTO product_tags VALUES (7, 1), (7, 2);
    INSERT INTO orders VALUES ('north', 1, 1, 1, 2, '2026-12-01');
    INSERT INTO items VALUES ('north', 1, 7, 3);
    INSERT INTO shipments VALUES (5, 'north', 1, '2026-12-02');
    ANALYZE;
"""

ORDER = {
    "shop": "north", "number": 1, "placed_on": "2026-12-01",
    "customer": {"id": 1, "name": "Ada"},
    "billing_address": {"id": 1, "city": "London", "customer": {"id": 1, "name": "Ada"}},
    "shipping_address": {"id": 2, "city": "Turin", "customer": {"id": 1, "name": "Ada"}},
    "items": [{"amount": 3, "product": {"id": 7, "name": "engine", "price": Decimal("12.50"), "specs": {"wheels": 9},
                                        "category": {"id": 2, "parent_id": 1, "name": "engines"}}}],
    "shipments": [{"id": 5, "sent_on": "2026-12-02"}],
}


class Init:
    """Calls `pgsync init` for a database, with the password in the environment."""

    def __init__(self, directory, database, engine):
        self.directory, self.database = directory, database
        directory.mkdir(parents=True, exist_ok=True)
        self.environment = {"PATH": os.environ["PATH"], "PG_HOST": "127.0.0.1", "PG_PORT": str(database.server.port), "PG_USER": database.role,
                            "PG_PASSWORD": database.role_password, "ELASTICSEARCH_URL": engine.url}

    def __call__(self, *arguments, **variables):
        """(exit code, standard output, standard error)"""
        done = subprocess.run([str(BIN / "pgsync"), "init", *arguments], cwd=self.directory, env=self.environment | variables, capture_output=True,
                              text=True, timeout=60)
        return done.returncode, done.stdout, done.stderr

    def propose(self, *arguments):
        """The file, its documents, and the comments above them."""
        code, out, err = self("--database", self.database.name, *arguments)
        assert code == 0, out + err
        path = self.directory / "proposed.yaml"
        path.write_text(out)
        return path, list(yaml.safe_load_all(out)), out.split("---\n")[0]


@pytest.fixture
def init(database, opensearch, state, unique):
    database.create_role()

    def load(sql=None):
        if sql:
            database.sql(sql)
        else:
            bookstore.load(database)
        database.own_tables()
        database.sql(f"ALTER SCHEMA crm OWNER TO {database.role}; ALTER TABLE crm.customers OWNER TO {database.role}" if sql else "ANALYZE")
        return Init(state / f"init-{unique}", database, opensearch)

    return load


def check(path, objects, resources, opensearch, index):
    """The API server accepts it, the plan has no error, and the index is filled."""
    resources.apply(*objects)
    code, out, err = pgsync("plan", "-f", path)
    assert code == 0, out + err
    assert "error: " not in err
    code, out, err = pgsync("run", "-f", path, "--until-caught-up")
    assert code == 0, out + err
    return opensearch.documents(index)


def test_a_proposal_for_the_bookstore_runs_as_it_is(init, resources, opensearch, index):
    path, objects, comments = init().propose("--root", "books", "--name", "books", "--index", index)
    assert [o["kind"] for o in objects] == ["Secret", "PgSync"]
    node = objects[1]["spec"]["schema"][0]["nodes"]
    authors, = [child for child in node["children"] if child["table"] == "authors"]
    assert authors["relationship"] == {"variant": "object", "type": "one_to_many", "through_tables": ["book_authors"]}
    assert "documents" not in objects[1]["spec"] and "#   books: " in comments
    assert len(check(path, objects, resources, opensearch, index)) == 25


def test_a_proposal_for_many_kinds_of_relationships_runs_as_it_is(init, resources, opensearch, index):
    path, objects, comments = init(SHOP).propose("--root", "orders", "--name", "orders", "--index", index)
    found = check(path, objects, resources, opensearch, index)
    assert found == {"1|north": ORDER}
    for words in ("#   customer.password_hash: looks like a secret", "#   customer.photo: bytes", "#   orders: 1\n",
                  "#   items: `nested: true` lets a search", "#   items.product.price: numeric without",
                  'CREATE INDEX CONCURRENTLY ON "public"."orders" ("customer_id");\n'):
        assert words in comments, comments
    assert "plnt-hash" not in path.read_text()


@pytest.mark.parametrize("root", ["products", "categories", "crm.customers", "addresses", "tags"])
def test_every_proposal_passes_the_plan(init, index, root):
    path, objects, comments = init(SHOP).propose("--root", root, "--index", index)
    code, out, err = pgsync("plan", "-f", path)
    assert code == 0, out + err
    if root == "products":
        assert "visits: it is unlogged" in comments


def test_without_a_root_the_tables_are_listed(init, database):
    code, out, err = init(SHOP)("--database", database.name)
    lines = [line.split(None, 1) for line in out.splitlines() if line.startswith("    ")] if code == 0 else []
    roots = [document.split(",")[0] for _, document in lines]
    assert (code, err) == (0, ""), err
    assert set(roots) == {"crm.customers", "addresses", "categories", "products", "tags", "orders", "items", "shipments"}
    assert "pgsync init --root TABLE" in out and dict(zip(roots, lines))["orders"][0] == "1"


def test_what_is_wrong_is_said(init, database):
    call = init(SHOP)
    for arguments, variables, code, words in (
        ([], {}, 2, ["--database"]),
        (["--database", database.name, "--root", "nothing"], {}, 2, ["nothing", "does not exist"]),
        (["--database", database.name, "--root", "visits"], {}, 2, ["visits", "unlogged"]),
        (["--database", database.name, "--rout", "orders"], {}, 2, ["--rout", "--root"]),
        (["--database", "nothing"], {}, 1, ["nothing"]),
        (["--database", database.name], {"PG_PASSWORD": "plnt-wrong"}, 1, ["password"]),
    ):
        found, out, err = call(*arguments, **variables)
        assert (found, out) == (code, ""), out + err
        assert all(word in err for word in words) and "plnt-wrong" not in err, err


def test_the_database_may_be_in_the_url(init, database):
    call = init(SHOP)
    url = f"postgresql://{database.role}:{database.role_password}@127.0.0.1:{database.server.port}/{database.name}"
    call.environment = {k: v for k, v in call.environment.items() if not k.startswith("PG_")} | {"PG_URL": url}
    code, out, err = call("--root", "public.tags", "--namespace", "shop")
    assert code == 0, err
    secret, resource = yaml.safe_load_all(out)
    assert resource["metadata"]["namespace"] == secret["metadata"]["namespace"] == "shop"
    assert resource["spec"]["source"]["database"] == database.name and database.role_password not in str(resource)


def test_a_database_without_an_encoding_is_refused(init, postgres, unique):
    """Its names may be no UTF-8, so neither the listing nor a proposal could show them."""
    here = init()
    postgres.sql(f"CREATE DATABASE {unique}_raw ENCODING 'SQL_ASCII' LC_COLLATE 'C' LC_CTYPE 'C' TEMPLATE template0")
    raw = Database(postgres, f"{unique}_raw")
    try:
        raw.sql(r"DO $$ BEGIN EXECUTE 'CREATE TABLE caf' || chr(233) || ' (id int PRIMARY KEY)'; END $$")
        for arguments in ((), ("--root", "caf\udce9")):
            code, out, err = here("--database", raw.name, *arguments, PG_USER="postgres", PG_PASSWORD=postgres.password)
            assert code == 1 and not out and "has the encoding SQL_ASCII" in err, (code, out, err)
    finally:
        raw.drop()
