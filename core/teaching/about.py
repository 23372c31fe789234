"""What the page about Bitdial says: machine, versions, disk, memory, models, how each number is made, how to cite.

Everything measured is read from the store and the machine.
"""

import os
import platform
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from core import runtime
from core.config import FLOAT_BITS, MODEL_KINDS, EvaluationSpec, ModelRun, VariantSpec
from core.display import charts
from core.measurement import results
from core.quantization.residents import KEPT
from core.storage.store import Row, Store
from core.teaching import guide

MEGABYTE = 1e6


@dataclass(frozen=True)
class Number:
    """How a number is made: what it is, where in the code, its glossary entry, and the paper's section or ""."""

    name: str
    definition: str
    code: str
    anchor: str
    section: str = ""


_STATS, _QUANTIZATION = "core.measurement.stats", "core.quantization"
NUMBERS = (
    Number(
        "Accuracy", "documents answered rightly / all", "core.measurement.evaluation.summary", "accuracy", "5.2 to 5.5"
    ),
    Number("95 % interval", "Wilson's score interval of an accuracy", f"{_STATS}.wilson_interval", "wilson"),
    Number("McNemar's p", "exact binomial test on differing documents", f"{_STATS}.mcnemar_exact", "mcnemar"),
    Number("Difference's interval", "paired bootstrap, 2,000 draws", f"{_STATS}.paired_bootstrap", "bootstrap"),
    Number("Holm p", "p adjusted for the number of tests", f"{_STATS}.holm", "holm"),
    Number("Flips", "documents whose answer changed", f"{_STATS}.flips", "flips"),
    Number("KL to float", "mean divergence of class probabilities", f"{_STATS}.kl_divergence", "kl"),
    Number("Confusion matrix", "documents by true class and answer", f"{_STATS}.confusion_matrix", "confusion"),
    Number("D", "largest gap of two cumulative shares", f"{_STATS}.ks_two_sample", "ks", "6.1.1"),
    Number(
        "Token loss",
        "minus log-probability of a word, nats",
        f"{_QUANTIZATION}.heads.GenerativeHead",
        "token-loss",
        "6.1.3",
    ),
    Number("Density", "Gaussian kernels, Silverman's width", f"{_STATS}.gaussian_kde", "kde", "6.1.3"),
    Number("Dead LSTM", "variance over documents below a limit", f"{_STATS}.dead_signal", "dead"),
    Number(
        "Quantized signal",
        "nearest of evenly spaced levels, cut off",
        f"{_QUANTIZATION}.levels.quantize",
        "bits",
        "4.2.1",
    ),
    Number(
        "Calibration set",
        "which training documents set ranges",
        f"{_QUANTIZATION}.calibration.choose",
        "calibration",
        "4.2.2",
    ),
    Number(
        "Percentile range",
        "99.99 % of the values seen",
        f"{_QUANTIZATION}.ranges.Magnitudes.percentile",
        "ranges",
        "4.3.2",
    ),
    Number("Fitted range", "least error of the states that are read", f"{_QUANTIZATION}.ranges.fit", "fitted"),
    Number("GPFQ", "weights chosen to make up for errors so far", f"{_QUANTIZATION}.ptq.quantize", "gpfq", "4.2.3"),
    Number("Noise", "characters replaced at random, by seed", "core.text.noise.corrupt", "noise", "4.3.3"),
    Number("Pareto front", "not beaten on both size and accuracy", "core.display.breakdowns.sizes", "pareto"),
)
CITATION = """@misc{bitdial,
  title  = {Bitdial: bit-width and input noise in generative and discriminative text classifiers},
  author = {{Bitdial authors}},
  year   = {2026}
}

@misc{rahaman2025ptq,
  title  = {Post-Training Quantization of Generative and Discriminative {LSTM} Text Classifiers:
            A Study of Calibration, Class Balance, and Robustness},
  author = {Rahaman, Md Mushfiqur and Chang, Elliot and Haque, Tasmiah and Das, Srinjoy},
  year   = {2025}
}"""


def machine() -> list[Row]:
    """Return (Part, What) rows: versions of the libraries, device, threads, system."""
    facts = dict(runtime.versions()) | {"device": _device(), "threads of torch": str(torch.get_num_threads())}
    facts |= {"processors": str(os.cpu_count()), "system": platform.platform(terse=True)}
    return [{"Part": name, "What": text} for name, text in facts.items()]


def numbers() -> list[Row]:
    """Return Number, What it is, Code, Paper section and Glossary entry: NUMBERS as a table."""
    names = {entry.anchor: entry.name for entry in guide.ENTRIES}
    return [
        {
            "Number": number.name,
            "What it is": number.definition,
            "Code": number.code,
            "Paper, section": number.section or "-",
            "Glossary": names[number.anchor],
        }
        for number in NUMBERS
    ]


def disk() -> list[Row]:
    """Return Layer, Kind, Files and MB of the artifact folder, a row for each kind, the largest first."""
    files: Counter[tuple[str, str]] = Counter()
    sizes: Counter[tuple[str, str]] = Counter()
    for name, size in _files(runtime.cache_dir()):
        files[name] += 1
        sizes[name] += size
    return [
        {"Layer": layer, "Kind": kind, "Files": files[layer, kind], "MB": round(size / MEGABYTE, 2)}
        for (layer, kind), size in sizes.most_common()
    ]


