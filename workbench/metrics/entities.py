"""Whole names in sequences of BIO tags: exact spans, counted as CoNLL's ``conlleval`` does."""

from __future__ import annotations

from collections.abc import Sequence

Tags = Sequence[str]


def spans(tags: Tags) -> list[tuple[str, int, int]]:
    """The entities of one text as (type, first word, word after the last).

    ``B-X`` begins an entity of type X and ``I-X`` goes on with it. An ``I-X`` that follows ``O``,
    the start of the text or another type begins one too, as in ``conlleval`` and the default mode
    of ``seqeval``. ``O`` is none. Raises ``ValueError`` for other tags.

        >>> spans(["B-PER", "I-PER", "O", "I-LOC"])
        [('PER', 0, 2), ('LOC', 3, 4)]
    """
    found: list[tuple[str, int, int]] = []
    kind, start = "", 0
    for place, tag in enumerate([*tags, "O"]):
        mark, _, name = tag.partition("-")
        if tag != "O" and (mark not in ("B", "I") or not name):
            raise ValueError(f"tag {tag!r} of word {place}; allowed: 'O', 'B-TYPE' and 'I-TYPE'.")
        if kind and (mark != "I" or name != kind):
            found.append((kind, start, place))
            kind = ""
        if name and not kind:
            kind, start = name, place
    return found


def entity_scores(predicted: Sequence[Tags], labels: Sequence[Tags]) -> dict[str, float]:
    r"""F1, precision and recall of entities, and the share of words with the right tag.

    .. math:: F_1 = \frac{2 P R}{P + R}

    over all texts together (micro-averaged): an entity is right if type, first and last word are.
    Where nothing is predicted, or nothing is there to be found, the scores are 0. All lie in
    [0, 1]: ``f1``, ``precision``, ``recall``, ``accuracy``.

    ``predicted`` and ``labels`` hold one sequence of BIO tags per text. Raises ``ValueError`` for
    no words, sequences of different lengths, or other tags.

    Tjong Kim Sang and De Meulder (2003), CoNLL shared task.
    """
    if len(predicted) != len(labels):
        raise ValueError(f"predictions of {len(predicted)} texts for labels of {len(labels)}.")
    right = told = held = same = words = 0
    for place, (ours, theirs) in enumerate(zip(predicted, labels, strict=True)):
        if len(ours) != len(theirs):
            raise ValueError(
                f"text {place} has {len(theirs)} words and {len(ours)} predicted tags; "
                "each word needs one."
            )
        guessed, given = set(spans(ours)), set(spans(theirs))
        right, told, held = right + len(guessed & given), told + len(guessed), held + len(given)
        same += sum(a == b for a, b in zip(ours, theirs, strict=True))
        words += len(theirs)
    if not words:
        raise ValueError("labels hold no words; give at least one text with words.")
    return {
        "f1": 2 * right / (told + held) if right else 0.0,
        "precision": right / told if told else 0.0,
        "recall": right / held if held else 0.0,
        "accuracy": same / words,
    }
