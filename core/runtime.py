"""The machine a number was made on: device, artifact folder, library versions."""

import importlib.metadata
import os
import platform
import re
from functools import cache
from pathlib import Path

import torch

from core.errors import InputError

LIBRARIES = ("torch", "brevitas", "numpy", "scipy", "spacy")


def device() -> torch.device:
    """Return the device of `BITDIAL_DEVICE`, by default cuda if there is one, else cpu.

    Raises InputError if the named device does not exist here.
    """
    name = os.environ.get("BITDIAL_DEVICE") or ("cuda" if torch.cuda.is_available() else "cpu")
    if not re.fullmatch(r"cpu|cuda(:\d+)?", name):
        raise InputError(f"BITDIAL_DEVICE={name!r} is no device; set it to cpu or cuda")
    chosen = torch.device(name)
    if chosen.type == "cuda" and (chosen.index or 0) >= torch.cuda.device_count():
        raise InputError(f"BITDIAL_DEVICE={name!r}, but this machine has no CUDA device; set it to cpu")
    return chosen


def synchronize() -> None:
    """Wait for queued GPU work; call before reading a clock."""
    if torch.cuda.is_available():
        torch.cuda.synchronize()


def versions() -> dict[str, str]:
    """Return the versions that decide a number, by library, and the Python version."""
    return {"python": platform.python_version(), **{name: _version(name) for name in LIBRARIES}}


@cache
def _version(library: str) -> str:
    return importlib.metadata.version(library)


def cache_dir() -> Path:
    """Return the artifact folder: `BITDIAL_CACHE`, by default cache/ beside core/."""
    return Path(os.environ.get("BITDIAL_CACHE") or Path(__file__).parent.parent / "cache")
