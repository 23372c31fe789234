"""What the browser tests stand on: a Chromium, the running app, and an eye on what a page complains about.

Run as a script it installs Debian's chromium if none is found and apt-get may be used.
"""

import ast
import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

from playwright.sync_api import Page

ROOT = Path(__file__).parent.parent
NAMES = ("chromium", "chromium-browser", "google-chrome")
PACKAGES = ("chromium", "fonts-dejavu-core", "fonts-liberation")
FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
MISSING = "no Chromium here: install one, or name one in BITDIAL_CHROMIUM"
LOCAL_HOSTS = ("localhost", "127.0.0.1", "::1")
START_LIMIT_S = 120
LIMIT_MS = 30_000  # how long a page may take to show what is waited for


def find_chromium() -> str | None:
    """Return the program named by `BITDIAL_CHROMIUM`, else the first known one on PATH, else None."""
    named = os.environ.get("BITDIAL_CHROMIUM")
    if named and not shutil.which(named):
        raise FileNotFoundError(f"BITDIAL_CHROMIUM={named!r} is no program; name an installed Chromium or unset it")
    return next(filter(None, map(shutil.which, [named] if named else NAMES)), None)


def install_chromium() -> None:
    """Install Debian's chromium with fonts, where apt-get is there and may be used; say so where not."""
    administrator = _administrator()
    if administrator is None:
        print("Chromium cannot be installed here: that needs apt-get, as root or with a passwordless sudo")
        return
    apt_get = [*administrator, "env", "DEBIAN_FRONTEND=noninteractive", "apt-get", "-qq"]
    subprocess.run([*apt_get, "update"], check=False)
    subprocess.run([*apt_get, "install", "--yes", "--no-install-recommends", *PACKAGES], check=False)


def page_paths(source: str | None = None) -> list[str]:
    """The addresses of the pages that a navigation script declares, by default app.py; the landing page's first."""
    source = (ROOT / "app.py").read_text() if source is None else source
    calls = [node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Call)]
    pages = [call.keywords for call in calls if ast.unparse(call.func) == "st.Page"]
    return ["", *(str(ast.literal_eval(word.value)) for words in pages for word in words if word.arg == "url_path")]


@contextmanager
def serve(script: Path, log: Path, **environment: str) -> Iterator[str]:
    """Run a Streamlit script from the repository's root with more environment variables; yield its address.

    Raises RuntimeError with the end of the log if the server does not come up.
    """
    port = _free_port()
    command = [sys.executable, "-m", "streamlit", "run", str(script), f"--server.port={port}", "--server.headless=true"]
    with log.open("wb") as output:
        process = subprocess.Popen(
            command, cwd=ROOT, env={**os.environ, **environment}, stdout=output, stderr=subprocess.STDOUT
        )
    try:
        _wait_until_healthy(process, f"http://localhost:{port}", log)
        yield f"http://localhost:{port}"
    finally:
        _stop(process)


def lay_out_clone(folder: Path) -> Path:
    """Make of `folder` the artifact folder of a fresh clone with its corpora fetched; return it."""
    for name in ("shipped", "corpora"):
        (folder / name).symlink_to(ROOT / "cache" / name)
    return folder


def complaints(page: Page) -> list[str]:
    """Return a list that grows by every console error, uncaught error and request to another machine of `page`."""
    found: list[str] = []
    page.on("console", lambda message: found.append(f"console: {message.text}") if message.type == "error" else None)
    page.on("pageerror", lambda error: found.append(f"uncaught: {error}"))
    page.on("request", lambda request: found.append(f"asks for {request.url}") if _is_foreign(request.url) else None)
    return found


def _is_foreign(url: str) -> bool:
    parts = urlsplit(url)
    return parts.scheme in ("http", "https", "ws", "wss") and parts.hostname not in LOCAL_HOSTS


def _administrator() -> list[str] | None:
    """Return what to put before an administrator's command, None if apt-get cannot be used."""
    if not shutil.which("apt-get"):
        return None
    if os.geteuid() == 0:
        return []
    sudo = shutil.which("sudo")
    passwordless = sudo and subprocess.run([sudo, "-n", "true"], capture_output=True).returncode == 0
    return [sudo, "-n"] if sudo and passwordless else None


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def _wait_until_healthy(process: subprocess.Popen[bytes], address: str, log: Path) -> None:
    deadline = time.monotonic() + START_LIMIT_S
    while time.monotonic() < deadline and process.poll() is None:
        try:
            urllib.request.urlopen(f"{address}/_stcore/health", timeout=5).close()
            return
        except (urllib.error.URLError, TimeoutError, ConnectionError):
            time.sleep(0.2)
    raise RuntimeError("the app did not come up; the end of its log:\n" + log.read_text(errors="replace")[-3000:])


def _stop(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(10)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


if __name__ == "__main__":
    if not find_chromium():
        install_chromium()
    print(find_chromium() or f"{MISSING}; the browser tests will be skipped")
