"""The engine against its peers, in one run on one machine: python -m benchmarks.engine --corpus reuters-r8 --json

Peer A is Brevitas's own forward of the same variant. Peer B is float PyTorch as the paper's code does it: nn.LSTM,
and for the generative model one whole pass for every class, with log_softmax over the vocabulary. All sides read the
same documents, sorted by length, with the same threads; peers at the batch size that suits them best.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor

from benchmarks import roofline, timing
from core import pipeline, runtime
from core.config import BIT_WIDTHS, FLOAT_BITS, CalibrationSpec, EvaluationSpec, ModelKind
from core.display import live
from core.lstm.models import Classifier, DiscriminativeLSTM, GenerativeLSTM, next_tokens
from core.measurement import evaluation
from core.quantization import engine, packing
from core.quantization.brevitas_models import BrevitasTwin
from core.quantization.heads import GenerativeHead
from core.quantization.levels import Matrix, Quantizer
from core.quantization.residents import Resident
from core.storage.store import Store
from core.text import inputs
from core.text.tokens import Encoded, batches

BITS = 4
QUICK: dict[str, Any] = {"ranges": "percentile", "head": "round", "calibration": CalibrationSpec(count=200)}
LSTM_BATCHES = (64, 256, 1024, 2048)
FLOAT_BATCHES = (32, 64, 128, 256, 512)
LOOP_BATCHES = (8, 32, 128)
MOST_DOCUMENTS = 2000
LOOP_DOCUMENTS = 200  # the class loop takes minutes on all of them
TEXT = "oil prices rose on friday after the ministers agreed to cut production in the second quarter of the year"
CORPUS: dict[str, Any] = {"default": "reuters-r8"}
OPTIONS: dict[str, dict[str, Any]] = {
    "--corpus": CORPUS,
    "--train-limit": {"type": int, "help": "train one epoch on so many documents, for a corpus without weights"},
    "--min-frequency": {"type": int, "help": "keep words seen so often, for a larger vocabulary"},
}


@dataclass(frozen=True)
class Case:
    """One model of a corpus: its float form, one variant ready to run, the same in Brevitas, and its test documents."""

    spec: EvaluationSpec
    model: Classifier
    resident: Resident
    twin: BrevitasTwin
    documents: Encoded

    def all(self, size: int, run: Callable[..., Any], documents: Encoded | None = None) -> Callable[[], list[Any]]:
        """Return what runs every batch of `size` documents through `run`."""
        ready = list(batches(self.documents if documents is None else documents, size))
        return lambda: [run(batch) for batch in ready]


@dataclass(frozen=True)
class Subject:
    """Which models are measured: a corpus's own, or made for this, as speed does not depend on what they learned.

    With `train_limit` they are trained for one epoch on so many documents; `min_frequency` sets the vocabulary.
    """

    corpus: str
    train_limit: int | None = None
    min_frequency: int | None = None

    def specify(self, kind: ModelKind, bits: int, **recipe: Any) -> EvaluationSpec:
        run = {"max_epochs": 1, "limit": self.train_limit} if self.train_limit else None
        spec = pipeline.specify(self.corpus, kind, bits, run=run, **{**QUICK, **recipe})
        if self.min_frequency is None:
            return spec
        variant = spec.variant
        tokens = variant.run.tokens.model_copy(update={"min_frequency": self.min_frequency})
        own = variant.model_copy(update={"run": variant.run.model_copy(update={"tokens": tokens})})
        return spec.model_copy(update={"variant": own})


def make_case(subject: Subject, kind: ModelKind) -> Case:
    """Return a model rounded to BITS, with fitted ranges, so that its LSTM is alive."""
    spec = pipeline.resolve(subject.specify(kind, BITS, ranges="fitted"))
    model = pipeline.build_model(spec.variant.run).requires_grad_(False)
    resident = pipeline.resident(spec.variant)
    twin = BrevitasTwin(model, spec.variant.recipe).requires_grad_(False)
    named = {"state_input": resident.variant.state_input, "label_input": resident.variant.label_input}
    for site, quantizer in {**resident.variant.sites, **named}.items():
        if quantizer:
            twin.set_range(site, quantizer.largest)
    documents = inputs.encode_documents(spec, None)[0]
    order = np.random.default_rng(0).permutation(len(documents))[:MOST_DOCUMENTS]
    return Case(spec, model, resident, twin, documents.select(order))


def lstm(case: Case) -> dict[str, float]:
    """The LSTM alone, all test documents: against Brevitas's, at batch 64 and at its best."""
    with torch.inference_mode():
        ours = timing.medians(
            {0: case.all(evaluation.BATCH_SIZES["cpu"], partial(engine.head_states, case.resident.prepared))}
        )[0]
        forward = {size: case.all(size, lambda batch: case.twin.hidden(batch.ids)) for size in LSTM_BATCHES}
        at_64 = timing.medians({64: forward[64]})[64]
        size, at_best = timing.best(forward)
    return {
        "lstm_seconds": ours,
        "lstm_vs_brevitas_b64": at_64 / ours,
        "lstm_vs_brevitas_best": at_best / ours,
        "brevitas_best_batch": size,
    }


