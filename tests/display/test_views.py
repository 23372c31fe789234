"""From the page's settings to what its charts are given, all of it read from the store."""

from pathlib import Path
from typing import Any

import compared
import numpy as np
import pytest
import tiny
from compared import HALF, Place

from core import pipeline
from core.config import BIT_WIDTHS, FLOAT_BITS, MODEL_KINDS
from core.display import charts, views
from core.display.charts import AccuracyRow
from core.display.views import Settings, Side
from core.errors import InputError
from core.storage.store import Row, Store


@pytest.fixture
def place(place: Place, monkeypatch: pytest.MonkeyPatch) -> Place:
    """The small store; whoever computes anything fails."""
    tiny.refuse_computations(monkeypatch)
    return place


def shown(settings: Settings) -> tuple[Side, ...]:
    sides = views.compare(settings).shown
    assert [side.model for side in sides] == list(MODEL_KINDS)
    return sides


def stored(place: Place, model: str, bits: int, **columns: Any) -> Row:
    """The store's one row of a model at quick settings."""
    usual = {**tiny.QUICK, "preset": "uniform", "calibration": "conditional"}
    recipe = {} if bits == FLOAT_BITS else usual | columns
    (row,) = Store().results(corpus=place.corpus, model=model, bits=bits, **recipe)
    return row


# The comparison


@pytest.mark.parametrize("bits", BIT_WIDTHS)
def test_complete_settings_give_both_models_and_their_float_results(place: Place, bits: int) -> None:
    comparison = views.compare(place.settings(bits=bits))
    assert (comparison.missing, comparison.computable) == ((), ())
    for side, model in zip(comparison.shown, MODEL_KINDS, strict=True):
        row, reference = views.both(side)
        assert (side.model, side.trained) == (model, True)
        assert row == stored(place, model, bits) | {"source": "store"}
        assert reference == stored(place, model, FLOAT_BITS) | {"source": "store"}


def test_the_float_dial_compares_float_with_itself(place: Place) -> None:
    for side in shown(place.settings(bits=FLOAT_BITS)):
        assert side.row == side.reference
        assert views.change_points(side) == 0
        assert views.accuracy_rows([side]) == [_accuracy(place, side.model, FLOAT_BITS, "float")]
        assert (views.ks_rows(side), views.difference_curves(side)) == ([], [])
        assert [curve[0] for curve in views.loss_curves(side)] == ["float"] * (side.model == "generative")
        assert views.site_table(views.both(side)[0]) == []


def test_a_model_without_its_result_is_named_and_the_other_shown(place: Place) -> None:
    settings = place.settings(**HALF)
    comparison = views.compare(settings)
    assert [side.model for side in comparison.shown] == ["discriminative"]
    assert comparison.missing == comparison.computable == (settings.spec("generative"),)


def test_a_result_without_its_float_counterpart_is_not_shown(
    tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    place = compared.use_copy(tmp_path_factory, monkeypatch, tmp_path)
    settings = place.settings(noise=0.05)
    pipeline.evaluate(settings.spec("discriminative"))
    comparison = views.compare(settings)
    assert comparison.shown == ()
    assert comparison.sides[1].row is not None
    floats = [settings.spec(model, FLOAT_BITS) for model in MODEL_KINDS]
    assert comparison.missing == (settings.spec("generative"), *floats)


def test_at_float_a_missing_result_is_named_once(place: Place) -> None:
    settings = place.settings(bits=FLOAT_BITS, noise=0.05)
    assert views.compare(settings).missing == tuple(map(settings.spec, MODEL_KINDS))


def test_a_corpus_without_models_has_nothing_to_show_or_to_compute(place: Place, tmp_path: Path) -> None:
    other = place.settings(corpus=str(tiny.write_corpus(tmp_path / "other.csv", seed=1)))
    comparison = views.compare(other)
    assert [side.trained for side in comparison.sides] == [False, False]
    assert (comparison.shown, comparison.computable) == ((), ())
    assert comparison.missing == tuple(other.spec(m, bits) for m in MODEL_KINDS for bits in (4, FLOAT_BITS))


def test_a_new_setting_of_a_trained_corpus_can_be_computed(place: Place) -> None:
    settings = place.settings(calibration="classes:grain,money")
    assert views.compare(settings).computable == tuple(map(settings.spec, MODEL_KINDS))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"corpus": "nosuch"}, "corpus 'nosuch' is not known; choose one of reuters-r8"),
        ({"bits": 9}, "bits=9 is out of range; choose 3 to 8, or 32 for float"),
        ({"noise": 0.5}, "noise=0.5 is out of range; choose 0 to 0.1"),
        ({"preset": "best"}, "preset 'best' is not known; choose one of: uniform, paper-code"),
        ({"head": "best"}, "head='best': Input should be 'round', 'gpfq' or 'gpfq-stock'"),
        ({"ranges": "best"}, "ranges='best': Input should be 'percentile', 'minmax' or 'fitted'"),
        ({"calibration": "nonsense"}, "scheme='nonsense': Input should be .*'unconditional', 'classes' or 'mix'"),
        ({"calibration": "classes:"}, "scheme 'classes' needs class names, and only it takes them: classes:a,b"),
        ({"calibration": "mix:grain=much"}, "mix.0.1='much': Input should be a valid number"),
        ({"calibration": "classes:nosuch"}, "class 'nosuch' is not known; choose from: grain, metal, money"),
        ({"calibration": "mix:grain=1,nosuch=2"}, "class 'nosuch' is not known; choose from: grain, metal, money"),
        ({"calibration": "classes:grain,grain"}, "class 'grain' is given more than once; give it once"),
    ],
)
def test_settings_that_name_nothing_are_refused(place: Place, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message) as caught:
        views.compare(place.settings(**changes))
    assert "Value error" not in str(caught.value)


