"""The bookstore's pages in Chromium: what people see is what the API and the engine say, by keyboard, on a phone, light and
dark, and with a strict Content-Security-Policy."""

import json
import re

import pytest
from axe_playwright_python.sync_playwright import Axe
from parts.faultproxy import FaultProxy
from playwright.sync_api import expect

EXAMPLES = {  # of each mode: a text, and a title that it must find
    "fuzzy": ("nueromancer", "Neuromancer"),
    "match": ("dune herbert", "Dune"),
    "phrase": ("brave new world", "Brave New World"),
    "phrase_prefix": ("do androids dr", "Do Androids Dream of Electric Sheep?"),
    "prefix": ("neuro", "Neuromancer"),
    "wildcard": ("hyp*on", "Hyperion"),
    "regexp": ("foundation|dune", "Foundation"),
    "range": ("programming", "The Practice of Programming"),
    "boolean": ("+gibson -neuromancer", "The Difference Engine"),
    "query_string": ("title:dune OR authors.name:gibson", "Dune"),
    "term": ("Dune", "Dune"),
    "as_you_type": ("gibson dif", "The Difference Engine"),
}
PAGES = ["/?q=nueromancer&compare=match", "/?mode=range", "/?q=xyzzyplugh", "/admin", "/admin?list=authors", "/admin?list=books&edit=4", "/docs#createBook"]
EVIL = "<img src=x onerror=alert(1)><script>alert(2)</script>"


@pytest.fixture(scope="module")
def watched(shop):
    """A bookstore whose searches are recorded on their way to the engine."""
    with FaultProxy(shop.engine_url) as proxy:
        proxy.recorded = []
        made = shop.another("watched", engine_url=proxy.url)
        made.proxy = proxy
        yield made
        assert made.stop() == 0


def sent_to_engine(shop):
    return [body.decode() for _, path, _, body in shop.proxy.recorded if path.endswith("/_search")]


def test_every_mode_shows_the_hits_and_the_query_that_the_engine_got(open_page, watched):
    page = open_page(watched.url + "/")
    assert page.locator("#mode option").evaluate_all("all => all.map(one => one.value)") == list(EXAMPLES)
    for mode, (text, title) in EXAMPLES.items():
        page.fill("#q", "")
        page.select_option("#mode", mode)
        with page.expect_response(lambda response: "/search?" in response.url and f"mode={mode}" in response.url and "q=&" not in response.url) as answered:
            page.fill("#q", text)
        answer = answered.value.json()
        expect(page.locator(".hit h3").first).to_be_visible()
        shown = page.locator(".hit h3").all_inner_texts()
        assert title in shown, (mode, shown)
        assert shown == [hit["source"]["title"] for hit in answer["hits"]]
        assert [text.split(" ·")[0] for text in page.locator(".hit .facts").all_inner_texts()] == [f"{hit['source']['price']:.2f}" for hit in answer["hits"]]
        assert page.input_value("#query") == answer["request"]["body"]
        assert answer["request"]["body"] in sent_to_engine(watched)
        assert page.inner_text("#sentence") and page.locator("#examples button").count() >= 1


def test_an_edited_query_is_sent_as_edited(open_page, watched):
    page = open_page(watched.url + "/?q=dune&mode=match")
    expect(page.locator(".hit mark").first).to_have_text("Dune")
    edited = '{"size":  2,\n "query": {"term": {"title": "foundation"}}}'
    page.fill("#query", edited)
    page.keyboard.press("Control+Enter")
    expect(page.locator(".hit h3")).to_have_text(["Foundation"])
    assert sent_to_engine(watched)[-1] == edited
    page.fill("#query", '{"query": {"frobnicate": {}}}')
    page.click("#send")
    expect(page.locator("#summary")).to_contain_text("the search engine refused the query")
    page.click("#reset")
    assert json.loads(page.input_value("#query"))["query"]["multi_match"]["query"] == "dune"


