"""The operator's console: what it shows is what the operator knows, in a browser and as JSON, and who may see it. It only reads."""

import json
import re

import bookstore
import pytest
import requests
from axe_playwright_python.sync_playwright import Axe
from parts.operator import Operator
from parts.ports import free_port
from playwright.sync_api import expect
from test_health import NOBODY

EVIL = "<img src=x onerror=alert(1)><script>alert(2)</script>"
TOKEN = "0123456789abcdef0123456789abcdef"


def with_console(name, state, kubeconfig, *flags, port=None, listen="127.0.0.1", **options):
    port = port or free_port()
    made = Operator(name, state, kubeconfig, "--console-listen", f"{listen}:{port}", *flags, **options)
    made.console = f"http://127.0.0.1:{port}"
    return made


@pytest.fixture(scope="module")
def operator(kube, state):
    account = kube.service_account_kubeconfig("pgsync-system", kube.service_account, state / "operator-console.kubeconfig")
    running = with_console("operator-console", state, account, port=free_port()).start()
    yield running
    running.stop()


@pytest.fixture
def lonely(state, unique):
    """lonely(*flags, ...): an operator without an API server."""
    kubeconfig = state / f"{unique}.kubeconfig"
    kubeconfig.write_text(NOBODY)
    made = []

    def make(*flags, **options):
        made.append(with_console(f"operator-{unique}-{len(made)}", state, kubeconfig, "--leader-elect=false", *flags, **options))
        return made[-1].start()

    yield make
    for each in made:
        assert each.stop() == 0


@pytest.fixture
def token_file(state, unique):
    path = state / f"{unique}.token"
    path.write_text(TOKEN + "\n")
    return path


def listed(operator, since=None, **headers):
    answer = requests.get(operator.console + "/api/pgsyncs", params={"since": since} if since else {}, headers=headers, timeout=10)
    assert answer.status_code == 200, answer.text
    return answer.json()


def line_of(operator, namespace, name):
    return next((item for item in listed(operator)["pgsyncs"] if (item["namespace"], item["name"]) == (namespace, name)), None)


# --- who may see it


def test_a_token_is_needed_and_only_the_right_one_opens(lonely, token_file):
    operator = lonely("--console-token-file", token_file, listen="")
    url = operator.console + "/api/pgsyncs"
    for header in (None, "", TOKEN, f"Bearer {TOKEN}x", f"Bearer {TOKEN[:-1]}", "Bearer ", f"bearer {TOKEN}", f"Basic {TOKEN}"):
        answer = requests.get(url, headers={"Authorization": header} if header is not None else {}, timeout=10)
        assert answer.status_code == 401 and answer.headers["WWW-Authenticate"] == "Bearer", header
        assert "cursor" not in answer.text and TOKEN not in answer.text
    assert requests.get(f"{url}/a/b", timeout=10).status_code == 401
    assert requests.get(f"{url}/a/b/history", timeout=10).status_code == 401
    assert requests.get(url, cookies={"token": TOKEN}, timeout=10).status_code == 401
    right = {"Authorization": f"Bearer {TOKEN}"}
    assert requests.get(url, headers=right, timeout=10).json()["pgsyncs"] == []
    assert requests.get(f"{url}/a/b", headers=right, timeout=10).status_code == 404
    assert TOKEN not in (operator.state / f"{operator.name}.log").read_text()


def test_the_console_only_reads_and_only_under_its_names(lonely):
    operator = lonely("--console-host", "console.example,other.example")
    url = operator.console
    for method in ("POST", "PUT", "PATCH", "DELETE"):
        assert requests.request(method, f"{url}/api/pgsyncs", timeout=10).status_code == 405, method
    for host, status in (("console.example", 200), ("other.example:80", 200), ("localhost:1", 200), ("evil.example", 421), ("console.example.evil", 421)):
        assert requests.get(f"{url}/api/pgsyncs", headers={"Host": host}, timeout=10).status_code == status, host
    for path in ("/metrics", "/livez", "/api", "/api/pgsyncs/a", "/api/pgsyncs/a/b/c", "/../etc/passwd", "/%2e%2e/x"):
        assert requests.get(url + path, timeout=10).status_code == 404, path
    assert operator.get("/api/pgsyncs") == 404 and operator.get("/metrics") == 200


