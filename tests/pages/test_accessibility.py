"""Every page under axe-core: no serious finding; and each can be the first thing that anybody asks of a server."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import axe_playwright_python
import pytest
from browser import ROOT, page_paths, serve
from playwright.sync_api import Browser, Page, expect

AXE = Path(axe_playwright_python.__file__).with_name("axe.min.js").read_text()
SERIOUS = ("serious", "critical")
LIMIT_MS = 60_000
# Markup that is Streamlit's, by rule and selector.
ALLOWED = {
    # A formula may scroll sideways; Chromium lets the keyboard reach what scrolls, whether or not it has a tabindex.
    ("scrollable-region-focusable", ".katex-display"),
}
# What is wrong where, but for what is allowed.
FINDINGS = """async allowed => {
  const found = await axe.run(document, {resultTypes: ["violations"]});
  return found.violations.filter(rule => SERIOUS.includes(rule.impact)).flatMap(rule => rule.nodes
    .filter(node => !allowed.some(([id, selector]) => id === rule.id && document.querySelector(node.target[0])
      ?.matches(selector)))
    .map(node => `${rule.id}: ${node.html} ${node.failureSummary}`));
}""".replace("SERIOUS", str(list(SERIOUS)))


# What was drawn anew fades in, and is faint until then.
DRAWN = "() => document.getAnimations().every(each => !(each instanceof CSSTransition))"
NAVIGATION = (ROOT / "app.py").read_text()
PATHS = page_paths(NAVIGATION)


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A server that nobody has visited, on what a fresh clone has."""
    folder = tmp_path_factory.mktemp("fresh")
    (folder / "shipped").symlink_to(ROOT / "cache" / "shipped")
    (folder / "corpora").symlink_to(ROOT / "cache" / "corpora")
    with serve(ROOT / "app.py", folder / "streamlit.log", BITDIAL_CACHE=str(folder), BITDIAL_DEVICE="cpu") as running:
        yield running


@pytest.fixture(scope="module")
def page(browser: Browser) -> Iterator[Page]:
    """One page for all visits, so that Streamlit's own scripts are loaded once."""
    page = browser.new_page(viewport={"width": 1440, "height": 900})
    yield page
    page.close()


def visit(page: Page, address: str, scheme: Literal["light", "dark"] = "light") -> None:
    page.emulate_media(color_scheme=scheme)
    page.goto(address)
    expect(page.get_by_test_id("stMain").get_by_role("heading", level=1)).to_be_visible(timeout=LIMIT_MS)
    expect(page.get_by_test_id("stApp")).to_have_attribute("data-test-script-state", "notRunning", timeout=LIMIT_MS)
    expect(page.locator("[data-stale=true]")).to_have_count(0)
    page.wait_for_function(DRAWN, timeout=LIMIT_MS)


def serious(page: Page) -> list[str]:
    page.evaluate(AXE)
    found: list[str] = page.evaluate(FINDINGS, [list(one) for one in ALLOWED])
    return found


def test_the_first_visit_of_a_server_may_be_to_any_page(browser: Browser, address: str) -> None:
    said: list[Any] = []
    page = browser.new_page()
    page.on("console", lambda message: said.append(message.text))
    page.goto(f"{address}/bit-width?show=Change+from+float")
    expect(page.get_by_role("heading", name="How far can the bits go down?")).to_be_visible(timeout=LIMIT_MS)
    expect(page.locator(".js-plotly-plot .main-svg").first).to_be_visible(timeout=LIMIT_MS)
    expect(page.get_by_role("radio", name="Change from float")).to_be_checked()
    expect(page.get_by_role("dialog")).to_have_count(0)
    assert [text for text in said if "does not seem to exist" in text] == []
    page.close()


@pytest.mark.parametrize("path", PATHS, ids=lambda path: path or "compare")
def test_a_page_has_no_serious_finding(page: Page, address: str, path: str) -> None:
    visit(page, f"{address}/{path}")
    assert serious(page) == []


@pytest.mark.parametrize("path", ["", "?compare=A+against+B", "bit-width"])
def test_a_dark_page_has_no_serious_finding(page: Page, address: str, path: str) -> None:
    visit(page, f"{address}/{path}", "dark")
    assert page.evaluate("() => getComputedStyle(document.querySelector('.stApp')).colorScheme") == "dark"
    assert serious(page) == []


def test_what_is_wrong_is_found(browser: Browser) -> None:
    page = browser.new_page()
    page.set_content("<html lang=en><title>t</title><main><img src='x.png'><p style='color: #ccc'>faint</p></main>")
    assert [text.split(":")[0] for text in serious(page)] == ["color-contrast", "image-alt"]
    page.close()


def test_every_page_of_the_navigation_is_known() -> None:
    source = "import streamlit as st\nst.navigation([st.Page('a.py', default=True), st.Page('b.py', url_path='b-c')])"
    assert page_paths(source) == ["", "b-c"]
    assert len(PATHS) == len(set(PATHS)) == NAVIGATION.count("st.Page(")
