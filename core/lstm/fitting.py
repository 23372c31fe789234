"""One training of any model: AdamW, clipped gradients, early stopping on validation loss, resumable by epoch."""

import contextlib
import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from core.errors import InputError
from core.seeding import derive, numpy_generator
from core.text.tokens import Batch, Encoded, batches

EVALUATION_BATCH = 128

# A batch to its summed loss, in nats, and how many items (documents or tokens) that is the sum over.
Loss = Callable[[Batch], tuple[Tensor, int]]
# (step, steps of the whole training) to the share of the learning rate at that step.
Schedule = Callable[[int, int], float]


class Settings(Protocol):
    """What a training reads of its specification, a TrainSpec or a FineTuning."""

    @property
    def batch_size(self) -> int: ...
    @property
    def learning_rate(self) -> float: ...
    @property
    def max_epochs(self) -> int: ...
    @property
    def patience(self) -> int: ...
    @property
    def weight_decay(self) -> float: ...
    @property
    def clip_norm(self) -> float: ...
    @property
    def precision(self) -> str: ...
    @property
    def limit(self) -> int | None: ...
    @property
    def seed(self) -> int: ...


@dataclass(frozen=True)
class EpochReport:
    """One epoch: mean losses in nats per document (classifiers) or per token (generative)."""

    epoch: int
    train_loss: float
    validation_loss: float
    best: bool
    seconds: float


class Checkpoints(Protocol):
    """Where a training keeps its state between epochs."""

    def load(self) -> tuple[dict[str, Tensor], dict] | None: ...

    def save(self, tensors: dict[str, Tensor], meta: dict) -> None: ...


class Fit:
    """The state of one training between epochs: whatever has a gradient, buffers, AdamW's moments, the history."""

    def __init__(
        self,
        model: nn.Module,
        loss: Loss,
        train: Encoded,
        validation: Encoded,
        spec: Settings,
        schedule: Schedule = lambda step, steps: 1.0,
    ) -> None:
        self.model, self.loss, self.validation, self.spec, self.schedule = model, loss, validation, spec, schedule
        self.train = _limited(train, spec)
        self.device = next(model.parameters()).device
        self.optimizer = torch.optim.AdamW(_decayed_or_not(model, spec.weight_decay), lr=spec.learning_rate, fused=True)
        self.steps_per_epoch = math.ceil(len(self.train) / spec.batch_size)
        self.best: dict[str, Tensor] = {}
        self.history: list[EpochReport] = []

    def run(
        self,
        on_epoch: Callable[[EpochReport], None] = lambda report: None,
        on_batch: Callable[[int, int], None] = lambda done, total: None,
        checkpoints: Checkpoints | None = None,
    ) -> tuple[EpochReport, ...]:
        """Train until validation has not improved for `patience` epochs, and leave the model at its best weights.

        `on_batch(done, total)` counts documents of the current epoch. With `checkpoints` an interrupted training goes
        on after its last whole epoch and ends in the same weights as a whole one.

        Raises InputError if training diverged from the first epoch on.
        """
        if checkpoints and (state := checkpoints.load()):
            self.restore(*state)
        for epoch in range(len(self.history), self.spec.max_epochs):
            if self.out_of_patience():
                break
            self.epoch(epoch, on_batch)
            on_epoch(self.history[-1])
            if checkpoints:
                checkpoints.save(*self.state())
        if not self.best:
            rate = self.spec.learning_rate
            raise InputError(f"the validation loss was never a finite number; lower learning_rate={rate:g}")
        _load_state(self.model, self.best)
        self.model.eval()
        return tuple(self.history)

    def out_of_patience(self) -> bool:
        best_epoch = max((report.epoch for report in self.history if report.best), default=0)
        return len(self.history) - 1 - best_epoch >= self.spec.patience

    def epoch(self, epoch: int, on_batch: Callable[[int, int], None]) -> None:
        """Run one epoch; its shuffle and dropout depend on seed and epoch number alone."""
        start, total, count, done = time.perf_counter(), 0.0, 0, 0
        torch.manual_seed(derive(self.spec.seed, "dropout", epoch))
        order = numpy_generator(self.spec.seed, "shuffle", epoch)
        self.model.train()
        for place, batch in enumerate(batches(self.train, self.spec.batch_size, order)):
            self.set_learning_rate(epoch * self.steps_per_epoch + place)
            loss, items = self._step(batch.to(self.device))
            total, count, done = total + loss, count + items, done + len(batch.labels)
            on_batch(done, len(self.train))
        self.model.eval()
        validation = mean_loss(self.loss, self.validation, self.device)
        best = validation < min((report.validation_loss for report in self.history), default=math.inf)
        if best:
            self.best = _state(self.model)
        seconds = time.perf_counter() - start
        self.history.append(EpochReport(epoch, total / count, validation, best, seconds))

    def set_learning_rate(self, step: int) -> None:
        share = self.schedule(step, self.steps_per_epoch * self.spec.max_epochs)
        for group in self.optimizer.param_groups:
            group["lr"] = self.spec.learning_rate * share

    def state(self) -> tuple[dict[str, Tensor], dict]:
        """Return what is trained, the best of it and AdamW's moments as flat tensors, and the history."""
        moments = self.optimizer.state_dict()["state"]
        names = self._names()
        tensors = {f"model.{name}": tensor for name, tensor in _state(self.model).items()}
        tensors |= {f"best.{name}": tensor for name, tensor in self.best.items()}
        tensors |= {f"adam.{names[i]}.{key}": value for i, entry in moments.items() for key, value in entry.items()}
        return tensors, {"history": [asdict(report) for report in self.history]}

    def restore(self, tensors: dict[str, Tensor], meta: dict) -> None:
        """Go on from a state; one whose moments are not of these parameters, an older version's, is passed over."""
        moments: dict[str, dict[str, Tensor]] = {}
        for path, value in _under(tensors, "adam.").items():
            name, _, key = path.rpartition(".")
            moments.setdefault(name, {})[key] = value
        names = self._names()
        if moments.keys() != set(names):
            return
        _load_state(self.model, _under(tensors, "model."))
        self.best = _under(tensors, "best.")
        by_place = {i: moments[name] for i, name in enumerate(names)}
        self.optimizer.load_state_dict({**self.optimizer.state_dict(), "state": by_place})
        self.history = [EpochReport(**report) for report in meta["history"]]

    def _names(self) -> list[str]:
        """Name the optimizer's parameters in its own order."""
        names = {parameter: name for name, parameter in self.model.named_parameters()}
        return [names[parameter] for group in self.optimizer.param_groups for parameter in group["params"]]

    def _step(self, batch: Batch) -> tuple[float, int]:
        self.optimizer.zero_grad(set_to_none=True)
        with self._autocast():
            loss, items = self.loss(batch)
        (loss / items).backward()
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), self.spec.clip_norm)
        self.optimizer.step()
        return loss.item(), items

    def _autocast(self) -> contextlib.AbstractContextManager:
        if self.spec.precision == "float32":
            return contextlib.nullcontext()
        return torch.autocast(self.device.type, torch.bfloat16)


