import platform
from importlib.metadata import version
from pathlib import Path

import pytest
import torch
from browser import ROOT

from core import runtime
from core.errors import InputError


def set_cuda(monkeypatch: pytest.MonkeyPatch, available: bool) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: available)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: int(available))


@pytest.mark.parametrize(("available", "expected"), [(True, "cuda"), (False, "cpu")])
@pytest.mark.parametrize("setting", [None, ""])
def test_the_device_is_a_gpu_where_there_is_one(
    monkeypatch: pytest.MonkeyPatch, setting: str | None, available: bool, expected: str
) -> None:
    set_cuda(monkeypatch, available)
    if setting is None:
        monkeypatch.delenv("BITDIAL_DEVICE", raising=False)
    else:
        monkeypatch.setenv("BITDIAL_DEVICE", setting)
    assert runtime.device() == torch.device(expected)


def test_the_setting_wins_over_the_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    set_cuda(monkeypatch, True)
    monkeypatch.setenv("BITDIAL_DEVICE", "cpu")
    assert runtime.device() == torch.device("cpu")


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("toaster", "BITDIAL_DEVICE='toaster' is no device; set it to cpu or cuda"),
        ("cuda", "BITDIAL_DEVICE='cuda', but this machine has no CUDA device; set it to cpu"),
        ("cuda:3", "BITDIAL_DEVICE='cuda:3', but this machine has no CUDA device; set it to cpu"),
    ],
)
def test_a_device_that_is_not_here_is_refused(monkeypatch: pytest.MonkeyPatch, setting: str, message: str) -> None:
    set_cuda(monkeypatch, False)
    monkeypatch.setenv("BITDIAL_DEVICE", setting)
    with pytest.raises(InputError) as refusal:
        runtime.device()
    assert str(refusal.value) == message


@pytest.mark.parametrize(("available", "calls"), [(True, 1), (False, 0)])
def test_synchronize_waits_only_for_a_gpu(monkeypatch: pytest.MonkeyPatch, available: bool, calls: int) -> None:
    waits: list[None] = []
    set_cuda(monkeypatch, available)
    monkeypatch.setattr(torch.cuda, "synchronize", lambda: waits.append(None))
    runtime.synchronize()
    assert len(waits) == calls


def test_versions_are_the_installed_ones() -> None:
    found = runtime.versions()
    assert found.pop("python") == platform.python_version()
    assert set(found) == {"torch", "brevitas", "numpy", "scipy", "spacy"}
    assert found == {name: version(name) for name in found}


def test_the_cache_lies_beside_core_unless_set(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("BITDIAL_CACHE", raising=False)
    assert runtime.cache_dir() == ROOT / "cache"
    monkeypatch.setenv("BITDIAL_CACHE", str(tmp_path))
    assert runtime.cache_dir() == tmp_path
