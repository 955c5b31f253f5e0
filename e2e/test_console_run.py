"""The console of `pgsync run`: the pages of the operator's console for the one PgSync that runs."""

import json
import re

import pytest
import requests
from parts import ports
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
