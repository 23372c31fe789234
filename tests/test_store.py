"""The store keeps what it is given, trusts no file, and never writes to the shipped layer."""

import hashlib
import json
import logging
import multiprocessing
import os
import sqlite3
from contextlib import AbstractContextManager, closing
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch

import core.store
from core.errors import InputError
from core.store import DATABASE, SCHEMA_VERSION, Store

KEY = "0123456789abcdef"
OTHER = "fedcba9876543210"
META = {"spec": {"kind": "generative"}, "versions": {"torch": "2"}}


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "local", tmp_path / "shipped")


def _result(key: str = KEY, **changes: Any) -> dict[str, Any]:
    row = {"key": key, "corpus": "agnews", "model": "generative", "bits": 4, "seed": 0, "accuracy": 0.5}
    return {**row, "spec": {"limit": None}, "versions": {"torch": "2"}, **changes}


def _card(key: str = KEY, **changes: Any) -> dict[str, Any]:
    return {"key": key, "corpus": "agnews", "model": "generative", "spec": {}, "versions": {}, **changes}


def _tensors(value: float = 1.0) -> dict[str, torch.Tensor]:
    return {"weight": torch.full((2, 3), value), "scale": torch.tensor(0.5)}


def _weight(store: Store, key: str = KEY) -> float | None:
    found = store.load_tensors("weights", key)
    return None if found is None else found[0]["weight"][0, 0].item()


def _state(folder: Path) -> dict[str, tuple[str, int]]:
    """Every file of a folder by content and time of change."""
    files = [path for path in folder.rglob("*") if path.is_file()]
    return {
        str(path): (hashlib.sha256(path.read_bytes()).hexdigest(), path.stat().st_mtime_ns) for path in sorted(files)
    }


def _shipped(store: Store) -> None:
    """Fill the shipped layer with one entry of each form, and leave local empty."""
    store.save_tensors("weights", KEY, _tensors(1.0), META)
    store.save_result(_result(accuracy=0.1))
    store.save_model_card(_card(n_train=1))
    store.ship()
    store.clean()


# Tensors


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
    path = store.save_tensors("weights", KEY, _tensors(1.0), META)
    found = store.load_tensors("weights", KEY)
    assert found is not None
    with path.open("r+b") as file:
        file.write(bytes(path.stat().st_size))
    torch.testing.assert_close(found[0], _tensors(1.0))


def test_no_tensors_is_an_entry_too(store: Store) -> None:
    store.save_tensors("tokens", KEY, {}, META)
    assert store.load_tensors("tokens", KEY) == ({}, META)


def test_meta_comes_back_as_json_reads_it(store: Store) -> None:
    store.save_tensors("weights", KEY, _tensors(), {**META, "by_bits": {10: (1, "é"), 2: None}, "loss": 0.1})
    found = store.load_tensors("weights", KEY)
    assert found is not None
    assert found[1] == {**META, "by_bits": {"10": [1, "é"], "2": None}, "loss": 0.1}


def test_kinds_and_keys_are_apart_and_a_missing_entry_is_none(store: Store) -> None:
    store.save_tensors("weights", KEY, _tensors(1.0), META)
    store.save_tensors("variants", KEY, _tensors(2.0), META)
    assert _weight(store) == 1.0
    assert store.load_tensors("weights", OTHER) is None
    assert store.load_tensors("tokens", KEY) is None


def test_equal_content_gives_an_equal_file(store: Store) -> None:
    first = store.save_tensors("weights", KEY, _tensors(), META).read_bytes()
    reordered = dict(reversed(_tensors().items()))
    assert store.save_tensors("weights", KEY, reordered, META).read_bytes() == first


def test_a_look_up_writes_nothing(store: Store) -> None:
    assert _weight(store) is None
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
        store.save_tensors(kind, key, _tensors(), meta)
    assert not store.root.exists()


