"""The floor of the app's speed: a Streamlit page with the same dials and kinds of figures as ours, from constants.

`streamlit run benchmarks/bare_page.py`; with FIGURES=typed in the environment it is the floor of the Try it page.
"""

import os

import plotly.graph_objects as go
import streamlit as st

BITS, NOISE = (32, 8, 7, 6, 5, 4, 3), (0.0, 0.02, 0.05, 0.1)
CLASSES = [f"class {number}" for number in range(8)]
WIDTHS = [f"{bits} bits" for bits in BITS]


def dots(value: int) -> go.Figure:
    figure = go.Figure()
    for row in range(4):
        bars = {"array": [1.0], "arrayminus": [1.5]}
        figure.add_scatter(x=[90 + value / 8 + row], y=[row], mode="markers", error_x=bars, name=f"row {row}")
    return figure


def cells(value: int) -> go.Figure:
    z = [[(row * column + value) % 50 for column in range(8)] for row in range(8)]
    return go.Figure(go.Heatmap(x=CLASSES, y=CLASSES, z=z, texttemplate="%{z}"))


def bars(value: int) -> go.Figure:
    figure = go.Figure()
    for name in ("float", "quantized"):
        figure.add_bar(x=CLASSES, y=[value + place for place in range(8)], name=name)
    return figure.add_scatter(x=CLASSES, y=list(range(8)), mode="markers", name="true")


def lines(value: int) -> go.Figure:
    figure = go.Figure()
    for scale in (1, 2):
        y = [scale * value * place * (255 - place) for place in range(256)]
        figure.add_scatter(x=list(range(256)), y=y, mode="lines", name=f"line {scale}")
    return figure


def answers(value: int) -> go.Figure:
    figure = go.Figure()
    for row in range(2):
        z = [[(value + place) % 7 for place in range(7)]]
        figure.add_heatmap(
            x=WIDTHS, y=[f"model {row}"], z=z, text=[WIDTHS], texttemplate="%{text}", coloraxis="coloraxis"
        )
    return figure


def draw(name: str, figure: go.Figure) -> None:
    st.plotly_chart(figure.update_layout(height=420), key=name)


def pair(kind: str, value: int) -> None:
    for place, column in enumerate(st.columns(2)):
        with column:
            draw(f"{kind}-{place}", KINDS[kind](value))


KINDS = {"cells": cells, "bars": bars, "lines": lines}

st.set_page_config(layout="wide")
if os.environ.get("FIGURES") == "typed":
    length = len(st.text_area("Your text", "a text", key="text"))
    draw("answers", answers(length))
    draw("bars", bars(length))
else:
    left, right = st.columns(2)
    bits = left.select_slider("Bit-width (32 is float)", BITS, value=4, key="bits", bind="query-params")
    right.select_slider("Input noise: share of characters replaced", NOISE, key="noise", bind="query-params")
    draw("dots", dots(bits))
    for kind in KINDS:
        pair(kind, bits)
