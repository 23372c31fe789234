"""A against B: any two configurations on the same documents, and the documents that they read differently."""

from collections.abc import Mapping
from functools import partial
from typing import Any

import streamlit as st

from core import pipeline
from core.config import BIT_WIDTHS, FLOAT_BITS, MODEL_KINDS, NOISE_LEVELS, ModelKind
from core.display import charts, downloads, pairs, report, views
from core.display.pairs import Pair
from core.errors import InputError
from pages import parts, widgets

MODES = ("The two models", "A against B")
ANY = "any"
PAGE = 20
SHOWN_CHARACTERS = 600
OPTIONS: Mapping[str, tuple[str, Any]] = {  # what a side is made of, by its name in the address after a_ or b_
    "model": ("Model", MODEL_KINDS),
    "bits": ("Bit-width", (FLOAT_BITS, *BIT_WIDTHS)),
    "noise": ("Input noise", NOISE_LEVELS),
    **{name: (label, widgets.OPTIONS[name]) for name, label in widgets.LABELS.items()},
}
HELP = {**widgets.HELP, "bits": "32 is float.", "noise": "The share of characters replaced."}
LETTERS = {"A": "green", "B": "violet"}


def follow_dials() -> None:
    """Give both sides the dials' settings until they have been looked at.

    A run ahead of their widgets: only of a value that it knew before a widget does Streamlit write the address.
    """
    if not st.session_state.get("paired"):
        _take_dials("a", MODEL_KINDS[0])
        _take_dials("b", MODEL_KINDS[1])


def pin(model: ModelKind) -> None:
    """Make a model at the dials A, and B too if B has not been looked at."""
    for side in "a" if st.session_state.get("paired") else "ab":
        _take_dials(side, model)
    st.session_state["compare"] = MODES[1]


def _take_dials(side: str, model: ModelKind) -> None:
    state = st.session_state
    for name in OPTIONS:
        state[f"{side}_{name}"] = model if name == "model" else state[name]


def swap() -> None:
    state = st.session_state
    for name in OPTIONS:
        state[f"a_{name}"], state[f"b_{name}"] = state[f"b_{name}"], state[f"a_{name}"]


def choose(corpus: str) -> Pair:
    asked = {} if "a_model" in st.session_state else st.query_params.to_dict()
    columns = st.columns(2, gap="medium")
    chosen = [choose_side(column, name, corpus) for column, name in zip(columns, LETTERS, strict=True)]
    st.button("Swap A and B", key="swap", on_click=swap, type="tertiary", icon=":material/swap_horiz:")
    for name, (model, settings) in zip("ab", chosen, strict=True):
        for sentence in views.refused(asked, settings, f"{name}_", model=model):
            st.error(sentence, icon=":material/error:")
    a, b = (pairs.look_up(name, *side) for name, side in zip(LETTERS, chosen, strict=True))
    return Pair(a, b)


def choose_side(column: Any, name: str, corpus: str) -> tuple[ModelKind, views.Settings]:
    chosen: dict[str, Any] = {}
    with column, st.container(key=f"side-{name}"):
        st.markdown(f"#### :{LETTERS[name]}[{name}]")
        with st.container(horizontal=True):
            for setting, (label, options) in OPTIONS.items():
                chosen[setting] = st.selectbox(
                    label,
                    options,
                    key=f"{name.lower()}_{setting}",
                    bind="query-params",
                    help=HELP.get(setting),
                    accept_new_options=setting == "calibration",
                    width=145,
                )
    model = chosen.pop("model")
    return model, views.Settings(corpus=corpus, **chosen)


def offer_to_compute(pair: Pair) -> None:
    if untrained := list(dict.fromkeys(side.model for side in pair.sides if not side.trained)):
        parts.offer_training(pair.a.settings.corpus, untrained)
    missing = [side for side in pair.missing if side.trained]
    for side in missing:
        lack = "The store has no result" if side.row is None else "The answers to the single documents are not stored"
        st.info(f"{lack} for {side.label}. Computing it takes 10 to 60 seconds here.")
    if missing and st.button("Compute what is missing", type="primary", key="compute-pair"):
        parts.compute({side.spec.fingerprint(): side.spec for side in missing}.values(), pipeline.outcome)


def accuracy(pair: Pair) -> None:
    st.subheader("Which of the two is right more often?")
    found = None if pair.missing else pairs.contrast(pair)
    columns = st.columns(3)
    for column, side, row in zip(columns, pair.sides, pairs.rows(pair), strict=False):
        with column, st.container(key=f"accuracy-{side.name}"):
            parts.metric(side.label, row)
    if found:
        with columns[2], st.container(key="accuracy-difference"):
            st.metric("B minus A", charts.points(100 * found["difference"]["difference"]))
            low, high = (f"{100 * found['difference'][end]:+.1f}" for end in ("low", "high"))
            st.caption(f"95 % paired bootstrap interval {low} to {high}")
    chance = pairs.rows(pair)[0]["detail"]["majority_share"]
    sentence = charts.describe_accuracy(pairs.accuracy_rows(pair), chance)
    parts.draw(pairs.accuracy_figure(pair), "accuracy", sentence)
    if pair.same:
        st.caption("A and B are the same configuration: change one of them.")
    if found:
        st.markdown(f"{pairs.describe_mcnemar(found)} {pairs.describe_flips(found)}")


