"""Fine-tune a classifier: AdamW, linear warm-up and decay, early stopping on validation loss, resumable by epoch."""

import contextlib
import math
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict
from typing import Any

import torch
from torch import nn
from torch.nn import functional

from core.errors import InputError
from core.lstm.training import Checkpoints, EpochReport
from core.seeding import derive, numpy_generator
from core.text.tokens import Batch, Encoded, batches
from core.transformers.transformer_config import FineTuning

EVALUATION_BATCH = 64


def fine_tune(
    model: nn.Module,
    train: Encoded,
    validation: Encoded,
    spec: FineTuning,
    on_epoch: Callable[[EpochReport], None] = lambda report: None,
    on_batch: Callable[[int, int], None] = lambda done, total: None,
    checkpoints: Checkpoints | None = None,
) -> tuple[EpochReport, ...]:
    """Train `model` in place up to its best weights by validation loss; return one report per epoch.

    Losses are mean cross-entropies in nats per document; `on_batch(done, total)` counts documents of the epoch. With
    `checkpoints` an interrupted run goes on after its last whole epoch and ends in the same weights as a whole one.

    Raises InputError if training diverged from the first epoch on.
    """
    fit = _Fit(model, _limited(train, spec), validation, spec)
    if checkpoints and (state := checkpoints.load()):
        fit.restore(*state)
    for epoch in range(len(fit.history), spec.max_epochs):
        if fit.out_of_patience():
            break
        fit.epoch(epoch, on_batch)
        on_epoch(fit.history[-1])
        if checkpoints:
            checkpoints.save(*fit.state())
    if not fit.best:
        raise InputError(f"the validation loss was never a finite number; lower learning_rate={spec.learning_rate:g}")
    _load_state(model, fit.best)
    model.eval()
    return tuple(fit.history)


def logits(model: nn.Module, batch: Batch) -> torch.Tensor:
    """Return a batch's logits, (B, C); padding is masked out and spelled as the model's own padding id."""
    config: Any = model.config
    ids = batch.ids.masked_fill(~batch.mask, config.pad_token_id or 0)
    found: torch.Tensor = model(input_ids=ids, attention_mask=batch.mask.long()).logits
    return found


def device_of(model: nn.Module) -> torch.device:
    return next(model.parameters()).device


