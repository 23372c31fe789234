"""The Paper page: with an empty store, with the shipped one, at an address; every verdict in words."""

from pathlib import Path
from typing import Any

import pytest
from browser import ROOT
from streamlit.testing.v1 import AppTest

from core.verdicts import paper
from core.verdicts.claims import condition_words
from core.verdicts.paper_figures import FIGURES, METHODS
from core.verdicts.redo_claims import CLAIMS


def open_page(**query: str) -> AppTest:
    app = AppTest.from_file(ROOT / "pages" / "paper.py", default_timeout=60)
    app.query_params.update(query)
    app.run()
    assert [fault.value for fault in [*app.exception, *app.error]] == []
    return app


@pytest.fixture
def shipped(tmp_cache: Path) -> Path:
    (tmp_cache / "shipped").symlink_to(ROOT / "cache" / "shipped")
    return tmp_cache


def plots(app: AppTest) -> list[Any]:
    return list(app.get("plotly_chart"))


def test_an_empty_store_says_what_to_compute(tmp_cache: Path) -> None:
    app = open_page(figure="Figure 11", corpus="ag-news")
    assert plots(app) == []
    assert app.info[0].value.startswith("Nothing of this figure is measured")
    assert [code.value for code in app.code] == ["python -m core study ag-news --only figure-11"]
    assert set(app.dataframe[0].value["Verdict"]) == {"not measured yet"}
    assert len(app.dataframe[0].value) == len(CLAIMS)


@pytest.mark.parametrize("figure", [f for f in FIGURES if f.key in ("figure-7", "figure-10", "figure-15", "collapse")])
def test_the_shipped_store_is_drawn_and_judged(shipped: Path, figure: Any) -> None:
    app = open_page(figure=figure.source)
    assert [header.value for header in app.header] == [figure.question]
    assert plots(app)
    assert [chart.key for chart in plots(app) if len(chart.proto.alt.split()) < 5] == []
    claims = [claim for claim in CLAIMS if claim.figure == figure.key]
    toggles = [toggle.key for toggle in app.toggle if toggle.key.startswith("tests-")]
    assert toggles == [f"tests-{claim.key}" for claim in claims]
    captions = [caption.value for caption in app.caption]
    assert all(f"Rule: {claim.rule}" in captions for claim in claims)


def test_verdicts_on_the_page_are_those_that_the_rows_give(shipped: Path) -> None:
    app = open_page(figure="Figure 6")
    judgements = paper.judge_all(paper.read(["reuters-r8"]), ["reuters-r8"])
    assert list(app.dataframe[0].value["Verdict"]) == [judgement.words for judgement in judgements]
    shown = [text.value for text in app.markdown]
    for judgement in judgements:
        if judgement.claim.figure == "figure-6":
            assert judgement.explanation in shown


def test_the_condition_and_the_tables_can_be_chosen(shipped: Path) -> None:
    app = open_page(figure="Figure 7", method=condition_words(METHODS[2]))
    low = plots(app)[0].proto.alt
    app.segmented_control(key="method").set_value(condition_words(METHODS[0])).run()
    assert plots(app)[0].proto.alt != low
    app.toggle(key="zoom").set_value(False).run()
    tables = len(app.dataframe)
    app.toggle(key="tests-generative-conditional").set_value(True).run()
    app.toggle(key="widths").set_value(True).run()
    assert [fault.value for fault in app.exception] == []
    assert len(app.dataframe) == tables + 2
    assert "Holm p" in app.dataframe[-1].value
