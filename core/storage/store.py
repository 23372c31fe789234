"""The artifact store: what was computed once is read back instead of computed again.

An entry is named by a kind and by the fingerprint of everything that decides it. There are two layers of
the same layout: `local` takes every write, `shipped` comes with the repository and is only read. A look-up
asks local first. Each layer is a folder:

    weights/00af31c2d4e5b697.safetensors    tensors, one folder for each kind
    results.sqlite                          tables `evaluations` and `models`, made to be queried by hand

Nothing is trusted unchecked: a broken file is reported, moved aside and counts as missing, so that the
caller makes it again. Local needs a local disk: SQLite's write-ahead log does not work over a network.
"""

import json
import re
import stat
from collections.abc import Collection, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import sqlalchemy as sql
import torch

from core import runtime
from core.errors import InputError
from core.storage.artifacts import (
    BrokenError,
    Row,
    json_fault,
    move_aside,
    open_tensors,
    pack_tensors,
    report,
    unpack_tensors,
    write_file,
)
from core.storage.database import EVALUATIONS, JSON_TYPES, MODELS, TABLES, Database, Layer, build_database, condition

Form = Literal["tensors", "row"]
LAYERS: tuple[Layer, ...] = ("local", "shipped")
DATABASE = "results.sqlite"
SUFFIX = ".safetensors"
REQUIRED_META = ("spec", "versions")


