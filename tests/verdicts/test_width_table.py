"""The table of widths: its numbers are those of slow, obvious references; what is not stored is None."""

import math

import numpy as np
import pytest
import torch
from claimed import CORPUS, row, study

from core.storage.store import Store
from core.verdicts.width_table import width_table

N, CLASSES = 200, 3
SETTING = {"corpus": CORPUS, "preset": "paper-code", "ranges": "percentile", "calibration": "conditional"}
OF_PAIRS = ("Difference low", "McNemar p", "Holm p", "Flips (%)", "KL (nats)")


def outcome(seed, wrong):
    """Predictions of which `wrong` documents, drawn by seed, are off by one class."""
    draw = np.random.default_rng(seed)
    labels = np.arange(N) % CLASSES
    predictions = labels.copy()
    chosen = draw.permutation(N)[:wrong]
    predictions[chosen] = (labels[chosen] + 1) % CLASSES
    logs = np.log(draw.dirichlet(np.ones(CLASSES), size=N))
    return {"labels": labels, "predictions": predictions, "log_probabilities": logs}


def save(found, arrays):
    tensors = {name: torch.from_numpy(values) for name, values in arrays.items()}
    Store().save_tensors("evaluations", found["key"], tensors, {"spec": {}, "versions": {}})


def stored(seed, wrong, **changes):
    found, arrays = row(1 - wrong / N, n=N, **changes), outcome(seed, wrong)
    save(found, arrays)
    return found, arrays


@pytest.fixture
def filled(tmp_cache):
    made = {}
    for model in ("generative", "discriminative"):
        for bits, wrong in ((32, 10), (8, 12), (4, 30), (3, 60)):
            preset = {"preset": "uniform"} if bits == 8 else {}
            made[model, bits] = stored(len(made), wrong, model=model, bits=bits, **preset)
    return made


def slow_mcnemar(first, second):
    """Twice the smaller binomial tail, summed term by term."""
    right = [one["predictions"] == one["labels"] for one in (first, second)]
    b, c = int((right[0] & ~right[1]).sum()), int((~right[0] & right[1]).sum())
    tail = sum(math.comb(b + c, k) for k in range(min(b, c) + 1)) / 2 ** (b + c)
    return min(1.0, 2 * tail)


def slow_holm(pvalues):
    """Step down: the k-th smallest times the tests left, never below an earlier one."""
    adjusted = [0.0] * len(pvalues)
    highest = 0.0
    for rank, place in enumerate(sorted(range(len(pvalues)), key=lambda i: pvalues[i])):
        highest = max(highest, min(1.0, pvalues[place] * (len(pvalues) - rank)))
        adjusted[place] = highest
    return adjusted


def test_each_width_is_compared_with_float_and_the_models_with_each_other(filled):
    table = width_table(study([found for found, _ in filled.values()]), SETTING, Store())
    comparisons = ["generative against float", "discriminative against float", "discriminative against generative"]
    assert list(dict.fromkeys(line["Comparison"] for line in table)) == comparisons
    assert [line["Bits"] for line in table] == [8, 4, 3, 8, 4, 3, 32, 8, 4, 3]
    for line in table[:3]:
        (_, first), (found, second) = filled["generative", 32], filled["generative", line["Bits"]]
        assert line["Accuracy (%)"] == pytest.approx(100 * found["accuracy"])
        assert line["Low (%)"] < line["Accuracy (%)"] < line["High (%)"]
        right = [(one["predictions"] == one["labels"]).mean() for one in (first, second)]
        assert line["Difference (points)"] == pytest.approx(100 * (right[1] - right[0]))
        assert line["Difference low"] <= line["Difference (points)"] <= line["Difference high"]
        assert line["McNemar p"] == pytest.approx(slow_mcnemar(first, second))
        assert line["Flips (%)"] == pytest.approx(100 * (first["predictions"] != second["predictions"]).mean())
        p, q = (np.exp(one["log_probabilities"]) for one in (first, second))
        assert line["KL (nats)"] == pytest.approx((p * np.log(p / q)).sum(1).mean(), rel=1e-4)


def test_holm_runs_over_the_widths_of_a_comparison(filled):
    table = width_table(study([found for found, _ in filled.values()]), SETTING, Store())
    for name in {line["Comparison"] for line in table}:
        lines = [line for line in table if line["Comparison"] == name]
        expected = slow_holm([line["McNemar p"] for line in lines])
        assert [line["Holm p"] for line in lines] == pytest.approx(expected)


def test_rows_without_predictions_keep_their_accuracy_alone(tmp_cache):
    rows = [row(0.9, bits=32), row(0.8)]
    (line,) = width_table(study(rows), SETTING, Store())
    assert line["Difference (points)"] == pytest.approx(-10)
    assert [line[name] for name in OF_PAIRS] == [None] * 5


def test_distances_of_the_head_are_those_of_the_row(tmp_cache):
    ks = {"ks": {"head weights": {"statistic": 0.25, "n": 500, "m": 400, "pvalue": 0.0}}}
    (line,) = width_table(study(row(bits=32), row(detail=ks)), SETTING, Store())
    assert (line["KS D"], line["KS n"]) == (0.25, 400)


def test_other_documents_are_not_compared(tmp_cache):
    (first, arrays), (second, others) = stored(0, 5, bits=32), stored(1, 5)
    save(second, others | {"labels": arrays["labels"][::-1].copy()})
    (line,) = width_table(study([first, second]), SETTING, Store())
    assert [line[name] for name in OF_PAIRS] == [None] * 5
    save(second, arrays)
    (line,) = width_table(study([first, second]), SETTING, Store())
    assert (line["Flips (%)"], line["McNemar p"], line["KL (nats)"]) == (0, 1, 0)


def test_nothing_stored_gives_no_line(tmp_cache):
    assert width_table(study(), SETTING, Store()) == []
