"""A tensor file comes back as it was or not at all."""

import logging
import os
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch
from stored import (
    KEY,
    META,
    OTHER,
    break_other_weights,
    break_text,
    break_truncate,
    fill_shipped,
    state,
    tensors_of,
    weight,
)

from core.errors import InputError
from core.storage.store import DATABASE, Store


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "local", tmp_path / "shipped")


@pytest.mark.parametrize(
    "tensor",
    [
        torch.randn(3, 4),
        torch.randn(3, 4).to(torch.bfloat16),
        torch.tensor([-128, 127], dtype=torch.int8),
        torch.tensor([True, False]),
        torch.tensor(2**40),
        torch.tensor(float("nan")),
        torch.empty(0, 5),
        torch.arange(12).reshape(3, 4).t(),
        torch.randn(4, requires_grad=True),
    ],
    ids=["float", "bfloat16", "int8", "bool", "scalar", "nan", "empty", "transposed", "grad"],
)
def test_a_tensor_comes_back_as_it_was(store: Store, tensor: torch.Tensor) -> None:
    store.save_tensors("weights", KEY, {"it": tensor}, META)
    found = store.load_tensors("weights", KEY)
    assert found is not None
    tensors, meta = found
    assert meta == META
    torch.testing.assert_close(tensors["it"], tensor.detach(), rtol=0, atol=0, equal_nan=True)


def test_tensors_that_share_memory_come_back_apart(store: Store) -> None:
    base = torch.zeros(4)
    store.save_tensors("weights", KEY, {"all": base, "half": base[:2], "same": base}, META)
    found = store.load_tensors("weights", KEY)
    assert found is not None
    found[0]["all"].add_(1)
    assert {name: tensor.tolist() for name, tensor in found[0].items()} == {
        "all": [1.0] * 4,
        "half": [0.0] * 2,
        "same": [0.0] * 4,
    }


def test_loaded_tensors_do_not_follow_the_file(store: Store) -> None:
    path = store.save_tensors("weights", KEY, tensors_of(1.0), META)
    found = store.load_tensors("weights", KEY)
    assert found is not None
    with path.open("r+b") as file:
        file.write(bytes(path.stat().st_size))
    torch.testing.assert_close(found[0], tensors_of(1.0))


def test_no_tensors_is_an_entry_too(store: Store) -> None:
    store.save_tensors("tokens", KEY, {}, META)
    assert store.load_tensors("tokens", KEY) == ({}, META)


def test_meta_comes_back_as_json_reads_it(store: Store) -> None:
    store.save_tensors("weights", KEY, tensors_of(), {**META, "by_bits": {10: (1, "é"), 2: None}, "loss": 0.1})
    found = store.load_tensors("weights", KEY)
    assert found is not None
    assert found[1] == {**META, "by_bits": {"10": [1, "é"], "2": None}, "loss": 0.1}


def test_kinds_and_keys_are_apart_and_a_missing_entry_is_none(store: Store) -> None:
    store.save_tensors("weights", KEY, tensors_of(1.0), META)
    store.save_tensors("variants", KEY, tensors_of(2.0), META)
    assert weight(store) == 1.0
    assert store.load_tensors("weights", OTHER) is None
    assert store.load_tensors("tokens", KEY) is None


def test_equal_content_gives_an_equal_file(store: Store) -> None:
    first = store.save_tensors("weights", KEY, tensors_of(), META).read_bytes()
    reordered = dict(reversed(tensors_of().items()))
    assert store.save_tensors("weights", KEY, reordered, META).read_bytes() == first


def test_a_look_up_writes_nothing(store: Store) -> None:
    assert weight(store) is None
    assert store.find_result(KEY) is None
    assert store.results() == []
    assert store.model_cards() == []
    assert list(store.entries()) == []
    assert store.size_bytes() == {"local": 0, "shipped": 0}
    assert store.clean() == 0
    assert not store.root.exists()
    assert not store.shipped.exists()


