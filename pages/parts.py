"""What both views of the Compare page are made of: charts and tables to take along, and what is missing."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import Any

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from core import charts, curve_words, downloads, pipeline
from core.config import EvaluationSpec
from core.downloads import Table

Figures = dict[str, Any]
Row = dict[str, Any]

PICTURES = ("PNG", "SVG")


def chart(figures: Figures, figure: Any, key: str, sentence: str, **options: Any) -> None:
    """Draw a figure with its words, to be kept in `figures` under its key."""
    figures[key] = figure
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
    figures: Figures,
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
        st.download_button(
            "Tables and charts (zip)",
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
