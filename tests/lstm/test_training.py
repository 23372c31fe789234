"""One training run on a corpus of a few made-up words: seeds, resuming, early stopping, callbacks."""

import json
import math
from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

import numpy as np
import pytest
import tiny
import torch

from core.config import CorpusSpec, ModelRun, ModelSpec, TokenSpec, TrainSpec
from core.errors import InputError
from core.lstm import fitting
from core.lstm.fitting import EpochReport, mean_loss
from core.lstm.models import DiscriminativeLSTM, build
from core.lstm.training import TrainedModel, train
from core.seeding import derive
from core.text.corpora import Corpus, Documents
from core.text.tokens import Batch, EncodedCorpus, batches, encode_corpus

KINDS = ("generative", "discriminative")
CPU = torch.device("cpu")
CLASSES = ("ash", "bay", "elm")


@pytest.fixture(autouse=True)
def _on_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BITDIAL_DEVICE", "cpu")


def made_up(generator: np.random.Generator, count: int, informative: bool = True) -> Documents:
    """Texts whose words tell the class, unless they are not informative."""
    labels = generator.integers(0, 3, count)
    topics = labels if informative else generator.permutation(labels)
    texts = [
        " ".join(generator.choice([*(f"{CLASSES[topic]}{i}" for i in range(4)), "the", "of"], generator.integers(3, 9)))
        for topic in topics
    ]
    return Documents(texts, labels)


def encoded(informative: bool = True) -> EncodedCorpus:
    generator = np.random.default_rng(0)
    parts = made_up(generator, 60), made_up(generator, 40, informative), made_up(generator, 40)
    return encode_corpus(Corpus("made up", CLASSES, *parts, "", "", ""), TokenSpec())


@pytest.fixture(scope="module")
def data() -> EncodedCorpus:
    return encoded()


def run_of(kind: str, model: dict[str, Any] | None = None, **settings: Any) -> ModelRun:
    return ModelRun(
        corpus=CorpusSpec(name="made up"),
        tokens=TokenSpec(),
        model=ModelSpec.model_validate(
            {"kind": kind, "embedding_dim": 8, "hidden_dim": 8, "label_dim": 8, "dropout": 0.2} | (model or {})
        ),
        train=TrainSpec.model_validate({"batch_size": 8, "max_epochs": 4, "learning_rate": 0.01} | settings),
    )


def same(a: TrainedModel, b: TrainedModel) -> bool:
    """Equal weights to the bit, and equal histories but for the time they took."""
    ours, theirs = a.model.state_dict(), b.model.state_dict()
    weights = ours.keys() == theirs.keys() and all(torch.equal(ours[name], theirs[name]) for name in ours)
    return weights and losses(a) == losses(b)


def losses(trained: TrainedModel) -> list[tuple[int, float, float, bool]]:
    return [(r.epoch, r.train_loss, r.validation_loss, r.best) for r in trained.history]


# Learning


@pytest.mark.parametrize("kind", KINDS)
def test_training_lowers_both_losses(data: EncodedCorpus, kind: str) -> None:
    history = train(run_of(kind), data).history
    assert [report.epoch for report in history] == [0, 1, 2, 3]
    assert history[-1].train_loss < 0.9 * history[0].train_loss
    assert history[-1].validation_loss < 0.9 * history[0].validation_loss
    assert all(report.seconds > 0 for report in history)


def test_the_classes_are_learned(data: EncodedCorpus) -> None:
    model = train(run_of("discriminative", max_epochs=12), data).model
    assert isinstance(model, DiscriminativeLSTM)
    assert not model.training
    (batch,) = batches(data.test, 100)
    assert (model(batch).argmax(dim=1) == batch.labels).float().mean() > 0.9


@pytest.mark.parametrize("kind", KINDS)
def test_losses_are_means_per_document_or_per_token(data: EncodedCorpus, kind: str) -> None:
    trained = train(run_of(kind, {"dropout": 0}, learning_rate=1e-12, max_epochs=1), data)
    start = {"discriminative": math.log(3), "generative": math.log(len(data.vocabulary))}[kind]
    (report,) = trained.history
    for loss, split in ((report.train_loss, data.train), (report.validation_loss, data.validation)):
        summed = [trained.model.loss(next(batches(split.select(np.array([i])), 1))) for i in range(len(split))]
        expected = sum(part.item() for part, _ in summed) / sum(count for _, count in summed)
        assert loss == pytest.approx(expected, rel=1e-5)
        assert loss == pytest.approx(start, rel=0.2)
        assert mean_loss(trained.model.loss, split, CPU) == pytest.approx(expected, rel=1e-5)


