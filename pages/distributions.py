"""What quantization does to every weight and signal of a model: histogram or ECDF of float against quantized values."""

import streamlit as st

from core import pipeline
from core.config import BIT_WIDTHS, MODEL_KINDS, EvaluationSpec, ModelKind, VariantSpec
from core.display import charts, distribution_charts, distributions, downloads, views
from core.display.distribution_charts import VIEWS, View, site_name
from core.display.distributions import Distributions, Site
from core.display.views import Settings
from core.errors import InputError
from core.pipeline import Progress
from pages import parts, widgets

DEFAULT_SITE = "cell_state"
COLUMNS = {
    "D": st.column_config.NumberColumn(format="%.3f"),
    "n": st.column_config.NumberColumn(format="localized"),
    "Fixed units": st.column_config.TextColumn(help="Units of the LSTM with one value for every word of the sample."),
}
HELP = {
    "Levels used": "Levels that hold at least one value, of those the bits give.",
    "Step": "The distance between two levels: rounding moves a value by up to half of it.",
    "Clipped": "Values more than half a step beyond the outermost levels: they are pulled back to these.",
    "Largest gap (D)": "Kolmogorov-Smirnov D: the largest distance between the two ECDFs. Rounding alone makes it more "
    "than 0, and the more so the fewer the levels.",
}


def controls(asked: dict[str, str]) -> tuple[Settings, ModelKind]:
    with st.sidebar:
        st.subheader("What is looked at")
        corpus = widgets.corpus()
        chosen = widgets.settings(typed=True)
    with st.container(horizontal=True, vertical_alignment="bottom"):
        model = st.segmented_control(
            "Model", MODEL_KINDS, default=MODEL_KINDS[0], required=True, key="model", bind="query-params"
        )
        bits = st.select_slider("Bit-width", BIT_WIDTHS, value=4, key="bits", bind="query-params", width=420)
    settings = Settings(corpus, bits, 0.0, **chosen)
    say_refused(asked, model=model)
    for sentence in views.refused(asked, settings):
        st.error(sentence, icon=":material/error:")
    return settings, model


def say_refused(asked: dict[str, str], **used: str) -> None:
    for name, shown in used.items():
        if asked.get(name, shown) != shown:
            st.error(views.refusal(name, asked[name], shown), icon=":material/error:")


def offer_to_make(spec: EvaluationSpec, bits: int) -> None:
    kind = spec.variant.run.model.kind
    st.info(
        f"The {kind} model at {bits} bits of these settings is not in the store, so float is shown alone. Quantizing "
        "it takes seconds to a minute; it is then kept."
    )
    if st.button("Quantize it", type="primary", key="make"):
        parts.compute([spec], quantize)


def quantize(spec: EvaluationSpec, progress: Progress) -> None:
    pipeline.build_variant(spec.variant, progress)


def choose(found: Distributions, asked: dict[str, str]) -> tuple[Site, View]:
    names = [site.name for site in found.sites]
    with st.container(horizontal=True, vertical_alignment="bottom"):
        name = st.selectbox(
            "Weight or signal",
            names,
            index=names.index(DEFAULT_SITE),
            format_func=site_name,
            key="site",
            bind="query-params",
            width=360,
        )
        view = st.segmented_control("Show", VIEWS, default=VIEWS[0], required=True, key="show", bind="query-params")
    say_refused(asked, site=site_name(name), show=view)
    return found.site(name), view


def numbers(site: Site) -> None:
    if not (site.grid and site.gap):
        return
    values = (
        f"{site.grid.used} of {len(site.grid.counts)}",
        f"{site.grid.quantizer.scale:.3g}",
        charts.percent(site.grid.clipped_share),
        f"{site.gap.distance:.3f}",
    )
    for column, (label, words), value in zip(st.columns(4), HELP.items(), values, strict=True):
        column.metric(label, value, help=words)


def one(found: Distributions, site: Site, view: View, colour: str, text: str) -> None:
    numbers(site)
    sentence = distribution_charts.describe_site(site)
    parts.chart(distribution_charts.site_figure(site, view, colour, text), "distribution", sentence)
    if gates := found.gates(site.name):
        st.subheader("Does every gate fare alike?")
        sentence = distribution_charts.describe_gates(gates)
        parts.chart(distribution_charts.gates_figure(gates, view, colour, text), "gates", sentence)


def every(found: Distributions, text: str) -> None:
    st.subheader("Where does it show most?" if found.quantized else "What range does each site need?")
    table = distribution_charts.shown_table(found)
    st.dataframe(table, hide_index=True, height="content", column_config=COLUMNS, key="site-table")
    st.caption(distribution_charts.describe_table(found))
    st.caption(text)
    full = distribution_charts.full_table(found, text)
    with st.container(horizontal=True, vertical_alignment="bottom"):
        widgets.download(f"Download these {len(full)} sites", downloads.csv_text(full), "sites")
        parts.bundle("Table and charts (zip)", "distributions", lambda: {"sites": full}, ())


def show() -> None:
    asked = {} if "corpus" in st.session_state else st.query_params.to_dict()
    settings, model = controls(asked)
    spec = settings.spec(model)
    plain = VariantSpec(run=spec.variant.run)
    if not distributions.ready(plain):
        parts.offer_training(settings.corpus, [model])
        return
    if not (quantized := distributions.ready(spec.variant)):
        offer_to_make(spec, settings.bits)
    with st.spinner("Reading the sample of documents …"):
        found = distributions.measure(spec.variant if quantized else plain)
    for sentence in distribution_charts.warnings(found):
        st.warning(sentence, icon=":material/warning:")
    text = distribution_charts.caption(settings, model, found)
    st.subheader("How far are its values from float's?" if quantized else "Which values does it have in float?")
    one(found, *choose(found, asked), charts.MODEL_COLOURS[model], text)
    every(found, text)


st.title("What happens to weights and signals?")
try:
    show()
except InputError as error:
    st.error(str(error), icon=":material/error:")
