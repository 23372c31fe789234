"""The app in headless Chromium beside the floor, bare pages of the same figures: python -m benchmarks.app --json

Both are served at once, on the shipped results, and asked in turn. A dial move is timed from its key press, a load
from its navigation, to the last change of any Plotly figure. The first answer is timed from `streamlit run`. Times are
of the page's own clock, in milliseconds; a ratio is ours by the floor's.
"""

import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from statistics import quantiles
from typing import Any

from playwright.sync_api import Browser, Page, sync_playwright

from benchmarks import timing
from tests.browser import FLAGS, MISSING, ROOT, find_chromium, serve

MOVES, TEXTS, LOADS, STARTS = 50, 20, 10, 5
SIDES = ("ours", "floor")
FLOOR = Path(__file__).with_name("bare_page.py")
DIAL, FIELD = "Bit-width (32 is float)", "Your text"
FIGURES = {"compare": 7, "typed": 2}
QUIET_MS = 400  # a page is done when its script is, and no figure has changed for so long
LIMIT_MS = 120_000
WATCH = """() => {
  const inPlot = record => record.target.closest?.(".js-plotly-plot");
  window.changed = 0;
  window.pressed = 0;
  document.addEventListener("keydown", () => { window.pressed = performance.now(); }, true);
  new MutationObserver(records => { if (records.some(inPlot)) window.changed = performance.now(); })
    .observe(document, {subtree: true, childList: true, attributes: true, characterData: true});
}"""
SETTLED = """([figures, quiet]) => {
  const state = document.querySelector("[data-testid=stApp]")?.dataset.testScriptState;
  const drawn = document.querySelectorAll(".js-plotly-plot .main-svg:first-child").length;
  return state === "notRunning" && drawn >= figures && window.changed > window.pressed
    && performance.now() - window.changed > quiet;
}"""
TEXT = "oil prices rose on friday after the ministers agreed to cut production in quarter "


@dataclass(frozen=True)
class Side:
    """A page that is being asked: ours or the floor's, and how many figures it has to draw."""

    page: Page
    figures: int

    def settle(self) -> float:
        """Wait until every figure is drawn; return the milliseconds since the last key press or the navigation."""
        self.page.wait_for_function(SETTLED, arg=[self.figures, QUIET_MS], timeout=LIMIT_MS)
        return float(self.page.evaluate("() => window.changed - window.pressed"))

    def load(self, address: str) -> float:
        self.page.goto(address)
        return self.settle()

    def press(self, key: str) -> float:
        self.page.keyboard.press(key)
        return self.settle()


def percentile(values: Sequence[float], share: int) -> float:
    """Return the value that `share` percent of the values do not exceed, between neighbours."""
    return quantiles(values, n=100, method="inclusive")[share - 1]


def summary(taken: Mapping[str, Sequence[float]]) -> dict[str, float]:
    """Return n, the median and 95th percentile of each side, and ours by the floor's."""
    found: dict[str, float] = {"n": len(taken["ours"])}
    for share in (50, 95):
        ours, floor = (percentile(taken[side], share) for side in SIDES)
        found |= {f"ours_p{share}_ms": ours, f"floor_p{share}_ms": floor, f"ratio_p{share}": ours / floor}
    return found


def in_turn(runs: Mapping[str, Callable[[int], float]], repeats: int) -> dict[str, float]:
    """Time both sides in turn, after one unmeasured run of each."""
    rounds = [{side: run(number) for side, run in runs.items()} for number in range(repeats + 1)]
    return summary({side: [taken[side] for taken in rounds[1:]] for side in runs})


@contextmanager
def visitor(browser: Browser, figures: int) -> Iterator[Side]:
    """A new browser with nothing cached."""
    context = browser.new_context(viewport={"width": 1440, "height": 900})
    context.add_init_script(f"({WATCH})()")
    yield Side(context.new_page(), figures)
    context.close()


