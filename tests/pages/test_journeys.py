"""What a visitor of a fresh clone does, in a real browser: open, turn the dials, share the address, read the guide."""

import re
from itertools import product
from typing import Any

import pytest
from browser import LIMIT_MS, ROOT
from playwright.sync_api import Browser, Locator, Page, expect

from core import pipeline
from core.config import BIT_WIDTHS, FLOAT_BITS, MODEL_KINDS, PRESETS, ModelKind
from core.display import charts, views
from core.display.views import Settings
from core.storage.store import DATABASE, Store
from core.teaching.guide import ENTRIES

SHIPPED = ROOT / "cache" / "shipped"
DEFAULTS = {"corpus": "reuters-r8", "bits": 4, "noise": 0.0, "preset": "uniform", "head": "gpfq"}
DEFAULTS |= {"ranges": "fitted", "calibration": "conditional"}
FIGURES = ("accuracy", *(f"{chart}-{model}" for chart in ("confusion", "histogram") for model in MODEL_KINDS))
FIGURES = (*FIGURES, "losses", "differences")
BITS, NOISE = "Bit-width (32 is float)", "Input noise: share of characters replaced"
SCHEMES = ("conditional", "unconditional")


pytestmark = pytest.mark.usefixtures("in_clone")


def dial(page: Page, name: str) -> Locator:
    return page.get_by_role("slider", name=name)


def accuracies(page: Page) -> list[str]:
    return page.get_by_test_id("stMetric").all_inner_texts()


def press(page: Page, name: str, key: str, times: int = 1) -> None:
    dial(page, name).focus()
    for _ in range(times):
        page.keyboard.press(key)


# The numbers of a figure by trace, Plotly's packed arrays as lists; null until it is drawn.
NUMBERS = """key => {
  const plot = document.querySelector(`.st-key-${key} .js-plotly-plot`);
  const plain = line => line !== null && typeof line === "object" ? Array.from(line) : line;
  const list = values => Array.from(values?._inputArray ?? values ?? [], plain);
  return plot?.data ? plot.data.map(trace => [list(trace.x), list(trace.z ?? trace.y)]) : null;
}"""


def numbers(page: Page) -> dict[str, Any]:
    return {key: page.evaluate(NUMBERS, key) for key in FIGURES}


def expect_results(page: Page, **changes: Any) -> None:
    """Wait until both models' accuracy and counts on the page are the stored ones."""
    comparison = views.compare(Settings(**{**DEFAULTS, **changes}))
    assert comparison.missing == ()
    for side in comparison.shown:
        row, _ = views.both(side)
        metric = page.locator(f".st-key-accuracy-{side.model}")
        expect(metric.get_by_test_id("stMetricValue")).to_have_text(charts.percent(row["accuracy"]))
        expect(metric.get_by_test_id("stMetricDelta")).to_contain_text(charts.points(views.change_points(side)))
        arguments = [f"confusion-{side.model}", row["detail"]["confusion"]]
        same = f"([key, cells]) => JSON.stringify(({NUMBERS})(key)?.[0][1]) === JSON.stringify(cells)"
        page.wait_for_function(same, arg=arguments, timeout=LIMIT_MS)
    expect(page.locator("[data-stale=true]")).to_have_count(0)


def test_the_shipped_store_has_every_promised_result() -> None:
    assert (SHIPPED / DATABASE).is_file(), "a part of the repository: restore it with git, or make it"
    grid = product(BIT_WIDTHS, (0.0, 0.02, 0.05, 0.1), PRESETS, ("fitted", "percentile"), SCHEMES)
    promised = [
        Settings("reuters-r8", bits, noise, preset, "gpfq", ranges, calibration)
        for bits, noise, preset, ranges, calibration in grid
    ]
    floats = [Settings(**{**DEFAULTS, "bits": FLOAT_BITS, "noise": noise}) for noise in (0.0, 0.02, 0.05, 0.1)]
    specs = [settings.spec(model) for settings in floats + promised for model in MODEL_KINDS]
    keys = {pipeline.resolve(spec).fingerprint(): spec for spec in specs}
    stored = {row["key"] for row in Store().results()}
    assert [spec for key, spec in keys.items() if key not in stored] == []


