"""The row of a transformer's result: as `results` makes an LSTM's, in the same table."""

from core.config import Spec
from core.measurement import evaluation, results
from core.measurement.evaluation import Evaluation
from core.storage.records import provenance
from core.storage.store import Row, Store
from core.transformers.transformer_config import METHOD_BITS, TransformerEvaluation

COLUMNS = ("n", "correct", "accuracy", "accuracy_low", "accuracy_high", "macro_f1")
NO_LSTM = 1.0  # stands for an LSTM variance in an Evaluation; no row keeps it
OF_LSTMS = ("lstm_variance", "dead_lstm")


def make_row(
    spec: TransformerEvaluation,
    outcome: Evaluation | None,
    class_names: tuple[str, ...],
    detail: Row,
    versions: dict[str, str],
) -> Row:
    """Return the row of `evaluations`: `preset` is the method, `ranges` the mapping of INT8 from scratch.

    Without an outcome, for a method that cannot run, the numbers are missing. Everything that is no column goes into
    `detail`, which says of the LSTM's health that it is not dead.
    """
    variant = spec.variant
    scores = evaluation.summary(outcome, class_names) if outcome else {}
    rest = {name: value for name, value in scores.items() if name not in (*COLUMNS, *OF_LSTMS)}
    return {
        "key": spec.fingerprint(),
        "corpus": variant.run.corpus.name,
        "model": variant.run.model.kind,
        "bits": METHOD_BITS[variant.method],
        "preset": variant.method,
        "ranges": variant.mapping,
        "noise": spec.noise.level,
        "noise_seed": spec.noise.seed,
        "seed": variant.run.train.seed,
        "split": spec.split if spec.documents is None else "file",
        "test_limit": spec.limit,
        **{name: scores.get(name) for name in COLUMNS},
        "detail": {"class_names": list(class_names), "dead_lstm": False, **rest, **detail},
        **provenance(spec, versions),
    }


def save(store: Store, spec: Spec, outcome: Evaluation, row: Row) -> None:
    """Save arrays, then the row that makes them visible; as `results.save`."""
    about = provenance(spec, row["versions"])
    store.save_tensors("evaluations", spec.fingerprint(), results.outcome_tensors(outcome), about)
    store.save_result(row)


def against_float(row: Row, reference: Row) -> Row:
    """Return compression, and speed-up unless the two were measured on different machines (then None).

    Both are ratios, more than 1 where the method is smaller or faster than float.
    """
    ours, theirs = row["detail"], reference["detail"]
    same = all(ours[name] == theirs[name] for name in ("device", "gpu", "cpu", "threads", "latency_batch_size"))
    faster = theirs["latency_ms_per_batch"] / ours["latency_ms_per_batch"]
    return {"compression": theirs["size_mb"] / ours["size_mb"], "speed_up": faster if same else None}
