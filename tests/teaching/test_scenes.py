"""What a step needs of the store: found rows, or the commands that make them."""

import compared
import pytest
import tiny
from compared import Place

from core.config import FLOAT_BITS
from core.display import curves
from core.display.curves import Cell, Condition
from core.storage.store import Store
from core.teaching import scenes

QUICK = Condition("uniform", tiny.QUICK["ranges"], tiny.QUICK["head"], "conditional")
CELLS: list[Cell] = [("generative", None, FLOAT_BITS, 0.0), ("discriminative", QUICK, 3, 0.0)]


@pytest.fixture
def place(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Place:
    return compared.use(tmp_path_factory, monkeypatch)


def test_stored_cells_give_their_rows_in_order(place: Place) -> None:
    rows = scenes.require(curves.read(place.corpus), CELLS)
    assert [(row["model"], row["bits"]) for row in rows] == [("generative", FLOAT_BITS), ("discriminative", 3)]


def test_the_first_draw_stands_for_several(place: Place) -> None:
    shelf = curves.read(place.corpus)
    (row,) = scenes.require(shelf, CELLS[1:])
    later = row | {"calibration_seed": 1, "key": "f" * 16}
    assert scenes.require(curves.Shelf(shelf.corpus, (later, row)), CELLS[1:]) == [row]


def test_what_lacks_is_counted_and_has_commands(place: Place) -> None:
    cells: list[Cell] = [*CELLS, ("generative", QUICK, 3, 0.1)]
    with pytest.raises(scenes.LackingError, match="1 results that are not in the store") as lack:
        scenes.require(curves.read(place.corpus), cells)
    (command,) = lack.value.commands
    assert command.startswith("python -m core sweep")
    assert "--bits 3" in command
    assert "--noise 0.1" in command


def test_made_names_every_configuration_and_version_once(place: Place) -> None:
    row = Store().results(corpus=place.corpus)[0]
    text = scenes.made(row, row)
    assert text.count(place.corpus) == 1
    assert all(f"{name} {version}" in text for name, version in row["versions"].items())
    assert [scenes.width(bits) for bits in (FLOAT_BITS, 3)] == ["float", "3 bits"]
