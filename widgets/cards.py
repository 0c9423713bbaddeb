"""The front page: a card for each chapter, with a picture of what was recorded for it."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from widgets.text import Markup, join, markup, picture
from widgets.theme import in_voila

THUMBNAIL = 360


@dataclass(frozen=True)
class Chapter:
    """A chapter of the thesis in one sentence of ours."""

    number: int
    title: str
    about: str


CHAPTERS = (
    Chapter(3, "Exposure bias", "Train a sequence model on neighbours of the right word, so that "
            "its own mistakes no longer throw it off."),
    Chapter(4, "Error-correcting codes", "Predict a short code of each word instead of a softmax "
            "over all of them."),
    Chapter(5, "Meta-embedding", "Squeeze several word embeddings into one that the task itself "
            "helps to shape."),
    Chapter(6, "Reinforcement learning", "Reward generated text by what a model of meaning says, "
            "not by counting shared words."),
    Chapter(7, "Metric learning", "Choose negatives that teach something, with and without a "
            "teacher."),
    Chapter(8, "Layer fusion", "Find layers that do nearly the same and make one of two."),
    Chapter(9, "Zero-shot pruning", "Prune a multilingual model without losing the languages it "
            "was never fine-tuned on."),
    Chapter(10, "Gradient sparsification", "Drop part of the gradient while fine-tuning, and "
            "generalise better for it."),
    Chapter(11, "Self-distilled pruning", "Remove the weights step by step while the unpruned "
            "network teaches what is left."),
)  # fmt: skip


class ChapterCards:
    """The cards of the chapters as one list; shown by Jupyter as HTML, links relative.

    A chapter whose notebook is in ``folder`` is linked; the others are named as to come.
    """

    def __init__(self, folder: str | Path = ".", chapters: Iterable[Chapter] = CHAPTERS) -> None:
        self.notebooks = notebooks(folder)
        self.chapters = tuple(chapters)

    def _repr_html_(self) -> str:
        ready = [chapter for chapter in self.chapters if chapter.number in self.notebooks]
        later = [chapter for chapter in self.chapters if chapter.number not in self.notebooks]
        lists = [markup('<ul class="wb-cards">{}</ul>', join(map(self._card, ready)))]
        if later:
            lists.append(markup("<h2>To come</h2>"))
            lists.append(markup('<ul class="wb-cards">{}</ul>', join(map(self._card, later))))
        return markup('<div class="wb-ready">{}</div>', join(lists))

    def _repr_mimebundle_(self, include: object = None, exclude: object = None) -> dict[str, str]:
        text = "\n".join(f"Chapter {c.number}: {c.title}. {c.about}" for c in self.chapters)
        return {"text/html": _rules() + self._repr_html_(), "text/plain": text}

    def _card(self, chapter: Chapter) -> Markup:
        number = markup('<p class="wb-chapter">Chapter {}</p>', chapter.number)
        about = markup("<p>{}</p>", chapter.about)
        path = self.notebooks.get(chapter.number)
        if path is None:
            return markup(
                '<li class="wb-to-come">{}<h3>{}</h3>{}</li>',
                number, chapter.title, about,
            )  # fmt: skip
        return markup(
            '<li class="wb-ready-chapter">{}<div>{}<h3><a href="{}">{}</a></h3>{}</div></li>',
            thumbnail(path), number, path.name, chapter.title, about,
        )  # fmt: skip


def notebooks(folder: str | Path = ".") -> dict[int, Path]:
    """Chapter number -> its notebook in ``folder``."""
    found = {}
    for path in sorted(Path(folder).glob("*.ipynb")):
        number = re.match(r"(\d{2})_\w+\.ipynb$", path.name)
        if number:
            found[int(number[1])] = path
    return found


def explored(path: Path) -> str:
    """The experiment whose records a notebook explores, as its code names it; empty if none."""
    from workbench import experiments

    try:
        cells = json.loads(path.read_text("utf-8")).get("cells", [])
        code = "".join("".join(c["source"]) for c in cells if c["cell_type"] == "code")
    except (OSError, ValueError, KeyError):
        return ""
    if "Explorer(" not in code:
        return ""
    return next((name for name in experiments.names() if f'"{name}"' in code), "")


def thumbnail(path: Path) -> Markup:
    """A small picture of the notebook's recorded result; nothing where none is recorded."""
    experiment = explored(path)
    if not experiment:
        return Markup("")
    alt = f"A recorded result of {experiment}"
    if in_voila():  # the server has it drawn already
        from workbench.records import default_store

        if not default_store().find(experiment, status="finished"):
            return Markup("")
        address = f"{os.environ.get('VOILA_BASE_URL', '/')}workbench/preview/{path.stem}"
        return markup('<img class="wb-thumb" alt="{}" data-address="{}">', alt, address)
    from widgets.explorer import ExplorerState

    state = ExplorerState(experiment)
    if state.empty:
        return Markup("")
    drawn = state.drawn(theme="light", width=THUMBNAIL)
    return picture(drawn.png, drawn.alt)


def _rules() -> str:
    from widgets.theme import style

    return style().value
