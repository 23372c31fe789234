"""A pinned wheel: what is fetched through `sources` is tested there; here the hash and the place."""

import hashlib
import subprocess
from pathlib import Path

import pytest

from core.errors import InputError
from core.text import wheels


def test_an_intact_wheel_is_used_without_pip(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(subprocess, "run", lambda *_, **__: pytest.fail("pip was called"))
    (tmp_path / "a.whl").write_bytes(b"content")
    sha256 = hashlib.sha256(b"content").hexdigest()
    assert wheels.pinned("a==1", "a.whl", sha256, tmp_path) == tmp_path / "a.whl"


def test_a_failed_download_names_requirement_file_and_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    failed = subprocess.CompletedProcess([], 1, "", "ERROR: no such version")
    monkeypatch.setattr(subprocess, "run", lambda *_, **__: failed)
    with pytest.raises(InputError, match=r"`pip download a==1` failed \(ERROR: no such version\)") as raised:
        wheels.pinned("a==1", "a.whl", "0" * 64, tmp_path)
    assert f"put a.whl from PyPI into {tmp_path}" in str(raised.value)
    assert list(tmp_path.iterdir()) == []
