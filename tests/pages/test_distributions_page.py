"""The Distributions page: an empty store, the shipped weights, a corpus of one's own, a dead LSTM, bad addresses."""

from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest
import tiny
from browser import lay_out_clone
from compared import Place
from streamlit.testing.v1 import AppTest
from test_app import messages, metrics
from test_pages import drawn, open_page

from core import pipeline
from core.display import distribution_charts, distributions
from core.display.distributions import SITES
from core.quantization import packing
from core.quantization.levels import Quantizer
from core.storage.store import Store


def open_own(place: Place, **query: str) -> AppTest:
    return open_page("distributions", corpus=place.corpus, **{**tiny.QUICK, **query})


def test_without_a_trained_model_the_command_is_given(tmp_cache: Path) -> None:
    (lay_out_clone(tmp_cache) / "shipped").unlink()
    app = open_page("distributions")
    assert (messages(app), drawn(app)) == ([], {})
    assert [code.value for code in app.code] == ["python -m core train reuters-r8 --model generative"]


def test_the_shipped_store_shows_the_default_settings_and_offers_the_rest(tmp_cache: Path, calls: Counter[str]) -> None:
    lay_out_clone(tmp_cache)
    app = open_page("distributions", model="discriminative")
    assert messages(app) == [*app.button] == []
    assert [trace["name"] for trace in drawn(app)["distribution"]] == ["float", "4 bits"]
    app = open_page("distributions", model="discriminative", preset="paper-code")
    assert [trace["name"] for trace in drawn(app)["distribution"]] == ["float"]
    assert app.button(key="make").label == "Quantize it"
    assert len(app.dataframe[0].value) == len([site for site in SITES if not site.startswith("label")])
    assert (calls["train"], calls["quantize"], calls["evaluate"]) == (0, 0, 0)


def test_a_stored_variant_is_drawn_beside_float(copy: Place, calls: Counter[str]) -> None:
    app = open_own(copy, bits="3", show="ECDF")
    assert messages(app) == [*app.info] == [*app.button] == []
    found = distributions.measure(copy.settings(bits=3).spec("generative").variant)
    site = found.site("cell_state")
    assert site.grid is not None
    assert site.gap is not None
    assert [trace["name"] for trace in drawn(app)["distribution"]] == ["float", "3 bits", distribution_charts.GAP]
    assert metrics(app)["Largest gap (D)"][0] == f"{site.gap.distance:.3f}"
    assert metrics(app)["Levels used"][0] == f"{site.grid.used} of 8"
    assert list(app.dataframe[0].value["n"]) == [one.n for one in found.sites]
    assert calls["quantize"] == 0


def test_a_gates_site_is_drawn_for_all_gates(copy: Place) -> None:
    app = open_own(copy, model="discriminative", site="Accumulator (forget gate)")
    assert messages(app) == []
    assert set(drawn(app)) == {"distribution", "gates"}
    app.selectbox(key="site").set_value("hidden_state").run()
    assert (messages(app), set(drawn(app))) == ([], {"distribution"})
    app.segmented_control(key="show").set_value("ECDF").run()
    assert (messages(app), len(drawn(app)["distribution"])) == ([], 3)


def test_a_site_that_the_other_model_lacks_gives_way(copy: Place) -> None:
    app = open_own(copy, site="Label embedding weight")
    assert messages(app) == []
    app.segmented_control(key="model").set_value("discriminative").run()
    assert messages(app) == []
    assert set(drawn(app)) >= {"distribution"}


def test_what_is_not_stored_is_quantized_on_a_click(copy: Place, calls: Counter[str]) -> None:
    app = open_own(copy, preset="paper-code")
    assert messages(app) == []
    assert [trace["name"] for trace in drawn(app)["distribution"]] == ["float"]
    assert calls["quantize"] == 0
    app.button(key="make").click().run()
    assert messages(app) == [*app.button] == []
    assert [trace["name"] for trace in drawn(app)["distribution"]] == ["float", "8 bits"]  # the cell state's own
    assert calls["quantize"] == 1


def test_a_dead_lstm_is_warned_about(copy: Place) -> None:
    spec = pipeline.resolve(copy.settings(bits=3).spec("discriminative")).variant
    variant, report = pipeline.build_variant(spec)
    dead = replace(variant, sites={**variant.sites, "cell_state": Quantizer(100.0, -4, 3)})
    tensors, form = packing.to_tensors(dead)
    meta = {"spec": spec.model_dump(mode="json"), "versions": {}, "variant": form, "report": report}
    Store().save_tensors("variants", spec.fingerprint(), tensors, meta)
    tiny.forget_corpora()
    app = open_own(copy, bits="3", model="discriminative")
    assert messages(app) == []
    (warning, *_) = [warning.value for warning in app.warning]
    assert warning.startswith("Dead signal: constant, whatever the model reads: ")
    assert "cell state, tanh of the cell state, hidden state, head input (states)" in warning
    assert metrics(app)["Levels used"][0] == "1 of 8"


@pytest.mark.parametrize(
    ("name", "shown"), [("bits", "4"), ("model", "generative"), ("site", "Cell state"), ("show", "Histogram")]
)
def test_an_address_that_names_no_choice_is_said(copy: Place, name: str, shown: str) -> None:
    app = open_own(copy, **{name: "99"})
    (message,) = messages(app)
    shown = f"{name}={shown}" if name == "bits" else shown
    assert message == f"{name}=99 in the address is no choice of this page; {shown} is shown. Choose another here."


def test_settings_that_name_nothing_are_refused(copy: Place) -> None:
    assert "'nonsense'" in messages(open_own(copy, calibration="nonsense"))[0]
