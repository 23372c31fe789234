"""Widgets that several pages share: what is looked at, what is missing, and a chart with its sentence."""

import re
from collections.abc import Sequence
from typing import Any

import streamlit as st

from core.display import curve_words, curves, views
from core.display.curves import CHOICES, SETTINGS, Cell, Condition, Shelf
from core.text import corpora

LABELS = {"preset": "Preset", "ranges": "Activation ranges", "head": "Output layer", "calibration": "Calibration set"}
HELP = {
    "preset": "uniform: every weight and activation at the bit-width shown. paper-code: the same, but the LSTM's own "
    "activations stay at 8 bits, as in the paper's published code.",
    "ranges": "fitted: chosen so that the LSTM's states stay close to float. percentile: the 99.99th percentile, "
    "as in the paper. minmax: the largest value seen.",
    "head": "gpfq: weights adjusted on calibration text. round: each weight to its nearest level.",
    "calibration": "conditional: every class in equal shares. unconditional: drawn at random.",
}
OPTIONS: dict[str, tuple[str, ...]] = CHOICES
DEFAULTS = {"preset": ["uniform"], "ranges": ["fitted", "percentile"], "head": ["gpfq"], "calibration": ["conditional"]}

PLURALS = {"preset": "presets", "ranges": "rules", "head": "heads", "calibration": "calibrations"}
NOTHING_CHOSEN = "Choose at least one value of each setting on the left."


def asked() -> dict[str, list[str]]:
    """What the address says, on the first run of a page; call it before the widgets, which drop what they refuse."""
    fresh = "corpus" not in st.session_state
    return {name: st.query_params.get_all(name) for name in st.query_params} if fresh else {}


def say_refused(asked: dict[str, list[str]]) -> None:
    for name in ("corpus", *SETTINGS, *PLURALS.values(), "widths"):
        used = st.session_state.get(name, [])
        shown = [str(value) for value in used] if isinstance(used, list) else [used]
        for text in asked.get(name, []):
            if shown and text not in shown:
                st.error(views.refusal(name, text, ", ".join(shown)), icon=":material/error:")


def corpus() -> str:
    names = list(dict.fromkeys([*views.known_corpora(), *corpora.REGISTERED]))
    return st.selectbox("Corpus", names, index=names.index(corpora.DEFAULT), key="corpus", bind="query-params")


def settings(names: Sequence[str] = SETTINGS, typed: bool = False) -> dict[str, str]:
    """One value of each setting; `typed` lets a calibration be written by hand."""
    chosen: dict[str, str] = {}
    for name in names:
        free = typed and name == "calibration"
        words = HELP[name] + (" Or type classes:a,b." if free else "")
        options: dict[str, Any] = {"key": name, "bind": "query-params", "help": words}
        chosen[name] = st.selectbox(LABELS[name], OPTIONS[name], accept_new_options=free, **options) or OPTIONS[name][0]
    return chosen


def conditions(shelf: Shelf) -> list[Condition]:
    """Every combination of the chosen values."""
    chosen = {}
    for name in SETTINGS:
        options = list(dict.fromkeys([*OPTIONS[name], *shelf.choices(name)]))
        chosen[name] = st.multiselect(
            LABELS[name], options, DEFAULTS[name], key=PLURALS[name], bind="query-params", help=HELP[name]
        )
    return curves.conditions(**chosen)


def warn_of_dead(shelf: Shelf, chosen: Sequence[Condition]) -> None:
    if sentence := curve_words.describe_dead(shelf, chosen):
        st.warning(sentence, icon=":material/warning:")


def download(label: str, text: str, name: str) -> None:
    st.download_button(label, text, f"{name}.csv", "text/csv", key=f"csv-{name}", icon=":material/download:")


def say_missing(shelf: Shelf, cells: Sequence[Cell]) -> None:
    """How to compute what the page asks for and the store lacks."""
    if not (absent := curves.missing(shelf, cells)):
        return
    lines = curve_words.commands(shelf.corpus, absent)
    st.subheader("What is missing?")
    st.info(f"{len(absent)} of the {len(cells)} results asked for are not in the store. To compute them, then reload:")
    st.code("\n".join(lines), language="bash", wrap_lines=True)


def plain(text: str) -> str:
    """A name of the user's as Markdown that shows it as it is."""
    return re.sub(r"([^\w\s])", r"\\\1", text)
