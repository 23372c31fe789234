"""What a visitor does with A against B in a real browser: pin, share, read the documents, take everything along."""

import csv
import io
import json
import re
import zipfile
from pathlib import Path
from typing import Any

import pytest
from browser import LIMIT_MS
from playwright.sync_api import Browser, Download, Page, expect
from test_journeys import DEFAULTS, NUMBERS, accuracies, choose, expect_results

from core.display import charts, pairs
from core.display.pairs import Pair
from core.display.views import Settings

pytestmark = pytest.mark.usefixtures("in_clone")

# A list of options closes when the page scrolls; scroll events come with the next frame.
AFTER_SCROLLING = "() => new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))"
QUERY = "?compare=A+against+B&a_bits=4&b_bits=3&b_model=discriminative"

# What the camera button of a chart writes, known once the page has run for the click and dropped the old chart.
FORMAT_IS = """kind => {
  const plots = [...document.querySelectorAll(".st-key-confusion-A .js-plotly-plot")];
  return plots.length === 1 && plots[0]._context.toImageButtonOptions.format === kind;
}"""


def stored(a: tuple[Any, int], b: tuple[Any, int]) -> Pair:
    sides = zip("AB", (a, b), strict=True)
    return Pair(*(pairs.look_up(n, model, Settings(**{**DEFAULTS, "bits": bits})) for n, (model, bits) in sides))


def expect_pair(page: Page, pair: Pair) -> None:
    """Wait until both sides' accuracy and counts on the page are the stored ones."""
    for side, row in zip(pair.sides, pairs.rows(pair), strict=True):
        metric = page.locator(f".st-key-accuracy-{side.name}")
        expect(metric.get_by_test_id("stMetricValue")).to_have_text(charts.percent(row["accuracy"]))
        expect(metric).to_contain_text(side.label)
        same = f"([key, cells]) => JSON.stringify(({NUMBERS})(key)?.[0][1]) === JSON.stringify(cells)"
        page.wait_for_function(same, arg=[f"confusion-{side.name}", row["detail"]["confusion"]], timeout=LIMIT_MS)
    expect(page.locator("[data-stale=true]")).to_have_count(0)


def take(page: Page, name: str) -> tuple[str, bytes]:
    """Click a download button; return the file's name and content."""
    with page.expect_download() as waiting:
        page.get_by_role("button", name=name, exact=True).click()
    return _content(waiting.value)


def _content(download: Download) -> tuple[str, bytes]:
    return download.suggested_filename, Path(download.path()).read_bytes()


def test_a_pinned_model_is_compared_and_the_address_keeps_both_sides(
    page: Page, app_server: str, browser: Browser
) -> None:
    page.goto(f"{app_server}/?bits=4")
    expect_results(page)
    page.locator(".st-key-pin-generative").get_by_role("button").click()
    expect_pair(page, stored(("generative", 4), ("generative", 4)))
    expect(page.get_by_text("A and B are the same configuration: change one of them.")).to_be_visible()
    side = page.locator(".st-key-side-B")
    for label, option in (("Model", "discriminative"), ("Bit-width", "3")):
        side.get_by_role("combobox", name=label).click()
        page.get_by_role("option", name=option, exact=True).click()
    pair = stored(("generative", 4), ("discriminative", 3))
    expect_pair(page, pair)
    expect(page.get_by_text(pairs.describe_mcnemar(pairs.contrast(pair)))).to_be_visible()
    for part in ("compare=A.against.B", "a_bits=4", "b_bits=3", "b_model=discriminative"):
        expect(page).to_have_url(re.compile(part))
    with browser.new_context() as context:
        other = context.new_page()
        other.goto(page.url)
        expect_pair(other, pair)
        assert accuracies(other) == accuracies(page)


