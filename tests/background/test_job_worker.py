"""The worker's process: it waits for its turn without the large libraries, then does the work of its folder."""

import fcntl
import subprocess
import sys
from pathlib import Path

import pytest
from browser import ROOT

from core.background import job_steps, job_worker


def test_the_work_is_done_in_turn_and_its_exit_code_returned(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder, done = tmp_path / "job", list[Path]()

    def work(given: Path) -> int:
        with open(tmp_path / "turn", "ab") as other, pytest.raises(BlockingIOError):
            fcntl.flock(other, fcntl.LOCK_EX | fcntl.LOCK_NB)
        done.append(given)
        return 1

    monkeypatch.setattr(job_steps, "run", work)
    monkeypatch.setattr(job_worker.os, "nice", done.append)
    assert job_worker.main(folder) == 1
    assert done == [job_worker.NICENESS, folder]
    with open(tmp_path / "turn", "ab") as free:
        fcntl.flock(free, fcntl.LOCK_EX | fcntl.LOCK_NB)


def test_waiting_needs_no_large_library() -> None:
    script = "import sys, core.background.job_worker; print({'torch', 'numpy', 'pydantic'} & set(sys.modules))"
    found = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "set()"