def as_rows(history: Sequence[EpochReport]) -> list[dict[str, Any]]:
    """Return reports as JSON holds them: None for a loss that is no finite number."""
    return [{n: v if math.isfinite(v) else None for n, v in asdict(report).items()} for report in history]


@torch.inference_mode()
def mean_loss(loss: Loss, encoded: Encoded, device: torch.device) -> float:
    """Return the mean loss over `encoded`, in nats (see EpochReport)."""
    parts = [loss(batch.to(device)) for batch in batches(encoded, EVALUATION_BATCH)]
    return sum(total.item() for total, _ in parts) / sum(items for _, items in parts)


def _limited(encoded: Encoded, spec: Settings) -> Encoded:
    if spec.limit is None or spec.limit >= len(encoded):
        return encoded
    return encoded.select(numpy_generator(spec.seed, "limit").permutation(len(encoded))[: spec.limit])


def _decayed_or_not(model: nn.Module, decay: float) -> list[dict[str, Any]]:
    """Return AdamW's two groups: matrices, and vectors (biases and norms), which are not decayed."""
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    matrices = [parameter for parameter in trained if parameter.ndim > 1]
    vectors = [parameter for parameter in trained if parameter.ndim < 2]
    groups = ({"params": matrices, "weight_decay": decay}, {"params": vectors, "weight_decay": 0.0})
    return [group for group in groups if group["params"]]


def _trained(model: nn.Module) -> dict[str, Tensor]:
    """What training changes, by name: parameters with gradients, and buffers. Frozen weights are left out."""
    parameters = {name: tensor for name, tensor in model.named_parameters() if tensor.requires_grad}
    return parameters | dict(model.named_buffers())


def _state(model: nn.Module) -> dict[str, Tensor]:
    return {name: tensor.detach().clone() for name, tensor in _trained(model).items()}


@torch.no_grad()
def _load_state(model: nn.Module, state: Mapping[str, Tensor]) -> None:
    for name, tensor in _trained(model).items():
        tensor.copy_(state[name])


def _under(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}
