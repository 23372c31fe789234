"""Which rows a setting names, and what is read off them."""

import pytest
from claimed import draws, row, study

from core.verdicts.study_rows import ANY, distance_row

DISTANCE = {
    "key": "a" * 16,
    "corpus": "reuters-r8",
    "model": "generative",
    "seed": 0,
    "first": "conditional",
    "second": "unconditional",
    "draw": 2,
    "documents": [100, 90],
    "ks": {"embedding": {"statistic": 0.2, "n": 5, "m": 5, "pvalue": 0.1}},
    "spec": {"run": row()["spec"]["variant"]["run"]},
}


def keys(found):
    return [one["key"] for one in found]


def test_a_setting_leaves_out_noise_training_noise_fixed_ranges_and_other_heads():
    plain = row()
    others = [row(noise=0.1), row(train_noise=0.1), row(cell_range=2.0), row(head="round")]
    rows = study(plain, others)
    assert keys(rows.select({"bits": 3})) == [plain["key"]]
    assert keys(rows.select({"bits": 3, "cell_range": 2.0})) == [others[2]["key"]]
    assert len(rows.select({"bits": 3, "cell_range": ANY, "head": ANY})) == 3


def test_float_rows_are_of_every_recipe_and_8_bits_of_both_presets():
    plain, eight = row(bits=32), row(bits=8, preset="uniform")
    rows = study(plain, eight)
    for preset in ("uniform", "paper-code"):
        assert keys(rows.select({"bits": 8, "preset": preset, "ranges": "percentile"})) == [eight["key"]]
        setting = {"bits": 32, "preset": preset, "ranges": "fitted", "calibration": "unconditional"}
        assert keys(rows.select(setting)) == [plain["key"]]


def test_rows_of_other_studies_stay_out():
    port, limited, percentile = row(bits=32, preset="float-in-brevitas"), row(), row()
    limited["spec"]["variant"]["run"]["train"]["limit"] = 10
    percentile["spec"]["variant"]["recipe"]["percentile"] = 99.0
    assert study(port, limited, percentile, row(bits=32) | {"model": "gpt2"}).rows == []


def test_rows_about_another_text_of_a_corpus_or_another_training_stay_out():
    usual = [*draws([0.9, 0.8]), row(seed=1), row(train_noise=0.1), row(model="discriminative")]
    text, training, elsewhere = row(0.1), row(0.1), row(0.7, corpus="ag-news")
    for one in (text, elsewhere):
        one["spec"]["variant"]["run"]["corpus"]["content"] = "f" * 16
    training["spec"]["variant"]["run"]["train"]["max_epochs"] = 1
    found = study(text, training, usual, elsewhere).rows
    assert {one["key"] for one in found} == {*keys(usual), elsewhere["key"]}


def test_changes_are_from_the_same_weights_and_the_same_noise():
    rows = study(
        row(0.95, bits=32),
        row(0.5, bits=32, seed=1),
        row(0.8, bits=32, noise=0.1, noise_seed=2),
        row(0.9),
        row(0.7, noise=0.1, noise_seed=2),
    )
    setting = {"bits": 3}
    (change,) = rows.values("change from float", setting).values()
    assert change.value == pytest.approx(-5)
    (noisy,) = rows.values("change from float", setting | {"noise": 0.1}).values()
    assert noisy.value == pytest.approx(-10)
    (clean,) = rows.values("change from clean text", setting | {"noise": 0.1}).values()
    assert clean.value == pytest.approx(-20)


def test_a_change_without_its_reference_is_no_value():
    assert study(row()).values("change from float", {"bits": 3}) == {}


def test_values_go_by_seeds_and_other_classes_of_one_seed_are_averaged():
    subsets = [row(0.8, calibration="classes:class 1"), row(0.6, calibration="classes:class 2")]
    rows = study(subsets, draws([0.9, 0.7]))
    found = rows.values("accuracy", {"bits": 3, "calibration": "conditional"})
    assert {unit[1]: value.value for unit, value in found.items()} == {0: pytest.approx(90), 1: pytest.approx(70)}
    (averaged,) = rows.values("accuracy", {"coverage": "one class"}).values()
    assert averaged.value == pytest.approx(70)


@pytest.mark.parametrize(
    ("classes", "coverage"), [(1, "one class"), (2, None), (4, "half"), (5, None), (6, "three quarters")]
)
def test_coverage_counts_the_classes_that_calibrate(classes, coverage):
    names = ",".join(f"class {place}" for place in range(classes))
    (found,) = study(row(calibration=f"classes:{names}")).rows
    assert found["coverage"] == coverage


@pytest.mark.parametrize(("cell_range", "step"), [(8.0, "frozen"), (14.0, "frozen"), (5.0, None), (2.0, "moving")])
def test_a_cell_is_frozen_where_half_a_step_is_what_one_word_adds(cell_range, step):
    (found,) = study(row(cell_range=cell_range)).rows
    assert found["cell_step"] == step


def test_a_distance_is_a_row_of_its_own_kind():
    rows = study(row(bits=32), distance_row(DISTANCE))
    assert len(rows.select({"bits": 32})) == 1
    (found,) = rows.values("KS D of embedding", {"measure": "distance", "bits": 32}).items()
    assert (found[0], found[1].value) == ((0, 2, None), 0.2)
    assert rows.values("KS D of LSTM output", {"measure": "distance"}) == {}
