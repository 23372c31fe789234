"""The pages beside Compare in a real browser: type, compose, turn dials, take charts along, share a link."""

import io
import json
import re
import zipfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from urllib.parse import quote, urlsplit

import pytest
import tiny
from browser import LIMIT_MS, ROOT, complaints, lay_out_clone, serve
from playwright.sync_api import Browser, Page, expect

from core import pipeline
from core.config import MODEL_KINDS
from core.display import composer, pairs, readings
from core.display.curve_charts import WIDTHS
from core.display.views import Settings

pytestmark = pytest.mark.usefixtures("in_clone")

PAGES = {
    "bit-width": ("How far can the bits go down?", 4, "?zoom=true&rules=fitted"),
    "input-noise": ("What does noise in the text do?", 4, "?preset=paper-code&zoom=true"),
    "token-losses": ("What does each token cost the generative model?", 2, "?preset=paper-code"),
}
# Streamlit's client looks for its server below the page's own path before it looks at the root.
SEARCH = re.compile(r"/_stcore/(health|host-config)$")


@pytest.fixture(scope="module")
def clone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An artifact folder as in a fresh clone, and beside it a small corpus with every variant at quick settings."""
    folder = lay_out_clone(tmp_path_factory.mktemp("pages"))
    corpus = tiny.write_corpus(folder / "news.csv")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("BITDIAL_CACHE", str(folder))
        patch.setenv("BITDIAL_DEVICE", "cpu")
        for spec in readings.variants(settings(corpus)).values():
            pipeline.build_variant(spec)
    return folder


@pytest.fixture(scope="module")
def address(clone: Path, browser: Browser) -> Iterator[str]:
    with serve(ROOT / "app.py", clone / "streamlit.log", BITDIAL_CACHE=str(clone), BITDIAL_DEVICE="cpu") as running:
        page = browser.new_page()
        page.goto(running)  # the first visit of a server has to be the landing page
        page.locator(".js-plotly-plot .main-svg").first.wait_for(timeout=LIMIT_MS)
        page.close()
        yield running


@pytest.fixture
def visit(browser: Browser) -> Iterator[Page]:
    """A new browser's page; the test fails if it logged an error of ours or asked another machine for anything."""
    context = browser.new_context(viewport={"width": 1440, "height": 900})
    page = context.new_page()
    found, failed = complaints(page), list[str]()
    page.on("response", lambda answer: failed.append(answer.url) if answer.status >= 400 else None)
    yield page
    context.close()
    assert [url for url in failed if not SEARCH.search(urlsplit(url).path)] == []
    assert len([text for text in found if "404" in text]) <= len(failed)
    assert [text for text in found if "404" not in text] == []


def settings(corpus: Path, noise: float = 0.0) -> Settings:
    return Settings(str(corpus), 32, noise, "uniform", tiny.QUICK["head"], tiny.QUICK["ranges"], "conditional")


def expect_answers(page: Page, clone: Path, text: str) -> None:
    """Wait until the answers of every model and width to a text are on the page."""
    found = readings.read(text, readings.variants(settings(clone / "news.csv")))
    expect(page.get_by_text(readings.describe_flips(found), exact=True).first).to_be_visible()
    cells = page.locator(".st-key-answers .heatmaplayer, .st-key-answers .hm").first
    expect(cells).to_be_attached()
    shown = "() => document.querySelector('.st-key-answers .js-plotly-plot')?.data?.map(t => t.text.flat())"
    words = page.evaluate(shown)
    for place, model in enumerate(MODEL_KINDS):
        of_model = [r for r in found if r.model == model]
        assert len(of_model) == len(WIDTHS)
        assert [word.removeprefix("≠ ").split()[0] for word in words[place]] == [r.row["label"] for r in of_model]


def expect_nothing_cut_off(page: Page) -> None:
    for width in (390, 2560):
        page.set_viewport_size({"width": width, "height": 844})
        fits = "() => { const main = document.querySelector('[data-testid=stMain]'); return FITS; }"
        page.wait_for_function(fits.replace("FITS", "main.scrollWidth <= main.clientWidth"), timeout=LIMIT_MS)


def test_a_typed_text_is_answered_at_every_width_and_the_address_keeps_it(
    visit: Page, address: str, clone: Path, browser: Browser
) -> None:
    query = f"corpus={quote(str(clone / 'news.csv'))}&ranges={tiny.QUICK['ranges']}&head={tiny.QUICK['head']}"
    visit.goto(f"{address}/try-it?{query}")
    field = visit.get_by_role("textbox", name="Your text")
    expect(field).to_have_value(readings.EXAMPLES[0])
    text = "the bank's <b>loan</b> & bond rate"
    field.fill(text)
    field.press("Control+Enter")
    expect_answers(visit, clone, text)
    expect_nothing_cut_off(visit)
    expect(visit).to_have_url(re.compile("text=the"))
    visit.get_by_role("radio", name="discriminative").click()
    expect(visit.get_by_text("What it read")).to_be_visible()
    with browser.new_context() as context:
        other = context.new_page()
        other.goto(visit.url)
        expect_answers(other, clone, text)
        expect(other.get_by_text("What it read")).to_be_visible()