@pytest.mark.parametrize(
    ("kind", "key", "meta", "message"),
    [
        ("../weights", KEY, META, r"'../weights' is no kind of the store; give small letters, digits and _"),
        ("weights", "../../etc/passwd", META, r"'../../etc/passwd' is no key of the store; give 16 hexadecimal digits"),
        ("weights", KEY.upper(), META, r"is no key of the store"),
        ("weights", KEY, {"spec": {}}, rf"meta of weights/{KEY} lacks versions; give spec and versions"),
        ("weights", KEY, {**META, "at": {1}}, r"is not JSON: Object of type set"),
    ],
)
def test_a_bad_name_or_meta_is_refused(store: Store, kind: str, key: str, meta: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        store.save_tensors(kind, key, tensors_of(), meta)
    assert not store.root.exists()


def test_a_write_that_fails_leaves_the_old_entry_and_no_litter(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    path = store.save_tensors("weights", KEY, tensors_of(1.0), META)

    def crash(source: object, target: object) -> None:
        raise OSError("no power")

    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", crash)
        with pytest.raises(OSError, match="no power"):
            store.save_tensors("weights", KEY, tensors_of(2.0), META)
    assert weight(store) == 1.0
    assert list(path.parent.iterdir()) == [path]


def _break_empty(path: Path) -> None:
    path.write_bytes(b"")


def _break_foreign(path: Path) -> None:
    safetensors.torch.save_file(tensors_of(7.0), path, {"format": "pt"})


def _break_foreign_header(path: Path) -> None:
    safetensors.torch.save_file(tensors_of(7.0), path, {"bitdial": "[]"})


def _break_other_entry(path: Path) -> None:
    other = path.with_name(f"{OTHER}.safetensors")
    Store(path.parent.parent).save_tensors("weights", OTHER, tensors_of(7.0), META)
    os.replace(other, path)


BREAKS = {
    break_truncate: "damaged",
    _break_empty: "damaged",
    break_text: "damaged",
    _break_foreign: "another program wrote it",
    _break_foreign_header: "another program wrote it",
    break_other_weights: "does not match its digest",
    _break_other_entry: f"it holds weights/{OTHER}",
}


@pytest.mark.parametrize(("damage", "reason"), BREAKS.items(), ids=lambda value: getattr(value, "__name__", ""))
def test_a_broken_file_is_reported_moved_aside_and_rebuilt(
    store: Store, caplog: pytest.LogCaptureFixture, damage: Any, reason: str
) -> None:
    path = store.save_tensors("weights", KEY, tensors_of(1.0), META)
    damage(path)
    broken = path.read_bytes()
    assert weight(store) is None
    assert [(r.name, r.levelno) for r in caplog.records] == [("bitdial.store", logging.WARNING)]
    assert str(path) in caplog.text
    assert reason in caplog.text
    assert path.with_name(f"{path.name}.corrupt").read_bytes() == broken
    assert not path.exists()
    store.save_tensors("weights", KEY, tensors_of(3.0), META)
    assert weight(store) == 3.0


def test_no_flipped_bit_anywhere_goes_unseen(store: Store) -> None:
    path = store.save_tensors("weights", KEY, {"w": torch.arange(3, dtype=torch.int16)}, META)
    sound = path.read_bytes()
    for position in range(len(sound)):
        flipped = bytearray(sound)
        flipped[position] ^= 1 << position % 8
        path.write_bytes(flipped)
        assert store.load_tensors("weights", KEY) is None, f"byte {position}"


def test_a_broken_local_file_gives_way_to_the_shipped_one(store: Store) -> None:
    fill_shipped(store)
    break_text(store.save_tensors("weights", KEY, tensors_of(2.0), META))
    assert weight(store) == 1.0


def test_a_broken_shipped_file_is_skipped_and_stays(store: Store, caplog: pytest.LogCaptureFixture) -> None:
    fill_shipped(store)
    break_truncate(store.shipped / "weights" / f"{KEY}.safetensors")
    (store.shipped / DATABASE).write_text("garbage " * 1000)
    before = state(store.shipped)
    assert weight(store) is None
    assert store.find_result(KEY) is None
    assert "damaged" in caplog.text
    assert "not a database" in caplog.text
    assert [entry.layer for entry in store.entries()] == []
    assert state(store.shipped) == before
