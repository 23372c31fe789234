"""Small studies for the tests of what runs them."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tiny import RUN

from core.storage.store import Row, Store
from core.studies.experiments import Experiment, Study

QUICK = {"ranges": ["percentile"], "heads": ["round"]}


def study_of(*experiments: dict[str, Any]) -> Study:
    """Experiments that quantize without searches, unless they say otherwise, of models that train in a second."""
    made = [{"name": f"e{place}", "title": "One", **QUICK, **lists} for place, lists in enumerate(experiments)]
    return Study(experiment=tuple(map(Experiment.model_validate, made)), train=RUN)


SMALL = study_of(
    {"bits": [32, 8, 4, 3], "presets": ["uniform", "paper-code"], "noise": [0.0, 0.1], "draws": [0, 1]},
    {"measure": "distance", "models": ["generative"]},
)
QUICKEST = study_of({"models": ["discriminative"], "bits": [32, 4, 3]})


def write_study(path: Path, study: Study) -> Path:
    """Write a study as TOML, whose lists, strings and numbers are those of Python here."""
    tables = ["\n".join(["[train]", *(f"{key} = {value!r}" for key, value in study.train.items())])]
    for one in study.experiment:
        keys = one.model_dump(exclude_defaults=True)
        lines = (f"{key} = {list(value) if isinstance(value, tuple) else value!r}" for key, value in keys.items())
        tables.append("\n".join(["[[experiment]]", *lines]))
    path.write_text("\n".join(tables))
    return path


def lasting(rows: Sequence[Row]) -> list[Row]:
    """Rows without what differs from one computation of the same to the next."""
    return [{name: value for name, value in row.items() if name not in ("seconds", "created")} for row in rows]


def stored_rows() -> list[Row]:
    return lasting(Store().results())
