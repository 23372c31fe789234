"""Which base is chosen and what is loaded, without a network."""

import socket
from pathlib import Path

import pytest
import torch
import transformers_tiny

from core.errors import InputError
from core.transformers import bases
from core.transformers.transformer_config import Shape

CLASSES = ("a", "b", "c")


@pytest.fixture
def offline(monkeypatch: pytest.MonkeyPatch) -> None:
    """The hub gives nothing, and nothing may open a connection."""
    monkeypatch.setattr(bases, "hub_revision", lambda repository: None)
    monkeypatch.setattr(socket.socket, "connect", lambda *_: pytest.fail("a connection was opened"))


@pytest.mark.parametrize(
    ("kind", "origin", "words"), [("bert", "wheel", "MiniLM"), ("gpt2", "scratch", "from scratch")]
)
@pytest.mark.usefixtures("offline")
def test_offline_bases_say_what_they_are(kind: str, origin: str, words: str) -> None:
    spec = bases.choose(kind)  # type: ignore[arg-type]
    assert spec.origin == origin
    assert words in bases.words(spec)
    assert bases.HUB_BASES[spec.kind] not in bases.words(spec)


def test_the_reports_model_is_the_default_where_the_hub_has_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bases, "hub_revision", lambda repository: "c0ffee")
    spec = bases.choose("bert")
    assert (spec.origin, spec.base, spec.revision) == ("hub", "google-bert/bert-base-uncased", "c0ffee")
    assert bases.choose("bert", "minilm").origin == "wheel"


@pytest.mark.usefixtures("offline")
def test_a_base_that_cannot_be_had_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="base 'no/such' is no folder, and neither the hub nor its local cache has it"):
        bases.choose("bert", "no/such")
    with pytest.raises(InputError, match="base 'minilm' is no gpt2; choose scratch"):
        bases.choose("gpt2", "minilm")
    with pytest.raises(InputError, match="holds no model; give a folder"):
        bases.choose("bert", str(tmp_path))


@pytest.mark.usefixtures("offline")
def test_a_folder_is_loaded_with_a_new_head_and_its_own_tokenizer(tmp_path: Path) -> None:
    folder = transformers_tiny.write_bert(tmp_path / "bert")
    spec = bases.choose("bert", str(folder))
    base = bases.load(spec, CLASSES, [])
    assert base.tokenizer.encode("zinc").tokens == ["[CLS]", "zinc", "[SEP]"]
    again = bases.build(bases.configuration(base.model))
    again.load_state_dict(base.model.state_dict())
    ids = torch.tensor([[2, 5, 3]])
    assert base.model.eval()(ids).logits.shape == (1, 3)
    assert torch.equal(again.eval()(ids).logits, base.model(ids).logits)


@pytest.mark.usefixtures("offline")
def test_a_folder_that_changed_is_refused(tmp_path: Path) -> None:
    folder = transformers_tiny.write_bert(tmp_path / "bert")
    spec = bases.choose("bert", str(folder))
    (folder / "tokenizer.json").write_text("{}")
    with pytest.raises(InputError, match="has changed"):
        bases.load(spec, CLASSES, [])


@pytest.mark.usefixtures("offline")
def test_a_folder_without_some_weights_is_refused(tmp_path: Path) -> None:
    import safetensors.torch

    folder = transformers_tiny.write_bert(tmp_path / "bert")
    tensors = safetensors.torch.load_file(folder / "model.safetensors")
    tensors.pop("bert.encoder.layer.0.output.dense.weight")
    safetensors.torch.save_file(tensors, folder / "model.safetensors", {"format": "pt"})
    with pytest.raises(InputError, match=r"lacks weights of its architecture \(bert.encoder.layer.0.output.dense"):
        bases.load(bases.choose("bert", str(folder)), CLASSES, [])


def test_from_scratch_has_its_shape_and_pads_with_id_0() -> None:
    shape = Shape(layers=2, width=24, heads=3, vocabulary_size=300)
    base = bases.load(bases.choose("gpt2", "scratch", shape), CLASSES, ["wheat and barley"] * 3)
    config = base.model.config
    assert (config.n_layer, config.n_embd, config.n_head, config.num_labels) == (2, 24, 3, 3)
    assert config.pad_token_id == 0
    assert config.vocab_size == base.tokenizer.get_vocab_size() <= 300
