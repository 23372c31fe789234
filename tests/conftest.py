"""Settings and fixtures of every test."""

import os
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from browser import FLAGS, LIMIT_MS, MISSING, ROOT, complaints, find_chromium, lay_out_clone, serve
from hypothesis import settings
from playwright.sync_api import Browser, Page, expect, sync_playwright

if TYPE_CHECKING:  # what imports torch is imported by the fixtures, see below
    from command_line import Run
    from compared import Place

    from core.display.curves import Shelf

# One thread, before torch is imported: the test models are too small to gain from more, and idle threads spin.
os.environ.setdefault("OMP_NUM_THREADS", "1")

# Optional corpora beside the checkout; the tests that need one are skipped where it is not there.
CORPORA = ROOT.parent / "shared" / "data"
if CORPORA.is_dir():
    os.environ.setdefault("BITDIAL_DATA_DIR", str(CORPORA))

settings.register_profile("bitdial", deadline=None, derandomize=True)
settings.load_profile("bitdial")

# Console errors that are not ours, each with its reason.
ALLOWED_COMPLAINTS: tuple[str, ...] = ()


@pytest.fixture(scope="module", autouse=True)
def _settings_stay() -> Iterator[None]:
    """A module leaves Bitdial's settings as it found them; one that did not sent later tests to another store."""
    before = {name: value for name, value in os.environ.items() if name.startswith("BITDIAL_")}
    yield
    assert {name: value for name, value in os.environ.items() if name.startswith("BITDIAL_")} == before


@pytest.fixture
def tmp_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty artifact folder in place of cache/."""
    monkeypatch.setenv("BITDIAL_CACHE", str(tmp_path))
    return tmp_path


@pytest.fixture(scope="module")
def _shipped() -> Iterator[None]:
    """The repository's own store, for the tests of a module that read what is shipped."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("BITDIAL_CACHE", str(ROOT / "cache"))
        yield


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The corpus file of a workplace whose store the tests of a module share."""
    from tiny import workplace

    with workplace(tmp_path_factory.mktemp("workplace")) as path:
        yield str(path)


@pytest.fixture
def own(tmp_path: Path) -> Iterator[str]:
    """The corpus file of a workplace of one test's own."""
    from tiny import workplace

    with workplace(tmp_path) as path:
        yield str(path)


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """How often each computation is started."""
    from tiny import computations

    return computations(monkeypatch)


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> "Run":
    """The command line."""
    from command_line import command_line

    return command_line(capsys)


@pytest.fixture
def place(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> "Place":
    """A small store with results of both models, to be read."""
    import compared

    return compared.use(tmp_path_factory, monkeypatch)


@pytest.fixture
def copy(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> "Place":
    """A copy of that store, to be changed."""
    import compared

    return compared.use_copy(tmp_path_factory, monkeypatch, tmp_path)


@pytest.fixture(scope="session")
def shipped(clone: Path) -> "Shelf":
    """The curves of the results that come with the repository."""
    from core.display import curves

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("BITDIAL_CACHE", str(clone))
        return curves.read("reuters-r8")


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """A headless Chromium. Without one its tests are skipped; under CI=true they fail."""
    path = find_chromium()
    if path is None:
        (pytest.fail if os.environ.get("CI") == "true" else pytest.skip)(MISSING)
    expect.set_options(timeout=LIMIT_MS)
    with sync_playwright() as playwright:
        yield playwright.chromium.launch(executable_path=path, args=FLAGS)


@pytest.fixture(scope="session")
def clone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An artifact folder as in a fresh clone: the shipped results and the fetched corpus, nothing local."""
    return lay_out_clone(tmp_path_factory.mktemp("clone"))


@pytest.fixture
def in_clone(clone: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The store of a fresh clone in place of cache/."""
    monkeypatch.setenv("BITDIAL_CACHE", str(clone))


@pytest.fixture(scope="session")
def app_server(clone: Path) -> Iterator[str]:
    """The address of the running app on the store of a fresh clone."""
    with serve(ROOT / "app.py", clone / "streamlit.log", BITDIAL_CACHE=str(clone)) as address:
        yield address


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    """A fresh 1440 x 900 page; the test fails if it logged an error or asked another machine for anything."""
    context = browser.new_context(viewport={"width": 1440, "height": 900})
    page = context.new_page()
    found = complaints(page)
    yield page
    context.close()
    assert [text for text in found if not any(allowed in text for allowed in ALLOWED_COMPLAINTS)] == []