def test_the_mean_loss_does_not_depend_on_the_batch_size(data: EncodedCorpus, monkeypatch: pytest.MonkeyPatch) -> None:
    trained = train(run_of("generative", max_epochs=1), data)
    monkeypatch.setattr(fitting, "EVALUATION_BATCH", 7)
    found = mean_loss(trained.model.loss, data.validation, CPU)
    assert found == pytest.approx(trained.history[0].validation_loss, rel=1e-5)


# Seeds and settings


@pytest.mark.parametrize("kind", KINDS)
def test_the_seed_decides_every_weight(data: EncodedCorpus, kind: str) -> None:
    first = train(run_of(kind, seed=5), data)
    torch.manual_seed(99)
    torch.rand(7)
    assert same(train(run_of(kind, seed=5), data), first)
    assert not same(train(run_of(kind, seed=6), data), first)


@pytest.mark.parametrize(
    "settings",
    [
        {"batch_size": 16},
        {"learning_rate": 0.02},
        {"clip_norm": 0.05},
        {"weight_decay": 1.0},
        {"limit": 30},
        {"precision": "bfloat16"},
        {"model": {"dropout": 0.0}},
        {"model": {"pooling": "mean"}},
        {"model": {"hidden_dim": 9}},
    ],
)
def test_every_setting_changes_the_weights(data: EncodedCorpus, settings: dict[str, Any]) -> None:
    plain = train(run_of("discriminative", max_epochs=1), data)
    assert not same(train(run_of("discriminative", max_epochs=1, **settings), data), plain)


@pytest.mark.parametrize("kind", KINDS)
def test_weight_decay_shrinks_weights_and_leaves_biases(data: EncodedCorpus, kind: str) -> None:
    """In a first step, by learning rate x decay of what they were, whatever the gradient (AdamW, algorithm 2)."""
    one_step: dict[str, Any] = {"batch_size": 60, "max_epochs": 1}
    plain, decayed = (train(run_of(kind, weight_decay=decay, **one_step), data).model for decay in (0.0, 3.0))
    torch.manual_seed(derive(0, "weights"))
    start = build(run_of(kind).model, len(data.vocabulary), len(CLASSES)).state_dict()
    for name, weight in plain.state_dict().items():
        share = 0.0 if "bias" in name else 0.01 * 3
        torch.testing.assert_close(decayed.state_dict()[name], weight - share * start[name], rtol=0, atol=1e-6)


@pytest.mark.parametrize("kind", KINDS)
def test_bfloat16_trains_about_as_well(data: EncodedCorpus, kind: str) -> None:
    exact, rough = (train(run_of(kind, precision=precision), data) for precision in ("float32", "bfloat16"))
    assert {tensor.dtype for tensor in rough.model.state_dict().values()} == {torch.float32}
    for ours, theirs in zip(exact.history, rough.history, strict=True):
        assert theirs.train_loss == pytest.approx(ours.train_loss, rel=0.05)
        assert theirs.validation_loss == pytest.approx(ours.validation_loss, rel=0.05)


def test_clipping_spares_the_gradients_of_a_mean_loss(data: EncodedCorpus) -> None:
    loose, none = (train(run_of("generative", max_epochs=1, clip_norm=norm), data) for norm in (3, 1e9))
    assert same(loose, none)


# The documents of an epoch


def test_every_epoch_has_its_own_order(data: EncodedCorpus, monkeypatch: pytest.MonkeyPatch) -> None:
    orders: list[tuple[int, ...]] = []

    def recorded(*arguments: Any) -> Iterator[Batch]:
        found = list(batches(*arguments))
        if len(arguments) == 3:
            orders.append(tuple(i for batch in found for i in batch.index.tolist()))
        return iter(found)

    monkeypatch.setattr(fitting, "batches", recorded)
    train(run_of("discriminative"), data)
    assert len(set(orders)) == 4
    assert {tuple(sorted(order)) for order in orders} == {tuple(range(60))}


def test_every_epoch_has_its_own_dropout(data: EncodedCorpus) -> None:
    """With one document and no learning, nothing else tells the epochs apart."""
    run = run_of("discriminative", {"dropout": 0.5}, limit=1, learning_rate=1e-12, patience=4)
    assert len({report.train_loss for report in train(run, data).history}) == 4


def test_a_limit_trains_on_a_seeded_sample(data: EncodedCorpus) -> None:
    totals: set[int] = set()
    run = run_of("discriminative", limit=20)
    limited = train(run, data, on_batch=lambda done, total: totals.add(total))
    assert totals == {20}
    assert same(train(run, data), limited)
    assert not same(train(run_of("discriminative", limit=20, seed=1), data), limited)


@pytest.mark.parametrize("limit", [60, 1000])
def test_a_limit_beyond_the_split_is_none(data: EncodedCorpus, limit: int) -> None:
    assert same(train(run_of("discriminative", limit=limit), data), train(run_of("discriminative"), data))


