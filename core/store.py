"""The artifact store: what was computed once is read back instead of computed again.

An entry is named by a kind and by the fingerprint of everything that decides it. There are two layers of
the same layout: `local` takes every write, `shipped` comes with the repository and is only read. A look-up
asks local first. Each layer is a folder:

    weights/00af31c2d4e5b697.safetensors    tensors, one folder for each kind
    results.sqlite                          tables `evaluations` and `models`, made to be queried by hand

Nothing is trusted unchecked: a broken file is reported, moved aside and counts as missing, so that the
caller makes it again. Local needs a local disk: SQLite's write-ahead log does not work over a network.
"""

import hashlib
import json
import logging
import os
import re
import sqlite3
import uuid
from collections.abc import Collection, Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal

import safetensors.torch
import sqlalchemy as sql
import torch

from core import runtime
from core.errors import InputError

Layer = Literal["local", "shipped"]
Row = dict[str, Any]

LAYERS: tuple[Layer, ...] = ("local", "shipped")
SCHEMA_VERSION = 1
DATABASE = "results.sqlite"
SUFFIX = ".safetensors"
BUSY_TIMEOUT_S = 60
REQUIRED_META = ("spec", "versions")
REQUIRED_COLUMNS = ("key", "corpus", "model", "bits", "seed", "spec", "versions", "created")

_log = logging.getLogger("bitdial.store")
_tables = sql.MetaData()


_sql_types: dict[type, sql.types.TypeEngine[Any]] = {
    str: sql.Text(),
    int: sql.Integer(),
    float: sql.Float(),
    dict: sql.JSON(none_as_null=True),
}


def _columns(kind: type, *names: str) -> list[sql.Column[Any]]:
    sql_type = _sql_types[kind]
    return [sql.Column(n, sql_type, primary_key=n == "key", nullable=n not in REQUIRED_COLUMNS) for n in names]


EVALUATIONS = sql.Table(
    "evaluations",
    _tables,
    *_columns(str, "key", "corpus", "model"),
    *_columns(int, "bits"),
    *_columns(str, "preset", "head", "ranges", "calibration"),
    *_columns(int, "calibration_seed"),
    *_columns(float, "noise"),
    *_columns(int, "noise_seed", "seed"),
    *_columns(str, "split"),
    *_columns(int, "test_limit", "n", "correct"),
    *_columns(float, "accuracy", "accuracy_low", "accuracy_high", "macro_f1", "lstm_variance", "seconds"),
    *_columns(str, "created"),
    *_columns(dict, "spec", "detail", "versions"),
)
MODELS = sql.Table(
    "models",
    _tables,
    *_columns(str, "key", "corpus", "model"),
    *_columns(int, "n_train"),
    *_columns(float, "seconds"),
    *_columns(str, "created"),
    *_columns(dict, "spec", "history", "versions"),
)


@dataclass(frozen=True)
class Entry:
    """One line of a listing: `bytes` is the size of the file, or of the row as JSON.

    `meta` is what a tensor file's header says, its content unchecked, or a row's columns without the JSON ones.
    """

    kind: str
    key: str
    form: Literal["tensors", "row"]
    layer: Layer
    bytes: int
    meta: Row


