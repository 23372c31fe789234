"""What a page shows, read from the store: settings in, chart inputs out. Computes no results."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass

import numpy as np
from pydantic import ValidationError

from core import pipeline
from core.config import FLOAT_BITS, MODEL_KINDS, EvaluationSpec, ModelKind
from core.display import charts
from core.display.charts import AccuracyRow, DensityCurve
from core.errors import InputError, describe_faults
from core.measurement.stats import Kde, KsResult
from core.quantization import calibration
from core.storage.store import Row, Store

SITES = ("head weights", "embedding", "lstm", "head")


@dataclass(frozen=True)
class Settings:
    """What the Compare page's widgets say, as their names in the URL."""

    corpus: str
    bits: int
    noise: float
    preset: str
    head: str
    ranges: str
    calibration: str

    def spec(self, model: ModelKind, bits: int | None = None) -> EvaluationSpec:
        """Return the specification of one model at these settings. Raises InputError."""
        width = self.bits if bits is None else bits
        recipe = {"head": self.head, "ranges": self.ranges, "calibration": self.calibration}
        try:
            return pipeline.specify(self.corpus, model, width, self.preset, noise=self.noise, **recipe)  # type: ignore[arg-type]
        except ValidationError as error:
            raise InputError(describe_faults(error)) from error


@dataclass(frozen=True)
class Side:
    """One model at the settings, and its float model on the same documents; a row is None if not computed."""

    model: ModelKind
    row: Row | None
    reference: Row | None
    trained: bool

    @property
    def complete(self) -> bool:
        return self.row is not None and self.reference is not None


@dataclass(frozen=True)
class Comparison:
    """Both models at the settings, and the specifications of what is missing."""

    settings: Settings
    sides: tuple[Side, ...]
    missing: tuple[EvaluationSpec, ...]

    @property
    def shown(self) -> tuple[Side, ...]:
        return tuple(side for side in self.sides if side.complete)

    @property
    def computable(self) -> tuple[EvaluationSpec, ...]:
        """What is missing of the models that are trained."""
        trained = [side.model for side in self.sides if side.trained]
        return tuple(spec for spec in self.missing if spec.variant.run.model.kind in trained)


def compare(settings: Settings) -> Comparison:
    """Look up both models at `settings` and in float. Raises InputError for settings that name nothing."""
    sides, missing = [], []
    for model in MODEL_KINDS:
        specs = [settings.spec(model), settings.spec(model, FLOAT_BITS)]
        row, reference = (pipeline.find(spec) for spec in specs)
        missing += [spec for spec, found in zip(specs, (row, reference), strict=True) if found is None]
        check_classes(specs[0], reference)
        sides.append(Side(model, row, reference, pipeline.trained(specs[0].variant.run)))
    return Comparison(settings, tuple(sides), tuple({spec.fingerprint(): spec for spec in missing}.values()))


def refused(asked: Mapping[str, str], settings: Settings, prefix: str = "", **more: object) -> list[str]:
    """Say which settings, and `more` of them, of an address (`prefix` + name to text) are not those in use.

    A sentence for each.
    """
    used = {prefix + name: value for name, value in (asdict(settings) | more).items() if prefix + name in asked}
    return [
        refusal(name, asked[name], f"{name}={value}") for name, value in used.items() if not _says(asked[name], value)
    ]


def refusal(name: str, text: str, shown: str) -> str:
    """Say that a setting of an address is no choice of a page, and what is shown instead."""
    return f"{name}={text} in the address is no choice of this page; {shown} is shown. Choose another here."


def accuracy_rows(sides: Sequence[Side]) -> list[AccuracyRow]:
    """Float and quantized accuracy of every side."""
    rows = []
    for side in sides:
        row, reference = both(side)
        rows.append(AccuracyRow(side.model, charts.FLOAT_SETTING, reference["correct"], reference["n"]))
        if row["bits"] != FLOAT_BITS:
            rows.append(AccuracyRow(side.model, f"{row['bits']} bits", row["correct"], row["n"]))
    return rows