def test_callbacks_hear_every_batch_and_epoch(data: EncodedCorpus) -> None:
    heard: list[EpochReport | tuple[int, int]] = []
    run = run_of("discriminative", batch_size=25, max_epochs=2)
    trained = train(run, data, heard.append, lambda done, total: heard.append((done, total)))
    reports = [item for item in heard if isinstance(item, EpochReport)]
    assert reports == list(trained.history)
    assert [item for item in heard if isinstance(item, tuple)] == heard[:3] + heard[4:7]
    for counts in (heard[:3], heard[4:7]):
        dones = [item[0] for item in counts if isinstance(item, tuple)]
        assert dones == sorted(set(dones))
        assert counts[-1] == (60, 60)


# Early stopping


@pytest.mark.parametrize("patience", [1, 2])
def test_training_stops_early_and_returns_the_best_weights(patience: int) -> None:
    misleading = encoded(informative=False)
    run = run_of("discriminative", {"dropout": 0}, max_epochs=40, patience=patience, learning_rate=0.03)
    trained = train(run, misleading)
    validation = [report.validation_loss for report in trained.history]
    best = int(np.argmin(validation))
    assert len(validation) == best + 1 + patience < 40
    assert validation[-1] > validation[best]
    assert mean_loss(trained.model.loss, misleading.validation, CPU) == pytest.approx(validation[best], rel=1e-6)


def test_an_epoch_is_best_if_its_validation_loss_is_the_lowest_so_far() -> None:
    run = run_of("discriminative", max_epochs=8, patience=8, learning_rate=0.03)
    history = train(run, encoded(informative=False)).history
    validation = [report.validation_loss for report in history]
    assert [report.best for report in history] == [
        loss < min(validation[:epoch], default=math.inf) for epoch, loss in enumerate(validation)
    ]
    assert {report.best for report in history} == {True, False}


def test_more_epochs_after_the_best_change_nothing() -> None:
    misleading = encoded(informative=False)
    short, long = (
        train(run_of("discriminative", patience=patience, max_epochs=40, learning_rate=0.03), misleading)
        for patience in (2, 4)
    )
    assert min(losses(short), key=lambda row: row[2]) == min(losses(long), key=lambda row: row[2])
    assert torch.equal(short.model.head.weight, long.model.head.weight)


def test_a_run_that_never_reaches_a_finite_loss_is_refused(data: EncodedCorpus) -> None:
    run = run_of("generative", learning_rate=1e30, max_epochs=2)
    with pytest.raises(InputError) as refusal:
        train(run, data)
    assert str(refusal.value) == "the validation loss was never a finite number; lower learning_rate=1e+30"


# Resuming


class StoppedError(Exception):
    pass


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("epochs", [0, 1, 3])
def test_an_interrupted_run_ends_in_the_same_weights(data: EncodedCorpus, kind: str, epochs: int) -> None:
    """Interrupted in the middle of the epoch after so many whole ones."""
    uninterrupted, memory = train(run_of(kind), data), tiny.Memory()
    heard: list[EpochReport] = []
    steps = iter(range(8 * epochs + 4, -1, -1))

    def interrupt(done: int, total: int) -> None:
        if next(steps) == 0:
            raise StoppedError

    with pytest.raises(StoppedError):
        train(run_of(kind), data, on_batch=interrupt, checkpoints=memory)
    assert len(memory.saved) == epochs
    torch.manual_seed(1234)
    resumed = train(run_of(kind), data, on_epoch=heard.append, checkpoints=memory)
    assert same(resumed, uninterrupted)
    assert [report.epoch for report in heard] == list(range(epochs, 4))


def test_checkpoints_change_nothing_and_keep_the_history(data: EncodedCorpus) -> None:
    memory = tiny.Memory()
    trained = train(run_of("generative"), data, checkpoints=memory)
    assert same(trained, train(run_of("generative"), data))
    assert len(memory.saved) == 4
    assert json.loads(memory.saved[-1][1])["history"] == [asdict(report) for report in trained.history]


def test_a_finished_run_is_not_trained_again(data: EncodedCorpus) -> None:
    memory = tiny.Memory()
    heard: list[EpochReport] = []
    first = train(run_of("discriminative"), data, checkpoints=memory)
    again = train(run_of("discriminative"), data, heard.append, checkpoints=memory)
    assert same(again, first)
    assert (heard, len(memory.saved)) == ([], 4)


def test_a_run_out_of_patience_stays_stopped() -> None:
    misleading, memory = encoded(informative=False), tiny.Memory()
    heard: list[EpochReport] = []
    run = run_of("discriminative", max_epochs=40, patience=1, learning_rate=0.03)
    first = train(run, misleading, checkpoints=memory)
    again = train(run, misleading, heard.append, checkpoints=memory)
    assert same(again, first)
    assert heard == []
    assert not torch.equal(memory.saved[-1][0]["model.head.weight"], first.model.head.weight)
