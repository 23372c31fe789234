"""Character substitution (paper, section 4.3.3), seeded per document and nested across levels.

"grain prices fell", level 0.05  ->  "grain pricesqfell", level 0.1  ->  "gr-in pricesqfell"
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from core.config import NoiseSpec
from core.errors import InputError
from core.seeding import numpy_generator


@dataclass(frozen=True)
class Noisy:
    """N corrupted texts, and the share in [0, 1] of all their characters that differ from the original."""

    texts: list[str]
    character_rate: float


def alphabet(texts: Iterable[str]) -> str:
    """Return the characters of `texts` in code point order, each once, white space left out."""
    return "".join(sorted(c for c in set().union(*texts) if not c.isspace()))


def corrupt(texts: Sequence[str], spec: NoiseSpec, characters: str) -> Noisy:
    """Replace each character with probability `spec.level` by one drawn uniformly from `characters`.

    Spaces are hit like any other character, which joins words. The draw may return the character it
    replaces, so `character_rate` lies a little below the level. Draws depend on the seed and a document's
    position alone: a character hit at one level gets the same replacement at every higher one.

    Raises InputError if `characters` is empty.
    """
    if not characters:
        raise InputError("there are no replacement characters; give the alphabet of a text that has some")
    if spec.level == 0:
        return Noisy(list(texts), 0.0)
    replacements = _codes(characters)
    noisy, changed = [], 0
    for document, text in enumerate(texts):
        codes = _codes(text)
        hits, drawn = _draw(len(codes), spec, document, replacements)
        noisy.append(_text(np.where(hits, drawn, codes)))
        changed += int(np.count_nonzero(hits & (drawn != codes)))
    return Noisy(noisy, changed / max(sum(map(len, texts)), 1))


def _draw(length: int, spec: NoiseSpec, document: int, replacements: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return which of a document's characters are hit, and the replacement that each has at any level."""
    generator = numpy_generator(spec.seed, "noise", document)
    hits = generator.random(length) < spec.level
    return hits, replacements[generator.integers(len(replacements), size=length)]


def _codes(text: str) -> np.ndarray:
    return np.frombuffer(text.encode("utf-32-le", "surrogatepass"), dtype="<u4")


def _text(codes: np.ndarray) -> str:
    return codes.tobytes().decode("utf-32-le", "surrogatepass")
