"""The bookstore's API: what it writes, what it refuses, and that a PgSync of the sample makes it searchable."""

import json
import re
import subprocess
import sys
import threading

import pytest
import requests
from parts.faultproxy import FaultProxy
from parts.operator import TREE
from parts.shop import Bookstore

MODES = {  # of each mode: what finds a book, what does not find it
    "fuzzy": ("nueromancer", "xyzzyplugh"),
    "match": ("neuromancer gibson", "nueromancer"),
    "phrase": ("left hand of darkness", "darkness of hand left"),
    "phrase_prefix": ("the left hand of dark", "hand left of dark"),
    "prefix": ("NEURO", "romancer"),
    "wildcard": ("hyp*on", "hyp"),
    "regexp": ("hyper[a-z]*", "hyp"),
    "range": ("neuromancer&min_price=9&max_price=10&from=1984-01-01&to=1985-01-01", "neuromancer&min_price=90"),
    "boolean": ("%2Bgibson -difference", "%2Bgibson -gibson"),
    "query_string": ("title:neuromancer AND authors.name:gibson", "title:neuromancer AND authors.name:asimov"),
    "term": ("Neuromancer", "neuromancer"),
    "as_you_type": ("gibson neuro", "gibsonneuro"),
}
NEW = {"title": "Count Zero", "isbn": "978-0-441-00746-2", "price": "15.99", "status": "draft", "author_ids": [1]}


def test_empty_tables_are_filled_with_25_books_once(shop):
    status, answer = shop.ask("GET", "/books?page_size=100")
    assert (status, answer["total"], len(answer["items"])) == (200, 25, 25)
    assert all(book["status"] == "published" and book["authors"] for book in answer["items"])
    assert all(sum(int(d) * (3 if i % 2 else 1) for i, d in enumerate(book["isbn"])) % 10 == 0 for book in answer["items"])
    assert shop.ask("GET", "/books/3")[0] == 200 and shop.ask("GET", "/authors/3")[0] == 200
    again = shop.another("again")
    assert again.ask("GET", "/books")[1]["total"] == 25
    assert again.stop() == 0


def test_a_book_from_its_creation_to_its_end_in_postgres_and_in_the_index(shop):
    status, book = shop.ask("POST", "/books", NEW)
    assert status == 201
    assert book == {"id": book["id"], "title": "Count Zero", "isbn": "9780441007462", "price": "15.99", "status": "draft",
                    "published_at": None, "authors": [{"id": 1, "name": "William Gibson"}], "version": book["version"]}
    path = f"/books/{book['id']}"
    shop.wait_indexed(book["id"])
    status, changed = shop.ask("PATCH", path, {"price": "12.5", "author_ids": [2, 3], "version": book["version"]})
    assert (status, changed["price"], [a["id"] for a in changed["authors"]]) == (200, "12.50", [2, 3])
    assert changed["title"] == book["title"]
    shop.wait_indexed(book["id"])
    status, published = shop.ask("POST", path + "/publish")
    assert status == 200 and published["status"] == "published" and published["published_at"]
    assert shop.ask("POST", path + "/publish")[1]["published_at"] == published["published_at"]
    assert shop.ask("PATCH", path, {"published_at": None, "status": "withdrawn"})[1]["published_at"] is None
    shop.wait_indexed(book["id"])
    assert shop.ask("DELETE", path) == (204, None)
    assert shop.ask("GET", path)[0] == shop.ask("DELETE", path)[0] == shop.ask("POST", path + "/publish")[0] == 404
    shop.wait_indexed(book["id"], "absent")


def test_an_author_whose_name_changes_changes_the_documents(shop):
    status, author = shop.ask("POST", "/authors", {"name": "Pat Cadigan", "bio": "American novelist."})
    assert (status, author["books"]) == (201, 0)
    path = f"/authors/{author['id']}"
    _, book = shop.ask("POST", "/books", {**NEW, "isbn": "9780553270822", "title": "Synners", "author_ids": [author["id"]]})
    shop.wait_indexed(book["id"])
    status, changed = shop.ask("PATCH", path, {"name": "Patricia Cadigan"})
    assert (status, changed["bio"], changed["books"]) == (200, "American novelist.", 1)
    assert shop.ask("PATCH", path, {"bio": None})[1]["bio"] is None
    shop.wait_indexed(book["id"])
    status, answer = shop.ask("DELETE", path)
    assert status == 409 and "books" in answer["message"]
    assert shop.ask("DELETE", f"/books/{book['id']}")[0] == 204
    assert shop.ask("DELETE", path)[0] == 204
    assert shop.ask("GET", path)[0] == shop.ask("DELETE", path)[0] == shop.ask("PATCH", path, {})[0] == 404


