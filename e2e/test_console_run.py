"""The console of `pgsync run`: the pages of the operator's console for the one PgSync that runs."""

import json
import re

import bookstore
import pytest
import requests
from parts import ports
from parts.search import eventually
from parts.worker import pgsync
from playwright.sync_api import expect
from test_console import TOKEN, token_file, violations  # noqa: F401, a fixture


@pytest.fixture
def consoled(worker, manifest):
    """consoled(*flags): a worker with a console."""

    def make(*flags, listen="127.0.0.1"):
        port = ports.free_port()
        made = worker(manifest, "--console-listen", f"{listen}:{port}", *flags)
        made.console = f"http://127.0.0.1:{port}"
        return made.start().wait_ready()

    return make


def address(page, **values):
    return f"{page}?" + "&".join(f"{key}={value}" for key, value in {"namespace": "default", "name": "books", **values}.items())


def test_the_console_of_a_worker_shows_its_pgsync(open_page, consoled, books, index):
    worker = consoled()
    page = open_page(worker.console + "/")
    expect(page.locator("#verdict")).to_have_text("1 of 1 PgSync is up to date.")
    page.click("#body a")
    expect(page.locator("#verdict")).to_contain_text("up to date: data flows")
    status = worker.status()
    assert set(page.locator("#conditions td:first-child").all_inner_texts()) == {one["type"] for one in status["conditions"]}
    expect(page.locator("#source")).to_contain_text(status["stream"]["slotName"])
    expect(page.locator("#indices tr")).to_have_text(re.compile(f"{index}.*{index}-g1.*25.*0"))
    expect(page.locator("#tree")).to_contain_text("books: title, isbn")
    expect(page.locator("#tree .graph g")).to_have_count(2)
    expect(page.locator("#tree .graph path title")).to_have_text("many, through book_authors")
    expect(page.locator("#events")).to_contain_text("Ready became True")
    expect(page.locator("#commands")).to_contain_text("pgsync plan -f FILE")
    expect(page.locator("#commands")).not_to_contain_text("kubectl")
    answer = requests.get(f"{worker.console}/api/pgsyncs/default/books", timeout=10)
    assert books.role_password not in answer.text and json.loads(answer.json()["schema"])[0]["nodes"]["table"] == "books"
    assert not violations(page)


def test_the_console_of_a_worker_needs_a_token_where_others_reach_it(consoled, token_file):  # noqa: F811
    worker = consoled("--console-token-file", token_file, listen="")
    assert requests.get(worker.console + "/api/pgsyncs", timeout=10).status_code == 401
    answer = requests.get(worker.console + "/api/pgsyncs", headers={"Authorization": f"Bearer {TOKEN}"}, timeout=10)
    assert answer.json()["pgsyncs"][0]["name"] == "books" and answer.json()["leading"]
    assert requests.get(worker.console + "/api/pgsyncs", headers={"Authorization": f"Bearer {TOKEN}", "Host": "evil.example"}, timeout=10).status_code == 421
    assert requests.get(worker.url + "/api/pgsyncs", timeout=10).status_code == 404


def test_a_console_that_others_reach_without_a_token_is_refused(worker, manifest):
    made = worker(manifest)
    code, _, err = pgsync("run", "-f", made.manifest, "--console-listen", ":8082")
    assert code == 2 and "--console-token-file" in err
    code, _, err = pgsync("run", "-f", made.manifest, "--console-listen", "127.0.0.1:8082", "--console-token-file", "/nowhere")
    assert code == 2 and "/nowhere" in err


