"""The guide explains every quantity that the Compare page shows, in words and formulas that render."""

import json
import re
from pathlib import Path

import compared
import pytest
from browser import ROOT
from compared import open_app
from streamlit.testing.v1 import AppTest

from core.teaching.guide import ENTRIES, Entry

ANCHORS = {entry.anchor: entry for entry in ENTRIES}
# A quantity in the Compare page's own words; the entry that explains it; in which words.
SHOWN = (
    ("Generative accuracy", "generative", "which class the text is least surprising"),
    ("Discriminative accuracy", "discriminative", "one score for each class"),
    ("accuracy (%)", "accuracy", "share of test documents with the right answer"),
    ("95 % interval", "accuracy", "95 % interval"),
    ("points from float", "accuracy", "change from float is in percentage points"),
    ("majority class", "chance", "always answering the most frequent class"),
    ("Bit-width", "bits", "2 to the power b values"),
    ("Input noise", "noise", "replaced, with the dial's probability"),
    ("Preset", "presets", "**paper-code**"),
    ("Calibration set", "calibration", "**unconditional**"),
    ("Activation ranges", "ranges", "**fitted**"),
    ("Output layer", "gpfq", "**round**"),
    ("true class", "confusion", "row is a true class"),
    ("predicted class", "confusion", "column an answer"),
    ("Change from float", "confusion", "**Change from float**"),
    ("never predicted", "histogram", "often each class is the answer"),
    ("uniform", "histogram", "uniform spread"),
    ("Kolmogorov-Smirnov D", "ks", "vertical gap between two cumulative distributions"),
    ("p < ", "ks", "p is the probability"),
    ("Median token loss", "token-loss", "in nats"),
    ("density (1/nat)", "kde", "smoothed histogram"),
    ("token loss minus float's", "kde", "loss minus float's"),
    ("The LSTM is dead", "dead", "practically zero"),
    ("weights seed", "provenance", "seeds"),
    ("Levels", "provenance", "levels"),
    ("Scale", "provenance", "scale"),
    ("Range", "provenance", "range that they cover"),
    ("Largest seen", "provenance", "largest value seen"),
    ("character_rate", "provenance", "character_rate of characters replaced"),
    ("oov_rate", "provenance", "oov_rate of words"),
    ("truncation_rate", "provenance", "truncation_rate of documents"),
    ("mean_length", "provenance", "mean_length in words"),
    ("versions", "provenance", "versions of the libraries"),
)


# A quantity of another page or of the A/B view: the file that shows it, its words there; the entry; in which words.
ELSEWHERE = (
    ("core/display/pairs.py", "McNemar", "mcnemar", "answered the same documents"),
    ("core/measurement/results.py", "paired_bootstrap", "bootstrap", "with replacement"),
    ("core/measurement/results.py", "flips", "flips", "right to wrong"),
    ("core/measurement/results.py", "kl_divergence", "kl", "in nats"),
    ("core/display/charts.py", "wilson_interval", "wilson", "interval drawn around"),
    ("pages/paper.py", "Holm", "holm", "smallest of m p-values"),
    ("core/display/curve_charts.py", "Pareto front", "pareto", "both size and accuracy"),
    (
        "core/teaching/lesson_results.py",
        "Surprise of each word",
        "surprisal",
        "how little the generative model expected it",
    ),
    ("pages/try_it.py", "Margin to the runner-up", "margin", "in nats"),
    ("core/teaching/lesson.py", "the addition always rounds to nothing", "dead-signal", "rounds to nothing"),
    ("core/config.py", "gpfq-stock", "gpfq-stock", "**gpfq-stock**"),
    ("core/config.py", "fitted", "fitted", "**fitted**"),
)


def text_of(app: AppTest) -> str:
    """Every word of the page, those of its figures and tables too."""
    parts = [str(getattr(element, "proto", "")) for block in (app.main, app.sidebar) for element in block]
    figures = [json.dumps(json.loads(chart.proto.spec)) for chart in app.get("plotly_chart")]
    tables = [table.value.to_string() for table in app.dataframe]
    return "\n".join([*parts, *figures, *tables])


