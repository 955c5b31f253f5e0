"""Requests to Amazon OpenSearch Service are signed; the domain checks them with the code of AWS' own client."""

import bookstore
import pytest
from parts.aws import REGION, AwsDomain
from parts.search import eventually
from parts.worker import pgsync

# What a path or a query has to be encoded for.
ODD = "a/b,c *%+ü?&=~"


@pytest.fixture
def domain(opensearch):
    with AwsDomain(opensearch.url) as domain:
        yield domain


def login(region=REGION):
    return {"type": "AWS", "region": region, "secretRef": {"name": "aws"}}


@pytest.mark.parametrize("session", [True, False], ids=["temporary", "lasting"])
def test_every_request_is_signed(books, worker, opensearch, index, domain, session):
    domain.rotate(session)
    books.sql("CREATE TABLE shelves (name text PRIMARY KEY, city text)")
    books.sql("INSERT INTO shelves VALUES (%s, 'Rome'), ('plain', 'Oslo')", ODD)
    books.own_tables()
    run = worker([bookstore.secret("bookstore-postgres", password=books.role_password), bookstore.secret("aws", **domain.secret()),
                  bookstore.resource("books", books, domain.url, index=index, spec={
                      "schema.0.nodes": {"table": "shelves", "columns": ["name", "city"]}, "sink.authentication": login()})])
    run.start().wait_ready()
    books.sql("UPDATE shelves SET city = 'Lima'; DELETE FROM shelves WHERE name = 'plain'")
    books.sql("INSERT INTO shelves VALUES (%s, 'Bonn')", ODD + ODD)
    cities = {ODD: "Lima", ODD + ODD: "Bonn"}
    eventually(lambda: {key: d["city"] for key, d in opensearch.documents(index).items()} == cities, 30, lambda: f"the changes ({run.status()})")
    run.stop()
    code, out, err = pgsync("compare", "-f", run.manifest, "--", ODD)
    assert (code, err) == (0, "") and out.startswith("Equal"), out + err
    assert domain.refused == []
    assert domain.secret()["secretAccessKey"] not in run.process.log.read_text()


def test_wrong_access_key_is_corrected(domain, operator, resources, books, opensearch, index):
    right = domain.secret()
    resources.apply(bookstore.secret("aws", **{**right, "secretAccessKey": "wrong-one"}))
    resources.apply_books("books", books, domain.url, index=index, spec={"sink.authentication": login()})
    found = resources.wait("books", "SinkReachable", "False", reason="AuthFailed", contains=["403"])
    assert not any(value in found["message"] for value in [*right.values(), "wrong-one"])
    resources.apply(bookstore.secret("aws", **right))
    resources.wait("books")
    # Temporary credentials are replaced while changes are synced.
    domain.rotate()
    resources.apply(bookstore.secret("aws", **domain.secret()))
    books.sql("UPDATE books SET title = 'with the next key' WHERE id = 1")
    eventually(lambda: opensearch.document(index, "1")["title"] == "with the next key", 60, "the change")
    bookstore.wait_equal(opensearch, index, lambda: bookstore.expected(books))
    resources.wait("books")


@pytest.mark.parametrize("authentication, part", [
    ({"type": "AWS", "secretRef": {"name": "aws"}}, "`region` must be set exactly when `type` is 'AWS'"),
    ({"type": "Bearer", "region": REGION, "secretRef": {"name": "aws"}}, "`region` must be set exactly when `type` is 'AWS'"),
    ({"type": "AWS", "region": "eu/x", "secretRef": {"name": "aws"}}, "must be a region of AWS, such as eu-central-1"),
], ids=["no region", "a region without AWS", "not a region"])
def test_region_is_checked_by_the_api_server(resources, books, opensearch, index, authentication, part):
    with pytest.raises(Exception, match=part.replace("'", ".").replace("`", ".")):
        resources.apply_books("books", books, opensearch.url, index=index, spec={"sink.authentication": authentication})
