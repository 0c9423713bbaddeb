"""WikiText-2: good and featured articles of the English Wikipedia, as the thesis uses it.

From the hub in its raw form, in which no word is missing. A local folder may hold that layout, or
text files: ``train.txt``, ``valid.txt`` and ``test.txt``, or those of the original release
(``wiki.train.raw`` or ``.tokens``, and so on). Text files without a train are made to do: train is
then four fifths of the validation articles, and validation the rest. Where rare words are ``<unk>``
(the ``.tokens`` form), perplexities do not compare with those of the raw form.
"""

from __future__ import annotations

import re
from pathlib import Path

from workbench.datasets.corpus import SPLITS, Corpus, divide
from workbench.datasets.files import read
from workbench.sources import Hub

SHARD = "wikitext-2-raw-v1/{}-00000-of-00001.parquet"
# Of an article: those inside have more signs, and equations no blank lines around them.
_HEADING = re.compile(r"(?m)^ ?\n = (?!= ).+(?<! =) = \n(?= ?\n)")

SOURCE = Hub(
    "Salesforce/wikitext",
    revision="b08601e04326c79dfdd32d625aee71d232d685c3",
    files=tuple(SHARD.format(split) for split in SPLITS),
    licence="CC BY-SA 3.0, GFDL",
    size=7_750_000,
)

CORPUS = Corpus(
    name="wikitext2",
    title="WikiText-2, 720 articles of the English Wikipedia",
    sources=(SOURCE,),
    licence="CC BY-SA 3.0, GFDL",
    citation="S. Merity, C. Xiong, J. Bradbury, R. Socher (2017). Pointer sentinel mixture models. "
    "ICLR.",
    note="The published splits, by article; not a word is changed.",
)


def parts(folder: Path) -> dict[str, list[str]]:
    """The articles of each split; together they are the text of the files."""
    texts = {split: _text(folder, split) for split in SPLITS}
    for split in ("validation", "test"):
        if texts[split] is None:
            raise FileNotFoundError(2, "no such file", str(folder / SHARD.format(split)))
    found = {split: articles(text or "") for split, text in texts.items()}
    if texts["train"] is None:
        found |= {**divide(found["validation"], name=CORPUS.name, validation=0.2, test=0.0),
                  "test": found["test"]}  # fmt: skip
    return found


def articles(text: str) -> list[str]:
    """``text`` cut before the heading of every article: ``" = Title = "`` between blank lines."""
    starts = [match.start() for match in _HEADING.finditer(text)]
    cuts = [0, *starts[1:], len(text)]
    return [text[start:end] for start, end in zip(cuts[:-1], cuts[1:], strict=True)]


def _text(folder: Path, split: str) -> str | None:
    if (folder / SHARD.format(split)).is_file():
        return "".join(row["text"] for row in read(folder / SHARD.format(split)))
    short = "valid" if split == "validation" else split
    for name in (f"{short}.txt", f"wiki.{short}.raw", f"wiki.{short}.tokens"):
        if (folder / name).is_file():
            return (folder / name).read_text(encoding="utf-8")
    return None
