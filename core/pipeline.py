"""The main path: load, encode, train, quantize, evaluate, compare. Each step looks in the store, else makes and saves.

spec = pipeline.specify("reuters-r8", "generative", bits=3, preset="uniform", ranges="fitted")
print(pipeline.evaluate(spec)["accuracy"])
"""

import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any

import numpy as np
import torch

from core import runtime
from core.config import (
    FLOAT_BITS,
    CalibrationSpec,
    CorpusSpec,
    DistanceSpec,
    EvaluationSpec,
    ModelKind,
    ModelRun,
    NoiseSpec,
    Preset,
    Recipe,
    VariantSpec,
    default_run,
)
from core.errors import InputError
from core.lstm import fitting, models, training
from core.measurement import evaluation, results
from core.measurement.evaluation import Evaluation
from core.quantization import calibration, engine, packing
from core.quantization.residents import KEPT, Resident
from core.storage.records import StoredCheckpoints, model_card, provenance
from core.storage.store import Row, Store
from core.text import inputs
from core.text.corpora import Documents
from core.text.inputs import encode, encode_training, resolve_corpus
from core.text.inputs import load as load
from core.text.tokens import EncodedCorpus


@dataclass(frozen=True)
class Progress:
    """Who is told how work goes on: `stage(name, done, total)` for every step, `epoch(report)` in training."""

    stage: Callable[[str, float, float], None] = lambda name, done, total: None
    epoch: Callable[[fitting.EpochReport], None] = lambda report: None


SILENT = Progress()


def specify(
    corpus: str | CorpusSpec,
    model: ModelKind,
    bits: int = FLOAT_BITS,
    preset: Preset = "uniform",
    *,
    calibration: str | CalibrationSpec = "conditional",
    noise: float = 0.0,
    seed: int = 0,
    run: dict[str, Any] | None = None,
    limit: int | None = None,
    graph: str = "engine",
    **recipe: Any,
) -> EvaluationSpec:
    """Return the full specification of one result from the words a person uses.

    `seed` draws calibration documents and noise; `run` overrides how the model is trained (TrainSpec fields
    and its own `seed`); `recipe` overrides Recipe fields (head, ranges, ...). bits=32 is float, for which what
    quantizes is checked and left out. Raises ValueError (pydantic's for single values) with what is allowed.
    """
    corpus = corpus if isinstance(corpus, CorpusSpec) else CorpusSpec(name=corpus)
    trained = default_run(corpus, model, **(run or {}))
    parts: dict[str, Any] = {"run": trained, "graph": graph}
    draws = CalibrationSpec.parse(calibration, seed=seed) if isinstance(calibration, str) else calibration
    quantized = Recipe.preset(preset, 8 if bits == FLOAT_BITS else bits, **recipe)
    if bits != FLOAT_BITS:
        parts |= {"recipe": quantized, "calibration": draws}
    return EvaluationSpec(
        variant=VariantSpec.model_validate(parts), noise=NoiseSpec(level=noise, seed=seed if noise else 0), limit=limit
    )


def resolve(spec: EvaluationSpec) -> EvaluationSpec:
    """Return the spec with its corpus's content filled in; only such a spec has a stable fingerprint."""
    return spec.model_copy(update={"variant": _resolve_variant(spec.variant)})


def build_model(run: ModelRun, progress: Progress = SILENT) -> models.Classifier:
    """Return the trained float model of a run: from the store, else trained (resuming) and saved."""
    run, store = _resolve_run(run), Store()
    key = run.fingerprint()
    if found := store.load_tensors("weights", key):
        return _restore(run, *found)
    data = encode_training(run)
    start = time.perf_counter()
    trained = training.train(run, data, progress.epoch, partial(progress.stage, "train"), StoredCheckpoints(run))
    meta = provenance(run) | {"vocabulary_size": len(data.vocabulary), "classes": len(data.corpus.class_names)}
    store.save_tensors("weights", key, trained.model.state_dict(), meta)
    history = {"epochs": fitting.as_rows(trained.history), "corpus": data.corpus.source}
    store.save_model_card(model_card(run, len(data.train), time.perf_counter() - start, history))
    return trained.model


def build_variant(spec: VariantSpec, progress: Progress = SILENT) -> tuple[engine.Variant, Row]:
    """Return the variant of a spec and what making it touched (see ptq.PtqReport): stored, else quantized."""
    spec = _resolve_variant(spec)
    if spec.recipe is None or spec.calibration is None:
        return engine.from_float(build_model(spec.run, progress)), {}
    store, key = Store(), spec.fingerprint()
    if found := store.load_tensors("variants", key):
        tensors, meta = found
        return engine.to_device(packing.from_tensors(tensors, meta["variant"]), runtime.device()), meta["report"]
    from core.quantization import ptq  # Brevitas takes seconds to import, and stored variants do not need it

    data = encode_training(spec.run)
    drawn = calibration.choose(data.train.labels, data.corpus.class_names, spec.calibration)
    model, chosen = build_model(spec.run, progress), data.train.select(drawn.index)
    name = (spec.run, spec.calibration, runtime.device())
    variant, report = ptq.quantize(
        model, spec.recipe, chosen, lambda stage, share: progress.stage(stage, share, 1.0), name
    )
    weights = evaluation.compare_weights(variant, engine.from_float(model))
    full = asdict(report) | {"composition": drawn.counts, "note": drawn.note, "ks_head_weights": weights}
    full |= {"stored_bytes": packing.stored_bytes(variant)}
    tensors, form = packing.to_tensors(variant)
    store.save_tensors("variants", key, tensors, provenance(spec) | {"variant": form, "report": full})
    return variant, full


