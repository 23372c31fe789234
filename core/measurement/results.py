"""From an evaluation to what the store keeps of it: one queryable row, and compact arrays beside it."""

from collections.abc import Mapping
from dataclasses import asdict

import numpy as np
import torch

from core.config import FLOAT_BITS, PRESETS, EvaluationSpec, Recipe
from core.measurement import evaluation, stats
from core.measurement.evaluation import Evaluation
from core.storage.records import provenance
from core.storage.store import Row, Store


def preset_name(recipe: Recipe | None) -> tuple[str, int]:
    """Return the name a recipe's bits go by and its one dial's bits: "custom" with the head's if no preset."""
    if recipe is None:
        return "float", FLOAT_BITS
    bits = recipe.bits.head_weight
    for name in PRESETS:
        if bits >= 3 and Recipe.preset(name, bits).bits == recipe.bits:
            return name, bits
    return "custom", bits


def make_row(spec: EvaluationSpec, outcome: Evaluation, class_names: tuple[str, ...], detail: Row) -> Row:
    """Return the row of `evaluations` for an outcome; everything that is no column goes into `detail`."""
    variant, scores = spec.variant, evaluation.summary(outcome, class_names)
    preset, bits = preset_name(variant.recipe)
    columns = ("n", "correct", "accuracy", "accuracy_low", "accuracy_high", "macro_f1", "lstm_variance")
    rest = {name: value for name, value in scores.items() if name not in columns}
    return {
        "key": spec.fingerprint(),
        "corpus": variant.run.corpus.name,
        "model": variant.run.model.kind,
        "bits": bits,
        "preset": preset if variant.graph == "engine" else "float-in-brevitas",
        "head": variant.recipe.head if variant.recipe else None,
        "ranges": variant.recipe.ranges if variant.recipe else None,
        "calibration": variant.calibration.label if variant.calibration else None,
        "calibration_seed": variant.calibration.seed if variant.calibration else None,
        "noise": spec.noise.level,
        "noise_seed": spec.noise.seed,
        "seed": variant.run.train.seed,
        "split": spec.split if spec.documents is None else "file",
        "test_limit": spec.limit,
        **{name: scores[name] for name in columns},
        "detail": {"class_names": list(class_names), **rest, **detail},
        **provenance(spec),
    }


def save(store: Store, spec: EvaluationSpec, outcome: Evaluation, row: Row) -> None:
    """Save arrays, then the row that makes them visible.

    For a float generative model also, as another kind, the token losses that differences are taken from.
    """
    key, meta = spec.fingerprint(), provenance(spec)
    store.save_tensors("evaluations", key, outcome_tensors(outcome), meta)
    if spec.variant.recipe is None and outcome.token_losses is not None:
        store.save_tensors("token_losses", key, {"token_losses": torch.from_numpy(outcome.token_losses)}, meta)
    store.save_result(row)


def outcome_tensors(outcome: Evaluation) -> dict[str, torch.Tensor]:
    """Return what is kept of an outcome: log_probabilities (N, C) float16, predictions and labels (N,) as class ids.

    Ids take one byte where the classes' number allows it, else two.
    """
    logs = torch.from_numpy(outcome.log_probabilities).half()
    ids = torch.uint8 if logs.shape[1] <= 256 else torch.int16
    predictions, labels = (torch.from_numpy(each).to(ids) for each in (outcome.predictions, outcome.labels))
    return {"predictions": predictions, "labels": labels, "log_probabilities": logs}


def load_outcome(store: Store, key: str) -> dict[str, np.ndarray] | None:
    """Return a result's predictions (N,), labels (N,) and log_probabilities (N, C), or None.

    Half precision rounds each log-probability by 2**-11 of itself at most; rows are made to sum to 1 again.
    """
    found = store.load_tensors("evaluations", key)
    if not found:
        return None
    tensors, _ = found
    logs = torch.log_softmax(tensors["log_probabilities"].double(), dim=1)
    ids = {name: tensors[name].long().numpy() for name in ("predictions", "labels")}
    return {**ids, "log_probabilities": logs.numpy()}


def contrast(first: Mapping[str, np.ndarray], second: Mapping[str, np.ndarray]) -> Row:
    """Return how the second outcome differs from the first on the same documents, both as `load_outcome` gives them.

    One row: mcnemar, difference (second minus first) and flips as in `stats`, kl of first from second in nats.
    """
    right = [outcome["predictions"] == outcome["labels"] for outcome in (first, second)]
    return {
        "mcnemar": asdict(stats.mcnemar_exact(right[0], right[1])),
        "difference": asdict(stats.paired_bootstrap(right[0], right[1], seed=0)),
        "flips": asdict(stats.flips(first["labels"], first["predictions"], second["predictions"])),
        "kl": stats.kl_divergence(first["log_probabilities"], second["log_probabilities"]),
    }


def load_token_losses(store: Store, key: str) -> np.ndarray | None:
    """Return the stored token losses (M,) of a float generative result, or None."""
    found = store.load_tensors("token_losses", key)
    return found[0]["token_losses"].numpy() if found else None
