"""The Brevitas twins: the same classifiers as graphs of Brevitas layers, and their export to plain tensors.

Two decisions differ from Brevitas's defaults, on purpose:
- the embedding's output is on b-bit levels already, so the LSTM does not quantize its input again. Brevitas
  has one quantizer for input and hidden state, whose range the hidden states dominate (brevitas #1041);
- ranges are parameters that calibration sets, and weight scales are fixed when the weights are loaded, so
  that GPFQ does not move the scale it rounds to.
"""

from typing import Any

import torch
from brevitas.inject.enum import ScalingImplType
from brevitas.nn import QuantEmbedding, QuantIdentity, QuantLinear, QuantLSTM
from brevitas.quant import Int8ActPerTensorFloat, Int8WeightPerTensorFloat, Uint8ActPerTensorFloat
from torch import Tensor, nn

from core.config import Recipe
from core.lstm.models import Classifier, GenerativeLSTM, next_tokens, pool
from core.quantization.engine import GATES, LSTM_SITES, Variant
from core.quantization.levels import Matrix, Quantizer
from core.text.tokens import Batch

CELL_NAMES = {
    **{f"{gate}_accumulator": f"{gate}_acc_quant" for gate in GATES},
    **{f"{gate}_sigmoid": f"{gate}_sigmoid_quant" for gate in ("input", "forget", "output")},
    "cell_tanh": "cell_tanh_quant",
    "cell_state": "cell_state_quant",
    "hidden_tanh": "hidden_state_tanh_quant",
    "hidden_state": "output_quant",
}


class BrevitasTwin(nn.Module):
    """A float classifier's weights in Brevitas layers; without a recipe, in the same layers unquantized.

    Weights are copied strictly: only quantizer state may be missing from the float model's names.
    """

    def __init__(self, model: Classifier, recipe: Recipe | None) -> None:
        super().__init__()
        self.spec, self.recipe, self.generative = model.spec, recipe, isinstance(model, GenerativeLSTM)
        width = recipe.bits.model_dump().get if recipe else lambda site: None
        self.embedding = _embedding(model.embedding, width("embedding_weight"))
        self.lstm = _lstm(model.lstm, recipe)
        head, head_quant = model.head, _weight(width("head_weight"))
        self.head = QuantLinear(head.in_features, head.out_features, bias=True, weight_quant=head_quant)
        self.state_input = QuantIdentity(_activation(width("head_input")))
        if isinstance(model, GenerativeLSTM):
            self.label_embedding = _embedding(model.label_embedding, width("label_weight"))
            self.label_input = QuantIdentity(_activation(width("head_input")))
        _load_strictly(self, model)
        self.eval().to(model.head.weight.device)
        compile_variant(self)  # Brevitas fixes the scale of a weight when it first quantizes it

    def hidden(self, ids: Tensor) -> Tensor:
        """ids (B, T) -> hidden states (B, T, H)."""
        return self.lstm(self.embedding(ids))[0]

    def set_range(self, site: str, largest: float) -> None:
        """Set what an activation site covers: [-largest, largest], or [0, largest] for a sigmoid."""
        self._range(site).data.fill_(largest)

    def quantizer(self, site: str) -> Quantizer:
        """Return a site's quantizer as Brevitas applies it."""
        unsigned = site.endswith("_sigmoid")
        scale, bits = self._proxy(site).scale(), int(self._proxy(site).bit_width())
        low, high = (0, 2**bits - 1) if unsigned else (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1)
        return Quantizer(float(scale.detach()), low, high)

    def weight_quantizer(self, layer: Any) -> Quantizer:
        """Return the quantizer of a layer's weight as Brevitas applies it: levels symmetric about 0."""
        quantized = layer.weight_quant(layer.weight)
        high = 2 ** (int(quantized.bit_width) - 1) - 1
        return Quantizer(float(quantized.scale.detach()), -high, high)

    @torch.inference_mode()
    def score(self, batch: Batch) -> tuple[Tensor, Tensor, Tensor | None]:
        """Return the states that the head reads, losses (B, C) and token losses (M, C) or None, in nats.

        It is Brevitas's own forward, and a plain loop over classes.
        """
        hidden = self.hidden(batch.ids)
        if not self.generative:
            states = pool(hidden, batch, self.spec.pooling)
            return states, -torch.log_softmax(self.head(self.state_input(states)), dim=-1), None
        states, targets, rows = next_tokens(hidden, batch)
        classes = torch.arange(self.label_embedding.num_embeddings, device=states.device)
        labels = self.label_input(self.label_embedding(classes))
        tokens = torch.stack([self._token_losses(self.state_input(states), label, targets) for label in labels], 1)
        return states, tokens.new_zeros(len(batch.ids), len(labels)).index_add_(0, rows, tokens), tokens

    def _token_losses(self, states: Tensor, label: Tensor, targets: Tensor) -> Tensor:
        logits = self.head(torch.cat([states, label.expand(len(states), -1)], dim=1))
        return nn.functional.cross_entropy(logits, targets, reduction="none")

    def _proxy(self, site: str) -> Any:
        if site in CELL_NAMES:
            return getattr(self.lstm.layers[0][0].cell, CELL_NAMES[site])
        return getattr(self, site).act_quant

    def _range(self, site: str) -> nn.Parameter:
        return self._proxy(site).fused_activation_quant_proxy.tensor_quant.scaling_impl.value


