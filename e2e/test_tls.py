"""Real TLS and credentials: Postgres with VerifyFull and SCRAM, the search engine behind TLS and three kinds of login."""

import base64

import bookstore
import pytest
from parts import pki
from parts.postgres import Postgres
from pgsync import condition

NAME = "books"


@pytest.fixture(scope="module")
def certificates(authority):
    return {
        "good": authority.issue("postgres", "/CN=localhost"),
        "expired": authority.issue("postgres-expired", "/CN=localhost", expired=True),
        "elsewhere": authority.issue("postgres-elsewhere", "/CN=elsewhere.example", sans="DNS:elsewhere.example"),
    }


@pytest.fixture(scope="module")
def stranger(module_state):
    """An authority that signed nothing here."""
    return pki.Authority(module_state / "stranger", "a stranger")


@pytest.fixture(scope="module")
def tls_postgres(module_state, certificates):
    with Postgres(module_state / "postgres", ssl=certificates["good"], fsync=False) as server:
        yield server


@pytest.fixture
def books(tls_postgres, unique):
    database = tls_postgres.create_database(unique)
    bookstore.load(database)
    database.create_role()
    yield database
    database.drop()


@pytest.fixture
def show(tls_postgres, certificates):
    """show("expired"): the certificate that Postgres shows to new connections."""

    def use(which):
        tls_postgres.use_certificate(certificates[which])
        tls_postgres.sql("SELECT pg_reload_conf()")

    yield use
    use("good")


@pytest.fixture
def apply(operator, resources, books, opensearch, unique, authority):
    """The sample over TLS to Postgres, verified with the right certificate authority by default."""
    index = unique.replace("_", "-")

    def run(*, ca=authority, urls=None, password=None, **spec):
        resources.apply(bookstore.secret("postgres-ca", **{"ca.crt": ca.cert.read_text()}))
        verified = {"mode": "VerifyFull", "caSecretRef": {"name": "postgres-ca", "key": "ca.crt"}}
        tls = {"source.tls": verified, "source.host": "localhost"}
        resources.apply_books(NAME, books, urls or opensearch.url, index=index, password=password, spec={**tls, **spec})
        return index

    return run


def ready_and_equal(resources, opensearch, index, books):
    resources.wait(NAME)
    assert not bookstore.differences(opensearch.documents(index), bookstore.expected(books))


def test_postgres_with_prefer_when_the_server_requires_tls(apply, resources, opensearch, books):
    index = apply(**{"source.tls": {"mode": "Prefer"}})
    ready_and_equal(resources, opensearch, index, books)
    used = books.sql("SELECT DISTINCT ssl FROM pg_stat_ssl JOIN pg_stat_activity USING (pid) WHERE usename = %s", books.role)
    assert used == [(True,)]


def test_postgres_with_verify_full(apply, resources, opensearch, books):
    index = apply()
    ready_and_equal(resources, opensearch, index, books)
    used = books.sql("SELECT DISTINCT ssl FROM pg_stat_ssl JOIN pg_stat_activity USING (pid) WHERE usename = %s", books.role)
    assert used == [(True,)]


def test_postgres_behind_a_wrong_authority_is_refused(apply, resources, opensearch, books, stranger, authority):
    index = apply(ca=stranger)
    resources.wait(NAME, "SourceReachable", "False", reason="TLS", contains=["certificate"])
    resources.apply(bookstore.secret("postgres-ca", **{"ca.crt": authority.cert.read_text()}))
    ready_and_equal(resources, opensearch, index, books)


def test_expired_certificate_of_postgres_is_named(apply, resources, opensearch, books, show):
    show("expired")
    index = apply()
    resources.wait(NAME, "SourceReachable", "False", reason="TLS", contains=["expired"])
    show("good")
    ready_and_equal(resources, opensearch, index, books)


def test_certificate_of_another_host_is_refused(apply, resources, opensearch, books, show):
    show("elsewhere")
    index = apply()
    resources.wait(NAME, "SourceReachable", "False", reason="TLS", contains=["localhost"])
    show("good")
    ready_and_equal(resources, opensearch, index, books)


def test_server_that_requires_tls_is_reported_to_a_client_without_it(apply, resources, opensearch, books):
    index = apply(**{"source.tls": {"mode": "Disable"}})
    try:
        resources.wait(NAME, "SourceReachable", "False", contains=["TLS"])
    finally:
        resources.patch(NAME, {"source": {"tls": {"mode": "Require"}}})
    ready_and_equal(resources, opensearch, index, books)


