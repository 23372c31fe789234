"""Which classes calibrate, and what that decides: stored draws, recall of classes left out, and a set of one's own."""

import streamlit as st

from core import pipeline
from core.config import BIT_WIDTHS, MODEL_KINDS
from core.display import charts, composer, coverage, curve_charts, curve_words, curves, pairs, views
from core.display.composer import Composition
from core.display.curves import SCHEMES, Condition, Shelf
from core.display.pairs import Pair
from core.display.views import Settings
from core.errors import InputError
from pages import parts, widgets

# The settings of the study's own subsets of classes (figure 11).
PAPER = {"preset": "paper-code", "ranges": "percentile", "head": "gpfq"}
SHARE = "share-"
SLIDER_COLUMNS = 4


def settings() -> dict[str, str]:
    chosen = {}
    for name, paper in PAPER.items():
        options = widgets.OPTIONS[name]
        place = options.index(paper)
        chosen[name] = st.selectbox(
            widgets.LABELS[name], options, place, key=name, bind="query-params", help=widgets.HELP[name]
        )
    return chosen


def schemes(shelf: Shelf, condition: Condition, text: str) -> None:
    st.subheader("Does the calibration set matter?")
    near = st.toggle("Zoom in on the lines", True, key="zoom", bind="query-params")
    lines = {model: coverage.scheme_lines(shelf, model, condition) for model in MODEL_KINDS}
    drawn = [line for model in MODEL_KINDS for line in lines[model]]
    y_range = curve_charts.near_range(drawn) if near and drawn else charts.PERCENT_RANGE
    chance = None if near else curves.majority_share(shelf)
    for column, model in zip(st.columns(2), MODEL_KINDS, strict=True):
        with column:
            st.markdown(f"**{model.capitalize()}**")
            if lines[model]:
                figure = curve_charts.curve_figure(lines[model], "bits", "accuracy (%)", y_range, chance, text)
                parts.chart(figure, f"schemes-{model}", coverage.describe_schemes(lines[model], model))
            else:
                st.caption("No quantized result of these settings is stored.")
    st.caption(f"{curve_words.describe_bands(drawn, 'accuracy')} {text}.")
    widgets.warn_of_dead(shelf, coverage.conditions(shelf, condition))


def recalls(shelf: Shelf, condition: Condition, text: str) -> None:
    st.subheader("What happens to a class that is left out?")
    if not (sizes := coverage.subset_sizes(shelf, condition)):
        st.caption("No result of these settings is stored whose calibration text leaves a class out.")
        return
    held = st.segmented_control(
        "Classes that calibrate", sizes, default=next(iter(sizes)), required=True, key="held", bind="query-params"
    )
    found = {model: coverage.recalls(shelf, model, condition, sizes[held]) for model in MODEL_KINDS}
    limit, names = coverage.recall_limit(list(found.values())), coverage.class_names(shelf)
    for column, model in zip(st.columns(2), MODEL_KINDS, strict=True):
        with column:
            st.markdown(f"**{model.capitalize()}**")
            if found[model]:
                figure = coverage.recall_figure(found[model], names, limit, text)
                parts.chart(figure, f"recall-{model}", coverage.describe_recalls(found[model], names, model))
            else:
                st.caption("No result of class subsets is stored.")
    st.caption(f"Change in recall from float, the mean over draws; n is the class's test documents. {text}.")


def stored(shelf: Shelf, condition: Condition) -> None:
    text = coverage.caption(shelf, condition)
    schemes(shelf, condition, text)
    recalls(shelf, condition, text)
    rows = coverage.rows(shelf, condition)
    widgets.download(f"Download these {len(rows)} results", coverage.write_csv(shelf, rows), "calibration")


@st.fragment
def compose(corpus: str, recipe: dict[str, str]) -> None:
    st.subheader("Which classes would you calibrate on?")
    try:
        composition = mix(corpus)
        dials = st.container(horizontal=True, vertical_alignment="bottom")
        models = dials.pills(
            "Models", MODEL_KINDS, selection_mode="multi", default=MODEL_KINDS, key="models", bind="query-params"
        )
        bits = dials.select_slider("Bit-width", BIT_WIDTHS, value=3, key="bits", bind="query-params", width=420)
        chosen = Settings(corpus, bits, 0.0, calibration=composition.calibration, **recipe)
        if composition.balanced:
            st.info("These are equal shares: the balanced set itself. Move a slider to compare another set with it.")
        elif not models:
            st.info("Choose at least one model.")
        else:
            compare([composer.look_up(composition, model, chosen) for model in models])
    except InputError as error:
        st.error(str(error), icon=":material/error:")