def test_each_wrong_field_has_one_error_and_nothing_is_written(shop):
    before = shop.ask("GET", "/stats")[1]["postgres"]
    wrong = {"title": " ", "isbn": "12", "price": 15.99, "status": "sold", "published_at": "1999-02-29", "author_ids": [1, 1], "colour": "red"}
    for method, path in (("POST", "/books"), ("PATCH", "/books/3")):
        status, answer = shop.ask(method, path, wrong)
        assert status == 422 and sorted(e["field"] for e in answer["errors"]) == sorted(wrong), answer
        assert answer["message"] == "7 fields are wrong"
    status, answer = shop.ask("POST", "/books", {})
    assert sorted(e["field"] for e in answer["errors"]) == ["isbn", "price", "title"]
    status, answer = shop.ask("POST", "/books", {**NEW, "author_ids": [999999]})
    assert status == 422 and answer["errors"][0]["field"] == "author_ids"
    status, answer = shop.ask("GET", "/books?page=0&page_size=101&sort=colour&status=sold&colour=red")
    assert status == 422 and sorted(e["field"] for e in answer["errors"]) == ["colour", "page", "page_size", "sort", "status"]
    assert shop.ask("GET", "/stats")[1]["postgres"] == before


def test_conflicts(shop):
    status, answer = shop.ask("POST", "/books", {**NEW, "isbn": "9780441569595"})
    assert (status, answer["message"]) == (409, "another book has this ISBN")
    assert shop.ask("PATCH", "/books/3", {"isbn": "9780441569595"})[0] == 409
    _, book = shop.ask("GET", "/books/3")
    assert shop.ask("PATCH", "/books/3", {"price": "18.01", "version": book["version"]})[0] == 200
    status, answer = shop.ask("PATCH", "/books/3", {"price": "1", "version": book["version"]})
    assert status == 409 and answer["current"]["price"] == "18.01"
    # The version covers the links, too.
    _, book = shop.ask("PATCH", "/books/3", {"price": "18.00"})
    shop.ask("PATCH", "/books/3", {"author_ids": [3, 4]})
    assert shop.ask("PATCH", "/books/3", {"author_ids": [3], "version": book["version"]})[0] == 409
    assert shop.ask("PATCH", "/books/3", {"author_ids": [3]})[0] == 200


@pytest.mark.parametrize("body, headers, status", [
    ("{", {"Content-Type": "application/json"}, 400),
    ('{"title": "a", "title": "b"}', {"Content-Type": "application/json"}, 400),
    ("[]", {"Content-Type": "application/json"}, 422),
    ("{}", {"Content-Type": "text/plain"}, 415),
    ("{}", {}, 415),
    ('{"title": "' + "a" * 70000 + '"}', {"Content-Type": "application/json"}, 413),
    ("{}", {"Content-Type": "application/json", "Host": "evil.example"}, 421),
    ("{}", {"Content-Type": "application/json", "Origin": "http://evil.example"}, 403),
])
def test_a_body_that_is_refused(shop, body, headers, status):
    answer = requests.post(shop.url + "/books", data=body, headers=headers, timeout=10)
    assert answer.status_code == status and answer.json()["status"] == status


def test_lists_search_sort_and_page(shop):
    titles = [book["title"] for book in shop.ask("GET", "/books?sort=-price&page_size=2")[1]["items"]]
    assert titles == ["Structure and Interpretation of Computer Programs", "The C Programming Language"]
    first, second = (shop.ask("GET", f"/books?sort=title&page_size=3&page={page}")[1]["items"] for page in (1, 2))
    assert [b["title"] for b in first + second] == [b["title"] for b in shop.ask("GET", "/books?sort=title&page_size=6")[1]["items"]]
    assert [b["title"] for b in shop.ask("GET", "/books?q=GIBSON&sort=id")[1]["items"]] == ["Neuromancer", "The Difference Engine"]
    assert shop.ask("GET", "/books?q=100%25")[1]["total"] == shop.ask("GET", "/books?page=500")[1]["items"].__len__() == 0
    assert shop.ask("GET", "/books?status=draft")[1]["total"] == 0
    assert [a["name"] for a in shop.ask("GET", "/authors?q=sussman&sort=-name")[1]["items"]] == ["Julie Sussman", "Gerald Jay Sussman"]