@dataclass(frozen=True)
class Entry:
    """One line of a listing: `bytes` is the size of the file, or of the row as JSON.

    `meta` is what a tensor file's header says, its content unchecked, or a row's columns without the JSON ones.
    """

    kind: str
    key: str
    form: Form
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
        if fault := json_fault(meta):
            raise InputError(f"meta of {kind}/{key} {fault}")
        write_file(path, pack_tensors(kind, key, tensors, meta))
        return path

    def load_tensors(self, kind: str, key: str) -> tuple[dict[str, torch.Tensor], Row] | None:
        """Return (tensors on the CPU, meta), or None if no layer has a sound entry.

        Raises InputError for a bad kind or key.
        """
        found = self._load("local", kind, key)
        return self._load("shipped", kind, key) if found is None else found

    def has_tensors(self, kind: str, key: str) -> bool:
        """Say whether a layer has a file of that name; its content is checked when it is loaded."""
        return any(_tensor_path(self._folder(layer), kind, key).is_file() for layer in LAYERS)

    def size_bytes_of(self, kind: str, key: str) -> int:
        """Return the bytes of one tensor file. Raises InputError if no layer has it."""
        paths = (_tensor_path(self._folder(layer), kind, key) for layer in LAYERS)
        if (size := next((path.stat().st_size for path in paths if path.is_file()), None)) is None:
            raise InputError(f"the store has no {kind}/{key}; choose one that it lists")
        return size

    def keys(self, kind: str) -> list[str]:
        """Return the keys of all tensor files of a kind, sorted; their content is checked when they are loaded."""
        folders = (self._folder(layer) / _checked("kind", kind) for layer in LAYERS)
        return sorted({path.stem for folder in folders for path in folder.glob(f"*{SUFFIX}")})

    def save_result(self, row: Row) -> None:
        """Write one row of `evaluations`, replacing the row of that key.

        `created` is now unless given; any other column left out becomes NULL, as does NaN.
        Raises InputError that names every unknown column, missing value and wrong type.
        """
        self._database("local").save(EVALUATIONS, row)

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
        self._database("local").save(MODELS, row)

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
            for table in TABLES:
                yield from (_row_entry(table, layer, row) for row in self._database(layer).select(table))

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
        self._database("local").delete([table for table in TABLES if kind in (None, table.name)])
        stale = list(self.root.glob(f"{folder}/*{SUFFIX}*"))
        if kind is None:
            stale += self.root.glob(f"*{DATABASE}.*")
        for path in stale:
            path.unlink(missing_ok=True)
        return before - _size(self.root)

    def ship(self, wanted: Mapping[tuple[str, Form], Collection[str]] | None = None) -> int:
        """Copy local entries, all or the keys wanted of a (kind, form), to the shipped layer; return how many.

        The shipped database is written anew, compact and sorted by key: equal rows give an equal file.
        Nothing else writes to that layer; this is for the command that makes the committed cache.
        Raises InputError for a key that no layer has in that kind and form.
        """
        entries = list(self.entries())
        there = {(entry.kind, entry.form, entry.key) for entry in entries}
        asked = ((kind, form, key) for (kind, form), keys in (wanted or {}).items() for key in keys)
        if absent := sorted({entry[2] for entry in asked if entry not in there}):
            raise InputError(f"no entry has the key {', '.join(absent)}; choose keys that the store lists")
        local = [entry for entry in entries if entry.layer == "local"]
        chosen = [e for e in local if wanted is None or e.key in wanted.get((e.kind, e.form), ())]
        names = {(entry.kind, entry.key) for entry in chosen if entry.form == "row"}
        if names:
            self._ship_rows(names)
        return len(names) + sum(self._ship_tensors(entry) for entry in chosen if entry.form == "tensors")

    def _folder(self, layer: Layer) -> Path:
        return self.root if layer == "local" else self.shipped

    def _database(self, layer: Layer) -> Database:
        return Database(self._folder(layer) / DATABASE, layer)

    def _load(self, layer: Layer, kind: str, key: str) -> tuple[dict[str, torch.Tensor], Row] | None:
        path = _tensor_path(self._folder(layer), kind, key)
        try:
            return unpack_tensors(path, kind, key)
        except FileNotFoundError:
            return None
        except BrokenError as fault:
            report(path, fault)
            if layer == "local":
                move_aside(path)
            return None

    def _find_row(self, table: sql.Table, key: str) -> Row | None:
        found = (row for layer in LAYERS for row in self._database(layer).select(table, table.c.key == key))
        return next(found, None)

    def _rows(self, table: sql.Table, filters: Mapping[str, object]) -> list[Row]:
        conditions = [condition(table, name, value) for name, value in filters.items()]
        local = self._database("local").select(table, *conditions)
        hidden = {row["key"] for row in self._database("local").select(table.c.key)}
        shipped = [row for row in self._database("shipped").select(table, *conditions) if row["key"] not in hidden]
        return sorted(local + shipped, key=lambda row: row["key"])

    def _ship_tensors(self, entry: Entry) -> bool:
        sound = self._load("local", entry.kind, entry.key) is not None
        if sound:
            data = _tensor_path(self.root, entry.kind, entry.key).read_bytes()
            write_file(_tensor_path(self.shipped, entry.kind, entry.key), data)
        return sound

    def _ship_rows(self, names: set[tuple[str, str]]) -> None:
        rows: dict[sql.Table, list[Row]] = {}
        for table in TABLES:
            by_key = {row["key"]: row for row in self._database("shipped").select(table)}
            chosen = [row for row in self._database("local").select(table) if (table.name, row["key"]) in names]
            by_key |= {row["key"]: row for row in chosen}
            rows[table] = [by_key[key] for key in sorted(by_key)]
        build_database(self.shipped / DATABASE, "DELETE", rows)


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


def _tensor_entries(layer: Layer, folder: Path) -> Iterator[Entry]:
    for path in sorted(folder.glob(f"*/*{SUFFIX}")):
        try:
            with open_tensors(path) as (_, header):
                entry = Entry(path.parent.name, path.stem, "tensors", layer, path.stat().st_size, header["meta"])
        except FileNotFoundError:
            continue
        except BrokenError as fault:
            report(path, fault)
            continue
        yield entry


def _row_entry(table: sql.Table, layer: Layer, row: Row) -> Entry:
    meta = {c.name: row[c.name] for c in table.c if c.name != "key" and not isinstance(c.type, JSON_TYPES)}
    return Entry(table.name, row["key"], "row", layer, len(json.dumps(row)), meta)


def _size(folder: Path) -> int:
    """Bytes of the files of a folder; other processes may remove some meanwhile."""
    total = 0
    for path in folder.rglob("*"):
        with suppress(FileNotFoundError):
            status = path.stat()
            total += status.st_size if stat.S_ISREG(status.st_mode) else 0
    return total