def test_a_write_that_fails_leaves_the_old_entry_and_no_litter(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    path = store.save_tensors("weights", KEY, _tensors(1.0), META)

    def crash(source: object, target: object) -> None:
        raise OSError("no power")

    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", crash)
        with pytest.raises(OSError, match="no power"):
            store.save_tensors("weights", KEY, _tensors(2.0), META)
    assert _weight(store) == 1.0
    assert list(path.parent.iterdir()) == [path]


def _break_truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1])


def _break_empty(path: Path) -> None:
    path.write_bytes(b"")


def _break_text(path: Path) -> None:
    path.write_text("these are not the weights you are looking for")


def _break_foreign(path: Path) -> None:
    safetensors.torch.save_file(_tensors(7.0), path, {"format": "pt"})


def _break_foreign_header(path: Path) -> None:
    safetensors.torch.save_file(_tensors(7.0), path, {"bitdial": "[]"})


def _break_other_weights(path: Path) -> None:
    """Sound tensors under the header of others."""
    with safetensors.safe_open(path, "pt") as file:
        header = file.metadata()
    safetensors.torch.save_file(_tensors(7.0), path, header)


def _break_other_entry(path: Path) -> None:
    other = path.with_name(f"{OTHER}.safetensors")
    Store(path.parent.parent).save_tensors("weights", OTHER, _tensors(7.0), META)
    os.replace(other, path)


BREAKS = {
    _break_truncate: "damaged",
    _break_empty: "damaged",
    _break_text: "damaged",
    _break_foreign: "another program wrote it",
    _break_foreign_header: "another program wrote it",
    _break_other_weights: "does not match its digest",
    _break_other_entry: f"it holds weights/{OTHER}",
}


@pytest.mark.parametrize(("damage", "reason"), BREAKS.items(), ids=lambda value: getattr(value, "__name__", ""))
def test_a_broken_file_is_reported_moved_aside_and_rebuilt(
    store: Store, caplog: pytest.LogCaptureFixture, damage: Any, reason: str
) -> None:
    path = store.save_tensors("weights", KEY, _tensors(1.0), META)
    damage(path)
    broken = path.read_bytes()
    assert _weight(store) is None
    assert [(r.name, r.levelno) for r in caplog.records] == [("bitdial.store", logging.WARNING)]
    assert str(path) in caplog.text
    assert reason in caplog.text
    assert path.with_name(f"{path.name}.corrupt").read_bytes() == broken
    assert not path.exists()
    store.save_tensors("weights", KEY, _tensors(3.0), META)
    assert _weight(store) == 3.0


def test_no_flipped_bit_anywhere_goes_unseen(store: Store) -> None:
    path = store.save_tensors("weights", KEY, {"w": torch.arange(3, dtype=torch.int16)}, META)
    sound = path.read_bytes()
    for position in range(len(sound)):
        flipped = bytearray(sound)
        flipped[position] ^= 1 << position % 8
        path.write_bytes(flipped)
        assert store.load_tensors("weights", KEY) is None, f"byte {position}"


def test_a_broken_local_file_gives_way_to_the_shipped_one(store: Store) -> None:
    _shipped(store)
    _break_text(store.save_tensors("weights", KEY, _tensors(2.0), META))
    assert _weight(store) == 1.0


def test_a_broken_shipped_file_is_skipped_and_stays(store: Store, caplog: pytest.LogCaptureFixture) -> None:
    _shipped(store)
    _break_truncate(store.shipped / "weights" / f"{KEY}.safetensors")
    (store.shipped / DATABASE).write_text("garbage " * 1000)
    before = _state(store.shipped)
    assert _weight(store) is None
    assert store.find_result(KEY) is None
    assert "damaged" in caplog.text
    assert "not a database" in caplog.text
    assert [entry.layer for entry in store.entries()] == []
    assert _state(store.shipped) == before


# Results


def test_a_result_comes_back_with_every_column(store: Store) -> None:
    detail = {"confusion": [[3, 1], [0, 4]], "per_class": {"world": 0.75}}
    store.save_result(_result(detail=detail, lstm_variance=1.5, calibration="classes:world,sport"))
    row = store.find_result(KEY)
    assert row is not None
    expected = {**_result(), "detail": detail, "lstm_variance": 1.5, "calibration": "classes:world,sport"}
    assert {name: row[name] for name in expected} == expected
    assert row["head"] is None
    assert row["created"].endswith("+00:00")


