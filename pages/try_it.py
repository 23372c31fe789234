"""One text, typed or taken from the test split, and what each model says of it at each bit-width."""

from functools import partial

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from core import pipeline
from core.config import FLOAT_BITS, MODEL_KINDS, VariantSpec
from core.display import charts, live_charts, readings, views
from core.display.curve_charts import WIDTHS, width_name
from core.display.live_charts import Reading
from core.display.readings import Variant
from core.display.views import Settings
from core.errors import InputError
from pages import parts, widgets


def take_example() -> None:
    if chosen := st.session_state.pop("example"):
        st.session_state["text"] = chosen


def take_document(corpus: str) -> None:
    st.session_state["text"] = readings.document(corpus, st.session_state["document"])


def controls() -> tuple[Settings, str]:
    asked = {} if "corpus" in st.session_state else st.query_params.to_dict()
    asked.pop("bits", None)  # of the part shown below, not of what is read
    with st.sidebar:
        st.subheader("Who reads it")
        corpus = widgets.corpus()
        chosen = widgets.settings(typed=True)
        st.subheader("Take a text of the corpus")
        last = readings.count_documents(corpus)
        st.number_input(f"Test document, 1 to {last:,}", 1, last, key="document")
        st.button("Read this document", on_click=take_document, args=(corpus,), key="take")
    st.pills("Examples", readings.EXAMPLES, format_func=shorten, key="example", on_change=take_example)
    text = st.text_area(
        "Your text",
        readings.EXAMPLES[0],
        max_chars=readings.MAX_CHARACTERS,
        height=110,
        key="text",
        bind="query-params",
        help="The page's address holds the text: whoever you send it to sees the same.",
    )
    noise = st.select_slider(
        "Noise: share of characters replaced", readings.TEXT_NOISE, key="noise", bind="query-params"
    )
    settings = Settings(corpus, FLOAT_BITS, noise, **chosen)
    for sentence in views.refused(asked, settings):
        st.error(sentence, icon=":material/error:")
    return settings, text or ""


def shorten(text: str) -> str:
    return " ".join(text.split()[:4]) + " …"


def offer_to_make(settings: Settings, specs: dict[Variant, VariantSpec], ready: set[Variant]) -> None:
    untrained = [model for model in MODEL_KINDS if (model, FLOAT_BITS) not in ready]
    if untrained:
        parts.offer_training(settings.corpus, untrained)
    if not specs:
        return
    st.info(
        f"{len(specs)} quantized models of these settings are not in the store. Making one takes seconds to a minute; "
        "it is then kept."
    )
    if st.button(f"Quantize {len(specs)} models", type="primary", key="make"):
        bar = st.progress(0.0, "starting")
        for place, ((model, bits), spec) in enumerate(specs.items()):
            name = f"{model}, {bits} bits ({place + 1} of {len(specs)})"
            pipeline.build_variant(spec, pipeline.Progress(stage=partial(report, bar, name, place, len(specs))))
        st.rerun()


def report(bar: DeltaGenerator, name: str, before: int, total: int, stage: str, done: float, of: float) -> None:
    bar.progress(min((before + min(done / of, 1.0)) / total, 1.0), f"{name}: {stage}")


def answers(found: list[Reading], text: str) -> None:
    st.subheader("What does each model say, and from which width on something else?")
    sentence = readings.describe_flips(found)
    parts.chart(live_charts.answers_figure(found, text), "answers", sentence)
    st.caption("≠ marks an answer other than float's. Stronger colour is more probability.")
    widgets.download("Download the answers", readings.to_csv(readings.answer_table(found), text), "answers")


def choose(found: list[Reading]) -> tuple[Reading, Reading | None]:
    """The reading to look at, and the same model's in float."""
    with st.container(horizontal=True, vertical_alignment="bottom"):
        model = st.segmented_control(
            "Model", MODEL_KINDS, default=MODEL_KINDS[0], required=True, key="model", bind="query-params"
        )
        bits = st.select_slider(
            "Bit-width (32 is float)", WIDTHS, value=FLOAT_BITS, key="bits", bind="query-params", width=420
        )
    of_model = {reading.bits: reading for reading in found if reading.model == model}
    if bits not in of_model:
        made = ", ".join(width_name(width) for width in of_model) or "none"
        st.info(f"The {model} model at {width_name(bits)} is not in the store; those that are: {made}.")
        st.stop()
    return of_model[bits], of_model.get(FLOAT_BITS)


def one(reading: Reading, reference: Reading | None, text: str) -> None:
    left, right = st.columns(2)
    with left:
        st.metric(
            "Margin to the runner-up",
            f"{reading.row['margin']:.2f} nats",
            help="log-probability of the winner minus the runner-up's; e to that power is the odds.",
        )
        figure = live_charts.probabilities_figure(reading, reference, text)
        parts.chart(figure, "probabilities", live_charts.describe_reading(reading))
    with right:
        words(reading)


def words(reading: Reading) -> None:
    surprisals = reading.row.get("surprisals", {})
    colours = (charts.MODEL_COLOURS[reading.model], charts.PURPLE)
    for (name, values), colour in zip(surprisals.items(), colours, strict=False):
        st.markdown(f"**Surprisal of each word given** {widgets.plain(name)}")
        st.html(live_charts.words_html(reading.words, reading.row["known"], values, colour))
    if surprisals:
        low, high = live_charts.SURPRISAL_RANGE
        st.caption(f"{readings.describe_words(reading)} No colour is {low:g} nats, full colour {high:g} or more.")
    else:
        st.markdown("**What it read**")
        st.html(live_charts.words_html(reading.words, reading.row["known"]))
    unknown = reading.row["known"].count(False)
    rest = f"; the model stops before the last {reading.unread}" if reading.unread else ""
    st.caption(f"{len(reading.words)} words read, {unknown} of them unknown (underlined){rest}.")
    table = readings.word_table(reading)
    if st.toggle("Show the words as a table", key="words"):
        st.dataframe(table, hide_index=True, key="word-table")
    if table:
        widgets.download("Download the words", readings.to_csv(table, str(reading.bits)), "words")


def show() -> None:
    settings, text = controls()
    if not text.strip():
        st.info("Type a text, or take an example.")
        return
    if known := readings.truth(settings.corpus, text):
        st.caption(known)
    read = readings.damage(text, settings.corpus, settings.noise)
    specs = readings.variants(settings)
    ready, makeable = readings.split(specs)
    with st.spinner("Reading …"):
        found = readings.read(read, ready)
    for sentence in readings.warnings(found):
        st.warning(sentence, icon=":material/warning:")
    caption = readings.caption(settings)
    if found:
        answers(found, caption)
    offer_to_make(settings, makeable, set(ready))
    if found:
        st.subheader("How sure is it, and which words decide?")
        one(*choose(found), caption)
        st.caption(caption)


st.title("What do they make of your text?")
try:
    show()
except InputError as error:
    st.error(str(error), icon=":material/error:")
