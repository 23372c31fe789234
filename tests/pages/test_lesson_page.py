"""The lesson's page: every step on the shipped store and on an empty one, its address, its question."""

from pathlib import Path

import pytest
from browser import ROOT
from streamlit.testing.v1 import AppTest

from core.teaching.lesson import STEPS

STORED = range(2, len(STEPS) + 1)  # the first step also reads a text, as the tests of its scene do


@pytest.fixture
def shipped(tmp_cache: Path) -> Path:
    (tmp_cache / "shipped").symlink_to(ROOT / "cache" / "shipped")
    return tmp_cache


def open_page(**query: str) -> AppTest:
    app = AppTest.from_file(ROOT / "pages" / "lesson.py", default_timeout=60)
    app.query_params.update(query)
    app.run()
    assert [*app.exception] == []
    return app


@pytest.mark.parametrize("place", STORED)
def test_a_step_shows_its_words_figures_and_how_they_were_made(place: int, shipped: Path) -> None:
    app, step = open_page(step=str(place)), STEPS[place - 1]
    assert [header.value for header in app.header] == [f"{place}. {step.asks}"]
    assert step.words in [text.value for text in app.markdown]
    charts = app.get("plotly_chart")
    captions = [caption.value for caption in app.caption]
    assert charts
    assert [chart.key for chart in charts if chart.proto.alt not in captions] == []
    assert [text for text in captions if "Versions: python" in text]
    assert [*app.error, *app.info] == []


@pytest.mark.parametrize("place", range(1, len(STEPS) + 1))
def test_an_empty_store_says_what_fills_it(place: int, tmp_cache: Path) -> None:
    app = open_page(step=str(place))
    assert [*app.get("plotly_chart"), *app.error] == []
    assert "not in the store" in app.info[0].value
    assert app.code[0].value.startswith("python -m core sweep reuters-r8")
    assert app.radio[0].label == STEPS[place - 1].question.text


def test_next_and_back_move_by_one_step(shipped: Path) -> None:
    app = open_page(step="2")
    app.button(key="next").click().run()
    assert app.header[0].value == f"3. {STEPS[2].asks}"
    app.button(key="back").click().run()
    assert app.header[0].value == f"2. {STEPS[1].asks}"


def test_a_question_tells_right_from_wrong(shipped: Path) -> None:
    question = STEPS[1].question
    app = open_page(step="2")
    assert [*app.success, *app.info] == []
    app.radio[0].set_value(question.options[question.right]).run()
    assert question.reason in app.success[0].value
    app.radio[0].set_value(question.options[question.right - 1]).run()
    assert question.options[question.right] in app.info[0].value


def test_the_dial_moves_the_figure(shipped: Path) -> None:
    app = open_page(step="2")
    before = app.get("plotly_chart")[0].proto.alt
    app.slider(key="width").set_value(8).run()
    assert "256 levels" in app.get("plotly_chart")[0].proto.alt != before


def test_a_step_that_is_none_says_so(tmp_cache: Path) -> None:
    app = open_page(step="12")
    assert "step=12 in the address is no step of this lesson" in app.error[0].value
