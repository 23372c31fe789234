"""Fine-tune a transformer that classifies, with linear warm-up and decay of the learning rate."""

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import nn
from torch.nn import functional

from core.lstm.fitting import Checkpoints, EpochReport, Fit
from core.text.tokens import Batch, Encoded
from core.transformers.transformer_config import FineTuning


def fine_tune(
    model: nn.Module,
    train: Encoded,
    validation: Encoded,
    spec: FineTuning,
    on_epoch: Callable[[EpochReport], None] = lambda report: None,
    on_batch: Callable[[int, int], None] = lambda done, total: None,
    checkpoints: Checkpoints | None = None,
) -> tuple[EpochReport, ...]:
    """Train `model` in place up to its best weights by validation loss; return one report per epoch (see `Fit.run`).

    Losses are mean cross-entropies in nats per document. Raises InputError if training diverged from the start.
    """
    schedule = partial(warm_up_and_decay, spec.warmup_share)
    return Fit(model, partial(_loss, model), train, validation, spec, schedule).run(on_epoch, on_batch, checkpoints)


def warm_up_and_decay(warmup_share: float, step: int, steps: int) -> float:
    """Rise from 0 to 1 over the warm-up's share of all steps, then fall to 0 at the end, both linearly."""
    warm_up = warmup_share * steps
    share = (step + 1) / warm_up if step < warm_up else (steps - step) / (steps - warm_up)
    return min(share, 1.0)


def logits(model: nn.Module, batch: Batch) -> torch.Tensor:
    """Return a batch's logits, (B, C); padding is masked out and spelled as the model's own padding id."""
    config: Any = model.config
    ids = batch.ids.masked_fill(~batch.mask, config.pad_token_id or 0)
    found: torch.Tensor = model(input_ids=ids, attention_mask=batch.mask.long()).logits
    return found


def device_of(model: nn.Module) -> torch.device:
    return next(model.parameters()).device


def _loss(model: nn.Module, batch: Batch) -> tuple[torch.Tensor, int]:
    return functional.cross_entropy(logits(model, batch), batch.labels, reduction="sum"), len(batch.labels)
