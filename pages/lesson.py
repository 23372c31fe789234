"""The ten-minute lesson: one step at a time, each with one dial, what it moves, and a question."""

from collections.abc import Callable

import streamlit as st

from core.config import NOISE_LEVELS
from core.display.curve_charts import WIDTHS
from core.errors import InputError
from core.teaching import lesson_limits, lesson_results, lesson_weights
from core.teaching.lesson import STEPS, Step
from core.teaching.scenes import LackingError, Scene
from pages import parts, widgets

UP = "<script>document.querySelector('[data-testid=stMain]').scrollTo(0, 0) // step PLACE</script>"
Show = Callable[[str], Scene]


def read(corpus: str) -> Scene:
    document = st.slider("Test document", 1, lesson_results.DOCUMENTS, key="document", bind="query-params")
    with st.spinner("Reading …"):
        return lesson_results.two_ways(corpus, document)


def round_off(corpus: str) -> Scene:
    bits = st.slider("Bits", 2, 8, value=3, key="width", bind="query-params")
    return lesson_weights.stairs(corpus, bits)


def choose_range(corpus: str) -> Scene:
    percent = st.select_slider(
        "Range (% of the largest weight)",
        lesson_weights.RANGE_PERCENTS,
        value=100,
        key="range",
        bind="query-params",
    )
    return lesson_weights.span(corpus, percent)


def calibrate(corpus: str) -> Scene:
    scheme = st.selectbox(
        "How calibration documents are drawn", lesson_results.schemes(corpus), key="draw", bind="query-params"
    )
    return lesson_results.calibrated(corpus, scheme)


def turn_down(corpus: str) -> Scene:
    bits = st.select_slider("Bit-width (32 is float)", WIDTHS, key="bits", bind="query-params")
    return lesson_results.fewer(corpus, bits)


def misspell(corpus: str) -> Scene:
    level = st.select_slider("Share of characters replaced", NOISE_LEVELS, key="noise", bind="query-params")
    return lesson_results.noisy(corpus, level)


def remember(corpus: str) -> Scene:
    added = st.select_slider(
        "What each word adds to the memory", lesson_limits.ADDED, value=0.5, key="added", bind="query-params"
    )
    return lesson_limits.memory(corpus, added)


def draw(corpus: str) -> Scene:
    percent = st.select_slider(
        "Test documents used (%)", lesson_limits.PERCENTS, value=10, key="percent", bind="query-params"
    )
    return lesson_limits.chance(corpus, percent)


def compare(corpus: str) -> Scene:
    bits = st.select_slider("Bit-width (32 is float)", WIDTHS, value=3, key="levels", bind="query-params")
    return lesson_results.losses(corpus, bits)


SHOWS: tuple[Show, ...] = (
    read,
    round_off,
    choose_range,
    calibrate,
    turn_down,
    misspell,
    remember,
    draw,
    compare,
)


def choose_step() -> int:
    asked = [] if "step" in st.session_state else st.query_params.get_all("step")
    places = range(1, len(STEPS) + 1)
    place = st.segmented_control(
        "Step", places, default=1, required=True, key="step", bind="query-params", label_visibility="collapsed"
    )
    for text in asked:
        if text != str(place):
            st.error(f"step={text} in the address is no step of this lesson; step {place} is shown.")
    return place


def go(place: int) -> None:
    st.session_state["step"] = place


def show(step: Step, scene: Callable[[], Scene]) -> None:
    left, right = st.columns([2, 3], gap="large")
    with left:
        st.markdown(step.words)
        st.markdown(f"**Try it.** {step.task}")
        try:
            found = scene()
        except LackingError as lack:
            st.info(str(lack))
            st.code("\n".join(lack.commands), language="bash", wrap_lines=True)
            return
        except InputError as error:
            st.error(str(error), icon=":material/error:")
            return
        for fact in filter(None, found.facts):
            st.markdown(fact)
        for heading, text in found.html:
            words(heading, text)
    with right:
        for panel in found.panels:
            if panel.heading:
                st.markdown(f"**{widgets.plain(panel.heading)}**")
            parts.chart(panel.figure, panel.key, panel.sentence)
        if found.table:
            st.dataframe(found.table, hide_index=True, key="table")
    if found.below:
        for column, (heading, text) in zip(st.columns(len(found.below), gap="large"), found.below, strict=True):
            with column:
                words(heading, text)
    with st.expander("How these numbers were made"):
        st.caption(found.made)


def words(heading: str, text: str) -> None:
    st.markdown(f"**{widgets.plain(heading)}**")
    st.html(text)


def ask(place: int, step: Step) -> None:
    question = step.question
    st.subheader("A question")
    chosen = st.radio(question.text, question.options, index=None, key=f"answer-{place}")
    if chosen is None:
        return
    right = question.options[question.right]
    if chosen == right:
        st.success(f"Yes. {question.reason}", icon=":material/check:")
    else:
        st.info(f"Not quite: “{right}”. {question.reason}", icon=":material/lightbulb:")


def move_on(place: int) -> None:
    with st.container(horizontal=True):
        if place > 1:
            st.button(f"Back: {STEPS[place - 2].name}", key="back", on_click=go, args=(place - 1,))
        if place < len(STEPS):
            st.button(f"Next: {STEPS[place].name}", key="next", type="primary", on_click=go, args=(place + 1,))
    st.html(UP.replace("PLACE", str(place)), unsafe_allow_javascript=True)


st.title("Quantization in ten minutes")
with st.sidebar:
    corpus = widgets.corpus()
place = choose_step()
step = STEPS[place - 1]
st.header(f"{place}. {step.asks}")
show(step, lambda: SHOWS[place - 1](corpus))
ask(place, step)
st.caption("In the glossary: " + ", ".join(f"[{name}](glossary#{anchor})" for name, anchor in step.entries))
move_on(place)