@pytest.mark.parametrize("model", MODEL_KINDS)
def test_more_can_be_computed_without_training(model: ModelKind) -> None:
    run = pipeline.resolve(Settings(**DEFAULTS).spec(model)).variant.run
    assert pipeline.trained(run)
    assert Store().load_tensors("weights", run.fingerprint()) is not None


def test_the_landing_page_shows_both_models_at_once(page: Page, app_server: str) -> None:
    page.goto(app_server)
    expect_results(page)
    drawn = page.get_by_role("figure")
    expect(drawn).to_have_count(len(FIGURES))
    expect(page.locator(".js-plotly-plot .main-svg").first).to_be_visible()
    assert [key for key, found in numbers(page).items() if not found] == []
    words = [figure.get_attribute("aria-label") or "" for figure in drawn.all()]
    assert [text for text in words if len(text.split()) < 5] == []
    expect(page.get_by_role("alert")).to_have_count(0)


def test_the_dials_change_the_figures_and_the_address_keeps_them(page: Page, app_server: str, browser: Browser) -> None:
    page.goto(app_server)
    expect_results(page)
    start, start_numbers = accuracies(page), numbers(page)
    press(page, BITS, "ArrowRight")
    expect_results(page, bits=3)
    assert accuracies(page) != start
    assert [key for key, found in numbers(page).items() if found == start_numbers[key]] == []
    press(page, BITS, "ArrowLeft", 3)
    expect_results(page, bits=6)
    press(page, NOISE, "ArrowRight", 2)
    expect_results(page, bits=6, noise=0.05)
    assert accuracies(page) != start
    assert [key for key, found in numbers(page).items() if found == start_numbers[key]] == []
    expect(page).to_have_url(re.compile(r"[?&]bits=6(&|$)"))
    expect(page).to_have_url(re.compile(r"[?&]noise=0.05(&|$)"))
    with browser.new_context() as context:
        other = context.new_page()
        other.goto(page.url)
        expect_results(other, bits=6, noise=0.05)
        assert accuracies(other) == accuracies(page)
        assert numbers(other) == numbers(page)
        for name, words in ((BITS, "6"), (NOISE, "0.05")):
            expect(dial(other, name)).to_have_attribute("aria-valuetext", words)


def test_the_float_end_of_the_dial_compares_nothing(page: Page, app_server: str) -> None:
    page.goto(app_server)
    expect_results(page)
    press(page, BITS, "Home")
    expect_results(page, bits=32)
    expect(page.get_by_text("The dial is at float: there is nothing to compare it with.")).to_have_count(2)
    expect(page.get_by_role("figure")).to_have_count(len(FIGURES) - 1)


def test_the_confusion_view_can_be_switched(page: Page, app_server: str) -> None:
    page.goto(f"{app_server}/?bits=3")
    expect_results(page, bits=3)
    for side in views.compare(Settings(**{**DEFAULTS, "bits": 3})).shown:
        row, before = views.both(side)
        diagonal, reference = (
            [line[i] / sum(line) for i, line in enumerate(one["detail"]["confusion"])] for one in (row, before)
        )
        for view, expected in (
            ("Share of true class", diagonal),
            ("Change from float", [a - b for a, b in zip(diagonal, reference, strict=True)]),
        ):
            page.get_by_role("radio", name=view).click()
            close = f"""([key, wanted]) => {{ const cells = ({NUMBERS})(key)?.[0][1];
                return cells && wanted.every((share, i) => Math.abs(cells[i][i] - share) < 1e-9); }}"""
            page.wait_for_function(close, arg=[f"confusion-{side.model}", expected], timeout=LIMIT_MS)
            expect(page.get_by_role("radio", name=view)).to_be_checked()