def resident(spec: VariantSpec, progress: Progress = SILENT) -> Resident:
    """Return the variant of a spec ready to run, kept in memory for the next time (see `residents`)."""
    plain = _resolve_variant(spec).model_copy(update={"graph": "engine"})
    return KEPT.get((plain, runtime.device(), runtime.cache_dir()), partial(build_variant, plain, progress))


def log_prior(run: ModelRun, data: EncodedCorpus) -> np.ndarray | None:
    """Return log p(class) in the training split (C,) if the run's model adds it (equation 6), else None."""
    if run.model.kind == "discriminative" or run.model.prior == "uniform":
        return None
    counts = np.bincount(data.train.labels, minlength=len(data.corpus.class_names))
    return np.log(counts / counts.sum())


def evaluate(spec: EvaluationSpec, progress: Progress = SILENT, documents: Documents | None = None) -> Row:
    """Return one result as a row of the store's `evaluations`, with `source` "store" or "computed".

    `documents` replaces the corpus's split by a labelled set of the user's, named by its content.
    Raises InputError if it is empty, or needed and not given.
    """
    if documents is not None:
        if not len(documents):
            raise InputError("there is no document to evaluate; give one or more")
        spec = spec.model_copy(update={"documents": documents.fingerprint})
    return find(spec) or _compute(resolve(spec), progress, documents)


def _compute(spec: EvaluationSpec, progress: Progress, documents: Documents | None) -> Row:
    if documents is None and spec.documents is not None:
        raise InputError("this result is about a file of labelled documents; give the file again")
    store, start = Store(), time.perf_counter()
    outcome, detail = _measure(spec, progress, documents)
    runtime.synchronize()
    names = encode(spec.variant.run.corpus, spec.variant.run.tokens).corpus.class_names
    row = results.make_row(spec, outcome, names, detail) | {"seconds": time.perf_counter() - start}
    results.save(store, spec, outcome, row)
    return (store.find_result(row["key"]) or row) | {"source": "computed"}


def evaluate_many(specs: Iterable[EvaluationSpec], progress: Progress = SILENT) -> Iterator[Row]:
    """Yield the row of each distinct spec, those of one variant together, so that it is made ready once.

    Encoded documents are shared by all that read them, whatever the order (see `inputs`).
    """
    unique = {spec.fingerprint(): spec for spec in specs}
    groups: dict[str, list[EvaluationSpec]] = {}
    for spec in unique.values():
        groups.setdefault(spec.variant.fingerprint(), []).append(spec)
    for group in groups.values():
        yield from (evaluate(spec, progress) for spec in group)


def find(spec: EvaluationSpec) -> Row | None:
    """Return the stored result of a spec, or None; computes nothing."""
    found = Store().find_result(resolve(spec).fingerprint())
    return found | {"source": "store"} if found else None


def measure_distance(spec: DistanceSpec, progress: Progress = SILENT) -> Row:
    """Return the distance between two calibration draws as `find_distance` does, measured if the store lacks it."""
    if found := find_distance(spec):
        return found
    run = _resolve_run(spec.run)
    data, prepared = encode_training(run), resident(VariantSpec(run=run), progress).prepared
    draws = [calibration.choose(data.train.labels, data.corpus.class_names, draw) for draw in (spec.first, spec.second)]
    ks, curves = evaluation.compare_documents(prepared, *(data.train.select(draw.index) for draw in draws))
    spec = spec.model_copy(update={"run": run})
    meta = provenance(spec) | {"ks": ks, "documents": [len(draw.index) for draw in draws]}
    tensors = {site: torch.from_numpy(curve) for site, curve in curves.items()}
    Store().save_tensors("distances", spec.fingerprint(), tensors, meta)
    return (find_distance(spec) or {}) | {"source": "computed"}


def find_distance(spec: DistanceSpec) -> Row | None:
    """Return the stored distance of a spec (see `distances`), or None; computes nothing."""
    return _distance(spec.model_copy(update={"run": _resolve_run(spec.run)}).fingerprint())


def distances(corpus: str) -> list[Row]:
    """Return all stored distances between draws of a corpus.

    A row has key, corpus, model, seed, first and second (how each set was drawn), draw, documents (how many each set
    has), ks by site (see `evaluation.compare_documents`), spec, versions, source.
    """
    found = (_distance(key) for key in Store().keys("distances"))
    return [row for row in found if row and row["corpus"] == corpus]


