"""Verdicts: each is reached from rows that call for it, and from nothing else."""

import pytest
import scipy.stats
from claimed import CORPUS, draws, row, study

from core.verdicts.claims import Claim, Side, Test, change_unit, condition_words, contrast, judge
from core.verdicts.paper_figures import METHODS
from core.verdicts.study_rows import Value

LOW = Side("unconditional", {"bits": 3, "calibration": "unconditional"})
HIGH = Side("conditional", {"bits": 3, "calibration": "conditional"})
OWN, FITTED = METHODS[0], METHODS[1]


def claim(relation="below", size=2.0, b=HIGH, conditions=(OWN,), **rest):
    tests = (Test("accuracy", LOW, b, relation, size),)
    return Claim(
        "c", "figure-7", "5.4", "It falls.", "It falls by 2 points.", rest.pop("tests", tests), conditions, **rest
    )


def pair(low, high, **changes):
    return [*draws(low, calibration="unconditional", **changes), *draws(high, **changes)]


FAR, NEAR = ([0.80, 0.81, 0.79], [0.90, 0.91, 0.90]), ([0.90, 0.91, 0.90], [0.90, 0.91, 0.90])


def verdict(asked, *rows):
    return judge(asked, study(*rows), [CORPUS])


def test_a_large_difference_the_right_way_is_reproduced():
    found = verdict(claim(), pair(*FAR))
    assert (found.verdict, found.words) == ("reproduced", "reproduced")
    (finding,) = found.findings
    assert finding.draws == 3
    assert finding.tests[0].contrast.difference == pytest.approx(-31 / 3, abs=0.01)


def test_the_wrong_direction_is_not_reproduced():
    found = verdict(claim("above"), pair(*FAR))
    assert found.verdict == "not reproduced"
    assert "the other way" in found.explanation
    assert "-10.3 points" in found.explanation


def test_a_difference_below_the_stated_size_is_not_reproduced():
    found = verdict(claim(), pair([0.895, 0.895, 0.895], [0.9, 0.9, 0.9]))
    assert (found.verdict, found.findings[0].tests[0].reason) == ("not reproduced", "too small")


@pytest.mark.parametrize("low", [[0.60, 0.95, 0.80], [0.87, 0.93, 0.90]])
def test_draws_that_spread_too_far_decide_nothing(low):
    found = verdict(claim(), pair(low, [0.90, 0.90, 0.90]))
    assert (found.verdict, found.findings[0].tests[0].reason) == ("undecided", "interval too wide to tell")
    assert "The first test that cannot be told - accuracy" in found.explanation
    assert "Undecided: paper-code, percentile ranges." in found.explanation


def test_a_claim_whose_own_method_is_undecided_is_so_whatever_others_say():
    rows = [pair([0.87, 0.93, 0.90], [0.90, 0.90, 0.90]), pair(*FAR, ranges="fitted")]
    found = verdict(claim(conditions=(OWN, FITTED)), *rows)
    assert found.words == "undecided"
    assert "Holds with paper-code, fitted ranges." in found.explanation
    assert "Undecided: paper-code, percentile ranges." in found.explanation


def test_an_undecided_condition_leaves_the_verdict_to_the_others():
    rows = [pair(*FAR), pair([0.87, 0.93, 0.90], [0.90, 0.90, 0.90], ranges="fitted")]
    found = verdict(claim(conditions=(OWN, FITTED)), *rows)
    assert found.words == "reproduced"
    assert "Undecided: paper-code, fitted ranges." in found.explanation


def test_between_two_models_the_sampling_of_documents_counts_too():
    a, b = Side("generative", {"bits": 3, "model": "generative"}), Side("other", {"bits": 3, "model": "discriminative"})
    asked = claim(tests=(Test("accuracy", a, b, "above", 0.0),))
    rows = [*draws([0.912, 0.911, 0.913], n=1000), *draws([0.9, 0.9, 0.9], n=1000, model="discriminative")]
    (found,) = verdict(asked, rows).findings[0].tests
    shares = [(912 + 2) / 1004, (911 + 2) / 1004, (913 + 2) / 1004]
    variance = sum(p * (1 - p) / 1004 for p in shares) / 3 + (902 / 1004) * (102 / 1004) / 1004
    student = scipy.stats.t.ppf(0.975, 2) * 0.1 / 3**0.5
    assert found.contrast.low == pytest.approx(1.2 - (student**2 + 1.959964**2 * 1e4 * variance) ** 0.5, abs=1e-6)
    assert (found.outcome, found.contrast.draws) == ("undecided", 3)
    same = claim(tests=(Test("accuracy", LOW, HIGH, "above", 0.0),))
    (within_one,) = verdict(same, pair([0.912, 0.911, 0.913], [0.9, 0.9, 0.9])).findings[0].tests
    assert (within_one.outcome, within_one.contrast.low) == ("holds", pytest.approx(1.2 - student))


def test_without_rows_of_its_own_method_a_claim_is_not_measured():
    asked = claim(conditions=(OWN, FITTED))
    assert verdict(asked).verdict == "not measured yet"
    only_other = verdict(asked, pair(*FAR, ranges="fitted"))
    assert (only_other.verdict, only_other.words) == ("not measured yet", "not measured yet")
    assert "Not measured: paper-code, percentile ranges" in only_other.explanation
    assert verdict(asked, draws(FAR[0], calibration="unconditional")).verdict == "not measured yet"