def dial_moves(browser: Browser, addresses: Mapping[str, str]) -> dict[str, float]:
    """Turn the bits dial to and fro between 4 and 5 bits."""

    def move(visit: Side, number: int) -> float:
        return visit.press("ArrowRight" if number % 2 else "ArrowLeft")

    with ExitStack() as stack:
        sides = {side: stack.enter_context(visitor(browser, FIGURES["compare"])) for side in SIDES}
        for side, visit in sides.items():
            visit.load(addresses[side])
            visit.page.get_by_role("slider", name=DIAL).focus()
        return in_turn({side: partial(move, visit) for side, visit in sides.items()}, MOVES)


def typed_texts(browser: Browser, addresses: Mapping[str, str]) -> dict[str, float]:
    """Type a text and wait for what both models say of it at all seven widths."""

    def answer(visit: Side, number: int) -> float:
        field = visit.page.get_by_role("textbox", name=FIELD)
        field.fill(TEXT + "and then " * number)
        return visit.press("Control+Enter")

    with ExitStack() as stack:
        sides = {side: stack.enter_context(visitor(browser, FIGURES["typed"])) for side in SIDES}
        for side, visit in sides.items():
            visit.load(addresses[side])
        return in_turn({side: partial(answer, visit) for side, visit in sides.items()}, TEXTS)


def first_loads(browser: Browser, addresses: Mapping[str, str]) -> dict[str, float]:
    """Open each side in a browser that has never seen it, on a server that has run it before."""

    def load(address: str, _: int) -> float:
        with visitor(browser, FIGURES["compare"]) as visit:
            return visit.load(address)

    return in_turn({side: partial(load, addresses[side]) for side in SIDES}, LOADS)


def starts(browser: Browser, scripts: Mapping[str, Path], log: Path) -> dict[str, float]:
    """From `streamlit run` to the first figures, in a browser that waits for the server."""

    def start(script: Path, _: int) -> float:
        begun = time.perf_counter()
        with serve(script, log) as address, visitor(browser, FIGURES["compare"]) as visit:
            visit.page.goto(address)
            before = time.perf_counter() - visit.page.evaluate("() => performance.now()") / 1000
            return 1000 * (before - begun) + visit.settle()

    return in_turn({side: partial(start, script) for side, script in scripts.items()}, STARTS)


def measure() -> dict[str, Any]:
    """Return the machine and one summary for each thing that a visitor waits for."""
    scripts = {"ours": ROOT / "app.py", "floor": FLOOR}
    path = find_chromium()
    if path is None:
        raise SystemExit(MISSING)
    with ExitStack() as stack:
        log = Path(stack.enter_context(tempfile.TemporaryDirectory())) / "log"
        browser = stack.enter_context(sync_playwright()).chromium.launch(executable_path=path, args=FLAGS)
        found: dict[str, Any] = {"machine": timing.machine(), "browser": browser.version}
        found["start"] = starts(browser, scripts, log)
        ours, floor, typed = (
            stack.enter_context(serve(script, log.with_name(name), FIGURES=name))
            for name, script in (("ours", scripts["ours"]), ("floor", scripts["floor"]), ("typed", scripts["floor"]))
        )
        found["first_load"] = first_loads(browser, {"ours": ours, "floor": floor})
        found["dial_move"] = dial_moves(browser, {"ours": ours, "floor": floor})
        found["typed_text"] = typed_texts(browser, {"ours": f"{ours}/try-it", "floor": typed})
    return found


def table(found: Mapping[str, object]) -> str:
    """Return a Markdown row for each measure: milliseconds as ours / floor, and their ratio, at P50 and P95."""
    rows = []
    for name, taken in found.items():
        if isinstance(taken, dict):
            cells = [
                f"{taken[f'ours_p{p}_ms']:,.0f} / {taken[f'floor_p{p}_ms']:,.0f} | {taken[f'ratio_p{p}']:.2f}"
                for p in (50, 95)
            ]
            rows.append(f"| {name} | {taken['n']} | {' | '.join(cells)} |")
    return "\n".join(rows)


if __name__ == "__main__":
    timing.report(__doc__, measure, table)
