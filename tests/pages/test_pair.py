"""A against B on the Compare page: what it shows of a store, its address, what is missing; nothing computed unasked."""

from pathlib import Path
from typing import Any

import pytest
import tiny
from browser import ROOT
from compared import Place, open_app
from streamlit.testing.v1 import AppTest
from test_app import figures, messages, metrics, offers

from core import pipeline
from core.config import FLOAT_BITS, MODEL_KINDS, EvaluationSpec
from core.display import charts, pairs
from core.display.pairs import Pair
from core.errors import InputError
from core.text import inputs

PAIR = "A against B"
FIGURES = {"accuracy", "confusion-A", "confusion-B", "confusion-difference"}
SIDES = {"a_bits": "32", "b_bits": "3", "b_model": "generative"}


@pytest.fixture
def computed(monkeypatch: pytest.MonkeyPatch) -> list[EvaluationSpec]:
    """What the page has asked to be computed."""
    asked: list[EvaluationSpec] = []
    outcome = pipeline.outcome

    def counted(spec: EvaluationSpec, *progress: Any) -> Any:
        asked.append(spec)
        return outcome(spec, *progress)

    monkeypatch.setattr(pipeline, "outcome", counted)
    return asked


def open_pair(place: Place, **query: str) -> AppTest:
    quick = {f"{side}_{name}": value for side in "ab" for name, value in tiny.QUICK.items()}
    return open_app(place, compare=PAIR, **{**quick, **SIDES, **query})


def stored(place: Place, a: int = 32, b: int = 3) -> Pair:
    return Pair(*(pairs.look_up(n, "generative", place.settings(bits=bits)) for n, bits in (("A", a), ("B", b))))


def listed(app: AppTest) -> list[int]:
    """The documents on the page by their number."""
    lines = [element.value for element in app.markdown if " · :green[A] " in element.value]
    return [int(line.partition(".")[0].removeprefix("**").replace(",", "")) for line in lines]


def sides(app: AppTest) -> dict[str, Any]:
    return {box.key: box.value for box in app.selectbox if box.key[:2] in ("a_", "b_") and "read" not in box.key}


def test_both_sides_and_their_difference_are_the_stored_numbers(place: Place, computed: list[EvaluationSpec]) -> None:
    app, pair = open_pair(place), stored(place)
    found = pairs.contrast(pair)
    assert (messages(app), computed, offers(app)) == ([], [], [])
    assert set(figures(app)) == FIGURES
    assert [chart.key for chart in app.get("plotly_chart") if len(chart.proto.alt) < 20] == []
    for side, row in zip(pair.sides, pairs.rows(pair), strict=True):
        assert metrics(app)[side.label][0] == charts.percent(row["accuracy"])
        assert figures(app)[f"confusion-{side.name}"][0]["z"] == row["detail"]["confusion"]
    assert metrics(app)["B minus A"][0] == charts.points(100 * found["difference"]["difference"])
    text = " ".join(element.value for element in app.markdown)
    assert pairs.describe_mcnemar(found) in text
    assert pairs.describe_flips(found) in text


@pytest.mark.parametrize("group", ["A right, B wrong", "Both wrong, alike", "Both right"])
def test_a_group_lists_its_documents_with_their_texts(place: Place, group: str) -> None:
    app, pair = open_pair(place, group=group), stored(place)
    places = pairs.groups(pair)[group]
    assert messages(app) == []
    assert listed(app) == (places[:20] + 1).tolist()
    texts = inputs.read_texts(pair.a.spec)
    captions = [caption.value for caption in app.caption]
    assert [texts[place] in captions for place in places[:20]] == [True] * len(places[:20])
    assert len([info for info in app.info if info.value.startswith("No document")]) == (len(places) == 0)


def test_the_classes_narrow_the_documents(place: Place) -> None:
    query = {"group": pairs.EVERY, "true": "grain", "b_read": "metal"}
    app = open_pair(place, **query)
    chosen = pairs.select(stored(place), pairs.EVERY, "grain", None, "metal")
    assert messages(app) == []
    assert listed(app) == (chosen[:20] + 1).tolist()


