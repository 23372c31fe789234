"""The reports' tables: what they say in two ways agrees, so that no number is mistyped."""

import pytest

from core.transformers.published import AG_NEWS, CLASS_SCORES, REPORTS, Published, Report
from core.transformers.transformer_config import METHODS


def ratios(report: Report, quantity: str) -> list[float]:
    """Float's value over each other row's."""
    start, *rest = (getattr(row, quantity) for row in report.rows)
    return [round(start / value, 2) for value in rest]


def test_every_method_has_a_published_row() -> None:
    for kind, report in REPORTS.items():
        assert (report.kind, tuple(row.method for row in report.rows)) == (kind, METHODS[kind])
        assert report.reference.method == "float"


def test_ratios_of_report_4_are_those_it_prints() -> None:
    report = REPORTS["gpt2"]
    assert ratios(report, "size_mb") == [4.00, 2.82, 3.71]
    assert ratios(report, "time_ms") == [0.98, 0.38, 1.67]


def test_times_and_shares_of_report_3_are_those_it_prints() -> None:
    report = REPORTS["bert"]
    per_sample = [row.time_ms / 1000 / report.n for row in report.rows]
    assert per_sample == pytest.approx([0.0065, 0.2251, 0.0064, 0.0068], abs=5e-5)
    kept = [100 * row.accuracy / report.reference.accuracy for row in report.rows[1:]]
    assert kept == pytest.approx([100, 99.7, 98.7], abs=0.1)


@pytest.mark.parametrize("row", REPORTS["gpt2"].rows, ids=lambda row: row.name)
def test_scores_of_classes_agree_with_each_other_and_with_recall(row: Published) -> None:
    scores = CLASS_SCORES[row.method]
    assert len(scores) == len(AG_NEWS)
    assert [f1 for _, _, f1 in scores] == pytest.approx([2 * p * r / (p + r) for p, r, _ in scores], abs=1.1e-4)
    assert sum(recall for _, recall, _ in scores) / len(scores) == pytest.approx(row.accuracy, abs=0.003)


@pytest.mark.parametrize("row", [row for report in REPORTS.values() for row in report.rows], ids=lambda row: row.name)
def test_shares_are_shares(row: Published) -> None:
    scores = (row.accuracy, row.macro_f1, row.macro_precision, row.macro_recall)
    assert all(0.8 < score < 1 for score in scores if score is not None)
