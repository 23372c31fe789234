"""The main path: load, encode, train, quantize, evaluate, compare. Each step looks in the store, else makes and saves.

spec = pipeline.specify("reuters-r8", "generative", bits=3, preset="uniform", ranges="fitted")
print(pipeline.evaluate(spec)["accuracy"])
"""

import time
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from core import calibration, corpora, engine, evaluation, models, noise, results, runtime, stats, tokens, training
from core.config import (
    FLOAT_BITS,
    CalibrationSpec,
    CorpusSpec,
    EvaluationSpec,
    ModelKind,
    ModelRun,
    NoiseSpec,
    Preset,
    Recipe,
    TokenSpec,
    VariantSpec,
    default_run,
    derived_key,
)
from core.corpora import Corpus, Documents
from core.engine import Variant
from core.errors import InputError
from core.evaluation import Evaluation
from core.models import Classifier
from core.store import Row, Store
from core.tokens import Encoded, EncodedCorpus


@dataclass(frozen=True)
class Progress:
    """Who is told how work goes on: `stage(name, done, total)` for every step, `epoch(report)` in training."""

    stage: Callable[[str, float, float], None] = lambda name, done, total: None
    epoch: Callable[[training.EpochReport], None] = lambda report: None


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


def load(spec: CorpusSpec) -> Corpus:
    """Return the corpus of a spec, kept in memory while the file behind it does not change."""
    path = Path(spec.name)
    stamp = (path.stat().st_mtime_ns, path.stat().st_size) if path.is_file() else None
    return _load(spec.model_copy(update={"content": ""}), runtime.cache_dir(), stamp)


def encode(corpus: CorpusSpec, spec: TokenSpec) -> EncodedCorpus:
    """Return the encoded corpus; the ids are kept in the store by the corpus's content."""
    return _encode(resolve_corpus(corpus), spec, runtime.cache_dir())


def resolve_corpus(spec: CorpusSpec) -> CorpusSpec:
    """Return the spec with the content hash of what it names now.

    Where the corpus cannot be had, the content last trained on with these settings stands in, so that results
    can be looked up without it. Raises InputError if there is neither, and for a file that cannot be used.
    """
    if spec.content:
        return spec
    try:
        return spec.model_copy(update={"content": load(spec).fingerprint})
    except InputError:
        cards = sorted(Store().model_cards(corpus=spec.name), key=lambda card: card["created"])
        known = [CorpusSpec.model_validate(card["spec"]["corpus"]) for card in cards]
        same = [corpus for corpus in known if corpus.model_copy(update={"content": ""}) == spec]
        if Path(spec.name).is_file() or not same:
            raise
        return same[-1]


def resolve(spec: EvaluationSpec) -> EvaluationSpec:
    """Return the spec with its corpus's content filled in; only such a spec has a stable fingerprint."""
    return spec.model_copy(update={"variant": _resolve_variant(spec.variant)})


def build_model(run: ModelRun, progress: Progress = SILENT) -> Classifier:
    """Return the trained float model of a run: from the store, else trained (resuming) and saved."""
    run, store = _resolve_run(run), Store()
    key = run.fingerprint()
    if found := store.load_tensors("weights", key):
        return _restore(run, *found)
    data = encode(run.corpus, run.tokens)
    start = time.perf_counter()
    trained = training.train(run, data, progress.epoch, partial(progress.stage, "train"), _Checkpoints(store, run))
    history = [{n: v if np.isfinite(v) else None for n, v in asdict(report).items()} for report in trained.history]
    meta = _meta(run) | {"vocabulary_size": len(data.vocabulary), "classes": len(data.corpus.class_names)}
    store.save_tensors("weights", key, trained.model.state_dict(), meta)
    store.save_model_card(
        {
            "key": key,
            "corpus": run.corpus.name,
            "model": run.model.kind,
            "seed": run.train.seed,
            "n_train": min(run.train.limit or len(data.train), len(data.train)),
            "seconds": time.perf_counter() - start,
            "spec": run.model_dump(mode="json"),
            "history": {"epochs": history, "corpus": data.corpus.source},
            "versions": runtime.versions(),
        }
    )
    return trained.model


