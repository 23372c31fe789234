"""Fit one float LSTM model of a run (paper, section 4.3.1)."""

from collections.abc import Callable
from dataclasses import dataclass

import torch

from core import runtime
from core.config import ModelRun
from core.lstm import models
from core.lstm.fitting import Checkpoints, EpochReport, Fit
from core.lstm.models import Classifier
from core.seeding import derive
from core.text.tokens import EncodedCorpus


@dataclass(frozen=True)
class TrainedModel:
    """The best weights of a run by validation loss, and its history, one report per epoch."""

    model: Classifier
    history: tuple[EpochReport, ...]


def train(
    run: ModelRun,
    data: EncodedCorpus,
    on_epoch: Callable[[EpochReport], None] = lambda report: None,
    on_batch: Callable[[int, int], None] = lambda done, total: None,
    checkpoints: Checkpoints | None = None,
) -> TrainedModel:
    """Train the model of `run` on `data.train`, its weights drawn by the run's seed (see `Fit.run`).

    Raises InputError if training diverged from the first epoch on.
    """
    torch.manual_seed(derive(run.train.seed, "weights"))
    model = models.build(run.model, len(data.vocabulary), len(data.corpus.class_names)).to(runtime.device())
    fit = Fit(model, model.loss, data.train, data.validation, run.train)
    return TrainedModel(model, fit.run(on_epoch, on_batch, checkpoints))