@pytest.mark.parametrize("text", ["'; DROP TABLE books; --", "\\", "%", "_", "a'b\"c", "☃", "$1", "x" * 200])
def test_what_is_typed_is_never_sql(shop, text):
    status, answer = shop.ask("GET", "/books", params={"q": text})
    assert (status, answer["total"]) == (200, 0)
    status, author = shop.ask("POST", "/authors", {"name": text})
    assert (status, author["name"]) == (201, text)
    assert shop.ask("GET", "/authors", params={"q": text})[1]["total"] >= 1
    assert shop.ask("DELETE", f"/authors/{author['id']}")[0] == 204


# --- searches


def test_a_misspelt_title_is_found_and_the_request_is_what_the_engine_gets(shop):
    with FaultProxy(shop.engine_url) as proxy:
        proxy.recorded = []
        other = shop.another("other", engine_url=proxy.url)
        status, answer = other.ask("GET", "/search?q=nueromancer")
        assert status == 200 and answer["hits"][0]["source"]["title"] == "Neuromancer"
        assert answer["hits"][0]["highlight"]["title"] == ["<mark>Neuromancer</mark>"]
        assert [body.decode() for _, path, _, body in proxy.recorded] == [answer["request"]["body"]]
        assert json.loads(answer["request"]["body"])["query"] == {
            "multi_match": {"query": "nueromancer", "fields": ["title^2", "authors.name", "isbn"], "fuzziness": "AUTO"}}
        edited = '{ "query":\n{"match_all": {}},   "size": 1 }'
        answer = other.http.post(other.url + "/search", data=edited, headers={"Content-Type": "application/json"}, timeout=10)
        assert answer.json()["total"] == 25 and answer.json()["request"]["body"] == proxy.recorded[1][3].decode() == edited
        assert other.stop() == 0


@pytest.mark.parametrize("mode", MODES)
def test_each_mode_finds_what_it_says(shop, mode):
    finds, misses = MODES[mode]
    status, found = shop.ask("GET", f"/search?mode={mode}&q={finds}")
    assert status == 200 and found["total"] >= 1, found
    status, missed = shop.ask("GET", f"/search?mode={mode}&q={misses}")
    assert (status, missed["total"]) == (200, 0), missed["request"]["body"]


def test_a_query_that_the_engine_refuses_is_a_422_with_its_reason(shop):
    for method, path, body in (("GET", "/search?mode=query_string&q=title:(", None), ("POST", "/search", {"query": {"frobnicate": {}}})):
        status, answer = shop.ask(method, path, body)
        assert status == 422 and "the search engine refused the query: " in answer["message"], answer
        assert answer["request"]["path"] == f"/{shop.index}/_search"
    status, answer = shop.ask("GET", "/search?mode=guess&size=0&min_price=x")
    assert status == 422 and sorted(e["field"] for e in answer["errors"]) == ["min_price", "mode", "q", "size"]


@pytest.mark.parametrize("how, body, status", [
    (500, None, 503), (503, None, 503), (429, None, 503), (401, None, 502), (403, None, 502), ("reset", None, 503),
    (200, "<html>a portal</html>", 502), (404, None, 503),
])
def test_an_engine_that_fails_is_a_502_or_503_and_the_api_goes_on(shop, how, body, status):
    with FaultProxy(shop.engine_url) as proxy:
        other = shop.another("faulty", engine_url=proxy.url)
        assert other.ask("GET", "/search?q=dune")[0] == 200
        proxy.fail(how, **({"body": body} if body else {}))
        for path in ("/search?q=dune", "/documents?ids=3"):
            found, answer = other.ask("GET", path)
            assert found == status and answer["status"] == status and answer["message"], answer
        assert other.ask("GET", "/stats")[1]["index"] == {"name": shop.index, "documents": None}
        assert other.ask("GET", "/books/3")[0] == 200
        proxy.heal()
        assert other.ask("GET", "/search?q=dune")[0] == 200
        assert other.stop() == 0


def test_an_engine_or_an_index_that_is_not_there_is_a_503_that_says_so(shop):
    other = shop.another("nowhere", engine_url="http://127.0.0.1:9")
    assert other.ask("GET", "/search?q=dune") == (503, {"status": 503, "message": "the search engine does not answer; try again"})
    assert other.stop() == 0
    other = shop.another("noindex", index="no-such-index")
    status, answer = other.ask("GET", "/search?q=dune")
    assert status == 503 and "no-such-index" in answer["message"]
    assert other.stop() == 0