def test_a_second_page_follows_the_first_and_another_group_starts_anew(place: Place) -> None:
    app = open_pair(place, group=pairs.EVERY)
    n = pairs.rows(stored(place))[0]["n"]
    assert listed(app) == list(range(1, 21))
    (pagination,) = app.get("pagination")
    assert pagination.proto.num_pages == -(-n // 20) == 2
    app.segmented_control(key="group").set_value("Both right").run()
    assert listed(app) == (pairs.groups(stored(place))["Both right"][:20] + 1).tolist()


def test_noisy_sides_show_what_each_has_read(copy: Place) -> None:
    for noise in (0.0, 0.1):
        pipeline.evaluate(copy.settings(bits=FLOAT_BITS, noise=noise).spec("generative"))
    app = open_pair(copy, b_bits="32", b_noise="0.1", group=pairs.EVERY)
    assert messages(app) == []
    texts = [inputs.read_texts(copy.settings(noise=noise).spec("generative")) for noise in (0.0, 0.1)]
    captions = [caption.value.replace("\\", "") for caption in app.caption]
    for name, own in zip("AB", texts, strict=True):
        assert f"{name} read: {own[0]}" in captions


def test_without_the_corpus_the_page_says_how_to_fetch_it(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    def gone(*_: object) -> None:
        raise InputError("the corpus has gone")

    monkeypatch.setattr(inputs, "read_texts", gone)
    app = open_pair(place, group=pairs.EVERY)
    assert messages(app) == []
    assert any("The texts are not stored with the results" in info.value for info in app.info)
    assert f"python -m core fetch {place.corpus}" in [code.value for code in app.code]
    assert listed(app) == list(range(1, 21))


# The address and the dials


def test_the_address_sets_both_sides(place: Place) -> None:
    query = {"a_model": "discriminative", "a_noise": "0.05", "b_preset": "paper-code", "b_calibration": "classes:grain"}
    app = open_pair(place, **query)
    assert messages(app) == []
    assert {name: str(sides(app)[name]) for name in query} == query


@pytest.mark.parametrize(("name", "value", "used"), [("a_bits", "99", "32"), ("b_model", "best", "generative")])
def test_an_address_out_of_range_is_named(place: Place, name: str, value: str, used: str) -> None:
    expected = f"{name}={value} in the address is no choice of this page; {name}={used} is shown. Choose another here."
    app = open_pair(place, **{name: value})
    assert messages(app) == [expected]
    assert messages(app.run()) == []


def test_a_calibration_that_names_nothing_is_refused(place: Place) -> None:
    app = open_pair(place, b_calibration="classes:nosuch")
    assert messages(app) == ["class 'nosuch' is not known; choose from: grain, metal, money"]
    assert figures(app) == {}


def test_the_sides_start_as_the_two_models_at_the_dials(place: Place) -> None:
    app = open_app(place, bits="3")
    app.segmented_control(key="compare").set_value(PAIR).run()
    assert messages(app) == []
    dials = {"bits": 3, "noise": 0.0, "preset": "uniform", "calibration": "conditional", **tiny.QUICK}
    assert sides(app) == {
        f"{side}_{name}": value
        for side, model in zip("ab", MODEL_KINDS, strict=True)
        for name, value in {"model": model, **dials}.items()
    }


def test_a_pinned_model_is_a_and_the_dials_keep_their_place(place: Place) -> None:
    app = open_app(place, bits="3")
    app.button(key="pin-discriminative").click().run()
    assert [sides(app)[f"{side}_model"] for side in "ab"] == ["discriminative"] * 2
    assert any(caption.value.startswith("A and B are the same configuration") for caption in app.caption)
    app.selectbox(key="b_bits").set_value(8).run()
    app.segmented_control(key="compare").set_value("The two models").run()
    assert app.select_slider(key="bits").value == 3
    app.select_slider(key="bits").set_value(5).run()
    app.button(key="pin-generative").click().run()
    assert messages(app) == []
    found = sides(app)
    assert (found["a_model"], found["a_bits"]) == ("generative", 5)
    assert (found["b_model"], found["b_bits"]) == ("discriminative", 8)


def test_the_sides_can_be_swapped(place: Place) -> None:
    app = open_pair(place)
    before = sides(app)
    app.button(key="swap").click().run()
    assert messages(app) == []
    assert sides(app) == {f"{'ba'['ab'.index(name[0])]}{name[1:]}": value for name, value in before.items()}


# What is missing


def test_a_missing_result_is_computed_on_a_click_only(copy: Place, computed: list[EvaluationSpec]) -> None:
    app = open_pair(copy, b_preset="paper-code", b_bits="6")
    assert messages(app) == []
    assert [info.value.partition(".")[0] for info in app.info] == ["The store has no result for B: generative, 6 bits"]
    assert (figures(app), computed, offers(app)) == ({}, [], ["compute-pair"])
    app.button(key="compute-pair").click().run()
    assert messages(app) == []
    assert computed == [copy.settings(preset="paper-code", bits=6).spec("generative")]
    assert set(figures(app)) == FIGURES
    assert offers(app) == []


def test_missing_answers_leave_accuracy_and_counts(copy: Place, computed: list[EvaluationSpec]) -> None:
    row = pairs.rows(stored(copy))[1]
    (copy.cache / "local" / "evaluations" / f"{row['key']}.safetensors").unlink()
    app = open_pair(copy, group=pairs.EVERY)
    assert messages(app) == []
    assert app.info[0].value.startswith("The answers to the single documents are not stored for B: generative, 3 bits.")
    assert (set(figures(app)), listed(app), computed) == (FIGURES, [], [])
    app.button(key="compute-pair").click().run()
    assert messages(app) == []
    assert listed(app) == list(range(1, 21))


def test_an_empty_store_says_what_to_do(tmp_cache: Path, computed: list[EvaluationSpec]) -> None:
    (tmp_cache / "corpora").symlink_to(ROOT / "cache" / "corpora")
    app = AppTest.from_file(ROOT / "app.py", default_timeout=60)
    app.query_params.update({"compare": PAIR, "b_model": "discriminative"})
    app.run()
    assert messages(app) == []
    assert app.code[0].value.splitlines() == [f"python -m core train reuters-r8 --model {m}" for m in MODEL_KINDS]
    assert (figures(app), offers(app), computed) == ({}, [], [])