def test_wrong_password_over_tls_is_named(apply, resources, opensearch, books):
    index = apply(password="wrong-one")
    found = resources.wait(NAME, "SourceReachable", "False", reason="AuthFailed", contains=[books.role])
    assert "wrong-one" not in found["message"]
    resources.apply(bookstore.secret(f"{NAME}-postgres", password=books.role_password))
    ready_and_equal(resources, opensearch, index, books)


# --- the search engine


CREDENTIALS = {
    "Basic": lambda n: {"username": n.username, "password": n.password},
    "APIKey": lambda n: {"apiKey": n.api_key},
    "Bearer": lambda n: {"token": n.token},
}


def _sink(type):
    return {"sink.authentication": {"type": type, "secretRef": {"name": "search-login"}},
            "sink.tls": {"caSecretRef": {"name": "search-ca", "key": "ca.crt"}}}


@pytest.fixture
def search_secrets(resources, authority):
    def use(values, ca=authority):
        resources.apply(bookstore.secret("search-login", **values),
                        bookstore.secret("search-ca", **{"ca.crt": ca.cert.read_text()}))

    return use


@pytest.mark.parametrize("type", list(CREDENTIALS))
def test_search_engine_with_tls_and_login(apply, search_secrets, resources, opensearch, nginx, books, type):
    search_secrets(CREDENTIALS[type](nginx))
    index = apply(urls=nginx.url, **_sink(type))
    ready_and_equal(resources, opensearch, index, books)


@pytest.mark.parametrize("type", list(CREDENTIALS))
def test_wrong_login_at_the_search_engine_is_corrected(apply, search_secrets, resources, opensearch, nginx, books, type):
    wrong = {key: base64.b64encode(b"id:wrong-one").decode() for key in CREDENTIALS[type](nginx)}
    search_secrets(wrong)
    index = apply(urls=nginx.url, **_sink(type))
    found = resources.wait(NAME, "SinkReachable", "False", reason="AuthFailed", contains=["401"])
    assert not any(value in found["message"] for value in wrong.values())
    search_secrets(CREDENTIALS[type](nginx))
    ready_and_equal(resources, opensearch, index, books)


def test_search_engine_behind_a_wrong_authority_is_refused(apply, search_secrets, resources, opensearch, nginx, books, stranger):
    search_secrets(CREDENTIALS["Basic"](nginx), ca=stranger)
    index = apply(urls=nginx.url, **_sink("Basic"))
    resources.wait(NAME, "SinkReachable", "False", reason="TLS", contains=["certificate"])
    search_secrets(CREDENTIALS["Basic"](nginx))
    ready_and_equal(resources, opensearch, index, books)


def test_expired_certificate_of_the_search_engine_is_named(apply, search_secrets, resources, opensearch, nginx, books, authority):
    good = nginx.certificate
    nginx.use_certificate(authority.issue("search-expired", "/CN=localhost", expired=True))
    search_secrets(CREDENTIALS["Basic"](nginx))
    index = apply(urls=nginx.url, **_sink("Basic"))
    resources.wait(NAME, "SinkReachable", "False", reason="TLS", contains=["expired"])
    nginx.use_certificate(good)
    ready_and_equal(resources, opensearch, index, books)


def test_insecure_skip_verify_accepts_any_certificate(apply, search_secrets, resources, opensearch, nginx, books):
    search_secrets(CREDENTIALS["Basic"](nginx))
    index = apply(urls=nginx.url, **{**_sink("Basic"), "sink.tls": {"insecureSkipVerify": True}})
    ready_and_equal(resources, opensearch, index, books)


def test_changed_search_login_is_taken_up(apply, search_secrets, resources, opensearch, nginx, books):
    search_secrets(CREDENTIALS["Basic"](nginx))
    index = apply(urls=nginx.url, **_sink("Basic"))
    resources.wait(NAME)
    nginx.password += "-rotated"
    nginx.stop()
    nginx.start()
    books.sql("UPDATE books SET title = 'rotated' WHERE id = 1")
    resources.wait(NAME, "SinkReachable", "False", reason="AuthFailed")
    search_secrets(CREDENTIALS["Basic"](nginx))
    ready_and_equal(resources, opensearch, index, books)
    assert condition(resources.get(NAME), "SinkReachable")["status"] == "True"
