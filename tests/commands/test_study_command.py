"""The verb `study`: what it prints, how it refuses, and that it runs in processes of its own."""

from pathlib import Path

import pytest
from command_line import Run, process
from small_studies import QUICKEST, study_of, write_study
from tiny import forget_corpora

from core.storage.store import Store
from core.studies import study
from core.text import sources


def test_a_study_file_is_run_and_counted(run: Run, own: str, tmp_path: Path) -> None:
    path = write_study(tmp_path / "study.toml", QUICKEST)
    assert study.read_study(path) == QUICKEST
    command = ("study", own, "--spec", path)
    line = {"name": "e0", "figure": "", "title": "One", "done": 0, "cells": 3}
    assert run(*command, "--list", "--json").json == {"experiments": [line]}
    assert Store().results() == []
    ran = run(*command)
    assert (ran.code, ran.err) == (0, "")
    first, second = ran.out.splitlines()
    assert first == "e0                3 of    3  One"
    assert second.startswith("4 made, 0 failed, ")
    again = run(*command, "--json").json
    assert again | {"seconds": 0} == {"experiments": [line | {"done": 3}], "made": 0, "failures": [], "seconds": 0}


def test_what_failed_is_listed_and_ends_in_exit_code_1(run: Run, own: str, tmp_path: Path) -> None:
    lists = {"models": ["discriminative"], "bits": [4], "calibrations": ["classes:gold", "conditional"]}
    command = ("study", own, "--spec", write_study(tmp_path / "study.toml", study_of(lists)))
    ran = run(*command)
    assert (ran.code, ran.err) == (1, "")
    counted, summary, failed = ran.out.splitlines()
    assert counted.startswith("e0                1 of    2")
    assert summary.startswith("2 made, 1 failed")
    assert failed.startswith(
        "failed: discriminative, model seed 0, 4 bits uniform percentile round, classes:gold draw 0"
    )
    assert "InputError: " in failed
    as_json = run(*command, "--json")
    assert as_json.code == 1
    assert '"failures": [{"cell": "discriminative' in as_json.out


def test_only_the_named_experiments_are_listed(run: Run, own: str) -> None:
    lines = run("study", own, "--list", "--only", "gpfq", "--only", "table-1").out.splitlines()
    assert [line.split()[0] for line in lines] == ["table-1", "gpfq"]
    assert lines[0] == "table-1           0 of    6  How good the two models are before quantization (Table 1)"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--only", "figure-1"), "no experiment is named figure-1; choose from: table-1, "),
        (("--spec", "none.toml"), "none.toml cannot be read (No such file or directory)"),
        (("--workers", 0), "workers=0: give 1 or more"),
        (("--workers", 1, "--scheduler", "tcp://127.0.0.1:1"), "exclude each other; give one of the two"),
    ],
)
def test_what_cannot_be_used_is_refused(run: Run, own: str, arguments: tuple[object, ...], message: str) -> None:
    refused = run("study", own, *arguments)
    assert (refused.code, refused.out) == (2, "")
    assert message in refused.err
    assert refused.err.count("\n") == 1


def test_a_corpus_that_is_not_there_is_refused(run: Run, own: str) -> None:
    refused = run("study", f"{own}x", "--list")
    assert (refused.code, refused.out) == (2, "")


def test_full_asks_the_hub_whatever_the_data_folder_has(
    run: Run, own: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    entry = sources._HUB["emotion"]
    (tmp_path / entry.folder).mkdir()
    for part in entry.official:
        (tmp_path / entry.folder / f"{part}.parquet").touch()
    monkeypatch.setenv("BITDIAL_DATA_DIR", str(tmp_path))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setattr(sources, "_download_hub", refuse_hub)
    forget_corpora()
    refused = run("study", "emotion", "--full", "--list")
    assert (refused.code, refused.out) == (2, "")
    assert "--full does not read BITDIAL_DATA_DIR: the hub is away; or leave --full out" in refused.err


def refuse_hub(name: str) -> None:
    raise sources.InputError("the hub is away")


def test_processes_make_what_one_makes(own: str, tmp_path: Path) -> None:
    """The real command, with real workers, as a person runs it."""
    path = write_study(tmp_path / "study.toml", study_of({"models": ["discriminative"], "bits": [32, 4]}))
    ran = process("study", own, "--spec", str(path), "--workers", "1", "--json")
    assert ran.json["made"] == 3
    assert ran.json["failures"] == []
    assert ran.err == ""
    assert {row["bits"] for row in Store().results()} == {32, 4}
