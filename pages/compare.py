"""The landing page: two dials, the generative and the discriminative classifier side by side; or any A against B."""

from functools import partial

import streamlit as st

from core import pipeline
from core.config import BIT_WIDTHS, FLOAT_BITS, NOISE_LEVELS
from core.display import charts, downloads, report, views
from core.errors import InputError
from pages import pair, parts, widgets

CONFUSION_VIEWS: dict[str, charts.ConfusionMode] = {
    "Counts": "counts",
    "Share of true class": "row-normalised",
    "Change from float": "difference",
}
# The wrapper sticks, below Streamlit's header: inside it the dials would have no room to move. On a narrow screen
# the dials stay side by side, so that figures keep most of it.
STICKY = """<style>
[data-testid="stLayoutWrapper"]:has(> .st-key-dials) {position: sticky; top: 3.75rem; z-index: 99;}
.st-key-dials {padding: 0.5rem 0; background: light-dark(LIGHT, DARK); border-bottom: 1px solid #8884;}
.st-key-dials [data-testid="stHorizontalBlock"] {flex-wrap: nowrap; gap: clamp(1.5rem, 5vw, 4rem);}
.st-key-dials [data-testid="stColumn"] {min-width: 0;}
</style>"""


def choose_corpus() -> str:
    st.subheader("What is compared")
    return widgets.corpus()


def dials() -> views.Settings:
    asked = {} if "bits" in st.session_state else st.query_params.to_dict()
    light, dark = (st.get_option(f"theme.{name}.backgroundColor") for name in ("light", "dark"))
    st.html(STICKY.replace("LIGHT", light).replace("DARK", dark))
    with st.sidebar:
        corpus = choose_corpus()
        chosen = widgets.settings(typed=True)
    with st.container(key="dials"):
        left, right = st.columns(2, vertical_alignment="bottom")
        bits = left.select_slider(
            "Bit-width (32 is float)", [FLOAT_BITS, *BIT_WIDTHS], value=4, key="bits", bind="query-params"
        )
        noise = right.select_slider(
            "Input noise: share of characters replaced", NOISE_LEVELS, key="noise", bind="query-params"
        )
    settings = views.Settings(corpus, bits, noise, **chosen)
    for sentence in views.refused(asked, settings):
        st.error(sentence, icon=":material/error:")
    return settings


def offer_to_compute(comparison: views.Comparison) -> None:
    if untrained := [side.model for side in comparison.sides if not side.trained]:
        parts.offer_training(comparison.settings.corpus, untrained)
    if not (missing := comparison.computable):
        return
    st.info(f"{len(missing)} of these results are not in the store. Each takes 10 to 60 seconds here.")
    if st.button("Compute them", type="primary", key="compute"):
        parts.compute(missing, pipeline.evaluate)


def metric(side: views.Side) -> None:
    row, _ = views.both(side)
    with st.container(key=f"accuracy-{side.model}"):
        change = f"{charts.points(views.change_points(side))} from float"
        parts.metric(f"{side.model.capitalize()} accuracy", row, change)
    st.button(
        "Pin as A",
        key=f"pin-{side.model}",
        on_click=pair.pin,
        args=(side.model,),
        type="tertiary",
        icon=":material/keep:",
        help="Keep this configuration as A, and compare any other with it.",
    )
    if row["detail"]["dead_lstm"]:
        st.warning(
            "The LSTM is dead: its output is the same whatever it reads, so the answer comes from the output layer "
            "alone. Try fitted ranges or more bits.",
            icon=":material/warning:",
        )


def accuracy(shown: tuple[views.Side, ...]) -> None:
    st.subheader("How much accuracy is lost?")
    for column, side in zip(st.columns(len(shown)), shown, strict=True):
        with column:
            metric(side)
    rows, chance = views.accuracy_rows(shown), views.both(shown[0])[0]["detail"]["majority_share"]
    sentence = charts.describe_accuracy(rows, chance)
    figure = charts.accuracy_figure(rows, chance, views.shared_caption(views.both(shown[0])[0]))
    parts.chart(figure, "accuracy", sentence)


