"""The main path of transformers: base, fine-tune, compress, evaluate. Each step looks in the store, else makes.

spec = transformer_pipeline.specify("emotion", "bert", "dynamic-int8")
print(transformer_pipeline.evaluate(spec)["accuracy"])
"""

import copy
import importlib.metadata
import time
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
from tokenizers import Tokenizer
from torch import nn

from core import runtime
from core.config import CorpusSpec, NoiseSpec
from core.errors import InputError
from core.lstm import fitting
from core.measurement import results
from core.measurement.evaluation import Evaluation
from core.pipeline import SILENT, Progress
from core.seeding import derive
from core.storage.records import StoredCheckpoints, model_card, provenance
from core.storage.store import Row, Store
from core.text import inputs
from core.text.corpora import Documents
from core.transformers import bases, fine_tuning, latency, subwords, transformer_methods, transformer_rows
from core.transformers.transformer_config import (
    TUNED,
    FineTuning,
    Mapping,
    Method,
    Shape,
    TransformerEvaluation,
    TransformerKind,
    TransformerRun,
    TransformerVariant,
    check_method,
    default_tuning,
)

LIBRARIES = ("transformers", "tokenizers", "peft", "bitsandbytes")


@dataclass(frozen=True, eq=False)
class Ready:
    """A model on this machine's device in evaluation mode, its tokenizer, and the MB (10**6 bytes) of its file."""

    model: nn.Module
    tokenizer: Tokenizer
    size_mb: float


class CannotRunError(Exception):
    """Why this machine cannot run a method."""


def specify(
    corpus: str | CorpusSpec,
    model: TransformerKind,
    method: Method = "float",
    *,
    base: str | None = None,
    mapping: Mapping | None = None,
    shape: Shape | None = None,
    noise: float = 0.0,
    seed: int = 0,
    limit: int | None = None,
    run: dict[str, Any] | None = None,
) -> TransformerEvaluation:
    """Return the full specification of one result from the words a person uses.

    `base` is as in `bases.choose`; `mapping` the grid of int8-scratch, by default affine; `seed` draws the noise;
    `run` overrides FineTuning fields, also of the training inside a method. Raises ValueError with what is allowed.
    """
    check_method(model, method)
    corpus = corpus if isinstance(corpus, CorpusSpec) else CorpusSpec(name=corpus)
    chosen, changes = bases.choose(model, base, shape), run or {}
    trained = TransformerRun(corpus=corpus, model=chosen, train=default_tuning(chosen, **changes))
    variant = TransformerVariant(
        run=trained,
        method=method,
        mapping=mapping or ("affine" if method == "int8-scratch" else None),
        tuning=default_tuning(chosen, method, **changes) if method in TUNED else None,
    )
    noise_spec = NoiseSpec(level=noise, seed=seed if noise else 0)
    return TransformerEvaluation(variant=variant, noise=noise_spec, limit=limit)


def resolve(spec: TransformerEvaluation) -> TransformerEvaluation:
    """Return the spec with its corpus's content filled in; only such a spec has a stable fingerprint."""
    run = spec.variant.run
    run = run.model_copy(update={"corpus": inputs.resolve_corpus(run.corpus)})
    return spec.model_copy(update={"variant": spec.variant.model_copy(update={"run": run})})


def build_model(run: TransformerRun, progress: Progress = SILENT) -> Ready:
    """Return the fine-tuned float model of a resolved run: from the store, else trained (resuming) and saved."""
    store, key = Store(), run.fingerprint()
    found, text = store.load_tensors("weights", key), store.load_tensors("tokenizers", key)
    if found is None or text is None:
        _train(store, run, progress)
        return build_model(run, progress)
    tensors, meta = found
    model = bases.build(meta["config"])
    model.load_state_dict(tensors)
    tokenizer = Tokenizer.from_str(text[0]["json"].numpy().tobytes().decode())
    return Ready(model.to(runtime.device()).eval(), tokenizer, store.size_bytes_of("weights", key) / 1e6)


def build_variant(variant: TransformerVariant, progress: Progress = SILENT) -> Ready:
    """Return the model of a resolved variant, as its stored file gives it: from the store, else made and saved.

    Raises CannotRunError for a method that this machine cannot run.
    """
    ready, store, key = build_model(variant.run, progress), Store(), variant.fingerprint()
    if variant.method == "float":
        return ready
    try:
        if (found := store.load_tensors("variants", key)) is None:
            tensors, report = _compress(variant, ready, progress)
            store.save_tensors("variants", key, tensors, provenance(variant, versions()) | report)
            found = tensors, report
        model = transformer_methods.restore(variant, copy.deepcopy(ready.model), found[0])
    except InputError as reason:
        raise CannotRunError(str(reason)) from reason
    return Ready(model, ready.tokenizer, store.size_bytes_of("variants", key) / 1e6)


def evaluate(
    spec: TransformerEvaluation, progress: Progress = SILENT, documents: Documents | None = None, again: bool = False
) -> Row:
    """Return one result as a row of the store's `evaluations`, with `source` "store" or "computed".

    `documents` replaces the corpus's split. `again` computes a stored result anew, as for a latency on this machine.
    Where a method cannot run here, the row has no numbers but `detail.reason`. Raises InputError for no documents.
    """
    if documents is not None:
        if not len(documents):
            raise InputError("there is no document to evaluate; give one or more")
        spec = spec.model_copy(update={"documents": documents.fingerprint})
    spec = resolve(spec)
    found = None if again else find(spec)
    return found or _compute(spec, progress, documents)


