"""One fine-tuning of a tiny classifier: learning, resuming to the bit, schedule, frozen weights, faults."""

from functools import partial
from typing import Any

import numpy as np
import pytest
import tiny
import torch
from torch import nn

from core.errors import InputError
from core.lstm.fitting import mean_loss
from core.text.tokens import Encoded
from core.transformers import bases, fine_tuning, subwords
from core.transformers.fine_tuning import fine_tune
from core.transformers.transformer_config import FineTuning, Shape, SubwordSpec

SHAPE = Shape(layers=1, width=16, heads=2, vocabulary_size=320)
ROWS = tiny.rows_of(20)
TEXTS = [text for text, _ in ROWS]
LABELS = np.array([tiny.CLASSES.index(label) for _, label in ROWS])


def made(**settings: Any) -> tuple[nn.Module, Encoded, FineTuning]:
    torch.manual_seed(0)
    base = bases.load(bases.choose("gpt2", "scratch", SHAPE), tiny.CLASSES, TEXTS)
    spec = FineTuning.model_validate({"batch_size": 16, "learning_rate": 0.01, "max_epochs": 3} | settings)
    return base.model, subwords.encode(TEXTS, LABELS, base.tokenizer, SubwordSpec()), spec


def test_losses_fall_and_the_model_is_left_in_evaluation() -> None:
    model, data, spec = made()
    history = fine_tune(model, data, data, spec)
    assert history[-1].validation_loss < 0.9 * history[0].validation_loss
    assert not model.training


def test_an_interrupted_run_ends_in_the_same_weights() -> None:
    (whole, data, spec), (resumed, _, _) = made(), made()
    history = fine_tune(whole, data, data, spec)
    memory = tiny.Memory(1)
    fine_tune(made()[0], data, data, spec, checkpoints=memory)
    seen: list[int] = []
    again = fine_tune(resumed, data, data, spec, lambda report: seen.append(report.epoch), checkpoints=memory)
    assert seen == [1, 2]
    assert [r.validation_loss for r in again] == [r.validation_loss for r in history]
    assert all(torch.equal(a, b) for a, b in zip(whole.parameters(), resumed.parameters(), strict=True))


def test_the_learning_rate_rises_and_falls_linearly() -> None:
    rates = [fine_tuning.warm_up_and_decay(0.5, step, 10) for step in range(10)]
    assert rates == pytest.approx([0.2, 0.4, 0.6, 0.8, 1.0, 1.0, 0.8, 0.6, 0.4, 0.2])
    assert [fine_tuning.warm_up_and_decay(0.0, step, 4) for step in range(4)] == [1.0, 0.75, 0.5, 0.25]


def test_padding_does_not_change_the_logits() -> None:
    from core.text.tokens import make_batch

    model, data, _ = made()
    model.eval()
    order = np.argsort(data.lengths)
    pair = np.array([order[0], order[-1]])
    together = fine_tuning.logits(model, make_batch(data, pair))
    alone = [fine_tuning.logits(model, make_batch(data, pair[i : i + 1])) for i in range(2)]
    assert torch.allclose(together, torch.cat(alone), atol=1e-5)


def test_a_run_that_diverges_at_once_says_so() -> None:
    model, data, spec = made(max_epochs=1)
    with torch.no_grad():
        model.score.weight.fill_(float("nan"))  # type: ignore[union-attr, operator]
    with pytest.raises(InputError, match=r"never a finite number; lower learning_rate=0\.01"):
        fine_tune(model, data, data, spec)


def test_early_stopping_keeps_the_best_weights() -> None:
    model, data, spec = made(max_epochs=6, patience=1, learning_rate=0.3)
    history = fine_tune(model, data, data, spec)
    best = min(report.validation_loss for report in history)
    assert mean_loss(partial(fine_tuning._loss, model), data, torch.device("cpu")) == pytest.approx(best, rel=1e-6)
