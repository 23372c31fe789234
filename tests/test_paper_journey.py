"""From the landing page to a figure of the paper, in a real browser."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from browser import ROOT, serve
from playwright.sync_api import Page, expect

from core import paper
from core.claims import condition_words
from core.paper_figures import METHODS, figure_of

LIMIT_MS = 30_000
FIGURE = figure_of("Figure 10")


@pytest.fixture(scope="module")
def clone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An artifact folder with the shipped results and the fetched corpus, nothing local."""
    folder = tmp_path_factory.mktemp("clone")
    for name in ("shipped", "corpora"):
        (folder / name).symlink_to(ROOT / "cache" / name)
    return folder


@pytest.fixture(scope="module")
def address(clone: Path) -> Iterator[str]:
    with serve(ROOT / "app.py", clone / "log", BITDIAL_CACHE=str(clone)) as running:
        yield running


def test_a_figure_is_chosen_judged_and_kept_in_the_address(
    page: Page, address: str, clone: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BITDIAL_CACHE", str(clone))
    expected = paper.claims_of(FIGURE, paper.judge_all(paper.read(["reuters-r8"]), ["reuters-r8"]))
    page.set_default_timeout(LIMIT_MS)
    page.goto(address)
    page.get_by_role("link", name="Paper", exact=True).click()
    expect(page.get_by_role("heading", name="Which claims hold here?")).to_be_visible(timeout=LIMIT_MS)
    page.get_by_role("combobox", name="Figure").click()
    page.get_by_role("option", name=FIGURE.source, exact=True).click()
    expect(page.get_by_role("heading", name=FIGURE.question)).to_be_visible(timeout=LIMIT_MS)
    for judgement in expected:
        card = page.locator(f".st-key-claim-{judgement.claim.key}")
        expect(card).to_contain_text(judgement.words[1:], timeout=LIMIT_MS)
    expect(page.get_by_role("figure")).to_have_count(2)
    page.get_by_role("radio", name=condition_words(METHODS[3])).click()
    expect(page).to_have_url(re.compile(r"figure=Figure.10.*method=uniform"), timeout=LIMIT_MS)
    expect(page.locator("[data-stale=true]")).to_have_count(0, timeout=LIMIT_MS)
    for width, scheme in ((390, "dark"), (2560, "light"), (1440, "light")):
        page.set_viewport_size({"width": width, "height": 900})
        page.emulate_media(color_scheme="dark" if scheme == "dark" else "light")
        expect(page.locator(".js-plotly-plot .main-svg").first).to_be_visible()
        assert page.get_by_test_id("stMain").evaluate("main => main.scrollWidth <= main.clientWidth")
