"""What a colour font asks for is what is drawn: closed forms on squares."""

from __future__ import annotations

import numpy as np
import pytest
from colour_fonts import BLACK, BLUE, GREEN, RED, inside, line, solid, write
from fontTools.ttLib.tables.otTables import CompositeMode, PaintFormat

from workbench.datasets.colour_font import ColourFont

SIDE = 16
MIDDLE = (np.arange(SIDE) + 0.5) / SIDE  # of the pixels, as shares of the square


def drawn(tmp_path, paint: dict, side: int = SIDE) -> np.ndarray:
    font = ColourFont(write(tmp_path / "made.ttf", {"😀": paint}))
    return font.draw(font.glyph("😀"), side).astype(float)


def test_an_outline_is_filled_and_the_rest_is_white(tmp_path):
    found = drawn(tmp_path, inside("left", solid(RED)))
    assert found.shape == (SIDE, SIDE, 3)
    assert (found[:, : SIDE // 2] == (255, 0, 0)).all() and (found[:, SIDE // 2 :] == 255).all()


def test_holes_stay_open(tmp_path):
    found = drawn(tmp_path, inside("ring", solid(BLACK)))
    assert (found[4:12, 4:12] == 255).all() and found.sum() == 255 * 3 * 64


def test_half_covered_pixels_are_half_painted(tmp_path):
    found = drawn(tmp_path, inside("left", solid(BLACK)), side=5)
    assert found[0, :, 0] == pytest.approx([0, 0, 127.5, 255, 255], abs=1.5)


def test_alpha_mixes_with_what_is_below(tmp_path):
    layers = [inside("all", solid(RED)), inside("left", solid(GREEN, 0.25))]
    found = drawn(tmp_path, {"Format": PaintFormat.PaintColrLayers, "Layers": layers})
    assert found[0, 0] == pytest.approx((0.75 * 255, 0.25 * 255, 0), abs=1)
    assert tuple(found[0, -1]) == (255, 0, 0)


def test_a_linear_gradient_follows_its_line(tmp_path):
    gradient = {
        "Format": PaintFormat.PaintLinearGradient,
        "ColorLine": line(BLACK, RED),
        **dict(x0=250, y0=0, x1=750, y1=0, x2=250, y2=500),
    }
    found = drawn(tmp_path, inside("all", gradient))
    expected = 255 * ((MIDDLE - 0.25) / 0.5).clip(0, 1)
    assert found[3, :, 0] == pytest.approx(expected, abs=2) and not found[..., 1].any()
    gradient |= dict(x2=750, y2=500)  # colours are the same along p0 p2, a diagonal now
    found = drawn(tmp_path, inside("all", gradient))
    up = 1 - MIDDLE[:, None]
    expected = 255 * ((MIDDLE[None, :] - 0.25 - up) / 0.5).clip(0, 1)
    assert found[..., 0] == pytest.approx(expected, abs=5)  # a pixel is the mean of its parts


def test_a_radial_gradient_grows_with_the_distance(tmp_path):
    gradient = {
        "Format": PaintFormat.PaintRadialGradient,
        "ColorLine": line(BLACK, RED),
        **dict(x0=500, y0=500, r0=0, x1=500, y1=500, r1=500),
    }
    found = drawn(tmp_path, inside("all", gradient), side=64)
    middle = (np.arange(64) + 0.5) / 64 - 0.5
    away = np.hypot(middle[:, None], middle[None, :])
    assert found[..., 0] == pytest.approx(255 * (2 * away).clip(0, 1), abs=3)


def test_a_radial_gradient_between_two_circles_solves_for_the_largest(tmp_path):
    """On the line through both middles, c(t) + r(t) is the point: t by hand."""
    gradient = {
        "Format": PaintFormat.PaintRadialGradient,
        "ColorLine": line(BLACK, RED),
        **dict(x0=200, y0=500, r0=100, x1=500, y1=500, r1=400),
    }
    found = drawn(tmp_path, inside("all", gradient), side=50)
    x = (np.arange(50) + 0.5) / 50
    # To the right of the small circle: 0.2 + 0.3 t + 0.1 + 0.3 t = x.
    assert found[24, 20:40, 0] == pytest.approx(255 * ((x - 0.3) / 0.6)[20:40], abs=8)


def test_transforms_move_what_is_inside(tmp_path):
    moved = {
        "Format": PaintFormat.PaintTranslate, "dx": 500, "dy": 0,
        "Paint": inside("left", solid(BLUE)),
    }  # fmt: skip
    found = drawn(tmp_path, moved)
    assert (found[:, : SIDE // 2] == 255).all() and (found[:, SIDE // 2 :] == (0, 0, 255)).all()
    smaller = {
        "Format": PaintFormat.PaintScaleAroundCenter,
        **dict(scaleX=0.5, scaleY=0.5, centerX=500, centerY=500),
        "Paint": inside("all", solid(BLACK)),
    }
    found = drawn(tmp_path, smaller)
    assert not found[4:12, 4:12].any() and found.sum() == 255 * 3 * (256 - 64)
    turned = {
        "Format": PaintFormat.PaintRotateAroundCenter,
        **dict(angle=90, centerX=500, centerY=500),
        "Paint": inside("left", solid(BLACK)),
    }
    assert not drawn(tmp_path, turned)[SIDE // 2 :].any()  # a quarter turn against the clock


def test_composites_cut_and_blend(tmp_path):
    def composite(mode: str, source: dict, backdrop: dict) -> dict:
        return {
            "Format": PaintFormat.PaintComposite, "CompositeMode": getattr(CompositeMode, mode),
            "SourcePaint": source, "BackdropPaint": backdrop,
        }  # fmt: skip

    left, every = inside("left", solid(BLUE)), inside("all", solid(RED, 0.5))
    found = drawn(tmp_path, composite("SRC_IN", every, left))
    assert found[0, 0] == pytest.approx((255, 127.5, 127.5), abs=1)
    assert (found[:, SIDE // 2 :] == 255).all()
    grey = inside("all", solid(BLACK, 0.5))
    found = drawn(tmp_path, composite("SOFT_LIGHT", grey, inside("all", solid(RED))))
    # Black over red, blended: b - (1 - 2 s) b (1 - b) is 1 for b = 1 and 0 for b = 0.
    assert found[0, 0] == pytest.approx((255, 0, 0), abs=1)
    with pytest.raises(ValueError, match="blend mode XOR is not drawn"):
        drawn(tmp_path, composite("XOR", every, left))


def test_what_is_not_drawn_is_refused(tmp_path):
    sweep = {
        "Format": PaintFormat.PaintSweepGradient, "ColorLine": line(RED, BLUE),
        **dict(centerX=0, centerY=0, startAngle=0, endAngle=90),
    }  # fmt: skip
    with pytest.raises(ValueError, match="PaintSweepGradient is not drawn"):
        drawn(tmp_path, inside("all", sweep))
    again = {
        "Format": PaintFormat.PaintLinearGradient, "ColorLine": line(RED, BLUE, "repeat"),
        **dict(x0=0, y0=0, x1=100, y1=0, x2=0, y2=100),
    }  # fmt: skip
    with pytest.raises(ValueError, match="gradients that repeat are not drawn"):
        drawn(tmp_path, inside("all", again))


def test_other_files_are_no_colour_fonts(tmp_path):
    (tmp_path / "text.ttf").write_text("no font")
    with pytest.raises(ValueError, match="text.ttf is not a colour font that can be read"):
        ColourFont(tmp_path / "text.ttf")
    paints = {"😀": inside("all", solid(RED))}
    font = ColourFont(write(tmp_path / "made.ttf", paints))
    for character in "A😁":  # without colours, and without a glyph
        with pytest.raises(ValueError, match=f"no colours for '{character}'"):
            font.glyph(character)