def test_the_address_has_the_search_and_an_example_can_be_clicked(open_page, shop):
    page = open_page(shop.url + "/")
    page.select_option("#mode", "fuzzy")
    page.click("#examples button >> nth=0")
    expect(page.locator(".hit mark").first).to_have_text("Neuromancer")
    assert "q=nueromancer" in page.url and "mode=fuzzy" in page.url
    page.select_option("#compare", "match")
    expect(page.locator(".columns > div")).to_have_count(2)
    expect(page.locator(".columns > div").nth(1)).to_contain_text("Nothing found")
    other = open_page(page.url)
    expect(other.locator("#summary")).to_contain_text("Match: 0 books")


def test_a_book_that_is_added_in_the_admin_pages_is_found(open_page, shop, opensearch):
    page = open_page(shop.url + "/admin")
    page.click("#new")
    page.click("#form button:has-text('Save')")
    for field in ("title", "isbn", "price"):
        expect(page.locator(f"#{field}-note")).not_to_be_empty()
        expect(page.locator(f"#form [name={field}]")).to_have_attribute("aria-invalid", "true")
    page.fill("#form [name=title]", EVIL)
    page.fill("#form [name=isbn]", "9780000000019")
    page.fill("#form [name=price]", "15.99")
    page.fill("#form [name=author_ids]", "Rob Pike")
    expect(page.locator(".chosen li")).to_contain_text("Rob Pike")
    page.click("#form button:has-text('Save')")
    expect(page.locator("#changes li").first).to_have_text(re.compile(r"Added .*committed after \d+ ms, in the index after \d+ ms"))
    page.fill("#q", "onerror")
    expect(page.locator("#body tr")).to_have_count(1)
    expect(page.locator("#body td").nth(1)).to_have_text(EVIL)
    expect(page.locator("#body .dot")).to_have_attribute("data-state", "same")
    opensearch.refresh(shop.index)
    search = open_page(shop.url + "/?mode=match&q=onerror")
    expect(search.locator(".hit h3")).to_have_text([EVIL])
    assert search.locator(".hit img, .hit script").count() == 0
    page.on("dialog", lambda dialog: dialog.accept())
    page.click("#body button:has-text('Publish')")
    expect(page.locator("#changes li").first).to_have_text(re.compile(r"Published .*in the index after \d+ ms"))
    page.click("#body button:has-text('Delete')")
    expect(page.locator("#changes li").first).to_have_text(re.compile(r"Deleted .*in the index after \d+ ms"))
    expect(page.locator("#body")).to_contain_text("No book has")


def test_a_change_of_another_in_between_is_shown_and_not_overwritten(open_page, shop):
    _, book = shop.ask("POST", "/books", {"title": "Two editors", "isbn": "9780000000026", "price": "1", "author_ids": [1]})
    page = open_page(shop.url + f"/admin?list=books&edit={book['id']}")
    page.fill("#form [name=price]", "2")
    shop.ask("PATCH", f"/books/{book['id']}", {"title": "Edited by another"})
    page.click("#form button:has-text('Save')")
    expect(page.locator(".form-failure")).to_contain_text("Edited by another")
    assert shop.ask("GET", f"/books/{book['id']}")[1]["price"] == "1.00"
    page.click("#form button:has-text('Save')")
    expect(page.locator("#changes li").first).to_contain_text("Changed")
    assert shop.ask("GET", f"/books/{book['id']}")[1]["price"] == "2.00"
    shop.ask("DELETE", f"/books/{book['id']}")


def test_what_is_written_in_the_playground_is_traced_until_it_is_found(open_page, shop):
    page = open_page(shop.url + "/")
    expect(page.locator("#write [name=author] option").first).to_be_attached()
    page.fill("#write [name=title]", "Written in the playground")
    page.click("#write button")
    trace = page.locator("#trace li")
    expect(trace).to_have_count(3, timeout=30000)
    for line, pattern in enumerate([r"Committed in Postgres as book \d+", r"In the index \d+ ms", r"Found by searches \d+ ms"]):
        expect(trace.nth(line)).to_have_text(re.compile(pattern))
    expect(page.locator(".hit h3").first).to_have_text("Written in the playground")
    shop.ask("DELETE", "/books/" + re.search(r"book (\d+)", trace.first.inner_text()).group(1))


