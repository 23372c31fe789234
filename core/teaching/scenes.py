"""What a step of the lesson shows: figures with their sentences, words, a table, and how it was made; or what lacks."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from core.config import FLOAT_BITS
from core.display import curve_words, curves, views
from core.display.curves import Cell, Condition, Shelf
from core.errors import InputError
from core.storage.store import Row

FITTED = Condition("uniform", "fitted", "gpfq", "conditional")
FEW_BITS = 3


@dataclass(frozen=True)
class Panel:
    """A figure under its key, a heading or "", and the sentence that says what it shows."""

    key: str
    figure: Any
    sentence: str
    heading: str = ""


@dataclass(frozen=True)
class Scene:
    """Panels, sentences and a table to read with them; `html` and `below` are escaped words under headings."""

    made: str
    panels: tuple[Panel, ...] = ()
    facts: tuple[str, ...] = ()
    html: tuple[tuple[str, str], ...] = ()
    below: tuple[tuple[str, str], ...] = ()
    table: tuple[Row, ...] = ()


class LackingError(InputError):
    """The store lacks what a step shows; `commands` compute it."""

    def __init__(self, corpus: str, cells: Sequence[Cell]) -> None:
        self.commands = curve_words.commands(corpus, cells)
        super().__init__(f"This step shows {len(cells)} results that are not in the store. Compute them, then reload:")


def require(shelf: Shelf, cells: Iterable[Cell]) -> list[Row]:
    """Return one row for each of these cells, that of the first draw. Raises LackingError."""
    wanted = list(cells)
    if absent := curves.missing(shelf, wanted):
        raise LackingError(shelf.corpus, absent)
    return [min(shelf.draws(*cell), key=_seeds) for cell in wanted]


def made(*rows: Row) -> str:
    """Return the configuration behind rows, in words, and the versions that they were computed with."""
    texts = dict.fromkeys(views.caption(row) for row in rows)
    versions = dict.fromkeys(", ".join(f"{name} {text}" for name, text in row["versions"].items()) for row in rows)
    return f"{'; '.join(texts)}. Versions: {' or '.join(versions)}."


def width(bits: int) -> str:
    """Write a bit-width in a sentence: "float" or "3 bits"."""
    return "float" if bits == FLOAT_BITS else f"{bits} bits"


def _seeds(row: Row) -> tuple[int, int]:
    return row["calibration_seed"] or 0, row["noise_seed"]