def test_saving_again_replaces_the_whole_row(store: Store) -> None:
    store.save_result(_result(head="gpfq", accuracy=0.5))
    store.save_result(_result(accuracy=0.6))
    [row] = store.results()
    assert (row["accuracy"], row["head"]) == (0.6, None)


def test_filters_pick_the_rows_that_a_plain_loop_picks(store: Store) -> None:
    rows = [
        _result(f"{bits:08x}{seed:08x}", bits=bits, preset=None if bits == 32 else "uniform", seed=seed)
        for bits in (32, 8, 3)
        for seed in (0, 1)
    ]
    for row in rows:
        store.save_result(row)
    cases: list[dict[str, Any]] = [
        {},
        {"bits": 8},
        {"bits": (8, 32), "seed": 1},
        {"preset": None},
        {"preset": [None, "uniform"]},
        {"preset": {"paper-code", None}},
        {"bits": ()},
    ]
    for filters in cases:
        allowed = {n: v if isinstance(v, tuple | list | set) else [v] for n, v in filters.items()}
        expected = sorted(row["key"] for row in rows if all(row[n] in values for n, values in allowed.items()))
        assert [row["key"] for row in store.results(**filters)] == expected, filters


@pytest.mark.parametrize(
    ("filters", "message"),
    [
        ({"bit": 3}, r"cannot filter evaluations: column 'bit' is not known; choose one of: key, corpus, model, bits"),
        ({"bit": ()}, r"column 'bit' is not known"),
        ({"bits": "3"}, r"column 'bits' takes int, not str '3'"),
        ({"bits": (3, torch.tensor(4))}, r"column 'bits' takes int, not Tensor"),
    ],
)
def test_a_bad_filter_is_refused(store: Store, filters: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        store.results(**filters)


def test_every_fault_of_a_row_is_named_at_once(store: Store) -> None:
    row = {**_result(acuracy=0.9, n="many", detail={"at": {1}}), "spec": None}
    with pytest.raises(InputError) as caught:
        store.save_result(row)
    message = str(caught.value)
    assert message.startswith("cannot save this row of evaluations: column 'acuracy' is not known; choose one of: key,")
    assert "column 'n' takes int, not str 'many'" in message
    assert "column 'detail' is not JSON" in message
    assert message.endswith("spec must have a value")
    assert "\n" not in message
    assert store.results() == []


def test_model_cards_are_a_table_of_their_own(store: Store) -> None:
    store.save_model_card(_card(history=[{"epoch": 1, "loss": 2.5}], n_train=96000))
    card = store.find_model_card(KEY)
    assert card is not None
    assert card["history"] == [{"epoch": 1, "loss": 2.5}]
    assert store.model_cards(n_train=96000) == [card]
    assert store.model_cards(n_train=1) == []
    assert store.find_result(KEY) is None
    with pytest.raises(InputError, match="cannot filter models: column 'bits' is not known"):
        store.model_cards(bits=4)


def test_results_can_be_queried_by_hand(store: Store) -> None:
    store.save_result(_result(detail={"ks": 0.25}))
    with closing(sqlite3.connect(store.root / DATABASE)) as connection:
        query = "SELECT model, bits, accuracy, json_extract(detail, '$.ks') FROM evaluations WHERE corpus = 'agnews'"
        assert connection.execute(query).fetchall() == [("generative", 4, 0.5, 0.25)]
        assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
        assert connection.execute("PRAGMA user_version").fetchone() == (SCHEMA_VERSION,)


def _damage_garbage(path: Path) -> None:
    path.write_text("garbage " * 1000)


def _damage_truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def _damage_empty(path: Path) -> None:
    path.write_bytes(b"")


def _damage_version(path: Path) -> None:
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA user_version = 99")
    connection.close()


DAMAGES = {
    _damage_garbage: "file is not a database",
    _damage_truncate: "malformed",
    _damage_empty: "its schema has version 0",
    _damage_version: f"its schema has version 99, this program reads version {SCHEMA_VERSION}",
}


@pytest.mark.parametrize("saving_first", [False, True])
@pytest.mark.parametrize(("damage", "reason"), DAMAGES.items(), ids=lambda value: getattr(value, "__name__", ""))
def test_a_broken_database_is_reported_moved_aside_and_rebuilt(
    store: Store, caplog: pytest.LogCaptureFixture, damage: Any, reason: str, saving_first: bool
) -> None:
    store.save_result(_result(OTHER, detail={"long": "x" * 9000}))
    path = store.root / DATABASE
    damage(path)
    broken = path.read_bytes()
    if not saving_first:
        assert store.find_result(OTHER) is None
    store.save_result(_result())
    assert [row["key"] for row in store.results()] == [KEY]
    assert [(r.name, r.levelno) for r in caplog.records] == [("bitdial.store", logging.WARNING)]
    assert str(path) in caplog.text
    assert reason in caplog.text
    assert path.with_name(f"{DATABASE}.corrupt").read_bytes() == broken


def _save_many(root: Path, writer: int, count: int) -> None:
    store = Store(root, root.parent / "shipped")
    for number in range(count):
        store.save_result(_result(f"{writer:08x}{number:08x}", seed=writer, detail={"number": number}))


def _read_until_full(root: Path, full: int) -> None:
    store = Store(root, root.parent / "shipped")
    seen = 0
    while seen < full:
        rows = store.results()
        assert all(row["detail"] == {"number": int(row["key"][8:], 16)} for row in rows)
        assert len(rows) >= seen
        seen = len(rows)


def test_four_processes_write_while_one_reads(store: Store) -> None:
    store.root.mkdir()
    _damage_garbage(store.root / DATABASE)
    spawn = multiprocessing.get_context("spawn")
    writers = [spawn.Process(target=_save_many, args=(store.root, writer, 50)) for writer in range(4)]
    reader = spawn.Process(target=_read_until_full, args=(store.root, 200), daemon=True)
    for process in [*writers, reader]:
        process.start()
    for process in writers:
        process.join()
    assert [process.exitcode for process in writers] == [0] * 4
    assert [row["key"] for row in store.results()] == [f"{w:08x}{n:08x}" for w in range(4) for n in range(50)]
    reader.join()
    assert reader.exitcode == 0


def test_a_database_that_another_process_has_rebuilt_is_kept(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    store.root.mkdir()
    _damage_garbage(store.root / DATABASE)
    lock = core.store._lock

    def late(path: Path) -> AbstractContextManager[None]:
        monkeypatch.setattr(core.store, "_lock", lock)
        Store(store.root, store.shipped).save_result(_result(OTHER))
        return lock(path)

    monkeypatch.setattr(core.store, "_lock", late)
    store.save_result(_result())
    assert [row["key"] for row in store.results()] == [KEY, OTHER]


def test_the_lock_keeps_others_out_until_it_ends(tmp_path: Path) -> None:
    with closing(sqlite3.connect(tmp_path / "results.lock", timeout=0)) as other:
        with core.store._lock(tmp_path / DATABASE), pytest.raises(sqlite3.OperationalError, match="locked"):
            other.execute("BEGIN EXCLUSIVE")
        other.execute("BEGIN EXCLUSIVE")


def test_a_forked_child_shares_the_store(store: Store) -> None:
    store.save_result(_result(OTHER))
    child = multiprocessing.get_context("fork").Process(target=store.save_result, args=(_result(),))
    child.start()
    child.join()
    assert child.exitcode == 0
    assert len(store.results()) == 2


# Layers


def test_the_default_layers_lie_in_the_cache_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BITDIAL_CACHE", str(tmp_path))
    store = Store()
    assert (store.root, store.shipped) == (tmp_path / "local", tmp_path / "shipped")


def test_local_wins_over_shipped(store: Store) -> None:
    _shipped(store)
    store.save_result(_result(OTHER))
    assert _weight(store) == 1.0
    assert [(r["key"], r["accuracy"]) for r in store.results()] == [(KEY, 0.1), (OTHER, 0.5)]
    store.save_tensors("weights", KEY, _tensors(2.0), META)
    store.save_result(_result(accuracy=0.2))
    found = store.find_result(KEY)
    assert found is not None
    assert (_weight(store), found["accuracy"]) == (2.0, 0.2)
    assert [(r["key"], r["accuracy"]) for r in store.results()] == [(KEY, 0.2), (OTHER, 0.5)]
    assert store.results(accuracy=0.1) == []


def test_nothing_but_ship_touches_the_shipped_layer(store: Store) -> None:
    _shipped(store)
    before = _state(store.shipped)
    folders = [store.shipped, *(path for path in store.shipped.rglob("*") if path.is_dir())]
    for folder in folders:
        folder.chmod(0o555)
    try:
        assert _weight(store) == 1.0
        assert store.find_result(KEY) is not None
        assert len(store.results()) == len(store.model_cards()) == 1
        assert len(list(store.entries())) == 3
        store.save_tensors("weights", KEY, _tensors(2.0), META)
        store.save_result(_result())
        store.save_model_card(_card())
        store.clean()
        assert _state(store.shipped) == before
    finally:
        for folder in folders:
            folder.chmod(0o755)


def test_an_open_shipped_database_has_no_files_beside_it_and_takes_no_write(store: Store) -> None:
    _shipped(store)
    path = store.shipped / DATABASE
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA journal_mode = WAL")
    before = _state(store.shipped)
    with closing(core.store._connect(path, "shipped")) as connection:
        assert connection.execute("SELECT key FROM evaluations").fetchall() == [(KEY,)]
        assert _state(store.shipped) == before
        with pytest.raises(sqlite3.OperationalError, match="readonly"):
            connection.execute("DELETE FROM evaluations")


def test_a_path_with_odd_characters_works(tmp_path: Path) -> None:
    store = Store(tmp_path / "a b?c#d%41" / "local", tmp_path / "a b?c#d%41" / "shipped")
    _shipped(store)
    store.save_result(_result(OTHER))
    assert [row["key"] for row in store.results()] == [KEY, OTHER]


def test_clean_removes_one_kind_and_says_what_it_freed(store: Store) -> None:
    path = store.save_tensors("weights", KEY, _tensors(), META)
    store.save_tensors("variants", KEY, _tensors(), META)
    store.save_result(_result(detail={"long": "x" * 50_000}))
    store.save_model_card(_card())
    size = path.stat().st_size
    assert store.clean("weights") == size
    assert store.clean("weights") == 0
    assert store.clean("evaluations") > 40_000
    assert [(entry.kind, entry.form) for entry in store.entries()] == [("variants", "tensors"), ("models", "row")]
    with pytest.raises(InputError, match="is no kind of the store"):
        store.clean("../variants")


def test_clean_removes_all_that_is_local_and_only_that(store: Store) -> None:
    _shipped(store)
    before = _state(store.shipped)
    _break_text(store.save_tensors("weights", OTHER, _tensors(), META))
    _weight(store, OTHER)
    store.save_tensors("weights", KEY, _tensors(2.0), META)
    store.save_result(_result(accuracy=0.9))
    _damage_garbage(store.root / DATABASE)
    store.find_result(KEY)
    mine = store.root / "notes.txt"
    mine.write_text("not an artifact")
    size = store.size_bytes()["local"]
    assert store.clean() == size - store.size_bytes()["local"] > 0
    assert not [p for p in store.root.rglob("*") if p.is_file() and p.name not in (mine.name, "results.lock", DATABASE)]
    assert mine.exists()
    assert {entry.layer for entry in store.entries()} == {"shipped"}
    assert _state(store.shipped) == before
    assert _weight(store) == 1.0


def test_entries_list_both_layers(store: Store, caplog: pytest.LogCaptureFixture) -> None:
    _shipped(store)
    path = store.save_tensors("variants", KEY, _tensors(), META)
    _break_text(store.save_tensors("variants", OTHER, _tensors(), META))
    for key in (OTHER, KEY):
        store.save_model_card(_card(key, created="2026-01-01T00:00:00+00:00"))
    entries = list(store.entries())
    assert [(e.layer, e.kind, e.key, e.form) for e in entries] == [
        ("local", "variants", KEY, "tensors"),
        ("local", "models", KEY, "row"),
        ("local", "models", OTHER, "row"),
        ("shipped", "weights", KEY, "tensors"),
        ("shipped", "evaluations", KEY, "row"),
        ("shipped", "models", KEY, "row"),
    ]
    assert (entries[0].bytes, entries[0].meta) == (path.stat().st_size, META)
    assert entries[1].meta == {
        "corpus": "agnews",
        "model": "generative",
        "n_train": None,
        "seconds": None,
        "created": "2026-01-01T00:00:00+00:00",
    }
    assert f"{OTHER}.safetensors is not used" in caplog.text


def test_size_bytes_is_the_sum_of_the_files(store: Store) -> None:
    _shipped(store)
    store.save_tensors("weights", KEY, _tensors(), META)
    store.save_result(_result())
    sizes = {
        folder.name: sum(len(Path(parent, name).read_bytes()) for parent, _, names in os.walk(folder) for name in names)
        for folder in (store.root, store.shipped)
    }
    assert store.size_bytes() == sizes


def test_ship_copies_what_is_chosen_and_keeps_what_was_shipped(store: Store) -> None:
    _shipped(store)
    for key in (OTHER, "00000000000000aa"):
        store.save_tensors("weights", key, _tensors(), META)
        store.save_tensors("checkpoints", key, _tensors(), META)
        store.save_result(_result(key))
    assert store.ship(kinds={"weights", "evaluations"}, keys={OTHER, KEY}) == 2
    store.clean()
    assert [(e.kind, e.key) for e in store.entries()] == [
        ("weights", KEY),
        ("weights", OTHER),
        ("evaluations", KEY),
        ("evaluations", OTHER),
        ("models", KEY),
    ]
    with pytest.raises(InputError, match="no entry has the key 00000000000000aa; choose keys that the store lists"):
        store.ship(keys=["00000000000000aa"])


def test_ship_leaves_out_a_file_that_is_damaged_inside(store: Store, caplog: pytest.LogCaptureFixture) -> None:
    _break_other_weights(store.save_tensors("weights", KEY, _tensors(), META))
    assert store.ship() == 0
    assert "does not match its digest" in caplog.text
    assert store.size_bytes()["shipped"] == 0


def test_shipped_files_are_compact_and_the_same_however_they_came(tmp_path: Path) -> None:
    states = []
    for name, keys in (("a", [KEY, OTHER]), ("b", [OTHER, KEY])):
        store = Store(tmp_path / name / "local", tmp_path / name / "shipped")
        for key in keys:
            store.save_tensors("weights", key, _tensors(), META)
            store.save_result(_result(key, created="2026-01-01T00:00:00+00:00", detail={"long": "x" * 20_000}))
            store.ship()
        states.append({p.name: p.read_bytes() for p in store.shipped.rglob("*") if p.is_file()})
    assert states[0] == states[1]
    assert sorted(states[0]) == [f"{KEY}.safetensors", f"{OTHER}.safetensors", DATABASE]
    uri = f"{(store.shipped / DATABASE).as_uri()}?mode=ro&immutable=1"
    assert states[0][DATABASE][18:20] == b"\1\1"  # SQLite's file format: 1 is a rollback journal, 2 a write-ahead log
    with closing(sqlite3.connect(uri, uri=True)) as connection:
        assert connection.execute("PRAGMA freelist_count").fetchone() == (0,)
        [detail] = connection.execute("SELECT detail FROM evaluations WHERE key = ?", (KEY,)).fetchone()
    assert json.loads(detail) == {"long": "x" * 20_000}
