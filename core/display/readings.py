"""One text and what every stored variant of two models says of it: the views of the page that tries a text."""

import json
from collections.abc import Iterable, Sequence

import numpy as np

from core import pipeline, runtime
from core.config import FLOAT_BITS, MODEL_KINDS, CorpusSpec, ModelKind, NoiseSpec, VariantSpec
from core.display import charts, live
from core.display.curve_charts import WIDTHS, width_name
from core.display.downloads import csv_text
from core.display.live_charts import END, Reading
from core.display.views import Settings
from core.storage.store import Row
from core.text import noise, tokens

MAX_CHARACTERS = 4000
TEXT_NOISE = tuple(round(0.01 * step, 2) for step in range(11))
EXAMPLES = (
    "Crude oil prices rose after OPEC ministers agreed to cut output by a million barrels a day.",
    "The bank said its net profit for the quarter rose to 12 million dollars, or 35 cents a share.",
    "The company agreed to buy its rival for 2 billion dollars in cash and shares.",
    "Wheat and corn exports fell after a poor harvest in the Soviet Union.",
    "The central bank cut its discount rate to steady the dollar against the yen.",
)
Variant = tuple[ModelKind, int]  # model and bits


def variants(settings: Settings) -> dict[Variant, VariantSpec]:
    """Return the variant of both models at every width, float first. Raises InputError for settings that name none."""
    return {(model, bits): settings.spec(model, bits).variant for model in MODEL_KINDS for bits in WIDTHS}


def split(specs: dict[Variant, VariantSpec]) -> tuple[dict[Variant, VariantSpec], dict[Variant, VariantSpec]]:
    """Return the stored variants, and those that can be made of a stored float model."""
    ready = {name: spec for name, spec in specs.items() if pipeline.stored(spec)}
    makeable = {name: spec for name, spec in specs.items() if name not in ready and (name[0], FLOAT_BITS) in ready}
    return ready, makeable


def read(text: str, specs: dict[Variant, VariantSpec]) -> list[Reading]:
    """Return what each of these variants says of a text."""
    rows = live.read(text, list(specs.values()))
    return [_reading(*name, row, text, spec) for (name, spec), row in zip(specs.items(), rows, strict=True)]


def damage(text: str, corpus: str, level: float, seed: int = 0) -> str:
    """Return a text with a share `level` of its characters replaced, as the test documents are (see `noise`)."""
    if level == 0:
        return text
    characters = noise.alphabet(pipeline.load(CorpusSpec(name=corpus)).train.texts)
    return noise.corrupt([text], NoiseSpec(level=level, seed=seed), characters).texts[0]


def count_documents(corpus: str) -> int:
    """Return how many documents the test split has."""
    return len(pipeline.load(CorpusSpec(name=corpus)).test)


def document(corpus: str, number: int) -> str:
    """Return the start of a document of the test split, the first is 1."""
    return pipeline.load(CorpusSpec(name=corpus)).test.texts[number - 1][:MAX_CHARACTERS]


def truth(corpus: str, text: str) -> str | None:
    """Say which document of the test split a text is, and its class; None if it is none."""
    loaded = pipeline.load(CorpusSpec(name=corpus))
    found = next((i for i, other in enumerate(loaded.test.texts) if other[:MAX_CHARACTERS] == text), None)
    if found is None:
        return None
    return f"This is test document {found + 1}; its class is {loaded.class_names[loaded.test.labels[found]]}."


def describe_flips(readings: Sequence[Reading]) -> str:
    """Say what each model answers as bits go down, and from which width on the answer differs from float's."""
    return " ".join(_flips([r for r in readings if r.model == model]) for model in MODEL_KINDS).strip()