@pytest.mark.parametrize("path", PAGES)
def test_a_shared_link_shows_the_same_figures(visit: Page, address: str, path: str) -> None:
    title, count, query = PAGES[path]
    visit.goto(f"{address}/{path}{query}")
    expect(visit.get_by_role("heading", name=title)).to_be_visible()
    expect(visit.get_by_role("figure")).to_have_count(count)
    expect(visit.locator(".js-plotly-plot .main-svg").first).to_be_visible()
    expect(visit.get_by_role("alert")).to_have_count(0)
    expect(visit).to_have_url(re.compile(re.escape(query.split("&")[0])))
    words = [figure.get_attribute("aria-label") or "" for figure in visit.get_by_role("figure").all()]
    assert [text for text in words if len(text.split()) < 5] == []
    expect_nothing_cut_off(visit)


def test_a_calibration_set_is_composed_computed_and_shared(
    visit: Page, address: str, clone: Path, browser: Browser, monkeypatch: pytest.MonkeyPatch
) -> None:
    corpus = str(clone / "news.csv")
    recipe = "&".join(f"{name}={value}" for name, value in {"preset": "uniform", **tiny.QUICK}.items())
    visit.goto(f"{address}/calibration-set?corpus={quote(corpus)}&{recipe}&bits=4&models=discriminative")
    visit.get_by_role("slider", name="grain").focus()
    visit.keyboard.press("Home")
    visit.get_by_role("button", name="Calibrate and evaluate").click()
    expect(visit.get_by_role("heading", name="Discriminative: the balanced set (A) against yours (B)")).to_be_visible()
    monkeypatch.setenv("BITDIAL_CACHE", str(clone))
    composition = composer.compose(corpus, {"grain": 0, "metal": composer.EVEN_SHARE, "money": composer.EVEN_SHARE})
    asked = replace(settings(clone / "news.csv"), bits=4, calibration=composition.calibration)
    pair = composer.look_up(composition, "discriminative", asked)
    assert not pair.missing
    words = pairs.describe_mcnemar(pairs.contrast(pair))
    expect(visit.get_by_text(words)).to_be_visible()
    expect(visit).to_have_url(re.compile("share-grain=0"))
    expect_nothing_cut_off(visit)
    with browser.new_context() as context:
        other = context.new_page()
        other.goto(visit.url)
        expect(other.get_by_text(words)).to_be_visible()
        expect(other.locator(".st-key-changes-discriminative .main-svg").first).to_be_visible()


def test_a_site_is_looked_at_and_its_link_shows_it_again(visit: Page, address: str, browser: Browser) -> None:
    visit.goto(f"{address}/site-distributions?bits=3")
    expect(visit.get_by_role("heading", name="How far are its values from float's?")).to_be_visible()
    box = visit.get_by_role("combobox", name="Weight or signal")
    box.fill("Accumulator (forget gate)")
    box.press("Enter")
    expect(visit.get_by_role("heading", name="Does every gate fare alike?")).to_be_visible()
    visit.get_by_role("radio", name="ECDF").click()
    expect(visit).to_have_url(re.compile("show=ECDF"))
    expect(visit).to_have_url(re.compile("site=Accumulator"))
    expect(visit.locator("[data-stale=true]")).to_have_count(0)
    seen = [figure.get_attribute("aria-label") for figure in visit.get_by_role("figure").all()]
    assert len(seen) == 2
    expect_nothing_cut_off(visit)
    with browser.new_context() as context:
        other = context.new_page()
        other.goto(visit.url)
        for words in seen:
            expect(other.get_by_role("figure", name=words)).to_be_visible()


def test_every_chart_of_a_page_can_be_taken_along(visit: Page, address: str) -> None:
    visit.goto(f"{address}/bit-width")
    expect(visit.get_by_role("figure")).to_have_count(4)
    expect(visit.locator(".st-key-sizes .main-svg").first).to_be_visible()
    with visit.expect_download() as waiting:
        visit.get_by_role("button", name="Charts (zip)").click()
    assert waiting.value.suggested_filename == "bitdial-bit-width.zip"
    with zipfile.ZipFile(io.BytesIO(Path(waiting.value.path()).read_bytes())) as archive:
        kept = {name: json.loads(archive.read(name)) for name in archive.namelist()}
    keys = ("bits-generative", "bits-discriminative", "classes", "sizes")
    assert set(kept) == {f"charts/{key}.json" for key in keys}
    for key in keys:
        drawn = visit.evaluate(f"() => document.querySelector('.st-key-{key} .js-plotly-plot').data.length")
        assert len(kept[f"charts/{key}.json"]["data"]) == drawn > 0
    visit.get_by_role("radio", name="SVG").click()
    expect(visit.get_by_role("radio", name="SVG")).to_be_checked()
    plot = visit.locator(".st-key-sizes .js-plotly-plot")
    wanted = """() => { const plots = [...document.querySelectorAll(".st-key-sizes .js-plotly-plot")];
        return plots.length === 1 && plots[0]._context.toImageButtonOptions.format === "svg"; }"""
    visit.wait_for_function(wanted, timeout=LIMIT_MS)
    plot.hover()
    with visit.expect_download() as picture:
        plot.locator("[data-title*='ownload']").click()
    assert picture.value.suggested_filename == "sizes.svg"
    assert Path(picture.value.path()).read_bytes().startswith(b"<svg")
