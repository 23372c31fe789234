"""Variants ready to run, kept in memory up to a number of bytes: the least recently used go first."""

from collections import OrderedDict
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from functools import cached_property
from threading import Lock
from typing import Any

from torch import Tensor

from core.quantization import engine, heads
from core.quantization.engine import MATRICES, Prepared, Variant
from core.quantization.heads import GenerativeHead, Head
from core.text.tokens import Batch

LIMIT = 1 << 30


@dataclass(frozen=True)
class Resident:
    """A variant with what its evaluation reuses, on the variant's device, and the report of how it was made.

    Read-only, so that threads may share it.
    """

    variant: Variant
    report: dict[str, Any]

    @cached_property
    def prepared(self) -> Prepared:
        return engine.prepare(self.variant)

    @cached_property
    def head(self) -> Head:
        return heads.prepare(self.variant)

    @cached_property
    def bytes(self) -> int:
        """What its tensors take, the blocks of the head's weight included."""
        matrices = [matrix.levels for name in MATRICES if (matrix := getattr(self.variant, name))]
        tables = [self.prepared.table, self.prepared.recurrent]
        if isinstance(self.head, GenerativeHead):
            tables += [self.head.class_logits, self.head.class_exp, self.head.weight.levels]
        return sum(tensor.nbytes for tensor in (*matrices, *tables, self.variant.bias, self.variant.head_bias))

    def score(self, batch: Batch) -> tuple[Tensor, Tensor, Tensor | None]:
        """Return the states that the head reads, losses (B, C), and token losses (M, C) if generative; in nats."""
        states = engine.head_states(self.prepared, batch)
        return states, *self.head.class_losses(states, batch)


class Residents:
    """Residents by key; `limit` is in bytes. One that is larger than the limit is made and not kept."""

    def __init__(self, limit: int = LIMIT) -> None:
        self.limit = limit
        self._kept: OrderedDict[Hashable, Resident] = OrderedDict()
        self._lock = Lock()

    def get(self, key: Hashable, make: Callable[[], tuple[Variant, dict[str, Any]]]) -> Resident:
        """Return the resident of a key, made from `make()` if it is not there."""
        with self._lock:
            if key in self._kept:
                self._kept.move_to_end(key)
                return self._kept[key]
        resident = Resident(*make())
        size = resident.bytes  # prepares it, outside the lock
        with self._lock:
            if size <= self.limit:
                self._kept[key] = resident
            while self._bytes() > self.limit:
                self._kept.popitem(last=False)
        return resident

    def __len__(self) -> int:
        return len(self._kept)

    @property
    def bytes(self) -> int:
        """The bytes of everything kept."""
        with self._lock:
            return self._bytes()

    def kept(self) -> list[tuple[Hashable, int]]:
        """Return the key and the bytes of everything kept, the least recently used first."""
        with self._lock:
            return [(key, resident.bytes) for key, resident in self._kept.items()]

    def clear(self) -> None:
        with self._lock:
            self._kept.clear()

    def _bytes(self) -> int:
        return sum(resident.bytes for resident in self._kept.values())


KEPT = Residents()