def test_files_have_an_etag_and_strict_headers(lonely):
    operator = lonely()
    for path, kind in (("/", "text/html"), ("/overview.js", "text/javascript"), ("/live.js", "text/javascript"), ("/graph.js", "text/javascript"), ("/pgsync", "text/html"), ("/pgsync.js", "text/javascript"), ("/page.js", "text/javascript"),
                       ("/console.css", "text/css"), ("/page.css", "text/css"), ("/pico.css", "text/css"), ("/icon.svg", "image/svg+xml")):
        answer = requests.get(operator.console + path, timeout=10)
        assert answer.status_code == 200 and answer.headers["Content-Type"].startswith(kind), path
        assert "default-src 'none'" in answer.headers["Content-Security-Policy"] and "unsafe" not in answer.headers["Content-Security-Policy"]
        assert requests.get(operator.console + path, headers={"If-None-Match": answer.headers["ETag"]}, timeout=10).status_code == 304
        if kind == "text/html":
            assert not re.search(r"<script(?![^>]*\bsrc=)|<style|\bon\w+=|\bstyle=", answer.text)
    answer = requests.get(operator.console + "/api/pgsyncs", timeout=10)
    assert answer.headers["Cache-Control"] == "no-store"
    again = requests.get(operator.console + "/api/pgsyncs", headers={"If-None-Match": answer.headers["ETag"]}, timeout=10)
    assert (again.status_code, again.content) == (304, b"")


def test_the_page_asks_for_the_token_and_keeps_it_for_the_tab(open_page, lonely, token_file):
    operator = lonely("--console-token-file", token_file)
    page = open_page(operator.console + "/")
    expect(page.locator("#verdict")).to_have_text("This console needs its token.")
    page.fill("#token input", "not the right one")
    page.click("#token button")
    expect(page.locator("#lost")).to_have_text("The token is not the right one.")
    page.fill("#token input", TOKEN)
    page.click("#token button")
    expect(page.locator("#verdict")).to_contain_text("There is no PgSync yet")
    page.reload()
    expect(page.locator("#verdict")).to_contain_text("There is no PgSync yet")
    assert TOKEN not in page.url and page.context.cookies() == []


# --- what it shows


def test_a_pgsync_is_shown_live_from_its_bootstrap_to_its_end(open_page, operator, resources, books, opensearch, namespace, index):
    page = open_page(operator.console + f"/?namespace={namespace}")
    resources.apply_books("books", books, opensearch.url, index=index)
    row = page.locator(f"#body tr[data-key='{namespace}/books']")
    expect(row).to_contain_text("up to date")
    status = resources.get("books")["status"]
    line = line_of(operator, namespace, "books")
    assert line["documents"] == 25 and line["phase"] == "Streaming" and line["indices"] == [index]
    assert line["verdict"] == "Flowing" and status["stream"]["lag"] in line["sentence"]
    expect(row.locator("td").nth(5)).to_have_text("25")
    resources.patch("books", {"suspend": True})
    expect(row).to_contain_text("suspended")
    resources.patch("books", {"suspend": False})
    expect(row).to_contain_text("up to date")
    expect(row.locator(".spark[aria-label^=Lag] polyline").first).to_be_attached()
    cursor = listed(operator)["cursor"]
    resources.delete("books")
    expect(row).to_have_count(0)
    assert listed(operator, since=cursor)["full"]


@pytest.fixture
def synced(operator, resources, books, opensearch, namespace, index):
    resources.apply_books("books", books, opensearch.url, index=index)
    resources.wait("books")
    return f"namespace={namespace}&name=books"


def violations(page):
    return [(one["id"], [node["html"][:200] for node in one["nodes"]]) for one in Axe().run(page).response["violations"]]


def test_the_page_of_a_pgsync_has_conditions_tree_indices_and_events_and_no_secret(open_page, operator, resources, synced, books, namespace, index):
    page = open_page(f"{operator.console}/pgsync?{synced}")
    expect(page.locator("#verdict")).to_contain_text("up to date: data flows")
    status = resources.get("books")["status"]
    assert set(page.locator("#conditions td:first-child").all_inner_texts()) == {one["type"] for one in status["conditions"]}
    expect(page.locator("#source")).to_contain_text(status["stream"]["slotName"])
    expect(page.locator("#source")).to_contain_text(status["stream"]["publicationName"])
    expect(page.locator("#indices tr")).to_have_text(re.compile(f"{index}.*{index}-g1.*25.*0"))
    expect(page.locator("#tree")).to_contain_text("books: title, isbn")
    expect(page.locator("#tree li li li")).to_contain_text("authors (many, object, through book_authors)")
    expect(page.locator("#tree .graph g")).to_have_count(2)
    expect(page.locator("#tree .graph path title")).to_have_text("many, through book_authors")
    expect(page.locator("#events")).to_contain_text("Started: started the worker")
    expect(page.locator("#events")).to_contain_text("Ready became True")
    answer = requests.get(f"{operator.console}/api/pgsyncs/{namespace}/books", timeout=10)
    assert json.loads(answer.json()["schema"])[0]["nodes"]["table"] == "books"
    assert books.role_password not in answer.text and "passwordSecretRef" not in answer.text
    for scheme in ("light", "dark"):
        seen = open_page(page.url, width=360, scheme=scheme)
        expect(seen.locator("#verdict")).to_contain_text("up to date")
        assert seen.evaluate("document.documentElement.scrollWidth") <= 360
        seen.set_viewport_size({"width": 1280, "height": 900})
        assert not violations(seen)
    resources.patch("books", {"suspend": True})
    expect(page.locator("#verdict")).to_contain_text("suspended")
    resources.delete("books")
    expect(page.locator("#verdict")).to_contain_text("There is no such PgSync")