def mix(corpus: str) -> Composition:
    """The sliders, and what they ask of the corpus."""
    names = composer.class_names(corpus)
    fresh = [name for name in names if SHARE + name not in st.session_state]
    asked = {name: st.query_params[SHARE + name] for name in fresh if SHARE + name in st.query_params}
    shares = {}
    for start in range(0, len(names), SLIDER_COLUMNS):
        for column, name in zip(st.columns(SLIDER_COLUMNS), names[start : start + SLIDER_COLUMNS], strict=False):
            label, key = widgets.plain(name), SHARE + name
            shares[name] = column.slider(
                label, 0, composer.MAX_SHARE, composer.EVEN_SHARE, key=key, bind="query-params"
            )
    for sentence in composer.refused(asked, shares):
        st.error(sentence, icon=":material/error:")
    composition = composer.compose(corpus, shares)
    text = f"{corpus}, a quarter of the training split, calibration seed 0"
    parts.chart(composer.composition_figure(composition, text), "mix", composer.describe_composition(composition))
    return composition


def compare(found: list[Pair]) -> None:
    settings = found[0].a.settings
    if absent := composer.untrained(found):
        parts.offer_training(settings.corpus, absent)
    if specs := composer.missing(found):
        st.info(f"{len(specs)} of these results are not in the store. Each takes 10 to 60 seconds here, and is kept.")
        if st.button("Calibrate and evaluate", type="primary", key="calibrate"):
            parts.compute(specs, pipeline.outcome)
    ready = [pair for pair in found if not pair.missing]
    for pair in ready:
        result(pair)
    if ready:
        text = curve_words.write_csv(row for pair in ready for row in pairs.rows(pair))
        widgets.download("Download these results", text, "composed")


def result(pair: Pair) -> None:
    model, found, rows = pair.a.model, pairs.contrast(pair), pairs.rows(pair)
    st.markdown(f"#### {model.capitalize()}: the balanced set (A) against yours (B)")
    columns = st.columns(3)
    for column, name, row in zip(columns, ("A, balanced", "B, yours"), rows, strict=False):
        with column, st.container(key=f"accuracy-{model}-{name[0]}"):
            parts.metric(name, row)
    with columns[2]:
        st.metric("B minus A", charts.points(100 * found["difference"]["difference"]))
        low, high = (f"{100 * found['difference'][end]:+.1f}" for end in ("low", "high"))
        st.caption(f"95 % paired bootstrap interval {low} to {high}")
    st.markdown(f"{pairs.describe_mcnemar(found)} {pairs.describe_flips(found)}")
    if sentence := composer.describe_dead(pair):
        st.warning(sentence, icon=":material/warning:")
    changes, text = composer.changes(pair), views.caption(rows[1])
    figure = composer.recall_figure(changes, model, text)
    parts.chart(figure, f"changes-{model}", composer.describe_changes(changes, model))
    if st.toggle("Show the classes as a table", key=f"table-{model}"):
        st.dataframe(composer.recall_table(changes), hide_index=True, key=f"classes-{model}")
    st.caption(f"B: {text}. A is calibrated on equal shares of every class, and else the same.")
    st.link_button("Read the documents they answer differently", composer.address(pair), icon=":material/article:")


def show() -> None:
    asked = widgets.asked()
    with st.sidebar:
        st.subheader("What is compared")
        shelf = curves.read(widgets.corpus(), noise=0.0)
        recipe = settings()
    widgets.say_refused(asked)
    condition = Condition(**recipe, calibration=SCHEMES[0])
    if shelf.rows:
        stored(shelf, condition)
    compose(shelf.corpus, recipe)
    chosen = [Condition(**recipe, calibration=scheme) for scheme in SCHEMES]
    widgets.say_missing(shelf, curves.grid(chosen, [0.0]))


st.title("Which text should calibrate?")
try:
    show()
except InputError as error:
    st.error(str(error), icon=":material/error:")
