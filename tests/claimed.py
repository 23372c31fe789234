"""Rows of a study as the store gives them, made up, for the tests of claims and of what shows them."""

import itertools
from typing import Any

from core import pipeline
from core.config import CalibrationSpec
from core.storage.store import Row
from core.verdicts.study_rows import StudyRows

CORPUS = "reuters-r8"
CLASSES = [f"class {place}" for place in range(8)]
_keys = itertools.count(1)


def row(accuracy: float = 0.9, bits: int = 3, model: str = "generative", n: int = 1000, **changes: Any) -> Row:
    """One evaluation with the paper's own method at `bits`; `changes` are columns, `train_noise` and `cell_range`."""
    plain = bits == 32
    train_noise, cell_range = changes.pop("train_noise", 0.0), changes.pop("cell_range", None)
    columns = {"preset": "paper-code", "head": "gpfq", "ranges": "percentile", "calibration": "conditional"}
    columns |= {"calibration_seed": 0}
    columns = {"preset": "float", **dict.fromkeys(list(columns)[1:])} if plain else columns
    columns |= {"corpus": CORPUS, "noise": 0.0, "noise_seed": 0, "seed": 0, "split": "test", "test_limit": None}
    columns |= {"lstm_variance": 0.3, **changes}
    recipe = {"cell_range": cell_range} if cell_range else {}
    run = pipeline.specify(CORPUS, model, run={"noise": train_noise}).variant.run  # type: ignore[arg-type]
    detail = {"dead_lstm": columns["lstm_variance"] == 0, "majority_share": 0.5, "class_names": CLASSES, "ks": {}}
    correct = round(accuracy * n)
    calibration = None if plain else CalibrationSpec.parse(columns["calibration"]).model_dump(mode="json")
    return {
        "key": f"{next(_keys):016x}",
        "model": model,
        "bits": bits,
        **columns,
        "n": n,
        "correct": correct,
        "accuracy": correct / n,
        "spec": {
            "variant": {
                "run": run.model_dump(mode="json"),
                "recipe": None if plain else recipe,
                "calibration": calibration,
            }
        },
        "detail": detail | {"densities": {}} | changes.get("detail", {}),
        "versions": {},
    }


def draws(accuracies: list[float], **changes: Any) -> list[Row]:
    """One row for each calibration seed, or for each weights seed in float."""
    seed = "seed" if changes.get("bits") == 32 else "calibration_seed"
    return [row(accuracy, **{**changes, seed: place}) for place, accuracy in enumerate(accuracies)]


def study(*rows: Row | list[Row]) -> StudyRows:
    return StudyRows([one for some in rows for one in (some if isinstance(some, list) else [some])])
