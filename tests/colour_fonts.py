"""Small colour fonts, made with fontTools: squares filled as a test wants them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from fontTools.colorLib.builder import buildCOLR, buildCPAL
from fontTools.fontBuilder import FontBuilder
from fontTools.pens.ttGlyphPen import TTGlyphPen
from fontTools.ttLib.tables.otTables import PaintFormat

WIDTH = 1000
RED, GREEN, BLUE, BLACK, CLEAR = range(5)
_PALETTE = [(1, 0, 0, 1), (0, 1, 0, 1), (0, 0, 1, 1), (0, 0, 0, 1), (0, 0, 1, 0)]


def _rectangle(left: int, bottom: int, right: int, top: int, *, hole: bool = False) -> Any:
    pen = TTGlyphPen(None)
    rings = [[(left, bottom), (left, top), (right, top), (right, bottom)]]
    if hole:
        x, y = (right - left) // 4, (top - bottom) // 4
        inner = [(left + x, bottom + y), (left + x, top - y), (right - x, top - y)]
        rings.append([*inner, (right - x, bottom + y)][::-1])
    for first, *rest in rings:
        pen.moveTo(first)
        for point in rest:
            pen.lineTo(point)
        pen.closePath()
    return pen.glyph()


def write(path: Path, paints: dict[str, dict], *, version: int = 1) -> Path:
    """A font whose characters are the keys of ``paints``; the em is the square 0 to 1000.

    Outlines to use: ``all`` (the square), ``left`` (its left half), ``ring`` (with a hole).
    """
    names = {character: f"c{ord(character):X}" for character in paints}
    outlines = {
        "all": _rectangle(0, 0, WIDTH, WIDTH),
        "left": _rectangle(0, 0, WIDTH // 2, WIDTH),
        "ring": _rectangle(0, 0, WIDTH, WIDTH, hole=True),
    }
    glyphs = [".notdef", *outlines, *names.values()]
    builder = FontBuilder(WIDTH, isTTF=True)
    builder.setupGlyphOrder(glyphs)
    builder.setupCharacterMap({ord(c): name for c, name in names.items()} | {0x41: "all"})
    builder.setupGlyf({name: outlines.get(name, _rectangle(0, 0, 10, 10)) for name in glyphs})
    builder.setupHorizontalMetrics(dict.fromkeys(glyphs, (WIDTH, 0)))
    builder.setupHorizontalHeader(ascent=WIDTH, descent=0)
    builder.setupNameTable({"familyName": "Made up", "styleName": "Regular"})
    builder.setupOS2()
    builder.setupPost()
    if version:
        given: dict[str, Any] = {names[character]: paint for character, paint in paints.items()}
        if version == 0:
            given = {name: [("all", RED)] for name in given}
        builder.font["COLR"] = buildCOLR(given, version=version)
        builder.font["CPAL"] = buildCPAL([_PALETTE])
    builder.save(path)
    return path


def solid(colour: int, alpha: float = 1.0) -> dict:
    """One colour everywhere."""
    return {"Format": PaintFormat.PaintSolid, "PaletteIndex": colour, "Alpha": alpha}


def inside(outline: str, paint: dict) -> dict:
    """``paint`` inside an outline."""
    return {"Format": PaintFormat.PaintGlyph, "Glyph": outline, "Paint": paint}


def line(first: int, last: int, extend: str = "pad") -> dict:
    """A colour line from one colour to another."""
    stops = [
        {"StopOffset": at, "PaletteIndex": colour, "Alpha": 1.0}
        for at, colour in ((0.0, first), (1.0, last))
    ]
    return {"Extend": extend, "ColorStop": stops}
