"""The command line: `python -m core VERB`. Verbs that compute are one call of core; the others read or tidy the store.

Progress goes to stderr, results to stdout. Wrong arguments and bad input end in exit code 2 and one line on stderr.
"""

import dataclasses
import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import product
from pathlib import Path
from typing import Annotated, Any

import typer
from pydantic import ValidationError
from tqdm import tqdm

from core import pipeline
from core.commands import shipping, study_command, tables, transformer_command
from core.config import BIT_WIDTHS, FLOAT_BITS, PRESETS, CorpusSpec, HeadMethod, ModelKind, Preset, Ranges
from core.display import live
from core.errors import PYDANTIC_PREFIX, InputError, describe_faults
from core.lstm.fitting import EpochReport
from core.quantization.residents import KEPT
from core.storage.store import Row, Store
from core.text import corpora
from core.verdicts.paper import STUDIED

app = typer.Typer(
    help="Quantize text classifiers from 8 to 3 bits and measure what it does.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)

CorpusName = Annotated[str, typer.Argument(help=f"{', '.join(corpora.REGISTERED)}, or a CSV/TSV/Parquet/JSONL file.")]
Model = Annotated[ModelKind, typer.Option(help="Which classifier.")]
AnyModel = Annotated[transformer_command.AnyKind, typer.Option(help="Which classifier.")]
Bits = Annotated[int, typer.Option(help="Bit-width 3 to 8; 32 is float.")]
PresetName = Annotated[
    Preset,
    typer.Option(help="uniform: every site at --bits; paper-code: weights and head input, LSTM activations at 8."),
]
Head = Annotated[HeadMethod, typer.Option(help="How the head's weights are rounded.")]
RangeRule = Annotated[Ranges, typer.Option(help="How activation ranges are chosen from calibration text.")]
Scheme = Annotated[
    str, typer.Option("--calibration", help="conditional, unconditional, classes:a,b or mix:a=2,b=1 (shares).")
]
Noise = Annotated[float, typer.Option(help="Probability that a character is replaced, 0 to 0.1.")]
Seed = Annotated[int, typer.Option(help="Seed of the calibration draw and of the noise.")]
ModelSeed = Annotated[int, typer.Option(help="Seed of the trained weights.")]
Epochs = Annotated[int | None, typer.Option(help="At most so many epochs (default: by model).")]
TrainLimit = Annotated[int | None, typer.Option(help="Train on so many documents, drawn at random.")]
TextColumn = Annotated[str | None, typer.Option(help="Text column of a corpus file (default: guessed).")]
LabelColumn = Annotated[str | None, typer.Option(help="Label column of a corpus file (default: guessed).")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON for machines.")]


@app.command()
def fetch(corpus: Annotated[str, typer.Argument(help=f"One of {', '.join(corpora.REGISTERED)}.")]) -> None:
    """Get a corpus onto this machine; again is free."""
    print(corpora.fetch(corpus))


@app.command()
def train(
    corpus: CorpusName,
    model: Model,
    seed: Annotated[int, typer.Option(help="Seed of initial weights, shuffling and dropout.")] = 0,
    epochs: Epochs = None,
    train_limit: TrainLimit = None,
    text_column: TextColumn = None,
    label_column: LabelColumn = None,
    as_json: Json = False,
) -> None:
    """Train a float model, going on where an interrupted run stopped."""
    spec = pipeline.specify(_corpus(corpus, text_column, label_column), model, run=_run(seed, epochs, train_limit))
    run = pipeline.resolve(spec).variant.run
    with _bars() as progress:
        pipeline.build_model(run, progress)
    card = Store().find_model_card(run.fingerprint()) or {"key": run.fingerprint(), "spec": run.model_dump(mode="json")}
    best = [epoch for epoch in card.get("history", {"epochs": []})["epochs"] if epoch["best"]]
    reached = (f"validation loss {e['validation_loss']:.4f} after epoch {e['epoch'] + 1}" for e in best[-1:])
    _print(card, f"{model} on {corpus}: {next(reached, 'trained, but the store has lost its history')}", as_json)


@app.command()
def evaluate(
    context: typer.Context,
    corpus: CorpusName,
    model: AnyModel,
    method: transformer_command.MethodName = None,
    base: transformer_command.BaseName = None,
    mapping: transformer_command.MappingName = None,
    again: transformer_command.Again = False,
    bits: Bits = FLOAT_BITS,
    preset: PresetName = "uniform",
    head: Head = "gpfq",
    ranges: RangeRule = "fitted",
    calibration: Scheme = "conditional",
    noise: Noise = 0.0,
    seed: Seed = 0,
    limit: Annotated[int | None, typer.Option(help="Only the first so many test documents.")] = None,
    test: Annotated[Path | None, typer.Option(help="A labelled file of yours instead of the test split.")] = None,
    graph: Annotated[str, typer.Option(help="engine; brevitas: float, in Brevitas's layers.")] = "engine",
    model_seed: ModelSeed = 0,
    epochs: Epochs = None,
    train_limit: TrainLimit = None,
    text_column: TextColumn = None,
    label_column: LabelColumn = None,
    as_json: Json = False,
) -> None:
    """Evaluate a model on the test split; what is missing is trained and quantized first."""
    source, run = _corpus(corpus, text_column, label_column), _run(model_seed, epochs, train_limit)
    transformer_command.check_options(context, model)
    if model == "bert" or model == "gpt2":
        with _bars() as progress:
            row = transformer_command.evaluate(source, model, context.params, run, progress)
        return _print(transformer_command.public(row), transformer_command.line(row), as_json)
    recipe: dict[str, Any] = {"head": head, "ranges": ranges, "calibration": calibration, "graph": graph}
    spec = pipeline.specify(source, model, bits, preset, noise=noise, seed=seed, limit=limit, run=run, **recipe)
    documents = corpora.read_test_file(test, pipeline.load(source).class_names) if test else None
    with _bars() as progress:
        row = pipeline.evaluate(spec, progress, documents)
    _print(_public(row, preset, seed), _line(row), as_json)


@app.command()
def predict(
    corpus: CorpusName,
    text: Annotated[str, typer.Argument(help="The text to classify.")],
    model: Model,
    bits: Annotated[list[int] | None, typer.Option(help="Bit-width 3 to 8 or 32; may be given several times.")] = None,
    preset: PresetName = "uniform",
    head: Head = "gpfq",
    ranges: RangeRule = "fitted",
    calibration: Scheme = "conditional",
    seed: Seed = 0,
    model_seed: ModelSeed = 0,
    epochs: Epochs = None,
    train_limit: TrainLimit = None,
    as_json: Json = False,
) -> None:
    """Classify one text; with several --bits, JSON is a list."""
    if not text.strip():
        raise InputError("the text is empty; give at least one word")
    run = _run(model_seed, epochs, train_limit)
    recipe: dict[str, Any] = {"head": head, "ranges": ranges, "calibration": calibration, "seed": seed}
    with _bars() as progress:
        widths, source = bits or [FLOAT_BITS], _corpus(corpus)
        specs = [pipeline.specify(source, model, width, preset, run=run, **recipe).variant for width in widths]
        found = live.read(text, specs, progress)
    rows = [{"bits": width, **row} for width, row in zip(widths, found, strict=True)]
    lines = (f"{r['bits']:2} bits: {r['label']} {100 * r['probabilities'][r['label']]:.1f} %" for r in rows)
    _print(rows if len(rows) > 1 else rows[0], "\n".join(lines), as_json)


@app.command()
def sweep(
    corpus: CorpusName,
    model: Annotated[list[str] | None, typer.Option(help="Default: both.")] = None,
    bits: Annotated[list[int] | None, typer.Option(help="Default: 32 and 8 to 3.")] = None,
    preset: Annotated[list[str] | None, typer.Option(help="Default: uniform.")] = None,
    head: Annotated[list[str] | None, typer.Option(help="Default: gpfq.")] = None,
    ranges: Annotated[list[str] | None, typer.Option(help="Default: fitted.")] = None,
    calibration: Annotated[list[str] | None, typer.Option(help="Default: conditional.")] = None,
    noise: Annotated[list[float] | None, typer.Option(help="Default: 0.")] = None,
    seed: Annotated[list[int] | None, typer.Option(help="Default: 0.")] = None,
    limit: Annotated[int | None, typer.Option(help="Only the first so many test documents.")] = None,
    model_seed: ModelSeed = 0,
    epochs: Epochs = None,
    train_limit: TrainLimit = None,
    as_json: Json = False,
) -> None:
    """Evaluate every combination of the given values; each option may be given several times."""
    grid = product(
        model or ["generative", "discriminative"],
        preset or ["uniform"],
        head or ["gpfq"],
        ranges or ["fitted"],
        calibration or ["conditional"],
        bits or [FLOAT_BITS, *BIT_WIDTHS],
        seed or [0],
        noise or [0.0],
    )
    run, source = _run(model_seed, epochs, train_limit), _corpus(corpus)
    names = ("model", "preset", "head", "ranges", "calibration", "bits", "seed", "noise")
    cells: list[dict[str, Any]] = [dict(zip(names, cell, strict=True)) for cell in grid]
    specs = [pipeline.specify(source, run=run, limit=limit, **cell) for cell in cells]
    rows, total = [], len({spec.fingerprint() for spec in specs})
    for row in tqdm(pipeline.evaluate_many(specs), "sweep", total, unit="cell", disable=None, file=sys.stderr):
        rows.append(row)
        if not as_json:
            print(_line(row), flush=True)
    if as_json:
        print(json.dumps([_public(row, row["preset"]) for row in rows]))


@app.command()
def table(
    corpus: Annotated[str | None, typer.Argument(help="A corpus (default: the study's).")] = None,
) -> None:
    """Print a corpus's stored accuracies as Markdown tables; without one, the page of the study's results."""
    print(tables.accuracy_table(corpus) if corpus else tables.results_page(STUDIED))


@app.command()
def verdicts(
    corpus: Annotated[list[str] | None, typer.Argument(help="One corpus or more (default: the study's).")] = None,
    as_json: Json = False,
) -> None:
    """Print which claims of the study hold on stored results: Markdown, or JSON with rules and reasons."""
    rows = tables.verdicts(corpus or STUDIED)
    _print(rows, tables.verdict_table(rows), as_json)


app.command(name="study")(study_command.study_command)


@app.command(name="list")
def list_(as_json: Json = False) -> None:
    """List what the store holds."""
    entries = list(Store().entries())
    rows = [dataclasses.asdict(entry) for entry in entries]
    lines = (f"{e.layer:8} {e.kind:12} {e.key} {e.bytes:>12,} bytes  {_entry_words(e.meta)}" for e in entries)
    _print(rows, "\n".join(lines), as_json)


@app.command()
def clean(
    kind: Annotated[str | None, typer.Option(help="Only this kind, e.g. variants.")] = None,
) -> None:
    """Remove what runs added to the store; what is shipped stays."""
    KEPT.clear()
    print(f"{Store().clean(kind) / 1e6:.1f} MB freed")


@app.command()
def ship(corpus: CorpusName) -> None:
    """Copy a corpus's weights and results into the part of the store that is committed."""
    store = Store()
    copied = shipping.ship(store, corpus)
    print(f"{copied} entries shipped, {store.size_bytes()['shipped'] / 1e6:.1f} MB in all")


def main(arguments: list[str]) -> int:
    """Run the command line; return the exit code."""
    try:
        exit_code = app(arguments or ["--help"], standalone_mode=False)
    except typer.TyperException as error:
        return _fail(error.format_message().replace(PYDANTIC_PREFIX, ""))
    except ValidationError as error:
        return _fail(describe_faults(error))
    except InputError as error:
        return _fail(str(error))
    except OSError as error:
        return _fail(f"{error}; check the path and the disk, or set BITDIAL_CACHE to a folder that can be written")
    if exit_code == _INTERRUPTED:
        return _fail("interrupted; what was finished is kept, the same command goes on from there", exit_code)
    return exit_code or 0


def _fail(message: str, code: int = 2) -> int:
    print("bitdial: " + " ".join(message.split()), file=sys.stderr)
    return code


_INTERRUPTED = 130  # what Typer returns after Ctrl-C


def _corpus(name: str, text_column: str | None = None, label_column: str | None = None) -> CorpusSpec:
    return CorpusSpec(name=name, text_column=text_column, label_column=label_column)


def _run(seed: int, epochs: int | None, limit: int | None) -> dict[str, int | None]:
    given = {"seed": seed, "max_epochs": epochs, "limit": limit}
    return {name: value for name, value in given.items() if value is not None}


class _Bars:
    """One progress bar on stderr for every stage, none where stderr is no terminal."""

    def __init__(self) -> None:
        self.bar: tqdm | None = None
        self.name = ""

    def stage(self, name: str, done: float, total: float) -> None:
        if self.bar is None or self.name != name or done < self.bar.n:
            self.close()
            self.name = name
            self.bar = tqdm(desc=name, total=total, disable=None, leave=False, file=sys.stderr)
        self.bar.update(done - self.bar.n)

    def epoch(self, report: EpochReport) -> None:
        self.close()
        best = " (best)" if report.best else ""
        losses = f"train loss {report.train_loss:.4f}, validation loss {report.validation_loss:.4f}{best}"
        print(f"epoch {report.epoch + 1}: {losses}, {report.seconds:.0f} s", file=sys.stderr)

    def close(self) -> None:
        if self.bar is not None:
            self.bar.close()
        self.bar = None


@contextmanager
def _bars() -> Iterator[pipeline.Progress]:
    bars = _Bars()
    try:
        yield pipeline.Progress(bars.stage, bars.epoch)
    finally:
        bars.close()


def _public(row: Row, preset: str, seed: int | None = None) -> Row:
    """Return a row as one flat object, its evaluation's seed as `seed`; a detail named as a column is NAME_detail.

    At 8 bits both presets are one recipe and one row, which says the preset that was asked for.
    """
    flat = {name: value for name, value in row.items() if name not in ("detail", "seed")}
    detail = {f"{name}_detail" if name in row else name: value for name, value in row["detail"].items()}
    drawn = row["noise_seed"] if row["calibration_seed"] is None else row["calibration_seed"]
    asked = {"preset": preset} if row["preset"] in PRESETS else {}
    return flat | detail | asked | {"seed": drawn if seed is None else seed, "model_seed": row["seed"]}


def _line(row: Row) -> str:
    made = [row["preset"], row["head"], row["ranges"], row["calibration"]]
    words = " ".join(str(word) for word in made if word)
    interval = f"{100 * row['accuracy']:.2f} % [{100 * row['accuracy_low']:.2f}, {100 * row['accuracy_high']:.2f}]"
    dead = ", dead LSTM" if row["detail"]["dead_lstm"] else ""
    facts = f"n {row['n']:,}, noise {row['noise']:g}, LSTM variance {row['lstm_variance']:.3g}{dead}"
    return f"{row['model']:14} {row['bits']:2} bits  {interval}  {words}, {facts}, {row['source']}"


def _entry_words(meta: Row) -> str:
    names = ("corpus", "model", "bits", "preset", "ranges", "calibration", "noise", "accuracy")
    return " ".join(f"{name}={meta[name]}" for name in names if meta.get(name) is not None)


def _print(data: object, text: str, as_json: bool) -> None:
    print(json.dumps(data) if as_json else text)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
