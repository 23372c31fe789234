"""Rows of transformers: the numbers of an outcome, and what may be compared with float."""

import numpy as np
import pytest

from core.config import CorpusSpec
from core.measurement.evaluation import Evaluation
from core.storage.store import Row
from core.transformers import transformer_rows
from core.transformers.transformer_config import (
    FineTuning,
    Shape,
    TransformerEvaluation,
    TransformerModel,
    TransformerRun,
)
from core.transformers.transformer_config import TransformerVariant as Variant

MODEL = TransformerModel(kind="gpt2", origin="scratch", base="gpt2", shape=Shape())
RUN = TransformerRun(corpus=CorpusSpec(name="x"), model=MODEL, train=FineTuning(seed=2))
SPEC = TransformerEvaluation(variant=Variant(run=RUN, method="nf4-bnb"))


def test_numbers_of_an_outcome_are_columns_or_detail() -> None:
    logs = np.log(np.array([[0.8, 0.2], [0.6, 0.4], [0.3, 0.7]]))
    outcome = Evaluation(-logs, logs.argmax(1), np.array([0, 1, 1]), None, transformer_rows.NO_LSTM)
    row = transformer_rows.make_row(SPEC, outcome, ("a", "b"), {"size_mb": 1.5}, {"torch": "2"})
    assert (row["n"], row["correct"], row["bits"], row["seed"]) == (3, 2, 4, 2)
    assert row["detail"]["confusion"] == [[1, 0], [1, 1]]
    assert (row["detail"]["size_mb"], row["detail"]["dead_lstm"]) == (1.5, False)
    assert "lstm_variance" not in row["detail"]


def test_a_row_without_an_outcome_has_no_numbers() -> None:
    row = transformer_rows.make_row(SPEC, None, ("a", "b"), {"reason": "no kernel"}, {})
    assert {row[name] for name in transformer_rows.COLUMNS} == {None}
    assert row["detail"]["reason"] == "no kernel"


def measured(size_mb: float, latency_ms: float, **machine: object) -> Row:
    here = {"device": "cpu", "gpu": None, "cpu": "A", "threads": 2, "latency_batch_size": 16} | machine
    return {"detail": {"size_mb": size_mb, "latency_ms_per_batch": latency_ms, **here}}


def test_ratios_to_float_need_one_machine_for_speed() -> None:
    found = transformer_rows.against_float(measured(25, 40), measured(100, 20))
    assert found == {"compression": 4, "speed_up": 0.5}
    for other in ({"cpu": "B"}, {"threads": 1}, {"device": "cuda", "gpu": "C"}):
        found = transformer_rows.against_float(measured(25, 40, **other), measured(100, 20))
        assert (found["compression"], found["speed_up"]) == (pytest.approx(4), None)
