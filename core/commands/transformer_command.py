"""What the verb `evaluate` does for a transformer: its options, what it refuses, its line and its JSON."""

from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from core.config import CorpusSpec, ModelKind
from core.errors import InputError
from core.pipeline import Progress
from core.storage.store import Row
from core.text import corpora, inputs
from core.transformers import transformer_pipeline
from core.transformers.transformer_config import METHODS, Mapping, Method, TransformerKind

AnyKind = Literal[ModelKind, TransformerKind]
_METHODS = "; ".join(f"{kind}: {', '.join(methods)}" for kind, methods in METHODS.items())
MethodName = Annotated[
    Method | None, typer.Option(help=f"How a transformer is compressed (default: float). {_METHODS}.")
]
BaseName = Annotated[
    str | None,
    typer.Option(
        help="What a transformer starts from: a hub repository, a folder, minilm (bert) or scratch (gpt2). "
        "Default: the report's model if the hub or its cache has it, else the offline one."
    ),
]
MappingName = Annotated[Mapping | None, typer.Option(help="Grid of int8-scratch (default: affine).")]
Again = Annotated[bool, typer.Option("--again", help="Measure a transformer anew, e.g. its latency on this machine.")]

OF_TRANSFORMERS = ("method", "base", "mapping", "again")
OF_LSTMS = ("bits", "preset", "head", "ranges", "calibration", "graph")


def check_options(context: typer.Context, model: str) -> None:
    """Raise InputError for options given that say nothing about the kind of model, naming all of them."""
    others = OF_LSTMS if model in METHODS else OF_TRANSFORMERS
    given = [name for name in others if _is_given(context, name)]
    if given:
        names = ", ".join(f"--{name}" for name in given)
        kind = "an LSTM (generative, discriminative)" if model in METHODS else f"a transformer ({', '.join(METHODS)})"
        raise InputError(f"{names} is for {kind}, not for {model}; leave it out or choose another --model")


def evaluate(
    corpus: CorpusSpec, model: TransformerKind, asked: dict[str, Any], run: dict[str, Any], progress: Progress
) -> Row:
    """Return the row of a transformer's result, as the options of `evaluate` ask for it."""
    spec = transformer_pipeline.specify(
        corpus,
        model,
        asked["method"] or "float",
        base=asked["base"],
        mapping=asked["mapping"],
        noise=asked["noise"],
        seed=asked["seed"],
        limit=asked["limit"],
        run=run,
    )
    test: Path | None = asked["test"]
    documents = corpora.read_test_file(test, inputs.load(corpus).class_names) if test else None
    return transformer_pipeline.evaluate(spec, progress, documents, again=asked["again"])


def public(row: Row) -> Row:
    """Return a row as one flat object; `method` is its preset, `model_seed` the seed of its weights.

    A detail named as a column is NAME_detail.
    """
    flat = {name: value for name, value in row.items() if name not in ("detail", "seed")}
    detail = {f"{name}_detail" if name in row else name: value for name, value in row["detail"].items()}
    return flat | detail | {"method": row["preset"], "seed": row["noise_seed"], "model_seed": row["seed"]}


def line(row: Row) -> str:
    """Say a result in a line, the base that was really loaded included."""
    detail, start = row["detail"], f"{row['model']:14} {row['bits']:2} bits"
    if row["accuracy"] is None:
        return f"{start}  {row['preset']} cannot run here: {detail['reason']}"
    interval = f"{100 * row['accuracy']:.2f} % [{100 * row['accuracy_low']:.2f}, {100 * row['accuracy_high']:.2f}]"
    pace = f"{detail['latency_ms_per_batch']:.1f} ms a batch of {detail['latency_batch_size']} ({detail['device']})"
    facts = f"n {row['n']:,}, noise {row['noise']:g}, {detail['size_mb']:.1f} MB, {pace}"
    return f"{start}  {interval}  {row['preset']} of {detail['base']}, {facts}, {row['source']}"


def _is_given(context: typer.Context, name: str) -> bool:
    source = context.get_parameter_source(name)
    return source is not None and source.name == "COMMANDLINE"