def test_lists_sort_and_page_and_the_back_button_works(open_page, shop):
    page = open_page(shop.url + "/admin?page_size=10")
    expect(page.locator("#body tr")).to_have_count(10)
    page.click("#head button:has-text('Price')")
    page.click("#head button:has-text('Price')")
    expect(page.locator("#body tr").first).to_contain_text("Structure and Interpretation")
    assert page.locator("#head th[aria-sort=descending]").inner_text().startswith("Price")
    page.click("#next")
    expect(page.locator("#page")).to_contain_text("Page 2 of 3")
    page.go_back()
    expect(page.locator("#page")).to_contain_text("Page 1 of 3")
    page.click("#list-authors")
    expect(page.locator("#body tr").first).to_contain_text("William Gibson")


def test_the_api_can_be_tried(open_page, shop):
    page = open_page(shop.url + "/docs")
    page.click("#search > summary")
    page.click("#search button:has-text('Send')")
    expect(page.locator("#search > pre")).to_contain_text("Neuromancer")
    page.click("#createBook > summary")
    page.fill("#createBook [name=body]", "{}")
    page.click("#createBook button:has-text('Send')")
    expect(page.locator("#createBook > pre")).to_contain_text("3 fields are wrong")


def test_keys(open_page, shop):
    page = open_page(shop.url + "/?q=gibson&mode=match")
    expect(page.locator(".hit")).not_to_have_count(0)
    page.keyboard.press("/")
    expect(page.locator("#q")).to_be_focused()
    page.locator("#q").blur()
    page.keyboard.press("j")
    expect(page.locator(".hit").first).to_be_focused()
    page.keyboard.press("j")
    expect(page.locator(".hit").nth(1)).to_be_focused()
    page.keyboard.press("k")
    page.keyboard.press("?")
    expect(page.locator("#keys")).to_be_visible()
    page.keyboard.press("Escape")
    page.locator(".hit").first.focus()
    page.keyboard.press("Enter")
    expect(page.locator("#edit")).to_be_visible()


@pytest.mark.slow
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing_and_a_phone_needs_no_sideways_scrolling(open_page, shop, scheme):
    # The elements are the same in the dark: what can differ is their contrast, so that is the rule that is run again.
    options = {"resultTypes": ["violations"], **({"runOnly": ["color-contrast"]} if scheme == "dark" else {})}
    page = open_page("about:blank", scheme=scheme)
    for path in PAGES:
        page.set_viewport_size({"width": 360, "height": 900})
        page.goto(shop.url + path)
        page.wait_for_load_state("networkidle") if path.startswith("/docs") else expect(page.locator("#verdict")).not_to_contain_text("Counting")
        if "edit" in path:
            expect(page.locator("#edit")).to_be_visible()
        assert page.evaluate("document.documentElement.scrollWidth") <= 360, path
        page.set_viewport_size({"width": 1280, "height": 900})
        found = Axe().run(page, options=options).response["violations"]
        assert not found, (path, [(one["id"], [node["html"][:200] for node in one["nodes"]]) for one in found])


def test_the_theme_can_be_chosen_and_stays(open_page, shop):
    page = open_page(shop.url + "/", scheme="light")
    light = page.evaluate("getComputedStyle(document.documentElement).backgroundColor")
    page.click("#theme")
    page.reload()
    expect(page.locator("html")).to_have_attribute("data-theme", "dark")
    assert page.evaluate("getComputedStyle(document.documentElement).backgroundColor") != light


def test_a_bookstore_that_ends_is_reported(open_page, shop):
    own = shop.another("ending")
    page = open_page(own.url + "/admin")
    expect(page.locator("#rows")).not_to_have_text("–")
    own.stop()
    expect(page.locator("#verdict")).to_contain_text("does not answer")