def test_a_join_without_an_index_is_marked_in_the_tree_with_the_statement(open_page, consoled, books):
    books.sql("DROP INDEX book_authors_author_id")
    worker = consoled()
    page = open_page(worker.console + address("/pgsync"))
    statement = 'CREATE INDEX CONCURRENTLY ON "public"."book_authors" ("author_id")'
    expect(page.locator("#tree .graph g")).to_have_count(2)
    expect(page.locator("#tree .graph g.remarked")).to_have_count(1)
    expect(page.locator("#tree .graph g.remarked .table")).to_have_text("authors")
    expect(page.locator("#tree .graph g.remarked title")).to_contain_text(statement)
    expect(page.locator("#tree .graph path.remarked title")).to_contain_text(statement)
    expect(page.locator("#tree .remark code")).to_have_text(statement)
    expect(page.locator("#tree li li li")).to_contain_text("no index of public.book_authors covers (author_id)")
    for scheme in ("light", "dark"):
        seen = open_page(page.url, scheme=scheme)
        expect(seen.locator("#tree .remark code")).to_be_visible()
        assert not violations(seen)
    page.click("#look a")
    page.click("#views a:has-text('Plan')")
    expect(page.locator("#content .statements")).to_have_text(statement + ";")
    assert not violations(page)
    books.sql(statement.replace("CONCURRENTLY ", ""))
    worker.stop()
    worker.start().wait_ready()
    page.goto(worker.console + address("/pgsync"))
    expect(page.locator("#tree .graph g")).to_have_count(2)
    expect(page.locator("#tree .graph .remarked")).to_have_count(0)


# --- what moves


def percent(text):
    return float(re.search(r"([0-9.]+)%", text).group(1))


def test_a_bootstrap_is_seen_moving_with_its_rate_and_the_time_left(open_page, worker, database, fault_proxy, index):
    bookstore.generate(database, 60000, 1000, 60000)
    database.create_role()
    fault_proxy.slow(0.5, only="_bulk")
    port = ports.free_port()
    spec = {"bootstrap.parallelism": 1, "sink.bulk": {"maxBytes": 262144, "concurrency": 1}}
    objects = [bookstore.secret("bookstore-postgres", password=database.role_password), bookstore.resource("books", database, fault_proxy.url, index=index, spec=spec)]
    run = worker(objects, "--console-listen", f"127.0.0.1:{port}").start()
    eventually(lambda: run.status().get("bootstrap"), 30, "a bootstrap")
    overview, page = open_page(f"http://127.0.0.1:{port}/"), open_page(f"http://127.0.0.1:{port}{address('/pgsync')}")
    moving = re.compile(r"[0-9.]+% · [0-9,]+ rows/s, [0-9]+ (s|min) left")
    expect(page.locator("#copying")).to_have_text(re.compile(moving.pattern + " · [0-9,]+ of about [0-9,]+ rows copied"), timeout=90000)
    expect(overview.locator("#body td:has(progress)")).to_have_text(moving)
    first = percent(page.locator("#copying").inner_text())
    expect(page.locator("#verdict")).to_contain_text("in progress")
    seen = page.locator("#copying progress").evaluate("bar => bar.value / bar.max")
    assert 0 < seen < 1 and not violations(page) and not violations(overview)
    eventually(lambda: percent(page.locator("#copying").inner_text()) > first, 60, "a bar that moves")
    assert page.locator("#copying progress").evaluate("bar => bar.value / bar.max") > seen
    fault_proxy.slow(0)
    expect(page.locator("#verdict")).to_contain_text("up to date", timeout=60000)
    expect(page.locator("#copying")).to_have_count(0)
    expect(overview.locator("#body")).to_contain_text("60,000")
    expect(overview.locator("#body progress")).to_have_count(0)


def test_the_lag_rises_while_the_engine_is_away_and_falls_when_it_is_back(open_page, consoled, manifest, books, fault_proxy):
    manifest[1]["spec"]["sink"]["urls"] = [fault_proxy.url]
    manifest[1]["spec"]["lagTargetSeconds"] = 3
    worker = consoled()
    page, overview = open_page(worker.console + address("/pgsync")), open_page(worker.console + "/")
    expect(page.locator("#counts")).to_contain_text("0 s lag")
    cell = overview.locator("#body td:has(svg[aria-label^=Lag])")

    def lag():
        found = re.match(r"([0-9]+) s", cell.inner_text())
        return int(found.group(1)) if found else 0

    fault_proxy.fail("reset")
    books.sql("UPDATE books SET price = price + 1 WHERE id = 7")
    first = eventually(lag, 30, "a lag")
    eventually(lambda: lag() > first + 2, 30, "more lag")
    expect(page.locator("#counts")).to_contain_text(re.compile(r"[1-9][0-9]* s lag"))
    expect(page.locator("#verdict")).not_to_contain_text("up to date")
    expect(overview.locator("#verdict")).to_contain_text("0 of 1 PgSync are up to date")
    fault_proxy.heal()
    expect(page.locator("#counts")).to_contain_text("0 s lag", timeout=60000)
    expect(cell).to_contain_text(re.compile("^0 s"))
    expect(page.locator("#verdict")).to_contain_text("up to date: data flows")
    expect(overview.locator("#verdict")).to_have_text("1 of 1 PgSync is up to date.")
    expect(cell.locator("polyline").first).to_be_attached()


