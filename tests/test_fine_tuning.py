"""One fine-tuning of a tiny classifier: learning, resuming to the bit, schedule, frozen weights, faults."""

import json
from typing import Any

import numpy as np
import pytest
import tiny
import torch
from torch import nn

from core.errors import InputError
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


class Memory:
    """Checkpoints as a store keeps them; only the first `kept` are."""

    def __init__(self, kept: int) -> None:
        self.kept, self.saved = kept, list[tuple[dict[str, torch.Tensor], str]]()

    def load(self) -> tuple[dict[str, torch.Tensor], dict[str, Any]] | None:
        if not self.saved:
            return None
        tensors, meta = self.saved[-1]
        return {name: tensor.clone() for name, tensor in tensors.items()}, json.loads(meta)

    def save(self, tensors: dict[str, torch.Tensor], meta: dict[str, Any]) -> None:
        if len(self.saved) < self.kept:
            self.saved.append(({name: tensor.clone() for name, tensor in tensors.items()}, json.dumps(meta)))


def test_losses_fall_and_the_model_is_left_in_evaluation() -> None:
    model, data, spec = made()
    history = fine_tune(model, data, data, spec)
    assert history[-1].validation_loss < 0.9 * history[0].validation_loss
    assert not model.training


def test_an_interrupted_run_ends_in_the_same_weights() -> None:
    (whole, data, spec), (resumed, _, _) = made(), made()
    history = fine_tune(whole, data, data, spec)
    memory = Memory(1)
    fine_tune(made()[0], data, data, spec, checkpoints=memory)
    seen: list[int] = []
    again = fine_tune(resumed, data, data, spec, lambda report: seen.append(report.epoch), checkpoints=memory)
    assert seen == [1, 2]
    assert [r.validation_loss for r in again] == [r.validation_loss for r in history]
    assert all(torch.equal(a, b) for a, b in zip(whole.parameters(), resumed.parameters(), strict=True))


def test_frozen_weights_stay_and_are_not_in_a_checkpoint() -> None:
    model, data, spec = made(max_epochs=1)
    model.requires_grad_(False)
    model.score.requires_grad_(True)  # type: ignore[union-attr, operator]
    before = {name: tensor.clone() for name, tensor in model.named_parameters()}
    memory = Memory(1)
    fine_tune(model, data, data, spec, checkpoints=memory)
    changed = {name for name, tensor in model.named_parameters() if not torch.equal(tensor, before[name])}
    assert changed == {"score.weight"}
    assert {name for name in memory.saved[0][0] if name.startswith("best.")} == {"best.score.weight"}


def test_the_learning_rate_rises_and_falls_linearly() -> None:
    model, data, spec = made(warmup_share=0.5, max_epochs=1, batch_size=6)
    fit = fine_tuning._Fit(model, data, data, spec)
    assert fit.steps_per_epoch == 10
    rates = []
    for step in range(10):
        fit._set_learning_rate(step)
        rates.append(fit.optimizer.param_groups[0]["lr"] / spec.learning_rate)
    assert rates == pytest.approx([0.2, 0.4, 0.6, 0.8, 1.0, 1.0, 0.8, 0.6, 0.4, 0.2])


def test_norms_and_biases_are_not_decayed() -> None:
    model, data, spec = made(weight_decay=0.3)
    groups = fine_tuning._Fit(model, data, data, spec).optimizer.param_groups
    decays = {p.ndim > 1: group["weight_decay"] for group in groups for p in group["params"]}
    assert decays == {True: 0.3, False: 0.0}


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
    assert fine_tuning._mean_loss(model, data) == pytest.approx(best, rel=1e-6)
