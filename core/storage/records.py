"""What the store's entries say of themselves, and the state of a training between its epochs."""

from torch import Tensor

from core import runtime
from core.config import Spec
from core.storage.store import Row, Store


def provenance(spec: Spec, versions: Row | None = None) -> Row:
    """Return the full specification of what was made, and the library versions, by default those of the engine."""
    return {"spec": spec.model_dump(mode="json"), "versions": versions or runtime.versions()}


def model_card(run: Spec, documents: int, seconds: float, history: Row, versions: Row | None = None) -> Row:
    """Return the row of a model trained as `run` (a corpus, a model, a training) says, on at most so many documents."""
    about = provenance(run, versions)
    corpus, model, train = (about["spec"][part] for part in ("corpus", "model", "train"))
    return {
        "key": run.fingerprint(),
        "corpus": corpus["name"],
        "model": model["kind"],
        "seed": train["seed"],
        "n_train": min(train["limit"] or documents, documents),
        "seconds": seconds,
        "history": history,
        **about,
    }


class StoredCheckpoints:
    """The state between epochs of the training of a spec, under its fingerprint."""

    def __init__(self, spec: Spec, versions: Row | None = None) -> None:
        self.store, self.key, self.provenance = Store(), spec.fingerprint(), provenance(spec, versions)

    def load(self) -> tuple[dict[str, Tensor], Row] | None:
        return self.store.load_tensors("checkpoints", self.key)

    def save(self, tensors: dict[str, Tensor], meta: Row) -> None:
        self.store.save_tensors("checkpoints", self.key, tensors, self.provenance | meta)
