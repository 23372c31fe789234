"""Losses of classes from the states that the head reads.

The generative head factors over classes: logits(t, y) = W_h h_t + W_l l_y + b, so that the sum over the vocabulary of
exp(logits), for all classes at once, is one matrix product of exponentials (paper, equations 11-13). It runs in
blocks of tokens and words that stay in cache; tokens x vocabulary never exists. Hidden states lie in [-1, 1], so
the largest logit there can be is known beforehand: as long as its sum over the vocabulary stays below exp(SAFE) nothing
over- or underflows; beyond, a constant is taken off. Tokens whose sums are too faint for that are summed again, less
their own largest logit each, and what even then is too faint, as a class makes the words unlikely, term by term.
"""

import math
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from core.quantization.engine import Variant, compiled_kernels, head_inputs, head_logits
from core.quantization.levels import Matrix, Quantizer, to_levels
from core.quantization.products import float_product, integer_product, integers_are_exact, unsigned
from core.text.tokens import Batch

BLOCKS = {"cpu": (1024, 512), "cuda": (8192, 1 << 15)}  # tokens, words
SAFE = 87.0  # exp(87) is below float32's largest, exp(-87) above its smallest normal number
FEW_THREADS = 4  # on so few of a CPU the compiled exp, which takes one, is faster than torch's
FAINT = 1e-25  # far above float32's smallest, so that what underflowed on the way to a larger sum is nothing


class DiscriminativeHead:
    """-log softmax of the classes (paper, equation 4)."""

    def __init__(self, variant: Variant) -> None:
        self.variant = variant

    @torch.inference_mode()
    def class_losses(self, states: Tensor, batch: Batch) -> tuple[Tensor, None]:
        """states (B, H) -> each document's loss under each class (B, C) in nats."""
        return -torch.log_softmax(head_logits(self.variant, states), dim=-1), None


