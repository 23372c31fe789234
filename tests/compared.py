"""A small store with results of both models, made once, for the tests of what the pages show."""

import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from typing import Any

import pytest
import tiny
from browser import ROOT
from streamlit.testing.v1 import AppTest

from core import pipeline
from core.config import BIT_WIDTHS, FLOAT_BITS, MODEL_KINDS, EvaluationSpec, ModelKind, default_run
from core.display import views
from core.storage.store import Store


@dataclass(frozen=True)
class Place:
    """A corpus file and the artifact folder with its results."""

    corpus: str
    cache: Path

    def settings(self, **changes: Any) -> views.Settings:
        """What the page's widgets say at quick settings, which the store has at every bit-width without noise."""
        quick = {"corpus": self.corpus, "bits": 4, "noise": 0.0, "preset": "uniform", "calibration": "conditional"}
        return views.Settings(**{**quick, **tiny.QUICK, **changes})


# Of these settings the store has the discriminative result only.
HALF = {"preset": "paper-code", "bits": 6}


def use(factory: pytest.TempPathFactory, patch: pytest.MonkeyPatch) -> Place:
    """The store, to be read."""
    return _enter(_build(factory.getbasetemp()), patch)


def use_copy(factory: pytest.TempPathFactory, patch: pytest.MonkeyPatch, folder: Path) -> Place:
    """A copy of the store, to be changed."""
    place = _build(factory.getbasetemp())
    return _enter(Place(place.corpus, shutil.copytree(place.cache, folder / "cache")), patch)


def kill_lstm(model: ModelKind, bits: int) -> None:
    """Say in every stored result of a model at `bits` that its LSTM is dead."""
    store = Store()
    for row in store.results(model=model, bits=bits):
        store.save_result(row | {"detail": row["detail"] | {"dead_lstm": True}})


def open_app(place: Place, **query: str) -> AppTest:
    """The landing page at an address with these settings; the rest is quick settings."""
    app = AppTest.from_file(ROOT / "app.py", default_timeout=60)
    app.query_params.update({"corpus": place.corpus, **tiny.QUICK, **query})
    return app.run()


def _enter(place: Place, patch: pytest.MonkeyPatch) -> Place:
    patch.setenv("BITDIAL_CACHE", str(place.cache))
    patch.setenv("BITDIAL_DEVICE", "cpu")
    patch.setattr(pipeline, "default_run", partial(default_run, **tiny.RUN))
    return place


@cache
def _build(base: Path) -> Place:
    folder = base / "compared"
    folder.mkdir()
    with tiny.workplace(folder) as corpus, pytest.MonkeyPatch.context() as patch:
        place = _enter(Place(str(corpus), folder / "cache"), patch)
        for spec in _specs(place):
            pipeline.evaluate(spec)
    return place


def _specs(place: Place) -> Iterator[EvaluationSpec]:
    """Every bit-width at quick settings, the page's own settings at 4 bits, and half of HALF."""
    for model in MODEL_KINDS:
        yield from (place.settings(bits=bits).spec(model) for bits in (FLOAT_BITS, *BIT_WIDTHS))
        yield place.settings(head="gpfq", ranges="fitted").spec(model)
    yield place.settings(**HALF).spec("discriminative")
