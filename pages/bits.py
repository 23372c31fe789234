"""Accuracy against bit-width and against size, for the models and conditions chosen; stored results only."""

import streamlit as st

from core.config import MODEL_KINDS
from core.display import breakdowns, charts, curve_charts, curve_words, curves
from core.display.curves import Cell, Condition, Measure, Shelf
from core.errors import InputError
from pages import parts, widgets

MEASURES: dict[str, Measure] = {"Accuracy": "accuracy", "Change from float": "change"}
CHANGE_RANGE = (-100.0, 10.0)


def drop(shelf: Shelf, chosen: list[Condition]) -> None:
    st.subheader("How much accuracy do fewer bits cost?")
    with st.container(horizontal=True, vertical_alignment="bottom"):
        view = st.segmented_control(
            "Show", MEASURES, default="Accuracy", required=True, key="show", bind="query-params"
        )
        near = st.toggle("Zoom in on the lines", key="zoom", bind="query-params")
    measure = MEASURES[view]
    lines = {model: curves.bit_lines(shelf, model, chosen, measure) for model in MODEL_KINDS}
    drawn = [line for model in MODEL_KINDS for line in lines[model]]
    whole = charts.PERCENT_RANGE if measure == "accuracy" else CHANGE_RANGE
    y_range = curve_charts.near_range(drawn) if near and drawn else whole
    unit = "accuracy (%)" if measure == "accuracy" else "change from float (points)"
    chance = curves.majority_share(shelf) if measure == "accuracy" and not near else None
    for column, model in zip(st.columns(2), MODEL_KINDS, strict=True):
        with column:
            st.markdown(f"**{model.capitalize()}**")
            if not lines[model]:
                st.caption("No quantized result of these conditions is stored.")
                continue
            figure = curve_charts.curve_figure(
                lines[model], "bits", unit, y_range, chance, curve_words.caption(shelf, chosen)
            )
            parts.chart(figure, f"bits-{model}", curve_words.describe_drop(shelf, model, chosen))
    st.caption(f"{curve_words.describe_bands(drawn, measure)} {curve_words.caption(shelf, chosen)}.")
    widgets.warn_of_dead(shelf, chosen)


def classes(shelf: Shelf, chosen: list[Condition]) -> None:
    st.subheader("Which class loses first?")
    with st.container(horizontal=True, vertical_alignment="bottom"):
        names = [condition.name for condition in chosen]
        name = st.selectbox("Condition", names, key="condition") if len(names) > 1 else names[0]
        score = st.segmented_control(
            "Score", breakdowns.SCORES, default="F1", required=True, key="score", bind="query-params"
        )
    condition = chosen[names.index(name)]
    if not (panels := breakdowns.class_panels(shelf, condition, breakdowns.SCORES[score])):
        st.caption("No result of this condition is stored.")
        return
    figure = curve_charts.classes_figure(panels, f"{score} (%)", curve_words.caption(shelf, [condition]))
    parts.chart(figure, "classes", breakdowns.describe_classes(panels, score))
    st.caption(
        f"{curve_words.caption(shelf, [condition])}; n is the class's test documents. A band spans several draws."
    )


def size(shelf: Shelf, chosen: list[Condition]) -> None:
    st.subheader("What does a megabyte buy?")
    points, unknown = breakdowns.sizes(shelf, chosen)
    if not points:
        st.caption("Of these conditions no stored result knows its size; results computed from now on do.")
        return
    figure = curve_charts.size_figure(points, curve_charts.near_points(points), curve_words.caption(shelf, chosen))
    parts.chart(figure, "sizes", breakdowns.describe_sizes(points))
    note = f"; {unknown} results were stored without their size and are left out" if unknown else ""
    how = "Integer levels packed to their bits, scales and biases in float; float as its weights are stored"
    st.caption(f"{how}{note}. The front is of the points, whatever their intervals.")


def show() -> None:
    asked = widgets.asked()
    with st.sidebar:
        st.subheader("What is compared")
        shelf = curves.read(widgets.corpus(), noise=0.0)
        chosen = widgets.conditions(shelf)
    widgets.say_refused(asked)
    if not chosen:
        st.info(widgets.NOTHING_CHOSEN)
        return
    cells = curves.grid(chosen, [0.0])
    if shelf.rows:
        figures(shelf, chosen, cells)
    widgets.say_missing(shelf, cells)


def figures(shelf: Shelf, chosen: list[Condition], cells: list[Cell]) -> None:
    drop(shelf, chosen)
    classes(shelf, chosen)
    size(shelf, chosen)
    rows = curves.rows_of(shelf, cells)
    widgets.download(
        f"Download these {len(rows)} results", curve_words.write_csv(rows, stored_bytes=curves.stored_bytes), "bits"
    )


st.title("How far can the bits go down?")
try:
    show()
except InputError as error:
    st.error(str(error), icon=":material/error:")
