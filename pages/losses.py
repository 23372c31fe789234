"""What each token costs the generative model under the conditions chosen; stored results only."""

import streamlit as st

from core.display import breakdowns, charts, curve_words, curves
from core.display.curves import Condition
from core.errors import InputError
from pages import parts, widgets

DENSITY_MAX = 0.35  # 1/nat
CHANGE_RANGE = (-5.0, 5.0)


def densities(chosen: list[breakdowns.Loss], text: str) -> None:
    st.subheader("What does each token cost?")
    found = breakdowns.loss_curves(chosen)
    figure = charts.kde_figure(found, y_max=DENSITY_MAX, caption=text)
    parts.chart(breakdowns.with_room(figure, len(found)), "losses", charts.describe_kde(found))
    st.subheader("How much more than in float?")
    if not (moved := breakdowns.loss_curves(chosen, "difference")):
        st.caption("Only float is chosen: there is nothing to compare it with.")
        return
    figure = charts.kde_figure(moved, CHANGE_RANGE, caption=text).update_xaxes(title="token loss minus float's (nats)")
    parts.chart(breakdowns.with_room(figure, len(moved)), "differences", breakdowns.describe_differences(moved))
    st.caption("Each token against the same token in float, on the same text with the same noise.")


def numbers(chosen: list[breakdowns.Loss]) -> None:
    st.subheader("The same in numbers")
    st.dataframe(breakdowns.loss_table(chosen), hide_index=True, key="loss-table")
    rows = [loss.row for loss in chosen]
    text = curve_words.write_csv(rows, **breakdowns.LOSS_COLUMNS)
    widgets.download(f"Download these {len(rows)} results", text, "losses")


def show() -> None:
    asked = widgets.asked()
    with st.sidebar:
        st.subheader("What is compared")
        shelf = curves.read(widgets.corpus(), model="generative")
        chosen = widgets.settings(("preset", "ranges", "head"))
    widgets.say_refused(asked)
    condition = Condition(**chosen, calibration=curves.SCHEMES[0])
    found = breakdowns.losses(shelf, condition)
    names = [loss.name for loss in found]
    if found:
        picked = st.multiselect("Conditions", names, breakdowns.usual(found), key="losses-of", bind="query-params")
        shown = [loss for loss in found if loss.name in picked]
        if shown:
            text = breakdowns.loss_caption(shelf, condition, shown)
            densities(shown, text)
            st.caption(text)
            numbers(shown)
        else:
            st.info("Choose at least one condition.")
    widgets.say_missing(shelf, breakdowns.loss_cells(condition))


st.title("What does each token cost the generative model?")
try:
    show()
except InputError as error:
    st.error(str(error), icon=":material/error:")
