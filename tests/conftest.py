"""Settings and fixtures of every test."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from browser import FLAGS, MISSING, ROOT, complaints, find_chromium, serve
from hypothesis import settings
from playwright.sync_api import Browser, Page, sync_playwright

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


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """A headless Chromium. Without one its tests are skipped; under CI=true they fail."""
    path = find_chromium()
    if path is None:
        (pytest.fail if os.environ.get("CI") == "true" else pytest.skip)(MISSING)
    with sync_playwright() as playwright:
        yield playwright.chromium.launch(executable_path=path, args=FLAGS)


@pytest.fixture(scope="session")
def app_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of the running app."""
    with serve(ROOT / "app.py", tmp_path_factory.mktemp("server") / "streamlit.log") as address:
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
