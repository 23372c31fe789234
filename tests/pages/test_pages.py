"""The pages beside Compare: with an empty store, with part of what they ask for, with the shipped results."""

from pathlib import Path
from typing import Any

import pytest
import tiny
from browser import ROOT
from compared import HALF, Place
from streamlit.testing.v1 import AppTest
from test_app import figures, messages

from core import pipeline
from core.config import BIT_WIDTHS, MODEL_KINDS
from core.display import curves, readings
from core.display.curve_charts import WIDTHS
from core.display.curves import Condition

FITTED = Condition("uniform", "fitted", "gpfq", "conditional")
FIGURES = {
    "bits": {"bits-generative", "bits-discriminative", "classes", "sizes"},
    "noise": {"noise-generative", "noise-discriminative", "heat-generative", "heat-discriminative"},
    "losses": {"losses", "differences"},
}


@pytest.fixture
def nothing_computed(in_clone: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """The store is that of a fresh clone, and whoever computes anything fails."""
    tiny.refuse_computations(monkeypatch)


def open_page(name: str, **query: str | list[str]) -> AppTest:
    app = AppTest.from_file(ROOT / "pages" / f"{name}.py", default_timeout=60)
    app.query_params.update(query)
    return app.run()


def drawn(app: AppTest) -> dict[str, list[dict[str, Any]]]:
    """The traces of every figure, each of which says its sentence beside it."""
    captions = [caption.value for caption in app.caption]
    assert [chart.key for chart in app.get("plotly_chart") if chart.proto.alt not in captions] == []
    return figures(app)


# Stored results


@pytest.mark.parametrize("page", FIGURES)
def test_an_empty_store_says_which_commands_fill_it(page: str, tmp_cache: Path) -> None:
    (tmp_cache / "corpora").symlink_to(ROOT / "cache" / "corpora")
    app = open_page(page)
    assert messages(app) == []
    (info,), (code,) = app.info, app.code
    assert "are not in the store" in info.value
    assert all(line.startswith("python -m core sweep reuters-r8 ") for line in code.value.splitlines())
    assert drawn(app) == {}


@pytest.mark.parametrize("page", FIGURES)
def test_the_shipped_store_fills_every_figure(page: str, nothing_computed: None) -> None:
    app = open_page(page)
    assert messages(app) == [*app.info] == [*app.code] == []
    assert set(drawn(app)) == FIGURES[page]
    assert len(app.get("download_button")) == 1


def test_the_lines_over_bits_are_the_stored_accuracies(nothing_computed: None) -> None:
    app, shelf = open_page("bits", rules=["fitted"]), curves.read("reuters-r8")
    for model in MODEL_KINDS:
        (line,) = curves.bit_lines(shelf, model, [FITTED], "accuracy")
        _, trace = drawn(app)[f"bits-{model}"]
        assert trace["y"] == [point.y for point in line.points]
    app.segmented_control(key="show").set_value("Change from float").run()
    for model in MODEL_KINDS:
        (line,) = curves.bit_lines(shelf, model, [FITTED], "change")
        assert drawn(app)[f"bits-{model}"][-1]["y"] == [point.y for point in line.points]
    assert messages(app) == []


def test_the_heat_map_is_the_stored_accuracies(nothing_computed: None) -> None:
    app, shelf = open_page("noise"), curves.read("reuters-r8")
    for model in MODEL_KINDS:
        (heat,) = drawn(app)[f"heat-{model}"]
        cells = curves.heat_cells(shelf, model, FITTED, "accuracy")
        assert heat["z"] == [[cell and cell.y for cell in line] for line in cells]
    app.segmented_control(key="show").set_value("Change from float without noise").run()
    assert messages(app) == []
    assert drawn(app)["heat-generative"][0]["z"][0][0] == 0


@pytest.mark.parametrize("page", ["bits", "noise"])
def test_zoom_changes_the_axis_and_not_the_lines(page: str, nothing_computed: None) -> None:
    app = open_page(page)
    key = f"{page}-discriminative"
    before = drawn(app)[key]
    app.toggle(key="zoom").set_value(True).run()
    assert messages(app) == []
    assert [trace["y"] for trace in drawn(app)[key]] == [trace["y"] for trace in before]


def test_losses_are_of_the_conditions_chosen(nothing_computed: None) -> None:
    app = open_page("losses")
    assert len(drawn(app)["losses"]) == 4
    app.multiselect(key="losses-of").set_value(["float"]).run()
    assert (messages(app), set(drawn(app))) == ([], {"losses"})
    app.multiselect(key="losses-of").set_value([]).run()
    assert (messages(app), drawn(app)) == ([], {})
    assert app.info[0].value == "Choose at least one condition."


@pytest.mark.parametrize("page", FIGURES)
def test_part_of_the_results_is_shown_and_the_rest_named(page: str, place: Place) -> None:
    single = {"bits": {"rules": ["percentile", "minmax"], "heads": ["round"]}}
    query: dict[str, Any] = single.get(page, tiny.QUICK)
    app = open_page(page, corpus=place.corpus, **query)
    assert messages(app) == []
    assert drawn(app)
    assert f"sweep {place.corpus}" in app.code[0].value


def test_a_page_without_a_choice_asks_for_one(nothing_computed: None) -> None:
    app = open_page("bits")
    app.multiselect(key="presets").set_value([]).run()
    assert messages(app) == []
    assert [info.value for info in app.info] == ["Choose at least one value of each setting on the left."]
    app = open_page("noise")
    app.multiselect(key="widths").set_value([]).run()
    assert messages(app) == []
    assert set(drawn(app)) == {"heat-generative", "heat-discriminative"}


@pytest.mark.parametrize(
    ("page", "name", "used"),
    [("bits", "rules", "fitted, percentile"), ("noise", "ranges", "fitted"), ("losses", "corpus", "reuters-r8")],
)
def test_an_address_that_names_no_choice_is_said(page: str, name: str, used: str, nothing_computed: None) -> None:
    app = open_page(page, **{name: "best"})
    (message,) = messages(app)
    assert message.startswith(f"{name}=best in the address is no choice of this page; {used} is shown.")
    assert messages(app.run()) == []


# A text


def try_it(place: Place, **query: str) -> AppTest:
    return open_page("try_it", corpus=place.corpus, **{**tiny.QUICK, **query})


def test_a_text_is_answered_by_every_stored_variant(place: Place) -> None:
    app = try_it(place, text="wheat corn bank")
    assert messages(app) == [*app.warning] == [*app.button][1:] == []
    found = readings.read("wheat corn bank", readings.variants(place.settings()))
    for trace, model in zip(drawn(app)["answers"], MODEL_KINDS, strict=True):
        of_model = [r for r in found if r.model == model]
        assert [r.bits for r in of_model] == list(WIDTHS)
        assert [line[0] for line in trace["z"]] == pytest.approx([r.probability for r in of_model])
    assert readings.describe_flips(found) in [caption.value for caption in app.caption]


def test_the_chosen_variant_shows_its_probabilities_and_words(place: Place) -> None:
    app = try_it(place, text="wheat qqqq bank", bits="3")
    found = {(r.model, r.bits): r for r in readings.read("wheat qqqq bank", readings.variants(place.settings()))}
    for model in MODEL_KINDS:
        app.segmented_control(key="model").set_value(model).run()
        assert messages(app) == []
        chosen = found[model, 3]
        bars, marks = drawn(app)["probabilities"]
        assert bars["x"] == pytest.approx([100 * share for share in chosen.row["probabilities"].values()])
        assert marks["x"] == pytest.approx([100 * p for p in found[model, 32].row["probabilities"].values()])
        assert app.metric[0].value == f"{chosen.row['margin']:.2f} nats"
        assert any("3 words read, 1 of them unknown" in caption.value for caption in app.caption)
        app.toggle(key="words").set_value(True).run()
        assert len(app.dataframe[0].value) == (4 if model == "generative" else 3)


@pytest.mark.parametrize("text", ["", "   "])
def test_without_a_text_one_is_asked_for(place: Place, text: str) -> None:
    app = try_it(place, text="wheat")
    app.text_area(key="text").set_value(text).run()
    assert (messages(app), drawn(app)) == ([], {})
    assert app.info[0].value == "Type a text, or take an example."


def test_a_text_without_a_known_word_is_warned_about(place: Place) -> None:
    app = try_it(place, text="qqqq zzzz")
    assert messages(app) == []
    assert [warning.value.startswith("No word of this text is known") for warning in app.warning] == [True, True]
    assert "answers" in drawn(app)


def test_markup_in_a_text_is_shown_and_not_obeyed(place: Place) -> None:
    app = try_it(place, text='<img src=x onerror="alert(1)"> **bold** $x$ wheat')
    assert messages(app) == []
    html = "".join(element.proto.body for element in app.get("html"))
    assert "<img" not in html
    assert "wheat</span>" in html


def test_an_example_and_a_document_can_be_taken(place: Place) -> None:
    app = try_it(place)
    app.number_input(key="document").set_value(2).run()
    app.button(key="take").click().run()
    assert messages(app) == []
    assert app.text_area(key="text").value == readings.document(place.corpus, 2)
    assert any(caption.value.startswith("This is test document ") for caption in app.caption)
    app.pills(key="example").set_value(readings.EXAMPLES[1]).run()
    assert app.text_area(key="text").value == readings.EXAMPLES[1]


def test_noise_changes_what_is_read(place: Place) -> None:
    text = " ".join(["wheat", "harvest"] * 10)
    app = try_it(place, text=text, noise="0.1")
    assert messages(app) == []
    html = "".join(element.proto.body for element in app.get("html"))
    assert html.count(">wheat<") < 20
    assert "unknown to the model" in html


def test_what_is_not_stored_is_offered_and_made_on_a_click(copy: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[int] = []
    build = pipeline.build_variant

    def counted(spec: Any, *rest: Any) -> Any:
        made.append(spec.recipe.bits.head_weight if spec.recipe else 32)
        return build(spec, *rest)

    app = try_it(copy, preset="paper-code", text="wheat")
    assert messages(app) == []
    absent = 2 * len(BIT_WIDTHS) - 3  # both at 8 bits, where the presets agree, and HALF
    assert app.button(key="make").label == f"Quantize {absent} models"
    monkeypatch.setattr(pipeline, "build_variant", counted)
    app.button(key="make").click().run()
    assert messages(app) == []
    below = [(model, bits) for model in MODEL_KINDS for bits in BIT_WIDTHS if bits != max(BIT_WIDTHS)]
    below.remove(("discriminative", HALF["bits"]))
    assert made[:absent] == [bits for _, bits in below]
    assert [button.key for button in app.button] == ["take"]
    assert [line[0] is None for trace in drawn(app)["answers"] for line in trace["z"]] == [False] * 14


def test_a_width_that_is_not_stored_is_said(place: Place) -> None:
    app = try_it(place, preset="paper-code", text="wheat", bits="4")
    assert messages(app) == []
    assert any(info.value.startswith("The generative model at 4 is not in the store") for info in app.info)


def test_without_a_trained_model_the_commands_are_given(tmp_cache: Path) -> None:
    (tmp_cache / "corpora").symlink_to(ROOT / "cache" / "corpora")
    app = open_page("try_it")
    assert messages(app) == []
    expected = [f"python -m core train reuters-r8 --model {model}" for model in MODEL_KINDS]
    assert app.code[0].value.splitlines() == expected
    assert (drawn(app), [button.key for button in app.button]) == ({}, ["take"])


def test_settings_that_name_nothing_are_refused(place: Place) -> None:
    assert messages(try_it(place, calibration="nonsense"))[0].startswith(
        "scheme='nonsense': Input should be 'conditional'"
    )
    message = messages(try_it(place, preset="best"))[0]
    assert message.startswith("preset=best in the address is no choice of this page; preset=uniform is shown.")
