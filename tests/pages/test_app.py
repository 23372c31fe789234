"""The Compare page: what it shows of a store, what it asks for, what it refuses; nothing computed unasked."""

import base64
import gc
import json
from dataclasses import fields
from pathlib import Path
from typing import Any

import compared
import numpy as np
import pytest
import tiny
from browser import ROOT
from compared import HALF, Place, open_app
from streamlit.testing.v1 import AppTest

from core import pipeline
from core.config import BIT_WIDTHS, FLOAT_BITS, MODEL_KINDS, EvaluationSpec
from core.display import charts, views
from core.errors import InputError
from core.storage.store import Row
from pages import parts

NAMES = [field.name for field in fields(views.Settings)]


@pytest.fixture
def computed(monkeypatch: pytest.MonkeyPatch) -> list[EvaluationSpec]:
    """What the page has asked to be computed."""
    asked: list[EvaluationSpec] = []
    evaluate = pipeline.evaluate

    def counted(spec: EvaluationSpec, *progress: Any, **rest: Any) -> Row:
        asked.extend([spec] if progress else [])  # without, the pipeline itself asks
        return evaluate(spec, *progress, **rest)

    monkeypatch.setattr(pipeline, "evaluate", counted)
    return asked


def widgets(app: AppTest) -> dict[str, Any]:
    """Every widget whose value is in the address."""
    found = [*app.selectbox, *app.select_slider, *app.slider, *app.toggle, *app.segmented_control, *app.button]
    return {w.key: w.value for w in found if getattr(w.proto, "query_param_key", "")}


def figures(app: AppTest) -> dict[str, list[Row]]:
    """The traces of every figure on the page, by key."""
    return {chart.key: _plain(json.loads(chart.proto.spec)["data"]) for chart in app.get("plotly_chart")}


def _plain(value: Any) -> Any:
    """Plotly's packed arrays as lists."""
    if isinstance(value, dict) and "bdata" in value:
        array = np.frombuffer(base64.b64decode(value["bdata"]), value["dtype"])
        return array.reshape([int(n) for n in value.get("shape", "-1").split(",")]).tolist()
    if isinstance(value, dict):
        return {name: _plain(part) for name, part in value.items()}
    return [_plain(part) for part in value] if isinstance(value, list) else value


def messages(app: AppTest) -> list[str]:
    assert [fault.value for fault in app.exception] == []
    return [error.value for error in app.error]


def metrics(app: AppTest) -> dict[str, tuple[str, str]]:
    return {metric.label: (metric.value, metric.delta) for metric in app.metric}


def offers(app: AppTest) -> list[str]:
    """The buttons that compute something."""
    return [button.key for button in app.button if button.key.startswith("compute")]


ALL_FIGURES = {"accuracy", *(f"{chart}-{model}" for chart in ("confusion", "histogram") for model in MODEL_KINDS)}


# What the page shows of a store


def test_an_empty_store_says_what_to_do(tmp_cache: Path, computed: list[EvaluationSpec]) -> None:
    (tmp_cache / "corpora").symlink_to(ROOT / "cache" / "corpora")
    app = AppTest.from_file(ROOT / "app.py", default_timeout=60).run()
    assert messages(app) == []
    (info,), (code,) = app.info, app.code
    assert info.value.startswith("There is no generative and no discriminative model of this corpus yet. Train it once")
    assert code.value.splitlines() == [f"python -m core train reuters-r8 --model {model}" for model in MODEL_KINDS]
    assert (figures(app), metrics(app), offers(app), computed) == ({}, {}, [], [])


@pytest.mark.parametrize("bits", BIT_WIDTHS)
def test_every_bit_width_shows_every_figure(place: Place, computed: list[EvaluationSpec], bits: int) -> None:
    app = open_app(place, bits=str(bits))
    assert messages(app) == [warning.value for warning in app.warning] == []
    assert set(figures(app)) == ALL_FIGURES | {"losses", "differences"}
    assert [chart.key for chart in app.get("plotly_chart") if len(chart.proto.alt) < 20] == []
    assert len(app.dataframe) == 2
    assert computed == []