def test_a_page_that_is_opened_later_or_again_shows_the_past(open_page, consoled, manifest, books, fault_proxy):
    manifest[1]["spec"]["sink"]["urls"] = [fault_proxy.url]
    worker = consoled()
    url = f"{worker.console}/api/pgsyncs/default/books"

    def past():
        return requests.get(f"{url}/history", timeout=10).json()

    assert past()["stepSeconds"] == 5
    fault_proxy.fail("reset")
    books.sql("UPDATE books SET price = price + 1 WHERE id = 7")
    eventually(lambda: max(lag or 0 for lag in past()["lagSeconds"][:-1] or [0]) >= 4, 40, "a lag in a step that is over")
    fault_proxy.heal()
    eventually(lambda: past()["lagSeconds"][-2:] == [0, 0], 60, "no lag")
    known = past()
    assert len(known["lagSeconds"]) == len(known["rate"]) == len(known["retainedWALBytes"]) >= 3
    assert known["retainedWALBytes"][-1] > 0

    def heights(page, chart):
        expect(page.locator(f".spark[aria-label^='{chart}'] polyline").first).to_be_attached(timeout=4000)  # a page itself takes a sample every 5 seconds
        points = page.locator(f".spark[aria-label^='{chart}'] polyline").evaluate_all("lines => lines.map(line => line.getAttribute('points')).join(' ')").split()
        return [float(point.split(",")[1]) for point in points]

    page = open_page(worker.console + "/")
    for _ in range(2):
        lag, kept = heights(page, "Lag"), heights(page, "WAL kept")
        assert 0 in lag and lag[-1] == 100 and len(lag) >= 3 and len(kept) >= 3
        assert not violations(page)
        page.reload()
    assert requests.get(f"{worker.console}/api/pgsyncs/default/none/history", timeout=10).status_code == 404


def test_the_pages_find_a_worker_that_was_killed_and_came_back(open_page, consoled, books, opensearch, index):
    worker = consoled()
    pages = [open_page(worker.console + path, scheme=scheme) for path in ("/", address("/pgsync")) for scheme in ("light", "dark")]
    for page in pages:
        expect(page.locator("#verdict")).to_contain_text("up to date")
    worker.kill9()
    for page in pages:
        expect(page.locator("#lost")).to_contain_text(re.compile("pgsync does not answer. What is shown is [0-9]+ s old"))
        expect(page.locator("#content.stale")).to_be_visible()
        assert not violations(page)
    books.sql("DELETE FROM book_authors WHERE book_id = 7; DELETE FROM books WHERE id = 7")
    worker.start().wait_ready()
    for page in pages:
        expect(page.locator("#lost")).to_have_text("")
        expect(page.locator("#content:not(.stale)")).to_contain_text("24")
        expect(page.locator("#verdict")).to_contain_text("up to date")


# --- looking into documents, dead letters, index, checkpoint and plan


@pytest.fixture
def strict(consoled, manifest, books, opensearch, index):
    """strict(*flags): a worker whose index refuses book 7, which has a dead letter."""

    def make(*flags):
        manifest[1]["spec"]["schema"][0]["mapping"] = {"isbn": {"type": "long"}}
        made = consoled(*flags)
        books.sql("UPDATE books SET isbn = '080442957X' WHERE id = 7")
        eventually(lambda: opensearch.indices(f"{index}-dead-letters") and opensearch.documents(f"{index}-dead-letters"), 30, "a dead letter")
        return made

    return make


