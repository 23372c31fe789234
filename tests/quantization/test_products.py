"""Products of levels next to int64: in float32 and, where the processor has them, in int8 instructions."""

from collections.abc import Callable, Iterator

import pytest
import torch
from torch import Tensor

from core.quantization import products
from core.quantization.products import Product

NOTHING = torch.empty(0)

needs_integers = pytest.mark.skipif(not products.integers_are_exact(), reason="needs a CPU with VNNI")


@pytest.fixture(autouse=True)
def _same_numbers() -> None:
    torch.manual_seed(0)


def products_of(rows: int, words: int, hidden: int) -> Iterator[tuple[Tensor, Tensor]]:
    """Levels (rows, hidden) and (words, hidden): all the lowest, all ends, any."""
    yield torch.full((rows, hidden), -128), torch.full((words, hidden), -128)
    yield torch.full((rows, hidden), 127), torch.full((words, hidden), -128)
    yield torch.randint(2, (rows, hidden)) * 255 - 128, torch.randint(2, (words, hidden)) * 255 - 128
    yield torch.randint(-128, 128, (rows, hidden)), torch.randint(-128, 128, (words, hidden))


@needs_integers
@pytest.mark.parametrize("unit", [1.0, 0.000371])
@pytest.mark.parametrize(
    ("rows", "words", "hidden"),
    [(1, 1, 1), (1, 1, 7), (3, 1, 7), (1, 1025, 7), (5, 33, 100), (513, 17, 3), (2, 1025, 1), (2, 3, 1023)],
)
def test_both_products_equal_int64_exactly(rows: int, words: int, hidden: int, unit: float) -> None:
    for left, right in products_of(rows, words, hidden):
        expected, levels = (left @ right.T).float() * unit, right.to(torch.int8)
        floats = products.float_product(levels, unit)(left.float(), torch.empty(rows * words + 5))
        integers = products.integer_product(levels, unit)(products.unsigned(left.float()), NOTHING)
        assert (floats.dtype, integers.dtype) == (torch.float32, torch.float32)
        assert torch.equal(floats, expected)
        assert torch.equal(integers, expected)


@needs_integers
def test_rows_may_have_a_unit_each() -> None:
    left, right, units = torch.randint(-128, 128, (5, 7)), torch.randint(-128, 128, (9, 7)), torch.rand(9)
    found = products.integer_product(right.to(torch.int8), units)(products.unsigned(left.float()), NOTHING)
    assert torch.equal(found, (left @ right.T).float() * units)


def cut_product(limit: int) -> Callable[[Tensor, float], Product]:
    """Unsigned times signed bytes, the sum of every two products cut at `limit`: at 2**15 by AVX2."""

    def product(levels: Tensor, unit: float) -> Product:
        def multiply(entered: Tensor, buffer: Tensor) -> Tensor:
            pairs = (entered.float()[:, None] * levels.float()).unflatten(-1, (-1, 2)).sum(-1)
            return (pairs.clamp(-limit, limit - 1).sum(-1) - products.ZERO_POINT * levels.float().sum(1)) * unit

        return multiply

    return product


def no_product(levels: Tensor, unit: float) -> Product:
    raise RuntimeError("no such operator")


@pytest.mark.parametrize(
    ("product", "exact"), [(cut_product(2**15), False), (cut_product(2**16), True), (no_product, False)]
)
def test_int8_instructions_are_tried_before_they_are_used(
    product: Callable[[Tensor, float], Product], exact: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(products, "integer_product", product)
    assert products.integers_are_exact.__wrapped__() is exact