def evil(database):
    """A PgSync with an invalid schema, which the message quotes."""
    return bookstore.resource("evil", database, "http://127.0.0.1:9", spec={f"schema.0.nodes.children.0.{EVIL}": 1})


def test_what_a_spec_says_is_text_for_the_page(open_page, operator, resources, books, namespace):
    resources.apply(bookstore.secret("bookstore-postgres", password=books.role_password), evil(books))
    found = resources.wait("evil", "Stalled", contains=["<img src=x"])
    page = open_page(operator.console + f"/?namespace={namespace}&q=img")
    row = page.locator("#body tr")
    expect(row).to_contain_text("broken")
    expect(row).to_contain_text("<img src=x onerror=alert(1)>")
    assert page.locator("#body img, #body script").count() == 0
    assert found["message"][:200] in row.inner_text()
    row.focus()
    page.keyboard.press("Enter")
    expect(page.locator("#conditions")).to_contain_text(found["message"])
    expect(page.locator("#conditions .remedy").first).to_contain_text("pgsync validate -f FILE")
    expect(page.locator("#tree")).to_contain_text("books")
    assert page.locator("#content img, #content script").count() == 0


def many(number):
    """An answer about that many PgSyncs; the operator of a test has no time for as many."""
    states = ["Flowing"] * 7 + ["Working", "Late", "Broken"]
    return {"cursor": f"many-{number}", "full": True, "leading": True, "pgsyncs": [
        {"namespace": f"team-{i % 20}", "name": f"sync-{i:04}", "created": "2026-01-02T03:04:05Z", "verdict": states[i % 10], "phase": "Streaming",
         "bootstrapComplete": True, "documents": i * 1000, "deadLetters": 0, "indices": [f"index-{i}"], "conditions": [], "lagSeconds": i % 60,
         "retainedWALBytes": i << 20, "confirmedFlushLSN": "0/10", "sentence": "data flows", "found": "x"} for i in range(number)]}


def test_a_thousand_are_filtered_sorted_and_paged_by_the_address(open_page, lonely):
    operator = lonely()
    page = open_page("about:blank")
    page.route("**/api/pgsyncs*", lambda route: route.fulfill(json=many(1000) if "since" not in route.request.url else {**many(0), "cursor": "many-1000", "full": False}))
    page.goto(operator.console + "/")
    expect(page.locator("#verdict")).to_have_text("700 of 1,000 PgSyncs are up to date; 100 are broken, 100 are late, 100 are being worked on.")
    expect(page.locator("#body tr")).to_have_count(100)
    expect(page.locator("#body tr").first).to_contain_text("broken")
    page.click("#next")
    expect(page.locator("#page")).to_contain_text("Page 2 of 10")
    page.select_option("#namespace", "team-9")
    page.select_option("#state", "Broken")
    expect(page.locator("#page")).to_have_text("Page 1 of 1, 50 of 1,000 PgSyncs")
    page.click("#head button:has-text('Lag')")
    page.click("#head button:has-text('Lag')")
    expect(page.locator("#head th[aria-sort=descending]")).to_contain_text("Lag")
    expect(page.locator("#body tr").first).to_contain_text("49 s")
    address = page.url
    page.go_back()
    expect(page.locator("#head th[aria-sort=ascending]")).to_contain_text("Lag")
    page.goto(address)
    expect(page.locator("#page")).to_have_text("Page 1 of 1, 50 of 1,000 PgSyncs")
    page.keyboard.press("j")
    expect(page.locator("#body tr").first).to_be_focused()


def test_an_operator_that_ends_is_reported_and_one_that_comes_back_is_found(open_page, lonely):
    operator = lonely()
    page = open_page(operator.console + "/")
    expect(page.locator("#verdict")).to_contain_text("There is no PgSync yet")
    assert operator.stop() == 0
    expect(page.locator("#lost")).to_contain_text("pgsync does not answer.")
    operator.start()
    expect(page.locator("#lost")).to_have_text("")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing_and_a_phone_needs_no_sideways_scrolling(open_page, lonely, token_file, scheme):
    for flags, ready in (((), "are up to date"), (("--console-token-file", token_file), "needs its token")):
        page = open_page("about:blank", width=360, scheme=scheme)
        if not flags:
            page.route("**/api/pgsyncs*", lambda route: route.fulfill(json=many(30)))
        page.goto(lonely(*flags).console + "/")
        expect(page.locator("#verdict")).to_contain_text(ready)
        assert page.evaluate("document.documentElement.scrollWidth") <= 360, flags
        page.set_viewport_size({"width": 1280, "height": 900})
        assert not violations(page)