class Store:
    """Tensors and result rows by fingerprint, in two layers; holds nothing but their two folders.

    `root` is the local layer, `shipped` the read-only one; by default local/ and shipped/ of the cache folder.
    Threads and processes, forked ones too, may share a store: every operation opens its own connection.
    """

    def __init__(self, root: Path | None = None, shipped: Path | None = None) -> None:
        self.root = root or runtime.cache_dir() / "local"
        self.shipped = shipped or runtime.cache_dir() / "shipped"

    def save_tensors(self, kind: str, key: str, tensors: Mapping[str, torch.Tensor], meta: Row) -> Path:
        """Write tensors of any shape, dtype and device with JSON content `meta`; return the file.

        An older entry of that name stays whole until the new one is on disk.
        Raises InputError for a bad kind or key, and for a `meta` that is not JSON or lacks spec or versions.
        """
        path = _tensor_path(self.root, kind, key)
        if lacking := [name for name in REQUIRED_META if name not in meta]:
            raise InputError(f"meta of {kind}/{key} lacks {', '.join(lacking)}; give {' and '.join(REQUIRED_META)}")
        if fault := _json_fault(meta):
            raise InputError(f"meta of {kind}/{key} {fault}")
        _write(path, _pack(kind, key, tensors, meta))
        return path

    def load_tensors(self, kind: str, key: str) -> tuple[dict[str, torch.Tensor], Row] | None:
        """Return (tensors on the CPU, meta), or None if no layer has a sound entry.

        Raises InputError for a bad kind or key.
        """
        found = self._load("local", kind, key)
        return self._load("shipped", kind, key) if found is None else found

    def save_result(self, row: Row) -> None:
        """Write one row of `evaluations`, replacing the row of that key.

        `created` is now unless given; any other column left out becomes NULL, as does NaN.
        Raises InputError that names every unknown column, missing value and wrong type.
        """
        self._save_row(EVALUATIONS, row)

    def find_result(self, key: str) -> Row | None:
        """Return the row of `evaluations` with every column, JSON decoded, or None."""
        return self._find_row(EVALUATIONS, key)

    def results(self, **filters: object) -> list[Row]:
        """Return rows of both layers sorted by key; a local row hides the shipped one of its key.

        A filter is a column with a value, None for NULL, or with a tuple, list or set of such values.
        Raises InputError for an unknown column or a value of a wrong type.
        """
        return self._rows(EVALUATIONS, filters)

    def save_model_card(self, row: Row) -> None:
        """Write one row of `models`; as `save_result`."""
        self._save_row(MODELS, row)

    def find_model_card(self, key: str) -> Row | None:
        """Return the row of `models`; as `find_result`."""
        return self._find_row(MODELS, key)

    def model_cards(self, **filters: object) -> list[Row]:
        """Return rows of `models`; as `results`."""
        return self._rows(MODELS, filters)

    def entries(self) -> Iterator[Entry]:
        """Yield every readable entry: local before shipped, tensors before rows, then by kind and key."""
        for layer in LAYERS:
            yield from _tensor_entries(layer, self._folder(layer))
            for table in _tables.sorted_tables:
                yield from (_row_entry(table, layer, row) for row in self._select(layer, table))

    def size_bytes(self) -> dict[Layer, int]:
        """Return the bytes of each layer's files, those moved aside included."""
        return {layer: _size(self._folder(layer)) for layer in LAYERS}

    def clean(self, kind: str | None = None) -> int:
        """Remove local entries, tensors and rows, of one kind or of all; return the bytes freed on disk.

        Shipped entries stay. A process that is saving tensors meanwhile may fail.
        Raises InputError for a bad kind.
        """
        folder = "*" if kind is None else _checked("kind", kind)
        before = _size(self.root)
        self._delete_rows([table for table in _tables.sorted_tables if kind in (None, table.name)])
        stale = list(self.root.glob(f"{folder}/*{SUFFIX}*"))
        if kind is None:
            stale += self.root.glob(f"*{DATABASE}.*")
        for path in stale:
            path.unlink(missing_ok=True)
        return before - _size(self.root)

    def ship(self, kinds: Collection[str] | None = None, keys: Collection[str] | None = None) -> int:
        """Copy the local entries of these kinds and keys (None: all) to the shipped layer; return how many.

        The shipped database is written anew, compact and sorted by key: equal rows give an equal file.
        Nothing else writes to that layer; this is for the command that makes the committed cache.
        Raises InputError for a key that no layer has.
        """
        entries = list(self.entries())
        if absent := sorted(set(keys or ()) - {entry.key for entry in entries}):
            raise InputError(f"no entry has the key {', '.join(absent)}; choose keys that the store lists")
        chosen = [
            entry
            for entry in entries
            if entry.layer == "local" and (kinds is None or entry.kind in kinds) and (keys is None or entry.key in keys)
        ]
        names = {(entry.kind, entry.key) for entry in chosen if entry.form == "row"}
        if names:
            self._ship_rows(names)
        return len(names) + sum(self._ship_tensors(entry) for entry in chosen if entry.form == "tensors")

    def _folder(self, layer: Layer) -> Path:
        return self.root if layer == "local" else self.shipped

    def _load(self, layer: Layer, kind: str, key: str) -> tuple[dict[str, torch.Tensor], Row] | None:
        path = _tensor_path(self._folder(layer), kind, key)
        try:
            return _unpack(path, kind, key)
        except FileNotFoundError:
            return None
        except _BrokenError as fault:
            _report(path, fault)
            if layer == "local":
                _move_aside(path)
            return None

    def _save_row(self, table: sql.Table, row: Row) -> None:
        row = {"created": datetime.now(UTC).isoformat(timespec="seconds"), **row}
        faults = [fault for name, value in row.items() if (fault := _value_fault(table, name, value))]
        if lacking := [c.name for c in table.c if not c.nullable and row.get(c.name) is None]:
            faults.append(f"{', '.join(lacking)} must have a value")
        if faults:
            raise InputError(f"cannot save this row of {table.name}: {'; '.join(faults)}")
        complete = {column.name: row.get(column.name) for column in table.c}
        self._execute(sql.insert(table).prefix_with("OR REPLACE").values(complete))

    def _find_row(self, table: sql.Table, key: str) -> Row | None:
        found = (row for layer in LAYERS for row in self._select(layer, table, table.c.key == key))
        return next(found, None)

    def _rows(self, table: sql.Table, filters: Mapping[str, object]) -> list[Row]:
        conditions = [_condition(table, name, value) for name, value in filters.items()]
        local = self._select("local", table, *conditions)
        hidden = {row["key"] for row in self._select("local", table.c.key)}
        shipped = [row for row in self._select("shipped", table, *conditions) if row["key"] not in hidden]
        return sorted(local + shipped, key=lambda row: row["key"])

    def _select(
        self, layer: Layer, what: sql.Table | sql.Column[Any], *conditions: sql.ColumnElement[bool]
    ) -> list[Row]:
        """Return rows by key; none if the layer's database is missing or broken."""
        path = self._folder(layer) / DATABASE
        if not path.exists():
            return []
        try:
            with _as_fault(), _engine(path, layer).connect() as connection:
                rows = connection.execute(sql.select(what).where(*conditions).order_by("key")).mappings()
                return [dict(row) for row in rows]
        except _BrokenError as fault:
            self._reject_database(layer, fault)
            return []

    def _execute(self, statement: sql.Executable) -> None:
        path = self.root / DATABASE
        _ensure_database(path)
        try:
            with _as_fault(), _engine(path, "local").begin() as connection:
                connection.execute(statement)
        except _BrokenError as fault:
            self._reject_database("local", fault)
            _ensure_database(path)
            with _engine(path, "local").begin() as connection:
                connection.execute(statement)

    def _delete_rows(self, tables: list[sql.Table]) -> None:
        path = self.root / DATABASE
        if tables and path.exists():
            for table in tables:
                self._execute(sql.delete(table))
            with closing(_connect(path, "local")) as connection:
                connection.execute("VACUUM")

    def _ship_tensors(self, entry: Entry) -> bool:
        sound = self._load("local", entry.kind, entry.key) is not None
        if sound:
            data = _tensor_path(self.root, entry.kind, entry.key).read_bytes()
            _write(_tensor_path(self.shipped, entry.kind, entry.key), data)
        return sound

    def _ship_rows(self, names: set[tuple[str, str]]) -> None:
        rows: dict[sql.Table, list[Row]] = {}
        for table in _tables.sorted_tables:
            by_key = {row["key"]: row for row in self._select("shipped", table)}
            chosen = [row for row in self._select("local", table) if (table.name, row["key"]) in names]
            by_key |= {row["key"]: row for row in chosen}
            rows[table] = [by_key[key] for key in sorted(by_key)]
        _build_database(self.shipped / DATABASE, "DELETE", rows)

    def _reject_database(self, layer: Layer, fault: Exception) -> None:
        """Report a broken database; move a local one aside unless another process has just done so."""
        path = self._folder(layer) / DATABASE
        if layer == "shipped":
            return _report(path, fault)
        with _lock(path):
            if still := _database_fault(path):
                _report(path, still)
                _move_aside(path)


