"""A variant on documents: predictions, losses per class, token losses, and the numbers made of them."""

from collections.abc import Callable
from dataclasses import asdict, dataclass

import numpy as np
import torch

from core.measurement import stats
from core.quantization import engine
from core.quantization.engine import Prepared, Variant
from core.quantization.residents import Resident
from core.seeding import numpy_generator
from core.text.tokens import Batch, Encoded, batches, make_batch

BATCH_SIZES = {"cpu": 2048, "cuda": 4096}  # a step has a cost of its own, on a GPU nearly all of it
ACTIVATION_DOCUMENTS = 64
CALIBRATION_DOCUMENTS = 256
HEAD_TOKENS = 32
ECDF_POINTS = 201
LOSS_GRID = np.linspace(0.0, 25.0, 251)
DIFFERENCE_GRID = np.linspace(-10.0, 10.0, 201)


@dataclass(frozen=True, eq=False)
class Evaluation:
    """What a variant made of N documents, in the documents' order.

    losses (N, C) in nats, predictions (N,), labels (N,); token_losses (M,) of the true class in nats, documents
    in order, if the model is generative. `lstm_variance` is the variance of each hidden unit over the states
    that the head reads, averaged over units: near 0 the LSTM says the same whatever it reads.
    """

    losses: np.ndarray
    predictions: np.ndarray
    labels: np.ndarray
    token_losses: np.ndarray | None
    lstm_variance: float

    @property
    def log_probabilities(self) -> np.ndarray:
        """log p(class | document), (N, C): the losses' softmax (equations 4 and 6)."""
        return torch.log_softmax(-torch.from_numpy(self.losses).double(), dim=1).numpy()


# A batch to the states that the head reads, losses (B, C) and token losses (M, C) or None.
Scorer = Callable[[Batch], tuple[torch.Tensor, torch.Tensor, torch.Tensor | None]]


def evaluate(
    variant: Variant,
    documents: Encoded,
    score: Scorer | None = None,
    log_prior: np.ndarray | None = None,
    on_batch: Callable[[int, int], None] = lambda done, total: None,
) -> Evaluation:
    """Run `variant` over all documents; `on_batch(done, total)` counts them.

    `score` replaces the engine, e.g. by Brevitas's own forward. `log_prior` (C,) is added to a generative
    model's evidence (equation 6); None means uniform.
    """
    score, device = score or Resident(variant, {}).score, variant.bias.device
    losses = np.zeros((len(documents), variant.classes), np.float32)
    tokens: list[np.ndarray | None] = [None] * len(documents)
    moments, done = np.zeros((3, variant.recurrent.levels.shape[1])), 0
    for batch in (batch.to(device) for batch in batches(documents, BATCH_SIZES[device.type])):
        states, loss, token_loss = score(batch)
        losses[batch.index.cpu()] = loss.cpu().numpy()
        if token_loss is not None:
            _spread(tokens, token_loss, batch)
        moments += _moments(states)
        done += len(batch.index)
        on_batch(done, len(documents))
    if log_prior is not None:
        losses -= log_prior.astype(np.float32)
    count, total, squares = moments
    variance = float(np.maximum(squares / count - (total / count) ** 2, 0).mean())
    true_tokens = np.concatenate([part for part in tokens if part is not None]) if variant.label else None
    return Evaluation(losses, losses.argmin(1), documents.labels, true_tokens, variance)


def summary(evaluation: Evaluation, class_names: tuple[str, ...]) -> dict:
    """Return accuracy with its 95% Wilson interval, macro F1, confusion (C, C), per-class scores, as JSON."""
    n, correct = len(evaluation.labels), int((evaluation.predictions == evaluation.labels).sum())
    low, high = stats.wilson_interval(correct, n)
    confusion = stats.confusion_matrix(evaluation.labels, evaluation.predictions, len(class_names))
    report = stats.classification_report(confusion)
    scores = zip(report.precision, report.recall, report.f1, report.support, strict=True)
    per_class = {
        name: {"precision": float(p), "recall": float(r), "f1": float(f), "support": int(s)}
        for name, (p, r, f, s) in zip(class_names, scores, strict=True)
    }
    return {
        "n": n,
        "correct": correct,
        "accuracy": correct / n,
        "accuracy_low": low,
        "accuracy_high": high,
        "macro_precision": report.macro_precision,
        "macro_recall": report.macro_recall,
        "macro_f1": report.macro_f1,
        "confusion": confusion.tolist(),
        "per_class": per_class,
        "predicted": confusion.sum(0).tolist(),
        "majority_share": stats.majority_share(evaluation.labels),
        "lstm_variance": evaluation.lstm_variance,
        "dead_lstm": stats.dead_signal(evaluation.lstm_variance),
    }


