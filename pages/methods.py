"""Transformers under the compression methods of two reports: ours beside theirs; stored results only."""

import streamlit as st

from core.display import charts, downloads, method_charts, method_verdicts, methods, views
from core.display.methods import Comparison, Entry
from core.errors import InputError
from core.transformers.transformer_config import TRANSFORMER_KINDS
from pages import parts, widgets

MODES: tuple[charts.ConfusionMode, ...] = ("row-normalised", "counts", "difference")
RULES = """Each line is one thing that the report says of a method against its own float model.

- **Accuracy**: reproduced if the published change lies inside our 95 % paired bootstrap interval of the change on the
  same documents. With few documents the interval is wide: read it too. McNemar's test is exact.
- **Size**: reproduced if our compression is within 10 % of the published one. Sizes are those of the stored files.
- **Speed**: reproduced if ours is on the same side: faster than float (by more than 1.1), slower (by more than 1.1),
  or neither. Both times must come from one machine, timed while no more work waited than it has cores.
- **not measured yet**: a result is missing, or it came without its predictions."""
CHANGE_LIMIT = 0.1  # of the share of a true class
OF_REPORT = ("accuracy (%)", "macro F1 (%)", "size (MB)", "compression", "speed-up")
FORMATS = {
    "%.2f": (
        *("Accuracy (%)", "Low (%)", "High (%)", "Macro precision (%)", "Macro recall (%)", "Macro F1 (%)"),
        *("Flips (%)", "Compression", "Speed-up", "Precision (%)", "Recall (%)", "F1 (%)"),
        *(f"{side}: {name}" for name in OF_REPORT for side in ("Ours", "Published")),
        *(f"Published: {name}" for name in ("precision (%)", "recall (%)", "F1 (%)")),
    ),
    "%+.2f": ("Change (points)", "Change low", "Change high", "F1 change (points)"),
    "%.1f": ("Size (MB)", "Batch (ms)", "Document (ms)", "Total (s)", "Load"),
    "%.3f": ("McNemar p", "KL (nats)"),
}
NUMBERS = {name: st.column_config.NumberColumn(format=form) for form, names in FORMATS.items() for name in names}
COLUMNS = {"Method": st.column_config.TextColumn(pinned=True), **NUMBERS}


def choose() -> Comparison:
    kind = st.segmented_control(
        "Model", TRANSFORMER_KINDS, default=TRANSFORMER_KINDS[0], required=True, key="model", bind="query-params"
    )
    with st.sidebar:
        st.subheader("What is compared")
        corpus = st.selectbox("Corpus", methods.corpora_of(kind), key="corpus", bind="query-params")
        series = methods.read(kind, corpus)
        base = st.selectbox("Base and training", list(series) or [methods.NONE], key="base", bind="query-params")
        rows = series.get(base, [])
        levels = methods.noise_levels(rows)
        noise = st.selectbox("Noise", levels, key="noise", bind="query-params", help="Share of characters replaced.")
    return methods.compare(kind, corpus, base, rows, noise)


def say_refused(asked: dict[str, list[str]]) -> None:
    for name in ("model", "corpus", "base", "noise"):
        shown = str(st.session_state.get(name, ""))
        for text in asked.get(name, []):
            if text != shown:
                st.error(views.refusal(name, text, shown), icon=":material/error:")


def overview(found: Comparison) -> None:
    st.subheader("What does each method keep, and what does it save?")
    st.dataframe(methods.table(found), hide_index=True, column_config=COLUMNS, key="table")
    st.caption(f"{found.caption}. Changes, flips, McNemar's test and KL are against float on the same documents.")
    text = downloads.csv_text(methods.table(found))
    widgets.download("Download as CSV", text, f"methods-{found.kind}-{found.corpus}")
    for sentence in methods.refusals(found):
        st.warning(sentence, icon=":material/warning:")


def accuracies(found: Comparison) -> None:
    st.subheader("Which method loses accuracy?")
    dots = methods.dots(found)
    figure = method_charts.accuracy_figure(dots, found.caption)
    parts.chart(figure, "accuracy", method_charts.describe_accuracies(dots))
    if found.lstms:
        st.caption("The LSTMs are those of the Compare page at its default settings, on the same test documents.")