class GenerativeHead:
    """-log p(next token | state, class) for every class at once.

    weight (V, H) is the head's part for states, class_logits (C, V) what it adds for a class, bias included;
    `quantizer` is that of the states, which `largest` bounds.
    """

    def __init__(self, weight: Matrix, class_logits: Tensor, quantizer: Quantizer | None, largest: float) -> None:
        self.weight, self.class_logits, self.quantizer = weight, class_logits, quantizer
        self.class_top = class_logits.max(dim=1, keepdim=True).values  # (C, 1)
        self.class_exp = (class_logits - self.class_top).exp_()  # (C, V)
        self.rows, self.columns = BLOCKS[class_logits.device.type]
        largest_logit = float(weight.value.abs().sum(dim=1).max()) * largest
        largest_sum = largest_logit + math.log(class_logits.shape[1])
        self.excess = max(largest_sum - SAFE, 0.0)
        spread = float((self.class_top - class_logits).max())
        lost = math.exp(min(largest_sum, SAFE) - SAFE) if spread > SAFE else 0.0  # by what underflowed in class_exp
        self.faint = max(FAINT if self.excess else 0.0, 1e6 * lost)
        self.unit = float(weight.scale) * (quantizer.scale if quantizer else 1.0)
        on_cpu = class_logits.device.type == "cpu"
        self.integers = bool(quantizer and weight.quantized and on_cpu and integers_are_exact())
        self.exponentiate = _exponential(class_logits)
        product = integer_product if self.integers else float_product
        self.products = [product(levels, self.unit) for levels in weight.levels.split(self.columns)]

    @torch.inference_mode()
    def class_losses(self, states: Tensor, batch: Batch) -> tuple[Tensor, Tensor]:
        """states (M, H) -> the summed losses of each document (B, C), and of its tokens (M, C), in nats."""
        real = batch.mask[:, 1:]
        rows = torch.arange(len(real), device=real.device)[:, None].expand_as(real)[real]
        tokens = self.token_losses(states, batch.ids[:, 1:][real])
        return tokens.new_zeros(len(real), tokens.shape[1]).index_add_(0, rows, tokens), tokens

    @torch.inference_mode()
    def token_losses(self, states: Tensor, targets: Tensor) -> Tensor:
        """states (M, H), targets (M,) -> the loss of every target under every class, (M, C)."""
        buffer = states.new_empty(self.rows * self.columns)
        chunks = zip(states.split(self.rows), targets.split(self.rows), strict=True)
        return torch.cat([self._losses(chunk, wanted, buffer) for chunk, wanted in chunks])

    def _losses(self, states: Tensor, targets: Tensor, buffer: Tensor) -> Tensor:
        entered = to_levels(states, self.quantizer) if self.quantizer else states
        shift = entered.new_full((len(entered),), self.excess)
        total = self._sums(entered, buffer, shift if self.excess else None)
        own = (entered * self.weight.levels[targets]).sum(dim=1).mul_(self.unit)
        logits = own + self.class_logits[:, targets]
        if self.faint and len(again := (total < self.faint).any(dim=0).nonzero()[:, 0]):
            shift[again] = self._largest(entered[again], buffer)
            total[:, again] = self._sums(entered[again], buffer, shift[again])
        found = total.log().add_(shift).add_(self.class_top)
        if self.faint:
            for label in (total < self.faint).any(dim=1).nonzero()[:, 0].tolist():
                faint = total[label] < self.faint
                every = entered[faint] @ self.weight.levels.to(entered.dtype).T * self.unit
                found[label, faint] = (every + self.class_logits[label]).logsumexp(dim=1)
        return (found - logits).T

    def _largest(self, entered: Tensor, buffer: Tensor) -> Tensor:
        """Return max over v of A[t, v] for every token, (M',)."""
        entered = unsigned(entered) if self.integers else entered
        return torch.stack([product(entered, buffer).amax(dim=1) for product in self.products]).amax(dim=0)

    def _sums(self, entered: Tensor, buffer: Tensor, shift: Tensor | None) -> Tensor:
        """Return sum over v of class_exp[c, v] * exp(A[t, v] - shift[t]) for every class and token, (C, M').

        With the tokens as columns the product is up to four times as fast as with the few classes as columns.
        """
        total = entered.new_zeros(len(self.class_logits), len(entered))
        entered = unsigned(entered) if self.integers else entered
        for product, exponentials in zip(self.products, self.class_exp.split(self.columns, dim=1), strict=True):
            logits = product(entered, buffer)
            total.addmm_(exponentials, self.exponentiate(logits if shift is None else logits.sub_(shift[:, None])).T)
        return total


Head = DiscriminativeHead | GenerativeHead


def prepare(variant: Variant) -> Head:
    """Return the head of a variant with what its scoring reuses."""
    labels = head_inputs(variant, variant.bias)[1]
    if labels is None:
        return DiscriminativeHead(variant)
    size, head = variant.recurrent.levels.shape[1], variant.head
    class_logits = labels @ head.value[:, size:].T + variant.head_bias
    quantizer = variant.state_input
    bound = 1.0
    if quantizer:
        bound = min(quantizer.largest, variant.sites["hidden_state"].largest + quantizer.scale / 2)
    return GenerativeHead(Matrix(head.levels[:, :size], head.scale), class_logits, quantizer, bound)


def _exponential(like: Tensor) -> Callable[[Tensor], Tensor]:
    """Return the fastest exp in place for contiguous tensors on the device and of the dtype of this one, up to 88."""
    few = like.device.type == "cpu" and like.dtype == torch.float32 and torch.get_num_threads() <= FEW_THREADS
    if not few or (kernels := compiled_kernels()) is None:
        return torch.exp_

    def exponentiate(values: Tensor) -> Tensor:
        flat = values.view(-1).numpy()
        kernels.exponentiate(flat, flat.view(np.int32))
        return values

    return exponentiate