def _distance(key: str) -> Row | None:
    if not (found := Store().load_tensors("distances", key)):
        return None
    _, meta = found
    spec = DistanceSpec.model_validate(meta["spec"])
    row: Row = {"key": key, "corpus": spec.run.corpus.name, "model": spec.run.model.kind}
    row |= {"seed": spec.run.train.seed, "first": spec.first.label, "second": spec.second.label}
    return row | {"draw": spec.first.seed} | meta | {"source": "store"}


def trained(run: ModelRun) -> bool:
    """Say whether the store has the weights of a run."""
    return Store().has_tensors("weights", _resolve_run(run).fingerprint())


def stored(spec: VariantSpec) -> bool:
    """Say whether the store has a variant, so that it is neither trained nor quantized to be used."""
    spec = _resolve_variant(spec)
    kind, key = ("variants", spec.fingerprint()) if spec.recipe else ("weights", spec.run.fingerprint())
    return Store().has_tensors(kind, key)


def compare(a: EvaluationSpec, b: EvaluationSpec) -> Row:
    """Return how b differs from a on the same documents: flips, exact McNemar, bootstrap interval, KL(a || b).

    Both are evaluated if the store lacks them. Raises InputError if they are not about the same documents.
    """
    first, second = (outcome(spec) for spec in (a, b))
    about = [(spec.variant.run.corpus.content, spec.split, spec.documents) for spec in (resolve(a), resolve(b))]
    if about[0] != about[1] or not np.array_equal(first["labels"], second["labels"]):
        raise InputError("the two results are on different documents; compare results of one corpus, split and limit")
    return results.contrast(first, second)


def outcome(spec: EvaluationSpec, progress: Progress = SILENT) -> dict[str, np.ndarray]:
    """Return a result's arrays as `find_outcome` does, evaluated if the store lacks the result or only them."""
    found: dict[str, np.ndarray] = _arrays(results.load_outcome, spec, progress=progress)
    return found


def find_outcome(spec: EvaluationSpec) -> dict[str, np.ndarray] | None:
    """Return the stored arrays of a result (see `results.load_outcome`), or None; computes nothing."""
    return results.load_outcome(Store(), resolve(spec).fingerprint())


def _resolve_run(run: ModelRun) -> ModelRun:
    return run.model_copy(update={"corpus": resolve_corpus(run.corpus)})


def _resolve_variant(spec: VariantSpec) -> VariantSpec:
    return spec.model_copy(update={"run": _resolve_run(spec.run)})


def _measure(spec: EvaluationSpec, progress: Progress, documents: Documents | None) -> tuple[Evaluation, Row]:
    """Run the variant of a resolved spec and everything that is compared with float on the way."""
    run, data = spec.variant.run, encode(spec.variant.run.corpus, spec.variant.run.tokens)
    ready, on_batch = resident(spec.variant, progress), partial(progress.stage, "evaluate")
    encoded, realised = inputs.encode_documents(spec, documents)
    score = _scorer(spec.variant, ready, progress)
    outcome = evaluation.evaluate(ready.variant, encoded, score, log_prior(run, data), on_batch)
    detail = {"noise": realised, "calibration": ready.report, "corpus": data.corpus.source}
    if spec.variant.recipe is None:
        return outcome, detail | {"densities": evaluation.loss_densities(outcome, None), "ks": {}}
    reference = resident(VariantSpec(run=run), progress)
    plain = spec.model_copy(update={"variant": VariantSpec(run=run)})
    losses = None if outcome.token_losses is None else _arrays(results.load_token_losses, plain, documents)
    activations = evaluation.compare_activations(ready.prepared, reference.prepared, encoded)
    ks = {"head weights": ready.report["ks_head_weights"], **activations}
    return outcome, detail | {"densities": evaluation.loss_densities(outcome, losses), "ks": ks}


def _scorer(spec: VariantSpec, ready: Resident, progress: Progress) -> evaluation.Scorer:
    if spec.graph == "engine":
        return ready.score
    from core.quantization.brevitas_models import BrevitasTwin

    return BrevitasTwin(build_model(spec.run, progress), None).requires_grad_(False).score


def _arrays(
    load: Callable[[Store, str], Any],
    spec: EvaluationSpec,
    documents: Documents | None = None,
    progress: Progress = SILENT,
) -> Any:
    """Return what `load` finds of a result, which is evaluated if the store lacks it or its arrays."""
    key = evaluate(spec, progress=progress, documents=documents)["key"]
    if (found := load(Store(), key)) is None:
        _compute(resolve(spec), progress, documents)
        found = load(Store(), key)
    return found


def _restore(run: ModelRun, weights: dict[str, torch.Tensor], meta: Row) -> models.Classifier:
    model = models.build(run.model, meta["vocabulary_size"], meta["classes"])
    model.load_state_dict(weights)
    return model.to(runtime.device()).eval()