@pytest.mark.parametrize("bits", [3, FLOAT_BITS])
def test_metrics_and_figures_are_the_stored_numbers(place: Place, bits: int) -> None:
    app = open_app(place, bits=str(bits))
    drawn = figures(app)
    for side in views.compare(place.settings(bits=bits)).shown:
        row, before = views.both(side)
        change = charts.points(100 * (row["accuracy"] - before["accuracy"]))
        expected = (charts.percent(row["accuracy"]), f"{change} from float")
        assert metrics(app)[f"{side.model.capitalize()} accuracy"] == expected
        (cells,) = drawn[f"confusion-{side.model}"]
        assert cells["z"] == row["detail"]["confusion"]
        quantized = next(bars for bars in drawn[f"histogram-{side.model}"] if bars["name"] == "quantized")
        assert quantized["y"] == row["detail"]["predicted"]
        dots = [dot["x"] for dot in drawn["accuracy"] if dot["name"].startswith(side.model)]
        assert dots[-1] == pytest.approx([100 * row["accuracy"]])


def test_what_a_page_has_loaded_is_left_out_of_garbage_collections_once(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    counts: list[int] = []
    freeze = gc.freeze
    monkeypatch.setattr(gc, "freeze", lambda: [freeze(), counts.append(gc.get_freeze_count())])
    parts.settle.cache_clear()
    for _ in range(2):
        open_app(place)
    (frozen,) = counts
    assert frozen > 10_000


def test_at_float_there_is_nothing_to_compare(place: Place) -> None:
    app = open_app(place, bits="32")
    assert messages(app) == []
    assert set(figures(app)) == ALL_FIGURES | {"losses"}
    assert [*app.dataframe] == []
    words = "The dial is at float: there is nothing to compare it with."
    assert [caption.value for caption in app.caption].count(words) == 2


def test_the_confusion_view_changes_the_cells(place: Place) -> None:
    app = open_app(place, bits="3")
    seen = []
    for view in ("Counts", "Share of true class", "Change from float"):
        app.segmented_control(key="confusion").set_value(view).run()
        assert messages(app) == []
        seen.append(figures(app)["confusion-generative"][0]["z"])
    row, before = views.both(views.compare(place.settings(bits=3)).shown[0])
    shares, shares_before = (
        [[n / sum(line) for n in line] for line in one["detail"]["confusion"]] for one in (row, before)
    )
    change = [[a - b for a, b in zip(*lines, strict=True)] for lines in zip(shares, shares_before, strict=True)]
    assert seen[0] == row["detail"]["confusion"]
    assert [pytest.approx(line) for line in shares] == seen[1]
    assert [pytest.approx(line) for line in change] == seen[2]


def test_the_details_say_how_the_numbers_were_made(place: Place) -> None:
    app = open_app(place, bits="3").toggle(key="provenance").set_value(True).run()
    assert messages(app) == []
    text = [element.value for element in app.markdown]
    for side in views.compare(place.settings(bits=3)).shown:
        assert views.caption(views.both(side)[0]) in text
    assert any(words.startswith("Calibration documents: grain ") for words in text)
    assert len(app.dataframe) == 4


@pytest.mark.parametrize("model", MODEL_KINDS)
def test_a_dead_lstm_is_warned_about(copy: Place, model: Any) -> None:
    compared.kill_lstm(model, 3)
    app = open_app(copy, bits="3")
    assert messages(app) == []
    (warning,) = app.warning
    assert warning.value.startswith("The LSTM is dead")
    (holder,) = [column for column in app.columns if [*column.warning]]
    assert [metric.label for metric in holder.metric] == [f"{model.capitalize()} accuracy"]


# The address


def test_the_address_sets_every_widget(place: Place) -> None:
    query = {"bits": "3", "noise": "0.05", "preset": "paper-code", "head": "round"}
    query |= {"ranges": "minmax", "calibration": "classes:grain,money"}
    app = open_app(place, **query)
    assert messages(app) == []
    expected = {**query, "corpus": place.corpus, "bits": 3, "noise": 0.05, "compare": "The two models"}
    assert widgets(app) == expected
    assert sorted(widgets(app)) == sorted([*NAMES, "compare"])


def test_without_an_address_the_defaults_are_set(place: Place) -> None:
    app = AppTest.from_file(ROOT / "app.py", default_timeout=60).run()
    defaults = ("reuters-r8", 4, 0.0, "uniform", "gpfq", "fitted", "conditional")
    assert widgets(app) == dict(zip(NAMES, defaults, strict=True)) | {"compare": "The two models"}


@pytest.mark.parametrize(
    ("name", "value", "used"),
    [
        ("bits", "99", "4"),
        ("bits", "four", "4"),
        ("noise", "much", "0.0"),
        ("noise", "0.5", "0.0"),
        ("preset", "best", "uniform"),
        ("ranges", "best", "fitted"),
        ("head", "best", "gpfq"),
    ],
)
def test_an_address_out_of_range_is_named_and_not_followed(place: Place, name: str, value: str, used: str) -> None:
    app = open_app(place, **{name: value})
    expected = f"{name}={value} in the address is no choice of this page; {name}={used} is shown. Choose another here."
    assert messages(app) == [expected]
    assert str(widgets(app)[name]) == used
    assert messages(app.run()) == []


def test_a_dial_turned_after_the_address_was_read_wins(place: Place) -> None:
    app = open_app(place, bits="3").select_slider(key="bits").set_value(5).run()
    assert messages(app) == []
    assert widgets(app)["bits"] == 5


def test_an_unknown_corpus_in_the_address_is_named(place: Place) -> None:
    (message,) = messages(open_app(place, corpus="nosuch"))
    assert message.startswith("corpus=nosuch in the address is no choice of this page; corpus=reuters-r8 is shown.")


@pytest.mark.parametrize(
    ("typed", "message"),
    [
        ("nonsense", "scheme='nonsense': Input should be 'conditional', 'unconditional', 'classes' or 'mix'"),
        ("classes:nosuch", "class 'nosuch' is not known; choose from: grain, metal, money"),
        ("classes:", "scheme 'classes' needs class names, and only it takes them: classes:a,b"),
    ],
)
def test_a_calibration_that_names_nothing_is_refused(place: Place, typed: str, message: str) -> None:
    app = open_app(place, calibration=typed)
    assert messages(app) == [message]
    assert (figures(app), offers(app)) == ({}, [])


# What is missing


def test_nothing_is_computed_before_the_click(place: Place, computed: list[EvaluationSpec]) -> None:
    app = open_app(place, noise="0.05")
    assert messages(app) == []
    (info,) = app.info
    assert info.value.startswith("4 of these results are not in the store.")
    assert app.button(key="compute").label == "Compute them"
    assert (figures(app), computed) == ({}, [])


def test_a_click_computes_what_is_missing_and_shows_it(copy: Place, computed: list[EvaluationSpec]) -> None:
    query = {name: str(value) for name, value in HALF.items()}
    app = open_app(copy, **query)
    assert [metric.label for metric in app.metric] == ["Discriminative accuracy"]
    app.button(key="compute").click().run()
    assert messages(app) == []
    assert computed == [copy.settings(**HALF).spec("generative")]
    assert set(figures(app)) == ALL_FIGURES | {"losses", "differences"}
    assert ([*app.info], offers(app)) == ([], [])
    assert set(figures(open_app(copy, **query))) == set(figures(app))
    assert len(computed) == 1


def test_a_computation_that_fails_says_why(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise InputError("the corpus has gone; bring it back")

    monkeypatch.setattr(pipeline, "evaluate", fail)
    app = open_app(place, noise="0.05").button(key="compute").click().run()
    assert messages(app) == ["the corpus has gone; bring it back"]


@pytest.mark.parametrize("untrained", MODEL_KINDS)
def test_one_untrained_model_does_not_hide_the_other(
    copy: Place, monkeypatch: pytest.MonkeyPatch, untrained: str, computed: list[EvaluationSpec]
) -> None:
    (trained,) = set(MODEL_KINDS) - {untrained}
    _forget(monkeypatch, untrained)
    app = open_app(copy)
    assert messages(app) == []
    assert app.info[0].value.startswith(f"There is no {untrained} model of this corpus yet.")
    assert [code.value for code in app.code] == [f"python -m core train {copy.corpus} --model {untrained}"]
    assert [metric.label for metric in app.metric] == [f"{trained.capitalize()} accuracy"]
    assert ("losses" in figures(app), offers(app)) == (trained == "generative", [])
    open_app(copy, noise="0.05").button(key="compute").click().run()
    assert [spec.variant.run.model.kind for spec in computed] == [trained, trained]


def _forget(patch: pytest.MonkeyPatch, model: str) -> None:
    """Hide every trace of a model in the store from the pipeline."""
    find, trained = pipeline.find, pipeline.trained
    patch.setattr(pipeline, "find", lambda spec: None if spec.variant.run.model.kind == model else find(spec))
    patch.setattr(pipeline, "trained", lambda run: run.model.kind != model and trained(run))


def test_a_command_with_a_corpus_of_an_odd_name_can_be_pasted(
    tmp_path: Path, tmp_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    corpus = str(tiny.write_corpus(tmp_path / "my news.csv"))
    monkeypatch.setattr(views, "known_corpora", lambda: [corpus])
    app = open_app(Place(corpus, tmp_cache))
    assert app.code[0].value.splitlines()[0] == f"python -m core train '{corpus}' --model generative"
