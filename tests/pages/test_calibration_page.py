"""The Calibration page: empty store, shipped store, a corpus of one's own; a set composed, computed and shared."""

from pathlib import Path
from typing import Any

import pytest
import tiny
from browser import ROOT
from compared import Place
from streamlit.testing.v1 import AppTest
from test_app import figures, messages

from core import pipeline
from core.config import EvaluationSpec
from core.display import composer, coverage
from core.display.curves import Condition, Shelf

PAPER = Condition("paper-code", "percentile", "gpfq", "conditional")
STORED = {"schemes-generative", "schemes-discriminative", "recall-generative", "recall-discriminative"}


def open_page(**query: str) -> AppTest:
    app = AppTest.from_file(ROOT / "pages" / "calibration.py", default_timeout=60)
    app.query_params.update(query)
    return app.run()


def open_own(place: Place, **query: str) -> AppTest:
    return open_page(corpus=place.corpus, preset="uniform", bits="4", **tiny.QUICK, **query)


def drawn(app: AppTest) -> dict[str, Any]:
    """The traces of every figure, each of which says its sentence beside it."""
    captions = [caption.value for caption in app.caption]
    assert [chart.key for chart in app.get("plotly_chart") if chart.proto.alt not in captions] == []
    return figures(app)


@pytest.fixture
def idle(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever computes anything fails."""
    for name in ("evaluate", "outcome", "build_model", "build_variant"):
        monkeypatch.setattr(pipeline, name, lambda *_: pytest.fail("a page computes nothing unasked"))


def test_an_empty_store_says_what_fills_it(tmp_cache: Path, idle: None) -> None:
    (tmp_cache / "corpora").symlink_to(ROOT / "cache" / "corpora")
    app = open_page(**{"share-earn": "0"})
    assert messages(app) == []
    assert set(drawn(app)) == {"mix"}
    assert [button.key for button in app.button] == []
    words = "\n".join(code.value for code in app.code)
    assert "python -m core train reuters-r8 --model generative" in words
    assert "python -m core sweep reuters-r8" in words


def test_the_shipped_store_fills_the_figures_and_computes_nothing(in_clone: None, idle: None, shipped: Shelf) -> None:
    app = open_page()
    assert messages(app) == []
    assert set(drawn(app)) == {*STORED, "mix"}
    for model in ("generative", "discriminative"):
        lines = coverage.scheme_lines(shipped, model, PAPER)
        assert [trace["y"] for trace in drawn(app)[f"schemes-{model}"] if trace.get("line")] == [
            [point.y for point in line.points] for line in lines
        ]
    assert any("equal shares: the balanced set itself" in info.value for info in app.info)
    app.segmented_control(key="held").set_value("1 of 8").run()
    assert messages(app) == []
    (heat, _) = drawn(app)["recall-discriminative"]
    expected = coverage.recalls(shipped, "discriminative", PAPER, 1)[coverage.LEFT_OUT]
    assert heat["z"][2][3] == pytest.approx(expected[2][3].y, abs=0.05)  # type: ignore[union-attr]


def test_a_slider_asks_and_a_click_computes_what_is_missing(copy: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[EvaluationSpec] = []
    outcome = pipeline.outcome

    def counted(spec: EvaluationSpec, *rest: Any) -> Any:
        made.append(spec)
        return outcome(spec, *rest)

    monkeypatch.setattr(pipeline, "outcome", counted)
    app = open_own(copy, models="discriminative")
    app.slider(key="share-grain").set_value(0).run()
    assert (messages(app), made) == ([], [])
    composed = composer.compose(copy.corpus, {"grain": 0, "metal": 5, "money": 5})
    assert drawn(app)["mix"][1]["x"] == [portion.drawn for portion in composed.portions]
    app.button(key="calibrate").click().run()
    assert messages(app) == []
    assert made == [copy.settings(calibration="mix:metal=1,money=1").spec("discriminative")]
    assert {"mix", "changes-discriminative"} <= set(drawn(app))
    assert [button.key for button in app.button] == []
    app.toggle(key="table-discriminative").set_value(True).run()
    assert list(app.dataframe[-1].value["Class"]) == list(tiny.CLASSES)
    shared = open_own(copy, models="discriminative", **{"share-grain": "0"})
    assert messages(shared) == []
    assert drawn(shared)["changes-discriminative"] == drawn(app)["changes-discriminative"]
    assert len(made) == 1


def test_shares_that_are_all_zero_are_refused(place: Place) -> None:
    app = open_own(place, **{f"share-{name}": "0" for name in tiny.CLASSES})
    (message,) = messages(app)
    assert message.startswith("every share is 0, so no document would calibrate")
    app.slider(key="share-metal").set_value(3).run()
    assert messages(app) == []


def test_a_share_out_of_range_is_said_once(place: Place) -> None:
    app = open_own(place, **{"share-metal": "99"})
    (message,) = messages(app)
    assert message.startswith("The share 99 of class metal in the address is out of range")
    app.slider(key="share-metal").set_value(3).run()
    assert messages(app) == []


def test_without_a_model_one_is_asked_for(place: Place) -> None:
    app = open_own(place, **{"share-metal": "0"})
    app.pills(key="models").set_value([]).run()
    assert messages(app) == []
    assert "Choose at least one model." in [info.value for info in app.info]