class _BrokenError(Exception):
    """What a stored file has wrong."""


def _report(path: Path, fault: Exception) -> None:
    _log.warning("%s is not used: %s", path, fault)


def _move_aside(path: Path) -> None:
    """Rename to .corrupt, a database with its log; do nothing if the file has gone."""
    for suffix in ("", "-wal", "-shm"):
        with suppress(FileNotFoundError):
            os.replace(f"{path}{suffix}", f"{path}.corrupt{suffix}")


def _size(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def _checked(what: Literal["kind", "key"], text: str) -> str:
    pattern, words = {
        "kind": (r"[a-z][a-z0-9_]*", "small letters, digits and _"),
        "key": (r"[0-9a-f]{16}", "16 hexadecimal digits, a fingerprint"),
    }[what]
    if not re.fullmatch(pattern, text):
        raise InputError(f"{text!r} is no {what} of the store; give {words}")
    return text


def _tensor_path(folder: Path, kind: str, key: str) -> Path:
    return folder / _checked("kind", kind) / f"{_checked('key', key)}{SUFFIX}"


def _json_fault(value: object) -> str | None:
    try:
        json.dumps(value)
    except (TypeError, ValueError) as error:
        return f"is not JSON: {error}"
    return None


def _pack(kind: str, key: str, tensors: Mapping[str, torch.Tensor], meta: Row) -> bytes:
    """One safetensors file; its header holds one text, so that equal content gives equal bytes."""
    own = {n: t.detach().cpu().clone(memory_format=torch.contiguous_format) for n, t in tensors.items()}
    header = {"kind": kind, "key": key, "meta": meta}
    header["digest"] = _digest(own, header)
    return safetensors.torch.save(own, {"bitdial": json.dumps(header)})


def _unpack(path: Path, kind: str, key: str) -> tuple[dict[str, torch.Tensor], Row]:
    """Return (tensors, meta). Raises _BrokenError, FileNotFoundError."""
    with _open_tensors(path) as (file, header):
        tensors = {name: file.get_tensor(name).clone() for name in file.keys()}  # noqa: SIM118
    digest = header.pop("digest", None)
    if (header.get("kind"), header.get("key")) != (kind, key):
        raise _BrokenError(f"it holds {header.get('kind')}/{header.get('key')}")
    if digest != _digest(tensors, header):
        raise _BrokenError("its content does not match its digest")
    return tensors, header["meta"]


@contextmanager
def _open_tensors(path: Path) -> Iterator[tuple[Any, Row]]:
    """Open a file with the header that `_pack` wrote, both unchecked. Raises _BrokenError, FileNotFoundError."""
    try:
        with safetensors.safe_open(path, framework="pt") as file:
            header = json.loads((file.metadata() or {}).get("bitdial", "null"))
            if not isinstance(header, dict) or not isinstance(header.get("meta"), dict):
                raise _BrokenError("another program wrote it")
            yield file, header
    except (safetensors.SafetensorError, ValueError) as error:
        raise _BrokenError(f"it is damaged: {error}") from error


def _digest(tensors: Mapping[str, torch.Tensor], header: Row) -> str:
    """SHA-256 over the header and every tensor's name, dtype, shape and bytes."""
    digest = hashlib.sha256(json.dumps(header).encode())
    for name, tensor in sorted(tensors.items()):
        digest.update(json.dumps([name, str(tensor.dtype), list(tensor.shape)]).encode())
        digest.update(tensor.flatten().view(torch.uint8).numpy().data)
    return digest.hexdigest()


def _write(path: Path, data: bytes) -> None:
    """Put a whole file in place, or leave what was there."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with _replacing(path) as temporary, open(temporary, "xb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


@contextmanager
def _replacing(path: Path) -> Iterator[Path]:
    """Give a free name beside `path`, to be filled: it replaces `path` at the end, or is removed after an error."""
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex}.tmp")
    try:
        yield temporary
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def _tensor_entries(layer: Layer, folder: Path) -> Iterator[Entry]:
    for path in sorted(folder.glob(f"*/*{SUFFIX}")):
        try:
            with _open_tensors(path) as (_, header):
                meta = header["meta"]
        except _BrokenError as fault:
            _report(path, fault)
            continue
        yield Entry(path.parent.name, path.stem, "tensors", layer, path.stat().st_size, meta)


def _row_entry(table: sql.Table, layer: Layer, row: Row) -> Entry:
    meta = {c.name: row[c.name] for c in table.c if c.name != "key" and not isinstance(c.type, sql.JSON)}
    return Entry(table.name, row["key"], "row", layer, len(json.dumps(row)), meta)


def _value_fault(table: sql.Table, name: str, value: object) -> str | None:
    """Say what is wrong with a value of a column, None if nothing is."""
    if name not in table.c:
        return f"column {name!r} is not known; choose one of: {', '.join(table.c.keys())}"
    kind = table.c[name].type
    if isinstance(kind, sql.JSON):
        allowed: tuple[type, ...] = (dict, list)
    else:
        allowed = (int, float) if kind.python_type is float else (kind.python_type,)
    if value is not None and not isinstance(value, allowed):
        words = " or ".join(t.__name__ for t in allowed)
        return f"column {name!r} takes {words}, not {type(value).__name__} {value!r}"
    fault = _json_fault(value)
    return fault and f"column {name!r} {fault}"


def _condition(table: sql.Table, name: str, value: object) -> sql.ColumnElement[bool]:
    values = list(value) if isinstance(value, tuple | list | set) else [value]
    if faults := [fault for v in values or [None] if (fault := _value_fault(table, name, v))]:
        raise InputError(f"cannot filter {table.name}: {faults[0]}")
    column = table.c[name]
    some = column.in_([v for v in values if v is not None])
    return some | column.is_(None) if None in values else some


@lru_cache
def _engine(path: Path, layer: Layer) -> sql.Engine:
    return sql.create_engine("sqlite://", creator=lambda: _connect(path, layer), poolclass=sql.NullPool)


def _connect(path: Path, layer: Layer) -> sqlite3.Connection:
    """Open a database that exists, a shipped one so that nothing beside it is written. Raises _BrokenError."""
    mode = "mode=rw" if layer == "local" else "mode=ro&immutable=1"
    try:
        connection = sqlite3.connect(f"{path.resolve().as_uri()}?{mode}", timeout=BUSY_TIMEOUT_S, uri=True)
    except sqlite3.OperationalError as error:
        if path.exists():
            raise
        raise _BrokenError("another process has moved it aside") from error
    try:
        with _as_fault():
            version = connection.execute("PRAGMA user_version").fetchone()[0]
        if version != SCHEMA_VERSION:
            raise _BrokenError(f"its schema has version {version}, this program reads version {SCHEMA_VERSION}")
    except BaseException:
        connection.close()
        raise
    return connection


@contextmanager
def _as_fault() -> Iterator[None]:
    """Turn SQLite's "not a database" and "malformed" into _BrokenError; pass its other errors, which are subclasses."""
    try:
        yield
    except (sqlite3.DatabaseError, sql.exc.DatabaseError) as error:
        if type(error) not in (sqlite3.DatabaseError, sql.exc.DatabaseError):
            raise
        raise _BrokenError(str(getattr(error, "orig", error))) from error


def _database_fault(path: Path) -> _BrokenError | None:
    if not path.exists():
        return None
    try:
        with closing(_connect(path, "local")) as connection, _as_fault():
            verdict = connection.execute("PRAGMA integrity_check").fetchone()[0]
    except _BrokenError as fault:
        return fault
    return None if verdict == "ok" else _BrokenError(verdict)


@contextmanager
def _lock(path: Path) -> Iterator[None]:
    """Let one process at a time make or remove a database; SQLite's own lock ends with the process."""
    lock = sqlite3.connect(path.with_suffix(".lock"), timeout=BUSY_TIMEOUT_S, isolation_level=None)
    with closing(lock):
        lock.execute("BEGIN EXCLUSIVE")
        yield


def _ensure_database(path: Path) -> None:
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        with _lock(path):
            if not path.exists():
                _build_database(path, "WAL", {})


def _build_database(path: Path, journal: Literal["WAL", "DELETE"], rows: Mapping[sql.Table, list[Row]]) -> None:
    """Put a whole database in place, so that nobody ever opens one that is half made."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with _replacing(path) as temporary:
        engine = sql.create_engine("sqlite://", creator=lambda: sqlite3.connect(temporary), poolclass=sql.NullPool)
        with engine.begin() as connection:
            _tables.create_all(connection)
            for table, content in rows.items():
                if content:
                    connection.execute(sql.insert(table), content)
        with closing(sqlite3.connect(temporary, isolation_level=None)) as raw:
            raw.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")
            raw.execute("VACUUM")
            raw.execute(f"PRAGMA journal_mode = {journal}")
