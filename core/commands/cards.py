"""A corpus's model card: what its shipped models were trained on and how, in Markdown, from the store."""

from collections.abc import Iterator, Sequence

from core.errors import InputError
from core.storage.store import Row

LICENCES = {
    "reuters-r8": "Reuters-21578 is distributed for research purposes by its owners, Reuters Ltd. and Carnegie Group.",
    "ag-news": 'The upstream readme: "The dataset is provided by the academic comunity for research purposes in data '
    'mining [...] and any other non-commercial activity."',
    "dbpedia-14": 'The upstream readme: "licensed under the terms of the Creative Commons Attribution-ShareAlike '
    'License and the GNU Free Documentation License".',
    "emotion": 'The upstream readme: "Free to use for educational and research purposes."',
}
MAX_WEIGHTS_BYTES = 60_000_000


def model_card(corpus: str, cards: Sequence[Row], tests: Sequence[Row]) -> str:
    """Return the card of a corpus from rows of `models`, and of `evaluations` for their accuracy in float.

    Raises InputError without a model.
    """
    if not cards:
        raise InputError(f"the store has no models of {corpus!r}; run train {corpus} first")
    licence = LICENCES.get(corpus, "No licence of the text is known to this project; ask whoever published it.")
    head = [
        f"# Models of {corpus}",
        "",
        f"Text: {cards[0]['history']['corpus']}",
        "",
        f"Licence of the text: {licence} The text is not part of these files.",
        "",
        "Weights are float32, and they are the float reference of every quantized result. Stored beside this card are "
        f"those of seed 0 trained on clean text, if they have at most {MAX_WEIGHTS_BYTES / 1e6:.0f} MB.",
    ]
    ordered = sorted(cards, key=lambda card: (card["model"], card["spec"]["train"].get("noise", 0), card["seed"]))
    return "\n".join([*head, *(line for card in ordered for line in _section(card, tests)), ""])


def _section(card: Row, tests: Sequence[Row]) -> Iterator[str]:
    spec, epochs = card["spec"], card["history"]["epochs"]
    noise = spec["train"].get("noise", 0)
    trained_on = f", trained with {100 * noise:g} % of characters replaced" if noise else ""
    yield from ["", f"## {card['model'].capitalize()}, seed {card['seed']}{trained_on}", ""]
    share = 100 * spec["corpus"]["validation_share"]
    yield f"- key `{card['key']}`, made {card['created'][:10]} with {_listed(card['versions'])}"
    held_out = f"the corpus's own validation split, else {share:g} % of its training split kept apart, validates"
    yield f"- {card['n_train']:,} training documents; {held_out}"
    yield f"- tokens: {_listed(spec['tokens'])}"
    yield f"- model: {_listed(spec['model'])}"
    yield f"- training: {_listed(spec['train'])}"
    yield from (f"- test accuracy in float: {_accuracy(row)}" for row in tests if _is_float_result(row, spec))
    yield from ["", "| epoch | training loss | validation loss | seconds |", "|--:|--:|--:|--:|"]
    for epoch in epochs:
        kept = " (kept)" if _is_kept(epoch, epochs) else ""
        losses = f"{_loss(epoch['train_loss'])} | {_loss(epoch['validation_loss'])}{kept}"
        yield f"| {epoch['epoch'] + 1} | {losses} | {epoch['seconds']:.0f} |"


def _is_float_result(row: Row, run: Row) -> bool:
    variant = row["spec"]["variant"]
    plain = not row["noise"] and row["preset"] == "float" and row["split"] == "test" and row["test_limit"] is None
    return bool(plain and variant["run"] == run)


def _accuracy(row: Row) -> str:
    low, high = 100 * row["accuracy_low"], 100 * row["accuracy_high"]
    return f"{100 * row['accuracy']:.2f} % (95 % interval {low:.2f} to {high:.2f}, n = {row['n']:,})"


def _is_kept(epoch: Row, epochs: Sequence[Row]) -> bool:
    return epoch["epoch"] == max((one["epoch"] for one in epochs if one["best"]), default=None)


def _loss(value: float | None) -> str:
    return "not finite" if value is None else f"{value:.4f}"


def _listed(settings: Row) -> str:
    return ", ".join(f"{name.replace('_', ' ')} {value}" for name, value in settings.items() if value is not None)