def scores(found: Comparison) -> None:
    st.subheader("Does any of precision and recall give way?")
    of_methods = methods.scores(found)
    figure = method_charts.scores_figure(of_methods, methods.documents(found), found.caption)
    parts.chart(figure, "scores", method_charts.describe_scores(of_methods))


def sizes(found: Comparison) -> None:
    st.subheader("Is smaller also faster?")
    st.caption("A latency belongs to its machine, so every machine has a chart of its own.")
    if busy := [entry.label for entry in found.shown if methods.is_busy(entry)]:
        words = "timed while more work waited than the machine has cores; their times say little"
        st.warning(f"{', '.join(busy)}: {words}.", icon=":material/warning:")
    for place, (machine, points) in enumerate(methods.places(found).items()):
        st.markdown(f"**Ours, on {widgets.plain(machine)}**")
        figure = method_charts.size_figure(points, methods.documents(found), f"{found.caption}, {machine}")
        parts.chart(figure, f"sizes-{place}", method_charts.describe_sizes(points))
    if found.report and (points := methods.published_places(found)):
        st.markdown("**Published, on a GPU that the report does not name**")
        figure = method_charts.size_figure(points, found.report.n, found.report.base)
        parts.chart(figure, "sizes-published", method_charts.describe_sizes(points))


def confusions(found: Comparison) -> None:
    st.subheader("Which classes are mistaken for which?")
    by_label = {entry.label: entry for entry in found.shown}
    with st.container(horizontal=True, vertical_alignment="bottom"):
        label = st.selectbox("Method", list(by_label), key="method", bind="query-params")
        mode = st.segmented_control(
            "View", MODES, default=MODES[0], required=True, key="confusion", bind="query-params"
        )
    matrix(found, by_label[label], mode)


def matrix(found: Comparison, entry: Entry, mode: charts.ConfusionMode) -> None:
    counts, names, reference = methods.confusion(found, entry)
    if mode == "difference" and reference is None:
        st.info("There is no float result to take the difference from.")
        return
    before, limit = (reference, CHANGE_LIMIT) if mode == "difference" else (None, None)
    figure = charts.confusion_figure(counts, names, mode, limit, before, f"{found.caption}, {entry.label}")
    parts.chart(figure, "matrix", charts.describe_confusion(counts, names, before))
    st.dataframe(methods.class_table(found, entry), hide_index=True, column_config=COLUMNS, key="classes")


def against_report(found: Comparison) -> None:
    if not found.report:
        return
    st.subheader("What does the report say, and what is measured here?")
    st.caption(f"{found.report.source}. Published base: {found.report.base}. Ours: {found.base}.")
    st.dataframe(method_verdicts.beside(found), hide_index=True, column_config=COLUMNS, key="beside")
    st.caption(f"Published speed-ups are ratios of the report's times of {found.report.time_of}.")
    if contradiction := method_verdicts.describe_contradiction(found):
        st.caption(contradiction)
    lines = method_verdicts.verdicts(found)
    st.dataframe(lines, hide_index=True, height="content", column_config=COLUMNS, key="verdicts")
    st.caption(f"Verdicts: {method_verdicts.describe_verdicts(lines)}")
    st.caption(method_verdicts.explain_speeds(found))
    with st.popover("How a verdict is reached"):
        st.markdown(RULES)


def say_missing(found: Comparison) -> None:
    if commands := methods.missing(found):
        st.subheader("What is missing?")
        st.info(
            f"{len(commands)} of the {len(found.entries)} methods are not in the store. To compute them, then reload:"
        )
        st.code("\n".join(commands), language="bash", wrap_lines=True)


def show() -> None:
    asked = widgets.asked()
    found = choose()
    say_refused(asked)
    if found.shown:
        overview(found)
        for part in (accuracies, against_report, sizes, scores, confusions):
            part(found)
    else:
        against_report(found)
    say_missing(found)


st.title("What does it cost to compress a transformer?")
try:
    show()
except InputError as error:
    st.error(str(error), icon=":material/error:")