@pytest.fixture
def full_page(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> AppTest:
    """The Compare page with all it can show: details open, and a dead LSTM."""
    place = compared.use_copy(tmp_path_factory, monkeypatch, tmp_path)
    compared.kill_lstm("discriminative", 4)
    app = open_app(place)
    return app.toggle(key="provenance").set_value(True).run()


def test_every_quantity_of_the_compare_page_is_explained(full_page: AppTest) -> None:
    text = text_of(full_page)
    assert [shown for shown, _, _ in SHOWN if shown not in text] == []
    assert [shown for shown, anchor, words in SHOWN if words not in ANCHORS[anchor].words] == []


def test_every_quantity_of_the_other_pages_is_explained() -> None:
    sources = {file: (ROOT / file).read_text() for file, _, _, _ in ELSEWHERE}
    assert [shown for file, shown, _, _ in ELSEWHERE if shown not in sources[file]] == []
    assert [shown for _, shown, anchor, words in ELSEWHERE if words not in ANCHORS[anchor].words] == []


def test_every_entry_is_about_something_that_is_shown() -> None:
    assert {anchor for *_, anchor, _ in [*SHOWN, *ELSEWHERE]} == set(ANCHORS)


def test_the_page_shows_every_entry_in_order_with_its_formula(full_page: AppTest) -> None:
    page = full_page.switch_page("pages/guide.py").run()
    assert [*page.exception] == []
    headings = [(heading.value, heading.proto.anchor) for heading in page.subheader]
    assert headings == [(entry.name, entry.anchor) for entry in ENTRIES]
    shown = {element.value for element in [*page.markdown, *page.caption]}
    assert {text for entry in ENTRIES for text in (entry.words, entry.source) if text} <= shown
    formulas = [formula.value.strip().strip("$").strip() for formula in page.latex]
    assert formulas == [entry.formula for entry in ENTRIES if entry.formula]


# The entries


def test_anchors_are_unique_and_fit_an_address() -> None:
    assert len(ANCHORS) == len(ENTRIES)
    assert [anchor for anchor in ANCHORS if not re.fullmatch(r"[a-z]+(-[a-z]+)*", anchor)] == []


@pytest.mark.parametrize("entry", ENTRIES, ids=lambda entry: entry.anchor)
def test_an_entry_has_a_name_and_whole_sentences(entry: Entry) -> None:
    assert entry.name == entry.name.strip() != ""
    assert len(entry.words.split()) >= 15
    assert re.fullmatch(r"[A-Z*].*\.", entry.words)
    assert "  " not in entry.words
    assert entry.words.count("**") % 2 == 0


OPENS = {"}": "{", ")": "(", r"\right": r"\left", r"\rvert": r"\lvert", r"\rVert": r"\lVert"}
TOKEN = r"(\\left|\\right)(?:\\[A-Za-z]+|[()\[\].|])|(\\[A-Za-z]+|\\.|[{}()])"


def bracket_faults(formula: str) -> list[str]:
    """What is opened and not closed, or the first that closes what is not open."""
    opened: list[str] = []
    for token in ("".join(groups) for groups in re.findall(TOKEN, formula)):
        if token in OPENS.values():
            opened.append(token)
        elif token in OPENS and (not opened or opened.pop() != OPENS[token]):
            return [token]
    return opened


@pytest.mark.parametrize("entry", [e for e in ENTRIES if e.formula], ids=lambda entry: entry.anchor)
def test_formulas_are_balanced(entry: Entry) -> None:
    assert bracket_faults(entry.formula) == []


@pytest.mark.parametrize(
    ("formula", "found"),
    [
        (r"\frac{1}{H} (x) \le \{", []),
        (r"\left(\left\lfloor a \right\rceil, b\right)", []),
        (r"\frac{1}{H", ["{"]),
        ("(a}", ["}"]),
        (r"\left( a )", [")"]),
        (r"\left( a", [r"\left"]),
        (r"\lvert a", [r"\lvert"]),
        ("a)", [")"]),
    ],
)
def test_the_bracket_check_sees_what_is_open(formula: str, found: list[str]) -> None:
    assert bracket_faults(formula) == found