# --- the pool


def test_connections_are_bounded_and_survive_a_restart_of_postgres(own_postgres, state, unique, opensearch):
    server = own_postgres()
    database = server.create_database("shop")
    made = Bookstore(state / unique, database, "postgres", server.password, opensearch.url, "none").start()
    threads = [threading.Thread(target=lambda: [made.ask("GET", "/books") for _ in range(5)]) for _ in range(30)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    used = server.sql("SELECT count(*) FROM pg_stat_activity WHERE application_name = 'bookstore'")[0][0]
    assert 1 <= used <= 8
    server.stop("immediate")
    status, answer = made.ask("GET", "/books/3")
    assert status == 503 and "Postgres" in answer["message"]
    server.start()
    assert made.ask("GET", "/books/3")[0] == 200
    assert [made.ask("PATCH", "/books/3", {"price": "17"})[0] for _ in range(20)] == [200] * 20
    # A restart in between two requests is not noticed by either.
    server.stop("fast")
    server.start()
    assert [made.ask("GET", "/books/3")[0] for _ in range(20)] == [200] * 20
    assert made.stop() == 0


def test_the_password_is_neither_in_the_arguments_nor_in_the_log(shop):
    assert not any(shop.password in argument for argument in shop.process.argv)
    assert shop.password not in shop.process.log.read_text()


# --- the document and the files


def routes_of_source():
    text = (TREE / "cmd/bookstore/main.c").read_text()
    found = re.findall(r'\{\.path = "([^"]+)", \.handler = \w+(?:, \.method = "(\w+)")?\}', text)
    assert len(found) >= 15
    return {(path, (method or "GET").lower()) for path, method in found}


def test_openapi_describes_every_route_and_no_other(shop):
    document = shop.ask("GET", "/openapi.json")[1]
    described = {(re.sub(r"\{\w+\}", "{}", path), method) for path, item in document["paths"].items() for method in item if method != "parameters"}
    assert described == routes_of_source()


@pytest.mark.parametrize("path, type", [("/", "text/html"), ("/admin", "text/html"), ("/docs", "text/html"), ("/common.js", "text/javascript"), ("/page.js", "text/javascript"), ("/page.css", "text/css"),
                                        ("/pico.css", "text/css"), ("/icon.svg", "image/svg+xml"), ("/openapi.json", "application/json")])
def test_files_have_an_etag_and_strict_headers(shop, path, type):
    answer = requests.get(shop.url + path, timeout=10)
    assert answer.status_code == 200 and answer.headers["Content-Type"].startswith(type)
    policy = answer.headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy and "unsafe" not in policy
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    again = requests.get(shop.url + path, headers={"If-None-Match": answer.headers["ETag"]}, timeout=10)
    assert (again.status_code, again.content) == (304, b"")
    assert requests.get(shop.url + path, headers={"If-None-Match": '"other"'}, timeout=10).content == answer.content


@pytest.fixture
def scratch(state, postgres, opensearch, shop, unique):
    """A bookstore whose rows nobody else looks at; it searches the index of the other."""
    database = postgres.create_database(unique)
    made = Bookstore(state / unique, database, "postgres", postgres.password, opensearch.url, shop.index).start()
    yield made
    made.stop()
    database.drop()


def test_every_answer_is_as_documented(scratch):
    """schemathesis makes requests from openapi.json, right and wrong ones. A reference to an author who does not exist is
    a 422 that no schema can foresee, hence the excluded check."""
    done = subprocess.run([sys.executable, "-c", "from schemathesis.cli import schemathesis; schemathesis()", "run", scratch.url + "/openapi.json",
                           "--checks", "all", "--exclude-checks", "positive_data_acceptance", "--max-examples", "5", "--seed", "1",
                           "--generation-allow-x00", "false", "--suppress-health-check", "all", "--no-color"],
                          cwd=scratch.state, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout[-5000:] + done.stderr[-1000:]
    assert re.search(r"15 selected / 15 total", done.stdout)


def test_vendored_files_are_those_of_the_notice():
    import hashlib

    notice = (TREE / "NOTICE").read_text()
    for name in ("pico.min.css",):
        assert hashlib.sha256((TREE / "pkg/web/files" / name).read_bytes()).hexdigest() in notice