def confusions(pair: Pair) -> None:
    st.subheader("Where do they answer differently?")
    names, rows = pairs.class_names(pair), pairs.rows(pair)
    for column, side, row in zip(st.columns(2), pair.sides, rows, strict=True):
        counts = row["detail"]["confusion"]
        sentence, key = charts.describe_confusion(counts, names), f"confusion-{side.name}"
        figure = pairs.clickable(charts.confusion_figure(counts, names, "counts", caption=views.caption(row)))
        with column:
            st.markdown(f"**:{LETTERS[side.name]}[{side.label}]**")
            on_click = partial(take_cell, key, side.name.lower(), pair)
            ready = {} if pair.missing else {"on_select": on_click, "selection_mode": "points"}
            parts.chart(figure, key, sentence, **ready)
    st.markdown("**B minus A**")
    left, right = st.columns(2, vertical_alignment="center")
    sentence = pairs.describe_cells(pair)
    with left:
        parts.draw(pairs.difference_figure(pair), "confusion-difference", sentence)
    right.caption(sentence)


def take_cell(key: str, side: str, pair: Pair) -> None:
    """List the documents of the confusion cell that was clicked."""
    names, points = pairs.class_names(pair), st.session_state[key].selection.points
    if points:
        true, read = divmod(points[0]["point_index"], len(names))
        other = {"a": "b", "b": "a"}[side]
        values = {"group": pairs.EVERY, "true": names[true], f"{side}_read": names[read], f"{other}_read": ANY}
        st.session_state.update(values)


def documents(pair: Pair) -> None:
    st.subheader("Which documents are they?")
    counts = {name: len(places) for name, places in pairs.groups(pair).items()}
    counted = "; ".join(f"{name}: {charts.count(n)}" for name, n in counts.items())
    group = st.segmented_control(
        "Outcome", counts, default=pairs.GROUPS[0], required=True, key="group", bind="query-params"
    )
    names = [ANY, *pairs.class_names(pair)]
    with st.container(horizontal=True):
        asked = [
            st.selectbox(label, names, key=key, bind="query-params", width=180)
            for label, key in (("True class", "true"), ("A says", "a_read"), ("B says", "b_read"))
        ]
    chosen = pairs.select(pair, group, *(None if name == ANY else name for name in asked))
    st.caption(f"{counted}. A click on a cell of A's or B's confusion matrix lists its documents here.")
    if not len(chosen):
        st.info("No document is in all of these at once.")
        return
    texts: tuple[list[str], ...] = ()
    try:
        texts = pairs.read_texts(pair)
    except InputError as error:
        st.info(f"The texts are not stored with the results, and cannot be read here: {error}")
        st.code(f"python -m core fetch {pair.a.settings.corpus}", language="bash")
    listing(pair, chosen, texts, "-".join(["page", group, *asked]))


def listing(pair: Pair, chosen: Any, texts: tuple[list[str], ...], key: str) -> None:
    pages = -(-len(chosen) // PAGE)
    with st.container(horizontal=True, vertical_alignment="center"):
        st.markdown(f"**{charts.count(len(chosen))} documents**")
        page = st.pagination(pages, key=key) if pages > 1 else 1
        st.download_button(
            "CSV",
            lambda: downloads.csv_text(downloads.documents_table(pairs.read(pair, chosen, texts))),
            "documents.csv",
            "text/csv",
            key="csv-documents",
            on_click="ignore",
            icon=":material/download:",
        )
    with st.container(key="documents"):
        for reading in pairs.read(pair, chosen[PAGE * (page - 1) : PAGE * page], texts):
            show_document(reading)


def show_document(reading: pairs.Reading) -> None:
    said = [
        f":{colour}[{name}] {widgets.plain(answer)} ({charts.percent(share)})"
        for (name, colour), answer, share in zip(LETTERS.items(), reading.answers, reading.probabilities, strict=True)
    ]
    st.markdown(f"**{charts.count(reading.document)}.** true **{widgets.plain(reading.true)}** · {' · '.join(said)}")
    for name, text in zip(LETTERS, reading.texts, strict=False):
        shown = text if len(text) <= SHOWN_CHARACTERS else f"{text[:SHOWN_CHARACTERS]} ..."
        st.caption(widgets.plain(f"{name} read: {shown}" if len(reading.texts) > 1 else shown))


def provenance(pair: Pair) -> None:
    st.subheader("How were these numbers made?")
    if st.toggle("Show configuration, seeds and versions", key="provenance"):
        for column, row in zip(st.columns(2), pairs.rows(pair), strict=True):
            with column:
                st.markdown(views.caption(row))
                parts.provenance(row)


def show(corpus: str) -> None:
    pair = choose(corpus)
    st.session_state["paired"] = True
    if pair.missing:
        offer_to_compute(pair)
    if any(side.row is None for side in pair.sides):
        return
    accuracy(pair)
    confusions(pair)
    if not pair.missing:
        documents(pair)
    parts.offer_downloads(
        "bitdial-a-against-b",
        pairs.rows(pair),
        partial(downloads.pair_tables, pair),
        partial(report.pair_report, pair),
    )
    provenance(pair)
