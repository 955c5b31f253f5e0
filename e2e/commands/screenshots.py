"""Pictures of the bookstore's pages, for the documentation."""

import os
import shutil
import sys
from pathlib import Path

from playwright.sync_api import sync_playwright

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


PICTURES = [  # a file: what it shows, its size, light or dark
    ("playground.png", playground, (1200, 760), "light"),
    ("playground-dark.png", modes, (1200, 760), "dark"),
    ("admin.png", admin, (1200, 760), "light"),
    ("api.png", api, (1200, 760), "light"),
    ("phone.png", playground, (390, 760), "light"),
]


def main():
    url = sys.argv[1].rstrip("/")
    IMAGES.mkdir(exist_ok=True)
    with sync_playwright() as playwright:
        flags = ["--no-sandbox"] if os.geteuid() == 0 else []
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=flags)
        for name, show, (width, height), scheme in PICTURES:
            page = browser.new_page(viewport={"width": width, "height": height}, color_scheme=scheme, reduced_motion="reduce")
            show(page, url)
            page.locator("#verdict:has-text('Counting')").wait_for(state="hidden")
            page.wait_for_load_state("networkidle")
            page.screenshot(path=IMAGES / name)
            print(IMAGES / name)
        browser.close()


if __name__ == "__main__":
    main()