def test_a_verdict_names_the_condition_that_decides():
    rows = [pair(*FAR), pair(*NEAR, ranges="fitted")]
    found = verdict(claim(conditions=(OWN, FITTED)), *rows)
    assert found.words == "depends on the range rule"
    assert "Holds with paper-code, percentile ranges. Fails with paper-code, fitted ranges." in found.explanation


def test_a_verdict_names_both_fields_if_neither_decides_alone():
    rows = [pair(*(FAR if method == OWN else NEAR), **method) for method in METHODS]
    assert verdict(claim(conditions=METHODS), *rows).words == "depends on the preset and the range rule"


def test_corpora_are_conditions_too():
    rows = study(pair(*FAR), pair(*NEAR, corpus="ag-news"))
    found = judge(claim(), rows, [CORPUS, "ag-news"])
    assert found.words == "depends on the corpus"
    assert f"Holds with {CORPUS}" in found.explanation


def test_one_draw_has_the_documents_interval_and_the_verdict_says_so():
    found = verdict(claim(), pair([0.80], [0.90]))
    assert found.words == "reproduced (one draw)"
    low, high = found.findings[0].tests[0].contrast.low, found.findings[0].tests[0].contrast.high
    assert low < -10 < high < 0
    near = verdict(claim(size=0.0), pair([0.89], [0.90], n=1000))
    assert near.words == "undecided (one draw)"


@pytest.mark.parametrize("size", [0.0, 0.1])
def test_one_draw_without_interval_tells_nothing(size):
    side = [Side(name, {"bits": 3, "calibration": name}) for name in ("unconditional", "conditional")]
    asked = claim(tests=(Test("median token loss", side[0], side[1], "above", size),))
    loss = {"densities": {"token_losses": {"median": 4.0}}}
    higher = {"densities": {"token_losses": {"median": 4.5}}}
    one = [row(detail=higher, calibration="unconditional"), row(detail=loss)]
    found = verdict(asked, one)
    assert (found.verdict, found.findings[0].tests[0].reason) == ("not measured yet", "needs two draws or more")
    again = [row(detail=higher, calibration="unconditional", calibration_seed=1), row(detail=loss, calibration_seed=1)]
    assert verdict(asked, one, again).verdict == "reproduced"


@pytest.mark.parametrize(
    ("low", "outcome"),
    [
        ([0.90, 0.91, 0.90], "reproduced"),
        ([0.85, 0.86, 0.85], "not reproduced"),
        ([0.87, 0.93, 0.90], "undecided"),
    ],
)
def test_within_needs_the_whole_interval(low, outcome):
    assert verdict(claim("within"), pair(low, [0.90, 0.91, 0.90])).verdict == outcome


def test_a_constant_is_a_side_and_shows_what_was_measured():
    found = verdict(claim("above", 0.0, b=85.0), draws([0.80, 0.81, 0.80], calibration="unconditional"))
    assert found.verdict == "not reproduced"
    assert "80.3 %" in found.explanation
    assert (
        verdict(claim("below", 0.0, b=85.0), draws([0.80, 0.81, 0.80], calibration="unconditional")).verdict
        == "reproduced"
    )


@pytest.mark.parametrize(("variances", "outcome"), [([0.0, 0.0], "reproduced"), ([0.0, 0.3], "not reproduced")])
def test_a_claim_on_every_draw_falls_with_one(variances, outcome):
    asked = claim(tests=(Test("share of dead LSTMs", HIGH, 0.99, "above"),))
    rows = [row(lstm_variance=v, calibration_seed=place) for place, v in enumerate(variances)]
    assert verdict(asked, rows).verdict == outcome


def test_some_of_the_tests_may_be_enough():
    tests = tuple(Test("accuracy", Side("", {"bits": bits}), Side("", {"bits": 8}), "below", 2.0) for bits in (6, 5, 4))
    rows = [draws([0.9, 0.9], bits=8), draws([0.8, 0.8], bits=6), draws([0.9, 0.9], bits=5)]
    assert verdict(claim(tests=tests, needed=1), rows[0], rows[1]).verdict == "reproduced"
    assert verdict(claim(tests=tests, needed=2), *rows).verdict == "not measured yet"
    assert verdict(claim(tests=tests, needed=3), *rows).verdict == "not reproduced"
    wide = [*rows[:2], draws([0.84, 0.94], bits=5)]
    assert verdict(claim(tests=tests, needed=2), *wide).verdict == "undecided"
    assert verdict(claim(tests=tests, needed=3), *wide).verdict == "not measured yet"


def test_draws_of_the_same_seeds_are_paired_and_a_missing_seed_goes_with_all():
    a = {(0, draw, None): Value(float(draw)) for draw in range(3)}
    assert contrast(a, {(0, None, None): Value(1.0)}).method == "paired draws"
    assert contrast(a, {(0, draw, None): Value(draw + 1.0) for draw in range(3)}).low == pytest.approx(-1)
    assert contrast(a, {(5, draw, None): Value(1.0) for draw in range(2)}).method == "separate draws"
    assert contrast(a, {(5, 9, None): Value(1.0)}).method == "one draw, no interval"


def test_the_order_of_rows_changes_nothing():
    rows = pair(*FAR)
    assert verdict(claim(), rows).explanation == verdict(claim(), rows[::-1]).explanation


def test_words():
    assert condition_words(OWN) == "paper-code, percentile ranges"
    assert (condition_words({}), change_unit("accuracy"), change_unit("median token loss")) == ("", "points", "nats")
    assert (
        Test("accuracy", LOW, HIGH, "below", 2).words == "accuracy: unconditional below conditional by 2 points or more"
    )
    assert Test("accuracy", LOW, 0.0, "within", 2).words == "accuracy: unconditional within 2 points of 0"