def describe_words(reading: Reading) -> str | None:
    """Name the words that speak most for the winner, and for the runner-up; None without surprisals."""
    if "surprisals" not in reading.row:
        return None
    (first, ours), (second, theirs) = reading.row["surprisals"].items()
    gaps = sorted(zip(np.subtract(theirs, ours).tolist(), [*reading.words, END], strict=True), reverse=True)
    pro = ", ".join(f"{word} ({gap:+.2f})" for gap, word in gaps[:3] if gap > 0)
    con = ", ".join(f"{word} ({gap:+.2f})" for gap, word in gaps[::-1][:3] if gap < 0)
    return f"Most for {first}: {pro or 'no word'}. Most for {second}: {con or 'no word'} (nats)."


def warnings(readings: Iterable[Reading]) -> list[str]:
    """Say for each model if it knows no word of the text."""
    sentences = []
    for reading in {reading.model: reading for reading in readings}.values():
        if not any(reading.row["known"]):
            found = "no word of this text is known to the" if reading.words else "there is no word in this text for the"
            sentences.append(f"{found} {reading.model} model, so its answer says nothing about the text.".capitalize())
    return sentences


def answer_table(readings: Iterable[Reading]) -> list[Row]:
    """Return a row for each reading: model, bits, answer, probability, runner-up, margin, unknown words."""
    return [
        {
            "model": reading.model,
            "bits": width_name(reading.bits),
            "answer": reading.row["label"],
            "probability": round(reading.probability, 4),
            "runner-up": reading.runner_up,
            "margin (nats)": round(reading.row["margin"], 3),
            "unknown words": charts.percent(reading.row["oov"]),
        }
        for reading in readings
    ]


def word_table(reading: Reading) -> list[Row]:
    """Return a row for each word of a generative reading: whether it is known, its surprisals in nats."""
    columns = {f"-log p given {name} (nats)": values for name, values in reading.row.get("surprisals", {}).items()}
    words = [*reading.words, END] if columns else reading.words
    known = [*reading.row["known"], True]
    return [
        {"word": word, "known": known[place], **{name: round(values[place], 3) for name, values in columns.items()}}
        for place, word in enumerate(words)
    ]


def to_csv(table: Sequence[Row], made: str) -> str:
    """Return a table as CSV, with how it was made and the versions in every line."""
    tail = {"made": made, "versions": json.dumps(runtime.versions(), sort_keys=True)}
    return csv_text([row | tail for row in table], [*(table[0] if table else ()), *tail])


def caption(settings: Settings) -> str:
    """Return the configuration behind the readings, in words."""
    made = f"{settings.preset}, {settings.ranges} ranges, head {settings.head}, {settings.calibration} calibration"
    noise_words = f"noise {settings.noise:g} (seed 0)" if settings.noise else "no noise"
    return f"{settings.corpus}, {made} (seed 0), {noise_words}, weights seed 0, one text"


def _reading(model: ModelKind, bits: int, row: Row, text: str, spec: VariantSpec) -> Reading:
    words = next(tokens.tokenize([text], spec.run.tokens.lowercase))
    read = len(row["known"])
    return Reading(model, bits, row, tuple(words[:read]), len(words) - read)


def _flips(readings: Sequence[Reading]) -> str:
    if not readings:
        return ""
    runs: list[list[Reading]] = []
    for reading in readings:
        if runs and runs[-1][0].row["label"] == reading.row["label"]:
            runs[-1].append(reading)
        else:
            runs.append([reading])
    model = readings[0].model.capitalize()
    if len(runs) == 1:
        where = "in float" if len(readings) == 1 else f"at all {len(readings)} widths read"
        return f"{model}: {runs[0][0].row['label']} {where}."
    return f"{model}: {', then '.join(_run_words(run) for run in runs)}."


def _run_words(run: Sequence[Reading]) -> str:
    first, last = run[0].bits, run[-1].bits
    start = "in float" if first == FLOAT_BITS else f"from {first} bits" if first != last else f"at {first} bits"
    end = f" down to {last} bits" if first != last else ""
    return f"{run[0].row['label']} {start}{end}"