@torch.no_grad()
def compile_variant(twin: BrevitasTwin) -> Variant:
    """Export a twin to plain tensors: integer weight levels, scales, ranges; float where it is not quantized.

    Raises ValueError if a weight's levels times its scale are not exactly what Brevitas computes.
    """
    layer = twin.lstm.layers[0][0]
    gates = [getattr(layer, f"{gate}_gate_params") for gate in GATES]
    return Variant(
        twin.spec,
        embedding=_matrix([twin.embedding]),
        input=_matrix([gate.input_weight for gate in gates]),
        recurrent=_matrix([gate.hidden_weight for gate in gates]),
        bias=torch.cat([gate.bias.detach() for gate in gates]),
        head=_matrix([twin.head]),
        head_bias=twin.head.bias.detach().clone(),
        label=_matrix([twin.label_embedding]) if twin.generative else None,
        sites={site: twin.quantizer(site) for site in LSTM_SITES} if twin.recipe else {},
        state_input=twin.quantizer("state_input") if twin.recipe else None,
        label_input=twin.quantizer("label_input") if twin.recipe and twin.generative else None,
    )


def _activation(bits: int | None, signed: bool = True) -> type | None:
    if bits is None:
        return None
    base = Int8ActPerTensorFloat if signed else Uint8ActPerTensorFloat
    return base.let(bit_width=bits, scaling_impl_type=ScalingImplType.PARAMETER, scaling_init=1.0)


def _weight(bits: int | None) -> type | None:
    if bits is None:
        return None
    return Int8WeightPerTensorFloat.let(bit_width=bits, scaling_impl_type=ScalingImplType.PARAMETER_FROM_STATS)


def _embedding(embedding: nn.Embedding, bits: int | None) -> QuantEmbedding:
    size = (embedding.num_embeddings, embedding.embedding_dim)
    return QuantEmbedding(*size, padding_idx=embedding.padding_idx, weight_quant=_weight(bits))


def _lstm(lstm: nn.LSTM, recipe: Recipe | None) -> QuantLSTM:
    width = recipe.bits.model_dump().get if recipe else lambda site: None
    twin = QuantLSTM(
        lstm.input_size,
        lstm.hidden_size,
        batch_first=True,
        weight_quant=_weight(width("lstm_weight")),
        bias_quant=None,
        io_quant=_activation(width("lstm_hidden_state")),
        gate_acc_quant=_activation(width("lstm_gate_accumulator")),
        sigmoid_quant=_activation(width("lstm_sigmoid"), signed=False),
        tanh_quant=_activation(width("lstm_tanh")),
        cell_state_quant=_activation(width("lstm_cell_state")),
    )
    twin.layers[0][0].quantize_output_only = True
    return twin


def _load_strictly(twin: BrevitasTwin, model: Classifier) -> None:
    missing, unexpected = twin.load_state_dict(model.state_dict(), strict=False)
    lost = [name for name in missing if "scaling_impl" not in name]
    if lost or unexpected:
        raise ValueError(f"weights did not match the Brevitas graph: missing {lost}, unexpected {unexpected}")


def _matrix(layers: list[Any]) -> Matrix:
    """Stack layers' weights by rows; each keeps its scale, one number if all are from one layer."""
    quantized = [_levels(layer) for layer in layers]
    levels = torch.cat([levels for levels, _ in quantized])
    if len(layers) == 1:
        return Matrix(levels, quantized[0][1].reshape(1))
    return Matrix(levels, torch.cat([scale.reshape(1, 1).expand(len(levels), 1) for levels, scale in quantized]))


def _levels(layer: Any) -> tuple[Tensor, Tensor]:
    if not layer.weight_quant.is_quant_enabled:
        return layer.weight.detach().clone(), torch.ones(1, device=layer.weight.device)
    quantized = layer.weight_quant(layer.weight)
    levels, scale = torch.round(quantized.value / quantized.scale), quantized.scale.detach().reshape(1)
    if not torch.equal(levels * scale, quantized.value):
        raise ValueError("a weight's integer levels do not give back what Brevitas computes")
    return levels.to(torch.int8), scale