def change_points(side: Side) -> float:
    """Accuracy minus float's, in percentage points."""
    row, reference = both(side)
    return 100 * (row["accuracy"] - reference["accuracy"])


def ks_rows(side: Side) -> list[tuple[str, KsResult]]:
    """Kolmogorov-Smirnov results against float by site; none at float."""
    row, _ = both(side)
    return [(site, KsResult(**row["detail"]["ks"][site])) for site in SITES if site in row["detail"]["ks"]]


def loss_curves(side: Side) -> list[DensityCurve]:
    """Densities of token losses, float first; none for a discriminative model."""
    row, reference = both(side)
    curves: list[DensityCurve] = []
    for name, source, colour, dash in (
        ("float", reference, charts.FLOAT, "dash"),
        (f"{row['bits']} bits", row, charts.MODEL_COLOURS[side.model], "solid"),
    ):
        if found := source["detail"]["densities"].get("token_losses"):
            curves.append((name, kde(found), colour, dash))
    return curves if row["bits"] != FLOAT_BITS else curves[:1]


def difference_curves(side: Side) -> list[DensityCurve]:
    """The density of each token's loss minus its loss in float; none where there is no difference."""
    row, _ = both(side)
    found = row["detail"]["densities"].get("difference")
    return [(f"{row['bits']} bits minus float", kde(found), charts.MODEL_COLOURS[side.model], "solid")] if found else []


def both(side: Side) -> tuple[Row, Row]:
    """Return the rows of a complete side."""
    if side.row is None or side.reference is None:
        raise ValueError(f"the {side.model} side is not complete")
    return side.row, side.reference


def caption(row: Row) -> str:
    """The configuration behind a row's numbers, in words."""
    if row["bits"] == FLOAT_BITS:
        made = "float"
    else:
        made = f"{row['preset']} {row['bits']} bits, {row['ranges']} ranges, head {row['head']}, {row['calibration']}"
        made += f" calibration (seed {row['calibration_seed']})"
    return f"{row['corpus']}, {row['model']}, {made}, {_noise(row)}, weights seed {row['seed']}, n = {row['n']:,}"


def shared_caption(row: Row) -> str:
    """The part of the configuration that both models have in common, in float too."""
    return f"{row['corpus']}, {_noise(row)}, weights seed {row['seed']}"


def site_table(row: Row) -> list[Row]:
    """What calibration set at each activation site, as table rows; [] for float."""
    sites = row["detail"]["calibration"].get("sites", [])
    names = {"site": "Site", "levels": "Levels", "scale": "Scale", "range": "Range", "largest_seen": "Largest seen"}
    return [{title: site[name] for name, title in names.items()} for site in sites]


def known_corpora() -> list[str]:
    """Names of the corpora that the store has trained LSTMs for."""
    return sorted({card["corpus"] for card in Store().model_cards(model=list(MODEL_KINDS))})


def check_classes(spec: EvaluationSpec, reference: Row | None) -> None:
    """Raise InputError if a calibration names a class that the corpus does not have, or one twice."""
    draws = spec.variant.calibration
    if draws and (draws.classes or draws.mix):
        names = reference["detail"]["class_names"] if reference else pipeline.load(spec.variant.run.corpus).class_names
        calibration.choose(np.arange(len(names)), names, draws.model_copy(update={"fraction": 1.0}))


def _says(text: str, value: object) -> bool:
    try:
        return type(value)(text) == value  # type: ignore[call-arg]
    except ValueError:
        return False


def _noise(row: Row) -> str:
    return f"noise {row['noise']:g} (seed {row['noise_seed']})" if row["noise"] else "no noise"


def kde(found: Row) -> Kde:
    density = np.asarray(found["density"])
    grid = np.linspace(found["low"], found["high"], len(density))
    return Kde(grid, density, found["bandwidth"], found["rule"], found["n"], found["median"], found["maximum"])
