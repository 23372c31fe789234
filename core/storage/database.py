"""The tables of results and models in SQLite, made to be queried by hand; rows are checked before they are written."""

import json
import sqlite3
import zlib
from collections.abc import Collection, Iterator, Mapping
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal

import sqlalchemy as sql

from core.errors import InputError
from core.storage.artifacts import BrokenError, Row, json_fault, move_aside, replacing, report

Layer = Literal["local", "shipped"]

SCHEMA_VERSION = 1
BUSY_TIMEOUT_S = 60
REQUIRED_COLUMNS = ("key", "corpus", "model", "bits", "seed", "spec", "versions", "created")


class CompressedJson(sql.types.TypeDecorator[Any]):
    """JSON as zlib's bytes, a third of its text, which is read too: rows had it once."""

    impl = sql.LargeBinary
    cache_ok = True

    def process_bind_param(self, value: Any, dialect: sql.Dialect) -> bytes | None:
        return None if value is None else zlib.compress(json.dumps(value).encode(), level=9)

    def process_result_value(self, value: Any, dialect: sql.Dialect) -> Any:
        text = zlib.decompress(value) if isinstance(value, bytes) else value
        return None if text is None else json.loads(text)


JSON_TYPES = (sql.JSON, CompressedJson)
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
    *_columns(dict, "spec", "versions"),
    sql.Column("detail", CompressedJson),
)
MODELS = sql.Table(
    "models",
    _tables,
    *_columns(str, "key", "corpus", "model"),
    *_columns(int, "seed", "n_train"),
    *_columns(float, "seconds"),
    *_columns(str, "created"),
    *_columns(dict, "spec", "history", "versions"),
)
TABLES = tuple(_tables.sorted_tables)


class Database:
    """The tables of one layer; a missing or broken file reads as empty. Holds nothing but the path."""

    def __init__(self, path: Path, layer: Layer) -> None:
        self.path, self.layer = path, layer

    def save(self, table: sql.Table, row: Row) -> None:
        """Write one row, replacing the row of its key; `created` is now unless given.

        Raises InputError that names every unknown column, missing value and wrong type.
        """
        row = {"created": datetime.now(UTC).isoformat(timespec="seconds"), **row}
        faults = [fault for name, value in row.items() if (fault := _value_fault(table, name, value))]
        if lacking := [c.name for c in table.c if not c.nullable and row.get(c.name) is None]:
            faults.append(f"{', '.join(lacking)} must have a value")
        if faults:
            raise InputError(f"cannot save this row of {table.name}: {'; '.join(faults)}")
        complete = {column.name: row.get(column.name) for column in table.c}
        self._execute(sql.insert(table).prefix_with("OR REPLACE").values(complete))

    def select(self, what: sql.Table | sql.Column[Any], *conditions: sql.ColumnElement[bool]) -> list[Row]:
        """Return rows sorted by key, JSON columns decoded."""
        if not self.path.exists():
            return []
        try:
            with _as_fault(), _engine(self.path, self.layer).connect() as connection:
                rows = connection.execute(sql.select(what).where(*conditions).order_by("key")).mappings()
                return [dict(row) for row in rows]
        except BrokenError as fault:
            self._reject(fault)
            return []

    def delete(self, tables: Collection[sql.Table]) -> None:
        """Remove all rows of these tables and give their space back."""
        if tables and self.path.exists():
            for table in tables:
                self._execute(sql.delete(table))
            with closing(_connect(self.path, self.layer)) as connection:
                connection.execute("VACUUM")

    def _execute(self, statement: sql.Executable) -> None:
        _ensure_database(self.path)
        try:
            with _as_fault(), _engine(self.path, self.layer).begin() as connection:
                connection.execute(statement)
        except BrokenError as fault:
            self._reject(fault)
            _ensure_database(self.path)
            with _engine(self.path, self.layer).begin() as connection:
                connection.execute(statement)

    def _reject(self, fault: Exception) -> None:
        """Report a broken database; move a local one aside unless another process has just done so."""
        if self.layer == "shipped":
            return report(self.path, fault)
        with _lock(self.path):
            if still := _database_fault(self.path):
                report(self.path, still)
                move_aside(self.path)