def confusions(shown: tuple[views.Side, ...]) -> None:
    st.subheader("Which class breaks first?")
    view = st.segmented_control("View", CONFUSION_VIEWS, default="Counts", required=True, key="confusion")
    mode = CONFUSION_VIEWS[view]
    for column, side in zip(st.columns(len(shown)), shown, strict=True):
        row, before = views.both(side)
        names, now = row["detail"]["class_names"], row["detail"]["confusion"]
        reference = before["detail"]["confusion"] if mode == "difference" else None
        sentence = charts.describe_confusion(now, names, before["detail"]["confusion"])
        with column:
            st.markdown(f"**{side.model.capitalize()}**")
            figure = charts.confusion_figure(now, names, mode, reference=reference, caption=views.caption(row))
            parts.chart(figure, f"confusion-{side.model}", sentence)


def predictions(shown: tuple[views.Side, ...]) -> None:
    st.subheader("Do the predictions still spread over the classes?")
    for column, side in zip(st.columns(len(shown)), shown, strict=True):
        row, before = views.both(side)
        truth = [sum(line) for line in row["detail"]["confusion"]]
        counts = (before["detail"]["predicted"], row["detail"]["predicted"], truth)
        sentence = charts.describe_histogram(*counts, row["detail"]["class_names"])
        with column:
            figure = charts.histogram_figure(
                *counts, row["detail"]["class_names"], charts.MODEL_COLOURS[side.model], caption=views.caption(row)
            )
            parts.chart(figure, f"histogram-{side.model}", sentence)


def distances(shown: tuple[views.Side, ...]) -> None:
    st.subheader("How far did the values move?")
    for column, side in zip(st.columns(len(shown)), shown, strict=True):
        with column:
            st.markdown(f"**{side.model.capitalize()}**")
            if rows := views.ks_rows(side):
                st.dataframe(charts.ks_table(rows), hide_index=True, key=f"ks-{side.model}")
            else:
                st.caption("The dial is at float: there is nothing to compare it with.")
    st.caption(
        "Kolmogorov-Smirnov D against float: the largest gap between the two distributions, 0 (the same) to 1. "
        "Where n is large, p is near 0 for the smallest difference: read D."
    )


def losses(shown: tuple[views.Side, ...]) -> None:
    side = next((side for side in shown if side.model == "generative"), None)
    if side is None or not (curves := views.loss_curves(side)):
        return
    st.subheader("What does each token cost the generative model?")
    text = views.caption(views.both(side)[0])
    left, right = st.columns(2)
    with left:
        sentence = charts.describe_kde(curves)
        parts.chart(charts.kde_figure(curves, y_max=0.35, caption=text), "losses", sentence)
    with right:
        if difference := views.difference_curves(side):
            sentence = charts.describe_kde(difference)
            figure = charts.kde_figure(difference, x_range=(-5.0, 5.0), caption=text)
            figure.update_layout(showlegend=False).update_xaxes(title="token loss minus float's (nats)")
            parts.chart(figure, "differences", sentence)


def provenance(shown: tuple[views.Side, ...]) -> None:
    st.subheader("How were these numbers made?")
    if not st.toggle("Show configuration, seeds, calibration and versions", key="provenance"):
        return
    for column, side in zip(st.columns(len(shown)), shown, strict=True):
        row, _ = views.both(side)
        with column:
            st.markdown(views.caption(row))
            if composition := row["detail"]["calibration"].get("composition"):
                note = row["detail"]["calibration"]["note"]
                st.markdown("Calibration documents: " + ", ".join(f"{k} {v:,}" for k, v in composition.items()))
                st.caption(note)
                st.dataframe(views.site_table(row), hide_index=True)
            parts.provenance(row)


def show(comparison: views.Comparison) -> None:
    if comparison.missing:
        offer_to_compute(comparison)
    shown = comparison.shown
    if not shown:
        st.stop()
    for section in (accuracy, confusions, predictions):
        section(shown)
    distances(shown)
    losses(shown)
    parts.offer_downloads(
        "bitdial-comparison",
        downloads.comparison_rows(shown),
        partial(downloads.comparison_tables, shown),
        partial(report.comparison_report, shown),
    )
    provenance(shown)


st.title("What do fewer bits do to a text classifier?")
mode = st.segmented_control(
    "What is compared",
    pair.MODES,
    default=pair.MODES[0],
    required=True,
    key="compare",
    bind="query-params",
    label_visibility="collapsed",
)
try:
    if mode == pair.MODES[1]:
        with st.sidebar:
            chosen = choose_corpus()
        pair.show(chosen)
    else:
        settings = dials()
        pair.follow_dials()
        show(views.compare(settings))
except InputError as error:
    st.error(str(error), icon=":material/error:")