def loss_densities(evaluation: Evaluation, reference: np.ndarray | None) -> dict:
    """Return the densities of token losses on LOSS_GRID, and of their differences from `reference` (M,).

    {} for a discriminative model. Equal values have no density and are left out, as is "difference" without
    a reference.
    """
    if evaluation.token_losses is None:
        return {}
    samples = {"token_losses": (evaluation.token_losses, LOSS_GRID)}
    if reference is not None:
        samples["difference"] = (evaluation.token_losses - reference, DIFFERENCE_GRID)
    return {name: _density(values, grid) for name, (values, grid) in samples.items() if np.ptp(values) > 0}


def compare_activations(prepared: Prepared, reference: Prepared, documents: Encoded) -> dict:
    """Return KS results, as JSON, between two variants' activations on the same documents.

    Sites: embedding (T x E values of each document), lstm (T x H), head (logits: all documents' classes, or
    for a generative model the whole vocabulary at about HEAD_TOKENS tokens). The documents are
    ACTIVATION_DOCUMENTS drawn with a fixed seed.
    """
    sample = _sample(documents, ACTIVATION_DOCUMENTS)
    ours, theirs = (_activations(one, sample) for one in (prepared, reference))
    return {site: asdict(stats.ks_two_sample(theirs[site], ours[site])) for site in ours}


def compare_documents(prepared: Prepared, first: Encoded, second: Encoded) -> tuple[dict, dict[str, np.ndarray]]:
    """Return how the activations that two sets of documents cause in one variant differ (paper, section 6.1.2).

    Sites: embedding and lstm, as in `compare_activations`, of CALIBRATION_DOCUMENTS of each set, drawn with a fixed
    seed. Returns KS results by site, as JSON, and the two distribution functions of each site for charts: rows grid,
    first, second of (3, ECDF_POINTS), the grid from the smallest to the largest value of both.
    """
    pair = [_activations(prepared, _sample(documents, CALIBRATION_DOCUMENTS)) for documents in (first, second)]
    sites = {site: (pair[0][site], pair[1][site]) for site in ("embedding", "lstm")}
    ks = {site: asdict(stats.ks_two_sample(*values)) for site, values in sites.items()}
    return ks, {site: _distribution_functions(*values) for site, values in sites.items()}


def compare_weights(variant: Variant, reference: Variant) -> dict:
    """Return the KS result, as JSON, between the head weights of two variants (paper, section 6.1.1)."""
    pair = [one.head.value.cpu().numpy().ravel() for one in (reference, variant)]
    return asdict(stats.ks_two_sample(*pair))


def _sample(documents: Encoded, count: int) -> Encoded:
    order = numpy_generator(0, "activations").permutation(len(documents))[:count]
    return documents.select(np.sort(order))


def _distribution_functions(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    grid = np.linspace(min(first.min(), second.min()), max(first.max(), second.max()), ECDF_POINTS)
    shares = [np.searchsorted(np.sort(values), grid, side="right") / len(values) for values in (first, second)]
    return np.stack([grid, *shares])


@torch.inference_mode()
def _activations(prepared: Prepared, sample: Encoded) -> dict[str, np.ndarray]:
    variant = prepared.variant
    batch = make_batch(sample, np.arange(len(sample))).to(variant.bias.device)
    hidden, states = engine.all_states(prepared, batch), engine.head_states(prepared, batch)
    if variant.label is not None:
        states = states[:: max(1, len(states) // HEAD_TOKENS)]
    embedded = variant.embedding.value[batch.ids[batch.mask]]
    logits = engine.head_logits(variant, states)
    found = {"embedding": embedded, "lstm": hidden, "head": logits}
    return {site: values.cpu().numpy().ravel() for site, values in found.items()}


def _moments(states: torch.Tensor) -> np.ndarray:
    """Count, sum and sum of squares of each unit, (3, H)."""
    states = states.double()
    return torch.stack([torch.full_like(states[0], len(states)), states.sum(0), states.square().sum(0)]).cpu().numpy()


def _spread(tokens: list[np.ndarray | None], losses: torch.Tensor, batch: Batch) -> None:
    """Hand the true class's token losses (M, C) of a batch back to its documents."""
    counts = (batch.lengths - 1).tolist()
    truth = losses.gather(1, torch.repeat_interleave(batch.labels, batch.lengths - 1)[:, None])[:, 0]
    for document, part in zip(batch.index.tolist(), truth.split(counts), strict=True):
        tokens[document] = part.cpu().numpy()


def _density(values: np.ndarray, grid: np.ndarray) -> dict:
    kde = stats.kde_on(values, grid)
    return {
        "low": float(grid[0]),
        "high": float(grid[-1]),
        "density": [float(f"{d:.5g}") for d in kde.density],
        "bandwidth": kde.bandwidth,
        "rule": kde.rule,
        "n": kde.n,
        "median": kde.median,
        "maximum": kde.maximum,
    }
