"""Stored results as Markdown."""

import pytest

from core.commands import tables
from core.errors import InputError
from core.storage.store import Store


def spec(train: dict[str, object] | None = None, **recipe: object) -> dict[str, object]:
    return {"variant": {"recipe": recipe, "run": {"train": train or {}}}}


def save(key: int, **changes: object) -> None:
    row = {
        "key": f"{key:016x}",
        "corpus": "toy",
        "model": "generative",
        "bits": 3,
        "preset": "uniform",
        "head": "gpfq",
        "ranges": "fitted",
        "calibration": "conditional",
        "calibration_seed": 0,
        "noise": 0.0,
        "noise_seed": 0,
        "seed": 0,
        "split": "test",
        "n": 1000,
        "correct": 900,
        "accuracy": 0.9,
        "lstm_variance": 0.25,
        "spec": spec(),
        "detail": {},
        "versions": {},
    }
    Store().save_result(row | changes)


FLOAT = {"bits": 32, "preset": "float", "head": None, "ranges": None, "calibration": None, "accuracy": 0.95}


def test_a_cell_is_the_mean_of_its_draws_and_dead_signals_are_marked(tmp_cache):
    save(1, **FLOAT)
    save(2)
    save(3, calibration_seed=1, accuracy=0.8)
    save(4, bits=4, accuracy=0.5, lstm_variance=0.0)
    lines = tables.accuracy_table("toy").splitlines()
    assert lines[0] == "**Generative** (float 95.00 %, n = 1,000)"
    assert lines[2] == "| preset | ranges | head | calibration | 8 | 7 | 6 | 5 | 4 | 3 |"
    assert lines[4] == "| uniform | fitted | gpfq | conditional |  |  |  |  | 50.0† / 0.00 | 85.0 / 0.25 (2 draws) |"


def test_at_8_bits_a_row_belongs_to_both_presets(tmp_cache):
    save(1, bits=8)
    save(2, preset="paper-code", accuracy=0.7)
    lines = tables.accuracy_table("toy").splitlines()
    assert lines[0] == "**Generative** (no float result)"
    assert lines[4] == "| paper-code | fitted | gpfq | conditional | 90.0 / 0.25 |  |  |  |  | 70.0 / 0.25 |"
    assert lines[5] == "| uniform | fitted | gpfq | conditional | 90.0 / 0.25 |  |  |  |  |  |"


def test_noise_limits_other_seeds_parts_of_classes_and_ranges_set_by_hand_stay_out(tmp_cache):
    save(1, **FLOAT)
    save(2, **FLOAT | {"preset": "float-in-brevitas", "accuracy": 0.1})
    save(3, noise=0.05)
    save(4, test_limit=10)
    save(5, seed=1)
    save(6, split="file")
    save(7, calibration="classes:a,b")
    save(8, spec=spec(cell_range=2.5))
    save(9, spec=spec({"noise": 0.1}))
    assert tables.accuracy_table("toy").count("\n") == 3


def test_a_corpus_without_results_is_refused(tmp_cache):
    with pytest.raises(InputError, match="no results for 'toy'; run sweep toy first"):
        tables.accuracy_table("toy")
