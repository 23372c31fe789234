"""The store looks in local first, and never writes to the shipped layer."""

import json
import os
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from stored import (
    KEY,
    META,
    OTHER,
    break_other_weights,
    break_text,
    card,
    damage_garbage,
    fill_shipped,
    result,
    state,
    tensors_of,
    weight,
)

import core.storage.database
from core.errors import InputError
from core.storage.store import DATABASE, Store


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "local", tmp_path / "shipped")


def test_the_default_layers_lie_in_the_cache_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BITDIAL_CACHE", str(tmp_path))
    store = Store()
    assert (store.root, store.shipped) == (tmp_path / "local", tmp_path / "shipped")


def test_local_wins_over_shipped(store: Store) -> None:
    fill_shipped(store)
    store.save_result(result(OTHER))
    assert weight(store) == 1.0
    assert [(r["key"], r["accuracy"]) for r in store.results()] == [(KEY, 0.1), (OTHER, 0.5)]
    store.save_tensors("weights", KEY, tensors_of(2.0), META)
    store.save_result(result(accuracy=0.2))
    found = store.find_result(KEY)
    assert found is not None
    assert (weight(store), found["accuracy"]) == (2.0, 0.2)
    assert [(r["key"], r["accuracy"]) for r in store.results()] == [(KEY, 0.2), (OTHER, 0.5)]
    assert store.results(accuracy=0.1) == []


def test_nothing_but_ship_touches_the_shipped_layer(store: Store) -> None:
    fill_shipped(store)
    before = state(store.shipped)
    folders = [store.shipped, *(path for path in store.shipped.rglob("*") if path.is_dir())]
    for folder in folders:
        folder.chmod(0o555)
    try:
        assert weight(store) == 1.0
        assert store.find_result(KEY) is not None
        assert len(store.results()) == len(store.model_cards()) == 1
        assert len(list(store.entries())) == 3
        store.save_tensors("weights", KEY, tensors_of(2.0), META)
        store.save_result(result())
        store.save_model_card(card())
        store.clean()
        assert state(store.shipped) == before
    finally:
        for folder in folders:
            folder.chmod(0o755)


def test_an_open_shipped_database_has_no_files_beside_it_and_takes_no_write(store: Store) -> None:
    fill_shipped(store)
    path = store.shipped / DATABASE
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA journal_mode = WAL")
    before = state(store.shipped)
    with closing(core.storage.database._connect(path, "shipped")) as connection:
        assert connection.execute("SELECT key FROM evaluations").fetchall() == [(KEY,)]
        assert state(store.shipped) == before
        with pytest.raises(sqlite3.OperationalError, match="readonly"):
            connection.execute("DELETE FROM evaluations")


def test_a_path_with_odd_characters_works(tmp_path: Path) -> None:
    store = Store(tmp_path / "a b?c#d%41" / "local", tmp_path / "a b?c#d%41" / "shipped")
    fill_shipped(store)
    store.save_result(result(OTHER))
    assert [row["key"] for row in store.results()] == [KEY, OTHER]


def test_clean_removes_one_kind_and_says_what_it_freed(store: Store) -> None:
    path = store.save_tensors("weights", KEY, tensors_of(), META)
    store.save_tensors("variants", KEY, tensors_of(), META)
    store.save_result(result(spec={"long": "x" * 50_000}))
    store.save_model_card(card())
    size = path.stat().st_size
    assert store.clean("weights") == size
    assert store.clean("weights") == 0
    assert store.clean("evaluations") > 40_000
    assert [(entry.kind, entry.form) for entry in store.entries()] == [("variants", "tensors"), ("models", "row")]
    with pytest.raises(InputError, match="is no kind of the store"):
        store.clean("../variants")


def test_clean_removes_all_that_is_local_and_only_that(store: Store) -> None:
    fill_shipped(store)
    before = state(store.shipped)
    break_text(store.save_tensors("weights", OTHER, tensors_of(), META))
    weight(store, OTHER)
    store.save_tensors("weights", KEY, tensors_of(2.0), META)
    store.save_result(result(accuracy=0.9))
    damage_garbage(store.root / DATABASE)
    store.find_result(KEY)
    mine = store.root / "notes.txt"
    mine.write_text("not an artifact")
    size = store.size_bytes()["local"]
    assert store.clean() == size - store.size_bytes()["local"] > 0
    assert not [p for p in store.root.rglob("*") if p.is_file() and p.name not in (mine.name, "results.lock", DATABASE)]
    assert mine.exists()
    assert {entry.layer for entry in store.entries()} == {"shipped"}
    assert state(store.shipped) == before
    assert weight(store) == 1.0


