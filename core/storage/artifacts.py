"""One artifact, one file: written whole or not at all, and checked when read."""

import hashlib
import json
import logging
import os
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import safetensors.torch
import torch

Row = dict[str, Any]

_log = logging.getLogger("bitdial.store")


class BrokenError(Exception):
    """What a stored file has wrong."""


def report(path: Path, fault: Exception) -> None:
    _log.warning("%s is not used: %s", path, fault)


def move_aside(path: Path) -> None:
    """Rename to .corrupt, a database with its log; do nothing if the file has gone."""
    for suffix in ("", "-wal", "-shm"):
        with suppress(FileNotFoundError):
            os.replace(f"{path}{suffix}", f"{path}.corrupt{suffix}")


def json_fault(value: object) -> str | None:
    try:
        json.dumps(value)
    except (TypeError, ValueError) as error:
        return f"is not JSON: {error}"
    return None


def pack_tensors(kind: str, key: str, tensors: Mapping[str, torch.Tensor], meta: Row) -> bytes:
    """One safetensors file; its header holds one text, so that equal content gives equal bytes."""
    own = {n: t.detach().cpu().clone(memory_format=torch.contiguous_format) for n, t in tensors.items()}
    header = {"kind": kind, "key": key, "meta": meta}
    header["digest"] = _digest(own, header)
    return safetensors.torch.save(own, {"bitdial": json.dumps(header)})


def unpack_tensors(path: Path, kind: str, key: str) -> tuple[dict[str, torch.Tensor], Row]:
    """Return (tensors, meta). Raises BrokenError, FileNotFoundError."""
    with open_tensors(path) as (file, header):
        tensors = {name: file.get_tensor(name).clone() for name in file.keys()}  # noqa: SIM118
    digest = header.pop("digest", None)
    if (header.get("kind"), header.get("key")) != (kind, key):
        raise BrokenError(f"it holds {header.get('kind')}/{header.get('key')}")
    if digest != _digest(tensors, header):
        raise BrokenError("its content does not match its digest")
    return tensors, header["meta"]


@contextmanager
def open_tensors(path: Path) -> Iterator[tuple[Any, Row]]:
    """Open a file with the header that `pack_tensors` wrote, both unchecked. Raises BrokenError, FileNotFoundError."""
    try:
        with safetensors.safe_open(path, framework="pt") as file:
            header = json.loads((file.metadata() or {}).get("bitdial", "null"))
            if not isinstance(header, dict) or not isinstance(header.get("meta"), dict):
                raise BrokenError("another program wrote it")
            yield file, header
    except (safetensors.SafetensorError, ValueError) as error:
        raise BrokenError(f"it is damaged: {error}") from error


def write_file(path: Path, data: bytes) -> None:
    """Put a whole file in place, or leave what was there."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as temporary, open(temporary, "xb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Give a free name beside `path`, to be filled: it replaces `path` at the end, or is removed after an error."""
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex}.tmp")
    try:
        yield temporary
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def _digest(tensors: Mapping[str, torch.Tensor], header: Row) -> str:
    """SHA-256 over the header and every tensor's name, dtype, shape and bytes."""
    digest = hashlib.sha256(json.dumps(header).encode())
    for name, tensor in sorted(tensors.items()):
        digest.update(json.dumps([name, str(tensor.dtype), list(tensor.shape)]).encode())
        digest.update(tensor.flatten().view(torch.uint8).numpy().data)
    return digest.hexdigest()