def find(spec: TransformerEvaluation) -> Row | None:
    """Return the stored result of a spec, or None if there is none with numbers; computes nothing."""
    found = Store().find_result(resolve(spec).fingerprint())
    return found | {"source": "store"} if found and found["accuracy"] is not None else None


def find_outcome(spec: TransformerEvaluation) -> dict[str, np.ndarray] | None:
    """Return the stored arrays of a result (see `results.load_outcome`), or None; computes nothing."""
    return results.load_outcome(Store(), resolve(spec).fingerprint())


def compare(a: TransformerEvaluation, b: TransformerEvaluation, progress: Progress = SILENT) -> Row:
    """Return how b differs from a on the same documents: flips, exact McNemar, bootstrap interval, KL(a || b).

    Raises InputError if they are not about the same documents, or one has no arrays.
    """
    found = []
    for spec in (a, b):
        evaluate(spec, progress)
        found.append(find_outcome(spec))
    first, second = found
    if first is None or second is None:
        raise InputError("a result has no predictions; evaluate both where their methods can run")
    if not np.array_equal(first["labels"], second["labels"]):
        raise InputError("the two results are on different documents; compare results of one corpus, split and limit")
    return results.contrast(first, second)


def versions() -> dict[str, str]:
    """Return the versions that decide a transformer's number, by library."""
    return runtime.versions() | {name: importlib.metadata.version(name) for name in LIBRARIES}


def _compute(spec: TransformerEvaluation, progress: Progress, documents: Documents | None) -> Row:
    if documents is None and spec.documents is not None:
        raise InputError("this result is about a file of labelled documents; give the file again")
    store, run = Store(), spec.variant.run
    corpus = inputs.load(run.corpus)
    about: Row = {"base": bases.words(run.model), "corpus": corpus.source, **latency.machine()}
    about |= transformer_methods.facts(spec.variant)
    try:
        ready = build_variant(spec.variant, progress)
    except CannotRunError as reason:
        row = transformer_rows.make_row(spec, None, corpus.class_names, about | {"reason": str(reason)}, versions())
        store.save_result(row)
        return (store.find_result(row["key"]) or row) | {"source": "computed"}
    chosen = documents if documents is not None else getattr(corpus, spec.split)
    encoded, realised = subwords.encode_noisy(chosen, corpus, ready.tokenizer, run.tokens, spec.noise, spec.limit)
    logs, seconds = latency.run(ready.model, encoded, partial(progress.stage, "evaluate"))
    about |= {"noise": realised, "size_mb": ready.size_mb, **latency.measure(ready.model, encoded)}
    outcome = Evaluation(-logs, logs.argmax(1), encoded.labels, None, transformer_rows.NO_LSTM)
    row = transformer_rows.make_row(spec, outcome, corpus.class_names, about, versions()) | {"seconds": seconds}
    transformer_rows.save(store, spec, outcome, row)
    return (store.find_result(row["key"]) or row) | {"source": "computed"}


def _compress(variant: TransformerVariant, ready: Ready, progress: Progress) -> tuple[dict[str, torch.Tensor], Row]:
    """Make the tensors of a variant, and its history if it trains: QLoRA from the base, all else from float."""
    run, history = variant.run, list[Row]()
    start = time.perf_counter()
    model = _load_base(run).model if variant.method == "qlora" else ready.model

    def tune(prepared: nn.Module) -> None:
        assert variant.tuning is not None
        torch.manual_seed(derive(variant.tuning.seed, "adapters"))
        history.extend(_tune(prepared, ready.tokenizer, variant.tuning, variant, progress))

    tensors = transformer_methods.compress(variant, model, tune)
    return tensors, {"report": {"epochs": history, "seconds": time.perf_counter() - start}}


def _train(store: Store, run: TransformerRun, progress: Progress) -> None:
    corpus, key, start = inputs.load(run.corpus), run.fingerprint(), time.perf_counter()
    base = _load_base(run)
    history = _tune(base.model, base.tokenizer, run.train, run, progress)
    text = torch.frombuffer(bytearray(base.tokenizer.to_str().encode()), dtype=torch.uint8)
    store.save_tensors("tokenizers", key, {"json": text}, provenance(run, versions()))
    meta = provenance(run, versions()) | {"config": bases.configuration(base.model), "base": bases.words(run.model)}
    store.save_tensors("weights", key, base.model.state_dict(), meta)
    about = {"epochs": history, "corpus": corpus.source, "base": meta["base"]}
    store.save_model_card(model_card(run, len(corpus.train), time.perf_counter() - start, about, versions()))


def _load_base(run: TransformerRun) -> bases.Base:
    """Return the base of a run with a new head, whose weights the run's seed decides."""
    corpus = inputs.load(run.corpus)
    torch.manual_seed(derive(run.train.seed, "weights"))
    base = bases.load(run.model, corpus.class_names, corpus.train.texts)
    base.model.to(runtime.device())
    return base


def _tune(
    model: nn.Module,
    tokenizer: Tokenizer,
    tuning: FineTuning,
    made: TransformerRun | TransformerVariant,
    progress: Progress,
) -> list[Row]:
    """Fine-tune a model on its corpus, resuming under the fingerprint of what is `made`; return the history as JSON."""
    run = made if isinstance(made, TransformerRun) else made.run
    corpus = inputs.load(run.corpus)
    train, validation = (
        subwords.encode(part.texts, part.labels, tokenizer, run.tokens) for part in (corpus.train, corpus.validation)
    )
    on_batch = partial(progress.stage, "train")
    history = fine_tuning.fine_tune(
        model, train, validation, tuning, progress.epoch, on_batch, StoredCheckpoints(made, versions())
    )
    return fitting.as_rows(history)
