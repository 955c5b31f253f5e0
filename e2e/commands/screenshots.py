"""Pictures of the bookstore's pages, for the documentation."""

import os
import shutil
import sys
from pathlib import Path

from playwright.sync_api import sync_playwright

IMAGES = Path(__file__).resolve().parents[2] / "docs/images"
PICTURES = {  # a file: a page, and what it shows once it is complete
    "playground.png": ("/?q=nueromancer", ".hit mark"),
    "admin.png": ("/admin", "table tbody tr"),
}


def main():
    url = sys.argv[1].rstrip("/")
    IMAGES.mkdir(exist_ok=True)
    with sync_playwright() as playwright:
        flags = ["--no-sandbox"] if os.geteuid() == 0 else []
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=flags)
        for name, (path, complete) in PICTURES.items():
            page = browser.new_page(viewport={"width": 1100, "height": 760}, reduced_motion="reduce")
            page.goto(url + path)
            page.locator(complete).first.wait_for()
            page.wait_for_load_state("networkidle")
            page.screenshot(path=IMAGES / name)
            print(IMAGES / name)
        browser.close()


if __name__ == "__main__":
    main()