def test_a_document_is_found_and_shown_beside_what_postgres_has_now(open_page, consoled, books, opensearch, index):
    worker = consoled()
    opensearch.refresh(index)
    page = open_page(worker.console + "/")
    page.click("#body a")
    page.click("#look a")
    expect(page.locator("#verdict")).to_contain_text("25 documents")
    expect(page.locator("#content tbody tr")).to_have_count(20)
    page.click("text=Next")
    expect(page.locator("#content tbody tr")).to_have_count(5)
    title = books.value("SELECT title FROM books WHERE id = 7")
    page.fill("#q", title)
    page.keyboard.press("Enter")
    page.locator("#content tbody a", has_text=re.compile("^7$")).click()
    expect(page.locator("#verdict")).to_have_text("✓ The index has what Postgres has now.")
    expect(page.locator("#content dl")).to_contain_text(re.compile(r"Version: every commit up to[0-9A-F]+/[0-9A-F]+"))
    assert page.locator("#content pre").count() == 2 and title in page.locator("#content pre").nth(1).inner_text()
    assert "id=7" in page.url and not violations(page)
    # Something else writes into the index: that is what a comparison is for.
    generation = page.locator("#content dd").nth(1).inner_text()
    document = opensearch.document(index, "7")
    document["title"] = "<b>changed</b>"
    version = opensearch.request("GET", f"{generation}/_doc/7")["_version"]
    opensearch.request("PUT", f"{generation}/_doc/7?version={version + 1}&version_type=external", json.loads(json.dumps(document, default=float)))
    page.click("text=Compare with Postgres now")
    expect(page.locator("#verdict")).to_contain_text("They differ in 1 place")
    expect(page.locator(".differences tbody tr")).to_have_text(re.compile("^title.*<b>changed</b>.*"))
    assert page.locator("#content b").count() == 0 and not violations(page)
    page.go_back()
    expect(page.locator("#q")).to_have_value(title)


def test_what_cannot_be_looked_at_is_said(open_page, consoled, index):
    worker = consoled()

    def ask(path, **parameters):
        answer = requests.get(f"{worker.console}/api/look{path}", params=parameters, timeout=30)
        return answer.status_code, answer.json()

    assert ask("") == (200, {"indices": [index], "actions": False})
    assert ask("/search", index="other")[0] == 404 and ask("/search")[0] == 404 and ask("/index", index=f"{index},_all")[0] == 404
    assert ask("/document", index=index)[0] == 422 and ask("/search", index=index, q="x" * 1001)[0] == 422
    assert ask("/search", index=index, **{"from": "-1"})[0] == 422 and ask("/search", index=index, **{"from": "9999999"})[0] == 422
    assert ask("/search", index=index, q='" ( \\ ~~ [')[0] == 200
    status, none = ask("/document", index=index, id="999999")
    assert status == 200 and none["comparison"]["equal"] and "postgres" not in none and "index" not in none
    status, odd = ask("/document", index=index, id="x'; DROP TABLE books; --")
    assert status == 200 and "error" in odd and "DROP" not in odd["error"]
    for method, path in (("POST", "/dead-letters/retry"), ("POST", "/dead-letters/discard"), ("POST", "/search")):
        assert requests.request(method, f"{worker.console}/api/look{path}", timeout=10).status_code in (404, 405), path
    page = open_page(f"{worker.console}{address('/look', id='999999')}")
    expect(page.locator("#verdict")).to_contain_text("There is no such document, and no such row.")


def test_looking_needs_the_token(open_page, consoled, token_file):  # noqa: F811
    worker = consoled("--console-token-file", token_file, "--console-actions")
    for path in ("", "/search", "/document", "/index", "/dead-letters", "/checkpoint", "/plan"):
        assert requests.get(f"{worker.console}/api/look{path}", timeout=10).status_code == 401, path
    assert requests.post(f"{worker.console}/api/look/dead-letters/retry", timeout=10).status_code == 401
    page = open_page(worker.console + address("/look", view="index"))
    expect(page.locator("#verdict")).to_have_text("This console needs its token.")
    page.fill("#token input", TOKEN)
    page.click("#token button")
    expect(page.locator("#content")).to_contain_text("Mapping")


def test_a_dead_letter_is_shown_and_only_read(open_page, strict):
    worker = strict()
    page = open_page(worker.console + address("/look", view="dead-letters"))
    expect(page.locator("#verdict")).to_contain_text("1 document was rejected")
    expect(page.locator("#content tbody tr")).to_contain_text("public.books, id 7")
    expect(page.locator("#content tbody button")).to_have_count(0)
    expect(page.locator("#verdict")).to_contain_text("--console-actions")
    assert not violations(page)