def test_entries_list_both_layers(store: Store, caplog: pytest.LogCaptureFixture) -> None:
    fill_shipped(store)
    path = store.save_tensors("variants", KEY, tensors_of(), META)
    break_text(store.save_tensors("variants", OTHER, tensors_of(), META))
    for key in (OTHER, KEY):
        store.save_model_card(card(key, created="2026-01-01T00:00:00+00:00"))
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
        "seed": 0,
        "n_train": None,
        "seconds": None,
        "created": "2026-01-01T00:00:00+00:00",
    }
    assert f"{OTHER}.safetensors is not used" in caplog.text


def test_size_bytes_is_the_sum_of_the_files(store: Store) -> None:
    fill_shipped(store)
    store.save_tensors("weights", KEY, tensors_of(), META)
    store.save_result(result())
    sizes = {
        folder.name: sum(len(Path(parent, name).read_bytes()) for parent, _, names in os.walk(folder) for name in names)
        for folder in (store.root, store.shipped)
    }
    assert store.size_bytes() == sizes


def test_a_file_that_goes_while_the_store_is_listed_is_left_out(store: Store) -> None:
    path = store.save_tensors("weights", KEY, tensors_of(), META)
    path.with_name(f"{OTHER}.safetensors").symlink_to("gone")
    assert [entry.key for entry in store.entries()] == [KEY]
    assert store.size_bytes()["local"] == path.stat().st_size
    assert store.load_tensors("weights", OTHER) is None


def test_ship_copies_what_is_chosen_and_keeps_what_was_shipped(store: Store) -> None:
    fill_shipped(store)
    for key in (OTHER, "00000000000000aa"):
        store.save_tensors("weights", key, tensors_of(), META)
        store.save_tensors("checkpoints", key, tensors_of(), META)
        store.save_result(result(key))
    assert store.ship({("weights", "tensors"): {OTHER, KEY}, ("evaluations", "row"): {OTHER, KEY}}) == 2
    store.clean()
    assert [(e.kind, e.key) for e in store.entries()] == [
        ("weights", KEY),
        ("weights", OTHER),
        ("evaluations", KEY),
        ("evaluations", OTHER),
        ("models", KEY),
    ]
    with pytest.raises(InputError, match="no entry has the key 00000000000000aa; choose keys that the store lists"):
        store.ship({("weights", "tensors"): ["00000000000000aa"]})


def test_a_lost_file_is_not_shipped_unnoticed(store: Store) -> None:
    store.save_result(result(KEY))
    with pytest.raises(InputError, match=f"no entry has the key {KEY}"):
        store.ship({("evaluations", "row"): {KEY}, ("evaluations", "tensors"): {KEY}})


def test_ship_takes_rows_without_their_arrays(store: Store) -> None:
    store.save_tensors("evaluations", KEY, tensors_of(), META)
    store.save_result(result(KEY))
    assert store.ship({("evaluations", "row"): {KEY}}) == 1
    store.clean()
    assert store.find_result(KEY)
    assert store.load_tensors("evaluations", KEY) is None


def test_ship_leaves_out_a_file_that_is_damaged_inside(store: Store, caplog: pytest.LogCaptureFixture) -> None:
    break_other_weights(store.save_tensors("weights", KEY, tensors_of(), META))
    assert store.ship() == 0
    assert "does not match its digest" in caplog.text
    assert store.size_bytes()["shipped"] == 0


def test_shipped_files_are_compact_and_the_same_however_they_came(tmp_path: Path) -> None:
    states = []
    for name, keys in (("a", [KEY, OTHER]), ("b", [OTHER, KEY])):
        store = Store(tmp_path / name / "local", tmp_path / name / "shipped")
        for key in keys:
            store.save_tensors("weights", key, tensors_of(), META)
            store.save_result(result(key, created="2026-01-01T00:00:00+00:00", spec={"long": "x" * 20_000}))
            store.ship()
        states.append({p.name: p.read_bytes() for p in store.shipped.rglob("*") if p.is_file()})
    assert states[0] == states[1]
    assert sorted(states[0]) == [f"{KEY}.safetensors", f"{OTHER}.safetensors", DATABASE]
    uri = f"{(store.shipped / DATABASE).as_uri()}?mode=ro&immutable=1"
    assert states[0][DATABASE][18:20] == b"\1\1"  # SQLite's file format: 1 is a rollback journal, 2 a write-ahead log
    with closing(sqlite3.connect(uri, uri=True)) as connection:
        assert connection.execute("PRAGMA freelist_count").fetchone() == (0,)
        [spec] = connection.execute("SELECT spec FROM evaluations WHERE key = ?", (KEY,)).fetchone()
    assert json.loads(spec) == {"long": "x" * 20_000}


def test_keys_are_those_of_a_kind_in_both_layers(store: Store) -> None:
    fill_shipped(store)
    store.save_tensors("weights", OTHER, tensors_of(), META)
    store.save_tensors("variants", "00000000000000aa", tensors_of(), META)
    assert store.keys("weights") == [KEY, OTHER]
    assert store.keys("tokens") == []
    with pytest.raises(InputError, match="is no kind of the store"):
        store.keys("../weights")