def discriminative(case: Case) -> dict[str, float]:
    """All test documents to predictions, against the float model's own layers."""
    assert isinstance(case.model, DiscriminativeLSTM)
    with torch.inference_mode():
        ours = timing.medians(
            {0: partial(evaluation.evaluate, case.resident.variant, case.documents, case.resident.score)}
        )[0]
        loops = {size: case.all(size, lambda batch: case.model(batch).argmax(1)) for size in FLOAT_BATCHES}
        size, theirs = timing.best(loops)
    return {"disc_seconds": ours, "disc_vs_float": theirs / ours, "float_best_batch": size}


def class_loop(model: GenerativeLSTM, batch: Any) -> Tensor:
    """The losses of each document under each class, one whole pass of the float model for every class."""
    losses = []
    for label in range(model.label_embedding.num_embeddings):
        states, targets, rows = next_tokens(model.hidden(batch.ids), batch)
        labels = model.label_embedding.weight[label].expand(len(states), -1)
        logs = torch.log_softmax(model.head(torch.cat([states, labels], dim=1)), dim=1)
        own = -logs.gather(1, targets[:, None])[:, 0]
        losses.append(own.new_zeros(len(batch.ids)).index_add_(0, rows, own))
    return torch.stack(losses, dim=1)


def generative(case: Case) -> dict[str, float]:
    """A sample of the documents to losses, against the class loop; and the share of what the processor can do."""
    assert isinstance(case.model, GenerativeLSTM)
    order = np.random.default_rng(0).permutation(len(case.documents))
    sample = case.documents.select(order[:LOOP_DOCUMENTS])
    ready = case.resident
    with torch.inference_mode():
        run = partial(evaluation.evaluate, ready.variant, sample, ready.score)
        loops = {size: case.all(size, partial(class_loop, case.model), sample) for size in LOOP_BATCHES}
        size, theirs = timing.best(loops)
        taken = timing.medians(
            {"evaluate": run, "all": partial(evaluation.evaluate, ready.variant, case.documents, ready.score)}
        )
    tokens = int((case.documents.lengths - 1).sum())
    floors = roofline.generative_floor(ready, tokens)
    return {
        "gen_seconds": taken["all"],
        "gen_vs_loop": theirs / taken["evaluate"],
        "loop_best_batch": size,
        "loop_documents": len(sample),
        "gen_roofline_share": floors["floor"] / taken["all"],
        "gen_roofline_share_float32": floors["floor_float32"] / taken["all"],
        "tokens": tokens,
    }


def growth(resident: Resident, documents: Encoded) -> dict[str, Any]:
    """Seconds against the number of documents, of words in the vocabulary and of classes, each from 1x to 8x.

    1x is an eighth of the documents for a generative model, which takes seconds on all, else all.
    """
    least = len(documents) // 8 if isinstance(resident.head, GenerativeHead) else len(documents)
    base = np.random.default_rng(0).permutation(len(documents))[:least]
    copies = {factor: documents.select(np.tile(base, factor)) for factor in (1, 2, 4, 8)}
    evaluate = partial(evaluation.evaluate, resident.variant)
    found: dict[str, Any] = {
        "documents": timing.medians({k: partial(evaluate, copy, resident.score) for k, copy in copies.items()})
    }
    if isinstance(resident.head, GenerativeHead):
        states = torch.rand(4096, len(resident.prepared.recurrent))
        found["vocabulary"] = timing.medians(
            {words: _scoring(states, words, 8) for words in (5_000, 10_000, 20_000, 40_000)}
        )
        found["classes"] = timing.medians({classes: _scoring(states, 10_000, classes) for classes in (2, 4, 8, 16)})
    return found


