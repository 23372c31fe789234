"""The published study beside what this project measured: claims, verdicts by stated rules, charts, rows."""

import streamlit as st

from core.display import downloads
from core.verdicts import paper
from core.verdicts.claims import Judgement, condition_words
from core.verdicts.paper_figures import Condition, Figure, figure_of
from core.verdicts.study_rows import StudyRows
from pages import parts

RULES = """A claim is a list of tests on stored results. Each is a difference between two means over draws (calibration,
noise or weights seeds) with its 95 % interval: Student's, over draws of the same seeds where there are two or more,
else over separate draws. A test holds if the difference reaches a stated size with its interval on the right side, and
fails if the whole interval falls short of that size; else the interval is too wide to tell.

All draws are asked the same test documents. Between the two models the interval covers the sampling of these documents
too, as if drawn apart for each; between two settings of one model it does not, and speaks of these documents. With a
single draw it is the documents' interval alone, and the verdict says so.

- **reproduced**: the tests hold under every condition that can tell, the paper's own method among them.
- **not reproduced**: they fail under every condition that can tell.
- **depends on ...**: they hold under some; named is what separates these from the others.
- **undecided**: under the claim's own method the interval is too wide to tell.
- **not measured yet**: the rows of the claim's own method are missing."""


def overview(judgements: list[Judgement], rows: StudyRows) -> None:
    st.subheader("Which claims hold here?")
    config = {"Claim": st.column_config.TextColumn(width="large"), "Figure": st.column_config.TextColumn(pinned=True)}
    st.dataframe(paper.summary(judgements, rows), hide_index=True, column_config=config, key="summary")
    st.caption(paper.describe_summary(judgements))
    with st.popover("How a verdict is reached"):
        st.markdown(RULES)


def choose(figure: Figure) -> Condition:
    names = {condition_words(condition): condition for condition in figure.conditions}
    if len(names) == 1:
        return figure.conditions[0]
    key = "method" if "ranges" in figure.conditions[0] else "preset"
    label = "Preset and activation ranges of the chart" if key == "method" else "Preset of the chart"
    first = next(iter(names))
    return names[st.segmented_control(label, list(names), default=first, required=True, key=key, bind="query-params")]


def draw(figure: Figure, condition: Condition, rows: StudyRows, corpus: str) -> None:
    many = len(figure.conditions) > 1 and figure.kind == "curves"
    zoom = many and st.toggle("Fit the axis to this condition alone", value=True, key="zoom", bind="query-params")
    found = paper.draw(figure, condition, rows, corpus, zoom)
    for column, chart in zip(st.columns(len(found)) if found else (), found, strict=True):
        with column:
            if chart.heading:
                st.markdown(f"**{chart.heading}**")
            parts.chart(chart.drawing, chart.key, chart.sentence)
    if not found:
        st.info("Nothing of this figure is measured under this condition yet.")
    elif lacking := paper.gaps(figure, condition, rows, corpus):
        st.caption(lacking)
    if again := paper.command(figure, condition, corpus):
        st.caption("This computes what is missing, and reads what is stored:")
        st.code(again, language="bash")
    else:
        st.caption("The study leaves this condition out; single results of it: `python -m core sweep --help`.")


def verdict(judgement: Judgement, rows: StudyRows) -> None:
    claim = judgement.claim
    with st.container(border=True, key=f"claim-{claim.key}"):
        st.markdown(f"**{judgement.words[0].upper()}{judgement.words[1:]}**")
        st.markdown(f"“{claim.sentence}” ({claim.section})")
        st.caption(f"Rule: {claim.rule}")
        st.markdown(judgement.explanation)
        if elsewhere := paper.over_corpora(judgement, rows):
            st.markdown(elsewhere)
        if st.toggle("Show every test", key=f"tests-{claim.key}"):
            st.dataframe(paper.tests_table(judgement), hide_index=True, key=f"table-{claim.key}")


def details(figure: Figure, condition: Condition, rows: StudyRows, corpus: str) -> None:
    if table := paper.behind(figure, condition, rows, corpus):
        st.subheader("Which rows are behind it?")
        st.dataframe(table, hide_index=True, key="rows")
        name = f"{figure.key}-{condition_words(condition) or 'float'}.csv".replace(", ", "-").replace(" ", "-")
        st.download_button("Download as CSV", downloads.csv_text(table), name, "text/csv", key="download")
    if st.toggle("Compare document by document", key="widths"):
        if table := paper.widths(figure, condition, rows, corpus):
            st.dataframe(table, hide_index=True, key="pairs")
            st.caption(
                "Intervals: Wilson's of accuracy, the paired bootstrap's of the difference. McNemar's test is exact, "
                "Holm's correction runs over the widths of a comparison. With millions of weights read D, not p. "
                "Not stored: this row came without its predictions."
            )
        else:
            st.caption("This is for Figures 6 and 7: both models over bit-widths with one calibration.")


st.title("What does the paper say, and what is measured here?")
st.caption(
    "Rahaman et al. (2025), Post-Training Quantization of Generative and Discriminative LSTM Text Classifiers. "
    "The verdicts are computed from stored results by rules that each claim states; nobody types them in."
)
offered = paper.offered_corpora()
corpus = st.selectbox("Corpus", offered, key="corpus", bind="query-params")
rows = paper.read(offered)
judgements = paper.judge_all(rows, [corpus])
overview(judgements, rows)
figure = figure_of(st.selectbox("Figure", paper.sources(), key="figure", bind="query-params"))
st.header(figure.question)
st.caption(f"{figure.source}, {figure.section}")
condition = choose(figure)
draw(figure, condition, rows, corpus)
for judgement in paper.claims_of(figure, judgements):
    verdict(judgement, rows)
details(figure, condition, rows, corpus)
