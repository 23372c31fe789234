"""Rows come back as they were, from many processes at once, and a broken database is rebuilt."""

import json
import logging
import multiprocessing
import sqlite3
import zlib
from contextlib import AbstractContextManager, closing
from pathlib import Path
from typing import Any

import pytest
import torch
from stored import KEY, OTHER, card, damage_garbage, result

import core.storage.database
from core.errors import InputError
from core.storage.database import SCHEMA_VERSION
from core.storage.store import DATABASE, Store


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "local", tmp_path / "shipped")


def test_a_result_comes_back_with_every_column(store: Store) -> None:
    detail = {"confusion": [[3, 1], [0, 4]], "per_class": {"world": 0.75}}
    store.save_result(result(detail=detail, lstm_variance=1.5, calibration="classes:world,sport"))
    row = store.find_result(KEY)
    assert row is not None
    expected = {**result(), "detail": detail, "lstm_variance": 1.5, "calibration": "classes:world,sport"}
    assert {name: row[name] for name in expected} == expected
    assert row["head"] is None
    assert row["created"].endswith("+00:00")


def test_saving_again_replaces_the_whole_row(store: Store) -> None:
    store.save_result(result(head="gpfq", accuracy=0.5))
    store.save_result(result(accuracy=0.6))
    [row] = store.results()
    assert (row["accuracy"], row["head"]) == (0.6, None)


def test_filters_pick_the_rows_that_a_plain_loop_picks(store: Store) -> None:
    rows = [
        result(f"{bits:08x}{seed:08x}", bits=bits, preset=None if bits == 32 else "uniform", seed=seed)
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
    row = {**result(acuracy=0.9, n="many", detail={"at": {1}}), "spec": None}
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
    store.save_model_card(card(history=[{"epoch": 1, "loss": 2.5}], n_train=96000))
    found = store.find_model_card(KEY)
    assert found is not None
    assert found["history"] == [{"epoch": 1, "loss": 2.5}]
    assert store.model_cards(n_train=96000) == [found]
    assert store.model_cards(n_train=1) == []
    assert store.find_result(KEY) is None
    with pytest.raises(InputError, match="cannot filter models: column 'bits' is not known"):
        store.model_cards(bits=4)


def test_results_can_be_queried_by_hand(store: Store) -> None:
    store.save_result(result(spec={"limit": 7}, detail={"ks": 0.25}))
    with closing(sqlite3.connect(store.root / DATABASE)) as connection:
        query = "SELECT model, bits, accuracy, json_extract(spec, '$.limit'), detail FROM evaluations"
        [(*values, detail)] = connection.execute(query)
        assert values == ["generative", 4, 0.5, 7]
        assert json.loads(zlib.decompress(detail)) == {"ks": 0.25}
        assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
        assert connection.execute("PRAGMA user_version").fetchone() == (SCHEMA_VERSION,)


@pytest.mark.parametrize("detail", [None, {}, {"note": "Grüße, 日本", "ks": [0.1, 1e-300, None, True]}])
def test_detail_is_compressed_and_the_text_of_older_rows_still_read(store: Store, detail: Any) -> None:
    store.save_result(result(detail=detail))
    store.save_result(result(OTHER))
    text = None if detail is None else json.dumps(detail)
    with closing(sqlite3.connect(store.root / DATABASE)) as connection, connection:
        connection.execute("UPDATE evaluations SET detail = ? WHERE key = ?", (text, OTHER))
    assert [row["detail"] for row in store.results()] == [detail, detail]


def test_a_long_detail_takes_less_than_half_its_text(store: Store) -> None:
    detail = {
        "density": [round(1 / (n + 1), 6) for n in range(500)],
        "per_class": [{"precision": n / 7} for n in range(9)],
    }
    store.save_result(result(detail=detail))
    with closing(sqlite3.connect(store.root / DATABASE)) as connection:
        [(size,)] = connection.execute("SELECT length(detail) FROM evaluations")
    assert size < len(json.dumps(detail)) / 2


def _damage_truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def _damage_empty(path: Path) -> None:
    path.write_bytes(b"")


def _damage_version(path: Path) -> None:
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA user_version = 99")
    connection.close()


DAMAGES = {
    damage_garbage: "file is not a database",
    _damage_truncate: "malformed",
    _damage_empty: "its schema has version 0",
    _damage_version: f"its schema has version 99, this program reads version {SCHEMA_VERSION}",
}


@pytest.mark.parametrize("saving_first", [False, True])
@pytest.mark.parametrize(("damage", "reason"), DAMAGES.items(), ids=lambda value: getattr(value, "__name__", ""))
def test_a_broken_database_is_reported_moved_aside_and_rebuilt(
    store: Store, caplog: pytest.LogCaptureFixture, damage: Any, reason: str, saving_first: bool
) -> None:
    store.save_result(result(OTHER, detail={"long": "x" * 9000}))
    path = store.root / DATABASE
    damage(path)
    broken = path.read_bytes()
    if not saving_first:
        assert store.find_result(OTHER) is None
    store.save_result(result())
    assert [row["key"] for row in store.results()] == [KEY]
    assert [(r.name, r.levelno) for r in caplog.records] == [("bitdial.store", logging.WARNING)]
    assert str(path) in caplog.text
    assert reason in caplog.text
    assert path.with_name(f"{DATABASE}.corrupt").read_bytes() == broken


def _save_many(root: Path, writer: int, count: int) -> None:
    store = Store(root, root.parent / "shipped")
    for number in range(count):
        store.save_result(result(f"{writer:08x}{number:08x}", seed=writer, detail={"number": number}))


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
    damage_garbage(store.root / DATABASE)
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


def test_a_database_that_appears_while_it_is_opened_is_used(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    store.save_result(result())
    path, connect = store.root / DATABASE, sqlite3.connect
    aside = path.rename(path.with_suffix(".aside"))

    def late(*args: object, **kwargs: object) -> sqlite3.Connection:
        monkeypatch.setattr(sqlite3, "connect", connect)
        try:
            return connect(*args, **kwargs)  # type: ignore[call-overload,no-any-return]
        finally:
            aside.rename(path)

    monkeypatch.setattr(sqlite3, "connect", late)
    with closing(core.storage.database._connect(path, "local")) as connection:
        assert connection.execute("SELECT key FROM evaluations").fetchall() == [(KEY,)]


def test_a_database_that_another_process_has_rebuilt_is_kept(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    store.root.mkdir()
    damage_garbage(store.root / DATABASE)
    lock = core.storage.database._lock

    def late(path: Path) -> AbstractContextManager[None]:
        monkeypatch.setattr(core.storage.database, "_lock", lock)
        Store(store.root, store.shipped).save_result(result(OTHER))
        return lock(path)

    monkeypatch.setattr(core.storage.database, "_lock", late)
    store.save_result(result())
    assert [row["key"] for row in store.results()] == [KEY, OTHER]


def test_the_lock_keeps_others_out_until_it_ends(tmp_path: Path) -> None:
    with closing(sqlite3.connect(tmp_path / "results.lock", timeout=0)) as other:
        with core.storage.database._lock(tmp_path / DATABASE), pytest.raises(sqlite3.OperationalError, match="locked"):
            other.execute("BEGIN EXCLUSIVE")
        other.execute("BEGIN EXCLUSIVE")


def test_a_forked_child_shares_the_store(store: Store) -> None:
    store.save_result(result(OTHER))
    child = multiprocessing.get_context("fork").Process(target=store.save_result, args=(result(),))
    child.start()
    child.join()
    assert child.exitcode == 0
    assert len(store.results()) == 2
