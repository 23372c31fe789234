"""The table of claims: every one can be judged, every figure has one, every rule says the sizes that its tests use."""

import re

import pytest
from claimed import CORPUS, draws, row, study

from core.config import BIT_WIDTHS
from core.verdicts import paper
from core.verdicts.claims import Side, judge
from core.verdicts.paper_claims import CONDITIONAL, EFFECT_POINTS, checks, noisy, side
from core.verdicts.paper_figures import FIGURES, METHODS, UNCONDITIONAL, figure_of
from core.verdicts.redo_claims import CLAIMS
from core.verdicts.study_rows import QUANTITIES

BY_KEY = {claim.key: claim for claim in CLAIMS}


def test_keys_are_unique_and_every_figure_has_a_claim():
    assert len(BY_KEY) == len(CLAIMS)
    assert {claim.figure for claim in CLAIMS} == {figure.key for figure in FIGURES}


@pytest.mark.parametrize("claim", CLAIMS, ids=BY_KEY)
def test_an_empty_store_measures_nothing(claim):
    found = judge(claim, study(), [CORPUS])
    assert (found.words, found.explanation[:13]) == ("not measured yet", "Not measured:")


@pytest.mark.parametrize("claim", CLAIMS, ids=BY_KEY)
def test_the_study_computes_what_a_claim_is_judged_by(claim):
    assert paper.command(figure_of(claim.figure), claim.conditions[0], CORPUS).startswith("python -m core study")


@pytest.mark.parametrize("claim", CLAIMS, ids=BY_KEY)
def test_a_rule_states_every_size_its_tests_use(claim):
    bounds = {test.size for test in claim.tests} | {0 if isinstance(t.b, Side) else abs(t.b) for t in claim.tests}
    stated = {float(number) for number in re.findall(r"\d+(?:\.\d+)?", claim.rule)}
    words = {0.0, 0.99, 0.01} if "dead" in claim.rule else {0.0}
    assert bounds - words <= stated
    assert {test.quantity for test in claim.tests} <= set(QUANTITIES)


def test_the_parts_say_what_they_are_about():
    assert side("generative", 32).words == "generative, float"
    assert noisy("generative", 3, 0.1).words == "generative, 3 bits, conditional, noise 0.1"
    (check,) = checks("accuracy", [(side("generative", 3), 5.0)], "above")
    assert (check.size, check.b) == (EFFECT_POINTS, 5.0)


def grid(accuracy, **changes):
    """Both models, float and every width, both calibrations, three draws, with the paper's method."""
    rows = []
    for model in ("generative", "discriminative"):
        rows += draws([0.95], bits=32, model=model)
        for bits in BIT_WIDTHS:
            for setting in (CONDITIONAL, UNCONDITIONAL):
                start = accuracy(model, bits, setting["calibration"])
                drawn = [start + step for step in (0.0, 0.001, -0.001)]
                preset = "uniform" if bits == 8 else "paper-code"
                rows += draws(drawn, model=model, bits=bits, **{"preset": preset, **setting, **changes})
    return rows


def as_published(model, bits, calibration):
    """The course of accuracy that the paper describes."""
    if model == "generative" and calibration == "unconditional":
        return {5: 0.91, 4: 0.88, 3: 0.85}.get(bits, 0.95)
    return 0.955 if model == "generative" else 0.945 if bits > 4 else 0.94


def unmoved(model, bits, calibration):
    return 0.95


PUBLISHED = [
    "generative-unconditional",
    "discriminative-unconditional",
    "more-sensitive",
    "generative-conditional",
    "generative-wins",
    "imbalance-hurts",
    "drop-at-3-bits",
]


@pytest.mark.parametrize("key", PUBLISHED)
def test_the_published_course_reproduces_the_papers_claims(key):
    found = judge(BY_KEY[key], study(grid(as_published, n=7600)), [CORPUS])  # the test documents of AG News
    assert found.words == "reproduced", found.explanation


def test_the_published_course_refutes_that_imbalance_hardly_matters_and_no_change_bears_it_out():
    claim = BY_KEY["imbalance-hardly-matters"]
    assert judge(claim, study(grid(as_published)), [CORPUS]).words == "not reproduced"
    assert judge(claim, study(grid(unmoved)), [CORPUS]).words == "reproduced"


def test_a_course_found_with_one_range_rule_only_depends_on_it():
    rows = study(grid(as_published), grid(unmoved, ranges="fitted"))
    assert judge(BY_KEY["imbalance-hurts"], rows, [CORPUS]).words == "depends on the range rule"


def test_a_dead_lstm_with_percentile_ranges_is_found():
    rows = [draws([0.95], bits=32), draws([0.94] * 3, preset="uniform", lstm_variance=0.0)]
    assert judge(BY_KEY["dead-lstm"], study(rows[0], rows[1]), [CORPUS]).words == "reproduced"
    alive = draws([0.94] * 3, preset="uniform")
    assert judge(BY_KEY["dead-lstm"], study(rows[0], alive), [CORPUS]).words == "not reproduced"


def test_a_collapse_that_fitted_ranges_undo_is_found():
    disc = {"model": "discriminative", "preset": "uniform"}
    rows = [row(0.95, bits=32, model="discriminative")]
    for bits in (4, 3):
        rows += draws([0.32] * 3, bits=bits, **disc)
        rows += draws([0.94] * 3, bits=bits, ranges="fitted", **disc)
    assert judge(BY_KEY["ranges-not-bits"], study(rows), [CORPUS]).words == "reproduced"


def test_frozen_cells_are_judged_by_their_own_ranges():
    rows = []
    for model in ("generative", "discriminative"):
        rows += [
            row(model=model, preset="uniform", ranges="fitted", cell_range=r, lstm_variance=0.0) for r in (8.0, 14.0)
        ]
        rows += [row(model=model, preset="uniform", ranges="fitted", cell_range=r) for r in (0.5, 2.0, 4.0)]
    claim = BY_KEY["cell-step"]
    assert judge(claim, study(rows), [CORPUS]).words == "reproduced (one draw)"
    late = row(model="generative", preset="uniform", ranges="fitted", cell_range=1.0, lstm_variance=0.0)
    assert judge(claim, study(rows, late), [CORPUS]).words == "not reproduced (one draw)"


def test_the_papers_own_method_is_the_first_condition():
    assert METHODS[0] == {"preset": "paper-code", "ranges": "percentile"}
