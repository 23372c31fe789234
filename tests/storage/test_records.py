"""Every entry says its spec and versions, and a training's state comes back from the store."""

from pathlib import Path

import pytest
import torch

from core import runtime
from core.config import NoiseSpec
from core.storage.records import StoredCheckpoints, provenance
from core.storage.store import Store

SPEC = NoiseSpec(level=0.05, seed=3)


def test_an_entry_says_the_spec_it_can_be_made_from_again_and_the_versions() -> None:
    said = provenance(SPEC)
    assert NoiseSpec.model_validate(said["spec"]) == SPEC
    assert said["versions"] == runtime.versions()
    assert provenance(SPEC, {"peft": "1"})["versions"] == {"peft": "1"}


def test_a_state_comes_back_to_who_asks_for_the_same_spec(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BITDIAL_CACHE", str(tmp_path))
    checkpoints, others = StoredCheckpoints(SPEC), StoredCheckpoints(NoiseSpec(level=0.05, seed=4))
    assert checkpoints.load() is None
    checkpoints.save({"model.weight": torch.arange(3.0)}, {"history": [1]})
    found = StoredCheckpoints(SPEC).load()
    assert found is not None
    tensors, meta = found
    assert torch.equal(tensors["model.weight"], torch.arange(3.0))
    assert meta == {**provenance(SPEC), "history": [1]}
    assert others.load() is None
    assert Store().keys("checkpoints") == [SPEC.fingerprint()]
