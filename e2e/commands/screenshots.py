"""Pictures of the pages of the bookstore and of the console, for the documentation, from servers that this starts."""

import os
import shutil
from pathlib import Path

from parts.process import interrupt_on_term
from playwright.sync_api import sync_playwright

from commands.pages import servers

IMAGES = Path(__file__).resolve().parents[2] / "docs/images"


def search(page, address):
    """Several times: the first searches of an engine that has just started are slow."""
    for _ in range(5):
        page.goto(address)
        page.locator(".hit mark").first.wait_for()


def playground(page, url):
    search(page, url + "/?q=nueromancer&mode=fuzzy&compare=match")


def modes(page, url):
    search(page, url + "/?q=%2Bgibson+-neuromancer&mode=boolean")


def admin(page, url):
    """Books are saved as they are, so that the page tells how soon the index has them."""
    page.goto(url + "/admin?page_size=10")
    for number in range(1, 4):
        page.locator("#body button:has-text('Edit')").nth(number).click()
        page.locator("#form button:has-text('Save')").click()
        page.locator("#changes li:has-text('in the index after')").nth(number - 1).wait_for()
    page.locator(".dot[data-state=same]").nth(9).wait_for()


def api(page, url):
    page.goto(url + "/docs#search")
    for _ in range(5):
        page.locator("#search button:has-text('Send')").click()
        page.locator("#search > pre:has-text('Neuromancer')").wait_for()
    page.locator("#search").evaluate("operation => operation.scrollIntoView()")


def pgsync(page, url):
    page.goto(url + "/pgsync?namespace=default&name=books")
    page.locator("#verdict:has-text('up to date')").wait_for()
    page.locator("#tree .graph").wait_for()


def document(page, url):
    page.goto(url + "/look?namespace=default&name=books&view=documents&id=3")
    page.locator("#verdict:has-text('The index has what Postgres has now')").wait_for()


PICTURES = [  # a file: whose page it shows, which one, its size, light or dark
    ("playground.png", "bookstore", playground, (1200, 760), "light"),
    ("playground-dark.png", "bookstore", modes, (1200, 760), "dark"),
    ("admin.png", "bookstore", admin, (1200, 760), "light"),
    ("api.png", "bookstore", api, (1200, 760), "light"),
    ("phone.png", "bookstore", playground, (390, 760), "light"),
    ("console.png", "console", pgsync, (1200, 860), "light"),
    ("console-document.png", "console", document, (1200, 720), "dark"),
]


def take(browser, urls):
    for name, whose, show, (width, height), scheme in PICTURES:
        page = browser.new_page(viewport={"width": width, "height": height}, color_scheme=scheme, reduced_motion="reduce")
        show(page, urls[whose])
        page.locator("#verdict:has-text('Counting')").wait_for(state="hidden")
        if whose == "bookstore":  # the console asks every second
            page.wait_for_load_state("networkidle")
        page.screenshot(path=IMAGES / name)
        print(IMAGES / name)


def main():
    interrupt_on_term()
    IMAGES.mkdir(exist_ok=True)
    with sync_playwright() as playwright, servers() as (shop, console):
        flags = ["--no-sandbox"] if os.geteuid() == 0 else []
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=flags)
        take(browser, {"bookstore": shop.url, "console": console})
        browser.close()


if __name__ == "__main__":
    main()