def build_variant(spec: VariantSpec, progress: Progress = SILENT) -> tuple[Variant, Row]:
    """Return the variant of a spec and what making it touched (see ptq.PtqReport): stored, else quantized."""
    spec = _resolve_variant(spec)
    if spec.recipe is None or spec.calibration is None:
        return engine.from_float(build_model(spec.run, progress)), {}
    store, key = Store(), spec.fingerprint()
    if found := store.load_tensors("variants", key):
        tensors, meta = found
        return engine.to_device(engine.from_tensors(tensors, meta["variant"]), runtime.device()), meta["report"]
    from core import ptq  # Brevitas takes seconds to import, and stored variants do not need it

    data = encode(spec.run.corpus, spec.run.tokens)
    drawn = calibration.choose(data.train.labels, data.corpus.class_names, spec.calibration)
    model, chosen = build_model(spec.run, progress), data.train.select(drawn.index)
    variant, report = ptq.quantize(model, spec.recipe, chosen, lambda stage, done: progress.stage(stage, done, 1.0))
    weights = evaluation.compare_weights(variant, engine.from_float(model))
    full = asdict(report) | {"composition": drawn.counts, "note": drawn.note, "ks_head_weights": weights}
    tensors, form = engine.to_tensors(variant)
    store.save_tensors("variants", key, tensors, _meta(spec) | {"variant": form, "report": full})
    return variant, full


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


def find(spec: EvaluationSpec) -> Row | None:
    """Return the stored result of a spec, or None; computes nothing."""
    found = Store().find_result(resolve(spec).fingerprint())
    return found | {"source": "store"} if found else None


def trained(run: ModelRun) -> bool:
    """Say whether the store has the weights of a run."""
    return Store().find_model_card(_resolve_run(run).fingerprint()) is not None


def compare(a: EvaluationSpec, b: EvaluationSpec) -> Row:
    """Return how b differs from a on the same documents: flips, exact McNemar, bootstrap interval, KL(a || b).

    Both are evaluated if the store lacks them. Raises InputError if they are not about the same documents.
    """
    first, second = (_arrays(results.load_outcome, spec) for spec in (a, b))
    about = [(spec.variant.run.corpus.content, spec.split, spec.documents) for spec in (resolve(a), resolve(b))]
    if about[0] != about[1] or not np.array_equal(first["labels"], second["labels"]):
        raise InputError("the two results are on different documents; compare results of one corpus, split and limit")
    right = [outcome["predictions"] == outcome["labels"] for outcome in (first, second)]
    return {
        "mcnemar": asdict(stats.mcnemar_exact(right[0], right[1])),
        "difference": asdict(stats.paired_bootstrap(right[0], right[1], seed=0)),
        "flips": asdict(stats.flips(first["labels"], first["predictions"], second["predictions"])),
        "kl": stats.kl_divergence(first["log_probabilities"], second["log_probabilities"]),
    }


def predict(texts: Iterable[str], spec: VariantSpec, progress: Progress = SILENT) -> list[Row]:
    """Return for each text its label, the probability of every class, and the share of unknown words."""
    spec = _resolve_variant(spec)
    variant, _ = build_variant(spec, progress)
    data = encode(spec.run.corpus, spec.run.tokens)
    rows = []
    for text in texts:
        encoded = tokens.encode([text], np.zeros(1, np.int64), data.vocabulary, spec.run.tokens)
        outcome = evaluation.evaluate(variant, encoded, log_prior=_log_prior(spec.run, data))
        shares = np.exp(outcome.log_probabilities[0])
        names = data.corpus.class_names
        probabilities = {name: float(share) for name, share in zip(names, shares, strict=True)}
        rows.append({"label": names[outcome.predictions[0]], "probabilities": probabilities, "oov": encoded.oov_rate})
    return rows


def _resolve_run(run: ModelRun) -> ModelRun:
    return run.model_copy(update={"corpus": resolve_corpus(run.corpus)})


def _resolve_variant(spec: VariantSpec) -> VariantSpec:
    return spec.model_copy(update={"run": _resolve_run(spec.run)})


def _measure(spec: EvaluationSpec, progress: Progress, documents: Documents | None) -> tuple[Evaluation, Row]:
    """Run the variant of a resolved spec and everything that is compared with float on the way."""
    run = spec.variant.run
    variant, report = build_variant(spec.variant, progress)
    data = encode(run.corpus, run.tokens)
    encoded, realised = _encoded_documents(spec, data, documents)
    score = _brevitas_scorer(run, progress) if spec.variant.graph == "brevitas" else None
    outcome = evaluation.evaluate(variant, encoded, score, _log_prior(run, data), partial(progress.stage, "evaluate"))
    detail = {"noise": realised, "calibration": report, "corpus": data.corpus.source}
    if spec.variant.recipe is None:
        return outcome, detail | {"densities": evaluation.loss_densities(outcome, None), "ks": {}}
    reference = engine.from_float(build_model(run, progress))
    plain = spec.model_copy(update={"variant": VariantSpec(run=run)})
    generative = outcome.token_losses is not None
    losses = _arrays(results.load_token_losses, plain, documents) if generative else None
    activations = evaluation.compare_activations(variant, reference, encoded)
    ks = {"head weights": report["ks_head_weights"], **activations}
    return outcome, detail | {"densities": evaluation.loss_densities(outcome, losses), "ks": ks}