def test_classes_of_a_corpus_without_results_are_checked_too(place: Place, tmp_path: Path) -> None:
    other = str(tiny.write_corpus(tmp_path / "other.csv", seed=1))
    with pytest.raises(InputError, match="class 'nosuch' is not known"):
        views.compare(place.settings(corpus=other, calibration="classes:nosuch"))


@pytest.mark.parametrize(
    ("asked", "sentences"),
    [
        ({}, []),
        ({"bits": "4", "noise": "0.05", "head": "gpfq", "calibration": "classes:a,b", "embed": "true"}, []),
        ({"noise": "0.050"}, []),
        ({"bits": "99"}, ["bits=99 in the address is no choice of this page; bits=4 is shown. Choose another here."]),
        (
            {"bits": "four"},
            ["bits=four in the address is no choice of this page; bits=4 is shown. Choose another here."],
        ),
        (
            {"noise": "0.5", "corpus": "nosuch"},
            [
                "corpus=nosuch in the address is no choice of this page; corpus=r8 is shown. Choose another here.",
                "noise=0.5 in the address is no choice of this page; noise=0.05 is shown. Choose another here.",
            ],
        ),
    ],
)
def test_an_address_that_is_not_followed_is_named(asked: dict[str, str], sentences: list[str]) -> None:
    settings = Settings("r8", 4, 0.05, "uniform", "gpfq", "fitted", "classes:a,b")
    assert views.refused(asked, settings) == sentences


def test_names_in_the_address_may_have_a_prefix() -> None:
    settings = Settings("r8", 4, 0.05, "uniform", "gpfq", "fitted", "conditional")
    (sentence,) = views.refused({"a_bits": "99", "bits": "98", "a_noise": "0.05"}, settings, "a_")
    assert sentence.startswith("a_bits=99 in the address is no choice of this page; a_bits=4 is shown.")


