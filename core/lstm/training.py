"""Fit one float model: AdamW, gradient clipping, early stopping on validation loss, resumable after every epoch."""

import contextlib
import math
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any, Protocol

import torch

from core import runtime
from core.config import ModelRun, TrainSpec
from core.errors import InputError
from core.lstm import models
from core.lstm.models import Classifier
from core.seeding import derive, numpy_generator
from core.text.tokens import Batch, Encoded, EncodedCorpus, batches

EVALUATION_BATCH = 256


@dataclass(frozen=True)
class EpochReport:
    """One epoch: mean losses in nats per document (discriminative) or per token (generative)."""

    epoch: int
    train_loss: float
    validation_loss: float
    best: bool
    seconds: float


@dataclass(frozen=True)
class TrainedModel:
    """The best weights of a run by validation loss, and its history, one report per epoch."""

    model: Classifier
    history: tuple[EpochReport, ...]


class Checkpoints(Protocol):
    """Where a run keeps its state between epochs."""

    def load(self) -> tuple[dict[str, torch.Tensor], dict] | None: ...

    def save(self, tensors: dict[str, torch.Tensor], meta: dict) -> None: ...


def train(
    run: ModelRun,
    data: EncodedCorpus,
    on_epoch: Callable[[EpochReport], None] = lambda report: None,
    on_batch: Callable[[int, int], None] = lambda done, total: None,
    checkpoints: Checkpoints | None = None,
) -> TrainedModel:
    """Train the model of `run` on `data.train`, stop when validation has not improved for `patience` epochs.

    `on_batch(done, total)` counts documents of the current epoch. With `checkpoints`, a run that was
    interrupted goes on after its last whole epoch and ends in the same weights as an uninterrupted one.

    Raises InputError if training diverged from the first epoch on.
    """
    fit = _Fit(run, data)
    if checkpoints and (state := checkpoints.load()):
        fit.restore(*state)
    for epoch in range(len(fit.history), run.train.max_epochs):
        if fit.out_of_patience():
            break
        fit.epoch(epoch, on_batch)
        on_epoch(fit.history[-1])
        if checkpoints:
            checkpoints.save(*fit.state())
    if not fit.best:
        raise InputError(
            f"the validation loss was never a finite number; lower learning_rate={fit.spec.learning_rate:g}"
        )
    fit.model.load_state_dict(fit.best)
    return TrainedModel(fit.model.eval(), tuple(fit.history))


@torch.inference_mode()
def mean_loss(model: Classifier, encoded: Encoded) -> float:
    """Return the model's mean training loss over `encoded`, in nats (see EpochReport)."""
    device = next(model.parameters()).device
    parts = [model.loss(batch.to(device)) for batch in batches(encoded, EVALUATION_BATCH)]
    return float(sum(loss for loss, _ in parts)) / sum(count for _, count in parts)


class _Fit:
    """The state of one training run between epochs."""

    def __init__(self, run: ModelRun, data: EncodedCorpus) -> None:
        self.spec: TrainSpec = run.train
        self.data = data
        self.train_split = _limited(data.train, run.train)
        self.device = runtime.device()
        torch.manual_seed(derive(self.spec.seed, "weights"))
        self.model = models.build(run.model, len(data.vocabulary), len(data.corpus.class_names)).to(self.device)
        groups = _parameter_groups(self.model, self.spec.weight_decay)
        self.optimizer = torch.optim.AdamW(groups, lr=self.spec.learning_rate, fused=True)
        self.best: dict[str, torch.Tensor] = {}
        self.history: list[EpochReport] = []

    def out_of_patience(self) -> bool:
        best_epoch = max((report.epoch for report in self.history if report.best), default=0)
        return len(self.history) - 1 - best_epoch >= self.spec.patience

    def epoch(self, epoch: int, on_batch: Callable[[int, int], None]) -> None:
        """Run one epoch; its shuffle and dropout depend on seed and epoch number alone."""
        start, total, count, done = time.perf_counter(), 0.0, 0, 0
        torch.manual_seed(derive(self.spec.seed, "dropout", epoch))
        order = numpy_generator(self.spec.seed, "shuffle", epoch)
        self.model.train()
        for batch in batches(self.train_split, self.spec.batch_size, order):
            loss, items = self._step(batch.to(self.device))
            total, count, done = total + loss, count + items, done + len(batch.labels)
            on_batch(done, len(self.train_split))
        self.model.eval()
        validation = mean_loss(self.model, self.data.validation)
        best = validation < min((report.validation_loss for report in self.history), default=math.inf)
        if best:
            self.best = {name: tensor.detach().clone() for name, tensor in self.model.state_dict().items()}
        seconds = time.perf_counter() - start
        self.history.append(EpochReport(epoch, total / count, validation, best, seconds))

    def _step(self, batch: Batch) -> tuple[float, int]:
        self.optimizer.zero_grad(set_to_none=True)
        with self._autocast():
            loss, items = self.model.loss(batch)
        (loss / items).backward()
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), self.spec.clip_norm)
        self.optimizer.step()
        return loss.item(), items

    def _autocast(self) -> contextlib.AbstractContextManager:
        if self.spec.precision == "float32":
            return contextlib.nullcontext()
        return torch.autocast(self.device.type, torch.bfloat16)

    def state(self) -> tuple[dict[str, torch.Tensor], dict]:
        """Return weights, best weights and Adam moments as flat tensors, and the history."""
        moments = self.optimizer.state_dict()["state"]
        tensors = {f"model.{name}": tensor for name, tensor in self.model.state_dict().items()}
        tensors |= {f"best.{name}": tensor for name, tensor in self.best.items()}
        tensors |= {f"adam.{i}.{name}": value for i, entry in moments.items() for name, value in entry.items()}
        return tensors, {"history": [asdict(report) for report in self.history]}

    def restore(self, tensors: dict[str, torch.Tensor], meta: dict) -> None:
        self.model.load_state_dict(_under(tensors, "model."))
        self.best = _under(tensors, "best.")
        moments: dict[int, dict[str, torch.Tensor]] = {}
        for name, value in _under(tensors, "adam.").items():
            index, _, key = name.partition(".")
            moments.setdefault(int(index), {})[key] = value
        self.optimizer.load_state_dict({**self.optimizer.state_dict(), "state": moments})
        self.history = [EpochReport(**report) for report in meta["history"]]


def _limited(encoded: Encoded, spec: TrainSpec) -> Encoded:
    if spec.limit is None or spec.limit >= len(encoded):
        return encoded
    chosen = numpy_generator(spec.seed, "limit").permutation(len(encoded))[: spec.limit]
    return encoded.select(chosen)


def _parameter_groups(model: Classifier, decay: float) -> list[dict[str, Any]]:
    """Return one group for each parameter, in the model's order; weights decay, biases do not."""
    return [{"params": [one], "weight_decay": decay if one.ndim > 1 else 0.0} for one in model.parameters()]


def _under(tensors: dict[str, torch.Tensor], prefix: str) -> dict[str, torch.Tensor]:
    return {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}