class _Fit:
    """The state of one fine-tuning between epochs: whatever has a gradient, and buffers."""

    def __init__(self, model: nn.Module, train: Encoded, validation: Encoded, spec: FineTuning) -> None:
        self.model, self.train, self.validation, self.spec = model, train, validation, spec
        self.device = device_of(model)
        groups = _decayed_or_not(model, spec.weight_decay)
        self.optimizer = torch.optim.AdamW(groups, lr=spec.learning_rate, fused=True)
        self.steps_per_epoch = math.ceil(len(train) / spec.batch_size)
        self.best: dict[str, torch.Tensor] = {}
        self.history: list[EpochReport] = []

    def out_of_patience(self) -> bool:
        best_epoch = max((report.epoch for report in self.history if report.best), default=0)
        return len(self.history) - 1 - best_epoch >= self.spec.patience

    def epoch(self, epoch: int, on_batch: Callable[[int, int], None]) -> None:
        """Run one epoch; its shuffle and dropout depend on seed and epoch number alone."""
        start, total, done = time.perf_counter(), 0.0, 0
        torch.manual_seed(derive(self.spec.seed, "dropout", epoch))
        order = numpy_generator(self.spec.seed, "shuffle", epoch)
        self.model.train()
        for place, batch in enumerate(batches(self.train, self.spec.batch_size, order)):
            self._set_learning_rate(epoch * self.steps_per_epoch + place)
            total += self._step(batch.to(self.device)) * len(batch.labels)
            done += len(batch.labels)
            on_batch(done, len(self.train))
        self.model.eval()
        validation = _mean_loss(self.model, self.validation)
        best = validation < min((report.validation_loss for report in self.history), default=math.inf)
        if best:
            self.best = _state(self.model)
        seconds = time.perf_counter() - start
        self.history.append(EpochReport(epoch, total / done, validation, best, seconds))

    def _set_learning_rate(self, step: int) -> None:
        """Rise from 0 over the warm-up's share of all steps, then fall to 0 at the end, both linearly."""
        whole = self.steps_per_epoch * self.spec.max_epochs
        warm_up = self.spec.warmup_share * whole
        share = (step + 1) / warm_up if step < warm_up else (whole - step) / (whole - warm_up)
        for group in self.optimizer.param_groups:
            group["lr"] = self.spec.learning_rate * min(share, 1.0)

    def _step(self, batch: Batch) -> float:
        self.optimizer.zero_grad(set_to_none=True)
        with self._autocast():
            loss = functional.cross_entropy(logits(self.model, batch), batch.labels)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), self.spec.clip_norm)
        self.optimizer.step()
        return loss.item()

    def _autocast(self) -> contextlib.AbstractContextManager:
        if self.spec.precision == "float32":
            return contextlib.nullcontext()
        return torch.autocast(self.device.type, torch.bfloat16)

    def state(self) -> tuple[dict[str, torch.Tensor], dict]:
        """Return what is trained, the best of it and Adam's moments as flat tensors, and the history."""
        moments = self.optimizer.state_dict()["state"]
        tensors = {f"model.{name}": tensor for name, tensor in _state(self.model).items()}
        tensors |= {f"best.{name}": tensor for name, tensor in self.best.items()}
        tensors |= {f"adam.{i}.{name}": value for i, entry in moments.items() for name, value in entry.items()}
        return tensors, {"history": [asdict(report) for report in self.history]}

    def restore(self, tensors: dict[str, torch.Tensor], meta: dict) -> None:
        _load_state(self.model, _under(tensors, "model."))
        self.best = _under(tensors, "best.")
        moments: dict[int, dict[str, torch.Tensor]] = {}
        for name, value in _under(tensors, "adam.").items():
            index, _, key = name.partition(".")
            moments.setdefault(int(index), {})[key] = value
        self.optimizer.load_state_dict({**self.optimizer.state_dict(), "state": moments})
        self.history = [EpochReport(**report) for report in meta["history"]]


def _decayed_or_not(model: nn.Module, decay: float) -> list[dict]:
    """Return AdamW's two groups: matrices, and vectors (biases and norms), which are not decayed."""
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    matrices = [parameter for parameter in trained if parameter.ndim > 1]
    vectors = [parameter for parameter in trained if parameter.ndim < 2]
    groups = ({"params": matrices, "weight_decay": decay}, {"params": vectors, "weight_decay": 0.0})
    return [group for group in groups if group["params"]]


@torch.inference_mode()
def _mean_loss(model: nn.Module, encoded: Encoded) -> float:
    total, device = 0.0, device_of(model)
    for batch in (batch.to(device) for batch in batches(encoded, EVALUATION_BATCH)):
        total += functional.cross_entropy(logits(model, batch), batch.labels, reduction="sum").item()
    return total / len(encoded)


def _limited(encoded: Encoded, spec: FineTuning) -> Encoded:
    if spec.limit is None or spec.limit >= len(encoded):
        return encoded
    return encoded.select(numpy_generator(spec.seed, "limit").permutation(len(encoded))[: spec.limit])


def _trained(model: nn.Module) -> dict[str, torch.Tensor]:
    """What training changes, by name: parameters with gradients, and buffers. Frozen weights are left out."""
    parameters = {name: tensor for name, tensor in model.named_parameters() if tensor.requires_grad}
    return parameters | dict(model.named_buffers())


def _state(model: nn.Module) -> dict[str, torch.Tensor]:
    return {name: tensor.detach().clone() for name, tensor in _trained(model).items()}


@torch.no_grad()
def _load_state(model: nn.Module, state: Mapping[str, torch.Tensor]) -> None:
    for name, tensor in _trained(model).items():
        tensor.copy_(state[name])


def _under(tensors: dict[str, torch.Tensor], prefix: str) -> dict[str, torch.Tensor]:
    return {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}