def test_percentile_ranges_at_few_bits_warn_of_a_dead_lstm(page: Page, app_server: str) -> None:
    page.goto(f"{app_server}/?bits=3")
    expect_results(page, bits=3)
    choose(page, "Activation ranges", "percentile")
    expect_results(page, bits=3, ranges="percentile")
    expect(page).to_have_url(re.compile("ranges=percentile"))
    column = page.get_by_test_id("stColumn").filter(has=page.locator(".st-key-accuracy-discriminative"))
    expect(column.get_by_role("alert")).to_contain_text("The LSTM is dead")


def choose(page: Page, label: str, option: str) -> None:
    page.get_by_role("combobox", name=label).click()
    page.get_by_role("option", name=option, exact=True).click()


def test_a_typed_calibration_that_names_nothing_is_explained(page: Page, app_server: str) -> None:
    page.goto(app_server)
    expect_results(page)
    box = page.get_by_role("combobox", name="Calibration set")
    for typed, message in (
        ("nonsense", "scheme='nonsense': Input should be"),
        ("classes:nosuch", "class 'nosuch' is not known"),
    ):
        box.fill(typed)
        box.press("Enter")
        expect(page.get_by_role("alert")).to_contain_text(message)
        expect(page.get_by_role("figure")).to_have_count(0)


def test_an_address_out_of_range_says_so_and_shows_the_default(page: Page, app_server: str) -> None:
    page.goto(f"{app_server}/?bits=99")
    expect_results(page)
    expect(page.get_by_role("alert")).to_contain_text("bits=99 in the address is no choice of this page")
    expect(page).not_to_have_url(re.compile("bits="))


def test_the_guide_opens_from_the_navigation_with_every_formula(page: Page, app_server: str) -> None:
    page.goto(app_server)
    expect_results(page)
    page.get_by_text("Learn", exact=True).click()
    page.get_by_role("menuitem", name="What the numbers mean").click()
    for entry in ENTRIES:
        expect(page.get_by_role("heading", name=entry.name, exact=True)).to_be_visible()
    formulas = sum(bool(entry.formula) for entry in ENTRIES)
    expect(page.locator(".katex-display")).to_have_count(formulas)
    expect(page.locator(".katex-error")).to_have_count(0)
    page.get_by_role("link", name="Compare", exact=True).click()
    expect_results(page)


@pytest.mark.parametrize(("width", "scheme"), [(390, "dark"), (1440, "light")])
def test_nothing_is_cut_off_and_the_dials_stay_in_sight(page: Page, app_server: str, width: int, scheme: Any) -> None:
    page.set_viewport_size({"width": width, "height": 844})
    page.emulate_media(color_scheme=scheme)
    page.goto(app_server)
    expect_results(page)
    assert page.evaluate("document.scrollingElement.scrollWidth <= innerWidth")
    assert page.get_by_test_id("stMain").evaluate("main => main.scrollWidth <= main.clientWidth")
    page.get_by_test_id("stMain").evaluate("main => main.scrollTo(0, main.scrollHeight)")
    expect(page.get_by_text("How were these numbers made?")).to_be_in_viewport()
    for key in ("bits", "noise"):
        slider = page.locator(f".st-key-{key}")
        expect(slider).to_be_in_viewport(ratio=1)
        assert slider.evaluate(ON_TOP)
    assert page.locator(".st-key-dials").evaluate(SAME_BACKGROUND)


ON_TOP = """element => {
  const box = element.getBoundingClientRect();
  return element.contains(document.elementFromPoint(box.x + box.width / 2, box.y + box.height / 2));
}"""
SAME_BACKGROUND = """element => getComputedStyle(element).backgroundColor
  === getComputedStyle(document.querySelector("[data-testid=stApp]")).backgroundColor"""
