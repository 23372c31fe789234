"""What pages are made of: charts with their sentences, what is missing, and everything to take along."""

import gc
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cache, partial
from typing import Any

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from core import pipeline
from core.config import EvaluationSpec
from core.display import charts, curve_words, downloads
from core.display.downloads import Table

Row = dict[str, Any]

PICTURES = ("PNG", "SVG")
DRAWN = "drawn"  # where a session keeps the figures of its page by their keys
OFFERED = "offered"  # and whether the page has offered them itself


def start() -> None:
    """Forget the figures of the page before; call it before a page runs."""
    st.session_state.update({DRAWN: {}, OFFERED: False})


@cache
def settle(page: str) -> None:
    """Leave what the first run of a page has loaded out of garbage collections.

    Streamlit collects after every run of any page, and walking all of torch takes longer than most runs.
    """
    gc.collect()
    gc.freeze()


def chart(figure: Any, key: str, sentence: str, **options: Any) -> None:
    """Draw a figure, to be taken along, and say below what it shows."""
    draw(figure, key, sentence, **options)
    st.caption(sentence)


def draw(figure: Any, key: str, sentence: str, **options: Any) -> None:
    """Draw a figure, to be taken along, with its words for those who cannot see it."""
    st.session_state.setdefault(DRAWN, {})[key] = figure
    kind = st.session_state.get("picture", PICTURES[0]).lower()
    button = {"filename": key, "format": kind, "scale": 2}
    st.plotly_chart(figure, key=key, alt=sentence, config={"toImageButtonOptions": button}, **options)


def metric(label: str, row: Row, change: str | None = None) -> None:
    interval = f"95 % interval {charts.percent(row['accuracy_low'])} to {charts.percent(row['accuracy_high'])}"
    st.metric(label, charts.percent(row["accuracy"]), change, delta_color="off", delta_arrow="off")
    st.caption(f"{interval}, n = {charts.count(row['n'])}")


def provenance(row: Row) -> None:
    st.json({"noise": row["detail"]["noise"], "versions": row["versions"], "spec": row["spec"]}, expanded=False)


def offer_training(corpus: str, models: Sequence[str]) -> None:
    kinds = " and no ".join(models)
    st.info(f"There is no {kinds} model of this corpus yet. Train it once, then reload this page:")
    st.code("\n".join(curve_words.training(corpus, models)), language="bash", wrap_lines=True)


def compute(specs: Iterable[EvaluationSpec], make: Callable[..., Any]) -> None:
    """Make each result before the reader's eyes, then show the page anew."""
    bar = st.progress(0.0, "starting")
    for spec in specs:
        make(spec, pipeline.Progress(stage=partial(_report, bar, spec.variant.run.model.kind)))
    st.rerun()


def offer_downloads(
    name: str,
    rows: Sequence[Row],
    tables: Callable[[], Mapping[str, Table]],
    report: Callable[[], str],
) -> None:
    """Buttons whose files are made when they are clicked."""
    st.subheader("Take it along")
    with st.container(horizontal=True, vertical_alignment="bottom"):
        st.download_button(
            "Report (HTML)",
            report,
            f"{name}.html",
            "text/html",
            key="report",
            on_click="ignore",
            icon=":material/description:",
            help="One file that needs nothing else: numbers, bars, confusion matrices, full configuration.",
        )
        bundle("Tables and charts (zip)", name, tables, rows)


def offer_charts(name: str) -> None:
    """The figures of a page that has not offered them itself."""
    if st.session_state[DRAWN] and not st.session_state[OFFERED]:
        st.subheader("Take the charts along")
        with st.container(horizontal=True, vertical_alignment="bottom"):
            bundle("Charts (zip)", f"bitdial-{name}", dict, ())


def bundle(label: str, name: str, tables: Callable[[], Mapping[str, Table]], rows: Sequence[Row]) -> None:
    """A button for one file with tables, charts and results, and how a chart's own button writes it."""
    figures = st.session_state.setdefault(DRAWN, {})
    st.session_state[OFFERED] = True
    st.download_button(
        label,
        lambda: downloads.bundle(tables(), figures, rows),
        f"{name}.zip",
        "application/zip",
        key="bundle",
        on_click="ignore",
        icon=":material/folder_zip:",
        help="Every table as CSV, every chart as Plotly JSON, the stored results in full.",
    )
    st.segmented_control(
        "Format of a chart's camera button", PICTURES, default=PICTURES[0], required=True, key="picture"
    )


def _report(bar: DeltaGenerator, model: str, name: str, done: float, total: float) -> None:
    bar.progress(min(done / total, 1.0), f"{model}: {name}")