def condition(table: sql.Table, name: str, value: object) -> sql.ColumnElement[bool]:
    """Return the filter of a column by a value, None for NULL, or a tuple, list or set of values.

    Raises InputError for an unknown column or a value of a wrong type.
    """
    values = list(value) if isinstance(value, tuple | list | set) else [value]
    if faults := [fault for v in values or [None] if (fault := _value_fault(table, name, v))]:
        raise InputError(f"cannot filter {table.name}: {faults[0]}")
    column = table.c[name]
    some = column.in_([v for v in values if v is not None])
    return some | column.is_(None) if None in values else some


def build_database(path: Path, journal: Literal["WAL", "DELETE"], rows: Mapping[sql.Table, list[Row]]) -> None:
    """Put a whole database in place, so that nobody ever opens one that is half made."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as temporary:
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


def _value_fault(table: sql.Table, name: str, value: object) -> str | None:
    """Say what is wrong with a value of a column, None if nothing is."""
    if name not in table.c:
        return f"column {name!r} is not known; choose one of: {', '.join(table.c.keys())}"
    kind = table.c[name].type
    if isinstance(kind, JSON_TYPES):
        allowed: tuple[type, ...] = (dict, list)
    else:
        allowed = (int, float) if kind.python_type is float else (kind.python_type,)
    if value is not None and not isinstance(value, allowed):
        words = " or ".join(t.__name__ for t in allowed)
        return f"column {name!r} takes {words}, not {type(value).__name__} {value!r}"
    fault = json_fault(value)
    return fault and f"column {name!r} {fault}"


@lru_cache
def _engine(path: Path, layer: Layer) -> sql.Engine:
    return sql.create_engine("sqlite://", creator=lambda: _connect(path, layer), poolclass=sql.NullPool)


def _connect(path: Path, layer: Layer) -> sqlite3.Connection:
    """Open a database that exists, a shipped one so that nothing beside it is written. Raises BrokenError."""
    mode = "mode=rw" if layer == "local" else "mode=ro&immutable=1"
    uri = f"{path.resolve().as_uri()}?{mode}"
    try:
        connection = sqlite3.connect(uri, timeout=BUSY_TIMEOUT_S, uri=True)
    except sqlite3.OperationalError as error:
        if not path.exists():
            raise BrokenError("another process has moved it aside") from error
        connection = sqlite3.connect(uri, timeout=BUSY_TIMEOUT_S, uri=True)  # it may have been rebuilt just now
    try:
        with _as_fault():
            version = connection.execute("PRAGMA user_version").fetchone()[0]
        if version != SCHEMA_VERSION:
            raise BrokenError(f"its schema has version {version}, this program reads version {SCHEMA_VERSION}")
    except BaseException:
        connection.close()
        raise
    return connection


@contextmanager
def _as_fault() -> Iterator[None]:
    """Turn SQLite's "not a database" and "malformed" into BrokenError; pass its other errors, which are subclasses."""
    try:
        yield
    except (sqlite3.DatabaseError, sql.exc.DatabaseError) as error:
        if type(error) not in (sqlite3.DatabaseError, sql.exc.DatabaseError):
            raise
        raise BrokenError(str(getattr(error, "orig", error))) from error


def _database_fault(path: Path) -> BrokenError | None:
    if not path.exists():
        return None
    try:
        with closing(_connect(path, "local")) as connection, _as_fault():
            verdict = connection.execute("PRAGMA integrity_check").fetchone()[0]
    except BrokenError as fault:
        return fault
    return None if verdict == "ok" else BrokenError(verdict)


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
                build_database(path, "WAL", {})