def test_a_flip_count_and_a_cell_list_their_documents(page: Page, app_server: str) -> None:
    pair = stored(("generative", 4), ("discriminative", 3))
    page.goto(app_server + QUERY)
    expect_pair(page, pair)
    page.get_by_role("radio", name="A wrong, B right").click()
    places, texts = pairs.groups(pair)["A wrong, B right"], pairs.read_texts(pair)
    documents = page.locator(".st-key-documents")
    expect(page.get_by_text(f"{len(places)} documents", exact=True)).to_be_visible()
    for reading in pairs.read(pair, places[:2], texts):
        expect(documents).to_contain_text(f"{reading.document:,}. true {reading.true}")
        expect(documents).to_contain_text(reading.texts[0][:200])
    plot = page.locator(".st-key-confusion-A .js-plotly-plot")
    plot.scroll_into_view_if_needed()
    names, box = pairs.class_names(pair), plot.locator(".nsewdrag").first.bounding_box()
    assert box is not None
    true, read = names.index("earn"), names.index("acq")
    step = box["width"] / len(names), box["height"] / len(names)
    page.mouse.click(box["x"] + step[0] * (read + 0.5), box["y"] + step[1] * (true + 0.5))
    cell = pairs.select(pair, pairs.EVERY, "earn", "acq", None)
    expect(page).to_have_url(re.compile("true=earn.*a_read=acq|a_read=acq.*true=earn"))
    expect(page.get_by_text(f"{len(cell)} documents", exact=True)).to_be_visible()
    expect(documents).to_contain_text(f"{cell[0] + 1:,}. true earn")
    expect(page.locator("[data-stale=true]")).to_have_count(0)
    page.get_by_role("combobox", name="B says").scroll_into_view_if_needed()
    page.evaluate(AFTER_SCROLLING)
    choose(page, "B says", "acq")
    left = pairs.select(pair, pairs.EVERY, "earn", "acq", "acq")
    assert len(left) not in (0, len(cell))
    expect(page.get_by_text(f"{len(left)} documents", exact=True)).to_be_visible()


def test_everything_can_be_taken_along(page: Page, app_server: str, tmp_path: Path) -> None:
    pair = stored(("generative", 4), ("discriminative", 3))
    page.goto(app_server + QUERY)
    expect_pair(page, pair)
    assert page.get_by_test_id("stMain").evaluate("main => main.scrollWidth <= main.clientWidth")
    name, report = take(page, "Report (HTML)")
    assert (name, len(report) < 2_000_000) == ("bitdial-a-against-b.html", True)
    name, bundle = take(page, "Tables and charts (zip)")
    with zipfile.ZipFile(io.BytesIO(bundle)) as archive:
        rows = json.loads(archive.read("results.json"))
        cells = json.loads(archive.read("charts/confusion-A.json"))["data"][0]["z"]
    assert [row["key"] for row in rows] == [row["key"] for row in pairs.rows(pair)]
    assert cells == rows[0]["detail"]["confusion"]
    name, listing = take(page, "CSV")
    lines = list(csv.DictReader(io.StringIO(listing.decode())))
    assert [int(line["document"]) - 1 for line in lines] == pairs.groups(pair)[pairs.GROUPS[0]].tolist()
    for kind, start in (("PNG", b"\x89PNG"), ("SVG", b"<svg")):
        page.get_by_role("radio", name=kind).click()
        expect(page.get_by_role("radio", name=kind)).to_be_checked()
        expect(page.locator("[data-stale=true]")).to_have_count(0)
        plot = page.locator(".st-key-confusion-A .js-plotly-plot")
        page.wait_for_function(FORMAT_IS, arg=kind.lower())
        plot.hover()
        with page.expect_download() as waiting:
            plot.locator("[data-title*='ownload']").click()
        name, picture = _content(waiting.value)
        assert (name, picture[: len(start)]) == (f"confusion-A.{kind.lower()}", start)
    page.set_viewport_size({"width": 390, "height": 844})
    assert page.get_by_test_id("stMain").evaluate("main => main.scrollWidth <= main.clientWidth")
    page.get_by_role("radio", name="The two models").click()
    expect_results(page)
    name, other = take(page, "Report (HTML)")
    assert (name, b"McNemar" in other, b"generative, float" in other) == ("bitdial-comparison.html", False, True)
    shown = tmp_path / "report.html"
    shown.write_bytes(report)
    page.goto(shown.as_uri())
    expect(page.get_by_text(pairs.describe_mcnemar(pairs.contrast(pair)))).to_be_visible()
