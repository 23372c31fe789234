"""What of the store is committed with the code: enough for a fresh clone to show everything at once, and small."""

from functools import cache
from itertools import product
from pathlib import Path

from core import pipeline
from core.commands import cards
from core.commands.cards import MAX_WEIGHTS_BYTES
from core.config import BIT_WIDTHS, MODEL_KINDS, RANGES, VariantSpec
from core.errors import InputError
from core.storage.artifacts import write_file
from core.storage.store import Row, Store
from core.text import corpora

SCHEMES = ("conditional", "unconditional")


def ship(store: Store, corpus: str) -> int:
    """Copy a corpus's weights, results and distances to the shipped layer, with a card; return how many entries.

    Only models of the whole training split count. Weights go along for those of seed 0 trained on clean text, a
    transformer's with its tokenizer, unless they are larger than MAX_WEIGHTS_BYTES; the predictions behind a result,
    which pairs are tested on, for what these give without noise at draw 0 of the two plain schemes (another head than
    GPFQ with fitted ranges only), or at the default settings alone where the corpus is not the one that opens first.
    For that one the quantized models at the default settings go along too, so that a text is answered at every width at
    once. Every other result is its row alone. Raises InputError if there is no result.
    """
    models = [card for card in store.model_cards(corpus=corpus) if not card["spec"]["train"].get("limit")]
    runs = [card["spec"] for card in models]
    rows = [row for row in store.results(corpus=corpus) if row["spec"]["variant"]["run"] in runs]
    if not rows:
        raise InputError(f"the store has no results for {corpus!r}; run study {corpus} first")
    first = {card["key"] for card in models if _is_first(card["spec"]) and _is_small(store, card["key"])}
    paired = {row["key"] for row in rows if _is_paired(row)}
    write_file(store.shipped / f"{Path(corpus).stem}.md", cards.model_card(corpus, models, rows).encode())
    return store.ship(
        {
            ("weights", "tensors"): first,
            ("tokenizers", "tensors"): _stored(store, "tokenizers", first),
            ("models", "row"): {card["key"] for card in models},
            ("distances", "tensors"): {row["key"] for row in pipeline.distances(corpus) if row["spec"]["run"] in runs},
            ("evaluations", "tensors"): _stored(store, "evaluations", paired),
            ("evaluations", "row"): {row["key"] for row in rows},
            ("variants", "tensors"): _quantized(store) if corpus == corpora.DEFAULT else set(),
        }
    )


def _quantized(store: Store) -> set[str]:
    return _stored(store, "variants", {variant.fingerprint() for variant in _default_variants(corpora.DEFAULT)})


def _stored(store: Store, kind: str, keys: set[str]) -> set[str]:
    return {key for key in keys if store.has_tensors(kind, key)}


@cache
def _default_variants(corpus: str) -> list[VariantSpec]:
    asked = (pipeline.specify(corpus, model, bits) for model, bits in product(MODEL_KINDS, BIT_WIDTHS))
    return [pipeline.resolve(spec).variant for spec in asked]


def _is_small(store: Store, key: str) -> bool:
    """Say whether the store has weights that may be committed."""
    return store.has_tensors("weights", key) and store.size_bytes_of("weights", key) <= MAX_WEIGHTS_BYTES


def _is_first(run: Row) -> bool:
    return run["train"]["seed"] == 0 and not run["train"].get("noise")


def _is_paired(row: Row) -> bool:
    """Say whether predictions of a row go along."""
    variant = row["spec"]["variant"]
    if not _is_first(variant["run"]) or row["noise"] or row["split"] != "test" or row["test_limit"]:
        return False
    if variant["recipe"] is None:
        return True
    if row["corpus"] != corpora.DEFAULT:
        return any(variant == usual.model_dump(mode="json") for usual in _default_variants(row["corpus"]))
    plain = variant["calibration"]["scheme"] in SCHEMES and variant["calibration"]["seed"] == 0
    recipe = variant["recipe"]
    return plain and (recipe["head"] == "gpfq" or recipe["ranges"] == RANGES[0]) and not recipe.get("cell_range")
