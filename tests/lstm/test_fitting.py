"""The loop under every training: what decays, the learning rate of a step, what a checkpoint holds."""

import re
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import tiny
import torch
from torch import nn
from torch.nn.functional import cross_entropy

from core.config import TrainSpec
from core.lstm.fitting import EpochReport, Fit, Schedule, as_rows, mean_loss
from core.text.tokens import Batch, Encoded

CPU = torch.device("cpu")
WORDS, CLASSES, DOCUMENTS = 12, 3, 30


class Bag(nn.Module):
    """Mean of word vectors, a norm, a linear layer."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.embedding, self.norm, self.head = nn.Embedding(WORDS, 4), nn.LayerNorm(4), nn.Linear(4, CLASSES)
        self.register_buffer("seen", torch.zeros(()))

    def loss(self, batch: Batch) -> tuple[torch.Tensor, int]:
        if self.training:
            self.seen += len(batch.labels)
        logits = self.head(self.norm(self.embedding(batch.ids).mean(dim=1)))
        return cross_entropy(logits, batch.labels, reduction="sum"), len(batch.labels)


def documents() -> Encoded:
    """Three words each, of the class's own four."""
    labels = np.arange(DOCUMENTS) % CLASSES
    ids = np.random.default_rng(0).integers(0, 4, (DOCUMENTS, 3)) + 4 * labels[:, None]
    return Encoded(ids.ravel().astype(np.int32), np.arange(0, 3 * DOCUMENTS + 1, 3), labels, 0.0, 0.0)


def fit_of(model: Bag, schedule: Schedule = lambda step, steps: 1.0, **settings: Any) -> Fit:
    spec = TrainSpec.model_validate({"batch_size": 8, "max_epochs": 3, "learning_rate": 0.05} | settings)
    return Fit(model, model.loss, documents(), documents(), spec, schedule)


def losses(history: tuple[EpochReport, ...]) -> list[EpochReport]:
    return [replace(report, seconds=0.0) for report in history]


def same(a: nn.Module, b: nn.Module) -> bool:
    return all(torch.equal(x, y) for x, y in zip(a.state_dict().values(), b.state_dict().values(), strict=True))


def test_matrices_decay_and_norms_and_biases_do_not() -> None:
    model = Bag()
    fit = fit_of(model, weight_decay=0.3)
    names = {parameter: name for name, parameter in model.named_parameters()}
    decays = {names[p]: group["weight_decay"] for group in fit.optimizer.param_groups for p in group["params"]}
    decayed = {"embedding.weight", "head.weight"}
    assert decays == {name: 0.3 if name in decayed else 0.0 for name in names.values()}


def test_a_step_has_the_learning_rate_of_its_place_in_the_whole_training() -> None:
    asked: list[tuple[int, int]] = []

    def schedule(step: int, steps: int) -> float:
        asked.append((step, steps))
        return 0.5

    fit = fit_of(Bag(), schedule)
    fit.run()
    assert asked == [(step, 12) for step in range(12)]  # 30 documents in batches of 8 are 4 steps, three times
    assert {group["lr"] for group in fit.optimizer.param_groups} == {0.025}


def test_frozen_weights_stay_and_are_not_in_a_checkpoint() -> None:
    model, memory = Bag(), tiny.Memory()
    model.requires_grad_(False)
    model.head.requires_grad_(True)
    before = {name: tensor.clone() for name, tensor in model.named_parameters()}
    fit_of(model).run(checkpoints=memory)
    changed = {name for name, tensor in model.named_parameters() if not torch.equal(tensor, before[name])}
    assert changed == {"head.weight", "head.bias"}
    prefix = re.compile(r"^(model|best)\.|^adam\.|\.(exp_avg|exp_avg_sq|step)$")
    assert {prefix.sub("", name) for name in memory.saved[0][0]} == {"head.weight", "head.bias", "seen"}


@pytest.mark.parametrize("kept", [1, 2])
def test_a_resumed_training_ends_in_the_same_weights_and_buffers(kept: int) -> None:
    whole, resumed, memory = Bag(), Bag(), tiny.Memory(kept)
    history = fit_of(whole, weight_decay=0.1).run()
    fit_of(Bag(), weight_decay=0.1, max_epochs=kept).run(checkpoints=memory)
    heard: list[EpochReport] = []
    again = fit_of(resumed, weight_decay=0.1).run(heard.append, checkpoints=memory)
    assert [report.epoch for report in heard] == list(range(kept, 3))
    assert (losses(again), same(whole, resumed)) == (losses(history), True)
    assert whole.seen == DOCUMENTS * (1 + max(report.epoch for report in history if report.best))


def test_a_checkpoint_of_other_parameters_is_passed_over() -> None:
    """An older version numbered them."""
    whole, anew, memory = Bag(), Bag(), tiny.Memory(1)
    history = fit_of(whole).run(checkpoints=memory)
    tensors, meta = memory.saved[0]
    numbered = {re.sub(r"^adam\.(\w+\.\w+)\.", "adam.0.", name): tensor for name, tensor in tensors.items()}
    memory.saved[0] = numbered, meta
    assert losses(fit_of(anew).run(checkpoints=memory)) == losses(history)
    assert same(whole, anew)


def test_the_mean_loss_is_that_of_every_document_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    model, data = Bag(), documents()
    alone = [mean_loss(model.loss, data.select(np.array([place])), CPU) for place in range(len(data))]
    for size in (1, 7, 128):
        monkeypatch.setattr("core.lstm.fitting.EVALUATION_BATCH", size)
        assert mean_loss(model.eval().loss, data, CPU) == pytest.approx(np.mean(alone), rel=1e-6)


def test_a_history_in_json_has_none_for_what_is_no_number() -> None:
    rows = as_rows([EpochReport(0, 1.5, float("nan"), False, 2.0), EpochReport(1, float("inf"), 0.5, True, 2.0)])
    assert rows[0] == {"epoch": 0, "train_loss": 1.5, "validation_loss": None, "best": False, "seconds": 2.0}
    assert (rows[1]["train_loss"], rows[1]["validation_loss"]) == (None, 0.5)