def test_trained_corpora_are_known_once(place: Place, tmp_cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert views.known_corpora() == []
    monkeypatch.setenv("BITDIAL_CACHE", str(place.cache))
    assert views.known_corpora() == [place.corpus]


# What the charts are given


def _accuracy(place: Place, model: Any, bits: int, setting: str) -> AccuracyRow:
    row = stored(place, model, bits)
    return AccuracyRow(model, setting, row["correct"], row["n"])


def test_accuracy_rows_are_the_stored_counts(place: Place) -> None:
    expected = [
        _accuracy(place, model, bits, name) for model in MODEL_KINDS for bits, name in ((32, "float"), (3, "3 bits"))
    ]
    assert views.accuracy_rows(shown(place.settings(bits=3))) == expected


def test_the_change_is_in_points_of_accuracy(place: Place) -> None:
    for side in shown(place.settings(bits=3)):
        now, before = stored(place, side.model, 3), stored(place, side.model, FLOAT_BITS)
        expected = 100 * now["correct"] / now["n"] - 100 * before["correct"] / before["n"]
        assert views.change_points(side) == pytest.approx(expected)


def test_distances_are_the_stored_ones_from_the_weights_to_the_output(place: Place) -> None:
    for side in shown(place.settings(bits=3)):
        rows, found = views.ks_rows(side), stored(place, side.model, 3)["detail"]["ks"]
        assert [site for site, _ in rows] == ["head weights", "embedding", "lstm", "head"]
        assert {site: vars(result) for site, result in rows} == found


def test_loss_curves_are_the_stored_densities_float_first(place: Place) -> None:
    generative, discriminative = shown(place.settings(bits=3))
    float_curve, quantized = views.loss_curves(generative)
    assert float_curve[0::2] + float_curve[3:] == ("float", charts.FLOAT, "dash")
    assert quantized[0::2] + quantized[3:] == ("3 bits", charts.GENERATIVE, "solid")
    for curve, bits in ((float_curve, FLOAT_BITS), (quantized, 3)):
        assert_is_density(curve, stored(place, "generative", bits)["detail"]["densities"]["token_losses"])
    assert views.loss_curves(discriminative) == views.difference_curves(discriminative) == []


def test_the_difference_curve_is_the_stored_density(place: Place) -> None:
    (curve,) = views.difference_curves(shown(place.settings(bits=3))[0])
    assert (curve[0], *curve[2:]) == ("3 bits minus float", charts.GENERATIVE, "solid")
    assert_is_density(curve, stored(place, "generative", 3)["detail"]["densities"]["difference"])


def assert_is_density(curve: charts.DensityCurve, found: Row) -> None:
    kde = curve[1]
    np.testing.assert_array_equal(kde.density, found["density"])
    steps = len(found["density"]) - 1
    expected = [found["low"] + i * (found["high"] - found["low"]) / steps for i in range(steps + 1)]
    np.testing.assert_allclose(kde.grid, expected)
    assert {name: getattr(kde, name) for name in ("bandwidth", "rule", "n", "median", "maximum")} == {
        name: found[name] for name in ("bandwidth", "rule", "n", "median", "maximum")
    }


def test_the_site_table_lists_what_calibration_set(place: Place) -> None:
    for model in MODEL_KINDS:
        row = stored(place, model, 3)
        sites = row["detail"]["calibration"]["sites"]
        expected = [[s["site"], s["levels"], s["scale"], s["range"], s["largest_seen"]] for s in sites]
        table = views.site_table(row)
        assert [list(line.values()) for line in table] == expected != []
        assert {tuple(line) for line in table} == {("Site", "Levels", "Scale", "Range", "Largest seen")}


QUANTIZED = {
    "corpus": "r8",
    "model": "generative",
    "bits": 3,
    "preset": "paper-code",
    "ranges": "fitted",
    "head": "gpfq",
    "calibration": "classes:a,b",
    "calibration_seed": 5,
    "noise": 0.05,
    "noise_seed": 6,
    "seed": 7,
    "n": 2189,
}
RECIPE = "paper-code 3 bits, fitted ranges, head gpfq, classes:a,b calibration (seed 5)"


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({}, f"r8, generative, {RECIPE}, noise 0.05 (seed 6), weights seed 7, n = 2,189"),
        ({"noise": 0.0}, f"r8, generative, {RECIPE}, no noise, weights seed 7, n = 2,189"),
        ({"bits": 32}, "r8, generative, float, noise 0.05 (seed 6), weights seed 7, n = 2,189"),
    ],
)
def test_a_caption_says_how_the_number_was_made(changes: Row, words: str) -> None:
    assert views.caption(QUANTIZED | changes) == words


def test_the_shared_caption_says_only_what_holds_for_both_models_and_float() -> None:
    float_row = {**QUANTIZED, "bits": 32, "model": "discriminative"}
    assert (
        views.shared_caption(QUANTIZED) == views.shared_caption(float_row) == "r8, noise 0.05 (seed 6), weights seed 7"
    )


@pytest.mark.parametrize(("row", "reference"), [(None, {}), ({}, None), (None, None)])
def test_an_incomplete_side_has_no_numbers(row: Row | None, reference: Row | None) -> None:
    with pytest.raises(ValueError, match="the generative side is not complete"):
        views.both(Side("generative", row, reference, trained=True))
