"""Stores, entries and damage for the tests of the store."""

import hashlib
from pathlib import Path
from typing import Any

import safetensors.torch
import torch

from core.storage.store import Store

KEY = "0123456789abcdef"
OTHER = "fedcba9876543210"
META = {"spec": {"kind": "generative"}, "versions": {"torch": "2"}}


def result(key: str = KEY, **changes: Any) -> dict[str, Any]:
    row = {"key": key, "corpus": "agnews", "model": "generative", "bits": 4, "seed": 0, "accuracy": 0.5}
    return {**row, "spec": {"limit": None}, "versions": {"torch": "2"}, **changes}


def card(key: str = KEY, **changes: Any) -> dict[str, Any]:
    return {"key": key, "corpus": "agnews", "model": "generative", "seed": 0, "spec": {}, "versions": {}, **changes}


def tensors_of(value: float = 1.0) -> dict[str, torch.Tensor]:
    return {"weight": torch.full((2, 3), value), "scale": torch.tensor(0.5)}


def weight(store: Store, key: str = KEY) -> float | None:
    found = store.load_tensors("weights", key)
    return None if found is None else found[0]["weight"][0, 0].item()


def state(folder: Path) -> dict[str, tuple[str, int]]:
    """Every file of a folder by content and time of change."""
    files = [path for path in folder.rglob("*") if path.is_file()]
    return {
        str(path): (hashlib.sha256(path.read_bytes()).hexdigest(), path.stat().st_mtime_ns) for path in sorted(files)
    }


def fill_shipped(store: Store) -> None:
    """Fill the shipped layer with one entry of each form, and leave local empty."""
    store.save_tensors("weights", KEY, tensors_of(1.0), META)
    store.save_result(result(accuracy=0.1))
    store.save_model_card(card(n_train=1))
    store.ship()
    store.clean()


def break_text(path: Path) -> None:
    path.write_text("these are not the weights you are looking for")


def break_truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1])


def break_other_weights(path: Path) -> None:
    """Sound tensors under the header of others."""
    with safetensors.safe_open(path, "pt") as file:
        header = file.metadata()
    safetensors.torch.save_file(tensors_of(7.0), path, header)


def damage_garbage(path: Path) -> None:
    path.write_text("garbage " * 1000)