def _scoring(states: Tensor, words: int, classes: int) -> Callable[[], Tensor]:
    """Return what scores states under a random int8 head of that many words and classes."""
    levels = torch.randint(-8, 8, (words, states.shape[1]), dtype=torch.int8)
    grid = Quantizer(1 / 8, -8, 7)
    head = GenerativeHead(Matrix(levels, torch.tensor([0.05])), torch.randn(classes, words), grid, 1 + grid.scale / 2)
    return partial(head.token_losses, states, torch.randint(words, (len(states),)))


def storage(case: Case) -> dict[str, Any]:
    """Bytes of the stored variant for each weight, against float32, and how long the store takes to give it back."""
    store, key = Store(), case.spec.variant.fingerprint()

    def load() -> engine.Variant:
        found = store.load_tensors("variants", key)
        assert found
        return packing.from_tensors(found[0], found[1]["variant"])

    full = packing.stored_bytes(engine.from_float(case.model))
    packed = packing.stored_bytes(case.resident.variant)
    file = next(entry.bytes for entry in store.entries() if (entry.kind, entry.key) == ("variants", key))
    share = {site: packed[site] / full[site] for site in packed}
    sizes = {"file_bytes": file, "float_bytes": sum(full.values()), "share_of_float": file / sum(full.values())}
    return {
        **sizes,
        "bits": BITS,
        "site_bytes": packed,
        "site_share": share,
        "load_seconds": timing.medians({0: load})[0],
    }


def agreement(case: Case, documents: Encoded) -> dict[str, Any]:
    """The engine's predictions and token losses beside those of Brevitas's own forward, class by class."""
    with torch.inference_mode():
        ours = evaluation.evaluate(case.resident.variant, documents, case.resident.score)
        theirs = evaluation.evaluate(case.resident.variant, documents, case.twin.score)
    same = float((ours.predictions == theirs.predictions).mean())
    found = {"documents": len(documents), "same_predictions": same}
    if ours.token_losses is not None and theirs.token_losses is not None:
        gaps = np.abs(ours.token_losses - theirs.token_losses)
        found |= {"loss_gap_999": float(np.quantile(gaps, 0.999)), "loss_gap_max": float(gaps.max())}
    return found


def typing_seconds(subject: Subject) -> float:
    """The median time of one typed text under every width of both models."""
    kinds: tuple[ModelKind, ...] = ("generative", "discriminative")
    specs = [subject.specify(kind, bits).variant for kind in kinds for bits in (FLOAT_BITS, *BIT_WIDTHS)]
    return timing.medians({0: partial(live.read, TEXT, specs)}, repeats=21)[0]


def measure(subject: Subject) -> dict[str, Any]:
    """Return everything about one corpus as JSON."""
    imports = {module: timing.import_seconds(module) for module in ("torch", "core.pipeline")}
    both = {kind: make_case(subject, kind) for kind in ("discriminative", "generative")}
    disc, gen = both["discriminative"], both["generative"]
    for case in (disc, gen):
        evaluation.evaluate(case.resident.variant, case.documents, case.resident.score)
    peak = timing.peak_megabytes()
    sample = np.random.default_rng(0).permutation(len(gen.documents))[:LOOP_DOCUMENTS]
    return {
        "corpus": subject.corpus,
        "machine": timing.machine(),
        "bits": BITS,
        **lstm(disc),
        **discriminative(disc),
        **generative(gen),
        "classes": gen.resident.variant.classes,
        "vocabulary": len(gen.resident.variant.head_bias),
        "documents": len(gen.documents),
        "agreement": {
            "discriminative": agreement(disc, disc.documents),
            "generative": agreement(gen, gen.documents.select(sample)),
        },
        "growth": {
            "discriminative": growth(disc.resident, disc.documents),
            "generative": growth(gen.resident, gen.documents),
        },
        "storage": {kind: storage(case) for kind, case in both.items()},
        "typing_seconds": typing_seconds(subject),
        "peak_megabytes": peak,
        "import_seconds": imports,
        "versions": runtime.versions(),
    }


def table(found: dict[str, Any]) -> str:
    """The main figures as a Markdown row."""
    names = ("lstm_vs_brevitas_b64", "lstm_vs_brevitas_best", "disc_vs_float", "gen_vs_loop", "gen_roofline_share")
    cells = [
        found["corpus"],
        str(found["classes"]),
        f"{found['vocabulary']:,}",
        *(f"{found[name]:.2f}" for name in names),
    ]
    return "| " + " | ".join(cells) + " |"


if __name__ == "__main__":
    timing.report(__doc__, lambda **given: measure(Subject(**given)), table, OPTIONS)