def test_a_dead_letter_is_retried_and_discarded_from_the_console(open_page, strict, books, opensearch, index):
    worker = strict("--console-actions")
    evil = requests.post(f"{worker.console}/api/look/dead-letters/discard", params={"index": index, "id": "7"}, headers={"Origin": "http://evil.example"}, timeout=10)
    assert evil.status_code == 403
    page = open_page(worker.console + address("/look", view="dead-letters"))
    attempts = int(page.locator("#content tbody td").nth(4).inner_text())
    page.click("button:has-text('Retry')")
    expect(page.locator("#note")).to_contain_text("tries it again")
    eventually(lambda: opensearch.document(f"{index}-dead-letters", "7")["attempts"] > attempts, 30, "another attempt")
    page.reload()
    page.click("button:has-text('Discard')")
    expect(page.locator("#note")).to_contain_text("is discarded")
    assert not violations(page)
    page.reload()
    expect(page.locator("#verdict")).to_have_text("No document is rejected.")
    gone = requests.post(f"{worker.console}/api/look/dead-letters/retry", params={"index": index, "id": "7"}, timeout=10)
    assert gone.status_code == 404


def test_a_checkpoint_that_an_earlier_version_saved_has_no_time(open_page, consoled):
    worker = consoled()
    page = open_page("about:blank")

    def forget(route):
        answer = route.fetch()
        found = answer.json()
        del found["checkpoint"]["savedMicros"]
        route.fulfill(response=answer, json=found)

    page.route("**/api/look/checkpoint*", forget)
    page.goto(worker.console + address("/look", view="checkpoint"))
    expect(page.locator("#content dt:text-is('Saved') + dd")).to_have_text("not known: an earlier version saved it")


def test_index_checkpoint_and_plan_are_shown(open_page, consoled, books, index):
    worker = consoled()
    page = open_page(worker.console + address("/look", view="index"))
    expect(page.locator("#verdict")).to_have_text(f"{index} is {index}-g1.")
    expect(page.locator("#content")).to_contain_text('"isbn"')
    page.click("#views a:has-text('Checkpoint')")
    expect(page.locator("#verdict")).to_have_text("The checkpoint is in the search engine.")
    expect(page.locator("#content dl")).to_contain_text("Live")
    expect(page.locator("#content dl")).to_contain_text(worker.status()["stream"]["slotName"])
    expect(page.locator("#content tbody tr", has_text=index)).to_have_text(re.compile(f"{index}11.*complete.*ago"))
    expect(page.locator("#content dt:text-is('Saved') + dd")).to_have_text(re.compile(r"^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d \([0-9]+ s ago\)$"))
    page.click("#views a:has-text('Plan')")
    expect(page.locator("#verdict")).to_contain_text("What pgsync plan prints now")
    expect(page.locator("#content .plan[data-kind=sql]").first).to_contain_text("SELECT")
    expect(page.locator("#content section:has(.plan) h2")).to_have_text([f"Index {index}", "Tree", "Old values needed in the WAL", "How a change finds its documents", "Documents by key", "Documents by range of blocks", "Index body", "Plan of a batch", "Plan of the bootstrap's chunks of 1,024 blocks"])
    printed = [line.strip() for line in pgsync("plan", "-f", worker.manifest)[1].splitlines() if line.strip()]
    shown = [line.strip() for line in "\n".join(page.locator("#content section:has(.plan) > *").all_inner_texts()).splitlines() if line.strip()]
    titles = page.locator("#content section:has(.plan) h2").all_inner_texts()
    assert [line for line in shown if line not in titles] == [line for line in printed if line.removesuffix(":") not in titles]
    json.loads(page.locator("#content .plan[data-kind=json]").inner_text())
    for scheme in ("light", "dark"):
        for view in ("documents", "dead-letters", "index", "checkpoint", "plan"):
            seen = open_page(worker.console + address("/look", view=view), width=360, scheme=scheme)
            expect(seen.locator("#content:not(.stale)")).to_be_attached()
            expect(seen.locator("#verdict")).not_to_have_text("Asking pgsync …")
            assert seen.evaluate("document.documentElement.scrollWidth") <= 360, view
            assert not violations(seen), view
    assert worker.condition("Ready")["status"] == "True"