def _encoded_documents(spec: EvaluationSpec, data: EncodedCorpus, documents: Documents | None) -> tuple[Encoded, Row]:
    """Return the documents of a spec, corrupted and cut as it says, and the rates that came about."""
    chosen = getattr(data.corpus, spec.split) if documents is None else documents
    if spec.limit:
        chosen = chosen.subset(np.arange(min(spec.limit, len(chosen))))
    noisy = noise.corrupt(chosen.texts, spec.noise, _alphabet(data.corpus))
    encoded = tokens.encode(noisy.texts, chosen.labels, data.vocabulary, spec.variant.run.tokens)
    rates = {"character_rate": noisy.character_rate, "oov_rate": encoded.oov_rate}
    return encoded, rates | {"truncation_rate": encoded.truncation_rate, "mean_length": encoded.mean_length}


def _arrays(load: Callable[[Store, str], Any], spec: EvaluationSpec, documents: Documents | None = None) -> Any:
    """Return what `load` finds of a result, which is evaluated if the store lacks it or its arrays."""
    key = evaluate(spec, documents=documents)["key"]
    if (found := load(Store(), key)) is None:
        _compute(resolve(spec), SILENT, documents)
        found = load(Store(), key)
    return found


def _brevitas_scorer(run: ModelRun, progress: Progress) -> evaluation.Scorer:
    from core.brevitas_models import BrevitasTwin

    twin = BrevitasTwin(build_model(run, progress), None).requires_grad_(False)
    return lambda batch: (twin.hidden(batch.ids), *twin.class_losses(batch))


def _log_prior(run: ModelRun, data: EncodedCorpus) -> np.ndarray | None:
    if run.model.kind == "discriminative" or run.model.prior == "uniform":
        return None
    counts = np.bincount(data.train.labels, minlength=len(data.corpus.class_names))
    return np.log(counts / counts.sum())


def _meta(spec: ModelRun | VariantSpec) -> Row:
    return {"spec": spec.model_dump(mode="json"), "versions": runtime.versions()}


def _restore(run: ModelRun, weights: dict[str, torch.Tensor], meta: Row) -> Classifier:
    model = models.build(run.model, meta["vocabulary_size"], meta["classes"])
    model.load_state_dict(weights)
    return model.to(runtime.device()).eval()


@lru_cache(maxsize=2)
def _load(spec: CorpusSpec, cache: Path, stamp: object) -> Corpus:
    return corpora.load(spec)


@lru_cache(maxsize=2)
def _encode(spec: CorpusSpec, token_spec: TokenSpec, cache: Path) -> EncodedCorpus:
    corpus, store, key = load(spec), Store(), derived_key(spec, token_spec)
    if corpus.fingerprint != spec.content:
        raise InputError(f"corpus {spec.name!r} has changed since it was specified; specify it again")
    if found := store.load_tensors("tokens", key):
        return tokens.from_tensors(corpus, *found)
    data = tokens.encode_corpus(corpus, token_spec)
    arrays, words = tokens.to_tensors(data)
    meta = {"spec": [spec.model_dump(mode="json"), token_spec.model_dump(mode="json")], "versions": runtime.versions()}
    store.save_tensors("tokens", key, arrays, meta | words)
    return data


@lru_cache(maxsize=2)
def _alphabet(corpus: Corpus) -> str:
    return noise.alphabet(corpus.train.texts)


class _Checkpoints:
    """A run's state between epochs, in the store."""

    def __init__(self, store: Store, run: ModelRun) -> None:
        self.store, self.run = store, run

    def load(self) -> tuple[dict[str, torch.Tensor], dict] | None:
        return self.store.load_tensors("checkpoints", self.run.fingerprint())

    def save(self, tensors: dict[str, torch.Tensor], meta: dict) -> None:
        self.store.save_tensors("checkpoints", self.run.fingerprint(), tensors, _meta(self.run) | meta)
