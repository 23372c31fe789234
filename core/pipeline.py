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
    and its own `seed`); `recipe` overrides Recipe fields (head, ranges, ...). bits=32 is float.
    Raises ValueError (pydantic's for single values) with what is allowed.
    """
    corpus = corpus if isinstance(corpus, CorpusSpec) else CorpusSpec(name=corpus)
    trained = default_run(corpus, model, **(run or {}))
    parts: dict[str, Any] = {"run": trained, "graph": graph}
    if bits != FLOAT_BITS:
        draws = CalibrationSpec.parse(calibration, seed=seed) if isinstance(calibration, str) else calibration
        parts |= {"recipe": Recipe.preset(preset, bits, **recipe), "calibration": draws}
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

    Where the corpus cannot be had, the content that the store has results for stands in, so that results
    can be looked up without it. Raises InputError if there is neither.
    """
    if spec.content:
        return spec
    try:
        return spec.model_copy(update={"content": load(spec).fingerprint})
    except InputError:
        for card in Store().model_cards(corpus=spec.name):
            return CorpusSpec.model_validate(card["spec"]["corpus"])
        raise


def resolve(spec: EvaluationSpec) -> EvaluationSpec:
    """Return the spec with its corpus's content filled in; only such a spec has a stable fingerprint."""
    run = spec.variant.run
    run = run.model_copy(update={"corpus": resolve_corpus(run.corpus)})
    return spec.model_copy(update={"variant": spec.variant.model_copy(update={"run": run})})


def build_model(run: ModelRun, progress: Progress = SILENT) -> Classifier:
    """Return the trained float model of a run: from the store, else trained (resuming) and saved."""
    run, store = run.model_copy(update={"corpus": resolve_corpus(run.corpus)}), Store()
    key = run.fingerprint()
    if found := store.load_tensors("weights", key):
        return _restore(run, *found)
    data = encode(run.corpus, run.tokens)
    start = time.perf_counter()
    trained = training.train(run, data, progress.epoch, partial(progress.stage, "train"), _Checkpoints(store, run))
    history = [asdict(report) for report in trained.history]
    meta = _meta(run) | {"vocabulary_size": len(data.vocabulary), "classes": len(data.corpus.class_names)}
    store.save_tensors("weights", key, trained.model.state_dict(), meta)
    store.save_model_card(
        {
            "key": key,
            "corpus": run.corpus.name,
            "model": run.model.kind,
            "seed": run.train.seed,
            "n_train": run.train.limit or len(data.train),
            "seconds": time.perf_counter() - start,
            "spec": run.model_dump(mode="json"),
            "history": {"epochs": history, "corpus": data.corpus.source},
            "versions": runtime.versions(),
        }
    )
    return trained.model


def build_variant(spec: VariantSpec, progress: Progress = SILENT) -> tuple[Variant, Row]:
    """Return the variant of a spec and what making it touched (see ptq.PtqReport): stored, else quantized."""
    if spec.recipe is None or spec.calibration is None:
        return engine.from_float(build_model(spec.run, progress)), {}
    store, key = Store(), spec.fingerprint()
    if found := store.load_tensors("variants", key):
        tensors, meta = found
        return engine.to_device(engine.from_tensors(tensors, meta["variant"]), runtime.device()), meta["report"]
    from core import ptq  # Brevitas takes seconds to import, and stored variants do not need it

    model, data = build_model(spec.run, progress), encode(spec.run.corpus, spec.run.tokens)
    drawn = calibration.choose(data.train.labels, data.corpus.class_names, spec.calibration)
    chosen = data.train.select(drawn.index)
    variant, report = ptq.quantize(model, spec.recipe, chosen, lambda stage, done: progress.stage(stage, done, 1.0))
    weights = evaluation.compare_weights(variant, engine.from_float(model))
    full = asdict(report) | {"composition": drawn.counts, "note": drawn.note, "ks_head_weights": weights}
    tensors, form = engine.to_tensors(variant)
    store.save_tensors("variants", key, tensors, _meta(spec) | {"variant": form, "report": full})
    return variant, full


def evaluate(spec: EvaluationSpec, progress: Progress = SILENT, documents: Documents | None = None) -> Row:
    """Return one result as a row of the store's `evaluations`, with `source` "store" or "computed".

    `documents` replaces the corpus's split by a labelled set of the user's, named by its content.
    """
    if documents is not None:
        spec = spec.model_copy(update={"documents": documents.fingerprint})
    spec, store = resolve(spec), Store()
    if found := store.find_result(spec.fingerprint()):
        return found | {"source": "store"}
    start = time.perf_counter()
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
    run = run.model_copy(update={"corpus": resolve_corpus(run.corpus)})
    return Store().find_model_card(run.fingerprint()) is not None


def compare(a: EvaluationSpec, b: EvaluationSpec) -> Row:
    """Return how b differs from a on the same documents: flips, exact McNemar, bootstrap interval, KL(a || b).

    Both are evaluated if the store lacks them. Raises InputError if they are not about the same documents.
    """
    first, second = (_outcome(spec) for spec in (a, b))
    if not np.array_equal(first["labels"], second["labels"]):
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
    spec = resolve(EvaluationSpec(variant=spec)).variant
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
    losses = _float_token_losses(spec, documents) if outcome.token_losses is not None else None
    activations = evaluation.compare_activations(variant, reference, encoded)
    ks = {"head weights": report["ks_head_weights"], **activations}
    return outcome, detail | {"densities": evaluation.loss_densities(outcome, losses), "ks": ks}


def _encoded_documents(spec: EvaluationSpec, data: EncodedCorpus, documents: Documents | None) -> tuple[Encoded, Row]:
    """Return the documents of a spec, corrupted and cut as it says, and the rates that came about."""
    if documents is None and spec.documents is not None:
        raise InputError("this result is about a file of labelled documents; give the file again")
    chosen = documents or getattr(data.corpus, spec.split)
    if spec.limit:
        chosen = chosen.subset(np.arange(min(spec.limit, len(chosen))))
    noisy = noise.corrupt(chosen.texts, spec.noise, _alphabet(data.corpus))
    encoded = tokens.encode(noisy.texts, chosen.labels, data.vocabulary, spec.variant.run.tokens)
    rates = {"character_rate": noisy.character_rate, "oov_rate": encoded.oov_rate}
    return encoded, rates | {"truncation_rate": encoded.truncation_rate, "mean_length": encoded.mean_length}


def _float_token_losses(spec: EvaluationSpec, documents: Documents | None) -> np.ndarray:
    """Return the float model's token losses on the documents of a quantized spec, evaluating it if needed."""
    plain = spec.model_copy(update={"variant": VariantSpec(run=spec.variant.run)})
    evaluate(plain, documents=documents)
    losses = results.load_token_losses(Store(), plain.fingerprint())
    if losses is None:
        outcome, _ = _measure(plain, SILENT, documents)
        assert outcome.token_losses is not None
        return outcome.token_losses
    return losses


def _outcome(spec: EvaluationSpec) -> dict[str, np.ndarray]:
    row = evaluate(spec)
    found = results.load_outcome(Store(), row["key"])
    if found is None:
        raise InputError(f"the arrays of result {row['key']} are missing; run `clean` and evaluate it again")
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
