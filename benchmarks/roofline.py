"""What the processor can do: its fastest matrix products and exponentials, measured where they run."""

from collections.abc import Callable
from itertools import product

import torch
from torch import Tensor

from benchmarks import timing
from core.quantization.heads import GenerativeHead
from core.quantization.products import Product, float_product, integer_product, unsigned
from core.quantization.residents import Resident

ROWS, COLUMNS = (256, 512, 1024, 2048), (1024, 2048, 4096)


def generative_floor(resident: Resident, tokens: int) -> dict[str, float]:
    """Return the seconds that scoring `tokens` would take at the ceilings, with int8 and with float32 products.

    Counted: the LSTM's recurrent product, states x vocabulary, one exp for each of these, times classes.
    """
    head, hidden = resident.head, len(resident.prepared.recurrent)
    assert isinstance(head, GenerativeHead)
    floats = product_rate(float_product, hidden, lambda levels: levels)
    states = product_rate(integer_product, hidden, unsigned) if head.integers else floats
    classes, words = head.class_exp.shape
    rest = tokens * 8 * hidden**2 / floats + tokens * words * (1 / exp_rate(head.exponentiate) + 2 * classes / floats)
    work = 2 * tokens * words * hidden
    return {"floor": work / states + rest, "floor_float32": work / floats + rest}


def product_rate(make: Callable[..., Product], inner: int, enter: Callable[[Tensor], Tensor]) -> float:
    """Return the most operations per second over shapes, operands of int8 levels, into a kept buffer."""
    rates = []
    for rows, columns in product(ROWS, COLUMNS):
        left, buffer = enter(_levels(rows, inner).float()), torch.empty(rows * columns)
        multiply = make(_levels(columns, inner), 1.0)
        rates.append(2 * rows * columns * inner / _seconds(lambda: multiply(left, buffer)))  # noqa: B023
    return max(rates)


def exp_rate(exponentiate: Callable[[Tensor], Tensor]) -> float:
    """Return the most exponentials per second of the faster of the head's own exp and torch's, in place."""
    rates = []
    for rows, columns, exp in product(ROWS, COLUMNS, (exponentiate, torch.exp_)):
        values = torch.randn(rows, columns)
        rates.append(values.numel() / _seconds(lambda: exp(values)))  # noqa: B023
    return max(rates)


def _levels(rows: int, columns: int) -> Tensor:
    return torch.randint(-128, 128, (rows, columns), dtype=torch.int8)


def _seconds(run: Callable[[], object], calls: int = 10) -> float:
    return timing.medians({0: lambda: [run() for _ in range(calls)]})[0] / calls