def describe_disk(table: list[Row]) -> str:
    """Say where the artifacts are and how much each layer holds."""
    layers = dict.fromkeys(row["Layer"] for row in table)
    totals = (f"{name} {sum(row['MB'] for row in table if row['Layer'] == name):.1f} MB" for name in layers)
    return f"In {runtime.cache_dir()}: {', '.join(totals) or 'nothing yet'}."


def stored() -> list[Row]:
    """Return how many results the store has, a row for each corpus and model."""
    found: dict[tuple[str, str], Counter[str]] = {}
    for row in Store().results():
        counts = found.setdefault((row["corpus"], row["model"]), Counter())
        counts["all"] += 1
        counts["float"] += row["bits"] == FLOAT_BITS
        counts["noise"] += row["noise"] > 0
    return [
        {"Corpus": c, "Model": m, "Results": n["all"], "In float": n["float"], "With noise": n["noise"]}
        for (c, m), n in sorted(found.items())
    ]


def models() -> list[Row]:
    """Return the trained models: how each was trained, and its test accuracy in float if that is stored."""
    return [_model(card) for card in sorted(Store().model_cards(), key=lambda c: (c["corpus"], c["model"], c["seed"]))]


def cards() -> dict[str, str]:
    """Return the text of each shipped model card, in Markdown, by corpus."""
    return {path.stem: path.read_text(encoding="utf-8") for path in sorted(Store().shipped.glob("*.md"))}


def memory() -> list[Row]:
    """Return the variants that this process keeps ready, the most recently used first."""
    return [_resident(key, size) for key, size in reversed(KEPT.kept())]


def describe_memory() -> str:
    """Say how much memory the variants kept ready take, and how much they may."""
    used, limit = KEPT.bytes / MEGABYTE, KEPT.limit / MEGABYTE
    return f"{len(KEPT)} variants are kept ready to run: {used:.1f} of at most {limit:,.1f} MB."


def empty_memory() -> None:
    """Drop the variants kept ready; whoever asks for one loads it again."""
    KEPT.clear()


def _device() -> str:
    chosen = runtime.device()
    return str(chosen) if chosen.type == "cpu" else f"{chosen} ({torch.cuda.get_device_name(chosen)})"


def _files(folder: Path) -> Iterator[tuple[tuple[str, str], int]]:
    """Yield (layer, kind) and bytes of every file; a database and its log are one kind. Some may vanish meanwhile."""
    for base, _, names in os.walk(folder, followlinks=True):
        for name in names:
            path = Path(base, name)
            layer, *inner = path.relative_to(folder).parts
            if not inner:
                continue  # what explains the folder
            kind = inner[0] if len(inner) > 1 else "results.sqlite" if ".sqlite" in name else f"{path.suffix} files"
            with suppress(FileNotFoundError):
                yield (layer, kind), path.stat().st_size


def _model(card: Row) -> Row:
    spec, found = card["spec"], _float_result(card)
    wanted = ("pooling", "dropout", "max_tokens")
    settings = {**spec.get("tokens", {}), **spec["model"]}
    noise = [f"noise {spec['train']['noise']:g}"] if spec["train"].get("noise") else []
    return {
        "Corpus": card["corpus"],
        "Model": card["model"],
        "Accuracy in float": charts.percent(found["accuracy"]) if found else "not stored",
        "95 % interval": _interval(found) if found else "-",
        "n": found["n"] if found else None,
        "Weights seed": card["seed"],
        "Trained on": card["n_train"],
        "Settings": ", ".join(
            [f"{name.replace('_', ' ')} {settings[name]}" for name in wanted if name in settings] + noise
        ),
        "Learning rate": spec["train"]["learning_rate"],
        "Epochs": len(card["history"]["epochs"]),
        "Made": card["created"][:10],
        "torch": card["versions"]["torch"],
        "Key": card["key"],
    }


def _float_result(card: Row) -> Row | None:
    """Return the result of a card's model in float on its whole test split; None if it is not stored."""
    if card["model"] not in MODEL_KINDS:
        return None
    run = ModelRun.model_validate(card["spec"])
    return Store().find_result(EvaluationSpec(variant=VariantSpec(run=run)).fingerprint())


def _interval(row: Row) -> str:
    return f"{100 * row['accuracy_low']:.1f} to {100 * row['accuracy_high']:.1f}"


def _resident(key: Any, size: int) -> Row:
    spec, device, _ = key  # as `pipeline.resident` names them
    preset, bits = results.preset_name(spec.recipe)
    made = "float" if spec.recipe is None else f"{preset} {bits} bits, {spec.recipe.ranges}, {spec.recipe.head}"
    run = spec.run
    row = {"Corpus": run.corpus.name, "Model": run.model.kind, "Variant": made, "Weights seed": run.train.seed}
    return row | {"Device": str(device), "MB": round(size / MEGABYTE, 2)}
