"""Pictures of every page for the documentation: python tests/screenshots.py [PATH ...], all pages without one.

Light and dark, 1440 and 390 pixels wide, each as high as its page, at half the size; they go to docs/.
"""

import io
import sys
import tempfile
from itertools import product
from pathlib import Path
from typing import Literal

from browser import FLAGS, LIMIT_MS, ROOT, find_chromium, page_paths, serve
from PIL import Image
from playwright.sync_api import Page, sync_playwright

FOLDER = ROOT / "docs"
WIDTHS, HEIGHT, HIGHEST = (1440, 390), 900, 6000
SCHEMES: tuple[Literal["light", "dark"], ...] = ("light", "dark")
SETTLED = """() => document.querySelector("[data-testid=stApp]")?.dataset.testScriptState === "notRunning"
  && document.querySelector("[data-testid=stMain] h1") && !document.querySelector("[data-testid=stSkeleton]")"""
PAUSE_MS = 1500  # a figure is drawn, and drawn anew for the height


def take(page: Page, address: str, width: int) -> Image.Image:
    page.set_viewport_size({"width": width, "height": HEIGHT})
    page.goto(address)
    page.wait_for_function(SETTLED, timeout=LIMIT_MS)
    page.wait_for_timeout(PAUSE_MS)
    height = page.get_by_test_id("stMain").evaluate("main => main.scrollHeight")
    page.set_viewport_size({"width": width, "height": min(height, HIGHEST)})
    page.wait_for_timeout(PAUSE_MS)
    picture = Image.open(io.BytesIO(page.screenshot())).convert("RGB")
    return picture.resize((picture.width // 2, picture.height // 2), Image.Resampling.LANCZOS)


def main(paths: list[str]) -> None:
    FOLDER.mkdir(exist_ok=True)
    with (
        tempfile.TemporaryDirectory() as folder,
        serve(ROOT / "app.py", Path(folder) / "log") as address,
        sync_playwright() as playwright,
    ):
        browser = playwright.chromium.launch(executable_path=find_chromium(), args=FLAGS)
        for scheme in SCHEMES:
            page = browser.new_page(color_scheme=scheme)
            for path, width in product(paths, WIDTHS):
                picture = take(page, f"{address}/{path}", width)
                picture.save(FOLDER / f"{path or 'compare'}-{width}-{scheme}.webp", quality=60, method=6)


if __name__ == "__main__":
    main(sys.argv[1:] or page_paths())
