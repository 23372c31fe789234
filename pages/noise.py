"""Accuracy against input noise at several bit-widths, both models side by side; stored results only."""

import streamlit as st

from core.config import BIT_WIDTHS, FLOAT_BITS, MODEL_KINDS, NOISE_LEVELS
from core.display import charts, curve_charts, curve_words, curves
from core.display.curves import Cell, Condition, Measure, Shelf
from core.errors import InputError
from pages import parts, widgets

MEASURES: dict[str, Measure] = {"Accuracy": "accuracy", "Change from float without noise": "change"}


def fall(shelf: Shelf, condition: Condition, widths: list[int]) -> None:
    st.subheader("Which model bears more noise?")
    near = st.toggle("Zoom in on the lines", key="zoom", bind="query-params")
    lines = {model: curves.noise_lines(shelf, model, condition, widths, "accuracy") for model in MODEL_KINDS}
    drawn = [line for model in MODEL_KINDS for line in lines[model]]
    y_range = curve_charts.near_range(drawn) if near and drawn else charts.PERCENT_RANGE
    chance = None if near else curves.majority_share(shelf)
    text = curve_words.caption(shelf, [condition])
    for column, model in zip(st.columns(2), MODEL_KINDS, strict=True):
        with column:
            st.markdown(f"**{model.capitalize()}**")
            if lines[model]:
                figure = curve_charts.curve_figure(lines[model], "noise", "accuracy (%)", y_range, chance, text)
                parts.chart(figure, f"noise-{model}", curve_words.describe_noise(lines[model], model))
            else:
                st.caption("No result of this condition is stored.")
    st.caption(f"{curve_words.describe_bands(drawn, 'accuracy')} {text}.")
    widgets.warn_of_dead(shelf, [condition])


def heat(shelf: Shelf, condition: Condition) -> None:
    st.subheader("Do few bits and much noise add up?")
    view = st.segmented_control("Show", MEASURES, default="Accuracy", required=True, key="show", bind="query-params")
    measure = MEASURES[view]
    cells = {model: curves.heat_cells(shelf, model, condition, measure) for model in MODEL_KINDS}
    limit = curve_charts.largest(cells.values()) if measure == "change" else None
    levels = [curve_charts.noise_name(level) for level in shelf.levels()]
    for column, model in zip(st.columns(2), MODEL_KINDS, strict=True):
        with column:
            st.markdown(f"**{model.capitalize()}**")
            figure = curve_charts.heat_figure(cells[model], levels, limit, curve_words.caption(shelf, [condition]))
            parts.chart(figure, f"heat-{model}", curve_words.describe_heat(cells[model], shelf.levels(), measure))


def damage(shelf: Shelf) -> None:
    st.subheader("How damaged is the text?")
    st.dataframe(curve_words.noise_table(shelf), hide_index=True, key="rates")
    st.caption(
        "A drawn character may be the one that it replaces, so fewer change than the dial says. A damaged word is "
        "usually unknown. Texts longer than a model reads are cut."
    )


def figures(shelf: Shelf, condition: Condition, widths: list[int], cells: list[Cell]) -> None:
    if widths:
        fall(shelf, condition, widths)
    else:
        st.info("Choose at least one bit-width on the left.")
    heat(shelf, condition)
    damage(shelf)
    rows = curves.rows_of(shelf, cells)
    widgets.download(f"Download these {len(rows)} results", curve_words.write_csv(rows), "noise")


def show() -> None:
    asked = widgets.asked()
    with st.sidebar:
        st.subheader("What is compared")
        shelf = curves.read(widgets.corpus())
        widths = st.multiselect(
            "Bit-widths of the lines (32 is float)",
            [FLOAT_BITS, *BIT_WIDTHS],
            [FLOAT_BITS, 8, 4, 3],
            key="widths",
            bind="query-params",
        )
        condition = Condition(**widgets.settings(typed=True))
    widgets.say_refused(asked)
    levels = sorted({*NOISE_LEVELS, *shelf.levels()})
    cells = curves.grid([condition], levels)
    if shelf.rows:
        figures(shelf, condition, sorted(widths, reverse=True), cells)
    widgets.say_missing(shelf, curves.grid([condition], NOISE_LEVELS))


st.title("What does noise in the text do?")
try:
    show()
except InputError as error:
    st.error(str(error), icon=":material/error:")
