"""Rows of transformers' methods as the pipeline stores them, without any training."""

from typing import Any

import numpy as np

from core.config import CorpusSpec, NoiseSpec
from core.measurement.evaluation import Evaluation
from core.storage.store import Store
from core.transformers import transformer_rows
from core.transformers.transformer_config import (
    TUNED,
    FineTuning,
    Method,
    Shape,
    TransformerEvaluation,
    TransformerKind,
    TransformerModel,
    TransformerRun,
    TransformerVariant,
)

CLASSES = ("sad", "glad", "angry")
N = 300
HERE = {"device": "cpu", "gpu": None, "cpu": "A", "cores": 4, "threads": 2, "load": 1.0, "latency_batch_size": 16}
MODELS = {
    "bert": TransformerModel(kind="bert", origin="wheel", base="tiny encoder"),
    "gpt2": TransformerModel(kind="gpt2", origin="scratch", base="gpt2", shape=Shape()),
}


def specify(
    kind: TransformerKind, corpus: str, method: Method, noise: float = 0.0, seed: int = 0, mapping: Any = "affine"
) -> TransformerEvaluation:
    run = TransformerRun(
        corpus=CorpusSpec(name=corpus, content="0123456789abcdef"), model=MODELS[kind], train=FineTuning(seed=seed)
    )
    tuning = FineTuning() if method in TUNED else None
    grid = mapping if method == "int8-scratch" else None
    variant = TransformerVariant(run=run, method=method, tuning=tuning, mapping=grid)
    return TransformerEvaluation(variant=variant, noise=NoiseSpec(level=noise))


def save(
    kind: TransformerKind = "bert",
    corpus: str = "emotion",
    method: Method = "float",
    wrong: int = 0,
    detail: dict[str, Any] | None = None,
    **settings: Any,
) -> str:
    """Store a result whose first `wrong` of N documents are answered wrongly; return its key."""
    spec, labels = specify(kind, corpus, method, **settings), np.arange(N) % len(CLASSES)
    answers = np.where(np.arange(N) < wrong, (labels + 1) % len(CLASSES), labels)
    logs = np.log(np.where(answers[:, None] == np.arange(len(CLASSES)), 0.8, 0.1))
    outcome = Evaluation(-logs, answers, labels, None, transformer_rows.NO_LSTM)
    facts = {"base": "tiny encoder", "size_mb": 100.0, "latency_ms_per_batch": 40.0, "latency_ms_per_sample": 2.5}
    versions = {"torch": "2", "transformers": "5"}
    row = transformer_rows.make_row(spec, outcome, CLASSES, facts | HERE | (detail or {}), versions)
    transformer_rows.save(Store(), spec, outcome, row | {"seconds": 3.0})
    return spec.fingerprint()


def save_refused(kind: TransformerKind, corpus: str, method: Method, reason: str) -> None:
    """Store a result that says why a machine cannot run the method."""
    spec = specify(kind, corpus, method)
    Store().save_result(transformer_rows.make_row(spec, None, CLASSES, {"base": "b", "reason": reason, **HERE}, {}))


def save_bert() -> None:
    """Store three methods on emotion: float, dynamic INT8 as good and smaller, QLoRA worse; QAT is missing."""
    save(wrong=20)
    save(method="dynamic-int8", wrong=20, detail={"size_mb": 50.0, "latency_ms_per_batch": 20.0})
    save(method="qlora", wrong=80, detail={"size_mb": 25.0, "latency_ms_per_batch": 80.0, "gpu": "G"})
